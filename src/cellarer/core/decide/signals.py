"""What a fault row can look at: named functions that give one value per string, from measurements alone.

A signal returns a Reading: the worst value of the elements that are known, whether all of them are known, and when the
worst one was measured; which cell it was is looked up only when a row changes (`elements`). Unknown elements never hide
known ones: a fault on one cell is seen while its neighbour's wire is broken. And they never count as good: `known` is
False, so nothing is cleared. −inf means: does not apply now. Rows that look from below use the negative.
Add a signal by adding a function to SIGNALS; what it needs to be measured and its rows stand in config/faults.toml.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cellarer.core import excess
from cellarer.core.decide import signals_gear as gear
from cellarer.core.decide import signals_heat as heat
from cellarer.core.decide.converters import own_A
from cellarer.core.decide.derived import DERIVED, NEIGHBOURS_V
from cellarer.core.decide.look import FEEDBACK, Reading, bleeders, hides, masked, one, worst
from cellarer.core.decide.look import NO_SWITCHGEAR as NO_SWITCHGEAR
from cellarer.core.decide.look import Look as Look
from cellarer.core.decide.look import has_switchgear as has_switchgear
from cellarer.core.digest import HIGH, KINDS, LOW, NOT_NOW, OVERDUE
from cellarer.core.followed import MORE
from cellarer.model.cell import SOC_POINTS
from cellarer.model.config import Config, Switchgear, Topology
from cellarer.model.quantities import BY_NAME
from cellarer.model.values import CELL_SUSPICIONS, SUSPICIONS, Floats, Ints, Phase

CHARGE, DISCHARGE, BOTH = range(3)  # of Watch.excess
LEAST_ORDER = 0.1  # of a converter's full current: of less than this a reading says little (own estimate)
PAIR, CHARGE_ONLY = int(Switchgear.CONTACTORS), int(Phase.CHARGE_ONLY)
# Sound cells differ so much where they are not balanced: three sigma either way of a capacity spread of 0.3 to 1 %
APART_SOC = 0.03
APART_STEP_V, APART_STEPS = 0.005, 1001  # of the table of it
STEPS = 2.4  # three steps of current, older ones counting less: before them the answer says nothing


@dataclass(frozen=True, slots=True)
class Measured:
    """A signal that is one reduction of one measured quantity; the fault machine reads all of these in one gather.

    Called by itself it disregards the flow.
    """

    name: str  # of the quantity
    kind: str  # of the reduction: high, low (negative), overdue, absurd
    flow: str = (
        "any"  # current for which it applies: any, charging, discharging; otherwise it reads −inf, which is good
    )

    def __call__(self, look: Look) -> Reading:
        """Return it for its strings."""
        digest, kind, layout = look.digest, KINDS.index(self.kind), look.config.layout
        at: slice | Ints = layout.owned[self.name]
        if BY_NAME[self.name].axis == "pack":
            at = layout.owned[self.name].start + layout.pack_of_string
        return Reading(digest.value[kind, at], digest.known[kind, at], digest.time_ns[kind, at])

    def elements(self, look: Look) -> tuple[Floats, str] | None:
        """Return what the value was the worst of, and its axis; None for string-wide quantities."""
        axis, where = BY_NAME[self.name].axis, look.config.layout.where[self.name]
        if axis not in ("cell", "temp"):
            return None
        match self.kind:
            case "high":
                return look.seen.value[where], axis
            case "low":
                return -look.seen.value[where], axis
            case "overdue":
                return -look.seen.valid_ns[where].astype(np.float64), axis
            case _:
                return look.seen.absurd[where].astype(np.float64), axis


@dataclass(frozen=True, slots=True)
class Suspected:
    """A signal that an estimate makes suspect (diagnose.py); the only one that is no measurement."""

    index: int  # in SUSPICIONS

    def __call__(self, look: Look) -> Reading:
        d = look.state.diagnosis
        return Reading(d.value[self.index], d.known[self.index], d.time_ns[self.index])

    def elements(self, look: Look) -> tuple[Floats, str] | None:
        """Return what `Measured.elements` returns; only the worst cell of each string is kept."""
        if self.index >= len(CELL_SUSPICIONS):  # of the whole string
            return None
        values, cell = np.full(look.config.layout.size["cell"], NOT_NOW), look.state.diagnosis.cell[self.index]
        values[cell[cell >= 0]] = look.state.diagnosis.value[self.index][cell >= 0]
        return values, "cell"


def cell_high(look: Look) -> Reading:
    """Highest cell voltage, from the cells or as a foreign BMS reports it."""
    return _foreign(look, _CELL_HIGH(look), +1.0)


def cell_low(look: Look) -> Reading:
    """Lowest cell voltage, negative."""
    return _foreign(look, _CELL_LOW(look), -1.0)


_CELL_HIGH, _CELL_LOW = Measured("cell_voltage", "high"), Measured("cell_voltage", "low")
temp_high, temp_low = Measured("temp_degC", "high"), Measured("temp_degC", "low")


def _foreign(look: Look, cells: Reading, sign: float) -> Reading:
    """Take the reported extreme where the site measures no cells of its own."""
    name = "cell_voltage_high" if sign > 0 else "cell_voltage_low"
    foreign = hides(look.config)
    if foreign is None:
        return cells
    present = foreign[HIGH if sign > 0 else LOW]
    value, time_ns = sign * look.of(name), look.time_ns(name)
    known = ~np.isnan(value)
    return Reading(
        value=np.where(present & known, np.maximum(np.where(known, value, NOT_NOW), cells.value), cells.value),
        known=np.where(present, known, cells.known),
        time_ns=np.where(present, np.maximum(time_ns, cells.time_ns), cells.time_ns),
    )


def cell_spread(look: Look) -> Reading:
    """Highest minus lowest cell."""
    reading = _spread(look, "cell_voltage")
    foreign = hides(look.config)
    if foreign is None:
        return reading
    high, low = cell_high(look), cell_low(look)
    said = foreign.any(axis=0)
    return Reading(
        value=np.where(said, high.value + low.value, reading.value),
        known=np.where(said, high.known & low.known, reading.known),
        time_ns=np.where(said, np.maximum(high.time_ns, low.time_ns), reading.time_ns),
    )


def cell_apart(look: Look) -> Reading:
    """Highest minus lowest cell, less what APART_SOC of charge makes on the curve there, V.

    Cells of one make differ in capacity: where the curve is steep, at its ends, sound ones are tenths of a volt apart.
    """
    found = look.derived if hides(look.config) is None else None
    row = DERIVED.index("cell_spread")
    spread = Reading(found.value[row], found.known[row], found.time_ns[row]) if found else cell_spread(look)
    kind = look.config.cell_kind[look.config.layout.first_cell]
    return Reading(spread.value - usual(look.config, kind, look.extremes[:2]), spread.known, spread.time_ns)


def usual(config: Config, kind: Ints, ends: Floats) -> Floats:
    """Return how far APART_SOC of charge sets cells apart at these highest and lowest voltages, (2, string), V."""
    place = np.minimum(np.maximum(np.where(np.isnan(ends), 0.0, ends) / APART_STEP_V, 0.0), APART_STEPS - 1.001)
    at, table, way = place.astype(np.int64), _apart(config), [[0], [1]]
    made = table[way, kind, at] + (place - at) * (table[way, kind, at + 1] - table[way, kind, at])
    return np.asarray(made.max(axis=0))


@lru_cache(maxsize=16)
def _apart(config: Config) -> Floats:
    """Return what APART_SOC less, and more, than the SOC of a voltage make, V: (2, kind, voltage), at 25 degC."""
    volts, soc = APART_STEP_V * np.arange(APART_STEPS), np.linspace(0.0, 1.0, SOC_POINTS)
    made = []
    for model in config.models:
        ocv = np.maximum.accumulate(model.ocv[np.abs(model.temp_degC - 25.0).argmin()])
        z = np.interp(volts, ocv, soc)
        made.append([np.abs(np.interp(z + way * APART_SOC, soc, ocv) - np.interp(z, soc, ocv)) for way in (-1.0, 1.0)])
    return np.array(made).transpose(1, 0, 2)


def temp_spread(look: Look) -> Reading:
    """Hottest minus coldest sensor."""
    return _spread(look, "temp_degC")


def _spread(look: Look, name: str) -> Reading:
    """Highest minus lowest known element of each string, by medians: a single wild sample spreads nothing."""
    calm, layout = look.calm[name], look.config.layout
    known = ~np.isnan(calm)
    ends = np.where(known, calm, NOT_NOW), np.where(known, -calm, NOT_NOW)
    if name == "cell_voltage":
        high, low = (layout.highest(end) for end in ends)
    else:
        high, low = (layout.over_temps(np.maximum, end, NOT_NOW) for end in ends)
    of_high, of_low = Measured(name, "high")(look), Measured(name, "low")(look)
    return Reading(high + low, of_high.known, np.maximum(of_high.time_ns, of_low.time_ns))


def charge_over_limit(look: Look) -> Reading:
    """Charge current beyond what was published, by more than a share of it and what sensors may be wrong, A."""
    return _inside(look, one(look.watch.over_charge_A, look.time_ns("current")), excess.IGNORED, CHARGE)


def discharge_over_limit(look: Look) -> Reading:
    return _inside(look, one(look.watch.over_discharge_A, look.time_ns("current")), excess.IGNORED, DISCHARGE)


def charge_defied(look: Look) -> Reading:
    """Charge current beyond what was published, by twice that share, A."""
    over = look.watch.over_charge_A - MORE * look.watch.allowed_charge_A
    return _inside(look, one(over, look.time_ns("current")), excess.DEFIED, CHARGE)


def discharge_defied(look: Look) -> Reading:
    over = look.watch.over_discharge_A - MORE * look.watch.allowed_discharge_A
    return _inside(look, one(over, look.time_ns("current")), excess.DEFIED, DISCHARGE)


def charge_current(look: Look) -> Reading:
    """Charge current, A."""
    return _inside(look, Measured("current", "high")(look), excess.HIGHEST, CHARGE)


def discharge_current(look: Look) -> Reading:
    """Discharge current, A."""
    return _inside(look, Measured("current", "low")(look), excess.HIGHEST, DISCHARGE)


def _inside(look: Look, reading: Reading, bound: int, way: int) -> Reading:
    """Leave the reading unknown to be inside a bound as long as what was beyond it lately is not paid back."""
    kept = look.watch.excess[bound]
    if not np.count_nonzero(kept):
        return reading
    known = reading.known & (kept[way] <= excess.LEAST) & (kept[BOTH] <= excess.LEAST)
    return Reading(reading.value, known, reading.time_ns)


def refill_current(look: Look) -> Reading:
    """Charge current while a cell is below its precondition voltage, A: an empty cell bears little."""
    current = Measured("current", "high")(look)
    empty = look.extremes[1] < look.config.limits.precondition_V
    return masked(current, empty, ~np.isnan(look.extremes[1]))


def refill_draw(look: Look) -> Reading:
    """Discharge current of a pair that is closed for charging only, A."""
    current, switches = Measured("current", "low")(look), look.state.switches
    only = (look.config.switch.kind == PAIR) & (switches.phase == CHARGE_ONLY) & look.in_phase(current.time_ns)
    return masked(current, only, look.config.layout.yes)


def refill_lost(look: Look) -> Reading:
    """Share of the voltage above deep discharge that a pair closed to be charged only lost since charge last came, 1.

    A current too small to be told from the error of its sensor empties a cell all the same; its voltage shows it.
    """
    switches, low = look.state.switches, look.extremes[1]
    best, deep = switches.refill_V, look.config.limits.deep_V
    only = (look.config.switch.kind == PAIR) & (switches.phase == CHARGE_ONLY) & (best > deep)
    lost = np.where(only, (best - low) / np.where(only, best - deep, 1.0), 0.0)
    return masked(one(lost, cell_low(look).time_ns), only, look.config.layout.yes)


def sum_difference(look: Look) -> Reading:
    """|sum of cells − string voltage|, V, by medians: a lost, drifted or wrongly wired measurement."""
    newest = np.maximum.reduceat(look.time_ns("cell_voltage"), look.config.layout.first_cell)
    time_ns = np.minimum(newest, look.time_ns("string_voltage"))
    total = look.config.layout.total(look.calm["cell_voltage"])
    return one(np.abs(total - look.calm["string_voltage"]), time_ns)


def current_difference(look: Look) -> Reading:
    """|current − second sensor|, A."""
    return one(np.abs(look.current - look.of("current_check")), look.time_ns("current_check"))


def cell_frozen(look: Look) -> Reading:
    """How far a cell's reading ought to have moved, by current and by its neighbours, since it last changed, V."""
    return worst(look, _frozen(look), look.time_ns("cell_voltage"), "cell")


