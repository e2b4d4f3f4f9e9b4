"""What the estimates make suspect, worst cell of each string: estimated rows of the fault table look here.

Every suspicion is a bound that holds within SURE sigmas: what is only likely stays silent. Estimated rows may warn,
derate, or ramp and then open; they never clear, mask or delay a measured one (the union of all rows counts, and
config refuses a level above `ramp`). Runs once a minute: these faults grow over hours and days.

- self_discharge     1/h: charge that a cell loses beyond its neighbours, over its capacity. A soft internal short. It
                     goes on and on: what came at once (a lost parallel cell, a cell put in) or to and fro is none.
- joint_resistance   1: resistance over the string's median. An aged cell, or a loose joint inside its sense wires;
                     normalised to temperature.
- weak_cell          1: capacity that is missing against the string's median.
- lost_parallel      1: of p cells side by side one is gone when capacity falls by 1/p and resistance rises by 1/(p − 1)
- current_drift      C: offset of the current sensor that rest and voltage have shown, or that no cell of the string
                     got between two looks at its charge; beyond what a sound sensor may have.
- charge_lost        1/h: the same as self_discharge, of strings whose converters worked unmeasured meanwhile: whether a
                     cell leaks or its converter is dead looks alike, and no cell is said to leak. With the converters
                     stopped for three hours the looks begin anew, and a cell that leaks is named as such.
- string_joints      ohm: of the string, what lies outside the sense wires of its cells (joints.py)
"""

from dataclasses import replace
from typing import Any

import numpy as np

from cellarer.core import estimate as estimators
from cellarer.core.decide import joints
from cellarer.core.decide.signals import Look
from cellarer.core.digest import NOT_NOW
from cellarer.core.estimate.imbalance import SURE, median
from cellarer.model.config import Config
from cellarer.model.values import NEVER, SUSPICIONS, Diagnosis, Floats, Ints

EVERY_NS = 60_000_000_000
SHORTEST_NS = 3 * 3600 * 1_000_000_000  # between two of the three looks at the charge of cells that tell of leakage …
LONGEST_NS = 7 * 24 * 3600 * 1_000_000_000  # … after so long the oldest one is renewed …
STEADY = 0.5  # of a leakage must show between the first two looks, and between the last two
COUNTED_NS = 12 * 3600 * 1_000_000_000  # between two looks that tell of current that nobody got
WITNESSES = 2  # cells of a string that have to agree on it
BETTER = 0.5  # … or as soon as a newer one is known so much better, of its sigma: a flat curve tells only at its ends
SOUND_SHARE = 0.005  # of the rating, which is no more than full scale: zero of sound shunts, 0.1 to 0.5 % (data sheets)
BOTH = 2.0  # sigmas where two independent signs must agree


def start(config: Config) -> Diagnosis:
    """Return the memory before the first look: nothing known, nothing suspect."""
    shape, cells = (len(SUSPICIONS), config.layout.yes.size), config.layout.size["cell"]
    none = np.full((2, cells), np.nan)
    return Diagnosis(
        value=np.full(shape, NOT_NOW), known=np.zeros(shape, bool), time_ns=np.full(shape, NEVER),
        cell=np.full(shape, -1), shift_Ah=none, shift_sigma_Ah=none, moved_Ah=none, then_ns=np.full((2, cells), NEVER),
        counted_Ah=none[0], counted_soc=none[0], counted_sigma=none[0], counted_ns=np.full(cells, NEVER),
        joints=joints.start(shape[1]),
    )  # fmt: skip


