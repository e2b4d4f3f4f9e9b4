"""Without numba NumPy does the work: the modules of protection load, and decide as they do with it."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.core.bench import closed

from cellarer.core import cycle
from cellarer.core.decide import protect, runs


def without_numba(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module as it is where the kernel cannot be imported."""
    monkeypatch.setitem(sys.modules, "cellarer.core.kernel", None)
    monkeypatch.delattr("cellarer.core.kernel", raising=False)
    spec = importlib.util.spec_from_file_location(module.__name__, module.__file__)
    assert spec is not None and spec.loader is not None
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    return fresh


def test_a_fault_is_seen_by_numpy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    for plain in (False, True):
        bench = closed("one")
        if plain:
            slow_runs, slow = without_numba(runs, monkeypatch), without_numba(protect, monkeypatch)
            assert slow._kernel is None and slow_runs._kernel is None
            monkeypatch.setattr(slow, "spot_runs", slow_runs)
            monkeypatch.setattr(cycle, "protect", slow)
        bench.put("cell_voltage", 3.66, 2)
        seconds = bench.run(2.0, lambda b: b.active("cell_over_voltage_maximum"))
        told.append(
            (seconds, [(e.time_ns, e.kind, e.name, e.cell, e.value) for e in bench.events if e.kind == "fault"])
        )
        assert np.isfinite(seconds) and bench.active("cell_over_voltage_maximum")
    assert told[0] == told[1]
