"""`cellarer bench`: how fast this machine is."""

import click

from cellarer.commands import console


@click.command()
@console.json_option
def command(as_json: bool) -> None:
    """Measure how fast Cellarer is on this machine, on one core: filters, simulation, replay, cycle, start, memory.

    Takes about half a minute; the first time longer, because the compiled parts are made and kept.
    """
    from cellarer.runtime.bench import Effort, bench

    with console.progress("measuring") as progress:
        found = bench(Effort(), progress)
    if as_json:
        console.emit(found)
        return
    for name, value in found.items():
        if isinstance(value, dict):
            click.echo(name)
            console.pairs({f"  {key}": _shown(part) for key, part in value.items()})
        else:
            console.pairs({name: _shown(value)})


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(part)}" for key, part in value.items())
    if isinstance(value, float):
        return f"{value / 1e6:.1f} million" if value >= 1e5 else f"{value:.3g}"
    return str(value)
