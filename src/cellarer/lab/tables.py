"""Files of columns, in and out: Parquet and CSV by their suffix. Knows nothing of batteries.

Reading is forgiving where nothing is lost (separator, decimal comma, missing fields become NaN and are counted) and
strict where a guess would be needed. Writing is deterministic: the same columns give the same bytes.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Column = NDArray[np.float64] | Sequence[str]

SEPARATORS = (",", ";", "\t")
SUFFIXES = (".parquet", ".csv")
BLANK = frozenset(" \u00a0\u202f")
BLANKS = re.compile(r"[-+]?\d{1,3}([ \u00a0\u202f]\d{3})+([.,]\d*)?")
THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")


class TableError(ValueError):
    """A file of columns cannot be read or written. The text names the file, what is wrong and what to do."""

    def __init__(self, path: Path | str, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"{path}: {problem}")

    def __reduce__(self) -> tuple[type["TableError"], tuple[object, ...]]:
        """Travel between processes with both parts."""
        return type(self), (self.path, self.problem)


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of one file. `short` counts rows with fewer fields than the header (CSV only)."""

    path: Path
    names: tuple[str, ...]
    columns: Mapping[str, NDArray[np.generic]]  # float64, or text as numpy strings
    rows: int
    short: int


def read(path: Path) -> Table:
    """Read a Parquet or CSV file; the suffix decides. Raises TableError."""
    kind = _suffix(path)
    if not path.is_file():
        raise TableError(path, "no such file" if not path.exists() else "is not a file")
    if path.stat().st_size == 0:
        raise TableError(path, "the file is empty")
    table = read_parquet(path) if kind == ".parquet" else _read_csv(path)
    if table.rows == 0:
        raise TableError(path, f"has columns ({', '.join(table.names)}) but no rows")
    return table


def write(path: Path, columns: Mapping[str, Column]) -> None:
    """Write columns to a Parquet or CSV file; NaN is NaN in Parquet and an empty field in CSV."""
    kind = _suffix(path)
    if not path.parent.is_dir():
        raise TableError(path, f"the folder {path.parent} does not exist")
    partial = path.with_name(path.name + ".part")
    if kind == ".parquet":
        pyarrow = need_pyarrow(path)
        arrays = {name: pyarrow.array(list(c) if isinstance(c, Sequence) else c) for name, c in columns.items()}
        _parquet(path).write_table(pyarrow.table(arrays), partial, compression="zstd")
    else:
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(zip(*map(_as_text, columns.values()), strict=True))
    partial.replace(path)


def _as_text(column: Column) -> Iterator[str]:
    if isinstance(column, Sequence):
        return iter(column)
    return ("" if value != value else repr(value) for value in column.tolist())


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise TableError(path, f"the name must end in one of {', '.join(SUFFIXES)}")
    return suffix


def need_pyarrow(path: Path):  # type: ignore[no-untyped-def]  # a module without types
    """Return pyarrow, or say how to get it."""
    try:
        import pyarrow  # 0.1 s, and an extra
    except ImportError:
        raise TableError(
            path, "Parquet needs the extra 'parquet': pip install 'cellarer[parquet]', or use .csv"
        ) from None
    return pyarrow


def _parquet(path: Path):  # type: ignore[no-untyped-def]
    need_pyarrow(path)
    import pyarrow.parquet

    return pyarrow.parquet


