"""An empty cell leaves one way back: with a charger present a pair closes to be charged, and to nothing else."""

from __future__ import annotations

import pytest
from tests.core.bench import Bench, closed

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
