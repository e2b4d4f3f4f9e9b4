"""Slow faults: packs at their site's own work for hours and days, in long steps, one part of each pack ill.

Sites work as their load does, and estimates and slow rows must see what is ill: any of the rows named, whichever says
so first, because a weak cell shows as a spread on one site and as a capacity on another. Two packs are sound: whatever
they raise is a miss. Times count from the onset, an hour after everything had closed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cellarer.config.schema import SimulationFile
from cellarer.model.config import Switchgear
from cellarer.model.values import FOREVER, Ints, Level
from cellarer.runtime import campaign_world as worlds
from cellarer.runtime.campaign_judge import Always
from cellarer.runtime.campaign_shots import OTHERWISE, UNDETECTED, Shot

LEAD_S = 3600.0
SOUND = 2  # packs without a fault
SLOW = 41  # purpose of random numbers
H = 3600.0


class Case(NamedTuple):
    """One slow fault, the rows that may tell of it, and within which time one of them must."""

    fault: str
    size: float
    rows: tuple[str, ...]
    budget_s: float
    hides: str = ""  # why no row may tell of it at a site where none does


FLAT = "a flat curve leaves less of it in the signals than they may be off by: docs/why/detectability.md"
# Times: internal short of 10 ohm within 24 h (wanted for class C7); the others are those of the rows
CELLS = (
    Case("internal_short", 10.0, ("cell_internal_short", "cell_self_discharge", "voltage_spread"), 24 * H, FLAT),
    Case("internal_short", 1.0, ("cell_internal_short", "cell_self_discharge", "voltage_spread", "hot_spot",
                                 "temperature_spread"), 24 * H),
    Case("self_discharge", 300.0, ("cell_internal_short", "cell_self_discharge", "voltage_spread", "hot_spot",
                                   "temperature_spread"), 24 * H),
    Case("loose_joint", 8.0, ("string_joints", "joint_resistance", "sum_mismatch"), 24 * H),
    Case("resistance_grown", 2.2, ("joint_resistance",), 24 * H),
    Case("weak_cell", 0.75, ("cell_weak", "voltage_spread", "joint_resistance"), 24 * H, FLAT),
    Case("current_offset", 0.02, ("current_sensor_drift",), 24 * H, FLAT),
)  # fmt: skip
HEAT = (Case("heater_stuck", 1.0, ("heater_runs_unasked",), 300.0),)


class Course(NamedTuple):
    """How a subject shows slow faults."""

    cases: tuple[Case, ...]
    step_s: float
    hours: float


SUBJECTS = {  # a flat curve of voltage, one with a slope, and one with a heater in its coolant
    "home": Course(CELLS, 30.0, 40.0), "home:nissan_leaf_2013": Course(CELLS, 30.0, 40.0),
    "ev": Course(HEAT, 10.0, 1.0),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Task:
    """All slow faults of one subject."""

    subject: str
    seed: int

    @property
    def weight(self) -> float:
        """About how long it takes, against others."""
        course = SUBJECTS[self.subject]
        return 0.02 * course.hours * H / course.step_s


def tasks(subjects: Sequence[str], seed: int) -> list[Task]:
    """Return one task for each subject that shows slow faults."""
    return [Task(name, seed) for name in subjects if name in SUBJECTS]


def shoot(task: Task) -> list[Shot]:
    """Let packs work, and say of each what came of its fault."""
    site, course = worlds.subject(task.subject), SUBJECTS[task.subject]
    many = worlds.repeated(site, len(course.cases) + SOUND)
    made = worlds.world(many, site.file.simulation or SimulationFile(), task.seed, dt_s=course.step_s)
    worlds.close_all(made)
    start_ns = made.plant.time_ns + round(LEAD_S * 1e9)
    for k, case in enumerate(course.cases):
        draw = np.random.default_rng((task.seed, *task.subject.encode(), k, SLOW))
        cell = int(draw.integers(int(many.config.series[k])))
        made.plant.inject(case.fault, k, cell, case.size, start_ns * 1e-9)
    active_ns, off_ns, broken = _watched(made, course)
    nan = float("nan")
    return _judged(task, made, start_ns, active_ns, off_ns) + [
        Shot(task.subject, "any", "days", f"pack {k + 1}", "", "none", nan, nan, nan, nan, "", True, f"unsafe: {rule}")
        for rule, k in sorted(broken)
    ]


def _watched(made: worlds.World, course: Course) -> tuple[Ints, Ints, set[tuple[str, int]]]:
    """Let time pass; return first times: rows raised (row, string), contacts open (string,); and rules broken where."""
    active_ns = np.full(made.state.faults.active.shape, FOREVER)
    off_ns = np.full(made.config.layout.yes.size, FOREVER)
    geared = made.config.switch.kind != Switchgear.NONE
    always, broken = Always(made), set[tuple[str, int]]()
    for _ in range(round((LEAD_S + course.hours * H) / course.step_s)):
        before, _, inputs, command, events = made.cycle(course.step_s)
        for rule, bad in always.watch(made, before, inputs, command, events):
            broken |= {(rule, int(string)) for string in np.flatnonzero(bad)}
        orders, now_ns = made.orders, made.state.time_ns
        active_ns = np.where(made.state.faults.active & (active_ns == FOREVER), now_ns, active_ns)
        off = geared & ~(orders.plus | orders.charge_switch | orders.discharge_switch)
        off_ns = np.where(off & (off_ns == FOREVER), now_ns, off_ns)
    return active_ns, off_ns, broken


def _judged(task: Task, made: worlds.World, start_ns: int, active_ns: Ints, off_ns: Ints) -> list[Shot]:
    table, nan, cases = made.config.faults, float("nan"), SUBJECTS[task.subject].cases
    warns, shots = table.level >= Level.WARN, list[Shot]()
    for k, case in enumerate(cases):
        mine = [table.name.index(name) for name in case.rows if table.enabled[table.name.index(name), k]]
        if not mine:
            continue
        row = min(mine, key=lambda r: (int(active_ns[r, k]), r))
        seen_ns = int(active_ns[row, k])
        after_s = max((seen_ns - start_ns) * 1e-9, 0.0) if seen_ns < FOREVER else nan
        cause = "late" if after_s > case.budget_s else ""
        if seen_ns == FOREVER:
            unseen = f"{UNDETECTED}: {case.hides}" if case.hides else UNDETECTED
            cause = OTHERWISE if int(off_ns[k]) < FOREVER else unseen
        level = Level(int(table.level[row])).name.lower()
        shots.append(Shot(task.subject, case.fault, "days", f"{case.size:g}", table.name[row], level, case.budget_s,
                          nan, after_s, after_s, "control", True, cause))  # fmt: skip
    for k in range(len(cases), len(cases) + SOUND):
        raised = np.flatnonzero((active_ns[:, k] < FOREVER) & warns)
        said = f"raised {table.name[int(raised[0])]}, where nothing was right" if raised.size else ""
        shots.append(Shot(task.subject, "nothing", "days", "sound", "", "none", nan, nan, nan, nan, "", True, said))
    return shots
