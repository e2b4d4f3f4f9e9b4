"""What a charge waits for is what holds it: the words and the limit name the same temperature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cellarer.board.waits import coldest
from cellarer.config import build
from cellarer.core.cycle import start


def test_the_temperature_named_is_that_of_the_limit_where_the_map_of_the_cell_goes_further_down() -> None:
    """The map of this cell begins at -15 degC, its limit for charging is zero below -10: at -12 nothing may flow in."""
    pack = {"name": "a", "cell": "naion_hakadi_18650", "series": 4, "temperature_sensors": 1}
    config = build({"name": "x", "pack": [pack], "signals": ["cell_voltage", "temp_degC", "current"]}, "test").config
    state = start(config, 0)
    value = np.full(config.layout.size["signal"], np.nan)
    value[config.layout.where["temp_degC"]] = -12.0
    state = replace(state, seen=replace(state.seen, value=value))
    assert coldest(config, state, 0) == "charging begins above -10 °C; the coldest sensor has -12.0 °C"
