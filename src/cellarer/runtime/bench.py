"""How fast Cellarer is on this machine: the numbers of docs/design.md §8, each measured on one thread.

Every figure says what it counts. Times are the best of several repetitions where a rate is asked for (other processes
only ever slow a measurement down), percentiles where a latency is asked for.
"""

import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellarer import cells, config
from cellarer.board.tree import write_config
from cellarer.core import estimate as estimators
from cellarer.core.estimate import numpy_form
from cellarer.core.estimate.state import aligned
from cellarer.model.config import Config
from cellarer.runtime.bench_cycle import cycles, parts
from cellarer.runtime.bench_limits import filterpy_rate, roofline, tail

Floats = NDArray[np.float64]

SIZES = (16, 1000, 10000)  # cells
CELL = "panasonic_18650pf"
PACK_OF = 100  # cells in series of one pack in the sites that are measured
CONTROL_CELLS = 10_000
STEP_S = 0.1


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure."""

    seconds: float = 0.6  # per rate
    cycles: tuple[int, ...] = (2000, 500, 150)  # per size
    many: tuple[int, ...] = (100_000, 1_000_000)  # cells out of the caches, multiples of the greatest size
    parts: tuple[tuple[int, int], ...] = ((16, 300), (1000, 100))  # cells, cycles


def bench(effort: Effort, progress: Callable[[float], None] = lambda fraction: None) -> dict[str, object]:
    """Measure everything. Keys and their meaning: docs/cli.md."""
    found: dict[str, object] = {}
    tasks = list(_tasks(effort))
    for k, (name, task) in enumerate(tasks):
        found[name] = task()
        progress((k + 1) / len(tasks))
    return found


def _tasks(effort: Effort) -> Iterator[tuple[str, Callable[[], object]]]:
    yield "ekf_cell_updates_per_s", lambda: {str(n): ekf_rate(n, effort.seconds) for n in SIZES}
    yield "simulate_cell_steps_per_s", lambda: simulate_rate(effort.seconds)
    yield "replay_cell_updates_per_s", lambda: replay_rate(1000, effort.seconds)
    yield "cycle_ms", lambda: {str(n): cycle_ms(n, count) for n, count in zip(SIZES, effort.cycles, strict=True)}
    yield "start_s", start_s
    yield "rss_MB", lambda: rss_MB(effort.cycles[-1])
    yield "baselines", lambda: baselines(effort)


def rate(fresh: Callable[[], Callable[[], object]], units: float, seconds: float) -> float:
    """Return units per second of the best of five stretches that together take about `seconds`.

    fresh: makes the work anew from its begin, so that every stretch does the same
    """
    work = fresh()
    work()  # compiled and in the caches
    begin = time.perf_counter()
    work()
    once = max(time.perf_counter() - begin, 1e-7)
    repeat = max(1, round(seconds / 5.0 / once))
    best = np.inf
    for _ in range(5):
        work = fresh()
        begin = time.perf_counter()
        for _ in range(repeat):
            work()
        best = min(best, (time.perf_counter() - begin) / repeat)
    return units / best


def _estimator(n: int) -> tuple[estimators.EstimatorConfig, estimators.EstimateState]:
    """Return n cells in the middle of a discharge, with spread."""
    model = cells.load(CELL).model
    kind, one = np.zeros(n, np.int64), np.ones(n)
    tables = estimators.compile_cells([model], kind, one * model.capacity_Ah, one)
    state = estimators.init(tables, np.linspace(0.3, 0.8, n), one * 0.05)
    volts, amperes, temp_degC = _readings(n)
    for dt_s in (0.0, STEP_S, STEP_S):
        state = estimators.step(tables, state, volts, amperes, temp_degC, dt_s)
    return tables, state


def _readings(n: int) -> tuple[Floats, Floats, Floats]:
    return np.linspace(3.5, 3.9, n), np.full(n, -1.5), np.full(n, 24.0)


def ekf_rate(n: int, seconds: float, form: Callable[..., object] | None = None) -> float:
    """Return cell updates per second of the filter over n cells; by default compiled where numba is installed."""
    tables, state = _estimator(n)
    step_buffer = form or _form()

    def fresh() -> Callable[[], object]:
        buffer, fixed = state.buffer.copy(), (tables.tables.node, tables.tables.rows, tables.kind, STEP_S, 0.0, 0.0)
        return lambda: step_buffer(buffer, *fixed)

    return rate(fresh, n, seconds)


def many_rate(n: int, seconds: float) -> float:
    """Return cell updates per second of the filter over many times the same cells, swept once after the other."""
    tables, state = _estimator(SIZES[-1])
    times = n // SIZES[-1]
    buffer, kind, step_buffer = aligned(times * state.buffer.size), np.tile(tables.kind, times), _form()
    buffer.reshape(times, -1)[:] = state.buffer
    fixed = (tables.tables.node, tables.tables.rows, kind, STEP_S, 0.0, 0.0)
    return rate(lambda: lambda: step_buffer(buffer, *fixed), n, seconds)


def _form() -> Callable[..., object]:
    if estimators.HAS_KERNEL:
        from cellarer.core.estimate import kernel

        return kernel.step_buffer
    return numpy_form.step_buffer


def replay_rate(n: int, seconds: float) -> float:
    """Return cell updates per second of n cells over 100 rows with the time loop inside the kernel."""
    tables, state = _estimator(n)
    rows = 100
    volts, amperes, temp_degC = (np.tile(x, (rows, 1)) for x in _readings(n))
    dt_s = np.full(rows, STEP_S)

    def work() -> object:
        return estimators.run_block(tables, state, volts, amperes, temp_degC, dt_s, rows)

    return rate(lambda: work, float(n * rows), seconds)


def simulate_rate(seconds: float) -> float:
    """Return cell steps per second of the simulated world: 96s4p, every one of 384 cells, over a stretch of time."""
    from cellarer.sim.bench import cell_steps_per_s  # not for those who only measure the cycle

    return cell_steps_per_s(seconds)


def site_of(n: int) -> Config:
    """Return a site of n cells without switchgear, in packs of PACK_OF cells."""
    series = min(n, PACK_OF)
    packs = [
        {"name": f"p{k}", "cell": CELL, "series": series, "temperature_sensors": max(1, series // 8)}
        for k in range(n // series)
    ]
    signals = ["cell_voltage", "current", "temp_degC", "string_voltage"]
    return config.build({"name": "bench", "pack": packs, "signals": signals}, "bench").config


def cycle_ms(n: int, count: int) -> dict[str, float]:
    """Return percentiles of the whole cycle of n cells, in ms; estimation is due in every fifth."""
    took = np.array(list(cycles(site_of(n), count)))[count // 10 :] * 1e3
    return {"p50": float(np.percentile(took, 50)), "p99": float(np.percentile(took, 99))}


def start_s() -> float:
    """Return seconds from starting Python to the end of the first cycle, as control does it, with warm caches."""
    alone(16, 1)  # fills the caches
    return min(alone(16, 1)[0] for _ in range(3))


def version_s() -> float:
    """Return seconds that `cellarer --version` takes, the best of five."""
    program = [
        sys.executable,
        "-c",
        "import sys; sys.argv = ['cellarer', '--version']; from cellarer.cli import main; main()",
    ]
    return min(timeit.repeat(lambda: subprocess.run(program, check=True, capture_output=True), number=1, repeat=5))


def rss_MB(count: int) -> float:
    """Return the resident memory of a process like control after so many cycles of 10 000 cells, in MB."""
    return alone(CONTROL_CELLS, count)[1]


def alone(n: int, count: int) -> tuple[float, float]:
    """Run cycles of n cells in a process of their own. Returns its duration in s and its resident memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config"
        sha256 = write_config(path, site_of(n))
        command = [sys.executable, "-m", "cellarer.runtime.bench_cycle", str(path), sha256, str(count)]
        begin = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return time.perf_counter() - begin, float(done.stdout)


