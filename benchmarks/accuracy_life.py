"""What `accuracy.py` prints beside SOC: capacity over life, the weak group of a pack, sets without truth, one pulse."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellarer.cells import load
from cellarer.core import estimate
from cellarer.lab import pulse
from cellarer.lab.identify import identify
from cellarer.lab.readers import Run, columns_of, read

Floats = NDArray[np.float64]
Said = tuple[dict[str, Any], list[str]]

MOST_S = 59.0  # s: longer steps are gaps to the filter; replay crosses them in equal parts as well
FIRST = 8  # discharges that the estimator needs to settle
GAP_S = 3600.0
BROKEN_OFF_V = 0.5  # V above the usual end: broken off (thinned rows lack the last tenths of a volt)
REST_S = 60.0  # s: between two tests nothing flows, however long it takes; one row of a minute stands for it


def chained(runs: list[Run]) -> tuple[Floats, ...]:
    """Runs end to end: (dt, current, voltage, temperature, index of the run); steps over a minute in equal parts."""
    columns: list[list[Floats]] = [[], [], [], [], []]
    for n, run in enumerate(runs):
        parts = [
            np.linspace(a, b, max(1, int(np.ceil((b - a) / MOST_S))), endpoint=False) for a, b in pairwise(run.time_s)
        ]
        t = np.concatenate([*parts, run.time_s[-1:]])
        series = [np.interp(t, run.time_s, x) for x in (run.current, run.voltage, run.temp_degC)]
        lost = n > 0 and run.charge_Ah[-1] * runs[n - 1].charge_Ah[-1] > 0.0  # what came between is not in the file
        dt = np.r_[(GAP_S if lost else REST_S) if n else 0.0, np.diff(t)]
        for column, values in zip(columns, (dt, *series, np.full(len(t), n)), strict=True):
            column.append(values)
    dt, amperes, volts, temp, index = (np.concatenate(column) for column in columns)
    return dt, amperes, volts, temp, index.astype(int)


def capacity_over_life(data: Path, scratch: Path) -> Said:
    """Ageing 18650 cells, every charge and discharge: the capacity estimated after each discharge, against the counted.

    Identified from the first test runs alone; no share, no scale: the estimate itself is judged.
    """
    out, lines = {}, []
    for file in sorted((data / "nasa_pcoe_aging").glob("B*.parquet")):
        table = columns_of(file)
        runs = [run for run in read(file) if np.ptp(run.charge_Ah) > 0.3]
        kept = np.unique(np.asarray(table["test_id"]))[:8]
        early = scratch / f"{file.stem}_early.parquet"
        _save(early, {k: v[np.isin(table["test_id"], kept)] for k, v in table.items()})
        found = identify([early], "cell", ocv_table=_usual_curve(scratch))
        path = scratch / f"{file.stem}.toml"
        path.write_text(found.text, encoding="utf-8")
        error, sigma, first, last = _follow(load(path).model, found.capacity_Ah, runs)
        out[file.stem] = {
            "mean_pct": round(100 * float(np.abs(error).mean()), 2),
            "worst_pct": round(100 * float(np.abs(error).max()), 2),
            "inside": round(100 * float(np.mean(np.abs(error) < 2 * sigma)), 1),
        }
        lines.append(f"{file.stem}: {first:.2f} to {last:.2f} Ah counted over {len(error)} discharges, mean error "
                     f"{out[file.stem]['mean_pct']:.1f} %, worst {out[file.stem]['worst_pct']:.1f} %, inside two sigma "
                     f"{out[file.stem]['inside']:.0f} %")  # fmt: skip
    return out, lines


def _follow(model: Any, capacity_Ah: float, runs: list[Run]) -> tuple[Floats, Floats, float, float]:
    """Relative error and sigma of the capacity after each whole discharge, first and last counted capacity.

    A discharge that was broken off (it ends well above where those of this cell end) counts no capacity.
    """
    dt, amperes, volts, temp, index = chained(runs)
    cfg = estimate.compile_cells(
        [model], np.zeros(1, int), np.array([capacity_Ah]), np.ones(1), learn_C=estimate.RECORDED_C
    )
    state = estimate.init(cfg, np.array([np.nan]), np.array([np.nan]))
    counted = np.array([-float(run.charge_Ah.min()) for run in runs])
    lowest = np.array([float(run.voltage.min()) for run in runs])
    whole = (counted > 0.3) & (lowest < np.median(lowest[counted > 0.3]) + BROKEN_OFF_V)
    found, sigma, truth = [], [], []
    for row in range(len(dt)):
        here = (volts[row : row + 1], amperes[row : row + 1], temp[row : row + 1], float(dt[row]))
        state = estimate.step(cfg, state, *here)
        if (row + 1 == len(dt) or index[row + 1] != index[row]) and whole[index[row]]:
            found.append(float(estimate.capacity_Ah(cfg, state)[0]))
            truth.append(float(counted[index[row]]))
            sigma.append(float(estimate.capacity_sigma_Ah(cfg, state)[0]) / truth[-1])
    error = np.array(found) / truth - 1.0
    return error[FIRST:], np.array(sigma)[FIRST:], truth[0], truth[-1]


def _usual_curve(scratch: Path) -> Path:
    """These recordings hold no slow leg and no long rest: the curve of another 18650 stands for theirs."""
    model, path = load("lg_18650hg2").model, scratch / "usual_curve.parquet"
    row = model.ocv[int(np.argmin(np.abs(model.temp_degC - 25.0)))]
    _save(path, {"soc_pct": np.linspace(0.0, 100.0, len(row)), "ocv_V": row})
    return path


def _save(path: Path, columns: dict[str, Any]) -> None:
    from pyarrow import Table, parquet

    parquet.write_table(Table.from_pydict(columns), path)


def weak_group(data: Path, scratch: Path) -> Said:
    """Three used modules in series: when is the group that ends the discharge named?"""
    folder = data / "nissan_leaf_2013"
    sources = [*sorted(folder.glob("cell_c15*")), *sorted(folder.glob("cell_hppc*"))]
    if not sources:
        return {}, [f"not in {data}"]
    path = scratch / "leaf_pack.toml"
    path.write_text(identify(sources, "cell").text, encoding="utf-8")
    model, out, lines = load(path).model, {}, []
    for file in sorted(folder.glob("pack6s*.parquet")):
        table = columns_of(file)
        volts = np.column_stack([table[f"cell_0{n}_V"] for n in range(1, 7)]).astype(float)
        temp = np.repeat(np.column_stack([table[f"temp_{n}_degC"] for n in (1, 2, 3)]).astype(float), 2, axis=1)
        t = np.asarray(table["time_s"], float)
        cfg = estimate.compile_cells([model], np.zeros(6, int), np.full(6, 2 * model.capacity_Ah), np.full(6, 2.0))
        state, truly, named = (
            estimate.init(cfg, np.full(6, np.nan), np.full(6, np.nan)),
            int(np.argmin(volts[-1])),
            None,
        )
        for row in range(len(t)):
            dt = 0.0 if row == 0 else float(t[row] - t[row - 1])
            state = estimate.step(cfg, state, volts[row], np.full(6, float(table["current_A"][row])), temp[row], dt)
            if named is None and row % 50 == 0:
                said = np.flatnonzero(estimate.imbalance(cfg, state, np.zeros(6, int)).first_empty)
                named = (float(t[-1] - t[row]), int(said[0])) if len(said) else None
        right = named is not None and named[1] == truly
        out[file.stem] = {"right": right, "before_limit_s": named[0] if named else None}
        lines.append(f"{file.stem}: group {truly + 1} ends the discharge after {t[-1]:.0f} s; " + (
            f"group {named[1] + 1} was named {named[0]:.0f} s before" if named else "none was named"))  # fmt: skip
    return out, lines


def without_truth(data: Path, scratch: Path) -> Said:
    """Sets that nobody counted: a car's own SOC on real trips, and a bank that stands."""
    out, lines = {}, []
    model = load("nmc_50ah").model
    for file in sorted((data / "bmw_i3_trips").glob("*.parquet")):
        table, gaps = columns_of(file), []
        names = ("time_s", "current_A", "pack_voltage_V", "temperature_degC", "soc_bms_percent")
        for trip in dict.fromkeys(table["trip"].tolist()):
            at = (table["trip"] == trip) & np.isfinite(table["soc_bms_percent"])
            t, i, v, temp, car = (np.asarray(table[name][at], float) for name in names)
            cfg = estimate.compile_cells(
                [model], np.zeros(1, int), np.array([60.0]), np.ones(1), learn_C=estimate.RECORDED_C
            )
            state = estimate.init(cfg, np.array([np.nan]), np.array([np.nan]))
            columns = (v[:, None] / 96.0, i[:, None], temp[:, None])
            _, soc, sigma = estimate.run_block(cfg, state, *columns, np.diff(t, prepend=t[0]))
            gaps.append((100 * soc[-1, 0] - car[-1], 100 * sigma[-1, 0]))
        gap = np.array(gaps)
        out[file.stem] = {"mean": round(float(gap[:, 0].mean()), 2), "spread": round(float(gap[:, 0].std()), 2)}
        lines.append(
            f"{file.stem}: {len(gap)} trips with another maker's cell file, at the end {gap[:, 0].mean():+.1f} "
            f"points from the car's own SOC, spread {gap[:, 0].std():.1f}, sigma {gap[:, 1].mean():.1f}"
        )
    bank = data / "lfp_bank_standby" / "hourly.parquet"
    if bank.is_file():
        out["bank"], text = _standing(columns_of(bank))
        lines.append(text)
    return out, lines


