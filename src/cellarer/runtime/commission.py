"""Wiring checks before a battery is used: what each answer of the battery to a small disturbance says about its wires.

Four steps, each against what physics must do: at rest (everything is read, the right way round, and adds up; what is
ordered open is open, and nobody says stop), bleeding (the bled cell's reading falls, by the drop on its sense wires,
and no other one), warming (the warmed sensor rises), charging (cell voltages rise when current is said to charge, all
by like amounts). Nothing is charged where a contact, the link or an input forbids it. Does not know how a rig does it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from cellarer.model.config import Config, Switchgear
from cellarer.model.quantities import SIGNALS

Floats = NDArray[np.float64]

LOOK_S = 1.5  # means over this long
LONGEST_S = 70.0  # what comes more seldom is not waited for
SETTLE_S = 1.0  # after a disturbance began or ended
WARM_S = 20.0
PULSE_S = 8.0
PULSE_C = 0.1  # 1/h: charge pulse against capacity
LEADS_OHM = 0.015  # sense leads have at least so much; usual are 50 mΩ
LEAST_DIP_V = 0.0003  # and less than this is not seen by any measuring chip, also as a mean
LEAST_RISE_K = 1.5
LEAST_PULSE = 0.3  # of the current that was asked for: below it none flowed
LIKE = 3.0  # a cell whose voltage moves by this many times the median has a bad joint
JOINTS, JOINTS_PER_CELL = 3.0, 0.03  # what joints between the cells may drop, in cells' own voltage change
ALIKE_V, ALIKE_K = 0.2, 8.0  # at rest cells and sensors differ by less
SUM_SHARE, ZERO_SHARE = 0.02, 0.01
LINK_SHARE, LINK_V = 0.05, 1.0  # link and string are at one voltage: within this share of it, or so many volts
LINK_S = 60.0  # a link that follows is watched for so long: UN R100 gives one this time to come below 60 V
LINK_FELL = 0.005  # of the string's voltage in LINK_S: a link that leaks; what measures it alone takes more
CONTACTS = {
    "feedback_minus": "minus contactor", "feedback_precharge": "precharge contactor", "feedback_plus": "plus contactor",
    "feedback_charge": "charge switch", "feedback_discharge": "discharge switch",
}  # fmt: skip
INPUTS = {
    "emergency_stop": (
        "emergency stop is pressed",
        "release it, or look whether its loop is wired the wrong way round",
    ),
    "interlock_open": ("interlock loop is open", "close covers and plugs; look for a broken wire in the loop"),
    "crash": ("crash signal stands", "find out why before anybody goes on; check the sensor and its wires"),
    "gas": ("gas or smoke sensor has raised", "keep away and air the room; find out why before anybody goes on"),
}
BARS = {*CONTACTS, *INPUTS, "link_voltage"}  # with a finding about one of these nothing is closed
ZERO_TO_DO = "check type and range of the sensor; then ask zero_current"

Level = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer. what: of which signal; to_do: for a person."""

    step: str
    level: Level
    what: str
    text: str
    to_do: str = ""


class Rig(Protocol):
    """What disturbs and measures. None of it may close a contactor that control and guard would not close."""

    config: Config
    steps: tuple[str, ...]  # those that this rig can do, of STEPS
    holds_open: bool  # at rest it orders every output open, so nothing may be closed

    def look(self, seconds: float) -> Floats:
        """Return the mean of every signal over a while, (signal,); NaN = nothing came."""
        ...

    def bleed(self, cell: int | None) -> None:
        """Bleed this cell and no other; None = none."""
        ...

    def warm(self, sensor: int | None) -> None:
        """Let this sensor be warmed; None = none."""
        ...

    def flow(self, current_A: float) -> None:
        """Let about this current charge every string; 0 = none."""
        ...


Check = Callable[[Rig], Iterator[Finding]]


