"""The recorder: events and series into the history, durable state onto the disk, each acknowledged when it is there.

A thread of the services, so that a slow disk holds up neither the page nor control: who waits for an acknowledgement
sees that none comes, and closing is refused until it does. The series have a second thread, which never waits for the
disk: the board keeps their seconds for a few minutes only.
"""

import json
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from cellarer import __version__
from cellarer.board.durable import read_durable, write_durable
from cellarer.board.files import Folder
from cellarer.board.inputs import InputReader, Piece
from cellarer.board.messages import SOURCES, EventReader, EventRecord, as_dict
from cellarer.board.ring import RingReader, RingWriter
from cellarer.history.channels import channels
from cellarer.history.freeze import BLOCK_S, Event, InputLog
from cellarer.history.store import Health, Writer, explain
from cellarer.model.layout import Layout
from cellarer.runtime.chain import NAME, Chain, system_event
from cellarer.runtime.clock import Clock
from cellarer.runtime.guard_says import with_units
from cellarer.runtime.lifetime import Keeper
from cellarer.runtime.notify import say
from cellarer.runtime.process import Run

LOOK_S = 0.05
TELL_S = 60.0  # between two events of seconds that are lost
# Why frames are refused, as the codecs count it, in words
REFUSED = {
    "crc": "with a wrong check value", "checksum": "with a wrong checksum", "length": "of a wrong length",
    "counter": "repeated, replayed or out of order", "range": "with values that cannot be", "block": "of unknown cells",
    "constant": "with a wrong constant", "unknown": "of an unknown kind", "transport": "of another transport",
    "refused": "in which the device refuses", "garbage": "that are none", "tail": "with a wrong end",
}  # fmt: skip
STUCK_S = 5.0  # a round that takes longer is told: the disk does not answer
COLLECT_S = 0.5  # between two looks at what control was given

View = dict[str, object]


