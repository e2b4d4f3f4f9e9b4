"""Open-circuit curve from laboratory data: slow legs, a given table, or rests of pulse tests.

Both legs of a slow test are put on one axis of charge since full; each is first freed from the voltage that its own
current step shows (also of leads: a tester without sense wires adds 100 mohm and nobody notices at C/15). Legs whose
charges disagree are not averaged: an unlogged part would bend the whole curve; then the discharge leg counts alone.
"""

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from cellarer.lab.readers import Run
from cellarer.lab.sort import Ends, Sorted

Floats = NDArray[np.float64]

GRID = np.linspace(0.0, 1.0, 201)
NEAR_K = 10.0  # from the slow leg: a faster discharge that warm tells its shape
WIDER = 2.0  # half gaps up to so many times the usual one are believed
LEAST_GAP_V = 0.004
AGREE = 0.03  # of capacity: legs that differ more are not averaged
TWO_CELLS_V = 0.04  # at the same SOC and temperature: slow discharges of one cell lie 10 mV apart
WIDEST_V = 0.08  # half gap of legs at 25 degC that belong to each other
COLDER_K = 3300.0  # d ln R / d(1/T), as usual (fit.py)
COOL_DEGC, COLD_ENDS = 10.0, 0.15  # a slow leg that is colder ends early, below this SOC
WHOLE = 0.04  # of capacity: a leg that begins or ends so near an end reaches it
MOST_HYSTERESIS = {"LFP": 0.040, "Na-ion": 0.040, "NMC": 0.020, "NCA": 0.015, "LMO": 0.012, "LTO": 0.010}
FELT_V = 0.01  # a smaller half gap is not told from slow polarisation: measured NMC and NCA follow the lower branch
HYSTERESIS_SPREAD = 0.7  # of the usual half gap: LFP 5 to 24 mV at 25 degC
USUAL_HYSTERESIS = {"LFP": 0.012, "Na-ion": 0.012, "NMC": 0.005, "NCA": 0.004, "LMO": 0.004, "LTO": 0.004}


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """OCV and half of the gap between its branches over GRID."""

    ocv: Floats
    half_gap: Floats
    temp_degC: float
    source: str
    measured_gap: bool
    points: tuple[tuple[float, float], ...] = ()  # (soc, V) rested, where the curve comes from rests


def towards_empty(soc: float | Floats) -> Floats:
    """How many times the resistance is what it is at full: it rises towards empty, usually so."""
    return np.asarray(1.0 + 0.9 * np.exp(-np.asarray(soc) / 0.07))


def chemistry_of(ocv: Floats) -> str:
    """Guess the chemistry from the curve (over GRID)."""
    middle, full, empty = float(np.interp(0.5, GRID, ocv)), float(ocv[-1]), float(ocv[0])
    flat = float(np.interp(0.8, GRID, ocv) - np.interp(0.3, GRID, ocv))
    if full < 3.0:
        return "LTO"
    if 3.1 < middle < 3.45 and flat < 0.13 and full < 3.8:
        return "LFP"
    if middle < 3.4 or (empty < 2.2 and middle < 3.55):
        return "Na-ion"
    return "LMO" if middle > 3.83 and flat < 0.25 else "NMC"


def _emptiness(soc: Floats | float) -> Floats:
    """1 at empty, 0 at full: share of what resistance has more at empty."""
    full, empty = float(towards_empty(1.0)), float(towards_empty(0.0))
    return np.asarray((towards_empty(np.clip(soc, 0.0, 1.0)) - full) / (empty - full))


def _more_at_empty(items: list[Sorted]) -> float:
    """By how much the first step of charges from empty shows more resistance than that of discharges from full."""
    steps: dict[float, list[float]] = {-1.0: [], 1.0: []}
    for item in items:
        run = item.run
        rows = np.flatnonzero(np.abs(run.current) > 0.3 * np.abs(run.current).max())
        sign = float(np.sign(run.current[rows[0]]))
        if abs(float(item.soc[rows[0]]) - 0.5 * (1.0 - sign)) < WHOLE:
            steps[sign].append(step_resistance(run, int(rows[0])))
    known = [[ohms for ohms in found if ohms > 0.0] for found in steps.values()]
    return max(float(np.median(known[1]) - np.median(known[0])), 0.0) if all(known) else 0.0


