"""The cycle's passes over everything, compiled by numba: measurements in, the fault machine, estimates out.

`measure` is validate.py and digest.py in one pass over the signals, `runs` decide/runs.py over single cells and
sensors, `judge` the machine of decide/protect.py over the (row, string) matrix, `read_out` what readout.py says of
cells and strings, and what the estimators take in. NumPy's forms stand there: they are the reference, and do the work
where numba is missing. A test holds both together to the last bit. No fast maths here: these are protection's numbers,
and they carry NaN.
Signatures are fixed, read-only and of any stride: nothing is ever compiled while a site runs.
"""

from typing import Any

import numpy as np
from numba import boolean, float64, int8, int64, njit, types

from cellarer.model.cell import SOC_POINTS
from cellarer.model.values import FOREVER, NEVER, Latch

RESET, SERVICE = int(Latch.RESET), int(Latch.SERVICE)
HIGH, LOW, OVERDUE, ABSURD = range(4)  # rows of a Digest
KELVIN = 273.15
YES, OWN = 1, 2  # of core.decide.runs
OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "cache": True}


def _given(dtype: Any, axes: int = 1) -> Any:
    return types.Array(dtype, axes, "A", readonly=True)


def _made(dtype: Any, axes: int = 1) -> Any:
    return types.Array(dtype, axes, "C")


@njit(
    types.void(
        _given(float64), _given(int64), _given(int64),
        _given(boolean), _given(float64), _given(float64), _given(int64), _given(int64), _given(float64), int64, int64,
        _made(float64), _made(int64), _made(boolean), _made(float64, 2), _made(boolean, 2), _made(int64, 2),
    ),
    **OPTIONS,
)  # fmt: skip
def measure(
    sample: Any, time_ns: Any, valid_before: Any,
    present: Any, low: Any, high: Any, max_age_ns: Any, owner_of: Any, current_zero: Any, current_at: int, now_ns: int,
    value: Any, valid_ns: Any, absurd: Any, worst: Any, known: Any, at_ns: Any,
) -> None:  # fmt: skip
    """Fill value, valid_ns, absurd (signal,) of Seen and worst, known, at_ns (kind, owned) of Digest.

    current_at: where the string currents begin, from which current_zero (string,) is taken
    """
    worst[:], known[:], at_ns[:] = -np.inf, True, NEVER
    worst[ABSURD], at_ns[OVERDUE] = 0.0, now_ns
    for n in range(value.size):
        x, t, owner = sample[n], time_ns[n], owner_of[n]
        arrived, plausible, age_ns = present[n] and t > NEVER, low[n] <= x <= high[n], now_ns - t
        ok = arrived and plausible and 0 <= age_ns <= max_age_ns[n]
        y = x if ok else np.nan
        if 0 <= n - current_at < current_zero.size:
            y -= current_zero[n - current_at]
        value[n] = y
        valid_ns[n] = max(t, valid_before[n]) if ok else valid_before[n]
        absurd[n] = arrived and not plausible
        for kind in (HIGH, LOW):
            extreme = -np.inf if not ok else (y if kind == HIGH else -y)
            if extreme > worst[kind, owner]:
                worst[kind, owner], at_ns[kind, owner] = extreme, t
            elif extreme == worst[kind, owner]:
                at_ns[kind, owner] = max(at_ns[kind, owner], t)
            known[kind, owner] &= ok or not present[n]
        if present[n]:
            worst[OVERDUE, owner] = max(worst[OVERDUE, owner], (now_ns - valid_ns[n] - max_age_ns[n]) * 1e-9)
        if absurd[n] and worst[ABSURD, owner] == 0.0:
            worst[ABSURD, owner], at_ns[ABSURD, owner] = 1.0, t
        elif absurd[n] == (worst[ABSURD, owner] == 1.0):
            at_ns[ABSURD, owner] = max(at_ns[ABSURD, owner], t)


