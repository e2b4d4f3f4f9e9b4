"""The faces' process: what machines see of us. Sends only from a fresh snapshot that the guard has not overruled.

When control or guard falls silent, the faces say zero limits for a while and then nothing. What machines ask for goes
on as a request; whether it is granted is decided in core.
"""

import time
from typing import Any, cast

import numpy as np

from cellarer.board.messages import Asker
from cellarer.board.orders import OrdersReader
from cellarer.board.ring import BoardError
from cellarer.board.snapshot import SnapshotReader
from cellarer.board.tree import read_config
from cellarer.board.view import view
from cellarer.config.schema import FaceFile
from cellarer.model.config import Config
from cellarer.runtime.process import Process
from cellarer.runtime.wires import Wire
from cellarer.wire.faces.face import FRESH_NS, Face, face

LOOK_S = 0.01
VIEW_NS = 50_000_000  # real time between two views

View = dict[str, Any]


class Faces:
    """All faces of a site on CAN."""

    def __init__(self, process: Process, files: list[FaceFile]) -> None:
        run, folder = process.run, process.folder
        config = read_config(folder.config, run.config_sha256)
        assert isinstance(config, Config)
        self.process, self.clock, self.config = process, process.clock, config
        buses = [pack.bus for pack in run.site.pack]
        links = {link.name: link for link in run.site.link}
        self.wires = {name: Wire(links[name], folder, process.say) for name in dict.fromkeys(f.link for f in files)}
        self.faces: list[tuple[Wire, Face]] = [(self.wires[f.link], face(f, buses)) for f in files]
        self.snapshots = SnapshotReader(folder.snapshot)
        self.gate = OrdersReader(folder.gate)
        self.asker = Asker(folder.requests, folder.answers)
        self.view: View | None = None
        self.viewed_ns = 0
        self.made_ns = 0  # when control made the view
        self.left = False

    def round(self) -> None:
        """Look, hear, speak."""
        now_ns = self.clock.now_ns()
        seen = self._look(now_ns)
        for wire, speaker in self.faces:
            for item, monotonic_ns in wire.receive(LOOK_S / len(self.faces)):
                for asked in speaker.receive(item, self.clock.at(monotonic_ns)):
                    self._ask(asked.what, speaker.face.name, asked.pack, asked.value)
            for asked in speaker.lost(now_ns):
                self._ask(asked.what, speaker.face.name, asked.pack, asked.value)
            for frame in speaker.due(seen, now_ns):
                wire.send(frame)

    def _look(self, now_ns: int) -> View | None:
        """Return the newest view, narrowed to the gate, with an age that counts in real time."""
        if time.monotonic_ns() - self.viewed_ns >= VIEW_NS:
            self.viewed_ns = time.monotonic_ns()
            snapshot = self.snapshots.newest()
            if snapshot is not None:
                self.view = view(self.config, snapshot.state, unix_s=snapshot.unix_s, overruns=snapshot.overruns)
                self.made_ns = snapshot.state.time_ns
                self._narrow(self.view)
        if self.view is None:
            return None
        age_ns = int((now_ns - min(self.made_ns, self._gate_ns(now_ns))) / self.clock.speed)
        return self.view | {"time_ns": now_ns - age_ns}

    def _gate_ns(self, now_ns: int) -> int:
        """Return when the guard last let anything flow; the last will makes everything stale at once."""
        orders = self.gate.newest()
        if orders is None:
            return self.made_ns
        leaving = orders.leaving and bool(orders.closed.any())
        if leaving and not self.left:
            for wire, speaker in self.faces:
                for frame in speaker.last_will(now_ns):
                    wire.send(frame)
        self.left = leaving
        stale_ns = int(FRESH_NS * self.clock.speed) + 1
        return now_ns - stale_ns if leaving else max(orders.time_ns, now_ns - 2 * stale_ns)

    def _narrow(self, seen: View) -> None:
        """Let no limit be above what the guard lets through."""
        orders = self.gate.newest()
        if orders is None:
            return
        packs = self.config.layout.pack_of_string
        for name in ("charge_A", "discharge_A"):
            of_pack = np.bincount(packs, orders.strings[name])
            limited = [pack["limits"] for pack in seen["packs"]] + seen["banks"]
            for limits, most in zip(limited, [*of_pack, *np.bincount(self.config.bus_of_pack, of_pack)], strict=True):
                allowed = float(most)
                limits[name] = None if limits[name] is None else min(cast(float, limits[name]), allowed)

    def _ask(self, what: str, name: str, pack: int, value: float | None) -> None:
        try:
            self.asker.ask(what, f"face {name}", self.clock.unix_s(self.clock.now_ns()), pack=pack, value=value)
        except BoardError as error:
            self.process.say(str(error))

    def leave(self) -> None:
        """Say zero limits and go."""
        now_ns = self.clock.now_ns()
        for wire, speaker in self.faces:
            for frame in speaker.last_will(now_ns):
                wire.send(frame)
        for wire in self.wires.values():
            wire.close()


def on_bus(files: list[FaceFile]) -> list[FaceFile]:
    """Return the faces that speak on a bus; MQTT is a matter of the services."""
    return [f for f in files if f.protocol != "mqtt"]


def main(process: Process, _name: str) -> int:
    """Run until told to stop."""
    faces = Faces(process, on_bus(process.run.site.face))
    while process.alive():
        faces.round()
    faces.leave()
    return 0
