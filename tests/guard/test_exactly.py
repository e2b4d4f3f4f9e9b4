"""What the guard counts, names and hands on, to the last sample, tick and ampere."""

from __future__ import annotations

import math

import pytest
from tests.guard.world import (
    ALL_CLOSED,
    BALANCING,
    CELLS,
    CRASH,
    CURRENT,
    HIGH,
    INTERLOCK,
    LOW,
    MS,
    STOP,
    TEMPS,
    World,
    limits,
)

from cellarer.guard.decide import RELEASE_NS, Guard, cell_bytes

OPEN_DELAY_MS = 500
# place, value outside its limit, so many in a row trip, whether it then waits for the current, the paths it closes off
# (32 charge, 64 discharge), whether it stays until a reset
RULES = [
    (CELLS[0], 3.8, 3, True, 32, True), (CELLS[0], 2.1, 3, True, 64, False),
    (HIGH, 3.8, 3, True, 32, True), (LOW, 2.1, 3, True, 64, False),
    (TEMPS[0], 63.0, 3, True, 96, True), (CURRENT, 170.0, 2, True, 96, True), (CURRENT, -190.0, 2, True, 96, True),
    (STOP, 1.0, 1, False, 96, False), (CRASH, 1.0, 1, False, 96, True), (INTERLOCK, 1.0, 1, True, 96, False),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["contactors", "fets", "separate"])
