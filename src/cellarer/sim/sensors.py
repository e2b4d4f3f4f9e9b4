"""What is measured of the plant: sampling periods, skew, noise, offset, gain, quantisation, and broken sensors.

A reading is quantise(gain · true + offset + noise), held until the next sample of that signal. Offset and gain of
every sensor are drawn once by seed. Classes of accuracy: AFE ±1…2 mV, shunt 0.1 … 0.5 %, NTC ±1 K (data sheets of
common parts); GB/T 38661 allows 10 mV, 2 % and 2 K.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellarer.model.layout import Layout
from cellarer.model.quantities import BY_NAME
from cellarer.model.values import NEVER
from cellarer.sim import noise
from cellarer.sim.knobs import Knobs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Sensor(NamedTuple):
    """Accuracy of one signal. Lengths are in the signal's unit, or shares of full scale where `relative`."""

    period_s: float
    noise: float = 0.0
    quantum: float = 0.0
    offset: float = 0.0  # standard deviation over sensors
    gain: float = 0.0
    relative: bool = False


FACT = Sensor(0.02)
SENSORS: dict[str, Sensor] = {
    "cell_voltage": Sensor(0.02, 0.0004, 0.0001, 0.0008, 0.0),
    "cell_open_wire": Sensor(10.0),
    "cell_bleeding": Sensor(0.1),
    "temp_degC": Sensor(0.1, 0.05, 0.1, 0.4),
    "current": Sensor(0.01, 2e-4, 2e-5, 2e-4, 1e-3, relative=True),
    "current_check": Sensor(0.1, 1e-3, 5e-4, 2e-3, 5e-3, relative=True),
    "string_voltage": Sensor(0.02, 2e-4, 5e-5, 1e-4, 5e-4, relative=True),
    "link_voltage": Sensor(0.02, 2e-4, 5e-5, 1e-4, 5e-4, relative=True),
    "cell_voltage_high": Sensor(0.5, 0.0004, 0.001, 0.0008),
    "cell_voltage_low": Sensor(0.5, 0.0004, 0.001, 0.0008),
    "foreign_soc": Sensor(1.0, 0.0, 0.01),
    "foreign_alarm": Sensor(0.5),
    "foreign_charge_limit": Sensor(0.5, 0.0, 0.1),
    "foreign_discharge_limit": Sensor(0.5, 0.0, 0.1),
    "insulation": Sensor(1.0, 5e-4, 1e-4, 0.0, 0.05, relative=True),
    "coolant_degC": Sensor(1.0, 0.05, 0.1, 0.4),
    "ambient_degC": Sensor(1.0, 0.05, 0.1, 0.4),
    "supply_voltage": Sensor(0.1, 0.01, 0.01, 0.02),
    # a 2 A converter with a shunt amplifier, means over half a second: 0.3 % and 1 % (own estimate)
    "converter_current": Sensor(0.5, 0.006, 0.002, 0.006, 0.01),
}

# What the standards allow at most, an own reading of GB/T 38661-2020 (not re-read: cell voltage 10 mV, sum and current
# 1 % and 2 % of full scale, temperature 2 K). Random numbers here end at 3.5 deviations: 1/3.5 of the whole tolerance,
# shared between what stays (offset, gain) and what changes (noise), gives sensors that are never worse than allowed.
_PART = 1.0 / 7.0
TOLERANCE: dict[str, Sensor] = {
    "cell_voltage": Sensor(0.1, 0.010 * _PART, 0.001, 0.010 * _PART),
    "temp_degC": Sensor(0.5, 2.0 * _PART, 0.1, 2.0 * _PART),
    "current": Sensor(0.02, 0.0025 * _PART, 1e-4, 0.0025 * _PART, 0.030 * _PART, relative=True),
    "current_check": Sensor(0.2, 0.0025 * _PART, 1e-4, 0.0025 * _PART, 0.030 * _PART, relative=True),
    "string_voltage": Sensor(0.1, 0.01 * _PART, 1e-4, 0.01 * _PART, relative=True),
    "link_voltage": Sensor(0.1, 0.01 * _PART, 1e-4, 0.01 * _PART, relative=True),
    "cell_voltage_high": Sensor(0.5, 0.010 * _PART, 0.001, 0.010 * _PART),
    "cell_voltage_low": Sensor(0.5, 0.010 * _PART, 0.001, 0.010 * _PART),
    "insulation": Sensor(1.0, 5e-4, 1e-4, 0.0, 0.05, relative=True),
}

