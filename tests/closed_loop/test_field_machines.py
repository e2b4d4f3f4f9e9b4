"""Machines as they are in the field, one cell ahead of the others: they drop out, or ignore what changes by little."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from tests.closed_loop.pack import Pack

from cellarer.model.values import ChargePhase

RATED_A, MAXIMUM_V = 140.0, 3.65  # of the site `home` and its cell
FULL = (ChargePhase.HOLD, ChargePhase.FLOAT)


@dataclass
class Charge:
    """What was seen of a charge to full, row by row, seconds apart."""

    pack: Pack
    limit_A: list[float] = field(default_factory=list)
    current_A: list[float] = field(default_factory=list)
    phases: list[ChargePhase] = field(default_factory=list)
    highest_V: float = 0.0

    @property
    def swing_A(self) -> float:
        """How far the limit rose above its least so far and fell again, the first half minute (it closes) aside."""
        limit = np.array(self.limit_A[30:])
        before, after = np.minimum.accumulate(limit), np.minimum.accumulate(limit[::-1])[::-1]
        return float(np.minimum(limit - before, limit - after).max())


def charge(seconds: int, **machine: Any) -> Charge:
    """Charge a pack that balances by doses until it is full, at the most so long."""
    soc = np.full(16, 0.955)
    soc[3] += 0.03
    seen = Charge(Pack(soc, current_A=100.0, planned=True, **machine))
    for _ in range(seconds):
        seen.pack.run(1.0)
        seen.limit_A.append(float(seen.pack.state.window.charge_A[0]))
        seen.current_A.append(float(seen.pack.plant.current[0]))
        seen.phases.append(seen.pack.phase)
        seen.highest_V = max(seen.highest_V, float(seen.pack.plant.voltage.max()))
        if seen.pack.phase in FULL:
            break
    return seen


def sound(seen: Charge) -> None:
    assert seen.highest_V < MAXIMUM_V and not seen.pack.opened()
    assert seen.pack.phase in FULL, "it becomes full all the same"
    assert seen.swing_A < 0.05 * RATED_A
    assert sum(a != b for a, b in pairwise(seen.phases)) <= 8, "phases take no turns"


@pytest.mark.parametrize("ignores", [[], ["voltage"]])
def test_a_machine_that_drops_out_again_and_again_fills_the_pack_without_a_limit_cycle(ignores: list[str]) -> None:
    """Half a minute of every 160 s is lost; in between the tail, a minute, has time to last."""
    seen = charge(1200, drops_every_s=130.0, drops_for_s=30.0, delay_s=5.0, step_A=2.0, ignores=ignores)
    assert sum(a > 1.0 > 0.01 > abs(b) for a, b in pairwise(seen.current_A)) >= 2, "it did drop out while it charged"
    sound(seen)


@pytest.mark.parametrize("ignores", [[], ["voltage"]])
def test_a_machine_that_ignores_small_changes_fills_the_pack_without_a_limit_cycle(ignores: list[str]) -> None:
    seen = charge(900, dead_band_A=15.0, delay_s=5.0, step_A=1.0, ignores=ignores)
    moved_A = np.diff(seen.current_A)
    assert moved_A[moved_A > 0.5].min() > 14.0, "it did not follow limits that rose by less"
    sound(seen)
