"""Resistance of what lies between the cells of a string and outside their sense wires: joints, busbars, the fuse.

The voltage of the string less the sum of its cells is what they drop, and the errors of all those sensors, which are
larger: a voltage channel of 1 % hides a loose joint at any current. But errors stay while current changes. So changes
are compared, of that difference against the current, from one look to the next; their slope is the resistance. Each
look counts by the square of its change of current. Both are means over the last seconds (response.py), which follow
each other however the current moves: noise falls, and sensors that are sampled a little apart do no harm.
"""

import numpy as np

from cellarer.core.decide.signals import Look
from cellarer.core.estimate.imbalance import SURE
from cellarer.model.values import Floats, Joints

MEMORY_S = 6 * 3600.0  # s: a joint that comes loose is half of what is remembered after 4 h; budget of C9 is a day
LEAST_LOOKS = 30.0  # changes before a slope says anything
BLED_NS = 20_000_000_000  # until the means show what bleeds now, to 2 %
RELATED = 2.0  # successive changes share a sample: their errors are not independent, and its variance counts twice


def start(strings: int) -> Joints:
    """Return the memory before the first look."""
    unknown, zero = np.full(strings, np.nan), np.zeros(strings)
    return Joints(current=unknown, dropped=unknown, bled=unknown, looks=zero, current2=zero, both=zero, dropped2=zero)


def remember(look: Look, before: Joints, since_s: float, next_s: float) -> Joints:
    """Return the memory after this look, which comes since_s after the last one; later than next_s is no change.

    A cell that bleeds reads lower by its sense wire, and chargers answer to bleeding: only looks at which equally many
    bled are compared.
    """
    current, dropped, bled = look.watch.response.drop_A, look.watch.response.drop_V, _bled(look)
    moved, more = current - before.current, dropped - before.dropped
    counts = ~np.isnan(moved) & ~np.isnan(more) & (since_s <= next_s) & (bled == before.bled)
    moved, more = np.where(counts, moved, 0.0), np.where(counts, more, 0.0)
    keep = np.exp(-since_s / MEMORY_S)
    return Joints(
        current=current,
        dropped=dropped,
        bled=bled,
        looks=keep * before.looks + counts,
        current2=keep * before.current2 + moved * moved,
        both=keep * before.both + moved * more,
        dropped2=keep * before.dropped2 + more * more,
    )


def _bled(look: Look) -> Floats:
    """Return how many cells bleed, (string,); NaN while the means do not show it yet."""
    layout, memory = look.config.layout, look.state.balancing
    count = layout.total(look.state.command.bleed.astype(np.float64))
    since_ns = np.where(count > 0.0, memory.begin_ns, np.maximum.reduceat(memory.dirty_ns, layout.first_cell))
    return np.where(look.now_ns - since_ns < BLED_NS, np.nan, count)


def least_ohm(joints: Joints) -> Floats:
    """Return the resistance that is sure, (string,) ohm; NaN while too little is known."""
    enough = (joints.looks >= LEAST_LOOKS) & (joints.current2 > 0.0)
    current2 = np.where(enough, joints.current2, np.nan)
    slope = joints.both / current2
    left = np.maximum(joints.dropped2 - slope * joints.both, 0.0) / np.maximum(joints.looks - 1.0, 1.0)
    return np.asarray(slope - SURE * np.sqrt(RELATED * left / current2))
