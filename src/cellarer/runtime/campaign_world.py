"""Worlds of a campaign: one pack of a site many times over, each on its own bus, settled once and forked from there.

Everything between the cells and the contacts is the real thing: sensors at the pace of the site's devices, `step()`,
the guard with its parser and gate. A subject is a site, or a variant of one: `home`, `home:lto_23ah` (the same with
other cells), `home+all` (the same with every input that a row can look at).
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np

from cellarer import config as configs
from cellarer.config import Site
from cellarer.config.load import build
from cellarer.config.schema import SimulationFile
from cellarer.core.asked import no_requests
from cellarer.core.cycle import Inputs, start, step
from cellarer.model.config import Config, Switchgear
from cellarer.model.quantities import BY_NAME
from cellarer.model.values import Bools, Command, Event, Phase, Plan, Requests, State, no_plan
from cellarer.runtime.campaign_cases import CHARGE, STANDBY
from cellarer.runtime.campaign_guard import Guards
from cellarer.sim import noise
from cellarer.sim.plant import Orders, Plant
from cellarer.sim.sensors import TOLERANCE, Dropouts
from cellarer.wire.devices.periods import periods_s

SETTLE_DT_S = 0.1
SETTLE_S = 25.0  # limits rise by 5 % of the rating per second
READY_S, CLOSE_S = 2.0, 4.0  # until the guard has seen good data; until everything is closed
START_SOC = 0.55
HALF = 0.5  # of the rating: what flows in the settled states
EVERY_INPUT = ("insulation", "gas", "crash", "current_check", "supply_voltage", "emergency_stop", "interlock_open")
PHASE, LOSS = 31, 32  # purposes of random numbers


def subject(name: str) -> Site:
    """Return a site or a variant of one. Raises ConfigError."""
    base, _, cell = name.removesuffix("+all").partition(":")
    site = configs.load(base)
    if name == base:
        return site
    table = site.file.model_dump(mode="json", exclude_unset=True)
    for pack in table["pack"] if cell else []:
        pack["cell"] = cell
        pack.pop("limits", None)  # narrower than other cells: not of these
    if name.endswith("+all"):
        known = {signal for d in table["device"] for signal in d["signals"]}
        table["device"][-1]["signals"] += [signal for signal in EVERY_INPUT if signal not in known]
    return build(table | {"name": site.file.name}, name)


def repeated(site: Site, count: int) -> Site:
    """Return a site of `count` packs, each like the first pack of the site with a bus, devices and links of its own."""
    table = site.file.model_dump(mode="json", exclude_unset=True)
    pack, devices = table["pack"][0], [d for d in table.get("device", []) if d.get("pack", 1) == 1]
    links = {link["name"]: link for link in table.get("link", [])}
    used = dict.fromkeys(d["link"] for d in devices)
    numbers = range(1, count + 1)
    table["pack"] = [pack | {"name": f"{pack['name']} {k}", "bus": k} for k in numbers]
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
    """Plant, control and guard in virtual time."""

    config: Config
    plant: Plant
    state: State
    guards: Guards
    orders: Orders
    plan: Plan

    @property
    def cycle_s(self) -> float:
        """The site's cycle."""
        return self.config.cycle_ns * 1e-9

    def fork(self) -> "World":
        """Return an independent world that goes on from here."""
        kept = {id(self.config): self.config, id(self.config.layout): self.config.layout}
        return replace(self, plant=deepcopy(self.plant, kept), guards=self.guards.fork(), orders=deepcopy(self.orders))

    def cycle(self, dt_s: float, asked: Requests | None = None) -> tuple[State, State, Inputs, Command, list[Event]]:
        """Let dt_s pass and decide once. Returns the states before and after, inputs, command and events."""
        plant, before = self.plant, self.state
        plant.advance(dt_s, self.orders)
        sample = plant.sample()
        self.guards.feed(sample, plant.time_ns)
        inputs = Inputs(sample, self._withdrawn(asked or no_requests(self.config)), self.plan)
        self.state, command, events = step(self.config, before, inputs, plant.time_ns)
        self.orders = self.guards.decide(command, inputs.requests.reset, plant.time_ns)
        return before, self.state, inputs, command, events

    def _withdrawn(self, asked: Requests) -> Requests:
        """Ask to open what the guard refuses, as the shell does."""
        against = self.guards.vetoes.against(self.state.command)
        unwanted = self.config.layout.pack_any(against[None])[0] & self.state.wishes.closed
        return replace(asked, open=asked.open | unwanted) if unwanted.any() else asked


