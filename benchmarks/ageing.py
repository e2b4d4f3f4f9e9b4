"""The ageing laws of the cell files against what was published and measured, side by side; also where they differ.

    python benchmarks/ageing.py [--json]

1. The tables of the cell files against the published formulas that they come from, between the grid points.
2. The laws against other publications and data sheets: conditions as named there.
3. The laws against measured lives in `data/`: as they stand, and with the pace found on the first half of a life.

Claims, exit status 1 if one is missed: a table is within 0.1 points of its formula's loss after a year at rest and
within 6 % of its loss by cycles (factors of depth and rate do not couple); what others saw lost, per loss by the law,
is inside the band `compared` of the cell file, which every life is shown with.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from claims import verdict
from numpy.typing import NDArray
from published_ageing import KELVIN, PUBLISHED

from cellarer import cells
from cellarer.cells.ageing import COLUMNS, AgeingLaw
from cellarer.sim.ageing import _calendar, _cycle

Floats = NDArray[np.float64]
DATA = Path(__file__).parents[1] / "data"
REST_POINTS, CYCLE_SHARE = 0.1, 0.06  # of a year's loss; of the loss by cycles: docs/why/ageing.md
ROUNDED = 0.05  # 1: the bands of cell files have one or two digits

# What others state: cell of ours, what, °C, SOC at rest or depth, rate, years, cycles, loss stated in %, source
STATED = (
    ("lfp_280ah", "cycles, data sheet, at most", 25.0, 1.0, 1.0, 0.8, 3500, "20", "EVE 304 Ah LFP, 1C/1C: >= 3500"),
    ("lfp_280ah", "cycles, data sheet, at most", 45.0, 1.0, 1.0, 0.4, 1800, "20", "EVE 304 Ah LFP, 1C/1C: >= 1800"),
    ("lfp_280ah", "a house, per year", 25.0, 0.6, 0.2, 8.0, 1800, "16..24",
     "J. Figgener et al., Nature Energy (2024): 2..3 % a year in 8 years, several chemistries"),
    ("lfp_280ah", "rest", 25.0, 0.5, 0.0, 2.5, 0, "5 (Sony), 8 (BYD)", "R. Mokidm et al.: LFP at rest, 30 months"),
    ("a123_26650", "rest", 25.0, 0.5, 0.0, 2.5, 0, "5 (Sony), 8 (BYD)", "R. Mokidm et al.: LFP at rest, 30 months"),
    ("nmc_50ah", "cycles", 35.0, 0.75, 0.5, 2.0, 3000, "20", "R. Mokidm et al.: Samsung NMC, 35 degC, 75 % depth"),
)  # fmt: skip
# Measured lives: name, law, °C, rate, depth, hours per cycle (charge, discharge and rests; estimated from the data)
LIVES = (
    ("lfp_102Ah cell 1", "lfp_280ah", 44.0, 1.0, 1.0, 2.5),
    ("nasa B0005", "panasonic_18650pf", 24.0, 0.9, 1.0, 4.3),
)


def lost(law: AgeingLaw, degC: float, soc: float, years: float, cycles: Floats, depth: float, rate: float) -> Floats:
    """Return the loss under constant conditions, fraction; cycles (n,) are spread evenly over the years."""
    at = np.array([degC])
    calendar = _calendar(law, at, np.array([soc])) * years * cycles / max(float(cycles.max()), 1e-9)
    of_depth = np.interp(depth, np.linspace(0.0, 1.0, COLUMNS), law.depth)
    moved = _cycle(law, at, np.array([rate])) * of_depth * cycles
    if not cycles.any():
        calendar = _calendar(law, at, np.array([soc])) * years * np.ones_like(cycles)
    return np.asarray(calendar**law.calendar_exponent + moved**law.cycle_exponent)


def tables() -> list[dict[str, Any]]:
    """Compare table and formula off the grid: the largest difference at rest, in points of a year's loss."""
    rows = []
    for name, law in PUBLISHED.items():
        mine = cells.load(name).ageing
        assert mine is not None
        worst = 0.0
        for degC in (5.0, 15.5, 22.5, 30.5, 40.5):
            for soc in (0.125, 0.35, 0.55, 0.75, 0.95):
                formula = min(float(law.calendar(np.asarray(degC + KELVIN), np.asarray(soc))), 1.0)
                own = float(lost(mine, degC, soc, 1.0, np.zeros(1), 0.0, 0.0)[0])
                worst = max(worst, abs(own - formula))
        cycle = float(law.cycle(np.asarray(0.7), np.asarray(0.8)) * law.warm(np.asarray(30.0 + KELVIN)))
        own = float(lost(mine, 30.0, 0.5, 0.0, np.array([1000.0]), 0.7, 0.8)[0])
        rows.append({"cell": name, "rest_points": worst * 100.0, "cycle_formula_pct": cycle * 100.0,
                     "cycle_table_pct": own * 100.0})  # fmt: skip
    return rows


