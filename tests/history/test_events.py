"""Events are kept once, in order, for good, and who alters them is found out."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from cellarer.history import Reader
from cellarer.history import events as kept
from cellarer.history.database import Database


def event(seq: int, **fields: object) -> dict[str, object]:
    base = {
        "seq": seq, "unix_s": 1.7e9 + seq, "time_ns": seq * 10**9, "kind": "fault", "name": "cell over-voltage",
        "pack": 1, "string": 1, "cell": 3, "value": 3.71, "limit": 3.65, "cause": "rose", "text": "cell 3 is full",
    }  # fmt: skip
    return base | fields


def write(database: Database, *events: dict[str, object], source: str = "a") -> int:
    return database.write_events([kept.prepare(e, source) for e in events])


def test_an_event_comes_back_as_it_was(database: Database, path: Path) -> None:
    write(database, event(0), event(1, cell=None, value=float("nan"), text="Umlaut äöü"))
    newest, oldest = Reader(path).events()
    assert oldest == event(1) | {"unix_s": 1.7e9, "time_ns": 0}
    assert newest == event(1, cell=None, value=None, text="Umlaut äöü") | {"seq": 2}


def test_what_is_delivered_twice_is_kept_once(database: Database, path: Path) -> None:
    write(database, event(0), event(1))
    assert write(database, event(0), event(1), event(2)) == 3
    assert write(database, event(0), source="another run") == 4
    assert Reader(path).acknowledged("a") == 2
    assert Reader(path).acknowledged("never") == -1


def test_pages_of_events_miss_none(database: Database, path: Path) -> None:
    write(database, *(event(i, kind=("fault", "clear")[i % 2]) for i in range(50)))
    reader = Reader(path)
    page, seen = reader.events(20), []
    while page:
        seen += [e["seq"] for e in page]
        page = reader.events(20, before=seen[-1])
    assert seen == list(range(50, 0, -1))
    assert [e["seq"] for e in reader.events(3, after=10)] == [13, 12, 11]
    assert {e["kind"] for e in reader.events(kinds=["clear"])} == {"clear"}


def test_events_cannot_be_altered_or_removed(database: Database) -> None:
    write(database, event(0))
    for order in ("UPDATE event SET text = ''", "DELETE FROM event"):
        with pytest.raises(sqlite3.IntegrityError, match="events"):
            database.connection.execute(order)


@pytest.mark.parametrize(
    ("order", "place"),
    [
        ("UPDATE event SET value = 3.64 WHERE seq = 4", 4),
        ("UPDATE event SET unix_s = unix_s + 1 WHERE seq = 1", 1),
        ("DELETE FROM event WHERE seq = 4", 5),
        ("UPDATE event SET hash = zeroblob(32) WHERE seq = 7", 7),
        ("UPDATE event SET value = x'00' WHERE seq = 4", 4),
        ("UPDATE event SET value = 9e999 WHERE seq = 4", 4),
        ("UPDATE event SET text = CAST(x'ff' AS TEXT) WHERE seq = 4", 4),
    ],
)
def test_a_broken_chain_is_found(database: Database, path: Path, order: str, place: int) -> None:
    write(database, *(event(i) for i in range(8)))
    assert Reader(path).first_break() is None
    database.connection.executescript(f"DROP TRIGGER event_is_final; DROP TRIGGER event_stays; {order};")
    assert Reader(path).first_break() == place


def test_the_head_betrays_a_cut_end(database: Database, path: Path) -> None:
    write(database, event(0), event(1))
    noted = Reader(path).head()
    database.connection.executescript("DROP TRIGGER event_stays; DELETE FROM event WHERE seq = 2;")
    assert Reader(path).first_break() is None
    assert Reader(path).head() != noted


@pytest.mark.parametrize("wrong", [{"seq": None}, {"value": "high"}, {"kind": 3}, {"unix_s": None}, {"name": None}])
def test_what_is_no_event_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=next(iter(wrong))):
        kept.prepare(event(0, **wrong), "a")
