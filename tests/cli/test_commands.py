"""The command line as people and scripts meet it: help, JSON, errors, speed of starting."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib import resources
from multiprocessing import get_context
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cellarer import __version__
from cellarer.cli import COMMANDS, cellarer, main
from cellarer.commands import console
from cellarer.history.database import Database, Retention
from cellarer.history.events import prepare
from cellarer.history.reader import Reader
from cellarer.runtime import campaign

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "src" / "cellarer" / "commands"
FILES = {path.stem for path in FOLDER.glob("*.py") if "def command(" in path.read_text(encoding="utf-8")}
EXAMPLE = ROOT / "data" / "nissan_leaf_2013" / "pack6s_dis_2C.parquet"


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cellarer, arguments)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "cellarer", *arguments], capture_output=True, text=True, check=False)


def test_every_offered_command_has_a_file() -> None:
    assert set(COMMANDS) == FILES


def test_help_lists_every_command() -> None:
    done = call("--help")
    assert done.exit_code == 0
    for name, what in COMMANDS.items():
        assert name in done.output
        assert what in done.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    done = call(name, "--help")
    assert done.exit_code == 0
    assert "Usage: " in done.output
    assert len(done.output.splitlines()) > 5


# The contracts of docs/design.md, §7: these names do not change without a migration.
CONTRACT = {
    "replay": "--cell --initial-soc --initial-sigma --series --parallel --capacity-Ah --temperature-degC "
    "--learn-capacity --run --out --report --estimate-only --json",
    "check": "--timing --json",
    "simulate": "--days --years --seed --json",
    "bench": "--json",
    "cells": "--json",
    "campaign": "--json --seeds --seed",
    "identify": "--name --out --capacity-Ah --ocv --report",
}


@pytest.mark.parametrize("name", [name for name in COMMANDS if name in CONTRACT])
def test_options_are_those_of_the_contract(name: str) -> None:
    options = {option for parameter in _command(name).params for option in parameter.opts}
    assert set(CONTRACT[name].split()) <= options


def _command(name: str):  # type: ignore[no-untyped-def]
    command = cellarer.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    return command


def test_unknown_command_is_refused() -> None:
    done = call("brew")
    assert done.exit_code == 2
    assert "No such command 'brew'" in done.output


def test_version_is_told() -> None:
    assert run("--version").stdout == f"cellarer {__version__}\n"


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_nothing_heavy_is_imported_to_say_hello(argument: str) -> None:
    code = f"import sys; sys.argv = ['cellarer', '{argument}']\nfrom cellarer.cli import main\n"
    code += "try: main()\nexcept SystemExit: pass\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "cellarer.cli" in loaded
    assert not loaded & {"numpy", "pydantic", "rich", "numba", "pyarrow", "matplotlib", "fastapi", "cellarer.model"}


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["cells", "unobtainium"], ["unobtainium", "allowed is", "panasonic_18650pf"]),
        (["check", "nowhere"], ["nowhere", "allowed is", "home"]),
        (["simulate", "nowhere"], ["nowhere", "allowed is", "home"]),
        (["simulate", "home", "--days", "-1"], ["--days = -1: allowed is more than 0"]),
        (["simulate", "home", "--days", "1", "--hours", "1"], ["--days and --hours: give one of them"]),
        (["simulate", "home", "--out", "nowhere/a.csv"], ["--out = nowhere/a.csv: the folder nowhere does not exist"]),
        (["run", "laptop", "--state", __file__], ["--state = ", "a folder that we can write to: File exists"]),
        (["replay", "absent.csv", "--cell", "lfp_280ah"], ["absent.csv: no such file"]),
        (["replay", str(EXAMPLE), "--cell", "unobtainium"], ["unobtainium", "allowed is"]),
        (["replay", str(EXAMPLE), "--cell", "lfp_280ah", "--initial-soc", "80"], ["allowed is 0 to 1; 80 % is 0.8"]),
        (["replay", str(EXAMPLE), "--cell", "nissan_leaf_2013", "--series", "7"], ["--series = 7: allowed is 6"]),
        (["replay", str(EXAMPLE), "--cell", "nissan_leaf_2013", "--run", "2"], ["run = 2: allowed is 1 to 1"]),
        (["replay", str(EXAMPLE), "--cell", "nissan_leaf_2013", "--out", "a.xls"], ["must end in .parquet or .csv"]),
        (["replay", str(EXAMPLE), "--cell", "lto_23ah"], ["is it another cell"]),
    ],
)  # fmt: skip
def test_mistakes_are_one_message_and_code_2(arguments: list[str], texts: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("cellarer: error: ")]) == 1
    for text in texts:
        assert text in done.stderr


def test_an_error_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("a slip of ours")

    monkeypatch.setattr(cellarer, "main", broken)
    with pytest.raises(ValueError, match="a slip of ours"):
        main()


def test_a_process_that_is_killed_ends_in_one_plain_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed(**_: object) -> None:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            pool.submit(signal.raise_signal, signal.SIGKILL).result()

    monkeypatch.setattr(cellarer, "main", killed)
    with pytest.raises(SystemExit, match="1"):
        main()
    said = capsys.readouterr().err
    assert said.startswith("cellarer: error: one of the processes at work was killed") and said.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["cells", "--json"],
        ["cells", "lfp_280ah", "--json"],
        ["check", "home", "--timing", "--json"],
        ["simulate", "laptop", "--hours", "0.02", "--json"],
        ["replay", str(EXAMPLE), "--cell", "nissan_leaf_2013", "--parallel", "2", "--json"],
    ],
)
def test_json_is_one_line_and_nothing_else(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\n")
    assert done.stdout.count("\n") == 1
    assert isinstance(json.loads(done.stdout), dict)
    assert "NaN" not in done.stdout


def test_cells_shows_sources() -> None:
    done = call("cells", "panasonic_18650pf")
    assert done.exit_code == 0
    assert "10.17632/wykht8y7tg" in done.output or "Panasonic" in done.output
    assert "Where the numbers come from" in done.output


def test_every_shipped_site_passes_its_own_check() -> None:
    from cellarer import config

    for name in config.sites():
        done = call("check", name, "--json")
        assert done.exit_code == 0, done.output
        assert json.loads(done.output)["ok"] is True


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("drops_after_ms = 300", "", "drops_after_ms"),
        ("bleed_mA = 200 }", 'bleed_mA = 200, topology = "flyback" }', "no device drives the converter of cell 1"),
    ],
)
def test_what_check_refuses_does_not_run(
    was: str, now: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = resources.files("cellarer.config").joinpath("sites/home.toml").read_text()
    assert was in text
    site = tmp_path / "site.toml"
    site.write_text(text.replace(was, now))
    state, out = tmp_path / "state", tmp_path / "out.csv"
    for line in (
        "check SITE", f"run SITE --state {state}", f"simulate SITE --out {out}", f"simulate SITE --years 1 --out {out}",
        "simulate SITE --balance none", "campaign SITE", "campaign home SITE+all", "commission SITE",
    ):  # fmt: skip
        monkeypatch.setattr(sys, "argv", ["cellarer", *line.replace("SITE", str(site)).split()])
        with pytest.raises(SystemExit, match="2"):
            main()
        assert said in capsys.readouterr().err
    assert not state.exists() and not out.exists()


@pytest.mark.parametrize("variant", ["home:lto_23ah", "home+all", "laptop:a123_26650"])
def test_a_campaign_takes_variants_of_what_check_lets_run(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(
        campaign, "campaign", lambda subjects, *_, **__: asked.append(subjects) or campaign.Outcome(1, 1, 0.0)
    )
    assert call("campaign", variant, "--json").exit_code == 0 and asked == [(variant,)]


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("nowhere/a.md", "the folder nowhere does not exist"),
        (".", "is a folder; name a file in it"),
        ("a.svg", "allowed is a name for the table"),
        (f"{'a' * 300}.md", "cannot be written: File name too long"),
        ("/proc/a.md", "cannot be written: "),
    ],
)
def test_a_campaign_says_at_its_start_what_it_cannot_write(
    out: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(campaign, "campaign", None)
    told = call("campaign", "laptop", "--out", out)
    assert isinstance(told.exception, console.Mistake)
    assert f"--out = {out}: {said}" in str(told.exception)


def test_a_campaign_prints_its_figures_even_if_the_table_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.md"

    def full(*_: object, **__: object) -> campaign.Outcome:
        assert not out.exists()
        out.mkdir()
        return campaign.Outcome(1, 1, 0.0)

    monkeypatch.setattr(campaign, "campaign", full)
    told = call("campaign", "laptop", "--json", "--out", str(out))
    assert json.loads(told.stdout)["seed"] == 1
    assert str(told.exception) == f"--out = {out}: cannot be written: Is a directory"


def test_what_can_be_written_stays_as_it_is(tmp_path: Path) -> None:
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    old.write_text("kept")
    for out in (old, new):
        console.can_write_table(out, None)
    assert old.read_text() == "kept" and not new.exists()


def test_check_names_file_key_value_and_range(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text('name = "x"\n[[pack]]\nname = "p"\ncell = "lfp_280ah"\nseries = 0\n')
    done = call("check", str(site), "--json")
    assert done.exit_code == 2
    found = json.loads(done.stdout)
    assert found["ok"] is False
    for text in ("site.toml", "pack[1].series", "= 0", "greater than or equal to 1"):
        assert text in found["error"]


def test_check_verifies_the_history_of_a_site(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    asked = ("check", "home", "--history", "--state", str(tmp_path))
    missing = call(*asked, "--json")
    assert missing.exit_code == 2
    assert "there is no history.db" in json.loads(missing.stdout)["error"]
    with Database(path, Retention()) as database:
        row = {"unix_s": 1e9, "time_ns": 0, "kind": "system", "name": "started"}
        database.write_events([prepare(row | {"seq": seq}, "control") for seq in range(3)])
        head = Reader(path).head()
        whole = call(*asked, "--json")
        assert whole.exit_code == 0
        history = json.loads(whole.stdout)["history"]
        assert history == {"file": str(path), "events": 3, "head": head[1], "whole": True, "broken_at": None}
        assert "history is whole: 3 events" in " ".join(call(*asked).stdout.split())
        database.connection.executescript("DROP TRIGGER event_stays; DELETE FROM event WHERE seq = 2")
    broken = call(*asked)
    assert broken.exit_code == 1
    assert "history is broken: event 3 was altered, or one before it was removed" in " ".join(broken.stdout.split())
    assert "ok" not in broken.stdout.splitlines()
    assert json.loads(call(*asked, "--json").stdout)["history"]["broken_at"] == 3
    path.write_bytes(b"no history at all" * 100)
    none = call(*asked)
    assert none.exit_code == 2
    assert "is it a history file?" in none.stderr
    assert "--history" in str(call("check", "home", "--state", str(tmp_path)).exception)


def test_long_work_without_a_terminal_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.progress("injecting faults") as progress:
        for minute in range(4):
            now[0] = 40.0 * minute
            progress(0.1 * minute)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "injecting faults: 20 %\n"
