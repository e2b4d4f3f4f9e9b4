"""Converters between cells from the plan to the charge that moves: control, guard, link, bus, module and cells.

Each part is the one that runs: `step()`, the records of wish and gate, the driver, the emulated module on its frames.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cellarer import config
from cellarer.config.load import Site, build
from cellarer.model.values import FOREVER
from cellarer.runtime import campaign_world as worlds
from cellarer.runtime.campaign_cases import CHARGE
from cellarer.runtime.campaign_wires import Wired, wired
from cellarer.wire.devices.driver import converters_driven, driver

SECONDS, MOVE_A = 4.0, 2.0


def site(authority: str = "limit", topology: str = "flyback") -> Site:
    table = config.load("home").file.model_dump(mode="json", exclude_unset=True)
    table["pack"][0]["balancing"] |= {"topology": topology, "move_A": MOVE_A}
    for device in table["device"]:
        if device["protocol"] == "cmu":
            device["authority"] = authority
    return build(table, "home with converters")


@pytest.fixture
def made() -> Wired:
    """Return a closed pack whose plan moves charge: out of cell 2 all the time, into cell 13 half of it."""
    here = site()
    made = wired(worlds.settled(here, CHARGE, 1), here, [""], 1)
    move = np.zeros((2, 16))
    move[0, 1], move[1, 12] = 1.0, 0.5
    made.plan = replace(made.plan, expires_ns=FOREVER, move=move)
    worlds.run(made, 1.0, made.cycle_s)
    return made


def test_the_module_moves_what_the_plan_says_and_control_counts_what_the_module_moves(made: Wired) -> None:
    cells, counted = made.plant.cells, made.state.balancing.moved_Ah
    before = cells.soc * cells.capacity / 3600.0
    worlds.run(made, SECONDS, made.cycle_s)
    gained = cells.soc * cells.capacity / 3600.0 - before
    others = np.delete(gained, (1, 12)).mean()  # the current of the string, and what converters put on the pack
    hours = SECONDS / 3600.0
    assert gained[1] - others == pytest.approx(-MOVE_A * hours, rel=0.03)
    assert gained[12] - others == pytest.approx(0.5 * MOVE_A * hours, rel=0.03)
    said = made.state.balancing.moved_Ah - counted
    np.testing.assert_allclose(said - said.mean(), gained - gained.mean(), atol=0.03 * MOVE_A * hours)


def test_the_end_of_a_plan_stops_the_module(made: Wired) -> None:
    assert made.orders.move.any()
    made.plan = replace(made.plan, expires_ns=made.plant.time_ns)
    worlds.run(made, 2 * made.cycle_s, made.cycle_s)
    assert not made.orders.move.any()


def test_a_guard_that_objects_stops_the_module_whatever_control_wants(made: Wired) -> None:
    made.guards.guards[0].link_restarted((0,))
    made.cycle(made.cycle_s)
    assert made.state.command.move.any() and not made.orders.move.any()


def test_a_module_that_hears_nothing_stops_after_two_seconds(made: Wired) -> None:
    for device in made.devices:
        device.line.driver.order = lambda order, now_ns: []  # type: ignore[method-assign]
    worlds.run(made, 1.4, made.cycle_s)  # half a second at most has passed since the last refresh
    assert made.orders.move.any()
    worlds.run(made, 0.7, made.cycle_s)
    assert not made.orders.move.any()


def test_a_site_whose_converters_nobody_drives_is_refused() -> None:
    for here in (site(), site("observe", "none")):
        converters_driven(here.config, [driver(device) for device in here.file.device])
    nobody = site("observe")
    with pytest.raises(ValueError, match=r"no device drives the converter of cell 1; allowed: none, or .*limit"):
        converters_driven(nobody.config, [driver(device) for device in nobody.file.device])
