"""What a fault row can look at: named functions that give one value per string, from measurements alone.

A signal returns a Reading: the worst value of the elements that are known, whether all of them are known, when the
worst one was measured, and what the elements are (for naming the cell, only when a row changes). Unknown elements
never hide known ones: a fault on one cell is seen while its neighbour's wire is broken. And they never count as good:
`known` is False, so nothing is cleared. −inf means: does not apply now. Rows that look from below use the negative.
Add a signal by adding a function to SIGNALS; what it needs to be measured and its rows stand in config/faults.toml.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cellarer.core.digest import NOT_NOW, Digest
from cellarer.model.config import Config, Switchgear
from cellarer.model.quantities import BY_NAME
from cellarer.model.values import NEVER, Bools, Floats, Ints, Phase, Seen, State, Watch

OFF_PHASES = np.isin(np.arange(len(Phase)), (Phase.OPEN, Phase.OPENING, Phase.COOLING))
OPENING = int(Phase.OPENING)
NO_SWITCHGEAR = int(Switchgear.NONE)
FEEDBACK = ("feedback_minus", "feedback_precharge", "feedback_plus", "feedback_charge", "feedback_discharge")


class Reading(NamedTuple):
    """One signal now. value is the worst known one in the row's own direction."""

    value: Floats  # (string,) −inf where nothing is known or it does not apply
    known: Bools  # (string,) every element is known
    time_ns: Ints  # (string,) when the worst one was measured
    elements: Floats | None = None  # (cell,) or (temp,): for naming the culprit
    axis: str = "string"


@dataclass(frozen=True, slots=True)
class Look:
    """What decide may see: measurements, their memory, the switchgear. Never an estimate."""

    config: Config
    seen: Seen
    digest: Digest
    watch: Watch
    state: State
    now_ns: int

    def of(self, name: str) -> Floats:
        """Return a signal as seen, one value per element of its axis; NaN = unknown."""
        return self.seen.value[self.config.layout.where[name]]

    def time_ns(self, name: str) -> Ints:
        """Return when each element of a signal was measured."""
        return self.seen.time_ns[self.config.layout.where[name]]

    def per_string(self, x: Floats | Ints | Bools, name: str) -> Floats | Ints | Bools:
        """Return the part of an (owned,) array that belongs to a signal, (string,)."""
        mine = x[self.config.layout.owned[name]]
        return mine[self.config.layout.pack_of_string] if BY_NAME[name].axis == "pack" else mine


def highest(name: str) -> Callable[[Look], Reading]:
    """Highest known element of a measured signal."""
    axis = BY_NAME[name].axis

    def signal(look: Look) -> Reading:
        d = look.digest
        elements = look.of(name) if axis in ("cell", "temp") else None
        value, known, at = (look.per_string(x, name) for x in (d.high, d.known, d.high_ns))
        return Reading(value, known, at, elements, axis)

    return signal


def lowest(name: str) -> Callable[[Look], Reading]:
    """Lowest known element of a measured signal, negative."""
    axis = BY_NAME[name].axis

    def signal(look: Look) -> Reading:
        d = look.digest
        elements = -look.of(name) if axis in ("cell", "temp") else None
        value, known, at = (look.per_string(x, name) for x in (d.low, d.known, d.low_ns))
        return Reading(value, known, at, elements, axis)

    return signal


def _silence(name: str) -> Callable[[Look], Reading]:
    """Seconds beyond its maximum age that the oldest element has not been valid: stale, absurd or missing."""
    axis = BY_NAME[name].axis

    def silence(look: Look) -> Reading:
        value = look.per_string(look.digest.overdue, name)
        elements = None
        if axis in ("cell", "temp"):
            elements = look.now_ns - look.seen.valid_ns[look.config.layout.where[name]].astype(np.float64)
        return Reading(value, look.config.layout.yes, np.full(value.shape, look.now_ns), elements, axis)

    return silence


def _absurd(name: str) -> Callable[[Look], Reading]:
    """1 where the newest sample of a signal is outside its plausible range."""
    axis = BY_NAME[name].axis

    def absurd(look: Look) -> Reading:
        value, at = look.per_string(look.digest.absurd, name), look.per_string(look.digest.absurd_ns, name)
        elements = look.seen.absurd[look.config.layout.where[name]].astype(np.float64)
        return Reading(value, look.config.layout.yes, at, elements if axis in ("cell", "temp") else None, axis)

    return absurd


def _worst(look: Look, elements: Floats, time_ns: Ints, axis: str) -> Reading:
    """Reduce (cell,) or (temp,) to the highest known value of each string."""
    layout = look.config.layout
    known = ~np.isnan(elements)
    lowered = np.where(known, elements, NOT_NOW)
    if axis == "cell":
        value = np.maximum.reduceat(lowered, layout.first_cell)
        at = np.where(lowered == value[layout.string_of_cell], time_ns, NEVER)
        return Reading(value, layout.every(known), np.maximum.reduceat(at, layout.first_cell), elements, axis)
    value = layout.over_temps(np.maximum, lowered, NOT_NOW)
    at = np.where(lowered == value[layout.string_of_temp], time_ns, NEVER)
    return Reading(
        value,
        layout.over_temps(np.logical_and, known, True),
        layout.over_temps(np.maximum, at, NEVER),
        elements,
        axis,
    )


