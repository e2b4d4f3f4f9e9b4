"""Isabellenhütte IVT-S: shunt with three voltage channels on CAN.

Eight results under 0x521 to 0x528, 6 bytes: number of the result, counter (low nibble) and status (high nibble: 1 over-
current signal, 2 this channel's error, 4 any measurement error, 8 system error), then a signed 32-bit number. The byte
order is a setting inside the sensor, big endian when it leaves the works: it is an option here and never guessed. The
counter is checked; there is no CRC. Its sign is that of the wiring: option `reversed`.
Source: IVT-S data sheet DBC of 12 Aug 2020 as published with foxBMS 2.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cellarer.wire.table import Field, Message, Option, Protocol, Role

_NONE = "none"
_CHANNELS = ("string_voltage", "link_voltage", _NONE)
# number, name of the result, our name, scale, unit, period
_RESULTS = (
    (0, "I", "current", 1e-3, "mA", 20),
    (1, "U1", "u1", 1e-3, "mV", 40),
    (2, "U2", "u2", 1e-3, "mV", 40),
    (3, "U3", "u3", 1e-3, "mV", 40),
    (4, "T", "temp_degC", 0.1, "degC", 200),
    (5, "W", "power", 1.0, "W", 200),
    (6, "As", "charge_As", 1.0, "As", 200),
    (7, "Wh", "energy_Wh", 1.0, "Wh", 200),
)


def _message(number: int, name: str, signal: str, scale: float, unit: str, period_ms: float) -> Message:
    fields = (
        Field("result", 0, 8, role=Role.CONSTANT, value=number),
        Field("counter", 1, 4, role=Role.COUNTER),
        Field("over_current", 1, 1, bit=4, value=0, means="over-current signal of the sensor"),
        Field("channel_error", 1, 1, bit=5, role=Role.INVALID),
        Field("measurement_error", 1, 1, bit=6, value=0, means="some result is wrong, not necessarily this one"),
        Field("system_error", 1, 1, bit=7, role=Role.INVALID),
        Field(signal, 2, 32, big=True, signed=True, scale=scale, unit=unit),
    )
    return Message(f"result_{name}", 0x521 + number, fields, length=6, period_ms=period_ms)


def _vary(protocol: Protocol, options: Mapping[str, Any]) -> Protocol:
    """Return the table for one sensor: byte order, direction, what its voltage channels measure."""
    channels = {key: options[key] for key in ("u1", "u2", "u3")}
    wanted = [c for c in channels.values() if c != _NONE]
    if len(set(wanted)) < len(wanted):
        raise ValueError(f"options u1, u2, u3 name {wanted[0]} twice; each voltage is measured by one channel")

    def change(f: Field) -> Field:
        if f.name == "current" and options["reversed"]:
            f = replace(f, scale=-f.scale)
        return replace(f, name=channels.get(f.name, f.name), big=f.big and not options["little_endian"])

    kept = [m for m in protocol.messages if channels.get(m.fields[-1].name) != _NONE]
    return replace(protocol, messages=tuple(replace(m, fields=tuple(map(change, m.fields))) for m in kept))


PROTOCOL = Protocol(
    name="ivt_s",
    title="Isabellenhütte IVT-S shunt",
    status="third-party-verified",
    transport="can",
    messages=tuple(_message(*row) for row in _RESULTS),
    options={
        "little_endian": Option(False, "byte order of the results, as set in the sensor"),
        "reversed": Option(False, "the shunt is built in so that charging reads negative"),
        "u1": Option("string_voltage", "what U1 measures", _CHANNELS),
        "u2": Option("link_voltage", "what U2 measures", _CHANNELS),
        "u3": Option(_NONE, "what U3 measures", _CHANNELS),
    },
    vary=_vary,
    not_tested="a real sensor; the layout is checked against the maker's",
    source="IVT-S DBC of 12 Aug 2020",
)
