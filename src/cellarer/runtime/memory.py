"""Memory of a process that must not be held up: no garbage collection in the loop, no growth without a word.

What lives at the start is frozen out of every later collection, which is then short; it runs only while all is open.
"""

import gc
import resource
import time

GROWTH_MB = 100.0  # beyond the start: then it is told
COLLECT_S = 600.0  # between two collections in standby


class Memory:
    """Watches what this process uses."""

    def __init__(self) -> None:
        self._start_MB = self._told_MB = 0.0
        self._collected_s = time.monotonic()

    def settle(self) -> None:
        """Collect once, freeze what is left, and leave garbage alone from now on."""
        gc.collect()
        gc.freeze()
        gc.disable()
        self._start_MB = self._told_MB = used_MB()

    def look(self, *, standby: bool) -> str:
        """Collect if nothing is closed and it is time to; return what to tell if memory has grown, else nothing."""
        if standby and time.monotonic() - self._collected_s >= COLLECT_S:
            self._collected_s = time.monotonic()
            gc.collect()
        now_MB = used_MB()
        if now_MB - self._told_MB < GROWTH_MB:
            return ""
        self._told_MB = now_MB
        return f"{now_MB:.0f} MB, {self._start_MB:.0f} MB at the start: this is an error of ours, please report it"


def used_MB() -> float:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
