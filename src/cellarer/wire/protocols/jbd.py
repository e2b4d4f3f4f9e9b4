"""JBD (Jiabaida, Xiaoxiang, LLT; also sold as Overkill): smart BMS over UART, RS485 or BLE, 9600 8N1, big endian.

A question is DD A5 command 00, an order DD 5A command length data, an answer DD command status length data; then a
checksum (negative sum of the bytes after the second) and 77. + current charges, as in the house. The MOSFET order E1
holds until it is changed: this device does not open by itself when we fall silent. It sends no limits: options
`charge_A` and `discharge_A` say what the pack is built for, and hold while its own switch for that direction is on.
Source: recorded frames and two independent implementations that agree, docs/devices/jbd.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cellarer.wire.codec import pick
from cellarer.wire.crc import sum16_negative
from cellarer.wire.errors import BadFrame
from cellarer.wire.frame import Reading
from cellarer.wire.framing import Framing, Side
from cellarer.wire.protocols._foreign import any_alarm
from cellarer.wire.table import Field, Message, Option, Protocol, Role, Values

READ, WRITE = 0xA5, 0x5A
IN_TENTHS = ("current", "remaining_Ah", "full_Ah")
COARSE_ID = 0x103  # not on the wire: answer 03 of large packs
_PROTECTIONS = (
    "cell_over_voltage", "cell_under_voltage", "pack_over_voltage", "pack_under_voltage", "charge_over_temperature",
    "charge_under_temperature", "discharge_over_temperature", "discharge_under_temperature", "charge_over_current",
    "discharge_over_current", "short_circuit", "front_end", "locked", "13", "14", "15",
)  # fmt: skip


def _name(frame: bytes, data: bytes, sender: Side) -> tuple[int, bytes] | None:
    """Return (id, data) of a checked frame: command of an answer, mode and command of a question or an order."""
    if sender == "controller":
        return frame[1] << 8 | frame[2], data
    if frame[1] in (READ, WRITE):
        return None  # our own question: a line that echoes
    if frame[2]:
        raise BadFrame("refused", f"command {frame[1]:02X}, status {frame[2]:02X}")
    return (COARSE_ID if frame[1] == 0x03 and _is_coarse(data) else frame[1]), data


def _is_coarse(data: bytes) -> bool:
    """Tell whether the byte behind the temperatures says that current and charge count in 0.1 A and 0.1 Ah."""
    after = 23 + 2 * data[22] if len(data) > 22 else len(data)
    return len(data) > after and data[after] >= 0x80


def _frame(second: int, third: int, data: bytes) -> bytes:
    body = bytes((third, len(data))) + data
    return bytes((0xDD, second)) + body + sum16_negative(body).to_bytes(2, "big") + b"\x77"


FRAMING = Framing(
    head=b"\xdd",
    tail=b"\x77",
    length_at=3,
    data_at=4,
    check=sum16_negative,
    check_from=2,
    most=96,
    name=_name,
    to_device=lambda message, data: _frame(message >> 8, message & 0xFF, data),
    to_controller=lambda message, data: _frame(message, 0, data),
)

BASIC = Message(
    "basic",
    0x03,
    (
        Field("string_voltage", 0, 16, big=True, scale=0.01, unit="V"),
        Field("current", 2, 16, big=True, signed=True, scale=0.01, unit="A"),
        Field("remaining_Ah", 4, 16, big=True, scale=0.01, value=0, unit="Ah"),
        Field("full_Ah", 6, 16, big=True, scale=0.01, value=0, unit="Ah"),
        Field("cycles", 8, 16, big=True, value=0),
        Field("made", 10, 16, big=True, value=0, means="date of production, coded"),
        # two 16-bit words, big endian: the bits of cells 1 to 8 lie in the second byte
        *(Field("cell_bleeding", at, 1, count=8, index=first, value=0) for at, first in ((13, 0), (12, 8))),
        *(Field("cell_bleeding", at, 1, count=8, index=first, value=0) for at, first in ((15, 16), (14, 24))),
        *(Field(f"alarm_{n}", 17 - i // 8, 1, bit=i % 8, value=0) for i, n in enumerate(_PROTECTIONS)),
        Field("version", 18, 8, value=0x80),
        Field("foreign_soc", 19, 8, scale=0.01, high=100, unit="%"),
        Field("feedback_charge", 20, 1, value=1, means="charge MOSFET"),
        Field("feedback_discharge", 20, 1, bit=1, value=1, means="discharge MOSFET"),
        Field("series", 21, 8, value=0),
        Field("sensors", 22, 8, role=Role.COUNT),
        Field("temp_degC", 23, 16, big=True, scale=0.1, offset=-273.1, unit="K", count="sensors"),
    ),
    length=23,
)
BASIC_COARSE = replace(
    BASIC,
    name="basic_coarse",
    id=COARSE_ID,
    fields=tuple(replace(f, scale=0.1) if f.name in IN_TENTHS else f for f in BASIC.fields),
    means="answer 03 of large packs, bit 7 of the byte behind the temperatures set: coarse current and charge",
)
CELLS = Message("cells", 0x04, (Field("cell_voltage", 0, 16, big=True, scale=0.001, unit="mV", count=0),), length=2)
WRITTEN = Message("written", 0xE1, (), length=0, means="the MOSFET order was taken")


def _off(name: str, bit: int) -> Field:
    return Field(name, 1, 1, bit=bit, scale=-1, offset=1, means="1: off")


def _fill(values: Values, options: Mapping[str, Any]) -> Values:
    """Return what an emulated pack knows by itself. A switch that it has opened names the alarm."""
    cells = values.get("cell_voltage")
    alarm = pick(values, "foreign_alarm", 0) == 1
    off = {way: pick(values, f"feedback_{way}", 0) == 0 for way in ("charge", "discharge")}
    return {
        "alarm_cell_over_voltage": alarm and off["charge"],
        "alarm_cell_under_voltage": alarm and off["discharge"],
        "alarm_front_end": alarm and not any(off.values()),
        "full_Ah": options["capacity_Ah"],
        "remaining_Ah": options["capacity_Ah"] * pick(values, "foreign_soc", 0),
        "series": 0 if cells is None else len(cells),
        **values,
    }


def _derive(readings: Sequence[Reading], options: Mapping[str, Any]) -> list[Reading]:
    """Return the alarm, and limits from what the pack is built for while its switches are on.

    Its switches tell which way a protection blocks: over-voltage takes the charge limit only.
    """
    said = {r.signal: r.value for r in readings}
    more = any_alarm(readings)
    for way in ("charge", "discharge"):
        rated = options[f"{way}_A"]
        if rated and f"feedback_{way}" in said:
            more.append(Reading(f"foreign_{way}_limit", 0, rated if said[f"feedback_{way}"] == 1 else 0.0))
    return more


def _vary(protocol: Protocol, options: Mapping[str, Any]) -> Protocol:
    """Return the table of a pack whose limits are known, or not."""
    limits = (f"foreign_{way}_limit" for way in ("charge", "discharge") if options[f"{way}_A"])
    return replace(protocol, derives=("foreign_alarm", *limits))


PROTOCOL = Protocol(
    name="jbd",
    title="JBD / Xiaoxiang smart BMS",
    status="third-party-verified",
    transport="serial",
    bitrate=9600,
    framing=FRAMING,
    messages=(
        BASIC,
        BASIC_COARSE,
        CELLS,
        WRITTEN,
        Message("ask_basic", READ << 8 | 0x03, (), length=0, sender="controller", period_ms=500, asks="basic"),
        Message("ask_cells", READ << 8 | 0x04, (), length=0, sender="controller", period_ms=500, asks="cells"),
        Message(
            "switch",
            WRITE << 8 | 0xE1,
            (Field("zero", 0, 8, role=Role.CONSTANT, value=0), _off("charge_switch", 0), _off("discharge_switch", 1)),
            length=2,
            sender="controller",
            period_ms=2000,
        ),
    ),
    options={
        "charge_A": Option(0.0, "charge current that the pack is built for; 0 = not said", (0.0, 5000.0)),
        "discharge_A": Option(0.0, "discharge current that the pack is built for; 0 = not said", (0.0, 5000.0)),
        "capacity_Ah": Option(0.0, "capacity that an emulated pack reports", (0.0, 655.35)),
    },
    fill=_fill,
    derive=_derive,
    vary=_vary,
    not_tested="a live pack; frames recorded from one are decoded in the tests",
    source="docs/devices/jbd.md",
)
