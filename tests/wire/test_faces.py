"""Faces: frames from a fresh view, zero limits from a stale one, then silence; read with foreign layouts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from tests.wire.views import view, with_fault

from cellarer.config.schema import FaceFile
from cellarer.sim.emulator import machine
from cellarer.wire.faces.battery import battery, silent
from cellarer.wire.faces.face import FRESH_NS, ZERO_NS, Asked, Face, face
from cellarer.wire.frame import Frame

HERE = Path(__file__).parent
MS = 1_000_000
S = 1000 * MS


def made(protocol: str, **more: Any) -> Face:
    return face(FaceFile.model_validate({"name": protocol, "protocol": protocol, "link": "bus"} | more))


def sent(protocol: str, shown: dict[str, Any] | None = None, **more: Any) -> dict[int, bytes]:
    """Return the first frame of every id."""
    found: dict[int, bytes] = {}
    for frame in made(protocol, **more).due(view() if shown is None else shown, 0):
        found.setdefault(frame.id, frame.data)
    return found


def decoded(protocol: str, frame_id: int, shown: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    cantools = pytest.importorskip("cantools")
    database = cantools.database.load_file(HERE / "inverter.dbc", strict=True)
    data = sent(protocol, shown, **more)[frame_id]
    return dict(database.decode_message(frame_id, data, decode_choices=False, allow_truncated=True))


def test_frames_equal_those_of_a_bridge_in_production() -> None:
    """Golden frames of ArminJo's JK-BMSToPylontechCAN for 55.2 V, 50 A, 80 A, 48 V; 60 %; 52.28 V, 22 °C."""
    shown = view()
    shown["packs"][0].update(current_A=0.4, soh_pct=100.0)
    shown["packs"][0]["strings"][0]["temps_degC"] = [22.0]
    got = sent("pylontech_lv", shown)
    assert got == {
        0x351: bytes.fromhex("2802f4012003e001"),
        0x355: bytes.fromhex("3c006400"),
        0x356: bytes.fromhex("6c140400dc00"),
        0x359: bytes.fromhex("0000000001504e"),
        0x35C: bytes.fromhex("c000"),
        0x35E: b"PYLON   ",
    }


@pytest.mark.parametrize("protocol", ["pylontech_lv", "victron", "sma"])
def test_limits_and_measurements_as_others_read_them(protocol: str) -> None:
    assert decoded(protocol, 0x351) == pytest.approx({"CVL": 55.2, "CCL": 50.0, "DCL": 80.0, "DVL": 48.0})
    measured = decoded(protocol, 0x356)
    assert measured == pytest.approx({"Voltage": 52.28, "Current": -12.3, "Temperature": 22.0})
    state = decoded(protocol, 0x355)
    assert (state["SOC"], state["SOH"]) == (60, 99)


def test_victron_tells_cells_names_and_capacity() -> None:
    cells = decoded("victron", 0x373)
    expected = {"LowestCell": 3.267, "HighestCell": 3.275, "LowestTemperature": 21, "HighestTemperature": 22}
    assert cells == pytest.approx(expected)
    assert decoded("victron", 0x379)["Capacity"] == 278
    assert decoded("victron", 0x355)["SOCfine"] == pytest.approx(60.0)
    got = sent("victron")
    assert got[0x370] == b"house   "
    assert (got[0x374], got[0x375]) == (b"cell 1  ", b"cell 16 ")


@pytest.mark.parametrize(
    ("fault", "level", "bit"),
    [
        ("cell_over_voltage_maximum", "open", "AlarmHighVoltage"),
        ("cell_under_voltage_maximum", "open", "AlarmLowVoltage"),
        ("cell_under_voltage_recommended", "warn", "WarnLowVoltage"),
        ("charge_under_temperature_maximum", "open", "AlarmLowTemperature"),
        ("discharge_over_current_maximum", "open", "AlarmDischargeCurrent"),
        ("charge_limit_ignored", "warn", "WarnChargeCurrent"),
        ("insulation_low", "ramp", "AlarmSystem"),  # no bit of its own: the general one
        ("contactor_welded", "open", "AlarmSystem"),
    ],
)
def test_pylontech_alarm_bits(fault: str, level: str, bit: str) -> None:
    got = decoded("pylontech_lv", 0x359, with_fault(fault, level))
    assert {name for name, value in got.items() if value and name != "Modules"} == {bit}


