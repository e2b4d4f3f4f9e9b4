"""Laboratory recordings → runs of one cell. CSV or Parquet in the recording form; every run has time rising from 0.

Reads what others wrote and doubts it: sign of the current (a charging step must raise the voltage), units (a cell has
0.5 … 5.5 V), order of time, truncation. `ah_reference`, the tester's counter, is welcome here: it is laboratory truth.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellarer.lab.error import LabError

Floats = NDArray[np.float64]

# Names under which cyclers and converters export the same columns
ALIASES = {
    "time_s": ("time_s", "Time [s]", "Test Time / s", "test_time_second", "Test_Time(s)", "time", "Time"),
    "current_A": ("current_A", "Current [A]", "Current / A", "current_ampere", "Current(A)", "current", "Current", "I"),
    "voltage_V": ("voltage_V", "Voltage [V]", "Voltage / V", "voltage_volt", "Voltage(V)", "voltage", "Voltage", "U"),
    "temperature_degC": (
        "temperature_degC", "temp_01_degC", "temp_1_degC", "Temperature [degC]", "Surface Temperature / degC",
        "Temperature (C)_1", "temperature", "Temperature", "Battery_Temp_degC",
    ),
    "ah_reference": ("ah_reference", "Capacity [Ah]", "Net Capacity / Ah", "net_capacity_ah", "Ah"),
}  # fmt: skip
RUN_COLUMNS = ("test_id", "cycle", "trip", "run", "cell_no", "pulse_no", "soc_percent")
GAP_S = 60.0
FEW = 12  # rows: less is no run


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One stretch of one cell, (row,); current + charges. `charge_Ah` is 0 at the first row."""

    file: str
    label: str
    time_s: Floats
    current: Floats
    voltage: Floats
    temp_degC: Floats
    charge_Ah: Floats
    counted: bool  # charge comes from the tester's counter

    @property
    def dt(self) -> Floats:
        """Time to the row before, 0 first."""
        return np.diff(self.time_s, prepend=self.time_s[0])


def read(path: Path | str, temperature_degC: float | None = None) -> list[Run]:
    """Read one file; several runs where a run column changes or time restarts."""
    file = Path(path)
    table = columns_of(file)
    picked = {key: _pick(table, names) for key, names in ALIASES.items()}
    for key in ("time_s", "current_A", "voltage_V"):
        if picked[key] is None:
            raise LabError(
                str(file), "columns", ", ".join(table), f"a column {key} (or {', '.join(ALIASES[key][1:4])})"
            )
    time, current, voltage = (np.asarray(picked[key], dtype=np.float64) for key in ("time_s", "current_A", "voltage_V"))
    temp = _temperature(table, picked["temperature_degC"], len(time), temperature_degC)
    _check_units(str(file), time, voltage)
    counter = picked["ah_reference"]
    runs = []
    for n, (begin, end) in enumerate(_spans(table, time)):
        ok = np.isfinite(time[begin:end]) & np.isfinite(current[begin:end]) & np.isfinite(voltage[begin:end])
        ok &= np.r_[True, np.diff(time[begin:end]) > 0.0]
        rows = np.flatnonzero(ok) + begin
        if len(rows) < FEW:
            continue
        charge = _charge(time[rows], current[rows])
        counted = counter is not None and bool(np.isfinite(counter[rows]).all())
        if counted and counter is not None:
            charge = _agreeing(np.asarray(counter[rows], dtype=np.float64), charge)
        begin_s = time[rows[0]]
        runs.append(
            Run(
                str(file),
                f"{file.stem}#{n + 1}",
                time[rows] - begin_s,
                current[rows],
                voltage[rows],
                temp[rows],
                charge - charge[0],
                counted,
            )
        )
    if not runs:
        raise LabError(str(file), "rows", len(time), f"at least {FEW} rows with time, current and voltage, time rising")
    for run in runs:
        check_sign(run)
    return runs


def columns_of(file: Path) -> dict[str, NDArray[np.generic]]:
    """All columns of a CSV or Parquet file."""
    if not file.is_file():
        raise LabError(str(file), "file", "nothing", "a CSV or Parquet file")
    if file.suffix.lower() in (".parquet", ".pq"):
        try:
            from pyarrow import parquet
        except ImportError:
            raise LabError(
                str(file), "file", "Parquet", "the extra `parquet` (pip install cellarer[parquet])"
            ) from None
        try:
            table = parquet.read_table(file)
        except (OSError, ValueError) as error:
            raise LabError(str(file), "file", str(error).split("\n")[0], "a whole Parquet file") from None
        return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    return _csv(file)


