"""What a cell does that gets far too hot: it heats itself, loses its voltage, vents, and heats its neighbours.

One reaction per chemistry, its speed doubling every ten kelvins, its heat bounded: enough for the course of events
(onset, slow self-heating, runaway, propagation by conduction), not for the chemistry of an abuse test. Orders of
magnitude: accelerating-rate calorimetry of common cells; own estimates.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOT_DEGC = 80.0  # below it nothing is worked out
SLOW_PER_S, FAST_PER_S = 0.002, 0.3  # share of the reaction per second at the reference temperature; the most
COLLAPSE = 5.0  # the voltage is gone when a fifth has reacted
VENT = 0.03  # gas is seen from this share on


class Reaction(NamedTuple):
    """Reference temperature, and what the whole reaction would heat an isolated cell by."""

    at_degC: float
    rise_K: float


REACTIONS = {"LFP": Reaction(190.0, 250.0), "LTO": Reaction(200.0, 200.0)}
OTHER = Reaction(160.0, 600.0)


@dataclass(slots=True)
class Runaway:
    """How far the reaction has come; (member,)."""

    at_degC: Floats
    rise_K: Floats
    joule_per_K: Floats
    done: Floats  # 0 … 1

    def heat_W(self, core_degC: Floats, h: float) -> Floats | None:
        """Let h seconds pass; return the heat of the reaction, None where nothing is hot."""
        if core_degC.max() < HOT_DEGC:
            return None
        warmer = np.minimum((core_degC - self.at_degC) / 10.0, 10.0)
        rate = np.minimum(SLOW_PER_S * np.exp2(warmer), FAST_PER_S)
        rate = np.where(core_degC >= HOT_DEGC, rate, 0.0)
        step = (1.0 - self.done) * -np.expm1(-rate * h)
        self.done = self.done + step
        return np.asarray(step * self.rise_K * self.joule_per_K / h)

    def lost_V(self, ocv: Floats) -> Floats:
        """Return by how much the voltage has collapsed, (member,)."""
        return np.asarray(ocv * np.minimum(self.done * COLLAPSE, 0.95))


def runaway(chemistry: list[str], kind: Ints, joule_per_K: Floats) -> Runaway:
    """Return sound cells. chemistry by kind."""
    rows = np.array([REACTIONS.get(name, OTHER) for name in chemistry])[kind]
    return Runaway(rows[:, 0], rows[:, 1], joule_per_K, np.zeros(kind.size))
