"""A wrong limits file stops the guard, with the key, the value and what is allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.guard.world import limits_file

from cellarer.guard.limits import LimitsError, parse_limits, read_limits

WRONG: list[tuple[str, Any]] = [
    ("version", 2),
    ("cycle_ns", 0),
    ("cycle_ns", 20.5),
    ("speed_permille", True),
    ("strings.0.kind", "relay"),
    ("strings.0.pack", 1),
    ("version", 4),
    ("strings.0.cells", [0]),
    ("strings.0.cells", [0, 4, 4]),
    ("strings.0.cells", [-1, 4]),
    ("strings.0.current", 1.5),
    ("strings.0.cell_high", -1),
    ("strings.0.cell_low", "11"),
    ("strings.0.absent", [-1]),
    ("strings.0.absent", 3),
    ("strings.0.cell_voltage_max_V", None),
    ("strings.0.cell_voltage_max_V", 2.1),
    ("strings.0.cell_voltage_min_V", float("nan")),
    ("strings.0.deep_discharge_V", 2.3),
    ("strings.0.draw_A", None),
    ("strings.0.charge_A", -1),
    ("strings.0.charge_A", True),
    ("strings.0.charge_A", float("inf")),
    ("strings.0.open_delay_ns", "500"),
    ("packs.0.crash", -1),
    ("rings.0.strings", [1]),
    ("rings.0.file", ""),
    ("site", 5),
    ("config_sha256", "ab" * 31 + "a"),
    ("config_sha256", "ab" * 32 + "a"),
    ("config_sha256", "g" + "a" * 63),
    ("max_age_ns.current", 0),
    ("plausible.current", [1, 0]),
    ("plausible.current", [0, 1, 2]),
    ("plausible.current", [0, float("nan")]),
    ("plausible.current", ["0", 1]),
]


def with_value(path: str, value: Any) -> dict[str, Any]:
    """Return a limits file with this value at a place."""
    data = limits_file()
    data["strings"][0]["absent"] = [3]
    *way, last = path.split(".")
    place: Any = data
    for step in way:
        place = place[int(step)] if step.isdigit() else place[step]
    place[int(last) if last.isdigit() else last] = value
    return data


@pytest.mark.parametrize(("path", "value"), WRONG)
def test_a_wrong_value_is_named(path: str, value: Any) -> None:
    with pytest.raises(LimitsError, match=path.split(".")[-1]):
        parse_limits(with_value(path, value))


BOUNDS: dict[str, tuple[float, float]] = {  # the least and the greatest value that is taken
    "origin_ns": (-(2**62), 2**62), "speed_permille": (1, 100_000), "cycle_ns": (1_000_000, 10**11),
    "consent_ns": (1_000_000, 10**12), "gap_ns": (1_000_000, 10**12), "cells": (1, 10**7),
    "max_age_ns.current": (1, 10**13),
    "strings.0.pack": (0, 0), "strings.0.cells.0": (0, 10**8), "strings.0.cells.1": (0, 10**7),
    "strings.0.absent.0": (0, 10**8), "strings.0.current": (0, 10**8), "rings.0.strings.0": (0, 0),
    "strings.0.cell_voltage_max_V": (2.2, 6.0), "strings.0.cell_voltage_min_V": (1.9, 3.7),
    "strings.0.deep_discharge_V": (0.0, 2.2), "strings.0.draw_A": (0.0, 1e5),
    "strings.0.temperature_max_degC": (0.0, 120.0), "strings.0.charge_A": (0.0, 1e5),
    "strings.0.discharge_A": (0.0, 1e5), "strings.0.break_A": (0.0, 1e5), "strings.0.open_delay_ns": (0, 10**11),
    "plausible.current.0": (-1e12, 5000.0), "plausible.current.1": (-5000.0, 1e12),
}  # fmt: skip


@pytest.mark.parametrize(("path", "bounds"), BOUNDS.items())
def test_both_sides_of_every_bound(path: str, bounds: tuple[float, float]) -> None:
    for bound, sign in zip(bounds, (-1, 1), strict=True):
        parse_limits(with_value(path, bound))
        beyond = bound + sign if isinstance(bound, int) else np.nextafter(bound, sign * np.inf)
        with pytest.raises(LimitsError):
            parse_limits(with_value(path, beyond))


def test_every_missing_and_every_unknown_key_is_refused() -> None:
    data = limits_file()
    for place in (data, data["strings"][0], data["packs"][0], data["max_age_ns"], data["plausible"], data["rings"][0]):
        for key in list(place):
            kept = place.pop(key)
            with pytest.raises(LimitsError):
                parse_limits(data)
            place[key] = kept
        place["typo"] = 1
        with pytest.raises(LimitsError, match="typo"):
            parse_limits(data)
        del place["typo"]
    assert parse_limits(data).cells == 4


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LimitsError, match=r"absent\.json"):
        read_limits(tmp_path / "absent.json")
    (tmp_path / "broken.json").write_text(json.dumps(limits_file())[:-2])
    with pytest.raises(LimitsError, match=r"broken\.json"):
        read_limits(tmp_path / "broken.json")
    (tmp_path / "deep.json").write_text("[" * 200_000)
    with pytest.raises(LimitsError, match=r"deep\.json"):
        read_limits(tmp_path / "deep.json")
