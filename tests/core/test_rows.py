"""Both sides of every limit, for every row of the fault table: trip, debounce, release, latch, budget."""

from __future__ import annotations

import numpy as np
import pytest
from tests.core.bench import Bench, closed
from tests.core.sites import TABLES, site
from tests.core.stimuli import BY_MEDIAN, ON, SILENCES, STIMULI, TIMED

from cellarer.config import check
from cellarer.config.load import build
from cellarer.core.decide import signals
from cellarer.core.decide.signals import SIGNALS
from cellarer.model.config import Switchgear
from cellarer.model.quantities import BY_NAME
from cellarer.model.values import Latch, Level
from cellarer.runtime.invariants import heavy

SLOW_NS = 100_000_000  # cycle where only long times matter: half the maximum age of a current
EDGE = 1e-6  # relative distance to a limit that counts as just inside or just outside


def enabled(name: str, string: int, timed: bool) -> list[tuple[str, int, str]]:
    table = site(name).faults
    rows = [i for i, on in enumerate(table.enabled[:, string]) if on and (table.signal[i] in TIMED) == timed]
    return [(name, string, table.name[i]) for i in rows]


PLACES = [("one", 0), ("ragged", 2), ("fets", 1), ("supervised", 1)]
ROWS = [row for place in PLACES for row in enabled(*place, timed=False)]
UNTIMED = {"temperature_rises_fast", "thermal_runaway", "thermal_runaway_precursor", "cell_reading_stuck",
           "current_sensor_reversed", "current_sensor_jumped", "current_on_open_string",
           "converter_off_order", "converter_charge_missing", "bleeder_never_on"}  # fmt: skip
SILENT_ROWS = [(n, s, row) for place in PLACES for n, s, row in enabled(*place, timed=True) if row not in UNTIMED]


def name_of(row: tuple[str, int, str]) -> str:
    return "-".join(map(str, row))


