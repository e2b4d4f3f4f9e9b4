"""An empty cell leaves one way back: with a charger present a pair closes to be charged, and to nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.bench import Bench, closed

from cellarer.board.view import missing
from cellarer.model.values import Phase


def low_cell(bench: Bench) -> None:
    bench.put("cell_voltage", 2.45, 0)
    bench.run(1.0)
    assert bench.active("cell_under_voltage_maximum")


def test_after_under_voltage_nothing_closes_without_a_charger() -> None:
    bench = closed("one")
    low_cell(bench)
    bench.run(2.0)
    assert bench.phase() == Phase.OPEN


def test_after_under_voltage_a_charger_refills_and_nothing_is_discharged() -> None:
    bench = closed("one")
    low_cell(bench)
    bench.put("charger_present", 1.0)
    bench.run(2.0)
    assert bench.phase() == Phase.CHARGE_ONLY
    assert bench.command.window.discharge_A[0] == 0.0 and not bench.command.allow_discharge[0]
    assert bench.command.allow_charge[0]
    bench.put("cell_voltage", 3.2, 0)  # refilled
    bench.run(7.0)
    assert bench.phase() == Phase.CLOSED and not bench.active("cell_under_voltage_maximum")
    assert bench.state.estimate.sop_A[1, 1, 0] > 0.0  # the forecast believes what it sees; the refill goes on


def test_a_charger_that_forces_current_into_an_empty_cell_is_cut_off_within_a_second() -> None:
    bench = closed("one")
    bench.put("charger_present", 1.0)
    bench.put("cell_voltage", 2.2, 0)
    bench.run(2.0)
    assert bench.phase() == Phase.CHARGE_ONLY
    bench.put("current", 14.0)  # what an empty cell may be given
    bench.run(3.0)
    assert bench.phase() == Phase.CHARGE_ONLY
    bench.put("current", 168.0)
    assert bench.run(5.0, lambda b: not b.command.plus[0]) <= 0.9
    assert bench.latched("refill_over_current")


@pytest.mark.parametrize(("ampere", "opens"), [(3.59, False), (3.61, True), (100.0, True)])  # 2 % of 180 A
def test_a_pair_that_is_to_be_charged_is_opened_when_it_is_discharged(ampere: float, opens: bool) -> None:
    bench = closed("one")
    low_cell(bench)
    bench.put("charger_present", 1.0)
    bench.run(2.0)
    assert bench.phase() == Phase.CHARGE_ONLY
    bench.put("current", -ampere)
    seconds = bench.run(2.0, lambda b: not b.command.plus[0])
    assert bench.latched("refill_discharged") == opens
    assert (bench.phase() == Phase.CHARGE_ONLY) != opens
    if not opens:
        return
    assert seconds <= 0.12
    bench.put("current", 0.0)
    bench.run(10.0)
    bench.step(close=True)
    bench.run(2.0)
    assert bench.phase() == Phase.OPEN, "a person resets it"
    bench.step(reset=True)
    bench.step(close=True)
    bench.run(2.0)
    assert bench.phase() == Phase.CHARGE_ONLY


def test_a_discharge_of_before_a_pair_is_charge_only_or_of_other_switchgear_is_none_of_that_rows() -> None:
    bench = closed("one")
    bench.put("current", -100.0)
    bench.run(1.0)
    row = bench.config.faults.name.index("refill_discharged")
    assert bench.phase() == Phase.CLOSED and bench.state.faults.counted[row, 0] == 0
    other = closed("fets").config.faults
    assert not other.enabled[other.name.index("refill_discharged")].any()


def charge_only(low_V: float = 2.4) -> Bench:
    """Return a bench whose pair is closed to be charged only, and whose charger gives nothing."""
    bench = closed("one")
    bench.put("charger_present", 1.0)
    bench.put("cell_voltage", low_V, 0)
    bench.run(3.0)
    assert bench.phase() == Phase.CHARGE_ONLY
    bench.put("current", -3.5)  # below what a sensor may be wrong
    bench.run(1.0)
    return bench


def sag(bench: Bench, volts: float, seconds: float = 2.0) -> None:
    bench.put("cell_voltage", volts, 0)
    bench.run(seconds, lambda b: not b.command.plus[0])
    if not bench.command.plus[0]:
        bench.put("current", 0.0)


@pytest.mark.parametrize(("ampere", "anew"), [(3.6, False), (3.601, True)])  # 2 % of 180 A: more is surely a charge
def test_what_is_left_is_counted_anew_from_a_current_that_is_surely_a_charge(ampere: float, anew: bool) -> None:
    bench = charge_only()
    bench.put("current", ampere)
    bench.put("cell_voltage", 2.35, 0)
    bench.run(1.0)
    assert bench.state.switches.refill_V[0] == (2.35 if anew else 2.4)


@pytest.mark.parametrize(("low_V", "opens"), [(2.205, False), (2.195, True)])  # half of 2.4 to 2.0 V
def test_a_pair_that_is_to_be_charged_opens_when_half_of_what_is_left_is_lost(low_V: float, opens: bool) -> None:
    bench = charge_only()
    sag(bench, low_V)
    assert bench.latched("refill_lost") == opens == (bench.phase() != Phase.CHARGE_ONLY)
    if not opens:
        return
    bench.put("cell_voltage", 2.3, 0)  # it recovers
    bench.run(10.0)
    bench.step(close=True)
    bench.run(2.0)
    assert bench.phase() == Phase.OPEN, "a person resets it"
    bench.step(reset=True)
    bench.step(close=True)
    bench.run(2.0)
    assert bench.phase() == Phase.CHARGE_ONLY, "it counts anew"
    sag(bench, 2.16)
    assert bench.phase() == Phase.CHARGE_ONLY
    sag(bench, 2.14)
    assert bench.latched("refill_lost")


@pytest.mark.parametrize(("ampere", "came"), [(14.0, True), (3.5, False)])  # a sensor that is 2 % wrong shows 3.6 A
def test_charge_that_came_counts_and_not_what_the_cell_falls_by_when_it_ends(ampere: float, came: bool) -> None:
    bench = charge_only(2.1)
    bench.put("current", ampere)
    sag(bench, 2.3, 5.0)
    bench.put("current", 0.0)
    sag(bench, 2.12)
    assert bench.active("refill_lost") != came


def test_a_charger_that_comes_and_goes_hides_no_loss() -> None:
    bench = charge_only()
    for low_V in (2.33, 2.26):
        sag(bench, low_V)
        bench.put("charger_present", 0.0)
        bench.put("current", 0.0)
        bench.run(2.0)
        assert bench.phase() == Phase.OPEN
        bench.put("charger_present", 1.0)
        bench.run(3.0)
        assert bench.phase() == Phase.CHARGE_ONLY
    sag(bench, 2.19)
    assert bench.latched("refill_lost")


@pytest.mark.parametrize("day_s", [86_390.0, 86_410.0])
def test_what_a_pair_loses_while_it_is_open_for_a_day_was_no_load(day_s: float) -> None:
    bench = charge_only()
    bench.put("charger_present", 0.0)
    bench.put("current", 0.0)
    bench.run(2.0)
    since_ns = bench.state.switches.since_ns - round(day_s * 1e9)
    bench.state = replace(bench.state, switches=replace(bench.state.switches, since_ns=since_ns))
    bench.put("charger_present", 1.0)
    bench.put("cell_voltage", 2.15, 0)
    bench.run(4.0)
    assert bench.latched("refill_lost") == (day_s < 86_400.0)


def test_unknown_cells_neither_count_as_loss_nor_make_it_begin_anew() -> None:
    bench = charge_only()
    best_V = bench.state.switches.refill_V[0]
    bench.put("cell_voltage", float("nan"), 1)
    bench.run(0.1)
    assert bench.state.switches.refill_V[0] == best_V and not bench.active("refill_lost")


def test_a_pair_that_is_closed_for_both_ways_or_other_switchgear_has_no_such_loss() -> None:
    bench = charge_only(2.45)
    bench.put("current", 0.0)
    sag(bench, 3.2, 7.0)
    assert bench.phase() == Phase.CLOSED
    bench.step()
    assert bench.state.switches.refill_V[0] != bench.state.switches.refill_V[0]  # NaN
    other = closed("fets").config.faults
    assert not other.enabled[other.name.index("refill_lost")].any()


def test_refill_ends_when_the_charger_is_gone() -> None:
    bench = closed("one")
    low_cell(bench)
    bench.put("charger_present", 1.0)
    bench.run(2.0)
    bench.put("charger_present", 0.0)
    bench.step()
    assert not bench.command.plus[0]


def test_a_deeply_discharged_cell_is_not_refilled() -> None:
    bench = closed("one")
    bench.put("charger_present", 1.0)
    bench.put("cell_voltage", 1.9, 0)
    bench.run(3.0)
    bench.put("cell_voltage", 3.2, 0)
    bench.run(10.0)
    assert bench.phase() == Phase.OPEN and bench.latched("deep_discharge")


def test_an_empty_string_that_is_too_cold_to_be_charged_says_both() -> None:
    bench = closed("one")
    low_cell(bench)
    bench.put("temp_degC", 20.0)
    bench.run(3.0)
    warm = " ".join(missing(bench.config, bench.state, 0))
    assert "it closes to be charged" in warm and "charging begins above" not in warm
    bench.put("temp_degC", -8.0)
    bench.run(3.0)
    said = " ".join(missing(bench.config, bench.state, 0))
    assert "it closes to be charged; charging begins above" in said and "coldest sensor has -8.0 °C" in said
