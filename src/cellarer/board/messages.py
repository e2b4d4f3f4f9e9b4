"""Events, requests and answers: JSON records in rings.

Events go from control to the recorder, which says up to which one it has kept them; requests come from pages, machines
and the command line, several writers that take turns; answers go back by the request's id. Forms: see the classes.
"""

import json
import math
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from cellarer.board.files import Folder, write_whole
from cellarer.board.ring import BoardError, RingReader, RingWriter, create_ring

EVENT_SIZE, EVENTS = 1000, 4096
REQUEST_SIZE, REQUESTS = 496, 64
ANSWER_SIZE, ANSWERS = 496, 256
SHORTEN = 300  # characters of a free text
STARTED = "control has just started and does not know what came before: ask again"


class EventRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it stands on disk, in history and on the page. Cells, strings and packs count from 1; None = none."""

    seq: int
    unix_s: float
    time_ns: int
    kind: str  # fault, clear, switch, charge, request, refuse, system
    name: str
    pack: int | None = None
    string: int | None = None
    cell: int | None = None
    value: float | None = None
    limit: float | None = None
    cause: str = ""
    text: str = ""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asks for. Whether it is done is decided in core; who may ask is decided before it gets here."""

    id: str
    actor: str
    what: str  # one of WHAT
    pack: int = 0  # from 0
    value: float | str | None = None
    unix_s: float
    expires_unix_s: float


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request."""

    id: str
    accepted: bool
    text: str


AHEAD_S = 366 * 86400.0  # nobody plans a charge for later; milliseconds in place of seconds are

# What may be asked, and the allowed range of the value; None = there is no value.
WHAT: Mapping[str, tuple[float, float] | None] = {
    "open": None,
    "close": None,
    "reset": None,
    "service": None,  # reset with the service key
    "set_soc": (0.0, 100.0),  # %
    "zero_current": None,
    "target_soc": (0.0, 100.0),  # %; 100 = charge to full, none is held
    "full_by": (0.0, math.inf),  # unix time, s, ahead by at most AHEAD_S; 0 = withdraw
    "confirm": None,  # close without durable state: a person accepts that the SOC is unknown
}

WITHDRAWS = {"target_soc": 100.0, "full_by": 0.0}  # the values that withdraw what lasts

_event = msgspec.json.Decoder(EventRecord)
_request = msgspec.json.Decoder(Request)
_answer = msgspec.json.Decoder(Answer)
_encoder = msgspec.json.Encoder()


SOURCES = ("control", "supervisor")  # who writes events


def create_messages(folder: Folder) -> None:
    """Make the empty files. Events that an earlier run left are kept: the recorder still wants them.

    The id says which life of the event rings this is: their numbers begin anew after a restart of the computer.
    """
    if not folder.events_id.exists():
        for source in SOURCES:
            create_ring(folder.events(source), EVENT_SIZE, EVENTS)
            create_ring(folder.events_kept(source), 8, 4)
        write_whole(folder.events_id, secrets.token_hex(8).encode(), sync=False)
    create_ring(folder.requests, REQUEST_SIZE, REQUESTS)
    create_ring(folder.answers, ANSWER_SIZE, ANSWERS)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


class EventWriter:
    """Control's end."""

    def __init__(self, folder: Folder, source: str) -> None:
        self._ring = RingWriter(folder.events(source))
        self._kept = RingReader(folder.events_kept(source))

    def write(self, record: EventRecord) -> int:
        """Put an event; its `seq` becomes its place in the ring, which it also returns."""
        whole = msgspec.structs.replace(
            record,
            seq=self._ring.next,
            value=None if record.value is None else _finite(record.value),
            limit=None if record.limit is None else _finite(record.limit),
            cause=record.cause[:SHORTEN],
            text=record.text[:SHORTEN],
        )
        return self._ring.write(_encoder.encode(whole))

    @property
    def waiting(self) -> int:
        """How many events the recorder has not kept yet."""
        return self._ring.next - kept_until(self._kept)

    @property
    def full(self) -> bool:
        """The next event would overwrite one that nobody has kept."""
        return bool(self.waiting >= self._ring.slots)


def kept_until(kept: RingReader) -> int:
    """Return the sequence number of the first event that is not kept yet."""
    newest = kept.newest()
    return 0 if newest is None else int.from_bytes(newest, "little")


def all_kept(folder: Folder) -> bool:
    """Tell whether every event of every source is on the disk."""
    rings = [(RingReader(folder.events(s)), RingReader(folder.events_kept(s))) for s in SOURCES]
    return all(kept_until(kept) >= events.next for events, kept in rings)


