"""What a comparison of balancing strategies has to say: figures, and the report with its plots."""

import numpy as np

from cellarer.config import Site
from cellarer.runtime.balancing import BALANCED, Outcome
from cellarer.runtime.plots import COLOURS, Line, Panel, draw
from cellarer.runtime.report import Figure, Report, Section

SHADES = ("quiet", "high", "measured", "truth", "model", "low", "fault")
HEADER = ("strategy", "hours to balanced", "lost, Wh", "usable before, Ah", "usable after, Ah", "delivered, Ah",
          "lost in the test cycle, Wh", "faults")  # fmt: skip


def figures(outcome: Outcome) -> dict[str, object]:
    """Return the numbers of one strategy, units spelled."""
    return {
        "strategy": outcome.name,
        "balanced_hours": outcome.hours if np.isfinite(outcome.hours) else None,
        "lost_Wh": float(outcome.lost_Wh[-1]),
        "usable_before_Ah": float(outcome.usable_Ah[0]),
        "usable_after_Ah": float(outcome.usable_Ah[-1]),
        "imbalance_pct": 100.0 * float(outcome.imbalance[-1]),
        "spread_pct": 100.0 * float(outcome.spread[-1]),
        "delivered_Ah": outcome.delivered_Ah if np.isfinite(outcome.delivered_Ah) else None,
        "unfinished": outcome.unfinished or None,
        "test_cycle_lost_Wh": outcome.test_lost_Wh,
        "faults": outcome.faults,
    }


def row(outcome: Outcome) -> tuple[str, ...]:
    """Return the texts of one strategy, as HEADER."""
    hours = f"{outcome.hours:.1f}" if np.isfinite(outcome.hours) else f"> {outcome.time_s[-1] / 3600.0:.0f}"
    delivered = f"{outcome.delivered_Ah:.2f}" if np.isfinite(outcome.delivered_Ah) else outcome.unfinished
    return (
        outcome.name, hours, f"{outcome.lost_Wh[-1]:.1f}", f"{outcome.usable_Ah[0]:.2f}",
        f"{outcome.usable_Ah[-1]:.2f}", delivered, f"{outcome.test_lost_Wh:.1f}", str(outcome.faults),
    )  # fmt: skip


def _delivered(outcome: Outcome) -> str:
    """Return what a strategy delivered, with its unit, or why it is not known."""
    return outcome.unfinished or row(outcome)[5] + " Ah"


def write_up(site: Site, outcomes: list[Outcome], seed: int) -> Report:
    """Return the report."""
    best = min(outcomes, key=lambda o: o.hours)
    most = max(outcomes, key=lambda o: -1.0 if np.isnan(o.delivered_Ah) else o.delivered_Ah)
    first = outcomes[0]
    return Report(
        title=f"Balancing of {site.file.name}",
        subtitle=f"the same unbalanced pack under each strategy; {first.time_s[-1] / 3600.0:.4g} h, then a full cycle",
        figures=[
            Figure("Spread at the start", f"{100.0 * first.spread[0]:.3g} %", "of SOC, highest less lowest"),
            Figure("Soonest balanced", row(best)[1] + " h", best.name),
            Figure("Most delivered", _delivered(most), most.name),
            Figure("Without balancing" if first.name == "none" else first.name, _delivered(first), "delivered"),
        ],
        warnings=(),
        sections=[
            Section("Compared", f"Balanced: imbalance withholds at most {BALANCED:.0%} of the smallest cell. Delivered:"
                    " by a discharge from full to empty with the balancing at work.", header=HEADER,
                    rows=[row(o) for o in outcomes]),
            Section("Over time", svg=draw(first.time_s, _panels(outcomes))),
            Section("Settings", header=("what", "value"), rows=[("seed", str(seed)), ("site", site.file.name)]),
        ],
    )  # fmt: skip


def _panels(outcomes: list[Outcome]) -> list[Panel]:
    """Draw what imbalance withholds, the spread, the usable charge and the losses, a line per strategy."""
    if len(outcomes) > len(SHADES):
        raise ValueError(f"{len(outcomes)} strategies, at most {len(SHADES)} can be told apart in a plot")
    time_s = outcomes[0].time_s

    def lines(field: str, scale: float) -> tuple[Line, ...]:
        return tuple(
            Line(o.name, shade, np.interp(time_s, o.time_s, getattr(o, field)) * scale)
            for o, shade in zip(outcomes, SHADES, strict=False)
        )

    assert set(SHADES) <= set(COLOURS)
    return [
        Panel("Withheld by imbalance, % of the smallest cell", lines("imbalance", 100.0)),
        Panel("Spread of SOC, %", lines("spread", 100.0)),
        Panel("Usable between first full and first empty cell, Ah", lines("usable_Ah", 1.0)),
        Panel("Energy lost by balancing, Wh", lines("lost_Wh", 1.0)),
    ]
