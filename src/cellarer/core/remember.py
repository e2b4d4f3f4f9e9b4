"""The memory of signals, cycle by cycle: what validation, the fault rows and slow estimation need of the past.

Current is integrated here every cycle, so that slow estimation loses no charge: between samples the previous current
holds for steps up to 1 s, above that the trapezoid (DESIGN §7). Unknown current integrates nothing and widens sigma.
"""

from typing import NamedTuple

import numpy as np

from cellarer.core import excess
from cellarer.core.followed import followed
from cellarer.core.response import respond
from cellarer.core.validate import (
    CALM_NS,
    CLIMB_K,
    RATE_WINDOW_NS,
    climb,
    filtered,
    frozen_since,
    median,
    recall,
    temp_rates,
)
from cellarer.model.config import Config
from cellarer.model.values import NEVER, Floats, Ints, Seen, State, Watch

try:
    from cellarer.core import kernel_signals as _kernel
except ImportError:  # without numba NumPy does the work
    _kernel = None  # type: ignore[assignment]

HOLD_S = 1.0  # s: up to here the previous current holds over the step
GAP_S = 61.0  # s: beyond a minute (and the jitter of a logger) nothing is integrated


def remember(config: Config, state: State, seen: Seen, now_ns: int, plain: bool = False) -> Watch:
    """Return the memory of signals after this sample, with current integrated up to now. plain: by NumPy alone."""
    before = state.watch
    current = seen.value[config.layout.where["current"]]
    charge, known_s, total = before.charge, before.charge_s, before.response.passed
    dt_s = (now_ns - state.time_ns) * 1e-9 if state.time_ns > NEVER else 0.0
    if state.time_ns > NEVER:
        mean = before.current if dt_s <= HOLD_S else 0.5 * (before.current + current)
        counts = ~np.isnan(mean) & (0.0 < dt_s <= GAP_S)
        passed = np.where(counts, mean * dt_s, 0.0)
        charge, total = charge + passed, total + passed
        known_s = known_s + np.where(counts, dt_s, 0.0)
    flows = np.array((current > config.idle_A, -current > config.idle_A))
    told, told_ns, allowed, over = followed(config, state, current, now_ns)
    kept = (keep_plain if plain or _kernel is None else _keep)(config, state, seen, total)
    return Watch(
        valid_ns=seen.valid_ns,
        cell_voltage=kept.cell_voltage,
        current_then=kept.current_then,
        others_then=kept.others_then,
        others=kept.others,
        earlier=kept.earlier,
        temp_degC=kept.temp_degC,
        temp_ns=kept.temp_ns,
        temp_slope=kept.temp_slope,
        temp_rate=kept.temp_rate,
        climbs=kept.climbs,
        climb_degC=kept.climb_degC,
        climb_ns=kept.climb_ns,
        climb_rate=kept.climb_rate,
        current=current,
        flowed_ns=np.where(flows, now_ns, before.flowed_ns),
        charge=charge,
        charge_s=known_s,
        told_A=told,
        told_ns=told_ns,
        allowed_charge_A=allowed[0],
        allowed_discharge_A=allowed[1],
        over_charge_A=over[0],
        over_discharge_A=over[1],
        excess=excess.advance(config, before.excess, current, allowed, over, dt_s),
        wire_heat=_wire_heat(config, state, current, now_ns),
        response=respond(config, state, seen, total, kept.passed_then, plain),
    )


class Kept(NamedTuple):
    """What is remembered of cells and sensors; as of Watch and Response."""

    earlier: Floats
    cell_voltage: Floats
    current_then: Floats
    others_then: Floats
    others: Floats
    passed_then: Floats
    temp_degC: Floats
    temp_ns: Ints
    temp_slope: Floats
    temp_rate: Floats
    climbs: Ints
    climb_degC: Floats
    climb_ns: Ints
    climb_rate: Floats


def keep_plain(config: Config, state: State, seen: Seen, passed: Floats) -> Kept:
    """Return what is remembered of cells and sensors after this sample. passed: (string,) A·s since the start."""
    before, size = state.watch, config.layout.size
    earlier = recall(config, before, state.seen, seen)
    temps = slice(size["cell"], size["cell"] + size["temp"])
    calm = median(seen.value[filtered(config)[temps]], earlier[:, temps])
    rates = temp_rates(config, before, seen, calm)
    voltage, current_then, others_then, others, moved = frozen_since(config, before, seen)
    passed_then = np.where(moved, passed[config.layout.string_of_cell], before.response.passed_then)
    return Kept(
        earlier,
        voltage,
        current_then,
        others_then,
        others,
        passed_then,
        *rates,
        *climb(config, before, state.seen, seen),
    )


def _keep(config: Config, state: State, seen: Seen, passed: Floats) -> Kept:
    """Do what keep_plain does in one compiled pass."""
    before, size, where, layout = state.watch, config.layout.size, config.layout.where, config.layout
    earlier, cells = np.empty_like(before.earlier), np.empty((5, size["cell"]))
    temps, temp_times = np.empty((5, size["temp"])), np.empty((3, size["temp"]), np.int64)
    _kernel.remember(
        seen.value, seen.time_ns, state.seen.value, state.seen.time_ns, config.sensing.max_age_ns, filtered(config),
        layout.string_of_cell, layout.first_cell, where["cell_voltage"].start, where["temp_degC"].start,
        where["current"].start, RATE_WINDOW_NS, CLIMB_K, CALM_NS,
        before.earlier, before.cell_voltage, before.current_then, before.others_then, before.response.passed_then,
        before.temp_degC, before.temp_ns, before.temp_slope, before.temp_rate,
        before.climbs, before.climb_degC, before.climb_ns, before.climb_rate,
        passed, earlier, cells, temps, temp_times,
    )  # fmt: skip
    voltage, current_then, others_then, others, passed_then = cells
    temp_degC, slope, rate, climb_degC, climb_rate = temps
    temp_ns, climb_ns, climbs = temp_times
    return Kept(
        earlier, voltage, current_then, others_then, others, passed_then, temp_degC, temp_ns, slope, rate,
        climbs, climb_degC, climb_ns, climb_rate,
    )  # fmt: skip


def _wire_heat(config: Config, state: State, current: Floats, now_ns: int) -> Floats:
    """Return the thermal image of wiring, (element, string) A²; where current is unknown the limits of now count."""
    before = state.watch.wire_heat
    if not before.size or state.time_ns == NEVER:
        return before
    most = np.maximum(state.window.charge_A, state.window.discharge_A)
    flows = np.where(np.isnan(current), most, np.abs(current))
    left = np.exp(-(now_ns - state.time_ns) * 1e-9 / config.limits.wire_s)
    return left * before + (1.0 - left) * flows * flows
