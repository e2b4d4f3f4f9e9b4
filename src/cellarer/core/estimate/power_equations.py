"""SOP of one cell and one direction, written once: NumPy runs it on arrays, numba compiles it cell by cell.

At constant power the current changes as the voltage does. Between its first, middle and last value it is taken as
straight, for which the polarisation has an exact answer; the unknown is the last current. The voltage at the end falls
monotonically and nearly straight with it, so that a secant inside a bracket ends in a few rounds (the idea: G. Plett,
J. Power Sources 134 (2004) 252, there for constant current). Doubt enters as a margin at the limit: the volts that
`doubt` sigmas of SOC, of resistance and of temperature are worth, as independent errors, at constant power. A SOC at
which the cell would show another voltage than it does is no doubt worth having: only what lies within `seen` counts.
What a cell shows beyond that is no doubt either: it is so much nearer to its limit than the model says.
`look_up` and `select` are bound by the caller: arrays here, scalars in the kernel.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from cellarer.core.estimate.equations import EMPTY, NEAR_EMPTY, SENSOR, SHARE, decay, falling

TEMP_SIGMA_K = 1.5  # of a cell's temperature as sensors tell it
COLD_PER_K = (
    0.002  # of capacity, per kelvin below WARM_DEGC: what may stay in a cold cell, however small the current is
)
WARM_DEGC = 25.0
ROUNDS = 7
ROUGH = 3  # of them before the margin for doubt is known
BENT = 1.3  # at constant power the last current may be so many times its mean
STEPS = 24  # of SOC down to the end, or up to it
FILL_ROUNDS = 2  # from the current to its resistance and back
# An LFP cell on its plateau may be known to ± 15 points only. A forecast that believed the worst of that would forbid
# both charging and discharging, and nothing would ever be learnt: a lock-out. A knee shows in the voltage long before.
MOST_SOC_DOUBT = 0.06
UNHEARD_V = 1e3  # no bound

# Columns of a bounds table, one row per kind of cell, for one horizon and one way; power.py fills it
(
    LIMIT_V, PULSE_A, HOLD_A, HEAT_LEFT, HEAT_GAIN, MOST_A, HOT_DEGC, PER_HOT, COLD_DEGC, PER_COLD,
    PER_HOUR, LEAST_ROOM, IMPEDANCE, MAP_A, MAP,
) = range(15)  # fmt: skip
MAP_PIECE = 3  # from column MAP on, of each piece of the map: begin in degC, 1/width, rise in A
REASONS = ("voltage", "current", "soc", "temperature", "unknown")
VOLTAGE, CURRENT, SOC, TEMPERATURE = 0.0, 1.0, 2.0, 3.0

# What is bound, from the bottom up
PARTS = (
    "ramp_weights", "first_current", "voltage_at_end", "doubts", "unlike", "bounded", "on_map", "most_current",
    "narrowed", "begin", "rough", "careful", "fine", "held", "stiffer", "walk", "fill",
)  # fmt: skip
look_up: Callable[..., Any] = NotImplemented
select: Callable[..., Any] = np.where


class Task(NamedTuple):
    """What one search is about, and what it asks again and again: as of `begin`, then what that lays out.

    still  voltage without current; r0  times k; per_A  SOC that one ampere moves over the horizon; most  A
    a, f, l  of ramp_weights over the horizon for both polarisations; b, g, m  the same over half of it
    """

    z: Any
    s1: Any
    s2: Any
    h: Any
    k: Any
    temp_degC: Any
    z_sigma: Any
    k_sigma: Any
    seen: Any
    rated: Any
    why: Any
    room: Any
    limit: Any
    still: Any
    r0: Any
    per_exchange: Any
    per_A: Any
    most: Any
    a1: Any
    f1: Any
    l1: Any
    a2: Any
    f2: Any
    l2: Any
    b1: Any
    g1: Any
    m1: Any
    b2: Any
    g2: Any
    m2: Any


class Search(NamedTuple):
    """Where a search is: the bracket as of `narrowed`, then what was tried last."""

    low: Any
    f_low: Any
    high: Any
    f_high: Any
    side: Any
    first: Any  # A at once, in the middle and (magnitude) at the end
    mid: Any
    last: Any
    voltage: Any  # V at the end, and how much of it the current makes
    drop: Any
    margin: Any  # V: what doubt is worth there
    fixed2: Any  # of `doubted`
    per_drop: Any
    top_voltage: Any  # as voltage and drop, with `most`
    top_drop: Any


def ramp_weights(per_tau: Any, seconds: Any) -> Any:
    """What is left of a polarisation current, and what the first and the last current of a straight ramp add to it."""
    left = decay(seconds * per_tau)
    last = 1.0 - (1.0 - left) / (per_tau * seconds)
    return left, 1.0 - left - last, last


def voltage_at_end(
    node: Any, rows: Any, kind: Any, z: Any, s1: Any, s2: Any, h: Any, k: Any, per_A: Any, temp_degC: Any,
    first: Any, last: Any, a1: Any, f1: Any, l1: Any, a2: Any, f2: Any, l2: Any,
) -> Any:  # fmt: skip
    """Voltage when the current has run straight from `first` to `last`, the OCV there, and the state.

    per_A  SOC that one ampere moves in that time; a, f, l  of ramp_weights for both polarisations
    """
    moved = 0.5 * (first + last) * per_A
    ocv, m, r0, r1, r2, _near, _far, _sigma, _local, _p1, _p2, per_exchange, gamma = look_up(
        node, rows, kind, z + moved, temp_degC
    )
    t1 = a1 * s1 + f1 * first + l1 * last
    t2 = a2 * s2 + f2 * first + l2 * last
    ah = decay(gamma * np.abs(moved))
    he = ah * h + (1.0 - ah) * np.sign(moved)
    still = ocv + m * he
    return still + k * (r0 * last * falling(last * per_exchange) + r1 * t1 + r2 * t2), still, z + moved, t1, t2, he


def first_current(power: Any, still: Any, r0: Any, per_exchange: Any) -> Any:
    """Current right after constant power sets in; where the cell cannot give it, what it gives most power with."""
    i = power / np.maximum(still, 0.1)
    for _ in range(2):
        r = np.maximum(r0 * falling(i * per_exchange), 1e-9)
        i = (np.sqrt(np.maximum(still * still + 4.0 * r * power, 0.0)) - still) / (2.0 * r)
    return i


def doubted(drop: Any, voltage: Any, fixed2: Any, per_drop: Any) -> Any:
    """Volts that doubt is worth where current makes `drop`: variance that stands, and variance per volt of drop.

    By its root only, though resistance errs in proportion: a cold and a stiff cell at once is worse than their sum.
    """
    return np.sqrt(fixed2 + per_drop * np.abs(drop)) / np.maximum(1.0 - np.abs(drop) / np.maximum(voltage, 0.1), 0.4)


def narrowed(
    low: Any, f_low: Any, high: Any, f_high: Any, side: Any, last: Any, f: Any, most: Any
) -> Any:  # fmt: skip
    """Regula falsi after Illinois: `last`, where f is what is left to the limit, replaces the side of its sign.

    Returns (low, f_low, high, f_high, side, where to look next, between nothing and `most`).
    """
    now = select(f >= 0.0, 1.0, -1.0)
    low, f_low = select(now > 0.0, last, low), select(now > 0.0, f, f_low * select(side * now > 0.0, 0.5, 1.0))
    high, f_high = select(now > 0.0, high, last), select(now > 0.0, f_high * select(side * now > 0.0, 0.5, 1.0), f)
    share = np.minimum(np.maximum(f_low / np.maximum(f_low - f_high, 1e-12), 0.0), 1.0)
    last = select(f_high >= 0.0, most, select(f_low <= 0.0, 0.0 * most, low + share * (high - low)))
    return low, f_low, high, f_high, now, last


def begin(
    node: Any, rows: Any, kind: Any, z: Any, s1: Any, s2: Any, h: Any, k: Any, q: Any, temp_degC: Any,
    z_sigma: Any, k_sigma: Any, seen: Any, rated: Any, why: Any, room: Any, limit: Any, sign: Any, horizon_s: Any,
) -> Any:  # fmt: skip
    """Return the Task of one cell and the Search before its first turn.

    seen   V: how far the voltage that the cell shows may be from what the model says, see `unlike`
    sign   +1 charge, −1 discharge; limit  voltage not to be passed
    rated  largest magnitude of current, and `why`; room  the same for its mean over the horizon
    """
    ocv, m, r0, r1, r2, _near, _far, _sigma, _local, per_tau1, per_tau2, per_exchange, _gamma = look_up(
        node, rows, kind, z, temp_degC
    )
    most = np.minimum(rated, BENT * room)
    c = Task(
        z, s1, s2, h, k, temp_degC, z_sigma, k_sigma, seen, rated, why, room, limit,
        ocv + m * h + k * (r1 * s1 + r2 * s2), k * r0, per_exchange, horizon_s / (3600.0 * q), most,
        *ramp_weights(per_tau1, horizon_s), *ramp_weights(per_tau2, horizon_s),
        *ramp_weights(per_tau1, 0.5 * horizon_s), *ramp_weights(per_tau2, 0.5 * horizon_s),
    )  # fmt: skip
    top = sign * most
    voltage, rest, _z, _t1, _t2, _h = voltage_at_end(
        node, rows, kind, z, s1, s2, h, k, c.per_A, temp_degC, top, top, c.a1, c.f1, c.l1, c.a2, c.f2, c.l2
    )
    none, left = 0.0 * most, sign * (limit - c.still)
    return c, Search(
        none, left, most + 0.0, sign * (limit - voltage), none, top + 0.0, top + 0.0, most + 0.0,
        voltage, voltage - rest, none, none, none, voltage, voltage - rest,
    )  # fmt: skip


def rough(node: Any, rows: Any, kind: Any, c: Any, s: Any, sign: Any) -> Any:
    """Return the Search after one turn with the current straight over the whole horizon."""
    margin = doubted(s.drop, s.voltage, s.fixed2, s.per_drop)
    f = sign * (c.limit - s.voltage) - margin
    low, f_low, high, f_high, side, last = narrowed(s.low, s.f_low, s.high, s.f_high, s.side, s.last, f, c.most)
    first = first_current(sign * last * np.maximum(s.voltage, 0.1), c.still, c.r0, c.per_exchange)
    voltage, rest, _z, _t1, _t2, _h = voltage_at_end(
        node, rows, kind, c.z, c.s1, c.s2, c.h, c.k, c.per_A, c.temp_degC, first, sign * last, c.a1, c.f1, c.l1,
        c.a2, c.f2, c.l2,
    )  # fmt: skip
    return Search(
        low, f_low, high, f_high, side, first, 0.5 * (first + sign * last), last, voltage, voltage - rest, margin,
        s.fixed2, s.per_drop, s.top_voltage, s.top_drop,
    )  # fmt: skip


def careful(node: Any, rows: Any, kind: Any, c: Any, s: Any, sign: Any, horizon_s: Any, doubt: Any) -> Any:
    """Return the Search as it begins anew with the margin that doubt is worth where it has come to."""
    fixed2, per_drop = doubts(
        node, rows, kind, c.z, c.s1, c.s2, c.h, c.k, c.temp_degC, c.z_sigma, c.k_sigma, c.seen, c.per_A, s.first,
        sign * s.last, s.voltage, s.drop, c.a1, c.f1, c.l1, c.a2, c.f2, c.l2, sign, horizon_s, doubt,
    )  # fmt: skip
    f_low = sign * (c.limit - c.still) - np.sqrt(fixed2)
    f_high = sign * (c.limit - s.top_voltage) - doubted(s.top_drop, s.top_voltage, fixed2, per_drop)
    none = 0.0 * c.most
    return Search(
        none, f_low, c.most + 0.0, f_high, none, s.first, s.mid, s.last, s.voltage, s.drop, s.margin,
        fixed2, per_drop, s.top_voltage, s.top_drop,
    )  # fmt: skip


def fine(node: Any, rows: Any, kind: Any, c: Any, s: Any, sign: Any) -> Any:
    """Return the Search after one turn in two straight halves: on the way to empty the current bends."""
    margin = doubted(s.drop, s.voltage, s.fixed2, s.per_drop)
    f = sign * (c.limit - s.voltage) - margin
    low, f_low, high, f_high, side, last = narrowed(s.low, s.f_low, s.high, s.f_high, s.side, s.last, f, c.most)
    watts = sign * last * np.maximum(s.voltage, 0.1)
    first = first_current(watts, c.still, c.r0, c.per_exchange)
    half, _rest, z, t1, t2, h = voltage_at_end(
        node, rows, kind, c.z, c.s1, c.s2, c.h, c.k, 0.5 * c.per_A, c.temp_degC, first, s.mid, c.b1, c.g1, c.m1,
        c.b2, c.g2, c.m2,
    )  # fmt: skip
    mid = sign * np.minimum(np.maximum(sign * watts / np.maximum(half, 0.1), 0.0), 2.0 * c.most)
    voltage, rest, _z, _t1, _t2, _h = voltage_at_end(
        node, rows, kind, z, t1, t2, h, c.k, 0.5 * c.per_A, c.temp_degC, mid, sign * last, c.b1, c.g1, c.m1,
        c.b2, c.g2, c.m2,
    )  # fmt: skip
    return Search(
        low, f_low, high, f_high, side, first, mid, last, voltage, voltage - rest, margin,
        s.fixed2, s.per_drop, s.top_voltage, s.top_drop,
    )  # fmt: skip


def held(c: Any, s: Any, sign: Any) -> Any:
    """Power (magnitude) that can be held, largest current on the way, and what binds (index into REASONS)."""
    watts = s.last * np.maximum(s.voltage, 0.0)
    begin = np.abs(first_current(sign * watts, c.still, c.r0, c.per_exchange))
    by_room = c.room / np.maximum(0.25 * (begin + 2.0 * np.abs(s.mid) + s.last), 1e-9)
    share, at_once = bounded(begin, s.last, c.rated, sign * (c.limit - c.still) - s.margin, c.r0, c.per_exchange)
    by_voltage = select(np.minimum(s.last, at_once) < 0.999 * c.most, c.most, 0.0) * select(share <= by_room, 1.0, 0.0)
    share, why = np.minimum(share, by_room), select(BENT * c.room <= c.rated, SOC, c.why)
    return share * watts, share * np.maximum(begin, s.last), select(by_voltage > 0.0, VOLTAGE, why)


def doubts(
    node: Any, rows: Any, kind: Any, z: Any, s1: Any, s2: Any, h: Any, k: Any, temp_degC: Any, z_sigma: Any,
    k_sigma: Any, seen: Any, per_A: Any, first: Any, last: Any, voltage: Any, drop: Any, a1: Any, f1: Any, l1: Any,
    a2: Any, f2: Any, l2: Any, sign: Any, horizon_s: Any, doubt: Any,
) -> Any:  # fmt: skip
    """Variance of the voltage at the end, each error alone: what stands (SOC), and per volt of drop (ohms, cold).

    At constant power a lower voltage asks for more current, which lowers it further: see `doubted`.
    """
    soft, _rest, _z, _t1, _t2, _h = voltage_at_end(
        node, rows, kind, z + sign * doubt * z_sigma, s1, s2, h, k, per_A, temp_degC, first, last, a1, f1, l1, a2, f2,
        l2,
    )  # fmt: skip
    colder = temp_degC - doubt * TEMP_SIGMA_K
    _o, _m, _r0, _r1, _r2, _near, _far, _sigma, _local, cold_tau1, cold_tau2, _x, _gamma = look_up(
        node, rows, kind, z, colder
    )
    c1, d1, e1 = ramp_weights(cold_tau1, horizon_s)
    c2, d2, e2 = ramp_weights(cold_tau2, horizon_s)
    cold, _rest, _z, _t1, _t2, _h = voltage_at_end(
        node, rows, kind, z, s1, s2, h, k, per_A, colder, first, last, c1, d1, e1, c2, d2, e2
    )
    stiff = doubt * k_sigma * drop / np.maximum(k, 0.1)
    other, other_m, _r0, _r1, _r2, _near, _far, _sigma, _local, _p1, _p2, _x, _gamma = look_up(
        node, rows, kind, z + sign * doubt * z_sigma, temp_degC
    )
    ocv, m, _r0, _r1, _r2, _near, _far, _sigma, _local, _p1, _p2, _x, _gamma = look_up(node, rows, kind, z, temp_degC)
    apart = other + other_m * h - ocv - m * h  # what the cell would show by now
    apart = apart - np.minimum(np.maximum(apart, -seen), seen)
    fixed2 = (voltage - soft + apart) * (voltage - soft + apart)
    return fixed2, ((voltage - cold) * (voltage - cold) + stiff * stiff) / np.maximum(np.abs(drop), 1e-6)


def unlike(shown: Any, model: Any, sign: Any, sigma: Any, strain: Any, doubt: Any) -> Any:
    """How far the voltage of a cell may be from the model's by doubt, V, and how much further towards its limit it is.

    shown   V that it showed where the model says `model`; 0 = not at that moment; NaN = it has not been heard: no bound
    strain  of the filter, by which a model that misses more than its file says is believed less
    """
    usual = doubt * np.sqrt(sigma * sigma + SENSOR * SENSOR) * np.sqrt(np.maximum(1.0, strain))
    heard = shown == shown
    return select(heard, usual, UNHEARD_V), select(shown > 0.0, np.maximum(sign * (shown - model) - usual, 0.0), 0.0)


def bounded(begin: Any, last: Any, rated: Any, left: Any, r0: Any, per_exchange: Any) -> Any:
    """What share of a power the largest current and the voltage at once leave; the current that the latter allows.

    left  volts to the limit at once: a cell that comes out of a heavy load may be lower now than at the end
    """
    at_once = np.maximum(left, 0.0) / np.maximum(r0 * falling(begin * per_exchange), 1e-9)
    top = np.maximum(np.maximum(begin, last), 1e-9)
    return np.minimum(np.minimum(1.0, rated / top), at_once / np.maximum(begin, 1e-9)), at_once


def on_map(bounds: Any, row: Any, pieces: int, temp_degC: Any) -> Any:
    """Return the charge current that the cell's map of so many pieces allows, A."""
    mapped = bounds[row + MAP_A]
    for piece in range(pieces):
        at = row + (MAP + MAP_PIECE * piece)
        mapped = mapped + bounds[at + 2] * np.minimum(np.maximum((temp_degC - bounds[at]) * bounds[at + 1], 0.0), 1.0)
    return mapped


