"""Columns of integers and floats as few bytes, back to the last bit: for logs from which a run is repeated.

Integers: divided by what they have in common, differences, zig-zag, byte planes; planes of zeros are left out. Floats:
a sensor's values are whole numbers of a step; where every value of a column is exactly `k · step` or `k / scale` the k
are kept, else the bits as they are. Squeezing the result (zlib) is the caller's matter.
"""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SCALES = (1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6)  # steps per unit that sensors and protocols use
BITS, OVER, TIMES = 0, 1, 2  # a column holds the bits; k / scale; k · (1 / scale)
LARGEST = 2.0**52
_HEAD = struct.Struct("<BBIqd")  # kind, planes, count, common divisor, scale


class Packer:
    """Collects columns into bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def integers(self, values: Ints | Sequence[int]) -> None:
        """Add a column of whole numbers."""
        self._put(np.asarray(values, np.int64), BITS, 1.0)

    def floats(self, values: Floats) -> None:
        """Add a column of floats; unknown (NaN) keeps its bits."""
        values = np.ascontiguousarray(values, np.float64)
        for scale in SCALES:
            scaled = np.rint(values * scale)
            if not (np.abs(scaled) < LARGEST).all():
                break
            whole = scaled.astype(np.int64)  # −0.0 would come back as 0.0: then the bits are kept
            for kind, back in ((OVER, whole / scale), (TIMES, whole * (1.0 / scale))):
                if np.array_equal(back.view(np.int64), values.view(np.int64)):
                    self._put(whole, kind, scale)
                    return
        self._put(values.view(np.int64), BITS, 1.0)

    def text(self, data: bytes) -> None:
        """Add bytes as they are."""
        self._parts += [struct.pack("<I", len(data)), data]

    def _put(self, values: Ints, kind: int, scale: float) -> None:
        steps = np.diff(values, prepend=np.int64(0))
        common = int(np.gcd.reduce(steps)) if steps.size else 1
        if not 1 < common < 2**40:
            common = 1
        steps = steps // common
        zigzag = ((steps << 1) ^ (steps >> 63)).view(np.uint64)
        planes = np.ascontiguousarray(zigzag.astype("<u8").view(np.uint8).reshape(-1, 8).T)
        used = np.flatnonzero(planes.any(axis=1))
        count = int(used[-1]) + 1 if used.size else 0
        self._parts += [_HEAD.pack(kind, count, values.size, common, scale), planes[:count].tobytes()]

    def done(self) -> bytes:
        """Return everything."""
        return b"".join(self._parts)


class Unpacker:
    """Gives the columns back, in the order in which they were added."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = memoryview(data), 0

    def integers(self) -> Ints:
        """Return the next column of whole numbers."""
        return self._take()[0]

    def floats(self) -> Floats:
        """Return the next column of floats."""
        values, kind, scale = self._take()
        if kind == BITS:
            return values.view(np.float64)
        return np.asarray(values / scale if kind == OVER else values * (1.0 / scale), np.float64)

    def text(self) -> bytes:
        """Return the next bytes."""
        (length,) = struct.unpack_from("<I", self._data, self._at)
        self._at += 4 + length
        return bytes(self._data[self._at - length : self._at])

    def _take(self) -> tuple[Ints, int, float]:
        kind, count, size, common, scale = _HEAD.unpack_from(self._data, self._at)
        self._at += _HEAD.size
        planes = np.zeros((8, size), np.uint8)
        planes[:count] = np.frombuffer(self._data, np.uint8, count * size, self._at).reshape(count, size)
        self._at += count * size
        zigzag = np.ascontiguousarray(planes.T).view("<u8").ravel().astype(np.uint64)
        steps = (zigzag >> np.uint64(1)).view(np.int64) ^ -(zigzag & np.uint64(1)).view(np.int64)
        return np.cumsum(steps * common, dtype=np.int64), kind, scale
