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
from scipy.optimize import minimize, nnls

from cellarer.lab.filters import hysteresis, polarisation
from cellarer.lab.sort import Sorted

Floats = NDArray[np.float64]

KNOTS = np.array([0.0, 0.03, 0.06, 0.10, 0.15, 0.20, 0.30, 0.40, 0.50, 0.60, 0.70, 0.80, 0.90, 0.95, 1.0])
SHAPE = 1.0 + 0.9 * np.exp(-KNOTS / 0.07)  # resistance rises towards empty
TAU1 = (1.0, 40.0)
TAU2 = (55.0, 1000.0)
LOOSE = 3.0
HUBER_V = 0.04  # residuals beyond it count less: end of discharge in the cold is another world
ROWS = 5000  # per run that enter the normal equations
MINUTE_S = 60.0
KELVIN = 273.15
WARM_DEGC = 12.0  # above it resistance does not depend on current enough to see


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
    covered: tuple[float, float]  # SOC


def hat(soc: Floats) -> Floats:
    """Hat basis on KNOTS, (row, knot)."""
    z = np.clip(soc, 0.0, 1.0)
    j = np.clip(np.searchsorted(KNOTS, z, side="right") - 1, 0, len(KNOTS) - 2)
    f = (z - KNOTS[j]) / (KNOTS[j + 1] - KNOTS[j])
    out = np.zeros((len(z), len(KNOTS)))
    rows = np.arange(len(z))
    out[rows, j], out[rows, j + 1] = 1.0 - f, f
    return out


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
            minutes = np.clip(run.time_s[-1] / MINUTE_S, 5.0, 200.0)
            self.weight.append(np.full(len(rows), np.sqrt(minutes / max(len(rows), 1)) / priors.error))
            self.over_temp.append(1.0 / (KELVIN + run.temp_degC[rows]) - 1.0 / self.temp_K)
        self.cache: dict[tuple[int, float], Floats] = {}
        self.typical = self._typical()
        self.ridge = self._ridge()

    def _typical(self) -> float:
        """Size of the resistance, from the largest fast steps of current."""
        found = []
        for item in self.items:
            di, dv = np.diff(item.run.current), np.diff(item.run.voltage)
            big = np.abs(di) > 0.5 * max(float(np.abs(di).max()), 1e-9)
            found.append(float(np.median(dv[big] / di[big])))
        return float(np.clip(np.median(found), 1e-6, 10.0))

    def _polarised(self, n: int, tau: float) -> Floats:
        key = (n, round(float(tau), 3))
        if key not in self.cache:
            run = self.items[n].run
            self.cache[key] = np.asarray(polarisation(run.current, run.dt, key[1]))[self.rows[n]]
        return self.cache[key]

    def solve(self, tau1: float, tau2: float, exchange_A: float, slope_K: float) -> tuple[Floats, float, float]:
        """Best linear part: parameters, cost, weighted RMSE."""
        k = len(KNOTS)
        size = 5 * k
        small, right4, square, total = np.zeros((4 * k, 4 * k)), np.zeros(4 * k), 0.0, 0.0
        for n in range(len(self.items)):
            columns = self._columns(n, tau1, tau2, exchange_A, slope_K)
            y = self.weight[n] * self.target[n]
            self._add(n, np.stack([*columns, self.weight[n]]), y, small, right4)
            square += float(y @ y)
            total += float(np.sum(self.weight[n] ** 2))
        # NNLS knows no sign: the correction is a difference of two parts
        both = np.hstack([np.eye(4 * k), np.vstack([np.zeros((3 * k, k)), -np.eye(k)])])
        normal, right = both.T @ small @ both, both.T @ right4
        ridge = self.ridge
        full = normal + ridge
        lower = np.linalg.cholesky(full + 1e-12 * np.trace(full) / size * np.eye(size))
        best, _ = nnls(lower.T, np.linalg.solve(lower, right), maxiter=20 * size)
        misfit = max(square - 2.0 * float(best @ right) + float(best @ normal @ best), 0.0)
        cost = misfit + float(best @ ridge @ best)
        return best, cost, float(np.sqrt(misfit / max(total, 1e-12)))

    def _columns(
        self, n: int, tau1: float, tau2: float, exchange_A: float, slope_K: float
    ) -> tuple[Floats, Floats, Floats]:
        """What the three resistances are multiplied with, weighted, (row,) each."""
        scale = np.exp(np.clip(slope_K * self.over_temp[n], -2.5, 2.5)) * self.weight[n]
        i = self.items[n].run.current[self.rows[n]]
        g = exchange_A * np.arcsinh(i / exchange_A) if np.isfinite(exchange_A) else i
        return scale * g, scale * self._polarised(n, tau1), scale * self._polarised(n, tau2)

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

    def reweight(self, p: Floats, tau1: float, tau2: float, exchange_A: float, slope_K: float) -> None:
        """Let rows that no parameter explains count less (Huber)."""
        k = len(KNOTS)
        for n, (basis, weight) in enumerate(zip(self.basis, self.weight, strict=True)):
            c0, c1, c2 = self._columns(n, tau1, tau2, exchange_A, slope_K)
            model = (c0 * (basis @ p[:k]) + c1 * (basis @ p[k : 2 * k]) + c2 * (basis @ p[2 * k : 3 * k])) / weight
            far = np.abs(self.target[n] - model - basis @ (p[3 * k : 4 * k] - p[4 * k :]))
            self.weight[n] = weight * np.sqrt(np.minimum(1.0, HUBER_V / np.maximum(far, 1e-9)))

    def _ridge(self) -> Floats:
        """Priors as a quadratic form."""
        k = len(KNOTS)
        rows = []
        for block, size in enumerate((1.0, 0.6, 0.8)):
            for j in range(k - 1):
                row = np.zeros(5 * k)
                row[block * k + j], row[block * k + j + 1] = 1.0 / SHAPE[j], -1.0 / SHAPE[j + 1]
                loose = LOOSE if KNOTS[j] < 0.35 else 1.0  # near empty resistance rises by multiples, in the cold early
                rows.append(row / (loose * self.priors.resistance_step * size * self.typical))
        for j in range(k):
            row = np.zeros(5 * k)
            row[3 * k + j], row[4 * k + j] = 1.0, -1.0
            rows.append(row / (self.priors.correction * np.sqrt(k / 3.0)))
            tie = np.zeros(5 * k)
            tie[3 * k + j] = tie[4 * k + j] = 1e-3 / self.priors.correction
            rows.append(tie)
            if j:
                step = np.zeros(5 * k)
                step[[3 * k + j, 4 * k + j, 3 * k + j - 1, 4 * k + j - 1]] = 1.0, -1.0, -1.0, 1.0
                rows.append(step / self.priors.correction_step)
        matrix = np.array(rows)
        return np.asarray(matrix.T @ matrix)


