"""Machines that answer late are obedient as long as they keep a limit of the last ten seconds, and defy it after."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.core.bench import Bench, closed

from cellarer.config import check
from cellarer.core import followed
from cellarer.core.decide.consumers import fed_A
from cellarer.core.validate import TOLD_SLOTS
from cellarer.model.config import SENSOR_SHARE


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
    slot_s = followed.ANSWER_NS * 1e-9 / (TOLD_SLOTS - 1)
    bench.run(9.9)
    assert over(bench) <= 0.0 and float(bench.command.window.charge_A[0]) == 0.0
    bench.run(slot_s + 5.0)  # it may come down by a fifth of its rating in a second, and this one does not at all
    assert over(bench) > 0.0
    assert np.isfinite(bench.state.watch.told_A).all()


SLOT_S = followed.ANSWER_NS * 1e-9 / (TOLD_SLOTS - 1)


@pytest.mark.parametrize(("share", "row"), [(1.05, "charge_limit_ignored"), (1.10, "charge_limit_defied")])
@pytest.mark.parametrize("beyond_A", [-0.05, 0.05])
def test_an_excess_counts_beyond_its_share_and_what_a_sound_sensor_may_be_wrong(
    share: float, row: str, beyond_A: float
) -> None:
    bench = closed("one")
    bench.run(10.0)
    rated = float(max(bench.config.limits.rated_charge_A[0], bench.config.limits.rated_discharge_A[0]))
    limit = float(bench.state.watch.allowed_charge_A[0])
    bench.put("current", share * limit + max(SENSOR_SHARE * rated, bench.config.idle_A[0]) + beyond_A)
    bench.run(6.0)
    assert bench.active(row) == (beyond_A > 0.0)


def test_a_machine_that_ignores_the_fall_of_a_limit_is_opened_within_the_time_that_check_names() -> None:
    bench = closed("one")
    bench.run(10.0)
    bench.put("current", float(bench.command.window.charge_A[0]))
    bench.put("cell_voltage", 3.56, 1)
    answer_s, budget_s = check.ANSWER_S["charge_defied"], 5.0
    assert answer_s == SLOT_S + followed.ANSWER_NS * 1e-9 + followed.FOLLOW_S
    bench.run(followed.ANSWER_NS * 1e-9)
    assert bench.command.minus[0]
    bench.run(answer_s - followed.ANSWER_NS * 1e-9 + budget_s)
    assert bench.active("charge_limit_defied")
    assert not bench.command.minus[0]


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("beyond_A", [-0.05, 0.05])
def test_what_a_pack_feeds_its_own_heater_ignores_no_limit_and_what_goes_beyond_does(
    behind: bool, beyond_A: float
) -> None:
    bench = closed("one")
    climate = replace(bench.config.climate, heater_W=np.array([200.0]), behind=np.array([behind]))
    bench.config = replace(bench.config, heater=np.array([True]), climate=climate)
    bench.plan = replace(bench.plan, climate_ns=10**18, preheat_degC=np.array([38.0]))
    bench.run(10.0)
    assert bench.command.heater[0] == 1.0
    own = float(fed_A(bench.config, bench.command.heater, bench.command.pump)[0])
    assert own == pytest.approx(200.0 / (4 * bench.config.limits.discharge_V[0])) if behind else own == 0.0
    limit, rated = float(bench.state.watch.allowed_discharge_A[0]), float(bench.config.limits.rated_discharge_A[0])
    margin = max(followed.SENSOR_SHARE * rated, bench.config.idle_A[0])
    bench.put("current", -(followed.OVER_LIMIT * limit + margin + own + beyond_A))
    bench.run(6.0)
    assert bench.active("discharge_limit_ignored") == (beyond_A > 0.0)
    published = float(bench.command.pack_discharge_A[0])
    assert published == pytest.approx(max(float(bench.command.window.discharge_A[0]) - own, 0.0))
