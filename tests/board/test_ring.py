"""A reader sees whole records in order, and knows what it missed."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from cellarer.board.ring import HEADER_SIZE, SLOT, BoardError, RingReader, RingWriter, create_ring
from cellarer.guard.files import Ring


def number(i: int) -> bytes:
    return struct.pack("<Q", i) + bytes([i % 251]) * (i % 40)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_ring(tmp_path / "ring", 48, 16)
    return tmp_path / "ring"


def test_records_come_whole_and_in_order(path: Path) -> None:
    writer, reader, guard = RingWriter(path), RingReader(path), Ring(path)
    assert reader.read() == guard.fresh() == []
    assert reader.newest() is guard.newest() is None
    for i in range(10):
        assert writer.write(number(i)) == i
    assert reader.read(4) == [number(i) for i in range(4)]
    assert reader.read() == [number(i) for i in range(4, 10)]
    assert guard.fresh() == [number(i) for i in range(10)]
    assert reader.newest() == guard.newest() == number(9)
    assert (reader.lost, reader.torn) == (0, 0)


@pytest.mark.parametrize(("late", "lost"), [(15, 0), (16, 0), (17, 1), (40, 24)])
def test_who_is_late_loses_nothing_within_the_ring_and_counts_beyond(path: Path, late: int, lost: int) -> None:
    writer, reader, guard = RingWriter(path), RingReader(path), Ring(path)
    for i in range(late):
        writer.write(number(i))
    kept = [number(i) for i in range(lost, late)]
    assert reader.read() == guard.fresh() == kept
    assert reader.lost == lost


def test_a_reader_may_begin_with_the_oldest(path: Path) -> None:
    writer = RingWriter(path)
    for i in range(20):
        writer.write(number(i))
    assert RingReader(path, oldest=True).read() == [number(i) for i in range(4, 20)]
    assert RingReader(path).read() == []


def test_every_damaged_byte_of_a_record_is_noticed(path: Path) -> None:
    writer = RingWriter(path)
    for i in range(16):
        writer.write(number(i))
    start = HEADER_SIZE + 5 * writer.slot_size
    for at in range(start, start + SLOT.size + len(number(5))):
        with open(path, "r+b") as file:
            file.seek(at)
            good = file.read(1)
            file.seek(at)
            file.write(bytes([good[0] ^ 0x20]))
            file.flush()
            reader = RingReader(path, oldest=True)
            assert reader.read() == [number(i) for i in range(16) if i != 5], at
            assert reader.lost + reader.torn == 1
            file.seek(at)
            file.write(good)


def test_a_writer_that_died_in_a_record_hurts_nobody(path: Path) -> None:
    writer = RingWriter(path)
    for i in range(3):
        writer.write(number(i))
    writer._view[HEADER_SIZE + 3 * writer.slot_size : HEADER_SIZE + 3 * writer.slot_size + 8] = b"\x03" + bytes(7)
    reader = RingReader(path, oldest=True)
    again = RingWriter(path)
    assert again.epoch == reader.epoch == 2
    assert again.write(number(3)) == 3
    assert reader.read() == [number(i) for i in range(4)]


def test_readers_never_see_a_torn_record_of_a_running_writer(tmp_path: Path) -> None:
    create_ring(tmp_path / "ring", 4096, 4)
    code = (
        "import sys, struct, zlib, os\n"
        "from pathlib import Path\n"
        "from cellarer.board.ring import RingWriter\n"
        "w = RingWriter(Path(sys.argv[1])); i = 0\n"
        "parent = os.getppid()\n"
        "while os.getppid() == parent:\n"
        "    i += 1\n"
        "    body = bytes([i % 256]) * (4000 - i % 7)\n"
        "    w.write(struct.pack('<I', zlib.crc32(body)) + body)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "ring")])
    try:
        reader, guard, seen = RingReader(tmp_path / "ring"), Ring(tmp_path / "ring"), 0
        until = time.monotonic() + 1.5
        while time.monotonic() < until or not seen:
            assert process.poll() is None
            for record in [*reader.read(), *guard.fresh(), reader.newest(), guard.newest()]:
                if record is not None:
                    seen += 1
                    assert zlib.crc32(record[4:]) == struct.unpack_from("<I", record)[0]
                    assert len(set(record[4:])) == 1
        assert reader.lost > 0, "the writer was faster than the reader, as meant"
    finally:
        process.kill()
        process.wait()


def test_random_readers_account_for_every_record(path: Path) -> None:
    dice, writer = random.Random(3), RingWriter(path)
    readers = [RingReader(path) for _ in range(3)]
    got = [0, 0, 0]
    for i in range(3000):
        writer.write(number(i))
        for k, reader in enumerate(readers):
            if dice.random() < 0.02 * (k + 1):
                got[k] += len(reader.read())
    for k, reader in enumerate(readers):
        assert got[k] + len(reader.read()) + reader.lost == 3000
        assert reader.torn == 0


def test_too_long_a_record_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        RingWriter(path).write(bytes(49))


def test_only_the_owner_may_read(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"CELLRING", b"CELLRING" + bytes(200), b"x" * 832])
def test_what_is_no_ring_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(BoardError, match="start the site"):
        RingReader(tmp_path / "x")
    with pytest.raises(BoardError, match="missing"):
        RingReader(tmp_path / "absent")


def test_writers_take_turns(tmp_path: Path) -> None:
    create_ring(tmp_path / "ring", 16, 4096)
    children = []
    for k in range(4):
        if (pid := os.fork()) == 0:
            writer = RingWriter(tmp_path / "ring")
            for i in range(500):
                with writer.alone():
                    writer.write(struct.pack("<II", k, i))
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    reader = RingReader(tmp_path / "ring", oldest=True)
    records = [struct.unpack("<II", r) for r in reader.read()]
    assert sorted(records) == [(k, i) for k in range(4) for i in range(500)]
