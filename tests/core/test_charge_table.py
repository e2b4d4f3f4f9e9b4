"""The charge table, explored whole: every phase and memory under every combination of facts, by the real `charge`.

Each combination is one string of a site that is tiled from one string, so that the real machine answers them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.core.sites import CELL_SIDE, CONTACTS, FACTS, pack, table

from cellarer.config.load import build
from cellarer.core.decide import charge
from cellarer.core.decide.protect import Demand
from cellarer.model.config import Config
from cellarer.model.layout import layout
from cellarer.model.reasons import REASONS
from cellarer.model.values import FOREVER, Charging, Phase
from cellarer.model.values import ChargePhase as C

NOW_NS, CYCLE_NS, HOUR_NS = 10**16, 20_000_000, 3_600_000_000_000
SETTLES = 5  # cycles after which a world that stands still must see the same phase for ever
ONE = build(table([pack("a", 1, temperature_sensors=0)], CELL_SIDE + CONTACTS + FACTS), "one").config
L = {name: float(np.ravel(getattr(ONE.limits, name))[0]) for name in
     ("precondition_V", "discharge_zero_V", "end_of_charge_V", "tail_A", "charge_cold_degC")}  # fmt: skip
FACES: dict[str, tuple[Any, ...]] = {
    "phase": tuple(C),
    "may": (False, True),
    "blocked": (False, True),
    "low": (L["precondition_V"] - 0.01, L["discharge_zero_V"], 3.3, L["end_of_charge_V"], np.nan),
    "high": (3.3, L["end_of_charge_V"] - 0.02, L["end_of_charge_V"], np.nan),
    "cold": (-20.0, 25.0, np.nan),
    "current": (0.0, 200.0),
    "soc": (np.nan, 0.1, 0.99),
    "full_soc": (np.nan, 1.0),
    "low_soc": (np.nan, 0.08),
    "tail": ("none", "long"),
    "held": ("new", "long"),
    "target": (np.nan, 0.5),
    "limit": (1.0, 0.04),  # of the rated current, by cells: as it may have come down near full
}


class Said(SimpleNamespace):
    """An estimate: equal only to itself, as the machine asks for."""

    __hash__ = object.__hash__  # type: ignore[assignment]


class Grid:
    """All combinations at once; each fact is an (n,) array. `only` replaces faces by fewer values."""

    def __init__(self, **only: Any) -> None:
        faces = FACES | {name: (value,) for name, value in only.items()}
        index = np.indices([len(v) for v in faces.values()], np.int16).reshape(len(faces), -1)
        self.fact = {name: np.array(values)[index[i]] for i, (name, values) in enumerate(faces.items())}
        self.n = n = index.shape[1]
        kept = {f.name: np.repeat(getattr(ONE.limits, f.name), n, axis=0) for f in fields(ONE.limits)
                if f.name not in ("wire_A", "wire_s")}  # fmt: skip
        self.config: Config = replace(
            ONE, layout=layout([1] * n, [0] * n, [1] * n), limits=replace(ONE.limits, **kept),
            bus_of_pack=np.arange(n), series=np.repeat(ONE.series, n), cell_ohm=np.repeat(ONE.cell_ohm, n),
            balance=replace(ONE.balance, **{f.name: np.repeat(getattr(ONE.balance, f.name), n, axis=0)
                                            for f in fields(ONE.balance)}),
            switch=replace(ONE.switch, **{f.name: np.repeat(getattr(ONE.switch, f.name), n, axis=0)
                                          for f in fields(ONE.switch)}),
        )  # fmt: skip

    def begin(self) -> Charging:
        f = self.fact
        return Charging(
            phase=f["phase"].astype(np.int8), since_ns=np.where(f["held"] == "long", NOW_NS - 3 * HOUR_NS, NOW_NS),
            tail_since_ns=np.where(f["tail"] == "long", NOW_NS - HOUR_NS, FOREVER), full_soc=f["full_soc"],
            low_soc=f["low_soc"], touch=np.zeros(self.n, bool), decided_V=np.full((2, self.n), np.nan),
        )  # fmt: skip

    def advance(self, charging: Charging, now_ns: int, **fixed: Any) -> tuple[Charging, list[Any]]:
        """Return memory and events after one cycle; `fixed` replaces facts."""
        f = self.fact | {name: np.broadcast_to(value, self.n) for name, value in fixed.items()}
        high = np.maximum(f["high"], f["low"])  # unknown where either is: the extremes of one string
        low = np.where(np.isnan(high), np.nan, f["low"])
        extremes = np.array((high, low, f["cold"], f["cold"]))
        by_cells = np.full(self.n, REASONS.index("cell voltage high"), np.int8)
        window = SimpleNamespace(charge_A=f["limit"] * self.config.limits.rated_charge_A, charge_reason=by_cells)
        look = SimpleNamespace(
            config=self.config, now_ns=now_ns, current=f["current"], extremes=extremes, high_V=high,
            unbled_extremes=extremes, state=SimpleNamespace(charging=charging, window=window),
        )  # fmt: skip
        estimate = Said(string_soc=f["soc"], string_soc_sigma=np.full(self.n, 0.01), soc=f["soc"])
        phase = np.where(f["may"], int(Phase.CLOSED), int(Phase.OPEN)).astype(np.int8)
        ramp, no = np.zeros((2, self.n), bool), np.zeros((2, self.n), bool)
        ramp[0] = f["blocked"]
        demand, switches = Demand(no, ramp, np.ones((2, self.n))), SimpleNamespace(phase=phase)
        return charge.charge(look, demand, switches, estimate, f["target"])  # type: ignore[arg-type]

    def check(self, wrong: np.ndarray, what: str) -> None:
        found = np.flatnonzero(wrong)
        first = {k: v[found[0]] for k, v in self.fact.items()} if found.size else {}
        assert not found.size, f"{what}: {found.size}, first {first}"


@pytest.fixture(autouse=True)
def _no_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charge, "_event", lambda _look, _demand, _old, _new, rule, s: int(rule[s]))


@pytest.fixture(scope="module", autouse=True)
def forgotten() -> Iterator[None]:
    """Give the memory back: a million combinations take gigabytes."""
    yield
    explored.cache_clear()


@cache
def explored() -> tuple[Grid, list[Charging], list[list[int]]]:
    """Return the grid, its memory before and after each of SETTLES + 2 cycles of a world that stands still."""
    grid = Grid()
    memory, fired = [grid.begin()], []
    for cycle in range(1, SETTLES + 3):
        after, events = grid.advance(memory[-1], NOW_NS + cycle * CYCLE_NS)
        memory.append(after)
        fired.append(events)
    return grid, memory, fired


def test_a_blocked_charge_path_is_blocked_in_one_cycle_from_every_phase() -> None:
    grid, memory, _ = explored()
    after = memory[1].phase
    grid.check(grid.fact["blocked"] & (after != C.BLOCKED), "charges under a fault")
    open_ = ~grid.fact["may"] & ~grid.fact["blocked"]
    grid.check(open_ & ~np.isin(after, (C.IDLE, C.BLOCKED)), "charges with open switchgear")
    grid.check(open_ & (memory[2].phase != C.IDLE), "does not come to rest with open switchgear")


def test_a_world_that_stands_still_comes_to_rest() -> None:
    grid, memory, _ = explored()
    grid.check(memory[SETTLES].phase != memory[SETTLES + 1].phase, "phases take turns")
    grid.check(memory[SETTLES].phase != memory[SETTLES + 2].phase, "phases take turns")


def test_every_phase_is_reachable_and_every_rule_fires_with_a_cause() -> None:
    grid, memory, fired = explored()
    edges = np.unique(np.stack([memory[0].phase, memory[1].phase]), axis=1).T.tolist()
    reached = {int(C.IDLE)}
    for _ in C:
        reached |= {b for a, b in edges if a in reached}
    assert reached == {int(c) for c in C}
    later = grid.advance(replace(grid.begin(), tail_since_ns=np.full(grid.n, NOW_NS - 5 * 10**9)), NOW_NS)[1]
    assert set(fired[0]) | set(later) == set(range(len(charge.TABLE.rules)))
    assert all(rule.cause for rule in charge.TABLE.rules)


def test_preconditioning_ends_well_above_where_it_begins_so_that_phases_take_no_turns() -> None:
    begins, ends = L["precondition_V"], L["precondition_V"] + charge.RECOVERED_V
    for phase, volts, after in (
        (C.PRECONDITION, begins - 0.001, C.PRECONDITION), (C.PRECONDITION, begins, C.PRECONDITION),
        (C.PRECONDITION, ends - 0.001, C.PRECONDITION), (C.PRECONDITION, ends, C.REFILL),
        (C.REFILL, begins, C.REFILL), (C.REFILL, begins - 0.001, C.PRECONDITION),
    ):  # fmt: skip
        grid = Grid(**HEALTHY, phase=int(phase), low=volts, high=3.3, soc=0.05, low_soc=0.05)
        grid.check(grid.advance(grid.begin(), NOW_NS + CYCLE_NS)[0].phase != after, f"{phase.name} at {volts:.3f} V")


HEALTHY: dict[str, Any] = {"may": True, "blocked": False, "cold": 25.0, "current": 0.0, "target": np.nan}


@pytest.mark.parametrize("soc", (np.nan, 0.5))
@pytest.mark.parametrize("volts", (L["precondition_V"] - 0.01, L["discharge_zero_V"]))
def test_under_voltage_leaves_a_limited_charge_and_no_discharge_in_every_memory(volts: float, soc: float) -> None:
    """Switchgear carries, no fault on the charge path, the lowest cell is empty: something may flow in."""
    grid = Grid(**HEALTHY, low=volts, high=3.3, soc=soc)
    now = grid.begin()
    for cycle in range(SETTLES):
        now, _ = grid.advance(now, NOW_NS + (cycle + 1) * CYCLE_NS)
    low = (grid.fact["phase"] == C.PRECONDITION) | (volts < L["precondition_V"])  # it ends above where it begins
    grid.check(now.phase != np.where(low, C.PRECONDITION, C.REFILL), "no refill")
    _, charge_A, discharge_A = charge.allowance(grid.config, now)
    most = np.where(low, grid.config.limits.precondition_A, grid.config.limits.rated_charge_A)
    grid.check(~((charge_A > 0.0) & (charge_A <= most)), "no limited charge")
    grid.check(discharge_A > 0.0, "an empty string may be discharged")


@pytest.mark.parametrize("known", (False, True), ids=("SOC unknown", "SOC known"))
@pytest.mark.parametrize("floats", (True, False), ids=("floats", "has no float voltage"))
def test_no_phase_or_memory_is_locked_out_of_charging_or_discharging(known: bool, floats: bool) -> None:
    """Warm, closed, without faults: drained, every memory may be charged; charged to the end, it may be discharged."""
    grid = Grid(**HEALTHY, low=3.3, high=3.3, soc=0.5)
    if not floats:
        limits = replace(grid.config.limits, float_V=np.full(grid.n, np.nan))
        grid.config = replace(grid.config, limits=limits)
    now, cycle = grid.begin(), 0
    for volts, soc in ((3.2, 0.1), (L["discharge_zero_V"], 0.0), (L["end_of_charge_V"], 1.0)):
        for _ in range(SETTLES):
            cycle += 1
            fixed = {"low": volts, "high": volts, "soc": soc if known else np.nan}
            now, _ = grid.advance(now, NOW_NS + cycle * CYCLE_NS, **fixed)
        _, charge_A, discharge_A = charge.allowance(grid.config, now)
        if soc < 1.0:
            lost = np.isnan(grid.fact["full_soc"]) & (soc > 0.0) & known  # it says full, and SOC has no history
            grid.check(~(charge_A > 0.0) & ~lost, "may never be charged again")
        else:
            grid.check(~(discharge_A > 0.0), "may never be discharged again")


def test_soc_that_becomes_known_late_is_the_memory_of_refill_and_of_full() -> None:
    """What was unknown when the phase began must not stay unknown: nothing would ever be enough, or low enough."""
    for phase, name in ((C.REFILL, "low_soc"), (C.FLOAT, "full_soc")):
        grid = Grid(**HEALTHY, low=3.1, high=3.3, phase=int(phase), held="new", tail="none", soc=0.5,
                    low_soc=np.nan, full_soc=np.nan, limit=1.0)  # fmt: skip
        now, _ = grid.advance(grid.begin(), NOW_NS + CYCLE_NS, soc=np.nan, low=3.24 if phase == C.REFILL else 3.3)
        assert now.phase.tolist() == [phase] and np.isnan(getattr(now, name)).all()
        now, _ = grid.advance(now, NOW_NS + 2 * CYCLE_NS, low=3.24 if phase == C.REFILL else 3.3)
        assert getattr(now, name).tolist() == [0.5]
        now, _ = grid.advance(now, NOW_NS + 3 * CYCLE_NS, soc=np.nan, low=3.24 if phase == C.REFILL else 3.3)
        assert getattr(now, name).tolist() == [0.5], "unknown again: what was known stays"
