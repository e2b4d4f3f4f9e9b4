"""Is a recording in the units that its columns say, and of the cell that was named? Evident contradictions are errors.

A wrong unit shows as a factor of a thousand, a wrong cell as a voltage that the cell cannot have, a wrong sign as a
voltage that falls when current rises. Looks at medians and sums: single absurd rows are the matter of `recording`.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cellarer.model.cell import CellLimits, CellModel
from cellarer.model.quantities import BY_NAME
from cellarer.runtime.recording import Recording, RecordingError, gaps, leave_out

Floats = NDArray[np.float64]

KELVIN = (200.0, 400.0)
TEMPERATURES_DEGC = (-60.0, 120.0)
RATE_MAX_C = 60.0  # median current, when there is one: cells for power tools are rated to 30 C
SWING_MAX = 10.0  # charge that flows one way, in capacities: more than this has another unit
VOLTAGE_MARGIN = 0.3  # of the cell's window to each side
END_ROWS, FAR, MOVED, UNLIKE = 20, 0.3, 0.4, 10.0  # rows of an end; of the curve's volts; of charge; times as much
WARM_DEGC = 62.0  # median of a cell that nobody keeps so warm
SIGN_ROWS = 30  # steps of current needed before the sign is judged


def check_units(recording: Recording, limits: CellLimits, series: int, capacity_Ah: float) -> list[str]:
    """Raise RecordingError where a unit or the cell is evidently wrong; return warnings where it may be.

    series       cells of `voltage_V`; 1 when only single cells are measured
    capacity_Ah  of the whole string
    """
    _check_voltage(recording, limits, series)
    _check_temperature(recording)
    _check_current(recording, capacity_Ah)
    return [*_sign(recording), *_temperature(recording)]


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


def check_time(recording: Recording, model: CellModel, series: int, capacity_Ah: float) -> None:
    """Raise RecordingError where the voltage goes far from end to end of a run, and next to no charge flows.

    Both ends are unloaded by the model. Where rows are missing nobody knows what flowed.
    """
    gap, step, _ = gaps(recording)
    row, soc = int(np.argmin(np.abs(model.temp_degC - 25.0))), np.linspace(0.0, 1.0, model.ocv.shape[1])
    ohms = float((model.r0 + model.r1 + model.r2)[row].mean()) * model.capacity_Ah / capacity_Ah
    for k in range(len(recording.run_labels)):
        rows = np.flatnonzero(recording.good & (recording.run == k))
        if len(rows) < 2 * END_ROWS or gap[rows].any():
            continue
        volts = np.nanmean(recording.cell_V[rows], axis=1) if recording.cells else recording.voltage_V[rows] / series
        unloaded = volts - ohms * recording.current_A[rows]
        ends_V = [float(np.median(unloaded[part])) for part in (slice(END_ROWS), slice(-END_ROWS, None))]
        moved = abs(float(np.subtract(*np.interp(ends_V, model.ocv[row], soc))))
        far = abs(ends_V[0] - ends_V[1]) > FAR * float(np.interp(0.95, soc, model.ocv[row]) - model.ocv[row, 0])
        amp_s = np.abs(np.nancumsum(recording.current_A[rows][1:] * step[rows][1:]))
        flown = float(amp_s.max()) / 3600.0 / capacity_Ah
        if far and moved > MOVED and flown < moved / UNLIKE:
            raise RecordingError(
                recording.path, f"the voltage goes from {ends_V[0]:.2f} to {ends_V[1]:.2f} V, {100 * moved:.0f} % of "
                f"the charge of this cell, while {100 * flown:.2g} % flow: is time in minutes or hours, or --cell or "
                "--capacity-Ah wrong? `cellarer convert` knows time_min and time_h",
            )  # fmt: skip


def _temperature(recording: Recording) -> list[str]:
    """Temperatures that are hardly measured."""
    known = recording.temp_degC[np.isfinite(recording.temp_degC)]
    if known.size and not known.any():
        return ["temperature is 0 degC in every row: a channel without a sensor? Then leave the column out"]
    if known.size and float(np.median(known)) > WARM_DEGC:
        return [f"temperature is typically {float(np.median(known)):.0f} degC: is it in degrees Fahrenheit?"]
    return []


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
    recording = replace(
        recording,
        voltage_V=np.where(absurd & (recording.cells == 0), np.nan, recording.voltage_V),
        cell_V=np.where(plausible, volts, np.nan) if recording.cells else recording.cell_V,
    )  # the estimators take what they get
    return leave_out(recording, f"voltage is outside {low:g} … {high:g} V per cell", absurd)
