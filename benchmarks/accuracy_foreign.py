"""LFP that starts under a current, told 20 points wrong, on plants that differ from the file: is sigma honest?

    python benchmarks/accuracy_foreign.py [a123_26650 lfp_280ah] [--quick]

Plants have a hysteresis gap of 0.7 to 1.4 times the file's, a bent curve, another resistance, and the dynamics of
accuracy_plant.py. Steady currents of 0.1 to 0.5 C and a drive flow from the first row on, settled or begun there.
Prints share of truth inside two sigma, RMSE, worst error and sigma in points, from 600 s on, for two hours or until
an end.
"""

import argparse
import sys
from collections import defaultdict
from itertools import product

import numpy as np
from accuracy_plant import NOISE_V, RATE, SHARE_H, SHARE_R, TAU_S
from numpy.typing import NDArray

from cellarer.cells import load
from cellarer.core import estimate
from cellarer.model.cell import CellModel
from cellarer.runtime.replay import MEASURED_SIGMA, TAILS

Floats = NDArray[np.float64]

STEP_S, ROWS, LATE_S, SIGMA = 5.0, 1440, 600.0, 0.1
TEMPS_DEGC = (-10.0, 0.0, 25.0, 45.0)
CURRENTS_C = (0.1, 0.3, 0.5, -0.1, -0.3, -0.5, 0.0)  # 0: a drive
PLANTS = ((1.4, 1.0, 1.0), (0.7, 1.0, -1.0), (1.0, 1.2, 1.0), (1.4, 0.85, -1.0))  # gap, resistance, bend of the curve
LOW, HIGH = 0.02, 0.985  # SOC outside which a run ends


def drive() -> Floats:
    """(row,) C, 0.15 C of discharge in the mean."""
    r = np.random.default_rng(3)
    walk = np.cumsum(r.normal(0.0, 0.35, ROWS))
    c = -0.15 + 0.7 * np.tanh(walk - np.linspace(0.0, walk[-1], ROWS)) + r.normal(0.0, 0.2, ROWS)
    c[r.random(ROWS) < 0.15] = 0.0
    return np.asarray(c - c.mean() - 0.15)


def plant(model: CellModel, degC: float, c: Floats, starts: Floats, other: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Voltage and SOC, (row, start). `starts` holds SOC, whether the current has long flowed, the branch (−1, 1)."""
    gap, ohms, bend = other
    z, settled, side = starts
    q, grid = model.capacity_Ah, np.linspace(0.0, 1.0, model.ocv.shape[1])
    tables = [model.ocv, model.hysteresis, model.r0, model.r1, model.r2]
    ocv, half, *r = (np.array([np.interp(degC, model.temp_degC, x) for x in table.T]) for table in tables)
    ocv = np.interp(np.clip(grid + bend * 0.01 * np.sin(2.0 * np.pi * grid + 7.0), 0.0, 1.0), grid, ocv)
    ocv = ocv + bend * 1.5e-3 * np.sin(4.0 * np.pi * grid + 7.0)
    r0, slow = ohms * r[0][len(grid) // 2], ohms * (r[1] + r[2])[len(grid) // 2]
    s, h = np.outer(np.ones(3), settled * c[0] * q), np.outer(np.ones(3), side)
    away = (1.0 - np.exp(-STEP_S / TAU_S))[:, None]
    volts, soc = np.empty((ROWS, len(z))), np.empty((ROWS, len(z)))
    for row, amperes in enumerate(c * q):
        near_empty = 1.0 + np.exp(-z / 0.06)
        volts[row] = np.interp(z, grid, ocv) + gap * np.interp(z, grid, half) * (SHARE_H @ h)
        volts[row] += near_empty * (r0 * amperes + slow * (SHARE_R @ s))
        soc[row] = z
        flow = amperes * STEP_S / 3600.0 / q
        z, s = z + flow, s + away * (amperes - s)
        h = h + (1.0 - np.exp(-RATE * abs(flow)))[:, None] * (np.sign(amperes) - h)
    return volts + NOISE_V * np.random.default_rng(7).standard_normal(volts.shape), soc


def judged(model: CellModel, degC: float, current_C: float, other: tuple[float, ...]) -> tuple[Floats, Floats, Floats]:
    """Error, sigma (NaN where a run does not count), (row, start), and how wrong each start was told."""
    grid = np.array(list(product(np.linspace(0.05, 0.95, 19), (-0.2, 0.2), (0.0, 1.0), (-1.0, 1.0)))).T
    told = grid[0] + grid[1]
    fits = (told >= 0.0) & (told <= 1.0)
    if current_C:  # what has long flowed has its own branch
        fits &= (grid[2] == 0.0) | (grid[3] == np.sign(current_C))
    grid, told = grid[:, fits], told[fits]
    c, n, q = np.full(ROWS, current_C) if current_C else drive(), len(told), model.capacity_Ah
    volts, truth = plant(model, degC, c, grid[[0, 2, 3]], other)
    cfg = estimate.compile_cells([model], np.zeros(n, int), np.full(n, q), np.ones(n), learn_C=estimate.RECORDED_C)
    state = estimate.init(cfg, told, np.full(n, TAILS * SIGMA), capacity_sigma_Ah=np.full(n, MEASURED_SIGMA * q))
    dt, amperes = np.r_[0.0, np.full(ROWS - 1, STEP_S)], np.repeat(c[:, None] * q, n, axis=1)
    _, soc, sigma = estimate.run_block(cfg, state, volts, amperes, np.full((ROWS, 1), degC), dt)
    counts = np.logical_and.accumulate((truth > LOW) & (truth < HIGH), axis=0)
    counts &= (STEP_S * np.arange(ROWS) > LATE_S)[:, None]
    return soc - truth, np.where(counts, sigma, np.nan), grid[1]


def main() -> int:
    """Start everywhere, print groups."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", default=["a123_26650", "lfp_280ah"])
    parser.add_argument("--quick", action="store_true", help="only 25 degC and the first plant")
    options = parser.parse_args()
    groups: dict[str, list[tuple[Floats, Floats]]] = defaultdict(list)
    for name in options.cells:
        model = load(name).model
        temps, plants = ((25.0,), PLANTS[:1]) if options.quick else (TEMPS_DEGC, PLANTS)
        for degC, current_C, other in product(temps, CURRENTS_C, plants):
            error, sigma, wrong = judged(model, degC, current_C, other)
            way = "drive" if not current_C else "charge" if current_C > 0.0 else "discharge"
            for part, told in ((wrong < 0.0, "too little"), (wrong > 0.0, "too much")):
                counts = np.isfinite(sigma[:, part])
                found = error[:, part][counts], sigma[:, part][counts]
                for key in (name, f"{name} {degC:g} degC", f"{name} {way}, told {told}",
                            f"{name} gap {other[0]:g}, resistance {other[1]:g}", "all"):  # fmt: skip
                    groups[key].append(found)
    for key, parts in groups.items():
        e, s = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
        rmse, width = (100.0 * float(np.sqrt(np.mean(x**2))) for x in (e, s))
        inside, worst = 100.0 * np.mean(np.abs(e) < 2.0 * s), 100.0 * np.abs(e).max()
        print(f"{key:38s} inside {inside:5.1f} %  RMSE {rmse:5.2f}  worst {worst:5.1f}  sigma {width:5.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
