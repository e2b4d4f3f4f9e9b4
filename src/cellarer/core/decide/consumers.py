"""What a pack feeds itself: its heater, flow, chiller and control, where the site says that they hang behind it."""

from functools import lru_cache

import numpy as np

from cellarer.core.decide.look import carrying
from cellarer.model.config import Config
from cellarer.model.values import Floats, Switches

FLOW_ALONE = 0.5  # 1: of the order, where there is a chiller
LEAST_COP = 2.0  # of a chiller on a hot day (facts: 2 to 4)


def fed_A(config: Config, heater: Floats, pump: Floats) -> Floats:
    """Return what heater, flow, chiller and control take at most out of a pack that feeds them, (pack,) A.

    heater, pump  (pack,) orders 0…1
    """
    table = config.climate
    chill_W = table.chiller_W / LEAST_COP * np.maximum(pump - FLOW_ALONE, 0.0) / (1.0 - FLOW_ALONE)
    return (table.heater_W * heater + table.flow_W * pump + chill_W + table.rest_W) * _per_V(config)


def fed_by(config: Config, switches: Switches, ampere: Floats) -> Floats:
    """Return the share of each string that is connected in what its pack feeds, (string,) A. ampere (pack,)."""
    may = carrying(config, switches)[1]
    count = np.maximum(np.add.reduceat(may.astype(np.float64), config.layout.first_string), 1.0)
    return np.where(may, (ampere / count)[config.layout.pack_of_string], 0.0)


@lru_cache(maxsize=16)
def feeds(config: Config) -> bool:
    """Return whether any pack feeds its heater, flow, chiller and control itself."""
    return bool(config.climate.behind.any())


@lru_cache(maxsize=16)
def _per_V(config: Config) -> Floats:
    """Return one over the least voltage at which a pack still feeds what is its own, (pack,) 1/V; 0 = it feeds none."""
    least_V = np.minimum.reduceat(config.series * config.limits.discharge_V, config.layout.first_string)
    return np.where(config.climate.behind, 1.0 / least_V, 0.0)
