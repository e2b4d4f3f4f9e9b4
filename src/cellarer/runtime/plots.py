"""Panels over time as one SVG text, byte for byte the same for the same numbers. Needs matplotlib (extra `report`).

Long series are thinned to the lowest and highest of each picture column, so no spike is lost and files stay small.
"""

import io
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

COLUMNS = 900  # picture columns that a series is thinned to
WIDTH_IN, HEIGHT_IN, BAR_IN = 10.0, 2.1, 0.22
INK, GRID = "#26323f", "#e4e7eb"
COLOURS = {
    "measured": "#2b6cb0",
    "model": "#dd6b20",
    "truth": "#2f855a",
    "high": "#c53030",
    "low": "#2c7a7b",
    "fault": "#9b2c2c",
    "quiet": "#718096",
}
# For things of one kind beside each other: apart for every kind of sight (Okabe and Ito, Color Universal Design, 2008)
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8a8a8a")
COLOURS |= {f"series {n}": colour for n, colour in enumerate(SERIES)}
LEGEND_COLUMNS = 4
STYLE: dict[Any, object] = {
    "svg.fonttype": "none",  # text stays text: small, searchable
    "svg.hashsalt": "cellarer",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
}
SPANS = ((2 * 86400.0, 86400.0, "days"), (2 * 3600.0, 3600.0, "hours"), (300.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One series of a panel. `colour` is a key of COLOURS; `band` is drawn to both sides of y."""

    label: str
    colour: str
    y: Floats  # (row,)
    band: Floats | None = None
    dashed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """When something was active, one bar per name."""

    spans: dict[str, list[tuple[float, float]]]  # name → (begin, end) in s
    calm: frozenset[str] = frozenset()  # names of what is no fault: they come first, in another colour


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One drawing; `title` names quantity and unit."""

    title: str
    content: tuple[Line, ...] | Bars
    span: tuple[float, float] | None = None  # of the upright axis; None = as the lines need


def draw(x: Floats, panels: list[Panel], label: str = "") -> str:
    """Draw panels above each other on one axis and return an <svg> element.

    x      (row,) time in s from any begin, which may hold NaN; or, with a label, any quantity
    label  of the axis; empty = time, in the unit that suits its length
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    begin, end = (float(np.nanmin(x)), float(np.nanmax(x))) if not label else (0.0, float(np.nanmax(x)))
    scale, unit = (1.0, "") if label else next((s, u) for least, s, u in SPANS if end - begin >= least)
    heights = [
        max(0.6, BAR_IN * len(p.content.spans) + 0.3) if isinstance(p.content, Bars) else HEIGHT_IN for p in panels
    ]
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, sum(heights) + 0.5 * len(panels)), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for axis, panel in zip(axes, panels, strict=True):
            axis.set_title(panel.title)
            if isinstance(panel.content, Bars):
                _bars(axis, panel.content, begin, scale)
            else:
                _lines(axis, panel.content, x, begin, scale)
                axis.set_ylim(panel.span)
        axes[-1].set_xlabel(label or f"time in {unit}")
        low = float(np.nanmin(x)) if label and float(np.nanmin(x)) > 0.5 * end else 0.0  # far from zero: without it
        axes[-1].set_xlim(low, max((end - begin) / scale, 1e-9))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _lines(axis, lines: tuple[Line, ...], time_s: Floats, begin: float, scale: float) -> None:  # type: ignore[no-untyped-def]
    for line in lines:
        at = thinned(time_s, line.y)
        x = (time_s[at] - begin) / scale
        colour = COLOURS[line.colour]
        style = "--" if line.dashed else "-"
        axis.plot(x, line.y[at], style, color=colour, linewidth=1.1, label=line.label)
        if line.band is not None:
            axis.fill_between(
                x, (line.y - line.band)[at], (line.y + line.band)[at], color=colour, alpha=0.18, linewidth=0
            )
    axis.legend(loc="upper right", frameon=False, ncols=min(len(lines), LEGEND_COLUMNS), fontsize=8.0)
    axis.margins(y=0.18)


def _bars(axis, bars: Bars, begin: float, scale: float) -> None:  # type: ignore[no-untyped-def]
    names = sorted(bars.spans, key=lambda name: (name not in bars.calm, name))
    for k, name in enumerate(names):
        spans = [((a - begin) / scale, max(b - a, 0.0) / scale) for a, b in bars.spans[name]]
        colour = COLOURS["measured" if name in bars.calm else "fault"]
        axis.broken_barh(spans, (k - 0.35, 0.7), facecolor=colour, edgecolor=colour, linewidth=0.8)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)


def thinned(time_s: Floats, y: Floats) -> NDArray[np.int64]:
    """Return the places of the lowest and highest value in each of COLUMNS stretches of equal count, in order."""
    known = np.flatnonzero(np.isfinite(time_s))
    if known.size <= 2 * COLUMNS:
        return known
    edges = np.linspace(0, known.size, COLUMNS + 1).astype(np.int64)
    keep = {int(known[0]), int(known[-1])}
    for a, b in pairwise(edges.tolist()):
        values = y[known[a:b]]
        some = np.flatnonzero(np.isfinite(values))
        if some.size < values.size:
            keep.add(int(known[a + int(np.argmax(~np.isfinite(values)))]))  # a hole stays a hole
        if some.size:
            keep.add(int(known[a + some[np.argmin(values[some])]]))
            keep.add(int(known[a + some[np.argmax(values[some])]]))
    return np.array(sorted(keep))
