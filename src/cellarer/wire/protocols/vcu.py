"""Cellarer towards a vehicle control unit (VCU): state, limits, measurements, alarms, every cell; and its command.

11-bit ids 0x2A0 to 0x2AF, 500 kbit/s, little endian, 8 bytes. What a vehicle acts on carries an alive counter and
CRC-8 J1850 over the id and the data; cells and temperatures are multiplexed by their first byte. A VCU that has asked
to close repeats its command at least every `command_timeout_ms`, or it counts as lost and the pack is asked to open.
The DBC is made from this table: wire/dbc.py, docs/devices/vcu.dbc.
"""

from cellarer.wire.alarms import CATEGORIES
from cellarer.wire.table import Blocks, Field, Message, Option, Protocol, Role

_PHASES = dict(enumerate((
    "open", "minus", "precharge", "plus", "closed", "ramp", "opening", "cooling", "charge_only", "discharge_only",
    "charge_ramp", "discharge_ramp",
)))  # fmt: skip
_CHARGE = dict(
    enumerate(
        ("idle", "blocked", "precondition", "bulk", "absorption", "float", "taper", "hold", "storage", "refill",
         "warming")
    )
)  # fmt: skip
_LEVELS = dict(enumerate(("none", "inform", "warn", "derate", "ramp", "open")))
_FAST_MS, _SLOW_MS = 50, 500


def _tail() -> tuple[Field, ...]:
    return (
        Field("counter", 6, 4, bit=4, role=Role.COUNTER, means="alive counter"),
        Field("crc", 7, 8, role=Role.CRC, means="CRC-8 J1850 over id (low byte, high byte) and bytes 0 to 6"),
    )


def _bit(name: str, at: int, bit: int, means: str = "") -> Field:
    return Field(name, at, 1, bit=bit, value=0, means=means)


