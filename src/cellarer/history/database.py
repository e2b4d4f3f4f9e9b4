"""The one writing connection to a site's history file: schema, commits, folding, retention. Everything may block.

Series: one journal row per sample, folded every 15 minutes into one compressed chunk per channel and one row of
statistics, in the same transaction that empties the journal. Chunks are ordered by time, then channel: new ones are
appended at the end of the file and old ones leave as one range.

Series are written with synchronous=NORMAL and reach the disk at least every SYNC_EVERY_S; events with FULL, before
they are acknowledged. There must be only one writing connection (lock file): SQLite before 3.51.3 can corrupt a WAL
file that two connections checkpoint at the same moment. Readers open the file with mode=ro.
"""

import fcntl
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from cellarer.history import codec, events
from cellarer.history.columns import CHANNELS, SLOT_S, journal, known_channels, merge, oldest_statistics, slots

VERSION = 1
GRACE_S = 5  # a slot is folded this long after its end
SYNC_EVERY_S = 10
DAY = 86400 // SLOT_S  # slots
VACUUM_PAGES = 2000  # given back per fold, so that a fold stays short

SCHEMA = """
CREATE TABLE IF NOT EXISTS channel(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, steps INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS layout(id INTEGER PRIMARY KEY, channels BLOB NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS journal(t_ms INTEGER PRIMARY KEY, layout INTEGER NOT NULL, frame BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS slot(slot INTEGER PRIMARY KEY, offsets_ms BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS chunk(key INTEGER PRIMARY KEY, blob BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS stat(channel INTEGER, slot INTEGER, n INTEGER NOT NULL, min INTEGER NOT NULL,
    max INTEGER NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY(channel, slot)) WITHOUT ROWID;
"""

Longs = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One sample of all channels."""

    unix_s: float
    names: tuple[str, ...]
    values: NDArray[np.float64]  # (channel,)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long single values stay. Statistics per 15 minutes stay while there is room, events for good."""

    days: float = 100.0
    size_MB: float = 8000.0  # when the file is larger the oldest values go, and then the oldest statistics


