"""A simulated device speaks its real protocol: sensor values in, frames out; orders in, outputs that fall in time.

The same tables as the drivers, from the other side; nothing else is shared with them. What a device cannot know
(a value that is NaN) it does not send. A polled device answers in the next call of `frames`.
"""

import math
from enum import Enum
from typing import Any

from cellarer.config.schema import DeviceFile, FaceFile
from cellarer.wire.codec import frames, pack
from cellarer.wire.counters import Sender
from cellarer.wire.frame import Frame
from cellarer.wire.order import Order
from cellarer.wire.peer import NEVER_NS, Counters, Ear, Heard, check_size
from cellarer.wire.protocols import get
from cellarer.wire.table import Message, Protocol, Role, Values, configured, settle

_PER_CELL: dict[str, bool | float] = {"bleed": False, "give": 0.0, "take": 0.0}  # name → what it is unless told
_SWITCHES = ("minus", "precharge", "plus", "charge_switch", "discharge_switch")


class Trouble(Enum):
    """What can be wrong with a device on its wire, whatever it measures."""

    NONE = "none"
    SILENT = "silent"  # sends nothing
    DEAF = "deaf"  # hears nothing: its outputs fall
    STUCK = "stuck"  # sends the same bytes for ever
    BROKEN = "broken"  # one bit of each frame is wrong
    SHORT = "short"  # frames end in the middle


class Emulator:
    """One simulated device. `trouble` may be set at any time."""

    def __init__(self, protocol: Protocol, device: DeviceFile) -> None:
        where = f"device {device.name!r}"
        self.device = device
        self.options = settle(protocol, device.options, where)
        self.protocol = configured(protocol, device.options, where)
        self._sizes = {"cell": device.cells, "temp": device.temperatures}
        check_size(self.protocol, self._sizes, where)
        self._ear = Ear(self.protocol, "controller", device.address, self._sizes)
        self.trouble = Trouble.NONE
        self._stuck: dict[int, Frame] = {}
        self._count = Sender()
        self._sent_ns = {m.name: NEVER_NS for m in self.protocol.sent_by("device")}
        self._asked: list[str] = []
        self._told: dict[tuple[str, int], tuple[float | bool, int]] = {}  # (name, cell or 0) → order, when it came
        self._order = self._orders()
        drops = device.drops_after_ms or self.protocol.drops_after_ms
        self._drops_ns = None if drops is None else int(drops * 1e6)

    @property
    def counters(self) -> Counters:
        """Return what was heard, good and refused."""
        return self._ear.counters

    def frames(self, values: Values, now_ns: int) -> list[Frame] | list[bytes]:
        """Return what the device sends now. values: readings by signal name, arrays over its cells or sensors."""
        made = self._say(values, now_ns)
        match self.trouble:
            case Trouble.SILENT:
                return []
            case Trouble.STUCK:
                return [self._stuck.setdefault(f.id, f) if isinstance(f, Frame) else f for f in made]  # type: ignore[return-value]
            case Trouble.BROKEN | Trouble.SHORT:
                return [self._spoil(f) for f in made]  # type: ignore[return-value]
        self._stuck.clear()
        return made

    def _spoil(self, item: Frame | bytes) -> Frame | bytes:
        data = item.data if isinstance(item, Frame) else item
        half = len(data) // 2
        bad = data[:half] if self.trouble is Trouble.SHORT else bytes((*data[:half], data[half] ^ 4, *data[half + 1 :]))
        return item._replace(data=bad) if isinstance(item, Frame) else bad

    def _say(self, values: Values, now_ns: int) -> list[Frame] | list[bytes]:
        order = self.outputs(now_ns)
        known = dict(values)
        known.setdefault("coils", sum(bool(getattr(order, name)) << i for i, name in enumerate(_SWITCHES)))
        if self.protocol.fill:
            known = dict(self.protocol.fill(known, self.options))
        if self.protocol.framing:
            asked, self._asked = self._asked, []
            return [data for name in asked for data in self._answer(self.protocol.message(name), known)]
        due = [m for m in self.protocol.sent_by("device") if self._is_due(m, now_ns)]
        return [f for m in due for f in frames(m, known, self.device.address, self._sizes, self._count)]

    def receive(self, item: Frame | bytes, now_ns: int) -> Order | None:
        """Take a frame or a chunk from the controller. Returns the new order, or None when it held none."""
        if self.trouble is Trouble.DEAF:
            return None
        heard = self._ear.hear(item, now_ns)
        self._asked += [h.message.asks for h in heard if h.message.asks]
        orders = [h for h in heard if not h.message.asks]
        for h in orders:
            self._take(h, now_ns)
        return self._order if orders else None

    def outputs(self, now_ns: int) -> Order:
        """Return what the outputs do now: the last order; what was not refreshed in time is off."""
        if self._drops_ns is not None and self._told:
            late = [key for key, (_, told_ns) in self._told.items() if now_ns - told_ns > self._drops_ns]
            for key in late:
                del self._told[key]
            if late:
                self._order = self._orders()
        return self._order

    def _is_due(self, message: Message, now_ns: int) -> bool:
        """Tell whether a cyclic message is to be sent, keeping its phase so that a coarse caller loses no rate."""
        period_ns = self.protocol.period_ns(message, self.device.period_ms)
        last = self._sent_ns[message.name]
        if now_ns - last < period_ns:
            return False
        self._sent_ns[message.name] = now_ns if now_ns - last >= 2 * period_ns else last + period_ns
        return True

    def _answer(self, message: Message, values: Values) -> list[bytes]:
        data = pack(message, values)
        return (
            []
            if data is None or self.protocol.framing is None
            else [self.protocol.framing.to_controller(message.id, data)]
        )

    def _take(self, heard: Heard, now_ns: int) -> None:
        for name, index, value in heard.readings:
            if name in Order.__slots__ and index < (self.device.cells if name in _PER_CELL else 1):
                field = next(f for f in heard.message.fields if f.name == name and f.role is Role.VALUE)
                self._told[name, index] = bool(value) if field.bits == 1 else value, now_ns
        self._order = self._orders()

    def _orders(self) -> Order:
        """Return what it was told, and off where it was told nothing."""
        made: dict[str, Any] = {name: value for (name, _), (value, _) in self._told.items()}
        for name, off in _PER_CELL.items():
            made[name] = tuple(self._told.get((name, cell), (off, 0))[0] for cell in range(self.device.cells))
        return Order(**made)


