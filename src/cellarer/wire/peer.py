"""One end of a conversation by table: finds the message of a frame, checks counter and range, counts what is refused.

Shared by the driver of a device, the face towards a machine and the emulated device: who hears `device` messages is a
driver, who hears `controller` messages is a face or an emulation.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from cellarer.model.quantities import BY_NAME
from cellarer.wire.codec import block_of, check, counter_of, unpack
from cellarer.wire.counters import Receiver
from cellarer.wire.errors import BadFrame
from cellarer.wire.frame import Frame, Reading
from cellarer.wire.table import Message, Protocol, Role

NEVER_NS = -(2**62)


@dataclass(slots=True)
class Counters:
    """What came in: good frames, and refused ones by reason ("crc", "counter", "length", "range", "unknown" …)."""

    good: int = 0
    bad: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that passed every check."""

    message: Message
    block: int
    readings: list[Reading]
    data: bytes


class Ear:
    """Listens to one side of a protocol on behalf of one device or face."""

    def __init__(
        self,
        protocol: Protocol,
        sender: Literal["device", "controller"],
        address: int,
        sizes: Mapping[str, int],
    ) -> None:
        self.protocol = protocol
        self.counters = Counters()
        self.last_good_ns = NEVER_NS
        self._alive = Receiver()
        self._sizes = sizes
        self._by_id = {key: found for m in protocol.sent_by(sender) for key, found in _ids(m, address, sizes)}
        if protocol.framing:
            self._framer = protocol.framing.framer(sender)

    def hear(self, item: Frame | bytes, now_ns: int) -> list[Heard]:
        """Return the good messages in a CAN frame or serial chunk; everything else is counted and dropped."""
        heard = []
        for key, data in self._split(item):
            found = self._by_id.get(key)
            if found is None:
                if self.protocol.framing:  # a CAN bus has other talkers, a line has not
                    self.counters.bad["unknown"] += 1
                continue
            try:
                heard.append(self._take(*found, data, key[0], now_ns))
            except BadFrame as bad:
                self.counters.bad[bad.why] += 1
        self.counters.good += len(heard)
        if heard:
            self.last_good_ns = now_ns
        return heard

    def _split(self, item: Frame | bytes) -> Iterator[tuple[tuple[int, bool], bytes]]:
        if isinstance(item, Frame) or not self.protocol.framing:
            if isinstance(item, Frame) and not self.protocol.framing:
                yield (item.id, item.extended), item.data
            else:
                self.counters.bad["transport"] += 1  # bytes on a CAN bus, frames on a line
            return
        for part in self._framer.feed(item):
            if isinstance(part, BadFrame):
                self.counters.bad[part.why] += 1
            else:
                yield (part[0], False), part[1]

    def _take(self, message: Message, extra: int, data: bytes, frame_id: int, now_ns: int) -> Heard:
        check(message, data, frame_id)
        block = block_of(message, data, extra)
        if block >= message.block_count(self._sizes):
            raise BadFrame("block", f"{message.name}: block {block}")
        readings = unpack(message, data, frame_id=frame_id, extra=extra)
        count = counter_of(message, data)
        if count and not self._alive.fresh(message.name, block, *count, now_ns):
            raise BadFrame("counter", message.name)
        return Heard(message, block, [r for r in readings if self._plausible(r)], data)

    def _plausible(self, reading: Reading) -> bool:
        """Tell whether a value can be one; NaN is one: the device says that it does not know."""
        quantity = BY_NAME.get(reading.signal)
        if quantity is None or math.isnan(reading.value) or quantity.low <= reading.value <= quantity.high:
            return True
        self.counters.bad["range"] += 1
        return False


def _ids(
    message: Message, address: int, sizes: Mapping[str, int]
) -> Iterator[tuple[tuple[int, bool], tuple[Message, int]]]:
    blocks = message.block_count(sizes)
    by_id = message.blocks is not None and message.blocks.id_step
    for block in range(blocks if by_id else 1):
        yield (message.address_id(address, block), message.extended), (message, block)


def check_size(protocol: Protocol, sizes: Mapping[str, int], where: str) -> None:
    """Raise ValueError if a device claims more cells or sensors than its messages can carry."""
    for message in protocol.messages:
        numbered = message.one(Role.BLOCK)
        if message.blocks is None or numbered is None:
            continue
        most = message.blocks.per << numbered.bits
        if sizes[message.blocks.axis] > most:
            key = "cells" if message.blocks.axis == "cell" else "temperatures"
            raise ValueError(
                f"{where}: {key} = {sizes[message.blocks.axis]}; protocol {protocol.name} carries 0 to {most}"
            )
