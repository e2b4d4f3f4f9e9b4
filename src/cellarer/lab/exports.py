"""Text exports of cyclers → the columns of a recording, with what had to be doubted.

An export has lines before the names (BioLogic, Novonix, Maccor), a line of units below them (Digatron), times as a
clock or a date, currents without a sign beside a column that says charge or discharge. The header is found, not
configured: the first line that names time, current and voltage. Binary formats are refused with advice.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellarer.lab import bpx, tables
from cellarer.lab.columns import CELLS, MOMENTS, STATES, Found, first_of, missing, recognise
from cellarer.lab.error import LabError

Floats = NDArray[np.float64]
Column = NDArray[np.generic]

PARQUET = (".parquet", ".pq")
BINARY = {".nda", ".ndax", ".mpr", ".res", ".xls", ".xlsx", ".mat", ".h5", ".hdf5", ".sqlite", ".gz", ".zip"}
PREAMBLE = 300  # lines in which the names of the columns must come
DISCHARGES = re.compile(r"d(is)?[ _-]?ch|dchg|^d$|^d[ _-]|entlad", re.IGNORECASE)
CLOCK = re.compile(r"^\s*(?:(\d+)\s*[d.\-]\s*)?(\d+):(\d+)(?::(\d+(?:\.\d+)?))?\s*$")
UNSIGNED = 0.002  # of the largest current: a current that never goes further below zero has no sign


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a file holds, in our units: (row,) each; temperature, counters and set point may be missing."""

    path: Path
    columns: Mapping[str, Floats]
    raw: Mapping[str, Column]  # under the names of the file
    notes: tuple[str, ...]


def open_sheet(path: Path) -> Sheet:
    """Read a recording, a Battery Data Format file or a cycler's text export. Raises LabError or TableError."""
    suffix = path.suffix.lower()
    if suffix in BINARY:
        raise LabError(str(path), "file", suffix, "text or Parquet: export it as CSV with the cycler's own program")
    if not path.is_file():
        raise LabError(str(path), "file", "nothing", "a recording: Parquet, CSV or a cycler's text export")
    if suffix == ".json":
        return _validation(path)
    if suffix in PARQUET:
        table = tables.read_parquet(path)
    else:
        table = _text(path)
    found = recognise(table.names)
    notes = [f"{table.short} rows are cut short: is the file whole?"] if table.short else []
    columns = {key: _values(path, table.columns[at.name], at, key) for key, at in found.items()}
    if "time_s" not in columns and (moment := first_of(table.names, MOMENTS)):
        columns["time_s"] = _moments(table.columns[moment])
    for key in ("time_s", "current_A", "voltage_V"):
        if key not in columns:
            raise LabError(str(path), "columns", ", ".join(table.names), f"a column {key}, or one that cyclers write")
    columns["current_A"] = _signed(path, columns["current_A"], table, notes)
    cell = first_of(table.names, CELLS)
    if cell is not None and len(np.unique(table.columns[cell])) > 1:
        notes.append(f"column {cell} names {len(np.unique(table.columns[cell]))} cells: their mean is identified")
    return Sheet(path, columns, table.columns, tuple(notes))


def _validation(path: Path) -> Sheet:
    """The experiments of a BPX file, one run each."""
    parameters = bpx.read(path)
    parts = list(parameters.experiments.values())
    if not parts:
        raise LabError(str(path), "Validation", "no experiment", "experiments; a curve alone is given with --ocv")
    sizes = [len(part["time_s"]) for part in parts]
    columns = {key: np.concatenate([part[key] for part in parts]) for key in ("time_s", "current_A", "voltage_V")}
    if any("temperature_degC" in part for part in parts):
        unknown = [np.full(size, np.nan) for size in sizes]
        columns["temperature_degC"] = np.concatenate(
            [part.get("temperature_degC", nan) for part, nan in zip(parts, unknown, strict=True)]
        )
    run = np.repeat(np.arange(len(parts)), sizes).astype(np.float64)
    return Sheet(path, columns, {**columns, "run": run}, ())


