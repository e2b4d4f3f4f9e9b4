"""Each invariant sees its own break, in the right string: cycles that broke nothing are forged, one place at a time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
import pytest
from tests.core.bench import Bench, closed, freeze

from cellarer.core.cycle import Inputs, step
from cellarer.model.values import Event, Latch, Level, Phase
from cellarer.runtime.invariants import broken

STRING = 1  # of four, in three packs; the second of the first pack
Cycle = dict[str, Any]


@pytest.fixture(scope="module")
def sound() -> Cycle:
    """Return one cycle of a closed site that breaks nothing."""
    bench: Bench = closed("ragged")
    bench.run(1.0)
    bench.now_ns += bench.dt_ns
    inputs, before = freeze(Inputs(bench.sample(), bench.asked(), bench.plan)), freeze(bench.state)
    after, command, events = step(bench.config, before, inputs, bench.now_ns)
    made = {"config": bench.config, "before": before, "inputs": inputs, "after": after, "command": command}
    return made | {"events": events}


def rules(cycle: Cycle) -> dict[str, list[int]]:
    return {rule: np.flatnonzero(bad).tolist() for rule, bad in broken(**cycle) if bad.any()}


def put(cycle: Cycle, path: str, value: Any, at: Any = STRING) -> Cycle:
    """Return the cycle with one element of one array altered; path: what.field.field; a callable value makes it."""
    what, *names = path.split(".")
    parents = [cycle[what]]
    for name in names[:-1]:
        parents.append(getattr(parents[-1], name))
    array = getattr(parents[-1], names[-1]).copy()
    array[at] = value(array[at]) if callable(value) else value
    made = reduce(
        lambda child, at: replace(at[0], **{at[1]: child}), zip(parents[::-1], names[::-1], strict=True), array
    )
    return cycle | {what: made}


def both(cycle: Cycle, names: str, value: Any, at: Any = STRING) -> Cycle:
    """Alter several arrays alike."""
    return reduce(lambda made, path: put(made, path, value, at), names.split(), cycle)


def signal(cycle: Cycle, name: str, value: Any, what: str = "after.seen.value") -> Cycle:
    """Alter a signal of the first element of the string."""
    layout = cycle["config"].layout
    owner = {"cell_voltage": layout.string_of_cell, "temp_degC": layout.string_of_temp}.get(name)
    at = STRING if owner is None else int(np.flatnonzero(owner == STRING)[0])
    return put(cycle, what, value, layout.where[name].start + at)


def faulty(cycle: Cycle, level: Level, path: str, field: str = "active") -> Cycle:
    """Let a row of a level that is on one path (or on both) be active or latched."""
    table = cycle["config"].faults
    other = {"charge": "discharge", "discharge": "charge"}.get(path)
    yes = (table.level == level) & table.charge & table.discharge if other is None else (
        (table.level == level) & getattr(table, path) & ~getattr(table, other))  # fmt: skip
    row = int(np.flatnonzero(yes & table.locks[:, STRING] if field == "latched" else yes)[0])
    return both(cycle, f"before.faults.{field} after.faults.{field}", True, (row, STRING))


def phase(cycle: Cycle, was: Phase, now: Phase | None = None) -> Cycle:
    cycle = put(cycle, "before.switches.phase", was)
    return put(cycle, "after.switches.phase", was if now is None else now)


def rising(cycle: Cycle, *names: str) -> Cycle:
    for name in names:
        cycle = put(put(cycle, f"before.command.{name}", False), f"command.{name}", True)
    return cycle


def latched(cycle: Cycle, latch: Latch) -> Cycle:
    row = int(np.flatnonzero(cycle["config"].faults.latch == latch)[0])
    return put(cycle, "before.faults.latched", True, (row, STRING))


def event(cycle: Cycle, **other: Any) -> Cycle:
    made = Event(cycle["after"].time_ns, "system", "x", STRING, -1, np.nan, np.nan, "because")._replace(**other)
    return cycle | {"events": [*cycle["events"], made]}


BREAKS: dict[str, Callable[[Cycle], Cycle]] = {
    "I1 closed with unknown cells for more than a second": lambda c: signal(
        c, "cell_voltage", lambda ns: ns - 3_000_000_000, "after.watch.valid_ns"),
    "I2 pair closes under a fault": lambda c: rising(faulty(c, Level.RAMP, "both"), "plus"),
    "I2 charge path closes under a fault": lambda c: rising(faulty(c, Level.RAMP, "both"), "charge_switch"),
    "I2 discharge path closes under a fault": lambda c: rising(faulty(c, Level.RAMP, "both"), "discharge_switch"),
    "I2 closing begins while locked": lambda c: rising(
        phase(faulty(c, Level.OPEN, "both", "latched"), Phase.OPEN, Phase.MINUS), "minus"),
    "I2 closing begins without a wish": lambda c: rising(
        phase(put(c, "after.wishes.closed", False, 0), Phase.OPEN, Phase.MINUS), "minus"),
    "I2 switching without authority": lambda c: rising(put(c, "config.switch.authority", 0), "plus"),
    "I2 something without switchgear": lambda c: put(c, "config.switch.kind", 0),
    "I3 plus without precharge": lambda c: rising(phase(c, Phase.MINUS), "plus"),
    "I3 plus onto an uncharged link": lambda c: signal(rising(c, "plus"), "link_voltage", 0.0),
    "I3 precharge too long": lambda c: put(phase(c, Phase.PRECHARGE), "after.switches.since_ns", 0),
    "I3 resistor too hot": lambda c: put(phase(c, Phase.PRECHARGE), "before.switches.resistor_J", 1e9),
    "I4 latch lost without reset": lambda c: latched(c, Latch.RESET),
    "I4 permanent latch lost without service": lambda c: both(
        latched(c, Latch.SERVICE), "inputs.requests.reset", True, 0),
    "I4 latched and not active": lambda c: put(c, "after.faults.latched", True, (0, STRING)),
    "I4 disabled row active": lambda c: put(
        put(c, "config.faults.enabled", False, (0, STRING)), "after.faults.active", True, (0, STRING)),
    "I5 charge_A is not a magnitude": lambda c: put(c, "command.window.charge_A", np.nan),
    "I5 discharge_V is not a magnitude": lambda c: put(c, "command.window.discharge_V", -1.0),
    "I5 charge above rated": lambda c: put(c, "command.window.charge_A", 1e6),
    "I5 discharge above rated": lambda c: put(c, "command.window.discharge_A", 1e6),
    "I5 charge limit rises too fast": lambda c: put(
        put(c, "before.window.charge_A", 0.0), "config.limits.rise_per_s", 0.01, ...),
    "I5 charge limit under a fault": lambda c: faulty(c, Level.RAMP, "both"),
    "I5 discharge limit under a fault": lambda c: faulty(c, Level.RAMP, "both"),
    "I5 charge reason unknown": lambda c: put(c, "command.window.charge_reason", 120),
    "I5 limit on open switchgear": lambda c: phase(c, Phase.OPEN),
    "I6 charge_A with unknown cells or current": lambda c: signal(c, "cell_voltage", np.nan, "inputs.sample.value"),
    "I6 discharge_A with unknown cells or current": lambda c: signal(
        c, "current", lambda ns: ns - 3_000_000_000, "inputs.sample.time_ns"),
    "I6 charge_A rises as an input is lost": lambda c: put(
        signal(c, "temp_degC", np.nan), "before.window.charge_A", 0.0),
    "I7 charging a full cell": lambda c: both(c, "after.seen.value after.watch.earlier", 9.0, ...),
    "I7 charging a cold cell": lambda c: both(c, "after.seen.value after.watch.earlier", -90.0, ...),
    "I8 pair closed against an open-level row": lambda c: faulty(c, Level.OPEN, "charge"),
    "I8 pair discharges against an open-level row": lambda c: faulty(c, Level.OPEN, "discharge"),
    "I8 charge path closed against an open-level row": lambda c: put(
        faulty(c, Level.OPEN, "charge"), "command.charge_switch", True),
    "I8 discharge path closed against an open-level row": lambda c: put(
        faulty(c, Level.OPEN, "discharge"), "command.discharge_switch", True),
    "I9 closing wished without being asked": lambda c: put(c, "before.wishes.closed", False, 0),
    "I9 closing wished against an opening": lambda c: put(c, "inputs.requests.open", True, 0),
    "I9 confirmed without being asked": lambda c: put(
        put(c, "before.wishes.confirmed", False, 0), "after.wishes.confirmed", True, 0),
    "I9 target moved without being asked": lambda c: put(c, "after.wishes.target_soc", 0.5, 0),
    "I9 current zeroed without being asked": lambda c: put(c, "after.current_zero", 0.5),
    "I10 charge_Ah went back": lambda c: put(c, "after.counters.charge_Ah", -1.0),
    "I10 openings went back": lambda c: put(c, "after.counters.openings", -1),
    "I10 closings went back": lambda c: put(c, "after.switches.closings", 0),
    "I12 SOC without bounds": lambda c: put(c, "after.estimate.soc_sigma", np.nan, 7),
    "I13 changes and events differ": lambda c: put(c, "after.faults.active", True, (0, STRING)),
    "I13 event without a cause": lambda c: event(c, cause=""),
    "I13 event of another time": lambda c: event(c, time_ns=0),
}  # fmt: skip


def test_a_sound_cycle_breaks_nothing(sound: Cycle) -> None:
    assert rules(sound) == {}
    assert sound["command"].plus.all() and (sound["command"].window.charge_A > 0.0).all()


@pytest.mark.parametrize("rule", BREAKS)
def test_each_break_is_seen_where_it_is(sound: Cycle, rule: str) -> None:
    found = rules(BREAKS[rule](sound))
    assert rule in found
    assert STRING in found[rule] and set(found[rule]) <= {0, 1, 2, 3}
    if not rule.startswith(("I9", "I7", "I2 closing begins without a wish")):  # a pack has both of its strings
        assert found[rule] == [STRING]


def test_every_rule_has_its_break(sound: Cycle) -> None:
    def alike(rule: str) -> str:
        return re.sub("(dis)?charge(_[AVW])?|(?<=I10 ).*(?= went)", "…", rule)

    assert {alike(rule) for rule, _ in broken(**sound)} == {alike(rule) for rule in BREAKS}
