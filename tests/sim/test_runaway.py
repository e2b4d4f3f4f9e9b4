"""A cell that gets too hot runs away, one that does not stays as it is, and neighbours follow."""

from __future__ import annotations

import numpy as np
from tests.sim.world import close, plant, site


def test_below_its_onset_nothing_reacts() -> None:
    world = plant(site())
    world.inject("pack_hot", size=75.0)
    orders = close(world)
    world.advance(3600.0, orders)
    assert (world.runaway.done == 0.0).all()


def test_a_cell_heated_beyond_its_onset_goes_by_itself_loses_its_voltage_and_vents() -> None:
    world = plant(site(cell="nmc_50ah", series=6))
    orders = close(world, cell_V=4.2)
    before = world.sensors.value[world.layout.where["gas"]][0]
    world.inject("cell_hot", cell=2, size=170.0, start_s=world.time_s)
    world.advance(30.0, orders)
    world.faults.end()
    gas = []
    for _ in range(120):
        world.advance(5.0, orders)
        gas.append(world.sensors.value[world.layout.where["gas"]][0])
    hot = world.truth
    assert world.runaway.done[2] > 0.9
    assert hot.core_degC[3] > 60.0, "the neighbour is heated"
    assert hot.voltage[2] < 0.5 < hot.voltage[5]
    assert before == 0.0 and gas[-1] == 1.0


def test_heat_of_a_runaway_is_bounded() -> None:
    world = plant(site(cell="nmc_50ah", series=6))
    world.runaway.done = np.zeros(6)
    for _ in range(200):
        world.runaway.heat_W(np.full(6, 400.0), 1.0)
    total = world.runaway.done.sum()
    assert 5.9 < total <= 6.0
