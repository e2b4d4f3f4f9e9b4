"""What goes through the house: Sample → Seen → Estimate, Faults, Window → Command, and the State between cycles.

All are frozen; arrays in them are never altered in place. Axis names: cell, temp, string, pack, signal (flat, see
Layout), row (of the fault table). Unknown is NaN; a time never reached is NEVER. Time is integer monotonic ns.
"""

import math
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from cellarer.model.advice import Advised

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bytes = NDArray[np.int8]
Bools = NDArray[np.bool_]
Record = TypeVar("Record")

NEVER = -(2**62)
FOREVER = 2**62
WAYS = ("charge", "discharge")  # axis `way`
CELL_SUSPICIONS = ("self_discharge", "joint_resistance", "weak_cell", "lost_parallel", "current_drift", "charge_lost")
SUSPICIONS = (*CELL_SUSPICIONS, "string_joints")  # decide/diagnose.py
HORIZONS_S = (2.0, 10.0, 30.0, 1800.0)  # axis `horizon` of SOP; the last stands for continuous


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What links delivered until now, flat over all signals. Order: Layout.where."""

    value: Floats  # (signal,) NaN where nothing was ever delivered
    time_ns: Ints  # (signal,) when it was measured; NEVER where nothing was


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A Sample after validation: stale, absurd and absent are NaN."""

    value: Floats  # (signal,)
    time_ns: Ints  # (signal,) of the last sample, good or bad
    valid_ns: Ints  # (signal,) when it was last valid
    absurd: Bools  # (signal,) the newest sample is out of its plausible range or not a number


class Level(IntEnum):
    """What a fault row does. Higher is more severe."""

    INFORM = 0
    WARN = 1
    DERATE = 2  # limits are multiplied by the row's fraction
    RAMP = 3  # limits go to zero, then the path opens
    OPEN = 4  # the path opens now


class Latch(IntEnum):
    """What ends a fault."""

    SELF = 0  # its own release value
    RESET = 1  # cause gone and an authorised reset
    SERVICE = 2  # permanent: survives restart, needs the service key


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Bad samples in a row of single cells and sensors, (spot,): see core.decide.runs. Empty where none is bad."""

    since_ns: Ints  # FOREVER where not bad
    counted: Ints  # fresh bad samples


@dataclass(frozen=True, slots=True, eq=False)
class Faults:
    """Memory of the fault machine; every array but `runs` is (row, string)."""

    bad_since_ns: Ints  # FOREVER where not bad
    good_since_ns: Ints  # FOREVER where not good
    counted: Ints  # fresh bad samples in a row
    counted_ns: Ints  # time of the newest sample counted
    active: Bools  # condition confirmed
    latched: Bools  # stays after the condition is gone
    raised_value: Floats  # what the signal said when the row became active, in people's sign; NaN before
    raised_cell: Ints  # the cell or sensor it was; −1 = none
    runs: Runs  # of single elements: not (row, string)


class Phase(IntEnum):
    """Phases of a string's switchgear."""

    OPEN = 0
    MINUS = 1  # minus closed, settling
    PRECHARGE = 2
    PLUS = 3  # plus closed, precharge still in, settling
    CLOSED = 4
    RAMP = 5  # limits are zero, waiting for the current to fall
    OPENING = 6  # ordered open, waiting for proof
    COOLING = 7  # a try failed: pause, resistor cools
    CHARGE_ONLY = 8  # the discharge path is open, the charge path closed (FETs and separate ports)
    DISCHARGE_ONLY = 9
    CHARGE_RAMP = 10  # the charge path alone is closed, its limit is zero, waiting for the current (separate ports)
    DISCHARGE_RAMP = 11


@dataclass(frozen=True, eq=False)  # without slots: see renew
class Switches:
    """Memory of the switchgear machine; every array is (string,) unless said."""

    phase: Bytes
    since_ns: Ints
    tries: Ints  # precharge attempts since the last success
    resistor_J: Floats  # heat in the precharge resistor
    closings: Ints  # lifetime wear counters; they never go back
    openings_under_load: Ints
    wear: Floats  # 1: share of contact life used, from switched current
    opened_A: Floats  # A: current at the last opening; NaN if unknown
    ramp_ns: Ints  # (way, string): since when a fault has been ramping a path that is closed; FOREVER = not now
    rest_A: Floats  # A: mean of what the current sensor showed while the string was last open; 0 until it was
    rest_variance: Floats  # A²: of that mean, from the noise between successive samples
    trusted_ns: Ints  # since when all that closing rests on has been known without a break; FOREVER = it is not
    apart_V: Floats  # (2, string) how far above (− below) the bus one is that waits, and its bound; NaN = none waits
    refill_V: Floats  # highest that the lowest cell of a pair closed to be charged only stood at since charge last came


