"""Freeze frames over HTTP: what was measured around an event, as figures, as a recording and as the file itself."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Query
from fastapi.exceptions import HTTPException
from fastapi.responses import FileResponse, StreamingResponse

from cellarer.board import tree
from cellarer.history import Reader
from cellarer.history.freeze import Event, Freezes
from cellarer.history.inputs import BLOCK, Log, frames
from cellarer.history.recording import lines
from cellarer.model.config import Config
from cellarer.web import models

TYPE = "application/octet-stream"


class Frozen:
    """The freeze frames that belong to a history file."""

    def __init__(self, reader: Reader | None) -> None:
        self._reader = reader
        self._freezes = Freezes(reader.path.with_name("freezes")) if reader is not None else None

    def among(self, events: Iterable[Event]) -> list[int]:
        """Return the numbers of those events that have a freeze frame."""
        found = self._freezes
        return [int(str(e["seq"])) for e in events if found is not None and found.of(e) is not None]

    def path(self, seq: int) -> Path:
        """Return the freeze frame of an event; raises HTTPException 404."""
        events = self._reader.events(1, before=seq + 1) if self._reader is not None else []
        if self._freezes is None or not events or events[0]["seq"] != seq:
            raise HTTPException(404, f"there is no event {seq}")
        path = self._freezes.of(events[0])
        if path is None:
            raise HTTPException(404, f"event {seq} has no freeze frame, or it is not complete before 30 s have passed")
        return path


def add_freezes(app: FastAPI, frozen: Frozen) -> None:
    """Add the routes."""

    @app.get("/api/v1/events/{seq}/freeze", responses={404: {}})
    def freeze(seq: int) -> models.Freeze:
        """Return what is kept of the inputs around an event."""
        path = frozen.path(seq)
        log, blocks = Log([path]), [f for f in frames(path, payloads=False) if f.kind == BLOCK]
        origin_s = float(str(log.header["origin_unix_s"])) - float(str(log.header["origin_ns"])) * 1e-9
        return models.Freeze(
            file=path.name,
            size_bytes=path.stat().st_size,
            begin_unix_s=origin_s + blocks[0].begin_ns * 1e-9,
            end_unix_s=origin_s + blocks[-1].end_ns * 1e-9,
            program=str(log.header["program"]),
            config_sha256=str(log.header["config_sha256"]),
            events=[str(e.get("text", "")) for e in log.header["events"]],  # type: ignore[attr-defined]
        )

    @app.get("/api/v1/events/{seq}/freeze.csv", response_class=StreamingResponse, responses={404: {}})
    def recording(seq: int, string: Annotated[int, Query(ge=1)] = 1) -> StreamingResponse:
        """Return the inputs around an event as a recording at full rate. `string` counts through all packs."""
        path = frozen.path(seq)
        log = Log([path])
        config = tree.decode(log.config)
        if not isinstance(config, Config) or string > config.layout.size["string"]:
            raise HTTPException(422, f"string = {string}: there are not so many")
        name = f"{path.stem}-string{string}.csv"
        said = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(lines(log, config.layout, string - 1), media_type="text/csv", headers=said)

    @app.get("/api/v1/events/{seq}/freeze.file", response_class=FileResponse, responses={404: {}})
    def file(seq: int) -> FileResponse:
        """Return the freeze frame itself, for `cellarer replay --incident FILE`."""
        path = frozen.path(seq)
        return FileResponse(path, media_type=TYPE, filename=path.name)
