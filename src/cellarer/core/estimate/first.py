"""What the first voltage says: every SOC that a cell could have is weighed, then replaced by mean and covariance.

A slope at one place would not do: on a flat curve voltage speaks only at the knees, and a start told 20 points off lies
on another slope. Over SOC the voltage is weighed with all that may have made it (polarisation, hysteresis, resistance,
offset: normal errors), times what was told of SOC; each place takes those along as far as they explain its voltage.
The moments of that mixture are exact, so what the voltage cannot tell apart stays linked in the covariance.
"""

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate import numpy_form
from cellarer.core.estimate.config import EstimatorConfig
from cellarer.core.estimate.equations import FLOOR_Z, SENSOR, SHARE, bounded, falling
from cellarer.core.estimate.fields import FIELDS, INDEX
from cellarer.core.estimate.state import START_POLARISATION, fields_of, put

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NEARLY_FULL = 0.95  # SOC: a cell with this OCV or more was charged, not driven
FLOWS_C = 0.02  # C: less is none, as far as a sensor can tell
DOUBT_STILL, DOUBT_FLOWING = 0.6, 1.0  # C: polarisation that a cell may begin with
# Places of SOC that are weighed. The curve runs on straight beyond its ends: "full, give or take 20 %" means 1
PLACES = np.concatenate([np.linspace(-0.6, -0.1, 6), np.linspace(-0.05, 1.05, 111), np.linspace(1.1, 1.6, 6)])
WIDTHS = np.gradient(PLACES)
# Power of the weights whose mean stands for the likeliest place, off the grid as well. By their width the places beyond
# the ends count more: a voltage that even they explain says full or empty, where most drives begin and end
SHARPER = 4
EXACT = 0.005  # of SOC: nothing is told more exactly
LEAST_WEIGHT = 1e-200  # less: no place explains this voltage at all, the filter's own doubt deals with it
BEGUN = 0.25  # of r0: nobody saw when the current began, perhaps between this voltage and this current


def cells_of(cfg: EstimatorConfig, buffer: Floats) -> Floats:
    """All fields, (field, cell), a copy."""
    return fields_of(buffer).transpose(1, 0, 2).reshape(FIELDS, -1)[:, : cfg.cells]


def doubt_start(cfg: EstimatorConfig, buffer: Floats) -> None:
    """Say how little is known of polarisation and resistance at the first step.

    A cell that shows the voltage of a full one at rest has none, unless it is being charged: in the cold the current
    alone lifts a cell of any SOC so high. Any other may come out of a drive minutes ago, and more surely if current
    flows: taking it for rested makes the filter sure of a SOC that is points off. Where no resistance was measured the
    file's may be off by more.
    """
    at, x = INDEX, cells_of(cfg, buffer)
    current, little = x[at["in_i"]], FLOWS_C * x[at["capacity"]]
    high = np.full(cfg.cells, NEARLY_FULL)
    node = numpy_form.look_up(cfg.tables.node, cfg.tables.rows, cfg.kind[: cfg.cells], high, x[at["in_degC"]])
    put(buffer, "p44", x[at["p44"]] + node[13])
    rested = (x[at["in_v"]] > node[0]) & (x[at["in_known"]] > 0.0) & (current < little)
    doubt = np.where(np.abs(current) < little, DOUBT_STILL, DOUBT_FLOWING)
    share = np.where(rested, 1.0, doubt**2 / START_POLARISATION)
    for name in ("p11", "p22"):
        put(buffer, name, x[at[name]] * share)


