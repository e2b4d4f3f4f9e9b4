"""How well Cellarer knows cells: identified from some files, judged on others. Prints the table that the README quotes.

    python benchmarks/accuracy.py [--data DIR] [--quick]

Every set is split: identification files and judgement files do not overlap. Each judgement file runs four times:
exact start, known and with sigma 0.1; start 20 points too low with sigma 0.1; the same with 1 % of C offset, +5 mV
and 1 mV noise. Truth is 1 + ah_reference/capacity from full charge. Figures count from 600 s on.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellarer.cells import load
from cellarer.core import estimate
from cellarer.lab import pulse
from cellarer.lab.identify import identify
from cellarer.lab.readers import columns_of, read

HERE = Path(__file__).resolve().parent.parent / "data"
# name, error of the start, its sigma, current offset (C), voltage offset and noise (V)
CASES = (
    ("exact start", 0.0, 0.01, 0.0, 0.0, 0.0),
    ("exact, sigma 0.1", 0.0, 0.1, 0.0, 0.0, 0.0),
    ("20 points low", -0.2, 0.1, 0.0, 0.0, 0.0),
    ("and sensor errors", -0.2, 0.1, 0.01, 0.005, 0.001),
)
HEAD = f"{'RMSE':>6s} {'worst':>6s} {'5 % in':>8s} {'in 2s':>6s} {'sigma':>6s}  "
P, L, D = "panasonic_18650pf", "lg_18650hg2", "dmegc_inr18650"


@dataclass(frozen=True)
class Split:
    """Which files identify and which judge, as patterns under the data folder."""

    name: str
    identify: tuple[str, ...]
    judge: tuple[str, ...]
    chemistry: str
    capacity_Ah: float | None = None
    ocv: str | None = None


SPLITS = (
    Split("NCA 18650", (f"{P}/ocv*", f"{P}/drive/*Cycle_*"), (f"{P}/drive/*US06*", f"{P}/drive/*LA92*"), "NCA"),
    Split("NCA 18650, temperature left out", (f"{P}/ocv*", *(f"{P}/drive/{t}deg*Cycle_*" for t in ("25", "0", "n20"))),
          (f"{P}/drive/10deg*",), "NCA"),
    Split("NMC 18650", (f"{L}/*DisCh*", f"{L}/*Cap*", f"{L}/drive/*Mixed[13]*", f"{L}/drive/0deg*"),
          (f"{L}/drive/25*", f"{L}/drive/n20*US06*", f"{L}/drive/n20*Mixed5*"), "NMC"),
    Split("NMC 18650, 25 degC known", (f"{L}/*DisCh*", f"{L}/*Cap*", f"{L}/drive/25*", f"{L}/drive/n20*Mixed*"),
          (f"{L}/drive/0deg*", f"{L}/drive/n20*US06*"), "NMC"),
    Split("NMC 2.6 Ah", (f"{D}/R1_ocv*", f"{D}/R1_pulse*", f"{D}/R1_dis*"), (f"{D}/R1_random*",), "NMC"),
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One run of one file, per cent of SOC."""

    file: str
    temp_degC: float
    case: int
    rmse: float
    worst: float
    arrived_s: float
    inside: float
    width: float


