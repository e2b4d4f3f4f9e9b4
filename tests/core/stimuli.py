"""How to make every signal of the fault table read a wanted value on a bench: the physical value that the row names.

A stimulus is applied every cycle. It may only do what a broken world could: change readings, or (for wear and spent
tries) the memory of the switchgear. `freezes` names the readings whose repetition must not count as a new sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from tests.core.bench import Bench

from cellarer.core.decide import signals
from cellarer.core.followed import MORE, OVER_LIMIT
from cellarer.model.config import SENSOR_SHARE
from cellarer.model.values import CELL_SUSPICIONS, SUSPICIONS, Phase

Apply = Callable[[Bench, int, float], None]
ON = 0.5  # above it a fact is true


class Stimulus(NamedTuple):
    """apply(bench, string, x); the state it starts from; readings that carry its freshness."""

    apply: Apply
    begins: str = "closed"  # or open
    freezes: tuple[str, ...] = ()


def first(bench: Bench, string: int) -> int:
    return int(bench.layout.first_cell[string]) + 1


def temps(bench: Bench, string: int) -> np.ndarray:
    return np.flatnonzero(bench.layout.string_of_temp == string)


def pack(bench: Bench, string: int) -> int:
    return int(bench.layout.pack_of_string[string])


def has_cells(bench: Bench) -> bool:
    return bool(bench.config.sensing.present[bench.layout.where["cell_voltage"]].any())


def cell(name: str) -> Apply:
    def apply(bench: Bench, string: int, x: float) -> None:
        if has_cells(bench):
            bench.put("cell_voltage", x, first(bench, string))
        else:
            bench.put(name, x, string)

    return apply


def cell_spread(bench: Bench, string: int, x: float) -> None:
    mine = bench.layout.string_of_cell == string
    bench.put("cell_voltage", bench.cells[mine], mine)
    bench.put("cell_voltage", bench.cells[mine].min() + x, first(bench, string))


def cell_apart(bench: Bench, string: int, x: float) -> None:
    """Lift one cell by x more than 3 % of charge makes there."""
    mine = bench.layout.string_of_cell == string
    low, at = bench.cells[mine].min(), first(bench, string)
    high = np.linspace(low, low + 1.5, 150_001)
    over = (
        high
        - low
        - signals.usual(bench.config, bench.config.cell_kind[[at]], np.array((high, np.full_like(high, low))))
    )
    bench.put("cell_voltage", bench.cells[mine], mine)
    bench.put("cell_voltage", np.interp(x, np.maximum.accumulate(over), high), at)


def cell_frozen(bench: Bench, string: int, x: float) -> None:
    """Hold one reading while current and neighbours move: the neighbours by more than the current asks for."""
    at, watch = first(bench, string), bench.state.watch
    others = bench.layout.string_of_cell == string
    others[at] = False
    moved = watch.others_then[at] + 3.0 * x
    bench.put("cell_voltage", bench.cells[at] + 2e-4, at)
    bench.put("cell_voltage", moved if moved > 0.0 else bench.cells[others], others)
    bench.put("current", watch.current_then[at] + x / bench.config.cell_ohm[at], string)


def cell_open_wire(bench: Bench, string: int, x: float) -> None:
    bench.put("cell_open_wire", x, first(bench, string))


def bleeding(bench: Bench, string: int, x: float) -> None:
    bench.put("cell_bleeding", x, first(bench, string))


def absurd(name: str, value: float, at: Callable[[Bench, int], int]) -> Apply:
    def apply(bench: Bench, string: int, x: float) -> None:
        if x > ON:
            bench.put(name, value, at(bench, string))
        else:
            where = bench.layout.where[name]
            bench.value[where][at(bench, string)] = 25.0 if name == "temp_degC" else 0.0
            bench.let_go(name, at(bench, string))

    return apply


def temp(current: float | None) -> Apply:
    def apply(bench: Bench, string: int, x: float) -> None:
        bench.put("temp_degC", x, temps(bench, string)[-1])
        if current is not None:
            bench.put("current", current, string)

    return apply


def temp_spread(bench: Bench, string: int, x: float) -> None:
    bench.put("temp_degC", 25.0 + x, temps(bench, string)[0])


def current(sign: float) -> Apply:
    def apply(bench: Bench, string: int, x: float) -> None:
        bench.put("current", sign * x, string)

    return apply


def refill_current(bench: Bench, string: int, x: float) -> None:
    name = "cell_voltage" if has_cells(bench) else "cell_voltage_low"
    empty = 0.5 * (bench.config.limits.precondition_V[string] + bench.config.limits.discharge_zero_V[string])
    bench.put(
        name,
        min(empty, bench.config.limits.precondition_V[string] - 0.01),
        first(bench, string) if has_cells(bench) else string,
    )
    bench.put("current", x, string)


def over_limit(sign: float, name: str, share: float = OVER_LIMIT) -> Apply:
    way = ("charge_A", "discharge_A").index(name)

    def apply(bench: Bench, string: int, x: float) -> None:  # beyond every limit of the last seconds
        limit = np.fmax(getattr(bench.state.window, name), bench.state.watch.told_A[:, way].max(axis=0))[string]
        limits = bench.config.limits
        rated = max(limits.rated_charge_A[string], limits.rated_discharge_A[string])
        wrong = max(SENSOR_SHARE * rated, bench.config.idle_A[string])
        bench.put("current", sign * (share * limit + wrong + x), string)

    return apply


def current_difference(bench: Bench, string: int, x: float) -> None:
    bench.put("current_check", bench.of("current")[string] + x, string)


def sum_difference(bench: Bench, string: int, x: float) -> None:
    mine = bench.layout.string_of_cell == string
    bench.put("cell_voltage", bench.cells[mine], mine)
    bench.put("string_voltage", bench.cells[mine].sum() + x, string)


def of_pack(name: str) -> Apply:
    def apply(bench: Bench, string: int, x: float) -> None:
        bench.put(name, x, pack(bench, string))

    return apply


def of_string(name: str) -> Apply:
    def apply(bench: Bench, string: int, x: float) -> None:
        bench.put(name, x, string)

    return apply


def insulation(bench: Bench, string: int, x: float) -> None:
    strings = bench.layout.pack_of_string == pack(bench, string)
    volts = bench.layout.total(bench.cells)[string]
    bench.put("string_voltage", volts, strings)
    bench.put("insulation", x * volts, pack(bench, string))


def contact(closed: float) -> Apply:
    """A contact that shows `closed` whatever it is told, while x is true."""

    def apply(bench: Bench, string: int, x: float) -> None:
        pair = bench.config.sensing.present[bench.layout.where["feedback_plus"]][string]
        name = "feedback_plus" if pair else "feedback_discharge"
        if x > ON:
            bench.put(name, closed, string)
        else:
            bench.let_go(name, string)

    return apply


def link_follows(bench: Bench, string: int, x: float) -> None:
    bench.put("link_voltage", bench.layout.total(bench.cells)[string] if x > ON else 0.0, string)


def switches(bench: Bench, string: int, **values: float) -> None:
    """Change the memory of one string's switchgear."""
    now = bench.state.switches
    new = {}
    for name, value in values.items():
        array = getattr(now, name).copy()
        array[string] = value
        new[name] = array
    bench.state = replace(bench.state, switches=replace(now, **new))