SKEW_S = 0.002  # by this much the string's current and voltages are older than its cell voltages
SKEWED = ("current", "string_voltage", "link_voltage")
HELD_S = 8.0  # how far back the truth is kept for signals that are out of step
MOMENT_S = 1e-9
SPIKE_SHARE = 0.02
OFFSET, GAIN, NOISE, SPIKE, DROPOUT = 11, 12, 13, 14, 15  # purposes of random numbers


class Sensors:
    """All sensors of a plant. `value` and `time_s` are (signal,): the newest readings and when they were taken."""

    def __init__(
        self,
        layout: Layout,
        scale: dict[str, Floats],
        seed: int,
        packs: Ints,
        table: Mapping[str, Sensor] | None = None,
    ) -> None:
        """Draw every sensor.

        scale: full scale of relative signals (axis,); packs (pack,) numbers that seed; table: what replaces SENSORS.
        """
        n = layout.size["signal"]
        self.layout, self.value, self.time_s = layout, np.full(n, np.nan), np.full(n, -np.inf)
        self.samples = 0
        self.past: list[tuple[float, Floats]] = []
        self.due_s, self.period_s, self.phase_s = np.zeros(n), np.ones(n), np.zeros(n)
        self.dropouts: Dropouts | None = None
        self.table, self.full = {**SENSORS, **(table or {})}, dict[str, Floats]()
        self.noise, self.quantum, self.offset, self.gain = np.zeros(n), np.zeros(n), np.zeros(n), np.ones(n)
        self.key = _keys(layout, seed, packs)
        for name, where in layout.where.items():
            sensor = self.table.get(name, FACT)
            self.period_s[where] = sensor.period_s
            full = self.full[name] = scale[name] if sensor.relative else np.ones(where.stop - where.start)
            self.noise[where], self.quantum[where] = sensor.noise * full, sensor.quantum * full
            self.offset[where] = sensor.offset * full * noise.normal(self.key[where], OFFSET)
            self.gain[where] = 1.0 + sensor.gain * noise.normal(self.key[where], GAIN)
        self.skewed = np.concatenate([np.arange(n)[layout.where[name]] for name in SKEWED])
        self.skew_s = np.full(self.skewed.size, SKEW_S)

    def read(self, truth: Floats, time_s: float, knobs: Knobs) -> None:
        """Sample all signals that are due. truth (signal,)."""
        due = time_s >= self.due_s - MOMENT_S
        period_s, phase_s = self.period_s, self.phase_s
        following_s = (np.floor((time_s - phase_s) / period_s + 1e-6) + 1.0) * period_s + phase_s
        self.due_s = np.where(due, following_s, self.due_s)
        due &= knobs["silent"] < 0.5
        if self.dropouts is not None:
            due &= ~self.dropouts.lost(time_s)
        reading = self._measure(self._out_of_step(truth, time_s, knobs), knobs)
        frozen = (knobs["stuck"] > 0.5) & np.isfinite(self.value)
        self.value = np.where(due & ~frozen, reading, self.value)
        self.time_s = np.where(due, time_s, self.time_s)

    def pace(self, period_s: Floats, phase_s: Floats) -> None:
        """Let every signal be sampled at its own pace, from the next sample on, (signal,) s each."""
        self.period_s, self.phase_s = period_s, phase_s
        self.due_s = phase_s.copy()

    def _measure(self, truth: Floats, knobs: Knobs) -> Floats:
        """Put a true value through every sensor, (signal,)."""
        self.samples += 1
        sigma = np.hypot(self.noise, knobs["noise"]) if "noise" in knobs.turned else self.noise
        x = truth * self.gain + self.offset + sigma * noise.normal(self.key, NOISE, self.samples)
        x = _swap(x, self.layout, knobs) * knobs["gain"] + knobs["offset"]
        if "spike" in knobs.turned:
            x += knobs["spike"] * (noise.uniform(self.key, SPIKE, self.samples) < SPIKE_SHARE)
        if "ceiling" in knobs.turned:
            top = np.where(np.isfinite(knobs["ceiling"]), knobs["ceiling"], np.inf)
            x = np.clip(x, -top, top)
        forced = knobs["force"]
        x = np.where(np.isfinite(forced), forced, x)
        step = np.where(self.quantum > 0.0, self.quantum, 1.0)
        return np.where(self.quantum > 0.0, np.round(x / step) * step, x)

    def _out_of_step(self, truth: Floats, time_s: float, knobs: Knobs) -> Floats:
        """Replace current and voltages of the strings by what they were a moment ago, between two known instants."""
        self.past.append((time_s, truth[self.skewed]))
        delay = self.skew_s
        if "delay_s" in knobs.turned:
            delay = delay + np.tile(knobs["delay_s"], len(SKEWED))
        while len(self.past) > 2 and self.past[1][0] < time_s - HELD_S:
            self.past.pop(0)
        truth = truth.copy()
        truth[self.skewed] = _at(self.past, time_s - delay)
        return truth

    def error(self, name: str, value: float) -> Floats:
        """Return how wrong a reading of this size can be in a sound sensor, (axis,)."""
        where, sensor = self.layout.where[name], self.table.get(name, FACT)
        whole = sensor.offset * self.full[name] + sensor.gain * abs(value)
        return np.asarray(noise.LIMIT * (whole + self.noise[where]) + self.quantum[where])

    def wobble(self, name: str) -> Floats:
        """Return how far two readings of the same in a sound sensor can be from their mean, (axis,): no offset."""
        where = self.layout.where[name]
        return np.asarray(noise.LIMIT * self.noise[where] + 0.5 * self.quantum[where])

    def sample_times(self, now_ns: int, time_s: float) -> Ints:
        """Return when each signal was measured, (signal,) ns on the clock in which it is now_ns."""
        known = np.isfinite(self.time_s)
        age_ns = np.round((time_s - np.where(known, self.time_s, time_s)) * 1e9).astype(np.int64)
        return np.where(known, now_ns - age_ns, NEVER)


