"""The face of every table protocol: a fresh snapshot view becomes frames in time, a machine's frames become requests.

A face that carries limits sends only from a fresh view. When the view is stale it sends zero limits for a while, so
that the machine gives way, and then is silent, so that the machine's own time-out acts too. Before the first valid
voltage it says nothing at all. No I/O, no clock; whoever runs it gives view and time and sends what comes back.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cellarer.config.schema import FaceFile
from cellarer.wire.codec import frames, texts
from cellarer.wire.counters import Sender
from cellarer.wire.faces.battery import battery, numbers, silent
from cellarer.wire.frame import Frame
from cellarer.wire.peer import Counters, Ear
from cellarer.wire.protocols import get
from cellarer.wire.table import Message, Protocol, Values, configured, settle

FRESH_NS = 500_000_000  # a view older than this is stale
ZERO_NS = 3_000_000_000  # how long zero limits are sent after that: inverters stop when nothing came for 3 s


class Asked(NamedTuple):
    """What a machine asks for; the shell makes a request of it, and decide may refuse."""

    what: str  # open, close, reset
    pack: int  # from 0
    value: float | None = None


class Face:
    """One machine that looks at us. buses: of each pack of the site."""

    def __init__(self, protocol: Protocol, face: FaceFile, buses: Sequence[int]) -> None:
        where = f"face {face.name!r}"
        if "face" not in protocol.roles or protocol.transport != "can":
            raise ValueError(f"{where}: protocol {protocol.name} is no face on a bus")
        self.face = face
        self.options = settle(protocol, face.options, where)
        self.protocol = configured(protocol, face.options, where)
        self.machine = ""  # how the machine calls itself
        self._ear = Ear(self.protocol, "controller", 1, {"cell": 0, "temp": 0})
        self._count = Sender()
        self._due_ns: dict[tuple[str, int], int] = {}
        self._last: dict[str, float] = {}
        self._packs = numbers(buses, face.pack, face.bus)
        self._commanded: float | None = None
        self._reset = False

    @property
    def counters(self) -> Counters:
        """Return what came from the machine, good and refused."""
        return self._ear.counters

    def alive(self, now_ns: int) -> bool:
        """Tell whether the machine was heard lately; option `lost_after_s`."""
        return now_ns - self._ear.last_good_ns <= float(self.options["lost_after_s"]) * 1e9

    def due(self, view: Mapping[str, Any] | None, now_ns: int) -> list[Frame]:
        """Return the frames to send now. view: the newest snapshot view, None if there never was one."""
        values = self.values(view, now_ns)
        if values is None:
            return []
        sizes = {"cell": _length(values, "cell_voltage"), "temp": _length(values, "temp_degC")}
        return [f for m in self.protocol.sent_by("device") for f in self._message(m, values, sizes, now_ns)]

    def values(self, view: Mapping[str, Any] | None, now_ns: int) -> Values | None:
        """Return what may be said now, or None for silence."""
        age = now_ns - view["time_ns"] if view is not None else FRESH_NS + ZERO_NS + 1
        if view is not None and 0 <= age <= FRESH_NS:
            least_A = float(self.options.get("least_A", 0.0))
            said = dict(battery(view, self.face.pack, self.face.bus, self.protocol.dialect, least_A))
            self._last |= {name: said[name] for name in _KEPT if said[name] == said[name]}
            return said | self._last if "charge_V" in self._last else None
        if self.face.carries_limits and "charge_V" in self._last and FRESH_NS < age <= FRESH_NS + ZERO_NS:
            return silent(self._last, self.protocol.dialect)
        return None

    def last_will(self, now_ns: int) -> list[Frame]:
        """Return the frames that say zero at once, whatever is due: control is leaving."""
        if "charge_V" not in self._last or not self.face.carries_limits:
            return []
        self._due_ns.clear()
        values = silent(self._last, self.protocol.dialect)
        sizes = {"cell": 0, "temp": 0}
        return [f for m in self.protocol.sent_by("device") for f in self._message(m, values, sizes, now_ns)]

    def receive(self, item: Frame | bytes, now_ns: int) -> list[Asked]:
        """Take a frame from the machine. Returns what it newly asks for."""
        asked: list[Asked] = []
        for heard in self._ear.hear(item, now_ns):
            said = texts(heard.message, heard.data)
            self.machine = said.get("inverter", self.machine).strip("?") or self.machine
            values = {r.signal: r.value for r in heard.readings}
            if "command" in values:
                asked += self._command(values)
        return asked

    def lost(self, now_ns: int) -> list[Asked]:
        """Return a request to open when a machine that had us closed has fallen silent."""
        timeout_ms = self.options.get("command_timeout_ms")
        if timeout_ms is None or self._commanded != CLOSE or now_ns - self._ear.last_good_ns <= timeout_ms * 1e6:
            return []
        self._commanded = None
        return [Asked("open", pack) for pack in self._packs]

    def _command(self, values: Mapping[str, float]) -> list[Asked]:
        """Return the requests in a command; a lasting command asks once, and only opening needs no permission."""
        allowed, asked = bool(self.options["commands"]), []
        command, reset = values["command"], bool(values["reset"])
        if command != self._commanded and command in _COMMANDS:
            what = _COMMANDS[command]
            asked += [what] if allowed or what == "open" else []
        if reset and not self._reset and allowed:
            asked.append("reset")
        if command != self._commanded and command == CLOSE and not allowed:
            self._ear.counters.bad["not allowed"] += 1
        self._commanded, self._reset = command, reset
        return [Asked(what, pack) for what in asked for pack in self._packs]

    def _message(self, message: Message, values: Values, sizes: Mapping[str, int], now_ns: int) -> list[Frame]:
        """Return the frames of one message that are due; its blocks are spread over the period."""
        period_ns = self.protocol.period_ns(message, self.face.period_ms)
        blocks = message.block_count(sizes)
        made = []
        for block in range(blocks):
            key = (message.name, block)
            due = self._due_ns.setdefault(key, now_ns + block * period_ns // blocks)
            if now_ns >= due:
                self._due_ns[key] = max(due + period_ns, now_ns + 1)
                made += frames(message, values, 1, sizes, self._count, only=block)
        return made


OPEN, CLOSE = 2.0, 1.0
_COMMANDS = {CLOSE: "close", OPEN: "open"}
_KEPT = ("charge_V", "discharge_V", "modules")


def _length(values: Values, name: str) -> int:
    return len(values.get(name, ()))


def face(file: FaceFile, buses: Sequence[int] = (1,)) -> Face:
    """Return the face that a site file asks for. buses: of each pack of the site."""
    return Face(get(file.protocol), file, buses)
