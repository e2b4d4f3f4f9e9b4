"""The services' process: web server, history, durable state. Reads snapshots, writes requests, never more.

Control does not notice whether it lives, except that closing needs a live recorder.
"""

import asyncio
import secrets
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from cellarer import __version__
from cellarer.board.files import write_whole
from cellarer.board.messages import Asker
from cellarer.board.plans import PlanWriter
from cellarer.board.ring import BoardError
from cellarer.board.snapshot import Snapshot, SnapshotReader
from cellarer.board.tree import read_config
from cellarer.board.view import not_protected, view
from cellarer.config.schema import FaceFile, SiteFile
from cellarer.history.freeze import worth
from cellarer.history.reader import Reader
from cellarer.model.config import Config
from cellarer.model.values import Level, State
from cellarer.plan.balance import Report
from cellarer.runtime.lifetime import Keeper
from cellarer.runtime.planner import Planner
from cellarer.runtime.process import Process
from cellarer.runtime.recorder import Inputs, Recorder, View
from cellarer.web.app import create
from cellarer.web.asking import Asking
from cellarer.web.serve import server
from cellarer.wire.faces.face import Asked

LOOK_S = 0.1
AGAIN_S = 10.0
PLAN_S = 1.0  # real time between two looks at the plan


class Source:
    """The newest view and its age, for any thread; one cycle is converted once."""

    def __init__(self, process: Process, config: Config) -> None:
        self._reader, self._config, self._clock = SnapshotReader(process.folder.snapshot), config, process.clock
        self._seconds = SnapshotReader(process.folder.seconds)
        self._guard = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._view: View | None = None
        self.report: Report = {}  # of the planners

    def state(self) -> State | None:
        """Return the newest state that control published."""
        with self._guard:
            snapshot = self._reader.newest()
            return None if snapshot is None else snapshot.state

    def series(self) -> Iterator[View]:
        """Yield the view of every second since the last call; at first of those that memory holds. For one thread."""
        return map(self._viewed, self._seconds.since())

    def lost(self) -> int:
        """Return how many seconds were gone before `series` came to read them."""
        return self._seconds.lost

    def _viewed(self, snapshot: Snapshot) -> View:
        unix_s, overruns = snapshot.unix_s, snapshot.overruns
        return view(self._config, snapshot.state, unix_s=unix_s, overruns=overruns, report=self.report)

    def __call__(self) -> tuple[View | None, float]:
        """Return (view or None, age in real seconds)."""
        with self._guard:
            snapshot = self._reader.newest()
            if snapshot is None:
                return None, float("inf")
            if self._snapshot is None or snapshot.state.cycle != self._snapshot.state.cycle:
                self._snapshot, self._view = snapshot, self._viewed(snapshot)
            age_ns = self._clock.now_ns() - snapshot.state.time_ns
            return self._view, age_ns * 1e-9 / self._clock.speed


def token(state_dir: Path) -> str:
    """Return the token that requests need; made once, readable by the owner only."""
    path = state_dir / "token"
    if not path.exists():
        write_whole(path, secrets.token_urlsafe(24).encode())
    return path.read_text().strip()


def site_info(site: SiteFile, config: Config) -> dict[str, object]:
    """Return what the page says about the installation."""
    return {
        "name": site.name,
        "note": site.note,
        "packs": [p.name for p in site.pack],
        "simulated": site.simulation is not None,
        "not_protected": not_protected(config),
    }


async def serve(process: Process, recorder: Recorder, source: Source, config: Config) -> None:
    """Serve until told to stop, or until the web server or the recorder gives up: then all is started again."""
    run, state_dir = process.run, Path(process.run.state_dir)
    app = create(
        source,
        Reader(state_dir / "history.db"),
        Asking(Asker(process.folder.requests, process.folder.answers), process.clock.speed),
        site_info(run.site, config),
        token(state_dir),
        recorder=recorder.health,
    )
    web = server(app)
    brokers = [asyncio.create_task(tell(process, source, face)) for face in run.site.face if face.protocol == "mqtt"]
    planning = asyncio.create_task(plan(process, source, config))
    serving = asyncio.create_task(web.serve(sockets=[socket.socket(fileno=run.socket_fd)]))
    while process.alive() and not serving.done() and recorder.alive:
        await asyncio.sleep(LOOK_S)
    for task in (planning, *brokers):
        task.cancel()
    web.should_exit = True
    await asyncio.gather(serving, planning, *brokers, return_exceptions=True)


async def plan(process: Process, source: Source, config: Config) -> None:
    """Plan ahead whenever a plan has expired. An error is said and tried again; the rules go on without a plan."""
    planner, writer = Planner(config), PlanWriter(process.folder.plans)
    while True:
        try:
            state = source.state()
            if state is not None:
                writer.write(await asyncio.to_thread(planner, state))
                source.report = planner.report
        except (BoardError, ValueError, RuntimeError) as error:
            process.say(f"planner: {error}; trying again in {AGAIN_S:g} s")
            await asyncio.sleep(AGAIN_S)
        await asyncio.sleep(PLAN_S)


async def tell(process: Process, source: Source, face: FaceFile) -> None:
    """Speak MQTT. An error in it is said and tried again; it costs nobody else anything."""
    from cellarer.wire.faces.mqtt import MqttFace  # loaded on first use

    asker = Asker(process.folder.requests, process.folder.answers)
    url = next(link.url for link in process.run.site.link if link.name == face.link)

    def ask(asked: Asked) -> None:
        unix_s = process.clock.unix_s(process.clock.now_ns())
        asker.ask(asked.what, f"face {face.name}", unix_s, pack=asked.pack, value=asked.value)

    while True:
        try:
            await MqttFace(face, url, source, ask, process.say, __version__).run()
        except (OSError, ValueError) as error:
            process.say(f"{face.name}: {error}; trying again in {AGAIN_S:g} s")
        await asyncio.sleep(AGAIN_S)


def grave(config: Config) -> Iterator[str]:
    """Yield the fault rows whose events deserve a freeze frame: all that warn, or do more."""
    yield from (
        name for name, level in zip(config.faults.name, config.faults.level, strict=True) if level >= Level.WARN
    )


def main(process: Process, _name: str) -> int:
    """Run until told to stop."""
    config = read_config(process.folder.config, process.run.config_sha256)
    assert isinstance(config, Config)
    source = Source(process, config)
    run, folder = process.run, process.folder
    inputs = Inputs(folder, run, worth(frozenset(grave(config))))
    lifetime = Keeper(config, [Path(place) for place in run.lifetime])
    recorder = Recorder(
        folder, Path(run.state_dir), process.clock, config.layout, source.series, inputs, lifetime, source.lost
    )
    recorder.start()
    try:
        asyncio.run(serve(process, recorder, source, config))
    finally:
        recorder.close()
    return 0 if process.stopping else 1
