"""Converters that do not do as ordered, beside cells that leak: with a reading of what each passes, and without.

Hours of the whole cycle on a simulated pack, steps of up to a minute. The plan is fixed: it fills one cell slowly, as
the planner would fill one that is low, or that leaks.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cellarer import config
from cellarer.config.load import Site, build
from cellarer.core import slow
from cellarer.core.decide import balance
from cellarer.model.values import FOREVER, no_plan
from cellarer.runtime.balancing import KNOWN, World

CELL, MOVE_A, SHORT_OHM = 4, 2.0, 8.0
SHARE = 0.2  # of the time: 0.4 A, C/125; a short of 8 ohm takes as much
COARSE_MS, FINE_MS = 200.0, 20.0  # the shortest step; fine where samples while a fault is being confirmed count
PAUSE_NS = 3_000_000_000  # the longest step in a pause of what moves, which lasts 12 s
SHORT, UNPROVEN, OFF = "cell_internal_short", "converter_charge_missing", "converter_off_order"
LEAKS = {SHORT, "cell_self_discharge"}


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balance, "LOOK_NS", PAUSE_NS)


def site(reads: bool, cycle_ms: float, solar_kWp: float = 0.5) -> Site:
    """Return a pack that half a kWp does not fill: full cells take nothing, and anchors begin the comparison anew."""
    table = config.load("home").file.model_dump(mode="json", exclude_unset=True)
    pack = table["pack"][0]
    pack.pop("limits", None)
    pack |= {"cell": "nmc_50ah", "balancing": {"topology": "flyback", "move_A": MOVE_A}}
    table["cycle_ms"] = cycle_ms
    table["simulation"]["load"] = {"kind": "home", "inverter_A": 20.0, "demand_kWh_per_day": 2.0}
    table["simulation"]["load"]["solar_kWp"] = solar_kWp
    for device in table["device"]:
        if device["protocol"] == "cmu":
            device["authority"] = "limit"
            if reads:
                device |= {"options": {"measures_converters": True}}
                device["signals"] = [*device["signals"], "converter_current"]
    return build(table, "nmc with converters")


def lived(
    reads: bool, hours: float, *faults: tuple[str, float], planned: float = SHARE, until: str = "",
    cycle_ms: float = COARSE_MS, solar_kWp: float = 0.5,
) -> tuple[dict[str, float], World]:  # fmt: skip
    """Return when each row was raised first, h, and the world after so many hours, or when row `until` was raised."""
    world, raised = World(site(reads, cycle_ms, solar_kWp), "active", 1, 0.005, KNOWN), dict[str, float]()
    move = np.zeros((2, world.layout.size["cell"]))
    move[1, CELL] = planned
    plan = replace(no_plan(move.shape[1], 1), expires_ns=FOREVER, move=move, bleed_Ah=np.zeros(move.shape[1]))
    world.planner = lambda state: plan  # type: ignore[assignment]
    for fault, size in faults:
        world.plant.inject(fault, cell=CELL, size=size, start_s=60.0)
    while world.plant.time_s < hours * 3600.0 and until not in raised:
        faults_now = world.step().faults.active[:, 0]
        for row in np.flatnonzero(faults_now).tolist():
            raised.setdefault(world.config.faults.name[row], world.plant.time_s / 3600.0)
    return raised, world


def off(world: World) -> float:
    """Return how wrong SOC of the cell is, against the other cells."""
    error = world.state.estimate.soc - world.plant.truth.soc
    return float(error[CELL] - np.delete(error, CELL).mean())


def test_a_dead_converter_that_nobody_reads_stops_balancing_and_is_no_leak() -> None:
    raised, world = lived(False, 16.5, ("converter_dead", 1.0))
    assert 6.0 < raised[UNPROVEN] < 6.5 and not LEAKS & set(raised)
    assert not world.state.command.move.any() and world.state.command.plus.all()
    told = world.state.diagnosis  # nine hours after the stop cells are judged again
    assert -np.inf < told.value[0, 0] < 0.0002


def test_a_dead_converter_that_is_read_is_named_within_its_budget_and_moves_nothing_on_paper() -> None:
    raised, world = lived(True, 1.0, ("converter_dead", 1.0))
    row = world.config.faults.name.index(OFF)
    assert set(raised) == {OFF} and raised[OFF] * 3600.0 < 60.0 + world.config.faults.budget_ns[row] * 1e-9
    assert world.state.faults.raised_cell[row, 0] == CELL and world.state.faults.raised_value[row, 0] == pytest.approx(
        1, abs=0.1
    )
    assert not world.state.command.move.any() and world.state.command.plus.all()
    assert abs(world.state.balancing.moved_Ah[CELL]) < 0.01


def test_what_a_converter_moves_unread_is_known_less_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow, "UNREAD", 0.5)  # so large that nothing else counts
    read, unread = (lived(reads, 2.0)[1].state.estimate.soc_between_sigma for reads in (True, False))
    assert unread[CELL] > 2.0 * read[CELL]
    assert unread[CELL + 1] == pytest.approx(read[CELL + 1], rel=0.05)  # it gives a fifteenth of what CELL takes


@pytest.mark.parametrize("planned", [0.0, SHARE])
def test_a_converter_that_is_stuck_and_read_is_named_and_counted(planned: float) -> None:
    raised, world = lived(True, 1.5, ("converter_stuck", -SHARE), planned=planned, cycle_ms=FINE_MS)
    assert set(raised) - {"cell_over_voltage_operating"} == {OFF} and raised[OFF] < 0.05
    assert world.state.balancing.moved_Ah[CELL] == pytest.approx(-1.5 * SHARE * MOVE_A, rel=0.05)
    assert abs(off(world)) < 0.005


def test_a_converter_that_is_stuck_unasked_and_unread_looks_like_a_leak() -> None:
    raised, _ = lived(False, 14.0, ("converter_stuck", -SHARE), planned=0.0, until=SHORT, cycle_ms=FINE_MS)
    assert 6.0 < raised[SHORT] < 14.0 and UNPROVEN not in raised


def test_a_short_behind_a_converter_that_is_read_is_found_as_without_one() -> None:
    raised, _ = lived(True, 6.5, ("internal_short", SHORT_OHM), until=SHORT)
    assert 6.0 < raised[SHORT] < 6.5 and not {UNPROVEN, OFF} & set(raised)


def test_a_short_behind_a_converter_that_nobody_reads_is_found_within_its_budget() -> None:
    raised, world = lived(False, 16.5, ("internal_short", SHORT_OHM), until=SHORT)
    assert raised[UNPROVEN] < 6.5 < raised[SHORT] < 16.5
    assert raised[SHORT] * 3600.0 < world.config.faults.budget_ns[world.config.faults.name.index(SHORT)] * 1e-9


@pytest.mark.parametrize("reads", [True, False])
def test_a_pack_that_becomes_full_meanwhile_finds_a_short_within_its_budget_too(reads: bool) -> None:
    raised, world = lived(reads, 24.0, ("internal_short", SHORT_OHM), until=SHORT, solar_kWp=1.0)
    row = world.config.faults.name.index(SHORT)
    assert raised[SHORT] > 6.0 and (raised[SHORT] < 6.5) == reads, (
        "that it is full at half past three ends no comparison"
    )
    assert raised[SHORT] * 3600.0 < 60.0 + world.config.faults.budget_ns[row] * 1e-9
