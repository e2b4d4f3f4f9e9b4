"""Heating and cooling: safe by rules alone, with hysteresis; plans move set points within bounds and end in time."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.bench import Bench
from tests.core.sites import CELL_SIDE, table

from cellarer.config.load import build
from cellarer.core.decide.cool import BAND_K, DEW_K, GENTLE, HYSTERESIS_K, LEAST_FLOW, dew_degC
from cellarer.model.config import Config
from cellarer.model.values import NEVER, no_plan

COLD, WARM, HOT = 0.0, 45.0, 50.0  # degC: limits of the shipped LFP cell, charging
DEGC = st.floats(-40.0, 80.0) | st.just(float("nan"))


@cache
def config(chiller_W: float = 0.0, rest_s: float = 2.0, humidity_max_pct: float | None = None) -> Config:
    """Return one pack with three sensors, heater and flow."""
    pack = {"name": "a", "cell": "lfp_280ah", "series": 3, "temperature_sensors": 3, "heater": True, "cooler": True,
            "thermal": {"chiller_W": chiller_W, "rest_s": rest_s, "humidity_max_pct": humidity_max_pct}}  # fmt: skip
    return build(table([pack], [*CELL_SIDE, "coolant_degC", "ambient_degC"]), "climate").config


def bench(**how: float | None) -> Bench:
    made = Bench(config(**how))
    made.run(0.2)
    return made


def orders(made: Bench, degC: float | list[float], seconds: float = 0.2) -> tuple[float, float]:
    """Hold temperatures; return heater and pump."""
    made.put("temp_degC", degC)
    made.run(seconds)
    return float(made.command.heater[0]), float(made.command.pump[0])


def planned(made: Bench, preheat: float = np.nan, precool: float = np.nan, seconds: float = 1e4) -> None:
    plan = no_plan(made.layout.size["cell"], 1)
    made.plan = replace(plan, climate_ns=made.now_ns + round(seconds * 1e9), preheat_degC=np.array([preheat]),
                        precool_degC=np.array([precool]))  # fmt: skip


def test_heating_begins_and_ends_apart() -> None:
    made, begins = bench(), COLD + BAND_K
    assert orders(made, begins + 0.1)[0] == 0.0
    assert orders(made, begins - 0.1)[0] == 1.0
    assert orders(made, begins + HYSTERESIS_K - 0.1)[0] == 1.0
    assert orders(made, begins + HYSTERESIS_K + 0.1)[0] == 0.0


def test_a_heater_rests_before_it_is_on_again_and_is_off_at_once() -> None:
    made = bench()
    assert orders(made, 0.0)[0] == 1.0
    assert orders(made, 20.0)[0] == 0.0
    assert orders(made, 0.0, 1.5)[0] == 0.0
    assert orders(made, 0.0, 1.0)[0] == 1.0


def test_flow_runs_for_a_while_and_begins_at_once() -> None:
    made = bench()
    assert orders(made, WARM - BAND_K + 0.1)[1] == LEAST_FLOW
    assert orders(made, 20.0, 1.5)[1] == LEAST_FLOW
    assert orders(made, 20.0, 1.0)[1] == 0.0
    assert orders(made, HOT + 1.0)[1] == 1.0


@settings(max_examples=60, deadline=None)
@given(temps=st.lists(DEGC, min_size=3, max_size=3), preheat=DEGC, precool=DEGC)
def test_whatever_is_read_and_planned_nothing_unsafe_is_ordered(
    temps: list[float], preheat: float, precool: float
) -> None:
    made = bench()
    planned(made, preheat, precool)
    heater, pump = orders(made, temps)
    assert heater == 0.0 or (np.isfinite(temps).all() and max(temps) < WARM)
    assert pump > 0.0 or max(temps) <= WARM, "a plan may not stop the rules beyond the operating limit"
    assert pump == 1.0 or np.isfinite(temps).all()
    assert not (heater and pump)
    if heater:
        assert min(temps) < WARM - BAND_K + HYSTERESIS_K


def test_an_expired_plan_is_the_rules_again_in_the_same_cycle() -> None:
    made = bench()
    planned(made, preheat=30.0, seconds=1.0)
    assert orders(made, 20.0)[0] == 1.0
    made.run(1.0)
    assert made.command.heater[0] == 0.0
    planned(made, preheat=-30.0, seconds=3.0)
    assert orders(made, 2.0, 2.9)[0] == 0.0
    made.run(0.2)
    assert made.command.heater[0] == 1.0
    made.plan = replace(made.plan, climate_ns=NEVER, preheat_degC=np.array([40.0]))
    assert orders(made, 20.0)[0] == 0.0


def test_a_plan_lets_cells_cool_no_further_than_they_may_be_discharged() -> None:
    made = bench()
    planned(made, preheat=-60.0)
    assert orders(made, -14.0)[0] == 0.0 and orders(made, -16.0)[0] == 1.0


def test_a_plan_cools_gently_ahead_of_time_or_later_but_not_beyond_the_limit() -> None:
    made = bench()
    planned(made, precool=25.0)
    assert orders(made, 30.0)[1] == GENTLE
    made = bench()
    planned(made, precool=60.0)
    assert orders(made, 44.0)[1] == 0.0
    assert orders(made, 45.5)[1] > 0.0


def test_a_warm_core_asks_for_cooling_but_never_stops_it() -> None:
    made = bench()
    warm, cold = (np.full(3, degC) for degC in (46.0, 10.0))
    orders(made, 35.0)
    made.state = replace(made.state, estimate=replace(made.state.estimate, core_degC=warm))
    made.step()
    assert made.command.pump[0] > LEAST_FLOW
    orders(made, 48.0)
    made.state = replace(made.state, estimate=replace(made.state.estimate, core_degC=cold))
    made.step()
    assert made.command.pump[0] > 0.5


@pytest.mark.parametrize(("coolant", "chills"), [(30.0, True), (17.0, False), (float("nan"), False)])
def test_no_chilling_below_the_dew_point_or_in_doubt(coolant: float, chills: bool) -> None:
    made = bench(chiller_W=1000.0)
    made.put("coolant_degC", coolant)
    assert (orders(made, 49.5)[1] > 0.5) == chills


def test_the_dew_point_is_that_of_tables() -> None:
    """30 degC and 50 %: by hand 243.12 · 1.24226 / (17.62 − 1.24226) = 18.44 degC; of saturated air it is its own."""
    assert dew_degC(np.array([30.0, 20.0]), np.array([0.5, 1.0])) == pytest.approx([18.44, 20.0], abs=0.01)


@pytest.mark.parametrize(
    ("coolant", "ambient", "humidity", "chills"),
    [
        (24.0, 35.0, None, True),  # nothing is said of the place: coolest_degC, 18, alone
        (24.0, 35.0, 60.0, False),  # the dew point of 35 degC and 60 % is 26.1
        (26.1 + DEW_K - 0.2, 35.0, 60.0, False),
        (26.1 + DEW_K + 0.2, 35.0, 60.0, True),
        (17.0, 20.0, 30.0, False),  # dry air gives no leave to go below coolest_degC
        (24.0, 20.0, 30.0, True),
        (40.0, float("nan"), 60.0, False),  # surroundings unknown: never dry
    ],
)
def test_no_chilling_below_the_dew_point_of_surroundings_that_may_be_humid(
    coolant: float, ambient: float, humidity: float | None, chills: bool
) -> None:
    made = bench(chiller_W=1000.0, humidity_max_pct=humidity)
    made.put("coolant_degC", coolant)
    made.put("ambient_degC", ambient)
    assert (orders(made, 49.5)[1] > 0.5) == chills