@pytest.mark.parametrize(("place", "value", "samples", "waits", "paths", "reset"), RULES)
def test_a_rule_trips_at_its_sample_and_opens_what_it_must_when_it_may(
    kind: str, place: int, value: float, samples: int, waits: bool, paths: int, reset: bool
) -> None:
    world = World(kind, **{HIGH: {"cell_high": HIGH}, LOW: {"cell_low": LOW}}.get(place, {}))
    good, closed = world.values[place], world.held
    world.values[place] = value
    for n in range(1, samples + 1):
        world.tick()
        assert bool(world.guard.trips) == (n == samples)
    assert world.orders.strings[0][0] & 96 == (96 if kind == "contactors" else paths), "a pair shares both"
    begin_ns = world.now_ns
    while world.held == closed and world.now_ns < begin_ns + 1000 * MS:
        world.tick()
    assert ((world.now_ns - begin_ns) // MS >= OPEN_DELAY_MS) == waits
    assert world.held == (0 if kind == "contactors" else {32: 16, 64: 8, 96: 0}[paths])
    world.values[place], world.wish_bits = good, 0
    world.run(1500)
    assert bool(world.guard.trips) == reset


@pytest.mark.parametrize("kind", ["contactors", "fets", "separate", "none"])
def test_what_is_only_too_full_is_bled_and_no_converter_works(kind: str) -> None:
    world = World(kind, closed=False)
    world.run(1500)
    world.values[CELLS[3]] = 3.8
    world.run(30)
    assert world.orders.cells == BALANCING[:1] + bytes(len(BALANCING) - 1)
    world.values[CELLS[0]] = 2.1
    world.run(30)
    assert world.orders.cells == bytes(len(BALANCING)), "another rule objects, too"
    world.values[CELLS[0]] = 3.3
    world.run(1500)
    world.control_lives = False
    world.run(70)
    assert world.orders.cells == bytes(len(BALANCING)), "without consent nothing"


@pytest.mark.parametrize("silent_ms", [600, 610])  # until a look for what is missing, and between two of them
def test_missing_data_counts_as_gone_from_when_it_is_back_and_never_sooner(silent_ms: int) -> None:
    world = World()
    world.silent, world.wish_bits = {CURRENT}, 0
    world.run(silent_ms)
    assert ("no data", 0) in world.guard.trips
    world.silent = set()
    world.tick()
    back_ns = world.now_ns
    while world.guard.trips:
        world.tick()
    assert 0 <= world.now_ns - back_ns - RELEASE_NS <= world.limits.cycle_ns


def test_what_was_never_heard_is_missing_however_early_the_clock_begins() -> None:
    guard = Guard(limits(), 0)
    guard.decide(None, 10 * MS)
    assert ("no data", 0) in guard.trips


@pytest.mark.parametrize("place", [STOP, CRASH, INTERLOCK])
def test_a_fact_is_true_above_its_middle(place: int) -> None:
    world = World()
    world.values[place] = 0.5
    world.run(50)
    assert not world.guard.trips
    world.values[place] = 0.51
    world.run(10)
    assert world.guard.trips


@pytest.mark.parametrize(("place", "bound"), [(CELLS[0], 6.0), (CELLS[0], -0.2), (TEMPS[0], 150.0), (CURRENT, -5000.0)])
def test_what_lies_beyond_the_plausible_is_no_reading(place: int, bound: float) -> None:
    for value, plausible in ((bound, True), (math.nextafter(bound, math.copysign(math.inf, bound)), False)):
        world = World()
        world.values[place] = value
        world.run(2100)
        assert (("no data", 0) not in world.guard.trips) == plausible


def test_a_sample_is_taken_once_and_neither_late_nor_early() -> None:
    world = World()
    t = world.now_ns
    for time_ns, now_ns, taken in ((t - 1, t, False), (t, t, False), (t + 1, t, False), (t + 1, t + 1, True)):
        assert world.guard.receive([(CRASH, 1.0)], time_ns, now_ns) == taken


@pytest.mark.parametrize(("place", "bad", "samples"), [(CELLS[0], 3.8, 3), (CURRENT, 170.0, 2)])
def test_a_good_sample_takes_a_bad_one_back(place: int, bad: float, samples: int) -> None:
    world = World()
    good = world.values[place]
    for value, ticks in ((bad, samples - 1), (good, samples - 1), (bad, samples - 1), (good, 1), (bad, 1)):
        world.values[place] = value
        world.run(10 * ticks)
        assert not world.guard.trips
    world.run(10)
    assert world.guard.trips
    world.run(500)
    checks = world.guard._signals[place].checks
    assert max(check.count for check in checks) == samples, "what has tripped needs no more"
    world.values[place] = good
    world.run(10 * samples)
    assert not any(check.count for check in checks)


def test_a_trip_says_what_began_it_and_what_comes_again_is_said_anew() -> None:
    world = World()
    for value, said in ((3.8, 3.8), (3.9, 3.8), (3.3, 3.8), (4.0, 4.0)):
        world.values[CELLS[0]] = value
        world.run(50)
        (trip,) = world.guard.trips.values()
        assert trip.value == said


def test_a_trip_that_comes_again_needs_its_reset_anew() -> None:
    world = World()
    world.wish_bits = 0
    for value, world.reset in ((3.8, False), (3.3, True), (3.8, False), (3.3, False)):
        world.values[CELLS[0]] = value
        world.run(500)
    world.run(3000)
    assert world.guard.trips


def test_a_reset_counts_from_the_moment_that_the_cause_is_gone() -> None:
    world = World()
    world.values[CELLS[0]] = 3.8
    world.run(50)
    world.values[CELLS[0]], world.wish_bits, world.reset = 3.3, 0, True
    world.run(20)
    world.reset = False
    world.run(900)
    assert world.guard.trips
    world.run(200)
    assert not world.guard.trips


def test_a_rule_with_two_sources_is_bad_until_both_are_good() -> None:
    world = World(cell_high=HIGH)
    world.values |= {CELLS[0]: 3.8, HIGH: 3.8}
    world.run(50)
    world.wish_bits, world.reset = 0, True
    for place, over in ((CELLS[0], False), (HIGH, True)):
        assert world.guard.trips
        world.values[place] = 3.3
        world.run(1500)
        assert (not world.guard.trips) == over


def test_an_emergency_stop_does_not_wait_for_what_another_rule_waits_for() -> None:
    world = World()
    world.values[CURRENT] = 170.0
    world.run(50)
    assert world.guard.trips and world.held
    world.values[STOP] = 1.0
    world.tick()
    assert not world.held


@pytest.mark.parametrize(("ampere", "low"), [(20.0, True), (20.1, False), (-20.0, True), (-20.1, False)])
def test_contacts_open_early_only_at_a_current_that_they_can_break(ampere: float, low: bool) -> None:
    world = World()
    world.values[CURRENT] = ampere
    world.run(50)
    world.control_lives = False
    assert world.ms_until_open() == 60 + 10 + (60 if low else OPEN_DELAY_MS)


def test_without_a_measured_current_it_waits_to_the_end_and_knows_none() -> None:
    world = World(current=None)
    assert world.guard.strings[0].opened_ns is None
    world.control_lives = False
    assert world.ms_until_open() == 60 + 10 + OPEN_DELAY_MS
    assert (world.guard.strings[0].opened_ns, world.guard.strings[0].opened_A) == (world.now_ns, None)


def test_the_wait_begins_anew_after_control_came_back() -> None:
    world = World()
    for world.control_lives, ms in ((False, 400), (True, 100)):
        world.run(ms)
    world.control_lives = False
    assert world.ms_until_open() == 60 + 10 + OPEN_DELAY_MS


@pytest.mark.parametrize(("later_ns", "held_up"), [(0, False), (300 * MS, False), (300 * MS + 1, True), (-1, True)])
def test_a_guard_that_was_held_up_opens_every_string(later_ns: int, held_up: bool) -> None:
    world = World(second=1)
    world.guard.decide(world.wish, world.now_ns + later_ns)
    tripped = {string for name, string in world.guard.trips if name == "guard was held up"}
    assert tripped == ({0, 1} if held_up else set())


def test_a_link_that_was_restarted_opens_its_own_strings() -> None:
    world = World(second=1)
    world.guard.link_restarted((1,))
    assert list(world.guard.trips) == [("link was restarted", 1)]


def test_what_is_missing_is_missing_in_every_string_that_has_it() -> None:
    world = World(second=1)
    for place, strings in ((CELLS[0], {0, 1}), (CURRENT, {0})):
        world.silent = {place}
        world.run(600)
        assert {string for _, string in world.guard.trips} == strings
        world.silent, world.wish_bits = set(), 0
        back_ns = world.now_ns
        while world.guard.trips:
            world.tick()
        assert world.now_ns - back_ns <= RELEASE_NS + 30 * MS, "it is seen within a cycle of 20 ms that it is back"
        world.wish_bits = ALL_CLOSED
        world.run(20)


@pytest.mark.parametrize(("second", "packs"), [(0, [0]), (1, [0, 3])])
def test_a_pack_has_no_permission_that_one_of_its_strings_lost(second: int, packs: list[int]) -> None:
    world = World(second=second)
    world.values[CURRENT] = 170.0
    world.run(50)
    assert [bits for bits, _, _ in world.orders.packs] == packs
    assert {string for _, string in world.guard.trips} == {0}


def test_the_reset_of_another_pack_is_none() -> None:
    world = World(second=1)
    world.values[CURRENT] = 170.0
    world.run(50)
    world.values[CURRENT], world.wish_bits = 50.0, 0
    for packs, tripped in (((3, 35), True), ((35, 3), False)):
        world.wish_changes = {"packs": tuple((bits, 0.5, 0.5) for bits in packs)}
        world.run(1500)
        assert bool(world.guard.trips) == tripped


def test_control_orders_outputs_and_no_vetoes() -> None:
    world = World()
    world.wish_bits = 255
    world.tick()
    assert world.orders.strings[0][0] == 31


SAID = [
    (CELLS[1], 3.8, "cell over-voltage: cell_voltage 2 = 3.8, limit 3.7"),
    (CURRENT, 400.0, "charge over-current: current = 400, limit 160"),
    (CURRENT, -400.0, "discharge over-current: current = -400, limit -180"),
    (STOP, 1.0, "emergency stop"),
    (TEMPS[1], None, "no data: temp_degC 2"),
    (CURRENT, None, "no data: current"),
]


@pytest.mark.parametrize(("place", "value", "said"), SAID)
def test_why_it_opened_is_said_in_one_line(place: int, value: float | None, said: str) -> None:
    world = World()
    if value is None:
        world.silent.add(place)
    else:
        world.values[place] = value
    assert world.ms_until_open() is not None
    assert world.guard.strings[0].opened_why == said


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


def test_a_bit_for_each_bleeder_and_two_bytes_for_each_converter() -> None:
    assert [cell_bytes(n) for n in (1, 8, 9, 16, 17)] == [3, 17, 20, 34, 37]
