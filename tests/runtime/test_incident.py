"""A log is run again to the last bit; with other limits it tells what would have been ordered, and when."""

from __future__ import annotations

import dataclasses
import json
import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tests.processes.logged import HOME, Run, header, same

from cellarer.board import tree
from cellarer.cli import cellarer
from cellarer.config import ConfigError
from cellarer.core.cycle import start
from cellarer.history.database import Database, Retention
from cellarer.history.events import prepare
from cellarer.history.freeze import InputLog, runs
from cellarer.history.inputs import Log, LogError
from cellarer.model.values import no_plan
from cellarer.runtime import incident, incident_report


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """Return a run with requests, a plan, a control that was started again, and cells that rise beyond their limit."""
    path = Path(tmp_path_factory.mktemp("state"))
    run = Run(path / "run")
    log, reader = run.log(path), run.reader()
    run.cycle(keyframe=True)
    run.cycles(40)
    run.cycle(confirm_unknown_soc=True, close=True)
    run.cycle(set_soc=0.6)
    run.cycle(plan=dataclasses.replace(no_plan(16, 1), expires_ns=run.now_ns + 10**12, bleed_Ah=np.full(16, 0.1)))
    run.cycles(60)
    run.cycle(keyframe=True)
    log.write(reader.read())
    run.begin()
    run.cycle(keyframe=True)
    run.cycles(20)
    run.volts += 0.31
    run.cycles(150, current_A=130.0)
    run.cycle(keyframe=True)
    log.write(reader.read())
    return run, path


def log_of(path: Path) -> Log:
    return Log(runs(path / "inputs")[-1])


def test_commands_and_events_are_the_same_to_the_last_bit(state: tuple[Run, Path]) -> None:
    run, path = state
    log = log_of(path)
    again = list(incident.repeat(log, incident.config_of(log)))
    assert len(again) == len(run.commands)
    assert all(same(a.command, b) for a, b in zip(again, run.commands, strict=True))
    events = [e for cycle in again for e in cycle.events]
    assert list(map(repr, events)) == list(map(repr, run.events))
    assert {"close", "set_soc"} <= {e.name for e in events}
    assert [c.exact for c in again if c.exact is not None] == [True, True]


def test_a_kept_state_that_is_not_met_is_told(state: tuple[Run, Path], tmp_path: Path) -> None:
    _, path = state
    log = log_of(path)
    other = incident.config_of(log)
    other.limits.end_of_charge_V[:] -= 0.1
    again = list(incident.repeat(log, other))
    assert not all(c.exact for c in again if c.exact is not None)


TRIPPED = "cell_over_voltage_maximum"


def tight_cell(path: Path) -> Path:
    """Return a cell file whose maximum voltage is lower than that of the cell that was used."""
    text = resources.files("cellarer.cells").joinpath("data/lfp_280ah.toml").read_text()
    assert "[3.5, 3.55, 3.65]" in text
    cell = path / "tight_cell.toml"
    cell.write_text(text.replace("[3.5, 3.55, 3.65]", "[3.5, 3.55, 3.58]"))
    return cell


def test_other_limits_change_what_would_have_been_ordered(state: tuple[Run, Path], tmp_path: Path) -> None:
    _, path = state
    limits = tmp_path / "tight.toml"
    limits.write_text("[limits]\ncharge_A = 50.0\ncell_voltage_max_V = 3.5\n")
    with pytest.raises(ConfigError, match="cell_voltage_max_V"):
        incident.run(log_of(path), limits)
    limits.write_text(f"[[pack]]\ncell = '{tight_cell(tmp_path)}'\n")
    found = incident.run(log_of(path), limits)
    assert found.other is not None
    changed = {c["name"]: (c["happened_s"], c["would_s"]) for c in incident_report.changes(found)}
    assert changed[TRIPPED][0] is None
    assert 2.4 < changed[TRIPPED][1] < 5.0
    assert (found.exact, found.compared) == (2, 2)


def test_without_other_limits_nothing_changes(state: tuple[Run, Path], tmp_path: Path) -> None:
    _, path = state
    limits = tmp_path / "same.toml"
    limits.write_text("")
    assert incident_report.changes(incident.run(log_of(path), limits)) == []


