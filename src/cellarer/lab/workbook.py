"""Sheets of a workbook (.xlsx, .xls, .ods …) as text with tabs, longest first. Values only: no formats, no macros."""

from datetime import date, datetime, time, timedelta
from pathlib import Path

from cellarer.lab.error import LabError

SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")


def sheets(path: Path) -> list[str]:
    """Text of each sheet, one line per row, fields parted by tabs. Raises LabError."""
    from python_calamine import CalamineError, CalamineWorkbook  # loaded on first use

    try:
        with CalamineWorkbook.from_path(path) as book:
            tables = [book.get_sheet_by_index(k).to_python() for k in range(len(book.sheet_names))]
    except CalamineError as error:
        raise LabError(str(path), "file", f"no whole workbook ({error})", "a whole one, or its export as CSV") from None
    texts = ["\n".join("\t".join(map(_text, row)) for row in table) for table in tables]
    return sorted(texts, key=len, reverse=True)


def _text(value: object) -> str:
    """What a cell shows; a date as people write it, a length of time in seconds."""
    if isinstance(value, timedelta):
        return str(value.total_seconds())
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    return " ".join(str(value).split())
