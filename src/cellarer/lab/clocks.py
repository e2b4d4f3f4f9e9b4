"""Times as cyclers write them: clocks, dates in several orders, and times that begin anew with every step."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellarer.lab.error import LabError

Floats = NDArray[np.float64]
Column = NDArray[np.generic]

CLOCK = re.compile(r"^\s*(?:(\d+)\s*[d.\-]\s*)?(\d+):(\d+)(?::(\d+(?:[.,]\d+)?))?\s*$")
DATE = re.compile(r"\s*(\d{1,4})[-./ ](\d{1,2}|[A-Za-z]{3})[-./ ,]+(\d{1,4})"
                  r"(?:[T\s]+(\d+):(\d+)(?::(\d+(?:[.,]\d+)?))?)?\s*"
                  r"([AaPp])?\.?[Mm]?\.?\s*(?:Z|UTC|([+-]\d{2}):?(\d{2}))?\s*")  # fmt: skip
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
UNIX_UNITS = {"ms": 1e-3, "us": 1e-6, "ns": 1e-9}
SERIAL_DAY = (30_000.0, 80_000.0)  # days since 1899-12-30: how spreadsheets keep a date, 1982 to 2119
EPOCH_S = 3e10  # Unix time in seconds is less (year 2920): larger ones are in ms, us or ns
DAY_S, HOUR_S = 86400.0, 3600.0
SHIFT_H, SUNDAY = 4.0, 3  # summer time begins and ends in the first hours of a Sunday (1970-01-01 + 3 days)
NEAR_S, NEAR_STEPS = 60.0, 5.0  # a time of day passes midnight between rows so near to it
SAME_TIME_S = 0.01  # a step begins so long after the last row of the one before, where no date says more
COARSE, LIKE = 0.1, 2.0  # share of rows that show something new at the same time; times as far as the next time does
WITH_STEP = 0.9  # share of the restarts of time that must come with a new step


def clock(path: Path, name: str, column: Column, notes: list[str]) -> Floats:
    """Times such as 26:03:04.5 or 1d 02:03:04; a date is a moment; a time of day goes on over midnight."""
    out = np.full(len(column), np.nan)
    for row, text in enumerate(column.tolist()):
        match = CLOCK.match(str(text))
        if match:
            days, hours, minutes, seconds = (float((part or "0").replace(",", ".")) for part in match.groups())
            out[row] = 86400.0 * days + 3600.0 * hours + 60.0 * minutes + seconds
    known = np.isfinite(out)
    before, after = out[known][:-1], out[known][1:]
    near = max(NEAR_S, NEAR_STEPS * float(np.median(np.abs(after - before)))) if after.size else 0.0
    falls = (before > DAY_S - near) & (after < near) & (near < DAY_S / 4.0)
    if falls.any() and out[known].max() < DAY_S:
        out[known] += DAY_S * np.r_[0, np.cumsum(falls)]
        notes.append(f"{name} is a time of day: it is taken to go on over midnight, {int(falls.sum())} times")
    if not known.any():
        out = moments(column, "", notes)
    if not np.isfinite(out).any():
        raise LabError(str(path), name, repr(str(column[0])), "seconds, or times such as 1:02:03.4")
    return out


def moments(column: Column, unit: str, notes: list[str]) -> Floats:
    """Moments as seconds since the first: dates with a time of day in any usual order, Unix time, days of a sheet."""
    if column.dtype.kind == "f":
        values = np.asarray(column, dtype=np.float64) * UNIX_UNITS.get(unit, 1.0)
        first = values[np.isfinite(values)][:1].sum()
        while not unit and first > EPOCH_S:
            values, first = 1e-3 * values, 1e-3 * first
        days = SERIAL_DAY[0] < first < SERIAL_DAY[1] and float(np.nanmax(values)) < SERIAL_DAY[1]
        return np.asarray((values - first) * (86400.0 if days and not unit else 1.0))
    parts = [DATE.fullmatch(str(text)) for text in column.tolist()]
    fields = [match.groups() if match else None for match in parts]
    out = _seconds(fields, month_first=False)
    if not np.isfinite(out).any() and not any(fields):
        return out
    pairs = {(f[0], f[1]) for f in fields if f is not None and len(f[0]) < 3 and f[1].isdigit()}
    if pairs and not any(int(first) > 12 for first, _ in pairs):
        # one order for all rows: by a day above 12, else the one in which less time passes
        other = _seconds(fields, month_first=True)
        if any(int(second) > 12 for _, second in pairs) or _lasts(other) < _lasts(out):
            out = other
    if not any(field is not None and field[7] for field in fields):
        out = _without_summer_time(out, notes)
    known = out[np.isfinite(out)]
    return out - known[0] if known.size else out


def _without_summer_time(local: Floats, notes: list[str]) -> Floats:
    """Local time without the hour that it gains or loses: on a Sunday at night, at a full hour, between two rows."""
    rows = np.flatnonzero(np.isfinite(local))
    dt = np.diff(local[rows])
    if not (dt > 0.0).any():
        return local
    step = float(np.median(dt[dt > 0.0]))
    near, hour = 3.0 * step, np.round(local[rows] / HOUR_S)
    sunday, night = np.floor(local[rows] / DAY_S) % 7 == SUNDAY, local[rows] % DAY_S / HOUR_S < SHIFT_H
    at_hour = np.abs(local[rows] - HOUR_S * hour) <= near
    jump = np.abs(np.abs(dt - step) - HOUR_S) <= near
    jump &= (at_hour & sunday & night)[1:] & at_hour[:-1] & (near < HOUR_S / 4.0)
    if not jump.any():
        return local
    out = local.copy()
    out[rows] -= np.r_[0.0, np.cumsum(np.where(jump, HOUR_S * np.sign(dt), 0.0))]
    notes.append(f"dates jump by an hour on a Sunday night, row {rows[1:][jump][0] + 1}: taken for summer time")
    return out


def spread(time: Floats, current: Floats, voltage: Floats, notes: list[str]) -> Floats:
    """Times written too coarsely for their rows (to the minute, say) spread evenly; repeated rows stay as they are."""
    same = np.diff(time) == 0.0
    new = same & ((np.diff(current) != 0.0) | (np.diff(voltage) != 0.0))
    first = np.flatnonzero(np.r_[True, ~same])
    if not new.mean() > COARSE or len(first) < 3:
        return time
    within, on = np.abs(np.diff(voltage))[new], np.abs(np.diff(voltage[first]))
    if not np.nanmean(within) <= LIKE * np.nanmean(on):  # rows of two channels in turn, not of one at a finer step
        return time
    count, step = np.diff(np.r_[first, len(time)]), np.diff(time[first])
    usual_s, usual = float(np.nanmedian(step)), float(np.median(count))
    pace = np.where((step > 0.0) & (step < usual_s), step, usual_s) / count[:-1]
    pace, begin = np.append(pace, usual_s / max(usual, count[-1])), time[first].copy()
    pace[0] = usual_s / max(usual, count[0])
    begin[0] += usual_s - pace[0] * count[0]  # a recording begins and ends within its first and last times
    notes.append(f"{int(new.sum())} rows have the time of the row before: spread evenly over {usual_s:.3g} s each")
    return np.asarray(
        np.repeat(begin, count) + (np.arange(len(time)) - np.repeat(first, count)) * np.repeat(pace, count)
    )


def _lasts(moments: Floats) -> float:
    known = moments[np.isfinite(moments)]
    return float(np.ptp(known)) if known.size else np.inf


def _seconds(fields: Sequence[tuple[str, ...] | None], month_first: bool) -> Floats:
    """Seconds of dates that are split into their parts; NaN where there is none."""
    out = np.full(len(fields), np.nan)
    days: dict[tuple[str, ...], float] = {}
    for row, field in enumerate(fields):
        if field is None:
            continue
        date = field[:3]
        if date not in days:
            days[date] = _day(date[0], date[1], date[2], month_first)
        hours, minutes, seconds = (float((part or "0").replace(",", ".")) for part in field[3:6])
        if field[6]:
            hours = hours % 12.0 + (12.0 if field[6] in "Pp" else 0.0)
        out[row] = DAY_S * days[date] + HOUR_S * hours + 60.0 * minutes + seconds
        if field[7]:
            out[row] -= float(field[7]) * HOUR_S + float(field[7][0] + field[8]) * 60.0
    return out


def _day(a: str, b: str, c: str, month_first: bool) -> float:
    """Days since 1970 of a date; NaN if there is no such day."""
    if b.isalpha():
        if b.lower() not in MONTHS:
            return float("nan")
        b, month_first = str(MONTHS.index(b.lower()) + 1), False
    year, month, day = (a, b, c) if len(a) == 4 else (c, a, b) if month_first else (c, b, a)
    year = f"20{year}" if len(year) == 2 else year
    try:
        return float(np.datetime64(f"{year}-{int(month):02d}-{int(day):02d}", "D").astype(np.int64))
    except ValueError:
        return float("nan")


def gone_on(time: Floats, step: Column, stamps: Floats | None, notes: list[str]) -> Floats:
    """Time that goes on where it begins anew with every step; as long as dates say, else at once."""
    restarts = np.flatnonzero(np.diff(time) < 0.0) + 1
    if len(restarts) == 0 or float(np.mean(step[restarts] != step[restarts - 1])) < WITH_STEP:
        return time
    out, edges = time.copy(), [*restarts.tolist(), len(time)]
    for begin, end in pairwise(edges):
        last = float(out[begin - 1])
        start = last + max(float(time[begin]), SAME_TIME_S)
        if stamps is not None and np.isfinite(stamps[begin] - stamps[0]):
            start = max(start, float(out[0] + stamps[begin] - stamps[0]))
        out[begin:end] = time[begin:end] - time[begin] + start
    notes.append(f"time begins anew with every step, {len(restarts)} times: it is taken to go on")
    return out
