"""A pack that holds 15 % less than its cell file says: the live cycle learns it, and SOC stays honest."""

from __future__ import annotations

import numpy as np

from cellarer.config import load
from cellarer.config.load import build
from cellarer.core import estimate as estimators
from cellarer.core.asked import no_requests
from cellarer.core.cycle import Inputs, start, step
from cellarer.core.slow import compiled
from cellarer.model.values import Phase, no_plan
from cellarer.runtime.simulate import close_all
from cellarer.sim.plant import Plant, no_orders, orders_of

PARALLEL, LEFT, DAY_S = 2, 0.85, 86400.0
FINE_S, COARSE_S = 0.02, 60.0  # of a step: while switchgear moves, otherwise


def test_a_worn_pack_is_learnt_within_a_day_and_known_honestly_after_it() -> None:
    home = load("home").file
    assert home.simulation is not None
    pack = home.pack[0].model_dump(exclude_none=True) | {"cell": "nmc_50ah", "parallel": PARALLEL}
    pack.pop("limits")
    signals = ["cell_voltage", "temp_degC", "current", "string_voltage", "link_voltage"]
    signals += [f"feedback_{name}" for name in ("minus", "precharge", "plus")]
    config = build({"name": "worn", "signals": signals, "pack": [pack]}, "worn").config
    plant = Plant(config, home.simulation, 3)
    plant.cells.capacity = plant.cells.capacity * LEFT
    true_Ah = plant.cells.capacity.reshape(-1, PARALLEL).sum(axis=1) / 3600.0
    plan = no_plan(config.layout.size["cell"], config.layout.size["pack"])
    state, orders, asked, dt_s = start(config, 0), no_orders(config), close_all(config), FINE_S
    off, sigma = [], []
    while plant.time_s < 1.5 * DAY_S:
        plant.advance(dt_s, orders)
        state, command, _ = step(config, state, Inputs(plant.sample(), asked, plan), plant.time_ns)
        asked, orders = no_requests(config), orders_of(command)
        moving = state.switches.phase[0] not in (Phase.OPEN, Phase.CLOSED, Phase.CHARGE_ONLY, Phase.DISCHARGE_ONLY)
        dt_s = FINE_S if moving else COARSE_S
        if plant.time_s > DAY_S:
            off.append(state.estimate.soc - plant.cells.soc.reshape(-1, PARALLEL).mean(axis=1))
            sigma.append(state.estimate.soc_sigma)
    learnt = estimators.capacity_Ah(compiled(config), state.estimator)
    doubt = estimators.capacity_sigma_Ah(compiled(config), state.estimator)
    assert np.abs(learnt / true_Ah - 1.0).max() < 0.02
    assert (np.abs(learnt - true_Ah) < 2.0 * doubt).all()
    assert (np.abs(off) < 2.0 * np.array(sigma)).mean() > 0.95
    assert np.sqrt(np.mean(np.square(off))) < 0.015
