"""Sheets of an .xlsx file as text with tabs, longest first. Values only: no formats, formulas or macros.

An .xlsx file is a zip of XML (ECMA-376); the standard library reads both.
"""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from cellarer.lab.error import LabError

SHEET = re.compile(r"xl/worksheets/sheet\d+\.xml")


def sheets(path: Path) -> list[str]:
    """Text of each sheet, one line per row, fields parted by tabs. Raises LabError."""
    try:
        with zipfile.ZipFile(path) as book:
            names = book.namelist()
            shared = _strings(book, "xl/sharedStrings.xml") if "xl/sharedStrings.xml" in names else []
            found = ["\n".join(_rows(book, name, shared)) for name in names if SHEET.fullmatch(name)]
    except (zipfile.BadZipFile, ElementTree.ParseError, KeyError, EOFError) as error:
        raise LabError(
            str(path), "file", f"no whole .xlsx file ({error})", "a whole one, or its export as CSV"
        ) from None
    return sorted(found, key=len, reverse=True)


def _strings(book: zipfile.ZipFile, name: str) -> list[str]:
    """Texts that cells point to."""
    with book.open(name) as file:
        return [_text(item) for _, item in ElementTree.iterparse(file) if _local(item) == "si"]


def _rows(book: zipfile.ZipFile, name: str, shared: list[str]) -> Iterator[str]:
    """Lines of a sheet; empty cells are empty fields."""
    with book.open(name) as file:
        for _, row in ElementTree.iterparse(file):
            if _local(row) != "row":
                continue
            fields: list[str] = []
            for cell in row:
                at = _column(cell.get("r", ""), len(fields))
                fields += [""] * (at - len(fields))
                fields.append(_value(cell, shared))
            yield "\t".join(fields)
            row.clear()


def _value(cell: ElementTree.Element, shared: list[str]) -> str:
    """What a cell shows: a text of its own, one of the shared, or a number."""
    if cell.get("t") == "inlineStr":
        return _text(cell)
    value = next((part.text or "" for part in cell if _local(part) == "v"), "")
    text = shared[int(value)] if cell.get("t") == "s" and value else value
    return " ".join(text.split())


def _text(element: ElementTree.Element) -> str:
    return " ".join("".join(part.text or "" for part in element.iter() if _local(part) == "t").split())


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _column(reference: str, otherwise: int) -> int:
    """Number of a column from a reference such as AB12, counted from 0."""
    letters = re.match(r"[A-Z]+", reference)
    if letters is None:
        return otherwise
    number = 0
    for letter in letters.group():
        number = 26 * number + ord(letter) - 64
    return number - 1
