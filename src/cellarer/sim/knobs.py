"""Everything that a fault can turn, as arrays with a neutral value. The plant reads them; only `faults.py` turns them.

Physical knobs act on the plant, sensor knobs (axis signal: flat over all signals) on what is measured, so a fault
changes what it says and nothing else. A knob at its neutral value changes not one bit.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellarer.model.layout import Layout

Floats = NDArray[np.float64]
NAN = float("nan")


class Knob(NamedTuple):
    """Name, axis (cell, temp, string, pack, bus, signal), neutral value and meaning."""

    name: str
    axis: str
    neutral: float
    meaning: str


KNOBS: tuple[Knob, ...] = (
    Knob("capacity", "cell", 1.0, "factor on the capacity of the group"),
    Knob("resistance", "cell", 1.0, "factor on all resistances of the group"),
    Knob("emf", "cell", 0.0, "V added to the source of every member: a cell that really is higher or lower"),
    Knob("short_S", "cell", 0.0, "S of an internal short across the group"),
    Knob("joint_ohm", "cell", 0.0, "ohm added to the joint after the group, outside its sense wires"),
    Knob("cut", "cell", 0.0, "number of members cut off: fuse wire, current interrupt device, weld"),
    Knob("heat_W", "cell", 0.0, "heat into the cores of the group"),
    Knob("core_degC", "cell", NAN, "temperature that core and surface are held at"),
    Knob("bleed_stuck", "cell", 0.0, "1: the bleed switch is stuck on, −1: off"),
    Knob("converter_dead", "cell", 0.0, "1: the cell's converter passes nothing"),
    Knob("converter_stuck", "cell", NAN, "share of the time that the cell's converter takes, − gives, ordered or not"),
    Knob("leak", "cell", 1.0, "factor on self-discharge"),
    Knob("weld_minus", "string", 0.0, "1: the contact is welded"),
    Knob("weld_precharge", "string", 0.0, "1: the contact is welded"),
    Knob("weld_plus", "string", 0.0, "1: the contact is welded"),
    Knob("stuck_minus", "string", 0.0, "1: the contact does not close"),
    Knob("stuck_precharge", "string", 0.0, "1: the contact does not close"),
    Knob("stuck_plus", "string", 0.0, "1: the contact does not close"),
    Knob("weld_charge", "string", 0.0, "1: the charge switch conducts always"),
    Knob("weld_discharge", "string", 0.0, "1: the discharge switch conducts always"),
    Knob("stuck_charge", "string", 0.0, "1: the charge switch never conducts"),
    Knob("stuck_discharge", "string", 0.0, "1: the discharge switch never conducts"),
    Knob("slow", "string", 1.0, "factor on the time that contacts take"),
    Knob("chatter", "string", 0.0, "1: contacts drop out again and again"),
    Knob("contact_ohm", "string", 0.0, "ohm added to the closed contacts"),
    Knob("cut_string", "string", 0.0, "1: service plug pulled, or fuse blown"),
    Knob("precharge_ohm", "string", 1.0, "factor on the precharge resistor"),
    Knob("blocked", "string", 0.0, "1: the pack's own BMS has switched it off"),
    Knob("sag_V", "pack", 0.0, "V that the auxiliary supply loses"),
    Knob("pump", "pack", 1.0, "factor on the flow that the pump or fan makes"),
    Knob("pump_stuck", "pack", 0.0, "1: the pump or fan runs always"),
    Knob("heater_stuck", "pack", 0.0, "1: the heater runs always"),
    Knob("heater", "pack", 1.0, "factor on the power of the heater"),
    Knob("ambient_add", "pack", 0.0, "K added around the pack"),
    Knob("insulation", "pack", 1.0, "factor on the insulation resistance"),
    Knob("link_short_S", "bus", 0.0, "S across the DC link"),
    Knob("link_capacity", "bus", 1.0, "factor on the capacitor of the DC link"),
    Knob("link_discharge", "bus", 1.0, "factor on the discharge of the DC link when it is off"),
    Knob("disobey_charge", "bus", 0.0, "1: charger or inverter ignores charge limits"),
    Knob("disobey_discharge", "bus", 0.0, "1: inverter or load ignores discharge limits"),
    Knob("force_A", "bus", NAN, "A that load or charger forces through, + charges, against all limits"),
    Knob("offset", "signal", 0.0, "added to what is measured"),
    Knob("gain", "signal", 1.0, "factor on what is measured"),
    Knob("noise", "signal", 0.0, "standard deviation of additional noise"),
    Knob("spike", "signal", 0.0, "height of single-sample spikes, about one sample in fifty"),
    Knob("stuck", "signal", 0.0, "1: the measured value stands still, its time goes on"),
    Knob("force", "signal", NAN, "value that is measured instead: short, rail, broken wire, pressed button"),
    Knob("ceiling", "signal", NAN, "magnitude at which the reading is cut off"),
    Knob("link_silent", "signal", 0.0, "1: nothing arrives by wire, the old reading ages"),
    Knob("silent", "signal", 0.0, "1: no more samples, the old one ages"),
    Knob("swapped", "signal", 0.0, "1: wired to the next element of the same axis, and that one to this"),
    Knob("open_wire", "cell", 0.0, "share of this cell's voltage that its neighbour shows instead"),
    Knob("delay_s", "string", 0.0, "s that current and voltages of the string are out of step, in addition"),
    Knob("lag_s", "temp", 0.0, "s of additional lag: a sensor that has come loose"),
)


class Knobs:
    """The arrays. `values["short_S"]` is (cell,), and so on."""

    def __init__(self, layout: Layout, buses: int) -> None:
        size = {**layout.size, "bus": buses}
        self.layout = layout
        self.knob = {knob.name: knob for knob in KNOBS}
        self.values: dict[str, Floats] = {knob.name: np.full(size[knob.axis], knob.neutral) for knob in KNOBS}
        self.turned: set[str] = set()  # knobs that are not neutral everywhere

    def __getitem__(self, name: str) -> Floats:
        return self.values[name]

    def reset(self) -> None:
        """Bring everything back to neutral."""
        for name in self.turned:
            self.values[name][:] = self.knob[name].neutral
        self.turned.clear()

    def turn(self, name: str, index: NDArray[np.int64] | slice, size: float, share: float) -> None:
        """Turn a knob by `share` (0…1) of the way from neutral to `size`; several faults on one knob add up."""
        if share <= 0.0:
            return
        knob, values = self.knob[name], self.values[name]
        self.turned.add(name)
        if np.isnan(knob.neutral):
            values[index] = size
        else:
            values[index] += share * (size - knob.neutral)
