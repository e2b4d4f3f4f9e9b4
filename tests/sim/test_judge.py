"""Ground truth against what can be reckoned by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.sim.world import plant, site

from cellarer.sim import judge, stretch


def test_energy_is_what_a_discharge_gives_and_the_plant_is_untouched() -> None:
    world = plant(site(cell="nmc_50ah", series=6, spread=0.0))
    soc = world.cells.soc
    wh = judge.energy_Wh(world, np.array([100.0]), np.array([3.0]))[0]
    assert world.cells.soc is soc
    stored = 0.5 * world.config.capacity_Ah[0] * 3.45 * 6  # half full; the lower half of an NMC has some 3.45 V
    assert wh == pytest.approx(stored, rel=0.06)
    faster = judge.energy_Wh(world, np.array([1000.0]), np.array([3.0]))[0]
    assert faster < wh


def test_the_weakest_cell_ends_the_discharge() -> None:
    world = plant(site(cell="nmc_50ah", series=6, spread=0.0))
    whole = judge.energy_Wh(world, np.array([100.0]), np.array([3.0]))[0]
    world.inject("cell_low", cell=3, size=-0.2)
    world.faults.apply(0)
    assert judge.energy_Wh(world, np.array([100.0]), np.array([3.0]))[0] == pytest.approx(0.6 * whole, rel=0.08)


@pytest.mark.parametrize("charge", [True, False])
def test_a_promised_power_can_be_held_and_no_more(charge: bool) -> None:
    world = plant(site(cell="nmc_50ah", series=6))
    bound, most = np.array([4.1 if charge else 3.4]), np.array([500.0])
    watts = judge.power_W(world, 10.0, bound, most, charge=charge)
    sign = 1.0 if charge else -1.0
    for factor, within in ((1.0, True), (1.01, False)):
        twin = judge.twin(world)
        for _ in range(100):
            power = sign * factor * watts
            volts, current = stretch.step(twin, judge.at_power(power), 0.1, tries=6)
        inside = volts.max() <= 4.1 + 1e-3 if charge else volts.min() >= 3.4 - 1e-3
        assert bool(inside and abs(current[0]) <= 500.0) == within


def test_a_current_limit_binds_where_voltage_does_not() -> None:
    world = plant(site(cell="nmc_50ah", series=6))
    watts = judge.power_W(world, 10.0, np.array([2.5]), np.array([20.0]), charge=False)[0]
    assert watts == pytest.approx(20.0 * world.truth.voltage.sum(), rel=0.03)
