"""A change of the switchgear says what demanded it: rows with their cell, a latch that ended the wish, a request."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from tests.core.bench import Bench, closed

from cellarer.core.decide import protect, sequence
from cellarer.core.decide.sequence import ABORTED, ASKED, FAULT, RAMPS
from cellarer.model.config import Switchgear
from cellarer.model.values import Level, Phase


def causes(bench: Bench, kind: str = "switch", string: int = 0) -> dict[str, str]:
    """Return what each change of a string said, by its name."""
    return {e.name: e.cause for e in bench.events if e.kind == kind and e.string == string}


def test_an_over_voltage_is_named_with_its_cell() -> None:
    bench = closed("one")
    bench.put("cell_voltage", 3.66, 2)
    bench.run(1.0)
    assert causes(bench)["closed → opening"] == "cell over voltage maximum (cell 3)"
    (blocked,) = [cause for name, cause in causes(bench, "charge").items() if name.endswith("→ blocked")]
    assert blocked == "cell over voltage maximum (cell 3)"


def test_of_several_rows_the_most_severe_is_named_and_the_others_are_counted() -> None:
    bench = closed("one")
    table = bench.config.faults
    rows = [bench.row(n) for n in ("sum_mismatch", "emergency_stop", "current_reading_lost")]
    assert [int(table.level[r]) for r in rows] == [Level.RAMP, Level.OPEN, Level.RAMP]
    active = np.zeros(table.trip.shape, bool)
    for count, said in ((1, "sum mismatch"), (2, "emergency stop, +1 more"), (3, "emergency stop, +2 more")):
        active[rows[:count], 0] = True
        demand = protect.demand(bench.config, replace(bench.state.faults, active=active.copy()))
        assert demand.rows(bench.config, 0) == said


def test_what_only_warns_or_blocks_the_other_way_is_not_named() -> None:
    bench = closed("one")
    table = bench.config.faults
    active = np.zeros(table.trip.shape, bool)
    active[bench.row("cell_over_voltage_recommended"), 0] = True  # warns
    active[bench.row("cell_under_voltage_maximum"), 0] = True
    demand = protect.demand(bench.config, replace(bench.state.faults, active=active))
    assert demand.rows(bench.config, 0) == "cell under voltage maximum"
    assert demand.rows(bench.config, 0, protect.CHARGE_WAY) == ""


def test_an_opening_that_was_asked_for_says_so_to_its_end() -> None:
    bench = closed("one")
    bench.put("current", 20.0)
    bench.run(0.2)
    bench.step(open=True)
    bench.put("current", 0.0)
    bench.run(1.0)
    said = causes(bench)
    assert said["closed → ramp"] == ASKED
    assert said["ramp → opening"] == f"{ASKED}; current below break rating"


def test_a_ramp_names_its_row_and_so_does_the_opening_after_it() -> None:
    bench = closed("one")
    bench.put("current", 20.0)
    bench.run(0.2)
    bench.silence("temp_degC")
    bench.run(20.0, lambda b: b.phase() == Phase.RAMP)
    bench.put("current", 0.0)
    bench.run(0.1)
    said = causes(bench)
    assert said["closed → ramp"].startswith("temperature reading lost (sensor 1)"), said
    assert said["ramp → opening"] == f"{said['closed → ramp']}; current below break rating"


def test_a_latch_that_ends_the_wish_is_named() -> None:
    bench = closed("separate")  # contacts of separate ports wait for their current, so that the wish goes first
    row = bench.row("cell_over_voltage_maximum")
    bench.put("cell_voltage", 3.66, 2)
    bench.run(1.0)
    bench.let_go("cell_voltage", 2)
    said = causes(bench)
    name = "cell over voltage maximum (cell 3)"
    assert bench.latched("cell_over_voltage_maximum") and not bench.config.faults.locks[row, 0]
    assert said["closed → discharge_only"] == name
    locked = bench.row("emergency_stop")
    active = bench.state.faults.active.copy()
    active[locked, 0] = True
    demand = protect.demand(bench.config, replace(bench.state.faults, active=active, latched=active))
    assert bench.config.faults.locks[locked, 0] and demand.locks(bench.config, 0) == "emergency stop"
    facts = SimpleNamespace(
        look=SimpleNamespace(config=bench.config), before=bench.state.switches, demand=demand, wish=np.array([False]),
        table=bench.config.switch,
    )  # fmt: skip
    rule = next(r for r in sequence.TABLE.rules if r.cause == ASKED)
    assert sequence._cause(facts, 0, rule) == "emergency stop must be reset first"  # type: ignore[arg-type]
    bench.state = replace(bench.state, faults=replace(bench.state.faults, active=active, latched=active))
    bench.step()
    assert causes(bench, "system")["wish to close fell"] == "emergency stop must be reset first"


@pytest.mark.parametrize(
    ("target", "named"),
    [(Phase.DISCHARGE_ONLY, "cell over voltage maximum"), (Phase.CHARGE_ONLY, "cell under voltage maximum")],
)
def test_only_what_blocks_the_path_that_is_lost_is_named(target: Phase, named: str) -> None:
    bench = closed("separate")
    active = np.zeros(bench.config.faults.trip.shape, bool)
    for name in ("cell_over_voltage_maximum", "cell_under_voltage_maximum"):
        active[bench.row(name), 0] = True
    demand = protect.demand(bench.config, replace(bench.state.faults, active=active))
    facts = SimpleNamespace(
        look=SimpleNamespace(config=bench.config), before=bench.state.switches, demand=demand, wish=np.array([True]),
        table=bench.config.switch,
    )  # fmt: skip
    rule = sequence.Rule(int(bench.config.switch.kind[0]), Phase.CLOSED, "", target, FAULT)
    assert sequence._cause(facts, 0, rule) == named  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", sequence.TABLE.rules, ids=str)
def test_no_change_to_open_says_less_than_its_row(rule: sequence.Rule) -> None:
    """Over the whole table: with a row on both ways and no wish, every fault, ramp, abort and request says which."""
    bench = closed("one")
    row = bench.row("emergency_stop")
    active = np.zeros(bench.config.faults.trip.shape, bool)
    active[row, 0] = True
    demand = protect.demand(bench.config, replace(bench.state.faults, active=active))
    before = replace(bench.state.switches, phase=np.array([max(rule.source, 0)], np.int8))
    kind = Switchgear(max(rule.kind, 1))
    facts = SimpleNamespace(
        look=SimpleNamespace(config=bench.config), before=before, demand=demand, wish=np.array([True]),
        table=SimpleNamespace(kind=np.array([kind])),
    )  # fmt: skip
    said = sequence._cause(facts, 0, rule)  # type: ignore[arg-type]
    told = rule.cause in (FAULT, ABORTED) or rule.source in RAMPS
    assert ("emergency stop" in said) == (told or rule.cause == ASKED)
    assert said != FAULT
