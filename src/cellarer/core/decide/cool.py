"""Pump, fan and heater by rules that are safe by themselves: cool from the warm limit on, heat only what is too cold.

Unknown temperature: cooling on, heating off. A plan may ask for more heat while it is valid, never on a warm string.
"""

import numpy as np

from cellarer.core.decide.limit import fade
from cellarer.core.decide.signals import Look
from cellarer.model.values import Floats, Plan

HEAT_BAND_K = 5.0  # K above the cold limit where heating ends


def cool(look: Look, plan: Plan) -> tuple[Floats, Floats]:
    """Return (heater, pump), (pack,) fractions 0…1."""
    config, layout, table = look.config, look.config.layout, look.config.limits
    none = np.zeros(layout.size["pack"])
    if not (np.count_nonzero(config.heater) or np.count_nonzero(config.cooler)):
        return none, none
    hot, cold = look.extremes[2:]
    warm = 1.0 - fade(hot, table.charge_warm_degC - HEAT_BAND_K, table.charge_hot_degC)
    needed = cold < table.charge_cold_degC + HEAT_BAND_K
    pump = np.maximum.reduceat(warm, layout.first_string)
    planned = (plan.expires_ns > look.now_ns) & (cold < plan.preheat_degC[layout.pack_of_string])
    heater = layout.pack_any(needed | planned) & layout.pack_all(hot < table.charge_warm_degC)
    return np.where(config.heater, heater, 0.0).astype(np.float64), np.where(config.cooler, pump, 0.0)
