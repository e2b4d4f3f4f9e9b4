"""A protocol as a table: messages made of fields, used to read a device, to serve a face and to emulate a device.

Everything here is pure: bytes in, readings out, and back. A field says where it lies, how it scales and what code means
"not available". Values are those of `model.quantities` (SI silent, + charges); names that are no signal (limits,
alarms) are explained where they are used. What is unknown is not sent: a value that is NaN is written as the field's
`unknown` code, and where there is none the whole message is left out. Values beyond the field saturate, never wrap.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from cellarer.model.quantities import BY_NAME
from cellarer.wire.crc import crc8_j1850
from cellarer.wire.errors import BadFrame
from cellarer.wire.frame import Frame, Reading
from cellarer.wire.framing import Framing

Value = float | int | bool | str | Sequence[float] | None
Values = Mapping[str, Any]  # name → number, sequence of numbers (one per cell, sensor …) or text


class Role(Enum):
    """What a field is for."""

    VALUE = "value"
    CONSTANT = "constant"  # must read `value`, or the frame is another one
    COUNTER = "counter"  # alive counter
    CRC = "crc"  # CRC-8 SAE J1850 over the low 16 bits of the id, low byte first, and every other byte
    BLOCK = "block"  # which part of an array this frame carries
    INVALID = "invalid"  # 1: the device declares the values of this frame wrong
    COUNT = "count"  # how many elements the array field of the same message has
    TEXT = "text"  # ASCII, `bits`/8 characters


@dataclass(frozen=True, slots=True)
class Field:
    """Where a value lies: raw = (value − offset)/scale, rounded. `big`: most significant byte first, whole bytes."""

    name: str
    at: int  # byte of the lowest bit; with `big` the first byte
    bits: int
    bit: int = 0  # lowest bit inside byte `at`
    big: bool = False
    signed: bool = False
    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""  # unit on the wire, for the DBC and the documentation
    unknown: int | None = None  # raw code of "not available"
    low: int | None = None  # raw range that is a value
    high: int | None = None
    count: int | str = 1  # elements; a name is the COUNT field of the message, 0 = until the end of the data
    step: int = 0  # bits from one element to the next; 0 = `bits`
    index: int = 0  # of the first element inside the device (or inside the block)
    role: Role = Role.VALUE
    value: float = math.nan  # CONSTANT: what it must read; VALUE: sent when nobody knows better
    text: str = ""  # TEXT: sent when nobody knows better
    means: str = ""
    choices: Mapping[int, str] = field(default_factory=dict)

    @property
    def raw_low(self) -> int:
        """Return the lowest raw code that is a value."""
        return self.low if self.low is not None else -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def raw_high(self) -> int:
        """Return the highest raw code that is a value."""
        if self.high is not None:
            return self.high
        top = (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1
        return top - 1 if self.unknown == top else top

    def raw(self, value: float) -> int | None:
        """Return the code for a value, saturated; None if it is unknown and the field cannot say so."""
        if math.isnan(value):
            return self.unknown if math.isnan(self.value) else self.raw(self.value)
        code = (value - self.offset) / self.scale
        return int(min(max(round(code) if math.isfinite(code) else code, self.raw_low), self.raw_high))

    def physical(self, code: int) -> float:
        """Return the value of a code; NaN for "not available". Raises BadFrame when the code is no value."""
        if code == self.unknown:
            return math.nan
        if not self.raw_low <= code <= self.raw_high:
            raise BadFrame("range", f"{self.name} = {code}, allowed {self.raw_low} to {self.raw_high}")
        # 28 · 0.1 reads 2.8 and not 2.8000000000000003: scales are decimal
        return round(code * self.scale + self.offset, 9)


@dataclass(frozen=True, slots=True)
class Blocks:
    """An array over frames of `per` elements; the number stands in a BLOCK field, or adds `id_step` to the id."""

    axis: Literal["cell", "temp"]
    per: int
    id_step: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """One kind of frame. On serial lines `id` is the command and `length` the least number of data bytes."""

    name: str
    id: int
    fields: tuple[Field, ...]
    length: int = 8
    least: int | None = None  # shortest data that is read; None = `length`
    period_ms: float = 0.0  # 0 = only when asked, or ordered
    asks: str = ""  # a question: name of the message that answers
    sender: Literal["device", "controller"] = "device"
    blocks: Blocks | None = None
    id_step: int = 0  # id of address a = id + (a − 1)·id_step
    extended: bool = False
    authority: Literal["observe", "limit", "switch"] = "switch"  # what a controller needs to send it
    means: str = ""

    def one(self, role: Role) -> Field | None:
        """Return the field of a role that occurs at most once."""
        return next((f for f in self.fields if f.role is role), None)

    def address_id(self, address: int, block: int = 0) -> int:
        """Return the frame id of a device and block. Addresses count from 1."""
        return self.id + (address - 1) * self.id_step + (block * self.blocks.id_step if self.blocks else 0)

    def block_count(self, sizes: Mapping[str, int]) -> int:
        """Return how many frames carry the whole array. sizes: elements per axis of the device."""
        return -(-sizes[self.blocks.axis] // self.blocks.per) if self.blocks else 1


@dataclass(frozen=True, slots=True)
class Option:
    """One key of `options` in the site file."""

    default: float | int | str | bool
    means: str
    allowed: tuple[float | int | str, ...] = ()  # for numbers lowest and highest, for text every word
    required: bool = False


Status = Literal["decoded-only", "loopback-verified", "third-party-verified", "hardware-verified"]
Fill = Callable[[Values, Mapping[str, Any]], Values]
Derive = Callable[[Sequence[Reading], Mapping[str, Any]], list[Reading]]
Vary = Callable[["Protocol", Mapping[str, Any]], "Protocol"]


@dataclass(frozen=True, slots=True)
class Protocol:
    """One way of speaking. `wire/protocols/<name>.py` holds one as `PROTOCOL`."""

    name: str
    title: str
    status: Status
    transport: Literal["can", "serial", "mqtt"]
    messages: tuple[Message, ...] = ()
    bitrate: int = 500_000  # bit/s, or baud
    roles: tuple[Literal["device", "face"], ...] = ("device",)
    framing: Framing | None = None  # serial lines
    options: Mapping[str, Option] = field(default_factory=dict)
    vary: Vary | None = None  # a variant by options
    fill: Fill | None = None  # what an emulated device knows beside the plant's sensors
    derive: Derive | None = None  # readings that follow from others …
    derives: tuple[str, ...] = ()  # … and their names
    dialect: str = ""  # faces: which alarm bits, a key of wire.alarms.DIALECTS
    drops_after_ms: float | None = None  # outputs fall this long after the last order; None = they hold
    not_tested: str = ""  # hardware it was not tested on
    source: str = ""

    def message(self, name: str) -> Message:
        """Return the message of a name."""
        return next(m for m in self.messages if m.name == name)

    def sent_by(self, sender: Literal["device", "controller"]) -> tuple[Message, ...]:
        """Return the messages of one side."""
        return tuple(m for m in self.messages if m.sender == sender)

    def period_ns(self, message: Message, fastest_ms: float | None) -> int:
        """Return the period of a message. fastest_ms: wanted for the fastest one; the others keep their ratio."""
        cyclic = [m.period_ms for m in self.messages if m.period_ms and m.sender == message.sender]
        ratio = fastest_ms / min(cyclic) if fastest_ms and cyclic else 1.0
        return int(message.period_ms * ratio * 1e6)

    @property
    def values(self) -> tuple[str, ...]:
        """Return the names of everything that the device side says, each once."""
        return tuple(dict.fromkeys(f.name for m in self.sent_by("device") for f in m.fields if f.role is Role.VALUE))

    @property
    def signals(self) -> tuple[str, ...]:
        """Return the signals of the house that a driver of this protocol can deliver."""
        return tuple(name for name in (*self.values, *self.derives) if name in BY_NAME)


def configured(protocol: Protocol, options: Mapping[str, float | int | str | bool], where: str = "") -> Protocol:
    """Return the variant that a site asks for. Raises ValueError that names the key and what is allowed."""
    settle(protocol, options, where)
    return protocol.vary(protocol, settle(protocol, options, where)) if protocol.vary else protocol


def settle(protocol: Protocol, options: Mapping[str, float | int | str | bool], where: str = "") -> dict[str, Any]:
    """Return all options with defaults filled in, checked."""
    at = f"{where}: " if where else ""
    for key, value in options.items():
        option = protocol.options.get(key)
        if option is None:
            known = ", ".join(sorted(protocol.options)) or "none"
            raise ValueError(f"{at}options.{key} is unknown to protocol {protocol.name}; allowed: {known}")
        _check_option(option, value, f"{at}options.{key} = {value!r}")
    missing = [k for k, o in protocol.options.items() if o.required and k not in options]
    if missing:
        raise ValueError(f"{at}options.{missing[0]} is missing: {protocol.options[missing[0]].means}")
    return {k: o.default for k, o in protocol.options.items()} | dict(options)


def _check_option(option: Option, value: float | int | str | bool, what: str) -> None:
    kind = type(option.default)
    if isinstance(value, bool) != (kind is bool) or isinstance(value, str) != (kind is str):
        raise ValueError(f"{what} must be a {'number' if kind in (int, float) else kind.__name__}")
    if isinstance(value, str) and option.allowed and value not in option.allowed:
        raise ValueError(f"{what}; allowed: {', '.join(map(str, option.allowed))}")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and option.allowed:
        low, high = float(option.allowed[0]), float(option.allowed[-1])
        if not low <= value <= high:
            raise ValueError(f"{what}; allowed {low:g} to {high:g}")


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
