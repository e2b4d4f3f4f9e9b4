"""No lock-out without a named way back, all machines together: through `step`, from every fault to closed again."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from tests.core.bench import Bench, closed
from tests.core.sites import site

from cellarer.core import slow
from cellarer.core.cycle import start
from cellarer.model.values import FOREVER, ChargePhase, Latch, Level, Phase

COARSE_NS = 500_000_000  # cycle while only time must pass
GEARED = ("one", "fets", "separate")


@cache
def faulty(name: str) -> list[tuple[str, int]]:
    """Return all rows that block a path; on the other kinds of switchgear one of each kind of row."""
    table = site(name).faults
    rows = [r for r in range(len(table.name)) if table.enabled[r, 0] and table.level[r] >= Level.RAMP]
    kinds = {(table.level[r], table.latch[r], table.charge[r], table.discharge[r]): r for r in rows}
    return [(name, row) for row in (rows if name == "one" else kinds.values())]


def given(bench: Bench, row: int) -> None:
    """Let the row be active on the first string, latched as it latches, and its cause be gone."""
    faults, latch = bench.state.faults, bench.config.faults.latch[row]
    active, latched, good = faults.active.copy(), faults.latched.copy(), faults.good_since_ns.copy()
    active[row, 0], latched[row, 0], good[row, 0] = True, latch != Latch.SELF, FOREVER
    bench.state = replace(bench.state, faults=replace(faults, active=active, latched=latched, good_since_ns=good))


def sound(bench: Bench) -> None:
    """Let the estimates have found nothing suspicious: what takes them hours of rest."""
    told = bench.state.diagnosis
    told = replace(told, value=np.zeros_like(told.value), known=np.ones_like(told.known))
    bench.state = replace(bench.state, diagnosis=told)


@pytest.mark.parametrize(
    ("name", "row"), [r for name in GEARED for r in faulty(name)],
    ids=lambda x: x if isinstance(x, str) else str(x),
)  # fmt: skip
def test_from_every_fault_back_to_closed(name: str, row: int) -> None:
    bench = closed(name)
    table = bench.config.faults
    given(bench, row)
    bench.every_cycle.append(sound)
    bench.step()
    assert bench.active(table.name[row])
    bench.dt_ns = COARSE_NS
    bench.run(1e-9 * int(table.release_ns[row]) + 2.0)
    paths = [path for path in ("charge", "discharge") if getattr(table, path)[row]]
    if table.latch[row] != Latch.SELF:
        for path in paths:
            limit = getattr(bench.command.window, f"{path}_A")[0]
            assert limit == 0.0, f"{path} under a latched fault"
        bench.step(reset=True, service=bool(table.latch[row] == Latch.SERVICE))
    assert not bench.active(table.name[row]), "the named way back does not end it"
    bench.dt_ns = 20_000_000
    bench.step(close=True)
    bench.run(4.0, lambda b: b.phase() == Phase.CLOSED)
    assert bench.phase() == Phase.CLOSED
    bench.dt_ns = COARSE_NS
    bench.run(20.0, lambda b: bool(b.command.window.charge_A[0] > 0.0 and b.command.window.discharge_A[0] > 0.0))
    window = bench.command.window
    assert window.charge_A[0] > 0.0 and window.discharge_A[0] > 0.0


@pytest.mark.parametrize("name", GEARED)
def test_black_start_needs_nothing_from_outside(name: str) -> None:
    """A battery that wakes with its own state closes onto a dead link: no charger, no ignition, nobody else there."""
    woken = Bench(site(name))
    woken.run(1.0)
    kept = replace(slow.durable(woken.config, woken.state), off_s=3600.0)
    bench = Bench(site(name), state=None)
    bench.state = start(bench.config, bench.now_ns, kept)
    bench.put("charger_present", 0.0)
    bench.run(1.0)
    assert (bench.of("link_voltage")[bench.config.switch.has_link_voltage] == 0.0).all()
    bench.step(close=True)
    bench.run(4.0, lambda b: b.phase() == Phase.CLOSED)
    assert bench.phase() == Phase.CLOSED
    bench.run(20.0, lambda b: bool((b.command.window.discharge_A > 0.0).all()))
    assert (bench.command.window.discharge_A > 0.0).all()


@pytest.mark.parametrize("name", GEARED)
def test_a_battery_that_wakes_empty_takes_a_limited_charge_and_gives_nothing(name: str) -> None:
    bench = Bench(site(name))
    empty_V = float(bench.config.limits.discharge_zero_V[0]) - 0.35
    bench.cells = np.where(bench.layout.string_of_cell == 0, empty_V, bench.cells)
    bench.put("charger_present", 1.0)
    bench.run(1.0)
    assert bench.active("cell_under_voltage_maximum")
    bench.step(close=True, confirm_unknown_soc=True)
    bench.run(10.0, lambda b: bool(b.command.window.charge_A[0] > 0.0))
    limits, window = bench.config.limits, bench.command.window
    assert bench.phase() == Phase.CHARGE_ONLY
    assert bench.state.charging.phase[0] == ChargePhase.PRECONDITION
    assert 0.0 < window.charge_A[0] <= limits.precondition_A[0] and window.discharge_A[0] == 0.0


def test_spent_tries_come_back_with_a_reset() -> None:
    bench = Bench(site("one"))
    bench.put("link_voltage", 0.0)  # a dead short behind the precharge resistor
    bench.run(0.5)
    bench.step(close=True, confirm_unknown_soc=True)
    bench.dt_ns = COARSE_NS
    bench.run(600.0, lambda b: bool(b.state.switches.tries[0] >= b.config.switch.tries[0]))
    bench.run(60.0)
    assert bench.phase() == Phase.OPEN
    bench.let_go("link_voltage")
    bench.run(60.0)
    bench.dt_ns = 20_000_000
    bench.step(close=True)
    bench.run(4.0)
    assert bench.phase() == Phase.OPEN, "a new try without a reset"
    bench.step(reset=True)
    bench.step(close=True)
    bench.run(4.0, lambda b: b.phase() == Phase.CLOSED)
    assert bench.phase() == Phase.CLOSED
