"""Converters between cells as a circuit: power in times efficiency is power out, at the voltages of the moment.

Own equations: control and planners count voltages as equal. A cell below its cut-off gives nothing, as real converters
lock out; what a bus or a matrix holds does not change, so of what is given and what is taken the smaller power counts.
"""

import numpy as np
from numpy.typing import NDArray

from cellarer.model.config import CAPACITOR_V, Config, Topology

Floats = NDArray[np.float64]

NO_VOLTS = 1e-3  # V: below it a converter has nothing to work on


class Converters:
    """The converters of all strings."""

    def __init__(self, config: Config) -> None:
        self.config, self.layout = config, config.layout
        self.strings = np.flatnonzero(config.balance.topology != Topology.NONE).tolist()

    def into_cells(self, move: Floats, volts: Floats) -> Floats:
        """Return the current into each cell, (cell,) A. move (2, cell) share of the time; volts (cell,)."""
        return np.asarray(self.sides(move, volts).sum(axis=0))

    def sides(self, move: Floats, volts: Floats) -> Floats:
        """Return the current into each cell by its own converter, and by those of others, (2, cell) A."""
        result = np.zeros((2, volts.size))
        if not move.any():
            return result
        for string in self.strings:
            first = int(self.layout.first_cell[string])
            mine = slice(first, first + int(self.config.series[string]))
            drive, cell_V = np.clip(move[:, mine], 0.0, 1.0), np.maximum(volts[mine], NO_VOLTS)
            result[:, mine] = self._string(string, drive, cell_V)
        return result

    def _string(self, string: int, move: Floats, volts: Floats) -> Floats:
        table = self.config.balance
        share, drive = float(table.efficiency[string]), move * float(table.move_A[string])
        match table.topology[string]:
            case Topology.SHUTTLE:
                return _between(drive[0, :-1], drive[1, :-1], volts, share)
            case Topology.CAPACITOR:
                flow = drive.max(axis=0)[:-1] * -np.diff(volts) / CAPACITOR_V
                return np.array((-np.append(flow, 0.0), np.append(0.0, flow)))
            case Topology.FLYBACK:
                power = share * (drive[0] * volts).sum() - (drive[1] * volts).sum() / share
                return np.array((drive[1] - drive[0], np.full(volts.size, power / volts.sum())))
            case Topology.BUS:
                size = int(table.module[string])
                wide = np.repeat(drive[:, ::size], size, axis=1)[:, : volts.size]
                return np.array((_pooled(wide, volts, share * share), np.zeros(volts.size)))
            case _:
                return np.array((_pooled(drive, volts, share), np.zeros(volts.size)))


def _between(up: Floats, down: Floats, volts: Floats, share: float) -> Floats:
    """Pass charge to the next cell (up) and back (down), (cell − 1,) A out of the one that gives."""
    low, high = volts[:-1], volts[1:]
    own = share * down * high / low - up
    other = share * up * low / high - down
    return np.array((np.append(own, 0.0), np.append(0.0, other)))


def _pooled(drive: Floats, volts: Floats, share: float) -> Floats:
    """Give into a common store and take out of it what it gets."""
    give, take = drive * volts
    put, got = share * give.sum(), take.sum()
    less = min(put, got)
    if less <= 0.0:
        return np.zeros(volts.size)
    return np.asarray((take * (less / got) - give * (less / put)) / volts)
