"""Power that a cell can take or give, constant from now for a whole horizon (SOP), and which limit binds.

What limits mean over a horizon is laid out once per site and horizon (`bounds`); the search is in power_equations.py
and, for long horizons, in power_long.py.
Current: the recommended level may last PULSE_S after rest, the operating level for ever; between them stands a thermal
image, the leaky mean of the current squared (I²t with cooling, as overload relays keep it). Temperature: full current
inside operating, none beyond recommended, and the core may not get there within the horizon (two heat nodes).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate import numpy_form, power_equations, power_long
from cellarer.core.estimate.config import EstimatorConfig
from cellarer.core.estimate.fields import FIELDS, INDEX, LANES
from cellarer.core.estimate.power_equations import HEAT_GAIN, HEAT_LEFT, MOST_SOC_DOUBT, REASONS
from cellarer.core.estimate.state import EstimateState, copied, get, put
from cellarer.model.cell import CellLimits, CellModel
from cellarer.model.values import HORIZONS_S

Floats = NDArray[np.float64]
Bytes = NDArray[np.int8]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

# Sigmas of margin. Two would do for one error alone; in the cold errors multiply. Judged by benchmarks/power.py.
DOUBT = 2.3
# Full is defined by voltage and tail current: bounding a pulse by an estimated 100 % would keep it from being reached.
FULL_BINDS_S = 60.0  # s: from this horizon on
PULSE_S = 10.0  # s: how long a cell at rest may carry its recommended current
UNKNOWN = REASONS.index("unknown")
LOOKED_UP = 13  # values of a look-up that SOP asks for
__all__ = ["DOUBT", "HORIZONS_S", "REASONS", "Power", "image_s", "power", "promises", "weakest"]

try:
    from cellarer.core.estimate import power_kernel as _kernel
except ImportError:  # without numba NumPy does the work
    _kernel = None  # type: ignore[assignment]


def look_up(*at: Any) -> Floats:
    """What power_kernel.look_up gives, on arrays."""
    return numpy_form.look_up(*at)[:LOOKED_UP]


# The equations on arrays: the same code with the array look-up bound in
_NAMES: dict[str, Any] = {**vars(power_equations), **vars(power_long), "look_up": look_up}
for _name in (*power_equations.PARTS, *power_long.PARTS):
    _NAMES[_name] = FunctionType(_NAMES[_name].__code__, _NAMES)


@dataclass(frozen=True, slots=True, eq=False)
class Power:
    """What every cell can hold over the horizon; magnitudes, (cell,), of the series group."""

    charge_W: Floats
    discharge_W: Floats
    charge_A: Floats  # largest current on the way
    discharge_A: Floats
    charge_reason: Bytes  # index into REASONS
    discharge_reason: Bytes


def power(
    cfg: EstimatorConfig,
    state: EstimateState,
    limits: Sequence[CellLimits],
    horizon_s: float,
    temp_degC: Floats | None = None,
    doubt: float = DOUBT,
    heard: bool = False,
) -> Power:
    """Constant power over the horizon for every cell, the current before having been none.

    limits     per kind of cell; voltages of the recommended level, charge current also by the map over temperature
    temp_degC  (cell,); without it the temperature of the last step
    doubt      sigmas of margin, 0 trusts the estimate
    heard      the voltage of all cells is known, see `promises`
    """
    if temp_degC is not None:
        buffer = copied(state.buffer)
        put(buffer, "in_degC", np.where(np.isfinite(temp_degC), temp_degC, fields(cfg, state)[INDEX["in_degC"]]))
        state = replace(state, buffer=buffer)
    cool, alone, every = np.full(cfg.cells, -np.inf), np.zeros(cfg.cells, np.int64), slice(0, cfg.cells)
    shown, no_heat = (get(cfg, state, "in_v") if heard else None), np.zeros((2, 1))
    (charge, discharge) = promises(cfg, state, limits, horizon_s, cool, no_heat, alone, every, doubt, shown)
    reasons = charge[2].astype(np.int8), discharge[2].astype(np.int8)
    return Power(charge[0], discharge[0], charge[1], discharge[1], *reasons)


def promises(
    cfg: EstimatorConfig, state: EstimateState, limits: Sequence[CellLimits], horizon_s: float, core_degC: Floats,
    heat_A2: Floats, owner: Ints, part: slice, doubt: float = DOUBT, shown: Floats | None = None,
) -> Floats:  # fmt: skip
    """Power (W), largest current (A) and reason of the cells in `part`, (way, 3, cell), of the series group.

    core_degC  (cell,) where above the surface; −inf = take the surface
    heat_A2    (way, string) thermal image, A² of one cell; owner  (cell,) string of each cell
    shown      (cell,) V that the cell showed at the last step: a SOC that contradicts it is no doubt, and what is
               beyond doubt brings the limit nearer; 0 = nothing at that step; NaN = never heard; None = no cell was
    """
    table, pieces = bounds(tuple(cfg.models), tuple(limits), horizon_s)
    out = np.empty((2, 3, part.stop - part.start))
    told = np.full(cfg.cells, np.nan) if shown is None else shown
    if _kernel is None:
        _plain(cfg, state, table, pieces, core_degC, heat_A2[:, owner], told, part, horizon_s, doubt, out)
    else:
        _kernel.promise(
            state.buffer, cfg.tables.node, cfg.tables.rows, cfg.kind, table, pieces, core_degC, heat_A2, owner,
            told, part.start, horizon_s, doubt, out,
        )  # fmt: skip
    out[:, :2] *= cfg.parallel[part]
    if np.count_nonzero(state.unknown[part]):
        out[:, :, state.unknown[part]] = np.array([0.0, 0.0, UNKNOWN])[:, None]
    return out


def fields(cfg: EstimatorConfig, state: EstimateState) -> Floats:
    """All fields of the buffer, (field, cell), a copy."""
    return state.buffer.reshape(-1, FIELDS, LANES).transpose(1, 0, 2).reshape(FIELDS, -1)[:, : cfg.cells]


def _plain(
    cfg: EstimatorConfig, state: EstimateState, table: Floats, pieces: int, core_degC: Floats, heat_A2: Floats,
    shown: Floats, part: slice, horizon_s: float, doubt: float, out: Floats,
) -> None:  # fmt: skip
    """The same as power_kernel.promise, on arrays. heat_A2 (way, cell)."""
    x, at, kind = fields(cfg, state)[:, part], INDEX, cfg.kind[part]
    z_sigma = np.minimum(np.sqrt(np.maximum(x[at["p00"]], 0.0)), MOST_SOC_DOUBT)
    k_sigma = np.sqrt(np.maximum(x[at["p44"]], 0.0))
    row = kind * (table.shape[1] // cfg.tables.kinds)
    for way in range(2):
        out[way] = _NAMES["promise"](
            cfg.tables.node, cfg.tables.rows, kind, table[way], row, pieces, *x[:5], x[at["capacity"]],
            x[at["in_degC"]], core_degC[part], z_sigma, k_sigma, shown[part], x[at["in_i"]] - x[5],
            x[at["strain"]], heat_A2[way, part], 1.0 - 2.0 * way, horizon_s, doubt,
        )  # fmt: skip


def weakest(cells: Floats, owner: Ints, first: int, least: Floats, volts: Floats, cell: Ints, reason: Bytes) -> None:
    """Work promises of cells into those of their strings, in place; a round over all cells begins at (inf, 0, −1, 0).

    cells  (way, 3, cell) from cell `first` on: W, A, reason;  owner  (cell,) string of each cell of the site
    least  (way, string) A that the weakest can do: NaN where one is not known;  cell, reason  which, and why
    volts  (way, string) V: sum over the cells of what each shows at the end of its own promise. At the current of the
           weakest all others stand further from their limits, so that least · volts is never too much
    """
    if _kernel is not None:
        _kernel.weakest(cells, owner, first, least, volts, cell, reason)
        return
    mine = owner[first : first + cells.shape[2]]
    for way, (watts, ampere, why) in enumerate(cells):
        flows = ampere > 0.0
        np.add.at(volts[way], mine, np.where(flows, watts / np.where(flows, ampere, 1.0), 0.0))
        for string in np.unique(mine):
            there = np.flatnonzero(mine == string)
            n = there[np.argmin(np.where(np.isnan(ampere[there]), -np.inf, ampere[there]))]
            if not (ampere[n] >= least[way, string] or np.isnan(least[way, string])):
                least[way, string], cell[way, string], reason[way, string] = ampere[n], first + n, int(why[n])


def image_s(limit: CellLimits, charging: bool) -> float:
    """Time constant of the thermal image, s: from rest the recommended current fills it within PULSE_S."""
    hold, pulse = _currents(limit, charging)
    return PULSE_S / -np.log1p(-min((hold / pulse) ** 2, 1.0 - 1e-12)) if pulse > 0.0 else PULSE_S


def _currents(limit: CellLimits, charging: bool) -> tuple[float, float]:
    """Operating current, and the recommended one where it is more, A."""
    amperes = limit.charge_A if charging else limit.discharge_A
    return float(amperes[0]), float(max(amperes[0], amperes[1]))


@lru_cache(maxsize=64)
def bounds(models: tuple[CellModel, ...], limits: tuple[CellLimits, ...], horizon_s: float) -> tuple[Floats, int]:
    """Lay out what limits mean over one horizon: (way, kind · columns of power_equations), and pieces of the map."""
    points = max(len(limit.charge_map_degC) for limit in limits)
    ways = [
        [_row(model, limit, horizon_s, charging, points) for model, limit in zip(models, limits, strict=True)]
        for charging in (True, False)
    ]
    table = np.array(ways)
    table[..., HEAT_GAIN] = 1.0 / np.maximum(1.0 - table[..., HEAT_LEFT], 1e-9)
    return np.ascontiguousarray(table.reshape(2, -1)), points - 1


def _row(model: CellModel, limit: CellLimits, horizon_s: float, charging: bool, points: int) -> list[float]:
    """One row of columns in the order of power_equations."""
    hot = limit.charge_temp_max_degC if charging else limit.discharge_temp_max_degC
    cold = limit.charge_temp_min_degC if charging else limit.discharge_temp_min_degC
    hold, pulse = _currents(limit, charging)
    free = charging and horizon_s < FULL_BINDS_S
    mapped = [np.inf] + [0.0] * 3 * (points - 1)
    if charging:
        # the map is for long charges; short pulses may reach twice of it, but where it is zero nothing flows
        twice = 2.0 if horizon_s <= PULSE_S else 1.0
        at, ampere = limit.charge_map_degC, twice * limit.charge_map_A
        more = points - len(at)
        begin, wide = np.append(at[:-1], [0.0] * more), np.append(np.maximum(np.diff(at), 1e-9), [1.0] * more)
        pieces = np.stack([begin, 1.0 / wide, np.append(np.diff(ampere), [0.0] * more)], axis=1)
        mapped = [float(ampere[0]), *pieces.reshape(-1)]
    return [
        float((limit.voltage_max if charging else limit.voltage_min)[1]),
        pulse, hold, float(np.exp(-horizon_s / image_s(limit, charging))), np.nan,
        float((limit.charge_A if charging else limit.discharge_A)[2]),
        float(hot[1]), 1.0 / max(hot[1] - hot[0], 1e-6), float(cold[1]), 1.0 / max(cold[0] - cold[1], 1e-6),
        3600.0 / horizon_s if not free else 1e9, 1.0 if free else 0.0,
        impedance(model, horizon_s), *mapped,
    ]  # fmt: skip


def impedance(model: CellModel, horizon_s: float) -> float:
    """How far the core warms within the horizon per watt of steady heat in it, K/W; in still air."""
    core, surface = model.heat_capacity_core, model.heat_capacity_surface
    inner, outer = 1.0 / model.core_to_surface, 1.0 / model.surface_to_ambient
    rates = np.array([[-inner / core, inner / core], [inner / surface, -(inner + outer) / surface]])
    speeds, modes = np.linalg.eig(rates)
    share = np.linalg.solve(modes, np.array([1.0 / core, 0.0]))
    return float((modes[0] * share * np.expm1(speeds * horizon_s) / speeds).sum())