def _frozen(look: Look) -> Floats:
    moved = look.current[look.config.layout.string_of_cell] - look.watch.current_then
    neighbours = np.abs(look.watch.others - look.watch.others_then)
    return np.minimum(np.abs(moved) * look.config.cell_ohm, neighbours)


def cell_stuck(look: Look) -> Reading:
    """Charge that went past a cell whose reading stands still while its neighbours moved, as a share of capacity."""
    return worst(look, _stuck(look), look.time_ns("cell_voltage"), "cell")


def _stuck(look: Look) -> Floats:
    watch, memory = look.watch, look.watch.response
    passed = np.abs(memory.passed[look.config.layout.string_of_cell] - memory.passed_then)
    share = passed / (3600.0 * look.config.capacity_Ah)
    return np.where(
        np.abs(watch.others - watch.others_then) >= NEIGHBOURS_V, share, np.where(np.isnan(watch.others), np.nan, 0.0)
    )


def current_reversed(look: Look) -> Reading:
    """How much the voltage answers steps of current with the wrong sign: 1 = as much as resistance would rightly."""
    memory = look.watch.response
    value = np.where(memory.steps >= STEPS, -memory.agreed / np.maximum(memory.steps, 1.0), 0.0)
    return Reading(value, look.config.layout.yes, _since(look.config, memory.looked_ns))