def _one(value: Floats, time_ns: Ints) -> Reading:
    known = ~np.isnan(value)
    return Reading(np.where(known, value, NOT_NOW), known, time_ns)


def _masked(reading: Reading, applies: Bools, sure: Bools) -> Reading:
    """Leave the reading where it applies; elsewhere −inf, which is good. `sure`: we know whether it applies."""
    return reading._replace(value=np.where(applies, reading.value, NOT_NOW), known=reading.known & sure)


def cell_high(look: Look) -> Reading:
    """Highest cell voltage, from the cells or as a foreign BMS reports it."""
    return _foreign(look, _CELL_HIGH(look), +1.0)


def cell_low(look: Look) -> Reading:
    """Lowest cell voltage, negative."""
    return _foreign(look, _CELL_LOW(look), -1.0)


_CELL_HIGH, _CELL_LOW = highest("cell_voltage"), lowest("cell_voltage")
temp_high, temp_low = highest("temp_degC"), lowest("temp_degC")


def _foreign(look: Look, cells: Reading, sign: float) -> Reading:
    """Take the reported extreme where the site measures no cells of its own."""
    name = "cell_voltage_high" if sign > 0 else "cell_voltage_low"
    present = look.config.sensing.present[look.config.layout.where[name]]
    if not present.any():
        return cells
    value, time_ns = sign * look.of(name), look.time_ns(name)
    known = ~np.isnan(value)
    return cells._replace(
        value=np.where(present & known, np.maximum(np.where(known, value, NOT_NOW), cells.value), cells.value),
        known=np.where(present, known, cells.known),
        time_ns=np.where(present, np.maximum(time_ns, cells.time_ns), cells.time_ns),
    )


def cell_spread(look: Look) -> Reading:
    """Highest minus lowest cell."""
    high, low = cell_high(look), cell_low(look)
    return Reading(high.value + low.value, high.known & low.known, np.maximum(high.time_ns, low.time_ns))


def _direction(look: Look, sign: float) -> tuple[Bools, Bools]:
    current = look.of("current")
    return sign * current > look.config.idle_A, ~np.isnan(current)


def temp_high_charging(look: Look) -> Reading:
    """Highest temperature while current charges."""
    return _masked(temp_high(look), *_direction(look, +1.0))


def temp_low_charging(look: Look) -> Reading:
    """Lowest temperature, negative, while current charges."""
    return _masked(temp_low(look), *_direction(look, +1.0))


def temp_low_discharging(look: Look) -> Reading:
    """Lowest temperature, negative, while current discharges."""
    return _masked(temp_low(look), *_direction(look, -1.0))


def temp_spread(look: Look) -> Reading:
    high, low = temp_high(look), temp_low(look)
    return Reading(high.value + low.value, high.known & low.known, np.maximum(high.time_ns, low.time_ns))


def temp_rate(look: Look) -> Reading:
    """Fastest rise of any sensor over the last window, K/s."""
    reading = _worst(look, look.watch.temp_rate, look.watch.temp_ns, "temp")
    return reading._replace(known=look.config.layout.yes)


def charge_over_limit(look: Look) -> Reading:
    """Charge current beyond what was published, A."""
    return _one(look.watch.over_charge_A, look.time_ns("current"))


def discharge_over_limit(look: Look) -> Reading:
    return _one(look.watch.over_discharge_A, look.time_ns("current"))


def sum_difference(look: Look) -> Reading:
    """|sum of cells − string voltage|, V: a lost, drifted or wrongly wired measurement."""
    total = look.config.layout.total(look.of("cell_voltage"))
    newest = np.maximum.reduceat(look.time_ns("cell_voltage"), look.config.layout.first_cell)
    time_ns = np.minimum(newest, look.time_ns("string_voltage"))
    return _one(np.abs(total - look.of("string_voltage")), time_ns)


def current_difference(look: Look) -> Reading:
    """|current − second sensor|, A."""
    return _one(np.abs(look.of("current") - look.of("current_check")), look.time_ns("current_check"))


def cell_frozen(look: Look) -> Reading:
    """How far a cell's reading ought to have moved with the current since it last changed at all, V."""
    layout, config = look.config.layout, look.config
    current = look.of("current")[layout.string_of_cell]
    due = np.abs(current - look.watch.current_then) * config.cell_ohm
    return _worst(look, due, look.time_ns("cell_voltage"), "cell")._replace(known=layout.yes)


def insulation_low(look: Look) -> Reading:
    """Insulation resistance per volt of the string, negative, ohm/V."""
    pack = look.config.layout.pack_of_string
    return _one(
        -look.of("insulation")[pack] / np.maximum(look.of("string_voltage"), 1.0), look.time_ns("insulation")[pack]
    )


