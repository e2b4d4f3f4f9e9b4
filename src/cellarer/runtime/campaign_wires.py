"""Faults of communication: each device of a site on its own wire, through the real codecs, one fault at a time.

Emulated devices speak their protocol, the wire does its damage, the drivers decode, and what they give is all that
control and guard see; orders of the gate go back the same way. Packs of a batch share plant and `step()`, each has
devices, wires and guard of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple

import numpy as np

from cellarer.board.orders import Orders as Gate
from cellarer.config import Site
from cellarer.config.schema import DeviceFile
from cellarer.core.asked import no_requests
from cellarer.core.cycle import Inputs, step
from cellarer.model.values import FOREVER, Command, Event, Floats, Ints, Requests, Sample, State
from cellarer.runtime import campaign_world as worlds
from cellarer.runtime.campaign_cases import CHARGE, Case
from cellarer.runtime.campaign_shots import UNDETECTED, Aim, Shot, Volley, bounds
from cellarer.runtime.link import Line
from cellarer.sim.emulator import Emulator, emulator
from cellarer.sim.wires import FAULTS_OF_WIRES, Wires
from cellarer.wire.frame import Frame
from cellarer.wire.table import Role

SUBJECTS = ("home", "ebike", "supervised")  # between them every protocol of a device
TICKS = 2  # of the world in one cycle of control
WATCH_S, SETTLE_S = 3.0, 2.0
WIRES = 4  # purpose of random numbers
SWITCHES = ("minus", "precharge", "plus", "charge_switch", "discharge_switch")
# Nothing good arrives; nothing may change; some frames arrive, so that it is either
SILENT = ("frames_lost", "frames_stale", "frames_corrupt", "frames_truncated", "frames_wrong_length", "bus_off",
          "wrong_bitrate", "poll_exceptions", "poll_collisions", "duplicate_address")  # fmt: skip
BORNE = ("frames_babbling", "frames_replayed", "frames_inserted")
LOST = (("current", "current_reading_lost"), ("cell_voltage", "cell_reading_lost"),
        ("emergency_stop", "emergency_stop_lost"), ("feedback_plus", "feedback_lost"),
        ("feedback_charge", "switch_feedback_lost"))  # fmt: skip
FLIPPED = ("frames_corrupt", "duplicate_address")  # frames without a CRC of their own: CAN's drops them, they are lost
POLLED = ("poll_exceptions", "poll_collisions")  # what only a line with questions and answers knows


@dataclass(frozen=True, slots=True)
class Task:
    """All faults of the wires of one subject."""

    subject: str
    seed: int
    weight: float = 60.0


class Aimed(NamedTuple):
    """One fault of the wire of one device."""

    fault: str
    device: str
    rows: tuple[str, ...]  # that say that the device is silent

    @property
    def row(self) -> str:
        """The one that must be raised where nothing good arrives."""
        return self.rows[0] if self.rows else ""


def tasks(subjects: Sequence[str], seed: int) -> list[Task]:
    """Return one task for each subject whose protocols differ."""
    return [Task(name, seed) for name in subjects if name in SUBJECTS]


def aimed(site: Site) -> list[Aimed]:
    """Return every fault of every wire of a site."""
    found: list[Aimed] = []
    for device in site.file.device:
        protocol = emulator(device).protocol
        serial = protocol.framing is not None
        bare = not serial and not any(f.role is Role.CRC for m in protocol.sent_by("device") for f in m.fields)
        lost = tuple(row for signal, row in LOST if signal in (device.signals or []))
        found += [
            Aimed(fault, device.name, lost)
            for fault in FAULTS_OF_WIRES
            if (serial or fault not in POLLED) and not (bare and fault in FLIPPED)
        ]
    return found


@dataclass(slots=True)
class Device:
    """One device, its wire and our driver."""

    file: DeviceFile
    emulator: Emulator
    line: Line
    wire: Wires | None  # None: nothing ever happens to it


@dataclass(slots=True)
class Wired(worlds.World):
    """A world whose samples and orders go through wires."""

    devices: list[Device] = field(default_factory=list)
    value: Floats = field(default_factory=lambda: np.empty(0))
    time_ns: Ints = field(default_factory=lambda: np.empty(0, np.int64))

    def cycle(self, dt_s: float, asked: Requests | None = None) -> tuple[State, State, Inputs, Command, list[Event]]:
        """Let dt_s pass and decide once; see World.cycle."""
        plant, before = self.plant, self.state
        for _ in range(TICKS):
            plant.advance(dt_s / TICKS, self.orders)
            for device in self.devices:
                self._hear(device, plant.time_ns)
        sample = Sample(self.value.copy(), self.time_ns.copy())
        self.guards.feed(sample, plant.time_ns)
        inputs = Inputs(sample, self._withdrawn(asked or no_requests(self.config)), self.plan)
        self.state, command, events = step(self.config, before, inputs, plant.time_ns)
        self.guards.decide(command, inputs.requests.reset, plant.time_ns)
        self._tell(self.guards.gate(plant.time_ns), plant.time_ns)
        return before, self.state, inputs, command, events

    def _hear(self, device: Device, now_ns: int) -> None:
        """Let a device speak; take what arrives and can be read."""
        for question in device.line.driver.due(now_ns):
            device.emulator.receive(question, now_ns)
        items: list[Frame | bytes] = list(device.emulator.frames(self.plant.values(device.file), now_ns))
        for item in device.wire.pass_on(items, now_ns) if device.wire else items:
            for place, value in device.line.readings(device.line.driver.receive(item, now_ns)):
                self.value[place], self.time_ns[place] = value, now_ns

    def _tell(self, gate: Gate, now_ns: int) -> None:
        """Send the orders of the gate; the plant obeys what the devices' outputs then do."""
        own = {name: getattr(self.guards.orders, name).copy() for name in (*SWITCHES, "bleed", "move")}
        orders = self.orders = replace(self.guards.orders, **own)
        for device in self.devices:
            for frame in device.line.driver.order(device.line.order(gate, armed=True), now_ns):
                device.emulator.receive(frame, now_ns)
            out, cells = device.emulator.outputs(now_ns), device.line.cells
            if device.file.cells:
                orders.bleed[cells], orders.move[0, cells], orders.move[1, cells] = out.bleed, out.give, out.take
            if device.file.authority == "switch":
                for name in SWITCHES:
                    getattr(orders, name)[device.line.string] = bool(getattr(out, name))


