"""Active balancing: which hardware may move charge between which cells, and the best programme by linear programming.

A topology is data: moves, each with its effect on every cell and bus at full drive, and groups of moves that share a
converter. So one programme serves all of them: seconds of each move, such that all cells end within a window of SOC
and no bus keeps charge; in the least time, or with the least loss in a given time. Voltages count as equal within a
string: charge lost on the way then is energy lost. What can be carried out at once in the loop is `feedback.py`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellarer.model.config import Config
from cellarer.model.config import Topology as Kind

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Topology:
    """Hardware of one string."""

    name: str
    effect_A: Floats  # (cell, move) into each cell at full drive
    bus_A: Floats  # (bus, move) into each bus; over a programme a bus keeps nothing
    group: Floats  # (group, move) 1 where the move uses that converter or switch
    at_once: Floats  # (group,) how many of its moves at full drive at the same time

    @property
    def lost_A(self) -> Floats:
        """What leaves the string at full drive, (move,): charge of one cell per second."""
        return np.asarray(-(self.effect_A.sum(axis=0) + self.bus_A.sum(axis=0)))


@dataclass(frozen=True, slots=True, eq=False)
class Programme:
    """How long each move runs."""

    seconds: float  # until all are done
    move_s: Floats  # (move,) at full drive
    lost_Ah: float


def hardware(config: Config, string: int, cells: int) -> Topology:
    """Return the converters of a string as the site file says; for a module bus, cells are modules."""
    table = config.balance
    current, share = float(table.move_A[string]), float(table.efficiency[string])
    match config.balance.topology[string]:
        case Kind.SHUTTLE:
            return shuttle(cells, current, share)
        case Kind.FLYBACK:
            return flyback(cells, current, share)
        case Kind.BUS:
            return bus(cells, 1, current, share)
        case Kind.MATRIX:
            return matrix(cells, current, share, int(table.converters[string]))
    raise ValueError(f"string {string + 1}: no programme for the converters of its balancing.topology")


def by_cell(config: Config, string: int, share: Floats) -> Floats:
    """Return (2, cell of the string) how long each cell's converter gives and takes, from shares of the moves."""
    table, cells = config.balance, int(config.series[string])
    result = np.zeros((2, cells))
    match config.balance.topology[string]:
        case Kind.SHUTTLE:
            result[:, :-1] = share.reshape(2, -1)
        case Kind.BUS:
            result[:, :: int(table.module[string])] = share.reshape(2, -1)
        case Kind.MATRIX:
            source, sink = pairs(cells)
            np.add.at(result[0], source, share)
            np.add.at(result[1], sink, share * float(table.efficiency[string]))
        case _:
            result[:] = share.reshape(2, -1)
    return result


def shuttle(cells: int, current_A: float, efficiency: float) -> Topology:
    """Return one converter between neighbours, both ways: moves k → k+1 first, then k+1 → k."""
    upper, lower = np.eye(cells)[:, 1:], np.eye(cells)[:, :-1]
    effect = np.hstack([efficiency * upper - lower, efficiency * lower - upper]) * current_A
    each = np.hstack([np.eye(cells - 1)] * 2)
    return Topology("shuttle", effect, np.zeros((0, 2 * cells - 2)), each, np.ones(cells - 1))


def flyback(cells: int, current_A: float, efficiency: float) -> Topology:
    """Return one converter between each cell and the whole string: moves cell → pack first, then pack → cell."""
    whole, own = np.full((cells, cells), 1.0 / cells), np.eye(cells)
    effect = np.hstack([efficiency * whole - own, own - whole / efficiency]) * current_A
    return Topology("flyback", effect, np.zeros((0, 2 * cells)), np.hstack([own, own]), np.ones(cells))


def bus(cells: int, cells_per_module: int, current_A: float, efficiency: float) -> Topology:
    """Return one converter between each module (all its cells at once) and a common bus: out first, then in.

    It evens modules out, not the cells inside them. efficiency: of each of the two conversions.
    """
    modules = -(-cells // cells_per_module)
    member = np.repeat(np.eye(modules), cells_per_module, axis=0)[:cells]
    size = member.sum(axis=0)
    effect = np.hstack([-member, member]) * current_A
    on_bus = np.hstack([np.full(modules, efficiency), np.full(modules, -1.0 / efficiency)])
    own = np.eye(modules)
    total = current_A * np.tile(size, 2)
    return Topology("bus", effect, (on_bus * total)[None, :], np.hstack([own, own]), np.ones(modules))


def matrix(cells: int, current_A: float, efficiency: float, converters: int) -> Topology:
    """Return a switch matrix: any cell to any other, through so many converters; a cell is in one move at a time."""
    source, sink = pairs(cells)
    own = np.eye(cells)
    effect = (efficiency * own[:, sink] - own[:, source]) * current_A
    group = np.vstack([own[:, sink] + own[:, source], np.ones((1, source.size))])
    return Topology("matrix", effect, np.zeros((0, source.size)), group, np.append(np.ones(cells), converters))


def pairs(cells: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (source, sink) of the moves of a matrix, (move,) each."""
    source, sink = np.nonzero(~np.eye(cells, dtype=bool))
    return source, sink


def least_time(topology: Topology, soc: Floats, capacity_Ah: Floats, window: float) -> Programme | None:
    """Return the programme that ends soonest with all cells within `window` of SOC; None if the hardware cannot."""
    return _solve(topology, soc, capacity_Ah, window, None)


def least_loss(topology: Topology, soc: Floats, capacity_Ah: Floats, window: float, seconds: float) -> Programme | None:
    """Return the programme that loses least and ends within so many seconds; None if there is none."""
    return _solve(topology, soc, capacity_Ah, window, seconds)


def _solve(
    topology: Topology, soc: Floats, capacity_Ah: Floats, window: float, seconds: float | None
) -> Programme | None:
    """Solve for x = hours of each move (move,), then the time T in hours, then the lowest SOC at the end."""
    from scipy.optimize import linprog

    if not (np.isfinite(soc).all() and (capacity_Ah > 0.0).all()):
        return None  # nothing is moved between cells that are not known
    n, m = topology.effect_A.shape
    per_h = topology.effect_A / capacity_Ah[:, None]
    none, one = np.zeros((n, 1)), np.ones((n, 1))
    shared = np.hstack([topology.group, -topology.at_once[:, None], np.zeros((topology.at_once.size, 1))])
    each = np.hstack([np.eye(m), -np.ones((m, 1)), np.zeros((m, 1))])
    a_ub = np.vstack([np.hstack([per_h, none, -one]), np.hstack([-per_h, none, one]), shared, each])
    b_ub = np.concatenate([window - soc, soc, np.zeros(len(shared) + m)])
    a_eq = np.hstack([topology.bus_A, np.zeros((topology.bus_A.shape[0], 2))])
    cost = np.zeros(m + 2)
    cost[m] = 1.0 if seconds is None else 0.0
    cost[:m] = 0.0 if seconds is None else topology.lost_A
    bounds = [(0.0, None)] * m + [(0.0, None if seconds is None else seconds / 3600.0), (0.0, 1.0 - window)]
    found = linprog(cost, a_ub, b_ub, a_eq if len(a_eq) else None, np.zeros(len(a_eq)) if len(a_eq) else None, bounds)
    if found.status == 2:
        return None
    if found.status != 0:
        raise RuntimeError(f"linear programme of topology {topology.name}, {n} cells: {found.message}")
    hours = found.x[:m]
    return Programme(float(found.x[m]) * 3600.0, hours * 3600.0, float(topology.lost_A @ hours))
