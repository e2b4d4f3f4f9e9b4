"""Packs side by side on one bus in virtual time: plant → step → orders, with the greatest current of each string."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cellarer.config.load import build
from cellarer.core import slow
from cellarer.core.asked import no_requests
from cellarer.core.cycle import Inputs, start, step
from cellarer.model.values import Event, Phase, no_plan
from cellarer.runtime.simulate import close_all
from cellarer.sim.plant import Plant, no_orders, orders_of

SIGNALS = ["cell_voltage", "temp_degC", "current", "string_voltage", "charger_present"]
FEEDBACK = {
    "contactors": ["feedback_minus", "feedback_precharge", "feedback_plus"],
    "fets": ["feedback_charge", "feedback_discharge"],
    "separate": ["feedback_charge", "feedback_discharge"],
}


class Bank:
    """Strings of 14 NMC cells, each its own pack, closing from known SOC."""

    def __init__(self, kind: str, soc: Sequence[float], *, link: bool = False, strings: bool = False,
                 current_A: float = 0.0, seed: int = 1, **gear: Any) -> None:  # fmt: skip
        switchgear = {"kind": kind, "resistor_ohm": 50.0, "link_voltage": link} | gear
        pack = {"cell": "nmc_50ah", "series": 14, "switchgear": switchgear, "limits": {"rise_pct_per_s": 100.0}}
        packs = [pack | {"name": f"p{k}"} for k in range(len(soc))]
        packs = [pack | {"name": "p", "strings": len(soc)}] if strings else packs
        signals = SIGNALS + FEEDBACK[kind] + (["link_voltage"] if link else [])
        load = {"kind": "constant", "current_A": current_A, "delay_s": 0.5, "inverter_A": 1e4}
        table = {"name": "bank", "signals": signals, "pack": packs, "simulation": {"load": load}}
        site = build(table, "bank")
        self.config, self.layout = site.config, site.config.layout
        self.plant = Plant(self.config, site.file.simulation, seed)
        true = np.asarray(soc, dtype=np.float64)[self.layout.string_of_cell]
        self.plant.set_soc(true)
        fresh = slow.durable(self.config, start(self.config, 0))
        self.state = start(self.config, 0, replace(
            fresh, soc=true, soc_sigma=np.full(true.size, 0.01), capacity_Ah=self.plant.truth.capacity_Ah,
            capacity_sigma_Ah=0.01 * self.config.capacity_Ah, resistance_scale=np.ones(true.size), off_s=0.0,
        ))  # fmt: skip
        self.orders, self.asked, self.events = no_orders(self.config), close_all(self.config), list[Event]()
        self.plan = no_plan(true.size, self.layout.size["pack"])
        self.charger, self.lost = False, np.zeros(len(soc), bool)  # a charger is told; voltages of these are not
        self.peak_A = np.zeros((2, len(soc)))  # charging, discharging

    def step(self, dt_s: float = 0.02) -> None:
        for part_s in (min(dt_s, 0.02), dt_s - 0.02):  # what equalises is greatest in the first moment
            if part_s > 1e-6:
                self.plant.advance(part_s, self.orders)
                self.peak_A = np.maximum(self.peak_A, (self.plant.current, -self.plant.current))
        sample = self.plant.sample()
        value = sample.value.copy()
        value[self.layout.where["charger_present"]] = float(self.charger)
        value[self.layout.where["cell_voltage"]][self.lost[self.layout.string_of_cell]] = np.nan
        value[self.layout.where["string_voltage"]][self.lost] = np.nan
        sample = replace(sample, value=value)
        self.state, command, events = step(
            self.config, self.state, Inputs(sample, self.asked, self.plan), self.plant.time_ns
        )
        self.asked, self.orders = no_requests(self.config), orders_of(command)
        self.events += events

    def run(self, seconds: float, until: Callable[[Bank], bool] | None = None, dt_s: float = 0.02) -> float:
        begin = self.plant.time_s
        while self.plant.time_s - begin < seconds - 1e-6:
            self.step(dt_s)
            if until is not None and until(self):
                break
        return self.plant.time_s - begin

    @property
    def closed(self) -> list[bool]:
        return [phase == Phase.CLOSED for phase in self.state.switches.phase.tolist()]

    @property
    def waits(self) -> list[Event]:
        return [e for e in self.events if e.name == "closing waits"]
