"""Dynamic part of a cell by variable projection: time constants outside, everything linear inside.

Inside, per class of temperature: v − ocv − M h = r0(z) g(i) + r1(z) s1 + r2(z) s2 + correction(z), all resistances on a
hat basis over SOC, never negative (NNLS). Model error lasts about a minute, so a run counts with its minutes and not
with its rows. Priors keep the fit in place where data says little: neighbouring knots are alike (relative to a usual
shape over SOC), the correction of the curve is small and smooth. Outside: tau1, tau2, exchange current (in the cold),
slope over temperature; first a grid, because the surface has several valleys, then Nelder-Mead from the best.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from cellarer.lab.curve import towards_empty
from cellarer.lab.filters import hysteresis, polarisation
from cellarer.lab.sort import Sorted

Floats = NDArray[np.float64]

KNOTS = np.array([0.0, 0.03, 0.06, 0.10, 0.15, 0.20, 0.30, 0.40, 0.50, 0.60, 0.70, 0.80, 0.90, 0.95, 1.0])
SHAPE = towards_empty(KNOTS)
LOOSE = 3.0
HUBER_V = 0.04  # residuals beyond it count less: end of discharge in the cold is another world
RISES_BELOW = 0.3  # SOC under which no resistance falls towards empty: data is thin there and would invent zeros
FAST_SHARE = 0.15  # least r0, of r1 + r2: measured cells have 0.5 to 1.5
LOADED_C = 0.1
ROWS = 5000  # per run that enter the normal equations
MINUTE_S = 60.0
KELVIN = 273.15
# What cells usually have at 25 degC, times capacity, ohm·Ah (r0, r1, r2), and how far they part, relative: middle of
# the measured cells that Cellarer ships. It speaks where the data is silent.
USUAL_OHM_AH = np.array([0.055, 0.025, 0.045])
USUAL_SPREAD = 0.8
USUAL_SLOPE_K = 3300.0  # d ln R / d(1/T)
WARM_K = 298.15


def _rising() -> Floats:
    """Unknowns ≥ 0 → parameters: towards empty a resistance is the one above it plus something, and r0 has its share.

    Steady currents tell only the sum of the three: without a floor r0 would be nothing there. Corrections stay.
    """
    k = len(KNOTS)
    block = np.eye(k)
    for j in range(int(np.searchsorted(KNOTS, RISES_BELOW))):
        block[j, j + 1 : int(np.searchsorted(KNOTS, RISES_BELOW)) + 1] = 1.0
    out = np.eye(5 * k)
    for n in range(3):
        out[n * k : (n + 1) * k, n * k : (n + 1) * k] = block
        if n:
            out[:k, n * k : (n + 1) * k] = FAST_SHARE * block
    return out


RISING = _rising()


@dataclass(frozen=True, slots=True, eq=False)
class Priors:
    """How far the data may move things, standard deviations."""

    correction: float = 0.004  # V
    correction_step: float = 0.0015  # V between knots
    resistance_step: float = 0.25  # relative, between knots
    error: float = 0.012  # V, model error per minute


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """One class of temperature; resistances and correction on KNOTS."""

    temp_degC: float
    span_degC: tuple[float, float]
    r0: Floats
    r1: Floats
    r2: Floats
    correction: Floats
    tau1: float
    tau2: float
    exchange_A: float
    slope_K: float  # d ln R / d(1/T)
    rmse: float
    files: tuple[str, ...]
    misses: tuple[float, ...]  # (run,) V
    covered: tuple[float, float]  # SOC
    steady: bool = False  # nothing but steady currents: how resistance and curve share a voltage is usual
    brief_s: float = float("nan")  # longest run, where it is too short to tell the slow resistance


@dataclass(frozen=True, slots=True)
class Outer:
    """What enters a fit non-linearly."""

    tau1: float
    tau2: float
    exchange_A: float
    slope_K: float


def hat(soc: Floats) -> Floats:
    """Hat basis on KNOTS, (row, knot)."""
    z = np.clip(soc, 0.0, 1.0)
    j = np.clip(np.searchsorted(KNOTS, z, side="right") - 1, 0, len(KNOTS) - 2)
    f = (z - KNOTS[j]) / (KNOTS[j + 1] - KNOTS[j])
    out = np.zeros((len(z), len(KNOTS)))
    rows = np.arange(len(z))
    out[rows, j], out[rows, j + 1] = 1.0 - f, f
    return out


def _witnesses(item: Sorted, capacity_Ah: float) -> float:
    """How many independent looks at the model a run is worth: its minutes, if the current changes as often.

    A steady current looks again only where the curve is another one: ten times over the whole range.
    """
    run = item.run
    changes = float(np.sum(np.abs(np.diff(run.current)) > 0.1 * max(float(np.abs(run.current).max()), 1e-9)))
    swing = float(np.ptp(run.charge_Ah)) / capacity_Ah
    return float(np.clip(min(run.time_s[-1] / MINUTE_S, changes + 10.0 * swing), 2.0, 200.0))


class Problem:
    """The runs of one class, prepared: rows picked, hats and hysteresis made, polarisations remembered by tau."""

    def __init__(
        self, items: list[Sorted], ocv: Floats, gap: Floats, rate: float, capacity_Ah: float, priors: Priors
    ) -> None:
        """Prepare. ocv, gap on an even SOC grid."""
        self.items, self.priors, self.capacity_Ah = items, priors, capacity_Ah
        grid = np.linspace(0.0, 1.0, len(ocv))
        self.temp_K = KELVIN + float(
            np.average([i.temp_degC for i in items], weights=[len(i.soc) ** 0.5 for i in items])
        )
        self.rows, self.basis, self.target, self.weight, self.over_temp = [], [], [], [], []
        self.share, self.edges = [], []
        for item in items:
            run, n = item.run, len(item.soc)
            rows = np.arange(n)[:: max(1, n // ROWS)]
            rows = rows[(item.soc[rows] > -0.02) & (item.soc[rows] < 1.02)]
            h = hysteresis(run.current, run.dt, rate, capacity_Ah, 1.0 if item.anchored == "full" else 0.0)
            rows = rows[np.argsort(item.soc[rows], kind="stable")]  # by SOC, so that a segment is one stretch
            z = item.soc[rows]
            segment = np.clip(np.searchsorted(KNOTS, np.clip(z, 0.0, 1.0), side="right") - 1, 0, len(KNOTS) - 2)
            self.share.append((np.clip(z, 0.0, 1.0) - KNOTS[segment]) / (KNOTS[segment + 1] - KNOTS[segment]))
            self.edges.append(np.searchsorted(segment, np.arange(len(KNOTS))))
            self.rows.append(rows)
            self.basis.append(hat(z))
            self.target.append(run.voltage[rows] - np.interp(z, grid, ocv) - np.interp(z, grid, gap) * h[rows])
            minutes = _witnesses(item, capacity_Ah)
            self.weight.append(np.full(len(rows), np.sqrt(minutes / max(len(rows), 1)) / priors.error))
            self.over_temp.append(1.0 / (KELVIN + run.temp_degC[rows]) - 1.0 / self.temp_K)
        self.cache: dict[tuple[int, float], Floats] = {}
        colder = float(np.exp(USUAL_SLOPE_K * (1.0 / self.temp_K - 1.0 / WARM_K)))
        self.usual = USUAL_OHM_AH * colder / capacity_Ah
        self.typical = self._typical()
        self.ridge, self.pull = self._ridge()

    def _typical(self) -> float:
        """Size of the resistance, from the largest fast steps of current."""
        found = []
        for item in self.items:
            di, dv = np.diff(item.run.current), np.diff(item.run.voltage)
            big = np.abs(di) > 0.5 * max(float(np.abs(di).max()), 1e-9)
            found.append(float(np.median(dv[big] / di[big])))
        return float(np.clip(np.median(found), 0.2 * self.usual[0], 20.0 * self.usual[0]))

    def _polarised(self, n: int, tau: float) -> Floats:
        key = (n, round(float(tau), 3))
        if key not in self.cache:
            run = self.items[n].run
            self.cache[key] = np.asarray(polarisation(run.current, run.dt, key[1]))[self.rows[n]]
        return self.cache[key]

    def solve(self, outer: Outer) -> tuple[Floats, float]:
        """Best linear part: parameters, cost."""
        k = len(KNOTS)
        size = 5 * k
        small, right4, square = np.zeros((4 * k, 4 * k)), np.zeros(4 * k), 0.0
        for n in range(len(self.items)):
            columns = self._columns(n, outer)
            y = self.weight[n] * self.target[n]
            self._add(n, np.stack([*columns, self.weight[n]]), y, small, right4)
            square += float(y @ y)
        # NNLS knows no sign: the correction is a difference of two parts
        both = np.hstack([np.eye(4 * k), np.vstack([np.zeros((3 * k, k)), -np.eye(k)])])
        normal, right = both.T @ small @ both, both.T @ right4
        full = RISING.T @ (normal + self.ridge) @ RISING
        lower = np.linalg.cholesky(full + 1e-12 * np.trace(full) / size * np.eye(size))
        rises, _ = nnls(lower.T, np.linalg.solve(lower, RISING.T @ (right + self.pull)), maxiter=20 * size)
        best = RISING @ rises
        misfit = max(square - 2.0 * float(best @ right) + float(best @ normal @ best), 0.0)
        cost = misfit + float(best @ self.ridge @ best) - 2.0 * float(best @ self.pull)
        return best, cost

    def _columns(self, n: int, outer: Outer) -> tuple[Floats, Floats, Floats]:
        """What the three resistances are multiplied with, weighted, (row,) each."""
        scale = np.exp(np.clip(outer.slope_K * self.over_temp[n], -2.5, 2.5)) * self.weight[n]
        i = self.items[n].run.current[self.rows[n]]
        g = outer.exchange_A * np.arcsinh(i / outer.exchange_A) if np.isfinite(outer.exchange_A) else i
        return scale * g, scale * self._polarised(n, outer.tau1), scale * self._polarised(n, outer.tau2)

    def _add(self, n: int, u: Floats, y: Floats, normal: Floats, right: Floats) -> None:
        """Add a run to the normal equations.

        A hat has two neighbours, so every block is tridiagonal: three sums per segment of SOC, no tall matrices.
        """
        k, f, edges = len(KNOTS), self.share[n], self.edges[n]
        hats = (1.0 - f, f)

        def sums(x: Floats) -> Floats:
            running = np.concatenate([[0.0], np.cumsum(x)])
            return np.asarray(running[edges[1:]] - running[edges[:-1]])

        j = np.arange(k - 1)
        for a in range(4):
            for side in (0, 1):
                right[a * k + j + side] += sums(u[a] * y * hats[side])
            for b in range(a, 4):
                w = u[a] * u[b]
                cross = sums(w * hats[0] * hats[1])
                block = np.zeros((k, k))
                block[j, j] += sums(w * hats[0] * hats[0])
                block[j + 1, j + 1] += sums(w * hats[1] * hats[1])
                block[j, j + 1] += cross
                block[j + 1, j] += cross
                normal[a * k : (a + 1) * k, b * k : (b + 1) * k] += block
                if b > a:
                    normal[b * k : (b + 1) * k, a * k : (a + 1) * k] += block

    def _residual(self, n: int, p: Floats, outer: Outer) -> Floats:
        """Measured less modelled voltage of the rows of a run."""
        k, basis = len(KNOTS), self.basis[n]
        parts = zip(self._columns(n, outer), (p[:k], p[k : 2 * k], p[2 * k : 3 * k]), strict=True)
        model = sum(column * (basis @ r) for column, r in parts) / self.weight[n]
        return np.asarray(self.target[n] - model - basis @ (p[3 * k : 4 * k] - p[4 * k :]))

    def reweight(self, p: Floats, outer: Outer) -> None:
        """Let rows that no parameter explains count less (Huber)."""
        for n, weight in enumerate(self.weight):
            far = np.abs(self._residual(n, p, outer))
            self.weight[n] = weight * np.sqrt(np.minimum(1.0, HUBER_V / np.maximum(far, 1e-9)))

    def miss(self, p: Floats, outer: Outer) -> float:
        """Root mean square of what the model misses, in V: over all rows or under load, whichever is larger."""
        found = []
        for loaded in (False, True):
            square = total = 0.0
            for n, item in enumerate(self.items):
                pick = np.abs(item.run.current[self.rows[n]]) > (LOADED_C * self.capacity_Ah if loaded else -1.0)
                w = self.weight[n][pick] ** 2
                square += float(w @ self._residual(n, p, outer)[pick] ** 2)
                total += float(w.sum())
            found.append(np.sqrt(square / total) if total > 0.0 else 0.0)
        return float(max(found))

    def misses(self, p: Floats, outer: Outer) -> tuple[float, ...]:
        """Root mean square of what the model misses of each run, in V, every row counting alike."""
        residuals = (self._residual(n, p, outer) for n in range(len(self.items)))
        return tuple(float(np.sqrt(np.mean(r**2))) for r in residuals)

    def _ridge(self) -> tuple[Floats, Floats]:
        """Priors as a quadratic form: matrix and right side."""
        k = len(KNOTS)
        rows: list[Floats] = []
        wanted: list[float] = []

        def tell(parts: dict[int, float], want: float, sigma: float) -> None:
            row = np.zeros(5 * k)
            for at, factor in parts.items():
                row[at] = factor / sigma
            rows.append(row)
            wanted.append(want / sigma)

        for block, size in enumerate((1.0, 0.6, 0.8)):
            for j in range(k):
                at, usual = block * k + j, float(self.usual[block])
                tell({at: 1.0 / SHAPE[j]}, usual, USUAL_SPREAD * usual * np.sqrt(k))
                if j + 1 < k:
                    # near empty resistance rises by multiples, in the cold early
                    loose = LOOSE if KNOTS[j] < 0.35 else 1.0
                    step = loose * self.priors.resistance_step * size * self.typical
                    tell({at: 1.0 / SHAPE[j], at + 1: -1.0 / SHAPE[j + 1]}, 0.0, step)
        for j in range(k):
            up, down = 3 * k + j, 4 * k + j
            tell({up: 1.0, down: -1.0}, 0.0, self.priors.correction * np.sqrt(k / 3.0))
            tell({up: 1.0, down: 1.0}, 0.0, 1e3 * self.priors.correction)
            if j:
                ends = LOOSE if min(KNOTS[j], 1.0 - KNOTS[j - 1]) < 0.07 else 1.0  # the curve is steep there
                tell({up: 1.0, down: -1.0, up - 1: -1.0, down - 1: 1.0}, 0.0, ends * self.priors.correction_step)
        matrix = np.array(rows)
        return np.asarray(matrix.T @ matrix), np.asarray(matrix.T @ np.array(wanted))
