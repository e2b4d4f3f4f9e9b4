"""Laboratory recordings → runs of one cell: time rising from 0, + current charges, charge counted.

Which columns a file has: exports.py. Here what they hold is doubted (doubts.py), rows that cannot be used are left out
and counted, and runs are cut where time begins anew. `ah_reference`, the tester's counter, is laboratory truth.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellarer.lab import doubts, tables
from cellarer.lab.columns import RUNS
from cellarer.lab.error import LabError
from cellarer.lab.exports import Sheet, open_sheet
from cellarer.lab.thin import kept_rows

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

GAP_S, GAP_STEPS = 60.0, 5.0  # a gap is longer than this, and than so many usual steps
FEW = 12  # rows: less is no run
BEGIN = 0.01  # of the time reached: going back to less begins a run, going back to more is disorder
MOST_ROWS = 150_000  # of a run that are kept: beyond, rows in which little happens are left out
ROOM_DEGC = 25.0
PARALLEL_BYTES = 40_000_000  # files of less together are read sooner than processes start


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
    cut: bool = False  # charge flowed before or behind it that nobody counted

    @property
    def dt(self) -> Floats:
        """Time to the row before, 0 first."""
        return np.diff(self.time_s, prepend=self.time_s[0])


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """The runs of a file and what has to be said about it."""

    runs: tuple[Run, ...]
    notes: tuple[str, ...]


def read_all(files: Sequence[Path], temperature_degC: float | None, progress: Callable[[str], None]) -> list[Reading]:
    """Read many files, large ones side by side in processes of their own; in the order given."""
    total = sum(file.stat().st_size for file in files if file.is_file())
    workers = min(len(files), os.cpu_count() or 1) if total > PARALLEL_BYTES else 1
    said = [f"reading {n + 1}/{len(files)}: {file.name}" for n, file in enumerate(files)]
    if workers < 2:
        readings = []
        for file, text in zip(files, said, strict=True):
            progress(text)
            readings.append(read_noting(file, temperature_degC))
        return readings
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(read_noting, file, temperature_degC) for file in files]
        readings = []
        try:
            for future, text in zip(waiting, said, strict=True):
                readings.append(future.result())
                progress(text)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)  # the first mistake is told at once
            raise
    return readings


def read(path: Path | str, temperature_degC: float | None = None) -> list[Run]:
    """Read one file; several runs where a run column changes or time restarts."""
    return list(read_noting(path, temperature_degC).runs)


def read_noting(path: Path | str, temperature_degC: float | None = None) -> Reading:
    """Read one file and say what is doubtful in it. Raises LabError or TableError where it cannot be used."""
    file = Path(path)
    sheet = open_sheet(file)
    notes = list(sheet.notes)
    time, current, voltage = (sheet.columns[key] for key in ("time_s", "current_A", "voltage_V"))
    temp = _temperature(sheet, temperature_degC, notes)
    doubts.check_units(str(file), time, current, voltage, temp, notes)
    known = np.isfinite(time) & np.isfinite(current) & np.isfinite(voltage)
    notes += doubts.unknown_rows(known)
    known &= ~doubts.absurd_rows(current, voltage, notes)
    runs: list[Run] = []
    back, repeated = np.zeros(len(time), np.bool_), np.zeros(len(time), np.bool_)
    for n, (begin, end) in enumerate(pairwise(_edges(sheet, time))):
        rows = np.flatnonzero(known[begin:end]) + begin
        rises, same = doubts.rising(time[rows])
        back[rows[~rises & ~same]], repeated[rows[same]] = True, True
        rows = rows[rises]
        parts = _connected(sheet, rows, notes)
        for k, part in enumerate(parts):
            number = f"{n + 1}.{k + 1}" if len(parts) > 1 else f"{n + 1}"
            runs.append(replace(_run(file, number, sheet, part, temp, notes), cut=len(parts) > 1))
    notes += doubts.disorder(str(file), back, repeated)
    if not runs:
        raise LabError(str(file), "rows", len(time), f"at least {FEW} rows with time, current and voltage, time rising")
    for run in runs:
        if run.counted:
            doubts.check_clock(run.file, run.charge_Ah, _charge(run.time_s, run.current))
        doubts.check_sign(run.file, run.time_s, run.current, run.voltage, run.charge_Ah)
        doubts.check_unsigned(run.file, run.time_s, run.current, run.voltage, _gap_s(run.time_s))
    return Reading(tuple(runs), tuple(f"{file.name}: {note}" for note in notes))


def _run(file: Path, number: str, sheet: Sheet, rows: NDArray[np.int64], temp: Floats, notes: list[str]) -> Run:
    """One run from these rows; charge is counted before long runs are thinned."""
    time, current, voltage = (sheet.columns[key][rows] for key in ("time_s", "current_A", "voltage_V"))
    charge, counted = _counted(_counters(sheet), rows, time, current, notes)
    if not counted:
        notes += doubts.gap_in_charge(time, current, charge, _gap_s(time))
    at = kept_rows(time, current, voltage, MOST_ROWS)
    columns = (time[at] - time[0], current[at], voltage[at], temp[rows][at], charge[at])
    return Run(str(file), f"{file.stem}#{number}", *columns, counted)


def _connected(sheet: Sheet, rows: NDArray[np.int64], notes: list[str]) -> list[NDArray[np.int64]]:
    """The rows of a run, cut where charge flowed that neither rows nor a counter of the tester have counted."""
    if len(rows) < FEW:
        return []
    time, current, voltage = (sheet.columns[key][rows] for key in ("time_s", "current_A", "voltage_V"))
    charge, counted = _counted(_counters(sheet), rows, time, current, [])
    cuts = doubts.unseen(time, current, voltage, charge, _gap_s(time))[: 0 if counted else None]
    if len(cuts):
        notes.append(
            f"charge flowed uncounted in {len(cuts)} gaps, the first {time[cuts[0] - 1] - time[0]:.0f} s after the "
            "begin of a run: it is cut there; a column ah_reference would tell"
        )
    return [part for part in np.split(rows, cuts) if len(part) >= FEW]


def columns_of(file: Path) -> dict[str, NDArray[np.generic]]:
    """All columns of a CSV or Parquet file under their own names."""
    return dict(tables.read(file).columns)


def _temperature(sheet: Sheet, given: float | None, notes: list[str]) -> Floats:
    """Measured temperature; where there is none: what the caller says, the set point, 25 degC."""
    n = len(sheet.columns["time_s"])
    column, setpoint = sheet.columns.get("temperature_degC"), sheet.columns.get("setpoint_degC")
    fallback, said = np.full(n, ROOM_DEGC if given is None else given), f"{ROOM_DEGC:.0f} degC is assumed"
    if given is not None:
        said = f"{given:g} degC is taken from the command line"
    elif setpoint is not None and np.isfinite(setpoint).any():
        fallback, said = np.where(np.isfinite(setpoint), setpoint, fallback), "the set point is taken"
    column = column if column is None else doubts.measured_temperature(column, notes)
    if column is not None and np.isfinite(column).any() and not column[np.isfinite(column)].any():
        notes.append("temperature is 0 in every row: a channel without a sensor?")
        column = None
    if column is None or not np.isfinite(column).any():
        notes.append(f"no temperature measured: {said}")
        return fallback
    return np.where(np.isfinite(column), column, fallback)


def _edges(sheet: Sheet, time: Floats) -> list[int]:
    """Rows at which runs begin, and the end: a run column changes and time restarts, or time goes back to its begin."""
    cut = np.zeros(len(time), dtype=bool)
    reached = np.fmax.accumulate(np.where(np.isfinite(time), time, -np.inf))
    first = time[np.isfinite(time)][:1].sum()
    at = np.maximum.accumulate(np.where(np.isfinite(time), np.arange(len(time)), 0))
    restart = np.diff(time[at]) < 0.0  # names and blank lines between two recordings are no times
    cut[1:] |= restart & (reached[:-1] > first) & (time[1:] - first <= BEGIN * (reached[:-1] - first))
    for name in RUNS:
        if name in sheet.raw:
            values = sheet.raw[name]
            cut[1:] |= (values[1:] != values[:-1]) & (np.diff(time) <= 0.0)
    return [0, *np.flatnonzero(cut).tolist(), len(time)]


def _counters(sheet: Sheet) -> list[Floats]:
    """Counters of the tester that may hold the net charge, best first."""
    net, up, down = (sheet.columns.get(key) for key in ("ah_reference", "charged_Ah", "discharged_Ah"))
    pair = [up - np.abs(down)] if up is not None and down is not None else []
    return ([net] if net is not None else []) + pair


def _counted(
    counters: Sequence[Floats], rows: NDArray[np.int64], time: Floats, current: Floats, notes: list[str]
) -> tuple[Floats, bool]:
    """Charge from the first counter that agrees with the current, else from the current of these rows."""
    own = _charge(time, current)
    for counter in counters:
        if not np.isfinite(counter[rows]).all():
            continue
        count, note = doubts.like_current(counter[rows], own)
        if _agrees(count, own):
            notes += [text for text in [note] if text and text not in notes]
            return np.asarray(count - count[0]), True
    return own, False


def _charge(time: Floats, current: Floats) -> Floats:
    """Charge in Ah from the rows: the previous current holds up to 1 s, above that the trapezoid.

    Over a gap nothing, unless the same current flows before and behind it.
    """
    dt, before, behind = np.diff(time), current[:-1], current[1:]
    mean = np.where(dt <= 1.0, before, 0.5 * (before + behind))
    steady = np.abs(before - behind) < doubts.ALIKE * np.maximum(np.abs(before), np.abs(behind))
    return np.concatenate([[0.0], np.cumsum(np.where((dt > _gap_s(time)) & ~steady, 0.0, mean * dt)) / 3600.0])


def _gap_s(time: Floats) -> float:
    return max(GAP_STEPS * float(np.median(np.diff(time))), GAP_S)


def _agrees(counter: Floats, own: Floats) -> bool:
    """Whether a counter can be believed: not if it restarts with its steps, is too coarse or counts something else."""
    span = max(float(np.ptp(own)), 1e-6)
    steps = np.abs(np.diff(counter))
    jumps = float(steps.max()) > 0.2 * max(span, float(np.ptp(counter))) and float(steps.max()) > 5.0 * float(
        np.abs(np.diff(own)).max()
    )
    coarse = len(np.unique(counter)) < 0.02 * len(counter)
    unlike = float(np.ptp(counter)) < 0.7 * span
    turned = float(np.corrcoef(counter, own)[0, 1]) < 0.0 if np.ptp(counter) > 0.0 and np.ptp(own) > 0.0 else False
    return not (jumps or coarse or unlike or turned)
