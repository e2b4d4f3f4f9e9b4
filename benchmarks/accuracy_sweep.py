"""Do the figures of accuracy.py hinge on one constant of the filter? Each is halved and doubled, all others kept.

    python benchmarks/accuracy_sweep.py [--data DIR] [--every 10] [--names DRIFT_K,SHARE]

A cheap subset, thinned to rows of 10 s, in the NumPy form (no compiling): prints RMSE, worst error and share of truth
inside two sigma over all stretches and cases.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from accuracy import CASES, HERE, judge
from accuracy_sets import SPLITS, cell_file, trials

from cellarer.cells import load
from cellarer.core.estimate import equations, filter

NAMES = (
    "DRIFT_Z", "SCALE_Z", "DRIFT_K", "SCALE_K", "DRIFT_B", "MISS_H", "NOISE_I", "LASTS", "LASTS_FAR",
    "FLOOR", "FLOOR_Z", "SENSOR", "SHARE",
    "NEAR_EMPTY", "DEPLETED", "LOW", "SPENT_C", "FRESH", "TAIL", "STRAIN_S", "BELIEVE", "STRAIN_OK", "STRAIN_GAIN",
)  # fmt: skip
CHOSEN = ("NCA 18650", "NMC 18650", "NMC 2.6 Ah", "LFP simulated, one temperature")


def main() -> int:
    """Identify once, judge for every constant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE)
    parser.add_argument("--every", type=float, default=10.0, help="s between rows")
    parser.add_argument("--names", default=",".join(NAMES), help="constants of core/estimate/equations.py")
    options = parser.parse_args()
    filter._kernel = None  # the NumPy form reads the constants at every step
    cases = tuple(replace(case, every_s=options.every) for case in CASES[1:])
    jobs = []
    with tempfile.TemporaryDirectory() as scratch:
        for split in (split for split in SPLITS if split.name in CHOSEN):
            found = cell_file(split, options.data, Path(scratch))
            if found is None:
                continue
            path, capacity_Ah, _, _ = found
            jobs += [(load(path).model, split, t) for t in trials(split, options.data, Path(scratch), capacity_Ah)]
        names = options.names.split(",")
        for n, name in enumerate(["as it is", *names]):
            print(f"{n}/{len(names)} {name}", file=sys.stderr, flush=True)
            usual = getattr(equations, name, 0.0)
            for factor in (1.0,) if n == 0 else (0.5, 2.0):
                setattr(equations, name, factor * usual)
                results = [r for model, split, trial in jobs for r in judge(model, split, trial, cases)]
                setattr(equations, name, usual)
                rmse, inside = np.mean([r.rmse for r in results]), np.mean([r.inside for r in results])
                worst = max(r.worst for r in results)
                print(f"{name:12s} x{factor:3.1f}  RMSE {rmse:5.2f} %  worst {worst:5.2f} %  inside {inside:5.1f} %",
                      flush=True)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
