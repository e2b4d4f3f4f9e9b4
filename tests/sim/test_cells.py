"""A single cell against what can be reckoned by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.sim.world import CAPACITY_AH, OCV0, R0, R1, R2, TAU1, TAU2, members, model

from cellarer.sim.cells import KELVIN, exchange_factor
from cellarer.sim.tables import BEYOND, COLUMNS, ROWS, SOC_STEPS, compile_tables, look

WARM = np.array([25.0])


def drive(cells, current: float, seconds: float, h: float) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """Put a constant current through; return heat and energy at the terminals in J."""
    heat = energy = 0.0
    for _ in range(round(seconds / h)):
        step = cells.begin(h, WARM)
        i = np.full_like(cells.soc, current)
        energy += float((step.emf + step.ohm * i)[0]) * current * h
        heat += float(cells.finish(step, i, h, WARM)[0]) * h
        cells.refresh(WARM)
    return heat, energy


@pytest.mark.parametrize("h", [0.001, 0.1, 1.0, 10.0])
def test_a_current_step_follows_the_analytic_curve_at_any_step(h: float) -> None:
    cells = members()
    drive(cells, 5.0, 20.0, h)
    emf, r0 = cells.now(cells.begin(h, WARM))
    soc = 0.5 + 5.0 * 20.0 / (3600.0 * CAPACITY_AH)
    expected = OCV0 + soc + 5.0 * (R0 + R1 * (1 - np.exp(-20.0 / TAU1)) + R2 * (1 - np.exp(-20.0 / TAU2)))
    assert cells.soc[0] == pytest.approx(soc, abs=1e-12)
    assert emf[0] + r0[0] * 5.0 == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("h", [0.1, 1.0, 60.0])
def test_terminal_energy_is_stored_energy_and_heat(h: float) -> None:
    cells = members()
    heat, energy = drive(cells, -10.0, 600.0, h)
    moved = cells.soc[0] - 0.5
    stored = CAPACITY_AH * 3600.0 * (OCV0 * moved + (cells.soc[0] ** 2 - 0.25) / 2.0)
    assert moved == pytest.approx(-10.0 * 600.0 / 3600.0 / CAPACITY_AH, rel=1e-12)
    assert heat > 0.0
    assert energy == pytest.approx(stored + heat, rel=1e-9)


def test_entropy_heats_while_charging_when_the_voltage_rises_with_temperature() -> None:
    cells, plain = members(cell=model(entropy=2e-4)), members()
    more = drive(cells, 5.0, 100.0, 1.0)[0] - drive(plain, 5.0, 100.0, 1.0)[0]
    assert more == pytest.approx(5.0 * 100.0 * (25.0 + KELVIN) * 2e-4, rel=1e-9)


def test_hysteresis_goes_to_the_branch_of_the_current() -> None:
    cells = members(cell=model(hysteresis=0.02))
    drive(cells, 5.0, 600.0, 1.0)
    moved = 5.0 * 600.0 / 3600.0 / CAPACITY_AH
    assert cells.hysteresis[0] == pytest.approx(1.0 - np.exp(-30.0 * moved), rel=1e-9)
    up = cells.now(cells.begin(1.0, WARM))[0][0]
    drive(cells, -5.0, 600.0, 1.0)
    assert cells.hysteresis[0] < 0.0 < up


def test_resistance_falls_with_current_as_the_exchange_current_says() -> None:
    assert exchange_factor(np.array([0.0]), np.array([3.0]))[0] == pytest.approx(1.0, abs=1e-9)
    assert exchange_factor(np.array([-6.0]), np.array([3.0]))[0] == pytest.approx(np.arcsinh(2.0) / 2.0)
    assert exchange_factor(np.array([6.0]), np.array([1e9]))[0] == pytest.approx(1.0, abs=1e-12)


def test_self_discharge_loses_the_said_share_in_a_month_and_twice_as_much_ten_degrees_warmer() -> None:
    lost = []
    for degC in (25.0, 35.0):
        cells = members()
        cells.leak_A = np.array([0.03 * CAPACITY_AH * 3600.0 / (30.44 * 86400.0)])
        core = np.array([degC])
        for _ in range(24 * 60):
            step = cells.begin(60.0, core)
            cells.finish(step, np.zeros(1), 60.0, core)
            cells.refresh(core)
        lost.append(0.5 - cells.soc[0])
    assert lost[0] == pytest.approx(0.03 / 30.44, rel=1e-9)
    assert lost[1] == pytest.approx(2.0 * lost[0], rel=1e-9)


def test_tables_give_back_the_cell_file_and_run_on_steeply_beyond_it() -> None:
    tables = compile_tables([model()])
    assert tables.by_soc.shape == (6, ROWS * COLUMNS)
    kind, at = np.zeros(4, np.int64), np.array([0.0, 0.37, 1.0, 1.0 + BEYOND / SOC_STEPS])
    seen = look(tables, kind, at, np.full(4, 25.0))
    assert seen.ocv[:3] == pytest.approx(OCV0 + at[:3], abs=1e-12)
    assert seen.ocv[3] > OCV0 + 1.0 + 0.3
    assert seen.slope[1] == pytest.approx(1.0)
    assert look(tables, kind, at - 9.0, np.full(4, -99.0)).ocv == pytest.approx(np.full(4, seen.ocv[0] - 1.5), abs=0.2)


def test_colder_than_the_coldest_row_resistance_goes_on_rising() -> None:
    cell = model()
    cell.r0[0] *= 3.0
    tables = compile_tables([cell])
    r0 = [look(tables, np.zeros(1, np.int64), np.array([0.5]), np.array([t])).r0[0] for t in (-20.0, 0.0, 20.0, 40.0)]
    assert r0[0] > r0[1] > r0[2] > r0[3]
    assert r0[1] == pytest.approx(3.0 * R0, rel=1e-6)
