"""One form into another; the suffix of the target decides.

Exports of cyclers and BPX experiments → recordings, recordings → Battery Data Format, cell files → BPX.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellarer.cells import load
from cellarer.lab import bpx, tables
from cellarer.lab.error import LabError
from cellarer.lab.readers import Reading, read_noting

Floats = NDArray[np.float64]

RECORDING = ("time_s", "current_A", "voltage_V", "temperature_degC", "ah_reference")
# names of the Battery Data Format (Battery Data Alliance), preferred labels
BDF = ("Test Time / s", "Current / A", "Voltage / V", "Surface Temperature T1 / degC", "Net Capacity / Ah")
BDF_ENDS = (".bdf.csv", ".bdf.parquet")
BETWEEN_S = 3600.0  # a gap that nobody integrates over, between runs of unknown distance
TABLES = (".csv", ".parquet")


def convert(source: Path, target: Path, temperature_degC: float | None = None) -> tuple[str, tuple[str, ...]]:
    """Convert a file; returns what was written in words, and notes. Raises LabError, CellError or TableError."""
    name = target.name.lower()
    if name.endswith(".json"):
        cell = load(str(source))
        bpx.write(target, cell)
        return f"{cell.model.name} as BPX, model Partial (equivalent circuit in section User-defined)", ()
    if not name.endswith(TABLES):
        raise LabError(
            str(target), "name", target.suffix or "no suffix", ".csv, .parquet, .bdf.csv, .bdf.parquet or .json"
        )
    reading = read_noting(source, temperature_degC)
    theirs = name.endswith(BDF_ENDS)
    tables.write(target, _columns(reading, BDF if theirs else RECORDING, theirs))
    form = "Battery Data Format" if theirs else "a recording"
    rows = sum(len(run.time_s) for run in reading.runs)
    return f"{rows} rows in {len(reading.runs)} runs as {form}", reading.notes


def _columns(reading: Reading, names: tuple[str, ...], goes_on: bool) -> Mapping[str, Floats]:
    """Columns of all runs: time goes on over them, or begins anew and the column `run` parts them."""
    runs = reading.runs
    lasts = [run.time_s[-1] + BETWEEN_S if goes_on else 0.0 for run in runs[:-1]]
    begins = np.concatenate([[0.0], np.cumsum(lasts)])

    def joined(pick: str) -> Floats:
        return np.concatenate([np.asarray(getattr(run, pick)) for run in runs])

    time = np.concatenate([run.time_s + begin for run, begin in zip(runs, begins, strict=True)])
    columns = dict(zip(names, (time, joined("current"), joined("voltage"), joined("temp_degC")), strict=False))
    if all(run.counted for run in runs) and not (goes_on and len(runs) > 1):
        columns[names[4]] = joined("charge_Ah")
    if len(runs) > 1:
        number = "Cycle Count / 1" if goes_on else "run"
        columns[number] = np.repeat(np.arange(1.0, len(runs) + 1.0), [len(run.time_s) for run in runs])
    return columns
