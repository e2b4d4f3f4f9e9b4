"""Sample → Seen: what is stale, absurd, from the future or absent becomes NaN. Nothing is repaired, nothing is guessed.

A missed frame is not yet unknown: the last good value holds until its maximum age. Safe is stated positively, so that
NaN fails every test here. Also keeps the little memory that signals with a past need (frozen sensors, dT/dt).
"""

from functools import lru_cache

import numpy as np

from cellarer.model.config import Config
from cellarer.model.values import NEVER, Bools, Floats, Ints, Response, Sample, Seen, Watch

# Two of them are longer than the 3 s for which GB 38031-2025 C.5.3.7 asks dT/dt to last; three, with a sample period
# of 0.5 s added to each, leave room in the 10 s that a runaway may take to open
RATE_WINDOW_NS = 2_250_000_000
# A steep step: more than two readings of sensors differ that err by the 3 K of GB/T 38661-2020 each, within a window.
# Only a sensor that did not fall by as much for CALM_NS makes them: wild ones rise by chance (both own estimates)
CLIMB_K, CALM_NS = 8.0, 10_000_000_000


def validate(config: Config, watch: Watch, sample: Sample, current_zero: Floats, now_ns: int) -> Seen:
    """Return what may be believed now. A signal is known if present, plausible, not too old and not from the future.

    current_zero: (string,) A that a person has told the current sensor to take for zero.
    """
    sensing = config.sensing
    age_ns = now_ns - sample.time_ns
    plausible = (sensing.low <= sample.value) & (sample.value <= sensing.high)
    arrived = sensing.present & (sample.time_ns > NEVER)
    known = arrived & plausible & (age_ns >= 0) & (age_ns <= sensing.max_age_ns)
    value = np.where(known, sample.value, np.nan)
    value[config.layout.where["current"]] -= current_zero
    return Seen(
        value=value,
        time_ns=sample.time_ns,
        valid_ns=np.where(known, np.maximum(sample.time_ns, watch.valid_ns), watch.valid_ns),
        absurd=arrived & ~plausible,
    )


TOLD_SLOTS = 6  # the newest is not whole yet; see remember.py


def start_watch(config: Config, now_ns: int, response: Response) -> Watch:
    """Return the memory before the first sample: nothing known, every signal's silence counted from now."""
    size = config.layout.size
    unknown_cells, unknown_temps = np.full(size["cell"], np.nan), np.full(size["temp"], np.nan)
    zero = np.zeros(size["string"])
    return Watch(
        valid_ns=np.full(size["signal"], now_ns),
        cell_voltage=unknown_cells,
        current_then=unknown_cells,
        others_then=unknown_cells,
        others=unknown_cells,
        earlier=np.full((2, filtered(config).size), np.nan),
        temp_degC=unknown_temps,
        temp_ns=np.full(size["temp"], NEVER),
        temp_slope=unknown_temps,
        temp_rate=unknown_temps,
        climbs=np.zeros(size["temp"], np.int64),
        climb_degC=unknown_temps,
        climb_ns=np.full(size["temp"], NEVER),
        climb_rate=np.zeros(size["temp"]),
        current=np.full(size["string"], np.nan),
        flowed_ns=np.full((2, size["string"]), NEVER),
        charge=zero,
        charge_s=zero,
        told_A=np.zeros((TOLD_SLOTS, 2, size["string"])),
        told_ns=NEVER,
        allowed_charge_A=zero,
        allowed_discharge_A=zero,
        over_charge_A=zero,
        over_discharge_A=zero,
        excess=np.zeros((3, 3, size["string"])),
        wire_heat=np.zeros_like(config.limits.wire_A),
        response=response,
    )


FILTERED = ("cell_voltage", "temp_degC", "string_voltage")  # what sums, spreads and rates are made of


@lru_cache(maxsize=16)
def filtered(config: Config) -> Ints:
    """Return where the signals of FILTERED lie in the flat array, in that order, (filtered,)."""
    where = config.layout.where
    return np.concatenate([np.arange(where[name].start, where[name].stop) for name in FILTERED])


def recall(config: Config, watch: Watch, before: Seen, seen: Seen) -> Floats:
    """Return the two known samples before the newest, (2, filtered).

    After a gap longer than the signal's maximum age they begin with the newest: what is old must not speak for now.
    """
    at = filtered(config)
    was, now = before.value[at], seen.value[at]
    fresh = seen.time_ns[at] > before.time_ns[at]
    if not np.count_nonzero(fresh):
        return watch.earlier
    first, second = watch.earlier
    begin = np.isnan(was) | (seen.time_ns[at] > before.time_ns[at] + config.sensing.max_age_ns[at])
    return np.where(fresh, np.where(begin, now, (was, first)), (first, second))