def precharge_failures(bench: Bench, string: int, x: float) -> None:
    tries = bench.config.switch.tries[string]
    if x > ON:
        switches(bench, string, tries=tries, phase=Phase.COOLING, since_ns=bench.now_ns - 1)
    else:
        switches(bench, string, tries=0)


def open_under_load(bench: Bench, string: int, x: float) -> None:
    bench.put("current", x, string)
    switches(bench, string, phase=Phase.OPENING, since_ns=bench.now_ns - 1)


def contact_slow(bench: Bench, string: int, x: float) -> None:
    switches(bench, string, phase=Phase.MINUS, since_ns=bench.now_ns - 1)
    if x > ON:
        bench.put("feedback_minus", 0.0, string)
    else:
        bench.let_go("feedback_minus", string)


def refill_draw(bench: Bench, string: int, x: float) -> None:
    """Let a closed pair be one that is closed for charging only. Open it has no current that is told."""
    if bench.command.plus[string]:
        switches(bench, string, phase=Phase.CHARGE_ONLY, since_ns=bench.now_ns - 1)
    bench.put("current", -x, string)


def refill_lost(bench: Bench, string: int, x: float) -> None:
    """Let a closed pair be one that is closed for charging only, and its lowest cell have stood higher then."""
    deep, low = bench.config.limits.deep_V[string], bench.cells[first(bench, string)] - 0.01
    cell("cell_voltage_low")(bench, string, low)
    if bench.command.plus[string]:
        switches(bench, string, phase=Phase.CHARGE_ONLY, refill_V=(low - x * deep) / (1.0 - x))


