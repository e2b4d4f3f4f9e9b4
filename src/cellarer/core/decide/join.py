"""Which strings may join others on their DC bus: one at a time, and only where every string bears what equalises.

A string of voltage V_k and resistance R_k that joins strings which hold the bus at V by 1/G together takes
(V − V_k) / (R_k + 1/G), and each of them, of conductance g, bears g/G of it beside what it carries. So

    |V − V_k| ≤ A · (R_k + 1/G),    A: what the string itself bears, and what the weakest of the others has left.

V is that of the lowest and of the highest on the bus: what they carry, and readings from before they met, are then on
the safe side. R is that of the first instant, at the warmest sensor: later the current is smaller. A path that blocks
one direction counts as joined in both: what a body diode or a contact of a port lets through is not relied upon.
Unknown joins nothing. Nearest first; on an empty bus the highest, or with a charger there the lowest, begins.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cellarer.core.decide.limit import BAND_V, bears
from cellarer.core.decide.look import COOLING, NO_SWITCHGEAR, Look, on_bus
from cellarer.core.decide.protect import Demand
from cellarer.model.config import Config
from cellarer.model.values import Bools, Bytes, Floats, Ints, Phase

OFF = (int(Phase.OPEN), COOLING)


@dataclass(frozen=True, slots=True, eq=False)
class Buses:
    """Which strings share a bus, and what their cells oppose to a step of current."""

    of_string: Ints  # (string,) rising
    first: Ints  # (bus,) first string
    shared: Bools  # (string,) there are others
    any: bool
    model: Ints  # (string,) index into `ohm`
    ohm: tuple[tuple[Floats, Floats], ...]  # of each cell model: temperature, resistance of the first instant
    cells: Floats  # (string,) in series over parallel


@dataclass(frozen=True, slots=True, eq=False)
class Joins:
    """Who may close now; all (string,) unless said."""

    may: Bools  # alone on its bus, or near enough and its turn
    waits: Bools  # wants to, and is too far from the bus, or that is not known; nobody else joins just now
    apart_V: Floats  # (2, string) how far above the bus (− below) it is, NaN = unknown; and how far it may be


@lru_cache(maxsize=16)
def buses(config: Config) -> Buses:
    """Return the buses of a site."""
    layout, (of_string, first) = config.layout, on_bus(config)
    shared = (np.bincount(of_string) > 1)[of_string]
    return Buses(
        of_string=of_string, first=first, shared=shared, any=bool(shared.any()),
        model=config.cell_kind[layout.first_cell],
        ohm=tuple((m.temp_degC, np.median(m.r0, axis=1)) for m in config.models),  # a fit may leave single points of 0
        cells=config.series / config.parallel,
    )  # fmt: skip


def join(look: Look, demand: Demand, phase: Bytes, wants: Bools) -> Joins:
    """Say which of the strings that want to close may. phase, wants: (string,)."""
    bus = buses(look.config)
    if not bus.any or not np.count_nonzero(wants & bus.shared):
        return Joins(look.config.layout.yes, ~look.config.layout.yes, np.full((2, wants.size), np.nan))
    on, volts, (above_V, below_V), most_V = _apart(look, demand, phase, bus)
    others = np.bincount(bus.of_string, on)[bus.of_string] - on
    near = (above_V <= most_V[0]) & (below_V <= most_V[1])
    able = wants & np.where(others > 0, near, ~np.isnan(volts))
    charger = np.logical_or.reduceat(_charger(look), bus.first)[bus.of_string]
    order = np.where(others > 0, np.maximum(above_V, below_V), np.where(charger, volts, -volts))
    first = _least(np.where(able, order, np.inf), bus) & able
    number = np.arange(wants.size)
    mine = first & (np.minimum.reduceat(np.where(first, number, wants.size), bus.first)[bus.of_string] == number)
    too_high = ~(above_V <= most_V[0])
    apart_V = np.where(too_high, (above_V, most_V[0]), (-below_V, most_V[1]))
    apart_V[1] = np.where(np.isnan(apart_V[0]), 0.0, apart_V[1])
    turn = np.logical_or.reduceat(able, bus.first)[bus.of_string]  # while others join, the bus still moves
    return Joins(mine | ~bus.shared, wants & bus.shared & ~able & ~turn, apart_V)


def _apart(look: Look, demand: Demand, phase: Bytes, bus: Buses) -> tuple[Bools, Floats, Floats, Floats]:
    """Return who is on the bus, voltages, (above, below) the bus and how far that may be, V, (2, string)."""
    ohm, at, (charge_A, discharge_A) = _ohm(look, bus), bus.of_string, bears(look, demand)
    on, volts = _on(look, phase), _volts(look)
    conducts = np.where(on, 1.0 / ohm, 0.0)
    all_of_bus = np.bincount(at, conducts)[at]
    low = np.minimum.reduceat(np.where(on, volts, np.inf), bus.first)[at]
    high = np.maximum.reduceat(np.where(on, volts, -np.inf), bus.first)[at]
    with np.errstate(divide="ignore", invalid="ignore"):  # alone there is nothing to compare with: see `join`
        share, path_ohm = conducts / all_of_bus, ohm + 1.0 / (all_of_bus - conducts)
        left = np.where(on, np.array((charge_A - look.current, discharge_A + look.current)) / share, np.inf)
        room_charge, room_discharge = np.minimum.reduceat(left, bus.first, axis=1)[:, at]
        most_A = np.array((np.minimum(discharge_A, room_charge), np.minimum(charge_A, room_discharge)))
        most_V = np.maximum(most_A * path_ohm, look.config.series * BAND_V)
    return on, volts, np.maximum((volts - low, high - volts), 0.0), most_V


def _least(order: Floats, bus: Buses) -> Bools:
    return order == np.minimum.reduceat(order, bus.first)[bus.of_string]


def _charger(look: Look) -> Bools:
    return look.of("charger_present")[look.config.layout.pack_of_string] == 1.0


def _volts(look: Look) -> Floats:
    """Return medians of the sum of cells, or as measured where cells are unknown, V, (string,)."""
    total = look.config.layout.total(look.calm["cell_voltage"])
    return np.where(np.isnan(total), look.of("string_voltage"), total)


def _ohm(look: Look, bus: Buses) -> Floats:
    """Return the resistance of each string's cells at their warmest sensor, ohm; of the warmest known without one."""
    hot = np.where(np.isnan(look.extremes[2]), np.inf, look.extremes[2])
    of_models = np.array([np.interp(hot, degC, ohm) for degC, ohm in bus.ohm])
    return of_models[bus.model, np.arange(hot.size)] * bus.cells


def _on(look: Look, phase: Bytes) -> Bools:
    """Return which strings are on their bus, or about to be, (string,): all that are not known to be off it."""
    _, closed, _, _ = look.contacts
    closed = closed == 1.0
    welded = (closed[0] & closed[2]) | closed[3] | closed[4]
    foreign = ~((look.of("feedback_charge") == 0.0) & (look.of("feedback_discharge") == 0.0))
    ours = ~np.isin(phase, OFF) | welded
    return np.where(look.config.switch.kind != NO_SWITCHGEAR, ours, foreign)
