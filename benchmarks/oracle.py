"""Does a model that we did not write say the same? PyBaMM's equivalent circuit beside ours, on a drive cycle.

    python benchmarks/oracle.py [--python PYTHON_WITH_PYBAMM] [--json]

PyBaMM (BSD-3-Clause) lives in an environment of its own, .oracle beside this repository's .venv: made on the first
run, which needs a package index. The same tables go to both; ours predicts without ever seeing a voltage. Hysteresis is
off (PyBaMM's circuit has none) and temperature stays at 25 degC. PyBaMM keeps the voltage of an RC element as its state
where we keep its current: they part where resistance changes with SOC within a time constant. So each cell is compared
twice: with R1 and R2 level over SOC, where both laws are the same, and as it is.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from dataclasses import replace
from pathlib import Path

import numpy as np

from cellarer.cells import load
from cellarer.core import estimate
from cellarer.core.estimate.fields import NODE_WIDTH, ROW_WIDTH
from cellarer.core.estimate.tables import TEMP_POINTS, compile_tables, temperature_grid
from cellarer.model.cell import SOC_POINTS, CellModel

ROOT = Path(__file__).resolve().parent.parent
CELLS = ("panasonic_18650pf", "lg_18650hg2", "a123_26650", "lto_23ah")
PACKAGE = "pybamm==26.10.1.1"
SECONDS, SOC = 3000, 0.9
EVEN_V, MOST_V = 0.001, 0.010  # worst row with R1 and R2 level over SOC, where both are the same law; and as they are


def environment() -> Path:
    """Python of the environment with PyBaMM; made where there is none."""
    folder = ROOT / ".oracle"
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"making {folder} with {PACKAGE}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PACKAGE], check=True, stdout=sys.stderr)
    return python


def drive(capacity_Ah: float, seed: int = 5) -> np.ndarray:
    """Current at 1 s: rests, pulls and regeneration of random length and height, mostly discharging."""
    rng = np.random.default_rng(seed)
    parts = [np.zeros(20)]
    while sum(map(len, parts)) < SECONDS:
        height = rng.choice([0.0, rng.uniform(-1.6, -0.1), rng.uniform(0.1, 0.7)], p=[0.2, 0.6, 0.2])
        parts.append(np.full(int(rng.integers(3, 60)), height * capacity_Ah))
    return np.concatenate(parts)[:SECONDS]


def ours(model: CellModel, current: np.ndarray) -> np.ndarray:
    """Voltage that the estimator's model predicts at each row; it sees current and temperature, never a voltage."""
    cfg = estimate.compile_cells([model], np.zeros(1, int), np.array([model.capacity_Ah]), np.ones(1))
    state = estimate.init(cfg, np.array([SOC]), np.array([0.01]))
    temp, unknown, out = np.array([25.0]), np.array([np.nan]), np.empty(len(current))
    for row, amperes in enumerate(current):
        state = estimate.step(cfg, state, unknown, np.array([amperes]), temp, 1.0 if row else 0.0)
        out[row] = estimate.voltage_model(cfg, state)[0]
    return out


def level(rows: np.ndarray) -> np.ndarray:
    """The same at every SOC: the mean of each temperature."""
    return np.repeat(rows.mean(axis=1, keepdims=True), rows.shape[1], axis=1)


def compare(name: str, even: bool, python: Path, folder: Path) -> dict[str, float | str | bool]:
    """Difference of both models for one cell; `even`: resistance of the RC elements level over SOC."""
    model = load(name).model
    model = replace(model, hysteresis=np.zeros_like(model.hysteresis))
    if even:
        model = replace(model, r1=level(model.r1), r2=level(model.r2))
    tables = compile_tables([model])
    at = int(np.argmin(np.abs(temperature_grid() - 25.0)))
    node = tables.node.reshape(TEMP_POINTS, SOC_POINTS, NODE_WIDTH)[at]
    slow, fast, per_exchange = tables.rows.reshape(TEMP_POINTS, ROW_WIDTH)[at][[1, 0, 2]]
    current = drive(model.capacity_Ah)
    given, found = folder / f"{name}.npz", folder / f"{name}_out.npz"
    np.savez(
        given, time_s=np.arange(SECONDS, dtype=float), current_A=current, soc=SOC, capacity_Ah=model.capacity_Ah,
        soc_grid=np.linspace(0.0, 1.0, SOC_POINTS), ocv=node[:, 0], r0=node[:, 2], r1=node[:, 3], r2=node[:, 4],
        tau1=1.0 / fast, tau2=1.0 / slow, exchange_A=1.0 / max(per_exchange, 1e-6),
    )  # fmt: skip
    subprocess.run([python, Path(__file__).with_name("oracle_pybamm.py"), given, found], check=True, stdout=sys.stderr)
    theirs = np.load(found)
    away = ours(model, current) - theirs["voltage"]
    rms, worst = 1e3 * float(np.sqrt(np.mean(away**2))), 1e3 * float(np.abs(away).max())
    return {"cell": name, "level": even, "rms_mV": rms, "worst_mV": worst, "pybamm": str(theirs["version"])}


def main() -> int:
    """Compare all cells; exit code 1 where the models disagree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, default=None, help="a Python that has PyBaMM (default: make .oracle)")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    options = parser.parse_args()
    python = options.python or environment()
    with tempfile.TemporaryDirectory() as folder:
        rows = [compare(name, even, python, Path(folder)) for name in CELLS for even in (True, False)]
    good = all(row["worst_mV"] < 1e3 * (EVEN_V if row["level"] else MOST_V) for row in rows)
    if options.json:
        print(json.dumps({"agrees": good, "cells": rows}))
    else:
        for row in rows:
            tables = "R1 and R2 level over SOC" if row["level"] else "as in the cell file"
            away = f"root mean square {row['rms_mV']:.3f} mV, worst {row['worst_mV']:.3f} mV"
            print(f"{row['cell']:20s} {tables:26s} {away}")
        print(f"PyBaMM {rows[0]['pybamm']}: {'agrees' if good else 'DISAGREES'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
