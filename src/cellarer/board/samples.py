"""Readings of one bus in a ring: what was measured, when, and how many frames the bus had delivered by then.

Record: time_ns i64, frames u32, count u32, then up to 8 pairs (signal index u32, value f64); the index is the place in
the flat `Sample` of the site's Layout. More readings than fit make several records of the same time.
"""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellarer.board.ring import RingReader, RingWriter, create_ring

PAIRS = 8
HEAD, TIME = struct.Struct("<qII"), struct.Struct("<q")
PAIR = np.dtype([("signal", "<u4"), ("value", "<f8")])
KEEP_S = 64  # how long a reader may be late and still lose nothing
_PACKERS = [struct.Struct("<qII" + "Id" * n) for n in range(PAIRS + 1)]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def create_samples(path: Path, records_per_s: float) -> None:
    """Make an empty sample ring that holds KEEP_S seconds at the given rate."""
    create_ring(path, HEAD.size + PAIRS * PAIR.itemsize, max(1024, int(KEEP_S * records_per_s)))


class SampleWriter(RingWriter):
    """The link's end of the ring."""

    def put(self, time_ns: int, frames: int, readings: Sequence[tuple[int, float]]) -> None:
        """Write (signal index, value) readings that were measured at `time_ns`; `frames` received so far."""
        for start in range(0, len(readings), PAIRS):
            part = readings[start : start + PAIRS]
            flat = [x for pair in part for x in pair]
            self.write(_PACKERS[len(part)].pack(time_ns, frames & 0xFFFFFFFF, len(part), *flat))


class SampleReader(RingReader):
    """A reader that keeps the newest value of every signal in arrays that it is given."""

    def __init__(self, path: Path, *, oldest: bool = False) -> None:
        super().__init__(path, oldest=oldest)
        self.foreign = 0  # readings of signals that the layout does not have

    def take(self, value: Floats, time_ns: Ints, limit: int = 100_000) -> int:
        """Bring new readings into value and time_ns, both (signal,), and return how many records there were.

        A record older than what is known is kept out: a repeated or delayed record never refreshes anything.
        """
        records = self.read(limit)
        if not records:
            return 0
        records.sort(key=TIME.unpack_from)  # what bears the same time stays in order
        heads = np.array([HEAD.unpack_from(record) for record in records])
        pairs = np.frombuffer(b"".join([record[HEAD.size :] for record in records]), PAIR)
        measured_ns = heads[:, 0].repeat(heads[:, 2])
        signal, readings = pairs["signal"], pairs["value"]
        ok = signal < value.size
        if not ok.all():
            self.foreign += int((~ok).sum())
            measured_ns, signal, readings = measured_ns[ok], signal[ok], readings[ok]
        bring(value, time_ns, measured_ns, signal, readings)
        return len(records)


def bring(value: Floats, time_ns: Ints, measured_ns: Ints | int, signal: NDArray[np.integer], readings: Floats) -> None:
    """Bring readings, oldest first, into value and time_ns, both (signal,); what is known to be newer stays."""
    newer = time_ns[signal] <= measured_ns
    if not newer.all():
        measured_ns = np.broadcast_to(measured_ns, newer.shape)[newer]
        signal, readings = signal[newer], readings[newer]
    value[signal] = readings  # of a signal that is there twice the last one stays
    time_ns[signal] = measured_ns
