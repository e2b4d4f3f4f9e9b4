"""What converters between cells do to each cell, for estimators that have to count it. Voltages count as equal.

`move` says for each cell's converter the share of the time that it gives charge away and takes charge in (2, cell).
Neighbours: the converter of a cell stands between it and the next one. Module bus: that of a module's first cell works
on the whole module. What a bus or a matrix gives and takes is evened out: it keeps no charge. Where a device measures
what a converter really puts into its cell that counts, and what the other side gets of it. Own equations of the
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


def into_cells(config: Config, move: Floats, voltage: Floats, measured: Floats | None = None) -> Floats:
    """Return what converters put into each cell, (cell,) A.

    voltage   (cell,) V; NaN counts as no difference
    measured  (cell,) A what each cell's own converter puts into it; NaN = not measured: as ordered
    """
    table, owner = config.balance, config.layout.string_of_cell
    topology = table.topology[owner]
    own, other = _sides(config, move, voltage)
    if measured is None:
        return own + other
    bus = topology == Topology.BUS
    measured = np.where(bus, measured[_module_of(config)], measured) if bus.any() else measured
    known = ~np.isnan(measured) & (topology != Topology.NONE)
    share = np.where(topology == Topology.CAPACITOR, 1.0, table.efficiency[owner])
    more = np.where(known, _beyond(measured, share) - _beyond(own, share), 0.0)
    beside = _onwards(np.where((topology <= Topology.CAPACITOR) & has_next(config), more, 0.0))
    pack = config.layout.total(np.where(topology == Topology.FLYBACK, more, 0.0)) / config.series
    return np.where(known, measured, own) + other + beside + pack[owner]


def own_A(config: Config, move: Floats, voltage: Floats) -> Floats:
    """Return what each cell's own converter puts into it when it does as ordered, (cell,) A."""
    return _sides(config, move, voltage)[0]


def _sides(config: Config, move: Floats, voltage: Floats) -> Floats:
    """Return what each cell gets by its own converter, and by those of others, (2, cell) A."""
    table, owner = config.balance, config.layout.string_of_cell
    topology, result = table.topology[owner], np.zeros((2, owner.size))
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
                result[0] += _pooled(config, drive[:, _module_of(config)], table.efficiency**2)
            case _:
                result[0] += _pooled(config, drive, table.efficiency)
    return result


def _beyond(own: Floats, share: Floats) -> Floats:
    """Return what the other side of a converter gets while its own cell gets this, (cell,) A."""
    return np.where(own < 0.0, -share * own, -own / share)


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
    return np.array((share * take - give, _onwards(share * give - take)))


def _capacitor(config: Config, drive: Floats, voltage: Floats) -> Floats:
    falls = np.append(voltage[:-1] - voltage[1:], 0.0)
    flow = np.where(has_next(config) & ~np.isnan(falls), drive.max(axis=0) * falls / CAPACITOR_V, 0.0)
    return np.array((-flow, _onwards(flow)))


def _flyback(config: Config, drive: Floats) -> Floats:
    layout, (give, take) = config.layout, drive
    share = config.balance.efficiency
    common = (share * layout.total(give) - layout.total(take) / share) / config.series
    return np.array((take - give, common[layout.string_of_cell]))


def _pooled(config: Config, drive: Floats, share: Floats) -> Floats:
    """Even out what all put in and take out, per string: the smaller of both counts."""
    layout, (give, take) = config.layout, drive
    put, got = share * layout.total(give), layout.total(take)
    less = np.minimum(put, got)
    take = take * np.divide(less, got, out=np.zeros_like(got), where=got > 0.0)[layout.string_of_cell]
    return take - give * np.divide(less, put, out=np.zeros_like(put), where=put > 0.0)[layout.string_of_cell]
