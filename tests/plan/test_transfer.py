"""Active balancing: programmes keep charge and converters, the rule in the loop stays near the optimum."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cellarer.plan import feedback, transfer
from cellarer.plan.transfer import Topology

Floats = NDArray[np.float64]

pytestmark = pytest.mark.needs("scipy")
CELLS, WINDOW = 8, 0.01
seeds = st.integers(0, 2**32 - 1)
ALL = (
    Topology("bleed", -0.1 * np.eye(CELLS), np.zeros((0, CELLS)), np.eye(CELLS), np.ones(CELLS)),  # each to heat
    transfer.shuttle(CELLS, 1.0, 0.9),
    transfer.flyback(CELLS, 2.0, 0.92),
    transfer.matrix(CELLS, 2.0, 0.85, 2),
)


def drawn(seed: int, cells: int = CELLS) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    return 0.6 + rng.uniform(-0.025, 0.025, cells), rng.uniform(97.0, 103.0, cells)


@settings(max_examples=15)
@given(seeds, st.sampled_from(ALL))
def test_programme_conserves_charge_and_keeps_the_hardware(seed: int, topology: Topology) -> None:
    soc, capacity = drawn(seed)
    best = transfer.least_time(topology, soc, capacity, WINDOW)
    assert best is not None
    hours = best.move_s / 3600.0
    after = soc + topology.effect_A @ hours / capacity
    assert after.max() - after.min() <= WINDOW + 1e-6
    assert (hours >= -1e-9).all()
    assert (topology.group @ best.move_s <= topology.at_once * best.seconds + 1e-3).all()
    np.testing.assert_allclose(((soc - after) * capacity).sum(), best.lost_Ah, atol=1e-6)
    thrifty = transfer.least_loss(topology, soc, capacity, WINDOW, best.seconds * 1.0001)
    assert thrifty is not None
    assert -1e-9 <= thrifty.lost_Ah <= best.lost_Ah + 1e-6
    assert thrifty.seconds <= best.seconds * 1.001


def test_bus_evens_modules_by_hand() -> None:
    """Two modules of two 100 Ah cells, 4 % apart, 1 A, lossless: 1.5 % each way down to 1 % = 1.5 h."""
    capacity = np.full(4, 100.0)
    best = transfer.least_time(transfer.bus(4, 2, 1.0, 1.0), np.array([0.54, 0.54, 0.5, 0.5]), capacity, WINDOW)
    assert best is not None
    np.testing.assert_allclose(best.seconds, 1.5 * 3600.0, rtol=1e-6)
    inside = transfer.least_time(transfer.bus(4, 2, 1.0, 1.0), np.array([0.54, 0.5, 0.52, 0.52]), capacity, WINDOW)
    assert inside is None, "it cannot even out cells inside a module"


@pytest.mark.parametrize("topology", ALL, ids=lambda t: t.name)
def test_unknown_soc_moves_nothing(topology: Topology) -> None:
    soc, capacity = drawn(1)
    soc[2] = np.nan
    assert transfer.least_time(topology, soc, capacity, WINDOW) is None
    for drive in (feedback.drive_flyback(soc, capacity, WINDOW, 2.0, 60.0),
                  feedback.drive_shuttle(soc, capacity, WINDOW, 0.9, 0.1)):  # fmt: skip
        assert not np.concatenate(drive).any()


def followed(topology: Topology, soc: Floats, capacity: Floats, slot_s: float = 60.0) -> float:
    """Return how long the rule in the loop needs, s."""
    soc = soc.copy()
    for slot in range(100_000):
        if soc.max() - soc.min() <= WINDOW + 1e-6:
            return slot * slot_s
        if topology.name == "flyback":
            drive = np.concatenate(feedback.drive_flyback(soc, capacity, WINDOW, 2.0, slot_s))
        else:
            drive = np.concatenate(feedback.drive_shuttle(soc, capacity, WINDOW, 0.9, 1.0 * slot_s / 3600.0))
        assert (drive >= 0.0).all()
        assert (topology.group @ drive <= topology.at_once + 1e-9).all()
        soc += topology.effect_A @ drive * (slot_s / 3600.0) / capacity
    raise AssertionError("the rule never ends")


@settings(max_examples=8)
@given(seeds)
def test_flyback_rule_stays_within_5_percent_of_the_optimum(seed: int) -> None:
    soc, capacity = drawn(seed)
    best = transfer.least_time(ALL[2], soc, capacity, WINDOW)
    assert best is not None
    assert followed(ALL[2], soc, capacity) <= best.seconds * 1.05 + 60.0


@settings(max_examples=8)
@given(seeds)
def test_shuttle_flow_stays_within_5_percent_of_the_optimum(seed: int) -> None:
    """The programme may use the same directions only: both ways at once would burn charge to be done sooner."""
    soc, capacity = drawn(seed)
    flow = feedback.least_flow(soc, capacity, WINDOW, 0.9)
    both = np.concatenate([np.maximum(flow, 0.0), np.maximum(-flow, 0.0)])
    after = soc + ALL[1].effect_A @ both / capacity
    assert after.max() - after.min() <= WINDOW + 1e-9
    used = np.concatenate([flow >= 0.0, flow < 0.0])
    one_way = replace(ALL[1], effect_A=ALL[1].effect_A * used)
    best = transfer.least_time(one_way, soc, capacity, WINDOW)
    assert best is not None
    assert np.abs(flow).max() <= best.seconds / 3600.0 * 1.05


def test_shuttle_rule_takes_as_long_as_its_flow() -> None:
    soc, capacity = drawn(1)
    hours = np.abs(feedback.least_flow(soc, capacity, WINDOW, 0.9)).max()
    assert followed(ALL[1], soc, capacity, 300.0) <= hours * 3600.0 * 1.01 + 300.0
