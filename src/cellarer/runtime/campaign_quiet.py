"""Quiet hours: packs work as their site does, with bad sensors and lost frames, and nothing may open or warn.

Virtual time goes in coarse steps; around each loss of frames, which befalls all packs at the same moment but different
signals for different times, in cycles of the site. A row that only a coarse step could raise would be counted as well.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cellarer.config.schema import SimulationFile
from cellarer.model.config import Switchgear
from cellarer.model.values import Level, Phase
from cellarer.runtime import campaign_world as worlds
from cellarer.runtime.campaign_judge import Always

COARSE_S = 0.5
LOSS_EVERY_S, LOSS_LONGEST_S = 30.0, 0.2
AROUND_S = 0.5  # in whole cycles from a loss of frames until everything has come again
LOOK_S = 30.0
PACKS, MOST_CELLS = 256, 8192
OPENING = (Phase.OPENING, Phase.RAMP)


@dataclass(frozen=True, slots=True)
class Task:
    """So many pack-hours of one subject."""

    subject: str
    hours: float
    seed: int
    packs: int
    number: int = 0

    @property
    def weight(self) -> float:
        """About how long it takes, against others."""
        return 4.0 + 0.03 * self.hours * 3600.0 / self.packs * (1.0 + self.packs / 60.0)


@dataclass(slots=True)
class Calm:
    """What happened in quiet hours."""

    subject: str
    hours: float
    openings: int = 0
    rows: Counter[str] = field(default_factory=Counter)  # raised, that warn or do more
    opened: Counter[str] = field(default_factory=Counter)  # by what
    looked: int = 0  # at the SOC of a cell, every LOOK_S
    inside: int = 0  # of these: truth within two sigma (I12)
    broken: Counter[str] = field(default_factory=Counter)  # what must hold in every cycle, by strings and cycles


def tasks(subjects: Sequence[str], hours: float, seed: int) -> list[Task]:
    """Share the hours among the subjects by how many packs of each fit into a batch."""
    if hours <= 0.0:
        return []
    packs = {name: _packs(name) for name in subjects}
    whole = sum(packs.values())
    return [Task(name, hours * packs[name] / whole, seed, packs[name]) for name in subjects]


def _packs(name: str) -> int:
    return min(PACKS, MOST_CELLS // int(worlds.subject(name).config.series[0]))


def spend(task: Task) -> Calm:
    """Let packs work for so many pack-hours; count what opens and what warns."""
    site = worlds.subject(task.subject)
    many = worlds.repeated(site, task.packs)
    made = worlds.world(
        many, site.file.simulation or SimulationFile(), task.seed, dt_s=COARSE_S, tolerance=True,
        losses=(LOSS_EVERY_S, LOSS_LONGEST_S),
    )  # fmt: skip
    worlds.close_all(made)
    calm, began_s = Calm(task.subject, 0.0), made.plant.time_s
    table = made.config.faults
    level = dict(zip(table.name, table.level.tolist(), strict=True))
    geared, held = made.config.switch.kind != Switchgear.NONE, _held(made)
    always, look_s = Always(made), began_s
    while (made.plant.time_s - began_s) * task.packs < task.hours * 3600.0:
        before, _, inputs, command, events = made.cycle(_step_s(made))
        for rule, bad in always.watch(made, before, inputs, command, events):
            calm.broken[rule] += int(bad.sum())
        for event in events:
            if event.kind == "fault" and level[event.name] >= Level.WARN:
                calm.rows[event.name] += 1
        if made.plant.time_s >= look_s:
            look_s += LOOK_S
            off = np.abs(made.state.estimate.soc - made.plant.truth.soc)
            known = np.isfinite(off)
            calm.looked += int(known.sum())
            calm.inside += int((off[known] <= 2.0 * made.state.estimate.soc_sigma[known]).sum())
        now = _held(made)
        lost = np.flatnonzero(geared & held & ~now)
        calm.openings += lost.size
        for string in lost.tolist():
            calm.opened[f"opened: {_why(made, string)}"] += 1
        held = now
    calm.broken = +calm.broken
    calm.hours = (made.plant.time_s - began_s) * task.packs / 3600.0
    return calm


def _step_s(made: worlds.World) -> float:
    """Return the next step: a cycle around a loss of frames, else up to the next one, at most COARSE_S."""
    losses, now_s = made.plant.sensors.dropouts, made.plant.time_s
    assert losses is not None
    begin_s = losses.begin_s(now_s)
    cycle_s = made.cycle_s
    if begin_s - cycle_s <= now_s <= begin_s + AROUND_S:
        return cycle_s
    left_s = begin_s - cycle_s - now_s if now_s < begin_s else COARSE_S
    return float(np.clip(np.floor(left_s / cycle_s) * cycle_s, cycle_s, max(COARSE_S, cycle_s)))


def _held(made: worlds.World) -> np.ndarray:
    """Return which strings are closed; a try of precharge that is given up is no opening."""
    orders = made.orders
    return orders.plus | orders.charge_switch | orders.discharge_switch


def _why(made: worlds.World, string: int) -> str:
    """Return what a string was opened for."""
    table, active = made.config.faults, made.state.faults.active[:, string]
    names = [table.name[k] for k in np.flatnonzero(active & (table.level >= Level.RAMP)).tolist()]
    trips = [rule for guard in made.guards.guards[string : string + 1] for rule, _ in guard.trips]
    return ", ".join(names or trips or ["no row"])
