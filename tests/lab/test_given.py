"""Curves that somebody gives: names and units that people write, and what no curve can be."""

from pathlib import Path

import numpy as np
import pytest

from cellarer.lab.curve import GRID
from cellarer.lab.error import LabError
from cellarer.lab.given import given_curve

SOC = np.linspace(0.0, 1.0, 21)
OCV = 3.0 + 1.1 * SOC + 0.05 * np.sin(9.0 * SOC)


def table(tmp_path: Path, names: str, *columns: np.ndarray, separator: str = ",") -> Path:
    path = tmp_path / "curve.csv"
    rows = (separator.join(f"{x:.5f}" for x in row) for row in zip(*columns, strict=True))
    path.write_text("\n".join([names, *rows]), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("names", "soc", "volts"),
    [
        ("soc_pct,ocv_V", 100.0 * SOC, OCV),
        ("SOC (%),OCV (V)", 100.0 * SOC, OCV),
        ("SOC,OCV", SOC, OCV),
        ("soc_percent,ocv_mV", 100.0 * SOC, 1e3 * OCV),
        ("State of charge [%],Voltage / V", 100.0 * SOC, OCV),
        ("dod_pct,ocv_V", 100.0 * (1.0 - SOC), OCV),
    ],
)
def test_names_and_units_that_people_write(tmp_path: Path, names: str, soc: np.ndarray, volts: np.ndarray) -> None:
    curve = given_curve(table(tmp_path, names, soc, volts))
    assert np.allclose(np.interp(SOC, GRID, curve.ocv), OCV, atol=0.002)
    assert np.allclose(given_curve(table(tmp_path, names, soc[::-1], volts[::-1])).ocv, curve.ocv)


def test_a_curve_goes_on_beyond_its_points_as_steep_as_before(tmp_path: Path) -> None:
    inside = (SOC > 0.08) & (SOC < 0.92)
    curve = given_curve(table(tmp_path, "soc_pct,ocv_V", 100.0 * SOC[inside], 3.0 + SOC[inside]))
    assert np.allclose(curve.ocv, 3.0 + GRID)


@pytest.mark.parametrize(
    ("names", "soc", "volts", "says"),
    [
        ("soc_pct,ocv_V", SOC, OCV, "fractions"),
        ("soc_pct,ocv_V", 1e4 * SOC, OCV, "0 to 100 per cent"),
        ("soc_pct,ocv_V", 100.0 * SOC, 1e3 * OCV, "millivolts"),
        ("soc_pct,ocv_V", 100.0 * SOC, OCV[::-1], "depth of discharge"),
        ("soc_pct,ocv_V", 25.0 + 45.0 * SOC, OCV, "points near both ends"),
        ("charge,ocv_V", 100.0 * SOC, OCV, "soc_pct and ocv_V"),
        ("soc_pct,energy", 100.0 * SOC, OCV, "soc_pct and ocv_V"),
    ],
)
def test_what_no_curve_can_be_is_refused(
    tmp_path: Path, names: str, soc: np.ndarray, volts: np.ndarray, says: str
) -> None:
    """A curve over depth of discharge had become a flat line, one of the middle alone a flat line at both ends."""
    with pytest.raises(LabError, match=says) as told:
        given_curve(table(tmp_path, names, soc, volts))
    assert "curve.csv" in str(told.value)
