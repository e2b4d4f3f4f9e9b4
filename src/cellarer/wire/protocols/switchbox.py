"""Cellarer's switch box: a board that drives the contactors of one string and reads inputs of its pack, on CAN.

29-bit ids 0x0CB0ttaa as the module controller, with counter and CRC. Refresh or drop: every output falls 300 ms after
the last good order, whatever the reason. Auxiliary contacts and inputs are shown with a mask of what is wired, so that
a missing wire is unknown and never "off".
"""

from cellarer.wire.table import Field, Message, Protocol, Role

COILS = ("minus", "precharge", "plus", "charge_switch", "discharge_switch")
FEEDBACK = ("feedback_minus", "feedback_precharge", "feedback_plus", "feedback_charge", "feedback_discharge")
INPUTS = ("emergency_stop", "interlock_open", "crash", "gas", "ignition", "charge_plug", "charger_present")
OUTPUTS = ("allow_charge", "allow_discharge", "pre_alarm", "start_generator", "buzzer")

_TAIL = (
    Field("counter", 6, 4, role=Role.COUNTER, means="alive counter"),
    Field("reserved", 6, 4, bit=4, role=Role.CONSTANT, value=0),
    Field("crc", 7, 8, role=Role.CRC, means="CRC-8 J1850 over id (low byte, second byte) and bytes 0 to 6"),
)


def _wired(names: tuple[str, ...], at: int) -> tuple[Field, ...]:
    """Return two bits per name: 0 open, 1 closed or raised, 3 not wired or not readable; 2 is no code."""
    return tuple(Field(name, at + i // 4, 2, bit=2 * (i % 4), unknown=3, high=1) for i, name in enumerate(names))


def _orders(names: tuple[str, ...], at: int) -> tuple[Field, ...]:
    return tuple(Field(name, at, 1, bit=i, value=0) for i, name in enumerate(names))


PROTOCOL = Protocol(
    name="switchbox",
    title="Cellarer switch box",
    status="loopback-verified",
    transport="can",
    drops_after_ms=300,
    not_tested="any hardware; the protocol is offered to makers of boards",
    source="own, docs/devices/switchbox.md",
    messages=(
        Message(
            "contacts",
            0x0CB04001,
            (
                *_wired(FEEDBACK, 0),
                Field("supply_voltage", 2, 16, scale=0.001, unit="V", unknown=0xFFFF, means="supply of the coils"),
                Field("coils", 4, 8, value=0, high=31, means="outputs as driven now, bits as in `order`"),
                Field("reserved5", 5, 8, role=Role.CONSTANT, value=0),
                *_TAIL,
            ),
            period_ms=20,
            id_step=1,
            extended=True,
            means="auxiliary contacts",
        ),
        Message(
            "inputs",
            0x0CB04101,
            (
                *_wired(INPUTS, 0),
                Field("coolant_degC", 2, 16, scale=0.01, offset=-100, unit="degC", unknown=0xFFFF, high=25000),
                Field("ambient_degC", 4, 16, scale=0.01, offset=-100, unit="degC", unknown=0xFFFF, high=25000),
                *_TAIL,
            ),
            period_ms=20,
            id_step=1,
            extended=True,
            means="inputs of the pack; temperatures of coolant or air at the inlet, and around the pack",
        ),
        Message(
            "order",
            0x0CB04801,
            (
                *_orders(COILS, 0),
                *_orders(OUTPUTS, 1),
                Field("heater", 2, 8, scale=0.005, value=0, high=200, unit="", means="heater, 0 to 1"),
                Field("pump", 3, 8, scale=0.005, value=0, high=200, unit="", means="pump or fan, 0 to 1"),
                Field("reserved4", 4, 16, role=Role.CONSTANT, value=0),
                *_TAIL,
            ),
            sender="controller",
            id_step=1,
            extended=True,
            means="outputs; repeat at least every 300 ms or all fall",
        ),
    ),
)
