"""The open-circuit curve from pulse tests: between and below the rests it follows what the cell showed under load."""

from dataclasses import replace

import numpy as np
import pytest

from cellarer.lab.curve import FELT_V, GRID, Curve, freed_of_hysteresis
from cellarer.lab.readers import Run
from cellarer.lab.rests import from_rests, rested, under_load
from cellarer.lab.sort import Ends, Sorted

Q = 2.0
OHM, SLOW_OHM, SLOW_S = 0.04, 0.03, 200.0
OCV = 3.4 + 0.7 * GRID + 0.03 * np.sin(25.0 * GRID) - 0.6 * np.exp(-GRID / 0.025) + 0.08 * np.exp((GRID - 1.0) / 0.02)
ENDS = Ends(4.2, 2.8, Q)


def pulse_test(first_rest_s: float, rest_s: float = 3600.0, every_s: float = 10.0) -> Sorted:
    """Ten discharges of 10 % at C/2 with rests between, a short pulse before each, from full; 2RC-like cell."""
    parts = [np.zeros(int(first_rest_s))]
    for _ in range(10):
        parts += [np.full(10, -Q), np.zeros(40), np.full(720, -0.5 * Q), np.zeros(int(rest_s))]
    current = np.concatenate(parts)
    charge = np.concatenate([[0.0], np.cumsum(current[:-1]) / 3600.0])
    slow = np.zeros_like(current)
    for k in range(1, len(current)):
        slow[k] = slow[k - 1] + (current[k - 1] - slow[k - 1]) / SLOW_S
    soc = 1.0 + charge / Q
    volts = np.interp(soc, GRID, OCV) + OHM * current + SLOW_OHM * slow
    whole = int(np.argmax(soc < 0.0)) if (soc < 0.0).any() else len(soc)
    rows = np.arange(0, whole, int(every_s))
    time = np.arange(len(current), dtype=float)
    run = Run("made", "made#1", time[rows], current[rows], volts[rows], np.full(len(rows), 25.0), charge[rows], False)
    return Sorted(run, "pulse", soc[rows], "full", 25.0)


@pytest.mark.parametrize("first_rest_s", [30.0, 900.0])
def test_pulse_tests_give_the_curve_between_their_rests_and_down_to_empty(first_rest_s: float) -> None:
    """A smooth line through rests 10 % apart was 20 to 140 mV off: flat above the highest, guessed below the lowest."""
    curve = from_rests([pulse_test(first_rest_s)], ENDS)
    assert curve is not None
    away = np.abs(curve.ocv - OCV)
    assert away[GRID > 0.03].max() < 0.012
    assert away[GRID > 0.01].max() < 0.04


def test_rested_points_are_whole_rests_only() -> None:
    points = rested(pulse_test(30.0), Q)
    assert len(points) >= 9
    assert max(soc for soc, _ in points) < 0.95  # half a minute at full is no rest
    for soc, volts in points[:-1]:
        assert volts == pytest.approx(float(np.interp(soc, GRID, OCV)), abs=0.002)


def test_what_was_hardly_seen_under_load_is_a_smooth_line_through_the_rests() -> None:
    item = pulse_test(900.0)
    item = replace(item, run=replace(item.run, current=np.where(item.run.current > -0.6 * Q, 0.0, item.run.current)))
    assert len(under_load(item, Q)) == 0


def test_a_flat_curve_seen_from_one_side_is_moved_to_the_middle() -> None:
    """Left on the branch of discharges, an LFP cell was 10 % off once it was charged."""
    half, rate = 0.012, 18.0
    middle = 3.3 + 0.1 * GRID
    falls = middle + half * (2.0 * np.exp(-rate * (1.0 - GRID)) - 1.0)
    none = np.zeros_like(GRID)
    for source, seen in (("slow discharge leg", falls), ("rests of pulse tests", falls),
                         ("slow charge leg, moved to rested points", falls),
                         ("slow charge leg", middle + half * (1.0 - 2.0 * np.exp(-rate * GRID)))):  # fmt: skip
        curve = freed_of_hysteresis(Curve(seen, none, 25.0, source, False), half, rate)
        assert np.abs(curve.ocv - middle).max() < 1e-9, source
    measured = Curve(falls, none, 25.0, "both slow legs", True)
    assert freed_of_hysteresis(measured, half, rate) is measured
    small = Curve(falls, none, 25.0, "slow discharge leg", False)
    assert freed_of_hysteresis(small, 0.5 * FELT_V, rate) is small
