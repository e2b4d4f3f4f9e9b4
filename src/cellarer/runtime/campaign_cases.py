"""Which fault of the catalogue a supervisory BMS must see, by which rows, in which state of the pack, for how long.

One row of CASES per way to see a fault. The first row named is the expected one: its level is the right reaction, its
budget the time. Rows that the site has no signal for drop the case; `UNSEEN` says why other faults have none.
"""

from typing import Literal, NamedTuple

STANDBY, CHARGE, DISCHARGE = "standby", "charge", "discharge"
MODES = (STANDBY, CHARGE, DISCHARGE)
CLOSED = (CHARGE, DISCHARGE)

Onset = Literal["start", "truth", "open", "minus", "plus"]


class Case(NamedTuple):
    """One way to see one fault."""

    fault: str
    rows: tuple[str, ...]  # the expected one first; any of them, or a more severe one, counts as detected
    modes: tuple[str, ...] = MODES
    onset: Onset = (
        "start"  # start of the injection; threshold crossed in truth; contacts ordered open, minus or plus closed
    )
    size: float | None = None  # None = the catalogue's
    over: float | None = None  # size such that the row's threshold is exceeded by this factor
    beyond: float | None = None  # size = the row's threshold and this much beyond it, in its unit
    ask: str = ""  # what a person asks for right after the start: open, close
    watch_s: float = 6.5
    shapes: tuple[str, ...] = ("step",)
    limit: str = ""  # charge or discharge: the machines obey, so the limit at zero is the whole reaction
    fuse: str = ""  # the row that is expected instead where the string's fuse melts before anybody can react
    gear: str = ""  # kinds of switchgear that have the part; "" = any


LOST = ("current_reading_lost", "cell_reading_lost", "feedback_lost", "emergency_stop_lost")
LOW = ("cell_under_voltage_maximum", "deep_discharge")
COLD = {CHARGE: ("charge_under_temperature_maximum",), DISCHARGE: ("discharge_under_temperature_maximum",)}
BOTH = ("step", "ramp")

CASES: tuple[Case, ...] = (
    Case("cell_sensor_short", LOW),
    Case("cell_sensor_rail", ("cell_reading_absurd",)),
    Case("cell_sensor_silent", ("cell_reading_lost",)),
    Case("reference_drift", ("sum_mismatch",), size=1.04),
    Case("open_wire", LOW),
    Case("temp_open", ("temperature_spread",), (STANDBY,), watch_s=14.0),
    Case("temp_open", COLD[CHARGE], (CHARGE,)),
    Case("temp_open", COLD[DISCHARGE], (DISCHARGE,)),
    Case("temp_short", ("over_temperature_maximum",)),
    Case("temp_silent", ("temperature_reading_lost",)),
    Case("temps_silent", ("temperature_reading_lost",)),
    Case("cell_unit_error", ("cell_reading_absurd",)),
    Case("cell_sign", ("cell_reading_absurd",)),
    Case("current_offset", ("current_on_open_string",), (STANDBY,)),
    Case("current_silent", ("current_reading_lost",)),
    Case("second_sensor_differs", ("current_sensors_disagree",), watch_s=14.0),
    Case("string_voltage_offset", ("sum_mismatch",)),
    Case("cell_overvoltage", ("cell_over_voltage_maximum",), onset="truth", size=0.25, shapes=BOTH, watch_s=12.0),
    Case("cell_undervoltage", LOW, onset="truth", shapes=BOTH, watch_s=12.0),
    Case("deep_discharge", LOW, onset="truth", size=-0.08),
    Case("overcurrent_charge", ("charge_over_current_maximum",), CLOSED, "truth", over=1.3),
    Case("overcurrent_discharge", ("discharge_over_current_maximum",), CLOSED, "truth", over=1.3),
    Case("cold_regeneration", COLD[CHARGE], (CHARGE,), "truth"),
    Case("external_short", ("discharge_over_current_maximum",), CLOSED, "truth", fuse="sum_mismatch"),
    Case("cell_hot", ("over_temperature_maximum",), onset="truth"),
    Case("cell_cold", COLD[CHARGE], (CHARGE,), beyond=5.0, limit=CHARGE),
    Case("cell_cold", COLD[DISCHARGE], (DISCHARGE,), beyond=5.0, limit=DISCHARGE),
    Case("pack_hot", ("charge_over_temperature_maximum",), (CHARGE,), beyond=4.0, limit=CHARGE),
    Case("pack_hot", ("over_temperature_maximum",), (STANDBY, DISCHARGE), "truth", beyond=4.0),
    Case("pack_cold", COLD[CHARGE], (CHARGE,), beyond=4.0, limit=CHARGE),
    Case("pack_cold", COLD[DISCHARGE], (DISCHARGE,), beyond=4.0, limit=DISCHARGE),
    Case("thermal_runaway", ("cell_under_voltage_maximum", "temperature_rises_fast", "gas"), onset="truth"),
    Case("plus_welded", ("contactor_welded",), CLOSED, "open", ask="open", gear="contactors"),
    Case("minus_welded", ("contactor_welded",), CLOSED, "open", ask="open", gear="contactors"),
    Case("plus_stuck", ("contactor_stuck_open",), (STANDBY,), "plus", ask="close", gear="contactors"),
    Case("minus_stuck", ("contactor_stuck_open",), (STANDBY,), "minus", ask="close", gear="contactors"),
    Case("feedback_broken", ("contactor_stuck_open",), CLOSED),
    Case("coil_sag", ("supply_low",)),
    Case("opens_under_load", ("discharge_limit_defied",), CLOSED, watch_s=8.0),
    Case("overcurrent_charge", ("charge_limit_defied",), CLOSED, size=1.2, watch_s=8.0),
    Case("interlock", ("interlock_open",)),
    Case("emergency_stop", ("emergency_stop",)),
    Case("service_plug", ("sum_mismatch",), (STANDBY, DISCHARGE)),
    Case("fuse_blown", ("sum_mismatch",), (STANDBY, DISCHARGE)),
    Case("insulation_low", ("insulation_low",), watch_s=14.0),
    Case("insulation_lost", ("insulation_failed",), watch_s=14.0),
    Case("flood", ("insulation_failed",), watch_s=14.0),
    Case("frames_lost", LOST),
    Case("brown_out", ("supply_low",)),
    Case("crash", ("crash",)),
    Case("gas", ("gas",)),
    Case("charge_switch_shorted", ("contactor_welded",), CLOSED, "open", ask="open", gear="fets separate"),
    Case("discharge_switch_shorted", ("contactor_welded",), CLOSED, "open", ask="open", gear="fets separate"),
)  # fmt: skip

