"""Laboratory recordings → a cell file, with no hand work. `identify` is what the command calls.

Recognise every run (sort.py), find the open-circuit curve (curve.py), fit the dynamic part per class of temperature
(fit.py), say what was used for what and where data does not carry a parameter.
"""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellarer.cells.loader import parse
from cellarer.cells.writer import dump
from cellarer.lab import template
from cellarer.lab.curve import (
    GRID,
    MOST_HYSTERESIS,
    USUAL_HYSTERESIS,
    Curve,
    chemistry_of,
    from_rests,
    from_slow_legs,
    moved_to_rests,
)
from cellarer.lab.error import LabError
from cellarer.lab.fit import KELVIN, KNOTS, Fitted, Priors, Problem, fit_class
from cellarer.lab.readers import Run, columns_of, read
from cellarer.lab.sort import Ends, Sorted, ends_of, kind_of, settle, slow_parts, split_legs

Floats = NDArray[np.float64]
Progress = Callable[[str], None]

CLASS_K = 5.0  # runs whose mean temperatures differ by less belong together
STEADY_DOUBT = 2.0
MOST_RUNS = 8  # per class: more only cost time
RATES = {"LFP": 18.0, "Na-ion": 20.0}
RATE = 30.0
CURVE_PCT = np.concatenate([np.arange(0.0, 10.0, 1.0), np.arange(10.0, 95.0, 2.5), np.arange(95.0, 100.5, 1.0)])


@dataclass(frozen=True, slots=True, eq=False)
class Identified:
    """A finished identification: the cell file as table and text, and what a report shows."""

    table: dict[str, Any]
    text: str
    items: tuple[Sorted, ...]
    curve: Curve
    fitted: tuple[Fitted, ...]
    chemistry: str
    capacity_Ah: float
    capacity_source: str
    warnings: tuple[str, ...]


def identify(
    files: Sequence[Path | str],
    name: str,
    capacity_Ah: float | None = None,
    ocv_table: Path | str | None = None,
    temperature_degC: float | None = None,
    progress: Progress = lambda _: None,
) -> Identified:
    """Identify one cell type from its files; raises LabError or CellError with what to do."""
    if not files:
        raise LabError("identify", "files", "none", "at least one recording")
    warnings: list[str] = []
    runs: list[Run] = []
    for n, file in enumerate(files):
        progress(f"reading {n + 1}/{len(files)}: {Path(file).name}")
        runs += read(file, temperature_degC)
    ends = ends_of(runs, capacity_Ah)
    given = _given_curve(ocv_table) if ocv_table is not None else None
    source = "given on the command line"
    if capacity_Ah is None:
        ends, source = _capacity([piece for run in runs for piece in _pieces(run, ends)], ends, warnings)
    items, curve = _sorted(runs, ends, given, warnings)
    chemistry = chemistry_of(curve.ocv)
    gap = _gap(curve, chemistry, items, ends)
    rate = RATES.get(chemistry, RATE)
    classes = _classes(items, warnings)
    fitted = []
    for n, members in enumerate(classes):
        progress(
            f"fitting {n + 1}/{len(classes)}: {np.mean([m.temp_degC for m in members]):.0f} degC, {len(members)} runs"
        )
        priors = Priors(0.15, 0.03) if curve.source.startswith("guess") else Priors()
        problem = Problem(members, curve.ocv, gap, rate, ends.capacity_Ah, priors)
        part = fit_class(problem)
        if not any(member.kind in ("drive", "pulse") for member in members):
            part = replace(part, rmse=max(STEADY_DOUBT * part.rmse, 0.02))  # steady currents fit well and tell little
        fitted.append(part)
    _doubts(fitted, warnings)
    table = _table(name, chemistry, curve, gap, rate, fitted, ends, source, warnings)
    text = dump(table)
    parse(tomllib.loads(text), name)
    return Identified(
        table, text, tuple(items), curve, tuple(fitted), chemistry, ends.capacity_Ah, source, tuple(warnings)
    )


