"""The filter's arithmetic for one cell, written once: NumPy runs it on arrays, numba compiles it into the kernel.

Extended Kalman filter after G. Plett (Battery Management Systems vol. 2, ch. 3), sign flipped (+ charges), with six
states: SOC z, currents through the two polarisations s1 s2, hysteresis h, resistance scale k, current offset b.
  z' = z + dt (c − b)/(3600 Q)      s' = a s + (1 − a)(c − b)      h' = a_h h + (1 − a_h) sign(c − b)
  v = ocv(z) + M h + k (r0 (i − b) + r1 s1 + r2 s2)
What a textbook leaves out and measured data asks for:
- Model error lasts for minutes, so the voltage is trusted once in that time (`lasting`), not at every sample. The first
  sample of a series is a whole look (first.py): a cell at rest tells its SOC at once, not after minutes.
- Part of it never averages out: an OCV table is wrong by millivolts for hours. Voltage may therefore not press the
  sigma of z below FLOOR · sigma / slope; near that floor the gain on z and b fades (`gate`). On a flat LFP curve this
  silences voltage, on a steep one it only keeps sigma honest. The covariance follows Joseph's form for that gain.
- Error grows with the polarisation itself (`SHARE`): in the cold a model of resistance is wrong by per cents.
No branch, no exp, no NaN: unknown voltage has `known` = 0, unknown current comes with `noise`.
"""

from typing import Any

import numpy as np

# Process noise, per second unless said; from measured drive cycles of two cell types, judged on others.
DRIFT_Z = 1e-4 * 1e-4  # 1/s: SOC random walk, 0.6 % per root hour
SCALE_Z = 5e-5  # per unit of SOC that flows: capacity and gain of the sensor are known within about a per cent
DRIFT_K = 5e-4 * 5e-4  # 1/s
SCALE_K = 0.15 * 0.15  # per unit of SOC that flows: a table of resistance errs differently at every SOC
DRIFT_B = 2e-6 * 2e-6  # C²/s: current offset as a share of capacity, 0.01 % of C per root hour … slow
DRIFT_H = 1e-6  # 1/s
MISS_H = 0.25  # 1: on small loops one law of hysteresis is wrong by that much of the gap (0.15 … 0.7, docs/why)
NOISE_I = 5e-3 * 5e-3  # C²: current sensor error that is not offset
CORRELATION_S = 60.0  # errors of model and current last so long at least …
LASTS = 0.25  # … those of a model a quarter of its slow time constant, which is long in the cold …
LASTS_FAR = 60.0  # … and what is wrong of a resistance that nobody measured an hour: so many times as long
NEAR, FAR = 0.03, 0.08  # SOC spans of the two secants in the tables
FLOOR = 0.45
FLOOR_Z = 6e-3  # of SOC: where the curve is steep the table's own SOC is no better known than this
SENSOR = 4e-3  # V: offset of a cell voltage that no filter can see
GAP = (
    0.4  # 1: half of the hysteresis gap is wrong by that much of itself, all along: own estimate, from cells of a kind
)
SHARE = 0.13
NEAR_EMPTY = 1.0  # a table of resistance is wrong by more where it rises steeply: SHARE grows so many times …
EMPTY = 0.15  # … from this SOC down to nothing
DEPLETED, LOW = 1.5, 0.3  # of the slow polarisation of a discharge, towards empty from this SOC on: the surface of
# the grains runs empty long before the cell does, in the cold tens of per cent before; no resistance tells when
SPENT_C = 0.02  # C: slow polarisation of a discharge that still counts
FRESH = 0.1  # of r0: current that has just changed is seen late or early against the voltage
TAIL = 0.1  # of the polarisation that the current of late makes: what relaxes in many ways is no two time constants
RESTLESS_RISE, RESTLESS_FALL = 0.3, 0.03  # per row
LEAK_SPREAD = 0.01 / 30.0 / 86400.0  # 1/s: self-discharge of one cell beyond its neighbours', 1 % a month
GAIN = 0.003  # relative: gain of the current sensor
K_LOW, K_HIGH = 0.5, 2.5
B_MOST = 0.05  # C
START_OFFSET = 0.006 * 0.006  # C²: offset of a current sensor, doubt at the start
DRAWN = 0.5  # 1: own estimate, so that both an offset of all that is read and none at all lie inside two sigma
Z_LOW, Z_HIGH = -0.03, 1.03
REST_SIGMA = 1e-3  # C: how well a resting sensor shows its offset
QUIET_STEADY_C = 0.001  # C: a small current may be an offset if it wanders no more than this …
QUIET_S = 60.0  # … for so long
HOLD_S = 1.0  # s: up to here the previous current holds between two samples, above it is the mean of both
GAP_S = 61.0  # s: longer than a minute (and its clock's jitter) is a gap: nothing is integrated
GAP_C = 0.1  # C: the current that may have flowed unseen
GAP_MOST = 0.3  # of SOC: more doubt than this is no knowledge at all
LOST_C = 0.5  # C: doubt of a current that is not known …
FADE_S = 60.0  # s: … while it counts as the last one known, falling to nothing
STRAIN_S = 120.0
BELIEVE = 2.0
STRAIN_OK = 6.0
STRAIN_GAIN = 2e-6  # 1/s: how fast doubt returns to SOC when the voltage contradicts for minutes


