"""Under-voltage of a pair leaves one way back: closed to be charged, and open again as soon as it is discharged."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.guard.world import ALL_CLOSED, CELLS, CURRENT, HIGH, LOW, MS, STOP, World

MINUS, PRECHARGE = 0b001, 0b011
DRAW_A, EMPTY, BELOW = 3.0, 2.0, 1.8  # of limits_file: its minimum is 2.2 V, its deep discharge 1.9 V


def empty(volts: float = EMPTY, **own: Any) -> World:
    """Return a pair that fell for an empty cell, and that control has ordered open since; nothing flows."""
    world = World(**own)
    world.values[CELLS[1]] = volts
    assert world.ms_until_open() is not None
    world.run(100)
    assert world.held == 0 and world.orders.strings[0][0] & 96 == 96, "control has not answered yet"
    world.wish_bits, world.wish_A, world.values[CURRENT] = 0, (14.0, 0.0), 0.0
    world.run(1500)
    return world


def charged(**own: Any) -> World:
    """Return a pair that control has closed again, to be charged."""
    world = empty(**own)
    world.wish_bits = ALL_CLOSED
    world.tick()
    assert world.held == ALL_CLOSED
    world.values[CURRENT] = 14.0
    world.run(100)
    return world


def test_a_pair_with_an_empty_cell_closes_to_be_charged_and_to_nothing_else() -> None:
    world = empty()
    assert world.guard.trips and world.orders.strings[0][0] == 64, "only discharge is refused"
    world.run(2000)
    assert world.held == 0, "the guard closes nothing by itself"
    world.wish_bits = ALL_CLOSED
    world.run(2000)
    assert world.orders.strings[0][:3] == (ALL_CLOSED | 64, 14.0, 0.0)
    assert world.orders.packs[0][0] == 1 and world.orders.cells == bytes(len(world.orders.cells))


def test_it_does_not_close_before_control_has_ordered_it_open() -> None:
    world = World()
    world.wish_A, world.values[CELLS[1]] = (14.0, 0.0), EMPTY
    assert world.ms_until_open() is not None
    world.run(3000)
    assert world.held == 0 and world.orders.strings[0][:3] == (96, 0.0, 0.0)
    for bits in (MINUS, 0b100):
        world.wish_bits = bits
        world.run(100)
        assert world.held == 0
    world.wish_bits = 0
    world.tick()
    world.wish_bits = ALL_CLOSED
    world.tick()
    assert world.held == ALL_CLOSED


def test_what_begins_with_an_empty_cell_closes_to_be_charged() -> None:
    world = World(closed=False)
    world.values |= {CELLS[1]: EMPTY, CURRENT: 0.0}
    world.wish_A = (14.0, 0.0)
    world.run(1500)
    world.wish_bits = ALL_CLOSED
    world.run(100)
    assert world.orders.strings[0][:3] == (ALL_CLOSED | 64, 14.0, 0.0)


@pytest.mark.parametrize("wished", [0.001, 140.0, math.nan, -1.0])
def test_it_closes_and_stays_closed_only_while_control_wants_no_discharge(wished: float) -> None:
    world = empty()
    world.wish_bits, world.wish_A = ALL_CLOSED, (14.0, wished)
    world.run(1000)
    assert world.held == 0 and world.orders.strings[0][0] & 96 == 96
    world = charged()
    world.wish_A = (14.0, wished)
    assert world.ms_until_open() is not None


@pytest.mark.parametrize(("ampere", "opens"), [(-DRAW_A, False), (-DRAW_A - 0.001, True), (0.0, False), (-100.0, True)])
def test_it_opens_on_both_sides_of_the_current_that_counts_as_a_discharge(ampere: float, opens: bool) -> None:
    world = charged()
    world.values[CURRENT] = ampere
    took = world.ms_until_open(2000)
    if not opens:
        assert took is None
        return
    assert took == 100 + (60 if ampere > -20.0 else 500), "the tenth sample counts, then it waits for the current"
    said = f"discharged while charging only: current = {ampere:g}, limit -3"
    assert world.guard.strings[0].opened_why == said
    world.values[CURRENT] = 0.0
    world.run(3000)
    assert world.held == 0 and world.orders.strings[0][0] == 96, "until control has ordered it open"
    world.wish_bits = 0
    world.run(1100)
    world.wish_bits = ALL_CLOSED
    world.tick()
    assert world.held == ALL_CLOSED


def test_nine_samples_more_of_a_discharge_than_of_none_open_nothing_and_limits_fall_with_the_tenth() -> None:
    world = charged()
    for ampere, ticks in ((-50.0, 9), (14.0, 1), (-50.0, 1)):
        world.values[CURRENT] = ampere
        for _ in range(ticks):
            world.tick()
            assert world.orders.strings[0][:2] == (ALL_CLOSED | 64, 14.0)
    world.tick()
    assert world.orders.strings[0][:3] == (ALL_CLOSED | 96, 0.0, 0.0)


def test_current_that_precharges_or_that_flowed_before_is_no_discharge() -> None:
    world = empty()
    world.values[CURRENT] = -10.0
    for bits in (MINUS, PRECHARGE, MINUS):
        world.wish_bits = bits
        world.run(500)
        assert world.held == bits
    world.wish_bits = PRECHARGE | ALL_CLOSED
    world.run(90)
    assert world.held == PRECHARGE | ALL_CLOSED and "discharged" not in str(world.guard.trips)
    world.run(20)
    assert ("discharged while charging only", 0) in world.guard.trips
    sound = World()
    sound.values[CURRENT] = -100.0
    assert sound.ms_until_open(2000) is None


def test_a_current_that_is_unknown_opens_it() -> None:
    world = charged()
    world.silent = {CURRENT}
    took = world.ms_until_open()
    assert took is not None and took <= 200 + 20 + 500


def test_a_pair_whose_current_nobody_measures_is_not_charged() -> None:
    world = World(current=None)
    world.values[CELLS[1]] = EMPTY
    assert world.ms_until_open() is not None
    world.wish_bits, world.wish_A = 0, (14.0, 0.0)
    world.run(1500)
    world.wish_bits = ALL_CLOSED
    world.run(100)
    assert world.held == 0


@pytest.mark.parametrize(("volts", "closes"), [(1.9, True), (1.8999, False)])
@pytest.mark.parametrize("hidden", [False, True])
def test_below_deep_discharge_nothing_closes(volts: float, closes: bool, hidden: bool) -> None:
    own = {"cells": [0, 0], "cell_high": HIGH, "cell_low": LOW} if hidden else {}
    world = World(**own)
    world.values[LOW if hidden else CELLS[1]] = volts
    assert world.ms_until_open() is not None
    world.wish_bits, world.wish_A, world.values[CURRENT] = 0, (14.0, 0.0), 0.0
    world.run(1500)
    world.wish_bits = ALL_CLOSED
    world.run(1000)
    assert (world.held == ALL_CLOSED) == closes
    assert (("deep discharge", 0) in world.guard.trips) != closes


def test_a_cell_that_falls_below_deep_discharge_ends_the_charge() -> None:
    world = charged()
    world.values[CELLS[1]] = BELOW
    assert world.ms_until_open() is not None


@pytest.mark.parametrize(("place", "bad"), [(CELLS[0], 3.8), (STOP, 1.0), (CURRENT, 170.0)])
def test_any_other_rule_opens_it_and_keeps_it_open(place: int, bad: float) -> None:
    world = charged()
    world.values[place] = bad
    assert world.ms_until_open() is not None
    world.wish_bits = 0
    world.run(100)
    world.wish_bits = ALL_CLOSED
    world.run(100)
    assert world.held == 0 and world.orders.strings[0][0] == 96


def test_lost_control_opens_it_after_the_wait_and_control_that_comes_back_in_time_keeps_it() -> None:
    world = charged()
    for world.control_lives, ms in ((False, 100), (True, 500)):
        world.run(ms)
        assert world.held == ALL_CLOSED
    world.control_lives = False
    assert world.ms_until_open() is not None
    world.control_lives = True
    world.run(500)
    assert world.held == 0


def test_discharge_comes_back_when_the_cell_has_and_control_allows_it_and_nothing_opens() -> None:
    world = charged()
    world.values[CELLS[1]] = 2.2
    world.run(2000)
    assert world.orders.strings[0][:3] == (ALL_CLOSED | 64, 14.0, 0.0), "control does not allow it yet"
    world.wish_A = (140.0, 140.0)
    world.tick()
    assert world.orders.strings[0][:3] == (ALL_CLOSED, 140.0, 140.0) and not world.guard.trips
    world.values[CURRENT] = -100.0
    assert world.ms_until_open(2000) is None, "a discharge is none of the guard's business any more"
    world.values[CELLS[1]] = EMPTY
    assert world.ms_until_open() is not None, "a new under-voltage opens it as the first one did"


def test_discharge_that_control_allows_a_moment_after_the_cell_came_back_opens_it() -> None:
    world = charged()
    world.values[CELLS[1]] = 2.2
    world.run(500)
    world.wish_A = (140.0, 140.0)
    assert world.ms_until_open() is not None


def test_a_cell_that_hovers_about_its_minimum_keeps_the_pair_closed() -> None:
    world = charged()
    for _ in range(20):
        for volts in (2.3, 2.1):
            world.values[CELLS[1]] = volts
            world.run(200)
            assert world.held == ALL_CLOSED and world.discharge_A == 0.0
    world.values[CELLS[1]] = 2.1
    world.run(2000)
    world.wish_A = (140.0, 140.0)
    assert world.ms_until_open() is not None


@pytest.mark.parametrize("kind", ["fets", "separate"])
def test_where_each_path_has_its_own_switch_the_discharge_switch_stays_open_until_it_was_ordered_open(
    kind: str,
) -> None:
    world = World(kind)
    world.values[CELLS[1]] = EMPTY
    world.run(600)
    assert world.held == 8
    world.values[CELLS[1]] = 3.3
    world.run(3000)
    assert world.held == 8, "answered it is when control orders that switch open"
    world.wish_bits, world.wish_A = 0, (14.0, 0.0)
    world.values[CELLS[1]] = EMPTY
    world.run(100)
    world.wish_bits = 24
    world.run(100)
    assert world.held == 8
    world.values[CELLS[1]], world.wish_A = 3.3, (140.0, 140.0)
    world.run(3000)
    assert world.held == 8, "the value alone gives nothing back"


def test_an_over_full_cell_closes_nothing_however_control_answers() -> None:
    world = World()
    world.values[CELLS[1]] = 3.8
    assert world.ms_until_open() is not None
    world.wish_bits, world.wish_A = 0, (0.0, 0.0)
    world.run(1500)
    world.wish_bits = ALL_CLOSED
    world.run(100)
    assert world.held == 0


def test_a_second_string_is_not_closed_by_the_answer_of_the_first() -> None:
    world = World(second=1)
    world.values[CELLS[1]] = EMPTY  # both strings have this cell
    world.run(600)
    shut, wish = (0, 14.0, 0.0, 58.0, 44.0), (ALL_CLOSED, 14.0, 0.0, 58.0, 44.0)
    world.wish_changes = {"strings": (shut, wish)}
    world.run(100)
    world.wish_changes = {"strings": (wish, wish)}
    world.run(100)
    assert [s[0] & 31 for s in world.orders.strings] == [ALL_CLOSED, 0]
    assert world.now_ns > MS
