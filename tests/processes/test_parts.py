"""The parts of the processes, each by itself and without waiting: arming, requests, pace, limits of the guard."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cellarer import config as configs
from cellarer.board.files import Folder
from cellarer.board.messages import Asker, RequestReader, create_messages
from cellarer.board.orders import PACK, STRING, Orders, Vetoes
from cellarer.board.ring import RingWriter
from cellarer.config.schema import LinkFile
from cellarer.guard.limits import parse_limits
from cellarer.model.values import FOREVER, Event
from cellarer.runtime import control, wires
from cellarer.runtime.children import Child, Family, cache_folder
from cellarer.runtime.clock import Clock
from cellarer.runtime.faces import Faces
from cellarer.runtime.guard_limits import guard_limits
from cellarer.runtime.intake import NO_RECORDER, Intake
from cellarer.runtime.link import Arming, Line
from cellarer.runtime.notify import Notifier
from cellarer.runtime.pace import drop_ns, paced, paced_device
from cellarer.runtime.process import Run
from cellarer.runtime.supervisor import links_of, listen, run
from cellarer.runtime.world import Machine, World, kept_simulation
from cellarer.sim.emulator import Emulator
from cellarer.wire.frame import Frame
from cellarer.wire.peer import Ear
from cellarer.wire.protocols import get

MS = 1_000_000
HOME = configs.load("home")


def orders(*bits: int) -> Orders:
    strings = np.zeros(len(bits), STRING)
    strings["bits"] = bits
    strings["charge_A"] = 40.0
    packs = np.zeros(1, PACK)
    packs["bits"], packs["heater"] = 0b00101, 0.5
    move = np.arange(32).reshape(2, 16) / 250.0
    return Orders(1, 0, 60 * MS, b"", False, strings, packs, np.arange(16) % 3 == 0, move)


def test_a_new_link_closes_nothing_before_the_gate_ordered_open() -> None:
    arming = Arming(2, 300 * MS)
    assert arming.forward(orders(5, 0), 1_000 * MS).tolist() == [False, True]
    assert arming.forward(orders(5, 5), 1_020 * MS).tolist() == [False, True]
    assert arming.forward(orders(0, 5), 1_040 * MS).tolist() == [True, True]
    assert arming.forward(orders(5, 5), 1_060 * MS).tolist() == [True, True]


@pytest.mark.parametrize(("silence_ms", "armed"), [(300, True), (301, False)])
def test_a_link_that_was_held_up_until_devices_opened_waits_again(silence_ms: int, armed: bool) -> None:
    arming = Arming(1, 300 * MS)
    arming.forward(orders(0), 1_000 * MS)
    assert arming.forward(orders(5), (1_000 + silence_ms) * MS).tolist() == [armed]


def test_a_device_is_told_its_own_part() -> None:
    box = Line(next(d for d in HOME.file.device if d.protocol == "switchbox"), HOME.config.layout)
    told = box.order(orders(5), armed=True)
    assert (told.minus, told.precharge, told.plus, told.charge_A) == (True, False, True, 40.0)
    assert (told.allow_charge, told.allow_discharge, told.pre_alarm, told.heater) == (True, False, True, 0.5)
    assert not any((box.order(orders(5), armed=False).minus, box.order(orders(5), armed=False).plus))
    module = Line(next(d for d in HOME.file.device if d.name == "module 2"), HOME.config.layout)
    told = module.order(orders(0), armed=True)
    assert told.bleed == tuple(i % 3 == 0 for i in range(8, 16))
    assert (told.give, told.take) == (tuple(k / 250.0 for k in range(8, 16)), tuple(k / 250.0 for k in range(24, 32)))


CLOCK = Clock(0, 1e9)


def intake(path: Path, *, close_at_start: bool = False) -> tuple[Intake, Asker]:
    folder = Folder(path)
    create_messages(folder)
    reader = RequestReader(folder.requests, folder.answers)
    return Intake(reader, HOME.config, CLOCK, close_at_start=close_at_start), Asker(folder.requests, folder.answers)


def test_every_request_reaches_step_in_its_own_field(tmp_path: Path) -> None:
    taking, asker = intake(tmp_path)
    for what, value in [("close", None), ("open", None), ("service", None), ("zero_current", None), ("confirm", None)]:
        asker.ask(what, "test", 1e9, value=value)
    asker.ask("set_soc", "test", 1e9, value=40.0)
    asker.ask("target_soc", "test", 1e9, value=0.0)
    asker.ask("full_by", "test", 1e9, value=1e9 + 7200.0)
    got = taking.take(5_000_000_000, recorder_live=True)
    assert all(
        x.all() for x in (got.close, got.open, got.reset, got.service, got.zero_current, got.confirm_unknown_soc)
    )
    assert (got.set_soc[0], got.target_soc[0]) == (0.40, 0.0)
    assert got.full_by_ns[0] == 7_200_000_000_000
    assert taking.take(5_020_000_000, recorder_live=True) is taking.nothing, "in force in one cycle only"
    asker.ask("full_by", "test", 1e9 + 5, value=0.0)
    assert taking.take(5_040_000_000, recorder_live=True).full_by_ns[0] == FOREVER


def test_who_opened_last_is_known_whether_a_person_or_the_shell(tmp_path: Path) -> None:
    taking, asker = intake(tmp_path)
    assert taking.opened_by == {}
    asker.ask("close", "somebody", 1e9)
    taking.take(0, recorder_live=True)
    assert taking.opened_by == {}
    asker.ask("open", "web", 1e9)
    assert taking.take(0, recorder_live=True).open.all()
    assert taking.opened_by == {0: "opening requested by web"}
    assert taking.take(0, recorder_live=True, open_packs={0: "guard: cell_voltage 3 = 3.7 V"}).open.all()
    assert taking.opened_by == {0: "guard: cell_voltage 3 = 3.7 V"}


def test_answers_come_from_the_events_of_the_cycle(tmp_path: Path) -> None:
    taking, asker = intake(tmp_path)
    close, reset, soc = (
        asker.ask(what, "test", 1e9, value=v) for what, v in [("close", None), ("reset", None), ("set_soc", 5.0)]
    )
    taking.take(0, recorder_live=True)
    nan = float("nan")
    taking.answer(
        [Event(0, "refuse", "close", 0, -1, nan, nan, "because"), Event(0, "request", "reset", 0, -1, nan, nan, "")]
    )
    answers = [asker.answer(number) for number in (close, reset, soc)]
    assert [a and (a.accepted, a.text) for a in answers] == [
        (False, "because"),
        (True, "done"),
        (False, "there was nothing to do"),
    ]


def test_nobody_closes_after_a_failed_self_test_but_everybody_opens(tmp_path: Path) -> None:
    taking, asker = intake(tmp_path, close_at_start=True)
    assert taking.take(0, recorder_live=True, unfit="a kernel differs") is taking.nothing
    close, _ = asker.ask("close", "test", 1e9), asker.ask("open", "test", 1e9)
    got = taking.take(0, recorder_live=True, unfit="a kernel differs")
    assert got.open.all() and not got.close.any()
    answer = asker.answer(close)
    assert answer is not None and not answer.accepted and answer.text == "the self-test failed: a kernel differs"
    assert taking.take(0, recorder_live=True).close.all(), "the close at the start waits for a sound program"


def test_nobody_closes_without_a_recorder_but_everybody_opens(tmp_path: Path) -> None:
    taking, asker = intake(tmp_path)
    close, _ = asker.ask("close", "test", 1e9), asker.ask("open", "test", 1e9)
    got = taking.take(0, recorder_live=False)
    assert not got.close.any()
    assert got.open.all()
    answer = asker.answer(close)
    assert answer is not None
    assert (answer.accepted, answer.text) == (False, NO_RECORDER)


def test_closing_waits_for_a_guard_that_has_seen_nothing_yet(tmp_path: Path) -> None:
    taking, asker = intake(tmp_path)
    asker.ask("close", "test", 1e9)
    refused = {0: lambda: "no data"}
    assert not taking.take(0, recorder_live=True, vetoed=refused).close.any()
    assert not taking.take(10**9, recorder_live=True, vetoed=refused).close.any()
    assert taking.take(1_400_000_000, recorder_live=True).close.all()
    assert not taking.take(1_420_000_000, recorder_live=True).close.any()


def test_closing_against_a_guard_that_goes_on_refusing_is_answered_with_its_reason(tmp_path: Path) -> None:
    taking, asker = intake(tmp_path)
    close = asker.ask("close", "test", 1e9)
    refused = {0: lambda: "no data: cell_voltage 3"}
    assert not taking.take(0, recorder_live=True, vetoed=refused).close.any()
    assert asker.answer(close) is None
    assert not taking.take(1_600_000_000, recorder_live=True, vetoed=refused).close.any()
    answer = asker.answer(close)
    assert answer is not None
    assert (answer.accepted, answer.text) == (False, "the guard refuses: no data: cell_voltage 3")
    assert not taking.take(1_620_000_000, recorder_live=True).close.any()


def test_opening_takes_back_a_closing_that_waits(tmp_path: Path) -> None:
    taking, asker = intake(tmp_path)
    asker.ask("close", "test", 1e9)
    taking.take(0, recorder_live=True, vetoed={0: str})
    asker.ask("open", "test", 1e9)
    got = taking.take(20_000_000, recorder_live=True, vetoed={0: str})
    assert got.open.all()
    assert not taking.take(40_000_000, recorder_live=True).close.any()


def test_the_demonstration_closes_once_and_only_with_a_recorder(tmp_path: Path) -> None:
    taking, _ = intake(tmp_path, close_at_start=True)
    assert not taking.take(0, recorder_live=False).close.any()
    assert not taking.take(0, recorder_live=True, vetoed={0: str}).close.any()
    assert taking.take(0, recorder_live=True).close.all()
    assert not taking.take(0, recorder_live=True).close.any()


def test_real_time_changes_nothing() -> None:
    assert paced(HOME.config, 1.0) is HOME.config
    device = HOME.file.device[-1]
    assert paced_device(device, None, 1.0) is device


def test_a_faster_world_leaves_the_computer_its_time() -> None:
    fast = paced(HOME.config, 20.0)
    assert fast.cycle_ns == 20 * HOME.config.cycle_ns
    np.testing.assert_array_equal(fast.sensing.max_age_ns, 20 * HOME.config.sensing.max_age_ns)
    np.testing.assert_array_equal(fast.faults.trip, HOME.config.faults.trip)
    assert fast.estimate_ns == HOME.config.estimate_ns
    device = paced_device(HOME.file.device[-1], 300.0, 20.0)
    assert device.drops_after_ms == 6000.0
    assert drop_ns(HOME.file, 20.0) == 20 * 300 * MS
    clock = Clock(1_000, 5.0, 20_000)
    assert clock.at(1_000 + 50) == 1_000 + 1_000
    assert clock.unix_s(1_000 + 2_000_000_000) == 7.0


@pytest.mark.parametrize("name", configs.sites())
def test_the_guard_takes_the_limits_of_every_shipped_site(name: str, tmp_path: Path) -> None:
    site = configs.load(name)
    run_ = Run(
        name=name, site_json="", state_dir="", config_sha256="ab" * 32, clock=CLOCK, socket_fd=-1,
        links=tuple(links_of(site)), consent_ns=3 * site.config.cycle_ns, drop_ns=300 * MS,
        close_at_start=False, lifetime=(),
    )  # fmt: skip
    written = json.loads(json.dumps(guard_limits(site, site.config, run_, Folder(tmp_path))))
    limits = parse_limits(written)
    layout = site.config.layout
    assert len(limits.strings) == layout.size["string"]
    for number, string in enumerate(limits.strings):
        cell = site.cells[string.pack].limits
        assert cell.voltage_max[2] <= string.cell_voltage_max_V <= cell.cap_voltage_max
        assert cell.cap_voltage_min <= string.cell_voltage_min_V <= cell.voltage_min[2]
        assert string.charge_A >= cell.charge_A[2] * site.config.parallel[number]
        first = layout.where["cell_voltage"].start + int(layout.first_cell[number])
        assert string.cells in ((0, 0), (first, site.config.series[number])) and not string.absent
        assert any(number in ring.strings for ring in limits.rings)
    assert all(limits.max_age_ns[s] >= 1 for s in limits.max_age_ns)


def test_a_cap_of_the_cell_file_takes_the_place_of_a_margin(tmp_path: Path) -> None:
    run_ = Run(
        name="home", site_json="", state_dir="", config_sha256="ab" * 32, clock=CLOCK, socket_fd=-1,
        links=tuple(links_of(HOME)), consent_ns=1, drop_ns=1, close_at_start=False, lifetime=(),
    )  # fmt: skip
    cell = HOME.cells[0]
    most = cell.limits.discharge_A[2]
    capped = replace(cell.limits, cap_discharge_A=most + 100.0, cap_temp_max_degC=70.0)
    for limits, amps, hottest in ((cell.limits, 1.05 * most, 62.0), (capped, most + 50.0, 65.0)):
        site = replace(HOME, cells=[replace(cell, limits=limits)])
        string = guard_limits(site, site.config, run_, Folder(tmp_path))["strings"][0]
        assert string["discharge_A"] == pytest.approx(amps) and string["temperature_max_degC"] == hottest


def test_a_port_that_is_taken_gives_the_next_free_one() -> None:
    first = listen(0)
    port = first.getsockname()[1]
    second = listen(port)
    assert second.getsockname()[1] != port
    first.close()
    second.close()


@pytest.mark.parametrize("speed", [0.5, 21.0, float("nan")])
def test_a_speed_that_cannot_be_is_refused(speed: float) -> None:
    with pytest.raises(configs.ConfigError, match="1 to 20"):
        run("home", speed=speed)


def test_a_machine_hears_limits_as_an_inverter_does() -> None:
    machine = Machine(Ear(get("pylontech_lv"), "device", 1, {"cell": 0, "temp": 0}), [0])
    machine.hear(Frame(0x351, bytes.fromhex("0002E80300020000")), 77)
    assert (machine.charge_A, machine.discharge_A, machine.charge_V) == (100.0, 51.2, 51.2)
    assert machine.heard_ns == 77


def test_a_simulated_output_falls_by_the_time_of_the_order_and_not_of_the_look() -> None:
    file = next(d for d in HOME.file.device if d.protocol == "switchbox")
    box, line = Emulator(get("switchbox"), file), Line(file, HOME.config.layout)
    heard, quiet = list[Any](), SimpleNamespace()
    quiet.pass_on = lambda frames, _: []
    world = SimpleNamespace(
        injected=SimpleNamespace(read=list), clock=Clock(0, 0.0), machines=[], voices=[(box, quiet)],
        buses={file.link: SimpleNamespace(receive=lambda _: heard.pop(0) if heard else None)},
        plant=SimpleNamespace(advance=lambda *_: None, values=lambda _: {}), _orders=lambda now_ns: box.outputs(now_ns),
    )  # fmt: skip
    for late_ms, plus in ((300, True), (301, False)):
        heard[:] = [(frame, 10 * MS) for frame in line.driver.order(line.order(orders(5), armed=True), 10 * MS)]
        World.tick(world, 0.01, (10 + late_ms) * MS)  # type: ignore[arg-type]
        assert bool(box.outputs((10 + late_ms) * MS).plus) == plus


def test_a_child_without_a_sign_of_life_is_found(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    create_messages(folder)
    family = Family(folder, [Child("control", vital=True)], CLOCK)
    child = family.children[0]
    child.started_s = time.monotonic()
    assert not child.still()
    child.started_s -= 299.0
    assert not child.still(), "a small computer compiles for minutes"
    child.started_s -= 2.0
    assert child.still(), "no first sign within five minutes"
    child.started_s = time.monotonic() - 61.0
    pulse = RingWriter(folder.pulse("control"))
    pulse.write(time.monotonic_ns().to_bytes(8, "little"))
    assert not child.still()
    pulse.write((time.monotonic_ns() - 11_000_000_000).to_bytes(8, "little"))
    assert child.still()


def test_compiled_code_lies_in_memory_while_the_disk_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, memory = tmp_path / "cache", tmp_path / "memory"
    assert cache_folder(disk, memory) == disk
    (disk / "compiled").write_text("code")
    monkeypatch.setattr("tempfile.TemporaryFile", read_only)
    assert cache_folder(disk, memory) == memory
    assert (memory / "compiled").read_text() == "code"
    assert cache_folder(disk, memory) == memory, "copied once"
    assert cache_folder(tmp_path / "never", tmp_path / "new").is_dir()


def read_only(*_: object, **__: object) -> object:
    raise OSError(30, "Read-only file system")


def test_pauses_grow_with_crashes() -> None:
    child, now = Child("services"), time.monotonic()
    pauses = []
    for _ in range(8):
        child.crashes_s.append(now)
        pauses.append(child.pause_s())
    assert pauses == sorted(pauses)
    assert pauses[0] < 0.2
    assert pauses[-1] == 10.0
    child.crashes_s = [now - 601.0] * 8
    assert child.pause_s() == pauses[0], "old crashes count no more"


def test_systemd_hears_from_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Notifier().send("READY=1")  # without systemd: nothing
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(1)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notifier = Notifier()
        notifier.send("WATCHDOG=1")
        assert systemd.recv(100) == b"WATCHDOG=1"
    notifier.send("WATCHDOG=1")  # gone: nothing


def test_a_bus_that_is_away_is_said_once_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "AGAIN_S", 0.0)
    said: list[str] = []
    wire = wires.Wire(LinkFile(name="line", url="serial:/dev/no-such-line?baud=9600"), Folder(tmp_path), said.append)
    for _ in range(5):
        assert list(wire.receive(0.0)) == []
        wire.send(b"x")
    assert len(said) == 1
    assert "line" in said[0]
    assert "trying again" in said[0]
    wire.close()


def test_a_simulated_battery_keeps_its_charge(tmp_path: Path) -> None:
    simulation = HOME.file.simulation
    assert simulation is not None
    kept = tmp_path / "world.json"
    assert kept_simulation(simulation, kept) is simulation
    kept.write_text('{"start_soc_pct": 71.5, "start_hour": 3.25}')
    left = kept_simulation(simulation, kept)
    assert (left.start_soc_pct, left.start_hour, left.load) == (71.5, 3.25, simulation.load)
    for damage in ("", "{", '{"start_soc_pct": 120.0}', '{"start_soc_pct": "x"}', '{"typo": 1}'):
        kept.write_text(damage)
        assert kept_simulation(simulation, kept) is simulation


def test_no_face_says_more_than_the_guard_lets_through() -> None:
    site = configs.load("supervised")
    faces = Faces.__new__(Faces)  # no files, no buses: the narrowing alone
    faces.config, faces.gate = site.config, Gate(orders(0, 0, 0, 0))
    packs = [{"limits": {"charge_A": 100.0, "discharge_A": None}} for _ in range(4)]
    seen = {"packs": packs, "banks": [{"charge_A": 400.0, "discharge_A": 30.0}]}
    faces._narrow(seen)
    assert [p["limits"]["charge_A"] for p in packs] == [40.0] * 4
    assert packs[0]["limits"]["discharge_A"] is None
    assert seen["banks"] == [{"charge_A": 160.0, "discharge_A": 0.0}]


def test_what_the_guard_lets_through_on_one_bus_is_no_limit_of_another() -> None:
    site = configs.load("supervised")
    faces = Faces.__new__(Faces)
    said = orders(0, 0, 0, 0)
    said.strings["charge_A"][:] = (40.0, 40.0, 40.0, 5.0)
    faces.config, faces.gate = replace(site.config, bus_of_pack=np.array([0, 0, 1, 1])), Gate(said)
    seen = {"packs": [{"limits": {"charge_A": 100.0, "discharge_A": 1.0}}] * 4,
            "banks": [{"charge_A": 400.0, "discharge_A": 30.0} for _ in range(2)]}  # fmt: skip
    faces._narrow(seen)
    assert [bank["charge_A"] for bank in seen["banks"]] == [80.0, 45.0]


class Gate:
    """A gate that always says the same."""

    def __init__(self, said: Orders) -> None:
        self.said = said

    def newest(self) -> Orders:
        return self.said


@pytest.mark.parametrize(
    ("late_ms", "missed", "opens"),
    [(-5, 0, False), (19.9, 0, False), (59.9, 2, False), (60, 3, True), (1e6, 50000, True)],
)
def test_a_missed_cycle_is_counted_and_three_in_a_row_open(late_ms: float, missed: int, opens: bool) -> None:
    made: Any = control.Control.__new__(control.Control)
    size = HOME.config.layout.size
    off = np.zeros(size["string"], bool)
    nothing = Vetoes(0, off, off)
    made.config, made.overruns, made.missed = HOME.config, 7, 0
    wishes = SimpleNamespace(closed=np.ones(size["pack"], bool))
    command = SimpleNamespace(minus=off, plus=off, charge_switch=off, discharge_switch=off)
    made.state = SimpleNamespace(wishes=wishes, command=command)
    assert made._to_open(nothing, False) == {}
    assert made._to_open(nothing, True) == {0: "Cellarer is stopped"}
    assert (made.count_missed(round(late_ms * MS)), made.overruns) == (missed, 7 + missed)
    assert made._to_open(nothing, False) == ({0: f"control missed {missed} cycles in a row"} if opens else {})
    made.count_missed(0)
    assert made._to_open(nothing, False) == {}, "a cycle in time ends the row"
    wishes.closed[:] = False
    made.count_missed(60 * MS)
    assert made._to_open(nothing, False) == {}, "nothing is closed"


def test_after_three_missed_cycles_nothing_is_consented_to_until_all_is_open() -> None:
    """Control's own ramp would wait 10 s for a current that does not fall; the guard's wait is short."""
    made: Any = control.Control.__new__(control.Control)
    told: list[str] = []
    made.wish = SimpleNamespace(leave=lambda *_: told.append("leave"), write=lambda *_: told.append("write"))
    made.process, made.reset, made.gives_up = SimpleNamespace(run=SimpleNamespace(consent_ns=1)), None, False
    for missed, closed in ((2, True), (3, True), (0, True), (0, False), (0, True), (3, False), (0, True)):
        contact = np.array([closed])
        command = SimpleNamespace(minus=contact, plus=contact, charge_switch=contact, discharge_switch=contact)
        made.missed, made.state = missed, SimpleNamespace(command=command)
        made._consent(command, 0)
    assert told == ["write", "leave", "leave", "write", "write", "write", "write"]


def test_control_compiles_before_it_asks_for_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """With it a first start would starve the links for as long as compiling takes, and they would be killed."""
    order: list[str] = []

    class Stub:
        config = SimpleNamespace(site="home", hash="0" * 64, cycle_ns=1)
        memory = SimpleNamespace(settle=lambda: order.append("settle"))

        def __init__(self, _: object) -> None:
            pass

        def __getattr__(self, name: str) -> Any:
            return lambda *_: order.append(name)

    monkeypatch.setattr(control, "Control", Stub)
    monkeypatch.setattr(control, "never_spin", lambda: order.append("never_spin"))
    process: Any = SimpleNamespace(
        clock=Clock(0, 0.0), alive=lambda: False,
        prefer=lambda: order.append("prefer"),
    )  # fmt: skip
    assert control.main(process, "") == 0
    assert order == ["_system", "warm", "test", "prefer", "settle", "never_spin", "leave"]
