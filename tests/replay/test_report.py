"""Reports: no spike is lost by thinning, times of faults are right, what comes from files is escaped."""

from __future__ import annotations

import numpy as np
import pytest

from cellarer.runtime.plots import COLUMNS, Line, Panel, draw, thinned
from cellarer.runtime.replay_report import spans_of
from cellarer.runtime.report import Figure, Report, Section, render


def test_thinning_keeps_spikes_holes_and_ends() -> None:
    time_s = np.arange(200_000) * 0.1
    y = np.sin(time_s / 1000.0)
    y[[50_001, 123_456]] = 9.0, -9.0
    y[77_777] = np.nan
    at = thinned(time_s, y)
    assert {0, 199_999, 50_001, 123_456, 77_777} <= set(at.tolist())
    assert (np.diff(at) > 0).all()
    assert at.size <= 3 * COLUMNS + 2


def test_short_series_are_drawn_whole_without_unknown_times() -> None:
    time_s = np.array([0.0, np.nan, 2.0])
    assert thinned(time_s, np.array([1.0, 2.0, 3.0])).tolist() == [0, 2]


def test_fault_spans_join_over_changes_of_others() -> None:
    time_s = np.arange(7.0)
    faults = ["", "a", "a;b", "a", "", "b", "b"]
    assert spans_of(time_s, faults) == {"a": [(1.0, 4.0)], "b": [(2.0, 3.0), (5.0, 6.0)]}
    assert spans_of(np.array([np.nan]), ["a"]) == {}


@pytest.mark.needs("jinja2")
def test_text_from_files_is_escaped() -> None:
    section = Section("<i>T</i>", header=("h",), rows=[("<script>alert(1)</script>",)])
    html = render(Report("<q>&", "s", [Figure("f", "<u>")], ["<img>"], [section]))
    for tag in ("<script", "<q>", "<u>", "<img", "<i>"):
        assert tag not in html
    assert "&lt;script&gt;" in html


@pytest.mark.needs("matplotlib")
def test_drawing_is_repeatable_and_names_its_axis() -> None:
    x, y = np.linspace(0.0, 5000.0, 50), np.linspace(0.0, 1.0, 50)
    panels = [Panel("Voltage, V", (Line("measured", "measured", y, band=0.1 * y),))]
    assert draw(x, panels) == draw(x, panels)
    assert "time in minutes" in draw(x, panels)
    assert "SOC, %" in draw(y * 100.0, panels, "SOC, %")
    assert "time in days" in draw(x * 100.0, panels)
