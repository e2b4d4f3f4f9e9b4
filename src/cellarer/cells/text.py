"""Cells as text for people: a table of all shipped cells and the description of one. No formatting library here."""

from dataclasses import dataclass

import numpy as np

from cellarer.cells.loader import Cell, Floats, load, names
from cellarer.model.cell import CellLimits, HardCaps

COLUMNS = (
    "name",
    "title",
    "chemistry",
    "capacity_Ah",
    "full_V",
    "empty_V",
    "r0_mohm",
    "charge_A",
    "discharge_A",
    "estimated",
)


@dataclass(frozen=True, slots=True)
class Description:
    """One cell in words: rows of (key, value), sources by section or key, and what is estimated."""

    name: str
    title: str
    rows: tuple[tuple[str, str], ...]
    sources: tuple[tuple[str, str], ...]
    estimated: tuple[str, ...]
    notes: tuple[str, ...]


def _at_25(cell: Cell) -> int:
    return int(np.argmin(np.abs(cell.model.temp_degC - 25.0)))


def table() -> list[dict[str, str]]:
    """One row per shipped cell; keys are COLUMNS; resistance at 25 degC and 50 % SOC."""
    rows = []
    for name in names():
        cell = load(name)
        model, limits, k = cell.model, cell.limits, _at_25(cell)
        rows.append(
            {
                "name": model.name,
                "title": model.title,
                "chemistry": model.chemistry,
                "capacity_Ah": f"{model.capacity_Ah:.4g}",
                "full_V": f"{limits.voltage_max[1]:.2f}",
                "empty_V": f"{limits.voltage_min[1]:.2f}",
                "r0_mohm": f"{model.r0[k, model.r0.shape[1] // 2] * 1e3:.3g}",
                "charge_A": f"{limits.charge_A[1]:g}",
                "discharge_A": f"{limits.discharge_A[1]:g}",
                "estimated": "yes" if "resistance" in cell.estimated else ("partly" if cell.estimated else "no"),
            }
        )
    return rows


def _levels(values: Floats, unit: str) -> str:
    return " / ".join(f"{value:g}" for value in values) + f" {unit}"


def _range(low: Floats, high: Floats) -> str:
    return f"{_levels(low, '')}to {_levels(high, 'degC')}"


def _resistances(cell: Cell) -> str:
    model, k = cell.model, _at_25(cell)
    half = model.r0.shape[1] // 2
    return " / ".join(f"{table[k, half] * 1e3:.3g}" for table in (model.r0, model.r1, model.r2)) + " mohm"


def no_caps(limits: CellLimits) -> list[str]:
    """Return what the cell file gives no data-sheet cap of that the guard would use."""
    caps = {
        "temperature": limits.cap_temp_max_degC, "charge current": limits.cap_charge_A,
        "discharge current": limits.cap_discharge_A,
    }  # fmt: skip
    return [name for name, cap in caps.items() if np.isnan(cap)]


def _caps(limits: CellLimits) -> str:
    said = [f"{limits.cap_voltage_min:g} to {limits.cap_voltage_max:g} V"]
    caps = (
        (limits.cap_temp_max_degC, "degC at most"),
        (limits.cap_charge_temp_max_degC, "degC at most in charge"),
        (limits.cap_charge_temp_min_degC, "degC at least in charge"),
        (limits.cap_discharge_temp_min_degC, "degC at least in discharge"),
        (limits.cap_charge_A, "A charge"),
        (limits.cap_discharge_A, "A discharge"),
    )
    said += [f"{cap:g} {unit}" for cap, unit in caps if not np.isnan(cap)]
    missing = no_caps(limits)
    return ", ".join(said) + (f"; none given of {', '.join(missing)}" if missing else "")


def _hard(hard: HardCaps) -> str:
    return (
        f"charge {hard.charge_temp_min_degC:g} to {hard.charge_temp_max_degC:g} degC, {hard.charge_A:g} A; "
        f"discharge {hard.discharge_temp_min_degC:g} to {hard.discharge_temp_max_degC:g} degC, {hard.discharge_A:g} A"
    )


def describe(name: str) -> Description:
    """Everything a person wants to know about one cell, as plain text rows."""
    cell = load(name)
    model, limits, k = cell.model, cell.limits, _at_25(cell)
    half = model.ocv.shape[1] // 2
    rows = (
        ("chemistry", model.chemistry),
        ("form", cell.form or "not stated"),
        ("capacity", f"{model.capacity_Ah:g} Ah (rated {model.rated_Ah:g} Ah)"),
        ("OCV empty / half / full", f"{model.ocv[k, 0]:.3f} / {model.ocv[k, half]:.3f} / {model.ocv[k, -1]:.3f} V"),
        ("hysteresis at 50 %", f"±{model.hysteresis[k, half] * 1e3:.1f} mV"),
        ("R0 / R1 / R2 at 50 %", _resistances(cell)),
        ("time constants", f"{model.tau1[k]:.3g} / {model.tau2[k]:.3g} s"),
        ("model fits within", f"{model.sigma[k] * 1e3:.1f} mV"),
        ("known temperatures", ", ".join(f"{t:g}" for t in model.temp_degC) + " degC"),
        ("voltage max (operating / recommended / maximum)", _levels(limits.voltage_max, "V")),
        ("voltage min", _levels(limits.voltage_min, "V")),
        ("charge temperature", _range(limits.charge_temp_min_degC, limits.charge_temp_max_degC)),
        ("discharge temperature", _range(limits.discharge_temp_min_degC, limits.discharge_temp_max_degC)),
        ("charge current", _levels(limits.charge_A, "A")),
        ("discharge current", _levels(limits.discharge_A, "A")),
        ("charge ends at", f"{limits.charge_voltage:g} V, {limits.tail_A:g} A"),
        ("deep discharge below", f"{limits.deep_discharge:g} V"),
        ("data-sheet caps", _caps(limits)),
        (f"hard caps of {model.chemistry}", _hard(limits.hard)),
    )  # fmt: skip
    return Description(model.name, model.title, rows, tuple(sorted(cell.sources.items())), cell.estimated, cell.notes)