def _leg(item: Sorted, sign: float, capacity_Ah: float, more_ohms: float = 0.0) -> tuple[Floats, Floats] | None:
    """SOC (rising) and voltage of one direction, freed from the voltage of its own current step.

    more_ohms   by how much charges step higher at empty than discharges at full
    """
    run = item.run
    rows = np.flatnonzero(sign * run.current > 0.3 * np.abs(run.current).max())
    if len(rows) < 30 or np.ptp(run.charge_Ah[rows]) < 0.3 * capacity_Ah:
        return None
    rows = rows[(rows >= rows[0]) & (rows <= rows[-1])]
    soc = item.soc[rows]
    ohms: Floats | float = step_resistance(run, int(rows[0]))
    if ohms > 0.0:
        # what is common to both steps (leads too) stays; the rest belongs to empty and fades as resistance does
        ohms = ohms + more_ohms * (_emptiness(soc) - _emptiness(soc[0]))
    voltage = run.voltage[rows] - run.current[rows] * ohms
    order = np.argsort(soc, kind="stable")
    soc, voltage = soc[order], np.maximum.accumulate(voltage[order])
    keep = np.r_[True, np.diff(soc) > 1e-7]
    return soc[keep], voltage[keep]


def step_resistance(run: Run, row: int) -> float:
    """Resistance that the step of current into `row` shows; 0 where there is no rest before it."""
    if row == 0:
        return 0.0
    di = run.current[row] - run.current[row - 1]
    if abs(di) < 0.5 * abs(run.current[row]) or run.time_s[row] - run.time_s[row - 1] > 180.0:
        return 0.0
    return float(max((run.voltage[row] - run.voltage[row - 1]) / di, 0.0))


def _on_grid(soc: Floats, voltage: Floats, ends: Ends) -> Floats:
    """Onto GRID; beyond the leg's own end along its last slope, never flat."""
    out = np.interp(GRID, soc, voltage)
    for beyond, near, far in ((soc[0] > GRID, 0, min(len(soc) - 1, 5)), (soc[-1] < GRID, -1, max(-6, -len(soc)))):
        slope = abs(voltage[far] - voltage[near]) / max(abs(soc[far] - soc[near]), 1e-4)
        slope = float(np.clip(slope, 0.2, 60.0))
        out[beyond] = voltage[near] + (GRID[beyond] - soc[near]) * slope
    low = min(ends.empty_V, float(voltage[0])) - 0.3
    return np.asarray(np.clip(np.maximum.accumulate(out), low, ends.full_V + 0.05))


def from_slow_legs(items: list[Sorted], ends: Ends, warnings: list[str]) -> Curve | None:
    """Use the slow legs nearest to 25 degC."""
    slow = [item for item in items if item.kind.startswith("slow")]
    if not slow:
        return None
    temps = np.array([item.temp_degC for item in slow])
    nearest = temps[np.argmin(np.abs(temps - 25.0))]
    chosen = [item for item in slow if abs(item.temp_degC - nearest) < 4.0]
    temp = float(np.mean([item.temp_degC for item in chosen]))
    more = _more_at_empty(chosen)
    down = [leg for item in chosen if (leg := _leg(item, -1.0, ends.capacity_Ah, more)) is not None]
    warnings += _of_two_cells(chosen, ends)
    up = [leg for item in chosen if (leg := _leg(item, 1.0, ends.capacity_Ah, more)) is not None]
    lower = _mean_leg(down, ends)
    upper = _mean_leg(up, ends)
    for legs in (down, up):
        if legs:
            soc = max(legs, key=lambda leg: np.ptp(leg[0]))[0]
            told = _beyond(float(soc[0]), float(soc[-1]), lower if legs is down else None, items, temp)
            warnings += [f"slow {'discharge' if legs is down else 'charge'} {text}" for text in told]
    if lower is not None and upper is not None:
        spans = [float(np.ptp(max(legs, key=lambda leg: np.ptp(leg[0]))[0])) for legs in (down, up)]
        half = 0.5 * (upper - lower)
        inside = (GRID > 0.12) & (GRID < 0.92)
        widest, colder = float(np.quantile(half[inside], 0.95)), _colder(temp)
        if abs(spans[0] - spans[1]) < AGREE and widest < WIDEST_V * colder:
            # at the ends a leg runs away from the other by polarisation: what has rested lies near the other one
            most = WIDER * float(np.median(half[inside]))
            gap = np.clip(half, 0.0, max(most, LEAST_GAP_V))
            ocv = np.where(GRID > 0.5, lower + gap, upper - gap)
            # in the cold most of the gap is slow polarisation, which the mean of both legs is free of
            half_gap = gap if widest < WIDEST_V else gap / colder
            return Curve(np.maximum.accumulate(ocv), half_gap, temp, "both slow legs", True)
        whole = "charge" if spans[0] < 1.0 - WHOLE and abs(spans[1] - 1.0) < WHOLE else "discharge"
        warnings.append(
            f"slow legs disagree (discharge {spans[0]:.3f}, charge {spans[1]:.3f} of capacity): {whole} counts"
        )
        if whole == "charge":
            lower = None
    if lower is not None:
        return Curve(lower, np.zeros_like(GRID), temp, "slow discharge leg", False)
    if upper is not None:
        return Curve(upper, np.zeros_like(GRID), temp, "slow charge leg", False)
    return None


