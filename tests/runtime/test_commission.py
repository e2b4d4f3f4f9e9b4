"""Commissioning finds every fault in the wires that it is there for, names it once, and is quiet where all is right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cellarer.board.files import Folder
from cellarer.board.ring import BoardError
from cellarer.board.snapshot import Snapshot, SnapshotWriter, create_snapshot
from cellarer.cli import cellarer
from cellarer.commands.console import Mistake
from cellarer.config import load
from cellarer.core.cycle import start
from cellarer.runtime import commission_rigs as rigs
from cellarer.runtime.commission import STEPS, Finding, at_rest, bleeding, charging, commission, warming

HOME = load("home")


def found(
    fault: str, cell: int = 0, step: str = "rest", size: float | None = None, site: str = "home"
) -> list[Finding]:
    rig = rigs.SimulatedRig(load(site))
    rig.plant.inject(fault, 0, cell, size)
    return list(STEPS[step][1](rig))


@pytest.mark.parametrize("name", ["home", "ebike", "laptop"])
def test_a_right_wiring_is_quiet(name: str) -> None:
    said: list[str] = []
    result = commission(rigs.SimulatedRig(load(name)), said.append)
    assert [one for one in result if one.level == "wrong"] == []
    assert [line for line in said if line.startswith("step 4 of 4")]


@pytest.mark.parametrize(
    ("fault", "cell", "step", "what", "named"),
    [
        ("cell_sign", 4, "rest", "polarity", "cell 5"),
        ("cell_sensor_silent", 6, "rest", "cell_voltage of cell 7", "cell 7"),
        ("cells_swapped", 2, "bleed", "order of cells", "exchange the sense leads of cell 3 and cell 4"),
        ("bleed_stuck_off", 3, "bleed", "bleeder", "cell 4 was bled and no reading fell"),
        ("temp_swapped", 0, "warm", "temperature mapping", "temperature sensor 1 was warmed and temperature sensor 2"),
        ("temp_stuck", 0, "warm", "temperature", "temperature sensor 1 was warmed and no reading rose"),
        ("temp_open", 0, "rest", "temperature", "temperature sensor 1"),
        ("current_reversed", 0, "charge", "current sign", "string 1"),
        ("current_stuck", 0, "charge", "current", "only"),
        ("current_offset", 0, "rest", "current zero", "string 1"),
        ("string_voltage_offset", 0, "rest", "string voltage", "add up to"),
        ("loose_joint", 5, "charge", "joint", "between its cells"),
        ("plus_welded", 0, "rest", "feedback_plus of string 1", "its plus contactor is ordered open and reads closed"),
        ("minus_welded", 0, "rest", "feedback_minus of string 1", "minus contactor"),
        ("precharge_welded", 0, "rest", "feedback_precharge of string 1", "precharge contactor"),
        ("emergency_stop", 0, "rest", "emergency_stop of pack 1", "emergency stop is pressed"),
        ("interlock", 0, "rest", "interlock_open of pack 1", "interlock loop is open"),
        ("link_voltage_stuck", 0, "charge", "link voltage", "the link behind its closed contacts 0.0"),
    ],
)
def test_a_fault_in_the_wires_is_named_once(fault: str, cell: int, step: str, what: str, named: str) -> None:
    result = found(fault, cell, step)
    assert [one.what for one in result] == [what], result
    assert named in f"{result[0].text}; {result[0].to_do}"


@pytest.mark.parametrize(
    ("site", "string", "fault", "cell", "step", "what", "named"),
    [
        ("ev", 0, "cell_sign", 50, "rest", "polarity", "cell 51"),
        ("ev", 0, "temp_swapped", 7, "warm", "temperature mapping", "exchange temperature sensor 2 and"),
        ("ev", 0, "current_reversed", 0, "charge", "current sign", "string 1"),
        ("supervised", 2, "cell_sign", 4, "rest", "polarity", "cell 5 of string 3"),
        ("supervised", 1, "temp_swapped", 0, "warm", "temperature mapping", "temperature sensor 1 of string 2 was"),
        ("supervised", 3, "current_reversed", 0, "charge", "current sign", "string 4"),
        ("supervised", 3, "current_offset", 0, "rest", "current zero", "together"),
    ],
)
def test_a_vehicle_and_packs_side_by_side(
    site: str, string: int, fault: str, cell: int, step: str, what: str, named: str
) -> None:
    rig = rigs.SimulatedRig(load(site))
    rig.plant.inject(fault, string, cell, 0.2 if fault == "current_offset" else None)
    wrong = [one for one in STEPS[step][1](rig) if one.level == "wrong"]
    assert [one.what for one in wrong] == [what], wrong
    assert named in f"{wrong[0].text}; {wrong[0].to_do}"


def closing(rig: rigs.SimulatedRig, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list to which every order to charge is added."""
    flows: list[float] = []
    monkeypatch.setattr(rig, "flow", flows.append)
    return flows


