"""The HTTP API and the dashboard. Everything it knows comes in by four doors; it holds no state of the battery.

source    newest view and its age, read at each question
history   what was, read-only
requests  what people ask for; decided elsewhere
recorder  how the recorder fares, if this process knows
"""

import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Protocol

import numpy as np
from fastapi import FastAPI, Header, Query, Request
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from numpy.typing import NDArray
from prometheus_client import CONTENT_TYPE_LATEST

from cellarer import __version__
from cellarer.board.messages import WHAT, WITHDRAWS
from cellarer.history.reader import POINTS, Reader, Table
from cellarer.web import models
from cellarer.web.freeze import Frozen, add_freezes
from cellarer.web.metrics import metrics
from cellarer.web.security import Gate, Token
from cellarer.web.stream import EventStream, Feed

STALE_s = 1.5  # a snapshot older than this is not the present
VALID_s = 10.0  # a request that nobody took by then is void
CHANNELS = 24  # per question
STATIC = Path(__file__).with_name("static")
FREE = ("open",)  # needs no token

View = Mapping[str, object]
Source = Callable[[], tuple[View | None, float]]
Requests = Callable[[Mapping[str, object]], Mapping[str, object]]


class Recorder(Protocol):
    """How the recorder fares: history.Health is one."""

    @property
    def ok(self) -> bool: ...
    @property
    def text(self) -> str: ...


def create(
    source: Source,
    history_reader: Reader | None,
    requests_writer: Requests,
    site_info: Mapping[str, object],
    token: str,
    *,
    recorder: Callable[[], Recorder] | None = None,
    hosts: Sequence[str] = (),
) -> FastAPI:
    """Return the application.

    source           → (view or None, age in s); called in a thread, several times a second
    requests_writer  takes {id, actor, pack (from 0), what, value, unix_s, expires_unix_s} and returns {id, accepted,
                     text}; may wait for the answer; raises OSError or TimeoutError when there is none
    site_info        JSON for /api/v1/site; `packs` must be the list of pack names
    token            for every request but opening, 16 characters or more
    hosts            further names under which this server may be called
    """
    site = _Site(source, history_reader, requests_writer, dict(site_info), Token(token), recorder)
    app = FastAPI(
        title="Cellarer", version=__version__, docs_url=None, redoc_url=None, openapi_url="/openapi.json",
        description="State, history and requests of a battery site. null is unknown; positive current charges.",
    )  # fmt: skip
    app.state.feed = site.feed
    _add_state(app, site)
    _add_history(app, site)
    _add_requests(app, site)
    app.add_exception_handler(RequestValidationError, _wrong_form)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_middleware(Gate, hosts=hosts)
    return app


def _wrong_form(request: Request, error: Exception) -> JSONResponse:
    """Say what is wrong without repeating the input: JSON that came in (NaN) need not be JSON that may go out."""
    errors = error.errors() if isinstance(error, RequestValidationError) else []
    said = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in errors]
    return JSONResponse({"detail": "; ".join(said)}, 422)


class _Site:
    """The doors, and what the routes share."""

    def __init__(
        self,
        source: Source,
        history: Reader | None,
        requests: Requests,
        info: dict[str, object],
        token: Token,
        recorder: Callable[[], Recorder] | None,
    ) -> None:
        packs = info.get("packs")
        if not isinstance(packs, list) or not packs or not all(isinstance(name, str) for name in packs):
            raise ValueError(f"site_info['packs'] must be a list of one pack name or more, got {packs!r}")
        self.packs: list[str] = packs
        self.source, self.history, self.requests, self.info, self.token = source, history, requests, info, token
        self.recorder = recorder
        self.feed = Feed(self.state_json, self.news)

    def now(self) -> dict[str, object]:
        """Return models.Now."""
        view, age_s = self.source()
        health = self.recorder() if self.recorder else None
        known = view is not None and np.isfinite(age_s)
        return {
            "age_s": round(age_s, 3) if known else None,
            "stale": not (known and age_s <= STALE_s),
            "recorder": {"ok": health.ok, "text": health.text} if health else None,
            "state": view,
        }

    def state_json(self) -> tuple[int, bytes]:
        """Return cycle and JSON of what is now."""
        now = self.now()
        cycle = now["state"].get("cycle", 0) if isinstance(now["state"], Mapping) else 0
        return int(cycle), json.dumps(now, allow_nan=False, separators=(",", ":")).encode()

    def news(self, after: int | None) -> list[dict[str, object]]:
        """Return the newest event, or those after a number, newest first; nothing while the file cannot be read."""
        try:
            if self.history is None:
                return []
            return self.history.events(1) if after is None else self.history.events(500, after=after)
        except sqlite3.Error:
            return []  # /api/v1/events and the recorder's health tell why

    def clock(self) -> float:
        """Return the site's time in unix seconds: that of the newest snapshot, which may be simulated."""
        view, age_s = self.source()
        moment = view.get("unix_s") if view else None
        return float(moment) + age_s if isinstance(moment, int | float) and np.isfinite(age_s) else time.time()


