"""What a replay has to say: figures for one line of JSON and for people, and the report with its plots.

Here, and only here, `ah_reference` is looked at: it judges the estimate, it never made it.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cellarer.model import events as sentences
from cellarer.runtime.plots import Bars, Line, Panel, draw
from cellarer.runtime.recording import gaps
from cellarer.runtime.replay import Replayed
from cellarer.runtime.report import Figure, Report, Section

Floats = NDArray[np.float64]

SETTLED_SHARE = 0.1  # of the rows: an estimate from an unknown start has found its way by then, or never
EVENTS_SHOWN = 300
TOLD, TOLD_OFF_PCT = "told start", 1.0
CALM_S = 60.0  # s of it before a row counts, or since the begin
CALM_C = 0.02  # C: less current leaves the voltage where a rest has it, and is the tail of a charge
ANCHOR_V = 0.01  # V: so near to an end of the curve a cell is full or empty: a per cent of SOC at 1 V for all of it
SOC_SPAN = (-5.0, 120.0)  # room for the legend


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """SOC by the reference counter, (row,), and what anchors it: a full or empty cell, or the start that was told."""

    soc: Floats
    anchor: str  # "full", "empty", "told start", "" = there is no reference
    row: int  # of the anchor; -1 = none


def reference(result: Replayed) -> Reference:
    """Return SOC by the reference counter with the capacity of the cell file or the user.

    A rest at which the cell is full or empty by its curve anchors it, whatever was told; only where the recording
    has none does the told start, and the reference is then as wrong as that.
    """
    ready = result.ready
    recording, settings = ready.recording, ready.settings
    counter = recording.ah_reference
    known = np.flatnonzero(np.isfinite(counter))
    row, anchor, soc = _anchor(result)
    if row < 0 and settings.initial_soc is not None and known.size:
        row, anchor, soc = int(known[0]), TOLD, settings.initial_soc
    if row < 0:
        return Reference(np.full(recording.rows, np.nan), "", -1)
    counted = np.where(recording.run == recording.run[row], counter - counter[row], np.nan)
    return Reference(soc + counted / float(ready.config.capacity_Ah[0]), anchor, row)


def reference_soc(result: Replayed) -> Floats:
    """Return SOC by the reference counter alone."""
    return reference(result).soc


def _anchor(result: Replayed) -> tuple[int, str, float]:
    """Return the first row at which every cell is full or empty by its curve: (row, what, SOC); (−1, "", NaN): none."""
    ready = result.ready
    recording, model = ready.recording, ready.cell.model
    volts = recording.cell_V if recording.cells else recording.voltage_V[:, None] / ready.series
    time_s = joined_time(result)
    busy = ~(np.abs(recording.current_A) < CALM_C * float(ready.config.capacity_Ah[0]))
    calm = time_s - np.fmax.accumulate(np.where(busy, time_s, -np.inf)) >= CALM_S
    full_V, empty_V = (float(np.interp(25.0, model.temp_degC, model.ocv[:, end])) for end in (-1, 0))
    usable = recording.good & np.isfinite(recording.ah_reference) & calm & np.isfinite(volts).all(axis=1)
    full = usable & (volts >= full_V - ANCHOR_V).all(axis=1)
    empty = usable & (volts <= empty_V + ANCHOR_V).all(axis=1)
    found = np.flatnonzero(full | empty)
    if not found.size:
        return -1, "", float("nan")
    row = int(found[0])
    return (row, "full", 1.0) if full[row] else (row, "empty", 0.0)


def figures(result: Replayed) -> dict[str, object]:
    """Return the numbers of a replay, units spelled: what `--json` prints."""
    recording, columns = result.ready.recording, result.columns
    gap, step_s, longest = gaps(recording)
    soc, error_V = columns["soc"], model_error(result)
    known = np.flatnonzero(np.isfinite(soc))
    last = int(known[-1]) if known.size else -1
    truth = reference(result)
    error = soc - truth.soc
    age_s = _age_s(result, last)
    lasts = known.size and age_s <= longest  # else it is the state before voltage was lost, not the one at the end
    return {
        "recording": recording.path.name,
        "cell": result.ready.cell.model.name,
        "series": result.ready.series,
        "parallel": result.ready.settings.parallel,
        "rows": recording.rows,
        "bad_rows": int((~recording.good).sum()),
        "findings": [str(finding) for finding in recording.findings],
        "runs": len(recording.run_labels),
        "gaps": int(gap.sum()),
        "gap_limit_s": longest,
        "longest_gap_s": float(step_s[gap].max()) if gap.any() else 0.0,
        "soc_end": float(soc[last]) if lasts else None,
        "soc_sigma_end": float(columns["soc_sigma"][last]) if lasts else None,
        "soc_last": float(soc[last]) if known.size else None,
        "soc_sigma_last": float(columns["soc_sigma"][last]) if known.size else None,
        "soc_age_s": age_s if known.size else None,
        "voltage_rmse_mV": rms(error_V) * 1e3,
        "soc_rmse_pct": rms(error) * 100.0,
        "soc_reference": truth.anchor or None,
        "soc_spread_pct": spread(error) * 100.0,
        "start_error_pct": _start_error(result, truth) * 100.0,
        "soc_max_error_pct": float(np.nanmax(np.abs(error), initial=np.nan)) * 100.0
        if np.isfinite(error).any()
        else None,
        "resistance_scale_end": float(columns["resistance_scale"][last]) if known.size else None,
        "capacity_Ah": float(columns["capacity_Ah"][last]) if known.size else None,
        "capacity_sigma_Ah": float(columns["capacity_sigma_Ah"][last]) if known.size else None,
        "better_known_by": list(result.advice),
        "faults": sorted({name for names in set(result.faults) for name in names.split(";") if name}),
        "warnings": list(result.ready.warnings),
    }


def _age_s(result: Replayed, last: int) -> float:
    """How long before the end of the recording the last row lies of which SOC is known; NaN: it never is."""
    time_s = joined_time(result)
    return float(np.nanmax(time_s) - time_s[last]) if last >= 0 else float("nan")


def _start_error(result: Replayed, truth: Reference) -> float:
    """The told start less the truth, where the recording itself anchors it; NaN elsewhere."""
    told = result.ready.settings.initial_soc
    if told is None or truth.anchor in ("", TOLD):
        return float("nan")
    first = truth.soc[np.isfinite(truth.soc)][0]
    return float(told - first)


def spread(error: Floats) -> float:
    """Root mean square of an error apart from its mean, settled rows only: what a wrong start does not explain."""
    late = error[int(SETTLED_SHARE * error.size) :]
    late = late[np.isfinite(late)]
    return float(np.std(late)) if late.size else float("nan")


def model_error(result: Replayed) -> Floats:
    """Return model minus measured voltage per cell, V, (row,), settled rows only; NaN elsewhere, mean over a pack."""
    recording = result.ready.recording
    total = recording.cell_V.sum(axis=1) if recording.cells else recording.voltage_V
    error = (result.columns["voltage_model_V"] - total) / result.ready.series
    error[: int(SETTLED_SHARE * recording.rows)] = np.nan
    return np.asarray(error)


def rms(x: Floats) -> float:
    """Return the root mean square of what is known; NaN if nothing is."""
    known = x[np.isfinite(x)]
    return float(np.sqrt(np.mean(known * known))) if known.size else float("nan")


def write_up(result: Replayed) -> Report:
    """Return the report of a replay."""
    recording, settings, f = result.ready.recording, result.ready.settings, figures(result)
    name = recording.path.name
    if len(recording.run_labels) == 1 and recording.run_labels[0] != "1":
        name += f", {recording.run_labels[0]}"
    hours = _duration_h(result)
    shape = f"{result.ready.series} in series, {settings.parallel} parallel"
    sections = [_plot_section(result), _data_section(result, f), _event_section(result), _settings_section(result)]
    return Report(
        title=f"Replay of {name}",
        subtitle=f"{result.ready.cell.model.title}, {shape}; {recording.rows} rows over {hours:.3g} h",
        figures=[
            Figure(
                "SOC at the end",
                end_of(f)[0],
                "; ".join([*end_of(f)[1:], *result.advice[:1]]),
            ),
            Figure("SOC against reference", error_of(f)[0], "; ".join(error_of(f)[1:])),
            Figure("Voltage model", _shown(f["voltage_rmse_mV"], 1.0, "mV"), "root mean square per cell"),
            Figure("Resistance", _shown(f["resistance_scale_end"], 1.0, "×"), "of the cell file's"),
            Figure("Bad rows", str(f["bad_rows"]), f"of {recording.rows}"),
            Figure("Gaps", str(f["gaps"]), f"steps over {f['gap_limit_s']:g} s"),
            Figure("Fault rows active", str(len(f["faults"])), "at any time"),  # type: ignore[arg-type]
        ],
        warnings=result.ready.warnings,
        sections=[s for s in sections if s is not None],
    )


def end_of(figures: dict[str, object]) -> tuple[str, str]:
    """SOC at the end in words: the value, and how sure it is, or what was known last."""
    soc, two_sigma = (f"{scale * _number(figures[name]):.1f} %" for name, scale in (
        ("soc_last", 100.0), ("soc_sigma_last", 200.0)))  # fmt: skip
    if figures["soc_last"] is None:
        return "unknown", "at every row"
    if figures["soc_end"] is None:
        minutes = _number(figures["soc_age_s"]) / 60.0
        return "unknown", f"(no voltage for the last {minutes:.0f} min; before {soc} ± {two_sigma}, 2 sigma)"
    return soc, f"± {two_sigma} (2 sigma)"


def error_of(figures: dict[str, object]) -> tuple[str, ...]:
    """Error of SOC in words: the value, then against what, and what of it the told start makes."""
    value, anchor = f"{_number(figures['soc_rmse_pct']):.2f} %", figures["soc_reference"]
    if anchor is None:
        return ("–",)
    if anchor == TOLD:
        moved = f"apart from a constant {_number(figures['soc_spread_pct']):.2f} %"
        return value, "root mean square, by ah_reference from the start as told, and wrong where that is", moved
    told = _number(figures["start_error_pct"])
    off = [f"the start was told {told:+.1f} points off"] if abs(told) >= TOLD_OFF_PCT else []
    return value, f"root mean square, by ah_reference from a cell that is {anchor}", *off


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _duration_h(result: Replayed) -> float:
    step_s = gaps(result.ready.recording)[1]
    return float(np.nansum(step_s)) / 3600.0


def _shown(value: object, scale: float, unit: str) -> str:
    if not isinstance(value, float) or value != value:
        return "–"
    return f"{value * scale:.3g} {unit}"


def joined_time(result: Replayed) -> Floats:
    """Return a time in s that runs on over several runs, so that they stand beside each other in a plot."""
    recording = result.ready.recording
    time_s = recording.time_s.copy()
    shift, end = 0.0, 0.0
    for run in range(len(recording.run_labels)):
        rows = (recording.run == run) & recording.usable
        if rows.any():
            shift = end - float(time_s[rows][0])
            end = end + float(time_s[rows][-1] - time_s[rows][0])
            time_s[recording.run == run] += shift
    time_s[~recording.usable] = np.nan
    return time_s


def _plot_section(result: Replayed) -> Section:
    recording, columns, scale = result.ready.recording, result.columns, 1.0 / result.ready.series
    time_s = joined_time(result)
    volts: list[Line] = []
    if recording.cells > 1:
        volts += [
            Line("highest cell", "high", recording.cell_V.max(axis=1)),
            Line("lowest cell", "low", recording.cell_V.min(axis=1)),
        ]
        volts += [Line("model, mean", "model", columns["voltage_model_V"] * scale)]
    else:
        single = recording.cell_V[:, 0] if recording.cells else recording.voltage_V * scale
        volts += [Line("measured", "measured", single), Line("model", "model", columns["voltage_model_V"] * scale)]
    soc = [Line("estimated, ± 2 sigma", "measured", columns["soc"] * 100.0, band=columns["soc_sigma"] * 200.0)]
    reference = reference_soc(result)
    if np.isfinite(reference).any():
        soc.append(Line("by ah_reference", "truth", reference * 100.0, dashed=True))
    panels = [
        Panel("Cell voltage, V", tuple(volts)),
        Panel("Model minus measured voltage per cell, mV", (Line("model", "model", model_error(result) * 1e3),)),
        Panel("State of charge, %", tuple(soc), SOC_SPAN),
        Panel("Current and its limits, A", (
            Line("current", "measured", recording.current_A),
            Line("charge limit", "truth", result.charge_A),
            Line("discharge limit", "high", -result.discharge_A),
        )),
    ]  # fmt: skip
    if recording.temp_degC.shape[1]:
        lines = (
            Line("highest", "high", recording.temp_degC.max(axis=1)),
            Line("lowest", "low", recording.temp_degC.min(axis=1)),
        )
        panels.append(
            Panel(
                "Temperature, °C",
                lines if recording.temp_degC.shape[1] > 1 else (Line("measured", "high", recording.temp_degC[:, 0]),),
            )
        )
    spans = spans_of(time_s, result.faults)
    if spans:
        panels.append(Panel("Faults", Bars(spans)))
    return Section("Over time", svg=draw(time_s, panels))


def spans_of(time_s: Floats, faults: list[str]) -> dict[str, list[tuple[float, float]]]:
    """Return when each fault row was active: name → (begin, end) in s. faults (row,) names joined by ;"""
    rows = np.flatnonzero(np.isfinite(time_s)).tolist()
    edges = [rows[0], *(b for a, b in pairwise(rows) if faults[a] != faults[b]), rows[-1]] if rows else []
    spans: dict[str, list[tuple[float, float]]] = {}
    for a, b in pairwise(edges):
        for name in filter(None, faults[a].split(";")):
            known = spans.setdefault(name, [])
            begin, end = float(time_s[a]), float(time_s[b])
            if known and known[-1][1] == begin:
                begin = known.pop()[0]
            known.append((begin, end))
    return spans


def _data_section(result: Replayed, f: dict[str, object]) -> Section:
    rows = [(finding.what, str(finding.rows), str(finding.first_row)) for finding in result.ready.recording.findings]
    rows.append((f"gap: step over {f['gap_limit_s']:g} s", str(f["gaps"]), f"longest {f['longest_gap_s']:.4g} s"))
    return Section(
        "What the data lacks",
        "Rows that cannot be used have no estimate; over a gap nothing is counted and the uncertainty grows.",
        header=("what", "rows", "first row"),
        rows=rows,
    )


def _event_section(result: Replayed) -> Section | None:
    if not result.events:
        return None
    shown = [
        (f"{time_s:.6g}", event.kind, event.name, sentences.text(result.ready.config, event))
        for time_s, event in result.events[:EVENTS_SHOWN]
    ]
    more = len(result.events) - len(shown)
    text = f"The first {EVENTS_SHOWN}; {more} more are not shown." if more else ""
    return Section("Events", text, header=("time_s", "kind", "name", "what happened"), rows=shown)


def _settings_section(result: Replayed) -> Section:
    settings, site = result.ready.settings, result.ready.config
    rows = [
        ("cell", settings.cell),
        ("capacity_Ah", f"{site.capacity_Ah[0]:g}" + ("" if settings.capacity_Ah else " (cell file)")),
        ("initial_soc", "unknown" if settings.initial_soc is None else f"{settings.initial_soc:g}"),
        ("initial_sigma", f"{settings.initial_sigma:g}"),
        (
            "temperature_degC",
            "measured" if settings.temperature_degC is None else f"{settings.temperature_degC:g} where not measured",
        ),
        ("learn_capacity", "yes" if settings.learn_capacity else "no"),
        ("configuration", site.hash[:16]),
    ]
    return Section("Settings", header=("what", "value"), rows=rows)
