"""Files of the input log: the last day, rolling, and a freeze frame around every event that deserves one.

`inputs/NUMBER.log` are segments of a quarter of an hour; the oldest go when the newer ones hold KEEP_S. `freezes/`
holds for each event, or for events close together, everything from at least BEFORE_S before to AFTER_S after, at full
rate, as one file that stands for itself. An event is noted on the disk at once, so that who is killed before the end of
AFTER_S finishes the freeze frame after the restart. Called by the recorder's thread; may block.
"""

import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import cast

from cellarer.board.files import write_whole
from cellarer.board.inputs import InputReader, Piece
from cellarer.history.inputs import BLOCK, CONFIG, HEADER, VERSION, Log, frame, frames, pack, unpack

BEFORE_S, AFTER_S = 60.0, 30.0
BLOCK_S = 10.0  # a block; its length is what a loss of power can cost
SEGMENT_S = 900.0
KEEP_S = 86400.0
LONGEST_S = 600.0  # events that follow each other share a file up to here
FREEZES = 500  # files that stay; the oldest go
HELD = 60  # blocks held in memory while the disk refuses

Event = Mapping[str, object]


@dataclass(slots=True)
class Pending:
    """A freeze frame that is not complete yet; times are of the run's clock."""

    run: str
    first_ns: int
    last_ns: int
    events: list[dict[str, object]]


