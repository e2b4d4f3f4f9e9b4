"""What control knows and orders after a cycle, as raw arrays, for everybody else. Written every cycle, read at leisure.

The file of outlines beside the ring says where each array lies, so that a reader needs nothing but the folder.
`view.py` turns a Snapshot into the JSON form that pages and machines get.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from cellarer.board import tree
from cellarer.board.files import write_whole
from cellarer.board.ring import BoardError, RingReader, RingWriter, create_ring
from cellarer.model.values import State

T = TypeVar("T")

# None in what is published. `runs` changes its size: it is empty as long as no cell is bad.
PRIVATE = ("state.watch", "state.estimator", "state.forecast", "state.faults.runs")

SLOTS = 4  # a reader has three cycles to copy
SECONDS, SECONDS_BYTES = 330, 32 * 2**20  # of the last seconds so many are kept, or as many as fit, at least LEAST
LEAST = 8


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One cycle, published."""

    unix_s: float  # the moment of `state.time_ns` by the wall clock, for records only
    overruns: int  # cycles that were skipped because one took too long, since the start
    late_ns: int  # how late this cycle began
    recorder_live: bool  # events and durable state are being kept
    vetoed: NDArray[np.bool_]  # (string,) the guard refuses a path of this string
    state: State  # without what only control remembers: see PRIVATE
    work_ns: int = 0  # real time that the cycle before took


def published(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot without what nobody outside of control reads, and with plain numbers as arrays."""
    faults = replace(snapshot.state.faults, runs=None)  # type: ignore[arg-type]
    state = replace(snapshot.state, watch=None, estimator=None, forecast=None, faults=faults)  # type: ignore[arg-type]
    return _numbers_as(np.asarray, replace(snapshot, state=_numbers_as(np.asarray, state)))


def _numbers_as(form: Callable[[object], object], value: T) -> T:
    """Apply `form` to the plain numbers among the fields of a dataclass."""
    known = {f.name: getattr(value, f.name) for f in fields(value)}  # type: ignore[arg-type]
    plain = {k: form(v) for k, v in known.items() if isinstance(v, bool | int | float)}
    return replace(value, **plain)  # type: ignore[type-var]


def _plain(value: T) -> T:
    """Turn the fields of a dataclass that are arrays without axes back into plain numbers."""
    known = {f.name: getattr(value, f.name) for f in fields(value)}  # type: ignore[arg-type]
    flat = {k: v.item() for k, v in known.items() if isinstance(v, np.ndarray) and v.ndim == 0}
    return replace(value, **flat)  # type: ignore[type-var]


def create_snapshot(path: Path, first: Snapshot, *, seconds: bool = False) -> None:
    """Make the snapshot file for Snapshots of the shape of `first`, and its outline beside it.

    seconds  one Snapshot each second goes there: it keeps those of the last minutes
    """
    size = 0

    def place(array: tree.Array) -> int:
        nonlocal size
        at = size
        size += -(-array.nbytes // 8) * 8
        return at

    node = tree.outline(published(first), place)
    create_ring(path, size, max(min(SECONDS, SECONDS_BYTES // size), LEAST) if seconds else SLOTS)
    write_whole(path.with_name(path.name + ".outline"), json.dumps([size, node]).encode(), sync=False)


def _outline(path: Path) -> tuple[int, tree.Outline]:
    try:
        known = json.loads(path.with_name(path.name + ".outline").read_bytes())
    except FileNotFoundError:
        raise BoardError(f"{path}.outline is missing: is the site running?") from None
    return int(known[0]), cast(tree.Outline, known[1])


class SnapshotWriter:
    """Control's end: copies a Snapshot into one buffer and writes it as one record."""

    def __init__(self, path: Path) -> None:
        size, node = _outline(path)
        self._ring = RingWriter(path)
        self._buffer = bytearray(size)
        self._views: dict[str, NDArray[np.generic]] = {}
        self._add("", node)
        self._parts = attrgetter(*self._views)
        self._written: tuple[object, ...] = (None,) * len(self._views)

    def _add(self, name: str, node: tree.Outline) -> None:
        if "a" in node:
            view = cast(NDArray[np.generic], tree.build(node, memoryview(self._buffer)))
            self._views[name] = view
        elif "f" in node:
            for part, below in cast(dict[str, tree.Outline], node["f"]).items():
                self._add(f"{name}.{part}".lstrip("."), below)
        elif name not in PRIVATE:
            raise BoardError(f"{name} of a snapshot is no array: it would never change")

    def write(self, value: Snapshot) -> None:
        """Publish a Snapshot. Its arrays must have the shapes of the first one; nobody alters them afterwards.

        What is the same object as in the Snapshot before stands in the buffer already: so it is with most of them.
        """
        parts = self._parts(value)
        for part, before, view in zip(parts, self._written, self._views.values(), strict=True):
            if part is not before:
                view[...] = part  # no cast here: it costs as much as the copy
        self._written = parts
        self._ring.write(self._buffer)

    def close(self) -> None:
        """Let go of the file."""
        self._ring.close()


class SnapshotReader:
    """Anybody's end."""

    def __init__(self, path: Path) -> None:
        _, self._outline = _outline(path)
        self._ring = RingReader(path, oldest=True)

    def newest(self) -> Snapshot | None:
        """Return the newest Snapshot, None before the first. Its arrays are read-only."""
        data = self._ring.newest()
        return None if data is None else self._snapshot(data)

    def since(self) -> Iterator[Snapshot]:
        """Yield the Snapshots since the last call, oldest first; at first all that are there."""
        return map(self._snapshot, self._ring.read())

    @property
    def lost(self) -> int:
        """How many were overwritten before `since` came to read them."""
        return self._ring.lost

    def _snapshot(self, data: bytes) -> Snapshot:
        found = _plain(cast(Snapshot, tree.build(self._outline, memoryview(data))))
        return replace(found, state=_plain(found.state))

    def close(self) -> None:
        """Let go of the file."""
        self._ring.close()
