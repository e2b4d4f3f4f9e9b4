"""The fault catalogue as a table: every fault that the simulated world can have. To add a fault, add a row.

`id` is the class (S sensors, C cells, A actuators, I insulation, T thermal, X outside, N communication, P computer,
G surroundings; G2 = any two at once). An effect turns one knob of `knobs.py` at a place relative to the target.
Who carries a fault out: `world` this room; `link` the wires (frames are dropped, garbled, repeated: in-process runs
see silence); `host` whoever runs the computer (clock, disk, processes). Why these sizes: docs/why/simulation.md.
"""

from collections.abc import Callable
from typing import NamedTuple

# Places: cell, next (cell), sensed (all cells for which the target's sensor speaks), cells (all of the string), temp,
# string, pack, bus; for knobs over signals the element of `signal` that belongs to the target, or all of the string.
# Scales: what a size is counted in beside the knob's own unit.
INSULATION_OHM_PER_V = 4000.0  # of a sound pack
SCALES = ("", "rated_A", "string_V", "cell_V", "cell_ohm", "J_per_K")


class Effect(NamedTuple):
    """One knob turned. The knob gets of(size) · scale at the place."""

    knob: str
    place: str
    signal: str = ""
    scale: str = ""
    of: Callable[[float], float] = float


class Fault(NamedTuple):
    """One row of the catalogue. `size` is the default, in `unit`."""

    id: str
    name: str
    size: float
    unit: str
    text: str
    effects: tuple[Effect, ...] = ()
    act: str = ""  # what is done once at the start, by name in `faults.ACTS`
    by: str = "world"  # who carries it out


def _fixed(value: float) -> Callable[[float], float]:
    return lambda _size: value


def _over(size: float) -> float:
    return 1.0 / size


def _minus(size: float) -> float:
    return -size


def _per_volt(size: float) -> float:
    return size / INSULATION_OHM_PER_V


def _sensor(
    knob: str, signal: str, place: str, scale: str = "", of: Callable[[float], float] = float
) -> tuple[Effect, ...]:
    return (Effect(knob, place, signal, scale, of),)


def _knob(knob: str, place: str, scale: str = "", of: Callable[[float], float] = float) -> tuple[Effect, ...]:
    return (Effect(knob, place, "", scale, of),)


CELL, TEMP, CURRENT = "cell_voltage", "temp_degC", "current"
LOST = (Effect("link_silent", "string", "*", of=_fixed(1.0)),)
TOLD = ("emergency_stop", "interlock_open", "crash", "gas")


