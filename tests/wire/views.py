"""A snapshot view as `board.view` makes it, for one home pack; the tests change what they need."""

from __future__ import annotations

import copy
from typing import Any

View = dict[str, Any]

_STRING: View = {
    "phase": "closed",
    "phase_since_s": 100.0,
    "charge_phase": "bulk",
    "minus": True,
    "precharge": False,
    "plus": True,
    "charge_switch": True,
    "discharge_switch": True,
    "feedback": {"minus": True, "plus": True},
    "current_A": -12.34,
    "voltage_V": 52.28,
    "link_voltage_V": 52.25,
    "power_W": -645.1,
    "soc_pct": 60.0,
    "soc_sigma_pct": 1.5,
    "usable_Ah": 278.4,
    "closings": 12,
    "wear_pct": 0.1,
    "lifetime": {
        "charged_kWh": 51.2,
        "discharged_kWh": 50.1,
        "hot_min": 3.0,
        "cold_min": 0.0,
        "deep_discharges": 0,
        "overcharges": 0,
        "openings": 12,
        "openings_under_load": 1,
        "broken_A": 40.0,
    },
    "charged_Ah": 1000.0,
    "discharged_Ah": 990.0,
    "cells": {
        "voltage_V": [3.267] * 15 + [3.275],
        "soc_pct": [60.0] * 16,
        "soc_sigma_pct": [1.5] * 16,
        "bleeding": [False] * 16,
        "capacity_Ah": [280.0] * 16,
        "resistance_pct": [100.0] * 16,
    },
    "balancing": {
        "source": "none",
        "missing": ["no plan: the planner has not spoken"],
        "moved_Ah": [0.0] * 16,
        "finish_s": None,
        "lost_Wh": None,
        "usable_before_Ah": None,
        "usable_after_Ah": None,
    },
    "lowest_cell": 1,
    "highest_cell": 16,
    "lowest_V": 3.267,
    "highest_V": 3.275,
    "temps_degC": [22.0, 21.5, 20.5, 21.0],
    "limits": {"charge_A": 50.0, "discharge_A": 80.0},
    "peaks": {
        "charge_A": [100.0, 60.0, 50.0, 25.0],
        "charge_W": [5500.0, 3300.0, 2750.0, 1350.0],
        "discharge_A": [160.0, 96.0, 80.0, 40.0],
        "discharge_W": [8000.0, 4900.0, 4100.0, 2050.0],
    },
    "faults": [],
    "missing": [],
}
_LIMITS: View = {
    "charge_A": 50.0,
    "discharge_A": 80.0,
    "charge_V": 55.2,
    "discharge_V": 48.0,
    "charge_W": 2760.0,
    "discharge_W": 4182.0,
}
_PACK: View = {
    "name": "house",
    "inputs": {"emergency_stop": False},
    "outputs": {
        "allow_charge": True,
        "allow_discharge": True,
        "pre_alarm": False,
        "start_generator": False,
        "force_charge": False,
        "full_charge": False,
        "buzzer": False,
        "heater_pct": 0.0,
        "pump_pct": 0.0,
    },
    "bus": 1,
    "limits": _LIMITS,
    "current_A": -12.34,
    "voltage_V": 52.28,
    "power_W": -645.1,
    "soc_pct": 60.0,
    "soc_sigma_pct": 1.5,
    "soh_pct": 99.4,
    "energy_Wh": 8400.0,
    "time_to_empty_s": None,
    "time_to_full_s": None,
    "wish_closed": True,
    "strings": [_STRING],
}


def view(packs: int = 1, time_ns: int = 0, **limits: float | None) -> View:
    """Return a fresh copy; `limits` change those of every pack."""
    made: View = {
        "time_ns": time_ns,
        "unix_s": 1.8e9,
        "cycle": 7,
        "overruns": 0,
        "site": "home",
        "config_hash": "0" * 8,
        "packs": [copy.deepcopy(_PACK) for _ in range(packs)],
        "not_protected": ["insulation low"],
    }
    for pack in made["packs"]:
        pack["limits"].update(limits)
    own = made["packs"][0]["limits"]
    bank = {way: None if own[way] is None else packs * own[way] for way in ("charge_A", "discharge_A")}
    made["banks"] = [{"bus": 1} | bank]
    return made


def with_fault(name: str, level: str) -> View:
    """Return a view with one active fault."""
    made = view()
    made["packs"][0]["strings"][0]["faults"].append({"name": name, "level": level, "text": name, "cell": 3})
    return made
