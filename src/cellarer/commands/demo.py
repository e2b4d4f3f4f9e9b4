"""`cellarer demo`: the built-in simulated site."""

import sys
from pathlib import Path

import click

from cellarer.commands.run import port_option, speed_option, state_option

SITE = "home"


@click.command()
@speed_option
@state_option
@port_option
def command(speed: float, state: Path | None, port: int | None) -> None:
    """Run the built-in home storage: 16 simulated LFP cells with solar, reached through real protocols.

    Prints the dashboard's address. Its contactors close by themselves; stop with Ctrl-C.
    """
    from cellarer.runtime.supervisor import run

    sys.exit(run(SITE, speed=speed, state_dir=state, port=port, close_at_start=True))
