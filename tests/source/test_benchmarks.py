"""The benchmarks can be started: each is imported as it stands, refuses what it cannot measure, rejects bad figures."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import jitter

from cellarer.runtime import solar_days
from cellarer.runtime import swing as swings

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
FOREIGN = {"oracle_pybamm": "pybamm"}  # foreign packages that are in no requirements of ours
IMPORT = """
import importlib, json, sys
folder, *names = sys.argv[1:]
found, path = {}, [folder, *sys.path]
for name in names:
    sys.path[:] = path  # a file that adds to it does so for itself alone
    try:
        importlib.import_module(name)
    except Exception as error:
        found[name] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


def test_every_benchmark_can_be_imported() -> None:
    """In one process apart: most of the time goes into what all of them import."""
    names = sorted(path.stem for path in FOLDER.glob("*.py"))
    assert {"ageing", "claims", "jitter", *FOREIGN} <= set(names)
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, str(FOLDER), *names], capture_output=True, text=True, check=True
    )
    missing = {name: package for name, package in FOREIGN.items() if find_spec(package) is None}
    assert json.loads(done.stdout) == {
        name: f"ModuleNotFoundError: No module named '{package}'" for name, package in missing.items()
    }


@pytest.mark.parametrize("seconds", ["0", "-5", "nan", "inf"])
def test_jitter_refuses_times_that_it_cannot_measure(
    seconds: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["jitter.py", "--seconds", seconds])
    monkeypatch.setattr(jitter, "running", None)
    with pytest.raises(SystemExit, match="2"):
        jitter.main()
    assert f"error: --seconds = {seconds}: allowed is 1 to 86400" in capsys.readouterr().err


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    monkeypatch.syspath_prepend(str(FOLDER))
    return import_module


def test_a_missed_claim_is_exit_status_1(bench: Callable[[str], Any], capsys: pytest.CaptureFixture[str]) -> None:
    verdict = bench("claims").verdict
    assert verdict({"figure 1": True}) == 0 and capsys.readouterr().out == "holds  figure 1\n"
    assert verdict({"figure 1": True, "figure 2": False}, quiet=True) == 1
    assert "MISSED figure 2" in capsys.readouterr().err


def test_thermal_says_no_to_a_plan_that_saves_little_or_costs_limits(bench: Callable[[str], Any]) -> None:
    claims = bench("thermal").claims
    good = {"cold": {"total_kWh": [4.8, 1.4], "trip_charge_A": [100.0, 100.0], "trip_discharge_A": [150.0, 150.2],
                     "delivered_kWh": [20.0, 20.1]}}  # fmt: skip
    assert all(claims(good).values())
    for name, plan in (("total_kWh", 4.0), ("total_kWh", np.nan), ("trip_charge_A", 98.0), ("trip_discharge_A", 148.0),
                       ("delivered_kWh", 19.7), ("delivered_kWh", np.nan)):  # fmt: skip
        bad = copy.deepcopy(good)
        bad["cold"][name][1] = plan
        assert list(claims(bad).values()).count(False) == 1, name


def test_year_in_full_says_no_to_ways_that_differ(bench: Callable[[str], Any]) -> None:
    year = bench("year_in_full")
    full = dict.fromkeys(year.COMPARED, 50.0)
    assert all(year.claims(full | {"soc_mean_pct": 70.0, "balancing_h": 1.0, "temp_high_degC": 30.0}, full).values())
    names = [*year.APART, *year.APART_SHARE]
    assert len(names) == len(year.COMPARED) - 3
    for name in names:
        for wrong in (40.0, 60.0, np.nan):
            assert list(year.claims(full | {name: wrong}, full).values()).count(False) == 1, name


def test_ageing_says_no_to_laws_that_are_neither_published_nor_inside_their_band(bench: Callable[[str], Any]) -> None:
    ageing = bench("ageing")
    found = {"tables": ageing.tables(), "stated": ageing.stated(), "lives": ageing.lives()}
    assert all(ageing.claims(found).values())
    for part, name, factor in (("tables", "rest_points", 3.0), ("tables", "cycle_table_pct", 1.2),
                               ("stated", "law_pct", 2.0), ("lives", "law_pct", 0.5),
                               ("lives", "law_pct", np.nan)):  # fmt: skip
        bad = copy.deepcopy(found)
        bad[part][0][name] *= factor
        assert list(ageing.claims(bad).values()).count(False) == 1, name


def test_swing_says_no_to_limits_that_swing_and_to_what_was_not_at_work(bench: Callable[[str], Any]) -> None:
    claims, n = bench("swing").claims, len(swings.PACKS)
    limit_A = np.repeat([[140.0], [100.0], [90.0], [92.0]], n, axis=1)
    bleeding = np.repeat([[False], [True], [False], [True]], n, axis=1)
    good = swings.Swing(1.0, 1.0, False, True, np.arange(4.0), limit_A, limit_A, bleeding, 140.0, np.full(n, 3.5), 0)
    assert all(claims([good, good]).values())
    for name, wrong in (
        ("limit_A", limit_A + np.array([[0.0], [0.0], [0.0], [6.0]])), ("highest_V", np.full(n, 3.66)),
        ("highest_V", np.full(n, np.nan)), ("opened", 1), ("limit_A", np.full((4, n), 140.0)),
        ("bleeding", np.ones((4, n), bool)), ("bleeding", np.zeros((4, n), bool)),
    ):  # fmt: skip
        assert list(claims([good, replace(good, **{name: wrong})]).values()).count(False) == 1, name


def test_solar_days_say_no_to_cells_that_are_too_high_and_to_packs_that_get_stuck(bench: Callable[[str], Any]) -> None:
    claims = bench("solar_days").claims
    good = solar_days.Days(10, 16.0, 1000, 3.46, 3.65, above=0, full=9, short=1, bled=8, opened=0)
    assert good.stuck == 0 and all(claims(good).values())
    for wrong in ({"above": 1}, {"highest_V": 3.66}, {"highest_V": np.nan}, {"opened": 1}, {"short": 0}, {"bled": 0},
                  {"full": 0, "short": 10}):  # fmt: skip
        assert list(claims(replace(good, **wrong)).values()).count(False) == 1, wrong  # type: ignore[arg-type]
