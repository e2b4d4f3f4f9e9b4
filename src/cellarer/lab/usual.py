"""How cells of a class usually rest near empty: what a discharge has left, where no curve of the very cell is known.

Medians of the rested curves at 25 degC of the cells that Cellarer ships (NMC and NCA; LFP; LTO; Na-ion, one cell: the
set Hakadi 18650 by MaxMax-embedded, CC0). Classes are told by the voltage of a full cell and the lowest that was seen:
Na-ion is full at 4.1 V at most and goes down to 1.5 V; lithium cells of 4.2 V are taken below 2.3 V now and then. LMO
is full and empty where NMC is, but rests 0.2 to 0.4 V higher: its middle is higher and flatter, which a discharge shows
unloaded by the usual resistance (measured, 10 degC and above: 3.91 to 4.01 V, 0.17 to 0.30 V; NMC and NCA up to 3.83 V,
0.34 to 0.50 V). Its curve is computed from published half cells: spinel, Doyle et al., J. Electrochem. Soc. 143 (1996)
1890, from 0.95 (0.93 to 0.97) to 0.17 … 0.20; MCMB, Ramadass et al., J. Electrochem. Soc. 151 (2004) A196, from 0.015
(0.01 to 0.03) to 0.70 … 0.80. A measured LMO cell rests 0.02 to 0.15 V lower.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SOC = np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
VOLTS = (  # V at SOC, and the full voltage up to which a cell belongs there
    (3.1, (1.75, 1.96, 2.05, 2.10, 2.14, 2.17, 2.21, 2.24, 2.28)),
    (3.8, (2.55, 2.90, 3.08, 3.18, 3.24, 3.28, 3.30, 3.31, 3.32)),
    (np.inf, (2.70, 3.02, 3.18, 3.31, 3.48, 3.57, 3.64, 3.72, 3.81)),
)
SODIUM = (1.90, 1.92, 2.13, 2.39, 2.65, 2.73, 2.90, 3.10, 3.30)  # V, of a cell that is full from 3.8 V …
SPINEL = (3.27, 3.50, 3.61, 3.71, 3.81, 3.84, 3.88, 3.94, 3.98)  # V
SPINEL_V, SPINEL_FLAT_V, SPINEL_DEGC = 3.86, 0.32, 8.0  # least in the middle, most from 20 to 70 % drawn, least degC
SPINEL_FALLS = 2.0  # least: so many times as steep at its end as in its middle
SODIUM_V = 4.15, 2.3  # … up to this, and was taken below that


def is_spinel(drawn: Floats, unloaded_V: Floats, temp_degC: float) -> bool:
    """Whether a discharge, as a share `drawn` of its charge and unloaded, is that of an LMO cell (if full at 4.2 V)."""
    high, middle, low, late, end = np.interp([0.2, 0.5, 0.7, 0.9, 0.99], drawn, unloaded_V)
    falls = (late - end) / 0.09 > SPINEL_FALLS * (high - low) / 0.5  # others, cut at half of their charge, do not
    return bool(temp_degC > SPINEL_DEGC and middle > SPINEL_V and high - low < SPINEL_FLAT_V and falls)


def volts(full_V: float, empty_V: float, spinel: bool = False) -> Floats:
    """Rested voltage at SOC of a cell that is full at full_V and was seen at empty_V at the lowest."""
    lithium = next(row for most, row in VOLTS if full_V < most)
    sodium = lithium is VOLTS[-1][1] and full_V < SODIUM_V[0] and empty_V < SODIUM_V[1]
    if spinel and lithium is VOLTS[-1][1]:
        return np.array(SPINEL)
    return np.array(SODIUM if sodium else lithium)


def left(rested_V: float, full_V: float, empty_V: float, spinel: bool = False) -> float:
    """Share of the capacity that is left at a rested voltage; 0.6 and more is not told apart."""
    return float(np.interp(rested_V, volts(full_V, empty_V, spinel), SOC))


def drawn_down(grid: Floats, ocv: Floats, lowest: float, full_V: float, empty_V: float, spinel: bool) -> Floats:
    """The curve over `grid`, below the lowest SOC that was seen as a cell of its class falls."""
    usual = np.interp(grid, SOC, volts(full_V, empty_V, spinel))
    at = int(np.searchsorted(grid, lowest))
    below = grid < lowest
    return np.asarray(np.where(below, ocv[at] + usual - usual[at], ocv))
