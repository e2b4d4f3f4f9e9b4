"""How long balancing takes, against the least that the ampere-hours allow and against the linear-programming optimum.

    python benchmarks/balancing.py [--json] [--seeds N] [--only plans|cycle]

Plans alone, followed slot by slot:

Passive: 16 LFP cells of 100 Ah in series at half charge, 5 % between fullest and emptiest, 100 mA bleed; plans of
`plan.balance` followed slot by slot until the true spread is 1 %. The planner sees SOC with an error and is told sigma;
a fresh error each day (an anchor per day). Least: (5 % − 1 %) · 100 Ah / 100 mA = 40 h.
Active: the same pack; plans of `plan.converters` followed against the optimum of the linear programme, both to 1 %.

The whole cycle with estimators, planner and bleeders that pause for measuring, a minute of one core per seed:
Passive: the same pack at rest at half charge, SOC known to 1 %, of which 0.1 % between cells (cells of a string share
the current and its sensor); hours until the true spread stays within 1 %.
Active: capacities with a standard deviation of 3 %; after 20 h of balancing a full cycle at C/5 with the balancing at
work: what is delivered with 2 A converters against doses.
"""

import argparse
import json
import sys
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cellarer import config
from cellarer.config.load import Site, build
from cellarer.core.cycle import start
from cellarer.core.decide.converters import into_cells
from cellarer.model.config import Config, Topology
from cellarer.model.layout import layout
from cellarer.model.values import Estimate
from cellarer.plan import balance, converters, transfer
from cellarer.runtime.balancing import KNOWN, World

Floats = NDArray[np.float64]

CELLS, CAPACITY, SPREAD, WINDOW, BLEED_A = 16, 100.0, 0.05, 0.01, 0.1
DAY_S, GIVE_UP_S = 86400.0, 30 * 86400.0
SLOT_S = 60.0
STRING = layout([CELLS], [1], [1])
VOLTAGE = 3.3  # V, on the plateau


def drawn(rng: np.random.Generator) -> Floats:
    """Return SOC of each cell: the spread exactly as said."""
    x = rng.uniform(0.0, 1.0, CELLS)
    return np.asarray(0.5 + SPREAD * (x - x.min()) / (x.max() - x.min()))


def known(soc: Floats, sigma: float) -> Estimate:
    """Return an estimate; capacities are known."""
    full = np.full(CELLS, CAPACITY)
    return replace(
        _blank(), soc=soc, soc_sigma=np.full(CELLS, sigma), capacity_Ah=full, capacity_sigma_Ah=0.0 * full,
        voltage_model=np.full(CELLS, VOLTAGE),
    )  # fmt: skip


@cache
def _blank() -> Estimate:
    return start(config.load("home").config, 0).estimate


def passive(seed: int, sigma: float) -> dict[str, float]:
    """Return hours to a true spread of WINDOW (inf = not within a month), Wh lost, usable before and after."""
    rng = np.random.default_rng(seed)
    one = np.ones(1)
    hardware = balance.Bleeders(BLEED_A * one, np.array([CELLS]), one < 0, one, 0 * one, 60 * one, 0 * one)
    soc = drawn(rng)
    full = np.full(CELLS, CAPACITY)
    before, now, anchor, bled, left = balance.usable_Ah(STRING, soc, full)[0], 0.0, -np.inf, 0.0, np.zeros(CELLS)
    while np.ptp(soc) > WINDOW + 1e-9 and now < GIVE_UP_S:
        if now >= anchor + DAY_S:
            anchor = now
            estimate = known(soc + sigma * rng.standard_normal(CELLS), sigma)
            left = balance.dose_Ah(STRING, estimate, 0 * one, leave=balance.LEAVE)
        plan = balance.schedule(STRING, hardware, left, np.array([CELLS]), int(now * 1e9))
        chosen = plan.bleed_Ah > 0.0
        dt = min(plan.expires_ns * 1e-9 - now, SLOT_S) if chosen.any() else SLOT_S
        soc = soc - np.where(chosen, BLEED_A * dt / 3600.0 / CAPACITY, 0.0)
        left = balance.remaining_Ah(STRING, hardware, left, chosen, dt)
        bled += float(chosen.sum()) * BLEED_A * dt / 3600.0
        now += dt
    hours = now / 3600.0 if np.ptp(soc) <= WINDOW + 1e-9 else float("inf")
    return {"hours": hours, "lost_Wh": bled * VOLTAGE, "usable_before_Ah": float(before),
            "usable_after_Ah": float(balance.usable_Ah(STRING, soc, full)[0])}  # fmt: skip


