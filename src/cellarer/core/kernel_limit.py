"""The limits of all strings in one pass, compiled by numba: what decide/limit.py says, which is the reference.

NumPy's form does the work where numba is missing; a test holds both together to the last bit. No fast maths: limits
carry NaN, and NaN gives zero. See also kernel.py.
"""

from typing import Any

import numpy as np
from numba import boolean, float64, int8, int64, njit, types

from cellarer.core.kernel import OPTIONS, _given, _made

# Rows of decide.limit.WINDOWS
RATED, UNKNOWN, FOREIGN, FAULT, OPEN, VOLTAGE, HOT, COLD, FORECAST, PHASE, WIRING, CORE = range(12)
HIGH, LOW, HOTTEST, COLDEST = range(4)  # rows of Look.extremes


@njit(float64(float64), **OPTIONS)
def _known(x: float) -> float:
    """Return x where it is known and not negative, else 0."""
    return x if x >= 0.0 else 0.0


@njit(float64(float64, float64), **OPTIONS)
def _share(left: float, band: float) -> float:
    """Return how much of `band` is left, 0 to 1; NaN spreads."""
    return np.minimum(np.maximum(left / band, 0.0), 1.0)


@njit(float64(float64, int64, _given(float64, 2), _given(float64, 2)), **OPTIONS)
def _on_map(x: float, string: int, degC: Any, pieces: Any) -> float:
    """Return limit.on_map of one string."""
    piece = string * (degC.shape[1] + 1)
    for point in range(degC.shape[1]):
        piece += x >= degC[string, point]
    return pieces[2, piece] + _share(x - pieces[0, piece], pieces[1, piece]) * pieces[3, piece]


@njit(types.void(_given(float64), _given(float64, 2), _given(float64, 2), _made(float64)), **OPTIONS)
def on_map(x: Any, degC: Any, pieces: Any, out: Any) -> None:
    """Fill out (string,) with the charge current that the map allows at x (string,) degC."""
    for string in range(x.size):
        out[string] = _on_map(x[string], string, degC, pieces)


@njit(
    types.void(
        _given(float64, 2), _given(float64, 3), _given(float64, 3), _given(float64), _given(boolean),
        _given(float64, 2), _given(float64, 2), _given(float64, 2), _given(float64),
        _given(float64), _given(boolean, 2), _given(boolean, 2), _given(float64, 2), _given(boolean, 2),
        _given(float64), _given(float64), _given(float64), _given(float64), float64, _given(float64, 2),
        _made(float64, 3),
    ),
    **OPTIONS,
)  # fmt: skip
def windows(
    rated: Any, zero: Any, band: Any, ohm: Any, blind: Any, map_degC: Any, map_pieces: Any, extremes: Any, current: Any,
    foreign: Any, open_now: Any, ramp: Any, fraction: Any, carries: Any,
    charge_A: Any, discharge_A: Any, floor: Any, soc: Any, soc_fade: float, inside: Any, out: Any,
) -> None:  # fmt: skip
    """Fill what each reason allows, A, (window, way, string); unknown is 0, FORECAST and WIRING are left at rated.

    inside   (way, string) what the core allows, limit._inside
    foreign  (2 · string,) what a foreign BMS allows; inf where none speaks, NaN where it is silent
    """
    strings = current.size
    for way in range(2):
        for s in range(strings):
            most, high, low, hot, cold = rated[way, s], extremes[0, s], extremes[1, s], extremes[2, s], extremes[3, s]
            felt = not (np.isnan(hot) or np.isnan(cold)) or blind[s]
            sure = felt and not (np.isnan(high if way == 0 else low) or np.isnan(current[s]))
            said = foreign[way * strings + s]
            blocked = open_now[way, s] or ramp[way, s]
            out[RATED, way, s] = out[FORECAST, way, s] = out[WIRING, way, s] = most
            out[UNKNOWN, way, s] = most if sure else 0.0
            out[FOREIGN, way, s] = most if said == np.inf else _known(said)
            out[FAULT, way, s] = 0.0 if blocked else most * fraction[way, s]
            out[OPEN, way, s] = most if carries[way, s] else 0.0
            extreme = high if way == 0 else low
            fades = most * _share(zero[0, way, s] - extreme, band[0, way, s])
            rise = ohm[s] if way == 0 else -ohm[s]
            left = zero[0, way, s] - extreme + ohm[s] * current[s]
            rests = most * _share(left, band[0, way, s] + rise * most)
            out[VOLTAGE, way, s] = np.minimum(fades, rests)
            out[HOT, way, s] = most * _share(zero[1, way, s] - hot, band[1, way, s])
            out[COLD, way, s] = most * _share(zero[2, way, s] - cold, band[2, way, s])
            if way == 0:
                mapped = np.minimum(_on_map(hot, s, map_degC, map_pieces), _on_map(cold, s, map_degC, map_pieces))
                out[COLD, way, s] = np.minimum(out[COLD, way, s], mapped)
            if blind[s]:
                out[HOT, way, s] = out[COLD, way, s] = most
            out[CORE, way, s] = inside[way, s]
            out[PHASE, way, s] = charge_A[s] if way == 0 else discharge_A[s]
            if way == 1 and floor[s] > 0.0:
                full = floor[s] + soc_fade
                out[PHASE, way, s] *= _known(_share(floor[s] - soc[s], floor[s] - full))
            for row in range(out.shape[0]):
                out[row, way, s] = _known(out[row, way, s])


