"""Which fault of the catalogue a supervisory BMS must see, by which row, in which state of the pack, in which shape.

One row of CASES per way to see a fault. Of the rows named the first that is on at a site is the expected one: it, and
no other, must be raised; its level is the right reaction, its budget the time. No row at all: the fault must be borne.
`UNSEEN` says why other faults have no case.
"""

from typing import Literal, NamedTuple

STANDBY, CHARGE, DISCHARGE = "standby", "charge", "discharge"
MODES = (STANDBY, CHARGE, DISCHARGE)
CLOSED = (CHARGE, DISCHARGE)
SWITCHED = ("step", "intermittent")  # what is there or not has no ramp
ALL = ("step", "ramp", "intermittent")
ONCE = ("step",)  # what stays done

Onset = Literal["start", "truth", "open", "minus", "precharge", "plus", "switches", "spent"]


class Case(NamedTuple):
    """One way to see one fault."""

    fault: str
    rows: tuple[str, ...]  # the first that is on is expected
    modes: tuple[str, ...] = MODES
    # Start of the injection; threshold crossed in truth; contacts ordered open; a contact or switch ordered closed;
    # the last try of precharge spent.
    onset: Onset = "start"
    size: float | None = None  # None = the catalogue's
    over: float | None = None  # size such that the row's threshold is exceeded by this factor
    beyond: float | None = None  # size = the row's threshold and this much beyond it, in its unit
    past: float | None = None  # size such that a cell is so many V beyond the row's threshold
    drop: float = 0.0  # share of its voltage that a cell loses: only where that is below the row's threshold
    reaches: float | None = None  # what the row's signal comes to: only where that is well beyond its threshold
    below: str = ""  # size = a current in the middle between the limit and the threshold of this row
    ask: str = ""  # what a person asks for right after the start: open, close
    watch_s: float = 4.0
    shapes: tuple[str, ...] = SWITCHED
    limit: str = ""  # charge or discharge: the machines obey, so the limit at zero is the whole reaction
    fuse: str = ""  # the row that is expected instead where the string's fuse melts before anybody can react
    leads_to: str = ""  # another row that the fault itself may reach first: what it says then is right, too
    gear: str = ""  # kinds of switchgear that have the part; "" = any
    also: tuple[str, float] | None = None  # a second injection that makes the first one show, and its size
    at_sensor: bool = False  # it befalls a cell that has a temperature sensor of its own
    dt_s: float = 0.0  # 0 = the cycle of the site; longer: a slow fault
    may: bool = False  # a stronger reaction than the row's own is right too: the fault itself goes on to more


LOST = ("current_reading_lost", "cell_reading_lost", "feedback_lost", "emergency_stop_lost")
LOW = ("cell_under_voltage_maximum",)
COLD = {CHARGE: ("charge_under_temperature_maximum",), DISCHARGE: ("discharge_under_temperature_maximum",)}
SPENT_S = 26.0  # three tries of precharge with their pauses

