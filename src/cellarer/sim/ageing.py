"""How the world's cells age: stress gathered while they live, and the law that turns it into capacity and resistance.

Calendar: temperature and SOC at every moment. Cycles: charge moved, weighted by temperature and rate at that moment and
by the depth of the swing it belonged to (rain-flow count of each string's SOC). Loss is the sum of both; resistance
rises with it. Several packs may be days of one life: their stress is averaged, their cells age together.
No knee, no plating beyond what the published tables hold, no gain of capacity in the first weeks.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cellarer.cells.ageing import COLUMNS, FIRST_DEGC, RATE_STEP, RATES, ROWS, STEP_K, AgeingLaw
from cellarer.sim.plant import Plant

Floats = NDArray[np.float64]

YEAR_S = 365.25 * 86400.0
HOUR_S = 3600.0
SPREAD = 0.05  # of the pace from cell to cell (own estimate: new cells of one batch drift apart by a few per cent)
GREATEST = 0.8  # of capacity: nothing is said about cells that have lost more
PACE = 51  # purpose of random numbers
LEAST = 0.002  # of capacity: smaller swings are measuring noise


@dataclass(slots=True)
class Stress:
    """What has been gathered since the last `Ageing.take`; (member,) of the plant."""

    calendar: Floats  # years, weighted
    cycles: Floats  # equivalent full cycles, weighted by temperature and rate
    plain: Floats  # equivalent full cycles
    seconds: float = 0.0
    soc: list[Floats] = field(default_factory=list)  # (string,) mean of its cells, over time
    worn: list[Floats] = field(default_factory=list)  # (string,) mean of their `cycles` by then
    charge: Floats | None = None  # (member,) SOC at the last note


class Ageing:
    """The ageing of one life or several. packs: lives × days, the days of one life side by side."""

    def __init__(self, plant: Plant, law: AgeingLaw, lives: int, seed: int) -> None:
        n = plant.cells.soc.size
        if plant.layout.size["pack"] % lives or n % lives:
            raise ValueError(f"lives = {lives}: {plant.layout.size['pack']} packs are not so many equal lives")
        self.plant, self.law, self.lives = plant, law, lives
        self.days = plant.layout.size["pack"] // lives
        each = n // plant.layout.size["pack"]
        normal = np.random.default_rng([seed, PACE]).standard_normal(each)
        self.pace = np.exp(SPREAD * np.clip(normal, -3.0, 3.0))[None, :]  # (1, member of a pack)
        self.calendar_loss, self.cycle_loss = np.zeros((lives, each)), np.zeros((lives, each))
        self.cycles, self.years = np.zeros((lives, each)), 0.0
        self.new_capacity, self.new_ohm = plant.fixed.capacity.copy(), plant.fixed.ohm.copy()
        self.string = np.repeat(plant.layout.string_of_cell, plant.groups.parallel)
        self.seen_degC, self.seen_rate = [np.inf, -np.inf], 0.0
        self.stress = self.begin()

    def begin(self) -> Stress:
        """Return stress of nothing."""
        n = self.plant.cells.soc.size
        return Stress(np.zeros(n), np.zeros(n), np.zeros(n))

    def note(self, dt_s: float) -> None:
        """Gather the stress of a step of dt_s seconds that has just passed."""
        cells, temp_degC, stress = self.plant.cells, self.plant.heat.core_degC, self.stress
        before = cells.soc if stress.charge is None else stress.charge
        moved = np.abs(cells.soc - before)
        stress.calendar += _calendar(self.law, temp_degC, cells.soc) * (dt_s / YEAR_S)
        rate = moved * (HOUR_S / max(dt_s, 1e-9))
        stress.cycles += 0.5 * moved * _cycle(self.law, temp_degC, rate)
        stress.plain += 0.5 * moved
        stress.seconds += dt_s
        stress.charge = cells.soc.copy()
        count = np.bincount(self.string)
        stress.soc.append(np.bincount(self.string, cells.soc) / count)
        stress.worn.append(np.bincount(self.string, stress.cycles) / count)
        self.seen_degC = [min(self.seen_degC[0], temp_degC.min()), max(self.seen_degC[1], temp_degC.max())]
        self.seen_rate = max(self.seen_rate, float(rate.max()) if dt_s > 1.0 else 0.0)

    def take(self, years: float) -> None:
        """Let the stress gathered stand for this many years, age the cells by it, and begin to gather anew."""
        self.grow(self.gathered(years), years)

    def gathered(self, years: float) -> Floats:
        """Return what the days say of this many years: calendar, cycles weighted and plain, (3, life, member)."""
        stress, each = self.stress, self.pace.size
        traces = zip(np.array(stress.soc).T, np.array(stress.worn).T, strict=True)
        weight = np.array([self._depth(soc, worn) for soc, worn in traces])[self.string]
        of_days = np.array((stress.calendar, stress.cycles * weight, stress.plain))
        mean = of_days.reshape(3, self.lives, self.days, each).mean(axis=2)
        return np.asarray(mean * (years * YEAR_S / stress.seconds))

    def grow(self, gathered: Floats, years: float) -> None:
        """Age the cells by that much, and begin to gather anew."""
        law, (calendar, cycles, plain) = self.law, gathered
        self.calendar_loss = self._grow(self.calendar_loss, calendar, law.calendar_exponent)
        self.cycle_loss = self._grow(self.cycle_loss, cycles, law.cycle_exponent)
        self.cycles, self.years = self.cycles + plain, self.years + years
        self.stress = self.begin()
        self.hand_on()

    @property
    def loss(self) -> Floats:
        """Return the share of capacity lost, (life, member of a pack)."""
        return np.minimum(self.calendar_loss + self.cycle_loss, GREATEST)

    @property
    def rise(self) -> Floats:
        """Return the share of resistance gained, (life, member of a pack)."""
        return self.loss * self.law.rise_per_loss

    def hand_on(self) -> None:
        """Give the plant's cells the capacity and resistance that they have come to."""
        plant = self.plant
        plant.fixed.capacity = self.new_capacity * self._over_days(1.0 - self.loss)
        plant.fixed.ohm = self.new_ohm * self._over_days(1.0 + self.rise)
        plant.faults.hand_on()

    def _over_days(self, x: Floats) -> Floats:
        return np.repeat(x[:, None, :], self.days, axis=1).reshape(-1)

    def _grow(self, loss: Floats, stress: Floats, exponent: float) -> Floats:
        """Return loss after more stress, whatever came before: x^(1/p) adds up."""
        return np.asarray((loss ** (1.0 / exponent) + stress * self.pace ** (1.0 / exponent)) ** exponent)

    def _depth(self, soc: Floats, worn: Floats) -> float:
        """Return the factor of depth of a trace of SOC: that of each swing counts by the stress of its own charge.

        A mean over all charge moved would let many small slow swings dilute the stress of one that is deep and fast.
        """
        depth, _count, stress = rain_flow(soc, worn)
        if not stress.sum() > 0.0:
            return 0.0
        factor = np.interp(depth, np.linspace(0.0, 1.0, COLUMNS), self.law.depth)
        return float(factor @ stress / stress.sum())


