"""Exports of cyclers: the same pulses in the dialects of ten programs are the same run."""

from pathlib import Path

import numpy as np
import pytest

from cellarer.lab.columns import recognise, words_and_unit
from cellarer.lab.error import LabError
from cellarer.lab.readers import Run, read_noting
from cellarer.lab.tables import TableError

TIME = np.arange(0.0, 4000.0, 10.0)
CURRENT = np.where((TIME // 200) % 2 == 0, 0.0, -2.0)
VOLTAGE = 3.7 + 0.03 * CURRENT - TIME / 1e5


def clock(seconds: float) -> str:
    return f"{int(seconds // 3600)}:{int(seconds // 60 % 60):02d}:{seconds % 60:04.1f}"


def state(amperes: float) -> str:
    return "R" if amperes == 0.0 else "D"


def lines(names: str, row: str, before: str = "", units: str = "") -> str:
    """A text export; `row` is a format of t, h, i, mA, v, c (clock), s (state), a (magnitude)."""
    body = [
        row.format(t=t, h=t / 3600, m=t / 60, i=i, mA=1e3 * i, v=v, mV=1e3 * v, c=clock(t), s=state(i), a=abs(i))
        for t, i, v in zip(TIME, CURRENT, VOLTAGE, strict=True)
    ]
    return before + names + "\n" + units + "\n".join(body) + "\n"


DIALECTS = {
    "arbin.csv": lines("Data_Point,Test_Time(s),Date_Time,Step_Index,Current(A),Voltage(V),Aux_Temperature_1(C)",
                       "1,{t},01/02/2024 10:00:00,3,{i},{v},20.5"),
    "neware.csv": lines("Cycle Index,Step Type,Time,Total Time,Current(mA),Voltage(V),Capacity(mAh),T1(℃)",
                        "1,CC DChg,0:00:10,{c},{mA},{v},0.0,20.5"),
    "biologic.mpt": lines("mode\tNs changes\ttime/s\tcontrol/V/mA\tEwe/V\tI/mA\tTemperature/°C",
                          "1\t0\t{t}\t0\t{v}\t{mA}\t20.5",
                          "EC-Lab ASCII FILE\nNb header lines : 4\n\nTechnique : GCPL\n"),
    "maccor.txt": lines("Rec#\tCyc#\tStep\tTest (Sec)\tStep (Sec)\tAmp-hr\tAmps\tVolts\tState\tTemp 1",
                        "1\t0\t1\t{t}\t1\t0.0\t{a}\t{v}\t{s}\t20.5", "Today's Date 01/02/2024\tFilename: x\n"),
    "novonix.csv": lines("Date and Time,Cycle Number,Step Type,Run Time (h),Current (A),Potential (V),Temperature (°C)",
                         "2024-01-02 10:00:00,0,1,{h},{i},{v},20.5", "[Summary]\nNovonix UHPC data file,1\n[Data]\n"),
    "digatron.csv": lines("Step,Status,Prog Time,Voltage,Current,AhAccu,Temperature", "1,DCH,{t},{v},{i},0.0,20.5",
                          units=",,[s],[V],[A],[Ah],[°C]\n"),
    "basytec.txt": lines("~Time[h]\tDataSet\tU[V]\tI[A]\tAh[Ah]\tT1[°C]", "{h}\t1\t{v}\t{i}\t0.0\t20.5",
                         "~Resultfile\n~Date 2024\n"),
    "landt.csv": lines("Record,TestTime/Sec,Voltage/V,Current/mA,Temperature/C", "1,{t},{v},{mA},20.5"),
    "bdf.csv": lines("Test Time / s,Voltage / V,Current / A,Surface Temperature T1 / degC", "{t},{v},{i},20.5"),
    "bdf_machine.csv": lines("test_time_second,voltage_volt,current_ampere,surface_temperature_celsius",
                             "{t},{v},{i},20.5"),
    "minutes.csv": lines("temperature_K,time_min,voltage_mV,current_mA", "293.65,{m},{mV},{mA}"),
}  # fmt: skip


def one(tmp_path: Path, name: str, text: str, encoding: str = "utf-8") -> tuple[Run, tuple[str, ...]]:
    """Read the only run of this text."""
    path = tmp_path / name
    path.write_text(text, encoding=encoding)
    reading = read_noting(path)
    assert len(reading.runs) == 1
    return reading.runs[0], reading.notes


@pytest.mark.parametrize("name", DIALECTS)
def test_dialect_is_understood(tmp_path: Path, name: str) -> None:
    run, _ = one(tmp_path, name, DIALECTS[name])
    assert np.allclose(run.time_s, TIME, atol=0.06)
    assert np.allclose(run.current, CURRENT)
    assert np.allclose(run.voltage, VOLTAGE)
    assert np.allclose(run.temp_degC, 20.5)
    assert run.charge_Ah[-1] == pytest.approx(-2.0 * 2000.0 / 3600.0, rel=0.02)


def test_decimal_comma_and_old_degree_sign(tmp_path: Path) -> None:
    text = DIALECTS["biologic.mpt"].replace(".", ",")
    run, _ = one(tmp_path, "comma.mpt", text, "latin-1")
    assert np.allclose(run.voltage, VOLTAGE)
    assert np.allclose(run.temp_degC, 20.5)


def test_dates_alone_give_time(tmp_path: Path) -> None:
    start = np.datetime64("2024-01-31T23:50:00")
    rows = (f"{start + np.timedelta64(int(t), 's')},{v},{i}" for t, v, i in zip(TIME, VOLTAGE, CURRENT, strict=True))
    run, _ = one(tmp_path, "dates.csv", "Date Time,Voltage (V),Current (A)\n" + "\n".join(rows))
    assert np.allclose(run.time_s, TIME)


def test_sign_from_a_column_of_states_is_said(tmp_path: Path) -> None:
    _, notes = one(tmp_path, "maccor.txt", DIALECTS["maccor.txt"])
    assert any("no sign" in note and "State" in note for note in notes)


def test_counter_that_restarts_with_each_step_is_not_believed(tmp_path: Path) -> None:
    """Neware's capacity is that of the step: as charge of the run it would be nonsense."""
    per_step = 2.0 * (TIME % 200.0) / 3600.0 * (CURRENT < 0.0)
    rows = (f"{t},{i},{v},{q}" for t, i, v, q in zip(TIME, CURRENT, VOLTAGE, per_step, strict=True))
    run, _ = one(tmp_path, "steps.csv", "Total Time[s],Current(A),Voltage(V),Capacity(Ah)\n" + "\n".join(rows))
    assert not run.counted
    assert run.charge_Ah.min() < -1.0


def test_counters_of_both_directions_make_the_net_charge(tmp_path: Path) -> None:
    out = np.concatenate([[0.0], np.cumsum(-CURRENT[:-1] * 10.0) / 3600.0])
    rows = (f"{t},{i},{v},0,{q}" for t, i, v, q in zip(TIME, CURRENT, VOLTAGE, out, strict=True))
    names = "Test_Time(s),Current(A),Voltage(V),Charge_Capacity(Ah),Discharge_Capacity(Ah)\n"
    run, _ = one(tmp_path, "pair.csv", names + "\n".join(rows))
    assert run.counted
    assert np.allclose(run.charge_Ah, -out)


def test_binary_formats_are_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "x.ndax"
    path.write_bytes(b"PK\3\4\0\0")
    with pytest.raises(LabError, match="export it as CSV"):
        read_noting(path)


def test_a_unit_of_another_dimension_rules_a_column_out() -> None:
    assert words_and_unit("Current (mA)") == ("current", "ma")
    found = recognise(["t[h]", "T [degC]", "I/mA", "Ewe/V", "P/W", "control/V"])
    assert {key: at.name for key, at in found.items()} == {
        "time_s": "t[h]", "temperature_degC": "T [degC]", "current_A": "I/mA", "voltage_V": "Ewe/V",
    }  # fmt: skip


def test_a_text_column_called_test_is_no_time(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("test,current_A,voltage_V\nOCV,1,3.5\nOCV,1,3.6\n")
    with pytest.raises(LabError, match="time_s is not in the first one"):
        read_noting(path)


def test_nothing_that_is_written_crashes_the_reader(tmp_path: Path) -> None:
    """Damaged files are read or refused by name; no other exception comes out."""
    rng = np.random.default_rng(11)
    sources = list(DIALECTS.values())
    path = tmp_path / "damaged.csv"
    for turn in range(150):
        data = bytearray(sources[turn % len(sources)].encode())
        for _ in range(int(rng.integers(1, 30))):
            at = int(rng.integers(0, len(data)))
            match turn % 4:
                case 0:
                    data[at] = int(rng.integers(0, 256))
                case 1:
                    del data[at : at + int(rng.integers(1, 400))]
                case 2:
                    data[at:at] = bytes(rng.integers(32, 127, 5).tolist())
                case _:
                    data[at:at] = data[: int(rng.integers(1, 300))]
            if not data:
                break
        path.write_bytes(bytes(data))
        try:
            runs = read_noting(path).runs
        except (LabError, TableError) as error:
            assert "damaged.csv" in str(error)
            continue
        for run in runs:
            assert (np.diff(run.time_s) > 0.0).all()
            assert np.isfinite([run.current, run.voltage, run.temp_degC, run.charge_Ah]).all()
