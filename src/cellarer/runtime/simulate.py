"""A site in virtual time, in one process: `sim.Plant` and `core.cycle.step` take turns. Same seed, same bytes.

The step is short while switchgear moves or a fault is being confirmed, and grows to a minute while nothing happens.
Control sees sensors only; what the world really is (`plant.truth`) is recorded beside it, for judging.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cellarer.config import Site
from cellarer.core.asked import no_requests
from cellarer.core.cycle import Inputs, start, step
from cellarer.core.decide import balance
from cellarer.model.config import Config
from cellarer.model.values import FOREVER, Event, Phase, Requests, State
from cellarer.runtime.planner import Planner
from cellarer.sim.plant import Plant, no_orders, orders_of

Floats = NDArray[np.float64]

LONGEST_S = 50.0  # of a step; core takes more than 60 s for a gap
LOAD_LONGEST_S = {"drive": 1.0, "ebike": 1.0, "laptop": 10.0}  # loads that change faster
CALM_S = 1.0  # step right after something happened
GROWTH = 1.5  # how fast the step grows while nothing happens
ROWS_MOST = 40_000  # rows that are kept; a longer run is recorded less often
RESTING = (Phase.OPEN, Phase.CLOSED, Phase.CHARGE_ONLY, Phase.DISCHARGE_ONLY)

STRING_FIELDS = (
    "current_A", "voltage_V", "soc_true", "soc", "soc_sigma", "charge_limit_A", "discharge_limit_A",
    "cell_high_V", "cell_low_V", "temp_high_degC", "temp_low_degC",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """What happened. `series` maps STRING_FIELDS to (row, string)."""

    site: Site
    seed: int
    seconds: float
    steps: int
    time_s: Floats  # (row,)
    series: dict[str, Floats]
    faults: list[str]  # (row,) active rows joined by ;
    events: list[Event]
    throughput_Wh: Floats  # (2, string) charged, discharged, as the world counts it
    state: State
    hash: str


def simulate(
    site: Site, seconds: float, seed: int, progress: Callable[[float], None] = lambda fraction: None
) -> Simulated:
    """Run a site for so many virtual seconds. In the first cycle a person asks to close and confirms an unknown SOC."""
    config = site.config
    plant, state = Plant(config, site.file.simulation, seed), start(config, 0)
    planner = Planner(config)
    quiet, close = no_requests(config), close_all(config)
    cycle_s, every_s = config.cycle_ns * 1e-9, max(seconds / ROWS_MOST, config.cycle_ns * 1e-9)
    longest_s = LOAD_LONGEST_S.get(site.file.simulation.load.kind if site.file.simulation else "", LONGEST_S)
    book, orders, dt_s, steps, due_s = _Book(config), no_orders(config), cycle_s, 0, 0.0
    while plant.time_s < seconds:
        plant.advance(min(dt_s, seconds - plant.time_s), orders)
        asked = close if steps == 0 else quiet
        state, command, events = step(config, state, Inputs(plant.sample(), asked, planner(state)), plant.time_ns)
        orders = orders_of(command)
        steps += 1
        book.events += events
        if plant.time_s >= due_s or events:
            book.note(plant, state)
            due_s = plant.time_s + every_s
        dt_s = min(next_step(config, state, bool(events), dt_s), longest_s)
        dt_s = min(dt_s, max(balance.steady_s(config, state.balancing, state.time_ns), cycle_s))
        if steps % 500 == 0:
            progress(plant.time_s / seconds)
    progress(1.0)
    return book.close(site, seed, steps, plant, state)


def close_all(config: Config) -> Requests:
    """Return what a person asks for in the first cycle."""
    yes = np.ones(config.layout.size["pack"], bool)
    return replace(no_requests(config), close=yes, confirm_unknown_soc=yes)


def next_step(config: Config, state: State, happened: bool, dt_s: float) -> float:
    """Return how long nothing needs to be decided, s."""
    moving = ~np.isin(state.switches.phase, RESTING)
    doubted = (state.faults.bad_since_ns < FOREVER) & ~state.faults.active
    if moving.any() or doubted.any():
        return config.cycle_ns * 1e-9
    return min(CALM_S, dt_s) if happened else min(dt_s * GROWTH, LONGEST_S)


class _Book:
    """Keeps rows and events."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.times: list[float] = []
        self.rows: list[Floats] = []
        self.faults: list[str] = []
        self.events: list[Event] = []

    def note(self, plant: Plant, state: State) -> None:
        """Keep one row: sensors, estimate and limits as control has them, SOC as it is."""
        layout, seen, e, w = self.config.layout, state.seen.value, state.estimate, state.window
        cells, temps = seen[layout.where["cell_voltage"]], seen[layout.where["temp_degC"]]
        truth = plant.truth
        row = (
            seen[layout.where["current"]], layout.total(cells), truth.string_soc, e.string_soc, e.string_soc_sigma,
            w.charge_A, w.discharge_A, layout.highest(cells), layout.lowest(cells),
            layout.over_temps(np.maximum, temps, np.nan), layout.over_temps(np.minimum, temps, np.nan),
        )  # fmt: skip
        self.times.append(plant.time_s)
        self.rows.append(np.array(row, dtype=np.float64))
        active = np.flatnonzero(state.faults.active.any(axis=1)).tolist()
        self.faults.append(";".join(self.config.faults.name[k] for k in active))

    def close(self, site: Site, seed: int, steps: int, plant: Plant, state: State) -> Simulated:
        """Return everything with its hash."""
        time_s, stack = np.array(self.times), np.array(self.rows)
        digest = hashlib.sha256(time_s.tobytes() + stack.tobytes() + "\n".join(self.faults).encode())
        digest.update(repr(self.events).encode())
        series = {name: stack[:, k] for k, name in enumerate(STRING_FIELDS)}
        return Simulated(
            site, seed, plant.time_s, steps, time_s, series, self.faults, self.events, plant.through_Wh.copy(), state,
            digest.hexdigest(),
        )  # fmt: skip


def table(result: Simulated) -> dict[str, Floats | list[str]]:
    """Return columns for a file; with several strings each column names its string, counted from 1."""
    strings = result.site.config.layout.size["string"]
    columns: dict[str, Floats | list[str]] = {"time_s": result.time_s}
    for string in range(strings):
        prefix = f"string_{string + 1}_" if strings > 1 else ""
        columns |= {prefix + name: np.ascontiguousarray(values[:, string]) for name, values in result.series.items()}
    return columns | {"faults": result.faults}
