"""Whether the charge limit swings with machines that answer after 1 to 10 s in steps of 1 to 5 A; see runtime/swing.py.

    python benchmarks/swing.py [--delays 1,2,5,10] [--steps 1,2,5] [--plot OUT.png]

Swing: the farthest that CCL rises above its least value once it is at work, in per cent of the rated current; one line
per machine, one column per pack. Exits with 1 if one is above 5 %, a cell above its maximum, or switchgear opened.
"""

import argparse
import sys

import numpy as np

from cellarer.runtime import swing

MOST = 0.05
MAXIMUM_V = 3.65  # of the cell of the site `home`


def main() -> int:
    """Run all machines and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--delays", default="1,2,5,10", help="s")
    parser.add_argument("--steps", default="1,2,5", help="A")
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--plot", help="a picture of all limits")
    asked = parser.parse_args()
    found = []
    print(
        f"{'delay':>6}{'step':>6}  {'follows':20}" + "".join(f"{name:>20}" for name in swing.PACKS) + f"{'highest':>10}"
    )
    for keeps in (True, False):
        for delay in map(float, asked.delays.split(",")):
            for step in map(float, asked.steps.split(",")):
                one = swing.run(delay, step, keeps, asked.minutes)
                found.append(one)
                told = "voltage and current" if keeps else "current only"
                swings = "".join(f"{100.0 * x:19.2f}%" for x in one.swing)
                opened = f"  {one.opened} OPENINGS" if one.opened else ""
                print(f"{delay:5g}s{step:5g}A  {told:20}{swings}{one.highest_V.max():9.3f}V{opened}", flush=True)
    if asked.plot:
        _plot(found, asked.plot)
    worst = max(float(one.swing.max()) for one in found)
    high = max(float(one.highest_V.max()) for one in found)
    opened = sum(one.opened for one in found)
    print(
        f"worst swing {100.0 * worst:.2f} %, wanted below 5; highest cell {high:.3f} V, maximum {MAXIMUM_V}; "
        f"{opened} openings"
    )
    return int(worst > MOST or high > MAXIMUM_V or opened > 0)


def _plot(found: list[swing.Swing], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(swing.PACKS), 2, sharex=True, sharey=True, figsize=(13, 11))
    for one in found:
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
