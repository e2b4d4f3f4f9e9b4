"""The guard's decisions, without clock or files: readings and control's wish in, orders for the gate out.

An output is ordered closed only while control consents with a fresh wish and no rule of the guard objects. When that
ends, the limits go to zero at once, and the outputs fall when the current is low enough for the contacts or
`open_delay_ns` is over, whichever comes first; emergency stop and crash do not wait. What fell stays open until the
cause is gone and control itself has ordered it open: nothing closes by the mere return of a frame, process or value.

Under-voltage has a way back although a pair of contactors shares both paths: when it has fallen and control has ordered
it open, control may close it to be charged. The discharge limit stays zero, and as soon as the pair is discharged, or
its current is unknown, it opens as for any rule.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from cellarer.guard.limits import Limits, StringLimits
from cellarer.guard.rules import BOTH, CHARGE, DISCHARGE, DRAWN, HELD_UP, NO_DATA, RESTARTED, RULES, Rule, Trip

NEVER = -(2**62)
RELEASE_NS = 1_000_000_000  # a cause counts as gone after it was good for so long
OUTPUTS = 31  # minus, precharge, plus, charge switch, discharge switch
PLUS = 4  # before it closes, precharge current looks like a discharge
CHARGE_SWITCH, DISCHARGE_SWITCH = 8, 16
ALLOW_CHARGE, ALLOW_DISCHARGE, RESET = 1, 2, 32  # bits of a pack

String = tuple[int, float, float, float, float]  # bits, charge_A, discharge_A, charge_V, discharge_V
Pack = tuple[int, float, float]  # bits, heater, pump


class Orders(NamedTuple):
    """Control's wish, or what goes to the gate."""

    counter: int
    time_ns: int
    expires_ns: int
    site: bytes
    leaving: bool
    strings: tuple[String, ...]
    packs: tuple[Pack, ...]
    cells: bytes  # who bleeds, what converters do: handed on whole, or zero


def cell_bytes(cells: int) -> int:
    """Return the length of what a record says of cells: a bit for each bleeder, two bytes for each converter."""
    return (cells + 7) // 8 + 2 * cells


@dataclass(slots=True)
class StringState:
    """What the guard knows of one string."""

    held: int = 0  # outputs that are ordered closed
    waiting: int = OUTPUTS  # outputs that control must order open before they may close
    ending_ns: int | None = None  # since when the last will runs
    opened_ns: int | None = None  # when the guard opened it last; None = never
    opened_A: float | None = None  # current at that moment; None = unknown
    opened_why: str = ""


@dataclass(slots=True)
class Check:
    """One rule on one signal of one string."""

    rule: Rule
    string: int
    limit: float
    low: float  # good from here
    high: float  # to here
    bad: set[int]  # signal numbers for which the rule is bad on this string
    count: int = 0  # bad samples, up to those that trip; each good one takes one back


@dataclass(slots=True)
class Signal:
    """One signal that the site has, and its last good sample."""

    name: str
    low: float  # plausible from here
    high: float  # to here
    max_age_ns: int
    owners: list[int] = field(default_factory=list)  # strings
    checks: list[Check] = field(default_factory=list)  # what is looked at when it comes
    value: float = math.nan
    time_ns: int = NEVER


