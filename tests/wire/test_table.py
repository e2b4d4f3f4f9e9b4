"""Tables: layout, scale, saturation, "not available", blocks and checks, against hand-made bytes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellarer.wire.codec import pack, texts, unpack
from cellarer.wire.crc import crc8_j1850, sum16_negative
from cellarer.wire.errors import BadFrame
from cellarer.wire.frame import Reading
from cellarer.wire.table import Blocks, Field, Message, Option, Protocol, Role, configured


def message(*fields: Field, length: int = 8) -> Message:
    return Message("m", 0x100, fields, length)


def test_crc_has_the_published_check_value() -> None:
    assert crc8_j1850(b"123456789") == 0x4B  # CRC catalogue: CRC-8/SAE-J1850


def test_jbd_sum_is_that_of_its_known_request() -> None:
    assert sum16_negative(bytes((0x03, 0x00))) == 0xFFFD


def test_byte_orders() -> None:
    m = message(Field("a", 0, 16), Field("b", 2, 16, big=True), Field("c", 4, 32, big=True, signed=True))
    assert pack(m, {"a": 0x1234, "b": 0x1234, "c": -2}) == bytes.fromhex("34121234fffffffe")
    assert unpack(m, bytes.fromhex("34121234fffffffe")) == [("a", 0, 0x1234), ("b", 0, 0x1234), ("c", 0, -2)]


def test_bits_and_arrays_of_bits() -> None:
    m = message(Field("bits", 0, 1, count=12), Field("pair", 1, 2, bit=6), length=2)
    assert pack(m, {"bits": [1] + 10 * [0] + [1], "pair": 2}) == bytes((0x01, 0x88))


@pytest.mark.parametrize(("value", "code"), [(1e9, 0x7FFF), (-1e9, -0x8000), (math.inf, 0x7FFF), (-math.inf, -0x8000)])
def test_values_beyond_the_field_saturate(value: float, code: int) -> None:
    assert Field("v", 0, 16, signed=True, scale=0.1).raw(value) == code


def test_saturation_never_reads_as_not_available() -> None:
    f = Field("v", 0, 16, unknown=0xFFFF)
    assert f.raw(1e9) == 0xFFFE
    assert f.raw(math.nan) == 0xFFFF


def test_unknown_value_without_a_code_leaves_the_message_out() -> None:
    m = message(Field("known", 0, 8), Field("lost", 1, 8))
    assert pack(m, {"known": 1.0, "lost": math.nan}) is None
    assert pack(m, {"known": 1.0}) is None


def test_not_available_is_read_as_nan() -> None:
    m = message(Field("v", 0, 8, unknown=255), length=1)
    assert math.isnan(unpack(m, b"\xff")[0].value)


def test_device_that_declares_its_values_wrong_gives_nan() -> None:
    m = message(Field("v", 0, 8), Field("error", 1, 1, role=Role.INVALID), length=2)
    assert unpack(m, b"\x05\x00") == [Reading("v", 0, 5.0)]
    assert math.isnan(unpack(m, b"\x05\x01")[0].value)


def test_code_outside_its_range_makes_the_frame_bad() -> None:
    m = message(Field("v", 0, 8, high=200, unknown=255), length=1)
    assert unpack(m, bytes((200,)))[0].value == 200
    with pytest.raises(BadFrame, match="allowed 0 to 200"):
        unpack(m, bytes((201,)))


def test_short_frame_and_wrong_constant_are_bad() -> None:
    m = message(Field("mark", 0, 8, role=Role.CONSTANT, value=7), Field("v", 1, 8), length=2)
    assert unpack(m, b"\x07\x01")
    with pytest.raises(BadFrame, match="length"):
        unpack(m, b"\x07")
    with pytest.raises(BadFrame, match="constant"):
        unpack(m, b"\x06\x01")


def test_blocks_shift_the_index() -> None:
    m = Message(
        "cells",
        0x10,
        (Field("v", 0, 8, count=3, unknown=255), Field("n", 3, 8, role=Role.BLOCK)),
        length=4,
        blocks=Blocks("cell", 3),
    )
    data = pack(m, {"v": [10, 11, 12, 13, 14]}, block=1)
    assert data == bytes((13, 14, 255, 1))
    assert [(r.at, r.value) for r in unpack(m, data)][:2] == [(3, 13), (4, 14)]


def test_number_of_elements_that_does_not_fit_is_bad() -> None:
    m = message(Field("n", 0, 8, role=Role.COUNT), Field("v", 1, 16, big=True, count="n"), length=1)
    assert pack(m, {"v": [1, 2]}) == bytes((2, 0, 1, 0, 2))
    assert [r.value for r in unpack(m, bytes((1, 0, 1, 9, 9)))] == [1]
    with pytest.raises(BadFrame, match="length"):
        unpack(m, bytes((3, 0, 1, 0, 2)))


def test_texts_are_padded_and_never_raise() -> None:
    m = message(Field("name", 0, 64, role=Role.TEXT, text="PYLON"))
    assert pack(m, {}) == b"PYLON   "
    assert texts(m, b"PYLON   ") == {"name": "PYLON"}
    assert texts(m, b"\xff\x01A\0\0\0\0\0") == {"name": "??A"}


@given(st.floats(allow_nan=False), st.booleans(), st.sampled_from([1, 2, 5, 8, 16, 32]))
def test_what_is_packed_comes_back_within_half_a_step(value: float, signed: bool, bits: int) -> None:
    f = Field("v", 0, bits, signed=signed, scale=0.1, offset=-5)
    data = pack(message(f), {"v": value})
    assert data is not None
    low, high = f.raw_low * 0.1 - 5, f.raw_high * 0.1 - 5
    assert unpack(message(f), data)[0].value == pytest.approx(min(max(value, low), high), abs=0.0501)


@given(st.binary(max_size=12))
def test_any_bytes_give_readings_or_a_bad_frame(data: bytes) -> None:
    m = message(Field("a", 0, 12), Field("b", 2, 16, big=True, high=999), Field("crc", 7, 8, role=Role.CRC))
    try:
        readings = unpack(m, data, frame_id=0x100)
    except BadFrame:
        return
    assert all(0 <= r.value <= 4095 for r in readings)


PROTOCOL = Protocol(
    "p", "P", "loopback-verified", "can", options={"n": Option(3, "a number", (1, 9)), "w": Option("x", "", ("x", "y"))}
)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"z": 1}, "options.z is unknown to protocol p; allowed: n, w"),
        ({"n": 10}, "options.n = 10; allowed 1 to 9"),
        ({"n": True}, "options.n = True must be a number"),
        ({"w": "z"}, "options.w = 'z'; allowed: x, y"),
    ],
)
def test_wrong_options_are_named(options: dict[str, float | str], says: str) -> None:
    with pytest.raises(ValueError, match="d: ") as error:
        configured(PROTOCOL, options, "d")
    assert says in str(error.value)
