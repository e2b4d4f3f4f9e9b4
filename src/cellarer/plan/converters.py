"""What converters do until the next plan: the linear programme where SciPy is there, else the rule of `feedback`.

The programme of least time burns charge to be a little sooner; one that may take a few per cent longer loses far less.
So the time comes from the first, the moves from the second. Moves run side by side, each for its share of the time, so
all end together and nobody is emptied on the way. Doubt draws cells towards each other, as for doses.
"""

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from cellarer.model.config import Config, Topology
from cellarer.model.values import Estimate
from cellarer.plan import balance, feedback, transfer
from cellarer.plan.balance import Report

Floats = NDArray[np.float64]

START, GOAL = 0.006, 0.003  # 1: spread of SOC at which converters begin, and to which they work
LONGER = 1.02  # times the least time, for less loss
# A plan lives for a part of the whole, at least as long as a turn of bleeding, or until all is done: simulations take
# steps of 50 s. None is shorter than LEAST_S
SLOTS, LEAST_S, SHORTEST_S, LONGEST_S = 20, 30.0, 120.0, 900.0
MATRIX_MOST, CELLS_MOST = 60, 1000  # cells; larger programmes take too long for a slot


@dataclass(frozen=True, slots=True, eq=False)
class Drives:
    """What converters do next, and the whole programme."""

    move: Floats  # (2, cell) as Command.move
    slot_s: float
    finish_s: Floats  # (string,) at full availability; 0 = nothing to do, NaN = by the rule, which does not know
    lost_Wh: Floats  # (string,)
    usable_Ah: Floats  # (string,) at least, once done; NaN = not known: not every cell, or by voltage alone

    def report(self, figures: Report) -> Report:
        """Return figures with those of strings that have converters put in."""
        active = self.finish_s != 0.0
        return {
            "finish_s": np.where(active, self.finish_s, figures["finish_s"]),
            "lost_Wh": np.where(active, self.lost_Wh, figures["lost_Wh"]),
            "usable_after_Ah": np.where(active, self.usable_Ah, figures["usable_after_Ah"]),
        }


def drives(config: Config, estimate: Estimate, goal: float = GOAL) -> Drives:
    """Return the next slot of every string with converters, towards a spread of SOC of `goal`."""
    layout, table = config.layout, config.balance
    strings = layout.size["string"]
    move, (seconds, lost, usable) = np.zeros((2, layout.size["cell"])), np.zeros((3, strings))
    likely = balance.likely_soc(layout, estimate.soc, estimate.soc_sigma)
    for string in np.flatnonzero(table.topology != Topology.NONE).tolist():
        mine = np.flatnonzero(layout.string_of_cell == string)
        soc, capacity = likely[mine], estimate.capacity_Ah[mine]
        if not (np.isfinite(soc).all() and np.ptp(soc) > max(START, goal)):
            continue
        cells = (soc, capacity, estimate.voltage_model[mine])
        move[:, mine], seconds[string], lost_Ah = _string(config, string, cells, goal)
        lost[string] = lost_Ah * float(estimate.voltage_model[mine].mean())
        # with all SOC from z to z + w: min zQ + min (1 − z)Q is no less than (1 − w) min Q
        evens = table.topology[string] not in (Topology.CAPACITOR, Topology.BUS)
        usable[string] = (1.0 - max(START, goal)) * capacity.min() if evens else np.nan
    work = np.where(np.isnan(seconds), SHORTEST_S, seconds)[seconds != 0.0]
    least_s = float(work.min()) if work.size else np.inf
    slot_s = min(max(least_s / SLOTS, SHORTEST_S), max(least_s, LEAST_S), LONGEST_S)
    return Drives(move, slot_s, seconds, lost, usable)


def _string(
    config: Config, string: int, cells: tuple[Floats, Floats, Floats], goal: float
) -> tuple[Floats, float, float]:
    """Return (drives, seconds, lost Ah) of one string; all 0 where the hardware cannot do it.

    cells: SOC, capacity Ah, voltage V; (cell of the string,) each
    """
    kind, table = Topology(int(config.balance.topology[string])), config.balance
    if kind == Topology.BUS:
        cells = _modules(int(table.module[string]), cells)
    if find_spec("scipy") is not None and kind != Topology.CAPACITOR and cells[0].size <= _most(kind):
        hardware = transfer.hardware(config, string, cells[0].size)
        best = transfer.least_time(hardware, *cells[:2], goal)
        if best is not None and best.seconds > 0.0:
            allowed_s = best.seconds * LONGER
            best = transfer.least_loss(hardware, *cells[:2], goal, allowed_s) or best
            share = np.minimum(best.move_s / max(allowed_s, LEAST_S), 1.0)
            return transfer.by_cell(config, string, share), allowed_s, best.lost_Ah
    current = float(table.move_A[string])
    move = feedback.drive(kind, cells, goal, float(table.efficiency[string]), current * SHORTEST_S / 3600.0)
    if kind == Topology.MATRIX:  # what one cell gives another takes, through so many converters at once
        both = move.sum(axis=1, keepdims=True)
        move = move * (min(float(both.min()), float(table.converters[string])) / np.maximum(both, 1e-12))
    if kind == Topology.BUS:
        modules, move = move, np.zeros((2, int(config.series[string])))
        move[:, :: int(table.module[string])] = modules
    return move, float("nan") if move.any() else 0.0, float("nan")


def _most(kind: Topology) -> int:
    return MATRIX_MOST if kind == Topology.MATRIX else CELLS_MOST


def _modules(size: int, cells: tuple[Floats, Floats, Floats]) -> tuple[Floats, Floats, Floats]:
    """Return modules as if they were cells: a converter that works on a whole module sees its mean."""
    first = np.arange(0, cells[0].size, size)
    count = np.diff(np.append(first, cells[0].size))
    soc, capacity, voltage = (np.add.reduceat(x, first) / count for x in cells)
    return soc, capacity, voltage
