"""Power that a cell can take or give, constant from now for a whole horizon (SOP), and which limit binds.

At constant power the current changes as the voltage does. Between its first and its last value it is taken as straight,
for which the polarisation has an exact answer; the unknown is the last current, found by a bracketed secant because
the voltage at the end falls monotonically with it (G. Plett, J. Power Sources 134 (2004) 252, there with constant
current). Doubt enters as a margin at the limit: `doubt` times the voltage that the sigmas of SOC, resistance and
temperature are worth at that current, combined as independent errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate import numpy_form
from cellarer.core.estimate.config import EstimatorConfig
from cellarer.core.estimate.equations import decay, falling
from cellarer.core.estimate.fields import FIELDS, INDEX, LANES
from cellarer.core.estimate.state import EstimateState
from cellarer.model.cell import CellLimits

Floats = NDArray[np.float64]
Bytes = NDArray[np.int8]
Kinds = NDArray[np.int64]

HORIZONS_S = (2.0, 10.0, 30.0, 1800.0)  # the last stands for continuous
REASONS = ("voltage", "current", "soc", "temperature", "unknown")
TEMP_SIGMA_K = 1.5  # of a cell's temperature as sensors tell it
ROUNDS = 9


@dataclass(frozen=True, slots=True, eq=False)
class Power:
    """What every cell can hold over the horizon; magnitudes, (cell,), of the series group."""

    charge_W: Floats
    discharge_W: Floats
    charge_A: Floats  # largest current on the way
    discharge_A: Floats
    charge_reason: Bytes  # index into REASONS
    discharge_reason: Bytes


@dataclass(frozen=True, slots=True, eq=False)
class _Now:
    """Where a cell stands; (cell,)."""

    x: Floats  # (field, cell)
    kind: Kinds
    temp_degC: Floats
    doubt: float


def _voltage(
    cfg: EstimatorConfig, now: _Now, first: Floats, last: Floats, horizon_s: float, dz: float, dk: float
) -> Floats:
    """Voltage at the end when the current runs straight from `first` to `last`, `dz` and `dk` sigmas off in z and k."""
    x, at = now.x, INDEX
    moved = 0.5 * (first + last) * horizon_s / (3600.0 * x[at["capacity"]])
    z = x[0] + moved + dz * np.sqrt(np.maximum(x[at["p00"]], 0.0))
    node = numpy_form.look_up(cfg.tables.node, cfg.tables.rows, now.kind, z, now.temp_degC)
    pol = node[2] * last * falling(last * node[11])
    ramp = (last - first) / horizon_s
    for s, r, per_tau in ((x[1], node[3], node[9]), (x[2], node[4], node[10])):
        a = decay(horizon_s * per_tau)
        pol = pol + r * (a * s + (1.0 - a) * first + ramp * (horizon_s - (1.0 - a) / per_tau))
    hysteresis = decay(node[12] * np.abs(moved))
    h = hysteresis * x[3] + (1.0 - hysteresis) * np.sign(moved)
    return node[0] + node[1] * h + (x[4] + dk * np.sqrt(np.maximum(x[at["p44"]], 0.0))) * pol


def _margin(cfg: EstimatorConfig, now: _Now, sign: float, first: Floats, last: Floats, horizon_s: float,
            voltage: Floats) -> Floats:  # fmt: skip
    """How many volts nearer to the limit the end may lie: each error alone, `doubt` sigmas, then as independent."""
    if now.doubt == 0.0:
        return np.zeros_like(voltage)
    cold = replace(now, temp_degC=now.temp_degC - now.doubt * TEMP_SIGMA_K)
    off = [
        _voltage(cfg, now, first, last, horizon_s, sign * now.doubt, 0.0) - voltage,
        _voltage(cfg, now, first, last, horizon_s, 0.0, now.doubt) - voltage,
        _voltage(cfg, cold, first, last, horizon_s, 0.0, 0.0) - voltage,
    ]
    return np.asarray(np.sqrt(sum(np.maximum(sign * v, 0.0) ** 2 for v in off)))


def _first(x: Floats, power: Floats) -> tuple[Floats, Floats]:
    """Current and voltage right after constant power sets in; NaN where the cell cannot give it."""
    at = INDEX
    r0 = x[4] * x[at["x_r0"]]
    still = x[at["x_ocv"]] + x[at["x_local"]] * (x[0] - x[at["x_z"]]) + x[at["x_m"]] * x[3]
    still = still + x[4] * (x[at["x_r1"]] * x[1] + x[at["x_r2"]] * x[2])
    i = power / np.maximum(still, 0.1)
    for _ in range(3):
        r = np.maximum(r0 * falling(i * x[at["x_per_exchange"]]), 1e-9)
        root = still * still + 4.0 * r * power
        i = np.where(root > 0.0, (np.sqrt(np.maximum(root, 0.0)) - still) / (2.0 * r), np.nan)
    return i, still + r * i


def _solve(cfg: EstimatorConfig, now: _Now, sign: float, most: Floats, limit: Floats, horizon_s: float) -> Floats:
    """Last current (magnitude, at most `most`) at which the voltage just reaches `limit`, and the power there."""

    def margin(i: Floats) -> tuple[Floats, Floats]:
        first = sign * i
        voltage = _voltage(cfg, now, first, sign * i, horizon_s, 0.0, 0.0)
        for _ in range(2):
            begin, _v = _first(now.x, sign * i * voltage)
            first = np.where(np.isfinite(begin), begin, sign * i)
            voltage = _voltage(cfg, now, first, sign * i, horizon_s, 0.0, 0.0)
        return sign * (limit - voltage) - _margin(cfg, now, sign, first, sign * i, horizon_s, voltage), voltage

    low, high = np.zeros_like(most), most.copy()
    (f_low, v_low), (f_high, v_high) = margin(low), margin(high)
    all_fits, none_fits = f_high >= 0.0, f_low < 0.0
    for _ in range(ROUNDS):
        share = np.clip(f_low / np.where(f_low - f_high == 0.0, 1.0, f_low - f_high), 0.02, 0.98)
        middle = low + share * (high - low)
        f, v = margin(middle)
        fits = f >= 0.0
        # Illinois: an end that stays twice counts half, so that both ends move
        f_high = np.where(fits, 0.6 * f_high, f)
        f_low = np.where(fits, f, 0.6 * f_low)
        low, v_low = np.where(fits, middle, low), np.where(fits, v, v_low)
        high = np.where(fits, high, middle)
    last = np.where(none_fits, 0.0, np.where(all_fits, most, low))
    voltage = np.where(all_fits, v_high, v_low)
    return np.stack([last, last * np.maximum(voltage, 0.0)])


def power(
    cfg: EstimatorConfig,
    state: EstimateState,
    limits: Sequence[CellLimits],
    horizon_s: float,
    temp_degC: Floats | None = None,
    doubt: float = 2.1,
) -> Power:
    """Constant power over the horizon for every cell.

    limits     per kind of cell; voltages of the recommended level, currents of the recommended level up to 10 s, of
               the operating level beyond, charge current also by the map over temperature
    temp_degC  (cell,); without it the temperature of the last step
    doubt      sigmas of margin; 0 trusts the estimate
    """
    n, at = cfg.cells, INDEX
    x = state.buffer.reshape(-1, FIELDS, LANES).transpose(1, 0, 2).reshape(FIELDS, -1)[:, :n]
    kind = cfg.kind[:n]
    temp = x[at["in_degC"]] if temp_degC is None else np.where(np.isfinite(temp_degC), temp_degC, x[at["in_degC"]])
    now = _Now(x, kind, temp, doubt)
    level = 1 if horizon_s <= 10.0 else 0

    def each(values: list[float]) -> Floats:
        return np.array(values)[kind]

    sigma = doubt * np.sqrt(np.maximum(x[at["p00"]], 0.0))
    span = 3600.0 * x[at["capacity"]] / horizon_s
    result = []
    for sign in (1.0, -1.0):
        charging = sign > 0.0
        rated = each([float((m.charge_A if charging else m.discharge_A)[level]) for m in limits])
        fade = _over_temperature(limits, kind, temp, charging)
        room = np.maximum((1.0 - x[0] if charging else x[0]) - sigma, 0.0) * span
        limit = each([float(m.voltage_max[1] if charging else m.voltage_min[1]) for m in limits])
        most = np.minimum(np.minimum(rated, fade), np.maximum(room, 0.0))
        last, watts = _solve(cfg, now, sign, most, limit, horizon_s)
        first, _ = _first(x, sign * watts)
        top = np.maximum(np.where(np.isfinite(first), np.abs(first), last), last)
        # the largest current on the way may not pass what is allowed either
        share = np.where(top > most, most / np.maximum(top, 1e-12), 1.0)
        reason = np.where(last < most * 0.999, 0, np.where(fade < rated, 3, 1))
        reason = np.where((most == room) & (last >= most * 0.999), 2, reason)
        reason = np.where(state.unknown, 4, reason).astype(np.int8)
        scale = np.where(state.unknown, 0.0, cfg.parallel * share)
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
