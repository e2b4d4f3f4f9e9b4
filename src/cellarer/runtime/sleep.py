"""Sleep of a site: when it may, and what wakes it.

Asleep means: state saved, everything open, no process but the supervisor, the supply released by the site's own command
if it has one. What wakes: a timer, a button (SIGUSR1, or somebody who opens the page), and on real links a charger or
ignition that a device reports. Waking is a start like any other: new clock, state from the disk, SOC with the doubt
that the time off adds, which counts only from a synchronised clock.
"""

import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cellarer.board.files import Folder
from cellarer.board.snapshot import Snapshot
from cellarer.config import Site
from cellarer.config.schema import SleepFile
from cellarer.model.config import Config, Switchgear
from cellarer.model.values import Phase
from cellarer.runtime.link import Line
from cellarer.runtime.wires import Wire

FLOOR_S = 60.0  # at the floor for so long
LOOK_S = 0.2
WAKES = ("charger_present", "ignition", "charge_plug")


class Drowsiness:
    """Tells when a site may sleep, from snapshots."""

    def __init__(self, file: SleepFile, config: Config) -> None:
        self._file, self._config = file, config
        self._idle_s: float | None = None  # since when nothing is wanted
        self._floor_s: float | None = None

    def due(self, shot: Snapshot, now_s: float) -> str:
        """Return why the site is to sleep now; empty = it is not."""
        wanted, low = self._wanted(shot), self._low(shot)
        self._idle_s = None if wanted else self._idle_s if self._idle_s is not None else now_s
        self._floor_s = (self._floor_s if self._floor_s is not None else now_s) if low else None
        if self._floor_s is not None and now_s - self._floor_s >= FLOOR_S:
            return "the battery is at its floor and nobody charges it"
        idle_s = self._file.idle_min * 60.0
        if self._idle_s is not None and now_s - self._idle_s >= idle_s:
            return f"nothing was wanted for {self._file.idle_min:g} min"
        return ""

    def _of(self, shot: Snapshot, name: str) -> np.ndarray:
        where = self._config.layout.where[name]
        return np.where(self._config.sensing.present[where], shot.state.seen.value[where], 0.0)

    def _called(self, shot: Snapshot) -> bool:
        """Tell whether somebody is there, or might be: unknown counts as there."""
        return not all((self._of(shot, name) == 0.0).all() for name in WAKES)

    def _quiet(self, shot: Snapshot) -> bool:
        return bool((np.abs(self._of(shot, "current")) <= self._config.idle_A).all())

    def _wanted(self, shot: Snapshot) -> bool:
        gear = self._config.switch.kind != Switchgear.NONE
        shut = (shot.state.switches.phase != Phase.OPEN) & gear
        balances = bool(shot.state.command.bleed.any() or shot.state.command.move.any())
        asked = bool(shot.state.wishes.closed.any())
        return bool(shut.any()) or asked or balances or not self._quiet(shot) or self._called(shot)

    def _low(self, shot: Snapshot) -> bool:
        floor, known = self._config.limits.floor_soc, shot.state.estimate.string_soc
        below = bool(((known <= floor) & (floor > 0.0)).any())
        return below and self._quiet(shot) and not self._called(shot)


class Sleeper:
    """Waits until something wakes the site."""

    def __init__(self, site: Site, listener: socket.socket, say: Callable[[str], None]) -> None:
        self._site, self._listener, self._say = site, listener, say
        self._stop = self._button = False

    def sleep(self, file: SleepFile) -> str:
        """Sleep; return what woke, or nothing where the site was told to end."""
        until_s = time.monotonic() + file.timer_min * 60.0
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._on_signal)
        if file.command and not self._stop:
            self._release(file.command)
            return "" if self._stop else "the supply is back"
        with TemporaryDirectory() as folder, _Ears(self._site, Path(folder), self._say) as ears:
            while not self._stop:
                if self._button:
                    return "the button"
                if file.timer_min and time.monotonic() >= until_s:
                    return f"the timer, after {file.timer_min:g} min"
                if heard := ears.heard():
                    return heard
                if select.select([self._listener], [], [], LOOK_S)[0]:
                    return "somebody opened the page"
        return ""

    def _on_signal(self, number: int, _frame: object) -> None:
        self._button |= number == signal.SIGUSR1
        self._stop |= number != signal.SIGUSR1

    def _release(self, command: list[str]) -> None:
        """Run what releases the supply; it returns when that is back, or never."""
        try:
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError) as error:
            self._say(f"the supply was not released: {error}")


class _Ears:
    """Listens on real links for a charger or ignition; sends nothing, so every output falls open."""

    def __init__(self, site: Site, folder: Path, say: Callable[[str], None]) -> None:
        layout = site.config.layout
        self._names = {layout.where[name].start + i: name for name in WAKES for i in range(layout.size["pack"])}
        links = {link.name: link for link in site.file.link if not link.url.startswith("bench:")}
        self._wires = {name: Wire(link, Folder(folder), say) for name, link in links.items()}
        self._lines = [(d.link, Line(d, layout)) for d in site.file.device if d.link in links]

    def __enter__(self) -> "_Ears":
        return self

    def __exit__(self, *_: object) -> None:
        for wire in self._wires.values():
            wire.close()

    def heard(self) -> str:
        """Return what a device has reported that wakes; nothing otherwise."""
        for name, wire in self._wires.items():
            for item, time_ns in wire.receive(0.0):
                for link, line in self._lines:
                    readings = line.readings(line.driver.receive(item, time_ns)) if link == name else []
                    for signal_, value in readings:
                        if value == 1.0 and signal_ in self._names:
                            return self._names[signal_].replace("_", " ")
        return ""
