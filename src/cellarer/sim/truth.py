"""What really is: for sensors to look at, and for judging estimators. Never shown to the controller."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cellarer.sim.runaway import VENT
from cellarer.sim.switchgear import MINUS, PLUS, PRECHARGE

if TYPE_CHECKING:
    from cellarer.sim.plant import Plant

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Truth:
    """State of the world; (cell,) unless said."""

    soc: Floats  # charge of all members / their capacity
    capacity_Ah: Floats  # of the group as it is now, members cut off excluded
    voltage: Floats  # V
    core_degC: Floats  # hottest member
    surface_degC: Floats
    resistance_scale: Floats  # mean factor on the table's resistances
    current: Floats  # (string,) A, + charges
    link_voltage: Floats  # (string,)
    closed: Bools  # (3, string) contacts minus, precharge, plus
    charge_path: Bools  # (string,) charge current can pass
    discharge_path: Bools  # (string,)
    resistor_J: Floats  # (string,)
    string_soc: Floats  # (string,) usable: Q_d/(Q_d + Q_c)
    usable_Ah: Floats  # (string,) Q_d + Q_c


def truth(plant: "Plant") -> Truth:
    """Gather the state of the world."""
    cells, groups = plant.cells, plant.groups
    capacity = groups.fold(cells.capacity * plant.alive)
    soc = groups.fold(cells.soc * cells.capacity * plant.alive) / np.maximum(capacity, 1e-9)
    first = groups.first
    low, high = plant.layout.lowest(soc * capacity), plant.layout.lowest((1.0 - soc) * capacity)
    charge, discharge = plant.gear.directions()
    connected = plant.gear.main & ~plant.fuse.blown & (plant.knobs["cut_string"] < 0.5)
    return Truth(
        soc=soc, capacity_Ah=capacity / 3600.0, voltage=plant.voltage,
        core_degC=np.maximum.reduceat(plant.heat.core_degC, first),
        surface_degC=np.maximum.reduceat(plant.heat.surface_degC, first),
        resistance_scale=groups.fold(cells.ohm / plant.fixed.ohm_of_table) / groups.parallel,
        current=plant.current, link_voltage=plant.link.spread(plant.link.volts), closed=plant.gear.closed,
        charge_path=connected & charge, discharge_path=connected & discharge, resistor_J=plant.gear.resistor_J,
        string_soc=low / (low + high), usable_Ah=(low + high) / 3600.0,
    )  # fmt: skip


def signals(plant: "Plant") -> Floats:
    """Return the true value of every signal, flat (signal,), as ideal sensors would see it."""
    out = np.zeros(plant.layout.size["signal"])
    where, gear, fixed = plant.layout.where, plant.gear, plant.fixed
    asks, plugged, charger = plant.load.facts(plant.time_s)
    string_V = plant.layout.total(plant.voltage) + plant.current * plant.layout.total(
        fixed.joint_ohm + plant.knobs["joint_ohm"]
    )
    charge, discharge = gear.directions()
    low, high, soc, alarm, charge_A, discharge_A = plant.foreign.view(plant)
    cut = (plant.knobs["cut_string"] > 0.5) | plant.fuse.blown
    behind_V = plant.link.spread(plant.link.volts)
    link_V = np.where(gear.main & ~cut, string_V + plant.current * fixed.contact_ohm, behind_V)
    string_V = np.where(cut, np.where(gear.main, behind_V, 0.0), string_V)  # plug and fuse sit amid the string
    values: dict[str, Floats | Bools | bool | float] = {
        "cell_voltage": seen_by_wires(plant), "cell_open_wire": plant.knobs["open_wire"] > 0.0,
        "cell_bleeding": plant.bleeding, "temp_degC": plant.probe_degC,
        "current": plant.current, "current_check": plant.current, "string_voltage": string_V,
        "link_voltage": link_V,
        "feedback_minus": gear.closed[MINUS], "feedback_precharge": gear.closed[PRECHARGE],
        "feedback_plus": gear.closed[PLUS], "feedback_charge": charge, "feedback_discharge": discharge,
        "cell_voltage_high": high, "cell_voltage_low": low, "foreign_soc": soc, "foreign_alarm": alarm,
        "foreign_charge_limit": charge_A, "foreign_discharge_limit": discharge_A,
        "insulation": fixed.insulation_ohm * plant.knobs["insulation"],
        "gas": vented(plant), "ignition": asks, "charge_plug": plugged, "charger_present": charger,
        "coolant_degC": plant.heat.node_degC, "ambient_degC": plant.heat.ambient_degC,
        "supply_voltage": fixed.supply_V - plant.knobs["sag_V"],
        "converter_current": plant.converters.sides(plant.move, plant.voltage)[0],
    }  # fmt: skip
    for name, value in values.items():
        out[where[name]] = value
    return out


def vented(plant: "Plant") -> Bools:
    """Return whether some cell of the pack has vented, (pack,)."""
    gone = plant.runaway.done > VENT
    return np.bincount(plant.heat.pack_of_member, gone, plant.layout.size["pack"]) > 0.0


def seen_by_wires(plant: "Plant") -> Floats:
    """Return cell voltages as they stand at the sense wires, (cell,): bleed current and open wires falsify them."""
    volts, fixed = plant.voltage, plant.fixed
    if plant.bleeding.any():
        drop = volts * fixed.bleed_S * plant.bleeding * fixed.wire_ohm
        volts = volts - drop
    share = plant.knobs["open_wire"]
    if "open_wire" in plant.knobs.turned:
        moved = share * volts
        volts = volts - moved
        volts[fixed.neighbour] += moved
    return volts
