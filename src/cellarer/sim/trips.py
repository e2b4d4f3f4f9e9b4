"""Drive cycles, rides and laptop days, second by second, by seed; as power against what the pack holds. Own synthesis.

A vehicle follows a speed trace made of seeded micro-trips (accelerate, cruise, brake, stand); power is its road load
with recuperation. Values are W per Wh of pack energy, so the same trace fits any pack. + charges.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Round(NamedTuple):
    """A schedule that repeats; all (second,) or (bus, second). Plugged: a charger may charge. Asks: power is wanted."""

    energy: Floats  # (bus, second + 1) Wh per Wh, sum of power from the begin; mean power of any span is a difference
    plugged: Bools  # (second,)
    asks: Bools  # (second,)


# Vehicle of the size of a 40 kWh pack: mass, rolling, drag area, efficiency of the drive, share of braking recovered.
MASS_KG, ROLLING, DRAG_M2, EFFICIENCY, RECOVERED = 1700.0, 0.010, 0.62, 0.88, 0.65
GRAVITY, AIR, AUXILIARY_W, VEHICLE_WH, POWER_W = 9.81, 1.2, 600.0, 40000.0, 90000.0
# Road kind: share of micro-trips, cruise speed m/s (mean, deviation), cruise s, stand s, acceleration m/s².
ROADS = ((0.55, 11.0, 3.0, 25.0, 12.0, 1.2), (0.30, 20.0, 3.0, 60.0, 6.0, 1.0), (0.15, 31.0, 3.0, 240.0, 2.0, 0.9))
DAY_S = 86400.0
DRIVE_S, PARK_S, CHARGE_S = 4500, 600, 7200
RIDE_WH, RIDE_S, REST_S, FILL_S = 500.0, 3600, 300, 7200
LAPTOP_WH, WORK_S, PLUGGED_S = 55.0, 5400, 7200


def drive(seed: int, numbers: NDArray[np.int64], per_day: float | None = None) -> Round:
    """Return a round of driving, parking and charging for every bus. numbers (bus,)."""
    rows = [_vehicle_W(np.random.default_rng([seed, int(n), 31])) / VEHICLE_WH for n in numbers]
    return _round(np.stack(rows), PARK_S, CHARGE_S, per_day)


def ride(seed: int, numbers: NDArray[np.int64], per_day: float | None = None) -> Round:
    """Return a round of riding an electric bicycle: assist follows hills and stops."""
    rows = [_ride_W(np.random.default_rng([seed, int(n), 32])) / RIDE_WH for n in numbers]
    return _round(np.stack(rows), REST_S, FILL_S, per_day)


def laptop(seed: int, numbers: NDArray[np.int64], per_day: float | None = None) -> Round:
    """Return a round of working on battery and then plugged in."""
    rows = [_laptop_W(np.random.default_rng([seed, int(n), 33])) / LAPTOP_WH for n in numbers]
    return _round(np.stack(rows), 0, PLUGGED_S, per_day)


def mean_power(round_: Round, start_s: float, h: float) -> Floats:
    """Return the mean power from start_s on for h seconds, W per Wh, (bus,)."""
    length = round_.plugged.size
    total = round_.energy[:, -1]

    def until(at_s: float) -> Floats:
        turns, rest = divmod(at_s, length)
        second = int(rest)
        row = round_.energy
        return turns * total + row[:, second] + (row[:, second + 1] - row[:, second]) * (rest - second)

    return np.asarray((until(start_s + h) - until(start_s)) / h)


def phase(round_: Round, at_s: float) -> tuple[bool, bool]:
    """Return whether a plug is in and whether power is asked for at that time."""
    second = int(at_s) % round_.plugged.size
    return bool(round_.plugged[second]), bool(round_.asks[second])


def _round(use: Floats, idle_s: int, charge_s: int, per_day: float | None) -> Round:
    """Put use, idle time and time on the plug together; per_day rounds fill a day, None = one follows the other."""
    n = use.shape[1]
    if per_day is not None:
        charge_s = max(round(DAY_S / per_day) - n - idle_s, 1)
    power = np.concatenate([use, np.zeros((use.shape[0], idle_s + charge_s))], axis=1)
    energy = np.concatenate([np.zeros((use.shape[0], 1)), np.cumsum(power, axis=1)], axis=1)
    second = np.arange(n + idle_s + charge_s)
    return Round(energy, second >= n + idle_s, second < n)


def _speed(rng: np.random.Generator) -> Floats:
    """Return a speed trace of DRIVE_S seconds, m/s."""
    parts: list[Floats] = []
    length = 0
    while length < DRIVE_S:
        _, mean, deviation, cruise_s, stand_s, pull = ROADS[rng.choice(len(ROADS), p=[road[0] for road in ROADS])]
        top = max(4.0, mean + deviation * rng.standard_normal())
        up, down = pull * rng.uniform(0.7, 1.4), 1.3 * rng.uniform(0.7, 1.5)
        cruise = top + 0.6 * np.sin(np.arange(int(rng.exponential(cruise_s)) + 5) * rng.uniform(0.1, 0.4))
        part = [
            np.arange(0.0, top, up),
            cruise,
            np.arange(top, 0.0, -down),
            np.zeros(int(rng.exponential(stand_s)) + 1),
        ]
        parts += part
        length += sum(p.size for p in part)
    return np.concatenate(parts)[:DRIVE_S]


def _vehicle_W(rng: np.random.Generator) -> Floats:
    v = _speed(rng)
    acceleration = np.diff(v, append=0.0)
    slope = 0.02 * np.sin(np.arange(v.size) / rng.uniform(60.0, 200.0))
    force = MASS_KG * (acceleration + GRAVITY * (ROLLING + slope) * (v > 0.1)) + 0.5 * AIR * DRAG_M2 * v * v
    wheel = np.clip(force * v, -POWER_W, POWER_W)
    return -np.where(wheel > 0.0, wheel / EFFICIENCY, wheel * RECOVERED) - AUXILIARY_W


def _ride_W(rng: np.random.Generator) -> Floats:
    t = np.arange(RIDE_S)
    hills = sum(rng.uniform(0.3, 1.0) * np.sin(t / rng.uniform(20.0, 200.0) + rng.uniform(0.0, 6.0)) for _ in range(4))
    stop = np.repeat(rng.uniform(size=RIDE_S // 20 + 1) < 0.12, 20)[:RIDE_S]
    stop[:60] = False
    return -np.where(stop, 2.0, np.clip(180.0 + 160.0 * np.asarray(hills), 40.0, 550.0))


def _laptop_W(rng: np.random.Generator) -> Floats:
    busy = np.repeat(rng.uniform(size=WORK_S // 30 + 1), 30)[:WORK_S]
    return -(6.0 + 8.0 * busy + 22.0 * (busy > 0.93) + rng.uniform(0.0, 1.0, WORK_S))
