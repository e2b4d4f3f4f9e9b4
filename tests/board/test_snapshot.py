"""A snapshot comes back as it was, never half of one cycle and half of another."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from cellarer.board import snapshot as snapshots
from cellarer.board.ring import BoardError
from cellarer.board.snapshot import LEAST, SECONDS, Snapshot, SnapshotReader, SnapshotWriter, create_snapshot
from cellarer.config import load
from cellarer.core.cycle import start
from cellarer.model.values import Runs, State


def moment(state: State) -> Snapshot:
    return Snapshot(12.5, 3, 77, True, np.ones(1, bool), state)


def same(got: object, sent: object) -> None:
    """Compare arrays, also those of a part within a part."""
    if is_dataclass(sent):
        for field in fields(sent):
            same(getattr(got, field.name), getattr(sent, field.name))
    else:
        np.testing.assert_array_equal(got, sent)  # type: ignore[arg-type]


def test_a_snapshot_comes_back_as_it_was(tmp_path: Path) -> None:
    first = moment(start(load("home").config, 0))
    create_snapshot(tmp_path / "snapshot", first)
    writer, reader = SnapshotWriter(tmp_path / "snapshot"), SnapshotReader(tmp_path / "snapshot")
    assert reader.newest() is None
    estimate = replace(first.state.estimate, soc=np.linspace(0, 1, 16))
    writer.write(replace(first, state=replace(first.state, cycle=9, time_ns=2**61, estimate=estimate)))
    got = reader.newest()
    assert got is not None
    assert (got.unix_s, got.overruns, got.late_ns, got.recorder_live) == (12.5, 3, 77, True)
    assert (got.state.cycle, got.state.time_ns) == (9, 2**61)
    assert got.state.watch is None
    np.testing.assert_array_equal(got.state.estimate.soc, estimate.soc)
    for name in ("seen", "estimate", "faults", "switches", "charging", "wishes", "counters"):
        part, sent = getattr(got.state, name), getattr(first.state, name)
        for field in fields(sent):
            if (name, field.name) not in (("estimate", "soc"), ("faults", "runs")):
                same(getattr(part, field.name), getattr(sent, field.name))
    with pytest.raises(ValueError, match="read-only"):
        got.state.estimate.soc[0] = 1.0


def test_memory_that_changes_its_size_is_not_published(tmp_path: Path) -> None:
    first = moment(start(load("home").config, 0))
    create_snapshot(tmp_path / "snapshot", first)
    writer, reader = SnapshotWriter(tmp_path / "snapshot"), SnapshotReader(tmp_path / "snapshot")
    runs = Runs(np.zeros(180, np.int64), np.ones(180, np.int64))
    writer.write(replace(first, state=replace(first.state, faults=replace(first.state.faults, runs=runs))))
    got = reader.newest()
    assert got is not None
    assert got.state.faults.runs is None


def test_the_seconds_are_kept_for_who_comes_late(tmp_path: Path) -> None:
    first = moment(start(load("home").config, 0))
    create_snapshot(tmp_path / "seconds", first, seconds=True)
    writer = SnapshotWriter(tmp_path / "seconds")
    for second in range(SECONDS + 30):
        writer.write(replace(first, unix_s=float(second)))
    reader = SnapshotReader(tmp_path / "seconds")
    assert [s.unix_s for s in reader.since()] == [float(s) for s in range(30, SECONDS + 30)]
    assert list(reader.since()) == []
    writer.write(replace(first, unix_s=500.0))
    assert [s.unix_s for s in reader.since()] == [500.0]


def test_a_large_site_keeps_fewer_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = moment(start(load("home").config, 0))
    create_snapshot(tmp_path / "seconds", first, seconds=True)
    size = json.loads((tmp_path / "seconds.outline").read_bytes())[0]
    for fit, kept in ((2, LEAST), (20, 20)):
        monkeypatch.setattr(snapshots, "SECONDS_BYTES", fit * size + 1)
        create_snapshot(tmp_path / "seconds", first, seconds=True)
        writer = SnapshotWriter(tmp_path / "seconds")
        for second in range(100):
            writer.write(replace(first, unix_s=float(second)))
        assert len(list(SnapshotReader(tmp_path / "seconds").since())) == kept


def test_nothing_is_read_before_the_site_runs(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="is the site running"):
        SnapshotReader(tmp_path / "snapshot")


CODE = """
import os, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from cellarer.board.snapshot import SnapshotWriter
from cellarer.config import load
from cellarer.core.cycle import start
from tests.board.test_snapshot import moment
first = moment(start(load("home").config, 0))
writer, parent, cycle = SnapshotWriter(Path(sys.argv[1])), os.getppid(), 0
while os.getppid() == parent:
    cycle += 1
    same = lambda a: np.full_like(a, cycle % 100)
    soc, seen = same(first.state.estimate.soc), first.state.seen
    estimate = replace(first.state.estimate, soc=soc, voltage_model=soc)
    state = replace(first.state, cycle=cycle, estimate=estimate, seen=replace(seen, value=same(seen.value)))
    writer.write(replace(first, state=state))
"""


def test_a_reader_beside_a_fast_writer_sees_whole_cycles(tmp_path: Path) -> None:
    create_snapshot(tmp_path / "snapshot", moment(start(load("home").config, 0)))
    process = subprocess.Popen([sys.executable, "-c", CODE, str(tmp_path / "snapshot")])
    try:
        reader, cycles = SnapshotReader(tmp_path / "snapshot"), set()
        until = time.monotonic() + 20
        while len(cycles) < 100 and time.monotonic() < until:
            assert process.poll() is None
            got = reader.newest()
            if got is not None:
                cycles.add(got.state.cycle)
                said = {got.state.cycle % 100}
                assert set(got.state.estimate.soc.tolist()) == said
                assert set(got.state.estimate.voltage_model.tolist()) == said
                assert set(got.state.seen.value.tolist()) == said
        assert len(cycles) >= 100
    finally:
        process.kill()
        process.wait()
