"""What decide may see in one cycle: measurements, their memory, the switchgear, and suspicions of estimates.

Views that several rules need are worked out when first asked for and kept for the rest of the cycle.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from cellarer.core.decide.derived import Derived, derive
from cellarer.core.digest import NOT_NOW, Digest
from cellarer.core.validate import FILTERED, filtered, median
from cellarer.model.config import Config, Switchgear
from cellarer.model.values import NEVER, Bools, Floats, Ints, Phase, Seen, State, Switches, Watch

OFF_PHASES = np.isin(np.arange(len(Phase)), (Phase.OPEN, Phase.OPENING, Phase.COOLING))
OPENING, COOLING = int(Phase.OPENING), int(Phase.COOLING)
NO_SWITCHGEAR = int(Switchgear.NONE)
FLOWS = ("any", "charging", "discharging")
FEEDBACK = ("feedback_minus", "feedback_precharge", "feedback_plus", "feedback_charge", "feedback_discharge")
LATELY_NS = 2_000_000_000  # twice the longest debounce of rows that look at a flow (own estimate)
BLED_NS = 1_500_000_000  # until medians and the filters of a chip show what a bleeder does
BLED_MOST_V = 0.05  # a sense wire that loses more is broken
# Contacts of a pair that the sequence still waits for, with its own time-out and tries: (contact, phase)
AWAITED = np.zeros((len(FEEDBACK), len(Phase)), bool)
AWAITED[0, Phase.MINUS] = AWAITED[1, Phase.PRECHARGE] = AWAITED[2, Phase.PLUS] = True

CARRIES = np.zeros((2, len(Switchgear), len(Phase)), bool)  # may charge, may discharge: (way, kind, phase)
CARRIES[:, Switchgear.NONE] = True
CARRIES[:, :, Phase.CLOSED] = True
CARRIES[0, :, Phase.CHARGE_ONLY] = True
CARRIES[1, :, Phase.DISCHARGE_ONLY] = True


Value = TypeVar("Value")


class once(Generic[Value]):  # noqa: N801
    """A property that is worked out once per object: functools.cached_property without its lock, 1 µs each time."""

    def __init__(self, work: Callable[[Any], Value]) -> None:
        self.work, self.name = work, work.__name__

    def __get__(self, owner: object, _: object = None) -> Value:
        value = owner.__dict__[self.name] = self.work(owner)
        return value


class Reading(NamedTuple):
    """One signal now. value is the worst known one in the row's own direction."""

    value: Floats  # (string,) −inf where nothing is known or it does not apply
    known: Bools  # (string,) every element is known
    time_ns: Ints  # (string,) when the worst one was measured