def most_current(
    bounds: Any, row: Any, mapped: Any, z: Any, k: Any, q: Any, temp_degC: Any, core_degC: Any, z_sigma: Any,
    k_sigma: Any, heat_A2: Any, ohm: Any, sign: Any, doubt: Any,
) -> Any:  # fmt: skip
    """Largest magnitude of current before voltage is asked, what bounds it, and the bound of its mean by SOC.

    bounds   flat, rows of columns as above; row  where the row of this cell begins; mapped  `on_map`
    heat_A2  A²: slow mean of the current squared until now (thermal image); ohm  whole resistance of the cell
    """
    rated = np.minimum(
        bounds[row + PULSE_A],
        np.sqrt(
            np.maximum(bounds[row + HOLD_A] * bounds[row + HOLD_A] - heat_A2 * bounds[row + HEAT_LEFT], 0.0)
            * bounds[row + HEAT_GAIN]
        ),
    )
    warm = np.minimum(np.maximum((bounds[row + HOT_DEGC] - temp_degC) * bounds[row + PER_HOT], 0.0), 1.0)
    cool = np.minimum(np.maximum((temp_degC - bounds[row + COLD_DEGC]) * bounds[row + PER_COLD], 0.0), 1.0)
    rise = np.maximum(bounds[row + HOT_DEGC] - np.maximum(core_degC, temp_degC) - doubt * TEMP_SIGMA_K, 0.0)
    warming = np.sqrt(rise / (bounds[row + IMPEDANCE] * ohm * (k + doubt * k_sigma)))
    fade = np.minimum(np.minimum(bounds[row + MOST_A] * np.minimum(warm, cool), mapped), warming)
    ahead = select(sign > 0.0, 1.0 - z, z)
    room = np.maximum(ahead - doubt * z_sigma, bounds[row + LEAST_ROOM]) * q * bounds[row + PER_HOUR]
    return np.minimum(rated, fade), select(fade < rated, TEMPERATURE, CURRENT), room


