"""`cellarer replay`: a recording through the code that runs live."""

from pathlib import Path

import click

from cellarer.commands import console
from cellarer.commands.console import FILE, Mistake


@click.command()
@click.argument("recording", type=FILE, required=False)
@click.option(
    "--cell", metavar="CELL", help="Needed: a shipped cell (see `cellarer cells`) or the path of a cell file."
)
@click.option("--initial-soc", type=float, metavar="F", help="SOC at the first row, 0 to 1; without it it is unknown.")
@click.option(
    "--initial-sigma", type=float, default=0.1, show_default=True, metavar="S", help="How sure that is, 0 to 1."
)
@click.option("--series", type=int, metavar="N", help="Cells in series; needed when only the whole string is measured.")
@click.option(
    "--parallel", type=int, default=1, show_default=True, metavar="M", help="Cells in parallel in each group."
)
@click.option(
    "--capacity-Ah", "capacity_Ah", type=float, metavar="Q", help="Capacity of one series group, as measured."
)
@click.option(
    "--temperature-degC", "temperature_degC", type=float, metavar="T", help="Where the recording measures none."
)
@click.option("--learn-capacity", is_flag=True, help="Let the estimator change the capacity.")
@click.option(
    "--estimate-only", is_flag=True, help="Estimators only, without protection and limits: much faster, equal SOC."
)
@click.option("--run", type=int, metavar="K", help="Replay only this run of the file, counted from 1.")
@click.option("--incident", metavar="EVENT|FILE", help="Instead of RECORDING: the inputs around an event of a site.")
@click.option("--state", type=FILE, metavar="FOLDER", help="State folder of that site; default: the only one there is.")
@click.option("--limits", type=FILE, metavar="TOML", help="With --incident: what these limits would have done.")
@click.option("--out", type=FILE, metavar="OUT", help="Table to write, .parquet or .csv.")
@click.option("--report", type=FILE, metavar="OUT.html", help="Report to write, one HTML file with plots.")
@console.json_option
def command(
    recording: Path | None,
    incident: str | None,
    state: Path | None,
    limits: Path | None,
    run: int | None,
    out: Path | None,
    report: Path | None,
    as_json: bool,
    estimate_only: bool,
    **said: object,
) -> None:
    """Push RECORDING (Parquet or CSV) row by row through the cycle that runs live.

    Columns and units: docs/recording-format.md. OUT has one row per row of the recording. With --incident the input
    log of a site is run again, bit for bit, and with --limits once more under other limits.
    """
    if incident is not None:
        if recording is not None:
            raise Mistake(f"--incident = {incident}: leave out {recording}, or --incident")
        from cellarer.commands import replay_incident

        replay_incident.run(incident, state, limits, out, report, as_json)
        return
    if recording is None or said["cell"] is None or limits is not None:
        raise Mistake("name a RECORDING and --cell CELL, or --incident EVENT|FILE with or without --limits TOML")
    _check_range(said)
    if estimate_only and said["learn_capacity"]:
        raise Mistake("--learn-capacity needs the whole cycle: leave out --estimate-only")
    console.can_write_table(out, report)
    from cellarer.lab import tables
    from cellarer.runtime import recording as recordings
    from cellarer.runtime import replay, replay_report
    from cellarer.runtime import report as reports

    read = recordings.read(recording)
    if run is not None:
        read = recordings.pick(read, run)
    elif len(read.run_labels) > 1 and said["initial_soc"] is not None:
        raise Mistake(f"{recording} holds {len(read.run_labels)} runs: --initial-soc needs --run K to say of which")
    ready = replay.prepare(read, replay.Settings(**said))  # type: ignore[arg-type]
    for warning in ready.warnings:
        console.say(f"warning: {warning}")
    with console.progress(f"replaying {recording.name}") as progress:
        result = (replay.estimate_only if estimate_only else replay.replay)(ready, progress)
    if out is not None:
        tables.write(out, replay.table(result))
    if report is not None:
        reports.write(report, replay_report.write_up(result))
    figures = replay_report.figures(result)
    if as_json:
        console.emit(figures)
    else:
        _tell(figures, [path for path in (out, report) if path is not None])


RANGES = {
    "initial_soc": (0.0, 1.0), "initial_sigma": (1e-4, 1.0), "series": (1, 1000), "parallel": (1, 1000),
    "capacity_Ah": (0.001, 100000.0), "temperature_degC": (-60.0, 120.0),
}  # fmt: skip


def _check_range(said: dict[str, object]) -> None:
    for name, (low, high) in RANGES.items():
        value = said[name]
        if isinstance(value, int | float) and not low <= value <= high:
            hint = f"; {value:g} % is {value / 100:g}" if name.startswith("initial") and 1.0 < value <= 100.0 else ""
            raise Mistake(f"--{name.replace('_', '-')} = {value:g}: allowed is {low:g} to {high:g}{hint}")


def _tell(figures: dict[str, object], written: list[Path]) -> None:
    """Print what people want to know, and where the files are."""
    from cellarer.runtime import replay_report

    lines = {
        "rows": f"{figures['rows']}, of which {figures['bad_rows']} cannot be used; {figures['gaps']} gaps",
        "SOC at the end": " ".join(replay_report.end_of(figures)),
        "voltage model": f"{figures['voltage_rmse_mV']:.1f} mV root mean square per cell",
        "faults": ", ".join(figures["faults"]) or "none",  # type: ignore[arg-type]
    }
    if figures["voltage_rmse_mV"] != figures["voltage_rmse_mV"]:
        del lines["voltage model"]  # estimators alone tell none
    if figures["better_known_by"]:
        lines["better known by"] = figures["better_known_by"][0]  # type: ignore[index]
    if figures["soc_rmse_pct"] == figures["soc_rmse_pct"]:
        value, *against = replay_report.error_of(figures)
        lines["SOC error"] = f"{value} {'; '.join(against)}"
    console.pairs(lines | {"written": ", ".join(map(str, written)) or "nothing: give --out or --report"})
    for finding in figures["findings"]:  # type: ignore[attr-defined]
        console.say(f"counted: {finding}")
