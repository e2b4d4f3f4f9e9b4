"""Alarms: every fault row has a category, every category is told in every dialect."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

from cellarer.wire.alarms import CATEGORIES, DIALECTS, FAULTS, GENERAL, Alarm, active, bits, category

ROWS = tomllib.loads((files("cellarer.config") / "faults.toml").read_text(encoding="utf-8"))["fault"]


def test_every_fault_row_is_placed() -> None:
    assert {row["name"] for row in ROWS} - set(FAULTS) == set()
    assert set(FAULTS.values()) <= set(CATEGORIES)


def test_levels_do_not_change_the_category() -> None:
    assert category("cell_over_voltage_recommended") == "cell_over_voltage"
    assert category("a_row_of_a_plugin") == "internal"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", CATEGORIES)
def test_nothing_stays_unsaid(dialect: str, name: str) -> None:
    quiet = dict.fromkeys(CATEGORIES, Alarm.INACTIVE)
    assert not any(bits(quiet, dialect).values())
    told = bits(quiet | {name: Alarm.ALARM}, dialect)
    raised = {bit for bit, value in told.items() if value}
    assert len(raised) == 1
    assert raised == {f"alarm_{GENERAL}"} or any(
        name in DIALECTS[dialect][bit.removeprefix("alarm_")] for bit in raised
    )


@pytest.mark.parametrize(
    ("levels", "state"),
    [
        ([], Alarm.INACTIVE),
        (["inform"], Alarm.INACTIVE),
        (["warn"], Alarm.WARNING),
        (["derate"], Alarm.WARNING),
        (["warn", "open"], Alarm.ALARM),
        (["ramp", "inform"], Alarm.ALARM),
    ],
)
def test_worst_level_counts(levels: list[str], state: Alarm) -> None:
    assert active([{"name": "cell_over_voltage", "level": level} for level in levels])["cell_over_voltage"] == state
