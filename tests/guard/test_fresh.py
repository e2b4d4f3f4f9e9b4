"""What is silent, absurd, repeated or of another time closes nothing and opens within its bound."""

from __future__ import annotations

import math

import pytest
from tests.guard.world import (
    ALL_CLOSED,
    CELLS,
    CRASH,
    CURRENT,
    GOOD,
    INTERLOCK,
    MAX_AGE_MS,
    MS,
    STOP,
    TEMPS,
    World,
    limits,
)

from cellarer.guard.decide import Guard


@pytest.mark.parametrize("place", [*CELLS, *TEMPS, CURRENT, STOP, INTERLOCK, CRASH])
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, 1e9, -1e9])
def test_a_silent_or_absurd_signal_opens_within_its_bound(place: int, value: float | None) -> None:
    world = World()
    if value is None:
        world.silent.add(place)
    else:
        world.values[place] = value
    signal = ["cell_voltage"] * 4 + ["temp_degC"] * 2 + ["current", "emergency_stop", "interlock_open", "crash"]
    bound = MAX_AGE_MS[signal[place]]
    assert world.ms_until_open(bound) is None
    assert world.ms_until_open() == 10 + 500, "then it waits for the current"
    assert "no data" in world.guard.strings[0].opened_why


@pytest.mark.parametrize("place", [*CELLS, *TEMPS, CURRENT, STOP, INTERLOCK, CRASH])
def test_what_was_never_delivered_never_closes(place: int) -> None:
    world = World(closed=False)
    world.silent.add(place)
    world.run(1500)
    world.wish_bits = ALL_CLOSED
    world.run(3000)
    assert world.held == 0
    assert (world.charge_A, world.discharge_A) == (0.0, 0.0)


def test_a_repeated_sample_refreshes_nothing() -> None:
    world = World()
    world.silent.add(CURRENT)
    frozen_ns = world.now_ns
    for _ in range(80):
        world.guard.receive([(CURRENT, 50.0)], frozen_ns, world.now_ns)
        world.tick()
    assert world.held == 0


def test_a_sample_from_the_future_refreshes_nothing() -> None:
    world = World()
    world.silent.add(CURRENT)
    for _ in range(80):
        world.guard.receive([(CURRENT, 50.0)], world.now_ns + 10**12, world.now_ns)
        world.tick()
    assert world.held == 0
    world.silent.clear()
    world.wish_bits = 0
    world.run(1500)
    assert not world.guard.trips


def test_the_oldest_value_that_is_good_and_one_nanosecond_more() -> None:
    """A scan is due when the current would be too old; the stop input then is just as old as it may be."""
    guard, begin_ns = Guard(limits(), 1_000_000 * MS), 1_000_000 * MS
    oldest_ns = begin_ns + MAX_AGE_MS["emergency_stop"] * MS
    scan_ns = oldest_ns - MAX_AGE_MS["current"] * MS - 1
    guard.receive([(STOP, 0.0)], begin_ns, begin_ns)
    for now_ns in (scan_ns, oldest_ns):
        for place in set(GOOD) - {STOP}:
            guard.receive([(place, GOOD[place])], now_ns, now_ns)
        guard.decide(None, now_ns)
        assert not guard.trips
    guard.decide(None, oldest_ns + 1)
    assert guard.trips
