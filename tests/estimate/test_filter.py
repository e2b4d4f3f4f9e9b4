"""The filter: kernel and NumPy form agree, unknown is masked, gaps and permutations behave, nothing diverges."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellarer.cells import load
from cellarer.core import estimate
from cellarer.core.estimate import equations, fields, numpy_form
from cellarer.core.estimate.stamp import SOURCES, stamp
from cellarer.core.estimate.tables import compile_tables

HERE = Path(estimate.__file__).parent
MODELS = [
    replace(load(name).model, doubt_degC=np.array([0.0, 20.0]), doubt=np.array([0.2, 0.0]))
    for name in ("panasonic_18650pf", "lfp_280ah")
]

pytestmark = pytest.mark.filterwarnings("ignore:Inspection disabled")


def site(cells: int = 20, learn_C: float = 0.0) -> estimate.EstimatorConfig:
    """Cells of two kinds, some of them two in parallel."""
    kind = np.arange(cells) % 2
    parallel = 1.0 + np.arange(cells) % 3
    capacity = np.array([m.capacity_Ah for m in MODELS])[kind] * parallel
    return estimate.compile_cells(MODELS, kind, capacity, parallel, learn_C)


def drive(cfg: estimate.EstimatorConfig, rows: int, seed: int = 1) -> tuple[np.ndarray, ...]:
    """Random currents with pauses, plausible voltages, drifting temperature, uneven steps with one gap."""
    r = np.random.default_rng(seed)
    amperes = r.normal(0.0, 0.4, (rows, cfg.cells)) * cfg.capacity_Ah * (r.random((rows, 1)) > 0.3)
    volts = np.where(cfg.kind[: cfg.cells] == 0, 3.7, 3.3) + 0.03 * r.normal(size=(rows, cfg.cells))
    temp = 25.0 - np.linspace(0.0, 30.0, rows)[:, None] + r.normal(0.0, 0.1, (rows, cfg.cells))
    dt = r.choice([0.1, 0.1, 0.5, 1.0, 10.0, 60.0], rows)
    dt[0], dt[rows // 2] = 0.0, 900.0
    return volts, amperes, temp, dt


@pytest.mark.needs("numba")
def test_kernel_and_numpy_form_agree_per_step() -> None:
    from cellarer.core.estimate import kernel

    cfg = site()
    volts, amperes, temp, dt = drive(cfg, 200)
    volts[5::7, 3] = np.nan
    amperes[9::11, 4] = np.nan
    state = estimate.init(cfg, np.full(cfg.cells, 0.6), np.full(cfg.cells, 0.05))
    for row in range(200):
        arguments = (cfg, state, volts[row], amperes[row], temp[row], float(dt[row]))
        fast, plain = estimate.step(*arguments), estimate.step(*arguments, plain=True)
        np.testing.assert_allclose(fast.buffer, plain.buffer, rtol=1e-9, atol=1e-12)
        state = fast
    assert stamp({name: (HERE / name).read_text(encoding="utf-8") for name in SOURCES}) == kernel.STAMP


@pytest.mark.needs("numba")
def test_run_block_equals_step_row_by_row() -> None:
    cfg = site(learn_C=estimate.RECORDED_C)
    volts, amperes, temp, dt = drive(cfg, 300)
    volts[20:40, 2] = np.nan
    temp[50:60, 1] = np.nan
    amperes[100:220] = 0.004 * cfg.capacity_Ah
    state = estimate.init(cfg, np.full(cfg.cells, 0.6), np.full(cfg.cells, 0.05))
    _, soc, sigma = estimate.run_block(cfg, state, volts, amperes, temp, dt)
    for row in range(300):
        state = estimate.step(cfg, state, volts[row], amperes[row], temp[row], float(dt[row]))
        np.testing.assert_allclose(soc[row], estimate.soc(cfg, state), atol=1e-9)
        np.testing.assert_allclose(sigma[row], estimate.soc_sigma(cfg, state), atol=1e-9)


@pytest.mark.needs("numba")
def test_run_block_goes_through_tiles_of_cells_and_rows() -> None:
    from cellarer.core.estimate import kernel

    cfg = site(kernel.TILE_BLOCKS * fields.LANES + 5)
    rows = kernel.TILE // (kernel.TILE_BLOCKS * fields.LANES) + 3
    volts, amperes, temp, dt = drive(cfg, rows)
    state = estimate.init(cfg, np.full(cfg.cells, 0.6), np.full(cfg.cells, 0.05))
    end, soc, _ = estimate.run_block(cfg, state, volts, amperes, temp, dt)
    for row in range(rows):
        state = estimate.step(cfg, state, volts[row], amperes[row], temp[row], float(dt[row]))
        np.testing.assert_allclose(soc[row], estimate.soc(cfg, state), atol=1e-9)
    np.testing.assert_allclose(estimate.soc_sigma(cfg, end), estimate.soc_sigma(cfg, state), atol=1e-9)


@pytest.mark.needs("numba")
def test_kernel_is_vectorised_and_its_field_table_is_whole() -> None:
    import llvmlite.binding as llvm
    from numba import njit

    from cellarer.core.estimate import kernel

    fresh = njit(**{**kernel.OPTIONS, "cache": False})(kernel.step_buffer.py_func)
    cfg = site()
    state = estimate.init(cfg, np.full(cfg.cells, 0.5), np.full(cfg.cells, 0.1))
    fresh(state.buffer.copy(), cfg.tables.node, cfg.tables.rows, cfg.kind, 0.1, 0.0, 0.0)
    assembly = "".join(fresh.inspect_asm().values())
    packed = len(re.findall(r"\b(?:v?mulpd|vf\w+pd|fmul\s+v\d+\.2d|fmla\s+v\d+\.2d)", assembly))
    alone = len(re.findall(r"\b(?:v?mulsd|vf\w+sd|fmul\s+d\d+|fmadd\s+d\d+)", assembly))
    assert packed > 200, "advance and settle"
    assert alone < 100, "only the look-up is done cell by cell"
    if "+avx512f" in llvm.get_host_cpu_features().flatten():
        assert len(re.findall(r"vf\w+pd\s.*%zmm", assembly)) > 100, "eight lanes at once, not the four of LLVM's choice"
    assert fields.INDEX["x_far_r"] * fields.LANES == kernel.X_FAR_R
    assert fields.INDEX["in_noise"] * fields.LANES == kernel.IN_NOISE
    assert fields.NAMES[: fields.STATE_WIDTH][-1] == "p55"
    assert len(set(fields.NAMES)) == fields.FIELDS


def test_buffer_of_the_caller_is_not_altered() -> None:
    cfg = site(3)
    state = estimate.init(cfg, np.full(3, 0.5), np.full(3, 0.1))
    before, pairs = state.buffer.copy(), state.pairs.copy()
    estimate.step(cfg, state, np.full(3, 3.5), np.full(3, 1.0), np.full(3, 25.0), 1.0)
    np.testing.assert_array_equal(before, state.buffer)
    np.testing.assert_array_equal(pairs, state.pairs)


@given(st.integers(0, 2**31))
def test_garbage_never_leaves_the_bounds(seed: int) -> None:
    r = np.random.default_rng(seed)
    cfg = site(7)
    state = estimate.init(cfg, r.uniform(-0.5, 1.5, 7), r.uniform(0.0, 1.0, 7))
    for _ in range(12):
        volts = np.where(r.random(7) < 0.3, np.nan, r.uniform(0.0, 6.0, 7))
        amperes = np.where(r.random(7) < 0.3, np.nan, r.normal(0.0, 3.0, 7) * cfg.capacity_Ah)
        temp = np.where(r.random(7) < 0.3, np.nan, r.uniform(-60.0, 120.0, 7))
        state = estimate.step(cfg, state, volts, amperes, temp, float(r.choice([0.001, 0.1, 1.0, 60.0, 1e4, 1e8])))
    assert np.isfinite(state.buffer).all()
    soc, sigma = estimate.soc(cfg, state), estimate.soc_sigma(cfg, state)
    known = np.isfinite(soc)
    assert ((soc[known] >= -0.031) & (soc[known] <= 1.031)).all()
    assert ((sigma[known] >= 0.0) & (sigma[known] <= 1.0)).all()
    scale = estimate.resistance_scale(cfg, state)
    assert ((scale >= 0.5) & (scale <= 2.5)).all()


def test_unknown_voltage_integrates_and_widens_sigma() -> None:
    cfg = site(2)
    state = estimate.init(cfg, np.full(2, 0.5), np.full(2, 0.01))
    one_c = cfg.capacity_Ah
    for row in range(61):
        state = estimate.step(cfg, state, np.full(2, np.nan), one_c, np.full(2, 25.0), 0.0 if row == 0 else 1.0)
    np.testing.assert_allclose(estimate.soc(cfg, state), 0.5 + 60.0 / 3600.0, atol=1e-9)
    assert (estimate.soc_sigma(cfg, state) > 0.01).all()


def test_unknown_current_lets_sigma_grow_faster() -> None:
    cfg = site(2)
    start = estimate.init(cfg, np.full(2, 0.5), np.full(2, 0.01))
    known = lost = start
    none = np.full(2, np.nan)
    for _ in range(60):
        known = estimate.step(cfg, known, none, np.zeros(2), np.full(2, 25.0), 1.0)
        lost = estimate.step(cfg, lost, none, none, np.full(2, 25.0), 1.0)
    assert (estimate.soc_sigma(cfg, lost) > 1.25 * estimate.soc_sigma(cfg, known)).all()


def test_gap_integrates_nothing_and_widens_sigma() -> None:
    cfg = site(2)
    state = estimate.init(cfg, np.full(2, 0.5), np.full(2, 0.01))
    state = estimate.step(cfg, state, np.full(2, np.nan), cfg.capacity_Ah, np.full(2, 25.0), 1.0)
    after = estimate.step(cfg, state, np.full(2, np.nan), cfg.capacity_Ah, np.full(2, 25.0), 3600.0)
    np.testing.assert_allclose(estimate.soc(cfg, after), estimate.soc(cfg, state), atol=1e-9)
    assert (estimate.soc_sigma(cfg, after) > 0.05).all()


def test_order_of_cells_does_not_matter() -> None:
    cfg = site(24)
    volts, amperes, temp, dt = drive(cfg, 40)
    turn = np.random.default_rng(3).permutation(24)
    other = estimate.compile_cells(MODELS, cfg.kind[:24][turn], cfg.capacity_Ah[turn], cfg.parallel[turn])
    one = estimate.init(cfg, np.full(24, 0.6), np.full(24, 0.05))
    two = estimate.init(other, np.full(24, 0.6), np.full(24, 0.05))
    for row in range(40):
        one = estimate.step(cfg, one, volts[row], amperes[row], temp[row], float(dt[row]))
        two = estimate.step(other, two, volts[row][turn], amperes[row][turn], temp[row][turn], float(dt[row]))
    np.testing.assert_allclose(estimate.soc(cfg, one)[turn], estimate.soc(other, two), atol=1e-12)
    np.testing.assert_allclose(estimate.soc_sigma(cfg, one)[turn], estimate.soc_sigma(other, two), atol=1e-12)


def test_parallel_cells_scale_current_and_capacity() -> None:
    one = estimate.compile_cells(MODELS, np.array([0]), np.array([3.0]), np.array([1.0]))
    four = estimate.compile_cells(MODELS, np.array([0]), np.array([12.0]), np.array([4.0]))
    a = estimate.init(one, np.array([0.7]), np.array([0.05]))
    b = estimate.init(four, np.array([0.7]), np.array([0.05]))
    for row in range(50):
        i = np.array([np.sin(row)])
        a = estimate.step(one, a, np.array([3.7]), i, np.array([20.0]), 1.0)
        b = estimate.step(four, b, np.array([3.7]), 4.0 * i, np.array([20.0]), 1.0)
    np.testing.assert_allclose(a.buffer.reshape(-1)[0], b.buffer.reshape(-1)[0], rtol=1e-12)
    np.testing.assert_allclose(4.0 * estimate.current_offset(one, a), estimate.current_offset(four, b), rtol=1e-9)


def test_unknown_soc_comes_from_the_first_voltage() -> None:
    cfg = estimate.compile_cells(MODELS, np.array([0, 1]), np.array([3.0, 280.0]), np.ones(2))
    state = estimate.init(cfg, np.full(2, np.nan), np.full(2, np.nan))
    assert np.isnan(estimate.soc(cfg, state)).all()
    nmc, k = MODELS[0], int(np.argmin(np.abs(MODELS[0].temp_degC - 25.0)))
    volts = np.array([np.interp(0.4, np.linspace(0, 1, nmc.ocv.shape[1]), nmc.ocv[k]), 3.31])
    state = estimate.step(cfg, state, volts, np.zeros(2), np.full(2, nmc.temp_degC[k]), 0.0)
    soc, sigma = estimate.soc(cfg, state), estimate.soc_sigma(cfg, state)
    assert abs(soc[0] - 0.4) < 0.03
    assert sigma[0] < 0.12, "it may come out of a drive"
    assert sigma[1] > 0.15, "the flat curve of LFP must not pretend to know"


def test_first_voltage_at_rest_puts_a_wrong_start_right_at_once() -> None:
    cfg = estimate.compile_cells(MODELS, np.array([0, 1]), np.array([3.0, 280.0]), np.ones(2))
    nca, k = MODELS[0], int(np.argmin(np.abs(MODELS[0].temp_degC - 25.0)))
    volts = np.array([nca.ocv[k, -1], 3.33])
    state = estimate.init(cfg, np.array([0.8, 0.7]), np.full(2, 0.1))
    state = estimate.step(cfg, state, volts, np.zeros(2), np.full(2, nca.temp_degC[k]), 0.0)
    assert estimate.soc(cfg, state)[0] > 0.97
    assert estimate.soc_sigma(cfg, state)[0] < 0.04
    assert estimate.soc_sigma(cfg, state)[1] > 0.07, "the plateau of LFP tells nothing at once"


@pytest.mark.parametrize("degC", [-15.0, 25.0])
def test_a_cell_that_a_charge_lifts_above_its_full_voltage_is_not_taken_for_full(degC: float) -> None:
    """0.6 C for an hour at 40 %. At rest the same voltage is that of a full cell: no polarisation can have made it."""
    cfg = estimate.compile_cells(MODELS, np.array([1]), np.array([280.0]), np.ones(1))
    node = numpy_form.look_up(cfg.tables.node, cfg.tables.rows, cfg.kind[:1], np.array([0.4]), np.array([degC]))
    volts, found = node[0] + 168.0 * (node[2] + node[3] + node[4]), []
    for amperes in (168.0, 0.0):
        state = estimate.init(cfg, np.array([0.4]), np.full(1, 0.2))
        state = estimate.step(cfg, state, volts, np.full(1, amperes), np.full(1, degC), 0.0)
        found.append(float(estimate.soc(cfg, state)[0]))
        assert abs(found[-1] - 0.4) < estimate.soc_sigma(cfg, state)[0] or amperes == 0.0
    assert found[1] > 0.9


def test_unknown_start_hears_its_voltage_once() -> None:
    cfg = estimate.compile_cells(MODELS, np.array([0]), np.array([3.0]), np.ones(1))
    state = estimate.init(cfg, np.full(1, np.nan), np.full(1, np.nan))
    state = estimate.step(cfg, state, np.array([3.7]), np.zeros(1), np.full(1, 25.0), 0.0)
    assert estimate.soc_sigma(cfg, state) >= 0.03, "what one voltage tells, not twice as much"


@pytest.mark.parametrize(("amperes", "hours", "pulled"), [(-0.3, 1.5, False), (0.0, 4.0, True)])
def test_collapse_under_discharge_is_not_taken_for_an_empty_cell(amperes: float, hours: float, pulled: bool) -> None:
    """Grains run empty at their surface, in the cold with 20 % left: 0.7 V too low. At rest for hours it is SOC."""
    cfg = estimate.compile_cells(MODELS, np.array([0]), np.array([3.0]), np.ones(1))
    state = estimate.init(cfg, np.full(1, 0.6), np.full(1, 0.03))
    volts, truth, before = np.full(1, np.nan), 0.6, 0.0
    for row in range(300 + round(360 * hours)):
        current = amperes if row >= 300 else -1.5 if row % 6 else -0.3
        truth += 10.0 * (before + current) / 2.0 / 3600.0 / 3.0 if row else 0.0
        state = estimate.step(cfg, state, volts, np.full(1, current), np.zeros(1), 10.0 if row else 0.0)
        volts, before = estimate.voltage_model(cfg, state) if row < 300 else np.full(1, 2.5), current
    assert (abs(float(estimate.soc(cfg, state)[0]) - truth) > 0.05) == pulled


def test_rest_teaches_the_current_offset() -> None:
    cfg = estimate.compile_cells(MODELS, np.array([0, 1]), np.array([3.0, 280.0]), np.ones(2))
    state = estimate.init(cfg, np.full(2, 0.5), np.full(2, 0.02))
    offset = 0.01 * cfg.capacity_Ah
    for row in range(600):
        state = estimate.step(
            cfg, state, np.full(2, np.nan), offset, np.full(2, 25.0), float(row > 0), rest=np.ones(2, bool)
        )
    np.testing.assert_allclose(estimate.current_offset(cfg, state), offset, rtol=0.1)
    np.testing.assert_allclose(estimate.soc(cfg, state), 0.5, atol=3e-4)


def test_tables_extend_resistance_into_the_cold_and_stay_positive() -> None:
    node = compile_tables(MODELS).node.reshape(len(MODELS), 19, 257, fields.NODE_WIDTH)
    assert np.isfinite(node).all()
    assert (node[..., 2] > 0).all()
    assert (np.diff(node[:, :, 128, 2], axis=1) <= 0).all(), "r0 at 50 % falls with warmth, also beyond the data"


def test_decay_and_falling_resistance_are_close_to_their_functions() -> None:
    y = np.linspace(0.0, 30.0, 3001)
    assert np.abs(equations.decay(y) - np.exp(-y)).max() < 2e-3
    assert np.abs(equations.decay(y[:100]) - np.exp(-y[:100])).max() < 1e-5
    z = numpy_form.look_up(compile_tables(MODELS).node, compile_tables(MODELS).rows, np.zeros(3, np.int64),
                           np.array([-0.02, 0.5, 1.02]), np.full(3, 25.0))  # fmt: skip
    assert (np.diff(z[0]) > 0).all()


@pytest.mark.parametrize(
    ("drawn_C", "learn_C", "counts"), [(0.01, 0.002, True), (0.001, 0.002, False), (0.001, 0.0, True)]
)
def test_a_steady_small_current_counts_unless_it_may_be_the_zero_of_the_sensor(
    drawn_C: float, learn_C: float, counts: bool
) -> None:
    model, rows = load("lfp_280ah").model, 2 * 3600
    q = model.capacity_Ah
    cfg = estimate.compile_cells([model], np.zeros(1, int), np.array([q]), np.ones(1), learn_C)
    state = estimate.init(cfg, np.array([0.6]), np.array([0.002]))
    volts = np.full((rows, 1), np.nan)  # no voltage: nothing but counting is asked
    current, degC = np.full((rows, 1), -drawn_C * q), np.full((rows, 1), 25.0)
    _, z, _ = estimate.run_block(cfg, state, volts, current, degC, np.ones(rows))
    assert 0.6 - z[-1, 0] == pytest.approx(2.0 * drawn_C if counts else 0.0, abs=0.05 * drawn_C)


STANDBY = 20  # h


def standby(name: str, drawn_C: float, offset_C: float, voltage: bool, rest_s: int = 0) -> tuple[float, float]:
    """Error and sigma of SOC after 20 h of a steady reading: a drain and an offset of the sensor; rows of 10 s."""
    model, rows, idle = load(name).model, STANDBY * 360, rest_s // 10
    q, soc0, degC = model.capacity_Ah, 0.6, 25.0
    flows = np.r_[np.zeros(idle), np.full(rows, -drawn_C)]
    soc = soc0 + np.r_[0.0, np.cumsum(flows[:-1])] * 10.0 / 3600.0
    volts = np.full((idle + rows, 1), np.nan)
    if voltage:
        grid, row = np.linspace(0.0, 1.0, model.ocv.shape[1]), int(np.abs(model.temp_degC - degC).argmin())
        resistance = sum(float(x[row, len(grid) // 2]) for x in (model.r0, model.r1, model.r2))
        volts[:, 0] = np.interp(soc, grid, model.ocv[row]) + resistance * flows * q
    cfg = estimate.compile_cells([model], np.zeros(1, int), np.array([q]), np.ones(1), estimate.RECORDED_C)
    state = estimate.init(cfg, np.array([soc0]), np.array([0.005]))
    read = np.where(flows == 0.0, 0.0, flows - offset_C) if rest_s else flows - offset_C
    dt = np.r_[0.0, np.full(idle + rows - 1, 10.0)]
    _, z, sigma = estimate.run_block(cfg, state, volts, (read * q)[:, None], np.full((idle + rows, 1), degC), dt)
    return float(z[-1, 0] - soc[-1]), float(sigma[-1, 0])


@pytest.mark.parametrize("read_C", [0.0005, 0.002, 0.006, 0.01, 0.0119, -0.01])
def test_a_recording_holds_a_drain_and_an_offset_of_the_same_reading_inside_two_sigma(read_C: float) -> None:
    for drawn_C, offset_C in ((read_C, 0.0), (0.0, read_C)):
        error, sigma = standby("lfp_280ah", drawn_C, offset_C, voltage=False)
        assert abs(error) < 2.0 * sigma
        assert sigma < STANDBY * abs(read_C) + 0.02, "no wider than either"


def test_a_steady_current_beyond_two_sigmas_of_an_offset_counts() -> None:
    error, _ = standby("lfp_280ah", 0.0121, 0.0, voltage=False)
    assert abs(error) < 1e-3


@pytest.mark.parametrize(("drawn_C", "offset_C"), [(0.01, 0.0), (0.0, 0.01), (0.005, 0.005), (0.003, 0.0)])
def test_voltage_tells_a_drain_from_an_offset_where_the_curve_is_steep(drawn_C: float, offset_C: float) -> None:
    error, sigma = standby("panasonic_18650pf", drawn_C, offset_C, voltage=True)
    assert abs(error) < 0.02, "of the 20 points that were read"
    assert abs(error) < 2.0 * sigma


def test_a_sensor_that_has_read_zero_has_no_offset_and_its_later_drain_counts() -> None:
    error, sigma = standby("lfp_280ah", 0.01, 0.0, voltage=False, rest_s=300)
    assert abs(error) < 0.01
    assert abs(error) < 2.0 * sigma
