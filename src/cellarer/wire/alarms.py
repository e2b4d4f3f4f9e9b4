"""One alarm model, many dialects: fault rows → categories → the alarm bits that machines know.

A category is inactive, a warning (warn and derate rows) or an alarm (ramp and open rows). A dialect is a table of its
bits with the categories that each one tells; what it has no bit for raises its general alarm, so that nothing stays
unsaid.
Bits after docs/devices/: 0x359 Pylontech, 0x35A Victron and SMA.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any

CATEGORIES = (
    "cell_over_voltage",
    "cell_under_voltage",
    "high_temperature",
    "low_temperature",
    "high_temperature_charge",
    "low_temperature_charge",
    "discharge_over_current",
    "charge_over_current",
    "contactor",
    "internal",
    "imbalance",
    "insulation",
    "emergency",
)

# fault row (without its level) → category; every row of faults.toml stands here, a test sees to it
FAULTS: Mapping[str, str] = {
    "cell_over_voltage": "cell_over_voltage",
    "cell_under_voltage": "cell_under_voltage",
    "deep_discharge": "cell_under_voltage",
    "charge_over_current": "charge_over_current",
    "refill_over_current": "charge_over_current",
    "charge_limit_ignored": "charge_over_current",
    "charge_limit_defied": "charge_over_current",
    "discharge_over_current": "discharge_over_current",
    "refill_discharged": "discharge_over_current",
    "refill_lost": "cell_under_voltage",
    "discharge_limit_ignored": "discharge_over_current",
    "discharge_limit_defied": "discharge_over_current",
    "over_temperature": "high_temperature",
    "temperature_rises_fast": "high_temperature",
    "hot_spot": "high_temperature",
    "heater_runs_unasked": "high_temperature",
    "chiller_runs_unasked": "low_temperature",
    "coolant_temperature_lost": "internal",
    "coolant_flow_lost": "high_temperature",
    "thermal_runaway_precursor": "high_temperature",
    "charge_over_temperature": "high_temperature_charge",
    "charge_under_temperature": "low_temperature_charge",
    "discharge_under_temperature": "low_temperature",
    "voltage_spread": "imbalance",
    "temperature_spread": "imbalance",
    "cell_self_discharge": "internal",
    "cell_internal_short": "internal",
    "bleeder_always_on": "imbalance",
    "bleeder_never_on": "imbalance",
    "converter_off_order": "imbalance",
    "converter_charge_missing": "imbalance",
    "joint_resistance": "internal",
    "string_joints": "internal",
    "cell_weak": "imbalance",
    "parallel_cell_lost": "internal",
    "current_sensor_drift": "internal",
    "current_sensor_jumped": "internal",
    "sum_mismatch": "internal",
    "cell_reading_frozen": "internal",
    "cell_reading_stuck": "internal",
    "cell_reading_absurd": "internal",
    "cell_reading_lost": "internal",
    "cell_open_wire": "internal",
    "open_wire_test_lost": "internal",
    "temperature_reading_lost": "internal",
    "temperature_reading_absurd": "internal",
    "current_reading_lost": "internal",
    "current_reading_absurd": "internal",
    "current_sensors_disagree": "internal",
    "current_sensor_reversed": "internal",
    "string_voltage_lost": "internal",
    "link_voltage_lost": "internal",
    "feedback_lost": "internal",
    "switch_feedback_lost": "internal",
    "emergency_stop_lost": "internal",
    "interlock_lost": "internal",
    "crash_lost": "internal",
    "gas_lost": "internal",
    "insulation_lost": "insulation",
    "supply_low": "internal",
    "foreign_protection": "internal",
    "foreign_lost": "internal",
    "emergency_stop": "emergency",
    "interlock_open": "emergency",
    "crash": "emergency",
    "gas": "emergency",
    "thermal_runaway": "emergency",
    "current_on_open_string": "contactor",
    "contactor_welded": "contactor",
    "contactor_stuck_open": "contactor",
    "contactor_slow": "contactor",
    "link_does_not_fall": "contactor",
    "precharge_failed": "contactor",
    "opening_not_breaking": "contactor",
    "contactor_worn": "contactor",
    "insulation_low": "insulation",
    "insulation_failed": "insulation",
}
LEVELS = ("_operating", "_recommended", "_maximum")

GENERAL = "general"
DIALECTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "own": {name: (name,) for name in CATEGORIES},
    "359": {
        "high_voltage": ("cell_over_voltage",),
        "low_voltage": ("cell_under_voltage",),
        "high_temperature": ("high_temperature", "high_temperature_charge"),
        "low_temperature": ("low_temperature", "low_temperature_charge"),
        "discharge_current": ("discharge_over_current",),
        "charge_current": ("charge_over_current",),
    },
    "35A": {
        "high_voltage": ("cell_over_voltage",),
        "low_voltage": ("cell_under_voltage",),
        "high_temperature": ("high_temperature",),
        "low_temperature": ("low_temperature",),
        "high_temperature_charge": ("high_temperature_charge",),
        "low_temperature_charge": ("low_temperature_charge",),
        "discharge_current": ("discharge_over_current",),
        "charge_current": ("charge_over_current",),
        "contactor": ("contactor",),
        "internal": ("internal",),
        "imbalance": ("imbalance",),
    },
}


class Alarm(IntEnum):
    """State of one alarm."""

    INACTIVE = 0
    WARNING = 1
    ALARM = 2


_OF_LEVEL = {
    "inform": Alarm.INACTIVE,
    "warn": Alarm.WARNING,
    "derate": Alarm.WARNING,
    "ramp": Alarm.ALARM,
    "open": Alarm.ALARM,
}


def category(fault: str) -> str:
    """Return the category of a fault row; rows of plug-ins that nobody has placed count as internal."""
    for level in LEVELS:
        fault = fault.removesuffix(level)
    return FAULTS.get(fault, "internal")


def active(faults: Iterable[Mapping[str, Any]]) -> dict[str, Alarm]:
    """Return the state of every category. faults: entries of the snapshot view (name, level)."""
    states = dict.fromkeys(CATEGORIES, Alarm.INACTIVE)
    for fault in faults:
        key = category(fault["name"])
        states[key] = max(states[key], _OF_LEVEL[fault["level"]])
    return states


def bits(states: Mapping[str, Alarm], dialect: str) -> dict[str, float]:
    """Return `alarm_…` and `warning_…` of a dialect as 0 or 1, the general one included."""
    table = DIALECTS[dialect]
    said = {name for names in table.values() for name in names}
    groups = dict(table) | {GENERAL: tuple(name for name in states if name not in said)}
    result = {}
    for bit, names in groups.items():
        worst = max((states[name] for name in names), default=Alarm.INACTIVE)
        result[f"alarm_{bit}"] = float(worst == Alarm.ALARM)
        result[f"warning_{bit}"] = float(worst == Alarm.WARNING)
    return result
