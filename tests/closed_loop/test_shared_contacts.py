"""A pair shares both paths: how it comes back from a cell too low or too high, guard and gate in the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cellarer.board.view import missing
from cellarer.config import load
from cellarer.core.asked import no_requests
from cellarer.model.values import Event, Phase, Requests
from cellarer.runtime.campaign_world import World, asks, world

CELL, QUICK_S, COARSE_S = 2, 0.02, 0.5
SITES = {"home": 2.2, "ev": 2.56}  # V of the empty cell: below the guard's minimum, above deep discharge (LFP, NMC)


class Shared:
    """One pack, its guard and what hangs on the link."""

    def __init__(self, name: str, volts: float, current_A: float, *, others: float = 0.3, **machine: Any) -> None:
        site = load(name)
        assert site.file.simulation is not None
        given = {"kind": "constant", "current_A": current_A, "trips_per_day": None} | machine
        simulation = site.file.simulation.model_copy(
            update={"load": site.file.simulation.load.model_copy(update=given)}
        )
        self.world: World = world(site, simulation, 1, dt_s=COARSE_S)
        self.quick()
        self.config, self.plant, self.none = self.world.config, self.world.plant, no_requests(site.config)
        self.soc = np.full(self.config.layout.size["cell"], others)
        self.level(volts)
        self.events: list[Event] = []

    def level(self, volts: float) -> None:
        """Give the cell the charge at which it has this voltage at rest."""
        low, high = -0.2, 1.2
        while high - low > 1e-6:
            self.soc[CELL] = 0.5 * (low + high)
            self.plant.set_soc(self.soc)
            low, high = (low, self.soc[CELL]) if self.plant.voltage[CELL] > volts else (self.soc[CELL], high)

    def quick(self) -> None:
        self.dt_s = QUICK_S
        self.world.guards.pace(round(QUICK_S * 1e9))

    def coarse(self) -> None:
        self.dt_s = COARSE_S
        self.world.guards.pace(round(COARSE_S * 1e9))

    def draw(self, current_A: float, **more: Any) -> None:
        """Let the machine wish another current, + charges, or be another one."""
        self.plant.load.file = self.plant.load.file.model_copy(update={"current_A": current_A} | more)

    def run(
        self, seconds: float, until: Callable[[Shared], bool] | None = None, asked: Requests | None = None
    ) -> float:
        """Let time pass until `until` holds; the seconds that passed."""
        begin = self.plant.time_s
        while self.plant.time_s - begin < seconds - 1e-6:
            *_, events = self.world.cycle(self.dt_s, asked)
            asked = None
            self.events += events
            if until is not None and until(self):
                break
        return self.plant.time_s - begin

    def close(self, seconds: float = 4.0) -> None:
        self.run(seconds, asked=asks(self.config, close=np.array([True])))

    def reset(self) -> None:
        self.run(self.dt_s, asked=replace(self.none, reset=np.array([True])))

    @property
    def phase(self) -> Phase:
        return Phase(int(self.world.state.switches.phase[0]))

    @property
    def held(self) -> bool:
        return bool(self.world.orders.plus[0])

    @property
    def gate_A(self) -> tuple[float, float]:
        return float(self.world.orders.charge_A[0]), float(self.world.orders.discharge_A[0])

    @property
    def trips(self) -> set[str]:
        return {name for name, _ in self.world.guards.trips}

    def active(self, row: str) -> bool:
        table = self.config.faults
        return bool(self.world.state.faults.active[table.name.index(row), 0])


@pytest.mark.parametrize("name", SITES)
def test_an_empty_cell_is_charged_again_through_the_pair_and_comes_back_to_normal(name: str) -> None:
    shared = Shared(name, SITES[name], 140.0)
    charge_A = float(shared.config.limits.precondition_A[0])
    shared.run(2.0)
    assert "cell under-voltage" in shared.trips and not shared.held
    shared.close()
    assert shared.phase == Phase.CHARGE_ONLY and shared.held
    shared.coarse()
    low = True
    while low and shared.plant.time_s < 7200.0:
        shared.run(COARSE_S)
        low = shared.phase == Phase.CHARGE_ONLY
        assert shared.gate_A[1] == 0.0 and shared.gate_A[0] <= charge_A + 1e-9
        assert shared.plant.current[0] > -0.5
    assert shared.phase == Phase.CLOSED and not shared.active("cell_under_voltage_maximum")
    shared.run(7200.0, lambda s: s.gate_A[1] > 0.0)
    assert shared.gate_A[1] > 0.0 and not shared.trips
    shared.run(20.0)
    assert shared.phase == Phase.CLOSED and shared.held
    opened = [e.name for e in shared.events if e.kind == "switch" and "opening" in e.name]
    assert not opened, "one closing is enough"


@pytest.mark.parametrize("name", SITES)
def test_without_a_charger_nothing_closes_and_what_is_missing_is_said(name: str) -> None:
    shared = Shared(name, SITES[name], 0.0, kind="rest")  # the kind of which no charger is alive
    shared.run(2.0)
    shared.close(5.0)
    assert shared.phase == Phase.OPEN and not shared.held
    assert any("with a charger present it closes to be charged" in m for m in said(shared))


@pytest.mark.parametrize("volts", [1.97, 2.03])
def test_below_the_deep_discharge_voltage_nothing_closes(volts: float) -> None:
    shared = Shared("home", volts, 14.0)
    shared.run(2.0)
    shared.close(5.0)
    deep = volts < 2.0
    assert shared.active("deep_discharge") == deep and ("deep discharge" in shared.trips) == deep
    assert shared.held != deep


@pytest.mark.parametrize("name", SITES)
@pytest.mark.parametrize("share", [0.9, 1.1, 10.0])  # of what counts as a discharge
def test_a_load_that_draws_from_what_is_to_be_charged_is_cut_off_within_half_a_second(name: str, share: float) -> None:
    shared = Shared(name, SITES[name], 0.0, obeys_limits=False, dead_band_A=0.0, step_A=0.01, slew_A_per_s=1e4)
    shared.run(2.0)
    shared.close()
    assert shared.phase == Phase.CHARGE_ONLY and shared.held
    limit = float(shared.config.faults.trip[shared.config.faults.name.index("refill_discharged"), 0])
    shared.draw(-share * limit)
    took = shared.run(2.0, lambda s: not s.held)
    if share < 1.0:
        assert shared.held
        return
    assert took <= 0.5 and not shared.held
    assert shared.active("refill_discharged")
    shared.draw(0.0)
    shared.run(10.0)
    shared.close(3.0)
    assert not shared.held, "it does not close again by itself, nor when somebody only asks"
    shared.reset()
    shared.close()
    assert shared.held and shared.phase == Phase.CHARGE_ONLY


@pytest.mark.parametrize("name", SITES)
def test_a_dead_charger_beside_a_load_below_the_sensors_error_empties_nothing_to_deep_discharge(name: str) -> None:
    """Before, the pair stayed closed until the cell was at its deep-discharge voltage, and opened for good."""
    shared = Shared(name, SITES[name], 0.0, obeys_limits=False, dead_band_A=0.0, step_A=0.01, slew_A_per_s=1e4)
    shared.run(2.0)
    shared.close()
    limit = float(shared.config.faults.trip[shared.config.faults.name.index("refill_discharged"), 0])
    shared.draw(-0.9 * limit)
    shared.coarse()
    shared.run(7200.0, lambda s: not s.held)
    assert not shared.held and shared.active("refill_lost")
    assert not shared.active("deep_discharge")
    shared.draw(0.0)
    shared.run(20.0)
    shared.close()
    assert not shared.held, "a person must look at the charger first"
    shared.reset()
    shared.close(10.0)
    assert shared.held and shared.phase == Phase.CHARGE_ONLY
    shared.draw(140.0, obeys_limits=True, slew_A_per_s=10.0)
    shared.run(600.0)
    assert shared.plant.current[0] > 1.0 and not shared.active("refill_lost"), "a charger that works again"


@pytest.mark.parametrize("name", SITES)
def test_the_guard_alone_cuts_off_a_load_that_draws(name: str) -> None:
    shared = Shared(name, SITES[name], 0.0, obeys_limits=False, slew_A_per_s=1e4)
    shared.run(2.0)
    shared.close()
    row = shared.config.faults.name.index("refill_discharged")
    blind = replace(
        shared.config.faults,
        enabled=shared.config.faults.enabled & (np.arange(len(shared.config.faults.name)) != row)[:, None],
    )
    shared.world.config = replace(shared.config, faults=blind)
    shared.draw(-60.0)
    took = shared.run(2.0, lambda s: not s.held)
    assert took <= 0.1 + 0.5 + 0.1 and "discharged while charging only" in shared.trips


def said(shared: Shared) -> list[str]:
    return missing(shared.config, shared.world.state, 0)


@pytest.mark.parametrize(("rest_V", "closes"), [(4.22, True), (4.24, False)])
def test_a_pair_that_rests_between_release_and_maximum_is_reset_and_discharged_and_not_charged(
    rest_V: float, closes: bool
) -> None:
    """NMC: trips at 4.25 V, is good from 4.23 V; before, from 4.20 V, below which a full cell at rest never comes."""
    shared = Shared("ev", 4.29, 0.0, others=0.8)
    shared.run(2.0)
    assert shared.active("cell_over_voltage_maximum") and "cell over-voltage" in shared.trips
    assert any("cells bleed down while it is open" in m for m in said(shared))
    shared.level(rest_V)
    shared.run(8.0)
    shared.close(2.0)
    assert not shared.held, "never without a reset"
    shared.reset()
    shared.run(2.0)
    shared.close()
    assert shared.held == closes and shared.active("cell_over_voltage_maximum") != closes
    if not closes:
        return
    shared.draw(-30.0)
    shared.run(10.0, lambda s: s.plant.current[0] < -5.0)
    assert shared.plant.current[0] < -5.0 and shared.gate_A[0] == 0.0
    shared.level(4.24)
    shared.draw(30.0, obeys_limits=False, slew_A_per_s=1e4)
    assert shared.run(3.0, lambda s: not s.held) <= 1.0, "charging trips it again"


@pytest.mark.parametrize("spread_V", [0.0, 0.1])
@pytest.mark.parametrize("top_V", [4.26, 4.29])  # beyond control's maximum; beyond the guard's, too
def test_cells_that_are_too_full_bleed_while_the_pair_is_open(spread_V: float, top_V: float) -> None:
    shared = Shared("ev", top_V, 0.0, others=0.8)
    others = top_V - spread_V
    shared.level(others)
    shared.soc[:] = shared.soc[CELL]
    shared.level(top_V)
    shared.run(5.0)
    assert ("cell over-voltage" in shared.trips) == (top_V > 4.28)
    bled = shared.world.orders.bleed
    assert bled[CELL] and not shared.held and not shared.world.orders.move.any()
    assert bled.all() or spread_V > 0.0, "all of them are too full"
    before_V = shared.plant.voltage[CELL]
    shared.coarse()
    shared.run(100.0)
    assert shared.plant.voltage[CELL] < before_V