@pytest.mark.parametrize(
    ("fault", "level", "changed"),
    [
        ("cell_over_voltage_maximum", "open", {"HighVoltage": 1}),
        ("cell_over_voltage_recommended", "warn", {"WarnHighVoltage": 1}),
        ("cell_over_voltage_operating", "inform", {}),
        ("contactor_welded", "open", {"Contactor": 1}),
        ("insulation_low", "ramp", {"General": 1}),
        ("voltage_spread", "warn", {"WarnImbalance": 1}),
    ],
)
def test_victron_alarms_are_two_bits_01_active_10_inactive_00_unsupported(
    fault: str, level: str, changed: dict[str, int]
) -> None:
    quiet = decoded("victron", 0x35A)
    assert {name for name, value in quiet.items() if value == 0} == {"ShortCircuit"}
    assert quiet["Online"] == 1
    assert {value for name, value in quiet.items() if name not in ("ShortCircuit", "Online")} == {2}
    got = decoded("victron", 0x35A, with_fault(fault, level))
    assert {name: value for name, value in got.items() if value != quiet[name]} == changed


@pytest.mark.parametrize("protocol", ["pylontech_lv", "victron", "sma"])
@pytest.mark.parametrize("charge_V", [0.0, None])
def test_charge_voltage_is_never_zero(protocol: str, charge_V: float | None) -> None:
    got = decoded(protocol, 0x351, view(charge_V=charge_V, charge_A=0.0, discharge_A=None))
    assert got["CVL"] == pytest.approx(52.3)
    assert (got["CCL"], got["DCL"]) == (0, 0)


def test_inverter_that_takes_zero_for_no_limit_gets_a_little() -> None:
    got = decoded("pylontech_lv", 0x351, view(charge_A=0.0), options={"least_A": 0.1})
    assert got["CCL"] == pytest.approx(0.1)
    assert decoded("pylontech_lv", 0x35C, view(charge_A=0.0))["ChargeEnable"] == 0


def test_limits_beyond_the_field_saturate() -> None:
    got = decoded("pylontech_lv", 0x351, view(charge_A=1e6, discharge_V=1e6))
    assert got["CCL"] == pytest.approx(3276.7)
    assert got["DVL"] == pytest.approx(6553.5)


def test_nothing_is_said_before_the_first_voltage() -> None:
    shown = view(charge_V=None, charge_A=None, discharge_A=None)
    shown["packs"][0]["voltage_V"] = None
    one = made("pylontech_lv")
    assert one.due(None, 0) == []
    assert one.due(shown, 0) == []
    assert one.due(view(), MS) != []


def test_value_that_is_unknown_is_left_out() -> None:
    shown = view()
    shown["packs"][0]["soc_pct"] = None
    assert 0x355 not in sent("pylontech_lv", shown)
    assert 0x351 in sent("pylontech_lv", shown)


def timeline(one: Face, until_ns: int, frozen_at_ns: int, step_ns: int = 100 * MS) -> dict[int, list[Frame]]:
    """Run a face whose view stops changing."""
    return {t: one.due(view(time_ns=min(t, frozen_at_ns)), t) for t in range(0, until_ns, step_ns)}


@pytest.mark.parametrize("protocol", ["pylontech_lv", "victron", "sma", "vcu"])
def test_stale_view_means_zero_limits_then_silence(protocol: str) -> None:
    frozen = 2 * S
    frames = timeline(made(protocol), 8 * S, frozen)
    limits_id = 0x2A1 if protocol == "vcu" else 0x351
    at = 0 if protocol == "vcu" else 2
    for t, sent_now in frames.items():
        for frame in sent_now:
            if frame.id == limits_id:
                zero = frame.data[at : at + 4] == bytes(4)
                assert zero == (t > frozen + FRESH_NS), t
                assert frame.data[0:2] != b"\0\0" or protocol == "vcu"
        if t > frozen + FRESH_NS:
            assert not {f.id for f in sent_now} & {0x355, 0x356, 0x373, 0x2A7}
    zeros = [t for t, fs in frames.items() if t > frozen + FRESH_NS and any(f.id == limits_id for f in fs)]
    assert len(zeros) >= 5
    assert not any(fs for t, fs in frames.items() if t > frozen + FRESH_NS + ZERO_NS)


def test_view_from_the_future_is_not_fresh() -> None:
    assert made("pylontech_lv").due(view(time_ns=S), 0) == []


