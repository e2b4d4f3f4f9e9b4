"""Random valid sites: cells, switchgear, sensors and periods by chance.

`python -m tests.campaign.sites N SEED` runs a short campaign on N of them and prints what came of it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cellarer.cells.loader import names
from cellarer.config.load import build
from cellarer.runtime import campaign
from cellarer.runtime.campaign import Part, Task
from cellarer.runtime.campaign_cases import MODES

INPUTS = ("emergency_stop", "interlock_open", "crash", "charger_present", "supply_voltage", "gas", "insulation")
FEEDBACK = {
    "none": (), "contactors": ("feedback_minus", "feedback_precharge", "feedback_plus"),
    "fets": ("feedback_charge", "feedback_discharge"), "separate": ("feedback_charge", "feedback_discharge"),
}  # fmt: skip


def table(seed: int) -> dict[str, object]:
    """Return a random site as a table."""
    draw = np.random.default_rng(seed)

    def one(*values: object) -> object:
        return values[int(draw.integers(len(values)))]

    cells, sensors = int(draw.integers(1, 49)), int(draw.integers(1, 9))
    kind = str(one("none", "contactors", "fets", "separate"))
    gear: dict[str, object] = {"kind": kind, "opening_ms": float(draw.integers(5, 60)), "break_A": 20.0}
    if kind == "contactors":
        gear |= {"resistor_ohm": 30.0 + 2.0 * cells, "resistor_max_J": 5000.0}
    chosen = [name for name in INPUTS if draw.random() < 0.6]
    shunt = ["current", *(["string_voltage"] if draw.random() < 0.8 else [])]
    shunt += ["link_voltage"] if kind == "contactors" else []
    return {
        "name": f"random {seed}", "cycle_ms": one(10, 20, 20, 25),
        "pack": [{
            "name": "pack", "cell": one(*names()), "series": cells, "parallel": int(draw.integers(1, 5)),
            "temperature_sensors": sensors, "switchgear": gear,
        }],
        "link": [{"name": "bus", "url": "bench:bus"}],
        "device": [
            {"name": "cells", "protocol": "cmu", "link": "bus", "cells": cells, "temperatures": sensors,
             "signals": ["cell_voltage", "temp_degC", *(["cell_open_wire"] if draw.random() < 0.7 else [])]},
            {"name": "shunt", "protocol": "ivt_s", "link": "bus", "signals": shunt, "period_ms": one(10, 20)},
            {"name": "box", "protocol": "switchbox", "link": "bus", "authority": "switch", "drops_after_ms": 300,
             "period_ms": one(10, 20), "signals": [*FEEDBACK[kind], *chosen]},
        ],
    }  # fmt: skip


def toml(value: dict[str, object]) -> str:
    """Return a table as TOML, for a path that `cellarer campaign` takes."""

    def inline(x: object) -> str:
        if isinstance(x, dict):
            return "{ " + ", ".join(f"{k} = {inline(v)}" for k, v in x.items()) + " }"
        return json.dumps(x)

    lines = []
    for key, item in value.items():
        if isinstance(item, list):
            for part in item:
                lines += [f"[[{key}]]", *(f"{k} = {inline(v)}" for k, v in part.items())]
        else:
            lines.append(f"{key} = {inline(item)}")
    return "\n".join(lines) + "\n"


def run(seed: int, folder: Path, most: int) -> Part:
    """Run a short campaign on a random site: one state of the pack, `most` injections and as many pairs."""
    path = folder / f"random{seed}.toml"
    path.write_text(toml(table(seed)), encoding="utf-8")
    build(table(seed), path.name)
    draw = np.random.default_rng((seed, 1))
    mode = str(draw.choice(MODES))
    valid = [row for row in campaign.possible((str(path),), (mode,)) if not campaign.CASES[row.case].dt_s]
    quick = [row for row in valid if campaign.CASES[row.case].watch_s <= 5.0 and row.shape == "step"]
    chosen = draw.permutation(len(quick))[:most]
    return campaign.do(Task(str(path), mode, seed, tuple((0, quick[k]) for k in chosen)))


def main(count: int, seed: int) -> None:
    with TemporaryDirectory() as folder:
        for k in range(seed, seed + count):
            part = run(k, Path(folder), 12)
            made = table(k)["pack"][0]  # type: ignore[index]
            print(k, made["cell"], made["series"], made["switchgear"]["kind"], len(part.shots), part.pairs, part.unsafe)
            for shot in part.shots:
                if shot.cause:
                    print("   ", shot.fault, shot.mode, shot.row, shot.cause, shot.reaction_s, shot.budget_s)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
