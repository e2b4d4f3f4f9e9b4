"""Every measured quantity once: name, axis, unit, plausible range, meaning. All names of the house come from here.

Inside, SI is silent (V, A, ohm, s, W, J) and anything else is spelled in the name (`temp_degC`). At every boundary the
unit is spelled: `boundary_name`. Positive current charges. A value outside its plausible range is not a measurement.
Does not hold limits: what is safe is a matter of the cell and the site, what is plausible of physics and sensors.
"""

from typing import NamedTuple

AXES = ("cell", "temp", "string", "pack")


class Quantity(NamedTuple):
    """A signal that a link may deliver; one value per element of its axis."""

    name: str
    axis: str  # one of AXES
    unit: str  # "" for facts (0 or 1) and counts
    low: float  # plausible range, inclusive
    high: float
    period_s: float  # how often it is measured unless the device states its own period
    max_age_s: float  # default; older is unknown
    meaning: str


SIGNALS: tuple[Quantity, ...] = (
    Quantity("cell_voltage", "cell", "V", -0.2, 6.0, 0.1, 0.5, "voltage of one series group"),
    Quantity(
        "cell_open_wire", "cell", "", 0, 1, 0.5, 700.0, "1: the sense wire of this cell is found open by the AFE's test"
    ),
    Quantity(
        "cell_bleeding",
        "cell",
        "",
        0,
        1,
        0.5,
        2.0,
        "1: this cell is being bled right now, its voltage may be falsified",
    ),
    Quantity("temp_degC", "temp", "degC", -50.0, 150.0, 0.5, 2.0, "temperature of one sensor"),
    Quantity("current", "string", "A", -5000.0, 5000.0, 0.04, 0.2, "string current, + charges"),
    Quantity("current_check", "string", "A", -5000.0, 5000.0, 0.2, 1.0, "the same current by a second sensor"),
    Quantity(
        "string_voltage", "string", "V", -10.0, 2000.0, 0.1, 0.5, "voltage of the string, cell side of its switchgear"
    ),
    Quantity("link_voltage", "string", "V", -10.0, 2000.0, 0.1, 0.5, "voltage behind the switchgear (DC link)"),
    Quantity("feedback_minus", "string", "", 0, 1, 0.05, 0.5, "auxiliary contact of the minus contactor, 1 = closed"),
    Quantity(
        "feedback_precharge", "string", "", 0, 1, 0.05, 0.5, "auxiliary contact of the precharge contactor, 1 = closed"
    ),
    Quantity("feedback_plus", "string", "", 0, 1, 0.05, 0.5, "auxiliary contact of the plus contactor, 1 = closed"),
    Quantity("feedback_charge", "string", "", 0, 1, 0.5, 2.0, "charge switch (FET or contactor) is on"),
    Quantity("feedback_discharge", "string", "", 0, 1, 0.5, 2.0, "discharge switch (FET or contactor) is on"),
    Quantity(
        "cell_voltage_high",
        "string",
        "V",
        -0.2,
        6.0,
        0.5,
        3.0,
        "highest cell as reported by a foreign BMS that hides its cells",
    ),
    Quantity(
        "cell_voltage_low",
        "string",
        "V",
        -0.2,
        6.0,
        0.5,
        3.0,
        "lowest cell as reported by a foreign BMS that hides its cells",
    ),
    Quantity("foreign_soc", "string", "", 0, 1, 1.0, 10.0, "SOC as reported by a foreign BMS"),
    Quantity("foreign_alarm", "string", "", 0, 1, 0.5, 3.0, "1: the foreign BMS reports a protection as active"),
    Quantity("foreign_charge_limit", "string", "A", 0, 5000.0, 0.5, 3.0, "charge current that the foreign BMS allows"),
    Quantity(
        "foreign_discharge_limit", "string", "A", 0, 5000.0, 0.5, 3.0, "discharge current that the foreign BMS allows"
    ),
    Quantity("insulation", "pack", "ohm", 0, 1e9, 1.0, 30.0, "insulation resistance against ground"),
    Quantity("emergency_stop", "pack", "", 0, 1, 0.02, 0.5, "1: emergency stop pressed"),
    Quantity("interlock_open", "pack", "", 0, 1, 0.02, 0.5, "1: high-voltage interlock loop is broken"),
    Quantity("crash", "pack", "", 0, 1, 0.02, 0.5, "1: crash signal"),
    Quantity("gas", "pack", "", 0, 1, 0.2, 5.0, "1: vent-gas or smoke sensor raised"),
    Quantity("ignition", "pack", "", 0, 1, 0.1, 2.0, "1: the vehicle or site asks for power"),
    Quantity("charge_plug", "pack", "", 0, 1, 0.1, 2.0, "1: a charge plug is in; driving is inhibited"),
    Quantity("charger_present", "pack", "", 0, 1, 1.0, 10.0, "1: a charger or inverter that can charge is alive"),
    Quantity("coolant_degC", "pack", "degC", -50.0, 150.0, 1.0, 10.0, "coolant or air at the inlet"),
    Quantity("ambient_degC", "pack", "degC", -60.0, 80.0, 10.0, 60.0, "temperature around the pack"),
    Quantity(
        "supply_voltage", "pack", "V", 0, 60.0, 0.2, 2.0, "auxiliary supply of the controller and contactor coils"
    ),
    Quantity(
        "converter_current",
        "cell",
        "A",
        -1000.0,
        1000.0,
        0.5,
        2.0,
        "what this cell's balancing converter puts into the cell, + charges",
    ),
)

BY_NAME = {q.name: q for q in SIGNALS}


def boundary_name(quantity: Quantity) -> str:
    """Return the name with its unit spelled, for files, wires and people: `cell_voltage_V`, `temp_degC`."""
    if not quantity.unit or quantity.name.endswith("_" + quantity.unit):
        return quantity.name
    return f"{quantity.name}_{quantity.unit}"
