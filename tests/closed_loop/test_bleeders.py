"""Bleeders that are always on, or never, on the shipped sites: named with their cell, and none for a leak."""

from __future__ import annotations

import numpy as np
import pytest

from cellarer import config
from cellarer.core.decide import balance
from cellarer.runtime.balancing import KNOWN, World

CELL = 1
ON, NEVER = "bleeder_always_on", "bleeder_never_on"
LEAKS = {"cell_self_discharge", "cell_internal_short"}


def lived(site: str, hours: float, *faults: str, spread: float = 0.02) -> tuple[dict[str, tuple[float, int]], World]:
    """Return when each row was raised, s, and for which cell, and the world after so many hours at rest."""
    world, raised = World(config.load(site), "dose", 1, spread, KNOWN), dict[str, tuple[float, int]]()
    load = world.plant.load
    load.file = load.file.model_copy(update={"kind": "constant", "current_A": 0.0})
    for fault in faults:
        world.plant.inject(fault, cell=CELL, start_s=60.0)
    while world.plant.time_s < hours * 3600.0:
        faults_now = world.step().faults
        for row in np.flatnonzero(faults_now.active[:, 0]).tolist():
            told = world.plant.time_s, int(faults_now.raised_cell[row, 0])
            raised.setdefault(world.config.faults.name[row], told)
    return raised, world


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balance, "LOOK_NS", 3_000_000_000)  # the longest step in a pause of bleeding, which lasts 6 s


@pytest.mark.parametrize("site", ["home", "ev", "ebike", "laptop"])
def test_a_bleeder_that_is_always_on_is_named_with_its_cell(site: str) -> None:
    raised, world = lived(site, 0.1, "bleed_stuck_on", spread=0.0)
    assert set(raised) == {ON} and raised[ON][1] == CELL
    assert raised[ON][0] < 60.0 + 1.5 * 60.0  # steps of a simulation that rests last up to 20 s
    assert world.state.command.plus[0] or world.state.command.discharge_switch[0]


@pytest.mark.parametrize("site", ["home", "ebike"])
def test_a_bleeder_that_never_conducts_is_named_when_it_is_needed(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raised, _ = lived(site, 0.5, "bleed_stuck_off", spread=0.05)
    assert set(raised) <= {NEVER}
    sound, world = lived(site, 0.5, spread=0.05)
    bled = world.state.balancing.moved_Ah[CELL] < 0.0
    assert not sound and (NEVER in raised) == bled


def test_what_a_bleeder_takes_that_is_always_on_is_no_leak_and_is_counted() -> None:
    """20 mA out of 5.5 Ah, C/275: without a look at what bleeds a soft short, or an internal one that opens the pack.

    Of three cells it is bled alone: charge was compared with the median of all and bleeding with their mean.
    """
    raised, world = lived("laptop", 14.0, "bleed_stuck_on", spread=0.0)
    assert ON in raised and not LEAKS & set(raised)
    error = world.state.estimate.soc - world.plant.truth.soc
    assert np.ptp(world.plant.truth.soc) > 0.05
    assert abs(error[CELL] - np.median(error)) < 0.01
