"""The filter's arithmetic for one cell, written once: NumPy runs it on arrays, numba compiles it into the kernel.

Extended Kalman filter after G. Plett (Battery Management Systems vol. 2, ch. 3), sign flipped (+ charges), with six
states: SOC z, currents through the two polarisations s1 s2, hysteresis h, resistance scale k, current offset b.
  z' = z + dt (c − b)/(3600 Q)      s' = a s + (1 − a)(c − b)      h' = a_h h + (1 − a_h) sign(c − b)
  v = ocv(z) + M h + k (r0 (i − b) + r1 s1 + r2 s2)
What a textbook leaves out and measured data asks for:
- Model error lasts about a minute, so the voltage is trusted once per CORRELATION_S, not at every sample.
- Part of it never averages out: an OCV table is wrong by millivolts for hours. Voltage may therefore not press the
  sigma of z below FLOOR · sigma / slope; near that floor the gain on z and b fades (`gate`). On a flat LFP curve this
  silences voltage, on a steep one it only keeps sigma honest. The covariance follows Joseph's form for that gain.
- Error grows with the polarisation itself (`SHARE`): in the cold a model of resistance is wrong by per cents.
No branch, no exp, no NaN: unknown voltage has `known` = 0, unknown current comes with `noise`.
"""

from typing import Any

import numpy as np

# Process noise, per second unless said; from measured drive cycles of two cell types, judged on others.
DRIFT_Z = 1.3e-4 * 1.3e-4  # 1/s: SOC random walk, about 0.8 % per root hour
SCALE_Z = 5e-5  # per unit of SOC that flows: capacity and gain of the sensor are known within about a per cent
DRIFT_K = 5e-4 * 5e-4  # 1/s
DRIFT_B = 2e-6 * 2e-6  # C²/s: current offset as a share of capacity, 0.01 % of C per root hour … slow
DRIFT_H = 1e-6  # 1/s
NOISE_I = 5e-3 * 5e-3  # C²: current sensor error that is not offset
CORRELATION_S = 60.0
NEAR, FAR = 0.03, 0.08  # SOC spans of the two secants in the tables
FLOOR = 0.45
FLOOR_Z = 6e-3  # of SOC: where the curve is steep the table's own SOC is no better known than this
SENSOR = 4e-3  # V: offset of a cell voltage that no filter can see
SHARE = 0.10
NEAR_EMPTY = 1.0  # a table of resistance is wrong by more where it rises steeply: SHARE grows so many times …
EMPTY = 0.15  # … from this SOC down to nothing
FRESH = 0.1  # of r0: current that has just changed is seen late or early against the voltage
PINNED = 0.0  # of the polarisation: this part of its error stays as long as the current does
RESTLESS_RISE, RESTLESS_FALL = 0.3, 0.03  # per row
LEAK_SPREAD = 0.01 / 30.0 / 86400.0  # 1/s: self-discharge of one cell beyond its neighbours', 1 % a month
GAIN = 0.003  # relative: gain of the current sensor
K_LOW, K_HIGH = 0.5, 2.5
B_MOST = 0.05  # C
Z_LOW, Z_HIGH = -0.03, 1.03
REST_SIGMA = 1e-3  # C: how well a resting sensor shows its offset
QUIET_C = 0.0125  # C: a current below this may be an offset …
QUIET_STEADY_C = 0.001  # C: … if it wanders no more than this …
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


def gap_variance(dt: Any) -> Any:
    """Variance that SOC gains over a step too long to be integrated; 0 up to GAP_S."""
    lost = min(GAP_C * dt / 3600.0, GAP_MOST)
    return lost * lost if dt > GAP_S else 0.0


