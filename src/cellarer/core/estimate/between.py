"""How well cells of one string are known against each other, and what a cell at its end says of its neighbours.

Cells of a string share the current and its sensor, so an error of either moves all alike: it is no error of their
difference. What is left is each cell's own: of its first SOC, of its voltage channel and curve, of its capacity. What
these do to SOC is followed through every step of the filter (`start_z`, `react_v`, `react_q`, see equations.py).
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate.capacity import point
from cellarer.core.estimate.config import EstimatorConfig
from cellarer.core.estimate.fields import FIELDS, INDEX, LANES
from cellarer.core.estimate.filter import set_soc
from cellarer.core.estimate.readout import soc_sigma
from cellarer.core.estimate.state import EstimateState, copied, get, put

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

CHANNEL_V = 0.002  # one sigma of a voltage channel against its neighbours: half of what measuring chips promise
OWN = 0.15  # of the file's sigma: as much do cells of one type differ from each other
NARROWER = 0.7  # of the sigma in use: what a neighbour tells must be so much better
LOW_SOC = 0.05  # a discharge has ended below it


def between_sigma(cfg: EstimatorConfig, state: EstimateState) -> Floats:
    """One sigma of SOC against the mean of the string, (cell,) fraction; never above the sigma of SOC itself."""
    volts = np.hypot(CHANNEL_V, OWN * get(cfg, state, "x_sigma"))
    parts = (
        get(cfg, state, "start_z"),
        get(cfg, state, "react_v") * volts,
        get(cfg, state, "react_q") * get(cfg, state, "doubt_q"),
    )
    return np.minimum(np.sqrt(sum(part * part for part in parts)), soc_sigma(cfg, state))


def with_between(cfg: EstimatorConfig, state: EstimateState, sigma: Floats) -> EstimateState:
    """Say how well the first SOC of cells is known against each other, (cell,), where that is better than by itself."""
    buffer = copied(state.buffer)
    put(buffer, "start_z", np.minimum(sigma, get(cfg, state, "start_z")))
    return replace(state, buffer=buffer)


def uncounted(cfg: EstimatorConfig, state: EstimateState, before_Ah: Floats, after_Ah: Floats) -> EstimateState:
    """Widen SOC by charge that may not have flowed as counted, (cell,) Ah: one sigma of all that had, and that has now.

    It is one wrong gain, the same all along: its sigma grows with the charge, not with the root of it, and what charge
    brings back takes no doubt away. What voltage has narrowed since bounds what is left of it.
    """
    q, variance = get(cfg, state, "capacity") * cfg.parallel, get(cfg, state, "p00")
    sigma, step = np.sqrt(np.maximum(variance, 0.0)), np.abs(after_Ah - before_Ah) / q
    was = np.minimum(np.abs(before_Ah) / q, sigma)
    more = np.where(np.abs(after_Ah) > np.abs(before_Ah), (was + step) ** 2 - was**2, 0.0)
    buffer = copied(state.buffer)
    put(buffer, "p00", np.minimum(variance + more, np.maximum(variance, 1.0)))
    put(buffer, "start_z", np.minimum(np.sqrt(get(cfg, state, "start_z") ** 2 + more), 1.0))
    return replace(state, buffer=buffer)


def empty(cfg: EstimatorConfig, state: EstimateState, most_C: float = 0.2) -> tuple[Floats, Floats]:
    """SOC and sigma of cells whose voltage says that they are empty, (cell,); NaN elsewhere or at a larger current."""
    x = state.buffer.reshape(-1, FIELDS, LANES).transpose(1, 0, 2).reshape(FIELDS, -1)[:, : cfg.cells]
    seen = point(cfg, x)
    calm = np.abs(x[INDEX["in_i"]] - x[5]) < most_C * x[INDEX["capacity"]]
    there = calm & (seen.low | seen.rested) & (seen.z < LOW_SOC) & np.isfinite(seen.variance)
    return np.where(there, seen.z, np.nan), np.where(there, np.sqrt(seen.variance), np.nan)


def anchor(
    cfg: EstimatorConfig, state: EstimateState, string_of_cell: Ints, soc: Floats, sigma: Floats
) -> EstimateState:
    """Impose a SOC that cells show at an end, and move their neighbours with them as far as that makes them known.

    soc, sigma  (cell,) NaN where a cell shows none. All cells of a string counted the same charge: what the surest of
    the touching cells was off by, in Ah, the others are off by too, but for how well both are known to each other.
    """
    own = between_sigma(cfg, state)
    z, q = get(cfg, state, "z"), get(cfg, state, "capacity") * cfg.parallel
    owner, touches = string_of_cell, np.isfinite(soc) & ~state.unknown
    doubt = np.where(touches, np.hypot(sigma, own), np.inf)
    best = np.full(int(owner.max()) + 1, -1)
    order = np.lexsort((-doubt, owner))
    best[owner[order]] = order  # the last of each string is the surest
    first = best[owner]
    told = touches[first] & ~touches & ~state.unknown
    moved = z + np.where(told, (soc[first] - z[first]) * q[first] / q, 0.0)
    apart = np.hypot(own, own[first])
    spread = np.hypot(np.where(told, sigma[first], np.nan) * q[first] / q, apart)
    told &= spread < NARROWER * soc_sigma(cfg, state)
    new = set_soc(cfg, state, np.where(told, moved, soc), np.where(told, spread, sigma))
    buffer = copied(new.buffer)
    put(buffer, "start_z", np.where(told, np.minimum(apart, spread), get(cfg, new, "start_z")))
    return replace(new, buffer=buffer)