def converter_off(look: Look) -> Reading:
    """How far what a converter passes is from what it was ordered, as a share of that, of a tenth of all at least.

    A switched capacitor is ordered no current: voltages make it.
    """
    return worst(look, _converter_off(look), look.time_ns("converter_current"), "cell")


def _converter_off(look: Look) -> Floats:
    table, owner, move = look.config.balance, look.config.layout.string_of_cell, look.state.command.move
    ordered = own_A(look.config, move, look.of("cell_voltage"))
    off = np.abs(look.of("converter_current") - ordered)
    off = off / np.maximum(np.abs(ordered), LEAST_ORDER * table.move_A[owner])
    return np.where(table.topology[owner] == Topology.CAPACITOR, np.nan, off)


def bleed_unasked(look: Look) -> Reading:
    """1 where a cell bleeds that was not ordered to."""
    return worst(look, _bleeds_otherwise(look, False), look.time_ns("cell_bleeding"), "cell")


def bleed_refused(look: Look) -> Reading:
    """1 where a cell does not bleed that was ordered to."""
    return worst(look, _bleeds_otherwise(look, True), look.time_ns("cell_bleeding"), "cell")


def _bleeds_otherwise(look: Look, ordered: bool) -> Floats:
    read = look.of("cell_bleeding")
    off = (look.state.command.bleed == ordered) & ((read > 0.5) != ordered)
    return np.where(np.isnan(read) | ~bleeders(look.config), np.nan, off)


