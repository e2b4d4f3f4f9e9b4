"""The simulated world: packs with their switchgear, links, loads, heat and sensors, batched over everything.

`advance` moves the world, `sample` and `values` show what its sensors say, `truth` what really is. Packs, strings,
groups and members are axes of arrays, never loops: 16 cells and 100 000 cells run the same lines. Same seed, same
bytes: no clock, no global random state. Own equations, none of `core`'s: else the estimators would test themselves.
One step: members → groups → strings (sources behind resistors) → links → currents back → cells, heat, sensors.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellarer.config.schema import DeviceFile, SimulationFile
from cellarer.model.config import Config
from cellarer.model.quantities import BY_NAME
from cellarer.model.values import NEVER, Sample
from cellarer.sim import build, circuit, faults, groups, truth
from cellarer.sim.cells import CURVE_TRIES, Step
from cellarer.sim.converters import Converters
from cellarer.sim.loads import Bus
from cellarer.sim.orders import Orders, no_orders, orders_of
from cellarer.sim.sensors import Sensor

__all__ = ["Orders", "Plant", "no_orders", "orders_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LONGEST_S = 60.0
SHORTEST_NS = 1_000_000
MOMENT_S = 1e-6
FAST_S = 0.001  # the step that the voltages before the first one are worked out with
HEAT_S = 0.2  # temperatures move no more often than this
TIGHT_S = 0.2  # lag of a sensor that sits as it should
BURNT_OUT_DEGC = 700.0  # injected heat ends here: nothing is left to burn


class Solved(NamedTuple):
    """One step as the circuit found it."""

    step: Step
    flow: circuit.Flow
    volts: Floats  # (cell,) mean
    member_A: Floats  # (member,)
    string_emf: Floats  # (string,) V
    string_ohm: Floats  # (string,) with its contacts


class Plant:
    """The world of one site, or of many like it."""

    def __init__(
        self, config: Config, simulation: SimulationFile | None, seed: int | None = None, *,
        numbers: Sequence[int] | None = None, sensors: Mapping[str, Sensor] | None = None,
    ) -> None:  # fmt: skip
        """Build the world. seed None = the file's.

        numbers  (pack,) what seeds each pack: a pack with the same number is the same pack in any batch
        sensors  accuracy by signal where it is not `sensors.SENSORS`
        """
        parts = build.parts(config, simulation or SimulationFile(), seed, numbers, sensors)
        self.config, self.layout = config, config.layout
        self.time_ns = 0
        self.groups, self.cells, self.heat, self.gear = parts.groups, parts.cells, parts.heat, parts.gear
        self.link, self.load, self.knobs, self.sensors = parts.link, parts.load, parts.knobs, parts.sensors
        self.foreign, self.fixed, self.fuse = parts.foreign, parts.fixed, parts.fuse
        self.runaway = parts.runaway
        self.converters = Converters(config)
        self.emf_faults = np.zeros_like(parts.cells.soc)  # V, what faults add to each member
        self.faults = faults.Injections(self)
        n_string, n_cell = config.layout.size["string"], config.layout.size["cell"]
        self.current = np.zeros(n_string)  # A at the end of the last step
        self.through_Wh = np.zeros((2, n_string))  # charged, discharged at the string's terminals
        self.voltage = np.zeros(n_cell)  # V of each group at the end of the last step
        self.bleeding, self.move = np.zeros(n_cell, bool), np.zeros((2, n_cell))
        self.feeds = bool(config.climate.behind.any())
        self.fed_W, self.fed_Wh = np.zeros((2, config.layout.size["pack"]))  # by the pack, to what keeps it going
        self.balanced_Wh = np.zeros((2, n_string))  # lost in bleed resistors, in converters between cells
        self.air = np.zeros((2, config.layout.size["pack"]))  # heater and pump as they act
        self.probe_degC = self.heat.surface_degC[self.fixed.probe]
        self.cells.refresh(self.heat.core_degC)
        self.heat_J, self.heat_s = np.zeros_like(self.heat.core_degC), 0.0  # not yet given to the temperatures
        self.last = self.cells.begin(FAST_S, self.heat.core_degC)
        self._settle()
        self.sensors.read(truth.signals(self), 0.0, self.knobs)
        self.arrived = Sample(self.sensors.value, np.full(self.sensors.value.size, NEVER))

    @property
    def time_s(self) -> float:
        """Seconds since the begin of the simulation."""
        return self.time_ns * 1e-9

    def advance(self, dt_s: float, orders: Orders) -> None:
        """Let dt_s seconds pass (1 ms … any; longer than 60 s is divided) with these orders in force."""
        end_ns = self.time_ns + round(dt_s * 1e9)
        while self.time_ns < end_ns:
            self._apply(orders)
            left_s = (end_ns - self.time_ns) * 1e-9
            h_s = min(LONGEST_S, self.load.next_s(self.time_s, left_s))
            events_ns = min(self.gear.next_ns(), self.faults.next_ns(self.time_ns))
            h_ns = min(max(round(h_s * 1e9), SHORTEST_NS), events_ns, end_ns - self.time_ns)
            self.time_ns += self._step(h_ns, orders)
        self._settle()
        self.sensors.read(truth.signals(self), self.time_s, self.knobs)

    def sample(self, now_ns: int | None = None) -> Sample:
        """Return all readings of signals that the site has. now_ns: what the clock of the reader shows; None = own."""
        now = self.time_ns if now_ns is None else now_ns
        present = self.config.sensing.present
        value = np.where(present, self.sensors.value, np.nan)
        time_ns = np.where(present, self.sensors.sample_times(now, self.time_s), NEVER)
        if "link_silent" in self.knobs.turned:
            lost = self.knobs["link_silent"] > 0.5
            value, time_ns = np.where(lost, self.arrived.value, value), np.where(lost, self.arrived.time_ns, time_ns)
        self.arrived = Sample(value, time_ns)
        return self.arrived

    def values(self, device: DeviceFile) -> Mapping[str, Floats]:
        """Return the readings that a device takes, by signal name: its own cells, sensors, string and pack."""
        spans = self._spans(device)
        names = device.signals or [name for name in self.layout.where if spans[BY_NAME[name].axis] is not None]
        out = {}
        for name in names:
            span = spans[BY_NAME[name].axis]
            if span is not None:
                out[name] = self.sensors.value[self.layout.where[name]][span]
        return out

    def inject(
        self, fault_name: str, string: int = 0, cell: int = 0, size: float | None = None, start_s: float = 0.0,
        shape: str = "step", on_off_s: tuple[float, float] = faults.ON_OFF_S,
    ) -> None:  # fmt: skip
        """Let a fault of the catalogue happen from start_s on. cell: from 0 in the string; shape: faults.SHAPES.

        on_off_s: how long an intermittent fault is there, and then not.
        """
        self.faults.add(fault_name, string, cell, size, start_s, shape, on_off_s)

    def asked(self, fault_name: str, string: int = 0) -> float:
        """Return the size of a fault that wires or computer have to carry out now, 0 = none; see also `wires.py`."""
        return self.faults.asked(fault_name, string)

    def set_soc(self, soc: Floats) -> None:
        """Put this charge into all members of each group, at rest. soc (cell,) fraction."""
        self.cells.soc = self.groups.spread(np.asarray(soc, dtype=np.float64)).copy()
        self.cells.refresh(self.heat.core_degC)
        self.last = self.cells.begin(FAST_S, self.heat.core_degC)
        self._settle()
        self.sensors.read(truth.signals(self), self.time_s, self.knobs)

    @property
    def truth(self) -> truth.Truth:
        """What really is, for judging only."""
        return truth.truth(self)

    def _spans(self, device: DeviceFile) -> dict[str, slice | None]:
        layout = self.layout
        pack = device.pack - 1
        string = int(layout.first_string[pack]) + device.string - 1
        cell = int(layout.first_cell[string]) + device.first_cell - 1
        temp = int(np.searchsorted(layout.string_of_temp, string)) + device.first_temperature - 1
        return {
            "cell": slice(cell, cell + device.cells) if device.cells else None,
            "temp": slice(temp, temp + device.temperatures) if device.temperatures else None,
            "string": slice(string, string + 1),
            "pack": slice(pack, pack + 1),
        }

    def _apply(self, orders: Orders) -> None:
        """Turn knobs for the faults in force and hand orders to coils, bleeders, pumps."""
        knobs = self.knobs
        self.faults.apply(self.time_ns)
        coil = 1.0 - knobs["sag_V"] / self.fixed.supply_V
        wanted = np.stack([orders.minus, orders.precharge, orders.plus])
        charge, discharge = self.foreign.switches(orders.charge_switch, orders.discharge_switch, knobs["blocked"])
        self.gear.order(wanted, charge, discharge, coil[self.layout.pack_of_string], knobs)
        stuck = knobs["bleed_stuck"]
        self.bleeding = (orders.bleed | (stuck > 0.5)) & (stuck > -0.5)
        self.move = orders.move
        if not knobs.turned.isdisjoint(("converter_dead", "converter_stuck")):
            stuck = knobs["converter_stuck"]
            forced = np.array((np.maximum(-stuck, 0.0), np.maximum(stuck, 0.0)))
            self.move = np.where(np.isnan(stuck), self.move, forced) * (knobs["converter_dead"] < 0.5)
        heater = np.maximum(orders.heater, knobs["heater_stuck"]) * knobs["heater"] * self._heater_fed()
        pump = np.maximum(orders.pump, knobs["pump_stuck"]) * knobs["pump"]
        self.air = np.clip(np.stack([heater, pump]), 0.0, 1.0)
        self.heat.ambient_degC = self.fixed.ambient_degC + knobs["ambient_add"]

    def _heater_fed(self) -> Floats:
        """Return 1 where the heater has its supply, (pack,): behind the main contacts only while some are closed."""
        closed = self.layout.pack_any(self.gear.main & ~self.fuse.blown)
        return np.asarray(np.where(self.config.climate.behind, closed, 1.0))

    def _step(self, h_ns: int, orders: Orders) -> int:
        """Move the world without a switching event inside, by h_ns or until a fuse melts; return how far."""
        cells, h = self.cells, h_ns * 1e-9
        for _ in range(CURVE_TRIES):
            solved = self._solve(h, orders)
            if cells.follow(solved.step, solved.member_A):
                break
        flow = solved.flow
        melts_s = self.fuse.melts_s(flow.mean_A)
        if melts_s < h - MOMENT_S and h_ns > SHORTEST_NS:
            return self._step(max(round(melts_s * 1e9), SHORTEST_NS), orders)
        self.load.settle()
        heat_W = cells.finish(solved.step, solved.member_A, h, self.heat.core_degC)
        heat_W = heat_W + self.groups.spread(self._group_heat(solved.volts, flow.mean_A) / self.groups.parallel)
        self._warm(heat_W + self._burn(h), h)
        cells.refresh(self.heat.core_degC)
        self.last = solved.step
        self._count_balancing(solved.volts, h / 3600.0)
        energy = self.layout.total(solved.volts) * flow.mean_A * (h / 3600.0)
        self.through_Wh += np.stack([np.maximum(energy, 0.0), np.maximum(-energy, 0.0)])
        if self.feeds:
            out = np.add.reduceat(np.maximum(-energy, 0.0), self.layout.first_string)
            self.fed_Wh = self.fed_Wh + np.minimum(self.fed_W * (h / 3600.0), out)  # else the charger gave it
        self.current, self.link.volts = flow.end_A, flow.volts
        self.gear.heat(flow.mean_A, self.precharge_ohm, h)
        self.fuse.step(flow.mean_A, h)
        closed = self.gear.closed
        opened = self.gear.move(h_ns, self.knobs)
        self.gear.weld(opened, flow.end_A)
        if (self.gear.closed & ~closed).any():
            self.gear.inrush(closed, (self.link.spread(flow.volts) - solved.string_emf) / solved.string_ohm)
        return h_ns

    def _solve(self, h: float, orders: Orders) -> Solved:
        """Solve members, groups, strings and links for h seconds; nothing moves yet."""
        step = self.cells.begin(h, self.heat.core_degC)
        g = self.alive / step.ohm
        emf, ohm = groups.gather(self.groups, step.emf, g, self.shunt_S)
        moved_A = self.converters.into_cells(self.move, self.voltage)
        emf = emf + ohm * moved_A
        string_emf = self.layout.total(emf)
        string_ohm = self.layout.total(ohm + self.fixed.joint_ohm + self.knobs["joint_ohm"])
        flow = self._flow(h, orders, string_emf, string_ohm)
        volts = emf + ohm * flow.mean_A[self.layout.string_of_cell]
        member_A = groups.split(self.groups, volts, step.emf, g)
        return Solved(step, flow, volts, member_A, string_emf, string_ohm + self.fixed.contact_ohm)

    def _flow(self, h: float, orders: Orders, emf: Floats, ohm: Floats) -> circuit.Flow:
        """Solve the links for h seconds with what load and charger do."""
        knobs, gear, link = self.knobs, self.gear, self.link
        whole = (knobs["cut_string"] < 0.5) & ~self.fuse.blown
        charge, discharge = gear.directions()
        main = gear.main & whole & (charge | discharge)
        path = np.where(main, 1.0 / (ohm + self.fixed.contact_ohm + knobs["contact_ohm"]), 0.0)
        through = np.where(gear.precharging & whole, 1.0 / (ohm + self.precharge_ohm), 0.0)
        total = link.fold(path)
        charge_A, discharge_A = self._told(orders, main)
        with np.errstate(invalid="ignore", divide="ignore"):
            bus = Bus(
                emf=link.fold(path * emf) / total, ohm=1.0 / total, volts=link.volts,
                charge_A=charge_A, discharge_A=discharge_A,
                charge_V=np.minimum.reduceat(np.where(main, known(orders.charge_V), np.inf), self.fixed.first_string),
                may_charge=link.fold(main & charge) > 0, may_discharge=link.fold(main & discharge) > 0,
            )  # fmt: skip
        disobey = knobs["disobey_charge"] > 0.5, knobs["disobey_discharge"] > 0.5
        source = self.load.current(self.time_s, h, bus, *disobey)
        forced = knobs["force_A"]
        if self.feeds:
            self.fed_W = self._fed_W(main)
            at_bus = np.bincount(link.bus_of_string[self.layout.first_string], self.fed_W, link.volts.size)
            source = source - np.where(total > 0.0, at_bus / np.maximum(np.nan_to_num(bus.emf), 1.0), 0.0)
        source = np.where(np.isfinite(forced) & (total > 0.0), forced, source)
        fed = link.fold(path + through) > 0.0
        shunt = knobs["link_short_S"] + np.where(fed, 0.0, self.fixed.discharge_S * knobs["link_discharge"])
        link.farad = self.fixed.farad * knobs["link_capacity"]
        return circuit.solve(link, emf, path + through, charge, discharge, source, shunt, h)

    def _told(self, orders: Orders, main: Bools) -> Floats:
        """Return the limits of charge and discharge that the machine of each bus is told, (2, bus) A."""
        alone = np.bincount(self.config.bus_of_pack) == 1
        first_pack = self.layout.pack_of_string[self.fixed.first_string]
        told = np.where(alone, orders.packs_A[:, first_pack], orders.bank_A)
        whole = [self.link.fold(known(x) * main) for x in (orders.charge_A, orders.discharge_A)]
        return np.where(np.isnan(told), whole, told)

    def _fed_W(self, main: Bools) -> Floats:
        """Return what heater, flow, chiller and the rest take from a pack that feeds them, (pack,) W."""
        climate, warm = self.config.climate, self.heat
        pump = np.where(warm.cooled, self.air[1], 0.0)
        watts = warm.users_W(pump, warm.heater_W * self.air[0]).sum(axis=0) + climate.rest_W
        return np.asarray(np.where(climate.behind & self.layout.pack_any(main), watts, 0.0))

    def _count_balancing(self, volts: Floats, hours: float) -> None:
        """Add up what bleeders and converters turn into heat."""
        if self.bleeding.any():
            self.balanced_Wh[0] += self.layout.total(volts * volts * self.fixed.bleed_S * self.bleeding) * hours
        if self.move.any():
            moved_A = self.converters.into_cells(self.move, volts)
            self.balanced_Wh[1] -= self.layout.total(volts * moved_A) * hours

    def _group_heat(self, volts: Floats, string_A: Floats) -> Floats:
        """Return heat that is not the members' own, (cell,) W: joints, shorts, injected, half of the bleed resistor."""
        knobs, group_A = self.knobs, string_A[self.layout.string_of_cell]
        joint = group_A * group_A * knobs["joint_ohm"]
        short = volts * volts * knobs["short_S"]
        bleed = volts * volts * self.fixed.bleed_S * self.bleeding * 0.5
        burning = np.maximum.reduceat(self.heat.core_degC, self.groups.first) < BURNT_OUT_DEGC
        return np.asarray(joint + short + bleed + knobs["heat_W"] * burning)

    def _burn(self, h: float) -> Floats | float:
        """Return the heat of cells that react, (member,) W, and let their voltage go."""
        burning = self.runaway.heat_W(self.heat.core_degC, h)
        if burning is None:
            return 0.0
        self.cells.emf_add = self.emf_faults - self.runaway.lost_V(self.cells.looked.ocv)
        return burning

    def _warm(self, heat_W: Floats, h: float) -> None:
        """Gather heat and step the temperatures when it is worth it; hold cells where a fault asks for it."""
        self.heat_J, self.heat_s = self.heat_J + heat_W * h, self.heat_s + h
        if self.heat_s < HEAT_S - 1e-9 and "core_degC" not in self.knobs.turned:
            return
        self.heat.step(self.heat_s, self.heat_J / self.heat_s, self.air[1], self.air[0])
        self.heat_J, self.heat_s, h = np.zeros_like(heat_W), 0.0, self.heat_s
        held = self.knobs["core_degC"]
        if "core_degC" in self.knobs.turned:
            member = self.groups.spread(held)
            known_ = np.isfinite(member)
            self.heat.core_degC = np.where(known_, member, self.heat.core_degC)
            self.heat.surface_degC = np.where(known_, member, self.heat.surface_degC)
        left = np.exp(-h / np.maximum(self.knobs["lag_s"], TIGHT_S))
        self.probe_degC = self.probe_degC * left + self.heat.surface_degC[self.fixed.probe] * (1.0 - left)

    def _settle(self) -> None:
        """Work out the voltages of this instant for sensors and truth."""
        emf, r0 = self.cells.now(self.last)
        source, ohm = groups.gather(self.groups, emf, self.alive / r0, self.shunt_S)
        self.voltage = source + ohm * self.current[self.layout.string_of_cell]

    @property
    def alive(self) -> Floats:
        """1 for members that are connected, 0 for those cut off, (member,)."""
        if "cut" not in self.knobs.turned:
            return self.fixed.one
        return (self.fixed.place >= self.groups.spread(self.knobs["cut"])).astype(np.float64)

    @property
    def shunt_S(self) -> Floats:
        """Conductance across each group: bleed resistor and internal short, (cell,)."""
        return np.asarray(self.fixed.bleed_S * self.bleeding + self.knobs["short_S"])

    @property
    def precharge_ohm(self) -> Floats:
        """Precharge resistor of each string, (string,)."""
        return np.asarray(self.fixed.resistor_ohm * self.knobs["precharge_ohm"])


def known(x: Floats) -> Floats:
    """Return limits with 0 for those never told."""
    return np.where(np.isfinite(x), x, 0.0)