def decay(y: Any) -> Any:
    """exp(−y) for y ≥ 0 without exp: fourth power of a Padé 2/2; off by < 1e-6 for y < 1, < 2e-3 everywhere."""
    x = np.minimum(0.25 * y, 3.4)  # it falls up to 3.46
    part = (12.0 - 6.0 * x + x * x) / (12.0 + 6.0 * x + x * x)
    part = part * part
    return part * part


def falling(y: Any) -> Any:
    """asinh(y)/y, the share of r0 left at large current (Butler-Volmer): within 4e-4 up to y = 20, no branch."""
    t = 1.0 - 1.0 / np.sqrt(1.0 + y * y / 3.0)
    return 1.0 + t * (-1.00603 + t * (1.17056 + t * (-2.43428 + t * (2.55268 - 1.24910 * t))))


def looks(dt: Any, lasts: Any) -> Any:
    """How many samples dt apart make one look where errors last so many CORRELATION_S; the first, dt = 0, is one."""
    return np.maximum((CORRELATION_S / max(dt, 0.01) if dt > 0.0 else 0.0) * lasts, 1.0)


def lasting(per_tau2: Any) -> Any:
    """How many CORRELATION_S an error of the model lasts."""
    return np.maximum(LASTS / (CORRELATION_S * per_tau2), 1.0)


def gap_variance(dt: Any) -> Any:
    """Variance that SOC gains over a step too long to be integrated; 0 up to GAP_S."""
    lost = min(GAP_C * dt / 3600.0, GAP_MOST)
    return lost * lost if dt > GAP_S else 0.0


def hush(i: Any, q: Any, noise: Any, zero: Any, quiet_s: Any, quiet_i: Any, dt: Any, learn: Any) -> Any:
    """Follow how long the current has been small and steady: (zero, quiet seconds, quiet current).

    learn  C: smaller ones may be an offset, after QUIET_S (where no switch of ours says what is); 0 = none
    """
    # sign() instead of comparisons: NumPy and the compiler both turn it into lanes
    small = np.maximum(np.sign(learn * q - np.abs(i)), 0.0) * np.maximum(1.0 - noise, 0.0)
    small = small * np.maximum(np.sign(QUIET_STEADY_C * q - np.abs(i - quiet_i)), 0.0)
    quiet_s = small * (quiet_s + dt)
    quiet_i = i + small * (1.0 - np.minimum(dt / (quiet_s + 1e-9), 1.0)) * (quiet_i - i)
    return np.maximum(zero, np.maximum(np.sign(quiet_s - QUIET_S), 0.0)), quiet_s, quiet_i


