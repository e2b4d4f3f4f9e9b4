"""What a slow fault leaves in the signals against what the signals may be off by: docs/why/detectability.md."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from cellarer.cells import load
from cellarer.config import load as site
from cellarer.core.decide.diagnose import SOUND_SHARE
from cellarer.core.estimate.imbalance import SURE
from cellarer.runtime.campaign_slow import CELLS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "why" / "detectability.md").read_text(encoding="utf-8")
MIDDLE = np.linspace(0.2, 0.9, 71)  # SOC where a battery is most of its time
BUDGET_H = 24.0
SWING = 0.4, 0.9  # of SOC within a day: of a house with 280 Ah, and with 33 Ah


class Curve(NamedTuple):
    """What a cell's voltage tells of its charge, at 25 degC in the middle of the curve."""

    slope: float  # V per 1 of SOC
    fit: float  # V: how well the model fits measurements; the same for cells of one string
    branch: float  # V: half of the gap of the hysteresis; carried alike by cells of one string, unknown for their mean
    capacity_Ah: float


def curve(name: str) -> Curve:
    model = load(name).model
    k, z = int(np.abs(model.temp_degC - 25.0).argmin()), np.linspace(0.0, 1.0, model.ocv.shape[1])
    slope = np.interp(MIDDLE + 0.01, z, model.ocv[k]) - np.interp(MIDDLE - 0.01, z, model.ocv[k])
    branch = float(np.median(np.interp(MIDDLE, z, model.hysteresis[k])))
    return Curve(float(np.median(slope)) / 0.02, float(model.sigma[k]), branch, model.capacity_Ah)


def size(fault: str) -> float:
    """Return the size of the campaign's smallest case of a fault."""
    sizes = [case.size for case in CELLS if case.fault == fault]
    return max(sizes) if fault == "internal_short" else sizes[0]  # ohm


def short_h(c: Curve, volts: float) -> float:
    """Return after how long a cell's charge has moved against its neighbours for sure, between two looks, h."""
    sure = SURE * np.sqrt(2.0) * c.fit / c.slope
    return float(sure * c.capacity_Ah * size("internal_short") / volts)


def missing(c: Curve, swing: float) -> float:
    """Return what capacity must be missing to be sure of it, from two looks that lie a swing of SOC apart."""
    return float(SURE * np.sqrt(2.0) * c.fit / c.slope / swing)


def offset_h(c: Curve, rated_A: float) -> float:
    """Return after how long counted charge and voltage differ for sure by more than a sound sensor explains, h."""
    sure = SURE * np.sqrt(2.0) * float(np.hypot(c.fit, c.branch)) / c.slope
    return float(sure * c.capacity_Ah / ((size("current_offset") - SOUND_SHARE) * rated_A))


@pytest.mark.parametrize(("cell", "told"), [("lfp_280ah", False), ("nissan_leaf_2013", True)])
def test_what_the_campaign_misses_is_not_in_the_signals_in_time_and_what_it_sees_is(cell: str, told: bool) -> None:
    c, rated = curve(cell), float(site("home").config.limits.rated_charge_A[0])
    volts = 3.3 if cell == "lfp_280ah" else 3.8
    rated = rated if cell == "lfp_280ah" else float(load(cell).limits.charge_A[0])
    short, weak, offset = short_h(c, volts), missing(c, SWING[told]), offset_h(c, rated)
    lost = 1.0 - size("weak_cell")
    assert (short <= BUDGET_H, weak <= lost, offset <= BUDGET_H) == (told, told, told)
    signals = f"{1e3 * c.slope / 100:.1f} | {1e3 * c.fit:.0f} | {1e3 * c.branch:.0f}"
    row = f"| `{cell}` | {signals} | {short:.0f} | {100 * weak:.0f} | {offset:.0f} |"
    assert row in PAGE, row


def test_an_internal_short_ten_times_as_hard_is_told_in_time_on_the_flat_curve_too() -> None:
    assert short_h(curve("lfp_280ah"), 3.3) / 10.0 <= BUDGET_H
