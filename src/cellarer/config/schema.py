"""The site file: what an installation has. pydantic checks it once; every error names key, value and allowed range.

Keys carry their unit. A site may narrow the limits of its cells, never widen them. Nothing here is compiled: that is
`compile.py`. Numbering as people count: packs, strings, cells and sensors start at 1.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
MOST_SEED = 2**53 - 1  # generators take none below 0; JSON, in which seeds are told, none above exactly (RFC 8259, 6)
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.\-]*$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SwitchgearFile(Strict):
    """Contactors, FETs or separate ports of one string. Defaults: facts from foxBMS bms_cfg.h.

    `precharge_V` absent: 1 V, or what two voltage channels of 1 % of full scale may differ by (GB/T 38661) if more.
    """

    kind: Literal["none", "contactors", "fets", "separate"] = "none"
    link_voltage: bool = True
    feedback: bool = True
    opening_ms: Annotated[float, Field(ge=0, le=1000)] = 30
    settle_ms: Annotated[float, Field(ge=1, le=5000)] = 50
    precharge_ms: Annotated[float, Field(ge=10, le=60000)] = 2000
    precharge_V: Positive | None = None
    precharge_A: Positive = 0.05
    tries: Annotated[int, Field(ge=1, le=10)] = 3
    pause_ms: Annotated[float, Field(ge=0, le=600000)] = 3000
    resistor_ohm: Positive | None = None
    resistor_max_J: Positive = 500.0
    resistor_W: Positive = 2.0
    break_A: Positive = 5.0
    open_delay_ms: Annotated[float, Field(ge=0, le=500)] = 500
    life_A: Positive = 20000.0


class BalancingFile(Strict):
    """Bleed resistors and converters of one string; absent hardware has bleed_mA = 0, topology = "none".

    `bleed_mA`: what a bleeder takes of a half full cell; `channels`: cells that may bleed at once; `alternate`: odd and
    even cells in turns; `measure_share`: of the time for bleeding, the rest is for measuring (1 = the device sees to it
    itself); `board_K_per_W`: warming by bleeding.
    Converters are driven by devices with authority = "limit" that take such orders (cmu).
    """

    bleed_mA: Annotated[float, Field(ge=0, le=10000)] = 0
    start_mV: Annotated[float, Field(gt=0, le=500)] = 20
    stop_mV: Annotated[float, Field(gt=0, le=500)] = 8
    start_V: Positive | None = None
    max_degC: Finite = 60.0
    channels: Annotated[int, Field(ge=1, le=1000)] | None = None
    alternate: bool = False
    measure_share: Annotated[float, Field(ge=0.05, le=1)] = 0.95
    board_K_per_W: Annotated[float, Field(ge=0, le=1000)] = 0.0
    minimum_soc_pct: Percent = 10.0
    topology: Literal["none", "shuttle", "capacitor", "flyback", "bus", "matrix"] = "none"
    move_A: Annotated[float, Field(gt=0, le=1000)] = 2.0
    efficiency_pct: Annotated[float, Field(ge=10, le=100)] = 90.0
    module_cells: Annotated[int, Field(ge=1, le=1000)] = 8
    converters: Annotated[int, Field(ge=1, le=1000)] | None = None

    @model_validator(mode="after")
    def _hysteresis(self) -> "BalancingFile":
        if self.stop_mV >= self.start_mV:
            raise ValueError(f"stop_mV = {self.stop_mV:g} must be below start_mV = {self.start_mV:g}")
        return self


class NarrowFile(Strict):
    """Narrower than the cell: whole string currents, per-cell voltages. Absent = as the cell file says."""

    charge_A: Positive | None = None
    discharge_A: Positive | None = None
    end_of_charge_V: Positive | None = None
    end_of_discharge_V: Positive | None = None
    charge_degC: tuple[Finite, Finite] | None = None
    discharge_degC: tuple[Finite, Finite] | None = None
    rise_pct_per_s: Annotated[float, Field(gt=0, le=1000)] = 5.0
    pre_alarm_soc_pct: Percent = 10.0

    @field_validator("charge_degC", "discharge_degC")
    @classmethod
    def _rising(cls, ends: tuple[float, float] | None) -> tuple[float, float] | None:
        if ends is not None and ends[0] >= ends[1]:
            raise ValueError(f"[lowest, highest]: {ends[0]:g} must be below {ends[1]:g}")
        return ends


class ThermalFile(Strict):
    """What heats and cools a pack (`heater`, `cooler`). Watts at full order; absent = typical of its size.

    `chiller_W`: heat taken from the coolant in the upper half of the order to cool; the lower half is flow alone.
    `coolest_degC`: of the coolant by the chiller; keep it above the dew point of the place. `humidity_max_pct`: the
    most relative humidity of the place; with it coolant is not chilled below the dew point of the surroundings either,
    measured as `ambient_degC`. `rest_s`: the shortest time on and off. `supply`: what feeds heater, flow, chiller and
    `rest_W` (control and whatever else is always on): pack = behind its main contacts; when they open the heater is
    cut, and flow and chiller go on from another battery.
    """

    heater_W: Positive | None = None
    flow_W: Positive | None = None
    chiller_W: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    coolest_degC: Annotated[float, Field(ge=0, le=40)] = 18.0
    humidity_max_pct: Annotated[float, Field(ge=1, le=100)] | None = None
    rest_s: Annotated[float, Field(ge=0, le=3600)] = 120.0
    rest_W: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    supply: Literal["mains", "pack"] = "mains"


class WiringFile(Strict):
    """A fuse, cable or contact in the path of every string, by its I²t curve as a first-order thermal image.

    It carries `continuous_A` for ever and I amperes for tau_s · ln(I²/(I² − continuous_A²)) seconds from cold.
    """

    name: Name
    continuous_A: Positive
    tau_s: Annotated[float, Field(ge=0.01, le=36000)]


class PackFile(Strict):
    """Strings under one controller.

    bus          which DC bus they feed; packs of one number lie side by side, as a bank
    capacity_Ah  of a series group; absent = cell file × parallel. Within 15 % of the file it is the same cell, aged or
                 well made; further off another size of it (compile.py size_of)
    """

    name: Name
    cell: str
    series: Annotated[int, Field(ge=1, le=1000)]
    parallel: Annotated[int, Field(ge=1, le=1000)] = 1
    strings: Annotated[int, Field(ge=1, le=100)] = 1
    bus: Annotated[int, Field(ge=1)] = 1
    capacity_Ah: Positive | None = None
    temperature_sensors: Annotated[int, Field(ge=0, le=1000)] = 2
    switchgear: SwitchgearFile = SwitchgearFile()
    balancing: BalancingFile = BalancingFile()
    limits: NarrowFile = NarrowFile()
    wiring: list[WiringFile] = []
    heater: bool = False
    cooler: bool = False
    thermal: ThermalFile = ThermalFile()


class LinkFile(Strict):
    """A bus.

    `url`: bench:NAME (simulated, loopback), socketcan:can0, udp_multicast:239.74.163.2:43113,
    serial:/dev/ttyUSB0?baud=9600, tcp:HOST:PORT, pty:PATH.
    """

    name: Name
    url: str


class DeviceFile(Strict):
    """Something we read or drive. `protocol` is a file of wire/protocols; numbers say which part of the pack it is.

    `signals` lists what it measures: absent is not unknown. `drops_after_ms`: its outputs open by themselves that long
    after the last refresh; `watchdog`: a hardware watchdog does it. `protects`: fault rows it acts on by itself.
    """

    name: Name
    protocol: str
    link: str
    pack: Annotated[int, Field(ge=1)] = 1
    string: Annotated[int, Field(ge=1)] = 1
    first_cell: Annotated[int, Field(ge=1)] = 1
    cells: Annotated[int, Field(ge=0, le=1000)] = 0
    first_temperature: Annotated[int, Field(ge=1)] = 1
    temperatures: Annotated[int, Field(ge=0, le=1000)] = 0
    address: Annotated[int, Field(ge=0)] = 1
    signals: list[str] | None = None
    max_age_ms: Annotated[float, Field(ge=10, le=3600000)] | None = None
    period_ms: Annotated[float, Field(ge=1, le=600000)] | None = None
    authority: Literal["observe", "limit", "switch"] = "observe"
    drops_after_ms: Annotated[float, Field(ge=10, le=300)] | None = None
    watchdog: bool = False
    protects: list[str] = []
    options: dict[str, float | int | str | bool] = {}


class FaceFile(Strict):
    """What machines see of us. `protocol` is a file of wire/protocols, for example pylontech_lv, vcu, mqtt.

    pack   which pack, from 1; 0 = all of a bus side by side
    bus    which bus, where packs feed several and `pack` is 0
    """

    name: Name
    protocol: str
    link: str
    pack: Annotated[int, Field(ge=0)] = 0
    bus: Annotated[int, Field(ge=1)] | None = None
    carries_limits: bool = True
    period_ms: Annotated[float, Field(ge=1, le=600000)] | None = None
    options: dict[str, float | int | str | bool] = {}


class LoadFile(Strict):
    """What acts on the simulated pack: household with solar, drive cycle, constant, charger.

    It behaves as in the field: answers limits `delay_s` late in steps of `step_A`, does not follow changes within
    `dead_band_A`, moves no faster than `slew_A_per_s`, is `voltage_offset_V` off at the charge voltage. It misbehaves
    where told: does not obey some limits (`ignores`; `obeys_limits = false`: none), drops out every `drops_every_s` for
    `drops_for_s`, or charges when it should discharge (`wrong_sign`).
    """

    kind: Literal["home", "drive", "ebike", "laptop", "constant", "rest"] = "home"
    inverter_A: Positive | None = None
    solar_kWp: Annotated[float, Field(ge=0)] = 0.0
    demand_kWh_per_day: Annotated[float, Field(ge=0)] = 0.0
    current_A: Finite = 0.0
    trips_per_day: Annotated[float, Field(gt=0, le=6)] | None = None  # None = one after the other
    obeys_limits: bool = True
    ignores: list[Literal["charge", "discharge", "voltage"]] = []
    delay_s: Annotated[float, Field(ge=0, le=60)] = 1.0
    step_A: Positive | None = None
    dead_band_A: Annotated[float, Field(ge=0, le=1000)] | None = None
    slew_A_per_s: Positive | None = None
    voltage_offset_V: Annotated[float, Field(ge=-10, le=10)] = 0.0
    drops_every_s: Positive | None = None
    drops_for_s: Positive = 60.0
    wrong_sign: bool = False


class YearFile(Strict):
    """How a year differs from the one day that the rest of [simulation] describes; used by runs over years.

    Both swings are half of the whole way. Sun: the yield falls with the square of the length of the day.
    """

    swing_K: Annotated[float, Field(ge=0, le=40)] = 0.0
    daily_K: Annotated[float, Field(ge=0, le=20)] = 0.0
    daylight_swing_h: Annotated[float, Field(ge=0, le=11)] = 0.0
    coldest_day: Annotated[int, Field(ge=1, le=366)] = 20
    trips_per_day: Annotated[float, Field(gt=0, le=6)] | None = None


class SimulationFile(Strict):
    seed: Annotated[int, Field(ge=0, le=MOST_SEED)] = 1
    start_soc_pct: Percent = 55.0
    soc_spread_pct: Annotated[float, Field(ge=0, le=20)] = 1.0
    capacity_spread_pct: Annotated[float, Field(ge=0, le=20)] = 0.6
    resistance_spread_pct: Annotated[float, Field(ge=0, le=50)] = 4.0
    ambient_degC: Finite = 22.0
    start_hour: Annotated[float, Field(ge=0, lt=24)] = 10.0
    load: LoadFile = LoadFile()
    year: YearFile = YearFile()


class GuardFile(Strict):
    """The guard's own limits, between control's maximum and the data-sheet cap. Absent = the middle of both.

    `device`: what only the guard reads, so that a wrong table or sensor does not deceive both. It observes, on a link
    of its own, or on a CAN bus that devices of control use too: there it only listens. What one of these measures of
    a string the guard takes from these alone.
    """

    cell_voltage_max_V: Positive | None = None
    cell_voltage_min_V: Positive | None = None
    temperature_max_degC: Finite | None = None
    charge_A: Positive | None = None
    discharge_A: Positive | None = None
    consent_cycles: Annotated[int, Field(ge=1, le=10)] = 3
    device: list[DeviceFile] = []


class SleepFile(Strict):
    """When a site sleeps. `command` releases the supply, returns when it is back: ["rtcwake", "-m", "mem", …]."""

    idle_min: Annotated[float, Field(gt=0, le=525600)] = 60.0
    timer_min: Annotated[float, Field(ge=0, le=525600)] = 0.0
    command: list[str] = []


class SiteFile(Strict):
    name: Name
    note: str = ""
    cycle_ms: Annotated[float, Field(ge=5, le=1000)] = 20
    estimate_ms: Annotated[float, Field(ge=10, le=60000)] = 100
    power_ms: Annotated[float, Field(ge=100, le=600000)] = 1000
    pack: Annotated[list[PackFile], Field(min_length=1)]
    signals: list[str] | None = None
    link: list[LinkFile] = []
    device: list[DeviceFile] = []
    face: list[FaceFile] = []
    simulation: SimulationFile | None = None
    guard: GuardFile = GuardFile()
    sleep: SleepFile | None = None
    keep: list[str] = []  # folders, on another disk at best, for copies of lifetime counters and permanent faults
    web_port: Annotated[int, Field(ge=0, le=65535)] = 8090