@pytest.mark.parametrize(
    ("site", "fault"),
    [
        ("home", "plus_welded"),
        ("home", "precharge_welded"),
        ("home", "emergency_stop"),
        ("ev", "minus_welded"),
        ("ev", "crash"),
        ("ev", "interlock"),
    ],
)
def test_nothing_is_closed_after_a_contact_or_an_input_that_forbids_it(
    site: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = rigs.SimulatedRig(load(site))
    rig.plant.inject(fault, 0, 0, None)
    rig.steps = ("rest", "charge")  # type: ignore[misc,assignment]
    flows = closing(rig, monkeypatch)
    result = commission(rig)
    (wrong,) = [one for one in result if one.level == "wrong"]
    assert flows == []
    (note,) = [one for one in result if one.step == "charge"]
    assert (note.level, note.text) == (
        "note", f"not done: nothing is closed before this is put right: {wrong.what}",
    )  # fmt: skip


def test_an_input_of_which_nothing_is_read_forbids_closing_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = rigs.SimulatedRig(HOME)
    rig.steps = ("rest", "charge")  # type: ignore[misc,assignment]
    flows, look, (stop,) = (
        closing(rig, monkeypatch),
        rig.look,
        np.arange(HOME.config.layout.size["signal"])[HOME.config.layout.where["emergency_stop"]].tolist(),
    )

    def deaf(seconds: float) -> Any:
        value = look(seconds)
        value[stop] = np.nan
        return value

    monkeypatch.setattr(rig, "look", deaf)
    (wrong,) = [one for one in commission(rig) if one.level == "wrong"]
    assert (wrong.what, flows) == ("emergency_stop of pack 1", [])


class Link:
    """The home battery at rest, its link at a share of the string's voltage that changes by another share a second."""

    config, holds_open = HOME.config, True
    steps = ("rest", "charge")

    def __init__(self, share: float, falls: float) -> None:
        self.rig, self.share, self.falls = rigs.SimulatedRig(HOME), share, falls
        self.flows: list[float] = []

    def look(self, seconds: float) -> Any:
        value, where = self.rig.look(min(seconds, 1.5)), self.config.layout.where
        self.share -= self.falls * seconds
        value[where["link_voltage"]] = self.share * value[where["string_voltage"]]
        return value

    def bleed(self, cell: int | None) -> None: ...

    def warm(self, sensor: int | None) -> None: ...

    def flow(self, current_A: float) -> None:
        self.flows.append(current_A)


@pytest.mark.parametrize(
    ("share", "falls", "level", "named"),
    [
        (1.0, 0.0, "wrong", "does not fall"),
        (0.97, 0.0, "wrong", "or something else feeds it"),
        (1.0, 0.00005, "wrong", "does not fall"),  # 0.3 % in 62 s
        (1.0, 0.0002, "note", "does it only discharge slowly?"),
        (1.0, 0.001, "note", "does it only discharge slowly?"),
    ],
)
def test_a_link_that_follows_its_string_is_told_and_nothing_is_closed(
    share: float, falls: float, level: str, named: str
) -> None:
    rig = Link(share, falls)
    one, charge = (f for f in commission(rig) if f.level != "ok" and f.step in ("rest", "charge"))
    assert (one.step, one.level, one.what) == ("rest", level, "link_voltage of string 1")
    assert named in one.text
    assert rig.flows == []
    assert charge.text.endswith(one.what)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.94, 1.06])
def test_a_link_that_is_at_another_voltage_is_quiet(share: float) -> None:
    assert list(at_rest(Link(share, 0.0))) == []


def test_a_site_that_runs_may_be_closed_but_not_stopped() -> None:
    rig = Link(1.0, 0.0)
    rig.holds_open = False  # type: ignore[misc]
    rig.rig.plant.inject("plus_welded", 0, 0, None)
    rig.rig.plant.inject("emergency_stop", 0, 0, None)
    assert [one.what for one in at_rest(rig)] == ["emergency_stop of pack 1"]


def test_two_welded_contacts_are_seen_on_the_link() -> None:
    rig = rigs.SimulatedRig(HOME)
    for fault in ("plus_welded", "minus_welded"):
        rig.plant.inject(fault, 0, 0, None)
    assert "link_voltage of string 1" in [one.what for one in at_rest(rig) if one.level == "wrong"]


def test_packs_side_by_side_are_quiet_and_what_was_not_checked_is_said() -> None:
    found = commission(rigs.SimulatedRig(load("supervised")))
    assert [one for one in found if one.level == "wrong"] == []
    notes = [one.text for one in found if one.level == "note"]
    assert any("exchange current" in text for text in notes)
    assert sum("the order of its cells was not checked" in text for text in notes) == 4


