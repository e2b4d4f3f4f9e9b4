"""`cellarer simulate`: virtual time, deterministic, with table and report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cellarer import config
from cellarer.cli import cellarer
from cellarer.lab import tables
from cellarer.model.values import Phase
from cellarer.runtime import recording, simulate
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
