"""The devices of the default site, driver against emulation, and what a driver refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cellarer.config.schema import DeviceFile
from cellarer.model.layout import Layout
from cellarer.model.quantities import BY_NAME
from cellarer.sim.emulator import Emulator, Trouble, emulator
from cellarer.wire.devices.driver import Driver, driver, places
from cellarer.wire.frame import Frame
from cellarer.wire.order import Order

MS = 1_000_000


def device(protocol: str, **more: object) -> DeviceFile:
    return DeviceFile.model_validate({"name": protocol, "protocol": protocol, "link": "bus"} | more)


CMU = device("cmu", cells=8, temperatures=2, address=2)
CELLS = np.linspace(2.5, 3.65, 8)


def said(values: dict[str, object], dev: DeviceFile, now_ns: int = 0) -> dict[str, list[float]]:
    """Send values through the emulation and the driver of a device."""
    found: dict[str, dict[int, float]] = {}
    reader = driver(dev)
    for frame in emulator(dev).frames(values, now_ns):
        for r in reader.receive(frame, now_ns):
            found.setdefault(r.signal, {})[r.at] = r.value
    assert not reader.counters.bad
    return {name: [v for _, v in sorted(at.items())] for name, at in found.items()}


def test_module_controller_carries_cells_temperatures_and_flags() -> None:
    flags = np.zeros(8)
    flags[3] = 1
    got = said({"cell_voltage": CELLS, "temp_degC": [-20.5, 60.25], "cell_open_wire": flags}, CMU)
    assert got["cell_voltage"] == pytest.approx(CELLS, abs=0.5e-4)
    assert got["temp_degC"] == [-20.5, 60.25]
    assert got["cell_open_wire"] == flags.tolist()
    assert got["cell_bleeding"] == [0] * 8


def test_cell_that_was_not_measured_is_unknown_and_alone() -> None:
    cells = CELLS.copy()
    cells[4] = math.nan
    got = said({"cell_voltage": cells}, CMU)["cell_voltage"]
    assert math.isnan(got[4])
    assert np.isfinite(np.delete(got, 4)).all()


def test_module_bleeds_as_ordered_and_stops_when_not_refreshed() -> None:
    box, us = emulator(CMU), driver(CMU)
    wish = (True, False) * 4
    (order,) = us.order(Order(bleed=wish), 0)
    assert box.receive(order, 0) is not None
    assert box.outputs(2000 * MS).bleed == wish
    assert not any(box.outputs(2001 * MS).bleed)


MOVER = device("cmu", cells=8, address=2, authority="limit")
GIVE, TAKE = (1.0, 0.0, 0.5, 0.0, 0.0, 0.252, 0.0, 0.0), (0.0, 0.004, 0.5, 0.0, 1.0, 0.0, 0.0, 0.748)


def heard(box: Emulator, us: Driver, order: Order, now_ns: int, lost: tuple[int, ...] = ()) -> None:
    for number, frame in enumerate(us.order(order, now_ns)):
        if number not in lost:
            box.receive(frame, now_ns)


def test_converters_do_what_they_are_ordered_cell_by_cell_and_stop_when_not_refreshed() -> None:
    box, us = emulator(MOVER), driver(MOVER)
    heard(box, us, Order(bleed=(True,) * 8, give=GIVE, take=TAKE), 0)
    assert (box.outputs(2000 * MS).give, box.outputs(2000 * MS).take) == (GIVE, TAKE)
    late = box.outputs(2001 * MS)
    assert not any((*late.give, *late.take, *late.bleed))


def test_converters_stop_at_once_when_ordered() -> None:
    box, us = emulator(MOVER), driver(MOVER)
    heard(box, us, Order(give=GIVE, take=TAKE), 0)
    heard(box, us, Order(give=(0.0,) * 8, take=(0.0,) * 8), 20 * MS)
    assert not any((*box.outputs(20 * MS).give, *box.outputs(20 * MS).take))


def test_what_is_refreshed_of_a_module_keeps_nothing_else_of_it_going() -> None:
    box, us = emulator(MOVER), driver(MOVER)
    order = Order(bleed=(True,) * 8, give=GIVE, take=TAKE)
    heard(box, us, order, 0)
    for now_ms in range(500, 2501, 500):
        heard(box, us, order, now_ms * MS, lost=(1,))  # 0: who bleeds; 1 to 3: converters of three cells each
    now = box.outputs(2500 * MS)
    assert (now.give, now.take) == ((0.0, 0.0, 0.0, *GIVE[3:]), (0.0, 0.0, 0.0, *TAKE[3:])) and all(now.bleed)


def test_without_authority_no_converter_is_driven() -> None:
    us = driver(device("cmu", cells=8, address=2))
    told = us.order(Order(bleed=(True,) * 8, give=GIVE, take=TAKE), 0)
    assert us.takes("bleed") and not us.takes("give")
    box = emulator(MOVER)
    for frame in told:
        box.receive(frame, 0)
    assert all(box.outputs(0).bleed) and not any((*box.outputs(0).give, *box.outputs(0).take))


def test_a_module_that_measures_its_converters_says_what_they_pass_and_what_it_does_not_know() -> None:
    passed = np.array([0.0, 2.0, -2.0, math.nan, 0.4, -65.0, 0.002, 0.0])
    values = {"cell_voltage": CELLS, "converter_current": passed}
    measures = device("cmu", cells=8, temperatures=2, options={"measures_converters": True})
    np.testing.assert_allclose(said(values, measures)["converter_current"], passed, atol=1e-9)
    assert "converter_current" not in said(values, CMU)
    with pytest.raises(ValueError, match="which cmu does not carry with these options"):
        driver(device("cmu", cells=8, signals=["converter_current"]))


SWITCH = device("switchbox", authority="switch")


def test_switch_box_follows_and_falls_300_ms_after_the_last_good_order() -> None:
    box, us = emulator(SWITCH), driver(SWITCH)
    wish = Order(minus=True, precharge=True, plus=False, allow_charge=True, pump=0.5)
    (order,) = us.order(wish, 0)
    assert isinstance(order, Frame)
    box.receive(order, 0)
    now = box.outputs(300 * MS)
    assert (now.minus, now.precharge, now.plus, now.allow_charge, now.pump) == (True, True, False, True, 0.5)
    box.receive(order, 200 * MS)  # the same frame again: no refresh
    assert not box.outputs(301 * MS).minus
    assert box.counters.bad["counter"] == 1


def test_order_that_says_nothing_opens() -> None:
    box, us = emulator(SWITCH), driver(SWITCH)
    box.receive(us.order(Order(minus=True, plus=True), 0)[0], 0)
    box.receive(us.order(Order(), MS)[0], MS)
    assert not box.outputs(2 * MS).minus


def test_device_without_authority_gets_no_switch_order() -> None:
    assert driver(device("switchbox")).order(Order(plus=True), 0) == []


def test_contacts_and_inputs_that_are_not_wired_are_unknown_not_off() -> None:
    got = said({"feedback_minus": 1.0, "feedback_plus": 0.0, "emergency_stop": 1.0, "supply_voltage": 13.8}, SWITCH)
    assert got["feedback_minus"] == [1] and got["feedback_plus"] == [0] and got["emergency_stop"] == [1]
    assert math.isnan(got["crash"][0]) and math.isnan(got["feedback_precharge"][0])
    assert got["supply_voltage"] == [13.8]


@pytest.mark.parametrize("little", [False, True])
def test_shunt_in_both_byte_orders(little: bool) -> None:
    dev = device("ivt_s", options={"little_endian": little})
    got = said({"current": -12.345, "string_voltage": 52.123, "link_voltage": 0.004}, dev)
    assert got == {"current": [-12.345], "string_voltage": [52.123], "link_voltage": [0.004]}


def test_shunt_frame_by_hand() -> None:
    """IVT-S DBC of 12 Aug 2020: number, status and counter, signed 32 bits big endian, mA and mV."""
    reader = driver(device("ivt_s"))
    assert reader.receive(Frame(0x521, bytes.fromhex("0005fffff060")), 0) == [("current", 0, -4.0)]
    assert reader.receive(Frame(0x522, bytes.fromhex("01050000c8ff")), 0) == [("string_voltage", 0, 51.455)]


def test_shunt_built_in_the_other_way_round() -> None:
    dev = device("ivt_s", options={"reversed": True})
    assert driver(dev).receive(Frame(0x521, bytes.fromhex("0005fffff060")), 0) == [("current", 0, 4.0)]
    assert said({"current": 7.5}, dev)["current"] == [7.5]


@pytest.mark.parametrize("status", [0x25, 0x85, 0xA5])
def test_shunt_that_reports_an_error_is_unknown(status: int) -> None:
    reading = driver(device("ivt_s")).receive(Frame(0x521, bytes((0, status, 0, 0, 0, 1))), 0)[0]
    assert math.isnan(reading.value)


def test_shunt_temperature_counts_only_where_the_site_has_that_sensor() -> None:
    frame = Frame(0x525, bytes.fromhex("0401000000fa"))
    assert driver(device("ivt_s")).receive(frame, 0) == []
    assert driver(device("ivt_s", temperatures=1)).receive(frame, 0) == [("temp_degC", 0, 25.0)]


def test_two_channels_cannot_measure_the_same() -> None:
    with pytest.raises(ValueError, match="string_voltage twice"):
        driver(device("ivt_s", options={"u2": "string_voltage"}))


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (Frame(0x0CB01002, bytes.fromhex("88901791a6910100"), True), "crc"),
        (Frame(0x0CB01002, bytes.fromhex("8890"), True), "length"),
    ],
)
def test_bad_frames_are_counted_and_are_no_sign_of_life(frame: Frame, why: str) -> None:
    reader = driver(CMU)
    assert reader.receive(frame, 5) == []
    assert reader.counters.bad[why] == 1
    assert reader.counters.good == 0
    assert reader.last_good_ns < 0


def test_frame_under_another_modules_id_is_refused() -> None:
    frame = emulator(device("cmu", cells=8, address=1)).frames({"cell_voltage": CELLS}, 0)[0]
    reader = driver(CMU)
    assert isinstance(frame, Frame)
    assert reader.receive(frame, 0) == []
    assert reader.counters.good == 0
    assert reader.receive(frame._replace(id=0x0CB01002), 0) == []
    assert reader.counters.bad["crc"] == 1


def test_value_that_cannot_be_is_dropped_and_counted() -> None:
    reader = driver(device("ivt_s", options={"little_endian": True}))
    assert reader.receive(Frame(0x521, bytes.fromhex("0005fffff060")), 0) == []  # a big endian sensor: 1.6 million A
    assert reader.counters.bad["range"] == 1


def test_only_the_signals_that_the_site_names_are_read() -> None:
    dev = device("ivt_s", signals=["current"])
    frames = emulator(dev).frames({"current": 1.0, "string_voltage": 50.0, "link_voltage": 50.0}, 0)
    reader = driver(dev)
    assert [r.signal for f in frames for r in reader.receive(f, 0)] == ["current"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"protocol": "nothing"}, "protocol = 'nothing' is unknown"),
        (
            {"signals": ["cell_voltage", "gas"]},
            "signals names 'gas', which cmu does not carry .*; allowed: cell_voltage, ",
        ),
        ({"cells": 60}, "cells = 60; protocol cmu carries 0 to 48"),
    ],
)
def test_wrong_devices_are_named(more: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        driver(device("cmu").model_copy(update=more))


def test_emulation_keeps_its_rate_with_a_coarse_caller() -> None:
    box = emulator(device("ivt_s"))
    sent = sum(
        f.id == 0x521
        for ms in range(0, 1000, 15)
        for f in box.frames({"current": 1.0}, ms * MS)
        if isinstance(f, Frame)
    )
    assert sent == pytest.approx(50, abs=1)


def test_places_of_a_device_in_the_site() -> None:
    layout = Layout(
        string_of_cell=np.repeat([0, 1], 4),
        string_of_temp=np.repeat([0, 1], 2),
        pack_of_string=np.array([0, 1]),
        temp_of_cell=np.zeros(8, dtype=np.int64),
    )
    dev = device("cmu", pack=2, first_cell=3, cells=2, first_temperature=2, temperatures=1)
    at = places(layout, dev)
    assert at["cell_voltage"] == layout.where["cell_voltage"].start + 6
    assert at["temp_degC"] == layout.where["temp_degC"].start + 3
    assert at["current"] == layout.where["current"].start + 1
    assert set(at) == set(BY_NAME)
    with pytest.raises(ValueError, match="cells 3 to 5; the string has 4"):
        places(layout, device("cmu", pack=2, first_cell=3, cells=3))
    with pytest.raises(ValueError, match="pack = 3"):
        places(layout, device("cmu", pack=3))


@pytest.mark.parametrize("protocol", ["cmu", "switchbox", "ivt_s"])
@pytest.mark.parametrize("trouble", [Trouble.SILENT, Trouble.STUCK, Trouble.BROKEN, Trouble.SHORT])
def test_device_in_trouble_falls_silent_to_us_and_comes_back(protocol: str, trouble: Trouble) -> None:
    """Nothing a sick device sends counts as alive. (The shunt has no CRC: a flipped bit there is a wrong value.)"""
    if (protocol, trouble) == ("ivt_s", Trouble.BROKEN):
        return
    dev = device(protocol, cells=3)
    box, reader = emulator(dev), driver(dev)
    state = {
        "cell_voltage": [3.3] * 3,
        "current": 1.0,
        "string_voltage": 9.9,
        "link_voltage": 9.9,
        "feedback_minus": 1.0,
    }

    def run(start_ms: int, end_ms: int) -> int:
        items = [(t, f) for t in range(start_ms, end_ms, 20) for f in box.frames(state, t * MS)]
        return sum(bool(reader.receive(f, t * MS)) for t, f in items)

    assert run(0, 1000) > 0
    box.trouble = trouble
    assert run(1000, 1200) <= 5  # the first frame of each kind may still be new
    assert run(1200, 3000) == 0
    box.trouble = Trouble.NONE
    assert run(3000, 4000) > 0


def test_deaf_switch_box_falls() -> None:
    box, us = emulator(SWITCH), driver(SWITCH)
    box.receive(us.order(Order(plus=True), 0)[0], 0)
    box.trouble = Trouble.DEAF
    for ms in range(20, 400, 20):
        assert box.receive(us.order(Order(plus=True), ms * MS)[0], ms * MS) is None
    assert not box.outputs(301 * MS).plus