@dataclass(frozen=True)
class Look:
    """What decide may see: measurements, their memory, the switchgear; of estimates only suspicions."""

    config: Config
    seen: Seen
    digest: Digest
    watch: Watch
    state: State
    now_ns: int
    plain: bool = False  # by NumPy even where the kernel is there

    @once
    def derived(self) -> Derived | None:
        """What one compiled pass over cells and sensors finds; None: NumPy does the work piece by piece."""
        return None if self.plain else derive(self.config, self.seen, self.digest, self.watch, self.now_ns)

    def of(self, name: str) -> Floats:
        """Return a signal as seen, one value per element of its axis; NaN = unknown."""
        return self.seen.value[self.config.layout.where[name]]

    def time_ns(self, name: str) -> Ints:
        """Return when each element of a signal was measured."""
        return self.seen.time_ns[self.config.layout.where[name]]

    @once
    def now(self) -> Ints:
        """The time of this cycle, (string,)."""
        return np.full(self.config.layout.yes.size, self.now_ns)

    @once
    def current(self) -> Floats:
        """String current, A, (string,)."""
        return self.of("current")

    @once
    def flows(self) -> tuple[Bools, Bools, Bools]:
        """Whether the current is known, charges, discharges, (string,)."""
        return ~np.isnan(self.current), self.current > self.config.idle_A, -self.current > self.config.idle_A

    @once
    def applies(self) -> tuple[Bools, Bools]:
        """Whether a row of each flow applies, and whether we know, (flow, string) each, in the order of FLOWS.

        A flow that has just stopped may go on at once: until LATELY_NS have passed it is not known to be over. So a
        current in bursts, each shorter than a debounce, counts as one.
        """
        known, charges, discharges = self.flows
        flows, yes = np.array((charges, discharges)), self.config.layout.yes
        over = flows | (self.now_ns - self.watch.flowed_ns > LATELY_NS)
        return np.vstack((yes, flows)), np.vstack((yes, known & over))

    @once
    def calm(self) -> dict[str, Floats]:
        """Medians of the last three samples of what sums and spreads are made of, by signal; NaN = unknown now."""
        found = self.derived
        values = found.calm if found else median(self.seen.value[filtered(self.config)], self.watch.earlier)
        sizes = [self.config.layout.where[name] for name in FILTERED]
        ends = np.cumsum([where.stop - where.start for where in sizes])
        return dict(zip(FILTERED, np.split(values, ends[:-1]), strict=True))

    @once
    def extremes(self) -> Floats:
        """Highest and lowest cell (V) and temperature (degC), (4, string): NaN where an element is unknown or none is.

        Elements that the site does not measure do not count.

        Medians, so that one wild sample moves no limit; where a foreign BMS reports its extreme cells these count.
        """
        result, foreign = self.derived.extremes if self.derived else self._extremes(), hides(self.config)
        if foreign is not None:
            said = np.array((self.of("cell_voltage_high"), self.of("cell_voltage_low")))
            result[:2] = np.where(foreign, said, result[:2])
        return result

    def _extremes(self) -> Floats:
        layout, cells, temps = self.config.layout, self.calm["cell_voltage"], self.calm["temp_degC"]
        absent = partly(self.config)
        (low, high), (cold, hot) = (
            (x, x) if out is None else (np.where(out, np.inf, x), np.where(out, -np.inf, x))
            for x, out in zip((cells, temps), absent, strict=True)
        )
        hot, cold = layout.over_temps(np.maximum, hot, np.nan), layout.over_temps(np.minimum, cold, np.nan)
        result = np.array((layout.highest(high), layout.lowest(low), hot, cold))
        if any(out is not None for out in absent):
            result[np.isinf(result)] = np.nan  # no element at all
        return result

    @once
    def high_V(self) -> Floats:
        """Highest cell, V, (string,), with what bleeding hides of it: limits and phases of charging go by this."""
        return self.unbled[0]

    @once
    def unbled_extremes(self) -> Floats:
        """The same as `extremes`, with `high_V` for the highest cell."""
        return np.concatenate((self.high_V[None], self.extremes[1:]))

    @once
    def unbled(self) -> Floats:
        """(highest cell, the same and the current when readings stood last, drop that bleeding makes), (4, string).

        A cell that bleeds reads lower by the drop of its sense wire, and limits would swing with the turns of bleeding.
        What the highest reading falls by as bleeding begins, current being accounted for, is added until it ends.
        """
        before, high, current = self.state.balancing, self.extremes[0], self.current
        bleed, layout = self.state.command.bleed, self.config.layout
        if before.dirty_ns.max() == NEVER and not np.count_nonzero(bleed):
            return np.array((high, high, current, self.config.layout.yes * 0.0))
        bleeds, turns = self.bleeding
        ref_V, ref_A, drop = before.unbled
        stood = ref_V + layout.total(self.config.cell_ohm) / self.config.series * (current - ref_A)
        drop = np.where(bleeds & (before.begin_ns < self.state.time_ns), drop, 0.0)
        now = np.where(
            turns & (stood > high), np.minimum(stood, high + BLED_MOST_V), np.where(turns, high, high + drop)
        )
        fell = np.maximum(drop, now - high)  # the most of a turn: a cell that is charged rises meanwhile
        drop = np.where(turns & bleeds & (now > high), fell, np.where(turns & ~bleeds, 0.0, drop))
        return np.array((now, np.where(turns, ref_V, now), np.where(turns, ref_A, current), drop))

    @once
    def bled(self) -> Bools:
        """Which cells bleed, as their board says, else as ordered, (cell,)."""
        read = self.of("cell_bleeding")
        return np.where(np.isnan(read), self.state.command.bleed, read > 0.5) & bleeders(self.config)

    @once
    def bleeding(self) -> tuple[Bools, Bools]:
        """Return which strings bleed, and in which it began or ended so lately that readings may not show it yet."""
        before, first = self.state.balancing, self.config.layout.first_cell
        bleeds = np.logical_or.reduceat(self.state.command.bleed, first)
        since_ns = np.where(bleeds, before.begin_ns, np.maximum.reduceat(before.dirty_ns, first))
        return bleeds, self.now_ns - since_ns <= max(BLED_NS, 3 * (self.now_ns - self.state.time_ns))

    @once
    def hidden(self) -> Floats:
        """What bleeding takes off the reading of each cell as it is read, no median, V, (cell,).

        Medians show a drop one sample later than readings do: until they do, what the highest reading lacks counts.
        """
        layout, owner = self.config.layout, self.config.layout.string_of_cell
        bleed, chosen, drop = self.state.command.bleed, self.state.balancing.chosen, self.unbled[3]
        if not np.count_nonzero(chosen):
            return np.zeros(owner.size)
        lacks = np.minimum(self.high_V - layout.highest(self.of("cell_voltage")), BLED_MOST_V)
        turns = self.bleeding[1]
        return np.where(
            np.where(turns[owner], chosen, bleed), np.where(turns & (lacks > drop), lacks, drop)[owner], 0.0
        )

    @once
    def unbled_voltage(self) -> Floats:
        """Voltage of each string, V, with what bleeding hides of its cells: of each that bleeds as of the highest."""
        hidden = np.maximum(self.high_V - self.extremes[0], 0.0)
        if not np.count_nonzero(hidden):
            return self.voltage
        return np.asarray(
            self.voltage + hidden * self.config.layout.total(self.state.balancing.chosen.astype(np.float64))
        )

    @once
    def total(self) -> Floats:
        """Sum of the cells of each string, V, (string,); NaN if one is unknown."""
        found = self.derived
        return found.total if found else self.config.layout.total(self.of("cell_voltage"))

    @once
    def voltage(self) -> Floats:
        """Voltage of each string: the sum of its cells, or as measured where cells are unknown; NaN if unknown.

        Cells first: limits then do not move when the string's own sensor is lost, and without cells they are zero.
        """
        return np.where(np.isnan(self.total), self.of("string_voltage"), self.total)

    @once
    def contacts(self) -> tuple[Bools, Floats, Bools, Ints]:
        """Auxiliary contacts: present, closed, ordered closed, time, (5, string) each, in the order of FEEDBACK."""
        layout, command = self.config.layout, self.state.command
        where, n = slice(layout.where[FEEDBACK[0]].start, layout.where[FEEDBACK[-1]].stop), layout.yes.size
        present, closed, time_ns = self.config.sensing.present[where], self.seen.value[where], self.seen.time_ns[where]
        ordered = (command.minus, command.precharge, command.plus, command.charge_switch, command.discharge_switch)
        return present.reshape(5, n), closed.reshape(5, n), np.array(ordered), time_ns.reshape(5, n)

    @once
    def contradictions(self) -> tuple[Bools, Bools, Bools, Ints]:
        """Contacts that are closed though ordered open, and open though ordered closed, (contact, string) each.

        Also whether all that are present are known, and when the newest was read, (string,). What was read before the
        order contradicts nothing: it is unknown.
        """
        present, closed, ordered, time_ns = self.contacts
        wrong = present & np.where(ordered, closed == 0.0, closed == 1.0)
        since = self.in_phase(time_ns)
        known = ~np.logical_or.reduce((present & np.isnan(closed)) | (wrong & ~since), axis=0)
        wrong &= since
        return wrong & ~ordered, wrong & ordered, known, time_ns.max(axis=0)

    def in_phase(self, time_ns: Ints) -> Bools:
        """Return whether readings were taken in this phase of the switchgear, (..., string): late ones were not."""
        return time_ns > self.state.switches.since_ns

    @once
    def all_off(self) -> Bools:
        """The string's switchgear is ordered open and had time to follow, (string,)."""
        if not has_switchgear(self.config):
            return ~self.config.layout.yes
        off = ~self.contacts[2].any(axis=0)
        return off & (self.config.switch.kind != NO_SWITCHGEAR) & OFF_PHASES[self.state.switches.phase]


