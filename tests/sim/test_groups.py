"""Parallel members against a direct solution of the equations."""

from __future__ import annotations

import numpy as np
import pytest

from cellarer.sim.groups import NEARLY_OPEN_S, gather, groups, split

RNG = np.random.default_rng(5)


def direct(emf: np.ndarray, ohm: np.ndarray, shunt: float, current: float) -> tuple[float, np.ndarray]:
    """Solve V − R·i_k = E_k for every member and Σ i_k + shunt·V = I as one linear system."""
    n = emf.size
    matrix, right = np.zeros((n + 1, n + 1)), np.append(emf, current)
    matrix[:n, 0], matrix[np.arange(n), np.arange(n) + 1] = 1.0, -ohm
    matrix[n, 0], matrix[n, 1:] = shunt + NEARLY_OPEN_S, 1.0
    x = np.linalg.solve(matrix, right)
    return float(x[0]), x[1:]


def test_split_equals_the_direct_solution_for_ragged_groups() -> None:
    parallel = np.array([3, 1, 5])
    g = groups(parallel)
    emf, ohm = RNG.uniform(3.2, 3.4, 9), RNG.uniform(0.001, 0.01, 9)
    shunt, current = np.array([0.0, 0.5, 0.1]), 12.0
    source, inner = gather(g, emf, 1.0 / ohm, shunt)
    volts = source + inner * current
    members = split(g, volts, emf, 1.0 / ohm)
    for k, (first, n) in enumerate(zip(g.first, parallel, strict=True)):
        mine = slice(first, first + n)
        expected_V, expected_A = direct(emf[mine], ohm[mine], shunt[k], current)
        assert volts[k] == pytest.approx(expected_V, rel=1e-12)
        assert members[mine] == pytest.approx(expected_A, rel=1e-9)


def test_a_member_that_is_cut_off_carries_nothing_and_the_others_all() -> None:
    g = groups(np.array([3]))
    emf, conductance = np.array([3.3, 3.31, 3.29]), np.array([100.0, 0.0, 100.0])
    source, inner = gather(g, emf, conductance, np.zeros(1))
    current = split(g, source + inner * 10.0, emf, conductance)
    assert current[1] == 0.0
    assert current.sum() == pytest.approx(10.0, rel=1e-6)


def test_a_group_without_any_member_stays_a_number() -> None:
    g = groups(np.array([1]))
    source, inner = gather(g, np.array([3.3]), np.zeros(1), np.zeros(1))
    assert np.isfinite(source).all() and inner[0] == pytest.approx(1.0 / NEARLY_OPEN_S)