def place(config: Config, axis: str, index: int) -> str:
    """Return a cell, sensor or string as people count it, with its string where there are several."""
    layout = config.layout
    owner = {"cell": layout.string_of_cell, "temp": layout.string_of_temp}.get(axis)
    string = int(owner[index]) if owner is not None else index
    number = index - int((owner < string).sum()) + 1 if owner is not None else index + 1
    name = {"cell": "cell", "temp": "temperature sensor"}.get(axis, axis)
    many = owner is not None and layout.size["string"] > 1
    return f"{name} {number}" + (f" of string {string + 1}" if many else "")


def at_rest(rig: Rig) -> Iterator[Finding]:
    """Check that everything comes, the right way round, and adds up."""
    config, step, layout = rig.config, "rest", rig.config.layout
    seldom_s = config.sensing.max_age_ns * 1e-9
    expected = config.sensing.present & (seldom_s <= LONGEST_S)
    value = rig.look(max(LOOK_S, float(seldom_s[expected].max())))
    for q in SIGNALS:
        where = layout.where[q.name]
        for i in np.flatnonzero(expected[where] & np.isnan(value[where])).tolist():
            what = f"{q.name} of {place(config, q.axis, i)}"
            yield Finding(step, "wrong", what, f"{what}: nothing is read", "check its plug, its address and its link")
    volts, temps = value[layout.where["cell_voltage"]], value[layout.where["temp_degC"]]
    usual = float(np.nanmedian(np.abs(volts))) if np.isfinite(volts).any() else np.nan
    for i in np.flatnonzero(volts < 0.0).tolist():
        said = f"{place(config, 'cell', i)} reads {volts[i]:.3f} V"
        yield Finding(step, "wrong", "polarity", f"{said}: it is wired the wrong way round", "exchange its sense leads")
    for i in np.flatnonzero((volts >= 0.0) & (np.abs(volts - usual) > ALIKE_V)).tolist():
        said = f"{place(config, 'cell', i)} reads {volts[i]:.3f} V, the others {usual:.3f} V"
        yield Finding(
            step, "wrong", "cell voltage", said, "measure it by hand: empty cell, or a lead in the wrong place"
        )
    warm = float(np.nanmedian(temps)) if np.isfinite(temps).any() else np.nan
    for i in np.flatnonzero(np.abs(temps - warm) > ALIKE_K).tolist():
        said = f"{place(config, 'temp', i)} reads {temps[i]:.1f} °C, the others {warm:.1f} °C"
        yield Finding(step, "wrong", "temperature", said, "check sensor type and wires")
    yield from _strings_at_rest(config, value)
    yield from _inputs(config, value)
    if rig.holds_open:
        yield from _contacts(config, value)
        yield from _links(rig, value)


def _inputs(config: Config, value: Floats) -> Iterator[Finding]:
    """Check that nobody says stop."""
    for name, (said, to_do) in INPUTS.items():
        for p in np.flatnonzero(value[config.layout.where[name]] > 0.5).tolist():
            pack = place(config, "pack", p)
            yield Finding("rest", "wrong", f"{name} of {pack}", f"{pack}: {said}", to_do)


def _contacts(config: Config, value: Floats) -> Iterator[Finding]:
    """Check that every contact of ours that is measured reads open."""
    ours = config.switch.kind != Switchgear.NONE
    for name, contact in CONTACTS.items():
        for s in np.flatnonzero(ours & (value[config.layout.where[name]] > 0.5)).tolist():
            string = place(config, "string", s)
            text = f"{string}: its {contact} is ordered open and reads closed"
            to_do = "welded? Measure across it by hand; check the auxiliary contact and its wires"
            yield Finding("rest", "wrong", f"{name} of {string}", text, to_do)


