"""The memory of signals and the signals derived from cells and sensors, compiled by numba: one pass each.

`remember` does what recall, temp_rates, climb and frozen_since of validate.py say; `of_cells` and `of_temps` what Look
and the functions of decide/signals.py named in decide.derived say. Those are the reference, and work where numba is
missing. A test holds both together to the last bit: no fast maths, and sums in NumPy's order. See also kernel.py.
"""

from typing import Any

import numpy as np
from numba import boolean, float64, int64, njit, types

from cellarer.core.kernel import HIGH, LOW, OPTIONS, _given, _made
from cellarer.model.values import NEVER

# Rows of decide.derived.DERIVED
SPREAD, TEMP_SPREAD, DIFFERENCE, FROZEN, STUCK, REFILL, RATE, RUNAWAY, PRECURSOR, HOT_SPOT = range(10)


@njit(float64(_given(float64), int64, int64), **OPTIONS)
def _pairs(x: Any, begin: int, count: int) -> float:
    """Sum in pairs, in the order in which NumPy adds."""
    if count < 8:
        short = 0.0
        for n in range(begin, begin + count):
            short += x[n]
        return short
    if count > 128:
        half = count // 2
        half -= half % 8
        return _pairs(x, begin, half) + _pairs(x, begin + half, count - half)
    a, b, c, d = x[begin], x[begin + 1], x[begin + 2], x[begin + 3]
    e, f, g, h = x[begin + 4], x[begin + 5], x[begin + 6], x[begin + 7]
    whole = begin + count - count % 8
    for n in range(begin + 8, whole, 8):
        a, b, c, d = a + x[n], b + x[n + 1], c + x[n + 2], d + x[n + 3]
        e, f, g, h = e + x[n + 4], f + x[n + 5], g + x[n + 6], h + x[n + 7]
    result = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for n in range(whole, begin + count):
        result += x[n]
    return result


@njit(float64(_given(float64), int64, int64), **OPTIONS)
def total(x: Any, begin: int, end: int) -> float:
    """Return the sum of x[begin:end], which is not empty, as np.add.reduceat does."""
    return x[begin] + _pairs(x, begin + 1, end - begin - 1)


@njit(float64(float64, float64, float64), **OPTIONS)
def _median(newest: float, a: float, b: float) -> float:
    """Return validate.median of one signal."""
    if np.isnan(a + b):
        return newest
    return np.maximum(np.minimum(newest, a), np.minimum(np.maximum(newest, a), b))


