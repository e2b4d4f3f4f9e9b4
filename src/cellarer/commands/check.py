"""`cellarer check SITE`: is this site file sound, what can it protect, and how fast at worst."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cellarer.commands import console

if TYPE_CHECKING:
    from cellarer.config import Site
    from cellarer.model.values import Floats

ESTIMATE = "estimate"  # rows of this path have no worst case that a site file could tell
UNKNOWN = {"bound_s": None, "ok": None}
DEPENDS = "by size and cell, docs/why/detectability.md"


@click.command()
@click.argument("site")
@click.option("--timing", is_flag=True, help="Also show the worst-case reaction of every fault row.")
@console.json_option
def command(site: str, timing: bool, as_json: bool) -> None:
    """Check SITE, a shipped name or the path of a site file.

    Prints what it can and cannot protect and estimate. A file that contradicts itself, or that reacts too slowly, is
    refused with exit code 2 and the file, key, value and allowed range.
    """
    from cellarer.config import ConfigError, check, load

    found: dict[str, object] = {"site": site, "ok": False, "report": [], "timing": []}
    rows: list[check.Timing] = []
    try:
        loaded = load(site)
        found["report"] = check.report(loaded).splitlines()
        if timing:
            rows = check.timing(loaded, _periods_s(loaded))
            found["timing"] = [
                asdict(row) | {"string": row.string + 1} | ({"ok": row.ok} if row.path != ESTIMATE else UNKNOWN)
                for row in rows
            ]
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
    if found["ok"]:
        click.echo("ok")
