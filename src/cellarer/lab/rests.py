"""Open-circuit curve from the rests of pulse tests, drawn between them as the cell fell under load.

Rests lie 5 to 20 % of charge apart and seldom reach empty; the discharges between them show every shape there, lower by
their polarisation. How large that is both ends tell: the step of current at the begin, the rest behind the end. Between
the two it grows as a slow polarisation usually does.
"""

import numpy as np
from numpy.typing import NDArray

from cellarer.lab.curve import GRID, Curve, towards_empty
from cellarer.lab.sort import Ends, Sorted

Floats = NDArray[np.float64]
Point = tuple[float, float]  # soc, V

RESTS = "rests of pulse tests"  # as source of a curve
REST_S = 590.0  # ten minutes, as rows of 10 s show them
CALM_C = 0.01
GROWS_S = 250.0  # usual slow time constant
LEAST_ROWS = 5
LEAST_SWING = 0.01  # of the capacity: less is a pulse
LIKE = 0.2  # of the usual discharge current: a stretch whose current differs more is of another kind
BIN = 0.02  # of the capacity: rests closer are one point
DRAWN = 0.5  # of all charge between the highest and the lowest rest must have been seen under load


def from_rests(items: list[Sorted], ends: Ends) -> Curve | None:
    """Rested points of runs that begin full: the last row of every rest of ten minutes or more.

    Where a run begins full without such a rest, its first calm row ends the curve, but is no rested point.
    """
    told = [(item, rested(item, ends.capacity_Ah)) for item in items if item.anchored == "full"]
    told = [(item, points) for item, points in told if np.ptp(item.soc) > 0.3]
    near = [one for one in told if abs(one[0].temp_degC - 25.0) < 6.0 and one[1]] or told
    points = sorted(point for _, found in near for point in found)
    if len(points) < 5:
        return None
    soc, voltage = np.array(points).T
    if np.ptp(soc) < 0.6:
        return None
    bins = np.round(soc / BIN)
    keys = np.unique(bins)
    soc = np.array([soc[bins == key].mean() for key in keys])
    voltage = np.maximum.accumulate(np.array([voltage[bins == key].mean() for key in keys]))
    points_told = tuple(zip(soc.tolist(), voltage.tolist(), strict=True))
    begins = [(float(item.soc[0]), float(item.run.voltage[0])) for item, _ in near if _calm(item, ends.capacity_Ah)]
    if soc[-1] < 1.0 - BIN and begins:
        top = np.array(begins).mean(axis=0)
        soc, voltage = np.r_[soc, top[0]], np.r_[voltage, max(top[1], voltage[-1])]
    temp = float(np.mean([item.temp_degC for item, found in near if found]))
    loaded = [under_load(item, ends.capacity_Ah) for item, _ in near]
    ocv = _drawn([one for one in loaded if len(one)], soc, voltage)
    if ocv is None:
        ocv = _smooth(soc, voltage, ends)
    return Curve(np.maximum.accumulate(ocv), np.zeros_like(GRID), temp, RESTS, False, points_told)


def rested(item: Sorted, capacity_Ah: float) -> list[Point]:
    """SOC and voltage of the last rows of the rests of a run."""
    run = item.run
    rest = np.abs(run.current) < CALM_C * capacity_Ah
    edges = np.flatnonzero(np.diff(np.r_[0, rest.astype(np.int8), 0]))
    return [
        (float(item.soc[end - 1]), float(run.voltage[end - 1]))
        for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
        if run.time_s[end - 1] - run.time_s[begin] >= REST_S
    ]


def _calm(item: Sorted, capacity_Ah: float) -> bool:
    """Whether a run begins full and without current."""
    return bool(item.soc[0] > 1.0 - BIN and abs(item.run.current[0]) < CALM_C * capacity_Ah)


