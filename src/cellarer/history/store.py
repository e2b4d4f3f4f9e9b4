"""The recorder: takes samples and events at once, writes them in a thread of its own, and says how it fares.

`append` and `append_events` never touch the disk, so a slow, full or read-only disk cannot hold up the caller. What
cannot be written waits in memory within bounds: samples beyond WAITING_FRAMES are dropped, oldest first, and counted;
events beyond WAITING_EVENTS are refused, so that the caller keeps them and tries again. An event is acknowledged when
it is on the disk, not before.
"""

import errno
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cellarer.history import events
from cellarer.history.database import Database, Frame, Retention
from cellarer.history.events import Event

WAITING_FRAMES = 900
WAITING_EVENTS = 10_000
BATCH = 200  # events per commit
RETRY_S = 2.0  # after an error
STUCK_S = 5.0  # a commit that takes longer is reported
IDLE_S = 1.0  # between looks whether a slot is to be folded


@dataclass(frozen=True, slots=True)
class Health:
    """How the recorder fares. `ok` = it can write now: closing a pack needs it."""

    ok: bool
    text: str
    waiting_frames: int = 0
    waiting_events: int = 0
    dropped_frames: int = 0
    newest_unix_s: float | None = None  # of the samples on disk
    events: int = 0  # number of the newest event on disk


