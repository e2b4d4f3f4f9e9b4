"""Estimators' memory → Estimate: per cell as they say it, per string by the definitions of DESIGN §4.

Pack SOC: Q_d = min zQ is what can come out, Q_c = min (1 − z)Q what can go in, SOC = Q_d/(Q_d + Q_c).
"""

import numpy as np

from cellarer.core import estimate as estimators
from cellarer.core.decide.signals import Look
from cellarer.core.estimate.between import CHANNEL_V, OWN
from cellarer.core.estimate.equations import GAP, SENSOR
from cellarer.core.estimate.fields import PLACES
from cellarer.model.config import Config
from cellarer.model.values import HORIZONS_S, WAYS, Estimate, Floats, renew

try:
    from cellarer.core import kernel as _kernel
except ImportError:  # without numba NumPy does the work
    _kernel = None  # type: ignore[assignment]

UNKNOWN = estimators.REASONS.index("unknown")
CAPACITY, RELATIVE = (estimators.Pairs._fields.index(name) for name in ("capacity", "relative"))
MEAN_S = 300.0  # s: time constant of the mean current behind energy and times


def unknown(config: Config) -> Estimate:
    """Return the estimate before anything is known."""
    cells, strings = np.full(config.layout.size["cell"], np.nan), np.full(config.layout.size["string"], np.nan)
    shape = len(HORIZONS_S), len(WAYS), strings.size
    sop = np.full(shape, np.nan)
    none, why = np.full(shape, -1), np.full(shape, UNKNOWN, np.int8)
    per_cell, per_string = [cells] * 9, [strings] * 11
    return Estimate(*(*per_cell, *per_string, np.full(shape[1:], np.nan), sop, sop, none, why))


def read_out(
    config: Config, tables: estimators.EstimatorConfig, estimator: estimators.EstimateState, before: Estimate
) -> Estimate:
    """Return what the estimators say now."""
    cells, (out, room, doubt, _) = cells_and_strings(config, tables, estimator)
    soc, sigma, scale, capacity, capacity_sigma, model_V, between, scale_sigma = cells
    usable = out + room
    return renew(
        before,
        soc=soc,
        soc_sigma=sigma,
        resistance_scale=scale,
        capacity_Ah=capacity,
        capacity_sigma_Ah=capacity_sigma,
        voltage_model=model_V,
        soc_between_sigma=between,
        resistance_sigma=scale_sigma,
        string_soc=np.minimum(np.maximum(out / usable, 0.0), 1.0),
        string_soc_sigma=doubt,
        usable_Ah=usable,
    )


def cells_and_strings(
    config: Config, tables: estimators.EstimatorConfig, estimator: estimators.EstimateState, plain: bool = False
) -> tuple[Floats, Floats]:
    """Return (8, cell): SOC, sigma, resistance scale, capacity Ah, its sigma, model's voltage, between, scale's sigma.

    between: sigma of SOC against the other cells of the string. And (4, string).

    Of the strings: charge that can come out and go in, Ah, the widest sigma of SOC, the widest variance of charge, Ah².
    plain: by NumPy even where the kernel is there
    """
    layout, pairs = config.layout, estimator.pairs
    if not (plain or _kernel is None):
        cells, strings = np.empty((8, tables.cells)), np.empty((4, layout.yes.size))
        _kernel.read_out(
            estimator.buffer, PLACES, estimator.unknown, tables.parallel, pairs[CAPACITY], pairs[RELATIVE],
            layout.string_of_cell, CHANNEL_V, OWN, SENSOR, GAP, cells, strings,
        )  # fmt: skip
        return cells, strings
    soc, sigma = estimators.soc(tables, estimator), estimators.soc_sigma(tables, estimator)
    capacity = pairs[CAPACITY] * tables.parallel
    capacity_sigma = pairs[CAPACITY] * pairs[RELATIVE] * tables.parallel
    scale, model_V = estimators.resistance_scale(tables, estimator), estimators.voltage_model(tables, estimator)
    charge_sigma, share_sigma = sigma * capacity, soc * capacity_sigma
    doubt = charge_sigma * charge_sigma + share_sigma * share_sigma
    out, room = layout.lowest(soc * capacity), layout.lowest((1.0 - soc) * capacity)
    strings = np.stack([out, room, layout.highest(sigma), layout.highest(doubt)])
    between, scale_sigma = (
        estimators.between_sigma(tables, estimator),
        estimators.resistance_scale_sigma(tables, estimator),
    )
    return np.stack([soc, sigma, scale, capacity, capacity_sigma, model_V, between, scale_sigma]), strings


def read_slow(
    config: Config,
    tables: estimators.EstimatorConfig,
    estimator: estimators.EstimateState,
    said: Estimate,
    look: Look,
    elapsed_s: float,
) -> Estimate:
    """Return `said` with mean current, times and core temperatures anew. elapsed_s: since they were said last."""
    _, (out, room, _, variance) = cells_and_strings(config, tables, estimator)
    voltage, current, idle_A = look.of("cell_voltage"), look.current, config.idle_A
    share = np.exp(-elapsed_s / MEAN_S)
    mean_A = np.where(np.isnan(said.mean_A), current, share * said.mean_A + (1.0 - share) * current)
    mean_A = np.where(np.isnan(current), said.mean_A, mean_A)
    sigma = np.hypot(np.sqrt(variance), np.where(mean_A > 0.0, *said.end_sigma_Ah))
    ways = (out - said.stranded_Ah, -mean_A), (room + said.taper_Ah, mean_A), (sigma, np.abs(mean_A))
    to_empty, to_full, doubt = (hours(charge, flow, idle_A) * 3600.0 for charge, flow in ways)
    return renew(
        said,
        mean_A=mean_A,
        core_degC=estimators.core_temperature(
            tables, estimator, said.core_degC, cell_temps(config, look.seen.value), voltage,
            current[config.layout.string_of_cell], elapsed_s,
        ),
        time_to_empty_s=to_empty,
        time_to_full_s=to_full,
        time_sigma_s=doubt,
    )  # fmt: skip


def cell_temps(config: Config, seen: Floats) -> Floats:
    """Return the temperature of each cell from its sensor, (cell,) degC; NaN where there is none or it is unknown."""
    layout = config.layout
    if not layout.size["temp"]:
        return np.full(layout.size["cell"], np.nan)
    temp = seen[layout.where["temp_degC"]]
    return np.where(layout.temp_of_cell >= 0, temp[layout.temp_of_cell], np.nan)


def hours(charge_Ah: Floats, current: Floats, idle_A: Floats) -> Floats:
    """Return hours until `charge_Ah` is gone at `current`; inf while it does not flow that way, NaN if unknown."""
    moving = current > idle_A
    time = np.maximum(charge_Ah, 0.0) / np.where(moving, current, 1.0)
    return np.where(np.isnan(current), np.nan, np.where(moving, time, np.inf))
