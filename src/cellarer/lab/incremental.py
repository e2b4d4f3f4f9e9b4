"""Incremental capacity (dQ/dV) and differential voltage (dV/dQ) of charges: what a cell's ageing is made of.

The charge at constant current is put on an even grid, smoothed by a Gaussian as wide as the noise of the voltage asks,
and differentiated. Peaks of dQ/dV are phases of the electrodes: a common shift is resistance, lost area is lost charge.
A peak of dV/dQ parts two phases of graphite: the charge below it is a fixed share of the negative electrode, the charge
above it is what lithium is left for. So a loss below it is negative material, the loss of both together lithium.
Limits: one direction, a current below about 1C, a charge that begins empty; NaN where the data does not carry it.
Sources: Bloom et al., J. Power Sources 139 (2005) 295; Dubarry et al., J. Power Sources 219 (2012) 204.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cellarer.lab.error import LabError

Floats = NDArray[np.float64]

STEADY = 0.1  # rows whose current is within this of the median are the constant current
GRID_V = 0.001
LEAST_SMOOTH_V, MOST_SMOOTH_V = 0.002, 0.020
NOISES = 12.0  # smoothing width in multiples of the voltage's noise
PROMINENT = 0.06  # of the highest peak
GRID_SHARE, SMOOTH_SHARE = 0.002, 0.012  # of the charge, for dV/dQ
INNER = (0.15, 0.9)  # of the charge: where a peak of dV/dQ is looked for, away from the steep ends
MATCH_V = 0.03  # peaks that lie closer, after a common shift, are the same
GAIN, MOST_LOST = 0.1, 0.5  # of negative material between two charges that can be believed
FEW, MOSTLY = 25, 0.9


@dataclass(frozen=True, slots=True)
class Peak:
    """A peak of dQ/dV: position in V, height in Ah/V, charge under it in Ah between the valleys beside it."""

    voltage: float
    height: float
    charge_Ah: float


@dataclass(frozen=True, slots=True, eq=False)
class Incremental:
    """Both curves of one charge at constant current: over `voltage` (point,) V and over `charge_Ah` (point2,)."""

    voltage: Floats
    dq_dv: Floats  # Ah/V
    charge_Ah: Floats
    dv_dq: Floats  # V/Ah
    peaks: tuple[Peak, ...]  # rising voltage
    parting_Ah: float  # charge at the highest inner peak of dV/dQ; NaN: none
    total_Ah: float
    current: float  # A
    smooth_V: float


@dataclass(frozen=True, slots=True)
class Ageing:
    """What changed between two charges, shares of the first; NaN: the data does not carry it."""

    charge_lost: float
    shift_V: float  # common shift of the peaks
    resistance_rise: float  # ohm: that shift over the current
    negative_lost: float  # active material of the negative electrode
    lithium_lost: float


def analyse(current: Floats, voltage: Floats, charge_Ah: Floats, name: str = "charge") -> Incremental:
    """Analyse one charge, (row,) each. Raises LabError where there is no constant current over some voltage."""
    usual = float(np.median(current[current > 0.0])) if (current > 0.0).any() else 0.0
    steady = np.flatnonzero(np.abs(current - usual) < STEADY * usual)
    rows = np.arange(steady[0], steady[-1] + 1) if len(steady) else steady
    if len(steady) < max(FEW, MOSTLY * len(rows)) or np.ptp(voltage[rows]) < 0.1:
        found = f"{len(steady)} rows of constant charging among {len(rows)}"
        raise LabError(name, "current", found, f"{FEW} or more, with few others, over 0.1 V")
    v, q = voltage[rows], charge_Ah[rows] - charge_Ah[rows[0]]
    smooth = float(np.clip(NOISES * _noise(v), LEAST_SMOOTH_V, MOST_SMOOTH_V))
    grid, dq_dv = _over_voltage(v, q, smooth)
    over, dv_dq = _over_charge(v, q)
    return Incremental(
        grid, dq_dv, over, dv_dq, _peaks(grid, dq_dv), _parting(over, dv_dq), float(q[-1]), usual, smooth
    )


def _noise(voltage: Floats) -> float:
    """One sigma of the voltage's noise, from third differences (a smooth curve has next to none) and its steps."""
    third, steps = np.diff(voltage, 3), np.abs(np.diff(voltage))
    noise = float(1.4826 * np.median(np.abs(third - np.median(third))) / np.sqrt(20.0))
    quantum = float(np.quantile(steps[steps > 1e-6], 0.02)) if (steps > 1e-6).any() else 0.0  # of the converter
    return max(noise, quantum / np.sqrt(12.0))


