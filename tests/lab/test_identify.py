"""Identification: recovers a known cell, recognises files, warns where data is thin, and judges well on other files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cellarer.cells import load
from cellarer.cells.checks import OCV_MARGIN_V
from cellarer.core import estimate
from cellarer.core.estimate import numpy_form
from cellarer.core.estimate.equations import FLOOR
from cellarer.lab import cellfile, template
from cellarer.lab.curve import GRID, Curve
from cellarer.lab.error import LabError
from cellarer.lab.fit import KNOTS, Fitted
from cellarer.lab.identify import _fit, _from_steady, identify
from cellarer.lab.readers import Run, read
from cellarer.lab.rests import RESTS
from cellarer.lab.sort import Ends, Sorted, settle

HERE = Path(__file__).resolve().parents[2] / "data"
TRUE = load("panasonic_18650pf").model


def simulate(current: np.ndarray, dt: float, soc: float, temp_degC: float) -> np.ndarray:
    """Voltage of the known cell under this current."""
    cfg = estimate.compile_cells([TRUE], np.array([0]), np.array([TRUE.capacity_Ah]), np.ones(1))
    out, s, z = np.empty(len(current)), np.zeros(2), soc
    kind, temp = np.zeros(1, np.int64), np.array([temp_degC])
    for n, i in enumerate(current):
        node = numpy_form.look_up(cfg.tables.node, cfg.tables.rows, kind, np.array([z]), temp)[:, 0]
        y = abs(i) * node[11]
        out[n] = node[0] + node[2] * i * (np.arcsinh(y) / y if y > 1e-6 else 1.0) + node[3] * s[0] + node[4] * s[1]
        s += (1.0 - np.exp(-dt * node[9:11])) * (i - s)
        z += i * dt / 3600.0 / TRUE.capacity_Ah
    return out


def recording(path: Path, current: np.ndarray, dt: float, soc: float, temp_degC: float = 25.0) -> Path:
    """Write a simulated recording."""
    volts, t = simulate(current, dt, soc, temp_degC), np.arange(len(current)) * dt
    rows = (f"{a:.1f},{b:.5f},{c:.5f},{temp_degC}" for a, b, c in zip(t, current, volts, strict=True))
    path.write_text("time_s,current_A,voltage_V,temperature_degC\n" + "\n".join(rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("chemistry", [*template.VOLTS])
@pytest.mark.parametrize("drawn_V", [-1.0, -0.6, -0.3, 0.0, 0.6])
def test_limits_fit_a_curve_that_ends_anywhere(chemistry: str, drawn_V: float) -> None:
    """The rested curve ends above or below what is usual: all that cells/checks.py asks of the lower limits holds."""
    high, low, _, _ = template.VOLTS[chemistry]
    rested_V = low[1] + drawn_V
    found = template.limits(chemistry, high[1], low[1], rested_V, 3.0)
    least = found["voltage_min_V"]
    assert rested_V - OCV_MARGIN_V <= least[2] <= least[1] <= least[0] <= rested_V + OCV_MARGIN_V
    assert found["cap_voltage_min_V"] <= least[2]
    assert found["deep_discharge_V"] < least[1]
    if drawn_V == 0.0:
        assert least == [*low], "of the class where the curve is usual"


@pytest.mark.needs("scipy")
def test_a_capacity_a_little_above_the_slow_discharge_is_used_and_told(tmp_path: Path) -> None:
    slow = np.concatenate([np.zeros(5), np.full(int(25 * 60 * 0.995), -TRUE.capacity_Ah / 25.0)])
    found = identify([recording(tmp_path / "slow.csv", slow, 60.0, 1.0)], "twin", 1.04 * TRUE.capacity_Ah)
    assert sum("--capacity-Ah" in text and "shows" in text for text in found.warnings) == 1
    assert found.table["capacity"]["capacity_sigma_pct"] == pytest.approx(4.8, abs=0.5)
    with pytest.raises(LabError, match="--capacity-Ah"):
        identify([tmp_path / "slow.csv"], "twin", 10.0 * TRUE.capacity_Ah)


@pytest.mark.needs("scipy")
def test_known_cell_is_recovered(tmp_path: Path) -> None:
    q = TRUE.capacity_Ah
    slow = np.concatenate([np.zeros(5), np.full(int(25 * 60 * 0.995), -q / 25.0)])
    r = np.random.default_rng(4)
    drive = np.concatenate([np.zeros(60), np.repeat(r.uniform(-2.0, 0.6, 130), 12) * q * 1.2, np.zeros(120)])
    files = [recording(tmp_path / "slow.csv", slow, 60.0, 1.0), recording(tmp_path / "drive.csv", drive, 2.0, 1.0)]
    found = identify(files, "twin")
    assert found.capacity_Ah == pytest.approx(q, rel=0.01)
    assert {item.kind for item in found.items} == {"slow discharge", "drive"}
    part = found.fitted[0]
    assert part.rmse < 0.006
    k = int(np.argmin(np.abs(TRUE.temp_degC - 25.0)))
    total = (TRUE.r0 + TRUE.r1)[k, 128]
    assert part.r0[8] + part.r1[8] == pytest.approx(total, rel=0.35)
    assert any("one temperature" in text for text in found.warnings)


@pytest.mark.needs("scipy", "pyarrow")
def test_other_files_are_judged_well() -> None:
    """Identified from Cycle_3 at 10 degC and the slow curve, judged on US06: the gates with a wrong start."""
    folder = HERE / "panasonic_18650pf"
    found = identify([folder / "ocv_c20_25degC.parquet", folder / "drive" / "10degC_Cycle_3.parquet"], "nca")
    assert found.chemistry in ("NMC", "NCA")
    path = Path(__import__("tempfile").mkdtemp()) / "nca.toml"
    path.write_text(found.text, encoding="utf-8")
    run = read(folder / "drive" / "10degC_US06.parquet")[0]
    truth = 1.0 + run.charge_Ah / found.capacity_Ah
    cfg = estimate.compile_cells([load(path).model], np.zeros(2, int), np.full(2, found.capacity_Ah), np.ones(2), True)
    state = estimate.init(cfg, np.array([1.0, 0.8]), np.array([0.1, 0.1]))
    _, soc, sigma = estimate.run_block(
        cfg, state, run.voltage[:, None], run.current[:, None], run.temp_degC[:, None], run.dt
    )
    late = run.time_s > 600.0
    error = soc[late] - truth[late, None]
    assert (np.sqrt(np.mean(error**2, axis=0)) < np.array([0.013, 0.015])).all()
    assert np.abs(error).max() < 0.05
    assert (np.abs(error) < 2.0 * sigma[late]).mean() > 0.9


@pytest.mark.needs("scipy", "pyarrow")
def test_leads_in_the_voltage_path_do_not_bend_the_curve() -> None:
    """The slow test of the Leaf cell was measured through 0.1 ohm of leads: the curve must not carry 0.25 V of it."""
    folder = HERE / "nissan_leaf_2013"
    found = identify([folder / "cell_c15_cycling_10_24_40degC.parquet", folder / "cell_hppc_25degC.parquet"], "leaf")
    assert found.chemistry == "LMO"
    grid = np.linspace(0.0, 1.0, len(found.curve.ocv))
    for soc, rested in ((0.9, 4.09), (0.5, 3.90), (0.25, 3.77)):
        assert float(np.interp(soc, grid, found.curve.ocv)) == pytest.approx(rested, abs=0.03)


@pytest.mark.needs("scipy", "pyarrow")
def test_given_table_is_used_and_fractions_are_refused(tmp_path: Path) -> None:
    folder = HERE / "lg_m50_21700"
    found = identify([folder / "rate_25degC_1C.parquet"], "m50", 4.95, folder / "ocv_25degC.parquet")
    assert found.curve.source == "given table"
    table = tmp_path / "curve.csv"
    table.write_text("soc_pct,ocv_V,temperature_degC\n" + "\n".join(f"{x / 10},{3 + x / 10},25" for x in range(11)))
    with pytest.raises(LabError, match="fractions"):
        identify([folder / "rate_25degC_1C.parquet"], "m50", 4.95, table)


@pytest.mark.needs("scipy")
def test_with_a_given_curve_the_highest_voltage_of_the_files_is_not_full(tmp_path: Path) -> None:
    """Drives between 70 and 30 % had been put at full, for they hold no higher voltage."""
    q = TRUE.capacity_Ah
    r = np.random.default_rng(5)
    drive = np.concatenate([np.zeros(60), np.repeat(r.uniform(-1.4, 0.6, 100), 12) * q, np.zeros(120)])
    file = recording(tmp_path / "middle.csv", drive, 2.0, 0.7)
    k = int(np.argmin(np.abs(TRUE.temp_degC - 25.0)))
    curve = tmp_path / "curve.csv"
    grid = np.linspace(0.0, 100.0, TRUE.ocv.shape[1])
    curve.write_text("soc_pct,ocv_V\n" + "\n".join(f"{z},{v}" for z, v in zip(grid, TRUE.ocv[k], strict=True)))
    found = identify([file, file], "middle", q, curve)
    assert [item.anchored for item in found.items] == ["curve"]
    assert found.items[0].soc[0] == pytest.approx(0.7, abs=0.01)
    assert any("named more than once" in text for text in found.warnings)
    with pytest.raises(LabError, match="largest swing"):
        identify([file], "middle", 1e3 * q, curve)
    assert any("more than the cell holds" in text for text in identify([file], "m", 0.2 * q, curve).warnings)


def settled(current: np.ndarray, volts: np.ndarray, curve: bool, guessed: bool = False) -> Sorted:
    """A discharge of a 3 Ah cell, put on SOC."""
    t = np.arange(len(current)) * 10.0
    charge = np.concatenate([[0.0], np.cumsum(current[:-1]) / 360.0])
    run = Run("made", "made#1", t, current, volts, np.full(len(t), 25.0), charge, False)
    grid = np.linspace(0.0, 1.0, 201)
    return settle(run, "discharge", Ends(4.19, 2.5, 3.0), (grid, 3.2 + 0.98 * grid) if curve else None, guessed)


def test_a_file_that_begins_under_load_may_begin_full() -> None:
    """A 1C discharge without a row of rest: its first voltage lay 0.15 V below full, and SOC 14 % too low."""
    current = np.full(300, -2.9)
    for curve in (False, True):
        item = settled(current, 4.04 - np.linspace(0.0, 1.0, 300), curve)
        assert item.anchored == "full"
        assert item.soc[0] == 1.0


def test_a_rest_at_nine_tenths_is_not_full_where_the_curve_says_so() -> None:
    current = np.concatenate([np.zeros(30), np.full(200, -2.9)])
    volts = np.concatenate([np.full(30, 4.082), 4.0 - np.linspace(0.0, 0.6, 200)])
    item = settled(current, volts, curve=True)
    assert item.anchored == "curve"
    assert item.soc[0] == pytest.approx(0.9, abs=0.002)
    assert settled(current, volts, curve=True, guessed=True).anchored == "full"  # the curve leans on it


@pytest.mark.needs("scipy")
def test_files_that_stay_in_the_middle_tell_no_capacity(tmp_path: Path) -> None:
    current = np.concatenate([np.zeros(300), np.full(300, -TRUE.capacity_Ah), np.zeros(600)])
    with pytest.raises(LabError, match="from full to empty"):
        identify([recording(tmp_path / "pulse.csv", current, 1.0, 0.5)], "pulse")


@pytest.mark.needs("scipy")
def test_a_slow_curve_alone_gets_usual_resistance_and_says_so(tmp_path: Path) -> None:
    """A slow discharge tells no resistance: zero would be a lie that power promises would believe."""
    q = TRUE.capacity_Ah
    slow = np.concatenate([np.zeros(5), np.full(int(25 * 60 * 0.995), -q / 25.0)])
    found = identify([recording(tmp_path / "slow.csv", slow, 60.0, 1.0)], "slow")
    assert any("weak" in text for text in found.warnings)
    part = found.fitted[0]
    assert 0.25 < (part.r0[8] + part.r1[8]) * q / 0.08 < 4.0
    assert part.rmse >= 0.02
    doubts = found.table["resistance"]
    assert dict(zip(doubts["doubt_degC"], doubts["doubt_pct"], strict=True))[25.0] == 40.0


def test_charges_of_several_temperatures_show_their_resistance() -> None:
    """At constant voltage the colder one carries less current: together they showed none (curve 0.5 V too high)."""
    soc = np.linspace(0.0, 1.0, 400)
    items = []
    for degC, ohms in ((25.0, 0.06), (5.0, 0.2), (-5.0, 0.4)):
        ocv = 3.0 + 1.15 * soc
        current = np.minimum(2.0, (4.2 - ocv) / ohms)
        dt = np.diff(soc, prepend=0.0) * 2.0 * 3600.0 / current
        run = Run("m", f"{degC}", np.cumsum(dt), np.r_[0.0, current[1:]], ocv + ohms * np.r_[0.0, current[1:]],
                  np.full(400, degC), 2.0 * soc, False)  # fmt: skip
        items.append(Sorted(run, "charge", soc, "full", degC))
    found = _from_steady(items, Ends(4.2, 3.0, 2.0))
    inside = (GRID > 0.1) & (GRID < 0.9)
    assert np.abs(found.ocv - 3.0 - 1.15 * GRID)[inside].max() < 0.05


@pytest.mark.needs("scipy", "pyarrow")
def test_resistance_never_falls_towards_empty() -> None:
    """Thin data near empty once put zero beside twice the usual: power promises would have believed the zero."""
    folder = HERE / "nissan_leaf_2013"
    found = identify([folder / "cell_hppc_25degC.parquet", folder / "cell_hppc_10degC.parquet"], "leaf")
    for part in found.fitted:
        low = part.r0[:7]
        assert np.all(np.diff(low) <= 1e-12)
        assert low.min() > 0.5 * part.r0[8]


@pytest.mark.needs("scipy")
def test_beyond_the_measured_temperature_resistance_and_doubt_grow(tmp_path: Path) -> None:
    """From one drive at 25 degC: colder rows exist, with more resistance, a smaller exchange current, a wider sigma."""
    r = np.random.default_rng(4)
    drive = np.concatenate([np.zeros(60), np.repeat(r.uniform(-2.0, 0.6, 130), 12) * TRUE.capacity_Ah * 1.2])
    found = identify([recording(tmp_path / "drive.csv", drive, 2.0, 1.0)], "drive", TRUE.capacity_Ah)
    table = found.table["resistance"]
    assert table["temperature_degC"][0] <= -5.0 < 25.0 < table["temperature_degC"][-1]
    assert np.all(np.diff([row[8] for row in table["r0_mohm"]]) < 0.0)
    assert table["exchange_A"] == sorted(table["exchange_A"])
    warm = table["temperature_degC"].index(25.0)
    assert table["sigma_mV"][0] > 1.5 * table["sigma_mV"][warm]
    doubt = dict(zip(table["doubt_degC"], table["doubt_pct"], strict=True))
    assert doubt[25.0] == 0.0
    assert doubt[-5.0] > doubt[10.0] > doubt[20.0] > 5.0


def part_of(temp_degC: float, ohms: float) -> Fitted:
    """A class of temperature that saw a kelvin around it, with this resistance."""
    r = np.full(len(KNOTS), ohms / 3.0)
    return Fitted(
        temp_degC, (temp_degC - 0.5, temp_degC + 0.5), r, r, r, 0.0 * r, 10.0, 200.0, np.inf, 3000.0, 0.01, (), (),
        (0.0, 1.0),
    )  # fmt: skip


def test_what_moved_the_curve_is_doubted_where_nothing_was_measured() -> None:
    """In the cold a correction is slow polarisation as much as curve: 45 K warmer LFP was 10 % off at 3 % sigma."""
    still = part_of(0.0, 0.03)
    moved = replace(still, correction=np.full(len(KNOTS), 0.015))
    rows = [cellfile.temperature_rows([part], 3.0) for part in (still, moved)]
    for plain, more in zip(*rows, strict=True):
        assert plain.temp_degC == more.temp_degC
        away = abs(plain.temp_degC) - 0.5
        assert (more.sigma > plain.sigma + 0.001) == (away > 5.0)
    cold = Curve(GRID, 0.0 * GRID, -20.0, "slow discharge leg", False)
    assert 0.01 < cellfile.polarised_V(cold) < 0.04
    assert cellfile.polarised_V(replace(cold, temp_degC=25.0)) == 0.0
    assert cellfile.polarised_V(replace(cold, source="given table")) == 0.0


def test_doubt_between_measured_temperatures_bears_out_how_well_the_law_held_there() -> None:
    usual = float(np.exp(cellfile.SLOPE_25_K * 1.1 * (1.0 / 273.15 - 1.0 / 298.15)))
    held, broken = ([part_of(0.0, ohms), part_of(25.0, 0.03)] for ohms in (0.03 * usual, 0.02 * usual))
    middle_pct = []
    for fitted in (held, broken):
        found = cellfile.doubts(fitted, 3.0)
        assert found["doubt_degC"] == sorted(found["doubt_degC"])
        doubt = dict(zip(found["doubt_degC"], found["doubt_pct"], strict=True))
        assert doubt[0.5] == doubt[24.5] == doubt[-0.5] == doubt[25.5] == 0.0
        assert doubt[12.5] < doubt[-15.5] < doubt[-30.5]
        middle_pct.append(doubt[12.5])
    assert middle_pct[1] > 1.3 * middle_pct[0]


def test_a_slow_part_that_no_run_has_shown_is_doubted_where_it_was_measured_too() -> None:
    """Half of what it usually has of all resistance; the bound of its time constant is 55 s."""
    seen, unseen = part_of(25.0, 0.03), replace(part_of(25.0, 0.03), tau2=55.0)
    for fitted, least in (([replace(seen, tau2=58.0)], 0.0), ([unseen], 18.0)):
        found = cellfile.doubts(fitted, 3.0)
        doubt = dict(zip(found["doubt_degC"], found["doubt_pct"], strict=True))
        assert doubt[24.5] == doubt[25.5] == least
        assert doubt[55.5] > doubt[30.5] > least
    found = cellfile.doubts([part_of(0.0, 0.06), unseen], 3.0)
    doubt = dict(zip(found["doubt_degC"], found["doubt_pct"], strict=True))
    assert (doubt[-0.5], doubt[25.5]) == (0.0, 18.0), "each temperature its own"


@pytest.mark.needs("scipy")
@pytest.mark.parametrize(
    ("source", "degC", "times"),
    [
        ("slow discharge leg", 25.0, 1.0),
        ("slow discharge leg", 0.0, 1.0 / FLOOR),
        (RESTS, 25.0, 1.0 / FLOOR),
        ("guess", 25.0, 1.7),
    ],
)
def test_what_a_weak_curve_misses_lasts(tmp_path: Path, source: str, degC: float, times: float) -> None:
    r = np.random.default_rng(4)
    drive = np.concatenate([np.zeros(60), np.repeat(r.uniform(-2.0, 0.6, 130), 12) * TRUE.capacity_Ah * 1.2])
    run = read(recording(tmp_path / "drive.csv", drive, 2.0, 1.0))[0]
    item = Sorted(run, "drive", 1.0 + run.charge_Ah / TRUE.capacity_Ah, "full", 25.0)
    ocv = np.interp(
        GRID, np.linspace(0.0, 1.0, TRUE.ocv.shape[1]), TRUE.ocv[int(np.argmin(np.abs(TRUE.temp_degC - 25.0)))]
    )
    curve = Curve(ocv + 0.01 * np.sin(20.0 * GRID), 0.0 * GRID, degC, source, False)
    part = _fit([item], curve, 0.0 * GRID, 30.0, TRUE.capacity_Ah)
    assert part.rmse == pytest.approx(times * part.misses[0], rel=0.15)
    if source == "guess":  # steady currents are doubted twice as much, and of charges alone all of it lasts
        steady = [
            _fit([replace(item, kind=kind)], curve, 0.0 * GRID, 30.0, TRUE.capacity_Ah).rmse
            for kind in ("discharge", "charge")
        ]
        assert steady[1] == pytest.approx(steady[0] / 1.7 / FLOOR)


@pytest.mark.needs("scipy")
def test_a_run_of_another_cell_is_named(tmp_path: Path) -> None:
    files = []
    for seed in range(4):
        r = np.random.default_rng(seed)
        drive = np.concatenate([np.zeros(60), np.repeat(r.uniform(-2.0, 0.6, 130), 12) * TRUE.capacity_Ah * 1.2])
        files.append(recording(tmp_path / f"drive{seed}.csv", drive, 2.0, 1.0))
    text = files[3].read_text(encoding="utf-8").splitlines()
    weak = [f"{a},{b},{float(v) + 0.09 * float(b):.5f},{c}" for a, b, v, c in (line.split(",") for line in text[1:])]
    files[3].write_text("\n".join([text[0], *weak]), encoding="utf-8")
    found = identify(files, "mixed", TRUE.capacity_Ah)
    assert [w for w in found.warnings if "another cell" in w and "drive3" in w and "drive1" not in w]


@pytest.mark.needs("scipy")
def test_a_single_run_that_no_curve_fits_is_named(tmp_path: Path) -> None:
    """A slow discharge of one cell and a drive of another, which rests up to 0.6 V higher."""
    q = TRUE.capacity_Ah
    slow = np.concatenate([np.zeros(5), np.full(int(25 * 60 * 0.995), -q / 25.0)])
    drive = np.concatenate([np.zeros(60), np.repeat(np.random.default_rng(4).uniform(-2.0, 0.6, 130), 12) * q * 1.2])
    files = [recording(tmp_path / "slow.csv", slow, 60.0, 1.0), recording(tmp_path / "drive.csv", drive, 2.0, 1.0)]
    text = files[1].read_text(encoding="utf-8").splitlines()
    other = [
        f"{a},{b},{float(v) + 0.6 * min(float(a) / 1500.0, 1.0)},{c}" for a, b, v, c in (s.split(",") for s in text[1:])
    ]
    files[1].write_text("\n".join([text[0], *other]), encoding="utf-8")
    assert [w for w in identify(files, "mixed", q).warnings if "another cell" in w and "drive" in w]


@pytest.mark.needs("scipy")
def test_units_order_of_columns_and_sampling_change_nothing(tmp_path: Path) -> None:
    """The same drive in mA, mV, minutes and kelvin, columns turned round, is the same cell; coarse rows nearly."""
    r = np.random.default_rng(4)
    drive = np.concatenate([np.zeros(60), np.repeat(r.uniform(-2.0, 0.6, 130), 12) * TRUE.capacity_Ah * 1.2])
    plain = recording(tmp_path / "plain.csv", drive, 2.0, 1.0)
    rows = [[float(x) for x in line.split(",")] for line in plain.read_text(encoding="utf-8").splitlines()[1:]]
    other = tmp_path / "other.csv"
    lines = [f"{t / 60.0!r};{c + 273.15:.2f};{1e3 * v:.4f};{1e3 * i:.4f}" for t, i, v, c in rows]
    other.write_text("Time (min);Temp 1 [K];Ewe/mV;I/mA\n" + "\n".join(lines), encoding="utf-8")
    coarse = tmp_path / "coarse.csv"
    kept = [f"{t},{i},{v}" for t, i, v, _ in rows[::4]]
    coarse.write_text("time_s,current_A,voltage_V\n" + "\n".join(kept), encoding="utf-8")
    first, second, third = (identify([file], "x", TRUE.capacity_Ah) for file in (plain, other, coarse))
    for part in ("r0", "r1", "r2"):
        assert getattr(second.fitted[0], part) == pytest.approx(getattr(first.fitted[0], part), rel=0.02, abs=2e-4)
    sums = [found.fitted[0].r0[8] + found.fitted[0].r1[8] for found in (first, third)]
    assert sums[1] == pytest.approx(sums[0], rel=0.25)
    assert any("25 degC is assumed" in text for text in third.warnings)


def test_nothing_is_refused() -> None:
    with pytest.raises(LabError, match="at least one"):
        identify([], "nothing")
