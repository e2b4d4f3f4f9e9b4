"""Site files: every malformed one is refused with file, key, value and what is allowed; every shipped one loads."""

from __future__ import annotations

import contextlib
import copy
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellarer import cells
from cellarer.config import load, sites
from cellarer.config.check import refuse, report, timing
from cellarer.config.compile import fingerprint
from cellarer.config.error import ConfigError
from cellarer.config.load import SITES, build
from cellarer.core.slow import compiled
from cellarer.model.config import Switchgear

HOME = tomllib.loads((SITES / "home.toml").read_text(encoding="utf-8"))
NAN, INF = float("nan"), float("inf")


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the home site with one value changed; the path is keys and indices joined by dots."""
    table = copy.deepcopy(HOME)
    *way, last = path.split(".")
    at: Any = table
    for key in way:
        at = at[int(key)] if isinstance(at, list) else at.setdefault(key, {})
    at[int(last) if isinstance(at, list) else last] = value
    return table


# (path, value, what the error's key must contain)
WRONG: list[tuple[str, Any, str]] = [
    ("nmae", "home", "nmae"),
    ("name", "", "name"),
    ("name", 3, "name"),
    ("cycle_ms", 0, "cycle_ms"),
    ("cycle_ms", NAN, "cycle_ms"),
    ("cycle_ms", "fast", "cycle_ms"),
    ("web_port", 70000, "web_port"),
    ("pack", [], "pack"),
    ("pack.0.cell", "unobtainium", "pack[1].cell"),
    ("pack.0.series", 0, "series"),
    ("pack.0.series", 1001, "series"),
    ("pack.0.series", 16.5, "series"),
    ("pack.0.parallel", 0, "parallel"),
    ("pack.0.strings", -1, "strings"),
    ("pack.0.capacity_Ah", -5.0, "capacity_Ah"),
    ("pack.0.capacity_Ah", NAN, "capacity_Ah"),
    ("pack.0.temperature_sensors", -1, "temperature_sensors"),
    ("pack.0.extra", 1, "extra"),
    ("pack.0.limits.charge_A", 500.0, "charge_A"),
    ("pack.0.limits.discharge_A", 500.0, "discharge_A"),
    ("pack.0.limits.charge_A", 0.0, "charge_A"),
    ("pack.0.limits.charge_A", INF, "charge_A"),
    ("pack.0.limits.end_of_charge_V", 3.9, "end_of_charge_V"),
    ("pack.0.limits.end_of_discharge_V", 2.0, "end_of_discharge_V"),
    ("pack.0.limits.charge_degC", [-20.0, 40.0], "charge_degC"),
    ("pack.0.limits.charge_degC", [5.0, 70.0], "charge_degC"),
    ("pack.0.limits.charge_degC", [40.0, 10.0], "charge_degC"),
    ("pack.0.limits.charge_degC", [NAN, 40.0], "charge_degC"),
    ("pack.0.limits.discharge_degC", [30.0, 20.0], "discharge_degC"),
    ("pack.0.limits.rise_pct_per_s", 0, "rise_pct_per_s"),
    ("pack.0.limits.pre_alarm_soc_pct", 101, "pre_alarm_soc_pct"),
    ("pack.0.switchgear.kind", "relay", "kind"),
    ("pack.0.switchgear.settle_ms", NAN, "settle_ms"),
    ("pack.0.switchgear.tries", 0, "tries"),
    ("pack.0.switchgear.open_delay_ms", 600, "open_delay_ms"),
    ("pack.0.switchgear.break_A", -1, "break_A"),
    ("pack.0.switchgear.resistor_ohm", 0, "resistor_ohm"),
    ("pack.0.balancing.stop_mV", 30, "balancing"),
    ("pack.0.balancing.bleed_mA", -1, "bleed_mA"),
    ("pack.0.balancing.max_degC", NAN, "max_degC"),
    ("pack.0.thermal.humidity_max_pct", 0.0, "humidity_max_pct"),
    ("pack.0.thermal.humidity_max_pct", 60.0, "humidity_max_pct"),  # nobody measures ambient_degC here
    ("link.0.name", "", "name"),
    ("link.1.name", "battery", "link.name"),
    ("device.1.name", "module 1", "device.name"),
    ("device.0.link", "nowhere", "link"),
    ("device.0.pack", 2, "pack/string"),
    ("device.0.string", 2, "pack/string"),
    ("device.0.cells", 17, "cells"),
    ("device.1.first_cell", 10, "cells"),
    ("device.0.first_cell", 0, "first_cell"),
    ("device.0.signals", ["cell_voltage", "phase_of_the_moon"], "signals"),
    ("device.1.first_cell", 8, "signals"),
    ("device.1.address", 1, "address"),
    ("device.0.authority", "full", "authority"),
    ("device.3.drops_after_ms", 500, "drops_after_ms"),
    ("face.0.link", "nowhere", "link"),
    ("face.0.pack", 2, "pack"),
    ("face.0.bus", 2, "bus"),
    ("face.0", {**HOME["face"][0], "pack": 0, "bus": 2}, "bus"),
    ("simulation.seed", -1, "simulation.seed"),
    ("simulation.seed", 2**53, "simulation.seed"),
    ("simulation.start_soc_pct", 120, "start_soc_pct"),
    ("simulation.ambient_degC", INF, "ambient_degC"),
    ("simulation.load.kind", "moon", "kind"),
    ("simulation.load.current_A", NAN, "current_A"),
    ("guard.temperature_max_degC", NAN, "temperature_max_degC"),
    ("guard.consent_cycles", 0, "consent_cycles"),
    ("signals", ["nonsense"], "signals"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "key"), WRONG, ids=lambda x: str(x)[:40])
def test_a_malformed_site_is_refused_with_its_place(path: str, value: Any, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        refuse(build(changed(path, value), "shed.toml"))
    error = caught.value
    assert error.file == "shed.toml" and key in error.key and error.allowed
    assert str(error).startswith("shed.toml: ") and "allowed is" in str(error)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("pack.0.series", "sixteen", "pack[1].series = 'sixteen': allowed is a valid integer"),
        ("pack.0.strings", 0, "pack[1].strings = 0: allowed is greater than or equal to 1"),
        ("pack.0.serie", 16, "pack[1].serie = 16: allowed is no such key; is series meant?"),
        ("pack.0.balancing.bleed", 16, "pack[1].balancing.bleed = 16: allowed is no such key; is bleed_mA meant?"),
        ("guard.zzz", 1, "guard.zzz = 1: allowed is no such key; the keys here are "),
        ("pack.0.cell", "nosuch", "pack[1].cell = 'nosuch': allowed is a path of a cell file or one of "),
        ("pack", [{"cell": "lfp_280ah"}], "pack[1].name = None: allowed is a value: the key is required"),
    ],
)
def test_what_a_person_reads_of_a_malformed_site(path: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(changed(path, value), "shed.toml")
    assert str(caught.value).startswith(f"shed.toml: {said}")


@pytest.mark.parametrize(("bus", "right"), [({}, False), ({"bus": 1}, True), ({"bus": 2}, True), ({"bus": 3}, False)])
def test_a_face_of_all_packs_says_on_which_of_several_buses(bus: dict[str, int], right: bool) -> None:
    table = changed("face.0", {**HOME["face"][0], "pack": 0, **bus})
    table["pack"].append({"name": "b", "cell": "lfp_280ah", "series": 16, "bus": 2, "switchgear": {"kind": "none"}})
    with contextlib.nullcontext() if right else pytest.raises(ConfigError, match=r"face inverter\.bus = .*1 to 2"):
        refuse(build(table, "shed.toml"))


@pytest.mark.parametrize("text", ["name = ", "[[pack]\n", "name = 'a'\nname = 'b'", "\x00", "= 3"])
def test_text_that_is_no_toml_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"site\.toml"):
        load(file)


def test_bytes_that_are_no_text_a_folder_a_giant_and_nothing_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_bytes(b"name = '\xff\xfe'")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(file)
    with pytest.raises(ConfigError, match="a path of a site file"):
        load(tmp_path)
    with pytest.raises(ConfigError, match="a path of a site file"):
        load(tmp_path / "none.toml")
    file.write_text("#" * 1_100_000, encoding="utf-8")
    with pytest.raises(ConfigError, match="at most"):
        load(file)


@pytest.mark.parametrize("name", sites())
def test_every_shipped_site_loads_is_accepted_and_keeps_its_budgets(name: str) -> None:
    site = load(name)
    refuse(site)
    assert report(site)
    switched = site.config.switch.kind != Switchgear.NONE  # elsewhere a foreign BMS protects, and we only narrow
    late = [(row.row, row.bound_s, row.budget_s) for row in timing(site) if not row.ok and switched[row.string]]
    assert late == []


def test_the_hash_tells_sites_apart_and_is_the_same_for_the_same_text() -> None:
    one, again = build(copy.deepcopy(HOME), "home").config, build(copy.deepcopy(HOME), "home").config
    other = build(changed("pack.0.limits.charge_A", 139.0), "home").config
    assert one.hash == again.hash != other.hash
    assert fingerprint(one.limits) != fingerprint(other.limits)


@pytest.mark.parametrize("name", cells.names())
def test_every_shipped_cell_makes_a_site_whose_limits_are_ordered(name: str) -> None:
    table: dict[str, Any] = {
        "name": "t", "pack": [{"name": "p", "cell": name, "series": 2, "parallel": 3}],
        "signals": ["cell_voltage", "temp_degC", "current"],
    }  # fmt: skip
    config = build(table, "t").config
    limits = config.limits
    assert (limits.discharge_zero_V < limits.discharge_V).all() and (limits.discharge_V < limits.charge_V).all()
    assert (limits.charge_V < limits.charge_zero_V).all() and (limits.end_of_charge_V <= limits.charge_zero_V).all()
    assert (limits.charge_cold_degC < limits.charge_cool_degC).all()
    assert (limits.charge_warm_degC < limits.charge_hot_degC).all()
    assert (np.diff(limits.map_degC, axis=1) >= 0.0).all() and (limits.map_A >= 0.0).all()
    table_ = config.faults
    assert (table_.release <= table_.trip)[table_.enabled].all()  # release lies inside trip
    alone = build(table | {"pack": [table["pack"][0] | {"parallel": 1}]}, "t").config.limits
    np.testing.assert_allclose(limits.rated_charge_A, 3.0 * alone.rated_charge_A)


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
PLACES = [path for path, _, _ in WRONG] + ["pack.0", "device.0", "device", "link", "face.0", "simulation", "guard"]


@settings(max_examples=300)
@given(path=st.sampled_from(PLACES), value=values)
def test_a_site_with_anything_anywhere_compiles_or_is_refused(path: str, value: Any) -> None:
    try:
        site = build(changed(path, value), "fuzz")
        refuse(site)
    except ConfigError as error:
        assert error.file and error.key is not None and error.allowed
        return
    for table in (site.config.limits, site.config.switch, site.config.balance):
        for name in table.__slots__:
            if name not in ("float_V", "resistor_ohm"):
                assert np.isfinite(np.asarray(getattr(table, name), float)).all(), (path, value, name)


@settings(max_examples=150)
@given(data=st.data())
def test_a_site_text_with_broken_lines_loads_or_is_refused(data: Any) -> None:
    lines = (SITES / "home.toml").read_text(encoding="utf-8").splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at] = data.draw(st.sampled_from(["", lines[at][::-1], lines[at] * 2, "x = 1", "[[pack]]", lines[at - 1]]))
    try:
        table = tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError:
        return
    try:
        build(table, "fuzz")
    except ConfigError as error:
        assert "allowed is" in str(error)


@pytest.mark.parametrize(
    ("key", "inside", "beyond"),
    [
        ("cell_voltage_max_V", 3.8, 3.801), ("cell_voltage_min_V", 2.3, 2.299), ("temperature_max_degC", 80.0, 80.1),
        ("charge_A", 2800.0, 2800.1), ("discharge_A", 16800.0, 16800.1),
    ],
)  # fmt: skip
def test_both_sides_of_a_hard_cap_of_the_guard(key: str, inside: float, beyond: float) -> None:
    refuse(build(changed("guard", {key: inside}), "shed.toml"))
    with pytest.raises(ConfigError, match=rf"guard\.{key}.*hard cap") as caught:
        refuse(build(changed("guard", {key: beyond}), "shed.toml"))
    assert (
        "shed.toml" in str(caught.value) and f"{beyond:g}" in str(caught.value) and f"{inside:g}" in str(caught.value)
    )


def test_the_report_says_which_hard_caps_are_not_given() -> None:
    said = "no hard cap of temperature, charge current, discharge current is given"
    assert f"cell lfp_280ah: {said}" in report(load("home"))


def test_what_rests_on_estimates_claims_no_worst_case() -> None:
    paths = {row.row: row.path for row in timing(load("home"))}
    assert {name for name, path in paths.items() if path == "estimate"} == {
        "cell_internal_short", "cell_self_discharge", "cell_weak", "parallel_cell_lost", "joint_resistance",
        "string_joints", "current_sensor_drift",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("capacity_Ah", "parallel", "size"),
    [
        (None, 1, 1.0), (None, 3, 3.0), (280.0 * 0.86, 1, 1.0), (280.0 * 1.14, 1, 1.0),  # the same cell, aged or fresh
        (280.0 * 0.84, 1, 0.84), (20.0, 1, 20.0 / 280.0), (100.0, 1, 100.0 / 280.0), (200.0, 2, 200.0 / 280.0),
        (560.0, 1, 2.0), (280.0 * 1.16, 1, 1.16),
    ],
)  # fmt: skip
def test_a_capacity_far_from_the_file_is_another_size_of_the_cell(
    capacity_Ah: float | None, parallel: int, size: float
) -> None:
    """Resistance and the estimators' currents follow it both ways, limits only down: a site narrows, never widens."""
    pack = {"name": "a", "cell": "lfp_280ah", "series": 4, "parallel": parallel, "capacity_Ah": capacity_Ah}
    site = build({"name": "t", "pack": [pack], "signals": ["cell_voltage", "current"]}, "t")
    file = build({"name": "t", "pack": [{"name": "a", "cell": "lfp_280ah", "series": 4}], "signals": ["current"]}, "t")
    config, one, bears = site.config, file.config, min(size, float(parallel))
    assert config.size[0] == pytest.approx(size)
    assert config.cell_ohm * size == pytest.approx(one.cell_ohm)
    for name in ("rated_charge_A", "rated_discharge_A", "tail_A", "precondition_A", "map_A"):
        np.testing.assert_allclose(getattr(config.limits, name), bears * getattr(one.limits, name), err_msg=name)
    row = config.faults.name.index("charge_over_current_maximum")
    np.testing.assert_allclose(config.faults.trip[row], bears * one.faults.trip[row])
    assert compiled(config).parallel == pytest.approx(size)
    assert ("another size" in report(site)) == (size != parallel)
