"""The chronicle of a run sees what is not told, who else orders, and what is altered; and names the string."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from tests.core.bench import Bench, closed

from cellarer.runtime.campaign_chronicle import LOOK_CYCLES, Chronicle


def told(chronicle: Chronicle, bench: Bench, **other: object) -> list[str]:
    given = {"config": bench.config, "after": bench.state, "command": bench.command, "events": bench.events} | other
    return [rule for rule, broken in chronicle.follow(**given) if broken.any()]  # type: ignore[arg-type]


@pytest.fixture
def bench() -> Bench:
    made = closed("one")
    made.run(1.0)
    return made


def test_a_run_without_a_break_breaks_nothing(bench: Bench) -> None:
    chronicle = Chronicle(bench.config, bench.state)
    bench.put("cell_voltage", 3.9, 1)
    for _ in range(100):
        bench.step()
        assert told(chronicle, bench) == []
    assert bench.state.faults.active.any()


def test_what_is_not_told_is_seen(bench: Bench) -> None:
    chronicle = Chronicle(bench.config, bench.state)
    bench.put("cell_voltage", 3.9, 1)
    broken: list[str] = []
    for _ in range(100):
        bench.step()
        broken += told(chronicle, bench, events=[])
    assert {"I11 faults are not what was told", "I11 phases are not what was told"} <= set(broken)


def test_who_else_orders_is_seen(bench: Bench) -> None:
    chronicle = Chronicle(bench.config, bench.state)
    bench.step()
    forged = replace(bench.command, plus=~bench.command.plus)
    state = replace(bench.state, command=forged)
    assert told(chronicle, bench, after=state, command=forged) == ["I14 outputs are not those of the phase"]
    bench.step()
    bench.step()  # a cycle that the chronicle was not told of
    assert told(chronicle, bench) == ["I14 somebody else had a cycle"]


def test_a_config_that_is_altered_is_seen(bench: Bench) -> None:
    mine = deepcopy(bench.config)
    chronicle = Chronicle(mine, bench.state)
    chronicle._checked = LOOK_CYCLES - 1
    bench.step()
    trip_V = mine.faults.trip
    trip_V.setflags(write=True)
    trip_V[0, 0] = np.nextafter(trip_V[0, 0], np.inf)
    assert told(chronicle, bench, config=mine) == ["I15 the configuration changed"]