def active(seed: int, kind: Topology) -> dict[str, float]:
    """Return hours of the plans followed slot by slot and of the optimum, and what each loses.

    The optimum may use each converter both ways at once, which burns charge to be done sooner.
    """
    site = hardware(kind)
    soc, full = drawn(np.random.default_rng(seed)), np.full(CELLS, CAPACITY)
    best = transfer.least_time(transfer.hardware(site, 0, CELLS), soc, full, WINDOW)
    if best is None:
        raise RuntimeError(f"{kind.name}: the optimum was not found")
    before, now = soc.sum(), 0.0
    while np.ptp(soc) > WINDOW + 1e-6 and now < GIVE_UP_S:
        drives = converters.drives(site, known(soc, 0.0), goal=WINDOW)
        seconds = drives.slot_s
        soc = soc + into_cells(site, drives.move, np.full(CELLS, VOLTAGE)) * (seconds / 3600.0) / full
        now += seconds
    lost_Wh = float(before - soc.sum()) * CAPACITY * VOLTAGE
    return {"hours": now / 3600.0, "optimum_hours": best.seconds / 3600.0,
            "lost_Wh": lost_Wh, "optimum_lost_Wh": best.lost_Ah * VOLTAGE}  # fmt: skip


def site(bleed_mA: float, capacity_spread_pct: float) -> Site:
    """Return a site of such a pack at rest at half charge."""
    pack = {"name": "p", "cell": "lfp_280ah", "capacity_Ah": CAPACITY, "series": CELLS, "temperature_sensors": 4,
            "balancing": {"bleed_mA": bleed_mA}, "limits": {"charge_A": 50.0, "discharge_A": 50.0}}  # fmt: skip
    world = {"start_soc_pct": 50.0, "capacity_spread_pct": capacity_spread_pct, "load": {"kind": "rest"}}
    signals = ["cell_voltage", "temp_degC", "current", "string_voltage"]
    return build({"name": "balancing", "signals": signals, "pack": [pack], "simulation": world}, "balancing")


def passive_cycle(seed: int) -> dict[str, float]:
    """Return the hours that the whole cycle takes, and what is lost."""
    world = World(site(1000.0 * BLEED_A, 0.0), "dose", seed, SPREAD, KNOWN)
    while np.ptp(world.plant.truth.soc) > WINDOW and world.plant.time_s < GIVE_UP_S:
        world.step()
    hours = world.plant.time_s / 3600.0 if np.ptp(world.plant.truth.soc) <= WINDOW else float("inf")
    return {"hours": hours, "lost_Wh": float(world.plant.balanced_Wh.sum()), "faults": world.faults}


def active_cycle(seed: int, kind: Topology) -> dict[str, float]:
    """Return what a full cycle delivers with doses and with these converters."""
    done = {name: World(site(200.0, 3.0), name, seed, 0.03, KNOWN).live(20.0, lambda _: None)
            for name in ("dose", kind.name.lower())}  # fmt: skip
    dose, other = done.values()
    gain_pct = (other.delivered_Ah / dose.delivered_Ah - 1.0) * 100.0
    faults = dose.faults + other.faults
    return {"dose_Ah": dose.delivered_Ah, "active_Ah": other.delivered_Ah, "gain_pct": gain_pct, "faults": faults}


@cache
def hardware(kind: Topology) -> Config:
    """Return a site of 16 cells with 2 A converters of this kind."""
    site = config.load("home").config
    return replace(site, balance=replace(site.balance, topology=np.full(1, kind, np.int8)))


def main() -> int:
    """Print the figures; the worst seed counts."""
    parser = argparse.ArgumentParser(description="Balancing against its optimum")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=("plans", "cycle"))
    asked = parser.parse_args()
    least = (SPREAD - WINDOW) * CAPACITY / BLEED_A
    rows: dict[str, dict[str, float]] = {}
    if asked.only != "cycle":
        for sigma in (0.0, 0.001, 0.0025, 0.005, 0.01):
            rows[f"bleed, sigma {sigma * 100.0:g} %"] = worst([passive(s, sigma) for s in range(asked.seeds)])
        for kind in (Topology.FLYBACK, Topology.SHUTTLE, Topology.MATRIX):
            rows[kind.name.lower()] = worst([active(s, kind) for s in range(asked.seeds)])
    if asked.only != "plans":
        for seed in range(1, asked.seeds + 1):
            rows[f"cycle, bleed, seed {seed}"] = passive_cycle(seed)
            rows[f"cycle, flyback, seed {seed}"] = active_cycle(seed, Topology.FLYBACK)
    if asked.json:
        print(json.dumps({"least_hours": least, "rows": rows}))
        return 0
    print(
        f"{CELLS} cells, {SPREAD:.0%} spread, to {WINDOW:.0%}; worst of {asked.seeds}. Least by bleeding: {least:.1f} h"
    )
    for label, row in rows.items():
        print(f"{label:22s}" + "  ".join(f"{key} {value:.4g}" for key, value in row.items()))
    return 0


def worst(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the run that took longest against its optimum."""
    return max(runs, key=lambda run: run["hours"] / run.get("optimum_hours", 1.0))


if __name__ == "__main__":
    sys.exit(main())
