"""Sigma of SOC says what the filter cannot see: a wrong capacity, coarse rows, lost and late currents."""

from dataclasses import replace

import numpy as np
import pytest

from cellarer.cells import load
from cellarer.core import estimate
from cellarer.core.estimate.state import get

MODEL = load("panasonic_18650pf").model


def cells(n: int, believed: float = 1.0) -> estimate.EstimatorConfig:
    """Cells of one kind whose capacity is believed to be so many times the truth, 3 Ah."""
    return estimate.compile_cells([MODEL], np.zeros(n, int), np.full(n, 3.0 * believed), np.ones(n))


def test_wrong_capacity_is_inside_sigma_while_voltage_is_silent() -> None:
    cfg = cells(1, 1.05)
    state = estimate.init(cfg, np.ones(1), np.full(1, 0.005), capacity_sigma_Ah=np.full(1, 0.05 * 3.15))
    truth = 1.0
    for row in range(90):
        dt = 30.0 if row else 0.0
        state = estimate.step(cfg, state, np.full(1, np.nan), np.full(1, -3.0), np.full(1, 25.0), dt)
        truth -= dt / 3600.0
    error = estimate.soc(cfg, state) - truth
    assert error == pytest.approx(0.05 / 1.05 * (1.0 - truth), rel=1e-6)
    sigma = estimate.soc_sigma(cfg, state)
    assert error < sigma, "one sigma of 5 % must hold an error of 5 %"
    assert sigma < 1.6 * error


def test_what_flows_back_takes_the_doubt_with_it() -> None:
    cfg = cells(1)
    state = estimate.init(cfg, np.full(1, 0.9), np.full(1, 0.005), capacity_sigma_Ah=np.full(1, 0.15))
    widths = []
    for current in (-3.0, 3.0):
        for _ in range(60):
            state = estimate.step(cfg, state, np.full(1, np.nan), np.full(1, current), np.full(1, 25.0), 30.0)
        widths.append(abs(float(get(cfg, state, "react_q")[0])))
    assert widths[0] > 0.45
    assert widths[1] < 0.02


def test_full_touch_ends_the_doubt() -> None:
    cfg = cells(2)
    state = estimate.init(cfg, np.full(2, 0.5), np.full(2, 0.1))
    for _ in range(40):
        state = estimate.step(cfg, state, np.full(2, np.nan), np.full(2, 3.0), np.full(2, 25.0), 30.0)
    state = estimate.set_soc(cfg, state, np.array([1.0, np.nan]), 0.01)
    sigma = estimate.soc_sigma(cfg, state)
    assert sigma[0] == pytest.approx(0.01, rel=1e-9)
    assert sigma[1] > 0.05


def test_lost_current_counts_as_the_last_one_fading_away() -> None:
    cfg = cells(1)
    state = estimate.init(cfg, np.full(1, 0.5), np.full(1, 0.01))
    none = np.full(1, np.nan)
    state = estimate.step(cfg, state, none, np.full(1, 3.0), np.full(1, 25.0), 0.0)
    for n in range(600):
        state = estimate.step(cfg, state, none, none, np.full(1, 25.0), 1.0)
        if n == 0:
            assert estimate.soc(cfg, state) - 0.5 == pytest.approx(1.0 / 3600.0, rel=1e-6)
    assert estimate.soc(cfg, state) - 0.5 == pytest.approx(60.0 / 3600.0, rel=0.05), "a minute's worth, no more"


