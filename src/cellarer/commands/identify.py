"""`cellarer identify`: recordings of one cell → a cell file."""

import re
from pathlib import Path

import click

from cellarer.commands import console
from cellarer.commands.console import FILE, Mistake

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-.]{0,79}")  # as the schema of cell files has it; told before hours of work


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILES...")
@click.option("--name", required=True, metavar="N", help="Name of the new cell.")
@click.option("--out", required=True, type=FILE, metavar="cell.toml", help="Cell file to write.")
@click.option(
    "--capacity-Ah", "capacity_Ah", type=float, metavar="Q", help="Capacity; without it from the slowest discharge."
)
@click.option(
    "--ocv", type=FILE, metavar="TABLE", help="Known curve: soc_pct, ocv_V, optionally temperature_degC, branch."
)
@click.option(
    "--temperature-degC", "temperature_degC", type=float, metavar="T", help="Where the recordings measure none."
)
@click.option("--report", type=FILE, metavar="OUT.html", help="Report to write, one HTML file with plots.")
@console.json_option
def command(
    files: tuple[Path, ...], name: str, out: Path, capacity_Ah: float | None, ocv: Path | None,
    temperature_degC: float | None, report: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Fit a cell file to recordings of one cell: slow curves, pulses, drive cycles, charges, in any mixture.

    Says what each file was used for and where the data does not carry a parameter.
    """
    if out.suffix.lower() != ".toml":
        raise Mistake(f"--out = {out}: the name must end in .toml")
    if capacity_Ah is not None and not 0.001 <= capacity_Ah <= 100000.0:
        raise Mistake(f"--capacity-Ah = {capacity_Ah:g}: allowed is 0.001 to 100000")
    if temperature_degC is not None and not -60.0 <= temperature_degC <= 120.0:
        raise Mistake(f"--temperature-degC = {temperature_degC:g}: allowed is -60 to 120")
    if not NAME.fullmatch(name):
        raise Mistake(
            f"--name = {name!r}: allowed are letters, digits, '_', '-' and '.', up to 80, a letter or digit first"
        )
    console.need("id", "scipy")
    console.can_write(out, report)
    from cellarer.lab.identify import identify
    from cellarer.runtime import identify_report
    from cellarer.runtime import report as reports

    found = identify(files, name, capacity_Ah, ocv, temperature_degC, console.say)
    out.write_text(found.text, encoding="utf-8")
    if report is not None:
        reports.write(report, identify_report.write_up(found))
    if as_json:
        console.emit(identify_report.figures(found))
        return
    for warning in found.warnings:
        console.say(f"warning: {warning}")
    for part in found.fitted:
        click.echo(
            f"{part.temp_degC:6.1f} degC: model misses by {part.rmse * 1e3:.1f} mV, from {', '.join(part.files)}"
        )
    click.echo(f"capacity {found.capacity_Ah:.4g} Ah: {found.capacity_source}")
    click.echo(f"written: {out}; use it with --cell {out}")
