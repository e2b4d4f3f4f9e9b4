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
from numba import njit, types
from numba.extending import intrinsic

from cellarer.core.estimate import equations
from cellarer.core.estimate.equations import FADE_S, HOLD_S, LOST_C
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
STAMP = "3841a9ee7c0b"

# From the bottom up
PARTS = (
    "decay",
    "falling",
    "looks",
    "lasting",
    "gap_variance",
    "hush",
    "unseen",
    "predict",
    "lean",
    "shrink",
    "bounded",
    "secant",
    "opened",
    "missed",
    "stated",
    "contradicted",
    "advance",
    "settle",
)

OPTIONS: dict[str, Any] = {"fastmath": True, "error_model": "numpy", "nogil": True, "cache": True}
INLINE: dict[str, Any] = {"fastmath": True, "error_model": "numpy", "forceinline": True}

# Each of the parts sees the compiled form of the parts before it
COMPILED: dict[str, Any] = dict(vars(equations))
for _name in PARTS:
    COMPILED[_name] = njit(**INLINE)(FunctionType(getattr(equations, _name).__code__, COMPILED))
decay, looks, gap_variance, hush, stated, advance, settle = (
    COMPILED[_name] for _name in ("decay", "looks", "gap_variance", "hush", "stated", "advance", "settle")
)

L = LANES
CAPACITY, LAST_I, DOUBT_Q, PER_AS, DT, LEFT1, LEFT2, PER_PARALLEL = (
    INDEX[name] * L for name in ("capacity", "last_i", "doubt_q", "per_As", "dt", "left1", "left2", "per_parallel")
)
QUIET_SECONDS, QUIET_I = INDEX["quiet_s"] * L, INDEX["quiet_i"] * L
STRAIN, BUSY, RESTLESS, REACT_V, REACT_Q, START_Z, MODEL_V = (INDEX[name] * L for name in MEMORY)
IN_V, IN_I, IN_C, IN_DEGC, IN_KNOWN, IN_ZERO, IN_NOISE = (INPUT * L + n * L for n in range(7))
X_Z, X_DEGC, X_OCV, X_M, X_R0, X_R1, X_R2, X_NEAR, X_FAR, X_SIGMA, X_LOCAL = (LOOKED_UP * L + n * L for n in range(11))
X_TAU1, X_TAU2, X_EXCHANGE, X_GAMMA, X_FAR_R = (LOOKED_UP * L + n * L for n in range(11, 16))
TOP = SOC_POINTS - 1
ROW = SOC_POINTS * NODE_WIDTH
TILE = 8_192  # readings of one kind in a tile: with those of the others and its cells it fits the second cache
TILE_BLOCKS = 16  # blocks of cells in it


def _widened(_: Any) -> Any:
    def lower(context: Any, builder: Any, *_: Any) -> Any:
        # past llvmlite's list of known attributes, which has none with a value
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), lower


# The function that calls it uses vectors of 512 bit where the processor has them; LLVM by itself prefers 256
eight_lanes: Any = intrinsic(_widened)


@njit(**INLINE)
def look_up_lane(d: Any, o: Any, kind: int, node: Any, rows: Any, dt: float) -> None:
    """Look up the tables of one cell; o is the cell's place in the buffer."""
    z = d[o] + dt * d[o + np.uint64(PER_AS)] * (d[o + np.uint64(IN_C)] - d[o + np.uint64(5 * L)])
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
def moved_on(d: Any, l: Any, dt: float) -> float:
    """More than 0 where SOC or temperature of the cell at l are no longer near those that were looked up."""
    z = d[l] + dt * d[l + np.uint64(PER_AS)] * (d[l + np.uint64(IN_C)] - d[l + np.uint64(5 * L)])
    soc = np.maximum(np.abs(z - d[l + np.uint64(X_Z)]) - HOLD_SOC, 0.0)
    return soc + np.maximum(np.abs(d[l + np.uint64(IN_DEGC)] - d[l + np.uint64(X_DEGC)]) - HOLD_K, 0.0)