def under_load(item: Sorted, capacity_Ah: float) -> Floats:
    """(row, 2): SOC and voltage of the long discharges of a run, freed from their polarisation."""
    run = item.run
    amount = np.where(run.current < -CALM_C * capacity_Ah, -run.current * run.dt, 0.0)
    if not amount.sum() > 0.0:
        return np.empty((0, 2))
    order = np.argsort(run.current)
    usual = float(run.current[order][np.searchsorted(np.cumsum(amount[order]), 0.5 * amount.sum())])
    steady = np.abs(run.current - usual) < -LIKE * usual
    edges = np.flatnonzero(np.diff(np.r_[0, steady.astype(np.int8), 0]))
    stretches = [
        (begin, end)
        for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
        if end - begin >= LEAST_ROWS and begin > 0 and np.ptp(run.charge_Ah[begin:end]) > LEAST_SWING * capacity_Ah
    ]
    lasts = [_last(item, end, capacity_Ah) for _, end in stretches]
    parts = [np.empty((0, 2))]
    for n, (begin, end) in enumerate(stretches):
        first = float(run.voltage[begin - 1] - run.voltage[begin])
        last = lasts[n]
        if np.isnan(last):  # no rest behind it: as large as the one before, which grows towards empty
            known = [m for m in range(n) if np.isfinite(lasts[m])]
            if not known:
                continue
            rises = towards_empty(item.soc[begin:end]) / towards_empty(item.soc[stretches[known[-1]][1] - 1])
            grows: Floats | float = lasts[known[-1]] * rises - first
        else:
            grows = last - first
        passed = run.time_s[begin:end] - run.time_s[begin]
        grown = (1.0 - np.exp(-passed / GROWS_S)) / (1.0 - np.exp(-max(float(passed[-1]), 1.0) / GROWS_S))
        volts = run.voltage[begin:end] + first + grows * grown
        parts.append(np.stack([item.soc[begin:end], volts], axis=1))
    return np.concatenate(parts)


def _last(item: Sorted, end: int, capacity_Ah: float) -> float:
    """By how much the voltage rises in the rest behind a discharge that ends before row `end`; NaN without one."""
    run = item.run
    moving = np.flatnonzero(np.abs(run.current[end:]) >= CALM_C * capacity_Ah)
    behind = end + int(moving[0]) if len(moving) else len(run.current)
    if behind - end < 2 or run.time_s[behind - 1] - run.time_s[end] < REST_S:
        return float("nan")
    return float(run.voltage[behind - 1] - run.voltage[end - 1])


def _drawn(loaded: list[Floats], soc: Floats, voltage: Floats) -> Floats | None:
    """What was seen under load, moved so that it goes through the rests; None where too little was."""
    if not loaded:
        return None
    rows = np.concatenate(loaded)
    bins = np.round(rows[:, 0] * (len(GRID) - 1)).astype(int)
    keys = np.unique(bins)
    keys = keys[(keys >= 0) & (keys < len(GRID))]
    inside = keys[(GRID[keys] > soc[0]) & (GRID[keys] < soc[-1])]
    if len(inside) < DRAWN * (soc[-1] - soc[0]) * (len(GRID) - 1):
        return None
    seen = GRID[keys]
    beyond = (soc < seen[0]) | (soc > seen[-1])
    at = np.r_[seen, soc[beyond]]
    volts = np.r_[[float(np.median(rows[bins == key, 1])) for key in keys], voltage[beyond]]
    order = np.argsort(at)
    shape = np.interp(GRID, at[order], volts[order])
    shape = np.maximum.accumulate(shape)
    return np.asarray(shape + np.interp(GRID, soc, voltage - np.interp(soc, GRID, shape)))


def _smooth(soc: Floats, voltage: Floats, ends: Ends) -> Floats:
    """Nothing between the rests but a smooth line; below them what the lowest voltage of all files leaves."""
    from scipy.interpolate import PchipInterpolator

    if soc[0] > 0.01:
        soc, voltage = np.r_[0.0, soc], np.r_[min(ends.empty_V + 0.25, voltage[0] - 0.05), voltage]
    return np.asarray(PchipInterpolator(soc, voltage)(np.clip(GRID, soc[0], soc[-1])))
