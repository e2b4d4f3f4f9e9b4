"""Heater stuck and pump dead in the simulated world: found, and a heater behind the main contacts is cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.core.sites import AUXILIARY, CELL_SIDE, CONTACTORS, CONTACTS, table

from cellarer.config.load import build
from cellarer.core.asked import no_requests
from cellarer.core.cycle import Inputs, start, step
from cellarer.core.decide import cool
from cellarer.model.values import Phase, no_plan
from cellarer.runtime.simulate import RESTING
from cellarer.sim.plant import Plant, no_orders, orders_of

SITE = build(
    table(
        [{"name": "a", "cell": "nmc_50ah", "series": 4, "temperature_sensors": 4, "heater": True, "cooler": True,
          "switchgear": CONTACTORS, "thermal": {"supply": "pack"}}],
        CELL_SIDE + CONTACTS + AUXILIARY,
        simulation={"load": {"kind": "rest"}, "ambient_degC": 20.0},
    ),
    "climate",
)  # fmt: skip


class World:
    """Plant and control in virtual time; long steps while switchgear rests."""

    def __init__(self) -> None:
        self.config = SITE.config
        self.plant = Plant(self.config, SITE.file.simulation, 3)
        self.state, self.orders, self.raised = start(self.config, 0), no_orders(self.config), list[str]()
        self.asked = replace(no_requests(self.config), close=np.ones(1, bool), confirm_unknown_soc=np.ones(1, bool))

    def run(self, seconds: float, longest_s: float = 5.0) -> None:
        end_s = self.plant.time_s + seconds
        while self.plant.time_s < end_s:
            calm = np.isin(self.state.switches.phase, RESTING).all() and self.state.cycle > 1
            self.plant.advance(longest_s if calm else 0.02, self.orders)
            inputs = Inputs(self.plant.sample(), self.asked, no_plan(4, 1))
            self.state, command, events = step(self.config, self.state, inputs, self.plant.time_ns)
            self.orders, self.asked = orders_of(command), no_requests(self.config)
            self.raised += [event.name for event in events if event.kind == "fault"]

    def warm(self, degC: float, around_degC: float) -> None:
        heat = self.plant.heat
        heat.core_degC, heat.surface_degC = np.full_like(heat.core_degC, degC), np.full_like(heat.core_degC, degC)
        heat.node_degC = np.full_like(heat.node_degC, degC)
        self.plant.fixed.ambient_degC = np.full(1, around_degC)


@pytest.fixture
def world() -> World:
    made = World()
    made.run(9.0)  # the first seconds it looks whether all is known
    assert made.state.switches.phase[0] == Phase.CLOSED
    return made


def test_a_stuck_heater_is_found_and_cut(world: World) -> None:
    world.plant.inject("heater_stuck", start_s=world.plant.time_s + 60.0)
    world.run(1800.0)
    assert "heater_runs_unasked" in world.raised
    assert world.state.switches.phase[0] == Phase.OPEN
    hottest, used_J = world.plant.heat.node_degC[0], world.plant.heat.used_J[0, 0]
    world.run(1800.0)
    assert world.plant.heat.used_J[0, 0] == used_J and world.plant.heat.node_degC[0] < hottest
    assert not any("over_temperature" in name for name in world.raised)


def test_a_cold_pack_that_leaves_a_warm_place_is_not_said_to_have_a_stuck_heater(world: World) -> None:
    """Air and coolant were warmed by the room, cells not yet: colder surroundings had opened the pack at once."""
    world.warm(8.0, 8.0)
    world.run(120.0)
    world.plant.fixed.ambient_degC = np.full(1, 36.0)
    world.run(2400.0)
    assert world.plant.heat.node_degC[0] > world.plant.probe_degC.max() + 6.0
    world.plant.fixed.ambient_degC = np.full(1, 8.0)
    world.run(1200.0)
    assert world.raised == [] and world.state.switches.phase[0] == Phase.CLOSED


def test_control_that_starts_anew_beside_warm_coolant_opens_nothing(world: World) -> None:
    """The heater was on until then, and is off now: half an hour of it was taken for granted."""
    world.warm(7.5, 5.0)
    world.plant.heat.node_degC = np.full(1, 20.0)
    world.run(30.0)
    world.state = replace(world.state, climate=cool.start(world.config))
    world.run(1200.0)
    assert world.raised == [] and world.state.switches.phase[0] == Phase.CLOSED


def test_a_chiller_that_is_stuck_is_named_and_the_heater_does_not_work_against_it(world: World) -> None:
    world.plant.heat.chiller_W = np.full(1, 100.0)
    world.plant.inject("pump_stuck", start_s=world.plant.time_s + 60.0)
    world.run(7200.0)
    assert world.raised[0] == "chiller_runs_unasked"
    assert world.plant.probe_degC.max() < 5.0, "cold enough for the heater"
    assert world.plant.heat.used_J[0, 0] < 3600.0 and world.state.switches.phase[0] == Phase.CLOSED


@pytest.mark.parametrize("dead", [False, True])
def test_a_dead_pump_is_found_and_a_good_one_is_not_accused(world: World, dead: bool) -> None:
    world.warm(43.0, 25.0)
    if dead:
        world.plant.inject("pump_stopped")
    world.run(1500.0)
    assert ("coolant_flow_lost" in world.raised) == dead


@pytest.mark.parametrize("seed", range(4))
def test_a_hot_cell_is_found_whenever_it_begins_and_wherever_it_sits(world: World, seed: int) -> None:
    g = np.random.default_rng(seed)
    world.run(float(g.uniform(10.0, 900.0)))
    assert world.raised == []
    world.plant.inject(
        "hot_spot", cell=int(g.integers(0, 4)), start_s=world.plant.time_s + float(g.uniform(0.0, 300.0))
    )
    world.run(3600.0)
    assert "hot_spot" in world.raised


@pytest.mark.parametrize("seed", range(4))
def test_a_pump_that_dies_while_it_cools_is_found_whenever_it_dies(world: World, seed: int) -> None:
    g = np.random.default_rng(seed)
    world.run(float(g.uniform(5.0, 600.0)))
    around = float(g.uniform(15.0, 28.0))
    world.warm(float(g.uniform(42.0, 44.5)), around)
    world.plant.inject("pump_stopped", start_s=world.plant.time_s + float(g.uniform(0.0, 60.0)))
    world.run(2400.0)
    assert "coolant_flow_lost" in world.raised


def test_a_pack_feeds_its_own_heater_and_chargers_feed_others(world: World) -> None:
    world.warm(-5.0, -10.0)
    before, used = world.plant.through_Wh.copy(), world.plant.heat.used_J.sum()
    world.run(900.0)
    given = (world.plant.through_Wh - before)[1].sum()
    used_Wh = (world.plant.heat.used_J.sum() - used) / 3600.0
    assert used_Wh > 1.0
    assert world.plant.fed_Wh[0] == pytest.approx(used_Wh, rel=0.01)
    assert given == pytest.approx(used_Wh, rel=0.02)  # and the leak of the link
    by_mains = replace(world.config.climate, behind=np.zeros(1, bool))
    world.plant.config = replace(world.config, climate=by_mains)
    world.plant.feeds = False
    before, fed = world.plant.through_Wh.copy(), world.plant.fed_Wh.copy()
    world.warm(-5.0, -10.0)
    world.run(60.0)
    assert world.plant.fed_Wh == fed and (world.plant.through_Wh - before)[1].sum() < 0.2


def test_heating_in_the_cold_ends_by_itself_and_raises_nothing(world: World) -> None:
    world.warm(2.0, -5.0)
    world.run(5400.0)
    assert world.plant.heat.used_J[0, 0] > 0.0
    assert world.plant.probe_degC.min() > 3.0 and world.raised == []
