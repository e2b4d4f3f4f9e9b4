"""Estimators' memory → Estimate: per cell as they say it, per string by the definitions of DESIGN §4.

Pack SOC: Q_d = min zQ is what can come out, Q_c = min (1 − z)Q what can go in, SOC = Q_d/(Q_d + Q_c).
"""

from dataclasses import replace

import numpy as np

from cellarer.core import estimate as estimators
from cellarer.core.decide.signals import Look
from cellarer.model.config import Config
from cellarer.model.values import HORIZONS_S, WAYS, Estimate, Floats

UNKNOWN = estimators.REASONS.index("unknown")
MEAN_S = 300.0  # s: time constant of the mean current behind energy and times


def unknown(config: Config) -> Estimate:
    """Return the estimate before anything is known."""
    cells, strings = np.full(config.layout.size["cell"], np.nan), np.full(config.layout.size["string"], np.nan)
    shape = len(HORIZONS_S), len(WAYS), strings.size
    sop = np.full(shape, np.nan)
    none, why = np.full(shape, -1), np.full(shape, UNKNOWN, np.int8)
    per_cell, per_string = [cells] * 7, [strings] * 9
    return Estimate(*(*per_cell, *per_string, sop, sop, none, why))


def read_out(
    config: Config,
    tables: estimators.EstimatorConfig,
    estimator: estimators.EstimateState,
    before: Estimate,
    look: Look,
    power_s: float | None,
) -> Estimate:
    """Return what the estimators say now. power_s: seconds since mean current and core were due; None = not due."""
    layout = config.layout
    soc, sigma = estimators.soc(tables, estimator), estimators.soc_sigma(tables, estimator)
    capacity = estimators.capacity_Ah(tables, estimator)
    out, room = layout.lowest(soc * capacity), layout.lowest((1.0 - soc) * capacity)
    usable = out + room
    said = replace(
        before,
        soc=soc,
        soc_sigma=sigma,
        resistance_scale=estimators.resistance_scale(tables, estimator),
        capacity_Ah=capacity,
        capacity_sigma_Ah=estimators.capacity_sigma_Ah(tables, estimator),
        voltage_model=estimators.voltage_model(tables, estimator),
        string_soc=np.minimum(np.maximum(out / usable, 0.0), 1.0),
        string_soc_sigma=layout.highest(sigma),
        usable_Ah=usable,
    )
    return said if power_s is None else _slow(config, tables, estimator, said, look, power_s, (out, room))


def _slow(
    config: Config,
    tables: estimators.EstimatorConfig,
    estimator: estimators.EstimateState,
    said: Estimate,
    look: Look,
    power_s: float,
    charge_Ah: tuple[Floats, Floats],
) -> Estimate:
    """Add mean current, times and core temperatures."""
    layout, owner = config.layout, config.layout.string_of_cell
    voltage, current = look.of("cell_voltage"), look.current
    share = np.exp(-power_s / MEAN_S)
    mean_A = np.where(np.isnan(said.mean_A), current, share * said.mean_A + (1.0 - share) * current)
    mean_A = np.where(np.isnan(current), said.mean_A, mean_A)
    out, room = charge_Ah
    to_empty_s, to_full_s = (hours(x, i, config.idle_A) * 3600.0 for x, i in ((out, -mean_A), (room, mean_A)))
    doubt_Ah = layout.highest(np.hypot(said.soc_sigma * said.capacity_Ah, said.soc * said.capacity_sigma_Ah))
    return replace(
        said,
        mean_A=mean_A,
        core_degC=estimators.core_temperature(
            tables, estimator, said.core_degC, cell_temps(config, look.seen.value), voltage, current[owner], power_s
        ),
        time_to_empty_s=to_empty_s,
        time_to_full_s=to_full_s,
        time_sigma_s=hours(doubt_Ah, np.abs(mean_A), config.idle_A) * 3600.0,
    )


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