def stiffer(node: Any, rows: Any, kind: Any, z: Any, k: Any, k_sigma: Any, temp_degC: Any) -> Any:
    """What one sigma of resistance is worth, on its scale: that of the scale itself, and that of the temperature."""
    _o, _m, r0, r1, r2, _near, _far, _sigma, _local, _p1, _p2, _x, _g = look_up(node, rows, kind, z, temp_degC)
    _o, _m, c0, c1, c2, _near, _far, _sigma, _local, _p1, _p2, _x, _g = look_up(
        node, rows, kind, z, temp_degC - TEMP_SIGMA_K
    )
    colder = k * ((c0 + c1 + c2) / np.maximum(r0 + r1 + r2, 1e-9) - 1.0)
    return np.sqrt(k_sigma * k_sigma + colder * colder)


def walk(
    node: Any, rows: Any, kind: Any, z: Any, k: Any, k_sigma: Any, q: Any, temp_degC: Any, load: Any, floor: Any
) -> Any:  # fmt: skip
    """Wh and Ah that come out of one cell at `load` (A, magnitude) before its voltage passes `floor`.

    And how much less Wh, in per cent, if voltage is one sigma less: by the scale of resistance, by temperature, and by
    what the model misses (equations.missed): the file's sigma, and SHARE of what the current drops. And if charge stays
    in the cold: measured cells end with 5 (10 degC) to 12 % (0 degC) left at C/20, where they end with none at 25 degC.
    """
    left = np.maximum(z, 0.0)
    stays = COLD_PER_K * np.maximum(WARM_DEGC - temp_degC, 0.0)
    more = stiffer(node, rows, kind, 0.5 * left, k, k_sigma, temp_degC)
    alive, amount, volts = 1.0 + 0.0 * left, 0.0 * left, 0.0 * left
    stiff_alive, stiff_volts = 1.0 + 0.0 * left, 0.0 * left
    for step in range(STEPS):
        at = left * (1.0 - (step + 0.5) / STEPS)
        ocv, m, r0, r1, r2, _near, _far, sigma, _local, _p1, _p2, per_exchange, _gamma = look_up(
            node, rows, kind, at, temp_degC
        )
        drop = load * (r0 * falling(load * per_exchange) + r1 + r2)
        voltage = ocv - m - k * drop
        share = k * SHARE * (1.0 + NEAR_EMPTY * np.maximum(1.0 - at / EMPTY, 0.0))
        stiff = voltage - np.sqrt(sigma * sigma + (more * more + share * share) * drop * drop)
        alive = alive * select(voltage >= floor, 1.0, 0.0)
        amount = amount + alive
        volts = volts + alive * voltage
        stiff_alive = stiff_alive * select(stiff >= floor, 1.0, 0.0)
        stiff_volts = stiff_volts + stiff_alive * stiff
    lost, stays = 1.0 - stiff_volts / np.maximum(volts, 1e-9), stays * STEPS / np.maximum(left * amount, 1e-9)
    less = 100.0 * np.minimum(np.sqrt(lost * lost + stays * stays), 1.0) * select(volts > 0.0, 1.0, 0.0)
    return left * q / STEPS * volts, left * q / STEPS * amount, less


