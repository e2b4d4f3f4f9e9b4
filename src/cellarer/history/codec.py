"""Series values as integers, and columns of them as compressed bytes.

A value is kept as a whole number of steps of its unit (0.001 V, 0.1 °C): sensors do not resolve more, and integers
compress two to three times better than floats. A column is stored as: first value and differences → zig-zag → byte
planes → zlib. Slowly moving values take about half a byte each. The first byte of a blob names the codec.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]

UNKNOWN = -(2**31)  # the integer that stands for NaN
LARGEST = 2**31 - 1

# Steps per unit, by the unit that a channel's name ends with.
STEPS: dict[str, int] = {"V": 1000, "A": 100, "W": 1, "Wh": 1, "Ah": 1000, "degC": 10, "pct": 100, "s": 10, "ohm": 1}
STEPS_OF_A_FACT = 1  # facts (0 or 1) and counts have no unit

ZLIB = 1  # codec byte


def steps_of(channel: str) -> int:
    """Return how many steps one unit of a channel has, from the end of its name: `pack1.voltage_V` has 1000."""
    return STEPS.get(channel.rpartition("_")[2], STEPS_OF_A_FACT) if "_" in channel else STEPS_OF_A_FACT


def quantise(values: Floats, steps: NDArray[np.int64]) -> Ints:
    """Return whole steps, (channel,). What is not finite, or too large for 31 bits, is UNKNOWN."""
    scaled = np.rint(values * steps)
    ok = np.abs(scaled) <= LARGEST
    return np.where(ok, scaled, UNKNOWN).astype(np.int32)


def encode(column: Ints) -> bytes:
    """Return a column as bytes; `decode` gives exactly the same column back."""
    step = np.diff(column.astype(np.uint32), prepend=np.uint32(0))  # wraps around, and back in decode
    signed = step.view(np.int32)
    zigzag = ((signed << 1) ^ (signed >> 31)).view(np.uint32)
    planes = np.ascontiguousarray(zigzag.astype("<u4").view(np.uint8).reshape(-1, 4).T)
    return bytes([ZLIB]) + zlib.compress(planes.tobytes(), 6)


def decode(blob: bytes) -> Ints:
    """Return the column that `encode` packed."""
    if blob[0] != ZLIB:
        raise ValueError(f"history chunk has codec {blob[0]}, known is {ZLIB}: written by a newer version of Cellarer")
    planes = np.frombuffer(zlib.decompress(blob[1:]), np.uint8).reshape(4, -1)
    zigzag = np.ascontiguousarray(planes.T).view("<u4").ravel().astype(np.uint32)
    step = (zigzag >> 1) ^ (-(zigzag & 1).view(np.int32)).view(np.uint32)
    return np.cumsum(step, dtype=np.uint32).view(np.int32)