def hot_spot(bench: Bench, string: int, x: float) -> None:
    bench.put("temp_degC", 25.0, temps(bench, string))
    bench.put("temp_degC", 25.0 + x, temps(bench, string)[0])


def heater_unasked(bench: Bench, string: int, x: float) -> None:
    """Let coolant be warm with a heater that was never ordered on."""
    bench.put("coolant_degC", 25.0 + x, pack(bench, string))


def chiller_unasked(bench: Bench, string: int, x: float) -> None:
    bench.put("coolant_degC", 20.0 - x, pack(bench, string))


def flow_lost(bench: Bench, string: int, x: float) -> None:
    """Let cooling have begun long ago with cells 20 K above the surroundings, and x of it be left."""
    n, around = bench.layout.size["pack"], 15.0
    bench.state = replace(bench.state, climate=replace(
        bench.state.climate, cooling=np.ones(n, bool), cooling_ns=np.full(n, bench.now_ns - 10**13),
        began_degC=np.full(n, around + 20.0)))  # fmt: skip
    bench.put("ambient_degC", around, pack(bench, string))
    bench.put("temp_degC", around + 20.0 * x, temps(bench, string))


def contact_wear(bench: Bench, string: int, x: float) -> None:
    switches(bench, string, wear=x)


def suspected(index: int) -> Apply:
    """The estimators say so, in a look of their own."""

    def apply(bench: Bench, string: int, x: float) -> None:
        told = bench.state.diagnosis
        value, known, cell, time_ns = (a.copy() for a in (told.value, told.known, told.cell, told.time_ns))
        value[index, string], known[index, string] = x, True
        cell[index, string] = first(bench, string) if index < len(CELL_SUSPICIONS) else -1
        time_ns[:] = bench.now_ns
        diagnosis = replace(told, value=value, known=known, cell=cell, time_ns=time_ns)
        bench.state = replace(bench.state, diagnosis=diagnosis)

    return apply


