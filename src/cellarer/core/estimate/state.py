"""What the estimator remembers between steps and where it stands in the buffer; arrays go in and out as (cell,)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate.config import EstimatorConfig
from cellarer.core.estimate.fields import FIELDS, INDEX, LANES

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Doubt at the start, as variances; currents in C
START_POLARISATION = 0.03 * 0.03
START_HYSTERESIS = 1.0  # 1: on one of both branches, −1 or 1
START_SCALE = 0.15 * 0.15
NEVER_LOOKED_UP = -9.0


@dataclass(frozen=True, slots=True, eq=False)
class EstimateState:
    """Frozen; `step` returns a new one. Serialisable: arrays and scalars only."""

    buffer: Floats  # flat, see fields.py
    unknown: Bools  # (cell,) SOC has never been known: set from the first voltage
    pairs: Floats  # (PAIR_FIELDS, cell) memory of the capacity estimator, see capacity.py


def aligned(size: int) -> Floats:
    """An empty array that begins at a cache line: vector loads that straddle lines cost a fifth of the speed."""
    raw = np.empty(size + 8)
    start = (-raw.__array_interface__["data"][0] // 8) % 8
    return raw[start : start + size]


def copied(buffer: Floats) -> Floats:
    """A copy of the buffer that begins at a cache line."""
    new = aligned(buffer.size)
    new[:] = buffer
    return new


def fields_of(buffer: Floats) -> Floats:
    """The buffer as (block, field, lane), a view."""
    return buffer.reshape(-1, FIELDS, LANES)


def put(buffer: Floats, name: str, values: Floats) -> None:
    """Write one field for all cells; (cell,) or scalar. Filler lanes keep what they have."""
    column = np.ascontiguousarray(fields_of(buffer)[:, INDEX[name], :]).reshape(-1)
    many = np.broadcast_to(values, column.shape) if np.ndim(values) == 0 else values
    column[: len(many)] = many
    fields_of(buffer)[:, INDEX[name], :] = column.reshape(-1, LANES)


def put_capacity(buffer: Floats, capacity_Ah: Floats) -> None:
    """Write the capacity of one cell, (cell,) Ah, and its reciprocal, which the kernel multiplies with."""
    put(buffer, "capacity", capacity_Ah)
    put(buffer, "per_As", 1.0 / (3600.0 * capacity_Ah))


def column(cfg: EstimatorConfig, buffer: Floats, name: str) -> Floats:
    """One field, (cell,), a copy."""
    return fields_of(buffer)[:, INDEX[name], :].copy().reshape(-1)[: cfg.cells]


def get(cfg: EstimatorConfig, state: EstimateState, name: str) -> Floats:
    """Read one field, (cell,), a copy; currents and capacities are those of one cell of the group."""
    return column(cfg, state.buffer, name)
