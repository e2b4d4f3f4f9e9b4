"""What may be closed and how much may flow: control's wish to the guard, the guard's gate to the links.

Both files have the same form. A wish is control's consent; an order at the gate has control's consent and the guard's.
Each carries a counter and an expiry: who reads an expired one, or the same one twice, does nothing with it, and the
devices behind the links open when nobody refreshes them. Little endian; guard/ reads and writes it with its own code.

Record: magic 4s, strings u16, packs u16, cells u32, flags u32, counter u64, time_ns i64, expires_ns i64, site 8s (first
bytes of the hash of the compiled Config); per string: bits u8, 7 spare, charge_A, discharge_A, charge_V, discharge_V
f64; per pack: bits u8, 7 spare, heater, pump f64; then one bit per cell: bleed (least significant bit first); then for
all cells what their converters give, and for all what they take, u8 each: steps of 0.4 %, 250 = all the time.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellarer.board.ring import BoardError, RingReader, RingWriter, create_ring
from cellarer.model.config import MOVE_STEP
from cellarer.model.values import Command

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Bools = NDArray[np.bool_]

SLOTS = 4
WISH, GATE = b"WISH", b"GATE"
LEAVING = 1  # flag: control ends on purpose; what follows is its last will
HEAD = struct.Struct("<4sHHIIQqq8s")
STRING = np.dtype(
    [
        ("bits", "u1"),
        ("spare", "u1", 7),
        ("charge_A", "<f8"),
        ("discharge_A", "<f8"),
        ("charge_V", "<f8"),
        ("discharge_V", "<f8"),
    ]
)
PACK = np.dtype([("bits", "u1"), ("spare", "u1", 7), ("heater", "<f8"), ("pump", "<f8")])

# Bits of a string: five outputs that may be closed, and at the gate why they may not.
OUTPUTS = ("minus", "precharge", "plus", "charge_switch", "discharge_switch")
CLOSED = (1 << len(OUTPUTS)) - 1
VETO_CHARGE, VETO_DISCHARGE = 32, 64  # set by the guard
LIMITS = ("charge_A", "discharge_A", "charge_V", "discharge_V")
FULL = round(1.0 / MOVE_STEP)  # code of a converter that works all the time
# Bits of a pack: digital outputs, and requests that the guard must hear of.
FLAGS = ("allow_charge", "allow_discharge", "pre_alarm", "start_generator", "buzzer")
RESET = 1 << len(FLAGS)


class Vetoes(NamedTuple):
    """What control needs of an order at the gate: which paths of each string the guard refuses, (string,)."""

    time_ns: int
    charge: Bools
    discharge: Bools

    @property
    def any(self) -> Bools:
        """Return (string,) whether it refuses a path."""
        return self.charge | self.discharge

    @property
    def both(self) -> Bools:
        """Return (string,) whether it refuses everything, so that asking to close is in vain."""
        return self.charge & self.discharge

    def against(self, command: Command) -> Bools:
        """Return (string,) whether it refuses what is ordered closed.

        A pair of which it refuses discharge alone may be closed to be charged: that it is not discharged the guard
        sees to.
        """
        pair = command.minus | command.plus
        return (self.charge & (pair | command.charge_switch)) | (self.discharge & command.discharge_switch)


@dataclass(frozen=True, slots=True, eq=False)
class Orders:
    """A wish or an order at the gate."""

    counter: int
    time_ns: int
    expires_ns: int
    site: bytes  # (8,)
    leaving: bool
    strings: NDArray[np.void]  # (string,) of STRING
    packs: NDArray[np.void]  # (pack,) of PACK
    bleed: Bools  # (cell,)
    move: Floats  # (2, cell) 0…1 as Command.move

    def output(self, name: str) -> Bools:
        """Return (string,) whether this output is ordered closed."""
        return self._bits(1 << OUTPUTS.index(name))

    @property
    def closed(self) -> Bools:
        """Return (string,) whether any output is ordered closed."""
        return self._bits(CLOSED)

    @property
    def vetoes(self) -> Vetoes:
        """Return what the guard refuses."""
        return Vetoes(self.time_ns, self._bits(VETO_CHARGE), self._bits(VETO_DISCHARGE))

    def _bits(self, mask: int) -> Bools:
        bits: Bytes = self.strings["bits"]
        return (bits & mask) > 0


def create_orders(path: Path, strings: int, packs: int, cells: int) -> None:
    """Make an empty file for wishes or for the gate."""
    create_ring(path, _size(strings, packs, cells), SLOTS)


def _size(strings: int, packs: int, cells: int) -> int:
    """Return the bytes of a record."""
    return HEAD.size + strings * STRING.itemsize + packs * PACK.itemsize + -(-cells // 8) + 2 * cells


def of_cells(bleed: Bools, move: Floats) -> bytes:
    """Return the part of a record that is about cells. A converter is never ordered more than its share."""
    codes = np.floor(np.clip(move, 0.0, 1.0) * FULL + 1e-6).astype(np.uint8)
    return np.packbits(bleed, bitorder="little").tobytes() + codes.tobytes()


def cells_in(part: bytes, cells: int) -> tuple[Bools, Floats]:
    """Return (bleed, move) in the part of a record that is about cells."""
    codes = np.frombuffer(part, np.uint8)
    bleed = np.unpackbits(codes, count=cells, bitorder="little").astype(bool)
    return bleed, np.minimum(codes[codes.size - 2 * cells :].reshape(2, cells), FULL) / FULL


def _packed(facts: list[Bools]) -> Bytes:
    """Return the bits of each string or pack: the first fact is the least significant one."""
    return np.packbits(np.array(facts), axis=0, bitorder="little")[0]


class WishWriter:
    """Control's end: consent from a Command."""

    def __init__(self, path: Path, site: bytes) -> None:
        self._ring = RingWriter(path)
        self._site = site
        self._counter = self._ring.next

    @property
    def epoch(self) -> int:
        """How often control was started in this run."""
        return self._ring.epoch

    def write(self, command: Command, reset: Bools, now_ns: int, expires_ns: int) -> None:
        """Consent to a command until `expires_ns`; reset (pack,): an authorised reset is on its way."""
        strings, packs = self._strings(command), self._packs(command, reset)
        self._put(strings, packs, command.bleed, command.move, now_ns, expires_ns, 0)

    def leave(self, command: Command, now_ns: int) -> None:
        """Write the last will: limits zero, nothing consented to any more; the guard opens when the current is low."""
        packs = np.zeros(command.heater.size, PACK)
        strings = np.zeros(command.minus.size, STRING)
        nobody = np.zeros_like(command.bleed)
        self._put(strings, packs, nobody, np.zeros((2, nobody.size)), now_ns, now_ns, LEAVING)

    @staticmethod
    def _strings(command: Command) -> NDArray[np.void]:
        strings = np.zeros(command.minus.size, STRING)
        strings["bits"] = _packed([getattr(command, name) for name in OUTPUTS])
        for name in LIMITS:
            strings[name] = getattr(command.window, name)
        return strings

    @staticmethod
    def _packs(command: Command, reset: Bools) -> NDArray[np.void]:
        packs = np.zeros(command.heater.size, PACK)
        packs["heater"], packs["pump"] = command.heater, command.pump
        packs["bits"] = _packed([*[getattr(command, name) for name in FLAGS], reset])
        return packs

    def _put(
        self, strings: NDArray[np.void], packs: NDArray[np.void], bleed: Bools, move: Floats, now_ns: int,
        expires_ns: int, flags: int,
    ) -> None:  # fmt: skip
        self._counter += 1
        head = HEAD.pack(
            WISH, strings.size, packs.size, bleed.size, flags, self._counter, now_ns, expires_ns, self._site
        )
        self._ring.write(head + strings.tobytes() + packs.tobytes() + of_cells(bleed, move))

    def close(self) -> None:
        """Let go of the file."""
        self._ring.close()


