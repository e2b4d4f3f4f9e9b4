"""The short form of benchmarks/swing.py: the slowest machine with the coarsest steps."""

from __future__ import annotations

from cellarer.runtime import swing


def test_the_charge_limit_does_not_swing_with_the_slowest_machine() -> None:
    one = swing.run(delay_s=10.0, step_A=5.0, keeps_voltage=False, minutes=4.0)
    assert one.opened == 0 and one.highest_V.max() < 3.65
    assert (one.limit_A[:, 1] < 0.6 * one.rated_A).any()  # the limit was at work
    assert one.swing.max() < 0.05
