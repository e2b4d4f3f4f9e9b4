"""Injecting faults of the catalogue: when, how (step, ramp, intermittent), where, how much.

Each step turns all knobs back to neutral and then turns those of the faults in force, so two faults at once and the
end of an intermittent one need no bookkeeping. What only wires or the computer can do is kept for them: `asked`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cellarer.model.quantities import BY_NAME as SIGNALS
from cellarer.sim.catalogue import BY_NAME, Effect, Fault

if TYPE_CHECKING:
    from cellarer.sim.plant import Plant

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SHAPES = ("step", "ramp", "intermittent")
RAMP_STEP_NS, RAMP_STEPS = 100_000_000, 100  # ramp: ten seconds
ON_OFF_S = 0.8, 1.2  # s, intermittent
NEVER_NS = 2**62


@dataclass(frozen=True, slots=True)
class Turn:
    """One knob, where, and how far."""

    knob: str
    index: Ints
    size: float


@dataclass(slots=True)
class Injection:
    """A fault that was ordered."""

    fault: Fault
    string: int
    cell: int  # index over all cells
    size: float
    start_ns: int
    shape: str
    turns: tuple[Turn, ...]
    on_ns: int  # of an intermittent one: so long it is there …
    period_ns: int  # … in every so long
    acted: bool = False

    def share(self, time_ns: int) -> float:
        """Return how far the fault is there, 0…1."""
        since = time_ns - self.start_ns
        if since < 0:
            return 0.0
        if self.shape == "ramp":
            return min(1.0, (since // RAMP_STEP_NS + 1) / RAMP_STEPS)
        return 1.0 if self.shape == "step" or since % self.period_ns < self.on_ns else 0.0

    def next_ns(self, time_ns: int) -> int:
        """Return how long the share stays as it is; NEVER_NS = for ever."""
        since = time_ns - self.start_ns
        if since < 0:
            return -since
        if self.shape == "ramp" and since < RAMP_STEP_NS * RAMP_STEPS:
            return RAMP_STEP_NS - since % RAMP_STEP_NS
        if self.shape == "intermittent":
            phase = since % self.period_ns
            return (self.on_ns if phase < self.on_ns else self.period_ns) - phase
        return NEVER_NS


class Injections:
    """All faults ordered from one plant."""

    def __init__(self, plant: "Plant") -> None:
        self.plant = plant
        self.all: list[Injection] = []
        self.shares: list[float] = []

    def add(
        self, name: str, string: int, cell: int, size: float | None, start_s: float, shape: str,
        on_off_s: tuple[float, float] = ON_OFF_S,
    ) -> None:  # fmt: skip
        """Order a fault; see `Plant.inject`."""
        fault = BY_NAME.get(name)
        layout = self.plant.layout
        if fault is None:
            raise ValueError(f"no fault {name!r} in the catalogue; there are: {', '.join(BY_NAME)}")
        if shape not in SHAPES:
            raise ValueError(f"fault {name}: shape = {shape!r}, allowed: {', '.join(SHAPES)}")
        if not 0 <= string < layout.size["string"]:
            raise ValueError(f"fault {name}: string = {string}, allowed: 0 to {layout.size['string'] - 1}")
        first, n = int(layout.first_cell[string]), int((layout.string_of_cell == string).sum())
        if not 0 <= cell < n:
            raise ValueError(f"fault {name}: cell = {cell}, allowed: 0 to {n - 1} in string {string}")
        size = fault.size if size is None else float(size)
        turns = tuple(self._turn(fault, effect, string, first + cell, size) for effect in fault.effects)
        on_ns, off_ns = (round(s * 1e9) for s in on_off_s)
        if shape == "intermittent" and min(on_ns, off_ns) <= 0:
            raise ValueError(f"fault {name}: on_off_s = {on_off_s}, both must be above 0")
        start_ns = round(start_s * 1e9)
        self.all.append(Injection(fault, string, first + cell, size, start_ns, shape, turns, on_ns, on_ns + off_ns))
        self.shares.append(-1.0)

    def end(self) -> None:
        """End all faults; what they did (welds, burnt resistors, charge lost) stays."""
        self.all.clear()
        self.shares = []
        self.plant.knobs.reset()
        self.hand_on()

    def asked(self, name: str, string: int = 0) -> float:
        """Return the size of a fault that wires or computer have to carry out, 0 = not now."""
        if name not in BY_NAME:
            raise ValueError(f"no fault {name!r} in the catalogue; there are: {', '.join(BY_NAME)}")
        now = self.plant.time_ns
        sizes = [i.size * i.share(now) for i in self.all if i.fault.name == name and i.string == string]
        return max(sizes, key=abs, default=0.0)

    def next_ns(self, time_ns: int) -> int:
        """Return how long no fault changes."""
        return min((i.next_ns(time_ns) for i in self.all), default=NEVER_NS)

    def apply(self, time_ns: int) -> None:
        """Turn the knobs for this moment."""
        if not self.all:
            return
        shares = [injection.share(time_ns) for injection in self.all]
        if shares == self.shares:
            return
        knobs = self.plant.knobs
        self.shares = shares
        knobs.reset()
        for injection, share in zip(self.all, shares, strict=True):
            for turn in injection.turns:
                knobs.turn(turn.knob, turn.index, turn.size, share)
            if injection.fault.act and share > 0.0 and not injection.acted:
                ACTS[injection.fault.act](self.plant, injection)
                injection.acted = True
        self.hand_on()

    def hand_on(self) -> None:
        """Give the cells their parameters as the knobs now stand."""
        plant, knobs, fixed = self.plant, self.plant.knobs, self.plant.fixed
        spread = plant.groups.spread
        plant.cells.capacity = fixed.capacity * spread(knobs["capacity"])
        plant.cells.ohm = fixed.ohm * spread(knobs["resistance"])
        plant.cells.leak_A = fixed.leak_A * spread(knobs["leak"])
        plant.emf_faults = np.array(spread(knobs["emf"]))
        plant.cells.emf_add = plant.emf_faults - plant.runaway.lost_V(plant.cells.looked.ocv)

    def _turn(self, fault: Fault, effect: Effect, string: int, cell: int, size: float) -> Turn:
        given = effect.of(size) * self._scale(effect.scale, string, cell)
        if effect.signal:
            return Turn(effect.knob, self._signal(effect, string, cell), given)
        return Turn(effect.knob, self._place(effect.place, string, cell), given)

    def _scale(self, scale: str, string: int, cell: int) -> float:
        fixed, plant = self.plant.fixed, self.plant
        match scale:
            case "":
                return 1.0
            case "rated_A":
                return float(fixed.nominal_A[string])
            case "string_V":
                return float(fixed.nominal_V[string])
            case "cell_V":
                return float(fixed.nominal_V[string] / (plant.layout.string_of_cell == string).sum())
            case "cell_ohm":
                return float(plant.config.cell_ohm[cell])
            case "J_per_K":
                joules = plant.groups.fold(plant.heat.core_J_per_K + plant.heat.surface_J_per_K)
                return float(joules[cell])
        raise ValueError(f"unknown scale {scale!r} in the fault catalogue")

    def _place(self, place: str, string: int, cell: int) -> Ints:
        layout = self.plant.layout
        match place:
            case "cell":
                return np.array([cell])
            case "cells":
                return np.flatnonzero(layout.string_of_cell == string)
            case "sensed":
                sensor = layout.temp_of_cell[cell]
                return np.flatnonzero(layout.temp_of_cell == sensor) if sensor >= 0 else np.array([cell])
            case "temp":
                return np.array([max(int(layout.temp_of_cell[cell]), 0)])
            case "string":
                return np.array([string])
            case "pack":
                return np.array([layout.pack_of_string[string]])
            case "bus":
                return np.array([self.plant.link.bus_of_string[string]])
        raise ValueError(f"unknown place {place!r} in the fault catalogue")

    def _signal(self, effect: Effect, string: int, cell: int) -> Ints:
        """Return the flat places of a signal that belong to the target."""
        layout = self.plant.layout
        names = list(layout.where) if effect.signal == "*" else [effect.signal]
        pack = int(layout.pack_of_string[string])
        found = []
        for name in names:
            start, axis = layout.where[name].start, SIGNALS[name].axis
            if axis == "cell":
                part = self._place("cell" if effect.place == "cell" else "cells", string, cell)
            elif axis == "temp" and effect.place == "cell":
                part = self._place("temp", string, cell)
            elif axis == "temp":
                part = np.flatnonzero(layout.string_of_temp == string)
            else:
                part = np.array([string if axis == "string" else pack])
            found.append(start + part)
        return np.concatenate(found)


def _soc_cell(plant: "Plant", injection: Injection) -> None:
    _move_soc(plant, np.array([injection.cell]), injection.size)


def _soc_cells(plant: "Plant", injection: Injection) -> None:
    _move_soc(plant, np.flatnonzero(plant.layout.string_of_cell == injection.string), injection.size)


def _soc_set(plant: "Plant", injection: Injection) -> None:
    cells = np.flatnonzero(plant.layout.string_of_cell == injection.string)
    plant.cells.soc = np.where(_members(plant, cells), injection.size, plant.cells.soc)
    plant.cells.refresh(plant.heat.core_degC)


def _move_soc(plant: "Plant", cells: Ints, by: float) -> None:
    plant.cells.soc = np.where(_members(plant, cells), plant.cells.soc + by, plant.cells.soc)
    plant.cells.refresh(plant.heat.core_degC)


def _members(plant: "Plant", cells: Ints) -> NDArray[np.bool_]:
    mine = np.zeros(plant.layout.size["cell"])
    mine[cells] = 1.0
    return plant.groups.spread(mine) > 0.5


def _resistor_heat(plant: "Plant", injection: Injection) -> None:
    joules = plant.gear.resistor_J.copy()
    joules[injection.string] = injection.size * plant.gear.table.resistor_max_J[injection.string]
    plant.gear.resistor_J = joules


ACTS = {"soc_cell": _soc_cell, "soc_cells": _soc_cells, "soc_set": _soc_set, "resistor_heat": _resistor_heat}