@njit(
    types.void(
        _given(float64), _given(int64), _given(float64), _given(int64), _given(int64), _given(int64),
        _given(int64), _given(int64), int64, int64, int64, int64, float64, int64,
        _given(float64, 2), _given(float64), _given(float64), _given(float64), _given(float64),
        _given(float64), _given(int64), _given(float64), _given(float64),
        _given(int64), _given(float64), _given(int64), _given(float64), _given(float64),
        _made(float64, 2), _made(float64, 2), _made(float64, 2), _made(int64, 2),
    ),
    **OPTIONS,
)  # fmt: skip
def remember(
    value: Any, time_ns: Any, value_before: Any, time_before: Any, max_age_ns: Any, place: Any,
    owner: Any, first: Any, cell_at: int, temp_at: int, current_at: int, window_ns: int,
    climb_K: float, calm_ns: int,
    earlier: Any, cell_voltage: Any, current_then: Any, others_then: Any, passed_then: Any,
    temp_degC: Any, temp_ns: Any, temp_slope: Any, temp_rate: Any,
    climbs: Any, climb_degC: Any, climb_ns: Any, climb_rate: Any, passed: Any,
    new_earlier: Any, cells: Any, temps: Any, temp_times: Any,
) -> None:  # fmt: skip
    """Fill the memory of cells and sensors after this sample.

    place        (filtered,) as validate.filtered: cells first, then sensors; owner, first: string of each cell and back
    …_at         where cells, sensors and string currents begin in the flat array; window_ns of a temperature rate
    passed       (string,) A·s since the start
    new_earlier  out (2, filtered)
    cells        out (5, cell) cell_voltage, current_then, others_then, others, passed_then
    temps        out (5, temp) temp_degC, temp_slope, temp_rate, climb_degC, climb_rate
    temp_times   out (3, temp) temp_ns, climb_ns, climbs
    """
    for n in range(place.size):
        at = place[n]
        was, age_ns = value_before[at], time_ns[at] - time_before[at]
        new_earlier[0, n], new_earlier[1, n] = earlier[0, n], earlier[1, n]
        if age_ns > 0:
            begin = np.isnan(was) or age_ns > max_age_ns[at]
            new_earlier[0, n] = value[at] if begin else was
            new_earlier[1, n] = value[at] if begin else earlier[0, n]
    count, voltage = owner.size, cells[0]
    for n in range(count):
        x = value[cell_at + n]
        voltage[n] = 0.0 if np.isnan(x) else x
    for string in range(first.size):
        begin, end = first[string], first[string + 1] if string + 1 < first.size else count
        known, whole = 0, total(voltage, begin, end)
        for n in range(begin, end):
            known += not np.isnan(value[cell_at + n])
        for n in range(begin, end):
            x = value[cell_at + n]
            others = known - (not np.isnan(x))
            cells[3, n] = (whole - voltage[n]) / others if others > 0 else np.nan
            moved = (x != cell_voltage[n] and not np.isnan(x)) or np.isnan(current_then[n])
            voltage[n] = x if moved else cell_voltage[n]
            cells[1, n] = value[current_at + string] if moved else current_then[n]
            cells[2, n] = cells[3, n] if moved else others_then[n]
            cells[4, n] = passed[string] if moved else passed_then[n]
    for n in range(temp_degC.size):
        at, m = temp_at + n, count + n
        calm = _median(value[at], new_earlier[0, m], new_earlier[1, m])
        elapsed_ns = time_ns[at] - temp_ns[n]
        first_one = not np.isnan(calm) and np.isnan(temp_degC[n])
        due = not np.isnan(calm) and elapsed_ns >= window_ns
        rise = due and not first_one
        temps[0, n] = calm if first_one or due else temp_degC[n]
        temps[1, n] = (calm - temp_degC[n]) / max(elapsed_ns * 1e-9, 1e-9) if rise else temp_slope[n]
        temps[2, n] = np.minimum(temps[1, n], temp_slope[n]) if rise else temp_rate[n]
        temp_times[0, n] = time_ns[at] if first_one or due else temp_ns[n]
        x, late, restless = value[at], time_ns[at] - climb_ns[n] > window_ns, time_ns[at] < climb_ns[n]
        step = x - (value_before[at] if late else climb_degC[n])
        since_ns = time_ns[at] - (time_before[at] if late else climb_ns[n])
        fell, rose = step <= -climb_K, step >= climb_K and 0 < since_ns <= window_ns
        renew = not np.isnan(x) and (rose or fell or restless or late)
        temps[3, n] = x if renew else climb_degC[n]
        temps[4, n] = step / max(since_ns * 1e-9, 1e-9) if rose else climb_rate[n]
        begins_ns = time_ns[at] + calm_ns if fell else climb_ns[n] if restless else time_ns[at]
        temp_times[1, n] = begins_ns if renew else climb_ns[n]
        temp_times[2, n] = (1 if late else climbs[n] + 1) if rose else 0 if renew else climbs[n]


@njit(types.void(int64, int64, float64, int64, _made(float64, 2), _made(int64, 2)), **OPTIONS)
def _worse(row: int, string: int, x: float, t_ns: int, worst: Any, at_ns: Any) -> None:
    """Keep the worst known value and the newest time at which it was measured."""
    x = -np.inf if np.isnan(x) else x
    if x > worst[row, string]:
        worst[row, string], at_ns[row, string] = x, t_ns
    elif x == worst[row, string]:
        at_ns[row, string] = max(at_ns[row, string], t_ns)


