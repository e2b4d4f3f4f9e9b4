"""A campaign: does the BMS see every fault that it must see, react as it must, in time? Real parts, virtual time.

Many packs of one site in one `step()`, each with its own guard and its own fault at a random phase, forked from settled
states; then random pairs, in which nothing unsafe may happen; faults of the wires singly, through the codecs; faults
that take hours; hours without any fault, in which nothing may open. Same seed, same hash, on any number of processes.
"""

import gc
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import get_context

import numpy as np

from cellarer.config import Site
from cellarer.runtime import campaign_array as arrays
from cellarer.runtime import campaign_quiet as quiet
from cellarer.runtime import campaign_slow as slow
from cellarer.runtime import campaign_wires as wires
from cellarer.runtime import campaign_world as worlds
from cellarer.runtime.campaign_array import Row
from cellarer.runtime.campaign_cases import CASES, MODES
from cellarer.runtime.campaign_shots import (
    BELOW,
    OTHERWISE,
    PAIR_S,
    UNDETECTED,
    Aim,
    Shot,
    Volley,
    expected,
    unseen,
    watch_s,
)

SUBJECTS = (
    "home", "ev", "ebike", "laptop", "supervised", "home:lto_23ah", "home:nissan_leaf_2013", "ebike:naion_hakadi_18650",
    "laptop:a123_26650", "home+all",
)  # fmt: skip
MOST_PACKS, MOST_CELLS = 192, 6000  # of one batch
INSIDE = 0.9  # of looks at SOC, the true one must be within two sigma: wanted for every chemistry
GARBAGE = 100_000  # objects between two collections: thousands of guards are none
SHORT_S = 7.0  # what is watched longer runs apart
SINGLE, PAIR, PICK = 1, 2, 3  # purposes of random numbers
Progress = Callable[[float], None]


@dataclass(slots=True)
class Outcome:
    """Everything that a campaign found."""

    seed: int
    runs: int = 0
    asked_hours: float = 0.0
    shots: list[Shot] = field(default_factory=list)
    slow: list[Shot] = field(default_factory=list)
    pairs: int = 0
    unsafe: list[dict[str, object]] = field(default_factory=list)
    calm: list[quiet.Calm] = field(default_factory=list)
    unseen: dict[str, dict[str, str]] = field(default_factory=dict)  # subject → fault → why
    coverage: arrays.Coverage | None = None
    hash: str = ""

    @property
    def hours(self) -> float:
        """Pack-hours without a fault."""
        return sum(c.hours for c in self.calm)

    @property
    def openings(self) -> int:
        """How often something opened in them."""
        return sum(c.openings for c in self.calm)

    @property
    def warnings(self) -> int:
        """How many rows were raised in them that warn or do more."""
        return sum(sum(c.rows.values()) for c in self.calm)

    @property
    def inside(self) -> float:
        """In which share of all looks at a cell its true SOC was within two sigma of the estimate; NaN = none."""
        looked = sum(c.looked for c in self.calm)
        return sum(c.inside for c in self.calm) / looked if looked else float("nan")


@dataclass(frozen=True, slots=True)
class Task:
    """Part of a campaign that one process does: packs of one subject in one state."""

    subject: str
    mode: str
    seed: int
    rows: tuple[tuple[int, Row], ...]  # run, injection

    @property
    def weight(self) -> float:
        """About how long it takes, against others."""
        site = site_of(self.subject)
        return 25.0 + 0.02 * len(self.rows) * int(site.config.series[0])


@lru_cache(maxsize=32)
def site_of(subject: str) -> Site:
    """Return the site of a subject, with one pack."""
    return worlds.repeated(worlds.subject(subject), 1)


def campaign(
    subjects: Sequence[str] = SUBJECTS, seeds: int = 4, seed: int = 1, quiet_hours: float = 1000.0,
    progress: Progress = lambda fraction: None, modes: Sequence[str] = MODES, jobs: int = 1,
) -> Outcome:  # fmt: skip
    """Run everything: `seeds` covering arrays of single faults, as many pairs, faults of wires, quiet hours."""
    out, tasks = plan(subjects, seeds, seed, quiet_hours, modes)
    return gather(out, _results(tasks, jobs, progress))


