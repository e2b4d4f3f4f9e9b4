"""Is sigma what it says? Plants equal to the model and plants with drawn errors, two chemistries, many cells."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from cellarer.cells import load
from cellarer.core import estimate
from cellarer.core.estimate import numpy_form
from cellarer.core.estimate.equations import falling
from cellarer.core.estimate.state import get
from cellarer.model.cell import CellModel

CELLS, ROWS, LATE, TEMP_DEGC, NOISE_V = 64, 4500, 600, 25.0, 1e-3
Floats = np.ndarray


@dataclass(frozen=True)
class Errors:
    """How far a plant and its sensors lie from what the filter is told, one sigma of a normal draw each."""

    start: float = 0.1  # of SOC
    capacity: float = 0.0  # relative
    resistance: float = 0.0  # relative
    offset_C: float = 0.0
    volts: float = 0.0
    curve: float = 0.0  # of SOC: the whole curve is shifted so far


def table(model: CellModel, rows: Floats) -> Floats:
    """One table of the model at TEMP_DEGC over its SOC grid, or one number."""
    if rows.ndim == 1:
        return np.asarray(np.interp(TEMP_DEGC, model.temp_degC, rows))
    return np.array([np.interp(TEMP_DEGC, model.temp_degC, column) for column in rows.T])


def profile(capacity_Ah: float, seed: int) -> Floats:
    """(row,) A at 1 s: stretches of wandering current and rests, down to about a tenth of the charge."""
    r = np.random.default_rng(seed)
    walk = np.cumsum(r.normal(0.0, 0.25, ROWS))
    current = -0.6 + 0.8 * np.tanh(walk - np.convolve(walk, np.ones(600) / 600, "same")) + r.normal(0.0, 0.3, ROWS)
    current[(np.arange(ROWS) % 900) > 780] = 0.0
    current[:5] = 0.0
    ahead = np.cumsum(current) / 3600.0
    return np.asarray(current * min(1.0, 0.85 / -ahead.min()) * capacity_Ah)


def plant(model: CellModel, current: Floats, start: Floats, capacity: Floats, scale: Floats, shift: Floats):
    """Voltage and SOC, (row, cell), by the model's law, stepped here: exact decay, no held tables."""
    grid = np.linspace(0.0, 1.0, model.ocv.shape[1])
    ocv, gap, r0, r1, r2 = (table(model, rows) for rows in (model.ocv, model.hysteresis, model.r0, model.r1, model.r2))
    tau, exchange = [float(table(model, x)) for x in (model.tau1, model.tau2)], float(table(model, model.exchange_A))
    z, h, s = start.copy(), np.zeros(CELLS), np.zeros((2, CELLS))
    volts, soc = np.empty((ROWS, CELLS)), np.empty((ROWS, CELLS))
    for row, i in enumerate(current):
        if row:
            before = current[row - 1]
            z = z + before / 3600.0 / capacity
            h = h + (1.0 - np.exp(-model.hysteresis_rate * abs(before) / 3600.0 / capacity)) * (np.sign(before) - h)
            for n in (0, 1):
                s[n] += (1.0 - np.exp(-1.0 / tau[n])) * (before - s[n])
        at = z + shift
        drop = np.interp(at, grid, r0) * falling(i / exchange) * i
        drop = drop + np.interp(at, grid, r1) * s[0] + np.interp(at, grid, r2) * s[1]
        volts[row], soc[row] = np.interp(at, grid, ocv) + np.interp(at, grid, gap) * h + scale * drop, z
    return volts, soc


