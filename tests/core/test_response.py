"""Sensors that contradict physics: current the wrong way round, a cell that stands still, heat beside a weak cell."""

from __future__ import annotations

import numpy as np
import pytest
from tests.core.bench import Bench, closed
from tests.core.sites import site

from cellarer.core.response import CLEAR_V
from cellarer.model.values import Phase


def resistive(bench: Bench, current: object, sign: float = 1.0, lag: float = 0.0) -> Bench:
    """Let every cell answer the true current by its resistance; the sensor shows it times `sign`. current: s → A."""
    begin, rest = bench.now_ns, bench.cells.copy()

    def act(b: Bench) -> None:
        t = (b.now_ns - begin) * 1e-9
        b.cells[:] = rest + b.config.cell_ohm * current(t - lag)  # type: ignore[operator]
        b.put("current", sign * current(t))  # type: ignore[operator]

    bench.every_cycle.append(act)
    return bench


def square(period_s: float, amps: float = 50.0) -> object:
    return lambda t: amps if t % (2 * period_s) >= period_s else -amps


def ramps(t: float) -> float:
    """An inverter that takes four seconds to follow."""
    return 50.0 * float(np.interp(t % 20.0, [0.0, 4.0, 10.0, 14.0], [-1.0, 1.0, 1.0, -1.0]))


@pytest.mark.parametrize("current", [square(5.0), ramps], ids=["steps", "ramps"])
def test_a_reversed_current_sensor_is_seen_after_a_few_steps(current: object) -> None:
    bench = resistive(closed("one"), current, sign=-1.0)
    bench.dt_ns = 100_000_000
    assert bench.run(60.0, lambda b: b.active("current_sensor_reversed")) <= 50.0
    bench.run(1.0)
    assert bench.latched("current_sensor_reversed") and not bench.command.plus[0]


