"""SOP of one cell and one direction, written once: NumPy runs it on arrays, numba compiles it cell by cell.

At constant power the current changes as the voltage does. Between its first and its last value it is taken as straight,
for which the polarisation has an exact answer; the unknown is the last current. The voltage at the end falls
monotonically and nearly straight with it, so that a secant inside a bracket ends in a few rounds (the idea: G. Plett,
J. Power Sources 134 (2004) 252, there for constant current). Doubt enters as a margin at the limit: the volts that
`doubt` sigmas of SOC, of resistance and of temperature are worth, as independent errors, at constant power.
`look_up` and `select` are bound by the caller: arrays here, scalars in the kernel.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from cellarer.core.estimate.equations import decay, falling

TEMP_SIGMA_K = 1.5  # of a cell's temperature as sensors tell it
ROUNDS = 4

look_up: Callable[..., Any] = NotImplemented
select: Callable[..., Any] = np.where


def voltage_at_end(
    node: Any, rows: Any, kind: Any, z: Any, s1: Any, s2: Any, h: Any, k: Any, q: Any, temp_degC: Any,
    first: Any, last: Any, horizon_s: Any,
) -> Any:  # fmt: skip
    """Voltage after horizon_s when the current runs straight from `first` to `last`, and the OCV there."""
    moved = 0.5 * (first + last) * horizon_s / (3600.0 * q)
    ocv, m, r0, r1, r2, _near, _far, _sigma, _local, per_tau1, per_tau2, per_exchange, gamma = look_up(
        node, rows, kind, z + moved, temp_degC
    )
    ramp = (last - first) / horizon_s
    a1 = decay(horizon_s * per_tau1)
    a2 = decay(horizon_s * per_tau2)
    pol = r0 * last * falling(last * per_exchange)
    pol = pol + r1 * (a1 * s1 + (1.0 - a1) * first + ramp * (horizon_s - (1.0 - a1) / per_tau1))
    pol = pol + r2 * (a2 * s2 + (1.0 - a2) * first + ramp * (horizon_s - (1.0 - a2) / per_tau2))
    ah = decay(gamma * np.abs(moved))
    still = ocv + m * (ah * h + (1.0 - ah) * np.sign(moved))
    return still + k * pol, still


def first_current(power: Any, still: Any, r0: Any, per_exchange: Any) -> Any:
    """Current right after constant power sets in; where the cell cannot give it, what it gives most power with."""
    i = power / np.maximum(still, 0.1)
    for _ in range(2):
        r = np.maximum(r0 * falling(i * per_exchange), 1e-9)
        i = (np.sqrt(np.maximum(still * still + 4.0 * r * power, 0.0)) - still) / (2.0 * r)
    return i


def hold(
    node: Any, rows: Any, kind: Any, z: Any, s1: Any, s2: Any, h: Any, k: Any, q: Any, temp_degC: Any,
    z_sigma: Any, k_sigma: Any, most: Any, limit: Any, sign: Any, horizon_s: Any, doubt: Any,
) -> Any:  # fmt: skip
    """Power (magnitude) that can be held, largest current on the way, and 1 where voltage is what binds.

    sign  +1 charge, −1 discharge; most  largest magnitude of current; limit  voltage not to be passed at the end
    """
    ocv, m, r0, r1, r2, _near, _far, _sigma, _local, _p1, _p2, per_exchange, _gamma = look_up(
        node, rows, kind, z, temp_degC
    )
    still = ocv + m * h + k * (r1 * s1 + r2 * s2)
    r0 = k * r0
    low, f_low = 0.0 * most, sign * (limit - still)
    high = most + 0.0
    first = sign * high
    voltage, rest = voltage_at_end(node, rows, kind, z, s1, s2, h, k, q, temp_degC, first, first, horizon_s)
    f_high = sign * (limit - voltage)
    last, margin = high, 0.0 * most
    for phase in range(2):
        for _ in range(ROUNDS):
            f = sign * (limit - voltage) - margin
            fits = f >= 0.0
            low, f_low = select(fits, last, low), select(fits, f, f_low)
            high, f_high = select(fits, high, last), select(fits, f_high, f)
            share = np.minimum(np.maximum(f_low / np.maximum(f_low - f_high, 1e-12), 0.0), 1.0)
            last = select(f_high >= 0.0, most, select(f_low <= 0.0, 0.0 * most, low + share * (high - low)))
            first = first_current(sign * last * np.maximum(voltage, 0.1), still, r0, per_exchange)
            voltage, rest = voltage_at_end(
                node, rows, kind, z, s1, s2, h, k, q, temp_degC, first, sign * last, horizon_s
            )
        if phase == 0:
            # each error alone; at constant power a lower voltage asks for more current, which lowers it further
            soft, _ = voltage_at_end(
                node, rows, kind, z + sign * doubt * z_sigma, s1, s2, h, k, q, temp_degC, first, sign * last, horizon_s
            )
            cold, _ = voltage_at_end(
                node, rows, kind, z, s1, s2, h, k, q, temp_degC - doubt * TEMP_SIGMA_K, first, sign * last, horizon_s
            )
            drop = voltage - rest
            stiff = doubt * k_sigma * drop / np.maximum(k, 0.1)
            sum2 = (voltage - soft) * (voltage - soft) + (voltage - cold) * (voltage - cold) + stiff * stiff
            margin = np.sqrt(sum2) / np.maximum(1.0 - np.abs(drop) / np.maximum(voltage, 0.1), 0.4)
            low, f_low, high, f_high = 0.0 * most, sign * (limit - still) - margin, most + 0.0, f_high - margin
    watts = last * np.maximum(voltage, 0.0)
    begin = np.abs(first_current(sign * watts, still, r0, per_exchange))
    top = np.maximum(begin, last)
    share = np.minimum(1.0, most / np.maximum(top, 1e-9))
    bound = select(last < 0.999 * most, 1.0, 0.0)
    return share * watts, share * top, bound