def fill(
    node: Any, rows: Any, kind: Any, z: Any, k: Any, k_sigma: Any, q: Any, temp_degC: Any, load: Any, ceiling: Any,
    tail: Any,
) -> Any:  # fmt: skip
    """Until one cell is full at `load` (A): the time, as Ah at that current; 0; per cent more by one sigma of ohms.

    Where its voltage would pass `ceiling` the current falls, as chargers let it, until `tail` (A) is left.
    """
    left = np.maximum(1.0 - z, 0.0)
    more = stiffer(node, rows, kind, 1.0 - 0.5 * left, k, k_sigma, temp_degC)
    least = np.minimum(load, tail)
    alive, amount, stiff_alive, stiff_amount = 1.0 + 0.0 * left, 0.0 * left, 1.0 + 0.0 * left, 0.0 * left
    for step in range(STEPS):  # shorter towards the end, where the current is small
        before, behind = 1.0 - step / STEPS, 1.0 - (step + 1.0) / STEPS
        width, at = left * (before * before - behind * behind), 1.0 - 0.5 * left * (before * before + behind * behind)
        ocv, m, r0, r1, r2, _near, _far, _sigma, _local, _p1, _p2, per_exchange, _gamma = look_up(
            node, rows, kind, at, temp_degC
        )
        room = np.maximum(ceiling - ocv - m, 0.0)
        now, stiff = load, load
        for _ in range(FILL_ROUNDS):  # r0 is larger at a smaller current
            now = np.minimum(load, room / (k * (r0 * falling(now * per_exchange) + r1 + r2) + 1e-9))
            stiff = np.minimum(load, room / ((k + more) * (r0 * falling(stiff * per_exchange) + r1 + r2) + 1e-9))
        alive = alive * select(now >= least, 1.0, 0.0)
        amount = amount + alive * width * load / np.maximum(now, least)
        stiff_alive = stiff_alive * select(stiff >= least, 1.0, 0.0)
        stiff_amount = stiff_amount + stiff_alive * width * load / np.maximum(stiff, least)
    apart = np.abs(stiff_amount - amount)  # a stiffer cell reaches its tail later, or with less in it
    return 0.0 * left, q * amount, 100.0 * np.minimum(apart / np.maximum(amount, 1e-9), 1.0)
