"""Reaction times against budgets as one SVG text: a row per fault, seconds on a logarithmic scale.

Grey reaches to the budget, the tick is the bound of `check --timing`, dots are single reactions, the worst is full.
"""

import math
from html import escape

from cellarer.runtime.campaign import Outcome
from cellarer.runtime.campaign_report import self_protecting
from cellarer.runtime.campaign_shots import Shot

LEFT, WIDTH, ROW, TOP, BELOW = 350, 1000, 18, 62, 28  # px
FROM_S, TO_S = 0.01, 100.0
INK, FAINT, GROUND, GOOD, BAD, BOUND = "#26323f", "#e4e7eb", "#d5dae1", "#2b6cb0", "#c53030", "#dd6b20"
MARKS = ((0.01, "10 ms"), (0.1, "0.1 s"), (1.0, "1 s"), (10.0, "10 s"), (100.0, "100 s"))


def svg(out: Outcome) -> str:
    """Return the picture of the reactions that were measured, without slow faults and packs that protect themselves."""
    own = self_protecting(out)
    groups: dict[tuple[str, str], list[Shot]] = {}
    for shot in out.shots:
        known = not math.isnan(shot.reaction_s) and not math.isnan(shot.budget_s)
        if known and not shot.slow and shot.subject not in own:
            groups.setdefault((shot.fault.split(" (")[0], shot.row), []).append(shot)
    ordered = sorted(groups.items(), key=lambda item: -max(s.reaction_s for s in item[1]))
    height = TOP + ROW * len(ordered) + BELOW
    lines = [*_head(height), *_marks(height)]
    for k, ((fault, row), shots) in enumerate(ordered):
        lines += _row(TOP + ROW * k, f"{fault} → {row.removesuffix('_maximum')}".replace("_", " "), shots)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _x(seconds: float) -> float:
    share = math.log(min(max(seconds, FROM_S), TO_S) / FROM_S) / math.log(TO_S / FROM_S)
    return LEFT + share * (WIDTH - LEFT - 40)


def _head(height: int) -> list[str]:
    legend = (("budget", GROUND), ("bound of check --timing", BOUND), ("reactions, worst filled", GOOD), ("late", BAD))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="16" y="22" font-size="15" font-weight="bold" fill="{INK}">Reaction times against budgets</text>',
    ]
    at = LEFT
    for text, colour in legend:
        lines.append(f'<rect x="{at}" y="13" width="11" height="11" fill="{colour}"/>')
        lines.append(f'<text x="{at + 16}" y="22" fill="{INK}">{text}</text>')
        at += 36 + 7 * len(text)
    return lines


def _marks(height: int) -> list[str]:
    lines = []
    for seconds, text in MARKS:
        x = _x(seconds)
        lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height - BELOW}" stroke="{FAINT}"/>')
        lines.append(f'<text x="{x:.1f}" y="{TOP - 14}" text-anchor="middle" fill="{INK}">{text}</text>')
    return lines


def _row(y: int, name: str, shots: list[Shot]) -> list[str]:
    worst = max(shots, key=lambda s: s.reaction_s / s.budget_s)
    budget_s, bound_s = worst.budget_s, worst.bound_s
    middle = y + ROW / 2
    lines = [
        f'<text x="{LEFT - 10}" y="{middle + 4}" text-anchor="end" fill="{INK}">{escape(name)}</text>',
        f'<rect x="{LEFT}" y="{y + 3}" width="{_x(budget_s) - LEFT:.1f}" height="{ROW - 6}" fill="{GROUND}"/>',
    ]
    for shot in shots:
        colour, full = (BAD if shot.cause else GOOD), shot is worst
        fill = colour if full else "none"
        lines.append(
            f'<circle cx="{_x(shot.reaction_s):.1f}" cy="{middle}" r="{4 if full else 2.5}" fill="{fill}" '
            f'stroke="{colour}"/>'
        )
    if not math.isnan(bound_s):
        x = _x(bound_s)
        lines.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y + 2}" y2="{y + ROW - 2}" stroke="{BOUND}" stroke-width="2.5"/>'
        )
    return lines
