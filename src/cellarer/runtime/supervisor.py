"""`cellarer run`: starts the processes of a site, starts them again when they fall, stops them in order.

The supervisor decides nothing about the battery. Link, control or guard that crash three times in ten minutes stay
down: then nothing can close until a person starts the site again. A process that shows no life is killed.
"""

import fcntl
import http.client
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from cellarer import config as configs
from cellarer.board import tree
from cellarer.board.files import Folder, write_whole
from cellarer.board.inputs import create_inputs
from cellarer.board.messages import all_kept, create_messages
from cellarer.board.orders import OrdersReader, create_orders
from cellarer.board.plans import create_plans
from cellarer.board.ring import BoardError, create_ring
from cellarer.board.samples import create_samples
from cellarer.board.snapshot import Snapshot, SnapshotReader, create_snapshot
from cellarer.config.load import Site
from cellarer.config.schema import DeviceFile
from cellarer.core import slow
from cellarer.core.cycle import start
from cellarer.history.inputs import LogError
from cellarer.history.reader import Reader
from cellarer.model.config import Config
from cellarer.runtime.children import Child, Family
from cellarer.runtime.clock import start_clock
from cellarer.runtime.faces import on_bus
from cellarer.runtime.guard_limits import guard_limits, write_guard_limits
from cellarer.runtime.lifetime import places
from cellarer.runtime.link import GUARD, HEARD_SIZE
from cellarer.runtime.notify import Notifier, say
from cellarer.runtime.pace import drop_ns, paced
from cellarer.runtime.process import Run, state_home
from cellarer.runtime.recall import recall
from cellarer.runtime.recorder import Inputs
from cellarer.runtime.sleep import Drowsiness, Sleeper

HOST = "127.0.0.1"
LOOK_S = 0.02
DROWSE_S = 1.0
ASK_S = 0.3
READY_S = 30.0  # the page answers by then, or we say that it does not
GATE_S = 0.8  # the guard's last will takes at most this long
FASTEST = 20.0
EXIT_OK, EXIT_BUSY = 0, 3


def run(
    path_or_name: str | Path,
    *,
    speed: float = 1.0,
    state_dir: Path | None = None,
    port: int | None = None,
    close_at_start: bool = False,
) -> int:
    """Run a site until SIGTERM or Ctrl-C. Returns the exit status.

    speed           1 to 20 times real time, simulated sites only
    state_dir       where state and history are kept; default: XDG state home / cellarer / name of the site
    port            of the dashboard; default: as the site file says; a port that is taken gives the next free one
    close_at_start  ask to close once everything runs, as the demonstration does
    """
    if not 1.0 <= speed <= FASTEST:
        raise configs.ConfigError(str(path_or_name), "--speed", speed, f"1 to {FASTEST:g}")
    site = configs.load(path_or_name)
    if speed != 1.0 and site.file.simulation is None:
        raise configs.ConfigError(str(path_or_name), "--speed", speed, "1, because this site is not simulated")
    state_dir = (state_dir or state_home() / site.file.name).resolve()
    try:
        folder = Folder.make(state_dir)
    except OSError as error:
        allowed = f"a folder that we can write to: {error.strerror or error}"
        raise configs.ConfigError(str(path_or_name), "--state", str(state_dir), allowed) from None
    with open(folder.lock, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"cellarer: {state_dir} is in use: this site runs already", file=sys.stderr)
            return EXIT_BUSY
        listener = listen(site.file.web_port if port is None else port)
        try:
            status = awake_and_asleep(site, folder, state_dir, listener, speed, close_at_start)
        finally:
            listener.close()
        if all_kept(folder):
            folder.remove()
        return status


def awake_and_asleep(
    site: Site, folder: Folder, state_dir: Path, listener: socket.socket, speed: float, close_at_start: bool
) -> int:
    """Run a site, let it sleep where its file says so, and start it anew when something wakes it."""
    woke = ""
    while True:
        supervisor = Supervisor(site, folder, state_dir, listener, speed, close_at_start and not woke)
        if woke:
            supervisor.tell("woke", woke)
        status = supervisor.main()
        if not supervisor.sleepy or site.file.sleep is None:
            return status
        say(f"{site.file.name} sleeps: {supervisor.sleepy}")
        woke = Sleeper(site, listener, say).sleep(site.file.sleep)
        if not woke:
            return status
        say(f"{site.file.name} wakes: {woke}")


