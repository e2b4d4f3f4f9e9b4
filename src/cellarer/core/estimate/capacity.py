"""Capacity of every cell from pairs of trusted points: charge that flowed (Ah) against change of SOC seen by voltage.

Both are uncertain, so the fit is total least squares, recursive (G. Plett, J. Power Sources 196 (2011) 2319). Charge is
counted in units of the capacity, which makes the line one of slope 1: there the sum of both errors is all that counts,
and three sums are exact. Six, with a weight for each error (his approximate form), promise too much where they differ.
The gate matters more than the method: a point counts only where
voltage tells SOC, a pair only over a wide swing. Voltage tells SOC at rest where the curve is steep, and under load at
the steep ends, where the end of a discharge is by definition. Where neither comes sigma only grows.

Capacity is what comes out between full and the end of a discharge as it is used. An aged cell is empty under load while
its rested voltage still promises charge: the SOC at which that happens (`floor`, of the file's curve) is learnt where a
rest follows an end, and rested points are read against it. Where resistance has grown beyond what the file knows, the
model does not see the end. But a voltage below all that the curve has at rest ends any discharge: if the cell is then
left alone, or charged by more than driving gives back, it was empty as it is used.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate import numpy_form
from cellarer.core.estimate.config import EstimatorConfig
from cellarer.core.estimate.equations import falling, stated
from cellarer.core.estimate.fields import FIELDS, INDEX, INPUT_PLACES, LANES, STATED

try:
    from cellarer.core import kernel as _kernel
except ImportError:  # without numba NumPy does the work
    _kernel = None  # type: ignore[assignment]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LOOK_EVERY_S = 10.0
POINT_SIGMA = 0.025  # of SOC: no point is wider than this
MOST_POLARISED, RELAXING = 0.03, 0.15  # V: with more nobody asks the curve, while a current flows and while none does
REST_DOUBT, LOAD_DOUBT = 0.6, 0.5  # of the polarisation: nobody knows it better, at rest and under load
FLOWS = 0.02  # C: a current that counts as load
LOW_END, HIGH_END = 0.1, 0.95  # of SOC: beyond them voltage tells SOC under load too, where it is steep
TAIL, TAIL_H = 0.05, 0.4  # C, h: current of a tail, and its time constant: what still comes over the current of now
TAIL_SHARE = 0.1  # of the polarisation of late: diffusion relaxes more slowly than any two time constants (equations)
BRANCH = 0.4  # 1: the state of the hysteresis is known no better
LOWEST, HIGHEST, HALVED = -0.05, 1.05, 7  # of SOC: where the curve is searched; so often is the search halved
DENIED = 3.0  # sigmas: a point so far from the filter's own SOC is none
COMMON = 0.7  # of the variance of a pair: curve, hysteresis and rest err alike each time, repetition takes it not off
END_SIGMA = 0.006  # of SOC: full and empty are defined by voltage; rates and temperatures move them by as much
SWING = 0.3  # of SOC: the narrowest pair
NEAR_SWING = 0.08  # within it a better point replaces the anchor
TURN = 0.02  # of capacity: so much back, and the way is another
BACK = 0.015  # of capacity: so much back is a charge, no braking
MOST_FLOOR = 0.5  # of SOC: no cell that is in use is empty above it
FLOOR_DOUBT = 0.1  # of the floor
CLAIM = 0.07  # relative sigma of the capacity before anything was measured
COUNT_ERROR = 0.004  # gain error of the current sensor
FADE = 0.003  # relative random walk of capacity per root of equivalent full cycles: cells lose 0.02 … 0.2 % in one
WIDEST = 0.2  # relative: nobody is less sure of a capacity
AGREES = 1.0  # sigmas: where a pair is farther off, what was known before counts less
FAR_OFF = 4.0  # sigmas: a pair so far from what is known is left out …
DOUBTED = 1.5  # … and widens the sigma, so that a real change is believed when it comes again and again
LEAST = 0.007  # relative: the curve's own error comes back with every pair and never averages out


class Pairs(NamedTuple):
    """Rows of the memory, each (cell,); charge and capacity in Ah of one cell."""

    anchor: Floats  # 1: there is an anchor, 2: it is the end of a discharge
    z: Floats
    variance: Floats
    charge: Floats  # since the anchor
    charge_s: Floats  # s since the anchor
    since_look: Floats  # s
    flow: Floats  # Ah that flowed either way since the last look
    c1: Floats
    c2: Floats
    c3: Floats
    many: Floats  # pairs in the sums, as far as they still count
    capacity: Floats
    relative: Floats  # sigma of capacity over capacity
    closed: Floats  # pairs so far
    floor: Floats  # SOC by the file's curve at rest where this cell is empty in use
    # the pair that ends at the best point of the way that is still going on; it stands in the sums already
    last_x: Floats
    last_Ah: Floats
    last_w: Floats  # its weight; 0: there is none
    last_many: Floats  # what it counts in `many`
    last_variance: Floats  # of its change of SOC
    last_low: Floats  # 1: it ends at the end of a discharge
    spent: Floats  # the last load took the voltage below the lowest of the curve: 1 + what came back since, of capacity
    through: Floats  # Ah either way since the anchor


PAIR_FIELDS = len(Pairs._fields)
SINCE_LOOK = Pairs._fields.index("since_look")


def begin_pairs(cfg: EstimatorConfig, q: Floats, sigma_Ah: Floats | None = None) -> Floats:
    """Start from capacity q of one cell with a synthetic pair, x = 1 and y = q, as wide as sigma_Ah, else CLAIM."""
    zero = np.zeros(cfg.cells)
    given = np.full(cfg.cells, np.nan) if sigma_Ah is None else np.asarray(sigma_Ah) / cfg.parallel / q
    claim = np.where(np.isfinite(given), np.maximum(given, LEAST), CLAIM)
    new = dict.fromkeys(Pairs._fields, zero) | {f"c{n}": 1.0 / claim**2 for n in range(1, 4)}
    return np.stack(Pairs(**new | {"variance": zero + 1.0, "capacity": q, "relative": claim}))


def follow_pairs(cfg: EstimatorConfig, pairs: Floats, buffer: Floats, dt_s: float, gap: bool, plain: bool) -> Floats:
    """Count charge since the anchor; now and then look whether this moment makes a point and a pair.

    plain: count by NumPy even where the kernel is there
    """
    new = pairs.copy()
    if gap:
        new[0] = 0.0  # what flowed is not known: the anchor is lost
        return new
    if plain or _kernel is None:
        count_plain(buffer, dt_s, new)
    else:
        _kernel.count_charge(buffer, INPUT_PLACES, dt_s, new)
    if new[SINCE_LOOK, 0] < LOOK_EVERY_S:
        return new
    p = Pairs(*new)
    _fade(p)
    _look(cfg, p, buffer.reshape(-1, FIELDS, LANES).transpose(1, 0, 2).reshape(FIELDS, -1)[:, : cfg.cells])
    p.since_look[:] = 0.0
    return new


def count_plain(buffer: Floats, dt_s: float, pairs: Floats) -> None:
    """Count what flowed over dt_s into `pairs`, which is altered; an unknown current loses the anchor."""
    field, p = buffer.reshape(-1, FIELDS, LANES), Pairs(*pairs)
    moving = field[:, [INDEX["in_c"], INDEX["b"], INDEX["in_noise"]], :].transpose(1, 0, 2).reshape(3, -1)
    mean, offset, noise = moving[:, : pairs.shape[1]]
    passed = (mean - offset) * (dt_s / 3600.0)
    p.anchor[:] = np.where(noise > 0.0, 0.0, p.anchor)
    p.charge[:] += passed
    p.charge_s[:] += dt_s
    p.since_look[:] += dt_s
    p.flow[:] += np.abs(passed)


def _fade(p: Pairs) -> None:
    """Let what was known fade with the charge that flowed: capacity wanders."""
    walk = FADE**2 * p.flow / (2.0 * p.capacity)
    p.through[:] += p.flow
    p.flow[:] = 0.0
    fit = 1.0 / p.c1
    fit = np.where(fit + walk < WIDEST**2, fit / (fit + walk), 1.0)
    _weaken(p, fit)
    p.relative[:] = np.where(fit < 1.0, np.sqrt(p.relative**2 + walk), p.relative)


def _weaken(p: Pairs, fit: Floats) -> None:
    """Let all that was known before count by the share `fit`, (cell,)."""
    for row in (p.c1, p.c2, p.c3, p.many, p.last_w, p.last_many):
        row *= fit


class Point(NamedTuple):
    """What the voltage says of SOC now, each (cell,)."""

    z: Floats
    variance: Floats  # inf: nothing
    rested: Bools
    low: Bools  # the end of a discharge, under load


def point(cfg: EstimatorConfig, x: Floats) -> Point:
    """SOC by the curve, where it tells it: at rest, or under load at its steep ends. x (field, cell)."""
    at, n = INDEX, x.shape[1]
    i, v, temp = x[at["in_i"]] - x[5], x[at["in_v"]], x[at["in_degC"]]
    moved = x[4] * (np.abs(x[at["x_r0"]] * i) + np.abs(x[at["x_r1"]] * x[1]) + np.abs(x[at["x_r2"]] * x[2]))
    flows = np.abs(i) > FLOWS * x[at["capacity"]]
    rested = (moved < MOST_POLARISED) | (~flows & (moved < RELAXING))  # parts that cancel are no rest
    ends = np.where(i < 0.0, LOW_END, HIGH_END)
    kind, tables, known = cfg.kind[:n], cfg.tables, x[at["in_known"]] > 0.0
    at_end = numpy_form.look_up(tables.node, tables.rows, kind, ends, temp)[0]
    beyond = known & ~rested & flows & np.where(i < 0.0, v < at_end, v > at_end)
    full, full_variance = _full(cfg, x, i)
    now = np.flatnonzero((known & rested) | beyond)
    z, variance = np.where(full_variance < np.inf, full, x[0]), full_variance
    if not len(now):
        return Point(z, variance, rested, np.zeros(n, bool))
    tail = TAIL_SHARE * x[4] * (x[at["x_r1"]] + x[at["x_r2"]])
    relaxing = np.hypot(REST_DOUBT * moved, tail * np.sqrt(np.maximum(x[at["busy"]], 0.0)))
    here, spread = _span(cfg, x[:, now], kind[now], i[now], np.where(rested, relaxing, np.nan)[now])
    spread = np.where((here <= 0.0) & ~rested[now], 0.0, spread) + END_SIGMA**2
    at_end = rested[now] | np.where(i[now] < 0.0, here < LOW_END, here > HIGH_END)
    filter_variance = stated(*(x[at[name]] for name in STATED))
    denied = (here - x[0][now]) ** 2 > DENIED**2 * (spread + filter_variance[now])
    better = np.where(at_end & ~denied, spread, np.inf) < variance[now]
    z[now], variance[now] = np.where(better, np.clip(here, 0.0, 1.0), z[now]), np.where(better, spread, variance[now])
    variance = np.where(variance < POINT_SIGMA**2, variance, np.inf)
    return Point(z, variance, rested, beyond & (i < 0.0) & np.isfinite(variance))


def _span(
    cfg: EstimatorConfig, x: Floats, kind: NDArray[np.int64], i: Floats, relaxing: Floats
) -> tuple[Floats, Floats]:
    """Middle and variance of all SOC whose voltage may be the one that is seen, each (cell,).

    On a flat curve a few millivolts, or a branch of the hysteresis that is not the filter's, move SOC by tens of per
    cent while the slope where the inversion lands is steep. So both ends are looked for, two sigmas off: the lowest SOC
    that may be so high in voltage, and the highest that may be so low. x (field, cell); relaxing (cell,) V, NaN: load
    """
    at, tables, n = INDEX, cfg.tables, len(i)
    side = np.repeat([1.0, -1.0], n)  # of the reach: the lowest SOC shows the highest voltage
    kind, i, relaxing, x = np.tile(kind, 2), np.tile(i, 2), np.tile(relaxing, 2), np.tile(x, 2)
    branch = np.maximum(BRANCH, np.sqrt(np.maximum(x[at["p33"]], 0.0)))

    def over(z: Floats) -> Floats:
        """Voltage that may just be shown at SOC z above the one that is seen, V."""
        node = numpy_form.look_up(tables.node, tables.rows, kind, z, x[at["in_degC"]])
        pol = x[4] * (node[2] * falling(i * node[11]) * i + node[3] * x[1] + node[4] * x[2])
        share = np.where(np.isnan(relaxing), LOAD_DOUBT * np.abs(pol), relaxing)
        reach = np.sqrt(
            node[7] ** 2 + (2.0 * share) ** 2 + (2.0 * node[1] * branch) ** 2
        )  # half of the file's sigma, twice
        return np.asarray(node[0] + node[1] * x[3] + pol + side * reach - x[at["in_v"]])

    low, high = np.full(2 * n, LOWEST), np.full(2 * n, HIGHEST)
    for _ in range(HALVED):
        middle = 0.5 * (low + high)
        above = over(middle) > 0.0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    first, last = over(low), over(high)
    z = low + (high - low) * np.clip(-first / np.maximum(last - first, 1e-9), 0.0, 1.0)
    return 0.5 * (z[:n] + z[n:]), ((z[n:] - z[:n]) / 4.0) ** 2


def _full(cfg: EstimatorConfig, x: Floats, i: Floats) -> tuple[Floats, Floats]:
    """Full by definition: voltage up and current down. What is still missing is about the current times TAIL_H."""
    at, n, tables = INDEX, x.shape[1], cfg.tables
    top = numpy_form.look_up(tables.node, tables.rows, cfg.kind[:n], np.ones(n), x[at["in_degC"]])[0]
    share = i / x[at["capacity"]]
    tail = (x[at["in_known"]] > 0.0) & (x[at["in_v"]] >= top) & (share > -TAIL) & (share < TAIL)
    missing = TAIL_H * np.maximum(share, 0.0)
    return 1.0 - missing, np.where(tail, END_SIGMA**2 + missing**2, np.inf)


def _ended(cfg: EstimatorConfig, p: Pairs, x: Floats, seen: Point) -> Point:
    """What was seen, or the end of a discharge where rest or charge follows a load that took the cell below its curve.

    Below all that a cell shows at rest nobody discharges on; a dip in a pulse is one that load follows.
    """
    i, n, known = x[INDEX["in_i"]] - x[5], x.shape[1], x[INDEX["in_known"]] > 0.0
    spent = known & (p.spent > 0.0)
    rest = spent & seen.rested
    p.floor[:] = np.where(rest & np.isfinite(seen.variance), np.clip(seen.z, 0.0, MOST_FLOOR), p.floor)
    p.spent[:] += np.where(spent, np.maximum(i, 0.0) * (p.since_look / 3600.0) / p.capacity, 0.0)
    ended = rest | (spent & (p.spent - 1.0 > BACK))
    if ended.any():
        z = np.where(rest, 0.0, p.spent - 1.0)
        seen = Point(
            np.where(ended, z, seen.z), np.where(ended, END_SIGMA**2, seen.variance), seen.rested & ~ended,
            seen.low | ended,
        )  # fmt: skip
        p.spent[:] = np.where(ended, 0.0, p.spent)
    loaded = (i < -FLOWS * x[INDEX["capacity"]]) & known
    if loaded.any():
        tables = cfg.tables
        least = numpy_form.look_up(tables.node, tables.rows, cfg.kind[:n], np.zeros(n), x[INDEX["in_degC"]])[0]
        p.spent[:] = np.where(loaded, x[INDEX["in_v"]] < least, p.spent)
    return seen


def _look(cfg: EstimatorConfig, p: Pairs, x: Floats) -> None:
    """Judge this moment; take it as anchor, or end a pair with it."""
    seen = _ended(cfg, p, x, point(cfg, x))
    known = np.isfinite(seen.variance)
    _turn(p, known & seen.rested)
    count = p.charge / p.capacity
    swing = np.abs(count)
    after = known & seen.rested & (p.anchor == 2.0) & (swing < NEAR_SWING)
    low = p.z + count  # where the cell is by the end that it has just reached
    p.floor[:] = np.where(after, np.clip((seen.z - low) / np.maximum(1.0 - low, 0.5), 0.0, MOST_FLOOR), p.floor)
    z = np.where(seen.rested, (seen.z - p.floor) / (1.0 - p.floor), seen.z)
    left = np.clip(1.0 - z, 0.0, 1.0)
    variance = seen.variance + np.where(seen.rested, (FLOOR_DOUBT * p.floor * left) ** 2, 0.0)
    both = variance + p.variance
    pair = known & (p.anchor > 0.0) & (swing > SWING)
    if pair.any():
        onward = seen.low & (p.last_low > 0.0)  # the end of a discharge is its last point; else: the wider, the surer
        # (the wider twice: the middle of a curve is where ageing bends it)
        pair &= onward | (p.last_w == 0.0) | ((z - p.z) ** 4 * p.last_variance > p.last_x**4 * np.minimum(both, 1.0))
        off, surprise = _off(p, z - p.z, both, p.relative**2), _off(p, z - p.z, both, 1.0 / p.c1)
        fits = off < FAR_OFF
        # a rest that does not fit, or the very first end: charge went unseen, or the cell has changed. Begin
        # again here, less sure
        believed = seen.rested | (seen.low & (p.closed == 0.0))
        lost = pair & ~fits & (p.last_w == 0.0) & believed
        p.relative[:] = np.where(lost, np.minimum(DOUBTED * p.relative, WIDEST), p.relative)
        pair &= fits
        _weaken(p, np.where(pair, (AGREES / np.maximum(surprise, AGREES)) ** 2, 1.0))
        _close(p, pair, z - p.z, both, np.sqrt(x[26]))
        p.last_low[:] = np.where(pair, seen.low, p.last_low)
    else:
        lost = pair
    near = known & (p.anchor > 0.0) & (swing < NEAR_SWING) & (p.last_w == 0.0)
    better = near & (seen.low | ((variance < p.variance) & (p.anchor == 1.0)))
    # back and forth around an anchor in the middle makes no pair, however long
    idle = known & seen.rested & (p.last_w == 0.0) & (swing < SWING) & (p.through / p.capacity - swing > SWING)
    fresh = (known & (p.anchor == 0.0)) | better | lost | idle
    kind = np.where(seen.low, 2.0, 1.0)
    for row, value in ((p.anchor, kind), (p.z, z), (p.variance, variance), (p.charge, 0.0), (p.charge_s, 0.0),
                       (p.through, 0.0)):  # fmt: skip
        row[:] = np.where(fresh, value, row)


def _turn(p: Pairs, rested: Bools) -> None:
    """Where the way of the last pair is over, its end becomes the anchor of the next."""
    away = p.charge - p.last_Ah
    back = away * np.sign(p.last_Ah) / p.capacity
    over = (p.last_w > 0.0) & ((p.anchor == 0.0) | (back < -TURN) | (rested & (p.last_low > 0.0)))
    if not over.any():
        return
    variance = p.last_variance - p.variance
    for row, value in (
        (p.anchor, np.where(p.anchor > 0.0, 1.0 + p.last_low, 0.0)), (p.z, p.z + p.last_x), (p.charge, away),
        (p.variance, np.maximum(variance, END_SIGMA**2)), (p.charge_s, 0.0), (p.through, 0.0),
        (p.last_w, 0.0), (p.last_low, 0.0),
    ):  # fmt: skip
        row[:] = np.where(over, value, row)


def _off(p: Pairs, swing: Floats, variance: Floats, known: Floats) -> Floats:
    """How many sigmas is a pair off what is known, of relative variance `known`? Far off: charge may be lost unseen.

    What pairs have in common says nothing of a change: `known` without it tells one sooner.
    """
    expected = swing * p.capacity
    doubt = p.capacity**2 * (variance + swing**2 * known + (COUNT_ERROR * swing) ** 2)
    return np.asarray(np.abs(p.charge - expected) / np.sqrt(doubt))


def _close(p: Pairs, pair: Bools, swing: Floats, variance: Floats, offset_sigma: Floats) -> None:
    """Put one pair into the sums instead of the last on this way; solve for the capacity by Newton's method."""
    q0 = p.capacity
    x = swing
    y = p.charge / q0  # in units of the capacity, so that both errors are alike
    error_y = (COUNT_ERROR * y) ** 2 + (offset_sigma * p.charge_s / 3600.0 / q0) ** 2
    ends = [np.clip(end - END_SIGMA**2, 0.0, 1.0) for end in (p.variance, variance - p.variance)]
    # what hysteresis and diffusion leave behind makes every swing wider, at both its ends
    both = np.maximum(variance + 2.0 * COMMON * np.sqrt(ends[0] * ends[1]) + error_y, 1e-8)
    first = pair & (p.last_w == 0.0)
    _add(p, pair, p.last_x, p.last_Ah / q0, -p.last_w, -p.last_many)
    new = COMMON * both * p.c1 < x * x * _repeated(p)  # else what is known is surer than such pairs can ever be
    weight = np.where(new, 1.0, 1e-6) / both
    _add(p, pair, x, y, weight, np.where(new, 1.0, 0.0))
    for row, value in ((p.last_x, x), (p.last_Ah, p.charge), (p.last_w, weight), (p.last_variance, variance),
                       (p.last_many, np.where(new, 1.0, 0.0))):  # fmt: skip
        row[:] = np.where(pair, value, row)
    r = np.ones_like(x)
    for _ in range(6):
        slope, second = _merit(p, r)
        r = np.clip(r - slope / np.maximum(second, 1e-9), 0.5, 1.5)
    _, second = _merit(p, r)
    p.relative[:] = np.where(pair, np.sqrt(2.0 * _repeated(p) / np.maximum(second, 1e-9) + LEAST**2), p.relative)
    p.capacity[:] = np.where(pair, q0 * r, p.capacity)
    for row, power in ((p.c2, 1), (p.c3, 2)):  # y is now measured in the new capacity
        row[:] = np.where(pair, row / r**power, row)
    p.closed[:] += np.where(first, 1.0, 0.0)


