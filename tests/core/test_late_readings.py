"""Readings that come late, with their own time: they neither latch what is sound nor hide what is not."""

from __future__ import annotations

import pytest
from tests.core.bench import Bench, closed

from cellarer.model.values import Phase, Sample


def late(bench: Bench, seconds: float) -> Bench:
    """Let every reading come this much later, with its own time, as from a link that was held up."""
    sample, kept = bench.sample, []

    def sample_before() -> Sample:
        kept.append(sample())
        return kept[max(len(kept) - 1 - round(seconds * 1e9 / bench.dt_ns), 0)]

    bench.sample = sample_before  # type: ignore[method-assign]
    bench.run(seconds + 0.1)
    return bench


def drops_after(bench: Bench, seconds: float) -> None:
    """Let contacts and current follow an order to open this much later, as outputs do that nobody refreshes."""
    ordered_ns = bench.now_ns

    def drop(b: Bench) -> None:
        still = float(b.now_ns - ordered_ns <= seconds * 1e9)
        for name in ("feedback_minus", "feedback_plus"):
            b.put(name, still)
        b.put("current", -60.0 * still)

    bench.every_cycle.append(drop)


@pytest.mark.parametrize("lag", [0.0, 0.2, 0.45])
def test_readings_that_come_late_do_not_latch_for_good_what_opened_in_time(lag: float) -> None:
    bench = late(closed("one"), lag)
    bench.put("current", -60.0)
    bench.put("emergency_stop", 1.0)
    bench.run(1.0, lambda b: not b.command.plus[0])
    drops_after(bench, 0.3)
    bench.run(3.0)
    for row in ("contactor_welded", "opening_not_breaking"):
        assert not bench.active(row) and not bench.latched(row), row
    assert bench.phase() == Phase.OPEN


@pytest.mark.parametrize("lag", [0.0, 0.45])
def test_readings_that_come_late_show_a_weld_by_as_much_later(lag: float) -> None:
    bench = late(closed("one"), lag)
    bench.put("feedback_plus", 1.0)
    bench.step(open=True)
    bench.run(1.0, lambda b: b.phase() == Phase.OPENING)
    seconds = bench.run(3.0, lambda b: b.latched("contactor_welded"))
    assert 0.6 + lag <= seconds <= 0.7 + 2.0 * lag  # what is read late counts from each phase anew


def test_a_current_that_is_read_late_does_not_open_a_string_that_carries_none() -> None:
    bench = late(closed("one"), 0.16)
    bench.put("current", -60.0)
    bench.put("emergency_stop", 1.0)
    bench.run(1.0, lambda b: not b.command.plus[0])
    bench.put("current", 0.0)
    bench.run(3.0)
    assert not bench.active("current_on_open_string") and bench.phase() == Phase.OPEN