def _add_state(app: FastAPI, site: _Site) -> None:
    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/api/v1/state", response_model=None, responses={200: {"model": models.Now}, 503: {"model": models.Now}})
    def state() -> JSONResponse:
        """Return the newest snapshot; 503 when there is none."""
        now = site.now()
        return JSONResponse(now, 503 if now["state"] is None else 200)

    @app.get("/api/v1/stream", response_class=Response, responses={200: {"content": {"text/event-stream": {}}}})
    async def stream(last_event_id: Annotated[str | None, Header(max_length=64)] = None) -> Response:
        """Follow: `state` messages (as /api/v1/state) twice a second and more, `event` messages as they happen."""
        if site.feed.full:
            return JSONResponse({"detail": "too many follow already"}, 503, headers={"Retry-After": "10"})
        return EventStream(site.feed.follow(last_event_id))

    @app.get("/api/v1/site")
    def info() -> dict[str, object]:
        """Return what this site is."""
        return {**site.info, "version": __version__}

    @app.get("/healthz", responses={503: {"model": models.Healthz}})
    def healthz() -> JSONResponse:
        """Tell whether this site is being looked after and recorded."""
        now = site.now()
        health = now["recorder"]
        wrong = ["no fresh snapshot: control is not running"] if now["stale"] else []
        if isinstance(health, dict) and not health["ok"]:
            wrong.append(str(health["text"]))
        return JSONResponse({"ok": not wrong, "text": "; ".join(wrong) or "running"}, 503 if wrong else 200)

    @app.get("/metrics", response_class=Response)
    def prometheus() -> Response:
        """Return the newest snapshot for Prometheus."""
        view, age_s = site.source()
        age = age_s if view is not None and np.isfinite(age_s) else None
        health = site.recorder() if site.recorder else None
        stale = age is None or age > STALE_s
        page = metrics(view, age, stale=stale, recorder_ok=health.ok if health else None)
        return Response(page, media_type=CONTENT_TYPE_LATEST)


def _add_history(app: FastAPI, site: _Site) -> None:
    frozen = Frozen(site.history)
    add_freezes(app, frozen)

    @app.get("/api/v1/history", response_model=None, responses={200: {"model": models.History}})
    def history(
        channel: Annotated[list[str], Query(min_length=1, max_length=CHANNELS)],
        begin: Annotated[float, Query(alias="from", allow_inf_nan=False)] = -3600.0,
        end: Annotated[float | None, Query(alias="to", allow_inf_nan=False)] = None,
        points: Annotated[int, Query(ge=1, le=POINTS)] = 500,
    ) -> JSONResponse:
        """Return channels in at most `points` bins. Unix seconds; `from` below 0 is relative to `to`, which is now."""
        last = site.clock() if end is None else end
        try:
            table = _reader(site).table(channel, begin + last if begin < 0 else begin, last, points)
        except KeyError as error:
            raise HTTPException(404, f"not recorded: {error.args[0]}; see /api/v1/history/channels") from error
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        return JSONResponse(_history(table))

    @app.get("/api/v1/history/channels")
    def channels() -> models.Channels:
        """Return what is recorded, and since when."""
        reader = _reader(site)
        begin, end = reader.span() or (None, None)
        return models.Channels(channels=reader.channels(), begin_unix_s=begin, end_unix_s=end)

    @app.get("/api/v1/events", response_model=None, responses={200: {"model": models.Events}})
    def events(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        before: Annotated[int | None, Query(ge=0)] = None,
        after: Annotated[int | None, Query(ge=0)] = None,
        kind: Annotated[list[models.Kind] | None, Query()] = None,
    ) -> JSONResponse:
        """Return events, newest first: the last ones, those before a number, or the next ones after a number."""
        reader = _reader(site)
        found = reader.events(limit, before=before, after=after, kinds=kind or ())
        seq, chain = reader.head()
        freezes = frozen.among(found)
        return JSONResponse({"events": found, "head_seq": seq, "head_hash": chain, "freezes": freezes})

    @app.exception_handler(sqlite3.Error)
    def unreadable(request: Request, error: sqlite3.Error) -> JSONResponse:
        return JSONResponse({"detail": f"history cannot be read: {error}"}, 503)


