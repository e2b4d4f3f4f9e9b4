#!/usr/bin/env python3
"""How long after the onset of a fault its path is open, in virtual time: one line per fault of the simulated world.

    .venv/bin/python benchmarks/reaction.py [--site home ev …] [--fault NAME …] [--json]

Control and plant alone, without wires and guard, at the cycle of the site. `row` is the first row that ramps or opens,
`row_s` when it was raised, `open_s` when in truth every path that it blocks was open, `budget_s` what the row may take.
Faults that no row of ramp or open level sees within the watched time (drifts, warnings) are not listed.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.closed_loop.world import World

from cellarer.model.values import Level
from cellarer.sim.catalogue import BY_NAME

SITES = ("home", "ev", "ebike", "laptop")
WATCHED_S = 8.0
LEFT_OUT = {"thermal_runaway", "runaway_precursor", "hot_spot"}  # their onset is a slow heating, not a moment


def react(site: str, fault: str) -> dict[str, object] | None:
    """Return the reaction to one fault, or None where nothing ramps or opens."""
    world = World(site).closed()
    world.run(2.0)
    onset_ns = world.now_ns
    before = len(world.events)
    world.plant.inject(fault, 0, 2, start_s=onset_ns * 1e-9)
    table = world.config.faults
    heavy = {n for n, level in zip(table.name, table.level, strict=True) if level >= Level.RAMP}

    def first() -> tuple[str, int] | None:
        found = [(e.name, e.time_ns) for e in world.events[before:] if e.kind == "fault" and e.name in heavy]
        return found[0] if found else None

    def done(w: World) -> bool:
        row = first()
        if row is None:
            return False
        at, truth = table.name.index(row[0]), w.plant.truth
        return not (table.charge[at] and truth.charge_path[0]) and not (table.discharge[at] and truth.discharge_path[0])

    world.run(WATCHED_S, done)
    row = first()
    if row is None:
        return None
    seconds = (world.now_ns - onset_ns) * 1e-9 if done(world) else float("nan")
    budget = float(table.budget_ns[table.name.index(row[0])]) * 1e-9
    return {
        "site": site, "fault": fault, "row": row[0], "row_s": round((row[1] - onset_ns) * 1e-9, 3),
        "open_s": None if np.isnan(seconds) else round(seconds, 3), "budget_s": budget, "ok": bool(seconds <= budget),
    }  # fmt: skip


def line(r: dict[str, object]) -> str:
    """Return one line of the table."""
    opened = "   never" if r["open_s"] is None else f"{r['open_s']:6.2f} s"
    text = f"{r['site']:8} {r['fault']:26} {r['row']:34} raised {r['row_s']:6.2f} s  open {opened}"
    return f"{text}  budget {r['budget_s']:5.2f} s{'' if r['ok'] else '  LATE'}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", nargs="+", default=SITES)
    parser.add_argument("--fault", nargs="+", default=[n for n, f in BY_NAME.items() if f.by == "world"])
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    results = []
    for site in wanted.site:
        for fault in wanted.fault:
            if fault in LEFT_OUT or (reaction := react(site, fault)) is None:
                continue
            results.append(reaction)
            if not wanted.json:
                print(line(reaction))
    if wanted.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
