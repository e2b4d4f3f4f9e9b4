"""Folding loses nothing, and what a reader shows is what the plain loop over all samples shows."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cellarer.history import Reader
from cellarer.history.columns import SLOT_S
from cellarer.history.database import Database, Frame, Retention

DAY_S = 86_400
BEGIN = 1_700_000_100.0  # the begin of a slot
VOLTAGE, BLEEDING, CURRENT = "pack1.voltage_V", "pack1.string1.cell001_bleeding", "pack1.current_A"

Samples = dict[float, dict[str, float]]


def record(database: Database, samples: Samples, *, fold: bool = True) -> None:
    for begin in range(0, len(samples), 100):
        part = list(samples.items())[begin : begin + 100]
        frames = [Frame(t, tuple(values), np.array(list(values.values()))) for t, values in part]
        database.write_frames(frames)
        while fold and database.fold_due(part[-1][0]):
            pass


def made(seconds: float, step: float = 1.0) -> Samples:
    """Return samples with unknown values, a gap, and a channel that comes later."""
    rng = np.random.default_rng(7)
    samples: Samples = {}
    for i in range(int(seconds / step)):
        t = round(BEGIN + i * step + rng.integers(0, 20) / 1000, 3)
        if 0.4 < i * step / seconds < 0.5:
            continue
        values = {VOLTAGE: math.nan if i % 17 == 0 else 52 + rng.integers(-500, 500) / 1000}
        if i * step > seconds / 3:
            values[CURRENT] = rng.integers(-10000, 10000) / 100
        samples[t] = values
    return samples


def by_hand(samples: Samples, channel: str, width: float) -> dict[float, tuple[float, float, float]]:
    """Return min, mean, max by middle of the bin, by a plain loop over whole milliseconds."""
    bins: dict[int, list[float]] = {}
    for t, values in samples.items():
        if not math.isnan(values.get(channel, math.nan)):
            bins.setdefault(round(t * 1000) // round(width * 1000), []).append(values[channel])
    return {(k + 0.5) * width: (min(v), sum(v) / len(v), max(v)) for k, v in bins.items()}


def shown(
    reader: Reader, channel: str, begin: float, end: float, points: int
) -> tuple[float, dict[float, tuple[float, float, float]]]:
    table = reader.series(channel, begin, end, points)
    line = table.series[channel]
    rows = zip(table.unix_s.tolist(), line.min.tolist(), line.avg.tolist(), line.max.tolist())
    return table.width_s, {t: (low, mean, high) for t, low, mean, high in rows if not math.isnan(low)}


@pytest.mark.parametrize("points", [4000, 1000, 120, 30, 5, 2])
@pytest.mark.parametrize("channel", [VOLTAGE, CURRENT])
def test_downsampling_is_exact(database: Database, path: Path, points: int, channel: str) -> None:
    samples = made(3.6 * 3600, 4.0)
    record(database, samples)
    width, found = shown(Reader(path), channel, BEGIN, BEGIN + 4 * 3600, points)
    expected = by_hand(samples, channel, width)
    assert found.keys() == expected.keys()
    for t, values in expected.items():
        assert found[t] == pytest.approx(values, rel=1e-12)


def test_folded_and_unfolded_look_the_same(tmp_path: Path) -> None:
    samples = made(2 * 3600, 5.0)
    looks = []
    for name in ("folded", "journal"):
        with Database(tmp_path / name, Retention()) as database:
            record(database, samples, fold=name == "folded")
        looks.append([shown(Reader(tmp_path / name), VOLTAGE, BEGIN, BEGIN + 7200, n) for n in (2000, 100, 4)])
    assert looks[0] == looks[1]


def test_a_range_shows_only_itself(database: Database, path: Path) -> None:
    record(database, made(3600))
    _, found = shown(Reader(path), VOLTAGE, BEGIN + 600, BEGIN + 660, 60)
    assert found
    assert all(BEGIN + 600 <= t <= BEGIN + 661 for t in found)


def test_a_gap_is_marked_once(database: Database, path: Path) -> None:
    record(database, {BEGIN + i: {VOLTAGE: 50.0} for i in (*range(60), *range(600, 660))})
    line = Reader(path).series(VOLTAGE, BEGIN, BEGIN + 900, 900).series[VOLTAGE]
    assert np.isnan(line.avg).sum() == 1


def test_a_clock_that_is_set_back_loses_nothing(database: Database, path: Path) -> None:
    record(database, {BEGIN + i: {VOLTAGE: 50.0 + i / 1000} for i in range(2000)})
    late = {BEGIN + 400.5 + i: {CURRENT: float(i)} for i in range(100)}
    database.write_frames([Frame(t, tuple(v), np.array(list(v.values()))) for t, v in late.items()])
    record(database, {BEGIN + i: {VOLTAGE: 51.0} for i in range(4000, 4100)})
    reader = Reader(path)
    assert len(shown(reader, VOLTAGE, BEGIN, BEGIN + 2000, 4000)[1]) == 2000
    assert len(shown(reader, CURRENT, BEGIN, BEGIN + 2000, 4000)[1]) == 100


def test_unknown_channels_and_ranges_are_refused(database: Database, path: Path) -> None:
    record(database, made(60))
    with pytest.raises(KeyError, match="nonsense"):
        Reader(path).series("nonsense", BEGIN, BEGIN + 1, 10)
    for begin, end, points in (
        (BEGIN, BEGIN, 10),
        (BEGIN, math.nan, 10),
        (BEGIN, BEGIN + 1, 0),
        (BEGIN, BEGIN + 1, 10**9),
    ):
        with pytest.raises(ValueError, match="must be"):
            Reader(path).series(VOLTAGE, begin, end, points)


def test_a_file_that_is_not_there_tells_nothing(path: Path) -> None:
    reader = Reader(path)
    assert (reader.channels(), reader.events(), reader.span(), reader.head()[0]) == ([], [], None, 0)


def test_span_is_first_to_last(database: Database, path: Path) -> None:
    record(database, {BEGIN + i: {VOLTAGE: 50.0} for i in range(2000)})
    assert Reader(path).span() == (BEGIN, BEGIN + 1999)


def days(database: Database, count: int, read: Callable[[], object] = lambda: None) -> None:
    """Record one sample per slot."""
    for i in range(0, count * DAY_S, SLOT_S):
        record(database, {BEGIN + i: {VOLTAGE: 50.0}})
        read()


def test_old_values_leave_and_their_statistics_stay(path: Path) -> None:
    with Database(path, Retention(days=2)) as database:
        days(database, 4)
        kept = database.connection.execute("SELECT min(slot), max(slot) FROM slot").fetchone()
    assert (kept[1] - kept[0]) * SLOT_S == pytest.approx(2 * DAY_S, abs=3 * SLOT_S)
    assert len(shown(Reader(path), VOLTAGE, BEGIN, BEGIN + 4 * DAY_S, 4000)[1]) == pytest.approx(4 * 96, abs=2)


def test_a_clock_far_ahead_does_not_erase_history(database: Database) -> None:
    days(database, 4)
    before = database.connection.execute("SELECT count(*) FROM slot").fetchone()[0]
    record(database, {BEGIN + 1e9: {VOLTAGE: 50.0}})
    assert database.connection.execute("SELECT count(*) FROM slot").fetchone()[0] >= before - 96


@pytest.mark.parametrize(("size_MB", "values_stay"), [(1.5, True), (0.5, False)])
def test_the_file_does_not_outgrow_its_size(path: Path, size_MB: float, values_stay: bool) -> None:
    """Values go first; where even the statistics are too many, the oldest of them go as well."""
    with Database(path, Retention(size_MB=size_MB)) as database:
        rng = np.random.default_rng(3)
        names = tuple(f"pack1.string1.cell{i:03d}_voltage_V" for i in range(50))
        for i in range(0, 7 * DAY_S, SLOT_S):
            database.write_frames([Frame(BEGIN + i + k, names, rng.random(50)) for k in range(0, 20, 4)])
            while database.fold_due(BEGIN + i + 20):
                pass
        pages, free = (
            database.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count")
        )
        first, last = database.connection.execute("SELECT min(slot), max(slot) FROM slot").fetchone()
        statistics = database.connection.execute("SELECT max(slot) - min(slot) FROM stat").fetchone()[0]
    assert (pages - free) * 4096 < size_MB * 1e6 * 1.4
    assert last - first >= 90
    assert (statistics > 6 * 96) == values_stay
