"""Strings, switchgear and DC link: one capacitor per bus, charged by strings, leaking, fed or drained.

C·v' = Σ g·(E − v) − G·v + I is linear, so the voltage at the end and the mean over a step are exact for any step: the
precharge curve comes out right at 1 ms and at 60 s alike. Strings that pass one direction only are solved by taking
out those whose current would run backwards, at most as often as needed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

TRIES = 4


@dataclass(slots=True)
class Link:
    """The DC link of every bus; (bus,)."""

    bus_of_string: Ints  # (string,) rising
    volts: Floats
    farad: Floats
    leak_S: Floats

    def fold(self, x: Floats | Bools) -> Floats:
        """Sum strings, (bus,). x (string,)."""
        return np.bincount(self.bus_of_string, x, self.volts.size).astype(np.float64)

    def spread(self, x: Floats) -> Floats:
        """Give every string its bus's value, (string,)."""
        return np.asarray(x[self.bus_of_string])


@dataclass(frozen=True, slots=True)
class Flow:
    """Currents of one step."""

    mean_A: Floats  # (string,) + charges
    end_A: Floats  # (string,) at the end of the step
    volts: Floats  # (bus,) at the end
    mean_volts: Floats  # (bus,)
    conductance: Floats  # (string,) of the path that was used


def solve(
    link: Link, emf: Floats, conductance: Floats, may_charge: Bools, may_discharge: Bools,
    source_A: Floats, shunt_S: Floats, h: float,
) -> Flow:  # fmt: skip
    """Solve all buses for h seconds.

    emf, conductance (string,) source of the string and its path to the link, 0 S = open; source_A (bus,) A that load
    or charger put into the link (+ charges); shunt_S (bus,) further conductance across the link.
    """
    g = conductance
    for _ in range(TRIES):
        flow = _linear(link, emf, g, source_A, shunt_S, h)
        wrong = ((flow.mean_A > 0.0) & ~may_charge) | ((flow.mean_A < 0.0) & ~may_discharge)
        if not wrong.any():
            return flow
        g = np.where(wrong, 0.0, g)
    return flow


def _linear(link: Link, emf: Floats, g: Floats, source_A: Floats, shunt_S: Floats, h: float) -> Flow:
    total = link.fold(g) + link.leak_S + shunt_S
    rest = (link.fold(g * emf) + source_A) / total
    times = h * total / link.farad
    left = np.exp(-times)
    mean_left = -np.expm1(-times) / np.maximum(times, 1e-300)
    volts = rest + (link.volts - rest) * left
    mean = rest + (link.volts - rest) * mean_left
    return Flow(g * (link.spread(mean) - emf), g * (link.spread(volts) - emf), volts, mean, g)
