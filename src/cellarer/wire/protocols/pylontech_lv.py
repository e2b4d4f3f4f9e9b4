"""Pylontech low voltage: the 0x351 family as most hybrid inverters expect it (Deye, Growatt, Goodwe, Solis …).

Deye knows a battery by a manufacturer that begins with "PYLON". Some inverters shut down when 0x351 is missing for 3 s.
"""

from cellarer.wire.protocols import _family351 as family
from cellarer.wire.table import Protocol

PROTOCOL = Protocol(
    name="pylontech_lv",
    title="Pylontech LV inverter CAN",
    status="third-party-verified",
    transport="can",
    roles=("device", "face"),
    messages=(
        family.LIMITS,
        family.CHARGE,
        family.MEASURED,
        family.ALARMS_359,
        family.REQUESTS,
        family.maker("PYLON"),
        family.HEARTBEAT,
        family.INVERTER,
    ),
    options=family.OPTIONS,
    derive=family.derive,
    derives=("foreign_alarm",),
    dialect="359",
    not_tested="a real inverter",
    source="Recorded frames and implementations that agree, docs/devices/inverters.md",
)
