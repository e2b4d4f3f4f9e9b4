"""What would make SOC better known, and in words: one place for reports, console and page."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ACTIONS = ("rest", "above", "below", "full")


@dataclass(frozen=True, slots=True, eq=False)
class Advised:
    """What would make SOC of the least known cell of a string better known; (string,) unless said."""

    minutes: Floats  # (action, string) at rest or beyond the voltage; actions of ACTIONS
    voltage_V: Floats  # (action, string)
    promised: Floats  # (action, string) sigma of SOC then; NaN = not worth it, or not known
    sigma: Floats  # of SOC when it was asked
    cell: Ints  # which; -1 = none
    asked_ns: Ints  # NEVER before the first time


def words(action: str, minutes: float, voltage_V: float, sigma: float, promised: float) -> str:
    """Say an advice. minutes: of rest or beyond voltage_V; sigma, promised: of SOC now and then, fractions."""
    where = {
        "rest": f"a rest of {minutes:.0f} min",
        "above": f"{minutes:.0f} min above {voltage_V:.2f} V",
        "below": f"{minutes:.0f} min below {voltage_V:.2f} V",
        "full": "a full charge",
    }
    return f"{where[action]} narrows SOC from ±{100 * sigma:.1f} to ±{100 * promised:.1f} %"
