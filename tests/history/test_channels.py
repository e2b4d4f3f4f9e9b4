"""Channels of a view: named from 1, unknown is NaN, absent is no channel."""

from __future__ import annotations

import math

import pytest

from cellarer.history.channels import channels

STRING = {
    "phase": "closed", "current_A": -12.5, "voltage_V": 52.1, "lowest_cell": 2, "temps_degC": [21.0, None],
    "cells": {"voltage_V": [3.3, None, 3.31], "bleeding": [False, True, False]},
    "limits": {"charge_A": 100.0, "charge_reason": "rated"},
}  # fmt: skip
VIEW = {"packs": [{"name": "house", "soc_pct": 55.0, "soc_sigma_pct": None, "strings": [STRING]}]}


def test_names_and_values() -> None:
    found = channels(VIEW)
    assert found["pack1.soc_pct"] == 55.0
    assert math.isnan(found["pack1.soc_sigma_pct"])
    assert found["pack1.string1.cell003_voltage_V"] == 3.31
    assert math.isnan(found["pack1.string1.cell002_voltage_V"])
    assert found["pack1.string1.cell002_bleeding"] == 1.0
    assert math.isnan(found["pack1.string1.temp02_degC"])
    assert found["pack1.string1.limit_charge_A"] == 100.0
    assert found["pack1.string1.closed"] == 1.0
    assert "pack1.voltage_V" not in found


def test_a_very_large_site_records_extremes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(channels.__globals__, "ALL_CELLS", 2)
    assert not [name for name in channels(VIEW) if ".cell" in name]
    assert "pack1.string1.current_A" in channels(VIEW)


def test_an_empty_view_has_no_channels() -> None:
    assert channels({}) == {}
    assert channels({"packs": None}) == {}
