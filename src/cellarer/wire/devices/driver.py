"""The driver of every device: frames in, readings out; orders in, frames out. No I/O and no clock."""

from collections.abc import Sequence

import numpy as np

from cellarer.config.schema import DeviceFile
from cellarer.model.config import Config, Topology
from cellarer.model.layout import Layout
from cellarer.model.quantities import BY_NAME
from cellarer.wire.codec import frames, pack
from cellarer.wire.counters import Sender
from cellarer.wire.frame import Frame, Reading
from cellarer.wire.order import Order
from cellarer.wire.peer import NEVER_NS, Counters, Ear, check_size
from cellarer.wire.protocols import get
from cellarer.wire.table import Message, Protocol, Role, configured, settle

ANSWER_NS = 250_000_000  # so long a device may take to answer
_RANK = {"observe": 0, "limit": 1, "switch": 2}


class Driver:
    """One device. Only a valid, known, fresh frame is a sign of life; all else is counted and dropped."""

    def __init__(self, protocol: Protocol, device: DeviceFile) -> None:
        where = f"device {device.name!r}"
        if "device" not in protocol.roles:
            raise ValueError(f"{where}: protocol {protocol.name} is a face, not a device")
        self.device = device
        self.options = settle(protocol, device.options, where)
        self.protocol = configured(protocol, device.options, where)
        self._sizes = {"cell": device.cells, "temp": device.temperatures}
        check_size(self.protocol, self._sizes, where)
        self._ear = Ear(self.protocol, "device", device.address, self._sizes)
        self._count = Sender()
        self._polls = [m for m in self.protocol.sent_by("controller") if m.asks]
        self._asked_ns = [NEVER_NS] * len(self._polls)
        self._waiting_ns = NEVER_NS
        self._told: dict[str, tuple[tuple[object, ...], int]] = {}
        carried = self.protocol.signals
        self._wanted = set(carried if device.signals is None else device.signals)
        if unknown := self._wanted - set(carried):
            what = f"signals names {sorted(unknown)[0]!r}, which {protocol.name} does not carry with these options"
            raise ValueError(f"{where}: {what}; allowed: {', '.join(carried)}")

    @property
    def counters(self) -> Counters:
        """Return what came in, good and refused."""
        return self._ear.counters

    @property
    def last_good_ns(self) -> int:
        """Return when the last good frame came; NEVER_NS before the first."""
        return self._ear.last_good_ns

    def receive(self, item: Frame | bytes, now_ns: int) -> list[Reading]:
        """Return the readings in a CAN frame or serial chunk; `at` 0 is the device's first cell or sensor."""
        heard = self._ear.hear(item, now_ns)
        if heard:
            self._waiting_ns = NEVER_NS
        readings = [r for h in heard for r in h.readings]
        if readings and self.protocol.derive:
            readings += self.protocol.derive(readings, self.options)
        return [r for r in readings if r.signal in self._wanted and r.at < self._size(r.signal)]

    def due(self, now_ns: int) -> list[bytes]:
        """Return the questions to be asked now: at most one, and none while an answer is awaited."""
        if now_ns - self._waiting_ns < ANSWER_NS:
            return []
        for i, poll in enumerate(self._polls):
            if now_ns - self._asked_ns[i] >= self.protocol.period_ns(poll, self.device.period_ms):
                self._asked_ns[i] = self._waiting_ns = now_ns
                return self._serial(poll, {})
        return []

    def order(self, order: Order, now_ns: int) -> list[Frame] | list[bytes]:
        """Return the frames that carry an order; refreshing is the caller's. Without authority: none.

        A message with a period is sent when it changes and then at most that often: a line at 9600 baud, or thirty
        modules that may bleed for 2 s, need no refresh in every cycle. Switches that drop have no period.
        """
        rank = _RANK[self.device.authority]
        values = {name: getattr(order, name) for name in Order.__slots__}
        told = [
            m
            for m in self.protocol.sent_by("controller")
            if not m.asks and _RANK[m.authority] <= rank and self._is_news(m, values, now_ns)
        ]
        if self.protocol.framing:
            return [data for m in told for data in self._serial(m, values)]
        return [f for m in told for f in frames(m, values, self.device.address, self._sizes, self._count)]

    def takes(self, name: str) -> bool:
        """Tell whether the device can be ordered this (a name of Order), with the authority that it has."""
        rank = _RANK[self.device.authority]
        orders = [m for m in self.protocol.sent_by("controller") if _RANK[m.authority] <= rank]
        return any(f.name == name for m in orders for f in m.fields)

    def _is_news(self, message: Message, values: dict[str, object], now_ns: int) -> bool:
        said = tuple(values.get(f.name) for f in message.fields if f.role is Role.VALUE)
        before, when = self._told.get(message.name, ((), NEVER_NS))
        if said == before and now_ns - when < message.period_ms * 1e6:
            return False
        self._told[message.name] = (said, now_ns)
        return True

    def _serial(self, message: Message, values: dict[str, object]) -> list[bytes]:
        data = pack(message, values)
        return (
            [] if data is None or self.protocol.framing is None else [self.protocol.framing.to_device(message.id, data)]
        )

    def _size(self, signal: str) -> int:
        return self._sizes.get(BY_NAME[signal].axis, 1)


def driver(device: DeviceFile) -> Driver:
    """Return the driver that a site file asks for."""
    return Driver(get(device.protocol), device)


def converters_driven(config: Config, drivers: Sequence[Driver]) -> None:
    """Raise ValueError for converters that no device can be ordered to use: what control counts would stay in place."""
    layout = config.layout
    undriven = config.balance.topology[layout.string_of_cell] != Topology.NONE
    for driver in drivers:
        if driver.takes("give") and driver.takes("take"):
            at = places(layout, driver.device)["cell_voltage"] - layout.where["cell_voltage"].start
            undriven[at : at + driver.device.cells] = False
    if undriven.any():
        cell = int(np.flatnonzero(undriven)[0])
        string = int(layout.string_of_cell[cell])
        raise ValueError(
            f"balancing.topology of string {string + 1}: no device drives the converter of cell "
            f"{cell - int(layout.first_cell[string]) + 1}; allowed: none, or a device with authority = limit whose "
            "protocol orders converters (cmu)"
        )


def places(layout: Layout, device: DeviceFile) -> dict[str, int]:
    """Return for every signal where index 0 of this device lies in the flat Sample of the site.

    Raises ValueError when the device reaches beyond its pack, string, cells or sensors.
    """
    pack_index, n_pack = device.pack - 1, layout.size["pack"]
    where = f"device {device.name!r}"
    if pack_index >= n_pack:
        raise ValueError(f"{where}: pack = {device.pack}; allowed 1 to {n_pack}")
    strings = np.flatnonzero(layout.pack_of_string == pack_index)
    if device.string > len(strings):
        raise ValueError(f"{where}: string = {device.string}; allowed 1 to {len(strings)}")
    string = int(strings[device.string - 1])
    first = {"pack": pack_index, "string": string}
    for axis, owner, start, count in (
        ("cell", layout.string_of_cell, device.first_cell, device.cells),
        ("temp", layout.string_of_temp, device.first_temperature, device.temperatures),
    ):
        mine = np.flatnonzero(owner == string)
        if start - 1 + count > len(mine):
            name = "cell" if axis == "cell" else "temperature"
            raise ValueError(f"{where}: {name}s {start} to {start - 1 + count}; the string has {len(mine)}")
        first[axis] = (int(mine[0]) if mine.size else 0) + start - 1
    return {name: layout.where[name].start + first[q.axis] for name, q in BY_NAME.items()}
