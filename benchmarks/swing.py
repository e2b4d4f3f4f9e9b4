"""Whether the charge limit swings with machines that answer after 1 to 10 s in steps of 1 to 5 A; see runtime/swing.py.

    python benchmarks/swing.py [--delays 1,2,5,10] [--steps 1,2,5] [--seed S] [--plot OUT.png] [--foreign]

Swing: the farthest that CCL rises above its least value once it is at work, in per cent of the rated current; one line
per machine, one column per pack; balancing at work by doses of the planner, as in a site, and by voltage alone.
Claim: no swing above 5 %, no cell above its maximum, no opening. Exits with 1 if it is missed, or if the limit or the
bleeding of a pack that ought to show it was not at work.

--foreign: packs of other cells and sizes instead, with machines that follow currents only. Their resistances are off by
half and twice as well, and the first answer of a late machine to that is told apart (`first`; `later` is from three
minutes on). Claim there: later no swing above 5 % or one step of the machine, whichever is more, no opening.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from claims import verdict

from cellarer.runtime import swing

MOST = 0.05
MAXIMUM_V = 3.65  # of the cell of the site `home`
# What a pack has instead of what that of `home` has, and the SOC to begin at: minutes before its end
FOREIGN: tuple[tuple[dict[str, Any], float], ...] = (
    ({"cell": "lto_23ah", "parallel": 2}, 0.93),
    ({"cell": "nmc_50ah"}, 0.93),
    ({"cell": "nissan_leaf_2013"}, 0.88),
    ({"cell": "naion_hakadi_18650", "parallel": 40}, 0.93),
    ({"cell": "a123_26650", "parallel": 10}, 0.94),
    ({"cell": "panasonic_18650pf", "parallel": 30}, 0.93),
    ({"cell": "lg_18650hg2", "parallel": 20}, 0.93),
    ({"capacity_Ah": 140.0}, swing.START_SOC),
    ({"capacity_Ah": 560.0}, swing.START_SOC),
)
UNEVEN = [swing.PACKS.index(name) for name in ("one cell ahead", "one cell behind")]


def claims(found: Sequence[swing.Swing]) -> dict[str, bool]:
    """Return what is claimed of all machines, and whether it holds."""
    worst, high = float(np.max([one.swing for one in found])), float(np.max([one.highest_V for one in found]))
    opened, followed = sum(one.opened for one in found), [one for one in found if not one.keeps_voltage]
    fell = [np.nanmin(one.limit_A, axis=0) < swing.SETTLED * one.rated_A for one in followed]
    turned = [np.diff(one.bleeding[:, UNEVEN].astype(int), axis=0).any(axis=0) for one in found]
    return {
        f"worst swing {100.0 * worst:.2f} % of the rated current, at most {100.0 * MOST:g} %": worst <= MOST,
        f"highest cell {high:.3f} V, at most {MAXIMUM_V} V": high <= MAXIMUM_V,
        f"{opened} openings of switchgear, none": opened == 0,
        "limits of all packs were at work with machines that follow currents only": bool(np.all(fell)),
        "bleeding of the uneven packs came and went": bool(np.all(turned)),
    }


def foreign(delays: Sequence[float], steps: Sequence[float], minutes: float, seed: int) -> dict[str, bool]:
    """Run all machines with packs of other cells and sizes; return what is claimed, and whether it holds."""
    good, opened, worst = True, 0, 0.0
    for (other, soc), delay, step in product(FOREIGN, delays, steps):
        one = swing.run(delay, step, False, minutes, seed, True, other, soc)
        first, later = float(one.swing.max()), float(one.later.max())
        most = max(MOST, step / one.rated_A)
        good, opened, worst = good and later <= most, opened + one.opened, max(worst, later)
        name = " ".join(str(value) for value in other.values())
        print(f"{name:24}{one.rated_A:6g} A{delay:5g}s{step:5g}A  first {100.0 * first:5.1f} %  "
              f"later {100.0 * later:5.1f} % of at most {100.0 * most:4.1f} %{one.highest_V.max():9.3f} V",
              flush=True)  # fmt: skip
    return {
        f"worst swing later {100.0 * worst:.1f} %, at most 5 % or one step each": good,
        f"{opened} openings of switchgear, none": opened == 0,
    }


def main() -> int:
    """Run all machines and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--delays", default="1,2,5,10", help="s")
    parser.add_argument("--steps", default="1,2,5", help="A")
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", help="a picture of all limits")
    parser.add_argument("--foreign", action="store_true", help="packs of other cells and sizes")
    asked = parser.parse_args()
    delays, steps = [float(x) for x in asked.delays.split(",")], [float(x) for x in asked.steps.split(",")]
    if asked.foreign:
        return verdict(foreign(delays, steps, asked.minutes, asked.seed))
    found = []
    print(f"{'balancing':>10}{'delay':>6}{'step':>6}  {'follows':20}"
          + "".join(f"{name:>20}" for name in swing.PACKS) + f"{'highest':>10}")  # fmt: skip
    for planned, keeps, delay, step in product((True, False), (True, False), delays, steps):
        one = swing.run(delay, step, keeps, asked.minutes, asked.seed, planned)
        found.append(one)
        by, told = "doses" if planned else "voltage", "voltage and current" if keeps else "current only"
        swings = "".join(f"{100.0 * x:19.2f}%" for x in one.swing)
        opened = f"  {one.opened} OPENINGS" if one.opened else ""
        print(f"{by:>10}{delay:5g}s{step:5g}A  {told:20}{swings}{one.highest_V.max():9.3f}V{opened}", flush=True)
    if asked.plot:
        _plot(found, asked.plot)
    return verdict(claims(found))


def _plot(found: list[swing.Swing], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(swing.PACKS), 2, sharex=True, sharey=True, figsize=(13, 13))
    for one in (x for x in found if x.planned):
        for number, name in enumerate(swing.PACKS):
            axis = axes[number, 0 if one.keeps_voltage else 1]
            line = axis.plot(
                one.time_s / 60.0, one.limit_A[:, number], lw=0.8, label=f"{one.delay_s:g} s, {one.step_A:g} A"
            )
            axis.plot(one.time_s / 60.0, one.current_A[:, number], lw=0.4, ls=":", color=line[0].get_color())
            axis.set_title(f"{name}, {'voltage and current' if one.keeps_voltage else 'current only'}", fontsize=9)
    for axis in np.ravel(axes):
        axis.grid(alpha=0.3)
        axis.set_ylabel("CCL (line), current (dotted), A", fontsize=7)
    axes[0, 0].legend(fontsize=6, ncols=3)
    axes[-1, 0].set_xlabel("min")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