class ChargePhase(IntEnum):
    """Phases of charging, per string."""

    IDLE = 0
    BLOCKED = 1
    PRECONDITION = 2
    BULK = 3
    ABSORPTION = 4
    FLOAT = 5
    TAPER = 6  # at end voltage with a small current: the end of charge, if it lasts
    HOLD = 7  # full; end voltage is held while cells are evened out
    STORAGE = 8  # the SOC to hold is reached
    REFILL = 9  # after under-voltage: charge only, until enough has come back
    WARMING = 10  # too cold to charge


@dataclass(frozen=True, slots=True, eq=False)
class Charging:
    """Memory of the charge machine; (string,) where nothing else is said."""

    phase: Bytes
    since_ns: Ints
    tail_since_ns: Ints  # since when voltage is up and current down; FOREVER = not now
    full_soc: Floats  # highest SOC since full, as estimated: a new charge begins so far below it
    low_soc: Floats  # lowest SOC since a refill began; NaN = none
    touch: Bools  # a full charge is due
    decided_V: Floats  # (2, string) highest and lowest cell by which this phase was chosen, with what bleeding hides


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Limits of each string with the reason that binds; magnitudes ≥ 0, (string,). Unknown gives 0."""

    charge_A: Floats
    discharge_A: Floats
    charge_V: Floats  # CVL: charge no further than this voltage
    discharge_V: Floats  # discharge no further than this voltage
    charge_W: Floats
    discharge_W: Floats
    charge_reason: Bytes  # index into model.reasons.REASONS
    discharge_reason: Bytes
    voltage_reason: Bytes
    peak_A: Floats  # (horizon, way, string) what may flow for 2, 10, 30 s and continuously; way 0 charges
    peak_W: Floats  # (horizon, way, string)
    uneven_V: Floats  # what the highest cell takes off the charge voltage, smoothed


@dataclass(frozen=True, eq=False)  # without slots: see renew
class Estimate:
    """What the estimators say, with sigma. Advisory: it can narrow limits, never widen or clear anything."""

    soc: Floats  # (cell,) fraction
    soc_sigma: Floats  # (cell,)
    resistance_scale: Floats  # (cell,) 1 = as the cell file says
    capacity_Ah: Floats  # (cell,) of the series group
    capacity_sigma_Ah: Floats  # (cell,)
    voltage_model: Floats  # (cell,) V
    core_degC: Floats  # (cell,)
    soc_between_sigma: Floats  # (cell,) sigma of SOC against the other cells of the string, as errors of all cancel
    resistance_sigma: Floats  # (cell,) of resistance_scale, which is SOH_R: normalised to temperature and SOC
    string_soc: Floats  # (string,) usable SOC: Q_d/(Q_d + Q_c)
    string_soc_sigma: Floats  # (string,)
    usable_Ah: Floats  # (string,) Q_d + Q_c
    energy_Wh: Floats  # (string,) to the first cell's lower limit
    energy_sigma_Wh: Floats  # (string,)
    taper_Ah: Floats  # (string,) what the fall of the current at the end of a charge takes, as Ah at the mean current
    stranded_Ah: Floats  # (string,) charge that stays in: at the mean current the lower voltage comes first
    mean_A: Floats  # (string,) slow mean of the current, + charges
    time_to_empty_s: Floats  # (string,) at the mean current until charge or voltage end; inf while not discharging
    time_to_full_s: Floats  # (string,) likewise until end voltage and tail current
    time_sigma_s: Floats  # (string,) of whichever of the two is finite; inf while neither is
    end_sigma_Ah: Floats  # (way, string) of what voltage does to the ends, by resistance and temperature
    sop_A: Floats  # (horizon, way, string) current that can be held, margin for sigma included; NaN until first known
    sop_W: Floats  # (horizon, way, string) power likewise (SOP)
    sop_cell: Ints  # (horizon, way, string) which cell binds; −1 until first known
    sop_reason: Bytes  # (horizon, way, string) and why: index into core.estimate.REASONS

    @property
    def charge_10s_W(self) -> Floats:
        """SOP of charging over 10 s, W, (string,)."""
        return self.sop_W[1, 0]

    @property
    def discharge_10s_W(self) -> Floats:
        """SOP of discharging over 10 s, W, (string,)."""
        return self.sop_W[1, 1]


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """What the devices are told this cycle."""

    minus: Bools  # (string,) coil or switch ordered closed
    precharge: Bools  # (string,)
    plus: Bools  # (string,)
    charge_switch: Bools  # (string,)
    discharge_switch: Bools  # (string,)
    window: Window
    pack_charge_A: Floats  # (pack,) what its strings may take together, by their shares
    pack_discharge_A: Floats  # (pack,)
    bank_charge_A: Floats  # (bus,) what all packs side by side on it may take
    bank_discharge_A: Floats  # (bus,)
    bleed: Bools  # (cell,)
    move: Floats  # (2, cell) 0…1: share of the time that each cell's converter gives charge away, takes charge in
    heater: Floats  # (pack,) 0…1
    pump: Floats  # (pack,) 0…1
    allow_charge: Bools  # (pack,) digital outputs
    allow_discharge: Bools  # (pack,)
    pre_alarm: Bools  # (pack,) raised before a load cut
    start_generator: Bools  # (pack,)
    force_charge: Bools  # (pack,) asks for charge from any source, now
    full_charge: Bools  # (pack,) asks for a full charge when there is a chance
    buzzer: Bools  # (pack,)


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """What people and machines ask for in this cycle, per pack; NaN, 0 or False = nothing. What lasts: State.wishes."""

    close: Bools
    open: Bools
    reset: Bools
    service: Bools  # with reset: the service key was shown
    set_soc: Floats  # fraction
    zero_current: Bools
    target_soc: Floats  # fraction to hold when idle; from core.asked.FULL_FROM on: charge to full, none is held
    full_by_ns: Ints  # NEVER = no request, FOREVER = withdraw
    confirm_unknown_soc: Bools  # a person accepts to close without durable state


@dataclass(frozen=True, slots=True, eq=False)
class Wishes:
    """Requests that last, per pack, and what keeps them. Kept over a restart: a new field needs a default."""

    closed: Bools
    target_soc: Floats  # NaN = none: charge to full
    full_by_ns: Ints  # FOREVER = none
    confirmed: Bools  # durable state was there, or a person confirmed to go on without
    late: Bools  # charging to be full by then has begun: it goes on until that request ends
    full_ns: Ints  # when it would be full, charged from now on; FOREVER = not asked, or not known
    charger_A: Floats  # (string,) A that chargers gave in bulk, see core.asked


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What slow planners propose; the rules follow it while it is valid and within their bounds."""

    expires_ns: int  # of doses and moves; NEVER = no plan
    bleed_Ah: Floats  # (cell,) dose still to take out of each cell; 0 = not to bleed; NaN = as the rules say
    preheat_degC: Floats  # (pack,) keep cells this warm, instead of what the rules keep; NaN = as the rules say
    move: Floats  # (2, cell) 0…1 what converters do, as in Command
    precool_degC: Floats  # (pack,) cooling begins here, instead of where the rules begin; NaN = as the rules say
    climate_ns: int  # when preheat_degC and precool_degC expire; NEVER = they were never valid


