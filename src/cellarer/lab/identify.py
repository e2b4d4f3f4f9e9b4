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
from cellarer.core.estimate.equations import FLOOR
from cellarer.lab import capacity, usual
from cellarer.lab.cellfile import BEYOND_C, table_of
from cellarer.lab.curve import (
    FELT_V,
    GRID,
    HYSTERESIS_SPREAD,
    MOST_HYSTERESIS,
    USUAL_HYSTERESIS,
    WHOLE,
    Curve,
    chemistry_of,
    freed_of_hysteresis,
    from_slow_legs,
    moved_to_rests,
)
from cellarer.lab.drift import without_drift
from cellarer.lab.error import LabError
from cellarer.lab.fit import KNOTS, Fitted, Priors, Problem
from cellarer.lab.given import given_curve
from cellarer.lab.readers import Run, read_all
from cellarer.lab.rests import RESTS, from_rests
from cellarer.lab.search import fit_class
from cellarer.lab.sort import Ends, Sorted, ends_of, kind_of, settle, slow_parts, split_legs

Floats = NDArray[np.float64]
Progress = Callable[[str], None]

CLASS_K = 5.0  # runs whose mean temperatures differ by less belong together
STEADY_DOUBT = 2.0
# How many times what the model misses it is told to miss: of most errors the filter lets half (FLOOR) average out …
GUESSED = 1.7  # … those of a guessed curve last …
RESTED = 1.0 / FLOOR  # … and so do those of a curve from rests of minutes, which no slow leg has tested …
COLD_DEGC = 5.0  # … and of one from slow legs that are colder: it holds their slow polarisation
SLOW_ERROR_V = 0.1  # slow legs have made the curve: what they miss against it tells nothing of resistance
MOST_RUNS = 8.0  # per class, a short run counts as less: more only cost time
FULL_RUN_S = 6000.0
BINS = 50.0  # of SOC, in which steady currents are compared
STEADY_MISS_V, STEADY_SPREAD = 0.02, 0.5  # V that a look misses by; how far resistance parts from the steps', relative
NO_FIT_V, WARM_DEGC = 0.1, 10.0  # V that no run of the same cell misses by where it is warm
ODD, ODD_V = 3.0, 0.025  # a run that misses by so many times the usual, and by so much, is named
SHORT_S, MOST_SHORT = 300.0, 30  # short runs, such as single pulses: so many of them; alone they tell no slow part
RATES = {"LFP": 18.0, "Na-ion": 20.0}
RATE = 30.0


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
    capacity_sigma: float  # relative
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
    given = given_curve(ocv_table) if ocv_table is not None else None
    runs: list[Run] = []
    for reading in read_all(_each_once(files, warnings), temperature_degC, progress):
        runs += reading.runs
        warnings += reading.notes
    ends = ends_of(runs, capacity_Ah)
    if given is not None:  # the files may never have been full or empty
        ends = replace(
            ends, full_V=max(ends.full_V, float(given.ocv[-1])), empty_V=min(ends.empty_V, float(given.ocv[0]))
        )
    if capacity_Ah is not None:
        capacity.check_given(runs, capacity_Ah)
    runs = [without_drift(run, ends, warnings) for run in runs]
    if capacity_Ah is None:
        ends, source, sigma = capacity.measured(runs, ends, warnings)
    else:
        source, sigma = "given on the command line", capacity.sigma_of_given(runs, ends, warnings)
    capacity.check_swings(runs, ends.capacity_Ah, warnings)
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
        fitted.append(_fit(members, curve, gap, rate, ends.capacity_Ah))
    _doubts(fitted, len({run.file for run in runs}) > 1, warnings)
    table = table_of(name, chemistry, curve, gap, rate, fitted, ends, (source, sigma), warnings)
    text = dump(table)
    parse(tomllib.loads(text), name)
    return Identified(
        table,
        text,
        tuple(items),
        curve,
        tuple(fitted),
        chemistry,
        ends.capacity_Ah,
        source,
        sigma,
        tuple(warnings),
    )


def _each_once(files: Sequence[Path | str], warnings: list[str]) -> list[Path]:
    """The files, without those that are named twice."""
    paths = [Path(file) for file in files]
    once = {path.resolve(): path for path in reversed(paths)}
    if len(once) < len(paths):
        twice = sorted({path.name for path in paths if paths.count(path) > 1} or {"under other paths"})
        warnings.append(f"named more than once, read once: {', '.join(twice)}")
    return [path for path in paths if once.pop(path.resolve(), None) is not None]


