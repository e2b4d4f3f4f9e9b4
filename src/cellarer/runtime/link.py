"""A link process: owns one bus, turns frames into readings, forwards orders of the gate.

Each order at the gate is forwarded once, and only while it is fresh: refresh-or-drop holds from control to the coil.
After a start, or after a silence in which the devices have opened by themselves, outputs are ordered closed only when
the gate has ordered them open before: a link that comes back never closes anything by coming back.
"""

import json
import time
from collections.abc import Iterable

import numpy as np

from cellarer.board.orders import OUTPUTS, Orders, OrdersReader
from cellarer.board.ring import RingWriter
from cellarer.board.samples import SampleWriter
from cellarer.board.tree import read_config
from cellarer.config.schema import DeviceFile
from cellarer.model.config import Config
from cellarer.model.layout import Layout
from cellarer.runtime.clock import WHOLE_NS
from cellarer.runtime.process import Process, never_spin
from cellarer.runtime.wires import Wire
from cellarer.wire.devices.driver import Driver, driver, places
from cellarer.wire.frame import Reading
from cellarer.wire.links import Item
from cellarer.wire.order import Order

HEARD_NS, HEARD_SIZE = 1_000_000_000, 512  # between two records of what came in; bytes of one device in them
LOOK_S = 0.004  # longest wait between two looks at the gate
GUARD = "guard:"  # before the name of a link: its process reads for the guard alone; names of links have no colon


class Line:
    """One device on this bus: its driver, where its readings go, which orders are its own.

    apart   the readings are the guard's alone: their numbers begin where those of the site end
    """

    def __init__(self, file: DeviceFile, layout: Layout, *, apart: bool = False) -> None:
        self.driver: Driver = driver(file)
        self.places = places(layout, file)
        self.string = self.places["current"] - layout.where["current"].start
        self.pack = file.pack - 1
        first = self.places["cell_voltage"] - layout.where["cell_voltage"].start
        self.cells = slice(first, first + file.cells)
        self.switches = file.authority == "switch"
        self.beyond = layout.size["signal"] if apart else 0

    def readings(self, readings: Iterable[Reading]) -> list[tuple[int, float]]:
        """Return (signal index, value)."""
        return [(self.beyond + self.places[r.signal] + r.at, r.value) for r in readings]

    def order(self, orders: Orders, armed: bool) -> Order:
        """Return what this device is told; unarmed, its outputs are told to stay open."""
        string, pack = orders.strings[self.string], orders.packs[self.pack]
        bits = int(string["bits"]) if armed else 0
        closed = {name: bool(bits >> i & 1) for i, name in enumerate(OUTPUTS)}
        flags = int(pack["bits"])
        return Order(
            **closed,
            bleed=tuple(orders.bleed[self.cells].tolist()),
            give=tuple(orders.move[0, self.cells].tolist()),
            take=tuple(orders.move[1, self.cells].tolist()),
            charge_A=float(string["charge_A"]),
            discharge_A=float(string["discharge_A"]),
            charge_V=float(string["charge_V"]),
            heater=float(pack["heater"]),
            pump=float(pack["pump"]),
            allow_charge=bool(flags & 1),
            allow_discharge=bool(flags & 2),
            pre_alarm=bool(flags & 4),
            start_generator=bool(flags & 8),
            buzzer=bool(flags & 16),
        )


class Arming:
    """Which strings may be ordered closed by this link."""

    def __init__(self, strings: int, silence_ns: int) -> None:
        self.armed = np.zeros(strings, bool)
        self._silence_ns = silence_ns
        self._last_ns = 0

    def forward(self, orders: Orders, now_ns: int) -> np.ndarray:
        """Take note of an order that is about to be forwarded; return (string,) what may be closed."""
        if now_ns - self._last_ns > self._silence_ns:
            self.armed[:] = False
        self._last_ns = now_ns
        self.armed |= ~orders.closed
        return self.armed


class Bus:
    """The loop of a link process."""

    def __init__(self, process: Process, name: str) -> None:
        run, folder = process.run, process.folder
        config = read_config(folder.config, run.config_sha256)
        assert isinstance(config, Config)
        site = run.site
        self.process, self.clock = process, process.clock
        self.apart, link_name = name.startswith(GUARD), name.removeprefix(GUARD)
        self.wire = Wire(next(link for link in site.link if link.name == link_name), folder, process.say)
        devices = site.guard.device if self.apart else site.device
        self.lines = [Line(d, config.layout, apart=self.apart) for d in devices if d.link == link_name]
        self.asks = not self.apart or all(d.link != link_name for d in site.device)
        self.ring = SampleWriter(folder.samples(name))
        self.gate = OrdersReader(folder.gate)
        self.arming = Arming(config.layout.size["string"], run.drop_ns)
        self.heard = RingWriter(folder.heard(name))
        self.heard_ns = 0
        self.forwarded = 0
        self.frames = 0

    def round(self) -> None:
        """Wait a moment for a frame, take what is there, forward a new order, ask who is to be asked."""
        for item, monotonic_ns in self.wire.receive(LOOK_S):
            self._take(item, monotonic_ns)
            self._forward()  # a flood of frames does not hold up an order
        self._forward()
        now_ns = self.clock.now_ns()
        for line in self.lines if self.asks else ():
            for question in line.driver.due(now_ns):
                self.wire.send(question)
        self._tell()

    def _tell(self) -> None:
        """Say each second what came in, good and refused by reason."""
        now_ns = time.monotonic_ns()
        if now_ns - self.heard_ns >= HEARD_NS:
            self.heard_ns = now_ns
            counters = ((line.driver.device.name, line.driver.counters) for line in self.lines)
            self.heard.write(json.dumps({name: [c.good, c.bad] for name, c in counters}).encode())

    def _take(self, item: Item, monotonic_ns: int) -> None:
        self.frames += 1
        time_ns = self.clock.at(monotonic_ns) // WHOLE_NS * WHOLE_NS
        for line in self.lines:
            readings = line.readings(line.driver.receive(item, time_ns))
            if readings:
                self.ring.put(time_ns, self.frames, readings)

    def _forward(self) -> None:
        """Forward the newest order if it is new and fresh. The guard's own devices take none."""
        if self.apart or self.gate.next == self.forwarded:
            return
        self.forwarded = self.gate.next
        orders, now_ns = self.gate.newest(), self.clock.now_ns()
        if orders is None or not orders.time_ns <= now_ns <= orders.expires_ns:
            return
        armed = self.arming.forward(orders, now_ns)
        for line in self.lines:
            for frame in line.driver.order(line.order(orders, bool(armed[line.string])), now_ns):
                self.wire.send(frame)


def main(process: Process, name: str) -> int:
    """Run until told to stop."""
    bus = Bus(process, name)
    process.prefer()
    never_spin()
    while process.alive():
        bus.round()
    bus.wire.close()
    return 0