@njit(**INLINE)
def refresh_block(d: Any, o: Any, b: int, kind: Any, node: Any, rows: Any, dt: float) -> None:
    """Look tables up again for the cells of the block that have moved on, or where the step has changed."""
    moved = 0.0
    for lane in range(L):  # `moved_on` written out: inlined, LLVM does not turn this loop into lanes
        l = o + np.uint64(lane)
        z = d[l] + dt * d[l + np.uint64(PER_AS)] * (d[l + np.uint64(IN_C)] - d[l + np.uint64(5 * L)])
        # a sum: LLVM turns it into lanes, which it does not with a maximum
        moved += np.maximum(np.abs(z - d[l + np.uint64(X_Z)]) - HOLD_SOC, 0.0)
        moved += np.maximum(np.abs(d[l + np.uint64(IN_DEGC)] - d[l + np.uint64(X_DEGC)]) - HOLD_K, 0.0)
    if moved > 0.0:
        for lane in range(L):
            if moved_on(d, o + np.uint64(lane), dt) > 0.0:  # no neighbour decides: the order of cells does not matter
                look_up_lane(d, o + np.uint64(lane), kind[b * L + lane], node, rows, dt)
    # not `or dt != …`: with fast maths that comparison costs 40 % of the speed
    if moved + abs(d[o + np.uint64(DT)] - dt) > 0.0:
        for lane in range(L):
            l = o + np.uint64(lane)
            d[l + np.uint64(DT)] = dt
            d[l + np.uint64(LEFT1)] = decay(dt * d[l + np.uint64(X_TAU1)])
            d[l + np.uint64(LEFT2)] = decay(dt * d[l + np.uint64(X_TAU2)])


@njit(**INLINE)
def settle_block(d: Any, o: Any, trust: float) -> None:
    """Let resting cells of the block learn the offset of their current."""
    for lane in range(L):
        l = o + np.uint64(lane)
        (
            d[l], d[l + np.uint64(1 * L)], d[l + np.uint64(2 * L)], d[l + np.uint64(3 * L)],
            d[l + np.uint64(4 * L)], d[l + np.uint64(5 * L)], d[l + np.uint64(6 * L)], d[l + np.uint64(7 * L)],
            d[l + np.uint64(8 * L)], d[l + np.uint64(9 * L)], d[l + np.uint64(10 * L)], d[l + np.uint64(11 * L)],
            d[l + np.uint64(12 * L)], d[l + np.uint64(13 * L)], d[l + np.uint64(14 * L)],
            d[l + np.uint64(15 * L)], d[l + np.uint64(16 * L)], d[l + np.uint64(17 * L)],
            d[l + np.uint64(18 * L)], d[l + np.uint64(19 * L)], d[l + np.uint64(20 * L)],
            d[l + np.uint64(21 * L)], d[l + np.uint64(22 * L)], d[l + np.uint64(23 * L)],
            d[l + np.uint64(24 * L)], d[l + np.uint64(25 * L)], d[l + np.uint64(26 * L)],
        ) = settle(
            d[l], d[l + np.uint64(1 * L)], d[l + np.uint64(2 * L)], d[l + np.uint64(3 * L)],
            d[l + np.uint64(4 * L)], d[l + np.uint64(5 * L)], d[l + np.uint64(6 * L)], d[l + np.uint64(7 * L)],
            d[l + np.uint64(8 * L)], d[l + np.uint64(9 * L)], d[l + np.uint64(10 * L)], d[l + np.uint64(11 * L)],
            d[l + np.uint64(12 * L)], d[l + np.uint64(13 * L)], d[l + np.uint64(14 * L)],
            d[l + np.uint64(15 * L)], d[l + np.uint64(16 * L)], d[l + np.uint64(17 * L)],
            d[l + np.uint64(18 * L)], d[l + np.uint64(19 * L)], d[l + np.uint64(20 * L)],
            d[l + np.uint64(21 * L)], d[l + np.uint64(22 * L)], d[l + np.uint64(23 * L)],
            d[l + np.uint64(24 * L)], d[l + np.uint64(25 * L)], d[l + np.uint64(26 * L)],
            d[l + np.uint64(CAPACITY)], d[l + np.uint64(IN_I)], d[l + np.uint64(IN_ZERO)],
            d[l + np.uint64(QUIET_SECONDS)], d[l + np.uint64(QUIET_I)], trust,
        )  # fmt: skip


