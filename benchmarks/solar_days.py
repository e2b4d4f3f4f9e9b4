"""No cell above its maximum voltage in a thousand simulated solar days with clouds: many packs at once, one day each.

    python benchmarks/solar_days.py [--packs N] [--hours H] [--seed S] [--json]

Exits with 1 if a cell was above. Judged by what the simulated cells really have, not by readings.
"""

import argparse
import json
import sys
from dataclasses import asdict

from cellarer.commands.console import progress
from cellarer.runtime import solar_days


def main() -> int:
    """Run and say what came out."""
    parser = argparse.ArgumentParser(description="Solar days with clouds")
    parser.add_argument("--packs", type=int, default=1000)
    parser.add_argument("--hours", type=float, default=16.0, help="from five in the morning")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    asked = parser.parse_args()
    with progress(f"{asked.packs} solar days") as told:
        days = solar_days.run(asked.packs, asked.hours, asked.seed, progress=told)
    if asked.json:
        print(json.dumps(asdict(days)))
    else:
        print(f"{days.packs} packs, {days.hours:g} h each, {days.steps} steps: highest cell {days.highest_V:.4f} V, "
              f"maximum {days.maximum_V:g} V, above it {days.above} packs; {days.full} became full, "
              f"{days.opened} openings")  # fmt: skip
    return 1 if days.above else 0


if __name__ == "__main__":
    sys.exit(main())