def listen(port: int) -> socket.socket:
    """Return a listening socket at this port, or the next free one. The services inherit it, also after a restart."""
    for number in [*range(port, port + 50), 0]:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, number))
            listener.listen(128)
        except OSError:
            listener.close()
            continue
        return listener
    raise OSError(f"no free port on {HOST} from {port} on")


class Supervisor:
    """One running site."""

    def __init__(
        self, site: Site, folder: Folder, state_dir: Path, listener: socket.socket, speed: float, close_at_start: bool
    ) -> None:
        self.site, self.folder = site, folder
        self.config = paced(site.config, speed)
        salvage(folder)
        self.address = f"http://{HOST}:{listener.getsockname()[1]}"
        self.state_dir = state_dir
        clock = start_clock(speed)
        sha256 = tree.write_config(folder.config, self.config)
        self.run = Run(
            name=site.path,
            site_json=site.file.model_dump_json(),
            state_dir=str(state_dir),
            config_sha256=sha256,
            clock=clock,
            socket_fd=listener.fileno(),
            links=tuple(links_of(site)),
            links_apart=tuple(links_apart(site)),
            consent_ns=site.file.guard.consent_cycles * self.config.cycle_ns,
            drop_ns=drop_ns(site.file, speed),
            lifetime=tuple(map(str, places(site.file, state_dir, state_home()))),
            close_at_start=close_at_start,
        )
        write_whole(folder.site, msgspec.json.encode(self.run), sync=False)
        write_guard_limits(folder.guard_limits, guard_limits(site, self.config, self.run, folder))
        create_board(folder, site, self.config)
        self.family = Family(folder, self._children(listener.fileno()), clock)
        for text in recall(site.config, list(map(Path, self.run.lifetime)), Reader(state_dir / "history.db")):
            self.family.tell("permanent faults recalled", text)
            say(text)
        self.gate = OrdersReader(folder.gate)
        self.notifier = Notifier()
        self.stopping = False
        self.sleepy = ""  # why it goes to sleep
        self.drowsiness = Drowsiness(site.file.sleep, self.config) if site.file.sleep is not None else None
        self.snapshots = SnapshotReader(folder.snapshot)
        self.looked_s = 0.0

    def _children(self, socket_fd: int) -> Iterator[Child]:
        """Yield what this site needs, in the order in which it starts."""
        site, cache = self.site.file, str(self.state_dir / "cache")
        if site.simulation is not None:
            yield Child("world", cache=cache)
        yield Child("guard", vital=True)
        for link in links_of(self.site) | links_apart(self.site):
            yield Child("link", link, vital=True)
        yield Child("services", fds=(socket_fd,), cache=cache)
        yield Child("control", vital=True, cache=cache)
        if on_bus(site.face):
            yield Child("faces")

    def main(self) -> int:
        """Run until told to stop."""
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        self.family.start()
        said = False
        begin_s = time.monotonic()
        asked_s = 0.0
        while not self.stopping:
            self.family.look()
            if not said and time.monotonic() - asked_s > ASK_S:
                asked_s = time.monotonic()
                said = self._answers() or asked_s - begin_s > READY_S
                if said:
                    self._say()
                    self.notifier.send("READY=1")
            self._drowse()
            time.sleep(LOOK_S)
        self.notifier.send("STOPPING=1")
        self._stop()
        return EXIT_OK

    def _drowse(self) -> None:
        """Look each second whether it is time to sleep."""
        now_s = time.monotonic()
        if self.drowsiness is None or now_s - self.looked_s < DROWSE_S:
            return
        self.looked_s, shot = now_s, self.snapshots.newest()
        if shot is not None and (why := self.drowsiness.due(shot, now_s)):
            self.sleepy = why
            self.tell("sleep", why)
            self.stopping = True

    def tell(self, name: str, cause: str) -> None:
        """Record what becomes of the site itself."""
        self.family.tell(name, cause)

    def _on_stop(self, _number: int, _frame: object) -> None:
        self.stopping, self.sleepy, self.drowsiness = True, "", None

    def _answers(self) -> bool:
        """Tell whether the page is there."""
        connection = http.client.HTTPConnection(self.address.removeprefix("http://"), timeout=0.2)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()

    def _say(self) -> None:
        speed = self.run.clock.speed
        print(f"Cellarer looks after {self.site.file.name}" + (f", {speed:g} times as fast" if speed != 1 else ""))
        print(f"dashboard: {self.address}")
        print(f"requests other than opening need the token in {self.state_dir / 'token'}")
        print(f"state is kept in {self.state_dir}; stop with Ctrl-C", flush=True)

    def _stop(self) -> None:
        """Stop in order: control opens, the guard makes sure, then everybody else, the recorder last."""
        self.family.stop(["control"], 2.6)
        until_s = time.monotonic() + GATE_S
        while time.monotonic() < until_s and self._closed():
            time.sleep(LOOK_S)
        self.family.stop(["faces", "guard"], 0.5)
        self.family.stop(["link"], 0.4)
        self.family.stop(["services", "world"], 1.5)

    def _closed(self) -> bool:
        orders = self.gate.newest()
        return orders is not None and bool(orders.closed.any())