@pytest.mark.parametrize("lag", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("current", [square(1.0), square(5.0), ramps], ids=["fast", "steps", "ramps"])
def test_a_sound_current_sensor_is_never_suspected_even_when_voltage_lags(current: object, lag: float) -> None:
    bench = resistive(closed("one"), current, lag=lag)
    bench.dt_ns = 100_000_000
    bench.run(80.0)
    assert not bench.active("current_sensor_reversed") and not bench.active("current_sensor_jumped")
    assert bench.phase() == Phase.CLOSED


def turned(bench: Bench, shown: object, true: object = lambda t: 40.0) -> Bench:
    """Let a current flow and the sensor show another; both s → A."""
    resistive(bench, true)
    begin = bench.now_ns
    bench.every_cycle.append(lambda b: b.put("current", shown((b.now_ns - begin) * 1e-9)))  # type: ignore[operator]
    bench.dt_ns = 100_000_000
    return bench


@pytest.mark.parametrize("shown", [-40.0, 0.0, -150.0], ids=["reversed", "none", "far"])
def test_a_sensor_that_changes_under_a_steady_current_is_seen_in_six_seconds(shown: float) -> None:
    amps = 2.0 * CLEAR_V / closed("one").config.cell_ohm[0]
    bench = turned(closed("one"), lambda t: amps if t < 20.0 else shown / 40.0 * amps, lambda t: amps)
    bench.run(20.0)
    assert not bench.active("current_sensor_jumped")
    assert bench.run(10.0, lambda b: b.active("current_sensor_jumped")) <= 6.0
    bench.run(1.0)
    assert bench.latched("current_sensor_jumped") and not bench.command.plus[0]


@pytest.mark.parametrize(("share", "seen"), [(0.9, False), (1.1, True)])
def test_a_small_jump_is_left_alone(share: float, seen: bool) -> None:
    amps = CLEAR_V / closed("one").config.cell_ohm[0]
    bench = turned(closed("one"), lambda t: 0.0 if t < 20.0 else share * amps, lambda t: 0.0)
    bench.run(30.0)
    assert bench.active("current_sensor_jumped") == seen


@pytest.mark.parametrize("lag", [0.0, 0.4, 1.0, 2.0])
@pytest.mark.parametrize("answer", [0.2, 1.0, 3.0])
def test_steps_that_voltage_answers_late_or_weakly_are_no_jump(lag: float, answer: float) -> None:
    bench = closed("one")
    begin, rest, amps = bench.now_ns, bench.cells.copy(), 4.0 * CLEAR_V / bench.config.cell_ohm[0]

    def act(b: Bench) -> None:
        t = (b.now_ns - begin) * 1e-9
        b.cells[:] = rest + answer * b.config.cell_ohm * (amps if t - lag >= 20.0 else 0.0)
        b.put("current", amps if t >= 20.0 else 0.0)

    bench.every_cycle.append(act)
    bench.dt_ns = 100_000_000
    bench.run(60.0)
    assert not bench.active("current_sensor_jumped")


def drifting(bench: Bench, still: int | None, volts: float = 1e-5) -> Bench:
    """Charge steadily; all cells but one rise, and dither as a converter does."""

    def act(b: Bench) -> None:
        b.cells += volts
        value = b.cells + 1e-4 * (b.state.cycle % 2)
        if still is not None:
            value[still] = 3.3
        b.put("cell_voltage", value)
        b.put("current", 100.0)

    bench.every_cycle.append(act)
    return bench


@pytest.mark.parametrize("still", [2, None])
def test_a_cell_that_stands_still_while_charge_passes_is_stuck(still: int | None) -> None:
    bench = drifting(closed("one"), still, volts=4e-5)
    bench.dt_ns = 200_000_000  # 100 A into 280 Ah: 5 % take 504 s
    bench.run(600.0, lambda b: b.active("cell_reading_stuck"))
    assert bench.active("cell_reading_stuck") == (still is not None)
    if still is not None:
        assert next(e for e in bench.events if e.name == "cell_reading_stuck").cell == still


def heating(bench: Bench, rate: float, sensor: int = 1) -> Bench:
    begin = bench.now_ns
    bench.every_cycle.append(lambda b: b.put("temp_degC", 25.0 + rate * (b.now_ns - begin) * 1e-9, sensor))
    bench.dt_ns = 100_000_000
    return bench


def test_runaway_by_the_rule_of_gb_38031_voltage_and_rate() -> None:
    bench = heating(closed("one"), 1.2)
    bench.cells[3] *= 0.7  # cells 3 and 4 are those of sensor 2
    assert bench.run(12.0, lambda b: b.active("thermal_runaway")) <= 10.0
    bench.step()
    assert bench.latched("thermal_runaway") and not bench.command.plus[0]


@pytest.mark.parametrize(("rate", "share", "runs"), [(1.2, 1.0, False), (0.8, 0.7, False), (1.2, 0.8, False)])
def test_neither_heat_nor_a_weak_cell_alone_is_a_runaway(rate: float, share: float, runs: bool) -> None:
    bench = heating(closed("one"), rate)
    bench.cells[3] *= share
    bench.run(12.0)
    assert bench.active("thermal_runaway") == runs


def test_runaway_by_temperature_and_rate() -> None:
    bench = heating(closed("one"), 3.0)
    assert bench.run(30.0, lambda b: b.active("thermal_runaway")) <= 35.0 / 3.0 + 7.0


@pytest.mark.parametrize(("rate", "share", "runs"), [(0.2, 0.93, True), (0.2, 1.0, False), (0.05, 0.93, False)])
def test_a_sagging_cell_beside_a_sensor_that_warms_alone_is_a_precursor(rate: float, share: float, runs: bool) -> None:
    bench = heating(closed("one"), rate)
    bench.cells[3] *= share
    bench.run(21.0)  # nine windows of 2.3 s, of samples every 0.1 s, and two samples for the medians
    assert bench.active("thermal_runaway_precursor") == runs


def test_a_sensor_that_never_spoke_hides_no_precursor_of_another() -> None:
    bench = Bench(site("ragged"))
    bench.every_cycle.append(lambda b: b.put("temp_degC", np.nan, 0))
    heating(bench, 0.2).cells[np.flatnonzero(bench.config.layout.temp_of_cell == 1)[0]] *= 0.93
    bench.run(21.0, lambda b: b.active("thermal_runaway_precursor"))
    assert bench.active("thermal_runaway_precursor")


def test_a_pack_that_warms_as_a_whole_is_no_precursor() -> None:
    bench = heating(heating(closed("one"), 0.2), 0.2, sensor=0)
    bench.cells[3] *= 0.93
    bench.run(30.0)
    assert not bench.active("thermal_runaway_precursor")


def test_noise_of_sensors_beside_a_weak_cell_is_no_precursor() -> None:
    """As noisy as GB/T 38661 allows; single windows of some sensor look like a rise every few seconds."""
    bench, g = closed("one"), np.random.default_rng(1)
    bench.cells[3] *= 0.93
    bench.dt_ns = 500_000_000
    bench.every_cycle.append(lambda b: b.put("temp_degC", 25.0 + 0.286 * np.clip(g.standard_normal(2), -3.5, 3.5)))
    bench.run(900.0, lambda b: b.active("thermal_runaway_precursor"))
    assert not bench.active("thermal_runaway_precursor") and bench.phase() == Phase.CLOSED
