"""Energy to the end (SOE) and time to empty and full, per cell, at present temperature and mean current.

The curve is walked in even steps of SOC from now to the end: at each point voltage under the mean current; where it
passes the lower limit the energy ends, although charge is left. Cold lowers SOE this way, and not SOC.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate import numpy_form
from cellarer.core.estimate.config import EstimatorConfig
from cellarer.core.estimate.fields import FIELDS, INDEX, LANES
from cellarer.core.estimate.state import EstimateState
from cellarer.model.cell import CellLimits

Floats = NDArray[np.float64]
STEPS = 24


@dataclass(frozen=True, slots=True, eq=False)
class Energy:
    """Energy and time of every series group, (cell,); NaN where SOC is unknown."""

    energy_Wh: Floats  # to the lower limit (recommended) under the mean discharge current
    charge_Ah: Floats  # charge that comes out until there
    to_empty_s: Floats  # inf while not discharging
    to_full_s: Floats  # inf while not charging


def energy(cfg: EstimatorConfig, state: EstimateState, limits: Sequence[CellLimits], mean_current: Floats) -> Energy:
    """Walk down the curve. mean_current (cell,) A of the string, + charges; idle counts as C/10 of discharge."""
    at = INDEX
    x = state.buffer.reshape(-1, FIELDS, LANES).transpose(1, 0, 2).reshape(FIELDS, -1)[:, : cfg.cells]
    kind, q, temp_degC = cfg.kind[: cfg.cells], x[at["capacity"]], x[at["in_degC"]]
    i = np.where(np.isfinite(mean_current), mean_current, 0.0) / cfg.parallel
    load = np.where(i < -0.01 * q, -i, 0.1 * q)
    floor = np.array([float(limit.voltage_min[1]) for limit in limits])[kind]
    z = np.maximum(x[0], 0.0)
    # all steps of all cells in one look-up, (step, cell)
    here = z * (1.0 - (np.arange(STEPS)[:, None] + 0.5) / STEPS)
    many = np.broadcast_to(kind, here.shape).reshape(-1), np.broadcast_to(temp_degC, here.shape).reshape(-1)
    node = numpy_form.look_up(cfg.tables.node, cfg.tables.rows, many[0], here.reshape(-1), many[1])
    node = node.reshape(len(node), STEPS, cfg.cells)
    voltage = node[0] - node[1] - x[4] * load * (node[2] + node[3] + node[4])
    alive = np.logical_and.accumulate(voltage >= floor, axis=0)
    charge_Ah = z * q / STEPS * alive.sum(axis=0)
    energy_Wh = z * q / STEPS * np.where(alive, voltage, 0.0).sum(axis=0)
    nothing = np.where(state.unknown, np.nan, 1.0)
    to_empty = np.where(i < -0.01 * q, charge_Ah / load * 3600.0, np.inf)
    to_full = np.where(i > 0.01 * q, np.maximum(1.0 - x[0], 0.0) * q / np.maximum(i, 1e-12) * 3600.0, np.inf)
    return Energy(
        nothing * energy_Wh * cfg.parallel, nothing * charge_Ah * cfg.parallel, nothing * to_empty, nothing * to_full
    )