class InputLog:
    """Writes segments and freeze frames of one site. Raises OSError; what could not be written is tried again."""

    def __init__(self, state_dir: Path, header: Mapping[str, object], config: bytes) -> None:
        """header: site, run (differs between starts of a site), links, and what else shall stand in the files."""
        self.folder, self.freezes = state_dir / "inputs", state_dir / "freezes"
        for path in (self.folder, self.freezes):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.header, self._config = {**header, "version": VERSION}, zlib.compress(config, 6)
        self._segment: Path | None = None
        self._segment_ns = 0
        self._held: list[tuple[int, int, bytes]] = []
        self._whole = True
        self._pending = self._found_pending()
        self.end_ns = 0

    @property
    def _marker(self) -> Path:
        return self.freezes / "pending.json"

    def places(self) -> tuple[int, ...]:
        """Return where an earlier writer of this run stopped reading; empty = there was none."""
        for path in reversed(segments(self.folder)):
            last = None
            for found in frames(path):
                if found.kind == HEADER and json.loads(found.payload)["run"] != self.header["run"]:
                    return ()
                last = found if found.kind == BLOCK else last
            if last is not None:
                return unpack(last.payload).places
        return ()

    def write(self, piece: Piece) -> None:
        """Put what came in the last seconds onto the disk; cut and clean where it is time to."""
        piece.whole &= self._whole
        self._whole = True
        if piece.cycles:
            begin_ns, self.end_ns = _now_ns(piece.cycles[0][1]), _now_ns(piece.cycles[-1][1])
            self._held.append((begin_ns, self.end_ns, pack(piece)))
        if len(self._held) > HELD:
            del self._held[: -HELD // 2]
            self._whole = False
        while self._held:
            self._append(*self._held[0])
            del self._held[0]
        if self._pending is not None and self._over(self._pending):
            self.finish()

    def note(self, event: Event) -> None:
        """Begin a freeze frame for an event, or let the one that has begun hold it too."""
        at_ns = int(event["time_ns"])  # type: ignore[call-overload]
        pending = self._pending
        if pending is not None and (pending.run != self.header["run"] or at_ns - pending.first_ns > LONGEST_S * 1e9):
            self.finish()
            pending = None
        if pending is None:
            pending = Pending(str(self.header["run"]), at_ns, at_ns, [])
        pending.last_ns = max(pending.last_ns, at_ns)
        pending.events.append(dict(event))
        self._pending = pending
        known = {"run": pending.run, "first_ns": pending.first_ns, "last_ns": pending.last_ns, "events": pending.events}
        write_whole(self._marker, json.dumps(known).encode())

    def finish(self) -> None:
        """Write the freeze frame with what there is."""
        pending = self._pending
        if pending is None:
            return
        begin_ns = pending.first_ns - int(BEFORE_S * 1e9)
        end_ns = pending.last_ns + int(AFTER_S * 1e9)
        chosen = [p for p in segments(self.folder) if _run_of(p) == pending.run]
        parts = list(_cut(chosen, begin_ns, end_ns))
        if parts:
            name = f"{float(str(pending.events[0]['unix_s'])):.3f}-{pending.first_ns}.freeze"
            write_whole(self.freezes / name, b"".join(chain(self._head({"events": pending.events}), parts)))
        self._pending = None
        self._marker.unlink(missing_ok=True)
        for old in sorted(self.freezes.glob("*.freeze"), key=_unix_s)[:-FREEZES]:
            old.unlink()

    def _over(self, pending: Pending) -> bool:
        return pending.run != self.header["run"] or self.end_ns - pending.last_ns > AFTER_S * 1e9

    def _found_pending(self) -> Pending | None:
        try:
            return Pending(**json.loads(self._marker.read_bytes()))
        except FileNotFoundError:
            return None

    def _head(self, more: Mapping[str, object]) -> Iterator[bytes]:
        yield frame(HEADER, json.dumps({**self.header, **more}).encode())
        yield frame(CONFIG, self._config)

    def _append(self, begin_ns: int, end_ns: int, payload: bytes) -> None:
        """Append a block to the present segment, or to a new one."""
        if self._segment is None or begin_ns - self._segment_ns > SEGMENT_S * 1e9:
            known = segments(self.folder)
            number = int(known[-1].stem) + 1 if known else 1
            path = self.folder / f"{number:08d}.log"
            write_whole(path, b"".join(self._head({})))
            self._segment, self._segment_ns = path, begin_ns
            self._forget([*known, path])
        fd = os.open(self._segment, os.O_WRONLY | os.O_APPEND)
        before = os.fstat(fd).st_size
        try:
            data = memoryview(frame(BLOCK, payload, begin_ns, end_ns))
            while data:
                data = data[os.write(fd, data) :]
            os.fdatasync(fd)
        except OSError:
            os.ftruncate(fd, before)  # half a block would hide what is written after it
            raise
        finally:
            os.close(fd)

    def _forget(self, known: Sequence[Path]) -> None:
        """Remove the oldest segments once the newer ones hold enough; time is counted, so clocks may jump."""
        held_s = 0.0
        for path in reversed(known):
            if held_s > KEEP_S:
                path.unlink()
                continue
            spans = [(f.begin_ns, f.end_ns) for f in frames(path, payloads=False) if f.kind == BLOCK]
            held_s += (spans[-1][1] - spans[0][0]) * 1e-9 if spans else 0.0


def segments(folder: Path) -> list[Path]:
    """Return the segments of a folder, oldest first."""
    return sorted(folder.glob("[0-9]*.log"))


def runs(folder: Path) -> list[list[Path]]:
    """Return the segments by run, oldest first: what follows on each other."""
    found: list[list[Path]] = []
    for path in segments(folder):
        if found and _run_of(found[-1][-1]) == _run_of(path):
            found[-1].append(path)
        else:
            found.append([path])
    return found


class Freezes:
    """The freeze frames of a site: which events have one. Headers are read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[Path, frozenset[tuple[object, ...]]] = {}

    def of(self, event: Event) -> Path | None:
        """Return the freeze frame that holds an event of the history; None = there is none, not yet, or no more."""
        self._look()
        key = _key(event)
        return next((path for path, held in self._known.items() if key in held), None)

    def _look(self) -> None:
        there = set(self._folder.glob("*.freeze"))
        for path in self._known.keys() - there:
            del self._known[path]
        for path in there - self._known.keys():
            events = cast(list[Event], Log([path]).header["events"])
            self._known[path] = frozenset(_key(event) for event in events)


def _key(event: Event) -> tuple[object, ...]:
    return tuple(event[name] for name in ("time_ns", "kind", "name", "pack", "string"))


def worth(grave: frozenset[str]) -> Callable[[Event], bool]:
    """Return what tells events that deserve a freeze frame. grave: names of the fault rows that do."""
    system = {"guard opened", "guard veto", "process fell", "process down"}

    def deserves(event: Event) -> bool:
        return event["name"] in (grave if event["kind"] == "fault" else system if event["kind"] == "system" else ())

    return deserves


def salvage(reader: InputReader, log: InputLog) -> None:
    """Save what an earlier run left in memory when all of it was killed at once."""
    log.write(reader.read())
    log.finish()


def _cut(paths: Sequence[Path], begin_ns: int, end_ns: int) -> Iterator[bytes]:
    """Yield the blocks of a time, from the last one before it that holds a keyframe."""
    kept: list[bytes] = []
    for path in paths:
        for found in frames(path):
            if found.kind != BLOCK or found.begin_ns > end_ns:
                continue
            if found.end_ns < begin_ns and unpack(found.payload).states:
                kept.clear()
            kept.append(frame(BLOCK, found.payload, found.begin_ns, found.end_ns))
    yield from kept


def _run_of(path: Path) -> str:
    header = next(frames(path), None)
    return str(json.loads(header.payload)["run"]) if header is not None and header.kind == HEADER else ""


def _unix_s(path: Path) -> float:
    return float(path.stem.partition("-")[0])


def _now_ns(record: bytes) -> int:
    return int.from_bytes(record[:8], "little", signed=True)
