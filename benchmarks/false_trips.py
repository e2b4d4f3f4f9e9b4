"""Does protection leave healthy data alone? Every measured recording through `step()`, fault by fault.

    python benchmarks/false_trips.py [--data DIR] [--step-s 1.0] [--json] [SET…]

A trip is false where a row of level ramp or open is raised although voltage, temperature and current stayed within the
maximum level of the cell file for the minute before. Prints each recording with its rows, how many of them lay within
the limits, the rows that were raised with cause, and those without: the false ones.
`--step-s` thins the recording to rows at least so far apart (0 = every row).
"""

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellarer.cells import Cell
from cellarer.model.values import Level
from cellarer.runtime import recording as recordings
from cellarer.runtime.recording import Recording
from cellarer.runtime.replay import Settings, prepare, replay

HERE = Path(__file__).parents[1] / "data"
Bools = NDArray[np.bool_]
CAUSE_S = 60.0  # how long before a trip its cause is looked for; debounce and medians take a few samples
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
    """Return rows at least step_s apart; nothing is averaged."""
    keep, last = [], -np.inf
    for row, time_s in enumerate(recording.time_s):
        if not time_s - last < step_s:
            keep.append(row)
            last = time_s if np.isfinite(time_s) else last
    at = np.array(keep)
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


def judge(path: Path, settings: Settings, step_s: float) -> Verdict:
    """Replay one recording and sort what was raised."""
    ready = prepare(thinned(recordings.read(path), step_s), settings)
    result = replay(ready)
    recording, table = ready.recording, ready.config.faults
    parallel_A = float(ready.config.parallel[0])
    out = beyond(recording, ready.cell, ready.series, parallel_A) & recording.good
    out_s = recording.time_s[out]
    justified, false = set(), set()
    for time_s, event in result.events:
        if event.kind == "fault" and table.level[list(table.name).index(event.name)] >= Level.RAMP:
            cause = ((out_s <= time_s) & (out_s >= time_s - CAUSE_S)).any()
            (justified if cause else false).add(event.name)
    return Verdict(str(path), recording.rows, int((~out).sum()), tuple(sorted(justified)), tuple(sorted(false)))


def main() -> int:
    """Judge all recordings that are wanted; 1 where a trip was false."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help="only these sets (default: all)")
    parser.add_argument("--data", type=Path, default=HERE)
    parser.add_argument("--step-s", type=float, default=1.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    verdicts = []
    for name, settings in SETS.items():
        if options.sets and name not in options.sets:
            continue
        for path in sorted((options.data / name).rglob("*.parquet")):
            if "time_s" not in recordings_columns(path):
                continue
            verdict = judge(path, settings, options.step_s)
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


def recordings_columns(path: Path) -> list[str]:
    """Return the column names of a Parquet file."""
    import pyarrow.parquet as parquet

    return list(parquet.read_schema(path).names)


if __name__ == "__main__":
    sys.exit(main())
