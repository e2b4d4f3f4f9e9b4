"""Electrical behaviour of every single cell: two polarisations, hysteresis, exchange current, self-discharge.

A step is solved in two halves. `begin` gives each member as a source behind a resistor that stand for its MEAN over the
step at constant current; `finish` moves the state with the current that the circuit found. Polarisation and hysteresis
move by exact exponentials, the slope of the OCV enters the resistor (trapezoid), so 60 s are as stable as 1 ms and
volts times amperes times seconds is the energy that went through the terminals.
Member = one cell; a group is `parallel` members in parallel. + charges. Does not know groups: that is `groups.py`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellarer.sim.tables import Looked, Tables, look, look_temp

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MONTH_S = 30.44 * 86400.0
KELVIN = 273.15
CURVE_TRIES = 6  # times that resistance may follow a jump of the current within a step …
FOLLOWED = 0.005  # … until it changes by less than this share
CURVED_A = 1e6  # exchange currents beyond this change nothing
LEAK_DEGC = 85.0  # self-discharge grows no more from here on: what comes then is `runaway.py`


@dataclass(slots=True)
class Cells:
    """State and parameters of all members; every array is (member,)."""

    tables: Tables
    kind: Ints
    capacity: Floats  # A·s
    ohm: Floats  # 1: factor on all resistances of the table
    exchange: Floats  # 1: factor on the exchange current
    hysteresis_rate: Floats  # 1
    leak_A: Floats  # self-discharge at 25 degC
    soc: Floats  # 1
    i1: Floats  # A through R1
    i2: Floats
    hysteresis: Floats  # −1 … 1
    current: Floats  # A, mean of the last step
    looked: Looked
    emf_add: Floats  # V added by faults
    curved: bool = True  # some resistance depends on current
    pace: "Pace | None" = None

    def begin(self, h: float, core_degC: Floats) -> "Step":
        """Return every member as source and resistor for the mean of the next h seconds."""
        at = self.looked
        if self.pace is None or self.pace.h != h or self.pace.core_degC is not core_degC:
            self.pace = self._pace(h, core_degC)
        e1, e2, m1, m2 = self.pace.e1, self.pace.e2, self.pace.m1, self.pace.m2
        r0 = at.r0 * self.ohm * exchange_factor(self.current, self.pace.exchange)
        r1, r2 = at.r1 * self.ohm, at.r2 * self.ohm
        rise = 0.5 * h * np.maximum(at.slope, 0.0) / self.capacity
        emf = at.ocv + self.emf_add + at.hysteresis * self.hysteresis + r1 * m1 * self.i1 + r2 * m2 * self.i2
        return Step(emf, r0 + r1 * (1.0 - m1) + r2 * (1.0 - m2) + rise, rise, e1, e2, r0)

    def follow(self, step: "Step", current: Floats) -> bool:
        """Let resistance follow a jump of the current; return whether it had to change by less than FOLLOWED."""
        if not self.curved or self.pace is None:
            return True
        left = exchange_factor(current, self.pace.exchange)
        near = bool(np.abs(left * self.looked.r0 * self.ohm - step.r0).max() <= FOLLOWED * step.r0.max())
        self.current = current
        return near

    def _pace(self, h: float, core_degC: Floats) -> "Pace":
        tau1, tau2, exchange = look_temp(self.tables, self.kind, core_degC)
        e1, e2 = np.exp(-h / tau1), np.exp(-h / tau2)
        return Pace(h, core_degC, e1, e2, (1.0 - e1) * tau1 / h, (1.0 - e2) * tau2 / h, exchange * self.exchange)

    def finish(self, step: "Step", current: Floats, h: float, core_degC: Floats) -> Floats:
        """Move the state by h seconds of constant current; return the heat of each member, W."""
        at = self.looked
        leak = self.leak_A * np.exp2((np.minimum(core_degC, LEAK_DEGC) - 25.0) / 10.0)
        ocv_mean = at.ocv + step.rise * current
        lost = current * (step.emf - self.emf_add + step.ohm * current - ocv_mean)
        reversible = current * (core_degC + KELVIN) * at.entropy
        moved = np.abs(current) * (h / self.capacity)
        fall = np.exp(-self.hysteresis_rate * moved)
        self.hysteresis = self.hysteresis * fall + (1.0 - fall) * np.sign(current)
        self.i1 = step.e1 * self.i1 + (1.0 - step.e1) * current
        self.i2 = step.e2 * self.i2 + (1.0 - step.e2) * current
        self.soc = self.soc + (current - leak) * (h / self.capacity)
        self.current = current
        return np.asarray(lost + reversible + leak * at.ocv)

    def refresh(self, core_degC: Floats) -> None:
        """Look the tables up for the present SOC and temperature."""
        self.looked = look(self.tables, self.kind, self.soc, core_degC)

    def now(self, step: "Step") -> tuple[Floats, Floats]:
        """Return every member as source and series resistor at this instant (after `refresh`)."""
        at = self.looked
        polarised = (at.r1 * self.i1 + at.r2 * self.i2) * self.ohm
        return at.ocv + self.emf_add + at.hysteresis * self.hysteresis + polarised, step.r0


@dataclass(slots=True)
class Pace:
    """What depends on step and temperature alone, kept while both stand; every array is (member,)."""

    h: float
    core_degC: Floats
    e1: Floats  # what is left of polarisation 1 after the step
    e2: Floats
    m1: Floats  # share of the old polarisation in the mean over the step
    m2: Floats
    exchange: Floats  # A


@dataclass(slots=True)
class Step:
    """A step between `begin` and `finish`; every array is (member,)."""

    emf: Floats  # V, mean source
    ohm: Floats  # mean resistance
    rise: Floats  # ohm: part of it that is the rise of the OCV
    e1: Floats  # what is left of polarisation 1 after the step
    e2: Floats
    r0: Floats  # series resistance alone


def exchange_factor(current: Floats, exchange_A: Floats) -> Floats:
    """Return how much of the series resistance is left at this current: asinh(x)/x with x = |i|/exchange_A.

    The current is that of the step before, or of the last try within the step (`Cells.follow`). That converges:
    i ← ΔV/(r·f(i)) contracts, because i·f(i) rises with i. Source: Butler-Volmer, equal transfer coefficients.
    """
    x = np.maximum(np.abs(current) / exchange_A, 1e-6)
    return np.asarray(np.arcsinh(x) / x)