def baselines(effort: Effort) -> dict[str, object]:
    """Return what to hold the figures against, and where the time of a cycle goes. Keys: docs/cli.md."""
    tables, state = _estimator(1000)
    readings, seconds = _readings(1000), effort.seconds

    def work() -> object:
        return estimators.step(tables, state, *readings, STEP_S)

    ours, plain, foreign = ekf_rate(1000, seconds), ekf_rate(1000, seconds, numpy_form.step_buffer), filterpy_rate()
    return {
        "compiled": estimators.HAS_KERNEL,
        "numpy_ekf_cell_updates_per_s": plain,
        "filterpy_cell_updates_per_s": number(foreign),
        "over_numpy": ours / plain,
        "over_filterpy": number(ours / foreign),
        "estimator_step_cell_updates_per_s": rate(lambda: work, 1000.0, seconds),
        "ekf_cell_updates_per_s": {str(n): many_rate(n, seconds) for n in effort.many},
        "version_s": version_s(),
        "machine_p99_over_p50": tail(),
        "cycle_parts_us": {str(n): parts(site_of(n), count) for n, count in effort.parts},
        "roofline": {name: number(value) for name, value in roofline().items()},
    }


def number(value: float) -> float | None:
    """Return the value for JSON: what could not be measured is null."""
    return value if np.isfinite(value) else None