def _gauss(values: Floats, width: float) -> Floats:
    """Smooth by a Gaussian of `width` points; beyond the ends the values go on by reflection in the end points."""
    n = max(int(4.0 * width), 1)
    kernel = np.exp(-0.5 * (np.arange(-n, n + 1) / max(width, 1e-6)) ** 2)
    left = 2.0 * values[0] - values[1 : n + 1][::-1]
    right = 2.0 * values[-1] - values[-n - 1 : -1][::-1]
    padded = np.concatenate([left, values, right])
    return np.asarray(np.convolve(padded, kernel / kernel.sum(), "valid"))[len(left) - n : len(left) - n + len(values)]


def _over_voltage(v: Floats, q: Floats, smooth: float) -> tuple[Floats, Floats]:
    """The charge at each voltage is that between first and last time it was seen: noise costs no charge."""
    low, high = float(np.quantile(v, 0.002)), float(v.max())
    edges = np.arange(low, high + GRID_V, GRID_V)
    steps = np.concatenate([np.diff(q), [0.0]])
    middle = v + 0.5 * np.concatenate([np.diff(v), [0.0]])
    span = np.maximum(np.abs(np.concatenate([np.diff(v), [0.0]])), GRID_V)
    total = np.zeros(len(edges))  # every step of charge spread over the voltages it went through
    for sign, at in ((1.0, middle - 0.5 * span), (-1.0, middle + 0.5 * span)):
        place = (at - low) / GRID_V
        k = np.clip(np.floor(place).astype(int), 0, len(edges) - 1)
        np.add.at(total, k, sign * steps / span)
    density = np.cumsum(total)
    return edges, np.maximum(_gauss(density, smooth / GRID_V), 0.0)


def _over_charge(v: Floats, q: Floats) -> tuple[Floats, Floats]:
    """The slope of the voltage over an even grid of charge."""
    keep = np.r_[True, np.diff(q) > 0.0]
    grid = np.arange(0.0, 1.0 + 0.5 * GRID_SHARE, GRID_SHARE) * q[-1]
    even = _gauss(np.interp(grid, q[keep], v[keep]), SMOOTH_SHARE / GRID_SHARE)
    return grid, np.gradient(even, grid)


def _peaks(grid: Floats, dq_dv: Floats) -> tuple[Peak, ...]:
    """Peaks that stand out, with the charge between the valleys beside them."""
    least = PROMINENT * float(dq_dv.max())
    tops = [
        k for k in range(1, len(grid) - 1)
        if dq_dv[k] >= dq_dv[k - 1] and dq_dv[k] > dq_dv[k + 1] and _prominence(dq_dv, k) > least
    ]  # fmt: skip
    valleys = [int(a + np.argmin(dq_dv[a:b])) for a, b in pairwise(tops)]
    bounds = [0, *valleys, len(grid)]
    return tuple(
        Peak(float(grid[k]), float(dq_dv[k]), float(dq_dv[bounds[n] : bounds[n + 1]].sum() * GRID_V))
        for n, k in enumerate(tops)
    )


def _prominence(values: Floats, top: int) -> float:
    """How far one must go down from a top before it gets higher."""
    lows = []
    for side in (values[:top][::-1], values[top + 1 :]):
        higher = np.flatnonzero(side > values[top])
        reach = side[: higher[0]] if higher.size else side
        lows.append(float(reach.min()) if reach.size else float(values[top]))
    return float(values[top] - max(lows))


def _parting(over: Floats, dv_dq: Floats) -> float:
    """Charge at the highest inner peak of dV/dQ, if it stands out by a tenth of the usual slope."""
    inner = (over > INNER[0] * over[-1]) & (over < INNER[1] * over[-1])
    values = dv_dq[inner]
    tops = [k for k in range(1, len(values) - 1) if values[k] >= values[k - 1] and values[k] > values[k + 1]]
    best = max(tops, key=lambda k: _prominence(values, k), default=None)
    if best is None or _prominence(values, best) < 0.1 * float(np.median(values)):
        return float("nan")
    return float(over[inner][best])


def compare(first: Incremental, later: Incremental) -> Ageing:
    """What a later charge of the same cell, at the same current and temperature, says of its ageing."""
    shift = _shift(first.peaks, later.peaks)
    lost = 1.0 - later.total_Ah / first.total_Ah
    negative = 1.0 - later.parting_Ah / first.parting_Ah
    if not -GAIN < negative < MOST_LOST:
        negative = float("nan")  # another peak: material does not grow
    return Ageing(lost, shift, shift / later.current, negative, lost if np.isfinite(negative) else float("nan"))


def _shift(first: tuple[Peak, ...], later: tuple[Peak, ...]) -> float:
    """Median distance of peaks that belong together: each to the nearest, the highest to the highest first."""
    if not first or not later:
        return float("nan")
    begin = max(later, key=lambda p: p.height).voltage - max(first, key=lambda p: p.height).voltage
    away = []
    for peak in first:
        nearest = min(later, key=lambda p: abs(p.voltage - peak.voltage - begin))
        if abs(nearest.voltage - peak.voltage - begin) < MATCH_V:
            away.append(nearest.voltage - peak.voltage)
    return float(np.median(away)) if away else float("nan")
