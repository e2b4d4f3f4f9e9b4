"""Heat and cold ahead of time cost less than the rules at equal limits, or there is no plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellarer import config
from cellarer.core.cycle import start
from cellarer.model.values import NEVER, no_plan
from cellarer.plan import thermal
from cellarer.plan.thermal import STEP_S, STEPS, Outlook

EV = config.load("ev").config
ONE, AT = thermal.body(EV, 0), thermal.bounds(EV, 0)


def day(mean: float, swing: float, first: int, length: int = 12, heat_W: float = 200.0) -> Outlook:
    """Return a day with one use."""
    hour = np.arange(STEPS) * STEP_S / 3600.0
    used = (np.arange(STEPS) >= first) & (np.arange(STEPS) < first + length)
    return Outlook(mean + swing * np.cos(2.0 * np.pi * (hour - 15.0) / 24.0), np.where(used, heat_W, 0.0), used)


def followed(degC: float, ahead: Outlook) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Follow the advice as it is renewed; return both temperatures and both energies."""
    keep, flow = np.full((2, STEPS), AT.heat_from), np.full((2, STEPS), np.nan)
    temp = np.full(2, degC)
    trace, used_J = np.empty((2, STEPS)), np.zeros(2)
    for k in range(STEPS):
        rest = Outlook(*(np.roll(x, -k) for x in (ahead.ambient_degC, ahead.heat_W, ahead.used)))
        if k % 2 == 0:
            keep_degC, flow_degC, *_ = thermal.choose(ONE, AT, float(temp[1]), rest)
            keep[1, k:] = AT.heat_from if np.isnan(keep_degC) else keep_degC
            flow[1, k:] = flow_degC
        now = Outlook(rest.ambient_degC[:1], rest.heat_W[:1], rest.used[:1])
        for way in range(2):
            moved, joules = thermal.run(ONE, AT, float(temp[way]), now, keep[way : way + 1, k : k + 1],
                                        flow[way : way + 1, k : k + 1])  # fmt: skip
            temp[way], used_J[way] = moved[0, 0], used_J[way] + joules[0]
        trace[:, k] = temp
    return trace[0], trace[1], float(used_J[0]), float(used_J[1])


@pytest.mark.parametrize(("mean", "swing", "degC"), [(-10.0, 4.0, 8.0), (40.0, 8.0, 42.0)])
def test_a_day_ahead_costs_less_at_equal_limits(mean: float, swing: float, degC: float) -> None:
    ahead = day(mean, swing, first=200)
    rules, plan, ruled_J, planned_J = followed(degC, ahead)
    assert planned_J < 0.9 * ruled_J
    used = ahead.used
    assert (np.minimum(plan, AT.full_from) >= np.minimum(rules, AT.full_from) - 0.5)[used].all()
    assert (np.maximum(plan, AT.full_to) <= np.maximum(rules, AT.full_to) + 0.5)[used].all()


@pytest.mark.parametrize("seed", range(4))
def test_followed_over_a_random_day_a_plan_is_never_worse_than_the_rules(seed: int) -> None:
    g = np.random.default_rng(seed)
    mean, swing = g.uniform(-25.0, 45.0), g.uniform(0.0, 10.0)
    ahead = day(mean, swing, int(g.integers(0, STEPS)), int(g.integers(4, 40)), g.uniform(0.0, 1500.0))
    rules, plan, ruled_J, planned_J = followed(float(np.clip(mean + g.normal(0.0, 8.0), -15.0, 48.0)), ahead)
    assert planned_J <= 1.01 * ruled_J + 1e3
    used = ahead.used
    assert (np.minimum(plan, AT.full_from) >= np.minimum(rules, AT.full_from) - 0.5)[used].all()
    assert (np.maximum(plan, AT.full_to) <= np.maximum(rules, AT.full_to) + 0.5)[used].all()


@settings(max_examples=25, deadline=None)
@given(mean=st.floats(-25.0, 45.0), swing=st.floats(0.0, 10.0), degC=st.floats(-15.0, 48.0),
       first=st.integers(0, STEPS - 1), heat_W=st.floats(0.0, 1500.0))  # fmt: skip
def test_what_is_chosen_is_never_worse_than_the_rules(
    mean: float, swing: float, degC: float, first: int, heat_W: float
) -> None:
    keep, flow, ruled_J, planned_J = thermal.choose(ONE, AT, degC, day(mean, swing, first, heat_W=heat_W))
    assert planned_J <= ruled_J
    if planned_J == ruled_J:
        assert np.isnan(keep) and np.isnan(flow)


def test_no_plan_without_known_use_surroundings_or_temperature() -> None:
    state = start(EV, 0)
    around = np.full((1, STEPS), -10.0)
    seen = replace(state.seen, value=np.where(np.isnan(state.seen.value), 5.0, state.seen.value))
    state = replace(state, time_ns=0, seen=seen)
    assert thermal.advise(EV, state, around).expires_ns == NEVER
    due = replace(state, wishes=replace(state.wishes, full_by_ns=np.array([round(6 * 3600e9)])))
    advice = thermal.advise(EV, due, around)
    assert 0 < advice.expires_ns <= thermal.SLOT_NS and np.isfinite(advice.preheat_degC[0])
    assert thermal.advise(EV, due, np.full((1, STEPS), np.nan)).expires_ns == NEVER
    blind = replace(due, seen=replace(seen, value=np.full_like(seen.value, np.nan)))
    assert thermal.advise(EV, blind, around).expires_ns == NEVER


def test_advice_joins_a_balancing_plan_and_each_expires_by_itself() -> None:
    unknown = np.full(1, np.nan)
    plan = replace(no_plan(3, 1), expires_ns=500, bleed_Ah=np.arange(3.0))
    none = thermal.Advice(NEVER, unknown, unknown)
    assert thermal.joined(plan, none) is plan
    both = thermal.joined(plan, replace(none, expires_ns=300, preheat_degC=np.array([7.0])))
    assert both.expires_ns == 500 and both.climate_ns == 300 and both.preheat_degC[0] == 7.0 and both.bleed_Ah[2] == 2.0
    alone = thermal.joined(no_plan(3, 1), replace(none, expires_ns=300))
    assert alone.climate_ns == 300 and alone.expires_ns == NEVER
