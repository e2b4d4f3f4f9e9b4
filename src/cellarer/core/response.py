"""Memory of what sensors ought to have shown: the answer of voltage to current, and charge that went past a still cell.

A current sensor that is built in the wrong way round shows every change of current with the wrong sign of the change of
voltage. One that is turned round, comes loose or jumps under a steady load shows a step that no voltage answers. A cell
sensor that is stuck shows nothing while charge passes and its neighbours move. None of them needs a model: resistance
is positive, and cells in series carry one current. Signals: decide/signals.py.
"""

import numpy as np

from cellarer.model.config import Config
from cellarer.model.values import NEVER, Floats, Response, Seen, State, renew

LOOK_NS = 1_000_000_000  # look every second: skew between sensors is shorter
LONGEST_NS = 15_000_000_000  # a change of current that takes longer is no step: OCV moves, too
LEAST_V = 0.004  # V per cell that a step of current must be worth: above noise and 1 mV steps
STEADY = 0.2  # of the step: current that moves less than this over a look has arrived, and voltage with it
KEEP = 0.8  # of what earlier steps said: about five count
CLEAR_V = 0.025  # V per cell that a single step must be worth to speak alone: far above noise and relaxation
ANSWERED = 0.15  # of the worth: warm cells that the cell file makes twice too resistive answer more than this at once
MEAN = 0.2  # of the newest look in the means: current and voltage were calm for about five looks
WAIT_LOOKS = 3  # looks after the current has arrived: cells may be sampled later than the current


def start(config: Config) -> Response:
    """Return the memory before the first sample."""
    strings, cells = config.layout.size["string"], config.layout.size["cell"]
    zero, unknown, never = np.zeros(strings), np.full(strings, np.nan), np.full(strings, NEVER)
    counts = np.zeros(strings, np.int64)
    return Response(
        passed=zero, passed_then=np.zeros(cells), looked_ns=NEVER, current=unknown, base_ns=never, base_A=unknown,
        base_V=unknown, off_A=unknown, off_V=unknown, agreed=zero, steps=zero, mean_V=unknown, mean_A=unknown,
        drop_V=unknown, drop_A=unknown,
        before_V=unknown, worth_V=zero, waited=counts, silence=zero,
    )  # fmt: skip


def respond(config: Config, state: State, seen: Seen, passed: Floats, then: Floats) -> Response:
    """Return the memory after this sample.

    passed   (string,) A·s that went in since the start
    then     (cell,) the same when the cell's reading last changed

    Voltages as read, not their medians: those are a sample older than the current, and in a drive cycle that is enough
    for an answer of the wrong sign. One wild sample is one answer among several.
    """
    before, layout = state.watch.response, config.layout
    now_ns = int(seen.time_ns[layout.where["current"]].max(initial=NEVER))
    if now_ns < before.looked_ns + LOOK_NS:
        return renew(before, passed=passed, passed_then=then)
    count = np.diff(layout.first_cell, append=then.size)
    total = layout.total(seen.value[layout.where["cell_voltage"]])
    voltage, current = total / count, seen.value[layout.where["current"]]
    drop, begun_drop = seen.value[layout.where["string_voltage"]] - total + 0.0 * current, np.isnan(before.drop_V)
    step = current - before.base_A
    ohm = layout.total(config.cell_ohm) / count
    worth = np.abs(step) * ohm
    begun = worth >= LEAST_V  # what is less is noise, or a load that wavers: the base goes with it
    arrived = ~begun | ~(np.abs(current - before.current) > STEADY * np.abs(step))
    answer = np.sign(step) * (voltage - before.base_V) / np.maximum(worth, LEAST_V)
    counts = arrived & begun & (now_ns - before.base_ns <= LONGEST_NS) & ~np.isnan(answer)
    stayed = np.abs(current - before.current) * ohm <= STEADY * before.worth_V
    calm_before = (before.off_V <= ANSWERED * worth) & (before.off_A <= ANSWERED * np.abs(step))
    begins = counts & calm_before & (worth >= CLEAR_V)
    before_V = np.where(begins, before.base_V, np.where(stayed, before.before_V, np.nan))
    worth_V = np.where(begins, worth, before.worth_V)
    silent = 1.0 - np.abs(voltage - before_V) / np.maximum(worth_V, CLEAR_V)
    waited = np.where(silent >= 1.0 - ANSWERED, np.where(begins, 0, before.waited + 1), 0)  # unknown waits for nothing
    return Response(
        passed=passed,
        passed_then=then,
        looked_ns=now_ns,
        current=current,
        base_ns=np.where(arrived, now_ns, before.base_ns),
        base_A=np.where(arrived, current, before.base_A),
        base_V=np.where(arrived, voltage, before.base_V),
        off_A=np.where(arrived, np.abs(current - before.mean_A), before.off_A),
        off_V=np.where(arrived, np.abs(voltage - before.mean_V), before.off_V),
        agreed=np.where(counts, KEEP * before.agreed + np.clip(answer, -2.0, 2.0), before.agreed),
        steps=np.where(counts, KEEP * before.steps + 1.0, before.steps),
        mean_V=np.where(np.isnan(before.mean_V), voltage, before.mean_V + MEAN * (voltage - before.mean_V)),
        mean_A=np.where(np.isnan(before.mean_A), current, before.mean_A + MEAN * (current - before.mean_A)),
        drop_V=np.where(begun_drop, drop, before.drop_V + MEAN * (drop - before.drop_V)),
        drop_A=np.where(begun_drop, current, before.drop_A + MEAN * (current - before.drop_A)),
        before_V=np.where(silent >= 1.0 - ANSWERED, before_V, np.nan),
        worth_V=worth_V,
        waited=waited,
        silence=np.where(waited >= WAIT_LOOKS, silent, 0.0),
    )
