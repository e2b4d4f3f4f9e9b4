"""Whether a current that is inside a limit now was beyond it lately, so that pulses add up: a leaky mean of its heat.

What heats goes with the square of the current. Each moment beyond a bound counts by how much its heat is more than that
of the bound, as a share of that; each moment inside pays back what it is less. Until all is paid back the current is
not known to be inside, and rows keep their count (decide/protect.py). So what is beyond a bound by its root mean square
is told as if it lasted, in whatever pulses, also in both directions in turn; what is not, leaves nothing.
"""

from functools import lru_cache

import numpy as np

from cellarer.core.followed import MORE
from cellarer.model.config import Config
from cellarer.model.values import Floats

EXCESS_S = 4.0  # s: how far back it reaches: as long as a limit may be defied (config/faults.toml)
MOST_SHARE = 3.0  # twice the bound; of more, a single wild sample would count for long (own estimate)
LEAST = 1e-3  # less is none
IGNORED, DEFIED, HIGHEST = range(3)  # bounds: of rows of the published limit, and the cells' maximum


def advance(config: Config, before: Floats, current: Floats, allowed: Floats, over: Floats, dt_s: float) -> Floats:
    """Return the new memory, 1, (bound, 3, string): of charge, of discharge, of both in turn.

    current: (string,) A; allowed, over: (way, string) A as of followed.followed; dt_s: since the last cycle
    """
    signed = np.array((current, -current))
    ignored = signed - over
    bound = np.array((ignored, ignored + MORE * allowed, highest(config)))
    if not (np.count_nonzero(signed > bound) or np.count_nonzero(before)):
        return before
    ratio = np.maximum(signed, 0.0) / bound
    share = np.minimum(ratio * ratio - 1.0, MOST_SHARE)
    share = np.concatenate((share, share.max(axis=1, keepdims=True)), axis=1)
    new = np.maximum(before - np.expm1(-dt_s / EXCESS_S) * (share - before), 0.0)
    return np.where(np.isnan(share), before, new)


@lru_cache(maxsize=16)
def highest(config: Config) -> Floats:
    """Return what rows of over-current trip at in the end, A, (way, string); inf where there is no such row."""
    table = config.faults
    rows = [table.name.index(f"{way}_over_current_maximum") for way in ("charge", "discharge")]
    return np.where(table.enabled[rows], table.trip[rows], np.inf)