def emulator(device: DeviceFile) -> Emulator:
    """Return the emulation of a device of a site file."""
    return Emulator(get(device.protocol), device)


class Machine:
    """The machine on the other side of a face, simulated: an inverter, a charger or a VCU that hears our limits."""

    def __init__(self, protocol: Protocol, face: FaceFile) -> None:
        self.protocol = configured(protocol, face.options, f"face {face.name!r}")
        self._ear = Ear(self.protocol, "device", 1, {"cell": 1000, "temp": 1000})
        self._count = Sender()
        self._heard: dict[str, tuple[float, int]] = {}
        self._sent_ns = {m.name: NEVER_NS for m in self.protocol.sent_by("controller")}

    @property
    def counters(self) -> Counters:
        """Return what was heard, good and refused."""
        return self._ear.counters

    def receive(self, item: Frame | bytes, now_ns: int) -> None:
        """Take a frame from the battery."""
        for heard in self._ear.hear(item, now_ns):
            self._heard.update({r.signal: (r.value, now_ns) for r in heard.readings if r.at == 0})

    def heard(self, name: str, now_ns: int, max_age_s: float = 3.0) -> float:
        """Return what the battery last said under this name; NaN when it never did or not for `max_age_s`."""
        value, when = self._heard.get(name, (math.nan, NEVER_NS))
        return value if now_ns - when <= max_age_s * 1e9 else math.nan

    def limits(self, now_ns: int) -> tuple[float, float]:
        """Return (charge, discharge) in A that an obedient machine takes; 0 when nothing was heard for 3 s."""
        both = (self.heard(f"foreign_{way}_limit", now_ns) for way in ("charge", "discharge"))
        charge, discharge = (0.0 if math.isnan(limit) else limit for limit in both)
        return charge, discharge

    def frames(self, now_ns: int, values: Values | None = None) -> list[Frame]:
        """Return what the machine sends now: its heartbeat, and with `values` its command."""
        made = []
        for message in self.protocol.sent_by("controller"):
            period_ns = int(message.period_ms * 1e6)
            if period_ns and now_ns - self._sent_ns[message.name] >= period_ns:
                self._sent_ns[message.name] = now_ns
                made += frames(message, values or {}, 1, {"cell": 0, "temp": 0}, self._count)
        return made


def machine(face: FaceFile) -> Machine:
    """Return the machine that a face of a site file speaks to."""
    return Machine(get(face.protocol), face)
