"""Faults of communication, carried out: frames of a device are lost, delayed, garbled, repeated, or invented.

The world passes every frame of a device through `pass_on` before it reaches the bus. Same seed, same damage.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cellarer.sim import noise
from cellarer.sim.catalogue import FAULTS
from cellarer.wire.frame import Frame

if TYPE_CHECKING:
    from cellarer.sim.plant import Plant

Item = Frame | bytes  # a frame of CAN, a chunk of a serial line

FOREVER = 2**62
BABBLE = 20  # copies of every frame
KEPT = 64  # frames that a replaying stranger has recorded
FAULTS_OF_WIRES = tuple(fault.name for fault in FAULTS if fault.by == "link")


class Wires:
    """The wire of one device of one string."""

    def __init__(self, plant: "Plant", string: int = 0, seed: int = 1) -> None:
        self.plant, self.string, self.key, self.count = plant, string, noise.mix(seed, string, 51), 0
        self.sound: deque[Item] = deque(maxlen=KEPT)  # as they were before any fault
        self.late: deque[tuple[int, Item]] = deque()

    def pass_on(self, items: Sequence[Item], now_ns: int) -> list[Item]:
        """Return what arrives of the frames or chunks that a device sends now."""
        sizes = {name: self.plant.asked(name, self.string) for name in FAULTS_OF_WIRES}
        acting = {name: size for name, size in sizes.items() if size}
        if not acting:
            self.sound.extend(items)
            return [*self.late_ones([], FOREVER, 0.0), *items]
        arriving = list(items)
        for name, size in acting.items():
            arriving = ACTIONS[name](self, arriving, now_ns, size)
        return arriving

    def draw(self, below: int) -> int:
        """Return the next random whole number below a bound."""
        self.count += 1
        return int(noise.mix(self.key, self.count)[0] % below)

    def late_ones(self, items: list[Item], now_ns: int, delay_s: float) -> list[Item]:
        """Keep frames back for delay_s; return those whose time has come."""
        self.late.extend((now_ns + round(delay_s * 1e9), item) for item in items)
        due = []
        while self.late and self.late[0][0] <= now_ns:
            due.append(self.late.popleft()[1])
        return due

    def flip(self, item: Item) -> Item:
        """Return the frame with one bit of its data turned."""
        data = bytearray(_data(item))
        if data:
            bit = self.draw(8 * len(data))
            data[bit // 8] ^= 1 << bit % 8
        return _with(item, bytes(data))

    def strange(self, item: Item) -> Item:
        """Return a frame of the same address with data of a stranger."""
        return _with(item, bytes(self.draw(256) for _ in _data(item)))


def _data(item: Item) -> bytes:
    return item.data if isinstance(item, Frame) else item


def _with(item: Item, data: bytes) -> Item:
    return item._replace(data=data) if isinstance(item, Frame) else data


def _short(item: Item, by: int) -> Item:
    data = _data(item)
    return _with(item, data[: max(len(data) - by, 0)])


Action = Callable[[Wires, list[Item], int, float], list[Item]]

ACTIONS: dict[str, Action] = {
    "frames_lost": lambda wires, items, now, size: [],
    "frames_stale": lambda wires, items, now, size: list(wires.sound)[-len(items) :] if items else [],
    "frames_delayed": lambda wires, items, now, size: wires.late_ones(items, now, size),
    "frames_disordered": lambda wires, items, now, size: items[::-1],
    "frames_babbling": lambda wires, items, now, size: [item for item in items for _ in range(BABBLE)],
    "frames_corrupt": lambda wires, items, now, size: [wires.flip(item) for item in items],
    "frames_truncated": lambda wires, items, now, size: [_short(item, 1 + wires.draw(4)) for item in items],
    "frames_wrong_length": lambda wires, items, now, size: [
        _with(_short(i, 1), _data(_short(i, 1))[::-1]) for i in items
    ],
    "frames_replayed": lambda wires, items, now, size: [*list(wires.sound)[: len(items)], *items],
    "frames_inserted": lambda wires, items, now, size: [x for item in items for x in (item, wires.strange(item))],
    "bus_off": lambda wires, items, now, size: [],
    "bus_full": lambda wires, items, now, size: [item for item in items if wires.draw(10) == 0],
    "wrong_bitrate": lambda wires, items, now, size: [],
    "poll_exceptions": lambda wires, items, now, size: [_with(item, _data(item)[:1] + b"\x83\x04") for item in items],
    "poll_collisions": lambda wires, items, now, size: [wires.strange(item) for item in items],
    "duplicate_address": lambda wires, items, now, size: [wires.flip(x) for item in items for x in (item, item)],
}
