"""Watches a whole run, cycle by cycle, by its own tally of what was told, ordered and configured: I11, I14, I15.

I11 what has been told stays true until the opposite is told: a fault that was raised is active, one that was cleared is
    not, a phase that was entered is the phase; so whoever has kept all events knows the state.
I14 one owner: what is ordered follows from the phase of the one switchgear machine and from nothing else, its cycles
    are numbered without a gap, and time goes on.
I15 the Config is the same from the first cycle to the last, to the last bit.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from cellarer.config.compile import fingerprint
from cellarer.core.decide.sequence import outputs
from cellarer.model.config import Config
from cellarer.model.values import Bools, ChargePhase, Command, Event, Phase, State

OUTPUTS = ("minus", "precharge", "plus", "charge_switch", "discharge_switch")
LOOK_CYCLES = 500  # so often the whole Config is looked at


class Chronicle:
    """What a run has told so far."""

    def __init__(self, config: Config, state: State) -> None:
        """Begin with what is."""
        self._config, self._finger = config, _first(config)
        self._rows = {name: row for row, name in enumerate(config.faults.name)}
        self._active = state.faults.active.copy()
        self._phase, self._charging = state.switches.phase.copy(), state.charging.phase.copy()
        self.state, self._checked = state, 0

    def follow(
        self, config: Config, after: State, command: Command, events: list[Event]
    ) -> Iterator[tuple[str, Bools]]:
        """Take over one cycle; yield (rule, (string,) broken)."""
        for e in events:
            match e.kind:
                case "fault" | "clear":
                    self._active[self._rows[e.name], e.string] = e.kind == "fault"
                case "switch":
                    self._phase[e.string] = Phase[e.name.split(" → ")[1].upper()]
                case "charge":
                    self._charging[e.string] = ChargePhase[e.name.split(" → ")[1].upper()]
        yield "I11 faults are not what was told", (self._active != after.faults.active).any(axis=0)
        yield "I11 phases are not what was told", self._phase != after.switches.phase
        yield "I11 charge phases are not what was told", self._charging != after.charging.phase
        ordered = np.array([getattr(command, name) for name in OUTPUTS])
        yield "I14 outputs are not those of the phase", (ordered != outputs(config, after.switches)).any(axis=0)
        was, every = self.state, np.ones(config.layout.yes.size, bool)
        other = command is not after.command or after.cycle != was.cycle + 1 or not after.time_ns > was.time_ns
        yield "I14 somebody else had a cycle", every & other
        self.state = after
        self._checked += 1
        changed = config is not self._config or (self._checked % LOOK_CYCLES == 0 and not self.sound())
        yield "I15 the configuration changed", every & changed

    def sound(self) -> bool:
        """Return whether the Config still is what it was, to the last bit."""
        return fingerprint(self._config) == self._finger


@lru_cache(maxsize=32)
def _first(config: Config) -> str:
    """Return the fingerprint of a Config when it was first seen."""
    return fingerprint(config)
