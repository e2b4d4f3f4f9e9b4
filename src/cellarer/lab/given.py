"""A curve that somebody gives: a table of a data sheet or of rested voltages."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellarer.lab import bpx
from cellarer.lab.curve import GRID, Curve
from cellarer.lab.error import LabError
from cellarer.lab.readers import columns_of

Floats = NDArray[np.float64]


def given_curve(path: Path | str) -> Curve:
    """A data-sheet or rested curve: soc_pct, ocv_V and optionally temperature_degC, branch (charge, discharge)."""
    if Path(path).suffix.lower() == ".json":
        return _from_bpx(Path(path))
    table = columns_of(Path(path))
    names = {"soc_percent": "soc_pct", "ocv_mean_V": "ocv_V", "hysteresis_half_V": "half_V"}
    table = {names.get(key, key): value for key, value in table.items()}
    for key in ("soc_pct", "ocv_V"):
        if key not in table:
            raise LabError(
                str(path), "columns", ", ".join(table), "soc_pct and ocv_V, optionally temperature_degC, branch"
            )
    soc, volts = np.asarray(table["soc_pct"], float) / 100.0, np.asarray(table["ocv_V"], float)
    pick = np.isfinite(soc) & np.isfinite(volts)
    temp = 25.0
    if "temperature_degC" in table:
        temps = np.asarray(table["temperature_degC"], float)
        temp = float(temps[np.nanargmin(np.abs(temps - 25.0))])
        pick &= np.abs(temps - temp) < 1.0
    if pick.sum() < 3:
        raise LabError(str(path), "rows", int(pick.sum()), "at least three points of soc_pct and ocv_V")
    if np.nanmax(np.abs(soc)) <= 0.0101:
        raise LabError(
            str(path), "soc_pct", f"at most {100 * np.nanmax(soc):.2f}", "per cent, 0 to 100; these look like fractions"
        )

    def on_grid(rows: NDArray[np.bool_]) -> Floats:
        order = np.argsort(soc[rows])
        return np.asarray(np.maximum.accumulate(np.interp(GRID, soc[rows][order], volts[rows][order])))

    if "branch" in table and len(set(table["branch"].tolist())) > 1:
        branch = np.array([str(b).lower() for b in table["branch"]])
        up, down = on_grid(pick & (branch == "charge")), on_grid(pick & (branch == "discharge"))
        return Curve(0.5 * (up + down), np.maximum(0.5 * (up - down), 0.0), temp, "given table", True)
    half = np.interp(GRID, soc, np.asarray(table["half_V"], float)) if "half_V" in table else np.zeros_like(GRID)
    return Curve(on_grid(pick), half, temp, "given table", "half_V" in table)


def _from_bpx(path: Path) -> Curve:
    """The curve of the full cell from a BPX file."""
    found = bpx.read(path)
    half = np.interp(GRID, found.soc, found.half_gap)
    known = bool(np.isfinite(half).all())
    ocv = np.maximum.accumulate(np.interp(GRID, found.soc, found.ocv))
    return Curve(ocv, half if known else np.zeros_like(GRID), found.temp_degC, "given table", known)
