"""One cell type, compiled: tables on even grids, ready for look-up. The file format is in `cells/`.

Curves are (temperature, SOC) with `temp_degC` as the rows and SOC_POINTS even steps of SOC from 0 to 1.
Values are those of ONE cell; `Pack.parallel` scales capacity and resistance at compile time of a site.
Model (G. Plett, Battery Management Systems vol. 1, ch. 2, sign flipped: + charges):
v = ocv(z, T) + hysteresis(z, T)·h + scale·(r0·g(i) + r1·i1 + r2·i2), g(i) = x·asinh(i/x), x = exchange_A(T),
i_j' = (i − i_j)/tau_j, h' = |rate·i/(3600·capacity_Ah)|·(sign(i) − h), z' = i/(3600·capacity_Ah).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SOC_POINTS = 257  # even steps of SOC: 1/256, fine enough that linear look-up of a table costs < 0.1 mV outside knees


@dataclass(frozen=True, slots=True, eq=False)
class CellModel:
    """A cell type as numbers. Units: V, ohm, s, Ah, degC, J/K, K/W; SOC in fractions."""

    name: str
    title: str
    chemistry: str  # NMC, NCA, LMO, LFP, LTO, Na-ion
    capacity_Ah: float  # as measured at 25 degC from full to empty as the file defines them
    rated_Ah: float  # data sheet
    capacity_sigma: float  # 1: relative sigma of capacity_Ah
    temp_degC: Floats  # (temperature,) rising
    ocv: Floats  # (temperature, soc) V
    hysteresis: Floats  # (temperature, soc) V: half of the gap between charge and discharge branch
    hysteresis_rate: float  # 1: gamma of the one-state hysteresis
    r0: Floats  # (temperature, soc) ohm
    r1: Floats  # (temperature, soc) ohm
    r2: Floats  # (temperature, soc) ohm
    tau1: Floats  # (temperature,) s
    tau2: Floats  # (temperature,) s
    exchange_A: Floats  # (temperature,) A: x in g(i) above: r0 falls at larger current (Butler-Volmer); inf: g(i) = i
    sigma: Floats  # (temperature,) V: how well this model fits measurements; the filter's voltage noise
    doubt_degC: Floats  # (n,) temperatures of `doubt`
    doubt: Floats  # (n,) 1: relative sigma of all resistance there, because it was not measured
    entropy: Floats  # (soc,) V/K: dOCV/dT
    heat_capacity_core: float  # J/K
    heat_capacity_surface: float  # J/K
    core_to_surface: float  # K/W
    surface_to_ambient: float  # K/W, still air
    self_discharge_per_month: float  # fraction of capacity at 25 degC
    estimated: tuple[str, ...]  # names of the fields that are estimated, not measured


@dataclass(frozen=True, slots=True, eq=False)
class HardCaps:
    """What no cell of a chemistry may be set to, whatever its file says (cells/hard_caps.toml). A of one cell."""

    charge_temp_max_degC: float
    charge_temp_min_degC: float
    discharge_temp_max_degC: float
    discharge_temp_min_degC: float
    charge_A: float
    discharge_A: float


@dataclass(frozen=True, slots=True, eq=False)
class CellLimits:
    """What one cell may bear, in three levels; index 0 operating, 1 recommended, 2 maximum (DESIGN §4).

    Below `operating` everything is allowed; from operating to recommended limits fall to zero; beyond maximum: open.
    Currents are magnitudes in A of ONE cell. Sources stand in the cell file beside each number.
    """

    voltage_max: Floats  # (3,) V rising
    voltage_min: Floats  # (3,) V falling
    charge_temp_max_degC: Floats  # (3,) rising
    charge_temp_min_degC: Floats  # (3,) falling
    discharge_temp_max_degC: Floats  # (3,) rising
    discharge_temp_min_degC: Floats  # (3,) falling
    charge_A: Floats  # (3,) rising
    discharge_A: Floats  # (3,) rising
    cap_voltage_max: float  # V: data-sheet cap that the guard's limits never exceed
    cap_voltage_min: float  # V
    cap_temp_max_degC: float  # NaN = the cell file gives none; so are the five below
    cap_charge_temp_max_degC: float
    cap_charge_temp_min_degC: float
    cap_discharge_temp_min_degC: float
    cap_charge_A: float
    cap_discharge_A: float
    hard: HardCaps  # of its chemistry
    deep_discharge: float  # V: below it the cell is never charged again without service
    spread: float  # V between highest and lowest cell at rest, warning
    spread_temp_K: float  # K between sensors, warning
    charge_map_degC: Floats  # (n,) rising: temperatures of the charge-current map
    charge_map_A: Floats  # (n,) A at those temperatures
    charge_voltage: float  # V: end of charge (absorption)
    float_voltage: float  # V: holding after full; NaN = no float
    tail_A: float  # A: current at charge_voltage below which the cell is full
    precondition_below: float  # V: under it only precondition_A
    precondition_A: float  # A
    rebulk_soc: float  # 1: below it a new charge begins
    floor_soc: float  # 1: sleep below it
