"""The fault machine, explored whole: every reachable memory of a row under every input, by the real `protect`.

A row's memory is made finite by what its rules can tell apart: how long it has been bad and good, up to its
debounce and its release, and how many samples it has counted, up to two more than it needs. Each (memory, input) pair
is one string of one call, so that every transition is the program's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pytest

from cellarer.core.decide import protect
from cellarer.model.values import FOREVER, Faults, Latch, Level

TICK, NOW_NS = 1_000_000, 10**15
BAD, BETWEEN, GOOD = 3.0, 1.5, 0.0  # beyond a trip of 2, within a release of 1
LATCHES = (Latch.SELF, Latch.RESET, Latch.SERVICE)
INPUTS = list(product((BAD, BETWEEN, GOOD), (False, True), (False, True), (1, 4), ("", "reset", "service")))
# (samples, debounce, release) in ticks: at once, by samples, by time, both, as most rows are
TIMES = [(1, 0, 0), (3, 0, 2), (1, 3, 2), (2, 2, 3)]


class Memory(NamedTuple):
    """What a row remembers, as far as its rules can tell apart. Ages in ticks, −1 = not."""

    active: bool
    latched: bool
    bad: int
    good: int
    counted: int


class Input(NamedTuple):
    value: float
    known: bool
    fresh: bool
    ticks: int
    key: str


class Plain:
    """Anything with attributes, equal only to itself."""

    def __init__(self, **facts: Any) -> None:
        self.__dict__ |= facts


@contextmanager
def reading(value: np.ndarray, known: np.ndarray, time_ns: np.ndarray) -> Iterator[None]:
    """Let each string read its own value, in every row."""
    rows, n = len(LATCHES), value.size
    plan = Plain(index=np.tile(np.arange(n), (rows, 1)), flow=np.zeros(rows, np.int64))
    own = np.full((rows, n), protect.spot_runs.OWN, np.int8)
    with (
        patch.object(protect, "gather", lambda _: plan),
        patch.object(protect, "read", lambda _: (value, known, time_ns)),
        patch.object(protect.spot_runs, "advance", lambda _look, runs, _bad, **_: (runs, own)),
        patch.object(protect, "elements", lambda *_: None),
    ):
        yield


class Machine:
    """All rows of one kind of times; `moves` holds what every memory does on every input."""

    def __init__(self, times: tuple[int, int, int]) -> None:
        self.samples, self.debounce, self.release = times
        self.moves: dict[tuple[Latch, Memory, Input], Memory] = {}
        self.events: dict[tuple[Latch, Memory, Input], list[Any]] = {}
        begin = Memory(False, False, -1, -1, 0)
        self.reached = {latch: {begin} for latch in LATCHES}
        frontier = {latch: {begin} for latch in LATCHES}
        while any(frontier.values()):
            self.explore(frontier)
            for latch, memories in frontier.items():
                found = {self.moves[latch, m, Input(*i)] for m in memories for i in INPUTS}
                frontier[latch] = found - self.reached[latch]
                self.reached[latch] |= found

    def explore(self, frontier: dict[Latch, set[Memory]]) -> None:
        """Give every memory of the frontier every input, and note what becomes of it in the row of its latch."""
        pairs = [(m, Input(*i)) for m in sorted(set().union(*frontier.values())) for i in INPUTS]
        new, told = self.advance(pairs)
        plain, _ = self.advance(pairs, plain=True)
        for name in ("active", "latched", "bad_since_ns", "good_since_ns", "counted"):
            np.testing.assert_array_equal(getattr(new, name), getattr(plain, name))  # compiled as NumPy
        for row, latch in enumerate(LATCHES):
            for n, (memory, given) in enumerate(pairs):
                if memory in frontier[latch]:
                    self.moves[latch, memory, given] = self.remembered(new, row, n, NOW_NS + given.ticks * TICK)
                    self.events[latch, memory, given] = told.get((row, n), [])

    def advance(self, pairs: list[tuple[Memory, Input]], plain: bool = False) -> tuple[Faults, dict[Any, list[Any]]]:
        """Return the new memory of `protect`, (row, string), and its events by row and string."""
        new: dict[str, np.ndarray] = {}
        told: dict[Any, list[Any]] = {}
        for ticks in {given.ticks for _, given in pairs}:
            mine = [n for n, (_, given) in enumerate(pairs) if given.ticks == ticks]
            after, events = self.once([pairs[n] for n in mine], ticks, plain)
            for name in ("active", "latched", "bad_since_ns", "good_since_ns", "counted"):
                part = getattr(after, name)
                new.setdefault(name, np.zeros((len(LATCHES), len(pairs)), part.dtype))[:, mine] = part
            for event in events:
                told.setdefault((int(event.name), mine[event.string]), []).append(event)
        return Plain(**new), told  # type: ignore[return-value]

    def once(self, pairs: list[tuple[Memory, Input]], ticks: int, plain: bool) -> tuple[Faults, list[Any]]:
        rows, n = len(LATCHES), len(pairs)

        def of(values: list[Any]) -> np.ndarray:
            return np.tile(np.array(values), (rows, 1))

        def since(ages: list[int]) -> np.ndarray:
            return of([FOREVER if age < 0 else NOW_NS - age * TICK for age in ages])

        faults = Faults(
            bad_since_ns=since([m.bad for m, _ in pairs]), good_since_ns=since([m.good for m, _ in pairs]),
            counted=of([m.counted for m, _ in pairs]), counted_ns=np.full((rows, n), NOW_NS),
            active=of([m.active for m, _ in pairs]), latched=of([m.latched for m, _ in pairs]),
            raised_value=np.full((rows, n), np.nan), raised_cell=np.full((rows, n), -1), runs=protect.spot_runs.start(),
        )  # fmt: skip
        full, yes = np.ones((rows, n)), np.ones((1, n), bool)
        table = Plain(
            enabled=full.astype(bool), trip=2.0 * full, release=full, samples=np.full(rows, self.samples),
            debounce_ns=np.full(rows, self.debounce * TICK), release_ns=np.full(rows, self.release * TICK),
            latch=np.array(LATCHES, np.int8), sign=np.ones(rows), signal=["a signal"] * rows,
            name=[str(row) for row in range(rows)],
        )  # fmt: skip
        look = Plain(config=Plain(faults=table), now_ns=NOW_NS + ticks * TICK, applies=(yes, yes))
        value, known = (np.array([getattr(given, name) for _, given in pairs]) for name in ("value", "known"))
        time_ns = np.array([NOW_NS + ticks * TICK if given.fresh else NOW_NS for _, given in pairs])
        reset = np.array([given.key != "" for _, given in pairs])
        service = np.array([given.key == "service" for _, given in pairs])
        with reading(value, known, time_ns):
            return protect.protect(look, faults, reset, service, plain=plain)  # type: ignore[arg-type]

    def remembered(self, new: Faults, row: int, n: int, now_ns: int) -> Memory:
        def age(since_ns: np.ndarray, most: int) -> int:
            return -1 if since_ns[row, n] == FOREVER else min(int(now_ns - since_ns[row, n]) // TICK, most)

        return Memory(
            bool(new.active[row, n]), bool(new.latched[row, n]),
            age(new.bad_since_ns, self.debounce + 1), age(new.good_since_ns, self.release + 1),
            min(int(new.counted[row, n]), self.samples + 2),
        )  # fmt: skip

    def repeat(self, latch: Latch, memory: Memory, given: Input, times: int) -> Memory:
        for _ in range(times):
            memory = self.moves[latch, memory, given]
        return memory


MACHINES: dict[tuple[int, int, int], Machine] = {}


@pytest.fixture(params=TIMES, ids=str)
def machine(request: pytest.FixtureRequest) -> Machine:
    if request.param not in MACHINES:
        MACHINES[request.param] = Machine(request.param)
    return MACHINES[request.param]


def raised(given: Input) -> Input:
    return given._replace(value=BAD, fresh=True)


def test_what_is_reachable_is_sound(machine: Machine) -> None:
    for latch, memories in machine.reached.items():
        assert len(memories) > 3
        for m in memories:
            assert m.active or not m.latched, "latched and not active"
            assert not (m.latched and latch == Latch.SELF)
            assert m.bad < 0 or m.good < 0 or m.counted > 0, "good for a while, and bad since, with nothing counted"
        assert {(m.active, m.latched) for m in memories} == (
            {(False, False), (True, False)} if latch == Latch.SELF else {(False, False), (True, True)}
        )


def test_nothing_trips_but_fresh_bad_samples_that_last(machine: Machine) -> None:
    for (_, memory, given), after in machine.moves.items():
        if after.active and not memory.active:
            lasted = memory.bad + given.ticks if memory.bad >= 0 else 0
            assert given.value == BAD and after.counted >= machine.samples and lasted >= machine.debounce
        if not given.fresh:
            assert after.counted <= memory.counted, "a repeated sample was counted"


def test_nothing_clears_but_what_is_known_and_good_for_long_enough(machine: Machine) -> None:
    for (latch, memory, given), after in machine.moves.items():
        if memory.active and not after.active:
            lasted = memory.good + given.ticks if memory.good >= 0 else 0
            assert given.value == GOOD and given.known and lasted >= machine.release
            needed = {
                Latch.SELF: ("", "reset", "service"),
                Latch.RESET: ("reset", "service"),
                Latch.SERVICE: ("service",),
            }
            assert given.key in needed[latch]
        if not given.known and given.value != BAD:
            assert (after.active, after.latched, after.counted) == (memory.active, memory.latched, memory.counted)
            assert after.good < 0, "unknown counts as good"


def test_whatever_it_remembers_a_lasting_fault_is_raised_and_no_key_holds_it_back(machine: Machine) -> None:
    most = max(machine.samples, machine.debounce + 1)
    for latch, memories in machine.reached.items():
        for memory, known, key in product(memories, (False, True), ("", "reset", "service")):
            after = machine.repeat(latch, memory, Input(BAD, known, True, 1, key), most)
            assert after.active and after.latched == (latch != Latch.SELF)


def test_no_memory_is_locked_out_each_has_its_named_way_back(machine: Machine) -> None:
    key = {Latch.SELF: "", Latch.RESET: "reset", Latch.SERVICE: "service"}
    for latch, memories in machine.reached.items():
        for memory in memories:
            rest = machine.repeat(latch, memory, Input(GOOD, True, True, 1, ""), machine.release + 1)
            assert rest.active == (memory.active and latch != Latch.SELF), "good for long enough"
            back = machine.moves[latch, rest, Input(GOOD, True, True, 1, key[latch])]
            assert back == Memory(False, False, -1, machine.release + 1, 0)


def test_every_change_has_one_event_and_nothing_else_has(machine: Machine) -> None:
    for at, after in machine.moves.items():
        told = machine.events[at]
        if after.active == at[1].active:
            assert not told
        else:
            assert [e.kind for e in told] == ["fault" if after.active else "clear"] and told[0].cause
            assert told[0].limit == (2.0 if after.active else 1.0) and told[0].value == at[2].value


@pytest.mark.parametrize("level", (Level.INFORM, Level.WARN, Level.DERATE, Level.RAMP, Level.OPEN))
@pytest.mark.parametrize("active", list(product((False, True), repeat=2)))
def test_the_demand_of_every_pair_of_rows_is_the_union_of_both(level: Level, active: tuple[bool, bool]) -> None:
    """Two rows of each level and path, in every combination of active: more rows never demand less."""
    for other, paths in product(Level, product((False, True), repeat=4)):
        table = Plain(
            level=np.array((level, other), np.int8), charge=np.array(paths[:2]), discharge=np.array(paths[2:]),
            derate=np.array((0.5, 0.25)), trip=np.zeros((2, 1)),
        )  # fmt: skip
        config = Plain(faults=table, layout=Plain(yes=np.ones(1, bool)))
        asked = protect.demand(config, Plain(active=np.array(active)[:, None]))  # type: ignore[arg-type]
        for way, mine in enumerate((paths[:2], paths[2:])):
            on = [(lv, d) for lv, a, p, d in zip((level, other), active, mine, (0.5, 0.25), strict=True) if a and p]
            assert asked.open[way, 0] == any(lv == Level.OPEN for lv, _ in on)
            assert asked.ramp[way, 0] == any(lv == Level.RAMP for lv, _ in on)
            assert asked.fraction[way, 0] == min([1.0, *(d for lv, d in on if lv == Level.DERATE)])
            assert asked.blocked[way, 0] == any(lv >= Level.RAMP for lv, _ in on)


SEEN = {"bad": BAD, "between": BETWEEN, "good": GOOD, "unknown": np.nan}
SPOT_INPUTS = list(product(SEEN, (False, True), (1, 4), (False, True), (False, True)))  # fresh, ticks, applies, sure
Spot = tuple[int, int]  # ticks since it was first bad, −1 = not; samples counted


def spot_moves(spots: list[Spot], times: tuple[int, int, int], plain: bool) -> dict[Any, tuple[Spot, bool]]:
    """Return what each memory of a single cell does on each input, and whether it is then ripe; by `runs` itself."""
    samples, debounce, _ = times
    moves: dict[Any, tuple[Spot, bool]] = {}
    for ticks in (1, 4):
        pairs = [(spot, given) for spot in spots for given in SPOT_INPUTS if given[2] == ticks]
        n, strings = len(pairs), np.arange(len(pairs))
        now_ns, ones = NOW_NS + ticks * TICK, np.ones((1, n))
        plan = protect.spot_runs.Spots(
            np.zeros(n, np.int64), strings, strings, np.ones(n, np.int64), np.zeros(n, np.int64),
            np.zeros(1, np.int64), np.zeros((1, n), np.int8),
        )  # fmt: skip
        table = Plain(
            trip=2.0 * ones, release=ones, samples=np.array([samples]), debounce_ns=np.array([debounce * TICK])
        )
        seen = Plain(
            value=np.array([SEEN[g[0]] for _, g in pairs]), absurd=np.zeros(n, bool),
            time_ns=np.array([now_ns if g[1] else NOW_NS for _, g in pairs]),
        )  # fmt: skip
        look = Plain(
            config=Plain(faults=table), seen=seen, now_ns=now_ns, state=Plain(seen=Plain(time_ns=np.full(n, NOW_NS))),
            applies=tuple(np.array([[g[i] for _, g in pairs]]) for i in (3, 4)),
        )  # fmt: skip
        since = np.array([FOREVER if age < 0 else NOW_NS - age * TICK for (age, _), _ in pairs])
        before = protect.spot_runs.Runs(since, np.array([counted for (_, counted), _ in pairs]))
        with patch.object(protect.spot_runs, "spots", lambda _, plan=plan: plan):
            after, ripe = protect.spot_runs.advance(look, before, np.ones((1, n), bool), plain=plain)  # type: ignore
        if not after.counted.size:  # nothing is bad any more: the memory was let go
            after = protect.spot_runs.Runs(np.full(n, FOREVER), np.zeros(n, np.int64))
        for i, pair in enumerate(pairs):
            age = -1 if after.since_ns[i] == FOREVER else min(int(now_ns - after.since_ns[i]) // TICK, debounce + 1)
            moves[pair] = (age, min(int(after.counted[i]), samples + 2)), ripe[0, i] == protect.spot_runs.YES
    return moves


@pytest.mark.parametrize("times", TIMES, ids=str)
def test_the_debounce_of_single_cells_explored_whole(times: tuple[int, int, int]) -> None:
    samples, debounce, _ = times
    reached, frontier, moves = {(-1, 0)}, [(-1, 0)], dict[Any, tuple[Spot, bool]]()
    while frontier:
        found = spot_moves(frontier, times, plain=True)
        assert found == spot_moves(frontier, times, plain=False)
        moves |= found
        frontier = sorted({after for after, _ in found.values()} - reached)
        reached |= set(frontier)
    for (spot, (value, fresh, ticks, applies, sure)), (after, ripe) in moves.items():
        lasted = spot[0] + ticks if spot[0] >= 0 else 0
        assert ripe == (value == "bad" and applies and after[1] >= samples and lasted >= debounce)
        if not fresh:
            assert after[1] <= spot[1], "a repeated sample was counted"
        if value != "unknown" and sure and not applies:
            assert after == (-1, 0), "what does not apply ends a run"
        elif value in ("between", "good") and sure and fresh:
            most = max(debounce, (samples - 1) * ticks)
            assert after[1] <= max(min(spot[1], most // ticks + 1) - 1, 0), "a sample that is not bad takes one back"
            assert after == (-1, 0) or after[0] <= min(spot[0], most) - ticks, "and the time it stands for"
        if value == "unknown":
            assert after[1] == spot[1], "an unknown sample was counted, or ended a run"
    for spot in reached:  # whatever it remembers, a cell that stays bad becomes ripe
        for _ in range(max(samples, debounce + 1)):
            spot, ripe = moves[spot, ("bad", True, 1, True, True)]
        assert ripe
