"""What lies between the cells of a string: told from changes of current, whatever the sensors are off by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.core.bench import Bench
from tests.core.sites import CELL_SIDE, CONTACTS, FACTS, pack, table

from cellarer.config.load import build
from cellarer.core import response
from cellarer.core.decide import joints
from cellarer.core.decide.signals import Look
from cellarer.model.config import Config

CELLS, STEP_S = 16, 60.0
CELL_OHM, OHM = 0.28e-3, 2.0e-3  # of a cell; between the cells


@pytest.fixture(scope="module")
def config() -> Config:
    return build(table([pack("a", CELLS)], CELL_SIDE + CONTACTS + FACTS), "joints").config


def house(g: np.random.Generator, hours: float) -> np.ndarray:
    """Return the current of a house with solar, A: slow swings, and loads that come and go."""
    minutes = np.arange(round(60 * hours))
    return (
        40.0 * np.sin(2 * np.pi * minutes / 1440.0)
        + np.repeat(g.normal(0.0, 8.0, minutes.size // 5 + 1), 5)[: minutes.size]
    )


class Told:
    """Looks at one string once a minute, with sensors as wrong as GB/T 38661 allows, as means over some seconds."""

    def __init__(self, config: Config, seed: int = 0) -> None:
        self.config, self.g = config, np.random.default_rng(seed)
        self.bench, self.memory = Bench(config), joints.start(1)
        self.gain, self.zero_V = 1.0 + 0.01 * self.g.uniform(-1, 1), 0.3 * self.g.uniform(-1, 1)

    def look(self, current: float, ohm: float, since_s: float = STEP_S, unknown: bool = False) -> float:
        cells_V = CELLS * (3.3 + CELL_OHM * current)
        drop_V = self.gain * (cells_V + ohm * current) + self.zero_V - cells_V + self.g.normal(0.0, 0.02 / 3)
        drop = np.array([np.nan if unknown else drop_V]), np.array([1.02 * current + self.g.normal(0.0, 0.1)])
        answer = replace(self.bench.state.watch.response, drop_V=drop[0], drop_A=drop[1])
        watch, unused = replace(self.bench.state.watch, response=answer), None
        look = Look(self.config, self.bench.state.seen, unused, watch, self.bench.state, 1)  # type: ignore[arg-type]
        self.memory = joints.remember(look, self.memory, since_s, 2 * STEP_S)
        return float(joints.least_ohm(self.memory)[0])


@pytest.mark.parametrize("seed", range(6))
def test_a_loose_joint_is_told_within_a_day_and_sound_ones_are_not(config: Config, seed: int) -> None:
    loose, sound = Told(config, seed), Told(config, seed)
    limit = float(config.faults.trip[config.faults.name.index("string_joints"), 0])
    assert limit == pytest.approx((3.0 + 0.03 * CELLS) * config.cell_ohm[0])
    usual, said = 0.05 * CELLS * CELL_OHM, []
    for current in house(np.random.default_rng(seed), 24.0):
        said.append(loose.look(current, OHM))
        assert not sound.look(current, usual) > limit
    assert limit < said[-1] < 1.05 * OHM
    first = next(k for k, ohm in enumerate(said) if ohm > limit)
    assert first <= 12 * 60  # minutes


def test_a_joint_that_comes_loose_is_told_within_half_a_day(config: Config) -> None:
    told = Told(config)
    limit = float(config.faults.trip[config.faults.name.index("string_joints"), 0])
    currents = house(np.random.default_rng(1), 36.0)
    said = [told.look(current, OHM if k > 24 * 60 else 0.2e-3) for k, current in enumerate(currents)]
    assert not max(said[31 : 24 * 60]) > limit
    assert next(k for k, ohm in enumerate(said) if ohm > limit) <= 36 * 60


def test_a_steady_current_tells_nothing(config: Config) -> None:
    told = Told(config)
    for _ in range(600):
        assert not told.look(50.0, OHM) > 0.5e-3


def test_nothing_is_said_before_enough_looks(config: Config) -> None:
    told, currents = Told(config), 50.0 * (np.arange(40) % 2)
    said = [told.look(current, OHM) for current in currents]
    assert np.isnan(said[:31]).all() and np.isfinite(said[34:]).all()


@pytest.mark.parametrize("why", [{"unknown": True}, {"since_s": 2 * STEP_S + 1.0}])
def test_what_is_unknown_or_long_ago_does_not_count(config: Config, why: dict[str, Any]) -> None:
    told = Told(config)
    for k in range(100):
        told.look(50.0 * (k % 2), OHM, **why)
    assert told.memory.looks[0] == 0.0
    told.look(0.0, OHM)
    told.look(50.0, OHM)
    assert told.memory.looks[0] >= 1.0


def test_a_look_at_twice_the_time_still_counts(config: Config) -> None:
    told = Told(config)
    for k in range(60):
        said = told.look(50.0 * (k % 2), OHM, since_s=2 * STEP_S)
    assert said == pytest.approx(OHM, rel=0.1)


def test_means_of_drop_and_current_follow_each_other_whatever_the_current_does(config: Config) -> None:
    """By the program's own looks each second: a current that jumps all the time, and readings that are lost."""
    bench, g, memory, lost = Bench(config), np.random.default_rng(1), joints.start(1), 0
    where, state, unused = config.layout.where, bench.state, None
    for second in range(3600):
        current = float(g.normal(0.0, 40.0))
        value, time_ns = state.seen.value.copy(), np.full(state.seen.value.size, second * 1_000_000_000)
        value[where["current"]] = current
        value[where["cell_voltage"]] = 3.3 + CELL_OHM * current
        value[where["string_voltage"]] = CELLS * (3.3 + CELL_OHM * current) + 0.2 + OHM * current + g.normal(0.0, 0.02)
        value[where[("string_voltage", "current")[second // 100 % 2]]] *= np.nan if second % 100 == 50 else 1.0
        seen = replace(state.seen, value=value, time_ns=time_ns)
        answer = response.respond(config, state, seen, np.zeros(1), np.zeros(CELLS))
        watch = replace(state.watch, response=answer)
        state = replace(state, watch=watch)
        lost += int(np.isnan(answer.drop_V[0]))
        if second % 60 == 59:
            look = Look(config, seen, unused, watch, state, second)  # type: ignore[arg-type]
            memory = joints.remember(look, memory, 60.0, 120.0)
    assert lost == 36
    assert memory.both[0] / memory.current2[0] == pytest.approx(OHM, rel=0.1)
