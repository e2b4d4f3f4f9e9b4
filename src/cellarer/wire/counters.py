"""Alive counters: a frame that is repeated, replayed or far out of order is refused.

A sender counts each frame up by one, modulo the size of the field. A receiver takes steps of 1 to half the size
(frames may be lost), always refuses a step of 0 (repeated or stuck) and longer ones (old), and falls in step again
when two frames in a row follow each other, or after `QUIET_NS` without a good one. Compare AUTOSAR E2E profile 1.
"""

from collections import Counter
from dataclasses import dataclass, field

QUIET_NS = 1_000_000_000


class Sender:
    """Counters of what one side sends, per message and block."""

    def __init__(self) -> None:
        self._next: Counter[tuple[str, int]] = Counter()

    def __call__(self, name: str, block: int) -> int:
        """Return the next count; the field's width wraps it."""
        self._next[name, block] += 1
        return self._next[name, block]


@dataclass(slots=True)
class Receiver:
    """Counters of what one side hears, per message and block."""

    _last: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)

    def fresh(self, name: str, block: int, count: int, modulus: int, now_ns: int) -> bool:
        """Tell whether a counter is a step forward, and remember it."""
        key = (name, block)
        before = self._last.get(key)
        if before is None:
            self._last[key] = (count, now_ns)
            return True
        step = (count - before[0]) % modulus
        if step == 0:
            return False
        self._last[key] = (count, now_ns)
        return step <= modulus // 2 or now_ns - before[1] > QUIET_NS
