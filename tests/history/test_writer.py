"""The recorder never holds up its caller, survives a bad disk, and says what is wrong."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.history.test_events import event

from cellarer.history import Reader, Writer, store
from cellarer.history.database import Database

VALUES = {"pack1.voltage_V": 52.0, "pack1.soc_pct": 50.0}


def wait(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_samples_and_events_arrive(path: Path) -> None:
    writer = Writer(path)
    for i in range(10):
        writer.append(1.7e9 + i, VALUES)
    assert writer.append_events([event(0), event(1)], "a") == 2
    assert writer.flush()
    assert writer.acknowledged("a") == 1
    health = writer.health()
    assert (health.ok, health.events, health.newest_unix_s) == (True, 2, 1.7e9 + 9)
    assert writer.close()
    assert Reader(path).channels() == sorted(VALUES)
    assert not writer.health().ok


def test_a_stuck_disk_holds_up_nobody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(Database, "write_frames", lambda self, frames: go_on.wait(30))
    monkeypatch.setattr(store, "STUCK_S", 0.2)
    writer = Writer(path)
    wait(lambda: writer.health().ok)
    took = list[float]()
    for i in range(store.WAITING_FRAMES + 300):
        begin = time.perf_counter()
        writer.append(1.7e9 + i, VALUES)
        writer.append_events([event(i)], "a")
        writer.health()
        took.append(time.perf_counter() - begin)
    assert max(took) < 10.0, "the disk stands still for 30 s"
    assert sorted(took)[len(took) // 2] < 0.1, "nobody waits for it a little each time either"
    wait(lambda: not writer.health().ok)
    health = writer.health()
    assert "not answered" in health.text
    assert health.dropped_frames >= 299
    assert health.waiting_frames <= store.WAITING_FRAMES
    assert not writer.flush(0.05)
    go_on.set()
    writer.close()


def test_too_many_waiting_events_are_left_with_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "WAITING_EVENTS", 5)
    (tmp_path / "file").write_text("no folder")
    writer = Writer(tmp_path / "file" / "history.db")
    assert writer.append_events([event(i) for i in range(8)], "a") == 5
    assert writer.append_events([event(9)], "a") == 0
    wait(lambda: "file" in writer.health().text)
    writer.close(0.1)


def test_a_full_disk_is_told_and_nothing_taken_is_lost(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "RETRY_S", 0.1)
    full = threading.Event()
    full.set()
    plain = Database.__init__

    def small(self: Database, *args: object) -> None:
        plain(self, *args)  # type: ignore[arg-type]
        if full.is_set():
            self.connection.execute("PRAGMA max_page_count=20").fetchall()

    monkeypatch.setattr(Database, "__init__", small)
    writer = Writer(path)
    for i in range(300):
        writer.append_events([event(i, text="x" * 500)], "a")
    wait(lambda: not writer.health().ok)
    wait(lambda: "disk is full" in writer.health().text)
    assert writer.health().waiting_events > 0
    full.clear()
    assert writer.flush()
    wait(lambda: writer.health().ok)
    writer.close()
    reader = Reader(path)
    assert reader.head()[0] == 300
    assert reader.first_break() is None


def test_a_read_only_file_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Writer(path).close()
    monkeypatch.setattr("cellarer.history.database.sqlite3.connect", read_only(sqlite3.connect))
    writer = Writer(path)
    writer.append(1.7e9, VALUES)
    wait(lambda: "read-only" in writer.health().text)
    writer.close(0.1)


def read_only(connect: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
    """Return a connect that opens the file as a read-only mount would; root is stopped by no file mode."""
    return lambda path, **options: connect(f"{path.as_uri()}?mode=ro", uri=True, **options)


def test_a_damaged_file_is_set_aside(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "RETRY_S", 0.1)
    path.write_bytes(b"this was a history once" * 1000)
    writer = Writer(path)
    writer.append(1.7e9, VALUES)
    assert writer.flush()
    writer.close()
    assert len(list(path.parent.glob("history.db.damaged-*"))) == 1
    assert Reader(path).channels() == sorted(VALUES)


def test_a_second_writer_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "RETRY_S", 0.1)
    first = Writer(path)
    wait(lambda: first.health().ok)
    second = Writer(path)
    wait(lambda: "another process" in second.health().text)
    first.close()
    wait(lambda: second.health().ok)
    second.close()


def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=99")
    db.close()
    writer = Writer(path)
    wait(lambda: "update" in writer.health().text)
    writer.close(0.1)
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (99,)
    assert not db.execute("SELECT name FROM sqlite_master").fetchall()
    db.close()