@njit(**INLINE)
def step_block(d: Any, o: Any, b: int, kind: Any, node: Any, rows: Any, dt: float, gap: float, learn: float) -> None:
    """Advance one block of LANES cells that begins at o."""
    eight_lanes()
    trust = looks(dt, 1.0)
    refresh_block(d, o, b, kind, node, rows, dt)
    rests = 0.0
    for lane in range(L):
        l = o + np.uint64(lane)
        d[l + np.uint64(LAST_I)] = d[l + np.uint64(IN_I)]
        zero, seconds, mean = hush(
            d[l + np.uint64(IN_I)], d[l + np.uint64(CAPACITY)], d[l + np.uint64(IN_NOISE)], d[l + np.uint64(IN_ZERO)],
            d[l + np.uint64(QUIET_SECONDS)], d[l + np.uint64(QUIET_I)], dt, learn,
        )  # fmt: skip
        d[l + np.uint64(IN_ZERO)], d[l + np.uint64(QUIET_SECONDS)], d[l + np.uint64(QUIET_I)] = zero, seconds, mean
        rests += zero
    for lane in range(L):
        l = o + np.uint64(lane)
        (
            d[l], d[l + np.uint64(1 * L)], d[l + np.uint64(2 * L)], d[l + np.uint64(3 * L)], d[l + np.uint64(4 * L)],
            d[l + np.uint64(5 * L)], d[l + np.uint64(6 * L)], d[l + np.uint64(7 * L)], d[l + np.uint64(8 * L)],
            d[l + np.uint64(9 * L)], d[l + np.uint64(10 * L)], d[l + np.uint64(11 * L)], d[l + np.uint64(12 * L)],
            d[l + np.uint64(13 * L)], d[l + np.uint64(14 * L)], d[l + np.uint64(15 * L)], d[l + np.uint64(16 * L)],
            d[l + np.uint64(17 * L)], d[l + np.uint64(18 * L)], d[l + np.uint64(19 * L)], d[l + np.uint64(20 * L)],
            d[l + np.uint64(21 * L)], d[l + np.uint64(22 * L)], d[l + np.uint64(23 * L)], d[l + np.uint64(24 * L)],
            d[l + np.uint64(25 * L)], d[l + np.uint64(26 * L)], d[l + np.uint64(STRAIN)], d[l + np.uint64(BUSY)],
            d[l + np.uint64(RESTLESS)], d[l + np.uint64(REACT_V)], d[l + np.uint64(REACT_Q)], d[l + np.uint64(START_Z)],
            d[l + np.uint64(MODEL_V)],
        ) = advance(
            d[l], d[l + np.uint64(1 * L)], d[l + np.uint64(2 * L)], d[l + np.uint64(3 * L)], d[l + np.uint64(4 * L)],
            d[l + np.uint64(5 * L)], d[l + np.uint64(6 * L)], d[l + np.uint64(7 * L)], d[l + np.uint64(8 * L)],
            d[l + np.uint64(9 * L)], d[l + np.uint64(10 * L)], d[l + np.uint64(11 * L)], d[l + np.uint64(12 * L)],
            d[l + np.uint64(13 * L)], d[l + np.uint64(14 * L)], d[l + np.uint64(15 * L)], d[l + np.uint64(16 * L)],
            d[l + np.uint64(17 * L)], d[l + np.uint64(18 * L)], d[l + np.uint64(19 * L)], d[l + np.uint64(20 * L)],
            d[l + np.uint64(21 * L)], d[l + np.uint64(22 * L)], d[l + np.uint64(23 * L)], d[l + np.uint64(24 * L)],
            d[l + np.uint64(25 * L)], d[l + np.uint64(26 * L)], d[l + np.uint64(CAPACITY)], d[l + np.uint64(STRAIN)],
            d[l + np.uint64(BUSY)], d[l + np.uint64(RESTLESS)], d[l + np.uint64(REACT_V)], d[l + np.uint64(REACT_Q)],
            d[l + np.uint64(START_Z)], d[l + np.uint64(IN_V)], d[l + np.uint64(IN_I)], d[l + np.uint64(IN_C)],
            d[l + np.uint64(IN_KNOWN)], d[l + np.uint64(IN_NOISE)], d[l + np.uint64(X_Z)], d[l + np.uint64(X_OCV)],
            d[l + np.uint64(X_M)], d[l + np.uint64(X_R0)], d[l + np.uint64(X_R1)], d[l + np.uint64(X_R2)],
            d[l + np.uint64(X_NEAR)], d[l + np.uint64(X_FAR)], d[l + np.uint64(X_SIGMA)], d[l + np.uint64(X_LOCAL)],
            d[l + np.uint64(X_TAU2)], d[l + np.uint64(X_EXCHANGE)], d[l + np.uint64(X_GAMMA)],
            d[l + np.uint64(X_FAR_R)], d[l + np.uint64(PER_AS)], d[l + np.uint64(LEFT1)], d[l + np.uint64(LEFT2)],
            dt, trust, gap,
        )  # fmt: skip
    if rests > 0.0:
        settle_block(d, o, trust)