class Recorder:
    """Everything that must not be lost."""

    def __init__(
        self,
        folder: Folder,
        state_dir: Path,
        clock: Clock,
        layout: Layout,
        series: Callable[[], Iterable[View]],
        inputs: "Inputs | None" = None,
        lifetime: Keeper | None = None,
        lost: Callable[[], int] = lambda: 0,
    ) -> None:
        """series: gives the views since its last call, one a second; at first all that memory still holds.

        lost: says how many of them were gone before it was called.
        """
        self.clock, self.state_dir, self.series, self.lost = clock, state_dir, series, lost
        self._told, self._told_s = 0, -math.inf
        self.writer = Writer(state_dir / "history.db")
        self._run_id = folder.events_id.read_text()
        self.chain = Chain(state_dir / "history.db", clock, self.writer, self._run_id)
        self.inputs = inputs
        note = inputs.note if inputs is not None else lambda event: None
        self.sources = [_Source(folder, name, self.writer, note) for name in SOURCES]
        self.lifetime = lifetime
        self.guard = _Guard(folder, clock, layout, self.writer, note, lifetime)
        self.links = _Links(folder, clock, self.writer)
        self.durable, self.kept = RingReader(folder.durable), RingWriter(folder.durable_kept)
        stored, _ = read_durable(state_dir)
        self.sequence = stored.sequence if stored else 0
        self.written = -1
        self.complaint = ""
        self._round_s = time.monotonic()
        self._stop = threading.Event()
        self._disk = threading.Thread(target=self._run, name="recorder")
        self._seconds = threading.Thread(target=self._follow, name="seconds")

    def start(self) -> None:
        """Begin."""
        self._seconds.start()
        self._disk.start()
        self.chain.start()

    @property
    def alive(self) -> bool:
        """Tell whether it still records; if not, an error of ours has ended it."""
        return self._disk.is_alive() and self._seconds.is_alive() and self.writer.alive

    def health(self) -> Health:
        """Return how all of it fares: the history and its chain, the durable state, the log of inputs, the ledger."""
        found = self.writer.health()
        late_s = time.monotonic() - self._round_s
        late = f"the disk has not answered for {late_s:.0f} s" if late_s > STUCK_S else ""
        said = {
            NAME: self.chain.complaint,
            "state is not kept": self.complaint or late,
            "inputs are not kept": self.inputs.complaint if self.inputs is not None else "",
            "lifetime ledger": self.lifetime.complaint if self.lifetime is not None else "",
        }
        wrong = [*([] if found.ok else [found.text]), *(f"{what}: {text}" for what, text in said.items() if text)]
        return replace(found, ok=not wrong, text="; ".join(wrong) or found.text)

    def close(self) -> None:
        """Write what waits and end."""
        self._stop.set()
        self.chain.stop()
        self._disk.join()
        self._seconds.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            self.round()
        self.round()
        if self.inputs is not None:
            self.inputs.close()
        if self.lifetime is not None:
            self.lifetime.write(now=True)
        self._seconds.join()
        self.writer.close(1.0)
        for source in self.sources:
            source.acknowledge()

    def _follow(self) -> None:
        while not self._stop.wait(LOOK_S):
            self.take_seconds()
        self.take_seconds()

    def take_seconds(self) -> None:
        """Hand what is new of the series to the history, which keeps it in memory until the disk takes it."""
        for seen in self.series():
            self.writer.append(float(seen["unix_s"]), channels(seen))  # type: ignore[arg-type]
        self._tell_lost()

    def _tell_lost(self) -> None:
        """Make an event of seconds that the history will never have; of a loss that goes on, one a minute."""
        lost, now_s = self.lost() + self.writer.health().dropped_frames, time.monotonic()
        if lost == self._told or now_s - self._told_s < TELL_S:
            return
        said, cause = lost - self._told, "services or the disk could not follow"
        text = f"{said} seconds of the history are lost: {cause}"
        event = system_event(self.clock, "history has a hole", said, cause, text)
        if self.writer.append_events([event], f"recorder {self._run_id}"):  # else too many wait: told later
            say(f"services: {text}")
            self._told, self._told_s = lost, now_s

    def round(self) -> None:
        """Look once at everything else; may wait for the disk."""
        self._round_s = time.monotonic()
        self._keep_durable()
        self._move_events()
        self.guard.move()
        self.links.move()
        if self.inputs is not None:
            self.inputs.move()

    def _move_events(self) -> None:
        """Hand new events of all sources over by their time, acknowledge those that are on the disk."""
        for source in self.sources:
            source.look()
        waiting = sorted((event.time_ns, at) for at, source in enumerate(self.sources) for event in source.waiting)
        for at, same in groupby(at for _, at in waiting):
            if not self.sources[at].hand_over(len(list(same))):
                break  # the history takes no more for now
        for source in self.sources:
            source.acknowledge()

    def _keep_durable(self) -> None:
        """Write the newest durable state, and say so once the disk has it."""
        place = self.durable.next
        payload = self.durable.newest() if place != self.written else None
        if payload is None:
            return
        if self.lifetime is not None:
            self.lifetime.take(payload, self.durable.epoch)
        unix_s = self.clock.unix_s(self.clock.now_ns())
        try:
            write_durable(self.state_dir, payload, self.sequence + 1, unix_s)
        except OSError as error:
            if (why := explain(error)) != self.complaint:
                self.complaint = why
                say(f"services: state is not kept: {error}")
            return
        self.complaint = ""
        self.sequence += 1
        self.written = place
        self.kept.write(self.sequence.to_bytes(8, "little"))


