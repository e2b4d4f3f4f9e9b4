"""What laboratory data does not tell and a cell file needs: limits, charge policy, heat. Marked estimated.

Levels by chemistry after data sheets of common cells and the thresholds of open battery management systems; they are
a beginning that a person replaces by the data sheet of the very cell.
"""

from typing import Any

# full (operating, recommended, maximum), empty (…), cap, deep discharge, in V
VOLTS: dict[str, tuple[tuple[float, ...], tuple[float, ...], tuple[float, float], float]] = {
    "NMC": ((4.15, 4.20, 4.25), (3.2, 2.8, 2.5), (2.0, 4.30), 2.0),
    "NCA": ((4.15, 4.20, 4.25), (3.2, 2.7, 2.5), (2.0, 4.30), 2.0),
    "LMO": ((4.13, 4.18, 4.224), (3.3, 3.0, 2.5), (2.3, 4.28), 2.2),
    "LFP": ((3.50, 3.60, 3.65), (2.9, 2.7, 2.0), (1.8, 3.80), 1.6),
    "LTO": ((2.65, 2.70, 2.80), (2.0, 1.8, 1.5), (1.4, 2.90), 1.2),
    "Na-ion": ((4.00, 4.10, 4.15), (2.2, 2.0, 1.5), (1.4, 4.25), 1.2),
}
COLD = {"LTO": (-20.0, -25.0, -30.0), "Na-ion": (-5.0, -10.0, -20.0)}
OFF_CURVE_V = 0.85  # V: limits farther from the rested curve are refused (cells/checks.py, 0.9 V)
ESTIMATED = "estimated: values of the class, replace them by the data sheet"


def limits(chemistry: str, full_V: float, empty_V: float, rested_V: float, capacity_Ah: float) -> dict[str, Any]:
    """Limits of the class; moved where the measured voltages or the rested curve (`rested_V` empty) end elsewhere."""
    high, low, cap, deep = VOLTS[chemistry]
    up = full_V - high[1] if abs(full_V - high[1]) > 0.12 else 0.0
    down = empty_V - low[1] if abs(empty_V - low[1]) > 0.6 else 0.0
    down = max(down, rested_V - OFF_CURVE_V - low[2])
    low = tuple(min(v + down, rested_V + OFF_CURVE_V) for v in low)  # a curve that is drawn far down has higher ones
    cold = COLD.get(chemistry, (5.0, 0.0, -5.0))
    return {
        "voltage_max_V": [round(v + up, 3) for v in high],
        "voltage_min_V": [round(v, 3) for v in low],
        "charge_temperature_max_degC": [45, 50, 55],
        "charge_temperature_min_degC": list(cold),
        "discharge_temperature_max_degC": [50, 55, 60],
        "discharge_temperature_min_degC": [-15, -20, -25] if chemistry not in COLD else [-20, -25, -30],
        "charge_A": [round(x * capacity_Ah, 4) for x in (0.5, 1.0, 1.5)],
        "discharge_A": [round(x * capacity_Ah, 4) for x in (1.0, 2.0, 3.0)],
        "cap_voltage_max_V": round(cap[1] + up, 3),
        "cap_voltage_min_V": round(max(min(cap[0] + down, low[2]), 0.6), 3),
        "deep_discharge_V": round(max(min(deep + down, low[1] - 0.1), 0.6), 3),
        "spread_mV": 100,
        "spread_temperature_K": 10,
        "source": ESTIMATED,
    }


def charge(chemistry: str, limit: dict[str, Any], capacity_Ah: float) -> dict[str, Any]:
    """Charge policy of the class."""
    q = capacity_Ah
    map_degC = [-20, -15, 0, 20, 45, 50] if chemistry in COLD else [-1, 0, 10, 20, 45, 50]
    share = [0, 0.1, 0.3, 0.5, 0.5, 0] if chemistry in COLD else [0, 0, 0.2, 0.5, 0.5, 0]
    return {
        "map_degC": map_degC,
        "map_A": [round(x * q, 4) for x in share],
        "voltage_V": limit["voltage_max_V"][1] if chemistry != "LFP" else limit["voltage_max_V"][0],
        "tail_A": round(0.05 * q, 5),
        "precondition_below_V": limit["voltage_min_V"][1],
        "precondition_A": round(0.1 * q, 5),
        "rebulk_soc_pct": 90,
        "floor_soc_pct": 5,
        "source": ESTIMATED,
    }


def thermal(capacity_Ah: float, middle_V: float) -> dict[str, Any]:
    """Heat from the usual energy per mass and heat capacity."""
    energy = capacity_Ah * middle_V
    heat = energy / 0.19  # J/K: about 190 Wh/kg at 1000 J/(kg K)
    return {
        "entropy_soc_pct": [0, 20, 50, 80, 100],
        "entropy_mV_per_K": [-0.2, -0.1, 0.0, 0.05, 0.0],
        "heat_capacity_core_J_per_K": round(0.9 * heat, 3),
        "heat_capacity_surface_J_per_K": round(0.1 * heat, 3),
        "core_to_surface_K_per_W": round(1.9 * (45.0 / heat) ** 0.4, 3),
        "surface_to_ambient_K_per_W": round(9.0 * (45.0 / heat) ** 0.6, 3),
        "source": "estimated from energy: 190 Wh/kg, 1000 J/(kg K), still air",
    }
