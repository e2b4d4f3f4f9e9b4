"""The fuse of each string: heats with the square of the current, cools with its time constant, melts for ever."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellarer.model.config import Config

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

RATING = 1.6  # of the largest rated current of the string
COOLING_S = 30.0  # at 5 times its rating it melts after about 1.2 s, as a slow gPV fuse does


@dataclass(slots=True)
class Fuse:
    """State of all fuses; (string,)."""

    rated_A: Floats
    heat: Floats  # 1 = melts
    blown: Bools

    def melts_s(self, current: Floats) -> float:
        """Return when the first fuse melts at this current, s; inf = never. current (string,) A."""
        rest = (current / self.rated_A) ** 2
        if rest.max() <= 1.0:
            return float("inf")
        with np.errstate(divide="ignore", invalid="ignore"):
            left = COOLING_S * np.log((rest - self.heat) / (rest - 1.0))
        return float(np.where((rest > 1.0) & ~self.blown, left, np.inf).min())

    def step(self, current: Floats, h: float) -> None:
        """Heat for h seconds. current (string,) mean A."""
        rest = (current / self.rated_A) ** 2
        self.heat = rest + (self.heat - rest) * np.exp(-h / COOLING_S)
        self.blown = self.blown | (self.heat >= 1.0)


def fuse(config: Config) -> Fuse:
    """Return cold fuses."""
    rated = RATING * np.maximum(config.limits.rated_charge_A, config.limits.rated_discharge_A)
    return Fuse(rated, np.zeros(rated.size), np.zeros(rated.size, bool))
