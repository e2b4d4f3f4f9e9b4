"""What the guard counts, names and hands on, to the last sample, tick and ampere."""

from __future__ import annotations

import pytest
from tests.guard.world import ALL_CLOSED, CELLS, CRASH, CURRENT, HIGH, INTERLOCK, LOW, STOP, TEMPS, World

from cellarer.guard.decide import RELEASE_NS, cell_bytes

OPEN_DELAY_MS = 500
# place, value outside its limit, so many in a row trip, whether it then waits for the current
RULES = [
    (CELLS[0], 3.8, 3, True), (CELLS[0], 2.1, 3, True), (HIGH, 3.8, 3, True), (LOW, 2.1, 3, True),
    (TEMPS[0], 63.0, 3, True), (CURRENT, 170.0, 2, True), (CURRENT, -190.0, 2, True),
    (STOP, 1.0, 1, False), (CRASH, 1.0, 1, False), (INTERLOCK, 1.0, 1, True),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value", "samples", "waits"), RULES)
def test_a_rule_trips_at_its_sample_and_opens_when_it_may(place: int, value: float, samples: int, waits: bool) -> None:
    world = World(**{HIGH: {"cell_high": HIGH}, LOW: {"cell_low": LOW}}.get(place, {}))
    world.values[place] = value
    for n in range(1, samples + 1):
        world.tick()
        assert bool(world.guard.trips) == (n == samples)
    opens_ms = world.ms_until_open() if world.held else 0.0
    assert opens_ms is not None and (opens_ms >= OPEN_DELAY_MS) == waits


def test_a_cause_counts_as_gone_after_exactly_a_second() -> None:
    world = World()
    world.values[INTERLOCK] = 1.0
    world.run(700)
    world.wish_bits, world.values[INTERLOCK] = 0, 0.0
    world.tick()
    gone_ns = world.now_ns
    while world.guard.trips:
        world.tick()
    assert world.now_ns - gone_ns == RELEASE_NS


def test_the_element_is_named_as_people_count() -> None:
    world = World()
    world.values |= {CELLS[2]: 3.8, TEMPS[1]: 70.0}
    world.run(50)
    said = {trip.what: (trip.value, trip.limit) for trip in world.guard.trips.values()}
    assert said == {"cell_voltage 3": (3.8, 3.7), "temp_degC 2": (70.0, 62.0)}


@pytest.mark.parametrize("ampere", [0.5, 0.0])
def test_small_limits_are_handed_on_as_they_are(ampere: float) -> None:
    world = World()
    world.wish_changes = {"strings": ((ALL_CLOSED, ampere, ampere, 58.0, 44.0),)}
    world.run(20)
    assert (world.charge_A, world.discharge_A) == (ampere, ampere)


def test_without_a_wish_heater_and_pump_are_off_and_no_path_is_open() -> None:
    world = World()
    assert world.orders.packs[0][1:] == (0.5, 0.5)
    world.control_lives = False
    world.run(200)
    assert world.orders.packs[0] == (0, 0.0, 0.0)


def test_a_link_that_was_restarted_is_no_measured_value() -> None:
    world = World()
    world.guard.link_restarted((0,), world.now_ns)
    (trip,) = world.guard.trips.values()
    assert (trip.value, trip.limit) == (0.0, 0.0)


def test_a_bit_for_each_bleeder_and_two_bytes_for_each_converter() -> None:
    assert [cell_bytes(n) for n in (1, 8, 9, 16, 17)] == [3, 17, 20, 34, 37]
