"""LFP starts in mid-drive: how honest is sigma where a flat curve says little and what was told of SOC is wrong?

    python benchmarks/accuracy_starts.py [--starts 24] [--hours 2]

The simulated LFP drives of accuracy.py (other dynamics than the model's), cut at many rows: neither polarisation nor
hysteresis is known there. The first SOC is told with sigma 0.1, up to 3.5 of them wrong (a replay takes twice that).
Prints, per temperature and error, share of truth inside two sigma, RMSE and sigma in points, from 600 s on.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from accuracy_sets import SPLITS, Trial, cell_file, trials

from cellarer.cells import load
from cellarer.core import estimate
from cellarer.model.cell import CellModel
from cellarer.runtime.replay import MEASURED_SIGMA, TAILS

WRONG = np.array([-0.35, -0.3, -0.25, -0.2, -0.1, 0.0, 0.1, 0.2, 0.25, 0.3, 0.35])
SIGMA, LATE = 0.1, 600
LOW, HIGH = 0.1, 0.92  # SOC between which starts are taken


def started(model: CellModel, trial: Trial, starts: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Error and sigma, (row, start · wrong), and how wrong each start was told; what lies outside 0 … 1 is not told."""
    run, q = trial.run, trial.capacity_Ah
    at = np.linspace(50, len(run.time_s) - rows - 1, starts).astype(int)
    at = at[(trial.truth[at] > LOW) & (trial.truth[at] < HIGH)]
    at, wrong = (x.reshape(-1) for x in np.meshgrid(at, WRONG, indexing="ij"))
    told = trial.truth[at] + wrong
    at, wrong, told = (x[(told >= 0.0) & (told <= 1.0)] for x in (at, wrong, told))
    n, here = len(at), at[None] + np.arange(rows)[:, None]
    cfg = estimate.compile_cells([model], np.zeros(n, int), np.full(n, q), np.ones(n), learn_C=estimate.RECORDED_C)
    state = estimate.init(cfg, told, np.full(n, TAILS * SIGMA), capacity_sigma_Ah=np.full(n, MEASURED_SIGMA * q))
    dt = np.r_[0.0, np.full(rows - 1, 1.0)]
    _, soc, sigma = estimate.run_block(cfg, state, run.voltage[here], run.current[here], run.temp_degC[here], dt)
    return soc - trial.truth[here], sigma, wrong


def main() -> int:
    """Identify once, start at many rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=24, help="per drive")
    parser.add_argument("--hours", type=float, default=2.0, help="that each start is followed")
    options = parser.parse_args()
    split, rows, found = next(s for s in SPLITS if s.name == "LFP simulated"), round(3600 * options.hours), []
    with tempfile.TemporaryDirectory() as scratch:
        cell = cell_file(split, Path(scratch), Path(scratch))
        assert cell is not None  # it is simulated: nothing can be missing
        model = load(cell[0]).model
        for trial in trials(split, Path(scratch), Path(scratch), cell[1]):
            error, sigma, wrong = started(model, trial, options.starts, rows)
            temp = np.full(len(wrong), round(float(trial.run.temp_degC[0])))
            found.append((np.abs(wrong), temp, error[LATE:], sigma[LATE:]))
    wrong, temp = (np.concatenate([part[k] for part in found]) for k in (0, 1))
    error, sigma = (np.concatenate([part[k] for part in found], axis=1) for k in (2, 3))
    groups = [(f"{t} degC", temp == t) for t in np.unique(temp)] + [(f"{100 * w:.0f} points wrong", wrong == w)
              for w in np.unique(wrong)] + [("all", wrong >= 0.0), ("2 to 3.5 sigma wrong", wrong >= 0.2)]  # fmt: skip
    for name, part in groups:
        inside = 100.0 * np.mean(np.abs(error[:, part]) < 2.0 * sigma[:, part])
        rmse, width = (100.0 * float(np.sqrt(np.mean(x[:, part] ** 2))) for x in (error, sigma))
        print(f"{name:22s} {part.sum():5d} starts  inside {inside:5.1f} %  RMSE {rmse:5.2f}  sigma {width:5.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
