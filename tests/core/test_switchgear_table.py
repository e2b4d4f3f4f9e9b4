"""The switchgear table, explored whole: every phase under every combination of facts, as one array per fact.

Each combination is one string of a site that is tiled from one string, so that the real `sequence` answers them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.core.sites import CELL_SIDE, CONTACTORS, CONTACTS, FACTS, pack, table

from cellarer.config.load import build
from cellarer.core.asked import start_wishes
from cellarer.core.decide import sequence
from cellarer.core.decide.join import Joins
from cellarer.core.decide.protect import Demand
from cellarer.core.decide.signals import Look
from cellarer.model.config import Authority, Config, Switchgear
from cellarer.model.layout import Layout
from cellarer.model.values import FOREVER, Phase, Seen, Switches

NOW_NS = 10**15
PAIR, PATHS = Switchgear.CONTACTORS, (Switchgear.FETS, Switchgear.SEPARATE)
KINDS = (PAIR, *PATHS)
PHASES = {
    PAIR: set(Phase) - {Phase.DISCHARGE_ONLY, Phase.CHARGE_RAMP, Phase.DISCHARGE_RAMP},
    **{kind: {Phase.OPEN, Phase.CLOSED, Phase.CHARGE_ONLY, Phase.DISCHARGE_ONLY, Phase.RAMP, Phase.OPENING}
       for kind in PATHS},
}  # fmt: skip
PHASES[Switchgear.SEPARATE] |= {Phase.CHARGE_RAMP, Phase.DISCHARGE_RAMP}
GEAR: dict[Switchgear, dict[str, Any]] = {
    PAIR: CONTACTORS, Switchgear.FETS: {"kind": "fets"}, Switchgear.SEPARATE: {"kind": "separate"},
}  # fmt: skip
FACES: dict[str, tuple[Any, ...]] = {
    "phase": (),  # those that the kind knows
    "charge": ("free", "ramp", "open"),
    "discharge": ("free", "ramp", "open"),
    "wish": (False, True),
    "trusted": (False, True),
    "charger": (0.0, 1.0),
    "contacts": (0.0, 1.0, np.nan),
    "link": ("empty", "full"),
    "current": (0.0, 100.0, np.nan),
    "held_s": (0.0, 0.06, 0.7, 3.5, 20.0),
    "spent": ("fresh", "no tries", "warm", "hot"),
    "allowed": ("yes", "no authority", "unconfirmed", "apart"),  # apart from the bus
}


def tiled(kind: Switchgear, n: int) -> Config:
    """Return a site of n equal strings of one cell, each its own pack."""
    signals = [s for s in CELL_SIDE + CONTACTS + FACTS if s != "temp_degC"] + ["feedback_charge", "feedback_discharge"]
    one = build(table([pack("a", 1, temperature_sensors=0, switchgear=GEAR[kind])], signals), "tiled").config

    def many(value: Any) -> Any:
        return replace(value, **{f.name: np.repeat(getattr(value, f.name), n, axis=0) for f in fields(value)})

    each, none = np.arange(n), np.empty(0, np.int64)
    return replace(
        one, layout=Layout(each, none, each, np.full(n, -1)), sensing=many(one.sensing), switch=many(one.switch),
        idle_A=np.repeat(one.idle_A, n), bus_of_pack=each,
    )  # fmt: skip


class Grid:
    """All combinations at once; every attribute named in FACES is an (n,) array."""

    def __init__(self, kind: Switchgear) -> None:
        faces = FACES | {"phase": sorted(PHASES[kind])}
        index = np.indices([len(v) for v in faces.values()], np.int16).reshape(len(faces), -1)
        self.fact = {name: np.array(values)[index[i]] for i, (name, values) in enumerate(faces.items())}
        self.n = index.shape[1]
        self.config = tiled(kind, self.n)
        self.kind = kind

    def blocked(self, way: str) -> np.ndarray:
        return self.fact[way] != "free"

    def opens(self, way: str) -> np.ndarray:
        return self.fact[way] == "open"

    def advance(self, phase: np.ndarray, held_s: np.ndarray, **fixed: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return (phase, rule) after one cycle; `fixed` replaces facts."""
        f, config, n = self.fact | fixed, self.config, self.n
        value = np.zeros(config.layout.size["signal"])
        where, limit = config.layout.where, config.switch
        value[where["cell_voltage"]] = np.where(f["trusted"], 3.3, np.nan)
        value[where["current"]] = f["current"]
        value[where["charger_present"]] = f["charger"]
        value[where["string_voltage"]] = 3.3
        value[where["link_voltage"]] = np.where(f["link"] == "full", 3.3, 0.0)
        limit = replace(limit, precharge_V=np.full(n, 1.0), authority=np.where(
            f["allowed"] == "no authority", Authority.OBSERVE, Authority.SWITCH).astype(np.int8))  # fmt: skip
        for name in ("minus", "precharge", "plus", "charge", "discharge"):
            value[where[f"feedback_{name}"]] = f["contacts"]
        heat = {"warm": 0.75, "hot": 1.0}
        switches = Switches(
            phase=phase.astype(np.int8), since_ns=NOW_NS - (held_s * 1e9).astype(np.int64),
            tries=np.where(f["spent"] == "no tries", limit.tries, 0),
            resistor_J=limit.resistor_max_J * np.select([f["spent"] == k for k in heat], list(heat.values()), 0.0),
            closings=np.zeros(n, np.int64), openings_under_load=np.zeros(n, np.int64), wear=np.zeros(n),
            opened_A=np.zeros(n), rest_A=np.zeros(n), rest_variance=np.zeros(n),
            ramp_ns=np.where([f[way] == "ramp" for way in ("charge", "discharge")],
                             NOW_NS - (held_s * 1e9).astype(np.int64), FOREVER),
            trusted_ns=np.where(f["trusted"], NOW_NS - sequence.TRUSTED_NS, FOREVER), apart_V=np.full((2, n), np.nan),
            refill_V=np.full(n, np.nan),
        )  # fmt: skip
        none = np.full(value.shape, NOW_NS)
        seen = Seen(value, none, none, np.zeros(value.shape, bool))
        names = ("minus", "precharge", "plus", "charge_switch", "discharge_switch")
        command = SimpleNamespace(**dict(zip(names, self.outputs(phase), strict=True)))
        state = SimpleNamespace(switches=switches, command=command, time_ns=NOW_NS - 20_000_000)
        empty = SimpleNamespace()
        look = Look(replace(config, switch=limit), seen, empty, empty, state, NOW_NS)  # type: ignore[arg-type]
        fresh = start_wishes(config, durable=True)
        wishes = replace(fresh, closed=f["wish"].astype(bool), confirmed=f["allowed"] != "unconfirmed")
        ways = np.array((f["charge"], f["discharge"]))
        demand = Demand(ways == "open", ways == "ramp", np.ones((2, n)))
        facts = sequence.Facts(look, switches, demand, wishes)
        may = f["allowed"] != "apart"
        facts.__dict__["joins"] = Joins(may, ~may, np.full((2, n), np.nan))
        return sequence.TABLE.advance(limit.kind, switches.phase, lambda name: sequence.CONDITIONS[name](facts))

    def outputs(self, phase: np.ndarray) -> np.ndarray:
        return sequence.outputs(self.config, SimpleNamespace(phase=phase))  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def forgotten() -> Iterator[None]:
    """Give the memory back: a million combinations take gigabytes."""
    yield
    explored.cache_clear()


