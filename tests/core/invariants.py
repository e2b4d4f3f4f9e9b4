"""Tests watch every cycle as campaigns do: by runtime/invariants.py and by the chronicle of the whole run.

I11, I14 and I15 are tested once more where files and processes are: in tests/history, tests/guard, tests/processes.
"""

from __future__ import annotations

import numpy as np

from cellarer.core.cycle import Inputs
from cellarer.model.config import Config
from cellarer.model.values import Command, Event, State
from cellarer.runtime import invariants
from cellarer.runtime.campaign_chronicle import Chronicle


def violations(
    config: Config, before: State, inputs: Inputs, now_ns: int, after: State, command: Command, events: list[Event]
) -> list[str]:
    """Return one line per invariant that this cycle broke."""
    assert after.time_ns == now_ns
    found = invariants.broken(config, before, inputs, after, command, events)
    return [f"{rule}: string {at} at {now_ns} ns" for rule, bad in found for at in np.flatnonzero(bad)]


class Ledger:
    """What a run has told, ordered and been configured with, cycle by cycle; for I11, I14 and I15: see Chronicle."""

    def __init__(self, config: Config, state: State) -> None:
        self._chronicle = Chronicle(config, state)

    @property
    def state(self) -> State:
        """The state that it saw last."""
        return self._chronicle.state

    def follow(self, config: Config, after: State, command: Command, events: list[Event]) -> list[str]:
        """Take over one cycle; return one line per invariant that it broke."""
        return [rule for rule, broken in self._chronicle.follow(config, after, command, events) if broken.any()]
