"""Requests go over the board and come back with the answer that belongs to them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cellarer.board.files import Folder
from cellarer.board.messages import Asker, RequestReader, create_messages
from cellarer.web import asking
from cellarer.web.asking import Asking


def request(what: str, pack: int = 0, value: float | None = None) -> dict[str, object]:
    return {
        "id": "x",
        "actor": "web",
        "what": what,
        "pack": pack,
        "value": value,
        "unix_s": 1.7e9,
        "expires_unix_s": 1.7e9,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    create_messages(folder)
    return folder


def test_each_gets_its_own_answer(folder: Folder) -> None:
    over = threading.Event()

    def control() -> None:
        reader = RequestReader(folder.requests, folder.answers)
        while not over.is_set():
            for each in reversed(reader.read(1.7e9, packs=9)):
                reader.answer(each.id, accepted=each.what == "open", text=f"{each.what} {each.pack} {each.value}")
            time.sleep(0.02)

    thread = threading.Thread(target=control)
    thread.start()
    try:
        time.sleep(0.05)
        ask = Asking(Asker(folder.requests, folder.answers))
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, [*(request("open", i) for i in range(8)), request("set_soc", 8, 50.0)]))
        refused = ask(request("close", 99))
    finally:
        over.set()
        thread.join()
    assert [answer["text"] for answer in answers] == [*(f"open {i} None" for i in range(8)), "set_soc 8 50.0"]
    assert [answer["accepted"] for answer in answers] == [True] * 8 + [False]
    assert "does not exist" in str(refused["text"])


def test_silence_is_an_error(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "WAIT_s", 0.1)
    with pytest.raises(TimeoutError, match="control does not run"):
        Asking(Asker(folder.requests, folder.answers))(request("open"))


@pytest.mark.parametrize("wrong", [{"pack": "house"}, {"value": "much"}, {"unix_s": None}])
def test_what_is_no_request_is_not_written(folder: Folder, wrong: dict[str, object]) -> None:
    with pytest.raises(TypeError, match="no request"):
        Asking(Asker(folder.requests, folder.answers))(request("open") | wrong)


def test_who_got_no_answer_does_not_see_it_done_afterwards(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "WAIT_s", 0.1)
    reader = RequestReader(folder.requests, folder.answers)
    for speed in (1.0, 20.0):
        with pytest.raises(TimeoutError, match="ask again"):
            Asking(Asker(folder.requests, folder.answers), speed)(request("close"))
        assert reader.read(1.7e9 + 2.0 * speed, packs=1) == []
        with pytest.raises(TimeoutError, match="ask again"):
            Asking(Asker(folder.requests, folder.answers), speed)(request("close"))
        assert len(reader.read(1.7e9 + 1.7 * speed, packs=1)) == 1