class EventReader:
    """The recorder's end: begins with the first event that was never kept."""

    def __init__(self, folder: Folder, source: str) -> None:
        self._ring = RingReader(folder.events(source), oldest=True)
        self._kept = RingWriter(folder.events_kept(source))
        self.kept = kept_until(RingReader(folder.events_kept(source)))
        self.lost = max(self._ring.place - self.kept, 0)
        self._ring.place = max(self._ring.place, min(self.kept, self._ring.next))

    def read(self) -> list[EventRecord]:
        """Return the events since the last call."""
        before = self._ring.lost + self._ring.torn
        records = [_event.decode(data) for data in self._ring.read()]
        self.lost += self._ring.lost + self._ring.torn - before
        return records

    def keep(self, until: int) -> None:
        """Acknowledge: every event before number `until` is on the disk."""
        if until > self.kept:
            self.kept = until
            self._kept.write(until.to_bytes(8, "little"))


class RequestReader:
    """Control's end of the requests: whole, in time, of a known kind, with a value in range; the rest is refused.

    What an earlier control left without an answer, or what was asked while none ran, is answered at once: ask again.
    """

    def __init__(self, requests: Path, answers: Path) -> None:
        self._ring = RingReader(requests, oldest=True)
        self._answers = RingWriter(answers)
        answered = {_answer.decode(data).id for data in RingReader(answers, oldest=True).read()}
        for request in self._whole():
            if request.id not in answered:
                self.answer(request.id, accepted=False, text=STARTED)

    def read(self, unix_s: float, packs: int) -> list[Request]:
        """Return what can be handed to `step` now; what cannot is answered here."""
        if self._ring.next == self._ring.place:
            return []
        found = []
        for request in self._whole():
            if why := refused(request, unix_s, packs):
                self.answer(request.id, accepted=False, text=why)
            else:
                found.append(request)
        return found

    def _whole(self) -> Iterator[Request]:
        for data in self._ring.read():
            with suppress(msgspec.DecodeError):  # whoever wrote that has no id that an answer could reach
                yield _request.decode(data)

    def answer(self, request_id: str, *, accepted: bool, text: str) -> None:
        """Tell who asked."""
        self._answers.write(_encoder.encode(Answer(id=request_id, accepted=accepted, text=text[:SHORTEN])))


def refused(request: Request, unix_s: float, packs: int) -> str:
    """Return why a request cannot be considered at all; empty if it can."""
    if request.what not in WHAT:
        return f"{request.what} is unknown; there are: {', '.join(WHAT)}"
    if not request.unix_s - 5 <= unix_s <= request.expires_unix_s:
        return "expired, or from a clock that is not ours: ask again"
    if not 0 <= request.pack < packs:
        return f"pack {request.pack} does not exist; packs are 0 to {packs - 1}"
    span, value = WHAT[request.what], request.value
    known = isinstance(value, int | float) and span is not None and span[0] <= value <= span[1]
    ahead_s = float(value) - unix_s if known and isinstance(value, int | float) else 0.0
    if request.what == "full_by" and not (known and (value == 0.0 or ahead_s <= AHEAD_S)):
        return f"value = {value} for full_by, allowed is unix time in s, within a year of now, or 0 to withdraw"
    if request.what == "full_by" and value != 0.0 and ahead_s <= 0.0:
        return f"value = {value} for full_by is {-ahead_s / 3600.0:.1f} h in the past; 0 withdraws"
    if span is not None and not known:
        return f"value = {value} for {request.what}, allowed is {span[0]:g} to {span[1]:g}"
    return ""


class Asker:
    """Anybody's end: puts a request and finds its answer."""

    def __init__(self, requests: Path, answers: Path) -> None:
        self._requests = RingWriter(requests)
        self._answers = RingReader(answers)
        self._found: dict[str, Answer] = {}

    def ask(
        self,
        what: str,
        actor: str,
        unix_s: float,
        *,
        pack: int = 0,
        value: float | str | None = None,
        valid_s: float = 10.0,
    ) -> str:
        """Put a request that is good for `valid_s` and return its id."""
        request = Request(
            id=secrets.token_hex(8), actor=actor[:40], what=what, pack=pack, value=value, unix_s=unix_s,
            expires_unix_s=unix_s + valid_s,
        )  # fmt: skip
        data = _encoder.encode(request)
        if len(data) > REQUEST_SIZE:
            raise BoardError(f"a request of {len(data)} bytes is too long, at most {REQUEST_SIZE} are allowed")
        with self._requests.alone():
            self._requests.write(data)
        return request.id

    def answer(self, request_id: str) -> Answer | None:
        """Return the answer once it is there."""
        for data in self._answers.read():
            answer = _answer.decode(data)
            self._found[answer.id] = answer
            while len(self._found) > ANSWERS:
                del self._found[next(iter(self._found))]
        return self._found.pop(request_id, None)


def as_dict(record: EventRecord) -> dict[str, object]:
    """Return an event as a dict of JSON values."""
    return dict(json.loads(_encoder.encode(record)))
