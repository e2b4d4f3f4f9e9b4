"""Published laws of ageing as their authors wrote them, and the [ageing] sections of cell files made from them.

    python benchmarks/published_ageing.py [CELL]     prints the section as TOML

Coefficients are facts of the named publications; for most they were read in BLAST-Lite (National Renewable Energy
Laboratory, BSD-3-Clause). The formulation here is our own: each law becomes loss after a year at a temperature and SOC,
loss after 1000 equivalent full cycles at 25 degC, full depth and 1C, and factors on that.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Law = Callable[[Floats, Floats], Floats]

YEAR_D, KELVIN, GAS = 365.25, 273.15, 8.3144
TEMPERATURES = np.array([-10.0, 0.0, 10.0, 20.0, 25.0, 35.0, 45.0, 60.0])
SOCS = np.array([0.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0])
DEPTHS = np.array([0.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0])
RATES = np.array([0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0])


@dataclass(frozen=True)
class Published:
    """One publication. calendar(temp_K, soc) after a year; cycle(depth, rate) and warm(temp_K): after 1000 cycles."""

    calendar: Law  # fraction lost
    calendar_exponent: float
    cycle: Law  # fraction lost at 25 degC
    warm: Callable[[Floats], Floats]  # factor, 1 at 25 degC
    cycle_exponent: float
    rise_per_loss: float
    measured: dict[str, tuple[float, float]]
    source: str


def arrhenius(temp_K: Floats, energy_J: float) -> Floats:
    """Return exp(−E/R·(1/T − 1/298.15 K))."""
    return np.exp(-energy_J / GAS * (1.0 / temp_K - 1.0 / 298.15))


def graphite_V(soc: Floats) -> Floats:
    """Return the potential of a graphite anode. Source: M. Safari, C. Delacourt, JES 158 (2011) A562."""
    x = 8.5e-3 + soc * (0.78 - 8.5e-3)
    return (
        0.6379 + 0.5416 * np.exp(-305.5309 * x) + 0.044 * np.tanh(-(x - 0.1958) / 0.1088)
        - 0.1978 * np.tanh((x - 1.0571) / 0.0854) - 0.6875 * np.tanh((x + 0.0117) / 0.0529)
        - 0.0175 * np.tanh((x - 0.5692) / 0.0875)
    )  # fmt: skip


def _one(temp_K: Floats) -> Floats:
    return np.ones_like(temp_K)


def _large_lfp(temp_K: Floats, soc: Floats) -> Floats:
    return 8.37e4 * np.exp(-5210.0 / temp_K - 3560.0 * graphite_V(soc) / temp_K) * YEAR_D**0.526


def _denso_rate(temp_K: Floats, soc: Floats) -> Floats:
    hot = 3.32e-5 * np.maximum(0.0, temp_K - 328.15)
    shape = -1.97e-4 + 0.0101 * soc - 0.0157 * soc**2 + 0.00835 * soc**3 - 4.06e-6 * soc * temp_K + hot
    return arrhenius(temp_K, 37000.0) * np.maximum(shape, 0.0)


def _denso_cycle(temp_K: Floats, depth: Floats, rate: Floats) -> Floats:
    """Per root of cycles, at half charge on average as tested; it grows in proportion to the calendar rate."""
    plating = 3.24 * arrhenius(temp_K, -58000.0) * np.sqrt(depth * rate) * (1.0 + 2.1 * 0.5) - 0.099
    swing = 1.44 * arrhenius(temp_K, -13000.0) * depth**6
    return 0.985 * _denso_rate(temp_K, np.asarray(0.5)) * (np.maximum(plating, 0.0) + swing)


def _shown(temp_K: Floats, rate: float = 0.5, depth: float = 0.8) -> Floats:
    at = np.asarray(depth), np.asarray(rate)
    return _denso_cycle(temp_K, *at) / _denso_cycle(np.asarray(298.15), *at)


NAUMANN = (
    "M. Naumann et al., J. Energy Storage 17 (2018) 153 (calendar, 0..60 degC) and J. Power Sources 451 (2020) 227666 "
    "(cycles, 25..40 degC), Sony-Murata LFP 3 Ah; coefficients as in SimSES (BSD-3-Clause)"
)
BLAST = "coefficients as in BLAST-Lite (NREL, BSD-3-Clause)"

RISE = {
    0.5: "M. Naumann et al. (2018), LFP at rest: 1.7 % of resistance, 4.3 % of capacity in a year at 25 degC",
    1.0: "estimated",
    1.9: "J. Schmalstieg et al., J. Power Sources 257 (2014) 325, NMC 18650: ratio of both calendar rates at 35 degC",
}

PUBLISHED = {
    "lfp_280ah": Published(
        _large_lfp, 0.526,
        lambda depth, rate: (4.38e-8 + 1.55e-8 * depth + 1.68e-7 * rate) * np.exp(2190.0 / 298.15) * 1000.0**0.828,
        lambda temp_K: np.exp(2190.0 / temp_K - 2190.0 / 298.15), 0.828, 0.5,
        {"temperature_degC": (10.0, 45.0), "rate_per_h": (0.0, 0.65), "depth_pct": (80.0, 100.0)},
        "LFP prismatic above 250 Ah: P. Gasper et al., J. Energy Storage 73 (2023) 109042; " + BLAST,
    ),
    "a123_26650": Published(
        lambda temp_K, soc: 1.2571e-5 * arrhenius(temp_K, 17126.0) * (2.8575 * (soc - 0.5) ** 3 + 0.60225)
        * (YEAR_D * 86400.0) ** 0.5,
        0.5,
        lambda depth, rate: (0.0630 * rate + 0.0971) * (4.0253 * (depth - 0.6) ** 3 + 1.0923) / 100.0 * 1000.0**0.5,
        _one, 0.5, 0.5,
        {"temperature_degC": (0.0, 60.0), "rate_per_h": (0.2, 2.0), "depth_pct": (10.0, 100.0)}, NAUMANN,
    ),
    "nmc_50ah": Published(
        lambda temp_K, soc: _denso_rate(temp_K, soc) * YEAR_D**0.5, 0.5,
        lambda depth, rate: _denso_cycle(np.asarray(298.15), depth, rate) * 1000.0**0.5, _shown, 0.5, 1.9,
        {"temperature_degC": (10.0, 60.0), "rate_per_h": (0.1, 1.0), "depth_pct": (10.0, 100.0)},
        "NMC622 50 Ah of a vehicle: K. Smith et al., JES 168 (2021) 100530, no break-in terms; " + BLAST,
    ),
    "lg_18650hg2": Published(
        lambda temp_K, soc: 0.0353 * np.exp(-1030.0 / temp_K + 57.7 * soc / temp_K) * YEAR_D**0.743, 0.743,
        lambda depth, rate: (1.77e-7 + 8.08e-13 * rate + 2.21e-7 * depth) * np.exp(2250.0 / 298.15) * 1000.0**0.695,
        lambda temp_K: np.exp(2250.0 / temp_K - 2250.0 / 298.15), 0.695, 1.9,
        {"temperature_degC": (0.0, 50.0), "rate_per_h": (0.1, 3.0), "depth_pct": (80.0, 80.0)},
        "another cell of the class, LG MJ1 18650 NMC811: EVERLASTING D2.3 (2020); " + BLAST,
    ),
    "panasonic_18650pf": Published(
        lambda temp_K, soc: 75.4 * np.exp(-3340.0 / temp_K + 353.0 * soc / temp_K) * YEAR_D**0.512, 0.512,
        lambda depth, rate: 2.0 * (1.86e-6 + 4.74e-11 * rate + 1.77e-4 * depth) * 1000.0**0.699, _one, 0.699, 1.9,
        {"temperature_degC": (15.0, 50.0), "rate_per_h": (0.5, 2.0), "depth_pct": (80.0, 100.0)},
        "Panasonic 18650 NCA: P. Keil et al., J. Electrochem. Soc. 163 (2016) A1872 (calendar), Y. Preger et al., "
        "J. Electrochem. Soc. 167 (2020) 120532 (cycles); " + BLAST,
    ),
    "lto_23ah": Published(
        lambda temp_K, soc: 0.0 * temp_K * soc, 0.5,  # measured gain and loss at rest cancel below 60 degC
        lambda depth, rate: (1.29 + 7.83e-5 * rate + 4.02 * depth**3) * np.exp(-8.33 * 318.15 / 298.15) * 1000.0**0.526,
        lambda temp_K: np.exp(-8.33 * 318.15 * (1.0 / temp_K - 1.0 / 298.15)), 0.526, 1.0,
        {"temperature_degC": (30.0, 60.0), "rate_per_h": (1.0, 10.0), "depth_pct": (10.0, 100.0)},
        "another cell of the class, NMC-LTO 10 Ah: T. Bank et al., J. Power Sources 473 (2020) 228566; " + BLAST,
    ),
    "nissan_leaf_2013": Published(
        lambda temp_K, soc: 3.25e8 * np.exp(-7580.0 / temp_K + 162.0 * soc / temp_K) * YEAR_D**0.464, 0.464,
        lambda depth, rate: 7.58e-5 * 1000.0**1.08 + 0.0 * depth * rate, _one, 1.08, 1.9,
        {"temperature_degC": (20.0, 60.0), "rate_per_h": (0.5, 1.0), "depth_pct": (80.0, 100.0)},
        "the same cell in its second life: E. Braco et al., J. Energy Storage 32 (2020) 101695, EEEIC 2022; " + BLAST,
    ),
}  # fmt: skip
# Least and most that others saw lost where the law says 1, and who; ratios of what benchmarks/ageing.py prints
COMPARED = {
    "lfp_280ah": (
        [0.6, 7.0],
        "benchmarks/ageing.py: 0.6 by a data sheet's cycles (EVE 304 Ah, 1C), "
        "1.6 to 2.4 in houses (J. Figgener et al., 2024), "
        "2.8 to 4.5 at rest (R. Mokidm et al.), 7.0 for a 102 Ah LFP cell at 44 degC and 1C",
    ),
    "a123_26650": ([0.7, 1.2], "benchmarks/ageing.py: two LFP cells at rest for 30 months (R. Mokidm et al.)"),
    "nmc_50ah": ([0.7, 1.0], "benchmarks/ageing.py: a Samsung NMC cell, 3000 cycles at 35 degC (R. Mokidm et al.)"),
    "panasonic_18650pf": (
        [1.0, 12.0],
        "benchmarks/ageing.py: an 18650 of 2007, 168 cycles at 24 degC (NASA B0005), lost 12 times as much",
    ),
}


def section(name: str) -> dict[str, object]:
    """Return the [ageing] section of a cell as a table."""
    law = PUBLISHED[name]
    spread, who = COMPARED.get(name, (None, ""))
    kelvin = TEMPERATURES + KELVIN
    calendar = law.calendar(kelvin[:, None], SOCS[None, :] / 100.0) * 100.0
    full = float(law.cycle(np.asarray(1.0), np.asarray(1.0)))
    warmest = law.measured["temperature_degC"][1] + KELVIN  # a factor that falls with warmth is not believed beyond
    depth = law.cycle(DEPTHS / 100.0, np.asarray(0.5)) / law.cycle(np.asarray(1.0), np.asarray(0.5))
    rate = law.cycle(np.asarray(0.8), RATES) / law.cycle(np.asarray(0.8), np.asarray(1.0))
    return {
        "source": law.source,
        "sources": {"rise_per_loss": RISE[law.rise_per_loss]} | ({"compared": who} if spread else {}),
        "measured_degC": list(law.measured["temperature_degC"]),
        "measured_rate_per_h": list(law.measured["rate_per_h"]),
        "measured_depth_pct": list(law.measured["depth_pct"]),
        "temperature_degC": TEMPERATURES.tolist(),
        "calendar_soc_pct": SOCS.tolist(),
        "calendar_pct_per_year": [[float(f"{x:.4g}") for x in row] for row in np.minimum(calendar, 100.0)],
        "calendar_exponent": law.calendar_exponent,
        "cycle_pct_per_1000": float(f"{full * 100.0:.4g}"),
        "cycle_exponent": law.cycle_exponent,
        "temperature_factor": [float(f"{x:.4g}") for x in law.warm(np.minimum(kelvin, warmest))],
        "depth_pct": DEPTHS.tolist(),
        "depth_factor": [float(f"{x:.4g}") for x in depth],
        "rate_per_h": RATES.tolist(),
        "rate_factor": [float(f"{x:.4g}") for x in rate],
        "rise_per_loss": law.rise_per_loss,
    } | ({"compared": spread} if spread else {})


def main() -> int:
    from cellarer.cells.writer import lines

    for name in sys.argv[1:] or PUBLISHED:
        sys.stdout.write(f"# {name}\n[ageing]\n{lines(section(name))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
