"""How often estimated faults are named on healthy packs, and on packs that have them (core/decide/diagnose.py).

    python benchmarks/diagnose.py [--packs 500] [--seed 1]

Packs of 16 cells with healthy spread (capacity 1 %, resistance 5 %, SOC 1 %) whose estimates err as far as their sigma
says (SOC 0.5 points, capacity 1 %, resistance 4 %, offset 0.05 % of C), looked at twice, two days apart. It draws what
the estimators say, not their inner life: errors that sigma does not know of are judged by benchmarks/accuracy.py.
"""

import argparse
import sys
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellarer import config as sites
from cellarer.core import estimate
from cellarer.core.cycle import start
from cellarer.core.decide import diagnose
from cellarer.core.decide.look import Look
from cellarer.core.estimate.state import copied, put
from cellarer.core.slow import compiled
from cellarer.model.config import Config
from cellarer.model.values import SUSPICIONS, State

Floats = NDArray[np.float64]

CELLS, PARALLEL, HOURS = 16, 4, 48.0
SOC_SIGMA, CAPACITY_SIGMA, SCALE_SIGMA, OFFSET_SIGMA = 0.005, 0.01, 0.04, 5e-4
BAD = 5  # the cell that has the fault
FAULTS = ("none", "leak C/1000", "leak C/300", "resistance x1.8", "resistance x2.2", "capacity -15 %", "capacity -20 %",
          "one of four lost", "offset 1 % of C")  # fmt: skip


def site() -> Config:
    """Return a site of one string that measures what diagnosis needs."""
    pack = {"name": "a", "cell": "panasonic_18650pf", "series": CELLS, "parallel": PARALLEL, "temperature_sensors": 2}
    signals = ["cell_voltage", "current", "temp_degC"]
    return sites.build({"name": "diagnose", "pack": [pack], "signals": signals}, "diagnose").config


def truth(fault: str, g: np.random.Generator) -> tuple[Floats, Floats, Floats, Floats, float]:
    """Return SOC then and now, capacity over the site's, resistance scale, and the sensor's offset in C."""
    bad = np.arange(CELLS) == BAD
    soc, capacity = 0.5 + 0.01 * g.normal(size=CELLS), 1.0 + 0.01 * g.normal(size=CELLS)
    scale, offset, lost = 1.1 + 0.05 * g.normal(size=CELLS), 0.0, 0.0
    match fault.split():
        case "leak", rate:
            lost = HOURS / float(rate[2:])
        case "resistance", times:
            scale = np.where(bad, float(times[1:]), 1.0) * scale
        case "capacity", less, _:
            capacity = np.where(bad, 1.0 + float(less) / 100.0, 1.0) * capacity
        case "one", *_:
            capacity = np.where(bad, (PARALLEL - 1) / PARALLEL, 1.0) * capacity
            scale = np.where(bad, PARALLEL / (PARALLEL - 1), 1.0) * scale
        case "offset", share, *_:
            offset = float(share) / 100.0
    return soc, soc - np.where(bad, lost, 0.0), capacity, scale, offset


def told(config: Config, soc: Floats, capacity: Floats, scale: Floats, offset: float, g: np.random.Generator) -> Any:
    """Return the estimators' memory, every value wrong by a draw of its sigma."""
    cfg, one = compiled(config), np.ones(CELLS)
    capacity_Ah = config.capacity_Ah * capacity * (1.0 + CAPACITY_SIGMA * g.normal(size=CELLS))
    seen = soc + SOC_SIGMA * g.normal(size=CELLS)
    said = estimate.init(
        cfg,
        seen,
        SOC_SIGMA * one,
        capacity_Ah,
        CAPACITY_SIGMA * capacity_Ah,
        scale + SCALE_SIGMA * g.normal(size=CELLS),
    )
    buffer, pairs, q = copied(said.buffer), said.pairs.copy(), config.capacity_Ah / PARALLEL
    put(buffer, "b", (offset + OFFSET_SIGMA * g.normal()) * q)
    put(buffer, "p44", SCALE_SIGMA**2 * one)
    put(buffer, "p55", (OFFSET_SIGMA * q) ** 2)
    estimate.Pairs(*pairs).closed[:] = 5.0
    return estimate.EstimateState(buffer, said.unknown, pairs)


def named(config: Config, begin: State, fault: str, g: np.random.Generator) -> set[str]:
    """Return the rows that two looks at one pack make bad."""
    then, now, capacity, scale, offset = truth(fault, g)
    world, unused = begin, None
    for soc, hours in ((then, 0.0), (now, HOURS)):
        look = Look(config, unused, unused, unused, world, round(hours * 3.6e12) + 1)  # type: ignore[arg-type]
        memory = told(config, soc, capacity, scale, offset, g)
        world = replace(world, diagnosis=diagnose.diagnose(look, compiled(config), memory))
    table, value = config.faults, world.diagnosis.value
    rows = [k for k, signal in enumerate(table.signal) if signal in SUSPICIONS]
    return {table.name[k] for k in rows if value[SUSPICIONS.index(table.signal[k]), 0] > table.trip[k, 0]}


def main() -> None:
    """Print per fault how many packs got which row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packs", type=int, default=500, help="per fault")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    config = site()
    begin, g = start(config, 0), np.random.default_rng(chosen.seed)
    for fault in FAULTS:
        print(f"{fault} …", file=sys.stderr, flush=True)
        found = [named(config, begin, fault, g) for _ in range(chosen.packs)]
        shares = {row: sum(row in one for one in found) / len(found) for row in sorted(set().union(*found))}
        print(f"{fault:18}" + (", ".join(f"{row} {100 * share:.1f} %" for row, share in shares.items()) or "nothing"))


if __name__ == "__main__":
    main()
