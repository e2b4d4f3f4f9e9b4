"""The hash chain of the event history, verified once at every start of the services, beside their work.

100 000 events take half a second of a desktop's core, more of a small computer's, so this is a thread of its own: the
recorder's rounds, and with them the acknowledgements that closing needs, do not wait for it. What it finds is told as
an event and by `healthz`; nothing is refused because of it, and what comes is chained on to what there is.
"""

import sqlite3
import threading
from pathlib import Path

from cellarer.board.messages import EventRecord, as_dict
from cellarer.history.reader import Reader
from cellarer.history.store import Writer
from cellarer.runtime.clock import Clock
from cellarer.runtime.notify import say

AGAIN_S = 2.0  # where the file cannot be read, or the history takes no event for now
NAME = "history is broken"


def system_event(clock: Clock, name: str, value: float, cause: str, text: str) -> dict[str, object]:
    """Return an event of now that the services tell themselves; its number rises with its time."""
    now_ns = clock.now_ns()
    return as_dict(
        EventRecord(
            seq=now_ns // 1000, unix_s=clock.unix_s(now_ns), time_ns=now_ns, kind="system", name=name,
            value=float(value), cause=cause, text=text,
        )
    )  # fmt: skip


def broken(at: int) -> str:
    """Return what is wrong with a chain that breaks at an event."""
    return f"event {at} was altered, or one before it was removed or put in"


class Chain:
    """Verifies once; says an event, and `complaint` until the next start."""

    def __init__(self, path: Path, clock: Clock, writer: Writer, run_id: str) -> None:
        self._reader, self._clock, self._writer = Reader(path), clock, writer
        self._source = f"chain {run_id}"  # its own: numbers of one source must come in their order
        self._stop = threading.Event()
        self.complaint = ""
        # A daemon that is not joined: it only reads, and an end must not wait for it.
        self._thread = threading.Thread(target=self._run, name="chain", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Try no more."""
        self._stop.set()

    def _run(self) -> None:
        while not self.verify() and not self._stop.wait(AGAIN_S):
            pass

    def verify(self) -> bool:
        """Verify, and tell of a break; False when that could not be done now: a disk that fails is told elsewhere."""
        try:
            at = self._reader.first_break()
        except (sqlite3.Error, OSError):
            return False
        if at is None:
            return True
        self.complaint = broken(at)
        text = f"{NAME}: {self.complaint}"
        event = system_event(self._clock, NAME, at, f"at event {at}", text)
        if not self._writer.append_events([event], self._source):
            return False
        say(f"services: {text}")
        return True
