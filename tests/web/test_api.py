"""The API keeps its contract: forms, units, null for unknown, stale is told, requests reach who decides."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.web.fake import TOKEN, Site, remember

from cellarer.history import Health, Reader
from cellarer.web import create, models, stream
from cellarer.web.stream import Feed

URL = "http://127.0.0.1:8080"
SCOPE: dict[str, object] = {
    "type": "http", "method": "GET", "path": "/api/v1/stream", "raw_path": b"", "query_string": b"",
    "headers": [(b"host", b"127.0.0.1")], "http_version": "1.1", "scheme": "http",
}  # fmt: skip
Message = tuple[str, str, str]  # kind, id, data
KEY = {"Authorization": f"Bearer {TOKEN}"}


class House:
    """A site with its application; a test may age or silence it."""

    def __init__(self, history: Reader | None) -> None:
        self.site, self.age_s, self.silent, self.recording = Site(packs=2), 0.02, False, True
        info = {"name": "home", "packs": self.site.names}
        self.app = create(self.source, history, self.ask, info, TOKEN, recorder=self.recorder)
        self.client = TestClient(self.app, base_url=URL, raise_server_exceptions=False)

    def source(self) -> tuple[dict[str, object] | None, float]:
        return (None, float("inf")) if self.silent else (self.site.view(time.time() - self.age_s), self.age_s)

    def ask(self, request: dict[str, object]) -> dict[str, object]:
        if self.silent:
            raise TimeoutError("no answer within 2 s")
        return self.site.ask(request)

    def recorder(self) -> Health:
        return Health(self.recording, "recording" if self.recording else "the disk is full")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("history") / "history.db"
    remember(Site(packs=2), path, span_s=7200, step_s=10)
    return path


@pytest.fixture
def house(history: Path) -> Iterator[House]:
    yield House(Reader(history))


def test_state_has_its_form(house: House) -> None:
    answer = house.client.get("/api/v1/state")
    assert answer.status_code == 200
    now = models.Now.model_validate(answer.json())
    assert not now.stale
    assert now.state is not None
    assert [pack.name for pack in now.state.packs] == ["rack 01", "rack 02"]


def test_an_old_snapshot_is_stale(house: House) -> None:
    house.age_s = 30.0
    assert house.client.get("/api/v1/state").json()["stale"] is True
    assert house.client.get("/healthz").status_code == 503
    assert "cellarer_soc_percent" not in house.client.get("/metrics").text
    assert "cellarer_up 0.0" in house.client.get("/metrics").text


def test_no_snapshot_is_said(house: House) -> None:
    house.silent = True
    answer = house.client.get("/api/v1/state")
    assert (answer.status_code, answer.json()["state"], answer.json()["stale"]) == (503, None, True)
    assert house.client.get("/").status_code == 200
    assert "cellarer_up 0.0" in house.client.get("/metrics").text


def test_health_tells_of_the_recorder(house: House) -> None:
    assert house.client.get("/healthz").json() == {"ok": True, "text": "running"}
    house.recording = False
    assert "disk is full" in house.client.get("/healthz").json()["text"]


def test_metrics_carry_the_state(house: House) -> None:
    text = house.client.get("/metrics").text
    assert 'cellarer_soc_percent{pack="rack 01"}' in text
    assert 'cellarer_cell_volts{cell="16",pack="rack 02",string="1"}' in text
    assert "cellarer_snapshot_age_seconds 0.02" in text


def test_history_is_columns(house: House) -> None:
    names = ["pack1.soc_pct", "pack1.string1.lowest_V"]
    answer = house.client.get("/api/v1/history", params={"channel": names, "from": -3600, "points": 200})
    table = models.History.model_validate(answer.json())
    assert set(table.series) == set(names)
    assert 50 < len(table.unix_s) <= 201
    line = table.series["pack1.soc_pct"]
    assert len(line.min) == len(line.avg) == len(line.max) == len(table.unix_s)
    assert all(low <= mean <= high for low, mean, high in zip(line.min, line.avg, line.max) if low is not None)
    known = house.client.get("/api/v1/history/channels").json()
    assert set(names) <= set(known["channels"])
    assert known["end_unix_s"] - known["begin_unix_s"] == pytest.approx(7190, abs=1000)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("channel=nonsense", 404),
        ("", 422),
        ("channel=pack1.soc_pct&points=0", 422),
        ("channel=pack1.soc_pct&points=99999", 422),
        ("channel=pack1.soc_pct&from=2&to=1", 422),
        ("channel=pack1.soc_pct&from=nan", 422),
        ("channel=pack1.soc_pct&from=1&to=inf", 422),
        ("&".join(f"channel={i}" for i in range(30)), 422),
    ],
)
def test_wrong_questions_are_refused(house: House, query: str, status: int) -> None:
    assert house.client.get(f"/api/v1/history?{query}").status_code == status


def test_events_come_newest_first_with_their_head(house: House) -> None:
    answer = models.Events.model_validate(house.client.get("/api/v1/events?limit=3").json())
    assert [event.seq for event in answer.events] == [8, 7, 6]
    assert answer.head_seq == 8
    assert len(answer.head_hash) == 64
    faults = house.client.get("/api/v1/events?kind=fault").json()["events"]
    assert {event["kind"] for event in faults} == {"fault"}
    assert house.client.get("/api/v1/events?kind=gossip").status_code == 422


def test_without_history_the_state_still_comes() -> None:
    house = House(None)
    assert house.client.get("/api/v1/state").status_code == 200
    assert house.client.get("/api/v1/events").status_code == 503


def test_a_damaged_history_is_told(tmp_path: Path) -> None:
    (tmp_path / "history.db").write_bytes(b"nonsense" * 1000)
    house = House(Reader(tmp_path / "history.db"))
    assert house.client.get("/api/v1/events").status_code == 503
    assert house.client.get("/api/v1/state").status_code == 200


def test_opening_needs_no_token_and_reaches_every_pack(house: House) -> None:
    answer = house.client.post("/api/v1/requests", json={"what": "open"})
    assert answer.status_code == 200
    assert [a["accepted"] for a in answer.json()["answers"]] == [True, True]
    assert [(r["what"], r["pack"], r["actor"]) for r in house.site.asked] == [("open", 0, "web"), ("open", 1, "web")]
    assert all(0 < r["expires_unix_s"] - r["unix_s"] <= 30 for r in house.site.asked)  # type: ignore[operator]


def test_a_request_is_for_the_pack_that_it_names(house: House) -> None:
    body = {"what": "set_soc", "pack": "rack 02", "value": 80.0}
    assert house.client.post("/api/v1/requests", json=body, headers=KEY).status_code == 200
    assert {k: house.site.asked[0][k] for k in ("what", "pack", "value")} == {
        "what": "set_soc",
        "pack": 1,
        "value": 80.0,
    }


@pytest.mark.parametrize(("what", "number"), [("target_soc", 100.0), ("full_by", 0.0)])
def test_what_lasts_is_withdrawn_by_a_word(house: House, what: str, number: float) -> None:
    body = {"what": what, "pack": "rack 01", "value": "none"}
    assert house.client.post("/api/v1/requests", json=body, headers=KEY).status_code == 200
    assert [(r["what"], r["value"]) for r in house.site.asked] == [(what, number)]


def test_a_refusal_comes_with_its_reason(house: House) -> None:
    house.site.fault = True
    answer = house.client.post("/api/v1/requests", json={"what": "close", "pack": "rack 01"}, headers=KEY)
    assert answer.status_code == 409
    assert "must clear" in answer.json()["answers"][0]["text"]


def test_nobody_to_ask_is_told(house: House) -> None:
    house.silent = True
    assert house.client.post("/api/v1/requests", json={"what": "open"}).status_code == 503


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"what": "explode"},
        {"what": "close"},  # two packs: which?
        {"what": "close", "pack": "rack 03"},
        {"what": "close", "pack": 1},
        {"what": "close", "pack": "rack 01", "value": 1.0},
        {"what": "set_soc", "pack": "rack 01"},
        {"what": "set_soc", "pack": "rack 01", "value": 101.0},
        {"what": "set_soc", "pack": "rack 01", "value": "55"},
        {"what": "set_soc", "pack": "rack 01", "value": True},
        {"what": "set_soc", "pack": "rack 01", "value": "none"},
        {"what": "close", "pack": "rack 01", "value": "none"},
        {"what": "target_soc", "pack": "rack 01", "value": "nothing"},
        {"what": "target_soc", "pack": "rack 01"},
        {"what": "close", "pack": "rack 01", "force": True},
        [],
    ],
)
def test_what_is_no_request_is_refused(house: House, body: object) -> None:
    assert house.client.post("/api/v1/requests", json=body, headers=KEY).status_code == 422
    assert house.site.asked == []


def test_the_document_describes_every_route(house: House) -> None:
    document = house.client.get("/openapi.json").json()
    routes = {"state", "stream", "history", "history/channels", "events", "requests", "site"}
    routes |= {f"events/{{seq}}/{name}" for name in ("freeze", "freeze.csv", "freeze.file")}
    assert {f"/api/v1/{name}" for name in routes} | {"/metrics", "/healthz"} == set(document["paths"])
    assert {"View", "String", "Fault", "Event", "Ask"} <= set(document["components"]["schemas"])


async def read(app: FastAPI, states: int, headers: tuple[tuple[bytes, bytes], ...] = ()) -> list[Message]:
    """Return the messages that the stream sends until so many states have come, or until it ends."""
    parts: list[bytes] = []
    enough = asyncio.Event()

    async def receive() -> dict[str, object]:
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        parts.append(bytes(message.get("body", b"")))  # type: ignore[arg-type]
        if sum(b"event: state" in part for part in parts) >= states:
            enough.set()

    scope = SCOPE | {"headers": [(b"host", b"127.0.0.1"), *headers]}
    await asyncio.wait_for(app(scope, receive, send), 30)  # type: ignore[arg-type]
    found = []
    for block in b"".join(parts).decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "data" in fields:
            found.append((fields["event"], fields["id"], fields["data"]))
    return found


async def test_the_stream_brings_new_states_again_and_again(house: House) -> None:
    messages = await read(house.app, 4)
    states = [json.loads(data) for kind, _, data in messages if kind == "state"]
    cycles = [models.Now.model_validate(state).state.cycle for state in states]  # type: ignore[union-attr]
    assert len(cycles) >= 4
    assert cycles == sorted(set(cycles))
    assert not [kind for kind, _, _ in messages if kind == "event"]
    assert stream.PERIOD_s <= 0.5  # twice a second


async def test_who_comes_back_gets_the_events_that_were_missed(house: House) -> None:
    messages = await read(house.app, 1, ((b"last-event-id", b"17.5"),))
    assert [json.loads(data)["seq"] for kind, _, data in messages if kind == "event"] == [6, 7, 8]
    assert messages[-1][1].endswith(".8")


async def test_the_pump_rests_when_nobody_follows(house: House) -> None:
    await read(house.app, 1)
    await asyncio.sleep(3 * stream.PERIOD_s)
    before = house.site.cycle
    await asyncio.sleep(3 * stream.PERIOD_s)
    assert house.site.cycle == before
    assert await read(house.app, 1)


async def test_a_follower_that_takes_nothing_is_dropped(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellarer.web.stream.SLOW_s", 0.2)
    sent = 0

    async def send(message: dict[str, object]) -> None:
        nonlocal sent
        sent += 1
        if sent > 3:
            await asyncio.sleep(60)

    async def receive() -> dict[str, object]:
        await asyncio.sleep(60)
        return {}

    await asyncio.wait_for(house.app(SCOPE, receive, send), 30)  # type: ignore[arg-type]
    assert sent == 4


async def test_too_many_followers_are_turned_away(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellarer.web.stream.FOLLOWERS", 1)
    first = asyncio.create_task(read(house.app, 3))
    await asyncio.sleep(0.2)
    assert await read(house.app, 1) == []
    assert len(await first) >= 3


async def test_a_broken_source_ends_the_stream_instead_of_repeating_the_past(house: House) -> None:
    calls = 0

    def state() -> tuple[int, bytes]:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise OSError("the snapshot cannot be read")
        return calls, b"{}"

    feed, messages = Feed(state, lambda after: []), []
    with pytest.raises(OSError, match="snapshot"):
        async for message in feed.follow(None):
            messages.append(message)
    assert len([message for message in messages if b"event: state" in message]) == 2
