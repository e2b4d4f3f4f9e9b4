"""SOP over a long horizon, written once as power_equations.py is: how much energy is there before the limit?

Over half an hour current bends, most of all where the curve falls off near empty, and the voltage at the end answers to
power like a cliff. Charge is the better axis: at constant power the cell is marched along SOC in a few pieces that grow
shorter to the end, where the limit is passed is read between two of them, and the energy until there, over the horizon,
is a power again. It falls as the power tried rises; both meet at the promise, between them, by a bracketed secant.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from cellarer.core.estimate.equations import decay, falling
from cellarer.core.estimate.power_equations import (
    LIMIT_V,
    SOC,
    TEMP_SIGMA_K,
    VOLTAGE,
    bounded,
    doubted,
    first_current,
    hold,
    most_current,
    ramp_weights,
    unlike,
)  # fmt: skip

LONG_S = 60.0  # s: from this horizon on
MARCHES = 5
ROUGH_MARCHES = 2  # of them before the margin for doubt is known
PIECES = (0.3, 0.25, 0.2, 0.13, 0.08, 0.04)  # of the charge looked at
FRESH = (0, 2)  # marches that no earlier one may be compared with
AHEAD = (1.5, 1.2, 1.12, 1.04, 1.04, 1.04)  # how far the next march looks beyond the charge that its power will move
STEEP = 0.1  # least share of the OCV that is left at the terminals of a cell that cannot give its power

look_up: Callable[..., Any] = NotImplemented
select: Callable[..., Any] = np.where


def march(
    node: Any, rows: Any, kind: Any, z: Any, s1: Any, s2: Any, h: Any, k: Any, q: Any, temp_degC: Any,
    power: Any, begin: Any, volts: Any, rest: Any, span: Any, limit: Any, sign: Any, per_drop: Any,
) -> Any:  # fmt: skip
    """Move `span` of SOC at constant power (magnitude); until the limit is passed (or the end of the span):

    energy in V (times Q is Wh), SOC moved, voltage there, drop there, largest magnitude of current, 1 if it was passed.
    begin, volts  current (magnitude) and voltage at once; rest  the latter without current and polarisation
    per_drop      variance of the voltage per volt of drop
    """
    i, before = begin + 0.0, volts + 0.0
    f_before = np.maximum(sign * (limit - before) - doubted(before - rest, before, 0.0 * span, per_drop), 0.0)
    energy, moved, passed = 0.0 * span, 0.0 * span, 0.0 * span
    at, drop, most = volts + 0.0, 0.0 * span, begin + 0.0
    for piece in PIECES:
        dz = span * piece
        z = z + sign * dz
        ocv, m, r0, r1, r2, _near, _far, _sigma, _local, per_tau1, per_tau2, per_exchange, gamma = look_up(
            node, rows, kind, z, temp_degC
        )
        seconds = np.maximum(3600.0 * q * dz / np.maximum(i, 1e-9), 1e-3)
        a1, f1, l1 = ramp_weights(per_tau1, seconds)
        a2, f2, l2 = ramp_weights(per_tau2, seconds)
        ah = decay(gamma * dz)
        h = ah * h + sign * (1.0 - ah)
        r0 = r0 * falling(i * per_exchange)
        ohm = k * (r0 + r1 * l1 + r2 * l2)
        rest = ocv + m * h
        fixed = rest + k * (r1 * (a1 * s1 + sign * f1 * i) + r2 * (a2 * s2 + sign * f2 * i))
        voltage = fixed + sign * ohm * i
        step = (power - i * voltage) / np.maximum(voltage + sign * ohm * i, STEEP * rest)
        now = np.minimum(np.maximum(i + step, 0.3 * i), 3.0 * i)
        voltage = fixed + sign * ohm * now
        s1 = a1 * s1 + sign * (f1 * i + l1 * now)
        s2 = a2 * s2 + sign * (f2 * i + l2 * now)
        f = sign * (limit - voltage) - doubted(voltage - rest, voltage, 0.0 * span, per_drop)
        open_ = 1.0 - passed
        share = select(f >= 0.0, 1.0, np.minimum(np.maximum(f_before / np.maximum(f_before - f, 1e-12), 0.0), 1.0))
        there = before + share * (voltage - before)
        energy = energy + open_ * share * dz * 0.5 * (before + there)
        moved = moved + open_ * share * dz
        at, drop = select(passed > 0.0, at, there), select(passed > 0.0, drop, voltage - rest)
        most = select(passed > 0.0, most, np.maximum(most, i + share * (now - i)))
        passed = np.maximum(passed, select(f >= 0.0, 0.0, 1.0))
        i, before, f_before = now, voltage, np.maximum(f, 0.0)
    return energy, moved, at, drop, most, passed


def hold_long(
    node: Any, rows: Any, kind: Any, z: Any, s1: Any, s2: Any, h: Any, k: Any, q: Any, temp_degC: Any,
    z_sigma: Any, k_sigma: Any, rated: Any, why: Any, room: Any, limit: Any, sign: Any, horizon_s: Any, doubt: Any,
) -> Any:  # fmt: skip
    """The same as power_equations.hold for horizons from LONG_S on."""
    hours = horizon_s / 3600.0
    z = np.minimum(np.maximum(z + sign * doubt * z_sigma, 0.0), 1.0)
    ocv, m, r0, r1, r2, _near, _far, _sigma, _local, _p1, _p2, per_exchange, _gamma = look_up(
        node, rows, kind, z, temp_degC
    )
    rest = ocv + m * h
    still = rest + k * (r1 * s1 + r2 * s2)
    r0 = k * r0
    most = np.minimum(rated, room)
    whole = np.minimum(most * hours / q, select(sign > 0.0, 1.0 - z, z))
    span, per_drop, at = whole + 0.0, 0.0 * whole, 0.0 * whole
    low, high = 0.0 * whole, most * np.maximum(still, limit) * 1.2
    watts = high / 1.2
    tried, missed = 0.0 * whole, 0.0 * whole
    for turn in range(MARCHES):
        begin = np.abs(first_current(sign * watts, still, r0, per_exchange))
        volts = still + sign * begin * r0 * falling(begin * per_exchange)
        energy, moved, at, drop, top, passed = march(
            node, rows, kind, z, s1, s2, h, k, q, temp_degC, watts, begin, volts, rest, span, limit, sign, per_drop
        )
        found = energy * q / hours
        seen = np.maximum(passed, select(span >= whole, 1.0, 0.0))  # else there was more than was looked at
        miss = found - watts
        low = np.maximum(low, np.minimum(watts, found))
        high = select(seen > 0.0, np.minimum(high, np.maximum(watts, found)), high)
        straight = watts - miss * (watts - tried) / select(np.abs(miss - missed) > 1e-9, miss - missed, 1e-9)
        guess = select(seen > 0.0, straight, found) if turn not in FRESH else 0.5 * (watts + found)
        tried, missed = watts, miss
        if turn == ROUGH_MARCHES - 1:
            per_drop = variance_per_drop(
                node, rows, kind, z + sign * moved, k, temp_degC, k_sigma, drop, at, sign * top, horizon_s, doubt
            )
            low = 0.0 * whole
        watts = np.minimum(np.maximum(guess, low), high)
        span = np.minimum(whole, AHEAD[turn] * watts * hours / (q * np.maximum(energy / np.maximum(moved, 1e-9), 0.1)))
    begin = np.abs(first_current(sign * watts, still, r0, per_exchange))
    top = np.maximum(begin, np.maximum(top, watts / np.maximum(at, 0.1)))
    volts = still + sign * begin * r0 * falling(begin * per_exchange)
    left = sign * (limit - still) - doubted(volts - rest, volts, 0.0 * whole, per_drop)
    share, _at_once = bounded(begin, top, rated, left, r0, per_exchange)
    why = select(room <= rated, SOC, why)
    return share * watts, share * top, select(passed * select(rated >= 0.999 * top, 1.0, 0.0) > 0.0, VOLTAGE, why)


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


def promise(
    node: Any, rows: Any, kind: Any, bounds: Any, row: Any, pieces: int,
    z: Any, s1: Any, s2: Any, h: Any, k: Any, q: Any, temp_degC: Any, core_degC: Any, z_sigma: Any, k_sigma: Any,
    shown: Any, flow: Any, strain: Any, heat_A2: Any, sign: Any, horizon_s: Any, doubt: Any,
) -> Any:  # fmt: skip
    """Power (magnitude) of one cell that can be held, largest current on the way, and what binds (REASONS).

    shown, strain  as `unlike` takes them; flow  current at that moment, A, + charges
    """
    ocv, m, r0, r1, r2, _near, _far, sigma, _local, _p1, _p2, per_exchange, _g = look_up(node, rows, kind, z, temp_degC)
    model = ocv + m * h + k * (r0 * flow * falling(flow * per_exchange) + r1 * s1 + r2 * s2)
    rated, why, room = most_current(
        bounds, row, pieces, z, k, q, temp_degC, core_degC, z_sigma, k_sigma, heat_A2, r0 + r1 + r2, sign, doubt
    )
    seen, nearer = unlike(shown, model, sign, sigma, strain, doubt)
    limit = bounds[row + LIMIT_V] - sign * nearer
    if horizon_s >= LONG_S:
        return hold_long(
            node, rows, kind, z, s1, s2, h, k, q, temp_degC, z_sigma, k_sigma, rated, why, room, limit, sign, horizon_s,
            doubt,
        )  # fmt: skip
    return hold(
        node, rows, kind, z, s1, s2, h, k, q, temp_degC, z_sigma, k_sigma, seen, rated, why, room, limit, sign,
        horizon_s, doubt,
    )  # fmt: skip
