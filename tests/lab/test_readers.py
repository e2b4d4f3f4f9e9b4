"""Bad laboratory files are recognised and named: sign, unit, columns, truncation; good ones are cut into runs."""

from pathlib import Path

import numpy as np
import pytest

from cellarer.lab.error import LabError
from cellarer.lab.readers import read, read_noting
from cellarer.lab.tables import TableError

HERE = Path(__file__).resolve().parents[2] / "data"


def written(tmp_path: Path, columns: dict[str, np.ndarray], name: str = "rec.csv") -> Path:
    """A CSV of these columns."""
    path = tmp_path / name
    rows = zip(*columns.values(), strict=True)
    path.write_text(
        ",".join(columns) + "\n" + "\n".join(",".join(f"{x:.6g}" for x in row) for row in rows), encoding="utf-8"
    )
    return path


def pulses(sign: float = 1.0, volts: float = 1.0, amperes: float = 1.0) -> dict[str, np.ndarray]:
    """Pulses of 2 A on 30 mohm."""
    t = np.arange(400.0)
    i = np.where((t // 20) % 2 == 0, 0.0, -2.0)
    return {"time_s": t, "current_A": sign * amperes * i, "voltage_V": volts * (3.7 + 0.03 * i)}


def test_a_good_file_is_read_with_its_charge(tmp_path: Path) -> None:
    run = read(written(tmp_path, pulses()))[0]
    assert run.charge_Ah[-1] == pytest.approx(-2.0 * 200.0 / 3600.0, rel=0.02)
    assert not run.counted
    assert (run.temp_degC == 25.0).all()


@pytest.mark.parametrize(
    ("factor", "says"), [(1.0, ""), (-1.0, "turned"), (1000.0, "mAh"), (-1000.0, "turned and"), (2.0, "")]
)
def test_a_counter_of_another_sign_or_unit_is_recognised(tmp_path: Path, factor: float, says: str) -> None:
    """It counts 2 % more than the current of the rows makes: what comes out tells which of the two was taken."""
    columns = pulses()
    own = np.concatenate([[0.0], np.cumsum(columns["current_A"][1:])]) / 3600.0
    columns["ah_reference"] = 1.02 * factor * own
    reading = read_noting(written(tmp_path, columns))
    assert reading.runs[0].counted
    assert reading.runs[0].charge_Ah[-1] == pytest.approx(1.02 * own[-1] * (2.0 if factor == 2.0 else 1.0), rel=1e-4)
    assert [says in note for note in reading.notes if "counter" in note] == [True] * bool(says)


def test_swapped_sign_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="sign is swapped"):
        read(written(tmp_path, pulses(sign=-1.0)))


def test_millivolts_are_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="millivolts"):
        read(written(tmp_path, pulses(volts=1000.0)))


def test_missing_column_is_named(tmp_path: Path) -> None:
    columns = pulses()
    del columns["voltage_V"]
    columns["x"] = columns["time_s"]
    with pytest.raises(LabError, match="voltage_V"):
        read(written(tmp_path, columns))