def _links(rig: Rig, value: Floats) -> Iterator[Finding]:
    """Check that no link follows its string. One that does is watched: a charged link falls, a welded one does not.

    A string that its own BMS keeps holds the link up for all: nothing can be told then.
    """
    config, where = rig.config, rig.config.layout.where
    watched = _at_string(config, value) & np.all(config.switch.kind != Switchgear.NONE)
    if not watched.any():
        return
    rig.look(LINK_S)
    later = rig.look(LOOK_S)
    fallen_V, volts = (value - later)[where["link_voltage"]], np.abs(value[where["string_voltage"]])
    for s in np.flatnonzero(watched).tolist():
        string = place(config, "string", s)
        what, link_V = f"link_voltage of {string}", later[where["link_voltage"]][s]
        said = f"{string}: everything is open, and the link behind its contacts is at {link_V:.2f} V"
        if not fallen_V[s] <= LINK_FELL * volts[s]:
            text = f"{said}, {fallen_V[s]:.2f} V less than {LINK_S:.0f} s ago: does it only discharge slowly?"
            yield Finding("rest", "note", what, text, "wait until it is discharged, do not touch it, and start again")
        else:
            text = f"{said} as the string, and does not fall: contacts are welded, or something else feeds it"
            to_do = "disconnect inverter and charger and start again; measure across the contacts by hand"
            yield Finding("rest", "wrong", what, text, to_do)


def _at_string(config: Config, value: Floats) -> NDArray[np.bool_]:
    """Return (string,) where the link is at string voltage; False where one of them is unknown."""
    string, link = value[config.layout.where["string_voltage"]], value[config.layout.where["link_voltage"]]
    same: NDArray[np.bool_] = np.abs(string - link) <= np.maximum(LINK_SHARE * np.abs(string), LINK_V)
    return same


def _strings_at_rest(config: Config, value: Floats) -> Iterator[Finding]:
    """Check sum of cells and zero of the current sensor."""
    layout, limits = config.layout, config.limits
    total = layout.total(np.abs(value[layout.where["cell_voltage"]]))
    measured, current = value[layout.where["string_voltage"]], value[layout.where["current"]]
    rated = np.maximum(limits.rated_charge_A, limits.rated_discharge_A)
    for s in range(layout.size["string"]):
        if abs(measured[s] - total[s]) > SUM_SHARE * total[s]:
            text = f"string {s + 1}: {measured[s]:.2f} V measured, its cells add up to {total[s]:.2f} V"
            yield Finding(
                "rest", "wrong", "string voltage", text, "check number of cells, order, and the voltage's taps"
            )
    together = _connected(config, value)
    for s in np.flatnonzero((np.abs(current) > ZERO_SHARE * rated) & ~together).tolist():
        text = f"string {s + 1}: the current sensor shows {current[s]:.2f} A at rest"
        yield Finding("rest", "wrong", "current zero", text, ZERO_TO_DO)
    if together.any():
        total_A, names = float(current[together].sum()), ", ".join(str(s + 1) for s in np.flatnonzero(together))
        if not abs(total_A) <= ZERO_SHARE * rated[together].sum():
            text = f"strings {names} are connected, and their current sensors show {total_A:.2f} A together at rest"
            yield Finding("rest", "wrong", "current zero", text, f"stop loads and chargers; {ZERO_TO_DO}")
        elif (np.abs(current[together]) > ZERO_SHARE * rated[together]).any():
            text = (
                f"strings {names} are connected and exchange current: the zero of each was not checked, only their sum"
            )
            yield Finding("rest", "note", "current zero", text, "to check each, disconnect all strings but one")


def _connected(config: Config, value: Floats) -> NDArray[np.bool_]:
    """Return (string,) those that are connected to another one, because nothing of ours opens them, or they say so."""
    said = np.zeros(config.layout.size["string"], bool)
    for name in ("feedback_plus", "feedback_charge", "feedback_discharge"):
        said |= value[config.layout.where[name]] > 0.5
    connected = said | (config.switch.kind == Switchgear.NONE)
    return connected & (connected.sum() > 1)


