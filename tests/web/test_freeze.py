"""A freeze frame over HTTP: found by its event, exported as a recording, given as the file that replay takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.processes.logged import Run
from tests.web.fake import TOKEN

from cellarer.history import Reader
from cellarer.history.database import Database, Retention
from cellarer.history.events import prepare
from cellarer.history.inputs import Log
from cellarer.runtime.recording import read
from cellarer.web import create

EVENT = {"unix_s": 1e9 + 1.5, "time_ns": 1_500_000_000, "kind": "fault", "name": "crash", "pack": 1, "string": 1}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    path = Path(tmp_path_factory.mktemp("state"))
    with Database(path / "history.db", Retention()) as database:
        database.write_events([prepare(EVENT | {"seq": n, "time_ns": 1_500_000_000 + n}, "control") for n in (0, 1)])
    run = Run(path / "run")
    log = run.log(path)
    run.cycle(keyframe=True)
    run.cycles(50)
    log.write(run.reader().read())
    log.note(EVENT | {"text": "a crash"})
    log.finish()
    app = create(lambda: (None, 0.0), Reader(path / "history.db"), lambda request: {}, {"packs": ["a"]}, TOKEN)
    yield TestClient(app, base_url="http://127.0.0.1:8080")


def test_events_say_which_have_one(client: TestClient) -> None:
    found = client.get("/api/v1/events").json()
    assert [e["seq"] for e in found["events"]] == [2, 1]
    assert found["freezes"] == [1]


def test_what_is_kept(client: TestClient) -> None:
    found = client.get("/api/v1/events/1/freeze").json()
    assert found["events"] == ["a crash"]
    assert found["end_unix_s"] - found["begin_unix_s"] == pytest.approx(1.0, abs=0.03)


def test_a_recording_at_full_rate(client: TestClient, tmp_path: Path) -> None:
    answer = client.get("/api/v1/events/1/freeze.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    path = tmp_path / "x.csv"
    path.write_bytes(answer.content)
    found = read(path)
    assert (found.rows, found.cells, found.temp_degC.shape[1]) == (51, 16, 4)
    assert client.get("/api/v1/events/1/freeze.csv?string=2").status_code == 422


def test_the_file_itself(client: TestClient, tmp_path: Path) -> None:
    path = tmp_path / "x.freeze"
    path.write_bytes(client.get("/api/v1/events/1/freeze.file").content)
    assert len(list(Log([path]).moments())) == 51


@pytest.mark.parametrize(("seq", "said"), [(2, "not complete before 30 s"), (3, "no event 3"), (0, "no event 0")])
def test_what_there_is_not_is_said(client: TestClient, seq: int, said: str) -> None:
    answer = client.get(f"/api/v1/events/{seq}/freeze")
    assert answer.status_code == 404
    assert said in answer.json()["detail"]
