"""A site, compiled: what `step` needs to know, as arrays. Made by `config/` from TOML, handed to control as one file.

Per-string and per-row values are already resolved (cell file, site file, parallel cells), so that the cycle only
compares and selects. Units as everywhere inside: SI silent, ns for times.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from cellarer.model.cell import CellLimits, CellModel
from cellarer.model.layout import Layout

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bytes = NDArray[np.int8]
Bools = NDArray[np.bool_]


class Switchgear(IntEnum):
    """What maps the charge path and the discharge path to hardware."""

    NONE = 0  # nothing to switch (replay, observation): paths are wishes only
    CONTACTORS = 1  # minus, precharge, plus; both paths share them
    FETS = 2  # common port, one FET per direction
    SEPARATE = 3  # separate charge and discharge ports with a contactor each


SENSOR_SHARE = 0.02  # of the rating, which no sensor's full scale is below: error of currents, GB/T 38661-2020
MOVE_STEP = 0.004  # of the time: as finely converters are ordered, the percent of SAE J1939-71
RESTART = 0.5  # of the heat that a precharge resistor may hold: above, no try begins (own estimate)
CAPACITOR_V = 0.1  # V between neighbours at which a switched capacitor passes its full current


class Topology(IntEnum):
    """Between what the converters of a string move charge; each cell has the converter of its own number."""

    NONE = 0
    SHUTTLE = 1  # an inductor between each cell and the next
    CAPACITOR = 2  # a switched capacitor between each cell and the next: flows by voltage
    FLYBACK = 3  # between each cell and the whole string
    BUS = 4  # between each module and a common bus; its first cell stands for it
    MATRIX = 5  # any cell to any other through a switch matrix


class Authority(IntEnum):
    """How far a device lets us go."""

    OBSERVE = 0
    LIMIT = 1
    SWITCH = 2


@dataclass(frozen=True, slots=True, eq=False)
class Sensing:
    """What is measured, and when it stops counting; all (signal,)."""

    present: Bools  # the site has this signal
    max_age_ns: Ints
    low: Floats  # plausible range
    high: Floats


@dataclass(frozen=True, slots=True, eq=False)
class FaultTable:
    """All fault rows, stacked. Texts stay with the rows: they are needed only when a row changes."""

    name: Sequence[str]  # (row,)
    signal: Sequence[str]  # (row,) key into core.decide.signals
    text: Sequence[str]  # (row,) format string with cell, value, limit
    source: Sequence[str]  # (row,)
    dtc: Sequence[str]  # (row,)
    signal_index: Ints  # (row,) into `signals`
    signals: Sequence[str]  # distinct signals in use
    sign: Floats  # (row,) +1: bad above the threshold, −1: bad below
    trip: Floats  # (row, string)
    release: Floats  # (row, string) inside trip
    debounce_ns: Ints  # (row,)
    samples: Ints  # (row,) fresh samples that must be bad
    release_ns: Ints  # (row,) how long it must be good again
    level: Bytes  # (row,) model.values.Level
    latch: Bytes  # (row,) model.values.Latch
    charge: Bools  # (row,) the row blocks the charge path
    discharge: Bools  # (row,)
    derate: Floats  # (row,) fraction that a DERATE row leaves
    locks: Bools  # (row, string) while latched, the string may carry nothing, whatever people wish: it needs a reset
    budget_ns: Ints  # (row,) from the fault's onset to its reaction
    enabled: Bools  # (row, string) false where the signal is absent


@dataclass(frozen=True, slots=True, eq=False)
class SwitchTable:
    """Switchgear of each string; all (string,)."""

    kind: Bytes  # Switchgear
    authority: Bytes  # Authority of the device that switches
    has_link_voltage: Bools  # precharge can be proven by ΔV
    has_feedback: Bools
    settle_ns: Ints
    precharge_ns: Ints  # longest precharge
    precharge_V: Floats  # |pack − link| below which precharge is done
    precharge_A: Floats  # and |current| below this
    tries: Ints
    pause_ns: Ints  # between tries
    resistor_ohm: Floats  # NaN = none
    resistor_max_J: Floats  # heat it may hold
    resistor_W: Floats  # cooling when hot
    break_A: Floats  # current the contacts may open
    open_delay_ns: Ints  # wait at most this long for the current to fall, then open regardless
    life_A: Floats  # contact life: Σ (I/life_A)² over openings = 1


@dataclass(frozen=True, slots=True, eq=False)
class LimitTable:
    """From operating to recommended, limits fall linearly to zero; all (string,) unless said."""

    rated_charge_A: Floats  # operating level, of the whole string
    rated_discharge_A: Floats
    charge_V: Floats  # cell voltage: full current at or below operating …
    charge_zero_V: Floats  # … none at or above recommended
    discharge_V: Floats
    discharge_zero_V: Floats
    charge_warm_degC: Floats
    charge_hot_degC: Floats
    charge_cool_degC: Floats
    charge_cold_degC: Floats
    discharge_warm_degC: Floats
    discharge_hot_degC: Floats
    discharge_cool_degC: Floats
    discharge_cold_degC: Floats
    map_degC: Floats  # (string, point) charge current over temperature
    map_A: Floats  # (string, point)
    wire_A: Floats  # (element, string) what fuse, cables and contacts carry for ever; inf = none …
    wire_s: Floats  # (element, string) … and the time constant with which they warm
    rise_per_s: Floats  # fraction of the rated limit that comes back per second
    end_of_charge_V: Floats  # per cell
    float_V: Floats  # per cell; NaN = none
    end_of_discharge_V: Floats  # per cell
    deep_V: Floats  # per cell: below it a cell is never charged again without service
    tail_A: Floats  # of the whole string
    tail_ns: Ints  # how long voltage up and current down must last
    precondition_V: Floats  # per cell
    precondition_A: Floats  # of the whole string
    rebulk_soc: Floats
    pre_alarm_soc: Floats
    floor_soc: Floats
    sag_V: Floats  # per cell: so far below the others a cell is weak, not merely different


@dataclass(frozen=True, slots=True, eq=False)
class BalanceTable:
    """Bleeding of each string; (string,)."""

    bleed_A: Floats  # 0 = no bleeders
    start_V: Floats  # per cell: below it voltage says nothing about imbalance
    start_spread_V: Floats
    stop_spread_V: Floats
    max_degC: Floats
    channels: Ints  # most cells that bleed at once
    alternate: Bools  # odd and even cells take turns (shared filter resistors of the measuring chip)
    share: Floats  # fraction of each turn in which bleeding is on; in the rest cells are measured
    board_K_per_W: Floats  # how much one watt of bleeding warms the board
    minimum_soc: Floats  # no cell is bled below it by plan
    topology: Bytes  # Topology of the converters
    move_A: Floats  # out of a cell, at full drive
    efficiency: Floats  # of one conversion
    module: Ints  # cells of a module, for converters of whole modules
    converters: Ints  # most that work at once


@dataclass(frozen=True, slots=True, eq=False)
class ClimateTable:
    """What heats and cools each pack; (pack,)."""

    heater_W: Floats  # at full order; 0 = no heater
    flow_W: Floats  # pump or fan at full flow; 0 = none
    chiller_W: Floats  # heat it takes from the coolant at full order; 0 = none
    coolest_degC: Floats  # coolant is not chilled below
    humidity: Floats  # 1: the most of the place, relative; NaN = unknown: coolest_degC alone counts
    rest_ns: Ints  # heater and flow stay on, and off, at least this long
    rest_W: Floats  # control, valves and whatever else is always on
    behind: Bools  # all of it is fed by the pack, behind its main contacts; else from elsewhere


@dataclass(frozen=True, slots=True, eq=False)
class Config:
    """One site. `hash` identifies the compiled file; events and snapshots carry it."""

    site: str
    version: str  # of Cellarer
    hash: str
    layout: Layout
    pack_names: Sequence[str]  # (pack,)
    bus_of_pack: Ints  # (pack,) rising from 0: packs side by side on one DC bus
    series: Ints  # (string,) cells in series
    parallel: Ints  # (string,)
    size: Floats  # (string,) cells of the file's size side by side that a series group is worth
    cell_kind: Ints  # (cell,) index into models
    models: Sequence[CellModel]
    cell_limits: Sequence[CellLimits]  # of each model
    capacity_Ah: Floats  # (cell,) of the series group when new
    cell_ohm: Floats  # (cell,) 10 s resistance at 25 degC and 50 %, of the group
    sensing: Sensing
    faults: FaultTable
    switch: SwitchTable
    limits: LimitTable
    balance: BalanceTable
    cycle_ns: int
    estimate_ns: int  # period of the estimators
    power_ns: int  # period of SOP
    idle_A: Floats  # (string,) below it a string counts as resting
    recording: bool  # replayed: no switchgear, no device; its file says what was counted
    needs_confirmation: bool  # closing needs durable state or a person's word
    heater: Bools  # (pack,)
    cooler: Bools  # (pack,)
    climate: ClimateTable
