"""Counting with the capacity that was learnt: when it is due, and how the filter goes over to it."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate.capacity import Pairs
from cellarer.core.estimate.config import EstimatorConfig
from cellarer.core.estimate.equations import GAIN
from cellarer.core.estimate.state import EstimateState, copied, get, put, put_capacity

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PROOFS = 2.0  # pairs before a site counts with a learnt capacity
BETTER = 0.5  # of the sigma of the capacity in use: clearly surer
SURELY = 1.5  # sigmas of both between them: surely another capacity, however well either is known
AT_ONCE = 3.0  # sigmas of the learnt: the pair that says it need not be over
STEP = 0.002  # of capacity per look: 15 % take a quarter of an hour, so that no charge left jumps


def due(pairs: Floats, used: Floats, doubt: Floats, eager: bool) -> Bools:
    """Return where the capacity that was learnt is to be counted with, (cell,).

    used, doubt  (cell,) capacity in Ah of one cell and its relative sigma as the filter has them. Learnt must be: from
    PROOFS pairs, none of them still going on unless it is AT_ONCE away (eager: from one, going on or not), and clearly
    surer than what is used, or surer and a sigma away, or surely another capacity. What is known no better than before
    moves nothing.
    """
    p = Pairs(*pairs)
    both, off = np.hypot(p.relative, doubt), np.abs(p.capacity - used) / used
    proven = p.closed >= 1.0 if eager else (p.closed >= PROOFS) & ((p.last_w == 0.0) | (off > AT_ONCE * p.relative))
    apart = np.where(p.relative < doubt, p.relative, SURELY * both)
    return np.asarray(proven & ((p.relative < BETTER * doubt) | (off > apart)))


def looked(state: EstimateState) -> bool:
    """Return whether the voltages were looked at for points in this very step."""
    return bool(Pairs(*state.pairs).since_look[0] == 0.0)


def adopt_capacity(
    cfg: EstimatorConfig, state: EstimateState, eager: bool = False, at_once: bool = False
) -> EstimateState:
    """Let the filter count with the capacity that trusted points have shown.

    What counting with the old one has done to SOC, and voltage has not mended since (react_q), is undone with it.
    It goes over in small steps, one after each look for points, so that the charge left does not jump. eager: one pair
    is enough, because a person asked for it. at_once: whole, between two recordings.
    """
    p = Pairs(*state.pairs)
    if not (at_once or looked(state)):
        return state
    used, doubt = get(cfg, state, "capacity"), get(cfg, state, "doubt_q")
    now = due(state.pairs, used, doubt, eager)
    if not now.any():
        return state
    step = STEP * used if not at_once else np.inf
    moved = used + np.where(now, np.clip(p.capacity - used, -step, step), 0.0)
    left = np.abs(p.capacity - moved) / p.capacity
    buffer = copied(state.buffer)
    put(buffer, "z", get(cfg, state, "z") + get(cfg, state, "react_q") * (moved - used) / used)
    put_capacity(buffer, moved)
    put(buffer, "doubt_q", np.where(now, np.hypot(np.hypot(p.relative, GAIN), left), doubt))
    return replace(state, buffer=buffer)


def doubted(state: EstimateState, cells: Bools) -> EstimateState:
    """Forget the anchors of cells, (cell,), whose current cannot be believed: what flowed since tells no capacity."""
    if not np.count_nonzero(cells):
        return state
    pairs = state.pairs.copy()
    Pairs(*pairs).anchor[cells] = 0.0
    return replace(state, pairs=pairs)


def go_on(cfg: EstimatorConfig, state: EstimateState, before: EstimateState) -> EstimateState:
    """Begin another recording of the same cells: what `before` learnt of capacity is kept, and counted with."""
    return adopt_capacity(cfg, replace(state, pairs=carried(before.pairs)), eager=True, at_once=True)


def carried(pairs: Floats) -> Floats:
    """What is left of the memory when charge has flowed unseen: all that was learnt, and no anchor."""
    p = Pairs(*pairs.copy())
    for row in (p.anchor, p.charge, p.charge_s, p.since_look, p.flow, p.last_w, p.last_low):
        row[:] = 0.0
    return np.stack(p)
