"""Ground truth for judging estimators: what a pack could really give, found by letting a copy of it do so.

The plant itself is not touched. Copies are shallow: cells and temperatures replace their arrays and never alter them.
"""

from copy import copy
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cellarer.sim import stretch
from cellarer.sim.cells import CURVE_TRIES
from cellarer.sim.loads import amperes

if TYPE_CHECKING:
    from cellarer.sim.plant import Plant

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

STEPS = 400  # of about equal length from now to empty
SHORTEST_S, LONGEST_S = 0.1, 60.0
HALVINGS = 24  # of the interval in which a power is sought
HELD_STEPS = 20


def twin(plant: "Plant") -> "Plant":
    """Return a copy whose cells and temperatures move apart from the plant's."""
    other = copy(plant)
    other.cells, other.heat = copy(plant.cells), copy(plant.heat)
    return other


def at_power(power: Floats) -> stretch.Drive:
    """Return a drive that puts a given power through. power (string,) W, + charges."""
    return lambda emf, ohm: amperes(power, emf, ohm)


def energy_Wh(plant: "Plant", power_W: Floats, lower_V: Floats) -> Floats:
    """Return what each string gives at constant power until its first cell is at its lower limit, (string,) Wh.

    power_W (string,) magnitude; lower_V (string,) per cell. Present temperatures, which then move as they will.
    """
    left, given = twin(plant), np.zeros_like(power_W)
    going = np.ones(power_W.size, dtype=bool)
    whole = plant.fixed.nominal_V * plant.layout.lowest(plant.config.capacity_Ah)
    h = float(np.clip((whole / power_W).min() * 3600.0 / STEPS, SHORTEST_S, LONGEST_S))
    for _ in range(4 * STEPS * round(max((whole / power_W).max() / (whole / power_W).min(), 1.0))):
        asked = np.where(going, -power_W, 0.0)
        volts, _ = stretch.step(left, at_power(asked), h, tries=CURVE_TRIES)
        going = going & (left.layout.lowest(volts) >= lower_V)
        given += np.where(going, power_W * h / 3600.0, 0.0)
        if not going.any():
            break
    return given


def power_W(plant: "Plant", seconds: float, bound_V: Floats, most_A: Floats, *, charge: bool) -> Floats:
    """Return the constant power that each string can hold for `seconds` from now, (string,) magnitudes.

    bound_V (string,) per cell: upper limit when charging, lower when discharging; most_A (string,) current limit.
    """
    sign = 1.0 if charge else -1.0
    low, high = np.zeros_like(most_A), 1.5 * plant.fixed.nominal_V * most_A
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        held = _holds(twin(plant), sign * middle, seconds, bound_V, most_A)
        low, high = np.where(held, middle, low), np.where(held, high, middle)
    return low


def _holds(plant: "Plant", power: Floats, seconds: float, bound_V: Floats, most_A: Floats) -> Bools:
    """Tell whether each string keeps within its bounds, (string,). power (string,) W, + charges."""
    held, before = np.ones(power.size, dtype=bool), None
    for _ in range(HELD_STEPS):
        mean, current = stretch.step(plant, at_power(power), seconds / HELD_STEPS, tries=CURVE_TRIES)
        end = mean if before is None else 1.5 * mean - 0.5 * before  # of the step, not its mean
        inside = np.where(power > 0.0, plant.layout.highest(end) <= bound_V, plant.layout.lowest(end) >= bound_V)
        held, before = held & inside & (np.abs(current) <= most_A), mean
    return held
