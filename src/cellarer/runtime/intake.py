"""Requests of people and machines → the Requests of one cycle, and the answers back to who asked."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np

from cellarer.board.messages import Request, RequestReader
from cellarer.core.asked import no_requests
from cellarer.model.config import Config
from cellarer.model.values import FOREVER, Event, Requests
from cellarer.runtime.clock import Clock

NO_RECORDER = "nobody records events and state: closing waits until the services are back"
DONE = "done"
GUARD_WAIT_S = 1.5  # s: who asks waits 2 s for an answer
NOTHING_OPENED: Mapping[int, str] = {}
NOTHING_VETOED: Mapping[int, Callable[[], str]] = {}


class Intake:
    """Collects what is asked between two cycles; a request is in force in exactly one cycle."""

    def __init__(self, reader: RequestReader, config: Config, clock: Clock, *, close_at_start: bool) -> None:
        self._reader, self._config, self._clock = reader, config, clock
        self._close_at_start = close_at_start
        self._waiting: list[tuple[Request, int]] = []  # closings that the guard does not allow yet, and until when
        self._pending: list[Request] = []
        self.nothing = no_requests(config)
        self.opened_by: dict[int, str] = {}  # pack → who asked last to open it

    def take(
        self,
        now_ns: int,
        *,
        recorder_live: bool,
        open_packs: Mapping[int, str] = NOTHING_OPENED,
        vetoed: Mapping[int, Callable[[], str]] = NOTHING_VETOED,
        unfit: str = "",
    ) -> Requests:
        """Return the requests for this cycle.

        open_packs: what the shell itself asks to open, and why. vetoed: packs that the guard objects to, and what it
        says: a closing waits a moment for it, as after the start, when the guard has seen nothing yet, and is then
        refused.
        unfit: what the self-test found; while it says anything, nothing is closed.
        """
        unix_s, most_s = self._clock.unix_s(now_ns), GUARD_WAIT_S * self._clock.speed
        found = self._reader.read(unix_s, self._config.layout.size["pack"])
        asked = self._waiting + [(r, now_ns + round(min(most_s, r.expires_unix_s - unix_s) * 1e9)) for r in found]
        opened = {request.pack for request in found if request.what == "open"}
        self._waiting, kept = [], []
        for request, until in asked:
            if request.what != "close":
                kept.append(request)
            elif unfit:
                self._reader.answer(request.id, accepted=False, text=f"the self-test failed: {unfit}")
            elif not recorder_live:
                self._reader.answer(request.id, accepted=False, text=NO_RECORDER)
            elif request.pack not in vetoed or request.pack in opened:
                kept.append(request)
            elif now_ns < until:
                self._waiting.append((request, until))
            else:
                self._reader.answer(request.id, accepted=False, text=f"the guard refuses: {vetoed[request.pack]()}")
        self._pending = kept
        if self._close_at_start and recorder_live and not vetoed and not unfit:
            self._close_at_start = False
            return self._all_close()
        if not kept and not open_packs:
            return self.nothing
        return self._as_arrays(kept, open_packs, now_ns)

    def _all_close(self) -> Requests:
        yes = np.ones_like(self.nothing.close)
        return replace(self.nothing, close=yes, confirm_unknown_soc=yes)

    def _as_arrays(self, found: Iterable[Request], open_packs: Mapping[int, str], now_ns: int) -> Requests:
        n = self.nothing
        facts = {name: getattr(n, name).copy() for name in ("close", "open", "reset", "service", "zero_current")}
        facts["confirm"] = n.confirm_unknown_soc.copy()
        set_soc, target, full_by = n.set_soc.copy(), n.target_soc.copy(), n.full_by_ns.copy()
        facts["open"][list(open_packs)] = True
        self.opened_by |= open_packs
        for request in found:
            pack, value = request.pack, request.value
            if request.what == "open":
                self.opened_by[pack] = f"opening requested by {request.actor}"
            if request.what in facts:
                facts[request.what][pack] = True
            if request.what == "service":
                facts["reset"][pack] = True
            elif request.what == "set_soc":
                set_soc[pack] = float(value or 0.0) / 100.0
            elif request.what == "target_soc":
                target[pack] = float(value or 0.0) / 100.0
            elif request.what == "full_by":
                ahead_s = float(value or 0.0) - self._clock.unix_s(now_ns)
                full_by[pack] = now_ns + int(ahead_s * 1e9) if value else FOREVER
        return Requests(
            close=facts["close"],
            open=facts["open"],
            reset=facts["reset"],
            service=facts["service"],
            set_soc=set_soc,
            zero_current=facts["zero_current"],
            target_soc=target,
            full_by_ns=full_by,
            confirm_unknown_soc=facts["confirm"],
        )

    def answer(self, events: Iterable[Event]) -> None:
        """Tell everybody who asked in this cycle what became of it, from the events that `step` made."""
        if not self._pending:
            return
        first = self._config.layout.first_string
        said = {(e.name, e.string): e for e in events if e.kind in ("request", "refuse")}
        for request in self._pending:
            name = "reset" if request.what == "service" else request.what
            event = said.get((name, int(first[request.pack])))
            accepted = event is not None and event.kind == "request"
            text = DONE if accepted else event.cause if event is not None else "there was nothing to do"
            self._reader.answer(request.id, accepted=accepted, text=text)
        self._pending = []


def packs_of(strings: np.ndarray, config: Config) -> list[int]:
    """Return the packs of the strings that are true in a (string,) mask."""
    return sorted(set(config.layout.pack_of_string[strings].tolist()))
