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
SENSOR_DEGC = (-100.0, 150.0)  # what a sensor that is open or lost is written as lies outside (-999, 850, 327.67 …)
SINGLE = 0.99  # share of rows that a column is judged by: single rows may be absurd
DISORDER = 0.05  # share of rows out of order above which a file is refused
FAST_S = 30.0
MATTERS = 0.01  # of the swing of charge of a run
FALLS_V = 0.3  # no cell falls by so much while it charges with a steady current
LEVELS = 10.0  # of the largest current, in which it counts as steady
NO_SIGN = 0.002  # of the largest current: one that never goes further below zero has no sign
TURNED = -0.9  # correlation of a counter with the charge that the current makes
MILLI = (300.0, 3000.0)  # times as much: a counter in mAh
CLOCKS = {"_min": 60.0, "_h": 3600.0}  # times as much: the time beside the counter is in this unit
NEAR_UNIT = 0.05  # relative
BLOCK = 24  # steps that are judged together
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
        raise LabError(
            file, "voltage", f"median {middle:.3g}", "0.5 to 5.5 V of one cell; divide a string by its cells"
        )
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
    elif np.nanmax(voltage) == np.nanmin(voltage) and len(voltage) > 1:
        raise LabError(file, "voltage", f"{middle:.3f} V in every row while current flows", "a measured voltage")
    warm = float(np.nanmedian(temp_degC))
    if warm > KELVIN_DEGC:
        raise LabError(file, "temperature", f"median {warm:.0f}", "degC; these look like kelvin: name the column _K")
    if warm > WARMEST_DEGC or warm < COLDEST_DEGC:
        notes.append(f"temperature of {warm:.0f} degC: is it in degrees Fahrenheit? Then name the column _degF")


def measured_temperature(temp: Floats, notes: list[str]) -> Floats:
    """Temperatures without those of a lost sensor, which become NaN. Kelvin throughout stay, to be named."""
    middle = float(np.nanmedian(temp)) if np.isfinite(temp).any() else np.nan
    kelvin = KELVIN_DEGC < middle < KELVIN_MOST
    lost = (temp < SENSOR_DEGC[0]) | (temp > (KELVIN_MOST if kelvin else SENSOR_DEGC[1]))
    if not lost.any():
        return temp
    notes.append(
        f"{int(lost.sum())} temperatures are none, the first is {temp[lost][0]:g} in row {np.argmax(lost) + 1}"
    )
    return np.where(lost, np.nan, temp)


def unseen(time: Floats, current: Floats, voltage: Floats, charge_Ah: Floats, longest_s: float) -> NDArray[np.int64]:
    """Rows behind gaps in which charge has flowed that nobody counted: nothing connects what lies before and behind.

    Either current flows on both sides, not the same, as it does in a drive; or the cell rests on both and its voltage
    has moved as no relaxation moves it: against its way, or by far more than the rest before had shown.
    """
    at = np.flatnonzero(np.diff(time) > longest_s)
    flows = np.abs(current) > FLOWS * np.abs(current).max()
    last = np.maximum.accumulate(np.where(flows, np.arange(len(current)), 0))[at]  # the row that last moved the cell
    steps = np.r_[0.0, np.cumsum(np.abs(np.diff(current)) > ALIKE * np.abs(current).max())]
    begin, end = np.maximum(at - NEAR, 0), np.minimum(at + 1 + NEAR, len(current) - 1)
    restless = (steps[at] - steps[begin] > 2.0) & (steps[end] - steps[at + 1] > 2.0)  # a drive, whatever it did there
    flown = np.r_[0.0, np.cumsum(np.abs(current))]
    usual = 0.5 * ((flown[at + 1] - flown[begin]) / (at + 1 - begin) + (flown[end] - flown[at]) / (end - at))
    before, behind = current[at], current[at + 1]
    steady = np.abs(before - behind) < ALIKE * np.maximum(np.abs(before), np.abs(behind))
    lost = usual * np.diff(time)[at] / 3600.0 > MATTERS * float(np.ptp(charge_Ah))
    driven = (flows[at] & flows[at + 1] & ~steady | restless) & lost
    along = np.sign(current[last]) * (voltage[at] - voltage[at + 1])  # as a cell relaxes: > 0
    shown = np.abs(voltage[at] - voltage[np.minimum(last + 1, at)])
    far = (along > np.maximum(FAR_V, 2.0 * shown)) & (time[at] - time[last] > FAR_S)
    moved = ~flows[at] & ~flows[at + 1] & flows[last] & ((along < -MOVED_V) | far)
    return np.asarray(at[driven | moved] + 1)


