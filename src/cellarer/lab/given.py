"""A curve that somebody gives: a table of a data sheet or of rested voltages."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellarer.lab import bpx
from cellarer.lab.columns import words_and_unit
from cellarer.lab.curve import GRID, Curve
from cellarer.lab.error import LabError
from cellarer.lab.readers import columns_of

Floats = NDArray[np.float64]

WANTED = "soc_pct and ocv_V, optionally temperature_degC, branch"
LEAST_POINTS = 3
CELL_V = (0.3, 5.5)
COVERED = (0.15, 0.85)  # of SOC: points must reach so far; beyond them the curve goes on as steep as before
FALLS_V = 0.02  # no curve falls by more towards full
SOC = ("soc", "soc percent", "soc pct", "state of charge", "ladezustand")
DOD = ("dod", "dod percent", "dod pct", "depth of discharge")
OCV = ("ocv", "ocv mean", "open circuit voltage", "open-circuit voltage", "voltage", "u", "v")


def given_curve(path: Path | str) -> Curve:
    """A data-sheet or rested curve: soc_pct, ocv_V and optionally temperature_degC, branch (charge, discharge)."""
    if Path(path).suffix.lower() == ".json":
        return _from_bpx(Path(path))
    table = columns_of(Path(path))
    soc, volts = _soc(path, table), _volts(path, table)
    half = np.asarray(table["hysteresis_half_V"], float) if "hysteresis_half_V" in table else None
    pick = np.isfinite(soc) & np.isfinite(volts)
    temp = 25.0
    if "temperature_degC" in table:
        temps = np.asarray(table["temperature_degC"], float)
        temp = float(temps[np.nanargmin(np.abs(temps - 25.0))])
        pick &= np.abs(temps - temp) < 1.0
    if pick.sum() < LEAST_POINTS:
        raise LabError(str(path), "rows", int(pick.sum()), "at least three points of soc_pct and ocv_V")
    if "branch" in table and len(set(table["branch"].tolist())) > 1:
        branch = np.array([str(b).strip().lower() for b in table["branch"]])
        legs = {name: pick & (branch == name) for name in ("charge", "discharge")}
        for name, rows in legs.items():
            if rows.sum() < LEAST_POINTS:
                found = ", ".join(sorted(set(branch.tolist())))
                raise LabError(str(path), "branch", found, f"charge and discharge, three points each; {name} lacks")
        up, down = (_on_grid(path, soc[rows], volts[rows]) for rows in legs.values())
        return Curve(0.5 * (up + down), np.maximum(0.5 * (up - down), 0.0), temp, "given table", True)
    ocv = _on_grid(path, soc[pick], volts[pick])
    if half is None:
        return Curve(ocv, np.zeros_like(GRID), temp, "given table", False)
    order = np.argsort(soc[pick])
    return Curve(ocv, np.interp(GRID, soc[pick][order], half[pick][order]), temp, "given table", True)


def _soc(path: Path | str, table: dict[str, NDArray[np.generic]]) -> Floats:
    """SOC as a fraction from a column of SOC or of depth of discharge."""
    for name, column in table.items():
        words, unit = words_and_unit(name.replace("%", "pct"))
        words = re.sub(r"\s*pct$", "", words)
        if words not in SOC + DOD or column.dtype.kind != "f":
            continue
        values = np.asarray(column, float)
        per_cent = unit == "pct" or bool(re.search(r"pct|percent|%", name.lower()))
        largest = float(np.nanmax(np.abs(values), initial=0.0))
        if largest <= 1.01 and per_cent:
            raise LabError(
                str(path), name, f"at most {largest:.2f}", "per cent, 0 to 100; these look like fractions: name it soc"
            )
        if largest > 101.0:
            raise LabError(str(path), name, f"up to {largest:g}", "0 to 100 per cent, or 0 to 1")
        soc = values if largest <= 1.01 else values / 100.0
        return np.asarray(1.0 - soc if words in DOD else soc)
    raise LabError(str(path), "columns", ", ".join(table), WANTED)


def _volts(path: Path | str, table: dict[str, NDArray[np.generic]]) -> Floats:
    """Volts from a column of V or mV; a value that no cell has is refused."""
    for name, column in table.items():
        words, unit = words_and_unit(name)
        if words not in OCV or column.dtype.kind != "f":
            continue
        volts = np.asarray(column, float) * (0.001 if unit == "mv" else 1.0)
        known = volts[np.isfinite(volts)]
        odd = known[(known < CELL_V[0]) | (known > CELL_V[1])]
        if odd.size:
            remedy = "; these look like millivolts: name the column ocv_mV" if odd[0] > 100.0 else ""
            raise LabError(str(path), name, f"{odd[0]:g}", f"{CELL_V[0]:g} to {CELL_V[1]:g} V of one cell{remedy}")
        return volts
    raise LabError(str(path), "columns", ", ".join(table), WANTED)


def _on_grid(path: Path | str, soc: Floats, volts: Floats) -> Floats:
    """One branch onto GRID; beyond its ends, which must lie near those of SOC, as steep as its last points."""
    order = np.argsort(soc, kind="stable")
    soc, volts = soc[order], volts[order]
    fallen = np.maximum.accumulate(volts) - volts
    if float(fallen.max()) > FALLS_V:
        at = int(np.argmax(fallen))
        raise LabError(
            str(path), "ocv_V", f"{volts[at]:.3f} V at SOC {100 * soc[at]:.0f} %, {1e3 * fallen[at]:.0f} mV below a "
            "lower SOC", "voltage that rises with SOC; depth of discharge is named dod_pct",
        )  # fmt: skip
    if soc[0] > COVERED[0] or soc[-1] < COVERED[1]:
        raise LabError(
            str(path), "soc_pct", f"{100 * soc[0]:.0f} to {100 * soc[-1]:.0f}", "points near both ends, "
            f"{100 * COVERED[0]:.0f} % or less to {100 * COVERED[1]:.0f} % or more",
        )  # fmt: skip
    out = np.interp(GRID, soc, volts)
    for beyond, near, far in ((soc[0] > GRID, 0, min(1, len(soc) - 1)), (soc[-1] < GRID, -1, max(-2, -len(soc)))):
        slope = (volts[near] - volts[far]) / (soc[near] - soc[far]) if soc[near] != soc[far] else 0.0
        out[beyond] = volts[near] + (GRID[beyond] - soc[near]) * slope
    return np.asarray(np.maximum.accumulate(out))


def _from_bpx(path: Path) -> Curve:
    """The curve of the full cell from a BPX file."""
    found = bpx.read(path)
    half = np.interp(GRID, found.soc, found.half_gap)
    known = bool(np.isfinite(half).all())
    ocv = np.maximum.accumulate(np.interp(GRID, found.soc, found.ocv))
    return Curve(ocv, half if known else np.zeros_like(GRID), found.temp_degC, "given table", known)
