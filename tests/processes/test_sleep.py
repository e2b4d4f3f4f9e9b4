"""A site sleeps when nothing is wanted or the battery is at its floor, and is woken by what may wake it."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from tests.processes.site import running, wait_for

from cellarer.board.snapshot import Snapshot
from cellarer.config import Site, load
from cellarer.config.schema import SleepFile
from cellarer.core.cycle import start
from cellarer.model.values import Phase
from cellarer.runtime import sleep
from cellarer.runtime.sleep import Drowsiness, Sleeper

HOME = load("home")
CONFIG = HOME.config
FILE = SleepFile(idle_min=1.0)


def shot(phase: Phase = Phase.OPEN, soc: float = 0.5, **signals: float) -> Snapshot:
    state = start(CONFIG, 0)
    seen = state.seen.value.copy()
    for name, value in ({"current": 0.0, "charger_present": 0.0, "ignition": 0.0} | signals).items():
        seen[CONFIG.layout.where[name]] = value
    return Snapshot(0.0, 0, 0, True, np.zeros(1, bool), replace(
        state,
        seen=replace(state.seen, value=seen),
        switches=replace(state.switches, phase=np.array([phase], np.int8)),
        estimate=replace(state.estimate, string_soc=np.array([soc])),
    ))  # fmt: skip


def test_it_sleeps_after_a_while_in_which_nothing_was_wanted() -> None:
    drowsy = Drowsiness(FILE, CONFIG)
    assert [drowsy.due(shot(), t) for t in (0.0, 59.0)] == ["", ""]
    assert drowsy.due(shot(), 60.0) == "nothing was wanted for 1 min"


@pytest.mark.parametrize(
    "busy",
    [
        {"phase": Phase.CLOSED}, {"current": 5.0}, {"current": float("nan")}, {"charger_present": 1.0},
        {"charger_present": float("nan")},
    ],
)  # fmt: skip
def test_what_is_wanted_or_unknown_keeps_it_awake(busy: dict[str, float]) -> None:
    drowsy = Drowsiness(FILE, CONFIG)
    drowsy.due(shot(), 0.0)
    assert drowsy.due(shot(**busy), 50.0) == ""  # type: ignore[arg-type]
    assert [drowsy.due(shot(), t) for t in (61.0, 120.0)] == ["", ""]
    assert drowsy.due(shot(), 121.0) != ""


def test_at_the_floor_it_sleeps_though_it_is_closed_unless_a_charger_is_there() -> None:
    floor = replace(CONFIG, limits=replace(CONFIG.limits, floor_soc=np.array([0.1])))
    for signals, slept in (({}, True), ({"charger_present": 1.0}, False), ({"current": -20.0}, False)):
        drowsy = Drowsiness(SleepFile(idle_min=1000.0), floor)
        assert drowsy.due(shot(Phase.CLOSED, 0.05, **signals), 0.0) == ""
        assert bool(drowsy.due(shot(Phase.CLOSED, 0.05, **signals), 61.0)) == slept
        assert drowsy.due(shot(Phase.CLOSED, float("nan")), 200.0) == "", "unknown is no floor"


@pytest.fixture
def sleeper() -> Sleeper:
    listener = socket.create_server(("127.0.0.1", 0))
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    yield Sleeper(HOME, listener, print)  # type: ignore[misc]
    for number, handler in before.items():
        signal.signal(number, handler)
    listener.close()


def soon(do: object) -> None:
    threading.Timer(0.1, do).start()  # type: ignore[arg-type]


def test_the_timer_wakes(sleeper: Sleeper) -> None:
    assert sleeper.sleep(SleepFile(timer_min=0.001)) == "the timer, after 0.001 min"


def test_the_button_wakes(sleeper: Sleeper) -> None:
    soon(lambda: os.kill(os.getpid(), signal.SIGUSR1))
    assert sleeper.sleep(FILE) == "the button"


def test_who_opens_the_page_wakes(sleeper: Sleeper) -> None:
    at = sleeper._listener.getsockname()
    found: list[socket.socket] = []
    soon(lambda: found.append(socket.create_connection(at)))
    assert sleeper.sleep(FILE) == "somebody opened the page"
    found[0].close()


def test_told_to_end_it_ends(sleeper: Sleeper) -> None:
    soon(lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert sleeper.sleep(FILE) == ""


def test_the_supply_is_released_and_comes_back(sleeper: Sleeper, tmp_path: Path, capsys: object) -> None:
    mark = tmp_path / "released"
    assert sleeper.sleep(SleepFile(command=["touch", str(mark)])) == "the supply is back"
    assert mark.exists()
    assert sleeper.sleep(SleepFile(command=["/nothing"])) == "the supply is back", (
        "and it says that it was not released"
    )


def test_a_charger_on_a_real_link_wakes(monkeypatch: pytest.MonkeyPatch, sleeper: Sleeper) -> None:
    file = HOME.file.model_copy(
        update={"link": [link.model_copy(update={"url": "socketcan:can9"}) for link in HOME.file.link]}
    )

    class Wired:
        def __init__(self, *_: object) -> None:
            self.begin = time.monotonic()

        def receive(self, _: float) -> object:
            return [("frame", 0)] if time.monotonic() - self.begin > 0.3 else []

        def close(self) -> None:
            return

    where = CONFIG.layout.where["charger_present"].start
    monkeypatch.setattr(sleep, "Wire", Wired)
    monkeypatch.setattr(sleep.Line, "readings", lambda line, readings: [(where, 1.0)])
    for _, driver in [(d, sleep.Line) for d in file.device[:1]]:
        monkeypatch.setattr(driver, "__init__", lambda self, *_: setattr(self, "driver", Silent()))
    sleeper._site = Site("x", file, CONFIG, [])
    assert sleeper.sleep(FILE) == "charger present"


def test_a_site_sleeps_and_wakes_with_its_memory(tmp_path: Path) -> None:
    home = resources.files("cellarer.config").joinpath("sites/home.toml").read_text()
    quiet = re.sub(r"load = \{.*", 'load = { kind = "rest" }', home)
    site_file = tmp_path / "quiet.toml"
    site_file.write_text(quiet.replace("\n[[pack]]", "\nsleep = { idle_min = 0.05, timer_min = 0.02 }\n\n[[pack]]", 1))
    with running(tmp_path / "s", str(site_file)) as site:
        wait_for("sleep and waking", lambda: site.output.count(" wakes: the timer"), 60)
        wait_for("events", lambda: {"sleep", "woke"} <= {e["name"] for e in site.history().events(100)}, 60)
        by_name = {e["name"]: e["cause"] for e in site.history().events(100)}
        assert by_name["sleep"] == "nothing was wanted for 0.05 min"
        assert by_name["woke"].startswith("the timer")
        assert site.history().first_break() is None


class Silent:
    def receive(self, *_: object) -> list[object]:
        return []
