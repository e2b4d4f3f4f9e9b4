"""The services' process: web server, history, durable state. Reads snapshots, writes requests, never more.

Control does not notice whether it lives, except that closing needs a live recorder.
"""

import asyncio
import secrets
import socket
import threading
from pathlib import Path

from cellarer.board.files import write_whole
from cellarer.board.messages import Asker
from cellarer.board.snapshot import Snapshot, SnapshotReader
from cellarer.board.tree import read_config
from cellarer.board.view import not_protected, view
from cellarer.config.schema import SiteFile
from cellarer.history.reader import Reader
from cellarer.model.config import Config
from cellarer.runtime.process import Process
from cellarer.runtime.recorder import Recorder, View
from cellarer.web.app import create
from cellarer.web.asking import Asking
from cellarer.web.serve import server

LOOK_S = 0.1


class Source:
    """The newest view and its age, for any thread; one cycle is converted once."""

    def __init__(self, process: Process, config: Config) -> None:
        self._reader, self._config, self._clock = SnapshotReader(process.folder.snapshot), config, process.clock
        self._guard = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._view: View | None = None

    def newest(self) -> View | None:
        """Return the newest view."""
        return self()[0]

    def __call__(self) -> tuple[View | None, float]:
        """Return (view or None, age in real seconds)."""
        with self._guard:
            snapshot = self._reader.newest()
            if snapshot is None:
                return None, float("inf")
            if self._snapshot is None or snapshot.state.cycle != self._snapshot.state.cycle:
                self._snapshot = snapshot
                self._view = view(self._config, snapshot.state, unix_s=snapshot.unix_s, overruns=snapshot.overruns)
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
    """Serve until told to stop."""
    run, state_dir = process.run, Path(process.run.state_dir)
    history = state_dir / "history.db"
    app = create(
        source,
        Reader(history),
        Asking(Asker(process.folder.requests, process.folder.answers)),
        site_info(run.site, config),
        token(state_dir),
        recorder=recorder.writer.health,
    )
    web = server(app)
    serving = asyncio.create_task(web.serve(sockets=[socket.socket(fileno=run.socket_fd)]))
    while process.alive() and not serving.done():
        await asyncio.sleep(LOOK_S)
    web.should_exit = True
    await serving


def main(process: Process, _name: str) -> int:
    """Run until told to stop."""
    config = read_config(process.folder.config, process.run.config_sha256)
    assert isinstance(config, Config)
    source = Source(process, config)
    recorder = Recorder(process.folder, Path(process.run.state_dir), process.clock, source.newest)
    recorder.start()
    try:
        asyncio.run(serve(process, recorder, source, config))
    finally:
        recorder.close()
    return 0 if process.stopping else 1