def _fit(members: list[Sorted], curve: Curve, gap: Floats, rate: float, capacity_Ah: float) -> Fitted:
    """Fit one class; what the model misses is told larger where the data does not test it."""
    guessed = curve.source.startswith("guess")
    slow = all(member.kind.startswith("slow") for member in members)
    priors = Priors(0.15, 0.03) if guessed else Priors(error=SLOW_ERROR_V) if slow else Priors()
    part = fit_class(Problem(members, curve.ocv, gap, rate, capacity_Ah, priors))
    doubt_V, brief_s = part.rmse, float("nan")
    longest = max(float(member.run.time_s[-1]) for member in members)
    steady = not any(member.kind in ("drive", "pulse") for member in members)
    if steady:
        doubt_V = max(STEADY_DOUBT * doubt_V, 0.02)  # steady currents fit well and tell little
    elif longest <= SHORT_S:
        # nothing here moves the slow part: what is usual stands in the file, and may be off by itself
        slow_V = float(np.interp(0.5, KNOTS, part.r2)) * BEYOND_C * capacity_Ah
        doubt_V, brief_s = float(np.hypot(doubt_V, slow_V)), longest
    if not curve.measured_gap and gap.max() > FELT_V:
        doubt_V = float(np.hypot(doubt_V, HYSTERESIS_SPREAD * float(gap.max())))
    weak = curve.source == RESTS or curve.temp_degC < COLD_DEGC
    if guessed and all(member.kind == "charge" for member in members):
        weak, guessed = True, False  # at constant voltage they show no curve at all
    lasts = GUESSED if guessed else RESTED if weak else 1.0
    return replace(part, rmse=lasts * doubt_V, brief_s=brief_s, steady=steady)


def _sorted(runs: list[Run], ends: Ends, given: Curve | None, warnings: list[str]) -> tuple[list[Sorted], Curve]:
    """Kinds and SOC of all runs, and the curve, from the best source there is."""
    pieces = [(piece, kind_of(piece, ends)) for run in runs for piece in _pieces(run, ends)]
    pieces = [(run, kind) for run, kind in pieces if kind != "rest"]
    if not pieces:
        found = f"only rests, for a capacity of {ends.capacity_Ah:.4g} Ah"
        raise LabError("identify", "files", found, "recordings in which current flows, or another --capacity-Ah")
    items = [settle(run, kind, ends, None) for run, kind in pieces]
    curve = given or from_slow_legs(items, ends, warnings)
    rests = from_rests(items, ends)
    if given is None and rests is not None:
        curve = rests if curve is None else moved_to_rests(curve, rests)
    if curve is None:
        warnings.append("no slow discharge, no rests, no --ocv: the curve is guessed from steady currents and weak")
        curve = _from_steady(items, ends)
    lowest = min(float(item.soc.min()) for item in items)
    if given is None and lowest > WHOLE and "slow" not in curve.source:
        curve = replace(
            curve,
            ocv=usual.drawn_down(GRID, curve.ocv, lowest, ends.full_V, ends.empty_V, chemistry_of(curve.ocv) == "LMO"),
        )
    chemistry = chemistry_of(curve.ocv)
    curve = freed_of_hysteresis(curve, USUAL_HYSTERESIS[chemistry], RATES.get(chemistry, RATE))
    guessed = curve.source.startswith("guess")
    items = [settle(run, kind, ends, (GRID, curve.ocv), guessed) for run, kind in pieces]
    return items, curve


def _pieces(run: Run, ends: Ends) -> list[Run]:
    return split_legs(run) if kind_of(run, ends) == "slow" else [run, *slow_parts(run, ends)]