def _csv(file: Path) -> dict[str, NDArray[np.generic]]:
    with file.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
        sample = stream.read(4096)
        stream.seek(0)
        separator = max(",;\t", key=sample.count)
        rows = csv.reader(stream, delimiter=separator)
        header = next(rows, None)
        if not header or len(header) < 3:
            raise LabError(str(file), "first line", header, "names of at least three columns")
        body = [row for row in rows if len(row) == len(header)]
    if not body:
        raise LabError(str(file), "rows", 0, "rows of numbers below the names")
    return {name.strip(): _numbers([row[n] for row in body]) for n, name in enumerate(header)}


def _numbers(texts: list[str]) -> NDArray[np.generic]:
    out = np.full(len(texts), np.nan)
    for n, text in enumerate(texts):
        try:
            out[n] = float(text)
        except ValueError:
            if text.strip() and n < 50 and not text.strip().lower().startswith("nan"):
                return np.array(texts)
    return out


def _pick(table: dict[str, NDArray[np.generic]], names: tuple[str, ...]) -> Floats | None:
    for name in names:
        if name in table and np.issubdtype(table[name].dtype, np.number):
            return np.asarray(table[name], dtype=np.float64)
    return None


def _temperature(table: dict[str, NDArray[np.generic]], column: Floats | None, n: int, given: float | None) -> Floats:
    """Measured temperature; where there is none: what the caller says, the set point, 25 degC."""
    setpoint = _pick(table, ("temperature_setpoint_degC",))
    fallback = np.full(n, 25.0 if given is None else given)
    if setpoint is not None and given is None:
        fallback = np.where(np.isfinite(setpoint), setpoint, fallback)
    return fallback if column is None else np.where(np.isfinite(column), column, fallback)


def _check_units(file: str, time: Floats, voltage: Floats) -> None:
    middle = float(np.nanmedian(voltage))
    if middle > 500.0:
        raise LabError(file, "voltage_V", f"median {middle:.0f}", "volts; these look like millivolts")
    if not 0.3 <= middle <= 5.5:
        raise LabError(file, "voltage_V", f"median {middle:.3g}", "0.5 to 5.5 V of one cell")
    steps = np.diff(time[np.isfinite(time)])
    if len(steps) and float(np.mean(steps < 0.0)) > 0.05:
        raise LabError(
            file, "time_s", f"{100 * np.mean(steps < 0):.0f} % of steps go back", "time that rises within a run"
        )


def _spans(table: dict[str, NDArray[np.generic]], time: Floats) -> Iterator[tuple[int, int]]:
    """Runs: a run column changes and time restarts, or time alone goes back."""
    cut = np.zeros(len(time), dtype=bool)
    cut[1:] |= np.diff(time) < 0.0
    for name in RUN_COLUMNS:
        if name in table:
            values = table[name]
            cut[1:] |= (values[1:] != values[:-1]) & (np.diff(time) <= 0.0)
    edges = [0, *np.flatnonzero(cut).tolist(), len(time)]
    yield from pairwise(edges)


def _charge(time: Floats, current: Floats) -> Floats:
    """Charge in Ah from the rows: the previous current holds up to 1 s, above that the trapezoid; nothing over gaps."""
    dt = np.diff(time)
    mean = np.where(dt <= 1.0, current[:-1], 0.5 * (current[:-1] + current[1:]))
    longest = max(5.0 * float(np.median(dt)), GAP_S)
    return np.concatenate([[0.0], np.cumsum(np.where(dt > longest, 0.0, mean * dt)) / 3600.0])


def _agreeing(counter: Floats, own: Floats) -> Floats:
    """The tester's counter, unless it restarts with its steps or is too coarse: then the own integral."""
    span = max(float(np.ptp(own)), 1e-6)
    steps = np.abs(np.diff(counter))
    jumps = float(steps.max()) > 0.2 * max(span, float(np.ptp(counter))) and float(steps.max()) > 5.0 * float(
        np.abs(np.diff(own)).max()
    )
    coarse = len(np.unique(counter)) < 0.02 * len(counter)
    unlike = float(np.ptp(counter)) < 0.7 * span
    return own if jumps or coarse or unlike else counter


def check_sign(run: Run) -> None:
    """A step of current towards charging must raise the voltage; otherwise the sign is swapped."""
    di, dv = np.diff(run.current), np.diff(run.voltage)
    fast = (np.diff(run.time_s) <= 30.0) & (np.abs(di) > 0.2 * max(float(np.abs(run.current).max()), 1e-9))
    if fast.sum() < 6:
        return
    agreeing = float(np.mean(di[fast] * dv[fast] > 0.0))
    if agreeing < 0.2:
        raise LabError(run.file, "current_A", f"{100 * (1 - agreeing):.0f} % of steps lower the voltage when it rises",
                       "positive current charges; here the sign is swapped")  # fmt: skip
    slope = float(np.median(np.abs(dv[fast] / di[fast])))
    if slope < 2e-6:
        raise LabError(run.file, "current_A", f"{slope:.1e} ohm", "amperes; these look like milliamperes")
