"""What control was given, cycle by cycle, so that a run can be repeated to the last bit.

Control writes when each cycle ran and how far it had read every sample ring; the samples themselves are in those rings.
What changes seldom (requests, plan) and the whole State, now and then, go into rings of their own. `InputReader`, in
another process, collects all of it in order.

Cycle record: now_ns i64, cycle u64, changes u64, then the place in each sample ring after reading, u64. `changes`
counts the records of the ring of changes that this and all earlier cycles were given. Keyframe: number of the cycle
record that follows, State.cycle, changes given before, counts of links and signals, all u64; places u64, values f64,
times i64; then (Plan, State) as a tree.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cellarer.board import tree
from cellarer.board.files import Folder
from cellarer.board.ring import RingReader, RingWriter, create_ring
from cellarer.model.values import Plan, Requests, State

CYCLE = struct.Struct("<qQQ")
KEYFRAME = struct.Struct("<QQQQQ")
KEEP_S = 64  # how long a reader may be late and still lose nothing
KEYFRAME_NS = 60_000_000_000  # real time between two States
CHANGES, STATES = 64, 4

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Numbered = tuple[int, bytes]  # sequence number, record


def create_inputs(folder: Folder, links: int, cycle_ns: int, first: State) -> None:
    """Make the empty rings, sized by the first State of the run."""
    size = len(tree.encode(first))
    create_ring(folder.cycles, CYCLE.size + 8 * links, max(1024, KEEP_S * 1_000_000_000 // cycle_ns))
    create_ring(folder.changes, size // 4 + 8192, CHANGES)
    create_ring(folder.states, 2 * size + 65536, STATES)


class InputWriter:
    """Control's end: a few bytes a cycle."""

    def __init__(self, folder: Folder, links: int) -> None:
        self._cycles, self._changes = RingWriter(folder.cycles), RingWriter(folder.changes)
        self._states = RingWriter(folder.states)
        self._record = struct.Struct(f"{CYCLE.format}{links}Q")

    def change(self, what: Requests | Plan) -> None:
        """Note requests that are in force in the coming cycle only, or a plan that is from then on."""
        self._changes.write(tree.encode(what))

    def cycle(self, now_ns: int, cycle: int, places: Sequence[int]) -> None:
        """Note a cycle. cycle: State.cycle before it; places: of the sample rings, after reading."""
        self._cycles.write(self._record.pack(now_ns, cycle, self._changes.next, *places))

    def keyframe(self, state: State, plan: Plan, value: Floats, time_ns: Ints, places: Sequence[int]) -> None:
        """Note everything from which the coming cycle can be repeated."""
        head = KEYFRAME.pack(self._cycles.next, state.cycle, self._changes.next, len(places), value.size)
        arrays = np.array(places, "<u8").tobytes() + value.tobytes() + time_ns.tobytes()
        self._states.write(head + arrays + tree.encode((plan, state)))


@dataclass(frozen=True, slots=True, eq=False)
class Keyframe:
    """Where a run can be entered."""

    number: int  # of the cycle record that follows
    cycle: int  # State.cycle before it
    changes: int
    places: tuple[int, ...]
    value: Floats  # (signal,)
    time_ns: Ints
    packed: bytes  # (Plan, State) as a tree


def keyframe(data: bytes) -> Keyframe:
    """Read a keyframe; the State in it stays packed, because only some may know its classes."""
    number, cycle, changes, links, signals = KEYFRAME.unpack_from(data)
    at = KEYFRAME.size
    places = np.frombuffer(data, "<u8", links, at)
    value = np.frombuffer(data, "<f8", signals, at + 8 * links)
    time_ns = np.frombuffer(data, "<i8", signals, at + 8 * (links + signals))
    rest = data[at + 8 * (links + 2 * signals) :]
    return Keyframe(number, cycle, changes, tuple(places.tolist()), value, time_ns, rest)


@dataclass(slots=True)
class Piece:
    """What came since the last look. `whole`: nothing was lost before it. `places`: of all rings, after it."""

    cycles: list[Numbered] = field(default_factory=list)
    changes: list[Numbered] = field(default_factory=list)
    states: list[bytes] = field(default_factory=list)
    samples: dict[str, list[Numbered]] = field(default_factory=dict)  # link → records
    places: tuple[int, ...] = ()
    whole: bool = True

    def add(self, later: "Piece") -> None:
        """Take over what came after; the caller has seen that it is whole."""
        self.cycles += later.cycles
        self.changes += later.changes
        self.states += later.states
        for link, records in later.samples.items():
            self.samples.setdefault(link, []).extend(records)
        self.places = later.places


class InputReader:
    """The recorder's end. Begins with the oldest that is there, or where an earlier reader stopped."""

    def __init__(self, folder: Folder, links: Sequence[str], places: Sequence[int] = ()) -> None:
        self._cycles, self._changes, self._states = (
            RingReader(path, oldest=True) for path in (folder.cycles, folder.changes, folder.states)
        )
        self._samples = {link: RingReader(folder.samples(link), oldest=True) for link in links}
        self._rings = (self._cycles, self._changes, self._states, *self._samples.values())
        if len(places) == len(self._rings):
            for ring, place in zip(self._rings, places, strict=True):
                ring.place = min(place, ring.next)

    def read(self) -> Piece:
        """Return what came. Cycles are read first: what they were given is then there already."""
        before = sum(ring.lost for ring in self._rings)
        cycles = self._cycles.numbered()
        piece = Piece(
            cycles=cycles,
            changes=self._changes.numbered(),
            states=self._states.read(),
            samples={link: ring.numbered() for link, ring in self._samples.items()},
        )
        piece.places = tuple(ring.place for ring in self._rings)
        piece.whole = sum(ring.lost for ring in self._rings) == before
        return piece
