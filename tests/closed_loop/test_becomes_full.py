"""Every shipped cell, and every shipped site, becomes full with a machine that does as it is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.closed_loop.pack import Pack

from cellarer import cells
from cellarer.model.reasons import INDEX, REASONS
from cellarer.model.values import ChargePhase

FULL = (ChargePhase.HOLD, ChargePhase.FLOAT)
START_SOC = {"nissan_leaf_2013": 0.93}  # its end of charge is met at rest at 97 %
SIGNALS = ("cell_voltage", "temp_degC", "current", "string_voltage", "link_voltage", "feedback_minus", "feedback_plus",
           "feedback_precharge")  # fmt: skip


def few(folder: Path, cell: str, degC: float, parallel: int = 1) -> str:
    """Return a site of four such groups, which the room keeps at a temperature."""
    path = folder / "few.toml"
    path.write_text(
        f"""name = "few"
signals = {list(SIGNALS)}
[[pack]]
name = "a"
cell = "{cell}"
series = 4
parallel = {parallel}
temperature_sensors = 2
switchgear = {{ kind = "contactors", resistor_ohm = 20.0 }}
balancing = {{ bleed_mA = 50 }}
[simulation]
soc_spread_pct = 0.0
ambient_degC = {degC}
load = {{ kind = "constant" }}
"""
    )
    return str(path)


def fill(site: str, soc: float, current_A: float, minutes: float, **machine: Any) -> Pack:
    """Charge with a machine of 100 steps that keeps CVL and CCL and answers after 2 s, until full."""
    given = {"dead_band_A": 0.0, "step_A": 0.01 * current_A, "delay_s": 2.0, "inverter_A": 2.0 * current_A} | machine
    pack = Pack(soc, site=site, current_A=current_A, dt_s=2.0, **given)
    pack.top_V = 0.0  # type: ignore[attr-defined]

    def full(pack: Pack) -> bool:
        pack.top_V = max(pack.top_V, float(pack.plant.voltage.max()))  # type: ignore[attr-defined]
        return pack.phase in FULL

    pack.run(60.0 * minutes, full)
    return pack


def sound(pack: Pack) -> None:
    """Full, with the end of charge touched, and no cell above what is allowed."""
    limits = pack.config.limits
    assert pack.phase in FULL, pack.string()["missing"]
    assert float(limits.end_of_charge_V[0]) - 0.006 < pack.top_V < float(limits.charge_zero_V[0]) + 0.002  # type: ignore[attr-defined]
    assert not pack.opened()
    turns = [e.name for e in pack.events if e.kind == "charge"]
    assert turns.count("taper → absorption") <= 2, "phases take no turns"


@pytest.mark.parametrize("degC", (25.0, 5.0))
@pytest.mark.parametrize("cell", cells.names())
def test_every_shipped_cell_becomes_full(cell: str, degC: float, tmp_path: Path) -> None:
    """Also where the end of charge is the voltage at which the fade leaves nothing: doubt must not lock out the end."""
    limits = cells.load(cell).limits
    pack = fill(few(tmp_path, cell, degC), START_SOC.get(cell, 0.97), 0.5 * float(limits.charge_A[0]), 150.0)
    sound(pack)


@pytest.mark.parametrize(("site", "current_A"), [("ev", 25.0), ("ebike", 2.0), ("laptop", 2.0), ("home", 50.0)])
def test_every_shipped_site_becomes_full(site: str, current_A: float) -> None:
    """With a charger in the place of its load: cells that differ as the site says, its own surroundings and devices."""
    sound(fill(site, 0.97, current_A, 120.0))


def test_a_pack_that_may_not_be_charged_says_what_binds() -> None:
    """The end of charge is no more the reason than the phase: nothing may flow in."""
    pack = Pack(0.9, current_A=50.0)
    pack.run(30.0)
    assert not any("may flow in" in text for text in pack.string()["missing"])
    window = replace(
        pack.state.window, charge_A=np.zeros(1), charge_reason=np.array([INDEX["power forecast"]], np.int8)
    )
    pack.state = replace(pack.state, window=window)
    assert "0.00 A may flow in now, because of: power forecast" in pack.string()["missing"]


def test_a_machine_that_stops_short_of_the_charge_voltage_is_told() -> None:
    pack = Pack(0.98, current_A=50.0, dead_band_A=0.0, step_A=1.0, voltage_offset_V=-0.5, dt_s=4.0)
    said = "the machine stops short, or nothing charges: "
    assert not any(text.startswith(said) for text in pack.string()["missing"])
    pack.run(5400.0, lambda p: any(text.startswith(said) for text in p.string()["missing"]))
    assert pack.phase == ChargePhase.BULK and pack.plant.time_s < 5400.0
    assert any("A are allowed up to 55." in text for text in pack.string()["missing"])


@pytest.mark.parametrize("soc", (0.004, 0.03))
def test_cold_and_empty_asks_for_no_charge_that_it_may_not_take_and_says_so(soc: float, tmp_path: Path) -> None:
    """Below its preconditioning voltage, and above: no discharge either, until it is warm and some charge is back."""
    pack = Pack(soc, site=few(tmp_path, "lfp_280ah", -10.0), current_A=30.0, dt_s=5.0)
    pack.run(600.0)
    told = pack.string()
    phase = ChargePhase.PRECONDITION if soc < 0.01 else ChargePhase.BULK
    assert pack.phase in (phase, ChargePhase.WARMING, ChargePhase.REFILL)
    assert pack.state.window.charge_A[0] == 0.0 and not pack.state.command.force_charge[0]
    assert any(text.startswith("charging begins above 0 °C; the coldest sensor has -1") for text in told["missing"])
    assert REASONS[int(pack.state.window.charge_reason[0])] in ("temperature low", "charge phase")
    if soc < 0.01:
        assert pack.state.window.discharge_A[0] == 0.0


def test_a_machine_that_gives_more_than_the_tail_or_nothing_ends_its_charge() -> None:
    """It starts again and again; every start lasts for seconds, every pause is too deep to be a tail."""
    soc = np.linspace(0.97, 0.975, 16)
    pack = Pack(soc, current_A=50.0, dt_s=2.0, dead_band_A=0.0, step_A=25.0, delay_s=3.0, planned=True)
    pack.run(9000.0, lambda p: p.phase in FULL)
    assert pack.phase in FULL and pack.plant.truth.string_soc[0] > 0.99
    assert sum(e.kind == "charge" for e in pack.events) <= 8, "phases take no turns"
