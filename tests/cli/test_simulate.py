"""`cellarer simulate`: virtual time, deterministic, with table and report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cellarer import config
from cellarer.cli import cellarer
from cellarer.commands.console import Mistake
from cellarer.lab import tables
from cellarer.model.values import Phase
from cellarer.runtime import balancing, recording, simulate
from cellarer.runtime.simulate_report import figures


@pytest.fixture(scope="module")
def home() -> simulate.Simulated:
    return simulate.simulate(config.load("home"), 3600.0, seed=7)


def test_pack_closes_and_carries_current(home: simulate.Simulated) -> None:
    assert home.state.switches.phase.tolist() == [Phase.CLOSED]
    assert home.throughput_Wh.sum() > 100.0
    assert home.seconds == pytest.approx(3600.0)


def test_steps_are_short_while_switching_and_long_in_peace(home: simulate.Simulated) -> None:
    closing = simulate.simulate(config.load("home"), 3.0, seed=7)  # of which one is waited for known measurements
    assert closing.steps >= 48
    steps = np.diff(home.time_s)
    assert steps.max() > 10.0
    assert steps.max() <= simulate.LONGEST_S + 1e-6


def test_same_seed_same_bytes(home: simulate.Simulated) -> None:
    again = simulate.simulate(config.load("home"), 3600.0, seed=7)
    other = simulate.simulate(config.load("home"), 3600.0, seed=8)
    assert again.hash == home.hash
    assert other.hash != home.hash


def test_figures_agree_with_the_series(home: simulate.Simulated) -> None:
    found = figures(home)
    assert found["cell_high_V"] == np.nanmax(home.series["cell_high_V"])
    assert found["hash"] == home.hash
    assert found["closings"] == 1


def test_drive_cycles_are_not_skipped_over() -> None:
    ev = simulate.simulate(config.load("ev"), 60.0, seed=1)
    assert np.diff(ev.time_s).max() <= 1.0 + 1e-6


def test_output_is_a_recording_and_a_report(tmp_path: Path) -> None:
    out, report = tmp_path / "home.csv", tmp_path / "home.html"
    arguments = ["simulate", "home", "--hours", "0.2", "--out", str(out), "--report", str(report), "--json"]
    done = CliRunner().invoke(cellarer, arguments)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["seed"] == 1
    read = recording.read(out)
    assert read.good.all()
    assert {"soc", "soc_true", "faults"} <= set(tables.read(out).names)
    text = report.read_text(encoding="utf-8")
    assert "Simulation of home" in text
    assert "<svg" in text
    assert "http://" not in text.replace("http://www.w3.org", "").replace("http://purl.org", "")


def test_columns_of_several_strings_are_numbered_from_one(tmp_path: Path) -> None:
    result = simulate.simulate(config.load("supervised"), 10.0, seed=1)
    names = list(simulate.table(result))
    assert names[:2] == ["time_s", "string_1_current_A"]
    assert "string_4_soc" in names


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--balance none --years 1", "--balance = none: not with --years"),
        ("--soc-spread-pct 5 --years 1", "--soc-spread-pct = 5: give --balance too"),
        ("--soc-spread-pct 5", "--soc-spread-pct = 5: give --balance too"),
        ("--balance none --soc-spread-pct nan", "--soc-spread-pct = nan: allowed is 0.1 to 50"),
        ("--balance none --soc-spread-pct 51", "--soc-spread-pct = 51: allowed is 0.1 to 50"),
        ("--seed -1", "--seed = -1: allowed is 0 to 9007199254740991"),
        ("--seed -1 --years 1", "--seed = -1: allowed is 0 to 9007199254740991"),
        ("--seed 9007199254740992", "--seed = 9007199254740992: allowed is 0 to 9007199254740991"),
        *(
            (f"--years {n}", f"--years = {n}: allowed are whole years from 1 to 100; parts of one: --days")
            for n in ("1.5", "0.5", "0", "-1", "101", "1000", "nan", "inf")
        ),
        ("--policies", "--policies: give --years N too"),
        ("--balance none,,dose", "--balance = none,,dose: allowed are 1 to 7 of none, voltage"),
        ("--balance none,none", "--balance = none,none: allowed are 1 to 7 of none, voltage"),
        ("--balance ,", "--balance = ,: allowed are 1 to 7 of none, voltage"),
    ],
)
def test_options_that_would_not_be_followed_are_refused(options: str, said: str) -> None:
    told = CliRunner().invoke(cellarer, ["simulate", "home", *options.split()])
    assert isinstance(told.exception, Mistake)
    assert str(told.exception).startswith(said)


@pytest.mark.parametrize(
    ("reached", "said"), [([False], "not full after 8 h"), ([True, False, False], "not empty after 8 h")]
)
def test_a_test_cycle_that_is_given_up_says_why(
    reached: list[bool], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(reached * 2)
    monkeypatch.setattr(balancing.World, "_until", lambda *_: next(answers))
    report = tmp_path / "a.html"
    arguments = ["simulate", "laptop", "--hours", "0.01", "--balance", "none"]
    shown = CliRunner().invoke(cellarer, [*arguments, "--report", str(report)])
    assert shown.exit_code == 0, shown.output
    assert said in shown.stdout
    assert said in report.read_text(encoding="utf-8") and f"{said} Ah" not in report.read_text(encoding="utf-8")
    found = json.loads(CliRunner().invoke(cellarer, [*arguments, "--json"]).stdout)["strategies"][0]
    assert (found["delivered_Ah"], found["unfinished"]) == (None, said)
