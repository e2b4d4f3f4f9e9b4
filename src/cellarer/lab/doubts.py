"""What may be wrong in laboratory data, and how it shows: sign, unit, order of time, rows without numbers.

What cannot be used raises LabError with file, column, row, value and what to do; what can be used with care becomes a
note. Levels hold for one cell of any size.
"""

import numpy as np
from numpy.typing import NDArray

from cellarer.lab.error import LabError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CELL_V = (0.3, 5.5)
SHOWN_V = (-1.0, 10.0)  # a tester's channel with one cell can show no other voltage
MOST_A = 5000.0  # no cell bears more: these are milliamperes
MOST_STEP_S = 1800.0  # between rows: with less of them nothing moves that could be identified
COLDEST_DEGC, WARMEST_DEGC, KELVIN_DEGC = -60.0, 62.0, 150.0
SINGLE = 0.99  # share of rows that a column is judged by: single rows may be absurd
DISORDER = 0.05  # share of rows out of order above which a file is refused
FAST_S = 30.0
MATTERS = 0.01  # of the swing of charge of a run
FALLS_V = 0.3  # no cell falls by so much while it charges with a steady current
LEVELS = 10.0  # of the largest current, in which it counts as steady
NO_SIGN = 0.002  # of the largest current: one that never goes further below zero has no sign
TURNED = -0.9  # correlation of a counter with the charge that the current makes
MILLI = (300.0, 3000.0)  # times as much: a counter in mAh
AGAINST = 0.2  # share of steps that raise the voltage below which the sign is turned


def check_units(file: str, time: Floats, current: Floats, voltage: Floats, temp_degC: Floats, notes: list[str]) -> None:
    """Refuse what no cell can be; note what a cell can hardly be."""
    if not (np.isfinite(voltage).any() and np.isfinite(current).any() and np.isfinite(time).any()):
        empty = [n for n, c in (("time", time), ("current", current), ("voltage", voltage)) if not np.isfinite(c).any()]
        raise LabError(file, ", ".join(empty), "no number in any row", "numbers")
    middle = float(np.nanmedian(voltage))
    if middle > 500.0:
        raise LabError(
            file, "voltage", f"median {middle:.0f}", "volts; these look like millivolts: name the column _mV"
        )
    if not CELL_V[0] <= middle <= CELL_V[1]:
        raise LabError(file, "voltage", f"median {middle:.3g}", "0.5 to 5.5 V of one cell")
    step_s = float(np.median(np.diff(time[np.isfinite(time)]))) if np.isfinite(time).sum() > 1 else 0.0
    if step_s > MOST_STEP_S:
        raise LabError(
            file, "time", f"{step_s:.0f} s between rows", "seconds; these look like milliseconds: name it _ms"
        )
    largest = float(np.nanquantile(np.abs(current), SINGLE))
    if largest > MOST_A:
        raise LabError(file, "current", f"up to {largest:.0f}", "amperes; these look like milliamperes: name it _mA")
    if not np.nanmax(np.abs(current)) > 0.0:
        notes.append("no current flows in it")
    elif np.nanmax(voltage) == np.nanmin(voltage):
        raise LabError(file, "voltage", f"{middle:.3f} V in every row while current flows", "a measured voltage")
    warm = float(np.nanmedian(temp_degC))
    if warm > KELVIN_DEGC:
        raise LabError(file, "temperature", f"median {warm:.0f}", "degC; these look like kelvin: name the column _K")
    if warm > WARMEST_DEGC or warm < COLDEST_DEGC:
        notes.append(f"temperature of {warm:.0f} degC: is it in degrees Fahrenheit? Then name the column _degF")


def absurd_rows(current: Floats, voltage: Floats, notes: list[str]) -> Bools:
    """(row,) whether it shows what no tester of a cell can; said with the first of them."""
    absurd = (np.abs(current) > MOST_A) | (voltage < SHOWN_V[0]) | (voltage > SHOWN_V[1])
    if absurd.any():
        at = int(np.argmax(absurd))
        shown = f"{voltage[at]:g} V, {current[at]:g} A"
        notes.append(f"{int(absurd.sum())} rows that no cell can show are left out, first row {at + 1}: {shown}")
    return np.asarray(absurd)


def gap_in_charge(time: Floats, current: Floats, charge_Ah: Floats, longest_s: float) -> list[str]:
    """Say where rows are missing for so long, while current flows, that what is counted there matters."""
    dt, flows = np.diff(time), np.abs(current) > 0.02 * np.abs(current).max()
    lost_Ah = np.where((dt > longest_s) & (flows[:-1] | flows[1:]), np.abs(current[:-1]) + np.abs(current[1:]), 0.0)
    lost_Ah *= dt / 7200.0
    at = int(np.argmax(lost_Ah))
    if lost_Ah[at] <= MATTERS * float(np.ptp(charge_Ah)):
        return []
    return [
        f"no rows for {dt[at] / 60.0:.0f} min while current flows, {time[at]:.0f} s after the begin of a run: "
        f"up to {lost_Ah[at]:.3g} Ah of it are not measured; a column ah_reference would tell"
    ]


