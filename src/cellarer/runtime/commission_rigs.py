"""Three rigs for commissioning: the simulated battery, the real one with everything open, and a site that runs."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from cellarer.board import orders as gate
from cellarer.board.files import Folder
from cellarer.board.ring import BoardError
from cellarer.board.snapshot import SnapshotReader
from cellarer.config import Site
from cellarer.config.schema import LoadFile, SimulationFile
from cellarer.runtime.commission import STEPS, place
from cellarer.runtime.link import Line
from cellarer.runtime.wires import Wire
from cellarer.sim.plant import Plant, no_orders

Floats = NDArray[np.float64]

STEP_S = 0.02
COARSE_S, COARSE_STEP_S = 5.0, 0.1  # where nothing is switched for so long, coarser steps do
ORDER_S = 0.1  # between two orders to real devices
HOLD_K = 6.0  # a simulated hand
PRECHARGE_S = 2.5
FRESH_S = 1.0


class Means:
    """Means of signals over a while."""

    def __init__(self, size: int) -> None:
        self._sum, self._count = np.zeros(size), np.zeros(size)

    def add(self, value: Floats) -> None:
        """Add one reading of all signals; NaN = none."""
        known = np.isfinite(value)
        self._sum[known] += value[known]
        self._count += known

    @property
    def value(self) -> Floats:
        """Return the means, NaN where nothing came."""
        return np.where(self._count > 0, self._sum / np.maximum(self._count, 1.0), np.nan)


class SimulatedRig:
    """The simulated battery in virtual time, with whatever faults were put into its wires."""

    steps = tuple(STEPS)
    holds_open = True

    def __init__(self, site: Site) -> None:
        self.config = site.config
        simulation = site.file.simulation or SimulationFile()
        pulse = LoadFile(kind="constant", current_A=float(self.config.limits.rated_charge_A.min()), delay_s=0.0)
        self.plant = Plant(self.config, simulation.model_copy(update={"load": pulse}))
        self._orders = no_orders(self.config)
        self._sensor: int | None = None
        self._degC = 0.0

    def look(self, seconds: float) -> Floats:
        """Let time pass and return means of what the sensors say."""
        means, end_s = Means(self.config.layout.size["signal"]), self.plant.time_s + seconds
        step_s = STEP_S if seconds < COARSE_S else COARSE_STEP_S
        while self.plant.time_s < end_s:
            if self._sensor is not None:
                self.plant.heat.surface_degC[self.plant.fixed.probe[self._sensor]] = self._degC
            self.plant.advance(step_s, self._orders)
            means.add(np.where(self.config.sensing.present, self.plant.sample().value, np.nan))
        old = self.plant.time_ns - self.plant.sample().time_ns > self.config.sensing.max_age_ns
        return np.where(old, np.nan, means.value)

    def bleed(self, cell: int | None) -> None:
        """Order one bleeder."""
        self._orders.bleed[:] = False
        if cell is not None:
            self._orders.bleed[cell] = True

    def warm(self, sensor: int | None) -> None:
        """Hold a warm hand on the spot where the sensor sits."""
        self._sensor = sensor
        if sensor is not None:
            self._degC = float(self.plant.heat.surface_degC[self.plant.fixed.probe[sensor]]) + HOLD_K

    def flow(self, current_A: float) -> None:
        """Close as control would, then let the load charge; opens again afterwards."""
        orders = self._orders
        for closed in (("minus", "precharge"), ("minus", "plus", "charge_switch", "discharge_switch")):
            for name in ("minus", "precharge", "plus", "charge_switch", "discharge_switch"):
                getattr(orders, name)[:] = current_A > 0.0 and name in closed
            self.look(PRECHARGE_S if current_A > 0.0 else STEP_S)
        strings = self.config.layout.size["string"]
        orders.charge_A[:], orders.charge_V[:] = (
            current_A,
            self.config.limits.end_of_charge_V * (self.config.layout.size["cell"] / strings),
        )


class OpenRig:
    """The real battery through its own links; every output is ordered open. The site must not run."""

    holds_open = True

    def __init__(self, site: Site, ask: Callable[[str], None], say: Callable[[str], None]) -> None:
        self.config, self._ask = site.config, ask
        bleeds = bool((site.config.balance.bleed_A > 0.0).any())
        self.steps = ("rest", "bleed", "warm") if bleeds else ("rest", "warm")
        self._folder = TemporaryDirectory()
        used = {device.link for device in site.file.device}
        self._wires = {
            link.name: Wire(link, Folder(Path(self._folder.name)), say) for link in site.file.link if link.name in used
        }
        self._lines = [(self._wires[d.link], Line(d, self.config.layout)) for d in site.file.device]
        self._bleed = np.zeros(self.config.layout.size["cell"], bool)

    def look(self, seconds: float) -> Floats:
        """Listen for a while; refresh what is bled."""
        means, end_s, ordered_s = Means(self.config.layout.size["signal"]), time.monotonic() + seconds, 0.0
        while (now_s := time.monotonic()) < end_s:
            if now_s - ordered_s >= ORDER_S:
                ordered_s = now_s
                self._order()
            for wire in self._wires.values():
                for item, time_ns in wire.receive(0.01):
                    for owner, line in self._lines:
                        if owner is wire:
                            self._hear(means, line.readings(line.driver.receive(item, time_ns)))
        return means.value

    def _hear(self, means: Means, readings: list[tuple[int, float]]) -> None:
        value = np.full(self.config.layout.size["signal"], np.nan)
        for signal, reading in readings:
            value[signal] = reading
        means.add(value)

    def _order(self) -> None:
        """Tell every device: all open, and who is bled; ask those that must be asked."""
        size, now_ns = self.config.layout.size, time.monotonic_ns()
        strings, packs = np.zeros(size["string"], gate.STRING), np.zeros(size["pack"], gate.PACK)
        still = np.zeros((2, size["cell"]))
        orders = gate.Orders(0, now_ns, now_ns, bytes(8), False, strings, packs, self._bleed, still)
        for wire, line in self._lines:
            for frame in line.driver.order(line.order(orders, armed=False), now_ns):
                wire.send(frame)
            for question in line.driver.due(now_ns):
                wire.send(question)

    def bleed(self, cell: int | None) -> None:
        """Choose who is bled."""
        self._bleed[:] = False
        if cell is not None:
            self._bleed[cell] = True

    def warm(self, sensor: int | None) -> None:
        """Ask a person."""
        if sensor is not None:
            self._ask(f"Warm {place(self.config, 'temp', sensor)} with your hand and hold it there")

    def flow(self, current_A: float) -> None:
        """Do nothing: with everything open no current can flow."""

    def close(self) -> None:
        """Let go of the links."""
        for wire in self._wires.values():
            wire.close()
        self._folder.cleanup()


class RunningRig:
    """A site that runs: it is only watched, control and guard decide; a person lets a charger charge."""

    steps = ("rest", "warm", "charge")
    holds_open = False

    def __init__(self, site: Site, state_dir: Path, ask: Callable[[str], None]) -> None:
        self.config, self._ask = site.config, ask
        self._reader = SnapshotReader(Folder.of(state_dir).snapshot)
        self._zero = 0.0

    def look(self, seconds: float) -> Floats:
        """Return means of what control sees. Raises BoardError when it does not run."""
        means, end_s, cycle, fresh_s = Means(self.config.layout.size["signal"]), time.monotonic() + seconds, -1, 0.0
        while (now_s := time.monotonic()) < end_s:
            shot = self._reader.newest()
            if shot is not None and shot.state.cycle != cycle:
                cycle, fresh_s = shot.state.cycle, now_s
                means.add(shot.state.seen.value)
            time.sleep(STEP_S)
        if time.monotonic() - fresh_s > FRESH_S:
            raise BoardError("control publishes nothing: is the site running?")
        return means.value

    def bleed(self, cell: int | None) -> None:
        """Do nothing: who bleeds is control's matter."""

    def warm(self, sensor: int | None) -> None:
        """Ask a person."""
        if sensor is not None:
            self._ask(f"Warm {place(self.config, 'temp', sensor)} with your hand and hold it there")

    def flow(self, current_A: float) -> None:
        """Ask a person."""
        self._ask(f"Let the charger charge with about {current_A:.0f} A" if current_A else "Stop the charger")
