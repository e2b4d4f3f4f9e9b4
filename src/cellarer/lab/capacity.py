"""Capacity from full discharges, or full charges where there are none. The slowest near 25 degC is believed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cellarer.lab.error import LabError
from cellarer.lab.readers import Run
from cellarer.lab.sort import Ends

Floats = NDArray[np.float64]

NEAR_FULL_V = 0.13
NEAR_EMPTY_V = 0.15
LEAST_HOURS = 1.0 / 60.0  # no cell is emptied sooner
LARGEST_AH = 1500.0  # of one cell; the largest on sale (2026) hold about 1200
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

    @property
    def rank(self) -> float:
        """Slow is good, far from 25 degC is bad, a charge is second best."""
        away = max(abs(self.temp_degC - 25.0) - FREE_K, 0.0)
        return min(self.hours, MOST_HOURS) - HOURS_PER_K * away - (0.0 if self.falls else 2.0 * MOST_HOURS)

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
        full = float(volts[np.abs(flowed - run.charge_Ah[top]) < END * abs(charge)].max()) > ends.full_V - NEAR_FULL_V
        low = float(volts[np.abs(flowed - run.charge_Ah[bottom]) < END * abs(charge)].min())
        empty = low < ends.empty_V + NEAR_EMPTY_V
        if full and empty and abs(charge) > LEAST * ends.capacity_Ah:
            rows = slice(first, last + 1)
            flows = np.abs(run.current[rows]) > FLOWS * np.abs(run.current[rows]).max()  # rests make nothing slower
            hours = float(np.sum(run.dt[rows][flows])) / 3600.0
            temp = float(np.mean(run.temp_degC[rows]))
            cut_V = _cut(run, first, last) if charge < 0.0 else float("nan")
            yield Leg(abs(charge), hours, temp, charge < 0.0, run.label, cut_V)


def _cut(run: Run, first: int, last: int) -> float:
    """Voltage at which a discharge between two rows is cut off by the end of its file; NaN where it goes to its end."""
    if last < len(run.current) - 1 or run.current[last] > FLOWS * float(run.current[first:].min()):
        return float("nan")
    down = run.charge_Ah[first : last + 1] - run.charge_Ah[first]
    begin, most, late, end = np.interp([0.1, 0.9, 0.98, 1.0], down / down[-1], run.voltage[first : last + 1])
    knee = (late - end) / 0.02 > KNEE * (begin - most) / 0.8
    return float("nan") if knee else float(end)


def check_given(runs: list[Run], capacity_Ah: float) -> None:
    """Raise LabError where next to nothing of a capacity that is given flows in the files."""
    swing = max(float(np.ptp(run.charge_Ah)) for run in runs)
    if swing < LEAST_SHARE * capacity_Ah:
        raise LabError(
            "--capacity-Ah", "value", f"{capacity_Ah:g} Ah, while the largest swing of charge in the files is "
            f"{swing:.3g} Ah", "ampere-hours of one cell, and runs that move 2 % of them",
        )  # fmt: skip


def check_swings(runs: list[Run], capacity_Ah: float, warnings: list[str]) -> None:
    """Say where more flows than the cell holds: another cell, or a wrong capacity."""
    for run in runs:
        swing = float(np.ptp(run.charge_Ah))
        if swing > MOST_SHARE * capacity_Ah:
            warnings.append(
                f"{run.label}: charge swings by {swing:.3g} Ah, more than the cell holds ({capacity_Ah:.3g} Ah): "
                "another cell, a wrong --capacity-Ah, or a current sensor that drifts?"
            )


def measured(runs: list[Run], ends: Ends, warnings: list[str]) -> tuple[Ends, str]:
    """Capacity and where it comes from. Raises LabError where no run tells it."""
    if ends.full_V - ends.empty_V < LEAST_V:
        raise LabError(
            "identify", "voltage", f"{ends.empty_V:.2f} to {ends.full_V:.2f} V in all files",
            "a run from full to empty, or --capacity-Ah with --ocv TABLE",
        )  # fmt: skip
    legs = [leg for run in runs for leg in full_legs(run, ends)]
    if legs:
        best = max(legs, key=lambda leg: leg.rank)
        if best.hours < LEAST_HOURS:
            raise LabError(
                best.label, "time", f"{3600.0 * best.hours:.3g} s from full to empty",
                "seconds; these look like hours or minutes: name the column _h or _min",
            )  # fmt: skip
        if best.charge_Ah > LARGEST_AH:
            warnings.append(f"{best.charge_Ah:.0f} Ah is more than any cell holds: is current in mA? Name it _mA")
        if abs(best.temp_degC - 25.0) > FAR_K:
            warnings.append(f"no full leg near 25 degC: capacity is that of a {best}; --capacity-Ah is better")
        if not best.falls:
            warnings.append(f"no full discharge: capacity is that of a charge ({best}); --capacity-Ah is better")
        if np.isfinite(best.cut_V):
            warnings.append(
                f"{best.label} ends at {best.cut_V:.2f} V while current flows, without the knee of an empty cell: "
                "is the file truncated? Then capacity is larger: give --capacity-Ah"
            )
        return replace(ends, capacity_Ah=best.charge_Ah), str(best)
    widest = max(runs, key=lambda run: float(np.ptp(run.charge_Ah)))
    covered = float(np.quantile(widest.voltage, 0.999) - np.quantile(widest.voltage, 0.001))
    if covered < SPAN * (ends.full_V - ends.empty_V):
        raise LabError(
            widest.file, "charge", f"{ends.capacity_Ah:.4g} Ah as the largest swing of all files, between "
            f"{widest.voltage.min():.2f} and {widest.voltage.max():.2f} V",
            "a run from full to empty, or --capacity-Ah",
        )  # fmt: skip
    warnings.append("no full discharge found: capacity is the largest swing of charge, give --capacity-Ah")
    return ends, "largest swing of charge in the files (no full discharge found)"
