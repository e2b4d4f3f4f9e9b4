"""Looks at every cycle of a campaign from outside: what became active when, what was ordered, and what is unsafe.

Times are those of the gate's orders; phase of the cycle and the time that contacts take are added later. Truth comes
from the plant.
"""

from collections import Counter
from itertools import chain

import numpy as np

from cellarer.config.check import RATE_WINDOW_S
from cellarer.core.cycle import Inputs
from cellarer.model.values import FOREVER, Bools, Command, Event, Floats, Ints, Level, Phase, State
from cellarer.runtime.campaign_chronicle import OUTPUTS, Chronicle
from cellarer.runtime.campaign_world import World
from cellarer.runtime.invariants import Rules, broken
from cellarer.sim.plant import Orders, Plant

MARGIN = {"cell_high": 0.02, "cell_low": 0.02, "temp_high": 2.0}  # V, V, K: errors of good sensors
BEYOND_S = {"cell_high": 1.5, "cell_low": 1.5, "temp_high": 5.0}  # budget and half as much again
FIRST = ("off", "zero", "no charge", "no discharge", "less", "touched", "crossed", "minus", "precharge", "plus",
         "switches", "none", "spent", "guard")  # fmt: skip
# What the guard decides by itself, by the row of control that expects the same
GUARDED = {
    "cell_over_voltage_maximum": "cell over-voltage", "cell_under_voltage_maximum": "cell under-voltage",
    "deep_discharge": "cell under-voltage", "over_temperature_maximum": "over-temperature",
    "charge_over_current_maximum": "charge over-current", "discharge_over_current_maximum": "discharge over-current",
    "emergency_stop": "emergency stop", "crash": "crash", "interlock_open": "interlock open",
}  # fmt: skip

# What sensors measure of the signals whose truth is known
QUANTITY = {
    "cell_high": "cell_voltage", "cell_low": "cell_voltage", "cell_deep": "cell_voltage", "charge_current": "current",
    "discharge_current": "current", "temp_high": "temp_degC", "temp_high_charging": "temp_degC",
    "temp_low_charging": "temp_degC", "temp_low_discharging": "temp_degC", "temp_spread": "temp_degC",
}  # fmt: skip


def truths(plant: Plant) -> dict[str, Floats]:
    """Return what really is, by the name of the fault rows' signal and in its direction, (string,).

    Temperatures are those that the sensors have: what lies between a cell and its sensor is not the BMS's.
    """
    layout, current, idle = plant.layout, plant.current, plant.config.idle_A
    felt = plant.probe_degC
    hot = layout.over_temps(np.maximum, felt, -np.inf).astype(np.float64)
    cold = layout.over_temps(np.maximum, -felt, -np.inf).astype(np.float64)
    low = -layout.lowest(plant.voltage)
    return {
        "cell_high": layout.highest(plant.voltage), "cell_low": low, "cell_deep": low,
        "charge_current": current, "discharge_current": -current, "temp_high": hot,
        "temp_high_charging": np.where(current > idle, hot, -np.inf),
        "temp_low_charging": np.where(current > idle, cold, -np.inf),
        "temp_low_discharging": np.where(-current > idle, cold, -np.inf), "temp_spread": hot + cold,
    }  # fmt: skip


