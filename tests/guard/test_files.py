"""The guard's own reading and writing of rings, samples, wishes and orders."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from tests.guard.world import WISH

from cellarer.board.ring import RingWriter, create_ring
from cellarer.guard.decide import Orders
from cellarer.guard.files import FilesError, Ring, gate_record, parse_wish, readings


def test_what_is_no_sample_record_reads_as_nothing() -> None:
    good = struct.pack("<qIIIdId", 5, 1, 2, 3, 1.5, 4, 2.5)
    assert readings(good) == (5, [(3, 1.5), (4, 2.5)])
    for wrong in (b"", good[:15], good[:-1], good + b"\0", good[:-12]):
        assert readings(wrong) == (0, [])
    assert readings(struct.pack("<qII", 5, 1, 0)) == (5, [])


@pytest.mark.parametrize("wrong", ("magic", "strings", "packs", "cells", "short", "long"))
def test_what_is_no_wish_of_this_site_is_none(wrong: str) -> None:
    good = b"WISH" + gate_record(WISH, 4)[4:]
    assert parse_wish(good, 1, 1, 4) == WISH
    head = list(struct.unpack_from("<4sHHI", good))
    if wrong in ("short", "long"):
        bad = good[:-1] if wrong == "short" else good + b"\0"
    else:
        place = ("magic", "strings", "packs", "cells").index(wrong)
        head[place] = b"GATE" if wrong == "magic" else head[place] + 1
        bad = struct.pack("<4sHHI", *head) + good[12:]
    assert parse_wish(bad, 1, 1, 4) is None
    assert parse_wish(None, 1, 1, 4) is None
    assert parse_wish(good, 1, 1, 12) is None and parse_wish(b"WISH" + gate_record(WISH._replace(leaving=True), 4)[4:],
                                                             1, 1, 4) == WISH._replace(leaving=True)  # fmt: skip


def test_an_order_for_many_strings_and_packs_comes_back_as_it_was() -> None:
    strings = tuple((i, 1.0 + i, 2.0 + i, 3.0 + i, 4.0 + i) for i in range(5))
    packs = tuple((i, 0.5 + i, 0.25 + i) for i in range(3))
    order = Orders(7, -8, 9, b"12345678", True, strings, packs, bytes(range(1, 21)))
    data = b"WISH" + gate_record(order, 9)[4:]
    assert parse_wish(data, 5, 3, 9) == order
    data = data[:12] + b"\x06" + data[13:]  # flags that mean nothing to us
    assert parse_wish(data, 5, 3, 9) == order._replace(leaving=False)


class Board:
    """A small ring file with a writer that counts as the board's, and the guard's reader."""

    def __init__(self, folder: Path, slots: int = 4) -> None:
        self.path = folder / "ring"
        create_ring(self.path, 8, slots)
        self.writer, self.reader = RingWriter(self.path), Ring(self.path)

    def tear(self, at: int, byte: int = 16) -> None:
        """Damage the record in a slot; byte 0 = its sequence number, 8 = its length, 16 = its content."""
        data = bytearray(self.path.read_bytes())
        slot = (len(data) - 64) // 4
        place = 64 + at * slot + byte
        with open(self.path, "r+b") as file:
            file.seek(place)
            file.write(bytes([data[place] ^ 1]))


def test_a_reader_takes_each_whole_record_once(tmp_path: Path) -> None:
    board = Board(tmp_path)
    assert board.reader.fresh() == [] and board.reader.newest() is None
    for i in range(3):
        board.writer.write(bytes([i] * 8))
    assert board.reader.fresh() == [bytes([i] * 8) for i in range(3)]
    assert board.reader.fresh() == []
    assert board.reader.newest() == bytes([2] * 8)


def test_a_reader_begins_with_what_comes_and_one_slot_is_enough(tmp_path: Path) -> None:
    create_ring(tmp_path / "ring", 8, 1)
    writer = RingWriter(tmp_path / "ring")
    writer.write(b"before")
    reader = Ring(tmp_path / "ring")
    assert reader.fresh() == [] and reader.newest() == b"before"
    writer.write(b"after")
    assert reader.fresh() == [b"after"]


def test_what_is_overwritten_or_torn_is_not_there(tmp_path: Path) -> None:
    board = Board(tmp_path)
    for i in range(6):
        board.writer.write(bytes([i] * 8))
    assert board.reader.fresh() == [bytes([i] * 8) for i in range(2, 6)]
    for i in range(6, 9):
        board.writer.write(bytes([i] * 8))
    board.tear(7 % 4)
    assert board.reader.fresh() == [bytes([6] * 8), bytes([8] * 8)]
    board.tear(8 % 4)
    assert board.reader.newest() is None, "the newest two are torn: nothing older counts"


def test_the_newest_but_one_stands_in_for_a_torn_one(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.writer.write(b"a" * 8)
    board.tear(0)
    assert board.reader.newest() is None
    board.writer.write(b"b" * 8)
    board.writer.write(b"c" * 8)
    board.tear(2)
    assert board.reader.newest() == b"b" * 8
    board.writer.write(b"d" * 8)
    board.writer.write(b"e" * 8)
    assert board.reader.newest() == b"e" * 8


@pytest.mark.parametrize("byte", (0, 8, 11, 12, 16))
def test_a_record_of_another_number_length_or_sum_is_none(tmp_path: Path, byte: int) -> None:
    board = Board(tmp_path)
    board.writer.write(b"a" * 8)
    board.writer.write(b"b" * 8)
    board.tear(1, byte)
    assert board.reader.newest() == b"a" * 8
    assert board.reader.fresh() == [b"a" * 8]


@pytest.mark.parametrize("length", (8, 9, 12))
def test_a_record_that_is_longer_than_its_slot_is_none(tmp_path: Path, length: int) -> None:
    board = Board(tmp_path)
    board.writer.write(b"a" * 8)
    data = b"b" * length
    with open(board.path, "r+b") as file:
        file.seek(64)
        file.write(struct.pack("<QII", 0, length, zlib.crc32(data, zlib.crc32(struct.pack("<QI", 0, length)))) + data)
    assert board.reader.fresh() == ([data] if length == 8 else [])


@pytest.mark.parametrize(("at", "value"), [(0, b"X"), (8, b"\x02"), (12, b"\x01"), (16, b"\x09"), (16, b"\x00")])
def test_a_file_that_is_no_ring_is_refused(tmp_path: Path, at: int, value: bytes) -> None:
    board = Board(tmp_path)
    with open(board.path, "r+b") as file:
        file.seek(at)
        file.write(value)
    with pytest.raises(FilesError, match="not a ring"):
        Ring(board.path)
    board.path.write_bytes(struct.pack("<8sIIQQQ24x", b"CELLRING", 1, 24, 0, 0, 0))
    with pytest.raises(FilesError, match="not a ring"):
        Ring(board.path)
    board.path.write_bytes(board.path.read_bytes()[:63])
    with pytest.raises(FilesError, match="63 bytes"):
        Ring(board.path)


def test_writing_counts_starts_and_refuses_what_does_not_fit(tmp_path: Path) -> None:
    board = Board(tmp_path)
    assert board.reader.epoch == 1
    writer = Ring(board.path, write=True)
    assert writer.epoch == board.reader.epoch == 2 and writer.room == 8
    writer.write(b"12345678")
    writer.write(b"1")
    assert board.reader.fresh() == [b"12345678", b"1"] and writer.next == 2
    with pytest.raises(FilesError, match="9 bytes"):
        writer.write(b"123456789")
