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
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MINUS, PRECHARGE, PLUS = 0, 1, 2
ROLES = ("minus", "precharge", "plus")
CLOSE_NS, OPEN_NS = 20_000_000, 12_000_000  # typical for a sealed 12 V contactor of 100 … 400 A with economiser
BOUNCE_NS, BOUNCES = 1_000_000, 4  # contact changes after the first touch: two bounces of a millisecond
REST_NS = 2**62  # nothing is due
CONTACT_OHM = 0.0002
CHATTER_NS = 50_000_000
DROP_OUT = 0.5  # share of the rated coil voltage below which contacts fall open
PULL_IN = 0.7
WELD_BREAK = 8.0  # times the rated current of the string: contacts weld when they open that much
WELD_INRUSH_A = 1500.0  # peak when closing onto a capacitor
RESISTOR_BURNS = 4.0  # times its heat limit: the precharge resistor burns open


@dataclass(slots=True)
class Gear:
    """State of all switchgear; (3, string) by role or (string,)."""

    table: SwitchTable
    rated_A: Floats  # (string,)
    contactors: Bools  # (string,) has minus, precharge and plus
    one_way: Bools  # (string,) has a switch per direction
    closed: Bools  # (3, string) what the contacts do, faults included
    moved: Bools  # (3, string) where the coils and springs would have them
    ordered: Bools  # (3, string) coil orders in force
    due_ns: Ints  # (3, string) until the contact changes; REST_NS = at rest
    bounces: Ints  # (3, string) changes still to come
    charge_on: Bools  # (string,)
    discharge_on: Bools
    welded: Bools  # (3, string) by what the plant did, for ever
    burnt: Bools  # (string,) precharge resistor
    resistor_J: Floats  # (string,)
    chatter_ns: Ints  # (string,) until the next drop-out

    def order(self, wanted: Bools, charge: Bools, discharge: Bools, coil: Floats, knobs: Knobs) -> None:
        """Take new coil orders. wanted (3, string); charge, discharge (string,); coil (string,) 1 = rated voltage."""
        held = self.ordered & (coil > DROP_OUT)
        wanted = wanted & (coil > np.where(held, DROP_OUT, PULL_IN))
        changed = wanted != self.ordered
        if changed.any():
            delay = np.round(np.where(wanted, CLOSE_NS, OPEN_NS) * knobs["slow"]).astype(np.int64)
            self.due_ns = np.where(changed, delay, self.due_ns)
            self.bounces = np.where(changed, np.where(wanted, BOUNCES, 0), self.bounces)
            self.ordered = wanted
        self.charge_on = (charge | (knobs["weld_charge"] > 0.5)) & (knobs["stuck_charge"] < 0.5)
        self.discharge_on = (discharge | (knobs["weld_discharge"] > 0.5)) & (knobs["stuck_discharge"] < 0.5)

    def next_ns(self) -> int:
        """Return how long nothing moves by itself; REST_NS = all at rest."""
        return int(min(self.due_ns.min(), self.chatter_ns.min()))

    def move(self, passed_ns: int, knobs: Knobs) -> Bools:
        """Let time pass; return which contacts opened, (3, string)."""
        before = self.closed
        self.due_ns = np.where(self.due_ns < REST_NS, self.due_ns - passed_ns, REST_NS)
        now = self.due_ns <= 0
        if now.any():
            bouncing = now & (self.bounces > 0) & self.ordered
            first = now & (self.bounces == BOUNCES) & self.ordered
            target = np.where(bouncing & ~first, ~self.moved, self.ordered)
            self.moved = np.where(now, target, self.moved)
            self.bounces = np.where(bouncing, self.bounces - 1, self.bounces)
            self.due_ns = np.where(now, np.where(bouncing, BOUNCE_NS, REST_NS), self.due_ns)
        if knobs.turned:
            self._chatter(passed_ns, knobs["chatter"])
        self.closed = self.moved | self.welded
        if knobs.turned:
            weld = np.stack([knobs[f"weld_{role}"] for role in ROLES]) > 0.5
            stuck = np.stack([knobs[f"stuck_{role}"] for role in ROLES]) > 0.5
            self.closed = (self.closed | weld) & ~stuck
        return np.asarray(before & ~self.closed)

    def _chatter(self, passed_ns: int, chatter: Floats) -> None:
        on = chatter > 0.5
        self.chatter_ns = np.where(on, np.minimum(self.chatter_ns, CHATTER_NS) - passed_ns, REST_NS)
        now = on & (self.chatter_ns <= 0)
        if now.any():
            self.moved = np.where(now & self.ordered, ~self.moved, self.moved)
            self.chatter_ns = np.where(now, CHATTER_NS, self.chatter_ns)

    def weld(self, opened: Bools, current: Floats) -> None:
        """Weld what broke too much. current (string,) A at that moment."""
        too_much = np.abs(current) > WELD_BREAK * self.rated_A
        arced = opened & too_much
        if arced.any():
            self.welded = self.welded | arced
            self.closed = self.closed | arced

    def inrush(self, closed_before: Bools, rush_A: Floats) -> None:
        """Weld the contact that closed onto an empty link. rush_A (string,) peak through the main path."""
        onto = self.main & self.contactors & (np.abs(rush_A) > WELD_INRUSH_A) & self.closed & ~closed_before
        onto[PRECHARGE] = False
        self.welded = self.welded | onto

    def heat(self, current: Floats, ohm: Floats, h: float) -> None:
        """Heat the precharge resistors that carry current; cool the others. (string,)."""
        through = self.precharging
        if not (through.any() or self.resistor_J.any()):
            return
        gained = np.where(through, current * current * np.where(through, ohm, 0.0) * h, 0.0)
        lost = np.where(np.isfinite(self.table.resistor_W), self.table.resistor_W, 0.0) * h
        self.resistor_J = np.maximum(self.resistor_J + gained - lost, 0.0)
        self.burnt = self.burnt | (self.resistor_J > RESISTOR_BURNS * self.table.resistor_max_J)

    @property
    def main(self) -> Bools:
        """Whether the string is on the link without its resistor, (string,)."""
        contactors = self.closed[MINUS] & self.closed[PLUS]
        return np.asarray(contactors | ~self.contactors)

    @property
    def precharging(self) -> Bools:
        """Whether only the resistor joins string and link, (string,)."""
        path = self.closed[MINUS] & self.closed[PRECHARGE] & ~self.closed[PLUS] & ~self.burnt
        return np.asarray(path & self.contactors)

    def directions(self) -> tuple[Bools, Bools]:
        """Return whether charge and discharge current may pass, (string,) each."""
        return self.charge_on | ~self.one_way, self.discharge_on | ~self.one_way


def open_gear(table: SwitchTable, rated_A: Floats) -> Gear:
    """Return switchgear at rest and open. rated_A (string,)."""
    n = table.kind.size
    no, none = np.zeros((3, n), bool), np.zeros(n, bool)
    return Gear(
        table=table, rated_A=rated_A, contactors=table.kind == Switchgear.CONTACTORS,
        one_way=(table.kind == Switchgear.FETS) | (table.kind == Switchgear.SEPARATE), closed=no, moved=no,
        ordered=no, due_ns=np.full((3, n), REST_NS), bounces=np.zeros((3, n), np.int64),
        charge_on=none, discharge_on=none, welded=no, burnt=none, resistor_J=np.zeros(n),
        chatter_ns=np.full(n, REST_NS),
    )  # fmt: skip
