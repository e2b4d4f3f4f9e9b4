"""Readings arrive as they were written, repeated and older ones change nothing, and the guard reads the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cellarer.board.samples import SampleReader, SampleWriter, create_samples
from cellarer.guard.files import Ring, readings
from cellarer.model.values import NEVER


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_samples(tmp_path / "samples", 1000)
    return tmp_path / "samples"


def test_readings_reach_control_and_guard_alike(path: Path) -> None:
    writer, reader, guard = SampleWriter(path), SampleReader(path), Ring(path)
    sent = [(i, i * 0.1 + 3.0) for i in range(21)] + [(21, np.nan)]
    writer.put(1_000, 5, sent)
    value, time_ns = np.full(24, np.nan), np.full(24, NEVER)
    assert reader.take(value, time_ns) == 3
    np.testing.assert_array_equal(value[:22], [v for _, v in sent])
    assert (time_ns[:22] == 1_000).all()
    assert (time_ns[22:] == NEVER).all()
    got = [(t, pair) for t, pairs in map(readings, guard.fresh()) for pair in pairs]
    assert [p for _, p in got][:21] == sent[:21]
    assert {t for t, _ in got} == {1_000}


def test_an_older_record_changes_nothing(path: Path) -> None:
    writer, reader = SampleWriter(path), SampleReader(path)
    value, time_ns = np.full(3, np.nan), np.full(3, NEVER)
    writer.put(2_000, 1, [(0, 3.3)])
    writer.put(1_999, 2, [(0, 4.4), (1, 5.5)])
    reader.take(value, time_ns)
    np.testing.assert_array_equal(value, [3.3, 5.5, np.nan])
    np.testing.assert_array_equal(time_ns, [2_000, 1_999, NEVER])


def test_signals_that_the_site_does_not_have_are_counted(path: Path) -> None:
    writer, reader = SampleWriter(path), SampleReader(path)
    value, time_ns = np.full(2, np.nan), np.full(2, NEVER)
    writer.put(1, 1, [(0, 1.0), (2, 2.0), (4_000_000_000, 3.0)])
    reader.take(value, time_ns)
    assert reader.foreign == 2
    assert value[0] == 1.0


def test_the_ring_holds_64_seconds(path: Path) -> None:
    assert SampleReader(path).slots >= 64 * 1000


def test_many_records_at_once_leave_what_each_alone_would(path: Path) -> None:
    """Out of order, the same signal several times, at the same time twice, foreign ones between."""
    dice = np.random.default_rng(3)
    writer, alone, whole = SampleWriter(path), SampleReader(path), SampleReader(path)
    one, at_once = [(np.full(9, np.nan), np.full(9, NEVER)) for _ in range(2)]
    for _ in range(50):
        for _ in range(int(dice.integers(0, 8))):
            signals = dice.integers(0, 11, int(dice.integers(1, 20))).tolist()
            writer.put(int(dice.integers(1, 12)), 1, [(signal, float(dice.random())) for signal in signals])
            while alone.take(*one, limit=1):
                pass
        whole.take(*at_once)
        for each, all_ in zip(one, at_once, strict=True):
            np.testing.assert_array_equal(each, all_)
    assert alone.foreign == whole.foreign > 0
