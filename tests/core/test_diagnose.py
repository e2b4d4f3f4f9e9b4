"""Estimated faults: named on packs that have them, silent on healthy spread, never in the way of measured ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.core.bench import Bench
from tests.core.sites import CELL_SIDE, CONTACTS, FACTS, pack, table

from cellarer.config.load import build, load, replay_site
from cellarer.config.rows import RowFile
from cellarer.core import estimate as estimators
from cellarer.core.decide import diagnose
from cellarer.core.decide.signals import Look
from cellarer.core.estimate.state import copied, put
from cellarer.core.slow import compiled
from cellarer.model.config import Config
from cellarer.model.values import NEVER, SUSPICIONS, Diagnosis

CELLS, PARALLEL, HOUR_NS = 12, 4, 3_600_000_000_000
BAD = 5  # the cell with the fault


@pytest.fixture(scope="module")
def config() -> Config:
    return build(table([pack("a", CELLS, parallel=PARALLEL)], CELL_SIDE + CONTACTS + FACTS), "diagnosed").config


class Told:
    """Estimates as they would be of a pack with healthy spread, and what is made of them at two moments."""

    def __init__(self, config: Config, seed: int = 0) -> None:
        self.config, self.tables, g = config, compiled(config), np.random.default_rng(seed)
        self.soc = 0.5 + 0.01 * g.normal(size=CELLS)
        self.sigma = np.full(CELLS, 0.005)
        self.capacity = config.capacity_Ah * (1.0 + 0.01 * g.normal(size=CELLS))
        self.scale = 1.1 + 0.05 * g.normal(size=CELLS)
        self.offset_A, self.measured, self.moved_Ah = 0.0, True, np.zeros(CELLS)
        self.unread_h = np.nan  # when a converter last worked unread
        self.bench, self.passed_Ah, self.current_A = Bench(config), 0.0, 0.0
        self.before: Diagnosis = diagnose.start(config)

    def look(self, hours: float, jumped: np.ndarray | float = 0.0) -> Diagnosis:
        cfg, one = self.tables, np.ones(CELLS)
        state = estimators.init(cfg, self.soc, self.sigma, self.capacity, 0.01 * self.capacity, self.scale)
        buffer, pairs = copied(state.buffer), state.pairs.copy()
        put(buffer, "b", self.offset_A * one / PARALLEL)
        put(buffer, "p44", 0.04**2 * one)
        put(buffer, "p55", (5e-4 * self.config.capacity_Ah / PARALLEL) ** 2)
        estimators.Pairs(*pairs).closed[:] = 5.0 if self.measured else 0.0
        state = estimators.EstimateState(buffer, state.unknown, pairs)
        unread_ns = np.full(CELLS, NEVER)
        unread_ns[0] = NEVER if np.isnan(self.unread_h) else round(self.unread_h * HOUR_NS) + 1  # of any cell
        balancing = replace(self.bench.state.balancing, moved_Ah=self.moved_Ah, unread_ns=unread_ns)
        world = replace(self.bench.state, diagnosis=self.before, balancing=balancing)
        unused: Any = None
        now_ns = round(hours * HOUR_NS) + 1
        response = replace(world.watch.response, passed=np.full(1, 3600.0 * self.passed_Ah))
        value = world.seen.value.copy()
        value[self.config.layout.where["current"]] = self.current_A
        seen, watch = replace(world.seen, value=value), replace(world.watch, response=response)
        self.before = diagnose.diagnose(Look(self.config, seen, unused, watch, world, now_ns), cfg, state, jumped)
        return self.before

    def value(self, name: str) -> float:
        return float(self.before.value[SUSPICIONS.index(name), 0])

    def cell(self, name: str) -> int:
        return int(self.before.cell[SUSPICIONS.index(name), 0])


def trips(config: Config, told: Told) -> set[str]:
    """Return the names of the rows that what is suspect would make bad."""
    rows = [k for k, name in enumerate(config.faults.signal) if name in SUSPICIONS]
    return {config.faults.name[k] for k in rows if told.value(config.faults.signal[k]) > config.faults.trip[k, 0]}


def test_leakage_is_told_by_three_looks_within_days_and_bleeding_is_no_leakage(config: Config) -> None:
    told = Told(config)
    told.look(0.0)
    lost = np.where(np.arange(CELLS) == BAD, 0.2, 0.0)  # of capacity within two days: C/240
    told.soc = told.soc - 0.5 * lost
    told.look(24.0)
    assert told.value("self_discharge") == -np.inf
    told.soc = told.soc - 0.5 * lost
    told.look(48.0)
    assert told.cell("self_discharge") == BAD
    assert told.value("self_discharge") == pytest.approx(0.2 / 48.0, rel=0.2)
    assert trips(config, told) == {"cell_self_discharge", "cell_internal_short"}
    bled = Told(config)
    bled.look(0.0)
    for hours in (24.0, 48.0):
        bled.soc, bled.moved_Ah = bled.soc - 0.5 * lost, bled.moved_Ah - 0.5 * lost * config.capacity_Ah
        bled.look(hours)
    assert bled.value("self_discharge") > -np.inf and trips(config, bled) == set()


def test_a_leak_is_claimed_only_once_no_converter_of_the_string_worked_unread() -> None:
    balancing = {"topology": "flyback", "bleed_mA": 0}
    made = build(table([pack("a", CELLS, parallel=PARALLEL, balancing=balancing)], CELL_SIDE + CONTACTS + FACTS), "x")
    told, hourly, names = Told(made.config), np.where(np.arange(CELLS) == BAD, 0.012, 0.0), {}
    for hour in range(21):
        told.unread_h = min(float(hour), 8.0)  # the converters work until then
        told.look(float(hour))
        names[hour] = trips(made.config, told)
        told.soc = told.soc - hourly
    unproven, leaks = {"converter_charge_missing"}, {"cell_self_discharge", "cell_internal_short"}
    assert [hour for hour, found in names.items() if found == unproven] == [6, 7, 8, 9]
    assert [hour for hour, found in names.items() if found == leaks] == list(range(17, 21))  # 3 h of rest, 6 of looks
    assert told.cell("self_discharge") == BAD and told.value("charge_lost") == -np.inf


@pytest.mark.parametrize("when", ["early", "late"])
def test_charge_that_is_gone_at_once_is_no_leakage(config: Config, when: str) -> None:
    told, lost = Told(config), np.where(np.arange(CELLS) == BAD, 0.2, 0.0)
    told.look(0.0)
    told.soc = told.soc - lost * (when == "early")
    told.look(24.0)
    told.soc = told.soc - lost * (when == "late")
    told.look(48.0)
    assert -np.inf < told.value("self_discharge") and trips(config, told) == set()


def test_a_leak_is_told_from_six_hours_on_and_a_week_later(config: Config) -> None:
    told, hourly = Told(config), np.where(np.arange(CELLS) == BAD, 0.004, 0.0)
    found = {}
    for hour in range(24 * 8):
        found[hour] = told.look(float(hour))
        told.soc = told.soc - hourly
        told.soc = told.soc + 0.25 * (told.soc[BAD] < 0.0)  # all are charged: shifts stay
    known = [hour for hour, d in found.items() if d.known[SUSPICIONS.index("self_discharge"), 0]]
    assert known[0] == 6 and len(known) > 150
    for hour in known:
        value, cell = found[hour].value[0, 0], found[hour].cell[0, 0]
        assert value < 0.0041 and (hour < 24 or (value > 0.0025 and cell == BAD)), hour


def test_a_joint_a_weak_cell_and_a_lost_parallel_cell_are_named(config: Config) -> None:
    bad = np.arange(CELLS) == BAD
    joint, weak, lost = Told(config), Told(config), Told(config)
    joint.scale = np.where(bad, 2.2, joint.scale)
    weak.capacity = np.where(bad, 0.8, 1.0) * weak.capacity
    lost.capacity = np.where(bad, (PARALLEL - 1) / PARALLEL, 1.0) * config.capacity_Ah
    lost.scale = np.where(bad, PARALLEL / (PARALLEL - 1), 1.0) * lost.scale
    for told, name in ((joint, "joint_resistance"), (weak, "cell_weak"), (lost, "parallel_cell_lost")):
        told.look(0.0)
        assert name in trips(config, told)
        row = config.faults.name.index(name)
        assert told.cell(config.faults.signal[row]) == BAD
    assert "parallel_cell_lost" not in trips(config, joint) | trips(config, weak)


def test_a_better_look_renews_the_earlier_one_so_that_a_flat_curve_need_not_wait_a_week(config: Config) -> None:
    told = Told(config)
    told.sigma = np.full(CELLS, 0.1)
    told.look(0.0)  # in the flat middle: nothing is known
    told.sigma = np.full(CELLS, 0.005)
    told.look(3.0)  # near full
    leak = np.where(np.arange(CELLS) == BAD, 0.012, 0.0)  # 1/h: a short of 1 ohm over 280 Ah
    soc = told.soc.copy()
    for hours, known in ((6.0, False), (8.9, False), (9.1, True)):
        told.soc = soc - leak * (hours - 3.0)
        told.look(hours)
        assert (trips(config, told) == {"cell_self_discharge", "cell_internal_short"}) == known
    assert told.cell("self_discharge") == BAD


@pytest.mark.parametrize("told_of", ["nothing", "how far", "not how far"])
def test_jumps_at_the_ends_of_charges_are_no_leakage(config: Config, told_of: str) -> None:
    told, some = Told(config), np.arange(CELLS) % 3 != 0
    by = {"nothing": 0.0, "how far": np.where(some, 0.0, -0.04 * told.capacity), "not how far": np.full(CELLS, np.nan)}
    told.look(0.0)
    for hours in (12.0, 24.0, 24.1):
        told.soc = told.soc + np.where(some & (hours != 24.1), 0.04, 0.0)  # most of the cells touch the end: full
        told.look(hours, by[told_of] if hours != 24.1 else 0.0)
        assert (trips(config, told) == set()) == (told_of != "nothing" or hours == 12.0)
    for hours in (36.0, 48.0):
        told.soc = told.soc - np.where(np.arange(CELLS) == BAD, 0.1, 0.0)
        told.look(hours)
    assert "cell_self_discharge" in trips(config, told)
    assert told.cell("self_discharge") == BAD


def test_a_capacity_that_nobody_measured_proves_nothing(config: Config) -> None:
    told = Told(config)
    told.measured, told.capacity = False, np.where(np.arange(CELLS) == BAD, 0.6, 1.0) * told.capacity
    told.look(0.0)
    assert told.value("weak_cell") == -np.inf
    assert not told.before.known[SUSPICIONS.index("weak_cell"), 0]


def test_an_offset_of_the_current_sensor_is_told(config: Config) -> None:
    told = Told(config)
    told.offset_A = 0.01 * float(config.capacity_Ah[0])
    told.look(0.0)
    assert trips(config, told) == {"current_sensor_drift"}


def test_what_a_sound_current_sensor_shows_at_rest_is_no_drift(config: Config) -> None:
    told, limits = Told(config), config.limits
    sound = diagnose.SOUND_SHARE * float(max(limits.rated_charge_A[0], limits.rated_discharge_A[0]))
    capacity = float(told.capacity.max())
    trip = 0.005 * capacity + 3.0 * 5e-4 * capacity + sound
    for share, drifted in ((0.97, False), (1.05, True)):
        told.before, told.offset_A = diagnose.start(config), share * trip
        told.look(0.0)
        assert (trips(config, told) == {"current_sensor_drift"}) == drifted


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_charge_that_no_cell_got_shows_an_offset_that_never_rests(
    config: Config, way: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnose, "COUNTED_NS", HOUR_NS)

    def counted(
        hours: float, *, leaks: float = 0.0, lost_at: float = -1.0, surer: tuple[float, float, int] = (9.0, 1.0, 0)
    ) -> set[str]:
        """surer: from which hour on, by what factor, and how many of the cells are known better."""
        told = Told(config)
        sigma = told.sigma
        start, capacity = told.soc, float(told.capacity.mean())
        for minute in range(round(hours * 60.0) + 1):
            told.passed_Ah = way * 0.1 * capacity * minute / 60.0
            told.soc = start + way * leaks * 0.1 * minute / 60.0 * (np.arange(CELLS) != BAD)
            better = (np.arange(CELLS) < surer[2]) & (minute >= 60.0 * surer[0])
            told.sigma = np.where(better, surer[1] * sigma, sigma)
            told.current_A = np.nan if minute == round(60.0 * lost_at) else 0.0
            told.look(minute / 60.0)
        return trips(config, told) - {"cell_self_discharge", "cell_internal_short"}

    assert counted(1.1) == {"current_sensor_drift"}
    assert counted(0.9) == set()  # too short
    assert counted(1.1, lost_at=0.5) == set()  # current was unknown for a while
    assert counted(1.1, leaks=1.0) == set()  # all cells but one got it: that one leaks
    assert counted(1.1, surer=(0.9, 0.45, CELLS)) == {"current_sensor_drift"}  # so late it would tell less than the old
    assert counted(1.1, surer=(0.5, 0.2, CELLS)) == set()  # worth to begin anew
    assert counted(1.1, surer=(0.5, 0.2, CELLS - 2)) == {"current_sensor_drift"}  # two cells witness it
    assert counted(1.1, surer=(0.5, 0.2, CELLS - 1)) == set()  # one does not do


@pytest.mark.parametrize(("drift", "left"), [(-1e-6, 1.0), (1e-6, 0.0)])
def test_a_current_that_surely_drifts_teaches_no_capacity(config: Config, drift: float, left: float) -> None:
    bench = Bench(config)
    bench.run(1.0)
    estimator, value = bench.state.estimator, bench.state.diagnosis.value.copy()
    assert isinstance(estimator, estimators.EstimateState)
    pairs = estimator.pairs.copy()
    estimators.Pairs(*pairs).anchor[:] = 1.0
    value[SUSPICIONS.index("current_drift")] = drift
    bench.state = replace(
        bench.state, estimator=replace(estimator, pairs=pairs), diagnosis=replace(bench.state.diagnosis, value=value)
    )
    bench.run(15.0)
    found = bench.state.estimator
    assert isinstance(found, estimators.EstimateState)
    assert estimators.Pairs(*found.pairs).anchor.tolist() == [left] * CELLS


def test_healthy_spread_stays_silent(config: Config) -> None:
    for seed in range(40):
        told, g = Told(config, seed), np.random.default_rng(100 + seed)
        told.look(0.0)
        at_rest = told.soc
        for hours in (24.0, 48.0):  # as wrong as sigma says, another way a day later
            told.soc = at_rest + 0.005 * g.normal(size=CELLS)
            told.look(hours)
        assert trips(config, told) == set(), seed


def test_unknown_cells_are_not_known_to_be_healthy(config: Config) -> None:
    told = Told(config)
    told.soc = np.where(np.arange(CELLS) == BAD, np.nan, told.soc)
    for hours in (0.0, 24.0, 48.0):
        told.look(hours)
    assert not told.before.known[SUSPICIONS.index("self_discharge"), 0]


def test_suspicions_are_looked_at_once_a_minute_and_renewed_after_a_week(config: Config) -> None:
    told = Told(config)
    first = told.look(0.0)
    assert told.look(0.01) is first
    begin_ns, since_ns = told.look(1.0).then_ns[:, 0]
    assert begin_ns == first.then_ns[0, 0] > NEVER == since_ns
    for hour, since in ((3.0, 3.0), (8.9, 3.0), (9.0, 9.0), (26.9, 9.0), (27.0, 27.0), (80.0, 27.0), (81.0, 81.0)):
        assert ((told.look(hour).then_ns[:, 0] - begin_ns) / HOUR_NS).tolist() == [0.0, since], "in the middle, about"
    assert ((told.look(24.0 * 7).then_ns[:, 0] - begin_ns) / HOUR_NS).tolist() == [81.0, 24.0 * 7]


def test_an_estimate_may_not_open_at_once() -> None:
    row = {
        "name": "x", "signal": "weak_cell", "need": ["cell_voltage"], "above": 0.1, "debounce_s": 1.0, "samples": 2,
        "level": "open", "path": "both", "budget_s": 1.0, "dtc": "P0000", "text": "", "source": "none",
        "covers": ["X1"],
    }  # fmt: skip
    with pytest.raises(ValueError, match="an estimate may warn, derate or ramp"):
        RowFile.model_validate(row)
    assert RowFile.model_validate(row | {"level": "ramp"}).level == "ramp"


def test_behind_foreign_switches_only_what_a_sound_sensor_may_be_off_counts_as_no_current(config: Config) -> None:
    supervised = load("supervised").config
    assert compiled(supervised).learn_C == pytest.approx(diagnose.SOUND_SHARE * 100.0 / 280.0)
    assert compiled(config).learn_C == 0.0, "our own switches say what is zero"
    assert compiled(replay_site("lfp_280ah")).learn_C == estimators.RECORDED_C
