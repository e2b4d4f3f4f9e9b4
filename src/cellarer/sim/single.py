"""Single cells held at constant power: ground truth for promises of power (SOP), by the world's own equations.

No site, no string, no heat: every cell alone at a temperature that stands. A step is solved as in `cells.py`; the
voltage is that at the end of the step, not its mean.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cellarer.model.cell import CellModel
from cellarer.sim.cells import CURVE_TRIES, CURVED_A, Cells
from cellarer.sim.loads import amperes
from cellarer.sim.tables import compile_tables, look

Floats = NDArray[np.float64]


def rested(models: Sequence[CellModel], kind: NDArray[np.int64], soc: Floats, ohm: Floats, temp_degC: Floats) -> Cells:
    """Return cells at rest, without hysteresis. kind (cell,) into models; ohm (cell,) factor on their resistance."""
    tables, zero, one = compile_tables(models), np.zeros(soc.size), np.ones(soc.size)
    return Cells(
        tables=tables, kind=kind, capacity=np.array([m.capacity_Ah for m in models])[kind] * 3600.0, ohm=ohm,
        exchange=one, hysteresis_rate=np.array([m.hysteresis_rate for m in models])[kind], leak_A=zero, soc=soc,
        i1=zero, i2=zero, hysteresis=zero, current=zero, looked=look(tables, kind, soc, temp_degC), emf_add=zero,
        curved=bool((tables.by_temp[2] < CURVED_A).any()),
    )  # fmt: skip


def hold(cells: Cells, watts: Floats, seconds: float, steps: int, temp_degC: Floats) -> tuple[Floats, Floats, Floats]:
    """Hold constant power; return voltage, current (+ charges) and SOC at the end of every step, (step, cell).

    watts (cell,) + charges. The cells move. One that cannot give its power shows what it gives most with.
    """
    h, volts, flows, socs = seconds / steps, [], [], []
    for _ in range(steps):
        for _ in range(CURVE_TRIES):
            begun = cells.begin(h, temp_degC)
            current = amperes(watts, begun.emf, begun.ohm)
            if cells.follow(begun, current):
                break
        cells.finish(begun, current, h, temp_degC)
        cells.refresh(temp_degC)
        emf, r0 = cells.now(begun)
        flow = amperes(watts, emf, r0)
        volts.append(emf + r0 * flow)
        flows.append(flow)
        socs.append(cells.soc)
    return np.array(volts), np.array(flows), np.array(socs)
