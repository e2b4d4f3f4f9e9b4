"""The guard's process in one piece, in virtual time: rings and wish in, gate, status and pulse out."""

from __future__ import annotations

import json
import os
import resource
import runpy
import signal
import struct
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.guard.world import ALL_CLOSED, BALANCING, CELLS, GOOD, MS, SHA, limits_file

from cellarer.board.orders import CLOSED, create_orders
from cellarer.board.ring import RingReader, RingWriter, create_ring
from cellarer.board.samples import SampleWriter, create_samples
from cellarer.guard import __main__ as program
from cellarer.guard.__main__ import Process
from cellarer.guard.decide import NEVER, Orders
from cellarer.guard.files import FilesError, Ring, gate_record, parse_wish, readings
from cellarer.guard.limits import read_limits
from cellarer.runtime import process

WISH = Orders(
    1, 0, 0, bytes.fromhex(SHA[:16]), False, ((ALL_CLOSED, 140.0, 140.0, 58.0, 44.0),), ((3, 0.5, 0.5),), BALANCING
)


class Rig:
    """The board of one string, a clock that a test moves, and a guard's Process on it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.now_ns = folder, 10**12
        (folder / "guard.json").write_text(json.dumps(limits_file()))
        create_samples(folder / "samples.test", 100.0)
        for name in ("wish", "gate"):
            create_orders(folder / name, 1, 1, 4)
        create_ring(folder / "guard", 1024, 4)
        create_ring(folder / "pulse.guard", 8, 4)
        monkeypatch.setattr(program.time, "monotonic_ns", lambda: self.now_ns)
        self.samples, self.wishes = SampleWriter(folder / "samples.test"), RingWriter(folder / "wish")
        self.gate, self.status = RingReader(folder / "gate"), RingReader(folder / "guard")
        self.values, self.wish = dict(GOOD), WISH
        self.process = Process(folder, read_limits(folder / "guard.json"))

    def consent(self) -> None:
        wish = replace(self.wish, counter=self.now_ns, time_ns=self.now_ns, expires_ns=self.now_ns + 60 * MS)
        self.wishes.write(b"WISH" + gate_record(wish, 4)[4:])

    def run(self, ms: int, *, control: bool = True) -> None:
        for _ in range(ms // 20):
            self.now_ns += 20 * MS
            self.samples.put(self.now_ns, 1, list(self.values.items()))
            if control:
                self.consent()
            self.process.look()

    @property
    def order(self) -> Orders | None:
        data = self.gate.newest()
        assert data is None or data[:4] == b"GATE"
        return None if data is None else parse_wish(b"WISH" + data[4:], 1, 1, 4)

    @property
    def held(self) -> int:
        order = self.order
        return order.strings[0][0] & CLOSED if order else 0

    def told(self) -> Any:
        data = self.status.newest()
        return json.loads(data) if data else None


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    rig = Rig(tmp_path, monkeypatch)
    rig.wish = replace(WISH, strings=((0, 0.0, 0.0, 0.0, 0.0),))
    rig.run(1500)
    rig.wish = WISH
    rig.run(100)
    assert rig.held == ALL_CLOSED
    return rig


def test_an_order_carries_counter_time_expiry_and_site(rig: Rig) -> None:
    order = rig.order
    assert order is not None and order.counter == rig.process.gate.next
    assert (order.time_ns, order.expires_ns) == (rig.now_ns, rig.now_ns + 60 * MS)
    assert order.site == WISH.site and not order.leaving
    assert order.packs == ((3, 0.5, 0.5),) and order.cells == BALANCING


def test_every_wish_makes_one_order_and_silence_none(rig: Rig) -> None:
    before = rig.process.gate.next
    rig.run(200)
    assert rig.process.gate.next == before + 10
    rig.process.look()
    assert rig.process.gate.next == before + 10, "nothing new, nothing written"


def test_without_control_the_last_will_is_refreshed_each_cycle_until_all_is_open(rig: Rig) -> None:
    rig.values[GOOD_CURRENT] = 50.0
    before = rig.process.gate.next
    rig.run(400, control=False)
    assert rig.held == ALL_CLOSED and rig.process.gate.next - before >= 12
    assert rig.order is not None and rig.order.leaving and rig.order.strings[0][1:] == (0.0, 0.0, 0.0, 0.0)
    rig.run(400, control=False)
    assert rig.held == 0
    after = rig.process.gate.next
    rig.run(400, control=False)
    assert rig.process.gate.next == after


GOOD_CURRENT = 6


def test_a_trip_is_ordered_while_the_rest_of_the_queue_still_waits(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.now_ns += 20 * MS
    rig.samples.put(rig.now_ns, 1, [(7, 1.0)])  # emergency stop
    for i in range(50):
        rig.samples.put(rig.now_ns, 1, [(CELLS[0], 3.3 + 1e-4 * i)])
    seen: list[int] = []
    real = rig.process.guard.receive

    def receive(place: int, *rest: Any) -> bool:
        seen.append(rig.held)
        return real(place, *rest)

    monkeypatch.setattr(rig.process.guard, "receive", receive)
    rig.process.look()
    assert seen[0] == ALL_CLOSED and set(seen[1:]) == {0}


def test_status_is_written_each_second_and_at_every_change(rig: Rig) -> None:
    before = rig.status.next
    rig.run(3000)
    assert rig.status.next - before == 3
    assert rig.told()["consent"] == "fresh" and rig.told()["trips"] == []
    rig.values[CELLS[1]] = 3.9
    rig.run(100)
    told = rig.told()
    assert told["trips"] == [{"string": 1, "text": "cell over-voltage: cell_voltage 2 = 3.9, limit 3.7"}]
    assert told["strings"][0]["waiting"] == 0 and told["strings"][0]["held"] == ALL_CLOSED
    rig.run(700)
    assert rig.told()["strings"][0]["opened_why"].startswith("cell over-voltage") and rig.held == 0
    assert rig.told()["strings"][0]["opened_A"] == 50.0


def test_a_status_too_long_for_its_ring_loses_trips_from_its_end(rig: Rig) -> None:
    trip = rig.process.guard.trips
    rig.values[CELLS[1]] = 3.9
    rig.run(100)
    (one,) = trip.values()
    for string in range(1, 40):
        trip["cell over-voltage", string] = one
    rig.process.tell(rig.now_ns)
    told = rig.told()
    assert 3 < len(told["trips"]) < 40 and told["trips"][0]["string"] == 1


def test_a_link_that_starts_again_opens_what_it_drives(rig: Rig) -> None:
    rig.samples.close()
    rig.samples = SampleWriter(rig.folder / "samples.test")
    rig.values[GOOD_CURRENT] = 5.0
    rig.run(200)
    assert rig.held == 0 and "link was restarted" in rig.process.guard.strings[0].opened_why
    assert rig.process.epochs == [2]


def test_the_first_start_of_a_link_is_no_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SampleWriter, "__init__", lambda *_: None)
    rig = Rig(tmp_path, monkeypatch)
    monkeypatch.undo()
    monkeypatch.setattr(program.time, "monotonic_ns", lambda: rig.now_ns)
    rig.samples = SampleWriter(rig.folder / "samples.test")
    rig.run(100)
    assert not any(name == "link was restarted" for name, _ in rig.process.guard.trips)


def test_a_wish_that_is_none_consents_to_nothing(rig: Rig) -> None:
    rig.values[GOOD_CURRENT] = 0.0
    rig.now_ns += 20 * MS
    rig.wishes.write(b"WISH")
    rig.process.look()
    assert rig.process.wish is None and rig.process.guard.consent == "no wish"


def test_the_pulse_beats_ten_times_a_second(rig: Rig) -> None:
    pulse = RingReader(rig.folder / "pulse.guard")
    before = pulse.next
    rig.run(1000)
    assert pulse.next - before == 10
    assert pulse.newest() == (rig.process.pulse_ns).to_bytes(8, "little")


def test_the_clock_of_a_faster_run_goes_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(tmp_path, monkeypatch)
    process = rig.process
    process.limits = replace(process.limits, origin_ns=10**12 - 1000, speed_permille=20_000)
    assert process.now_ns() == 10**12 - 1000 + 20_000


def test_leaving_orders_everything_open(rig: Rig) -> None:
    rig.process.leave()
    order = rig.order
    assert order is not None and order.leaving and order.cells == bytes(9)
    assert order.strings == ((0, 0.0, 0.0, 0.0, 0.0),) and order.packs == ((0, 0.0, 0.0),)
    assert rig.process.wish is None and order.expires_ns == rig.now_ns + 60 * MS


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, tuple[int, int]]]:
    """Keep what `main` asks of the system from this process: its children would inherit the limit."""
    asked: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(program.resource, "setrlimit", lambda *what: asked.append(what))
    return asked


@pytest.fixture
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_main_looks_until_it_is_told_to_stop_and_then_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: None, limits: list[tuple[int, tuple[int, int]]]
) -> None:
    Rig(tmp_path, monkeypatch)
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: (_ for _ in ()).throw(PermissionError))
    rounds: list[float] = []

    def sleep(seconds: float) -> None:
        rounds.append(seconds)
        if len(rounds) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(program.time, "sleep", sleep)
    assert program.main(tmp_path) == 0
    assert rounds == [0.004] * 3, "several looks in a cycle of 20 ms"
    assert limits == [(resource.RLIMIT_RTTIME, (500_000, 500_000))], "it may not spin for longer than half a second"
    last = RingReader(tmp_path / "gate").newest()
    assert last is not None and struct.unpack_from("<4sHHII", last)[4] == 1, "it leaves the gate open"
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN, "an interrupt is for the supervisor"


def test_main_ends_with_the_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: None, limits: list[tuple[int, tuple[int, int]]]
) -> None:
    Rig(tmp_path, monkeypatch)
    asked: list[tuple[int, int, int]] = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda pid, policy, p: asked.append((pid, policy, p.sched_priority)))
    parents = iter((7, 7, 8))
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(program.time, "sleep", lambda _: None)
    assert program.main(tmp_path) == 0
    assert asked == [(0, os.SCHED_FIFO, program.PRIORITY)]
    ours = [priority for role, priority in process.PRIORITY.items() if role != "world"]  # that one plays the hardware
    assert max(ours) < program.PRIORITY < 99, "above all others, below the system's own"


@pytest.mark.parametrize("broken", ("guard.json", "gate", "samples.test"))
def test_main_refuses_to_start_on_wrong_files(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: None, capsys: pytest.CaptureFixture[str]
) -> None:
    Rig(tmp_path, monkeypatch)
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: None)
    (tmp_path / broken).write_bytes(b"{}")
    assert program.main(tmp_path) == 2
    assert capsys.readouterr().err.startswith("guard: ")


def test_the_program_takes_its_folder_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: None, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["guard", str(tmp_path)])
    monkeypatch.delitem(sys.modules, "cellarer.guard.__main__")
    with pytest.raises(SystemExit, match="2"):
        runpy.run_module("cellarer.guard", run_name="__main__")
    assert capsys.readouterr().err.startswith(f"guard: {tmp_path / 'guard.json'}")


def test_what_is_no_sample_record_reads_as_nothing() -> None:
    good = struct.pack("<qIIIdId", 5, 1, 2, 3, 1.5, 4, 2.5)
    assert readings(good) == (5, [(3, 1.5), (4, 2.5)])
    for wrong in (b"", good[:15], good[:-1], good + b"\0", good[:-12]):
        assert readings(wrong) == (0, [])
    assert readings(struct.pack("<qII", 5, 1, 0)) == (5, [])


@pytest.mark.parametrize("wrong", ("magic", "strings", "packs", "cells", "short", "long"))
def test_what_is_no_wish_of_this_site_is_none(wrong: str) -> None:
    good = b"WISH" + gate_record(WISH, 4)[4:]
    assert parse_wish(good, 1, 1, 4) == WISH
    head = list(struct.unpack_from("<4sHHI", good))
    if wrong in ("short", "long"):
        bad = good[:-1] if wrong == "short" else good + b"\0"
    else:
        place = ("magic", "strings", "packs", "cells").index(wrong)
        head[place] = b"GATE" if wrong == "magic" else head[place] + 1
        bad = struct.pack("<4sHHI", *head) + good[12:]
    assert parse_wish(bad, 1, 1, 4) is None
    assert parse_wish(None, 1, 1, 4) is None
    assert parse_wish(good, 1, 1, 12) is None and parse_wish(b"WISH" + gate_record(replace(WISH, leaving=True), 4)[4:],
                                                             1, 1, 4) == replace(WISH, leaving=True)  # fmt: skip


class Board:
    """A small ring file with a writer that counts as the board's, and the guard's reader."""

    def __init__(self, folder: Path, slots: int = 4) -> None:
        self.path = folder / "ring"
        create_ring(self.path, 8, slots)
        self.writer, self.reader = RingWriter(self.path), Ring(self.path)

    def tear(self, at: int, byte: int = 16) -> None:
        """Damage the record in a slot; byte 0 = its sequence number, 8 = its length, 16 = its content."""
        data = bytearray(self.path.read_bytes())
        slot = (len(data) - 64) // 4
        place = 64 + at * slot + byte
        with open(self.path, "r+b") as file:
            file.seek(place)
            file.write(bytes([data[place] ^ 1]))


def test_a_reader_takes_each_whole_record_once(tmp_path: Path) -> None:
    board = Board(tmp_path)
    assert board.reader.fresh() == [] and board.reader.newest() is None
    for i in range(3):
        board.writer.write(bytes([i] * 8))
    assert board.reader.fresh() == [bytes([i] * 8) for i in range(3)]
    assert board.reader.fresh() == [] and board.reader.lost == 0
    assert board.reader.newest() == bytes([2] * 8)


def test_what_is_overwritten_or_torn_is_counted_as_lost(tmp_path: Path) -> None:
    board = Board(tmp_path)
    for i in range(6):
        board.writer.write(bytes([i] * 8))
    assert board.reader.fresh() == [bytes([i] * 8) for i in range(2, 6)] and board.reader.lost == 2
    for i in range(6, 9):
        board.writer.write(bytes([i] * 8))
    board.tear(7 % 4)
    assert board.reader.fresh() == [bytes([6] * 8), bytes([8] * 8)] and board.reader.lost == 3
    board.tear(8 % 4)
    assert board.reader.newest() is None, "the newest two are torn: nothing older counts"


def test_the_newest_but_one_stands_in_for_a_torn_one(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.writer.write(b"a" * 8)
    board.tear(0)
    assert board.reader.newest() is None
    board.writer.write(b"b" * 8)
    board.writer.write(b"c" * 8)
    board.tear(2)
    assert board.reader.newest() == b"b" * 8
    board.writer.write(b"d" * 8)
    board.writer.write(b"e" * 8)
    assert board.reader.newest() == b"e" * 8


@pytest.mark.parametrize("byte", (0, 8, 11, 12, 16))
def test_a_record_of_another_number_length_or_sum_is_none(tmp_path: Path, byte: int) -> None:
    board = Board(tmp_path)
    board.writer.write(b"a" * 8)
    board.writer.write(b"b" * 8)
    board.tear(1, byte)
    assert board.reader.newest() == b"a" * 8
    assert board.reader.fresh() == [b"a" * 8] and board.reader.lost == 1


@pytest.mark.parametrize(("at", "value"), [(0, b"X"), (8, b"\x02"), (12, b"\x01"), (16, b"\x09"), (16, b"\x00")])
def test_a_file_that_is_no_ring_is_refused(tmp_path: Path, at: int, value: bytes) -> None:
    board = Board(tmp_path)
    with open(board.path, "r+b") as file:
        file.seek(at)
        file.write(value)
    with pytest.raises(FilesError, match="not a ring"):
        Ring(board.path)
    board.path.write_bytes(board.path.read_bytes()[:63])
    with pytest.raises(FilesError, match="63 bytes"):
        Ring(board.path)


def test_writing_counts_starts_and_refuses_what_does_not_fit(tmp_path: Path) -> None:
    board = Board(tmp_path)
    assert board.reader.epoch == 1
    writer = Ring(board.path, write=True)
    assert writer.epoch == board.reader.epoch == 2 and writer.room == 8
    writer.write(b"12345678")
    writer.write(b"1")
    assert board.reader.fresh() == [b"12345678", b"1"] and writer.next == 2
    with pytest.raises(FilesError, match="9 bytes"):
        writer.write(b"123456789")
    assert NEVER < 0
