"""Power that a cell can take or give, constant from now for a whole horizon (SOP), and which limit binds.

The limits of voltage, current, SOC and temperature are put together here; the search is in power_equations.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import FunctionType

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate import numpy_form, power_equations
from cellarer.core.estimate.config import EstimatorConfig
from cellarer.core.estimate.fields import FIELDS, INDEX, LANES
from cellarer.core.estimate.state import EstimateState
from cellarer.model.cell import CellLimits

Floats = NDArray[np.float64]
Bytes = NDArray[np.int8]
Kinds = NDArray[np.int64]

# An LFP cell on its plateau may be known to ± 15 points only. A forecast that believed the worst of that would forbid
# both charging and discharging, and nothing would ever be learnt: a lock-out. A knee shows in the voltage long before.
MOST_SOC_DOUBT = 0.06
SOC_MATTERS_S = 60.0  # s: within shorter pulses SOC hardly moves; voltage is what ends them
HORIZONS_S = (2.0, 10.0, 30.0, 1800.0)  # the last stands for continuous
REASONS = ("voltage", "current", "soc", "temperature", "unknown")

try:
    from cellarer.core.estimate import power_kernel as _kernel
except ImportError:  # without numba NumPy does the work
    _kernel = None  # type: ignore[assignment]

# The equations on arrays: the same code with the array look-up bound in
_NAMES = {**vars(power_equations), "look_up": numpy_form.look_up}
_NAMES["voltage_at_end"] = FunctionType(power_equations.voltage_at_end.__code__, _NAMES)
_plain = FunctionType(power_equations.hold.__code__, _NAMES)


@dataclass(frozen=True, slots=True, eq=False)
class Power:
    """What every cell can hold over the horizon; magnitudes, (cell,), of the series group."""

    charge_W: Floats
    discharge_W: Floats
    charge_A: Floats  # largest current on the way
    discharge_A: Floats
    charge_reason: Bytes  # index into REASONS
    discharge_reason: Bytes


def _hold(cfg: EstimatorConfig, x: Floats, kind: Kinds, most: Floats, limit: Floats, sign: float, horizon_s: float,
          doubt: float) -> Floats:  # fmt: skip
    """Power, largest current and whether voltage binds, (3, cell); x as power_kernel.hold takes it."""
    if _kernel is None:
        return np.stack(_plain(cfg.tables.node, cfg.tables.rows, kind, *x, most, limit, sign, horizon_s, doubt))
    out = np.empty((3, len(kind)))
    _kernel.hold(cfg.tables.node, cfg.tables.rows, kind, x, most, limit, sign, horizon_s, doubt, out)
    return out


def power(
    cfg: EstimatorConfig,
    state: EstimateState,
    limits: Sequence[CellLimits],
    horizon_s: float,
    temp_degC: Floats | None = None,
    doubt: float = 1.8,
) -> Power:
    """Constant power over the horizon for every cell.

    limits     per kind of cell; voltages of the recommended level, currents of the recommended level up to 10 s, of
               the operating level beyond, charge current also by the map over temperature
    temp_degC  (cell,); without it the temperature of the last step
    doubt      sigmas of margin, 0 trusts the estimate; each error counts where it hurts most, hence less than two
    """
    n, at = cfg.cells, INDEX
    x = state.buffer.reshape(-1, FIELDS, LANES).transpose(1, 0, 2).reshape(FIELDS, -1)[:, :n]
    kind = cfg.kind[:n]
    temp = x[at["in_degC"]] if temp_degC is None else np.where(np.isfinite(temp_degC), temp_degC, x[at["in_degC"]])
    level = 1 if horizon_s <= 10.0 else 0
    z_sigma = np.minimum(np.sqrt(np.maximum(x[at["p00"]], 0.0)), MOST_SOC_DOUBT)
    k_sigma = np.sqrt(np.maximum(x[at["p44"]], 0.0))
    state_of = np.ascontiguousarray(np.stack([*x[:5], x[at["capacity"]], temp, z_sigma, k_sigma]))
    span = 3600.0 * x[at["capacity"]] / horizon_s

    def each(values: list[float]) -> Floats:
        return np.array(values)[kind]

    result = []
    for sign in (1.0, -1.0):
        charging = sign > 0.0
        rated = each([float((m.charge_A if charging else m.discharge_A)[level]) for m in limits])
        fade = _over_temperature(limits, kind, temp, charging)
        room = np.maximum((1.0 - x[0] if charging else x[0]) - doubt * z_sigma, 0.0) * span
        if horizon_s < SOC_MATTERS_S:
            room = np.full(n, np.inf)
        limit = each([float(m.voltage_max[1] if charging else m.voltage_min[1]) for m in limits])
        most = np.minimum(np.minimum(rated, fade), room)
        watts, top, by_voltage = _hold(cfg, state_of, kind, most, limit, sign, horizon_s, doubt)
        reason = np.where(most == room, 2, np.where(fade < rated, 3, 1))
        reason = np.where(state.unknown, 4, np.where((by_voltage > 0.0) & (most > 0.0), 0, reason)).astype(np.int8)
        scale = np.where(state.unknown, 0.0, cfg.parallel)
        result.append((scale * watts, scale * top, reason))
    (charge_W, charge_A, charge_reason), (discharge_W, discharge_A, discharge_reason) = result
    return Power(charge_W, discharge_W, charge_A, discharge_A, charge_reason, discharge_reason)


def _over_temperature(
    limits: Sequence[CellLimits], kind: NDArray[np.int64], temp_degC: Floats, charging: bool
) -> Floats:
    """Current that temperature allows, A of one cell: full inside operating, none beyond recommended."""
    out = np.zeros(len(kind))
    for k, limit in enumerate(limits):
        hot = limit.charge_temp_max_degC if charging else limit.discharge_temp_max_degC
        cold = limit.charge_temp_min_degC if charging else limit.discharge_temp_min_degC
        rated = float((limit.charge_A if charging else limit.discharge_A)[2])
        warm = np.clip((hot[1] - temp_degC) / max(hot[1] - hot[0], 1e-6), 0.0, 1.0)
        cool = np.clip((temp_degC - cold[1]) / max(cold[0] - cold[1], 1e-6), 0.0, 1.0)
        allowed = rated * np.minimum(warm, cool)
        if charging:
            # the map is for long charges; short pulses may reach twice of it, but where it is zero nothing flows
            allowed = np.minimum(allowed, 2.0 * np.interp(temp_degC, limit.charge_map_degC, limit.charge_map_A))
        out = np.where(kind == k, allowed, out)
    return out
