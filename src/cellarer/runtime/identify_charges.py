"""Incremental capacity of the charges among the recordings: curves, peaks, and what changed from first to last."""

from collections.abc import Sequence

import numpy as np

from cellarer.lab.error import LabError
from cellarer.lab.identify import Identified
from cellarer.lab.incremental import Ageing, Incremental, analyse, compare
from cellarer.lab.sort import Sorted
from cellarer.runtime.plots import Line, Panel, draw
from cellarer.runtime.report import Section

COLOURS = ("measured", "model", "truth", "high", "quiet")
LEAST_SWING = 0.4  # of the capacity
ALIKE_A, ALIKE_K = 0.1, 6.0  # charges at other currents or temperatures are not compared
POINTS = 600
HEADER = ("charge", "A", "°C", "Ah at constant current", "peaks of dQ/dV, V", "charge lost", "peaks moved, mV",
          "negative material lost", "lithium lost")  # fmt: skip
TEXT = (
    "Peaks of dQ/dV are phases of the electrodes. A common shift is resistance; lost charge is parted by the highest "
    "inner peak of dV/dQ, where one stands out, into negative material and lithium (approximate; against the first "
    "charge shown). A dash: the data does not carry it."
)


def section(found: Identified) -> list[Section]:
    """Return the section, or none where no charge at constant current is among the recordings."""
    charges = _comparable(found)
    if not charges:
        return []
    curves = [curve for _, curve in charges]
    low, high = min(float(c.voltage[0]) for c in curves), max(float(c.voltage[-1]) for c in curves)
    grid = np.linspace(low, high, POINTS)
    lines = tuple(
        Line(item.run.label, COLOURS[n % len(COLOURS)], np.interp(grid, c.voltage, c.dq_dv, left=np.nan, right=np.nan))
        for n, (item, c) in enumerate(charges)
    )
    rows = [_row(item, curve, compare(curves[0], curve) if n else None) for n, (item, curve) in enumerate(charges)]
    svg = draw(grid, [Panel("Incremental capacity dQ/dV, Ah/V", lines)], "voltage, V")
    return [Section("Charges", TEXT, svg=svg, header=HEADER, rows=rows)]


def _comparable(found: Identified) -> list[tuple[Sorted, Incremental]]:
    """At most as many charges as there are colours, evenly from first to last, at the current most of them have."""
    wide = [
        item for item in found.items
        if item.kind in ("charge", "slow charge") and np.ptp(item.run.charge_Ah) > LEAST_SWING * found.capacity_Ah
    ]  # fmt: skip
    tried = [(item, curve) for item in wide if (curve := _analysed(item)) is not None]
    if not tried:
        return []
    current = float(np.median([curve.current for _, curve in tried]))
    temp = float(np.median([item.temp_degC for item, _ in tried]))
    alike = [
        (item, curve) for item, curve in tried
        if abs(curve.current - current) < ALIKE_A * current and abs(item.temp_degC - temp) < ALIKE_K
    ]  # fmt: skip
    pick = np.unique(np.linspace(0, len(alike) - 1, min(len(alike), len(COLOURS))).round().astype(int))
    return [alike[k] for k in pick]


def _analysed(item: Sorted) -> Incremental | None:
    run = item.run
    try:
        return analyse(run.current, run.voltage, run.charge_Ah, run.label)
    except LabError:
        return None  # no constant current in it: not a charge to analyse


def _row(item: Sorted, curve: Incremental, change: Ageing | None) -> Sequence[str]:
    peaks = ", ".join(f"{peak.voltage:.3f}" for peak in curve.peaks)
    head = (item.run.label, f"{curve.current:.3g}", f"{item.temp_degC:.0f}", f"{curve.total_Ah:.4g}", peaks)
    if change is None:
        return (*head, "", "", "", "")
    shares = (f"{100 * x:.1f} %" if np.isfinite(x) else "–" for x in (change.charge_lost, change.negative_lost))
    lost, negative = shares
    lithium = f"{100 * change.lithium_lost:.1f} %" if np.isfinite(change.lithium_lost) else "–"
    moved = f"{1e3 * change.shift_V:+.0f}" if np.isfinite(change.shift_V) else "–"
    return (*head, lost, moved, negative, lithium)
