"""Measured drives of sound cells: no row says that the current sensor is turned round or has jumped."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.core.sites import table

from cellarer.config.load import build
from cellarer.core import response
from cellarer.core.decide.signals import STEPS
from cellarer.model.values import NEVER
from cellarer.runtime import recording

DATA = Path(__file__).resolve().parents[2] / "data"
ROWS = 12_000


def looks(path: str, cell: str, sign: float) -> tuple[int, int]:
    """Return at how many looks a measured current, times `sign`, is taken for reversed and for a jump."""
    pack = [{"name": "a", "cell": cell, "series": 1, "temperature_sensors": 1}]
    config = build(table(pack, ["cell_voltage", "current"]), "one").config
    drive = recording.read(DATA / path)
    time_s, amps, volts = drive.time_s[:ROWS], drive.current_A[:ROWS], drive.voltage_V[:ROWS]
    value, time_ns = np.full(config.layout.size["signal"], np.nan), np.full(config.layout.size["signal"], NEVER)
    at, cells = config.layout.where["current"].start, config.layout.where["cell_voltage"].start
    seen, memory = SimpleNamespace(value=value, time_ns=time_ns), response.start(config)
    reversed_, jumped = 0, 0
    for t, i, v in zip(time_s, amps, volts, strict=True):
        value[at], value[cells], time_ns[at] = sign * i, v, round(t * 1e9)
        before = memory
        state = SimpleNamespace(watch=SimpleNamespace(response=before))
        memory = response.respond(config, state, seen, np.zeros(1), np.zeros(1))  # type: ignore[arg-type]
        if memory.looked_ns != before.looked_ns:
            reversed_ += memory.steps[0] >= STEPS and -memory.agreed[0] / memory.steps[0] > 0.5
            jumped += memory.silence[0] > 0.5
    return int(reversed_), int(jumped)


DRIVES = [
    ("examples/panasonic_us06.csv", "panasonic_18650pf"),
    ("panasonic_18650pf/drive/25degC_US06.parquet", "panasonic_18650pf"),
    ("panasonic_18650pf/drive/n20degC_US06.parquet", "panasonic_18650pf"),
    ("lg_18650hg2/drive/0degC_US06_589.parquet", "lg_18650hg2"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "cell"), DRIVES)
def test_a_sound_sensor_is_never_suspected_in_a_drive(path: str, cell: str) -> None:
    assert looks(path, cell, 1.0) == (0, 0)


@pytest.mark.parametrize(("path", "cell"), DRIVES)
def test_the_same_sensor_turned_round_is(path: str, cell: str) -> None:
    assert looks(path, cell, -1.0)[0] > 10
