"""What holds for any input: unknown readings, lost inputs, more faults, other orders, other sizes; and purity."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.bench import Bench, closed, freeze
from tests.core.sites import CELL_SIDE, CONTACTS, FACTS, TABLES, pack, site, table

from cellarer.config.compile import fingerprint
from cellarer.config.load import build
from cellarer.core.cycle import Inputs, step
from cellarer.core.decide.join import buses
from cellarer.model.config import Config
from cellarer.model.values import FOREVER, NEVER, Phase, Sample, State

OUTPUTS = ("minus", "precharge", "plus", "charge_switch", "discharge_switch")
LIMITS = ("charge_A", "discharge_A", "charge_V", "discharge_V", "charge_W", "discharge_W")
ILLS = ("nan", "inf", "-inf", "stale", "future", "never", "huge")
SHAPES = ("ragged", "fets", "separate", "supervised")


def spoil(bench: Bench, sample: Sample, ills: list[tuple[int, str]]) -> Sample:
    """Return the sample with some signals gone bad."""
    value, time_ns = sample.value.copy(), sample.time_ns.copy()
    for where, ill in ills:
        at = where % value.size
        value[at] = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf, "huge": 1e300}.get(ill, value[at])
        time_ns[at] += {"stale": -(10**13), "future": 10**9}.get(ill, 0)
        time_ns[at] = NEVER if ill == "never" else time_ns[at]
    return Sample(value, time_ns)


class Spoiled(Bench):
    """A bench some of whose readings go bad."""

    ills: list[tuple[int, str]] = []  # noqa: RUF012

    def sample(self) -> Sample:
        return spoil(self, super().sample(), self.ills)


def spoiled(name: str) -> Spoiled:
    bench = closed(name)
    bench.__class__ = Spoiled
    return bench  # type: ignore[return-value]


ill_readings = st.lists(st.tuples(st.integers(0, 500), st.sampled_from(ILLS)), max_size=6)


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=15)
@given(cycles=st.lists(ill_readings, min_size=2, max_size=6), asked=st.sampled_from(["", "close", "open", "reset"]))
def test_the_invariants_hold_whatever_is_read(name: str, cycles: list[list[tuple[int, str]]], asked: str) -> None:
    bench = spoiled(name)
    for ills in cycles:
        bench.ills = ills
        bench.step(**({asked: True} if asked else {}))
        bench.run(0.3)


def open_bench(name: str) -> Spoiled:
    bench = Spoiled(site(name))
    bench.run(0.2)
    return bench


@pytest.mark.parametrize("name", ("ragged", "fets", "separate"))
@settings(max_examples=15)
@given(lost=st.lists(st.tuples(st.integers(0, 500), st.sampled_from(ILLS)), min_size=1, max_size=4))
def test_a_lost_reading_that_closing_rests_on_keeps_everything_open(name: str, lost: list[tuple[int, str]]) -> None:
    bench = open_bench(name)
    bench.ills = lost
    bench.run(1.0)
    where, config = bench.layout.where, bench.config
    needed = np.zeros(bench.layout.size["signal"], bool)
    for signal in (
        "cell_voltage",
        "temp_degC",
        "current",
        "string_voltage",
        "emergency_stop",
        "interlock_open",
        "crash",
    ):
        needed[where[signal]] = config.sensing.present[where[signal]]
    hit = [at % bench.layout.size["signal"] for at, _ in lost if needed[at % bench.layout.size["signal"]]]
    bench.step(close=True, confirm_unknown_soc=True)
    bench.run(1.0)
    on = np.array([getattr(bench.command, output) for output in OUTPUTS]).any(axis=0)
    layout = bench.layout
    for at in hit:
        name_of = next(n for n, s in where.items() if s.start <= at < s.stop)
        index = at - where[name_of].start
        if name_of == "cell_voltage":
            strings = np.array([layout.string_of_cell[index]])
        elif name_of == "temp_degC":
            strings = np.array([layout.string_of_temp[index]])
        elif name_of in ("current", "string_voltage"):
            strings = np.array([index])
        else:
            strings = np.flatnonzero(layout.pack_of_string == index)
        assert not on[strings].any(), (name_of, index)


def compare_limits(less: Bench, more: Bench, at: np.ndarray | slice = slice(None)) -> None:
    for limit in LIMITS:
        low, high = getattr(less.command.window, limit)[at], getattr(more.command.window, limit)[at]
        assert (low <= high + 1e-9 * np.abs(high)).all(), (limit, low, high)


@pytest.mark.parametrize("name", ("ragged", "fets", "supervised"))
@settings(max_examples=20)
@given(
    data=st.data(),
    lost=st.lists(st.tuples(st.integers(0, 500), st.sampled_from(ILLS)), min_size=1, max_size=4),
    amps=st.floats(-150, 150),
    degC=st.floats(-25, 60),
)
def test_losing_an_input_never_raises_a_limit_nor_closes(
    name: str, data: Any, lost: list[tuple[int, str]], amps: float, degC: float
) -> None:
    whole, blind = spoiled(name), spoiled(name)
    moved = data.draw(st.lists(st.floats(-0.3, 0.3), min_size=whole.cells.size, max_size=whole.cells.size))
    for bench in (whole, blind):
        bench.cells = bench.cells + np.array(moved)
        bench.put("current", amps)
        bench.put("temp_degC", degC, 0)
    for _ in range(25):
        whole.step()
        blind.ills = lost
        before = [getattr(blind.command, output) for output in OUTPUTS]
        blind.step()
        compare_limits(blind, whole)
        rises = [getattr(blind.command, output) & ~was for output, was in zip(OUTPUTS, before, strict=True)]
        assert not np.any(rises)


def with_faults(state: State, config: Config, rows: list[tuple[int, int]]) -> State:
    """Return the state with these (row, string) active, latched where the row latches."""
    active, latched = state.faults.active.copy(), state.faults.latched.copy()
    for row, string in rows:
        r, s = row % active.shape[0], string % active.shape[1]
        active[r, s] = True
        latched[r, s] = config.faults.latch[r] > 0
    good = np.full(active.shape, FOREVER)
    return replace(state, faults=replace(state.faults, active=active, latched=latched, good_since_ns=good))


rows_and_strings = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 10)), max_size=4)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("begin", ("closed", "open"))
@settings(max_examples=15)
@given(few=rows_and_strings, extra=rows_and_strings, amps=st.floats(-100, 100))
def test_more_faults_never_raise_a_limit_and_never_close(
    name: str, begin: str, few: list[tuple[int, int]], extra: list[tuple[int, int]], amps: float
) -> None:
    some, more = (closed(name) if begin == "closed" else open_bench(name) for _ in range(2))
    some.state, more.state = (
        with_faults(some.state, some.config, few),
        with_faults(more.state, more.config, few + extra),
    )
    hit = np.isin(np.arange(some.layout.size["string"]), [s % some.layout.size["string"] for _, s in extra])
    bus = buses(some.config).of_string
    at = np.bincount(bus, hit)[bus] - hit == 0  # where another one cannot close the turn on the bus comes sooner
    for cycle in range(30):
        wish = {"close": True, "confirm_unknown_soc": True} if cycle == 0 and begin == "open" else {}
        for bench in (some, more):
            bench.put("current", np.where(bench.command.plus | bench.command.charge_switch, amps, 0.0))
            bench.step(**wish)
        compare_limits(more, some, at)
        for output in OUTPUTS:
            assert not (getattr(more.command, output) & ~getattr(some.command, output))[at].any(), output


@pytest.mark.parametrize("hidden", (np.nan, np.inf, 7.0))
def test_an_unknown_cell_never_hides_another_cells_over_voltage(hidden: float) -> None:
    plain, blind = closed("one"), closed("one")
    blind.put("cell_voltage", hidden, 0)
    for bench in (plain, blind):
        bench.put("cell_voltage", 3.66, 2)
    row = "cell_over_voltage_maximum"
    seconds = [bench.run(2.0, lambda b: b.active(row)) for bench in (plain, blind)]
    assert seconds[0] == seconds[1] <= 0.4
    told = [next(e for e in b.events if e.name == row) for b in (plain, blind)]
    assert told[0].cell == told[1].cell == 2 and told[1].value == 3.66


def test_an_unknown_sensor_never_hides_another_ones_heat() -> None:
    bench = closed("ragged")
    bench.put("temp_degC", np.nan, 0)
    bench.put("temp_degC", 61.0, 1)
    assert bench.run(3.0, lambda b: b.active("over_temperature_maximum", 0)) <= 1.1


def orders(bench: Bench) -> tuple[np.ndarray, ...]:
    """What one bench decides: integers exactly, limits as numbers."""
    state, command = bench.state, bench.command
    exact = (state.faults.active, state.faults.latched, state.switches.phase[None], state.charging.phase[None])
    return (*exact, *(getattr(command, o)[None] for o in OUTPUTS), *(getattr(command.window, w)[None] for w in LIMITS))


def assert_same(one: Bench, other: Bench, strings: Any) -> None:
    for a, b in zip(orders(one), orders(other), strict=True):
        np.testing.assert_allclose(a.astype(float), b[:, strings].astype(float), rtol=1e-9, atol=1e-9)


@settings(max_examples=10)
@given(data=st.data())
def test_permuted_cells_give_the_same_decisions(data: Any) -> None:
    here, there = Bench(site("ragged")), Bench(site("ragged"))
    owner = here.layout.string_of_cell
    n = owner.size
    offsets = np.array(data.draw(st.lists(st.floats(-0.5, 0.4), min_size=n, max_size=n)))
    order = np.concatenate(
        [data.draw(st.permutations(list(np.flatnonzero(owner == s)))) for s in range(owner.max() + 1)]
    )
    here.cells = here.cells + offsets
    there.cells = here.cells[order]
    for bench in (here, there):
        bench.step(close=True, confirm_unknown_soc=True)
        bench.run(0.6)
    assert_same(here, there, slice(None))
    assert (here.command.bleed[order] == there.command.bleed).all()


def test_packs_in_another_order_give_the_same_decisions() -> None:
    tables = TABLES["ragged"]
    packs = [tables["pack"][i] | {"bus": bus} for bus, i in enumerate((2, 0, 1), 1)]
    turned = build(tables | {"pack": packs}, "turned").config
    here, there = Bench(site("ragged")), Bench(turned)
    strings = np.array([1, 2, 3, 0])  # where string 0, 1, 2, 3 of `here` stand in `there`
    for bench, place in ((here, np.arange(4)), (there, strings)):
        bench.put("current", 30.0, place[2])
        bench.cells[bench.layout.string_of_cell == place[1]] += 0.25
        bench.put("temp_degC", -12.0, bench.layout.string_of_temp == place[3])
        bench.step(close=True, confirm_unknown_soc=True)
        bench.run(1.5)
    assert_same(here, there, strings)
    assert len(set(here.state.switches.phase)) > 1  # the strings differ, else this would prove nothing


def test_a_pack_alone_is_the_same_pack_inside_a_ragged_batch() -> None:
    tables = TABLES["ragged"]
    batch = Bench(site("ragged"))
    for number, strings in ((0, [0, 1]), (1, [2]), (2, [3])):
        alone = Bench(build(tables | {"pack": [tables["pack"][number] | {"bus": 1}]}, "alone").config)
        whole = Bench(site("ragged")) if number else batch
        for bench, mine in ((alone, range(len(strings))), (whole, strings)):
            for string, at in zip(mine, strings, strict=True):
                bench.put("current", (-15.0, -0.7, 30.0, 0.5)[at], string)  # rest for one pack flows in another
                bench.cells[bench.layout.string_of_cell == string] += 0.02 * at
                bench.put("temp_degC", 20.0 + 14.0 * at, bench.layout.string_of_temp == string)
            bench.step(close=True, confirm_unknown_soc=True)
            bench.run(1.5)
        assert_same(alone, whole, strings)
        cells = np.isin(whole.layout.string_of_cell, strings)
        np.testing.assert_allclose(alone.state.estimate.soc, whole.state.estimate.soc[cells], rtol=1e-12)


def many(strings: int, series: int) -> Config:
    packs = [pack("a", series, strings=strings, temperature_sensors=1)]
    return build(table(packs, CELL_SIDE + CONTACTS + FACTS), "many").config


def test_ten_cells_and_a_hundred_thousand_agree() -> None:
    small, large = Bench(many(1, 10)), Bench(many(100, 1000))
    for bench in (small, large):
        bench.cells[5] = 3.68  # over-voltage in the first string
        bench.step(close=True, confirm_unknown_soc=True)
        bench.run(0.5)
    assert small.active("cell_over_voltage_maximum") and large.active("cell_over_voltage_maximum")
    assert small.state.switches.phase[0] == large.state.switches.phase[0] == Phase.OPEN
    assert (large.state.switches.phase[1:] == Phase.OPEN).all()  # strings of one pack share its wish
    np.testing.assert_allclose(small.state.estimate.soc[:10], large.state.estimate.soc[:10], rtol=1e-9)
    assert (small.state.faults.active[:, 0] == large.state.faults.active[:, 0])[
        [n not in ("sum_mismatch",) for n in small.config.faults.name]
    ].all()
    assert not large.state.faults.active[:, 1:].any()


def calls(bench: Bench) -> int:
    """Return the number of Python calls of the longest of ten cycles, an estimation among them."""
    counts = []
    count = 0

    def trace(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal count
        count += event == "call"

    bench.run(0.5)
    for _ in range(10):
        bench.now_ns += bench.dt_ns
        inputs, count = Inputs(bench.sample(), bench.asked(), bench.plan), 0
        sys.setprofile(trace)
        try:
            bench.state, bench.command, _ = step(bench.config, bench.state, inputs, bench.now_ns)
        finally:
            sys.setprofile(None)
        counts.append(count)
    return max(counts)


def test_the_number_of_calls_does_not_grow_with_the_number_of_cells() -> None:
    assert calls(Bench(many(10, 500))) <= 1.2 * calls(Bench(many(1, 10)))


@pytest.mark.parametrize("name", (*SHAPES, "bare"))
def test_step_is_pure(name: str) -> None:
    bench = closed(name)
    bench.put("current", 20.0)
    for _ in range(7):  # through an estimation, too
        now_ns = bench.now_ns + bench.dt_ns
        bench.now_ns = now_ns
        inputs = freeze(Inputs(bench.sample(), bench.asked(), bench.plan))
        before, given_ = fingerprint(bench.state), fingerprint(inputs)
        first, command, events = step(bench.config, bench.state, inputs, now_ns)
        second, command_again, events_again = step(bench.config, bench.state, inputs, now_ns)
        assert fingerprint(bench.state) == before and fingerprint(inputs) == given_  # arguments as they were
        assert fingerprint(first) == fingerprint(second) and fingerprint(command) == fingerprint(command_again)
        assert events == events_again or repr(events) == repr(events_again)
        bench.state, bench.command = first, command


@pytest.mark.parametrize("dt_s", (1e-3, 1.0, 59.0, 3600.0, 1e7))
def test_any_length_of_cycle(dt_s: float) -> None:
    bench = closed("ragged")
    for _ in range(3):
        bench.now_ns += round(dt_s * 1e9) - bench.dt_ns
        bench.step()
    assert np.isfinite(bench.state.counters.charge_Ah).all()
    assert (bench.state.switches.phase == Phase.CLOSED).all()