def stated() -> list[dict[str, Any]]:
    """Compare with what others state."""
    rows = []
    for name, what, degC, swing, rate, years, cycles, given, source in STATED:
        law = cells.load(name).ageing
        assert law is not None
        soc = swing if not cycles else 0.5
        own = lost(law, degC, soc, years, np.array([float(cycles)]), swing, rate)[0] * 100.0
        rows.append({"cell": name, "what": what, "degC": degC, "years": years, "cycles": cycles,
                     "stated_pct": given, "law_pct": float(own), "source": source})  # fmt: skip
    return rows


def measured(name: str) -> Floats:
    """Return the capacity left after each cycle, as a share of the first ones."""
    import pyarrow.parquet as pq

    if name.startswith("lfp"):
        return np.array(pq.read_table(DATA / "lfp_102Ah_aging" / "cell_1_soh.parquet").to_pydict()["soh_source"])
    table = pq.read_table(DATA / "nasa_pcoe_aging" / "capacity_table.parquet").to_pydict()
    left = np.array([c for c, cell in zip(table["capacity_Ah"], table["cell_id"], strict=True) if cell == "B0005"])
    return left[left > 0.5] / left[:5].max()


def lives() -> list[dict[str, Any]]:
    """Compare with measured lives: the law as it stands, and its shape with the pace of the first half."""
    rows = []
    for name, cell, degC, rate, depth, hours in LIVES:
        law, left = cells.load(cell).ageing, measured(name)
        assert law is not None
        cycles = np.arange(1.0, left.size + 1.0)
        own = lost(law, degC, 0.5, left.size * hours / 8766.0, cycles, depth, rate)
        half = left.size // 2
        pace = float((own[:half] @ (1.0 - left[:half])) / (own[:half] @ own[:half]))
        rows.append({"life": name, "law_of": cell, "cycles": int(left.size), "measured_pct": float(1 - left[-1]) * 100,
                     "law_pct": float(own[-1]) * 100, "pace": pace, "with_pace_pct": float(own[-1]) * pace * 100,
                     "straight_pct": float((1 - left[half]) / half * left.size) * 100})  # fmt: skip
    return rows


def claims(found: dict[str, list[dict[str, Any]]]) -> dict[str, bool]:
    """Return what is claimed, and whether it holds."""
    seen = [(row["cell"], float(x) / row["law_pct"]) for row in found["stated"]
            for x in re.findall(r"\d+", row["stated_pct"])]  # fmt: skip
    seen += [(row["law_of"], row["measured_pct"] / row["law_pct"]) for row in found["lives"]]
    said = {}
    for name in dict.fromkeys(cell for cell, _ in seen):
        law, mine = cells.load(name).ageing, [factor for cell, factor in seen if cell == name]
        least, most = law.compared if law and law.compared else (np.nan, np.nan)
        said[
            f"{name}: others saw {min(mine):.2f} to {max(mine):.2f} times the law, its file says {least:g} to {most:g}"
        ] = all(least * (1.0 - ROUNDED) <= factor <= most * (1.0 + ROUNDED) for factor in mine)
    rest = float(np.max([row["rest_points"] for row in found["tables"]]))
    apart = float(np.max([abs(row["cycle_table_pct"] / row["cycle_formula_pct"] - 1.0) for row in found["tables"]]))
    return said | {
        f"tables at rest {rest:.3f} points from their formulas, at most {REST_POINTS:g}": rest <= REST_POINTS,
        f"tables of cycles {100 * apart:.1f} % from them, at most {100 * CYCLE_SHARE:g}": apart <= CYCLE_SHARE,
    }


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print one table."""
    sys.stdout.write(f"\n{title}\n")
    for row in rows:
        text = "  ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{value}" for key, value in row.items())
        sys.stdout.write(f"  {text}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    found = {"tables": tables(), "stated": stated(), "lives": lives()}
    if parser.parse_args().json:
        sys.stdout.write(json.dumps(found) + "\n")
        return verdict(claims(found), quiet=True)
    show("Tables of the cell files against formulas: a year at rest; 1000 cycles, 30 degC, 70 %, 0.8C", found["tables"])
    show("Laws against what others state, % lost", found["stated"])
    show("Laws against measured lives, % lost at the end; pace found on the first half", found["lives"])
    return verdict(claims(found))


if __name__ == "__main__":
    sys.exit(main())
