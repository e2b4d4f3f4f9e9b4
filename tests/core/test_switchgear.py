"""Switchgear in time: closing order, tries and cool-down, time-outs, welds, break rule, wear, FET paths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.core.bench import Bench, closed
from tests.core.sites import CELL_SIDE, CONTACTS, FACTS, pack, site, table
from tests.core.test_refill import low_cell

from cellarer.config.load import build
from cellarer.core.cycle import start
from cellarer.core.decide import sequence
from cellarer.model.config import Config
from cellarer.model.values import Phase

FEATURES = CELL_SIDE + CONTACTS + FACTS


def one(**gear: object) -> Config:
    """Return one pack of four cells with changed switchgear."""
    base = {"kind": "contactors", "resistor_ohm": 50.0, "break_A": 20.0}
    return build(table([pack("a", 4, switchgear=base | gear)], FEATURES), "one").config


def awake(config: Config) -> Bench:
    bench = Bench(config)
    bench.run(0.2)
    return bench


def phases(bench: Bench, string: int = 0) -> list[str]:
    return [e.name.split(" → ")[1] for e in bench.events if e.kind == "switch" and e.string == string]


def ask_close(bench: Bench) -> None:
    bench.step(close=True, confirm_unknown_soc=True)


def test_the_precharge_contact_that_falls_last_breaks_no_current() -> None:
    bench = awake(one())
    ask_close(bench)
    bench.run(2.0, lambda b: b.phase() == Phase.PLUS)
    bench.put("current", -60.0)
    bench.run(1.0, lambda b: b.phase() == Phase.CLOSED)
    switches = bench.state.switches
    assert bench.phase() == Phase.CLOSED and switches.wear[0] == 0.0 and np.isnan(switches.opened_A[0])


def test_closing_goes_minus_precharge_plus_closed() -> None:
    bench = awake(one())
    ask_close(bench)
    seen = []
    for _ in range(40):
        command = bench.step()
        seen.append((bool(command.minus[0]), bool(command.precharge[0]), bool(command.plus[0])))
    assert phases(bench) == ["minus", "precharge", "plus", "closed"]
    order = list(dict.fromkeys(seen))
    assert order == [(True, False, False), (True, True, False), (True, True, True), (True, False, True)]


def test_three_tries_with_pauses_then_a_latched_fault_and_one_reset_gives_them_back() -> None:
    bench = awake(one())
    bench.put("link_voltage", 0.0)  # a short behind the switchgear
    ask_close(bench)
    bench.run(30.0)
    assert phases(bench) == ["minus", "precharge", "cooling", "open"] * 3
    precharge = [e.time_ns for e in bench.events if e.name == "minus → precharge"]
    ended = [e.time_ns for e in bench.events if e.name == "precharge → cooling"]
    assert all(2.0 <= (b - a) * 1e-9 <= 2.03 for a, b in zip(precharge, ended, strict=True))
    assert all((b - a) * 1e-9 >= 3.0 for a, b in zip(ended, precharge[1:], strict=False))
    assert bench.latched("precharge_failed")
    ask_close(bench)
    bench.run(5.0)
    assert bench.phase() == Phase.OPEN and "close" in bench.named("refuse")
    bench.let_go("link_voltage")
    bench.step(reset=True)
    assert not bench.latched("precharge_failed")
    ask_close(bench)
    bench.run(1.0)
    assert bench.phase() == Phase.CLOSED and bench.state.switches.tries[0] == 0


def test_a_precharge_that_a_person_takes_back_costs_no_try() -> None:
    bench = awake(one())
    for _ in range(4):
        ask_close(bench)
        bench.run(1.0, lambda b: b.phase() == Phase.PRECHARGE)
        bench.step(open=True)
        bench.run(0.3)
    assert bench.state.switches.tries[0] == 0
    ask_close(bench)
    bench.run(1.0)
    assert bench.phase() == Phase.CLOSED


def test_a_hot_resistor_ends_precharge_and_cools_before_the_next_try() -> None:
    bench = awake(one(resistor_max_J=2.0, resistor_W=0.2, precharge_ms=60000, tries=10))
    bench.put("link_voltage", 0.0)  # 13.2 V over 50 ohm: 3.5 W
    ask_close(bench)
    bench.run(2.0, lambda b: b.phase() == Phase.COOLING)
    assert bench.phase() == Phase.COOLING and bench.state.switches.resistor_J[0] >= 2.0
    cooled = bench.run(60.0, lambda b: b.phase() == Phase.PRECHARGE)
    assert bench.state.switches.resistor_J[0] <= 1.0 and cooled >= 5.0


def test_an_unknown_link_counts_as_a_short_for_the_resistor() -> None:
    bench = awake(one(resistor_max_J=2.0, precharge_ms=60000))
    ask_close(bench)
    bench.put("link_voltage", np.nan)
    bench.run(2.0)
    assert bench.phase() in (Phase.COOLING, Phase.OPEN)


def test_plus_waits_for_voltage_and_current() -> None:
    bench = awake(one(precharge_V=0.5, precharge_A=0.05))
    bench.put("current", 0.0)
    ask_close(bench)
    bench.run(1.0, lambda b: b.phase() == Phase.PRECHARGE)
    string = bench.of("string_voltage")[0]
    bench.put("link_voltage", string - 0.6)
    bench.run(0.5)
    assert bench.phase() == Phase.PRECHARGE
    bench.put("link_voltage", string - 0.4)
    bench.put("current", -0.06)
    bench.run(0.5)
    assert bench.phase() == Phase.PRECHARGE
    bench.put("current", -0.04)
    bench.run(0.5)
    assert bench.phase() == Phase.CLOSED


def test_the_current_of_precharge_counts_from_what_the_sensor_shows_when_open() -> None:
    bench = awake(one(precharge_A=0.05))
    assert bench.config.idle_A[0] > 0.15
    bench.put("current", -0.15)  # a zero three times the bound
    bench.run(3.0)
    ask_close(bench)
    bench.run(1.0, lambda b: b.phase() == Phase.PRECHARGE)
    bench.put("link_voltage", bench.of("string_voltage")[0])
    bench.put("current", -0.21)
    bench.run(0.5)
    assert bench.phase() == Phase.PRECHARGE
    bench.put("current", -0.09)
    bench.run(0.5)
    assert bench.phase() == Phase.PRECHARGE
    bench.put("current", -0.19)
    bench.run(0.5)
    assert bench.phase() == Phase.CLOSED


def test_a_current_on_an_open_string_is_no_zero_of_its_sensor() -> None:
    bench = awake(one(precharge_A=0.05))
    bench.put("current", 1.5 * bench.config.idle_A[0])
    bench.run(3.0)
    ask_close(bench)
    bench.put("link_voltage", bench.of("string_voltage")[0])
    bench.run(2.0)
    assert "plus" not in phases(bench)


@pytest.mark.parametrize(("series", "least"), [(4, 1.0), (96, 0.0)])
def test_link_and_string_may_differ_by_what_two_channels_of_one_per_cent_may(series: int, least: float) -> None:
    config = build(table([pack("a", series, switchgear={"kind": "contactors"})], FEATURES), "one").config
    full_V = series * float(config.faults.trip[config.faults.name.index("cell_over_voltage_maximum"), 0])
    assert config.switch.precharge_V[0] == pytest.approx(max(least, 0.02 * full_V))
    assert config.switch.precharge_V[0] >= 1.0 and one(precharge_V=0.5).switch.precharge_V[0] == 0.5


def test_precharge_is_not_proven_by_old_samples() -> None:
    bench = awake(one())
    bench.put("link_voltage", bench.of("string_voltage")[0])
    ask_close(bench)
    bench.run(1.0, lambda b: b.phase() == Phase.MINUS)
    bench.silence("link_voltage")
    bench.run(0.4)
    assert bench.phase() == Phase.PRECHARGE  # the sample is young enough to be known, but older than the contactor


@pytest.mark.parametrize("contact", ["minus", "plus"])
def test_a_contact_that_does_not_close_is_tried_again_and_then_locks(contact: str) -> None:
    bench = awake(one())
    bench.put(f"feedback_{contact}", 0.0)
    ask_close(bench)
    bench.run(1.0, lambda b: b.active("contactor_slow"))
    assert bench.active("contactor_slow") and not bench.active("contactor_stuck_open")
    bench.run(20.0)
    assert phases(bench).count("cooling") == 3 and bench.phase() == Phase.OPEN
    assert ("precharge" in phases(bench)) == (contact == "plus") and "closed" not in phases(bench)
    assert bench.latched("precharge_failed") and not bench.active("contactor_slow")
    bench.let_go(f"feedback_{contact}")
    bench.step(reset=True)
    ask_close(bench)
    bench.run(1.0)
    assert bench.phase() == Phase.CLOSED


def test_a_contact_that_falls_later_is_not_tried_again() -> None:
    bench = closed("one")
    bench.put("feedback_plus", 0.0)
    assert bench.run(1.0, lambda b: not b.command.minus[0]) <= 0.4
    assert bench.latched("contactor_stuck_open")


def test_an_unknown_contact_runs_into_the_time_out() -> None:
    bench = awake(one(settle_ms=50))
    bench.put("feedback_minus", np.nan)
    ask_close(bench)
    seconds = bench.run(2.0, lambda b: b.phase() == Phase.COOLING)
    assert 0.5 <= seconds <= 0.6


def test_a_welded_contactor_locks_for_good() -> None:
    bench = closed("one")
    bench.put("feedback_plus", 1.0)
    bench.step(open=True)
    bench.run(2.0)
    assert bench.latched("contactor_welded")
    bench.let_go("feedback_plus")
    bench.run(2.0)
    bench.step(reset=True)
    assert bench.latched("contactor_welded")  # permanent: the service key only
    ask_close(bench)
    bench.run(1.0)
    assert bench.phase() == Phase.OPEN
    bench.step(reset=True, service=True)
    ask_close(bench)
    bench.run(1.0)
    assert bench.phase() == Phase.CLOSED


def test_opening_on_request_waits_until_the_current_is_below_the_break_rating() -> None:
    bench = closed("one")
    bench.put("current", -60.0)
    bench.step(open=True)
    assert bench.phase() == Phase.RAMP and bench.command.window.discharge_A[0] == 0.0
    bench.run(1.0)
    assert bench.phase() == Phase.RAMP
    bench.put("current", -19.0)
    bench.step()
    assert bench.phase() == Phase.OPENING and not bench.command.plus[0]
    assert bench.state.switches.openings_under_load[0] == 0


def test_a_fault_that_ramps_opens_after_the_open_delay_whatever_the_current() -> None:
    bench = closed("one")
    bench.put("current", -60.0)
    bench.put("cell_open_wire", 1.0, 0)
    bench.step()
    assert bench.phase() == Phase.RAMP
    assert 0.45 <= bench.run(2.0, lambda b: not b.command.plus[0]) <= 0.55
    switches = bench.state.switches
    assert switches.openings_under_load[0] == 1 and switches.opened_A[0] == 60.0
    assert switches.wear[0] == pytest.approx((60.0 / 20000.0) ** 2)


def test_wear_and_closings_are_counted() -> None:
    bench = closed("one")
    assert bench.state.switches.closings[0] == 1
    bench.put("current", -10.0)
    bench.step(open=True)
    bench.run(1.0, lambda b: b.phase() == Phase.OPENING)
    bench.put("current", 0.0)
    bench.run(1.0)
    ask_close(bench)
    bench.run(1.0)
    switches = bench.state.switches
    assert switches.closings[0] == 2 and switches.openings_under_load[0] == 0
    assert switches.wear[0] == pytest.approx((10.0 / 20000.0) ** 2)


def test_opening_is_proven_by_contacts_and_current_or_by_time() -> None:
    bench = closed("one")
    bench.put("feedback_minus", np.nan)
    bench.step(open=True)
    assert 0.9 <= bench.run(3.0, lambda b: b.phase() == Phase.OPEN) <= 1.1
    assert [e.cause for e in bench.events if e.name == "opening → open"] == ["opening not proven"]


def test_current_after_opening_calls_for_the_fuse() -> None:
    bench = closed("one")
    bench.put("current", -60.0)
    bench.put("emergency_stop", 1.0)
    bench.run(1.5)
    assert bench.latched("opening_not_breaking") and bench.command.buzzer[0]


def test_fets_block_one_direction_only() -> None:
    bench = closed("fets")
    low_cell(bench)
    assert bench.phase() == Phase.CHARGE_ONLY
    assert bench.command.charge_switch[0] and not bench.command.discharge_switch[0]
    bench.put("cell_voltage", 3.2, 0)
    bench.run(6.0)
    assert bench.phase() == Phase.CLOSED
    assert bench.phase(1) == Phase.CLOSED  # the other pack was never touched


@pytest.mark.parametrize("name", ("fets", "separate"))
@pytest.mark.parametrize(("volts", "blocked"), [(2.45, "discharge_switch"), (3.7, "charge_switch")])
def test_opening_on_request_never_closes_a_blocked_path(name: str, volts: float, blocked: str) -> None:
    bench = closed(name)
    bench.put("cell_voltage", volts, 0)
    bench.run(0.6)
    assert not getattr(bench.command, blocked)[0]
    bench.step(open=True)
    for _ in range(100):
        assert not getattr(bench.step(), blocked)[0]
    assert bench.phase() == Phase.OPEN


@pytest.mark.parametrize(("way", "sign"), [("charge", 1.0), ("discharge", -1.0)])
def test_a_separate_port_ramps_before_its_contact_opens(way: str, sign: float) -> None:
    """Over-temperature of one direction on a site whose ports have contactors: the limit first, then the contact."""
    bench, other = closed("separate"), "discharge" if way == "charge" else "charge"
    bench.put("current", sign * 60.0)
    rows, row = bench.config.faults, bench.row("cell_open_wire")  # for once a row of one way that ramps
    paths, locks = getattr(rows, other).copy(), rows.locks.copy()
    paths[row] = locks[row] = False
    bench.config = replace(bench.config, faults=replace(rows, locks=locks, **{other: paths}))
    bench.put("cell_open_wire", 1.0, 0)
    bench.step()
    assert getattr(bench.command.window, f"{way}_A")[0] == 0.0
    assert 0.45 <= bench.run(1.0, lambda b: not getattr(b.command, f"{way}_switch")[0]) <= 0.55
    assert getattr(bench.command, f"{other}_switch")[0]
    assert bench.state.switches.openings_under_load[0] == 1


def test_one_separate_port_alone_waits_for_its_current_when_asked_to_open() -> None:
    bench = closed("separate")
    bench.config = replace(bench.config, switch=replace(bench.config.switch, break_A=np.array([10.0])))
    bench.put("cell_voltage", 2.45, 0)
    bench.run(0.6)
    assert bench.phase() == Phase.CHARGE_ONLY
    bench.put("current", 14.0)
    bench.step(open=True)
    assert bench.phase() == Phase.CHARGE_RAMP and bench.command.window.charge_A[0] == 0.0
    bench.run(1.0)
    assert bench.command.charge_switch[0]
    bench.put("current", 5.0)
    bench.step()
    assert not bench.command.charge_switch[0] and bench.state.switches.openings_under_load[0] == 0


def test_the_pre_alarm_is_silent_after_closing() -> None:
    """Limits rise slowly after closing: that is no load cut to come."""
    bench = Bench(one())
    bench.config = replace(bench.config, limits=replace(bench.config.limits, rise_per_s=np.array([0.05])))
    bench.step(set_soc=0.6)
    ask_close(bench)
    for _ in range(200):
        bench.step()
        assert not (bench.phase() == Phase.CLOSED and bench.command.pre_alarm[0])
    assert bench.phase() == Phase.CLOSED and bench.command.window.discharge_A[0] > 0.0


def test_without_authority_nothing_is_ordered() -> None:
    device = {"name": "d", "protocol": "cmu", "link": "l", "cells": 4, "signals": ["cell_voltage"]}
    shunt = {"name": "s", "protocol": "ivt_s", "link": "l", "signals": ["current"]}
    only_looks = {
        "name": "test", "pack": [pack("a", 4, temperature_sensors=0)], "link": [{"name": "l", "url": "bench:l"}],
        "device": [device, shunt],
    }  # fmt: skip
    bench = awake(build(only_looks, "observe").config)
    ask_close(bench)
    bench.run(2.0)
    assert bench.phase() == Phase.OPEN and not bench.command.minus[0]


def test_strings_of_a_site_switch_independently() -> None:
    bench = closed("ragged")
    bench.put("cell_voltage", 4.3, bench.layout.string_of_cell == 2)  # pack b
    bench.run(1.0)
    assert [bench.phase(s) for s in range(4)] == [Phase.CLOSED, Phase.CLOSED, Phase.OPEN, Phase.CLOSED]


def test_a_site_without_switchgear_orders_none_and_is_asked_nothing() -> None:
    bench = closed("bare")
    before = bench.state.switches
    bench.step(close=True, confirm_unknown_soc=True)
    bench.put("cell_voltage", 3.9, 1)
    bench.run(2.0)
    assert bench.active("cell_over_voltage_maximum") and bench.state.switches is before
    assert not any(order.any() for order in (bench.command.minus, bench.command.precharge, bench.command.plus))
    assert bench.named("switch") == []
    bench.step(reset=True)
    assert bench.state.switches.phase.tolist() == [Phase.OPEN] and bench.state.switches.tries.tolist() == [0]


def just_woken() -> Bench:
    bench = Bench(site("one"))
    bench.state = start(bench.config, bench.now_ns)
    return bench


@pytest.mark.parametrize("signal", ("cell_voltage", "temp_degC", "current", "link_voltage", "crash"))
def test_nothing_closes_before_all_it_rests_on_was_known_for_a_second(signal: str) -> None:
    bench = just_woken()
    bench.silence(signal)
    bench.run(0.06)
    bench.step(close=True, confirm_unknown_soc=True)
    bench.run(0.04)
    said = [e.cause for e in bench.events if e.name == "closing waits"]
    assert said == [f"unknown: {signal}"] and bench.phase() == Phase.OPEN
    bench.silence(signal, on=False)
    bench.step()
    assert bench.run(3.0, lambda b: b.phase() != Phase.OPEN) == pytest.approx(1.0)
    assert bench.now_ns - int(bench.state.switches.trusted_ns[0]) == sequence.TRUSTED_NS


def test_a_break_begins_the_second_anew_and_is_told_once() -> None:
    bench = just_woken()
    bench.run(0.5)
    bench.step(close=True, confirm_unknown_soc=True)
    bench.run(0.2)
    bench.put("current", np.nan)
    bench.run(0.06)
    bench.put("current", 0.0)
    bench.step()
    assert [e.cause for e in bench.events if e.name == "closing waits"] == ["unknown: current"]
    assert bench.run(3.0, lambda b: b.phase() != Phase.OPEN) == pytest.approx(1.0)


def test_wild_first_samples_latch_nothing() -> None:
    """Two samples of every kind of nonsense from each sensor at the start; then all is well."""
    for name in ("cell_voltage", "temp_degC", "current", "string_voltage", "link_voltage", "insulation"):
        for value in (np.nan, -1e9, 1e9, 0.0, 5.5, 140.0, -45.0):
            bench = just_woken()
            good = bench.of(name).copy()
            bench.put(name, value)
            bench.step()
            bench.step()
            bench.put(name, good)
            bench.let_go(name)
            bench.run(1.0)
            latched = [bench.config.faults.name[r] for r in np.flatnonzero(bench.state.faults.latched.any(axis=1))]
            assert not latched, (name, value, latched)
