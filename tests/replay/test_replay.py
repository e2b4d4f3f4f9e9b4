"""Replay: the contract of its output, what bad rows do, determinism, and drive cycles against their reference."""

from __future__ import annotations

import json
from dataclasses import replace as changed
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cellarer import cells
from cellarer.cli import cellarer
from cellarer.core.cycle import start
from cellarer.core.estimate.capacity import Pairs
from cellarer.core.estimate.equations import GAIN
from cellarer.core.estimate.state import get
from cellarer.core.slow import compiled
from cellarer.lab import tables
from cellarer.runtime import recording, replay, replay_report
from cellarer.runtime.replay import Settings

DATA = Path(__file__).resolve().parents[2] / "data"
US06 = "examples/panasonic_us06.csv"
LG = "lg_18650hg2/drive/25degC_US06_551.parquet"
LEAF = "nissan_leaf_2013/pack6s_dis_2C.parquet"
BMW = "bmw_i3_trips/trips_summer_A.parquet"
COLUMNS = [
    "time_s", "soc", "soc_sigma", "voltage_model_V", "resistance_scale", "capacity_Ah", "capacity_sigma_Ah",
    "power_charge_10s_W", "power_discharge_10s_W", "faults",
]  # fmt: skip
PANASONIC = Settings("panasonic_18650pf", initial_soc=1.0, initial_sigma=0.02)


def read(name: str, rows: int | None = None) -> recording.Recording:
    whole = recording.read(DATA / name)
    if rows is None:
        return whole
    names = ("time_s", "current_A", "voltage_V", "cell_V", "temp_degC", "ah_reference", "usable", "good", "run")
    return changed(whole, **{name: getattr(whole, name)[:rows] for name in names})


def play(name: str, settings: Settings, rows: int | None = None) -> replay.Replayed:
    return replay.replay(replay.prepare(read(name, rows), settings))


@pytest.fixture(scope="module")
def panasonic() -> replay.Replayed:
    return play(US06, PANASONIC, 1500)


def write_csv(path: Path, columns: dict[str, np.ndarray]) -> recording.Recording:
    tables.write(path, columns)
    return recording.read(path)


def with_values(path: Path, rows: int, **values: dict[int, float]) -> recording.Recording:
    """Return the first rows of the Panasonic example, read from a file in which some values are changed."""
    source = tables.read(DATA / US06).columns
    columns = {name: column[:rows].copy() for name, column in source.items()}
    for name, changes in values.items():
        for row, value in changes.items():
            columns[name][row] = value
    return write_csv(path, columns)


# --- the output


