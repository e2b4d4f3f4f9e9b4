"""Current on an open string: seen as a mean that its own noise does not explain, so that noise alone never opens."""

from __future__ import annotations

import numpy as np
import pytest
from tests.core.bench import Bench, closed
from tests.core.sites import site

from cellarer.model.values import Phase

ROW = "current_on_open_string"


def idle(place: str = "one", string: int = 0) -> tuple[Bench, float]:
    """Return an open string that has been awake for a while, and the threshold, A."""
    bench = Bench(site(place))
    bench.run(1.0)
    return bench, float(bench.config.faults.trip[bench.row(ROW), string])


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(("share", "seen"), [(0.98, False), (1.02, True)])
@pytest.mark.parametrize(("place", "string"), [("one", 0), ("fets", 1)])
def test_both_sides_of_the_threshold(place: str, string: int, share: float, seen: bool, sign: float) -> None:
    bench, trip = idle(place, string)
    bench.put("current", sign * share * trip, string)
    bench.run(3.0)
    assert bench.active(ROW, string) == seen


@pytest.mark.parametrize("period_ms", [20, 100])
@pytest.mark.parametrize(("times", "at_most_s"), [(2.0, 0.6), (5.0, 0.4), (50.0, 0.4)])
def test_the_more_flows_the_sooner_it_is_seen(times: float, at_most_s: float, period_ms: int) -> None:
    bench, trip = idle()
    bench.every_cycle.append(lambda b: b.silence("current", on=b.now_ns % (period_ms * 1_000_000) != 0))
    bench.put("current", times * trip)
    assert bench.run(2.0, lambda b: b.active(ROW)) <= at_most_s
    assert bench.latched(ROW)


@pytest.mark.parametrize("period_ms", [20, 100])
@pytest.mark.parametrize(("offset", "seen"), [(0.0, False), (4.0, True)])
def test_noise_of_twice_the_threshold_is_no_current_and_hides_none(period_ms: int, offset: float, seen: bool) -> None:
    bench, trip = idle()
    g = np.random.default_rng(1)

    def act(b: Bench) -> None:
        due = b.now_ns % (period_ms * 1_000_000) == 0
        b.silence("current", on=not due)
        if due:
            b.put("current", trip * (offset + 2.0 * g.normal()))

    bench.every_cycle.append(act)
    bench.run(10.0)
    assert bench.active(ROW) == seen


def test_unknown_current_neither_raises_nor_clears_and_the_latch_waits_for_its_cause() -> None:
    bench, trip = idle()
    bench.put("current", 10.0 * trip)
    bench.run(1.0)
    assert bench.latched(ROW)
    bench.put("current", np.nan)
    bench.run(2.0)
    bench.step(reset=True)
    assert bench.active(ROW)
    bench.put("current", 0.0)
    bench.run(7.0)
    bench.step(reset=True)
    assert not bench.active(ROW)


def test_a_repeated_sample_moves_no_mean() -> None:
    bench, trip = idle()
    bench.put("current", 1.5 * trip)
    bench.step()
    held = bench.state.switches.rest_A[0]
    bench.silence("current")
    bench.run(0.1)
    assert bench.state.switches.rest_A[0] == held < trip


def test_while_it_opens_the_current_itself_counts() -> None:
    bench = closed("one")
    trip = float(bench.config.faults.trip[bench.row(ROW), 0])
    bench.put("current", 1.2 * trip)
    bench.step(open=True)
    assert bench.run(1.0, lambda b: b.active(ROW)) <= 0.4
    assert bench.phase() in (Phase.OPENING, Phase.OPEN)


def test_a_link_that_other_strings_of_the_bank_hold_up_is_no_weld() -> None:
    bench, row = closed("ragged").fork(), "link_does_not_fall"
    bench.cells[bench.layout.first_cell[0]] += 1.0
    volts = bench.layout.total(bench.cells)
    bench.put("link_voltage", volts)
    bench.run(25.0)
    assert bench.phase(0) == Phase.OPEN and bench.phase(1) == Phase.CLOSED and not bench.active(row)
    bench.step(open=True)
    bench.run(25.0)
    assert [bench.active(row, string) for string in range(volts.size)] == [True] * volts.size


def test_a_weld_on_one_bus_is_seen_while_another_bus_is_closed() -> None:
    bench, row = closed("ragged").fork(), "link_does_not_fall"
    bench.put("link_voltage", bench.layout.total(bench.cells))
    bench.step(open=[False, True, False])
    bench.run(25.0)
    assert bench.phase(0) == bench.phase(3) == Phase.CLOSED and bench.phase(2) == Phase.OPEN
    assert [bench.active(row, string) for string in range(4)] == [False, False, True, False]
