"""Tables at work: values → data bytes and back. Pure; see `table` for what a field may say."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from cellarer.wire.crc import crc8_j1850
from cellarer.wire.errors import BadFrame
from cellarer.wire.frame import Frame, Reading
from cellarer.wire.table import Field, Message, Role, Values

# --- writing -------------------------------------------------------------------------------------------------------


def pack(message: Message, values: Values, *, frame_id: int = 0, block: int = 0, counter: int = 0) -> bytes | None:
    """Return the data bytes of one frame, or None when a value that cannot be left open is unknown.

    frame_id   goes into the CRC, so that a frame under a wrong id is refused
    block      which part of the arrays
    """
    data = bytearray(max(message.length, _size(message, values)))
    for f in message.fields:
        if f.role is Role.CRC:
            continue
        if f.role is Role.TEXT:
            _put_text(data, f, values.get(f.name, f.text))
            continue
        for i, code in enumerate(_codes(f, message, values, block, counter)):
            if code is None:
                return None
            _put(data, f, i, code)
    if crc := message.one(Role.CRC):
        data[crc.at] = _crc(frame_id, data, crc.at)
    return bytes(data)


def _codes(f: Field, message: Message, values: Values, block: int, counter: int) -> Iterator[int | None]:
    match f.role:
        case Role.COUNTER:
            yield counter % (1 << f.bits)
        case Role.BLOCK:
            yield block
        case Role.CONSTANT:
            yield int(f.value)
        case Role.INVALID:
            yield int(bool(values.get(f.name, 0)))
        case Role.COUNT:
            yield _elements(next(x for x in message.fields if x.count == f.name), values)
        case _:
            first = f.index + (block * message.blocks.per if message.blocks and f.count != 1 else 0)
            n = f.count if isinstance(f.count, int) and f.count else _elements(f, values)
            yield from (f.raw(pick(values, f.name, first + i)) for i in range(n))


def pick(values: Values, name: str, index: int) -> float:
    """Return one element of a named value; NaN where there is none."""
    value = values.get(name)
    if value is None or isinstance(value, str):
        return math.nan
    if hasattr(value, "__len__"):
        value = value[index] if index < len(value) else None
    elif index:
        value = None
    return math.nan if value is None else float(value)


def _elements(f: Field, values: Values) -> int:
    value = values.get(f.name)
    return len(value) if value is not None and hasattr(value, "__len__") else 0


def _size(message: Message, values: Values) -> int:
    ends = [f.at + (_elements(f, values) * (f.step or f.bits) + 7) // 8 for f in message.fields if not _fixed(f)]
    return max(ends, default=0)


def _fixed(f: Field) -> bool:
    return isinstance(f.count, int) and f.count > 0


def _put(data: bytearray, f: Field, element: int, code: int) -> None:
    at, bit = divmod(f.at * 8 + f.bit + element * (f.step or f.bits), 8)
    size = (bit + f.bits + 7) // 8
    order: Literal["big", "little"] = "big" if f.big else "little"
    word = int.from_bytes(data[at : at + size], order)
    word |= (code & ((1 << f.bits) - 1)) << bit
    data[at : at + size] = word.to_bytes(size, order)


def _put_text(data: bytearray, f: Field, value: object) -> None:
    size = f.bits // 8
    data[f.at : f.at + size] = str(value).encode("ascii", "replace")[:size].ljust(size, b" ")


def _crc(frame_id: int, data: bytes | bytearray, at: int) -> int:
    return crc8_j1850(bytes((frame_id & 0xFF, frame_id >> 8 & 0xFF)) + bytes(data[:at]) + bytes(data[at + 1 :]))


# --- reading -------------------------------------------------------------------------------------------------------


def unpack(message: Message, data: bytes, *, frame_id: int = 0, extra: int = 0) -> list[Reading]:
    """Return what a frame says. Raises BadFrame ("length", "crc", "constant", "block", "range").

    extra   block number that the frame's id carries
    A value that the device declares invalid or not available is NaN; a code outside its range makes the frame bad.
    """
    check(message, data, frame_id)
    block = block_of(message, data, extra)
    void = any(_get(data, f, 0) for f in message.fields if f.role is Role.INVALID)
    readings: list[Reading] = []
    for f in message.fields:
        if f.role is not Role.VALUE:
            continue
        first = f.index + (block * message.blocks.per if message.blocks and f.count != 1 else 0)
        for i in range(_present(f, message, data)):
            value = f.physical(_get(data, f, i))
            readings.append(Reading(f.name, first + i, math.nan if void else value))
    return readings


def check(message: Message, data: bytes, frame_id: int = 0) -> None:
    """Raise BadFrame unless length, CRC and constants are those of this message."""
    least = message.length if message.least is None else message.least
    if len(data) < least:
        raise BadFrame("length", f"{message.name}: {len(data)} bytes, {least} expected")
    crc = message.one(Role.CRC)
    if crc and data[crc.at] != _crc(frame_id, data[: message.length], crc.at):
        raise BadFrame("crc", message.name)
    for f in message.fields:
        if f.role is Role.CONSTANT and _get(data, f, 0) != int(f.value):
            raise BadFrame("constant", f"{message.name}: {f.name} = {_get(data, f, 0)}, {int(f.value)} expected")


def block_of(message: Message, data: bytes, extra: int = 0) -> int:
    """Return the block number of a checked frame."""
    f = message.one(Role.BLOCK)
    return extra if f is None else _get(data, f, 0)


def counter_of(message: Message, data: bytes) -> tuple[int, int] | None:
    """Return (alive counter, its modulus), or None for a message without one."""
    f = message.one(Role.COUNTER)
    return None if f is None else (_get(data, f, 0), 1 << f.bits)


def texts(message: Message, data: bytes) -> dict[str, str]:
    """Return the texts of a checked frame; bytes that are no printable ASCII read as '?'."""
    found = {}
    for f in message.fields:
        if f.role is Role.TEXT:
            raw = data[f.at : f.at + f.bits // 8]
            found[f.name] = "".join(chr(b) if 32 <= b < 127 else "?" for b in raw.rstrip(b"\0 "))
    return found


def _present(f: Field, message: Message, data: bytes) -> int:
    if isinstance(f.count, int) and f.count:
        return f.count
    room = max(0, (len(data) - f.at) * 8 // (f.step or f.bits))
    if isinstance(f.count, str):
        name = f.count
        said = _get(data, next(x for x in message.fields if x.name == name and x.role is Role.COUNT), 0)
        if said > room:
            raise BadFrame("length", f"{message.name}: {said} × {f.name} announced, {room} there")
        return said
    return room


def _get(data: bytes, f: Field, element: int) -> int:
    at, bit = divmod(f.at * 8 + f.bit + element * (f.step or f.bits), 8)
    size = (bit + f.bits + 7) // 8
    code = int.from_bytes(data[at : at + size], "big" if f.big else "little") >> bit & ((1 << f.bits) - 1)
    return code - (1 << f.bits) if f.signed and code >> (f.bits - 1) else code


def frames(
    message: Message,
    values: Values,
    address: int,
    sizes: Mapping[str, int],
    counter: Callable[[str, int], int],
    only: int | None = None,
) -> list[Frame]:
    """Return the CAN frames of one message, one per block. counter(name, block) gives the next alive counter.

    only   one block alone
    """
    made = []
    for block in range(message.block_count(sizes)) if only is None else (only,):
        frame_id = message.address_id(address, block)
        count = counter(message.name, block) if message.one(Role.COUNTER) else 0
        data = pack(message, values, frame_id=frame_id, block=block, counter=count)
        if data is not None:
            made.append(Frame(frame_id, data, message.extended))
    return made
