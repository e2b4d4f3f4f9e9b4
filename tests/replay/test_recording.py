"""Reading recordings: what is an error, what is counted, what is a run, what is a gap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cellarer import cells
from cellarer.lab import tables
from cellarer.runtime import recording
from cellarer.runtime.units import check_time, check_units

GOOD = {
    "time_s": [0.0, 1.0, 2.0, 3.0],
    "current_A": [0.0, -1.0, -1.0, -1.0],
    "voltage_V": [3.9, 3.8, 3.79, 3.78],
    "temperature_degC": [25.0, 25.0, 25.0, 25.0],
}
NAN = float("nan")


def csv(path: Path, columns: dict[str, list[object]], separator: str = ",") -> Path:
    lines = [separator.join(columns), *(separator.join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def changed(**columns: list[object]) -> dict[str, list[object]]:
    return GOOD | columns


def without(name: str) -> dict[str, list[object]]:
    return {key: values for key, values in GOOD.items() if key != name}


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.csv", "", "the file is empty"),
        ("a.csv", "\n\n", "the file is empty"),
        ("a.csv", "time_s,current_A,voltage_V\n", "has columns (time_s, current_A, voltage_V) but no rows"),
        ("a.csv", "0,1,3.7\n1,1,3.7\n", "the first line must name the columns"),
        ("a.csv", "time_s,current_A,current_A\n0,1,1\n", "column current_A is there twice"),
        ("a.csv", "time_s,current_A,voltage_V\n0,1,3.7,9\n", "row 1 has 4 fields, the header 3"),
        ("a.csv", 'time_s,current_A,voltage_V\n0,"1,3.7\n', "is not a CSV file"),
        ("a.csv", "time_s,current_A,voltage_V\n0,low,3.7\n1,high,3.6\n", "column current_A holds text such as 'low'"),
        ("a.csv", "time_s,current_A,voltage_V\nx,,\n", "column time_s holds text such as 'x'"),
        ("a.parquet", "time_s,current_A\n", "is not a whole Parquet file"),
        ("a.txt", "time_s\n", "the name must end in one of .parquet, .csv"),
    ],
)
def test_file_that_is_no_recording(tmp_path: Path, name: str, content: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(tables.TableError) as error:
        recording.read(path)
    assert str(path) in str(error.value)
    assert text in str(error.value)


def test_binary_rubbish_is_no_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(tables.TableError, match="is not text in UTF-8"):
        recording.read(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(tables.TableError, match="no such file"):
        recording.read(tmp_path / "absent.csv")


@pytest.mark.needs("pyarrow")
def test_truncated_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    tables.write(path, {name: np.array(values) for name, values in GOOD.items()})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(tables.TableError, match="truncated"):
        recording.read(path)


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (without("time_s"), "column time_s is missing; found: current_A"),
        (without("current_A"), "column current_A is missing"),
        (without("voltage_V"), "column voltage_V (or pack_voltage_V, cell_01_V …) is missing"),
        ({"Test_Time(s)": [0, 1], "Current(A)": [0, 0], "Voltage(V)": [3.7, 3.7]}, "`cellarer convert "),
        (without("voltage_V") | {"Voltage_V": [3.7] * 4}, "is it 'Voltage_V'? Then rename it"),
        (without("voltage_V") | {"cell_01_V": [3.7] * 4, "cell_03_V": [3.7] * 4}, "cell 2 is missing"),
        (without("voltage_V") | {"cell_1_V": [3.7] * 4, "cell_01_mV": [3700] * 4}, "cell_01_mV is there twice: cell 1"),
        (changed(current_A=[NAN] * 4), "no row can be used; current is not a number: 4 rows, first is row 1"),
        (changed(voltage_V=[""] * 4), "no row can be used; voltage is not a number: 4 rows"),
        (changed(time_s=[3, 2, 1, 0]), "rows are not in the order of time_s, first at row"),
        (changed(time_s=[7, 7, 7, 7]), "time is 7 s in every row"),
        (without("time_s") | {"time_min": [0, 1, 2, 3]}, "`cellarer convert"),
    ],
)
def test_columns_that_cannot_be_used(tmp_path: Path, columns: dict[str, list[object]], text: str) -> None:
    with pytest.raises(recording.RecordingError) as error:
        recording.read(csv(tmp_path / "a.csv", columns))
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (changed(voltage_V=[3900, 3800, 3790, 3780]), "it looks like millivolts"),
        (changed(voltage_V=[374.4, 373, 372, 371]), "is it --series"),
        (changed(voltage_V=[1.1, 1.1, 1.1, 1.1]), "is it another cell"),
        (changed(current_A=[0, -1000, -1000, -1000]), "it looks like milliamperes"),
        (changed(temperature_degC=[298.0] * 4), "it looks like kelvin"),
        (changed(time_s=[0, 100000, 200000, 300000]), "is time in milliseconds (time_ms)"),
    ],
)
def test_wrong_units_are_named(tmp_path: Path, columns: dict[str, list[object]], text: str) -> None:
    limits = cells.load("panasonic_18650pf").limits
    read = recording.read(csv(tmp_path / "a.csv", columns))
    with pytest.raises(recording.RecordingError) as error:
        check_units(read, limits, 1, 2.9)
    assert text in str(error.value)
    assert "typically" in str(error.value) or "flow one way" in str(error.value)


@pytest.mark.parametrize(
    "columns",
    [
        {
            "time_ms": [0, 1000, 2000, 3000],
            "current_mA": [0, -1000, -1000, -1000],
            "voltage_mV": [3900, 3800, 3790, 3780],
        },
        {"time_s": [0, 1, 2, 3], "current_A": [0, -1, -1, -1], "cell_01_mV": [3900, 3800, 3790, 3780]},
    ],
)
def test_spelled_units_are_converted(tmp_path: Path, columns: dict[str, list[object]]) -> None:
    read = recording.read(csv(tmp_path / "a.csv", columns))
    assert read.time_s.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert read.current_A.tolist() == [0.0, -1.0, -1.0, -1.0]
    volts = read.cell_V[:, 0] if read.cells else read.voltage_V
    assert volts.tolist() == pytest.approx([3.9, 3.8, 3.79, 3.78])


def test_kelvin_is_converted(tmp_path: Path) -> None:
    read = recording.read(csv(tmp_path / "a.csv", without("temperature_degC") | {"temperature_K": [298.15] * 4}))
    assert read.temp_degC[:, 0].tolist() == pytest.approx([25.0] * 4)


def test_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    columns = {name: [str(v).replace(".", ",") for v in values] for name, values in GOOD.items()}
    read = recording.read(csv(tmp_path / "a.csv", columns, ";"))
    assert read.voltage_V.tolist() == GOOD["voltage_V"]


@pytest.mark.parametrize(
    ("columns", "good", "what"),
    [
        (changed(current_A=[0, NAN, -1, -1]), [1, 0, 1, 1], "current is not a number: 1 row, first is row 2"),
        (changed(current_A=[0, "inf", -1, -1]), [1, 0, 1, 1], "current is not a number: 1 row, first is row 2"),
        (changed(current_A=[0, 9e9, -1, -1]), [1, 0, 1, 1], "current is outside -5000 … 5000 A: 1 row, first is row 2"),
        (
            changed(voltage_V=[3.9, 65535, NAN, 3.7]),
            [1, 0, 0, 1],
            "voltage is outside -1 … 2000 V: 1 row, first is row 2",
        ),
        (changed(time_s=[0, NAN, 2, 3]), [1, 0, 1, 1], "time is not a number: 1 row, first is row 2"),
        (
            changed(temperature_degC=[25, "", 25, 25]),
            [1, 1, 1, 1],
            "temperature is not a number: 1 row, first is row 2",
        ),
    ],
)
def test_bad_rows_are_counted(tmp_path: Path, columns: dict[str, list[object]], good: list[int], what: str) -> None:
    read = recording.read(csv(tmp_path / "a.csv", columns))
    assert read.good.tolist() == [bool(g) for g in good]
    assert what in [str(f) for f in read.findings]


def long(times: list[float]) -> dict[str, list[object]]:
    n = len(times)
    return {"time_s": times, "current_A": [-1.0] * n, "voltage_V": [3.7] * n}


def test_few_rows_out_of_order_are_left_out(tmp_path: Path) -> None:
    times = [float(k) for k in range(100)]
    times[40] = 39.0  # repeats
    times[60] = 5.5  # back
    times[80] = 1e9  # a glitch upwards must not cost the rows behind it
    read = recording.read(csv(tmp_path / "a.csv", long(times)))
    assert np.flatnonzero(~read.good).tolist() == [40, 60, 80]
    assert [str(f) for f in read.findings] == [
        "time repeats: 1 row, first is row 41",
        "time goes back: 2 rows, first is row 61",
    ]


def test_shuffled_rows_are_refused(tmp_path: Path) -> None:
    times = np.random.default_rng(1).permutation(200).astype(float).tolist()
    with pytest.raises(recording.RecordingError, match="sort the file by time_s"):
        recording.read(csv(tmp_path / "a.csv", long(times)))


def test_every_row_twice_is_counted_not_refused(tmp_path: Path) -> None:
    read = recording.read(csv(tmp_path / "a.csv", long([k // 2 for k in range(200)])))
    assert read.good.sum() == 100
    assert str(read.findings[0]) == "time repeats: 100 rows, first is row 2"


def test_truncated_csv_row_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time_s,current_A,voltage_V\n0,-1,3.7\n1,-1,3.7\n2,-1")
    read = recording.read(path)
    assert read.good.tolist() == [True, True, False]
    assert "fields are missing" in str(read.findings[0])


def test_runs_by_column_and_by_restart(tmp_path: Path) -> None:
    times = [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]
    named = recording.read(csv(tmp_path / "a.csv", long(times) | {"trip": ["A1"] * 3 + ["B7"] * 3}))
    bare = recording.read(csv(tmp_path / "b.csv", long(times)))
    assert named.run_labels == ("A1", "B7")
    assert bare.run.tolist() == named.run.tolist() == [0, 0, 0, 1, 1, 1]
    assert recording.pick(named, 2).time_s.tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(recording.RecordingError, match="run = 3: allowed is 1 to 2"):
        recording.pick(named, 3)


def test_cycles_with_continuous_time_are_one_run(tmp_path: Path) -> None:
    read = recording.read(csv(tmp_path / "a.csv", long([0.0, 1.0, 2.0, 3.0]) | {"cycle": [1, 1, 2, 2]}))
    assert len(read.run_labels) == 1


def test_gap_is_more_than_five_steps_and_a_minute(tmp_path: Path) -> None:
    read = recording.read(csv(tmp_path / "a.csv", long([0.0, 1.0, 61.0, 121.5, 122.5, 123.5, 124.5])))
    where, step, longest = recording.gaps(read)
    assert longest == 60.0
    assert np.flatnonzero(where).tolist() == [3]
    assert step[3] == 60.5
    slow = recording.read(csv(tmp_path / "b.csv", long([0.0, 60.0, 120.0, 420.0, 721.0])))
    where, _, longest = recording.gaps(slow)
    assert longest == 900.0  # 5 × the median step of 180 s
    assert not where.any()


@pytest.mark.parametrize(("divisor", "hours", "named"), [(1.0, 1.0, False), (60.0, 1.0, True), (60.0, 0.02, False)])
def test_minutes_called_seconds_are_named(tmp_path: Path, divisor: float, hours: float, named: bool) -> None:
    """1C down the curve of the cell; a minute of it is no contradiction, however the time is called."""
    model = cells.load("panasonic_18650pf").model
    t = np.arange(0.0, 3600.0 * hours, 5.0 * hours)
    row = model.ocv[int(np.argmin(np.abs(model.temp_degC - 25.0)))]
    volts = np.interp(1.0 - t / 3600.0, np.linspace(0.0, 1.0, row.size), row) - 0.05 * model.capacity_Ah
    columns = {
        "time_s": (t / divisor).tolist(),
        "current_A": [-model.capacity_Ah] * t.size,
        "voltage_V": volts.tolist(),
    }
    read = recording.read(csv(tmp_path / "a.csv", columns))
    if not named:
        check_time(read, model, 1, model.capacity_Ah)
        return
    with pytest.raises(recording.RecordingError, match="in minutes or hours"):
        check_time(read, model, 1, model.capacity_Ah)


@pytest.mark.parametrize(("degC", "text"), [(0.0, "0 degC in every row"), (77.0, "Fahrenheit"), (25.0, None)])
def test_temperatures_that_are_hardly_measured_are_warned_of(tmp_path: Path, degC: float, text: str | None) -> None:
    read = recording.read(csv(tmp_path / "a.csv", changed(temperature_degC=[degC] * 4)))
    warnings = check_units(read, cells.load("panasonic_18650pf").limits, 1, 2.9)
    assert [text in warning for warning in warnings if text] == [True] * (text is not None)
    assert len(warnings) == (text is not None)


def test_turned_sign_is_a_warning(tmp_path: Path) -> None:
    current = [(-1.0) ** (k // 3) for k in range(300)]
    columns = {"time_s": list(range(300)), "current_A": current, "voltage_V": [3.7 - 0.05 * i for i in current]}
    limits = cells.load("panasonic_18650pf").limits
    turned = recording.read(csv(tmp_path / "a.csv", columns))
    right = recording.read(csv(tmp_path / "b.csv", columns | {"voltage_V": [3.7 + 0.05 * i for i in current]}))
    assert "sign" in check_units(turned, limits, 1, 2.9)[0]
    assert check_units(right, limits, 1, 2.9) == []


@pytest.mark.parametrize("suffix", [".csv", pytest.param(".parquet", marks=pytest.mark.needs("pyarrow"))])
def test_written_tables_read_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    tables.write(path, {"time_s": np.array([0.0, 1.0]), "soc": np.array([NAN, 0.1 + 0.2]), "faults": ["", "a;b"]})
    first = path.read_bytes()
    back = tables.read(path)
    assert back.columns["soc"][1] == 0.1 + 0.2
    assert np.isnan(back.columns["soc"][0])
    assert back.columns["faults"].tolist() == ["", "a;b"]
    tables.write(path, {"time_s": np.array([0.0, 1.0]), "soc": np.array([NAN, 0.1 + 0.2]), "faults": ["", "a;b"]})
    assert path.read_bytes() == first
