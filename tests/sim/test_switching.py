"""Contactors, precharge and DC link against what can be reckoned by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.sim.world import close, free, plant, site

from cellarer.sim.circuit import Link, solve
from cellarer.sim.plant import no_orders
from cellarer.sim.switchgear import BOUNCE_NS, BOUNCES, CLOSE_NS, MINUS, OPEN_NS, PLUS

YES, NO, ZERO = np.array([True]), np.array([False]), np.zeros(1)


def link(farad: float = 5e-3, leak_S: float = 0.0, volts: float = 0.0) -> Link:
    return Link(np.zeros(1, np.int64), np.array([volts]), np.array([farad]), np.array([leak_S]))


@pytest.mark.parametrize("h", [0.001, 0.05, 0.5, 60.0])
def test_precharge_is_the_curve_of_resistor_and_capacitor(h: float) -> None:
    bus, energy = link(), 0.0
    for _ in range(max(1, round(0.5 / h))):
        flow = solve(bus, np.array([52.0]), np.array([1 / 50.0]), YES, YES, ZERO, ZERO, h)
        bus.volts, energy = flow.volts, energy - float(flow.mean_A[0]) * 52.0 * h
    t = h * max(1, round(0.5 / h))
    assert bus.volts[0] == pytest.approx(52.0 * (1.0 - np.exp(-t / 0.25)), rel=1e-12)
    assert energy == pytest.approx(5e-3 * 52.0 * bus.volts[0], rel=1e-9)  # ∫E·i dt = E·C·v


def test_a_source_on_a_closed_link_is_the_current_of_the_string() -> None:
    flow = solve(link(volts=52.0), np.array([52.0]), np.array([100.0]), YES, YES, np.array([30.0]), ZERO, 1.0)
    assert flow.end_A[0] == pytest.approx(30.0, rel=1e-9)
    assert flow.volts[0] == pytest.approx(52.3, rel=1e-9)


def test_two_strings_share_by_resistance_and_equalise() -> None:
    bus = Link(np.zeros(2, np.int64), np.array([52.0]), np.array([5e-3]), ZERO)
    emf, g = np.array([52.0, 52.2]), np.array([100.0, 50.0])
    both = np.array([True, True])
    flow = solve(bus, emf, g, both, both, np.array([-30.0]), ZERO, 1.0)
    volts = (52.0 * 100 + 52.2 * 50 - 30.0) / 150.0
    assert flow.end_A == pytest.approx([(volts - 52.0) * 100.0, (volts - 52.2) * 50.0], rel=1e-9)


def test_a_string_that_may_not_charge_takes_nothing_from_the_other() -> None:
    bus = Link(np.zeros(2, np.int64), np.array([52.2]), np.array([5e-3]), ZERO)
    emf, g = np.array([52.0, 52.2]), np.array([100.0, 50.0])
    flow = solve(bus, emf, g, np.array([False, True]), np.array([True, True]), ZERO, ZERO, 1.0)
    assert flow.mean_A[0] == 0.0
    assert flow.mean_A[1] == pytest.approx(0.0, abs=1e-9)


def test_a_contactor_closes_late_and_bounces() -> None:
    world = plant(site())
    orders = no_orders(world.config)
    orders.minus[:] = True
    seen = []
    for _ in range(40):
        world.advance(0.001, orders)
        seen.append(bool(world.truth.closed[MINUS, 0]))
    first = seen.index(True)
    assert first == CLOSE_NS // 1_000_000 - 1
    assert seen[first : first + BOUNCES + 1] == [True, False, True, False, True]
    assert all(seen[first + BOUNCES * BOUNCE_NS // 1_000_000 :])


def test_one_long_step_moves_contacts_like_many_short_ones() -> None:
    long, short = plant(site()), plant(site())
    orders = free(long.config)
    orders.plus[:] = False
    orders.precharge[:] = True
    long.advance(1.0, orders)
    for _ in range(1000):
        short.advance(0.001, orders)
    assert long.truth.link_voltage == pytest.approx(short.truth.link_voltage, rel=1e-6)
    assert (long.truth.closed == short.truth.closed).all()


def test_precharge_of_the_plant_ends_at_the_voltage_of_the_string() -> None:
    world = plant(site())
    close(world)
    truth = world.truth
    assert truth.closed[:, 0].tolist() == [True, False, True]
    assert truth.link_voltage[0] == pytest.approx(truth.voltage.sum(), abs=0.01)
    assert truth.resistor_J[0] < 20.0


def test_opening_ends_the_current_and_an_idle_link_falls_below_60_V_within_a_second() -> None:
    world = plant(site(cell="nmc_50ah", series=96, load={"kind": "constant", "current_A": -4.0}))
    orders = close(world)
    world.advance(10.0, orders)
    assert world.truth.current[0] < -3.9
    orders.plus[:] = orders.minus[:] = False
    world.advance(OPEN_NS * 1e-9 + 0.005, orders)
    assert world.truth.current[0] == 0.0
    world.advance(1.0, orders)
    assert world.truth.link_voltage[0] < 60.0


def test_closing_without_precharge_welds_and_so_does_breaking_far_too_much() -> None:
    world = plant(site(cell="nmc_50ah", series=96))
    orders = free(world.config)
    world.advance(0.2, orders)
    orders.plus[:] = orders.minus[:] = False
    world.advance(1.0, orders)
    assert world.truth.closed[[MINUS, PLUS], 0].any()

    world = plant(site(series=16))
    orders = close(world)
    world.inject("overcurrent_discharge", start_s=world.time_s, size=10.0)
    world.advance(0.1, orders)
    orders.plus[:] = orders.minus[:] = False
    world.advance(0.1, orders)
    assert world.truth.closed[[MINUS, PLUS], 0].all()


def test_coils_let_go_when_their_supply_sags() -> None:
    world = plant(site())
    orders = close(world)
    world.inject("coil_sag", start_s=world.time_s)
    world.advance(0.1, orders)
    assert not world.truth.closed.any()


@pytest.mark.parametrize("kind", ["fets", "separate"])
def test_switches_of_one_direction_pass_only_that(kind: str) -> None:
    for current, name in ((5.0, "discharge_switch"), (-5.0, "charge_switch")):
        world = plant(
            site(kind=kind, cell="lg_18650hg2", series=13, parallel=4, load={"kind": "constant", "current_A": current})
        )
        orders = free(world.config, cell_V=4.2)
        world.advance(5.0, orders)
        assert world.truth.current[0] == pytest.approx(current, rel=0.01)
        getattr(orders, name)[:] = False
        world.advance(5.0, orders)
        assert world.truth.current[0] == pytest.approx(current, rel=0.01), "the other switch was opened"
        orders.charge_switch[:] = name == "charge_switch"
        orders.discharge_switch[:] = name == "discharge_switch"
        getattr(orders, name)[:] = False
        world.advance(5.0, orders)
        assert abs(world.truth.current[0]) < 0.01


def test_a_fuse_melts_under_a_short_and_not_under_rated_current() -> None:
    world = plant(site(series=16, load={"kind": "constant", "current_A": -100.0}))
    orders = close(world)
    world.advance(600.0, orders)
    assert not world.fuse.blown.any()
    world.inject("external_short", start_s=world.time_s)
    world.advance(5.0, orders)
    assert world.fuse.blown.all()
    assert world.truth.current[0] == 0.0