def diagnose(
    look: Look, tables: estimators.EstimatorConfig, estimator: estimators.EstimateState, jumped: Floats | float = 0.0
) -> Diagnosis:
    """Return what is suspect now; between two looks what was found last. jumped: of shift_jumped since the last call.

    What ends of charge, people or a learnt capacity say of a cell moves it against its neighbours: that is no leakage,
    and the looks of before move with it. Where nobody knows how far, they begin anew.
    """
    if np.count_nonzero(jumped):
        before, lost = look.state.diagnosis, np.isnan(jumped)
        anew = replace(
            before,
            shift_Ah=before.shift_Ah + np.where(lost, 0.0, jumped),
            shift_sigma_Ah=np.where(lost, np.nan, before.shift_sigma_Ah),
            then_ns=np.where(lost, NEVER, before.then_ns),
        )
        look = Look(look.config, look.seen, look.digest, look.watch, replace(look.state, diagnosis=anew), look.now_ns)
    before, layout, now_ns = look.state.diagnosis, look.config.layout, look.now_ns
    if before.time_ns[0, 0] > NEVER and now_ns - before.time_ns[0, 0] < EVERY_NS:
        return before
    found = suspect(look, tables, estimator)
    sure = ~np.isnan(found)
    lowered = np.where(sure, found, NOT_NOW)
    value = np.maximum.reduceat(lowered, layout.first_cell, axis=1)
    worst = sure & (lowered == value[:, layout.string_of_cell])
    number = np.where(worst, np.arange(found.shape[1]), found.shape[1])
    cell = np.minimum.reduceat(number, layout.first_cell, axis=1)
    since_s = (now_ns - before.time_ns[0, 0]) * 1e-9 if before.time_ns[0, 0] > NEVER else np.inf
    between = joints.remember(look, before.joints, since_s, 2e-9 * EVERY_NS)
    ohm = joints.least_ohm(between)
    new = replace(
        before,
        value=np.vstack((value, np.where(np.isnan(ohm), NOT_NOW, ohm))),
        known=np.vstack((np.logical_and.reduceat(sure, layout.first_cell, axis=1), ~np.isnan(ohm))),
        time_ns=np.full(before.value.shape, now_ns),
        cell=np.vstack((np.where(cell < found.shape[1], cell, -1), np.full(ohm.shape, -1))),
        joints=between,
    )
    return _remember(look, _counted(look, tables, estimator, new), tables, estimator)


def shift_jumped(
    look: Look, tables: estimators.EstimatorConfig, before: estimators.EstimateState, now: estimators.EstimateState
) -> Floats | float:
    """Return by how much the charge of cells against their string's median was set anew between both, (cell,) Ah."""
    if now is before:
        return 0.0
    then, new = (estimators.imbalance(tables, e, look.config.layout.string_of_cell).shift_Ah for e in (before, now))
    return new - then


def _remember(
    look: Look, before: Diagnosis, tables: estimators.EstimatorConfig, estimator: estimators.EstimateState
) -> Diagnosis:
    """Keep this look at a cell as the older one, or as the one since, in the middle of the time since the older."""
    (older_ns, since_ns), now_ns, moved = before.then_ns, look.now_ns, look.state.balancing.moved_Ah
    shift, sigma = _shift(look, tables, estimator)
    first = np.isnan(before.shift_sigma_Ah[0]) | (sigma < BETTER * before.shift_sigma_Ah[0])
    unread_ns = _unread_ns(look)  # a leak that a row would name lets converters rest for less
    first |= (unread_ns > older_ns) & (now_ns - unread_ns >= SHORTEST_NS)
    second, age_ns = since_ns > NEVER, _since(look, older_ns)
    late = ~first & (age_ns >= np.minimum(np.where(second, 3 * (since_ns - older_ns), SHORTEST_NS), LONGEST_NS))
    passed_on = late & second & (age_ns >= LONGEST_NS)

    def kept(then: Any, now: Any, none: Any) -> Any:
        older = np.where(first, now, np.where(passed_on, then[1], then[0]))
        return np.stack((older, np.where(first, none, np.where(late, now, then[1]))))

    return replace(
        before,
        shift_Ah=kept(before.shift_Ah, shift, np.nan),
        shift_sigma_Ah=kept(before.shift_sigma_Ah, sigma, np.nan),
        moved_Ah=kept(before.moved_Ah, moved, moved),
        then_ns=kept(before.then_ns, now_ns, NEVER),
    )


