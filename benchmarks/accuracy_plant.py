"""A simulated LFP cell to judge on: no measured drive cycles of LFP may be shipped. Own equations, not the filter's.

Curve, gap and resistance are those of the shipped cell `a123_26650` (data), the dynamics are others than the model's:
three polarisations up to 1200 s, three hysteresis elements of different rate, resistance that rises when nearly empty.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyarrow import Table, parquet

from cellarer.cells import load

Floats = NDArray[np.float64]

MODEL = load("a123_26650").model
CAPACITY_AH = MODEL.capacity_Ah
TEMPS_DEGC = (-15, 5, 25, 45)
TAU_S = np.array([4.0, 50.0, 1200.0])
SHARE_R = np.array([0.25, 0.35, 0.4])  # of r0
RATE = np.array([6.0, 20.0, 70.0])  # 1: hysteresis elements
SHARE_H = np.array([0.3, 0.4, 0.3])
R0, GAP = 0.9, 1.33  # of the shipped cell's
NOISE_V = 2e-4


def voltage(current: Floats, dt_s: float, soc0: float, side: float, temp_degC: float) -> Floats:
    """Terminal voltage, (row,), from soc0 on the hysteresis branch `side` (−1 … 1)."""
    row = int(np.argmin(np.abs(MODEL.temp_degC - temp_degC)))
    grid = np.linspace(0.0, 1.0, MODEL.ocv.shape[1])
    soc = soc0 + np.r_[0.0, np.cumsum(current[:-1])] * dt_s / 3600.0 / CAPACITY_AH
    flow = np.abs(current) * dt_s / 3600.0 / CAPACITY_AH
    s, h = np.zeros(3), np.full(3, side)
    slow, slip = np.empty(len(current)), np.empty(len(current))
    away = 1.0 - np.exp(-dt_s / TAU_S)
    for k, i in enumerate(current):
        slow[k], slip[k] = SHARE_R @ s, SHARE_H @ h
        s = s + away * (i - s)
        h = h + (1.0 - np.exp(-RATE * flow[k])) * (np.sign(i) - h)
    r0 = float(np.interp(temp_degC, MODEL.temp_degC, MODEL.r0[:, len(grid) // 2]))
    near_empty = 1.0 + np.exp(-soc / 0.06)
    curve, gap = np.interp(soc, grid, MODEL.ocv[row]), np.interp(soc, grid, MODEL.hysteresis[row])
    return np.asarray(curve + GAP * gap * slip + near_empty * r0 * (R0 * current + slow))


def drive(seed: int) -> Floats:
    """A current profile in A at 1 s: stretches of driving with rests and now and then a partial charge, to 8 %."""
    r, q = np.random.default_rng(seed), CAPACITY_AH
    parts, soc = [np.zeros(300), np.full(360, -q)], 0.9
    while soc > 0.12:
        n = int(r.integers(900, 1500))
        walk = np.cumsum(r.normal(0.0, 0.35, n))
        c = (-0.4 + 0.7 * np.tanh(walk - np.linspace(0.0, walk[-1], n)) + r.normal(0.0, 0.2, n)) * q
        c[r.random(n) < 0.15] = 0.0
        c -= max(0.0, float(c.mean()) + 0.06 * q)
        ahead = soc + np.cumsum(c) / 3600.0 / q
        stop = int(np.argmax(ahead < 0.08)) if (ahead < 0.08).any() else n
        c = np.where((ahead > 0.93) & (c > 0.0), -0.2 * c, c)[: max(60, stop)]
        parts += [c, np.zeros(int(r.integers(120, 600)))]
        soc += float(c.sum()) / 3600.0 / q
        if soc < 0.4 and r.random() < 0.4:
            parts.append(np.full(1200, 0.6 * q))
            soc += 0.2
    return np.concatenate([*parts, np.zeros(1800)])


def write(folder: Path) -> None:
    """Write slow legs and drives at all temperatures; what is there stays."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True)
    leg = np.full(int(3600 * 30 / 10 * 0.995), CAPACITY_AH / 30.0)
    for temp in TEMPS_DEGC:
        for name, sign, soc0 in (("dis", -1.0, 1.0), ("chg", 1.0, 0.005)):
            _save(folder / f"ocv_{name}_{temp}.parquet", np.r_[np.zeros(6), sign * leg, np.zeros(3)], 10.0, soc0, temp)
        for seed in (1, 2, 3):
            _save(folder / f"drive{seed}_{temp}.parquet", drive(seed), 1.0, 1.0, temp)


def _save(path: Path, current: Floats, dt_s: float, soc0: float, temp: int) -> None:
    volts = voltage(current, dt_s, soc0, 1.0 if soc0 > 0.5 else -1.0, float(temp))
    columns = {
        "time_s": dt_s * np.arange(len(current)),
        "current_A": current,
        "voltage_V": volts + NOISE_V * np.random.default_rng(1).standard_normal(len(current)),
        "temperature_degC": np.full(len(current), float(temp)),
        "ah_reference": np.r_[0.0, np.cumsum(current[:-1])] * dt_s / 3600.0,
    }
    parquet.write_table(Table.from_pydict(columns), path)
