"""The command line. Names and one line for each command stand here; its code is loaded when it is called.

`cellarer --version` and `--help` import click only. Mistakes of the user (files, keys, values) end with one message on
stderr and exit code 2; a traceback means an error of ours.
"""

import sys
from importlib import import_module

import click

from cellarer import __version__

# A row here and a file commands/<name>.py with a click command named `command` make a command.
COMMANDS = {
    "demo": "Run the built-in simulated home storage with its dashboard.",
    "run": "Run a site: measure, protect, record, serve.",
    "commission": "Check the wiring of a new battery, step by step.",
    "check": "Check a site file; say what it can and cannot protect.",
    "replay": "Push a recording through the same code that runs live.",
    "simulate": "Run a site in virtual time, much faster than real.",
    "campaign": "Inject faults in virtual time; measure the reaction.",
    "identify": "Fit a cell file to recordings of one cell.",
    "convert": "Convert cyclers' exports, Battery Data Format and BPX.",
    "cells": "List the known cells, or show one with its sources.",
    "bench": "Measure how fast Cellarer is on this machine.",
}

# Errors of these names are mistakes of the user; every other exception is an error of ours and shows its traceback.
MISTAKES = {"CellError", "ConfigError", "LabError", "LogError", "TableError", "Mistake"}
KILLED = "one of the processes at work was killed, perhaps for want of memory: no result was written, start it again"


class Commands(click.Group):
    """Loads a command's file when it is called, and lists all of them without loading any."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"cellarer.commands.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.version_option(__version__, message="cellarer %(version)s")
def cellarer() -> None:
    """Watches every cell of a battery, keeps it inside its limits and explains what it does."""


def main() -> None:
    """Start a command; turn a user's mistake into one message and exit code 2."""
    try:
        cellarer.main(prog_name="cellarer")
    except (ValueError, RuntimeError) as error:
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if "BrokenProcessPool" in kinds:
            click.echo(f"cellarer: error: {KILLED}", err=True)
            sys.exit(1)
        if not kinds & MISTAKES:
            raise
        click.echo(f"cellarer: error: {error}", err=True)
        sys.exit(2)
