"""The input log: what control was given, as compressed blocks in files, from which a run is repeated to the last bit.

File: frames of magic 4s, kind u8, length u32, CRC-32 u32, begin and end of its time in ns i64, then the payload. The
first frame is the header (JSON: site, version, hash of the configuration, clock), then the compiled configuration, then
blocks. A frame that is not whole ends the file: what power loss leaves is a shorter file, never a damaged one.
"""

import json
import struct
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellarer.board.inputs import Keyframe, Numbered, Piece, keyframe
from cellarer.board.samples import HEAD, PAIR, bring
from cellarer.history.lossless import Packer, Unpacker

FRAME = struct.Struct("<4sBIIqq")
MAGIC = b"CLOG"
HEADER, CONFIG, BLOCK = 0, 1, 2
VERSION = 1

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class LogError(ValueError):
    """A log that cannot be read; it says which file, why and what to do."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a file, payload still packed."""

    kind: int
    begin_ns: int
    end_ns: int
    payload: bytes


def frame(kind: int, payload: bytes, begin_ns: int = 0, end_ns: int = 0) -> bytes:
    """Return a frame as bytes."""
    return FRAME.pack(MAGIC, kind, len(payload), zlib.crc32(payload), begin_ns, end_ns) + payload


def frames(path: Path, *, payloads: bool = True) -> Iterator[Frame]:
    """Yield the whole frames of a file; without payloads only what they span, which is fast."""
    with path.open("rb") as file:
        size = path.stat().st_size
        while len(head := file.read(FRAME.size)) == FRAME.size:
            magic, kind, length, crc, begin_ns, end_ns = FRAME.unpack(head)
            if magic != MAGIC or file.tell() + length > size:
                return
            if payloads:
                payload = file.read(length)
                if zlib.crc32(payload) != crc:
                    return
            else:
                payload = b""
                file.seek(length, 1)
            yield Frame(kind, begin_ns, end_ns, payload)


def pack(piece: Piece) -> bytes:
    """Return a block: everything that came in a few seconds, squeezed without loss."""
    packer = Packer()
    packer.text(json.dumps({"whole": piece.whole, "places": piece.places, "links": list(piece.samples)}).encode())
    links = len(piece.samples)
    packer.integers([number for number, _ in piece.cycles])
    table = np.frombuffer(b"".join(data for _, data in piece.cycles), np.int64).reshape(-1, 3 + links)
    for column in table.T:
        packer.integers(column)
    for records in piece.samples.values():
        _pack_samples(packer, records)
    packer.integers([number for number, _ in piece.changes])
    for _, data in piece.changes:
        packer.text(data)
    packer.integers([len(piece.states)])
    for data in piece.states:
        packer.text(data)
    return zlib.compress(packer.done(), 6)


def _pack_samples(packer: Packer, records: list[Numbered]) -> None:
    """Add the records of one link: numbers, times and groups in order; then the values of each group of signals.

    Times stay in the order of arrival, because frames come in bursts: then they differ by little.
    """
    groups: dict[bytes, int] = {}
    members: list[list[bytes]] = []
    member = []
    for _, data in records:
        pairs = np.frombuffer(data, PAIR, HEAD.unpack_from(data)[2], HEAD.size)
        group = groups.setdefault(pairs["signal"].tobytes(), len(groups))
        if group == len(members):
            members.append([])
        members[group].append(data[HEAD.size :])
        member.append(group)
    packer.integers([number for number, _ in records])
    packer.integers([HEAD.unpack_from(data)[0] for _, data in records])
    packer.integers(member)
    packer.integers([len(groups)])
    for signals, mine in zip(groups, members, strict=True):
        packer.integers(np.frombuffer(signals, "<u4").astype(np.int64))
        values = np.frombuffer(b"".join(mine), PAIR)["value"].reshape(len(mine), -1)
        for column in values.T:
            packer.floats(column)


@dataclass(slots=True)
class Block:
    """A block, unpacked."""

    whole: bool
    places: tuple[int, ...]
    cycles: Ints  # (cycle, 4 + link): number, now_ns, cycle, changes, places
    samples: list[list[tuple[int, int, Ints, Floats]]]  # per link: (number, time_ns, signals, values), in order
    changes: list[Numbered]
    states: list[bytes]


def unpack(payload: bytes) -> Block:
    """Return what `pack` packed."""
    packed = Unpacker(zlib.decompress(payload))
    head = json.loads(packed.text())
    links = len(head["links"])
    cycles = np.stack([packed.integers() for _ in range(4 + links)], axis=1)
    samples = [_unpack_samples(packed) for _ in range(links)]
    changes = [(number, packed.text()) for number in packed.integers().tolist()]
    states = [packed.text() for _ in range(int(packed.integers()[0]))]
    return Block(head["whole"], tuple(head["places"]), cycles, samples, changes, states)