def _standing(table: dict[str, Any]) -> tuple[dict[str, float], str]:
    """A bank at rest, one row an hour: the voltage alone may speak, and on LFP it says little."""
    cfg = estimate.compile_cells([load("lfp_280ah").model], np.zeros(1, int), np.array([500.0]), np.ones(1))
    state = estimate.init(cfg, np.array([np.nan]), np.array([np.nan]))
    volts, said = np.asarray(table["bank_voltage_min_V"], float) / 4.0, []
    for row, volt in enumerate(volts):
        state = estimate.step(cfg, state, np.array([volt]), np.zeros(1), np.array([13.0]), 3600.0 if row else 0.0)
        said.append((100 * float(estimate.soc(cfg, state)[0]), 100 * float(estimate.soc_sigma(cfg, state)[0])))
    (first, sigma0), (last, sigma1) = said[0], said[-1]
    out = {"first": round(first, 1), "last": round(last, 1), "sigma": round(sigma1, 1)}
    return out, (f"LFP bank, 75 days of standing, hourly rows: SOC {first:.0f} ± {sigma0:.0f} at first, "
                 f"{last:.0f} ± {sigma1:.0f} at last (one sigma)")  # fmt: skip


def pulses(data: Path, scratch: Path) -> Said:
    """SOH of retired cells from one short pulse test: five folds, cells of a fold never seen in learning."""
    out, lines = {}, []
    for file in sorted((data / "pulsebat_second_life").glob("*.parquet")):
        table = columns_of(file)
        volts = np.column_stack([np.asarray(table[f"U{n}"], float) for n in range(1, 22)])
        soc, truth, cell = (np.asarray(table[name], float) for name in ("SOC", "SOH", "No."))
        found, sigma = np.empty(len(truth)), np.empty(len(truth))
        fold = np.unique(cell, return_inverse=True)[1] % 5
        for n in range(5):
            model = pulse.learn(volts[fold != n], soc[fold != n] / 100.0, truth[fold != n], cell[fold != n])
            found[fold == n], sigma[fold == n] = pulse.health(model, volts[fold == n], soc[fold == n] / 100.0)
        error = found - truth
        out[file.stem] = row = {
            "cells": len(np.unique(cell)),
            "mean_pct": round(100 * float(np.abs(error).mean()), 2),
            "rmse_pct": round(100 * float(np.sqrt(np.mean(error**2))), 2),
            "inside": round(100 * float(np.mean(np.abs(error) < 2 * sigma)), 1),
        }
        lines.append(f"{file.stem:28s} {row['cells']:4d} cells: mean error {row['mean_pct']:.2f} %, RMSE "
                     f"{row['rmse_pct']:.2f} %, spread of SOH {100 * truth.std():.1f} %, inside two sigma "
                     f"{row['inside']:.0f} %")  # fmt: skip
    return out, lines


PARTS: dict[str, Callable[[Path, Path], Said]] = {
    "capacity over life": capacity_over_life,
    "weak group": weak_group,
    "sets without truth": without_truth,
    "health from one short pulse test": pulses,
}
