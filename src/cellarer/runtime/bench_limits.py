"""What to hold the speed of the filter against: this machine's memory and arithmetic, plain NumPy, and filterpy.

Roofline: a sweep over cells moves every field of a block in and the changed ones out, and does the additions,
multiplications and divisions that stand in equations.py; the machine's own figures come from two plain loops, measured
in the same run. Both limits are upper bounds: memory as if nothing stayed in a cache, arithmetic as if every operation
were half of a fused multiply-add.
"""

import ast
import inspect
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate import equations
from cellarer.core.estimate.fields import FIELDS, MEMORY, STATE_WIDTH

Floats = NDArray[np.float64]

STREAM = 8_000_000  # numbers in each of three arrays: far more than any cache holds
LANES, CHAIN = 64, 20_000  # independent sums: enough to hide the latency of a fused multiply-add
BYTES_PER_UPDATE = 8 * (FIELDS + STATE_WIDTH + len(MEMORY) + 1)
STATES = 6


def operations(module: ModuleType = equations) -> int:
    """Return how many additions, multiplications and divisions one update of the filter does, as they are written."""
    counts: dict[str, int] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef):
            inside = [n for n in ast.walk(node) if isinstance(n, ast.BinOp)]
            calls = [n.func.id for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
            counts[node.name] = len(inside) + sum(counts.get(name, 0) for name in calls)
    return counts["advance"]


def machine() -> dict[str, float]:
    """Return what this machine moves, GB/s, and computes, GFLOP/s, on one core; NaN where numba is missing."""
    try:
        from numba import njit

        from cellarer.core.estimate.kernel import eight_lanes
    except ImportError:
        return {"triad_GB_per_s": float("nan"), "fma_GFLOP_per_s": float("nan")}

    @njit(fastmath=True)
    def triad(a: Any, b: Any, c: Any) -> None:
        for n in range(a.size):
            a[n] = b[n] + 3.0 * c[n]

    @njit(fastmath=True)
    def sums(x: Any, factor: float) -> None:
        eight_lanes()  # as the filter
        for _ in range(CHAIN):
            for n in range(LANES):
                x[n] = x[n] * factor + 1e-9

    a, b, c, x = np.zeros(STREAM), np.ones(STREAM), np.ones(STREAM), np.ones(LANES)
    return {
        "triad_GB_per_s": 24e-9 * STREAM / best(lambda: triad(a, b, c)),
        "fma_GFLOP_per_s": 2e-9 * LANES * CHAIN / best(lambda: sums(x, 0.999)),
    }


def best(work: Callable[[], object], tries: int = 7) -> float:
    """Return the shortest time that the work takes, s; its first run, which compiles, does not count."""
    work()
    found = np.inf
    for _ in range(tries):
        begin = time.perf_counter()
        work()
        found = min(found, time.perf_counter() - begin)
    return found


def tail(times: int = 2000, calls: int = 150) -> float:
    """Return p99 over p50 of the time that the same small array calls take again and again: the tail of the machine."""
    x, took = np.ones(16), np.empty(times)
    for n in range(times):
        begin = time.perf_counter()
        for _ in range(calls):
            np.maximum(x, 0.5)
        took[n] = time.perf_counter() - begin
    return float(np.percentile(took, 99) / np.percentile(took, 50))


def roofline() -> dict[str, float]:
    """Return the machine's limits and what they allow, in cell updates per second."""
    limits, flop = machine(), operations()
    return limits | {
        "bytes_per_update": float(BYTES_PER_UPDATE),
        "operations_per_update": float(flop),
        "memory_bound_per_s": limits["triad_GB_per_s"] * 1e9 / BYTES_PER_UPDATE,
        "arithmetic_bound_per_s": limits["fma_GFLOP_per_s"] * 1e9 / flop,
    }


def filterpy_rate(cells: int = 32) -> float:
    """Return cell updates per second of filterpy's extended Kalman filter, one object per cell; NaN if not installed.

    Six states and one voltage like ours, over constant tables: the look-up, which ours does, is spared.
    """
    try:
        from filterpy.kalman import ExtendedKalmanFilter  # type: ignore[import-untyped]
    except ImportError:
        return float("nan")
    slope = np.array([[0.8, 0.02, 0.01, 0.02, -0.05, -0.03]])

    def one() -> object:
        kalman = ExtendedKalmanFilter(dim_x=STATES, dim_z=1)
        kalman.x = np.array([[0.5], [0.0], [0.0], [0.0], [1.0], [0.0]])
        kalman.F = np.diag([1.0, 0.9, 0.99, 1.0, 1.0, 1.0])
        kalman.P, kalman.Q, kalman.R = np.eye(STATES) * 1e-3, np.eye(STATES) * 1e-8, np.eye(1) * 1e-4
        return kalman

    filters: list[Any] = [one() for _ in range(cells)]
    measured = np.array([[3.6]])

    def work() -> None:
        for kalman in filters:
            kalman.predict()
            kalman.update(measured, lambda x: slope, lambda x: slope @ x + 3.3)

    return cells / best(work)
