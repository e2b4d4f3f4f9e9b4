"""What is in a run? Recognised by the data alone: slow curve, full discharge, charge, pulses, drive.

And where is its SOC: anchored at a full charge (end of constant voltage, or a start rested near full), else by the
open-circuit curve at a rest.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cellarer.lab.readers import Run

Floats = NDArray[np.float64]

SLOW_C = 1.0 / 9.0
FULL_V = 0.035  # within this of the highest voltage, with little current: full
NEARLY_FULL = 0.955  # a rest that the curve puts above it was full: what has relaxed, or an old cell's curve
LOADED_OHM_AH = 0.08  # usual resistance at once (r0 and r1 at 25 degC), times capacity
LATE_V = 0.01  # between two rows of a rest: more is a current that is logged late


@dataclass(frozen=True, slots=True, eq=False)
class Sorted:
    """A run with its kind and its SOC, (row,)."""

    run: Run
    kind: str  # slow discharge, slow charge, discharge, charge, pulse, drive, rest
    soc: Floats
    anchored: str  # full, empty, curve, none
    temp_degC: float


@dataclass(frozen=True, slots=True)
class Ends:
    """Voltages of full and empty as the data shows them, and the capacity used for sorting."""

    full_V: float
    empty_V: float
    capacity_Ah: float


def ends_of(runs: list[Run], capacity_Ah: float | None) -> Ends:
    """Highest voltage while nothing charges fast, lowest at all; capacity from the largest swing if none is given."""
    swing = max(float(np.ptp(run.charge_Ah)) for run in runs)
    capacity = swing if capacity_Ah is None else capacity_Ah
    calm = [run.voltage[run.current < 0.4 * capacity] for run in runs]
    high = max((float(np.quantile(v, 0.9995)) for v in calm if len(v)), default=4.2)
    low = min(float(run.voltage.min()) for run in runs)
    return Ends(high, low, capacity)


def split_legs(run: Run) -> list[Run]:
    """Cut a run of slow cycling into legs of one direction, if it is slow and one-directional for hours."""
    sign = np.sign(np.where(np.abs(run.current) < 0.02 * np.abs(run.current).max(), 0.0, run.current))
    edges = np.flatnonzero(np.diff(sign) != 0) + 1
    pieces = np.split(np.arange(len(sign)), edges)
    legs = [
        p for p in pieces if len(p) > 100 and sign[p[0]] != 0 and np.ptp(run.charge_Ah[p]) > 0.5 * np.ptp(run.charge_Ah)
    ]
    if len(legs) < 2:
        return [run]
    out = []
    for n, p in enumerate(legs):
        # keep the rest before a leg: its last voltage tells the state and the step the resistance
        before = np.arange(max(p[0] - 3, 0), p[0])
        rows = np.concatenate([before, p])
        out.append(_part(run, rows, f"{run.label}.{n + 1}"))
    return out


def slow_parts(run: Run, ends: Ends) -> list[Run]:
    """Slow legs inside a run that holds other things too, such as a C/10 discharge followed by a faster charge."""
    q = ends.capacity_Ah
    slow = (np.abs(run.current) < SLOW_C * q) & (np.abs(run.current) > 0.01 * q)
    edges = np.flatnonzero(np.diff(np.r_[0, slow.astype(np.int8), 0]))
    out = []
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if end - begin > 60 and np.ptp(run.charge_Ah[begin:end]) > 0.6 * q:
            rows = np.arange(max(begin - 3, 0), end)
            out.append(_part(run, rows, f"{run.label}.slow"))
    return out


def _part(run: Run, rows: NDArray[np.int64], label: str) -> Run:
    return replace(
        run,
        label=label,
        time_s=run.time_s[rows] - run.time_s[rows[0]],
        current=run.current[rows],
        voltage=run.voltage[rows],
        temp_degC=run.temp_degC[rows],
        charge_Ah=run.charge_Ah[rows] - run.charge_Ah[rows[0]],
    )


def kind_of(run: Run, ends: Ends) -> str:
    """Recognise a run by currents and swing."""
    q = ends.capacity_Ah
    i = run.current
    moving = np.abs(i) > 0.004 * q
    if not moving.any() or (moving.mean() < 0.02 and np.ptp(run.charge_Ah) < 0.02 * q):
        return "rest"
    weight = np.maximum(run.dt, 0.0)[moving]
    magnitude = float(np.average(np.abs(i[moving]), weights=weight + 1e-9))
    change = float(np.sum(np.abs(np.diff(i)) > 0.1 * max(float(np.abs(i).max()), 1e-9)))
    swing = float(np.ptp(run.charge_Ah)) / q
    one_way = abs(float(run.charge_Ah[-1] - run.charge_Ah[0])) > 0.97 * float(np.ptp(run.charge_Ah))
    per_hour = change / max(float(run.time_s[-1]) / 3600.0, 1e-3)
    if magnitude < SLOW_C * q and swing > 0.5 and (change < 12 or per_hour < 1.0):
        return "slow"
    if change <= 12 and swing > 0.02 and one_way and per_hour < 60:
        return "charge" if run.charge_Ah[-1] > run.charge_Ah[0] else "discharge"
    return "pulse" if per_hour < 40.0 or float(np.mean(moving)) < 0.35 else "drive"


def settle(run: Run, kind: str, ends: Ends, curve: tuple[Floats, Floats] | None, guessed: bool = False) -> Sorted:
    """Give the run its SOC. `curve` is (soc, ocv) where one is known already, `guessed` where it leans on this SOC."""
    q = ends.capacity_Ah
    calm = np.abs(run.current) < 0.06 * q
    full = np.flatnonzero(calm & (run.voltage > ends.full_V - FULL_V))
    temp = float(np.mean(run.temp_degC))
    charge = run.charge_Ah / q
    # a file may begin under load: what the usual resistance drops is no emptiness
    start_V = float(np.max(run.voltage[:30] - np.minimum(run.current[:30], 0.0) * LOADED_OHM_AH / q))
    calm_start = bool(np.abs(run.current[0]) < 0.02 * q)
    if curve is not None and calm_start and kind != "slow" and float(np.ptp(charge)) < 0.1:
        # a short pulse at some SOC: its rest tells where
        soc0 = float(np.interp(_rested(run, q), curve[1], curve[0]))
        return Sorted(run, kind, soc0 + charge, "curve", temp)
    begins_full = start_V > ends.full_V - 0.13
    if begins_full and calm_start and curve is not None and not guessed:
        begins_full = float(np.interp(_rested(run, q), curve[1], curve[0])) > NEARLY_FULL
    if begins_full and kind != "slow" and float(charge.max()) < 0.04:
        return Sorted(run, kind, 1.0 + charge, "full", temp)
    if len(full) and kind != "slow":
        # the fullest of the full moments: the end of constant voltage or the rest behind it
        at = int(full[np.argmax(run.charge_Ah[full])])
        return Sorted(run, kind, 1.0 + charge - charge[at], "full", temp)
    if kind == "slow":
        return _settle_slow(run, ends, charge, temp)
    if curve is not None:
        soc0 = float(np.interp(_rested(run, q), curve[1], curve[0]))
        if soc0 > NEARLY_FULL:
            return Sorted(run, kind, 1.0 + charge, "full", temp)
        return Sorted(run, kind, soc0 + charge, "curve", temp)
    return Sorted(run, kind, charge - charge.max() + 1.0, "none", temp)


def _rested(run: Run, q: float) -> float:
    """Last voltage of the rest at the start; a row that has fallen already, its current logged late, is no rest."""
    flows = np.flatnonzero(np.abs(run.current[:50]) >= 0.02 * q)
    calm = run.voltage[: flows[0]] if len(flows) else run.voltage[:50]
    if len(calm) > 1 and abs(calm[-1] - calm[-2]) > LATE_V:
        calm = calm[:-1]
    return float(calm[-1] if len(calm) else run.voltage[0])


def _settle_slow(run: Run, ends: Ends, charge: Floats, temp: float) -> Sorted:
    """A slow leg begins full (discharge) or empty (charge); a run with both begins full."""
    falls = charge[-1] < charge[0]
    begins_full = float(run.voltage[:30].max()) > ends.full_V - 0.13
    if begins_full:
        return Sorted(run, "slow discharge" if falls or np.argmin(charge) > 0.2 * len(charge) else "slow charge",
                      1.0 + charge, "full", temp)  # fmt: skip
    if falls:
        return Sorted(run, "slow discharge", charge - charge[-1], "empty", temp)
    if float(run.voltage[-30:].max()) > ends.full_V - FULL_V:
        return Sorted(run, "slow charge", 1.0 + charge - charge.max(), "full", temp)
    return Sorted(run, "slow charge", charge - charge.min(), "empty", temp)