FAULTS: tuple[Fault, ...] = (
    # S: sensors
    Fault("S1", "cell_sensor_stuck", 1, "", "the voltage of a cell stands still", _sensor("stuck", CELL, "cell")),
    Fault("S1", "cell_sensor_short", 0, "V", "a cell reads zero", _sensor("force", CELL, "cell")),
    Fault("S1", "cell_sensor_rail", 6.5535, "V", "a cell reads full scale", _sensor("force", CELL, "cell")),
    Fault("S1", "cell_sensor_silent", 1, "", "a cell is no more measured", _sensor("silent", CELL, "cell")),
    Fault("S2", "cell_sensor_offset", 0.02, "V", "offset of a cell's voltage", _sensor("offset", CELL, "cell")),
    Fault("S2", "cell_sensor_gain", 1.005, "1", "gain of a cell's voltage", _sensor("gain", CELL, "cell")),
    Fault("S2", "reference_drift", 1.005, "1", "gain of all cells: the AFE's reference",
          _sensor("gain", CELL, "string")),
    Fault("S3", "voltage_noise", 0.005, "V", "noise on all cells", _sensor("noise", CELL, "string")),
    Fault("S3", "voltage_spikes", 0.5, "V", "single wrong samples", _sensor("spike", CELL, "string")),
    Fault("S3", "current_noise", 0.01, "of rating", "noise on the current",
          _sensor("noise", CURRENT, "string", "rated_A")),
    Fault("S4", "open_wire", 0.9, "1", "sense wire open: the neighbour shows the difference",
          _knob("open_wire", "cell")),
    Fault("S5", "temp_open", -45, "degC", "sensor broken", _sensor("force", TEMP, "cell")),
    Fault("S5", "temp_short", 149, "degC", "sensor shorted", _sensor("force", TEMP, "cell")),
    Fault("S5", "temp_stuck", 1, "", "a temperature stands still", _sensor("stuck", TEMP, "cell")),
    Fault("S5", "temp_offset", 6, "K", "self-heated or drifted sensor", _sensor("offset", TEMP, "cell")),
    Fault("S5", "temp_silent", 1, "", "a sensor is no more read", _sensor("silent", TEMP, "cell")),
    Fault("S5", "temps_silent", 1, "", "no sensor of the string is read", _sensor("silent", TEMP, "string")),
    Fault("S5", "temp_swapped", 1, "", "two sensors exchanged", _sensor("swapped", TEMP, "cell")),
    Fault("S5", "temp_loose", 300, "s", "sensor has come off its cell: it lags", _knob("lag_s", "temp")),
    Fault("S6", "cells_swapped", 1, "", "sense leads of two cells exchanged", _sensor("swapped", CELL, "cell")),
    Fault("S6", "cell_unit_error", 10, "1", "a cell reads ten times as much", _sensor("gain", CELL, "cell")),
    Fault("S6", "cell_sign", -1, "1", "a cell is wired the wrong way round", _sensor("gain", CELL, "cell")),
    Fault("S7", "current_offset", 0.05, "of rating", "offset of the current",
          _sensor("offset", CURRENT, "string", "rated_A")),
    Fault("S7", "current_gain", 1.05, "1", "gain of the current", _sensor("gain", CURRENT, "string")),
    Fault("S7", "current_stuck", 1, "", "the current stands still", _sensor("stuck", CURRENT, "string")),
    Fault("S7", "current_saturated", 0.3, "of rating", "the current is cut off",
          _sensor("ceiling", CURRENT, "string", "rated_A")),
    Fault("S7", "current_reversed", -1, "1", "shunt wired the wrong way round", _sensor("gain", CURRENT, "string")),
    Fault("S7", "current_silent", 1, "", "the current is no more measured", _sensor("silent", CURRENT, "string")),
    Fault("S7", "current_skewed", 0.5, "s", "current and cell voltages are out of step", _knob("delay_s", "string")),
    Fault("S8", "second_sensor_differs", 0.06, "of rating", "the other current sensor says otherwise",
          _sensor("offset", "current_check", "string", "rated_A")),
    Fault("S8", "string_voltage_offset", 0.08, "of voltage", "string voltage against the sum of its cells",
          _sensor("offset", "string_voltage", "string", "string_V")),
    Fault("S8", "link_voltage_stuck", 1, "", "link voltage stands still", _sensor("stuck", "link_voltage", "string")),
    Fault("S9", "soc_jump", -0.1, "1", "charge gone at once from all cells", act="soc_cells"),
    Fault("S9", "soc_drift", 300, "1", "all cells leak", _knob("leak", "cells")),
    # C: cells
    Fault("C1", "cell_overvoltage", 0.12, "of cell voltage", "one cell really is too high",
          _knob("emf", "cell", "cell_V")),
    Fault("C1", "cell_charged_apart", 0.15, "1", "one cell holds more charge than the others", act="soc_cell"),
    Fault("C2", "cell_undervoltage", 0.35, "of cell voltage", "one cell really is too low",
          _knob("emf", "cell", "cell_V", _minus)),
    Fault("C2", "deep_discharge", -0.05, "1", "all cells below empty", act="soc_set"),
    Fault("C3", "overcurrent_charge", 3.0, "of rating", "charger forces a current", _knob("force_A", "bus", "rated_A")),
    Fault("C3", "overcurrent_discharge", 3.0, "of rating", "load draws a current",
          _knob("force_A", "bus", "rated_A", _minus)),
    Fault("C3", "cold_regeneration", 0.3, "of rating", "charge forced into freezing cells",
          (Effect("force_A", "bus", "", "rated_A"), Effect("core_degC", "cells", of=_fixed(-20.0)))),
    Fault("C4", "external_short", 0.02, "ohm", "short across the DC link", _knob("link_short_S", "bus", "", _over)),
    Fault("C5", "cell_hot", 75, "degC", "cells around one sensor at a temperature", _knob("core_degC", "sensed")),
    Fault("C5", "cell_cold", -30, "degC", "cells around one sensor at a temperature", _knob("core_degC", "sensed")),
    Fault("C5", "pack_hot", 58, "degC", "all cells of the string at a temperature", _knob("core_degC", "cells")),
    Fault("C5", "pack_cold", -8, "degC", "all cells of the string at a temperature", _knob("core_degC", "cells")),
    Fault("C6", "weak_cell", 0.8, "1", "one cell has lost capacity and conducts worse",
          (Effect("capacity", "cell"), Effect("resistance", "cell", of=lambda s: 2.0 - s))),
    Fault("C6", "cell_low", -0.15, "1", "one cell holds less charge than the others", act="soc_cell"),
    Fault("C6", "hot_spot", 0.02, "K/s", "one cell is heated", _knob("heat_W", "cell", "J_per_K")),
    Fault("C7", "internal_short", 10, "ohm", "a short inside one cell", _knob("short_S", "cell", "", _over)),
    Fault("C7", "micro_short", 0.05, "V", "a passing short: dips of one cell", _knob("emf", "cell", "", _minus)),
    Fault("C7", "self_discharge", 20, "1", "one cell leaks", _knob("leak", "cell")),
    Fault("C7", "member_open", 1, "cells", "members of a parallel group cut off", _knob("cut", "cell")),
    Fault("C8", "plating", 0.97, "1", "lithium lost, resistance up",
          (Effect("capacity", "cell"), Effect("resistance", "cell", of=lambda s: 1.0 + 4.0 * (1.0 - s)))),
    Fault("C8", "resistance_grown", 1.6, "1", "aged or swollen cell", _knob("resistance", "cell")),
    Fault("C9", "loose_joint", 8, "of cell resistance", "joint behind one cell",
          _knob("joint_ohm", "cell", "cell_ohm")),
    Fault("C10", "thermal_runaway", 4.0, "K/s", "a cell runs away: heat, collapse, gas",
          (Effect("heat_W", "cell", "", "J_per_K"), Effect("emf", "cell", "", "cell_V", _fixed(-0.4)),
           Effect("force", "pack", "gas", of=_fixed(1.0)))),
    Fault("C10", "fast_runaway", 600.0, "K", "a sensor sees a cell run away: as a ramp 60 K/s, until off its scale",
          _sensor("offset", TEMP, "cell")),
    Fault("C11", "runaway_precursor", 0.4, "K/s", "a cell heats itself and dips",
          (Effect("heat_W", "cell", "", "J_per_K"), Effect("emf", "cell", "", "cell_V", _fixed(-0.03)))),
    # A: switchgear
    Fault("A1", "plus_welded", 1, "", "plus contactor welded", _knob("weld_plus", "string")),
    Fault("A1", "minus_welded", 1, "", "minus contactor welded", _knob("weld_minus", "string")),
    Fault("A1", "precharge_welded", 1, "", "precharge contactor welded", _knob("weld_precharge", "string")),
    Fault("A1", "charge_switch_shorted", 1, "", "charge switch always conducts", _knob("weld_charge", "string")),
    Fault("A1", "discharge_switch_shorted", 1, "", "discharge switch always conducts",
          _knob("weld_discharge", "string")),
    Fault("A2", "plus_stuck", 1, "", "plus contactor does not close", _knob("stuck_plus", "string")),
    Fault("A2", "minus_stuck", 1, "", "minus contactor does not close", _knob("stuck_minus", "string")),
    Fault("A2", "charge_switch_stuck", 1, "", "charge switch never conducts", _knob("stuck_charge", "string")),
    Fault("A2", "discharge_switch_stuck", 1, "", "discharge switch never conducts", _knob("stuck_discharge", "string")),
    Fault("A2", "contactors_slow", 30, "1", "contacts take longer", _knob("slow", "string")),
    Fault("A2", "contactors_chatter", 1, "", "contacts drop out again and again", _knob("chatter", "string")),
    Fault("A2", "coil_sag", 7, "V", "coil supply sags", _knob("sag_V", "pack")),
    Fault("A2", "feedback_broken", 0, "", "auxiliary contact of plus reads open",
          _sensor("force", "feedback_plus", "string")),
    Fault("A2", "contact_resistance", 0.01, "ohm", "burnt contacts", _knob("contact_ohm", "string")),
    Fault("A3", "opens_under_load", 1.5, "of rating", "more flows than the contacts may break",
          _knob("force_A", "bus", "rated_A", _minus)),
    Fault("A4", "precharge_open", 1, "", "precharge path open", _knob("stuck_precharge", "string")),
    Fault("A4", "precharge_slow", 20, "1", "more capacitor than expected", _knob("link_capacity", "bus")),
    Fault("A4", "precharge_fast", 0.01, "1", "capacitor missing", _knob("link_capacity", "bus")),
    Fault("A4", "link_loaded", 100, "ohm", "a consumer loads the link while it is precharged",
          _knob("link_short_S", "bus", "", _over)),
    Fault("A4", "link_shorted", 0.05, "ohm", "short on the link before closing",
          _knob("link_short_S", "bus", "", _over)),
    Fault("A4", "precharge_hot", 1.5, "of its limit", "the resistor is hot already", act="resistor_heat"),
    Fault("A5", "interlock", 1, "", "interlock loop open", _sensor("force", "interlock_open", "pack")),
    Fault("A5", "emergency_stop", 1, "", "emergency stop pressed", _sensor("force", "emergency_stop", "pack")),
    Fault("A5", "service_plug", 1, "", "service plug pulled", _knob("cut_string", "string")),
    Fault("A5", "fuse_blown", 1, "", "fuse blown", _knob("cut_string", "string")),
    Fault("A6", "bleed_stuck_on", 1, "", "a cell is bled all the time", _knob("bleed_stuck", "cell")),
    Fault("A6", "bleed_stuck_off", -1, "", "a cell is never bled", _knob("bleed_stuck", "cell")),
    Fault("A6", "converter_dead", 1, "", "a cell's converter passes nothing", _knob("converter_dead", "cell")),
    Fault("A6", "converter_stuck", -1, "1", "a converter gives (−) or takes this share of the time, unasked",
          _knob("converter_stuck", "cell")),
    # I: insulation
    Fault("I1", "insulation_low", 300, "ohm/V", "insulation worse than it should be",
          _knob("insulation", "pack", "", _per_volt)),
    Fault("I1", "insulation_lost", 50, "ohm/V", "insulation dangerous",
          _knob("insulation", "pack", "", _per_volt)),
    Fault("I1", "insulation_silent", 1, "", "insulation monitor silent", _sensor("silent", "insulation", "pack")),
    Fault("I2", "link_holds", 0, "1", "the link is not discharged when off", _knob("link_discharge", "bus")),
    # T: thermal
    Fault("T1", "pump_stopped", 0, "1", "no flow", _knob("pump", "pack")),
    Fault("T1", "flow_low", 0.3, "1", "flow restricted", _knob("pump", "pack")),
    Fault("T1", "coolant_leak", 0.2, "1", "coolant lost: flow falls, insulation too",
          (Effect("pump", "pack"), Effect("insulation", "pack", of=_fixed(0.05)))),
    Fault("T1", "heater_failed", 0, "1", "heater gives nothing", _knob("heater", "pack")),
    Fault("T1", "coolant_hot", 30, "K", "surroundings hotter than ever", _knob("ambient_add", "pack")),
    Fault("T2", "heater_stuck", 1, "", "heater runs always", _knob("heater_stuck", "pack")),
    Fault("T2", "pump_stuck", 1, "", "pump or fan runs always: dew in the housing", _knob("pump_stuck", "pack")),
    # X: what hangs outside
    Fault("X1", "charger_ignores_limits", 1, "", "charger goes on at its rating", _knob("disobey_charge", "bus")),
    Fault("X1", "inverter_ignores_limits", 1, "", "inverter draws what it wants", _knob("disobey_discharge", "bus")),
    Fault("X2", "orders_nonsense", 1, "", "energy management asks for values out of range", by="host"),
    Fault("X2", "orders_flood", 1, "", "energy management asks too often, against itself", by="host"),
    Fault("X3", "string_apart", 0.3, "1", "one string at another state of charge", act="soc_cells"),
    Fault("X3", "string_blocked", 1, "", "a pack's own BMS has switched it off", _knob("blocked", "string")),
    Fault("X3", "string_resistance", 3, "1", "one string takes less than its share", _knob("resistance", "cells")),
    # N: communication
    Fault("N1", "frames_lost", 1, "", "frames of a device do not arrive", LOST, by="link"),
    Fault("N1", "frames_stale", 1, "", "a device repeats its last frame", LOST, by="link"),
    Fault("N1", "frames_delayed", 0.5, "s", "frames arrive late", by="link"),
    Fault("N1", "frames_disordered", 1, "", "frames arrive out of order", by="link"),
    Fault("N1", "frames_babbling", 1, "", "a device sends without pause", by="link"),
    Fault("N2", "frames_corrupt", 1, "", "bits flipped", LOST, by="link"),
    Fault("N2", "frames_truncated", 1, "", "frames end early", LOST, by="link"),
    Fault("N2", "frames_wrong_length", 1, "", "length or endianness wrong", LOST, by="link"),
    Fault("N3", "frames_replayed", 1, "", "old frames are sent again", LOST, by="link"),
    Fault("N3", "frames_inserted", 1, "", "a stranger sends frames of a device", by="link"),
    Fault("N4", "bus_off", 1, "", "the bus is off", LOST, by="link"),
    Fault("N4", "bus_full", 1, "", "the bus is full", LOST, by="link"),
    Fault("N4", "wrong_bitrate", 1, "", "a device speaks at another rate", LOST, by="link"),
    Fault("N5", "poll_exceptions", 1, "", "polls are answered with exceptions", LOST, by="link"),
    Fault("N5", "poll_collisions", 1, "", "answers of two devices collide", LOST, by="link"),
    Fault("N5", "duplicate_address", 1, "", "two devices with one address", LOST, by="link"),
    Fault("N6", "broker_down", 1, "", "no broker, no name service", by="host"),
    Fault("N6", "certificate_expired", 1, "", "no secure connection", by="host"),
    Fault("N6", "subscriber_slow", 1, "", "a reader does not read", by="host"),
    # P: computer
    Fault("P1", "clock_jump", 86400, "s", "wall clock jumps", by="host"),
    Fault("P1", "clock_dead", 1, "", "wall clock begins at zero", by="host"),
    Fault("P2", "power_lost", 1, "", "supply fails in the midst of a write", by="host"),
    Fault("P2", "brown_out", 8, "V", "supply sags for a moment", _knob("sag_V", "pack")),
    Fault("P3", "disk_full", 1, "", "no space left", by="host"),
    Fault("P3", "disk_read_only", 1, "", "nothing can be written", by="host"),
    Fault("P3", "disk_slow", 10, "s", "writes take long", by="host"),
    Fault("P3", "disk_error", 1, "", "writes fail", by="host"),
    Fault("P4", "bit_flip", 1, "bits", "a bit of state, limit or configuration turns", by="host"),
    Fault("P5", "memory_full", 1, "", "no memory, no file handles", by="host"),
    Fault("P6", "overload", 1, "", "another program takes the processor", by="host"),
    Fault("P6", "deadline_missed", 0.1, "s", "a cycle comes late", by="host"),
    Fault("P7", "control_killed", 1, "", "the control process ends", by="host"),
    Fault("P7", "control_hung", 1, "", "the control process stands still", by="host"),
    Fault("P7", "plugin_raises", 1, "", "a plug-in fails", by="host"),
    Fault("P8", "wrong_config", 1, "", "configuration of another site", by="host"),
    Fault("P8", "half_update", 1, "", "an update was not finished", by="host"),
    Fault("P9", "limit_beyond_data_sheet", 1, "", "a person asks for more than the cell bears", by="host"),
    Fault("P9", "service_left_on", 1, "", "service access was not withdrawn", by="host"),
    Fault("P9", "wrong_pack", 0.6, "1", "another pack was put in: less capacity", _knob("capacity", "cells")),
    # G: surroundings
    Fault("G1", "crash", 1, "", "crash signal", _sensor("force", "crash", "pack")),
    Fault("G1", "gas", 1, "", "vent gas or smoke", _sensor("force", "gas", "pack")),
    Fault("G1", "gas_sensor_dead", 1, "", "gas sensor silent", _sensor("silent", "gas", "pack")),
    Fault("G1", "flood", 20, "ohm/V", "water: insulation gone", _knob("insulation", "pack", "", _per_volt)),
)  # fmt: skip

BY_NAME = {fault.name: fault for fault in FAULTS}
