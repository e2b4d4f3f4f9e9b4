"""Charge management as a table: blocked, precondition, bulk, absorption, float, and what each allows.

The highest cell governs, not the pack voltage. Full means: voltage up and current down, held for `tail_ns` without a
break, so that a passing cloud (a short dip of current with falling voltage) does not end a charge.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from cellarer.core.decide.machine import ANY, Rule, Table
from cellarer.core.decide.protect import Demand
from cellarer.core.decide.sequence import carrying
from cellarer.core.decide.signals import Look
from cellarer.model.config import Config
from cellarer.model.values import FOREVER, Bools, Bytes, Charging, Estimate, Event, Floats, Switches
from cellarer.model.values import ChargePhase as C

FLOAT = int(C.FLOAT)
NEAR_V = 0.005  # V: how near to the end of charge counts as there; twice the error of a good AFE
FALL_BACK_V = 0.05  # V: absorption that falls this far is bulk again

TABLE = Table(
    [
        Rule(ANY, C.IDLE, "blocked", C.BLOCKED, "the charge path is blocked by a fault"),
        Rule(ANY, C.PRECONDITION, "blocked", C.BLOCKED, "the charge path is blocked by a fault"),
        Rule(ANY, C.BULK, "blocked", C.BLOCKED, "the charge path is blocked by a fault"),
        Rule(ANY, C.ABSORPTION, "blocked", C.BLOCKED, "the charge path is blocked by a fault"),
        Rule(ANY, C.FLOAT, "blocked", C.BLOCKED, "the charge path is blocked by a fault"),
        Rule(ANY, C.BLOCKED, "free", C.IDLE, "the fault is gone"),
        Rule(ANY, C.PRECONDITION, "idle", C.IDLE, "switchgear open"),
        Rule(ANY, C.BULK, "idle", C.IDLE, "switchgear open"),
        Rule(ANY, C.ABSORPTION, "idle", C.IDLE, "switchgear open"),
        Rule(ANY, C.FLOAT, "idle", C.IDLE, "switchgear open"),
        Rule(ANY, C.IDLE, "low", C.PRECONDITION, "the lowest cell is below its preconditioning voltage"),
        Rule(ANY, C.IDLE, "closed", C.BULK, "switchgear closed"),
        Rule(ANY, C.BULK, "low", C.PRECONDITION, "the lowest cell is below its preconditioning voltage"),
        Rule(ANY, C.PRECONDITION, "recovered", C.BULK, "the lowest cell has recovered"),
        Rule(ANY, C.BULK, "at end", C.ABSORPTION, "the highest cell is at its end of charge"),
        Rule(ANY, C.ABSORPTION, "full", C.FLOAT, "voltage up and current down for long enough: full"),
        Rule(ANY, C.ABSORPTION, "fell back", C.BULK, "the highest cell fell back"),
        Rule(ANY, C.FLOAT, "rebulk", C.BULK, "state of charge below the start of a new charge"),
    ]
)


def start(config: Config, now_ns: int) -> Charging:
    """Return charging that is idle."""
    n = config.layout.size["string"]
    return Charging(np.full(n, C.IDLE, np.int8), np.full(n, now_ns), np.full(n, FOREVER), np.full(n, np.nan))


def charge(look: Look, demand: Demand, switches: Switches, estimate: Estimate) -> tuple[Charging, list[Event]]:
    """Advance the charge machine by one cycle; (string,)."""
    table, before, now_ns = look.config.limits, look.state.charging, look.now_ns
    high, low, current = look.extremes[0], look.extremes[1], look.current
    tail = (high >= table.end_of_charge_V - NEAR_V) & (current >= 0.0) & (current <= table.tail_A)
    tail_since_ns = np.where(tail, np.minimum(before.tail_since_ns, now_ns), FOREVER)
    may, blocked = carrying(look.config, switches)[0], demand.open[0] | demand.ramp[0]
    holds: dict[str, Callable[[], Bools]] = {
        "blocked": lambda: blocked,
        "free": lambda: ~blocked,
        "idle": lambda: ~may,
        "closed": lambda: may,
        "low": lambda: may & (low < table.precondition_V),
        "recovered": lambda: low >= table.precondition_V,
        "at end": lambda: high >= table.end_of_charge_V - NEAR_V,
        "full": lambda: now_ns - tail_since_ns >= table.tail_ns,
        "fell back": lambda: high < table.end_of_charge_V - FALL_BACK_V,
        "rebulk": lambda: estimate.string_soc < before.full_soc - (1.0 - table.rebulk_soc),
    }
    phase, rule = TABLE.advance(np.zeros_like(before.phase), before.phase, lambda name: holds[name]())
    moved = rule >= 0
    if not np.count_nonzero(moved):
        return Charging(before.phase, before.since_ns, tail_since_ns, _full_soc(before.phase, before, estimate)), []
    events = [
        Event(
            now_ns,
            "charge",
            f"{C(before.phase[s]).name.lower()} → {C(phase[s]).name.lower()}",
            int(s),
            -1,
            float(high[s]),
            float(table.end_of_charge_V[s]),
            TABLE.rules[rule[s]].cause,
        )
        for s in np.flatnonzero(moved)
    ]
    since_ns = np.where(moved, now_ns, before.since_ns)
    return Charging(phase, since_ns, tail_since_ns, _full_soc(phase, before, estimate)), events


def _full_soc(phase: Bytes, before: Charging, estimate: Estimate) -> Floats:
    """Return the highest SOC since full, (string,).

    A new charge begins by what went out since, not by an absolute SOC: an estimate that is low at full must not call
    for a charge at once.
    """
    floating = before.phase == FLOAT
    highest = np.where(floating, np.maximum(before.full_soc, estimate.string_soc), estimate.string_soc)
    return np.where(phase == FLOAT, highest, before.full_soc)


def filled(look: Look) -> Bools:
    """Return (cell,) which cells are full by definition: at end voltage when their string has just become full."""
    config, charging, owner = look.config, look.state.charging, look.config.layout.string_of_cell
    just = (charging.phase == FLOAT) & (charging.since_ns == look.state.time_ns)
    if not np.count_nonzero(just):
        return np.zeros(owner.size, bool)
    return just[owner] & (look.of("cell_voltage") >= (config.limits.end_of_charge_V - NEAR_V)[owner])


def allowance(config: Config, charging: Charging, target_soc: Floats, soc: Floats) -> tuple[Floats, Floats]:
    """Return (end voltage per cell, current), (string,): what the charge phase allows.

    target_soc: (string,) hold here when asked to; NaN = charge to full.
    """
    phase = charging.phase
    end_V, current_A = _allowed(config)
    strings = np.arange(phase.size)
    return end_V[phase, strings], np.where(soc >= target_soc, 0.0, current_A[phase, strings])


@lru_cache(maxsize=16)
def _allowed(config: Config) -> tuple[Floats, Floats]:
    """Return (end voltage per cell, current), (phase, string) each."""
    table, floats = config.limits, ~np.isnan(config.limits.float_V)
    end_V = np.tile(table.end_of_charge_V, (len(C), 1))
    end_V[C.FLOAT] = np.where(floats, table.float_V, table.end_of_charge_V)
    current_A = np.tile(table.rated_charge_A, (len(C), 1))
    current_A[C.PRECONDITION], current_A[C.BLOCKED] = table.precondition_A, 0.0
    current_A[C.FLOAT] = np.where(floats, table.rated_charge_A, 0.0)
    return end_V, current_A
