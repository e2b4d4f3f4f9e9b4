"""SMA Sunny Island: the 0x351 family with fine SOC and two-bit alarms. Little endian, charge before discharge limit.

One public implementation sends it big endian with the limits exchanged; two manuals and a DBC say otherwise.
"""

from dataclasses import replace

from cellarer.wire.protocols import _family351 as family
from cellarer.wire.table import Protocol

PROTOCOL = Protocol(
    name="sma",
    title="SMA Sunny Island CAN",
    status="loopback-verified",
    transport="can",
    roles=("device", "face"),
    messages=(
        family.LIMITS,
        family.CHARGE_FINE,
        family.MEASURED,
        family.ALARMS_35A,
        family.maker("CELLARER"),
        family.INFO,
        family.HEARTBEAT,
        replace(family.HEARTBEAT, name="inverter_measured", id=0x306),
    ),
    options=family.OPTIONS,
    derive=family.derive,
    derives=("foreign_alarm",),
    dialect="35A",
    not_tested="a real Sunny Island",
    source="REC BMS 9R manual and user notes that agree, docs/devices/inverters.md",
)
