"""One year simulated day by day against the same year from representative days: how much the short way costs.

    python benchmarks/year_in_full.py [SITE] [--months N] [--seed S] [--json]

Both run the whole cycle on the same world. The full way lives every day of the year: N parts of it side by side, each
day after day; the short way 12 days of the year side by side, stretched. `home` takes a quarter of an hour of one core.

Claims, exit status 1 if one is missed: what ages the cells agrees, as far as docs/why/ageing.md says. Not claimed: the
hottest moment of a year, the hours of balancing, the mean SOC; twelve days are too few for these.
"""

import argparse
import json
import sys
import time

import numpy as np
from claims import verdict

from cellarer import config
from cellarer.runtime import years
from cellarer.runtime.years import Lives

COMPARED = (
    "calendar_loss_pct", "cycle_loss_pct", "capacity_pct", "resistance_pct", "cycles", "charged_kWh", "discharged_kWh",
    "lost_kWh", "balancing_h", "soc_mean_pct", "temp_mean_degC", "temp_high_degC",
)  # fmt: skip
# How far apart both ways may be, in the unit of the name or as a share of the full way: 2 to 5 times what was found
APART = {"capacity_pct": 0.05, "resistance_pct": 0.2, "temp_mean_degC": 0.5}
APART_SHARE = {"calendar_loss_pct": 0.05, "cycle_loss_pct": 0.1, "cycles": 0.1, "charged_kWh": 0.1,
               "discharged_kWh": 0.1, "lost_kWh": 0.1}  # fmt: skip


def claims(short: dict[str, float], full: dict[str, float]) -> dict[str, bool]:
    """Return what is claimed of the short way, and whether it holds."""
    said = {}
    for name, most in APART.items():
        apart = short[name] - full[name]
        said[f"{name} {apart:+.3f} apart, at most {most:g}"] = abs(apart) <= most
    for name, most in APART_SHARE.items():
        share = short[name] / full[name] - 1.0 if full[name] else np.nan
        said[f"{name} {100 * share:+.1f} % apart, at most {100 * most:g}"] = abs(share) <= most
    return said


def said(result: Lives) -> dict[str, float]:
    """Return what a run says at the end of its first row."""
    return {name: float(result.lives[0].series[name][0]) for name in COMPARED}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", nargs="?", default="home")
    parser.add_argument("--months", type=int, default=years.MONTHS, help="parts of the year side by side")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    site, cost = config.load(given.site), {}
    begin = time.process_time()
    short = said(years.live(site, 1, given.seed))
    cost["short_cpu_s"] = time.process_time() - begin
    told = [0.0]

    def progress(fraction: float) -> None:
        if fraction - told[0] >= 0.05:
            told[0] = fraction
            sys.stderr.write(f"{fraction:.0%}, {time.process_time() - begin:.0f} s of one core\n")

    begin = time.process_time()
    full = said(years.live_in_full(site, given.seed, given.months, progress))
    cost["full_cpu_s"] = time.process_time() - begin
    if given.json:
        sys.stdout.write(
            json.dumps({"site": given.site, "months": given.months, "short": short, "full": full} | cost) + "\n"
        )
        return verdict(claims(short, full), quiet=True)
    sys.stdout.write(f"{given.site}: every day of a year, {given.months} parts side by side, against 12 days of it\n")
    for name in COMPARED:
        a, b = short[name], full[name]
        apart = (a / b - 1.0) * 100.0 if np.isfinite(b) and b else float("nan")
        sys.stdout.write(f"{name:20s} short {a:10.3f}   full {b:10.3f}   {a - b:+9.3f}  {apart:+7.2f} %\n")
    sys.stdout.write(f"one core: short {cost['short_cpu_s']:.0f} s, full {cost['full_cpu_s']:.0f} s\n")
    return verdict(claims(short, full))


if __name__ == "__main__":
    sys.exit(main())
