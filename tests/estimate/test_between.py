"""Cells of a string are known against each other far better than by themselves; one at its end tells the others."""

import numpy as np
import pytest

from cellarer.cells import load
from cellarer.core import estimate
from cellarer.core.estimate import numpy_form

CELLS = 60


def pack(name: str, hours: float, seed: int, offset_C: float = 0.01, start: float = 0.55) -> tuple[
    estimate.EstimatorConfig, estimate.EstimateState, np.ndarray
]:  # fmt: skip
    """One string whose cells differ in SOC, capacity, resistance and voltage channel, on changing load."""
    model, n, r = load(name).model, CELLS, np.random.default_rng(seed)
    q, dt = model.capacity_Ah, 5.0
    cfg = estimate.compile_cells([model], np.zeros(n, int), np.full(n, q), np.ones(n))
    z = start + 0.01 * r.normal(size=n)
    share, scale, channel = 1 + 0.01 * r.normal(size=n), 1 + 0.05 * r.normal(size=n), 0.002 * r.normal(size=n)
    known = z + 0.005 * r.normal(size=n) + 0.04 * r.normal()  # all wrong together, and a little each
    state = estimate.init(cfg, known, np.full(n, 0.04), capacity_sigma_Ah=np.full(n, 0.01 * q))
    state = estimate.with_between(cfg, state, np.full(n, 0.005))
    s1, s2, h, kind, temp = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n, np.int64), np.full(n, 25.0)
    for step in range(int(hours * 3600 / dt)):
        i = q * (0.25 * np.sin(step * dt / 1800.0) + 0.3 * np.sign(np.sin(step * dt / 90.0)))
        node = numpy_form.look_up(cfg.tables.node, cfg.tables.rows, kind, z, temp)
        v = node[0] + node[1] * h + scale * (node[2] * i + node[3] * s1 + node[4] * s2) + channel
        seen = np.full(n, i + offset_C * q)
        state = estimate.step(cfg, state, v + 0.001 * r.normal(size=n), seen, temp, dt, current_mean=seen)
        s1 += (1 - np.exp(-dt * node[9])) * (i - s1)
        s2 += (1 - np.exp(-dt * node[10])) * (i - s2)
        h += (1 - np.exp(-node[12] * abs(i) * dt / 3600 / q)) * (np.sign(i) - h)
        z = z + i * dt / 3600 / (q * share)
    return cfg, state, z


@pytest.mark.parametrize("name", ["panasonic_18650pf", "lfp_280ah"])
def test_difference_of_cells_is_known_better_than_their_soc_and_honestly(name: str) -> None:
    inside, error, width, alone = [], [], [], []
    for seed in range(4):
        cfg, state, z = pack(name, 2.0, seed)
        said, sigma = estimate.soc(cfg, state), estimate.between_sigma(cfg, state)
        off = (said - said.mean()) - (z - z.mean())
        inside.append(np.abs(off) < 2.0 * sigma)
        error.append(off)
        width.append(sigma)
        alone.append(estimate.soc_sigma(cfg, state))
    rmse = float(np.sqrt(np.mean(np.square(error))))
    wide = float(np.sqrt(np.mean(np.square(width))))
    assert np.mean(inside) >= 0.9, (np.mean(inside), rmse, wide)
    assert wide < 3.0 * rmse, (rmse, wide)
    assert wide < 0.7 * float(np.mean(alone)), (wide, np.mean(alone))


