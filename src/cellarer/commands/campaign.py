"""`cellarer campaign`: inject every fault that a site can see, and measure how fast it is answered."""

from pathlib import Path

import click

from cellarer.commands import console
from cellarer.commands.console import FILE, Mistake

MOST = 10_000


@click.command()
@click.argument("sites", nargs=-1, metavar="[SITE]...")
@click.option("--seeds", type=int, default=10, show_default=True, metavar="N", help="Number of runs.")
@click.option("--seed", type=int, default=1, show_default=True, metavar="S", help="Base seed.")
@click.option("--hours", type=float, default=64.0, show_default=True, metavar="N", help="Quiet pack-hours, all sites.")
@click.option("--out", type=FILE, metavar="OUT.md", help="Table of reaction times to write.")
@console.json_option
def command(sites: tuple[str, ...], seeds: int, seed: int, hours: float, out: Path | None, as_json: bool) -> None:
    """Inject faults into SITE (shipped names or paths; without any: home and ev) and measure the reaction.

    Single faults, random pairs and quiet hours, in virtual time. Same seed: same hash.
    """
    if not 1 <= seeds <= MOST:
        raise Mistake(f"--seeds = {seeds}: allowed is 1 to {MOST}")
    if not 0.0 <= hours <= 1e6:
        raise Mistake(f"--hours = {hours:g}: allowed is 0 to 1000000")
    if seed < 0:
        raise Mistake(f"--seed = {seed}: allowed is 0 or more")
    if out is not None and not out.parent.is_dir():
        raise Mistake(f"--out = {out}: the folder {out.parent} does not exist")
    from cellarer.runtime import campaign, campaign_report

    with console.progress("injecting faults") as progress:
        found = campaign.campaign(sites or campaign.SITES, seeds, seed, hours, progress)
    if out is not None:
        out.write_text(campaign_report.page(found), encoding="utf-8")
    if as_json:
        console.emit(campaign.figures(found))
        return
    console.grid(campaign_report.HEADER, campaign_report.rows(found))
    click.echo("")
    console.pairs(campaign_report.summary(found))
