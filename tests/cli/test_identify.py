"""`cellarer identify`: from recordings to a cell file that the other commands take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cellarer.cli import cellarer

DATA = Path(__file__).resolve().parents[2] / "data"
FILES = [str(DATA / "dmegc_inr18650" / name) for name in ("R1_ocv_c20_discharge.parquet", "R1_pulse_0p5C.parquet")]


@pytest.mark.needs("scipy", "pyarrow", "matplotlib", "jinja2")
def test_identified_cell_is_a_cell_for_the_other_commands(tmp_path: Path) -> None:
    cell, report = tmp_path / "dmegc.toml", tmp_path / "dmegc.html"
    arguments = ["identify", *FILES, "--name", "dmegc", "--out", str(cell), "--report", str(report), "--json"]
    done = CliRunner().invoke(cellarer, arguments)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["name"] == "dmegc"
    assert found["capacity_Ah"] == pytest.approx(2.75, abs=0.05)
    assert found["classes"][0]["voltage_rmse_mV"] < 10.0
    assert "Identification of dmegc" in report.read_text(encoding="utf-8")
    assert CliRunner().invoke(cellarer, ["cells", str(cell)]).exit_code == 0
    replayed = ["replay", str(DATA / "dmegc_inr18650" / "R2_dis_1C.parquet"), "--cell", str(cell), "--initial-soc", "1"]
    figures = json.loads(CliRunner().invoke(cellarer, [*replayed, "--json"]).stdout)
    assert figures["soc_rmse_pct"] < 5.0


def test_identify_refuses_before_the_long_work(tmp_path: Path) -> None:
    for options, text in (
        (["--out", str(tmp_path / "a.txt")], "must end in .toml"),
        (["--out", str(tmp_path / "a.toml"), "--capacity-Ah", "-1"], "--capacity-Ah = -1: allowed is"),
        (["--out", str(tmp_path / "no" / "a.toml")], "does not exist"),
        (["--out", str(tmp_path / "a.toml"), "--temperature-degC", "300"], "allowed is -60 to 120"),
        (["--out", str(tmp_path / "a.toml"), "--name", "LG M50"], "--name = 'LG M50': allowed are letters"),
    ):
        done = CliRunner().invoke(cellarer, ["identify", *FILES, "--name", "x", *options])
        assert text in str(done.exception)
        assert not list(tmp_path.iterdir())
