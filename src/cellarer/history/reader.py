"""Reading a site's history while it is written: each question opens the file read-only and closes it again.

A reader never checkpoints and never blocks the writer. Bins are whole multiples of the sample clock, aligned to the
epoch; from 15 minutes up they are made from the statistics table, below that from single values. Both give the same
numbers: minimum and maximum exactly, the mean of all samples in the bin to floating-point accuracy.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, floor, isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellarer.history import events
from cellarer.history.codec import UNKNOWN
from cellarer.history.columns import SLOT_S, journal, known_channels, oldest_statistics, slots

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]
Columns = dict[int, NDArray[np.int32]]

SLOT_ms = SLOT_S * 1000

# Widths of a bin; the smallest that gives at most the points asked for is taken.
DAY_ms = 86_400_000
WIDTHS_ms = (
    50,
    100,
    250,
    500,
    *(1000 * s for s in (1, 2, 5, 10, 15, 30, 60, 120, 300, 900, 1800, 3600, 7200, 21600, 43200)),
    DAY_ms,
)
POINTS = 4000  # at most
GAP = 5  # a hole longer than this many medians between points is a gap


@dataclass(frozen=True, slots=True)
class Series:
    """One channel, binned: NaN where the channel was unknown or nothing was recorded."""

    min: Floats
    avg: Floats
    max: Floats


@dataclass(frozen=True, slots=True)
class Table:
    """Several channels over the same bins. A row of NaN marks a gap."""

    unix_s: Floats  # (bin,) middle of the bin
    width_s: float
    series: dict[str, Series]


@dataclass(slots=True)
class _Bins:
    """Whole-number sums of one channel, (bin,)."""

    n: Longs
    total: Longs
    low: Longs
    high: Longs


class Reader:
    """Questions to a history file; one that does not exist yet has nothing to tell."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def channels(self) -> list[str]:
        """Return the names of all channels ever recorded."""
        with self._open() as db:
            return [row[0] for row in db.execute("SELECT name FROM channel ORDER BY name")] if db else []

    def span(self) -> tuple[float, float] | None:
        """Return the time of the first and the last recorded value in unix seconds; None when there is nothing."""
        with self._open() as db:
            if not db:
                return None
            last = db.execute("SELECT max(slot) FROM slot").fetchone()[0]
            begin_ms, end_ms = db.execute("SELECT min(t_ms), max(t_ms) FROM journal").fetchone()
            oldest = oldest_statistics(db)
        begins = [*([] if oldest is None else [oldest * SLOT_ms]), *([] if begin_ms is None else [begin_ms])]
        ends = [*([] if last is None else [(last + 1) * SLOT_ms]), *([] if end_ms is None else [end_ms])]
        return (min(begins) / 1000, ends[-1] / 1000) if begins and ends else None

    def series(self, channel: str, begin_s: float, end_s: float, points: int) -> Table:
        """Return one channel from begin to end (unix seconds) in at most so many bins, and gap rows between."""
        return self.table([channel], begin_s, end_s, points)

    def table(self, channels: Sequence[str], begin_s: float, end_s: float, points: int) -> Table:
        """Return several channels over common bins. Raises KeyError for a channel that was never recorded."""
        width = _width(begin_s, end_s, points)
        with self._open() as db:
            known = known_channels(db) if db else {}
            if missing := [name for name in channels if name not in known]:
                raise KeyError(", ".join(missing))
            if db and width < SLOT_ms and _only_statistics(db, begin_s):
                width = SLOT_ms
            first = floor(begin_s * 1000) // width
            count = -(-ceil(end_s * 1000) // width) - first
            bins = {known[name][0]: _empty(count) for name in channels}
            if db and bins:
                fill = _from_statistics if width >= SLOT_ms else _from_values
                fill(db, bins, first, width)
        return _table({name: (bins[known[name][0]], known[name][1]) for name in channels}, first, width)

    def events(
        self, limit: int = 100, *, before: int | None = None, after: int | None = None, kinds: Sequence[str] = ()
    ) -> list[dict[str, object]]:
        """Return events newest first; `before`, `after` are event numbers; with `after`, the next `limit`."""
        with self._open() as db:
            return events.select(db, limit=limit, before=before, after=after, kinds=kinds) if db else []

    def head(self) -> tuple[int, str]:
        """Return number and hash of the newest event: noted elsewhere, they prove later that none was cut off."""
        with self._open() as db:
            seq, chain = events.head(db) if db else (0, events.GENESIS)
            return seq, chain.hex()

    def acknowledged(self, source: str) -> int:
        """Return the highest `seq` of a source that is kept; −1 when none is. A restarted recorder goes on after it."""
        with self._open() as db:
            return events.newest_of(db, source) if db else -1

    def standing(self, names: Iterable[str]) -> list[tuple[str, int, int]]:
        """Return which of these faults began and never ended: (name, pack, string), both counted from 1."""
        with self._open() as db:
            return events.standing(db, names) if db else []

    def first_break(self) -> int | None:
        """Return the number of the first event that was altered or whose predecessor is missing; None = all intact."""
        with self._open() as db:
            return events.first_break(db) if db else None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection | None]:
        if not self.path.exists():
            yield None
            return
        db = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, timeout=2.0, isolation_level=None)
        try:
            db.execute("BEGIN")  # one consistent moment: a fold in between must not show values twice or never
            ready = db.execute("PRAGMA user_version").fetchone()[0] > 0
            yield db if ready else None
        finally:
            db.close()


