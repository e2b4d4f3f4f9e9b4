"""Victron CAN-bms: the 0x351 family with two-bit alarms, cell extremes, names and capacities, for GX devices.

On a GX choose the profile "CAN-bus BMS LV (500 kbit/s)". Never a charge voltage of zero: it is taken for over-voltage.
"""

from cellarer.wire.protocols import _family351 as family
from cellarer.wire.table import Protocol

PROTOCOL = Protocol(
    name="victron",
    title="Victron CAN-bms",
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
        family.label("name_1", 0x370),
        family.label("name_2", 0x371),
        family.MODULES,
        family.EXTREMES,
        *family.LABELS,
        family.INSTALLED,
        family.HEARTBEAT,
        family.INVERTER,
    ),
    options=family.OPTIONS,
    derive=family.derive,
    derives=("foreign_alarm",),
    dialect="35A",
    not_tested="a real GX device",
    source="Implementations in production that agree, docs/devices/inverters.md",
)