def unseen(i: Any, c: Any, restless: Any, dt: Any, gap: Any) -> Any:
    """Between rows far apart the current did what nobody saw, as it did of late: (restless, doubt of its mean), A²."""
    far = np.minimum(np.maximum(dt / HOLD_S - 1.0, 0.0), 1.0)  # no step: rows of a second are now longer, now shorter
    stray = far * np.maximum(1.0 - 1e12 * gap, 0.0) * (i - c) * (i - c)
    restless = np.maximum(stray * RESTLESS_RISE + restless * (1.0 - RESTLESS_RISE), restless * (1.0 - RESTLESS_FALL))
    return restless, 2.0 * np.maximum(stray, restless) * far


def predict(
    p00: Any, p01: Any, p02: Any, p03: Any, p04: Any, p05: Any, p11: Any, p12: Any, p13: Any, p14: Any, p15: Any,
    p22: Any, p23: Any, p24: Any, p25: Any, p33: Any, p34: Any, p35: Any, p44: Any, p45: Any, p55: Any,
    cb: Any, q: Any, kappa: Any, a1: Any, a2: Any, ah: Any, wild: Any, dt: Any, gap: Any,
) -> Any:  # fmt: skip
    """P = F P F' + Q with F00 = 1, F05 = −kappa, F11 = a1, F15 = −b1, F22 = a2, F25 = −b2, F33 = ah, F44 = F55 = 1."""
    b1 = 1.0 - a1
    b2 = 1.0 - a2
    t05 = p05 - kappa * p55
    t15 = a1 * p15 - b1 * p55
    t25 = a2 * p25 - b2 * p55
    return (
        p00 - kappa * (p05 + t05) + kappa * kappa * wild + DRIFT_Z * dt + SCALE_Z * kappa * np.abs(cb) + gap,
        a1 * (p01 - kappa * p15) - b1 * t05,
        a2 * (p02 - kappa * p25) - b2 * t05,
        ah * (p03 - kappa * p35),
        p04 - kappa * p45,
        t05,
        a1 * (a1 * p11 - b1 * p15) - b1 * t15 + b1 * b1 * wild,
        a2 * (a1 * p12 - b1 * p25) - b2 * t15,
        ah * (a1 * p13 - b1 * p35),
        a1 * p14 - b1 * p45,
        t15,
        a2 * (a2 * p22 - b2 * p25) - b2 * t25 + b2 * b2 * wild,
        ah * (a2 * p23 - b2 * p35),
        a2 * p24 - b2 * p45,
        t25,
        ah * ah * p33 + DRIFT_H * dt + (1.0 - ah * ah) * MISS_H * MISS_H,
        ah * p34,
        ah * p35,
        p44 + DRIFT_K * dt + SCALE_K * kappa * np.abs(cb),
        p45,
        p55 + DRIFT_B * q * q * dt,
    )


def lean(
    p00: Any, p01: Any, p02: Any, p03: Any, p04: Any, p05: Any, p11: Any, p12: Any, p13: Any, p14: Any, p15: Any,
    p22: Any, p23: Any, p24: Any, p25: Any, p33: Any, p34: Any, p35: Any, p44: Any, p45: Any, p55: Any,
    slope: Any, g1: Any, g2: Any, m: Any, pol: Any, g5: Any,
) -> Any:  # fmt: skip
    """P H' for a measurement H = (slope, g1, g2, m, pol, g5), and H P H' behind it."""
    w0 = slope * p00 + g1 * p01 + g2 * p02 + m * p03 + pol * p04 + g5 * p05
    w1 = slope * p01 + g1 * p11 + g2 * p12 + m * p13 + pol * p14 + g5 * p15
    w2 = slope * p02 + g1 * p12 + g2 * p22 + m * p23 + pol * p24 + g5 * p25
    w3 = slope * p03 + g1 * p13 + g2 * p23 + m * p33 + pol * p34 + g5 * p35
    w4 = slope * p04 + g1 * p14 + g2 * p24 + m * p34 + pol * p44 + g5 * p45
    w5 = slope * p05 + g1 * p15 + g2 * p25 + m * p35 + pol * p45 + g5 * p55
    return w0, w1, w2, w3, w4, w5, slope * w0 + g1 * w1 + g2 * w2 + m * w3 + pol * w4 + g5 * w5