def _given_curve(path: Path | str) -> Curve:
    """A data-sheet or rested curve: soc_pct, ocv_V and optionally temperature_degC, branch (charge, discharge)."""
    table = columns_of(Path(path))
    names = {"soc_percent": "soc_pct", "ocv_mean_V": "ocv_V", "hysteresis_half_V": "half_V"}
    table = {names.get(key, key): value for key, value in table.items()}
    for key in ("soc_pct", "ocv_V"):
        if key not in table:
            raise LabError(
                str(path), "columns", ", ".join(table), "soc_pct and ocv_V, optionally temperature_degC, branch"
            )
    soc, volts = np.asarray(table["soc_pct"], float) / 100.0, np.asarray(table["ocv_V"], float)
    pick = np.isfinite(soc) & np.isfinite(volts)
    temp = 25.0
    if "temperature_degC" in table:
        temps = np.asarray(table["temperature_degC"], float)
        temp = float(temps[np.nanargmin(np.abs(temps - 25.0))])
        pick &= np.abs(temps - temp) < 1.0
    if pick.sum() < 3:
        raise LabError(str(path), "rows", int(pick.sum()), "at least three points of soc_pct and ocv_V")
    if np.nanmax(np.abs(soc)) <= 0.0101:
        raise LabError(
            str(path), "soc_pct", f"at most {100 * np.nanmax(soc):.2f}", "per cent, 0 to 100; these look like fractions"
        )

    def on_grid(rows: NDArray[np.bool_]) -> Floats:
        order = np.argsort(soc[rows])
        return np.asarray(np.maximum.accumulate(np.interp(GRID, soc[rows][order], volts[rows][order])))

    if "branch" in table and len(set(table["branch"].tolist())) > 1:
        branch = np.array([str(b).lower() for b in table["branch"]])
        up, down = on_grid(pick & (branch == "charge")), on_grid(pick & (branch == "discharge"))
        return Curve(0.5 * (up + down), np.maximum(0.5 * (up - down), 0.0), temp, "given table", True)
    half = np.interp(GRID, soc, np.asarray(table["half_V"], float)) if "half_V" in table else np.zeros_like(GRID)
    return Curve(on_grid(pick), half, temp, "given table", "half_V" in table)


def _capacity(runs: list[Run], ends: Ends, warnings: list[str]) -> tuple[Ends, str]:
    """The slowest full discharge near 25 degC."""
    best: tuple[float, float, str] | None = None
    for run in runs:
        falls = np.flatnonzero(run.current < 0.0)
        if len(falls) < 10:
            continue
        top = int(np.argmax(run.charge_Ah[: int(np.argmin(run.charge_Ah)) + 1]))
        bottom = int(np.argmin(run.charge_Ah))
        out = float(run.charge_Ah[top] - run.charge_Ah[bottom])
        starts_full = float(run.voltage[max(top - 2, 0) : top + 30].max()) > ends.full_V - 0.13
        ends_empty = float(run.voltage[max(bottom - 5, 0) : bottom + 1].min()) < ends.empty_V + 0.15
        if not (starts_full and ends_empty) or out < 0.3 * ends.capacity_Ah:
            continue
        hours = (run.time_s[bottom] - run.time_s[top]) / 3600.0
        temp = float(np.mean(run.temp_degC[top:bottom]))
        rank = min(hours, 40.0) - 1.5 * max(abs(temp - 25.0) - 4.0, 0.0)
        if best is None or rank > best[0]:
            best = (rank, out, f"discharge of {hours:.1f} h at {temp:.0f} degC in {run.label}")
    if best is None:
        warnings.append("no full discharge found: capacity is the largest swing of charge, give --capacity-Ah")
        return ends, "largest swing of charge in the files (no full discharge found)"
    return replace(ends, capacity_Ah=best[1]), best[2]


def _sorted(runs: list[Run], ends: Ends, given: Curve | None, warnings: list[str]) -> tuple[list[Sorted], Curve]:
    """Kinds and SOC of all runs, and the curve, from the best source there is."""
    pieces = [(piece, kind_of(piece, ends)) for run in runs for piece in _pieces(run, ends)]
    pieces = [(run, kind) for run, kind in pieces if kind != "rest"]
    if not pieces:
        raise LabError("identify", "files", "only rests", "recordings in which current flows")
    items = [settle(run, kind, ends, None) for run, kind in pieces]
    curve = given or from_slow_legs(items, ends, warnings)
    rests = from_rests(items, ends)
    if given is None and rests is not None:
        curve = rests if curve is None else moved_to_rests(curve, rests)
    if curve is None:
        warnings.append(
            "no slow discharge, no rests, no --ocv: the curve is guessed from the slowest discharge and weak"
        )
        curve = _from_slowest(items, ends)
    items = [settle(run, kind, ends, (GRID, curve.ocv)) for run, kind in pieces]
    return items, curve


def _pieces(run: Run, ends: Ends) -> list[Run]:
    return split_legs(run) if kind_of(run, ends) == "slow" else [run, *slow_parts(run, ends)]


