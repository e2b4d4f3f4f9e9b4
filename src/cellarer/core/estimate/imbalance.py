"""Why do cells of one string differ? Imbalance, capacity and self-discharge told apart, weak cells named with evidence.

Imbalance shifts the charge of a cell against its neighbours by the same Ah, empty or full. A smaller capacity makes the
same cell low at the bottom and high at the top. Self-discharge lets the shift grow with time. So two numbers at two
moments decide: the shift now, measured where the cells are half full, and how fast it moves.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate.between import between_sigma
from cellarer.core.estimate.capacity import Pairs
from cellarer.core.estimate.config import EstimatorConfig
from cellarer.core.estimate.state import EstimateState, get

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SURE = 3.0  # sigmas before a cell is called by name
LEAK_SHARE = 1.0 / 5000.0  # C: a self-discharge above the neighbours' that deserves a warning
WEAK_SHARE = 0.9  # of the median capacity
JOINT_SCALE = 1.5  # of the median resistance


@dataclass(frozen=True, slots=True, eq=False)
class Imbalance:
    """What sets every cell apart from the median of its string, (cell,)."""

    soc_apart: Floats  # SOC above the median
    soc_apart_sigma: Floats  # errors that all cells share cancel: see between.py
    shift_Ah: Floats  # charge above the median at half full; + has more
    shift_sigma_Ah: Floats
    capacity_share: Floats  # capacity over the string's median
    resistance_share: Floats
    leak_A: Floats  # self-discharge beyond the neighbours'; NaN until two moments are known
    weak: NDArray[np.bool_]  # capacity surely below WEAK_SHARE
    leaking: NDArray[np.bool_]
    high_resistance: NDArray[np.bool_]  # joint or cell: resistance surely above JOINT_SCALE
    first_empty: NDArray[np.bool_]  # least charge left in its string, surely less than the median has


def median(values: Floats, string_of_cell: Ints) -> Floats:
    """Median of each string, spread back to its cells: one sort for all strings."""
    order = np.lexsort((values, string_of_cell))
    owner = string_of_cell[order]
    first = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
    count = np.diff(np.r_[first, len(owner)])
    low, high = values[order][first + (count - 1) // 2], values[order][first + count // 2]
    middle = np.empty(int(string_of_cell.max()) + 1)
    middle[owner[first]] = 0.5 * (low + high)
    return np.asarray(middle[string_of_cell])


def _least(values: Floats, string_of_cell: Ints) -> Floats:
    """Least of each string, spread back to its cells."""
    least = np.full(int(string_of_cell.max()) + 1, np.inf)
    np.minimum.at(least, string_of_cell, values)
    return np.asarray(least[string_of_cell])


def imbalance(
    cfg: EstimatorConfig,
    state: EstimateState,
    string_of_cell: Ints,
    before: Imbalance | None = None,
    elapsed_s: float = 0.0,
) -> Imbalance:
    """Compare cells with the median of their string. `before`, `elapsed_s` ago, tells leakage (days, not minutes)."""
    p = Pairs(*state.pairs)
    z, k = get(cfg, state, "z"), get(cfg, state, "k")
    sigma_z = between_sigma(cfg, state)
    capacity, relative = p.capacity * cfg.parallel, p.relative
    middle_z, middle_q = median(z, string_of_cell), median(capacity, string_of_cell)
    # at half full the capacity difference does not show: Q_k (z_k − 1/2) against the median's
    shift = capacity * (z - 0.5) - middle_q * (middle_z - 0.5)
    shift_sigma = capacity * sigma_z
    share = capacity / middle_q
    resistance = k / median(k, string_of_cell)
    sigma_k = np.sqrt(np.maximum(get(cfg, state, "p44"), 0.0)) / np.maximum(k, 0.1)
    leak = np.full(cfg.cells, np.nan)
    leaking = np.zeros(cfg.cells, dtype=bool)
    if before is not None and elapsed_s > 0.0:
        leak = -(shift - before.shift_Ah) * 3600.0 / elapsed_s
        doubt = np.hypot(shift_sigma, before.shift_sigma_Ah) * 3600.0 / elapsed_s
        leaking = (leak > LEAK_SHARE * capacity) & (leak > SURE * doubt)
    unknown = state.unknown
    left = capacity * z
    least = left <= _least(left, string_of_cell)
    behind = median(left, string_of_cell) - left
    return Imbalance(
        soc_apart=np.where(unknown, np.nan, z - middle_z),
        soc_apart_sigma=np.where(unknown, np.nan, sigma_z),
        shift_Ah=np.where(unknown, np.nan, shift),
        shift_sigma_Ah=np.where(unknown, np.nan, shift_sigma),
        capacity_share=share,
        resistance_share=resistance,
        leak_A=leak,
        weak=(share + SURE * relative < 1.0) & (share < WEAK_SHARE + relative) & (p.closed > 0.0),
        leaking=leaking & ~unknown,
        high_resistance=(resistance > JOINT_SCALE) & (resistance * (1.0 - SURE * sigma_k) > 1.0),
        first_empty=least & (behind > SURE * shift_sigma) & ~unknown,
    )