def insulation_low(look: Look) -> Reading:
    """Insulation resistance per volt of the string, negative, ohm/V."""
    pack = look.config.layout.pack_of_string
    return one(
        -look.of("insulation")[pack] / np.maximum(look.of("string_voltage"), 1.0), look.time_ns("insulation")[pack]
    )


def silence(*names: str) -> Callable[[Look], Reading]:
    """Return a signal: how long the longest silent of several string-wide quantities is overdue, s."""

    def read_overdue(look: Look) -> Reading:
        owned = [look.config.layout.owned[name] for name in names]
        value = np.maximum.reduce([look.digest.value[OVERDUE, at] for at in owned])
        return Reading(value, look.config.layout.yes, look.now)

    return read_overdue


def current_unanswered(look: Look) -> Reading:
    """Share of the last step of current that no cell voltage answered, 1; 0 while there is nothing to say."""
    memory = look.watch.response
    return Reading(memory.silence, look.config.layout.yes, _since(look.config, memory.looked_ns))


@lru_cache(maxsize=16)  # answers of the current are looked at every second
def _since(config: Config, time_ns: int) -> Ints:
    """Return one time for all strings, (string,)."""
    return np.full(config.layout.yes.size, time_ns)


SIGNALS: dict[str, Callable[[Look], Reading]] = {
    "cell_high": cell_high,
    "cell_low": cell_low,
    "cell_deep": cell_low,
    "cell_spread": cell_spread,
    "cell_apart": cell_apart,
    "cell_frozen": cell_frozen,
    "cell_stuck": cell_stuck,
    "cell_open_wire": Measured("cell_open_wire", "high"),
    "open_wire_silence": Measured("cell_open_wire", "overdue"),
    "cell_silence": Measured("cell_voltage", "overdue"),
    "cell_absurd": Measured("cell_voltage", "absurd"),
    "temp_high": temp_high,
    "temp_high_charging": Measured("temp_degC", "high", "charging"),
    "temp_low_charging": Measured("temp_degC", "low", "charging"),
    "temp_low_discharging": Measured("temp_degC", "low", "discharging"),
    "temp_spread": temp_spread,
    "temp_rate": heat.temp_rate,
    "runaway": heat.runaway,
    "runaway_precursor": heat.runaway_precursor,
    "temp_silence": Measured("temp_degC", "overdue"),
    "temp_absurd": Measured("temp_degC", "absurd"),
    "charge_current": charge_current,
    "discharge_current": discharge_current,
    "charge_over_limit": charge_over_limit,
    "discharge_over_limit": discharge_over_limit,
    "charge_defied": charge_defied,
    "discharge_defied": discharge_defied,
    "refill_current": refill_current,
    "refill_draw": refill_draw,
    "refill_lost": refill_lost,
    "current_silence": Measured("current", "overdue"),
    "current_absurd": Measured("current", "absurd"),
    "current_difference": current_difference,
    "current_reversed": current_reversed,
    "current_unanswered": current_unanswered,
    "current_open": gear.current_open,
    "sum_difference": sum_difference,
    "string_voltage_silence": Measured("string_voltage", "overdue"),
    "link_voltage_silence": Measured("link_voltage", "overdue"),
    "feedback_silence": silence(*FEEDBACK[:3]),
    "switch_feedback_silence": silence(*FEEDBACK[3:]),
    "emergency_stop_silence": Measured("emergency_stop", "overdue"),
    "interlock_silence": Measured("interlock_open", "overdue"),
    "crash_silence": Measured("crash", "overdue"),
    "gas_silence": Measured("gas", "overdue"),
    "insulation_silence": Measured("insulation", "overdue"),
    "emergency_stop": Measured("emergency_stop", "high"),
    "interlock_open": Measured("interlock_open", "high"),
    "crash": Measured("crash", "high"),
    "gas": Measured("gas", "high"),
    "foreign_alarm": Measured("foreign_alarm", "high"),
    "foreign_silence": Measured("foreign_alarm", "overdue"),
    "converter_off": converter_off,
    "bleed_unasked": bleed_unasked,
    "bleed_refused": bleed_refused,
    "insulation_low": insulation_low,
    "supply_low": Measured("supply_voltage", "low"),
    "contact_welded": gear.contact_welded,
    "contact_stuck_open": gear.contact_stuck_open,
    "contact_slow": gear.contact_slow,
    "link_follows": gear.link_follows,
    "precharge_failures": gear.precharge_failures,
    "open_under_load": gear.open_under_load,
    "contact_wear": gear.contact_wear,
    **{name: Suspected(index) for index, name in enumerate(SUSPICIONS)},
    "hot_spot": heat.hot_spot,
    "heater_unasked": heat.heater_unasked,
    "chiller_unasked": heat.chiller_unasked,
    "coolant_silence": Measured("coolant_degC", "overdue"),
    "flow_lost": heat.flow_lost,
}