class Row:
    """One row on one string of a bench, with its limits as the file states them."""

    def __init__(self, place: str, string: int, name: str) -> None:
        table = site(place).faults
        self.name, self.string, self.index = name, string, table.name.index(name)
        self.sign = float(table.sign[self.index])
        self.trip = self.sign * float(table.trip[self.index, string])
        self.release = self.sign * float(table.release[self.index, string])
        self.debounce_ns, self.release_ns = int(table.debounce_ns[self.index]), int(table.release_ns[self.index])
        self.samples, self.budget_ns = int(table.samples[self.index]), int(table.budget_ns[self.index])
        self.level, self.latch = Level(table.level[self.index]), Latch(table.latch[self.index])
        self.paths = [path for path in ("charge", "discharge") if getattr(table, path)[self.index]]
        self.stimulus = STIMULI.get(table.signal[self.index])
        self.inside = self.trip - self.sign * EDGE * max(1.0, abs(self.trip))
        self.outside = self.trip + self.sign * EDGE * max(1.0, abs(self.trip))
        self.well_inside = self.release - self.sign * EDGE * max(1.0, abs(self.release))
        begins = self.stimulus.begins if self.stimulus else "closed"
        self.bench = closed(place) if begins == "closed" else Bench(site(place))
        self.bench.run(0.2)
        self.bench.dt_ns = 20_000_000 if self.debounce_ns < 1_000_000_000 else SLOW_NS
        self.x = self.well_inside
        if self.stimulus:
            apply = self.stimulus.apply
            self.bench.every_cycle.append(lambda bench: apply(bench, self.string, self.x))

    @property
    def active(self) -> bool:
        return self.bench.active(self.name, self.string)

    def for_ns(self, duration_ns: int, x: float) -> None:
        """Hold x; the row must not change."""
        self.x, was = x, self.active
        for _ in range(-(-duration_ns // self.bench.dt_ns)):
            self.bench.step()
            assert self.active == was, f"{self.name} changed to {self.active} at {x} after {self.bench.now_ns}"

    def until_change(self, x: float, at_most_ns: int) -> int:
        """Hold x until the row changes; ns from the first cycle that saw x."""
        self.x, was = x, self.active
        self.bench.step()
        begin = self.bench.now_ns
        while self.active == was and self.bench.now_ns - begin <= at_most_ns:
            self.bench.step()
        assert self.active != was, f"{self.name} did not change at {x} within {at_most_ns} ns"
        return self.bench.now_ns - begin

    def rounded(self, ns: int) -> int:
        return -(-ns // self.bench.dt_ns) * self.bench.dt_ns

    def reacted(self) -> bool:
        """Tell whether the row has the effect that its level promises."""
        command, s = self.bench.command, self.string
        if self.level <= Level.WARN:
            return self.active
        limits = {"charge": command.window.charge_A[s], "discharge": command.window.discharge_A[s]}
        if self.level == Level.DERATE:
            return self.active
        if self.bench.config.switch.kind[s] == Switchgear.NONE:
            return all(limits[path] == 0.0 for path in self.paths)
        if self.bench.config.switch.kind[s] == Switchgear.CONTACTORS:
            return not (command.minus[s] or command.plus[s])
        return not any(getattr(command, f"{path}_switch")[s] for path in self.paths)


def table_signal(r: Row) -> str:
    return r.bench.config.faults.signal[r.index]


def test_every_signal_has_a_stimulus() -> None:
    assert set(STIMULI) | TIMED == set(SIGNALS)
    assert not set(STIMULI) & TIMED


def test_every_row_of_the_table_is_tested() -> None:
    every = set(site("one").faults.name)
    assert every == {name for _, _, name in [*ROWS, *SILENT_ROWS]} | UNTIMED


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_both_sides_of_every_limit(row: tuple[str, int, str]) -> None:
    r = Row(*row)
    assert r.stimulus is not None
    thorough = row[0] == "one"  # the other sites show that strings, kinds and cells of other shape do the same

    r.for_ns(max(2 * r.debounce_ns, 500_000_000) if thorough else 60_000_000, r.inside)  # just inside never trips

    tripped = r.until_change(r.outside, r.budget_ns)
    later_ns = r.bench.dt_ns if table_signal(r) in BY_MEDIAN else 0
    needed = max(r.rounded(r.debounce_ns), (r.samples - 1) * r.bench.dt_ns) + later_ns
    assert tripped == needed  # not before its debounce and its samples, and no cycle later
    told = [e for e in r.bench.events if e.name == r.name]
    assert [(e.kind, e.string, e.limit) for e in told] == [("fault", r.string, r.trip)]
    assert told[0].cause and (told[0].value == pytest.approx(r.outside) or abs(r.trip) == ON)
    assert heavy(r.bench.config, r.bench.state, r.paths[0])[r.string] or r.level < Level.RAMP
    begin = r.bench.now_ns
    while not r.reacted():
        r.bench.step()
        assert r.bench.now_ns - begin + tripped <= r.budget_ns, "reacts too late"

    r.bench.dt_ns = SLOW_NS

    if thorough and abs(r.trip - r.release) > 4 * EDGE * max(1.0, abs(r.trip)):
        middle = 0.5 * (r.trip + r.release)
        r.for_ns(2 * r.release_ns, middle)  # between release and trip nothing changes …
        r.bench.step(reset=True, service=True)
        assert r.active  # … and no key helps

    if r.latch == Latch.SELF:
        later_ns = SLOW_NS if table_signal(r) in BY_MEDIAN else 0
        assert r.until_change(r.well_inside, 2 * r.release_ns) == r.rounded(r.release_ns) + later_ns
        assert [(e.kind, e.limit) for e in r.bench.events if e.name == r.name][1:] == [("clear", r.release)]
        return
    r.for_ns(max(r.release_ns - 2 * r.bench.dt_ns, 0), r.well_inside)
    r.bench.step(reset=True, service=True)
    assert r.active, "reset before the cause was gone for long enough"
    r.for_ns(2 * r.bench.dt_ns + r.release_ns, r.well_inside)  # latched: time alone does not end it
    r.bench.step(service=True)
    assert r.active, "the key without a reset"
    r.bench.step(reset=True)
    assert r.active == (r.latch == Latch.SERVICE)
    r.bench.step(reset=True, service=True)
    assert not r.active and not r.bench.latched(r.name, r.string)


COUNTED = [r for r in ROWS if r[0] == "one" and site("one").faults.samples[site("one").faults.name.index(r[2])] > 1]


@pytest.mark.parametrize("row", COUNTED, ids=name_of)
def test_a_repeated_sample_is_never_counted_twice(row: tuple[str, int, str]) -> None:
    r = Row(*row)
    assert r.stimulus is not None and r.stimulus.freezes
    r.for_ns(100_000_000, r.well_inside)
    r.x = r.outside
    r.bench.step()
    held = r.bench.value.copy()
    for name in r.stimulus.freezes:
        r.bench.silence(name, on=True)
        r.bench.put(name, held[r.bench.layout.where[name]])
    r.bench.every_cycle.clear()
    for _ in range(-(-2 * r.debounce_ns // r.bench.dt_ns) + r.samples + 2):
        r.bench.step()
        assert not r.active
    count = r.bench.state.faults.counted[r.index, r.string]
    assert count <= 1


def element_of(bench: Bench, signal: str, string: int) -> int:
    """Return one element of a signal that belongs to the string: its second cell or sensor, or the only one."""
    layout = bench.layout
    match BY_NAME[signal].axis:
        case "cell":
            return int(layout.first_cell[string]) + 1
        case "temp":
            return int((layout.string_of_temp == string).argmax())
        case "pack":
            return int(layout.pack_of_string[string])
        case _:
            return string


@pytest.mark.parametrize("row", SILENT_ROWS, ids=name_of)
def test_silence_is_noticed_just_after_its_limit_and_never_before(row: tuple[str, int, str]) -> None:
    r = Row(*row)
    signal = SILENCES[r.bench.config.faults.signal[r.index]]
    element = element_of(r.bench, signal, r.string)
    max_age_ns = int(r.bench.config.sensing.max_age_ns[r.bench.layout.where[signal]][element])
    if max_age_ns > 10_000_000_000:  # a minute in cycles of 20 ms takes long and shows no more
        r.bench.dt_ns = SLOW_NS
    limit_ns = (max_age_ns + round(r.trip * 1e9)) // r.bench.dt_ns * r.bench.dt_ns
    for _ in range(3 if row[0] == "one" else 1):  # one sample in time, again and again, is not silence
        r.bench.silence(signal, element)
        r.for_ns(limit_ns - r.bench.dt_ns, 0.0)
        r.bench.silence(signal, element, on=False)
        r.bench.step()
        assert not r.active
    r.bench.silence(signal, element)
    r.for_ns(limit_ns, 0.0)
    r.bench.step()
    assert r.active
    if r.level >= Level.RAMP:
        tripped = r.bench.now_ns
        while not r.reacted():
            r.bench.step()
            assert r.bench.now_ns - tripped + limit_ns <= r.budget_ns
    r.bench.silence(signal, element, on=False)
    r.bench.dt_ns = SLOW_NS
    assert r.until_change(0.0, 2 * r.release_ns) == r.rounded(r.release_ns)


@pytest.mark.parametrize(("rate", "trips"), [(0.29, False), (0.31, True)])
def test_a_fast_rise_of_temperature(rate: float, trips: bool) -> None:
    bench = closed("one")
    bench.dt_ns = 100_000_000
    begin = bench.now_ns
    bench.every_cycle.append(lambda b: b.put("temp_degC", 25.0 + rate * (b.now_ns - begin) * 1e-9, 1))
    seconds = bench.run(30.0, lambda b: b.active("temperature_rises_fast"))
    assert bench.active("temperature_rises_fast") == trips
    if trips:
        assert 4.5 <= seconds <= 7.2  # two windows of 2.25 s, and what is left of the one it begins in


@pytest.mark.parametrize(("signal", "value", "row"), [
    ("cell_voltage", 6.5, "cell_reading_absurd"), ("temp_degC", -60.0, "temperature_reading_absurd"),
])  # fmt: skip
def test_one_absurd_sample_of_a_sensor_that_then_falls_silent_counts_once(signal: str, value: float, row: str) -> None:
    bench = closed("one")
    bench.put(signal, value, 1)
    bench.step()
    bench.silence(signal, 1)  # the other sensors go on
    bench.run(2.0)
    assert bench.state.faults.counted[bench.row(row), 0] == 1
    assert not bench.active(row)


def test_bounds_count_the_lag_of_every_signal_that_is_made_of_medians() -> None:
    assert BY_MEDIAN <= check.MEDIAN and "refill_current" in check.MEDIAN


def test_the_bound_of_what_is_made_of_medians_holds_at_the_worst_phase_of_slow_samples() -> None:
    """Cells are read every 100 ms; one sags right after it was read, while 60 A flow."""
    made = build(TABLES["one"], "one")
    period_s = np.full(made.config.layout.size["signal"], 0.02)
    period_s[made.config.layout.where["cell_voltage"]] = 0.1
    (bound_s,) = (t.bound_s for t in check.timing(made, period_s) if t.row == "refill_over_current")
    bench, sags_ns = closed("one"), [2**62]

    def read(b: Bench) -> None:
        due = b.now_ns // b.dt_ns % 5 == 0
        if due and b.now_ns > sags_ns[0]:
            b.put("cell_voltage", float(b.config.limits.precondition_V[0]) - 0.05, 2)
        b.silence("cell_voltage", on=not due)

    bench.every_cycle.append(read)
    bench.put("current", 60.0)
    bench.run(1.0)
    while bench.now_ns // bench.dt_ns % 5:
        bench.step()
    sags_ns[0] = bench.now_ns
    bench.run(3.0, lambda b: b.active("refill_over_current"))
    seen_s = (bench.now_ns - sags_ns[0]) * 1e-9
    after_s = 0.04  # a cycle of phase, the guard's look; contacts are in the bound alone
    assert bound_s - 0.1 < seen_s + after_s <= bound_s + 1e-9, (seen_s, bound_s)


def test_cells_at_a_steep_end_are_not_too_far_apart() -> None:
    """What 3 % of charge makes is no spread: by hand from the OCV points of the cell file, highest and lowest cell."""
    config = site("one")
    model = config.models[0]
    ocv, soc = model.ocv[np.abs(model.temp_degC - 25.0).argmin()], np.linspace(0.0, 1.0, model.ocv.shape[1])
    low, high = (float(np.interp(z, soc, ocv)) for z in (0.02, 0.05))
    ends = np.array(([high], [low]))
    assert signals.usual(config, np.zeros(1, np.int64), ends)[0] == pytest.approx(high - low, abs=2e-3)
    assert np.isfinite(signals.usual(config, np.zeros(1, np.int64), np.array(([9.0], [np.nan])))).all()
