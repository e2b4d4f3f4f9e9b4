"""Health of a cell from one short pulse test: the voltages at the corners of a few pulses, at a known SOC.

Gaussian process over the rested voltage, the steps of voltage against it and the SOC; smooth, few data, and it says how
sure it is. Learnt from cells of one type whose capacity was measured; it knows nothing of other types.
Source of the method of testing: S. Tao et al., Nature Communications 15 (2024), doi:10.1038/s41467-024-54454-0.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LENGTHS = (1.5, 3.0, 6.0, 12.0)  # in standard deviations of a feature, for all together
NOISES = (0.02, 0.05, 0.1, 0.2, 0.4)  # share of the spread of health that no pulse tells
FOLDS = 4


@dataclass(frozen=True, slots=True, eq=False)
class PulseModel:
    """What was learnt from (test, corner) voltages."""

    middle: Floats
    spread: Floats
    points: Floats
    weights: Floats
    lower: Floats  # Cholesky factor of the kernel matrix
    length: float
    mean: float
    scale: float
    apart: float  # how far whole cells, left out of learning, were off: in units of `scale`


def features(voltage: Floats, soc: Floats) -> Floats:
    """(test, feature): rested voltage, steps against it, SOC."""
    return np.column_stack([voltage[:, :1], np.diff(voltage, axis=1), soc])


def _kernel(a: Floats, b: Floats, length: float) -> Floats:
    square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2.0 * a @ b.T
    scaled = np.sqrt(np.maximum(square, 0.0)) * np.sqrt(5.0) / (length * np.sqrt(a.shape[1] / 4.0))
    return np.asarray((1.0 + scaled + scaled**2 / 3.0) * np.exp(-scaled))  # Matérn 5/2


def learn(voltage: Floats, soc: Floats, health: Floats, cell: Floats) -> PulseModel:
    """Learn from tests (test, corner) V at SOC (test,) with measured health of the cell numbered `cell` (test,).

    Several tests of one cell are no independent witnesses: lengths and noise are chosen, and sigma is told, by leaving
    whole cells out.
    """
    x = features(voltage, soc)
    middle, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    x = (x - middle) / spread
    mean, scale = float(health.mean()), float(health.std() + 1e-9)
    y = (health - mean) / scale
    fold = np.unique(cell, return_inverse=True)[1] % FOLDS
    best: tuple[float, float, float, Floats] | None = None
    for length in LENGTHS:
        kernel = _kernel(x, x, length)
        for noise in NOISES:
            off = _left_out(kernel, y, fold, noise)
            if best is None or off < best[0]:
                best = off, length, noise, kernel
    assert best is not None
    off, length, noise, kernel = best
    lower = np.asarray(np.linalg.cholesky(kernel + noise**2 * np.eye(len(x))), dtype=np.float64)
    weights = np.linalg.solve(lower.T, np.linalg.solve(lower, y))
    return PulseModel(middle, spread, x, weights, lower, length, mean, scale, off)


def _left_out(kernel: Floats, y: Floats, fold: NDArray[np.int64], noise: float) -> float:
    """Root mean square error when whole folds of cells are left out."""
    error = np.empty(len(y))
    for n in range(FOLDS):
        out, kept = fold == n, fold != n
        inside = kernel[np.ix_(kept, kept)] + noise**2 * np.eye(int(kept.sum()))
        error[out] = kernel[np.ix_(out, kept)] @ np.linalg.solve(inside, y[kept]) - y[out]
    return float(np.sqrt(np.mean(error**2)))


def health(model: PulseModel, voltage: Floats, soc: Floats) -> tuple[Floats, Floats]:
    """State of health (test,) and one sigma of it."""
    x = (features(voltage, soc) - model.middle) / model.spread
    cross = _kernel(x, model.points, model.length)
    explained = np.linalg.solve(model.lower, cross.T)
    variance = np.maximum(1.0 - (explained**2).sum(axis=0), 1e-4) + model.apart**2
    return model.mean + model.scale * (cross @ model.weights), model.scale * np.sqrt(variance)