@njit(
    types.UniTuple(int64, 2)(  # type: ignore[no-untyped-call]  # numba says nothing of its types
        int64, int64, boolean, boolean, boolean, int64, int64, int64, int64
    ),
    **OPTIONS,
)  # fmt: skip
def count(
    counted: int, since_ns: int, bad: bool, sure: bool, applies: bool, apart_ns: int, samples: int, debounce_ns: int,
    now_ns: int,
) -> tuple[int, int]:  # fmt: skip
    """Return bad samples that count, and since when; as decide/runs.py."""
    if bad:
        return counted + (1 if apart_ns > 0 else 0), min(since_ns, now_ns)
    if sure and apart_ns > 0 and counted > 0:
        most_ns = max(debounce_ns, (samples - 1) * apart_ns)
        counted = min(counted, most_ns // apart_ns + 1) - 1
        since_ns = max(since_ns, now_ns - apart_ns - most_ns) + 2 * apart_ns
    if counted == 0 or since_ns > now_ns or (sure and not applies):
        return 0, FOREVER
    return counted, since_ns


@njit(
    types.void(
        _given(float64), _given(boolean), _given(int64), _given(int64, 2), _given(int64), _given(boolean, 2),
        _given(boolean, 2),
        _given(boolean, 2), _given(float64, 2), _given(float64, 2), _given(int64, 2),
        _given(boolean), _given(boolean), _given(int8, 2), int64,
        _given(int64, 2), _given(int64, 2), _given(int64, 2), _given(int64, 2), _given(boolean, 2), _given(boolean, 2),
        _made(int64, 3), _made(boolean, 3), _made(float64, 2),
    ),
    **OPTIONS,
)  # fmt: skip
def judge(
    flat_value: Any, flat_known: Any, flat_ns: Any, index: Any, flow: Any, applies: Any, sure: Any,
    enabled: Any, trip: Any, release: Any, times: Any,
    reset: Any, service: Any, ripe: Any, now_ns: int,
    bad_since: Any, good_since: Any, counted_before: Any, counted_ns: Any, was_active: Any, was_latched: Any,
    memory: Any, flags: Any, values: Any,
) -> None:  # fmt: skip
    """Advance the fault machine.

    flat_…    readings, gathered by index (row, string)
    flow      (row,) which of applies and sure (flow, string) counts: whether the row applies now, and whether we know
    times     (row, 4) samples, debounce ns, release ns, latch
    ripe      (row, string) NO, YES or OWN of core.decide.runs
    memory    out (4, row, string) bad since, good since, counted, counted ns
    flags     out (2, row, string) active, latched
    values    out (row, string) what each row looked at
    """
    for row in range(index.shape[0]):
        samples, debounce_ns, release_ns, latch = times[row, 0], times[row, 1], times[row, 2], times[row, 3]
        for string in range(index.shape[1]):
            at = index[row, string]
            value = flat_value[at] if applies[flow[row], string] else -np.inf
            bad = enabled[row, string] and value > trip[row, string]
            known = flat_known[at] and sure[flow[row], string]
            good, since_good = known and value <= release[row, string], FOREVER
            counted, seen_ns, apart_ns = counted_before[row, string], counted_ns[row, string], 0
            if bad or (known and counted > 0):
                apart_ns = max(flat_ns[at] - seen_ns, 0)
            if apart_ns > 0:
                seen_ns = flat_ns[at]
            counted, since_bad = count(
                counted, bad_since[row, string], bad, known, applies[flow[row], string], apart_ns, samples, debounce_ns,
                now_ns,
            )  # fmt: skip
            if good:
                since_good = min(good_since[row, string], now_ns)
            confirmed = bad and ripe[row, string] == YES
            if ripe[row, string] == OWN:
                confirmed = bad and counted >= samples and now_ns - since_bad >= debounce_ns
            gone = not enabled[row, string] or (good and now_ns - since_good >= release_ns)
            latched = was_latched[row, string] or (confirmed and latch > 0)
            if gone and ((reset[string] and latch == RESET) or (service[string] and latch == SERVICE)):
                latched = False
            active = (was_active[row, string] or confirmed) and (not gone or latched)
            values[row, string] = value
            memory[0, row, string], memory[1, row, string] = since_bad, since_good
            memory[2, row, string], memory[3, row, string] = counted, seen_ns
            flags[0, row, string], flags[1, row, string] = active, latched


@njit(
    types.void(
        _given(float64), _given(int64), _given(boolean), _given(float64), _given(float64), _given(float64),
        _given(int64), float64, float64, float64, float64, _made(float64, 2), _made(float64, 2),
    ),
    **OPTIONS,
)  # fmt: skip
def read_out(
    buffer: Any, places: Any, unknown: Any, parallel: Any, capacity_Ah: Any, relative: Any, owner: Any,
    channel_V: float, own: float, sensor_V: float, gap: float, cells: Any, strings: Any,
) -> None:  # fmt: skip
    """Fill cells (8, cell) and strings (4, string) as readout.cells_and_strings does; NaN spreads to the string.

    buffer  of the estimator; places  in it, fields.PLACES: told, because numba's cache does not look at fields.py
    capacity_Ah (cell,) of one cell; relative (cell,) its sigma over it; owner (cell,) its string
    channel_V, own  as between.between_sigma has them; sensor_V, gap  as equations.stated has them
    """
    lanes, width, z, p00, scale, model_v = places[0], places[1], places[2], places[3], places[4], places[5]
    react_q, doubt_q, start_z, react_v, x_sigma, p44, x_m = places[9:16]
    for string in range(strings.shape[1]):
        strings[0, string] = strings[1, string] = np.inf
        strings[2, string] = strings[3, string] = -np.inf
    for first in range(0, cells.shape[1], lanes):  # a division for every cell would cost more than all else
        for n in range(first, min(first + lanes, cells.shape[1])):
            at, string = first // lanes * width + n - first, owner[n]
            soc = np.nan if unknown[n] else buffer[at + z]
            # as equations.stated
            unseen, wide, by_volt = (
                buffer[at + react_q] * buffer[at + doubt_q],
                gap * buffer[at + x_m],
                buffer[at + react_v],
            )
            lasting = unseen * unseen + by_volt * by_volt * (sensor_V * sensor_V + wide * wide)
            sigma = np.nan if unknown[n] else np.sqrt(min(max(buffer[at + p00], 0.0) + lasting, 1.0))
            capacity = capacity_Ah[n] * parallel[n]
            capacity_sigma = capacity_Ah[n] * relative[n] * parallel[n]
            cells[0, n], cells[1, n], cells[2, n] = soc, sigma, buffer[at + scale]
            cells[3, n], cells[4, n], cells[5, n] = capacity, capacity_sigma, buffer[at + model_v]
            begun, by_volts = (
                buffer[at + start_z],
                np.hypot(channel_V, own * buffer[at + x_sigma]) * by_volt,
            )
            between = np.sqrt(begun * begun + by_volts * by_volts + unseen * unseen)
            cells[6, n], cells[7, n] = np.minimum(between, sigma), np.sqrt(max(buffer[at + p44], 0.0))
            strings[0, string] = np.minimum(strings[0, string], soc * capacity)
            strings[1, string] = np.minimum(strings[1, string], (1.0 - soc) * capacity)
            strings[2, string] = np.maximum(strings[2, string], sigma)
            doubt = (sigma * capacity) * (sigma * capacity) + (soc * capacity_sigma) * (soc * capacity_sigma)
            strings[3, string] = np.maximum(strings[3, string], doubt)


@njit(
    types.void(
        _given(float64), _given(int64), _given(int64), _given(float64, 2), _given(float64), _given(float64),
        _given(float64), _given(float64), _given(float64), _given(float64), _given(float64), float64, _made(float64),
    ),
    **OPTIONS,
)  # fmt: skip
def core_temperature(
    buffer: Any, places: Any, kind: Any, entropies: Any, resistance: Any, per_s: Any, parallel: Any,
    core_degC: Any, surface_degC: Any, voltage: Any, current: Any, dt_s: float, out: Any,
) -> None:  # fmt: skip
    """Fill out (cell,) degC as estimate/temperature.py does; entropies (kind, SOC), current (cell,) of the string."""
    lanes, width, z_at, model_v = places[0], places[1], places[2], places[5]
    ocv, ocv_at, slope = places[6], places[7], places[8]
    for first in range(0, out.size, lanes):
        for n in range(first, min(first + lanes, out.size)):
            at = first // lanes * width + n - first
            begin = core_degC[n] if np.isfinite(core_degC[n]) else surface_degC[n]
            i = current[n] / parallel[n] if np.isfinite(current[n]) else 0.0
            shown = voltage[n] if np.isfinite(voltage[n]) else buffer[at + model_v]
            z = buffer[at + z_at]
            over = shown - (buffer[at + ocv] + buffer[at + slope] * (z - buffer[at + ocv_at]))
            entropy = entropies[kind[n], int(np.rint(min(max(z, 0.0), 1.0) * (SOC_POINTS - 1)))]
            final = surface_degC[n] + (max(i * over, 0.0) + i * (begin + KELVIN) * entropy) * resistance[n]
            out[n] = final + (begin - final) * np.exp(-dt_s * per_s[n])


@njit(
    types.void(
        _given(float64), _given(boolean), _given(int64), _given(int64),
        _given(int64), _given(int64), _given(int64), _given(int64), _given(int64),
        _given(boolean, 2), _given(boolean, 2),
        _given(float64, 2), _given(int64), _given(int64), int64,
        _given(int64), _given(int64), _made(int64), _made(int64), _made(int8, 2),
    ),
    **OPTIONS,
)  # fmt: skip
def runs(
    value: Any, absurd: Any, time_ns: Any, before_ns: Any,
    row: Any, string: Any, at: Any, direction: Any, flow: Any, applies: Any, sure: Any,
    trip: Any, samples: Any, debounce_ns: Any, now_ns: int,
    since_before: Any, counted_before: Any, since_ns: Any, counted: Any, ripe: Any,
) -> None:  # fmt: skip
    """Advance the runs of bad samples of single elements.

    row … flow  (spot,) as in core.decide.runs.Spots
    since_ns, counted  out (spot,)
    ripe        out (row, string), given as it is while nothing is bad: YES is added
    """
    for n in range(row.size):
        r, s, place = row[n], string[n], at[n]
        x = (1.0 if absurd[place] else 0.0) if direction[n] == 0 else direction[n] * value[place]
        known, apart_ns = not np.isnan(x), time_ns[place] - before_ns[place]
        certain = known and sure[flow[n], s]
        if not (known and applies[flow[n], s]):
            x = -np.inf
        bad = x > trip[r, s]
        many, since = count(
            counted_before[n], since_before[n], bad, certain, applies[flow[n], s], apart_ns, samples[r], debounce_ns[r],
            now_ns,
        )  # fmt: skip
        since_ns[n], counted[n] = since, many
        if bad and many >= samples[r] and now_ns - since >= debounce_ns[r]:
            ripe[r, s] = YES


@njit(
    types.void(
        _given(float64), _given(float64), _given(float64), _given(float64), _given(boolean), _given(float64),
        _given(int64), boolean, boolean, boolean, float64, float64, _made(float64),
    ),
    **OPTIONS,
)  # fmt: skip
def write_inputs(
    voltage: Any, current: Any, temp_degC: Any, mean: Any, rest: Any, parallel: Any,
    places: Any, gap: bool, has_mean: bool, holds: bool, left: float, lost_C: float, buffer: Any,
) -> None:  # fmt: skip
    """Write the inputs of one step into the estimators' buffer as estimate/filter.py does, (cell,) each.

    places  fields.INPUT_PLACES;  left  share of the last current that an unknown one counts as
    gap, has_mean, holds  nothing is integrated; else `mean` is; else the last current holds, or the mean of both
    """
    lanes, width, offset, last_at, capacity, before_at = places[:6]
    v, i, c, temp, known, zero, noise = places[6:]
    for first in range(0, voltage.size, lanes):
        for n in range(first, min(first + lanes, voltage.size)):
            at = first // lanes * width + n - first
            last, present = buffer[at + last_at], np.isfinite(current[n])
            now = current[n] / parallel[n] if present else last * left
            if gap:
                flows = buffer[at + offset]
            elif has_mean:
                present = present and np.isfinite(mean[n])
                flows = mean[n] / parallel[n] if present else last
            else:
                flows = last if holds else 0.5 * (last + now)
            lost = lost_C * buffer[at + capacity]
            shown, warm = np.isfinite(voltage[n]), np.isfinite(temp_degC[n])
            buffer[at + v], buffer[at + known] = voltage[n] if shown else 0.0, 1.0 if shown else 0.0
            buffer[at + i], buffer[at + c] = now, flows
            buffer[at + temp] = temp_degC[n] if warm else buffer[at + before_at]
            buffer[at + zero] = 1.0 if rest[n] and present else 0.0
            buffer[at + noise] = 0.0 if present else lost * lost


@njit(types.void(_given(float64), _given(int64), float64, _made(float64, 2)), **OPTIONS)
def count_charge(buffer: Any, places: Any, dt_s: float, pairs: Any) -> None:
    """Count what flowed over dt_s into pairs (row, cell), a copy of before, as estimate/capacity.py does.

    places  fields.INPUT_PLACES
    """
    lanes, width, offset, mean, noise = places[0], places[1], places[2], places[8], places[12]
    for first in range(0, pairs.shape[1], lanes):
        for n in range(first, min(first + lanes, pairs.shape[1])):
            at = first // lanes * width + n - first
            passed = (buffer[at + mean] - buffer[at + offset]) * (dt_s / 3600.0)
            if buffer[at + noise] > 0.0:
                pairs[0, n] = 0.0
            pairs[3, n] += passed
            pairs[4, n] += dt_s
            pairs[5, n] += dt_s
            pairs[6, n] += abs(passed)
