"""State of charge of every cell: init, step, run. The arithmetic is in equations.py, twice executed (NumPy, kernel).

`step` takes measurements of series groups with NaN for unknown, turns NaN into masks, copies the buffer once and lets
the kernel work on the copy. SOC unknown at the start is set from the first known voltage, as widely as that allows.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate import numpy_form
from cellarer.core.estimate.capacity import Pairs, begin_pairs, follow_pairs
from cellarer.core.estimate.config import EstimatorConfig
from cellarer.core.estimate.equations import FADE_S, GAIN, GAP_S, HOLD_S, LOST_C, START_OFFSET, gap_variance, stated
from cellarer.core.estimate.fields import INDEX, INPUT, INPUT_PLACES, LANES, STATED, WIDTH
from cellarer.core.estimate.first import doubt_start, weigh
from cellarer.core.estimate.state import (
    NEVER_LOOKED_UP,
    START_HYSTERESIS,
    START_POLARISATION,
    START_SCALE,
    EstimateState,
    aligned,
    column,
    copied,
    fields_of,
    get,
    put,
    put_capacity,
)

try:
    from cellarer.core import kernel as _cycle
    from cellarer.core.estimate import kernel as _kernel
except ImportError:  # without numba the NumPy form does the work
    _kernel = _cycle = None  # type: ignore[assignment]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

HAS_KERNEL = _kernel is not None
WIDEST = 0.3  # sigma of a SOC about which nothing is known


def init(
    cfg: EstimatorConfig,
    soc0: Floats,
    soc_sigma0: Floats,
    capacity_Ah: Floats | None = None,
    capacity_sigma_Ah: Floats | None = None,
    resistance_scale: Floats | None = None,
) -> EstimateState:
    """Begin. soc0 (cell,) fraction, NaN = unknown; soc_sigma0 (cell,); capacity_Ah (cell,) of the group if known."""
    soc0 = np.broadcast_to(np.asarray(soc0, dtype=np.float64), (cfg.cells,))
    sigma0 = np.broadcast_to(np.asarray(soc_sigma0, dtype=np.float64), (cfg.cells,))
    unknown = ~np.isfinite(soc0)
    sigma0 = np.where(unknown | ~np.isfinite(sigma0), WIDEST, np.clip(sigma0, 1e-4, WIDEST))
    capacity = (
        cfg.capacity_Ah if capacity_Ah is None else np.where(np.isfinite(capacity_Ah), capacity_Ah, cfg.capacity_Ah)
    )
    q = capacity / cfg.parallel
    buffer = aligned(cfg.lanes // LANES * WIDTH)
    buffer[:] = 0.0
    fields_of(buffer)[:, INDEX["capacity"], :] = 1.0
    fields_of(buffer)[:, INDEX["per_As"], :] = 1.0 / 3600.0
    fields_of(buffer)[:, INDEX["dt"], :] = -1.0
    fields_of(buffer)[:, INDEX["x_z"], :] = NEVER_LOOKED_UP
    fields_of(buffer)[:, INDEX["in_degC"], :] = 25.0
    scale = (
        np.ones(cfg.cells)
        if resistance_scale is None
        else np.where(np.isfinite(resistance_scale), resistance_scale, 1.0)
    )
    put(buffer, "z", np.where(unknown, 0.5, np.clip(soc0, 0.0, 1.0)))
    put(buffer, "k", scale)
    put_capacity(buffer, q)
    put(buffer, "per_parallel", 1.0 / cfg.parallel)
    for name, variance in (
        ("p00", sigma0**2), ("p11", START_POLARISATION * q * q), ("p22", START_POLARISATION * q * q),
        ("p33", np.full(cfg.cells, START_HYSTERESIS)), ("p44", np.full(cfg.cells, START_SCALE)),
        ("p55", START_OFFSET * q * q),
    ):  # fmt: skip
        put(buffer, name, variance)
    pairs = begin_pairs(cfg, q, capacity_sigma_Ah)
    put(buffer, "doubt_q", np.hypot(Pairs(*pairs).relative, GAIN))
    put(buffer, "start_z", sigma0)
    return EstimateState(buffer, unknown, pairs)


def step(
    cfg: EstimatorConfig,
    state: EstimateState,
    voltage: Floats,
    current: Floats,
    temp_degC: Floats,
    dt_s: float,
    current_mean: Floats | None = None,
    rest: Bools | None = None,
    plain: bool = False,
) -> EstimateState:
    """Advance all cells by dt_s; the first step of a series has dt_s = 0.

    voltage       (cell,) V, NaN = unknown: no correction
    current       (cell,) A of the string through the group, now, + charges; NaN = unknown: sigma grows
    temp_degC     (cell,); NaN: the last known one stays
    current_mean  (cell,) A, mean since the last step; without it the previous current up to 1 s, then both's mean
    rest          (cell,) the true current is known to be zero (contactors open): what the sensor shows is offset
    plain         use the NumPy form even where the kernel is there
    A step over GAP_S is a gap: nothing is integrated, polarisation relaxes, sigma grows.
    """
    buffer = copied(state.buffer)
    gap = gap_variance(dt_s)
    write = _write_inputs_plain if plain or _cycle is None else _write_inputs
    write(cfg, buffer, voltage, current, temp_degC, dt_s, current_mean, rest)
    unknown = state.unknown
    spoken = np.zeros(0, bool)  # (cell,) whose SOC this voltage has set already
    begins = _never_stepped(buffer)
    if begins:
        doubt_start(cfg, buffer)
    if begins or np.count_nonzero(unknown):
        for name, nothing in (("z", 0.5), ("p00", WIDEST**2)):  # a charge that was counted says nothing of them
            put(buffer, name, np.where(unknown, nothing, column(cfg, buffer, name)))
        spoken = weigh(cfg, buffer, unknown | begins)
        unknown = unknown & ~spoken
    form = numpy_form.step_buffer if plain or _kernel is None else _kernel.step_buffer
    known = column(cfg, buffer, "in_known") if len(spoken) else spoken
    if len(spoken):  # the filter must not hear it twice; others may know that there was a voltage
        put(buffer, "in_known", np.where(spoken, 0.0, known))
    form(buffer, cfg.tables.node, cfg.tables.rows, cfg.kind, float(dt_s), gap, cfg.learn_C)
    if len(spoken):
        put(buffer, "in_known", known)
    return EstimateState(buffer, unknown, follow_pairs(cfg, state.pairs, buffer, dt_s, gap > 0.0, plain))


def _write_inputs(
    cfg: EstimatorConfig, buffer: Floats, voltage: Floats, current: Floats, temp_degC: Floats, dt_s: float,
    current_mean: Floats | None, rest: Bools | None,
) -> None:  # fmt: skip
    """Do what _write_inputs_plain does in one compiled pass."""
    mean, rests = current if current_mean is None else current_mean, np.zeros(cfg.cells, bool) if rest is None else rest
    _cycle.write_inputs(
        voltage, current, temp_degC, mean, rests, cfg.parallel, INPUT_PLACES,
        dt_s > GAP_S, current_mean is not None, dt_s <= HOLD_S, max(1.0 - dt_s / FADE_S, 0.0), LOST_C, buffer,
    )  # fmt: skip


def _write_inputs_plain(
    cfg: EstimatorConfig, buffer: Floats, voltage: Floats, current: Floats, temp_degC: Floats, dt_s: float,
    current_mean: Floats | None, rest: Bools | None,
) -> None:  # fmt: skip
    """Turn NaN into masks and write the input fields."""
    n = cfg.cells
    known = np.isfinite(voltage)
    present = np.isfinite(current)
    field = fields_of(buffer)
    at = INDEX
    before = field[:, [5, at["last_i"], at["capacity"], at["in_degC"]], :].transpose(1, 0, 2).reshape(4, -1)
    offset, last, q, temp_before = before[:, :n]
    i = np.where(present, np.where(present, current, 0.0) / cfg.parallel, last * max(1.0 - dt_s / FADE_S, 0.0))
    if dt_s > GAP_S:
        c = offset
    elif current_mean is not None:
        present = present & np.isfinite(current_mean)
        c = np.where(present, np.where(present, current_mean, 0.0) / cfg.parallel, last)
    else:
        c = last if dt_s <= HOLD_S else 0.5 * (last + i)
    inputs = np.zeros((7, cfg.lanes))
    inputs[3] = 25.0
    inputs[0, :n] = np.where(known, voltage, 0.0)
    inputs[1, :n] = i
    inputs[2, :n] = c
    inputs[3, :n] = np.where(np.isfinite(temp_degC), temp_degC, temp_before)
    inputs[4, :n] = known
    inputs[5, :n] = 0.0 if rest is None else rest & present
    inputs[6, :n] = np.where(present, 0.0, (LOST_C * q) ** 2)
    field[:, INPUT : INPUT + 7, :] = inputs.reshape(7, -1, LANES).transpose(1, 0, 2)


def _never_stepped(buffer: Floats) -> bool:
    return bool(fields_of(buffer)[0, INDEX["x_z"], 0] == NEVER_LOOKED_UP)


def soc_deviation(cfg: EstimatorConfig, state: EstimateState) -> Floats:
    """One sigma of SOC, (cell,): what the filter promises, and what lasting errors have done that it cannot see."""
    return np.asarray(np.sqrt(stated(*(get(cfg, state, name) for name in STATED))))


def set_soc(cfg: EstimatorConfig, state: EstimateState, soc: Floats, soc_sigma: Floats | float = 0.02) -> EstimateState:
    """Impose a SOC (request, full or empty touch) where `soc` is finite; its links to the other states are cut."""
    buffer = copied(state.buffer)
    asked = np.isfinite(soc)
    for name, value in (("z", np.clip(soc, 0.0, 1.0)), ("p00", np.asarray(soc_sigma) ** 2)):
        put(buffer, name, np.where(asked, value, get(cfg, state, name)))
    put(buffer, "start_z", np.where(asked, soc_sigma, get(cfg, state, "start_z")))
    for name in ("p01", "p02", "p03", "p04", "p05", "react_v", "react_q"):
        put(buffer, name, np.where(asked, 0.0, get(cfg, state, name)))
    return replace(state, buffer=buffer, unknown=state.unknown & ~asked)


def run_block(
    cfg: EstimatorConfig,
    state: EstimateState,
    voltage: Floats,
    current: Floats,
    temp_degC: Floats,
    dt_s: Floats,
    every: int = 1,
) -> tuple[EstimateState, Floats, Floats]:
    """Run many rows with the time loop inside the kernel: the same SOC as `step` row by row.

    voltage, current, temp_degC (time, cell) or (time, 1), NaN = unknown; dt_s (time,), 0 first
    Returns the state, SOC and sigma (time, cell), every `every`-th row. Capacity pairs are not followed here.
    """
    if _kernel is None or state.unknown.any() or _never_stepped(state.buffer):
        return _run_rows(cfg, state, voltage, current, temp_degC, dt_s, every)
    dt = np.ascontiguousarray(dt_s, dtype=np.float64)
    soc, sigma = np.empty((-(-len(dt) // every), cfg.cells)), np.empty((-(-len(dt) // every), cfg.cells))
    buffer = copied(state.buffer)

    tile = aligned(3 * _kernel.TILE)

    def table(values: Floats) -> Floats:
        return np.ascontiguousarray(values, dtype=np.float64).reshape(len(dt), -1)

    _kernel.run_block(
        buffer, cfg.tables.node, cfg.tables.rows, cfg.kind, table(voltage), table(current), table(temp_degC),
        dt, cfg.learn_C, soc, sigma, every, tile,
    )  # fmt: skip
    return replace(state, buffer=buffer), soc, sigma


def _run_rows(
    cfg: EstimatorConfig, state: EstimateState, voltage: Floats, current: Floats, temp_degC: Floats,
    dt_s: Floats, every: int,
) -> tuple[EstimateState, Floats, Floats]:  # fmt: skip
    """The same row by row, for machines without numba and for cells whose SOC is still unknown."""
    shape = (len(dt_s), cfg.cells)
    volts, amperes, temp = (np.broadcast_to(x, shape) for x in (voltage, current, temp_degC))
    soc: list[Floats] = []
    sigma: list[Floats] = []
    for row, dt in enumerate(dt_s):
        if row and _kernel is not None and not state.unknown.any() and row % every == 0:
            state, rest_soc, rest_sigma = run_block(
                cfg, state, volts[row:], amperes[row:], temp[row:], dt_s[row:], every
            )
            return state, np.concatenate([soc, rest_soc]), np.concatenate([sigma, rest_sigma])
        state = step(cfg, state, volts[row], amperes[row], temp[row], float(dt))
        if row % every == 0:
            soc.append(get(cfg, state, "z"))
            sigma.append(soc_deviation(cfg, state))
    return state, np.array(soc), np.array(sigma)
