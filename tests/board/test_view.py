"""The view says times and shares of rules that it may not import: they are those of the rules."""

from __future__ import annotations

from cellarer.board import view
from cellarer.core.decide import charge


def test_figures_of_the_charge_machine_are_its_own() -> None:
    assert (view.HOLD_NS, view.REFILL_SHARE, view.UP) == (charge.HOLD_NS, charge.REFILL, charge.UP)
