"""Capacity of every cell from pairs of trusted points: charge that flowed (Ah) against change of SOC seen by voltage.

Both are uncertain, so the fit is total least squares, recursive with six sums (approximate weighted total least
squares: G. Plett, J. Power Sources 196 (2011) 2319). The gate matters more than the method: a point counts only where
voltage tells SOC (little polarisation, slope of the curve large enough), a pair only over a wide swing. Where the curve
is flat no point qualifies, and sigma stays as wide as it was.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate import numpy_form
from cellarer.core.estimate.config import EstimatorConfig
from cellarer.core.estimate.fields import FIELDS, INDEX, LANES

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LOOK_EVERY_S = 10.0
POINT_SIGMA = 0.025  # of SOC: no point is wider than this
MOST_POLARISED = 0.03  # V: with more nobody asks the curve
SWING = 0.3  # of SOC: the narrowest pair
NEAR_SWING = 0.08  # within it a better point replaces the anchor
CLAIM = 0.07  # relative sigma of the capacity before anything was measured
COUNT_ERROR = 0.004  # gain error of the current sensor
FADE = 2e-4  # relative random walk per Ah/Ah of throughput … per full equivalent swing
FAR_OFF = 4.0  # sigmas: a pair so far from what is known is left out …
DOUBTED = 1.5  # … and widens the sigma, so that a real change is believed when it comes again and again
LEAST = 0.007  # relative: the curve's own error comes back with every pair and never averages out


class Pairs(NamedTuple):
    """Rows of the memory, each (cell,); charge and capacity in Ah of one cell."""

    anchor: Floats  # 1: there is an anchor
    z: Floats
    variance: Floats
    charge: Floats  # since the anchor
    charge_s: Floats  # s since the anchor
    since_look: Floats  # s
    c1: Floats
    c2: Floats
    c3: Floats
    c4: Floats
    c5: Floats
    c6: Floats
    capacity: Floats
    relative: Floats  # sigma of capacity over capacity
    closed: Floats  # pairs so far


PAIR_FIELDS = len(Pairs._fields)


def begin_pairs(cfg: EstimatorConfig, q: Floats, sigma_Ah: Floats | None = None) -> Floats:
    """Start from capacity q of one cell with a synthetic pair, x = 1 and y = q, as wide as sigma_Ah or CLAIM."""
    zero, one = np.zeros(cfg.cells), np.ones(cfg.cells)
    given = np.full(cfg.cells, np.nan) if sigma_Ah is None else np.asarray(sigma_Ah) / cfg.parallel / q
    claim = np.where(np.isfinite(given), np.clip(given, LEAST, CLAIM), CLAIM)
    weight = 2.0 / claim**2  # the sum of both errors is claim² when each has half
    return np.stack(
        Pairs(zero, zero, one, zero, zero, zero, weight, weight, weight, weight, weight, weight, q, claim, zero)
    )


def follow_pairs(cfg: EstimatorConfig, pairs: Floats, buffer: Floats, dt_s: float, gap: bool) -> Floats:
    """Count charge since the anchor; now and then look whether this moment makes a point and a pair."""
    field = buffer.reshape(-1, FIELDS, LANES)
    at = INDEX
    n = cfg.cells
    if gap:
        new = pairs.copy()
        new[0] = 0.0  # what flowed is not known: the anchor is lost
        return new
    moving = field[:, [at["in_c"], 5, at["in_noise"]], :].transpose(1, 0, 2).reshape(3, -1)[:, :n]
    new = pairs.copy()
    p = Pairs(*new)
    p.charge[:] += (moving[0] - moving[1]) * (dt_s / 3600.0)
    p.charge_s[:] += dt_s
    p.since_look[:] += dt_s
    p.anchor[:] = np.where(moving[2] > 0.0, 0.0, p.anchor)
    if p.since_look[0] < LOOK_EVERY_S:
        return new
    p.since_look[:] = 0.0
    _look(cfg, p, field.transpose(1, 0, 2).reshape(FIELDS, -1)[:, :n])
    return new


def _look(cfg: EstimatorConfig, p: Pairs, x: Floats) -> None:
    """Judge this moment; take it as anchor, or close a pair with it."""
    at = INDEX
    parts = x[at["x_r0"]] * (x[at["in_i"]] - x[5]), x[at["x_r1"]] * x[1], x[at["x_r2"]] * x[2]
    pol = parts[0] + parts[1] + parts[2]
    moved = np.abs(parts[0]) + np.abs(parts[1]) + np.abs(parts[2])  # parts that cancel are no rest
    slope = np.maximum(x[at["x_far"]], 1e-4)
    still = x[at["in_v"]] - x[at["x_m"]] * x[3] - x[4] * pol  # the voltage that the curve should show
    z = _invert(cfg, x[0], still, x[at["in_degC"]], moved < MOST_POLARISED)
    doubt = (0.5 * x[at["x_sigma"]]) ** 2 + (0.6 * moved) ** 2 + (0.4 * x[at["x_m"]]) ** 2
    variance = doubt / slope**2
    point = (
        (moved < MOST_POLARISED) & (variance < POINT_SIGMA**2) & (x[at["in_known"]] > 0.0) & (np.abs(z - 0.5) < 0.53)
    )
    swing = np.abs(p.charge) / p.capacity
    pair = point & (p.anchor > 0.0) & (swing > SWING)
    if pair.any():
        fits = _fits(p, z - p.z, variance + p.variance)
        p.relative[:] = np.where(pair & ~fits, np.minimum(DOUBTED * p.relative, CLAIM), p.relative)
        if (pair & fits).any():
            _close(p, pair & fits, z - p.z, variance + p.variance, np.sqrt(x[26]))
    better = point & (p.anchor > 0.0) & (swing < NEAR_SWING) & (variance < p.variance)
    fresh = (point & (p.anchor == 0.0)) | better | pair
    for row, value in ((p.anchor, 1.0), (p.z, z), (p.variance, variance), (p.charge, 0.0), (p.charge_s, 0.0)):
        row[:] = np.where(fresh, value, row)


def _fits(p: Pairs, swing: Floats, variance: Floats) -> Bools:
    """Does a pair agree with what is known, within FAR_OFF sigmas? One that does not may have lost charge unseen."""
    expected = swing * p.capacity
    doubt = p.capacity**2 * (variance + (swing * p.relative) ** 2 + (COUNT_ERROR * swing) ** 2)
    return np.asarray((p.charge - expected) ** 2 < FAR_OFF**2 * doubt)


def _invert(cfg: EstimatorConfig, z: Floats, ocv: Floats, temp_degC: Floats, wanted: Bools) -> Floats:
    """SOC at which the curve has `ocv`, by Newton's steps from z; elsewhere than `wanted` z stays."""
    now = np.flatnonzero(wanted)
    out = z.copy()
    if not len(now):
        return out
    kind, here = cfg.kind[: cfg.cells][now], z[now]
    for _ in range(4):
        node = numpy_form.look_up(cfg.tables.node, cfg.tables.rows, kind, here, temp_degC[now])
        here = np.clip(here + np.clip((ocv[now] - node[0]) / np.maximum(node[6], 0.05), -0.15, 0.15), -0.03, 1.03)
    out[now] = here
    return out


