"""Is a recording in the units that its columns say, and of the cell that was named? Evident contradictions are errors.

A wrong unit shows as a factor of a thousand, a wrong cell as a voltage that the cell cannot have, a wrong sign as a
voltage that falls when current rises. Looks at medians and sums: single absurd rows are the matter of `recording`.
"""

import numpy as np
from numpy.typing import NDArray

from cellarer.model.cell import CellLimits
from cellarer.model.quantities import BY_NAME
from cellarer.runtime.recording import Recording, RecordingError, gaps, leave_out

Floats = NDArray[np.float64]

KELVIN = (200.0, 400.0)
TEMPERATURES_DEGC = (-60.0, 120.0)
RATE_MAX_C = 60.0  # median current, when there is one: cells for power tools are rated to 30 C
SWING_MAX = 10.0  # charge that flows one way, in capacities: more than this has another unit
VOLTAGE_MARGIN = 0.3  # of the cell's window to each side
SIGN_ROWS = 30  # steps of current needed before the sign is judged


def check_units(recording: Recording, limits: CellLimits, series: int, capacity_Ah: float) -> list[str]:
    """Raise RecordingError where a unit or the cell is evidently wrong; return warnings where it may be.

    series       cells of `voltage_V`; 1 when only single cells are measured
    capacity_Ah  of the whole string
    """
    _check_voltage(recording, limits, series)
    _check_temperature(recording)
    _check_current(recording, capacity_Ah)
    return _sign(recording)


def _check_voltage(recording: Recording, limits: CellLimits, series: int) -> None:
    margin = VOLTAGE_MARGIN * (limits.cap_voltage_max - limits.cap_voltage_min)
    low, high = limits.cap_voltage_min - margin, limits.cap_voltage_max + margin
    allowed = f"{low:.2f} to {high:.2f} V for this cell"
    for name, values in _voltages(recording, series):
        typical = _median(values)
        if np.isnan(typical) or low <= typical <= high:
            continue
        what = f"{name} is typically {typical:.4g} V per cell, allowed is {allowed}"
        if low <= typical / 1000.0 <= high:
            raise RecordingError(recording.path, f"{what}: it looks like millivolts; then name the column …_mV")
        count = round(typical * series / (0.5 * (limits.cap_voltage_min + limits.cap_voltage_max)))
        if not recording.cells and count > series:
            raise RecordingError(recording.path, f"{what}: with {series} in series; is it --series {count} or near?")
        raise RecordingError(recording.path, f"{what}: is it another cell, or another number in series than {series}?")


def _voltages(recording: Recording, series: int) -> list[tuple[str, Floats]]:
    single = [(f"cell_{k + 1:02d}", recording.cell_V[:, k]) for k in range(recording.cells)]
    return [("voltage", recording.voltage_V / series), *single]


def _check_temperature(recording: Recording) -> None:
    low, high = TEMPERATURES_DEGC
    typical = _median(recording.temp_degC)
    if np.isnan(typical) or low <= typical <= high:
        return
    what = f"temperature is typically {typical:.4g} degC, allowed is {low:g} to {high:g}"
    hint = ": it looks like kelvin; then name the column temperature_K" if KELVIN[0] < typical < KELVIN[1] else ""
    raise RecordingError(recording.path, what + hint)


def _check_current(recording: Recording, capacity_Ah: float) -> None:
    good = recording.good
    flowing = np.abs(recording.current_A[good])
    flowing = flowing[flowing > 0.0]
    rate = _median(flowing) / capacity_Ah
    if rate > RATE_MAX_C:
        what = f"current_A is typically {_median(flowing):.4g} A, {rate:.0f} times the capacity of {capacity_Ah:g} Ah"
        raise RecordingError(recording.path, f"{what}: it looks like milliamperes; then name the column current_mA")
    gap, step, _ = gaps(recording)
    charge_Ah = np.cumsum(np.where(good & ~gap & np.isfinite(step), recording.current_A * step, 0.0)) / 3600.0
    first = np.flatnonzero(np.diff(recording.run, prepend=-1))
    within = np.maximum.reduceat(charge_Ah, first) - np.minimum.reduceat(charge_Ah, first)
    swing = float(within.max()) / capacity_Ah
    if swing > SWING_MAX:
        what = f"{swing * capacity_Ah:.4g} Ah flow one way, {swing:.0f} times the capacity of {capacity_Ah:g} Ah"
        hint = "is time in milliseconds (time_ms), current in milliamperes (current_mA), or --capacity-Ah wrong?"
        raise RecordingError(recording.path, f"{what}: {hint}")


def _sign(recording: Recording) -> list[str]:
    """Voltage rises with charge current: steps of both must agree, or the sign is turned."""
    volts = recording.voltage_V if np.isfinite(recording.voltage_V).any() else np.mean(recording.cell_V, axis=1)
    both = recording.good[1:] & recording.good[:-1]
    step_A, step_V = np.diff(recording.current_A)[both], np.diff(volts)[both]
    known = np.isfinite(step_A) & np.isfinite(step_V)
    step_A, step_V = step_A[known], step_V[known]
    if not step_A.size:
        return []
    large = np.abs(step_A) > 0.2 * np.abs(step_A).max()
    if large.sum() < SIGN_ROWS:
        return []
    agreeing = float(np.mean(np.sign(step_A[large]) == np.sign(step_V[large])))
    if agreeing > 0.2:
        return []
    return ["voltage falls when current_A rises: is the sign turned? Positive current charges"]


def _median(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def leave_out_absurd(recording: Recording, series: int) -> Recording:
    """Mark rows whose voltage no cell can have, whatever its type, and count them."""
    low, high = BY_NAME["cell_voltage"].low, BY_NAME["cell_voltage"].high
    volts = recording.cell_V if recording.cells else recording.voltage_V[:, None] / series
    plausible = (low <= volts) & (volts <= high)
    absurd = np.asarray(plausible.sum(axis=1) == 0)
    return leave_out(recording, f"voltage is outside {low:g} … {high:g} V per cell", absurd)