def test_face_comes_back_with_the_view() -> None:
    one = made("pylontech_lv")
    timeline(one, 8 * S, S)
    assert {f.id for f in one.due(view(time_ns=9 * S), 9 * S)} >= {0x351, 0x355, 0x356}


def test_last_will_says_zero_at_once() -> None:
    one = made("pylontech_lv")
    assert one.last_will(0) == []
    one.due(view(), 0)
    (limits,) = [f for f in one.last_will(MS) if f.id == 0x351]
    assert limits.data == bytes.fromhex("280200000000e001")


@pytest.mark.parametrize(("protocol", "frame_id", "per_s"), [("pylontech_lv", 0x351, 2), ("vcu", 0x2A1, 20)])
def test_rates(protocol: str, frame_id: int, per_s: int) -> None:
    one = made(protocol)
    count = sum(f.id == frame_id for t in range(0, 10 * S, 10 * MS) for f in one.due(view(time_ns=t), t))
    assert count == pytest.approx(10 * per_s, abs=1)


def test_period_of_the_site_changes_all_in_proportion() -> None:
    one = made("pylontech_lv", period_ms=100)
    ids = [f.id for t in range(0, 10 * S, 10 * MS) for f in one.due(view(time_ns=t), t)]
    assert ids.count(0x351) == pytest.approx(100, abs=1)
    assert ids.count(0x35E) == pytest.approx(10, abs=1)


def test_inverter_is_heard_named_and_lost() -> None:
    one = made("victron")
    assert not one.alive(0)
    one.receive(Frame(0x305, bytes(8)), S)
    one.receive(Frame(0x307, b"\x12\x34\x56\x78VIC\0"), S)
    assert one.machine == "VIC"
    assert one.alive(11 * S)
    assert not one.alive(11 * S + 1)
    one.receive(Frame(0x123, bytes(8)), 12 * S)
    assert not one.alive(12 * S)  # somebody else on the bus is no inverter


def test_packs_side_by_side_show_what_control_lets_the_bank_carry() -> None:
    shown = view(packs=4)
    shown["banks"][0]["charge_A"] = 40.0
    values = battery(shown, 0)
    assert values["foreign_charge_limit"] == 40.0
    assert values["current"] == pytest.approx(4 * -12.34)
    assert values["capacity_Ah"] == pytest.approx(4 * 278.4)
    shown["banks"][0]["discharge_A"] = None
    assert battery(shown, 0)["foreign_discharge_limit"] == 0.0
    shown["packs"][3]["current_A"] = None
    assert math.isnan(battery(shown, 0)["current"])


def test_pack_that_is_lost_leaves_the_sum() -> None:
    shown = view(packs=4)
    shown["packs"][3].update(voltage_V=None, current_A=None, soc_pct=None, energy_Wh=None)
    values = battery(shown, 0)
    assert values["string_voltage"] == pytest.approx(52.28)
    assert values["current"] == pytest.approx(3 * -12.34)
    assert values["capacity_Ah"] == pytest.approx(3 * 278.4)
    assert values["foreign_soc"] == pytest.approx(0.6)


def test_a_machine_on_one_of_several_buses_is_told_of_that_alone_and_speaks_for_it_alone() -> None:
    shown = view(packs=3)
    shown["packs"][2] |= {"bus": 2, "current_A": 7.0}
    shown["banks"] = [
        {"bus": 1, "charge_A": 0.0, "discharge_A": 20.0},
        {"bus": 2, "charge_A": 30.0, "discharge_A": None},
    ]
    told = battery(shown, 0, 2)
    assert told["foreign_charge_limit"] == 30.0 and told["foreign_discharge_limit"] == 0.0 and told["current"] == 7.0
    assert battery(shown, 0, 1)["foreign_discharge_limit"] == 20.0
    file = FaceFile(name="v", protocol="vcu", link="bus", bus=2)
    (stop,) = machine(file).frames(0, {"command": 2.0, "reset": 0.0})[-1:]
    for bus, packs in ((1, [0, 1]), (2, [2])):
        one = face(file.model_copy(update={"bus": bus}), [1, 1, 2])
        assert one.receive(stop, 0) == [Asked("open", pack) for pack in packs]  # before anything was shown


def test_power_of_one_pack_is_bounded_by_its_forecast() -> None:
    assert battery(view(charge_W=1000.0), 1)["charge_W"] == 1000.0
    assert battery(view(charge_W=None), 1)["charge_W"] == 0.0


