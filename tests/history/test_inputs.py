"""The input log: what was read is put together again, holes are holes, a torn file is a shorter one, old ones go."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from tests.processes.logged import MS, Run, header

from cellarer.board.ring import create_ring
from cellarer.history import freeze
from cellarer.history.freeze import Freezes, InputLog, runs, segments, worth
from cellarer.history.inputs import FRAME, Log, LogError, frames, pack, unpack
from cellarer.history.recording import lines
from cellarer.runtime.recording import read as read_recording


def logged(run: Run, state_dir: Path) -> Log:
    log = run.log(state_dir)
    log.write(run.reader(*log.places()).read())
    return Log(runs(state_dir / "inputs")[-1])


def event(run: Run, name: str = "cell_over_voltage_maximum") -> dict[str, object]:
    return {
        "time_ns": run.now_ns,
        "unix_s": 1e9 + run.now_ns * 1e-9,
        "kind": "fault",
        "name": name,
        "text": name,
        "pack": 1,
        "string": 1,
    }


def test_every_cycle_gets_what_control_had_seen(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.cycle(keyframe=True)
    seen = []
    for _ in range(30):
        run.measure()
        run.cycle()
        seen.append((run.now_ns - 20 * MS, run.value.copy(), run.time_ns.copy()))
    run.measure()  # delivered, and not seen by any cycle yet
    found = list(logged(run, tmp_path).moments())
    assert [m.cycle for m in found] == list(range(31))
    for (now_ns, value, time_ns), moment in zip(seen, found[1:], strict=True):
        assert moment.now_ns == now_ns
        np.testing.assert_array_equal(moment.value, value)
        np.testing.assert_array_equal(moment.time_ns, time_ns)


def test_a_recorder_that_comes_back_loses_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.cycle(keyframe=True)
    run.cycles(10)
    logged(run, tmp_path)
    run.cycles(10)
    assert [m.cycle for m in logged(run, tmp_path).moments()] == list(range(21))
    assert len(segments(tmp_path / "inputs")) == 2


def test_what_nobody_read_in_time_is_a_hole_and_the_next_keyframe_ends_it(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    create_ring(run.folder.cycles, 64, 8)
    run.begin()
    log, reader = run.log(tmp_path), run.reader()
    run.cycle(keyframe=True)
    run.cycles(4)
    log.write(reader.read())
    run.cycles(20)
    log.write(reader.read())
    run.cycle(keyframe=True)
    run.cycles(2)
    log.write(reader.read())
    found = list(Log(segments(tmp_path / "inputs")).moments())
    assert [m.cycle for m in found] == [*range(5), 25, 26, 27]
    assert [m.restart for m in found] == [True, *[False] * 4, True, False, False]


def test_who_dies_between_keyframe_and_cycle_hides_no_run(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.cycle(keyframe=True)
    run.cycles(4)
    run.inputs.keyframe(run.state, run.plan, run.value, run.time_ns, [run.ring.place])  # and there it ends
    run.begin()
    run.cycle(keyframe=True)
    run.cycles(3)
    found = list(logged(run, tmp_path).moments())
    assert [m.cycle for m in found] == [*range(5), *range(4)]
    assert [m.restart for m in found] == [True, *[False] * 4, True, *[False] * 3]


@pytest.mark.parametrize("cut", [1, 7, FRAME.size, 100])
def test_a_torn_end_is_a_shorter_log(tmp_path: Path, cut: int) -> None:
    run = Run(tmp_path / "run")
    log, reader = run.log(tmp_path), run.reader()
    run.cycle(keyframe=True)
    for _ in range(3):
        run.cycles(5)
        log.write(reader.read())
    (path,) = segments(tmp_path / "inputs")
    assert Log([path]).torn() == {}
    whole = sum(FRAME.size + len(one.payload) for one in list(frames(path))[:-1])
    os.truncate(path, path.stat().st_size - cut)
    assert Log([path]).torn() == {path: path.stat().st_size - whole}
    assert [m.cycle for m in Log([path]).moments()] == list(range(11))
    again = run.log(tmp_path)
    again.write(run.reader(*again.places()).read())
    assert [m.cycle for m in Log(runs(tmp_path / "inputs")[-1]).moments()] == list(range(16))


def test_a_changed_byte_ends_the_log(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.cycle(keyframe=True)
    (path,) = logged(run, tmp_path).paths
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert list(Log([path]).moments()) == []


def test_what_is_no_log_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.freeze").write_bytes(b"nothing of ours")
    with pytest.raises(LogError, match=r"x\.freeze is no input log: name a \.freeze"):
        Log([tmp_path / "x.freeze"])
    run = Run(tmp_path / "run")
    log = InputLog(tmp_path, header(), b"")
    log.header["version"] = 99
    run.cycle(keyframe=True)
    log.write(run.reader().read())
    with pytest.raises(LogError, match="version 99, this program reads 1"):
        Log(segments(tmp_path / "inputs"))


def test_a_full_disk_holds_blocks_back_and_leaves_no_half_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path / "run")
    log, reader = run.log(tmp_path), run.reader()
    run.cycle(keyframe=True)
    log.write(reader.read())
    real, left = os.write, [40]

    def full(fd: int, data: bytes) -> int:
        if left[0] <= 0:
            raise OSError(28, "No space left on device")
        done = real(fd, bytes(data)[: left[0]])
        left[0] -= done
        return done

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        run.cycles(3)
        with pytest.raises(OSError, match="No space"):
            log.write(reader.read())
    run.cycles(3)
    log.write(reader.read())
    assert [m.cycle for m in Log(segments(tmp_path / "inputs")).moments()] == list(range(7))


def test_a_disk_that_stays_full_costs_the_oldest_and_leaves_a_hole(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    log, reader = run.log(tmp_path), run.reader()
    folder = tmp_path / "inputs"
    folder.rmdir()
    for _ in range(freeze.HELD + 2):
        run.cycle(keyframe=True)
        with pytest.raises(OSError, match="inputs"):
            log.write(reader.read())
    folder.mkdir()
    run.cycle(keyframe=True)
    log.write(reader.read())
    found = [m.cycle for m in Log(segments(folder)).moments()]
    assert found[-1] == freeze.HELD + 2
    assert found[0] > 0


def test_the_oldest_segments_go_when_the_newer_ones_hold_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freeze, "SEGMENT_S", 0.1)
    monkeypatch.setattr(freeze, "KEEP_S", 0.35)
    run = Run(tmp_path / "run")
    log, reader = run.log(tmp_path), run.reader()
    for _ in range(30):
        run.cycle(keyframe=True)
        run.cycles(2)
        log.write(reader.read())
    held = [[f for f in frames(p) if f.kind == 2] for p in segments(tmp_path / "inputs")]
    span_s = (held[-1][-1].end_ns - held[0][0].begin_ns) * 1e-9
    assert 0.35 <= span_s <= 0.8
    assert json.loads(next(frames(segments(tmp_path / "inputs")[-1])).payload)["site"] == "home"


def test_a_freeze_frame_holds_what_was_before_and_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freeze, "BEFORE_S", 1.0)
    monkeypatch.setattr(freeze, "AFTER_S", 0.5)
    run = Run(tmp_path / "run")
    log, reader = run.log(tmp_path), run.reader()
    happened: list[dict[str, object]] = []
    for second in range(8):
        run.cycle(keyframe=True)
        run.cycles(24)
        log.write(reader.read())
        run.cycles(25)
        if second == 4:
            happened.append(event(run))
            log.note(happened[0])
            happened.append(event(run, "other") | {"time_ns": run.now_ns + MS})
            log.note(happened[1])
        log.write(reader.read())
    (path,) = (tmp_path / "freezes").glob("*.freeze")
    times = [m.now_ns for m in Log([path]).moments()]
    assert happened[0]["time_ns"] - 3e9 <= times[0] <= happened[0]["time_ns"] - 1e9
    assert happened[0]["time_ns"] + 0.48e9 <= times[-1] <= happened[0]["time_ns"] + 1.1e9
    assert np.diff(times).max() == 20 * MS, "at full rate"
    assert [Freezes(tmp_path / "freezes").of(e) for e in happened] == [path, path]
    assert Freezes(tmp_path / "freezes").of(happened[0] | {"name": "never"}) is None
    assert not (tmp_path / "freezes" / "pending.json").exists()


def test_who_is_killed_before_the_end_finishes_the_freeze_frame_afterwards(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    log, reader = run.log(tmp_path), run.reader()
    run.cycle(keyframe=True)
    run.cycles(5)
    log.write(reader.read())
    log.note(event(run))
    new = run.log(tmp_path, run="2")  # the whole site was started again
    new.write(run.reader().read())
    (path,) = (tmp_path / "freezes").glob("*.freeze")
    assert [m.cycle for m in Log([path]).moments()] == list(range(6))


def test_only_the_newest_freeze_frames_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freeze, "FREEZES", 2)
    run = Run(tmp_path / "run")
    log, reader = run.log(tmp_path), run.reader()
    for _ in range(4):
        run.cycle(keyframe=True)
        log.write(reader.read())
        log.note(event(run))
        log.finish()
    kept = sorted((tmp_path / "freezes").glob("*.freeze"))
    assert len(kept) == 2
    assert Freezes(tmp_path / "freezes").of(event(run) | {"time_ns": run.now_ns}) in kept


def test_which_events_deserve_one() -> None:
    deserves = worth(frozenset({"crash"}))
    assert deserves({"kind": "fault", "name": "crash"})
    assert deserves({"kind": "system", "name": "guard opened"})
    assert not deserves({"kind": "clear", "name": "crash"})
    assert not deserves({"kind": "fault", "name": "imbalance"})
    assert not deserves({"kind": "system", "name": "started"})


def test_a_block_is_the_same_after_packing(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.cycle(keyframe=True, close=True)
    run.cycles(50)
    piece = run.reader().read()
    block = unpack(pack(piece))
    assert block.places == piece.places
    assert block.states == piece.states
    assert block.changes == piece.changes
    assert len(block.samples[0]) == len(piece.samples["battery"])
    assert len(pack(piece)) < 0.25 * sum(len(d) for _, d in piece.samples["battery"])


def test_inputs_are_exported_as_a_recording(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.cycle(keyframe=True)
    run.cycles(20, current_A=-7.0)
    out = tmp_path / "out.csv"
    out.write_text("".join(lines(logged(run, tmp_path), run.config.layout, 0)))
    found = read_recording(out)
    assert found.rows == 21
    assert found.cells == 16
    assert abs(found.current_A[-1] + 7.0) < 0.1
    assert found.time_s[-1] == pytest.approx(0.4)
