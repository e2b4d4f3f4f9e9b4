"""The step of the estimator compiled by numba: two passes per block of LANES cells, no allocation, no exp.

Pass one looks tables up, cell by cell (gather), and only where SOC or temperature have moved on; pass two is straight
arithmetic over the lanes of a block, which LLVM turns into vector instructions because every access is one base plus
a constant (see fields.py). The arithmetic is equations.advance, the same that NumPy runs; here it is inlined.
`run_block` has the time loop inside, so that the state of a block stays in the first cache: for replay and fleets.
Fast maths is allowed here: inputs carry no NaN. Protection never comes through this file.
"""

from types import FunctionType
from typing import Any

import numpy as np
from numba import njit

from cellarer.core.estimate import equations
from cellarer.core.estimate.equations import CORRELATION_S, FADE_S, HOLD_S, LOST_C
from cellarer.core.estimate.fields import (
    HOLD_K,
    HOLD_SOC,
    INDEX,
    INPUT,
    LANES,
    LOOKED_UP,
    MEMORY,
    NODE_WIDTH,
    ROW_WIDTH,
    WIDTH,
)
from cellarer.core.estimate.tables import TEMP_LOW_DEGC, TEMP_POINTS, TEMP_STEP_K
from cellarer.model.cell import SOC_POINTS

# numba's cache looks at this file alone: the stamp, checked by a test, makes it change with the files it is built from.
STAMP = "5311f49bd190"

OPTIONS: dict[str, Any] = {"fastmath": True, "error_model": "numpy", "nogil": True, "cache": True}
INLINE: dict[str, Any] = {"fastmath": True, "error_model": "numpy", "forceinline": True}

decay = njit(**INLINE)(equations.decay)
gap_variance = njit(**INLINE)(equations.gap_variance)
falling = njit(**INLINE)(equations.falling)
# The same code with the two bound to their compiled form
COMPILED = {**vars(equations), "decay": decay, "falling": falling}
advance = njit(**INLINE)(FunctionType(equations.advance.__code__, COMPILED))

L = LANES
CAPACITY, LAST_I, DOUBT_Q = (INDEX[name] * L for name in ("capacity", "last_i", "doubt_q"))
STRAIN, QUIET_SECONDS, QUIET_I, RESTLESS, REACT_V, REACT_Q, START_Z, MODEL_V = (INDEX[name] * L for name in MEMORY)
IN_V, IN_I, IN_C, IN_DEGC, IN_KNOWN, IN_ZERO, IN_NOISE = (INPUT * L + n * L for n in range(7))
X_Z, X_DEGC, X_OCV, X_M, X_R0, X_R1, X_R2, X_NEAR, X_FAR, X_SIGMA, X_LOCAL = (LOOKED_UP * L + n * L for n in range(11))
X_TAU1, X_TAU2, X_EXCHANGE, X_GAMMA = (LOOKED_UP * L + n * L for n in range(11, 15))
TOP = SOC_POINTS - 1
ROW = SOC_POINTS * NODE_WIDTH
TILE = 4_000  # readings of one kind in a tile


@njit(**INLINE)
def look_up_lane(d: Any, o: Any, kind: int, node: Any, rows: Any, dt: float) -> None:
    """Look up the tables of one cell; o is the cell's place in the buffer."""
    z = d[o] + dt / (3600.0 * d[o + np.uint64(CAPACITY)]) * (d[o + np.uint64(IN_C)] - d[o + np.uint64(5 * L)])
    temp_degC = d[o + np.uint64(IN_DEGC)]
    d[o + np.uint64(X_Z)] = z
    d[o + np.uint64(X_DEGC)] = temp_degC
    u = min(max(z, -0.05), 1.05) * TOP
    j = min(max(int(u), 0), TOP - 1)
    f = u - j
    w = min(max((temp_degC - TEMP_LOW_DEGC) * (1.0 / TEMP_STEP_K), 0.0), TEMP_POINTS - 1.0)
    r = min(int(w), TEMP_POINTS - 2)
    g = w - r
    line = kind * TEMP_POINTS + r
    n = np.uint64(line * ROW + j * NODE_WIDTH)
    for x in range(NODE_WIDTH):
        p = n + np.uint64(x)
        left = node[p] + g * (node[p + np.uint64(ROW)] - node[p])
        p = p + np.uint64(NODE_WIDTH)
        right = node[p] + g * (node[p + np.uint64(ROW)] - node[p])
        d[o + np.uint64(X_OCV) + np.uint64(x * L)] = left + f * (right - left)
        if x == 0:
            d[o + np.uint64(X_LOCAL)] = (right - left) * TOP
    n = np.uint64(line * ROW_WIDTH)
    for x in range(ROW_WIDTH):
        p = n + np.uint64(x)
        d[o + np.uint64(X_TAU1) + np.uint64(x * L)] = rows[p] + g * (rows[p + np.uint64(ROW_WIDTH)] - rows[p])