@njit(
    types.void(
        _given(float64), _given(int64), _given(float64, 2), _given(boolean), _given(int64), _given(int64),
        int64, int64, int64, int64, _given(float64, 2), _given(boolean, 2), _given(int64, 2), int64, int64,
        _given(float64), _given(float64), _given(float64), _given(float64), _given(float64),
        _given(float64), _given(float64), _given(float64), _given(float64), float64,
        _made(float64), _made(float64, 2), _made(boolean, 2),
        _made(float64, 2), _made(boolean, 2), _made(int64, 2),
    ),
    **OPTIONS,
)  # fmt: skip
def of_cells(
    value: Any, time_ns: Any, earlier: Any, present: Any, first: Any, sensor: Any,
    cell_at: int, temps: int, current_at: int, voltage_at: int, digest_value: Any, digest_known: Any, digest_ns: Any,
    cell_owned: int, current_owned: int,
    current_then: Any, others_then: Any, others: Any, passed_then: Any, passed: Any,
    cell_ohm: Any, capacity_Ah: Any, sag_V: Any, precondition_V: Any, neighbours_V: float,
    calm: Any, extremes: Any, told: Any, worst: Any, known: Any, at_ns: Any,
) -> None:  # fmt: skip
    """Fill what is derived from cells.

    …_at        where cells, string currents and voltages begin in the flat array; …_owned the same in a Digest
    sensor      (cell,) which one speaks for it; temps: how many there are
    calm        out (filtered,) as Look.calm, without sensors
    extremes    out (5, string): highest and lowest cell as Look.extremes, two rows for sensors, Look.total
    told        out (2, temp) a cell of this sensor collapses, sags
    worst, known, at_ns  out (DERIVED, string) as Reading
    """
    cells = sensor.size
    worst[:], known[:], at_ns[:], told[:] = -np.inf, True, NEVER, False
    for string in range(first.size):
        begin, end = first[string], first[string + 1] if string + 1 < first.size else cells
        high, low, top, bottom, now = -np.inf, np.inf, -np.inf, -np.inf, value[current_at + string]
        for n in range(begin, end):
            t_ns, x = time_ns[cell_at + n], _median(value[cell_at + n], earlier[0, n], earlier[1, n])
            calm[n] = x
            if present[cell_at + n]:
                high, low = np.maximum(high, x), np.minimum(low, x)
            if not np.isnan(x):
                top, bottom = max(top, x), max(bottom, -x)
            at_ns[DIFFERENCE, string] = max(at_ns[DIFFERENCE, string], t_ns)
            shift = abs(others[n] - others_then[n])
            _worse(FROZEN, string, np.minimum(abs(now - current_then[n]) * cell_ohm[n], shift), t_ns, worst, at_ns)
            share = abs(passed[string] - passed_then[n]) / (3600.0 * capacity_Ah[n])
            still = share if shift >= neighbours_V else np.nan if np.isnan(others[n]) else 0.0
            _worse(STUCK, string, still, t_ns, worst, at_ns)
            if sensor[n] >= 0:
                told[0, sensor[n]] |= x < 0.75 * others[n]
                told[1, sensor[n]] |= x < others[n] - sag_V[string]
        extremes[0, string], extremes[1, string] = high, low
        if np.isinf(high):
            extremes[0, string], extremes[1, string] = np.nan, np.nan  # no element at all
        extremes[4, string] = total(value, cell_at + begin, cell_at + end)
        n, at, owned = cells + temps + string, voltage_at + string, cell_owned + string
        calm[n] = _median(value[at], earlier[0, n], earlier[1, n])
        worst[SPREAD, string], known[SPREAD, string] = top + bottom, digest_known[HIGH, owned]
        at_ns[SPREAD, string] = max(digest_ns[HIGH, owned], digest_ns[LOW, owned])
        gap = abs(total(calm, begin, end) - calm[n])
        worst[DIFFERENCE, string], known[DIFFERENCE, string] = -np.inf if np.isnan(gap) else gap, not np.isnan(gap)
        at_ns[DIFFERENCE, string] = min(at_ns[DIFFERENCE, string], time_ns[at])
        owned, low = current_owned + string, extremes[1, string]
        worst[REFILL, string] = digest_value[HIGH, owned] if low < precondition_V[string] else -np.inf
        known[REFILL, string] = digest_known[HIGH, owned] and not np.isnan(low)
        at_ns[REFILL, string] = digest_ns[HIGH, owned]


