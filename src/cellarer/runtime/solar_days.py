"""Solar days with clouds for many packs at once: how high the highest cell ever gets.

Each pack has its own bus, sun, house, spread and start; all live through the same cycle in one `step()`. The sun is
larger than the house needs, so every pack that is not full early ends the day at its limits. Balancing is at work as
in a site, by doses of the planner or by voltage alone. Not every sky fills a pack: one with too little sun ends the day
in bulk; one that came to its end of charge and did not become full is stuck.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cellarer.config import load
from cellarer.config.load import build
from cellarer.core.asked import no_requests
from cellarer.core.cycle import Inputs, start, step
from cellarer.model.config import Config
from cellarer.model.values import ChargePhase, no_plan
from cellarer.runtime.planner import Planner
from cellarer.runtime.simulate import close_all, next_step
from cellarer.sim.plant import Plant, no_orders, orders_of

# Of a step: clouds pass within minutes. Control is late by it, so that cells get higher, not lower; some pack is always
# about to change who bleeds, and a bleeder that goes off so much later moves a mAh.
LONGEST_S = 20.0
FULL = (ChargePhase.FLOAT, ChargePhase.HOLD)
POWER_NS = 60_000_000_000  # between forecasts of power, the dearest part; windows of voltage and current are of now


@dataclass(frozen=True, slots=True)
class Days:
    """What came out."""

    packs: int
    hours: float
    steps: int
    highest_V: float  # of any cell, truly
    maximum_V: float  # that no cell may exceed
    above: int  # packs with a cell above it
    full: int  # packs that reached full
    short: int  # packs that never came to their end of charge: too little sun
    bled: int  # packs of which some cell bled
    opened: int  # openings of switchgear

    @property
    def stuck(self) -> int:
        """Packs that came to their end of charge and did not become full."""
        return self.packs - self.full - self.short


def run(
    packs: int, hours: float, seed: int, start_hour: float = 5.0, solar_kWp: float = 9.0, spread_pct: float = 1.5,
    delay_s: float = 5.0, progress: Callable[[float], None] = lambda done: None, planned: bool = True,
) -> Days:  # fmt: skip
    """Run so many packs side by side through one day each."""
    base = load("home").file
    pack = base.pack[0].model_dump(exclude_none=True)
    signals = ["cell_voltage", "temp_degC", "current", "string_voltage", "link_voltage"]
    feedback = [f"feedback_{name}" for name in ("minus", "precharge", "plus")]
    table = {"name": "solar", "signals": signals + feedback}
    config = build(table | {"pack": [pack | {"name": f"p{k}", "bus": k} for k in range(1, packs + 1)]}, "solar").config
    config = replace(config, power_ns=POWER_NS)
    assert base.simulation is not None
    house = base.simulation.load.model_copy(update={"solar_kWp": solar_kWp, "delay_s": delay_s, "step_A": 1.0})
    world = base.simulation.model_copy(update={
        "load": house, "start_hour": start_hour, "start_soc_pct": 70.0, "soc_spread_pct": spread_pct,
    })  # fmt: skip
    plant = Plant(config, world, seed)
    shift = np.random.default_rng(seed).uniform(-0.3, 0.25, packs)[config.layout.pack_of_cell]
    plant.set_soc(np.clip(plant.truth.soc + shift, 0.02, 0.99))
    return _live(plant, config, hours, progress, planned)


def _live(plant: Plant, config: Config, hours: float, progress: Callable[[float], None], planned: bool) -> Days:
    layout, state = config.layout, start(config, 0)
    orders, asked, nothing = no_orders(config), close_all(config), no_plan(layout.size["cell"], layout.size["pack"])
    planner = Planner(config) if planned else lambda state: nothing
    highest, full, dt_s, steps, opened = np.zeros(layout.size["pack"]), np.zeros(layout.size["pack"], bool), 0.02, 0, 0
    came, bled = full.copy(), full.copy()
    while plant.time_s < hours * 3600.0:
        plant.advance(dt_s, orders)
        state, command, events = step(config, state, Inputs(plant.sample(), asked, planner(state)), plant.time_ns)
        asked, orders = no_requests(config), orders_of(command)
        highest = np.maximum(highest, np.maximum.reduceat(plant.voltage, layout.first_cell))
        full |= np.isin(state.charging.phase, FULL)
        came |= np.isin(state.charging.phase, (ChargePhase.ABSORPTION, ChargePhase.TAPER, *FULL))
        bled |= np.logical_or.reduceat(command.bleed, layout.first_cell)
        opened += sum(event.kind == "switch" and event.name.endswith("open") for event in events)
        dt_s = min(next_step(config, state, False, dt_s), LONGEST_S)
        steps += 1
        progress(plant.time_s / (hours * 3600.0))
    most = float(config.cell_limits[0].voltage_max[2])
    return Days(
        full.size, hours, steps, float(highest.max()), most, int((~(highest <= most)).sum()), int(full.sum()),
        int((~came).sum()), int(bled.sum()), opened,
    )  # fmt: skip


def together(found: Sequence[Days]) -> Days:
    """Return several batches as one."""
    return Days(
        packs=sum(days.packs for days in found),
        hours=found[0].hours,
        steps=sum(days.steps for days in found),
        highest_V=max(days.highest_V for days in found),
        maximum_V=min(days.maximum_V for days in found),
        above=sum(days.above for days in found),
        full=sum(days.full for days in found),
        short=sum(days.short for days in found),
        bled=sum(days.bled for days in found),
        opened=sum(days.opened for days in found),
    )