def bleeding(rig: Rig) -> Iterator[Finding]:
    """Bleed one cell after the other: its own reading must fall."""
    config = rig.config
    where = config.layout.where["cell_voltage"]
    swapped: set[tuple[int, int]] = set()
    bled = config.balance.bleed_A[config.layout.string_of_cell] > 0.0
    for s in np.flatnonzero(config.balance.bleed_A == 0.0).tolist():
        text = f"string {s + 1}: the order of its cells was not checked, because nothing of ours bleeds them"
        yield Finding("bleed", "note", "order of cells", text, "let its own BMS bleed one after the other and watch")
    for cell in np.flatnonzero(bled).tolist():
        before = rig.look(LOOK_S)[where]
        rig.bleed(cell)
        rig.look(SETTLE_S)
        dip = np.abs(before) - np.abs(rig.look(LOOK_S)[where])  # also of one that is wired the wrong way round
        rig.bleed(None)
        rig.look(SETTLE_S)
        deepest = int(np.argmax(np.where(np.isnan(dip), -np.inf, dip)))
        here, there = place(config, "cell", cell), place(config, "cell", deepest)
        least_V = max(LEADS_OHM * config.balance.bleed_A[config.layout.string_of_cell[cell]], LEAST_DIP_V)
        if not dip[deepest] >= least_V:
            text = f"{here} was bled and no reading fell"
            yield Finding("bleed", "wrong", "bleeder", text, "check the bleed resistor and the order of the modules")
        elif deepest != cell and (deepest, cell) not in swapped:
            swapped.add((cell, deepest))
            text = f"{here} was bled and {there} fell by {1e3 * dip[deepest]:.1f} mV"
            yield Finding("bleed", "wrong", "order of cells", text, f"exchange the sense leads of {here} and {there}")


def warming(rig: Rig) -> Iterator[Finding]:
    """Warm one sensor after the other: its own reading must rise."""
    config = rig.config
    where = config.layout.where["temp_degC"]
    swapped: set[tuple[int, int]] = set()
    for sensor in range(config.layout.size["temp"]):
        before = rig.look(LOOK_S)[where]
        rig.warm(sensor)
        rig.look(WARM_S)
        rise = rig.look(LOOK_S)[where] - before
        rig.warm(None)
        hottest = int(np.argmax(np.where(np.isnan(rise), -np.inf, rise)))
        here, there = place(config, "temp", sensor), place(config, "temp", hottest)
        if not rise[hottest] >= LEAST_RISE_K:
            yield Finding("warm", "wrong", "temperature", f"{here} was warmed and no reading rose", "check its wires")
        elif hottest != sensor and (hottest, sensor) not in swapped:
            swapped.add((sensor, hottest))
            text = f"{here} was warmed and {there} rose by {rise[hottest]:.1f} K"
            yield Finding(
                "warm", "wrong", "temperature mapping", text, f"exchange {here} and {there}, or their numbers"
            )


