"""What must survive: SOC with sigma, capacity, counters, latches, as one record in two copies on disk.

A copy is replaced by a whole new file, one after the other, each flushed to the disk, so that power may fail at any
moment and one good copy remains. A copy counts only if every byte of it is as it was written. No good copy means
unknown, never a default: the caller is told why.
"""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from cellarer.board.files import write_whole

MAGIC = b"CELLKEEP"
VERSION = 1
HEAD = struct.Struct("<8sIIQdII")  # magic, version, length, sequence, unix_s, CRC of the payload, CRC of this head
COPIES = ("durable.a", "durable.b")


@dataclass(frozen=True, slots=True)
class Kept:
    """A durable record that was found whole."""

    sequence: int
    unix_s: float
    payload: bytes


def write_durable(state_dir: Path, payload: bytes, sequence: int, unix_s: float) -> None:
    """Write both copies. When this returns the record survives a power loss."""
    head = HEAD.pack(MAGIC, VERSION, len(payload), sequence, unix_s, zlib.crc32(payload), 0)
    head = head[:-4] + zlib.crc32(head[:-4]).to_bytes(4, "little")
    for name in COPIES:
        write_whole(state_dir / name, head + payload)


def read_durable(state_dir: Path) -> tuple[Kept | None, list[str]]:
    """Return the newest whole record, None if there is none, and what is wrong with each copy that is not whole."""
    best: Kept | None = None
    wrong = []
    for name in COPIES:
        path = state_dir / name
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            wrong.append(f"{path} is missing")
            continue
        found = _parse(data)
        if isinstance(found, str):
            wrong.append(f"{path} {found}")
        elif best is None or found.sequence > best.sequence:
            best = found
    return best, wrong


def _parse(data: bytes) -> Kept | str:
    if len(data) < HEAD.size:
        return f"has {len(data)} bytes, at least {HEAD.size} are needed"
    magic, version, length, sequence, unix_s, crc, head_crc = HEAD.unpack_from(data)
    if magic != MAGIC or zlib.crc32(data[: HEAD.size - 4]) != head_crc:
        return "is damaged in its head"
    if version != VERSION:
        return f"is of version {version}, this program reads version {VERSION}"
    payload = data[HEAD.size :]
    if len(payload) != length or zlib.crc32(payload) != crc:
        return "is damaged"
    return Kept(sequence, unix_s, payload)
