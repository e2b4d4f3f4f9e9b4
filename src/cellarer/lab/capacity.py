"""Capacity from full discharges, or full charges where there are none. The slowest near 25 degC is believed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from cellarer.lab import usual
from cellarer.lab.error import LabError
from cellarer.lab.fit import KELVIN, USUAL_OHM_AH, USUAL_SLOPE_K, WARM_K
from cellarer.lab.readers import Run
from cellarer.lab.sort import LOADED_OHM_AH, Ends

Floats = NDArray[np.float64]

NEAR_FULL_V = 0.13
NEAR_EMPTY_V = 0.15
LEAST_HOURS = 1.0 / 60.0  # no cell is emptied sooner
LARGEST_AH = 1500.0  # of one cell; the largest on sale (2026) hold about 1200
OHM_AH = (0.004, 10.0)  # resistance times capacity of any cell: measured 0.013 (LTO) to 0.09, at -20 degC to 1.4
STEP_S = 30.0  # within so many seconds a change of current tells it
LEAST_GAP_OHM_AH = 0.01  # as much lie legs apart, per ampere, that take less than BRISK_H: measured 0.03 to 0.4
BRISK_H = 1.0
MOST_HOURS = 40.0  # slower does not count as better
FREE_K, HOURS_PER_K = 4.0, 1.5  # distance from 25 degC that costs nothing; then what a kelvin costs in hours
FAR_K = 15.0  # from 25 degC: a capacity from there is told as less than the rated one
LEAST = 0.3  # of the largest swing
REVERSAL = 0.2  # a leg ends where charge turns by this share of the largest swing
LEAST_SHARE, MOST_SHARE = 0.02, 1.15  # of a capacity that is given, as the largest swing of the files
LEAST_V = 0.4  # between full and empty of any cell (LFP, shallow)
SPAN = 0.6  # a swing that covers less of the voltages seen in all files tells no capacity
END, END_ROWS = 0.01, 30  # of the charge of a leg: so near its turn its last voltage is looked for, and rows beyond
FLOWS = 0.02  # of the largest current of a leg
POINTS = 20_000
STEADY, STEADY_SHARE = 0.1, 0.9  # of the middle current; of the rows with current
SLOW_H = 8.0  # a leg that takes so long ends where the cell is empty, if it shows a knee
COLD_LEFT = 0.0025  # of capacity per kelvin below 25 degC less FREE_K: so much a slow cold discharge leaves in the cell
TWO_CELLS = 0.05  # of capacity: slow discharges of the same temperature that differ by more are not of one cell
LEFT = 0.02  # of capacity: less than this the curve of a class does not tell; more is added …
TOLD = 0.05  # … and told where it is more than a discharge at 1C usually leaves
HOURS_LEFT = 200.0  # a leg that leaves a tenth counts as 20 h faster
MOST_LEFT = 0.45  # of capacity: with more left in the cell its capacity is guessed and not measured
# One sigma of a capacity, relative. All are own estimates from 40 legs of six cells (docs/why/identification.md).
SURE = 0.02  # given, or by a slow leg: cells of one kind differ by as much
FAST = 0.05  # by a leg faster than SLOW_H
CHARGED = 0.04  # more by a charge: where it begins is rested for minutes, and it ends before it is full …
COLD_PER_K = 0.002  # more per kelvin from 25 degC …
GUESSED = 0.6  # … and so much of the charge that was added …
SWUNG = 0.1  # … and by a swing that is no leg between full and empty
MOST_SIGMA = 0.5
APART = 0.02  # of capacity: a given one that is farther from what a slow leg shows is told
RELAXED_S = 3600.0  # behind a discharge, so long a rest tells its end
KNEE = 4.0  # so many times as steep as in the middle a cell falls at its end: measured 7 to 44, before it under 4


@dataclass(frozen=True, slots=True)
class Leg:
    """One way between an upper and a lower turning point of charge."""

    charge_Ah: float
    hours: float
    temp_degC: float
    falls: bool
    label: str
    cut_V: float = float("nan")  # where the file ends while current flows and no knee of an empty cell has shown
    left: float = 0.0  # of the capacity, behind the lower end: by its rested voltage as usual
    rested_V: float = float("nan")  # there
    middle_V: float = float("nan")  # at half of its charge

    @property
    def rank(self) -> float:
        """Slow is good, far from 25 degC and far from empty are bad, a charge is second best."""
        away = max(self.away_K - FREE_K, 0.0)
        second = 0.0 if self.falls else 2.0 * MOST_HOURS
        return min(self.hours, MOST_HOURS) - HOURS_PER_K * away - HOURS_LEFT * self.left - second

    @property
    def away_K(self) -> float:
        """Distance from 25 degC."""
        return abs(self.temp_degC - 25.0)

    @property
    def capacity_Ah(self) -> float:
        """What flowed, and what is usually left where that is no trifle."""
        return self.charge_Ah / (1.0 - (self.left if self.left > LEFT else self.cold_left))

    @property
    def cold_left(self) -> float:
        """What a slow discharge that was empty in the cold usually leaves."""
        empty = self.falls and self.hours >= SLOW_H and self.left == 0.0
        return COLD_LEFT * max(25.0 - FREE_K - self.temp_degC, 0.0) if empty else 0.0

    @property
    def sigma(self) -> float:
        """One sigma of capacity_Ah, relative."""
        sure, left = SURE if self.hours >= SLOW_H else FAST, self.left + self.cold_left
        parts = [sure, COLD_PER_K * self.away_K, GUESSED * left / (1.0 - left), 0.0 if self.falls else CHARGED]
        return min(float(np.linalg.norm(parts)), MOST_SIGMA)

    def __str__(self) -> str:
        kind = "discharge" if self.falls else "charge"
        return f"{kind} of {self.hours:.1f} h at {self.temp_degC:.0f} degC in {self.label}"


def turning_points(charge: Floats, reversal: float) -> list[int]:
    """Rows at which charge turns by more than `reversal`; first and last row included."""
    step = max(1, len(charge) // POINTS)
    rows = np.unique(np.append(np.arange(0, len(charge), step), len(charge) - 1))
    points, best, up = [int(rows[0])], int(rows[0]), 0
    for row in rows[1:].tolist():
        away = charge[row] - charge[best]
        if up == 0:
            if abs(away) > reversal:
                up, best = (1 if away > 0 else -1), row
        elif away * up > 0.0:
            best = row
        elif abs(away) > reversal:
            points.append(best)
            up, best = -up, row
    return [*points, best] if best != points[-1] else points


def full_legs(run: Run, ends: Ends) -> Iterator[Leg]:
    """Legs of a run that go all the way between full and empty."""
    points = turning_points(run.charge_Ah, REVERSAL * ends.capacity_Ah)
    for first, last in pairwise(points):
        charge = float(run.charge_Ah[last] - run.charge_Ah[first])
        top, bottom = (first, last) if charge < 0.0 else (last, first)
        # a rest drifts on: the turn may lie far behind the end
        around = slice(max(first - END_ROWS, 0), last + END_ROWS)
        flowed, volts = run.charge_Ah[around], run.voltage[around]
        # a file may begin under load: what the usual resistance drops is no emptiness
        unloaded = volts - np.minimum(run.current[around], 0.0) * LOADED_OHM_AH / ends.capacity_Ah
        high = float(unloaded[np.abs(flowed - run.charge_Ah[top]) < END * abs(charge)].max())
        low = float(volts[np.abs(flowed - run.charge_Ah[bottom]) < END * abs(charge)].min())
        rows = slice(first, last + 1)
        flows = np.abs(run.current[rows]) > FLOWS * np.abs(run.current[rows]).max()  # rests make nothing slower
        hours = float(np.sum(run.dt[rows][flows])) / 3600.0
        knee = charge < 0.0 and _knee(run, first, last)
        # loads of other files go lower than a slow discharge ends: that one is empty by its knee
        empty = low < ends.empty_V + NEAR_EMPTY_V or (hours >= SLOW_H and knee)
        if high > ends.full_V - NEAR_FULL_V and empty and abs(charge) > LEAST * ends.capacity_Ah:
            temp = float(np.mean(run.temp_degC[rows]))
            cut = charge < 0.0 and not knee and _ends_under_load(run, first, last)
            rested_V = (
                float(run.voltage[last]) if hours >= SLOW_H and charge < 0.0 else at_rest(run, bottom, temp, ends)
            )
            spinel = _spinel(run, first, last, temp, ends)
            left = 0.0 if hours >= SLOW_H and knee else usual.left(rested_V, ends.full_V, ends.empty_V, spinel)
            cut_V = float(run.voltage[last]) if cut else float("nan")
            middle_V = _over(run, first, last, 0.5)
            yield Leg(abs(charge), hours, temp, charge < 0.0, run.label, cut_V, left, rested_V, middle_V)


def at_rest(run: Run, bottom: int, temp_degC: float, ends: Ends) -> float:
    """Voltage to which a run comes back at the lower end of a leg: as a rest there shows it, else less the usual drop.

    Behind a discharge the rest rises, so its highest row counts; before a charge its last.
    """
    q = ends.capacity_Ah
    near = np.abs(run.charge_Ah - run.charge_Ah[bottom]) < END * q
    near &= np.abs(run.time_s - run.time_s[bottom]) < RELAXED_S
    calm = near & (np.abs(run.current) < FLOWS * q)
    if calm.sum() > 1:
        return float(run.voltage[calm].max())
    weight = np.maximum(run.dt[near], 1e-9)
    return float(np.average(_unloaded(run, temp_degC, q)[near], weights=weight))


def _unloaded(run: Run, temp_degC: float, capacity_Ah: float) -> Floats:
    """Voltage less what the usual resistance makes of the current."""
    colder = float(np.exp(USUAL_SLOPE_K * (1.0 / (temp_degC + KELVIN) - 1.0 / WARM_K)))
    return run.voltage - float(USUAL_OHM_AH.sum()) * colder / capacity_Ah * run.current


def _spinel(run: Run, first: int, last: int, temp_degC: float, ends: Ends) -> bool:
    """Whether a discharge between two rows is that of an LMO cell: only a steady current tells (rests may part it)."""
    rows = slice(first, last + 1)
    drawn, amperes = run.charge_Ah[first] - run.charge_Ah[rows], -run.current[rows]
    flows = amperes > FLOWS * float(np.abs(amperes).max())
    if not drawn[-1] > 0.0:
        return False
    steady = flows & (np.abs(amperes - np.median(amperes[flows])) < STEADY * np.median(amperes[flows]))
    if steady.sum() < STEADY_SHARE * flows.sum():
        return False
    unloaded = _unloaded(run, temp_degC, ends.capacity_Ah)[rows]
    return usual.is_spinel(drawn[steady] / drawn[-1], unloaded[steady], temp_degC)


def _ends_under_load(run: Run, first: int, last: int) -> bool:
    """Whether a file ends while a discharge between two rows goes on."""
    return last == len(run.current) - 1 and bool(run.current[last] <= FLOWS * float(run.current[first:].min()))


def _knee(run: Run, first: int, last: int) -> bool:
    """Whether a discharge falls at its end as an empty cell does."""
    begin, most, late, end = (_over(run, first, last, share) for share in (0.1, 0.9, 0.98, 1.0))
    return bool((late - end) / 0.02 > KNEE * (begin - most) / 0.8)


def _over(run: Run, first: int, last: int, share: float) -> float:
    """Voltage at a share of the charge between two rows."""
    way = run.charge_Ah[first : last + 1] - run.charge_Ah[first]
    return float(np.interp(share, way / way[-1], run.voltage[first : last + 1]))


def check_given(runs: list[Run], capacity_Ah: float) -> None:
    """Raise LabError where next to nothing of a capacity that is given flows in the files."""
    swing = max(float(np.ptp(run.charge_Ah)) for run in runs)
    if swing < LEAST_SHARE * capacity_Ah:
        raise LabError(
            "--capacity-Ah", "value", f"{capacity_Ah:g} Ah, while the largest swing of charge in the files is "
            f"{swing:.3g} Ah", "ampere-hours of one cell, and runs that move 2 % of them",
        )  # fmt: skip


def sigma_of_given(runs: list[Run], ends: Ends, warnings: list[str]) -> float:
    """One sigma of a capacity that is given, relative; said where a slow leg near 25 degC shows another one."""
    slow = [leg for run in runs for leg in full_legs(run, ends) if leg.hours >= SLOW_H and leg.away_K < FAR_K]
    slow = [leg for leg in slow if leg.falls and leg.left < TOLD]
    if not slow:
        return SURE
    best = max(slow, key=lambda leg: leg.rank)
    apart = abs(best.charge_Ah / ends.capacity_Ah - 1.0)
    if apart > APART:
        warnings.append(
            f"--capacity-Ah {ends.capacity_Ah:.4g}, while a {best} shows {best.charge_Ah:.4g} Ah: leave the option "
            "out, or is it another cell?"
        )
    return min(float(np.hypot(SURE, apart if apart > APART else 0.0)), MOST_SIGMA)


def check_swings(runs: list[Run], capacity_Ah: float, warnings: list[str]) -> None:
    """Say where more flows than the cell holds: another cell, or a wrong capacity."""
    for run in runs:
        swing = float(np.ptp(run.charge_Ah))
        if swing > MOST_SHARE * capacity_Ah:
            warnings.append(
                f"{run.label}: charge swings by {swing:.3g} Ah, more than the cell holds ({capacity_Ah:.3g} Ah): "
                "another cell, a wrong --capacity-Ah, or a current sensor that drifts?"
            )


def _check_scale(runs: list[Run], legs: list[Leg], best: Leg) -> None:
    """Refuse where resistance times capacity is none of a cell: then time is in another unit (of current both hold)."""
    ohms = []
    for run in runs:
        di, dv = np.diff(run.current), np.diff(run.voltage)
        big = (np.abs(di) > 0.2 * np.abs(run.current).max()) & (np.diff(run.time_s) <= STEP_S)
        if big.any():
            ohms.append(float(np.median(dv[big] / di[big])))
    told = [(float(np.median(ohms)), OHM_AH)] if ohms else []
    down, up = (
        [(leg.middle_V, leg.charge_Ah / leg.hours) for leg in legs if leg.falls is falls] for falls in (True, False)
    )
    if down and up and best.hours < BRISK_H:
        (low_V, out_A), (high_V, in_A) = (np.mean(part, axis=0) for part in (down, up))
        told.append((float(high_V - low_V) / float(out_A + in_A), (LEAST_GAP_OHM_AH, np.inf)))
    for ohm, (least, most) in told:
        if not least < ohm * best.capacity_Ah < most:
            raise LabError(
                best.label, "time", f"{1e3 * ohm:.3g} mohm in a cell of {best.capacity_Ah:.3g} Ah",
                "seconds: no cell is like that; name the column _min, _h or _ms where it is, else give --capacity-Ah",
            )  # fmt: skip


def _of_two_cells(legs: list[Leg]) -> list[str]:
    """Say which two slow discharges to empty, as warm as each other, hold too different a charge for one cell."""
    slow = sorted((leg for leg in legs if leg.falls and leg.hours >= SLOW_H), key=lambda leg: leg.charge_Ah)
    for one, other in combinations(slow, 2):
        near = abs(one.temp_degC - other.temp_degC) < FREE_K
        if near and one.left + other.left == 0.0 and other.charge_Ah > (1.0 + TWO_CELLS) * one.charge_Ah:
            return [
                f"a {one} holds {one.charge_Ah:.4g} Ah, a {other} {other.charge_Ah:.4g} Ah: two cells, or one that has "
                "aged between them? Identify each from its own files"
            ]
    return []


def measured(runs: list[Run], ends: Ends, warnings: list[str]) -> tuple[Ends, str, float]:
    """Capacity, where it comes from and its relative sigma. Raises LabError where no run tells it."""
    if ends.full_V - ends.empty_V < LEAST_V:
        raise LabError(
            "identify", "voltage", f"{ends.empty_V:.2f} to {ends.full_V:.2f} V in all files",
            "a run from full to empty, or --capacity-Ah with --ocv TABLE",
        )  # fmt: skip
    legs = [leg for run in runs for leg in full_legs(run, ends)]
    best = max(legs, key=lambda leg: leg.rank) if legs else _swing(runs, ends)
    if best.left > MOST_LEFT:
        raise LabError(
            best.label, "charge", f"{best.charge_Ah:.4g} Ah down to about {best.rested_V:.2f} V at rest, where a cell "
            f"of its class still holds half of its charge",
            "a discharge to empty, or --capacity-Ah (that of the data sheet where no better one is known)",
        )  # fmt: skip
    if best.hours < LEAST_HOURS:
        raise LabError(
            best.label, "time", f"{3600.0 * best.hours:.3g} s from full to empty",
            "seconds; these look like hours or minutes: name the column _h or _min",
        )  # fmt: skip
    if best.charge_Ah > LARGEST_AH:
        raise LabError(
            best.label, "current", f"{best.charge_Ah:.0f} Ah, more than any cell holds",
            "amperes and seconds; where they are mA or ms name the column _mA or _ms, else give --capacity-Ah",
        )  # fmt: skip
    _check_scale(runs, legs, best)
    warnings += _of_two_cells(legs)
    if legs and best.away_K > FAR_K:
        warnings.append(f"no full leg near 25 degC: capacity is that of a {best}; --capacity-Ah is better")
    if legs and not best.falls:
        warnings.append(f"no full discharge: capacity is that of a charge ({best}); --capacity-Ah is better")
    if np.isfinite(best.cut_V):
        warnings.append(
            f"{best.label} ends at {best.cut_V:.2f} V while current flows, without the knee of an empty cell: "
            "is the file truncated? Then capacity is larger: give --capacity-Ah"
        )
    if best.left > TOLD:
        warnings.append(
            f"{best.label} does not empty the cell: about {best.rested_V:.2f} V at rest leave about "
            f"{100.0 * best.left:.0f} % in a cell of its class. Capacity is guessed, "
            f"{best.capacity_Ah:.3g} Ah ± {100.0 * best.sigma:.0f} %: give --capacity-Ah"
        )
    if legs:
        return replace(ends, capacity_Ah=best.capacity_Ah), str(best), best.sigma
    warnings.append("no full discharge found: capacity is the largest swing of charge, give --capacity-Ah")
    source = "largest swing of charge in the files (no full discharge found)"
    return replace(ends, capacity_Ah=best.capacity_Ah), source, min(float(np.hypot(best.sigma, SWUNG)), MOST_SIGMA)


def _swing(runs: list[Run], ends: Ends) -> Leg:
    """The widest swing of charge as a leg. Raises LabError where it covers too little of the voltages."""
    run = max(runs, key=lambda one: float(np.ptp(one.charge_Ah)))
    if run.cut:
        raise LabError(
            run.file, "charge", "gaps in which charge flowed that no row and no counter tells",
            "a column ah_reference, a run from full to empty without gaps, or --capacity-Ah",
        )  # fmt: skip
    covered = float(np.quantile(run.voltage, 0.999) - np.quantile(run.voltage, 0.001))
    if covered < SPAN * (ends.full_V - ends.empty_V):
        raise LabError(
            run.file, "charge", f"{ends.capacity_Ah:.4g} Ah as the largest swing of all files, between "
            f"{run.voltage.min():.2f} and {run.voltage.max():.2f} V",
            "a run from full to empty, or --capacity-Ah",
        )  # fmt: skip
    temp, bottom = float(np.mean(run.temp_degC)), int(np.argmin(run.charge_Ah))
    rested_V = at_rest(run, bottom, temp, ends)
    spinel = _spinel(run, int(np.argmax(run.charge_Ah[: bottom + 1])), bottom, temp, ends)
    left = usual.left(rested_V, ends.full_V, ends.empty_V, spinel)
    hours = float(run.time_s[-1]) / 3600.0
    return Leg(float(np.ptp(run.charge_Ah)), hours, temp, True, run.label, left=left, rested_V=rested_V)
