"""Columns come back to the last bit, whatever stands in them, and a sensor's values need few bytes."""

from __future__ import annotations

import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cellarer.history.lossless import Packer, Unpacker

SPECIAL = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, 1.7e308, 0.1, 1 / 3, 2.0**53])


@given(arrays(np.int64, st.integers(0, 40)))
def test_integers_come_back(values: np.ndarray) -> None:
    packer = Packer()
    packer.integers(values)
    np.testing.assert_array_equal(Unpacker(packer.done()).integers(), values)


@given(st.one_of(
    arrays(np.float64, st.integers(0, 40)),
    arrays(np.float64, st.integers(1, 20), elements=st.sampled_from(SPECIAL.tolist())),
    st.lists(st.integers(-(2**40), 2**40)).map(lambda ks: np.array(ks, np.float64) * 0.001),
    st.lists(st.integers(-(2**40), 2**40)).map(lambda ks: np.array(ks, np.float64) / 1e4),
))  # fmt: skip
def test_floats_come_back_with_every_bit(values: np.ndarray) -> None:
    packer = Packer()
    packer.floats(values)
    packer.text(b"end")
    found = Unpacker(packer.done())
    np.testing.assert_array_equal(found.floats().view(np.int64), values.view(np.int64))
    assert found.text() == b"end"


def test_a_sensors_values_need_about_a_byte() -> None:
    random = np.random.default_rng(1)
    volts = np.round(3.3 + np.cumsum(random.integers(-1, 2, 5000)) * 1e-3, 3)
    times = np.cumsum(100_000_000 + random.integers(0, 200, 5000) * 1000)
    for column, most in ((volts, 0.4), (times.astype(np.float64), 1.3)):
        packer = Packer()
        packer.floats(column)
        assert len(zlib.compress(packer.done())) / column.size < most
