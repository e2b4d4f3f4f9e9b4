"""The short form of benchmarks/swing.py: the slowest machine with the coarsest steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.closed_loop.pack import Pack
from tests.closed_loop.test_becomes_full import FULL, few

from cellarer.model.values import Sample
from cellarer.runtime import swing


def test_the_charge_limit_does_not_swing_with_the_slowest_machine() -> None:
    """Bleeding goes in turns meanwhile.

    By doses of one cell that is ahead and of the fifteen beside one that is behind; by voltage, at twice the
    resistance, where the plan has no dose and says nothing.
    """
    one = swing.run(delay_s=10.0, step_A=5.0, keeps_voltage=False, minutes=5.0)
    assert one.opened == 0 and one.highest_V.max() < 3.65
    assert (np.nanmin(one.limit_A, axis=0) < 0.6 * one.rated_A).all()  # the limit was at work
    turns = np.diff(one.bleeding.astype(int), axis=0).any(axis=0)
    assert turns.tolist() == [False, True, True, True, False]
    assert one.swing.max() < 0.05


def test_a_limit_that_dips_from_the_rated_current_does_not_jump_back() -> None:
    """The machine follows the first fall, voltage falls more than the cell file says, and all seems well again."""
    one = swing.run(delay_s=1.0, step_A=2.0, keeps_voltage=False, minutes=2.0)
    doubled = one.limit_A[:, swing.PACKS.index("resistance doubled")]
    assert np.nanmin(doubled) < swing.SETTLED * one.rated_A
    assert one.swing.max() < 0.02


def test_a_pause_of_bleeding_does_not_make_the_charge_limit_fall() -> None:
    """A cell beyond its end voltage bleeds, unheard by its filter, which takes it for less full than it is."""
    soc = np.full(16, 0.955)
    soc[3] += 0.03
    pack = Pack(soc, current_A=140.0, dt_s=0.5, delay_s=2.0, step_A=1.0, planned=True, ignores=["voltage"])
    pack.run(340.0)
    promised: dict[bool, list[float]] = {True: [], False: []}
    limits = []
    for _ in range(300):
        pack.run(0.5)
        promised[bool(pack.state.command.bleed.any())].append(float(pack.state.estimate.sop_A[1, 0, 0]))
        limits.append(float(pack.state.window.charge_A[0]))
    assert len(promised[False]) > 15, "bleeding paused"
    assert abs(np.mean(promised[True]) - np.mean(promised[False])) < 0.02 * 140.0
    assert max(promised[True]) < 0.1 * 140.0, "no more is promised than a cell so near its limit can take"
    assert np.abs(np.diff(limits)).max() < 0.01 * 140.0


@pytest.mark.parametrize("lag_V", [0.0, 0.01])
def test_the_forecast_is_shown_a_cell_as_it_is_without_bleeding_in_every_sample(lag_V: float) -> None:
    """Also in the first of a turn, which medians do not show yet, and in that after it, while a chip still settles."""
    soc = np.full(16, 0.955)
    soc[3] += 0.03
    pack = Pack(soc, current_A=140.0, dt_s=0.5, delay_s=2.0, step_A=1.0, planned=True, ignores=["voltage"])
    pack.run(340.0)
    sample, at = pack.plant.sample, pack.layout.where["cell_voltage"].start + 3
    bled, off_V, began, ended = True, [], 0, 0

    def lagging(now_ns: int | None = None) -> Sample:
        read = sample(now_ns)
        if bled and not pack.state.command.bleed.any():
            read.value[at] -= lag_V
        return read

    pack.plant.sample = lagging  # type: ignore[method-assign]
    for _ in range(60):
        before = bool(pack.state.command.bleed.any())
        pack.run(0.5)
        off_V.append(float(pack.state.forecast.shown_V[3] - pack.plant.voltage[3]))
        began, ended, bled = began + (before and not bled), ended + (bled and not before), before
    assert began and ended
    assert np.abs(off_V).max() < 0.003


@pytest.mark.parametrize(
    ("cell", "parallel", "third_soc", "current_A", "delay_s", "highest_V"),
    [
        ("lto_23ah", 2, 0.95, 90.0, 10.0, 2.71),  # 80 A come down over ten seconds, and what they polarised comes back
        ("a123_26650", 10, 0.90, 30.0, 10.0, 3.63),  # near its end it takes less than one step, 17 % of what is rated
    ],
)
def test_the_charge_limit_of_another_cell_does_not_swing_either(
    cell: str, parallel: int, third_soc: float, current_A: float, delay_s: float, highest_V: float, tmp_path: Path
) -> None:
    pack = Pack(
        [0.93, 0.93, third_soc, 0.93], site=few(tmp_path, cell, 22.0, parallel), current_A=current_A, dead_band_A=0.0,
        step_A=5.0, delay_s=delay_s, inverter_A=180.0, ignores=["voltage"],
    )  # fmt: skip
    limits, seen_V, rated_A = [], 0.0, float(pack.config.limits.rated_charge_A[0])
    while pack.phase not in FULL and pack.plant.time_s < 900.0:
        pack.run(1.0)
        seen_V = max(seen_V, float(pack.plant.voltage.max()))
        if pack.plant.time_s > 60.0:  # it has closed
            limits.append(float(pack.state.window.charge_A[0]))
    limit = np.array(limits)
    before, after = np.minimum.accumulate(limit), np.minimum.accumulate(limit[::-1])[::-1]
    assert np.minimum(limit - before, limit - after).max() < 0.05 * rated_A
    assert pack.phase in FULL and limit.min() < 0.1 * rated_A and seen_V < highest_V and not pack.opened()
    assert pack.true_soc > 0.98
