"""What would make SOC better known is asked for every string once a minute, and reaches people in words."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from tests.core.bench import Bench
from tests.core.sites import site

from cellarer.board.view import better_known_by, view
from cellarer.core import estimate as estimators
from cellarer.core.slow import compiled
from cellarer.model.values import NEVER


def told(name: str, soc: float, dt_ms: float = 500.0) -> Bench:
    bench = Bench(site(name), dt_ms)
    bench.run(5.0)
    bench.step(set_soc=soc)
    return bench


def test_every_string_has_its_turn_within_a_minute_and_one_at_a_time() -> None:
    bench = told("ragged", 0.5)
    strings = bench.layout.size["string"]
    first = bench.state.advised.asked_ns.copy()
    turns: list[np.ndarray] = []
    bench.every_cycle.append(lambda b: turns.append(b.state.advised.asked_ns))
    bench.run(61.0)
    asked_ns = bench.state.advised.asked_ns
    assert (asked_ns > NEVER).all() and (asked_ns > first).all()
    moved = [np.count_nonzero(a != b) for a, b in pairwise(turns)]
    assert max(moved) == 1 and strings - 1 <= sum(moved) <= strings + 1


def test_what_the_state_carries_is_what_the_estimators_advise() -> None:
    bench = told("one", 0.5)
    bench.run(120.0, lambda b: b.state.advised.asked_ns[0] == b.now_ns and bool((b.state.advised.sigma > 0.0).all()))
    config, state = bench.config, bench.state
    (wanted,) = estimators.advise(compiled(config), state.estimator, config.layout.string_of_cell)  # type: ignore[arg-type]
    assert wanted and better_known_by(state, 0) == [str(one) for one in wanted]
    assert state.advised.cell[0] == int(np.argmax(state.estimate.soc_sigma))
    string = view(config, state, unix_s=0.0)["packs"][0]["strings"][0]
    assert string["better_known_by"] == better_known_by(state, 0)


def test_an_unknown_state_of_charge_is_advised_nothing_and_keeps_nobody_waiting() -> None:
    bench = Bench(site("supervised"), 500.0)
    bench.run(70.0)
    assert np.isnan(bench.state.estimate.string_soc_sigma).all()
    assert (bench.state.advised.asked_ns == NEVER).all() and better_known_by(bench.state, 0) == []
    bench.step(set_soc=np.array([np.nan, 0.5]))
    bench.run(5.0)
    assert better_known_by(bench.state, 0) == [] and better_known_by(bench.state, 1)
    assert (bench.state.advised.asked_ns == NEVER).tolist() == [True, False]
