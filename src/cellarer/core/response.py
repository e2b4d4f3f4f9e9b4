"""Memory of what sensors ought to have shown: the answer of voltage to current, and charge that went past a still cell.

A current sensor that is built in the wrong way round shows every change of current with the wrong sign of the change of
voltage. One that is turned round, comes loose or jumps under a steady load shows a step that no voltage answers. A cell
sensor that is stuck shows nothing while charge passes and its neighbours move. None of them needs a model: resistance
is positive, and cells in series carry one current. Signals: decide/signals.py.
"""

from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np

from cellarer.model.config import Config
from cellarer.model.values import NEVER, Floats, Ints, Response, Seen, State, renew

LOOK_NS = 1_000_000_000  # look every second: skew between sensors is shorter
LONGEST_NS = 15_000_000_000  # a change of current that takes longer is no step: OCV moves, too
LEAST_V = 0.004  # V per cell that a step of current must be worth: above noise and 1 mV steps
STEADY = 0.2  # of the step: current that moves less than this over a look has arrived, and voltage with it
KEEP = 0.8  # of what earlier steps said: about five count
CLEAR_V = 0.025  # V per cell that a single step must be worth to speak alone: far above noise and relaxation
ANSWERED = 0.15  # of the worth: warm cells that the cell file makes twice too resistive answer more than this at once
MEAN = 0.2  # of the newest look in the means: current and voltage were calm for about five looks
ANSWERED_BY = [field.name for field in fields(Response)][3:-1]  # what `answered` is told of the look before
WAIT_LOOKS = 3  # looks after the current has arrived: cells may be sampled later than the current


def start(config: Config) -> Response:
    """Return the memory before the first sample."""
    strings, cells = config.layout.size["string"], config.layout.size["cell"]
    zero, unknown, never = np.zeros(strings), np.full(strings, np.nan), np.full(strings, NEVER)
    counts = np.zeros(strings, np.int64)
    return Response(
        passed=zero, passed_then=np.zeros(cells), looked_ns=NEVER, current=unknown,
        base_ns=never, base_A=unknown, base_V=unknown, off_A=unknown, off_V=unknown, agreed=zero, steps=zero,
        mean_V=unknown, mean_A=unknown, drop_V=unknown, drop_A=unknown, before_V=unknown, worth_V=zero,
        waited=counts, silence=zero,
    )  # fmt: skip


def respond(config: Config, state: State, seen: Seen, passed: Floats, then: Floats, plain: bool = False) -> Response:
    """Return the memory after this sample.

    passed   (string,) A·s that went in since the start
    then     (cell,) the same when the cell's reading last changed
    plain    by NumPy even where the kernel is there

    Voltages as read, not their medians: those are a sample older than the current, and in a drive cycle that is enough
    for an answer of the wrong sign. One wild sample is one answer among several.
    """
    before, layout = state.watch.response, config.layout
    now_ns = int(seen.time_ns[layout.where["current"]].max(initial=NEVER))
    if now_ns < before.looked_ns + LOOK_NS:
        return renew(before, passed=passed, passed_then=then)
    count, ohm = _cells(config)
    total = layout.total(seen.value[layout.where["cell_voltage"]])
    current, told = seen.value[layout.where["current"]], [getattr(before, name) for name in ANSWERED_BY]
    drop = seen.value[layout.where["string_voltage"]] - total + 0.0 * current
    work: Any = answered if plain else compiled
    found = work(*told, current, total / count, drop, ohm, now_ns)
    first = before.looked_ns == NEVER  # then two cycles aside, in none of those in which estimation runs
    return Response(passed, then, now_ns - first * min(2 * config.cycle_ns, LOOK_NS // 10), current, *found)


@lru_cache(maxsize=16)
def _cells(config: Config) -> tuple[Ints, Floats]:
    """Return cells in series, and the mean resistance of one of them, ohm, (string,)."""
    layout = config.layout
    count = np.diff(layout.first_cell, append=config.cell_ohm.size)
    return count, layout.total(config.cell_ohm) / count


def answered(
    then_A: Any, base_ns: Any, base_A: Any, base_V: Any, off_A: Any, off_V: Any, agreed: Any, steps: Any,
    mean_V: Any, mean_A: Any, drop_V: Any, drop_A: Any, before_V: Any, worth_V: Any, waited: Any,
    current: Any, voltage: Any, drop: Any, ohm: Any, now_ns: Any,
) -> Any:  # fmt: skip
    """Return the fields of Response from base_ns on, (string,) each; compiled as it stands where numba is there.

    then_A … waited  the fields of before;  current A, voltage V per cell, drop V of the string over its cells, ohm of
    a cell: of this look, (string,)
    """
    step = current - base_A
    worth = np.abs(step) * ohm
    begun = worth >= LEAST_V  # what is less is noise, or a load that wavers: the base goes with it
    arrived = ~begun | ~(np.abs(current - then_A) > STEADY * np.abs(step))
    answer = np.sign(step) * (voltage - base_V) / np.maximum(worth, LEAST_V)
    counts = arrived & begun & (now_ns - base_ns <= LONGEST_NS) & ~np.isnan(answer)
    stayed = np.abs(current - then_A) * ohm <= STEADY * worth_V
    calm_before = (off_V <= ANSWERED * worth) & (off_A <= ANSWERED * np.abs(step))
    begins = counts & calm_before & (worth >= CLEAR_V)
    before_V = np.where(begins, base_V, np.where(stayed, before_V, np.nan))
    worth_V = np.where(begins, worth, worth_V)
    silent = 1.0 - np.abs(voltage - before_V) / np.maximum(worth_V, CLEAR_V)
    still = silent >= 1.0 - ANSWERED  # unknown waits for nothing
    waited = np.where(still, np.where(begins, 0, waited + 1), 0)
    return (
        np.where(arrived, now_ns, base_ns),
        np.where(arrived, current, base_A),
        np.where(arrived, voltage, base_V),
        np.where(arrived, np.abs(current - mean_A), off_A),
        np.where(arrived, np.abs(voltage - mean_V), off_V),
        np.where(counts, KEEP * agreed + np.minimum(np.maximum(answer, -2.0), 2.0), agreed),
        np.where(counts, KEEP * steps + 1.0, steps),
        np.where(np.isnan(mean_V), voltage, mean_V + MEAN * (voltage - mean_V)),
        np.where(np.isnan(mean_A), current, mean_A + MEAN * (current - mean_A)),
        np.where(np.isnan(drop_V), drop, drop_V + MEAN * (drop - drop_V)),
        np.where(np.isnan(drop_V), current, drop_A + MEAN * (current - drop_A)),
        np.where(still, before_V, np.nan),
        worth_V,
        waited,
        np.where(waited >= WAIT_LOOKS, silent, 0.0),
    )


compiled: Any = answered
try:
    from numba import float64, int64, njit

    from cellarer.core.kernel import OPTIONS, _given

    _MEMORY = [_given(int64 if name in ("base_ns", "waited") else float64) for name in ANSWERED_BY]
    compiled = njit((*_MEMORY, *[_given(float64)] * 4, int64), **OPTIONS)(answered)
except ImportError:  # without numba NumPy does the work
    pass
