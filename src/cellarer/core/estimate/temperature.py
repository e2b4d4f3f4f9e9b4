"""Core temperature of cells from surface, current and time: two heat nodes, solved exactly over one step.

C_c T_c' = q + (T_s − T_c)/R,  q = i (v − ocv) + i T dOCV/dT  (Bernardi; + charges). The surface is measured, so only
the core is a state; its time constant C_c R is minutes; the step is exact for constant heat and surface temperature.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate.config import EstimatorConfig
from cellarer.core.estimate.fields import PLACES
from cellarer.core.estimate.readout import ocv
from cellarer.core.estimate.state import EstimateState, get
from cellarer.model.cell import SOC_POINTS

try:
    from cellarer.core import kernel as _kernel
except ImportError:  # without numba NumPy does the work
    _kernel = None  # type: ignore[assignment]

Floats = NDArray[np.float64]
KELVIN = 273.15


def core_temperature(
    cfg: EstimatorConfig,
    state: EstimateState,
    core_degC: Floats,
    surface_degC: Floats,
    voltage: Floats,
    current: Floats,
    dt_s: float,
    plain: bool = False,
) -> Floats:
    """Core temperature after dt_s, (cell,) degC. `core_degC` before, NaN = unknown: begins at the surface.

    voltage (cell,) V and current (cell,) A of the string; where one is unknown the heat counts as the model's
    plain   by NumPy even where the kernel is there
    """
    entropies, resistance, per_s = _nodes(cfg)
    if not (plain or _kernel is None):
        out = np.empty(cfg.cells)
        _kernel.core_temperature(
            state.buffer, PLACES, cfg.kind, entropies, resistance, per_s, cfg.parallel, core_degC, surface_degC,
            voltage, current, dt_s, out,
        )  # fmt: skip
        return out
    begin = np.where(np.isfinite(core_degC), core_degC, surface_degC)
    i = np.where(np.isfinite(current), current, 0.0) / cfg.parallel
    over = np.where(np.isfinite(voltage), voltage, get(cfg, state, "model_v")) - ocv(cfg, state)
    z = np.minimum(np.maximum(get(cfg, state, "z"), 0.0), 1.0) * (SOC_POINTS - 1)
    entropy = entropies[cfg.kind[: cfg.cells], np.rint(z).astype(np.int64)]
    heat = np.maximum(i * over, 0.0) + i * (begin + KELVIN) * entropy
    final = surface_degC + heat * resistance
    return np.asarray(final + (begin - final) * np.exp(-dt_s * per_s))


@lru_cache(maxsize=16)
def _nodes(cfg: EstimatorConfig) -> tuple[Floats, Floats, Floats]:
    """Entropies (kind, SOC) V/K, resistance core to surface (cell,) K/W and 1/s of the core (cell,)."""
    kind = cfg.kind[: cfg.cells]
    resistance = np.array([model.core_to_surface for model in cfg.models])[kind]
    capacity = np.array([model.heat_capacity_core for model in cfg.models])[kind]
    return np.stack([model.entropy for model in cfg.models]), resistance, 1.0 / (resistance * capacity)
