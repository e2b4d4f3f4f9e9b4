"""Estimators' memory → Estimate: per cell as they say it, per string by the definitions of DESIGN §4.

Pack SOC: Q_d = min zQ is what can come out, Q_c = min (1 − z)Q what can go in, SOC = Q_d/(Q_d + Q_c).
"""

import numpy as np

from cellarer.core import estimate as estimators
from cellarer.core.decide.limit import pack_voltage
from cellarer.core.decide.signals import Look
from cellarer.model.config import Config
from cellarer.model.values import Estimate, Floats


def unknown(config: Config) -> Estimate:
    """Return the estimate before anything is known."""
    cells, strings = np.full(config.layout.size["cell"], np.nan), np.full(config.layout.size["string"], np.nan)
    return Estimate(*([cells] * 7), *([strings] * 8))


def read_out(
    config: Config,
    tables: estimators.EstimatorConfig,
    estimator: estimators.EstimateState,
    before: Estimate,
    look: Look,
    power_due: bool,
) -> Estimate:
    """Return what the estimators say now; power is carried over unless it is due."""
    layout = config.layout
    soc, sigma = estimators.soc(tables, estimator), estimators.soc_sigma(tables, estimator)
    capacity = estimators.capacity_Ah(tables, estimator)
    out, room = layout.lowest(soc * capacity), layout.lowest((1.0 - soc) * capacity)
    usable = out + room
    voltage = pack_voltage(look)
    energy = np.maximum(out, 0.0) * voltage
    current = look.watch.current
    string_sigma = layout.highest(sigma)
    return Estimate(
        soc=soc,
        soc_sigma=sigma,
        resistance_scale=estimators.resistance_scale(tables, estimator),
        capacity_Ah=capacity,
        capacity_sigma_Ah=estimators.capacity_sigma_Ah(tables, estimator),
        voltage_model=estimators.voltage_model(tables, estimator),
        core_degC=np.full(soc.shape, np.nan),
        string_soc=np.minimum(np.maximum(out / usable, 0.0), 1.0),
        string_soc_sigma=string_sigma,
        usable_Ah=usable,
        energy_Wh=energy,
        charge_10s_W=before.charge_10s_W,
        discharge_10s_W=before.discharge_10s_W,
        time_to_empty_s=hours(out, -current, config.idle_A) * 3600.0,
        time_to_full_s=hours(room, current, config.idle_A) * 3600.0,
    )


def hours(charge_Ah: Floats, current: Floats, idle_A: float) -> Floats:
    """Return hours until `charge_Ah` is gone at `current`; inf while it does not flow that way, NaN if unknown."""
    moving = current > idle_A
    time = np.maximum(charge_Ah, 0.0) / np.where(moving, current, 1.0)
    return np.where(np.isnan(current), np.nan, np.where(moving, time, np.inf))
