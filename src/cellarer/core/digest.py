"""All measurements of a cycle reduced at once: worst value, completeness and age of every signal, per string or pack.

One pass over the flat array serves every fault row and every limit; what a row means stands in decide/signals.py.
Unknown elements never hide known ones and never count as good; absent ones do not count at all.
"""

from dataclasses import dataclass

import numpy as np

from cellarer.model.config import Config
from cellarer.model.values import NEVER, Bools, Floats, Ints, Seen

NOT_NOW = -np.inf

# Rows of a Digest
HIGH = 0  # highest known element; −inf where none is known
LOW = 1  # NEGATIVE of the lowest known element; −inf where none is known
OVERDUE = 2  # s beyond its maximum age that the oldest element has not been valid; −inf where absent
ABSURD = 3  # 1: the newest sample of some element is outside its plausible range
KINDS = ("high", "low", "overdue", "absurd")


@dataclass(frozen=True, slots=True, eq=False)
class Digest:
    """One value per kind of reduction, signal and owner, all (kind, owned): see KINDS and Layout.owned."""

    value: Floats
    known: Bools  # every element that the site measures is known; always true of overdue and absurd
    time_ns: (
        Ints  # when the worst was measured; of overdue: now; of absurd: the newest absurd one, or of all if none is
    )


def digest(config: Config, seen: Seen, now_ns: int) -> Digest:
    """Reduce what was seen; no loop over signals, strings or cells."""
    layout, time_ns, owner = config.layout, seen.time_ns, config.layout.owner_of
    size = layout.owners
    value, at_ns = np.full((4, size), NOT_NOW), np.full((4, size), NEVER)
    known = np.ones((4, size), bool)
    sure = ~np.isnan(seen.value)
    for kind, signed in ((HIGH, seen.value), (LOW, -seen.value)):
        one = np.where(sure, signed, NOT_NOW)
        worst = layout.by_owner(np.maximum, one, value[kind])
        layout.by_owner(np.maximum, np.where(one == worst[owner], time_ns, NEVER), at_ns[kind])
    known[LOW] = layout.by_owner(np.logical_and, sure | ~config.sensing.present, known[HIGH])
    overdue_ns = now_ns - seen.valid_ns - config.sensing.max_age_ns
    layout.by_owner(np.maximum, np.where(config.sensing.present, overdue_ns * 1e-9, NOT_NOW), value[OVERDUE])
    at_ns[OVERDUE] = now_ns
    absurd = layout.by_owner(np.logical_or, seen.absurd, np.zeros(size, bool))
    value[ABSURD] = absurd
    layout.by_owner(np.maximum, np.where(seen.absurd == absurd[owner], time_ns, NEVER), at_ns[ABSURD])
    return Digest(value, known, at_ns)
