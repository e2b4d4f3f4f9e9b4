"""A charge to hold, and the hour to be full by: kept without a relay, learnt from chargers, ended, told, restarted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.closed_loop.pack import Pack
from tests.core.bench import Bench, closed
from tests.core.test_requests import answers

from cellarer.board import tree
from cellarer.core.asked import BOUND, GRACE_NS, HOPED, TAIL_S, needed_s, no_requests
from cellarer.core.cycle import start
from cellarer.core.slow import durable
from cellarer.model.values import FOREVER, ChargePhase

HOUR = 3600.0
FULL = (ChargePhase.HOLD, ChargePhase.FLOAT)


def ask(pack: Pack, target: float, ahead_s: float) -> None:
    at = np.array([pack.plant.time_ns + round(ahead_s * 1e9)])
    pack.asked = replace(no_requests(pack.config), target_soc=np.array([target]), full_by_ns=at)


def named(pack: Pack, name: str) -> int:
    return sum(e.name == name for e in pack.events)


@pytest.mark.parametrize(("soc", "charger_A", "ahead_h"), [(0.8, 140.0, 1.2), (0.9, 20.0, 2.2)])
def test_full_by_is_kept_with_fast_and_slow_chargers_and_is_no_relay(
    soc: float, charger_A: float, ahead_h: float
) -> None:
    """Once the fast one switched 384 times between nothing and everything, the slow one was hours late."""
    pack = Pack(soc, current_A=charger_A, dead_band_A=0.0, step_A=1.0, dt_s=5.0)
    ask(pack, soc, ahead_h * HOUR)
    passed = pack.run(ahead_h * HOUR, until=lambda p: p.phase in FULL)
    assert pack.phase in FULL and passed < ahead_h * HOUR
    assert sum(e.kind == "charge" for e in pack.events) <= 6
    before = HOPED * 140.0
    assert before < pack.state.wishes.charger_A[0] <= charger_A * 1.01
    pack.run(ahead_h * HOUR - passed - 60.0)
    assert pack.state.wishes.full_by_ns[0] < FOREVER and pack.phase in FULL
    pack.run(120.0)
    assert pack.state.wishes.full_by_ns[0] == FOREVER and not pack.state.wishes.late[0], "over at its hour"
    assert pack.phase == ChargePhase.STORAGE and named(pack, "not full by the hour asked") == 0


def test_an_hour_that_is_missed_is_told_before_and_after_and_ends() -> None:
    pack = Pack(0.5, current_A=0.0, dt_s=20.0)
    ask(pack, 0.5, 600.0)
    pack.run(60.0)
    (said,) = [text for text in pack.string()["missing"] if "asked to be full" in text]
    assert "in 0:09 h" in said and "min late" in said
    pack.run(500.0)
    assert named(pack, "not full by the hour asked") == 0
    pack.run(100.0)
    assert named(pack, "not full by the hour asked") == 1
    pack.run(GRACE_NS * 1e-9 - 120.0)
    assert pack.state.wishes.late[0]
    pack.run(120.0)
    assert pack.state.wishes.full_by_ns[0] == FOREVER and not pack.state.wishes.late[0]
    assert named(pack, "not full by the hour asked") == 1
    assert pack.state.wishes.target_soc[0] == 0.5 and pack.phase == ChargePhase.STORAGE


def test_what_is_held_waits_until_there_is_just_time() -> None:
    pack = Pack(0.75, current_A=50.0, dead_band_A=0.0, dt_s=20.0)
    ask(pack, 0.75, 12 * HOUR)
    pack.run(10.0)
    pack.run(60.0)
    estimate, wishes = pack.state.estimate, pack.state.wishes
    need_s = float(needed_s(pack.config, wishes.charger_A, estimate, np.full(1, 25.0))[0])
    assert need_s == pytest.approx((0.25 + 0.01) * 280.0 / 14.0 * HOUR + TAIL_S, rel=0.03)
    assert not wishes.late[0] and pack.phase == ChargePhase.STORAGE
    assert any(text.startswith("holds 75 % as asked") for text in pack.string()["missing"])
    ask(pack, 0.75, need_s + 60.0)
    pack.run(10.0, dt_s=1.0)
    assert not pack.state.wishes.late[0]
    pack.run(80.0, dt_s=1.0)
    assert pack.state.wishes.late[0] and pack.phase == ChargePhase.BULK
    ask(pack, 0.75, 12 * HOUR)
    pack.run(5.0, dt_s=1.0)
    assert not pack.state.wishes.late[0], "another hour, another wait"


@pytest.mark.parametrize(
    ("target", "said"), [(0.6, "charges to 60 %"), (0.3, "holds 30 %"), (1.0, "absorption begins")]
)
def test_what_is_missing_names_the_target_and_not_the_charge_of_now(target: float, said: str) -> None:
    pack = Pack(0.5, current_A=20.0)
    pack.asked = replace(no_requests(pack.config), target_soc=np.array([target]))
    pack.run(5.0)
    assert [text[: len(said)] for text in pack.string()["missing"]] == [said]


def test_the_time_to_full_knows_charger_and_cold() -> None:
    bench = closed("one")
    config, estimate = bench.config, replace_soc(bench, 0.5)
    warm, cold = (needed_s(config, np.array([2.0]), estimate, np.array([degC])) for degC in (25.0, -40.0))
    assert np.isinf(cold[0]) and np.isfinite(warm[0])
    assert needed_s(config, np.array([2.0]), estimate, np.array([np.nan])) == pytest.approx(warm)
    twice = needed_s(config, np.array([1.0]), estimate, np.array([25.0]))
    assert twice - TAIL_S == pytest.approx(2.0 * (warm - TAIL_S))


def replace_soc(bench: Bench, soc: float) -> object:
    bench.step(set_soc=soc)
    return bench.state.estimate


@pytest.mark.parametrize(("share", "learns"), [(BOUND - 0.02, True), (BOUND + 0.02, False)])
def test_a_current_that_we_bind_says_nothing_against_the_charger(share: float, learns: bool) -> None:
    pack = Pack(0.5, current_A=share * 140.0, dead_band_A=0.0, step_A=0.1)
    pack.run(60.0)
    assert pack.phase == ChargePhase.BULK and pack.state.window.charge_A[0] == pytest.approx(140.0)
    for before, judged in ((140.0, learns), (200.0, False)):
        pack.state = replace(pack.state, wishes=replace(pack.state.wishes, charger_A=np.array([before])))
        pack.run(30.0)
        assert bool(pack.state.wishes.charger_A[0] < before) == judged


def test_a_pack_that_is_full_without_the_tail_of_a_charge_has_not_missed_its_hour() -> None:
    """Where the limits of cells take the current away first, bulk never ends."""
    pack = Pack(0.997, dt_s=5.0)
    ask(pack, 0.6, 60.0)
    pack.run(100.0)
    assert pack.state.wishes.full_by_ns[0] == FOREVER and named(pack, "not full by the hour asked") == 0


def test_an_hour_that_is_past_is_refused() -> None:
    bench = closed("one")
    bench.step(full_by_ns=bench.now_ns + bench.dt_ns)
    assert answers(bench, "full_by") == [("refuse", "the hour is past")]
    assert bench.state.wishes.full_by_ns[0] == FOREVER
    bench.step(full_by_ns=bench.now_ns + bench.dt_ns + 10**9)
    assert answers(bench, "full_by")[1][0] == "request" and bench.state.wishes.full_by_ns[0] < FOREVER
    bench.step(full_by_ns=FOREVER)
    assert answers(bench, "full_by")[2][0] == "request" and bench.state.wishes.full_by_ns[0] == FOREVER


@pytest.mark.parametrize(("target", "held"), [(0.99, 0.99), (0.995, np.nan), (1.0, np.nan)])
def test_a_target_of_all_is_none(target: float, held: float) -> None:
    """A held 100 % ended a charge at 99.5, without a full end: nothing was anchored, float never came."""
    bench = closed("one")
    bench.step(target_soc=0.6)
    bench.step(target_soc=target)
    assert bench.state.wishes.target_soc == pytest.approx([held], nan_ok=True)
    assert [kind for kind, _ in answers(bench, "target_soc")] == ["request", "request"]


@pytest.mark.parametrize(("off_s", "ahead_s", "late"), [
    (0.0, 7200.0, False), (7000.0, 200.0, False), (7200.0 + 3599.0, -3599.0, False), (7200.0 + 3601.0, None, False),
    (np.nan, 7200.0, True),
])  # fmt: skip
def test_wishes_go_on_after_a_restart(off_s: float, ahead_s: float | None, late: bool) -> None:
    bench = closed("one")
    bench.step(target_soc=0.6, full_by_ns=bench.now_ns + bench.dt_ns + 7_200_000_000_000)
    bench.state = replace(bench.state, wishes=replace(bench.state.wishes, late=np.array([False])))
    kept = tree.decode(tree.encode(durable(bench.config, bench.state)))
    again = start(bench.config, 5_000_000_000, replace(kept, off_s=off_s)).wishes  # type: ignore[type-var]
    assert again.target_soc[0] == 0.6 and again.late[0] == late and not again.closed[0]
    np.testing.assert_array_equal(again.charger_A, bench.state.wishes.charger_A)
    if ahead_s is None:
        assert again.full_by_ns[0] == FOREVER
    else:
        assert again.full_by_ns[0] == pytest.approx((5.0 + ahead_s) * 1e9, abs=1e3)


@pytest.mark.parametrize("change", [{"wishes": None}, {"site": "another"}, {"pack": 2}])
def test_an_older_or_foreign_record_has_no_wishes(change: dict[str, object]) -> None:
    bench = closed("one")
    bench.step(target_soc=0.6)
    kept = durable(bench.config, bench.state)
    assert kept.wishes is not None
    if "pack" in change:
        change = {"wishes": replace(kept.wishes, late=np.zeros(2, bool))}
    again = start(bench.config, bench.now_ns, replace(kept, **change)).wishes  # type: ignore[arg-type]
    assert np.isnan(again.target_soc[0]) and again.full_by_ns[0] == FOREVER
