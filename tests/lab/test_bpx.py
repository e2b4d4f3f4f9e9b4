"""BPX: the full cell's curve from electrodes, experiments as runs, cells written as the package `bpx` accepts them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from cellarer.cells import load
from cellarer.lab import bpx
from cellarer.lab.error import LabError
from cellarer.lab.given import given_curve
from cellarer.lab.readers import read, read_noting

ELECTRODES = {
    "Negative electrode": {"Minimum stoichiometry": 0.1, "Maximum stoichiometry": 0.9,
                           "OCP [V]": "0.1 + 0.2*exp(-5*x)"},
    "Positive electrode": {"Minimum stoichiometry": 0.2, "Maximum stoichiometry": 1.0,
                           "OCP [V]": {"x": [0.2, 1.0], "y": [4.4, 3.4]}},
}  # fmt: skip
CELL = {"Nominal cell capacity [A.h]": 5.0, "Lower voltage cut-off [V]": 2.5, "Upper voltage cut-off [V]": 4.2,
        "Reference temperature [K]": 298.15}  # fmt: skip


def written(tmp_path: Path, parameterisation: dict, validation: dict | None = None) -> Path:
    path = tmp_path / "cell.json"
    tree = {"Header": {"BPX": "1.1.0", "Title": "made"}, "Parameterisation": parameterisation}
    path.write_text(json.dumps(tree | ({"Validation": validation} if validation else {})))
    return path


def test_curve_is_positive_less_negative_electrode(tmp_path: Path) -> None:
    found = bpx.read(written(tmp_path, {"Cell": CELL} | ELECTRODES))
    for z in (0.0, 0.3, 1.0):
        up = 4.4 - (1.0 - 0.8 * z - 0.2) / 0.8
        down = 0.1 + 0.2 * np.exp(-5.0 * (0.1 + 0.8 * z))
        assert np.interp(z, found.soc, found.ocv) == pytest.approx(up - down, abs=1e-4)
    assert (found.capacity_Ah, found.temp_degC) == (5.0, pytest.approx(25.0))
    assert np.isnan(found.half_gap).all()


def test_branches_become_hysteresis(tmp_path: Path) -> None:
    """Lithium enters the negative electrode at a lower potential: charging is higher by that."""
    electrodes = json.loads(json.dumps(ELECTRODES))
    electrodes["Negative electrode"]["OCP (lithiation) [V]"] = 0.10
    electrodes["Negative electrode"]["OCP (delithiation) [V]"] = 0.14
    found = bpx.read(written(tmp_path, electrodes))
    assert found.half_gap == pytest.approx(np.full_like(found.soc, 0.02))


@pytest.mark.parametrize("text", ["__import__('os')", "x.real", "open(x)", "x if x else 1", "1 +", "y", "x @ x"])
def test_expressions_do_nothing_but_arithmetic(tmp_path: Path, text: str) -> None:
    electrodes = json.loads(json.dumps(ELECTRODES))
    electrodes["Negative electrode"]["OCP [V]"] = text
    with pytest.raises(LabError, match="expression of x"):
        bpx.read(written(tmp_path, electrodes))


def test_a_steep_knee_of_the_negative_electrode_is_kept(tmp_path: Path) -> None:
    """As in the published NMC pouch cell: sampled by per cent the curve was 39 mV off between 0 and 1 %."""
    electrodes = json.loads(json.dumps(ELECTRODES))
    electrodes["Negative electrode"] |= {"Minimum stoichiometry": 0.005, "OCP [V]": "0.1 + 0.9*exp(-160*x)"}
    curve = given_curve(written(tmp_path, electrodes))
    soc = np.linspace(0.0, 1.0, len(curve.ocv))
    exact = 3.4 + soc - 0.1 - 0.9 * np.exp(-160.0 * (0.005 + 0.895 * soc))
    assert curve.ocv == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize(
    ("where", "value", "says"),
    [
        ("Negative electrode/Minimum stoichiometry", "low", "Minimum stoichiometry: found 'low'"),
        ("Negative electrode/Minimum stoichiometry", 0.95, "0 <= minimum < maximum <= 1"),
        ("Negative electrode/OCP [V]", None, "no OCP"),
        ("Positive electrode/OCP [V]", {"x": [0.1, 0.9], "y": [4.0]}, "2 x and 1 y"),
        ("Positive electrode/OCP [V]", {"x": ["a", "b"], "y": [4.0, 3.0]}, "list of numbers"),
        ("Positive electrode/OCP [V]", "1/(x-x)", "full cell of inf V"),
        ("Positive electrode/OCP [V]", "1000*(5 - x)", "V at SOC 0 %"),
        ("Positive electrode/OCP [V]", "3 + x", "falls by"),
        ("Cell/Nominal cell capacity [A.h]", "5 Ah", "found '5 Ah'"),
        ("Cell", [], "Cell: found"),
    ],
)
def test_what_no_bpx_file_can_hold_is_named(tmp_path: Path, where: str, value: object, says: str) -> None:
    tree = json.loads(json.dumps({"Cell": CELL} | ELECTRODES))
    section, _, key = where.partition("/")
    (tree[section] if key else tree)[key or section] = value
    with pytest.raises(LabError, match=re.escape(says)):
        bpx.read(written(tmp_path, tree))


@pytest.mark.parametrize(
    ("columns", "says"), [(None, "no Time [s]"), ({"Time [s]": [0, 1]}, "2 of Time"), ({"Time [s]": "a"}, "list")]
)
def test_experiments_that_are_none_are_named(tmp_path: Path, columns: dict | None, says: str) -> None:
    part = None if columns is None else {"Time [s]": [0], "Current [A]": [0], "Voltage [V]": [4.0]} | columns
    with pytest.raises(LabError, match=re.escape(says)):
        bpx.read(written(tmp_path, {"Cell": CELL} | ELECTRODES, {"odd": part}))


def test_blend_and_foreign_json_are_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="a blend"):
        bpx.read(written(tmp_path, {"Negative electrode": {"Particle": {}}}))
    path = tmp_path / "other.json"
    path.write_text("[1, 2]")
    with pytest.raises(LabError, match="BPX"):
        bpx.read(path)


def test_experiments_are_runs(tmp_path: Path) -> None:
    t = np.arange(0.0, 600.0, 10.0)
    part = {"Time [s]": t.tolist(), "Current [A]": np.full(60, -5.0).tolist(),
            "Temperature [K]": np.full(60, 298.15).tolist(), "Voltage [V]": (4.2 - t / 1e3).tolist()}  # fmt: skip
    runs = read(written(tmp_path, {"Cell": CELL} | ELECTRODES, {"1C": part, "C/2": part}))
    assert len(runs) == 2
    assert runs[1].temp_degC == pytest.approx(np.full(60, 25.0))
    assert runs[1].charge_Ah[-1] == pytest.approx(-5.0 * 590.0 / 3600.0)


@pytest.mark.parametrize("name", ["a123_26650", "panasonic_18650pf"])
def test_written_cell_is_read_back(tmp_path: Path, name: str) -> None:
    path, cell = tmp_path / "cell.json", load(name)
    bpx.write(path, cell)
    curve = given_curve(path)
    near = int(np.argmin(np.abs(cell.model.temp_degC - 25.0)))
    grid = np.linspace(0.0, 1.0, cell.model.ocv.shape[1])
    soc = np.linspace(0.0, 1.0, len(curve.ocv))
    inner = (soc > 0.05) & (soc < 0.95)
    assert np.abs(curve.ocv - np.interp(soc, grid, cell.model.ocv[near]))[inner].max() < 0.005
    assert curve.measured_gap
    assert bpx.read(path).capacity_Ah == cell.model.capacity_Ah


@pytest.mark.needs("bpx")
def test_written_cell_is_what_the_package_accepts(tmp_path: Path) -> None:
    import bpx as package

    path = tmp_path / "cell.json"
    bpx.write(path, load("lfp_280ah"))
    accepted = package.parse_bpx_file(path)
    assert accepted.header.model == "Partial"


def test_recording_goes_to_battery_data_format_and_back(tmp_path: Path) -> None:
    from cellarer.lab.convert import convert

    source = Path(__file__).resolve().parents[2] / "data" / "examples" / "panasonic_us06.csv"
    there, back = tmp_path / "x.bdf.csv", tmp_path / "x.csv"
    convert(source, there)
    convert(there, back)
    first, last = read_noting(source).runs[0], read_noting(back).runs[0]
    for column in ("time_s", "current", "voltage", "temp_degC"):
        assert np.allclose(getattr(first, column), getattr(last, column))
    assert there.read_text().startswith("Test Time / s,Current / A,Voltage / V")


def test_unknown_target_says_what_may_be(tmp_path: Path) -> None:
    from cellarer.lab.convert import convert

    with pytest.raises(LabError, match="bdf"):
        convert(tmp_path / "a.csv", tmp_path / "b.xlsx")