def test_where_no_resistance_was_measured_voltage_under_current_says_less_and_at_rest_as_much() -> None:
    """One cell file doubts its resistance below 10 degC by 30 %, the other was measured there."""
    measured = replace(MODEL, doubt_degC=np.array([25.0]), doubt=np.zeros(1))
    doubtful = replace(MODEL, doubt_degC=np.array([5.0, 10.0]), doubt=np.array([0.3, 0.0]))
    cfg = estimate.compile_cells([measured, doubtful], np.array([0, 1]), np.full(2, 3.0), np.ones(2))

    def ratio(current: float, temp_degC: float) -> float:
        """Sigma of the second cell over that of the first, after twenty minutes in which the model was right."""
        state = estimate.init(cfg, np.full(2, 0.9), np.full(2, 0.1))
        for row in range(120):
            volts = estimate.voltage_model(cfg, state) if row else np.full(2, np.nan)
            state = estimate.step(
                cfg, state, volts, np.full(2, current), np.full(2, temp_degC), 10.0 if row else 0.0
            )  # fmt: skip
        return float(np.divide(*estimate.soc_sigma(cfg, state)[::-1]))

    assert ratio(-3.0, 5.0) > 1.4, "counted once a minute, not once an hour, the doubt makes 1.33"
    assert ratio(-3.0, 25.0) == pytest.approx(1.0, abs=1e-9)
    assert ratio(0.0, 5.0) == pytest.approx(1.0, abs=0.02)


def test_at_rest_behind_a_drive_in_the_cold_voltage_says_less_than_at_rest_for_hours() -> None:
    """Rest of ten minutes, behind twenty of driving to and fro and behind rest; what the voltage tells, 1/sigma²."""
    cfg = cells(2)
    state = estimate.init(cfg, np.full(2, 0.6), np.full(2, 0.05))
    told = []
    for row in range(1800):
        amperes = np.array([0.0, 3.0 * (-1.0) ** (row // 30)]) * (row < 1200)
        volts = estimate.voltage_model(cfg, state) if row >= 1200 else np.full(2, np.nan)
        state = estimate.step(cfg, state, volts, amperes, np.full(2, -10.0), 1.0 if row else 0.0)
        told.append(1.0 / get(cfg, state, "p00"))
    rested, driven = told[-1] - told[1199]
    assert driven < 0.5 * rested


def test_rows_a_minute_apart_of_a_restless_current_are_doubted_and_of_a_steady_one_are_not() -> None:
    cfg = cells(2)
    state = estimate.init(cfg, np.full(2, 0.5), np.full(2, 0.005))
    none = np.full(2, np.nan)
    for row in range(40):
        amperes = np.array([-1.0, -1.0 + 4.0 * (-1.0) ** (row // 2)])
        state = estimate.step(cfg, state, none, amperes, np.full(2, 25.0), 60.0 if row else 0.0)
    sigma = estimate.soc_sigma(cfg, state)
    assert sigma[1] > 2.0 * sigma[0]


def test_voltage_counts_once_in_the_time_that_an_error_of_the_model_lasts_whatever_the_rows() -> None:
    """A quarter of 1 000 s is 250 s, of 200 s the least, a minute: 2 min of the quick cell are 8⅓ of the slow one."""
    kinds = [replace(MODEL, tau2=np.full_like(MODEL.tau2, tau2)) for tau2 in (200.0, 1000.0)]
    cfg = estimate.compile_cells(kinds, np.array([0, 1]), np.full(2, 3.0), np.ones(2))

    def sigma(cell: int, seconds: float, dt: float) -> float:
        state = estimate.init(cfg, np.full(2, 0.6), np.full(2, 0.05))
        state = estimate.step(cfg, state, np.full(2, np.nan), np.zeros(2), np.full(2, 25.0), 0.0)
        for _ in range(round(seconds / dt)):
            volts = estimate.voltage_model(cfg, state)
            state = estimate.step(cfg, state, volts, np.zeros(2), np.full(2, 25.0), dt)
        return float(estimate.soc_sigma(cfg, state)[cell])

    assert sigma(1, 500.0, 10.0) == pytest.approx(sigma(0, 120.0, 10.0), rel=0.1)
    assert sigma(1, 500.0, 10.0) > 2.0 * sigma(0, 500.0, 10.0)
    for dt in (1.0, 50.0):
        assert sigma(1, 500.0, dt) == pytest.approx(sigma(1, 500.0, 10.0), rel=0.05)
