"""Cell data → one table on an even grid of temperature and SOC, wider than the data: a plant may be overcharged.

Rows of temperature follow Arrhenius' law between and beyond the measured ones. Beyond full and empty the voltage runs
on steeply, so that a charge that is not stopped shows in volts as it does in a real cell.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellarer.model.cell import SOC_POINTS, CellModel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FIELDS = ("ocv", "hysteresis", "r0", "r1", "r2", "entropy")
LOW_DEGC, STEP_K, ROWS = -45.0, 2.5, 55  # −45 … 90 degC; outside the edge values hold
BEYOND = 32  # extra points of SOC on either side: 12.5 %
SOC_STEPS = SOC_POINTS - 1
COLUMNS = SOC_POINTS + 2 * BEYOND
OVERCHARGE_V = {"LFP": 15.0, "LTO": 8.0}  # least slope beyond full, V per unit of SOC; estimated
OVERCHARGE_OTHER_V, OVERDISCHARGE_V = 3.0, 12.0
FLOOR_V = 0.2  # an exhausted cell still shows a little


class Looked(NamedTuple):
    """What the table says for each member; all (member,). `slope` is dOCV/dSOC."""

    ocv: Floats
    slope: Floats
    hysteresis: Floats
    r0: Floats
    r1: Floats
    r2: Floats
    entropy: Floats


class Tables(NamedTuple):
    """All cell types of a plant."""

    by_soc: Floats  # (field, model·temperature·soc)
    by_temp: Floats  # (3, model·temperature): tau1 s, tau2 s, exchange A


def compile_tables(models: Sequence[CellModel]) -> Tables:
    """Stack the tables of all cell types."""
    by_soc = np.concatenate([_by_soc(model).reshape(len(FIELDS), -1) for model in models], axis=1)
    return Tables(by_soc, np.concatenate([_by_temp(model) for model in models], axis=1))


def look(tables: Tables, kind: Ints, soc: Floats, temp_degC: Floats) -> Looked:
    """Interpolate all fields in SOC and temperature, (member,)."""
    row, wr = _row(temp_degC)
    x = np.clip(soc, -BEYOND / SOC_STEPS, 1.0 + BEYOND / SOC_STEPS) * SOC_STEPS + BEYOND
    column = np.minimum(x.astype(np.int64), COLUMNS - 2)
    at = (kind * ROWS + row) * COLUMNS + column
    left = _between(tables.by_soc, at, COLUMNS, wr)
    rise = _between(tables.by_soc, at + 1, COLUMNS, wr) - left
    value = left + rise * (x - column)
    return Looked(value[0], rise[0] * SOC_STEPS, *value[1:])


def look_temp(tables: Tables, kind: Ints, temp_degC: Floats) -> Floats:
    """Interpolate tau1, tau2 and exchange current, (3, member)."""
    row, wr = _row(temp_degC)
    return _between(tables.by_temp, kind * ROWS + row, 1, wr)


def _between(table: Floats, at: Ints, step: int, weight: Floats) -> Floats:
    """Return (field, member) between columns `at` and a step further; `take` is twice as fast as indexing."""
    return np.asarray(table.take(at, axis=1) * (1.0 - weight) + table.take(at + step, axis=1) * weight)


def _row(temp_degC: Floats) -> tuple[Ints, Floats]:
    y = np.clip((temp_degC - LOW_DEGC) / STEP_K, 0.0, ROWS - 1.0)
    row = np.minimum(y.astype(np.int64), ROWS - 2)
    return row, y - row


def _arrhenius(model: CellModel, values: Floats) -> Floats:
    """Bring rows to the even temperatures: linear in the logarithm over 1/T, extended beyond the ends by that line."""
    grid, have = -1.0 / (_grid_degC() + 273.15), -1.0 / (model.temp_degC + 273.15)
    logs = np.log(np.maximum(values, 1e-9)).reshape(have.size, -1)
    if have.size == 1:
        return np.repeat(values, ROWS, axis=0)
    at = np.clip(np.searchsorted(have, grid) - 1, 0, have.size - 2)
    w = ((grid - have[at]) / (have[at + 1] - have[at]))[:, None]
    out = np.exp(logs[at] * (1.0 - w) + logs[at + 1] * w)
    out = np.clip(out, values.min() / 4.0, values.max() * 4.0)  # a line through noise must not run away
    return np.asarray(out.reshape((ROWS, *values.shape[1:])))


def _linear(model: CellModel, values: Floats) -> Floats:
    """Bring rows to the even temperatures: linear, flat beyond the ends."""
    grid = _grid_degC()
    return np.stack([np.interp(grid, model.temp_degC, values[:, k]) for k in range(values.shape[1])], axis=1)


def _grid_degC() -> Floats:
    return np.asarray(LOW_DEGC + STEP_K * np.arange(ROWS), dtype=np.float64)


def _by_soc(model: CellModel) -> Floats:
    """Return (field, temperature, soc) on the wide even grid."""
    rows = (
        _beyond(_linear(model, model.ocv), OVERCHARGE_V.get(model.chemistry, OVERCHARGE_OTHER_V)),
        _flat(_linear(model, model.hysteresis)),
        *(_flat(_arrhenius(model, r)) for r in (model.r0, model.r1, model.r2)),
        _flat(np.repeat(model.entropy[None, :], ROWS, axis=0)),
    )
    return np.stack(rows)


def _by_temp(model: CellModel) -> Floats:
    exchange = np.minimum(model.exchange_A, 1e9)
    rows = [_arrhenius(model, x[:, None])[:, 0] for x in (model.tau1, model.tau2, exchange)]
    return np.stack(rows).astype(np.float64)


def _flat(rows: Floats) -> Floats:
    return np.pad(rows, ((0, 0), (BEYOND, BEYOND)), mode="edge")


def _beyond(ocv: Floats, overcharge_V: float) -> Floats:
    """Extend OCV past full and empty by its end slope, or a steeper one."""
    steps = np.arange(1, BEYOND + 1) / SOC_STEPS
    up = np.maximum((ocv[:, -1] - ocv[:, -3]) * SOC_STEPS / 2.0, overcharge_V)
    down = np.maximum((ocv[:, 2] - ocv[:, 0]) * SOC_STEPS / 2.0, OVERDISCHARGE_V)
    over = ocv[:, -1:] + up[:, None] * steps
    under = np.maximum(ocv[:, :1] - down[:, None] * steps[::-1], FLOOR_V)
    return np.concatenate([under, ocv, over], axis=1)