@cache
def explored(kind: Switchgear) -> tuple[Grid, np.ndarray, np.ndarray, np.ndarray]:
    """Return (grid, phase before, phase after, rule), from every phase that this kind knows."""
    grid = Grid(kind)
    before = grid.fact["phase"]
    after, rule = grid.advance(before, grid.fact["held_s"])
    return grid, before, after, rule


def check(grid: Grid, wrong: np.ndarray, what: str) -> None:
    """Fail with the facts of the first combination that is wrong."""
    found = np.flatnonzero(wrong)
    assert not found.size, f"{what}: {found.size}, first { ({k: v[found[0]] for k, v in grid.fact.items()}) }"


@pytest.mark.parametrize("kind", KINDS)
def test_an_open_level_fault_opens_its_path_in_one_cycle_from_every_phase(kind: Switchgear) -> None:
    grid, before, after, _ = explored(kind)
    minus, precharge, plus, charge, discharge = grid.outputs(after)
    check(grid, grid.opens("charge") & (minus | precharge | plus | charge), "closed against a charge fault")
    check(grid, grid.opens("discharge") & discharge, "closed against a discharge fault")
    refill = (grid.fact["charger"] == 1.0) & ~grid.opens("charge")
    check(grid, grid.opens("discharge") & (minus | precharge | plus) & ~refill, "pair closed and no charger is there")
    unasked = np.isin(after, (Phase.CLOSED, Phase.RAMP)) & (before != Phase.CHARGE_ONLY)
    check(grid, grid.opens("discharge") & unasked, "a path is closed that could discharge")


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_closes_without_wish_trust_authority_and_confirmation(kind: Switchgear) -> None:
    grid, before, after, _ = explored(kind)
    rising = (grid.outputs(after) & ~grid.outputs(before)).any(axis=0)
    check(grid, rising & ~grid.fact["wish"], "closes without a wish")
    check(grid, rising & grid.blocked("charge") & (kind == PAIR), "pair closes under a fault")
    begins = rising & ~np.isin(before, (Phase.MINUS, Phase.PRECHARGE))
    check(grid, begins & ~grid.fact["trusted"], "closes on unknown measurements")
    apart = grid.fact["allowed"] == "apart"
    check(grid, begins & ~apart & (grid.fact["allowed"] != "yes"), "closes without authority or confirmation")
    onto = rising if kind != PAIR else rising & ~np.isin(before, (Phase.MINUS,))
    check(grid, onto & apart, "closes onto a bus of another voltage")
    charge, discharge = (grid.outputs(after) & ~grid.outputs(before))[3:]
    check(grid, charge & grid.blocked("charge"), "charge path closes under a fault")
    check(grid, discharge & grid.blocked("discharge"), "discharge path closes under a fault")


