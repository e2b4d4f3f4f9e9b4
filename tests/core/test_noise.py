"""Wild samples (catalogue S3) open nothing; a true fault is answered as fast as without them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from tests.core.bench import Bench, closed
from tests.core.sites import CELL_SIDE, CONTACTS, FACTS, FOREIGN, pack, table

from cellarer.config.load import build
from cellarer.core.decide import runs
from cellarer.core.validate import RATE_WINDOW_NS
from cellarer.model.config import Config
from cellarer.model.values import Level, Phase


@cache
def car(strings: int = 1, series: int = 96) -> Config:
    """Return 96 NMC cells in series with their contactors, or more strings of it."""
    packs = [pack("a", series, cell="nmc_50ah", strings=strings, temperature_sensors=8)]
    return build(table(packs, CELL_SIDE + CONTACTS + FACTS), "car").config


def spiking(bench: Bench, name: str, wild: float) -> Bench:
    """Let another element of every string be wild at every sample, never the same twice in a row."""
    layout, now = bench.layout, bench.of(name).copy()
    owner = layout.string_of_cell if name == "cell_voltage" else layout.string_of_temp
    first, count = np.unique(owner, return_index=True)[1], np.bincount(owner)
    turn = 0

    def spike(b: Bench) -> None:
        nonlocal turn
        turn += 1
        value = (b.cells if name == "cell_voltage" else now).copy()
        value[first + 7 * turn % count] = wild
        b.put(name, value)

    bench.every_cycle.append(spike)
    return bench


WILD = [
    ("cell_voltage", 4.9, "over-voltage"), ("cell_voltage", 2.0, "under-voltage"), ("cell_voltage", 1.0, "deep"),
    ("cell_voltage", 7.5, "absurd"), ("cell_voltage", -3.0, "absurd"), ("temp_degC", 120.0, "hot"),
    ("temp_degC", -45.0, "cold"), ("temp_degC", 200.0, "absurd"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "wild", "what"), WILD, ids=[f"{w[2]}{w[1]:+g}" for w in WILD])
def test_wild_samples_on_other_cells_each_time_open_nothing(name: str, wild: float, what: str) -> None:
    bench = Bench(car()).close()
    if what != "absurd":  # what is absurd is unknown, and nothing may flow into unknown cells
        bench.put("current", 5.0)
    spiking(bench, name, wild).run(6.0)
    heavy = [n for n, level in zip(bench.config.faults.name, bench.config.faults.level, strict=True)
             if level >= Level.DERATE and bench.active(n)]  # fmt: skip
    assert bench.phase() == Phase.CLOSED and not heavy, heavy


@pytest.mark.parametrize(("row", "volts"), [("cell_over_voltage_maximum", 4.4), ("cell_under_voltage_maximum", 2.4)])
def test_wild_samples_elsewhere_delay_no_true_fault(row: str, volts: float) -> None:
    seconds = []
    for noisy in (False, True):
        bench = Bench(car()).close()
        if noisy:
            spiking(bench, "cell_voltage", 4.9)
        bench.run(0.5)
        bench.cells[11] = volts
        bench.every_cycle.append(lambda b: b.put("cell_voltage", b.cells[11], 11))
        seconds.append(bench.run(2.0, lambda b: b.active(row)))
    assert seconds[0] == seconds[1] == 0.32


def test_rare_wild_samples_near_the_limit_do_not_add_up() -> None:
    """A full cell lies between release and trip for an hour; a wild sample a second must not be counted together."""
    bench = closed("one")
    bench.cells[1] = 3.62
    bench.every_cycle.append(lambda b: b.put("cell_voltage", 3.9 if b.now_ns // b.dt_ns % 50 == 0 else b.cells[1], 1))
    bench.run(8.0)
    assert not bench.active("cell_over_voltage_maximum")


def test_a_cell_that_crosses_its_limit_in_noise_is_answered() -> None:
    """Two samples of three beyond the limit are enough: good ones between release and trip take only one back each."""
    bench = closed("one")
    bench.every_cycle.append(lambda b: b.put("cell_voltage", 3.64 if b.now_ns // b.dt_ns % 3 == 0 else 3.66, 1))
    assert bench.run(2.0, lambda b: b.active("cell_over_voltage_maximum")) <= 1.0


def test_one_wild_temperature_at_the_end_of_a_window_is_no_rise() -> None:
    bench = closed("one")
    for phase in range(0, 3000, 500):
        bench.run(3.0 + phase * 1e-3)
        bench.put("temp_degC", 60.0, 1)
        bench.step()
        bench.put("temp_degC", 25.0, 1)
        bench.run(6.0)
    assert not bench.active("temperature_rises_fast")


@pytest.mark.parametrize(("in_turn", "trips"), [(True, False), (False, True)])
def test_sensors_that_rise_by_noise_one_after_the_other_are_no_rise(in_turn: bool, trips: bool) -> None:
    """Among many sensors any one seems to rise in a window now and then; one and the same hardly does in two."""
    bench = closed("one")
    last_ns = int(bench.state.watch.temp_ns[0])
    bench.run(9.0, lambda b: b.state.watch.temp_ns[0] > last_ns)  # a window has just been closed
    begin_ns = bench.now_ns

    def rise(b: Bench) -> None:
        window, into_ns = divmod(b.now_ns - begin_ns, RATE_WINDOW_NS)
        if window < 4:
            gone_ns = into_ns + (window // 2 if in_turn else window) * RATE_WINDOW_NS
            b.put("temp_degC", 25.0 + 0.5 * gone_ns * 1e-9, window % 2 if in_turn else 0)

    bench.every_cycle.append(rise)
    bench.run(6e-9 * RATE_WINDOW_NS)
    assert bench.active("temperature_rises_fast") == trips


def test_wild_cells_do_not_upset_the_sum() -> None:
    bench = closed("one")
    spiking(bench, "cell_voltage", 3.5).run(3.0)  # 0.2 V too much in total, in every sample
    assert not bench.active("sum_mismatch") and not bench.active("voltage_spread")


@pytest.mark.parametrize("strings", [1, 100])
def test_ten_cells_and_a_hundred_thousand_are_debounced_alike(strings: int) -> None:
    bench = Bench(car(strings, 10 if strings == 1 else 1000))
    bench.run(0.2)
    bench.cells[3] = 4.5
    assert bench.run(1.0, lambda b: b.active("cell_over_voltage_maximum", 0)) == 0.32
    assert not bench.state.faults.active[bench.row("cell_over_voltage_maximum"), 1:].any()


def test_the_memory_is_empty_while_nothing_is_bad() -> None:
    bench = closed("one")
    assert bench.state.faults.runs.counted.size == 0
    bench.put("cell_voltage", 3.66, 2)
    bench.step()
    counted = bench.state.faults.runs.counted
    spots = runs.spots(bench.config)
    row = bench.row("cell_over_voltage_maximum")
    mine = np.flatnonzero((spots.row == row) & (spots.at == 2))
    assert counted[mine] == 1 and counted[spots.row == row].sum() == 1
    bench.put("cell_voltage", 3.3, 2)
    bench.step()
    assert bench.state.faults.runs.counted.size == 0


def test_where_foreign_bms_tell_the_extremes_no_cell_is_a_spot() -> None:
    config = build(table([pack(name, 4, switchgear={"kind": "none"}) for name in "abc"], FOREIGN), "three").config
    row = config.faults.name.index("cell_over_voltage_maximum")
    assert runs.spots(config).none[row].tolist() == [runs.OWN] * 3


@pytest.mark.parametrize(
    ("on_s", "off_s", "opens"),
    [(0.28, 0.1, True), (0.2, 0.1, True), (0.06, 0.04, True), (0.04, 0.06, False), (0.28, 0.3, False)],
)
@pytest.mark.parametrize(
    ("row", "signal", "more"),
    [("cell_over_voltage_maximum", "cell_voltage", 0.45), ("sum_mismatch", "string_voltage", 2.0)],
)
def test_what_is_bad_more_often_than_not_trips_at_whatever_rhythm(
    row: str, signal: str, more: float, on_s: float, off_s: float, opens: bool
) -> None:
    """Each time shorter than the debounce of 0.3 s. Before, one good sample ended a run, and none of these tripped."""
    bench = closed("one")
    sound = float(bench.value[bench.layout.where[signal]][-1])
    for _ in range(round(20.0 / (on_s + off_s))):
        for volts, seconds in ((sound + more, on_s), (sound, off_s)):
            bench.put(signal, volts, -1)
            bench.run(seconds)
    assert bench.latched(row) == opens
