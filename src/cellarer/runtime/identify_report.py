"""What an identification has to say: figures for JSON and people, and the report with its curves."""

import numpy as np

from cellarer.lab.curve import GRID
from cellarer.lab.fit import KNOTS
from cellarer.lab.identify import Identified
from cellarer.runtime import identify_charges
from cellarer.runtime.plots import Line, Panel, draw
from cellarer.runtime.report import Figure, Report, Section

CLASS_HEADER = ("°C", "misses by mV", "SOC %", "R0 / R1 / R2 at 50 %, mΩ", "tau s", "files")
USED_HEADER = ("run", "kind", "SOC known from", "°C", "rows", "misses by mV")
COLOURS = ("measured", "model", "truth", "high", "quiet", "low")


def figures(found: Identified) -> dict[str, object]:
    """Return the numbers of an identification, units spelled: what `--json` prints."""
    return {
        "name": found.table["name"],
        "chemistry": found.chemistry,
        "capacity_Ah": found.capacity_Ah,
        "capacity_source": found.capacity_source,
        "ocv_source": found.curve.source,
        "classes": [
            {
                "temperature_degC": part.temp_degC,
                "voltage_rmse_mV": part.rmse * 1e3,
                "soc_from_pct": part.covered[0] * 100.0,
                "soc_to_pct": part.covered[1] * 100.0,
                "tau1_s": part.tau1,
                "tau2_s": part.tau2,
                "files": list(part.files),
            }
            for part in found.fitted
        ],
        "runs": len(found.items),
        "warnings": list(found.warnings),
    }


def write_up(found: Identified) -> Report:
    """Return the report of an identification."""
    middle = int(np.argmin(np.abs(KNOTS - 0.5)))
    near = min(found.fitted, key=lambda part: abs(part.temp_degC - 25.0))
    classes = [
        (
            f"{p.temp_degC:.1f}", f"{p.rmse * 1e3:.1f}", f"{p.covered[0] * 100:.0f}–{p.covered[1] * 100:.0f}",
            f"{p.r0[middle] * 1e3:.3g} / {p.r1[middle] * 1e3:.3g} / {p.r2[middle] * 1e3:.3g}",
            f"{p.tau1:.1f} / {p.tau2:.0f}", ", ".join(p.files),
        )
        for p in found.fitted
    ]  # fmt: skip
    misses = {name: miss for part in found.fitted for name, miss in zip(part.files, part.misses, strict=True)}
    used = [
        (i.run.label, i.kind, i.anchored, f"{i.temp_degC:.1f}", str(i.run.time_s.size),
         f"{misses[i.run.label] * 1e3:.1f}" if i.run.label in misses else "not fitted")
        for i in found.items
    ]  # fmt: skip
    return Report(
        title=f"Identification of {found.table['name']}",
        subtitle=f"{found.chemistry} by its curve; {len(found.items)} runs, {len(found.fitted)} temperature(s)",
        figures=[
            Figure("Capacity", f"{found.capacity_Ah:.4g} Ah", found.capacity_source),
            Figure("Voltage model", f"{near.rmse * 1e3:.1f} mV", f"root mean square at {near.temp_degC:.0f} °C"),
            Figure("R0 at 50 %", f"{near.r0[middle] * 1e3:.3g} mΩ", f"at {near.temp_degC:.0f} °C"),
        ],
        warnings=found.warnings,
        sections=[
            Section("Curves", f"Open-circuit voltage: {found.curve.source}.", svg=_curve(found)),
            Section("Resistance", svg=_resistance(found)),
            Section("Temperatures", header=CLASS_HEADER, rows=classes),
            *identify_charges.section(found),
            Section("What each run was used for", header=USED_HEADER, rows=used),
        ],
    )  # fmt: skip


def _curve(found: Identified) -> str:
    lines = [Line("open circuit", "measured", found.curve.ocv)]
    if found.curve.measured_gap:
        lines[0] = Line("open circuit, ± half its gap", "measured", found.curve.ocv, found.curve.half_gap)
    return draw(GRID * 100.0, [Panel("Open-circuit voltage, V", tuple(lines))], "SOC, %")


def _resistance(found: Identified) -> str:
    panels = []
    for name, title in (("r0", "R0, mΩ"), ("r1", "R1, mΩ"), ("r2", "R2, mΩ")):
        lines = [
            Line(f"{part.temp_degC:.0f} °C", COLOURS[k % len(COLOURS)], np.asarray(getattr(part, name)) * 1e3)
            for k, part in enumerate(found.fitted)
        ]
        panels.append(Panel(title, tuple(lines)))
    return draw(np.asarray(KNOTS) * 100.0, panels, "SOC, %")
