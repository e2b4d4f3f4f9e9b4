"""Coulomb counting with honest sigma: the estimator called none. Starts from OCV at the first known voltage.

It is the sibling for sites that want no model, and the yardstick of the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cellarer.model.cell import SOC_POINTS, CellModel
from cellarer.model.values import Floats, Ints

START_SIGMA = 0.1
DRIFT = 1.5e-4  # 1/√s: random walk of a counted SOC


@dataclass(frozen=True, slots=True, eq=False)
class EstimatorConfig:
    """Tables of the site."""

    ocv: Floats  # (kind, soc) at 25 degC
    kind: Ints  # (cell,)
    capacity_Ah: Floats  # (cell,)


@dataclass(frozen=True, slots=True, eq=False)
class EstimateState:
    """Memory, (cell,)."""

    soc: Floats
    sigma: Floats
    capacity_Ah: Floats
    capacity_sigma_Ah: Floats
    resistance_scale: Floats
    voltage_model: Floats


def compile_cells(models: Sequence[CellModel], kind: Ints, capacity_Ah: Floats, parallel: Ints) -> EstimatorConfig:
    """Return the tables."""
    ocv = np.array([m.ocv[int(np.abs(m.temp_degC - 25.0).argmin())] for m in models])
    return EstimatorConfig(ocv, kind, capacity_Ah)


def init(
    cfg: EstimatorConfig,
    soc0: Floats,
    sigma0: Floats,
    capacity_Ah: Floats | None = None,
    capacity_sigma_Ah: Floats | None = None,
    resistance_scale: Floats | None = None,
) -> EstimateState:
    """Return the memory before the first step; NaN SOC is unknown."""
    n = cfg.kind.size
    return EstimateState(
        soc0,
        np.where(np.isnan(sigma0), START_SIGMA, sigma0),
        cfg.capacity_Ah if capacity_Ah is None else capacity_Ah,
        0.05 * cfg.capacity_Ah if capacity_sigma_Ah is None else capacity_sigma_Ah,
        np.ones(n) if resistance_scale is None else resistance_scale,
        np.full(n, np.nan),
    )


def set_soc(cfg: EstimatorConfig, state: EstimateState, soc: Floats) -> EstimateState:
    """Return the memory with SOC set where `soc` is a number."""
    asked = ~np.isnan(soc)
    return replace(state, soc=np.where(asked, soc, state.soc), sigma=np.where(asked, 0.02, state.sigma))


def step(
    cfg: EstimatorConfig,
    state: EstimateState,
    voltage: Floats,
    current: Floats,
    temp: Floats,
    dt_s: float,
    mean: Floats,
) -> EstimateState:
    """Count."""
    soc = state.soc
    unset = np.isnan(soc) & ~np.isnan(voltage)
    if unset.any():
        grid = np.linspace(0.0, 1.0, SOC_POINTS)
        guess = np.empty_like(soc)
        for kind in range(cfg.ocv.shape[0]):
            mine = cfg.kind == kind
            guess[mine] = np.interp(voltage[mine], cfg.ocv[kind], grid)
        soc = np.where(unset, guess, soc)
    counted = soc + np.where(np.isnan(mean), 0.0, mean) * dt_s / (3600.0 * state.capacity_Ah)
    lost = np.where(np.isnan(mean), 0.2 * dt_s / 3600.0, 0.0)
    return replace(
        state,
        soc=np.clip(counted, -0.03, 1.03),
        sigma=np.minimum(np.sqrt(state.sigma**2 + DRIFT**2 * dt_s) + lost, 0.5),
    )
