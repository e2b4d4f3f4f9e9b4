"""`cellarer simulate SITE --balance …`: balancing strategies compared on the same pack."""

from pathlib import Path

from cellarer.commands import console
from cellarer.commands.console import Mistake
from cellarer.config import Site


def strategies(text: str, site: Site) -> tuple[str, ...]:
    """Return the strategies that were asked for."""
    from cellarer.model.config import Topology
    from cellarer.runtime.balancing import STRATEGIES
    from cellarer.runtime.balancing_report import SHADES

    names = tuple(name.strip() for name in text.split(","))
    if not set(names) <= set(STRATEGIES) or len(set(names)) < len(names) or len(names) > len(SHADES):
        raise Mistake(
            f"--balance = {text}: allowed are 1 to {len(SHADES)} of {', '.join(STRATEGIES)}, each once, with commas"
        )
    table = site.config.balance
    if "active" in names and (table.topology == Topology.NONE).all():
        raise Mistake(
            f"--balance = active: {site.file.name} has no converters; set pack.balancing.topology or name one"
        )
    if {"voltage", "dose"} & set(names) and not (table.bleed_A > 0.0).any():
        raise Mistake(f"--balance = {text}: {site.file.name} has no bleeders; set pack.balancing.bleed_mA")
    return names


def run(
    site: Site, text: str, seconds: float, seed: int, spread_pct: float | None, report: Path | None, as_json: bool
) -> None:
    """Compare and say what came out."""
    from cellarer.runtime import balancing, balancing_report
    from cellarer.runtime import report as reports

    names = strategies(text, site)
    assert site.file.simulation is not None
    spread = (2.0 * site.file.simulation.soc_spread_pct if spread_pct is None else spread_pct) / 100.0
    with console.progress(f"balancing {site.file.name}") as progress:
        outcomes = balancing.compare(site, names, seconds / 3600.0, seed, spread, balancing.KNOWN, progress)
    if report is not None:
        reports.write(report, balancing_report.write_up(site, outcomes, seed))
    if as_json:
        found = [balancing_report.figures(outcome) for outcome in outcomes]
        console.emit({"site": site.file.name, "seed": seed, "hours": seconds / 3600.0, "strategies": found})
        return
    console.grid(balancing_report.HEADER, [balancing_report.row(o) for o in outcomes])
