"""State machines as tables: rows (kind, from, condition, to, cause), first true row wins, for all strings at once.

The theory is all here; what the states mean stands where the table stands (sequence.py, charge.py). A diagram and the
documentation are generated from the same rows.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellarer.model.values import Bools, Bytes

ANY = -1
MOST = 16  # kinds and phases that a table may have


class Rule(NamedTuple):
    """If a string of `kind` is in `source` and `condition` holds, it goes to `target`, and `cause` says why."""

    kind: int
    source: int
    condition: str
    target: int
    cause: str


def _every(value: int) -> int | slice:
    return slice(None) if value == ANY else value


class Table:
    """Rules compiled to arrays. Built once at import; holds no state."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self.conditions = tuple(dict.fromkeys(r.condition for r in rules))
        self._kind = np.array([[r.kind] for r in rules])
        self._source = np.array([[r.source] for r in rules])
        self._condition = np.array([self.conditions.index(r.condition) for r in rules])
        self._target = np.array([r.target for r in rules], np.int8)
        self._asking = lru_cache(maxsize=8)(self._find)  # strings stay in their phases for long
        self._none = lru_cache(maxsize=8)(lambda strings: np.full(strings, -1))
        self._asked = np.zeros((len(self.conditions), MOST, MOST), bool)  # (condition, kind, phase): a rule asks for it
        for rule, condition in zip(rules, self._condition.tolist(), strict=True):
            self._asked[condition, _every(rule.kind), _every(rule.source)] = True

    def _find(self, kinds: bytes, phases: bytes) -> tuple[Bools, tuple[int, ...]]:
        """Return what rules ask of strings of these kinds in these phases: (condition, string), and of any of them."""
        asked = self._asked[:, np.frombuffer(kinds, np.int8), np.frombuffer(phases, np.int8)]
        return asked, tuple(np.flatnonzero(asked.any(axis=1)).tolist())

    def advance(self, kind: Bytes, phase: Bytes, holds: Callable[[str], Bools]) -> tuple[Bytes, NDArray[np.int64]]:
        """Return (phase, rule), (string,) each: the next phase and the index of the rule that fired, −1 for none.

        Where no rule fired `phase` is the array that was given.

        holds: says of a condition where it holds, (string,); called for those that a rule of some string's phase asks.
        """
        asked, conditions = self._asking(kind.tobytes(), phase.tobytes())
        facts = np.zeros(asked.shape, bool)
        for condition in conditions:
            facts[condition] = holds(self.conditions[condition])
        if not np.count_nonzero(facts & asked):
            return phase, self._none(phase.size)
        match = facts[self._condition] & ((self._source == phase) | (self._source == ANY))
        match &= (self._kind == kind) | (self._kind == ANY)
        fired = match.any(axis=0)
        rule = match.argmax(axis=0)
        return np.where(fired, self._target[rule], phase).astype(np.int8), np.where(fired, rule, -1)
