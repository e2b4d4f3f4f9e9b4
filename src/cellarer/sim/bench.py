"""How fast the simulated world is: cells times steps per second, one thread. Printed by `cellarer bench`."""

import time

import numpy as np

from cellarer import config
from cellarer.sim import stretch
from cellarer.sim.plant import Plant

STEPS, STEP_S = 3600, 1.0
CHARGE_C = 1.0  # profile: up to 1C either way


def pack(cell: str = "a123_26650", series: int = 96, parallel: int = 4) -> Plant:
    """Return the plant that is measured: 2RC, hysteresis, core and surface temperature, spread between members."""
    table: dict[str, object] = {
        "name": "bench",
        "pack": [{"name": "p", "cell": cell, "series": series, "parallel": parallel, "temperature_sensors": 8}],
        "signals": ["cell_voltage", "current", "temp_degC"],
        "simulation": {"load": {"kind": "rest"}},
    }
    site = config.build(table, "bench")
    return Plant(site.config, site.file.simulation)


def cell_steps_per_s(seconds: float = 1.0, cell: str = "a123_26650", kernel: bool = stretch.HAS_NUMBA) -> float:
    """Return single cells times steps per second of an hour in steps of a second; best of what fits in `seconds`.

    Every one of the 96 × 4 cells is stepped every second. CPU time of this thread, compilation excluded.
    """
    plant = pack(cell)
    steps = STEPS if kernel else 60
    amperes = CHARGE_C * plant.config.capacity_Ah[0] * np.sin(np.arange(steps) / 60.0)[:, None]
    stretch.run(plant, amperes, STEP_S, kernel=kernel)
    best, end = np.inf, time.perf_counter() + seconds
    while True:
        begin = time.thread_time()
        stretch.run(plant, amperes, STEP_S, kernel=kernel)
        best = min(best, time.thread_time() - begin)
        if time.perf_counter() > end:
            return float(steps * plant.cells.soc.size / best)
