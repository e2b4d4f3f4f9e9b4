"""Text exports of cyclers → the columns of a recording, with what had to be doubted.

An export has lines before the names (BioLogic, Novonix, Maccor), a line of units below them (Digatron), times as a
clock or a date, currents without a sign beside a column that says charge or discharge. The header is found, not
configured: the first line that names time, current and voltage. Binary formats are refused with advice.
"""

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellarer.lab import bpx, tables, workbook
from cellarer.lab.clocks import clock, gone_on, moments, spread
from cellarer.lab.columns import (
    CELLS,
    MOMENTS,
    RUNS,
    STATES,
    STEPS,
    Found,
    first_of,
    missing,
    recognise,
    words_and_unit,
)
from cellarer.lab.error import LabError

Floats = NDArray[np.float64]
Column = NDArray[np.generic]

PARQUET = (".parquet", ".pq")
BINARY = {".nda", ".ndax", ".mpr", ".res", ".mat", ".h5", ".hdf5", ".sqlite", ".zip"}
PREAMBLE = 300  # lines in which the names of the columns must come
DISCHARGES = re.compile(r"d(is)?[ _-]?ch|dchg|^d$|^d[ _-]|entlad|放电", re.IGNORECASE)
PAUSED = re.compile(r"^[spo]$|susp|paus|hold|interrupt", re.IGNORECASE)
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
    table = tables.read_parquet(path) if suffix in PARQUET else _text(path)
    found = recognise(table.names)
    notes = [f"{table.short} rows are cut short: is the file whole?"] if table.short else []
    columns = {key: _values(path, table.columns[at.name], at, key, notes) for key, at in found.items()}
    into, out = columns.pop("charging_A", None), columns.pop("discharging_A", None)
    if "current_A" not in columns and into is not None and out is not None:  # one column for each direction
        columns["current_A"] = np.fmax(np.abs(into), 0.0) - np.fmax(np.abs(out), 0.0)
        columns["current_A"][np.isnan(into) & np.isnan(out)] = np.nan
    moment = first_of(table.names, MOMENTS)
    if moment is not None and (moment == found["time_s"].name if "time_s" in found else True):
        columns["time_s"] = moments(table.columns[moment], words_and_unit(moment)[1], notes)
        if not np.isfinite(columns["time_s"]).any():
            columns["time_s"] = clock(path, moment, table.columns[moment], notes)
    for key in ("time_s", "current_A", "voltage_V"):
        if key not in columns:
            raise LabError(str(path), "columns", ", ".join(table.names), f"a column {key}, or one that cyclers write")
    step = first_of(table.names, STEPS)
    if step is not None and not any(name in table.columns for name in RUNS):
        stamps = None if moment is None else moments(table.columns[moment], words_and_unit(moment)[1], [])
        columns["time_s"] = gone_on(columns["time_s"], table.columns[step], stamps, notes)
    columns["current_A"] = _signed(path, columns["current_A"], table, notes)
    columns["time_s"] = spread(columns["time_s"], columns["current_A"], columns["voltage_V"], notes)
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
    """Find the header, join a line of units to it, read what follows; in the first encoding in which there is one."""
    if path.suffix.lower() in workbook.SUFFIXES:
        texts: Sequence[str] = workbook.sheets(path)
    else:
        texts = _decoded(path)
    for text in texts:
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        for parted in (lines, *_by_blanks(lines)):
            if (table := _under_header(path, parted)) is not None:
                return table
    lines = [line for line in texts[0].splitlines() if line.strip() and not line.startswith("#")] if texts else []
    if not lines:
        raise LabError(str(path), "file", "nothing in it", "rows of time, current and voltage below their names")
    lacks = ", ".join(missing(lines[0].split(max(tables.SEPARATORS, key=lines[0].count))))
    raise LabError(str(path), f"first {PREAMBLE} lines", repr(lines[0].strip()[:120]),
                   f"a line that names the columns; {lacks} is not in the first one")  # fmt: skip


def _decoded(path: Path) -> list[str]:
    """The text of a file, packed or not, in the encodings that it may have."""
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, OSError, zlib.error) as error:
            raise LabError(str(path), "file", f"a damaged gzip file ({error})", "a whole one") from None
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return [raw.decode("utf-16", errors="replace")]
    if b"\0" in raw[:4096]:
        raise LabError(str(path), "file", "binary data", "text or Parquet: export it as CSV")
    try:
        return [raw.decode("utf-8-sig")]
    except UnicodeDecodeError:
        # degree signs of older programs; names in Chinese
        return [raw.decode("latin-1"), raw.decode("gb18030", errors="replace")]


def _by_blanks(lines: list[str]) -> Iterator[list[str]]:
    """Lines whose fields are parted by blanks, two or more or single ones."""
    if any(separator in line for line in lines[:PREAMBLE] for separator in tables.SEPARATORS):
        return
    for blanks in (r"\s{2,}", r"\s+"):
        yield [re.sub(blanks, "\t", line.strip()) for line in lines]


def _under_header(path: Path, lines: list[str]) -> tables.Table | None:
    """The table below the first line that names time, current and voltage; None: no line does."""
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
    return None


def _unique(fields: list[str]) -> list[str]:
    """Names without repeats: cyclers write some twice or not at all."""
    return [name if name and fields.index(name) == at else f"{name}~{at + 1}" for at, name in enumerate(fields)]


def _tolerant(path: Path, fields: list[str], body: list[str], separator: str) -> tables.Table:
    """Lines longer than the header (a trailing separator) lose what hangs over."""
    width = len(fields)
    over = sum('"' not in line and any(map(str.strip, line.split(separator)[width:])) for line in body)
    if over > 0.5 * len(body):
        raise LabError(str(path), "rows", f"more fields than the {width} names in {over} of {len(body)}",
                       "decimal points, or another separator than the decimal comma")  # fmt: skip
    cut = [line if '"' in line or line.count(separator) < width else separator.join(line.split(separator)[:width])
           for line in body]  # fmt: skip
    if not cut:
        raise LabError(str(path), "rows", 0, "rows of numbers below the names")
    return tables.from_lines(path, [separator.join(fields), *cut])


def _values(path: Path, column: Column, found: Found, quantity: str, notes: list[str]) -> Floats:
    """A column in our unit."""
    if column.dtype.kind != "f":
        if quantity == "time_s":
            return clock(path, found.name, column, notes)
        raise LabError(str(path), found.name, repr(str(column[0])), "numbers")
    values = np.asarray(column, dtype=np.float64)
    return (np.where(np.isfinite(values), values, np.nan) + found.offset) * found.factor


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
    # in a row that says no direction (suspended, paused) what flowed before goes on
    says = np.array([not PAUSED.search(str(state).strip()) for state in table.columns[name].tolist()])
    falls = falls[np.maximum.accumulate(np.where(says, np.arange(len(falls)), 0))]
    return np.where(falls, -current, current)
