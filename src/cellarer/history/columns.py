"""What lies in the file, as columns: journal rows and chunks come back in one form, for folding and for reading."""

import sqlite3
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cellarer.history import codec

SLOT_S = 900  # one chunk
CHANNELS = 2**20  # key of a chunk: slot × CHANNELS + channel

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Part = tuple[Longs, dict[int, Ints]]  # times in ms, column per channel id


def known_channels(db: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """Return id and steps per unit of every channel ever recorded."""
    return {name: (channel, steps) for name, channel, steps in db.execute("SELECT name, id, steps FROM channel")}


def oldest_statistics(db: sqlite3.Connection) -> int | None:
    """Return the first slot of which anything is known; one look per channel."""
    each = "SELECT slot FROM stat WHERE channel = id ORDER BY slot LIMIT 1"
    found = db.execute(f"SELECT min(({each})) FROM channel").fetchone()[0]
    return None if found is None else int(found)


def journal(db: sqlite3.Connection, first: int, last: int, wanted: Sequence[int] | None = None) -> list[Part]:
    """Return the unfolded samples of slots first … last, one part per set of channels."""
    begin, end = first * SLOT_S * 1000, (last + 1) * SLOT_S * 1000
    rows = db.execute(
        "SELECT layout, t_ms, frame FROM journal WHERE t_ms >= ? AND t_ms < ? ORDER BY layout, t_ms", (begin, end)
    ).fetchall()
    parts = []
    for layout in dict.fromkeys(row[0] for row in rows):
        blob = db.execute("SELECT channels FROM layout WHERE id = ?", (layout,)).fetchone()[0]
        ids = np.frombuffer(blob, "<i4").tolist()
        mine = [row for row in rows if row[0] == layout]
        matrix = np.frombuffer(b"".join(row[2] for row in mine), "<i4").reshape(len(mine), len(ids))
        columns = {c: matrix[:, i].astype(np.int32) for i, c in enumerate(ids) if wanted is None or c in wanted}
        parts.append((np.array([row[1] for row in mine], np.int64), columns))
    return parts


def slots(db: sqlite3.Connection, first: int, last: int, wanted: Sequence[int] | None = None) -> list[Part]:
    """Return the folded samples of slots first … last, one part per slot."""
    times = {
        slot: slot * SLOT_S * 1000 + codec.decode(blob).astype(np.int64)
        for slot, blob in db.execute("SELECT slot, offsets_ms FROM slot WHERE slot BETWEEN ? AND ?", (first, last))
    }
    found: dict[int, dict[int, Ints]] = {slot: {} for slot in times}
    if wanted is None:
        rows = db.execute(
            "SELECT key, blob FROM chunk WHERE key >= ? AND key < ?", (first * CHANNELS, (last + 1) * CHANNELS)
        )
        for key, blob in rows:
            found[key // CHANNELS][key % CHANNELS] = codec.decode(blob)
    for channel in wanted or ():
        rows = db.execute(
            "SELECT slot, blob FROM slot JOIN chunk ON chunk.key = slot * ? + ? WHERE slot BETWEEN ? AND ?",
            (CHANNELS, channel, first, last),
        )
        for slot, blob in rows:
            if slot in found:
                found[slot][channel] = codec.decode(blob)
    return [(times[slot], columns) for slot, columns in found.items()]


def merge(parts: Sequence[Part]) -> Part:
    """Return parts as one, by time; what a part does not have is UNKNOWN there. The first of equal times stays."""
    if not parts:
        return np.empty(0, np.int64), {}
    times, order = np.unique(np.concatenate([part[0] for part in parts]), return_index=True)
    names = dict.fromkeys(channel for part in parts for channel in part[1])
    columns = {}
    for channel in names:
        pieces = [part[1].get(channel, np.full(len(part[0]), codec.UNKNOWN, np.int32)) for part in parts]
        columns[channel] = np.concatenate(pieces)[order]
    return times, columns
