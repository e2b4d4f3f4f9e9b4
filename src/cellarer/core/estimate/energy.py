"""Energy to the end (SOE) and time to empty and full, per cell, at present temperature and mean current.

The curve is walked in even steps of SOC from now to the end (power_equations.walk): at each point voltage under the
mean current; where it passes the lower limit the energy ends, although charge is left. Cold lowers SOE this way, and
not SOC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import FunctionType

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate import numpy_form, power_equations
from cellarer.core.estimate.config import EstimatorConfig
from cellarer.core.estimate.fields import INDEX
from cellarer.core.estimate.power import fields
from cellarer.core.estimate.state import EstimateState
from cellarer.model.cell import CellLimits

Floats = NDArray[np.float64]
IDLE_C = 0.01  # C: a mean current below this is none …
USUAL_C = 0.1  # … and counts as a discharge with this

try:
    from cellarer.core.estimate import power_kernel as _kernel
except ImportError:  # without numba NumPy does the work
    _kernel = None  # type: ignore[assignment]

_walk = FunctionType(power_equations.walk.__code__, {**vars(power_equations), "look_up": numpy_form.look_up})


@dataclass(frozen=True, slots=True, eq=False)
class Energy:
    """Energy and time of every series group, (cell,); NaN where SOC is unknown."""

    energy_Wh: Floats  # to the lower limit (recommended) under the mean discharge current
    charge_Ah: Floats  # charge that comes out until there
    doubt_Wh: Floats  # of it by resistance and temperature, one sigma; that of the charge comes on top
    to_empty_s: Floats  # inf while not discharging
    to_full_s: Floats  # inf while not charging


def energy(cfg: EstimatorConfig, state: EstimateState, limits: Sequence[CellLimits], mean_current: Floats) -> Energy:
    """Walk down the curve. mean_current (cell,) A of the string, + charges; idle counts as C/10 of discharge."""
    x = fields(cfg, state)
    z, q = x[0], x[INDEX["capacity"]]
    i = np.where(np.isfinite(mean_current), mean_current, 0.0) / cfg.parallel
    energy_Wh, charge_Ah, doubt_pct = walks(cfg, state, limits, mean_current, slice(0, cfg.cells))[0]
    out, going = charge_Ah / cfg.parallel, i < -IDLE_C * q
    to_empty = np.where(going, out / np.where(going, -i, 1.0) * 3600.0, np.inf)
    to_full = np.where(i > IDLE_C * q, np.maximum(1.0 - z, 0.0) * q / np.maximum(i, 1e-12) * 3600.0, np.inf)
    nothing = np.where(state.unknown, np.nan, 1.0)
    return Energy(energy_Wh, charge_Ah, doubt_pct / 100.0 * energy_Wh, nothing * to_empty, nothing * to_full)


def walks(
    cfg: EstimatorConfig, state: EstimateState, limits: Sequence[CellLimits], mean_current: Floats, part: slice
) -> Floats:
    """Wh and Ah until the lower limit of the cells in `part`, (1, 3, cell), of the group.

    The third row is what one sigma of resistance and of temperature is worth, per cent of the Wh.

    mean_current (cell in part,) A of the string; the shape is that of power.promises, so that `weakest` takes it
    """
    floor, out = _floors(tuple(limits)), np.empty((1, 3, part.stop - part.start))
    i = np.where(np.isfinite(mean_current), mean_current, 0.0) / cfg.parallel[part]
    if _kernel is None:
        x, at, kind = fields(cfg, state)[:, part], INDEX, cfg.kind[part]
        q = x[at["capacity"]]
        load = np.where(i < -IDLE_C * q, -i, USUAL_C * q)
        k_sigma = np.sqrt(np.maximum(x[at["p44"]], 0.0))
        tables = cfg.tables.node, cfg.tables.rows
        out[0] = _walk(*tables, kind, x[0], x[4], k_sigma, q, x[at["in_degC"]], load, floor[kind])
    else:
        _kernel.walk(
            state.buffer, cfg.tables.node, cfg.tables.rows, cfg.kind, floor, i, part.start, IDLE_C, USUAL_C, out
        )
    out[0, :2] *= cfg.parallel[part]
    if np.count_nonzero(state.unknown[part]):
        out[0, :2, state.unknown[part]] = np.nan
    return out


@lru_cache(maxsize=16)
def _floors(limits: tuple[CellLimits, ...]) -> Floats:
    return np.array([float(limit.voltage_min[1]) for limit in limits])
