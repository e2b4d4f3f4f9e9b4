"""A finished identification → the table of a cell file: rows over temperature, some beyond the measured ones."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellarer.lab import template
from cellarer.lab.curve import GRID, Curve
from cellarer.lab.fit import KELVIN, KNOTS, USUAL_OHM_AH, USUAL_SLOPE_K, Fitted
from cellarer.lab.search import usual_exchange_C
from cellarer.lab.sort import Ends

Floats = NDArray[np.float64]

SIGMA_V = (0.003, 0.15)
BEYOND_K = 15.0  # rows beyond the measured temperatures, in steps of
COLDEST_DEGC, WARMEST_DEGC = -30.0, 60.0
OWN_SLOPE = 0.3  # weight of the slope seen within a class, beyond it
SLOPE_25_K, STEEPER = 2700.0, 40.0  # usual slope of all resistance at 25 degC, and per K below (NCA, NMC: 4000 below 0)
BEYOND_C = 0.3  # current, per hour of capacity, at which a resistance that was never measured is felt
STRAYS = 150.0  # K: variance of ln R, less the usual law, per 1/T; NCA 18 to 150, NMC 3, 30 and 700 (docs/why)
STRAYS_WORTH = 3.0  # distances between measured temperatures that this counts as
# Where no rest or change of current lasted long enough to show a slow part, half of what it usually has is unknown.
TAU2_SEEN_S = 57.0  # 55 s is the bound of the search
UNSEEN = 0.5 * float(USUAL_OHM_AH[2] / USUAL_OHM_AH.sum())
STEADY_UNSEEN = 0.4  # measured cells part by so much from what is usual, and steady currents tell little more
FAR_DEGC = -60.0, 120.0  # no cell file goes beyond
SLOW_C = 0.05  # usual rate of a slow leg
GAP_K = 3.0  # measured temperatures closer than this leave nothing between them
NO_EXCHANGE_C = 12.0  # per hour of capacity: larger cannot be told from none
CURVE_PCT = np.concatenate([np.arange(0.0, 10.0, 1.0), np.arange(10.0, 95.0, 2.5), np.arange(95.0, 100.5, 1.0)])


@dataclass(frozen=True, slots=True)
class Row:
    """One temperature of the cell file: a class, and by which factors resistance and miss grow away from it."""

    temp_degC: float
    part: Fitted
    factor: float
    sigma: float  # V


def temperature_rows(fitted: list[Fitted], capacity_Ah: float, cold_V: float = 0.0) -> list[Row]:
    """Rows of the table: each class, the edges of what it saw, and a little beyond with growing doubt.

    cold_V   what a curve from the cold may hold of its slow polarisation
    """
    rate = strays(fitted, capacity_Ah)
    rows = [Row(part.temp_degC, part, 1.0, part.rmse) for part in fitted]
    for part, edge, way in ((fitted[0], 0, -1.0), (fitted[-1], 1, 1.0)):
        seen = part.span_degC[edge]
        if abs(seen - part.temp_degC) > 2.5:
            rows.append(_moved(part, seen, part.slope_K))
        else:
            seen = part.temp_degC
        base = _moved(part, seen, part.slope_K)
        for step in (BEYOND_K, 2.0 * BEYOND_K):
            temp = seen + way * step
            if COLDEST_DEGC <= temp <= WARMEST_DEGC:
                # the slope within a class says little of what lies beyond it; in the cold it grows
                slope = OWN_SLOPE * part.slope_K + (1.0 - OWN_SLOPE) * _usual_slope_K(seen, temp)
                row = _moved(part, temp, slope, base)
                # what a current did hours ago lasts in the cold: doubt of resistance is felt at rest as well
                felt_V = row.factor * _ohms(part) * BEYOND_C * capacity_Ah * np.sqrt(rate * abs(_apart(temp, seen)))
                # and what moved the curve where it was measured may be a slow polarisation that is another one here
                moved_V = float(np.hypot(_moved_V(part), cold_V)) * (1.0 - np.exp(-abs(temp - seen) / BEYOND_K))
                rows.append(replace(row, sigma=float(np.sqrt(base.sigma**2 + felt_V**2 + moved_V**2))))
    return sorted(rows, key=lambda row: row.temp_degC)


def _moved(part: Fitted, temp_degC: float, slope_K: float, base: Row | None = None) -> Row:
    """The class at another temperature, from its own or from where its data ends (`base`)."""
    origin, grown = (part.temp_degC, 1.0) if base is None else (base.temp_degC, base.factor)
    factor = grown * float(np.exp(slope_K * _apart(temp_degC, origin)))
    return Row(temp_degC, part, factor, part.rmse * max(factor, 1.0) ** 0.5)


def polarised_V(curve: Curve) -> float:
    """What polarisation at a slow rate is more than at 25 degC: it stays in a cold leg and ends it early."""
    if "slow" not in curve.source or curve.source.endswith("points"):
        return 0.0
    colder = float(np.exp(USUAL_SLOPE_K * _apart(curve.temp_degC, 25.0)))
    return SLOW_C * float(USUAL_OHM_AH[1:].sum()) * max(colder - 1.0, 0.0)


def _moved_V(part: Fitted) -> float:
    """By how much the fit has moved the curve in the middle of SOC, root mean square."""
    return float(np.sqrt(np.mean(part.correction[np.abs(KNOTS - 0.5) < 0.35] ** 2)))


def _apart(a_degC: float, b_degC: float) -> float:
    """1/a − 1/b, in 1/K."""
    return 1.0 / (a_degC + KELVIN) - 1.0 / (b_degC + KELVIN)


def _usual_slope_K(a_degC: float, b_degC: float) -> float:
    """Usual slope of ln R over 1/T between two temperatures."""
    return SLOPE_25_K + STEEPER * (25.0 - 0.5 * (a_degC + b_degC))


def _ohms(part: Fitted, ampere: float = 0.0) -> float:
    """All resistance in the middle of SOC at a current."""
    falls = np.arcsinh(ampere / part.exchange_A) * part.exchange_A / ampere if ampere / part.exchange_A > 0.0 else 1.0
    return float((falls * part.r0 + part.r1 + part.r2)[np.abs(KNOTS - 0.5) < 0.25].mean())


def strays(fitted: list[Fitted], capacity_Ah: float) -> float:
    """How fast resistance strays from the usual law, variance of ln R per 1/T: as between these temperatures."""
    ampere = BEYOND_C * capacity_Ah
    found = STRAYS_WORTH * STRAYS
    for cold, warm in pairwise(fitted):
        way = _apart(cold.temp_degC, warm.temp_degC)
        away = np.log(_ohms(cold, ampere) / _ohms(warm, ampere)) - way * _usual_slope_K(cold.temp_degC, warm.temp_degC)
        found += float(away**2) / way
    return found / (STRAYS_WORTH + len(fitted) - 1)


def doubts(fitted: list[Fitted], capacity_Ah: float) -> dict[str, list[float]]:
    """How far resistance may be off where no data was: a walk over 1/T that begins and ends at what was measured."""
    rate = strays(fitted, capacity_Ah)
    points: dict[float, float] = {}  # degC: distance over 1/T that counts
    for cold, warm in pairwise(fitted):
        low, high = cold.span_degC[1], warm.span_degC[0]
        if high - low > GAP_K:
            points |= {low: 0.0, 0.5 * (low + high): 0.25 * _apart(low, high), high: 0.0}
    lowest, highest = min(part.span_degC[0] for part in fitted), max(part.span_degC[1] for part in fitted)
    for seen, way in ((lowest, -1.0), (highest, 1.0)):
        for step in (0.0, BEYOND_K / 3.0, BEYOND_K, 2.0 * BEYOND_K):
            points[seen + way * step] = abs(_apart(seen, seen + way * step))
    at, unseen = [part.temp_degC for part in fitted], [_unseen(part) for part in fitted]
    doubt_pct = {
        round(t, 1): round(100.0 * float(np.hypot(np.sqrt(rate * points[t]), np.interp(t, at, unseen))), 1)
        for t in sorted(points)
    }
    kept = [t for t in doubt_pct if FAR_DEGC[0] < t < FAR_DEGC[1]]
    return {"doubt_degC": kept, "doubt_pct": [doubt_pct[t] for t in kept]}


def _unseen(part: Fitted) -> float:
    """How far resistance may be off at a measured temperature, relative."""
    return STEADY_UNSEEN if part.steady else UNSEEN if part.tau2 < TAU2_SEEN_S else 0.0


def _exchange(row: Row, capacity_Ah: float) -> float:
    """Exchange current: of the class where it was fitted; in the cold beyond warm data as cells usually have it."""
    measured = row.part.exchange_A / row.factor
    usual = capacity_Ah * usual_exchange_C(row.temp_degC)
    found = measured if np.isfinite(measured) else usual
    return float("inf") if found > NO_EXCHANGE_C * capacity_Ah else round(found, 4)


def table_of(name: str, chemistry: str, curve: Curve, gap: Floats, rate: float, fitted: list[Fitted], ends: Ends,
           source: tuple[str, float], warnings: list[str]) -> dict[str, Any]:  # fmt: skip
    """The cell file. source: where the capacity comes from, and its relative sigma."""
    rows = temperature_rows(fitted, ends.capacity_Ah, polarised_V(curve))
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
            "capacity_sigma_pct": round(100.0 * source[1], 1),
            "self_discharge_pct_per_month": 2.0, "source": f"capacity: {source[0]}",
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
            **doubts(fitted, ends.capacity_Ah),
            "source": f"identified by variable projection from {files}",
        },
        "thermal": template.thermal(ends.capacity_Ah, float(np.interp(0.5, GRID, curve.ocv))),
        "limits": limit,
        "charge": template.charge(chemistry, limit, ends.capacity_Ah),
    }  # fmt: skip