def _all_off(look: Look) -> Bools:
    """The string's switchgear is ordered open and had time to follow."""
    command = look.state.command
    off = ~(command.minus | command.precharge | command.plus | command.charge_switch | command.discharge_switch)
    return off & (look.config.switch.kind != NO_SWITCHGEAR) & OFF_PHASES[look.state.switches.phase]


def current_open(look: Look) -> Reading:
    """|current| through a string whose switchgear is ordered open, A."""
    reading = _one(np.abs(look.of("current")), look.time_ns("current"))
    return _masked(reading, _all_off(look), look.config.layout.yes)


def _contact(look: Look, stuck_closed: bool) -> Reading:
    """1 where an auxiliary contact contradicts its coil; contacts lie side by side in the sample."""
    layout, command, n = look.config.layout, look.state.command, look.config.layout.yes.size
    where = slice(layout.where[FEEDBACK[0]].start, layout.where[FEEDBACK[-1]].stop)
    closed, present = look.seen.value[where].reshape(-1, n), look.config.sensing.present[where].reshape(-1, n)
    ordered = np.array(
        (command.minus, command.precharge, command.plus, command.charge_switch, command.discharge_switch)
    )
    wrong = present & (ordered != stuck_closed) & (closed == float(stuck_closed))
    time_ns = np.where(wrong.any(axis=0) & ~wrong, NEVER, look.seen.time_ns[where].reshape(-1, n)).max(axis=0)
    known = ~(present & np.isnan(closed)).any(axis=0)
    return Reading(wrong.any(axis=0).astype(np.float64), known, time_ns)


def contact_welded(look: Look) -> Reading:
    """1 where a contact stays closed although ordered open."""
    return _contact(look, stuck_closed=True)


def contact_stuck_open(look: Look) -> Reading:
    """1 where a contact stays open although ordered closed."""
    return _contact(look, stuck_closed=False)


def link_follows(look: Look) -> Reading:
    """1 where the link is still at string voltage although all switches are ordered open: welded by voltage."""
    string, link = look.of("string_voltage"), look.of("link_voltage")
    same = np.abs(string - link) <= 0.05 * np.abs(string)
    reading = _one(
        np.where(np.isnan(string) | np.isnan(link), np.nan, same.astype(np.float64)), look.time_ns("link_voltage")
    )
    return _masked(reading, _all_off(look), look.config.layout.yes)


def precharge_failures(look: Look) -> Reading:
    """Precharge attempts since the last success, for strings whose tries are used up."""
    tries = look.state.switches.tries
    used = np.where(tries >= look.config.switch.tries, 1.0, 0.0)
    return Reading(used, look.config.layout.yes, np.full(used.shape, look.now_ns))


def open_under_load(look: Look) -> Reading:
    """|current| that still flows in phase OPENING, A: the switch does not break it, only a fuse will."""
    reading = _one(np.abs(look.of("current")), look.time_ns("current"))
    opening = look.state.switches.phase == OPENING
    return _masked(reading, opening, look.config.layout.yes)


def contact_wear(look: Look) -> Reading:
    wear = look.state.switches.wear
    return Reading(wear, look.config.layout.yes, np.full(wear.shape, look.now_ns))


SIGNALS: dict[str, Callable[[Look], Reading]] = {
    "cell_high": cell_high,
    "cell_low": cell_low,
    "cell_deep": cell_low,
    "cell_spread": cell_spread,
    "cell_frozen": cell_frozen,
    "cell_open_wire": highest("cell_open_wire"),
    "cell_silence": _silence("cell_voltage"),
    "cell_absurd": _absurd("cell_voltage"),
    "temp_high": temp_high,
    "temp_high_charging": temp_high_charging,
    "temp_low_charging": temp_low_charging,
    "temp_low_discharging": temp_low_discharging,
    "temp_spread": temp_spread,
    "temp_rate": temp_rate,
    "temp_silence": _silence("temp_degC"),
    "temp_absurd": _absurd("temp_degC"),
    "charge_current": highest("current"),
    "discharge_current": lowest("current"),
    "charge_over_limit": charge_over_limit,
    "discharge_over_limit": discharge_over_limit,
    "current_silence": _silence("current"),
    "current_absurd": _absurd("current"),
    "current_difference": current_difference,
    "current_open": current_open,
    "sum_difference": sum_difference,
    "string_voltage_silence": _silence("string_voltage"),
    "link_voltage_silence": _silence("link_voltage"),
    "feedback_silence": _silence("feedback_plus"),
    "emergency_stop_silence": _silence("emergency_stop"),
    "interlock_silence": _silence("interlock_open"),
    "emergency_stop": highest("emergency_stop"),
    "interlock_open": highest("interlock_open"),
    "crash": highest("crash"),
    "gas": highest("gas"),
    "foreign_alarm": highest("foreign_alarm"),
    "foreign_silence": _silence("foreign_alarm"),
    "insulation_low": insulation_low,
    "supply_low": lowest("supply_voltage"),
    "contact_welded": contact_welded,
    "contact_stuck_open": contact_stuck_open,
    "link_follows": link_follows,
    "precharge_failures": precharge_failures,
    "open_under_load": open_under_load,
    "contact_wear": contact_wear,
}