def _width(begin_s: float, end_s: float, points: int) -> int:
    """Return the smallest bin width, in ms, that gives at most `points` bins and one."""
    if not (isfinite(begin_s) and isfinite(end_s) and end_s > begin_s):
        raise ValueError(f"the end of the range ({end_s}) must be after its begin ({begin_s})")
    if not 1 <= points <= POINTS:
        raise ValueError(f"points must be 1 … {POINTS}, got {points}")
    need = (end_s - begin_s) * 1000 / points
    return next((width for width in WIDTHS_ms if width >= need), ceil(need / DAY_ms) * DAY_ms)


def _only_statistics(db: sqlite3.Connection, begin_s: float) -> bool:
    """Tell whether a range begins where single values have been forgotten and statistics are left."""
    kept = db.execute("SELECT min(slot) FROM slot").fetchone()[0]
    oldest = oldest_statistics(db)
    return oldest is not None and (kept is None or (oldest < kept and begin_s < kept * SLOT_S))


def _empty(n: int) -> _Bins:
    zero = np.zeros(n, np.int64)
    return _Bins(zero, zero.copy(), np.full(n, 2**31 - 1, np.int64), np.full(n, -(2**31), np.int64))


def _from_values(db: sqlite3.Connection, bins: dict[int, _Bins], first: int, width: int) -> None:
    """Bin single values, from chunks and from the journal."""
    count = len(next(iter(bins.values())).n)
    begin, end = first * width // SLOT_ms, (first + count) * width // SLOT_ms
    for times, columns in (*slots(db, begin, end, list(bins)), *journal(db, begin, end, list(bins))):
        _add_values(bins, times, columns, first, width)


def _add_values(bins: dict[int, _Bins], times: Longs, columns: Columns, first: int, width: int) -> None:
    index = times // width - first
    for channel, column in columns.items():
        sums = bins[channel]
        ok = (column != UNKNOWN) & (index >= 0) & (index < len(sums.n))
        at, value = index[ok], column[ok].astype(np.int64)
        np.add.at(sums.n, at, 1)
        np.add.at(sums.total, at, value)
        np.minimum.at(sums.low, at, value)
        np.maximum.at(sums.high, at, value)


def _from_statistics(db: sqlite3.Connection, bins: dict[int, _Bins], first: int, width: int) -> None:
    """Bin the statistics of folded slots, and the single values of those that are not folded yet."""
    per = width // SLOT_ms
    count = len(next(iter(bins.values())).n)
    begin, end = first * per, (first + count) * per - 1
    for times, columns in journal(db, begin, end, list(bins)):
        _add_values(bins, times, columns, first, width)
    for channel, sums in bins.items():
        rows = db.execute(
            "SELECT slot / ? - ? AS bin, sum(n), sum(sum), min(min), max(max) FROM stat "
            "WHERE channel = ? AND slot BETWEEN ? AND ? GROUP BY bin",
            (per, first, channel, begin, end),
        )
        for at, n, total, low, high in rows:
            sums.n[at] += n
            sums.total[at] += total
            sums.low[at] = min(int(sums.low[at]), low)
            sums.high[at] = max(int(sums.high[at]), high)


def _table(named: dict[str, tuple[_Bins, int]], first: int, width: int) -> Table:
    """Leave out bins that are empty in all channels, divide, and mark gaps."""
    some = np.any([sums.n > 0 for sums, _ in named.values()], axis=0) if named else np.zeros(0, bool)
    at = np.flatnonzero(some)
    holes = np.diff(at)
    gaps = np.flatnonzero(holes > GAP * np.median(holes)) + 1 if len(holes) else np.zeros(0, np.int64)
    middle_s = (np.insert(at.astype(np.float64), gaps, at[gaps - 1] + 1.0) + first + 0.5) * width / 1000
    series = {name: _divided(sums, steps, at, gaps) for name, (sums, steps) in named.items()}
    return Table(middle_s, width / 1000, series)


def _divided(sums: _Bins, steps: int, at: Longs, gaps: Longs) -> Series:
    n = sums.n[at]
    low, mean, high = sums.low[at], sums.total[at] / np.maximum(n, 1), sums.high[at]
    return Series(*(np.insert(np.where(n > 0, column / steps, np.nan), gaps, np.nan) for column in (low, mean, high)))