def _text(path: Path) -> tables.Table:
    """Find the header, join a line of units to it, read what follows."""
    raw = path.read_bytes()
    if b"\0" in raw[:4096]:
        raise LabError(str(path), "file", "binary data", "text or Parquet: export it as CSV")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # degree signs of older programs
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for at, line in enumerate(lines[:PREAMBLE]):
        separator = max(tables.SEPARATORS, key=line.count)
        fields = [field.strip().strip('"') for field in line.split(separator)]
        if len(fields) < 3 or missing(fields):
            continue
        body = lines[at + 1 :]
        if body and not any(character.isdigit() for character in body[0]):
            units = [unit.strip().strip('"') for unit in body[0].split(separator)]
            units += [""] * (len(fields) - len(units))
            fields = [f"{name} [{u.strip('[]()')}]" if u else name for name, u in zip(fields, units, strict=False)]
            body = body[1:]
        return _tolerant(path, _unique(fields), body, separator)
    if not lines:
        raise LabError(str(path), "file", "nothing in it", "rows of time, current and voltage below their names")
    lacks = ", ".join(missing(lines[0].split(max(tables.SEPARATORS, key=lines[0].count))))
    raise LabError(str(path), f"first {PREAMBLE} lines", repr(lines[0].strip()[:120]),
                   f"a line that names the columns; {lacks} is not in the first one")  # fmt: skip


def _unique(fields: list[str]) -> list[str]:
    """Names without repeats: cyclers write some twice or not at all."""
    return [name if name and fields.index(name) == at else f"{name}~{at + 1}" for at, name in enumerate(fields)]


def _tolerant(path: Path, fields: list[str], body: list[str], separator: str) -> tables.Table:
    """Lines longer than the header (a trailing separator) lose what hangs over."""
    width = len(fields)
    cut = [line if line.count(separator) < width else separator.join(line.split(separator)[:width]) for line in body]
    if not cut:
        raise LabError(str(path), "rows", 0, "rows of numbers below the names")
    return tables.from_lines(path, [separator.join(fields), *cut])


def _values(path: Path, column: Column, found: Found, quantity: str) -> Floats:
    """A column in our unit."""
    if column.dtype.kind != "f":
        if quantity == "time_s":
            return _clock(path, found.name, column)
        raise LabError(str(path), found.name, repr(str(column[0])), "numbers")
    values = np.asarray(column, dtype=np.float64)
    return (np.where(np.isfinite(values), values, np.nan) + found.offset) * found.factor


def _clock(path: Path, name: str, column: Column) -> Floats:
    """Times such as 26:03:04.5 or 1d 02:03:04; a date is a moment."""
    out = np.full(len(column), np.nan)
    for row, text in enumerate(column.tolist()):
        match = CLOCK.match(str(text))
        if match:
            days, hours, minutes, seconds = (float(part or 0.0) for part in match.groups())
            out[row] = 86400.0 * days + 3600.0 * hours + 60.0 * minutes + seconds
    if not np.isfinite(out).any():
        out = _moments(column)
    if not np.isfinite(out).any():
        raise LabError(str(path), name, repr(str(column[0])), "seconds, or times such as 1:02:03.4")
    return out


def _moments(column: Column) -> Floats:
    """Moments as seconds since the first: ISO 8601, day or month first with / or ., or Unix time."""
    if column.dtype.kind == "f":
        values = np.asarray(column, dtype=np.float64)
        return np.asarray(values - values[np.isfinite(values)][:1].sum())
    texts = [re.sub(r"\s+", "T", str(text).strip().replace("/", "-"), count=1) for text in column.tolist()]
    out = np.full(len(texts), np.nan)
    for row, text in enumerate(texts):
        if match := re.match(r"(\d{1,2})[-.](\d{1,2})[-.](\d{4})(.*)$", text):
            day, month, year, rest = (
                match.groups()
            )  # one order for all rows: over a month's end it would show as a jump
            day, month = (day, month) if int(month) <= 12 else (month, day)
            text = f"{year}-{int(month):02d}-{int(day):02d}{rest}"
        try:
            out[row] = float(np.datetime64(text, "ms").astype(np.int64)) / 1e3
        except ValueError:
            continue
    known = out[np.isfinite(out)]
    return out - known[0] if known.size else out


def _signed(path: Path, current: Floats, table: tables.Table, notes: list[str]) -> Floats:
    """Give a current without sign the one that the column of states says."""
    known = current[np.isfinite(current)]
    largest = float(np.abs(known).max()) if known.size else 0.0
    name = first_of(table.names, STATES)
    if largest == 0.0 or known.min() < -UNSIGNED * largest or name is None or table.columns[name].dtype.kind == "f":
        return current
    falls = np.array([bool(DISCHARGES.search(str(state).strip())) for state in table.columns[name].tolist()])
    if not falls.any():
        return current
    notes.append(f"currents have no sign: it is taken from column {name}")
    return np.where(falls, -current, current)