def charging(rig: Rig) -> Iterator[Finding]:
    """Charge for a moment: cells rise when the current is said to charge, and all by like amounts."""
    config, layout = rig.config, rig.config.layout
    before, asked_A = rig.look(LOOK_S), PULSE_C * float(config.capacity_Ah.min())
    rig.flow(asked_A)
    rig.look(PULSE_S)
    during = rig.look(LOOK_S)
    rig.flow(0.0)
    cells = layout.where["cell_voltage"]
    rise, flown = np.abs(during[cells]) - np.abs(before[cells]), (during - before)[layout.where["current"]]
    for s in range(layout.size["string"]):
        mine = np.flatnonzero(layout.string_of_cell == s)
        usual, text = float(np.nanmedian(rise[mine])), f"string {s + 1}: {flown[s]:+.1f} A, cells moved by"
        text += f" {1e3 * usual:+.1f} mV"
        if not abs(flown[s]) >= LEAST_PULSE * asked_A:
            said = f"string {s + 1}: the current moved by {flown[s]:+.1f} A only"
            yield Finding("charge", "wrong", "current", said, "was it charged? Check sensor, shunt and their range")
        elif flown[s] * usual < 0.0:
            yield Finding("charge", "wrong", "current sign", text, "turn the current sensor, or its two wires")
        yield from _link_while_charging(config, during, s, abs(flown[s]) >= LEAST_PULSE * asked_A)
        for cell in mine[np.isnan(rise[mine]) | (rise[mine] * np.sign(usual) < 0.0)].tolist():
            said = (
                f"{place(config, 'cell', cell)} moved by {1e3 * rise[cell]:+.1f} mV, the others {1e3 * usual:+.1f} mV"
            )
            yield Finding("charge", "wrong", "cell voltage", said, "look where its sense leads go")
        between = float((during - before)[layout.where["string_voltage"]][s]) - float(np.nansum(rise[mine]))
        if between * np.sign(usual) > (JOINTS + JOINTS_PER_CELL * mine.size) * abs(usual):
            said = f"string {s + 1}: {1e3 * between:+.1f} mV between its cells, a cell moved by {1e3 * usual:+.1f} mV"
            yield Finding("charge", "wrong", "joint", said, "tighten and clean the joints between cells; measure each")
        for cell in mine[np.abs(rise[mine]) > LIKE * abs(usual)].tolist():
            said = (
                f"{place(config, 'cell', cell)} moved by {1e3 * rise[cell]:+.1f} mV, the others {1e3 * usual:+.1f} mV"
            )
            yield Finding("charge", "wrong", "joint", said, "tighten and clean its joints; measure it")


def _link_while_charging(config: Config, during: Floats, s: int, flows: bool) -> Iterator[Finding]:
    """Check that the link is at string voltage while current flows through closed contacts."""
    string_V, link_V = (during[config.layout.where[name]][s] for name in ("string_voltage", "link_voltage"))
    if flows and np.isfinite(string_V + link_V) and not _at_string(config, during)[s]:
        text = f"string {s + 1}: {string_V:.2f} V, the link behind its closed contacts {link_V:.2f} V"
        yield Finding("charge", "wrong", "link voltage", text, "check where its taps go, its plug and its range")


STEPS: dict[str, tuple[str, Check]] = {
    "rest": ("At rest: is everything read, the right way round, and does it add up?", at_rest),
    "bleed": ("Bleeding each cell for a moment: does its own reading fall?", bleeding),
    "warm": ("Warming each temperature sensor: does its own reading rise?", warming),
    "charge": ("Charging for a moment: do current and voltages agree?", charging),
}
BARRED = "not done: nothing is closed before this is put right: {}"
WITHOUT = "not checked: needs {}"
NEEDS = {
    "rest": "links",
    "bleed": "bleeders and a site that does not run",
    "warm": "a person at the battery",
    "charge": "the running site (--running) and a charger",
}


def commission(rig: Rig, tell: Callable[[str], None] = lambda text: None) -> list[Finding]:
    """Go through all steps that the rig can do. What one step finds does not keep the next from being done.

    Except that nothing is closed and charged after a finding about a contact, the link, or an input that says stop.
    """
    found: list[Finding] = []
    for number, (step, (title, check)) in enumerate(STEPS.items(), 1):
        tell(f"step {number} of {len(STEPS)}: {title}")
        if step not in rig.steps:
            found.append(Finding(step, "note", step, WITHOUT.format(NEEDS[step])))
        elif step == "charge" and (bars := [one.what for one in found if one.what.split(" of ")[0] in BARS]):
            found.append(Finding(step, "note", step, BARRED.format(", ".join(bars))))
        else:
            mine = list(check(rig))
            found += mine or [Finding(step, "ok", step, "as it should be")]
        for one in found:
            if one.step == step:
                tell(
                    f"    {one.level}: {one.text}" + (f". {one.to_do[0].upper()}{one.to_do[1:]}." if one.to_do else "")
                )
    return found