CELLS = ("cell_voltage", "cell_voltage_high", "cell_voltage_low")
STIMULI: dict[str, Stimulus] = {
    "cell_high": Stimulus(cell("cell_voltage_high"), freezes=CELLS),
    "cell_low": Stimulus(cell("cell_voltage_low"), freezes=CELLS),
    "cell_deep": Stimulus(cell("cell_voltage_low"), freezes=CELLS),
    "cell_spread": Stimulus(cell_spread, freezes=CELLS),
    "cell_apart": Stimulus(cell_apart, freezes=CELLS),
    "cell_frozen": Stimulus(cell_frozen, freezes=CELLS),
    "cell_open_wire": Stimulus(cell_open_wire),
    "bleed_unasked": Stimulus(bleeding, freezes=("cell_bleeding",)),
    "cell_absurd": Stimulus(absurd("cell_voltage", 6.5, first), freezes=("cell_voltage",)),
    "temp_high": Stimulus(temp(None), freezes=("temp_degC",)),
    "temp_high_charging": Stimulus(temp(10.0), freezes=("temp_degC",)),
    "temp_low_charging": Stimulus(temp(10.0), freezes=("temp_degC",)),
    "temp_low_discharging": Stimulus(temp(-10.0), freezes=("temp_degC",)),
    "temp_spread": Stimulus(temp_spread, freezes=("temp_degC",)),
    "temp_absurd": Stimulus(absurd("temp_degC", -60.0, lambda b, s: int(temps(b, s)[0])), freezes=("temp_degC",)),
    "charge_current": Stimulus(current(1.0), freezes=("current",)),
    "discharge_current": Stimulus(current(-1.0), freezes=("current",)),
    "charge_over_limit": Stimulus(over_limit(1.0, "charge_A"), freezes=("current",)),
    "discharge_over_limit": Stimulus(over_limit(-1.0, "discharge_A"), freezes=("current",)),
    "charge_defied": Stimulus(over_limit(1.0, "charge_A", OVER_LIMIT + MORE), freezes=("current",)),
    "discharge_defied": Stimulus(over_limit(-1.0, "discharge_A", OVER_LIMIT + MORE), freezes=("current",)),
    "refill_current": Stimulus(refill_current, freezes=("current",)),
    "refill_draw": Stimulus(refill_draw, freezes=("current",)),
    "refill_lost": Stimulus(refill_lost, freezes=("cell_voltage",)),
    "current_absurd": Stimulus(absurd("current", 6000.0, lambda b, s: s), freezes=("current",)),
    "current_difference": Stimulus(current_difference, freezes=("current_check",)),
    "sum_difference": Stimulus(sum_difference, freezes=("string_voltage",)),
    "emergency_stop": Stimulus(of_pack("emergency_stop")),
    "interlock_open": Stimulus(of_pack("interlock_open"), freezes=("interlock_open",)),
    "crash": Stimulus(of_pack("crash")),
    "gas": Stimulus(of_pack("gas"), freezes=("gas",)),
    "foreign_alarm": Stimulus(of_string("foreign_alarm")),
    "insulation_low": Stimulus(insulation, freezes=("insulation",)),
    "supply_low": Stimulus(of_pack("supply_voltage"), freezes=("supply_voltage",)),
    "contact_welded": Stimulus(contact(1.0), "open", freezes=("feedback_plus", "feedback_discharge")),
    "contact_stuck_open": Stimulus(contact(0.0), freezes=("feedback_plus", "feedback_discharge")),
    "contact_slow": Stimulus(contact_slow, freezes=("feedback_minus", "feedback_precharge", "feedback_plus")),
    "link_follows": Stimulus(link_follows, "open", freezes=("link_voltage",)),
    "precharge_failures": Stimulus(precharge_failures, "open"),
    "open_under_load": Stimulus(open_under_load, "open", freezes=("current",)),
    "contact_wear": Stimulus(contact_wear),
    **{name: Stimulus(suspected(index), freezes=("cell_voltage",)) for index, name in enumerate(SUSPICIONS)},
    "hot_spot": Stimulus(hot_spot, freezes=("temp_degC",)),
    "heater_unasked": Stimulus(heater_unasked, freezes=("coolant_degC",)),
    "chiller_unasked": Stimulus(chiller_unasked, freezes=("coolant_degC",)),
    "flow_lost": Stimulus(flow_lost, freezes=("temp_degC",)),
}

# Signals made of medians over three samples: they see a change one sample later.
BY_MEDIAN = {"sum_difference", "cell_apart", "temp_spread", "hot_spot", "flow_lost"}

# Signals that only time can move; they have tests of their own in test_rows.py.
SILENCES: dict[str, str] = {
    "cell_silence": "cell_voltage",
    "temp_silence": "temp_degC",
    "current_silence": "current",
    "string_voltage_silence": "string_voltage",
    "link_voltage_silence": "link_voltage",
    "feedback_silence": "feedback_minus",
    "switch_feedback_silence": "feedback_discharge",
    "emergency_stop_silence": "emergency_stop",
    "interlock_silence": "interlock_open",
    "crash_silence": "crash",
    "open_wire_silence": "cell_open_wire",
    "gas_silence": "gas",
    "insulation_silence": "insulation",
    "coolant_silence": "coolant_degC",
    "foreign_silence": "foreign_alarm",
}
OWN_TESTS = {
    "temp_rate",
    "runaway",
    "runaway_precursor",
    "cell_stuck",
    "current_reversed",
    "current_unanswered",
    "current_open",
    "converter_off",
    "bleed_refused",
}  # test_response.py, test_open_current.py, test_balance.py
TIMED = {*SILENCES, *OWN_TESTS}
