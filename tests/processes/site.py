"""A site that really runs, as processes, and what a test wants to know of it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from cellarer.board.files import Folder
from cellarer.board.messages import Answer, Asker, EventRecord, as_dict
from cellarer.board.ring import BoardError, RingReader
from cellarer.board.snapshot import Snapshot, SnapshotReader
from cellarer.config import load
from cellarer.history.columns import journal, merge, slots
from cellarer.history.reader import Reader
from cellarer.runtime.process import Run
from cellarer.wire.devices.driver import Driver, driver
from cellarer.wire.links.bench import BenchLink, bench_path

LAST_SLOT = 10**7  # of the history, in the far future
CACHE = f"{tempfile.gettempdir()}/cellarer-tests-{os.getuid()}-cache"  # compiled once, not once per site
START = """
import sys
from pathlib import Path
from cellarer.runtime import children
from cellarer.runtime.supervisor import run
name, speed, state_dir, close, disturbed = sys.argv[1:]
if disturbed == "1":  # it is to fall more often than a site may
    children.CRASHES, children.PAUSES_S = 10**9, (0.1,)
sys.exit(run(name, speed=float(speed), state_dir=Path(state_dir), port=0, close_at_start=close == "1"))
"""


def wait_for(what: str, ready: Callable[[], Any], most_s: float = 20.0) -> Any:
    """Return the first truthy answer; fail when none comes."""
    until = time.monotonic() + most_s
    while time.monotonic() < until:
        if answer := ready():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {most_s} s")


class Site:
    """One running site."""

    def __init__(
        self,
        state_dir: Path,
        name: str = "home",
        speed: float = 1.0,
        close_at_start: bool = False,
        disturbed: bool = False,
    ) -> None:
        self.state_dir, self.name = state_dir, name
        state_dir.mkdir(exist_ok=True)
        self.out = open(state_dir / "out.txt", "a+")  # noqa: SIM115 closed by `end`
        arguments = [name, str(speed), str(state_dir), str(int(close_at_start)), str(int(disturbed))]
        first = [str(Path(__file__).with_name("inject"))] if disturbed else []
        path = {"PYTHONPATH": os.pathsep.join([*first, *filter(None, [os.environ.get("PYTHONPATH")])])}
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, *arguments],
            stdout=self.out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"NUMBA_CACHE_DIR": CACHE} | path,
        )
        self.folder = Folder.of(state_dir)
        self.site = load(name).file
        self.contacts: dict[str, float] = {}

    @property
    def output(self) -> str:
        return (self.state_dir / "out.txt").read_text()

    @property
    def address(self) -> str:
        return str(wait_for("the address", lambda: [w for w in self.output.split() if w.startswith("http://")], 30)[-1])

    def pid(self, role: str) -> int | None:
        """Return the process id of a child, found among the children of the supervisor."""
        module = {"guard": "cellarer.guard"}.get(role, "cellarer.runtime.process")
        for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue  # it has just ended
            if module in words and (role == "guard" or role in words):
                return int(pid)
        return None

    def snapshot(self) -> Snapshot | None:
        try:
            return SnapshotReader(self.folder.snapshot).newest()
        except BoardError:
            return None

    @property
    def phase(self) -> int:
        """What control says now of the first string; −1 when it says nothing."""
        seen, clock = self.snapshot(), msgspec.json.decode(self.folder.site.read_bytes(), type=Run).clock
        if seen is None or clock.now_ns() - seen.state.time_ns > 0.5e9 * clock.speed:
            return -1
        return int(seen.state.switches.phase[0])

    def ask(self, what: str, value: float | None = None) -> Answer:
        asker = Asker(self.folder.requests, self.folder.answers)

        def asked() -> Answer | None:  # a control that is just starting answers nobody: people ask again
            seen = wait_for("a snapshot", self.snapshot)
            number = asker.ask(what, "test", seen.unix_s, value=value)
            with suppress(AssertionError):
                return wait_for("an answer", lambda: asker.answer(number), 5)  # type: ignore[no-any-return]
            return None

        answer: Answer = wait_for(f"an answer to {what}", asked, 30)
        return answer

    def switch_box(self) -> tuple[BenchLink, Driver]:
        """Return a listener on the battery's bus that understands the switch box."""
        box = next(d for d in self.site.device if d.protocol == "switchbox")
        return BenchLink(bench_path(self.folder.bench, "battery")), driver(box)

    def listen(self, link: BenchLink, box: Driver, s: float) -> None:
        """Take frames of the bus for a while; `contacts` then holds what the auxiliary contacts said last."""
        until = time.monotonic() + s
        while time.monotonic() < until:
            if got := link.receive(max(until - time.monotonic(), 0.0)):
                self.contacts |= {r.signal: r.value for r in box.receive(got[0], got[1])}

    def close(self) -> None:
        """Ask to close, clearing what stands against it, and wait for contacts that are closed."""

        def closed() -> bool:
            if self.phase == 0:
                if self.ask("close").accepted:
                    time.sleep(0.4)  # a fault that goes by itself may stand against it: the wish waits
                else:
                    self.ask("reset")
                    self.ask("confirm")
            time.sleep(0.1)
            return self.phase == 4

        wait_for("closed contactors", closed, 60)

    def s_until_open(self, link: BenchLink, box: Driver, most_s: float = 3.0) -> float:
        """Return how long it took until the contacts of the switch box were open."""
        begin = time.monotonic()
        while time.monotonic() - begin < most_s:
            self.listen(link, box, 0.01)
            if self.contacts["feedback_minus"] == 0.0 and self.contacts["feedback_plus"] == 0.0:
                return time.monotonic() - begin
        raise AssertionError(f"the contactors are still closed after {most_s} s: {self.contacts}")

    def events(self) -> list[EventRecord]:
        """Return the events of control that are still on the board."""
        ring = RingReader(self.folder.events("control"), oldest=True)
        return [EventRecord(**json.loads(data)) for data in ring.read()]

    def guard_says(self) -> dict[str, Any]:
        """Return the guard's newest status."""
        data = RingReader(self.folder.guard_status).newest()
        return {} if data is None else dict(json.loads(data))

    def history(self) -> Reader:
        return Reader(self.state_dir / "history.db")

    def series_s(self) -> list[float]:
        """Return the unix times of all rows of the history."""
        with closing(sqlite3.connect(f"file:{self.state_dir / 'history.db'}?mode=ro", uri=True)) as db:
            times, _ = merge([*journal(db, 0, LAST_SLOT), *slots(db, 0, LAST_SLOT)])
        return list((times / 1000.0).tolist())

    def stop(self, most_s: float = 5.0) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(most_s)

    def end(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(8)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.out.close()
        if self.folder.path.exists():
            self.folder.remove()


@contextmanager
def running(
    state_dir: Path,
    name: str = "home",
    *,
    speed: float = 1.0,
    close_at_start: bool = False,
    disturbed: bool = False,
    most_s: float = 120.0,
) -> Iterator[Site]:
    """Run a site for the length of a block; its output is shown when the block fails."""
    site = Site(state_dir, name, speed, close_at_start, disturbed)
    try:
        wait_for("a first cycle", lambda: site.folder.snapshot.exists() and site.snapshot(), most_s)
        yield site
    except BaseException:
        print(site.output)
        if site.folder.site.exists():
            for event in site.events()[-30:]:
                print(as_dict(event))
        raise
    finally:
        site.end()
