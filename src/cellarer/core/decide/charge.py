"""Charge management as a table of phases, and what each of them allows.

The highest cell governs, not the pack voltage. Full means: voltage up and current down, held for `tail_ns` without a
break, so that a passing cloud (a short dip of current with falling voltage) does not end a charge. A full charge is due
when SOC is not known well enough, not by the calendar; a target SOC is held until there is just time to be full when
asked. After under-voltage nothing is discharged before some charge has come back, else load and rest would take turns.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from cellarer.core.decide.limit import on_map
from cellarer.core.decide.look import carrying, on_bus
from cellarer.core.decide.machine import ANY, Rule, Table
from cellarer.core.decide.protect import CHARGE_WAY, Demand
from cellarer.core.decide.signals import Look
from cellarer.model.config import Config
from cellarer.model.reasons import REASONS
from cellarer.model.values import FOREVER, Bools, Bytes, Charging, Estimate, Event, Floats, Ints, Switches
from cellarer.model.values import ChargePhase as C

NEAR_V = 0.005  # V: how near to the end of charge counts as there; twice the error of a good AFE
STAY_V = 0.010  # V: how near it still counts once a tail has begun: noise, and rest after the last step of a machine
FALL_BACK_V = 0.05  # V: absorption that falls this far is bulk again
TAIL_HOLD = 1.25  # times the tail current: a tail that has begun ends above it
TAPER_NS = 2_000_000_000  # a tail that lasts so long is told
RECOVERED_V = 0.05  # V above its preconditioning voltage: rest and noise take less, so that phases take no turns
HOLD_NS = 7_200_000_000_000  # longest time at end voltage for balancing alone, and for a tail that does not come
SPENT_SOC = 0.98  # 1: estimated SOC from which that time is enough: what "full" then sets it to is as near
CREEP = 0.05  # of the rated current: from SPENT_SOC on a limit that has come down to it stays there until the end
WARM_K = 1.0  # K above the coldest charging before charging begins
STORED, LEAVES = 0.005, 0.02  # 1: SOC this near below its target is stored; this far below, it charges again
REFILL = 0.05  # 1: SOC that must come back after under-voltage
TOUCH_SIGMA, TOUCH_DONE = 0.05, 0.04  # 1: sigma of SOC from which a full charge is due, and is no more
TOUCH_SPREAD, TOUCH_DOUBT = 0.05, 0.01  # 1: … or a spread between cells that is no better known than this

FULL = np.isin(np.arange(len(C)), (C.FLOAT, C.HOLD))
ENDS = np.isin(np.arange(len(C)), (C.ABSORPTION, C.TAPER, C.HOLD))
DOWN = np.isin(REASONS, ("cell voltage high", "power forecast", "charge phase"))  # why a limit is down near full
FILLS = np.isin(np.arange(len(C)), (C.REFILL, C.BULK, C.ABSORPTION, C.TAPER))
FLOATS, REFILLS = int(C.FLOAT), int(C.REFILL)
UP = (C.ABSORPTION, C.TAPER, C.HOLD, C.FLOAT)
CHARGING = (C.PRECONDITION, C.WARMING, C.REFILL, C.BULK, *UP, C.STORAGE)
TABLE = Table(
    [
        *(Rule(ANY, c, "blocked", C.BLOCKED, "the charge path is blocked") for c in (C.IDLE, *CHARGING)),
        Rule(ANY, C.BLOCKED, "free", C.IDLE, "the fault is gone"),
        *(Rule(ANY, c, "idle", C.IDLE, "switchgear open") for c in CHARGING),
        *(
            Rule(ANY, c, "low", C.PRECONDITION, "the lowest cell is below its preconditioning voltage")
            for c in (C.IDLE, C.BULK, C.REFILL, C.WARMING, C.STORAGE, *UP)
        ),
        *(
            Rule(ANY, c, "empty", C.REFILL, "the lowest cell is empty")
            for c in (C.IDLE, C.BULK, C.STORAGE, C.WARMING, *UP)
        ),
        Rule(ANY, C.PRECONDITION, "recovered", C.REFILL, "the lowest cell has recovered"),
        Rule(ANY, C.REFILL, "refilled", C.BULK, "enough charge has come back"),
        *(Rule(ANY, c, "cold", C.WARMING, "too cold to charge") for c in (C.IDLE, C.BULK)),
        Rule(ANY, C.WARMING, "warm", C.BULK, "warm enough to charge"),
        *(Rule(ANY, c, "stored", C.STORAGE, "the state of charge to hold is reached") for c in (C.IDLE, C.BULK, *UP)),
        Rule(ANY, C.STORAGE, "wanted", C.BULK, "more charge is wanted"),
        Rule(ANY, C.IDLE, "closed", C.BULK, "switchgear closed"),
        Rule(ANY, C.BULK, "at end", C.ABSORPTION, "the highest cell is at its end of charge"),
        Rule(ANY, C.TAPER, "uneven", C.HOLD, "full; cells are evened out at end voltage"),
        Rule(ANY, C.TAPER, "full", C.FLOAT, "voltage up and current down for long enough: full"),
        Rule(ANY, C.ABSORPTION, "tail", C.TAPER, "voltage up and current down"),
        Rule(ANY, C.ABSORPTION, "spent", C.FLOAT, "at end voltage for long enough, with a machine that has no tail"),
        Rule(ANY, C.TAPER, "no tail", C.ABSORPTION, "the current rose, or the voltage fell"),
        Rule(ANY, C.ABSORPTION, "fell back", C.BULK, "the highest cell fell back"),
        Rule(ANY, C.HOLD, "even", C.FLOAT, "cells are even, or held long enough"),
        *(Rule(ANY, c, "rebulk", C.BULK, "state of charge below the start of a new charge") for c in (C.FLOAT, C.HOLD)),
    ]
)


def start(config: Config, now_ns: int) -> Charging:
    """Return charging that is idle."""
    n = config.layout.size["string"]
    unknown, no = np.full(n, np.nan), np.zeros(n, bool)
    return Charging(
        np.full(n, C.IDLE, np.int8), np.full(n, now_ns), np.full(n, FOREVER), unknown, unknown, no,
        np.full((2, n), np.nan),
    )  # fmt: skip


def charge(
    look: Look, demand: Demand, switches: Switches, estimate: Estimate, target_soc: Floats
) -> tuple[Charging, list[Event]]:
    """Advance the charge machine by one cycle; (string,). target_soc: SOC to hold; NaN = charge to full."""
    table, before, now_ns = look.config.limits, look.state.charging, look.now_ns
    tail_since_ns = _tail(look, estimate)
    may, blocked = carrying(look.config, switches)[0], demand.open[0] | demand.ramp[0]
    still = before.touch & (before.phase != FLOATS) & ~(estimate.string_soc_sigma <= TOUCH_DONE)
    touch = due(look.config, estimate) | still
    target = np.where(touch, np.nan, target_soc)
    holds = _conditions(look, estimate, may, tail_since_ns, target) | {
        "blocked": lambda: blocked,
        "free": lambda: ~blocked,
        "idle": lambda: ~may,
        "closed": lambda: may,
        "low": lambda: may & (look.extremes[1] < table.precondition_V),
        "empty": lambda: may & (look.extremes[1] <= table.discharge_zero_V),
    }
    phase, rule = TABLE.advance(_kinds(look.config), before.phase, lambda name: holds[name]())
    events, since_ns = [], before.since_ns
    if phase is not before.phase:
        moved = rule >= 0
        events = [_event(look, demand, before.phase, phase, rule, int(s)) for s in np.flatnonzero(moved)]
        since_ns = np.where(moved, now_ns, before.since_ns)
    full_soc, low_soc = _full_soc(phase, before, estimate), _low_soc(phase, before, estimate)
    return Charging(phase, since_ns, tail_since_ns, full_soc, low_soc, touch, look.unbled_extremes[:2]), events


def _conditions(
    look: Look, estimate: Estimate, may: Bools, tail_since_ns: np.ndarray, target: Floats
) -> dict[str, Callable[[], Bools]]:
    """Return the conditions of the table that look at cells, each computed only where a phase asks for it."""
    table, before, now_ns = look.config.limits, look.state.charging, look.now_ns
    high, (low, _, cold) = look.high_V, look.extremes[1:]
    soc, bleeders, middle_V = estimate.string_soc, look.config.balance, _middle_V(look.config)

    def held() -> Bools:
        return np.asarray(now_ns - tail_since_ns >= table.tail_ns)

    def warm(degC: Floats) -> Bools:  # the map of the cell and the limits of the site: which begins to allow last
        return (on_map(degC, look.config) > 0.0) & (degC > table.charge_cold_degC)

    return {
        "recovered": lambda: low >= table.precondition_V + RECOVERED_V,
        "refilled": lambda: (
            np.where(np.isnan(soc), low >= middle_V, soc >= before.low_soc + REFILL)
            | ((high >= table.end_of_charge_V - NEAR_V) & (low >= middle_V))  # SOC may be wrong: this is not empty
        ),
        "cold": lambda: may & ~warm(cold) & ~np.isnan(cold),
        "warm": lambda: np.isnan(cold) | warm(cold - WARM_K),
        "stored": lambda: may & (soc >= target - STORED),
        "wanted": lambda: ~(soc >= target - LEAVES),
        "at end": lambda: high >= table.end_of_charge_V - NEAR_V,
        "tail": lambda: now_ns - tail_since_ns >= TAPER_NS,
        "spent": lambda: (
            (now_ns - before.since_ns >= HOLD_NS) & (soc >= SPENT_SOC) & (high >= table.end_of_charge_V - STAY_V)
        ),
        "no tail": lambda: tail_since_ns == FOREVER,
        "full": held,
        "uneven": lambda: held() & (bleeders.bleed_A > 0.0) & (high - low > bleeders.start_spread_V),
        "even": lambda: (
            (high - low < bleeders.stop_spread_V)
            | (now_ns - before.since_ns >= HOLD_NS)
            | ~(high >= table.end_of_charge_V - FALL_BACK_V)
        ),
        "fell back": lambda: high < table.end_of_charge_V - FALL_BACK_V,
        "rebulk": lambda: np.where(
            np.isnan(soc) | np.isnan(before.full_soc),
            low <= middle_V,
            soc < before.full_soc - (1.0 - table.rebulk_soc),
        ),
    }


@lru_cache(maxsize=16)
def _middle_V(config: Config) -> Floats:
    return 0.5 * (config.limits.discharge_V + config.limits.charge_V)


@lru_cache(maxsize=16)
def _kinds(config: Config) -> Bytes:
    """Return that all strings are of one kind, (string,)."""
    return np.zeros(config.layout.yes.size, np.int8)


def _tail(look: Look, estimate: Estimate) -> Ints:
    """Return since when voltage is up and current down, (string,) ns; FOREVER = not now.

    Down is down in both directions: noise and standby of a machine at rest are below zero half of the time, and cells
    that show their end of charge while a little is taken are fuller than those that show it while it is given.
    Where a limit has come down near full, a machine that can give no less has done what it can: cells may fall back.
    """
    table, before_ns = look.config.limits, look.state.charging.tail_since_ns
    begun = before_ns < FOREVER
    idle = down(look, look.state.charging, estimate) & (np.abs(look.current) < 0.5 * CREEP * table.rated_charge_A)
    near_V = np.where(idle, FALL_BACK_V, np.where(begun, STAY_V, NEAR_V))
    up = look.high_V >= table.end_of_charge_V - near_V
    if not np.count_nonzero(up):
        return _never(look.config)
    most_A = np.where(begun, TAIL_HOLD, 1.0) * table.tail_A
    tail = up & (np.abs(look.current) <= most_A)
    return np.where(tail, np.minimum(before_ns, look.now_ns), FOREVER)


@lru_cache(maxsize=16)
def _never(config: Config) -> Ints:
    return np.full(config.layout.yes.size, FOREVER)


@lru_cache(maxsize=1)  # an estimate stands for several cycles
def due(config: Config, estimate: Estimate) -> Bools:
    """Return where a full charge is due: SOC, or how cells differ, is not known well enough; (string,)."""
    layout = config.layout
    spread = layout.highest(estimate.soc) - layout.lowest(estimate.soc)
    unsure = estimate.string_soc_sigma
    return ~(unsure <= TOUCH_SIGMA) | ((spread > TOUCH_SPREAD) & (unsure > TOUCH_DOUBT))


def _low_soc(phase: Bytes, before: Charging, estimate: Estimate) -> Floats:
    """Return the lowest SOC since the refill began, (string,): what has come back counts, not an absolute SOC."""
    now = phase == REFILLS
    if not np.count_nonzero(now):
        return before.low_soc if phase is before.phase else np.full(phase.size, np.nan)
    lowest = _remembered(np.minimum, before.low_soc, estimate.string_soc)
    return np.where(now, np.where(before.phase == REFILLS, lowest, estimate.string_soc), np.nan)


def _remembered(most: np.ufunc, before: Floats, now: Floats) -> Floats:
    """Return the extreme of what is known: SOC unknown at the beginning must not stay the memory for ever."""
    return np.where(np.isnan(before), now, np.where(np.isnan(now), before, most(before, now)))


def _event(look: Look, demand: Demand, old: Bytes, new: Bytes, rule: np.ndarray, s: int) -> Event:
    name = f"{C(old[s]).name.lower()} → {C(new[s]).name.lower()}"
    value, limit = float(look.high_V[s]), float(look.config.limits.end_of_charge_V[s])
    cause = TABLE.rules[rule[s]].cause
    if new[s] == C.BLOCKED:
        cause = demand.rows(look.config, s, CHARGE_WAY) or cause
    return Event(look.now_ns, "charge", name, s, -1, value, limit, cause)


def _full_soc(phase: Bytes, before: Charging, estimate: Estimate) -> Floats:
    """Return the highest SOC since full, (string,).

    A new charge begins by what went out since, not by an absolute SOC: an estimate that is low at full must not call
    for a charge at once.
    """
    now = _is_full(phase)
    if not np.count_nonzero(now):
        return before.full_soc
    was = _is_full(before.phase)
    highest = np.where(was, _remembered(np.maximum, before.full_soc, estimate.string_soc), estimate.string_soc)
    return np.where(now, highest, before.full_soc)


def _is_full(phase: Bytes) -> Bools:
    return FULL[phase]


def filled(look: Look) -> Bools:
    """Return (cell,) which cells are full by definition: at end voltage when their string has just become full."""
    config, charging, owner = look.config, look.state.charging, look.config.layout.string_of_cell
    full = _is_full(charging.phase)
    if not np.count_nonzero(full):
        return _no_cell(config)
    just = full & (charging.since_ns == look.state.time_ns)
    least_V = np.minimum(config.limits.end_of_charge_V - NEAR_V, look.extremes[0])  # the highest one is in any case
    return just[owner] & (look.of("cell_voltage") >= least_V[owner])


@lru_cache(maxsize=16)
def _no_cell(config: Config) -> Bools:
    return np.zeros(config.layout.size["cell"], bool)


def allowance(
    config: Config, charging: Charging, reached: Callable[[], Bools] | None = None
) -> tuple[Floats, Floats, Floats]:
    """Return (end voltage per cell, charge current, discharge current), (string,): what the charge phase allows.

    On a bus one string, or pack, that floats while another still charges keeps its end voltage, or that one would
    never be full. Its highest cell goes no further for it. reached: (string,) current from the bus gets there; None =
    to all. One that is lost, or that its own BMS blocks, is not waited for.
    """
    phase, (bus, first) = charging.phase, on_bus(config)
    floats = phase == FLOATS
    if phase.size > first.size and np.count_nonzero(floats):
        fills = FILLS[phase] & reached() if reached else FILLS[phase]
        waits = np.logical_or.reduceat(fills, first)[bus]
        phase = np.where(floats & waits, np.int8(C.HOLD), phase)
    return _allowance(config, phase.tobytes())


def down(look: Look, charging: Charging, estimate: Estimate) -> Bools:
    """Return where the charge limit has come down to CREEP near full, (string,)."""
    ends, window = ENDS[charging.phase], look.state.window
    if not np.count_nonzero(ends):
        return ends
    low = window.charge_A <= CREEP * look.config.limits.rated_charge_A
    return np.asarray(ends & low & DOWN[window.charge_reason] & (estimate.string_soc >= SPENT_SOC))


def settling(look: Look, charging: Charging, estimate: Estimate, charge_A: Floats) -> Floats:
    """Return the charge current allowed, (string,) A: where it has come down near full it does not climb again.

    A machine that can give no less than what may flow gives nothing; cells fall back, and a limit that climbed until
    it held a step of that machine would swing by one step, again and again.
    """
    least_A = np.minimum(charge_A, CREEP * look.config.limits.rated_charge_A)
    return np.where(down(look, charging, estimate), least_A, charge_A)


@lru_cache(maxsize=4)  # strings stay in their phases for long
def _allowance(config: Config, phases: bytes) -> tuple[Floats, Floats, Floats]:
    end_V, charge_A, discharge_A = _allowed(config)
    phase = np.frombuffer(phases, np.int8)
    strings = np.arange(phase.size)
    return end_V[phase, strings], charge_A[phase, strings], discharge_A[phase, strings]


@lru_cache(maxsize=16)
def _allowed(config: Config) -> tuple[Floats, Floats, Floats]:
    """Return (end voltage per cell, charge current, discharge current), (phase, string) each."""
    table, floats = config.limits, ~np.isnan(config.limits.float_V)
    end_V = np.tile(table.end_of_charge_V, (len(C), 1))
    end_V[C.FLOAT] = np.where(floats, table.float_V, table.end_of_charge_V)
    charge_A = np.tile(table.rated_charge_A, (len(C), 1))
    charge_A[C.PRECONDITION] = table.precondition_A
    charge_A[[C.BLOCKED, C.WARMING, C.STORAGE]] = 0.0
    charge_A[C.FLOAT] = np.where(floats, table.rated_charge_A, 0.0)
    discharge_A = np.tile(table.rated_discharge_A, (len(C), 1))
    discharge_A[[C.PRECONDITION, C.REFILL]] = 0.0
    return end_V, charge_A, discharge_A