def test_swapped_cells_of_a_vehicle_are_found_across_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rigs, "STEP_S", 0.1)  # four looks at each of 96 cells: a fifth of the readings do
    rig = rigs.SimulatedRig(load("ev"))
    rig.plant.inject("cells_swapped", 0, 11, None)  # cells 12 and 13, of modules 1 and 2
    (wrong,) = [one for one in bleeding(rig) if one.level == "wrong"]
    assert "exchange the sense leads of cell 12 and cell 13" in wrong.to_do


def test_a_reversed_cell_disturbs_no_other_check() -> None:
    assert found("cell_sign", 4, "bleed") == found("cell_sign", 4, "charge") == []


def test_what_a_rig_cannot_do_is_said() -> None:
    rig = rigs.SimulatedRig(HOME)
    rig.steps = ("rest",)  # type: ignore[misc]
    notes = {one.step: one.text for one in commission(rig) if one.level == "note"}
    assert set(notes) == {"bleed", "warm", "charge"}
    assert "--running" in notes["charge"]


def test_the_command_prints_one_line_and_says_by_its_status_what_is_wrong() -> None:
    done = CliRunner().invoke(cellarer, ["commission", "laptop", "--fault", "cells_swapped:1", "--json"])
    report = json.loads(done.stdout)
    assert (done.exit_code, report["right"]) == (1, False)
    assert any(f["what"] == "order of cells" for f in report["findings"])
    told = CliRunner().invoke(cellarer, ["commission", "home", "--fault", "nothing"])
    assert "--fault = nothing" in str(told.exception)


@pytest.mark.parametrize("cell", ["0", "17", "99", "-1", "nan", "1.5", ""])
def test_cells_of_faults_are_counted_from_one(cell: str) -> None:
    told = CliRunner().invoke(cellarer, ["commission", "home", "--fault", f"cells_swapped:{cell}"])
    assert isinstance(told.exception, Mistake)
    assert str(told.exception) == f"--fault = cells_swapped:{cell}: allowed is a cell from 1 to 16"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--running --state STATE", "--running: STATE/run/snapshot.outline is missing: is the site running?"),
        ("--running --state FILE", "--state = FILE: allowed is the state folder of a site that runs: Not a directory"),
        ("--running --fault cell_sign", "--fault = cell_sign: not with --running"),
        ("--state STATE", "--state = STATE: give --running too"),
    ],
)
def test_what_cannot_be_watched_is_a_mistake(options: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    options, said = (
        text.replace("STATE", str(tmp_path / "state")).replace("FILE", str(tmp_path / "file"))
        for text in (options, said)
    )
    told = CliRunner().invoke(cellarer, ["commission", "home", *options.split()])
    assert isinstance(told.exception, Mistake)
    assert str(told.exception).startswith(said)


class Battery:
    """A wire on which the modules of the home site answer, as a stub: notes every frame that is sent."""

    def __init__(self, *_: object) -> None:
        self.sent: list[Any] = []

    def receive(self, _: float) -> Iterator[Any]:
        yield from ()

    def send(self, frame: Any) -> None:
        self.sent.append(frame)

    def close(self) -> None:
        return


def test_the_real_rig_orders_nothing_closed_and_bleeds_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rigs, "Wire", Battery)
    monkeypatch.setattr(rigs.Line, "order", lambda line, orders, armed: orders if not armed else None)
    asked: list[str] = []
    rig = rigs.OpenRig(HOME, asked.append, asked.append)
    given: list[Any] = []
    for _, line in rig._lines:
        monkeypatch.setattr(line.driver, "order", lambda order, now_ns: given.append((order, order.bleed.copy())) or [])
    rig.bleed(3)
    assert np.isnan(rig.look(0.02)).all()
    assert given
    for orders, bleed in given:
        assert not orders.closed.any()
        assert np.flatnonzero(bleed).tolist() == [3]
    rig.warm(1)
    assert "sensor 2" in asked[-1]
    rig.close()
    assert "charge" not in rig.steps


def test_a_running_site_is_only_watched(tmp_path: Path) -> None:
    config = HOME.config
    state = start(config, 0)
    (tmp_path / "run").mkdir()
    first = Snapshot(0.0, 0, 0, True, np.zeros(1, bool), state)
    create_snapshot(tmp_path / "run" / "snapshot", first)
    asked: list[str] = []
    rig = rigs.RunningRig(HOME, tmp_path, asked.append)
    with pytest.raises(BoardError, match="is the site running"):
        rig.look(0.05)
    SnapshotWriter(Folder.of(tmp_path).snapshot).write(first)
    assert np.isnan(rig.look(0.05)).all()
    rig.flow(28.0)
    rig.flow(0.0)
    assert asked == ["Let the charger charge with about 28 A", "Stop the charger"]


def test_each_step_stands_for_itself() -> None:
    assert [check for _, check in STEPS.values()] == [at_rest, bleeding, warming, charging]
