"""kill -9 of the writing process, at any moment: nothing corrupt, no acknowledged event lost, at most 1 s of series."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from cellarer.history import Reader

KILLS = 6

# Samples run through virtual time, 20 s per sample, so that folding happens all the time. Each line printed is a
# promise: the seq acknowledged, and the sample last given with the moment at which it was given.
CHILD = """
import sys, time
from cellarer.history import Writer
writer, begin, seq = Writer(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
names = [f"pack1.string1.cell{i:03d}_voltage_V" for i in range(64)]
for i in range(10**6):
    unix_s = begin + 20.0 * i
    writer.append(unix_s, {name: 3.3 + (i * 7 + k) % 50 / 1000 for k, name in enumerate(names)})
    if i % 3 == 0:
        new = [{"seq": seq, "unix_s": unix_s, "time_ns": i, "kind": "system", "name": "test", "text": str(seq)}]
        seq += writer.append_events(new, "ring")
    print(writer.acknowledged("ring"), unix_s, time.monotonic(), flush=True)
    time.sleep(0.002)
"""


def run_and_kill(path: Path, begin: float, seq: int, seconds: float) -> list[tuple[int, float, float]]:
    """Return what the child promised before it died."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(begin), str(seq)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    lines = [child.stdout.readline()]
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    lines += child.stdout.readlines()
    assert child.wait() == -signal.SIGKILL
    promised = []
    for line in lines:
        if line.endswith("\n"):
            number, unix_s, moment = line.split()
            promised.append((int(number), float(unix_s), float(moment)))
    return promised


def test_a_killed_writer_loses_nothing_it_promised(path: Path) -> None:
    rng = random.Random(5)
    begin, written = 1.7e9, 0
    for _ in range(KILLS):
        promised = run_and_kill(path, begin, written, rng.uniform(0.3, 0.9))
        reader = Reader(path)
        with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert reader.first_break() is None
        written = reader.acknowledged("ring") + 1
        assert written > max(number for number, _, _ in promised)
        died = promised[-1][2]
        safe = [unix_s for _, unix_s, moment in promised if moment <= died - 1.0] or [promised[0][1]]
        span = reader.span()
        assert span is not None
        assert span[1] >= (safe[-1] if len(safe) > 1 else begin)
        begin = promised[-1][1] + 20.0
    assert [e["text"] for e in reversed(reader.events(10**6))] == [str(i) for i in range(written)]