def test_simulated_inverter_obeys_what_it_hears_and_nothing_when_it_hears_nothing() -> None:
    inverter, one = machine(FaceFile(name="i", protocol="pylontech_lv", link="bus")), made("pylontech_lv")
    assert inverter.limits(0) == (0.0, 0.0)
    for frame in one.due(view(), 0):
        inverter.receive(frame, 0)
    assert inverter.limits(S) == (50.0, 80.0)
    assert inverter.heard("charge_V", S) == pytest.approx(55.2)
    assert inverter.limits(3 * S + 1) == (0.0, 0.0)
    (beat,) = [f for f in inverter.frames(0) if f.id == 0x305]
    one.receive(beat, 0)
    assert one.alive(S)


# --- vehicle -------------------------------------------------------------------------------------------------------


def vcu_commands(*commands: float, allowed: bool = True, reset: float = 0.0) -> tuple[Face, list[Asked]]:
    options = {"commands": True} if allowed else {}
    file = FaceFile(name="v", protocol="vcu", link="bus", pack=1, options=options)
    car, one = machine(file), face(file)
    asked: list[Asked] = []
    for i, command in enumerate(commands):
        for frame in car.frames(i * 100 * MS, {"command": command, "reset": reset}):
            asked += one.receive(frame, i * 100 * MS)
    return one, asked


def test_lasting_command_asks_once() -> None:
    _, asked = vcu_commands(0, 1, 1, 1, 2, 2)
    assert [a.what for a in asked] == ["close", "open"]
    assert asked[0].pack == 0


def test_without_permission_only_opening_is_heard() -> None:
    one, asked = vcu_commands(1, 1, 2, allowed=False, reset=1.0)
    assert [a.what for a in asked] == ["open"]
    assert one.counters.bad["not allowed"] == 1


def test_reset_is_asked_on_the_edge() -> None:
    assert [a.what for a in vcu_commands(0, 0, 0, reset=1.0)[1]] == ["reset"]


def test_silent_vcu_that_had_us_closed_opens_once() -> None:
    one, _ = vcu_commands(1, 1)
    assert one.lost(600 * MS) == []
    assert [a.what for a in one.lost(601 * MS)] == ["open"]
    assert one.lost(700 * MS) == []


def test_silent_vcu_that_never_closed_asks_nothing() -> None:
    assert vcu_commands(0, 2)[0].lost(60 * S) == []


def test_replayed_command_is_refused() -> None:
    file = FaceFile(name="v", protocol="vcu", link="bus", options={"commands": True})
    car, one = machine(file), face(file)
    (frame,) = car.frames(0, {"command": 1.0, "reset": 0.0})
    assert one.receive(frame, 0)
    (other,) = car.frames(100 * MS, {"command": 2.0, "reset": 0.0})
    assert one.receive(other, 100 * MS)
    assert one.receive(frame, 200 * MS) == []
    assert one.counters.bad["counter"] == 1


@pytest.mark.parametrize("protocol", ["cmu", "ivt_s", "switchbox"])
def test_devices_are_no_faces(protocol: str) -> None:
    with pytest.raises(ValueError, match="is no face"):
        made(protocol)


def test_peaks_of_packs_side_by_side_are_no_more_than_each_may_carry_of_its_share() -> None:
    both = view(2, charge_A=50.0)
    strings = [pack["strings"][0] for pack in both["packs"]]
    alone = battery(view(1))
    assert alone["charge_2s_W"] == pytest.approx(5500.0) and alone["discharge_30s_W"] == pytest.approx(4100.0)
    told = battery(both)
    assert told["charge_2s_W"] == pytest.approx(2 * 5500.0)
    strings[1]["peaks"]["charge_A"][0], strings[1]["peaks"]["charge_W"][0] = 50.0, 2700.0
    assert battery(both)["charge_2s_W"] == pytest.approx(100.0 * 54.0)  # twice the share of the weaker one
    strings[1]["limits"]["charge_A"] = 0.0  # it is open: its share is in the bank's limit no more
    both["banks"][0]["charge_A"] = 50.0
    assert battery(both)["charge_2s_W"] == pytest.approx(5500.0)
    strings[0]["peaks"]["charge_A"][0] = None
    assert battery(both)["charge_2s_W"] == 0.0
    assert silent(told, "359")["charge_2s_W"] == 0.0 == silent(told, "359")["discharge_continuous_W"]
