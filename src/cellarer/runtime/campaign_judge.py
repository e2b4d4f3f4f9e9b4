"""Looks at every cycle of a campaign from outside: what became active when, what was ordered, and what is unsafe.

Times are those of control's orders; the time that contacts take is added later. Truth comes from the plant.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from cellarer.core.cycle import Inputs
from cellarer.model.config import Config, Switchgear
from cellarer.model.values import FOREVER, Bools, Command, Floats, Ints, Level, Phase, State
from cellarer.sim.plant import Plant

UNKNOWN_S = 1.0  # s that a string may stay closed after its cells became unknown
MARGIN = {"cell_high": 0.02, "cell_low": 0.02, "temp_high": 2.0}  # V, V, K: errors of good sensors
BEYOND_S = {"cell_high": 1.5, "cell_low": 1.5, "temp_high": 5.0}  # budget and half as much again
FIRST = ("off", "zero", "no charge", "no discharge", "crossed", "minus", "plus", "none")
OUTPUTS = ("minus", "precharge", "plus", "charge_switch", "discharge_switch")


def truths(plant: Plant) -> dict[str, Floats]:
    """Return what really is, by the name of the fault rows' signal and in its direction, (string,)."""
    layout, current, idle = plant.layout, plant.current, plant.config.idle_A
    felt = plant.heat.surface_degC[plant.fixed.probe]
    hot = layout.over_temps(np.maximum, felt, -np.inf).astype(np.float64)
    cold = layout.over_temps(np.maximum, -felt, -np.inf).astype(np.float64)
    low = -layout.lowest(plant.voltage)
    return {
        "cell_high": layout.highest(plant.voltage), "cell_low": low, "cell_deep": low,
        "charge_current": current, "discharge_current": -current, "temp_high": hot,
        "temp_high_charging": np.where(current > idle, hot, -np.inf),
        "temp_low_charging": np.where(current > idle, cold, -np.inf),
        "temp_low_discharging": np.where(-current > idle, cold, -np.inf),
    }  # fmt: skip


class Record:
    """First times of a run, FOREVER = not yet; and broken rules."""

    def __init__(self, plant: Plant, state: State, start_ns: Ints, row: Ints) -> None:
        """Begin. start_ns (string,): when its fault begins; row (string,): the expected fault row, −1 = none."""
        self.plant, self.config, self.start_ns, self.row = plant, plant.config, start_ns, row
        self.before = state.faults.active
        strings = start_ns.size
        self.active_ns = np.full(self.before.shape, FOREVER)
        self.first = {name: np.full(strings, FOREVER) for name in FIRST}
        self.last_ns = plant.time_ns
        self.off = np.zeros(strings, bool)
        self.beyond_ns = {name: np.full(strings, FOREVER) for name in MARGIN}
        self.broken: list[Counter[str]] = [Counter() for _ in range(strings)]
        table = self.config.faults
        at = np.arange(strings)
        self.trip = np.where(row >= 0, table.trip[row, at], np.inf)
        self.signal = [table.signal[r] if r >= 0 else "" for r in row]
        self.level = np.where(row >= 0, table.level[row], -1)
        self.paths = np.array([table.charge[row] | (row < 0), table.discharge[row] | (row < 0)])
        self.worst = {name: table.trip[self._maximum(name)] for name in MARGIN}

    def _maximum(self, signal: str) -> int:
        table = self.config.faults
        return next(
            k for k, name in enumerate(table.signal)
            if name == signal and table.level[k] == Level.OPEN
        )  # fmt: skip

    def watch(self, before: State, state: State, inputs: Inputs, command: Command) -> None:
        """Look at one cycle: the state before it, what it left, what it was given and what it ordered."""
        now_ns, on, true, window = state.time_ns, self._on(command), truths(self.plant), command.window
        begun, asked = now_ns >= self.start_ns, now_ns > self.start_ns
        value = np.array([true[name][k] if name in true else -np.inf for k, name in enumerate(self.signal)])
        self._mark("crossed", begun & (value > self.trip), np.maximum(self.last_ns, self.start_ns))
        self.off = ~on
        self._mark("off", begun & self.off, now_ns)
        zero = ((window.charge_A <= 0.0) | ~self.paths[0]) & ((window.discharge_A <= 0.0) | ~self.paths[1])
        self._mark("zero", begun & zero, now_ns)
        self._mark("no charge", begun & (window.charge_A <= 0.0), now_ns)
        self._mark("no discharge", begun & (window.discharge_A <= 0.0), now_ns)
        self._mark("minus", asked & command.minus, now_ns)
        self._mark("plus", asked & command.plus, now_ns)
        self._mark("none", asked & ~(command.minus | command.plus | command.charge_switch), now_ns)
        new = state.faults.active & ~self.before & begun
        self.active_ns = np.where(new & (self.active_ns == FOREVER), now_ns, self.active_ns)
        for rule, bad in (*rules(self.config, before, state, inputs, command), *self._beyond(on, true, state)):
            for string in np.flatnonzero(bad):
                self.broken[string][rule] += 1
        self.last_ns = now_ns

    def _beyond(self, on: Bools, true: dict[str, Floats], state: State) -> Iterator[tuple[str, Bools]]:
        """Closed although a cell really is beyond its maximum, for longer than any budget.

        A cell that is too low may be charged by a charger that is there (charge only): that is the way back.
        """
        now_ns = state.time_ns
        discharges = on & np.isin(state.switches.phase, (Phase.CLOSED, Phase.RAMP, Phase.DISCHARGE_ONLY))
        for name, margin in MARGIN.items():
            bad = (discharges if name == "cell_low" else on) & (true[name] > self.worst[name] + margin)
            self.beyond_ns[name] = np.where(bad, np.minimum(self.beyond_ns[name], now_ns), FOREVER)
            yield (
                f"closed with {name} beyond its maximum in truth",
                bad & (now_ns - self.beyond_ns[name] > BEYOND_S[name] * 1e9),
            )

    def _on(self, command: Command) -> Bools:
        """Return whether an output on a path of the expected row is ordered closed, (string,)."""
        pair = command.minus | command.precharge | command.plus
        return np.asarray(pair | (command.charge_switch & self.paths[0]) | (command.discharge_switch & self.paths[1]))

    def _mark(self, name: str, yes: Bools, now_ns: Ints | int) -> None:
        first = self.first[name]
        self.first[name] = np.where(yes & (first == FOREVER), now_ns, first)


