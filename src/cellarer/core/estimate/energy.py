"""Energy to the end (SOE) and time to empty and full, per cell, at present temperature and mean current.

The curve is walked in steps of SOC from now to the end (power_equations): at each point voltage under the mean
current; where it passes the lower limit the energy ends, although charge is left. Cold lowers SOE this way, and not
SOC. Where it would pass the end-of-charge voltage the current falls until its tail is left: that is full.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate import power_equations
from cellarer.core.estimate.config import EstimatorConfig
from cellarer.core.estimate.fields import INDEX
from cellarer.core.estimate.power import fields, look_up
from cellarer.core.estimate.state import EstimateState
from cellarer.model.cell import CellLimits

Floats = NDArray[np.float64]
IDLE_C = 0.01  # C: a mean current below this is none …
USUAL_C = 0.1  # … and counts as a discharge with this

try:
    from cellarer.core.estimate import power_kernel as _kernel
except ImportError:  # without numba NumPy does the work
    _kernel = None  # type: ignore[assignment]

_NAMES: dict[str, Any] = {**vars(power_equations), "look_up": look_up}
for _name in ("stiffer", "walk", "fill"):
    _NAMES[_name] = FunctionType(_NAMES[_name].__code__, _NAMES)


@dataclass(frozen=True, slots=True, eq=False)
class Energy:
    """Energy and time of every series group, (cell,); NaN where SOC is unknown."""

    energy_Wh: Floats  # to the lower limit (recommended) under the mean discharge current
    charge_Ah: Floats  # charge that comes out until there
    doubt_Wh: Floats  # of the energy by resistance, temperature and model, one sigma; that of the charge comes on top
    to_empty_s: Floats  # inf while not discharging
    to_full_s: Floats  # inf while not charging


def energy(cfg: EstimatorConfig, state: EstimateState, limits: Sequence[CellLimits], mean_current: Floats) -> Energy:
    """Walk down the curve. mean_current (cell,) A of the string, + charges; idle counts as C/10 of discharge."""
    x = fields(cfg, state)
    q, i = x[INDEX["capacity"]], np.where(np.isfinite(mean_current), mean_current, 0.0) / cfg.parallel
    into, (energy_Wh, charge_Ah, doubt_pct) = walks(cfg, state, limits, mean_current, slice(0, cfg.cells))
    to_empty, to_full = (
        np.where(flow > IDLE_C * q, ahead / cfg.parallel / np.maximum(flow, 1e-12) * 3600.0, np.inf)
        for ahead, flow in ((charge_Ah, -i), (into[1], i))
    )
    nothing = np.where(state.unknown, np.nan, 1.0)
    return Energy(energy_Wh, charge_Ah, doubt_pct / 100.0 * energy_Wh, nothing * to_empty, nothing * to_full)


def walks(
    cfg: EstimatorConfig, state: EstimateState, limits: Sequence[CellLimits], mean_current: Floats, part: slice
) -> Floats:
    """What the cells in `part` have ahead of them at the mean current, (way, 3, cell), of the group; way 0 charges.

    Out: Wh and Ah until the lower limit. In: 0, and the time until full as Ah at the mean current. The third row is
    what one sigma is worth, per cent (out of the Wh: resistance, temperature, model; in of the Ah: the first two).

    mean_current (cell in part,) A of the string; the shape is that of power.promises, so that `weakest` takes it
    """
    ends, out = _ends(tuple(limits)), np.empty((2, 3, part.stop - part.start))
    i = np.where(np.isfinite(mean_current), mean_current, 0.0) / cfg.parallel[part]
    if _kernel is None:
        x, at, kind = fields(cfg, state)[:, part], INDEX, cfg.kind[part]
        q, k_sigma = x[at["capacity"]], np.sqrt(np.maximum(x[at["p44"]], 0.0))
        for way, (name, flow, end) in enumerate((("fill", i, ends[1:]), ("walk", -i, ends[:1]))):
            load = np.where(flow > IDLE_C * q, flow, USUAL_C * q)
            out[way] = _NAMES[name](
                cfg.tables.node, cfg.tables.rows, kind, x[0], x[4], k_sigma, q, x[at["in_degC"]], load, *end[:, kind]
            )
    else:
        _kernel.walk(
            state.buffer, cfg.tables.node, cfg.tables.rows, cfg.kind, ends, i, part.start, IDLE_C, USUAL_C, out
        )
    out[:, :2] *= cfg.parallel[part]
    if np.count_nonzero(state.unknown[part]):
        out[:, :2, state.unknown[part]] = np.nan
    return out


@lru_cache(maxsize=16)
def _ends(limits: tuple[CellLimits, ...]) -> Floats:
    """Lowest voltage of a discharge, end voltage and tail current of a charge, (3, kind), V, V, A."""
    ends = [(float(limit.voltage_min[1]), limit.charge_voltage, limit.tail_A) for limit in limits]
    return np.ascontiguousarray(np.array(ends).T)
