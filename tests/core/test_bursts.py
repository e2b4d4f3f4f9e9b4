"""A current in bursts, each shorter than a debounce, is counted as one; single bursts far apart are none."""

from __future__ import annotations

import numpy as np
import pytest
from tests.core.bench import Bench, closed

from cellarer.core.decide.look import LATELY_NS
from cellarer.core.decide.signals import Look
from cellarer.model.values import Phase


def bursts(bench: Bench, way: str, on_s: float, off_s: float, seconds: float) -> str:
    """Let current come and go; return the row that opened, or nothing."""
    sign = 1.0 if way == "charge" else -1.0
    name = f"{way}_under_temperature_maximum"
    table, row = bench.config.faults, bench.row(name)
    bench.put("temp_degC", float(table.sign[row] * table.trip[row, 0]) - 1.0)
    for _ in range(round(seconds / (on_s + off_s))):
        for current, last_s in ((20.0 * sign, on_s), (0.0, off_s)):
            bench.put("current", current)
            bench.run(last_s)
            if bench.active(name):
                return name
    return ""


@pytest.mark.parametrize("way", ["charge", "discharge"])
@pytest.mark.parametrize(("on_s", "off_s"), [(0.9, 0.1), (0.5, 0.5), (0.3, 1.9)])
def test_bursts_close_together_count_as_one_current(way: str, on_s: float, off_s: float) -> None:
    bench = closed("one")
    assert bursts(bench, way, on_s, off_s, 20.0)
    assert bench.phase() != Phase.CLOSED


@pytest.mark.parametrize("way", ["charge", "discharge"])
def test_single_bursts_far_apart_are_borne(way: str) -> None:
    assert bursts(closed("one"), way, 0.9, LATELY_NS * 1e-9 + 0.1, 30.0) == ""


@pytest.mark.parametrize(("after_ns", "sure"), [(LATELY_NS, False), (LATELY_NS + 1, True)])
def test_both_sides_of_how_long_a_flow_that_stopped_is_not_over(after_ns: int, sure: bool) -> None:
    bench = closed("one")
    bench.put("current", 20.0)
    bench.run(0.1)
    flowed_ns = int(bench.state.watch.flowed_ns[0, 0])
    bench.put("current", 0.0)
    bench.run(0.1)
    state = bench.state
    assert flowed_ns == int(state.watch.flowed_ns[0, 0])
    look = Look(bench.config, state.seen, None, state.watch, state, flowed_ns + after_ns)  # type: ignore[arg-type]
    applies, known = look.applies
    assert not applies[1, 0] and known[1, 0] == sure
    assert known[0, 0] and known[2, 0], "of discharging nothing is in doubt"


def test_an_unknown_current_is_neither_flowing_nor_over() -> None:
    bench = closed("one")
    bench.put("current", np.nan)
    bench.run(0.1)
    state = bench.state
    look = Look(bench.config, state.seen, None, state.watch, state, state.time_ns + 10 * LATELY_NS)  # type: ignore[arg-type]
    assert not look.applies[0][1:].any() and not look.applies[1][1:].any()
