"""What a simulation has to say: figures for JSON and people, and the report with its plots."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from cellarer.model import events as sentences
from cellarer.runtime.plots import Bars, Line, Panel, draw
from cellarer.runtime.replay_report import SOC_SPAN, rms, spans_of
from cellarer.runtime.report import Figure, Report, Section
from cellarer.runtime.simulate import Simulated

Floats = NDArray[np.float64]

EVENTS_SHOWN = 300


def figures(result: Simulated) -> dict[str, object]:
    """Return the numbers of a simulation, units spelled: what `--json` prints."""
    s, wh = result.series, result.throughput_Wh
    error = s["soc"] - s["soc_true"]
    kinds = Counter(event.kind for event in result.events)
    return {
        "site": result.site.file.name,
        "seed": result.seed,
        "hours": result.seconds / 3600.0,
        "steps": result.steps,
        "charged_kWh": float(wh[0].sum()) / 1e3,
        "discharged_kWh": float(wh[1].sum()) / 1e3,
        "cell_high_V": _most(s["cell_high_V"], np.maximum),
        "cell_low_V": _most(s["cell_low_V"], np.minimum),
        "temp_high_degC": _most(s["temp_high_degC"], np.maximum),
        "temp_low_degC": _most(s["temp_low_degC"], np.minimum),
        "soc_true_end": float(s["soc_true"][-1].mean()),
        "soc_end": float(s["soc"][-1].mean()),
        "soc_sigma_end": float(s["soc_sigma"][-1].mean()),
        "soc_rmse_pct": rms(error) * 100.0,
        "closings": int(result.state.switches.closings.sum()),
        "openings_under_load": int(result.state.switches.openings_under_load.sum()),
        "faults": dict(sorted(Counter(e.name for e in result.events if e.kind == "fault").items())),
        "events": dict(sorted(kinds.items())),
        "hash": result.hash,
    }


def _most(x: Floats, ufunc: np.ufunc) -> float:
    known = x[np.isfinite(x)]
    return float(ufunc.reduce(known)) if known.size else float("nan")


def write_up(result: Simulated) -> Report:
    """Return the report of a simulation."""
    f, config = figures(result), result.site.config
    size = config.layout.size
    shape = f"{size['pack']} pack(s), {size['string']} string(s), {size['cell']} cells"
    events = [
        (f"{event.time_ns * 1e-9:.6g}", event.kind, str(event.string + 1), sentences.text(config, event))
        for event in result.events[:EVENTS_SHOWN]
    ]
    more = len(result.events) - len(events)
    settings = [
        ("seed", str(result.seed)),
        ("steps", str(result.steps)),
        ("configuration", config.hash[:16]),
        ("result", result.hash),
    ]
    return Report(
        title=f"Simulation of {result.site.file.name}",
        subtitle=f"{result.site.file.note or 'a site file'}; {shape}; {result.seconds / 3600.0:.4g} h",
        figures=[
            Figure("Charged", f"{f['charged_kWh']:.3g} kWh", "into the pack"),
            Figure("Discharged", f"{f['discharged_kWh']:.3g} kWh", "out of the pack"),
            Figure("Cells", f"{f['cell_low_V']:.3f}–{f['cell_high_V']:.3f} V", "as measured"),
            Figure("Temperature", f"{f['temp_low_degC']:.1f}–{f['temp_high_degC']:.1f} °C", "as measured"),
            Figure("SOC error", f"{f['soc_rmse_pct']:.2g} %", "root mean square, against the simulated truth"),
            Figure("Faults raised", str(sum(f["faults"].values())), "all levels"),  # type: ignore[attr-defined]
        ],
        warnings=(),
        sections=[
            Section("Over time", svg=draw(result.time_s, _panels(result))),
            Section("Events", f"The first {EVENTS_SHOWN}; {more} more are not shown." if more else "",
                    header=("time_s", "kind", "string", "what happened"), rows=events),
            Section("Settings", header=("what", "value"), rows=settings),
        ],
    )  # fmt: skip


def _panels(result: Simulated) -> list[Panel]:
    """Draw highest and lowest over all strings, and the mean SOC."""
    s = result.series
    soc, sigma = s["soc"].mean(axis=1) * 100.0, s["soc_sigma"].mean(axis=1) * 200.0
    panels = [
        Panel("Cell voltage, V", (
            Line("highest", "high", s["cell_high_V"].max(axis=1)), Line("lowest", "low", s["cell_low_V"].min(axis=1)))),
        Panel("State of charge, %", (
            Line("estimated, ± 2 sigma", "measured", soc, band=sigma),
            Line("simulated truth", "truth", s["soc_true"].mean(axis=1) * 100.0, dashed=True)), SOC_SPAN),
        Panel("Current of all strings and its limits, A", (
            Line("current", "measured", s["current_A"].sum(axis=1)),
            Line("charge limit", "truth", s["charge_limit_A"].sum(axis=1)),
            Line("discharge limit", "high", -s["discharge_limit_A"].sum(axis=1)))),
        Panel("Temperature, °C", (
            Line("highest", "high", s["temp_high_degC"].max(axis=1)),
            Line("lowest", "low", s["temp_low_degC"].min(axis=1)))),
    ]  # fmt: skip
    spans = spans_of(result.time_s, result.faults)
    return [*panels, Panel("Faults", Bars(spans))] if spans else panels
