"""Finding whole messages in the bytes of a serial line; after garbage or a cut frame the next good one is found."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from cellarer.wire.crc import Checksum
from cellarer.wire.errors import BadFrame

Part = tuple[int, bytes] | BadFrame | None  # (message id, data), why not, or nothing to say
Side = Literal["device", "controller"]


@dataclass(frozen=True, slots=True)
class Framing:
    """Frames with a head, a length byte, a 16-bit checksum (big endian) and a tail.

    name      gives (id, data) of a checked frame by who sent it, None for one to be passed over; may raise BadFrame
    to_device, to_controller   build a whole frame of an id and data
    """

    head: bytes
    tail: bytes
    length_at: int
    data_at: int
    check: Checksum
    check_from: int
    most: int  # data bytes
    name: Callable[[bytes, bytes, Side], tuple[int, bytes] | None]
    to_device: Callable[[int, bytes], bytes]
    to_controller: Callable[[int, bytes], bytes]

    def framer(self, sender: Side) -> "Framer":
        """Return the memory of one line, for what this side sends."""
        return Framer(self, sender)


class Framer:
    """What has arrived and is not yet a message."""

    def __init__(self, framing: Framing, sender: Side) -> None:
        self._framing = framing
        self._sender = sender
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes] | BadFrame]:
        """Yield the messages that are whole now, and a BadFrame for each run of bytes that is none."""
        f, b = self._framing, self._buffer
        b += chunk
        while True:
            at = b.find(f.head)
            if at:  # garbage before the next head, or nothing but garbage; a head cut in two stays
                del b[: at if at > 0 else max(0, len(b) - len(f.head) + 1)]
                if at > 0:
                    yield BadFrame("garbage", f"{at} bytes")
            if len(b) <= f.length_at:
                return
            size = b[f.length_at]
            end = f.data_at + size + 2 + len(f.tail)
            if size <= f.most and len(b) < end:
                return
            part = self._part(bytes(b[:end]), size)
            if isinstance(part, BadFrame) and part.why in ("length", "tail", "checksum"):
                del b[: len(f.head)]  # a real frame may begin inside
            else:
                del b[:end]
            if part is not None:
                yield part

    def _part(self, frame: bytes, size: int) -> Part:
        f = self._framing
        if size > f.most:
            return BadFrame("length", f"{size} data bytes, allowed {f.most}")
        if frame[-len(f.tail) :] != f.tail:
            return BadFrame("tail", frame.hex())
        covered = frame[f.check_from : f.data_at + size]
        if f.check(covered).to_bytes(2, "big") != frame[f.data_at + size : f.data_at + size + 2]:
            return BadFrame("checksum", frame.hex())
        try:
            return f.name(frame, frame[f.data_at : f.data_at + size], self._sender)
        except BadFrame as bad:
            return bad
