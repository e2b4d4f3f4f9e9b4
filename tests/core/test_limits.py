"""Limits: fade, map, slew, CVL by the highest cell, never negative, unknown gives zero, one reason that binds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.bench import Bench, closed, ocv_at
from tests.core.sites import CELL_SIDE, CONTACTS, FACTS, pack, site, table

from cellarer.cells import load as load_cell
from cellarer.config import rows
from cellarer.config.load import build
from cellarer.core.decide import limit
from cellarer.core.decide.limit import RIPPLE, VOLTAGE, fade
from cellarer.core.estimate import REASONS as SOP_REASONS
from cellarer.model.reasons import REASONS

numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(x=numbers, full=st.floats(-100, 100), gap=st.floats(0.01, 50), up=st.booleans())
def test_fade_is_a_share_monotone_and_zero_for_unknown(x: float, full: float, gap: float, up: bool) -> None:
    zero = full + gap if up else full - gap
    share = fade(np.array([x]), np.array([full]), np.array([zero]))[0]
    assert 0.0 <= share <= 1.0
    if np.isnan(x):
        assert share == 0.0
    elif (x <= full) if up else (x >= full):
        assert share == 1.0
    elif (x >= zero) if up else (x <= zero):
        assert share == 0.0
    else:
        assert share == pytest.approx((zero - x) / (zero - full))


@given(hot=st.floats(-30, 70), cold=st.floats(-30, 70))
def test_the_charge_map_is_read_linearly_and_the_worse_sensor_decides(hot: float, cold: float) -> None:
    bench = closed("one")
    bench.put("temp_degC", [hot, cold])
    bench.run(0.1)
    cell = load_cell("lfp_280ah").limits
    for degC in (hot, cold):
        seen = bench.command.window.charge_A[0]
        assert seen <= np.interp(degC, cell.charge_map_degC, cell.charge_map_A) + 1e-6


def reason(bench: Bench, way: str) -> str:
    return REASONS[int(getattr(bench.command.window, f"{way}_reason")[0])]


def ohm(bench: Bench) -> float:
    """Return the mean resistance of the cells, by their file."""
    return float(bench.config.cell_ohm.mean())


@pytest.mark.parametrize(("volts", "share"), [(3.46, 1.0), (3.525, 0.5), (3.549, 0.02), (3.55, 0.0)])
def test_charge_falls_to_zero_from_operating_to_recommended_voltage(volts: float, share: float) -> None:
    bench = closed("one")
    bench.put("cell_voltage", volts, 1)
    bench.run(0.1)
    settled = (3.55 - volts) / (0.05 + 140.0 * ohm(bench))  # where the current itself lifts the cell
    assert bench.command.window.charge_A[0] == pytest.approx(140.0 * min(share, settled), abs=1e-6)
    assert bench.command.window.discharge_A[0] > 0.0
    for _ in range(300):  # it flows as far as it may: the voltage is that under load
        bench.put("current", min(140.0 * share, bench.command.window.charge_A[0]))
        bench.run(0.1)
    # the last per cents come back slowly, so that noise makes no ripple; never more than the fade
    assert 140.0 * (share - RIPPLE[VOLTAGE]) - 1e-6 <= bench.command.window.charge_A[0] <= 140.0 * share + 1e-6
    if share < 1.0:  # at zero the forecast of power says the same
        assert reason(bench, "charge") in ("cell voltage high", *(["power forecast"] if share == 0.0 else []))


@pytest.mark.parametrize(("volts", "share"), [(3.06, 1.0), (2.9, 0.5), (2.8, 0.0)])
def test_discharge_falls_to_zero_from_operating_to_recommended_voltage(volts: float, share: float) -> None:
    bench = closed("one")
    bench.put("cell_voltage", volts, 1)
    bench.run(0.1)
    settled = (volts - 2.8) / (0.2 + 180.0 * ohm(bench))
    assert bench.command.window.discharge_A[0] == pytest.approx(180.0 * min(share, settled), abs=1e-6)
    assert share == 1.0 or reason(bench, "discharge") == "cell voltage low"


@pytest.mark.parametrize(
    ("degC", "amps"), [(-1.0, 0.0), (0.0, 0.0), (2.5, 14.0), (5.0, 28.0), (15.0, 105.0), (20.0, 140.0)]
)
def test_the_charge_map_rules_in_the_cold(degC: float, amps: float) -> None:
    bench = closed("one")
    bench.put("temp_degC", degC, 0)  # the coldest sensor decides
    bench.run(0.1)
    assert bench.command.window.charge_A[0] == pytest.approx(amps, abs=1e-6)
    assert amps == 140.0 or reason(bench, "charge") == "temperature low"


@pytest.mark.parametrize(
    ("degC", "charge", "discharge"), [(47.5, 0.5, 1.0), (50.0, 0.0, 1.0), (52.5, 0.0, 0.5), (55.0, 0.0, 0.0)]
)
def test_heat_narrows_both_ways(degC: float, charge: float, discharge: float) -> None:
    bench = closed("one")
    bench.put("temp_degC", degC, 1)
    bench.run(0.1)
    assert bench.command.window.charge_A[0] == pytest.approx(140.0 * charge, abs=1e-6)
    assert bench.command.window.discharge_A[0] == pytest.approx(180.0 * discharge, abs=1e-6)


def test_limits_fall_at_once_and_rise_slowly() -> None:
    config = build(table([pack("a", 4, limits={"rise_pct_per_s": 5.0})], CELL_SIDE + CONTACTS + FACTS), "slow").config
    bench = Bench(config).close()
    bench.run(27.0)  # the last tenth at a quarter of the speed
    assert bench.command.window.charge_A[0] == 140.0
    bench.put("cell_voltage", 3.56, 0)
    bench.step()
    assert bench.command.window.charge_A[0] == 140.0  # one sample may be wild
    bench.step()
    assert bench.command.window.charge_A[0] == 0.0
    bench.let_go("cell_voltage", 0)
    bench.run(1.0)
    assert bench.command.window.charge_A[0] == pytest.approx(7.0, rel=0.03)
    assert reason(bench, "charge") == "recovering"
    bench.run(26.0)
    assert bench.command.window.charge_A[0] == 140.0


@pytest.mark.parametrize("signal", ("cell_voltage", "temp_degC", "current"))
@pytest.mark.parametrize("ill", (np.nan, np.inf, -np.inf))
def test_an_unknown_measurement_gives_zero_at_once(signal: str, ill: float) -> None:
    bench = closed("one")
    bench.put(signal, ill, 0)
    bench.step()
    window = bench.command.window
    assert window.charge_A[0] == window.discharge_A[0] == window.charge_W[0] == window.discharge_W[0] == 0.0
    if signal == "cell_voltage":
        assert window.charge_V[0] == 0.0


@given(volts=st.lists(st.floats(2.0, 3.8), min_size=4, max_size=4))
def test_cvl_follows_the_highest_cell_and_never_exceeds_all_cells_at_their_end(volts: list[float]) -> None:
    bench = closed("one")
    bench.cells[:] = volts
    bench.run(0.06)
    seen = bench.state.seen.value[bench.layout.where["cell_voltage"]]
    cvl, end, high = bench.command.window.charge_V[0], 3.45, float(seen.max())
    assert 0.0 <= cvl <= 4 * end + 1e-9
    if high > end + 0.005:
        assert cvl == pytest.approx(max(seen.sum() + 4 * (end - high), 0.0))
        assert cvl < seen.sum()  # the charger has to give way, at once


def test_cvl_settles_where_the_highest_cell_ends_and_noise_does_not_shake_it() -> None:
    bench, rng = closed("one"), np.random.default_rng(1)
    bench.dt_ns = 100_000_000
    seen = []
    for _ in range(1200):
        bench.cells[:] = np.array([3.40, 3.41, 3.42, 3.44]) + 0.001 * rng.standard_normal(4)
        bench.step()
        seen.append(bench.command.window.charge_V[0])
    assert seen[-1] == pytest.approx(4 * 3.45 - (4 * 3.44 - 13.67), abs=0.005)
    assert np.ptp(seen[-300:]) < 0.003


def test_wiring_gives_a_peak_budget_that_is_used_up_and_comes_back() -> None:
    bench = closed("one")
    table = bench.config.limits
    one = np.ones((1, 1))
    limits = replace(table, wire_A=100.0 * one, wire_s=30.0 * one)
    bench.config = replace(bench.config, limits=limits)
    bench.state = replace(bench.state, watch=replace(bench.state.watch, wire_heat=0.0 * one))
    bench.dt_ns = 1_000_000_000
    bench.run(5.0)
    cold = bench.command.window
    assert cold.peak_A[0, 1, 0] == 180.0 and cold.peak_A[3, 1, 0] == pytest.approx(100.0)
    at_30_s = 100.0 / np.sqrt(1.0 - np.exp(-1.0))
    assert cold.peak_A[2, 1, 0] == pytest.approx(at_30_s, rel=1e-6)
    rest = bench.cells.copy()
    for _ in range(120):  # a load that takes all it may, and cells that answer
        bench.put("current", -bench.command.window.discharge_A[0])
        bench.cells[:] = rest - bench.config.cell_ohm * bench.command.window.discharge_A[0]
        bench.step()
        assert bench.state.watch.wire_heat[0, 0] <= 100.0**2 * (1.0 + 1e-9)
    warm = bench.command.window
    assert 100.0 <= warm.discharge_A[0] < 130.0 and reason(bench, "discharge") == "wiring"
    bench.put("current", 0.0)
    bench.cells[:] = rest
    bench.run(150.0)
    assert bench.command.window.peak_A[2, 1, 0] == pytest.approx(at_30_s, rel=0.01)


def test_peaks_fall_with_the_horizon_and_never_exceed_what_is_rated() -> None:
    bench = closed("one")
    bench.step(set_soc=0.15)
    bench.run(8.0)
    peak = bench.command.window.peak_A[:, :, 0]
    assert (np.diff(peak, axis=0) <= 1e-9).all()
    assert (peak <= np.array([140.0, 180.0]) + 1e-9).all() and (peak >= 0.0).all()
    bench.put("cell_voltage", np.nan, 0)
    bench.step()
    assert not bench.command.window.peak_A.any() and not bench.command.window.peak_W.any()


def test_powers_are_current_times_voltage() -> None:
    bench = closed("one")
    bench.run(0.1)
    window, volts = bench.command.window, bench.state.seen.value[bench.layout.where["cell_voltage"]].sum()
    assert window.charge_W[0] == pytest.approx(window.charge_A[0] * volts)
    assert window.discharge_W[0] == pytest.approx(window.discharge_A[0] * volts)


def test_discharge_ends_at_the_floor_of_soc() -> None:
    bench = closed("one")
    floor = site("one").limits.floor_soc[0]
    for soc, share in ((floor + 0.06, 1.0), (floor + 0.025, 0.5), (floor, 0.0)):
        bench.cells[:] = ocv_at(bench, soc)
        bench.step(set_soc=soc)
        assert bench.command.window.discharge_A[0] == pytest.approx(180.0 * share, rel=0.02, abs=0.5)


def test_a_foreign_bms_narrows_and_its_silence_gives_zero() -> None:
    bench = closed("supervised")
    bench.put("foreign_charge_limit", [30.0, 40.0])
    bench.step()
    assert bench.command.window.charge_A.tolist() == [30.0, 40.0]
    bench.silence("foreign_charge_limit", 1)
    bench.run(4.0)
    assert bench.command.window.charge_A.tolist() == [30.0, 0.0]


def test_derating_leaves_the_share_that_the_row_states() -> None:
    bench = closed("one")
    bench.put("current_check", 30.0)
    bench.run(7.0)
    assert bench.active("current_sensors_disagree")
    assert bench.command.window.charge_A[0] == pytest.approx(70.0)
    assert bench.command.window.discharge_A[0] == pytest.approx(90.0)


def foreign_bms() -> Bench:
    bench = Bench(site("supervised"))
    bench.run(0.5)
    return bench


def test_a_battery_that_hides_its_cells_is_used_by_what_its_own_bms_says() -> None:
    """Nothing can be estimated without cells: its own SOC holds the floor, and unknown is still zero."""
    bench = foreign_bms()
    assert bench.command.window.discharge_A.tolist() == [50.0, 50.0] and not bench.command.pre_alarm.any()
    bench.put("foreign_soc", 0.08, 0)
    bench.run(0.1)
    assert bench.command.window.discharge_A.tolist() == [0.0, 50.0]
    assert reason(bench, "discharge") == "state of charge" and bench.command.pre_alarm.tolist() == [True, False]
    bench.put("foreign_soc", np.nan, 1)
    bench.run(0.1)
    assert bench.command.window.discharge_A.tolist() == [0.0, 0.0]


def partly() -> Bench:
    """Return a pack whose last two cells and second sensor are measured by nobody."""
    whole = site("one")
    present, where = whole.sensing.present.copy(), whole.layout.where
    present[[where["cell_voltage"].start + 2, where["cell_voltage"].start + 3, where["temp_degC"].start + 1]] = False
    facts = dict.fromkeys(rows.FACTS, np.array([True]))
    sensing = replace(whole.sensing, present=present)
    files = {row.name: row for row in rows.read_rows()}
    base = [next(n for n in (name, name.rpartition("_")[0]) if n in files) for name in whole.faults.name]
    enabled = np.array([rows.enabled(whole.layout, sensing, facts, files[name].need) for name in base])
    return Bench(replace(whole, sensing=sensing, faults=replace(whole.faults, enabled=enabled)))


def test_what_nobody_measures_holds_neither_limits_nor_faults() -> None:
    bench = partly()
    bench.close()
    assert bench.command.window.charge_A[0] > 0.0
    assert reason(bench, "discharge") == "state of charge"  # of a cell that nobody measures nobody knows it
    bench.put("cell_voltage", 3.7, 1)
    bench.put("temp_degC", 61.0, 0)
    bench.run(2.0)
    assert bench.latched("cell_over_voltage_maximum") and bench.latched("over_temperature_maximum")
    bench.let_go("cell_voltage", 1)
    bench.put("temp_degC", 25.0, 0)
    bench.run(11.0)
    bench.step(reset=True)
    assert not bench.latched("cell_over_voltage_maximum") and not bench.latched("over_temperature_maximum")
    bench.put("cell_voltage", np.nan, 0)
    bench.step()
    assert bench.command.window.charge_A[0] == 0.0  # measured and unknown is not absent


def warmed(hot_degC: float) -> Bench:
    """Return a closed bench whose sensors have said hot_degC for a while."""
    bench = closed("one")
    bench.put("temp_degC", hot_degC)
    bench.run(3.1)
    return bench


def with_core(core_degC: float, before: Bench) -> Bench:
    """Return the bench one cycle after the core of the second cell was told."""
    bench = before.fork()
    hot_degC = bench.of("temp_degC")[0]
    cores = np.where(np.arange(bench.layout.size["cell"]) == 1, core_degC, hot_degC)
    bench.state = replace(bench.state, estimate=replace(bench.state.estimate, core_degC=cores))
    bench.step()
    return bench


@pytest.mark.parametrize(("core", "share"), [(np.nan, 1.0), (30.0, 1.0), (44.1, 1.0), (46.67, 0.5), (49.2, 0.0)])
def test_a_warm_core_narrows_between_the_same_limits_as_sensors_two_sigmas_early(core: float, share: float) -> None:
    bench = with_core(core, warmed(40.0))  # 45 to 50 degC; 44.1 counts as 44.92, 46.67 as 48.0, 49.2 as 51.04
    judged = core + 0.2 * (core - 40.0)
    wanted = float(fade(np.array([judged]), np.array([45.0]), np.array([50.0]))[0]) if core > 40.0 else 1.0
    assert share == pytest.approx(wanted, abs=0.11)
    assert bench.command.window.charge_A[0] == pytest.approx(140.0 * wanted, abs=0.01)
    assert (reason(bench, "charge") == "core temperature") == (wanted < 1.0)


@settings(max_examples=25)  # each runs some 150 cycles
@given(core=st.floats(-40.0, 90.0) | st.just(np.nan), hot=st.floats(-20.0, 60.0))
def test_an_estimated_core_never_raises_a_limit(core: float, hot: float) -> None:
    before = warmed(hot)
    told, without = (with_core(degC, before).command.window for degC in (core, np.nan))
    assert told.charge_A[0] <= without.charge_A[0] + 1e-9 and told.discharge_A[0] <= without.discharge_A[0] + 1e-9
    assert (told.peak_A <= without.peak_A + 1e-9).all()


@pytest.mark.parametrize("why", SOP_REASONS)
def test_a_forecast_of_the_voltage_leaves_the_tail_current_and_one_of_anything_else_forbids(why: str) -> None:
    bench = closed("one")
    said, tail_A = bench.state.estimate, float(bench.config.limits.tail_A[0])
    nothing, index = np.zeros_like(said.sop_A), np.full_like(said.sop_reason, SOP_REASONS.index(why))
    amps, watts = limit.forecast(bench.config, replace(said, sop_A=nothing, sop_W=nothing, sop_reason=index))
    assert (amps[:-1, 0] == (tail_A if why == "voltage" else 0.0)).all()
    assert not amps[:, 1].any() and not amps[-1].any(), "nor of discharge, nor where the state of charge bounds"
    assert ((watts > 0.0) == (amps > 0.0)).all()
    for sop_A in (np.nan, tail_A - 0.1, tail_A + 0.1):  # what is not said stays so, what is more stands
        amps, _ = limit.forecast(bench.config, replace(said, sop_A=nothing + sop_A, sop_reason=index))
        least = np.fmax(sop_A, tail_A) if why == "voltage" and not np.isnan(sop_A) else sop_A
        np.testing.assert_array_equal(amps[:-1, 0], least)


def test_the_measured_voltage_still_ends_the_charge_where_the_forecast_leaves_the_tail() -> None:
    bench = closed("one")
    bench.put("cell_voltage", 3.551, 1)
    bench.run(1.0)
    assert bench.command.window.charge_A[0] == 0.0 and reason(bench, "charge") == "cell voltage high"