def shrink(
    p00: Any, p01: Any, p02: Any, p03: Any, p04: Any, p05: Any, p11: Any, p12: Any, p13: Any, p14: Any, p15: Any,
    p22: Any, p23: Any, p24: Any, p25: Any, p33: Any, p34: Any, p35: Any, p44: Any, p45: Any, p55: Any,
    w0: Any, w1: Any, w2: Any, w3: Any, w4: Any, w5: Any, si: Any, fade: Any,
) -> Any:  # fmt: skip
    """P − w w' si; in SOC and offset, whose gain is gated, by Joseph's form with `fade` instead of si."""
    u0, u1, u2, u3, u4 = si * w0, si * w1, si * w2, si * w3, si * w4
    return (
        p00 - fade * w0 * w0, p01 - u0 * w1, p02 - u0 * w2, p03 - u0 * w3, p04 - u0 * w4, p05 - fade * w0 * w5,
        p11 - u1 * w1, p12 - u1 * w2, p13 - u1 * w3, p14 - u1 * w4, p15 - u1 * w5,
        p22 - u2 * w2, p23 - u2 * w3, p24 - u2 * w4, p25 - u2 * w5,
        p33 - u3 * w3, p34 - u3 * w4, p35 - u3 * w5,
        p44 - u4 * w4, p45 - u4 * w5,
        p55 - fade * w5 * w5,
    )  # fmt: skip


def bounded(z: Any, h: Any, k: Any, b: Any, q: Any) -> Any:
    """Keep the states where a cell can be: a filter that is lost stays near, and finds back by `doubt`."""
    return (
        np.minimum(np.maximum(z, Z_LOW), Z_HIGH),
        np.minimum(np.maximum(h, -1.0), 1.0),
        np.minimum(np.maximum(k, K_LOW), K_HIGH),
        np.minimum(np.maximum(b, -B_MOST * q), B_MOST * q),
    )


def secant(near: Any, far: Any, p00: Any) -> Any:
    """Slope of the curve over two sigmas of SOC, between the two secants of the table."""
    span = np.minimum(np.maximum((2.0 * np.sqrt(np.maximum(p00, 0.0)) - NEAR) / (FAR - NEAR), 0.0), 1.0)
    return near + span * (far - near)


def opened(found: Any, slope: Any, p00: Any) -> Any:
    """How far the gate of the gain is open, 0 … 1: shut where p00 is as small as errors that never average out."""
    least = FLOOR * FLOOR * found + SENSOR * SENSOR + FLOOR_Z * FLOOR_Z * slope * slope
    # (1 − (FLOOR sigma/slope)²/p00) without a division by a slope that may be 0
    return np.maximum(1.0 - least / (slope * slope * p00 + 0.02 * least + 1e-12), 0.0)


def missed(
    z: Any, s1: Any, s2: Any, k: Any, ib: Any, pol: Any, busy: Any, noise: Any,
    r0: Any, r1: Any, r2: Any, sigma: Any, far_r: Any,
) -> Any:  # fmt: skip
    """Variance of what the model misses of the voltage, V², where a current ib makes `pol`; others as in `advance`."""
    share = SHARE * (1.0 + NEAR_EMPTY * np.maximum(1.0 - z / EMPTY, 0.0))
    fresh = FRESH * k * r0 * (ib - s1)
    depleted = DEPLETED * np.maximum(1.0 - z / LOW, 0.0) * k * r2 * np.minimum(s2, 0.0)
    slow = TAIL * k * (r1 + r2)
    error = sigma * sigma + (share * share + far_r) * pol * pol + fresh * fresh + depleted * depleted
    return error + slow * slow * busy + k * k * r0 * r0 * noise