@njit(
    types.void(
        _given(float64), _given(int64), _given(float64, 2), _given(boolean), _given(int64), int64, int64,
        _given(boolean, 2), _given(int64, 2), int64, _given(int64), _given(float64), _given(float64),
        _given(int64), _given(float64), _given(int64), _given(float64), int64, int64, int64,
        _given(boolean, 2),
        _made(float64), _made(float64, 2), _made(float64, 2), _made(boolean, 2), _made(int64, 2),
    ),
    **OPTIONS,
)  # fmt: skip
def of_temps(
    value: Any, time_ns: Any, earlier: Any, present: Any, owner: Any, temp_at: int, cells: int,
    digest_known: Any, digest_ns: Any, temp_owned: int, temp_ns: Any, temp_rate: Any, hot_degC: Any,
    climbs: Any, climb_degC: Any, climb_ns: Any, climb_rate: Any, now_ns: int, calm_ns: int, witnesses: int, told: Any,
    calm: Any, extremes: Any, worst: Any, known: Any, at_ns: Any,
) -> None:  # fmt: skip
    """Fill what is derived from temperatures; arguments as of of_cells, owner (temp,) the string of each sensor."""
    end = 0
    for string in range(extremes.shape[1]):
        begin, owned = end, temp_owned + string
        hot, cold, top, bottom, newest = -np.inf, np.inf, -np.inf, -np.inf, NEVER
        rates, others = 0.0, -1.0
        while end < owner.size and owner[end] == string:
            at, m = temp_at + end, cells + end
            x = calm[m] = _median(value[at], earlier[0, m], earlier[1, m])
            if present[at]:
                hot, cold = np.maximum(hot, x), np.minimum(cold, x)
            if not np.isnan(x):
                top, bottom = max(top, x), max(bottom, -x)
            newest = max(newest, time_ns[at])
            if not np.isnan(temp_rate[end]):
                rates, others = rates + temp_rate[end], others + 1.0
            end += 1
        if np.isinf(hot):
            hot, cold = np.nan, np.nan  # no element at all
        extremes[2, string], extremes[3, string] = hot, cold
        steepest, steep_ns = -np.inf, NEVER
        for n in range(begin, end):
            rate, t_ns = temp_rate[n], temp_ns[n]
            _worse(RATE, string, rate, t_ns, worst, at_ns)
            ahead = rate - (rates - rate) / others if others > 0.0 else np.nan
            runs = calm[cells + n] >= hot_degC[string] or told[0, n]
            _worse(RUNAWAY, string, rate if runs else -np.inf, t_ns, worst, at_ns)
            known_by = climbs[n] + np.isnan(value[temp_at + n]) + told[0, n]
            steep = climbs[n] > 0 and known_by >= witnesses and now_ns - climb_ns[n] <= calm_ns
            steep &= climb_degC[n] >= hot_degC[string] or told[0, n]
            if steep and climb_rate[n] >= steepest:
                steep_ns = climb_ns[n] if climb_rate[n] > steepest else max(steep_ns, climb_ns[n])
                steepest = climb_rate[n]
            _worse(PRECURSOR, string, ahead if told[1, n] else -np.inf, t_ns, worst, at_ns)
        if steepest > worst[RUNAWAY, string]:
            worst[RUNAWAY, string], at_ns[RUNAWAY, string] = steepest, steep_ns
        worst[TEMP_SPREAD, string], known[TEMP_SPREAD, string] = top + bottom, digest_known[HIGH, owned]
        at_ns[TEMP_SPREAD, string] = max(digest_ns[HIGH, owned], digest_ns[LOW, owned])
        whole = total(calm, cells + begin, cells + end) if end > begin else 0.0
        excess = hot - (whole - hot) / max(float(end - begin) - 1.0, 1.0)
        worst[HOT_SPOT, string], known[HOT_SPOT, string] = -np.inf if np.isnan(excess) else excess, not np.isnan(excess)
        at_ns[HOT_SPOT, string] = newest
