"""What the estimator says, read from its state: (cell,) arrays, for the series group unless said."""

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate.config import EstimatorConfig
from cellarer.core.estimate.filter import soc_deviation
from cellarer.core.estimate.state import EstimateState, get

Floats = NDArray[np.float64]


def soc(cfg: EstimatorConfig, state: EstimateState) -> Floats:
    """State of charge, fraction; NaN where it has never been known."""
    return np.where(state.unknown, np.nan, get(cfg, state, "z"))


def soc_sigma(cfg: EstimatorConfig, state: EstimateState) -> Floats:
    """One sigma of SOC, fraction; NaN where SOC has never been known."""
    return np.where(state.unknown, np.nan, soc_deviation(cfg, state))


def resistance_scale(cfg: EstimatorConfig, state: EstimateState) -> Floats:
    """Resistance over what the cell file says for this SOC and temperature: so it is already normalised."""
    return get(cfg, state, "k")


def resistance_scale_sigma(cfg: EstimatorConfig, state: EstimateState) -> Floats:
    """One sigma of the resistance scale."""
    return np.sqrt(np.maximum(get(cfg, state, "p44"), 0.0))


def current_offset(cfg: EstimatorConfig, state: EstimateState) -> Floats:
    """Offset of the current sensor as this cell sees it, A of the string."""
    return get(cfg, state, "b") * cfg.parallel


def current_offset_sigma(cfg: EstimatorConfig, state: EstimateState) -> Floats:
    """One sigma of the offset, A of the string."""
    return np.sqrt(np.maximum(get(cfg, state, "p55"), 0.0)) * cfg.parallel


def hysteresis(cfg: EstimatorConfig, state: EstimateState) -> Floats:
    """Hysteresis state, −1 (discharge branch) … 1 (charge branch)."""
    return get(cfg, state, "h")


def voltage_model(cfg: EstimatorConfig, state: EstimateState) -> Floats:
    """Terminal voltage that the model expected at the last step, V."""
    return get(cfg, state, "model_v")


def ocv(cfg: EstimatorConfig, state: EstimateState) -> Floats:
    """Open-circuit voltage at the estimated SOC, mean of both branches, V."""
    return get(cfg, state, "x_ocv") + get(cfg, state, "x_local") * (get(cfg, state, "z") - get(cfg, state, "x_z"))


def strain(cfg: EstimatorConfig, state: EstimateState) -> Floats:
    """Mean of innovation² over what sigma promises: around or below 1 is healthy, far above 1 the filter is lost."""
    return get(cfg, state, "strain")
