"""Child processes of the supervisor: start, watch, start again with growing pauses, stop."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cellarer.board.files import Folder
from cellarer.board.messages import EventRecord, EventWriter
from cellarer.board.ring import RingReader, create_ring
from cellarer.runtime.clock import Clock
from cellarer.runtime.notify import say
from cellarer.runtime.process import last_pulse_ns

PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)  # before the first, second … start after a crash
CRASHES, WITHIN_S = 3, 600.0  # so many crashes in so long: a vital process stays down
STILL_S = 10.0  # without a sign of life it is killed
FIRST_S = 300.0  # the first sign of life may take longer: a small computer compiles for minutes; nothing closes before


@dataclass(slots=True)
class Child:
    """One process. vital: link, control or guard, which stay down when they crash again and again."""

    role: str
    name: str = ""
    vital: bool = False
    fds: tuple[int, ...] = ()
    cache: str = ""
    process: "subprocess.Popen[bytes] | None" = None
    started_s: float = 0.0
    crashes_s: list[float] = field(default_factory=list)
    down: bool = False
    pulse: RingReader | None = None

    @property
    def title(self) -> str:
        """Return how people call it."""
        return f"{self.role} {self.name}".strip()

    def start(self, folder: Folder) -> None:
        """Start it, in a session of its own, so that Ctrl-C reaches the supervisor only."""
        module = "cellarer.guard" if self.role == "guard" else "cellarer.runtime.process"
        arguments = [str(folder.path)] if self.role == "guard" else [self.role, str(folder.path), self.name]
        threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        wanted = os.environ.get("NUMBA_CACHE_DIR", self.cache)
        cache = {"NUMBA_CACHE_DIR": str(cache_folder(Path(wanted), folder.path / "cache"))} if wanted else {}
        self.started_s = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            pass_fds=self.fds,
            start_new_session=True,
            env=os.environ | threads | cache,
        )

    def still(self) -> bool:
        """Tell whether it shows no life."""
        if self.pulse is None:
            return False
        pulse_ns = last_pulse_ns(self.pulse)
        if pulse_ns < self.started_s * 1e9:
            return time.monotonic() - self.started_s > FIRST_S
        return time.monotonic_ns() - pulse_ns > STILL_S * 1e9

    def pause_s(self) -> float:
        """Return how long to wait after the last crash."""
        recent = sum(time.monotonic() - at < WITHIN_S for at in self.crashes_s)
        return PAUSES_S[min(max(recent, 1), len(PAUSES_S)) - 1]


def cache_folder(wanted: Path, memory: Path) -> Path:
    """Return where compiled code lies: a copy in memory while the disk takes nothing, because numba wants to write."""
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            return wanted
    except OSError:
        if not memory.exists():
            shutil.copytree(wanted, memory) if wanted.is_dir() else memory.mkdir()
        return memory


class Family:
    """All child processes of a site."""

    def __init__(self, folder: Folder, children: Iterable[Child], clock: Clock) -> None:
        self.folder, self.clock = folder, clock
        self.children = list(children)
        for child in self.children:
            create_ring(folder.pulse(child.title), 8, 4)
            child.pulse = RingReader(folder.pulse(child.title))
        self.events = EventWriter(folder, "supervisor")

    def start(self) -> None:
        """Start everybody."""
        for child in self.children:
            child.start(self.folder)

    def look(self) -> None:
        """Bury the dead, kill the still, start again who may."""
        for child in self.children:
            if child.process is None:
                if not child.down and time.monotonic() - child.crashes_s[-1] >= child.pause_s():
                    child.start(self.folder)
                continue
            status = child.process.poll()
            if status is not None:
                self._fallen(child, status)
            elif child.still():
                self._tell(child, "shows no life and is killed")
                child.process.kill()

    def _fallen(self, child: Child, status: int) -> None:
        child.process = None
        child.crashes_s.append(time.monotonic())
        recent = sum(time.monotonic() - at < WITHIN_S for at in child.crashes_s)
        child.down = child.vital and recent >= CRASHES
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        after = f"stays down after {CRASHES} crashes: find the cause, then start the site again" if child.down else ""
        self._tell(child, f"{how}; {after or 'it is started again'}")

    def _tell(self, child: Child, text: str) -> None:
        say(f"{child.title} {text}")
        self.tell("process down" if child.down else "process fell", f"{child.title} {text}")

    def tell(self, name: str, cause: str) -> None:
        """Record an event of the site itself."""
        now_ns = self.clock.now_ns()
        unix_s = self.clock.unix_s(now_ns)
        self.events.write(
            EventRecord(seq=0, unix_s=unix_s, time_ns=now_ns, kind="system", name=name, cause=cause, text=cause)
        )

    def stop(self, roles: Iterable[str], wait_s: float) -> None:
        """Ask the processes of these roles to end and wait; who does not is killed."""
        mine = [c.process for role in roles for c in self.children if c.role == role and c.process is not None]
        for process in mine:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        until_s = time.monotonic() + wait_s
        for process in mine:
            try:
                process.wait(max(until_s - time.monotonic(), 0.01))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for child in self.children:
            if child.process in mine:
                child.process = None
                child.down = True
