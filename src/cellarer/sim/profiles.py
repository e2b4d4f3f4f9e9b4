"""What a household uses and what the sun gives, minute by minute of a day, by seed. Watts, (bus, minute).

Synthetic and own: base load, fridge, morning and evening, single appliances; a clear-sky bell with clouds. Scaled so
that the mean over many days is what the site file says; single days differ.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellarer.sim import noise

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MINUTES = 1440
NOON_H, DAYLIGHT_H = 13.0, 14.0  # of the day that the peak power belongs to
DAYLIGHT_MEAN_H = 12.2  # over a year, anywhere
CLEAR_YIELD = 0.82  # of the peak power at noon under a clear sky
BASE_W, FRIDGE_W, FRIDGE_MIN = 160.0, 90.0, 45.0
DAY, DEMAND, SKY, RUN, START = 21, 22, 23, 24, 25  # purposes of random numbers

# Appliance: watts, minutes, earliest and latest hour, chance per day.
APPLIANCES = (
    (2000.0, 4, 6.5, 8.0, 0.9),  # kettle
    (900.0, 6, 7.0, 9.0, 0.7),
    (2100.0, 50, 11.0, 13.5, 0.5),  # oven
    (2300.0, 45, 17.0, 19.5, 0.9),
    (1900.0, 70, 8.0, 20.0, 0.5),  # washing
    (1800.0, 90, 19.0, 22.0, 0.7),  # dishes
    (400.0, 180, 18.5, 21.0, 1.0),  # light, television
    (2000.0, 3, 15.0, 21.0, 0.9),
)
MEAN_W = BASE_W + FRIDGE_W / 2 + sum(w * n * p for w, n, _, _, p in APPLIANCES) / MINUTES


@dataclass(slots=True)
class Day:
    """Profiles of one day for every bus."""

    number: int
    demand_W: Floats  # (bus, minute)
    solar_W: Floats  # (bus, minute)


def day(keys: NDArray[np.uint64], number: int, demand_kWh: float, solar_kWp: float, daylight_h: Floats) -> Day:
    """Make the day `number` of every bus. keys, daylight_h (bus,)."""
    return Day(number, _demand(keys, number, demand_kWh), _solar(keys, number, solar_kWp, daylight_h))


def _demand(keys: NDArray[np.uint64], number: int, kWh: float) -> Floats:
    minute = np.arange(MINUTES)
    row = keys[:, None]
    watts = BASE_W * (0.7 + 0.6 * noise.smooth(minute / 11.0, row, DEMAND, number))
    phase = noise.uniform(keys, DEMAND, 1)[:, None] * FRIDGE_MIN
    watts = watts + FRIDGE_W * (np.mod(minute + phase, FRIDGE_MIN) < FRIDGE_MIN / 2)
    for k, (power, minutes, first_h, last_h, chance) in enumerate(APPLIANCES):
        runs = noise.uniform(keys, RUN, number, k) < chance
        start = 60.0 * (first_h + (last_h - first_h) * noise.uniform(keys, START, number, k))
        on = (minute >= start[:, None]) & (minute < start[:, None] + minutes)
        watts = watts + power * (on & runs[:, None])
    return watts * (kWh * 1000.0 / 24.0 / MEAN_W)


def _solar(keys: NDArray[np.uint64], number: int, kWp: float, daylight_h: Floats) -> Floats:
    """Short days are also low ones: the peak falls with the length of the day (half of it: a quarter of the yield)."""
    minute = np.arange(MINUTES)
    length = daylight_h[:, None]
    height = np.sin(np.pi * np.clip((minute / 60.0 - (NOON_H - 0.5 * length)) / length, 0.0, 1.0))
    row = keys[:, None]
    cover = noise.uniform(keys, DAY, number)[:, None]  # 0 clear day … 1 overcast
    cloud = 0.6 * noise.smooth(minute / 37.0, row, SKY, number, 0) + 0.4 * noise.smooth(
        minute / 6.0, row, SKY, number, 1
    )
    clear = np.clip(1.0 - 0.85 * np.clip((cloud - 1.0 + cover) * 3.0, 0.0, 1.0), 0.0, 1.0)
    return kWp * 1000.0 * CLEAR_YIELD * (length / DAYLIGHT_H) * height**1.2 * clear