@pytest.mark.parametrize("kind", KINDS)
def test_no_wish_never_adds_an_output(kind: Switchgear) -> None:
    grid, before, after, _ = explored(kind)
    more = (grid.outputs(after) & ~grid.outputs(before)).any(axis=0)
    check(grid, ~grid.fact["wish"] & more, "more closed than before")
    closing = np.isin(before, (Phase.MINUS, Phase.PRECHARGE, Phase.PLUS))
    check(grid, ~grid.fact["wish"] & closing & grid.outputs(after).any(axis=0), "closing goes on without a wish")


def test_plus_closes_only_after_a_proven_precharge() -> None:
    grid, before, after, _ = explored(PAIR)
    plus = grid.outputs(after)[2] & ~grid.outputs(before)[2]
    assert plus.any()
    check(grid, plus & (before != Phase.PRECHARGE), "plus without precharge")
    check(grid, plus & (grid.fact["link"] != "full"), "plus onto an empty link")
    check(grid, plus & ~(grid.fact["current"] == 0.0), "plus while precharge current flows or is unknown")
    check(grid, plus & (grid.fact["held_s"] < 0.05), "plus before the precharge contactor settled")
    into = (after == Phase.PRECHARGE) & (before != Phase.PRECHARGE)
    check(grid, into & (grid.fact["contacts"] != 1.0), "precharge before minus is proven closed")