def stated(p00: Any, react_q: Any, doubt_q: Any, react_v: Any, m: Any) -> Any:
    """Variance of SOC: what the filter has left, and what errors have done to it that last as long as the run.

    They are a wrong capacity, and a voltage that is off by the sensor's offset or a gap (half of it: m, V) of another
    width: to the filter an error of minutes, which it averages out. On a flat curve few millivolts are many points.
    """
    by_q, gap = react_q * doubt_q, GAP * m
    return np.minimum(np.maximum(p00, 0.0) + by_q * by_q + react_v * react_v * (SENSOR * SENSOR + gap * gap), 1.0)


def contradicted(z: Any, s2: Any, q: Any, e: Any, strain: Any, dt: Any) -> Any:
    """Variance of SOC that comes back over dt where the voltage has contradicted the model for minutes.

    A voltage below the model behind a discharge towards empty contradicts the model, not SOC.
    """
    spent = np.maximum(np.sign(LOW - z), 0.0) * np.maximum(np.sign(-s2 - SPENT_C * q), 0.0)
    spent = spent * np.maximum(np.sign(-e), 0.0)
    return STRAIN_GAIN * dt * np.maximum(strain - STRAIN_OK, 0.0) * (1.0 - spent)


def advance(
    z: Any, s1: Any, s2: Any, h: Any, k: Any, b: Any,
    p00: Any, p01: Any, p02: Any, p03: Any, p04: Any, p05: Any, p11: Any, p12: Any, p13: Any, p14: Any, p15: Any,
    p22: Any, p23: Any, p24: Any, p25: Any, p33: Any, p34: Any, p35: Any, p44: Any, p45: Any, p55: Any,
    q: Any, strain: Any, busy: Any, restless: Any, react_v: Any, react_q: Any, start_z: Any,
    v: Any, i: Any, c: Any, known: Any, noise: Any,
    at_z: Any, ocv: Any, m: Any, r0: Any, r1: Any, r2: Any, near: Any, far: Any, sigma: Any, local: Any,
    per_tau2: Any, per_exchange: Any, gamma: Any, far_r: Any, per_As: Any, a1: Any, a2: Any,
    dt: Any, trust: Any, gap: Any,
) -> Any:  # fmt: skip
    """Predict over dt and correct with the voltage. Before it comes `hush`, behind it, where that found rest, `settle`.

    c    mean current over dt, i current now, A of one cell; q capacity in Ah; noise A²: extra doubt of the current
    known  1 or 0: voltage is known
    at_z … far_r  the cell's tables as looked up at SOC at_z; near, far  secants over a small and a large SOC span,
    local  the slope of the table there; per_As  1/(3600 q); a1, a2  what is left of a polarisation after dt
    trust  looks(dt, 1), gap  variance that SOC gains because time is missing
    react_v, react_q, start_z  what a volt too much, a capacity too large and a wrong first SOC have done to z by now
    Returns state, covariance and what fields.MEMORY names.
    """
    busy = a2 * busy + (1.0 - a2) * c * c
    restless, rough = unseen(i, c, restless, dt, gap)
    slope = secant(near, far, p00)
    r0 = r0 * falling(i * per_exchange)
    kappa = dt * per_As
    cb = c - b
    ah = decay(np.abs(cb) * gamma * kappa)
    z = z + kappa * cb
    s1 = a1 * s1 + (1.0 - a1) * cb
    s2 = a2 * s2 + (1.0 - a2) * cb
    h = ah * h + (1.0 - ah) * np.sign(cb)
    wild = NOISE_I * q * q + noise * trust + rough  # what is not known stays unknown for about a minute
    p = predict(
        p00, p01, p02, p03, p04, p05, p11, p12, p13, p14, p15, p22, p23, p24, p25, p33, p34, p35, p44, p45, p55,
        cb, q, kappa, a1, a2, ah, wild, dt, gap,
    )  # fmt: skip
    ib = i - b
    pol = r0 * ib + r1 * s1 + r2 * s2
    model = ocv + local * (z - at_z) + m * h + k * pol
    e = known * (v - model)
    w0, w1, w2, w3, w4, w5, hph = lean(*p, slope, k * r1, k * r2, m, pol, -k * r0)  # type: ignore[call-arg]
    error = missed(z, s1, s2, k, ib, pol, busy, noise, r0, r1, r2, sigma, far_r)
    found = error * np.maximum(1.0, BELIEVE * strain)  # a model that misses more than its file says is believed less
    gate = opened(found, slope, p[0])
    si = known / (hph + found * looks(dt, lasting(per_tau2)) + looks(dt, LASTS_FAR) * far_r * pol * pol)
    ke = si * e
    heard = gate * w0 * si  # of a volt
    stays = 1.0 - np.minimum(heard * slope, 1.0)
    strain = strain + known * np.minimum(dt / STRAIN_S, 1.0) * (e * e / (hph + 4.0 * error) - strain)
    doubt = contradicted(z, s2, q, e, strain, dt)
    p = shrink(*p, w0, w1, w2, w3, w4, w5, si, gate * (2.0 - gate) * si)  # type: ignore[call-arg]
    z, h, k, b = bounded(z + heard * e, h + w3 * ke, k + w4 * ke, b + gate * w5 * ke, q)
    return (
        z, s1 + w1 * ke, s2 + w2 * ke, h, k, b, np.minimum(p[0] + doubt, 1.0), *p[1:],
        strain, busy, restless,
        stays * react_v + heard,
        np.minimum(np.maximum(stays * (react_q - kappa * cb), -1.0), 1.0),
        np.minimum(stays * (start_z + LEAK_SPREAD * dt), 1.0),
        model,
    )  # fmt: skip


