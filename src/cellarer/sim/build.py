"""Config and site file → the parts of a plant, with the sizes that no file gives (marked as own estimates)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellarer.config.schema import SimulationFile
from cellarer.model.config import Config
from cellarer.sim import circuit, groups, heat, loads, spread, switchgear
from cellarer.sim.catalogue import INSULATION_OHM_PER_V
from cellarer.sim.cells import CURVED_A, MONTH_S, Cells
from cellarer.sim.foreign import Foreign, foreign
from cellarer.sim.fuse import Fuse, fuse
from cellarer.sim.knobs import Knobs
from cellarer.sim.runaway import Runaway, runaway
from cellarer.sim.sensors import Sensor, Sensors
from cellarer.sim.tables import compile_tables, look

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Own estimates, typical of the class: link capacitor of an inverter, its leak, its discharge when off, and more.
HIGH_V = 120.0
FARAD_LOW_V, FARAD_HIGH_V = 4.7e-3, 1.0e-3
LEAK_OHM_PER_V = 400.0  # 48 V: 20 kohm, 350 V: 140 kohm
DISCHARGE_S = 0.25  # time constant with which a link that nobody feeds falls: 60 V within 1 s (GB 18384)
SUPPLY_V = 12.0
WIRE_OHM = 0.05  # sense wire through which bleed current runs
JOINT_SHARE = 0.05  # joint to the next group against the group's own resistance
WHERE_SCALED = {"current": "ampere", "current_check": "ampere", "string_voltage": "volt", "link_voltage": "volt"}


@dataclass(slots=True)
class Fixed:
    """Numbers of a plant that never change."""

    one: Floats  # (member,) ones
    place: Ints  # (member,) place in its group, from 0
    capacity: Floats  # (member,) A·s when new
    ohm: Floats  # (member,) factor on the table's resistances when new
    ohm_of_table: Floats  # (member,) the part of it that is size, not spread
    leak_A: Floats  # (member,)
    bleed_S: Floats  # (cell,)
    joint_ohm: Floats  # (cell,)
    neighbour: Ints  # (cell,) the cell that shows what this one loses by an open wire
    wire_ohm: float
    resistor_ohm: Floats  # (string,)
    contact_ohm: float
    nominal_V: Floats  # (string,)
    nominal_A: Floats  # (string,) largest rated current
    farad: Floats  # (bus,)
    discharge_S: Floats  # (bus,)
    first_string: Ints
    supply_V: float
    ambient_degC: Floats  # (pack,)
    insulation_ohm: Floats  # (pack,)
    probe: Ints  # (temp,) member whose surface each sensor feels


@dataclass(slots=True)
class Parts:
    """Everything that a plant consists of."""

    groups: groups.Groups
    cells: Cells
    heat: heat.Heat
    gear: switchgear.Gear
    link: circuit.Link
    load: loads.Load
    knobs: Knobs
    sensors: Sensors
    foreign: Foreign
    fuse: Fuse
    fixed: Fixed
    runaway: Runaway


def parts(
    config: Config, simulation: SimulationFile, seed: int | None, numbers: Sequence[int] | None,
    sensors: Mapping[str, Sensor] | None = None,
) -> Parts:  # fmt: skip
    """Build every part of a plant."""
    layout = config.layout
    n_pack = layout.size["pack"]
    seed = simulation.seed if seed is None else seed
    packs = np.arange(n_pack) if numbers is None else np.asarray(numbers, dtype=np.int64)
    if packs.size != n_pack:
        raise ValueError(f"numbers needs one value per pack ({n_pack})")
    group = groups.groups(config.parallel[layout.string_of_cell])
    factors = _factors(config, simulation, group, seed, packs)
    cells = _cells(config, simulation, group, factors)
    fixed = _fixed(config, simulation, group, cells, factors)
    link = _link(config, fixed)
    first_pack = np.searchsorted(config.bus_of_pack, np.arange(link.volts.size))
    energy = link.fold(fixed.nominal_V * config.capacity_Ah[layout.first_cell])
    load = loads.load(
        simulation.load, simulation.start_hour, seed, packs[first_pack], link.fold(fixed.nominal_A), energy
    )  # fmt: skip
    string_scale = {"ampere": 1.2 * fixed.nominal_A, "volt": 1.2 * fixed.nominal_V}
    scale = {name: string_scale[what] for name, what in WHERE_SCALED.items()} | {"insulation": fixed.insulation_ohm}
    warm = _heat(config, simulation, group)
    joules = warm.core_J_per_K + warm.surface_J_per_K
    return Parts(
        groups=group, cells=cells, heat=warm, gear=switchgear.open_gear(config.switch, fixed.nominal_A),
        link=link, load=load, knobs=Knobs(layout, link.volts.size),
        sensors=Sensors(layout, scale, seed, packs, sensors), foreign=foreign(config), fuse=fuse(config), fixed=fixed,
        runaway=runaway([model.chemistry for model in config.models], cells.kind, joules),
    )  # fmt: skip


def _factors(config: Config, simulation: SimulationFile, group: groups.Groups, seed: int, packs: Ints) -> spread.Spread:
    """Draw all members pack by pack and join them."""
    layout = config.layout
    members = np.bincount(layout.pack_of_cell, group.parallel, layout.size["pack"]).astype(np.int64)
    sizes = (simulation.capacity_spread_pct, simulation.resistance_spread_pct, simulation.soc_spread_pct)
    drawn = [
        spread.draw(seed, int(pack), int(n), *(s / 100.0 for s in sizes))
        for pack, n in zip(packs, members, strict=True)
    ]
    return spread.Spread(*(np.concatenate(column) for column in zip(*drawn, strict=True)))


def _cells(config: Config, simulation: SimulationFile, group: groups.Groups, factors: spread.Spread) -> Cells:
    tables = compile_tables(config.models)
    kind = np.repeat(config.cell_kind, group.parallel)
    of_model = np.array([model.capacity_Ah for model in config.models])[kind]
    nominal = np.repeat(config.capacity_Ah / group.parallel, group.parallel)
    capacity = nominal * 3600.0 * factors.capacity
    month = np.array([model.self_discharge_per_month for model in config.models])[kind]
    soc = np.clip(simulation.start_soc_pct / 100.0 + factors.soc, 0.0, 1.0)
    core = np.full(soc.size, simulation.ambient_degC)
    zero = np.zeros(soc.size)
    return Cells(
        tables=tables, kind=kind, capacity=capacity, ohm=factors.resistance * of_model / nominal,
        exchange=nominal / of_model, hysteresis_rate=np.array([m.hysteresis_rate for m in config.models])[kind],
        leak_A=month * nominal * 3600.0 / MONTH_S * factors.leak, soc=soc, i1=zero, i2=zero,
        hysteresis=factors.hysteresis, current=zero, looked=look(tables, kind, soc, core), emf_add=zero,
        curved=bool((tables.by_temp[2] < CURVED_A).any()),
    )  # fmt: skip


def _fixed(
    config: Config, simulation: SimulationFile, group: groups.Groups, cells: Cells, factors: spread.Spread
) -> Fixed:
    layout = config.layout
    nominal = np.array([np.interp(25.0, m.temp_degC, m.ocv[:, m.ocv.shape[1] // 2]) for m in config.models])
    cell_V = nominal[config.cell_kind]
    volts = layout.total(cell_V)
    bus_of_string = config.bus_of_pack[layout.pack_of_string]
    n_bus = int(bus_of_string[-1]) + 1
    first = np.searchsorted(bus_of_string, np.arange(n_bus))
    farad = np.where(volts[first] > HIGH_V, FARAD_HIGH_V, FARAD_LOW_V)
    amps = np.maximum(config.limits.rated_charge_A, config.limits.rated_discharge_A)
    last = np.append(layout.first_cell[1:], layout.size["cell"]) - 1
    following = np.arange(layout.size["cell"]) + 1
    following[last] = np.maximum(last - 1, layout.first_cell)
    resistance = groups.gather(group, cells.emf_add, 1.0 / (cells.looked.r0 * cells.ohm), np.zeros(cell_V.size))[1]
    return Fixed(
        one=np.ones(cells.soc.size), place=np.arange(cells.soc.size) - np.repeat(group.first, group.parallel),
        capacity=cells.capacity, ohm=cells.ohm, ohm_of_table=cells.ohm / factors.resistance, leak_A=cells.leak_A,
        bleed_S=config.balance.bleed_A[layout.string_of_cell] / cell_V, joint_ohm=JOINT_SHARE * resistance,
        neighbour=following, wire_ohm=WIRE_OHM,
        resistor_ohm=np.where(np.isfinite(config.switch.resistor_ohm), config.switch.resistor_ohm, np.inf),
        contact_ohm=switchgear.CONTACT_OHM, nominal_V=volts, nominal_A=amps, farad=farad,
        discharge_S=farad / DISCHARGE_S, first_string=first, supply_V=SUPPLY_V,
        ambient_degC=np.full(layout.size["pack"], simulation.ambient_degC),
        insulation_ohm=INSULATION_OHM_PER_V * volts[layout.first_string], probe=_probes(config, group),
    )  # fmt: skip


def _probes(config: Config, group: groups.Groups) -> Ints:
    """Place every sensor on the middle one of the cells that it speaks for, (temp,)."""
    layout = config.layout
    probe = group.first[layout.first_cell[layout.string_of_temp]]
    for temp in range(layout.size["temp"]):
        mine = np.flatnonzero(layout.temp_of_cell == temp)
        if mine.size:
            probe[temp] = group.first[mine[mine.size // 2]]
    return probe


def _link(config: Config, fixed: Fixed) -> circuit.Link:
    bus_of_string = config.bus_of_pack[config.layout.pack_of_string]
    volts = fixed.nominal_V[fixed.first_string]
    return circuit.Link(bus_of_string, np.zeros(volts.size), fixed.farad, 1.0 / (LEAK_OHM_PER_V * volts))


def _heat(config: Config, simulation: SimulationFile, group: groups.Groups) -> heat.Heat:
    layout = config.layout
    kind = np.repeat(config.cell_kind, group.parallel)
    size = np.repeat(config.capacity_Ah / group.parallel, group.parallel)
    size = (
        size / np.array([m.capacity_Ah for m in config.models])[kind]
    )  # another size of the same cell: more of everything

    def of(field: str) -> Floats:
        return np.array([getattr(m, field) for m in config.models])[kind]

    core, surface = of("heat_capacity_core") * size, of("heat_capacity_surface") * size
    inner, outer = size / of("core_to_surface"), size / of("surface_to_ambient")
    pack = np.repeat(layout.pack_of_cell, group.parallel)
    string = np.repeat(layout.string_of_cell, group.parallel)
    along = np.minimum(heat.NEIGHBOUR * outer, core / heat.SLOWEST_S)
    along = np.where(np.append(string[1:], -1) == string, along, 0.0)
    n = layout.size["pack"]
    whole = np.bincount(pack, core + surface, n).astype(np.float64)
    case = heat.CASE_SHARE * np.bincount(pack, outer, n).astype(np.float64)
    start = np.full(kind.size, simulation.ambient_degC)
    ambient = np.full(n, simulation.ambient_degC)
    return heat.Heat(
        core_degC=start, surface_degC=start, core_J_per_K=core, surface_J_per_K=surface, inner_W_per_K=inner,
        outer_W_per_K=outer, next_W_per_K=along, pack_of_member=pack, node_degC=ambient,
        node_J_per_K=heat.NODE_SHARE * whole, case_W_per_K=case,
        ambient_degC=ambient, cooled=np.asarray(config.cooler, dtype=bool),
        heater_W=config.climate.heater_W, flow_W=config.climate.flow_W, chiller_W=config.climate.chiller_W,
        used_J=np.zeros((len(heat.USERS), n)),
    )  # fmt: skip