def _from_slowest(items: list[Sorted], ends: Ends) -> Curve:
    """Least bad: the slowest discharge, freed from a resistance that its own steps show."""
    falling = [item for item in items if np.ptp(item.soc) > 0.3]
    if not falling:
        raise LabError(
            "identify", "files", "no swing of 30 % of capacity", "a discharge over most of the range or --ocv TABLE"
        )
    item = min(falling, key=lambda i: float(np.mean(np.abs(i.run.current))))
    run = item.run
    di, dv = np.diff(run.current), np.diff(run.voltage)
    big = np.abs(di) > 0.5 * np.abs(di).max()
    most = 0.08 / max(float(np.mean(np.abs(run.current))), 1e-9)
    resistance = float(np.clip(1.5 * np.median(dv[big] / di[big]), 0.0, most)) if big.any() else 0.0
    still = run.voltage - resistance * run.current
    bins = np.clip(np.round(item.soc * 50.0), 0, 50)
    keys = np.unique(bins)
    curve = np.interp(GRID, keys / 50.0, [np.median(still[bins == key]) for key in keys])
    return Curve(np.maximum.accumulate(curve), np.zeros_like(GRID), item.temp_degC, f"guess from {run.label}", False)


def _gap(curve: Curve, chemistry: str, items: list[Sorted], ends: Ends) -> Floats:
    """Hysteresis from the gap of the legs, less the slow polarisation in it; the usual one where none was measured."""
    if not curve.measured_gap:
        return np.full_like(GRID, USUAL_HYSTERESIS[chemistry])
    smooth = np.convolve(np.pad(curve.half_gap, 4, mode="edge"), np.ones(9) / 9.0, "valid")
    share = 1.0 if curve.source == "given table" else 0.7
    return np.asarray(np.clip(share * smooth, 0.0, MOST_HYSTERESIS[chemistry]))


def _classes(items: list[Sorted], warnings: list[str]) -> list[list[Sorted]]:
    """Classes of temperature with runs that excite the model; the others only where nothing else is."""
    useful = [item for item in items if not item.kind.startswith("slow") and item.anchored != "none"]
    if not useful:
        useful = [item for item in items if item.anchored != "none"]
        warnings.append("no pulses and no drive cycle: resistance comes from slow runs alone and is weak")
    if not useful:
        raise LabError(
            "identify",
            "files",
            "no run with known SOC",
            "a run from full charge, or --ocv TABLE and a rest at the start",
        )
    useful.sort(key=lambda item: item.temp_degC)
    groups: list[list[Sorted]] = [[useful[0]]]
    for item in useful[1:]:
        fits = item.temp_degC - float(np.mean([m.temp_degC for m in groups[-1]])) < CLASS_K
        if fits:
            groups[-1].append(item)
        else:
            groups.append([item])
    rich = [group for group in groups if any(item.kind in ("drive", "pulse") for item in group)]
    kept = rich or groups
    if rich and len(rich) < len(groups):
        # steady currents alone cannot tell the time constants: between two better classes Arrhenius' law knows more
        centres = [float(np.mean([i.temp_degC for i in group])) for group in rich]
        for group in groups:
            here = float(np.mean([i.temp_degC for i in group]))
            outside = here < min(centres) - 12.0 or here > max(centres) + 12.0
            if group not in rich and outside:
                kept.append(group)
                warnings.append(f"at {here:.0f} degC only steady currents: time constants there are weak")
    kept.sort(key=lambda group: group[0].temp_degC)
    if len(kept) == 1:
        warnings.append("one temperature: resistance elsewhere follows the usual Arrhenius slope")
    return [_picked(group) for group in kept]


def _picked(group: list[Sorted]) -> list[Sorted]:
    """At most MOST_RUNS, longest first, drives and pulses before steady currents."""
    rank = {"drive": 0, "pulse": 0, "discharge": 1, "charge": 2}
    ordered = sorted(group, key=lambda item: (rank.get(item.kind, 3), -float(item.run.time_s[-1])))
    return ordered[:MOST_RUNS]


