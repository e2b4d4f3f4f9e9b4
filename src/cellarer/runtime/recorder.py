"""The recorder: events and series into the history, durable state onto the disk, each acknowledged when it is there.

A thread of the services, so that a slow disk holds up neither the page nor control: who waits for an acknowledgement
sees that none comes, and closing is refused until it does.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cellarer.board.durable import read_durable, write_durable
from cellarer.board.files import Folder
from cellarer.board.messages import SOURCES, EventReader, as_dict
from cellarer.board.ring import RingReader, RingWriter
from cellarer.history.channels import channels
from cellarer.history.store import Writer
from cellarer.model.layout import Layout
from cellarer.runtime.clock import Clock

LOOK_S = 0.05
SERIES_S = 1.0

View = dict[str, object]


class Recorder:
    """Everything that must not be lost."""

    def __init__(
        self, folder: Folder, state_dir: Path, clock: Clock, layout: Layout, newest: Callable[[], View | None]
    ) -> None:
        self.clock, self.state_dir, self.newest = clock, state_dir, newest
        self.writer = Writer(state_dir / "history.db")
        self.sources = [_Source(folder, name, self.writer) for name in SOURCES]
        self.guard = _Guard(folder, clock, layout, self.writer)
        self.durable, self.kept = RingReader(folder.durable), RingWriter(folder.durable_kept)
        stored, _ = read_durable(state_dir)
        self.sequence = stored.sequence if stored else 0
        self.written = -1
        self.series_s = 0.0
        self.complaint = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Write what waits and end."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            self.round()
        self.round()
        self.writer.close(1.0)
        for source in self.sources:
            source.acknowledge()

    def round(self) -> None:
        """Look once at everything."""
        self._keep_durable()
        for source in self.sources:
            source.move()
        self.guard.move()
        if time.monotonic() - self.series_s >= SERIES_S:
            self.series_s = time.monotonic()
            seen = self.newest()
            if seen is not None:
                self.writer.append(float(seen["unix_s"]), channels(seen))  # type: ignore[arg-type]

    def _keep_durable(self) -> None:
        """Write the newest durable state, and say so once the disk has it."""
        place = self.durable.next
        payload = self.durable.newest() if place != self.written else None
        if payload is None:
            return
        unix_s = self.clock.unix_s(self.clock.now_ns())
        try:
            write_durable(self.state_dir, payload, self.sequence + 1, unix_s)
        except OSError as error:
            if str(error) != self.complaint:
                self.complaint = str(error)
                print(f"cellarer services: state is not kept: {error}", file=sys.stderr, flush=True)
            return
        self.complaint = ""
        self.sequence += 1
        self.written = place
        self.kept.write(self.sequence.to_bytes(8, "little"))


class _Source:
    """Events of one process on their way to the history."""

    def __init__(self, folder: Folder, name: str, writer: Writer) -> None:
        self.reader = EventReader(folder, name)
        self.name = f"{name} {folder.events_id.read_text()}"
        self.writer = writer
        self.waiting = self.reader.read()

    def move(self) -> None:
        """Hand new events over, acknowledge those that are on the disk."""
        self.waiting += self.reader.read()
        if self.waiting:
            taken = self.writer.append_events([as_dict(e) for e in self.waiting], self.name)
            del self.waiting[:taken]
        self.acknowledge()

    def acknowledge(self) -> None:
        """Tell the writer of the events up to where they are on the disk."""
        self.reader.keep(self.writer.acknowledged(self.name) + 1)


class _Guard:
    """What the guard opened, with the current at that moment: recorded from its status, because control may be gone."""

    def __init__(self, folder: Folder, clock: Clock, layout: Layout, writer: Writer) -> None:
        self.status = RingReader(folder.guard_status, oldest=True)
        self.name = f"guard {folder.events_id.read_text()}"
        self.clock, self.layout, self.writer = clock, layout, writer
        self.opened_ns: dict[int, int] = {}

    def move(self) -> None:
        """Make an event of every opening that is new; one that was recorded before is passed over by the history."""
        for data in self.status.read():
            for number, string in enumerate(json.loads(data)["strings"]):
                opened_ns = string["opened_ns"]
                if opened_ns is not None and opened_ns != self.opened_ns.get(number):
                    self.opened_ns[number] = opened_ns
                    self.writer.append_events([self._event(number, string)], self.name)

    def _event(self, number: int, string: dict[str, Any]) -> dict[str, object]:
        opened_ns, current, why = string["opened_ns"], string["opened_A"], string["opened_why"]
        pack = int(self.layout.pack_of_string[number])
        place = number - int(self.layout.first_string[pack]) + 1
        said = "unknown current" if current is None else f"{current:.1f} A"
        return {
            "seq": opened_ns // 1000 * 1000 + number,  # rises, and differs between strings
            "unix_s": self.clock.unix_s(opened_ns),
            "time_ns": opened_ns,
            "kind": "system",
            "name": "guard opened",
            "pack": pack + 1,
            "string": place,
            "cell": None,
            "value": current,
            "limit": None,
            "cause": why,
            "text": f"the guard opened string {place} of pack {pack + 1} at {said}: {why}",
        }
