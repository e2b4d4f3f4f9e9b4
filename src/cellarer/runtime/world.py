"""The simulated world as a process: plant and emulated devices behind the real protocols, on bench buses.

It takes the place of everything outside of the computer: nothing else in the house knows that it is simulated. What the
load is told it reads from the frames of the faces, as an inverter would. Real time, or faster with the run's clock.
"""

import math
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from cellarer.board.files import Folder, write_whole
from cellarer.board.orders import OrdersReader
from cellarer.board.ring import RingReader, RingWriter
from cellarer.board.tree import read_config
from cellarer.config.schema import DeviceFile, FaceFile, SimulationFile, SiteFile
from cellarer.model.config import Config
from cellarer.runtime.pace import paced_device
from cellarer.runtime.process import Process
from cellarer.sim.emulator import Emulator
from cellarer.sim.plant import Orders, Plant, no_orders
from cellarer.sim.wires import Wires
from cellarer.wire.faces.battery import numbers
from cellarer.wire.links import Item
from cellarer.wire.links.bench import BenchLink, Hub, bench_path
from cellarer.wire.peer import Ear
from cellarer.wire.protocols import get

TICK_S = 0.01  # real time
KEEP_S = 10.0  # real time between two looks at charge and hour
LONGEST_S = 1.0  # the world does not make up for more after it was held up
LIMITS_NS = 3_000_000_000  # an inverter that is told nothing for so long, in real time, stops
SWITCHES = ("minus", "precharge", "plus", "charge_switch", "discharge_switch")


class Inject(msgspec.Struct, frozen=True):
    """A fault of the catalogue that shall begin now. string and cell count from 0, the cell inside its string."""

    fault: str
    string: int = 0
    cell: int = 0
    size: float | None = None  # None = as the catalogue says


def inject(folder: Folder, wish: Inject) -> None:
    """Put a fault into the simulated world of a running site."""
    ring = RingWriter(folder.inject)
    with ring.alone():
        ring.write(msgspec.json.encode(wish))
    ring.close()


def kept_simulation(simulation: SimulationFile, kept: Path) -> SimulationFile:
    """Return the simulation as it was left; a file that cannot be read means that it begins anew."""
    try:
        left = msgspec.json.decode(kept.read_bytes(), type=dict[str, float])
        return SimulationFile.model_validate(simulation.model_dump() | left)
    except (FileNotFoundError, ValueError):
        return simulation


@dataclass(slots=True)
class Machine:
    """The inverter, charger or vehicle on a face: hears limits."""

    ear: Ear
    packs: list[int]
    charge_A: float = 0.0
    discharge_A: float = 0.0
    charge_V: float = 0.0
    heard_ns: int = -(2**62)

    def hear(self, item: Item, now_ns: int) -> None:
        """Take a frame of the face."""
        names = {"foreign_charge_limit": "charge_A", "foreign_discharge_limit": "discharge_A", "charge_V": "charge_V"}
        for heard in self.ear.hear(item, now_ns):
            for reading in heard.readings:
                if reading.signal in names and math.isfinite(reading.value):
                    setattr(self, names[reading.signal], reading.value)
                    self.heard_ns = now_ns


