"""Does protection leave healthy data alone? Every measured recording through `step()`, fault by fault.

    python benchmarks/false_trips.py [--data DIR] [--step-s 1.0] [--rows N] [--json] [SET…]

A trip is false where a row of level ramp or open is raised although voltage, temperature and current stayed within the
maximum level of the cell file for the minute (and the four rows) before. Prints each recording with its rows, how many
of them lay within the limits, the rows that were raised with cause, and those without: the false ones. Runs of a
recording are judged one by one, each from an unknown state.
`--step-s` thins the recording to rows at least so far apart (0 = every row).
"""

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyarrow import parquet

from cellarer.cells import Cell
from cellarer.model.values import Level
from cellarer.runtime import recording as recordings
from cellarer.runtime.recording import Recording
from cellarer.runtime.replay import Ready, Settings, prepare, replay

HERE = Path(__file__).parents[1] / "data"
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
CAUSE_S, CAUSE_ROWS = 60.0, 4  # how long before a trip its cause is looked for: debounce and medians take some rows
# set → what `cellarer replay` is told: cells with a file of their own, and one of their class for the others
SETS: dict[str, Settings] = {
    "panasonic_18650pf": Settings("panasonic_18650pf"),
    "lg_18650hg2": Settings("lg_18650hg2"),
    "nissan_leaf_2013": Settings("nissan_leaf_2013"),
    "hakadi_naion_18650": Settings("naion_hakadi_18650"),
    "lg_m50_21700": Settings("nmc_50ah", capacity_Ah=5.0),
    "dmegc_inr18650": Settings("lg_18650hg2", capacity_Ah=2.6),
    "bmw_i3_trips": Settings("nmc_50ah", series=96, capacity_Ah=60.0),
    "nasa_pcoe_aging": Settings("lg_18650hg2", capacity_Ah=2.0),
    "lfp_102Ah_aging": Settings("lfp_280ah", capacity_Ah=102.0),
    "uw_lipo_5450": Settings("nmc_50ah", capacity_Ah=4.98),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one recording gave. Rows are names of the fault table."""

    file: str
    rows: int
    within: int  # rows within all limits of the cell file
    justified: tuple[str, ...]
    false: tuple[str, ...]


def thinned(recording: Recording, step_s: float) -> Recording:
    """Return rows of one run that are at least step_s apart; nothing is averaged."""
    keep, last = [], -np.inf
    for row, time_s in enumerate(recording.time_s.tolist()):
        if not time_s - last < step_s:
            keep.append(row)
            last = time_s if np.isfinite(time_s) else last
    return chosen(recording, np.array(keep))


def first(recording: Recording, most: int) -> Recording:
    """Return the first rows of a recording."""
    return chosen(recording, np.arange(min(most, recording.rows)))


def chosen(recording: Recording, at: NDArray[np.int64]) -> Recording:
    """Return these rows of a recording."""
    names = ("time_s", "current_A", "voltage_V", "cell_V", "temp_degC", "ah_reference", "usable", "good", "run")
    return replace(recording, **{name: getattr(recording, name)[at] for name in names})


def beyond(recording: Recording, cell: Cell, series: int, parallel_A: float) -> Bools:
    """Return (row,) where a measured value lies beyond the maximum level of the cell file; unknown counts as beyond.

    parallel_A: amperes of the string per ampere of the cell that the file describes.
    """
    limits, amps = cell.limits, recording.current_A / parallel_A
    volts = recording.cell_V if recording.cells else recording.voltage_V[:, None] / series
    ok = ((limits.voltage_min[2] <= volts) & (volts <= limits.voltage_max[2])).all(axis=1)
    ok &= (-limits.discharge_A[2] <= amps) & (amps <= limits.charge_A[2])
    if recording.temp_degC.shape[1]:
        degC = recording.temp_degC
        ok &= (degC <= limits.discharge_temp_max_degC[2]).all(axis=1)
        charges, discharges = recording.current_A > 0.0, recording.current_A < 0.0
        cool = ((limits.charge_temp_min_degC[2] <= degC) & (degC <= limits.charge_temp_max_degC[2])).all(axis=1)
        ok &= np.where(charges, cool, True)
        ok &= np.where(discharges, (limits.discharge_temp_min_degC[2] <= degC).all(axis=1), True)
    return ~ok


def judge(path: Path, settings: Settings, step_s: float, most: int | None = None) -> Verdict:
    """Replay one recording and sort what was raised. most: of its rows, after thinning; None = all."""
    whole = prepare(recordings.read(path), settings)
    rows, within, justified, false = 0, 0, set[str](), set[str]()
    for run in range(len(whole.recording.run_labels)):  # each by itself: their times overlap
        one = thinned(recordings.part(whole.recording, run), step_s)
        if not one.good.any() or (most is not None and rows >= most):
            continue
        ready = replace(whole, recording=one if most is None else first(one, most - rows))
        out = beyond(ready.recording, ready.cell, ready.series, float(ready.config.parallel[0]))
        out &= ready.recording.good
        rows, within = rows + ready.recording.rows, within + int((~out).sum())
        for caused, name in trips(ready, ready.recording.time_s[out]):
            (justified if caused else false).add(name)
    return Verdict(str(path), rows, within, tuple(sorted(justified)), tuple(sorted(false)))


def trips(ready: Ready, out_s: Floats) -> list[tuple[bool, str]]:
    """Return (with cause, row) of all that was raised. out_s: when a measured value lay beyond its limit."""
    table, found = ready.config.faults, []
    steps = np.diff(ready.recording.time_s[ready.recording.good])
    step_s = float(np.median(steps)) if steps.size else 0.0  # a row stands for the time since the one before it too
    within_s = max(CAUSE_S, CAUSE_ROWS * step_s)
    for time_s, event in replay(ready).events:
        if event.kind == "fault" and table.level[table.name.index(event.name)] >= Level.RAMP:
            found.append((bool(((out_s <= time_s + step_s) & (out_s >= time_s - within_s)).any()), event.name))
    return found


def main() -> int:
    """Judge all recordings that are wanted; 1 where a trip was false."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help="only these sets (default: all)")
    parser.add_argument("--data", type=Path, default=HERE)
    parser.add_argument("--step-s", type=float, default=1.0)
    parser.add_argument("--rows", type=int, help="only the first so many of each recording, after thinning")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    verdicts = []
    for name, settings in SETS.items():
        if options.sets and name not in options.sets:
            continue
        for path in files(options.data, name):
            verdict = judge(path, settings, options.step_s, options.rows)
            verdicts.append(replace(verdict, file=str(path.relative_to(options.data))))
            if not options.json:
                said = f"FALSE {', '.join(verdict.false)}" if verdict.false else "none false"
                why = f"; with cause {', '.join(verdict.justified)}" if verdict.justified else ""
                print(
                    f"{verdicts[-1].file}: {verdict.rows} rows, {verdict.within} within limits, {said}{why}", flush=True
                )
    wrong = [v for v in verdicts if v.false]
    rows, within = sum(v.rows for v in verdicts), sum(v.within for v in verdicts)
    told = {"recordings": len(verdicts), "rows": rows, "rows_within": within, "with_false_trips": len(wrong)}
    print(json.dumps(told | {"false": {v.file: v.false for v in wrong}}) if options.json else told)
    return 1 if wrong else 0


def files(data: Path, name: str) -> list[Path]:
    """Return the recordings of a set: what has time and current."""
    found = sorted((data / name).rglob("*.parquet"))
    return [path for path in found if {"time_s", "current_A"} <= set(parquet.read_schema(path).names)]


if __name__ == "__main__":
    sys.exit(main())
