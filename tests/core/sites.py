"""Small sites of every shape, compiled from tables: ragged packs, FETs, separate ports, foreign BMS, many cells."""

from __future__ import annotations

from functools import cache
from typing import Any

from cellarer.config.load import build
from cellarer.model.config import Config

CELL_SIDE = ["cell_voltage", "cell_open_wire", "cell_bleeding", "temp_degC", "current", "string_voltage"]
CONTACTS = ["link_voltage", "feedback_minus", "feedback_precharge", "feedback_plus"]
FACTS = ["emergency_stop", "interlock_open", "crash", "gas", "ignition", "charge_plug", "charger_present"]
AUXILIARY = ["current_check", "insulation", "supply_voltage", "coolant_degC", "ambient_degC"]
FOREIGN = [
    *("cell_voltage_high", "cell_voltage_low", "current", "string_voltage", "temp_degC", "foreign_soc"),
    *("foreign_alarm", "foreign_charge_limit", "foreign_discharge_limit"),
]
CONTACTORS = {"kind": "contactors", "resistor_ohm": 50.0, "break_A": 20.0}
FAST = {"rise_pct_per_s": 1000.0}


def pack(name: str, series: int, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "cell": "lfp_280ah", "series": series, "temperature_sensors": 2, "limits": FAST,
        "switchgear": CONTACTORS, "balancing": {"bleed_mA": 200},
    } | more  # fmt: skip


def table(packs: list[dict[str, Any]], signals: list[str], **more: Any) -> dict[str, Any]:
    return {"name": "test", "pack": packs, "signals": signals} | more


TABLES: dict[str, dict[str, Any]] = {
    "one": table([pack("a", 4)], CELL_SIDE + CONTACTS + FACTS + AUXILIARY),
    "ragged": table(
        [
            pack("a", 5, strings=2, temperature_sensors=3, heater=True),
            pack("b", 3, bus=2, cell="nmc_50ah", parallel=2, cooler=True, heater=True, temperature_sensors=3),
            pack("c", 7, bus=3, cell="lto_23ah", temperature_sensors=1),
        ],
        CELL_SIDE + CONTACTS + FACTS + AUXILIARY,
    ),
    "fets": table(
        [
            pack("a", 4, switchgear={"kind": "fets", "link_voltage": False}),
            pack("b", 3, bus=2, switchgear={"kind": "fets"}),
        ],
        [*CELL_SIDE, "feedback_charge", "feedback_discharge", "charger_present"],
    ),
    "separate": table(
        [pack("a", 4, switchgear={"kind": "separate", "break_A": 20.0})],
        [*CELL_SIDE, "feedback_charge", "feedback_discharge", "emergency_stop"],
    ),
    "supervised": table(
        [pack("a", 4, switchgear={"kind": "none"}), pack("b", 4, switchgear={"kind": "none"})],
        FOREIGN,
    ),
    "bare": table([pack("a", 3, switchgear={"kind": "none"}, temperature_sensors=0)], ["cell_voltage", "current"]),
}


@cache
def site(name: str) -> Config:
    """Return a compiled site of TABLES."""
    return build(TABLES[name], name).config