def _of_two_cells(items: list[Sorted], ends: Ends) -> list[str]:
    """Say which two slow discharges of the same temperature show curves that no one cell has."""
    legs = [(item.run.label, _leg(item, -1.0, ends.capacity_Ah)) for item in items]
    whole = [(label, leg) for label, leg in legs if leg is not None and np.ptp(leg[0]) > 1.0 - AGREE]
    inside = GRID[(GRID > 0.12) & (GRID < 0.92)]
    for (one, a), (other, b) in combinations(whole, 2):
        apart = float(np.quantile(np.abs(np.interp(inside, *a) - np.interp(inside, *b)), 0.9))
        if apart > TWO_CELLS_V:
            return [f"slow discharges {one} and {other} lie {1e3 * apart:.0f} mV apart at the same SOC: two cells? "
                    "Identify each from its own files"]  # fmt: skip
    return []


def _colder(temp_degC: float) -> float:
    """How many times the resistance at 25 degC a cell usually has in the cold; 1 where it is warmer."""
    return float(np.exp(COLDER_K * max(1.0 / (temp_degC + 273.15) - 1.0 / 298.15, 0.0)))


def _beyond(begin: float, end: float, lower: Floats | None, items: list[Sorted], temp_degC: float) -> list[str]:
    """Say what a leg between two SOC leaves out; towards empty draw `lower` on in place as a faster discharge fell.

    What that one lies lower by where the leg ends grows as resistance usually does towards empty.
    """
    told = []
    if begin > WHOLE:
        faster = [
            item
            for item in items
            if item.kind == "discharge" and item.soc.min() < WHOLE and abs(item.temp_degC - temp_degC) < NEAR_K
        ]
        cold = temp_degC < COOL_DEGC and begin < COLD_ENDS
        text = f"ends at SOC {100 * begin:.0f} %{', as cold makes it.' if cold else ': is the file truncated?'} "
        text += "Below that the curve is "
        if lower is not None and faster:
            item = min(faster, key=lambda one: float(np.abs(one.run.current).max()))
            flows = np.flatnonzero(item.run.current < 0.5 * float(item.run.current.min()))
            order = flows[np.argsort(item.soc[flows], kind="stable")]
            shown = np.interp(GRID, item.soc[order], np.maximum.accumulate(item.run.voltage[order]))
            below, at = begin > GRID, int(np.searchsorted(GRID, begin))
            rises = towards_empty(GRID) / float(towards_empty(GRID[at]))
            lower[below] = (shown + (lower[at] - shown[at]) * rises)[below]
            lower[:] = np.maximum.accumulate(np.minimum(lower, np.where(below, lower[at], np.inf)))
            told.append(f"{text}drawn after {item.run.label}")
        else:
            told.append(f"{text}a straight line, no measurement")
    if end < 1.0 - WHOLE:
        told.append(f"begins or ends at SOC {100 * end:.0f} %: above that the curve is a straight line, no measurement")
    return told


def _mean_leg(legs: list[tuple[Floats, Floats]], ends: Ends) -> Floats | None:
    """Mean of several legs; a leg that covers much less than the longest is left out."""
    if not legs:
        return None
    longest = max(float(np.ptp(soc)) for soc, _ in legs)
    good = [_on_grid(soc, voltage, ends) for soc, voltage in legs if np.ptp(soc) > 0.97 * longest]
    return np.asarray(np.maximum.accumulate(np.mean(good, axis=0)))


def moved_to_rests(curve: Curve, rests: Curve) -> Curve:
    """Keep the shape of a single slow leg, but let it go through rested points: they carry no polarisation."""
    if curve.measured_gap or len(rests.points) < 5:
        return curve
    soc, voltage = np.array(rests.points).T
    away = voltage - np.interp(soc, GRID, curve.ocv)
    if float(np.abs(away).max()) > 0.1:
        return curve
    ocv = np.maximum.accumulate(curve.ocv + np.interp(GRID, soc, away))
    return replace(curve, ocv=ocv, source=f"{curve.source}, moved to rested points")


def freed_of_hysteresis(curve: Curve, half_V: float, rate: float) -> Curve:
    """The mean of both branches where only one was seen: discharges from full show the lower one, charges the upper.

    Left on its branch, a flat curve would be off by the whole gap once current turns.
    """
    if curve.measured_gap or curve.source.startswith("guess") or half_V < FELT_V:
        return curve
    charging = curve.source == "slow charge leg"  # moved to rests it lies where discharges end
    way = GRID if charging else 1.0 - GRID
    state = (1.0 if charging else -1.0) * (1.0 - 2.0 * np.exp(-rate * way))
    return replace(curve, ocv=np.maximum.accumulate(curve.ocv - half_V * state))
