"""Balancing strategies on the same unbalanced pack, in virtual time: hours, energy lost, capacity won.

The pack is that of the site file with its SOC spread set exactly; control begins with a stored state as good as asked
for. Each strategy lives through the same hours with the site's own load, then one full charge and discharge tells what
the pack delivers with that balancing at work. Judged by what the world really is, never by estimates.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cellarer.config import Site
from cellarer.core import slow
from cellarer.core.asked import no_requests
from cellarer.core.cycle import Inputs, start, step
from cellarer.core.decide import balance
from cellarer.model.config import Config, Topology
from cellarer.model.values import ChargePhase, State, no_plan
from cellarer.runtime.planner import Planner
from cellarer.runtime.simulate import LONGEST_S, close_all, next_step
from cellarer.sim.plant import Plant, no_orders, orders_of

Floats = NDArray[np.float64]

STRATEGIES = ("none", "voltage", "dose", "active", *(t.name.lower() for t in Topology if t != Topology.NONE))
BALANCED = 0.01  # 1: share of the smallest cell that imbalance may withhold in a balanced pack; equal cells: SOC spread
TEST_C, TEST_H = 0.2, 16.0  # 1/h current of the test cycle, and when it is given up
EMPTY_SHARE = 0.2  # of the test current: a limit below it ends the test
CAPACITY_SIGMA = 0.005  # how well control knows capacities at the start
KNOWN = (0.01, 0.001)  # SOC good to 1 %: an error that cells of a string share, and one of each cell
ROWS_S = 300.0  # between rows that are kept


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What one strategy did. Rows every ROWS_S of the hours before the test cycle."""

    name: str
    time_s: Floats  # (row,)
    imbalance: Floats  # (row,) share of the smallest cell that cannot be used, truly, in the worst string
    spread: Floats  # (row,) highest less lowest true SOC of a string, the worst string
    usable_Ah: Floats  # (row,) true, of all strings
    lost_Wh: Floats  # (row,)
    hours: float  # until imbalance stays within BALANCED; inf = not within the time
    delivered_Ah: float  # in the test discharge; NaN = the test was given up
    test_lost_Wh: float  # in the test cycle
    faults: int
    unfinished: str = ""  # why the test was given up


def compare(
    site: Site, names: tuple[str, ...], hours: float, seed: int, spread: float, sigma: tuple[float, float],
    progress: Callable[[float], None] = lambda fraction: None,
) -> list[Outcome]:  # fmt: skip
    """Return the outcome of each strategy.

    spread  highest less lowest SOC of each string at the start
    sigma   how well SOC is known at the start: an error that all cells share, and one of each cell
    """
    results = []
    for k, name in enumerate(names):
        world = World(site, name, seed, spread, sigma)
        results.append(world.live(hours, lambda done, k=k: progress((k + done) / len(names))))  # type: ignore[misc]
    progress(1.0)
    return results


