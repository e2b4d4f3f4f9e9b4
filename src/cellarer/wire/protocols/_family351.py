"""Rows of the 0x351 family: one set of frames between battery and inverter, in dialects (11 bit, 500 kbit/s, LE).

+ current charges. Field names are signals of `model.quantities` where a foreign battery may be read, and those of
`faces.battery` otherwise. Layout after recordings and several implementations that agree; what does not is said in
docs/devices/inverters.md: limits are charge before discharge and little endian for SMA too; 0x35A has 01 = active,
10 = inactive, 00 = not supported; cell over-voltage is "high voltage".
"""

from collections.abc import Mapping, Sequence
from typing import Any

from cellarer.wire.frame import Reading
from cellarer.wire.protocols._foreign import any_alarm
from cellarer.wire.table import Field, Message, Option, Role

_35A = (
    ("general", "high_voltage", "low_voltage", "high_temperature"),
    ("low_temperature", "high_temperature_charge", "low_temperature_charge", "discharge_current"),
    ("charge_current", "contactor", "short_circuit", "internal"),
    ("imbalance",),
)

LIMITS = Message(
    "limits",
    0x351,
    (
        Field("charge_V", 0, 16, scale=0.1, unit="V", means="CVL: charge no further"),
        Field("foreign_charge_limit", 2, 16, signed=True, scale=0.1, low=0, unit="A", means="CCL"),
        Field("foreign_discharge_limit", 4, 16, signed=True, scale=0.1, low=0, unit="A", means="DCL"),
        Field("discharge_V", 6, 16, scale=0.1, unit="V", means="discharge no further"),
    ),
    period_ms=500,
)
_SOC = Field("foreign_soc", 0, 16, scale=0.01, high=100, unit="%")
_SOH = Field("soh", 2, 16, scale=0.01, high=100, unit="%")
CHARGE = Message("charge", 0x355, (_SOC, _SOH), length=4, period_ms=500)
CHARGE_FINE = Message(
    "charge",
    0x355,
    (_SOC, _SOH, Field("soc_fine", 4, 16, scale=1e-4, high=10000, unit="%")),
    length=6,
    period_ms=500,
)
MEASURED = Message(
    "measured",
    0x356,
    (
        Field("string_voltage", 0, 16, signed=True, scale=0.01, unit="V"),
        Field("current", 2, 16, signed=True, scale=0.1, unit="A", means="+ charges"),
        Field("temperature_degC", 4, 16, signed=True, scale=0.1, unit="degC", means="sensor farthest from 20 degC"),
    ),
    length=6,
    period_ms=500,
)


def _half_359(kind: str, at: int) -> tuple[Field, ...]:
    """Return the two bytes of protections or of warnings."""
    bits = (("high_voltage", 1), ("low_voltage", 2), ("high_temperature", 3), ("low_temperature", 4))
    more = (("discharge_current", 0, 7), ("charge_current", 1, 0), ("general", 1, 3))
    return (
        *(Field(f"{kind}_{name}", at, 1, bit=bit, value=0) for name, bit in bits),
        *(Field(f"{kind}_{name}", at + byte, 1, bit=bit, value=0) for name, byte, bit in more),
    )


ALARMS_359 = Message(
    "alarms",
    0x359,
    (
        *_half_359("alarm", 0),
        *_half_359("warning", 2),
        Field("modules", 4, 8, value=1, low=0, means="modules in parallel"),
        Field("mark_P", 5, 8, role=Role.CONSTANT, value=0x50),
        Field("mark_N", 6, 8, role=Role.CONSTANT, value=0x4E),
    ),
    length=7,
    period_ms=500,
    means="bit 3 of bytes 1 and 3, system error and internal failure, is the general alarm",
)


def _half_35a(kind: str, at: int) -> tuple[Field, ...]:
    """Return four bytes of two-bit alarms: 01 active, 10 inactive, 00 not supported; 11 is no code."""
    return tuple(
        Field(f"{kind}_{name}", at + i, 2, bit=2 * j, scale=-1, offset=2, low=1, high=2, unknown=0)
        for i, row in enumerate(_35A)
        for j, name in enumerate(row)
    )


ALARMS_35A = Message(
    "alarms",
    0x35A,
    (
        *_half_35a("alarm", 0),
        *_half_35a("warning", 4),
        Field("online", 7, 2, bit=2, scale=-1, offset=2, low=1, high=2, unknown=0, value=1, means="system is online"),
    ),
    period_ms=500,
)
REQUESTS = Message(
    "requests",
    0x35C,
    (
        Field("charge_enable", 0, 1, bit=7, value=0),
        Field("discharge_enable", 0, 1, bit=6, value=0),
        Field("force_charge_1", 0, 1, bit=5, value=0, means="may shut down otherwise"),
        Field("force_charge_2", 0, 1, bit=4, value=0, means="charge now from any source"),
        Field("full_charge", 0, 1, bit=3, value=0, means="wants a full charge soon"),
        Field("reserved", 1, 8, value=0),
    ),
    length=2,
    period_ms=500,
)


def maker(text: str) -> Message:
    """Return 0x35E with a manufacturer of at most 8 characters."""
    return Message("maker", 0x35E, (Field("maker", 0, 64, role=Role.TEXT, text=text),), period_ms=5000)


def label(name: str, frame_id: int) -> Message:
    """Return a frame of 8 characters."""
    return Message(name, frame_id, (Field(name, 0, 64, role=Role.TEXT),), period_ms=5000)


INFO = Message(
    "info",
    0x35F,
    (
        Field("model", 0, 16, value=0),
        Field("firmware", 2, 16, value=1),
        Field("capacity_Ah", 4, 16, unit="Ah", means="capacity that is online"),
    ),
    length=6,
    period_ms=5000,
)
MODULES = Message(
    "modules",
    0x372,
    tuple(
        Field(name, 2 * i, 16)
        for i, name in enumerate(("modules_ok", "modules_no_charge", "modules_no_discharge", "modules_offline"))
    ),
    period_ms=5000,
)
EXTREMES = Message(
    "extremes",
    0x373,
    (
        Field("cell_voltage_low", 0, 16, scale=0.001, unit="mV"),
        Field("cell_voltage_high", 2, 16, scale=0.001, unit="mV"),
        Field("temp_low_degC", 4, 16, offset=-273.15, low=173, high=473, unit="K"),
        Field("temp_high_degC", 6, 16, offset=-273.15, low=173, high=473, unit="K"),
    ),
    period_ms=500,
)
LABELS = (
    label("cell_low_name", 0x374),
    label("cell_high_name", 0x375),
    label("temp_low_name", 0x376),
    label("temp_high_name", 0x377),
)
INSTALLED = Message("installed", 0x379, (Field("installed_Ah", 0, 16, unit="Ah"),), length=2, period_ms=5000)

HEARTBEAT = Message("heartbeat", 0x305, (), least=0, sender="controller", period_ms=1000, authority="observe")
INVERTER = Message(
    "inverter",
    0x307,
    (Field("inverter", 4, 24, role=Role.TEXT),),
    least=7,
    sender="controller",
    authority="observe",
    means="who the inverter is; Victron says VIC",
)

OPTIONS = {
    "least_A": Option(0.0, "lowest current limit ever sent: SOFAR takes 0 for 'no limit', give it 0.1", (0.0, 1.0)),
    "lost_after_s": Option(10.0, "the inverter counts as lost after this long without its heartbeat", (1.0, 3600.0)),
}


def derive(readings: Sequence[Reading], options: Mapping[str, Any]) -> list[Reading]:
    """Say whether a foreign battery reports any protection."""
    del options
    return any_alarm(readings)
