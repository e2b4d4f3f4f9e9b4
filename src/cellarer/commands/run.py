"""`cellarer run SITE` and `cellarer demo`: a site as processes."""

import sys
from pathlib import Path

import click

from cellarer.commands.console import FILE

speed_option = click.option(
    "--speed",
    type=float,
    default=1.0,
    show_default=True,
    metavar="X",
    help="Times real time, 1 to 20; simulated sites only.",
)
state_option = click.option(
    "--state", type=FILE, metavar="FOLDER", help="Where state and history are kept, instead of the user's state folder."
)
port_option = click.option(
    "--port", type=click.IntRange(0, 65535), metavar="PORT", help="Of the dashboard; 0 = any free one."
)


@click.command()
@click.argument("site")
@speed_option
@state_option
@port_option
def command(site: str, speed: float, state: Path | None, port: int | None) -> None:
    """Run SITE (a shipped name or a path): measure, protect, record, and serve the dashboard.

    Prints the dashboard's address. Stop with Ctrl-C or SIGTERM: limits go to zero, then the contactors open, then the
    state is saved, from which the next start goes on. What `check` refuses does not run.
    """
    from cellarer.commands.check import sound
    from cellarer.config import load
    from cellarer.runtime.supervisor import run

    sound(load(site))
    sys.exit(run(site, speed=speed, state_dir=state, port=port))