@lru_cache(maxsize=16)
def on_bus(config: Config) -> tuple[Ints, Ints]:
    """Return the DC bus of each string, (string,) rising from 0, and the first string of each bus, (bus,)."""
    of_string = config.bus_of_pack[config.layout.pack_of_string]
    return of_string, np.searchsorted(of_string, np.arange(of_string[-1] + 1))


@lru_cache(maxsize=16)
def partly(config: Config) -> tuple[Bools | None, Bools | None]:
    """Return which cells, (cell,), and sensors, (temp,), the site does not measure; None where it measures all."""
    absent = (~config.sensing.present[config.layout.where[name]] for name in ("cell_voltage", "temp_degC"))
    cells, temps = (out if out.any() else None for out in absent)
    return cells, temps


@lru_cache(maxsize=16)
def bleeders(config: Config) -> Bools:
    """Return which cells have a bleeder that we order, (cell,)."""
    return np.asarray((config.balance.bleed_A > 0.0)[config.layout.string_of_cell])


@lru_cache(maxsize=16)
def hides(config: Config) -> Bools | None:
    """Return (2, string) where a foreign BMS reports its highest, its lowest cell; None where none does."""
    where = config.layout.where
    foreign = np.array([config.sensing.present[where[f"cell_voltage_{end}"]] for end in ("high", "low")])
    return foreign if foreign.any() else None