def _unpack_samples(packed: Unpacker) -> list[tuple[int, int, Ints, Floats]]:
    numbers, times, member = (packed.integers() for _ in range(3))
    count = packed.integers()[0]
    groups = []
    for _ in range(int(count)):
        signals = packed.integers()
        values = np.stack([packed.floats() for _ in range(signals.size)], axis=1)
        groups.append((signals, iter(values)))
    return [
        (number, time_ns, groups[group][0], next(groups[group][1]))
        for number, time_ns, group in zip(numbers.tolist(), times.tolist(), member.tolist(), strict=True)
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """The input of one cycle."""

    now_ns: int
    cycle: int
    value: Floats  # (signal,) the caller's to keep
    time_ns: Ints
    changes: tuple[bytes, ...]  # packed Requests and Plans that came for it
    keyframe: Keyframe | None  # what was known before this cycle, where the log holds it
    restart: bool  # it follows on nothing before: go on from the keyframe


class Follower:
    """Puts blocks together again: which samples each cycle had seen."""

    def __init__(self, links: int) -> None:
        self._samples: list[deque[tuple[int, int, Ints, Floats]]] = [deque() for _ in range(links)]
        self._changes: deque[Numbered] = deque()
        self._keyframes: deque[Keyframe] = deque()
        self._value: Floats | None = None  # None = waiting for a keyframe
        self._time_ns: Ints = np.empty(0, np.int64)
        self._places: tuple[int, ...] = ()
        self._number = self._cycle = self._change = -1

    def follow(self, block: Block) -> Iterator[Moment]:
        """Yield the cycles of the next block that can be repeated."""
        if not block.whole:
            self._value = None
        for waiting, new in zip(self._samples, block.samples, strict=True):
            waiting.extend(new)
        self._changes.extend(block.changes)
        self._keyframes.extend(keyframe(data) for data in block.states)
        for number, now_ns, cycle, changes, *places in block.cycles.tolist():
            found = self._enter(number, cycle)
            if self._value is None:
                continue
            restart = found is not None and self._number < 0
            self._bring(places)
            given = tuple(self._given(changes))
            self._number, self._cycle = number + 1, cycle + 1
            yield Moment(now_ns, cycle, self._value.copy(), self._time_ns.copy(), given, found, restart)

    def _enter(self, number: int, cycle: int) -> Keyframe | None:
        """Return the keyframe of this cycle, if any, after having gone back to it where a run begins or a hole ends."""
        found = None
        while self._keyframes and self._keyframes[0].number <= number:
            found = self._keyframes.popleft()  # the newest counts: who died between keyframe and cycle left one more
        if found is not None and found.number < number:
            found = None
        follows = self._value is not None and number == self._number and cycle == self._cycle
        if follows:
            return found
        self._value, self._number = None, -1
        if found is not None and found.cycle == cycle:
            self._value, self._time_ns = found.value.copy(), found.time_ns.copy()
            self._places, self._change = found.places, found.changes
        return found

    def _bring(self, places: Sequence[int]) -> None:
        """Bring every sample up to the places that control had reached."""
        assert self._value is not None
        for waiting, before, until in zip(self._samples, self._places, places, strict=True):
            while waiting and waiting[0][0] < until:
                number, time_ns, signals, values = waiting.popleft()
                if number >= before:
                    bring(self._value, self._time_ns, time_ns, signals, values)
        self._places = tuple(places)

    def _given(self, until: int) -> Iterator[bytes]:
        while self._changes and self._changes[0][0] < until:
            number, data = self._changes.popleft()
            if number >= self._change:
                yield data


class Log:
    """One or more files of one run, in order. Raises LogError."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        first = frames(self.paths[0]) if self.paths else iter(())
        header, config = next(first, None), next(first, None)
        if header is None or config is None or (header.kind, config.kind) != (HEADER, CONFIG):
            name = self.paths[0] if self.paths else "this"
            raise LogError(f"{name} is no input log: name a .freeze file, or the folder `inputs` of a site's state")
        self.header: dict[str, object] = json.loads(header.payload)
        if self.header["version"] != VERSION:
            raise LogError(f"{self.paths[0]} is of version {self.header['version']}, this program reads {VERSION}")
        self.config = zlib.decompress(config.payload)

    def torn(self) -> dict[Path, int]:
        """Return the bytes at the end of each file that are no whole frame: what a loss of power or damage left."""
        lengths = {path: sum(FRAME.size + len(one.payload) for one in frames(path)) for path in self.paths}
        return {path: left for path, whole in lengths.items() if (left := path.stat().st_size - whole) > 0}

    def blocks(self) -> Iterator[Frame]:
        """Yield the blocks of all files, still packed."""
        for path in self.paths:
            yield from (found for found in frames(path) if found.kind == BLOCK)

    def moments(self) -> Iterator[Moment]:
        """Yield the input of every cycle that can be repeated."""
        follower: Follower | None = None
        for packed in self.blocks():
            block = unpack(packed.payload)
            follower = follower or Follower(len(block.samples))
            yield from follower.follow(block)
