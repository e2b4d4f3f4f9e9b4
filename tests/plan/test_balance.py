"""Doses conserve charge, never bleed what is not certain, and no plan asks more than the hardware can do."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cellarer import config
from cellarer.core.cycle import start
from cellarer.model.config import BalanceTable, Config
from cellarer.model.layout import layout
from cellarer.model.values import NEVER, Estimate
from cellarer.plan import balance, programme

Floats = NDArray[np.float64]

PACK = layout([16, 9], [1, 1], [1, 1])  # two strings of different length
CELLS = 25
seeds = st.integers(0, 2**32 - 1)


@cache
def site() -> Config:
    return config.load("home").config


@cache
def blank() -> Estimate:
    return start(site(), 0).estimate


def known(soc: Floats, capacity: Floats, sigma: float = 0.0) -> Estimate:
    """Return an estimate with these values and relative sigma."""
    return replace(
        blank(), soc=soc, capacity_Ah=capacity, soc_sigma=np.full(soc.size, sigma),
        capacity_sigma_Ah=sigma * capacity, voltage_model=np.full(soc.size, 3.3),
    )  # fmt: skip


def drawn(seed: int, sigma: float = 0.0) -> Estimate:
    """Return an estimate with spread in SOC and capacity."""
    rng = np.random.default_rng(seed)
    return known(rng.uniform(0.3, 0.9, CELLS), rng.uniform(90.0, 110.0, CELLS), sigma)


def bench(*channels: int, **changes: Any) -> BalanceTable:
    """Return plain hardware, by default for PACK: 0.1 A, all channels at once."""
    each = np.ones(len(channels) or 2)
    plain = {
        "bleed_A": 0.1 * each, "channels": np.array(channels or (16, 9)), "alternate": each < 0, "share": each,
        "board_K_per_W": 0.0 * each, "max_degC": 60.0 * each, "minimum_soc": 0.0 * each,
    }  # fmt: skip
    return replace(site().balance, **plain | changes)


@given(seeds)
def test_certain_dose_reaches_the_smallest_capacity_and_none_less_does(seed: int) -> None:
    e = drawn(seed)
    dose = balance.dose_Ah(PACK, e, np.zeros(2))
    after = balance.usable_Ah(PACK, e.soc - dose / e.capacity_Ah, e.capacity_Ah)
    np.testing.assert_allclose(after, PACK.lowest(e.capacity_Ah), rtol=1e-9)
    some = int(np.argmax(dose))
    dose[some] *= 0.9
    less = balance.usable_Ah(PACK, e.soc - dose / e.capacity_Ah, e.capacity_Ah)
    string = PACK.string_of_cell[some]
    assert less[string] < after[string] - 1e-6


def test_dose_by_hand() -> None:
    """Left 50, 55, 60 Ah of 100, 100, 103: the third may keep 3 Ah more than the first."""
    three = layout([3], [1], [1])
    e = known(np.array([0.5, 0.55, 60.0 / 103.0]), np.array([100.0, 100.0, 103.0]))
    np.testing.assert_allclose(balance.dose_Ah(three, e, np.zeros(1)), [0.0, 5.0, 7.0], atol=1e-9)


@given(seeds, st.floats(0.0, 0.03), st.floats(0.0, 0.03))
def test_more_doubt_of_all_cells_never_bleeds_more(seed: int, sigma: float, more: float) -> None:
    e = drawn(seed, sigma)
    wider = replace(e, soc_sigma=e.soc_sigma + more)
    assert (balance.dose_Ah(PACK, wider, np.zeros(2)) <= balance.dose_Ah(PACK, e, np.zeros(2)) + 1e-9).all()


@given(seeds, st.floats(0.0, 0.03), st.floats(0.0, 0.03), st.integers(0, CELLS - 1))
def test_a_cell_that_seems_high_is_bled_less_when_in_doubt(seed: int, sigma: float, more: float, cell: int) -> None:
    e = drawn(seed, sigma)
    mine = PACK.string_of_cell == PACK.string_of_cell[cell]
    wider = e.soc_sigma + np.where(np.arange(CELLS) == cell, more, 0.0)
    if e.soc[cell] > np.sort(e.soc[mine])[-3]:  # well above the mean, whatever the weights
        doubted = balance.dose_Ah(PACK, replace(e, soc_sigma=wider), np.zeros(2))
        assert doubted[cell] <= balance.dose_Ah(PACK, e, np.zeros(2))[cell] + 1e-9


@given(seeds)
def test_permuted_cells_give_permuted_doses(seed: int) -> None:
    rng = np.random.default_rng(seed)
    e = drawn(seed, 0.01)
    order = np.concatenate([rng.permutation(16), 16 + rng.permutation(9)])
    moved = known(e.soc[order], e.capacity_Ah[order], 0.01)
    np.testing.assert_allclose(
        balance.dose_Ah(PACK, moved, np.zeros(2)), balance.dose_Ah(PACK, e, np.zeros(2))[order], atol=1e-12
    )


@pytest.mark.parametrize("field", ["soc", "soc_sigma", "capacity_Ah", "capacity_sigma_Ah"])
def test_an_unknown_cell_stops_its_string_only(field: str) -> None:
    e = drawn(1, 0.001)
    values = getattr(e, field).copy()
    values[3] = np.nan
    dose = balance.dose_Ah(PACK, replace(e, **{field: values}), np.zeros(2))
    assert not dose[:16].any()
    assert dose[16:].any()


@given(seeds, st.floats(0.0, 0.9))
def test_no_cell_is_bled_below_the_floor(seed: int, floor: float) -> None:
    e = drawn(seed)
    dose = balance.dose_Ah(PACK, e, np.full(2, floor))
    bled = dose > 0.0
    assert (e.soc - dose / e.capacity_Ah >= floor - 1e-9)[bled].all()


@settings(max_examples=12)
@given(seeds, st.integers(1, 16), st.booleans(), st.sampled_from([0.5, 1.0]), st.floats(0.0, 100.0))
def test_programme_followed_to_its_end_keeps_every_constraint_and_its_promise(
    seed: int, channels: int, alternate: bool, share: float, warm: float
) -> None:
    e = drawn(seed)
    e = replace(e, soc=0.5 + 0.1 * e.soc)
    hardware = bench(
        bleed_A=np.ones(2), channels=np.array([channels, 9]), alternate=np.array([alternate, False]),
        share=np.array([share, 1.0]), board_K_per_W=np.full(2, warm),
    )  # fmt: skip
    most = balance.at_once(PACK, hardware, e.voltage_model, np.full(2, 25.0))
    assert (most * warm * 3.3 <= 35.0 + 1e-9).all()
    dose = left = balance.dose_Ah(PACK, e, np.zeros(2))
    now_ns, rate = 0, (hardware.bleed_A * hardware.share)[PACK.string_of_cell]
    while (plan := balance.schedule(PACK, hardware, left, most, now_ns)).expires_ns > now_ns:
        bleeds = plan.bleed_Ah > 0.0
        assert (PACK.total(bleeds.astype(float)) <= most).all()
        assert not (alternate and (bleeds[:15] & bleeds[1:16]).any())
        seconds = (plan.expires_ns - now_ns) * 1e-9
        assert (rate * seconds / 3600.0 <= left + 1e-9)[bleeds].all(), "no more than the dose"
        left, now_ns = left - np.where(bleeds, rate * seconds / 3600.0, 0.0), plan.expires_ns
    if (most > 0).all():
        assert (left * 3600.0 <= rate * balance.SHORTEST_S).all()
        promised = balance.finish_s(PACK, hardware, dose, most).max()
        assert now_ns * 1e-9 <= promised * 1.02 + 2.0 * balance.SLOT_S


def test_board_too_warm_or_unknown_bleeds_nobody() -> None:
    volts = np.full(CELLS, 3.3)
    assert balance.at_once(PACK, bench(), volts, np.array([61.0, np.nan])).tolist() == [0, 0]
    warm = bench(board_K_per_W=np.full(2, 10.0))
    assert balance.at_once(PACK, warm, volts, np.array([40.0, 55.0])).tolist() == [6, 1]
    dose = np.ones(CELLS)
    assert np.isinf(balance.finish_s(PACK, bench(), dose, np.array([0, 9]))).tolist() == [True, False]


def test_finish_by_hand() -> None:
    """Doses 1, 2, 3 Ah at 100 mA: 30 h at once, 60 h one by one, 30 + 20 h in turns."""
    three, plain = layout([3], [1], [1]), bench(3)
    dose = np.array([1.0, 2.0, 3.0])
    hours = [
        balance.finish_s(three, hardware, dose, np.array([most]))[0] / 3600.0
        for hardware, most in ((plain, 3), (plain, 1), (bench(3, alternate=np.ones(1, bool)), 3))
    ]
    np.testing.assert_allclose(hours, [30.0, 60.0, 50.0])


def test_unknown_soc_gives_an_expired_plan_and_known_soc_a_valid_one() -> None:
    hardware = replace(site().balance, bleed_A=np.full(1, 0.1))
    home, board, moved = replace(site(), balance=hardware), np.full(1, 25.0), np.zeros(16)
    unknown = replace(blank(), soc=np.full(16, np.nan))
    assert programme.replan(home, None, unknown, moved, board, 5)[1].expires_ns == NEVER
    soc = np.linspace(0.5, 0.55, 16)
    _, plan, report = programme.replan(home, None, known(soc, np.full(16, 100.0)), moved, board, 5)
    assert 5 < plan.expires_ns <= 5 + balance.SLOT_S * 1e9
    assert plan.bleed_Ah[0] == 0.0
    np.testing.assert_allclose(report["usable_before_Ah"], 95.0)
    np.testing.assert_allclose(report["usable_after_Ah"], 100.0 * (1.0 - balance.LEAVE))
    np.testing.assert_allclose(report["finish_s"], (5.0 - 100.0 * balance.LEAVE) / 0.1 * 3600.0 / hardware.share[0])
    np.testing.assert_allclose(report["lost_Wh"], 3.3 * report["dose_Ah"].sum())


def packs(seed: int, number: int = 200) -> dict[str, Floats]:
    """Return true SOC of many strings of each sort, (pack, cell)."""
    rng = np.random.default_rng(seed)
    flat = rng.uniform(0.0, 1.0, (number, 16))
    flat = (flat - flat.min(axis=1, keepdims=True)) / np.ptp(flat, axis=1, keepdims=True)
    one = np.zeros((number, 16))
    one[:, 5] = 0.05
    return {
        "uniform": 0.5 + 0.05 * flat, "normal": 0.5 + 0.005 * rng.standard_normal((number, 16)),
        "one high": 0.5 + one, "one low": 0.5 - one, "even": 0.5 + 0.0 * one,
    }  # fmt: skip


@pytest.mark.parametrize("sort", ["uniform", "normal", "one high", "one low", "even"])
@pytest.mark.parametrize("sigma", [0.001, 0.0025, 0.005, 0.01])
def test_doses_make_spread_smaller_however_much_of_it_is_error(sort: str, sigma: float) -> None:
    """Each cell is known with an error of its own. Even cells are the hard case: all that is seen is error."""
    true, rng = packs(1)[sort], np.random.default_rng(2)
    many = layout([16] * len(true), [1] * len(true), [1] * len(true))
    seen = (true + sigma * rng.standard_normal(true.shape)).ravel()
    e = replace(known(seen, np.full(seen.size, 100.0), sigma), capacity_sigma_Ah=np.zeros(seen.size))
    dose = balance.dose_Ah(many, e, np.zeros(len(true)), leave=balance.LEAVE).reshape(true.shape) / 100.0
    before, after = np.ptp(true, axis=1).mean(), np.ptp(true - dose, axis=1).mean()
    assert after <= 1.02 * max(before, 0.5 * sigma), "2 %: how far cells really differ has to be guessed too"
    best = np.ptp(sigma * rng.standard_normal(true.shape), axis=1).mean() + balance.LEAVE
    assert after <= 1.1 * min(best, max(before, 0.5 * sigma)), "as good as error lets anybody be, or better"


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(0.0005, 0.03), st.floats(0.0, 0.03))
def test_no_dose_makes_the_expected_spread_larger(seed: int, sigma: float, spread: float) -> None:
    """Expected of what the planner knows: each cell at its likely SOC, with the doubt that is left of it."""
    rng, one = np.random.default_rng(seed), layout([16], [1], [1])
    soc = 0.5 + spread * rng.standard_normal(16) + sigma * rng.standard_normal(16)
    e = replace(known(soc, np.full(16, 100.0), sigma), capacity_sigma_Ah=np.zeros(16))
    likely = balance.likely_soc(one, soc, e.soc_sigma)
    share = np.ptp(likely) / np.ptp(soc)
    assert 0.0 <= share <= 1.0
    possible = likely + sigma * np.sqrt(share) * rng.standard_normal((4000, 16))
    gained = np.ptp(possible, axis=1) - np.ptp(possible - balance.dose_Ah(one, e, np.zeros(1)) / 100.0, axis=1)
    assert gained.mean() >= -4.0 * gained.std() / np.sqrt(gained.size) - 1e-12


@given(seeds, st.floats(0.001, 0.03))
def test_the_same_doubt_bleeds_once(seed: int, sigma: float) -> None:
    rng, one = np.random.default_rng(seed), layout([16], [1], [1])
    true, error = 0.5 + 0.05 * rng.uniform(0.0, 1.0, 16), sigma * rng.standard_normal(16)
    doses = []
    for _ in range(10):
        e = replace(known(true + error, np.full(16, 100.0), sigma), capacity_sigma_Ah=np.zeros(16))
        doses.append(balance.dose_Ah(one, e, np.zeros(1), leave=balance.LEAVE))
        true = true - doses[-1] / 100.0
    assert sum(d.sum() for d in doses[1:]) <= 0.02 * doses[0].sum() + 0.02  # Ah of 1600
