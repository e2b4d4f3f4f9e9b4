"""How long balancing takes, against the least that the ampere-hours allow and against the linear-programming optimum.

    python benchmarks/balancing.py [--json] [--seeds N]

Passive: 16 LFP cells of 100 Ah in series at half charge, 5 % between fullest and emptiest, 100 mA bleed; plans of
`plan.balance` followed slot by slot until the true spread is 1 %. The planner sees SOC with an error and is told sigma;
a fresh error each day (an anchor per day). Least: (5 % − 1 %) · 100 Ah / 100 mA = 40 h.
Active: the same pack; the rule in the loop against the optimum, both to 1 %.
"""

import argparse
import json
import sys
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cellarer import config
from cellarer.core.cycle import start
from cellarer.model.layout import layout
from cellarer.model.values import Estimate
from cellarer.plan import balance, feedback, transfer

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
            left = balance.dose_Ah(STRING, known(soc + sigma * rng.standard_normal(CELLS), sigma), 0 * one)
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


def active(seed: int, name: str) -> dict[str, float]:
    """Return hours of the rule in the loop and of the optimum, and what each loses."""
    soc, full = drawn(np.random.default_rng(seed)), np.full(CELLS, CAPACITY)
    topology = transfer.flyback(CELLS, 2.0, 0.92) if name == "flyback" else transfer.shuttle(CELLS, 2.0, 0.9)
    if name == "shuttle":  # in the directions of the rule: both ways at once burns charge to be done sooner
        flow = feedback.least_flow(soc, full, WINDOW, 0.9)
        topology = replace(topology, effect_A=topology.effect_A * np.concatenate([flow >= 0.0, flow < 0.0]))
    best = transfer.least_time(topology, soc, full, WINDOW)
    if best is None:
        raise RuntimeError(f"{name}: the optimum was not found")
    slot_s = SLOT_S if name == "flyback" else 120.0
    before, now = soc.sum(), 0.0
    while np.ptp(soc) > WINDOW + 1e-6:
        drive = np.concatenate(
            feedback.drive_flyback(soc, full, WINDOW, 2.0, slot_s)
            if name == "flyback"
            else feedback.drive_shuttle(soc, full, WINDOW, 0.9, 2.0 * slot_s / 3600.0)
        )
        soc = soc + topology.effect_A @ drive * (slot_s / 3600.0) / full
        now += slot_s
    thrifty = transfer.least_loss(topology, drawn(np.random.default_rng(seed)), full, WINDOW, best.seconds * 1.05)
    return {"hours": now / 3600.0, "optimum_hours": best.seconds / 3600.0,
            "lost_Wh": float(before - soc.sum()) * CAPACITY * VOLTAGE, "optimum_lost_Wh": best.lost_Ah * VOLTAGE,
            "least_lost_Wh": thrifty.lost_Ah * VOLTAGE if thrifty else float("nan")}  # fmt: skip


def main() -> int:
    """Print the figures; the worst seed counts."""
    parser = argparse.ArgumentParser(description="Balancing against its optimum")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    least = (SPREAD - WINDOW) * CAPACITY / BLEED_A
    rows: dict[str, dict[str, float]] = {}
    for sigma in (0.0, 0.001, 0.0025, 0.005, 0.01):
        rows[f"bleed, sigma {sigma * 100.0:g} %"] = worst([passive(s, sigma) for s in range(asked.seeds)])
    for name in ("flyback", "shuttle"):
        rows[name] = worst([active(s, name) for s in range(asked.seeds)])
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