def wired(made: worlds.World, site: Site, targets: Sequence[str], seed: int) -> Wired:
    """Return a world that goes on through wires. targets: per pack the device whose wire has a fault."""
    plant = made.plant
    tick_s = np.full(plant.layout.size["signal"], made.cycle_s / TICKS)
    plant.sensors.pace(tick_s, np.zeros_like(tick_s))
    devices = []
    for file in site.file.device:
        own, string = file.name.rsplit(" ", 1)[0], int(made.config.layout.first_string[file.pack - 1])
        mine = file.pack <= len(targets) and own == targets[file.pack - 1]
        wire = Wires(plant, string, seed) if mine else None
        devices.append(Device(file, emulator(file), Line(file, made.config.layout), wire))
    old = {f.name: getattr(made, f.name) for f in fields(worlds.World)}
    sample = plant.sample()
    return Wired(**old, devices=devices, value=sample.value.copy(), time_ns=sample.time_ns.copy())


def shoot(task: Task) -> list[Shot]:
    """Make every fault of every wire of a subject, in a pack that charges."""
    whole = worlds.subject(task.subject)
    one = worlds.repeated(whole, 1)
    first = {device.name.rsplit(" ", 1)[0] for device in one.file.device}
    every = [aim for aim in aimed(whole) if aim.device in first]
    many = worlds.repeated(whole, len(every))
    made = wired(worlds.settled(many, CHARGE, task.seed), many, [aim.device for aim in every], task.seed)
    worlds.run(made, SETTLE_S, made.cycle_s)
    aims = [
        Aim((Case(aim.fault, (aim.row,), (CHARGE,)),), "step", _row(one, aim), (task.seed, k, WIRES))
        for k, aim in enumerate(every)
    ]
    volley = Volley(one, made, aims)
    volley.play(max([WATCH_S, *(bounds(one)[aim.row] + 1.0 for aim in every if aim.row in bounds(one))]))
    found = volley.shots(task.subject, CHARGE)
    return [_judged(volley, k, aim, shot) for k, (aim, shot) in enumerate(zip(every, found, strict=True))]


def _row(one: Site, aim: Aimed) -> int:
    """Return the row that must be raised; −1 = none must, or the one that should is off."""
    table = one.config.faults
    row = table.name.index(aim.row)
    return row if aim.fault in SILENT and table.enabled[row].all() else -1


def _judged(volley: Volley, k: int, aim: Aimed, shot: Shot) -> Shot:
    """Return the shot with the device named, and judged by what the fault leaves of the frames."""
    record, table, cause = volley.record, volley.one.config.faults, shot.cause
    raised = {table.name[row] for row in np.flatnonzero(record.active_ns[:, volley.string[k]] < FOREVER).tolist()}
    if aim.fault in SILENT and not shot.row:
        cause = UNDETECTED
    elif aim.fault not in (*SILENT, *BORNE) and raised & set(aim.rows):
        cause = ""  # so few frames arrive that the device counts as silent
    if broken := volley.broken(k):
        cause = f"unsafe: {', '.join(broken)}"
    return replace(shot, fault=f"{aim.fault} ({aim.device})", row=shot.row or (aim.row if cause else ""), cause=cause)
