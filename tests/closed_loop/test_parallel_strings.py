"""Strings in parallel: the first one full neither takes the bus to its float voltage nor hides behind the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.closed_loop.pack import Pack

from cellarer.core.decide.charge import allowance, start
from cellarer.model.values import ChargePhase as C

SITE = """
name = "bank"
signals = ["cell_voltage", "temp_degC", "current", "string_voltage", "link_voltage", "feedback_minus", "feedback_plus",
           "feedback_precharge"]
[[pack]]
name = "a"
cell = "{0}"
series = 16
strings = 2
switchgear = {{ kind = "contactors", resistor_ohm = 50.0 }}
[simulation]
soc_spread_pct = 0.0
capacity_spread_pct = 0.0
load = {{ kind = "constant", inverter_A = 300.0 }}
"""


def bank(folder: Path, cell: str, ahead: float, amperes: float) -> Pack:
    """Return two strings without bleeders; one cell of the first is ahead."""
    path = folder / "bank.toml"
    path.write_text(SITE.format(cell))
    soc = np.full(32, 0.95)
    soc[3] += ahead
    return Pack(soc, site=str(path), current_A=amperes, dead_band_A=0.0, step_A=0.5, delay_s=1.0, dt_s=2.0)


@pytest.mark.parametrize("cell", ["lfp_280ah", "nmc_50ah"])  # one has a float voltage, the other is not charged in it
def test_a_string_floats_when_no_other_of_its_pack_charges(tmp_path: Path, cell: str) -> None:
    config = bank(tmp_path, cell, 0.0, 0.0).config
    table, fresh = config.limits, start(config, 0)
    for other, waits in ((C.BULK, True), (C.ABSORPTION, True), (C.TAPER, True), (C.REFILL, True), (C.HOLD, False),
                         (C.FLOAT, False), (C.IDLE, False), (C.BLOCKED, False)):  # fmt: skip
        phase = np.array([C.FLOAT, other], np.int8)
        end_V, charge_A, _ = allowance(config, replace(fresh, phase=phase))
        alone = np.where(np.isnan(table.float_V), table.end_of_charge_V, table.float_V)[0]
        assert end_V[0] == (table.end_of_charge_V[0] if waits else alone)
        assert charge_A[0] == (table.rated_charge_A[0] if waits or cell == "lfp_280ah" else 0.0)


def test_a_full_string_keeps_the_bus_up_while_another_still_charges(tmp_path: Path) -> None:
    pack = bank(tmp_path, "lfp_280ah", 0.03, 60.0)
    end_V = float(pack.config.limits.end_of_charge_V[0])
    pack.run(7200.0, lambda p: p.phase == C.FLOAT)
    first, second = pack.state.charging.phase.tolist()
    assert first == C.FLOAT and second == C.BULK
    pack.run(20.0)
    window = pack.state.window
    assert window.charge_V[0] > float(pack.plant.voltage[:16].sum()) - 0.05
    assert pack.state.command.bank_charge_A[0] > 0.0
    pack.run(600.0)
    assert pack.plant.voltage.max() < end_V + 0.005
    said = pack.view()["packs"][0]["strings"]
    assert not any("holds the bus" in text for text in said[0]["missing"])
    assert any(f"string 1 holds the bus at {window.charge_V[0]:.1f}"[:27] in text for text in said[1]["missing"])


def test_strings_that_are_full_together_float_together_and_nobody_holds_the_bus(tmp_path: Path) -> None:
    pack = bank(tmp_path, "lfp_280ah", 0.0, 60.0)
    pack.run(9000.0, lambda p: bool((p.state.charging.phase == C.FLOAT).all()))
    pack.run(4.0)
    table = pack.config.limits
    assert (pack.state.window.charge_V <= 16 * table.float_V + 1e-9).all()
    assert not any("holds the bus" in text for s in pack.view()["packs"][0]["strings"] for text in s["missing"])