def test_a_site_of_another_shape_is_refused(state: tuple[Run, Path], tmp_path: Path) -> None:
    _, path = state
    limits = tmp_path / "other.toml"
    limits.write_text("[[pack]]\nseries = 15\n")
    with pytest.raises((LogError, ConfigError)):
        incident.run(log_of(path), limits)
    limits.write_text("[[pack]]\n[[pack]]\n")
    with pytest.raises(LogError, match="2 given, the recorded site has 1"):
        incident.run(log_of(path), limits)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[pack.house]\nseries = 16", "pack = {'house': {'series': 16}}, allowed are tables [[pack]]"),
        ("pack = 3", "pack = 3, allowed are tables [[pack]]"),
        ('pack = ["a"]', "pack = ['a'], allowed are tables [[pack]]"),
        ("limits = 3", "limits = 3, allowed is a table [limits]"),
        ("[[limits]]", "limits = [{}], allowed is a table [limits]"),
    ],
)
def test_limits_of_another_form_are_one_clear_line(
    state: tuple[Run, Path], tmp_path: Path, text: str, said: str
) -> None:
    _, path = state
    limits = tmp_path / "form.toml"
    limits.write_text(text)
    with pytest.raises(LogError) as told:
        incident.run(log_of(path), limits)
    assert str(told.value).startswith(f"{limits}: {said}")
    assert "\n" not in str(told.value)


def test_the_command_line_finds_an_event_and_answers_what_if(state: tuple[Run, Path], tmp_path: Path) -> None:
    run, path = state
    fault = next(e for e in run.events if e.kind == "fault")
    row = {
        "seq": 0,
        "unix_s": 1e9 + fault.time_ns * 1e-9,
        "time_ns": fault.time_ns,
        "kind": "fault",
        "name": fault.name,
        "pack": 1,
        "string": 1,
    }
    with Database(path / "history.db", Retention()) as database:
        database.write_events([prepare(row | {"text": "a fault"}, "control")])
    log = InputLog(path, header(), tree.encode(run.config))
    log.note(row | {"text": "a fault"})
    log.finish()
    limits = tmp_path / "late.toml"
    limits.write_text(f"[[pack]]\ncell = '{tight_cell(tmp_path)}'\n")
    out, report = tmp_path / "out.csv", tmp_path / "out.html"
    arguments = ["replay", "--incident", "1", "--state", str(path), "--limits", str(limits)]
    done = CliRunner().invoke(cellarer, [*arguments, "--out", str(out), "--report", str(report), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["asked_about"] == ["a fault"]
    assert found["kept_states_met"] == found["kept_states"] > 0
    assert fault.name in [e["name"] for e in found["events"]]
    assert found["limits"]["file"] == str(limits)
    assert len(out.read_text().splitlines()) == found["cycles"] + 1
    assert "What the other limits change" in report.read_text()
    told = CliRunner().invoke(cellarer, arguments)
    assert re.search(rf"{TRIPPED} +1 +never +2\.\d+", told.output)
    assert "no whole block" not in told.output + report.read_text()
    (frozen,) = (path / "freezes").glob("*.freeze")
    with frozen.open("ab") as file:
        file.write(b"torn")
    told = CliRunner().invoke(cellarer, [*arguments, "--report", str(report)])
    assert f"{frozen.name}: its last 4 bytes are no whole block" in re.sub(r"\s+", " ", told.output)
    assert "last 4 bytes are no whole block" in report.read_text()


def test_a_file_needs_no_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for what, said in (("nowhere.freeze", "a .freeze file"), ("7", "--state is missing")):
        done = CliRunner().invoke(cellarer, ["replay", "--incident", what])
        assert said in f"{done.exception} {done.output}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--incident", "7"], "has no such event"),
        (["--incident", "nothing"], "allowed is the number of an event"),
        (["--incident", "7", "x.csv"], "leave out x.csv"),
        ([], "name a RECORDING and --cell CELL, or --incident"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(cellarer, ["replay", *arguments, "--state", str(tmp_path)])
    assert done.exit_code != 0
    assert said in str(done.exception)


def test_memory_of_fault_rows_goes_along_by_name() -> None:
    config = HOME.config
    turned = dataclasses.replace(config, faults=dataclasses.replace(config.faults, name=config.faults.name[::-1]))
    state = start(config, 0)
    state.faults.latched[3, 0] = True
    moved = incident.moved(state, config, turned)
    assert [turned.faults.name[i] for i in np.flatnonzero(moved.faults.latched[:, 0])] == [config.faults.name[3]]