class Inputs:
    """What control was given, on its way from memory to the disk, and the events that deserve a freeze frame."""

    def __init__(self, folder: Folder, run: Run, deserves: Callable[[Event], bool] = lambda event: False) -> None:
        clock = {"origin_ns": run.clock.origin_ns, "origin_unix_s": run.clock.origin_unix_s}
        header = {
            "site": run.site.name, "run": f"{run.clock.origin_ns} {run.clock.origin_unix_s:.3f}", "links": run.links,
            "program": __version__, "config_sha256": run.config_sha256, "site_json": run.site_json,
            "speed": run.clock.speed, **clock,
        }  # fmt: skip
        self._log = InputLog(Path(run.state_dir), header, folder.config.read_bytes())
        self._reader = InputReader(folder, run.links, self._log.places())
        self._deserves = deserves
        self._piece: Piece | None = None
        self._noted: deque[Event] = deque()
        self._looked_s = self._written_s = time.monotonic()
        self.complaint = ""

    def note(self, event: Event) -> None:
        """Take note of an event; what came before it goes to the disk with the next look."""
        if self._deserves(event):
            self._noted.append(event)
            self._written_s = -math.inf

    def move(self) -> None:
        """Look whether there is something to collect, or to write."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= COLLECT_S or self._noted:
            self._looked_s = now_s
            self._collect()
        if now_s - self._written_s >= BLOCK_S:
            self._written_s = now_s
            self._write()

    def close(self) -> None:
        """Write everything; a freeze frame that waits for its end gets what there is."""
        self._collect()
        self._write()
        self._try(self._log.finish)

    def _collect(self) -> None:
        piece = self._reader.read()
        if self._piece is None or not piece.whole:
            self._write()
            self._piece = piece
        else:
            self._piece.add(piece)

    def _write(self) -> None:
        piece, self._piece = self._piece, None
        if piece is not None:
            self._try(lambda: self._log.write(piece))
        while self._noted and self._try(lambda: self._log.note(self._noted[0])):
            self._noted.popleft()

    def _try(self, write: Callable[[], None]) -> bool:
        """Write, or say once why not; it is tried again with the next block."""
        try:
            write()
        except OSError as error:
            if (why := explain(error)) != self.complaint:
                self.complaint = why
                say(f"services: inputs are not kept: {error}")
            return False
        self.complaint = ""
        return True


class _Source:
    """Events of one process on their way to the history."""

    def __init__(self, folder: Folder, name: str, writer: Writer, note: Callable[[Event], None]) -> None:
        self.note = note
        self.reader = EventReader(folder, name)
        self.name = f"{name} {folder.events_id.read_text()}"
        self.writer = writer
        self.waiting: list[EventRecord] = []

    def look(self) -> None:
        """Take what is new."""
        for event in self.reader.read():
            self.note(as_dict(event))
            self.waiting.append(event)

    def hand_over(self, count: int) -> bool:
        """Give the oldest to the history; return whether it took them all."""
        taken = self.writer.append_events([as_dict(e) for e in self.waiting[:count]], self.name)
        del self.waiting[:taken]
        return taken == count

    def acknowledge(self) -> None:
        """Tell the writer of the events up to where they are on the disk."""
        self.reader.keep(self.writer.acknowledged(self.name) + 1)


class _Guard:
    """What the guard opened, with the current at that moment: recorded from its status, because control may be gone."""

    def __init__(
        self,
        folder: Folder,
        clock: Clock,
        layout: Layout,
        writer: Writer,
        note: Callable[[Event], None],
        lifetime: Keeper | None,
    ) -> None:
        self.note, self.lifetime = note, lifetime
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
                    event = self._event(number, string)
                    self.note(event)
                    if self.lifetime is not None:
                        self.lifetime.broke(number, string["opened_A"])
                    self.writer.append_events([event], self.name)

    def _event(self, number: int, string: dict[str, Any]) -> dict[str, object]:
        opened_ns, current, why = string["opened_ns"], string["opened_A"], with_units(string["opened_why"])
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


class _Links:
    """Frames that links refused: an event per device, at once and then at most one a minute."""

    def __init__(self, folder: Folder, clock: Clock, writer: Writer) -> None:
        self.rings = {link: RingReader(path) for link, path in folder.all_heard().items()}
        self.name = f"links {folder.events_id.read_text()}"
        self.clock, self.writer = clock, writer
        self.told: dict[tuple[str, str], tuple[Counter[str], float]] = {}

    def move(self) -> None:
        """Look at what every link heard."""
        for link, ring in self.rings.items():
            for device, (good, bad) in json.loads(ring.newest() or b"{}").items():
                self._look(link, device, good, Counter(bad))

    def _look(self, link: str, device: str, good: int, bad: Counter[str]) -> None:
        known, told_s = self.told.get((link, device), (Counter[str](), -math.inf))
        if bad.total() < known.total():  # the process was started again and counts from nothing
            known = Counter()
        new, now_s = bad - known, time.monotonic()
        if not new or now_s - told_s < TELL_S:
            return
        cause = ", ".join(f"{count} {REFUSED.get(why, why)}" for why, count in new.most_common())
        text = f"{device} on {link}: {new.total()} frames refused: {cause}; {good} good ones since the start"
        event = system_event(self.clock, "frames refused", new.total(), cause, text)
        if self.writer.append_events([event], self.name):
            self.told[link, device] = bad, now_s
