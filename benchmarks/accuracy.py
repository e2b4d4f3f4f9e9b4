"""How well Cellarer knows cells: identified from some files, judged on others. Prints the table that the README quotes.

    python benchmarks/accuracy.py [--data DIR] [--only NAME] [--leave-out] [--stress] [--files] [--json]

Every set is split: identification files and judgement files do not overlap. Each judgement file runs four times:
exact start, known and with sigma 0.1; start 20 points too low with sigma 0.1; the same with 1 % of C offset, +5 mV
and 1 mV noise. `--stress` adds bad sensors, coarse and lost rows, a wrong file and unknown starts. Figures count from
600 s on: RMSE, worst error, time after which it stays within 5 points, share of truth inside two sigma, width of sigma.
`--leave-out` judges on cells and temperatures of which identification has seen nothing; how much hinges on one constant
of the filter says accuracy_sweep.py.
Without `--only` also capacity and resistance over life (accuracy_life.py) and health from one pulse.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import accuracy_life
import numpy as np
from accuracy_sets import LEFT_OUT, SPLITS, Split, Trial, cell_file, trials

from cellarer.cells import load
from cellarer.core import estimate
from cellarer.model.cell import CellModel
from cellarer.runtime.replay import MEASURED_SIGMA, TAILS

HERE = Path(__file__).resolve().parent.parent / "data"
LATE_S = 600.0
NEAR = 0.05
HEAD = f"{'RMSE':>6s} {'worst':>6s} {'5 % in':>8s} {'in 2s':>6s} {'sigma':>6s}  "


@dataclass(frozen=True)
class Case:
    """What the filter is told wrongly. Currents in C; factors act on what it believes of the cell."""

    name: str
    start: float = 0.0  # error of the first SOC; NaN = it is told none
    sigma: float = 0.1
    offset_C: float = 0.0
    volts: float = 0.0
    noise: float = 0.0
    gain: float = 1.0
    skew_s: float = 0.0  # current is measured so much later than voltage
    lost: float = 0.0  # share of the rows that are unknown
    every_s: float = 0.0  # rows so far apart
    capacity: float = 1.0
    resistance: float = 1.0


CASES = (
    Case("exact start", sigma=0.01),
    Case("exact, sigma 0.1"),
    Case("20 points low", start=-0.2),
    Case("and sensor errors", start=-0.2, offset_C=0.01, volts=0.005, noise=0.001),
)
ONES = (
    Case("gain +0.5 %", gain=1.005), Case("gain −1 %", gain=0.99),
    Case("offset −1 % of C", offset_C=-0.01), Case("−5 mV", volts=-0.005),
    Case("skew 0.1 s", skew_s=0.1), Case("skew 0.5 s", skew_s=0.5), Case("skew 1 s", skew_s=1.0),
    Case("1 % of rows lost", lost=0.01), Case("20 % of rows lost", lost=0.2),
    Case("rows of 1 s", every_s=1.0), Case("rows of 10 s", every_s=10.0), Case("rows of 60 s", every_s=60.0),
    Case("capacity +5 %", capacity=1.05), Case("capacity −5 %", capacity=0.95),
    Case("resistance +30 %", resistance=1.3), Case("resistance −30 %", resistance=0.7),
)  # fmt: skip
STARTS = (("exact", 0.0), ("20 low", -0.2), ("unknown", float("nan")))
STRESS = (
    *(replace(case, name=f"{case.name}, {name}", start=start) for case in ONES for name, start in STARTS),
    Case("unknown start", start=float("nan")),
)


@dataclass(frozen=True)
class Result:
    """One run of one stretch; SOC in per cent."""

    chemistry: str
    file: str
    temp_degC: float
    case: str
    rmse: float
    worst: float
    arrived_s: float
    inside: float
    width: float


def judge(model: CellModel, split: Split, trial: Trial, cases: tuple[Case, ...]) -> list[Result]:
    """Run the filter over one stretch, cases of the same rows side by side."""
    results = []
    for every in sorted({case.every_s for case in cases}):
        results += _judge(model, split, trial, tuple(case for case in cases if case.every_s == every))
    return results


def _judge(model: CellModel, split: Split, trial: Trial, cases: tuple[Case, ...]) -> list[Result]:
    run, q, n = trial.run, trial.capacity_Ah, len(cases)
    rows = _rows(run.time_s, cases[0].every_s)
    t, truth = run.time_s[rows], trial.truth[rows]
    late = t - t[0] > LATE_S
    if not late.any() or (cases[0].every_s and len(rows) == len(run.time_s)):
        return []
    r = np.random.default_rng(0)
    noise, lot = r.standard_normal(len(t)), r.random(len(t))
    volts = np.stack([run.voltage[rows] + case.volts + case.noise * noise for case in cases], axis=1)
    amperes = np.stack(
        [case.gain * np.interp(t - case.skew_s, run.time_s, run.current) + case.offset_C * q for case in cases], axis=1
    )
    lost = np.stack([lot < case.lost for case in cases], axis=1)
    volts[lost], amperes[lost] = np.nan, np.nan
    believed = q * np.array([case.capacity for case in cases])
    cfg = estimate.compile_cells([model], np.zeros(n, int), believed, np.ones(n), learn_C=estimate.RECORDED_C)
    away = 1.0 if truth[0] > 0.25 else -1.0  # an empty cell is told to be fuller
    start = np.array([truth[0] + away * case.start for case in cases])
    state = estimate.init(
        cfg, start, TAILS * np.array([case.sigma for case in cases]),
        capacity_sigma_Ah=MEASURED_SIGMA * believed, resistance_scale=np.array([case.resistance for case in cases]),
    )  # fmt: skip
    dt = np.diff(t, prepend=t[0])
    _, soc, sigma = estimate.run_block(cfg, state, volts, amperes, run.temp_degC[rows][:, None], dt)
    temp, error = float(np.nanmean(run.temp_degC)), soc - truth[:, None]
    return [
        _result(split.chemistry, run.label, temp, case.name, t, error[:, k], sigma[:, k], late)
        for k, case in enumerate(cases)
    ]


def _rows(time_s: np.ndarray, every_s: float) -> np.ndarray:
    """Indices of rows about every_s apart; all where they already are."""
    if not every_s:
        return np.arange(len(time_s))
    return np.unique(np.searchsorted(time_s, np.arange(0.0, time_s[-1], every_s) - 1e-6).clip(0, len(time_s) - 1))


def _result(
    chemistry: str, file: str, temp: float, case: str, t: np.ndarray, error: np.ndarray, sigma: np.ndarray,
    late: np.ndarray,
) -> Result:  # fmt: skip
    size, off = np.abs(error), np.flatnonzero(np.abs(error) > NEAR)
    return Result(
        chemistry, file, temp, case,
        rmse=100 * float(np.sqrt(np.mean(error[late] ** 2))),
        worst=100 * float(size[late].max()),
        arrived_s=float(t[off[-1]] - t[0]) if len(off) else 0.0,
        inside=100 * float(np.mean(size[late] < 2 * sigma[late])),
        width=100 * float(np.sqrt(np.mean(sigma[late] ** 2))),
    )  # fmt: skip


def pooled(results: Iterable[Result]) -> dict[str, float]:
    """One row of a table: mean RMSE, worst, median arrival, coverage, sigma, and sigma over RMSE."""
    part = list(results)
    rmse, width = (np.array([getattr(r, key) for r in part]) for key in ("rmse", "width"))
    return {
        "runs": len(part),
        "rmse": round(float(rmse.mean()), 3),
        "worst": round(max(r.worst for r in part), 2),
        "arrived_s": round(float(np.median([r.arrived_s for r in part])), 1),
        "inside": round(float(np.mean([r.inside for r in part])), 1),
        "sigma": round(float(np.sqrt(np.mean(width**2))), 2),
        "sigma_over_rmse": round(float(np.sqrt(np.mean(width**2) / max(np.mean(rmse**2), 1e-9))), 2),
    }


def band(result: Result) -> str:
    """Name of the temperature class, by the set point in the file's name where there is one."""
    temp, head = result.temp_degC, result.file.split("degC")[0].rpartition("_")[2]
    if head != result.file and head.lstrip("n").isdigit():
        temp = float(head.replace("n", "-"))
    return "10 degC and above" if temp > 7.0 else f"{5 * round(temp / 5):.0f} degC"


