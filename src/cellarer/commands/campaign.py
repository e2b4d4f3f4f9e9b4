"""`cellarer campaign`: inject every fault that a site can see, and measure how fast it is answered."""

import os
from pathlib import Path

import click

from cellarer.commands import console
from cellarer.commands.console import FILE, Mistake

MOST, MOST_JOBS = 4000, 256
HOURS = 250.0  # quiet ones for each run


@click.command()
@click.argument("sites", nargs=-1, metavar="[SITE]...")
@click.option("--seeds", type=int, default=4, show_default=True, metavar="N", help="Runs: covering arrays of faults.")
@click.option("--seed", type=int, default=1, show_default=True, metavar="S", help="Base seed.")
@click.option("--hours", type=float, metavar="N", help="Quiet pack-hours, all sites; default: 250 for each run.")
@click.option("--jobs", type=int, default=0, metavar="N", help="Processes; without it as many as there are processors.")
@click.option("--out", type=FILE, metavar="OUT.md", help="Table of reaction times to write, OUT.svg with it.")
@console.json_option
def command(
    sites: tuple[str, ...], seeds: int, seed: int, hours: float | None, jobs: int, out: Path | None, as_json: bool
) -> None:
    """Inject faults into SITE and measure the reaction.

    SITE: shipped names or paths; home:lto_23ah is a site with other cells, home+all one with every input. Without any:
    all shipped sites and some variants. What `check` refuses is refused. Single faults, random pairs and quiet hours,
    in virtual time. Same seed: same hash.
    """
    if not 1 <= seeds <= MOST:
        raise Mistake(f"--seeds = {seeds}: allowed is 1 to {MOST}")
    hours = HOURS * seeds if hours is None else hours
    if not 0.0 <= hours <= 1e6:
        raise Mistake(f"--hours = {hours:g}: allowed is 0 to 1000000")
    console.check_seed(seed)
    if not 0 <= jobs <= MOST_JOBS:
        raise Mistake(f"--jobs = {jobs}: allowed is 0 (all processors) to {MOST_JOBS}")
    if out is not None:
        if out.suffix == ".svg":
            raise Mistake(
                f"--out = {out}: allowed is a name for the table, as OUT.md; the picture beside it is OUT.svg"
            )
        console.can_write(out, None)
        console.can_write(out.with_suffix(".svg"), None)
    from cellarer.commands.check import sound
    from cellarer.runtime import campaign, campaign_plot, campaign_report
    from cellarer.runtime.campaign_world import subject

    for name in sites:
        sound(subject(name.removesuffix("+all")))  # +all: inputs that no device carries, for the campaign alone
    with console.progress("injecting faults") as progress:
        found = campaign.campaign(sites or campaign.SUBJECTS, seeds, seed, hours, progress, jobs=jobs or processors())
    if as_json:
        console.emit(campaign.figures(found))
    else:
        for title, lines in campaign_report.tables(found).items():
            click.echo(title)
            console.grid(campaign_report.HEADER, lines)
            click.echo("")
        console.pairs(campaign_report.summary(found))
    if out is None:
        return
    picture = out.with_suffix(".svg")
    try:  # last: a disk that is full by now takes nothing of hours of work
        out.write_text(campaign_report.page(found, picture.name), encoding="utf-8")
        picture.write_text(campaign_plot.svg(found), encoding="utf-8")
    except OSError as error:
        raise console.cannot_write(f"--out = {out}", error) from None


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))
