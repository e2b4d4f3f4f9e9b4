"""Members → groups → strings: who carries how much. Closed form, no iteration.

Ideal busbar between parallel members: each is a source E behind R, so with g = 1/R the group is a source
ΣE·g/Σg behind 1/Σg, and member k takes (V − E_k)·g_k. Whatever bleeds the group (bleed resistor, internal short)
is one more conductance to zero volts. Joints add resistance in series with the group.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEARLY_OPEN_S = 1e-9  # conductance of a group whose members are all cut off: keeps every equation regular


@dataclass(frozen=True, slots=True)
class Groups:
    """Which member belongs to which group (cell of the Layout)."""

    parallel: Ints  # (cell,)
    first: Ints  # (cell,) first member
    single: bool  # one member everywhere: nothing to fold

    def fold(self, x: Floats) -> Floats:
        """Sum members, (cell,). x (member,)."""
        return x if self.single else np.add.reduceat(x, self.first)

    def spread(self, x: Floats) -> Floats:
        """Give every member its group's value, (member,). x (cell,)."""
        return x if self.single else np.repeat(x, self.parallel)


def groups(parallel: Ints) -> Groups:
    """Build the map. parallel (cell,) members of each group."""
    return Groups(parallel, np.cumsum(parallel) - parallel, bool((parallel == 1).all()))


def gather(groups_: Groups, emf: Floats, conductance: Floats, shunt: Floats) -> tuple[Floats, Floats]:
    """Return source and resistance of each group, (cell,). emf, conductance (member,); shunt (cell,) S."""
    total = groups_.fold(conductance) + shunt + NEARLY_OPEN_S
    return groups_.fold(emf * conductance) / total, 1.0 / total


def split(groups_: Groups, voltage: Floats, emf: Floats, conductance: Floats) -> Floats:
    """Return the current of each member, (member,), from the voltage of its group, (cell,)."""
    return (groups_.spread(voltage) - emf) * conductance
