"""docs/faults.md and the fault table say the same."""

from __future__ import annotations

import re
from pathlib import Path

from cellarer.config.documentation import COLUMNS, THRESHOLDS, cells, render
from cellarer.config.rows import read_catalogue, read_rows
from cellarer.model.quantities import BY_NAME
from cellarer.sim.catalogue import FAULTS

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


def test_every_fault_of_the_catalogue_has_a_row_or_a_reason() -> None:
    kinds, rows = read_catalogue(), read_rows()
    ids = [kind.id for kind in kinds]
    assert len(ids) == len(set(ids)) and set(ids) == {fault.id for fault in FAULTS} | {"G2", "S3"}
    covered = {name for row in rows for name in row.covers}
    assert covered <= set(ids)
    assert [kind.id for kind in kinds if kind.id not in covered and not (kind.else_by or kind.unseen)] == []
    page = render()
    assert all(f"| {kind.id} | {kind.text} |" in page for kind in kinds)


def test_a_row_names_every_class_that_its_source_names() -> None:
    for row in read_rows():
        source = re.sub(r"invariant I\d+", "", row.source)
        said = set(re.findall(r"\b[SCAITXNPG]\d{1,2}\b", source)) & {kind.id for kind in read_catalogue()}
        assert said <= set(row.covers), row.name


def test_every_text_is_a_sentence_with_a_value_where_the_signal_has_one() -> None:
    for row in read_rows():
        said = row.text.format(cell=37, sensor=5, value=3.71, limit=3.65, lasted=" for 0.5 s")
        assert said[0].isalnum() and "{" not in said and len(said) > 10
        per_cell = BY_NAME["cell_voltage"].axis == "cell" and row.signal.startswith("cell_")
        assert not per_cell or "{cell}" in row.text or row.signal == "cell_apart", row.name
        yes_or_no = (row.above if row.above is not None else row.below) == 0.5
        assert yes_or_no or "{value" in row.text or row.signal in ("runaway", "current_reversed"), row.name
