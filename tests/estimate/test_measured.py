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
