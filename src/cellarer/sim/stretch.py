"""A long stretch of given current, open loop: only cells and heat, for Monte Carlo, judging and benchmarks.

The terminals are forced: no switchgear, loads, sensors. `run` takes numba where it is installed and the batch allows
it (`stretch_kernel.py`: the time loop inside, some hundred times faster), else the plain lines below, which are the
same as the plant's own step and the reference for the kernel.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cellarer.sim import groups, heat
from cellarer.sim.cells import Step

if TYPE_CHECKING:
    from cellarer.sim.plant import Plant

Floats = NDArray[np.float64]
Drive = Callable[[Floats, Floats], Floats]

REFRESH_S = 60.0  # the kernel looks up what moves slowly no more often than this: costs less than 1 mV
HAS_NUMBA = find_spec("numba") is not None


def run(plant: "Plant", current: Floats, h: float, *, kernel: bool = HAS_NUMBA, refresh_s: float = REFRESH_S) -> Floats:
    """Move cells and temperatures of a plant along a current profile; return group voltages (step, cell), step means.

    current    (step, string) A, + charges
    h          s per step, at most 60
    kernel     False: plain NumPy
    refresh_s  how long the kernel keeps resistances, time constants and the temperature around the cells
    """
    if kernel and h <= heat.LONGEST_S and (plant.groups.parallel == plant.groups.parallel[0]).all():
        from cellarer.sim import stretch_kernel

        return stretch_kernel.run(plant, current, h, max(1, round(refresh_s / h)))
    return np.stack([step(plant, forced(amperes), h)[0] for amperes in current])


def forced(current: Floats) -> Drive:
    """Return a drive that puts a given current through. current (string,)."""
    return lambda _emf, _ohm: current


def step(plant: "Plant", drive: Drive, h: float, tries: int = 1) -> tuple[Floats, Floats]:
    """Move all cells by one step of h seconds; return mean voltage of each group (cell,) and current (string,).

    drive  gives the current of every string from its source V and resistance ohm, (string,) each
    tries  how often resistance may follow a jump of the current within the step; the kernel lets it follow in the next
    """
    cells, core_degC = plant.cells, plant.heat.core_degC
    for _ in range(tries):
        begun, volts, current, member_A = _solve(plant, drive, h)
        if cells.follow(begun, member_A):
            break
    heat_W = cells.finish(begun, member_A, h, core_degC)
    plant.heat.step(h, heat_W, plant.air[1], plant.air[0])
    cells.refresh(plant.heat.core_degC)
    plant.last = begun
    return volts, current


def _solve(plant: "Plant", drive: Drive, h: float) -> tuple[Step, Floats, Floats, Floats]:
    begun = plant.cells.begin(h, plant.heat.core_degC)
    conductance = plant.alive / begun.ohm
    emf, ohm = groups.gather(plant.groups, begun.emf, conductance, plant.shunt_S)
    joints = plant.fixed.joint_ohm + plant.knobs["joint_ohm"]
    current = drive(plant.layout.total(emf), plant.layout.total(ohm + joints))
    volts = emf + ohm * current[plant.layout.string_of_cell]
    return begun, volts, current, groups.split(plant.groups, volts, begun.emf, conductance)
