"""Search of what enters a fit non-linearly: time constants, exchange current in the cold, slope over temperature.

A grid first, because the surface has several valleys, then Nelder-Mead from the best. Each parameter is drawn a little
to what is usual, so that data without rests or without change of temperature does not send it to a bound.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from cellarer.lab.fit import KELVIN, KNOTS, USUAL_SLOPE_K, Fitted, Outer, Problem

Floats = NDArray[np.float64]

TAU1 = (1.0, 40.0)
TAU2 = (55.0, 1000.0)
EXCHANGE_C = (0.3, 30.0)  # exchange current, per hour of capacity
SLOPE_K = (500.0, 8000.0)
USUAL = np.array([np.log(12.0), np.log(250.0), USUAL_SLOPE_K])
SPREAD = np.array([1.2, 1.0, 1500.0, 0.6])
SIMPLEX = np.diag([0.4, 0.4, 800.0, 0.4])
STARTS = [(a, b) for a in (2.0, 6.0, 14.0, 30.0) for b in (70.0, 160.0, 400.0, 900.0)]
STARTS_EXCHANGE_C = (1.0, 2.0, 5.0, 15.0)
USUAL_EXCHANGE_C = (
    3.5  # at 0 degC: above it the fast resistance falls (NCA 4 to 5 at 3 degC, 1.7 at -14; NMC 1.3 at -18)
)
WARM_DEGC = 12.0  # above it resistance does not depend on current enough to see


def usual_exchange_C(temp_degC: float) -> float:
    """Exchange current per hour of capacity that cells usually have: Arrhenius' law as for resistance."""
    return USUAL_EXCHANGE_C * float(np.exp(USUAL_SLOPE_K * (1.0 / KELVIN - 1.0 / (temp_degC + KELVIN))))


@dataclass(frozen=True, slots=True)
class Search:
    """One class and the bounds of its search. A point: ln tau1, ln tau2, slope, ln exchange current per capacity."""

    problem: Problem
    fastest_s: float  # sampling: a shorter tau1 cannot be seen
    cold: bool

    @property
    def usual(self) -> Floats:
        """Where a search without data would end."""
        return np.append(USUAL, np.log(usual_exchange_C(self.problem.temp_K - KELVIN)))

    def outer(self, x: Floats) -> Outer:
        """Bounded parameters of a point."""
        tau1 = float(np.exp(np.clip(x[0], np.log(self.fastest_s), np.log(TAU1[1]))))
        tau2 = float(np.exp(np.clip(x[1], *np.log(TAU2))))
        exchange = float(self.problem.capacity_Ah * np.exp(np.clip(x[3], *np.log(EXCHANGE_C))))
        return Outer(tau1, tau2, exchange if self.cold else float("inf"), float(np.clip(x[2], *SLOPE_K)))

    def cost(self, x: Floats) -> float:
        """Misfit plus distance from what is usual."""
        away = ((x - self.usual) / SPREAD) ** 2
        return self.problem.solve(self.outer(x))[1] + float(away[: 4 if self.cold else 3].sum())

    def best(self) -> Floats:
        """Grid, once more with doubtful rows counting less, then Nelder-Mead."""
        starts = [np.array([np.log(a), np.log(b), *self.usual[2:]]) for a, b in STARTS if a >= self.fastest_s]
        best = min(starts or [self.usual], key=self.cost)
        if self.cold:
            best = min((np.array([*best[:3], np.log(c)]) for c in STARTS_EXCHANGE_C), key=self.cost)
        outer = self.outer(best)
        self.problem.reweight(self.problem.solve(outer)[0], outer)
        options = {"maxfev": 70, "xatol": 0.02, "fatol": 0.02,
                   "initial_simplex": best + np.vstack([np.zeros(4), SIMPLEX])}  # fmt: skip
        return np.asarray(minimize(self.cost, best, method="Nelder-Mead", options=options).x)


def fit_class(problem: Problem) -> Fitted:
    """Search the outer parameters of one class and return its tables."""
    items, k = problem.items, len(KNOTS)
    pairs = list(zip(items, problem.rows, strict=True))
    temps = np.concatenate([item.run.temp_degC[rows] for item, rows in pairs])
    soc = np.concatenate([item.soc[rows] for item, rows in pairs])
    celsius = problem.temp_K - KELVIN
    fastest = float(np.median(np.concatenate([item.run.dt[1:] for item in items])))
    search = Search(problem, min(max(TAU1[0], fastest), 20.0), celsius < WARM_DEGC)
    outer = search.outer(search.best())
    p = problem.solve(outer)[0]
    return Fitted(
        celsius, (float(np.quantile(temps, 0.02)), float(np.quantile(temps, 0.98))),
        p[:k], p[k : 2 * k], p[2 * k : 3 * k], p[3 * k : 4 * k] - p[4 * k :],
        outer.tau1, outer.tau2, outer.exchange_A, outer.slope_K,
        problem.miss(p, outer), tuple(item.run.label for item in items), problem.misses(p, outer),
        (float(soc.min()), float(soc.max())),
    )  # fmt: skip
