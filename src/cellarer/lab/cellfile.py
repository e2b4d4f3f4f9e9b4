"""A finished identification → the table of a cell file: rows over temperature, some beyond the measured ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellarer.lab import template
from cellarer.lab.curve import GRID, Curve
from cellarer.lab.fit import KELVIN, KNOTS, Fitted
from cellarer.lab.search import usual_exchange_C
from cellarer.lab.sort import Ends

Floats = NDArray[np.float64]

SIGMA_V = (0.003, 0.15)
BEYOND_K = 15.0  # rows beyond the measured temperatures, in steps of
COLDEST_DEGC, WARMEST_DEGC = -30.0, 60.0
OWN_SLOPE = 0.3  # weight of the slope seen within a class, beyond it
SLOPE_25_K, STEEPER = 2700.0, 40.0  # usual slope of all resistance at 25 degC, and per K below (NCA, NMC: 4000 below 0)
BEYOND_DOUBT_K = 500.0  # how far the slope of resistance over 1/T may be off there: cells part by as much
BEYOND_C = 0.3  # current, per hour of capacity, at which that is felt: the filter learns the rest as resistance_scale
NO_EXCHANGE_C = 12.0  # per hour of capacity: larger cannot be told from none
CURVE_PCT = np.concatenate([np.arange(0.0, 10.0, 1.0), np.arange(10.0, 95.0, 2.5), np.arange(95.0, 100.5, 1.0)])


@dataclass(frozen=True, slots=True)
class Row:
    """One temperature of the cell file: a class, and by which factors resistance and miss grow away from it."""

    temp_degC: float
    part: Fitted
    factor: float
    sigma: float  # V


def temperature_rows(fitted: list[Fitted], capacity_Ah: float) -> list[Row]:
    """Rows of the table: each class, the edges of what it saw, and a little beyond with growing doubt."""
    rows = [Row(part.temp_degC, part, 1.0, part.rmse) for part in fitted]
    for part, edge, way in ((fitted[0], 0, -1.0), (fitted[-1], 1, 1.0)):
        seen = part.span_degC[edge]
        if abs(seen - part.temp_degC) > 2.5:
            rows.append(_moved(part, seen, part.slope_K, part.rmse, capacity_Ah))
        else:
            seen = part.temp_degC
        base = _moved(part, seen, part.slope_K, part.rmse, capacity_Ah)
        for step in (BEYOND_K, 2.0 * BEYOND_K):
            temp = seen + way * step
            if COLDEST_DEGC <= temp <= WARMEST_DEGC:
                # the slope within a class says little of what lies beyond it; in the cold it grows
                usual = SLOPE_25_K + STEEPER * (25.0 - 0.5 * (seen + temp))
                slope = OWN_SLOPE * part.slope_K + (1.0 - OWN_SLOPE) * usual
                rows.append(_moved(part, temp, slope, base.sigma, capacity_Ah, base))
    return sorted(rows, key=lambda row: row.temp_degC)


def _moved(part: Fitted, temp_degC: float, slope_K: float, rmse: float, capacity_Ah: float,
           base: Row | None = None) -> Row:  # fmt: skip
    """The class at another temperature. Beyond the measured ones (`base`: where they end) doubt grows with distance."""
    origin = part.temp_degC if base is None else base.temp_degC
    factor = float(np.exp(slope_K * (1.0 / (temp_degC + KELVIN) - 1.0 / (origin + KELVIN))))
    if base is None:
        return Row(temp_degC, part, factor, rmse * max(factor, 1.0) ** 0.5)
    middle = int(np.argmin(np.abs(KNOTS - 0.5)))
    total = float(part.r0[middle] + part.r1[middle] + part.r2[middle]) * base.factor
    away = abs(1.0 / (temp_degC + KELVIN) - 1.0 / (base.temp_degC + KELVIN))
    doubt = factor * total * float(np.expm1(BEYOND_DOUBT_K * away)) * BEYOND_C * capacity_Ah
    return Row(temp_degC, part, factor * base.factor, float(np.hypot(base.sigma, doubt)))


def _exchange(row: Row, capacity_Ah: float) -> float:
    """Exchange current: of the class where it was fitted; in the cold beyond warm data as cells usually have it."""
    measured = row.part.exchange_A / row.factor
    usual = capacity_Ah * usual_exchange_C(row.temp_degC)
    found = measured if np.isfinite(measured) else usual
    return float("inf") if found > NO_EXCHANGE_C * capacity_Ah else round(found, 4)


def table_of(name: str, chemistry: str, curve: Curve, gap: Floats, rate: float, fitted: list[Fitted], ends: Ends,
           source: str, warnings: list[str]) -> dict[str, Any]:  # fmt: skip
    """The cell file."""
    rows = temperature_rows(fitted, ends.capacity_Ah)
    soc = CURVE_PCT / 100.0
    ocv, hysteresis = [], []
    for row in rows:
        volts = np.interp(soc, GRID, curve.ocv) + np.interp(soc, KNOTS, row.part.correction)
        ocv.append([round(float(v), 5) for v in np.maximum.accumulate(volts)])
        hysteresis.append([round(1e3 * float(v), 3) for v in np.interp(soc, GRID, gap)])
    files = "; ".join(f"{part.temp_degC:.0f} degC: {', '.join(part.files)}" for part in fitted)
    limit = template.limits(chemistry, ends.full_V, ends.empty_V, min(row[0] for row in ocv), ends.capacity_Ah)

    def milliohm(which: str) -> list[list[float]]:
        return [[round(max(1e3 * row.factor * float(v), 1e-4), 5) for v in getattr(row.part, which)] for row in rows]

    estimated = ["thermal", "limits", "charge", "capacity.self_discharge_pct_per_month", "ocv.hysteresis_rate"]
    if not curve.measured_gap:
        estimated.append("ocv.hysteresis_mV")
    return {
        "name": name, "title": f"{name}, identified from laboratory data", "chemistry": chemistry,
        "estimated": estimated, "notes": list(warnings),
        "capacity": {
            "capacity_Ah": round(ends.capacity_Ah, 5), "rated_Ah": round(ends.capacity_Ah, 5),
            "self_discharge_pct_per_month": 2.0, "source": f"capacity: {source}",
        },
        "ocv": {
            "temperature_degC": [round(row.temp_degC, 2) for row in rows], "soc_pct": [float(x) for x in CURVE_PCT],
            "ocv_V": ocv, "hysteresis_mV": hysteresis, "hysteresis_rate": rate,
            "source": f"{curve.source} at {curve.temp_degC:.0f} degC, corrected at each temperature by the fit",
        },
        "resistance": {
            "temperature_degC": [round(row.temp_degC, 2) for row in rows], "soc_pct": [100.0 * float(x) for x in KNOTS],
            "r0_mohm": milliohm("r0"), "r1_mohm": milliohm("r1"), "r2_mohm": milliohm("r2"),
            "tau1_s": [round(row.part.tau1, 3) for row in rows],
            "tau2_s": [round(max(row.part.tau2, 1.5 * row.part.tau1), 2) for row in rows],
            "exchange_A": [_exchange(row, ends.capacity_Ah) for row in rows],
            "sigma_mV": [round(1e3 * float(np.clip(row.sigma, *SIGMA_V)), 2) for row in rows],
            "source": f"identified by variable projection from {files}",
        },
        "thermal": template.thermal(ends.capacity_Ah, float(np.interp(0.5, GRID, curve.ocv))),
        "limits": limit,
        "charge": template.charge(chemistry, limit, ends.capacity_Ah),
    }  # fmt: skip
