"""Columns come back as they went in; values are kept to one step of their unit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cellarer.history import codec


@given(arrays(np.int32, st.integers(0, 50), elements=st.integers(-(2**31), 2**31 - 1)))
def test_any_column_comes_back_exactly(column: np.ndarray) -> None:
    assert np.array_equal(codec.decode(codec.encode(column)), column)


def test_quiet_cell_voltages_take_less_than_a_byte_each() -> None:
    rng = np.random.default_rng(1)
    column = (3300 + np.cumsum(rng.integers(-1, 2, 900) * (rng.random(900) < 0.2))).astype(np.int32)
    assert len(codec.encode(column)) < 900


@given(st.floats(-2_000_000, 2_000_000))
def test_a_voltage_is_kept_to_half_a_millivolt(value: float) -> None:
    steps = np.array([codec.steps_of("pack1.voltage_V")])
    kept = codec.quantise(np.array([value]), steps)
    assert abs(kept[0] / steps[0] - value) <= 0.0005 + 1e-9


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e12])
def test_what_is_not_a_finite_number_that_fits_is_unknown(value: float) -> None:
    assert codec.quantise(np.array([value]), np.array([1000]))[0] == codec.UNKNOWN


@pytest.mark.parametrize(
    ("channel", "steps"),
    [("pack1.voltage_V", 1000), ("pack1.string1.temp01_degC", 10), ("pack1.energy_Wh", 1), ("pack1.string1.closed", 1)],
)
def test_the_unit_decides_the_step(channel: str, steps: int) -> None:
    assert codec.steps_of(channel) == steps


def test_a_newer_codec_is_refused() -> None:
    with pytest.raises(ValueError, match="newer version"):
        codec.decode(b"\x09abc")
