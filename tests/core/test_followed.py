"""Machines that answer late are obedient as long as they keep a limit of the last ten seconds, and defy it after."""

from __future__ import annotations

import numpy as np
import pytest
from tests.core.bench import Bench, closed

from cellarer.core import slow
from cellarer.core.validate import TOLD_SLOTS


def over(bench: Bench) -> float:
    return float(bench.state.watch.over_charge_A[0])


@pytest.mark.parametrize("dt_ms", [200.0, 1000.0])
def test_who_follows_a_falling_limit_ten_seconds_late_obeys(dt_ms: float) -> None:
    bench = closed("one")
    bench.dt_ns = round(dt_ms * 1e6)
    bench.run(10.0)
    told = [float(bench.command.window.charge_A[0])]
    late = int(10.0 / (dt_ms * 1e-3))
    for step in range(int(40.0 / (dt_ms * 1e-3))):
        bench.put("cell_voltage", 3.46 + 0.1 * step / int(40.0 / (dt_ms * 1e-3)), 1)  # the limit falls to nothing
        bench.put("current", told[max(len(told) - late, 0)])
        bench.step()
        told.append(float(bench.command.window.charge_A[0]))
        assert over(bench) <= 0.0
    assert told[-1] == 0.0 < told[0]


@pytest.mark.parametrize("dt_ms", [200.0, 1000.0])
def test_who_does_not_come_down_defies_after_that_time_and_not_before(dt_ms: float) -> None:
    bench = closed("one")
    bench.dt_ns = round(dt_ms * 1e6)
    bench.run(10.0)
    limit = float(bench.command.window.charge_A[0])
    bench.put("current", limit)
    bench.put("cell_voltage", 3.56, 1)
    slot_s = slow.ANSWER_NS * 1e-9 / (TOLD_SLOTS - 1)
    bench.run(9.9)
    assert over(bench) <= 0.0 and float(bench.command.window.charge_A[0]) == 0.0
    bench.run(slot_s + 5.0)  # it may come down by a fifth of its rating in a second, and this one does not at all
    assert over(bench) > 0.0
    assert np.isfinite(bench.state.watch.told_A).all()
