"""How far energy and times ahead are to be believed: what single cells of the simulated world really give and take.

    python benchmarks/energy.py [--draws 200] [--json]

At constant current, C/5 and C/2, from a random SOC. Energy (SOE) and time to empty: until the recommended lower
voltage; time to full: at this current until the end-of-charge voltage, then what that lets flow until the tail.
First with everything known, then with resistance, SOC and temperature drawn by the sigmas that the estimate states
(10 %, 1.5 points, 1.5 K): `inside` is the share of truth within two sigma of what energy says about itself.
"""

import argparse
import json
import sys

import numpy as np
from numpy.typing import NDArray

from cellarer import cells
from cellarer.cells import Cell
from cellarer.core import estimate
from cellarer.core.estimate.state import copied, put
from cellarer.sim import single
from cellarer.sim.cells import CURVE_TRIES, Cells

Floats = NDArray[np.float64]

TEMPS_DEGC = (-10.0, 10.0, 25.0, 40.0)
RATES_C = (0.2, 0.5)
SIGMA = (0.10, 0.015, 1.5)  # of R, 1; of SOC, 1; of temperature, K
STEP_S = 20.0
LONGEST = 5.0  # times what a whole cell takes at the current alone


def told(cell: Cell, soc: Floats, degC: float, ampere: float) -> estimate.Energy:
    """Return what the estimators say to cells that have rested and now carry this current (+ charges)."""
    model, n = cell.model, soc.size
    cfg = estimate.compile_cells([model], np.zeros(n, np.int64), np.full(n, model.capacity_Ah), np.ones(n))
    state = estimate.init(cfg, soc, np.full(n, SIGMA[1]))
    state = estimate.step(cfg, state, np.full(n, np.nan), np.zeros(n), np.full(n, degC), 0.0)
    buffer = copied(state.buffer)
    put(buffer, "k", np.ones(n))
    put(buffer, "p44", np.full(n, SIGMA[0] ** 2))
    return estimate.energy(
        cfg, estimate.EstimateState(buffer, state.unknown, state.pairs), [cell.limits], np.full(n, ampere)
    )


def moved(world: Cells, ampere: float, degC: Floats, high: float) -> tuple[Floats, Floats]:
    """Carry a current for STEP_S, less where it would pass `high`; return it and the voltage at its end."""
    for _ in range(CURVE_TRIES):
        begun = world.begin(STEP_S, degC)
        current = np.minimum(ampere, np.maximum(high - begun.emf, 0.0) / begun.ohm)
        if world.follow(begun, current):
            break
    world.finish(begun, current, STEP_S, degC)
    world.refresh(degC)
    emf, r0 = world.now(begun)
    return current, np.asarray(emf + r0 * current)


def given(cell: Cell, soc: Floats, ohm: Floats, degC: Floats, ampere: float) -> tuple[Floats, Floats]:
    """Return Wh and seconds until the lower voltage, or the tail of a charge; at most until SOC is 0 or 1."""
    world = single.rested([cell.model], np.zeros(soc.size, np.int64), soc, ohm, degC)
    low, high = float(cell.limits.voltage_min[1]), cell.limits.charge_voltage
    alive, energy, seconds = np.ones(soc.size, bool), np.zeros(soc.size), np.zeros(soc.size)
    tail = min(cell.limits.tail_A, abs(ampere))
    for _ in range(round(LONGEST * cell.model.capacity_Ah / abs(ampere) * 3600.0 / STEP_S)):
        current, volts = moved(world, ampere, degC, high)
        alive &= (volts >= low) & (world.soc >= 0.0) if ampere < 0.0 else (current >= tail) & (world.soc <= 1.0)
        if not alive.any():
            break
        energy += alive * volts * abs(ampere) * STEP_S / 3600.0
        seconds += alive * STEP_S
    return energy, seconds


def row(cell: Cell, degC: float, rate: float, draws: int, seed: int) -> dict[str, object]:
    """Return the figures of one kind of cell at one temperature and rate."""
    g = np.random.default_rng(seed)
    soc, q = g.uniform(0.1, 0.95, draws), cell.model.capacity_Ah
    one, temp = np.ones(draws), np.full(draws, degC)
    out, into = told(cell, soc, degC, -rate * q), told(cell, soc, degC, rate * q)
    energy, empty_s = given(cell, soc, one, temp, -rate * q)
    _, full_s = given(cell, soc, one, temp, rate * q)
    r, z, t = (sigma * g.standard_normal(draws) for sigma in SIGMA)
    really, _ = given(cell, np.clip(soc + z, 0.0, 1.0), np.maximum(1.0 + r, 0.5), temp + t, -rate * q)
    volts = out.energy_Wh / np.maximum(out.charge_Ah, 1e-9)
    sigma = np.hypot(SIGMA[1] * q * np.where(volts > 0.0, volts, float(cell.limits.voltage_min[1])), out.doubt_Wh)
    inside = np.abs(really - out.energy_Wh) <= 2.0 * sigma
    whole = q * float(np.median(volts[volts > 0.0])) if (volts > 0.0).any() else float("nan")
    return {
        "cell": cell.model.name, "temp_degC": degC, "rate_C": rate,
        "energy_pct": float(np.mean(out.energy_Wh - energy) / whole * 100.0),
        "energy_worst_pct": float(np.abs(out.energy_Wh - energy).max() / whole * 100.0),
        "empty_pct": float(np.mean(out.to_empty_s - empty_s) * rate / 36.0),
        "full_pct": float(np.mean(into.to_full_s - full_s) * rate / 36.0),
        "inside_pct": float(inside.mean() * 100.0),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--cell", help="only this kind")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    rows = [
        row(cells.load(name), degC, rate, chosen.draws, number)
        for number, name in enumerate(cells.names())
        if chosen.cell in (None, name)
        for degC in TEMPS_DEGC
        for rate in RATES_C
    ]
    if chosen.json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return 0
    sys.stdout.write("told less really, % of a whole cell\n")
    for one in rows:
        text = "  ".join(f"{key[:-4]} {value:+6.1f} %" for key, value in one.items()
                         if key.endswith("_pct") and isinstance(value, float))  # fmt: skip
        sys.stdout.write(f"{one['cell']!s:20}{one['temp_degC']:6} degC {one['rate_C']:4}C  {text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
