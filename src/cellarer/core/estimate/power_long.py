"""SOP over a long horizon, written once as power_equations.py is: how much energy is there before the limit?

Over half an hour current bends, most of all where the curve falls off near empty, and the voltage at the end answers to
power like a cliff. Charge is the better axis: at constant power the cell is marched along SOC in a few pieces that grow
shorter to the end, where the limit is passed is read between two of them, and the energy until there, over the horizon,
is a power again. It falls as the power tried rises; both meet at the promise, between them, by a bracketed secant.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from cellarer.core.estimate.equations import decay, falling
from cellarer.core.estimate.power_equations import (
    LIMIT_V,
    ROUGH,
    ROUNDS,
    SOC,
    TEMP_SIGMA_K,
    VOLTAGE,
    begin,
    bounded,
    careful,
    doubted,
    fine,
    first_current,
    held,
    most_current,
    on_map,
    ramp_weights,
    rough,
    unlike,
)  # fmt: skip

LONG_S = 60.0  # s: from this horizon on
PIECES = (0.3, 0.25, 0.2, 0.13, 0.08, 0.04)  # of the charge looked at
# Of each march: how far the next one looks beyond the charge that its power will move; 1 where no earlier march may be
# compared with it; 1 where the margin for doubt is known from now on
TURNS = ((1.5, 1.0, 0.0), (1.2, 0.0, 1.0), (1.12, 1.0, 0.0), (1.04, 0.0, 0.0), (1.04, 0.0, 0.0))
STEEP = 0.1  # least share of the OCV that is left at the terminals of a cell that cannot give its power

PARTS = (
    "steady_drop", "variance_per_drop", "begin_long", "depart", "march", "arrive", "held_long", "posed", "promise",
)  # fmt: skip
look_up: Callable[..., Any] = NotImplemented
select: Callable[..., Any] = np.where


class LongTask(NamedTuple):
    """What one search is about: as of `power_equations.begin`; z is so far off as doubt of it is worth.

    rest, still  voltage without current, and without polarisation as well; r0  times k
    most, whole  largest current, A, and SOC that it moves over the horizon
    """

    z: Any
    s1: Any
    s2: Any
    h: Any
    k: Any
    q: Any
    temp_degC: Any
    k_sigma: Any
    rated: Any
    why: Any
    room: Any
    limit: Any
    rest: Any
    still: Any
    r0: Any
    per_exchange: Any
    whole: Any


class LongSearch(NamedTuple):
    """Where a search is: the bracket of the power, what the next march tries, what the last ones tried and found."""

    low: Any
    high: Any
    watts: Any
    span: Any
    tried: Any
    missed: Any
    per_drop: Any  # variance of the voltage per volt of drop
    at: Any  # of the last march, as of March
    top: Any
    passed: Any


class March(NamedTuple):
    """Where a march is; until the limit is passed (or the end of the span): what it found."""

    z: Any
    s1: Any
    s2: Any
    h: Any
    i: Any  # current now, magnitude; voltage, and what is left of it to the limit
    before: Any
    f_before: Any
    energy: Any  # V: times Q is Wh
    moved: Any  # of SOC
    at: Any  # V there, and how much of it the current makes
    drop: Any
    most: Any  # A: largest magnitude
    passed: Any  # 1 if it was


def begin_long(
    node: Any, rows: Any, kind: Any, z: Any, s1: Any, s2: Any, h: Any, k: Any, q: Any, temp_degC: Any,
    z_sigma: Any, k_sigma: Any, rated: Any, why: Any, room: Any, limit: Any, sign: Any, horizon_s: Any, doubt: Any,
) -> Any:  # fmt: skip
    """The same as power_equations.begin for horizons from LONG_S on."""
    z = np.minimum(np.maximum(z + sign * doubt * z_sigma, 0.0), 1.0)
    ocv, m, r0, r1, r2, _near, _far, _sigma, _local, _p1, _p2, per_exchange, _gamma = look_up(
        node, rows, kind, z, temp_degC
    )
    rest = ocv + m * h
    still, most = rest + k * (r1 * s1 + r2 * s2), np.minimum(rated, room)
    whole = np.minimum(most * (horizon_s / 3600.0) / q, select(sign > 0.0, 1.0 - z, z))
    none, high = 0.0 * whole, most * np.maximum(still, limit) * 1.2
    return (
        LongTask(
            z,
            s1,
            s2,
            h,
            k,
            q,
            temp_degC,
            k_sigma,
            rated,
            why,
            room,
            limit,
            rest,
            still,
            k * r0,
            per_exchange,
            whole,
        ),
        LongSearch(none, high, high / 1.2, whole + 0.0, none, none, none, none, none, none),
    )


def depart(c: Any, s: Any, sign: Any) -> Any:
    """Return the March of this power before its first piece."""
    begin = np.abs(first_current(sign * s.watts, c.still, c.r0, c.per_exchange))
    volts, none = c.still + sign * begin * c.r0 * falling(begin * c.per_exchange), 0.0 * s.span
    left = np.maximum(sign * (c.limit - volts) - doubted(volts - c.rest, volts, none, s.per_drop), 0.0)
    return March(
        c.z, c.s1, c.s2, c.h, begin, volts, left, none, none, volts + 0.0, none, begin + 0.0, none
    )  # fmt: skip


def march(node: Any, rows: Any, kind: Any, c: Any, s: Any, w: Any, piece: Any, sign: Any) -> Any:
    """Return the March `piece` of the span of SOC further, at constant power."""
    k, dz, i = c.k, s.span * piece, w.i
    z = w.z + sign * dz
    ocv, m, r0, r1, r2, _near, _far, _sigma, _local, per_tau1, per_tau2, per_exchange, gamma = look_up(
        node, rows, kind, z, c.temp_degC
    )
    seconds = np.maximum(3600.0 * c.q * dz / np.maximum(i, 1e-9), 1e-3)
    a1, f1, l1 = ramp_weights(per_tau1, seconds)
    a2, f2, l2 = ramp_weights(per_tau2, seconds)
    ah = decay(gamma * dz)
    h = ah * w.h + sign * (1.0 - ah)
    r0 = r0 * falling(i * per_exchange)
    ohm = k * (r0 + r1 * l1 + r2 * l2)
    rest = ocv + m * h
    fixed = rest + k * (r1 * (a1 * w.s1 + sign * f1 * i) + r2 * (a2 * w.s2 + sign * f2 * i))
    voltage = fixed + sign * ohm * i
    step = (s.watts - i * voltage) / np.maximum(voltage + sign * ohm * i, STEEP * rest)
    now = np.minimum(np.maximum(i + step, 0.3 * i), 3.0 * i)
    voltage = fixed + sign * ohm * now
    f = sign * (c.limit - voltage) - doubted(voltage - rest, voltage, 0.0 * s.span, s.per_drop)
    open_ = 1.0 - w.passed
    share = select(f >= 0.0, 1.0, np.minimum(np.maximum(w.f_before / np.maximum(w.f_before - f, 1e-12), 0.0), 1.0))
    there = w.before + share * (voltage - w.before)
    return March(
        z, a1 * w.s1 + sign * (f1 * i + l1 * now), a2 * w.s2 + sign * (f2 * i + l2 * now), h,
        now, voltage, np.maximum(f, 0.0),
        w.energy + open_ * share * dz * 0.5 * (w.before + there), w.moved + open_ * share * dz,
        select(w.passed > 0.0, w.at, there), select(w.passed > 0.0, w.drop, voltage - rest),
        select(w.passed > 0.0, w.most, np.maximum(w.most, i + share * (now - i))),
        np.maximum(w.passed, select(f >= 0.0, 0.0, 1.0)),
    )  # fmt: skip


def arrive(
    node: Any, rows: Any, kind: Any, c: Any, s: Any, w: Any, sign: Any, horizon_s: Any, doubt: Any,
    ahead: Any, fresh: Any, doubts: Any,
) -> Any:  # fmt: skip
    """Return the search after a march; ahead, fresh, doubts  of TURNS."""
    hours = horizon_s / 3600.0
    found = w.energy * c.q / hours
    seen = np.maximum(w.passed, select(s.span >= c.whole, 1.0, 0.0))  # else there was more than was looked at
    miss = found - s.watts
    low = np.maximum(s.low, np.minimum(s.watts, found))
    high = select(seen > 0.0, np.minimum(s.high, np.maximum(s.watts, found)), s.high)
    apart = select(np.abs(miss - s.missed) > 1e-9, miss - s.missed, 1e-9)
    guess = select(seen > 0.0, s.watts - miss * (s.watts - s.tried) / apart, found)
    guess = select(fresh > 0.0, 0.5 * (s.watts + found), guess)
    per_drop = variance_per_drop(
        node, rows, kind, c.z + sign * w.moved, c.k, c.temp_degC, c.k_sigma, w.drop, w.at, sign * w.most, horizon_s,
        doubt,
    )  # fmt: skip
    low, per_drop = select(doubts > 0.0, 0.0 * low, low), select(doubts > 0.0, per_drop, s.per_drop)
    watts = np.minimum(np.maximum(guess, low), high)
    mean_V = np.maximum(w.energy / np.maximum(w.moved, 1e-9), 0.1)
    span = np.minimum(c.whole, ahead * watts * hours / (c.q * mean_V))
    return LongSearch(low, high, watts, span, s.watts, miss, per_drop, w.at, w.most, w.passed)


def held_long(c: Any, s: Any, sign: Any) -> Any:
    """The same as power_equations.held for horizons from LONG_S on."""
    begin = np.abs(first_current(sign * s.watts, c.still, c.r0, c.per_exchange))
    top = np.maximum(begin, np.maximum(s.top, s.watts / np.maximum(s.at, 0.1)))
    volts = c.still + sign * begin * c.r0 * falling(begin * c.per_exchange)
    left = sign * (c.limit - c.still) - doubted(volts - c.rest, volts, 0.0 * top, s.per_drop)
    share, _at_once = bounded(begin, top, c.rated, left, c.r0, c.per_exchange)
    why = select(c.room <= c.rated, SOC, c.why)
    by_voltage = s.passed * select(c.rated >= 0.999 * top, 1.0, 0.0)
    return share * s.watts, share * top, select(by_voltage > 0.0, VOLTAGE, why)


def variance_per_drop(
    node: Any, rows: Any, kind: Any, z: Any, k: Any, temp_degC: Any, k_sigma: Any, drop: Any, at: Any, current: Any,
    horizon_s: Any, doubt: Any,
) -> Any:  # fmt: skip
    """Variance that doubt of resistance and temperature gives the voltage, per volt of drop, where it was `drop`.

    The cold one is taken as steady current after rest: only the difference between both temperatures counts.
    """
    warm = steady_drop(node, rows, kind, z, temp_degC, current, horizon_s)
    cold = steady_drop(node, rows, kind, z, temp_degC - doubt * TEMP_SIGMA_K, current, horizon_s)
    stiff = doubt * k_sigma * drop / np.maximum(k, 0.1)
    colder = k * (cold - warm)
    return (colder * colder + stiff * stiff) / np.maximum(np.abs(drop), 1e-6)


def steady_drop(node: Any, rows: Any, kind: Any, z: Any, temp_degC: Any, current: Any, seconds: Any) -> Any:
    """Voltage at the end of so many seconds of steady current after rest, less a constant."""
    ocv, m, r0, r1, r2, _near, _far, _sigma, _local, per_tau1, per_tau2, per_exchange, _gamma = look_up(
        node, rows, kind, z, temp_degC
    )
    x = r1 * (1.0 - decay(seconds * per_tau1)) + r2 * (1.0 - decay(seconds * per_tau2))
    return ocv + m * np.sign(current) + current * (r0 * falling(np.abs(current) * per_exchange) + x)


def posed(
    node: Any, rows: Any, kind: Any, bounds: Any, row: Any, mapped: Any,
    z: Any, s1: Any, s2: Any, h: Any, k: Any, q: Any, temp_degC: Any, core_degC: Any, z_sigma: Any, k_sigma: Any,
    shown: Any, flow: Any, strain: Any, heat_A2: Any, sign: Any, doubt: Any,
) -> Any:  # fmt: skip
    """Return what a search must keep: seen, rated, why, room and limit as of `begin`.

    shown, strain  as `unlike` takes them; flow  current at that moment, A, + charges
    """
    ocv, m, r0, r1, r2, _near, _far, sigma, _local, _p1, _p2, per_exchange, _g = look_up(node, rows, kind, z, temp_degC)
    model = ocv + m * h + k * (r0 * flow * falling(flow * per_exchange) + r1 * s1 + r2 * s2)
    rated, why, room = most_current(
        bounds, row, mapped, z, k, q, temp_degC, core_degC, z_sigma, k_sigma, heat_A2, r0 + r1 + r2, sign, doubt
    )
    seen, nearer = unlike(shown, model, sign, sigma, strain, doubt)
    return seen, rated, why, room, bounds[row + LIMIT_V] - sign * nearer


def promise(
    node: Any, rows: Any, kind: Any, bounds: Any, row: Any, pieces: int,
    z: Any, s1: Any, s2: Any, h: Any, k: Any, q: Any, temp_degC: Any, core_degC: Any, z_sigma: Any, k_sigma: Any,
    shown: Any, flow: Any, strain: Any, heat_A2: Any, sign: Any, horizon_s: Any, doubt: Any,
) -> Any:  # fmt: skip
    """Power (magnitude) of cells that can be held, largest current on the way, and what binds (REASONS).

    power_kernel goes the same way, each part of it for some cells side by side.
    """
    seen, *bound = posed(
        node, rows, kind, bounds, row, on_map(bounds, row, pieces, temp_degC), z, s1, s2, h, k, q, temp_degC,
        core_degC, z_sigma, k_sigma, shown, flow, strain, heat_A2, sign, doubt,
    )  # fmt: skip
    cell = z, s1, s2, h, k, q, temp_degC, z_sigma, k_sigma
    if horizon_s >= LONG_S:
        c, s = begin_long(node, rows, kind, *cell, *bound, sign, horizon_s, doubt)  # type: ignore[call-arg]
        for turn in TURNS:
            w = depart(c, s, sign)
            for piece in PIECES:
                w = march(node, rows, kind, c, s, w, piece, sign)
            s = arrive(node, rows, kind, c, s, w, sign, horizon_s, doubt, *turn)
        return held_long(c, s, sign)
    c, s = begin(node, rows, kind, *cell, seen, *bound, sign, horizon_s)  # type: ignore[call-arg]
    for _ in range(ROUGH):
        s = rough(node, rows, kind, c, s, sign)
    s = careful(node, rows, kind, c, s, sign, horizon_s, doubt)
    for _ in range(ROUNDS - ROUGH):
        s = fine(node, rows, kind, c, s, sign)
    return held(c, s, sign)
