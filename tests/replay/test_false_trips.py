"""Measured recordings of sound cells raise nothing that ramps or opens while they stay within the cell's limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks import false_trips
from benchmarks.false_trips import SETS, files, judge

from cellarer.runtime.replay import Settings

DATA = Path(__file__).resolve().parents[2] / "data"
STEP_S, MOST = 20.0, 40  # the whole, and at the natural rate: benchmarks/false_trips.py
FILES = [(path, SETS[name]) for name in SETS for path in files(DATA, name)[::5]]


@pytest.mark.parametrize(("path", "settings"), FILES, ids=[str(p.relative_to(DATA)) for p, _ in FILES])
def test_no_healthy_recording_trips_within_the_limits(path: Path, settings: Settings) -> None:
    verdict = judge(path, settings, STEP_S, MOST)
    assert verdict.rows > 0 and verdict.within > 0 and not verdict.false


def test_what_is_raised_without_a_cause_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    path = DATA / "lg_18650hg2" / "drive" / "n20degC_US06_610.parquet"
    caused = judge(path, SETS["lg_18650hg2"], 60.0)
    assert caused.justified and not caused.false and caused.within < caused.rows
    monkeypatch.setattr(false_trips, "beyond", lambda recording, *_: np.zeros(recording.rows, bool))
    without = judge(path, SETS["lg_18650hg2"], 60.0)
    assert without.false == caused.justified and not without.justified
