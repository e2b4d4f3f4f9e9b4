"""How far the charge limit swings with a machine that answers late and in steps: a loop that ought not to be one.

Packs are charged at a constant wish to the top, where the limit falls as cells fill. What falls and does not rise again
does not swing: the swing is how far the limit gets above its least value so far. Packs differ in what nobody tells the
machine or us: one has a cell ahead of the others, one a cell behind, so that fifteen bleed, one twice the resistance of
its cell file, one half of it. Balancing is at work as in a site, by the doses of the planner or by voltage alone: what
bleeding takes off the readings comes and goes with its turns, and must not come and go in the limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellarer.config import load
from cellarer.config.load import build
from cellarer.core import slow
from cellarer.core.asked import no_requests
from cellarer.core.cycle import Inputs, start, step
from cellarer.model.config import Config
from cellarer.model.values import ChargePhase, no_plan
from cellarer.runtime.planner import Planner
from cellarer.runtime.simulate import close_all
from cellarer.sim.plant import Plant, no_orders, orders_of

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PACKS = ("even", "one cell ahead", "one cell behind", "resistance doubled", "resistance halved")
START_SOC, AHEAD_SOC = 0.955, (0.0, 0.03, -0.03, 0.0, 0.0)
BETWEEN = 0.002  # 1: to what SOC is known between cells, which share their current; as of docs/why/balancing.md
OHM = (1.0, 1.0, 1.0, 2.0, 0.5)  # times what the cell file says
SETTLED = 0.95  # of the rated current: below this the limit is at work
ANSWER_S = 180.0  # after which what a late machine overshot at its first answer has come back
CLOSING_S, CYCLE_S, STEP_S = 4.0, 0.02, 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Swing:
    """One machine with all packs."""

    delay_s: float
    step_A: float
    keeps_voltage: bool  # the machine regulates CVL, else it knows currents only
    planned: bool  # balancing by doses of the planner, else by voltage alone
    time_s: Floats  # (row,)
    limit_A: Floats  # (row, pack) CCL; NaN once the charge has ended
    current_A: Floats  # (row, pack)
    bleeding: Bools  # (row, pack) some cell bleeds
    rated_A: float
    highest_V: Floats  # (pack,) of any cell, truly
    opened: int

    @property
    def swing(self) -> Floats:
        """The farthest that the limit rose above its least value once it was at work, of the rated current; (pack,)."""
        return self._risen(0.0)

    @property
    def later(self) -> Floats:
        """The same from ANSWER_S on, (pack,): without the first answer to cells that are not as their file says."""
        return self._risen(ANSWER_S)

    def _risen(self, after_s: float) -> Floats:
        risen = np.logical_or.accumulate(self.limit_A >= self.rated_A - 1e-6, axis=0)  # after closing it rises once
        at_work = np.logical_or.accumulate(risen & (self.limit_A < SETTLED * self.rated_A), axis=0)
        began_s = self.time_s[np.where(at_work.any(axis=0), at_work.argmax(axis=0), -1)]
        at_work &= self.time_s[:, None] >= began_s + after_s
        least = np.fmin.accumulate(np.where(at_work, self.limit_A, np.inf), axis=0)
        return np.asarray(np.nanmax(np.where(at_work, self.limit_A - least, 0.0), axis=0) / self.rated_A)


def run(
    delay_s: float, step_A: float, keeps_voltage: bool, minutes: float = 12.0, seed: int = 1, planned: bool = True,
    other: Mapping[str, Any] | None = None, start_soc: float = START_SOC,
) -> Swing:  # fmt: skip
    """Charge all packs, each on its own bus, with a machine that would always like to give the rated current.

    other: what the pack has instead of what that of the site `home` has, such as another cell, at its own current
    """
    base = load("home").file
    pack = base.pack[0].model_dump(exclude_none=True)
    if other:
        pack = {**pack, "limits": {}, **other}
    feedback = [f"feedback_{name}" for name in ("minus", "precharge", "plus")]
    signals = ["cell_voltage", "temp_degC", "current", "string_voltage", "link_voltage", *feedback]
    packs = [pack | {"name": name, "bus": k} for k, name in enumerate(PACKS, 1)]
    config = build({"name": "swing", "signals": signals, "pack": packs}, "swing").config
    rated_A = float(config.limits.rated_charge_A[0])
    assert base.simulation is not None
    machine = base.simulation.load.model_copy(update={
        "kind": "constant", "current_A": rated_A, "inverter_A": rated_A, "delay_s": delay_s, "step_A": step_A,
        "ignores": [] if keeps_voltage else ["voltage"],
    })  # fmt: skip
    plant = Plant(config, base.simulation.model_copy(update={"load": machine}), seed)
    soc = np.full(config.layout.size["cell"], start_soc)
    soc[config.layout.first_cell + 3] += AHEAD_SOC
    plant.set_soc(soc)
    plant.cells.ohm = plant.cells.ohm * plant.groups.spread(np.array(OHM)[config.layout.string_of_cell])
    plant.cells.refresh(plant.heat.core_degC)
    state = start(config, 0, _known(config, soc))
    orders, asked, nothing = no_orders(config), close_all(config), no_plan(soc.size, len(PACKS))
    planner = Planner(config) if planned else lambda state: nothing
    rows, highest, opened, charged = [], np.zeros(len(PACKS)), 0, np.zeros(len(PACKS), bool)
    while plant.time_s < CLOSING_S + 60.0 * minutes:
        plant.advance(CYCLE_S if plant.time_s < CLOSING_S else STEP_S, orders)
        state, command, events = step(config, state, Inputs(plant.sample(), asked, planner(state)), plant.time_ns)
        asked, orders = no_requests(config), orders_of(command)
        highest = np.maximum(highest, np.maximum.reduceat(plant.voltage, config.layout.first_cell))
        opened += sum(event.kind == "switch" and event.name.endswith("open") for event in events)
        charged |= np.isin(state.charging.phase, (ChargePhase.FLOAT, ChargePhase.HOLD))
        if plant.time_s >= CLOSING_S:
            limit_A = np.where(charged, np.nan, state.window.charge_A)
            bleeds = np.logical_or.reduceat(command.bleed, config.layout.first_cell)
            rows.append((np.full(len(PACKS), plant.time_s), limit_A, plant.current, bleeds))
    time_s, limit_A, current_A, bleeding = np.array(rows).transpose(1, 0, 2)
    return Swing(
        delay_s, step_A, keeps_voltage, planned, time_s[:, 0], limit_A, current_A, bleeding > 0.5, rated_A, highest,
        opened,
    )  # fmt: skip


def _known(config: Config, soc: Floats) -> slow.Durable:
    """Return what is stored of packs whose SOC is known within a point, and between cells to BETWEEN."""
    fresh, n = slow.durable(config, start(config, 0)), soc.size
    return replace(
        fresh, soc=soc, soc_sigma=np.full(n, 0.01), capacity_Ah=config.capacity_Ah,
        capacity_sigma_Ah=0.01 * config.capacity_Ah, resistance_scale=np.ones(n), off_s=0.0,
        soc_between_sigma=np.full(n, BETWEEN),
    )  # fmt: skip
