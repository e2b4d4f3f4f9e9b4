"""A bad disk, a wall clock that jumps, brokers, followers and buses that misbehave: control goes on, nothing is lost.

The disk is full, read-only, slow or fails to flush at every write point of all processes: see inject/sitecustomize.py;
in one test the system itself limits the size of files. How many cycles control may miss is what the machine itself was
late, as an empty loop of the same priority shows.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest
from tests.processes.crash import LATE_S
from tests.processes.empty_loop import EmptyLoop
from tests.processes.site import Site, running, wait_for

from cellarer.board.durable import read_durable
from cellarer.board.messages import all_kept, kept_until
from cellarer.board.ring import RingReader
from cellarer.board.snapshot import Snapshot
from cellarer.config.load import SITES
from cellarer.history.freeze import runs
from cellarer.history.inputs import Log
from cellarer.runtime.process import PRIORITY
from cellarer.wire.frame import Frame
from cellarer.wire.links.bench import BenchLink, bench_path

UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
SAYS = {
    "full": "the disk is full",
    "read-only": "read-only",
    "no flush": "the disk reports errors",
    "slow": "has not answered",
}
MISSED = 5  # cycles that control may miss beyond what the machine was late


@pytest.fixture(scope="module")
def loop() -> Iterator[EmptyLoop]:
    with EmptyLoop(PRIORITY["control"]) as loop:
        yield loop


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = Path(tmp_path_factory.mktemp("s"))
    with BROKER:
        text = (SITES / "home.toml").read_text() + MQTT.format(port=BROKER.port)
        (folder / "disturbed.toml").write_text(text)
        os.environ["CELLARER_TEST_DISK"] = str(folder / "disk")
        try:
            with running(folder / "s", str(folder / "disturbed.toml"), disturbed=True) as site:
                wait_for("a live recorder", lambda: (s := site.snapshot()) is not None and s.recorder_live)
                yield site
        finally:
            del os.environ["CELLARER_TEST_DISK"]


MQTT = """
[[link]]
name = "broker"
url = "mqtt:127.0.0.1:{port}"