def _calendar(law: AgeingLaw, temp_degC: Floats, soc: Floats) -> Floats:
    row, up = _place((temp_degC - FIRST_DEGC) / STEP_K, ROWS)
    column, right = _place(soc * (COLUMNS - 1), COLUMNS)
    low = law.calendar[row, column] * (1.0 - right) + law.calendar[row, column + 1] * right
    high = law.calendar[row + 1, column] * (1.0 - right) + law.calendar[row + 1, column + 1] * right
    return np.asarray(low * (1.0 - up) + high * up)


def _cycle(law: AgeingLaw, temp_degC: Floats, rate: Floats) -> Floats:
    row, up = _place((temp_degC - FIRST_DEGC) / STEP_K, ROWS)
    column, right = _place(rate / RATE_STEP, RATES)
    warm = law.warm[row] * (1.0 - up) + law.warm[row + 1] * up
    return np.asarray(law.cycle * warm * (law.rate[column] * (1.0 - right) + law.rate[column + 1] * right))


def _place(x: Floats, size: int) -> tuple[NDArray[np.int64], Floats]:
    at = np.clip(x, 0.0, size - 1.0)
    whole = np.minimum(at.astype(np.int64), size - 2)
    return whole, at - whole


def rain_flow(soc: Floats, worn: Floats) -> tuple[Floats, Floats, Floats]:
    """Return depth, count (1 or 0.5) and stress of the swings of a trace; ASTM E1049-85, 5.4.4. All (swing,).

    worn  stress gathered by then, along with soc; a leg that a smaller swing is taken out of gives it its share
    """
    found: list[tuple[float, float, float]] = []
    point: list[float] = []
    leg: list[float] = []  # stress from one point to the next
    at = turns(soc)
    for x, since in zip(soc[at].tolist(), np.diff(worn[at], prepend=worn[at[0]]).tolist(), strict=True):
        if point:
            leg.append(since)
        point.append(x)
        while len(point) >= 3:
            last, before = abs(point[-1] - point[-2]), abs(point[-2] - point[-3])
            if last < before:
                break
            if len(point) == 3:
                found.append((before, 0.5, leg[0]))
                del point[0], leg[0]
                continue
            share = leg[-1] * before / last
            found.append((before, 1.0, leg[-2] + share))
            leg[-3:] = [leg[-3] + leg[-1] - share]
            del point[-3:-1]
    found += [(abs(b - a), 0.5, stress) for (a, b), stress in zip(pairwise(point), leg, strict=True)]
    depth, count, stress = np.array(found).reshape(-1, 3).T
    return depth, count, stress


def turns(soc: Floats) -> NDArray[np.int64]:
    """Return where the turning points of a trace are, ends included; swings below LEAST are left out."""
    kept = [0]
    rising = 0
    for place, x in enumerate(soc.tolist()):
        step = x - soc[kept[-1]]
        if rising * step > 0.0 or (rising == 0 and abs(step) >= LEAST):
            if rising:
                kept[-1] = place
            else:
                kept.append(place)
            rising = 1 if step > 0.0 else -1
        elif abs(step) >= LEAST:
            kept.append(place)
            rising = -rising
    return np.array(kept)
