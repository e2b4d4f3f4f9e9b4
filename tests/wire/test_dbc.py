"""DBC: the shipped file is the table's; cantools reads our frames with it, and the shunt's with the maker's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.wire.views import view, with_fault

from cellarer.config.schema import DeviceFile, FaceFile
from cellarer.model.quantities import SIGNALS
from cellarer.sim.emulator import emulator
from cellarer.wire.crc import crc8_j1850
from cellarer.wire.dbc import dbc
from cellarer.wire.devices.driver import driver
from cellarer.wire.faces.face import face
from cellarer.wire.frame import Frame
from cellarer.wire.protocols import get, names

cantools = pytest.importorskip("cantools")
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CAN = [name for name in names() if get(name).transport == "can"]
MS = 1_000_000


@pytest.mark.parametrize("name", CAN)
def test_every_table_is_a_strict_dbc(name: str) -> None:
    database = cantools.database.load_string(dbc(get(name), 16, 4), "dbc", strict=True)
    assert len(database.messages) >= len(get(name).messages)


def test_shipped_dbc_is_that_of_the_table() -> None:
    shipped = (ROOT / "docs" / "devices" / "vcu.dbc").read_text(encoding="utf-8")
    assert shipped == dbc(get("vcu"), 96, 24), "write it anew: python -m cellarer.wire.dbc > docs/devices/vcu.dbc"


def car_view() -> dict[str, Any]:
    shown = with_fault("cell_over_voltage_maximum", "open")
    pack = shown["packs"][0]
    pack.update(voltage_V=352.4, current_A=-123.4, soc_pct=61.23)
    pack["limits"] |= {"charge_A": 120.0, "discharge_A": 250.5, "charge_V": 403.2, "discharge_V": 288.0}
    string = pack["strings"][0]
    string["limits"] = {"charge_A": 120.0, "discharge_A": 250.5}
    string["peaks"] |= {"charge_A": [240.0, 144.0, 120.0, 60.0], "discharge_A": [501.0, 300.6, 250.5, 125.25]}
    string["cells"]["voltage_V"] = [3.6 + i / 1000 for i in range(96)]
    string["temps_degC"] = [20.0 + i for i in range(24)]
    return shown


def decoded() -> dict[str, Any]:
    """Send everything the face says in 1.2 s through cantools with the shipped DBC."""
    database = cantools.database.load_file(ROOT / "docs" / "devices" / "vcu.dbc", strict=True)
    one = face(FaceFile(name="v", protocol="vcu", link="bus", pack=1))
    values: dict[str, Any] = {}
    for t in range(0, 1200 * MS, 10 * MS):
        for frame in one.due(car_view() | {"time_ns": t}, t):
            values |= database.decode_message(frame.id, frame.data, decode_choices=True)
    return values


def test_vehicle_frames_read_by_cantools() -> None:
    got = decoded()
    expected = {
        "charge_limit": 120.0,
        "discharge_limit": 250.5,
        "charge_V": 403.2,
        "discharge_V": 288.0,
        "charge_2s_W": 5500,
        "charge_30s_W": 2750,
        "charge_continuous_W": 1350,
        "discharge_2s_W": 8000,
        "discharge_30s_W": 4100,
        "discharge_continuous_W": 2050,
        "string_voltage": 352.4,
        "current": -123.4,
        "link_voltage": 52.2,  # 52.25, rounded half to even
        "soc": 61.23,
        "soc_sigma": 1.6,
        "soh": 99.5,
        "energy_Wh": 8400,
        "cell_voltage_low": 3.6,
        "cell_voltage_high": 3.695,
        "temp_low_degC": 20,
        "temp_high_degC": 43,
        "alarm_cell_over_voltage": 1,
        "warning_cell_over_voltage": 0,
        "alarm_internal": 0,
    }
    assert {name: got[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert (str(got["phase"]), str(got["charge_phase"]), str(got["fault_level"])) == ("closed", "bulk", "open")
    assert [got[f"cell_voltage_{i + 1}"] for i in range(96)] == pytest.approx([3.6 + i / 1000 for i in range(96)])
    assert [got[f"temp_degC_{i + 1}"] for i in range(24)] == [20 + i for i in range(24)]


def test_cells_are_spread_over_the_period() -> None:
    one = face(FaceFile(name="v", protocol="vcu", link="bus", pack=1))
    most = max(
        sum(f.id == 0x2A7 for f in one.due(car_view() | {"time_ns": t}, t)) for t in range(0, 2000 * MS, 10 * MS)
    )
    assert most <= 2


def test_crc_by_hand() -> None:
    frames = face(FaceFile(name="v", protocol="vcu", link="bus", pack=1)).due(view(), 0)
    limits = next(f for f in frames if f.id == 0x2A1)
    assert limits.data[7] == crc8_j1850(b"\xa1\x02" + limits.data[:7])
    assert limits.data[6] >> 4 == 1


def test_shunt_frames_read_with_the_makers_layout() -> None:
    database = cantools.database.load_file(HERE / "ivt_s.dbc", strict=True)
    box = emulator(DeviceFile(name="s", protocol="ivt_s", link="bus", temperatures=1))
    values = {"current": -123.456, "string_voltage": 352.123, "link_voltage": 0.5, "temp_degC": [31.4]}
    got = {f.id: database.decode_message(f.id, f.data) for f in box.frames(values, 0) if isinstance(f, Frame)}
    assert got[0x521] == {
        "Number": 0, "Count": 1, "OCS": 0, "ChannelError": 0, "MeasurementError": 0, "SystemError": 0,
        "Result": -123456,
    }  # fmt: skip
    assert (got[0x522]["Result"], got[0x523]["Result"]) == (352123, 500)
    assert got[0x525]["Result"] == pytest.approx(31.4)


@pytest.mark.parametrize("name", ["cmu", "switchbox", "ivt_s"])
def test_devices_read_alike_by_cantools_and_by_us(name: str) -> None:
    """The DBC of a device and its driver agree on every value that its emulation sends."""
    dev = DeviceFile(name="d", protocol=name, link="bus", cells=7, temperatures=2)
    database = cantools.database.load_string(dbc(get(name), 7, 2), "dbc", strict=True)
    state: dict[str, Any] = {q.name: 1.0 for q in SIGNALS if q.axis in ("string", "pack")}
    state |= {"cell_voltage": [3.0 + i / 100 for i in range(7)], "temp_degC": [-7.5, 41.25], "supply_voltage": 12.5}
    reader, count = driver(dev), 0
    for frame in emulator(dev).frames(state, 0):
        assert isinstance(frame, Frame)
        theirs = database.decode_message(frame.id | frame.extended << 31 if frame.extended else frame.id, frame.data)
        for r in reader.receive(frame, 0):
            own = {"string_voltage": "u1", "link_voltage": "u2"}.get(r.signal, r.signal)
            value = theirs.get(f"{r.signal}_{r.at + 1}", theirs.get(r.signal, theirs.get(own)))
            unit = 1000 if name == "ivt_s" and r.signal != "temp_degC" else 1
            assert value == pytest.approx(r.value * unit), r
            count += 1
    assert count >= 3


def test_serial_protocols_have_no_dbc() -> None:
    with pytest.raises(ValueError, match="not on CAN"):
        dbc(get("jbd"))