# Whose elements name the culprit of a derived signal
CULPRIT: dict[str, Callable[[Look], tuple[Floats, str] | None]] = {
    "cell_high": _CELL_HIGH.elements,
    "cell_low": _CELL_LOW.elements,
    "cell_deep": _CELL_LOW.elements,
    "temp_rate": lambda look: (look.watch.temp_rate, "temp"),
    "hot_spot": lambda look: (look.of("temp_degC"), "temp"),
    "cell_frozen": lambda look: (_frozen(look), "cell"),
    "cell_stuck": lambda look: (_stuck(look), "cell"),
    "converter_off": lambda look: (_converter_off(look), "cell"),
    "bleed_unasked": lambda look: (_bleeds_otherwise(look, False), "cell"),
    "bleed_refused": lambda look: (_bleeds_otherwise(look, True), "cell"),
    "runaway": lambda look: (heat.running_away(look), "temp"),
    "runaway_precursor": lambda look: (heat.heralding(look), "temp"),
}


def elements(look: Look, name: str) -> tuple[Floats, str] | None:
    """Return the elements that a signal was the worst of, and their axis; None for string-wide signals."""
    signal = SIGNALS[name]
    if isinstance(signal, Measured | Suspected):
        return signal.elements(look)
    return CULPRIT[name](look) if name in CULPRIT else None


PLAIN = {"cell_high": (_CELL_HIGH, "cell_voltage_high"), "cell_low": (_CELL_LOW, "cell_voltage_low")}
PLAIN["cell_deep"] = PLAIN["cell_low"]
