"""Bleeding follows a plan within the bounds of the hardware, pauses for measuring, and is counted by the estimators."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from tests.core.bench import Bench, closed
from tests.core.sites import TABLES

from cellarer.config.load import build
from cellarer.core.decide import balance, signals
from cellarer.model.values import NEVER, no_plan
from cellarer.plan.balance import schedule
from cellarer.plan.thermal import Advice, joined

FOREVER_NS = 10**15


def planned(bench: Bench, dose: list[float], expires_ns: int = FOREVER_NS) -> None:
    nothing = no_plan(len(dose), bench.layout.size["pack"])
    bench.plan = replace(nothing, expires_ns=expires_ns, bleed_Ah=np.array(dose))


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


def test_a_cell_that_is_too_full_bleeds_for_its_whole_turn_although_it_reads_lower_meanwhile() -> None:
    """Whatever the plan says; its reading falls by what its sense wire loses, below where it began."""
    bench = known()
    planned(bench, [0.0, 0.0, 0.0, 0.0])
    zero_V, share = float(bench.config.limits.charge_zero_V[0]), float(bench.config.balance.share[0])
    bench.every_cycle.append(lambda b: b.put("cell_voltage", zero_V + 0.005 - 0.010 * float(b.command.bleed[2]), 2))
    bled = []
    bench.every_cycle.append(lambda b: bled.append(b.command.bleed.tolist()))
    bench.run(0.2)
    bled.clear()
    bench.run(2.0 * balance.TURN_NS * 1e-9)
    assert np.mean(bled, axis=0) == pytest.approx([0.0, 0.0, share, 0.0], abs=0.02)


@pytest.mark.parametrize("named", [False, True])
def test_a_bleeder_that_does_not_do_as_ordered_is_named_and_what_it_really_takes_is_counted(named: bool) -> None:
    """Cell 2 never bleeds, cell 4 always does; half a minute of it is none yet, boards answer within 2 s."""
    bench = known()
    bench.dt_ns = 500_000_000
    bench.put("cell_bleeding", [0.0, 0.0, 0.0, 1.0])
    planned(bench, [0.0, 1.0, 0.0, 0.0])
    bench.run(1.0)
    before = bench.state.balancing.moved_Ah
    bench.run(32.0 if named else 28.0)
    for row, cell in (("bleeder_never_on", 1), ("bleeder_always_on", 3)):
        assert bench.active(row) == named
        assert not named or bench.state.faults.raised_cell[bench.row(row), 0] == cell
    gone_Ah = -(bench.state.balancing.moved_Ah - before)
    assert gone_Ah.tolist() == [0.0, 0.0, 0.0, pytest.approx(0.2 * (32.0 if named else 28.0) / 3600.0, rel=0.01)]
    assert bench.command.bleed.tolist() == [False, True, False, False] and bench.command.plus.all()


def test_what_boards_do_not_say_is_counted_as_ordered_and_more_at_a_higher_voltage() -> None:
    bench, gone_Ah = known(), []
    bench.silence("cell_bleeding")
    bench.run(3.0)
    for volts in (3.2, 3.6):
        fork = bench.fork()
        fork.put("cell_voltage", volts)
        planned(fork, [0.0, 1.0, 0.0, 0.0])
        fork.run(10.0)
        gone_Ah.append(float(-fork.state.balancing.moved_Ah[1]))
        assert not fork.active("bleeder_never_on")
    assert gone_Ah[0] > 0.0 and gone_Ah[1] / gone_Ah[0] == pytest.approx(1.125, rel=0.01)


def test_a_bleeder_that_is_always_on_keeps_its_reading_from_the_filters_and_freezes_no_limit() -> None:
    bench = known()
    bench.put("cell_bleeding", [0.0, 0.0, 0.0, 1.0])
    bench.run(3.0)
    look = signals.Look(bench.config, bench.state.seen, None, None, bench.state, bench.now_ns)  # type: ignore[arg-type]
    disturbed = balance.disturbed(look)
    assert disturbed is not None and disturbed.tolist() == [False, False, True, True]
    bench.put("cell_voltage", bench.cells - 0.03)
    bench.put("current", -30.0)
    bench.run(3.0)
    assert bench.state.balancing.unbled[0][0] == pytest.approx(bench.cells[0] - 0.03, abs=0.001)


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


@pytest.mark.parametrize("beyond_V", [-1e-6, 0.0, 1e-3])
@pytest.mark.parametrize("with_plan", [False, True])
def test_what_stands_above_its_recommended_voltage_bleeds_whatever_the_others_have(
    with_plan: bool, beyond_V: float
) -> None:
    bench = known()
    bench.put("cell_voltage", float(bench.config.limits.charge_zero_V[0]) + beyond_V)
    if with_plan:
        planned(bench, [0.0] * 4)
    bench.run(0.1)
    assert bench.command.bleed.tolist() == [beyond_V > 0.0] * 4


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


@pytest.mark.parametrize("dt_ms", [20, 100, 1000])
def test_a_reading_counts_again_when_its_filter_has_settled_however_short_a_cycle_is(dt_ms: int) -> None:
    bench = known()
    planned(bench, [0.0, 1.0, 0.0, 0.0], bench.now_ns + 2 * 10**9)
    bench.dt_ns = dt_ms * 10**6
    bench.run(2.0)
    off_ns = bench.now_ns
    while bench.command.bleed.any() or balance.disturbed(_look(bench)) is not None:
        assert bench.now_ns - off_ns <= 10**9 + 2 * bench.dt_ns
        bench.step()
    assert bench.now_ns - off_ns >= balance.SETTLE_NS - bench.dt_ns


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


MOVE_A, CELL = 2.0, 1


@cache
def converting(reads: bool, share: float = 1.0) -> Bench:
    """Return a closed bench at half charge with a flyback converter for each cell, in steps of half a second."""
    table = TABLES["one"] | {"signals": TABLES["one"]["signals"] + ["converter_current"] * reads}
    balancing = {"topology": "flyback", "move_A": MOVE_A, "measure_share": share}
    bench = Bench(build(table | {"pack": [table["pack"][0] | {"balancing": balancing}]}, "converters").config).close()
    bench.step(set_soc=0.5)
    bench.run(0.2)
    bench.dt_ns = 500_000_000
    return bench


def take(bench: Bench, share: float) -> None:
    """Let the plan say for how much of the time the converter of the cell takes charge in."""
    move = np.zeros((2, 4))
    move[1, CELL] = share
    bench.plan = replace(no_plan(4, 1), expires_ns=FOREVER_NS, move=move)


def moving(ordered: float, *, reads: bool = True) -> Bench:
    """Return a bench whose converter works as ordered, so far."""
    bench = converting(reads).fork()
    take(bench, ordered)
    bench.step()
    passes(bench, ordered * MOVE_A)
    return bench


def passes(bench: Bench, current: float) -> None:
    if bench.config.sensing.present[bench.layout.where["converter_current"]].all():
        bench.put("converter_current", current, CELL)


def off_order(bench: Bench) -> bool:
    return bool(bench.state.faults.active[bench.config.faults.name.index("converter_off_order"), 0])


@pytest.mark.parametrize("ordered", [1.0, 0.2, 0.0])
@pytest.mark.parametrize("way", [-1.0, 1.0])
def test_a_converter_is_named_beyond_its_limit_and_not_within(ordered: float, way: float) -> None:
    limit_A = 0.3 * MOVE_A * max(ordered, signals.LEAST_ORDER)
    for share, named in ((0.98, False), (1.02, True)):
        bench = moving(ordered)
        passes(bench, ordered * MOVE_A + way * share * limit_A)
        bench.run(40.0)
        assert off_order(bench) == named
        assert bench.command.move[1, CELL] == (0.0 if named else ordered), "converters of the string stop"
        assert bench.command.plus.all()


def test_a_converter_is_named_when_it_was_off_for_long_enough_and_rests_for_a_day() -> None:
    for seconds, named in ((29.5, False), (31.0, True)):
        bench = moving(1.0)
        passes(bench, 0.0)
        bench.run(seconds)
        assert off_order(bench) == named
    bench.dt_ns = 600_000_000_000
    bench.run(23.9 * 3600.0)
    assert off_order(bench) and bench.command.move[1, CELL] == 0.0
    bench.run(1800.0, lambda b: not off_order(b))
    bench.step()
    assert not off_order(bench) and bench.command.move[1, CELL] == 1.0, "it is tried again"


def test_what_is_measured_of_a_converter_counts_and_else_what_is_ordered() -> None:
    for reads, passed, got in ((True, 1.0, 1.0), (True, np.nan, 2.0), (False, np.nan, 2.0)):
        bench = moving(1.0, reads=reads)
        before = bench.state.balancing.moved_Ah
        passes(bench, passed)
        bench.run(10.0)
        gained = (bench.state.balancing.moved_Ah - before) * 3600.0 / 10.0
        others = np.delete(gained, CELL)
        assert gained[CELL] - others.mean() == pytest.approx(got, rel=0.06)
        np.testing.assert_allclose(others, others[0])


def test_a_sensor_that_shows_little_at_rest_moves_nothing_on_paper_and_one_that_shows_more_does() -> None:
    for passed, moved in ((0.98 * 0.02 * MOVE_A, False), (1.02 * 0.02 * MOVE_A, True)):
        bench = moving(0.0)
        before = bench.state.balancing.moved_Ah
        passes(bench, passed)
        bench.run(10.0)
        assert (bench.state.balancing.moved_Ah[CELL] > before[CELL]) == moved


def test_converters_that_work_unread_for_a_minute_are_remembered() -> None:
    for seconds, unread in ((59.0, False), (62.0, True)):
        bench = moving(1.0)
        bench.silence("converter_current")
        bench.run(seconds)
        assert (bench.state.balancing.unread_ns > NEVER).tolist() == [False, unread, False, False]
    never = moving(1.0, reads=False)
    never.run(1.0)
    assert never.state.balancing.unread_ns[CELL] == never.now_ns


def test_converters_pause_so_that_cells_are_measured() -> None:
    bench, moves = converting(True, 0.95).fork(), []
    take(bench, 1.0)
    for _ in range(480):
        bench.step()
        passes(bench, MOVE_A * bench.command.move[1, CELL])
        moves.append(bench.command.move[1, CELL])
    pause = np.flatnonzero(np.array(moves) == 0.0) * 0.5
    assert pause.tolist() == [*np.arange(114.0, 120.0, 0.5), *np.arange(234.0, 240.0, 0.5)]


def near_full(site: str) -> Bench:
    """Return a closed bench, in each string of four or more a cell that bleeding by voltage would choose."""
    bench = closed(site)
    cells, first = bench.cells, bench.layout.first_cell
    cells[:] = (bench.config.limits.end_of_charge_V - 0.04)[bench.layout.string_of_cell]
    bench.put("cell_voltage", cells[first + 2] + 0.03, first + 2)
    bench.put("current", 1.0)
    return bench


def test_a_plan_that_says_nothing_of_a_string_leaves_it_to_voltage_and_one_that_says_no_does_not() -> None:
    """A dose in string 1 alone: the others bleed as without a plan; a dose of 0 is an order not to bleed."""
    bench = near_full("ragged")
    layout, first = bench.layout, bench.layout.first_cell
    ruled = bench.fork()
    ruled.step()
    assert ruled.command.bleed[first + 2].all()
    dose = np.where(np.arange(layout.size["cell"]) == 3, 1.0, 0.0)
    plan = schedule(layout, bench.config.balance, dose, np.full(4, 9), bench.now_ns)
    bench.plan = plan
    bench.step(set_soc=0.5)
    bench.run(0.2)
    assert np.flatnonzero(bench.command.bleed).tolist() == [3, *(first[1:] + 2).tolist()]
    assert bench.state.balancing.planned.tolist() == [True, False, False, False]
    bench.plan = replace(plan, bleed_Ah=np.where(layout.string_of_cell == 1, 0.0, plan.bleed_Ah))
    bench.run(0.1)
    assert np.flatnonzero(bench.command.bleed).tolist() == [3, *(first[2:] + 2).tolist()]


def test_thermal_advice_alone_stops_no_bleeding_and_outlives_the_doses_it_came_with() -> None:
    bench = near_full("one")
    advice = Advice(bench.now_ns + 10**12, np.array([12.0]), np.array([np.nan]))
    doses = replace(bench.plan, expires_ns=bench.now_ns + 10**9, bleed_Ah=np.array([1.0, 0.0, 0.0, 0.0]))
    bench.plan = joined(bench.plan, advice)
    bench.step()
    assert bench.command.bleed.tolist() == [False, False, True, False]
    bench.plan = joined(doses, advice)
    bench.step(set_soc=0.5)
    bench.run(0.2)
    assert bench.command.bleed.tolist() == [True, False, False, False]
    bench.run(1.6)  # the doses have expired, and their filters have settled
    assert bench.command.bleed.tolist() == [False, False, True, False] and bench.plan.climate_ns > bench.now_ns
