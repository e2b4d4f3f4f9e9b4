"""Capacity from laboratory runs: rests, cycling in one file and charges are told apart; pulses tell none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cellarer.lab import capacity, usual
from cellarer.lab.error import LabError
from cellarer.lab.readers import Run, read
from cellarer.lab.sort import Ends, ends_of


def run(current: list[tuple[float, float]], temp_degC: float = 25.0, start: float = 1.0) -> Run:
    """Steps of (hours, A) at 60 s of a 2 Ah cell whose voltage is 3 V empty and 4.2 V full."""
    i = np.concatenate([np.full(round(60 * hours), amperes) for hours, amperes in current])
    t = 60.0 * np.arange(i.size)
    q = np.concatenate([[0.0], np.cumsum(i[1:]) / 60.0])
    return Run("made", "made#1", t, i, 3.0 + 1.2 * (start + q / 2.0), np.full(i.size, temp_degC), q, False)


ENDS = Ends(4.2, 3.0, 2.5)
HAKADI = Path(__file__).resolve().parents[2] / "data" / "hakadi_naion_18650"
COLUMNS = ("time_s", "current", "voltage", "temp_degC", "charge_Ah")


def test_slow_discharge_after_a_day_of_rest_among_faster_ones_is_believed() -> None:
    cycles = run([(24.0, 0.0), (1.0, -2.0), (1.0, 2.0), (20.0, 0.0), (10.0, -0.199), (10.0, 0.199), (1.0, -2.0)])
    ends, source, _ = capacity.measured([cycles], ENDS, [])
    assert ends.capacity_Ah == pytest.approx(1.99, rel=0.01)
    assert "discharge of 10.0 h" in source


def test_a_sensor_that_shows_something_at_rest_hides_no_end_of_discharge() -> None:
    ends, source, _ = capacity.measured([run([(1.0, -2.0), (3.0, -0.003)])], ENDS, [])
    assert ends.capacity_Ah == pytest.approx(59 / 60 * 2.0 + 0.009, rel=1e-6)  # the first row of a run carries nothing
    assert "discharge of 1.0 h" in source


def test_warm_discharge_beats_a_slower_cold_one() -> None:
    cold, warm = run([(20.0, -0.1)], temp_degC=-10.0), run([(2.0, -0.99)])
    ends, source, _ = capacity.measured([cold, warm], ENDS, [])
    assert "25 degC" in source
    assert ends.capacity_Ah == pytest.approx(1.98, rel=0.03)


def test_a_full_charge_counts_where_nothing_is_discharged() -> None:
    warnings: list[str] = []
    ends, _, sigma = capacity.measured([run([(1.0, 0.0), (4.0, 0.5)], start=0.0)], ENDS, warnings)
    assert ends.capacity_Ah == pytest.approx(2.0, rel=0.01)
    assert sigma > 1.2 * capacity.FAST
    assert "charge" in warnings[0]


def test_pulses_tell_no_capacity() -> None:
    with pytest.raises(LabError, match="--capacity-Ah"):
        capacity.measured([run([(0.1, 0.0), (0.1, -1.0), (0.1, 0.0)], start=0.5)], ENDS, [])


def test_a_rest_that_drifts_behind_the_discharge_hides_nothing() -> None:
    """A tester's offset turns the charge's lowest point into the end of the rest, where the voltage has come back."""
    whole = run([(0.1, 0.0), (2.0, -0.99), (0.5, -0.002)])
    behind = whole.time_s > 2.1 * 3600.0
    whole.voltage[behind] += 0.5
    leg = next(capacity.full_legs(whole, ENDS))
    assert leg.charge_Ah == pytest.approx(1.98, rel=0.01)
    assert leg.falls


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
    milli = replace(whole, current=1e3 * whole.current, charge_Ah=1e3 * whole.charge_Ah)
    with pytest.raises(LabError, match="name the column _mA"):
        capacity.measured([milli], Ends(4.2, 3.0, 2e3), [])


def test_a_capacity_from_the_cold_is_told() -> None:
    warnings: list[str] = []
    capacity.measured([run([(2.0, -0.99)], temp_degC=-10.0)], ENDS, warnings)
    assert any("no full leg near 25 degC" in text and "-10 degC" in text for text in warnings)
    warm: list[str] = []
    capacity.measured([run([(2.0, -0.99)])], ENDS, warm)
    assert not any("near 25 degC" in text for text in warm)


def like_a_cell(made: Run, empty: float = 0.0) -> Run:
    """The run with the curve of an NMC cell, which rests at `empty` of its charge where the made one is at nothing."""
    soc = empty + (1.0 - empty) * (made.voltage - 3.0) / 1.2
    grid = np.r_[usual.SOC, 1.0]
    return replace(made, voltage=np.interp(soc, grid, np.r_[usual.volts(4.2, 2.5), 4.2]))


def test_what_a_discharge_leaves_is_added_and_widens_sigma() -> None:
    """2 Ah down to a rest that leaves 0, 1, 10, 30 % of the charge in an NMC cell; below LEFT nothing is added."""
    found = {}
    for left in (0.0, 0.01, 0.1, 0.3):
        made = like_a_cell(run([(0.5, 0.0), (1.0, -2.0), (0.5, 0.0)]), left)
        warnings: list[str] = []
        ends, _, sigma = capacity.measured([made], Ends(4.2, float(made.voltage.min()), 2.0), warnings)
        found[left] = ends.capacity_Ah, sigma, any("--capacity-Ah" in w and "does not empty" in w for w in warnings)
    assert [named for _, _, named in found.values()] == [False, False, True, True]
    assert [ah for ah, _, _ in found.values()] == pytest.approx([2.0, 2.0, 2.0 / 0.9, 2.0 / 0.7], rel=0.02)
    sigmas = [sigma for _, sigma, _ in found.values()]
    assert sigmas == sorted(sigmas)
    assert sigmas[0] == pytest.approx(capacity.FAST, rel=0.01)
    assert sigmas[3] > 0.2


def test_a_discharge_that_leaves_half_tells_no_capacity() -> None:
    made = like_a_cell(run([(0.5, 0.0), (1.0, -2.0), (0.5, 0.0)]), 0.5)
    with pytest.raises(LabError, match="--capacity-Ah"):
        capacity.measured([made], Ends(4.2, float(made.voltage.min()), 2.0), [])


def test_a_slow_leg_with_a_knee_is_sure_whatever_its_last_voltage() -> None:
    slow = run([(10.0, -0.2)])
    knee = replace(slow, voltage=slow.voltage + 0.4 - 0.5 * np.clip(-slow.charge_Ah - 1.9, 0.0, None) / 0.1)
    for made, sure in ((knee, True), (replace(slow, voltage=slow.voltage + 0.4), False)):
        top = float(made.voltage.max())
        ends, _, sigma = capacity.measured([made], Ends(top, float(made.voltage.min()), 2.0), [])
        assert (sigma == pytest.approx(capacity.SURE), ends.capacity_Ah < 2.01) == (sure, sure)


def test_a_given_capacity_that_a_slow_leg_contradicts_is_told() -> None:
    slow = run([(10.0, -0.2)])
    for given, told in ((2.0, False), (2.03, False), (2.1, True), (1.9, True)):
        warnings: list[str] = []
        sigma = capacity.sigma_of_given([slow], Ends(4.2, 3.0, given), warnings)
        assert ["--capacity-Ah" in w for w in warnings] == [True] * told
        assert (sigma > capacity.SURE) == told


@pytest.mark.parametrize("rate", ["0c5", "2c"])
def test_a_sodium_cell_that_is_not_emptied_counts_what_its_class_has_left(rate: str) -> None:
    """Measured discharges of 1.59 Ah (0.5C, down to 1.5 V), cut at 2.2 V under load: where NMC would be long empty."""
    [whole] = read(HAKADI / f"static_test_{rate}-1-1.parquet")
    rows = slice(0, int(np.argmax((whole.voltage < 2.2) & (whole.current < -0.1))))
    made = replace(whole, **{key: getattr(whole, key)[rows] for key in COLUMNS})
    ends, _, sigma = capacity.measured([made], ends_of([made], None), [])
    assert ends.capacity_Ah == pytest.approx(1.586, rel=0.04)
    assert sigma > capacity.FAST


@pytest.mark.parametrize("times", [1.0 / 60.0, 1000.0])
def test_time_in_another_unit_shows_in_resistance_times_capacity(times: float) -> None:
    """50 mohm and 2 Ah in 4 h; the same rows as minutes make 0.033 Ah, as milliseconds 2 000."""
    made = run([(0.2, -0.5), (0.2, 0.0)] * 20)
    fast = {name: np.repeat(getattr(made, name), 4) for name in COLUMNS[1:]}
    ohmic = replace(made, time_s=15.0 * np.arange(4.0 * made.time_s.size), **fast)
    ohmic = replace(ohmic, voltage=ohmic.voltage + 0.05 * ohmic.current)
    assert capacity.measured([ohmic], ENDS, [])[0].capacity_Ah == pytest.approx(2.0, rel=0.1)
    wrong = replace(ohmic, time_s=times * ohmic.time_s, charge_Ah=times * ohmic.charge_Ah)
    with pytest.raises(LabError, match="more than any cell holds" if times > 1.0 else "no cell is like that"):
        capacity.measured([wrong], replace(ENDS, capacity_Ah=times * 2.0), [])


def test_a_slow_cycle_in_minutes_shows_in_how_near_its_legs_lie() -> None:
    """C/20 with 0.3 ohm Ah and no step in it: as seconds the rows make 3C, 5 mohm Ah."""
    made = run([(20.0, -0.1), (20.0, 0.1)])
    slow = replace(made, voltage=made.voltage + 0.15 * made.current)
    assert capacity.measured([slow], ENDS, [])[0].capacity_Ah == pytest.approx(2.0, rel=0.01)
    wrong = replace(slow, time_s=slow.time_s / 60.0, charge_Ah=slow.charge_Ah / 60.0)
    with pytest.raises(LabError, match="no cell is like that"):
        capacity.measured([wrong], replace(ENDS, capacity_Ah=2.0 / 60.0), [])


def test_a_slow_discharge_counts_beside_loads_that_go_lower() -> None:
    """Ended at 2.8 V with its knee, while a cold drive of the same cell went down to 2.4 V."""
    slow = run([(10.0, -0.2)])
    slow = replace(slow, voltage=slow.voltage + 0.4 - 0.6 * np.clip(-slow.charge_Ah - 1.9, 0.0, None) / 0.1)
    drive = run([(0.5, -2.0)], temp_degC=-20.0)
    ends, source, sigma = capacity.measured([drive, slow], Ends(4.6, 2.4, 2.0), [])
    assert ends.capacity_Ah == pytest.approx(2.0, rel=0.01)
    assert ("made" in source, sigma) == (True, pytest.approx(capacity.SURE))


def test_a_discharge_that_begins_under_load_begins_full() -> None:
    """No row of rest before 1C: 4.1 V of a cell whose drives begin at 4.24 V, rested."""
    loaded = run([(1.0, -2.0)])
    loaded = replace(loaded, voltage=loaded.voltage - 0.1)
    assert len(list(capacity.full_legs(loaded, Ends(4.24, 2.9, 2.0)))) == 1
    assert not list(capacity.full_legs(run([(1.0, -2.0)], start=0.8), Ends(4.24, 2.75, 2.0)))


def test_a_slow_discharge_in_the_cold_leaves_what_it_usually_leaves() -> None:
    found = {}
    for degC in (25.0, 5.0, -15.0):
        slow = run([(10.0, -0.2)], temp_degC=degC)
        slow = replace(slow, voltage=slow.voltage + 0.4 - 0.6 * np.clip(-slow.charge_Ah - 1.9, 0.0, None) / 0.1)
        ends, _, sigma = capacity.measured([slow], Ends(4.6, 2.8, 2.0), [])
        found[degC] = ends.capacity_Ah / 2.0, sigma
    assert [ah for ah, _ in found.values()] == pytest.approx([1.0, 1.04, 1.10], abs=0.01)
    assert [sigma for _, sigma in found.values()] == pytest.approx([0.02, 0.05, 0.10], abs=0.01)


def test_slow_discharges_of_two_cells_are_told() -> None:
    one = run([(10.0, -0.2)])
    one = replace(one, voltage=one.voltage + 0.4 - 0.6 * np.clip(-one.charge_Ah - 1.9, 0.0, None) / 0.1)
    for times, told in ((1.02, False), (1.08, True)):
        other = replace(one, label="other#1", current=times * one.current, charge_Ah=times * one.charge_Ah)
        warnings: list[str] = []
        capacity.measured([one, other], Ends(4.6, 2.8, 2.0 * times), warnings)
        assert [("made#1" in w, "other#1" in w) for w in warnings if "two cells" in w] == [(True, True)] * told


def test_a_swing_with_gaps_in_which_charge_flowed_tells_no_capacity() -> None:
    part = run([(0.5, -2.0), (0.1, 0.0)])
    capacity.measured([part], replace(ENDS, empty_V=3.3), [])
    with pytest.raises(LabError, match="gaps in which charge flowed"):
        capacity.measured([replace(part, cut=True)], replace(ENDS, empty_V=3.3), [])


LMO = (3.2, 3.69, 3.92, 3.99, 4.09, 4.18)  # V at SOC 0, 10, 50, 70, 90, 100 %: a measured cell, rounded


@pytest.mark.parametrize("rested", [LMO, (2.8, 3.3, 3.73, 3.92, 4.08, 4.18)])
@pytest.mark.parametrize("hours", [0.33, 1.0])
def test_an_lmo_cell_is_told_by_the_discharge_alone(rested: tuple[float, ...], hours: float) -> None:
    """2 Ah with 60 mohm, 3C and 1C, 4 % left: as NMC the LMO cell would have 15 %."""
    made = run([(hours, -2.0 / hours)])
    soc = 1.0 - 0.96 * made.charge_Ah / made.charge_Ah[-1]
    volts = np.interp(soc, [0.0, 0.1, 0.5, 0.7, 0.9, 1.0], rested) + 0.06 * made.current
    leg = next(capacity.full_legs(replace(made, voltage=volts), Ends(4.18, float(volts.min()), 2.0)))
    assert leg.capacity_Ah == pytest.approx(-made.charge_Ah[-1] / 0.96, rel=0.05)


def test_half_a_discharge_of_nmc_is_none_of_lmo() -> None:
    made = like_a_cell(run([(1.0, -2.0)]), 0.5)
    assert not usual.is_spinel(-made.charge_Ah / 2.0, made.voltage, 25.0)


def test_a_lithium_cell_that_was_taken_to_2_V_is_none_of_sodium() -> None:
    """As the cells of NASA's ageing set are: full at 4.2 V, emptied down to 2.0 V under load."""
    assert usual.left(3.29, 4.2, 2.0) == usual.left(3.29, 4.2, 2.7) < 0.1 < usual.left(3.29, 4.1, 2.0)
