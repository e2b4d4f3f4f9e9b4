"""The form of a cell file: keys with units, sane sizes, unknown keys refused. Contradictions: `checks.py`.

Curves are rows of temperature over SOC columns; one row alone holds at every temperature. Every section names
its source; `sources` beside it names a key's own source where that differs.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(allow_inf_nan=False)]
Voltage = Annotated[float, Field(ge=0.5, le=5.5, allow_inf_nan=False)]
Temperature = Annotated[float, Field(ge=-60.0, le=120.0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0.0, le=100.0, allow_inf_nan=False)]
Milliohm = Annotated[float, Field(ge=0.0, le=100_000.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Current = Annotated[float, Field(gt=0.0, le=20_000.0, allow_inf_nan=False)]
Three = Annotated[list[float], Field(min_length=3, max_length=3)]
Temperatures = Annotated[list[Temperature], Field(min_length=1, max_length=40)]
Percents = Annotated[list[Percent], Field(min_length=2, max_length=1001)]
Text = Annotated[str, Field(min_length=3)]
Factor = Annotated[float, Field(ge=0.0, le=100.0, allow_inf_nan=False)]
Exponent = Annotated[float, Field(ge=0.2, le=2.0, allow_inf_nan=False)]

CHEMISTRIES = ("NMC", "NCA", "LMO", "LFP", "LTO", "Na-ion")


class Section(BaseModel):
    """A part of a cell file: unknown keys are an error, and the source of its numbers is given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Text
    sources: dict[str, Text] = {}


class Capacity(Section):
    """Charge between full and empty. `capacity_Ah` as measured at 25 degC, `rated_Ah` from the data sheet.

    `capacity_sigma_pct`: how well a cell of this kind is known to have it, one sigma; 2 % as cells of one kind differ.
    """

    capacity_Ah: Annotated[float, Field(ge=0.01, le=5000.0, allow_inf_nan=False)]
    rated_Ah: Annotated[float, Field(ge=0.01, le=5000.0, allow_inf_nan=False)]
    capacity_sigma_pct: Annotated[float, Field(ge=0.1, le=50.0, allow_inf_nan=False)] = 2.0
    self_discharge_pct_per_month: Annotated[float, Field(ge=0.0, le=50.0, allow_inf_nan=False)] = 2.0


class Ocv(Section):
    """Open-circuit voltage and half of the gap between its branches; rows are temperatures, columns SOC."""

    temperature_degC: Temperatures
    soc_pct: Percents
    ocv_V: list[list[Voltage]]
    hysteresis_mV: list[list[Annotated[float, Field(ge=0.0, le=300.0, allow_inf_nan=False)]]]
    hysteresis_rate: Annotated[float, Field(ge=0.1, le=1000.0, allow_inf_nan=False)]


class Resistance(Section):
    """Series resistance and two polarisations; `sigma_mV` is how well the model fits measurements there.

    `doubt_pct` over `doubt_degC`, which may be left out: how far resistance as a whole may be off where no data was,
    one sigma; without it every row is taken for measured.
    """

    temperature_degC: Temperatures
    soc_pct: Percents
    r0_mohm: list[list[Milliohm]]
    r1_mohm: list[list[Milliohm]]
    r2_mohm: list[list[Milliohm]]
    tau1_s: list[Annotated[float, Field(ge=0.05, le=300.0, allow_inf_nan=False)]]
    tau2_s: list[Annotated[float, Field(ge=5.0, le=20_000.0, allow_inf_nan=False)]]
    exchange_A: list[Annotated[float, Field(gt=0.0, allow_inf_nan=True)]]
    sigma_mV: list[Annotated[float, Field(ge=0.5, le=300.0, allow_inf_nan=False)]]
    doubt_degC: Temperatures | None = None
    doubt_pct: list[Percent] | None = None


