"""`cellarer simulate --years`: a life of representative days, ageing between them."""

from pathlib import Path

from cellarer.commands import console
from cellarer.commands.console import Mistake

MOST_YEARS = 100


def whole_years(years: float) -> int:
    """Return the years asked for. Raises Mistake for a part of a year, none, too many, or not a number."""
    if not 1.0 <= years <= MOST_YEARS or years != int(years):
        raise Mistake(f"--years = {years:g}: allowed are whole years from 1 to {MOST_YEARS}; parts of one: --days")
    return int(years)


def run(
    site: str, years: float, seed: int | None, out: Path | None, report: Path | None, as_json: bool, policies: bool
) -> None:
    """Run SITE over years and show what became of it."""
    console.can_write_table(out, report)
    from cellarer import config
    from cellarer.commands.check import sound
    from cellarer.lab import tables
    from cellarer.runtime import policies as charging
    from cellarer.runtime import report as reports
    from cellarer.runtime import years as lives
    from cellarer.runtime import years_apart, years_report

    count, loaded = whole_years(years), sound(config.load(site))
    simulation = loaded.file.simulation
    if simulation is None:
        raise Mistake(f"{site}: simulation is missing: a site is simulated as its section [simulation] says")
    chosen = charging.fitting(simulation) if policies else (charging.AS_IS,)
    with console.progress(f"{count} years of {loaded.file.name}") as progress:
        drawn = simulation.seed if seed is None else seed
        result = years_apart.compare(loaded, count, drawn, chosen, progress, days=lives.DAYS)
    if out is not None:
        tables.write(out, years_report.columns(result))
    if report is not None:
        reports.write(report, years_report.write_up(result))
    if as_json:
        console.emit(years_report.figures(result))
        return
    for text in result.beyond:
        console.say(f"beyond its tests: {text}")
    if policies:
        console.say(years_report.doubt(result))
        console.grid(years_report.HEADER, years_report.table(result))
    else:
        console.pairs(years_report.summary(result, result.lives[0]))
