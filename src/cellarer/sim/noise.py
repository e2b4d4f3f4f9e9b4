"""Random numbers without a generator's state: a number is a function of (seed, purpose, element, count).

So a pack draws the same numbers alone and among thousands, in whatever order its signals are read, and a run repeats
byte for byte. Mixing: the finaliser of SplitMix64 (Steele, Lea, Flood 2014), enough for noise, not for secrets.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Keys = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)
_LOW16 = np.uint64(0xFFFF)
_SHIFTS = tuple(np.uint64(s) for s in (0, 16, 32, 48))
LIMIT = 3.5  # deviations: `normal` goes no further
_SPREAD = 3.0**0.5 / 65536.0  # four 16-bit numbers summed have variance 4/12: scale to 1


def mix(key: ArrayLike, *parts: ArrayLike) -> Keys:
    """Mix whole numbers into keys, (broadcast,); every part counts."""
    x = np.atleast_1d(np.asarray(key)).astype(np.uint64)
    with np.errstate(over="ignore"):
        for part in (0, *parts):
            x = x + _GOLDEN * (np.asarray(part).astype(np.uint64) + np.uint64(1))
            x = (x ^ (x >> _S30)) * _M1
            x = (x ^ (x >> _S27)) * _M2
            x = x ^ (x >> _S31)
    return x


def uniform(key: ArrayLike, *parts: ArrayLike) -> Floats:
    """Return numbers in 0…1, (broadcast,)."""
    return (mix(key, *parts) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(key: ArrayLike, *parts: ArrayLike) -> Floats:
    """Return nearly normal numbers with mean 0, deviation 1 and no value beyond ±3.5 (sum of four even ones)."""
    x = mix(key, *parts)
    total = (x & _LOW16).astype(np.float64)
    for shift in _SHIFTS[1:]:
        total += ((x >> shift) & _LOW16).astype(np.float64)
    return (total - 2.0 * 65535.0) * _SPREAD


def smooth(position: ArrayLike, key: ArrayLike, *parts: ArrayLike) -> Floats:
    """Return a number 0…1 that runs smoothly over `position`, with a fresh value at each whole one (value noise)."""
    at = np.asarray(position, dtype=np.float64)
    whole = np.floor(at)
    x = at - whole
    x = x * x * (3.0 - 2.0 * x)
    return uniform(key, *parts, whole) * (1.0 - x) + uniform(key, *parts, whole + 1.0) * x
