"""Golden runs: scripted minutes of shipped sites, kept as JSON.

Renew them with `python -m tests.closed_loop.golden`, then review what changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tests.closed_loop.world import World

FOLDER = Path(__file__).parent / "golden"


def ask(world: World, **wanted: bool) -> None:
    world.step(replace(world.none, **{name: np.full(world.layout.size["pack"], v) for name, v in wanted.items()}))


def over_voltage_and_back(world: World) -> None:
    """A cell is too high, the pack opens; cured, a reset and a person close it again."""
    world.closed().run(3.0)
    volts = float(world.site.cells[0].limits.voltage_max[2]) + 0.05
    world.plant.inject("cell_sensor_rail", 0, 4, volts, start_s=world.now_ns * 1e-9, shape="intermittent")
    world.run(1.9)
    world.plant.faults.all.clear()
    world.plant.knobs.reset()
    world.run(8.0)
    ask(world, reset=True)
    world.run(1.0)
    ask(world, close=True)
    world.run(4.0)


def silent_module(world: World) -> None:
    """A module controller falls silent and comes back: the pack opens, and closes by its standing wish."""
    world.closed().run(3.0)
    world.silence(next(d for d in world.site.file.device if d.name == "module 1"))
    world.run(3.0)
    world.mute[:] = False
    world.run(10.0)


def opened_by_a_person(world: World) -> None:
    """Opening asks nobody."""
    world.closed().run(5.0)
    ask(world, open=True)
    world.run(8.0)


RUNS: dict[str, tuple[str, Callable[[World], None]]] = {
    "home over-voltage": ("home", over_voltage_and_back),
    "ebike over-voltage": ("ebike", over_voltage_and_back),
    "ev silent module": ("ev", silent_module),
    "home opened": ("home", opened_by_a_person),
}


def record(name: str) -> dict[str, Any]:
    """Return what a run leaves: its events in order and final values."""
    site, script = RUNS[name]
    world = World(site, seed=11)
    script(world)
    state = world.state
    events = [[round(e.time_ns * 1e-9, 3), e.kind, e.name, e.string, e.cell] for e in world.events]
    final = {
        "phase": state.switches.phase.tolist(), "closings": state.switches.closings.tolist(),
        "soc": round(float(state.estimate.string_soc[0]), 4), "charge_V": round(float(state.window.charge_V[0]), 3),
        "discharge_Ah": round(float(state.counters.discharge_Ah[0]), 5),
        "charge_Ah": round(float(state.counters.charge_Ah[0]), 5),
    }  # fmt: skip
    return {"site": site, "events": events, "final": final}


def file_of(name: str) -> Path:
    return FOLDER / f"{name.replace(' ', '_')}.json"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for run in RUNS:
        kept = record(run)
        lines = ",\n".join("  " + json.dumps(e, ensure_ascii=False) for e in kept["events"])
        final = json.dumps(kept["final"])
        text = f'{{"site": "{kept["site"]}", "final": {final},\n "events": [\n{lines}\n]}}\n'
        file_of(run).write_text(text, encoding="utf-8")
        print(file_of(run).name, len(kept["events"]), "events")