@lru_cache(maxsize=16)
def not_now(config: Config) -> Floats:
    """Return the value of what applies to no string now, (string,)."""
    return np.full(config.layout.yes.size, NOT_NOW)


@lru_cache(maxsize=16)
def has_switchgear(config: Config) -> bool:
    """Return whether any string has something to switch."""
    return bool((config.switch.kind != NO_SWITCHGEAR).any())


def carrying(config: Config, switches: Switches) -> Bools:
    """Return (way, string), may charge and may discharge: the paths that the phase leaves open to current."""
    return CARRIES[:, config.switch.kind, switches.phase] if has_switchgear(config) else _always(config)


@lru_cache(maxsize=16)
def _always(config: Config) -> Bools:
    """Return what a site without switchgear carries."""
    return np.ones((2, config.layout.yes.size), bool)


def worst(look: Look, elements: Floats, time_ns: Ints, axis: str) -> Reading:
    """Reduce (cell,) or (temp,) to the highest known value of each string; unknown elements do not count."""
    layout = look.config.layout
    lowered = np.where(np.isnan(elements), NOT_NOW, elements)
    if axis == "cell":
        value = np.maximum.reduceat(lowered, layout.first_cell)
        at = np.where(lowered == value[layout.string_of_cell], time_ns, NEVER)
        return Reading(value, layout.yes, np.maximum.reduceat(at, layout.first_cell))
    value = layout.over_temps(np.maximum, lowered, NOT_NOW)
    at = np.where(lowered == value[layout.string_of_temp], time_ns, NEVER)
    return Reading(value, layout.yes, layout.over_temps(np.maximum, at, NEVER))


def one(value: Floats, time_ns: Ints) -> Reading:
    known = ~np.isnan(value)
    return Reading(np.where(known, value, NOT_NOW), known, time_ns)


def masked(reading: Reading, applies: Bools, sure: Bools) -> Reading:
    """Leave the reading where it applies; elsewhere −inf, which is good. `sure`: we know whether it applies."""
    return Reading(np.where(applies, reading.value, NOT_NOW), reading.known & sure, reading.time_ns)
