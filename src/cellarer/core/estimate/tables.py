"""Cell models → even tables for the estimator: every kind of cell on one grid of temperature and SOC.

Beyond the measured temperatures voltages stay as they are; resistance, time constants and model error go on along
Arrhenius' law with the slope of the last two rows, bounded, for at most EXTEND_K. Slopes of the OCV curve are secants:
at two widths, between which the filter chooses by its own sigma (statistical linearisation; it removes the kinks).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate.equations import FAR, NEAR
from cellarer.core.estimate.fields import NODE_WIDTH, ROW_WIDTH
from cellarer.model.cell import SOC_POINTS, CellModel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TEMP_LOW_DEGC = -30.0
TEMP_STEP_K = 5.0
TEMP_POINTS = 19  # −30 … 60 degC
EXTEND_K = 25.0  # how far beyond the measured temperatures Arrhenius' law is trusted
SLOPE_K = (800.0, 6000.0)  # bounds of E/R in K; 2500 K (21 kJ/mol) where only one temperature was measured
ALONE_K = 2500.0
KELVIN = 273.15


@dataclass(frozen=True, slots=True, eq=False)
class CellTables:
    """Tables of all kinds, flat: `node` (kind, temperature, soc, NODE_WIDTH), `rows` (kind, temperature, ROW_WIDTH)."""

    node: Floats
    rows: Floats
    kinds: int


def temperature_grid() -> Floats:
    """Return the even grid, (TEMP_POINTS,) degC."""
    return np.asarray(TEMP_LOW_DEGC + TEMP_STEP_K * np.arange(TEMP_POINTS), dtype=np.float64)


def _slope(x: Floats, logs: Floats, first: int, bounds: tuple[float, float], alone: float) -> Floats:
    """Slope of the logarithm over 1/T between two neighbouring rows, bounded."""
    if len(x) < 2:
        return np.full(logs.shape[1:], alone)
    slope = (logs[first] - logs[first + 1]) / (x[first] - x[first + 1])
    return np.asarray(np.clip(slope, *bounds))


def over_temperature(have_degC: Floats, rows: Floats, bounds: tuple[float, float] = SLOPE_K) -> Floats:
    """Positive rows (temperature, …) onto the grid, linear in the logarithm over 1/T, extended at both ends."""
    x, want = 1.0 / (have_degC + KELVIN), 1.0 / (temperature_grid() + KELVIN)
    shape = rows.shape[1:]
    logs = np.log(np.maximum(rows.reshape(len(x), -1), 1e-12))
    out = np.stack([np.interp(-want, -x, logs[:, k]) for k in range(logs.shape[1])], axis=1)
    alone = min(ALONE_K, bounds[1])
    limit = EXTEND_K / (300.0 * 300.0)  # EXTEND_K in units of 1/T near room temperature
    cold = np.clip(want - x[0], 0.0, limit)[:, None] * _slope(x, logs, 0, bounds, alone)
    warm = np.clip(x[-1] - want, 0.0, limit)[:, None] * _slope(x, logs, len(x) - 2, bounds, alone)
    return np.asarray(np.exp(out + cold - warm)).reshape((TEMP_POINTS, *shape))


def _linear(have_degC: Floats, rows: Floats) -> Floats:
    grid = temperature_grid()
    return np.stack([np.interp(grid, have_degC, rows[:, k]) for k in range(rows.shape[1])], axis=1)


def _secant(ocv: Floats, width: float) -> Floats:
    """Slope of the curve over `width` of SOC around every point, window kept inside 0…1."""
    z = np.linspace(0.0, 1.0, SOC_POINTS)
    low = np.clip(z - 0.5 * width, 0.0, 1.0 - width)
    return np.stack([(np.interp(low + width, z, row) - np.interp(low, z, row)) / width for row in ocv])


def _node(model: CellModel) -> Floats:
    """One kind: (temperature, soc, NODE_WIDTH)."""
    have = model.temp_degC
    ocv = _linear(have, model.ocv)
    sigma = over_temperature(have, model.sigma, (0.0, 3000.0))
    node = np.empty((TEMP_POINTS, SOC_POINTS, NODE_WIDTH))
    node[..., 0] = ocv
    node[..., 1] = _linear(have, model.hysteresis)
    for column, rows in ((2, model.r0), (3, model.r1), (4, model.r2)):
        node[..., column] = over_temperature(have, rows)
    node[..., 5], node[..., 6] = _secant(ocv, NEAR), _secant(ocv, FAR)
    node[..., 7] = sigma[:, None]
    return node


def _rows(model: CellModel) -> Floats:
    """Rows of one kind over temperature: 1/tau1, 1/tau2, 1/exchange_A (0: no dependence on current), gamma, doubt²."""
    have = model.temp_degC
    rows = np.empty((TEMP_POINTS, ROW_WIDTH))
    rows[:, 0] = 1.0 / over_temperature(have, model.tau1, (-500.0, 2000.0))
    rows[:, 1] = 1.0 / over_temperature(have, model.tau2, (-500.0, 2000.0))
    rows[:, 2] = over_temperature(have, 1.0 / np.minimum(model.exchange_A, 1e9), (0.0, 8000.0))
    rows[:, 3] = model.hysteresis_rate
    rows[:, 4] = np.interp(temperature_grid(), model.doubt_degC, model.doubt) ** 2
    return rows


def compile_tables(models: Sequence[CellModel]) -> CellTables:
    """Pack all kinds of cells."""
    node = np.stack([_node(model) for model in models])
    rows = np.stack([_rows(model) for model in models])
    return CellTables(node.reshape(-1), rows.reshape(-1), len(models))
