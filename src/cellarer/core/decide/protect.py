"""The fault machine: debounces, confirms, latches and releases the whole (row, string) matrix at once.

Reads measurements only. A row is bad when its signal is beyond the trip value, good when all its elements are known
and within the release value; between the two nothing trips or clears; unknown changes nothing: it never clears. Bad
must last for `samples` fresh samples and `debounce_ns`, less what was not bad meanwhile, and where a row looks at
single cells or sensors for one and the same of them (runs.py); a latched row stays until an authorised reset finds
its cause gone, a SERVICE row until the service key is shown. A row that the site no longer has, latched under an older
site file, has no cause to wait for. More faults never widen anything: the result is the union of what each row demands.
Does not know what opens a contactor (sequence.py) or how limits fall (limit.py).
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from cellarer.core.decide import runs as spot_runs
from cellarer.core.decide.gather import gather, read
from cellarer.core.decide.signals import Look, elements
from cellarer.core.digest import NOT_NOW
from cellarer.model.config import Config
from cellarer.model.events import place
from cellarer.model.values import FOREVER, NEVER, Bools, Event, Faults, Floats, Ints, Latch, Level

try:
    from cellarer.core import kernel as _kernel
except ImportError:  # without numba NumPy does the work
    _kernel = None  # type: ignore[assignment]

SELF, RESET, SERVICE = int(Latch.SELF), int(Latch.RESET), int(Latch.SERVICE)
BOTH_WAYS, CHARGE_WAY = np.array([True, True]), np.array([True, False])
OPEN, RAMP, DERATE = int(Level.OPEN), int(Level.RAMP), int(Level.DERATE)


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """What all active rows together demand, (way, string): way 0 is the charge path, way 1 the discharge path."""

    open: Bools  # the path opens now
    ramp: Bools  # its limit goes to zero, then it opens
    fraction: Floats  # 1 = no derating
    none: bool = False  # nothing at all
    faults: Faults | None = None  # whose rows demand it; None = nobody's

    @property
    def blocked(self) -> Bools:
        """The path opens, now or after its limit has fallen."""
        return self.open | self.ramp

    def rows(self, config: Config, string: int, ways: Bools = BOTH_WAYS) -> str:
        """Name the rows that block any of these ways, (way,), of a string; empty where none does."""
        table = config.faults
        blocks = (table.level >= RAMP) & ((table.charge & ways[0]) | (table.discharge & ways[1]))
        return "" if self.faults is None else self._named(config, blocks & self.faults.active[:, string], string)

    def locks(self, config: Config, string: int) -> str:
        """Name the latched rows with which a string may carry nothing, whatever people wish; empty where none is."""
        locks = config.faults.locks[:, string]
        return "" if self.faults is None else self._named(config, locks & self.faults.latched[:, string], string)

    def _named(self, config: Config, rows: Bools, string: int) -> str:
        """Name the most severe of these rows, (row,), with its cell, and say how many more there are."""
        found = np.flatnonzero(rows)
        if not found.size or self.faults is None:
            return ""
        table = config.faults
        row = int(found[np.argmax(table.level[found])])
        name, cell = table.name[row], int(self.faults.raised_cell[row, string])
        where = place(config, Event(0, "fault", name, string, cell, np.nan, np.nan, table.signal[row]))
        more = f", +{found.size - 1} more" if found.size > 1 else ""
        return name.replace("_", " ") + (f" ({where})" if where else "") + more


def start(config: Config) -> Faults:
    """Return the memory before the first cycle: nothing bad, nothing good yet."""
    shape = config.faults.trip.shape
    return Faults(
        bad_since_ns=np.full(shape, FOREVER),
        good_since_ns=np.full(shape, FOREVER),
        counted=np.zeros(shape, np.int64),
        counted_ns=np.full(shape, NEVER),
        active=np.zeros(shape, bool),
        latched=np.zeros(shape, bool),
        raised_value=np.full(shape, np.nan),
        raised_cell=np.full(shape, -1),
        runs=spot_runs.start(),
    )


def protect(
    look: Look, faults: Faults, reset: Bools, service: Bools, plain: bool = False
) -> tuple[Faults, list[Event]]:
    """Advance the fault machine by one cycle.

    reset, service: (string,) an authorised reset is in force, with the service key. plain: by NumPy even where the
    kernel is there. Returns the new memory and one event per row and string that changed.
    """
    new, value = (_judge_plain if plain or _kernel is None else _judge)(look, faults, reset, service)
    if new.active is faults.active:
        return new, []
    new = replace(new, raised_value=new.raised_value.copy(), raised_cell=new.raised_cell.copy())
    return new, _events(look, value, faults.active, new)


def _judge_plain(look: Look, faults: Faults, reset: Bools, service: Bools) -> tuple[Faults, Floats]:
    """Return the new memory and the value of each row, (row, string)."""
    table, now_ns, plan = look.config.faults, look.now_ns, gather(look.config)
    value, known, time_ns = read(look)
    value, known, time_ns = value[plan.index], known[plan.index], time_ns[plan.index]
    applies, sure = look.applies
    value, known = np.where(applies[plan.flow], value, NOT_NOW), known & sure[plan.flow]
    bad = table.enabled & (value > table.trip)
    good = known & (value <= table.release)
    runs, ripe = spot_runs.advance(look, faults.runs, bad, plain=True)

    apart_ns = np.where((bad | (known & (faults.counted > 0))), np.maximum(time_ns - faults.counted_ns, 0), 0)
    samples, debounce_ns = table.samples[:, None], table.debounce_ns[:, None]
    counted, bad_since_ns = spot_runs.count(
        faults.counted, faults.bad_since_ns, bad, known, applies[plan.flow], apart_ns, samples, debounce_ns, now_ns
    )
    counted_ns = np.where(apart_ns > 0, time_ns, faults.counted_ns)
    good_since_ns = np.where(good, np.minimum(faults.good_since_ns, now_ns), FOREVER)

    long = (counted >= samples) & (now_ns - bad_since_ns >= debounce_ns)
    confirmed = bad & ((ripe == spot_runs.YES) | ((ripe == spot_runs.OWN) & long))
    gone = ~table.enabled | (good & (now_ns - good_since_ns >= table.release_ns[:, None]))
    latch = table.latch[:, None]
    latched = faults.latched | (confirmed & (latch > SELF))
    latched &= ~(gone & ((reset & (latch == RESET)) | (service & (latch == SERVICE))))
    active = (faults.active | confirmed) & (~gone | latched)
    told = faults.raised_value, faults.raised_cell
    active = _kept(faults.active, active)
    return Faults(bad_since_ns, good_since_ns, counted, counted_ns, active, latched, *told, runs), value


def _kept(before: Bools, now: Bools) -> Bools:
    """Return the array of before where nothing changed: whoever asks sees it by its identity."""
    return now if np.count_nonzero(now != before) else before


def _judge(look: Look, faults: Faults, reset: Bools, service: Bools) -> tuple[Faults, Floats]:
    """Do what _judge_plain does in compiled passes."""
    table, plan = look.config.faults, gather(look.config)
    index, (flat_value, flat_known, flat_ns), applies = plan.index, read(look), look.applies
    memory, flags = np.empty((4, *index.shape), np.int64), np.empty((2, *index.shape), bool)
    value = np.empty(index.shape)
    looked = np.where(applies[0][plan.flow], flat_value[index], NOT_NOW)
    runs, ripe = spot_runs.advance(look, faults.runs, table.enabled & (looked > table.trip))
    _kernel.judge(
        flat_value, flat_known, flat_ns, index, plan.flow, *applies, table.enabled, table.trip, table.release,
        _times(look.config), reset, service, ripe, look.now_ns,
        faults.bad_since_ns, faults.good_since_ns, faults.counted, faults.counted_ns, faults.active, faults.latched,
        memory, flags, value,
    )  # fmt: skip
    bad_since_ns, good_since_ns, counted, counted_ns = memory
    told = faults.raised_value, faults.raised_cell
    active = _kept(faults.active, flags[0])
    return Faults(bad_since_ns, good_since_ns, counted, counted_ns, active, flags[1], *told, runs), value


@lru_cache(maxsize=16)
def _times(config: Config) -> Ints:
    """Return (row, 4) what the compiled machine needs of each row beside its thresholds."""
    table = config.faults
    return np.array((table.samples, table.debounce_ns, table.release_ns, table.latch), np.int64).T.copy()


def demand(config: Config, faults: Faults) -> Demand:
    """Return what the active rows demand. Latched rows are active until they are reset."""
    found = _demand(config, faults.active.tobytes())
    return found if found.none else replace(found, faults=faults)


@lru_cache(maxsize=4)  # rows stay active, or none, for long
def _demand(config: Config, rows_active: bytes) -> Demand:
    table = config.faults
    active = np.frombuffer(rows_active, bool).reshape(table.trip.shape)
    if not np.count_nonzero(active):
        return _nothing(config)
    opens, ramps, derates = _reactions(config)
    left = np.where(active, table.derate[:, None], 1.0)
    return Demand(
        open=np.array([active[rows].any(axis=0) for rows in opens]),
        ramp=np.array([active[rows].any(axis=0) for rows in ramps]),
        fraction=np.array([left[rows].min(axis=0, initial=1.0) for rows in derates]),
    )


@lru_cache(maxsize=16)
def _nothing(config: Config) -> Demand:
    """Return the demand of no active row."""
    shape = 2, config.layout.yes.size
    return Demand(np.zeros(shape, bool), np.zeros(shape, bool), np.ones(shape), none=True)


@lru_cache(maxsize=16)
def _reactions(config: Config) -> tuple[tuple[Ints, Ints], ...]:
    """Return the rows that open, ramp and derate, of the charge path and of the discharge path each."""
    table = config.faults
    return tuple(
        (
            np.flatnonzero((table.level == level) & table.charge),
            np.flatnonzero((table.level == level) & table.discharge),
        )
        for level in (OPEN, RAMP, DERATE)
    )


def _events(look: Look, value: Floats, before: Bools, after: Faults) -> list[Event]:
    """Name the cell, value and threshold of each row that changed; the only loop, over changes.

    after: with arrays of its own for what raised rows saw, which are filled in.
    """
    table = look.config.faults
    events = []
    for row, string in np.argwhere(before != after.active).tolist():
        sign, raised = float(table.sign[row]), bool(after.active[row, string])
        limit = table.trip if raised else table.release
        worst, since_ns = float(value[row, string]), int(after.bad_since_ns[row, string])
        ripest = spot_runs.ripest(look, after.runs, row, string) if raised else None
        cell, worst, since_ns = ripest or (_culprit(look, table.signal[row], string), worst, since_ns)
        said, lasted_s = sign * worst, (look.now_ns - since_ns) * 1e-9 if raised else np.nan
        if raised:
            after.raised_value[row, string], after.raised_cell[row, string] = said, cell
        at = sign * float(limit[row, string])
        kind = "fault" if raised else "clear"
        events.append(Event(look.now_ns, kind, table.name[row], string, cell, said, at, table.signal[row], lasted_s))
    return events


def _culprit(look: Look, signal: str, string: int) -> int:
    """Return the cell (or the sensor) of this string with the worst known value; −1 for string-wide signals."""
    found = elements(look, signal)
    if found is None:
        return -1
    values, axis = found
    layout = look.config.layout
    mine = np.flatnonzero((layout.string_of_cell if axis == "cell" else layout.string_of_temp) == string)
    if not mine.size:  # of a row that the site no longer has
        return -1
    return int(mine[np.argmax(np.where(np.isnan(values[mine]), -np.inf, values[mine]))])
