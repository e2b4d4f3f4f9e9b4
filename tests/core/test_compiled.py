"""The compiled passes and their NumPy forms say the same, to the last bit, whatever the measurements and the memory."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
from tests.core.sites import TABLES, site

from cellarer.core import estimate as estimators
from cellarer.core import readout
from cellarer.core.cycle import start
from cellarer.core.decide import protect, runs
from cellarer.core.decide.signals import Look
from cellarer.core.measure import measure
from cellarer.core.slow import compiled
from cellarer.model.config import Config
from cellarer.model.values import FOREVER, NEVER, Faults, Runs, Sample, State

kernel = pytest.importorskip("cellarer.core.kernel")
SECOND = 1_000_000_000
NOW = 1_000 * SECOND


def some_state(config: Config, g: np.random.Generator) -> State:
    """Return a memory as wild as the types allow."""
    state, size, shape = start(config, NOW - SECOND), config.layout.size, config.faults.trip.shape
    watch = replace(
        state.watch,
        valid_ns=NOW - g.integers(0, 5 * SECOND, size["signal"]),
        cell_voltage=np.where(g.random(size["cell"]) < 0.3, np.nan, g.uniform(2.0, 4.0, size["cell"])),
        temp_rate=np.where(g.random(size["temp"]) < 0.3, np.nan, g.uniform(0.0, 3.0, size["temp"])),
    )
    faults = Faults(
        bad_since_ns=np.where(g.random(shape) < 0.5, FOREVER, NOW - g.integers(0, 3 * SECOND, shape)),
        good_since_ns=np.where(g.random(shape) < 0.5, FOREVER, NOW - g.integers(0, 9 * SECOND, shape)),
        counted=g.integers(0, 4, shape),
        counted_ns=np.where(g.random(shape) < 0.5, NEVER, NOW - g.integers(0, SECOND, shape)),
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
    return Runs(np.where(counted == 0, FOREVER, NOW - g.integers(0, 3 * SECOND, n)), counted)


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
        look = Look(config, seen, worst, state.watch, state, NOW)
        faults, events = protect.protect(look, state.faults, reset, service)
        plain_faults, plain_events = protect.protect(look, state.faults, reset, service, plain=True)
        same(faults, plain_faults)
        assert str(events) == str(plain_events)
        changed += len(events)
    assert changed > 60  # the machine had something to do


def test_nothing_is_compiled_while_a_site_runs() -> None:
    """Signatures are fixed: arrays of any stride, writable or not, are taken as they are."""
    assert not any(each._can_compile for each in (kernel.measure, kernel.runs, kernel.judge))


@pytest.mark.parametrize("seed", range(8))
def test_estimates_are_read_the_same(seed: int) -> None:
    g, config = np.random.default_rng(seed), site(list(TABLES)[seed % len(TABLES)])
    tables, n = compiled(config), config.layout.size["cell"]
    soc = np.where(g.random(n) < (0.0, 0.1, 1.0)[seed % 3], np.nan, g.uniform(-0.02, 1.02, n))
    state = estimators.init(tables, soc, g.uniform(0.0, 0.2, n), g.uniform(0.8, 1.1, n) * config.capacity_Ah)
    fast, plain = (readout.cells_and_strings(config, tables, state, plain) for plain in (False, True))
    for a, b in zip(fast, plain, strict=True):
        np.testing.assert_array_equal(a, b)
