"""Recursive filters over a recording: polarisation currents and hysteresis. Compiled where numba is installed."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LONG_S = 120.0


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        from numba import njit
    except ImportError:
        return function
    return njit(cache=True)(function)


@_compiled
def polarisation(current: Floats, dt: Floats, tau: float) -> Floats:
    """Current through a resistor beside a capacitor; the previous current holds up to 1 s, above it both's mean."""
    out = np.zeros_like(current)
    state = 0.0
    for k in range(1, current.size):
        mean = current[k - 1] if dt[k] <= 1.0 else 0.5 * (current[k - 1] + current[k])
        a = np.exp(-dt[k] / tau)
        if dt[k] > LONG_S and abs(current[k]) < abs(current[k - 1]):
            mean = current[k]  # a row missing for minutes: what it rests with now, it has rested with
        state = a * state + (1.0 - a) * mean
        out[k] = state
    return out


@_compiled
def hysteresis(current: Floats, dt: Floats, rate: float, capacity_Ah: float, start: float) -> Floats:
    """One-state hysteresis in −1 … 1."""
    out = np.empty_like(current)
    h = start
    out[0] = h
    for k in range(1, current.size):
        mean = current[k - 1] if dt[k] <= 1.0 else 0.5 * (current[k - 1] + current[k])
        a = np.exp(-rate * abs(mean) * dt[k] / (3600.0 * capacity_Ah))
        h = a * h + (1.0 - a) * np.sign(mean)
        out[k] = h
    return out
