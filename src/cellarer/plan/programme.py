"""The balancing programme of a site: what is left to bleed, what converters do next, and what all of it brings.

Asked again when its plan has expired. Doses stay as they were made, less what was bled, until the estimate knows
clearly better, or a day has passed. Knowing better, it looks at cells as they were when the programme began; else only
at what they seem to differ now, which sigma often explains: new draws of old doubt bleed little. What turns out to be
less than thought is bled no further at once. Pure: memory in, memory out.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cellarer.model.config import Config, Topology
from cellarer.model.values import NEVER, Estimate, Plan
from cellarer.plan import balance, converters
from cellarer.plan.balance import Report

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOVED_SIGMA = 0.02  # of what was bled or moved: tolerance of resistors and of the current of converters
BETTER = 0.8  # of the sigma that doses were made with: from here on an estimate knows clearly better
ANEW_NS = 86_400_000_000_000  # after a day doses are made anew: self-discharge goes on


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """What the programme remembers between two plans."""

    dose_Ah: Floats  # (cell,) left to bleed when it was written
    moved_Ah: Floats  # (cell,) State.balancing.moved_Ah at that time
    begin_Ah: Floats  # (cell,) the same when the programme began
    soc: Floats  # (cell,) as estimated then
    between: Floats  # (cell,) sigma of SOC against the other cells of the string
    sigma: Floats  # (string,) the greatest of these when the doses were made
    made_ns: Ints  # (string,) when that was


def replan(
    config: Config, before: Ledger | None, estimate: Estimate, moved_Ah: Floats, hot_degC: Floats, now_ns: int
) -> tuple[Ledger, Plan, Report]:
    """Return the next plan, for `plan.balance.SLOT_S` at most, with figures of the whole programme.

    before    None = the programme begins
    moved_Ah  (cell,) as State.balancing counts it
    hot_degC  (string,) warmest sensor, which stands for the board that bleeds
    """
    layout, hardware = config.layout, config.balance
    estimate = replace(estimate, soc_sigma=_between(before, estimate, moved_Ah))
    if before is None:
        never = np.full(layout.size["string"], np.nan)
        made_ns, nothing = np.full(never.size, now_ns), 0.0 * moved_Ah
        before = Ledger(nothing, moved_Ah, moved_Ah, estimate.soc, estimate.soc_sigma, never, made_ns)
    ledger = _follow(config, before, estimate, moved_Ah, now_ns)
    most = balance.at_once(layout, hardware, estimate.voltage_model, hot_degC)
    plan = balance.schedule(layout, hardware, ledger.dose_Ah, most, now_ns)
    figures = balance.report(layout, hardware, estimate, ledger.dose_Ah, most)
    moves = converters.drives(config, estimate)
    if moves.move.any():
        expires_ns = now_ns + int(moves.slot_s * 1e9)
        expires_ns = expires_ns if plan.expires_ns == NEVER else min(expires_ns, plan.expires_ns)
        plan = replace(plan, expires_ns=expires_ns, move=moves.move)
        figures = figures | moves.report(figures)
    return ledger, plan, figures


def _between(before: Ledger | None, estimate: Estimate, moved_Ah: Floats) -> Floats:
    """Return the sigma of SOC against the other cells of the string, (cell,).

    Cells of a string share the current, so an error of its sensor moves all alike: what was known of their differences
    stays known, but for what their own capacities make of the charge that went through, and what was moved between
    them. What the estimator says of them, or of each cell by itself, is the upper bound.
    """
    said = estimate.soc_between_sigma
    known = np.where(said <= estimate.soc_sigma, said, estimate.soc_sigma)
    if before is None:
        return known
    relative = estimate.capacity_sigma_Ah / estimate.capacity_Ah
    moved = MOVED_SIGMA * np.abs(moved_Ah - before.moved_Ah) / estimate.capacity_Ah
    grown = np.hypot(before.between, np.hypot(np.abs(estimate.soc - before.soc) * relative, moved))
    return np.where(before.between >= 0.0, np.minimum(known, grown), known)


def _follow(config: Config, before: Ledger, estimate: Estimate, moved_Ah: Floats, now_ns: int) -> Ledger:
    """Return the ledger after what was bled since, with new doses where these are due."""
    layout, floor = config.layout, config.balance.minimum_soc
    owner, bleeds = layout.string_of_cell, config.balance.topology == Topology.NONE
    sigma = layout.highest(estimate.soc_sigma)
    anew = (sigma < BETTER * before.sigma) | ~(before.sigma >= 0.0) | (now_ns - before.made_ns >= ANEW_NS)
    bled = np.where((sigma < before.sigma)[owner], np.maximum(before.begin_Ah - moved_Ah, 0.0), 0.0)
    fresh = balance.dose_Ah(layout, estimate, floor, bled, balance.LEAVE)
    most = balance.dose_Ah(layout, replace(estimate, soc_sigma=0.0 * sigma[owner]), floor)
    left = np.minimum(np.maximum(before.dose_Ah - np.maximum(before.moved_Ah - moved_Ah, 0.0), 0.0), most)
    dose = np.where(anew[owner], fresh, left) * bleeds[owner]
    return Ledger(
        dose, moved_Ah, before.begin_Ah, estimate.soc, estimate.soc_sigma, np.where(anew, sigma, before.sigma),
        np.where(anew, now_ns, before.made_ns),
    )  # fmt: skip