class OrdersReader:
    """The links' end of the gate; also reads wishes, for tests and tools."""

    def __init__(self, path: Path, magic: bytes = GATE) -> None:
        self._ring = RingReader(path)
        self._magic = magic

    @property
    def next(self) -> int:
        """Change of this number says that there is something new."""
        return self._ring.next

    def newest(self) -> Orders | None:
        """Return the newest whole order, expired or not; None if there is none."""
        data = self._ring.newest()
        return None if data is None else parse(data, self._magic)

    def vetoes(self) -> Vetoes | None:
        """Return what the newest whole order refuses; None if there is none. It does not look at cells."""
        data = self._ring.newest()
        if data is None:
            return None
        head, strings = _head(data, self._magic)
        return Vetoes(head[6], (strings["bits"] & VETO_CHARGE) > 0, (strings["bits"] & VETO_DISCHARGE) > 0)

    def close(self) -> None:
        """Let go of the file."""
        self._ring.close()


def parse(data: bytes, magic: bytes) -> Orders:
    """Return the Orders in a record. Raises BoardError when it is none."""
    (_, _, n_pack, n_cell, flags, counter, time_ns, expires_ns, site), strings = _head(data, magic)
    packs = np.frombuffer(data, PACK, n_pack, HEAD.size + strings.nbytes)
    bleed, move = cells_in(data[HEAD.size + strings.nbytes + packs.nbytes :], n_cell)
    return Orders(counter, time_ns, expires_ns, site, bool(flags & LEAVING), strings, packs, bleed, move)


def _head(data: bytes, magic: bytes) -> tuple[tuple[Any, ...], NDArray[np.void]]:
    """Return (the fields of HEAD, strings) of a record. Raises BoardError when it is none."""
    if len(data) < HEAD.size:
        raise BoardError(f"an order of {len(data)} bytes is too short")
    head = HEAD.unpack_from(data)
    size = _size(*head[1:4])
    if head[0] != magic or size != len(data):
        raise BoardError(f"an order of {len(data)} bytes says it is {head[0]!r} of {size} bytes, expected {magic!r}")
    return head, np.frombuffer(data, STRING, head[1], HEAD.size)