class World:
    """Plant, buses, emulated devices and machines."""

    def __init__(self, process: Process) -> None:
        self.process, self.clock = process, process.clock
        site = process.run.site
        config = read_config(process.folder.config, process.run.config_sha256)
        assert isinstance(config, Config)
        self.config = config
        self.kept = Path(process.run.state_dir) / "world.json"
        self.keeping, self.complaint = threading.Thread(), ""
        self.simulation = kept_simulation(site.simulation or SimulationFile(), self.kept)
        self.plant = Plant(config, self.simulation)
        process.folder.bench.mkdir(mode=0o700, exist_ok=True)
        names = {link.name: link.url.removeprefix("bench:") for link in site.link if link.url.startswith("bench:")}
        paths = {link: bench_path(process.folder.bench, bus) for link, bus in names.items()}
        self.hubs = [Hub(path).start() for path in paths.values()]
        self.buses = {link: BenchLink(path) for link, path in paths.items()}
        self.devices = [self._emulator(d) for d in site.device if d.link in names]
        shared = {d.link for d in site.device}  # there the guard listens to what devices of control say
        self.apart = [self._emulator(d) for d in site.guard.device if d.link in names and d.link not in shared]
        everybody = [*self.devices, *self.apart]
        self.voices = [(e, Wires(self.plant, string, seed)) for seed, (e, string) in enumerate(everybody)]
        self.machines = [(f.link, self._machine(f, site)) for f in site.face if f.carries_limits and f.link in names]
        self.orders = no_orders(config)
        self.gate = OrdersReader(process.folder.gate)
        self.injected = RingReader(process.folder.inject)

    def _emulator(self, device: DeviceFile) -> tuple[Emulator, int]:
        protocol = get(device.protocol)
        emulator = Emulator(protocol, paced_device(device, protocol.drops_after_ms, self.clock.speed))
        return emulator, int(self.config.layout.first_string[device.pack - 1]) + device.string - 1

    def _machine(self, face: FaceFile, site: SiteFile) -> Machine:
        packs = numbers([pack.bus for pack in site.pack], face.pack, face.bus)
        return Machine(Ear(get(face.protocol), "device", 1, {"cell": 0, "temp": 0}), packs)

    def tick(self, dt_s: float, now_ns: int) -> None:
        """Let the world move: hear orders, advance, speak."""
        for record in self.injected.read():
            self._inject(record)
        for link, bus in self.buses.items():
            while (got := bus.receive(0.0)) is not None:
                item, sent_ns = got[0], self.clock.at(got[1])  # hardware hears at once, however late we look
                for emulator, _ in self.voices:
                    if emulator.device.link == link:
                        emulator.receive(item, sent_ns)
                for own, machine in self.machines:
                    if own == link:
                        machine.hear(item, sent_ns)
        self.plant.advance(dt_s, self._orders(now_ns))
        for emulator, wire in self.voices:
            for frame in wire.pass_on(emulator.frames(self.plant.values(emulator.device), now_ns), now_ns):
                self.buses[emulator.device.link].send(frame)

    def _inject(self, record: bytes) -> None:
        """Let a fault happen that somebody put into the ring; a wrong one is told and passed over."""
        try:
            wish = msgspec.json.decode(record, type=Inject)
            self.plant.inject(wish.fault, wish.string, wish.cell, wish.size, self.plant.time_s)
        except (msgspec.DecodeError, ValueError) as error:
            self.process.say(str(error))

    def _orders(self, now_ns: int) -> Orders:
        """Return what outputs and machines do now."""
        orders, layout = self.orders, self.config.layout
        for emulator, string in self.devices:
            out = emulator.outputs(now_ns)
            device, pack = emulator.device, emulator.device.pack - 1
            if out.bleed and device.cells:
                first = int(layout.first_cell[string]) + device.first_cell - 1
                mine = slice(first, first + device.cells)
                orders.bleed[mine], orders.move[0, mine], orders.move[1, mine] = out.bleed, out.give, out.take
            if device.authority != "switch":
                continue  # it drives nothing; what is not ordered of one that does is off
            for name in SWITCHES:
                getattr(orders, name)[string] = bool(getattr(out, name))
            orders.heater[pack], orders.pump[pack] = out.heater or 0.0, out.pump or 0.0
        self._limits(orders, now_ns)
        return orders

    def _limits(self, orders: Orders, now_ns: int) -> None:
        """Put what the machines heard into the orders. Where no face tells them, the gate does, as a wire would."""
        owner = self.config.layout.pack_of_string
        if not self.machines:
            gate = self.gate.newest()
            told = gate is not None and now_ns - gate.time_ns <= LIMITS_NS * self.clock.speed
            for name in ("charge_A", "discharge_A", "charge_V"):
                getattr(orders, name)[:] = gate.strings[name] if gate is not None and told else 0.0
        for _, machine in self.machines:
            told = now_ns - machine.heard_ns <= LIMITS_NS * self.clock.speed
            mine = np.isin(owner, machine.packs)
            share = told / max(int(mine.sum()), 1)
            orders.charge_A[mine] = machine.charge_A * share
            orders.discharge_A[mine] = machine.discharge_A * share
            orders.charge_V[mine] = machine.charge_V

    def keep(self, *, wait: bool = False) -> None:
        """Remember charge and hour, because a battery keeps them while nobody looks. The world does not stand still.

        wait    until the disk has answered
        """
        hour = (self.simulation.start_hour + self.plant.time_s / 3600.0) % 24.0
        soc_pct = 100.0 * float(self.plant.truth.soc.mean())
        kept = {"start_soc_pct": min(max(soc_pct, 0.0), 100.0), "start_hour": hour}
        if not self.keeping.is_alive():
            self.keeping = threading.Thread(target=self._write, args=(msgspec.json.encode(kept),), daemon=True)
            self.keeping.start()
        if wait:
            self.keeping.join(KEEP_S)

    def _write(self, kept: bytes) -> None:
        """Write it, or say once why not; it is tried again."""
        try:
            write_whole(self.kept, kept, sync=False)
        except OSError as error:
            if str(error) != self.complaint:
                self.process.say(f"the charge of the battery is not kept: {error}")
            self.complaint = str(error)
        else:
            self.complaint = ""

    def close(self) -> None:
        """End the world."""
        if self.keeping.is_alive():
            self.keeping.join(KEEP_S)
        self.keep(wait=True)
        for bus in self.buses.values():
            bus.close()
        for hub in self.hubs:
            hub.close()


def main(process: Process, _name: str) -> int:
    """Run until told to stop."""
    process.prefer()  # before its wires begin, which are threads of it
    world = World(process)
    clock, last_ns = process.clock, process.clock.now_ns()
    next_s = kept_s = time.monotonic()
    while process.alive():
        now_ns = clock.now_ns()
        world.tick(min(max((now_ns - last_ns) * 1e-9, 1e-3), LONGEST_S * clock.speed), now_ns)
        last_ns = now_ns
        if time.monotonic() - kept_s > KEEP_S:
            kept_s = time.monotonic()
            world.keep()
        next_s = max(next_s + TICK_S, time.monotonic())
        time.sleep(max(next_s - time.monotonic(), 0.0))
    world.close()
    return 0
