"""Shipped cells are sane and complete; broken cell files are refused with file, key, value and allowed range."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellarer.cells import CellError, load, names
from cellarer.cells.hard import FILE, hard_caps
from cellarer.cells.loader import DATA, parse
from cellarer.cells.schema import CHEMISTRIES
from cellarer.cells.text import COLUMNS, describe, table
from cellarer.cells.writer import dump
from cellarer.model.cell import SOC_POINTS

NEEDED = {
    "a123_26650", "lfp_280ah", "lg_18650hg2", "lto_23ah", "naion_hakadi_18650", "nissan_leaf_2013", "nmc_50ah",
    "panasonic_18650pf",
}  # fmt: skip


def raw(name: str = "lfp_280ah") -> dict[str, Any]:
    """A shipped file as a table that a test may spoil."""
    return tomllib.loads((DATA / f"{name}.toml").read_text(encoding="utf-8"))


def test_needed_cells_are_shipped() -> None:
    assert set(names()) >= NEEDED


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_shipped_cell_is_sane(name: str) -> None:
    cell = load(name)
    model, rows = cell.model, len(cell.model.temp_degC)
    assert model.name == name
    for curve in (model.ocv, model.hysteresis, model.r0, model.r1, model.r2):
        assert curve.shape == (rows, SOC_POINTS)
        assert np.isfinite(curve).all()
    for row in (model.tau1, model.tau2, model.exchange_A, model.sigma):
        assert row.shape == (rows,)
        assert (row > 0).all()
    assert (np.diff(model.ocv, axis=1) >= 0).all()
    assert (np.diff(model.temp_degC) > 0).all()
    assert set(cell.sources) >= {"capacity", "ocv", "resistance", "thermal", "limits", "charge"}


@pytest.mark.parametrize("name", sorted(NEEDED - {"lto_23ah", "naion_hakadi_18650", "nissan_leaf_2013"}))
def test_no_charge_at_and_below_freezing(name: str) -> None:
    limits = load(name).limits
    assert np.interp([-5.0, 0.0], limits.charge_map_degC, limits.charge_map_A).max() == 0.0


def test_one_degree_resistance_falls_with_warmth() -> None:
    model = load("lfp_280ah").model
    assert (np.diff(model.r0[:, SOC_POINTS // 2]) < 0).all()


@pytest.mark.parametrize("name", names())
def test_a_resistance_that_nobody_measured_is_doubted_by_the_distance(name: str) -> None:
    model = load(name).model
    guessed = {"resistance", "resistance.temperature"} & set(model.estimated)
    measured = np.array([25.0]) if guessed else model.temp_degC
    at = np.array([-10.0, 0.0, 5.0, 12.0])
    away = np.abs(at[:, None] - measured).min(axis=1)
    doubt = np.interp(at, model.doubt_degC, model.doubt)
    assert (doubt[away > 9.0] > 0.08).all()
    assert (doubt[away < 2.0] < 0.05).all()


def test_writer_and_loader_agree(tmp_path: Path) -> None:
    path = tmp_path / "copy.toml"
    path.write_text(dump(raw()), encoding="utf-8")
    one, two = load("lfp_280ah").model, load(path).model
    np.testing.assert_allclose(one.ocv, two.ocv, rtol=1e-5)
    np.testing.assert_allclose(one.r0, two.r0, rtol=1e-5)


def test_unknown_cell_names_the_shipped_ones() -> None:
    with pytest.raises(CellError, match="lfp_280ah"):
        load("no_such_cell")


def spoil(section: str, key: str, value: Any) -> dict[str, Any]:
    """A shipped table with one value replaced."""
    cell = raw()
    cell[section][key] = value
    return cell


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("limits", "voltage_max_V", [3.6, 3.5, 3.7], "operating <= recommended"),
        ("limits", "voltage_min_V", [2.5, 2.8, 3.0], "operating >= recommended"),
        ("limits", "voltage_max_V", [4.18, 4.2, 4.65], "OCV when full"),
        ("limits", "voltage_max_V", [3.5, 3.6, 3.9], "cap_voltage_max_V"),
        ("limits", "voltage_min_V", [3.8, 3.7, 3.6], "voltage_m"),
        ("limits", "deep_discharge_V", 2.9, "deep_discharge_V"),
        ("charge", "voltage_V", 3.58, "voltage_max_V"),
        ("charge", "float_V", 3.5, "charge.voltage_V"),
        ("charge", "map_A", [0, 0, 28, 70, 400, 140, 70, 0], "charge_A"),
        ("charge", "map_A", [0, 0], "one per map_degC"),
        ("charge", "precondition_below_V", 3.5, "precondition_below_V"),
        ("charge", "rebulk_soc_pct", 2.0, "floor_soc_pct"),
        ("resistance", "tau1_s", [15.0], "one per temperature"),
        ("resistance", "tau1_s", [200.0] * 5 + [5000.0], "resistance.tau"),
        ("resistance", "doubt_pct", [10.0], "one per doubt_degC"),
        ("resistance", "doubt_degC", [25.0], "one per doubt_degC"),
        ("ocv", "soc_pct", [0.0, 50.0], "from 0 to 100"),
        ("capacity", "capacity_Ah", 2800.0, "rated_Ah"),
        ("capacity", "capacity_mAh", 1.0, "no such key"),
        ("capacity", "capacity_Ah", float("nan"), "finite"),
    ],
)
def test_contradiction_is_refused_with_key_and_range(section: str, key: str, value: Any, words: str) -> None:
    with pytest.raises(CellError) as caught:
        parse(spoil(section, key, value), "shed.toml")
    assert "shed.toml" in str(caught.value)
    assert words in str(caught.value)
    assert section in caught.value.key


@pytest.mark.parametrize(
    ("key", "inside", "beyond"),
    [
        ("charge_temperature_max_degC", 60.0, 60.1), ("charge_temperature_min_degC", -20.0, -20.1),
        ("discharge_temperature_max_degC", 80.0, 80.1), ("discharge_temperature_min_degC", -40.0, -40.1),
        ("charge_A", 10.0 * 280.0, 2800.1), ("discharge_A", 60.0 * 280.0, 16800.1),
        ("cap_temperature_max_degC", 80.0, 80.1), ("cap_charge_temperature_max_degC", 60.0, 60.1),
        ("cap_charge_temperature_min_degC", -20.0, -20.1), ("cap_discharge_temperature_min_degC", -40.0, -40.1),
        ("cap_charge_A", 2800.0, 2800.1), ("cap_discharge_A", 16800.0, 16800.1),
    ],
)  # fmt: skip
def test_both_sides_of_a_hard_cap_of_the_chemistry(key: str, inside: float, beyond: float) -> None:
    limits = raw()["limits"]
    for value, refused in ((inside, False), (beyond, True)):
        cell = spoil("limits", key, [*limits[key][:2], value] if key in limits else value)
        if not refused:
            parse(cell, "shed.toml")
            continue
        with pytest.raises(CellError, match="hard cap of LFP") as caught:
            parse(cell, "shed.toml")
        assert (
            caught.value.key == f"limits.{key}"
            and "shed.toml" in str(caught.value)
            and f"{value:g}" in str(caught.value)
        )


@pytest.mark.parametrize(
    ("key", "inside", "beyond"),
    [
        ("cap_temperature_max_degC", 60.0, 59.9), ("cap_charge_temperature_max_degC", 55.0, 54.9),
        ("cap_charge_temperature_min_degC", -5.0, -4.9), ("cap_discharge_temperature_min_degC", -25.0, -24.9),
        ("cap_charge_A", 310.0, 309.9), ("cap_discharge_A", 350.0, 349.9),
    ],
)  # fmt: skip
def test_a_maximum_level_lies_within_the_cap_of_its_data_sheet(key: str, inside: float, beyond: float) -> None:
    parse(spoil("limits", key, inside), "shed.toml")
    with pytest.raises(CellError, match=f"limits.{key}.*the maximum level"):
        parse(spoil("limits", key, beyond), "shed.toml")


@pytest.mark.parametrize("chemistry", CHEMISTRIES)
def test_every_chemistry_has_hard_caps_with_sources(chemistry: str) -> None:
    row = tomllib.loads(FILE.read_text(encoding="utf-8"))[chemistry]
    sources = row.pop("sources")
    assert set(sources) in ({"all"}, set(row)) and all(len(text) > 10 for text in sources.values())
    one, two = hard_caps(chemistry, 1.0), hard_caps(chemistry, 2.0)
    assert one.charge_temp_min_degC < 0.0 < one.charge_temp_max_degC <= one.discharge_temp_max_degC < 90.0
    assert one.discharge_temp_min_degC <= one.charge_temp_min_degC
    assert (two.charge_A, two.discharge_A) == (2 * one.charge_A, 2 * one.discharge_A)


def test_falling_curve_is_refused() -> None:
    cell = raw()
    cell["ocv"]["ocv_V"][0][5] = 3.4
    with pytest.raises(CellError, match="never fall"):
        parse(cell, "x.toml")


def test_broken_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("name = [", encoding="utf-8")
    with pytest.raises(CellError, match="valid TOML"):
        load(path)


def test_text_for_people() -> None:
    rows = table()
    assert {row["name"] for row in rows} == set(names())
    assert all(tuple(row) == COLUMNS for row in rows)
    text = describe("panasonic_18650pf")
    assert dict(text.rows)["chemistry"] == "NCA"
    assert text.sources
