"""Are faults that grow slowly told apart? Simulated packs live through days of a house, by the cycle that runs live.

    python benchmarks/diagnose.py [--packs 8] [--days 5] [--cell NAME] [--parallel N] [--seed 1] [--json]

So many packs per fault, each with its own bus, sun, house and spread (capacity 1 %, resistance 5 %, SOC 2 %), side by
side in one `step()`. Control knows the cell file and what its sensors say, nothing else. The fault is there from the
end of the first day. Prints per fault how many packs got which estimated row, whether the row named the cell that has
it, and after how many hours; per healthy pack what was said wrongly; and of weak cells how often the row came before
one of them met a limit of its cell file.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellarer.config import load
from cellarer.config.load import build
from cellarer.core.asked import no_requests
from cellarer.core.cycle import Inputs, start, step
from cellarer.model.config import Config
from cellarer.model.values import SUSPICIONS, Phase, no_plan
from cellarer.runtime.simulate import close_all
from cellarer.sim.plant import Plant, no_orders, orders_of

CELLS, BAD, BEGINS_S = 16, 5, 86400.0
FINE_S, COARSE_S = 0.02, 30.0  # of a step: while switchgear moves, otherwise
SPREAD = {"capacity_spread_pct": 1.0, "resistance_spread_pct": 5.0, "soc_spread_pct": 2.0}


@dataclass(frozen=True)
class Case:
    """A fault of the catalogue, or none, and the rows that tell it; any other estimated row is wrong."""

    name: str
    fault: str | None
    size: Callable[[float], float]  # of the capacity in Ah
    right: tuple[str, ...]
    own: bool = True  # one cell has it


CASES = (
    Case("healthy", None, float, ()),
    Case("one cell 10 % lower in charge", "cell_low", lambda _: -0.1, ()),
    Case("leak of C/2000", "internal_short", lambda Ah: 3.3 * 2000.0 / Ah, ("cell_self_discharge",)),
    Case(
        "leak of C/300", "internal_short", lambda Ah: 3.3 * 300.0 / Ah, ("cell_self_discharge", "cell_internal_short")
    ),
    Case("joint of its cell's resistance", "loose_joint", lambda _: 1.0, ("joint_resistance",)),
    Case("resistance x 2", "resistance_grown", lambda _: 2.0, ("joint_resistance",)),
    Case("capacity - 20 %", "weak_cell", lambda _: 0.8, ("cell_weak",)),
    Case("one of the parallel cells lost", "member_open", lambda _: 1.0, ("parallel_cell_lost", "cell_weak")),
    Case("current sensor off by C/100", "current_offset", float, ("current_sensor_drift",), own=False),
)


def world(
    cases: Sequence[Case], packs: int, cell: str, parallel: int, seed: int, begins_s: float = BEGINS_S
) -> tuple[Config, Plant]:
    """Return the site and its plant: `packs` packs of every case, the fault of each from begins_s on."""
    base = load("home").file
    assert base.simulation is not None
    pack = base.pack[0].model_dump(exclude_none=True) | {"cell": cell, "series": CELLS, "parallel": parallel}
    pack.pop("limits", None)  # of another cell: those of the cell file hold
    signals = ["cell_voltage", "temp_degC", "current", "string_voltage", "link_voltage"]
    signals += [f"feedback_{name}" for name in ("minus", "precharge", "plus")]
    many = [pack | {"name": f"p{k + 1}", "bus": k + 1} for k in range(packs * len(cases))]
    config = build({"name": "diagnose", "signals": signals, "pack": many}, "diagnose").config
    plant = Plant(config, base.simulation.model_copy(update=SPREAD), seed)
    capacity_Ah = float(config.capacity_Ah[0])
    rated_A = float(config.limits.rated_charge_A[0])
    for string in range(len(many)):
        case = cases[string // packs]
        if case.fault == "current_offset":
            plant.inject(case.fault, string, size=capacity_Ah / 100.0 / rated_A, start_s=begins_s)
        elif case.fault:
            at_s = 0.0 if case.fault == "cell_low" else begins_s  # imbalance does not come over night
            plant.inject(case.fault, string, BAD, case.size(capacity_Ah), at_s)
    return config, plant


@dataclass(frozen=True)
class Said:
    """What was said of each pack: row → (hour, right cell), and when a cell first left its file's recommended range."""

    rows: list[dict[str, tuple[float, bool]]]
    limit_h: NDArray[np.float64]  # NaN = never