def read_parquet(path: Path) -> Table:
    """Read a Parquet file whatever its suffix. Raises TableError."""
    pyarrow = need_pyarrow(path)
    try:
        table = _parquet(path).read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise TableError(path, f"is not a whole Parquet file: truncated or of another kind ({reason})") from None
    names = tuple(table.column_names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TableError(path, f"column {twice[0]} is there twice")
    columns = {}
    for name in names:
        column = table.column(name)
        kind = column.type
        if pyarrow.types.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type
        if pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_boolean(kind):
            columns[name] = column.cast(pyarrow.float64()).to_numpy()
        elif pyarrow.types.is_null(kind):
            columns[name] = np.full(len(column), np.nan)
        else:
            columns[name] = np.array([str(value) for value in column.to_pylist()])
    return Table(path, names, columns, table.num_rows, 0)


def _read_csv(path: Path) -> Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = [line for line in file if line.strip() and not line.startswith("#")]
    except UnicodeDecodeError:
        raise TableError(path, "is not text in UTF-8") from None
    if not text:
        raise TableError(path, "the file is empty")
    return from_lines(path, text)


def from_lines(path: Path, text: Sequence[str]) -> Table:
    """Return the table of these lines, the first of which names the columns."""
    separator = max(SEPARATORS, key=text[0].count)
    if (table := _all_numbers(path, text, separator)) is not None:
        return table
    if separator != "," and len(text) > 1 and "," in text[1]:  # decimal commas; points beside them fail here
        pointed = [text[0], *(line.replace(",", ".") for line in text[1:])]
        if (table := _all_numbers(path, pointed, separator)) is not None:
            return table
    try:
        lines = list(csv.reader(text, delimiter=separator, strict=True))
    except csv.Error as error:
        raise TableError(path, f"is not a CSV file: {error}") from None
    names = tuple(name.strip() for name in lines[0])
    _check_header(path, names)
    width, body, short = len(names), lines[1:], 0
    for at, line in enumerate(body):
        if len(line) < width:
            body[at], short = line + [""] * (width - len(line)), short + 1
        elif len(line) > width:
            raise TableError(path, f"row {at + 1} has {len(line)} fields, the header {width}")
    texts = zip(*body, strict=True) if body else ((),) * width
    comma = separator != ","
    return Table(path, names, {n: _numbers(t, comma) for n, t in zip(names, texts, strict=True)}, len(body), short)


def _all_numbers(path: Path, text: Sequence[str], separator: str) -> Table | None:
    """Read lines that hold nothing but numbers, ten times as fast and without a string per field; None: some do not."""
    names = tuple(name.strip() for name in text[0].rstrip("\r\n").split(separator))
    if len(text) < 2 or '"' in text[0]:
        return None
    try:
        values = np.loadtxt(text[1:], delimiter=separator, comments=None, ndmin=2)
    except ValueError:
        return None
    if values.shape[1] != len(names):
        return None
    _check_header(path, names)
    return Table(path, names, {name: values[:, n].copy() for n, name in enumerate(names)}, len(values), 0)


def _check_header(path: Path, names: tuple[str, ...]) -> None:
    if all(_is_number(name) for name in names):
        raise TableError(path, "the first line must name the columns, but it holds numbers")
    for name in names:
        if names.count(name) > 1:
            raise TableError(path, f"column {name or '(without a name)'} is there twice")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(texts: Sequence[str], comma: bool) -> NDArray[np.generic]:
    """Turn the fields of a column into floats. What is no number becomes NaN; a column without any stays text."""
    if any(not BLANK.isdisjoint(text) and BLANKS.fullmatch(text.strip()) for text in texts):
        texts = ["".join(text.split()) if BLANKS.fullmatch(text.strip()) else text for text in texts]
    if comma:
        texts = [_with_point(text) for text in texts]
    elif any("," in text for text in texts):
        texts = _without_commas(texts)
    try:
        return np.array(texts, dtype=np.float64)
    except ValueError:
        values = np.array([float(text) if _is_number(text) else np.nan for text in texts])
        blank = all(not text.strip() for text in texts)
        return values if blank or np.isfinite(values).any() else np.array(texts)


def _without_commas(texts: Sequence[str]) -> Sequence[str]:
    """Quoted fields with commas: thousands are parted by them (1,234.5), or they are decimal (1,5)."""
    parted = all(THOUSANDS.fullmatch(text.strip()) for text in texts if "," in text)
    return [text.replace(",", "" if parted else ".") for text in texts]


def _with_point(text: str) -> str:
    """A decimal comma as a point; what parts thousands beside it (1.234,5 or 1'234,5) goes."""
    if "," in text:
        text = text.replace(".", "").replace(",", ".")
    return text.replace("'", "")