def weigh(cfg: EstimatorConfig, buffer: Floats, first_heard: Bools) -> Bools:
    """Take in the first voltage of cells; return whose, (cell,). Nothing links their states yet.

    What was told of SOC stands in the buffer; of which nothing was told, the middle, give or take nearly all.
    """
    x, at = cells_of(cfg, buffer), INDEX
    heard = first_heard & (x[at["in_known"]] > 0.0)
    z0, sigma = x[0], np.maximum(np.sqrt(np.maximum(x[at["p00"]], 0.0)), EXACT)
    variance = np.stack([x[at[f"p{n}{n}"]] for n in range(1, 6)])
    total, slope, peak = np.zeros(cfg.cells), np.zeros((2, cfg.cells)), np.zeros((2, cfg.cells))
    first, second = np.zeros((6, cfg.cells)), np.zeros((6, 6, cfg.cells))
    for place, width in zip(PLACES, WIDTHS, strict=True):
        z = np.full(cfg.cells, place)
        off, doubt, lever = _missed(cfg, x, z, variance)
        weight = width * np.exp(-0.5 * (off**2 / doubt + ((z - z0) / sigma) ** 2)) / np.sqrt(doubt)
        gain = np.concatenate([0.0 * z[None], variance * lever / doubt])  # of a volt, in what else made it
        moved = gain * off
        moved[0] = z - z0
        total = total + weight
        peak = peak + weight**SHARPER * np.stack([np.ones_like(z), moved[0]])
        slope = slope + weight * off / doubt * np.stack([np.ones_like(z), moved[0]])
        first = first + weight * moved
        second = second + weight * (moved[:, None] * moved[None] - gain[:, None] * gain[None] * doubt)
    heard &= total > LEAST_WEIGHT
    total = np.where(heard, total, 1.0)
    mean, react_v = first / total, (slope[0] * first[0] / total - slope[1]) / total
    spread = second / total - mean[:, None] * mean[None]
    for n in range(1, 6):
        spread[n, n] += variance[n - 1]
    # Where the curve bends the likeliest place is nearer to what was told than the mean; a voltage beyond the ends says
    # full or empty. What is between them is doubt, and what else made the voltage follows along its link with SOC
    best = np.where(peak[0] > 0.0, peak[1] / np.where(peak[0] > 0.0, peak[0], 1.0), mean[0])
    away = np.clip(x[0] + best, 0.0, 1.0) - x[0] - mean[0]
    mean = mean + away * spread[0] / np.maximum(spread[0, 0], 1e-9)
    spread[0, 0] = np.maximum(spread[0, 0], 1e-8) + away * away
    states = bounded(x[0] + mean[0], x[3] + mean[3], x[4] + mean[4], x[5] + mean[5], x[at["capacity"]])
    one = np.sqrt(spread[0, 0])
    left = np.minimum((one / sigma) ** 2, 1.0)  # of an error of what was told
    wider = np.maximum(one * one - sigma * sigma, 0.0)  # a cell's own: what is known between cells stays known
    found = dict(zip(("z", "h", "k", "b"), states, strict=True))
    found |= {"s1": x[1] + mean[1], "s2": x[2] + mean[2]}
    found |= {f"p{i}{j}": spread[i, j] for i in range(6) for j in range(i, 6)}
    found |= {"react_v": react_v, "start_z": np.hypot(left * x[at["start_z"]], np.sqrt(wider))}
    for name, values in found.items():
        put(buffer, name, np.where(heard, values, x[at[name]]))
    return heard


def _missed(cfg: EstimatorConfig, x: Floats, z: Floats, variance: Floats) -> tuple[Floats, Floats, Floats]:
    """At SOC z: what the voltage is above the model, its variance, and how s1, s2, h, k and b move it, (5, cell)."""
    at = INDEX
    node = numpy_form.look_up(cfg.tables.node, cfg.tables.rows, cfg.kind[: cfg.cells], z, x[at["in_degC"]])
    current = x[at["in_i"]] - x[5]
    r0 = node[2] * falling(x[at["in_i"]] * node[11])
    pol = r0 * current + node[3] * x[1] + node[4] * x[2]
    lever = np.stack([x[4] * node[3], x[4] * node[4], node[1], pol, -x[4] * r0])
    own = node[7] ** 2 + SENSOR**2 + (FLOOR_Z * node[5]) ** 2 + (SHARE**2 + node[13]) * pol**2
    own = own + (x[4] * r0) ** 2 * (x[at["in_noise"]] + (BEGUN * current) ** 2)
    ocv = node[0] + node[8] * (z - np.clip(z, -0.05, 1.05))
    off = x[at["in_v"]] - ocv - node[1] * x[3] - x[4] * pol
    return off, own + (lever * lever * variance).sum(axis=0), lever
