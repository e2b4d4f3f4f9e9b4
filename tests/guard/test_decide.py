"""The guard opens on what it must, on nothing else, in time, and says why. Virtual time, no processes."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest
from tests.guard.world import (
    ALL_CLOSED,
    BALANCING,
    CELLS,
    CRASH,
    CURRENT,
    FETS,
    HIGH,
    INTERLOCK,
    LOW,
    MS,
    STOP,
    TEMPS,
    World,
    limits,
)

from cellarer.guard.decide import Guard

# place, last value inside the limit, first value outside it, longest time to open with a current that does not fall
LIMITS = [
    (CELLS[0], 3.7, 3.7001, 540),
    (CELLS[3], 2.2, 2.1999, 540),
    (TEMPS[1], 62.0, 62.01, 540),
    (CURRENT, 160.0, 160.1, 530),
    (CURRENT, -180.0, -180.1, 530),
    (STOP, 0.0, 1.0, 10),
    (CRASH, 0.0, 1.0, 10),
    (INTERLOCK, 0.0, 1.0, 520),
]


@pytest.mark.parametrize(("place", "inside", "outside", "ms"), LIMITS)
def test_both_sides_of_every_limit(place: int, inside: float, outside: float, ms: float) -> None:
    world = World()
    world.values[place] = inside
    assert world.ms_until_open(2000) is None
    world.values[place] = outside
    took = world.ms_until_open()
    assert took is not None
    assert took <= ms
    assert world.guard.strings[0].opened_why


@pytest.mark.parametrize(("place", "outside"), [(CELLS[3], 2.0), (CURRENT, 200.0), (STOP, 1.0)])
def test_nothing_is_bled_or_moved_between_cells_while_a_rule_objects(place: int, outside: float) -> None:
    world = World()
    world.tick()
    assert world.orders.cells == BALANCING
    world.values[place] = outside
    for _ in range(3):
        world.tick()
    assert world.orders.cells == bytes(len(BALANCING))
    silent = World()
    silent.control_lives = False
    for ms in range(10, 71, 10):
        silent.tick()
        assert silent.orders.cells == (BALANCING if ms <= 60 else bytes(len(BALANCING)))


def test_a_limit_that_cannot_be_compared_permits_nothing() -> None:
    """The limits file refuses NaN; should one get in all the same, every sample is bad."""
    known = limits()
    unknown = replace(known, strings=(replace(known.strings[0], cell_voltage_max_V=math.nan), *known.strings[1:]))
    now_ns = 1_000_000 * MS
    guard = Guard(unknown, now_ns)
    tripped = [guard.receive([(CELLS[0], 3.3)], now_ns + k * MS, now_ns + k * MS) for k in range(1, 4)]
    assert tripped == [False, False, True], "the third sample counts"


@pytest.mark.parametrize(("place", "inside", "outside"), [(HIGH, 3.7, 3.7001), (LOW, 2.2, 2.1999)])
def test_a_battery_that_hides_its_cells_is_watched_by_its_extremes(place: int, inside: float, outside: float) -> None:
    world = World(cells=[0, 0], cell_high=HIGH, cell_low=LOW)
    world.values[place] = inside
    assert world.ms_until_open(2000) is None
    world.values[place] = outside
    assert world.ms_until_open() == 30 + 500, "the third sample counts, then it waits for the current"
    world.values[place], world.wish_bits = inside, 0
    world.run(1500)
    assert bool(world.guard.trips) == (place == HIGH), "only over-voltage asks for a reset"
    world.reset = True
    world.run(20)
    assert not world.guard.trips
    silent = World(cells=[0, 0], cell_high=HIGH, cell_low=LOW)
    silent.silent.add(place)
    assert silent.ms_until_open(4000) is not None


def test_of_a_partly_measured_string_the_measured_cells_are_watched_and_the_others_are_not_missed() -> None:
    world = World(absent=[CELLS[1], TEMPS[0]])
    world.silent |= {CELLS[1], TEMPS[0]}
    assert world.ms_until_open(4000) is None
    world.values[CELLS[2]] = 3.8
    assert world.ms_until_open() is not None


@pytest.mark.parametrize(("place", "inside", "outside", "ms"), LIMITS)
def test_limits_go_to_zero_before_it_opens(place: int, inside: float, outside: float, ms: float) -> None:
    world = World()
    world.values[place] = outside
    world.run(30)
    assert (world.charge_A, world.discharge_A) == (0.0, 0.0)


@pytest.mark.parametrize(("place", "outside"), [(CELLS[1], 4.5), (CELLS[1], 1.0), (TEMPS[0], 90.0), (CURRENT, 900.0)])
def test_one_wild_sample_trips_nothing(place: int, outside: float) -> None:
    world = World()
    good = world.values[place]
    for _ in range(20):
        world.values[place] = outside
        world.tick()
        world.values[place] = good
        world.run(50)
    assert world.held == ALL_CLOSED


def test_lost_control_opens_when_the_current_has_fallen() -> None:
    world = World()
    world.control_lives = False
    world.run(70)
    assert world.held == ALL_CLOSED
    assert world.charge_A == 0.0
    world.values[CURRENT] = 20.0
    took = world.ms_until_open()
    assert took is not None
    assert took <= 80
    assert world.guard.strings[0].opened_A == 20.0
    assert world.guard.strings[0].opened_why == "control is silent"


def test_lost_control_opens_regardless_after_the_delay() -> None:
    world = World()
    world.control_lives = False
    assert world.ms_until_open() == 60 + 10 + 500, "consent ends after 60 ms, the wait is 500 ms"
    assert world.guard.strings[0].opened_A == 50.0


def test_a_low_current_must_be_measured_after_the_limits_went_to_zero() -> None:
    world = World()
    world.values[CURRENT] = 5.0
    world.run(100)
    world.control_lives = False
    assert world.ms_until_open() == 60 + 10 + 60


@pytest.mark.parametrize(
    ("place", "bad", "tripping"), [(STOP, 1.0, 1), (CRASH, 1.0, 1), (CURRENT, 400.0, 2), (CELLS[0], 4.5, 3)]
)
def test_the_reading_that_trips_says_so(place: int, bad: float, tripping: int) -> None:
    world = World()
    told = []
    for _ in range(4):
        world.now_ns += 10 * MS
        told.append(world.guard.receive([(place, bad)], world.now_ns, world.now_ns))
    assert told == [count == tripping for count in (1, 2, 3, 4)], "once, so that it is decided at once"
    assert not world.guard.receive([(99, 1.0)], world.now_ns, world.now_ns)
    assert not world.guard.receive([(TEMPS[0], math.nan)], world.now_ns, world.now_ns)


def test_all_readings_of_a_record_are_taken_whatever_stands_between_them() -> None:
    world = World()
    t = world.now_ns + 10 * MS
    record = [(99, 1.0), (TEMPS[0], math.nan), (CRASH, 1.0), (CURRENT, 7.0), (STOP, 1.0)]
    assert world.guard.receive(record, t, t), "though others follow the one that trips"
    assert {name for name, _ in world.guard.trips} == {"crash", "emergency stop"}
    world.guard.decide(None, t)
    assert world.guard.strings[0].opened_A == 7.0


def test_control_that_comes_back_in_time_keeps_the_contactors() -> None:
    world = World()
    world.control_lives = False
    world.run(150)
    world.control_lives = True
    assert world.ms_until_open(1000) is None
    assert world.charge_A == 140.0


@pytest.mark.parametrize("way", ["lost", "trip", "link", "gap"])
def test_nothing_closes_again_before_control_orders_open(way: str) -> None:
    world = World()
    if way == "lost":
        world.control_lives = False
    elif way == "trip":
        world.values[CURRENT] = 400.0
    elif way == "link":
        world.guard.link_restarted((0,))
    else:
        world.now_ns += 400 * MS
    assert world.ms_until_open() is not None
    world.control_lives, world.values[CURRENT], world.reset = True, 50.0, True
    world.run(5000)
    assert world.held == 0
    world.wish_bits = 0
    world.run(1100)
    world.wish_bits = ALL_CLOSED
    world.run(20)
    assert world.held == ALL_CLOSED


@pytest.mark.parametrize(("place", "bad"), [(CELLS[0], 3.9), (TEMPS[0], 80.0), (CURRENT, 400.0), (CRASH, 1.0)])
def test_some_trips_wait_for_a_reset_after_the_cause_is_gone(place: int, bad: float) -> None:
    world = World()
    good = world.values[place]
    world.values[place] = bad
    world.run(100)
    world.reset = True
    world.run(600)
    world.reset = False
    world.values[place] = good
    world.wish_bits = 0
    world.run(3000)
    assert world.guard.trips, "a reset while the cause is there counts for nothing"
    world.reset = True
    world.run(20)
    assert not world.guard.trips


def _cause(world: World, way: str, there: bool) -> None:
    """Let the cause of a trip come or go."""
    places = {"low": (CELLS[1], 2.0, 3.3), "stop": (STOP, 1.0, 0.0), "interlock": (INTERLOCK, 1.0, 0.0)}
    if way in places:
        place, bad, good = places[way]
        world.values[place] = bad if there else good
    elif way == "no data":
        world.silent = {CELLS[1]} if there else set()
    elif there and way == "link":
        world.guard.link_restarted((0,))
    elif there:
        world.now_ns += 301 * MS


@pytest.mark.parametrize("kind", ["contactors", "fets", "separate"])
@pytest.mark.parametrize("way", ["no data", "link", "held up"])
def test_what_the_guard_does_not_know_closes_off_both_paths(kind: str, way: str) -> None:
    world = World(kind)
    _cause(world, way, True)
    world.tick()
    while not world.guard.trips:
        world.tick()
    assert world.held and world.orders.strings[0][0] & 96 == 96, "it waits for the current"
    assert world.ms_until_open() is not None


@pytest.mark.parametrize("way", ["low", "stop", "interlock", "no data", "link", "held up"])
def test_other_trips_need_no_reset_but_control_must_answer_by_ordering_open(way: str) -> None:
    world = World()
    _cause(world, way, True)
    took = world.ms_until_open()
    assert took is not None and (took <= 10) == (way == "stop"), "all but the emergency stop wait for the current"
    _cause(world, way, False)
    world.run(1500)
    assert world.guard.trips and world.held == 0
    world.wish_bits = 0
    world.run(1100)
    assert not world.guard.trips
    world.wish_bits = ALL_CLOSED
    world.run(20)
    assert world.held == ALL_CLOSED


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"site": b"otherone"}, "control runs another configuration"),
        ({"leaving": True}, "control has left"),
        ({"time_ns": 0}, "control is silent"),
        ({"time_ns": 2**62, "expires_ns": 2**62}, "control's clock is ahead"),
        ({"expires_ns": 0}, "control is silent"),
    ],
)
def test_a_wish_that_does_not_count_is_lost_control(change: dict[str, Any], said: str) -> None:
    world = World()
    assert world.guard.consent == "fresh"
    world.wish_changes = change
    world.tick()
    assert world.guard.consent == said
    assert world.ms_until_open() is not None


@pytest.mark.parametrize(
    ("begin", "end", "late", "counts"),  # ns of wish and its expiry after now; ns that it is looked at after now
    [(0, 0, 0, True), (1, 9, 0, False), (0, 5, 5, True), (0, 5, 6, False), (0, 100 * MS, 60 * MS, True),
     (0, 100 * MS, 60 * MS + 1, False), (1, 0, 0, False)],
)  # fmt: skip
def test_a_consent_begins_and_ends_to_the_nanosecond(begin: int, end: int, late: int, counts: bool) -> None:
    world = World()
    wish = world.consent()._replace(time_ns=world.now_ns + begin, expires_ns=world.now_ns + end)
    orders = world.guard.decide(wish, world.now_ns + late)
    assert orders.leaving != counts and (orders.strings[0][1] > 0.0) == counts
    assert world.guard.consent == ("fresh" if counts else "control's clock is ahead" if begin else "control is silent")


def test_a_long_expiry_does_not_lengthen_the_consent() -> None:
    world = World()
    world.wish_changes = {"expires_ns": 2**62}
    world.tick()
    world.control_lives = False
    assert world.ms_until_open() is not None


def test_control_may_open_at_any_time() -> None:
    world = World()
    world.wish_bits = 0
    world.tick()
    assert world.held == 0


def test_a_new_guard_waits_for_an_open_order() -> None:
    world = World()
    world.guard = Guard(world.limits, world.now_ns)
    world.tick()
    assert world.held == 0
    world.run(3000)
    assert world.held == 0


def test_contactors_wait_until_all_of_them_are_ordered_open() -> None:
    world = World()
    world.values[CURRENT] = 400.0
    world.run(600)
    world.values[CURRENT], world.reset = 50.0, True
    for bits in (0b100, 0b001, ALL_CLOSED):
        world.wish_bits = bits
        world.run(1500)
        assert world.held == 0


@pytest.mark.parametrize("kind", ["fets", "separate"])
def test_a_fet_comes_back_while_the_other_stays_closed(kind: str) -> None:
    world = World(kind)
    world.values[CELLS[2]] = 3.8
    world.run(600)
    world.values[CELLS[2]], world.reset = 3.3, True
    world.run(1500)
    assert world.held == 16, "control has not ordered the charge switch open yet"
    world.wish_bits = 16
    world.run(1500)
    world.wish_bits = FETS
    world.run(20)
    assert world.held == FETS


@pytest.mark.parametrize("kind", ["fets", "separate"])
def test_beside_fets_other_outputs_stay_while_one_path_is_sound(kind: str) -> None:
    world = World(kind)
    world.wish_bits = 0
    world.run(50)
    world.wish_bits = 31
    world.run(50)
    assert world.held == 31
    world.values[CELLS[2]] = 3.8
    world.run(600)
    assert world.held == 31 & ~8
    world.values[CELLS[2]] = 2.0
    world.run(600)
    assert world.held == 0, "with both paths refused everything falls"


@pytest.mark.parametrize("kind", ["contactors", "fets", "separate"])
def test_what_waits_is_shown_as_refused(kind: str) -> None:
    world = World(kind)
    world.guard = Guard(world.limits, world.now_ns)
    world.run(100)
    assert world.orders.strings[0][0] == 96
    assert (world.charge_A, world.discharge_A) == (0.0, 0.0)


@pytest.mark.parametrize("kind", ["fets", "separate"])
def test_the_order_that_opens_one_path_gives_the_other_back(kind: str) -> None:
    world = World(kind)
    world.values[CELLS[2]] = 3.8
    world.run(30)
    assert (world.charge_A, world.discharge_A) == (0.0, 0.0), "while it waits for the current, neither flows"
    while world.held == FETS:
        world.tick()
    assert (world.held, world.charge_A, world.discharge_A) == (16, 0.0, 140.0)
    world.values[CELLS[2]] = 2.0
    assert world.guard.strings[0].opened_why == "cell over-voltage: cell_voltage 3 = 3.8, limit 3.7"
    assert world.ms_until_open() == 30 + 500, "the wait begins anew"
    assert world.guard.strings[0].opened_why == "cell under-voltage: cell_voltage 3 = 2, limit 2.2"


@pytest.mark.parametrize("kind", ["fets", "separate"])
def test_an_older_cause_of_one_path_is_not_said_of_the_other(kind: str) -> None:
    world = World(kind)
    world.values[CELLS[2]] = 3.8
    world.run(600)
    assert world.held == 16
    world.control_lives = False
    assert world.ms_until_open() is not None
    assert world.guard.strings[0].opened_why == "control is silent"


def test_a_string_without_switchgear_loses_its_limits_and_gets_them_back() -> None:
    world = World("none", closed=False)
    world.run(1500)
    assert world.charge_A == 140.0
    world.silent.add(CELLS[0])
    world.run(600)
    assert (world.charge_A, world.discharge_A) == (0.0, 0.0)
    world.silent.clear()
    world.run(1500)
    assert world.charge_A == 140.0


@pytest.mark.parametrize("kind", ["fets", "separate"])
def test_a_pack_loses_the_permission_that_its_string_lost(kind: str) -> None:
    world = World(kind)
    assert world.orders.packs[0][0] == 3
    world.values[CELLS[2]] = 3.8
    world.run(600)
    assert world.orders.packs[0][0] == 2
    world = World(kind)
    world.values[CELLS[2]] = 2.0
    world.run(600)
    assert world.orders.packs[0][0] == 1


def test_only_its_own_bit_is_a_reset_and_all_others_reach_the_gate() -> None:
    world = World()
    world.values[CELLS[0]] = 3.9
    world.run(100)
    world.values[CELLS[0]], world.wish_bits = 3.3, 0
    world.wish_changes = {"packs": ((255 & ~32, 0.5, 0.5),)}
    world.run(2000)
    assert world.guard.trips and world.orders.packs[0][0] == 255 & ~32 & ~1
    world.wish_changes = {"packs": ((255, 0.5, 0.5),)}
    world.run(20)
    assert not world.guard.trips and world.orders.packs[0][0] == 255 & ~32


def test_a_trip_of_one_pack_leaves_the_other_alone() -> None:
    world = World(second=1)
    world.wish_changes = {
        "packs": ((3, 0.5, 0.5), (3, 0.25, 0.75)), "strings": ((ALL_CLOSED, 140.0, 130.0, 58.0, 44.0),) * 2
    }  # fmt: skip
    world.values[CURRENT] = 400.0
    world.run(600)
    assert [s[0] & 31 for s in world.orders.strings] == [0, ALL_CLOSED]
    assert world.orders.strings[1] == (ALL_CLOSED, 140.0, 130.0, 58.0, 44.0)
    assert world.orders.packs == ((0, 0.5, 0.5), (3, 0.25, 0.75))


@pytest.mark.parametrize("wished", [(math.nan, -1.0), (-0.001, math.nan)])
def test_limits_that_are_none_become_zero(wished: tuple[float, float]) -> None:
    world = World()
    world.wish_changes = {"strings": ((ALL_CLOSED, *wished, math.nan, math.nan),)}
    world.run(30)
    assert (world.charge_A, world.discharge_A) == (0.0, 0.0)


def test_random_worlds_keep_the_invariants() -> None:
    """Closed only with a fresh consent to just these outputs and no objection, or for the length of the last will."""
    dice = random.Random(1)
    for kind in ("contactors", "fets"):
        world = World(kind)
        unconsented_ns = 0
        for _ in range(20_000):
            if dice.random() < 0.02:
                place = dice.choice(list(world.values))
                wild = [0.0, 1.0, 3.3, 25.0, 2.0, 4.4, 500.0, -500.0, math.nan, math.inf]
                world.values[place] = dice.choice(wild) if dice.random() < 0.3 else World(closed=False).values[place]
            if dice.random() < 0.02:
                world.silent ^= {dice.choice(list(world.values))} if dice.random() < 0.2 else world.silent
            world.control_lives ^= dice.random() < 0.01
            world.wish_bits = dice.choice([0, ALL_CLOSED, FETS, 31]) if dice.random() < 0.02 else world.wish_bits
            world.wish_A = (140.0, dice.choice([0.0, 140.0])) if dice.random() < 0.05 else world.wish_A
            world.reset = dice.random() < 0.1
            before = world.held
            world.tick()
            fresh = world.wish is not None and world.now_ns - world.wish.time_ns <= 60 * MS
            consented = world.wish_bits if fresh and world.control_lives else 0
            if world.held & ~(consented | before):
                pytest.fail("closed without consent")
            low = any(t.rule.paths == 64 for t in world.guard.trips.values())
            if kind == "contactors" and low and world.held & ~before and world.wish_A[1]:
                pytest.fail("closed on an empty cell, and not to be charged")
            assert not (low and world.discharge_A)
            trips = [t for t in world.guard.trips.values() if t.rule.paths == 96]
            allowed = consented if fresh and not trips else 0
            unconsented_ns = unconsented_ns + 10 * MS if world.held & ~allowed else 0
            assert unconsented_ns <= 580 * MS
            assert not (trips and (world.charge_A or world.discharge_A))