class Record:
    """First times of a run, FOREVER = not yet; and broken rules."""

    def __init__(self, made: World, start_ns: Ints, row: Ints) -> None:
        """Begin. start_ns (string,): when its fault begins; row (string,): the expected fault row, −1 = none."""
        self.plant, self.config, self.start_ns, self.row = made.plant, made.config, start_ns, row
        self.before, self.every = made.state.faults.active, Always(made)
        strings, table = start_ns.size, self.config.faults
        self.active_ns = np.full(self.before.shape, FOREVER)
        self.bad_ns = np.full(strings, FOREVER)  # since when the expected row had been bad as it was raised
        self.first = {name: np.full(strings, FOREVER) for name in FIRST}
        self.last_ns, self.felt = made.plant.time_ns, made.plant.probe_degC
        self.off = np.zeros(strings, bool)
        self.held = self._closed(made.orders)
        self.beyond_ns = {name: np.full(strings, FOREVER) for name in MARGIN}
        self.broken: list[Counter[str]] = [Counter() for _ in range(strings)]
        at = np.arange(strings)
        self.signal = [table.signal[r] if r >= 0 else "" for r in row]
        self.bare = np.where(row >= 0, table.trip[row, at], np.inf)
        self.trip = self.bare + self._error(made.plant, row)
        self.guarded = [GUARDED.get(table.name[r]) if r >= 0 else None for r in row]
        self.paths = np.array([table.charge[row] | (row < 0), table.discharge[row] | (row < 0)])
        self.worst = {name: table.trip[self._maximum(name)] for name in MARGIN}
        window = made.state.window
        share = np.where(row >= 0, table.derate[row], 0.0) * 1.001
        self.less = share * window.charge_A, share * window.discharge_A

    def _error(self, plant: Plant, row: Ints) -> Floats:
        """Return how far truth may be beyond a threshold and sound sensors not show it, (string,)."""
        table, errors = self.config.faults, np.zeros(row.size)
        for k in np.flatnonzero(row >= 0):
            name = QUANTITY.get(self.signal[k])
            if self.signal[k] == "temp_rate":  # between two readings
                errors[k] = 2.0 * float(plant.sensors.wobble("temp_degC").max()) / RATE_WINDOW_S
            if name:
                errors[k] = float(plant.sensors.error(name, float(table.trip[row[k], k])).max())
            if name == "cell_voltage":  # and a cell that is bled reads low by its wires
                errors[k] += float(self.config.balance.bleed_A[k]) * plant.fixed.wire_ohm
        return errors

    def _maximum(self, signal: str) -> int:
        table = self.config.faults
        return next(
            k for k, name in enumerate(table.signal)
            if name == signal and table.level[k] == Level.OPEN
        )  # fmt: skip

    def watch(self, made: World, before: State, inputs: Inputs, command: Command, events: list[Event]) -> None:
        """Look at one cycle: the state before it, what it left, what it was given and what it ordered."""
        state, orders = made.state, made.orders
        now_ns, on, true = state.time_ns, self._on(orders), truths(self.plant) | self._rate()
        begun, asked = now_ns >= self.start_ns, now_ns > self.start_ns
        value = np.array([true[name][k] if name in true else -np.inf for k, name in enumerate(self.signal)])
        for name, threshold in (("touched", self.bare), ("crossed", self.trip)):
            self._mark(name, begun & (value > threshold), np.maximum(self.last_ns, self.start_ns))
        self.off = ~on
        self._mark("off", begun & self.off, now_ns)
        self._limits(begun, orders, now_ns)
        self._mark("minus", asked & orders.minus, now_ns)
        self._mark("precharge", asked & orders.precharge, now_ns)
        self._mark("plus", asked & orders.plus, now_ns)
        self._mark("switches", asked & (orders.charge_switch | orders.discharge_switch), now_ns)
        self._mark("none", asked & ~self._closed(orders), now_ns)
        spent = (state.switches.tries >= self.config.switch.tries) & (state.switches.phase == Phase.COOLING)
        self._mark("spent", asked & spent, now_ns)
        self._mark("guard", begun & self._guarded(made), now_ns)
        self._raised(state, begun, now_ns)
        for rule, bad in chain(self.every.watch(made, before, inputs, command, events), self._beyond(on, true, state)):
            for string in np.flatnonzero(bad):
                self.broken[string][rule] += 1
        self.last_ns, self.felt = now_ns, self.plant.probe_degC

    def _rate(self) -> dict[str, Floats]:
        """Return how fast the fastest sensor of each string really rises, K/s, (string,)."""
        rise = (self.plant.probe_degC - self.felt) / max((self.plant.time_ns - self.last_ns) * 1e-9, 1e-3)
        return {"temp_rate": self.config.layout.over_temps(np.maximum, rise, -np.inf).astype(np.float64)}

    def _limits(self, begun: Bools, orders: Orders, now_ns: int) -> None:
        """Take note of limits that fell: to zero, on one path or on all of the row's; to what the row leaves."""
        charge, discharge = orders.charge_A, orders.discharge_A
        zero = ((charge <= 0.0) | ~self.paths[0]) & ((discharge <= 0.0) | ~self.paths[1])
        less = ((charge <= self.less[0]) | ~self.paths[0]) & ((discharge <= self.less[1]) | ~self.paths[1])
        for name, yes in (
            ("zero", zero), ("less", less), ("no charge", charge <= 0.0), ("no discharge", discharge <= 0.0),
        ):  # fmt: skip
            self._mark(name, begun & yes, now_ns)

    def _raised(self, state: State, begun: Bools, now_ns: int) -> None:
        """Take note of rows that became active."""
        new = state.faults.active & ~self.before & begun & (self.active_ns == FOREVER)
        if not new.any():
            return
        self.active_ns = np.where(new, now_ns, self.active_ns)
        at = np.arange(self.row.size)
        mine = new[self.row, at] & (self.row >= 0)
        self.bad_ns = np.where(mine, state.faults.bad_since_ns[self.row, at], self.bad_ns)

    def _guarded(self, made: World) -> Bools:
        """Return whether the guard has said no for what is expected, (string,)."""
        trips = made.guards.trips
        return np.array([(rule, string) in trips for string, rule in enumerate(self.guarded)])

    def _beyond(self, on: Bools, true: dict[str, Floats], state: State) -> Rules:
        """Closed although a cell really is beyond its maximum, for longer than any budget.

        A cell that is too low may be charged by a charger that is there (charge only): that is the way back. One that
        is too high may be discharged, where a switch of its own holds the charge path open (discharge only).
        """
        now_ns, phase = state.time_ns, state.switches.phase
        passes = {
            "cell_low": on & np.isin(phase, (Phase.CLOSED, Phase.RAMP, Phase.DISCHARGE_ONLY, Phase.DISCHARGE_RAMP)),
            "cell_high": on & ~np.isin(phase, (Phase.DISCHARGE_ONLY, Phase.DISCHARGE_RAMP)),
            "temp_high": on,
        }
        for name, margin in MARGIN.items():
            bad = passes[name] & (true[name] > self.worst[name] + margin)
            self.beyond_ns[name] = np.where(bad, np.minimum(self.beyond_ns[name], now_ns), FOREVER)
            yield (
                f"closed with {name} beyond its maximum in truth",
                bad & (now_ns - self.beyond_ns[name] > BEYOND_S[name] * 1e9),
            )

    def _on(self, orders: Orders) -> Bools:
        """Return whether an output on a path of the expected row is ordered closed, (string,)."""
        pair = orders.minus | orders.precharge | orders.plus
        return np.asarray(pair | (orders.charge_switch & self.paths[0]) | (orders.discharge_switch & self.paths[1]))

    @staticmethod
    def _closed(orders: Orders) -> Bools:
        return np.asarray(
            orders.minus | orders.precharge | orders.plus | orders.charge_switch | orders.discharge_switch
        )

    def _mark(self, name: str, yes: Bools, now_ns: Ints | int) -> None:
        first = self.first[name]
        self.first[name] = np.where(yes & (first == FOREVER), now_ns, first)


class Always:
    """What holds in every cycle and every run, with faults or without."""

    def __init__(self, made: World) -> None:
        """Begin with what is."""
        self._chronicle = Chronicle(made.config, made.state)

    def watch(self, made: World, before: State, inputs: Inputs, command: Command, events: list[Event]) -> Rules:
        """Take over one cycle; yield (rule, (string,) broken)."""
        yield from broken(made.config, before, inputs, made.state, command, events)
        yield from self._chronicle.follow(made.config, made.state, command, events)
        wish = np.array([getattr(command, name) for name in OUTPUTS])
        on = np.array([getattr(made.orders, name) for name in OUTPUTS])
        yield "the gate closes what control does not", (on & ~wish).any(axis=0)
        for name in ("charge_A", "discharge_A"):
            more = getattr(made.orders, name) > getattr(command.window, name)
            yield f"the gate allows more {name} than control", np.asarray(more)