class Database:
    """Opens the file, makes or checks its schema, and holds the lock; raises sqlite3.Error or OSError."""

    def __init__(self, path: Path, retention: Retention) -> None:
        self.path, self.retention = path, retention
        self._lock = _lock(path)
        try:
            self.connection = _connect(path)
        except BaseException:
            os.close(self._lock)
            raise
        self._channels: dict[str, tuple[int, int]] = {}
        self._layouts: dict[tuple[str, ...], tuple[int, Longs]] = {}
        self._synced_s = 0.0
        self._folded_slot = -1

    def __enter__(self) -> "Database":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and give the lock back."""
        try:
            self.connection.close()
        finally:
            os.close(self._lock)

    def write_events(self, rows: Sequence[events.Row]) -> int:
        """Commit events to the disk; return the number of the newest. They now survive a loss of power."""
        with _Transaction(self.connection, "FULL"):
            events.append(self.connection, rows)
        return events.head(self.connection)[0]

    def write_frames(self, frames: Sequence[Frame]) -> None:
        """Commit samples. They survive the end of this process; a loss of power after SYNC_EVERY_S."""
        newest = max(frame.unix_s for frame in frames)
        due = abs(newest - self._synced_s) >= SYNC_EVERY_S
        try:
            with _Transaction(self.connection, "FULL" if due else "NORMAL"):
                for frame in frames:
                    layout, steps = self._layout(frame.names)
                    blob = codec.quantise(frame.values, steps).astype("<i4").tobytes()
                    row = (round(frame.unix_s * 1000), layout, blob)
                    self.connection.execute("INSERT OR REPLACE INTO journal VALUES (?, ?, ?)", row)
        except BaseException:  # what was rolled back must not be remembered
            self._channels.clear()
            self._layouts.clear()
            raise
        if due:
            self._synced_s = newest

    def fold_due(self, unix_s: float) -> bool:
        """Fold one finished slot of the journal, the oldest; return whether there may be more."""
        slot = int((unix_s - GRACE_S) // SLOT_S)
        if slot == self._folded_slot:
            return False
        oldest = self.connection.execute("SELECT min(t_ms) FROM journal").fetchone()[0]
        if oldest is None or oldest // 1000 // SLOT_S >= slot:
            self._folded_slot = slot
            self._forget(slot)
            return False
        self._fold(oldest // 1000 // SLOT_S)
        return True

    def _layout(self, names: tuple[str, ...]) -> tuple[int, Longs]:
        """Return id and steps of a set of channels, making what is new."""
        if names not in self._layouts:
            known = [self._channel(name) for name in names]
            ids = np.array([channel for channel, _ in known], "<i4").tobytes()
            self.connection.execute("INSERT OR IGNORE INTO layout(channels) VALUES (?)", (ids,))
            row = self.connection.execute("SELECT id FROM layout WHERE channels = ?", (ids,)).fetchone()
            self._layouts[names] = int(row[0]), np.array([steps for _, steps in known], np.int64)
        return self._layouts[names]

    def _channel(self, name: str) -> tuple[int, int]:
        """Return id and steps of a channel; its steps stay those it was made with."""
        if not self._channels:
            self._channels = known_channels(self.connection)
        if name not in self._channels:
            steps = codec.steps_of(name)
            done = self.connection.execute("INSERT INTO channel(name, steps) VALUES (?, ?)", (name, steps))
            self._channels[name] = int(done.lastrowid or 0), steps
        return self._channels[name]

    def _fold(self, slot: int) -> None:
        """Move a slot of the journal into chunks, together with what the slot already has (a clock set back)."""
        with _Transaction(self.connection, "NORMAL"):
            times, columns = merge([*journal(self.connection, slot, slot), *slots(self.connection, slot, slot)])
            begin = slot * SLOT_S * 1000
            self.connection.execute(
                "INSERT OR REPLACE INTO slot VALUES (?, ?)", (slot, codec.encode((times - begin).astype(np.int32)))
            )
            for channel in sorted(columns):
                column = columns[channel]
                key = slot * CHANNELS + channel
                self.connection.execute("INSERT OR REPLACE INTO chunk VALUES (?, ?)", (key, codec.encode(column)))
                known = column[column != codec.UNKNOWN].astype(np.int64)
                if len(known):
                    row = (channel, slot, len(known), int(known.min()), int(known.max()), int(known.sum()))
                    self.connection.execute("INSERT OR REPLACE INTO stat VALUES (?, ?, ?, ?, ?, ?)", row)
            self.connection.execute("DELETE FROM journal WHERE t_ms >= ? AND t_ms < ?", (begin, begin + SLOT_S * 1000))

    def _forget(self, slot: int) -> None:
        """Remove chunks beyond the retention or the size, a day at most: a clock gone wrong must not erase all."""
        oldest, newest = self.connection.execute("SELECT min(slot), max(slot) FROM slot").fetchone()
        large = self._size_MB() > self.retention.size_MB
        if oldest is not None and (newest - oldest > DAY or not large):
            first = min(oldest + DAY, slot if large else slot - round(self.retention.days * DAY))
            with _Transaction(self.connection, "NORMAL"):
                self.connection.execute("DELETE FROM chunk WHERE key < ?", (first * CHANNELS,))
                self.connection.execute("DELETE FROM slot WHERE slot < ?", (first,))
        elif large:
            self._forget_statistics()
        self.connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()

    def _forget_statistics(self) -> None:
        """Remove the oldest day of statistics: nothing else is left to remove."""
        oldest = oldest_statistics(self.connection)
        if oldest is not None:
            with _Transaction(self.connection, "NORMAL"):
                for channel in self.connection.execute("SELECT id FROM channel").fetchall():
                    self.connection.execute("DELETE FROM stat WHERE channel = ? AND slot < ?", (*channel, oldest + DAY))

    def _size_MB(self) -> float:
        pages, free, size = (
            self.connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return float((pages - free) * size / 1e6)


class _Transaction:
    """A transaction with its own care for the disk."""

    def __init__(self, connection: sqlite3.Connection, synchronous: str) -> None:
        self._connection, self._synchronous = connection, synchronous

    def __enter__(self) -> None:
        self._connection.execute(f"PRAGMA synchronous={self._synchronous}")
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def _lock(path: Path) -> int:
    """Return the descriptor that holds the writer's lock; the system gives it back when the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise OSError(f"{path} is being written by another process: one writer only, stop the other one") from error
    return lock


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=1.0)
    try:
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")  # counts only before the first table
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA journal_size_limit={16 * 2**20}")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise sqlite3.NotSupportedError(f"{path} has schema {version}, this Cellarer knows {VERSION}: update it")
        if version == 0:
            db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} {events.SCHEMA} PRAGMA user_version={VERSION}; COMMIT;")
    except BaseException:
        db.close()
        raise
    return db