def like_current(counter: Floats, own: Floats) -> tuple[Floats, str]:
    """A tester's counter turned to the sign and the unit that its current has; what was wrong with it, or nothing."""
    wrong = []
    span, counted = float(np.ptp(own)), float(np.ptp(counter))
    if span > 0.0 and counted > 0.0 and float(np.corrcoef(counter, own)[0, 1]) < TURNED:
        counter = -counter
        wrong.append("falls while the cell charges: turned")
    if span > 0.0 and MILLI[0] * span < counted < MILLI[1] * span:
        counter = 1e-3 * counter
        wrong.append("counts a thousand times what the current does: taken for mAh")
    return counter, f"the Ah counter {' and '.join(wrong)}" if wrong else ""


def unknown_rows(known: Bools) -> list[str]:
    """Say how many rows hold no number, of how many, and where the longest block of them is."""
    if known.all():
        return []
    edges = np.flatnonzero(np.diff(np.r_[True, known, True]))
    begins, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - begins))
    count, first, last = int((~known).sum()), int(begins[longest]) + 1, int(ends[longest])
    where = (
        f"rows {first} to {last} are the longest block" if last > first else f"single ones, the first is row {first}"
    )
    return [f"{count} of {len(known)} rows without a number in time, current or voltage are left out: {where}"]


def rising(time: Floats) -> tuple[Bools, Bools]:
    """(row,) whether time is larger than ever before, and whether it repeats the row before."""
    before = np.r_[-np.inf, np.maximum.accumulate(time)[:-1]] if len(time) else time
    return time > before, time == np.r_[np.nan, time[:-1]] if len(time) else time > 0.0


def disorder(file: str, back: Bools, repeated: Bools) -> list[str]:
    """Refuse a file whose time mostly goes back; note single rows."""
    notes = []
    for rows, what in ((back, "time goes back"), (repeated, "time repeats")):
        if not rows.any():
            continue
        count, first = int(rows.sum()), int(np.argmax(rows)) + 1
        if rows is back and rows.mean() > DISORDER:
            raise LabError(file, "time", f"{100 * rows.mean():.0f} % of rows go back, first row {first}",
                           "rows in the order of time: sort the file")  # fmt: skip
        notes.append(f"{what} in {count} rows, first row {first}: left out")
    return notes


def check_unsigned(file: str, time: Floats, current: Floats, voltage: Floats, longest_s: float) -> None:
    """Refuse a current that is never negative while the voltage falls as only a discharge can make it."""
    largest = float(current.max())
    if largest <= 0.0 or current.min() < -NO_SIGN * largest:
        return
    level = np.round(current / largest * LEVELS)
    edges = np.flatnonzero((np.diff(level) != 0.0) | (np.diff(time) > longest_s)) + 1
    for part in np.split(voltage, edges):
        if len(part) > 5 and float(np.median(part[:3]) - np.median(part[-3:])) > FALLS_V:
            raise LabError(
                file, "current", "never below zero while the voltage falls from "
                f"{part[0]:.2f} to {part[-1]:.2f} V", "negative current where the cell discharges, or a column "
                "(State, Step Type …) that says charge or discharge",
            )  # fmt: skip


def check_sign(file: str, time: Floats, current: Floats, voltage: Floats, charge_Ah: Floats) -> None:
    """A step towards charging must raise the voltage, and so must charge itself; otherwise the sign is turned."""
    di, dv = np.diff(current), np.diff(voltage)
    fast = (np.diff(time) <= FAST_S) & (np.abs(di) > 0.2 * max(float(np.abs(current).max()), 1e-9))
    steps = int(fast.sum())
    agreeing = float(np.mean(di[fast] * dv[fast] > 0.0)) if steps else 0.5
    trend = 0.0
    flows = np.abs(current) > 0.2 * float(np.abs(current).max())  # not rests: they fall after a charge
    if flows.sum() > 2 and np.ptp(voltage[flows]) > 0.3 and np.ptp(charge_Ah[flows]) > 0.0:
        trend = float(np.corrcoef(charge_Ah[flows], voltage[flows])[0, 1])
    if (steps >= 6 and agreeing < AGAINST) or (steps < 6 and trend < -0.7 and agreeing <= 0.5):
        found = f"{100 * (1 - agreeing):.0f} % of {steps} steps lower the voltage when it rises" if steps >= 6 else (
            "voltage that falls while it charges")  # fmt: skip
        raise LabError(file, "current", found, "positive current charges; here the sign is swapped: turn it")
    slope = float(np.median(np.abs(dv[fast] / di[fast]))) if steps >= 6 else np.inf
    if slope < 2e-6:
        raise LabError(file, "current", f"{slope:.1e} ohm", "amperes; these look like milliamperes: name it _mA")
