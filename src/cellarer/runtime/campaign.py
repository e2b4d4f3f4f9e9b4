"""A campaign: does the BMS see every fault that it must see, react as it must, in time? Real `step()`, virtual time.

Many packs of one site in one `step()`, each with its own fault at a random phase, forked from settled states; then
random pairs, in which nothing unsafe may happen; then hours without any fault, in which nothing may open. At sample
level: faults of wires and of the computer are not here. Same seed, same hash. What was missed is listed with its cause.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from cellarer import config as configs
from cellarer.config.schema import SimulationFile
from cellarer.model.config import Config, Switchgear
from cellarer.model.values import FOREVER, Level, Phase
from cellarer.runtime import campaign_world as worlds
from cellarer.runtime.campaign_cases import BY, CASES, MODES, STANDBY, UNSEEN, Case
from cellarer.runtime.campaign_judge import Record
from cellarer.sim.catalogue import FAULTS

SITES = ("home", "ev")
TICK_S = 0.005  # phases of injections: a quarter of the cycle
LEAD_S = 0.1
LONG_S = 12.0  # packs that are watched this long or longer run apart
ASK_S = 0.3  # after the start of the fault
PAIR_S = 6.0
QUIET_DT_S = 0.5
QUIET_PACKS = 32
Progress = Callable[[float], None]
Key = tuple[int, ...]  # seeds the draws of a batch; each pack draws on its own, so that a batch equals packs alone


@dataclass(frozen=True, slots=True)
class Shot:
    """One injection and what came of it; times in s after the onset, NaN = never."""

    site: str
    fault: str
    mode: str
    shape: str
    row: str
    level: str
    budget_s: float
    detected_s: float
    reaction_s: float
    cause: str  # why it counts as missed; "" = it does not

    @property
    def in_budget(self) -> bool:
        return self.reaction_s <= self.budget_s


@dataclass(slots=True)
class Outcome:
    """Everything that a campaign found."""

    seed: int
    runs: int = 0
    shots: list[Shot] = field(default_factory=list)
    pairs: int = 0
    unsafe: list[dict[str, object]] = field(default_factory=list)
    hours: float = 0.0
    openings: int = 0
    warnings: int = 0
    quiet_rows: Counter[str] = field(default_factory=Counter)
    unseen: dict[str, dict[str, str]] = field(default_factory=dict)  # site → fault → why
    hash: str = ""


@dataclass(slots=True)
class Aim:
    """One pack of a batch: its cases (two in a pair), where, when and how."""

    cases: tuple[Case, ...]
    shape: str
    row: int


def campaign(
    sites: Sequence[str] = SITES, seeds: int = 10, seed: int = 1, quiet_hours: float = 64.0,
    progress: Progress = lambda fraction: None, modes: Sequence[str] = MODES,
) -> Outcome:  # fmt: skip
    """Run everything: `seeds` runs of all single faults and as many pairs, and quiet hours, on every site."""
    out = Outcome(seed, seeds)
    for number, name in enumerate(sites):
        site = configs.load(name)
        plans = {mode: singles(site.config, mode) for mode in modes}
        count = max(map(len, plans.values()))
        many = worlds.repeated(site, count)
        out.unseen[name] = unseen(site.config)
        settled = {mode: worlds.settled(many, mode, seed) for mode in modes}
        for run in range(seeds):
            for k, mode in enumerate(modes):
                key = seed, number, run, k
                out.shots += shoot(settled[mode].fork(), plans[mode], name, mode, (*key, 0))
                pair(settled[mode].fork(), plans[mode], count, name, mode, (*key, 1), out)
                progress((number + (run + (k + 1) / len(modes)) / (seeds + 1)) / len(sites))
        quiet(site, quiet_hours / len(sites), seed, out)
    out.hash = hashlib.sha256(json.dumps(figures(out), sort_keys=True).encode() + repr(out.shots).encode()).hexdigest()
    progress(1.0)
    return out


def singles(config: Config, mode: str) -> list[Aim]:
    """Return what a site can see in a mode: one entry per case and shape whose expected row is on."""
    table = config.faults
    found = []
    for case in CASES:
        row = next((table.name.index(r) for r in case.rows if table.enabled[table.name.index(r)].all()), -1)
        if mode in case.modes and row >= 0 and _can(config, case):
            found += [Aim((case,), shape, row) for shape in case.shapes]
    return found


def _can(config: Config, case: Case) -> bool:
    """Return whether what the fault falsifies is measured at all, or is there to be switched."""
    where, present = config.layout.where, config.sensing.present
    if case.gear and Switchgear(int(config.switch.kind[0])).name.lower() not in case.gear.split():
        return False
    effects = next(f for f in FAULTS if f.name == case.fault).effects
    named = [e.signal for e in effects if e.signal in where]
    return not named or any(present[where[name]].any() for name in named) or len(effects) > len(named)


def unseen(config: Config) -> dict[str, str]:
    """Return the faults of the catalogue that are not injected on this site, and why."""
    seen = {plan.cases[0].fault for mode in MODES for plan in singles(config, mode)}
    known = {case.fault for case in CASES}
    return {
        f.name: "this site measures nothing that shows it" if f.name in known else UNSEEN.get(f.name) or BY[f.by]
        for f in FAULTS
        if f.name not in seen
    }


def shoot(made: worlds.World, plans: list[Aim], site: str, mode: str, key: Key) -> list[Shot]:
    """Inject one fault per pack and judge each."""
    starts = _starts(made, key)
    record = _inject(made, plans, starts, key)
    asked = {
        name: np.array([
            starts[k] + round(ASK_S * 1e9) if k < len(plans) and plans[k].cases[0].ask == name else FOREVER
            for k in range(starts.size)
        ])
        for name in ("open", "close")
    }  # fmt: skip
    opening_s = configs.load(site).file.pack[0].switchgear.opening_ms * 1e-3
    worlds.play(made, max(p.cases[0].watch_s for p in plans) + 0.2, worlds.CYCLE_S, asked, record.watch)
    return [_judge(made.config, record, plan, k, site, mode, opening_s) for k, plan in enumerate(plans)]


def _starts(made: worlds.World, key: Key) -> np.ndarray:
    ticks = [np.random.default_rng([*key, k]).integers(0, 20) for k in range(made.config.layout.size["pack"])]
    return made.plant.time_ns + round(LEAD_S * 1e9) + np.array(ticks) * round(TICK_S * 1e9)


def _inject(made: worlds.World, plans: list[Aim], starts: np.ndarray, key: Key) -> Record:
    config = made.config
    row = np.full(config.layout.size["string"], -1)
    begin = np.full(config.layout.size["string"], FOREVER)
    for pack, plan in enumerate(plans):
        string = int(config.layout.first_string[pack])
        row[string], begin[string] = plan.row, starts[pack]
        draw = np.random.default_rng([*key, pack, 1])
        for case in plan.cases:
            cell = int(draw.integers(config.series[string]))
            made.plant.inject(case.fault, string, cell, _size(made, case, string), starts[pack] * 1e-9, plan.shape)
    return Record(made.plant, made.state, begin, row)


def _size(made: worlds.World, case: Case, string: int) -> float | None:
    table = made.config.faults
    row = table.name.index(case.rows[0])
    at = float(table.sign[row] * table.trip[row, string])
    if case.over is not None:
        return case.over * abs(at) / float(made.plant.fixed.nominal_A[string])
    return case.size if case.beyond is None else at + float(table.sign[row]) * case.beyond


def _judge(config: Config, record: Record, plan: Aim, pack: int, site: str, mode: str, opening_s: float) -> Shot:
    """Return what came of one injection."""
    case, table, string = plan.cases[0], config.faults, int(config.layout.first_string[pack])
    row, onset_by = plan.row, case.onset
    if case.fuse and record.plant.fuse.blown[string]:  # the current is gone; what is left to see is the open string
        row, onset_by = table.name.index(case.fuse), "start"
    level, first = Level(int(table.level[row])), {name: int(at[string]) for name, at in record.first.items()}
    onset = {"start": int(record.start_ns[string]), "truth": first["crossed"], "open": first["none"],
             "minus": first["minus"], "plus": first["plus"]}[onset_by]  # fmt: skip
    counts = np.array([n in (*case.rows, table.name[row]) for n in table.name]) | (table.level >= level)
    detected = int(record.active_ns[counts, string].min())
    if onset == FOREVER and detected < FOREVER:  # something else answered before the threshold was reached
        onset = int(record.start_ns[string])
    reaction = detected
    if case.limit:
        level, detected = Level.DERATE, first[f"no {case.limit}"]
        reaction = detected
    if level >= Level.RAMP and detected < FOREVER:
        gear = config.switch.kind[string] != 0
        reaction = max(detected, first["off"] if gear else first["zero"])
        if case.ask != "" or mode == STANDBY:
            reaction = detected if record.off[string] else FOREVER
    cause = ""
    budget_s = round(float(table.budget_ns[row]) * 1e-9, 6)
    late_s = (reaction - onset) * 1e-9 + (opening_s if level >= Level.RAMP and mode != STANDBY else 0.0)
    if onset == FOREVER:
        cause = "the world never crossed the threshold" if detected == FOREVER else ""
    if not cause and detected == FOREVER:
        cause = "not detected"
    elif not cause and reaction == FOREVER:
        cause = "detected, but not opened"
    elif not cause and onset < FOREVER and late_s > budget_s:
        cause = "late"
    known = onset < FOREVER
    return Shot(
        site, case.fault, mode, plan.shape, table.name[row], level.name.lower(), budget_s,
        max((detected - onset) * 1e-9, 0.0) if known and detected < FOREVER else float("nan"),
        max(late_s, 0.0) if known and reaction < FOREVER else (0.0 if reaction < FOREVER else float("nan")), cause,
    )  # fmt: skip


def pair(made: worlds.World, plans: list[Aim], count: int, site: str, mode: str, key: Key, out: Outcome) -> None:
    """Inject two random faults per pack; count the packs in which a rule was broken."""
    chosen, draw = [], np.random.default_rng([*key, 0, 2])
    for _ in range(count):
        a, b = draw.choice(len(plans), 2, replace=False)
        chosen.append(
            Aim((plans[a].cases[0], plans[b].cases[0]), str(draw.choice(["step", "intermittent"])), plans[a].row)
        )
    record = _inject(made, chosen, _starts(made, key), key)
    worlds.play(made, PAIR_S, worlds.CYCLE_S, {}, record.watch)
    out.pairs += count
    for k, plan in enumerate(chosen):
        string = int(made.config.layout.first_string[k])
        if record.broken[string]:
            names = [case.fault for case in plan.cases]
            out.unsafe.append({"site": site, "mode": mode, "faults": names, "shape": plan.shape,
                               "rules": dict(record.broken[string])})  # fmt: skip


def quiet(site: configs.Site, hours: float, seed: int, out: Outcome) -> None:
    """Let packs work as their site does, without any fault; count what opens and what warns."""
    packs = QUIET_PACKS
    made = worlds.world(worlds.repeated(site, packs), site.file.simulation or SimulationFile(), seed)
    worlds.close_all(made)
    table = made.config.faults
    level = dict(zip(table.name, table.level.tolist(), strict=True))
    for _ in range(round(hours * 3600.0 / packs / QUIET_DT_S)):
        events = made.cycle(QUIET_DT_S)[4]
        for event in events:
            if event.kind == "fault" and level[event.name] >= Level.WARN:
                out.warnings += 1
                out.quiet_rows[f"{site.file.name}: {event.name}"] += 1
            if event.kind == "switch" and event.name.endswith(f"→ {Phase.OPENING.name.lower()}"):
                out.openings += 1
    out.hours += hours


def figures(out: Outcome) -> dict[str, object]:
    """Return what `--json` prints."""
    good = [s for s in out.shots if not s.cause]
    return {
        "single": {
            "injected": len(out.shots),
            "detected": sum(
                s.cause not in ("not detected", "the world never crossed the threshold") for s in out.shots
            ),
            "right_reaction": sum(s.cause in ("", "late") for s in out.shots),
            "in_budget": len(good),
        },
        "pairs": {"injected": out.pairs, "unsafe": len(out.unsafe)},
        "quiet": {"hours": out.hours, "openings": out.openings, "warnings": out.warnings},
        "seed": out.seed,
        "hash": out.hash,
        "missed": missed(out),
    }


def missed(out: Outcome) -> list[dict[str, object]]:
    """Return what was missed, alike ones together, and the pairs in which something was unsafe."""
    groups: dict[tuple[str, ...], list[Shot]] = {}
    for shot in out.shots:
        if shot.cause:
            groups.setdefault((shot.site, shot.fault, shot.mode, shot.shape, shot.row, shot.cause), []).append(shot)
    names = ("site", "fault", "mode", "shape", "row", "cause")
    lines: list[dict[str, object]] = []
    for key, shots in groups.items():
        known = [round(s.reaction_s, 3) for s in shots if s.reaction_s == s.reaction_s]
        lines.append(dict(zip(names, key, strict=True)) | {
            "times": len(shots), "worst_s": max(known, default=None), "budget_s": shots[0].budget_s})  # fmt: skip
    return lines + [{"cause": "unsafe pair", **u} for u in out.unsafe]
