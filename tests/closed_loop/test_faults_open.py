"""Closed loop in virtual time: a fault of the simulated world opens its path within the budget of its row."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from tests.closed_loop.world import World

from cellarer.config import load
from cellarer.model.values import Level, Phase


class Case(NamedTuple):
    """A fault of the simulated world, its size (None = the catalogue's) and the rows of which one must see it."""

    fault: str
    size: float | None
    rows: tuple[str, ...]


CASES = {
    "over-voltage": Case("cell_overvoltage", 0.25, ("cell_over_voltage_maximum",)),
    "over-temperature": Case("cell_hot", 80.0, ("over_temperature_maximum", "charge_over_temperature_maximum")),
    "over-current, discharge": Case("overcurrent_discharge", 3.5, ("discharge_over_current_maximum",)),
    "over-current, charge": Case("overcurrent_charge", 3.5, ("charge_over_current_maximum",)),
    "dead cell": Case("cell_undervoltage", 0.6, ("cell_under_voltage_maximum", "deep_discharge")),
    "sense wire short": Case(
        "cell_sensor_short", None, ("cell_under_voltage_maximum", "deep_discharge", "sum_mismatch")
    ),
    "silent cell": Case("cell_sensor_silent", None, ("cell_reading_lost",)),
    "silent current": Case("current_silent", None, ("current_reading_lost",)),
    "emergency stop": Case("emergency_stop", None, ("emergency_stop",)),
    "interlock": Case("interlock", None, ("interlock_open",)),
}
SITES = ("home", "ev", "ebike")


def ready(name: str) -> World:
    world = World(name).closed()
    world.run(2.0)
    assert world.plant.truth.charge_path[0] and world.plant.truth.discharge_path[0]
    return world


def budget_s(world: World, row: str) -> float:
    return float(world.config.faults.budget_ns[world.config.faults.name.index(row)]) * 1e-9


def blocked(world: World, row: str) -> bool:
    """Tell whether in truth every path that the row blocks is open."""
    table, truth = world.config.faults, world.plant.truth
    index = table.name.index(row)
    charge_open = not table.charge[index] or not truth.charge_path[0]
    return bool(charge_open and (not table.discharge[index] or not truth.discharge_path[0]))


def measured(site: str, name: str) -> list[str]:
    """Return those rows of a case that are on at this site."""
    table = load(site).config.faults
    return [row for row in CASES[name].rows if table.enabled[table.name.index(row), 0]]


@pytest.mark.parametrize(("site", "name"), [(site, name) for site in SITES for name in CASES if measured(site, name)])
def test_a_fault_leads_to_an_open_path_within_its_budget(site: str, name: str) -> None:
    world, case, rows = ready(site), CASES[name], measured(site, name)
    onset = world.now_ns * 1e-9
    world.plant.inject(case.fault, 0, 3, case.size, start_s=onset)
    budget = max(budget_s(world, row) for row in rows)
    world.run(budget + 0.5, lambda w: any(row in w.raised() and blocked(w, row) for row in rows))
    seen = {row: world.raised()[row] - onset for row in rows if row in world.raised()}
    assert seen, (world.raised(), "none of the rows saw the fault")
    row = min(seen, key=lambda r: seen[r])
    assert blocked(world, row), "the path is still closed"
    assert world.now_ns * 1e-9 - onset <= budget_s(world, row)


@pytest.mark.parametrize("site", ("home", "ev"))
def test_a_silent_module_controller_leads_to_an_open_path(site: str) -> None:
    world = ready(site)
    onset = world.now_ns * 1e-9
    world.silence(next(d for d in world.site.file.device if d.name == "module 2"))
    world.run(2.0, lambda w: blocked(w, "cell_reading_lost"))
    assert "cell_reading_lost" in world.raised() and blocked(world, "cell_reading_lost")
    assert world.now_ns * 1e-9 - onset <= budget_s(world, "cell_reading_lost")
    cells = [e.cell for e in world.events if e.name == "cell_reading_lost"]
    device = next(d for d in world.site.file.device if d.name == "module 2")
    assert device.first_cell - 1 <= cells[0] < device.first_cell - 1 + device.cells


@pytest.mark.parametrize("site", ("home", "ev"))
def test_a_stuck_sensor_leads_to_an_open_path_once_current_moves(site: str) -> None:
    world = ready(site)
    world.plant.inject("cell_sensor_stuck", 0, 3, start_s=world.now_ns * 1e-9)
    world.run(0.5)
    onset = world.now_ns * 1e-9
    world.plant.inject("overcurrent_charge", 0, 0, 0.9, start_s=onset)  # within limits: only to move the voltages
    world.run(3.0, lambda w: blocked(w, "cell_reading_frozen"))
    assert [e.cell for e in world.events if e.name == "cell_reading_frozen"] == [3]
    assert blocked(world, "cell_reading_frozen")
    assert world.now_ns * 1e-9 - onset <= budget_s(world, "cell_reading_frozen")


@pytest.mark.parametrize("site", ("home", "ev", "ebike", "laptop", "supervised"))
def test_a_sound_site_runs_without_a_fault(site: str) -> None:
    world = World(site, seed=7).closed()
    world.run(30.0)
    levels = dict(zip(world.config.faults.name, world.config.faults.level, strict=True))
    assert [e.name for e in world.events if e.kind == "fault" and levels[e.name] >= Level.WARN] == []
    switched = world.config.switch.kind != 0
    assert (world.state.switches.phase[switched] == Phase.CLOSED).all()
