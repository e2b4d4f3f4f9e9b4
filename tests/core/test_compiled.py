"""The compiled passes and their NumPy forms say the same, to the last bit, whatever the measurements and the memory."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
from tests.core.sites import TABLES, site

from cellarer.core import estimate as estimators
from cellarer.core import readout, response
from cellarer.core.cycle import start
from cellarer.core.decide import charge, protect, runs
from cellarer.core.decide.derived import DERIVED, FOREIGN
from cellarer.core.decide.limit import limit
from cellarer.core.decide.look import hides
from cellarer.core.decide.signals import SIGNALS, Look
from cellarer.core.estimate import capacity
from cellarer.core.estimate import filter as estimator
from cellarer.core.estimate.fields import FIELDS, INPUT_PLACES, LANES
from cellarer.core.measure import measure
from cellarer.core.remember import remember
from cellarer.core.slow import compiled
from cellarer.model.config import Config
from cellarer.model.values import (
    FOREVER,
    NEVER,
    ChargePhase,
    Charging,
    Estimate,
    Faults,
    Phase,
    Runs,
    Sample,
    State,
    Switches,
    Window,
    renew,
)

kernel = pytest.importorskip("cellarer.core.kernel")
kernel_signals = pytest.importorskip("cellarer.core.kernel_signals")
kernel_limit = pytest.importorskip("cellarer.core.kernel_limit")
Dispatcher = pytest.importorskip("numba.core.dispatcher").Dispatcher
SECOND = 1_000_000_000
NOW = 1_000 * SECOND
TICK = SECOND // 20  # debounce and release times are made of these: the memory meets them to the nanosecond


def some_state(config: Config, g: np.random.Generator) -> State:
    """Return a memory as wild as the types allow."""
    state, size, shape = start(config, NOW - SECOND), config.layout.size, config.faults.trip.shape
    watch = replace(
        state.watch,
        valid_ns=NOW - g.integers(0, 5 * SECOND, size["signal"]),
        cell_voltage=np.where(g.random(size["cell"]) < 0.3, np.nan, g.uniform(2.0, 4.0, size["cell"])),
        temp_slope=some(g, 0.0, 3.0, size["temp"]),
        temp_rate=np.where(g.random(size["temp"]) < 0.3, np.nan, g.uniform(0.0, 3.0, size["temp"])),
        temp_degC=some(g, -20.0, 60.0, size["temp"]),
        climbs=g.integers(0, 5, size["temp"]),
        climb_degC=some(g, -20.0, 90.0, size["temp"]),
        climb_ns=NOW + TICK * g.integers(-250, 60, size["temp"]),
        climb_rate=g.uniform(3.0, 90.0, size["temp"]),
        temp_ns=NOW - g.integers(0, 5 * SECOND, size["temp"]),
        current_then=some(g, -50.0, 50.0, size["cell"]),
        others_then=some(g, 2.0, 4.0, size["cell"]),
        earlier=some(g, 2.0, 4.0, *state.watch.earlier.shape),
        wire_heat=g.uniform(0.0, 9e4, state.watch.wire_heat.shape),
    )
    faults = Faults(
        bad_since_ns=np.where(g.random(shape) < 0.5, FOREVER, NOW - TICK * g.integers(0, 60, shape)),
        good_since_ns=np.where(g.random(shape) < 0.5, FOREVER, NOW - TICK * g.integers(0, 180, shape)),
        counted=g.integers(0, 4, shape),
        counted_ns=np.where(g.random(shape) < 0.5, NEVER, NOW - TICK * g.integers(0, 4, shape)),
        active=g.random(shape) < 0.2,
        latched=g.random(shape) < 0.2,
        raised_value=np.full(shape, np.nan),
        raised_cell=np.full(shape, -1),
        runs=some_runs(config, g),
    )
    seen = replace(state.seen, time_ns=NOW - g.integers(0, 2, size["signal"]) * SECOND)
    return replace(state, time_ns=NOW - SECOND, watch=watch, faults=faults, seen=seen)


def some_runs(config: Config, g: np.random.Generator) -> Runs:
    """Return no memory of single elements, or a wild one."""
    n = runs.spots(config).row.size
    if g.random() < 0.3:
        return runs.start()
    counted = g.integers(0, 6, n)
    return Runs(np.where(counted == 0, FOREVER, NOW - TICK * g.integers(0, 60, n)), counted)


def some_sample(config: Config, g: np.random.Generator) -> Sample:
    """Return readings inside and outside their range, equal ones, missing, stale and future ones."""
    low, high, n = config.sensing.low, config.sensing.high, config.layout.size["signal"]
    value = np.where(g.random(n) < 0.5, g.uniform(low - 0.1, high + 0.1), np.round(g.uniform(0.0, 4.0, n)))
    time_ns = NOW - np.where(g.random(n) < 0.7, 0, g.integers(-SECOND // 10, 3 * SECOND, n))
    return Sample(np.where(g.random(n) < 0.05, np.nan, value), np.where(g.random(n) < 0.05, NEVER, time_ns))


def same(a: Any, b: Any) -> None:
    for field in fields(a):
        one, other = getattr(a, field.name), getattr(b, field.name)
        if is_dataclass(one):
            same(one, other)
            continue
        if isinstance(one, int):
            assert one == other, field.name
            continue
        assert one.dtype == other.dtype, field.name
        np.testing.assert_array_equal(one, other, field.name)


@pytest.mark.parametrize("name", TABLES)
def test_both_forms_agree(name: str) -> None:
    config, g, changed = site(name), np.random.default_rng(1), 0
    strings = config.layout.size["string"]
    for _ in range(60):
        state, sample = some_state(config, g), some_sample(config, g)
        zero = g.choice([0.0, 0.3], strings)
        seen, worst = measure(config, state.watch, sample, zero, NOW)
        plain_seen, plain_worst = measure(config, state.watch, sample, zero, NOW, plain=True)
        same(seen, plain_seen)
        same(worst, plain_worst)
        reset = g.random(strings) < 0.5
        service = reset & (g.random(strings) < 0.5)
        watch, plain_watch = (remember(config, state, seen, NOW, plain) for plain in (False, True))
        same(watch, plain_watch)
        look = Look(config, seen, worst, watch, state, NOW)
        plain_look = Look(config, seen, worst, watch, state, NOW, plain=True)
        for view in ("extremes", "total", "voltage"):
            np.testing.assert_array_equal(getattr(look, view), getattr(plain_look, view), view)
        faults, events = protect.protect(look, state.faults, reset, service)
        plain_faults, plain_events = protect.protect(plain_look, state.faults, reset, service, plain=True)
        same(faults, plain_faults)
        assert str(events) == str(plain_events)
        changed += len(events)
    assert changed > 60  # the machine had something to do


@pytest.mark.parametrize("name", TABLES)
def test_signals_of_cells_and_sensors_are_the_same(name: str) -> None:
    """Each row of DERIVED is what its function in signals.py says, whether a row of the site looks at it or not."""
    config, g, known = site(name), np.random.default_rng(2), 0
    foreign = hides(config) is not None
    for _ in range(60):
        state, sample = some_state(config, g), some_sample(config, g)
        seen, worst = measure(config, state.watch, sample, np.zeros(config.layout.size["string"]), NOW)
        watch = remember(config, state, seen, NOW)
        look = Look(config, seen, worst, watch, state, NOW)
        plain_look = Look(config, seen, worst, watch, state, NOW, plain=True)
        assert look.derived is not None and plain_look.derived is None
        for row, signal in enumerate(DERIVED):
            if foreign and signal in FOREIGN:
                continue
            said = SIGNALS[signal](plain_look)
            for ours, theirs in zip(look.derived[3:], said, strict=True):
                np.testing.assert_array_equal(ours[row], theirs, signal)
            known += np.count_nonzero(np.isfinite(said.value))
    assert known > 60 or name == "supervised"  # there a foreign BMS hides all cells


@pytest.mark.parametrize("count", [1, 2, 8, 9, 17, 100, 128, 129, 130, 500, 1000, 5000])
def test_sums_are_taken_as_numpy_takes_them(count: int) -> None:
    x = np.random.default_rng(count).normal(3.0, 2.0, count + 5)
    for begin in (0, 3):
        assert kernel_signals.total(x, begin, begin + count) == np.add.reduceat(x[: begin + count], [begin])[0]


@pytest.mark.parametrize("name", TABLES)
def test_limits_are_the_same(name: str) -> None:
    config, g, allowed = site(name), np.random.default_rng(3), 0
    for _ in range(120):
        state, dt_s = some_state(config, g), float(g.choice([0.0, 0.02, 1.0, 60.0]))
        sample = some_sample(config, g) if g.random() < 0.5 else calm_sample(config, g)
        seen, worst = measure(config, state.watch, sample, np.zeros(config.layout.size["string"]), NOW)
        state = replace(state, window=some_window(config, g))
        look = Look(config, seen, worst, remember(config, state, seen, NOW), state, NOW)
        given = some_demand(config, g), some_switches(config, g), some_estimate(config, g)
        phase = charge.allowance(config, some_charging(config, g))
        fast, plain = (limit(look, *given, phase, dt_s, plain) for plain in (False, True))
        same(fast, plain)
        allowed += np.count_nonzero(fast.charge_A) + np.count_nonzero(fast.discharge_A)
    assert allowed > 20


@pytest.mark.parametrize("dt_s", [0.0, 0.1, 30.0, 100.0])
def test_estimators_are_given_the_same(dt_s: float) -> None:
    """Unknown readings, with and without a mean current and contacts known to be open, over a step and over a gap."""
    g, config = np.random.default_rng(4), site("ragged")
    tables, n = compiled(config), config.layout.size["cell"]
    state = estimators.init(tables, g.uniform(0.1, 0.9, n), g.uniform(0.0, 0.2, n), g.uniform(0.8, 1.1, n) * 50.0)
    for k in range(20):
        given = some(g, 2.0, 4.0, n), some(g, -50.0, 50.0, n), some(g, -20.0, 60.0, n)
        mean, rest = (some(g, -50.0, 50.0, n) if k % 2 else None), (g.random(n) < 0.5 if k % 3 else None)
        fast, plain = state.buffer.copy(), state.buffer.copy()
        estimator._write_inputs(tables, fast, *given, dt_s, mean, rest)
        estimator._write_inputs_plain(tables, plain, *given, dt_s, mean, rest)
        np.testing.assert_array_equal(fast.reshape(-1, FIELDS, LANES), plain.reshape(-1, FIELDS, LANES))
        state = estimators.step(tables, state, *given, dt_s, mean, rest)
        counted, plainly = state.pairs.copy(), state.pairs.copy()
        kernel.count_charge(state.buffer, INPUT_PLACES, dt_s, counted)
        capacity.count_plain(state.buffer, dt_s, plainly)
        np.testing.assert_array_equal(counted, plainly)


def test_a_renewed_record_is_a_replaced_one() -> None:
    before = start(site("one"), NOW)
    same(renew(before.watch, charge=np.ones(1)), replace(before.watch, charge=np.ones(1)))
    with pytest.raises(TypeError, match="Watch has no"):
        renew(before.watch, charged=np.ones(1))


def calm_sample(config: Config, g: np.random.Generator) -> Sample:
    """Return readings of a pack at work, each lost now and then."""
    where, n = config.layout.where, config.layout.size["signal"]
    value = np.where(g.random(n) < 0.5, 0.0, 20.0)
    for name, low, high in (("cell_voltage", 2.4, 3.6), ("temp_degC", -10.0, 55.0), ("current", -50.0, 50.0),
                            ("cell_voltage_high", 3.2, 3.6), ("cell_voltage_low", 2.4, 3.2)):  # fmt: skip
        spread = where[name].stop - where[name].start
        value[where[name]] = g.uniform(low, high) + 0.02 * g.standard_normal(spread)
    return Sample(np.where(g.random(n) < 0.02, np.nan, value), np.full(n, NOW))


def some(g: np.random.Generator, low: float, high: float, *shape: int, unknown: float = 0.1) -> Any:
    """Return numbers, some of them unknown."""
    return np.where(g.random(shape) < unknown, np.nan, g.uniform(low, high, shape))


def some_window(config: Config, g: np.random.Generator) -> Window:
    n, before = config.layout.size["string"], start(config, NOW).window
    return replace(
        before, charge_A=g.uniform(0.0, 300.0, n), discharge_A=g.uniform(0.0, 300.0, n),
        peak_A=g.uniform(0.0, 300.0, before.peak_A.shape), uneven_V=some(g, 0.0, 0.3, n),
    )  # fmt: skip


def some_demand(config: Config, g: np.random.Generator) -> protect.Demand:
    shape = 2, config.layout.size["string"]
    if g.random() < 0.5:
        return protect.demand(config, protect.start(config))
    left = np.where(g.random(shape) < 0.5, 1.0, 0.5)
    return protect.Demand(g.random(shape) < 0.1, g.random(shape) < 0.1, left)


def some_switches(config: Config, g: np.random.Generator) -> Switches:
    switches = start(config, NOW).switches
    phase = np.where(g.random(switches.phase.size) < 0.7, Phase.CLOSED, g.integers(0, len(Phase), switches.phase.size))
    return replace(switches, phase=phase.astype(np.int8))


def some_estimate(config: Config, g: np.random.Generator) -> Estimate:
    said = start(config, NOW).estimate
    n, cells = said.string_soc.size, said.soc.size
    return replace(
        said, core_degC=some(g, 0.0, 60.0, cells, unknown=0.7), soc=some(g, 0.0, 1.0, cells),
        string_soc=some(g, 0.0, 1.0, n), string_soc_sigma=some(g, 0.0, 0.1, n),
        resistance_scale=some(g, -0.1, 2.0, cells), mean_A=some(g, -9.0, 9.0, n),
        sop_A=some(g, -1.0, 400.0, *said.sop_A.shape), sop_W=some(g, -1.0, 4000.0, *said.sop_W.shape),
    )  # fmt: skip


def some_charging(config: Config, g: np.random.Generator) -> Charging:
    n = config.layout.size["string"]
    return Charging(
        phase=g.integers(0, len(ChargePhase), n).astype(np.int8), since_ns=NOW - g.integers(0, 9 * SECOND, n),
        tail_since_ns=np.where(g.random(n) < 0.5, FOREVER, NOW - g.integers(0, 9 * SECOND, n)),
        full_soc=some(g, 0.5, 1.0, n), low_soc=some(g, 0.0, 0.3, n), touch=g.random(n) < 0.3,
        decided_V=some(g, 2.5, 3.6, 2, n),
    )  # fmt: skip


def test_nothing_is_compiled_while_a_site_runs() -> None:
    """Signatures are fixed: arrays of any stride, writable or not, are taken as they are."""
    compiled_passes = [x for module in (kernel, kernel_signals, kernel_limit, response) for x in vars(module).values()
                       if isinstance(x, Dispatcher)]  # fmt: skip
    assert len(compiled_passes) > 10 and not any(each._can_compile for each in compiled_passes)


@pytest.mark.parametrize("seed", range(8))
def test_estimates_are_read_the_same(seed: int) -> None:
    g, config = np.random.default_rng(seed), site(list(TABLES)[seed % len(TABLES)])
    tables, n = compiled(config), config.layout.size["cell"]
    soc = np.where(g.random(n) < (0.0, 0.1, 1.0)[seed % 3], np.nan, g.uniform(-0.02, 1.02, n))
    state = estimators.init(tables, soc, g.uniform(0.0, 0.2, n), g.uniform(0.8, 1.1, n) * config.capacity_Ah)
    fast, plain = (readout.cells_and_strings(config, tables, state, plain) for plain in (False, True))
    for a, b in zip(fast, plain, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("seed", range(8))
def test_answers_of_the_current_are_judged_the_same(seed: int) -> None:
    g, n = np.random.default_rng(seed), 40
    told = {name: some(g, -3.0, 3.0, n) for name in response.ANSWERED_BY}
    told |= {"base_ns": NOW - g.integers(0, 20 * SECOND, n), "waited": g.integers(0, 5, n)}
    told |= {"off_A": some(g, 0.0, 0.1, n), "off_V": some(g, 0.0, 0.01, n), "worth_V": some(g, 0.0, 0.1, n)}
    now = some(g, -3.0, 3.0, n), some(g, -3.0, 3.0, n), some(g, -1.0, 1.0, n), g.uniform(0.005, 0.1, n), NOW
    fast, plain = response.compiled(*told.values(), *now), response.answered(*told.values(), *now)
    for a, b in zip(fast, plain, strict=True):
        np.testing.assert_array_equal(a, b)
