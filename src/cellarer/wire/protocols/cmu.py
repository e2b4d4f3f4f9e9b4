"""Cellarer's module controller (CMU): a board that measures up to 48 cells and sensors and balances cells, on CAN.

29-bit ids 0x0CB0ttaa: tt = message, aa = address of the module (1 to 254). 500 kbit/s, little endian, 8 bytes each: six
of data, then block number and alive counter, then CRC-8 J1850 over the id's low 16 bits and the data, so that a frame
that is repeated, corrupted or sent under another module's id is refused. Balancing stops 2 s after its last order.
Public module protocols were weighed and left (docs/devices/cmu.md): none carries counter, CRC and open wire at once.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cellarer.model.config import MOVE_STEP
from cellarer.wire.table import Blocks, Field, Message, Option, Protocol, Role

MOST = 48


def _tail() -> tuple[Field, ...]:
    return (
        Field("counter", 6, 4, role=Role.COUNTER, means="alive counter, one up per frame of this message and block"),
        Field("block", 6, 4, bit=4, role=Role.BLOCK, means="which part of the module"),
        Field("crc", 7, 8, role=Role.CRC, means="CRC-8 J1850 over id (low byte, second byte) and bytes 0 to 6"),
    )


PASSED = "converter_currents"


def _vary(protocol: Protocol, options: Mapping[str, Any]) -> Protocol:
    """Return the table of a board that measures its converters, or not."""
    if options["measures_converters"]:
        return protocol
    return replace(protocol, messages=tuple(m for m in protocol.messages if m.name != PASSED))


PROTOCOL = Protocol(
    name="cmu",
    title="Cellarer module controller",
    status="loopback-verified",
    transport="can",
    drops_after_ms=2000,
    not_tested="any hardware; the protocol is offered to makers of boards",
    source="own, docs/devices/cmu.md",
    options={"measures_converters": Option(False, "the board measures what the converter of each cell really passes")},
    vary=_vary,
    messages=(
        Message(
            "cells",
            0x0CB01001,
            (
                Field("cell_voltage", 0, 16, scale=1e-4, offset=-0.5, unit="V", unknown=0xFFFF, high=65000, count=3),
                *_tail(),
            ),
            period_ms=100,
            blocks=Blocks("cell", 3),
            id_step=1,
            extended=True,
            means="three cells; 0xFFFF: not measured",
        ),
        Message(
            "temperatures",
            0x0CB01101,
            (
                Field("temp_degC", 0, 16, scale=0.01, offset=-100, unit="degC", unknown=0xFFFF, high=25000, count=3),
                *_tail(),
            ),
            period_ms=500,
            blocks=Blocks("temp", 3),
            id_step=1,
            extended=True,
            means="three sensors; 0xFFFF: not measured, open or shorted",
        ),
        Message(
            "flags",
            0x0CB01201,
            (
                Field("cell_open_wire", 0, 1, count=24, value=0, means="last test of the sense wires"),
                Field("cell_bleeding", 3, 1, count=24, value=0, means="bleeder is on now"),
                *_tail(),
            ),
            period_ms=500,
            blocks=Blocks("cell", 24),
            id_step=1,
            extended=True,
            means="one bit per cell, 24 cells",
        ),
        Message(
            PASSED,
            0x0CB01301,
            (
                Field(
                    "converter_current",
                    0,
                    16,
                    signed=True,
                    scale=0.002,
                    unit="A",
                    unknown=-0x8000,
                    low=-0x7FFF,
                    count=3,
                ),
                *_tail(),
            ),
            period_ms=500,
            blocks=Blocks("cell", 3),
            id_step=1,
            extended=True,
            means="with the option `measures_converters`: what converters put into their own cells, mean "
            "since the last frame, + charges; 0x8000: not measured",
        ),
        Message(
            "bleed",
            0x0CB02001,
            (
                Field("bleed", 0, 1, count=24, value=0, means="1: bleed this cell"),
                Field("reserved", 3, 24, role=Role.CONSTANT, value=0),
                *_tail(),
            ),
            sender="controller",
            period_ms=500,
            blocks=Blocks("cell", 24),
            id_step=1,
            extended=True,
            authority="observe",  # a bleeder is bounded by its resistor; it needs no power over switchgear
            means="order; repeat at least every 2 s or bleeding stops",
        ),
        Message(
            "converters",
            0x0CB02101,
            (
                Field("give", 0, 8, scale=MOVE_STEP, high=250, count=3, value=0, means="share of the time it gives"),
                Field("take", 3, 8, scale=MOVE_STEP, high=250, count=3, value=0, means="share of the time it takes"),
                *_tail(),
            ),
            sender="controller",
            period_ms=500,
            blocks=Blocks("cell", 3),
            id_step=1,
            extended=True,
            authority="limit",  # a converter can overcharge a cell: the site file says that it may be driven
            means="order to the converter of each cell; repeat at least every 2 s or it stops",
        ),
    ),
)
