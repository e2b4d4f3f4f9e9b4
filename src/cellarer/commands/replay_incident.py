"""The incident half of `cellarer replay`: an input log through the code that ran live, and "what if"."""

from pathlib import Path

import click

from cellarer.commands import console


def run(
    what: str, state: Path | None, limits: Path | None, out: Path | None, report: Path | None, as_json: bool
) -> None:
    """Repeat an incident and tell what happened, and what other limits would have done."""
    from cellarer.history.recording import write_csv
    from cellarer.runtime import incident as incidents
    from cellarer.runtime import incident_report
    from cellarer.runtime import report as reports

    console.can_write(None, report)
    if out is not None and out.suffix.lower() != ".csv":
        raise console.Mistake(f"--out = {out}: the inputs of an incident are written as .csv")
    log = incidents.find(what, state or (_state_dir() if what.isdigit() else Path()))
    console.say(f"repeating {', '.join(p.name for p in log.paths)}")
    found = incidents.run(log, limits)
    if out is not None:
        with out.open("w", encoding="utf-8") as file:
            write_csv(log, incidents.config_of(log).layout, file, string=0)
    if report is not None:
        reports.write(report, incident_report.write_up(found))
    figures = incident_report.figures(found)
    if as_json:
        console.emit(figures)
    else:
        _tell(figures, [path for path in (out, report) if path is not None])


def _state_dir() -> Path:
    """Return the one state folder there is; raises Mistake where that is not clear."""
    from cellarer.runtime.process import state_home

    found = [path.parent for path in sorted(state_home().glob("*/history.db"))]
    if len(found) != 1:
        raise console.Mistake(f"--state is missing: name the state folder of the site; there are {len(found)} of them")
    return found[0]


def _tell(figures: dict[str, object], written: list[Path]) -> None:
    from cellarer.runtime.incident_report import moment, torn

    limits = figures["limits"]
    lines = {
        "site": f"{figures['site']}, Cellarer {figures['program']}, configuration {str(figures['config_hash'])[:12]}",
        "from": moment(float(str(figures["begin_unix_s"]))),
        "length": f"{figures['cycles']} cycles, {figures['seconds']:.1f} s",
        "repeated": f"{figures['kept_states_met']} of {figures['kept_states']} kept states met to the last bit"
        if figures["kept_states"]
        else "nothing to compare with: no state was kept in this time",
        "asked about": "; ".join(figures["asked_about"]) or "everything",  # type: ignore[arg-type]
    }
    for path, left in figures["torn_bytes"].items():  # type: ignore[attr-defined]
        lines["left out"] = torn(path, left)
    console.pairs(lines)
    click.echo("")
    header = ("s", "kind", "event", "cause")
    console.grid(header, [_line(e) for e in figures["events"]])  # type: ignore[attr-defined]
    if isinstance(limits, dict):
        click.echo(f"\nwith the limits of {limits['file']}, from the same inputs:\n")
        header = ("what", "string", "happened s", "would have s")
        rows = [(c["name"], str(c["string"]), _s(c["happened_s"]), _s(c["would_s"])) for c in limits["changed"]]
        if rows:
            console.grid(header, rows)
        else:
            click.echo("nothing would have been different")
    if written:
        click.echo(f"\nwritten: {', '.join(map(str, written))}")


def _line(event: dict[str, object]) -> tuple[str, str, str, str]:
    return f"{event['time_s']:.3f}", str(event["kind"]), str(event["text"]), str(event["cause"])


def _s(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "never"
