"""How long something has been bad: the count of every debounce, and which cell or sensor is bad for so long by itself.

A fresh sample that is not bad takes a bad one back and as much time as it stands for, an unknown one changes nothing:
what is bad more often than not ripens, at whatever rhythm it comes and is sampled; what is bad less often never does.
What a row looks for during a flow ends with the flow.

A row of many cells must not add up what different cells do: wild samples that hit another cell each time are noise,
however often they come. So each (row, element) pair, a spot, counts its own fresh bad samples and its own time. While
no spot of a site is bad or was lately, its memory is empty and costs nothing.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cellarer.core.decide.look import FLOWS, Look, hides
from cellarer.core.decide.signals import PLAIN, SIGNALS, Measured
from cellarer.core.digest import NOT_NOW
from cellarer.model.config import Config
from cellarer.model.quantities import BY_NAME
from cellarer.model.values import FOREVER, Bools, Bytes, Floats, Ints, Runs

try:
    from cellarer.core import kernel as _kernel
except ImportError:  # without numba NumPy does the work
    _kernel = None  # type: ignore[assignment]

SINGLE = ("high", "low", "absurd")  # reductions whose worst element is a sample, not an age
NO, YES, OWN = 0, 1, 2  # a spot of the row is not ripe, is ripe; the row has no spots and counts by itself
ABSURD = 0  # direction of a spot: otherwise +1 or −1, the sign of the value


@dataclass(frozen=True, slots=True, eq=False)
class Spots:
    """All (row, element) pairs of a site, side by side; (spot,) unless said."""

    row: Ints
    string: Ints
    at: Ints  # where its element lies in the flat array
    direction: Ints  # +1 or −1: the value counts so; ABSURD: whether the sample is absurd counts
    flow: Ints  # index into FLOWS
    rows: Ints  # the rows that have spots
    none: Bytes  # (row, string) OWN where the row has no spots, else NO: the answer while nothing is bad


def start() -> Runs:
    """Return the memory in which nothing is bad."""
    return Runs(np.zeros(0, np.int64), np.zeros(0, np.int64))


@lru_cache(maxsize=16)
def spots(config: Config) -> Spots:
    """Lay out the spots of a site; once per Config."""
    layout, table = config.layout, config.faults
    owners = {"cell": layout.string_of_cell, "temp": layout.string_of_temp}
    foreign = hides(config)
    hidden = ~layout.yes if foreign is None else foreign.any(axis=0)
    parts: list[tuple[Ints, ...]] = []
    none = np.full(table.trip.shape, OWN, np.int8)
    for row, name in enumerate(table.signal):
        signal = _signal(name)
        if not (isinstance(signal, Measured) and signal.kind in SINGLE and BY_NAME[signal.name].axis in owners):
            continue
        if table.samples[row] == 1 and table.debounce_ns[row] == 0:
            continue
        owner = owners[BY_NAME[signal.name].axis]
        mine = np.flatnonzero((table.enabled[row] & ~hidden if name in PLAIN else table.enabled[row])[owner])
        none[row, owner[mine]] = NO
        direction = {"high": 1, "low": -1, "absurd": ABSURD}[signal.kind]
        facts = np.tile([[row], [direction], [FLOWS.index(signal.flow)]], mine.size)
        parts.append((facts[0], owner[mine], layout.where[signal.name].start + mine, facts[1], facts[2]))
    flat = np.concatenate([np.array(part, np.int64) for part in parts], axis=1) if parts else np.zeros((5, 0), np.int64)
    return Spots(flat[0], flat[1], flat[2], flat[3], flat[4], np.unique(flat[0]), none)


def _signal(name: str) -> object:
    return PLAIN[name][0] if name in PLAIN else SIGNALS[name]


def advance(look: Look, runs: Runs, bad: Bools, plain: bool = False) -> tuple[Runs, Bytes]:
    """Return the new memory, and (row, string) whether a spot of each row has been bad long enough: NO, YES or OWN.

    bad: (row, string) some element is beyond the trip value now. plain: by NumPy even where the kernel is there.
    """
    plan = spots(look.config)
    if not (runs.counted.size or np.count_nonzero(bad[plan.rows])):
        return runs, plan.none
    if not runs.counted.size:
        runs = Runs(np.full(plan.row.size, FOREVER), np.zeros(plan.row.size, np.int64))
    new, ripe = (_advance_plain if plain or _kernel is None else _advance)(look, runs, plan)
    return (new if np.count_nonzero(new.counted) else start()), ripe


def ripest(look: Look, runs: Runs, row: int, string: int) -> tuple[int, float, int] | None:
    """Return (cell or sensor, its value, since when it is bad, ns): of those that made a row trip the worst one.

    None where the row has no spots. runs: what `advance` has just returned.
    """
    if not runs.counted.size:
        return None
    plan, table = spots(look.config), look.config.faults
    first, end = np.searchsorted(plan.row, (row, row + 1)).tolist()
    mine = first + np.flatnonzero(plan.string[first:end] == string)
    at, direction = plan.at[mine], plan.direction[mine]
    value = np.where(direction == ABSURD, look.seen.absurd[at], direction * look.seen.value[at])
    ripe = (value > table.trip[row, string]) & (runs.counted[mine] >= table.samples[row])
    ripe &= look.now_ns - runs.since_ns[mine] >= table.debounce_ns[row]
    if not ripe.any():
        return None
    worst = int(np.argmax(np.where(ripe, value, -np.inf)))
    signal = _signal(table.signal[row])
    assert isinstance(signal, Measured)
    element = int(at[worst]) - look.config.layout.where[signal.name].start
    return element, float(value[worst]), int(runs.since_ns[mine[worst]])


def count(
    counted: Ints, since_ns: Ints, bad: Bools, sure: Bools, applies: Bools, apart_ns: Ints, samples: Ints,
    debounce_ns: Ints, now_ns: int,
) -> tuple[Ints, Ints]:  # fmt: skip
    """Return (bad samples that count, since when), of rows as of spots.

    sure, applies: the value is known, and whether the row looks at it; with the flow that it looks for a run ends, too.
    apart_ns: how long after the last sample that counted this one came; 0 = it is that one.
    """
    fresh = apart_ns > 0
    back = ~bad & sure & fresh & (counted > 0)
    most_ns = np.maximum(debounce_ns, (samples - 1) * apart_ns)  # no more is remembered than ripens
    most = most_ns // np.maximum(apart_ns, 1) + 1
    counted = np.where(back, np.minimum(counted, most) - 1, counted + (bad & fresh))
    taken = np.maximum(since_ns, now_ns - apart_ns - most_ns) + 2 * apart_ns
    since_ns = np.where(bad, np.minimum(since_ns, now_ns), np.where(back, taken, since_ns))
    over = ~bad & ((counted == 0) | (since_ns > now_ns) | (sure & ~applies))
    return np.where(over, 0, counted), np.where(over, FOREVER, since_ns)


def _advance_plain(look: Look, before: Runs, plan: Spots) -> tuple[Runs, Bytes]:
    table, now_ns, seen = look.config.faults, look.now_ns, look.seen
    at = plan.row, plan.string
    applies, sure = (known[plan.flow, plan.string] for known in look.applies)
    signed = np.where(plan.direction == ABSURD, seen.absurd[plan.at], plan.direction * seen.value[plan.at])
    known = ~np.isnan(signed)
    value: Floats = np.where(known & applies, signed, NOT_NOW)
    bad = value > table.trip[at]
    apart_ns = seen.time_ns[plan.at] - look.state.seen.time_ns[plan.at]
    samples, debounce_ns = table.samples[plan.row], table.debounce_ns[plan.row]
    counted, since = count(
        before.counted, before.since_ns, bad, known & sure, applies, apart_ns, samples, debounce_ns, now_ns
    )
    found = np.flatnonzero(bad & (counted >= samples) & (now_ns - since >= debounce_ns))
    ripe = plan.none.copy()
    ripe[plan.row[found], plan.string[found]] = YES
    return Runs(since, counted), ripe


def _advance(look: Look, before: Runs, plan: Spots) -> tuple[Runs, Bytes]:
    """Do what _advance_plain does in one compiled pass."""
    table, seen, ripe = look.config.faults, look.seen, plan.none.copy()
    new = Runs(np.empty_like(before.since_ns), np.empty_like(before.counted))
    _kernel.runs(
        seen.value, seen.absurd, seen.time_ns, look.state.seen.time_ns,
        plan.row, plan.string, plan.at, plan.direction, plan.flow, *look.applies,
        table.trip, table.samples, table.debounce_ns, look.now_ns,
        before.since_ns, before.counted, new.since_ns, new.counted, ripe,
    )  # fmt: skip
    return new, ripe
