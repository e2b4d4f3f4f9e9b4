"""Switchgear on both sides of each of its limits, to the nanosecond and the milliampere, and what its outputs carry."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.core.bench import Bench, closed
from tests.core.sites import site

from cellarer.core.decide import sequence
from cellarer.core.decide.look import carrying
from cellarer.core.decide.protect import Demand
from cellarer.core.decide.signals import Look
from cellarer.model.config import Switchgear
from cellarer.model.values import FOREVER, Phase, Switches

NOW_NS = 10**15
NONE, YES = np.zeros((2, 1), bool), np.ones((2, 1), bool)


def facts(
    held_ns: int = 0, ramp: np.ndarray = NONE, name: str = "one", now_ns: int = NOW_NS, **changed: Any
) -> sequence.Facts:
    """Return what is known of the one string of a site whose phase has lasted so long. changed: of Switches."""
    bench = closed(name)
    switches = replace(bench.state.switches, since_ns=np.array([now_ns - held_ns]), **changed)
    state = replace(bench.state, switches=switches)
    seen = replace(state.seen, value=state.seen.value.copy())
    look = Look(bench.config, seen, None, state.watch, state, now_ns)  # type: ignore[arg-type]
    return sequence.Facts(look, switches, Demand(NONE, ramp, np.ones((2, 1))), state.wishes)


def holds(condition: str, given: sequence.Facts) -> bool:
    return bool(np.ravel(sequence.CONDITIONS[condition](given))[0])


GEAR = site("one").switch
ONLY_CHARGE, ONLY_DISCHARGE = np.array([[True], [False]]), np.array([[False], [True]])


@pytest.mark.parametrize(
    ("condition", "limit_ns", "ramp"),
    [
        ("timeout", int(GEAR.settle_ns[0]) + sequence.TIMEOUT_NS, NONE),
        ("precharge over", int(GEAR.precharge_ns[0]), NONE),
        ("proof over", sequence.PROOF_NS, NONE),
        ("cooled", int(GEAR.pause_ns[0]), NONE),
        ("ramp over", sequence.VOLUNTARY_RAMP_NS, NONE),
        ("ramp over", int(GEAR.open_delay_ns[0]), ONLY_CHARGE),
        ("ramp over", int(GEAR.open_delay_ns[0]), ONLY_DISCHARGE),
        ("charge ramp over", sequence.VOLUNTARY_RAMP_NS, ONLY_DISCHARGE),
        ("charge ramp over", int(GEAR.open_delay_ns[0]), ONLY_CHARGE),
        ("discharge ramp over", sequence.VOLUNTARY_RAMP_NS, ONLY_CHARGE),
        ("discharge ramp over", int(GEAR.open_delay_ns[0]), ONLY_DISCHARGE),
    ],
)
def test_both_sides_of_a_time(condition: str, limit_ns: int, ramp: np.ndarray) -> None:
    assert holds(condition, facts(limit_ns, ramp))
    assert not holds(condition, facts(limit_ns - 1, ramp))


def test_both_sides_of_the_heat_of_the_precharge_resistor() -> None:
    most = GEAR.resistor_max_J
    assert holds("precharge over", facts(resistor_J=most))
    assert not holds("precharge over", facts(resistor_J=np.nextafter(most, 0.0)))
    assert bool(facts(resistor_J=0.5 * most).cool[0])
    assert not bool(facts(resistor_J=np.nextafter(0.5 * most, np.inf)).cool[0])


def test_both_sides_of_the_tries() -> None:
    tries = GEAR.tries
    ready = replace(closed("one").state.wishes, closed=np.array([True]), confirmed=np.array([True]))
    for spent, starts in ((tries - 1, True), (tries, False)):
        given = replace(facts(tries=spent, trusted_ns=np.array([0])), wishes=ready)
        assert holds("start pair", given) == starts


@pytest.mark.parametrize("feedback", [0.0, 1.0, np.nan])
@pytest.mark.parametrize("short_ns", [0, 1])
@pytest.mark.parametrize(("name", "condition"), [("minus", "minus closed"), ("plus", "plus closed both")])
def test_a_contact_counts_as_closed_when_it_has_settled_and_says_so(
    name: str, condition: str, short_ns: int, feedback: float
) -> None:
    given = facts(int(GEAR.settle_ns[0]) - short_ns)
    given.look.seen.value[given.look.config.layout.where[f"feedback_{name}"]] = feedback
    assert holds(condition, given) == (short_ns == 0 and feedback == 1.0)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(
    ("condition", "limit_A"), [("quiet", float(GEAR.break_A[0])), ("opened", float(site("one").idle_A[0]))]
)
def test_both_sides_of_the_current_that_a_contact_breaks_and_that_is_none(
    condition: str, limit_A: float, sign: float
) -> None:
    for current, holds_so in ((limit_A, True), (np.nextafter(limit_A, np.inf), False), (np.nan, False)):
        given = facts(int(GEAR.settle_ns[0]))
        value, where = given.look.seen.value, given.look.config.layout.where
        for name in ("minus", "precharge", "plus"):
            value[where[f"feedback_{name}"]] = 0.0
        value[where["current"]] = sign * current
        assert holds(condition, given) == holds_so


@pytest.mark.parametrize(("path", "ramp", "sign"), [("charge", ONLY_CHARGE, 1.0), ("discharge", ONLY_DISCHARGE, -1.0)])
def test_a_ramped_path_opens_as_soon_as_its_current_has_fallen(path: str, ramp: np.ndarray, sign: float) -> None:
    limit_A = float(GEAR.break_A[0])
    for along, due in ((limit_A, True), (np.nextafter(limit_A, np.inf), False), (-10.0 * limit_A, True)):
        given = facts(ramp=ramp, ramp_ns=np.full((2, 1), NOW_NS))
        given.look.seen.value[given.look.config.layout.where["current"]] = sign * along
        assert holds(f"due {path}", given) == due


@pytest.mark.parametrize("opens", list(product((False, True), repeat=2)))
@pytest.mark.parametrize("ramps", list(product((False, True), repeat=2)))
def test_what_each_path_asks_for(opens: tuple[bool, bool], ramps: tuple[bool, bool]) -> None:
    """All conditions that tell the paths apart; no current flows, and there is no charger."""
    given = facts(trusted_ns=np.array([0]), ramp_ns=np.full((2, 1), NOW_NS))
    wishes = replace(given.wishes, closed=np.array([True]), confirmed=np.array([True]))
    demand = Demand(np.array(opens)[:, None], np.array(ramps)[:, None], np.ones((2, 1)))
    given = replace(given, wishes=wishes, demand=demand)
    free = [not (o or r) for o, r in zip(opens, ramps)]
    wanted = {
        "open now": any(opens), "open charge": opens[0], "open discharge": opens[1],
        "ramp": any(ramps), "ramp charge": ramps[0], "blocked both": not any(free),
        "blocked charge": not free[0], "blocked discharge": not free[1],
        "start both": all(free), "join both": all(free),
        "join charge": free == [True, False], "join discharge": free == [False, True],
        "abort": not all(free), "start pair": all(free), "refill over": not free[1],
        "due charge": opens[0] or ramps[0], "due discharge": opens[1] or ramps[1],
        "due both": (opens[0] or ramps[0]) and (opens[1] or ramps[1]),
    }  # fmt: skip
    assert {name: holds(name, given) for name in wanted} == wanted


def precharged(since_ns: int, link_ns: int, current_ns: int, volts: float = 0.0, current: float = 0.0) -> bool:
    """Return whether precharge is proven by samples of these times, at such a difference and current."""
    bench = closed("one")
    where = bench.layout.where
    value, time_ns = bench.state.seen.value.copy(), bench.state.seen.time_ns.copy()
    value[where["string_voltage"]], value[where["link_voltage"]] = 13.0, 13.0 - volts
    value[where["current"]], time_ns[where["link_voltage"]], time_ns[where["current"]] = current, link_ns, current_ns
    switches = replace(bench.state.switches, since_ns=np.array([since_ns]), rest_A=np.zeros(1))
    seen = replace(bench.state.seen, value=value, time_ns=time_ns)
    state = replace(bench.state, switches=switches)
    return bool(sequence._precharged(Look(bench.config, seen, None, state.watch, state, NOW_NS))[0])  # type: ignore[arg-type]


def test_precharge_is_proven_by_samples_after_its_contact_closed() -> None:
    assert precharged(0, 1, 1)
    assert not precharged(0, 0, 1)
    assert not precharged(0, 1, 0)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_both_sides_of_voltage_and_current_of_precharge(sign: float) -> None:
    volts, current = float(GEAR.precharge_V[0]), float(GEAR.precharge_A[0])
    assert precharged(0, 1, 1, current=sign * current)
    assert not precharged(0, 1, 1, current=sign * np.nextafter(current, 1.0))
    assert precharged(0, 1, 1, volts=sign * (volts - 1e-9))
    assert not precharged(0, 1, 1, volts=sign * (volts + 1e-9))


def test_a_ramp_that_is_over_is_forgotten_on_each_path_by_itself() -> None:
    """What ramped once and ramps again waits anew, also while the other path goes on."""
    look = facts().look
    before = replace(look.state.switches, ramp_ns=np.array([[5], [FOREVER]]))
    free = Demand(NONE, NONE, np.ones((2, 1)))
    assert (sequence._ramping(look, before, free).ramp_ns == FOREVER).all()
    both = replace(look.state.switches, ramp_ns=np.array([[5], [7]]))
    one = Demand(NONE, ONLY_DISCHARGE, np.ones((2, 1)))
    assert sequence._ramping(look, both, one).ramp_ns.tolist() == [[FOREVER], [7]]
    assert sequence._ramping(look, before, one).ramp_ns.tolist() == [[FOREVER], [NOW_NS]]


def of_phase(name: str, phase: Phase) -> Any:
    """Return switchgear of all strings of a site in this phase."""
    n = site(name).layout.yes.size
    switches: Any = SimpleNamespace(phase=np.full(n, int(phase), np.int8))
    return switches


@pytest.mark.parametrize("name", ("fets", "separate"))
@pytest.mark.parametrize("phase", Phase)
def test_switches_of_one_direction_order_no_pair_and_carry_what_is_closed(name: str, phase: Phase) -> None:
    orders = sequence.outputs(site(name), of_phase(name, phase))
    carried = carrying(site(name), of_phase(name, phase))
    assert not orders[:3].any()
    closes = {Phase.CLOSED: (1, 1), Phase.RAMP: (1, 1), Phase.CHARGE_ONLY: (1, 0), Phase.CHARGE_RAMP: (1, 0),
              Phase.DISCHARGE_ONLY: (0, 1), Phase.DISCHARGE_RAMP: (0, 1)}.get(phase, (0, 0))  # fmt: skip
    ramps = phase in sequence.RAMPS
    for way, wanted in enumerate(closes):
        assert (orders[3 + way] == bool(wanted)).all()
        assert (carried[way] == (bool(wanted) and not ramps)).all()


@pytest.mark.parametrize("phase", sorted(set(Phase) - {Phase.DISCHARGE_ONLY, Phase.DISCHARGE_RAMP, Phase.CHARGE_RAMP}))
def test_a_pair_orders_no_switch_of_one_direction(phase: Phase) -> None:
    orders = sequence.outputs(site("one"), of_phase("one", phase))[:, 0].astype(int).tolist()
    closes = {Phase.MINUS: [1, 0, 0], Phase.PRECHARGE: [1, 1, 0], Phase.PLUS: [1, 1, 1], Phase.CLOSED: [1, 0, 1],
              Phase.CHARGE_ONLY: [1, 0, 1], Phase.RAMP: [1, 0, 1]}.get(phase, [0, 0, 0])  # fmt: skip
    assert orders == [*closes, 0, 0]
    carried = carrying(site("one"), of_phase("one", phase))[:, 0].tolist()
    assert carried == [phase in (Phase.CLOSED, Phase.CHARGE_ONLY), phase == Phase.CLOSED]


def test_a_site_without_switchgear_carries_both_ways() -> None:
    config = site("bare")
    assert (config.switch.kind == Switchgear.NONE).all()
    carried = carrying(config, of_phase("bare", Phase.OPEN))
    assert carried.shape == (2, config.layout.yes.size) and carried.all()


def resting(bench: Bench, before_A: float, current_A: float, dt_s: float, **changed: Any) -> Switches:
    """Return switchgear after a sample of the current of an open string."""
    at = bench.layout.where["current"]
    then, now = bench.state.seen.value.copy(), bench.state.seen.value.copy()
    then[at], now[at] = before_A, current_A
    time_ns = bench.state.seen.time_ns.copy()
    time_ns[at] = bench.state.seen.time_ns[at] + round(dt_s * 1e9)
    switches = replace(bench.state.switches, phase=np.zeros(1, np.int8), rest_A=np.array([1.0]),
                       rest_variance=np.array([0.5]), **changed)  # fmt: skip
    state = replace(bench.state, switches=switches, seen=replace(bench.state.seen, value=then))
    seen = replace(bench.state.seen, value=now, time_ns=time_ns)
    look = Look(bench.config, seen, None, state.watch, state, NOW_NS)  # type: ignore[arg-type]
    return sequence._resting(look, switches)


def test_the_mean_current_of_an_open_string_and_how_sure_it_is() -> None:
    bench = closed("one")
    after, share = resting(bench, 2.0, 3.0, 0.1 * sequence.REST_S), 0.1
    assert after.rest_A[0] == pytest.approx(1.0 + share * (3.0 - 1.0))
    assert after.rest_variance[0] == pytest.approx((1.0 - share) ** 2 * 0.5 + share**2 * 0.5 * 1.0)
    late = resting(bench, 2.0, 3.0, 10.0 * sequence.REST_S)
    assert late.rest_A[0] == 3.0 and late.rest_variance[0] == pytest.approx(0.5)
    for then, now, dt_s in ((np.nan, 3.0, 0.1), (2.0, np.nan, 0.1), (2.0, 3.0, 0.0)):
        assert resting(bench, then, now, dt_s).rest_A[0] == 1.0


@pytest.mark.parametrize(("early_ns", "due"), [(1, False), (0, True)])
def test_a_path_that_ramps_is_due_from_its_delay_on_whatever_flows(early_ns: int, due: bool) -> None:
    began_ns = NOW_NS - int(GEAR.open_delay_ns[0]) + early_ns
    given = facts(ramp=ONLY_CHARGE, ramp_ns=np.array([[began_ns], [FOREVER]]))
    given.look.seen.value[given.look.config.layout.where["current"]] = 100.0
    assert given.due[:, 0].tolist() == [due, False]
