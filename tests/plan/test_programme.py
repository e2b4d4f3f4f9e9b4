"""The programme: doses fall by what was bled, are made anew only when more is known, and moves stay in the hardware."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellarer import config
from cellarer.core.cycle import start
from cellarer.core.decide import converters as counted
from cellarer.model.config import Config, Topology
from cellarer.model.values import NEVER, Estimate
from cellarer.plan import converters, programme, transfer
from cellarer.runtime import simulate
from cellarer.sim.converters import Converters

CELLS, FULL_AH = 16, 280.0
KINDS = [t for t in Topology if t != Topology.NONE]
seeds = st.integers(0, 2**32 - 1)
HOT = np.full(1, 25.0)


@cache
def site(kind: Topology = Topology.NONE, converters_at_once: int = 4) -> Config:
    base = config.load("home").config
    table = replace(
        base.balance, topology=np.full(1, kind, np.int8), module=np.full(1, 4),
        converters=np.full(1, converters_at_once),
    )  # fmt: skip
    return replace(base, balance=table)


def known(soc: np.ndarray, sigma: float = 0.001) -> Estimate:
    full = np.full(CELLS, FULL_AH)
    return replace(
        start(site(), 0).estimate, soc=soc, soc_sigma=np.full(CELLS, sigma), capacity_Ah=full,
        capacity_sigma_Ah=0.0 * full, voltage_model=np.full(CELLS, 3.3),
    )  # fmt: skip


def drawn(seed: int, spread: float = 0.05) -> np.ndarray:
    return 0.5 + spread * np.random.default_rng(seed).uniform(0.0, 1.0, CELLS)


@given(seeds)
@settings(max_examples=20)
def test_a_programme_followed_to_its_end_bleeds_the_first_dose_and_no_more(seed: int) -> None:
    soc, now_ns, moved = drawn(seed), 0, np.zeros(CELLS)
    ledger, plan, _ = programme.replan(site(), None, known(soc), moved, HOT, now_ns)
    first, rate = ledger.dose_Ah.copy(), float(site().balance.bleed_A[0] * site().balance.share[0])
    for _ in range(2000):
        if plan.expires_ns == NEVER:
            break
        hours = (plan.expires_ns - now_ns) / 3.6e12
        moved = moved - np.where(plan.bleed_Ah > 0.0, rate * hours, 0.0)
        now_ns = plan.expires_ns
        # the same knowledge, less what was bled: no reason for a new dose
        ledger, plan, _ = programme.replan(site(), ledger, known(soc + moved / FULL_AH), moved, HOT, now_ns)
    assert plan.expires_ns == NEVER
    assert (-moved <= first + 1e-4 * FULL_AH).all()  # made anew each day, when doubt weighs a little differently
    np.testing.assert_allclose(-moved, first, atol=0.01 * FULL_AH)


def test_noise_of_the_estimate_makes_no_new_dose_but_better_knowledge_does() -> None:
    soc = drawn(1)
    ledger, _, _ = programme.replan(site(), None, known(soc, 0.01), np.zeros(CELLS), HOT, 0)
    shaken = soc + 0.005 * np.random.default_rng(2).standard_normal(CELLS)
    same, _, _ = programme.replan(site(), ledger, known(shaken, 0.01), np.zeros(CELLS), HOT, 10**12)
    assert (same.dose_Ah <= ledger.dose_Ah + 1e-12).all()
    better, _, _ = programme.replan(site(), ledger, known(soc, 0.001), np.zeros(CELLS), HOT, 10**12)
    assert better.dose_Ah.sum() > ledger.dose_Ah.sum()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_errors_of_each_cell_are_bled_out_as_an_estimator_makes_them_smaller(seed: int) -> None:
    """One more look a day of 1 % each; errors cost three of these per cell at most."""
    rng, soc, moved = np.random.default_rng(seed), drawn(seed), np.zeros(CELLS)
    error, ledger, day_ns = np.zeros(CELLS), None, 86_400_000_000_000
    exact = float((soc - soc.min()).sum())
    rate = float(site().balance.bleed_A[0] * site().balance.share[0])
    for day in range(25):
        error = error + 0.01 * rng.standard_normal(CELLS)
        for quarter in range(96):
            now_ns = day * day_ns + quarter * (day_ns // 96)
            e = known(soc + moved / FULL_AH + error / (day + 1), 0.01 / np.sqrt(day + 1))
            ledger, plan, _ = programme.replan(site(), ledger, e, moved, HOT, now_ns)
            hours = 0.0 if plan.expires_ns == NEVER else min(plan.expires_ns - now_ns, day_ns // 96) / 3.6e12
            moved = moved - np.where(plan.bleed_Ah > 0.0, rate * hours, 0.0)
    assert np.ptp(soc + moved / FULL_AH) < 0.012
    assert -moved.sum() / FULL_AH < exact + 16 * 0.03


def test_differences_stay_known_while_the_common_error_grows() -> None:
    soc = drawn(3)
    ledger, _, _ = programme.replan(site(), None, known(soc, 0.001), np.zeros(CELLS), HOT, 0)
    later, _, _ = programme.replan(site(), ledger, known(soc - 0.2, 0.05), np.zeros(CELLS), HOT, 10**12)
    np.testing.assert_allclose(later.between, 0.001)
    np.testing.assert_allclose(later.dose_Ah, ledger.dose_Ah)


@pytest.mark.parametrize("kind", KINDS)
@given(seeds)
@settings(max_examples=8, deadline=None)
def test_planned_moves_stay_within_the_hardware_and_even_cells_out(kind: Topology, seed: int) -> None:
    here, soc = site(kind), drawn(seed)
    volts = 3.2 + soc  # a steep curve, so that capacitors work too
    drives = converters.drives(here, replace(known(soc), voltage_model=volts))
    assert (drives.move >= 0.0).all() and (drives.move <= 1.0 + 1e-9).all()
    assert (drives.move.sum(axis=0) <= 1.0 + 1e-6).all()  # nobody gives and takes at once
    if kind == Topology.MATRIX:
        assert drives.move[0].sum() <= int(here.balance.converters[0]) + 1e-6
    moved_A = counted.into_cells(here, drives.move, volts)
    later = soc + moved_A * drives.slot_s / 3600.0 / FULL_AH

    def spread(x: np.ndarray) -> float:
        return float(np.ptp(x.reshape(-1, 4).mean(axis=1) if kind == Topology.BUS else x))

    assert spread(later) <= spread(soc) + 1e-9
    assert moved_A.sum() <= 1e-9  # charge is lost or kept, never made


@pytest.mark.parametrize("seed", range(5))
def test_a_matrix_too_large_for_a_programme_keeps_to_its_converters(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converters, "MATRIX_MOST", CELLS - 1)
    here, soc = site(Topology.MATRIX), drawn(seed)
    give, take = converters.drives(here, known(soc)).move.sum(axis=1)
    assert 0.0 < give <= int(here.balance.converters[0]) + 1e-9 and take == pytest.approx(give)


@pytest.mark.parametrize("kind", KINDS)
@given(seeds)
@settings(max_examples=10)
def test_planner_control_and_world_agree_on_what_converters_do(kind: Topology, seed: int) -> None:
    here, rng = site(kind), np.random.default_rng(seed)
    move = rng.uniform(0.0, 0.5, (2, CELLS))
    volts = np.full(CELLS, 3.3) + (0.01 * rng.standard_normal(CELLS) if kind == Topology.CAPACITOR else 0.0)
    world = Converters(here).into_cells(move, volts)
    np.testing.assert_allclose(counted.into_cells(here, move, volts), world, atol=1e-9)
    if kind in (Topology.SHUTTLE, Topology.FLYBACK):
        moves = move[:, :-1] if kind == Topology.SHUTTLE else move
        np.testing.assert_allclose(transfer.hardware(here, 0, CELLS).effect_A @ moves.ravel(), world, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@given(seeds)
@settings(max_examples=10)
def test_what_is_measured_of_dead_and_stuck_converters_tells_what_all_cells_get(kind: Topology, seed: int) -> None:
    here, rng = site(kind), np.random.default_rng(seed)
    ordered = rng.uniform(0.1, 0.5, (2, CELLS)) * (np.arange(2)[:, None] == rng.integers(0, 2, CELLS))
    really = np.where(rng.random(CELLS) < 0.3, np.array([[0.0], [0.7]]) * (rng.random(CELLS) < 0.5), ordered)
    volts = np.full(CELLS, 3.3) + (0.01 * rng.standard_normal(CELLS) if kind == Topology.CAPACITOR else 0.0)
    own, others = Converters(here).sides(really, volts)
    np.testing.assert_allclose(counted.into_cells(here, ordered, volts, own), own + others, atol=1e-9)
    unread = np.full(CELLS, np.nan)
    np.testing.assert_array_equal(
        counted.into_cells(here, ordered, volts, unread), counted.into_cells(here, ordered, volts)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_what_converters_bring_is_told_and_is_what_they_bring(kind: Topology) -> None:
    here, soc, volts = site(kind), drawn(5), 3.2 + drawn(5)
    _, plan, figures = programme.replan(here, None, replace(known(soc), voltage_model=volts), np.zeros(CELLS), HOT, 0)
    before, after = float(figures["usable_before_Ah"][0]), float(figures["usable_after_Ah"][0])
    if kind in (Topology.BUS, Topology.CAPACITOR):
        assert np.isnan(after)
        return
    assert plan.move.any() and before < after <= FULL_AH
    for _ in range(400):  # until nothing moves
        drives = converters.drives(here, replace(known(soc), voltage_model=3.2 + soc))
        soc = soc + counted.into_cells(here, drives.move, 3.2 + soc) * drives.slot_s / 3600.0 / FULL_AH
    reached = float((soc * FULL_AH).min() + ((1.0 - soc) * FULL_AH).min())
    assert after - 0.002 * FULL_AH <= reached <= FULL_AH  # two sigmas of SOC: cells that they explain count as even


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spread", [0.0065, 0.008, 0.05])
def test_a_plan_outlasts_two_steps_of_a_simulation_unless_it_ends_the_work(kind: Topology, spread: float) -> None:
    """Plans of 45 s in steps of 50 s were never valid: nothing moved for the last quarter of an hour of work."""
    even = np.linspace(0.5, 0.5 + spread, 4)
    soc = np.repeat(even, 4) if kind == Topology.BUS else np.tile(even, 4)
    drives = converters.drives(site(kind), replace(known(soc, 1e-5), voltage_model=3.2 + soc))
    assert drives.move.any()
    ends = bool(drives.finish_s[0] <= drives.slot_s)
    assert drives.slot_s >= 2.0 * simulate.LONGEST_S or ends
    assert np.isnan(drives.finish_s[0]) == (kind == Topology.CAPACITOR)  # its rule does not know
    if ends:
        later = soc + counted.into_cells(site(kind), drives.move, 3.2 + soc) * drives.slot_s / 3600.0 / FULL_AH
        assert np.ptp(later) <= converters.GOAL + 1e-3


def test_unknown_cells_move_nothing() -> None:
    soc = drawn(4)
    soc[3] = np.nan
    assert not converters.drives(site(Topology.FLYBACK), known(soc)).move.any()
