"""A bench for `step`: plain readings in, ideal contacts, every cycle watched by the invariants.

Readings are fresh every cycle and dithered by 0.1 mV, as a real converter's would be, unless a test holds them or lets
them fall silent. Contacts and bleeders follow their orders after one cycle, the link follows the string. Everything
handed to `step` is read-only, so that an altered argument raises.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from tests.core.invariants import Ledger, violations
from tests.core.sites import site

from cellarer.core.asked import no_requests
from cellarer.core.cycle import Inputs, start, step
from cellarer.model.config import Config
from cellarer.model.values import NEVER, Command, Event, Phase, Requests, Sample, State, no_plan

DITHER = 1e-4  # V
MS = 1_000_000
COILS = ("minus", "precharge", "plus", "charge", "discharge")
NOMINAL = {"temp_degC": 25.0, "supply_voltage": 12.0, "insulation": 1e6, "coolant_degC": 20.0, "ambient_degC": 20.0,
           "foreign_soc": 0.5, "foreign_charge_limit": 50.0, "foreign_discharge_limit": 50.0}  # fmt: skip


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind)) if is_dataclass(kind) else ()


def freeze(value: Any, frozen: Any = None) -> Any:
    """Make every array in a tree of dataclasses read-only, and return the tree.

    frozen: a tree that is read-only already; what both have in common need not be looked at again
    """
    if value is frozen:
        return value
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    elif names := _names(type(value)):
        for name in names:
            freeze(getattr(value, name), getattr(frozen, name, None))
    elif isinstance(value, tuple | list):
        for item in value:
            freeze(item)
    return value


def rest_voltage(config: Config) -> np.ndarray:
    """Return (cell,) the voltage of each cell at half charge."""
    middle = np.array([m.ocv[int(np.abs(m.temp_degC - 25.0).argmin()), 128] for m in config.models])
    return middle[config.cell_kind]


def awake(state: State) -> State:
    """Return the state of a site that has been measuring for long enough to close at once."""
    trusted_ns = np.full_like(state.switches.trusted_ns, NEVER)
    return replace(state, switches=replace(state.switches, trusted_ns=trusted_ns))


class Bench:
    """One site in virtual time."""

    def __init__(self, config: Config, dt_ms: float = 20.0, state: State | None = None) -> None:
        self.config, self.layout = config, config.layout
        self.dt_ns = round(dt_ms * MS)
        self.now_ns = 1_000_000 * MS if state is None else state.time_ns
        self.state = awake(start(config, self.now_ns)) if state is None else state
        size = self.layout.size["signal"]
        self.value = np.full(size, np.nan)
        self.time_ns = np.full(size, NEVER)
        self.silent, self.held = np.zeros(size, bool), np.zeros(size, bool)
        self.frozen: State | None = None  # the state before the last cycle
        self.command: Command = self.state.command
        self.events: list[Event] = []
        self.ledger: Ledger | None = None
        self.plan = no_plan(self.layout.size["cell"], self.layout.size["pack"])
        self.every_cycle: list[Callable[[Bench], None]] = []
        present = config.sensing.present
        for name, where in self.layout.where.items():
            self.value[where] = NOMINAL.get(name, 0.0)
        self.cells = rest_voltage(config)
        for name in ("cell_voltage_high", "cell_voltage_low"):
            self.value[self.layout.where[name]] = self.cells[self.layout.first_cell]
        self.value[~present] = np.nan

    def fork(self) -> Bench:
        """Return an independent copy at this moment."""
        other = copy(self)
        for name in ("value", "time_ns", "silent", "held", "cells"):
            setattr(other, name, getattr(self, name).copy())
        other.events, other.every_cycle, other.ledger = [], list(self.every_cycle), None
        return other

    def put(self, name: str, value: Any, at: Any = slice(None)) -> None:
        """Hold a reading (or one element of it) at this value from now on."""
        where = self.layout.where[name]
        self.value[where][at] = value
        self.held[where][at] = True

    def let_go(self, name: str, at: Any = slice(None)) -> None:
        """Let the bench make this reading again."""
        self.held[self.layout.where[name]][at] = False

    def silence(self, name: str, at: Any = slice(None), on: bool = True) -> None:
        """Stop (or resume) the delivery of a reading: its last sample stays, with its time."""
        self.silent[self.layout.where[name]][at] = on

    def of(self, name: str) -> np.ndarray:
        return self.value[self.layout.where[name]]

    def _make(self, name: str, value: Any) -> None:
        where = self.layout.where[name]
        free = ~self.held[where] & ~self.silent[where] & self.config.sensing.present[where]
        self.value[where] = np.where(free, value, self.value[where])

    def sample(self) -> Sample:
        """Return what the links delivered until now."""
        self._make("cell_voltage", self.cells + DITHER * (self.state.cycle % 2))
        volts = self.of("cell_voltage")
        if np.isnan(volts).any():
            volts = np.where(np.isnan(volts), self.cells, volts)
        total = self.layout.total(volts)
        self._make("string_voltage", total)
        for name in COILS:
            coil = getattr(self.command, name if name in ("minus", "precharge", "plus") else f"{name}_switch")
            self._make(f"feedback_{name}", coil.astype(float))
        self._make("cell_bleeding", self.command.bleed.astype(float))
        joined = self.command.precharge | self.command.plus
        link = np.nan_to_num(self.of("link_voltage"))
        self._make("link_voltage", np.where(joined, link + 0.5 * (total - link), 0.98 * link))
        self._make("current_check", self.of("current"))
        self.time_ns = np.where(self.silent, self.time_ns, self.now_ns)
        self.time_ns = np.where(self.config.sensing.present, self.time_ns, NEVER)
        return Sample(self.value.copy(), self.time_ns.copy())

    def asked(self, **wanted: Any) -> Requests:
        """Return requests: True, a number, or one value per pack."""
        none = no_requests(self.config)
        full = {name: np.broadcast_to(value, getattr(none, name).shape).astype(getattr(none, name).dtype)
                for name, value in wanted.items()}  # fmt: skip
        return replace(none, **full)

    def step(self, **wanted: Any) -> Command:
        """Let one cycle pass; requests by name. Fails when an invariant is broken."""
        self.now_ns += self.dt_ns
        for action in self.every_cycle:
            action(self)
        inputs = freeze(Inputs(self.sample(), self.asked(**wanted), self.plan))
        before = self.frozen = freeze(self.state, self.frozen)
        if self.ledger is None or self.ledger.state is not before:  # a test may put another memory in its place
            self.ledger = Ledger(self.config, before)
        self.state, self.command, events = step(self.config, before, inputs, self.now_ns)
        self.events += events
        broken = violations(self.config, before, inputs, self.now_ns, self.state, self.command, events)
        broken += self.ledger.follow(self.config, self.state, self.command, events)
        assert not broken, "\n".join(broken)
        return self.command

    def run(self, seconds: float, until: Callable[[Bench], bool] | None = None) -> float:
        """Let time pass, at most `seconds`; stop when `until` holds. Returns the seconds that passed."""
        start_ns = self.now_ns
        end_ns = start_ns + round(seconds * 1e9)
        while self.now_ns + self.dt_ns <= end_ns:
            self.step()
            if until is not None and until(self):
                break
        return (self.now_ns - start_ns) * 1e-9

    def close(self) -> Bench:
        """Close all switchgear and let the limits rise."""
        self.step(close=True, confirm_unknown_soc=True)
        self.run(3.0, lambda b: bool((b.state.switches.phase == Phase.CLOSED).all()))
        phases = [Phase(p).name for p in self.state.switches.phase]
        assert set(phases) == {"CLOSED"}, phases
        self.run(1.0)
        return self

    def row(self, name: str) -> int:
        return self.config.faults.name.index(name)

    def active(self, name: str, string: int = 0) -> bool:
        return bool(self.state.faults.active[self.row(name), string])

    def latched(self, name: str, string: int = 0) -> bool:
        return bool(self.state.faults.latched[self.row(name), string])

    def phase(self, string: int = 0) -> Phase:
        return Phase(int(self.state.switches.phase[string]))

    def named(self, kind: str) -> list[str]:
        return [e.name for e in self.events if e.kind == kind]


def ocv_at(bench: Bench, soc: float) -> float:
    """Return the voltage of a cell at rest and 25 degC."""
    model = bench.config.models[0]
    return float(model.ocv[int(np.abs(model.temp_degC - 25.0).argmin()), round(soc * 256)])


_CLOSED: dict[str, Bench] = {}


def closed(name: str) -> Bench:
    """Return a bench whose site is closed (or, without switchgear, awake), at the same moment for every test."""
    if name not in _CLOSED:
        bench = Bench(site(name))
        if (bench.config.switch.kind == 0).all():
            bench.run(1.0)
        else:
            bench.close()
        _CLOSED[name] = bench
    return _CLOSED[name].fork()
