"""`cellarer simulate`: a site in virtual time."""

from pathlib import Path

import click

from cellarer.commands import balance as balances
from cellarer.commands import console, simulate_years
from cellarer.commands.console import FILE, Mistake

MOST_DAYS = 36_525.0
SPREAD_pct = 0.1, 50.0  # of SOC


@click.command()
@click.argument("site")
@click.option("--hours", type=float, metavar="N", help="Virtual time to run.")
@click.option("--days", type=float, metavar="N", help="Virtual time to run; without any: one day.")
@click.option("--years", type=float, metavar="N", help="Whole years: representative days, cells that age.")
@click.option("--policies", is_flag=True, help="With --years: compare ways to charge the same pack.")
@click.option("--seed", type=int, help="Seed of the simulated world; without it the site file's.")
@click.option("--out", type=FILE, metavar="OUT", help="Table to write, .parquet or .csv.")
@click.option("--report", type=FILE, metavar="OUT.html", help="Report to write, one HTML file with plots.")
@click.option(
    "--balance",
    metavar="LIST",
    help="Compare balancing strategies on the same pack: none, voltage, dose, active or kinds of converters.",
)
@click.option(
    "--soc-spread-pct", type=float, metavar="S", help="With --balance: spread of SOC at the start, 0.1 to 50."
)
@console.json_option
def command(
    site: str, seed: int | None, out: Path | None, report: Path | None, as_json: bool, policies: bool,
    balance: str | None, soc_spread_pct: float | None, **times: float | None,
) -> None:  # fmt: skip
    """Run SITE (a shipped name or a path) in virtual time, in one process, much faster than real time.

    Same site, same seed: same bytes. The hash is printed. What `check` refuses is not simulated.
    """
    seconds, years = _seconds(times), times["years"] or 0.0
    if policies and not years:
        raise Mistake("--policies: give --years N too; policies are compared over a life")
    console.check_seed(seed)
    if balance is not None and years:
        raise Mistake(f"--balance = {balance}: not with --years; strategies are compared over --hours or --days")
    if soc_spread_pct is not None:
        if balance is None:
            raise Mistake(f"--soc-spread-pct = {soc_spread_pct:g}: give --balance too")
        if not SPREAD_pct[0] <= soc_spread_pct <= SPREAD_pct[1]:  # not a number is outside too
            raise Mistake(f"--soc-spread-pct = {soc_spread_pct:g}: allowed is {SPREAD_pct[0]:g} to {SPREAD_pct[1]:g}")
    if years:
        simulate_years.run(site, years, seed, out, report, as_json, policies)
        return
    console.can_write_table(out, report)
    from cellarer import config
    from cellarer.commands.check import sound
    from cellarer.lab import tables
    from cellarer.runtime import report as reports
    from cellarer.runtime import simulate, simulate_report

    loaded = sound(config.load(site))
    if loaded.file.simulation is None:
        raise Mistake(f"{site}: simulation is missing: a site is simulated as its section [simulation] says")
    seed = loaded.file.simulation.seed if seed is None else seed
    if balance is not None:
        if out is not None:
            raise Mistake(f"--out = {out}: a comparison of strategies has no table; use --json or --report")
        balances.run(loaded, balance, seconds, seed, soc_spread_pct, report, as_json)
        return
    with console.progress(f"simulating {loaded.file.name}") as progress:
        result = simulate.simulate(loaded, seconds, seed, progress)
    if out is not None:
        tables.write(out, simulate.table(result))
    if report is not None:
        reports.write(report, simulate_report.write_up(result))
    figures = simulate_report.figures(result)
    if as_json:
        console.emit(figures)
        return
    console.pairs({name: _shown(value) for name, value in figures.items()})


def _seconds(times: dict[str, float | None]) -> float:
    """Return the virtual time that was asked for."""
    given = {name: value for name, value in times.items() if value is not None}
    if len(given) > 1:
        raise Mistake(f"--{' and --'.join(sorted(given))}: give one of them")
    name, value = next(iter(given.items()), ("days", 1.0))
    if name == "years":
        simulate_years.whole_years(value)
    days = value * {"hours": 1.0 / 24.0, "days": 1.0, "years": 365.25}[name]
    if not 0.0 < days <= MOST_DAYS:
        raise Mistake(f"--{name} = {value:g}: allowed is more than 0 and at most {MOST_DAYS:g} days")
    return days * 86400.0


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {number}" for key, number in value.items()) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