class Writer:
    """The only writer of a site's history file. Thread-safe; `close` writes what waits."""

    def __init__(self, path: Path | str, retention: Retention | None = None) -> None:
        self._path, self._retention = Path(path), retention or Retention()
        self._frames: deque[Frame] = deque(maxlen=WAITING_FRAMES)
        self._events: deque[events.Row] = deque()
        self._health = Health(ok=False, text="starting")
        self._acknowledged: dict[str, int] = {}
        self._newest_s = 0.0
        self._guard = threading.Lock()
        self._wake, self._done = threading.Event(), threading.Condition(self._guard)
        self._stopping = False
        self._beat = time.monotonic()
        self._thread = threading.Thread(target=self._main, name="history", daemon=True)
        self._thread.start()

    def append(self, unix_s: float, values: Mapping[str, float]) -> None:
        """Take one sample of all channels; NaN is unknown. Once a second is enough for a year on one SD card."""
        frame = Frame(unix_s, tuple(values), np.fromiter(values.values(), np.float64, len(values)))
        with self._guard:
            if len(self._frames) == WAITING_FRAMES:
                self._health = replace(self._health, dropped_frames=self._health.dropped_frames + 1)
            self._frames.append(frame)
        self._wake.set()

    def append_events(self, new: Sequence[Event], source: str) -> int:
        """Take events in order; return how many were taken: fewer than given when too many wait.

        source  names the run that numbers them (`seq`); an event that comes twice from one source is kept once.
        Raises TypeError for what is no event, before anything is taken.
        """
        rows = [events.prepare(event, source) for event in new]
        with self._guard:
            taken = rows[: max(WAITING_EVENTS - len(self._events), 0)]
            self._events.extend(taken)
        self._wake.set()
        return len(taken)

    def acknowledged(self, source: str) -> int:
        """Return the highest `seq` of a source that is on the disk; −1 when none is, or none was asked for yet."""
        with self._guard:
            return self._acknowledged.get(source, -1)

    def health(self) -> Health:
        """Return how the recorder fares now."""
        with self._guard:
            now = replace(self._health, waiting_frames=len(self._frames), waiting_events=len(self._events))
            stuck_s = time.monotonic() - self._beat
        if now.ok and stuck_s > STUCK_S:
            return replace(
                now, ok=False, text=f"history is not recorded: the disk has not answered for {stuck_s:.0f} s"
            )
        return now

    @property
    def alive(self) -> bool:
        """Tell whether it still writes, or will once the disk takes it; if not, an error of ours has ended it."""
        return self._thread.is_alive()

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until everything taken so far is on the disk; False when that did not come about in time."""
        with self._done:
            return self._done.wait_for(lambda: not self._frames and not self._events, timeout_s)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Write what waits and end; False when something could not be written in time."""
        complete = self.flush(timeout_s)
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout_s)
        return complete and not self._thread.is_alive()

    def _main(self) -> None:
        try:
            self._run()
        finally:
            self._tell(ok=False, text="history is not recorded: the recorder has ended")

    def _run(self) -> None:
        """Write until stopped; an error closes the file, is told, and leads to a new try."""
        while not self._stopping:
            try:
                with Database(self._path, self._retention) as database:
                    self._tell(ok=True, text="recording")
                    while not self._stopping:
                        self._beat = time.monotonic()
                        self._write(database)
                        self._wake.wait(IDLE_S)
                        self._wake.clear()
            except (sqlite3.Error, OSError) as error:
                self._tell(ok=False, text=f"history is not recorded: {self._path.name}: {explain(error)}")
                if _is_broken(error):
                    self._set_aside()
                self._pause()

    def _write(self, database: Database) -> None:
        """Write everything that waits, events first; what failed stays waiting."""
        while rows := self._first_events():
            newest = database.write_events(rows)
            with self._done:
                for row in rows:
                    self._events.popleft()
                    self._acknowledged[row.source] = max(row.number, self._acknowledged.get(row.source, -1))
                self._health = replace(self._health, events=newest)
                self._done.notify_all()
        with self._guard:
            frames = list(self._frames)
        if frames:
            database.write_frames(frames)
            self._newest_s = frames[-1].unix_s
            written = set(frames)
            with self._done:
                while self._frames and self._frames[0] in written:
                    self._frames.popleft()
                self._health = replace(self._health, newest_unix_s=self._newest_s)
                self._done.notify_all()
        while self._newest_s and database.fold_due(self._newest_s):
            pass

    def _first_events(self) -> list[events.Row]:
        with self._guard:
            return [self._events[i] for i in range(min(BATCH, len(self._events)))]

    def _tell(self, *, ok: bool, text: str) -> None:
        with self._guard:
            self._health = replace(self._health, ok=ok, text=text)

    def _set_aside(self) -> None:
        """Keep a damaged file under another name and let a new one begin: recording goes on."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        for suffix in ("", "-wal", "-shm"):
            file = self._path.with_name(self._path.name + suffix)
            if file.exists():
                file.rename(file.with_name(f"{self._path.name}.damaged-{stamp}{suffix}"))

    def _pause(self) -> None:
        end = time.monotonic() + RETRY_S
        while not self._stopping and time.monotonic() < end:
            time.sleep(0.05)


def _is_broken(error: Exception) -> bool:
    """Tell a damaged file from a full, locked or absent one."""
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


_ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space, or lower the retention",
    sqlite3.SQLITE_READONLY: "the file or its file system is read-only: remount it, or check the owner of the folder",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened: does its folder exist, and may this user write there?",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: it was set aside and a new one begins",
    sqlite3.SQLITE_NOTADB: "the file is no history file: it was set aside and a new one begins",
    sqlite3.SQLITE_IOERR: "the disk reports errors: look at the kernel log, replace it",
}


# What the system says, in SQLite's words.
_SAME = {
    errno.ENOSPC: sqlite3.SQLITE_FULL, errno.EDQUOT: sqlite3.SQLITE_FULL, errno.EFBIG: sqlite3.SQLITE_FULL,
    errno.EROFS: sqlite3.SQLITE_READONLY, errno.EIO: sqlite3.SQLITE_IOERR,
}  # fmt: skip


def explain(error: Exception) -> str:
    """Return what is wrong with the disk and what to do about it."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None and isinstance(error, OSError):
        code = _SAME.get(error.errno or 0)
    advice = _ADVICE.get(code & 0xFF) if isinstance(code, int) else None
    return advice or str(error)