def suspect(look: Look, tables: estimators.EstimatorConfig, estimator: estimators.EstimateState) -> Floats:
    """Return every suspicion of every cell, (suspicion, cell), in the order of CELL_SUSPICIONS; NaN = not known."""
    owner = look.config.layout.string_of_cell
    pairs = estimators.Pairs(*estimator.pairs)
    found = estimators.imbalance(tables, estimator, owner)
    scale = estimators.resistance_scale(tables, estimator)
    scale_sigma = estimators.resistance_scale_sigma(tables, estimator) / np.maximum(scale, 0.1)
    measured = np.where(pairs.closed > 0.0, 1.0, np.nan)  # a capacity of the file proves nothing
    missing, more = 1.0 - found.capacity_share, found.resistance_share
    parallel = look.config.parallel[owner]
    p = np.where(parallel > 1, parallel, np.nan)
    lost_Ah = (missing - BOTH * pairs.relative) * measured * p
    lost_ohm = (more * (1.0 - BOTH * scale_sigma) - 1.0) * (p - 1.0)
    offset, offset_sigma = (
        estimators.current_offset(tables, estimator),
        estimators.current_offset_sigma(tables, estimator),
    )
    capacity, limits = estimators.capacity_Ah(tables, estimator), look.config.limits
    sound = SOUND_SHARE * np.maximum(limits.rated_charge_A, limits.rated_discharge_A)
    shown, nobody = np.abs(offset) - SURE * offset_sigma, _nobody_got(look, tables, estimator, capacity)
    lost, unread_ns = _leakage(look, tables, estimator) / capacity, _unread_ns(look)
    unproven = unread_ns > look.state.diagnosis.then_ns[0]
    return np.stack([
        np.where(unproven, np.nan, lost),
        more * (1.0 - SURE * scale_sigma),
        (missing - SURE * pairs.relative) * measured,
        np.minimum(lost_Ah, lost_ohm),
        (np.maximum(shown, nobody[owner]) - sound[owner]) / capacity,
        np.where(unproven, lost, NOT_NOW),
    ])  # fmt: skip


def _shift(
    look: Look, tables: estimators.EstimatorConfig, estimator: estimators.EstimateState
) -> tuple[Floats, Floats]:
    """Return charge above the string's median at half full, and its sigma with that of the capacity, (cell,) Ah."""
    found = estimators.imbalance(tables, estimator, look.config.layout.string_of_cell)
    away = np.abs(estimators.soc(tables, estimator) - 0.5)
    return found.shift_Ah, np.hypot(found.shift_sigma_Ah, away * estimators.capacity_sigma_Ah(tables, estimator))


def _unread_ns(look: Look) -> Ints:
    """Return when a converter of each cell's string last worked unmeasured, (cell,)."""
    layout = look.config.layout
    last_ns = np.maximum.reduceat(look.state.balancing.unread_ns, layout.first_cell)
    return np.asarray(last_ns[layout.string_of_cell])


def _since(look: Look, then_ns: Ints) -> Ints:
    """Return how long ago an earlier look at each cell was, (cell,) ns; 0 before it."""
    return np.where(then_ns > NEVER, look.now_ns - then_ns, 0)


def _put_in(look: Look) -> Floats:
    """Return the charge that sensor and converters say each cell got, less bled, since the start, (cell,) Ah."""
    passed = look.watch.response.passed / 3600.0
    return np.asarray(passed[look.config.layout.string_of_cell] + look.state.balancing.moved_Ah)


