"""A ring of records in a mapped file: one writer, any number of readers in other processes, no locks.

Every record carries its sequence number and a CRC, so that a reader tells a good record from one that is torn (read
while it was written, or left half-written by a writer that was killed) and from one that was overwritten. A reader
keeps its own place: who comes late within the ring's length loses nothing, who comes later learns how much it lost.
`newest` makes the same file a board with one slate: the latest value, whole or not at all.

File: 64 bytes of header, then `slots` slots of `slot_size` bytes. Header: magic 8s, version u32, slot_size u32,
slots u64, next sequence u64, epoch u64 (how often a writer began). Slot: sequence u64, length u32, CRC-32 u32 of
sequence, length and payload, then the payload. Little endian. guard/ reads this format with its own code.
"""

import fcntl
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAGIC = b"CELLRING"
VERSION = 1
HEADER = struct.Struct("<8sIIQQQ")
HEADER_SIZE = 64
NEXT_AT, EPOCH_AT = 3, 4  # as 8-byte words of the header
SLOT = struct.Struct("<QII")
MARK = struct.Struct("<QI")
_ATTEMPTS = 8  # a reader that finds a record torn looks again: a slot is written in microseconds


class BoardError(Exception):
    """A board file is missing or is not what it should be; it says which and what to do."""


def create_ring(path: Path, payload_size: int, slots: int) -> None:
    """Make an empty ring file, readable by its owner only, in one step: nobody sees half a file."""
    slot_size = -(-(SLOT.size + payload_size) // 8) * 8
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.truncate(fd, HEADER_SIZE + slot_size * slots)
        os.pwrite(fd, HEADER.pack(MAGIC, VERSION, slot_size, slots, 0, 0), 0)
    finally:
        os.close(fd)
    temporary.rename(path)


class _Ring:
    """What writer and reader share: the map and its geometry."""

    def __init__(self, path: Path, *, write: bool) -> None:
        try:
            fd = os.open(path, os.O_RDWR if write else os.O_RDONLY)
        except FileNotFoundError:
            raise BoardError(f"{path} is missing: is the site running?") from None
        try:
            size = os.fstat(fd).st_size
            if size < HEADER_SIZE:
                raise BoardError(f"{path} has {size} bytes, a ring has at least {HEADER_SIZE}: start the site again")
            self._map = mmap.mmap(fd, size, access=mmap.ACCESS_WRITE if write else mmap.ACCESS_READ)
            self._fd = os.dup(fd) if write else -1
        finally:
            os.close(fd)
        magic, version, self.slot_size, self.slots, _, _ = HEADER.unpack_from(self._map)
        if magic != MAGIC or version != VERSION or size != HEADER_SIZE + self.slot_size * self.slots or not self.slots:
            raise BoardError(f"{path} is not a ring of version {VERSION}: start the site again with one version")
        self.path = path
        self.payload_size = self.slot_size - SLOT.size
        self._view = memoryview(self._map)
        self._words = self._view[:HEADER_SIZE].cast("Q")  # single 8-byte loads and stores

    @property
    def next(self) -> int:
        """The sequence number that the next record will carry; 0 = nothing was ever written."""
        return self._words[NEXT_AT]

    @property
    def epoch(self) -> int:
        """How often a writer began: a change means that the writer was started again."""
        return self._words[EPOCH_AT]

    def close(self) -> None:
        """Let go of the file."""
        self._words.release()
        self._view.release()
        self._map.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class RingWriter(_Ring):
    """The one writer of a ring. Started again, it goes on where the last one stopped."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, write=True)
        self._words[EPOCH_AT] += 1

    def write(self, payload: bytes | bytearray | memoryview) -> int:
        """Put a record and return its sequence number. Raises ValueError when it does not fit a slot."""
        length = len(payload)
        if length > self.payload_size:
            raise ValueError(f"{self.path.name}: a record of {length} bytes does not fit into {self.payload_size}")
        sequence = self._words[NEXT_AT]
        at = HEADER_SIZE + sequence % self.slots * self.slot_size
        crc = zlib.crc32(payload, zlib.crc32(MARK.pack(sequence, length)))
        self._view[at : at + SLOT.size] = SLOT.pack(sequence, length, crc)
        self._view[at + SLOT.size : at + SLOT.size + length] = payload
        self._words[NEXT_AT] = sequence + 1
        return sequence

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other writers of the same ring away, for rings into which several processes write."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)


class RingReader(_Ring):
    """A reader with its own place. It begins with the next record, or with the oldest one there is."""

    def __init__(self, path: Path, *, oldest: bool = False) -> None:
        super().__init__(path, write=False)
        self.lost = 0  # overwritten before they were read
        self.torn = 0  # skipped because they never became whole
        self.place = max(self.next - self.slots, 0) if oldest else self.next

    def read(self, limit: int = 1 << 30) -> list[bytes]:
        """Return the records since the last call, oldest first, at most `limit`."""
        return [record for _, record in self.numbered(limit)]

    def numbered(self, limit: int = 1 << 30) -> list[tuple[int, bytes]]:
        """Return the same, each with its sequence number."""
        records: list[tuple[int, bytes]] = []
        while len(records) < limit:
            behind = self.next - self.place
            if behind <= 0:
                break
            if behind > self.slots:
                self.lost += behind - self.slots
                self.place += behind - self.slots
            record = self._whole(self.place)
            if record is not None:
                records.append((self.place, record))
            elif self.next - self.place > self.slots - 1:
                self.lost += 1  # the writer took this slot while we looked
            else:
                self.torn += 1
            self.place += 1
        return records

    def newest(self) -> bytes | None:
        """Return the newest whole record, None if there is none."""
        newest = self.next
        for sequence in range(newest - 1, max(newest - self.slots, 0) - 1, -1):
            record = self._whole(sequence)
            if record is not None:
                return record
        return None

    def _whole(self, sequence: int) -> bytes | None:
        at = HEADER_SIZE + sequence % self.slots * self.slot_size
        for _ in range(_ATTEMPTS):
            found, length, crc = SLOT.unpack_from(self._map, at)
            if found > sequence:
                return None
            if found == sequence and length <= self.payload_size:
                payload = self._map[at + SLOT.size : at + SLOT.size + length]
                if zlib.crc32(payload, zlib.crc32(MARK.pack(sequence, length))) == crc:
                    return payload
        return None
