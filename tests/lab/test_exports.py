"""Exports of cyclers: the same pulses in the dialects of ten programs are the same run."""

import gzip
import zipfile
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
    "landt_clock.csv": lines("Index,Test time(hh:mm:ss.s),Work Mode,Voltage(V),Current(A),T1(C)",
                             "1,{c},{s},{v},{a},20.5"),
    "deutsch.csv": lines("Zeit [s];Strom [A];Spannung [V];Temperatur [°C]", "{t};{i};{v};20.5"),
    "both_ways.csv": lines("Time(s),Charge Current(A),Discharge Current(mA),Voltage(V),T(C)", "{t},,{mA},{v},20.5"),
    "blanks.txt": lines("time_s current_A voltage_V temperature_degC", "{t} {i} {v} 20.5"),
    "aligned.txt": lines("Time (s)    Current (A)    Voltage (V)    Temperature (C)", "{t}   {i}  {v}     20.5"),
    "minutes.csv": lines("temperature_K,time_min,voltage_mV,current_mA", "293.65,{m},{mV},{mA}"),
}  # fmt: skip


STEP = 1 + (TIME // 200).astype(int)
START = np.datetime64("2024-01-31T23:50:00")


def stepwise(tmp_path: Path, dates: bool) -> tuple[Run, tuple[str, ...]]:
    """Time begins anew with each step, as Neware writes it, with or without the date of each row."""
    rows = (
        f"{clock(t % 200.0)},{s},{v},{i},{START + np.timedelta64(int(t), 's') if dates else ''}"
        for t, s, v, i in zip(TIME, STEP, VOLTAGE, CURRENT, strict=True)
    )
    names = f"Relative Time(h:min:s.ms),Steps,Voltage(V),Current(A),{'Date' if dates else 'Remark'}\n"
    return one(tmp_path, "steps.csv", names + "\n".join(rows))


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


def test_a_current_of_each_direction_makes_one(tmp_path: Path) -> None:
    each = [",,3.7", "1500,,3.8", ",-2000,3.6", "0,500,3.6"] * 5  # rows without any current are no rows
    rows = "\n".join(f"{10 * k},{row}" for k, row in enumerate(each))
    run, _ = one(tmp_path, "x.csv", "Time(s),Charging Current(mA),Discharge Current(mA),Voltage(V)\n" + rows)
    np.testing.assert_allclose(run.current, [1.5, -2.0, -0.5] * 5)
    with pytest.raises(LabError, match="current_A"):
        one(tmp_path, "y.csv", "Time(s),Charge Current(mA),Voltage(V)\n" + "\n".join(f"{t},1,3.7" for t in range(40)))


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


def test_time_that_begins_anew_with_each_step_goes_on(tmp_path: Path) -> None:
    run, notes = stepwise(tmp_path, dates=True)
    assert np.allclose(run.time_s, TIME, atol=0.06)
    assert any("begins anew with every step" in note for note in notes)
    run, _ = stepwise(tmp_path, dates=False)
    assert run.time_s[-1] == pytest.approx(TIME[-1] - 19 * 10.0, abs=1.0)  # nothing says what passed between steps


@pytest.mark.parametrize(
    ("form", "unit"),
    [("%m/%d/%Y %I:%M:%S %p", ""), ("%d.%m.%Y %H:%M:%S", ""), ("%m/%d/%y %H:%M:%S", ""), ("%d-%b-%Y %H:%M:%S", ""),
     ("%Y-%m-%dT%H:%M:%SZ", ""), ("unix", " (ms)")],
)  # fmt: skip
def test_dates_of_all_sorts_over_the_end_of_a_month(tmp_path: Path, form: str, unit: str) -> None:
    moments = [(START + np.timedelta64(int(t), "s")).item() for t in TIME]
    texts = [
        str(1.7e12 + 1e3 * t) if form == "unix" else at.strftime(form) for t, at in zip(TIME, moments, strict=True)
    ]
    rows = (f"{at},{v},{i}" for at, v, i in zip(texts, VOLTAGE, CURRENT, strict=True))
    run, _ = one(tmp_path, "dates.csv", f"Timestamp{unit},Voltage (V),Current (A)\n" + "\n".join(rows))
    assert np.allclose(run.time_s, TIME)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (lines('"Time (s)","Current (A)","Voltage (V)"', '"{t:,.1f}","{i}","{v}"'), "utf-8"),
        (lines("Time (s);Current (A);Voltage (V)", "{t:,.1f};{i};{v}").translate({44: 39, 46: 44}), "utf-8"),
        (lines('"Time (s)"_"Current (A)"_"Voltage (V)"', '"{t}"_"{i}"_"{v}"').translate({46: 44, 95: 44}), "utf-8"),
        (lines("Time (s),Current (A),Voltage (V)", "{t},{i},{v}"), "utf-16"),
        (lines("总时间(s),电流(A),电压(V)", "{t},{i},{v}"), "gb18030"),
    ],
    ids=["thousands", "apostrophes", "quoted commas", "utf-16", "chinese"],
)
def test_numbers_and_letters_of_other_places(tmp_path: Path, text: str, encoding: str) -> None:
    run, _ = one(tmp_path, "x.csv", text, encoding)
    assert np.allclose(run.time_s, TIME)
    assert np.allclose(run.voltage, VOLTAGE)
    assert np.allclose(run.current, CURRENT)