def _from_steady(items: list[Sorted], ends: Ends) -> Curve:
    """Least bad: what discharges and charges at several currents show at the same SOC, drawn out to no current.

    Where all currents are alike the resistance that their own steps show is taken.
    """
    moving = [item for item in items if np.ptp(item.soc) > 0.3]
    near = min((item.temp_degC for item in moving), key=lambda degC: abs(degC - 25.0), default=25.0)
    # in a charge at constant voltage the current is smaller the colder it is: together they would show no resistance
    moving = [item for item in moving if item.kind != "charge" or abs(item.temp_degC - near) < CLASS_K]
    if not moving:
        raise LabError(
            "identify",
            "files",
            f"no swing of 30 % of a capacity of {ends.capacity_Ah:.4g} Ah",
            "a discharge over most of the range, --ocv TABLE, or another --capacity-Ah",
        )
    usual = float(np.median([_by_steps(item.run) for item in moving]))
    looks = np.concatenate([_means(item, ends.capacity_Ah) for item in moving])
    keys = np.unique(looks[:, 0])
    still = []
    for key in keys:
        _, i, v = looks[looks[:, 0] == key].T
        # v = ocv + R i, with R drawn to the usual one: two unknowns, normal equations with a ridge
        pull = (STEADY_MISS_V / (STEADY_SPREAD * max(usual, 1e-9))) ** 2
        matrix = np.array([[len(i), i.sum()], [i.sum(), float(i @ i) + pull]])
        still.append(np.linalg.solve(matrix, np.array([v.sum(), float(i @ v) + pull * usual]))[0])
    curve = np.interp(GRID, keys / BINS, still)
    labels = ", ".join(dict.fromkeys(item.run.label for item in moving))
    temp = float(np.mean([item.temp_degC for item in moving]))
    return Curve(np.maximum.accumulate(curve), np.zeros_like(GRID), temp, f"guess from {labels}", False)


def _by_steps(run: Run) -> float:
    """Resistance of a run by its largest steps of current and what follows them; 0 where there are none."""
    di, dv = np.diff(run.current), np.diff(run.voltage)
    big = np.abs(di) > 0.5 * np.abs(di).max()
    most = 0.08 / max(float(np.mean(np.abs(run.current))), 1e-9)
    return float(np.clip(1.5 * np.median(dv[big] / di[big]), 0.0, most)) if big.any() else 0.0


def _means(item: Sorted, capacity_Ah: float) -> Floats:
    """(look, 3): bin of SOC, mean current and voltage there, apart for charging, discharging and hardly any current."""
    bins, run = np.round(item.soc * BINS), item.run
    way = np.sign(np.where(np.abs(run.current) < 0.02 * capacity_Ah, 0.0, run.current))
    found = []
    for key in range(int(BINS) + 1):
        for side in (-1.0, 0.0, 1.0):
            rows = (bins == key) & (way == side)
            if rows.any():
                found.append((float(key), float(run.current[rows].mean()), float(np.median(run.voltage[rows]))))
    return np.array(found)


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
    """Runs worth MOST_RUNS full ones, longest first, drives and pulses before steady currents; short ones over SOC."""
    rank = {"drive": 0, "pulse": 0, "discharge": 1, "charge": 2}
    ordered = sorted(group, key=lambda item: (rank.get(item.kind, 3), -float(item.run.time_s[-1])))
    short = sorted((item for item in ordered if item.run.time_s[-1] < SHORT_S), key=lambda item: float(item.soc.mean()))
    kept = {id(item) for item in short[:: max(1, -(-len(short) // MOST_SHORT))]}
    ordered = [item for item in ordered if item.run.time_s[-1] >= SHORT_S or id(item) in kept]
    worth = np.cumsum([np.clip(item.run.time_s[-1] / FULL_RUN_S, 0.05, 1.0) for item in ordered])
    return [item for item, so_far in zip(ordered, worth, strict=True) if so_far <= MOST_RUNS]


def _doubts(fitted: list[Fitted], several: bool, warnings: list[str]) -> None:
    """Say where data does not carry a parameter; of `several` files one may be of another cell."""
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
        if np.isfinite(part.brief_s):
            warnings.append(f"{where} no run lasts longer than {part.brief_s:.0f} s: the slow resistance is usual")
        usual = float(np.median(part.misses))
        odd = [f"{name} ({1e3 * miss:.0f} mV)" for name, miss in zip(part.files, part.misses, strict=True)
               if (miss > max(ODD * usual, ODD_V) and len(part.misses) > 2)
               or (several and miss > NO_FIT_V and part.temp_degC > WARM_DEGC)]  # fmt: skip
        if odd:
            warnings.append(
                f"{where} {', '.join(odd[:4])} fit much worse than others do: another cell, or a wrong anchor of SOC?"
            )
        if part.rmse > 0.04:
            warnings.append(f"{where} the model misses by {1e3 * part.rmse:.0f} mV: sigma is wide there")
