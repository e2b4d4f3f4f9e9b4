"""The self-test finds nothing on sound sites, and each of what it looks for when it is there."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.core.sites import TABLES, site

from cellarer.board import tree
from cellarer.core import kernel, measure
from cellarer.core.decide import protect
from cellarer.core.estimate import filter as estimator
from cellarer.runtime.selftest import beyond_caps, kernels_differ, self_test


def published(config: Any) -> str:
    return hashlib.sha256(tree.encode(config)).hexdigest()


@pytest.mark.parametrize("name", TABLES)
def test_sound_sites_pass(name: str) -> None:
    read_back = tree.decode(tree.encode(site(name)))
    assert self_test(read_back, published(site(name))) == []  # type: ignore[arg-type]


def test_one_flipped_number_of_the_configuration_is_found() -> None:
    config = site("one")
    trip = config.faults.trip.copy()
    trip[0, 0] = np.nextafter(trip[0, 0], np.inf)
    flipped = replace(config, faults=replace(config.faults, trip=trip))
    assert self_test(flipped, published(config)) == ["the configuration in memory is not the published one"]


@pytest.mark.parametrize(
    ("row", "trip", "inside", "cap"),
    [("cell_over_voltage_maximum", 3.81, 3.8, "3.8"), ("cell_under_voltage_maximum", -2.29, -2.3, "2.3")],
)
def test_both_sides_of_a_hard_cap(row: str, trip: float, inside: float, cap: str) -> None:
    config = site("one")
    at = config.faults.name.index(row)
    for value, wrong in ((inside, 0), (trip, 1)):
        moved = config.faults.trip.copy()
        moved[at] = value
        found = beyond_caps(replace(config, faults=replace(config.faults, trip=moved)))
        assert len(found) == wrong
    assert row in found[0] and f"cap {cap}" in found[0]


@pytest.mark.parametrize(
    ("row", "own", "hard"),
    [
        ("over_temperature_maximum", "cap_temp_max_degC", 80.0),
        ("charge_over_temperature_maximum", "cap_temp_max_degC", 60.0),
        ("charge_over_temperature_maximum", "cap_charge_temp_max_degC", 60.0),
        ("charge_under_temperature_maximum", "cap_charge_temp_min_degC", -20.0),
        ("discharge_under_temperature_maximum", "cap_discharge_temp_min_degC", -40.0),
        ("charge_over_current_maximum", "cap_charge_A", 2800.0),
        ("discharge_over_current_maximum", "cap_discharge_A", 16800.0),
    ],
)
def test_both_sides_of_the_caps_of_temperature_and_current(row: str, own: str, hard: float) -> None:
    """Of the chemistry, which always binds, and of the cell file, which binds where it is given."""
    config = site("one")
    at = config.faults.name.index(row)
    sign = float(config.faults.sign[at])

    def found(trip: float, cap: float) -> list[str]:
        moved = config.faults.trip.copy()
        moved[at] = sign * trip
        limits = tuple(replace(c, **{own: cap}) for c in config.cell_limits)
        said = beyond_caps(replace(config, faults=replace(config.faults, trip=moved), cell_limits=limits))
        return [line for line in said if row in line]  # a cap may bind another row too

    assert found(hard, np.nan) == []
    assert found(hard + sign * 0.1, np.nan) == [
        f"string 1: {row} trips at {hard + sign * 0.1:g}, beyond the hard cap of LFP {hard:g}"
    ]
    tight = hard - sign * 5.0
    assert found(tight, tight) == []
    assert found(tight + sign * 0.1, tight) == [
        f"string 1: {row} trips at {tight + sign * 0.1:g}, beyond the cell's cap {tight:g}"
    ]


def test_caps_of_current_hold_for_the_cells_in_parallel_together() -> None:
    config = site("ragged")
    string = int(np.flatnonzero(config.parallel == 2)[0])
    row = config.faults.name.index("charge_over_current_maximum")
    per_cell = float(config.faults.trip[row, string]) / 2
    for cap, wrong in ((per_cell, False), (0.99 * per_cell, True), (np.nan, False)):
        limits = tuple(replace(c, cap_charge_A=cap) for c in config.cell_limits)
        found = beyond_caps(replace(config, cell_limits=limits))
        assert any(line.startswith(f"string {string + 1}: charge") for line in found) == wrong


@pytest.mark.parametrize(
    ("module", "name", "word"),
    [(measure, "measure", "measure"), (protect, "judge", "protect"), (estimator, "step_buffer", "filter")],
)
def test_a_kernel_that_says_something_else_is_found(
    module: Any, name: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def __getattr__(self, other: str) -> Any:
            real = getattr(module_kernel, other)
            if other != name:
                return real

            def wrong(*arrays: Any) -> None:
                real(*arrays)
                changed = {"measure": 11, "judge": -2, "step_buffer": 0}[name]
                flat = arrays[changed].reshape(-1)
                flat[3] = ~flat[3] if flat.dtype == bool else flat[3] + 1.0

            return wrong

    module_kernel = module._kernel
    monkeypatch.setattr(module, "_kernel", Broken())
    assert any(word in line for line in kernels_differ(site("one")))
    assert kernel is not None
