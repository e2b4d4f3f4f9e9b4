"""Every change of state is told by an event, and every event says why: no row, phase or wish moves in silence."""

from __future__ import annotations

import numpy as np
import pytest
from tests.closed_loop.world import World

from cellarer.model.values import State

ASKED = ("request", "refuse")  # these are causes themselves: the name is what was asked


def moved(before: State, after: State) -> list[tuple[str, int]]:
    """Return (kind, string) of everything that an event must tell."""
    found = []
    for row, string in np.argwhere(before.faults.active != after.faults.active).tolist():
        found.append(("fault" if after.faults.active[row, string] else "clear", string))
    found += [("switch", s) for s in np.flatnonzero(before.switches.phase != after.switches.phase).tolist()]
    found += [("charge", s) for s in np.flatnonzero(before.charging.phase != after.charging.phase).tolist()]
    return found


@pytest.mark.parametrize(
    ("site", "faults"),
    [("home", ("emergency_stop", "cell_sensor_silent")), ("ebike", ("current_silent", "cell_sensor_rail"))],
)
def test_nothing_moves_without_an_event_with_a_cause(site: str, faults: tuple[str, ...]) -> None:
    world = World(site)
    known = len(world.events)
    changes = 0

    def run(seconds: float) -> None:
        nonlocal known, changes
        for _ in range(round(seconds * 1e9 / world.config.cycle_ns)):
            before = world.state
            world.step()
            new = world.events[known:]
            known = len(world.events)
            told = sorted((e.kind, e.string) for e in new if e.kind not in (*ASKED, "system"))
            assert told == sorted(moved(before, world.state))
            assert all(e.cause for e in new if e.kind not in ASKED), new
            assert not (before.wishes.closed != world.state.wishes.closed).any() or new, "a wish fell in silence"
            changes += len(told)

    run(0.5)
    world.closed()
    known = len(world.events)
    for fault in faults:
        world.plant.inject(fault, start_s=world.now_ns * 1e-9)
        run(2.0)
    assert changes > 4
    assert all(e.cause for e in world.events if e.kind not in ASKED)
