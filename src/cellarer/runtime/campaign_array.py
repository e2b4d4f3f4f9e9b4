"""Which injections a run makes: a covering array over subject × state of the pack × case × shape.

A run covers every pair of values that can occur together, in random order and with random fill; more runs cover more
of the triples and of all combinations. Combinations that cannot be (a welded contact in a pack that is open, a row that
is off at this site) are none. Greedy: always the row that covers most new pairs, ties by chance.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Row(NamedTuple):
    """One injection: its four values."""

    subject: str
    mode: str
    case: int  # index into CASES
    shape: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of the tuples of values that can occur together did, (covered, all) by number of values."""

    pairs: tuple[int, int]
    triples: tuple[int, int]
    whole: tuple[int, int]

    def text(self) -> str:
        """Say it in one line."""
        named = {"pairs": self.pairs, "triples": self.triples, "all combinations": self.whole}
        return ", ".join(f"{name} {got} of {most}" for name, (got, most) in named.items())


def tuples(rows: Sequence[Row], size: int) -> Ints:
    """Return a number for each tuple of `size` values of each row, (row, tuple)."""
    columns = [np.unique([str(row[k]) for row in rows], return_inverse=True)[1] for k in range(len(Row._fields))]
    found = []
    for number, chosen in enumerate(combinations(columns, size)):
        code = np.full(len(rows), number, np.int64)
        for column in chosen:
            code = code * 10_000 + column
        found.append(code)
    flat = np.unique(np.stack(found, axis=1), return_inverse=True)[1]
    return flat.reshape(len(rows), -1).astype(np.int64)


def array(valid: Sequence[Row], draw: np.random.Generator, pairs: Ints | None = None) -> list[int]:
    """Return the rows of one run, as indices into `valid`: every pair of values that is possible occurs."""
    pairs = tuples(valid, 2) if pairs is None else pairs
    open_, order = np.ones(int(pairs.max()) + 1, bool), draw.permutation(len(valid))
    shuffled, chosen = pairs[order], []
    while open_.any():
        best = int(np.argmax(open_[shuffled].sum(axis=1)))
        chosen.append(int(order[best]))
        open_[shuffled[best]] = False
    return chosen


def coverage(valid: Sequence[Row], chosen: Iterable[int]) -> Coverage:
    """Return what the chosen rows cover of everything that is possible."""
    picked = np.array(sorted(set(chosen)), np.int64)

    def share(size: int) -> tuple[int, int]:
        codes = tuples(valid, size)
        return np.unique(codes[picked]).size, np.unique(codes).size

    return Coverage(share(2), share(3), share(4))


def by_task(rows: Iterable[tuple[int, Row]]) -> Mapping[tuple[str, str], list[tuple[int, Row]]]:
    """Group (run, row) by what they share a settled world with: subject and state of the pack."""
    found: dict[tuple[str, str], list[tuple[int, Row]]] = {}
    for run, row in rows:
        found.setdefault((row.subject, row.mode), []).append((run, row))
    return found
