"""Where the lifetime ledger lies, how control begins with it, and how the recorder keeps it.

The state folder may be lost, restored from an old copy or made anew by a reinstallation; the battery has aged all the
same. Therefore copies lie elsewhere too: where the site file says (`keep`), and for a site that is not simulated and
lies in the user's state folder, in the user's data folder.
"""

import math
import os
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellarer.board import tree
from cellarer.board.lifetime import Ledger, latch_name, read_ledger, write_ledger
from cellarer.board.ring import BoardError
from cellarer.core import slow
from cellarer.core.cycle import start
from cellarer.model.config import Config
from cellarer.model.values import Counters, Latch
from cellarer.runtime.notify import say

if TYPE_CHECKING:
    from cellarer.config.schema import SiteFile

WEAR = ("closings", "openings_under_load", "wear")  # of Switches
WRITE_S = 60.0  # what flows is written so often; what happens, at once
FLOWS = {"charge_Ah", "discharge_Ah", "charge_Wh", "discharge_Wh", "hot_s", "cold_s"}


def places(site: "SiteFile", state_dir: Path, home: Path) -> list[Path]:
    """Return where copies lie. home: the folder under which states lie unless told otherwise."""
    name = f"{site.name}.lifetime.json"
    found = [state_dir / "lifetime.json", *(Path(folder).expanduser() / name for folder in site.keep)]
    if site.simulation is None and state_dir.parent == home:
        data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
        found.append(data / "cellarer" / name)
    return found


def restored(config: Config, durable: slow.Durable | None, ledger: Ledger) -> slow.Durable | None:
    """Return the durable record with whatever the ledger has more of; without a record, only that."""
    if not ledger.counters and not ledger.holding:
        return durable
    begin = durable or _blank(config)
    strings = config.layout.size["string"]

    def most(name: str, known: np.ndarray) -> np.ndarray:
        kept = ledger.counters.get(name, [])
        known = known if known.shape == (strings,) else np.zeros(strings, known.dtype)
        return np.maximum(known, np.array(kept)).astype(known.dtype) if len(kept) == strings else known

    counters = Counters(**{f.name: most(f.name, getattr(begin.counters, f.name)) for f in fields(Counters)})
    return replace(
        begin,
        counters=counters,
        latched=tuple(sorted({*begin.latched, *ledger.holding})),
        closings=most("closings", begin.closings),
        openings_under_load=most("openings_under_load", begin.openings_under_load),
        wear=most("wear", begin.wear),
    )


def permanent(config: Config) -> set[str]:
    """Return the names of the rows that only the service key clears."""
    return {n for n, latch in zip(config.faults.name, config.faults.latch, strict=True) if latch == Latch.SERVICE}


def _blank(config: Config) -> slow.Durable:
    """Return a durable record in which nothing is known."""
    known = slow.durable(config, start(config, 0))
    unknown = np.full_like(known.soc, np.nan)
    return replace(known, soc=unknown, soc_sigma=unknown)


class Keeper:
    """The recorder's end: takes every durable record, writes the ledger when it must."""

    def __init__(self, config: Config, where: list[Path]) -> None:
        self._where = where
        self._permanent = permanent(config)
        self._ledger, wrong = read_ledger(where, config.site)
        self._seen: set[str] = set()  # latched as control that runs now has said itself
        self._epoch = -1
        self._written: tuple[object, ...] = ()
        self._written_s = -math.inf
        self.complaint = ""
        self._say(wrong)

    def take(self, payload: bytes, epoch: int) -> None:
        """Take a durable record of control. epoch: how often control began."""
        try:
            record = tree.decode(payload)
        except BoardError as error:
            self._say([str(error)])
            return
        if not isinstance(record, slow.Durable):
            return
        for name in (f.name for f in fields(Counters)):
            self._ledger.count(name, np.nan_to_num(getattr(record.counters, name)).tolist())
        for name in WEAR:
            self._ledger.count(name, np.nan_to_num(getattr(record, name)).tolist())
        if epoch != self._epoch:
            self._epoch, self._seen = epoch, set()
        latched = {latch_name(row, string) for row, string in record.latched if row in self._permanent}
        for name in latched:
            self._ledger.raise_latch(name)
        for name in self._seen - latched:
            self._ledger.clear_latch(name)
        self._seen = latched
        self.write()

    def broke(self, string: int, current_A: float | None) -> None:
        """Note a current that the guard broke while control could not."""
        if current_A is not None:
            self._ledger.count("broken_A", [*[0.0] * string, abs(current_A)])

    def write(self, *, now: bool = False) -> None:
        """Write what happened at once, what flowed each minute."""
        kept = self._ledger
        counted = tuple(tuple(values) for name, values in sorted(kept.counters.items()) if name not in FLOWS)
        happened = (counted, tuple(map(tuple, kept.latches.values())))
        if not now and happened == self._written and time.monotonic() - self._written_s < WRITE_S:
            return
        self._written_s = time.monotonic()
        wrong = write_ledger(self._where, kept)
        self._written = happened if not wrong else ()
        self._say(wrong)

    def _say(self, wrong: list[str]) -> None:
        text = "; ".join(wrong)
        if text and text != self.complaint:
            say(f"services: lifetime ledger: {text}")
        self.complaint = text
