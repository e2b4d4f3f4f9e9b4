"""Bleeding follows a plan within the bounds of the hardware, pauses for measuring, and is counted by the estimators."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.core.bench import Bench, closed

from cellarer.core.decide import balance
from cellarer.model.values import NEVER, Plan

FOREVER_NS = 10**15


def planned(bench: Bench, dose: list[float], expires_ns: int = FOREVER_NS) -> None:
    bench.plan = Plan(expires_ns, np.array(dose), np.full(1, np.nan), np.zeros((2, len(dose))), np.full(1, np.nan))


def known(**balancing: object) -> Bench:
    """Return a closed bench at half charge, with other hardware."""
    bench = closed("one")
    table = bench.config.balance
    bench.config = replace(bench.config, balance=replace(table, **{k: np.array([v]) for k, v in balancing.items()}))
    bench.step(set_soc=0.5)
    bench.run(0.2)
    return bench


def test_a_dose_bleeds_at_any_charge_and_under_load_until_the_plan_expires() -> None:
    bench = known()
    bench.put("current", -30.0)
    planned(bench, [0.0, 1.0, 0.0, 2.0], bench.now_ns + 10**9)
    bench.step()
    assert bench.command.bleed.tolist() == [False, True, False, True]
    bench.run(1.1)
    assert not bench.command.bleed.any()  # expired: voltage says nothing at half charge
    planned(bench, [0.0, 1.0, 0.0, 0.0], NEVER)
    bench.step()
    assert not bench.command.bleed.any()


def test_a_dose_stops_in_doubt_and_below_its_lowest_charge() -> None:
    bench = known()
    planned(bench, [1.0, 0.0, 0.0, 0.0])
    bench.step()
    assert bench.command.bleed[0]
    for name, value in (("cell_voltage", np.nan), ("current", np.nan), ("temp_degC", 61.0)):
        fork = bench.fork()
        fork.put(name, value, 0)
        fork.run(0.06)
        assert not fork.command.bleed.any(), name
    bench.step(set_soc=0.05)
    bench.run(0.2)
    bench.plan = replace(bench.plan, bleed_Ah=np.array([0.0, 1.0, 0.0, 0.0]))
    bench.run(0.1)
    assert not bench.command.bleed.any()


def test_no_plan_exceeds_channels_parity_and_a_warm_board() -> None:
    dose = [1.0, 3.0, 2.0, 4.0]
    for hardware, allowed in (
        ({"channels": 2}, [{1, 3}]),
        ({"alternate": True}, [{0, 2}, {1, 3}]),
        ({"board_K_per_W": 20.0}, [{1, 2, 3}]),  # 36 K of room, 13 K for each bleeder of 0.2 A at 3.3 V
        ({"bleed_A": 0.0}, [set()]),
    ):  # fmt: skip
        bench = known(**hardware)
        if "board_K_per_W" in hardware:
            bench.put("temp_degC", 20.0)
            bench.run(0.06)
        planned(bench, dose)
        bench.step()
        assert set(np.flatnonzero(bench.command.bleed).tolist()) in allowed, hardware


def test_bleeding_pauses_and_only_undisturbed_readings_reach_the_estimators() -> None:
    bench = known()
    bench.dt_ns = 1_000_000_000
    planned(bench, [0.0, 1.0, 0.0, 0.0])
    bench.step()
    on, disturbed = [], []
    for _ in range(120):
        bench.step()
        on.append(bool(bench.command.bleed[1]))
        found = balance.disturbed(_look(bench))
        disturbed.append([] if found is None else np.flatnonzero(found).tolist())
    share = float(bench.config.balance.share[0])
    assert abs(np.mean(on) - share) < 0.03
    assert disturbed[10] == [0, 1, 2]  # the cell and its neighbours, which share wires with it
    pauses = [d for bleeds, d in zip(on, disturbed, strict=True) if not bleeds]
    assert [] in pauses


def test_what_is_bled_is_taken_off_the_estimate() -> None:
    bench = known()
    bench.dt_ns = 1_000_000_000
    bench.put("current", 0.0)
    bench.put("cell_voltage", np.nan)
    bench.let_go("cell_voltage")
    before = bench.state.estimate.soc.copy()
    planned(bench, [0.0, 1.0, 0.0, 0.0])
    bench.run(600.0)
    gone_Ah = 0.2 * 600.0 / 3600.0 * float(bench.config.balance.share[0])
    moved = bench.state.balancing.moved_Ah
    assert np.isclose(moved[1], -gone_Ah, rtol=0.05) and not moved[[0, 2, 3]].any()
    fell = (before - bench.state.estimate.soc) * 280.0
    assert np.isclose(fell[1] - fell[3], gone_Ah, rtol=0.25)


def _look(bench: Bench):  # type: ignore[no-untyped-def]
    from cellarer.core.decide.signals import Look
    from cellarer.core.measure import measure

    state = bench.state
    seen, digest = measure(bench.config, state.watch, bench.sample(), state.current_zero, bench.now_ns)
    return Look(bench.config, seen, digest, state.watch, state, bench.now_ns)