@njit(**INLINE)
def step_block(d: Any, o: Any, b: int, kind: Any, node: Any, rows: Any, dt: float, gap: float, learn: float) -> None:
    """Advance one block of LANES cells that begins at o."""
    trust = max(1.0, CORRELATION_S / max(dt, 0.01))
    moved = 0.0
    for lane in range(L):
        l = o + np.uint64(lane)
        z = d[l] + dt / (3600.0 * d[l + np.uint64(CAPACITY)]) * (d[l + np.uint64(IN_C)] - d[l + np.uint64(5 * L)])
        moved = max(moved, abs(z - d[l + np.uint64(X_Z)]) * (1.0 / HOLD_SOC))
        moved = max(moved, abs(d[l + np.uint64(IN_DEGC)] - d[l + np.uint64(X_DEGC)]) * (1.0 / HOLD_K))
    if moved > 1.0:
        for lane in range(L):
            look_up_lane(d, o + np.uint64(lane), kind[b * L + lane], node, rows, dt)
    for lane in range(L):
        l = o + np.uint64(lane)
        d[l + np.uint64(LAST_I)] = d[l + np.uint64(IN_I)]
        (
            d[l], d[l + np.uint64(1 * L)], d[l + np.uint64(2 * L)], d[l + np.uint64(3 * L)], d[l + np.uint64(4 * L)],
            d[l + np.uint64(5 * L)], d[l + np.uint64(6 * L)], d[l + np.uint64(7 * L)], d[l + np.uint64(8 * L)],
            d[l + np.uint64(9 * L)], d[l + np.uint64(10 * L)], d[l + np.uint64(11 * L)], d[l + np.uint64(12 * L)],
            d[l + np.uint64(13 * L)], d[l + np.uint64(14 * L)], d[l + np.uint64(15 * L)], d[l + np.uint64(16 * L)],
            d[l + np.uint64(17 * L)], d[l + np.uint64(18 * L)], d[l + np.uint64(19 * L)], d[l + np.uint64(20 * L)],
            d[l + np.uint64(21 * L)], d[l + np.uint64(22 * L)], d[l + np.uint64(23 * L)], d[l + np.uint64(24 * L)],
            d[l + np.uint64(25 * L)], d[l + np.uint64(26 * L)], d[l + np.uint64(STRAIN)],
            d[l + np.uint64(QUIET_SECONDS)], d[l + np.uint64(QUIET_I)], d[l + np.uint64(RESTLESS)],
            d[l + np.uint64(REACT_V)], d[l + np.uint64(REACT_Q)], d[l + np.uint64(START_Z)], d[l + np.uint64(MODEL_V)],
        ) = advance(
            d[l], d[l + np.uint64(1 * L)], d[l + np.uint64(2 * L)], d[l + np.uint64(3 * L)], d[l + np.uint64(4 * L)],
            d[l + np.uint64(5 * L)], d[l + np.uint64(6 * L)], d[l + np.uint64(7 * L)], d[l + np.uint64(8 * L)],
            d[l + np.uint64(9 * L)], d[l + np.uint64(10 * L)], d[l + np.uint64(11 * L)], d[l + np.uint64(12 * L)],
            d[l + np.uint64(13 * L)], d[l + np.uint64(14 * L)], d[l + np.uint64(15 * L)], d[l + np.uint64(16 * L)],
            d[l + np.uint64(17 * L)], d[l + np.uint64(18 * L)], d[l + np.uint64(19 * L)], d[l + np.uint64(20 * L)],
            d[l + np.uint64(21 * L)], d[l + np.uint64(22 * L)], d[l + np.uint64(23 * L)], d[l + np.uint64(24 * L)],
            d[l + np.uint64(25 * L)], d[l + np.uint64(26 * L)], d[l + np.uint64(CAPACITY)], d[l + np.uint64(STRAIN)],
            d[l + np.uint64(QUIET_SECONDS)], d[l + np.uint64(QUIET_I)], d[l + np.uint64(RESTLESS)],
            d[l + np.uint64(REACT_V)], d[l + np.uint64(REACT_Q)], d[l + np.uint64(START_Z)], d[l + np.uint64(IN_V)],
            d[l + np.uint64(IN_I)], d[l + np.uint64(IN_C)], d[l + np.uint64(IN_KNOWN)], d[l + np.uint64(IN_ZERO)],
            d[l + np.uint64(IN_NOISE)], d[l + np.uint64(X_Z)], d[l + np.uint64(X_OCV)], d[l + np.uint64(X_M)],
            d[l + np.uint64(X_R0)], d[l + np.uint64(X_R1)], d[l + np.uint64(X_R2)], d[l + np.uint64(X_NEAR)],
            d[l + np.uint64(X_FAR)], d[l + np.uint64(X_SIGMA)], d[l + np.uint64(X_LOCAL)], d[l + np.uint64(X_TAU1)],
            d[l + np.uint64(X_TAU2)], d[l + np.uint64(X_EXCHANGE)], d[l + np.uint64(X_GAMMA)], dt, trust, gap, learn,
        )  # fmt: skip