def find(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    """Files of a split that this folder has."""
    return sorted({path for pattern in patterns for path in folder.glob(pattern + ".parquet")})


def judge(cell: str | Path, file: Path, capacity_Ah: float, most: int = 3) -> list[Result]:
    """Run the filter over a file in all cases, all runs and cases side by side."""
    model = load(cell).model
    results = []
    for run in read(file)[:most]:
        q, rows = capacity_Ah, len(run.time_s)
        truth = 1.0 + run.charge_Ah / q
        cfg = estimate.compile_cells(
            [model], np.zeros(len(CASES), int), np.full(len(CASES), q), np.ones(len(CASES)), learn_offset=True
        )
        noise = np.random.default_rng(0).standard_normal(rows)
        volts = np.stack([run.voltage + case[4] + case[5] * noise for case in CASES], axis=1)
        amperes = np.stack([run.current + case[3] * q for case in CASES], axis=1)
        start = np.array([truth[0] + case[1] for case in CASES])
        sigma = np.array([case[2] for case in CASES])
        state = estimate.init(cfg, start, sigma)
        state, soc, spread = estimate.run_block(cfg, state, volts, amperes, run.temp_degC[:, None], run.dt)
        late = run.time_s > 600.0
        if not late.any():
            continue
        temp = float(np.mean(run.temp_degC))
        for n in range(len(CASES)):
            error = soc[:, n] - truth
            off = np.flatnonzero(np.abs(error) > 0.05)
            results.append(
                Result(
                    run.label,
                    temp,
                    n,
                    100 * float(np.sqrt(np.mean(error[late] ** 2))),
                    100 * float(np.abs(error[late]).max()),
                    float(run.time_s[off[-1]]) if len(off) else 0.0,
                    100 * float(np.mean(np.abs(error[late]) < 2 * spread[late, n])),
                    100 * float(np.sqrt(np.mean(spread[late, n] ** 2))),
                )
            )
    return results


def band(temp_degC: float, file: str) -> str:
    """Name of the temperature class, by the set point in the file's name where there is one."""
    head = file.split("degC")[0]
    if head != file and head.lstrip("n").isdigit():
        temp_degC = float(head.replace("n", "-"))
    if temp_degC > 7.0:
        return "10 degC and above"
    return f"{5 * round(temp_degC / 5):.0f} degC"


def table(results: list[Result]) -> list[str]:
    """Lines of the summary by temperature class and case."""
    lines = [f"{'':20s} {'files':>5s} " + " | ".join(f"{case[0]:^38s}" for case in CASES),
             f"{'':26s} " + " | ".join(HEAD for _ in CASES)]  # fmt: skip
    for name in sorted({band(r.temp_degC, r.file) for r in results}):
        cells = []
        for n in range(len(CASES)):
            part = [r for r in results if r.case == n and band(r.temp_degC, r.file) == name]
            cells.append(f"{np.mean([r.rmse for r in part]):6.2f} {max(r.worst for r in part):6.2f} "
                         f"{np.median([r.arrived_s for r in part]):6.0f} s {np.mean([r.inside for r in part]):6.1f} "
                         f"{np.sqrt(np.mean([r.width**2 for r in part])):6.2f}  ")  # fmt: skip
        count = len({r.file for r in results if band(r.temp_degC, r.file) == name})
        lines.append(f"{name:20s} {count:5d} " + " | ".join(cells))
    return lines


def pulses(folder: Path) -> list[str]:
    """SOH of retired cells from one short pulse test: five folds, cells of a fold never seen in learning."""
    lines = []
    for file in sorted((folder / "pulsebat_second_life").glob("*.parquet")):
        table = columns_of(file)
        volts = np.column_stack([np.asarray(table[f"U{n}"], float) for n in range(1, 22)])
        soc, truth, cell = (np.asarray(table[name], float) for name in ("SOC", "SOH", "No."))
        found, sigma = np.empty(len(truth)), np.empty(len(truth))
        fold = np.unique(cell, return_inverse=True)[1] % 5
        for n in range(5):
            model = pulse.learn(volts[fold != n], soc[fold != n] / 100.0, truth[fold != n], cell[fold != n])
            found[fold == n], sigma[fold == n] = pulse.health(model, volts[fold == n], soc[fold == n] / 100.0)
        error = found - truth
        lines.append(f"{file.stem:28s} {len(np.unique(cell)):4d} cells: mean error {100 * np.abs(error).mean():.2f} %, "
                     f"RMSE {100 * np.sqrt(np.mean(error**2)):.2f} %, spread of SOH {100 * truth.std():.1f} %, "
                     f"inside two sigma {100 * np.mean(np.abs(error) < 2 * sigma):.0f} %")  # fmt: skip
    return lines


def main() -> int:
    """Identify, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE, help="folder with the measured sets (default: data/)")
    parser.add_argument("--only", default="", help="only splits whose name contains this")
    parser.add_argument("--files", action="store_true", help="print every file")
    parser.add_argument("--keep", type=Path, default=None, help="keep the identified cell files in this folder")
    options = parser.parse_args()
    folder = options.keep or Path(__import__("tempfile").mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    everything: list[Result] = []
    for split in SPLITS:
        if options.only not in split.name:
            continue
        sources, judged = find(options.data, split.identify), find(options.data, split.judge)
        if not sources or not judged:
            print(f"{split.name}: not in {options.data}")
            continue
        begin = time.perf_counter()
        found = identify(sources, "cell", split.capacity_Ah, None if split.ocv is None else options.data / split.ocv)
        path = folder / (split.name.replace(" ", "_").replace(",", "") + ".toml")
        path.write_text(found.text, encoding="utf-8")
        results = [result for file in judged for result in judge(path, file, found.capacity_Ah)]
        everything += results
        took = time.perf_counter() - begin
        fits = ", ".join(f"{1e3 * part.rmse:.0f} mV at {part.temp_degC:.0f} degC" for part in found.fitted)
        print(f"\n{split.name}: {len(sources)} files identify ({took:.0f} s), {len(judged)} judge, ", end="")
        print(f"{found.capacity_Ah:.3f} Ah, fit {fits}")
        if options.files:
            for r in results:
                print(
                    f"    {r.file:28s} {CASES[r.case][0]:18s} {r.rmse:6.2f} {r.worst:6.2f} "
                    f"{r.arrived_s:6.0f} s {r.inside:6.1f} {r.width:6.2f}"
                )
        print("\n".join(table(results)), flush=True)
    if not options.only:
        print("\nHealth from one short pulse test", *pulses(options.data), sep="\n")
    if everything:
        print("\nall cases pooled:", f"inside two sigma {np.mean([r.inside for r in everything]):.1f} %,",
              f"sigma {np.sqrt(np.mean([r.width**2 for r in everything])):.2f} % against RMSE "
              f"{np.sqrt(np.mean([r.rmse**2 for r in everything])):.2f} %")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