SLOW = "slow: minutes to days, not part of this form"
SMALL = "below every threshold of a site that measures it once: nothing contradicts it"
NEXT = "shows at the next closing or opening only, not part of this form"
SECOND = "shows by a second current sensor only"
BORNE = "must be borne, not part of this form"
NO_ROW = "no fault row looks for it"
UNSEEN = {
    "cell_sensor_stuck": "shows when the current moves; the campaign's currents are steady",
    "cell_sensor_offset": SMALL, "cell_sensor_gain": SMALL, "voltage_noise": BORNE,
    "voltage_spikes": BORNE, "current_noise": BORNE, "temp_stuck": SMALL, "temp_offset": SMALL,
    "temp_swapped": SMALL, "temp_loose": SMALL, "cells_swapped": SMALL, "current_gain": SMALL,
    "current_stuck": SECOND, "current_saturated": SECOND,
    "current_reversed": SECOND, "current_skewed": SMALL,
    "link_voltage_stuck": NEXT, "soc_jump": SLOW, "soc_drift": SLOW, "cell_charged_apart": SLOW, "weak_cell": SLOW,
    "cell_low": SLOW, "hot_spot": SLOW, "internal_short": SLOW, "micro_short": SLOW, "self_discharge": SLOW,
    "member_open": SLOW, "plating": SLOW, "resistance_grown": SLOW, "loose_joint": NO_ROW, "runaway_precursor": SLOW,
    "precharge_welded": NEXT, "charge_switch_stuck": NEXT, "discharge_switch_stuck": NEXT, "contactors_slow": NEXT,
    "contactors_chatter": NEXT, "contact_resistance": NO_ROW, "precharge_open": NEXT, "precharge_slow": NEXT,
    "precharge_fast": NEXT, "link_loaded": NEXT, "link_shorted": NEXT, "precharge_hot": NEXT, "bleed_stuck_on": NO_ROW,
    "bleed_stuck_off": NO_ROW, "insulation_silent": NO_ROW, "link_holds": NEXT, "pump_stopped": SLOW, "flow_low": SLOW,
    "coolant_leak": SLOW, "heater_failed": SLOW, "coolant_hot": SLOW, "heater_stuck": SLOW, "pump_stuck": NO_ROW,
    "charger_ignores_limits": "judged as a forced current above the limit", "inverter_ignores_limits":
    "judged as a forced current above the limit", "string_apart": SLOW, "string_blocked": "a foreign BMS's own",
    "string_resistance": SLOW, "wrong_pack": SLOW, "gas_sensor_dead": NO_ROW,
}  # fmt: skip
BY = {
    "link": "carried out by the wires, singly; a batch sees silence only (frames_lost)",
    "host": "carried out by the computer",
}
