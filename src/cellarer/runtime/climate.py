"""The thermal planner over time: remembers a day of weather, and asks `plan.thermal` again when its advice is old.

Tomorrow is taken to be as the last day was, shifted by how much warmer it is now. Hours that were not seen are as now.
"""

import numpy as np
from numpy.typing import NDArray

from cellarer.model.config import Config
from cellarer.model.values import NEVER, State
from cellarer.plan import thermal

Floats = NDArray[np.float64]

DAY_NS = 86_400_000_000_000
AGAIN_NS = thermal.SLOT_NS * 2 // 3  # asked before it expires: no cycle in between falls back to the rules


class Climate:
    """Weather of the last day and the advice in force."""

    def __init__(self, config: Config) -> None:
        packs = config.layout.size["pack"]
        self.config = config
        self.has_hardware = bool(config.heater.any() or config.cooler.any())
        self.seen = np.full((packs, thermal.STEPS), np.nan)  # degC by time of day
        unknown = np.full(packs, np.nan)
        self.advice = thermal.Advice(NEVER, unknown, unknown)
        self.asked_ns = NEVER

    def __call__(self, state: State) -> thermal.Advice:
        """Return the advice in force after this state."""
        now_ns = state.time_ns
        if not self.has_hardware or now_ns == NEVER:
            return self.advice
        slot = self._slot(now_ns)
        ambient = state.seen.value[self.config.layout.where["ambient_degC"]]
        forecast = self.forecast(slot, ambient)  # before today's value takes the place of yesterday's
        if self.asked_ns == NEVER or now_ns - self.asked_ns >= AGAIN_NS:
            self.asked_ns = now_ns
            self.advice = thermal.advise(self.config, state, forecast)
        self.seen[:, slot] = np.where(np.isnan(ambient), self.seen[:, slot], ambient)
        return self.advice

    def forecast(self, slot: int, ambient_degC: Floats) -> Floats:
        """Return the next day around each pack, (pack, step) degC. ambient_degC (pack,) now; NaN stays NaN."""
        yesterday = np.roll(self.seen, -slot, axis=1)
        then = np.where(np.isnan(yesterday[:, :1]), ambient_degC[:, None], yesterday[:, :1])
        return np.where(np.isnan(yesterday), ambient_degC[:, None], yesterday + (ambient_degC[:, None] - then))

    @staticmethod
    def _slot(now_ns: int) -> int:
        return int(now_ns % DAY_NS * thermal.STEPS // DAY_NS)