def _close(p: Pairs, pair: Bools, swing: Floats, variance: Floats, offset_sigma: Floats) -> None:
    """Add one pair to the sums and solve for the capacity, by Newton's method on the quartic's merit function."""
    q0 = p.capacity
    x = swing
    y = p.charge / q0  # in units of the capacity, so that both errors are alike
    error_y = (COUNT_ERROR * y) ** 2 + (offset_sigma * p.charge_s / 3600.0 / q0) ** 2
    weight_y, weight_x = 1.0 / np.maximum(error_y, 1e-8), 1.0 / np.maximum(variance, 1e-8)
    fade = 1.0 - np.minimum(np.abs(y) * FADE / (p.relative**2 + 1e-9) * 0.01, 0.05)
    gain = np.where(pair, 1.0, 0.0)
    keep = np.where(pair, fade, 1.0)
    for row, value in (
        (p.c1, x * x * weight_y), (p.c2, x * y * weight_y), (p.c3, y * y * weight_y),
        (p.c4, x * x * weight_x), (p.c5, x * y * weight_x), (p.c6, y * y * weight_x),
    ):  # fmt: skip
        row[:] = keep * row + gain * value
    r = np.ones_like(x)
    for _ in range(6):
        first, second = _merit(p, r)
        r = np.clip(r - first / np.maximum(second, 1e-9), 0.5, 1.5)
    _, second = _merit(p, r)
    p.relative[:] = np.where(pair, np.sqrt(2.0 / np.maximum(second, 1e-9) + LEAST**2), p.relative)
    p.capacity[:] = np.where(pair, q0 * r, p.capacity)
    for row, power in ((p.c2, 1), (p.c5, 1), (p.c3, 2), (p.c6, 2)):  # y is now measured in the new capacity
        row[:] = np.where(pair, row / r**power, row)
    p.closed[:] += gain


def _merit(p: Pairs, r: Floats) -> tuple[Floats, Floats]:
    """First and second derivative of Plett's merit function at capacity r (numerically: it is smooth and cheap)."""
    d = 1e-3

    def merit(q: Floats) -> Floats:
        top = p.c4 * q**4 - 2.0 * p.c5 * q**3 + (p.c1 + p.c6) * q**2 - 2.0 * p.c2 * q + p.c3
        return np.asarray(top / (q * q + 1.0) ** 2)

    low, mid, high = merit(r - d), merit(r), merit(r + d)
    return (high - low) / (2.0 * d), (high - 2.0 * mid + low) / (d * d)


def capacity_Ah(cfg: EstimatorConfig, pairs: Floats) -> Floats:
    """Capacity of the series group, (cell,) Ah."""
    return Pairs(*pairs).capacity * cfg.parallel


def capacity_sigma_Ah(cfg: EstimatorConfig, pairs: Floats) -> Floats:
    """One sigma of it, (cell,) Ah."""
    p = Pairs(*pairs)
    return p.capacity * p.relative * cfg.parallel
