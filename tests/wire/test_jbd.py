"""JBD: recorded frames, known questions and orders, a line that cuts and echoes, and a pack over a pseudo terminal."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellarer.config.schema import DeviceFile
from cellarer.sim.emulator import emulator
from cellarer.wire.crc import sum16_negative
from cellarer.wire.devices.driver import Driver, driver
from cellarer.wire.frame import Reading
from cellarer.wire.links import open_link
from cellarer.wire.order import Order

RECORDED = json.loads((Path(__file__).parents[2] / "data" / "frames" / "jbd.json").read_text(encoding="utf-8"))
BY_LINE = {f["line"]: bytes.fromhex(f["hex"]) for f in RECORDED["frames"]}
BASIC, CELLS, CUT_TAIL = BY_LINE[108], BY_LINE[365], BY_LINE[270]
MS = 1_000_000


def device(**more: Any) -> DeviceFile:
    return DeviceFile.model_validate(
        {"name": "j", "protocol": "jbd", "link": "l", "cells": 4, "temperatures": 3} | more
    )


def values(readings: list[Reading]) -> dict[str, list[float]]:
    found: dict[str, dict[int, float]] = {}
    for r in readings:
        found.setdefault(r.signal, {})[r.at] = r.value
    return {name: [v for _, v in sorted(at.items())] for name, at in found.items()}


def read(*chunks: bytes, dev: DeviceFile | None = None) -> tuple[dict[str, list[float]], Driver]:
    one = driver(dev or device())
    return values([r for chunk in chunks for r in one.receive(chunk, 0)]), one


def test_recorded_frames_read_as_their_source_says() -> None:
    got, one = read(BASIC, CELLS)
    expected = RECORDED["expected"]
    assert got["string_voltage"] == [expected["voltage"]]
    assert got["current"] == [expected["current"]]
    assert got["foreign_soc"] == [expected["battery_level"] / 100]
    assert got["cell_voltage"] == expected["cell_voltages"]
    assert got["temp_degC"] == pytest.approx(expected["temp_values"])
    assert got["feedback_charge"] == [expected["chrg_mosfet"]]
    assert got["feedback_discharge"] == [expected["dischrg_mosfet"]]
    assert got["cell_bleeding"] == [0, 0, 0, 0]
    assert got["foreign_alarm"] == [0]
    assert one.counters.good == 2
    assert not one.counters.bad


@pytest.mark.parametrize("line", [322, 329])
def test_protection_raises_the_alarm(line: int) -> None:
    assert read(BY_LINE[line])[0]["foreign_alarm"] == [1]


@pytest.mark.parametrize(("flag", "current"), [(0x80, -28.7), (0x00, -2.87), (0x7F, -2.87)])
def test_large_packs_count_in_tenths_of_an_ampere(flag: int, current: float) -> None:
    data = BASIC[4:-3] + bytes((flag, 0, 0))
    body = bytes((0, len(data))) + data
    got, _ = read(b"\xdd\x03" + body + sum16_negative(body).to_bytes(2, "big") + b"\x77")
    assert got["current"] == [current]
    assert got["string_voltage"] == [15.6]
    assert got["temp_degC"] == pytest.approx(RECORDED["expected"]["temp_values"])


def test_padding_of_the_radio_is_passed_over() -> None:
    got, one = read(BY_LINE[176], BY_LINE[170])
    assert got["cell_voltage"] == RECORDED["expected"]["cell_voltages"]
    assert got["string_voltage"] == [15.6]
    assert one.counters.good == 2


def test_wrong_tail_is_refused_and_the_next_frame_read() -> None:
    got, one = read(CUT_TAIL, CELLS)
    assert "string_voltage" not in got
    assert got["cell_voltage"] == RECORDED["expected"]["cell_voltages"]
    assert one.counters.bad["tail"] == 2  # DD in the place of the tail reads as another head


@given(st.integers(1, len(BASIC) - 1), st.binary(max_size=20).filter(lambda b: b"\xdd" not in b))
def test_any_cut_and_any_garbage_between(cut: int, garbage: bytes) -> None:
    got, one = read(garbage + BASIC[:cut], BASIC[cut:] + garbage, CELLS)
    assert got["string_voltage"] == [15.6]
    assert got["cell_voltage"] == RECORDED["expected"]["cell_voltages"]
    assert one.counters.good == 2


@given(st.integers(1, len(BASIC) - 1))
def test_half_a_frame_costs_at_most_one_more(cut: int) -> None:
    assert read(BASIC[:cut], BASIC, CELLS, BASIC, CELLS)[1].counters.good >= 3


@given(st.integers(0, len(BASIC) * 8 - 1))
def test_any_flipped_bit_is_refused(bit: int) -> None:
    data = bytearray(BASIC)
    data[bit // 8] ^= 1 << bit % 8
    got, one = read(bytes(data))
    # the command byte is outside the device's checksum: the frame then reads as another command, of another shape
    assert got == {} or bit // 8 == 1
    assert "string_voltage" not in got
    assert one.counters.good == 0 or bit // 8 == 1


def test_questions_are_those_that_everybody_sends_one_at_a_time() -> None:
    one = driver(device())
    assert one.due(0) == [bytes.fromhex("dda50300fffd77")]
    assert one.due(100 * MS) == []  # still waiting for the answer
    one.receive(BASIC, 100 * MS)
    assert one.due(100 * MS) == [bytes.fromhex("dda50400fffc77")]
    assert one.due(360 * MS) == []
    assert one.due(500 * MS) == [bytes.fromhex("dda50300fffd77")]


@pytest.mark.parametrize(
    ("charge", "discharge", "hexes"),
    [
        (True, True, "dd5ae1020000ff1d77"),
        (False, True, "dd5ae1020001ff1c77"),
        (True, False, "dd5ae1020002ff1b77"),
        (False, False, "dd5ae1020003ff1a77"),
    ],
)
def test_mosfet_orders(charge: bool, discharge: bool, hexes: str) -> None:
    order = Order(charge_switch=charge, discharge_switch=discharge)
    assert driver(device(authority="switch")).order(order, 0) == [bytes.fromhex(hexes)]
    assert driver(device(authority="limit")).order(order, 0) == []
    box = emulator(device())
    box.receive(bytes.fromhex(hexes), 0)
    now = box.outputs(3600_000 * MS)  # it holds
    assert (now.charge_switch, now.discharge_switch) == (charge, discharge)


def test_order_that_does_not_change_is_repeated_every_two_seconds_only() -> None:
    one = driver(device(authority="switch"))
    on, off = (Order(charge_switch=on, discharge_switch=on) for on in (True, False))
    sent = [len(one.order(on, ms * MS)) for ms in range(0, 5000, 20)]
    assert sum(sent) == 3
    assert len(one.order(off, 5000 * MS)) == 1  # a change goes out at once
    assert len(one.order(off, 5020 * MS)) == 0


def test_order_that_says_only_half_is_not_sent() -> None:
    assert driver(device(authority="switch")).order(Order(charge_switch=False), 0) == []


def test_line_that_echoes_our_question_is_no_answer() -> None:
    got, one = read(bytes.fromhex("dda50300fffd77"), BASIC)
    assert got["string_voltage"] == [15.6]
    assert one.counters.good == 1
    assert not one.counters.bad


def test_refusal_is_counted() -> None:
    assert read(bytes.fromhex("dd038000ff8077"))[1].counters.bad["refused"] == 1


def test_limits_are_what_the_pack_is_built_for() -> None:
    got, _ = read(BASIC, dev=device(options={"charge_A": 50.0, "discharge_A": 80.0}))
    assert (got["foreign_charge_limit"], got["foreign_discharge_limit"]) == ([50.0], [80.0])


def test_limits_that_nobody_said_are_not_to_be_had() -> None:
    assert "foreign_charge_limit" not in read(BASIC)[0]
    with pytest.raises(ValueError, match="'foreign_charge_limit', which jbd does not carry with these options"):
        driver(device(signals=["foreign_charge_limit"]))


def test_protection_against_over_voltage_takes_the_charge_limit_only() -> None:
    box = emulator(device())
    box.receive(bytes.fromhex("dda50300fffd77"), 0)
    state = {"string_voltage": 13.2, "current": 0.0, "foreign_soc": 0.5, "temp_degC": [20.0]}
    state |= {"feedback_charge": 0.0, "feedback_discharge": 1.0, "foreign_alarm": 1.0}
    (answer,) = box.frames(state, 0)
    assert isinstance(answer, bytes)
    got, _ = read(answer, dev=device(options={"charge_A": 50.0, "discharge_A": 80.0}))
    assert (got["foreign_charge_limit"], got["foreign_discharge_limit"]) == ([0.0], [80.0])
    assert got["foreign_alarm"] == [1.0]


CELL_V = [3.301 + i / 1000 for i in range(16)]
STATE: dict[str, Any] = {
    "string_voltage": 52.94,
    "current": -123.45,
    "foreign_soc": 0.42,
    "temp_degC": [-5.0, 31.4],
    "cell_voltage": CELL_V,
    "cell_bleeding": [i in (0, 8, 15) for i in range(16)],
}
BIG = {"cells": 16, "temperatures": 2, "options": {"capacity_Ah": 280.0}}


def test_emulated_answers_are_those_that_other_software_reads() -> None:
    """aiobmsble 0.31.0 read these bytes: 52.94 V, -123.45 A, 117.6 of 280 Ah, 42 %, -5.0 and 31.4 degC, 16 cells."""
    box = emulator(device(**BIG))
    answers = []
    for question in ("dda50300fffd77", "dda50400fffc77"):
        box.receive(bytes.fromhex(question), 0)
        answers += box.frames({**STATE, "cell_bleeding": [0] * 16}, 0)
    assert [a.hex() for a in answers if isinstance(a, bytes)] == [
        "dd03001b14aecfc72df06d6000000000000000000000802a0310020a790be5f97177",
        "dd0400200ce50ce60ce70ce80ce90cea0ceb0cec0ced0cee0cef0cf00cf10cf20cf30cf4f05877",
    ]


@pytest.fixture
def pack() -> Iterator[str]:
    """Run an emulated pack on a pseudo terminal and give its path."""
    master, slave = os.openpty()
    stop = threading.Event()
    serving = open_link(f"pty:{os.ttyname(slave)}")  # keeps the line raw and open

    def serve() -> None:
        box = emulator(device(**BIG))
        os.set_blocking(master, False)
        while not stop.wait(0.002):
            try:
                box.receive(os.read(master, 100), 0)
            except BlockingIOError:
                continue
            for answer in box.frames(STATE, 0):
                assert isinstance(answer, bytes)
                for i in range(0, len(answer), 20):  # in pieces, as a radio does
                    os.write(master, answer[i : i + 20])

    thread = threading.Thread(target=serve)
    thread.start()
    yield os.ttyname(slave)
    stop.set()
    thread.join()
    serving.close()
    os.close(master)
    os.close(slave)


def test_pack_on_a_pseudo_terminal(pack: str) -> None:
    one, line, found = driver(device(**BIG)), open_link(f"pty:{pack}"), {}
    deadline = time.monotonic() + 10
    while not {"cell_voltage", "current"} <= set(found):
        assert time.monotonic() < deadline
        for question in one.due(time.monotonic_ns()):
            line.send(question)
        if got := line.receive(0.05):
            assert isinstance(got[0], bytes)
            found |= values(one.receive(*got))
    line.close()
    assert found["cell_voltage"] == pytest.approx(CELL_V)
    assert found["current"] == [-123.45]
    assert found["temp_degC"] == [-5.0, 31.4]
    assert found["foreign_soc"] == [0.42]
    assert found["cell_bleeding"] == [float(i in (0, 8, 15)) for i in range(16)]
    assert not one.counters.bad
