"""The step of the estimator in plain NumPy: the reference of the kernel, and its fallback where numba is missing."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate.equations import advance, decay, hush, looks, settle
from cellarer.core.estimate.fields import (
    FIELDS,
    HOLD_K,
    HOLD_SOC,
    INDEX,
    LANES,
    MEMORY,
    NODE_WIDTH,
    ROW_WIDTH,
    STATE_WIDTH,
)
from cellarer.core.estimate.tables import TEMP_LOW_DEGC, TEMP_POINTS, TEMP_STEP_K
from cellarer.model.cell import SOC_POINTS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def look_up(node: Floats, rows: Floats, kind: Ints, z: Floats, temp_degC: Floats) -> Floats:
    """The fields from x_ocv on at SOC z, (13, cell): bilinear in SOC and temperature, running on beyond 0…1."""
    u = np.clip(z, -0.05, 1.05) * (SOC_POINTS - 1)
    j = np.clip(u.astype(np.int64), 0, SOC_POINTS - 2)
    f = (u - j)[:, None]
    w = np.clip((temp_degC - TEMP_LOW_DEGC) * (1.0 / TEMP_STEP_K), 0.0, TEMP_POINTS - 1.0)
    r = np.minimum(w.astype(np.int64), TEMP_POINTS - 2)
    g = (w - r)[:, None]
    line = kind * TEMP_POINTS + r
    flat, lines = node.reshape(-1, NODE_WIDTH), rows.reshape(-1, ROW_WIDTH)
    at = line * SOC_POINTS + j
    left = flat[at] + g * (flat[at + SOC_POINTS] - flat[at])
    right = flat[at + 1] + g * (flat[at + SOC_POINTS + 1] - flat[at + 1])
    values = left + f * (right - left)
    local = (right[:, :1] - left[:, :1]) * (SOC_POINTS - 1)
    return np.concatenate([values, local, lines[line] + g * (lines[line + 1] - lines[line])], axis=1).T


def refresh(buffer: Floats, node: Floats, rows: Floats, kind: Ints, dt: float) -> None:
    """Look tables up again for every cell whose SOC or temperature has moved on, or where the step changed."""
    field = buffer.reshape(-1, FIELDS, LANES)
    at = INDEX
    z = field[:, 0] + dt * field[:, at["per_As"]] * (field[:, at["in_c"]] - field[:, 5])
    temp_degC = field[:, at["in_degC"]]
    moved = (np.abs(z - field[:, at["x_z"]]) > HOLD_SOC) | (np.abs(temp_degC - field[:, at["x_degC"]]) > HOLD_K)
    block, lane = np.nonzero(moved)
    if len(block):
        values = look_up(node, rows, kind.reshape(-1, LANES)[moved], z[moved], temp_degC[moved])
        field[block, at["x_z"], lane], field[block, at["x_degC"], lane] = z[moved], temp_degC[moved]
        field[block, at["x_ocv"] :, lane] = values.T
    field[:, at["dt"]] = dt
    field[:, at["left1"]] = decay(dt * field[:, at["x_per_tau1"]])
    field[:, at["left2"]] = decay(dt * field[:, at["x_per_tau2"]])


def _typed(part: Callable[..., Any]) -> Callable[..., tuple[Floats, ...]]:
    return part


def step_buffer(buffer: Floats, node: Floats, rows: Floats, kind: Ints, dt: float, gap: float, learn: float) -> None:
    """Advance every cell of the buffer in place; the inputs already stand in its `in_…` fields.

    node, rows  from CellTables; kind (cell,) of all lanes
    gap         variance that SOC gains because time is missing; learn  C: a quiet current below it may be an offset
    """
    refresh(buffer, node, rows, kind, dt)
    field = buffer.reshape(-1, FIELDS, LANES)
    x = [np.ascontiguousarray(field[:, n, :]).reshape(-1) for n in range(FIELDS)]
    at = INDEX
    v, i, c, _, known, zero, noise = (x[at["in_v"] + n] for n in range(7))
    trust = looks(dt, 1.0)
    q, hushed, arithmetic, finish = x[at["capacity"]], _typed(hush), _typed(advance), _typed(settle)
    quiet = hushed(i, q, noise, zero, x[at["quiet_s"]], x[at["quiet_i"]], dt, learn)
    out = arithmetic(
        *x[:STATE_WIDTH], q, *(x[at[name]] for name in MEMORY[:-1]), v, i, c, known, noise,
        x[at["x_z"]], *x[at["x_ocv"] : at["x_per_tau1"]], *x[at["x_per_tau2"] :],
        x[at["per_As"]], x[at["left1"]], x[at["left2"]], dt, trust, gap,
    )  # fmt: skip
    state = out[:STATE_WIDTH]
    if (quiet[0] > 0.0).any():
        state = finish(*state, q, i, *quiet, trust)
    for n in range(STATE_WIDTH):
        field[:, n, :] = state[n].reshape(-1, LANES)
    for n, name in enumerate(MEMORY):
        field[:, at[name], :] = out[STATE_WIDTH + n].reshape(-1, LANES)
    for name, values in zip(("in_zero", "quiet_s", "quiet_i"), quiet, strict=True):
        field[:, at[name], :] = values.reshape(-1, LANES)
    field[:, at["last_i"], :] = i.reshape(-1, LANES)