def _add_requests(app: FastAPI, site: _Site) -> None:
    @app.post(
        "/api/v1/requests",
        response_model=None,
        responses={200: {"model": models.Answers}, 409: {"model": models.Answers}},
    )
    def ask(body: models.Ask, authorization: Annotated[str | None, Header()] = None) -> JSONResponse:
        """Ask for something. Opening needs no token, everything else does. 409: at least one pack refused."""
        if body.value == "none" and body.what in WITHDRAWS:
            body = body.model_copy(update={"value": WITHDRAWS[body.what]})
        if body.what not in FREE and (refusal := site.token.refusal(authorization)):
            raise HTTPException(*refusal, headers={"WWW-Authenticate": "Bearer"})
        answers = [_asked(site, body, name) for name in _chosen(site, body)]
        return JSONResponse({"answers": answers}, 200 if all(answer["accepted"] for answer in answers) else 409)


def _chosen(site: _Site, body: models.Ask) -> list[str]:
    """Return the packs that a request is for; raises HTTPException 422 for what cannot be asked at all."""
    span = WHAT[body.what]
    if span is None and body.value is not None:
        raise HTTPException(422, f"{body.what} takes no value")
    if span is not None and not (isinstance(body.value, float) and span[0] <= body.value <= span[1]):
        raise HTTPException(422, f"value of {body.what} must be {span[0]:g} … {span[1]:g}, got {body.value}")
    if body.pack is None and (len(site.packs) == 1 or body.what in FREE):
        return site.packs
    if body.pack not in site.packs:
        raise HTTPException(422, f"pack must be one of {', '.join(site.packs)}; got {body.pack}")
    return [body.pack]


def _asked(site: _Site, body: models.Ask, name: str) -> dict[str, object]:
    """Hand on a request for one pack and return its answer."""
    now = site.clock()
    request = {
        "id": uuid.uuid4().hex, "actor": "web", "pack": site.packs.index(name), "what": body.what, "value": body.value,
        "unix_s": now, "expires_unix_s": now + VALID_s,
    }  # fmt: skip
    try:
        answer = site.requests(request)
    except (OSError, TimeoutError) as error:
        raise HTTPException(503, f"nobody takes requests: {error}") from error
    return {"pack": name, "id": str(answer["id"]), "accepted": bool(answer["accepted"]), "text": str(answer["text"])}


def _reader(site: _Site) -> Reader:
    if site.history is None:
        raise HTTPException(503, "this site records no history")
    return site.history


def _history(table: Table) -> dict[str, object]:
    """Return models.History."""
    series = {
        name: {key: _column(getattr(line, key)) for key in ("min", "avg", "max")} for name, line in table.series.items()
    }
    return {"width_s": table.width_s, "unix_s": table.unix_s.tolist(), "series": series}


def _column(values: NDArray[np.float64]) -> list[float | None]:
    """Return a column for JSON: six significant digits suffice for a plot, null is unknown."""
    return [float(f"{value:.7g}") if value == value else None for value in values.tolist()]