def no_plan(cells: int, packs: int) -> Plan:
    """Return a plan that was never valid."""
    unknown = np.full(packs, np.nan)
    return Plan(NEVER, np.full(cells, np.nan), unknown, np.zeros((2, cells)), unknown, NEVER)


@dataclass(frozen=True, slots=True, eq=False)
class Balancing:
    """Memory of balancing: bleeding goes in turns with pauses, in which cells are measured undisturbed."""

    chosen: Bools  # (cell,) who bleeds in this turn
    planned: Bools  # (string,) by a plan, else by voltage
    begin_ns: Ints  # (string,) of this turn
    turn: Ints  # (string,) number of this turn: where odd and even cells take turns, it says whose turn it is
    dirty_ns: Ints  # (cell,) when its reading was disturbed last
    moved_Ah: Floats  # (cell,) put in by converters less bled, since the start
    counted_Ah: Floats  # (cell,) of that what the estimators know
    unread_ns: Ints  # (cell,) when its converter was last ordered to work and not measured; NEVER = it never was
    unbled: Floats  # (3, string) highest cell V and current A when readings stood last, drop V that bleeding makes


@dataclass(frozen=True, slots=True, eq=False)
class Climate:
    """Memory of heating and cooling; every array is (pack,) unless said otherwise."""

    heating: Bools
    heating_ns: Ints  # since when it is on, or off
    cooling: Bools
    cooling_ns: Ints
    began_degC: Floats  # hottest cell when cooling began; NaN = unknown
    around_degC: Floats  # (2, pack) warmest and coldest that coolant may be with all off; NaN = unknown


