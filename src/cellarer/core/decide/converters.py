"""What converters between cells do to each cell, for estimators that have to count it. Voltages count as equal.

`move` says for each cell's converter the share of the time that it gives charge away and takes charge in (2, cell).
Neighbours: the converter of a cell stands between it and the next one. Module bus: that of a module's first cell works
on the whole module. What a bus or a matrix gives and takes is evened out: it keeps no charge. Own equations of the
programme that plans them (`plan.transfer`) and of the simulated world: tests compare all three.
"""

from functools import lru_cache

import numpy as np

from cellarer.model.config import CAPACITOR_V, Config, Topology
from cellarer.model.values import Bools, Floats, Ints


@lru_cache(maxsize=16)
def kinds(config: Config) -> tuple[int, ...]:
    """Return the topologies that this site has."""
    return tuple(sorted({int(k) for k in config.balance.topology} - {int(Topology.NONE)}))


def into_cells(config: Config, move: Floats, voltage: Floats) -> Floats:
    """Return what converters put into each cell, (cell,) A. voltage (cell,) V; NaN counts as no difference."""
    table, owner = config.balance, config.layout.string_of_cell
    topology, result = table.topology[owner], np.zeros(owner.size)
    for kind in kinds(config):
        drive = np.where(topology == kind, move * table.move_A[owner], 0.0)
        match kind:
            case Topology.SHUTTLE:
                result += _shuttle(config, drive)
            case Topology.CAPACITOR:
                result += _capacitor(config, drive, voltage)
            case Topology.FLYBACK:
                result += _flyback(config, drive)
            case Topology.BUS:
                result += _pooled(config, drive[:, _module_of(config)], table.efficiency**2)
            case _:
                result += _pooled(config, drive, table.efficiency)
    return result


@lru_cache(maxsize=16)
def has_next(config: Config) -> Bools:
    """Return which cells have a next one in their string, (cell,)."""
    owner = config.layout.string_of_cell
    return np.append(owner[1:] == owner[:-1], False)


@lru_cache(maxsize=16)
def _module_of(config: Config) -> Ints:
    """Return the first cell of the module of each cell, (cell,)."""
    owner, first = config.layout.string_of_cell, config.layout.first_cell
    place = np.arange(owner.size) - first[owner]
    module = config.balance.module[owner]
    return np.asarray(first[owner] + place // module * module)


def _onwards(x: Floats) -> Floats:
    """Shift by one cell: what the converter of a cell does to the next one."""
    return np.concatenate(([0.0], x[:-1]))


def _shuttle(config: Config, drive: Floats) -> Floats:
    give, take = np.where(has_next(config), drive, 0.0)
    share = config.balance.efficiency[config.layout.string_of_cell]
    return share * take - give + _onwards(share * give - take)


def _capacitor(config: Config, drive: Floats, voltage: Floats) -> Floats:
    falls = np.append(voltage[:-1] - voltage[1:], 0.0)
    flow = np.where(has_next(config) & ~np.isnan(falls), drive.max(axis=0) * falls / CAPACITOR_V, 0.0)
    return _onwards(flow) - flow


def _flyback(config: Config, drive: Floats) -> Floats:
    layout, (give, take) = config.layout, drive
    share = config.balance.efficiency
    common = (share * layout.total(give) - layout.total(take) / share) / config.series
    return take - give + common[layout.string_of_cell]


def _pooled(config: Config, drive: Floats, share: Floats) -> Floats:
    """Even out what all put in and take out, per string: the smaller of both counts."""
    layout, (give, take) = config.layout, drive
    put, got = share * layout.total(give), layout.total(take)
    less = np.minimum(put, got)
    take = take * np.divide(less, got, out=np.zeros_like(got), where=got > 0.0)[layout.string_of_cell]
    return take - give * np.divide(less, put, out=np.zeros_like(put), where=put > 0.0)[layout.string_of_cell]
