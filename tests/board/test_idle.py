"""Why nothing is balanced: each cause is named with its values, and nothing is said while cells bleed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cellarer.board.idle import idle
from cellarer.config import load
from cellarer.core.cycle import start
from cellarer.model.config import Config
from cellarer.model.values import State

SITE = load("home")
DONE = {"finish_s": np.zeros(1)}


def state(volts: float = 3.31, current: float = 0.0, temp: float = 22.0, soc: float = 0.5) -> State:
    config = SITE.config
    before, where = start(config, 0), config.layout.where
    value = before.seen.value.copy()
    value[where["cell_voltage"]], value[where["current"]], value[where["temp_degC"]] = volts, current, temp
    known = np.full(16, soc)
    known[3] += 0.004
    estimate = replace(before.estimate, soc=known, soc_sigma=np.full(16, 0.01))
    return replace(before, seen=replace(before.seen, value=value), estimate=estimate)


def said(now: State, report: dict[str, np.ndarray] | None = None, config: Config = SITE.config) -> str:
    return " / ".join(idle(config, now, 0, report or {}))


def turned(now: State, cell: int | None = None, planned: bool = False) -> State:
    chosen = np.arange(16) == (-1 if cell is None else cell)
    return replace(now, balancing=replace(now.balancing, chosen=chosen, planned=np.array([planned])))


def test_causes_are_named_with_their_values() -> None:
    assert said(start(SITE.config, 0)) == "cell 1 is not known"
    assert "planner has not spoken" in said(state())
    assert "differs by 0.4 %, each known to ±1.0 %" in said(state(), DONE)
    assert "the plan has expired" in said(state(), {"finish_s": np.array([3600.0])})
    assert "cannot be carried out" in said(state(), {"finish_s": np.array([np.inf])})
    assert "the highest cell has 3.310 V" in said(state(), DONE)
    assert "mV of spread: it is 0.0 mV" in said(state(volts=3.45), DONE)
    assert "during discharge" in said(state(current=-20.0), DONE)
    assert f"{SITE.config.balance.max_degC[0]:g} degC: it has 90.0 degC" in said(state(temp=90.0))
    assert "pause" in said(turned(state(), 3))
    least = float(SITE.config.balance.minimum_soc[0])
    assert ("no dose" if least <= 0.5 else "below") in said(turned(state(), planned=True))


def test_nothing_is_said_while_a_cell_bleeds_and_the_missing_hardware_is_named() -> None:
    now = turned(state(), 3)
    bleeding = replace(now, command=replace(now.command, bleed=np.arange(16) == 3))
    assert idle(SITE.config, bleeding, 0, {}) == []
    bare = replace(SITE.config, balance=replace(SITE.config.balance, bleed_A=np.zeros(1)))
    assert "neither bleeders nor converters" in said(now, config=bare)


def test_a_fault_that_opens_is_named() -> None:
    names, name = list(SITE.config.faults.name), "over_temperature_maximum"
    active = np.zeros((len(names), 1), bool)
    active[names.index(name)] = True
    now = replace(state(), faults=replace(state().faults, active=active))
    assert "a fault stops it: " + name.replace("_", " ") in said(now)
