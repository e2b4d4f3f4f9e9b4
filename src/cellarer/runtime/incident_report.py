"""What a repeated incident has to say: figures for JSON and people, and the report with its plots."""

import time

import numpy as np
from numpy.typing import NDArray

from cellarer.model import events as sentences
from cellarer.model.config import Config
from cellarer.model.values import Event
from cellarer.runtime.incident import Course, Incident
from cellarer.runtime.plots import Bars, Line, Panel, draw
from cellarer.runtime.report import Figure, Report, Section

Floats = NDArray[np.float64]

KINDS = ("fault", "clear", "switch")  # what a change of limits may change
EVENTS_SHOWN = 300
WAYS = ("charge", "discharge")


def figures(incident: Incident) -> dict[str, object]:
    """Return the numbers of an incident, units spelled: what `--json` prints. Times count from the first cycle."""
    log, times = incident.log, incident.happened.now_ns
    begin_unix_s = float(str(log.header["origin_unix_s"])) + (times[0] - int(str(log.header["origin_ns"]))) * 1e-9
    found: dict[str, object] = {
        "site": incident.config.site,
        "program": log.header["program"],
        "config_hash": incident.config.hash,
        "config_sha256": log.header["config_sha256"],
        "begin_unix_s": round(begin_unix_s, 3),
        "cycles": int(times.size),
        "seconds": float(times[-1] - times[0]) * 1e-9,
        "kept_states": incident.compared,
        "kept_states_met": incident.exact,
        "torn_bytes": {str(path): left for path, left in log.torn().items()},
        "asked_about": asked_about(incident),
        "events": _events(incident.config, incident.happened, times),
        "opened_s": _opened_s(incident.happened),
        "limits": None,
    }
    if incident.other is not None:
        path, config, other = incident.other
        found["limits"] = {
            "file": path,
            "events": _events(config, other, times),
            "opened_s": _opened_s(other),
            "changed": changes(incident),
        }
    return found


def torn(path: object, left: int) -> str:
    """Say that a file does not end with a whole block."""
    return f"{path}: its last {left} bytes are no whole block and were left out"


def asked_about(incident: Incident) -> list[str]:
    """Return the events for which the log was kept."""
    return [str(one["text"]) for one in incident.log.header.get("events", [])]  # type: ignore[attr-defined]


def _events(config: Config, course: Course, times: NDArray[np.int64]) -> list[dict[str, object]]:
    return [
        {
            "time_s": round((e.time_ns - int(times[0])) * 1e-9, 3), "kind": e.kind, "name": e.name,
            "string": e.string + 1 if e.string >= 0 else None, "text": sentences.text(config, e), "cause": e.cause,
        }
        for e in course.events
    ]  # fmt: skip


def _opened_s(course: Course) -> list[float | None]:
    """Return per string when outputs that carry current were first ordered open after having been closed, s."""
    falls = course.closed[:-1] & ~course.closed[1:]
    first = [np.flatnonzero(column) for column in falls.T]
    times = course.now_ns
    return [round(float(times[f[0] + 1] - times[0]) * 1e-9, 3) if f.size else None for f in first]


def changes(incident: Incident) -> list[dict[str, object]]:
    """Return what comes at another time, or only in one of both courses: the n-th event of a name and string each."""
    assert incident.other is not None
    start_ns = int(incident.happened.now_ns[0])
    then, now = _table(incident.happened), _table(incident.other[2])
    found = []
    for key in sorted(
        then.keys() | now.keys(), key=lambda k: min(x for x in (then.get(k), now.get(k)) if x is not None)
    ):
        both = [None if t is None else round((t - start_ns) * 1e-9, 3) for t in (then.get(key), now.get(key))]
        if both[0] != both[1]:
            kind, name, string, _ = key
            found.append({"kind": kind, "name": name, "string": string + 1, "happened_s": both[0], "would_s": both[1]})
    return found


def _table(course: Course) -> dict[tuple[str, str, int, int], int]:
    """Return when the n-th event of each kind, name and string was."""
    found: dict[tuple[str, str, int, int], int] = {}
    for event in course.events:
        if event.kind in KINDS:
            n = sum(1 for k in found if k[:3] == (event.kind, event.name, event.string))
            found[event.kind, event.name, event.string, n] = event.time_ns
    return found


