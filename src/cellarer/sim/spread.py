"""What makes no two cells equal: capacity, resistance, charge and history of every member, drawn once by seed.

Each pack draws from its own generators, so a pack is the same alone and among others. Capacity and resistance are
correlated (large cells have low resistance, −0.4: J. Energy Storage papers on parallel strings give −0.3 … −0.5).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CORRELATION = -0.4
GREATEST = 3.0  # deviations beyond this many sigma are sorted out by the cell maker
LEAK_SPREAD = 0.5  # self-discharge varies by a factor exp(±0.5)
RESISTANCE, CAPACITY, CHARGE, LEAK, HISTORY = range(5)  # purposes, one generator each


class Spread(NamedTuple):
    """Factors and offsets of every member of one pack; (member,)."""

    capacity: Floats  # 1
    resistance: Floats  # 1
    soc: Floats  # added
    leak: Floats  # 1
    hysteresis: Floats  # −1 … 1, one value for the whole pack


def draw(seed: int, pack: int, n: int, capacity: float, resistance: float, soc: float) -> Spread:
    """Draw the members of a pack; capacity, resistance, soc are the relative or absolute standard deviations."""

    def normal(purpose: int) -> Floats:
        numbers = np.random.default_rng([seed, pack, purpose]).standard_normal(n)
        return np.clip(numbers, -GREATEST, GREATEST)

    size, ohm = normal(CAPACITY), normal(RESISTANCE)
    ohm = CORRELATION * size + np.sqrt(1.0 - CORRELATION**2) * ohm
    branch = np.random.default_rng([seed, pack, HISTORY]).uniform(-1.0, 1.0)
    return Spread(
        capacity=1.0 + capacity * size,
        resistance=np.exp(resistance * ohm),
        soc=soc * normal(CHARGE),
        leak=np.exp(LEAK_SPREAD * normal(LEAK)),
        hysteresis=np.full(n, branch),
    )