def plan(
    subjects: Sequence[str], seeds: int, seed: int, quiet_hours: float, modes: Sequence[str] = MODES
) -> tuple[Outcome, list[object]]:  # fmt: skip
    """Return an outcome without results, and the tasks that give them."""
    out, valid = Outcome(seed, seeds, quiet_hours), possible(subjects, modes)
    pairs = arrays.tuples(valid, 2)
    chosen = [(run, k) for run in range(seeds) for k in arrays.array(valid, _draw(seed, run, PICK), pairs)]
    out.coverage = arrays.coverage(valid, (k for _, k in chosen))
    out.unseen = {name: unseen(site_of(name).config) for name in subjects}
    grouped = arrays.by_task((run, valid[k]) for run, k in chosen)
    tasks: list[object] = [Task(subject, mode, seed, tuple(rows)) for (subject, mode), rows in grouped.items()]
    tasks += wires.tasks(subjects, seed) if set(modes) == set(MODES) else []
    tasks += slow.tasks(subjects, seed) if set(modes) == set(MODES) else []
    tasks += quiet.tasks(subjects, quiet_hours, seed)
    return out, tasks


def gather(out: Outcome, parts: Iterable["Part"]) -> Outcome:
    """Fill an outcome with what its tasks found, in their order."""
    for part in parts:
        out.shots += part.shots
        out.slow += part.slow
        out.pairs += part.pairs
        out.unsafe += part.unsafe
        out.calm += part.calm
    shots = repr((out.shots, out.slow)).encode()
    out.hash = hashlib.sha256(json.dumps(figures(out), sort_keys=True).encode() + shots).hexdigest()
    return out


def _results(tasks: Sequence[object], jobs: int, progress: Progress) -> Iterable["Part"]:
    """Do all tasks, the heaviest first; yield the results in the order of the tasks."""
    weights = [float(task.weight) for task in tasks]  # type: ignore[attr-defined]
    done, parts = 0.0, dict[int, Part]()
    order = sorted(range(len(tasks)), key=lambda k: -weights[k])
    if jobs <= 1:
        found = ((k, do(tasks[k])) for k in order)
        for k, part in found:
            parts[k], done = part, done + weights[k]
            progress(done / sum(weights))
    else:
        with ProcessPoolExecutor(jobs, get_context("spawn"), gc.set_threshold, (GARBAGE,)) as pool:
            for k, part in zip(order, pool.map(do, [tasks[k] for k in order]), strict=True):
                parts[k], done = part, done + weights[k]
                progress(done / sum(weights))
    return [parts[k] for k in range(len(tasks))]


@dataclass(slots=True)
class Part:
    """What one task found."""

    shots: list[Shot] = field(default_factory=list)
    slow: list[Shot] = field(default_factory=list)
    pairs: int = 0
    unsafe: list[dict[str, object]] = field(default_factory=list)
    calm: list[quiet.Calm] = field(default_factory=list)


def do(task: object) -> Part:
    """Do one task."""
    if isinstance(task, quiet.Task):
        return Part(calm=[quiet.spend(task)])
    if isinstance(task, wires.Task):
        return Part(shots=wires.shoot(task))
    if isinstance(task, slow.Task):
        return Part(slow=slow.shoot(task))
    assert isinstance(task, Task)
    return _shoot(task)


def _draw(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)


def possible(subjects: Sequence[str], modes: Sequence[str] = MODES) -> list[Row]:
    """Return every injection that can be made: the row it must raise is on, the part it breaks is there."""
    return [
        Row(subject, mode, number, shape)
        for subject in subjects
        for mode in modes
        for number, case in enumerate(CASES)
        if expected(site_of(subject).config, case, mode) is not None
        for shape in case.shapes
    ]


