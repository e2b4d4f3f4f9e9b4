"""Contactors and switches as they really move: late, bouncing, welding, sticking; and their feedback contacts.

A coil order acts after a delay; a closing contact bounces twice, a millisecond each. Contacts that break far more than
they may, or that close onto an empty capacitor, weld: the plant does that by itself, no fault needs to be injected.
FETs and contactors of separate ports block one direction each.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellarer.model.config import Switchgear, SwitchTable
from cellarer.sim.knobs import Knobs

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MINUS, PRECHARGE, PLUS = 0, 1, 2
ROLES = ("minus", "precharge", "plus")
CLOSE_S, OPEN_S = 0.020, 0.012  # typical for a sealed 12 V contactor of 100 … 400 A with economiser
BOUNCE_S, BOUNCES = 0.001, 4  # contact changes after the first touch: two bounces of a millisecond
MOMENT_S = 1e-9  # closer than this is now
CONTACT_OHM = 0.0002
CHATTER_S = 0.05
DROP_OUT = 0.5  # share of the rated coil voltage below which contacts fall open
PULL_IN = 0.7
WELD_BREAK = 12.0  # times the break current: the contacts weld when they open that much
WELD_INRUSH_A = 1500.0  # peak when closing onto a capacitor
RESISTOR_BURNS = 4.0  # times its heat limit: the precharge resistor burns open


@dataclass(slots=True)
class Gear:
    """State of all switchgear; (3, string) by role or (string,)."""

    table: SwitchTable
    closed: Bools  # (3, string) what the contacts do, faults included
    moved: Bools  # (3, string) where the coils and springs would have them
    ordered: Bools  # (3, string) coil orders in force
    due_s: Floats  # (3, string) until the contact changes; inf = at rest
    bounces: NDArray[np.int64]  # (3, string) changes still to come
    charge_on: Bools  # (string,)
    discharge_on: Bools
    welded: Bools  # (3, string) by what the plant did, for ever
    burnt: Bools  # (string,) precharge resistor
    resistor_J: Floats  # (string,)
    chatter_s: Floats  # (string,) until the next drop-out

    def order(self, wanted: Bools, charge: Bools, discharge: Bools, coil: Floats, knobs: Knobs) -> None:
        """Take new coil orders. wanted (3, string); charge, discharge (string,); coil (string,) 1 = rated voltage."""
        held = self.ordered & (coil > DROP_OUT)
        wanted = wanted & (coil > np.where(held, DROP_OUT, PULL_IN))
        changed = wanted != self.ordered
        if changed.any():
            delay = np.where(wanted, CLOSE_S, OPEN_S) * knobs["slow"]
            self.due_s = np.where(changed, delay, self.due_s)
            self.bounces = np.where(changed, np.where(wanted, BOUNCES, 0), self.bounces)
            self.ordered = wanted
        self.charge_on = (charge | (knobs["weld_charge"] > 0.5)) & (knobs["stuck_charge"] < 0.5)
        self.discharge_on = (discharge | (knobs["weld_discharge"] > 0.5)) & (knobs["stuck_discharge"] < 0.5)

    def next_s(self) -> float:
        """Return how long nothing moves by itself; inf = all at rest."""
        return float(min(self.due_s.min(), self.chatter_s.min()))

    def move(self, h: float, knobs: Knobs) -> Bools:
        """Let h seconds pass; return which contacts opened, (3, string)."""
        before = self.closed
        self.due_s = self.due_s - h
        now = self.due_s <= MOMENT_S
        if now.any():
            bouncing = now & (self.bounces > 0) & self.ordered
            first = now & (self.bounces == BOUNCES) & self.ordered
            target = np.where(bouncing & ~first, ~self.moved, self.ordered)
            self.moved = np.where(now, target, self.moved)
            self.bounces = np.where(bouncing, self.bounces - 1, self.bounces)
            self.due_s = np.where(now, np.where(bouncing, BOUNCE_S, np.inf), self.due_s)
        self._chatter(h, knobs["chatter"])
        weld = np.stack([knobs[f"weld_{role}"] for role in ROLES]) > 0.5
        stuck = np.stack([knobs[f"stuck_{role}"] for role in ROLES]) > 0.5
        self.closed = (self.moved | weld | self.welded) & ~stuck
        return np.asarray(before & ~self.closed)

    def _chatter(self, h: float, chatter: Floats) -> None:
        on = chatter > 0.5
        self.chatter_s = np.where(on, np.minimum(self.chatter_s, CHATTER_S) - h, np.inf)
        now = on & (self.chatter_s <= MOMENT_S)
        if now.any():
            self.moved = np.where(now & self.ordered, ~self.moved, self.moved)
            self.chatter_s = np.where(now, CHATTER_S, self.chatter_s)

    def weld(self, opened: Bools, current: Floats) -> None:
        """Weld what broke too much. current (string,) A at that moment."""
        too_much = np.abs(current) > WELD_BREAK * self.table.break_A
        arced = opened & too_much
        if arced.any():
            self.welded = self.welded | arced
            self.closed = self.closed | arced

    def inrush(self, closed_before: Bools, rush_A: Floats) -> None:
        """Weld the contact that closed onto an empty link. rush_A (string,) peak through the main path."""
        onto = self.closed & ~closed_before & (np.abs(rush_A) > WELD_INRUSH_A)
        onto[PRECHARGE] = False
        self.welded = self.welded | onto

    def heat(self, current: Floats, ohm: Floats, h: float) -> None:
        """Heat the precharge resistors that carry current; cool the others. (string,)."""
        through = self.precharging
        gained = np.where(through, current * current * np.where(through, ohm, 0.0) * h, 0.0)
        lost = np.where(np.isfinite(self.table.resistor_W), self.table.resistor_W, 0.0) * h
        self.resistor_J = np.maximum(self.resistor_J + gained - lost, 0.0)
        self.burnt = self.burnt | (self.resistor_J > RESISTOR_BURNS * self.table.resistor_max_J)

    @property
    def main(self) -> Bools:
        """Whether the string is on the link without its resistor, (string,)."""
        contactors = self.closed[MINUS] & self.closed[PLUS]
        return np.where(self.table.kind == Switchgear.CONTACTORS, contactors, True)

    @property
    def precharging(self) -> Bools:
        """Whether only the resistor joins string and link, (string,)."""
        path = self.closed[MINUS] & self.closed[PRECHARGE] & ~self.closed[PLUS] & ~self.burnt
        return np.asarray(path & (self.table.kind == Switchgear.CONTACTORS))

    def directions(self) -> tuple[Bools, Bools]:
        """Return whether charge and discharge current may pass, (string,) each."""
        one_way = (self.table.kind == Switchgear.FETS) | (self.table.kind == Switchgear.SEPARATE)
        return np.where(one_way, self.charge_on, True), np.where(one_way, self.discharge_on, True)


def open_gear(table: SwitchTable) -> Gear:
    """Return switchgear at rest and open."""
    n = table.kind.size
    no, none = np.zeros((3, n), bool), np.zeros(n, bool)
    return Gear(
        table=table, closed=no, moved=no, ordered=no, due_s=np.full((3, n), np.inf), bounces=np.zeros((3, n), np.int64),
        charge_on=none, discharge_on=none, welded=no, burnt=none, resistor_J=np.zeros(n),
        chatter_s=np.full(n, np.inf),
    )  # fmt: skip
