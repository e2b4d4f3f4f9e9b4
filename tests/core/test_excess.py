"""Currents that go beyond a limit in pulses, or in both directions in turn, are told as their heat is, others not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from tests.core.bench import Bench, closed

from cellarer.core import excess, followed
from cellarer.core.decide.signals import SIGNALS, Look
from cellarer.core.measure import measure
from cellarer.model.values import NEVER, Phase

DT_S = 0.1
HELD = ("charge_limit_ignored", "charge_limit_defied", "discharge_limit_ignored", "discharge_limit_defied",
        "charge_over_current_maximum", "discharge_over_current_maximum")  # fmt: skip


def settled() -> tuple[Bench, np.ndarray]:
    """Return a closed bench with steady limits, and what current may be before it defies them, A, (way,)."""
    bench = closed("one")
    bench.dt_ns = round(DT_S * 1e9)
    bench.run(12.0)
    allowed = np.array([bench.state.watch.allowed_charge_A[0], bench.state.watch.allowed_discharge_A[0]])
    rated = max(bench.config.limits.rated_charge_A[0], bench.config.limits.rated_discharge_A[0])
    margin = max(followed.SENSOR_SHARE * rated, bench.config.idle_A[0])
    return bench, (followed.OVER_LIMIT + followed.MORE) * allowed + margin


def repeat(bench: Bench, amps: Sequence[float], seconds: float) -> dict[str, float]:
    """Let samples of current repeat; return when each row of HELD was raised, s."""
    when: dict[str, float] = {}
    for k in range(round(seconds / DT_S)):
        bench.put("current", amps[k % len(amps)])
        bench.step()
        when |= {name: (k + 1) * DT_S for name in HELD if bench.active(name) and name not in when}
        if bench.phase() != Phase.CLOSED:
            break
    return when


@pytest.mark.parametrize("share", [0.98, 1.03])
def test_alternate_samples_beyond_the_cells_maximum_open_like_a_steady_current(share: float) -> None:
    bench, _ = settled()
    charge, discharge = excess.highest(bench.config)[:, 0]
    when = repeat(bench, (share * charge, -share * discharge), 2.0)
    assert bool({"charge_over_current_maximum", "discharge_over_current_maximum"} & set(when)) == (share > 1.0)
    if share > 1.0:
        assert min(when.values()) <= 4 * DT_S and bench.phase() != Phase.CLOSED


@pytest.mark.parametrize("way", [0, 1])
@pytest.mark.parametrize(("on", "off", "times", "told"), [
    (1, 1, 1.5, True), (5, 5, 1.6, True), (10, 10, 1.7, True), (1, 3, 2.2, False), (1, 1, 1.3, False),
    (5, 5, 1.3, False), (35, 60, 1.2, False),
])  # fmt: skip
def test_pulses_are_told_as_far_as_their_heat_is_beyond_the_limit(
    way: int, on: int, off: int, times: float, told: bool
) -> None:
    """Half of the time 1.41 of the limit heats like the limit; a quarter of the time twice of it."""
    bench, most = settled()
    sign, name = (1.0, -1.0)[way], ("charge_limit_defied", "discharge_limit_defied")[way]
    top = float(excess.highest(bench.config)[way, 0])
    assert times * most[way] < top or not told, "not for the rows of over-current"
    when = repeat(bench, on * (sign * times * most[way],) + off * (0.0,), 20.0)
    assert (name in when) == told, when
    if told:
        bench.run(1.0)
        assert when[name] <= 10.0 and bench.phase() != Phase.CLOSED


@pytest.mark.parametrize(("share", "told"), [(0.95, False), (1.1, True)])
def test_alternate_samples_beyond_both_limits_defy_them(share: float, told: bool) -> None:
    bench, most = settled()
    when = repeat(bench, (share * most[0], -share * most[1]), 12.0)
    assert bool({"charge_limit_defied", "discharge_limit_defied"} & set(when)) == told, when
    assert not told or min(when[n] for n in when if n.endswith("defied")) <= 5.0


def test_one_burst_shorter_than_the_debounce_is_borne() -> None:
    bench, most = settled()
    assert "charge_limit_defied" not in repeat(bench, 38 * (1.15 * most[0],) + 200 * (0.0,), 20.0)


@pytest.mark.parametrize("every", [4, 5, 10])
def test_single_wild_samples_of_current_do_not_add_up(every: int) -> None:
    bench, _ = settled()
    assert repeat(bench, (3.0 * float(excess.highest(bench.config).max()),) + (every - 1) * (-10.0,), 10.0) == {}


def test_what_an_obeying_machine_draws_leaves_nothing() -> None:
    bench, most = settled()
    g = np.random.default_rng(1)
    for _ in range(300):
        bench.put("current", float(g.uniform(-0.99 * most[1] / 1.05, 0.99 * most[0] / 1.05)))
        bench.step()
        assert not bench.state.watch.excess.any()


def one(before: float, current: float, dt_s: float = 0.1) -> np.ndarray:
    """Return the memory after one cycle, of the published limit, of a bound of 105 A."""
    bench = closed("one")
    allowed = np.full((2, 1), 100.0)
    over = np.array([[current], [-current]]) - 105.0
    kept = np.full((3, 3, 1), before)
    return excess.advance(bench.config, kept, np.array([current]), allowed, over, dt_s)[excess.IGNORED, :, 0]


def test_the_memory_by_hand() -> None:
    part = -np.expm1(-0.1 / excess.EXCESS_S)
    share = (120.0 / 105.0) ** 2 - 1.0
    np.testing.assert_allclose(one(0.0, 120.0), [part * share, 0.0, part * share])
    np.testing.assert_allclose(one(0.0, -120.0), [0.0, part * share, part * share])
    np.testing.assert_allclose(one(0.5, 0.0), 3 * [0.5 - part * 1.5])
    np.testing.assert_allclose(one(0.0, 1000.0)[0], part * excess.MOST_SHARE)
    assert (one(0.0, 104.9) == 0.0).all() and (one(0.0, 105.1)[[0, 2]] > 0.0).all()
    assert (one(0.5, np.nan) == 0.5).all()  # unknown changes nothing


@pytest.mark.parametrize(("kept", "known"), [(excess.LEAST, True), (1.01 * excess.LEAST, False)])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_both_sides_of_what_is_paid_back(kept: float, known: bool, place: int) -> None:
    bench = closed("one")
    bench.run(0.1)
    state = bench.state
    memory = np.zeros((3, 3, 1))
    memory[:, place] = kept
    seen, digest = measure(bench.config, state.watch, bench.sample(), state.current_zero, bench.now_ns)
    watch = replace(state.watch, excess=memory)
    look = Look(bench.config, seen, digest, watch, state, bench.now_ns)
    assert state.time_ns > NEVER
    for way in ("charge", "discharge"):
        mine = place == 2 or place == ("charge", "discharge").index(way)
        for name in ("over_limit", "defied", "current"):
            assert bool(SIGNALS[f"{way}_{name}"](look).known[0]) == (known or not mine), (way, name)


def test_where_no_limit_is_published_only_the_cells_maximum_counts() -> None:
    bench = closed("supervised")
    bench.put("current", 10.0 * float(excess.highest(bench.config)[0, 0]), 0)
    bench.run(0.1)
    kept = bench.state.watch.excess[:, :, 0]
    assert not kept[:2].any() and kept[excess.HIGHEST, 0] > 0.0
