"""A charger that ignores every limit and pushes more than its rating into an empty cell is cut off within a second."""

from __future__ import annotations

import numpy as np
from tests.closed_loop.pack import Pack


def test_a_charger_that_obeys_nothing_is_cut_off_an_empty_cell_within_a_second() -> None:
    soc = np.full(16, 0.05)
    soc[5] = 0.002
    pack = Pack(soc, current_A=168.0, inverter_A=168.0, obeys_limits=False)  # closing takes a second of its 4
    when = {event.name: event.time_ns * 1e-9 for event in pack.events}
    assert "refill_over_current" in when
    assert when["opening → open"] - when["precharge → plus"] <= 1.0
    assert abs(pack.plant.current[0]) < 0.1 and pack.plant.voltage.min() < 2.8