def median(newest: Floats, earlier: Floats) -> Floats:
    """Return the middle of the newest and two earlier samples: one wild sample never shows. NaN stays NaN."""
    a, b = earlier
    middle = np.maximum(np.minimum(newest, a), np.minimum(np.maximum(newest, a), b))
    return np.where(np.isnan(a + b), newest, middle)


def temp_rates(config: Config, watch: Watch, seen: Seen, temp: Floats) -> tuple[Floats, Ints, Floats, Floats]:
    """Return (temp_degC, temp_ns, temp_slope, temp_rate in K/s), (temp,) each, as of the last closed window.

    The rate is the lower slope of the last two windows: noise that lifts the end of one lowers the next one, so that
    one sensor hardly ever rises twice by noise, as some of many sensors do in turn.
    temp: (temp,) degC, medians of three samples: one wild sample must not look like a rise.
    """
    time_ns = seen.time_ns[config.layout.where["temp_degC"]]
    elapsed_ns = time_ns - watch.temp_ns
    known = ~np.isnan(temp)
    first = known & np.isnan(watch.temp_degC)
    due = known & (elapsed_ns >= RATE_WINDOW_NS)
    renew = first | due
    if not renew.any():
        return watch.temp_degC, watch.temp_ns, watch.temp_slope, watch.temp_rate
    closed = due & ~first
    slope = np.where(closed, (temp - watch.temp_degC) / np.maximum(elapsed_ns * 1e-9, 1e-9), watch.temp_slope)
    rate = np.where(closed, np.minimum(slope, watch.temp_slope), watch.temp_rate)
    return np.where(renew, temp, watch.temp_degC), np.where(renew, time_ns, watch.temp_ns), slope, rate


def climb(config: Config, watch: Watch, before: Seen, seen: Seen) -> tuple[Ints, Floats, Ints, Floats]:
    """Return (climbs, climb_degC, climb_ns, climb_rate), (temp,) each: steep steps that each sensor rose by in a row.

    For rises so fast that a sensor is beyond its range before two windows have passed. One wild sample falls again, a
    short circuit is one step, and what stays or falls begins anew; while a sensor is unknown its steps are kept.
    """
    where = config.layout.where["temp_degC"]
    value, time_ns = seen.value[where], seen.time_ns[where]
    restless, late = time_ns < watch.climb_ns, time_ns - watch.climb_ns > RATE_WINDOW_NS
    rise = value - np.where(late, before.value[where], watch.climb_degC)  # late: from the sample before
    since_ns = time_ns - np.where(late, before.time_ns[where], watch.climb_ns)
    fell, rose = rise <= -CLIMB_K, (rise >= CLIMB_K) & (since_ns > 0) & (since_ns <= RATE_WINDOW_NS)
    renew = ~np.isnan(value) & (rose | fell | restless | late)
    if not renew.any():
        return watch.climbs, watch.climb_degC, watch.climb_ns, watch.climb_rate
    begins = np.where(fell, time_ns + CALM_NS, np.where(restless, watch.climb_ns, time_ns))
    return (
        np.where(rose, np.where(late, 1, watch.climbs + 1), np.where(renew, 0, watch.climbs)),
        np.where(renew, value, watch.climb_degC),
        np.where(renew, begins, watch.climb_ns),
        np.where(rose, rise / np.maximum(since_ns * 1e-9, 1e-9), watch.climb_rate),
    )


def frozen_since(config: Config, watch: Watch, seen: Seen) -> tuple[Floats, Floats, Floats, Floats, Bools]:
    """Return (voltage, current, others) at the last change of each cell's reading, others now, whether it changed now.

    All (cell,).

    A reading that stays the same to the last bit while the current and all other cells move is suspicious:
    `signals.cell_frozen` says by how many volts. Others count too, because at constant voltage (the end of a charge)
    current moves and no cell does.
    """
    layout, owner = config.layout, config.layout.string_of_cell
    voltage = seen.value[layout.where["cell_voltage"]]
    known = ~np.isnan(voltage)
    moved: Bools = ((voltage != watch.cell_voltage) & known) | np.isnan(watch.current_then)
    current = seen.value[layout.where["current"]][owner]
    own = np.where(known, voltage, 0.0)
    count = np.add.reduceat(known.astype(np.float64), layout.first_cell)[owner] - known
    others = np.where(count > 0.0, (layout.total(own)[owner] - own) / np.maximum(count, 1.0), np.nan)
    return (
        np.where(moved, voltage, watch.cell_voltage),
        np.where(moved, current, watch.current_then),
        np.where(moved, others, watch.others_then),
        others,
        moved,
    )
