"""docs/faults.md and the fault table say the same."""

from __future__ import annotations

from pathlib import Path

from cellarer.config.documentation import COLUMNS, THRESHOLDS, cells, render
from cellarer.config.rows import read_rows

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_the_table() -> None:
    page = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    assert page == render(), "run scripts/docs"


def test_every_row_and_every_threshold_has_words() -> None:
    rows = read_rows()
    for row in rows:
        assert len(cells(row)) == len(COLUMNS) and all(cells(row))
    named = {t for row in rows for t in (row.above, row.below) if isinstance(t, str)}
    assert named == set(THRESHOLDS)


def test_a_changed_row_changes_the_page() -> None:
    rows = read_rows()
    for change in ({"debounce_s": 9.5}, {"budget_s": 99.0}, {"latch": "service"}, {"path": "both"}, {"samples": 77}):
        assert render([rows[0].model_copy(update=change), *rows[1:]]) != render(rows)


def test_every_code_and_source_is_given() -> None:
    for row in read_rows():
        assert f"| {row.dtc} | {row.source}" in render()
