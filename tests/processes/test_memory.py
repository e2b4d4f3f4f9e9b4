"""Memory that grows is told once per step; garbage is collected in standby only; denied rights are named."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from cellarer.runtime import memory
from cellarer.runtime.memory import Memory
from cellarer.runtime.notify import say
from cellarer.runtime.process import prefer


@pytest.fixture(autouse=True)
def collector() -> object:
    yield
    gc.unfreeze()
    gc.enable()


def test_growth_is_told_once_per_step(monkeypatch: pytest.MonkeyPatch) -> None:
    used = [50.0]
    monkeypatch.setattr(memory, "used_MB", lambda: used[0])
    watched = Memory()
    watched.settle()
    assert not gc.isenabled()
    used[0] = 149.0
    assert watched.look(standby=False) == ""
    used[0] = 151.0
    assert "151 MB, 50 MB at the start" in watched.look(standby=False)
    assert watched.look(standby=False) == ""


def test_garbage_is_collected_in_standby_only(monkeypatch: pytest.MonkeyPatch) -> None:
    now, collected = [1000.0], []
    monkeypatch.setattr(memory.time, "monotonic", lambda: now[0])
    watched = Memory()
    monkeypatch.setattr(memory.gc, "collect", lambda: collected.append(now[0]))
    for now[0], standby in [(1599.0, True), (1601.0, False), (1602.0, True), (1603.0, True)]:
        watched.look(standby=standby)
    assert collected == [1602.0]


def test_a_journal_that_is_full_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stderr", full)
        say("something")
        monkeypatch.undo()
        with suppress(OSError):
            full.close()


SPIN = """
import os
from cellarer.runtime.process import never_spin
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
never_spin()
print("spins", flush=True)
while True:
    pass
"""


def test_who_spins_with_real_time_priority_is_ended() -> None:
    done = subprocess.run([sys.executable, "-c", SPIN], capture_output=True, text=True, timeout=60, check=False)
    if "spins" not in done.stdout:
        pytest.skip("real-time priority is not permitted")
    assert done.returncode == -signal.SIGKILL


def test_what_is_denied_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    class Libc:
        def mlockall(self, _: int) -> int:
            return -1

    monkeypatch.setattr(os, "sched_setscheduler", denied)
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: Libc())
    said = prefer("control")
    assert "LimitRTPRIO=50 permits it" in said[0]
    assert "LimitMEMLOCK=infinity permits it" in said[1]
    assert prefer("services") == []
