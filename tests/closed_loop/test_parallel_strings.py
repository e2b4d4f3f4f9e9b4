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
        lost = allowance(config, replace(fresh, phase=phase), lambda: np.array([True, False]))
        assert lost[0][0] == alone, "one that no current reaches is not waited for"


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


@pytest.mark.parametrize("amperes", [400.0, -400.0])
def test_a_machine_that_obeys_drives_no_string_beyond_its_own_limit(tmp_path: Path, amperes: float) -> None:
    """The second string has twice the resistance: of the sum of what both may carry the first would take too much."""
    bank(tmp_path, "lfp_280ah", 0.0, 0.0)
    pack = Pack(0.5, site=str(tmp_path / "bank.toml"), current_A=amperes, inverter_A=400.0, dt_s=2.0)
    factor = np.where(np.arange(32) < 16, 1.0, 2.0)
    pack.plant.cells.ohm, pack.plant.fixed.ohm = pack.plant.cells.ohm * factor, pack.plant.fixed.ohm * factor
    pack.plant.cells.refresh(pack.plant.heat.core_degC)
    pack.run(600.0)  # by then resistances are known
    most = np.zeros(2)
    for _ in range(150):
        limit_A = (pack.state.window.charge_A, pack.state.window.discharge_A)[int(amperes < 0.0)]
        pack.run(2.0)
        most = np.maximum(most, np.abs(pack.plant.current) / limit_A)
    assert 0.9 < most.max() < 1.03, most
    assert not pack.opened()


def test_a_full_pack_keeps_the_bus_up_while_a_pack_beside_it_still_charges() -> None:
    """Four packs of one bus; the first, with a cell 5 % ahead, is full first. At its float voltage the others would
    rest at 95 % for ever, and nothing would say why."""
    soc = np.full(64, 0.93)
    soc[3] += 0.05
    pack = Pack(soc, site="supervised", current_A=200.0, inverter_A=400.0, step_A=1.0, dead_band_A=0.0, dt_s=2.0)
    pack.run(3600.0, lambda p: p.phase == C.FLOAT)
    others = pack.plant.truth.string_soc[1:]
    pack.run(1200.0)
    end_V = float(pack.config.limits.end_of_charge_V[0])
    assert (pack.plant.truth.string_soc[1:] > others + 0.001).all() and pack.plant.voltage.max() > end_V - 0.005
    assert pack.plant.voltage.max() < end_V + 0.005
    said = [p["strings"][0]["missing"] for p in pack.view()["packs"]]
    assert all(any("pack 1 holds the bus at 53.9" in text for text in one) for one in said[1:]), said