@dataclass(frozen=True, eq=False)  # without slots: see renew
class Counters:
    """Lifetime counters that never go back, (string,)."""

    charge_Ah: Floats
    discharge_Ah: Floats
    charge_Wh: Floats
    discharge_Wh: Floats
    hot_s: Floats  # beyond the operating temperature
    cold_s: Floats
    deep_discharges: Ints
    overcharges: Ints
    openings: Ints = field(default_factory=lambda: np.zeros(0, np.int64))  # with current or without
    broken_A: Floats = field(default_factory=lambda: np.zeros(0))  # A: the largest current that was ever broken


class Event(NamedTuple):
    """One change with its cause. Made only when something changed; texts are made from it by `model.events`."""

    time_ns: int
    kind: str  # fault, clear, switch, charge, request, refuse, system
    name: str  # row of the fault table, transition, request
    string: int  # −1 = none
    cell: int  # from 0; −1 = none
    value: float
    limit: float
    cause: str
    lasted_s: float = math.nan  # of a fault: how long the row had been bad before it tripped


@dataclass(frozen=True, eq=False)  # without slots: see renew
class Response:
    """Memory of core.response: what sensors ought to have shown. (string,) unless said."""

    passed: Floats  # A·s that went in since the start
    passed_then: Floats  # (cell,) the same when the cell's reading last changed
    looked_ns: int  # when current and voltage were last compared
    current: Floats  # A then
    base_ns: Ints  # when the current was last steady
    base_A: Floats  # A then
    base_V: Floats  # V per cell then
    off_A: Floats  # A: how far the current then was from its mean over the last seconds
    off_V: Floats  # V per cell: the same of the voltage
    agreed: Floats  # 1: sum over steps of the change of voltage over what resistance makes of the change of current
    steps: Floats  # how many steps that is; older ones count less
    mean_V: Floats  # V per cell, over the last seconds
    mean_A: Floats  # A, over the last seconds
    drop_V: Floats  # V, the same of the string's voltage less its cells'; NaN = unknown, and begins anew
    drop_A: Floats  # A, the same of the current, while that is known
    before_V: Floats  # V per cell before the last step of current that had not been answered at once; NaN = was
    worth_V: Floats  # what that step was worth by resistance, V per cell
    waited: Ints  # looks since, at a current that has stayed
    silence: Floats  # 1: share of that step that no cell answers, once waited for; 0 = nothing to say


