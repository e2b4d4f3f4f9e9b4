"""DBC text of a CAN protocol, made from the same table that sends and reads it.

Arrays become numbered signals (from 1); blocks become a multiplexor or messages of their own. Physical values are in
the field's unit on the wire. Checked in the tests by cantools in strict mode: other people's reading of the format.
"""

from collections.abc import Iterator, Mapping

from cellarer.wire.table import Field, Message, Protocol, Role

# SI inside → unit on the wire: factor, offset
_UNITS = {"%": (100.0, 0.0), "mV": (1000.0, 0.0), "mA": (1000.0, 0.0), "K": (1.0, 273.15)}
_RENAMED = {
    "foreign_charge_limit": "charge_limit",
    "foreign_discharge_limit": "discharge_limit",
    "foreign_soc": "soc",
}
_NODE = {"device": "BMS", "controller": "PEER"}


def dbc(protocol: Protocol, cells: int = 0, temperatures: int = 0, address: int = 1) -> str:
    """Return the DBC of a device or face with so many cells and sensors. Raises ValueError for other buses."""
    if protocol.transport != "can":
        raise ValueError(f"protocol {protocol.name} is not on CAN: there is no DBC")
    sizes = {"cell": cells, "temp": temperatures}
    every = [(m, block) for m in protocol.messages for block in _blocks(m, sizes)]
    bodies, comments, tables, cycles = [], [], [], []
    for message, block in every:
        frame_id = message.address_id(address, block or 0) | (0x80000000 if message.extended else 0)
        name = message.name if block is None else f"{message.name}_{block + 1}"
        signals = list(_signals(message, sizes, block))
        bodies.append(
            f"BO_ {frame_id} {name}: {message.length} {_NODE[message.sender]}\n"
            + "".join(text for _, text, _ in signals)
        )
        if message.means:
            comments.append(f'CM_ BO_ {frame_id} "{message.means}";\n')
        for signal, _, field in signals:
            if field.means:
                comments.append(f'CM_ SG_ {frame_id} {signal} "{field.means}";\n')
            if field.choices:
                pairs = " ".join(f'{code} "{word}"' for code, word in sorted(field.choices.items(), reverse=True))
                tables.append(f"VAL_ {frame_id} {signal} {pairs} ;\n")
        if message.period_ms:
            cycles.append(f'BA_ "GenMsgCycleTime" BO_ {frame_id} {message.period_ms:g};\n')
    head = 'VERSION ""\n\nNS_ :\n\nBS_:\n\nBU_: BMS PEER\n\n'
    attribute = 'BA_DEF_ BO_ "GenMsgCycleTime" INT 0 65535;\nBA_DEF_DEF_ "GenMsgCycleTime" 0;\n'
    return head + "\n".join(bodies) + "\n" + "".join(comments) + attribute + "".join(cycles) + "".join(tables)


def on_wire(field: Field) -> tuple[float, float]:
    """Return scale and offset of a field in its unit on the wire."""
    factor, shift = _UNITS.get(field.unit, (1.0, 0.0))
    return field.scale * factor, field.offset * factor + shift


def _blocks(message: Message, sizes: Mapping[str, int]) -> Iterator[int | None]:
    """Yield the blocks that are messages of their own; None for a message as a whole."""
    if message.blocks is not None and message.blocks.id_step:
        yield from range(message.block_count(sizes))
    else:
        yield None


def _signals(message: Message, sizes: Mapping[str, int], own: int | None) -> Iterator[tuple[str, str, Field]]:
    """Yield (name, SG_ line, field) for every signal of a message."""
    block = message.one(Role.BLOCK)
    for field in message.fields:
        many = isinstance(field.count, int) and field.count > 1
        if many and message.blocks is not None:
            shown = range(message.block_count(sizes)) if own is None else (own,)
            for k in shown:
                mux = f" m{k}" if block is not None else ""
                first = field.index + k * message.blocks.per
                yield from _array(field, first, mux, sizes[message.blocks.axis])
        elif many:
            yield from _array(field, field.index, "", None)
        else:
            mux = " M" if field is block and message.block_count(sizes) > 0 else ""
            name = _RENAMED.get(field.name, field.name)
            yield name, _line(name, field, 0, mux), field


def _array(field: Field, first: int, mux: str, size: int | None) -> Iterator[tuple[str, str, Field]]:
    for i in range(field.count if isinstance(field.count, int) else 0):
        if size is None or first + i < size:
            name = f"{_RENAMED.get(field.name, field.name)}_{first + i + 1}"
            yield name, _line(name, field, i, mux), field


def _line(name: str, field: Field, element: int, mux: str) -> str:
    at = field.at * 8 + field.bit + element * (field.step or field.bits)
    big = field.big and field.bits >= 8
    start = at + 7 if big else at
    scale, offset = on_wire(field)
    low, high = sorted(code * scale + offset for code in (field.raw_low, field.raw_high))
    order, sign = ("0" if big else "1"), ("-" if field.signed else "+")
    span = f"({scale:.12g},{offset:.12g}) [{low:.12g}|{high:.12g}]"
    return f' SG_ {name}{mux} : {start}|{field.bits}@{order}{sign} {span} "{field.unit}" PEER\n'


if __name__ == "__main__":
    import sys

    from cellarer.wire.protocols import get

    sys.stdout.write(dbc(get("vcu"), cells=96, temperatures=24))
