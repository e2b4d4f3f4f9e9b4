"""`cellarer cells [NAME]`: what cells are known, and where each number comes from."""

import click

from cellarer.cells.text import COLUMNS, describe, table
from cellarer.commands import console


@click.command()
@click.argument("name", required=False)
@console.json_option
def command(name: str | None, as_json: bool) -> None:
    """List the shipped cells, or show NAME: a shipped cell or the path of a cell file."""
    if name is None:
        _list(as_json)
        return
    cell = describe(name)
    if as_json:
        console.emit({"name": cell.name, "title": cell.title, "values": dict(cell.rows), "sources": dict(cell.sources),
                      "estimated": list(cell.estimated), "notes": list(cell.notes)})  # fmt: skip
        return
    click.echo(f"{cell.title} ({cell.name})\n")
    console.pairs(dict(cell.rows))
    click.echo("\nWhere the numbers come from")
    console.pairs(dict(cell.sources))
    if cell.estimated:
        click.echo(f"\nEstimated, not measured: {', '.join(cell.estimated)}")
    for note in cell.notes:
        click.echo(f"\n{note}")


def _list(as_json: bool) -> None:
    cells = table()
    if as_json:
        console.emit({"cells": cells})
        return
    console.grid(COLUMNS, [[cell[column] for column in COLUMNS] for cell in cells])