def test_packed_text_is_read_and_a_damaged_one_named(tmp_path: Path) -> None:
    packed = gzip.compress(DIALECTS["arbin.csv"].encode())
    path = tmp_path / "arbin.csv.gz"
    path.write_bytes(packed)
    assert np.allclose(read_noting(path).runs[0].voltage, VOLTAGE)
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(LabError, match="damaged gzip"):
        read_noting(path)


def book(path: Path, *texts: str) -> None:
    """A workbook as spreadsheets write it: numbers in cells, texts aside, empty cells left out."""
    shared: dict[str, int] = {}

    def cell(text: str, at: str) -> str:
        try:
            return f'<c r="{at}"><v>{float(text)!r}</v></c>'
        except ValueError:
            return f'<c r="{at}" t="s"><v>{shared.setdefault(text, len(shared))}</v></c>' if text else ""

    with zipfile.ZipFile(path, "w") as file:
        for n, text in enumerate(texts, 1):
            rows = [
                f"<row>{''.join(cell(field, f'{chr(65 + k)}{m}') for k, field in enumerate(line.split(',')))}</row>"
                for m, line in enumerate(text.splitlines(), 1)
            ]
            space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
            sheet = f"<worksheet {space}><sheetData>{''.join(rows)}</sheetData></worksheet>"
            file.writestr(f"xl/worksheets/sheet{n}.xml", sheet)
        of_document = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
        numbers = range(1, len(texts) + 1)
        names = "".join(f'<sheet name="s{n}" sheetId="{n}" r:id="r{n}"/>' for n in numbers)
        parts = (
            "".join(
                f'<Relationship Id="r{n}" Type="{of_document}/worksheet" Target="worksheets/sheet{n}.xml"/>'
                for n in numbers
            )
            + f'<Relationship Id="t" Type="{of_document}/sharedStrings" Target="sharedStrings.xml"/>'
        )
        file.writestr(
            "xl/workbook.xml", f'<workbook {space} xmlns:r="{of_document}"><sheets>{names}</sheets></workbook>'
        )
        namespace = "http://schemas.openxmlformats.org/package/2006/relationships"
        whole = f'<Relationship Id="w" Type="{of_document}/officeDocument" Target="xl/workbook.xml"/>'
        file.writestr("_rels/.rels", f'<Relationships xmlns="{namespace}">{whole}</Relationships>')
        file.writestr("xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{namespace}">{parts}</Relationships>')
        texts_of = "".join(f"<si><t>{text}</t></si>" for text in shared)
        file.writestr("xl/sharedStrings.xml", f"<sst {space}>{texts_of}</sst>")


def test_a_workbook_is_read_by_its_longest_sheet_that_names_columns(tmp_path: Path) -> None:
    path = tmp_path / "neware.xlsx"
    book(path, "unit,remark\n1,\n", DIALECTS["neware.csv"], "Cycle,Step,Time,Voltage(V),Current(A)\n1,1,10,3.5,1\n")
    run = read_noting(path).runs[0]
    assert np.allclose(run.time_s, TIME, atol=0.06)
    assert np.allclose(run.voltage, VOLTAGE)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(LabError, match="no whole"):
        read_noting(path)


HOUR = np.timedelta64(1, "h")


def local(start: str, jumps_h: int = 0, after_s: float = 1000.0) -> list[str]:
    """Rows dated from `start`, local clock that jumps by hours after a while."""
    moments = (
        np.datetime64(start)
        + np.array([np.timedelta64(int(t), "s") for t in TIME])
        + jumps_h * HOUR * np.greater_equal(TIME, after_s)
    )
    return [str(moment).replace("T", " ") for moment in moments]


def dated(tmp_path: Path, dates: list[str]) -> tuple[Run, tuple[str, ...]]:
    rows = (f"{d},{v},{i}" for d, v, i in zip(dates, VOLTAGE, CURRENT, strict=True))
    return one(tmp_path, "dates.csv", "Date Time,Voltage (V),Current (A)\n" + "\n".join(rows))


@pytest.mark.parametrize(("start", "jumps_h"), [("2024-10-27T02:43:20", -1), ("2024-03-31T01:43:20", 1)])
def test_an_hour_of_summer_time_is_none(tmp_path: Path, start: str, jumps_h: int) -> None:
    run, notes = dated(tmp_path, local(start, jumps_h))
    assert np.allclose(run.time_s, TIME)
    assert any("summer time" in note for note in notes)


@pytest.mark.parametrize("step_s", [7, 10, 20])
def test_dates_to_the_minute_cost_no_row(tmp_path: Path, step_s: int) -> None:
    """Rows of 7 to 20 s are spread evenly over their minutes, which begin and end in the middle."""
    t = np.arange(33, 33 + 4000, step_s)
    minutes = np.datetime64("2024-03-05T10:17") + t // 60
    amperes = np.where((t // 200) % 2 == 0, 0.0, -2.0)
    rows = [f"{m},{i},{3.7 + 0.03 * i - s / 1e5}" for m, s, i in zip(minutes, t, amperes, strict=True)]
    path = tmp_path / "a.csv"
    path.write_text("Date Time,Current(A),Voltage(V)\n" + "\n".join(rows), encoding="utf-8")
    reading = read_noting(path)
    assert len(reading.runs) == 1
    assert np.abs(reading.runs[0].time_s - (t - t[0])).max() < step_s
    assert any("spread evenly over 60 s" in note for note in reading.notes)


def test_two_channels_in_turn_are_not_spread(tmp_path: Path) -> None:
    rows = [f"{t // 2},{-1.0 if t % 40 < 20 else 0.0},{3.7 - 0.3 * (t % 2) - t / 1e5}" for t in range(400)]
    path = tmp_path / "a.csv"
    path.write_text("time_s,current_A,voltage_V\n" + "\n".join(rows), encoding="utf-8")
    assert len(read_noting(path).runs[0].time_s) == 200


def test_an_hour_without_rows_on_a_weekday_is_one(tmp_path: Path) -> None:
    run, notes = dated(tmp_path, local("2024-04-02T01:43:20", 1))
    assert run.time_s[-1] == pytest.approx(TIME[-1] + 3600.0)
    assert not any("summer time" in note for note in notes)


def test_zones_count(tmp_path: Path) -> None:
    dates = [
        d + ("+02:00" if t < 1000.0 else "+01:00") for d, t in zip(local("2024-10-27T02:43:20", -1), TIME, strict=True)
    ]
    run, notes = dated(tmp_path, dates)
    assert np.allclose(run.time_s, TIME)
    assert not any("summer time" in note for note in notes)


def test_a_time_of_day_goes_on_over_midnight(tmp_path: Path) -> None:
    run, notes = dated(tmp_path, [d.split()[1] for d in local("2024-10-28T23:50:00")])
    assert np.allclose(run.time_s, TIME)
    assert any("over midnight" in note for note in notes)


def test_unix_time_without_unit_is_read_by_its_size(tmp_path: Path) -> None:
    for factor in (1.0, 1e3, 1e6):
        run, _ = dated(tmp_path, [f"{(1.7e9 + t) * factor:.0f}" for t in TIME])
        assert np.allclose(run.time_s, TIME)


def test_a_state_that_says_no_direction_keeps_the_one_before(tmp_path: Path) -> None:
    text = DIALECTS["maccor.txt"].splitlines()
    odd = [row.replace("\tD", "\tS") if n % 5 == 0 and n > 10 else row for n, row in enumerate(text)]
    assert odd != text
    before, after = (one(tmp_path, "a.txt", "\n".join(x))[0] for x in (text, odd))
    np.testing.assert_allclose(after.current, before.current)


def test_decimal_commas_between_commas_are_refused(tmp_path: Path) -> None:
    rows = "\n".join(
        f"{t:.0f},{v:.3f},{i:.2f}".replace(".", ",") for t, v, i in zip(TIME, VOLTAGE, CURRENT, strict=True)
    )
    with pytest.raises(LabError, match="decimal"):
        one(tmp_path, "x.csv", "Time(s),Voltage(V),Current(A)\n" + rows)


def test_blanks_may_part_thousands(tmp_path: Path) -> None:
    rows = "\n".join(f"{t:,.0f};{v:.3f};{i:.2f}" .replace(",", "\u202f").replace(".", ",")
                     for t, v, i in zip(TIME, VOLTAGE, CURRENT, strict=True))  # fmt: skip
    run, _ = one(tmp_path, "x.csv", "Zeit [s];Spannung [V];Strom [A]\n" + rows)
    assert np.allclose(run.time_s, TIME)
