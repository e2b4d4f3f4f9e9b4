"""A pack that feeds its own heater: it never opens itself over it, and a charger brings it out of the cold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.closed_loop.pack import Pack

from cellarer.core.decide.cool import AGAIN_NS, LENT, TRY_NS
from cellarer.model.values import ChargePhase

SITE = """
name = "shed"
signals = ["cell_voltage", "temp_degC", "current", "string_voltage", "link_voltage", "feedback_minus", "feedback_plus",
           "feedback_precharge", "ambient_degC"]
[[pack]]
name = "a"
cell = "lfp_280ah"
series = 16
temperature_sensors = 2
heater = true
thermal = {{ heater_W = 1000.0, supply = "pack" }}
switchgear = {{ kind = "contactors", resistor_ohm = 50.0 }}
[simulation]
ambient_degC = {0}
load = {{ kind = "constant", inverter_A = 140.0 }}
"""


def shed(folder: Path, soc: float, ambient_degC: float, current_A: float = 0.0) -> Pack:
    path = folder / "shed.toml"
    path.write_text(SITE.format(ambient_degC))
    return Pack(soc, site=str(path), current_A=current_A, dead_band_A=0.0, step_A=0.5, delay_s=5.0)


@pytest.mark.parametrize(
    ("soc", "ambient_degC", "heats"),
    [
        (0.30, -5.0, True),  # within what it may give
        (0.07, -5.0, False),  # below its floor: it tries, and nobody brings anything
        (0.004, -10.0, False),  # below its minimum: not even that
        (0.30, -22.0, False),  # too cold to be discharged
    ],
)
def test_a_heater_takes_what_cells_may_give_and_never_opens_its_pack(
    tmp_path: Path, soc: float, ambient_degC: float, heats: bool
) -> None:
    pack, on_s = shed(tmp_path, soc, ambient_degC), 0.0
    for _ in range(120):
        pack.run(1.0)
        on_s += float(pack.state.command.heater[0])
    assert not pack.opened() and not any("limit" in event.name for event in pack.events)
    able = soc > 0.01 and ambient_degC > -20.0
    assert (on_s > 100.0) if heats else (on_s <= TRY_NS * 1e-9 + 1.0 if able else on_s == 0.0)
    if able and not heats:
        assert on_s > 20.0
        assert pack.run(AGAIN_NS * 1e-9, lambda p: bool(p.state.command.heater[0])) > AGAIN_NS * 1e-9 - 150.0


def test_a_charger_brings_an_empty_pack_out_of_the_cold_and_charges_no_cold_cell(tmp_path: Path) -> None:
    pack = shed(tmp_path, 0.07, -2.0, current_A=60.0)
    coldest, through = pack.layout.where["temp_degC"], []

    def charging(p: Pack) -> bool:
        if p.plant.heat.surface_degC.min() < -0.5:
            through.append(float(p.plant.current[0]))
        return p.phase == ChargePhase.BULK and float(p.plant.current[0]) > 5.0

    passed_s = pack.run(3600.0, charging)
    assert passed_s < 3600.0 and not pack.opened()
    assert len(through) > 60 and max(through) <= 0.1  # cells gave a little all the while
    assert np.mean(through) > -(1.0 - LENT) * 1000.0 / 48.0 * 2.0  # the charger brought most of it
    assert pack.state.seen.value[coldest].min() > 0.0
    assert pack.soc < 0.08