[[face]]
name = "home assistant"
protocol = "mqtt"
link = "broker"
"""


class Broker:
    """A broker that takes connections and never says a word; with `late_s` it says each word so late (MQTT 3.1.1)."""

    late_s: float | None = None

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.taken: list[socket.socket] = []
        self.published: list[str] = []  # topics

    def __enter__(self) -> Broker:
        threading.Thread(target=self.take, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self.server, *self.taken):
            one.close()

    def take(self) -> None:
        with suppress(OSError):
            while True:
                self.taken.append(self.server.accept()[0])
                threading.Thread(target=self.serve, args=(self.taken[-1],), daemon=True).start()

    def serve(self, one: socket.socket) -> None:
        with suppress(OSError), one, one.makefile("rb") as read:
            while head := read.read(1):
                size, shift = 0, 0
                while (byte := read.read(1)[0]) & 0x80:
                    size, shift = size | (byte & 0x7F) << shift, shift + 7
                body = read.read(size | byte << shift)
                while self.late_s is None:
                    time.sleep(0.1)
                time.sleep(self.late_s)
                one.sendall(self.answer(head[0], body))

    def answer(self, head: int, body: bytes) -> bytes:
        match head >> 4:
            case 1:
                return b"\x20\x02\x00\x00"
            case 8:
                return b"\x90\x03" + body[:2] + b"\x01"
            case 12:
                return b"\xd0\x00"
            case 3:
                end = 2 + int.from_bytes(body[:2], "big")
                self.published.append(body[2:end].decode())
                return b"\x40\x02" + body[end : end + 2] if head & 6 else b""
            case _:
                return b""


BROKER = Broker()


def shot(site: Site) -> Snapshot:
    found = site.snapshot()
    assert found is not None
    return found


@contextmanager
def unaffected(site: Site, loop: EmptyLoop) -> Iterator[None]:
    """Control keeps its cycles and its contacts over the length of a block, but for what the machine was late."""
    pids = [site.pid(role) for role in ("control", "guard", "link")]
    before, begin = shot(site), time.monotonic()
    yield
    after, took = shot(site), time.monotonic() - begin
    assert [site.pid(role) for role in ("control", "guard", "link")] == pids
    cycle_s = site.site.cycle_ms / 1000.0
    missed = after.overruns - before.overruns
    machine = loop.total_s(begin) / cycle_s
    assert missed <= MISSED + 2 * machine, f"{missed} cycles missed, the machine was late by {machine:.1f}"
    cycles = after.state.cycle - before.state.cycle
    assert cycles >= 0.98 * took / cycle_s - missed - MISSED, f"{cycles} cycles in {took:.2f} s, {missed} missed"
    assert site.phase == 4 or loop.worst_s(begin) > LATE_S, "what is closed stays closed"


def health(site: Site) -> tuple[bool, str]:
    try:
        with urllib.request.urlopen(site.address + "/healthz", timeout=5) as answer:
            said = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        said = json.loads(error.read())
    return bool(said["ok"]), str(said["text"])


def nothing_is_lost(site: Site) -> None:
    """Every event, the state and the log of inputs are whole on the disk."""
    events = site.events()
    wait_for("every event on the disk", lambda: all_kept(site.folder), 60)
    wait_for("that the page says so", lambda: health(site)[0], 60)
    known = {(e["time_ns"], e["name"]) for e in site.history().events(10_000)}
    assert {(e.time_ns, e.name) for e in events} <= known
    assert site.history().first_break() is None
    stored, wrong = read_durable(site.state_dir)
    assert stored is not None
    assert wrong == []
    assert not list(site.state_dir.glob("*.damaged*"))
    starts = [e.unix_s for e in events if e.name == "started"]
    holes = [(a, b) for a, b in pairwise(site.series_s()) if b - a >= 2.0 and not any(a < t <= b for t in starts)]
    assert holes == [], "memory held what the disk did not take"
    for run in runs(site.state_dir / "inputs"):
        assert Log(run).header["run"]


@pytest.mark.parametrize("mode", ["full", "read-only", "no flush", "slow"])
def test_a_bad_disk_stops_recording_and_nothing_else(site: Site, loop: EmptyLoop, mode: str) -> None:
    disk = Path(os.environ["CELLARER_TEST_DISK"])
    try:
        while_the_disk_is(site, loop, disk, mode)
    finally:
        disk.write_text("")
    nothing_is_lost(site)
    site.close()


def while_the_disk_is(site: Site, loop: EmptyLoop, disk: Path, mode: str) -> None:
    site.close()
    kept = RingReader(site.folder.events_kept("control"))
    pid = site.pid("services")
    with unaffected(site, loop):
        disk.write_text(mode)
        wait_for("no live recorder", lambda: not shot(site).recorder_live, 30)
        ok, text = wait_for("that the page says so", lambda: (not (h := health(site))[0]) and h, 30)
        assert not ok
        assert SAYS[mode] in text, text
        acknowledged = kept_until(kept)
        time.sleep(0.5)
    assert site.pid("services") == pid
    assert site.ask("open").accepted
    wait_for("open switchgear", lambda: site.phase == 0)
    refused = site.ask("close")
    assert not refused.accepted
    assert "nobody records" in refused.text
    on_disk = {(e["time_ns"], e["name"]) for e in site.history().events(10_000)}
    assert {(e.time_ns, e.name) for e in site.events() if e.seq < acknowledged} <= on_disk
    assert pid is not None
    os.kill(pid, signal.SIGKILL)  # whoever comes now finds the same disk
    wait_for("new services", lambda: site.pid("services") not in (None, pid))
    wait_for("that the page says so", lambda: SAYS[mode] in health_or_none(site), 60)
    control, cycle = site.pid("control"), shot(site).state.cycle
    assert control is not None
    os.kill(control, signal.SIGKILL)
    wait_for("a new control that runs", lambda: shot(site).state.cycle < cycle and site.phase == 0, 60)


def health_or_none(site: Site) -> str:
    """Return what the page says, nothing while there is none."""
    with suppress(OSError):
        return health(site)[1]
    return ""


def test_a_limit_on_the_size_of_files_is_a_full_disk(site: Site, loop: EmptyLoop) -> None:
    site.close()
    pid = site.pid("services")
    assert pid is not None
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    with unaffected(site, loop):
        wait_for("no live recorder", lambda: not shot(site).recorder_live)
        wait_for("that the page says so", lambda: not health(site)[0])
    assert site.pid("services") == pid
    resource.prlimit(pid, resource.RLIMIT_FSIZE, UNLIMITED)
    nothing_is_lost(site)


@pytest.mark.parametrize("jump", [signal.SIGRTMIN, signal.SIGRTMIN + 1, signal.SIGRTMIN + 1])
def test_a_clock_that_jumps_by_ten_years_changes_nothing(site: Site, loop: EmptyLoop, jump: int) -> None:
    site.close()
    roles = ("link", "control", "guard", "services", "faces", "world")
    with unaffected(site, loop):
        for pid in [site.process.pid, *filter(None, map(site.pid, roles))]:
            os.kill(pid, jump)
        time.sleep(0.5)
        assert site.ask("target_soc", 80.0).accepted
        wait_for("the event on disk", lambda: site.history().events(1)[0]["name"] == "target_soc")
    events = site.history().events(10_000)
    times = [e["unix_s"] for e in reversed(events)]
    assert all(b >= a - 5.0 for a, b in pairwise(times)), "records are ordered"
    assert abs(times[-1] - time.time()) < 3600.0
    assert site.history().first_break() is None


def test_a_broker_that_never_answers_costs_nobody_anything(site: Site, loop: EmptyLoop) -> None:
    """The site of this file has such a broker all the time."""
    site.close()
    pid = site.pid("services")
    with unaffected(site, loop):
        wait_for("a word about it", lambda: "trying again" in site.output, 30)
        assert health(site)[0]
    assert site.pid("services") == pid


def test_a_broker_that_answers_late_is_served_and_costs_nobody_anything(site: Site, loop: EmptyLoop) -> None:
    site.close()
    pid = site.pid("services")
    assert pid is not None and BROKER.published == []
    BROKER.late_s = 1.5
    os.kill(pid, signal.SIGKILL)  # it may be waiting a minute before its next try
    new = wait_for("new services", lambda: (now := site.pid("services")) != pid and now)
    wait_for("a live recorder", lambda: shot(site).recorder_live, 60)
    site.close()
    with unaffected(site, loop):
        wait_for("a state", lambda: any(t.endswith("/state") for t in BROKER.published), 60)
        assert health(site)[0]
        BROKER.late_s = None  # it falls silent in the middle of it
        for target in (65.0, 75.0):
            assert site.ask("target_soc", target).accepted
            time.sleep(2.0)
            assert health(site)[0]
        wait_for("the event on disk", lambda: site.history().events(1)[0]["name"] == "target_soc")
    assert site.pid("services") == new


def test_followers_that_never_read_hold_up_nobody(site: Site, loop: EmptyLoop) -> None:
    site.close()
    host, port = site.address.removeprefix("http://").split(":")
    followers = []
    with unaffected(site, loop):
        for _ in range(30):
            follower = socket.socket()
            follower.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            follower.connect((host, int(port)))
            follower.sendall(f"GET /api/v1/stream HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            followers.append(follower)
        time.sleep(3.0)
        assert health(site)[0], "the page answers others"
        assert site.ask("target_soc", 70.0).accepted
        wait_for("the event on disk", lambda: site.history().events(1)[0]["name"] == "target_soc")
    for follower in followers:
        follower.close()


@pytest.mark.parametrize("bus", ["battery", "inverter"])
def test_a_flood_of_frames_holds_up_nobody(site: Site, loop: EmptyLoop, bus: str) -> None:
    """As many frames as a bus of 500 kbit/s carries, of strangers and of those we know, with nonsense in them."""
    site.close()
    over, sent = threading.Event(), 0

    def flood() -> None:
        nonlocal sent
        chance, link = random.Random(1), BenchLink(bench_path(site.folder.bench, bus))
        while not over.is_set():
            for _ in range(40):
                link.send(
                    chance.choice((Frame(0x7E0, chance.randbytes(8)), Frame(0x0CB01001, bytes(8), extended=True)))
                )
                sent += 1
            over.wait(0.01)
        link.close()

    thread = threading.Thread(target=flood)
    with unaffected(site, loop):
        thread.start()
        time.sleep(3.0)
        over.set()
        thread.join()
        assert sent > 1000
        assert health(site)[0]