def _doubts(fitted: list[Fitted], warnings: list[str]) -> None:
    """Say where data does not carry a parameter."""
    for part in fitted:
        where = f"at {part.temp_degC:.0f} degC"
        if part.covered[0] > 0.25 or part.covered[1] < 0.85:
            low, high = (100.0 * x for x in part.covered)
            warnings.append(
                f"{where} data covers SOC {low:.0f} to {high:.0f} %: outside the shape is usual, not measured"
            )
        if part.tau2 > 950.0 or part.tau2 < 57.0:
            warnings.append(
                f"{where} the slow time constant ran to its bound ({part.tau2:.0f} s): no rests long enough"
            )
        if part.rmse > 0.04:
            warnings.append(f"{where} the model misses by {1e3 * part.rmse:.0f} mV: sigma is wide there")


def _temperature_rows(fitted: list[Fitted]) -> list[tuple[float, Fitted, float]]:
    """Rows of the table: (temperature, class, factor of resistance). The coldest class reaches down to what it saw."""
    rows = [(part.temp_degC, part, 1.0) for part in fitted]
    coldest, warmest = fitted[0], fitted[-1]
    for part, edge in ((coldest, coldest.span_degC[0]), (warmest, warmest.span_degC[1])):
        if abs(edge - part.temp_degC) > 2.5:
            factor = float(np.exp(part.slope_K * (1.0 / (edge + KELVIN) - 1.0 / (part.temp_degC + KELVIN))))
            rows.append((edge, part, factor))
    rows.sort(key=lambda row: row[0])
    return rows


def _table(name: str, chemistry: str, curve: Curve, gap: Floats, rate: float, fitted: list[Fitted], ends: Ends,
           source: str, warnings: list[str]) -> dict[str, Any]:  # fmt: skip
    """The cell file."""
    rows = _temperature_rows(fitted)
    soc = CURVE_PCT / 100.0
    ocv, hysteresis = [], []
    for _, part, _ in rows:
        row = np.interp(soc, GRID, curve.ocv) + np.interp(soc, KNOTS, part.correction)
        ocv.append([round(float(v), 5) for v in np.maximum.accumulate(row)])
        hysteresis.append([round(1e3 * float(v), 3) for v in np.interp(soc, GRID, gap)])
    files = "; ".join(f"{part.temp_degC:.0f} degC: {', '.join(part.files)}" for part in fitted)
    limit = template.limits(chemistry, ends.full_V, ends.empty_V, min(row[0] for row in ocv), ends.capacity_Ah)

    def milliohm(which: str) -> list[list[float]]:
        return [
            [round(max(1e3 * factor * float(v), 1e-4), 5) for v in getattr(part, which)] for _, part, factor in rows
        ]

    estimated = ["thermal", "limits", "charge", "capacity.self_discharge_pct_per_month", "ocv.hysteresis_rate"]
    if not curve.measured_gap:
        estimated.append("ocv.hysteresis_mV")
    return {
        "name": name, "title": f"{name}, identified from laboratory data", "chemistry": chemistry,
        "estimated": estimated, "notes": list(warnings),
        "capacity": {
            "capacity_Ah": round(ends.capacity_Ah, 5), "rated_Ah": round(ends.capacity_Ah, 5),
            "self_discharge_pct_per_month": 2.0, "source": f"capacity: {source}",
        },
        "ocv": {
            "temperature_degC": [round(t, 2) for t, _, _ in rows], "soc_pct": [float(x) for x in CURVE_PCT],
            "ocv_V": ocv, "hysteresis_mV": hysteresis, "hysteresis_rate": rate,
            "source": f"{curve.source} at {curve.temp_degC:.0f} degC, corrected at each temperature by the fit",
        },
        "resistance": {
            "temperature_degC": [round(t, 2) for t, _, _ in rows], "soc_pct": [100.0 * float(x) for x in KNOTS],
            "r0_mohm": milliohm("r0"), "r1_mohm": milliohm("r1"), "r2_mohm": milliohm("r2"),
            "tau1_s": [round(part.tau1, 3) for _, part, _ in rows],
            "tau2_s": [round(max(part.tau2, 1.5 * part.tau1), 2) for _, part, _ in rows],
            "exchange_A": [float("inf") if part.exchange_A > 12.0 * ends.capacity_Ah
                           else round(part.exchange_A / factor, 4) for _, part, factor in rows],
            "sigma_mV": [round(1e3 * float(np.clip(part.rmse * max(factor, 1.0) ** 0.5, 0.003, 0.15)), 2)
                         for _, part, factor in rows],
            "source": f"identified by variable projection from {files}",
        },
        "thermal": template.thermal(ends.capacity_Ah, float(np.interp(0.5, GRID, curve.ocv))),
        "limits": limit,
        "charge": template.charge(chemistry, limit, ends.capacity_Ah),
    }  # fmt: skip