def grouped(results: list[Result], key: Callable[[Result], str]) -> dict[str, dict[str, float]]:
    """Pool by a key, in order of appearance."""
    return {name: pooled(r for r in results if key(r) == name) for name in dict.fromkeys(map(key, results))}


def line(row: dict[str, float]) -> str:
    """One row as text under HEAD."""
    return (
        f"{row['rmse']:6.2f} {row['worst']:6.2f} {row['arrived_s']:6.0f} s {row['inside']:6.1f} {row['sigma']:6.2f}  "
    )


def table(results: list[Result]) -> list[str]:
    """Lines of a split by temperature class and case."""
    lines = [f"{'':26s} " + " | ".join(f"{case.name:^38s}" for case in CASES),
             f"{'':26s} " + " | ".join(HEAD for _ in CASES)]  # fmt: skip
    for name in sorted({band(r) for r in results}):
        here = [r for r in results if band(r) == name]
        cells = [line(pooled(r for r in here if r.case == case.name)) for case in CASES]
        lines.append(f"{name:20s} {len({r.file for r in here}):5d} " + " | ".join(cells))
    return lines


def listed(title: str, rows: dict[str, dict[str, float]]) -> list[str]:
    """A table with one row per name."""
    head = f"\n{title:36s} {'runs':>5s} {HEAD} sigma/RMSE"
    return [head, *(f"{name:36s} {row['runs']:5.0f} {line(row)} {row['sigma_over_rmse']:10.2f}"
                    for name, row in rows.items())]  # fmt: skip