CASES: tuple[Case, ...] = (
    Case("cell_sensor_stuck", ("cell_reading_frozen",), (CHARGE,), also=("overcurrent_discharge", 0.4), shapes=ONCE),
    Case("cell_sensor_stuck", ("cell_reading_frozen",), (DISCHARGE,), also=("overcurrent_charge", 0.4), shapes=ONCE),
    Case("cell_sensor_short", LOW),
    Case("cell_sensor_rail", ("cell_reading_absurd",)),
    Case("cell_sensor_silent", ("cell_reading_lost",)),
    Case("reference_drift", ("sum_mismatch",), size=1.04, shapes=ALL),
    Case("voltage_noise", (), shapes=ALL),
    Case("voltage_spikes", (), shapes=ALL),
    Case("current_noise", (), shapes=ALL),
    Case("open_wire", LOW),
    Case("open_wire", ("cell_open_wire",), size=0.03, shapes=ALL),
    Case("temp_open", ("temperature_spread",), (STANDBY,), watch_s=14.0),
    Case("temp_open", COLD[CHARGE], (CHARGE,), limit=CHARGE, may=True),
    Case("temp_open", COLD[DISCHARGE], (DISCHARGE,), limit=DISCHARGE, may=True),
    Case("temp_short", ("over_temperature_maximum",)),
    Case("temp_silent", ("temperature_reading_lost",)),
    Case("temps_silent", ("temperature_reading_lost",)),
    Case("cell_unit_error", ("cell_reading_absurd",)),
    Case("cell_sign", ("cell_reading_absurd",)),
    Case("current_offset", ("current_on_open_string",), (STANDBY,), over=2.0, shapes=ALL),
    Case("current_stuck", ("current_sensors_disagree",), (CHARGE,), also=("overcurrent_discharge", 0.4), shapes=ONCE),
    Case("current_saturated", ("current_sensors_disagree",), CLOSED),
    Case("current_reversed", ("current_sensor_jumped",), CLOSED),
    Case("current_silent", ("current_reading_lost",)),
    Case("second_sensor_differs", ("current_sensors_disagree",), watch_s=9.0, shapes=ALL),
    Case("string_voltage_offset", ("sum_mismatch",), shapes=ALL),
    Case("cell_overvoltage", ("cell_over_voltage_maximum",), onset="truth", past=0.3, shapes=ALL),
    Case("cell_undervoltage", LOW, onset="truth", past=0.2, shapes=ALL),
    Case("cell_undervoltage", ("deep_discharge",), onset="truth", past=0.2),
    Case("deep_discharge", LOW, onset="truth", size=-0.08, shapes=ONCE),
    Case("overcurrent_charge", ("charge_over_current_maximum",), CLOSED, "truth", over=1.3),
    Case("overcurrent_discharge", ("discharge_over_current_maximum",), CLOSED, "truth", over=1.3),
    Case("overcurrent_charge", ("charge_limit_defied",), CLOSED, below="charge_over_current_maximum", watch_s=8.0),
    Case("overcurrent_discharge", ("discharge_limit_defied",), CLOSED, below="discharge_over_current_maximum",
         watch_s=8.0),
    Case("opens_under_load", ("discharge_limit_defied",), CLOSED, below="discharge_over_current_maximum",
         watch_s=8.0),
    Case("cold_regeneration", COLD[CHARGE], (CHARGE,), "truth", reaches=-20.0, leads_to="cell_over_voltage_maximum"),
    Case("external_short", ("discharge_over_current_maximum",), CLOSED, "truth", fuse="sum_mismatch", shapes=ONCE),
    Case("cell_hot", ("over_temperature_maximum",), onset="truth", beyond=8.0),
    Case("cell_cold", COLD[CHARGE], (CHARGE,), beyond=5.0, limit=CHARGE, may=True),
    Case("cell_cold", COLD[DISCHARGE], (DISCHARGE,), beyond=5.0, limit=DISCHARGE, may=True),
    Case("pack_hot", ("charge_over_temperature_maximum",), (CHARGE,), beyond=4.0, limit=CHARGE, may=True),
    Case("pack_hot", ("over_temperature_maximum",), (STANDBY, DISCHARGE), "truth", beyond=4.0),
    Case("pack_cold", COLD[CHARGE], (CHARGE,), beyond=4.0, limit=CHARGE, may=True),
    Case("pack_cold", COLD[DISCHARGE], (DISCHARGE,), beyond=4.0, limit=DISCHARGE, may=True),
    Case("thermal_runaway", LOW, onset="truth", drop=0.4),
    Case("fast_runaway", ("thermal_runaway",), shapes=("ramp",)),
    Case("plus_welded", ("contactor_welded",), CLOSED, "open", ask="open", gear="contactors", shapes=ONCE),
    Case("minus_welded", ("contactor_welded",), CLOSED, "open", ask="open", gear="contactors", shapes=ONCE),
    Case("charge_switch_shorted", ("contactor_welded",), CLOSED, "open", ask="open", gear="fets separate",
         shapes=ONCE),
    Case("discharge_switch_shorted", ("contactor_welded",), CLOSED, "open", ask="open", gear="fets separate",
         shapes=ONCE),
    Case("minus_stuck", ("contactor_slow",), (STANDBY,), "minus", ask="close", gear="contactors", shapes=ONCE),
    Case("plus_stuck", ("contactor_slow",), (STANDBY,), "plus", ask="close", gear="contactors", shapes=ONCE),
    Case("charge_switch_stuck", ("contactor_stuck_open",), (STANDBY,), "switches", ask="close", gear="fets separate",
         shapes=ONCE),
    Case("discharge_switch_stuck", ("contactor_stuck_open",), (STANDBY,), "switches", ask="close",
         gear="fets separate", shapes=ONCE),
    Case("contactors_slow", ("contactor_slow",), (STANDBY,), "minus", ask="close", gear="contactors",
         shapes=ONCE),
    Case("feedback_broken", ("contactor_stuck_open",), CLOSED),
    Case("precharge_open", ("contactor_slow",), (STANDBY,), "precharge", ask="close", gear="contactors",
         shapes=ONCE),
    Case("precharge_slow", ("precharge_failed",), (STANDBY,), "spent", ask="close", gear="contactors",
         shapes=ONCE, watch_s=SPENT_S),
    Case("link_loaded", ("precharge_failed",), (STANDBY,), "spent", ask="close", gear="contactors", shapes=ONCE,
         watch_s=SPENT_S),
    Case("link_shorted", ("precharge_failed",), (STANDBY,), "spent", ask="close", gear="contactors", shapes=ONCE,
         watch_s=SPENT_S),
    Case("link_voltage_stuck", ("precharge_failed",), (STANDBY,), "spent", ask="close", gear="contactors",
         shapes=ONCE, watch_s=SPENT_S),
    Case("coil_sag", ("supply_low",), size=4.0, shapes=ALL),
    Case("coil_sag", ("contactor_stuck_open",), CLOSED, gear="contactors"),
    Case("brown_out", ("contactor_stuck_open",), CLOSED, gear="contactors"),
    Case("interlock", ("interlock_open",)),
    Case("emergency_stop", ("emergency_stop",)),
    Case("crash", ("crash",)),
    Case("gas", ("gas",)),
    Case("gas_sensor_dead", ("gas_lost",), watch_s=9.0),
    Case("insulation_silent", ("insulation_lost",), watch_s=40.0, dt_s=0.1),
    Case("service_plug", ("sum_mismatch",), (STANDBY, DISCHARGE)),
    Case("fuse_blown", ("sum_mismatch",), (STANDBY, DISCHARGE), shapes=ONCE),
    Case("insulation_low", ("insulation_low",), watch_s=12.0, shapes=ALL),
    Case("insulation_lost", ("insulation_failed",), watch_s=12.0, shapes=ALL),
    Case("flood", ("insulation_failed",), watch_s=12.0),
    Case("frames_lost", LOST),
    Case("string_blocked", ("foreign_protection",), watch_s=7.0),
    # Slow ones, at longer steps, listed apart.
    Case("hot_spot", ("temperature_spread",), onset="truth", size=0.1, dt_s=2.0, watch_s=600.0, shapes=ONCE,
         at_sensor=True, may=True),
    Case("runaway_precursor", ("temperature_rises_fast",), onset="truth", size=1.0, dt_s=0.5,
         watch_s=120.0, shapes=ONCE, at_sensor=True, may=True),
)  # fmt: skip

