"""Modules of a string balance towards one target; packs in parallel each towards their own, and meet by themselves.

The whole cycle on simulated packs whose SOC is set by module and by pack: even inside, apart between.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cellarer import config
from cellarer.config.load import Site, build
from cellarer.core.cycle import start
from cellarer.runtime import balancing
from cellarer.runtime.balancing import BALANCED, KNOWN, World

MODULE, CAPACITY_AH, BLEED_A, MOVE_A = 8, 50.0, 0.5, 2.0
UPPER, LOWER = 0.52, 0.48  # SOC of the first module and of the second, or of packs


def site(packs: int, **hardware: object) -> Site:
    """Return so many packs of two modules each, nobody draws or charges."""
    table = config.load("home").file.model_dump(mode="json", exclude_unset=True)
    pack = table["pack"][0] | {"capacity_Ah": CAPACITY_AH, "limits": {}, "balancing": hardware}
    pack["balancing"] |= {"bleed_mA": 1000.0 * BLEED_A}
    signals = ["cell_voltage", "temp_degC", "current", "string_voltage", "link_voltage", "feedback_minus",
               "feedback_precharge", "feedback_plus"]  # fmt: skip
    world = {"start_soc_pct": 50.0, "capacity_spread_pct": 0.0, "load": {"kind": "constant", "current_A": 0.0}}
    names = [{"name": f"pack {n + 1}"} for n in range(packs)]
    return build(
        {"name": "common", "signals": signals, "pack": [pack | n for n in names], "simulation": world}, "common"
    )


def world(here: Site, name: str, soc: np.ndarray) -> World:
    """Return a pack with this true SOC, (cell,), known to 1 %, of which 0.1 % between cells."""
    made = World(here, name, 1, 0.0, KNOWN)
    made.plant.set_soc(soc)
    made.state = start(made.config, 0, balancing._known(made.config, made.plant, 1, KNOWN))
    return made


def run(made: World, hours: float, done: Callable[[World], bool] = lambda made: False) -> float:
    """Let hours pass, or until done; return how many."""
    while made.plant.time_s < 3600.0 * hours and not done(made):
        made.step()
    return made.plant.time_s / 3600.0


def even(made: World) -> bool:
    return bool(np.ptp(made.plant.truth.soc) <= BALANCED)


@pytest.mark.parametrize("name", ["dose", "bus", "flyback"])
def test_modules_that_are_even_inside_meet_at_one_target(name: str) -> None:
    here = site(1, move_A=MOVE_A, module_cells=MODULE)
    made = world(here, name, np.repeat([UPPER, LOWER], MODULE))
    before = made.plant.truth.usable_Ah[0]
    hours = run(made, 4.0, even)
    truth = made.plant.truth
    upper, lower = truth.soc.reshape(2, MODULE).mean(axis=1)
    assert even(made) and np.ptp(truth.soc.reshape(2, MODULE), axis=1).max() < 0.005, "no module leaves its own order"
    assert truth.usable_Ah[0] - before == pytest.approx((UPPER - LOWER - BALANCED) * CAPACITY_AH, rel=0.2)
    assert upper < UPPER - 0.01 and (lower > LOWER + 0.01) == (name != "dose")
    least_h = (UPPER - LOWER - BALANCED) * CAPACITY_AH / (BLEED_A if name == "dose" else 2.0 * MOVE_A)
    print(f"\n{name}: {hours:.2f} h, usable {before:.1f} → {truth.usable_Ah[0]:.1f} Ah, "
          f"{made.plant.balanced_Wh.sum():.1f} Wh lost, least {least_h:.2f} h")  # fmt: skip


def test_packs_in_parallel_meet_by_themselves_and_bleed_for_their_own_cells_alone() -> None:
    here = site(2)
    own = np.zeros(2 * MODULE)
    own[0] = 0.03  # one cell above the others, in each pack
    made = world(here, "dose", np.concatenate([0.6 + own, 0.4 + own]))
    hours = run(made, 5.0)
    truth, moved = made.plant.truth, made.state.balancing.moved_Ah
    packs = truth.soc.reshape(2, -1)
    bled, high = -moved.reshape(2, -1), 0.03 * CAPACITY_AH
    assert bled[:, 0] == pytest.approx(high, rel=0.2) and bled[:, 1:].max() < 0.2 * high, "for its own pack alone"
    assert bled.sum(axis=1) == pytest.approx(bled.sum() / 2, rel=0.2), "no pack bleeds down to the other"
    assert np.ptp(packs, axis=1).max() < 0.006
    apart = packs[0, 1:].mean() - packs[1, 1:].mean()
    assert 0.0 < apart < 0.85 * 0.2 and made.plant.truth.current[0] < 0.0 < made.plant.truth.current[1], "they meet"
    print(f"\nbled {bled.round(2)}")
    print(f"packs: {packs[:, 1:].mean(axis=1)} after {hours:.1f} h, {made.plant.balanced_Wh.sum():.1f} Wh lost")