@njit(**OPTIONS)
def step_buffer(d: Any, node: Any, rows: Any, kind: Any, dt: float, gap: float, learn: float) -> None:
    """Advance every cell of the buffer in place; the same call as numpy_form.step_buffer."""
    eight_lanes()
    for b in range(d.size // WIDTH):
        step_block(d, np.uint64(b * WIDTH), b, kind, node, rows, dt, gap, learn)


# No fast maths in these functions' own lines: NaN is asked for here. What is inlined keeps its own flags.
@njit(error_model="numpy", forceinline=True)
def take(tile: Any, at: Any, flat: Any, wide: int, row: int, n: int, here: int) -> None:
    """Copy one row's readings of the `here` cells from n on, as they are; wide 1: one reading stands for all cells.

    Lanes without a cell get NaN, as in filter.step: a reading there would renew the look-up of the cells beside it.
    """
    begin = np.uint64(row * wide + (n if wide > 1 else 0))
    if here < L:
        for lane in range(L):
            at_cell = begin + np.uint64(lane if wide > 1 else 0)
            tile[at + np.uint64(lane)] = flat[at_cell] if lane < here else np.nan
    elif wide == 1:
        for lane in range(L):
            tile[at + np.uint64(lane)] = flat[begin]
    else:  # a constant count and unsigned places: else it is done one by one
        for lane in range(L):
            tile[at + np.uint64(lane)] = flat[begin + np.uint64(lane)]


@njit(error_model="numpy", nogil=True)
def take_tile(tile: Any, high: int, voltage: Any, current: Any, temp_degC: Any, wide: Any, cells: int, first: int,
              last: int, begin: int, end: int) -> None:  # fmt: skip
    """Copy rows begin to end of blocks first to last into `tile`, block by block: memory is read in its order."""
    for row in range(begin, end):
        for b in range(first, last):
            n, here = b * L, min(L, cells - b * L)
            at = np.uint64(((b - first) * high + row - begin) * 3 * L)
            take(tile, at, voltage, wide[0], row, n, here)
            take(tile, at + np.uint64(L), current, wide[1], row, n, here)
            take(tile, at + np.uint64(2 * L), temp_degC, wide[2], row, n, here)


@njit(error_model="numpy", forceinline=True)
def mask_row(d: Any, o: Any, tile: Any, at: Any, dt: float, gap: float) -> None:
    """Turn NaN of one row into masks, as filter.step does; x − x is 0 for a number, NaN for what is none."""
    half = 0.5 if dt > HOLD_S else 0.0
    held = max(1.0 - dt / FADE_S, 0.0)
    for lane in range(L):
        l, t = o + np.uint64(lane), at + np.uint64(lane)
        v, i, warm = tile[t], tile[t + np.uint64(L)] * d[l + np.uint64(PER_PARALLEL)], tile[t + np.uint64(2 * L)]
        last, q = d[l + np.uint64(LAST_I)], d[l + np.uint64(CAPACITY)]
        known, present = v - v == 0.0, i - i == 0.0
        i = i if present else last * held
        d[l + np.uint64(IN_V)] = v if known else 0.0
        d[l + np.uint64(IN_KNOWN)] = 1.0 if known else 0.0
        d[l + np.uint64(IN_DEGC)] = warm if warm - warm == 0.0 else d[l + np.uint64(IN_DEGC)]
        d[l + np.uint64(IN_I)] = i
        d[l + np.uint64(IN_C)] = d[l + np.uint64(5 * L)] if gap > 0.0 else last + half * (i - last)
        d[l + np.uint64(IN_ZERO)] = 0.0
        d[l + np.uint64(IN_NOISE)] = 0.0 if present else LOST_C * LOST_C * q * q


@njit(error_model="numpy", nogil=True)
def run_tile(
    d: Any, b: int, kind: Any, node: Any, rows: Any, cells: int, tile: Any, place: int, dt: Any, learn: float,
    soc: Any, soc_sigma: Any, every: int, begin: int, end: int,
) -> None:  # fmt: skip
    """Run one block of lanes over the rows from begin to end, which stand in the tile from row `place` on."""
    eight_lanes()
    o, n = np.uint64(b * WIDTH), b * L
    for row in range(begin, end):
        span = dt[row]
        gap = gap_variance(span)
        mask_row(d, o, tile, np.uint64((place + row - begin) * 3 * L), span, gap)
        step_block(d, o, b, kind, node, rows, span, gap, learn)
        if row % every == 0:
            for lane in range(min(L, cells - n)):
                l = o + np.uint64(lane)
                soc[row // every, n + lane] = d[l]
                soc_sigma[row // every, n + lane] = np.sqrt(
                    stated(
                        d[l + np.uint64(6 * L)], d[l + np.uint64(REACT_Q)], d[l + np.uint64(DOUBT_Q)],
                        d[l + np.uint64(REACT_V)], d[l + np.uint64(X_M)],
                    )
                )  # fmt: skip


@njit(error_model="numpy", nogil=True, cache=True)
def run_block(
    d: Any, node: Any, rows: Any, kind: Any, voltage: Any, current: Any, temp_degC: Any, dt: Any, learn: float,
    soc: Any, soc_sigma: Any, every: int, tile: Any,
) -> None:  # fmt: skip
    """Run whole recordings, a tile of some cells and rows after the other: it and its cells stay in the near caches.

    voltage, current, temp_degC  (time, cell) or (time, 1) for all cells, NaN = unknown; dt (time,) s
    soc, soc_sigma  (time // every, cell), every `every`-th row; tile  scratch of 3 x TILE numbers
    """
    cells, blocks = soc.shape[1], d.size // WIDTH
    wide = (voltage.shape[1], current.shape[1], temp_degC.shape[1])
    flat = (voltage.reshape(-1), current.reshape(-1), temp_degC.reshape(-1))
    for first in range(0, blocks, TILE_BLOCKS):
        last = min(first + TILE_BLOCKS, blocks)
        high = TILE // (L * (last - first))
        for begin in range(0, dt.size, high):
            end = min(begin + high, dt.size)
            take_tile(tile, high, flat[0], flat[1], flat[2], wide, cells, first, last, begin, end)
            for b in range(first, last):
                place = (b - first) * high
                run_tile(d, b, kind, node, rows, cells, tile, place, dt, learn, soc, soc_sigma, every, begin, end)