def salvage(folder: Folder) -> None:
    """Save what an earlier run left in memory of its inputs when all of it was killed at once."""
    try:
        Inputs(folder, msgspec.json.decode(folder.site.read_bytes(), type=Run)).close()
    except FileNotFoundError:
        return  # a clean stop leaves nothing
    except (BoardError, LogError, msgspec.DecodeError, OSError) as error:
        say(f"cannot save the last seconds of inputs of the run before: {error}")


def create_board(folder: Folder, site: Site, config: Config) -> None:
    """Make all files of the board, empty; only events of an earlier run stay."""
    size = config.layout.size
    first = start(config, 0)
    for link, devices in (links_of(site) | links_apart(site)).items():
        create_samples(folder.samples(link), records_per_s(devices))
        create_ring(folder.heard(link), HEARD_SIZE * len(devices), 4)
    empty = Snapshot(0.0, 0, 0, False, np.zeros(size["string"], bool), first)
    create_snapshot(folder.snapshot, empty)
    create_snapshot(folder.seconds, empty, seconds=True)
    for path in (folder.wish, folder.gate):
        create_orders(path, size["string"], size["pack"], size["cell"])
    create_ring(folder.guard_status, 4096 + 512 * size["string"], 4)
    create_messages(folder)
    create_ring(folder.durable, 2 * len(tree.encode(slow.durable(config, first))) + 65536, 4)
    create_ring(folder.durable_kept, 8, 4)
    create_plans(folder.plans, size["cell"], size["pack"])
    create_ring(folder.inject, 240, 64)
    create_inputs(folder, len(links_of(site)), config.cycle_ns, first)


def links_of(site: Site) -> dict[str, list[DeviceFile]]:
    """Return the links that have devices, with these. Faces open their links themselves."""
    return {link.name: found for link in site.file.link if (found := on_link(site.file.device, link.name))}


def links_apart(site: Site) -> dict[str, list[DeviceFile]]:
    """Return the links that only the guard reads, by the names of their processes, with their devices."""
    own = site.file.guard.device
    return {GUARD + link.name: found for link in site.file.link if (found := on_link(own, link.name))}


def on_link(devices: list[DeviceFile], link: str) -> list[DeviceFile]:
    """Return the devices on a link."""
    return [d for d in devices if d.link == link]


def records_per_s(devices: list[DeviceFile]) -> float:
    """Return how many records these devices write at most: each frame carries some values and comes every period."""
    frames = [(2 + d.cells / 3 + d.temperatures / 3) * 1000.0 / (d.period_ms or 20.0) for d in devices]
    return min(sum(frames, 50.0), 10_000.0)
