"""What would make SOC better known: a rest, some minutes where the curve is steep, or a full charge; and by how much.

The promise is the filter's own arithmetic: a look in the time that an error of the model lasts, each as good as the
file's sigma over the slope of the curve there, never better than its floor; hysteresis counts as far as it is not
known. On request, or one string at a time (core/advised.py).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate import numpy_form
from cellarer.core.estimate.config import EstimatorConfig
from cellarer.core.estimate.equations import FLOOR, GAP, SENSOR, lasting, looks
from cellarer.core.estimate.readout import soc, soc_sigma
from cellarer.core.estimate.state import EstimateState, get
from cellarer.model.advice import words

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MINUTES = 10.0  # spent where the curve is steep
FULL_SIGMA = 0.01  # of SOC after a full charge: full is defined there
RESTED_V = 0.01  # V of polarisation that a rest leaves
SOONEST, LONGEST = 10.0, 180.0  # minutes of a rest
WORTH = 0.7  # of the sigma of now: less gain is not worth telling
GRID = np.linspace(0.0, 1.0, 201)


@dataclass(frozen=True, slots=True)
class Advice:
    """One action for the cell of a string that is known least, and what it promises."""

    action: str  # of model.advice.ACTIONS
    minutes: float  # of rest, or beyond the voltage; NaN for a full charge
    voltage: float  # V at rest to go beyond; NaN for others
    cell: int
    sigma: float  # of SOC now
    promised: float  # of SOC then

    def __str__(self) -> str:
        return words(self.action, self.minutes, self.voltage, self.sigma, self.promised)


def after(sigma: Floats, node: Floats, minutes: Floats, hysteresis: Floats) -> Floats:
    """Sigma of SOC after so many minutes at rest where the table has `node`; sigma now, sigma of h (one each)."""
    slope = np.maximum(node[5], 1e-4)
    volts2 = node[7] ** 2 + (node[1] * hysteresis) ** 2
    least = (FLOOR * node[7]) ** 2 + SENSOR**2 + (node[1] * hysteresis) ** 2
    often = np.maximum(60.0 * minutes / looks(1.0, lasting(node[10])), 1.0)
    found = 1.0 / np.sqrt(1.0 / np.maximum(sigma, 1e-4) ** 2 + often * slope**2 / volts2)
    lasts2 = (
        SENSOR**2 + (GAP * node[1]) ** 2
    )  # as equations.stated: what voltage has been heard, it has been heard wrongly
    return np.minimum(np.sqrt(np.maximum(found**2, least / slope**2) + lasts2 / slope**2), sigma)


def advise(cfg: EstimatorConfig, state: EstimateState, string_of_cell: Ints) -> list[list[Advice]]:
    """What helps each string most, the best first, at most one of a kind; empty: nothing is worth it."""
    doubt = np.nan_to_num(soc_sigma(cfg, state), nan=-1.0)
    order = np.lexsort((doubt, string_of_cell))
    worst = np.full(int(string_of_cell.max()) + 1, -1)
    worst[string_of_cell[order]] = order
    return [of_cell(cfg, state, int(cell)) if doubt[cell] > 0.0 else [] for cell in worst]


def of_cell(cfg: EstimatorConfig, state: EstimateState, cell: int) -> list[Advice]:
    """What helps one cell whose SOC is known."""
    sigma, z = float(soc_sigma(cfg, state)[cell]), float(soc(cfg, state)[cell])
    temp = float(get(cfg, state, "in_degC")[cell])
    kind, many = np.full(GRID.size, cfg.kind[cell]), np.full(GRID.size, temp)
    node = numpy_form.look_up(cfg.tables.node, cfg.tables.rows, kind, GRID, many)
    h = min(float(np.sqrt(max(get(cfg, state, "p33")[cell], 0.0))), 1.0)
    here = int(np.argmin(np.abs(GRID - z)))
    minutes = _rest(cfg, state, cell)
    rest = float(after(np.full(1, sigma), node[:, here : here + 1], np.full(1, minutes), np.full(1, h))[0])
    # a way of some tenths of SOC brings hysteresis to its end, and costs what the count is off by
    moved = np.hypot(sigma, float(get(cfg, state, "doubt_q")[cell]) * np.abs(GRID - z))
    there = after(moved, node, np.full(GRID.size, MINUTES), np.full(GRID.size, 0.2))
    found = [
        Advice("rest", minutes, np.nan, cell, sigma, rest),
        Advice("full", np.nan, np.nan, cell, sigma, FULL_SIGMA),
    ]
    for action, side in (("above", z + sigma < GRID), ("below", z - sigma > GRID)):
        good = np.flatnonzero(side & (there < max(1.5 * float(there.min()), 0.02)))
        if len(good):
            at = int(good[np.argmin(np.abs(GRID[good] - z))])
            found.append(Advice(action, MINUTES, float(node[0, at]), cell, sigma, float(there[at])))
    worth = [advice for advice in found if advice.promised < WORTH * sigma]
    return sorted(worth, key=lambda advice: advice.promised)


def _rest(cfg: EstimatorConfig, state: EstimateState, cell: int) -> float:
    """Minutes until polarisation has fallen to RESTED_V, bounded."""
    k, s1, s2, r1, r2, rate = (
        float(get(cfg, state, name)[cell]) for name in ("k", "s1", "s2", "x_r1", "x_r2", "x_per_tau2")
    )
    volts = k * (abs(r1 * s1) + abs(r2 * s2))
    seconds = np.log(max(volts / RESTED_V, 1.0)) / max(rate, 1e-5)
    return float(np.clip(seconds / 60.0, SOONEST, LONGEST))
