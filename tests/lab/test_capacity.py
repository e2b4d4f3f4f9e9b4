"""Capacity from laboratory runs: rests, cycling in one file and charges are told apart; pulses tell none."""

from dataclasses import replace

import numpy as np
import pytest

from cellarer.lab import capacity
from cellarer.lab.error import LabError
from cellarer.lab.readers import Run
from cellarer.lab.sort import Ends


def run(current: list[tuple[float, float]], temp_degC: float = 25.0, start: float = 1.0) -> Run:
    """Steps of (hours, A) at 60 s of a 2 Ah cell whose voltage is 3 V empty and 4.2 V full."""
    i = np.concatenate([np.full(round(60 * hours), amperes) for hours, amperes in current])
    t = 60.0 * np.arange(i.size)
    q = np.concatenate([[0.0], np.cumsum(i[1:]) / 60.0])
    return Run("made", "made#1", t, i, 3.0 + 1.2 * (start + q / 2.0), np.full(i.size, temp_degC), q, False)


ENDS = Ends(4.2, 3.0, 2.5)


def test_slow_discharge_after_a_day_of_rest_among_faster_ones_is_believed() -> None:
    cycles = run([(24.0, 0.0), (1.0, -2.0), (1.0, 2.0), (20.0, 0.0), (10.0, -0.199), (10.0, 0.199), (1.0, -2.0)])
    ends, source = capacity.measured([cycles], ENDS, [])
    assert ends.capacity_Ah == pytest.approx(1.99, rel=0.01)
    assert "discharge of 10.0 h" in source


def test_a_sensor_that_shows_something_at_rest_hides_no_end_of_discharge() -> None:
    ends, source = capacity.measured([run([(1.0, -2.0), (3.0, -0.003)])], ENDS, [])
    assert ends.capacity_Ah == pytest.approx(59 / 60 * 2.0 + 0.009, rel=1e-6)  # the first row of a run carries nothing
    assert "discharge of 1.0 h" in source


def test_warm_discharge_beats_a_slower_cold_one() -> None:
    cold, warm = run([(20.0, -0.1)], temp_degC=-10.0), run([(2.0, -0.99)])
    ends, source = capacity.measured([cold, warm], ENDS, [])
    assert "25 degC" in source
    assert ends.capacity_Ah == pytest.approx(1.98, rel=0.01)


def test_a_full_charge_counts_where_nothing_is_discharged() -> None:
    warnings: list[str] = []
    ends, _ = capacity.measured([run([(1.0, 0.0), (4.0, 0.5)], start=0.0)], ENDS, warnings)
    assert ends.capacity_Ah == pytest.approx(2.0, rel=0.01)
    assert "charge" in warnings[0]


def test_pulses_tell_no_capacity() -> None:
    with pytest.raises(LabError, match="--capacity-Ah"):
        capacity.measured([run([(0.1, 0.0), (0.1, -1.0), (0.1, 0.0)], start=0.5)], ENDS, [])


def test_a_rest_that_drifts_behind_the_discharge_hides_nothing() -> None:
    """A tester's offset turns the charge's lowest point into the end of the rest, where the voltage has come back."""
    whole = run([(0.1, 0.0), (2.0, -0.99), (0.5, -0.002)])
    behind = whole.time_s > 2.1 * 3600.0
    whole.voltage[behind] += 0.5
    ends, source = capacity.measured([whole], ENDS, [])
    assert ends.capacity_Ah == pytest.approx(1.98, rel=0.01)
    assert "discharge" in source


def test_a_file_that_stops_in_the_middle_of_its_discharge_is_named() -> None:
    """Straight down to the last row with current: cut. A rest behind it, or the knee of an empty cell: whole."""
    cut, rested = run([(1.0, -2.0)]), run([(1.0, -2.0), (0.2, 0.0)])
    volts = cut.voltage - 0.3 * np.clip(cut.time_s / 3600.0 - 0.95, 0.0, None) / 0.05
    knee = Run("made", "made#1", cut.time_s, cut.current, volts, cut.temp_degC, cut.charge_Ah, False)
    for made, named in ((cut, True), (rested, False), (knee, False)):
        warnings: list[str] = []
        capacity.measured([made], Ends(4.2, float(made.voltage.min()), 2.0), warnings)
        assert [("made#1 ends at 3.02 V" in w, "truncated" in w) for w in warnings] == [(True, True)] * named


def test_time_in_hours_and_current_in_milliamperes_are_named() -> None:
    whole = run([(1.0, -2.0), (0.2, 0.0)])
    hours = replace(whole, time_s=whole.time_s / 3600.0, charge_Ah=whole.charge_Ah / 3600.0)
    with pytest.raises(LabError, match="name the column _h"):
        capacity.measured([hours], Ends(4.2, 3.0, 2.0 / 3600.0), [])
    warnings: list[str] = []
    milli = replace(whole, current=1e3 * whole.current, charge_Ah=1e3 * whole.charge_Ah)
    capacity.measured([milli], Ends(4.2, 3.0, 2e3), warnings)
    assert ["mA" in warning for warning in warnings] == [True]


def test_a_capacity_from_the_cold_is_told() -> None:
    warnings: list[str] = []
    capacity.measured([run([(2.0, -0.99)], temp_degC=-10.0)], ENDS, warnings)
    assert any("no full leg near 25 degC" in text and "-10 degC" in text for text in warnings)
    warm: list[str] = []
    capacity.measured([run([(2.0, -0.99)])], ENDS, warm)
    assert not any("near 25 degC" in text for text in warm)
