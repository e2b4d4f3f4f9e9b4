"""The charge machine: absorption held long enough, passing clouds, preconditioning, float, a new charge."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import numpy as np
from tests.core.bench import Bench, closed
from tests.core.sites import site

from cellarer.core.decide import charge, protect
from cellarer.core.decide.signals import Look
from cellarer.core.digest import digest
from cellarer.core.remember import remember
from cellarer.core.validate import validate
from cellarer.model.values import ChargePhase

END_V, TAIL_A, FLOAT_V = 3.45, 14.0, 3.375  # of the LFP cell file


class Charger:
    """The charge machine alone, once a second: voltages and currents as a charger would bring them about."""

    def __init__(self) -> None:
        self.bench = closed("one")
        self.config, self.state = self.bench.config, self.bench.state
        self.soc, self.sigma, self.target, self.told = 0.5, 0.01, np.nan, []  # type: ignore[var-annotated]

    @property
    def phase(self) -> ChargePhase:
        return ChargePhase(int(self.state.charging.phase[0]))

    def hold(self, volts: float, amps: float, seconds: int, highest: float | None = None) -> ChargePhase:
        bench = self.bench
        bench.put("cell_voltage", volts)
        bench.put("cell_voltage", volts if highest is None else highest, 2)
        bench.put("current", amps)
        for _ in range(seconds):
            bench.now_ns += 1_000_000_000
            sample = bench.sample()
            seen = validate(self.config, self.state.watch, sample, self.state.current_zero, bench.now_ns)
            watch = remember(self.config, self.state, seen, bench.now_ns)
            look = Look(self.config, seen, digest(self.config, seen, bench.now_ns), watch, self.state, bench.now_ns)
            sigma = np.array([self.sigma])
            estimate = replace(self.state.estimate, string_soc=np.array([self.soc]), string_soc_sigma=sigma)
            nothing = protect.demand(self.config, protect.start(self.config))
            charging, events = charge.charge(look, nothing, self.state.switches, estimate, np.array([self.target]))
            self.state = replace(self.state, charging=charging, watch=watch, seen=seen)
            self.told += events
        return self.phase

    def fork(self) -> Charger:
        other = copy(self)
        other.bench, other.told = self.bench.fork(), []
        return other

    def discharge(self) -> float:
        return float(charge.allowance(self.config, self.state.charging)[2][0])

    def allowed(self) -> tuple[float, float]:
        end_V, amps, _ = charge.allowance(self.config, self.state.charging)
        return float(end_V[0]), float(amps[0])


def test_bulk_becomes_absorption_at_the_end_voltage_of_the_highest_cell() -> None:
    charger = Charger()
    assert charger.hold(3.40, 100.0, 5) == ChargePhase.BULK
    assert charger.hold(3.40, 100.0, 1, highest=END_V) == ChargePhase.ABSORPTION  # one cell is enough


def test_full_needs_voltage_up_and_current_down_for_a_minute_without_a_break() -> None:
    charger = Charger()
    assert charger.hold(END_V, 50.0, 120) == ChargePhase.ABSORPTION  # current is still high
    assert charger.hold(END_V, TAIL_A - 0.1, 60) == ChargePhase.TAPER
    assert charger.hold(END_V, TAIL_A - 0.1, 1) == ChargePhase.FLOAT


def test_a_passing_cloud_does_not_end_a_charge() -> None:
    charger = Charger()
    charger.hold(END_V, 50.0, 1)
    for _ in range(4):
        charger.hold(END_V - 0.02, 2.0, 50)  # the sun is gone: current small, and voltage sinks
        assert charger.hold(END_V, 50.0, 5) == ChargePhase.ABSORPTION
    for _ in range(4):
        charger.hold(END_V, TAIL_A - 1.0, 59)  # nearly full, never for a whole minute
        assert charger.hold(END_V, TAIL_A + 5.0, 1) == ChargePhase.ABSORPTION


def test_discharge_or_unknown_current_is_no_tail_and_noise_about_zero_is() -> None:
    for amps, after in (
        (-TAIL_A - 0.1, ChargePhase.ABSORPTION), (np.nan, ChargePhase.ABSORPTION),
        (-TAIL_A + 0.1, ChargePhase.FLOAT), (-0.1, ChargePhase.FLOAT),
    ):  # fmt: skip
        charger = Charger()
        charger.hold(END_V, 50.0, 1)
        assert charger.hold(END_V, amps, 70) == after


def test_a_tail_that_has_begun_ends_ten_millivolts_below_the_end_and_begins_within_five() -> None:
    for begins_V, stays_V, after in (
        (END_V - 0.004, END_V - 0.009, ChargePhase.FLOAT), (END_V - 0.006, END_V - 0.004, ChargePhase.TAPER),
        (END_V - 0.004, END_V - 0.011, ChargePhase.ABSORPTION),
    ):  # fmt: skip
        charger = Charger()
        charger.hold(END_V, 50.0, 1)
        charger.hold(begins_V, 1.0, 5)
        assert charger.hold(stays_V, 1.0, 59) == after


def test_a_machine_without_a_tail_ends_its_charge_after_two_hours_where_the_soc_says_so_too() -> None:
    """One that gives 25 A or nothing: between its turns the voltage falls, and no tail lasts for a minute."""
    two_hours = charge.HOLD_NS // 1_000_000_000
    for soc, early, resting_V, after in (
        (0.98, 0, END_V - 0.010, ChargePhase.FLOAT), (0.979, 0, END_V - 0.010, ChargePhase.ABSORPTION),
        (0.98, 1, END_V - 0.010, ChargePhase.ABSORPTION), (0.98, 0, END_V - 0.011, ChargePhase.ABSORPTION),
        (np.nan, 0, END_V, ChargePhase.ABSORPTION),
    ):  # fmt: skip
        charger = Charger()
        charger.soc = soc
        charger.hold(END_V, 25.0, 1)
        since = replace(
            charger.state.charging, since_ns=charger.state.charging.since_ns - (two_hours - 2 - early) * 10**9
        )
        charger.state = replace(charger.state, charging=since)
        assert charger.hold(END_V, 25.0, 1) == ChargePhase.ABSORPTION
        assert charger.hold(resting_V, 25.0, 1) == after


def test_absorption_that_falls_back_is_bulk_again() -> None:
    charger = Charger()
    charger.hold(END_V, 50.0, 1)
    assert charger.hold(END_V - 0.045, 50.0, 1) == ChargePhase.ABSORPTION
    assert charger.hold(END_V - 0.055, 50.0, 1) == ChargePhase.BULK


def full() -> Charger:
    charger = Charger()
    charger.soc = 1.0
    assert charger.hold(END_V, TAIL_A - 1.0, 63) == ChargePhase.FLOAT
    return charger


def test_float_holds_the_float_voltage_and_a_new_charge_begins_below_the_rebulk_soc() -> None:
    charger = full()
    assert charger.allowed()[0] == FLOAT_V
    charger.soc = 0.86
    assert charger.hold(3.34, 0.0, 5) == ChargePhase.FLOAT
    charger.soc = 0.84
    assert charger.hold(3.34, 0.0, 1) == ChargePhase.BULK
    assert charger.allowed()[0] == END_V


def test_an_estimate_that_is_low_at_full_does_not_call_for_a_new_charge() -> None:
    charger = Charger()
    charger.soc = 0.6
    assert charger.hold(END_V, TAIL_A - 1.0, 63) == ChargePhase.FLOAT
    assert charger.hold(3.34, 0.0, 60) == ChargePhase.FLOAT
    charger.soc = 0.6 - 0.14
    assert charger.hold(3.34, 0.0, 1) == ChargePhase.FLOAT
    charger.soc = 0.6 - 0.16
    assert charger.hold(3.34, 0.0, 1) == ChargePhase.BULK


def test_a_cell_at_its_end_voltage_is_full_when_its_string_becomes_full() -> None:
    bench = closed("one")
    bench.put("cell_voltage", END_V - 0.03)
    bench.put("cell_voltage", END_V, 2)
    bench.put("current", TAIL_A - 1.0)
    bench.run(62.0, lambda b: bool((b.state.charging.phase == ChargePhase.FLOAT).all()))
    bench.run(0.2)
    estimate = bench.state.estimate
    assert estimate.soc[2] > 0.98
    assert estimate.soc_sigma[2] < 0.02
    # the others moved with it, and are no better known than they are against it: nobody had ever seen them apart
    assert (estimate.soc_sigma[[0, 1, 3]] > 0.04).all()


def test_a_low_cell_is_preconditioned_first() -> None:
    charger = Charger()
    charger.bench.put("cell_voltage", 2.7, 1)
    assert charger.hold(2.75, 5.0, 1) == ChargePhase.PRECONDITION
    assert charger.allowed()[1] == 14.0
    assert charger.hold(2.84, 5.0, 1) == ChargePhase.PRECONDITION  # 50 mV above where it began, else they take turns
    assert charger.hold(2.86, 5.0, 1) == ChargePhase.REFILL
    assert charger.hold(2.81, 5.0, 1) == ChargePhase.REFILL
    assert charger.allowed()[1] > 14.0


def test_after_under_voltage_nothing_is_discharged_before_some_charge_has_come_back() -> None:
    charger = Charger()
    charger.soc = 0.02
    assert charger.hold(2.79, -50.0, 2) == ChargePhase.PRECONDITION
    charger.soc = 0.01
    assert charger.hold(3.10, 0.0, 300) == ChargePhase.REFILL  # the voltage recovers by itself: that is not enough
    assert charger.discharge() == 0.0 and charger.allowed()[1] > 0.0
    charger.soc = 0.055
    assert charger.hold(3.15, 20.0, 5) == ChargePhase.REFILL
    charger.soc = 0.065
    assert charger.hold(3.15, 20.0, 1) == ChargePhase.BULK
    assert charger.discharge() > 0.0


def test_a_cold_pack_waits_until_it_is_warm_enough() -> None:
    charger = Charger()
    charger.bench.put("temp_degC", -2.0, 0)
    assert charger.hold(3.30, 0.0, 3) == ChargePhase.WARMING
    assert charger.allowed()[1] == 0.0 and charger.discharge() > 0.0
    charger.bench.put("temp_degC", 0.5, 0)
    assert charger.hold(3.30, 0.0, 3) == ChargePhase.WARMING  # a kelvin of hysteresis
    charger.bench.put("temp_degC", 1.5, 0)
    assert charger.hold(3.30, 0.0, 2) == ChargePhase.BULK


def test_a_site_that_charges_above_a_warmer_limit_than_the_map_waits_for_that() -> None:
    charger = Charger()
    limits = replace(charger.config.limits, charge_cold_degC=np.array([5.0]))  # the map begins at 0
    charger.config = replace(charger.config, limits=limits)
    charger.bench.put("temp_degC", 4.9, 0)
    assert charger.hold(3.30, 0.0, 3) == ChargePhase.WARMING
    charger.bench.put("temp_degC", 6.1, 0)
    assert charger.hold(3.30, 0.0, 2) == ChargePhase.BULK


def test_full_cells_that_differ_are_evened_out_at_end_voltage_for_a_bounded_time() -> None:
    charger = Charger()
    charger.soc = 1.0
    uneven = END_V - 0.04
    assert charger.hold(uneven, TAIL_A - 1.0, 65, highest=END_V) == ChargePhase.HOLD
    assert charger.allowed()[0] == END_V
    assert charger.fork().hold(END_V - 0.002, 1.0, 1, highest=END_V) == ChargePhase.FLOAT
    assert charger.hold(uneven, 1.0, 7100, highest=END_V) == ChargePhase.HOLD
    assert charger.hold(uneven, 1.0, 200, highest=END_V) == ChargePhase.FLOAT


def test_a_target_is_held_without_hunting_and_left_when_it_is_withdrawn() -> None:
    charger = Charger()
    charger.state = replace(charger.state, charging=replace(charger.state.charging, touch=np.array([False])))
    charger.sigma, charger.target, charger.soc = 0.01, 0.6, 0.59
    assert charger.hold(3.32, 20.0, 5) == ChargePhase.BULK
    charger.soc = 0.6
    assert charger.hold(3.32, 20.0, 1) == ChargePhase.STORAGE
    assert charger.allowed()[1] == 0.0 and charger.discharge() > 0.0
    charger.soc = 0.585
    assert charger.hold(3.31, -5.0, 5) == ChargePhase.STORAGE
    charger.soc = 0.575
    assert charger.hold(3.31, 0.0, 1) == ChargePhase.BULK
    charger.soc = 0.6
    charger.hold(3.32, 20.0, 1)
    charger.target = np.nan
    assert charger.hold(3.32, 20.0, 1) == ChargePhase.BULK


def test_a_full_charge_is_due_when_soc_is_not_known_well_and_done_when_full() -> None:
    charger = Charger()
    charger.sigma, charger.target, charger.soc = 0.06, 0.6, 0.7
    assert charger.hold(3.33, 20.0, 5) == ChargePhase.BULK  # not held at its target
    assert charger.state.charging.touch[0]
    charger.sigma = 0.045
    charger.hold(3.33, 20.0, 5)
    assert charger.state.charging.touch[0]  # until full, or much better known
    charger.hold(END_V, TAIL_A - 1.0, 66)
    charger.sigma = 0.01
    charger.hold(END_V, TAIL_A - 1.0, 2)
    assert not charger.state.charging.touch[0] and charger.phase == ChargePhase.STORAGE


def test_every_change_of_phase_is_told_once_with_its_cause() -> None:
    charger = full()
    assert [e.name for e in charger.told] == ["bulk → absorption", "absorption → taper", "taper → float"]
    assert all(e.cause for e in charger.told)


def test_preconditioning_narrows_the_limit() -> None:
    bench = closed("one")
    bench.put("cell_voltage", 2.79, 1)
    bench.run(0.2)
    assert ChargePhase(int(bench.state.charging.phase[0])) == ChargePhase.PRECONDITION
    assert 0.0 < bench.command.window.charge_A[0] <= 14.0


def test_a_fault_on_the_charge_path_blocks_and_its_end_frees() -> None:
    bench = closed("fets")
    bench.every_cycle.append(lambda b: b.put("current", np.where(b.command.charge_switch, 10.0, 0.0)))
    bench.put("temp_degC", 57.0, 0)
    bench.run(2.0)
    assert bench.state.charging.phase[0] == ChargePhase.BLOCKED and bench.command.window.charge_A[0] == 0.0
    bench.put("temp_degC", 25.0, 0)
    bench.run(12.0)
    bench.step(reset=True)
    bench.run(0.5)
    assert bench.state.charging.phase[0] != ChargePhase.BLOCKED


def test_a_target_holds_the_charge_there() -> None:
    bench = closed("one")
    bench.step(set_soc=0.5)
    bench.step(target_soc=0.6)
    assert bench.command.window.charge_A[0] > 0.0
    bench.step(set_soc=0.65)
    bench.run(0.2)
    assert bench.command.window.charge_A[0] == 0.0 and bench.command.window.discharge_A[0] > 0.0


def test_open_switchgear_in_the_cold_or_at_its_target_changes_no_phase() -> None:
    for name, said in (("cold", -10.0), ("stored", 25.0)):
        bench = Bench(site("one"))
        bench.put("temp_degC", said)
        bench.run(1.0)
        bench.step(target_soc=0.2, confirm_unknown_soc=True)
        bench.run(2.0)
        assert bench.named("charge") == [], name