def moment(unix_s: float) -> str:
    """Return a time as people read it."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(unix_s))


def write_up(incident: Incident) -> Report:
    """Return the report of an incident."""
    f, times = figures(incident), incident.happened.now_ns
    numbers = [
        Figure("Cycles", str(times.size), f"over {f['seconds']:.1f} s"),
        Figure("Kept states met", f"{incident.exact} of {incident.compared}", "to the last bit"),
        Figure("Opened", _said(_opened_s(incident.happened)), "s from the beginning"),
    ]
    sections = [_plots(incident)]
    if incident.other is not None:
        numbers.append(Figure("Would have opened", _said(_opened_s(incident.other[2])), "with the other limits"))
        rows = [
            (str(c["name"]).replace("_", " "), str(c["kind"]), str(c["string"]), _s(c["happened_s"]), _s(c["would_s"]))
            for c in changes(incident)
        ]
        sections.append(
            Section(
                "What the other limits change",
                f"Limits of {incident.other[0]}. The inputs stay as they were measured: what the battery would have"
                " done after a different command is not known.",
                header=("what", "kind", "string", "happened, s", "would have, s"), rows=rows,
            )
        )  # fmt: skip
    told = [
        (_s((e.time_ns - int(times[0])) * 1e-9), e.kind, *_in_words(sentences.text(incident.config, e), e.cause))
        for e in incident.happened.events[:EVENTS_SHOWN]
    ]
    sections.append(Section("What happened", header=("s", "kind", "event", "cause"), rows=told))
    rest = incident.compared - incident.exact
    return Report(
        title=f"Incident at {incident.config.site}",
        subtitle="; ".join(
            [f"from {moment(float(str(f['begin_unix_s'])))}", f"Cellarer {f['program']}", *asked_about(incident)[:3]]
        ),
        figures=numbers,
        warnings=[
            *([f"{rest} kept states differ: another machine, another version or other libraries?"] if rest else []),
            *[torn(path, left) for path, left in incident.log.torn().items()],
        ],
        sections=sections,
    )


def _in_words(text: str, cause: str) -> tuple[str, str]:
    """Return what happened, and the cause where it is not said already."""
    cause = cause.replace("_", " ")
    return text, "" if cause in text else cause


def _said(values: list[float | None]) -> str:
    return ", ".join(_s(v) for v in values)


def _s(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else "–"


def _plots(incident: Incident) -> Section:
    """Return the worst of all strings over time, and when outputs were closed and rows active."""
    happened, measured = incident.happened, incident.measured
    time_s = (happened.now_ns - happened.now_ns[0]) * 1e-9
    worst = {name: np.abs(x).argmax(axis=1) if name == "current_A" else None for name, x in measured.items()}
    rows = np.arange(time_s.size)
    current = measured["current_A"][rows, worst["current_A"]]
    lines = [
        Line("current", "measured", current),
        Line("charge limit", "truth", happened.limit_A[0].min(axis=1)),
        Line("discharge limit", "high", -happened.limit_A[1].min(axis=1)),
    ]
    if incident.other is not None:
        limit = incident.other[2].limit_A
        lines.append(Line("charge limit, other", "truth", limit[0].min(axis=1), dashed=True))
        lines.append(Line("discharge limit, other", "high", -limit[1].min(axis=1), dashed=True))
    volts = (
        Line("highest cell", "high", measured["highest_V"].max(axis=1)),
        Line("lowest cell", "low", measured["lowest_V"].min(axis=1)),
    )
    panels = [
        Panel("Cell voltage, V", volts),
        Panel("Current and its limits, A", tuple(lines)),
        Panel("Hottest sensor, °C", (Line("measured", "high", measured["hottest_degC"].max(axis=1)),)),
    ]
    spans = {"closed": _spans(time_s, happened.closed)} | _active(incident.config, happened, time_s)
    if incident.other is not None:
        _, config, other = incident.other
        spans["closed, other limits"] = _spans(time_s, other.closed)
        spans |= {f"{name}, other limits": x for name, x in _active(config, other, time_s).items()}
    spans = {name: x for name, x in spans.items() if x}
    if spans:
        panels.append(Panel("Closed, and faults", Bars(spans, frozenset(("closed", "closed, other limits")))))
    return Section("Over time", svg=draw(time_s, panels))


def _spans(time_s: Floats, closed: NDArray[np.bool_]) -> list[tuple[float, float]]:
    on = np.concatenate(([False], closed.any(axis=1), [False]))
    edges = np.flatnonzero(np.diff(on.astype(np.int8)))
    last = time_s.size - 1
    return [(float(time_s[a]), float(time_s[min(b, last)])) for a, b in edges.reshape(-1, 2)]


def _active(config: Config, course: Course, time_s: Floats) -> dict[str, list[tuple[float, float]]]:
    """Return when fault rows were active, from their events; what never cleared lasts to the end."""
    since: dict[tuple[str, int], float] = {}
    spans: dict[str, list[tuple[float, float]]] = {}

    def close(event: Event, end_s: float) -> None:
        begin_s = since.pop((event.name, event.string), None)
        if begin_s is not None:
            spans.setdefault(event.name.replace("_", " "), []).append((begin_s, end_s))

    faults = [e for e in course.events if e.kind in ("fault", "clear")]
    for event in faults:
        at_s = (event.time_ns - int(course.now_ns[0])) * 1e-9
        if event.kind == "fault":
            since.setdefault((event.name, event.string), at_s)
        else:
            close(event, at_s)
    for event in faults:
        close(event, float(time_s[-1]))
    return spans
