"""Worlds of a campaign: one pack of a site many times over, each on its own bus, settled once and forked from there."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from cellarer.config import Site
from cellarer.config.load import build
from cellarer.config.schema import SimulationFile
from cellarer.core.asked import no_requests
from cellarer.core.cycle import Inputs, start, step
from cellarer.model.config import Config
from cellarer.model.values import Bools, Command, Event, Phase, Plan, Requests, State, no_plan
from cellarer.runtime.campaign_cases import CHARGE, STANDBY
from cellarer.sim.plant import Orders, Plant, no_orders, orders_of

CYCLE_S = 0.02
SETTLE_DT_S = 0.1
SETTLE_S = 25.0  # limits rise by 5 % of the rating per second
CLOSE_S = 4.0
HALF = 0.5  # of the rating: what flows in the settled states


def repeated(site: Site, count: int) -> Site:
    """Return a site of `count` packs, each like the first pack of the site with devices and links of its own."""
    table = site.file.model_dump(mode="json", exclude_unset=True)
    pack, devices = table["pack"][0], [d for d in table.get("device", []) if d.get("pack", 1) == 1]
    links = {link["name"]: link for link in table.get("link", [])}
    used = dict.fromkeys(d["link"] for d in devices)
    numbers = range(1, count + 1)
    table["pack"] = [pack | {"name": f"{pack['name']} {k}"} for k in numbers]
    table["link"] = [
        links[name] | {"name": f"{name} {k}", "url": f"bench:{k}-{name}"} for k in numbers for name in used
    ]
    table["device"] = [
        d | {"name": f"{d['name']} {k}", "link": f"{d['link']} {k}", "pack": k} for k in numbers for d in devices
    ]
    table["face"] = []
    return build(table, f"{site.file.name} × {count}")


@dataclass(slots=True)
class World:
    """Plant and control in virtual time."""

    config: Config
    plant: Plant
    state: State
    orders: Orders
    plan: Plan

    def fork(self) -> "World":
        """Return an independent world that goes on from here."""
        kept = {id(self.config): self.config, id(self.config.layout): self.config.layout}
        return replace(self, plant=copy.deepcopy(self.plant, kept))

    def cycle(self, dt_s: float, asked: Requests | None = None) -> tuple[State, State, Inputs, Command, list[Event]]:
        """Let dt_s pass and decide once. Returns the states before and after, inputs, command and events."""
        self.plant.advance(dt_s, self.orders)
        before = self.state
        inputs = Inputs(self.plant.sample(), asked or no_requests(self.config), self.plan)
        self.state, command, events = step(self.config, before, inputs, self.plant.time_ns)
        self.orders = orders_of(command)
        return before, self.state, inputs, command, events


def world(site: Site, simulation: SimulationFile, seed: int) -> World:
    """Return a world that has just begun, everything open."""
    config = site.config
    packs = config.layout.size["pack"]
    plant = Plant(config, simulation, seed, bus_of_pack=range(packs))
    plan = no_plan(config.layout.size["cell"], packs)
    return World(config, plant, start(config, 0), no_orders(config), plan)


def settled(site: Site, mode: str, seed: int) -> World:
    """Return a world of steady state: open, or closed with half the rating flowing."""
    limits = site.config.limits
    rated = HALF * float(min(limits.rated_charge_A[0], limits.rated_discharge_A[0]))
    load = (
        {"kind": "rest"} if mode == STANDBY else {"kind": "constant", "current_A": rated if mode == CHARGE else -rated}
    )
    own = site.file.simulation or SimulationFile()
    simulation = SimulationFile.model_validate(
        own.model_dump(exclude={"load"}) | {"load": load, "start_soc_pct": 55.0, "ambient_degC": 22.0}
    )
    made = world(site, simulation, seed)
    if mode == STANDBY:
        for _ in range(round(CLOSE_S / CYCLE_S)):
            made.cycle(CYCLE_S)
        return made
    close_all(made)
    for _ in range(round(SETTLE_S / SETTLE_DT_S)):
        made.cycle(SETTLE_DT_S)
    if not np.all(made.state.switches.phase == Phase.CLOSED):
        raise ValueError(f"site {site.path}: its packs do not settle closed; simulate it first")
    return made


def close_all(made: World) -> None:
    """Close every pack; unknown SOC is confirmed."""
    made.cycle(CYCLE_S, asks(made.config, close=np.ones(made.config.layout.size["pack"], bool)))
    for _ in range(round(CLOSE_S / CYCLE_S)):
        made.cycle(CYCLE_S)


def asks(config: Config, **wishes: Bools) -> Requests:
    """Return requests, (pack,) per name: open, close."""
    confirm = wishes.get("close", np.zeros(config.layout.size["pack"], bool))
    return replace(no_requests(config), confirm_unknown_soc=confirm, **wishes)  # type: ignore[arg-type]


Watcher = Callable[[State, State, Inputs, Command], None]


def play(made: World, seconds: float, dt_s: float, due: dict[str, np.ndarray], watch: Watcher) -> None:
    """Run for a while. due: request → (pack,) ns at which it is asked once; watch sees every cycle."""
    end_ns, asked = made.plant.time_ns + round(seconds * 1e9), {name: at.copy() for name, at in due.items()}
    while made.plant.time_ns < end_ns:
        now = made.plant.time_ns + round(dt_s * 1e9)
        wishes = {name: at <= now for name, at in asked.items()}
        for name, at in asked.items():
            at[wishes[name]] = 2**62
        some = any(w.any() for w in wishes.values())
        watch(*made.cycle(dt_s, asks(made.config, **wishes) if some else None)[:4])
