"""How late the machine itself is: a process that does nothing but sleep, and notes each time it wakes up late.

    with EmptyLoop(priority=50) as loop: …; loop.worst_s(since)

Asked for a priority that the system denies, `permitted` is false and it runs without.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import time

SLEEP_S = 0.01
NOTED_S = 0.005  # what is less is not noted
PLACES, NOTE = 4096, struct.Struct("<dd")  # when it should have woken, how late it was


class EmptyLoop:
    """One such process, from `with` to its end."""

    def __init__(self, priority: int = 0) -> None:
        self._map = mmap.mmap(-1, 16 + PLACES * NOTE.size)
        self._map[0:8] = bytes(8)
        self.priority = priority
        self.permitted = False
        self._pid = 0

    def __enter__(self) -> EmptyLoop:
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self._loop(parent)
            finally:
                os._exit(0)
        time.sleep(0.05)
        self.permitted = bool(self._map[8])
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def worst_s(self, since: float = 0.0) -> float:
        """Return how late it was at most since a monotonic time in s."""
        return max((late for due, late in self._notes() if due + late >= since), default=0.0)

    def total_s(self, since: float) -> float:
        """Return how late it was altogether since a monotonic time in s."""
        return sum(late for due, late in self._notes() if due + late >= since)

    def _notes(self) -> list[tuple[float, float]]:
        count = int.from_bytes(self._map[0:8], "little")
        return [NOTE.unpack_from(self._map, 16 + i % PLACES * NOTE.size) for i in range(max(count - PLACES, 0), count)]

    def _loop(self, parent: int) -> None:
        if self.priority:
            try:
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(self.priority))
                self._map[8] = 1
            except OSError:
                pass
        count = 0
        while os.getppid() == parent:
            due = time.monotonic() + SLEEP_S
            time.sleep(SLEEP_S)
            late = time.monotonic() - due
            if late > NOTED_S:
                NOTE.pack_into(self._map, 16 + count % PLACES * NOTE.size, due, late)
                count += 1
                self._map[0:8] = count.to_bytes(8, "little")