@njit(**OPTIONS)
def step_buffer(d: Any, node: Any, rows: Any, kind: Any, dt: float, gap: float, learn: float) -> None:
    """Advance every cell of the buffer in place; the same call as numpy_form.step_buffer."""
    for b in range(d.size // WIDTH):
        step_block(d, np.uint64(b * WIDTH), b, kind, node, rows, dt, gap, learn)


# No fast maths in these functions' own lines: NaN is asked for here. What is inlined keeps its own flags.
@njit(error_model="numpy", nogil=True)
def run_tile(
    d: Any, b: int, kind: Any, node: Any, rows: Any, per_parallel: Any, voltage: Any, current: Any, temp_degC: Any,
    dt: Any, learn: float, soc: Any, soc_sigma: Any, every: int, begin: int, end: int,
) -> None:  # fmt: skip
    """Run one block of lanes over the rows from begin to end."""
    cells = per_parallel.size
    last_v, last_i, last_t = voltage.shape[1] - 1, current.shape[1] - 1, temp_degC.shape[1] - 1
    o = np.uint64(b * WIDTH)
    here = min(L, cells - b * L)
    for lane in range(here, L):
        l = o + np.uint64(lane)
        d[l + np.uint64(IN_KNOWN)] = 0.0
        d[l + np.uint64(IN_I)] = 0.0
        d[l + np.uint64(IN_C)] = 0.0
    for row in range(begin, end):
        span = dt[row]
        gap = gap_variance(span)
        half = 0.5 if span > HOLD_S else 0.0
        held = max(1.0 - span / FADE_S, 0.0)
        for lane in range(here):
            l = o + np.uint64(lane)
            n = b * L + lane
            v = voltage[row, min(n, last_v)]
            i = current[row, min(n, last_i)] * per_parallel[n]
            warm = temp_degC[row, min(n, last_t)]
            q = d[l + np.uint64(CAPACITY)]
            last = d[l + np.uint64(LAST_I)]
            known, present = np.isfinite(v), np.isfinite(i)
            if not known:
                v = 0.0
            if not present:
                i = last * held
            if np.isfinite(warm):
                d[l + np.uint64(IN_DEGC)] = warm
            mean = last + half * (i - last)
            d[l + np.uint64(IN_V)] = v
            d[l + np.uint64(IN_KNOWN)] = 1.0 if known else 0.0
            d[l + np.uint64(IN_I)] = i
            d[l + np.uint64(IN_C)] = d[l + np.uint64(5 * L)] if gap > 0.0 else mean
            d[l + np.uint64(IN_ZERO)] = 0.0
            d[l + np.uint64(IN_NOISE)] = 0.0 if present else LOST_C * LOST_C * q * q
        step_block(d, o, b, kind, node, rows, span, gap, learn)
        if row % every == 0:
            for lane in range(here):
                soc[row // every, b * L + lane] = d[o + np.uint64(lane)]
                scale = d[o + np.uint64(REACT_Q + lane)] * d[o + np.uint64(DOUBT_Q + lane)]
                soc_sigma[row // every, b * L + lane] = np.sqrt(
                    max(d[o + np.uint64(6 * L + lane)], 0.0) + scale * scale
                )


@njit(error_model="numpy", nogil=True, cache=True)
def run_block(
    d: Any, node: Any, rows: Any, kind: Any, per_parallel: Any, voltage: Any, current: Any, temp_degC: Any, dt: Any,
    learn: float, soc: Any, soc_sigma: Any, every: int,
) -> None:  # fmt: skip
    """Run whole recordings, block by block, so that a block's state stays in the first cache.

    voltage, current, temp_degC  (time, cell) or (time, 1) for all cells, NaN = unknown; dt (time,) s
    per_parallel  (cell,) 1 / cells side by side; soc, soc_sigma  (time // every, cell), every `every`-th row
    """
    cells = per_parallel.size
    # Tiles in time: one tile of all readings fits the second cache, whatever the number of cells.
    tile = max(4, TILE // max(cells, 1))
    for begin in range(0, dt.size, tile):
        end = min(begin + tile, dt.size)
        for b in range(d.size // WIDTH):
            run_tile(
                d, b, kind, node, rows, per_parallel, voltage, current, temp_degC, dt, learn, soc, soc_sigma, every,
                begin, end,
            )  # fmt: skip