def world(
    site: Site, simulation: SimulationFile, seed: int, numbers: Sequence[int] | None = None, *,
    dt_s: float = 0.0, tolerance: bool = False, losses: tuple[float, float] | None = None,
) -> World:  # fmt: skip
    """Return a world that has just begun, everything open.

    numbers    (pack,) what seeds each pack, so that it is the same in any batch
    dt_s       longest step that will be taken; 0 = the cycle
    tolerance  sensors as bad as the standards allow
    losses     every so many seconds, each signal of a pack is lost for at most so many
    """
    config = site.config
    packs = config.layout.size["pack"]
    plant = Plant(config, simulation, seed, numbers=numbers, sensors=TOLERANCE if tolerance else None)
    _pace(plant, site, seed, range(packs) if numbers is None else numbers)
    if losses is not None:
        plant.sensors.dropouts = Dropouts(_keys(plant, seed, numbers or range(packs), LOSS), *losses)
    plan = no_plan(config.layout.size["cell"], packs)
    guards = Guards(site, max(config.cycle_ns, round(dt_s * 1e9)))
    return World(config, plant, start(config, 0), guards, guards.orders, plan)


def _pace(plant: Plant, site: Site, seed: int, numbers: Sequence[int]) -> None:
    """Sample every signal as often as the site's devices do, each at its own phase against the cycle."""
    cycle_s = site.config.cycle_ns * 1e-9
    period_s = np.maximum(periods_s(site.file, plant.layout), cycle_s)
    cycles = np.round(period_s / cycle_s)
    drawn = noise.uniform(_keys(plant, seed, numbers, PHASE), PHASE)
    plant.sensors.pace(period_s, np.floor(drawn * cycles) * cycle_s)


def _keys(plant: Plant, seed: int, numbers: Sequence[int], purpose: int) -> np.ndarray:
    """Return a key per signal element that all elements of a signal of a pack share, (signal,)."""
    layout = plant.layout
    strings = layout.pack_of_string
    owner = {"cell": layout.pack_of_cell, "temp": strings[layout.string_of_temp], "string": strings,
             "pack": np.arange(layout.size["pack"])}  # fmt: skip
    keys = np.empty(layout.size["signal"], np.uint64)
    for number, (name, where) in enumerate(layout.where.items()):
        keys[where] = noise.mix(seed, purpose, np.asarray(numbers)[owner[BY_NAME[name].axis]], number)
    return keys


def settled(site: Site, mode: str, seed: int, numbers: Sequence[int] | None = None) -> World:
    """Return a world of steady state: open, or closed with half the rating flowing."""
    limits = site.config.limits
    rated = HALF * float(min(limits.rated_charge_A[0], limits.rated_discharge_A[0]))
    load = (
        {"kind": "rest"} if mode == STANDBY else {"kind": "constant", "current_A": rated if mode == CHARGE else -rated}
    )
    own = site.file.simulation or SimulationFile()
    simulation = SimulationFile.model_validate(
        own.model_dump(exclude={"load"}) | {"load": load, "start_soc_pct": 100.0 * START_SOC, "ambient_degC": 22.0}
    )
    made = world(site, simulation, seed, numbers, dt_s=SETTLE_DT_S)
    if mode == STANDBY:
        run(made, READY_S + CLOSE_S, made.cycle_s)
    else:
        close_all(made)
        run(made, SETTLE_S, max(SETTLE_DT_S, made.cycle_s))
        geared = made.config.switch.kind != Switchgear.NONE
        if not np.all(made.state.switches.phase[geared] == Phase.CLOSED):
            raise ValueError(f"site {site.path}: its packs do not settle closed; simulate it first")
    made.guards.pace(made.config.cycle_ns)
    run(made, 10 * made.cycle_s, made.cycle_s)
    return made


def run(made: World, seconds: float, dt_s: float) -> None:
    """Let time pass."""
    for _ in range(round(seconds / dt_s)):
        made.cycle(dt_s)


def close_all(made: World) -> None:
    """Close every pack; unknown SOC is confirmed."""
    run(made, READY_S, made.cycle_s)
    made.cycle(made.cycle_s, asks(made.config, close=np.ones(made.config.layout.size["pack"], bool)))
    run(made, CLOSE_S, made.cycle_s)


def asks(config: Config, **wishes: Bools) -> Requests:
    """Return requests, (pack,) per name: open, close."""
    confirm = wishes.get("close", np.zeros(config.layout.size["pack"], bool))
    return replace(no_requests(config), confirm_unknown_soc=confirm, **wishes)  # type: ignore[arg-type]


Watcher = Callable[[World, State, Inputs, Command, list[Event]], None]


def play(made: World, seconds: float, dt_s: float, due: dict[str, np.ndarray], watch: Watcher) -> None:
    """Run for a while. due: request → (pack,) ns at which it is asked once; watch sees every cycle."""
    end_ns, asked = made.plant.time_ns + round(seconds * 1e9), {name: at.copy() for name, at in due.items()}
    while made.plant.time_ns < end_ns:
        now = made.plant.time_ns + round(dt_s * 1e9)
        wishes = {name: at <= now for name, at in asked.items()}
        for name, at in asked.items():
            at[wishes[name]] = 2**62
        some = any(w.any() for w in wishes.values())
        before, _, inputs, command, events = made.cycle(dt_s, asks(made.config, **wishes) if some else None)
        watch(made, before, inputs, command, events)
