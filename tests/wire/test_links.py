"""Links: the bench bus, python-can and serial lines carry items whole, in order, and never block."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from cellarer.wire.errors import DeviceError
from cellarer.wire.frame import Frame
from cellarer.wire.links import Link, open_link
from cellarer.wire.links.bench import Hub, bench_path, decode, encode

FRAME = Frame(0x1ABCDEF0, bytes(range(8)), extended=True)


def taken(link: Link) -> Frame | bytes:
    got = link.receive(2.0)
    assert got is not None
    assert abs(time.monotonic_ns() - got[1]) < 2_000_000_000
    return got[0]


@pytest.mark.parametrize("item", [FRAME, Frame(0x7FF, b""), Frame(1, bytes(64), fd=True), b"", b"\xdd\xa5"])
def test_records_keep_items(item: Frame | bytes) -> None:
    assert decode(encode(item, 2**40 + 3)) == (item, 2**40 + 3)


@pytest.mark.parametrize("url", ["bench:b", "virtual:stamps"])
def test_what_waits_in_the_queue_keeps_the_time_at_which_it_came(url: str, tmp_path: Path) -> None:
    with Hub(bench_path(tmp_path, "b")):
        one, two = (open_link(url, tmp_path) for _ in range(2))
        if url == "bench:b":
            ready(one, two)
        before_ns = time.monotonic_ns()
        one.send(FRAME)
        time.sleep(0.2)
        got = two.receive(2.0)
        assert got is not None
        assert before_ns - 10_000_000 < got[1] < time.monotonic_ns() - 100_000_000
        for link in (one, two):
            link.close()


def test_a_record_of_the_future_came_now(tmp_path: Path) -> None:
    with Hub(bench_path(tmp_path, "b")):
        one, two = (open_link("bench:b", tmp_path) for _ in range(2))
        ready(one, two)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as liar:
            liar.connect(str(bench_path(tmp_path, "b")))
            liar.send(encode(FRAME, time.monotonic_ns() + 10**12))
            got = two.receive(2.0)
        assert got is not None
        assert got[1] <= time.monotonic_ns()


@pytest.mark.parametrize(("jump_s", "least_s", "most_s"), [(-3e8, 0.0, 1.0), (3e8, 59.0, 61.0), (30.0, 29.0, 31.0)])
def test_a_wall_clock_that_jumps_never_makes_a_frame_newer_than_it_is(
    monkeypatch: pytest.MonkeyPatch, jump_s: float, least_s: float, most_s: float
) -> None:
    one, two = open_link("virtual:jumps"), open_link("virtual:jumps")
    one.send(FRAME)
    true = time.time
    monkeypatch.setattr("cellarer.wire.links.can_bus.time.time", lambda: true() + jump_s)
    got = two.receive(2.0)
    assert got is not None
    assert least_s <= (time.monotonic_ns() - got[1]) / 1e9 <= most_s
    for link in (one, two):
        link.close()


def test_stamps_never_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = open_link("virtual:onwards"), open_link("virtual:onwards")
    for _ in range(2):
        one.send(FRAME)
    first = two.receive(2.0)
    true = time.time
    monkeypatch.setattr("cellarer.wire.links.can_bus.time.time", lambda: true() + 3e8)
    second = two.receive(2.0)
    assert first is not None
    assert second is not None
    assert second[1] == first[1], "as old as can be said, and no older than what came before it"
    for link in (one, two):
        link.close()


def test_a_frame_without_a_stamp_counts_as_new(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = open_link("virtual:stampless"), open_link("virtual:stampless")
    take = two._bus.recv  # type: ignore[attr-defined]

    def bare(left: float) -> object:
        message = take(left)
        message.timestamp = 0.0
        return message

    monkeypatch.setattr(two._bus, "recv", bare)  # type: ignore[attr-defined]
    one.send(FRAME)
    got = two.receive(2.0)
    assert got is not None
    assert time.monotonic_ns() - got[1] < 1_000_000_000
    for link in (one, two):
        link.close()


def test_bench_repeats_to_all_others_in_order(tmp_path: Path) -> None:
    with Hub(bench_path(tmp_path, "b")):
        one, two, three = (open_link("bench:b", tmp_path) for _ in range(3))
        ready(one, two, three)
        items = [Frame(i, bytes((i,))) for i in range(200)]
        for item in items:
            one.send(item)
        assert [taken(two) for _ in items] == items
        assert [taken(three) for _ in items] == items
        assert one.receive(0.02) is None
        for link in (one, two, three):
            link.close()


def ready(*links: Link) -> None:
    """Wait until the hub knows every client."""
    for link in links:
        for other in links:
            if other is not link:
                while other.receive(0.02) is None:
                    link.send(b"?")
    for link in links:
        while link.receive(0.02) is not None:
            pass


def test_client_that_does_not_read_does_not_stop_the_others(tmp_path: Path) -> None:
    with Hub(bench_path(tmp_path, "b")) as hub:
        lazy, one, two = (open_link("bench:b", tmp_path) for _ in range(3))
        ready(lazy, one, two)
        for i in range(4000):
            one.send(Frame(i & 0x7FF, bytes(8)))
            assert taken(two) == Frame(i & 0x7FF, bytes(8))
        assert hub.lost > 0
        assert one.lost == 0
        lazy.close()


def test_bus_that_is_gone_is_silent_and_comes_back(tmp_path: Path) -> None:
    path = bench_path(tmp_path, "b")
    link = open_link("bench:b", tmp_path)
    assert link.receive(0.01) is None
    link.send(FRAME)
    assert link.lost == 1
    for _ in range(2):
        with Hub(path):
            other = open_link("bench:b", tmp_path)
            deadline = time.monotonic() + 5
            while link.receive(0.05) is None:
                other.send(FRAME)
                assert time.monotonic() < deadline
            other.close()
    assert not path.exists()


@pytest.mark.needs("can")
def test_virtual_can_bus() -> None:
    one, two = open_link("virtual:t"), open_link("virtual:t")
    one.send(FRAME)
    assert taken(two) == FRAME
    with pytest.raises(TypeError, match="frames"):
        one.send(b"bytes")
    one.close()
    two.close()


def test_serial_line_on_a_pseudo_terminal() -> None:
    master, slave = os.openpty()
    line = open_link(f"pty:{os.ttyname(slave)}")
    every_byte = bytes(range(256))
    line.send(every_byte)
    assert os.read(master, 1000) == every_byte
    os.write(master, every_byte)
    got = b""
    while len(got) < 256:
        chunk = taken(line)
        assert isinstance(chunk, bytes)
        got += chunk
    assert got == every_byte
    line.close()
    os.close(master)
    os.close(slave)


def test_tcp_line_says_when_the_server_hangs_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        line = open_link(f"tcp:127.0.0.1:{server.getsockname()[1]}")
        peer, _ = server.accept()
        line.send(b"ask")
        assert peer.recv(10) == b"ask"
        peer.send(b"answer")
        assert taken(line) == b"answer"
        peer.close()
        with pytest.raises(DeviceError, match="hung up"):
            line.receive(1.0)
        line.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("can0", "KIND"),
        ("bench:", "KIND"),
        ("bench:b", "bench_dir"),
        ("tcp:localhost", "HOST:PORT"),
        ("pty:/dev/null?speed=9", "allowed: baud"),
    ],
)
def test_wrong_urls_are_named(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        open_link(url)


def test_missing_line_says_what_to_do() -> None:
    with pytest.raises(DeviceError, match="plugged in"):
        open_link("serial:/dev/does-not-exist?baud=9600")


def test_too_long_bench_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allowed 107"):
        bench_path(tmp_path / ("x" * 120), "b")
