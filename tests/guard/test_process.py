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
from tests.guard.world import ALL_CLOSED, BALANCING, CELLS, GOOD, MS, WISH, limits_file

from cellarer.board.orders import CLOSED, create_orders
from cellarer.board.ring import RingReader, RingWriter, create_ring
from cellarer.board.samples import SampleWriter, create_samples
from cellarer.guard import __main__ as program
from cellarer.guard.__main__ import Process
from cellarer.guard.decide import Orders
from cellarer.guard.files import gate_record, parse_wish
from cellarer.guard.limits import read_limits
from cellarer.runtime import process


class Rig:
    """The board of one string, a clock that a test moves, and a guard's Process on it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, strings: int = 1) -> None:
        """strings: a second one, of the same pack, has another link, whose ring is samples.other."""
        self.folder, self.now_ns, self.strings = folder, 10**12, strings
        limits = limits_file(second=0 if strings == 2 else None)
        for string, name in enumerate(("samples.test", "samples.other")[:strings]):
            limits["rings"][string:] = [{"file": name, "strings": [string]}]
            create_samples(folder / name, 100.0)
        (folder / "guard.json").write_text(json.dumps(limits))
        for name in ("wish", "gate"):
            create_orders(folder / name, strings, 1, 4)
        create_ring(folder / "guard", 1024, 4)
        create_ring(folder / "pulse.guard", 8, 4)
        monkeypatch.setattr(program.time, "monotonic_ns", lambda: self.now_ns)
        self.other = SampleWriter(folder / "samples.other") if strings == 2 else None
        self.samples, self.wishes = SampleWriter(folder / "samples.test"), RingWriter(folder / "wish")
        self.gate, self.status = RingReader(folder / "gate"), RingReader(folder / "guard")
        self.values, self.wish = dict(GOOD), WISH
        self.process = Process(folder, read_limits(folder / "guard.json"))

    def consent(self) -> None:
        strings, until_ns = self.wish.strings * self.strings, self.now_ns + 60 * MS
        wish = self.wish._replace(counter=self.now_ns, time_ns=self.now_ns, expires_ns=until_ns, strings=strings)
        self.wishes.write(b"WISH" + gate_record(wish, 4)[4:])

    def run(self, ms: int, *, control: bool = True, look_ms: int = 20) -> None:
        for _ in range(ms // look_ms):
            self.now_ns += look_ms * MS
            self.samples.put(self.now_ns, 1, list(self.values.items()))
            if control:
                self.consent()
            self.process.look()

    @property
    def order(self) -> Orders | None:
        data = self.gate.newest()
        assert data is None or data[:4] == b"GATE"
        return None if data is None else parse_wish(b"WISH" + data[4:], self.strings, 1, 4)

    @property
    def held(self) -> int:
        order = self.order
        return order.strings[0][0] & CLOSED if order else 0

    def told(self) -> Any:
        data = self.status.newest()
        return json.loads(data) if data else None


def closed(rig: Rig) -> Rig:
    rig.wish = WISH._replace(strings=((0, 0.0, 0.0, 0.0, 0.0),))
    rig.run(1500)
    rig.wish = WISH
    rig.run(100)
    assert rig.order is not None and {s[0] for s in rig.order.strings} == {ALL_CLOSED}
    return rig


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    return closed(Rig(tmp_path, monkeypatch))


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
    rig.run(60, control=False)
    before = rig.process.gate.next
    rig.run(400, control=False, look_ms=4)
    assert rig.held == ALL_CLOSED and rig.process.gate.next - before == 20, "once in a cycle, however often it looks"
    assert rig.order is not None and rig.order.leaving and rig.order.strings[0][1:] == (0.0, 0.0, 0.0, 0.0)
    rig.run(400, control=False)
    assert rig.held == 0
    after = rig.process.gate.next
    rig.run(400, control=False)
    assert rig.process.gate.next == after


GOOD_CURRENT = 6


def test_the_last_will_is_refreshed_while_one_string_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = closed(Rig(tmp_path, monkeypatch, strings=2))
    rig.values[GOOD_CURRENT] = 5.0
    rig.run(200, control=False)
    assert rig.order is not None and [s[0] & CLOSED for s in rig.order.strings] == [0, ALL_CLOSED]
    before = rig.process.gate.next
    rig.run(200, control=False)
    assert rig.process.gate.next - before == 10


def test_a_trip_is_ordered_while_the_rest_of_the_queue_still_waits(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.now_ns += 20 * MS
    rig.samples.put(rig.now_ns, 1, [(7, 1.0)])  # emergency stop
    for i in range(50):
        rig.samples.put(rig.now_ns, 1, [(CELLS[0], 3.3 + 1e-4 * i)])
    seen: list[int] = []
    real = rig.process.guard.receive

    def receive(*record: Any) -> bool:
        seen.append(rig.held)
        return real(*record)

    monkeypatch.setattr(rig.process.guard, "receive", receive)
    rig.process.look()
    assert seen[0] == ALL_CLOSED and set(seen[1:]) == {0}


def test_status_is_written_each_second_and_at_every_change(rig: Rig) -> None:
    before, told_ns = rig.status.next, {rig.told()["time_ns"]}
    for _ in range(150):
        rig.run(20)
        told_ns.add(rig.told()["time_ns"])
    assert rig.status.next - before == 3 and told_ns == {min(told_ns) + i * 1000 * MS for i in range(4)}
    assert rig.told()["consent"] == "fresh" and rig.told()["trips"] == []
    rig.values[CELLS[1]] = 3.9
    rig.run(100)
    told = rig.told()
    assert (told["strings"][0]["opened_ns"], told["strings"][0]["opened_A"]) == (None, None), "it never opened it"
    assert told["trips"] == [{"string": 1, "text": "cell over-voltage: cell_voltage 2 = 3.9, limit 3.7"}]
    assert told["strings"][0]["waiting"] == 0 and told["strings"][0]["held"] == ALL_CLOSED
    while rig.held:
        rig.run(20)
    assert rig.told()["strings"][0] == {
        "held": 0, "waiting": 31, "opened_ns": rig.now_ns, "opened_A": 50.0,
        "opened_why": "cell over-voltage: cell_voltage 2 = 3.9, limit 3.7",
    }  # fmt: skip
    assert rig.told()["time_ns"] == rig.now_ns, "what changed is told at once"


def test_a_status_too_long_for_its_ring_loses_trips_from_its_end(rig: Rig) -> None:
    trip = rig.process.guard.trips
    rig.values[CELLS[1]] = 3.9
    rig.run(100)
    (one,) = trip.values()
    for string in range(1, 40):
        trip["cell over-voltage", string] = one
    rig.process.tell(rig.now_ns)
    told = [t["string"] for t in rig.told()["trips"]]
    assert 3 < len(told) < 40 and told == list(range(1, len(told) + 1))
    rig.process.guard.consent += " " * (rig.process.status.room - len(rig.status.newest() or b""))
    for kept in (len(told), len(told) - 1):  # it fits to the last byte, then it does not
        rig.process.tell(rig.now_ns)
        assert len(rig.told()["trips"]) == kept
        rig.process.guard.consent += " "


def test_a_link_that_starts_again_opens_what_it_drives(rig: Rig) -> None:
    rig.samples.close()
    rig.samples = SampleWriter(rig.folder / "samples.test")
    rig.values[GOOD_CURRENT] = 5.0
    rig.run(200)
    assert rig.held == 0 and "link was restarted" in rig.process.guard.strings[0].opened_why
    assert rig.process.epochs == [2]


def test_a_link_that_starts_again_is_none_to_the_strings_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = closed(Rig(tmp_path, monkeypatch, strings=2))
    assert rig.other is not None
    rig.other.close()
    rig.other = SampleWriter(rig.folder / "samples.other")
    rig.run(20)
    assert list(rig.process.guard.trips) == [("link was restarted", 1)]


def test_the_first_start_of_a_link_is_no_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SampleWriter, "__init__", lambda *_: None)
    rig = Rig(tmp_path, monkeypatch)
    monkeypatch.undo()
    monkeypatch.setattr(program.time, "monotonic_ns", lambda: rig.now_ns)
    rig.samples = SampleWriter(rig.folder / "samples.test")
    rig.run(100)
    assert not any(name == "link was restarted" for name, _ in rig.process.guard.trips)
    assert rig.told()["consent"] == "fresh"


def test_the_very_first_wish_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(tmp_path, monkeypatch)
    rig.run(20)
    assert rig.process.guard.consent == "fresh"


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
    while pulse.next - before == 10:
        rig.run(20)
    assert pulse.newest() == rig.now_ns.to_bytes(8, "little")


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
    assert order.expires_ns == rig.now_ns + 60 * MS


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, tuple[int, int]]]:
    """Keep what `main` asks of the system from this process: its children would inherit the limit."""
    asked: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(program.resource, "setrlimit", lambda *what: asked.append(what))
    return asked


@pytest.fixture
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored from the start
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_main_looks_until_it_is_told_to_stop_and_then_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: None, limits: list[tuple[int, tuple[int, int]]]
) -> None:
    Rig(tmp_path, monkeypatch).consent()
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
    assert RingReader(tmp_path / "guard").next == 1, "it looked, and told so at once"
    last = RingReader(tmp_path / "gate").newest()
    assert last is not None and struct.unpack_from("<4sHHII", last)[4] == 1, "control consents, and still it leaves"
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
    (tmp_path / broken).unlink()
    assert program.main(tmp_path) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and all(line.startswith("guard: ") and broken in line for line in said)


def test_the_program_takes_its_folder_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: None, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["guard", str(tmp_path)])
    monkeypatch.delitem(sys.modules, "cellarer.guard.__main__")
    with pytest.raises(SystemExit, match="2"):
        runpy.run_module("cellarer.guard", run_name="__main__")
    assert capsys.readouterr().err.startswith(f"guard: {tmp_path / 'guard.json'}")
