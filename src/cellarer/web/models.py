"""Forms of the HTTP API, for its OpenAPI document and for what comes in. null is unknown; + current charges.

Answers are not validated again on their way out: board/view.py makes them, and a test holds them against these forms.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Number = float | None
Numbers = list[float | None]

What = Literal["open", "close", "reset", "service", "set_soc", "zero_current", "target_soc", "full_by", "confirm"]
Kind = Literal["fault", "clear", "switch", "charge", "request", "refuse", "system"]


class Form(BaseModel):
    """A form that others may rely on: no field beyond those named."""

    model_config = ConfigDict(extra="forbid")


class Fault(Form):
    """An active fault, the most severe first."""

    name: str
    level: Literal["inform", "warn", "derate", "ramp", "open"]
    text: str = Field(description="in plain words: which cell, which value, which limit")
    cell: int | None = Field(description="from 1")
    value: Number
    limit: Number
    latched: bool = Field(description="stays until it is reset, though its cause may be gone")
    since_s: Number


class Limits(Form):
    """What may flow now; magnitudes. 0 is none, null is unknown."""

    charge_A: Number
    discharge_A: Number
    charge_V: Number = Field(description="charge no further than this voltage")
    discharge_V: Number = Field(description="discharge no further than this voltage")
    charge_W: Number
    discharge_W: Number


class StringLimits(Limits):
    """The same for one string, with the reason that binds."""

    charge_reason: str
    discharge_reason: str
    voltage_reason: str


class Cells(Form):
    """One value per cell, the first is cell 1."""

    voltage_V: Numbers
    soc_pct: Numbers
    soc_sigma_pct: Numbers
    bleeding: list[bool]
    capacity_Ah: Numbers
    capacity_sigma_Ah: Numbers
    soh_pct: Numbers = Field(description="SOH_Q: capacity against that of the new cell; more than 100 is shown")
    resistance_pct: Numbers = Field(description="SOH_R at 25 degC and half charge: 100 = as the cell file says")
    resistance_sigma_pct: Numbers
    soc_between_sigma_pct: Numbers = Field(description="sigma of SOC against the other cells of the string")


class Balancing(Form):
    """What evens the cells of a string out, and what the programme expects; null without a planner."""

    source: str = Field(description="plan, voltage or none")
    missing: list[str] = Field(description="why nothing is balanced now; empty while it is")
    moved_Ah: Numbers = Field(description="into each cell by bleeders and converters since the start")
    finish_s: Number = Field(description="until it is done")
    lost_Wh: Number = Field(description="what that will turn into heat")
    usable_before_Ah: Number
    usable_after_Ah: Number


class Lifetime(Form):
    """What a string has been through. These numbers never go back, also not after a restore of older files."""

    charged_kWh: Number
    discharged_kWh: Number
    hot_min: Number = Field(description="minutes above the temperature at which limits begin to fall")
    cold_min: Number
    deep_discharges: int = Field(description="times below the lowest cell voltage")
    overcharges: int = Field(description="times above the highest cell voltage")
    openings: int = Field(description="of the switchgear; closings stand beside")
    openings_under_load: int = Field(description="above the rating of its contacts")
    broken_A: Number = Field(description="the largest current that was ever broken")


class Peaks(Form):
    """What may flow for 2 s, 10 s, 30 s and continuously, from now."""

    charge_A: Numbers
    discharge_A: Numbers
    charge_W: Numbers
    discharge_W: Numbers


class String(Form):
    """Series cells with one current and one switchgear."""

    phase: str
    phase_since_s: Number
    charge_phase: str
    minus: bool = Field(description="ordered closed")
    precharge: bool
    plus: bool
    charge_switch: bool
    discharge_switch: bool
    feedback: dict[str, bool | None] = Field(description="what the auxiliary contacts say; absent = not wired")
    current_A: Number
    voltage_V: Number
    link_voltage_V: Number = Field(description="behind the switchgear")
    power_W: Number
    soc_pct: Number
    soc_sigma_pct: Number
    better_known_by: list[str] = Field(
        description="what would narrow soc_sigma_pct, the best first; at most a minute old"
    )
    usable_Ah: Number
    closings: int
    wear_pct: Number = Field(description="share of contact life used")
    lifetime: Lifetime
    charged_Ah: Number
    discharged_Ah: Number
    cells: Cells
    balancing: Balancing
    lowest_cell: int | None
    highest_cell: int | None
    lowest_V: Number
    highest_V: Number
    temps_degC: Numbers
    limits: StringLimits
    peaks: Peaks
    power_charge_10s_W: Number
    power_discharge_10s_W: Number
    faults: list[Fault]
    missing: list[str] = Field(description="what must change before it closes, or before the next charge phase")


class Pack(Form):
    """Strings under one controller."""

    name: str
    bus: int
    inputs: dict[str, bool | None] = Field(description="digital inputs that the site has")
    outputs: dict[str, bool | Number]
    limits: Limits
    current_A: Number
    voltage_V: Number
    power_W: Number
    soc_pct: Number
    soc_sigma_pct: Number
    soh_pct: Number
    energy_Wh: Number
    time_to_empty_s: Number
    time_to_full_s: Number
    wish_closed: bool
    strings: list[String]


class Bank(Form):
    """What all packs side by side on a bus may carry, by their shares."""

    bus: int
    charge_A: Number
    discharge_A: Number


class View(Form):
    """A site at one moment."""

    time_ns: int
    unix_s: float
    cycle: int
    overruns: int
    site: str
    config_hash: str
    banks: list[Bank] = Field(description="one for each bus, in their order")
    packs: list[Pack]
    not_protected: list[str]


class Recorder(BaseModel):
    """How the recorder fares."""

    ok: bool
    text: str


class Now(Form):
    """The newest snapshot. When `stale` is true, nothing in `state` may be taken for the present."""

    age_s: Number = Field(description="of the snapshot; null = there is none")
    stale: bool
    recorder: Recorder | None
    state: View | None


class Line(Form):
    """One channel; null where unknown, and in rows that mark a gap."""

    min: Numbers
    avg: Numbers
    max: Numbers


class History(Form):
    """Channels over common bins."""

    width_s: float
    unix_s: list[float] = Field(description="middle of each bin")
    series: dict[str, Line]


class Channels(Form):
    """What is recorded."""

    channels: list[str]
    begin_unix_s: Number
    end_unix_s: Number


class Event(Form):
    """One change with its cause."""

    seq: int
    unix_s: float
    time_ns: int | None
    kind: Kind
    name: str
    pack: int | None = Field(description="from 1, as string and cell")
    string: int | None
    cell: int | None
    value: Number
    limit: Number
    cause: str | None
    text: str | None


class Events(Form):
    """Events, newest first, and the head of their hash chain."""

    events: list[Event]
    head_seq: int
    head_hash: str
    freezes: list[int] = Field(description="numbers of those that have a freeze frame")


class Freeze(Form):
    """What is kept of the inputs around an event; events close together share it."""

    file: str
    size_bytes: int
    begin_unix_s: float
    end_unix_s: float
    program: str
    config_sha256: str
    events: list[str] = Field(description="in plain words")


class Ask(BaseModel):
    """A request. Whether it is done is decided by the rules of the site."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    what: What
    pack: str | None = Field(default=None, max_length=100, description="name; absent = the only pack, or all to open")
    value: float | Literal["none"] | None = Field(
        default=None, description="set_soc, target_soc: %; full_by: unix time in s; none withdraws one of the last two"
    )


class Answer(Form):
    """What became of a request."""

    pack: str
    id: str
    accepted: bool
    text: str


class Answers(Form):
    """One answer per pack that was asked."""

    answers: list[Answer]


class Healthz(Form):
    """Whether this site is being looked after."""

    ok: bool
    text: str
