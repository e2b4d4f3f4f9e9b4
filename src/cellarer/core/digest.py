"""All measurements of a cycle reduced at once: worst value, completeness and age of every signal, per string or pack.

One pass over the flat array serves every fault row and every limit; what a row means stands in decide/signals.py.
Unknown elements never hide known ones and never count as good.
"""

from dataclasses import dataclass

import numpy as np

from cellarer.model.config import Config
from cellarer.model.values import NEVER, Bools, Floats, Ints, Seen

NOT_NOW = -np.inf


@dataclass(frozen=True, slots=True, eq=False)
class Digest:
    """One value per signal and owner, all (owned,): see Layout.owned."""

    high: Floats  # highest known element; −inf where none is known
    low: Floats  # NEGATIVE of the lowest known element; −inf where none is known
    known: Bools  # every element is known
    high_ns: Ints  # when the highest was measured
    low_ns: Ints
    overdue: Floats  # s beyond its maximum age that the oldest element has not been valid; −inf where absent
    absurd: Floats  # 1: the newest sample of some element is outside its plausible range
    absurd_ns: Ints  # when the newest absurd element was measured, or of all where none is absurd


def digest(config: Config, seen: Seen, now_ns: int) -> Digest:
    """Reduce what was seen; no loop over signals, strings or cells."""
    layout, value, time_ns = config.layout, seen.value, seen.time_ns
    known = ~np.isnan(value)
    up, down = np.where(known, value, NOT_NOW), np.where(known, -value, NOT_NOW)
    high, low = layout.by_owner(np.maximum, up, NOT_NOW), layout.by_owner(np.maximum, down, NOT_NOW)
    owner = layout.owner_of
    at_high, at_low = np.where(up == high[owner], time_ns, NEVER), np.where(down == low[owner], time_ns, NEVER)
    overdue_ns = now_ns - seen.valid_ns - config.sensing.max_age_ns
    overdue = np.where(config.sensing.present, overdue_ns * 1e-9, NOT_NOW)
    absurd = layout.by_owner(np.logical_or, seen.absurd, False)
    return Digest(
        high=high,
        low=low,
        known=layout.by_owner(np.logical_and, known, True),
        high_ns=layout.by_owner(np.maximum, at_high, NEVER),
        low_ns=layout.by_owner(np.maximum, at_low, NEVER),
        overdue=layout.by_owner(np.maximum, overdue, NOT_NOW),
        absurd=absurd.astype(np.float64),
        absurd_ns=layout.by_owner(np.maximum, np.where(seen.absurd == absurd[owner], time_ns, NEVER), NEVER),
    )