class Thermal(Section):
    """Heat: entropy, capacities of core and surface, resistances to the surface and to still air."""

    entropy_soc_pct: Percents
    entropy_mV_per_K: list[Annotated[float, Field(ge=-3.0, le=3.0, allow_inf_nan=False)]]
    heat_capacity_core_J_per_K: Positive
    heat_capacity_surface_J_per_K: Positive
    core_to_surface_K_per_W: Positive
    surface_to_ambient_K_per_W: Positive


class Limits(Section):
    """Three levels: operating, recommended, maximum. Voltages, temperatures, current magnitudes of one cell.

    Caps are what the data sheet forbids altogether; the guard keeps between the maximum and them. Only those of voltage
    must be given. `cap_temperature_max_degC` holds whatever the cell does, the others in one direction of the current.
    None may lie beyond the hard caps of the chemistry (hard_caps.toml).
    """

    voltage_max_V: Three
    voltage_min_V: Three
    charge_temperature_max_degC: Three
    charge_temperature_min_degC: Three
    discharge_temperature_max_degC: Three
    discharge_temperature_min_degC: Three
    charge_A: Three
    discharge_A: Three
    cap_voltage_max_V: Voltage
    cap_voltage_min_V: Voltage
    cap_temperature_max_degC: Annotated[float, Field(ge=0.0, le=120.0, allow_inf_nan=False)] | None = None
    cap_charge_temperature_max_degC: Temperature | None = None
    cap_charge_temperature_min_degC: Temperature | None = None
    cap_discharge_temperature_min_degC: Temperature | None = None
    cap_charge_A: Current | None = None
    cap_discharge_A: Current | None = None
    deep_discharge_V: Voltage
    spread_mV: Annotated[float, Field(ge=1.0, le=2000.0, allow_inf_nan=False)]
    spread_temperature_K: Annotated[float, Field(ge=0.5, le=60.0, allow_inf_nan=False)]


class Charge(Section):
    """How this cell is charged: map of current over temperature, end, tail, preconditioning, when to begin again."""

    map_degC: Temperatures
    map_A: list[Annotated[float, Field(ge=0.0, le=20_000.0, allow_inf_nan=False)]]
    voltage_V: Voltage
    float_V: Voltage | None = None
    tail_A: Current
    precondition_below_V: Voltage
    precondition_A: Current
    rebulk_soc_pct: Percent
    floor_soc_pct: Percent


class Ageing(Section):
    """Loss of capacity: after a year of rest at a temperature and SOC, and after 1000 equivalent full cycles.

    calendar: rows are temperatures, columns SOC. Cycles: at 25 degC, full depth and 1C, times the three factors.
    Exponents are those of time and of cycles: 0.5 = square root. rise_per_loss: of resistance, per capacity lost.
    compared: least and most that others saw lost where the law says 1; sources.compared says who; absent = nobody.
    """

    measured_degC: Annotated[list[Temperature], Field(min_length=2, max_length=2)]
    measured_rate_per_h: Annotated[list[Factor], Field(min_length=2, max_length=2)]
    measured_depth_pct: Annotated[list[Percent], Field(min_length=2, max_length=2)]
    temperature_degC: Temperatures
    calendar_soc_pct: Percents
    calendar_pct_per_year: list[list[Percent]]
    calendar_exponent: Exponent
    cycle_pct_per_1000: Percent
    cycle_exponent: Exponent
    temperature_factor: list[Factor]
    depth_pct: Percents
    depth_factor: list[Factor]
    rate_per_h: Annotated[list[Factor], Field(min_length=1, max_length=40)]
    rate_factor: list[Factor]
    rise_per_loss: Factor
    compared: Annotated[list[Factor], Field(min_length=2, max_length=2)] | None = None


class CellFile(BaseModel):
    """A whole cell file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_\-.]*$", max_length=80)]
    title: Text
    chemistry: Literal["NMC", "NCA", "LMO", "LFP", "LTO", "Na-ion"]
    form: str = ""
    estimated: list[str] = []
    notes: list[str] = []
    capacity: Capacity
    ocv: Ocv
    resistance: Resistance
    thermal: Thermal
    limits: Limits
    charge: Charge
    ageing: Ageing | None = None
