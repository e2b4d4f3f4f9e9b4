"""Rounds of power and energy: the same as all cells at once, whole within their period, even over the cycles."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from tests.core.bench import Bench
from tests.core.sites import CELL_SIDE, CONTACTS, FACTS, pack, table

from cellarer.config.load import build
from cellarer.core import estimate as estimators
from cellarer.core import forecast
from cellarer.core.decide.signals import Look
from cellarer.core.estimate.energy import walks
from cellarer.core.estimate.power import promises
from cellarer.core.slow import compiled
from cellarer.model.config import Config
from cellarer.model.values import HORIZONS_S

CELLS = 100


@pytest.fixture(scope="module")
def config() -> Config:
    return build(table([pack("a", CELLS, temperature_sensors=4)], CELL_SIDE + CONTACTS + FACTS), "rounds").config


def known(config: Config, dt_ms: float = 20.0) -> Bench:
    """Return a bench whose SOC is known and whose cells differ."""
    bench = Bench(config, dt_ms)
    bench.cells = bench.cells + np.linspace(-0.02, 0.02, CELLS)
    bench.step(set_soc=0.5)
    bench.run(2.5)
    return bench


def test_a_part_of_the_cells_says_what_all_say(config: Config) -> None:
    state, tables = known(config).state.estimator, compiled(config)
    assert isinstance(state, estimators.EstimateState)
    owner, core, heat_A2 = np.zeros(CELLS, np.int64), np.full(CELLS, -np.inf), np.zeros((2, 1))
    whole = promises(tables, state, config.cell_limits, 10.0, core, heat_A2, owner, slice(0, CELLS))
    said = estimators.power(tables, state, config.cell_limits, 10.0)
    current = np.linspace(-20.0, 5.0, CELLS)
    energy = estimators.energy(tables, state, config.cell_limits, current)
    for begin in range(0, CELLS, 29):
        part = slice(begin, min(begin + 29, CELLS))
        piece = promises(tables, state, config.cell_limits, 10.0, core, heat_A2, owner, part)
        np.testing.assert_array_equal(piece, whole[:, :, part])
        np.testing.assert_array_equal(piece[0, 0], said.charge_W[part])
        left = walks(tables, state, config.cell_limits, current[part], part)
        np.testing.assert_array_equal(left[1, 0], energy.energy_Wh[part])


def test_a_round_is_whole_within_its_period_and_even(config: Config) -> None:
    bench = known(config)
    rounds, most, whole = 0, 0, 2 * CELLS  # 10 s and one other horizon
    told = set()
    for _ in range(200):  # four seconds
        before, told_before = bench.state.forecast.power, bench.state.estimate.sop_W
        bench.step()
        now = bench.state.forecast.power
        assert now.done >= before.done or before.done == whole  # none begins before the last is whole
        rounds += before.done < whole == now.done
        assert now is before or bench.state.estimated_ns < bench.now_ns  # beside no estimation
        most = max(most, now.done - before.done)
        told |= set(np.flatnonzero((bench.state.estimate.sop_W != told_before).any(axis=(1, 2))).tolist())
    assert rounds == 4
    assert most <= forecast.POWER_CELLS
    assert told <= set(range(len(HORIZONS_S)))
    assert np.isfinite(bench.state.estimate.sop_W).all()


def test_long_cycles_do_a_round_at_once(config: Config) -> None:
    bench = known(config, dt_ms=1000.0)
    for _ in range(3):
        bench.step()
        assert bench.state.forecast.power.done == 2 * CELLS
        assert bench.state.power_ns == bench.now_ns
    assert not np.isnan(bench.state.estimate.energy_Wh).any()
    assert (bench.state.estimate.energy_sigma_Wh > 0.0).all()


@pytest.mark.parametrize("plain", [False, True])
def test_times_end_where_voltage_does(config: Config, plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if plain:
        monkeypatch.setattr(import_module("cellarer.core.estimate.energy"), "_kernel", None)
    bench = known(config, dt_ms=5000.0)
    bench.put("temp_degC", -15.0)
    capacity = float(config.capacity_Ah[0])
    for way, ampere in ((1, -0.5 * capacity), (0, 0.3 * capacity)):
        bench.put("current", ampere)
        bench.run(1500.0)  # the mean has settled
        said, tables, state = bench.state.estimate, compiled(config), bench.state.estimator
        assert isinstance(state, estimators.EstimateState)
        now = estimators.energy(tables, state, config.cell_limits, np.full(CELLS, said.mean_A[0]))
        times, plain_s = (said.time_to_full_s, said.time_to_empty_s)[way], 3600.0 / abs(said.mean_A[0])
        np.testing.assert_allclose(times, min((now.to_full_s, now.to_empty_s)[way]), rtol=0.03, atol=20.0)
        charge = said.string_soc[0] * said.usable_Ah[0]
        if way:
            assert times[0] < 0.95 * charge * plain_s
        else:
            assert times[0] > 1.05 * (said.usable_Ah[0] - charge) * plain_s
        assert said.time_sigma_s[0] > 0.02 * times[0]  # in the cold resistance is in doubt


def test_the_weakest_cell_binds_and_is_named(config: Config) -> None:
    bench = known(config)
    said, tables, state = bench.state.estimate, compiled(config), bench.state.estimator
    assert isinstance(state, estimators.EstimateState)
    owner, heat_A2 = np.zeros(CELLS, np.int64), bench.state.forecast.heat_A2
    (_, charge_A, _), (_, discharge_A, why) = promises(
        tables, state, config.cell_limits, 10.0, said.core_degC, heat_A2, owner, slice(0, CELLS)
    )
    assert said.sop_cell[1, 1, 0] == np.argmin(discharge_A)
    assert said.sop_cell[1, 0, 0] == np.argmin(charge_A)
    least = discharge_A.min()
    assert said.sop_A[1, 1, 0] == pytest.approx(least, rel=0.05)  # the image has cooled since
    # constant power of the string is no more than that current at what all cells show now
    assert said.discharge_10s_W[0] <= 1.001 * said.sop_A[1, 1, 0] * bench.cells.sum()
    assert (np.diff(said.sop_W[1:, :, 0], axis=0) <= 0.001 * said.sop_W[1, :, 0]).all()  # the longer, the less
    assert said.sop_reason[1, 1, 0] == why[np.argmin(discharge_A)]


@pytest.mark.parametrize("plain", [False, True])
def test_of_a_string_with_an_unmeasured_cell_nothing_is_promised(
    config: Config, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if plain:
        monkeypatch.setattr(import_module("cellarer.core.estimate.power"), "_kernel", None)
    bench = known(config)
    bench.cells = np.where(np.arange(CELLS) == 7, np.nan, bench.cells)
    bench.run(2.5)
    assert np.isnan(bench.state.estimate.sop_W[1]).all()
    assert (bench.state.window.charge_A == 0.0).all()


def test_the_thermal_image_remembers_load_and_forgets_it(config: Config) -> None:
    bench = known(config)
    look = Look(config, bench.state.seen, None, bench.state.watch, bench.state, bench.now_ns)  # type: ignore[arg-type]
    hold = config.cell_limits[0].discharge_A[0] * config.parallel[0]
    loaded = forecast.warmed(look, np.zeros((2, 1)), np.array([-hold]), 1e4)
    np.testing.assert_allclose(loaded[1], config.cell_limits[0].discharge_A[0] ** 2, rtol=1e-6)
    assert (forecast.warmed(look, loaded, np.zeros(1), 1e4) < 1e-6).all()
    unsure = forecast.warmed(look, np.zeros((2, 1)), np.array([np.nan]), 1e4)
    np.testing.assert_allclose(unsure[1], loaded[1], rtol=1e-6)
