"""A shipped site in virtual time, without wires: plant → sample → step → orders → plant, watched by the invariants."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tests.core.bench import awake, freeze
from tests.core.invariants import Ledger, violations

from cellarer.config import load
from cellarer.config.schema import DeviceFile
from cellarer.core.asked import no_requests
from cellarer.core.cycle import Inputs, start, step
from cellarer.model.quantities import BY_NAME
from cellarer.model.values import Event, Phase, Requests, Sample, no_plan
from cellarer.sim.plant import Plant, orders_of


class World:
    """One site with its plant. Signals of a mute device keep their last sample and its time."""

    def __init__(self, name: str, seed: int = 1) -> None:
        self.site = load(name)
        self.config, self.layout = self.site.config, self.site.config.layout
        self.plant = Plant(self.config, self.site.file.simulation, seed)
        self.now_ns = self.plant.time_ns
        self.state = start(self.config, self.now_ns)
        self.plan = no_plan(self.layout.size["cell"], self.layout.size["pack"])
        self.none = no_requests(self.config)
        self.command, self.last = self.state.command, self.plant.sample()
        self.mute = np.zeros(self.layout.size["signal"], bool)
        self.events: list[Event] = []
        self.ledger = Ledger(self.config, self.state)

    def silence(self, device: DeviceFile) -> None:
        """Let a device send nothing any more."""
        spans = self.plant._spans(device)
        for name in device.signals or []:
            span = spans[BY_NAME[name].axis]
            if span is not None:
                self.mute[self.layout.where[name]][span] = True

    def step(self, requests: Requests | None = None) -> None:
        """Let one cycle pass."""
        self.plant.advance(self.config.cycle_ns * 1e-9, orders_of(self.command))
        self.now_ns = self.plant.time_ns
        new = self.plant.sample()
        sample = Sample(
            np.where(self.mute, self.last.value, new.value), np.where(self.mute, self.last.time_ns, new.time_ns)
        )
        self.last = sample
        inputs, before = freeze(Inputs(sample, requests or self.none, self.plan)), freeze(self.state)
        self.state, self.command, events = step(self.config, before, inputs, self.now_ns)
        broken = violations(self.config, before, inputs, self.now_ns, self.state, self.command, events)
        broken += self.ledger.follow(self.config, self.state, self.command, events)
        assert not broken, "\n".join(broken)
        self.events += events

    def run(self, seconds: float, until: Callable[[World], bool] | None = None) -> float:
        """Let time pass until `until` holds; the seconds that passed."""
        begin = self.now_ns
        while self.now_ns - begin < seconds * 1e9:
            self.step()
            if until is not None and until(self):
                break
        return (self.now_ns - begin) * 1e-9

    def closed(self) -> World:
        """Close the site and let its load run."""
        yes = np.ones(self.layout.size["pack"], bool)
        self.run(0.5)
        self.state = awake(self.state)
        self.step(Requests(**{f: getattr(self.none, f) for f in self.none.__slots__}
                           | {"close": yes, "confirm_unknown_soc": yes}))  # fmt: skip
        if (self.config.switch.kind != 0).any():
            self.run(5.0, lambda w: bool((w.state.switches.phase == Phase.CLOSED).all()))
            assert (self.state.switches.phase == Phase.CLOSED).all(), [e for e in self.events if e.kind == "fault"]
        return self

    def raised(self) -> dict[str, float]:
        """Return the rows that were raised, with the virtual time in seconds."""
        return {e.name: e.time_ns * 1e-9 for e in reversed(self.events) if e.kind == "fault"}

    def current_flows(self, string: int = 0) -> bool:
        return bool(abs(self.plant.current[string]) > self.config.idle_A[string])
