"""A recording: what was measured in one cell or string, row by row, in SI units. Format: docs/recording-format.md.

Reading decides three things that nobody else may guess: which rows cannot be used (and why: counted), where a new run
begins, and whether a unit is evidently wrong (an error). It never repairs a value. `ah_reference` is kept apart: truth
for judging, which no estimator gets to see.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellarer.lab import tables
from cellarer.lab.columns import missing
from cellarer.lab.tables import Table, TableError
from cellarer.model.quantities import BY_NAME

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

RUN_COLUMNS = ("test_id", "cycle", "trip", "run")  # a change of value begins a run where time restarts as well
SCALE = {"s": 1.0, "ms": 1e-3, "A": 1.0, "mA": 1e-3, "V": 1.0, "mV": 1e-3, "degC": 1.0, "K": 1.0}
UNITS = {"time": "s|ms", "current": "A|mA", "voltage": "V|mV", "temperature": "degC|K"}
GAP_S = 60.0  # a longer step is never integrated (docs/design.md, recording)
GAP_STEPS = 5.0  # … nor is one of more than so many usual steps
UNORDERED = 0.05  # share of rows out of order above which the file is refused


class RecordingError(TableError):
    """A recording cannot be used. The text names file, column, value, what is allowed and what to do."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Rows of one kind that could not be used or deserve a word. `first_row` counts from 1, header not counted."""

    what: str
    rows: int
    first_row: int

    def __str__(self) -> str:
        return f"{self.what}: {self.rows} row{'s' if self.rows != 1 else ''}, first is row {self.first_row}"


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Axis names: row, cell (columns of single cells; may be none), sensor. NaN is unknown. + current charges."""

    path: Path
    first_row: int  # of this part in the file, from 0
    time_s: Floats  # (row,)
    current_A: Floats  # (row,)
    voltage_V: Floats  # (row,) of the whole string; NaN where only cells are measured
    cell_V: Floats  # (row, cell)
    temp_degC: Floats  # (row, sensor) sensors that give a number at least once
    ah_reference: Floats  # (row,) NaN where the file has none; for judging only
    usable: Bools  # (row,) time and current are known: the estimators see this row
    good: Bools  # (row,) usable, and some voltage is known: the estimate of this row stands
    run: Ints  # (row,) from 0
    run_labels: tuple[str, ...]  # (run,)
    findings: tuple[Finding, ...]

    @property
    def rows(self) -> int:
        return int(self.time_s.size)

    @property
    def cells(self) -> int:
        return int(self.cell_V.shape[1])


def read(path: Path) -> Recording:
    """Read a recording. Raises TableError, of which RecordingError is one."""
    table = tables.read(path)
    _check_columns(table)
    time_s, current_A = _take(table, "time", ["time"]), _take(table, "current", ["current"])
    run, labels = _runs(table, time_s[:, 0])
    recording = Recording(
        path=path,
        first_row=0,
        time_s=time_s[:, 0],
        current_A=current_A[:, 0],
        voltage_V=_first(_take(table, "voltage", ["voltage", "pack_voltage"]), table.rows),
        cell_V=_take(table, "voltage", _numbered(table, "cell", "voltage")),
        temp_degC=_alive(_take(table, "temperature", _numbered(table, "temp", "temperature") or ["temperature"])),
        ah_reference=_first(_plain(table, "ah_reference"), table.rows),
        usable=np.ones(table.rows, np.bool_),
        good=np.ones(table.rows, np.bool_),
        run=run,
        run_labels=labels,
        findings=(),
    )
    return _judge(recording, table.short)


def pick(recording: Recording, run: int) -> Recording:
    """Return run number `run`, counted from 1, alone."""
    count = len(recording.run_labels)
    if not 1 <= run <= count:
        shown = ", ".join(f"{k + 1} = {label}" for k, label in enumerate(recording.run_labels[:20]))
        raise RecordingError(
            recording.path, f"run = {run}: allowed is 1 to {count} ({shown}{', …' if count > 20 else ''})"
        )
    return part(recording, run - 1)


def part(recording: Recording, run: int) -> Recording:
    """Return the rows of one run, counted from 0, with the findings of these rows."""
    at = np.flatnonzero(recording.run == run)
    rows = slice(int(at[0]), int(at[-1]) + 1)
    names = ("time_s", "current_A", "voltage_V", "cell_V", "temp_degC", "ah_reference", "usable", "good")
    cut = {name: getattr(recording, name)[rows] for name in names}
    alone = replace(
        recording, **cut, run=np.zeros(at.size, np.int64), run_labels=(recording.run_labels[run],),
        first_row=recording.first_row + rows.start, findings=(),
    )  # fmt: skip
    return _judge(alone, 0)


def leave_out(recording: Recording, what: str, bad: Bools) -> Recording:
    """Mark rows that turned out not to be usable for judging the estimate, and count them."""
    mask = bad & recording.good
    findings = recording.findings + tuple(_found(what, mask, recording.first_row))
    return replace(recording, good=recording.good & ~mask, findings=findings)


def gaps(recording: Recording) -> tuple[Bools, Floats, float]:
    """Find steps too long to integrate, between usable rows of the same run.

    Returns (row,) true where a gap ends, (row,) the step in s before each usable row (else NaN), the threshold in s.
    """
    rows = np.flatnonzero(recording.usable)
    step = np.full(recording.rows, np.nan)
    if rows.size > 1:
        same = recording.run[rows[1:]] == recording.run[rows[:-1]]
        step[rows[1:]] = np.where(same, np.diff(recording.time_s[rows]), np.nan)
    known = step[np.isfinite(step)]
    longest = max(GAP_STEPS * float(np.median(known)), GAP_S) if known.size else GAP_S
    return step > longest, step, longest


def _check_columns(table: Table) -> None:
    """Refuse a file without time, current or voltage, and say which of its columns may be meant."""
    wanted = {"time": ["time"], "current": ["current"], "voltage": ["voltage", "pack_voltage", r"cell_\d+"]}
    for quantity, stems in wanted.items():
        if any(re.fullmatch(f"({'|'.join(stems)})_({UNITS[quantity]})", name) for name in table.names):
            continue
        proper = {"time": "time_s", "current": "current_A", "voltage": "voltage_V (or pack_voltage_V, cell_01_V …)"}[
            quantity
        ]
        lower = {name.lower(): name for name in table.names}
        near = [lower[n] for n in get_close_matches(proper.split()[0].lower(), lower, n=1, cutoff=0.7)]
        hint = f"; is it {near[0]!r}? Then rename it" if near else ""
        if proper.split()[0].lower() not in map(str.lower, near) and not missing(table.names):  # as cyclers write them
            hint = f"; `cellarer convert {table.path} RECORDING.csv` makes a recording of it"
        raise RecordingError(table.path, f"column {proper} is missing; found: {', '.join(table.names)}{hint}")


def _numbered(table: Table, stem: str, quantity: str) -> list[str]:
    """Return the stems of numbered columns in order: cell_01, cell_02 … They must count from 1 without holes."""
    found = {}
    for name in table.names:
        if match := re.fullmatch(rf"({stem}_0*(\d+))_(?:{UNITS[quantity]})", name):
            number = int(match[2])
            if number in found:
                raise RecordingError(table.path, f"column {name} is there twice: {stem} {number}")
            found[number] = match[1]
    missing = sorted(set(range(1, len(found) + 1)) - set(found))
    if missing:
        raise RecordingError(
            table.path, f"{stem} {missing[0]} is missing: numbered columns count from 1 to {len(found)}"
        )
    return [found[number] for number in sorted(found)]


def _take(table: Table, quantity: str, stems: Sequence[str]) -> Floats:
    """Return the columns with these stems in SI units (degC for temperature), (row, column)."""
    taken = []
    for stem in stems:
        for unit in UNITS[quantity].split("|"):
            name = f"{stem}_{unit}"
            if name not in table.columns:
                continue
            values = _number_column(table, name) * SCALE[unit]
            taken.append(values - 273.15 if unit == "K" else values)
    return np.stack(taken, axis=1) if taken else np.empty((table.rows, 0))


def _plain(table: Table, name: str) -> Floats:
    return _number_column(table, name)[:, None] if name in table.columns else np.empty((table.rows, 0))


def _number_column(table: Table, name: str) -> Floats:
    values = table.columns[name]
    if values.dtype.kind != "f":
        raise RecordingError(table.path, f"column {name} holds text such as {str(values[0])!r}; numbers are needed")
    return np.where(np.isfinite(values), values, np.nan)


def _first(columns: Floats, rows: int) -> Floats:
    return columns[:, 0] if columns.shape[1] else np.full(rows, np.nan)


def _alive(columns: Floats) -> Floats:
    """Leave out sensors that never give a number: not measured is not the same as measured badly."""
    return columns[:, np.isfinite(columns).any(axis=0)]


def _runs(table: Table, time_s: Floats) -> tuple[Ints, tuple[str, ...]]:
    """Number the runs: time restarts where a run column changes, or, without such a column, goes back to its begin."""
    name = next((name for name in RUN_COLUMNS if name in table.columns), None)
    if name is None:
        at = np.flatnonzero(np.isfinite(time_s))
        step = np.diff(time_s[at])
        begin = time_s[at].min(initial=np.inf) + (float(np.median(step[step > 0])) if (step > 0).any() else 0.0)
        stays = np.r_[time_s[at[2:]] < time_s[at[:-2]], False]  # one false zero does not begin a run
        starts = np.zeros(table.rows, np.bool_)
        starts[at[1:]] = (step < 0) & (time_s[at[1:]] <= begin) & stays[: step.size]
        return np.cumsum(starts), tuple(str(k + 1) for k in range(int(starts.sum()) + 1))
    values = table.columns[name]
    changes = (
        np.r_[False, values[1:] != values[:-1]]
        & ~np.r_[False, (values[1:] != values[1:]) & (values[:-1] != values[:-1])]
    )
    starts = changes if (changes & np.r_[False, time_s[1:] <= time_s[:-1]]).any() else np.zeros(table.rows, np.bool_)
    first = values[np.r_[True, starts[1:]]]
    return np.cumsum(starts), tuple(f"{name} {v:g}" if first.dtype.kind == "f" else f"{v}" for v in first)


def _judge(recording: Recording, short: int) -> Recording:
    """Mark rows that cannot be used and count why; refuse a file of which little would be left."""
    r = recording
    order, repeats = _order(r)
    volts = np.isfinite(r.voltage_V) | np.isfinite(r.cell_V).any(axis=1)
    low, high = BY_NAME["current"].low, BY_NAME["current"].high
    wide = BY_NAME["string_voltage"].high
    absurd_A = _few((r.current_A < low) | (r.current_A > high))
    absurd_V = _few((r.voltage_V < -1.0) | (r.voltage_V > wide))
    reasons = (
        ("time is not a number", ~np.isfinite(r.time_s)),
        ("time repeats", repeats),
        ("time goes back", order & ~repeats),
        ("current is not a number", ~np.isfinite(r.current_A)),
        (f"current is outside {low:g} … {high:g} A", absurd_A),
    )
    voltage_reasons = (
        ("voltage is not a number", ~volts),
        (f"voltage is outside -1 … {wide:g} V", absurd_V),
    )
    good = np.ones(r.rows, np.bool_)
    findings = [Finding("fields are missing at the end of the row", short, 1)] if short else []
    for what, mask in reasons:
        findings += _found(what, mask & good, r.first_row)
        good &= ~mask
    usable = good.copy()
    for what, mask in voltage_reasons:
        findings += _found(what, mask & good, r.first_row)
        good &= ~mask
    some_cells = ~np.isfinite(r.cell_V).all(axis=1) & good if r.cells else ~good & good
    findings += _found("voltage of some cells is not a number", some_cells, r.first_row)
    no_temp = ~np.isfinite(r.temp_degC).any(axis=1) & good if r.temp_degC.shape[1] else ~good & good
    findings += _found("temperature is not a number", no_temp, r.first_row)
    if order.mean() > UNORDERED and (order & ~repeats).any():
        row = int(np.argmax(order)) + r.first_row + 1
        raise RecordingError(
            r.path, f"rows are not in the order of time_s, first at row {row}: sort the file by time_s"
        )
    if repeats.sum() == r.rows - 1 > 0:
        raise RecordingError(r.path, f"time is {r.time_s[0]:g} s in every row: it must rise")
    if not good.any():
        raise RecordingError(r.path, f"no row can be used; {'; '.join(map(str, findings))}")
    voltage_V = np.where(absurd_V, np.nan, r.voltage_V)
    return replace(r, voltage_V=voltage_V, usable=usable, good=good, findings=tuple(findings))


def _few(mask: Bools) -> Bools:
    """Leave out what holds for most rows: then it is the unit that is wrong, and `units` says so."""
    return mask if mask.mean() < 0.5 else np.zeros_like(mask)


def _found(what: str, mask: Bools, first_row: int) -> list[Finding]:
    count = int(mask.sum())
    return [Finding(what, count, int(np.argmax(mask)) + first_row + 1)] if count else []


def _order(r: Recording) -> tuple[Bools, Bools]:
    """Mark the fewest rows whose removal lets time rise strictly within each run; and those that repeat a time."""
    out = np.zeros(r.rows, np.bool_)
    repeats = np.zeros(r.rows, np.bool_)
    for k in range(len(r.run_labels)) if len(r.run_labels) > 1 else (0,):
        rows = np.flatnonzero((r.run == k) & np.isfinite(r.time_s))
        times = r.time_s[rows]
        if (np.diff(times) > 0).all():
            continue
        kept = np.zeros(rows.size, np.bool_)
        kept[_rising(times.tolist())] = True
        out[rows] = ~kept
        repeats[rows] = ~kept & np.isin(times, times[kept])
    return out, repeats


def _rising(times: list[float]) -> list[int]:
    """Return the places of a longest strictly rising part (patience sorting); of equal times the first."""
    tails: list[float] = []
    ends: list[int] = []
    before = [-1] * len(times)
    for at, time in enumerate(times):
        pile = bisect_left(tails, time)
        if pile == len(tails):
            tails.append(time)
            ends.append(at)
        elif tails[pile] != time:
            tails[pile], ends[pile] = time, at
        before[at] = ends[pile - 1] if pile else -1
    rising, at = [], ends[-1]
    while at >= 0:
        rising.append(at)
        at = before[at]
    return rising[::-1]
