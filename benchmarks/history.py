"""Size and speed of the history: 200 channels at 1 Hz. Prints the numbers that docs/why/history.md states.

.venv/bin/python benchmarks/history.py [--hours 6]
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cellarer.history import Reader
from cellarer.history.columns import SLOT_S
from cellarer.history.database import Database, Frame, Retention
from cellarer.history.events import prepare

EVENTS = 100_000
CELLS, TEMPS, CURRENTS = 160, 30, 10
NAMES = (
    *(f"pack1.string1.cell{i:03d}_voltage_V" for i in range(1, CELLS + 1)),
    *(f"pack1.string1.temp{i:02d}_degC" for i in range(1, TEMPS + 1)),
    *(f"pack1.string{i}.current_A" for i in range(1, CURRENTS + 1)),
)
BEGIN_S = 1.7e9 // SLOT_S * SLOT_S


def sample(rng: np.random.Generator, second: int, current: float, spread: np.ndarray) -> Frame:
    """Return one noisy second: 0.7 mV, 0.05 K and 0.3 A of noise."""
    cells = 3.3 + spread + current * 3e-4 + rng.normal(0, 7e-4, CELLS) + 0.02 * np.sin(second / 5000)
    temps = 25 + np.sin(second / 4000) + rng.normal(0, 0.05, TEMPS)
    currents = current + rng.normal(0, 0.3, CURRENTS)
    return Frame(BEGIN_S + second, NAMES, np.concatenate([cells, temps, currents]))


def chain() -> None:
    """Print how long the services verify the chain of events at their start."""
    fault = {
        "kind": "fault", "name": "cell_over_voltage_maximum", "pack": 1, "string": 1, "cell": 3, "value": 3.66,
        "limit": 3.65, "cause": "cell 3 of string 1", "text": "cell 3 above its maximum: 3.66 V, limit 3.65 V",
    }  # fmt: skip
    with TemporaryDirectory() as folder, Database(Path(folder) / "history.db", Retention()) as database:
        database.write_events([prepare({**fault, "seq": i, "unix_s": BEGIN_S + i}, "control") for i in range(EVENTS)])
        begin = time.perf_counter()
        assert Reader(database.path).first_break() is None
        print(f"chain      {time.perf_counter() - begin:.1f} s to verify {EVENTS} events")


def main() -> None:
    """Write, then read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=6.0)
    seconds = int(parser.parse_args().hours * 3600)
    rng = np.random.default_rng(1)
    spread, current, longest = rng.normal(0, 0.005, CELLS), 0.0, 0.0
    with TemporaryDirectory() as folder:
        path = Path(folder) / "history.db"
        begin = time.perf_counter()
        with Database(path, Retention()) as database:
            for second in range(seconds):
                current = rng.normal(0, 40) if second % 60 == 0 else current
                database.write_frames([sample(rng, second, current, spread)])
                moment = time.perf_counter()
                while database.fold_due(BEGIN_S + second):
                    pass
                longest = max(longest, time.perf_counter() - moment)
        values = seconds * len(NAMES)
        print(f"written    {values / (time.perf_counter() - begin):,.0f} values/s, one commit per second of data")
        print(f"fold       {1e3 * longest:.0f} ms at most for {len(NAMES)} channels of 15 minutes")
        print(f"size       {path.stat().st_size / values:.2f} bytes per value")
        for names, span_s in ((NAMES[:1], 900), (NAMES[:1], seconds), (NAMES[:16], seconds)):
            moment = time.perf_counter()
            Reader(path).table(names, BEGIN_S + seconds - span_s, BEGIN_S + seconds, 1000)
            spent_ms = 1e3 * (time.perf_counter() - moment)
            print(f"read       {spent_ms:.0f} ms for {len(names)} channels over {span_s / 3600:g} h")
    chain()


if __name__ == "__main__":
    main()
