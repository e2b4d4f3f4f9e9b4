"""No cell above its maximum voltage in a thousand simulated solar days with clouds: many packs at once, one day each.

    python benchmarks/solar_days.py [--packs N] [--batch N] [--hours H] [--seed S] [--balancing doses|voltage] [--json]

Batches have seeds of their own, S, S + 1, …: 1 000 packs are four times `--packs 250`. Nine minutes on one core.
Claim: no cell above its maximum, no opening of switchgear, and every pack that came to its end of charge became full;
the others had too little sun. Exits with 1 if it is missed, or if nothing was bled or became full at all. Judged by
what the simulated cells really have, not by readings.
"""

import argparse
import json
import sys
from dataclasses import asdict

from claims import verdict

from cellarer.commands.console import progress
from cellarer.runtime import solar_days


def main() -> int:
    """Run and say what came out."""
    parser = argparse.ArgumentParser(description="Solar days with clouds")
    parser.add_argument("--packs", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=250, help="packs side by side")
    parser.add_argument("--hours", type=float, default=16.0, help="from five in the morning")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--balancing", choices=("doses", "voltage"), default="doses")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    asked = parser.parse_args()
    found = []
    for number, first in enumerate(range(0, asked.packs, asked.batch)):
        packs = min(asked.batch, asked.packs - first)
        with progress(f"solar days {first + 1} to {first + packs}") as told:
            planned = asked.balancing == "doses"
            found.append(solar_days.run(packs, asked.hours, asked.seed + number, progress=told, planned=planned))
        if not asked.json:
            print(_said(found[-1], f"seed {asked.seed + number}"), flush=True)
    days = solar_days.together(found)
    print(json.dumps(asdict(days)) if asked.json else _said(days, "all"))
    return verdict(claims(days), asked.json)


def claims(days: solar_days.Days) -> dict[str, bool]:
    """Return what is claimed, and whether it holds."""
    return {
        f"{days.above} packs with a cell above {days.maximum_V:g} V, none": days.above == 0,
        f"highest cell {days.highest_V:.4f} V, at most {days.maximum_V:g} V": days.highest_V <= days.maximum_V,
        f"{days.opened} openings, none": days.opened == 0,
        f"{days.stuck} packs that came to their end of charge and not to full, none": days.stuck == 0,
        f"{days.full} packs full, {days.bled} with cells that bled, some": days.full > 0 and days.bled > 0,
    }


def _said(days: solar_days.Days, name: str) -> str:
    return (
        f"{name}: {days.packs} packs, {days.hours:g} h each, {days.steps} steps: highest cell {days.highest_V:.4f} V, "
        f"maximum {days.maximum_V:g} V, above it {days.above} packs; {days.full} became full, "
        f"{days.short} had too little sun, {days.stuck} got stuck, {days.bled} bled, {days.opened} openings"
    )


if __name__ == "__main__":
    sys.exit(main())