def absurd_rows(current: Floats, voltage: Floats, notes: list[str]) -> Bools:
    """(row,) whether it shows what no tester of a cell can; said with the first of them."""
    absurd = (np.abs(current) > MOST_A) | (voltage < SHOWN_V[0]) | (voltage > SHOWN_V[1])
    if absurd.any():
        at = int(np.argmax(absurd))
        shown = f"{voltage[at]:g} V, {current[at]:g} A"
        notes.append(f"{int(absurd.sum())} rows that no cell can show are left out, first row {at + 1}: {shown}")
    return np.asarray(absurd)


FLOWS = 0.02  # of the largest current: less is a rest
ALIKE = 0.2  # current before and behind a gap that differs by less has flowed in it
NEAR = 20  # rows before and behind a gap that show what goes on there
MOVED_V, FAR_V, FAR_S = 0.01, 0.05, 60.0  # at rest against relaxation; along it, behind a rest of so long
KELVIN_MOST = 400.0


def gap_in_charge(time: Floats, current: Floats, charge_Ah: Floats, longest_s: float) -> list[str]:
    """Say where rows are missing for so long, while current flows, that what is counted there matters."""
    dt, flows = np.diff(time), np.abs(current) > FLOWS * np.abs(current).max()
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


def check_clock(file: str, counted: Floats, own: Floats) -> None:
    """Refuse a time in which the current makes a sixtieth or less of what the tester's counter has counted."""
    span = float(np.ptp(own))
    times = float(np.ptp(counted)) / span if span > 0.0 else 0.0
    unit = next((unit for unit, factor in CLOCKS.items() if abs(times / factor - 1.0) < NEAR_UNIT), None)
    if unit is not None and float(np.corrcoef(counted, own)[0, 1]) > -TURNED:
        raise LabError(file, "time", f"an Ah counter that moves {times:.0f} times what current and time make",
                       f"seconds; these look like another unit: name the column {unit}")  # fmt: skip


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


def _turned_part(agree: Bools) -> list[int] | None:
    """First and last step of a part whose sign is turned in a run whose other steps are right; None: there is none."""
    blocks = agree[: len(agree) // BLOCK * BLOCK].reshape(-1, BLOCK).mean(axis=1)
    wrong = np.flatnonzero(blocks < AGAINST)
    if len(wrong) < 2 or (blocks > 1.0 - AGAINST).sum() < 2:
        return None
    return [int(wrong[0]) * BLOCK, (int(wrong[-1]) + 1) * BLOCK - 1]


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
    turned = _turned_part(di[fast] * dv[fast] > 0.0)
    if turned is not None:
        first, last = np.flatnonzero(fast)[turned]
        raise LabError(
            file, "current", f"steps that lower the voltage when it rises, {time[first]:.0f} to {time[last + 1]:.0f} s "
            "after the begin of a run, unlike the rest of it", "positive current that charges, in all rows",
        )  # fmt: skip
    slope = float(np.median(np.abs(dv[fast] / di[fast]))) if steps >= 6 else np.inf
    if slope < 2e-6:
        raise LabError(file, "current", f"{slope:.1e} ohm", "amperes; these look like milliamperes: name it _mA")