@njit(
    types.void(
        _given(float64, 3), _given(float64, 2), _given(float64, 2), _given(int8, 2), int64,
        _given(float64, 2), _given(float64, 3), _given(float64, 2), _given(float64, 3), _given(float64, 3),
        _given(float64), _given(float64), _given(float64), _given(float64, 3), _given(float64),
        float64, float64, _made(float64, 2), _made(int8, 2), _made(float64, 4),
    ),
    **OPTIONS,
)  # fmt: skip
def intersect(
    allowed: Any, rated: Any, rise: Any, named: Any, in_force: int,
    wire_A2: Any, wire_left: Any, wire_heat: Any, sop_A: Any, sop_W: Any,
    voltage: Any, was_charge_A: Any, was_discharge_A: Any, was_peak_A: Any, ripple: Any,
    back: float, calm: float, limits: Any, reasons: Any, peaks: Any,
) -> None:  # fmt: skip
    """Intersect the windows and let what is left rise slowly.

    allowed   (window, way, string) of `windows`; named (window + 1, way) their reasons, then that of a slow rise
    wire_…    of limit._peaks: limit squared (element, string), what is left (horizon, element, string), heat now
    ripple    (window,) share of the rated current that comes back slowly, and `calm` how much of it in this cycle;
              `back` how fast the last of it comes back where nothing but the rated current limits
    limits    out (4, string) charge A, discharge A, charge W, discharge W
    reasons   out (2, string);  peaks out (2, horizon, way, string) A, W
    """
    rows, horizons = allowed.shape[0], sop_A.shape[0]
    for s in range(voltage.size):
        for way in range(2):
            others, forecast, wiring = np.inf, 0.0, 0.0
            for row in range(rows):
                others = min(others, allowed[row, way, s])
            for h in range(horizons):
                wire = rated[way, s]
                for n in range(wire_A2.shape[0]):
                    left = wire_left[h, n, s]
                    squared = (wire_A2[n, s] - wire_heat[n, s] * left) / (1.0 - left)
                    wire = min(wire, _known(np.sqrt(np.maximum(squared, 0.0))))
                sop = rated[way, s] if np.isnan(sop_A[h, way, s]) else max(sop_A[h, way, s], 0.0)
                if h == in_force:
                    forecast, wiring = sop, wire
                peak = min(min(min(sop, wire), others), was_peak_A[h, way, s] + rise[way, s])
                watts = _known(peak * voltage[s])
                peaks[0, h, way, s] = peak
                peaks[1, h, way, s] = watts if np.isnan(sop_W[h, way, s]) else min(watts, max(sop_W[h, way, s], 0.0))
            most, why = np.inf, 0
            for row in range(rows):
                x = forecast if row == FORECAST else wiring if row == WIRING else allowed[row, way, s]
                if x < most:
                    most, why = x, row
            told, step = was_charge_A[s] if way == 0 else was_discharge_A[s], rise[way, s]
            near = most - told < ripple[why] * rated[way, s]
            ripples = near and most < rated[way, s]
            slow = told + (min(step, (most - told) * calm) if ripples else back * step if near else step)
            reasons[way, s] = named[rows if most > slow + 1e-9 and not ripples else why, way]
            limits[way, s] = min(most, slow)
            limits[2 + way, s] = _known(limits[way, s] * voltage[s])


@njit(
    types.void(
        _given(float64), _given(float64), _given(float64), _given(float64), _given(float64), float64,
        float64, float64, float64, float64, _made(float64, 2),
    ),
    **OPTIONS,
)  # fmt: skip
def end_voltage(
    voltage: Any, highest: Any, series: Any, end_V: Any, was_uneven_V: Any, dt_s: float,
    band_V: float, beyond_V: float, soon_s: float, late_s: float, volts: Any,
) -> None:  # fmt: skip
    """Fill volts (2, string): the charge voltage at which the highest cell ends, and limit._uneven."""
    for s in range(voltage.size):
        now, before, band = series[s] * highest[s] - voltage[s], was_uneven_V[s], series[s] * band_V
        time_s = soon_s if now > before else late_s
        share = 1.0 if np.isnan(before) else dt_s / (dt_s + time_s)
        smooth = now if np.isnan(before) else before + share * (now - before)
        smooth = np.minimum(np.maximum(smooth, now - band), now + band)
        if highest[s] > end_V[s] + beyond_V:
            smooth = np.maximum(smooth, now)
        uneven = before if np.isnan(now) else np.maximum(smooth, 0.0)
        known = voltage[s] > 0.0 and highest[s] > 0.0
        volts[0, s] = _known(series[s] * end_V[s] - uneven) if known else 0.0
        volts[1, s] = uneven
