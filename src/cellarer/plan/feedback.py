"""Active balancing in the loop: what each converter does now, from SOC alone, near the linear-programming optimum.

Cell ↔ pack: what a converter puts on the pack shifts all cells alike, so the extremes meet at the middle of highest
and lowest, whatever the others do: who lies outside the window around the middle works. Neighbours: each boundary has
to pass what the cells on one side have too much; the least greatest flow is found by halving, flows by walking the
chain once with the interval that each may lie in. A converter never works both ways at once: the programme of
`transfer.py` may be some per cent faster by burning charge so, which nobody wants. Called again each slot: errors do
not add up.
"""

import numpy as np
from numpy.typing import NDArray

from cellarer.model.config import Topology

Floats = NDArray[np.float64]

HALVINGS = 30
LEVELS = 33  # levels of the window that are tried at once
ZOOMS = 3  # each makes the grid of levels 16 times finer


def drive(
    kind: Topology, cells: tuple[Floats, Floats, Floats], window: float, efficiency: float, slot_Ah: float
) -> Floats:
    """Return (2, cell) what converters do in the next slot by rules alone.

    cells    (SOC, capacity Ah, voltage V), (cell,) each; modules for a module bus
    slot_Ah  what one converter takes out of a cell in a slot at full drive
    """
    soc, capacity_Ah, voltage = cells
    result = np.zeros((2, soc.size))
    if kind == Topology.CAPACITOR:
        result[0, :-1] = drive_capacitor(soc, voltage, window)
    elif kind == Topology.SHUTTLE:
        result[:, :-1] = drive_shuttle(soc, capacity_Ah, window, efficiency, slot_Ah)
    elif kind != Topology.NONE:
        result[:] = drive_flyback(soc, capacity_Ah, window, slot_Ah, 3600.0)
    return result


def drive_capacitor(soc: Floats, voltage: Floats, window: float) -> Floats:
    """Return drive 0 or 1 of each switched capacitor, (cell − 1,): on where it flows from more charge to less.

    It flows by voltage; under load, and on a flat curve, that may be the wrong way.
    """
    right = np.diff(soc) * np.diff(voltage) > 0.0
    return np.where(right & (np.abs(np.diff(soc)) > 0.5 * window), 1.0, 0.0)


def drive_flyback(
    soc: Floats, capacity_Ah: Floats, window: float, current_A: float, slot_s: float
) -> tuple[Floats, Floats]:
    """Return drive 0…1 of cell → pack and of pack → cell for the next slot, each (cell,); unknown SOC: all 0."""
    middle = 0.5 * (soc.max() + soc.min())
    full = current_A * slot_s / 3600.0
    give = np.clip((soc - middle - 0.5 * window) * capacity_Ah / full, 0.0, 1.0)
    take = np.clip((middle - 0.5 * window - soc) * capacity_Ah / full, 0.0, 1.0)
    return (give, take) if np.isfinite(middle) else (np.zeros(soc.size), np.zeros(soc.size))


def drive_shuttle(
    soc: Floats, capacity_Ah: Floats, window: float, efficiency: float, most_Ah: float
) -> tuple[Floats, Floats]:
    """Return drive 0…1 of k → k+1 and of k+1 → k for the next slot, each (cell − 1,); unknown SOC: all 0.

    most_Ah  what one converter takes out of a cell in a slot at full drive
    """
    idle = np.zeros(soc.size - 1)
    if not np.isfinite(soc).all() or soc.max() - soc.min() <= window:
        return idle, idle
    flow = least_flow(soc, capacity_Ah, window, efficiency)
    drive = flow / max(float(np.abs(flow).max()), most_Ah)  # all boundaries end together: nobody is emptied meanwhile
    return np.maximum(drive, 0.0), np.maximum(-drive, 0.0)


def least_flow(soc: Floats, capacity_Ah: Floats, window: float, efficiency: float) -> Floats:
    """Return the charge to pass over each boundary, (cell − 1,) Ah at its source, + towards the next cell."""
    lowest_level, highest_level = float(soc.min()) - window, float(soc.max())
    for _ in range(ZOOMS):  # the least greatest flow is convex in the level: the best lies beside the best of the grid
        levels = np.linspace(lowest_level, highest_level, LEVELS)
        low, high = 0.0, float(capacity_Ah.sum())
        for _ in range(HALVINGS):
            most = 0.5 * (low + high)
            ok = _reach(soc, capacity_Ah, window, efficiency, most, levels)[2]
            low, high = (low, most) if ok.any() else (most, high)
        ok = _reach(soc, capacity_Ah, window, efficiency, high, levels)[2]
        step = float(levels[1] - levels[0])
        lowest_level, highest_level = float(levels[ok].min()) - step, float(levels[ok].max()) + step
    lowest, highest, ok = _reach(soc, capacity_Ah, window, efficiency, high, levels)
    at = int(np.flatnonzero(ok)[ok.sum() // 2])
    return _walk_back(soc * capacity_Ah, (levels[at] * capacity_Ah, window * capacity_Ah), efficiency,
                      lowest[:, at], highest[:, at])  # fmt: skip


def _arrives(flow: Floats, efficiency: float) -> Floats:
    """Return what the next cell gains from a flow at its source."""
    return np.where(flow > 0.0, efficiency * flow, flow)


def _source(out: Floats, efficiency: float) -> Floats:
    """Return the flow at its source for what leaves this cell: a negative one is what arrives here."""
    return np.where(out > 0.0, out, out / efficiency)


def _reach(
    soc: Floats, capacity_Ah: Floats, window: float, efficiency: float, most: float, levels: Floats
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return the interval of each boundary's flow, (cell − 1, level), and which levels can be reached with `most`."""
    low = high = np.zeros(levels.size)
    ok, lows, highs = np.ones(levels.size, bool), [], []
    for left, size in zip((soc * capacity_Ah)[:-1], capacity_Ah[:-1], strict=True):  # a chain: order matters
        least = left + _arrives(low, efficiency) - (levels + window) * size
        greatest = left + _arrives(high, efficiency) - levels * size
        low = np.maximum(_source(least, efficiency), -most)
        high = np.minimum(_source(greatest, efficiency), most)
        ok &= low <= high
        lows.append(low)
        highs.append(high)
    last, size = soc[-1] * capacity_Ah[-1], capacity_Ah[-1]
    ok &= last + _arrives(high, efficiency) >= levels * size
    ok &= last + _arrives(low, efficiency) <= (levels + window) * size
    return np.array(lows), np.array(highs), ok


def _walk_back(left: Floats, goal: tuple[Floats, Floats], efficiency: float, low: Floats, high: Floats) -> Floats:
    """Return flows from the last boundary to the first, each the smallest that its cell and interval allow."""
    level, window = goal
    flow, out = np.zeros(left.size - 1), 0.0
    for k in range(left.size - 1, 0, -1):
        least, most = level[k] + out - left[k], level[k] + window[k] + out - left[k]  # what must arrive
        least, most = (x / efficiency if x > 0.0 else x for x in (least, most))
        within = np.clip(0.0, max(least, low[k - 1]), max(min(most, high[k - 1]), max(least, low[k - 1])))
        flow[k - 1] = within
        out = within if within > 0.0 else efficiency * within
    return flow
