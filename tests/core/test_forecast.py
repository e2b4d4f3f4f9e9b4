"""Rounds of power and energy: the same as all cells at once, whole within their period, even over the cycles."""

from __future__ import annotations

import numpy as np
import pytest
from tests.core.bench import Bench
from tests.core.sites import CELL_SIDE, CONTACTS, FACTS, pack, table

from cellarer.config.load import build
from cellarer.core import estimate as estimators
from cellarer.core import forecast
from cellarer.core.slow import compiled
from cellarer.model.config import Config

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
    current = np.linspace(-20.0, 5.0, CELLS)
    power = estimators.power(tables, state, config.cell_limits, forecast.HORIZON_S)
    energy = estimators.energy(tables, state, config.cell_limits, current)
    for begin in range(0, CELLS, forecast.POWER_CELLS):
        part = slice(begin, min(begin + forecast.POWER_CELLS, CELLS))
        of_part = forecast._part(tables, state, part)
        np.testing.assert_array_equal(
            estimators.power(*of_part, config.cell_limits, forecast.HORIZON_S).charge_W, power.charge_W[part]
        )
        np.testing.assert_allclose(
            estimators.energy(*of_part, config.cell_limits, current[part]).energy_Wh, energy.energy_Wh[part], rtol=1e-12
        )


def test_a_round_is_whole_within_its_period_and_even(config: Config) -> None:
    bench = known(config)
    rounds, most = 0, 0
    for _ in range(100):  # two seconds
        before = bench.state.forecast
        bench.step()
        now = bench.state.forecast
        assert now.power_done >= before.power_done or before.power_done == CELLS  # none begins before the last is whole
        rounds += before.power_done < CELLS == now.power_done
        most = max(most, now.power_done - before.power_done)
        changed = np.count_nonzero(now.charge_A != before.charge_A)
        assert changed <= forecast.POWER_CELLS
    assert rounds == 2
    assert most <= forecast.POWER_CELLS
    assert not np.isnan(bench.state.forecast.charge_A).any()


def test_long_cycles_do_a_round_at_once(config: Config) -> None:
    bench = known(config, dt_ms=1000.0)
    for _ in range(3):
        bench.step()
        assert bench.state.forecast.power_done == CELLS
        assert bench.state.power_ns == bench.now_ns
    assert not np.isnan(bench.state.estimate.energy_Wh).any()
