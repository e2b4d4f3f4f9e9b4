"""Estimators of every cell: SOC with sigma, resistance, capacity, power, energy, core temperature, imbalance.

State in, state out, arrays over cells, no loop over cells. `compile_cells` once per site, `init` once per start,
`step` when the estimation is due, then the read-out functions.
"""

from cellarer.core.estimate.adopt import adopt_capacity, doubted, go_on, looked
from cellarer.core.estimate.advise import Advice, advise
from cellarer.core.estimate.advise import of_cell as advise_cell
from cellarer.core.estimate.between import anchor, between_sigma, empty, uncounted, with_between
from cellarer.core.estimate.capacity import CLAIM, Pairs
from cellarer.core.estimate.capacity import capacity_Ah as _capacity_Ah
from cellarer.core.estimate.capacity import capacity_sigma_Ah as _capacity_sigma_Ah
from cellarer.core.estimate.config import RECORDED_C, EstimatorConfig, Floats, compile_cells
from cellarer.core.estimate.energy import Energy, energy
from cellarer.core.estimate.filter import HAS_KERNEL, init, run_block, set_soc, step
from cellarer.core.estimate.imbalance import Imbalance, imbalance
from cellarer.core.estimate.power import DOUBT, HORIZONS_S, REASONS, Power, power
from cellarer.core.estimate.readout import (
    current_offset,
    current_offset_sigma,
    hysteresis,
    ocv,
    resistance_scale,
    resistance_scale_sigma,
    soc,
    soc_sigma,
    strain,
    voltage_model,
)
from cellarer.core.estimate.state import EstimateState
from cellarer.core.estimate.temperature import core_temperature


def capacity_Ah(cfg: EstimatorConfig, state: EstimateState) -> Floats:
    """Capacity of the series group, (cell,) Ah."""
    return _capacity_Ah(cfg, state.pairs)


def capacity_sigma_Ah(cfg: EstimatorConfig, state: EstimateState) -> Floats:
    """One sigma of the capacity, (cell,) Ah."""
    return _capacity_sigma_Ah(cfg, state.pairs)


__all__ = [
    "CLAIM",
    "DOUBT",
    "HAS_KERNEL",
    "HORIZONS_S",
    "REASONS",
    "RECORDED_C",
    "Advice",
    "Energy",
    "EstimateState",
    "EstimatorConfig",
    "Imbalance",
    "Pairs",
    "Power",
    "adopt_capacity",
    "advise",
    "advise_cell",
    "anchor",
    "between_sigma",
    "capacity_Ah",
    "capacity_sigma_Ah",
    "compile_cells",
    "core_temperature",
    "current_offset",
    "current_offset_sigma",
    "doubted",
    "empty",
    "energy",
    "go_on",
    "hysteresis",
    "imbalance",
    "init",
    "looked",
    "ocv",
    "power",
    "resistance_scale",
    "resistance_scale_sigma",
    "run_block",
    "set_soc",
    "soc",
    "soc_sigma",
    "step",
    "strain",
    "uncounted",
    "voltage_model",
    "with_between",
]
