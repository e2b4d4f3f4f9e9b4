"""`cellarer check SITE`: is this site file sound, what can it protect, and how fast at worst."""

import sqlite3
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cellarer.commands import console

if TYPE_CHECKING:
    from cellarer.config import Site, check
    from cellarer.model.values import Floats

ESTIMATE = "estimate"  # rows of this path have no worst case that a site file could tell
UNKNOWN = {"bound_s": None, "ok": None}
DEPENDS = "by size and cell, docs/why/detectability.md"


@click.command()
@click.argument("site")
@click.option("--timing", is_flag=True, help="Also show the worst-case reaction of every fault row.")
@click.option("--history", is_flag=True, help="Also verify the hash chain of the site's events.")
@click.option(
    "--state", type=console.FILE, metavar="FOLDER", help="With --history: the state folder, if not the usual one."
)
@console.json_option
def command(site: str, timing: bool, history: bool, state: Path | None, as_json: bool) -> None:
    """Check SITE, a shipped name or the path of a site file.

    Prints what it can and cannot protect and estimate. A file that contradicts itself, or that reacts too slowly, is
    refused with exit code 2 and the file, key, value and allowed range. A history whose events were altered or removed
    is told with exit code 1.
    """
    from cellarer.config import ConfigError, check, load

    if state is not None and not history:
        raise console.Mistake(f"--state = {state}: give --history too; a site file alone needs no state")
    found: dict[str, object] = {"site": site, "ok": False, "report": [], "timing": []}
    rows: list[check.Timing] = []
    try:
        loaded = load(site)
        found["report"] = check.report(loaded).splitlines()
        if timing:
            rows = check.timing(loaded, _periods_s(loaded))
            found["timing"] = list(map(_row, rows))
        if history:
            found["history"] = _history(loaded, state)
        sound(loaded)
        found["ok"] = True
    except (ConfigError, ValueError) as error:
        found["error"] = str(error)
    if as_json:
        console.emit(found)
    else:
        _tell(found, rows)
    if not found["ok"]:
        console.say(f"cellarer: error: {found['error']}")
        sys.exit(2)
    if history and not found["history"]["whole"]:  # type: ignore[index]
        sys.exit(1)


def _row(row: "check.Timing") -> dict[str, object]:
    """Return a row of the timing for programs."""
    return asdict(row) | {"string": row.string + 1} | ({"ok": row.ok} if row.path != ESTIMATE else UNKNOWN)


def _history(site: "Site", state: Path | None) -> dict[str, object]:
    """Verify the chain of events of a site, also of one that runs. Raises Mistake where there is no history."""
    from cellarer.history.reader import Reader
    from cellarer.runtime.process import state_home

    path = (state or state_home() / site.file.name) / "history.db"
    if not path.is_file():
        raise console.Mistake(
            f"--state = {path.parent}: there is no history.db: name the state folder of a site that ran"
        )
    try:
        reader = Reader(path)
        (events, chain), broken = reader.head(), reader.first_break()
    except sqlite3.Error as error:
        raise console.Mistake(f"{path}: {error}: is it a history file?") from None
    return {"file": str(path), "events": events, "head": chain, "whole": broken is None, "broken_at": broken}


def _periods_s(site: "Site") -> "Floats":
    """Return how often the site's devices measure each signal, (signal,) s."""
    from cellarer.wire.devices.periods import periods_s

    return periods_s(site.file, site.config.layout)


def sound(site: "Site") -> "Site":
    """Return a site that may run. Raises ConfigError or Mistake for others, with key, value and what is allowed.

    Every driver and face is made once: a device that cannot deliver what the site names is told here, not at the wheel.
    """
    from cellarer.config import ConfigError, check
    from cellarer.runtime.guard_limits import Eyes

    try:
        check.refuse(site)
        Eyes(site, 1.0)
        _wire(site)
    except ConfigError:
        raise
    except ValueError as error:
        raise console.Mistake(f"{site.path}: {error}") from error
    return site


def _wire(site: "Site") -> None:
    from cellarer.wire.devices.driver import converters_driven, driver, places
    from cellarer.wire.faces.face import face

    drivers = [driver(device) for device in site.file.device]
    for device in (*site.file.device, *site.file.guard.device):
        places(site.config.layout, device)
        driver(device)
    if drivers:
        converters_driven(site.config, drivers)
    for served in site.file.face:
        if served.protocol != "mqtt":  # it is made with its broker, and checks itself there
            face(served)


def _tell(found: dict[str, object], rows: list) -> None:  # type: ignore[type-arg]  # config.check is loaded late
    for line in found["report"]:  # type: ignore[attr-defined]
        console.paragraph(line)
    if rows:
        click.echo("")
        header = ("row", "string", "level", "decided by", "at most s", "budget s", "kept", "made of")
        lines = [
            (
                r.row,
                str(r.string + 1),
                r.level,
                r.path,
                f"{r.bound_s:.3f}" if r.path != ESTIMATE else "-",
                f"{r.budget_s:g}",
                ("yes" if r.ok else "NO") if r.path != ESTIMATE else "-",
                r.parts if r.path != ESTIMATE else f"until it is sure: {DEPENDS}; then {r.parts}",
            )
            for r in rows
        ]
        console.grid(header, lines)
    history = found.get("history")
    if isinstance(history, dict):
        _tell_history(history)
    if found["ok"] and (not isinstance(history, dict) or history["whole"]):
        click.echo("ok")


def _tell_history(history: dict[str, object]) -> None:
    from cellarer.runtime.chain import NAME, broken

    if history["whole"]:
        console.paragraph(
            f"history is whole: {history['events']} events, each bound to those before it; "
            f"to prove later that none was cut off, note number and hash of the newest: {history['head']}"
        )
    else:
        console.paragraph(f"{NAME}: {broken(int(str(history['broken_at'])))}: {history['file']}")
