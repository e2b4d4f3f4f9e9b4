"""A protocol as a table: messages made of fields, used to read a device, to serve a face and to emulate a device.

Everything here is pure: bytes in, readings out, and back. A field says where it lies, how it scales and what code means
"not available". Values are those of `model.quantities` (SI silent, + charges); names that are no signal (limits,
alarms) are explained where they are used. What is unknown is not sent: a value that is NaN is written as the field's
`unknown` code, and where there is none the whole message is left out. Values beyond the field saturate, never wrap.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from cellarer.model.quantities import BY_NAME
from cellarer.wire.errors import BadFrame
from cellarer.wire.frame import Reading
from cellarer.wire.framing import Framing

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