def _shoot(task: Task) -> Part:
    """Make the single injections of a task, and as many pairs."""
    site, part = site_of(task.subject), Part()
    single = [_aim(task, run, row) for run, row in task.rows]
    pairs = [_pair(task, k) for k in range(len(task.rows))]
    groups: dict[tuple[str, float], list[Aim]] = {}
    for aim in single:
        dt_s = aim.cases[0].dt_s
        long = dt_s > 0.0 or watch_s(site, aim) > SHORT_S
        groups.setdefault(("long" if long else "short", dt_s), []).append(aim)
    groups.setdefault(("long", 0.0), []).extend(pairs)
    most = min(MOST_PACKS, MOST_CELLS // int(site.config.series[0]))
    count = min(most, max(map(len, groups.values())))
    settled = worlds.settled(worlds.repeated(site, count), task.mode, task.seed)
    for (_, dt_s), aims in groups.items():
        for first in range(0, len(aims), most):
            volley = Volley(site, settled.fork(), aims[first : first + most], dt_s)
            volley.play(max([PAIR_S, *(watch_s(site, aim) for aim in volley.aims if len(aim.cases) == 1)]))
            part.shots += volley.shots(task.subject, task.mode)
            part.pairs += sum(len(aim.cases) > 1 for aim in volley.aims)
            part.unsafe += _unsafe(task, volley)
    return part


def _aim(task: Task, run: int, row: Row) -> Aim:
    case = CASES[row.case]
    found = expected(site_of(task.subject).config, case, row.mode)
    assert found is not None
    key = (task.seed, run, row.case, case.shapes.index(row.shape), MODES.index(row.mode), SINGLE)
    return Aim((case,), row.shape, found, key)


def _pair(task: Task, number: int) -> Aim:
    """Draw two faults that this subject can have in this state."""
    config = site_of(task.subject).config
    cases = [case for case in CASES if not case.dt_s and expected(config, case, task.mode) is not None]
    key = (task.seed, *task.subject.encode(), MODES.index(task.mode), number, PAIR)
    draw = _draw(*key, PICK)
    a, b = draw.choice(len(cases), 2, replace=False)
    row = expected(config, cases[a], task.mode)
    assert row is not None
    return Aim((cases[a], cases[b]), str(draw.choice(["step", "ramp", "intermittent"])), row, key)


def _unsafe(task: Task, volley: Volley) -> list[dict[str, object]]:
    """Return the packs in which a rule was broken."""
    return [
        {
            "site": task.subject, "mode": task.mode, "faults": [case.fault for case in aim.cases],
            "shape": aim.shape, "rules": broken,
        }
        for k, aim in enumerate(volley.aims)
        if (broken := volley.broken(k))
    ]  # fmt: skip


def figures(out: Outcome) -> dict[str, object]:
    """Return what `--json` prints."""
    return {
        "single": _counted(out.shots),
        "slow": _counted([shot for shot in out.slow if shot.row]),
        "pairs": {"injected": out.pairs, "unsafe": len([u for u in out.unsafe if len(_faults(u)) > 1])},
        "quiet": {
            "hours": round(out.hours, 3),
            "openings": out.openings,
            "warnings": out.warnings,
            "inside_pct": round(100.0 * out.inside, 2) if out.inside == out.inside else None,
        },
        "seed": out.seed,
        "hash": out.hash,
        "missed": missed(out),
    }


def _counted(shots: Sequence[Shot]) -> dict[str, int]:
    return {
        "injected": len(shots),
        "detected": sum(not s.cause.startswith((BELOW, UNDETECTED, OTHERWISE)) for s in shots),
        "right_reaction": sum(s.cause in ("", "late") for s in shots),
        "in_budget": sum(not s.cause for s in shots),
    }


def _faults(unsafe: dict[str, object]) -> list[str]:
    faults = unsafe["faults"]
    assert isinstance(faults, list)
    return faults


def missed(out: Outcome) -> list[dict[str, object]]:
    """Return what was missed, alike ones together; every run in which something was unsafe; what broke the quiet."""
    groups: dict[tuple[str, ...], list[Shot]] = {}
    for shot in (*out.shots, *out.slow):
        if shot.cause:
            groups.setdefault((shot.subject, shot.fault, shot.mode, shot.shape, shot.row, shot.cause), []).append(shot)
    names = ("site", "fault", "mode", "shape", "row", "cause")
    lines: list[dict[str, object]] = []
    for key, shots in groups.items():
        known = [round(s.reaction_s, 3) for s in shots if s.reaction_s == s.reaction_s]
        budget_s = shots[0].budget_s
        lines.append(dict(zip(names, key, strict=True)) | {
            "times": len(shots), "worst_s": max(known, default=None),
            "budget_s": budget_s if budget_s == budget_s else None})  # fmt: skip
    lines += [{"cause": "unsafe"} | u for u in out.unsafe]
    noisy = Counter[tuple[str, str]]()
    for calm in out.calm:
        noisy.update(
            {(calm.subject, name): n for name, n in (*calm.rows.items(), *calm.opened.items(), *calm.broken.items())}
        )
        if calm.looked and calm.inside < INSIDE * calm.looked:
            noisy[calm.subject, "I12 true SOC outside of two sigma"] = calm.looked - calm.inside
    return lines + [
        {"cause": "quiet hours", "site": site, "row": name, "times": n} for (site, name), n in sorted(noisy.items())
    ]