def live(config: Config, plant: Plant, days: float, progress: Callable[[float], None] = lambda _: None) -> Said:
    """Let the site live, and note which estimated rows are raised for whom."""
    table, layout = config.faults, config.layout
    estimated = {name for name, signal in zip(table.name, table.signal, strict=True) if signal in SUSPICIONS}
    said: list[dict[str, tuple[float, bool]]] = [{} for _ in range(layout.size["string"])]
    limit_h = np.full(layout.size["string"], np.nan)
    lowest, highest = (np.array([limits[1] for limits in pair]) for pair in zip(*(
        (c.voltage_min, c.voltage_max) for c in config.cell_limits), strict=True))  # fmt: skip
    state, orders, asked = start(config, 0), no_orders(config), close_all(config)
    plan, dt_s, end_s = no_plan(layout.size["cell"], layout.size["pack"]), FINE_S, days * 86400.0
    while plant.time_s < end_s:
        plant.advance(dt_s, orders)
        state, command, events = step(config, state, Inputs(plant.sample(), asked, plan), plant.time_ns)
        asked, orders = no_requests(config), orders_of(command)
        hour = plant.time_s / 3600.0
        for event in events:
            if event.kind == "fault" and event.name in estimated:
                right = int(event.cell) == layout.first_cell[event.string] + BAD
                said[event.string].setdefault(event.name, (hour, right))
        kind = config.cell_kind
        beyond = (plant.voltage < lowest[kind]) | (plant.voltage > highest[kind])
        met = np.logical_or.reduceat(beyond, layout.first_cell) & np.isnan(limit_h) & (plant.time_s > BEGINS_S)
        limit_h[met] = hour
        moving = ~np.isin(state.switches.phase, (Phase.OPEN, Phase.CLOSED, Phase.CHARGE_ONLY))
        dt_s = FINE_S if moving.any() else COARSE_S
        progress(plant.time_s / end_s)
    return Said(said, limit_h)


def judged(cases: Sequence[Case], packs: int, said: Said) -> list[dict[str, object]]:
    """Return per case what was named, rightly, wrongly and when."""
    found: list[dict[str, object]] = []
    for k, case in enumerate(cases):
        mine = said.rows[k * packs : (k + 1) * packs]
        limit_h = said.limit_h[k * packs : (k + 1) * packs]
        begins_h = BEGINS_S / 3600.0
        hours, named, wrong, before = [], 0, Counter[str](), 0
        for rows, met in zip(mine, limit_h, strict=True):
            hits = [h for n, (h, right) in rows.items() if n in case.right and (right or not case.own)]
            named += bool(hits)
            hours += [min(hits) - begins_h] if hits else []
            before += bool(hits) and not met < min(hits)
            wrong.update(n for n, (_, right) in rows.items() if n not in case.right or (case.own and not right))
        found.append({
            "fault": case.name, "packs": packs, "named": named if case.right else None, "wrong": dict(wrong),
            "hours": round(float(np.median(hours)), 1) if hours else None,
            "met_a_limit": int(np.isfinite(limit_h).sum()), "named_before_a_limit": before if case.right else None,
            "rows": dict(Counter(n for rows in mine for n in rows)),
        })  # fmt: skip
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=int, default=8, help="per fault")
    parser.add_argument("--days", type=float, default=5.0)
    parser.add_argument("--cell", default="nmc_50ah")
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    cases = [case for case in CASES if case.fault != "member_open" or chosen.parallel > 1]
    config, plant = world(cases, chosen.packs, chosen.cell, chosen.parallel, chosen.seed)
    shown = 0.0

    def progress(done: float) -> None:
        nonlocal shown
        if done >= shown + 0.1:
            shown = done
            print(f"{100 * done:.0f} %", file=sys.stderr, flush=True)

    found = judged(cases, chosen.packs, live(config, plant, chosen.days, progress))
    if chosen.json:
        print(json.dumps(found))
        return
    print(f"{chosen.cell}, {CELLS}s{chosen.parallel}p, {chosen.packs} packs per fault, {chosen.days:g} days")
    for one in found:
        named = "" if one["named"] is None else f"named {one['named']}/{one['packs']} after {one['hours']} h"
        limits = "" if one["named"] is None else f"; before a limit {one['named_before_a_limit']}"
        print(f"{one['fault']:32} {named}{limits}; wrong {one['wrong'] or 'nothing'}; all rows {one['rows']}")


if __name__ == "__main__":
    main()
