"""Any story: people ask, readings move, fail and come back, the program is started again; every cycle is watched.

The bench checks the invariants I1 to I15 in each cycle; what holds over the whole story is asked here.
"""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.core.bench import Bench
from tests.core.sites import site

from cellarer.core import slow
from cellarer.core.cycle import start
from cellarer.model.values import Latch

READINGS = {
    "cell_voltage": (1.9, 2.45, 3.3, 3.66, 3.9, np.nan), "temp_degC": (-30.0, -3.0, 25.0, 62.0, 90.0, np.nan),
    "current": (-400.0, -60.0, 0.0, 100.0, 400.0, np.nan), "emergency_stop": (0.0, 1.0, np.nan),
    "interlock_open": (0.0, 1.0), "crash": (0.0, 1.0), "charger_present": (0.0, 1.0, np.nan), "gas": (0.0, 1.0),
    "link_voltage": (0.0, np.nan), "insulation": (1e6, 10.0, np.nan), "feedback_plus": (0.0, 1.0, np.nan),
}  # fmt: skip
ASKED = ("close", "open", "reset", "confirm_unknown_soc", "zero_current")


class Story(RuleBasedStateMachine):
    """One site, and what is remembered of its story."""

    name = "one"

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(site(self.name))
        self.permanent = np.zeros_like(self.bench.state.faults.latched)
        self.counters = self.bench.state.counters

    @initialize()
    def wakes(self) -> None:
        self.bench.run(0.1)

    @rule(what=st.sampled_from(ASKED))
    def asks(self, what: str) -> None:
        self.bench.step(**{what: True})
        self.remember()

    @rule()
    def shows_the_service_key(self) -> None:
        self.bench.step(reset=True, service=True)
        self.permanent &= self.bench.state.faults.latched
        self.remember()

    @rule(data=st.data(), name=st.sampled_from(sorted(READINGS)))
    def reads(self, data: st.DataObject, name: str) -> None:
        if self.bench.config.sensing.present[self.bench.layout.where[name]].all():
            at = data.draw(st.integers(0, self.bench.of(name).size - 1))
            self.bench.put(name, data.draw(st.sampled_from(READINGS[name])), at)

    @rule(name=st.sampled_from(sorted(READINGS)), silent=st.booleans())
    def falls_silent_or_speaks(self, name: str, silent: bool) -> None:
        self.bench.silence(name, on=silent)

    @rule()
    def is_mended(self) -> None:
        fresh = Bench(self.bench.config)
        self.bench.value[:] = fresh.value
        self.bench.held[:] = self.bench.silent[:] = False
        self.passes(0.3, 0.02)

    @rule(seconds=st.sampled_from((0.1, 0.5, 2.0)), dt=st.sampled_from((0.02, 0.1)))
    def passes(self, seconds: float, dt: float) -> None:
        self.bench.dt_ns = round(dt * 1e9)
        for _ in range(round(seconds / dt)):
            self.bench.step()
            self.remember()
        self.bench.dt_ns = 20_000_000

    @precondition(lambda self: self.bench.state.cycle > 3)
    @rule()
    def is_started_again(self) -> None:
        kept = replace(slow.durable(self.bench.config, self.bench.state), off_s=10.0)
        self.bench.now_ns += 10_000_000_000
        self.bench.state = start(self.bench.config, self.bench.now_ns, kept)
        self.bench.command = self.bench.state.command

    def remember(self) -> None:
        service = (np.asarray(self.bench.config.faults.latch) == Latch.SERVICE)[:, None]
        self.permanent |= self.bench.state.faults.latched & service

    @invariant()
    def permanent_faults_stay(self) -> None:
        lost = self.permanent & ~self.bench.state.faults.latched
        assert not lost.any(), "I4: a permanent fault was lost"

    @invariant()
    def counters_never_go_back(self) -> None:
        now = self.bench.state.counters
        for field in fields(now):
            assert (getattr(now, field.name) >= getattr(self.counters, field.name)).all(), f"I10: {field.name}"
        self.counters = now


class Fets(Story):
    name = "fets"


class Separate(Story):
    name = "separate"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("story", (Story, Fets, Separate))
def test_any_story(story: type[Story]) -> None:
    case = story.TestCase
    case.settings = settings(max_examples=4, stateful_step_count=12, deadline=None, derandomize=True)
    case().runTest()
