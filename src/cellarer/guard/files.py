"""The guard's own code for the files on the board: rings of samples, control's wish, the gate, its own status.

Written from the description of the formats, not from the other side's code, so that one mistake is not made twice.
Whatever is not whole and exactly as described is not there.
"""

import mmap
import os
import struct
import zlib
from pathlib import Path

from cellarer.guard.decide import Orders, cell_bytes

RING_HEAD = struct.Struct("<8sIIQQQ")  # magic, version, slot size, slots, next sequence, epoch
RING_START = 64
SLOT = struct.Struct("<QII")  # sequence, length, CRC-32
MARK = struct.Struct("<QI")
SAMPLE = struct.Struct("<qII")  # time_ns, frames, pairs
PAIR = struct.Struct("<Id")
ORDER = struct.Struct("<4sHHIIQqq8s")  # magic, strings, packs, cells, flags, counter, time_ns, expires_ns, site
STRING = struct.Struct("<B7x4d")
PACK = struct.Struct("<B7x2d")
LEAVING = 1


class FilesError(Exception):
    """A board file is not what it should be."""


class Ring:
    """A ring file, for reading from now on or for writing."""

    def __init__(self, path: Path, *, write: bool = False) -> None:
        with open(path, "r+b" if write else "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < RING_START:
                raise FilesError(f"{path} has only {size} bytes")
            self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_WRITE if write else mmap.ACCESS_READ)
        magic, version, self._slot, self._slots, self._place, _ = RING_HEAD.unpack_from(self._map)
        if magic != b"CELLRING" or version != 1 or size != RING_START + self._slot * self._slots or self._slots < 1:
            raise FilesError(f"{path} is not a ring of version 1")
        self._words = memoryview(self._map)[:RING_START].cast("Q")
        if write:
            self._words[4] += 1

    @property
    def next(self) -> int:
        """Sequence number of the record to come."""
        return self._words[3]

    @property
    def epoch(self) -> int:
        """How often the writer was started."""
        return self._words[4]

    @property
    def room(self) -> int:
        """Longest record, in bytes."""
        return int(self._slot - SLOT.size)

    def fresh(self) -> list[bytes]:
        """Return the whole records since the last call; what is torn or overwritten is not there."""
        end = self.next
        first, self._place = max(self._place, end - self._slots), end
        return [record for n in range(first, end) if (record := self._record(n)) is not None]

    def newest(self) -> bytes | None:
        """Return the newest record, the one before if that is not whole, else None."""
        end = self.next
        for sequence in (end - 1, end - 2):
            record = self._record(sequence)
            if record is not None:
                return record
        return None

    def _record(self, sequence: int) -> bytes | None:
        at = RING_START + sequence % self._slots * self._slot
        for _ in range(5):
            found, length, crc = SLOT.unpack_from(self._map, at)
            if found == sequence and length <= self._slot - SLOT.size:
                data = self._map[at + SLOT.size : at + SLOT.size + length]
                if zlib.crc32(data, zlib.crc32(MARK.pack(found, length))) == crc:
                    return data
        return None

    def write(self, data: bytes) -> None:
        """Put a record."""
        if len(data) > self._slot - SLOT.size:
            raise FilesError(f"a record of {len(data)} bytes does not fit")
        sequence = self._words[3]
        at = RING_START + sequence % self._slots * self._slot
        crc = zlib.crc32(data, zlib.crc32(MARK.pack(sequence, len(data))))
        self._map[at : at + SLOT.size + len(data)] = SLOT.pack(sequence, len(data), crc) + data
        self._words[3] = sequence + 1


def readings(record: bytes) -> tuple[int, list[tuple[int, float]]]:
    """Return (time_ns, [(signal number, value)]) of a sample record; nothing if it is not one."""
    if len(record) < SAMPLE.size:
        return 0, []
    time_ns, _, count = SAMPLE.unpack_from(record)
    if len(record) != SAMPLE.size + count * PAIR.size:
        return 0, []
    return time_ns, list(PAIR.iter_unpack(record[SAMPLE.size :]))


def parse_wish(record: bytes | None, strings: int, packs: int, cells: int) -> Orders | None:
    """Return the wish in a record; None unless it has the magic and exactly the size that the site asks for."""
    tail = ORDER.size + strings * STRING.size
    size = tail + packs * PACK.size + cell_bytes(cells)
    if record is None or len(record) != size:
        return None
    magic, n_string, n_pack, n_cell, flags, counter, time_ns, expires_ns, site = ORDER.unpack_from(record)
    if magic != b"WISH" or (n_string, n_pack, n_cell) != (strings, packs, cells):
        return None
    return Orders(
        counter,
        time_ns,
        expires_ns,
        site,
        bool(flags & LEAVING),
        tuple(STRING.iter_unpack(record[ORDER.size : tail])),
        tuple(PACK.iter_unpack(record[tail : tail + packs * PACK.size])),
        record[tail + packs * PACK.size :],
    )


def gate_record(orders: Orders, cells: int) -> bytes:
    """Return the record that the links obey: the form of a wish under another name."""
    head = ORDER.pack(
        b"GATE",
        len(orders.strings),
        len(orders.packs),
        cells,
        LEAVING if orders.leaving else 0,
        orders.counter,
        orders.time_ns,
        orders.expires_ns,
        orders.site,
    )
    strings = b"".join(STRING.pack(*s) for s in orders.strings)
    return head + strings + b"".join(PACK.pack(*p) for p in orders.packs) + orders.cells
