"""`cellarer commission SITE`: leads a person through the wiring checks of a new battery."""

import sys
from dataclasses import asdict
from pathlib import Path

import click

from cellarer.commands import console
from cellarer.commands.console import FILE, Mistake


@click.command()
@click.argument("site")
@click.option(
    "--running", is_flag=True, help="Watch the site that runs: checks current and joints while it is charged."
)
@click.option("--state", type=FILE, metavar="FOLDER", help="With --running: the site's state folder.")
@click.option("--fault", "faults", multiple=True, metavar="NAME[:CELL]", help="Simulated sites: a fault in the wires.")
@console.json_option
def command(site: str, running: bool, state: Path | None, faults: tuple[str, ...], as_json: bool) -> None:
    """Check the wiring of SITE before it is used: polarity, order of cells, temperature sensors, current sign, joints.

    First while the site does not run: everything stays open, each cell is bled for a moment, and you are asked to warm
    the temperature sensors. Then with --running while a charger charges. A simulated site does all of it by itself.
    Ends with 1 when something is wrong; what `check` refuses is refused here too.
    """
    from cellarer import config
    from cellarer.board.ring import BoardError
    from cellarer.commands.check import sound
    from cellarer.runtime.commission import commission

    loaded = sound(config.load(site))
    if state is not None and not running:
        raise Mistake(f"--state = {state}: give --running too; a site that does not run needs no state")
    rig = _rig(loaded, running, state, faults)
    try:
        found = commission(rig, console.say)
    except BoardError as error:
        raise Mistake(str(error)) from None
    finally:
        if hasattr(rig, "close"):
            rig.close()
    wrong = [one for one in found if one.level == "wrong"]
    report = {
        "site": loaded.file.name, "config_hash": loaded.config.hash, "right": not wrong,
        "findings": [asdict(one) for one in found],
    }  # fmt: skip
    if as_json:
        console.emit(report)
    else:
        click.echo(f"\n{loaded.file.name}, configuration {loaded.config.hash[:12]}")
        console.grid(("step", "", "found", "to do"), [(f.step, f.level, f.text, f.to_do) for f in found])
        click.echo(f"\n{len(wrong)} wrong: repair, then check again" if wrong else "\nnothing wrong was found")
    sys.exit(1 if wrong else 0)


def _rig(loaded, running: bool, state: Path | None, faults: tuple[str, ...]):  # type: ignore[no-untyped-def]
    """Return the rig that fits; config and runtime are loaded late."""
    from cellarer.runtime import commission_rigs as rigs

    if faults and running:
        raise Mistake(f"--fault = {faults[0]}: not with --running, which only watches")
    if faults and loaded.file.simulation is None:
        raise Mistake(f"--fault = {faults[0]}: this site is not simulated")
    if running:
        return _running(loaded, state)
    if loaded.file.simulation is None:
        return rigs.OpenRig(loaded, _ask, console.say)
    rig = rigs.SimulatedRig(loaded)
    for fault in faults:
        name, colon, number = fault.partition(":")
        most = int((rig.config.layout.string_of_cell == 0).sum())
        if colon and not (number.isascii() and number.isdecimal() and 1 <= float(number) <= most):
            raise Mistake(f"--fault = {fault}: allowed is a cell from 1 to {most}")
        try:
            rig.plant.inject(name, 0, int(number or 1) - 1)
        except ValueError as error:
            raise Mistake(f"--fault = {fault}: {error}") from None
    return rig


def _running(loaded, state: Path | None):  # type: ignore[no-untyped-def]
    """Return the rig that watches; there is nothing to watch where no site runs."""
    from cellarer.board.ring import BoardError
    from cellarer.runtime.commission_rigs import RunningRig
    from cellarer.runtime.process import state_home

    folder = (state or state_home() / loaded.file.name).resolve()
    try:
        return RunningRig(loaded, folder, _ask)
    except BoardError as error:
        raise Mistake(f"--running: {error}") from None
    except OSError as error:
        raise Mistake(
            f"--state = {folder}: allowed is the state folder of a site that runs: {error.strerror}"
        ) from None


def _ask(text: str) -> None:
    """Ask a person to do something; without a terminal the check goes on at once."""
    if sys.stdin.isatty():
        click.prompt(f"    {text}, then press Enter", default="", show_default=False, prompt_suffix=" ", err=True)
    else:
        console.say(f"    {text}")
