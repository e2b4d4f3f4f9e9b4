"""`cellarer convert`: files of others ↔ ours."""

from pathlib import Path

import click

from cellarer.commands import console
from cellarer.commands.console import FILE


@click.command()
@click.argument("source", type=FILE, metavar="IN")
@click.argument("target", type=FILE, metavar="OUT")
@click.option("--temperature-degC", "temperature_degC", type=float, metavar="T", help="Where the file measures none.")
@console.json_option
def command(source: Path, target: Path, temperature_degC: float | None, as_json: bool) -> None:
    """Convert IN to OUT; the name of OUT decides what it becomes.

    \b
    OUT.csv, OUT.parquet          a recording, from a cycler's export, Battery Data Format or BPX (Validation)
    OUT.bdf.csv, OUT.bdf.parquet  Battery Data Format, from the same
    OUT.json                      BPX, from a cell file or a shipped cell
    """
    console.can_write(target, None)
    from cellarer.lab.convert import convert

    what, notes = convert(source, target, temperature_degC)
    if as_json:
        console.emit({"out": str(target), "what": what, "notes": list(notes)})
        return
    for note in notes:
        console.say(f"warning: {note}")
    click.echo(f"written: {target}: {what}")