def run_split(split: Split, data: Path, scratch: Path, cases: tuple[Case, ...]) -> tuple[str, list[Result]]:
    """Identify and judge: a headline and the results."""
    begin = time.perf_counter()
    found = cell_file(split, data, scratch)
    if found is None:
        return f"{split.name}: not in {data}", []
    path, capacity_Ah, fitted, files = found
    took, model = time.perf_counter() - begin, load(path).model
    results = [r for trial in trials(split, data, scratch, capacity_Ah) for r in judge(model, split, trial, cases)]
    fits = ", ".join(f"{1e3 * rmse:.0f} mV at {temp:.0f} degC" for temp, rmse in fitted)
    judged = len({r.file for r in results})
    head = f"{split.name}: {files} files identify ({took:.0f} s), {judged} stretches judge, {capacity_Ah:.3f} Ah"
    return f"{head}, fit {fits}", results


def run_all(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Everything, printed as it comes unless --json; the figures as one table."""
    say = (lambda *lines: None) if options.json else (lambda *lines: print(*lines, sep="\n", flush=True))
    names, normal = {case.name for case in CASES}, []
    stressed: list[Result] = []
    out: dict[str, Any] = {"splits": {}}
    splits = LEFT_OUT if options.leave_out else SPLITS
    for n, split in enumerate(splits):
        if options.only not in split.name:
            continue
        print(f"{n + 1}/{len(splits)} {split.name}", file=sys.stderr, flush=True)
        head, results = run_split(split, options.data, scratch, CASES + (STRESS if options.stress else ()))
        here = [r for r in results if r.case in names]
        say("", head, *(table(here) if here else ()))
        if options.files:
            say(*(f"    {r.file:28s} {r.case:36s} {line(pooled([r]))}" for r in results))
        normal += here
        stressed += [r for r in results if r.case not in names]
        out["splits"][split.name] = {
            band(r): grouped([x for x in here if band(x) == band(r)], lambda x: x.case) for r in here
        }
    out["pools"] = grouped(normal, lambda r: r.chemistry)
    say(*listed("chemistry, all four cases", out["pools"]))
    if stressed:
        out["stress"] = grouped(stressed, lambda r: f"{r.chemistry}: {r.case}")
        out["stress_pools"] = grouped(stressed, lambda r: r.chemistry)
        say(*listed("stress", out["stress"]), *listed("chemistry, stress", out["stress_pools"]))
    if not (options.only or options.leave_out):
        for name, part in accuracy_life.PARTS.items():
            print(name, file=sys.stderr, flush=True)
            out[name], lines = part(options.data, scratch)
            say("", name, *lines)
    return out


def main() -> int:
    """Identify, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE, help="folder with the measured sets (default: data/)")
    parser.add_argument("--only", default="", help="only splits whose name contains this")
    parser.add_argument("--leave-out", action="store_true", help="judge on cells and temperatures not identified from")
    parser.add_argument("--stress", action="store_true", help="also bad sensors, coarse rows, wrong files, no start")
    parser.add_argument("--files", action="store_true", help="print every stretch")
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of tables")
    parser.add_argument("--keep", type=Path, help="keep the identified cell files in this folder")
    options = parser.parse_args()
    if not options.data.is_dir():
        parser.error(f"--data = {options.data}: allowed is a folder laid out like data/")
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        out = run_all(options, folder)
    if options.json:
        print(json.dumps(out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