def test_truncated_parquet_is_named(tmp_path: Path) -> None:
    source = (HERE / "lg_18650hg2" / "25degC_Cap_1C_551.parquet").read_bytes()
    path = tmp_path / "cut.parquet"
    path.write_bytes(source[: len(source) // 2])
    with pytest.raises(TableError, match="whole Parquet"):
        read(path)


def test_time_that_goes_back_is_named(tmp_path: Path) -> None:
    columns = pulses()
    columns["time_s"] = columns["time_s"][::-1].copy()
    with pytest.raises(LabError, match="go back"):
        read(written(tmp_path, columns))


def noted(path: Path, what: str) -> bool:
    """Whether reading notes this, with the name of the file."""
    return any(what in note and path.name in note for note in read_noting(path).notes)


def test_single_rows_out_of_order_cost_no_run(tmp_path: Path) -> None:
    """A clock that is set back by a second is no new run: its state of charge would be lost."""
    columns = pulses()
    columns["time_s"][200:] -= 5.0
    path = written(tmp_path, columns)
    assert len(read(path)) == 1
    assert noted(path, "time goes back in 5 rows, first row 201")


def test_repeated_rows_are_counted(tmp_path: Path) -> None:
    columns = {name: np.repeat(values, 2) for name, values in pulses().items()}
    path = written(tmp_path, columns)
    assert len(read(path)[0].time_s) == 400
    assert noted(path, "time repeats in 400 rows, first row 2")


def test_blocks_without_numbers_are_placed(tmp_path: Path) -> None:
    columns = pulses()
    columns["voltage_V"][100:150] = np.nan
    columns["current_A"][7] = np.nan
    path = written(tmp_path, columns)
    assert len(read(path)[0].time_s) == 349
    assert noted(path, "51 of 400 rows without a number")
    assert noted(path, "rows 101 to 150")


def test_cut_csv_is_noted(tmp_path: Path) -> None:
    path = written(tmp_path, pulses())
    text = path.read_text()
    path.write_text(text[: text.rindex(",")])
    assert noted(path, "is the file whole")


@pytest.mark.parametrize(
    ("change", "name", "says"),
    [
        (lambda t: t * 0.0 + 298.0, "temperature_degC", "kelvin"),
        (lambda t: t * np.nan, "current_A", "no number"),
        (lambda t: t * 0.0 + 48.0, "voltage_V", "of one cell"),
        (lambda t: t * 0.0 + 9000.0, "current_A", "milliamperes"),
        (lambda t: 1801.0 * t, "time_s", "milliseconds"),
        (lambda t: t * 0.0 + 3.7, "voltage_V", "3.700 V in every row while current flows"),
    ],
)
def test_what_no_cell_can_be_is_refused(tmp_path: Path, change, name: str, says: str) -> None:
    columns = pulses() | {"temperature_degC": np.full(400, 25.0)}
    columns[name] = change(columns[name])
    with pytest.raises(LabError, match=says):
        read(written(tmp_path, columns))


def test_fahrenheit_is_suspected_and_converted_where_named(tmp_path: Path) -> None:
    warm = pulses() | {"temperature_degC": np.full(400, 77.0)}
    assert noted(written(tmp_path, warm), "Fahrenheit")
    named = pulses() | {"temperature [F]": np.full(400, 77.0)}
    assert read(written(tmp_path, named))[0].temp_degC[0] == pytest.approx(25.0)


def test_swapped_sign_shows_without_steps_too(tmp_path: Path) -> None:
    t = np.arange(400.0)
    columns = {"time_s": t, "current_A": np.full(400, 2.0), "voltage_V": 4.2 - t / 400.0}
    with pytest.raises(LabError, match="sign is swapped"):
        read(written(tmp_path, columns))


def test_current_without_any_sign_is_refused(tmp_path: Path) -> None:
    """Taken as it is, the capacity of a discharge and the charge behind it would be the sum of both."""
    t = np.arange(800.0)
    volts = np.where(t < 400.0, 4.2 - t / 400.0, 3.2 + (t - 400.0) / 400.0)
    columns = {"time_s": t, "current_A": np.where(t % 400.0 < 10.0, 0.0, 2.0), "voltage_V": volts}
    with pytest.raises(LabError, match="never below zero"):
        read(written(tmp_path, columns))


def test_assumed_temperature_is_said(tmp_path: Path) -> None:
    assert noted(written(tmp_path, pulses()), "25 degC is assumed")


def test_restarting_time_cuts_runs() -> None:
    runs = read(HERE / "dmegc_inr18650" / "R1_random_walk.parquet")
    assert len(runs) == 50
    assert all(run.time_s[0] == 0.0 and (np.diff(run.time_s) > 0).all() for run in runs)


def test_single_rows_that_no_cell_can_show_are_left_out_and_named(tmp_path: Path) -> None:
    columns = pulses()
    columns["voltage_V"][10], columns["current_A"][30] = 99.0, 1e9
    path = written(tmp_path, columns)
    assert len(read(path)[0].time_s) == 398
    assert noted(path, "2 rows that no cell can show are left out, first row 11: 99 V")


@pytest.mark.parametrize(("behind_A", "counted_Ah"), [(-2.0, -1.0), (0.0, -0.4)])
def test_charge_over_a_gap_counts_where_the_same_current_flows_on_both_sides(
    tmp_path: Path, behind_A: float, counted_Ah: float
) -> None:
    """-2 A for 720 s, no rows for 900 s, then 180 s of another current: -0.4 Ah, -0.5 Ah unseen, 0.05 per ampere."""
    t = np.r_[np.arange(0.0, 721.0, 10.0), np.arange(1620.0, 1801.0, 10.0)]
    i = np.where(t <= 720.0, -2.0, behind_A)
    path = written(tmp_path, {"time_s": t, "current_A": i, "voltage_V": 4.0 - t / 3600.0 + 0.03 * i})
    assert read(path)[0].charge_Ah[-1] == pytest.approx(counted_Ah, abs=1e-6)
    assert noted(path, "no rows for 15 min while current flows, 720 s after")


def test_a_run_is_cut_where_another_current_flows_behind_a_gap(tmp_path: Path) -> None:
    t = np.r_[np.arange(0.0, 721.0, 10.0), np.arange(900.0, 1081.0, 10.0)]
    before, charge = t <= 720.0, np.where(t <= 720.0, -2.0 * t, -1440.0 - 180.0 + 2.0 * (t - 900.0)) / 3600.0
    columns = {"time_s": t, "current_A": np.where(before, -2.0, 2.0), "voltage_V": 4.0 + 0.5 * charge}
    path = written(tmp_path, columns)
    assert [run.charge_Ah[-1] for run in read(path)] == pytest.approx([-0.4, 0.1], abs=1e-6)
    assert noted(path, "charge flowed uncounted in 1 gaps, the first 720 s after")
    assert len(read(written(tmp_path, columns | {"ah_reference": charge}, "counted.csv"))) == 1


@pytest.mark.parametrize(("moves_V", "runs"), [(-0.08, 2), (0.02, 1), (-0.005, 1), (0.2, 2)])
def test_a_pulse_test_is_cut_where_its_rest_moves_as_no_rest_does(tmp_path: Path, moves_V: float, runs: int) -> None:
    """Pulses at two SOC; nothing is logged of the discharge between. Behind a discharge a rest rises, by little."""
    t = np.r_[np.arange(0.0, 400.0), np.arange(4000.0, 4400.0)]
    i = np.where(((t % 400.0 // 20) % 4 == 1) & (t % 400.0 < 300.0), -2.0, 0.0)
    volts = 3.7 + 0.03 * i + np.where(t < 2000.0, 0.0, moves_V)
    assert len(read(written(tmp_path, {"time_s": t, "current_A": i, "voltage_V": volts}))) == runs


def test_a_drive_is_cut_at_a_gap_whatever_its_edges_show(tmp_path: Path) -> None:
    t = np.r_[np.arange(0.0, 400.0), np.arange(1000.0, 1400.0)]
    i = np.where(t % 4.0 < 2.0, 0.0, -3.0)  # both edges of the gap show no current
    i[399] = 0.0
    assert len(read(written(tmp_path, {"time_s": t, "current_A": i, "voltage_V": 3.7 + 0.03 * i}))) == 2


def test_a_sign_that_is_swapped_in_part_is_named(tmp_path: Path) -> None:
    t = np.arange(4000.0)
    i = np.where((t // 20) % 2 == 0, 0.0, -2.0)
    columns = {"time_s": t, "current_A": np.where(t < 2400.0, i, -i), "voltage_V": 3.7 + 0.03 * i}
    with pytest.raises(LabError, match=r"2[34]\d\d to 38\d\d s after the begin of a run, unlike the rest"):
        read(written(tmp_path, columns))


@pytest.mark.parametrize("lost", [-999.0, 850.0, 327.67])
def test_what_a_lost_sensor_shows_is_no_temperature(tmp_path: Path, lost: float) -> None:
    columns = pulses() | {"temperature_degC": np.where(np.arange(400) % 50 == 7, lost, 10.0)}
    path = written(tmp_path, columns)
    assert set(read(path)[0].temp_degC) == {10.0, 25.0}
    assert noted(path, "8 temperatures are none, the first is")


@pytest.mark.parametrize(("setpoint", "taken"), [(np.nan, 25.0), (0.0, 0.0)])
def test_a_temperature_of_nothing_but_zero_is_no_measurement(tmp_path: Path, setpoint: float, taken: float) -> None:
    columns = pulses() | {"temperature_degC": np.zeros(400), "temperature_setpoint_degC": np.full(400, setpoint)}
    path = written(tmp_path, columns)
    assert set(read(path)[0].temp_degC) == {taken}
    assert noted(path, "0 in every row")


@pytest.mark.parametrize(("divisor", "unit"), [(60.0, "_min"), (3600.0, "_h")])
def test_a_counter_tells_the_unit_of_time(tmp_path: Path, divisor: float, unit: str) -> None:
    columns = pulses()
    columns["ah_reference"] = np.concatenate([[0.0], np.cumsum(columns["current_A"][1:])]) / 3600.0
    columns["time_s"] = columns["time_s"] / divisor
    with pytest.raises(LabError, match=f"name the column {unit}"):
        read(written(tmp_path, columns))


def test_recordings_behind_one_another_in_a_file_are_runs(tmp_path: Path) -> None:
    path = written(tmp_path, pulses())
    text = path.read_text()
    path.write_text(text + "\n" + text)
    assert len(read(path)) == 2