def test_a_full_cell_narrows_its_neighbours_and_no_other_string() -> None:
    cfg, state, z = pack("lfp_280ah", 0.5, 7)
    strings = np.repeat([0, 1], CELLS // 2)
    soc, sigma = np.full(CELLS, np.nan), np.full(CELLS, 0.01)
    soc[3] = z[3]  # a cell whose end says what it has
    new = estimate.anchor(cfg, state, strings, soc, sigma)
    before, after = estimate.soc_sigma(cfg, state), estimate.soc_sigma(cfg, new)
    others = np.setdiff1d(np.flatnonzero(strings == 0), [3])
    assert (after[others] < 0.6 * before[others]).all()
    assert (np.abs(estimate.soc(cfg, new) - z)[others] < 3.0 * after[others]).all()
    np.testing.assert_array_equal(estimate.soc(cfg, new)[strings == 1], estimate.soc(cfg, state)[strings == 1])
    np.testing.assert_array_equal(after[strings == 1], before[strings == 1])


@pytest.mark.parametrize("name", ["panasonic_18650pf", "lfp_280ah"])
def test_an_empty_cell_is_anchored_near_zero_at_small_current_only(name: str) -> None:
    model = load(name).model
    q, temp, kind = model.capacity_Ah, np.full(2, 25.0), np.zeros(2, np.int64)
    cfg = estimate.compile_cells([model], kind, np.full(2, q), np.ones(2))
    z = np.array([0.10, 0.30])
    state = estimate.init(cfg, z + 0.08, np.full(2, 0.08))
    while z[0] > 0.005:
        i = -0.1 * q
        node = numpy_form.look_up(cfg.tables.node, cfg.tables.rows, kind, z, temp)
        v = node[0] - node[1] + (node[2] + node[3] + node[4]) * i
        state = estimate.step(cfg, state, v, np.full(2, i), temp, 10.0, current_mean=np.full(2, i))
        z = z + i * 10.0 / 3600 / q
    soc, sigma = estimate.empty(cfg, state)
    assert np.isfinite(soc).tolist() == [True, False]
    assert 0.003 < sigma[0] < 0.025
    assert abs(soc[0] - z[0]) < 2.0 * sigma[0]
    assert np.isnan(estimate.empty(cfg, state, most_C=0.05)[0]).all(), "at a larger current nobody is called empty"
    new = estimate.anchor(cfg, state, kind, soc, sigma)
    assert estimate.soc(cfg, new)[0] == soc[0]
    assert abs(estimate.soc(cfg, new)[1] - z[1]) < 2.0 * estimate.soc_sigma(cfg, new)[1]


def moved(unsure: float, hours: float = 1.2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """LFP cells between their knees that converters fill at C/4, by 5 % (one sigma) more or less than counted.

    Returns what SOC is off by, its sigma, and that against the other cells.
    """
    model, n, r = load("lfp_280ah").model, 200, np.random.default_rng(3)
    q, dt, fill = model.capacity_Ah, 10.0, 0.25 * model.capacity_Ah
    cfg = estimate.compile_cells([model], np.zeros(n, int), np.full(n, q), np.ones(n))
    gain, z, said_Ah = 1.0 + 0.05 * r.normal(size=n), np.full(n, 0.45), np.zeros(n)
    state = estimate.init(cfg, z + 0.003 * r.normal(size=n), np.full(n, 0.003), capacity_sigma_Ah=np.full(n, 0.001 * q))
    kind, temp = np.zeros(n, np.int64), np.full(n, 25.0)
    for _ in range(int(hours * 3600 / dt)):
        z = z + gain * fill * dt / 3600 / q
        node = numpy_form.look_up(cfg.tables.node, cfg.tables.rows, kind, z, temp)
        v = node[0] + node[1] + (node[2] + node[3] + node[4]) * fill + 0.001 * r.normal(size=n)
        state = estimate.step(cfg, state, v, np.zeros(n), temp, dt, current_mean=np.full(n, fill))
        before_Ah, said_Ah = said_Ah, said_Ah + fill * dt / 3600
        if unsure:
            state = estimate.uncounted(cfg, state, unsure * before_Ah, unsure * said_Ah)
    return estimate.soc(cfg, state) - z, estimate.soc_sigma(cfg, state), estimate.between_sigma(cfg, state)


def test_charge_of_which_nobody_knows_the_gain_widens_soc_by_as_much() -> None:
    off, sigma, between = moved(0.05)
    apart = off - off.mean()
    assert np.mean(np.abs(off) < 2.0 * sigma) > 0.9 and np.mean(np.abs(apart) < 2.0 * between) > 0.9
    assert between.mean() < 1.5 * float(np.sqrt(np.mean(apart**2)))
    off, _, between = moved(0.0)
    assert np.mean(np.abs(off - off.mean()) < 2.0 * between) < 0.6  # unsaid, cells would seem known against each other


def test_charge_that_comes_back_brings_no_further_doubt_and_takes_none_away() -> None:
    model = load("lfp_280ah").model
    cfg = estimate.compile_cells([model], np.zeros(2, int), np.full(2, model.capacity_Ah), np.ones(2))
    state = estimate.init(cfg, np.full(2, 0.5), np.full(2, 0.01))
    q = model.capacity_Ah

    def after(state: estimate.EstimateState, before: float, now: float) -> estimate.EstimateState:
        return estimate.uncounted(cfg, state, np.array([before * q, 0.0]), np.array([now * q, 0.0]))

    there = after(state, 0.0, 0.02)
    np.testing.assert_allclose(estimate.soc_sigma(cfg, there), [np.hypot(0.01, 0.02), 0.01])
    back = after(there, 0.02, 0.005)
    np.testing.assert_array_equal(estimate.soc_sigma(cfg, back), estimate.soc_sigma(cfg, there))
    both = after(after(state, 0.0, 0.01), 0.01, 0.02)  # in two steps as in one
    np.testing.assert_allclose(estimate.soc_sigma(cfg, both), estimate.soc_sigma(cfg, there))
    assert estimate.soc_sigma(cfg, after(state, 0.0, -50.0))[0] <= 1.0


def test_a_first_voltage_that_fits_badly_leaves_what_is_known_between_cells() -> None:
    """It widens SOC of some by a per cent of their sigma, narrows that of others: between them nothing may jump."""
    model, z = load("lfp_280ah").model, np.linspace(0.05, 0.65, 61)
    n, q = z.size, model.capacity_Ah
    cfg = estimate.compile_cells([model], np.zeros(n, int), np.full(n, q), np.ones(n))
    state = estimate.init(cfg, z + 0.3, np.full(n, 0.01), capacity_sigma_Ah=np.full(n, 0.01 * q))
    state = estimate.with_between(cfg, state, np.full(n, 0.001))
    zero, temp = np.zeros(n), np.full(n, 25.0)
    volts = numpy_form.look_up(cfg.tables.node, cfg.tables.rows, np.zeros(n, int), z, temp)[0]
    state = estimate.step(cfg, state, volts, zero, temp, 1.0, current_mean=zero)
    between, wider = estimate.between_sigma(cfg, state), estimate.soc_sigma(cfg, state) ** 2 - 0.01**2
    assert (wider > 0.0).any() and (wider < 0.0).any()
    assert np.abs(np.diff(between)).max() < 0.001
    assert (between**2 >= 0.99 * np.maximum(wider, 0.0)).all(), "what is wider is a cell's own"