def run(name: str, errors: Errors, seed: int = 1) -> tuple[Floats, Floats, Floats]:
    """Error of SOC and its sigma, (row from LATE on, cell), and strain at the end."""
    model, r = load(name).model, np.random.default_rng(seed)
    q = model.capacity_Ah

    def drawn(sigma: float) -> Floats:
        return np.asarray(sigma * np.clip(r.normal(size=CELLS), -2.5, 2.5))

    start = r.uniform(0.93, 1.0, CELLS)
    current = profile(q, seed)
    volts, soc = plant(
        model, current, start, q * (1.0 + drawn(errors.capacity)), 1.0 + drawn(errors.resistance), drawn(errors.curve)
    )
    cfg = estimate.compile_cells(
        [model], np.zeros(CELLS, int), np.full(CELLS, q), np.ones(CELLS), learn_C=estimate.RECORDED_C
    )
    told = np.clip(start + drawn(errors.start), 0.0, 1.0)
    state = estimate.init(
        cfg, told, np.full(CELLS, max(errors.start, 0.01)), capacity_sigma_Ah=np.full(CELLS, 0.02 * q)
    )
    seen = volts + drawn(errors.volts) + NOISE_V * r.normal(size=volts.shape)
    amperes = current[:, None] + drawn(errors.offset_C) * q
    dt = np.r_[0.0, np.ones(ROWS - 1)]
    state, z, sigma = estimate.run_block(cfg, state, seen, amperes, np.full((ROWS, 1), TEMP_DEGC), dt)
    return z[LATE:] - soc[LATE:], sigma[LATE:], get(cfg, state, "strain")


def follow(model: CellModel, volts: Floats, current: Floats, told: Floats, sigma: float) -> tuple[Floats, Floats]:
    """SOC and its sigma, (row, cell), of cells of this kind that a recording shows; rows of 1 s."""
    q, rows = model.capacity_Ah, np.full((ROWS, 1), TEMP_DEGC)
    cfg = estimate.compile_cells(
        [model], np.zeros(CELLS, int), np.full(CELLS, q), np.ones(CELLS), learn_C=estimate.RECORDED_C
    )
    state = estimate.init(cfg, told, np.full(CELLS, sigma), capacity_sigma_Ah=np.full(CELLS, 0.01 * q))
    amperes = np.repeat(current[:, None], CELLS, axis=1)
    return estimate.run_block(cfg, state, volts, amperes, rows, np.r_[0.0, np.ones(ROWS - 1)])[1:]


@pytest.mark.parametrize("rate_C", [0.3, -0.3])
def test_gap_of_another_width_stays_inside_sigma_where_a_cell_starts_under_current(rate_C: float) -> None:
    """The plant's gap is 1.4 times the file's; SOC is told 20 points to where the wrong branch pulls it as well."""
    model = load("a123_26650").model
    q, one, away = model.capacity_Ah, np.ones(CELLS), 0.2 * np.sign(rate_C)
    start = np.linspace(0.05, 0.4, CELLS) if rate_C > 0.0 else np.linspace(0.5, 0.85, CELLS)
    current = np.full(ROWS, rate_C * q)
    volts, soc = plant(replace(model, hysteresis=1.4 * model.hysteresis), current, start, q * one, one, 0.0 * one)
    z, sigma = follow(model, volts, current, start + away, 0.2)
    error, sigma = np.abs(z - soc)[LATE:], sigma[LATE:]
    assert (error < 2.0 * sigma).mean() > 0.9
    assert np.sqrt(np.mean(sigma**2)) < 3.0 * np.sqrt(np.mean(error**2))


@pytest.mark.parametrize("volts_off", [-0.005, 0.005])
def test_offset_of_the_voltage_stays_inside_sigma_where_a_flat_cell_stands_by(volts_off: float) -> None:
    model = load("lfp_280ah").model
    q, one, start = model.capacity_Ah, np.ones(CELLS), np.linspace(0.3, 0.9, CELLS)
    current = np.full(ROWS, -0.003 * q)
    volts, soc = plant(model, current, start, q * one, one, 0.0 * one)
    z, sigma = follow(model, volts + volts_off, current, np.clip(start + 40.0 * volts_off, 0.0, 1.0), 0.2)
    error = np.abs(z - soc)[LATE:]
    assert (error < 2.0 * sigma[LATE:]).mean() > 0.96


@pytest.mark.parametrize("name", ["panasonic_18650pf", "a123_26650"])
def test_plant_equal_to_the_model_is_followed_and_no_innovation_beyond_its_promise(name: str) -> None:
    error, sigma, strain = run(name, Errors())
    assert np.sqrt(np.mean(error**2)) < 0.01
    assert (np.abs(error) < 2.0 * sigma).mean() > 0.95
    assert strain.max() < 1.0, "mean innovation² over its promise"