SLOW = "hours to days: judged on estimates, not part of this form"
SMALL = "below every threshold of a site that measures it once: nothing contradicts it"
NEXT = "harmless until something else fails, or repaired by the next try"
NO_ROW = "no fault row looks for it"
UNSEEN = {
    **dict.fromkeys((
        "cell_sensor_offset", "cell_sensor_gain", "temp_stuck", "temp_offset", "temp_swapped", "temp_loose",
        "cells_swapped", "current_gain", "current_skewed",
    ), SMALL),
    **dict.fromkeys((
        "soc_jump", "soc_drift", "cell_charged_apart", "weak_cell", "cell_low", "internal_short", "micro_short",
        "self_discharge", "member_open", "plating", "resistance_grown", "loose_joint", "pump_stopped", "flow_low",
        "coolant_leak", "heater_failed", "coolant_hot", "heater_stuck", "string_apart", "string_resistance",
        "wrong_pack",
    ), SLOW),
    **dict.fromkeys(("precharge_welded", "contactors_chatter", "precharge_fast", "precharge_hot"), NEXT),
    **dict.fromkeys(("contact_resistance", "pump_stuck"), NO_ROW),
    **dict.fromkeys(("bleed_stuck_on", "bleed_stuck_off"), "half a minute, and where bleeding is ordered: tests only"),
    **dict.fromkeys(("converter_dead", "converter_stuck"), "no shipped site has converters"),
    "link_holds": "the load empties the link all the same",
    **dict.fromkeys(("charger_ignores_limits", "inverter_ignores_limits"),
                    "judged as a forced current above the limit"),
}  # fmt: skip
BY = {
    "link": "carried out by the wires, singly; a batch sees silence only (frames_lost)",
    "host": "carried out by the computer",
}
