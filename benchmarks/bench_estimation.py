"""How fast the estimators are: cell updates per second and core, in thread CPU time, best of several stretches.

    python benchmarks/bench_estimation.py [--seconds S]

One pack in the middle of a discharge: SOC spread over 10 points, temperature over 5 K, 10 Hz. `filter` is the full
six-state filter that ships, `NumPy` the same algorithm without compiler, `run` the replay form with the time loop
inside the kernel, `step` the whole call with input masks, copy and capacity, `power` SOP for both directions.
"""

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np

from cellarer.cells import load
from cellarer.core import estimate
from cellarer.core.estimate import numpy_form
from cellarer.core.estimate.state import copied

CELL = load("nmc_50ah")


def best(work: Callable[[], object], units: float, seconds: float) -> float:
    """Units per second of the best stretch."""
    work()
    begin = time.thread_time()
    work()
    once = max(time.thread_time() - begin, 1e-7)
    repeat = max(1, int(seconds / 7 / once))
    fastest = np.inf
    for _ in range(7):
        begin = time.thread_time()
        for _ in range(repeat):
            work()
        fastest = min(fastest, (time.thread_time() - begin) / repeat)
    return units / fastest


def pack(n: int) -> tuple[estimate.EstimatorConfig, estimate.EstimateState, tuple[np.ndarray, ...]]:
    """Cells that have been followed for a minute, and one set of readings."""
    r = np.random.default_rng(0)
    cfg = estimate.compile_cells([CELL.model], np.zeros(n, int), np.full(n, 50.0), np.ones(n))
    state = estimate.init(cfg, r.uniform(0.5, 0.6, n), np.full(n, 0.03))
    readings = np.full(n, 3.7), np.full(n, -20.0), r.uniform(23.0, 28.0, n)
    for row in range(600):
        state = estimate.step(cfg, state, *readings, 0.1 if row else 0.0)
        readings = estimate.voltage_model(cfg, state), *readings[1:]
    return cfg, state, readings


def rates(n: int, seconds: float) -> dict[str, float]:
    """All figures for n cells, in cell updates per second."""
    cfg, state, readings = pack(n)
    fixed = (cfg.tables.node, cfg.tables.rows, cfg.kind, 0.1, 0.0, 0.0)
    out = {}
    if estimate.HAS_KERNEL:
        from cellarer.core.estimate import kernel

        buffer = copied(state.buffer)
        out["filter"] = best(lambda: kernel.step_buffer(buffer, *fixed), n, seconds)
    plain = copied(state.buffer)
    out["NumPy"] = best(lambda: numpy_form.step_buffer(plain, *fixed), n, seconds)
    rows = max(20, 400_000 // n)
    volts, amperes, temp = (np.tile(x, (rows, 1)) for x in readings)
    dt = np.full(rows, 0.1)
    out["run"] = best(lambda: estimate.run_block(cfg, state, volts, amperes, temp, dt, rows), n * rows, seconds)
    out["step"] = best(lambda: estimate.step(cfg, state, *readings, 0.1), n, seconds)
    out["power"] = best(lambda: estimate.power(cfg, state, [CELL.limits], 10.0), n, seconds)
    return out


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5, help="thread time for each figure")
    seconds = parser.parse_args().seconds
    print(f"{'cells':>8s}" + "".join(f"{name:>10s}" for name in ("filter", "NumPy", "run", "step", "power")) + "   M/s")
    for n in (16, 96, 1000, 10_000):
        found = rates(n, seconds)
        print(
            f"{n:8d}"
            + "".join(f"{found.get(k, np.nan) / 1e6:10.2f}" for k in ("filter", "NumPy", "run", "step", "power"))
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
