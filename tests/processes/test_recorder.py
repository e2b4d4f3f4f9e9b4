"""What the recorder acknowledges is on the disk; what is not on the disk it does not acknowledge."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cellarer.board.durable import read_durable, write_durable
from cellarer.board.files import Folder
from cellarer.board.messages import EventRecord, EventWriter, create_messages
from cellarer.board.ring import RingReader, RingWriter, create_ring
from cellarer.board.snapshot import SECONDS
from cellarer.history.reader import Reader
from cellarer.model.layout import layout
from cellarer.runtime import recorder as recorders
from cellarer.runtime.children import FIRST_S, PAUSES_S, STILL_S
from cellarer.runtime.clock import Clock
from cellarer.runtime.recorder import Recorder

VIEW = {"unix_s": 1e9, "packs": [{"current_A": 12.5, "strings": []}]}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    create_messages(folder)
    create_ring(folder.durable, 4096, 4)
    create_ring(folder.durable_kept, 8, 4)
    create_ring(folder.guard_status, 4096, 4)
    return folder


@pytest.fixture
def recorder(folder: Folder, tmp_path: Path) -> Iterator[Recorder]:
    found = Recorder(folder, tmp_path, Clock(0, 1e9), layout([4, 4, 4], [1, 1, 1], [2, 1]), lambda: [VIEW])
    yield found
    if found.writer.alive:  # else it waits for what an ended writer never writes
        found.writer.close()


def event(name: str) -> EventRecord:
    return EventRecord(seq=0, unix_s=1e9, time_ns=5, kind="system", name=name)


def rounds(recorder: Recorder, until: object, most_s: float = 5.0) -> None:
    """Look until something is so."""
    end = time.monotonic() + most_s
    while not until():  # type: ignore[operator]
        assert time.monotonic() < end
        recorder.round()
        time.sleep(0.01)


def test_events_are_acknowledged_when_they_are_in_the_history(
    folder: Folder, recorder: Recorder, tmp_path: Path
) -> None:
    writer = EventWriter(folder, "control")
    for name in ("one", "two"):
        writer.write(event(name))
    assert writer.waiting == 2
    rounds(recorder, lambda: writer.waiting == 0)
    assert [e["name"] for e in Reader(tmp_path / "history.db").events(10)] == ["two", "one"]


def test_refused_frames_are_told_once_a_minute_for_each_device(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_ring(folder.heard("can 1"), 512, 4)
    heard = RingWriter(folder.heard("can 1"))
    found = Recorder(folder, tmp_path, Clock(0, 1e9), layout([4], [1], [1]), lambda: [VIEW])

    def told(**devices: tuple[int, dict[str, int]]) -> list[str]:
        heard.write(json.dumps(devices).encode())
        found.round()
        found.writer.flush()
        return [str(e["text"]) for e in Reader(tmp_path / "history.db").events(10)]

    assert told(bms=(100, {}), shunt=(7, {})) == []
    first = "bms on can_1: 1 frames refused: 1 repeated, replayed or out of order; 101 good ones since the start"
    assert told(bms=(101, {"counter": 1}), shunt=(8, {})) == [first]
    assert told(bms=(200, {"counter": 5, "crc": 1}), shunt=(9, {"crc": 2}))[1:] == [first], "of another device at once"
    monkeypatch.setattr(recorders, "TELL_S", 0.0)
    more = "bms on can_1: 5 frames refused: 4 repeated, replayed or out of order, 1 with a wrong check value; 200 good"
    assert told(bms=(200, {"counter": 5, "crc": 1}), shunt=(9, {"crc": 2}))[0].startswith(more)
    assert len(told(bms=(200, {"counter": 5, "crc": 1}), shunt=(9, {"crc": 2}))) == 3
    assert told(bms=(3, {"length": 1}), shunt=(9, {"crc": 2}))[0].startswith(
        "bms on can_1: 1 frames refused: 1 of a wr"
    )
    found.writer.close()


def test_a_new_recorder_keeps_what_the_old_one_had_not(folder: Folder, recorder: Recorder, tmp_path: Path) -> None:
    writer = EventWriter(folder, "control")
    writer.write(event("one"))
    rounds(recorder, lambda: writer.waiting == 0)
    recorder.writer.close()
    writer.write(event("two"))
    second = Recorder(folder, tmp_path, recorder.clock, recorder.guard.layout, lambda: [VIEW])
    rounds(second, lambda: writer.waiting == 0)
    second.writer.close()
    assert [e["name"] for e in Reader(tmp_path / "history.db").events(10)] == ["two", "one"]


def test_the_durable_state_is_acknowledged_when_it_is_on_the_disk(
    folder: Folder, recorder: Recorder, tmp_path: Path
) -> None:
    state, kept = RingWriter(folder.durable), RingReader(folder.durable_kept)
    recorder.round()
    assert kept.read() == []
    for payload in (b"first", b"second"):
        state.write(payload)
        recorder.round()
        assert len(kept.read()) == 1
        found, wrong = read_durable(tmp_path)
        assert found is not None
        assert (found.payload, wrong) == (payload, [])
    recorder.round()
    assert kept.read() == [], "nothing new, nothing written"


def test_a_full_disk_gets_no_acknowledgement(
    folder: Folder, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state, kept = RingWriter(folder.durable), RingReader(folder.durable_kept)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(recorders, "write_durable", full)
        state.write(b"lost")
        for _ in range(5):
            recorder.round()
    assert kept.read() == []
    assert capsys.readouterr().err.count("No space left") == 1, "said once, not each round"
    recorder.round()
    assert len(kept.read()) == 1


def test_a_disk_that_does_not_flush_gets_no_acknowledgement(
    folder: Folder, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, kept = RingWriter(folder.durable), RingReader(folder.durable_kept)
    state.write(b"first")
    recorder.round()
    assert len(kept.read()) == 1

    def failing(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", failing)
        state.write(b"second")
        recorder.round()
    assert kept.read() == []
    found, wrong = read_durable(tmp_path)
    assert found is not None
    assert (found.payload, wrong) == (b"first", []), "the old record is whole"
    recorder.round()
    assert len(kept.read()) == 1


def test_the_guards_openings_become_events_once(folder: Folder, recorder: Recorder, tmp_path: Path) -> None:
    status = RingWriter(folder.guard_status)
    never = {"opened_ns": None, "opened_A": None, "opened_why": ""}
    opened = {"opened_ns": 7_000_000_000, "opened_A": -31.26, "opened_why": "control is silent"}
    blind = opened | {"opened_A": None}
    later = opened | {"opened_ns": 7_004_000_000, "opened_why": "cell over-voltage: cell_voltage 2 = 3.9, limit 3.7"}
    for strings in ([never] * 3, [opened, never, blind], [opened, never, blind], [opened, later, blind]):
        status.write(json.dumps({"strings": strings}).encode())
        recorder.round()
    recorder.writer.flush()
    third, second, first = Reader(tmp_path / "history.db").events(10)
    assert (first["pack"], first["string"], first["value"], first["cause"]) == (1, 1, -31.26, "control is silent")
    assert first["text"] == "the guard opened string 1 of pack 1 at -31.3 A: control is silent"
    assert (second["pack"], second["string"], second["value"]) == (2, 1, None)
    assert (third["pack"], third["string"]) == (1, 2)
    assert third["cause"] == "cell over-voltage: cell_voltage 2 = 3.9 V, limit 3.7 V"


def test_every_view_is_recorded_and_one_that_comes_again_is_recorded_once(
    folder: Folder, tmp_path: Path, recorder: Recorder
) -> None:
    recorder.take_seconds()
    recorder.writer.close()
    views = [VIEW | {"unix_s": 1e9 + second} for second in range(4)]
    coming = iter([views[:3], [], views[1:]])
    second = Recorder(folder, tmp_path, recorder.clock, recorder.guard.layout, lambda: next(coming))
    for _ in range(3):
        second.take_seconds()
    second.writer.close()
    reader = Reader(tmp_path / "history.db")
    assert reader.channels() == ["pack1.current_A"]
    table = reader.table(["pack1.current_A"], 1e9, 1e9 + 4.0, 4)
    assert table.series["pack1.current_A"].avg.tolist() == [12.5] * 4


def test_a_disk_that_does_not_answer_costs_no_second(
    folder: Folder, tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.writer.close()
    create_ring(folder.seconds, 16, 8)
    seconds, reader = RingWriter(folder.seconds), RingReader(folder.seconds)
    held, answers = threading.Event(), threading.Event()

    def late(*record: object) -> None:
        held.set()
        answers.wait(20.0)
        write_durable(*record)  # type: ignore[arg-type]

    monkeypatch.setattr(recorders, "write_durable", late)
    RingWriter(folder.durable).write(b"held up")
    second = Recorder(
        folder, tmp_path, recorder.clock, recorder.guard.layout,
        lambda: [VIEW | {"unix_s": 1e9 + int(data)} for data in reader.read()],
    )  # fmt: skip
    second.start()
    try:
        assert held.wait(5.0)
        for number in range(3 * seconds.slots):
            seconds.write(b"%d" % number)
            end = time.monotonic() + 5.0
            while reader.place < seconds.next and time.monotonic() < end:
                time.sleep(0.01)
            assert reader.place == seconds.next, "read while the disk is awaited"
        assert RingReader(folder.durable_kept).newest() is None
    finally:
        answers.set()
        second.close()
    table = Reader(tmp_path / "history.db").table(["pack1.current_A"], 1e9, 1e9 + number + 1, number + 1)
    assert table.series["pack1.current_A"].avg.tolist() == [12.5] * (number + 1)


def test_memory_holds_the_seconds_of_the_longest_start_of_services() -> None:
    assert max(PAUSES_S) + FIRST_S + STILL_S < SECONDS


def test_seconds_that_are_lost_are_told(
    folder: Folder, tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.writer.close()
    lost = 0
    second = Recorder(folder, tmp_path, recorder.clock, recorder.guard.layout, list, lost=lambda: lost)
    second.take_seconds()
    lost = 17
    with monkeypatch.context() as full:
        full.setattr(second.writer, "append_events", lambda *_: 0)  # too many wait: not told, and not forgotten
        second.take_seconds()
    for _ in range(3):
        second.take_seconds()
    lost = 20  # within the minute: told later
    second.take_seconds()
    second.writer.close()
    (event,) = Reader(tmp_path / "history.db").events(10, kinds=["system"])
    assert (event["name"], event["value"]) == ("history has a hole", 17.0)


def alter(history: Path, order: str) -> None:
    """Do what only somebody who removes the triggers can do."""
    with sqlite3.connect(history) as db:
        db.executescript(f"DROP TRIGGER IF EXISTS event_is_final; DROP TRIGGER IF EXISTS event_stays; {order};")
    db.close()


def restarted(folder: Folder, path: Path) -> Recorder:
    found = Recorder(folder, path, Clock(0, 1e9), layout([4], [1], [1]), lambda: [])
    rounds(found, lambda: found.writer.health().ok)
    return found


def test_a_broken_chain_is_told_once_per_start_and_refuses_nothing(
    folder: Folder, recorder: Recorder, tmp_path: Path
) -> None:
    writer, history = EventWriter(folder, "control"), tmp_path / "history.db"
    for name in ("one", "two", "three"):
        writer.write(event(name))
    rounds(recorder, lambda: writer.waiting == 0)
    recorder.writer.close()
    alter(history, "UPDATE event SET text = 'another' WHERE seq = 2")
    for starts in (1, 2):
        found = restarted(folder, tmp_path)
        found.start()
        try:
            rounds(found, lambda chain=found.chain: chain.complaint)
            writer.write(event("after"))
            rounds(found, lambda: writer.waiting == 0)
            assert not found.health().ok
            assert found.health().text.startswith("history is broken: event 2 was altered")
            assert found.writer.health().ok
            assert found.alive
        finally:
            found.close()
        told = [e for e in Reader(history).events(20) if e["name"] == "history is broken"]
        assert [(e["kind"], e["cause"], e["value"]) for e in told] == [("system", "at event 2", 2.0)] * starts
        assert [e["name"] for e in Reader(history).events(20)].count("after") == starts


def test_a_whole_chain_says_nothing(folder: Folder, recorder: Recorder, tmp_path: Path) -> None:
    rounds(recorder, lambda: recorder.writer.health().ok)
    assert recorder.chain.verify()
    assert recorder.health().ok
    assert Reader(tmp_path / "history.db").events(10) == []


def test_a_break_that_nobody_takes_is_told_later(
    folder: Folder, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, history = EventWriter(folder, "control"), tmp_path / "history.db"
    writer.write(event("one"))
    rounds(recorder, lambda: writer.waiting == 0)
    recorder.writer.close()
    alter(history, "UPDATE event SET value = x'00' WHERE seq = 1")
    found = restarted(folder, tmp_path)
    with monkeypatch.context() as full:
        full.setattr(found.writer, "append_events", lambda *_: 0)
        assert not found.chain.verify()
    assert "event 1" in found.health().text
    assert found.chain.verify()
    found.writer.close()
    assert [e["name"] for e in Reader(history).events(10)] == ["history is broken", "one"]


def test_a_file_that_cannot_be_read_is_verified_later(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(_: Reader) -> int | None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Reader, "first_break", busy)
    assert not recorder.chain.verify()
    assert recorder.chain.complaint == ""


def test_a_recorder_of_which_a_part_has_ended_is_not_alive(recorder: Recorder) -> None:
    recorder.start()
    try:
        assert recorder.alive
        recorder.writer.close()
        assert not recorder.alive
    finally:
        recorder.close()
