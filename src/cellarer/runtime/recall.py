"""What the log of events knows of permanent faults that an older state folder, put back, has forgotten."""

import sqlite3
from pathlib import Path

from cellarer.board.lifetime import latch_name, read_ledger, write_ledger
from cellarer.history.reader import Reader
from cellarer.model.config import Config
from cellarer.runtime.lifetime import permanent


def recall(config: Config, where: list[Path], history: Reader) -> list[str]:
    """Hold permanent faults that the event log knows and all copies of the ledger lack; return what to tell.

    Somebody may put back an older state folder: the log of events, or a copy elsewhere, then contradicts it.
    """
    ledger, _ = read_ledger(where, config.site)
    layout, told = config.layout, []
    try:
        standing = history.standing(permanent(config))
    except sqlite3.Error as error:
        return [f"the event log cannot be asked for permanent faults: {error}"]
    for name, pack, string in standing:
        if pack > layout.size["pack"]:
            continue
        number = int(layout.first_string[pack - 1]) + string - 1
        if not ledger.latched(latch_name(name, number)):
            ledger.raise_latch(latch_name(name, number))
            told.append(f"{name} of string {string} of pack {pack} holds: the event log knows nobody who cleared it")
    return [*told, *write_ledger(where, ledger)] if told else []