def _counted(
    look: Look, tables: estimators.EstimatorConfig, estimator: estimators.EstimateState, new: Diagnosis
) -> Diagnosis:
    """Return the memory with the look that counted charge is compared with: renewed when better, or after a gap.

    Better is a look that tells more once it is as old as it has to be than the one before will tell at that time.
    """
    before, owner = look.state.diagnosis, look.config.layout.string_of_cell
    soc, sigma = estimators.soc(tables, estimator), estimators.soc_sigma(tables, estimator)
    gap = look.now_ns - before.time_ns[0, 0] > 2 * EVERY_NS if before.time_ns[0, 0] > NEVER else True
    age_ns, both = _since(look, before.counted_ns), np.hypot(before.counted_sigma, sigma)
    better = (sigma < BETTER * before.counted_sigma) & (
        np.hypot(sigma, sigma) * (age_ns + COUNTED_NS) < both * COUNTED_NS
    )
    renew = np.isnan(before.counted_sigma) | better | np.isnan(look.current)[owner] | gap | (age_ns >= LONGEST_NS)
    return replace(
        new,
        counted_Ah=np.where(renew, _put_in(look), before.counted_Ah),
        counted_soc=np.where(renew, soc, before.counted_soc),
        counted_sigma=np.where(renew, sigma, before.counted_sigma),
        counted_ns=np.where(renew, look.now_ns, before.counted_ns),
    )


def _nobody_got(
    look: Look, tables: estimators.EstimatorConfig, estimator: estimators.EstimateState, capacity: Floats
) -> Floats:
    """Return the current that the sensor shows and no cell of a string got, for sure, (string,) A; −inf: not known.

    One cell that leaks, or is known badly, makes no offset: what counts is what every cell agrees on that was looked at
    long enough ago, at least WITNESSES of them.
    """
    before, first = look.state.diagnosis, look.config.layout.first_cell
    hours = _since(look, before.counted_ns) / 3.6e12
    due = hours >= COUNTED_NS / 3.6e12
    enough = np.add.reduceat(due, first, dtype=np.int64) >= np.minimum(look.config.series, WITNESSES)
    if not enough.any():
        return np.full(first.size, NOT_NOW)
    more = estimators.soc(tables, estimator) - before.counted_soc
    drift = _put_in(look) - before.counted_Ah - more * capacity
    sigma = capacity * np.hypot(before.counted_sigma, estimators.soc_sigma(tables, estimator))
    sigma = np.hypot(sigma, more * estimators.capacity_sigma_Ah(tables, estimator))
    bounds = np.stack((drift - SURE * sigma, -drift - SURE * sigma)) / np.where(due, hours, 1.0)
    bounds = np.where(due, np.where(np.isnan(bounds), NOT_NOW, bounds), np.inf)
    return np.where(enough, np.minimum.reduceat(bounds, first, axis=1).max(axis=0), NOT_NOW)


def _leakage(look: Look, tables: estimators.EstimatorConfig, estimator: estimators.EstimateState) -> Floats:
    """Return the current that leaks beyond the neighbours' for sure and steadily, (cell,) A; NaN before three looks."""
    before, now_ns = look.state.diagnosis, look.now_ns
    due = (before.then_ns[1] > NEVER) & (now_ns - before.then_ns[1] >= SHORTEST_NS)
    if not due.any():
        return np.full(tables.cells, np.nan)
    shift, sigma = _shift(look, tables, estimator)
    moved = look.state.balancing.moved_Ah - before.moved_Ah  # bled or converted: no leakage
    lost = before.shift_Ah - shift + moved  # since each of both
    lost = lost - np.stack([median(row, look.config.layout.string_of_cell) for row in lost])
    hours = np.where(due, now_ns - before.then_ns, [[2], [1]]) / 3.6e12
    whole, late = lost[0] / hours[0], lost[1] / hours[1]
    early = (lost[0] - lost[1]) / (hours[0] - hours[1])
    rate = np.minimum(whole, np.minimum(early, late) / STEADY)
    return np.where(due, rate - SURE * np.hypot(sigma, before.shift_sigma_Ah[0]) / hours[0], np.nan)