def _alarm_bits(kind: str, at: int) -> tuple[Field, ...]:
    return tuple(_bit(f"{kind}_{name}", at + i // 8, i % 8) for i, name in enumerate(CATEGORIES))


STATE = Message(
    "state",
    0x2A0,
    (
        Field("phase", 0, 4, unknown=15, high=11, choices=_PHASES, means="switchgear"),
        Field("charge_phase", 0, 4, bit=4, unknown=15, high=10, choices=_CHARGE),
        _bit("closed", 1, 0, "every string is connected"),
        _bit("allow_charge", 1, 1),
        _bit("allow_discharge", 1, 2),
        _bit("pre_alarm", 1, 3, "load will be cut soon"),
        _bit("drive_inhibit", 1, 4, "a charge plug is in"),
        _bit("stale", 1, 5, "the BMS core is silent: limits are zero"),
        Field("fault_level", 2, 3, unknown=7, high=5, choices=_LEVELS, means="worst active fault"),
        Field("strings_closed", 3, 8, unknown=255),
        *_tail(),
    ),
    period_ms=_FAST_MS,
)
LIMITS = Message(
    "limits",
    0x2A1,
    (
        Field("foreign_charge_limit", 0, 16, scale=0.1, unit="A", means="charge current allowed"),
        Field("foreign_discharge_limit", 2, 16, scale=0.1, unit="A", means="discharge current allowed"),
        Field("charge_V", 4, 16, scale=0.1, unit="V", means="charge no further"),
        *_tail(),
    ),
    period_ms=_FAST_MS,
)
POWER = Message(
    "power",
    0x2A2,
    (
        Field("charge_W", 0, 16, scale=10, unit="W", means="charge power allowed"),
        Field("discharge_W", 2, 16, scale=10, unit="W", means="discharge power allowed"),
        Field("discharge_V", 4, 16, scale=0.1, unit="V", means="discharge no further"),
        *_tail(),
    ),
    period_ms=_FAST_MS,
)


def _peaks(way: str, frame_id: int) -> Message:
    return Message(
        f"peaks_{way}",
        frame_id,
        (
            Field(f"{way}_2s_W", 0, 16, scale=10, unit="W", means="for 2 s from now"),
            Field(f"{way}_30s_W", 2, 16, scale=10, unit="W", means="for 30 s"),
            Field(f"{way}_continuous_W", 4, 16, scale=10, unit="W", means="for as long as it lasts"),
            *_tail(),
        ),
        period_ms=_FAST_MS,
        means="what may flow for a time; what may flow for 10 s is in `power`, and only that is a limit",
    )


PEAKS = _peaks("charge", 0x2A9), _peaks("discharge", 0x2AA)
MEASURED = Message(
    "measured",
    0x2A3,
    (
        Field("string_voltage", 0, 16, scale=0.1, unit="V", unknown=0xFFFF),
        Field("current", 2, 16, signed=True, scale=0.1, unit="A", unknown=-0x8000, low=-0x7FFF, means="+ charges"),
        Field("link_voltage", 4, 16, scale=0.1, unit="V", unknown=0xFFFF),
        *_tail(),
    ),
    period_ms=_FAST_MS,
)
ENERGY = Message(
    "energy",
    0x2A4,
    (
        Field("foreign_soc", 0, 16, scale=1e-4, unit="%", unknown=0xFFFF, high=10000),
        Field("soc_sigma", 2, 8, scale=0.002, unit="%", unknown=255, means="one standard deviation of the SOC"),
        Field("soh", 3, 8, scale=0.005, unit="%", unknown=255),
        Field("energy_Wh", 4, 16, scale=10, unit="Wh", unknown=0xFFFF, means="until the first cell is empty"),
        *_tail(),
    ),
    period_ms=_SLOW_MS,
)
EXTREMES = Message(
    "extremes",
    0x2A5,
    (
        Field("cell_voltage_low", 0, 14, scale=0.001, unit="V", unknown=0x3FFF),
        Field("cell_voltage_high", 2, 14, scale=0.001, unit="V", unknown=0x3FFF),
        Field("temp_low_degC", 4, 8, offset=-50, unit="degC", unknown=255),
        Field("temp_high_degC", 5, 8, offset=-50, unit="degC", unknown=255),
        *_tail(),
    ),
    period_ms=_SLOW_MS,
)
ALARMS = Message(
    "alarms",
    0x2A6,
    (*_alarm_bits("alarm", 0), *_alarm_bits("warning", 3), *_tail()),
    period_ms=_SLOW_MS,
    means="one bit per category; alarm: ramp or open, warning: warn or derate",
)
CELLS = Message(
    "cells",
    0x2A7,
    (
        Field("block", 0, 8, role=Role.BLOCK),
        Field("cell_voltage", 1, 16, scale=1e-4, unit="V", unknown=0xFFFF, high=60000, count=3),
        Field("crc", 7, 8, role=Role.CRC),
    ),
    period_ms=1000,
    blocks=Blocks("cell", 3),
)
TEMPERATURES = Message(
    "temperatures",
    0x2A8,
    (
        Field("block", 0, 8, role=Role.BLOCK),
        Field("temp_degC", 1, 8, offset=-50, unit="degC", unknown=255, count=6),
        Field("crc", 7, 8, role=Role.CRC),
    ),
    period_ms=1000,
    blocks=Blocks("temp", 6),
)
COMMAND = Message(
    "command",
    0x2AF,
    (
        Field("command", 0, 2, high=2, choices={0: "none", 1: "close", 2: "open"}),
        Field("reset", 0, 1, bit=2, means="0 to 1: reset what may be reset"),
        *_tail(),
    ),
    sender="controller",
    period_ms=100,
)

PROTOCOL = Protocol(
    name="vcu",
    title="Vehicle control unit",
    status="third-party-verified",
    transport="can",
    roles=("device", "face"),
    messages=(STATE, LIMITS, POWER, *PEAKS, MEASURED, ENERGY, EXTREMES, ALARMS, CELLS, TEMPERATURES, COMMAND),
    options={
        "commands": Option(False, "the VCU may ask to close and to reset; opening is always heard"),
        "command_timeout_ms": Option(
            500.0, "a VCU that had us closed and is silent for this long is lost", (100.0, 2e3)
        ),
        "lost_after_s": Option(2.0, "the VCU counts as lost after this long", (0.1, 60.0)),
    },
    dialect="own",
    not_tested="a real vehicle",
    source="own, docs/devices/vcu.md",
)
