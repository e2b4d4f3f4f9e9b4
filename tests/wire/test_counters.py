"""Alive counters: repeated, stuck and old frames are refused, lost ones are forgiven."""

from __future__ import annotations

import pytest

from cellarer.wire.counters import QUIET_NS, Receiver, Sender

MS = 1_000_000


def accepted(counts: list[int], step_ns: int = 20 * MS) -> list[bool]:
    receiver = Receiver()
    return [receiver.fresh("m", 0, c, 16, i * step_ns) for i, c in enumerate(counts)]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([14, 15, 0, 1], [True, True, True, True]),
        ([3, 3, 3, 3], [True, False, False, False]),  # stuck or replayed at once
        ([3, 7, 8], [True, True, True]),  # three frames lost
        ([3, 4, 1, 5], [True, True, False, True]),  # one old frame in between
        ([3, 4, 14, 15, 0], [True, True, False, True, True]),  # the sender started anew: in step after two frames
    ],
)
def test_steps(counts: list[int], expected: list[bool]) -> None:
    assert accepted(counts) == expected


def test_stuck_counter_never_comes_alive_again() -> None:
    assert accepted([5] * 8, step_ns=QUIET_NS) == [True] + [False] * 7


def test_any_step_is_taken_after_silence() -> None:
    receiver = Receiver()
    assert receiver.fresh("m", 0, 9, 16, 0)
    assert receiver.fresh("m", 0, 4, 16, QUIET_NS + 1)


def test_messages_and_blocks_count_apart() -> None:
    sender = Sender()
    assert [sender("a", 0), sender("a", 1), sender("a", 0), sender("b", 0)] == [1, 1, 2, 1]
