"""How a cell ages, compiled: tables of a cell file's [ageing] as even grids for `sim/ageing.py`.

Loss follows time and cycles as powers: x(t) = k·t^p with k a function of temperature, SOC, depth and rate. The tables
hold k^(1/p), which is what adds up when the stress changes: x^(1/p) grows by k^(1/p)·dt, whatever came before.
Between temperatures logarithms run linearly over 1/T (Arrhenius' law); beyond the tables the last values hold.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellarer.cells.schema import Ageing

Floats = NDArray[np.float64]

KELVIN = 273.15
FIRST_DEGC, STEP_K, ROWS = -30.0, 1.0, 121  # grid of temperature
COLUMNS = 101  # grid of SOC and depth
RATE_STEP, RATES = 0.05, 201  # grid of the rate, 1/h
LEAST = 1e-12  # of a loss: less is none


@dataclass(frozen=True, slots=True, eq=False)
class AgeingLaw:
    """Ageing of one cell type. Everything is already raised to 1/exponent."""

    calendar: Floats  # (temperature, soc) per year
    calendar_exponent: float
    cycle: float  # per equivalent full cycle at 25 degC, full depth, 1C
    cycle_exponent: float
    warm: Floats  # (temperature,) factor on cycle
    depth: Floats  # (depth,) factor
    rate: Floats  # (rate,) factor
    rise_per_loss: float  # 1: resistance gained per capacity lost, both as fractions
    measured_degC: tuple[float, float]  # the publication's tests lay inside these
    measured_rate_per_h: tuple[float, float]
    measured_depth_pct: tuple[float, float]
    source: str
    compared: tuple[float, float] | None  # least and most that others saw lost, per loss by this law
    compared_source: str


def compile_ageing(section: Ageing | None) -> AgeingLaw | None:
    """Turn the section of a checked file into grids; None stays None."""
    if section is None:
        return None
    have, wanted = np.array(section.temperature_degC), FIRST_DEGC + STEP_K * np.arange(ROWS)
    x, xp = -1.0 / (wanted + KELVIN), -1.0 / (have + KELVIN)

    def over_temperature(rows: Floats) -> Floats:
        logarithm = np.log(np.maximum(rows, LEAST))
        return np.exp(np.stack([np.interp(x, xp, column) for column in logarithm.T], axis=1))

    even = np.linspace(0.0, 100.0, COLUMNS)
    calendar = np.array([np.interp(even, section.calendar_soc_pct, row) for row in section.calendar_pct_per_year])
    p, q = section.calendar_exponent, section.cycle_exponent
    rates = np.interp(RATE_STEP * np.arange(RATES), section.rate_per_h, section.rate_factor)
    return AgeingLaw(
        calendar=over_temperature(calendar / 100.0) ** (1.0 / p), calendar_exponent=p,
        cycle=(section.cycle_pct_per_1000 / 100.0) ** (1.0 / q) / 1000.0, cycle_exponent=q,
        warm=over_temperature(np.array(section.temperature_factor)[:, None])[:, 0] ** (1.0 / q),
        depth=np.interp(even, section.depth_pct, section.depth_factor) ** (1.0 / q), rate=rates ** (1.0 / q),
        rise_per_loss=section.rise_per_loss,
        measured_degC=(section.measured_degC[0], section.measured_degC[1]),
        measured_rate_per_h=(section.measured_rate_per_h[0], section.measured_rate_per_h[1]),
        measured_depth_pct=(section.measured_depth_pct[0], section.measured_depth_pct[1]), source=section.source,
        compared=(section.compared[0], section.compared[1]) if section.compared else None,
        compared_source=section.sources.get("compared", ""),
    )  # fmt: skip