def settle(
    z: Any, s1: Any, s2: Any, h: Any, k: Any, b: Any,
    p00: Any, p01: Any, p02: Any, p03: Any, p04: Any, p05: Any, p11: Any, p12: Any, p13: Any, p14: Any, p15: Any,
    p22: Any, p23: Any, p24: Any, p25: Any, p33: Any, p34: Any, p35: Any, p44: Any, p45: Any, p55: Any,
    q: Any, i: Any, zero: Any, quiet_s: Any, quiet_i: Any, trust: Any,
) -> Any:  # fmt: skip
    """Where the true current is known to be zero (`zero` 1) the sensor shows its offset; where it is 0 change nothing.

    What is only quiet (`quiet_s`, no switch of ours) may as well be drawn: the reading is an offset give or take DRAWN
    of itself, however long it lasts. p55 does not fall below the harmonic sum of that with the doubt at the start;
    where voltage has found the offset better the reading says nothing.
    """
    rest = REST_SIGMA * q
    drawn, start = DRAWN * DRAWN * quiet_i * quiet_i, START_OFFSET * q * q
    least = np.maximum(np.sign(quiet_s - QUIET_S), 0.0) * drawn * start / (drawn + start + 1e-30)
    gain = zero * np.maximum(1.0 - least / (p55 + 1e-30), 0.0) / (p55 + rest * rest * trust)
    kb = gain * (i - b)
    left = 1.0 - gain * p55
    state = z + p05 * kb, s1 + p15 * kb, s2 + p25 * kb
    z, h, k, b = bounded(state[0], h + p35 * kb, k + p45 * kb, b + p55 * kb, q)
    p = shrink(
        p00, p01, p02, p03, p04, p05, p11, p12, p13, p14, p15, p22, p23, p24, p25, p33, p34, p35, p44, p45, p55,
        p05, p15, p25, p35, p45, p55, gain, gain,
    )  # fmt: skip
    return (
        z, state[1], state[2], h, k, b,
        p[0], p[1], p[2], p[3], p[4], p05 * left, p[6], p[7], p[8], p[9], p15 * left,
        p[11], p[12], p[13], p25 * left, p[15], p[16], p35 * left, p[18], p45 * left, p55 * left,
    )  # fmt: skip