class Guard:
    """The second opinion on one site."""

    def __init__(self, limits: Limits, now_ns: int) -> None:
        self.limits = limits
        self.strings = [StringState() for _ in limits.strings]
        self.trips: dict[tuple[str, int], Trip] = {}
        self.consent = "none yet"  # why control's wish counts or not
        self.site = bytes.fromhex(limits.config_sha256[:16])  # what wishes and orders bear
        self._signals: dict[int, Signal] = {}  # by signal number
        self._bad: dict[tuple[str, int], set[int]] = {}  # (rule, string) → signal numbers that are bad
        self._drawn: dict[int, Check] = {}  # by string: the check of DRAWN, which is idle but for charging alone
        self._decided_ns = now_ns
        self._fresh_until_ns = NEVER  # nothing can become stale before
        for number, string in enumerate(limits.strings):
            self._watch(number, string)

    def _watch(self, number: int, string: StringLimits) -> None:
        inputs = self.limits.packs[string.pack]
        first_cell, cells = string.cells
        first_temp, temps = string.temperatures
        found = dict.fromkeys(range(first_cell, first_cell + cells), "cell_voltage")
        found |= dict.fromkeys(range(first_temp, first_temp + temps), "temp_degC")
        for absent in string.absent:
            found.pop(absent, None)
        for name, place in (
            ("cell_voltage_high", string.cell_high),
            ("cell_voltage_low", string.cell_low),
            ("current", string.current),
            ("emergency_stop", inputs.emergency_stop),
            ("interlock_open", inputs.interlock_open),
            ("crash", inputs.crash),
        ):
            if place is not None:
                found[place] = name
        for place, name in found.items():
            fresh = Signal(name, *self.limits.plausible[name], self.limits.max_age_ns[name])
            signal = self._signals.setdefault(place, fresh)
            signal.owners.append(number)
            for rule in (r for r in RULES if r.signal == name):
                bad, limit = self._bad.setdefault((rule.name, number), set()), self._limit(rule, number)
                low, high = (-math.inf, limit) if rule.sign > 0 else (limit, math.inf)
                signal.checks.append(Check(rule, number, limit, low, high, bad))
            if name == DRAWN.signal and string.kind == "contactors":
                bad, limit = self._bad.setdefault((DRAWN.name, number), set()), self._limit(DRAWN, number)
                self._drawn[number] = Check(DRAWN, number, limit, -math.inf, math.inf, bad)
                signal.checks.append(self._drawn[number])

    def receive(self, readings: Iterable[tuple[int, float]], time_ns: int, now_ns: int) -> bool:
        """Take the readings of a record. Returns true when one made a rule trip: then decide at once.

        An implausible value is no reading: it refreshes nothing. Neither does one that is not newer than the last, or
        that comes from the future.
        """
        tripped = False
        for place, value in readings:
            signal = self._signals.get(place)
            if signal is None or not (signal.low <= value <= signal.high and signal.time_ns < time_ns <= now_ns):
                continue
            signal.value, signal.time_ns = value, time_ns
            for check in signal.checks:
                if not check.low <= value <= check.high:  # what cannot be compared is bad
                    tripped |= self._count(check, place, value)
                elif check.count:
                    check.count -= 1
                    check.bad.discard(place)
        return tripped

    def _count(self, check: Check, place: int, value: float) -> bool:
        check.count = min(check.count + 1, check.rule.samples)
        if check.count < check.rule.samples:
            return False
        check.bad.add(place)
        return self._trip(check.rule, check.string, self._name(place, check.string), value, check.limit)

    def _limit(self, rule: Rule, string: int) -> float:
        if not rule.limit:
            return 0.5
        limit: float = getattr(self.limits.strings[string], rule.limit)
        return -limit if rule.limit in ("discharge_A", "draw_A") else limit

    def _name(self, place: int, string: int) -> str:
        name, own = self._signals[place].name, self.limits.strings[string]
        first = {"cell_voltage": own.cells[0], "temp_degC": own.temperatures[0]}.get(name)
        return name if first is None else f"{name} {place - first + 1}"

    def _trip(self, rule: Rule, string: int, what: str, value: float = math.nan, limit: float = math.nan) -> bool:
        trip = self.trips.get((rule.name, string))
        if trip is not None and trip.gone_ns is None:
            return False
        answered = trip is not None and trip.answered  # what never ended need not be answered twice
        self.trips[rule.name, string] = Trip(rule, what, value, limit, answered=answered)
        return True

    def link_restarted(self, strings: tuple[int, ...]) -> None:
        """Take note that a link was started again: what it drives may have opened, and must not close by itself."""
        for string in strings:
            self._trip(RESTARTED, string, "its outputs may have fallen")

    def decide(self, wish: Orders | None, now_ns: int) -> Orders:
        """Return what goes to the gate now. Counter, expiry and site are the caller's."""
        if not 0 <= now_ns - self._decided_ns <= self.limits.gap_ns:
            for string in range(len(self.strings)):
                self._trip(HELD_UP, string, "outputs have fallen meanwhile")
        self._decided_ns = now_ns
        good = wish if wish is not None and self._consents(wish, now_ns) else None
        if wish is None:
            self.consent = "no wish"
        self._look_for_stale(now_ns)
        self._release(good, now_ns)
        strings = tuple(self._string(i, good, now_ns) for i in range(len(self.strings)))
        packs = tuple(self._pack(i, good) for i in range(len(self.limits.packs)))
        return Orders(0, now_ns, now_ns, b"", good is None, strings, packs, self._balancing(good))

    def _balancing(self, good: Orders | None) -> bytes:
        """Return what is handed on of cells: nothing while a rule objects, but bleeding to what is only too full."""
        cells = self.limits.cells
        if good is not None and not self.trips:
            return good.cells
        if good is not None and all(trip.rule.paths == CHARGE for trip in self.trips.values()):
            return good.cells[: (cells + 7) // 8] + bytes(2 * cells)
        return bytes(cell_bytes(cells))

    def _consents(self, wish: Orders, now_ns: int) -> bool:
        """Tell whether a wish is for this site, made in the last moments, and not a last will."""
        until = min(wish.expires_ns, wish.time_ns + self.limits.consent_ns)
        if wish.site != self.site:
            self.consent = "control runs another configuration"
        elif wish.leaving:
            self.consent = "control has left"
        elif not wish.time_ns <= now_ns <= until:
            self.consent = "control is silent" if now_ns > until else "control's clock is ahead"
        else:
            self.consent = "fresh"
            return True
        return False

    def _look_for_stale(self, now_ns: int) -> None:
        """Trip where a signal that the site has is missing or too old; scan only when something can have become so."""
        if now_ns <= self._fresh_until_ns:
            return
        until_ns = -NEVER
        stale: list[set[int]] = [set() for _ in self.strings]
        for place, signal in self._signals.items():
            ends_ns = signal.time_ns + signal.max_age_ns
            if signal.time_ns <= now_ns <= ends_ns:
                until_ns = ends_ns if ends_ns < until_ns else until_ns
                continue
            for string in signal.owners:
                stale[string].add(place)
                self._trip(NO_DATA, string, self._name(place, string))
        for string, places in enumerate(stale):
            self._bad[NO_DATA.name, string] = places
        self._fresh_until_ns = now_ns + self.limits.cycle_ns if any(stale) else until_ns

    def _release(self, good: Orders | None, now_ns: int) -> None:
        """End trips whose cause is gone, that control answered by ordering open, and that were reset if need be.

        A pair that is charged meanwhile has been open since: there it is enough that control allows discharge again.
        """
        for key, trip in list(self.trips.items()):
            string = key[1]
            if self._bad.get(key):
                continue
            trip.gone_ns = now_ns if trip.gone_ns is None else trip.gone_ns
            if good is None:
                continue
            own = self.limits.strings[string]
            trip.reset |= bool(good.packs[own.pack][0] & RESET)
            asked = good.strings[string][0] & _outputs(own.kind, trip.rule.paths)
            over = not asked or (_charges_alone(own, trip) and good.strings[string][2] > 0.0)
            if now_ns - trip.gone_ns >= RELEASE_NS and over and (trip.reset or not trip.rule.reset):
                del self.trips[key]

    def _string(self, number: int, good: Orders | None, now_ns: int) -> String:
        state, own = self.strings[number], self.limits.strings[number]
        trips = [t for (_, string), t in self.trips.items() if string == number]
        asked = good.strings[number][0] & OUTPUTS if good else 0
        paths = 0
        for trip in trips:
            paths |= trip.rule.paths
            trip.answered |= good is not None and not asked
        if good:
            state.waiting &= ~_released(own.kind, asked)
            state.held &= asked  # control may always open
        alone = good is not None and good.strings[number][2] == 0.0 and all(_charges_alone(own, t) for t in trips)
        if paths and own.kind == "contactors" and not alone:
            paths = BOTH  # it shares them
        refused = (0 if alone else _outputs(own.kind, paths)) | state.waiting
        granted = asked & ~refused
        falling = state.held & ~granted
        if not falling:
            state.ending_ns = None
        elif self._may_fall(number, trips, now_ns):
            self._open(number, falling, trips, now_ns)
        state.held |= granted
        if number in self._drawn:
            drawn = self._drawn[number]
            drawn.low = drawn.limit if paths == DISCHARGE and state.held & PLUS else -math.inf
        return self._limited(number, good, paths)

    def _may_fall(self, number: int, trips: list[Trip], now_ns: int) -> bool:
        """Tell whether what must open opens now: at once, with the current low, or because the wait is over."""
        state, own = self.strings[number], self.limits.strings[number]
        if any(t.rule.at_once for t in trips):
            return True
        if state.ending_ns is None:
            state.ending_ns = now_ns
        waited_ns = now_ns - state.ending_ns
        if waited_ns >= own.open_delay_ns:
            return True
        # The current of before the zero limits says nothing: a sample of afterwards must say that it has fallen.
        current, settled_ns = self._current(own), state.ending_ns + self.limits.consent_ns
        return current is not None and settled_ns <= current.time_ns <= now_ns and abs(current.value) <= own.break_A

    def _current(self, own: StringLimits) -> Signal | None:
        return None if own.current is None else self._signals.get(own.current)

    def _open(self, number: int, outputs: int, trips: list[Trip], now_ns: int) -> None:
        state, own = self.strings[number], self.limits.strings[number]
        state.held &= ~outputs
        state.waiting |= outputs if own.kind in ("fets", "separate") else OUTPUTS
        state.ending_ns = None
        current = self._current(own)
        state.opened_ns = now_ns
        state.opened_A = None if current is None or math.isnan(current.value) else current.value
        borne = sorted(trips, key=lambda t: _charges_alone(own, t))  # what it was closed with is said last
        causes = [t.text for t in borne if _outputs(own.kind, t.rule.paths) & outputs]
        state.opened_why = causes[0] if causes else self.consent

    def _limited(self, number: int, good: Orders | None, paths: int) -> String:
        """Return bits and limits of a string: control's limits, zero for a path that is refused or about to fall."""
        state, own = self.strings[number], self.limits.strings[number]
        veto = paths
        if state.waiting and own.kind != "none":
            veto |= BOTH if own.kind == "contactors" else _paths_of(state.waiting)
        if good is None or state.ending_ns is not None:
            return state.held | veto, 0.0, 0.0, 0.0, 0.0
        _, charge_A, discharge_A, charge_V, discharge_V = good.strings[number]
        charge_A = charge_A if not veto & CHARGE and charge_A >= 0.0 else 0.0
        discharge_A = discharge_A if not veto & DISCHARGE and discharge_A >= 0.0 else 0.0
        return state.held | veto, charge_A, discharge_A, charge_V, discharge_V

    def _pack(self, number: int, good: Orders | None) -> Pack:
        """Return outputs of a pack: what control says, without permissions that a string of the pack has lost."""
        if good is None:
            return 0, 0.0, 0.0
        bits, heater, pump = good.packs[number]
        for (_, string), trip in self.trips.items():
            if self.limits.strings[string].pack == number:
                bits &= ~ALLOW_CHARGE if trip.rule.paths & CHARGE else bits
                bits &= ~ALLOW_DISCHARGE if trip.rule.paths & DISCHARGE else bits
        return bits & ~RESET, heater, pump


def _charges_alone(own: StringLimits, trip: Trip) -> bool:
    """Tell whether a pair may be closed to be charged although this trip is there: a current must be watched."""
    pair = own.kind == "contactors" and own.current is not None
    return pair and trip.answered and trip.rule.paths == DISCHARGE


def _outputs(kind: str, paths: int) -> int:
    """Return the outputs that must be open while these paths are refused: contactors share both paths."""
    if kind in ("fets", "separate"):
        both = (CHARGE_SWITCH if paths & CHARGE else 0) | (DISCHARGE_SWITCH if paths & DISCHARGE else 0)
        return OUTPUTS if paths == BOTH else both
    return OUTPUTS if paths else 0


def _released(kind: str, asked: int) -> int:
    """Return the outputs that no longer wait, because control orders them, or all that belong together, open."""
    if kind in ("fets", "separate"):
        return OUTPUTS & ~asked
    return 0 if asked else OUTPUTS


def _paths_of(outputs: int) -> int:
    return (CHARGE if outputs & CHARGE_SWITCH else 0) | (DISCHARGE if outputs & DISCHARGE_SWITCH else 0)
