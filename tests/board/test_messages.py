"""Requests are whole, in time and in range or answered with why; events wait until somebody has kept them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from cellarer.board.files import Folder
from cellarer.board.messages import (
    AHEAD_S,
    EVENTS,
    REQUEST_SIZE,
    Asker,
    EventReader,
    EventRecord,
    EventWriter,
    RequestReader,
    all_kept,
    create_messages,
)
from cellarer.board.ring import BoardError, RingWriter

NOW = 1e9


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    create_messages(Folder(tmp_path))
    return Folder(tmp_path)


def event(name: str) -> EventRecord:
    return EventRecord(seq=0, unix_s=NOW, time_ns=5, kind="fault", name=name, cell=3, value=math.nan, limit=4.2)


def test_a_request_arrives_and_is_answered(folder: Folder) -> None:
    reader = RequestReader(folder.requests, folder.answers)
    asker, other = Asker(folder.requests, folder.answers), Asker(folder.requests, folder.answers)
    number = asker.ask("set_soc", "test", NOW, pack=1, value=55.5)
    (request,) = reader.read(NOW + 1, packs=2)
    assert (request.what, request.pack, request.value, request.actor) == ("set_soc", 1, 55.5, "test")
    assert asker.answer(number) is None
    reader.answer(request.id, accepted=True, text="done")
    assert other.answer("somebody else's") is None
    answer = asker.answer(number)
    assert answer is not None
    assert answer.accepted
    assert reader.read(NOW + 1, packs=2) == []


@pytest.mark.parametrize(
    ("what", "pack", "value", "late_s", "why"),
    [
        ("explode", 0, None, 0, "unknown"),
        ("close", 2, None, 0, "does not exist"),
        ("close", -1, None, 0, "does not exist"),
        ("close", 0, None, 11, "expired"),
        ("close", 0, None, -6, "clock"),
        ("set_soc", 0, None, 0, "allowed is 0 to 100"),
        ("set_soc", 0, 101.0, 0, "allowed is 0 to 100"),
        ("set_soc", 0, -0.1, 0, "allowed is 0 to 100"),
        ("target_soc", 0, "much", 0, "allowed"),
        ("full_by", 0, -1.0, 0, "within a year"),
        ("full_by", 0, None, 0, "within a year"),
        ("full_by", 0, math.inf, 0, "within a year"),
        ("full_by", 0, 1e300, 0, "within a year"),
        ("full_by", 0, 1000.0 * NOW, 0, "unix time in s"),  # milliseconds
        ("full_by", 0, NOW + AHEAD_S + 1.0, 0, "within a year"),
        ("full_by", 0, NOW - 3600.0, 0, "1.0 h in the past"),
        ("full_by", 0, NOW, 0, "in the past"),
    ],
)
def test_what_cannot_be_considered_is_refused_with_the_reason(
    folder: Folder, what: str, pack: int, value: float | str | None, late_s: float, why: str
) -> None:
    reader, asker = RequestReader(folder.requests, folder.answers), Asker(folder.requests, folder.answers)
    number = asker.ask(what, "test", NOW, pack=pack, value=value)
    assert reader.read(NOW + late_s, packs=2) == []
    answer = asker.answer(number)
    assert answer is not None
    assert not answer.accepted
    assert why in answer.text


@pytest.mark.parametrize("value", [0.0, NOW + 0.1, NOW + 3600.0, NOW + AHEAD_S])
def test_a_charge_may_be_wished_within_a_year(folder: Folder, value: float) -> None:
    reader, asker = RequestReader(folder.requests, folder.answers), Asker(folder.requests, folder.answers)
    asker.ask("full_by", "test", NOW, value=value)
    assert [r.value for r in reader.read(NOW, packs=1)] == [value]


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff\xfe", b"[1]", b'{"id": 5}', b"{" * 400])
def test_nonsense_is_passed_over(folder: Folder, data: bytes) -> None:
    reader = RequestReader(folder.requests, folder.answers)
    RingWriter(folder.requests).write(data)
    Asker(folder.requests, folder.answers).ask("open", "test", NOW)
    assert [r.what for r in reader.read(NOW, packs=1)] == ["open"]


def test_a_request_that_is_too_long_is_not_cut(folder: Folder) -> None:
    with pytest.raises(BoardError, match="too long"):
        Asker(folder.requests, folder.answers).ask("close", "test", NOW, value="x" * REQUEST_SIZE)


def test_a_control_that_starts_tells_everybody_who_waits_to_ask_again(folder: Folder) -> None:
    first, asker = RequestReader(folder.requests, folder.answers), Asker(folder.requests, folder.answers)
    done, read = (asker.ask("open", "test", NOW) for _ in range(2))
    assert len(first.read(NOW, packs=1)) == 2
    first.answer(done, accepted=True, text="done")
    never = asker.ask("close", "test", NOW)
    RingWriter(folder.requests).write(b"nonsense")
    second = RequestReader(folder.requests, folder.answers)
    assert second.read(NOW, packs=1) == [], "what was asked before is not done"
    answers = {number: asker.answer(number) for number in (done, read, never)}
    assert all(a is not None for a in answers.values())
    assert [a.accepted for a in answers.values()] == [True, False, False]
    assert all("ask again" in answers[number].text for number in (read, never))
    third = RequestReader(folder.requests, folder.answers)
    now = asker.ask("close", "test", NOW)
    assert [r.id for r in third.read(NOW, packs=1)] == [now]
    assert asker.answer(done) is None, "nobody is answered twice"


def test_a_flood_of_requests_loses_the_oldest_only(folder: Folder) -> None:
    reader, asker = RequestReader(folder.requests, folder.answers), Asker(folder.requests, folder.answers)
    numbers = [asker.ask("open", "test", NOW) for _ in range(100)]
    assert [r.id for r in reader.read(NOW, packs=1)] == numbers[-64:]


def test_events_are_kept_across_a_new_recorder(folder: Folder) -> None:
    writer = EventWriter(folder, "control")
    for i in range(10):
        assert writer.write(event(f"e{i}")) == i
    first = EventReader(folder, "control")
    assert [e.name for e in first.read()] == [f"e{i}" for i in range(10)]
    first.keep(6)
    first.keep(4)  # never goes back
    assert writer.waiting == 4
    assert not all_kept(folder)
    second = EventReader(folder, "control")
    assert [e.seq for e in second.read()] == [6, 7, 8, 9]
    assert second.lost == 0
    second.keep(10)
    assert all_kept(folder)


def test_events_of_an_earlier_run_stay(folder: Folder) -> None:
    EventWriter(folder, "control").write(event("before"))
    life = folder.events_id.read_text()
    create_messages(folder)
    assert folder.events_id.read_text() == life
    assert EventWriter(folder, "control").write(event("after")) == 1
    assert [e.name for e in EventReader(folder, "control").read()] == ["before", "after"]


def test_too_many_unkept_events_are_told(folder: Folder) -> None:
    writer = EventWriter(folder, "control")
    for i in range(EVENTS - 1):
        writer.write(event(str(i)))
    assert not writer.full
    writer.write(event("last"))
    assert writer.full
    writer.write(event("one more"))
    assert EventReader(folder, "control").lost == 1


def test_unknown_numbers_become_null_and_long_texts_are_cut(folder: Folder) -> None:
    EventWriter(folder, "control").write(
        EventRecord(seq=0, unix_s=NOW, time_ns=5, kind="fault", name="x", limit=math.inf, cause="ü" * 4000)
    )
    (kept,) = EventReader(folder, "control").read()
    assert kept.value is None
    assert kept.limit is None
    assert len(kept.cause) == 300
