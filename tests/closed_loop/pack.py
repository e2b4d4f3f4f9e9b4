"""A home pack, or a bank, in virtual time with a load that a test steers: plant → step → orders, seconds at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cellarer.board.view import view
from cellarer.config import load
from cellarer.core import slow
from cellarer.core.asked import no_requests
from cellarer.core.cycle import Inputs, start, step
from cellarer.model.values import ChargePhase, Event
from cellarer.runtime.planner import Planner
from cellarer.runtime.simulate import close_all
from cellarer.sim.plant import Plant, no_orders, orders_of

CYCLE_S = 0.02


class Pack:
    """One site, closed, with SOC of each cell and what control believes of it as a test says."""

    def __init__(
        self, soc: float | Sequence[float] | np.ndarray, *, believed: float | None = None, sigma: float = 0.01,
        current_A: float = 0.0, dt_s: float = 1.0, seed: int = 1, planned: bool = False, site: str = "home",
        **machine: Any,
    ) -> None:  # fmt: skip
        loaded = load(site)
        self.config, self.layout, self.dt_s = loaded.config, loaded.config.layout, dt_s
        assert loaded.file.simulation is not None
        given = {"kind": "constant", "current_A": current_A, "delay_s": 1.0, "inverter_A": 140.0} | machine
        simulation = loaded.file.simulation.model_copy(
            update={"load": loaded.file.simulation.load.model_copy(update=given)}
        )
        self.plant = Plant(self.config, simulation, seed)
        true = np.broadcast_to(np.asarray(soc, dtype=np.float64), self.layout.string_of_cell.shape)
        self.plant.set_soc(true)
        n, fresh = true.size, slow.durable(self.config, start(self.config, 0))
        stored = replace(
            fresh, soc=true.copy() if believed is None else np.full(n, believed), soc_sigma=np.full(n, sigma),
            capacity_Ah=self.plant.truth.capacity_Ah, capacity_sigma_Ah=0.01 * self.config.capacity_Ah,
            resistance_scale=np.ones(n), off_s=0.0,
        )  # fmt: skip
        self.state = start(self.config, 0, stored)
        self.orders, self.asked, self.events = no_orders(self.config), close_all(self.config), list[Event]()
        self.planner = Planner(self.config) if planned else None
        self.plan = Planner(self.config).plan
        self.run(4.0, dt_s=CYCLE_S)

    def step(self, dt_s: float) -> None:
        self.plant.advance(dt_s, self.orders)
        self.plan = self.planner(self.state) if self.planner else self.plan
        inputs = Inputs(self.plant.sample(), self.asked, self.plan)
        self.state, command, events = step(self.config, self.state, inputs, self.plant.time_ns)
        self.asked, self.orders = no_requests(self.config), orders_of(command)
        self.events += events

    def run(self, seconds: float, until: Callable[[Pack], bool] | None = None, dt_s: float | None = None) -> float:
        """Let time pass until `until` holds; return the seconds that passed."""
        begin = self.plant.time_s
        while self.plant.time_s - begin < seconds - 1e-6:
            self.step(dt_s or self.dt_s)
            if until is not None and until(self):
                break
        return self.plant.time_s - begin

    def draw(self, current_A: float) -> None:
        """Let the load wish another current, + charges."""
        self.plant.load.file = self.plant.load.file.model_copy(update={"current_A": current_A})

    @property
    def phase(self) -> ChargePhase:
        return ChargePhase(int(self.state.charging.phase[0]))

    @property
    def soc(self) -> float:
        return float(self.state.estimate.string_soc[0])

    @property
    def true_soc(self) -> float:
        return float(self.plant.truth.string_soc[0])

    def string(self) -> dict[str, Any]:
        """Return what page and API say of the string."""
        return self.view()["packs"][0]["strings"][0]  # type: ignore[no-any-return]

    def view(self) -> dict[str, Any]:
        """Return what page, API and faces say of the site."""
        return view(self.config, self.state, unix_s=0.0)

    def opened(self) -> list[str]:
        return [e.name for e in self.events if e.kind == "switch" and "open" in e.name.split("→")[-1]]
