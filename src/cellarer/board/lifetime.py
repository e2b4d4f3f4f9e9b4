"""The lifetime ledger: counters that never go back and permanent faults, in several places; the most of all wins.

A copy is JSON with a SHA-256 of itself. Counters are merged by the greater value. A permanent fault has two numbers
that only rise, how often it was set and how often a person with the service key cleared it; it holds while the first
is greater. So an older copy that is put back, in whatever place, takes nothing away.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cellarer.board.files import write_whole

VERSION = 1


@dataclass(slots=True)
class Ledger:
    """What a battery has been through."""

    site: str
    counters: dict[str, list[float]] = field(default_factory=dict)  # name → per string
    latches: dict[str, list[int]] = field(default_factory=dict)  # "row string" → [set, cleared]

    def count(self, name: str, values: Iterable[float]) -> None:
        """Let a counter be at least so great, per string."""
        new, known = list(values), self.counters.get(name, [])
        self.counters[name] = [
            *map(max, known, new),
            *(new if len(new) > len(known) else known)[min(len(new), len(known)) :],
        ]

    def merge(self, other: "Ledger") -> None:
        """Take over what another copy has more of."""
        for name, values in other.counters.items():
            self.count(name, values)
        for name, (raised, cleared) in other.latches.items():
            mine = self.latches.get(name, [0, 0])
            self.latches[name] = [max(mine[0], raised), max(mine[1], cleared)]

    def raise_latch(self, name: str) -> None:
        """Note that a permanent fault is there."""
        if not self.latched(name):
            raised, cleared = self.latches.get(name, [0, 0])
            self.latches[name] = [max(raised, cleared) + 1, cleared]

    def clear_latch(self, name: str) -> None:
        """Note that a person with the service key cleared it."""
        if self.latched(name):
            raised, _ = self.latches[name]
            self.latches[name] = [raised, raised]

    def latched(self, name: str) -> bool:
        """Tell whether a permanent fault holds."""
        raised, cleared = self.latches.get(name, [0, 0])
        return raised > cleared

    @property
    def holding(self) -> list[tuple[str, int]]:
        """Return the permanent faults that hold: (row, string from 0)."""
        return [(name.rpartition(" ")[0], int(name.rpartition(" ")[2])) for name in self.latches if self.latched(name)]


def latch_name(row: str, string: int) -> str:
    """Return the name of a permanent fault in the ledger."""
    return f"{row} {string}"


def read_ledger(places: Iterable[Path], site: str) -> tuple[Ledger, list[str]]:
    """Return all copies merged, and what is wrong with each that could not be used; a missing one is no error."""
    ledger, wrong = Ledger(site), []
    for path in places:
        try:
            found = _parse(path.read_bytes(), site)
        except FileNotFoundError:
            continue
        except OSError as error:
            found = str(error)
        if isinstance(found, str):
            wrong.append(f"{path} {found}")
        else:
            ledger.merge(found)
    return ledger, wrong


def write_ledger(places: Iterable[Path], ledger: Ledger) -> list[str]:
    """Write every copy that can be written; return why others cannot. When it returns the copies survive power loss."""
    body: Mapping[str, object] = {
        "version": VERSION, "site": ledger.site, "counters": ledger.counters, "latches": ledger.latches,
    }  # fmt: skip
    text = json.dumps(body, sort_keys=True, allow_nan=False)
    data = json.dumps({"ledger": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}).encode()
    wrong = []
    for path in places:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(path, data)
        except OSError as error:
            wrong.append(f"{path}: {error}")
    return wrong


def _parse(data: bytes, site: str) -> Ledger | str:
    try:
        outer = json.loads(data)
        text = str(outer["ledger"])
        if hashlib.sha256(text.encode()).hexdigest() != outer["sha256"]:
            return "is damaged"
        body = json.loads(text)
        if body["version"] != VERSION:
            return f"is of version {body['version']}, this program reads {VERSION}"
        if body["site"] != site:
            return f"is of the site {body['site']}"
        counters = {str(name): [float(x) for x in values] for name, values in body["counters"].items()}
        latches = {str(name): [int(raised), int(cleared)] for name, (raised, cleared) in body["latches"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"is damaged: {error!r}"
    return Ledger(site, counters, latches)