def advance(
    z: Any, s1: Any, s2: Any, h: Any, k: Any, b: Any,
    p00: Any, p01: Any, p02: Any, p03: Any, p04: Any, p05: Any, p11: Any, p12: Any, p13: Any, p14: Any, p15: Any,
    p22: Any, p23: Any, p24: Any, p25: Any, p33: Any, p34: Any, p35: Any, p44: Any, p45: Any, p55: Any,
    q: Any, strain: Any, quiet_s: Any, quiet_i: Any, restless: Any, react_v: Any, react_q: Any, start_z: Any,
    v: Any, i: Any, c: Any, known: Any, zero: Any, noise: Any,
    at_z: Any, ocv: Any, m: Any, r0: Any, r1: Any, r2: Any, near: Any, far: Any, sigma: Any, local: Any,
    per_tau1: Any, per_tau2: Any, per_exchange: Any, gamma: Any,
    dt: Any, trust: Any, gap: Any, learn: Any,
) -> Any:  # fmt: skip
    """Predict over dt, correct with the voltage, then with the knowledge that the true current is zero.

    c    mean current over dt, i current now, A of one cell; q capacity in Ah; noise A²: extra doubt of the current
    known, zero  1 or 0: voltage is known; true current is known to be zero
    at_z … gamma  the cell's tables as looked up at SOC at_z; near, far  secants over a small and a large SOC span,
    local  the slope of the table there
    trust  max(1, CORRELATION_S/dt), gap  variance that SOC gains because time is missing
    react_v, react_q, start_z  what a volt too much, a capacity too large and a wrong first SOC have done to z by now
    learn  1: a current that is small and steady for QUIET_S counts as zero (recordings without switchgear)
    Returns state, covariance and what fields.MEMORY names.
    """
    # sign() instead of comparisons: NumPy and the compiler both turn it into lanes
    small = np.maximum(np.sign(QUIET_C * q - np.abs(i)), 0.0) * np.maximum(1.0 - noise, 0.0)
    small = small * np.maximum(np.sign(QUIET_STEADY_C * q - np.abs(i - quiet_i)), 0.0)
    quiet_s = small * (quiet_s + dt)
    quiet_i = i + small * (1.0 - np.minimum(dt / (quiet_s + 1e-9), 1.0)) * (quiet_i - i)
    zero = np.maximum(zero, learn * np.maximum(np.sign(quiet_s - QUIET_S), 0.0))
    span = np.minimum(np.maximum((2.0 * np.sqrt(np.maximum(p00, 0.0)) - NEAR) / (FAR - NEAR), 0.0), 1.0)
    slope = near + span * (far - near)
    r0 = r0 * falling(i * per_exchange)

    kappa = dt / (3600.0 * q)
    cb = c - b
    a1 = decay(dt * per_tau1)
    a2 = decay(dt * per_tau2)
    b1 = 1.0 - a1
    b2 = 1.0 - a2
    y = np.abs(cb) * gamma * kappa
    ah = decay(y)
    z = z + kappa * cb
    s1 = a1 * s1 + b1 * cb
    s2 = a2 * s2 + b2 * cb
    h = ah * h + (1.0 - ah) * np.sign(cb)

    # P = F P F' + Q, F00 = 1, F05 = −kappa, F11 = a1, F15 = −b1, F22 = a2, F25 = −b2, F33 = ah, F44 = F55 = 1
    t05 = p05 - kappa * p55
    t15 = a1 * p15 - b1 * p55
    t25 = a2 * p25 - b2 * p55
    # Between rows far apart the current did what nobody saw: its mean is as doubtful as its change.
    stray = np.maximum(np.sign(dt - HOLD_S), 0.0) * np.maximum(1.0 - 1e12 * gap, 0.0) * (i - c) * (i - c)
    restless = np.maximum(stray * RESTLESS_RISE + restless * (1.0 - RESTLESS_RISE), restless * (1.0 - RESTLESS_FALL))
    rough = 2.0 * np.maximum(stray, restless) * np.maximum(np.sign(dt - HOLD_S), 0.0)
    wild = NOISE_I * q * q + noise * trust + rough  # what is not known stays unknown for about a minute
    n00 = p00 - kappa * (p05 + t05) + kappa * kappa * wild + DRIFT_Z * dt + SCALE_Z * kappa * np.abs(cb) + gap
    n01 = a1 * (p01 - kappa * p15) - b1 * t05
    n02 = a2 * (p02 - kappa * p25) - b2 * t05
    n03 = ah * (p03 - kappa * p35)
    n04 = p04 - kappa * p45
    n11 = a1 * (a1 * p11 - b1 * p15) - b1 * t15 + b1 * b1 * wild
    n12 = a2 * (a1 * p12 - b1 * p25) - b2 * t15
    n13 = ah * (a1 * p13 - b1 * p35)
    n14 = a1 * p14 - b1 * p45
    n22 = a2 * (a2 * p22 - b2 * p25) - b2 * t25 + b2 * b2 * wild
    n23 = ah * (a2 * p23 - b2 * p35)
    n24 = a2 * p24 - b2 * p45
    n33 = ah * ah * p33 + DRIFT_H * dt + 0.02 * np.minimum(y, 1.0)
    n34 = ah * p34
    n35 = ah * p35
    n44 = p44 + DRIFT_K * dt
    n55 = p55 + DRIFT_B * q * q * dt

    ocv = ocv + local * (z - at_z)
    ib = i - b
    pol = r0 * ib + r1 * s1 + r2 * s2
    model = ocv + m * h + k * pol
    e = known * (v - model)
    g1 = k * r1
    g2 = k * r2
    g5 = -k * r0
    w0 = slope * n00 + g1 * n01 + g2 * n02 + m * n03 + pol * n04 + g5 * t05
    w1 = slope * n01 + g1 * n11 + g2 * n12 + m * n13 + pol * n14 + g5 * t15
    w2 = slope * n02 + g1 * n12 + g2 * n22 + m * n23 + pol * n24 + g5 * t25
    w3 = slope * n03 + g1 * n13 + g2 * n23 + m * n33 + pol * n34 + g5 * n35
    w4 = slope * n04 + g1 * n14 + g2 * n24 + m * n34 + pol * n44 + g5 * p45
    w5 = slope * t05 + g1 * t15 + g2 * t25 + m * n35 + pol * p45 + g5 * n55
    hph = slope * w0 + g1 * w1 + g2 * w2 + m * w3 + pol * w4 + g5 * w5
    share = SHARE * (1.0 + NEAR_EMPTY * np.maximum(1.0 - z / EMPTY, 0.0))
    fresh = FRESH * k * r0 * (ib - s1)
    error = sigma * sigma + share * share * pol * pol + fresh * fresh + k * k * r0 * r0 * noise
    found = error * np.maximum(1.0, BELIEVE * strain)  # a model that misses more than its file says is believed less
    least = FLOOR * FLOOR * found + PINNED * PINNED * pol * pol + SENSOR * SENSOR + FLOOR_Z * FLOOR_Z * slope * slope
    # (1 − (FLOOR sigma/slope)²/p00) without a division by a slope that may be 0
    gate = np.maximum(1.0 - least / (slope * slope * n00 + 0.02 * least + 1e-12), 0.0)
    si = known / (hph + found * trust)
    ke = si * e
    fade = gate * (2.0 - gate) * si
    heard = gate * w0 * si  # of a volt
    stays = 1.0 - np.minimum(heard * slope, 1.0)
    react_v = stays * react_v + heard
    react_q = np.minimum(np.maximum(stays * (react_q - kappa * cb), -1.0), 1.0)
    start_z = np.minimum(stays * (start_z + LEAK_SPREAD * dt), 1.0)
    z = z + heard * e
    s1 = s1 + w1 * ke
    s2 = s2 + w2 * ke
    h = h + w3 * ke
    k = k + w4 * ke
    b = b + gate * w5 * ke
    strain = strain + known * np.minimum(dt / STRAIN_S, 1.0) * (e * e / (hph + 4.0 * error) - strain)
    doubt = STRAIN_GAIN * dt * np.maximum(strain - STRAIN_OK, 0.0)

    n00 = n00 - fade * w0 * w0 + doubt
    n01 = n01 - si * w0 * w1
    n02 = n02 - si * w0 * w2
    n03 = n03 - si * w0 * w3
    n04 = n04 - si * w0 * w4
    t05 = t05 - fade * w0 * w5
    n11 = n11 - si * w1 * w1
    n12 = n12 - si * w1 * w2
    n13 = n13 - si * w1 * w3
    n14 = n14 - si * w1 * w4
    t15 = t15 - si * w1 * w5
    n22 = n22 - si * w2 * w2
    n23 = n23 - si * w2 * w3
    n24 = n24 - si * w2 * w4
    t25 = t25 - si * w2 * w5
    n33 = n33 - si * w3 * w3
    n34 = n34 - si * w3 * w4
    n35 = n35 - si * w3 * w5
    n44 = n44 - si * w4 * w4
    p45 = p45 - si * w4 * w5
    n55 = n55 - fade * w5 * w5

    # The true current is known to be zero: what the sensor shows is its offset.
    rest = REST_SIGMA * q
    gain = zero / (n55 + rest * rest * trust)
    kb = gain * (i - b)
    z = z + t05 * kb
    s1 = s1 + t15 * kb
    s2 = s2 + t25 * kb
    h = h + n35 * kb
    k = k + p45 * kb
    b = b + n55 * kb
    n00 = n00 - gain * t05 * t05
    n01 = n01 - gain * t05 * t15
    n02 = n02 - gain * t05 * t25
    n03 = n03 - gain * t05 * n35
    n04 = n04 - gain * t05 * p45
    n11 = n11 - gain * t15 * t15
    n12 = n12 - gain * t15 * t25
    n13 = n13 - gain * t15 * n35
    n14 = n14 - gain * t15 * p45
    n22 = n22 - gain * t25 * t25
    n23 = n23 - gain * t25 * n35
    n24 = n24 - gain * t25 * p45
    n33 = n33 - gain * n35 * n35
    n34 = n34 - gain * n35 * p45
    n44 = n44 - gain * p45 * p45
    left = 1.0 - gain * n55
    t05, t15, t25, n35, p45, n55 = t05 * left, t15 * left, t25 * left, n35 * left, p45 * left, n55 * left

    most = B_MOST * q
    n00 = np.minimum(n00, 1.0)
    z = np.minimum(np.maximum(z, Z_LOW), Z_HIGH)
    h = np.minimum(np.maximum(h, -1.0), 1.0)
    k = np.minimum(np.maximum(k, K_LOW), K_HIGH)
    b = np.minimum(np.maximum(b, -most), most)
    return (
        z, s1, s2, h, k, b, n00, n01, n02, n03, n04, t05, n11, n12, n13, n14, t15, n22, n23, n24, t25,
        n33, n34, n35, n44, p45, n55, strain, quiet_s, quiet_i, restless, react_v, react_q, start_z, model,
    )  # fmt: skip