@pytest.mark.parametrize("name", ["panasonic_18650pf", "a123_26650"])
def test_drawn_errors_stay_inside_sigma_and_sigma_is_no_wider_than_it_must(name: str) -> None:
    errors = Errors(capacity=0.02, resistance=0.15, offset_C=0.004, volts=0.004, curve=0.006)
    error, sigma, _ = (np.concatenate(parts) for parts in zip(*(run(name, errors, s) for s in (1, 2, 3)), strict=True))
    assert (np.abs(error) < 2.0 * sigma).mean() >= 0.90
    assert np.sqrt(np.mean(sigma**2)) <= 3.0 * np.sqrt(np.mean(error**2))


def test_strain_tells_a_plant_that_is_another_one() -> None:
    """Innovations of a cell with a curve that is no longer its own rise beyond the promise; sigma widens with them."""
    good_error, good_sigma, good = run("panasonic_18650pf", Errors(start=0.0))
    _, sigma, strain = run("panasonic_18650pf", Errors(start=0.0, resistance=1.0, curve=0.1))
    assert np.median(strain) > 3.0 * np.median(good)
    assert sigma.mean() > good_sigma.mean()
    assert np.abs(good_error).max() < 0.02


@pytest.mark.parametrize("name", ["lfp_280ah", "a123_26650", "panasonic_18650pf"])
@pytest.mark.parametrize("told", [0.1, 0.25, 0.8])
def test_first_voltage_leaves_the_truth_inside_sigma_wherever_the_start_was_told(name: str, told: float) -> None:
    """Also where the told SOC lies below the knee of a flat curve: truth is drawn from what was told, at rest."""
    model, n, r = load(name).model, 400, np.random.default_rng(5)
    truth = np.clip(told + 0.1 * np.clip(r.normal(size=n), -2.5, 2.5), 0.0, 1.0)
    cfg = estimate.compile_cells([model], np.zeros(n, int), np.full(n, model.capacity_Ah), np.ones(n))
    volts = numpy_form.look_up(cfg.tables.node, cfg.tables.rows, cfg.kind[:n], truth, np.full(n, TEMP_DEGC))[0]
    state = estimate.init(cfg, np.full(n, told), np.full(n, 0.1))
    state = estimate.step(cfg, state, volts, np.zeros(n), np.full(n, TEMP_DEGC), 0.0)
    error, sigma = get(cfg, state, "z") - truth, np.sqrt(get(cfg, state, "p00"))
    assert (np.abs(error) < 2.0 * sigma).mean() > 0.9
    assert np.sqrt(np.mean(sigma**2)) < 0.1, "a voltage makes nobody less sure"


@pytest.mark.parametrize(("off", "volts_off"), [(0.0, 0.0), (1.0, 0.0), (1.0, 0.004)])
def test_flat_curve_is_honest_about_a_start_on_either_branch_of_its_hysteresis(off: float, volts_off: float) -> None:
    """A cell that was charged or discharged lies on a branch, and nobody says on which; it rests for half an hour.

    An offset of the voltage makes the gap seem wider.
    """
    model, r = load("a123_26650").model, np.random.default_rng(6)
    truth, side = r.uniform(0.1, 0.9, 200), r.choice([-1.0, 1.0], 200)
    told = np.clip(truth + 0.1 * off * r.choice([-1.0, 1.0], 200), 0.0, 1.0)
    cfg = estimate.compile_cells([model], np.zeros(200, int), np.full(200, model.capacity_Ah), np.ones(200))
    node = numpy_form.look_up(cfg.tables.node, cfg.tables.rows, cfg.kind[:200], truth, np.full(200, TEMP_DEGC))
    state = estimate.init(cfg, told, np.full(200, 0.1))
    for row in range(30):
        volts = node[0] + side * (node[1] + volts_off) + NOISE_V * r.normal(size=200)
        state = estimate.step(cfg, state, volts, np.zeros(200), np.full(200, TEMP_DEGC), 60.0 if row else 0.0)
    error = np.abs(get(cfg, state, "z") - truth)
    assert (error < 2.0 * estimate.soc_sigma(cfg, state)).mean() >= 0.9
