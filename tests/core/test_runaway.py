"""Thermal runaway is called so at any speed, also where the sensor does not outlive it; a broken sensor never is.

One string of three cells and one sensor for each course of a reading, sample period and phase, all at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pytest
from tests.core.bench import Bench, closed
from tests.core.sites import CELL_SIDE, CONTACTS, pack, table

from cellarer.config.load import build
from cellarer.core.validate import CALM_NS, CLIMB_K
from cellarer.model.quantities import BY_NAME

Reading = Callable[[float], float]  # degC at a time after the onset, s
AS_IT_IS = np.inf  # instead of what a sensor says beyond its range
DT_S, COOL, HIGHEST, SILENT = 0.05, 25.0, BY_NAME["temp_degC"].high, np.nan
PHASES = (0.02, 0.3, 0.6, 0.95)
PERIODS_S = (0.1, 0.25, 0.5, 1.0)
SENSOR, CELL = 1, 3  # of site "one": cells 3 and 4 are those of its second sensor


class Course:
    """One sensor: what it reads, how often, how much of a period after a sample the onset is, what it says then."""

    def __init__(self, reading: Reading, period_s: float, phase: float, gone: float = AS_IT_IS) -> None:
        self.reading, self.every, self.gone, self.dead = reading, round(period_s / DT_S), gone, False
        self.onset_s = (4.0 - phase) * period_s  # the sample at 4 periods is the first after it

    def sample(self, step: int) -> float | None:
        """Return a fresh reading; None = nothing comes."""
        if step % self.every:
            return None
        x = self.reading(step * DT_S - self.onset_s)
        self.dead |= bool(np.isfinite(self.gone) or np.isnan(self.gone)) and not -50.0 <= x <= HIGHEST
        if self.dead:
            return None if np.isnan(self.gone) else self.gone
        return None if np.isnan(x) else x


def called(courses: Sequence[Course], seconds: float, falls: bool = False) -> np.ndarray:
    """Return when each is called a runaway, s after its onset; NaN = never. falls: a cell loses its voltage with it."""
    packs = [pack(f"p{n}", 3, strings=min(100, len(courses) - n), temperature_sensors=1)
             for n in range(0, len(courses), 100)]  # fmt: skip
    bench = Bench(build(table(packs, CELL_SIDE + CONTACTS), "many").config, dt_ms=1e3 * DT_S)
    row, when = bench.row("thermal_runaway"), np.full(len(courses), np.nan)
    bench.put("temp_degC", COOL)
    for step in range(round(seconds / DT_S)):
        for n, course in enumerate(courses):
            x = course.sample(step)
            bench.silence("temp_degC", n, on=x is None)
            if x is not None:
                bench.put("temp_degC", x, n)
            if falls and step * DT_S >= course.onset_s:
                bench.cells[3 * n] = 0.7 * 3.3
        bench.step()
        now = bench.state.faults.active[row] & np.isnan(when)
        when[now] = step * DT_S - np.array([c.onset_s for c in courses])[now]
    assert (bench.state.faults.latched[row] == ~np.isnan(when)).all()
    return when


def rising(rate: float) -> Reading:
    first = COOL if rate > 2.0 else 54.0
    return lambda t: first + rate * max(t, 0.0)


@pytest.mark.timeout(300)
def test_it_is_called_at_every_speed_that_leaves_two_steep_steps() -> None:
    """Whether the sensor goes on, leaves its range to either side, or falls silent."""
    two = (HIGHEST - COOL - CLIMB_K) / 2.0
    cases = [case for case in product((1.1, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0), PERIODS_S, PHASES,
                                      (AS_IT_IS, 200.0, -60.0, SILENT)) if case[0] * case[1] <= two]  # fmt: skip
    when = called([Course(rising(rate), *of) for rate, *of in cases], 22.0)
    hot_s = np.array([(60.0 - rising(rate)(0.0)) / rate for rate, *_ in cases])
    late = [(case, t) for case, t, hot in zip(cases, when, hot_s, strict=True) if not t <= hot + 10.0]
    assert not late, late
    assert len(cases) > 400


@pytest.mark.timeout(300)
def test_with_a_cell_that_loses_its_voltage_one_steep_step_is_enough() -> None:
    cases = list(product((5.0, 20.0, 50.0, 100.0, 200.0), PERIODS_S, PHASES))
    when = called([Course(rising(rate), *of, gone=200.0) for rate, *of in cases], 14.0, falls=True)
    for (rate, period_s, phase), t in zip(cases, when, strict=True):
        firsts = [COOL + rate * period_s * (phase + n) for n in range(3)]
        steps = sum(x <= HIGHEST for x in firsts) - (rate * period_s * phase < CLIMB_K)
        assert (t <= 10.0) == (steps > 0), (rate, period_s, phase, t)
    assert np.isnan(when).any()  # 200 K/s once a second: a leap to the rail, as any short circuit


def loose(rail: float, time_s: float) -> Reading:
    return lambda t: COOL if t < 0.0 or int(t / time_s) % 2 else rail


def wild(size: float, every: int) -> Reading:
    return lambda t: COOL + (size if t >= 0.0 and round(t / DT_S) % (20 * every) < 20 else 0.0)


def noisy(seed: int, first: float, quantum: float) -> Reading:
    """Warm by 2 K/min, in errors as far as GB/T 38661-2020 allows above 65 degC, 3 K."""
    g = np.random.default_rng(seed)

    def read(t: float) -> float:
        x = first + t / 30.0 + float(np.clip(1.5 * g.standard_normal(), -3.0, 3.0))
        return quantum * round(x / quantum) if quantum else x

    return read


RAILS = (149.0, 200.0, 110.0, -49.0, -60.0)
SOUND: dict[str, list[Reading]] = {
    "breaks": [lambda t, r=r: COOL if t < 0.0 else r for r in RAILS],  # type: ignore[misc]
    "breaks halfway through a reading": [
        lambda t, r=r: COOL if t < 0.0 else 0.5 * (COOL + r) if t < 0.1 else r  # type: ignore[misc]
        for r in (200.0, -49.0, -60.0)
    ],
    "loose contact": [loose(rail, time_s) for rail in RAILS for time_s in (0.1, 0.3, 1.0, 2.4)],
    "comes back": [
        lambda t: COOL if t < 0.0 or t > 5.0 else SILENT, lambda t: COOL if t < 0.0 or t > 5.0 else -60.0,
        lambda t: COOL if t < 0.0 else min(-45.0 + 30.0 * t, COOL),
        lambda t: COOL if t < 0.0 or t > 5.0 else 200.0,
    ],
    "wild samples": [wild(size, every) for size in (8.0, 40.0, 120.0, -60.0) for every in (2, 3, 5, 12)],
    "noise": [noisy(seed, first, quantum) for seed in range(2) for first in (25.0, 58.0, 70.0)
              for quantum in (0.0, 1.0)],
    "drop-outs": [lambda t: SILENT if int(t / 0.2) % 3 == 2 else COOL + 0.03 * t],
}  # fmt: skip


@pytest.mark.timeout(300)
def test_no_broken_or_noisy_sensor_is_a_runaway() -> None:
    cases = [(name, n, period_s, phase, gone) for name, readings in SOUND.items() for n in range(len(readings))
             for period_s in (0.1, 0.5, 1.0) for phase in (0.02, 0.5) for gone in (AS_IT_IS, SILENT)
             if gone is AS_IT_IS or name.startswith("breaks")]  # fmt: skip
    when = called([Course(SOUND[name][n], period_s, phase, gone) for name, n, period_s, phase, gone in cases], 24.0)
    assert not [case for case, t in zip(cases, when, strict=True) if t == t]


def test_drop_outs_hide_no_runaway() -> None:
    cut: list[Reading] = [
        lambda t, rate=rate: SILENT if int(t / 0.2) % 3 == 2 else COOL + rate * max(t, 0.0)  # type: ignore[misc]
        for rate in (20.0, 50.0, 100.0)
    ]
    assert (called([Course(x, 0.1, phase) for x in cut for phase in PHASES], 8.0) < 10.0).all()


def stepped(*readings: float, dt_s: float = 0.1) -> Bench:
    """Return a closed bench after these readings of one sensor."""
    bench = closed("one")
    bench.dt_ns = round(dt_s * 1e9)
    for degC in readings:
        bench.put("temp_degC", degC, SENSOR)
        bench.step()
    return bench


def steps(bench: Bench) -> int:
    return int(bench.state.watch.climbs[SENSOR])


def test_a_called_runaway_opens_at_once_and_names_sensor_and_speed() -> None:
    bench = stepped(COOL, 45.0, 65.0, 85.0)
    (told,) = [e for e in bench.events if e.name == "thermal_runaway"]
    assert told.cell == SENSOR and told.value == pytest.approx(200.0)
    assert bench.latched("thermal_runaway") and not bench.command.plus[0]


@pytest.mark.parametrize(("step_K", "count"), [(CLIMB_K - 0.01, 0), (CLIMB_K, 1)])
def test_both_sides_of_a_steep_step(step_K: float, count: int) -> None:
    assert steps(stepped(COOL, COOL + step_K)) == count


@pytest.mark.parametrize(("dt_s", "count"), [(2.25, 2), (2.30, 0)])
def test_both_sides_of_the_time_of_a_step(dt_s: float, count: int) -> None:
    assert steps(stepped(COOL, COOL + 10.0, COOL + 20.0, dt_s=dt_s)) == count


@pytest.mark.parametrize(("fall_K", "count"), [(CLIMB_K - 0.01, 1), (CLIMB_K, 0)])
def test_both_sides_of_a_fall(fall_K: float, count: int) -> None:
    assert steps(stepped(COOL, COOL + 10.0, COOL + 10.0 - fall_K)) == count


@pytest.mark.parametrize(("after_s", "count"), [(-0.1, 0), (0.1, 1)])
def test_a_sensor_that_fell_counts_no_steps_for_its_time(after_s: float, count: int) -> None:
    bench = stepped(COOL, COOL - CLIMB_K)
    bench.run(CALM_NS * 1e-9 + after_s - 0.1)
    bench.put("temp_degC", COOL + 10.0, SENSOR)
    bench.step()
    assert steps(bench) == count


def test_a_sensor_that_reads_by_chance_makes_no_steps_once_it_fell() -> None:
    bench, g = stepped(120.0, 20.0, dt_s=0.5), np.random.default_rng(1)
    for degC in g.uniform(-50.0, 150.0, 600):
        bench.put("temp_degC", degC, SENSOR)
        bench.step()
        assert steps(bench) == 0


@pytest.mark.parametrize(("beyond_K", "calls"), [(-0.1, False), (0.0, True)])
def test_steps_that_do_not_end_too_hot_are_no_runaway_without_a_voltage(beyond_K: float, calls: bool) -> None:
    hot = float(closed("one").config.limits.discharge_hot_degC[0]) + beyond_K
    bench = stepped(hot - 10.0, hot + 5.0)  # of 25, 50, 65 two steps
    assert steps(bench) == 2 and not bench.active("thermal_runaway")
    bench = stepped(hot - 20.0, hot - 10.0, hot)
    assert steps(bench) == 3 and bench.active("thermal_runaway") == calls


@pytest.mark.parametrize(("after_s", "calls"), [(9.8, True), (10.4, False)])
def test_what_a_dead_sensor_last_said_counts_for_its_time(after_s: float, calls: bool) -> None:
    bench = stepped(COOL, 50.0, 200.0)
    bench.run(after_s - 0.4)
    bench.cells[CELL] = 2.3
    bench.run(0.3)  # medians
    assert bench.active("thermal_runaway") == calls
