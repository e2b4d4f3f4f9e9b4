"""What every process of a site does alike: find the run, stop when told or orphaned, show that it is alive.

`python -m cellarer.runtime.process ROLE RUN_FOLDER [NAME]` starts one; the table ROLES says which module runs it.
Only the supervisor starts these.
"""

import ctypes
import importlib
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cellarer.board.files import Folder
from cellarer.board.ring import RingReader, RingWriter
from cellarer.runtime.clock import Clock
from cellarer.runtime.notify import say

if TYPE_CHECKING:
    from cellarer.config.schema import SiteFile

ROLES = {
    "control": "cellarer.runtime.control",
    "link": "cellarer.runtime.link",
    "world": "cellarer.runtime.world",
    "faces": "cellarer.runtime.faces",
    "services": "cellarer.runtime.services",
}
_LOCK = 1 | 2 | 4  # mlockall(2): what is there, what will come, each page once it is used
PULSE_NS = 200_000_000
SPIN_S = 0.5  # a cycle of 10 000 cells takes 10 ms
PRIORITY = {"control": 50, "link": 40, "world": 65}  # SCHED_FIFO, where the system lets us; the guard takes 60


def state_home() -> Path:
    """Return where sites keep their state unless told otherwise."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "cellarer"


class Run(msgspec.Struct, frozen=True):
    """What the supervisor hands to its processes, as the file `site.json` of the run folder."""

    name: str  # as given: a shipped name or a path
    site_json: str  # the site file as it was read at the start: a later edit does not split the house
    state_dir: str
    config_sha256: str
    clock: Clock
    socket_fd: int  # the dashboard's listening socket, which outlives the services
    links: tuple[str, ...]
    consent_ns: int  # how long control's consent is good
    drop_ns: int  # the shortest silence after which a device may have opened by itself
    close_at_start: bool  # ask to close as soon as events are recorded, once per run
    lifetime: tuple[str, ...] = ()  # where copies of the lifetime ledger lie
    links_apart: tuple[str, ...] = ()  # whose readings only the guard reads

    @property
    def site(self) -> "SiteFile":
        """Return the site file. Control does without: it would have to load what checks files."""
        from cellarer.config.schema import SiteFile

        return SiteFile.model_validate_json(self.site_json)


class Process:
    """One process of a running site."""

    def __init__(self, folder: Folder, role: str, name: str = "") -> None:
        self.folder = folder
        self.run = msgspec.json.decode(folder.site.read_bytes(), type=Run)
        self.clock, self.role = self.run.clock, role
        self.name = f"{role} {name}".strip()
        self.stopping = False
        self._parent = os.getppid()
        self._pulse = RingWriter(folder.pulse(self.name))
        self._pulse_ns = 0
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the supervisor, which stops us in order

    def _on_stop(self, _number: int, _frame: object) -> None:
        self.stopping = True

    def alive(self) -> bool:
        """Show a sign of life. Returns false when it is time to end: told so, or the supervisor is gone."""
        now_ns = time.monotonic_ns()
        if now_ns - self._pulse_ns >= PULSE_NS:
            self._pulse_ns = now_ns
            self._pulse.write(now_ns.to_bytes(8, "little"))
            if os.getppid() != self._parent:
                self.stopping = True
        return not self.stopping

    def prefer(self) -> None:
        """Ask for real-time priority; say what the system denied.

        Called when the loop begins: a control that compiled with it would starve its own links, which stand below, for
        minutes on a small computer, and the supervisor would kill them as lifeless.
        """
        for denied in prefer(self.role):
            self.say(f"without {denied}")

    def say(self, text: str) -> None:
        """Tell people and the journal."""
        say(f"{self.name}: {text}")


def last_pulse_ns(pulse: RingReader) -> int:
    """Return when a process showed life last, monotonic; 0 = not yet."""
    newest = pulse.newest()
    return 0 if newest is None else int.from_bytes(newest, "little")


def prefer(role: str) -> list[str]:
    """Ask for real-time priority and for memory that stays; return what the system denied. We go on without."""
    if role not in PRIORITY:
        return []
    denied = []
    # Hardware waits for no software: the simulated one, with the threads that are its wires, stands above all.
    policy = os.SCHED_FIFO | (0 if role == "world" else os.SCHED_RESET_ON_FORK)
    try:
        os.sched_setscheduler(0, policy, os.sched_param(PRIORITY[role]))
    except OSError as error:
        denied.append(f"real-time priority ({error.strerror}): LimitRTPRIO={PRIORITY[role]} permits it")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_LOCK):
        denied.append(f"locked memory ({os.strerror(ctypes.get_errno())}): LimitMEMLOCK=infinity permits it")
    return denied


def never_spin() -> None:
    """Let the system end this process when, with real-time priority, it computes for SPIN_S without any pause.

    Until the supervisor finds that it shows no life, everybody below would starve. Called when the loop begins.
    """
    most_us = int(SPIN_S * 1e6)
    resource.setrlimit(resource.RLIMIT_RTTIME, (most_us, most_us))


def main(role: str, folder: Path, name: str) -> int:
    """Run one role to its end."""
    module = importlib.import_module(ROLES[role])
    process = Process(Folder(folder), role, name)
    result: int = module.main(process, name)
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else ""))
