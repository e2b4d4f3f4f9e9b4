"""Temperatures against what can be reckoned by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cellarer.sim.heat import Heat, two_nodes


def pack(n: int = 4, ambient: float = 20.0, next_: float = 0.0) -> Heat:
    one = np.ones(n)
    along = np.full(n, next_)
    along[-1] = 0.0
    return Heat(
        core_degC=one * ambient, surface_degC=one * ambient, core_J_per_K=one * 60.0, surface_J_per_K=one * 5.0,
        inner_W_per_K=one * 0.5, outer_W_per_K=one / 3.0, next_W_per_K=along, pack_of_member=np.zeros(n, np.int64),
        node_degC=np.array([ambient]), node_J_per_K=np.array([80.0]), case_W_per_K=np.array([0.6]),
        ambient_degC=np.array([ambient]), cooled=np.array([True]), heater_W=np.array([10.0]),
        flow_W=np.array([1.0]), chiller_W=np.array([0.0]), used_J=np.zeros((3, 1)),
    )  # fmt: skip


def run(heat: Heat, seconds: float, h: float, watts: np.ndarray, pump: float = 0.0, heater: float = 0.0) -> None:
    for _ in range(round(seconds / h)):
        heat.step(h, watts, np.array([pump]), np.array([heater]))


@pytest.mark.parametrize("h", [2.0, 20.0, 60.0])
def test_steady_state_is_the_chain_of_resistances(h: float) -> None:
    heat = pack()
    run(heat, 40000.0, h, np.full(4, 0.5))
    node = 20.0 + 4 * 0.5 / 0.6
    assert heat.node_degC[0] == pytest.approx(node, abs=1e-6)
    assert heat.surface_degC == pytest.approx(np.full(4, node + 0.5 * 3.0), abs=1e-6)
    assert heat.core_degC == pytest.approx(np.full(4, node + 0.5 * (3.0 + 2.0)), abs=1e-6)


@pytest.mark.parametrize("h", [0.1, 5.0, 60.0])
def test_no_joule_is_lost_whatever_the_step(h: float) -> None:
    heat = pack(next_=0.1)
    heat.case_W_per_K = np.array([1e-12])
    before = heat.joules()
    run(heat, 1200.0, h, np.array([2.0, 0.0, 0.0, 1.0]), heater=0.5)
    assert heat.joules() - before == pytest.approx(1200.0 * (3.0 + 5.0), rel=1e-8)


def test_two_nodes_follow_the_matrix_exponential() -> None:
    core, surface, heat, node, h = 40.0, 30.0, 1.5, 20.0, 7.0
    a = np.array([[-0.5 / 60.0, 0.5 / 60.0], [0.5 / 5.0, -(0.5 + 0.4) / 5.0]])
    b = np.array([heat / 60.0, 0.4 * node / 5.0])
    x, n = np.array([core, surface]), 200000
    for _ in range(n):  # midpoint rule with a tiny step: slow and plain
        x = x + h / n * (a @ (x + 0.5 * h / n * (a @ x + b)) + b)
    one = [np.array([v]) for v in (core, surface, heat, node)]
    new_core, new_surface, given = two_nodes(
        *one, h, np.array([60.0]), np.array([5.0]), np.array([0.5]), np.array([0.4])
    )  # fmt: skip
    assert (new_core[0], new_surface[0]) == pytest.approx(tuple(x), abs=1e-7)
    assert given[0] == pytest.approx(heat * h - 60.0 * (x[0] - core) - 5.0 * (x[1] - surface), abs=1e-5)


def test_a_hot_cell_warms_its_neighbours_first() -> None:
    heat = pack(next_=0.1)
    run(heat, 300.0, 1.0, np.array([3.0, 0.0, 0.0, 0.0]))
    assert heat.core_degC[0] > heat.core_degC[1] > heat.core_degC[2] > heat.core_degC[3] > 20.0


def test_the_pump_cools_and_does_nothing_where_there_is_none() -> None:
    still, moving, none = pack(), pack(), pack()
    none.cooled = np.array([False])
    for heat, pump in ((still, 0.0), (moving, 1.0), (none, 1.0)):
        run(heat, 20000.0, 10.0, np.full(4, 1.0), pump=pump)
    assert moving.core_degC[0] < still.core_degC[0] - 5.0
    assert none.core_degC == pytest.approx(still.core_degC, abs=1e-9)