class World:
    """One strategy with its own plant."""

    def __init__(self, site: Site, name: str, seed: int, spread: float, sigma: tuple[float, float]) -> None:
        config = _with_hardware(site.config, name)
        self.name, self.layout = name, config.layout
        self.plant = Plant(config, site.file.simulation, seed)
        truth = self.plant.truth
        self.plant.set_soc(_spread(config, truth.soc, spread))
        self.config = config if name != "none" else _without_bleeders(config)
        self.planner = Planner(self.config) if name not in ("none", "voltage") else None
        self.state = start(self.config, 0, _known(self.config, self.plant, seed, sigma))
        self.nothing = no_plan(self.layout.size["cell"], self.layout.size["pack"])
        self.orders, self.dt_s, self.asked = no_orders(config), config.cycle_ns * 1e-9, close_all(self.config)
        self.faults = 0

    def step(self, most_s: float = LONGEST_S) -> State:
        """Let one step pass, as long as nothing needs to be decided."""
        self.plant.advance(min(self.dt_s, most_s), self.orders)
        plan = self.planner(self.state) if self.planner else self.nothing
        inputs = Inputs(self.plant.sample(), self.asked, plan)
        self.state, command, events = step(self.config, self.state, inputs, self.plant.time_ns)
        self.asked = no_requests(self.config)
        self.orders = orders_of(command)
        self.faults += sum(event.kind == "fault" for event in events)
        steady_s = balance.steady_s(self.config, self.state.balancing, self.state.time_ns)
        longest_s = max(min(LONGEST_S, steady_s), self.config.cycle_ns * 1e-9)
        self.dt_s = min(next_step(self.config, self.state, bool(events), self.dt_s), longest_s)
        return self.state

    def live(self, hours: float, progress: Callable[[float], None]) -> Outcome:
        """Run the hours, then the test cycle."""
        rows: list[tuple[float, ...]] = []
        while self.plant.time_s < hours * 3600.0:
            if not rows or self.plant.time_s - rows[-1][0] >= ROWS_S:
                rows.append(self._row())
                progress(self.plant.time_s / 3600.0 / (hours + TEST_H))
            self.step()
        rows.append(self._row())
        time_s, imbalance, spread, usable, lost = np.array(rows).T
        outside = np.flatnonzero(imbalance > BALANCED)
        balanced = 0.0 if not outside.size else np.append(time_s, np.inf)[outside[-1] + 1] / 3600.0
        delivered, why = self._test_cycle(lambda done: progress((hours + done * TEST_H) / (hours + TEST_H)))
        test_lost = float(self.plant.balanced_Wh.sum() - lost[-1])
        return Outcome(
            self.name, time_s, imbalance, spread, usable, lost, float(balanced), delivered, test_lost, self.faults, why
        )  # fmt: skip

    def _row(self) -> tuple[float, ...]:
        truth = self.plant.truth
        imbalance = float((1.0 - truth.usable_Ah / self.layout.lowest(truth.capacity_Ah)).max())
        spread = float((self.layout.highest(truth.soc) - self.layout.lowest(truth.soc)).max())
        lost = float(self.plant.balanced_Wh.sum())
        return self.plant.time_s, imbalance, spread, float(truth.usable_Ah.sum()), lost

    def _test_cycle(self, progress: Callable[[float], None]) -> tuple[float, str]:
        """Charge until full, discharge until the limit falls.

        Return what came out, Ah, over all strings, and nothing; or NaN and what was not reached.
        """
        current = TEST_C * float(self.config.capacity_Ah[self.layout.first_cell].sum())
        self._load(current)
        if not self._until(lambda s: bool((s.charging.phase >= ChargePhase.FLOAT).all()), progress, 0.0):
            return float("nan"), f"not full after {TEST_H / 2:g} h"
        before = self.state.counters.discharge_Ah.sum()
        self._load(-current)
        self._until(lambda s: False, progress, 0.5, 0.1)  # limits come up
        if not self._until(lambda s: s.window.discharge_A.sum() < EMPTY_SHARE * current, progress, 0.5):
            return float("nan"), f"not empty after {TEST_H / 2:g} h"
        return float(self.state.counters.discharge_Ah.sum() - before), ""

    def _load(self, current_A: float) -> None:
        load = self.plant.load
        load.file = load.file.model_copy(update={"kind": "constant", "current_A": current_A})

    def _until(
        self, done: Callable[[State], bool], progress: Callable[[float], None], at: float, hours: float = TEST_H / 2
    ) -> bool:
        end_s = self.plant.time_s + hours * 3600.0
        while self.plant.time_s < end_s:
            if done(self.step()):
                return True
            progress(at + 0.5 * (1.0 - (end_s - self.plant.time_s) / (hours * 3600.0)))
        return False


def _with_hardware(config: Config, name: str) -> Config:
    """Return the site with the converters that a strategy names; "dose" and "voltage" have none."""
    if name == "active":
        return config
    kind = Topology[name.upper()] if name.upper() in Topology.__members__ else Topology.NONE
    table = config.balance
    return replace(config, balance=replace(table, topology=np.full_like(table.topology, kind)))


def _without_bleeders(config: Config) -> Config:
    return replace(config, balance=replace(config.balance, bleed_A=np.zeros_like(config.balance.bleed_A)))


def _spread(config: Config, soc: Floats, spread: float) -> Floats:
    """Return SOC of all cells with exactly this spread in each string, around its mean."""
    layout = config.layout
    owner, mean = layout.string_of_cell, layout.total(soc) / config.series
    width = layout.highest(soc) - layout.lowest(soc)
    scale = np.divide(spread, width, out=np.zeros_like(width), where=width > 0.0)
    return np.asarray(mean[owner] + (soc - mean[owner]) * scale[owner])


def _known(config: Config, plant: Plant, seed: int, sigma: tuple[float, float]) -> slow.Durable:
    """Return a stored state that knows SOC and capacity with errors drawn by seed."""
    random, truth = np.random.default_rng([seed, 97]), plant.truth
    common = sigma[0] * random.standard_normal(config.layout.size["string"])[config.layout.string_of_cell]
    n = truth.soc.size
    soc = np.clip(truth.soc + common + sigma[1] * random.standard_normal(n), 0.0, 1.0)
    capacity = truth.capacity_Ah * (1.0 + CAPACITY_SIGMA * random.standard_normal(n))
    return replace(
        slow.durable(config, start(config, 0)), soc=soc, soc_sigma=np.full(n, max(np.hypot(*sigma), 1e-4)),
        capacity_Ah=capacity, capacity_sigma_Ah=CAPACITY_SIGMA * capacity, resistance_scale=np.ones(n), off_s=0.0,
        soc_between_sigma=np.full(n, max(sigma[1], 1e-4)),
    )  # fmt: skip
