"""Packs of different charge on one bus: whoever closes leaves every current within its limits."""

from __future__ import annotations

import numpy as np
import pytest
from tests.closed_loop.bank import Bank

from cellarer.board.view import view
from cellarer.model.values import Phase

KINDS = ("fets", "separate", "contactors")


def within_limits(bank: Bank) -> bool:
    """Say whether no string ever carried more than its rated current, and no fault was told."""
    limits = bank.config.limits
    rated = np.array((limits.rated_charge_A, limits.rated_discharge_A))
    return bool((bank.peak_A <= rated).all()) and not [e for e in bank.events if e.kind == "fault"]


@pytest.mark.parametrize("kind", KINDS)
def test_packs_far_apart_are_not_joined_and_the_one_that_waits_says_so(kind: str) -> None:
    bank = Bank(kind, [0.1, 0.9])  # joined they would carry 1171 A
    bank.run(6.0)
    assert bank.closed == [False, True] and within_limits(bank) and bank.peak_A.max() < 2.0
    (told,) = bank.waits
    assert told.string == 0 and told.value < -10.0 and 0.5 < told.limit < 2.0
    said = view(bank.config, bank.state, unix_s=0.0)["packs"][0]["strings"][0]["missing"]
    assert any(text.startswith("its voltage is 11") and "below the bus, limit 1" in text for text in said)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_packs_join_at_once(kind: str) -> None:
    bank = Bank(kind, [0.5, 0.5, 0.505])
    seconds = bank.run(6.0, lambda b: all(b.closed))
    assert all(bank.closed) and within_limits(bank) and not bank.waits
    assert seconds <= {"contactors": 2.5}.get(kind, 1.2)  # a second of trust, and precharge without a measured link


@pytest.mark.parametrize(("apart", "joins"), [(0.08, True), (0.09, False)])
def test_both_sides_of_the_bound(apart: float, joins: bool) -> None:
    """44 A of 50 equalise on this side; on the other side it would be more than 50."""
    bank = Bank("fets", [0.5, 0.5 + apart])
    bank.run(3.0)
    assert all(bank.closed) == joins and within_limits(bank) and (bank.peak_A[0, 0] > 40.0) == joins


@pytest.mark.parametrize(("way", "first"), [(1.0, 0), (-1.0, 1)])
def test_the_second_joins_when_the_first_has_come_near(way: float, first: int) -> None:
    bank = Bank("fets", [0.4, 0.56], current_A=45.0 * way)
    bank.charger = way > 0.0
    bank.run(6.0)
    assert bank.closed == [k == first for k in range(2)] and len(bank.waits) == 1
    seconds = bank.run(1200.0, lambda b: all(b.closed), dt_s=1.0)
    assert all(bank.closed) and seconds > 5.0
    bank.run(30.0, dt_s=1.0)
    assert all(bank.closed) and within_limits(bank) and len(bank.waits) == 1


@pytest.mark.parametrize("strings", [False, True])
def test_a_hundred_join_one_by_one(strings: bool) -> None:
    """As packs of a site and as strings of one pack; those too far from the first wait."""
    soc = 0.5 + np.random.default_rng(1).uniform(-0.02, 0.02, 100)
    soc[[7, 50]] = 0.2, 0.3
    bank = Bank("fets", soc.tolist(), strings=strings)
    bank.run(4.0)
    assert within_limits(bank) and bank.closed == (soc > 0.4).tolist()
    assert {e.string for e in bank.waits} == {7, 50}


def test_a_pack_whose_voltage_is_unknown_does_not_join() -> None:
    bank = Bank("fets", [0.5, 0.5])
    bank.lost = np.array([True, False])
    bank.run(4.0)
    assert bank.closed == [False, True]


def test_pairs_with_a_measured_link_do_not_join_within_the_bound_of_precharge_alone() -> None:
    """The precharge bound is wide enough for 130 A through cells of so little resistance."""
    bank = Bank("contactors", [0.5, 0.62], link=True, precharge_V=3.0)
    bank.run(8.0)
    assert bank.closed == [False, True] and within_limits(bank)
    assert bank.state.switches.phase[0] == Phase.OPEN and bank.state.switches.tries[0] == 0
