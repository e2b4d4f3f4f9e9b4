"""Requests are bounded, answered and logged; what survives a restart; inputs and outputs for people."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.core.bench import Bench, closed, ocv_at
from tests.core.sites import site

from cellarer.core.cycle import start
from cellarer.core.estimate import between_sigma
from cellarer.core.slow import compiled, durable
from cellarer.model.values import NEVER, Phase, no_plan


def answers(bench: Bench, name: str) -> list[tuple[str, str]]:
    return [(e.kind, e.cause) for e in bench.events if e.name == name and e.kind in ("request", "refuse")]


@pytest.mark.parametrize(("value", "granted"), [
    (0.0, True), (1.0, True), (0.42, True), (-0.01, False), (1.01, False), (np.inf, False), (-np.inf, False),
])  # fmt: skip
def test_soc_is_set_only_inside_its_range(value: float, granted: bool) -> None:
    bench = closed("one")
    if granted:
        bench.cells[:] = ocv_at(bench, value)
    before = bench.state.estimate.soc.copy()
    bench.step(set_soc=value)
    assert [kind for kind, _ in answers(bench, "set_soc")] == ["request" if granted else "refuse"]
    assert bench.state.estimate.soc == pytest.approx(value if granted else before, abs=0.02)


@pytest.mark.parametrize("value", (-0.1, 1.1, np.inf))
def test_a_target_outside_its_range_is_refused(value: float) -> None:
    bench = closed("one")
    bench.step(target_soc=value)
    assert np.isnan(bench.state.wishes.target_soc[0]) and answers(bench, "target_soc")[0][0] == "refuse"


def test_closing_is_refused_while_a_fault_is_latched() -> None:
    bench = closed("one")
    bench.put("emergency_stop", 1.0)
    bench.run(0.2)
    bench.put("emergency_stop", 0.0)
    bench.run(2.0)
    bench.step(close=True)
    bench.run(1.0)
    assert answers(bench, "close") == [("refuse", "a latched fault must be reset first")]
    assert bench.phase() == Phase.OPEN
    bench.step(reset=True)
    bench.run(1.0)
    assert bench.phase() == Phase.OPEN  # a reset closes nothing
    bench.step(close=True)
    bench.run(1.0)
    assert bench.phase() == Phase.CLOSED


def test_closing_without_a_stored_state_waits_for_a_persons_word() -> None:
    bench = Bench(site("one"))
    bench.run(0.2)
    bench.step(close=True)
    bench.run(1.0)
    assert bench.phase() == Phase.OPEN and answers(bench, "close")[0] == (
        "refuse", "the stored state is missing: confirm first")  # fmt: skip
    bench.step(close=True, confirm_unknown_soc=True)
    bench.run(1.0)
    assert bench.phase() == Phase.CLOSED


def test_driving_is_inhibited_while_a_charge_plug_is_in() -> None:
    bench = closed("one")
    bench.step(open=True)
    bench.run(0.5)
    bench.put("charge_plug", 1.0)
    bench.put("ignition", 1.0)
    bench.step(close=True)
    bench.run(0.5)
    assert bench.phase() == Phase.OPEN
    assert answers(bench, "close") == [("refuse", "drive is inhibited while a charge plug is in")]
    bench.put("ignition", 0.0)  # charging is allowed
    bench.step(close=True)
    bench.run(0.5)
    assert bench.phase() == Phase.CLOSED


def test_the_current_sensor_is_zeroed_only_while_open() -> None:
    bench = closed("one")
    bench.step(zero_current=True)
    assert answers(bench, "zero_current")[0][0] == "refuse"
    bench.step(open=True)
    bench.run(0.5)
    bench.events = []
    bench.step(zero_current=True)
    assert answers(bench, "zero_current")[0][0] == "request"


def test_open_wins_over_close() -> None:
    bench = closed("one")
    bench.step(open=True, close=True)
    bench.run(0.5)
    assert bench.phase() == Phase.OPEN


def test_every_request_is_answered_by_one_event() -> None:
    bench = closed("ragged")
    asked: dict[str, Any] = {
        "open": True, "reset": True, "set_soc": 0.5, "target_soc": 0.7, "zero_current": True, "full_by_ns": 10**15,
    }  # fmt: skip
    bench.step(**asked)
    names = sorted(e.name for e in bench.events if e.kind in ("request", "refuse"))
    assert names == sorted(["open", "reset", "set_soc", "target_soc", "zero_current", "full_by"] * 3)


def test_a_reset_is_granted_only_when_it_ends_something_and_else_says_why() -> None:
    bench = closed("one")

    def reset(**more: bool) -> tuple[str, str]:
        bench.events.clear()
        bench.step(reset=True, **more)
        return next((e.kind, e.cause) for e in bench.events if e.name == "reset")

    assert reset() == ("refuse", "nothing is latched")
    bench.put("emergency_stop", 1.0)
    bench.step()
    assert reset() == ("refuse", "emergency stop: its cause must be gone for 1 s")
    bench.put("emergency_stop", 0.0)
    bench.put("crash", 1.0)
    bench.step()
    bench.put("crash", 0.0)
    bench.run(1.1)
    assert reset() == ("request", "crash needs the service key")  # one ended, one left
    assert reset() == ("refuse", "crash needs the service key")
    assert reset(service=True) == ("request", "")
    assert reset() == ("refuse", "nothing is latched")


@pytest.mark.parametrize(("name", "service"), [("emergency_stop", False), ("crash", True)])
def test_a_latch_of_an_input_that_the_site_has_no_longer_is_no_lock_out(name: str, service: bool) -> None:
    """Latched under an older site file: it stays, and opens, until the reset that its row asks for."""
    bench = closed("one")
    bench.put(name, 1.0)
    bench.step()
    table, row = bench.config.faults, bench.row(name)
    enabled = table.enabled.copy()
    enabled[row] = False
    bench.config, bench.ledger = replace(bench.config, faults=replace(table, enabled=enabled)), None
    bench.run(2.0)
    assert bench.active(name)
    if service:
        bench.step(reset=True)
        assert bench.active(name)
    bench.step(reset=True, service=service)
    assert not bench.active(name)
    assert bench.state.switches.phase[0] != Phase.CLOSED, "nothing closes by itself"


def test_what_survives_a_restart() -> None:
    bench = closed("ragged")
    bench.put("current", 20.0)
    bench.put("cell_voltage", 1.5, 0)  # deep discharge: permanent
    bench.run(2.0)
    assert bench.latched("deep_discharge", 0)
    kept = durable(bench.config, bench.state)
    again = Bench(bench.config, state=replace(start(bench.config, bench.now_ns, kept), time_ns=bench.now_ns))
    assert again.latched("deep_discharge", 0) and again.active("deep_discharge", 0)
    np.testing.assert_array_equal(again.state.switches.closings, bench.state.switches.closings)
    np.testing.assert_array_equal(again.state.counters.charge_Ah, bench.state.counters.charge_Ah)
    again.run(0.5)
    assert again.state.estimate.soc[1:] == pytest.approx(bench.state.estimate.soc[1:], abs=0.05)
    again.step(close=True)
    again.run(1.0)
    assert again.phase(0) == Phase.OPEN and again.phase(2) == Phase.CLOSED  # confirmed by the record


@pytest.mark.parametrize(
    "change", [{"version": 99}, {"site": "another"}, {"soc": np.full(3, 0.5)}, {"wear": np.zeros(9)}]
)
def test_a_record_that_does_not_fit_confirms_nothing_but_keeps_its_latches(change: dict[str, Any]) -> None:
    bench = closed("ragged")
    bench.put("cell_voltage", 1.5, 0)
    bench.run(2.0)
    kept = replace(durable(bench.config, bench.state), **change)
    state = start(bench.config, bench.now_ns, kept)
    assert not state.wishes.confirmed.any()
    assert state.faults.latched[bench.row("deep_discharge"), 0]


@pytest.mark.parametrize(("off_s", "grown"), [(0.0, 0.002), (30 * 86400.0, 0.0102)])
def test_what_was_known_of_cells_against_each_other_survives_a_restart(off_s: float, grown: float) -> None:
    """A restart moves no cell; time off widens the doubt, and an older record knows nothing of it."""
    bench = closed("one")
    kept = durable(bench.config, bench.state)
    kept = replace(kept, soc_sigma=np.full(kept.soc.size, 0.03), off_s=off_s)
    told = replace(kept, soc_between_sigma=np.full(kept.soc.size, 0.002))
    for record, sigma in ((told, grown), (replace(kept, soc_between_sigma=None), np.hypot(0.03, 0.01 * (off_s > 0)))):
        again = start(bench.config, bench.now_ns, record)
        seen = between_sigma(compiled(bench.config), again.estimator)
        np.testing.assert_allclose(seen, sigma, rtol=0.01)


def test_counters_and_energy_add_up() -> None:
    bench = closed("one")
    before = bench.state.counters
    bench.dt_ns = 100_000_000
    bench.put("current", 36.0)
    bench.run(10.0)
    bench.put("current", -18.0)
    bench.run(10.1)
    after = bench.state.counters
    assert after.charge_Ah[0] - before.charge_Ah[0] == pytest.approx(0.1, rel=0.03)
    assert after.discharge_Ah[0] - before.discharge_Ah[0] == pytest.approx(0.05, rel=0.03)
    volts = bench.layout.total(bench.cells)[0]
    assert after.charge_Wh[0] - before.charge_Wh[0] == pytest.approx(0.1 * volts, rel=0.03)


def test_heat_and_cooling_are_safe_when_nothing_is_known() -> None:
    bench = closed("ragged")
    assert bench.command.heater.tolist() == [0.0, 0.0, 0.0]
    bench.put("temp_degC", -3.0, bench.layout.string_of_temp < 2)
    bench.run(0.1)
    assert bench.command.heater[0] == 1.0 and bench.command.pump[1] == 0.0
    bench.put("temp_degC", np.nan)
    bench.step()
    assert bench.command.heater[0] == 0.0 and bench.command.pump[1] == 1.0


def test_a_plan_ends_when_it_expires_and_never_heats_a_warm_string() -> None:
    bench = closed("ragged")
    for expires_ns, preheat, degC, heats in (
        (bench.now_ns + 10**12, 30.0, 20.0, True), (NEVER, 30.0, 20.0, False), (bench.now_ns - 1, 30.0, 20.0, False),
        (bench.now_ns + 10**12, 90.0, 60.0, False), (bench.now_ns + 10**12, np.nan, 20.0, False),
    ):  # fmt: skip
        nothing = no_plan(bench.layout.size["cell"], 3)
        bench.plan = replace(nothing, climate_ns=expires_ns, preheat_degC=np.full(3, preheat))
        bench.put("temp_degC", degC)
        bench.run(0.1)
        assert bool(bench.command.heater[0]) == heats, (expires_ns, preheat, degC)


def test_bleeding_only_near_the_end_of_charge_and_never_in_doubt() -> None:
    bench = closed("one")
    bench.cells[:] = 3.41
    bench.put("cell_voltage", 3.44, 2)
    bench.step()
    assert bench.command.bleed.tolist() == [False, False, True, False]
    bench.put("current", -10.0)
    bench.step()
    assert not bench.command.bleed.any()  # under load voltage says nothing about imbalance
    bench.put("current", 10.0)
    bench.put("cell_voltage", np.nan, 0)
    bench.step()
    assert not bench.command.bleed.any()
    bench.let_go("cell_voltage", 0)
    bench.run(0.1)
    assert bench.command.bleed.any()
    bench.put("temp_degC", 61.0, 0)
    bench.run(0.1)
    assert not bench.command.bleed.any()


def test_the_pre_alarm_comes_before_the_load_is_cut() -> None:
    bench = closed("one")
    bench.step(set_soc=0.5)
    bench.run(0.3)
    assert not bench.command.pre_alarm[0] and not bench.command.start_generator[0]
    bench.cells[:] = ocv_at(bench, 0.095)
    bench.step(set_soc=0.095)
    assert bench.command.pre_alarm[0] and bench.command.start_generator[0] and bench.command.allow_discharge[0]
