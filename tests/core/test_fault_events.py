"""What an event of a fault names: the worst known cell, its value, the limit that was crossed; which form judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.core.bench import Bench, closed
from tests.core.sites import site

from cellarer.core.decide import protect, runs
from cellarer.core.decide.signals import Look
from cellarer.model.events import text
from cellarer.model.values import FOREVER, Event


def look_at(bench: Bench, cells: list[float]) -> Look:
    value = bench.state.seen.value.copy()
    value[bench.layout.where["cell_voltage"]] = cells
    seen = replace(bench.state.seen, value=value)
    return Look(bench.config, seen, None, bench.state.watch, bench.state, bench.now_ns)  # type: ignore[arg-type]


def test_the_worst_known_cell_is_named_beside_unknown_ones() -> None:
    bench = closed("one")
    assert protect._culprit(look_at(bench, [np.nan, 3.3, 3.7, 3.4]), "cell_high", 0) == 2
    assert protect._culprit(look_at(bench, [3.3, 3.1, 3.7, np.nan]), "cell_low", 0) == 1


def test_each_string_names_cells_of_its_own_and_the_whole_string_none() -> None:
    bench = closed("ragged")
    cells = np.full(bench.layout.size["cell"], 3.3)
    cells[3] = 3.6
    last = int(bench.layout.first_cell[-1])
    look = look_at(bench, cells.tolist())
    assert protect._culprit(look, "cell_high", 0) == 3
    assert protect._culprit(look, "cell_high", bench.layout.yes.size - 1) == last
    assert protect._culprit(look, "sum_difference", 0) == -1


def test_a_row_of_sensors_that_a_string_does_not_have_names_none() -> None:
    bench = closed("bare")
    assert protect._culprit(look_at(bench, [3.3, 3.3, 3.3]), "temp_high", 0) == -1


def test_a_fault_tells_its_trip_and_its_end_the_release() -> None:
    bench = closed("one")
    row = bench.row("cell_over_voltage_maximum")
    bench.put("cell_voltage", 3.66, 2)
    bench.run(1.0)
    (event,) = [e for e in bench.events if e.kind == "fault" and e.name == "cell_over_voltage_maximum"]
    assert (event.cell, event.limit) == (2, float(bench.config.faults.trip[row, 0]))
    assert event.value == pytest.approx(3.66, abs=0.001)
    under = bench.row("cell_under_voltage_operating")
    low = closed("one")
    low.put("cell_voltage", float(-low.config.faults.trip[under, 0]) - 0.01, 1)
    low.run(1.0)
    low.let_go("cell_voltage", 1)
    low.run(15.0, lambda b: not b.active("cell_under_voltage_operating"))
    (end,) = [e for e in low.events if e.kind == "clear" and e.name == "cell_under_voltage_operating"]
    assert end.limit == -float(low.config.faults.release[under, 0])


OVER = "cell_over_voltage_maximum"


def raised(bench: Bench, name: str) -> Event:
    (event,) = [e for e in bench.events if e.kind == "fault" and e.name == name]
    return event


def test_a_fault_says_for_how_long_it_was_bad_as_measured_and_in_words() -> None:
    bench = closed("one")
    bench.put("cell_voltage", 3.66, 2)
    bench.run(1.0)
    event, row = raised(bench, OVER), bench.row(OVER)
    debounce_s = bench.config.faults.debounce_ns[row] * 1e-9
    assert debounce_s <= event.lasted_s < debounce_s + 0.02
    assert text(bench.config, event) == f"cell 3 at 3.660 V, limit 3.650 V for {event.lasted_s:.3g} s"
    slow = closed("one")  # a sample each 0.4 s: three of them last longer than the debounce
    slow.put("cell_voltage", 3.66, 2)
    for i in range(60):
        slow.silence("cell_voltage", on=i % 20 != 0)
        slow.put("cell_voltage", 3.70 if i == 40 else 3.3, 1)  # with the third sample one jumps above it
        slow.step()
    event = raised(slow, OVER)
    assert event.cell == 2
    assert event.lasted_s == pytest.approx(0.8) and text(slow.config, event).endswith("limit 3.650 V for 0.8 s")


def test_what_one_sample_trips_says_no_time_and_neither_does_an_end() -> None:
    bench = closed("one")
    event = Event(0, "fault", OVER, 0, 2, 3.66, 3.65, "cell_high", 0.0)
    assert text(bench.config, event) == "cell 3 at 3.660 V, limit 3.650 V"
    assert text(bench.config, event._replace(lasted_s=np.nan)) == text(bench.config, event)
    assert text(bench.config, event._replace(lasted_s=0.5)) == "cell 3 at 3.660 V, limit 3.650 V for 0.5 s"


@pytest.mark.parametrize("before", [0, 5])  # cycles before the one that trips: by then it has samples enough, no time
def test_the_cell_is_named_that_was_bad_for_long_not_one_that_has_just_jumped_above_it(before: int) -> None:
    bench = closed("one")
    bench.put("cell_voltage", 3.66, 2)
    jumped = 0

    def jump(b: Bench) -> None:
        nonlocal jumped
        jumped += 1
        if jumped == round(0.3 / 0.02) + 1 - before:
            b.put("cell_voltage", 3.70, 1)

    bench.every_cycle.append(jump)
    bench.run(1.0)
    event = raised(bench, OVER)
    assert (event.cell, round(event.value, 3)) == (2, 3.66)
    assert event.lasted_s == pytest.approx(0.3)
    assert bench.state.faults.raised_cell[bench.row(OVER), 0] == 2


def test_before_the_first_cycle_nothing_is_active_latched_or_counted() -> None:
    memory = protect.start(site("one"))
    assert not memory.active.any() and not memory.latched.any() and not memory.counted.any()
    assert (memory.bad_since_ns == FOREVER).all() and (memory.good_since_ns == FOREVER).all()
    assert np.isnan(memory.raised_value).all() and (memory.raised_cell == -1).all()


class Used(Exception):
    """The compiled form was called."""


class Kernel:
    def __getattr__(self, name: str) -> Any:
        raise Used(name)


def test_the_plain_form_uses_no_compiled_pass_and_the_usual_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = closed("one")
    bench.put("cell_voltage", 3.66, 2)
    bench.step()
    state, config, none = bench.state, bench.config, np.zeros(1, bool)
    assert state.faults.runs.counted.size  # a cell counts
    look = Look(config, state.seen, _digest(bench), state.watch, state, bench.now_ns + 1, plain=True)
    for module in (protect, runs):
        with monkeypatch.context() as only:
            only.setattr(module, "_kernel", Kernel())
            protect.protect(look, state.faults, none, none, plain=True)
            with pytest.raises(Used):
                protect.protect(look, state.faults, none, none)


def _digest(bench: Bench) -> Any:
    from cellarer.core.measure import measure

    zero = np.zeros(bench.layout.size["string"])
    return measure(bench.config, bench.state.watch, bench.sample(), zero, bench.now_ns + 1, plain=True)[1]


@pytest.mark.parametrize("now", [[True, True], [True, False], [False, False]])
def test_what_did_not_change_stays_the_same_array_and_every_change_is_taken(now: list[bool]) -> None:
    before = np.array([False, False])
    kept = protect._kept(before, np.array(now))
    assert kept.tolist() == now and (kept is before) == (now == before.tolist())