@dataclass(frozen=True, eq=False)  # without slots: see renew
class Watch:
    """Memory of validation and of the signals that need a past."""

    valid_ns: Ints  # (signal,) last time each signal was valid
    cell_voltage: Floats  # (cell,) value at its last change
    current_then: Floats  # (cell,) string current at that moment
    others_then: Floats  # (cell,) mean voltage of the other cells of its string at that moment
    others: Floats  # (cell,) the same now; NaN where there is no other
    earlier: Floats  # (2, filtered) the two known samples before the newest one; see validate.filtered
    temp_degC: Floats  # (temp,) at the begin of the present rate window
    temp_ns: Ints  # (temp,)
    temp_slope: Floats  # (temp,) K/s over the last window
    temp_rate: Floats  # (temp,) K/s, the lower one of the last two windows
    climbs: Ints  # (temp,) how many steep steps it has risen by, one after the other; see validate.climb
    climb_degC: Floats  # (temp,) where the last one ended
    climb_ns: Ints  # (temp,) when; in the future while the sensor is not calm
    climb_rate: Floats  # (temp,) K/s of the last one
    current: Floats  # (string,) A in the last cycle
    flowed_ns: Ints  # (way, string) when it last charged, and discharged
    charge: Floats  # (string,) A·s since the last estimation
    charge_s: Floats  # (string,) over how many known seconds
    told_A: Floats  # (slot, way, string) greatest limit published in each of the last slots of time, newest first
    told_ns: int  # when the newest slot began
    allowed_charge_A: Floats  # (string,) published limit, falling no sooner and no faster than machines can follow
    allowed_discharge_A: Floats  # (string,)
    over_charge_A: Floats  # (string,) A beyond that; −inf where nothing is published to anybody
    over_discharge_A: Floats  # (string,)
    excess: Floats  # (bound, 3, string) 1: what current was beyond bounds lately; see core.excess
    wire_heat: Floats  # (element, string) A²: slow mean of current squared in fuse, cables, contacts
    response: Response


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """What the cells of a round over all of them can do, as far as it has come; (way, string)."""

    least: Floats  # A, or Ah left, of the weakest cell; inf before the first, NaN where one is unknown
    volts: Floats  # sum of the cells' voltages at the end
    cell: Ints  # the weakest
    reason: Bytes
    done: int  # cells; at the end of a round all of them, for every horizon


@dataclass(frozen=True, eq=False)  # without slots: see renew
class Forecast:
    """Memory of core.forecast."""

    power: Round  # of the horizon at work; its round began at State.power_ns
    energy: Round  # one way: discharge
    energy_ns: int  # when its round began
    heat_A2: Floats  # (way, string) thermal image: leaky mean of the current squared, A² of one cell
    shown_V: Floats  # (cell,) reading when the estimators ran, with what bleeding hides of it; 0 = none


@dataclass(frozen=True, slots=True, eq=False)
class Joints:
    """Memory of decide.joints: changes of current and of what drops between the cells, older ones less; (string,)."""

    current: Floats  # A at the last look; NaN = unknown
    dropped: Floats  # V then: the string's voltage less its cells'
    bled: Floats  # how many cells bled; NaN = just changing
    looks: Floats  # how many changes
    current2: Floats  # A²: sum of squares of changes
    both: Floats  # V·A
    dropped2: Floats  # V²


@dataclass(frozen=True, slots=True, eq=False)
class Diagnosis:
    """What the estimates make suspect, for the estimated rows of the fault table; see decide/diagnose.py."""

    value: Floats  # (suspicion, string) of its worst cell, in the unit of the suspicion; −inf where nothing is known
    known: Bools  # (suspicion, string) of all cells
    time_ns: Ints  # (suspicion, string) of the last look
    cell: Ints  # (suspicion, string) which cell; −1 = none
    shift_Ah: Floats  # (2, cell) charge above the string's median at an older look and one since, NaN before them
    shift_sigma_Ah: Floats  # (2, cell)
    moved_Ah: Floats  # (2, cell) put in by converters less bled, then
    then_ns: Ints  # (2, cell) when that was
    counted_Ah: Floats  # (cell,) charge put in by sensor and converters less bled, at another earlier look
    counted_soc: Floats  # (cell,) then, NaN before it
    counted_sigma: Floats  # (cell,)
    counted_ns: Ints  # (cell,) when that was
    joints: Joints


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Everything that one cycle leaves to the next. `step` makes a new one; nothing is altered."""

    time_ns: int  # NEVER before the first cycle
    cycle: int
    watch: Watch
    estimator: object  # core.estimate's own state
    estimate: Estimate
    estimated_ns: int  # when the estimate was made
    power_ns: int  # when the present round of SOP began
    forecast: Forecast
    advised: Advised
    diagnosis: Diagnosis
    faults: Faults
    switches: Switches
    charging: Charging
    balancing: Balancing
    climate: Climate
    wishes: Wishes
    counters: Counters
    current_zero: Floats  # (string,) A that the current sensor shows at rest; subtracted
    window: Window
    command: Command
    seen: Seen


def renew(record: Record, **changes: object) -> Record:
    """Do what dataclasses.replace does, without its checks field by field, for records without slots."""
    values = record.__dict__ | changes
    if len(values) > len(record.__dict__):
        raise TypeError(f"{type(record).__name__} has no {changes.keys() - record.__dict__.keys()}")
    new = object.__new__(type(record))
    new.__dict__.update(values)
    return new
