"""What control knows and orders after a cycle, as raw arrays, for everybody else. Written every cycle, read at leisure.

The file of outlines beside the ring says where each array lies, so that a reader needs nothing but the folder.
`view.py` turns a Snapshot into the JSON form that pages and machines get.
"""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from cellarer.board import tree
from cellarer.board.files import write_whole
from cellarer.board.ring import BoardError, RingReader, RingWriter, create_ring
from cellarer.model.values import (
    Charging,
    Command,
    Counters,
    Estimate,
    Faults,
    Seen,
    State,
    Switches,
    Window,
    Wishes,
)

SLOTS = 4  # a reader has three cycles to copy


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One cycle, published. Axis names as in model.values."""

    time_ns: int  # monotonic, of this run's clock
    unix_s: float  # the same moment by the wall clock, for records only
    cycle: int
    overruns: int  # cycles that were skipped because one took too long, since the start
    late_ns: int  # how late this cycle began
    recorder_live: bool  # events and durable state are being kept
    vetoed: NDArray[np.bool_]  # (string,) the guard holds this string open
    config_hash: str
    seen: Seen
    estimate: Estimate
    estimated_ns: int
    faults: Faults
    switches: Switches
    charging: Charging
    wishes: Wishes
    counters: Counters
    window: Window
    command: Command


FROM_STATE = (
    "seen",
    "estimate",
    "estimated_ns",
    "faults",
    "switches",
    "charging",
    "wishes",
    "counters",
    "window",
    "command",
)


@dataclass(frozen=True, slots=True)
class Moment:
    """What the shell adds to the State: the fields of a Snapshot that `step` does not know."""

    unix_s: float
    overruns: int
    late_ns: int
    recorder_live: bool
    vetoed: NDArray[np.bool_]


def snapshot(state: State, moment: Moment, config_hash: str) -> Snapshot:
    """Return the Snapshot of a State."""
    known = {name: getattr(state, name) for name in FROM_STATE}
    added = {f.name: getattr(moment, f.name) for f in dataclasses.fields(moment)}
    return Snapshot(time_ns=state.time_ns, cycle=state.cycle, config_hash=config_hash, **known, **added)


def _numbers(value: object) -> object:
    """Turn plain numbers into arrays, so that they can change from cycle to cycle."""
    return np.asarray(value) if isinstance(value, bool | int | float) else value


def create_snapshot(path: Path, first: Snapshot) -> None:
    """Make the snapshot file for Snapshots of the shape of `first`, and its outline beside it."""
    size = 0

    def place(array: tree.Array) -> int:
        nonlocal size
        at = size
        size += -(-array.nbytes // 8) * 8
        return at

    fields = {f.name: _numbers(getattr(first, f.name)) for f in dataclasses.fields(first)}
    nodes = {name: tree.outline(value, place) for name, value in fields.items()}
    create_ring(path, size, SLOTS)
    write_whole(
        path.with_name(path.name + ".outline"), json.dumps({"size": size, "fields": nodes}).encode(), sync=False
    )


def _outline(path: Path) -> tuple[int, dict[str, tree.Outline]]:
    try:
        known = json.loads(path.with_name(path.name + ".outline").read_bytes())
    except FileNotFoundError:
        raise BoardError(f"{path}.outline is missing: is the site running?") from None
    return int(known["size"]), cast(dict[str, tree.Outline], known["fields"])


class SnapshotWriter:
    """Control's end: copies a Snapshot into one buffer and writes it as one record."""

    def __init__(self, path: Path) -> None:
        size, fields = _outline(path)
        self._ring = RingWriter(path)
        self._buffer = bytearray(size)
        self._parts: list[tuple[Callable[[object], object], NDArray[np.generic]]] = []
        for name, node in fields.items():
            self._add(name, node)

    def _add(self, name: str, node: tree.Outline) -> None:
        if "a" in node:
            view = cast(NDArray[np.generic], tree.build(node, memoryview(self._buffer)))
            self._parts.append((attrgetter(name), view))
        elif "f" in node:
            for part, below in cast(dict[str, tree.Outline], node["f"]).items():
                self._add(f"{name}.{part}", below)
        elif name != "config_hash":
            raise BoardError(f"{name} of a snapshot is no array: it would never change")

    def write(self, value: Snapshot) -> None:
        """Publish a Snapshot. Its arrays must have the shapes of the first one."""
        for get, view in self._parts:
            view[...] = cast(NDArray[np.generic], get(value))
        self._ring.write(self._buffer)

    def close(self) -> None:
        """Let go of the file."""
        self._ring.close()


class SnapshotReader:
    """Anybody's end."""

    def __init__(self, path: Path) -> None:
        _, self._fields = _outline(path)
        self._ring = RingReader(path)

    def newest(self) -> Snapshot | None:
        """Return the newest Snapshot, None before the first. Its arrays are read-only."""
        data = self._ring.newest()
        if data is None:
            return None
        block = memoryview(data)
        parts = {name: tree.build(node, block) for name, node in self._fields.items()}
        plain = {k: v.item() if isinstance(v, np.ndarray) and v.ndim == 0 else v for k, v in parts.items()}
        return Snapshot(**plain)  # type: ignore[arg-type]

    def close(self) -> None:
        """Let go of the file."""
        self._ring.close()