def fit_class(problem: Problem, usual_slope_K: float = 3300.0) -> Fitted:
    """Search the outer parameters of one class and return its tables."""
    q, celsius = problem.capacity_Ah, problem.temp_K - KELVIN
    temps = np.concatenate([item.run.temp_degC[rows] for item, rows in zip(problem.items, problem.rows, strict=True)])
    span = (float(np.quantile(temps, 0.02)), float(np.quantile(temps, 0.98)))
    cold = celsius < WARM_DEGC
    fastest = float(np.median(np.concatenate([item.run.dt[1:] for item in problem.items])))
    lowest = min(max(TAU1[0], fastest), 20.0)

    def cost(x: Floats) -> float:
        tau1, tau2 = np.exp(np.clip(x[0], np.log(lowest), np.log(TAU1[1]))), np.exp(np.clip(x[1], *np.log(TAU2)))
        exchange = q * np.exp(np.clip(x[3], np.log(0.3), np.log(30.0))) if cold else np.inf
        slope = float(np.clip(x[2], 500.0, 8000.0))
        away = ((slope - usual_slope_K) / 1500.0) ** 2
        return problem.solve(float(tau1), float(tau2), float(exchange), slope)[1] + away

    starts = [
        (np.log(a), np.log(b)) for a in (2.0, 6.0, 14.0, 30.0) if a >= lowest for b in (70.0, 160.0, 400.0, 900.0)
    ]
    grid = [np.array([a, b, usual_slope_K, np.log(4.0)]) for a, b in starts]
    best = min(grid, key=cost)
    if cold:
        best = min((np.array([*best[:3], np.log(c)]) for c in (1.0, 2.0, 5.0, 15.0)), key=cost)
    at = (
        float(np.exp(best[0])),
        float(np.exp(best[1])),
        float(q * np.exp(best[3])) if cold else np.inf,
        float(best[2]),
    )
    problem.reweight(problem.solve(*at)[0], *at)
    simplex = best + np.vstack([np.zeros(4), np.diag([0.4, 0.4, 800.0, 0.4])])
    found = minimize(cost, best, method="Nelder-Mead",
                     options={"maxfev": 70, "xatol": 0.02, "fatol": 0.02, "initial_simplex": simplex}).x  # fmt: skip
    tau1 = float(np.exp(np.clip(found[0], np.log(lowest), np.log(TAU1[1]))))
    tau2 = float(np.exp(np.clip(found[1], *np.log(TAU2))))
    exchange = float(q * np.exp(np.clip(found[3], np.log(0.3), np.log(30.0)))) if cold else float("inf")
    slope = float(np.clip(found[2], 500.0, 8000.0))
    p, _, rmse = problem.solve(tau1, tau2, exchange, slope)
    k = len(KNOTS)
    z = np.concatenate([item.soc[rows] for item, rows in zip(problem.items, problem.rows, strict=True)])
    return Fitted(
        celsius, span, p[:k], p[k : 2 * k], p[2 * k : 3 * k], p[3 * k : 4 * k] - p[4 * k :],
        tau1, tau2, exchange, slope,
        rmse, tuple(item.run.label for item in problem.items), (float(z.min()), float(z.max())),
    )  # fmt: skip