def _repeated(p: Pairs) -> Floats:
    """By how much pairs that err alike leave the variance above that of as many independent ones."""
    return 1.0 + COMMON * np.maximum(p.many - 1.0, 0.0)


def _add(p: Pairs, where: Bools, x: Floats, y: Floats, weight: Floats, many: Floats) -> None:
    """Add a pair to the sums."""
    p.many[:] += np.where(where, many, 0.0)
    w = np.where(where, weight, 0.0)
    for row, value in ((p.c1, x * x * w), (p.c2, x * y * w), (p.c3, y * y * w)):
        row += value


def _merit(p: Pairs, r: Floats) -> tuple[Floats, Floats]:
    """First and second derivative of chi² at capacity r (numerically: it is smooth and cheap)."""
    d = 1e-3

    def merit(q: Floats) -> Floats:
        return np.asarray(2.0 * (p.c1 * q**2 - 2.0 * p.c2 * q + p.c3) / (q * q + 1.0))

    low, mid, high = merit(r - d), merit(r), merit(r + d)
    return (high - low) / (2.0 * d), (high - 2.0 * mid + low) / (d * d)


def capacity_Ah(cfg: EstimatorConfig, pairs: Floats) -> Floats:
    """Capacity of the series group, (cell,) Ah."""
    return Pairs(*pairs).capacity * cfg.parallel


def capacity_sigma_Ah(cfg: EstimatorConfig, pairs: Floats) -> Floats:
    """One sigma of it, (cell,) Ah."""
    p = Pairs(*pairs)
    return p.capacity * p.relative * cfg.parallel
