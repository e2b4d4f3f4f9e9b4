"""Events as they are kept: append-only, each bound to all before it by a hash.

hash = SHA-256(hash before ‖ the event as canonical JSON). Who alters, removes or inserts an event breaks every hash
after it, and `first_break` names the place. Cutting off the newest events is not seen by the chain alone: note the
`head` (number and hash), which the API gives, somewhere else.
"""

import hashlib
import json
import math
import sqlite3
from collections.abc import Iterable, Mapping
from typing import NamedTuple

Event = Mapping[str, object]

GENESIS = bytes(32)

FIELDS = (
    "unix_s", "time_ns", "kind", "name", "pack", "string", "cell", "value", "limit", "cause", "text",
)  # fmt: skip
_REAL = {"unix_s", "value", "limit"}
_INTEGER = {"time_ns", "pack", "string", "cell"}
_NEEDED = {"unix_s", "kind", "name"}

# `limit` is a word of SQL. source and source_seq say which event of which run this was, so that an event that is
# delivered twice is kept once.
SCHEMA = """
CREATE TABLE IF NOT EXISTS event(
    seq INTEGER PRIMARY KEY, unix_s REAL NOT NULL, time_ns INTEGER, kind TEXT NOT NULL, name TEXT NOT NULL,
    pack INTEGER, string INTEGER, cell INTEGER, value REAL, "limit" REAL, cause TEXT, text TEXT,
    source TEXT NOT NULL, source_seq INTEGER NOT NULL, hash BLOB NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS event_source ON event(source, source_seq);
CREATE TRIGGER IF NOT EXISTS event_is_final BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'events are final'); END;
CREATE TRIGGER IF NOT EXISTS event_stays BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'events stay'); END;
"""
_COLUMNS = ", ".join(f'"{name}"' for name in FIELDS)


class Row(NamedTuple):
    """An event made ready to be kept."""

    source: str
    number: int  # of the event at its source
    fields: tuple[object, ...]  # in the order of FIELDS


def prepare(event: Event, source: str) -> Row:
    """Return an event as it will be kept; raises TypeError, naming the field, for what cannot be one."""
    number = event.get("seq")
    if not isinstance(number, int):
        raise TypeError(f"event field seq must be an integer, got {number!r}")
    return Row(source, number, tuple(_kept(name, event.get(name)) for name in FIELDS))


def append(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Write events inside the caller's transaction. One that is kept already is passed over: delivery may repeat."""
    seq, chain = head(db)
    known: dict[str, int] = {}
    for row in rows:
        if row.source not in known:
            known[row.source] = newest_of(db, row.source)
        if row.number <= known[row.source]:
            continue
        seq, chain, known[row.source] = seq + 1, _link(chain, seq + 1, row.fields), row.number
        db.execute(
            f"INSERT INTO event(seq, {_COLUMNS}, source, source_seq, hash) VALUES ({', '.join('?' * 15)})",
            (seq, *row.fields, row.source, row.number, chain),
        )


def head(db: sqlite3.Connection) -> tuple[int, bytes]:
    """Return number and hash of the newest event; (0, GENESIS) when there is none."""
    row = db.execute("SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1").fetchone()
    return (int(row[0]), bytes(row[1])) if row else (0, GENESIS)


def newest_of(db: sqlite3.Connection, source: str) -> int:
    """Return the highest source number kept of a source; −1 when none is."""
    row = db.execute("SELECT max(source_seq) FROM event WHERE source = ?", (source,)).fetchone()
    return -1 if row[0] is None else int(row[0])


def standing(db: sqlite3.Connection, names: Iterable[str]) -> list[tuple[str, int, int]]:
    """Return which of these faults began and never ended: (name, pack, string), both counted from 1."""
    wanted = tuple(names)
    newest = f"""SELECT max(seq) FROM event WHERE kind IN ('fault', 'clear') AND string NOT NULL
        AND name IN ({", ".join("?" * len(wanted))}) GROUP BY name, pack, string"""
    rows = db.execute(f"SELECT name, pack, string FROM event WHERE kind = 'fault' AND seq IN ({newest})", wanted)
    return [(str(name), int(pack), int(string)) for name, pack, string in rows]


def select(
    db: sqlite3.Connection, *, limit: int, before: int | None, after: int | None, kinds: Iterable[str]
) -> list[dict[str, object]]:
    """Return events newest first; with `after`, the oldest ones after it come, so that a follower misses none."""
    wanted = tuple(kinds)
    where, args = ["1"], list[object]()
    if before is not None:
        where, args = [*where, "seq < ?"], [*args, before]
    if after is not None:
        where, args = [*where, "seq > ?"], [*args, after]
    if wanted:
        where, args = [*where, f"kind IN ({', '.join('?' * len(wanted))})"], [*args, *wanted]
    order = "DESC" if after is None else "ASC"
    rows = db.execute(
        f"SELECT seq, {_COLUMNS} FROM event WHERE {' AND '.join(where)} ORDER BY seq {order} LIMIT ?", (*args, limit)
    ).fetchall()
    return [dict(zip(("seq", *FIELDS), row)) for row in (rows if after is None else reversed(rows))]


def first_break(db: sqlite3.Connection) -> int | None:
    """Return the number of the first event that does not fit to those before it; None when all do."""
    expected, chain = 1, GENESIS
    db.text_factory = lambda data: data.decode("utf-8", "replace")  # what was altered need not be a text any more
    for seq, *row, found in db.execute(f"SELECT seq, {_COLUMNS}, hash FROM event ORDER BY seq"):
        try:
            chain = _link(chain, seq, row)
        except (TypeError, ValueError):  # a blob or infinite: we never wrote that
            return int(seq)
        if seq != expected or chain != found:
            return int(seq)
        expected += 1
    return None


def _kept(name: str, value: object) -> object:
    """Return a field as SQLite gives it back, so that the hash can be made again; NaN and infinite become null."""
    if value is None and name not in _NEEDED:
        return None
    if name in _REAL and isinstance(value, int | float):
        return float(value) if math.isfinite(value) or name in _NEEDED else None
    if name in _INTEGER and isinstance(value, int):
        return int(value)
    if name in _REAL or name in _INTEGER:
        raise TypeError(f"event field {name} must be a number or null, got {value!r}")
    if not isinstance(value, str):
        raise TypeError(f"event field {name} must be a text, got {value!r}")
    return value


def _link(chain: bytes, seq: int, row: Iterable[object]) -> bytes:
    text = json.dumps([seq, *row], ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(chain + text.encode()).digest()