def rules(config: Config, before: State, after: State, inputs: Inputs, command: Command) -> Iterator[tuple[str, Bools]]:
    """Yield (rule, (string,) broken): what must hold in every cycle whatever happens."""
    layout, sensing, table, now_ns = config.layout, config.sensing, config.faults, after.time_ns
    cells, window, active = layout.where["cell_voltage"], command.window, after.faults.active
    on = np.array([getattr(command, name) for name in OUTPUTS])
    age_ns = now_ns - after.watch.valid_ns[cells] - sensing.max_age_ns[cells]
    late = ~layout.every(~sensing.present[cells] | (age_ns <= UNKNOWN_S * 1e9 + config.cycle_ns))
    yield "closed with unknown cells for more than a second", late & on.any(axis=0)
    unknown = ~layout.every(~np.isnan(after.seen.value[cells])) & sensing.present[cells].all()
    current = layout.where["current"]
    unknown |= sensing.present[current] & np.isnan(after.seen.value[current])
    heavy, opens = table.level >= Level.RAMP, table.level >= Level.OPEN
    rising = (on & ~np.array([getattr(before.command, name) for name in OUTPUTS])).any(axis=0)
    for way, path, rated in (
        ("charge", table.charge, config.limits.rated_charge_A),
        ("discharge", table.discharge, config.limits.rated_discharge_A),
    ):
        limit = getattr(window, f"{way}_A")
        fault = active[heavy & path].any(axis=0)
        yield f"{way} limit above zero under a fault", fault & (limit > 0.0)
        yield f"{way} limit above zero with unknown cells or current", np.asarray(unknown & (limit > 0.0))
        yield f"{way} limit not between zero and the rating", ~((limit >= 0.0) & (limit <= rated))
    pair, only_charge = on[:3].any(axis=0), after.switches.phase == Phase.CHARGE_ONLY
    yield "pair closed against an opening row", np.asarray(pair & active[opens & table.charge].any(axis=0))
    discharge = active[opens & table.discharge].any(axis=0)
    yield "pair discharges against an opening row", (after.switches.phase == Phase.CLOSED) & discharge & ~only_charge
    locks = (table.locks & after.faults.latched).any(axis=0)
    begins = (before.switches.phase == Phase.OPEN) & rising
    yield "closing begins under a latched fault", np.asarray(begins & locks & (config.switch.kind != Switchgear.NONE))