class Dropouts:
    """Moments in which frames do not arrive: once in every `every_s`, of some signals, never for long."""

    def __init__(self, keys: NDArray[np.uint64], every_s: float, longest_s: float) -> None:
        """Prepare. keys (signal,): elements with the same key are lost together."""
        self.keys, self.every_s, self.longest_s = keys, every_s, longest_s
        self.window, self.until_s = -1, np.zeros(keys.size)

    def begin_s(self, time_s: float) -> float:
        """Return when frames begin to be lost, in the span of `every_s` that a time lies in."""
        window = int(time_s // self.every_s)
        share = float(noise.uniform(self.keys[0], DROPOUT, window)[0])
        return window * self.every_s + (self.every_s - self.longest_s) * share

    def lost(self, time_s: float) -> Bools:
        """Return whether a sample of this moment is lost, (signal,)."""
        begin_s = self.begin_s(time_s)
        if not begin_s <= time_s < begin_s + self.longest_s:
            return np.zeros(self.keys.size, bool)
        window = int(time_s // self.every_s)
        if window != self.window:
            lasts = 2.0 * noise.uniform(self.keys, DROPOUT + 1, window) - 1.0  # half of the signals are spared
            self.window, self.until_s = window, begin_s + self.longest_s * lasts
        return np.asarray(time_s < self.until_s)


def _at(past: list[tuple[float, Floats]], when_s: Floats) -> Floats:
    """Interpolate between kept instants, per element; before the first one the first value holds."""
    newest_s, newest = past[-1]
    if len(past) == 1:
        return newest
    result = newest.copy()
    todo = when_s < newest_s
    for (t0, v0), (t1, v1) in zip(past[-2::-1], past[:0:-1], strict=True):
        w = np.clip((when_s - t0) / max(t1 - t0, MOMENT_S), 0.0, 1.0)
        result = np.where(todo, v0 + (v1 - v0) * w, result)
        todo = todo & (when_s < t0)
        if not todo.any():
            break
    return result


def _swap(x: Floats, layout: Layout, knobs: Knobs) -> Floats:
    """Exchange what is wired to the wrong place: element and the next one of its signal."""
    if "swapped" not in knobs.turned:
        return x
    x = x.copy()
    for at in np.flatnonzero(knobs["swapped"] > 0.5):
        where = next(w for w in layout.where.values() if w.start <= at < w.stop)
        partner = at + 1 if at + 1 < where.stop else at - 1
        x[at], x[partner] = x[partner], x[at]
    return x


def _keys(layout: Layout, seed: int, packs: Ints) -> NDArray[np.uint64]:
    """Return a key per signal element that depends on its pack and its place in the pack, (signal,)."""
    keys = np.empty(layout.size["signal"], np.uint64)
    pack_of_string = layout.pack_of_string
    owner = {
        "cell": pack_of_string[layout.string_of_cell],
        "temp": pack_of_string[layout.string_of_temp],
        "string": pack_of_string,
        "pack": np.arange(layout.size["pack"]),
    }
    for number, (name, where) in enumerate(layout.where.items()):
        pack = owner[BY_NAME[name].axis]
        first = np.searchsorted(pack, pack)
        keys[where] = noise.mix(seed, packs[pack], number, np.arange(pack.size) - first)
    return keys
