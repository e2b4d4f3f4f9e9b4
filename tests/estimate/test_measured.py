"""Measured drive cycles through the shipped cell file: starts from full, starts in the middle of a drive."""

from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from cellarer.cells import load
from cellarer.core import estimate

HERE = Path(__file__).resolve().parents[2] / "data" / "panasonic_18650pf" / "drive"
MODEL = load("panasonic_18650pf").model
Q = MODEL.capacity_Ah


def run(name: str, begin: float, soc0: float, sigma0: float) -> tuple[np.ndarray, np.ndarray]:
    """Error and sigma from 600 s on, when the recording is entered at `begin` of SOC with soc0 off the truth."""
    table = parquet.read_table(HERE / f"{name}.parquet")
    t, i, v, temp, ah = (
        table[c].to_numpy().astype(float)
        for c in ("time_s", "current_A", "voltage_V", "temperature_degC", "ah_reference")
    )
    truth = 1.0 + ah / Q
    rows = slice(int(np.argmax(truth <= begin)), None)
    cfg = estimate.compile_cells([MODEL], np.zeros(1, int), np.array([Q]), np.ones(1), learn_C=estimate.RECORDED_C)
    state = estimate.init(cfg, np.array([truth[rows][0] + soc0]), np.array([sigma0]))
    dt = np.diff(t[rows], prepend=t[rows][0])
    _, soc, sigma = estimate.run_block(cfg, state, v[rows, None], i[rows, None], temp[rows, None], dt)
    late = t[rows] - t[rows][0] > 600.0
    return soc[late, 0] - truth[rows][late], sigma[late, 0]


@pytest.mark.parametrize(
    ("name", "exact", "low"),
    [("25degC_US06", 0.010, 0.011), ("0degC_US06", 0.013, 0.020), ("n20degC_US06", 0.025, 0.04)],
)
def test_drive_from_full(name: str, exact: float, low: float) -> None:
    error, sigma = run(name, 1.0, 0.0, 0.1)
    assert np.sqrt(np.mean(error**2)) < exact
    assert (np.abs(error) < 2.0 * sigma).mean() > 0.9
    error, _ = run(name, 1.0, -0.2, 0.1)
    assert np.sqrt(np.mean(error**2)) < low


@pytest.mark.parametrize("name", ["25degC_US06", "0degC_US06"])
def test_start_in_the_middle_of_a_drive_is_not_taken_for_a_rest(name: str) -> None:
    error, sigma = run(name, 0.7, np.nan, np.nan)
    assert (np.abs(error) < 2.0 * sigma).mean() > 0.9
    assert np.abs(error).max() < 0.06


@pytest.mark.parametrize(
    "name", ["0degC_C20DisCh_585", "10degC_C20DisCh_575", "25degC_C20DisCh_549", "n20degC_C20DisCh_607"]
)
def test_what_a_cold_cell_keeps_at_a_small_current_is_inside_two_sigma_of_its_energy(name: str) -> None:
    """Told from half of the way on; really: what came out until the lower voltage (5 to 10 % of the charge stays)."""
    table, cell = parquet.read_table(HERE.parents[1] / "lg_18650hg2" / f"{name}.parquet"), load("lg_18650hg2")
    t, i, v, degC, ah = (
        table[c].to_numpy().astype(float)
        for c in ("time_s", "current_A", "voltage_V", "temperature_degC", "ah_reference")
    )
    q, flows = cell.model.capacity_Ah, np.flatnonzero(i < -0.02 * cell.model.capacity_Ah)
    end = int(flows[np.argmax(v[flows] < float(cell.limits.voltage_min[1]))])
    half = (int(flows[0]) + end) // 2
    cfg = estimate.compile_cells([cell.model], np.zeros(1, int), np.array([q]), np.ones(1))
    state = estimate.init(cfg, np.array([1.0 + (ah[half] - ah[0]) / q]), np.array([0.01]))
    state = estimate.step(cfg, state, np.full(1, np.nan), i[[half]], degC[[half]], 0.0)
    said = estimate.energy(cfg, state, [cell.limits], i[[half]])
    really = -np.sum(i[half:end] * v[half:end] * np.diff(t[half : end + 1])) / 3600.0
    by_soc = 0.01 * q * said.energy_Wh / said.charge_Ah
    assert abs(said.energy_Wh - really) < 2.0 * np.hypot(said.doubt_Wh, by_soc)