def test_precharge_ends_when_it_is_too_long_or_too_hot() -> None:
    grid, before, after, _ = explored(PAIR)
    over = (before == Phase.PRECHARGE) & ((grid.fact["held_s"] > 2.0) | (grid.fact["spent"] == "hot"))
    check(grid, over & (after == Phase.PRECHARGE), "precharge goes on")
    begins = (before == Phase.OPEN) & (after != Phase.OPEN)
    check(
        grid, begins & np.isin(grid.fact["spent"], ("no tries", "warm", "hot")), "a try on a warm resistor or too many"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_phase_ends_open_when_nobody_wishes_otherwise(kind: Switchgear) -> None:
    grid, before, _, _ = explored(kind)
    no = np.zeros(grid.n, bool)
    cool = np.where(np.isin(grid.fact["spent"], ("warm", "hot")), "fresh", grid.fact["spent"])
    phase = before
    for _ in range(4):  # one path, ramp, opening, open: each within its longest time, whatever contacts and current say
        phase, _ = grid.advance(phase, np.full(grid.n, 20.0), wish=no, spent=cool)
    check(grid, phase != Phase.OPEN, "does not end open")


@pytest.mark.parametrize("kind", KINDS)
def test_every_phase_is_reachable_and_every_rule_can_fire(kind: Switchgear) -> None:
    _, before, after, rule = explored(kind)
    edges = {(int(a), int(b)) for a, b in np.unique(np.stack([before, after]), axis=1).T}
    reached, frontier = {int(Phase.OPEN)}, {int(Phase.OPEN)}
    while frontier:
        frontier = {b for a, b in edges if a in frontier} - reached
        reached |= frontier
    assert reached == {int(p) for p in PHASES[kind]}
    fired = set(np.unique(rule[np.isin(before, list(reached))]))
    mine = {i for i, r in enumerate(sequence.TABLE.rules) if r.kind in (kind, -1) and r.source in reached}
    assert mine - fired == set(), [sequence.TABLE.rules[i] for i in mine - fired]
    assert all(sequence.TABLE.rules[i].cause for i in mine)


def test_opening_is_two_steps_from_everywhere() -> None:
    for kind, source in product(KINDS, Phase):
        if source not in PHASES[kind] - {Phase.OPEN, Phase.OPENING, Phase.COOLING}:
            continue
        grid, before, after, _ = explored(kind)
        asked = (before == source) & ~grid.fact["wish"] & ~grid.blocked("charge") & ~grid.blocked("discharge")
        assert set(np.unique(after[asked])) <= {int(p) for p in (*sequence.RAMPS, Phase.OPENING)}, (kind, source)


def test_no_combination_leaves_the_table() -> None:
    for kind in KINDS:
        _, _, after, _ = explored(kind)
        assert np.isin(after, [int(p) for p in PHASES[kind]]).all()


def test_contacts_of_separate_ports_wait_for_their_own_current_but_not_for_ever() -> None:
    grid, before, after, _ = explored(Switchgear.SEPARATE)
    charge, discharge = grid.outputs(before)[3:] & ~grid.outputs(after)[3:]
    along = {"charge": grid.fact["current"], "discharge": -grid.fact["current"]}
    for way, falls in (("charge", charge), ("discharge", discharge)):
        ramps = np.isin(before, (Phase.CLOSED, Phase.CHARGE_ONLY, Phase.DISCHARGE_ONLY)) & (grid.fact[way] == "ramp")
        ramps &= ~grid.opens("charge") & ~grid.opens("discharge") & grid.fact["wish"]
        early = ramps & ~(along[way] <= 20.0) & (grid.fact["held_s"] < 0.5)
        check(grid, early & falls, f"{way} contact opens under load although it could wait")
        late = ramps & (grid.fact["held_s"] >= 0.5) & (grid.outputs(before)[3 if way == "charge" else 4])
        check(grid, late & ~falls, f"{way} contact waits for ever")
    only = np.isin(before, (Phase.CHARGE_ONLY, Phase.DISCHARGE_ONLY)) & ~grid.blocked("charge")
    only &= ~grid.blocked("discharge") & ~grid.fact["wish"]
    check(grid, only & (after == Phase.OPENING), "one port alone opens without a ramp")
