"""How long `cellarer replay` takes for 100 000 rows of one cell, files included. Floor: 30 s (docs/design.md §8).

    python benchmarks/replay_speed.py [--rows 100000] [--recording FILE --cell CELL]

Without a recording, the shipped Panasonic example is repeated, end to end in time, until there are enough rows.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from cellarer.lab import tables

EXAMPLE = Path(__file__).resolve().parents[1] / "data" / "examples" / "panasonic_us06.csv"


def repeated(rows: int, path: Path) -> None:
    """Write the example again and again; every other time with the current turned, so that SOC stays in range."""
    source = tables.read(EXAMPLE)
    times = -(-rows // source.rows)
    length_s = float(source.columns["time_s"][-1]) + 0.1
    columns = {}
    for name in ("time_s", "current_A", "voltage_V", "temperature_degC"):
        parts = [source.columns[name] * (-1.0 if name == "current_A" and k % 2 else 1.0) for k in range(times)]
        if name == "time_s":
            parts = [part + k * length_s for k, part in enumerate(parts)]
        columns[name] = np.concatenate(parts)[:rows]
    tables.write(path, columns)


def measure(recording: Path, cell: str, folder: Path, *options: str) -> float:
    """Return the seconds that the command takes, from the start of Python to the written file."""
    code = "from cellarer.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        "replay",
        str(recording),
        "--cell",
        cell,
        "--out",
        str(folder / "out.parquet"),
    ]
    begin = time.perf_counter()
    subprocess.run([*command, "--json", *options], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main() -> None:
    """Print seconds and rows per second, whole cycle and estimators alone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--recording", type=Path)
    parser.add_argument("--cell", default="panasonic_18650pf")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recording = chosen.recording or folder / "recording.parquet"
        if chosen.recording is None:
            repeated(chosen.rows, recording)
        rows = tables.read(recording).rows
        for what, options in (("whole cycle", ()), ("estimators alone", ("--estimate-only",))):
            seconds = measure(recording, chosen.cell, folder, *options)
            print(f"{what:18} {rows} rows in {seconds:6.1f} s, {rows / seconds:8.0f} rows/s")


if __name__ == "__main__":
    main()