@pytest.mark.parametrize("suffix", [".csv", pytest.param(".parquet", marks=pytest.mark.needs("pyarrow"))])
def test_output_has_exactly_the_columns_of_the_contract(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    arguments = [
        "replay",
        str(DATA / LG),
        "--cell",
        "lg_18650hg2",
        "--out",
        str(out),
        "--estimate-only",
    ]
    done = CliRunner().invoke(cellarer, arguments)
    assert done.exit_code == 0, done.output
    written = tables.read(out)
    assert list(written.names) == COLUMNS
    assert written.rows == read(LG).rows


def test_pack_output_has_a_pair_of_columns_per_cell() -> None:
    result = play(LEAF, Settings("nissan_leaf_2013", parallel=2), 50)
    cells = [f"cell_{k:02d}_soc{s}" for k in range(1, 7) for s in ("", "_sigma")]
    assert list(replay.table(result)) == COLUMNS + cells


def test_one_row_comes_out_per_row_that_went_in(panasonic: replay.Replayed) -> None:
    table = replay.table(panasonic)
    assert {len(values) for values in table.values()} == {1500}
    assert table["time_s"].tolist() == panasonic.ready.recording.time_s.tolist()  # type: ignore[union-attr]


def test_same_recording_same_bytes(tmp_path: Path, panasonic: replay.Replayed) -> None:
    first, second = tmp_path / "1.csv", tmp_path / "2.csv"
    tables.write(first, replay.table(panasonic))
    again = play(US06, PANASONIC, 1500)
    tables.write(second, replay.table(again))
    assert first.read_bytes() == second.read_bytes()
    assert again.events == panasonic.events


def test_truth_never_reaches_the_estimators(panasonic: replay.Replayed) -> None:
    source = read(US06, 1500)
    blind = changed(source, ah_reference=np.full(1500, np.nan))
    result = replay.replay(replay.prepare(blind, PANASONIC))
    np.testing.assert_array_equal(result.columns["soc"], panasonic.columns["soc"])
    assert np.isnan(replay_report.reference_soc(result)).all()


def dashes(path: Path, told: float | None, begin: float = 1.0, rest_s: int = 70, lost: int = 0) -> dict[str, object]:
    """Figures of 5 min at C/2 behind a rest, of a cell whose voltage shows its SOC; `lost` rows at the end without."""
    model = cells.load("panasonic_18650pf").model
    amperes = np.where(np.arange(rest_s + 300) < rest_s, 0.0, -0.5 * model.capacity_Ah)
    count = np.cumsum(amperes) / 3600.0
    at_25 = np.stack([np.interp(25.0, model.temp_degC, column) for column in model.ocv.T])
    volts = np.interp(begin + count / model.capacity_Ah, np.linspace(0.0, 1.0, at_25.size), at_25) + 0.03 * amperes
    volts[volts.size - lost :] = np.nan
    made = write_csv(path / "made.csv", {
        "time_s": np.arange(amperes.size) * 1.0, "current_A": amperes, "voltage_V": volts,
        "temperature_degC": np.full(amperes.size, 25.0), "ah_reference": count,
    })  # fmt: skip
    ready = replay.prepare(made, Settings("panasonic_18650pf", initial_soc=told))
    return replay_report.figures(replay.estimate_only(ready))


def test_a_full_cell_anchors_the_reference_whatever_start_was_told(tmp_path: Path) -> None:
    """Told 80 % where the cell is full the filter is right after a minute and the figure said 20 % off."""
    for told, off in ((0.8, -20.0), (1.0, 0.0), (None, None)):
        f = dashes(tmp_path, told)
        assert f["soc_reference"] == "full"
        assert f["soc_rmse_pct"] < 3.0
        if off is not None:
            assert f["start_error_pct"] == pytest.approx(off, abs=0.1)
        assert ("told" in "".join(replay_report.error_of(f))) == bool(off)


def test_without_a_full_or_empty_cell_the_reference_is_as_wrong_as_the_told_start(tmp_path: Path) -> None:
    f = dashes(tmp_path, 0.7, begin=0.8)
    assert f["soc_reference"] == replay_report.TOLD
    assert 8.0 < f["soc_rmse_pct"] < 14.0
    assert f["soc_spread_pct"] < 0.3 * f["soc_rmse_pct"]
    assert "as told" in replay_report.error_of(f)[1]
    assert dashes(tmp_path, None, begin=0.8)["soc_reference"] is None


def test_soc_at_the_end_is_unknown_where_the_voltage_is_lost_before(tmp_path: Path) -> None:
    """The reader's limit of a gap is a minute."""
    for lost, known in ((0, True), (50, True), (70, False)):
        f = dashes(tmp_path, 1.0, lost=lost)
        assert f["soc_age_s"] == lost
        assert (f["soc_end"] is not None, replay_report.end_of(f)[0] != "unknown") == (known, known)
        assert 0.9 < f["soc_last"] < 1.0


# --- measured drive cycles; figures over whole cycles: benchmarks/


def error(result: replay.Replayed) -> np.ndarray:
    return np.abs(result.columns["soc"] - replay_report.reference_soc(result))


def test_panasonic_drive_cycle(panasonic: replay.Replayed) -> None:
    assert np.nanmax(error(panasonic)) < 0.02
    assert np.nanmean(error(panasonic) < 2.0 * panasonic.columns["soc_sigma"]) > 0.95
    assert replay_report.rms(replay_report.model_error(panasonic)) < 0.030


def test_lg_drive_cycle() -> None:
    result = play(LG, Settings("lg_18650hg2", initial_soc=1.0, initial_sigma=0.02), 1500)
    assert np.nanmax(error(result)) < 0.02
    assert replay_report.rms(replay_report.model_error(result)) < 0.030


def test_unknown_start_is_found_from_the_voltage() -> None:
    result = play(LG, Settings("lg_18650hg2"), 600)
    assert result.columns["soc"][-1] == pytest.approx(1.0, abs=0.06)
    assert 0.005 < result.columns["soc_sigma"][0] < 0.05


def test_leaf_pack_shows_its_weak_groups() -> None:
    result = play(LEAF, Settings("nissan_leaf_2013", parallel=2, initial_soc=0.98, initial_sigma=0.02))
    last = {k: result.columns[f"cell_{k:02d}_soc"][-1] for k in range(1, 7)}
    assert set(sorted(last, key=last.__getitem__)[:2]) == {1, 4}
    assert "voltage_spread" in ";".join(result.faults)
    assert result.columns["soc"][-1] < 0.12


def test_bmw_trip_is_replayed_as_its_mean_cell() -> None:
    trip = recording.pick(recording.read(DATA / BMW), 13)
    result = replay.replay(replay.prepare(trip, Settings("nmc_50ah", series=96, capacity_Ah=60.0)))
    soc = result.columns["soc"]
    assert trip.run_labels == ("A25",)
    assert list(replay.table(result)) == COLUMNS
    assert 250.0 < np.nanmin(result.columns["voltage_model_V"][10:]) < 420.0
    counted = (trip.ah_reference[-1] - trip.ah_reference[500]) / 60.0
    assert soc[-1] - soc[500] == pytest.approx(counted, abs=0.03)  # a class file, not this cell
    assert soc[-1] == pytest.approx(0.73, abs=0.1)  # what the car shows at the end, on a scale of its own
    assert "mean cell" in result.ready.warnings[0]


def test_estimate_only_gives_equal_soc() -> None:
    for name, settings in (
        (US06, PANASONIC),
        (LG, Settings("lg_18650hg2")),
        (LEAF, Settings("nissan_leaf_2013", parallel=2)),
    ):
        ready = replay.prepare(read(name, 1500), settings)
        whole, quick = replay.replay(ready), replay.estimate_only(ready)
        for name in ("soc", "soc_sigma"):
            np.testing.assert_allclose(quick.columns[name], whole.columns[name], atol=1e-9)


def test_a_voltage_that_no_cell_has_reaches_no_estimator(tmp_path: Path, panasonic: replay.Replayed) -> None:
    """Eight rows of 99 V had moved the estimators alone, which no validation goes before, by 35 points."""
    source = with_values(tmp_path / "wild.csv", 1500, voltage_V=dict.fromkeys(range(100, 1500, 175), 99.0))
    quick = replay.estimate_only(replay.prepare(source, PANASONIC)).columns["soc"]
    assert np.isnan(quick).sum() == 8
    assert np.nanmax(np.abs(quick - panasonic.columns["soc"])) < 0.005


@pytest.mark.parametrize(
    ("said", "sigma"), [({}, 0.02), ({"capacity_Ah": 2.9}, 0.01), ({"capacity_Ah": 2.9, "learn_capacity": True}, 0.05)]
)
def test_a_measured_capacity_is_believed_more_than_that_of_a_cell_file(said: dict[str, float], sigma: float) -> None:
    told = Settings("panasonic_18650pf", initial_soc=1.0, initial_sigma=0.01, **said)  # type: ignore[arg-type]
    ready = replay.prepare(read(US06, 20), told)
    known = replay._initial(ready)
    assert known is not None
    assert (known.capacity_sigma_Ah / known.capacity_Ah).tolist() == pytest.approx([sigma])


@pytest.mark.parametrize(("sigma_pct", "told", "begun"), [(1.0, 0.01, 0.07), (2.0, 0.02, 0.07), (30.0, 0.3, 0.3)])
def test_a_capacity_that_the_cell_file_guesses_is_believed_no_better(
    tmp_path: Path, sigma_pct: float, told: float, begun: float
) -> None:
    """From a told start as the file says; in a new pack, of which nothing is told, not below that of any new cell."""
    text = (Path(cells.__file__).parent / "data" / "panasonic_18650pf.toml").read_text(encoding="utf-8")
    path = tmp_path / "guessed.toml"
    path.write_text(text.replace("[capacity]\n", f"[capacity]\ncapacity_sigma_pct = {sigma_pct}\n"), encoding="utf-8")
    wide = []
    for soc in (1.0, None):
        ready = replay.prepare(read(US06, 20), Settings(str(path), initial_soc=soc, initial_sigma=0.01))
        state = start(ready.config, 0, replay._initial(ready))
        relative = float(Pairs(*state.estimator.pairs).relative[0])  # type: ignore[attr-defined]
        wide.append((relative, float(get(compiled(ready.config), state.estimator, "doubt_q")[0])))  # type: ignore[arg-type]
    assert [one[0] for one in wide] == pytest.approx([told, begun])
    assert [one[1] for one in wide] == pytest.approx([np.hypot(told, GAIN), np.hypot(begun, GAIN)])
    own = replay.prepare(read(US06, 20), Settings(str(path), capacity_Ah=2.9))
    assert Pairs(*start(own.config, 0).estimator.pairs).relative[0] == pytest.approx(0.07), (
        "a site's own capacity is not guessed"
    )


def test_learnt_capacity_is_counted_with(tmp_path: Path) -> None:
    """A C/20 discharge of 2.98 Ah, replayed with a capacity of 3.2 Ah: only when asked does the filter count anew."""
    source = tables.read(DATA / "panasonic_18650pf" / "ocv_c20_25degC.parquet").columns
    names = ("time_s", "current_A", "voltage_V", "temperature_degC")
    last = int(np.flatnonzero(source["current_A"] < -0.01)[-1])
    slow = write_csv(tmp_path / "slow.csv", {name: source[name][: last * 3 // 5 : 4] for name in names})
    told = Settings("panasonic_18650pf", capacity_Ah=3.2, initial_soc=1.0, initial_sigma=0.01)
    fixed = replay.replay(replay.prepare(slow, told))
    learnt = replay.replay(replay.prepare(slow, changed(told, learn_capacity=True)))
    assert 2.9 < learnt.columns["capacity_Ah"][-1] < 3.19
    assert (learnt.columns["soc"] != fixed.columns["soc"]).any()


# --- rows that cannot be used


def test_bad_rows_have_no_estimate_and_cost_nothing(tmp_path: Path, panasonic: replay.Replayed) -> None:
    nan = float("nan")
    source = with_values(
        tmp_path / "bad.csv",
        1500,
        voltage_V={100: nan, 200: 65.535, 300: -5.0},
        current_A={400: nan, 500: 1e7},
        time_s={600: nan, 700: 0.0},
    )
    result = replay.replay(replay.prepare(source, PANASONIC))
    bad = np.flatnonzero(np.isnan(result.columns["soc"]))
    assert bad.tolist() == [100, 200, 300, 400, 500, 600, 700]
    assert np.isnan(result.columns["voltage_model_V"][bad]).all()
    assert sum(finding.rows for finding in result.ready.recording.findings) == 7
    assert result.columns["soc"][-1] == pytest.approx(panasonic.columns["soc"][-1], abs=2e-3)


def test_silence_of_the_voltage_is_a_fault_and_current_still_counts(tmp_path: Path, panasonic: replay.Replayed) -> None:
    silent = dict.fromkeys(range(500, 1300), float("nan"))
    source = with_values(tmp_path / "silent.csv", 1500, voltage_V=silent)
    result = replay.replay(replay.prepare(source, PANASONIC))
    lost = [event.name for _, event in result.events if event.kind == "fault"]
    assert "cell_reading_lost" in lost
    assert result.columns["soc"][-1] == pytest.approx(panasonic.columns["soc"][-1], abs=0.01)


def test_gap_is_not_counted_over_and_widens_sigma() -> None:
    source = read(US06, 1000)
    later = source.time_s + np.where(np.arange(1000) >= 500, 3600.0, 0.0)
    result = replay.replay(replay.prepare(changed(source, time_s=later), PANASONIC))
    soc, sigma = result.columns["soc"], result.columns["soc_sigma"]
    assert abs(soc[500] - soc[499]) < 0.02
    assert sigma[500] > sigma[499]
    figures = replay_report.figures(result)
    assert figures["gaps"] == 1
    assert figures["longest_gap_s"] == pytest.approx(3600.1, abs=0.1)


def test_slow_logs_are_integrated_whole(tmp_path: Path) -> None:
    """A step of 90 s is no gap in a log of 90 s: one hour at C/3 is a third of the capacity."""
    rows = 41
    columns = {
        "time_s": 90.0 * np.arange(rows),
        "current_A": np.full(rows, -1.0),
        "voltage_V": np.linspace(4.0, 3.7, rows),
    }
    slow = write_csv(tmp_path / "slow.csv", columns | {"temperature_degC": np.full(rows, 25.0)})
    settings = Settings("panasonic_18650pf", initial_soc=0.9, initial_sigma=0.0001)
    result = replay.replay(replay.prepare(slow, settings))
    capacity_Ah = result.ready.config.capacity_Ah[0]
    assert result.columns["soc"][-1] == pytest.approx(0.9 - 1.0 / capacity_Ah, abs=0.02)
    assert replay_report.figures(result)["gaps"] == 0


def test_runs_start_anew_and_one_can_be_picked(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    lines = (DATA / US06).read_text().splitlines()[:202]
    path.write_text("\n".join([*lines, *lines[2:]]) + "\n")
    both = recording.read(path)
    assert both.run_labels == ("1", "2")
    result = replay.replay(replay.prepare(both, Settings("panasonic_18650pf")))
    soc = result.columns["soc"]
    np.testing.assert_array_equal(soc[:200], soc[200:])
    arguments = ["replay", str(path), "--cell", "panasonic_18650pf", "--json"]
    picked = CliRunner().invoke(cellarer, [*arguments, "--run", "2"])
    assert json.loads(picked.stdout)["rows"] == 200
    refused = CliRunner().invoke(cellarer, [*arguments, "--initial-soc", "1"])
    assert refused.exit_code == 1
    assert "--initial-soc needs --run K" in str(refused.exception)


def test_temperature_option_fills_what_is_not_measured() -> None:
    source = changed(read(US06, 50), temp_degC=np.empty((50, 0)))
    bare = replay.prepare(source, PANASONIC)
    told = replay.prepare(source, changed(PANASONIC, temperature_degC=10.0))
    assert any("--temperature-degC" in warning for warning in bare.warnings)
    assert told.warnings == ()
    assert told.recording.temp_degC.tolist() == [[10.0]] * 50
    measured = replay.prepare(read(US06, 50), changed(PANASONIC, temperature_degC=10.0))
    assert measured.recording.temp_degC.min() > 20.0


# --- the report


@pytest.mark.needs("matplotlib", "jinja2")
def test_report_is_one_file_and_the_same_twice(tmp_path: Path) -> None:
    texts = []
    for name in ("1.html", "2.html"):
        arguments = ["replay", str(DATA / LEAF), "--cell", "nissan_leaf_2013", "--parallel", "2"]
        done = CliRunner().invoke(cellarer, [*arguments, "--initial-soc", "0.98", "--report", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
        texts.append((tmp_path / name).read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    headings = ("Replay of pack6s_dis_2C.parquet", "Cell voltage, V", "State of charge, %", "Faults", "Settings")
    for wanted in (*headings, "by ah_reference", "voltage_spread", "What the data lacks"):
        assert wanted in texts[0]
    for loaded in ("<script", "<link", "src=", "@import", str(DATA)):
        assert loaded not in texts[0]
