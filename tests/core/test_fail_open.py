"""Fail-open patterns found in other battery management systems, each forbidden by name.

Facts: diyBMS Rules.cpp (rules set to false while a module is invalid), LibreSolar bms_common.c (full and empty never
assigned), Battery-Emulator and Orion decoders (all-zero cells become 3.7 V), foxBMS 2 diag_cfg.c and bms.c (debounce
counts calls, open wire judged at one index, string that never leaves its sub-state, abs() without sign).
"""

from __future__ import annotations

import numpy as np
import pytest
from tests.core.bench import closed

from cellarer.model.quantities import SIGNALS
from cellarer.model.values import ChargePhase, Level, Phase


@pytest.mark.parametrize("lost", ["cell_voltage", "temp_degC", "current", "string_voltage", "current_check"])
@pytest.mark.parametrize(("name", "value", "row"), [
    ("cell_voltage", 3.7, "cell_over_voltage_maximum"), ("cell_voltage", 2.4, "cell_under_voltage_maximum"),
    ("temp_degC", 70.0, "over_temperature_maximum"),
])  # fmt: skip
def test_an_invalid_input_turns_no_rule_off(lost: str, name: str, value: float, row: str) -> None:
    """diyBMS: over-voltage, under-voltage and temperature rules are false while any module is invalid."""
    bench = closed("one")
    bench.put(lost, np.nan, 0)
    bench.put(name, value, 1)
    assert bench.run(1.5, lambda b: b.active(row)) <= 1.1


def test_an_invalid_input_clears_no_fault() -> None:
    bench = closed("one")
    bench.put("cell_voltage", 2.45, 1)  # not latched: only a good value ends it
    bench.run(0.5)
    assert bench.active("cell_under_voltage_maximum")
    for name in ("cell_voltage", "current"):
        bench.put(name, np.nan)
    bench.run(8.0)
    assert bench.active("cell_under_voltage_maximum")


def test_charging_ends_before_protection_has_to() -> None:
    """LibreSolar: full is never assigned, so a charge ends by the over-voltage trip only."""
    bench = closed("one")
    bench.cells[:] = 3.46
    bench.put("current", 2.0)
    bench.dt_ns = 100_000_000
    bench.run(80.0)
    assert bench.state.charging.phase[0] not in (ChargePhase.BULK, ChargePhase.ABSORPTION)
    assert not any(name.startswith("cell_over_voltage") for name in bench.named("fault"))


@pytest.mark.parametrize("zero", [0.0, np.nan])
def test_zero_or_missing_cells_are_never_a_plausible_voltage(zero: float) -> None:
    """Battery-Emulator, Orion: a frame of zeros is decoded as 3.7 V."""
    bench = closed("one")
    bench.put("cell_voltage", zero)
    bench.run(0.1)
    assert bench.command.window.discharge_A[0] == 0.0
    assert bench.command.window.charge_A[0] <= bench.config.limits.precondition_A[0]
    bench.run(3.0)
    assert bench.phase() == Phase.OPEN and bench.command.window.charge_A[0] == 0.0


def test_no_quantity_has_a_default() -> None:
    """A signal that never came is unknown, whatever it is."""
    bench = closed("one")
    bench.silence("current")
    bench.run(1.0)
    assert np.isnan(bench.state.seen.value[bench.layout.where["current"]]).all()
    assert all(q.low <= q.high and q.max_age_s > 0.0 for q in SIGNALS)


@pytest.mark.parametrize("cell", range(4))
def test_an_open_wire_is_seen_at_every_cell(cell: int) -> None:
    """foxBMS: a misplaced parenthesis judges the open wire at one index only."""
    bench = closed("one")
    bench.put("cell_open_wire", 1.0, cell)
    bench.step()
    assert bench.latched("cell_open_wire")
    assert next(e for e in bench.events if e.name == "cell_open_wire").cell == cell


@pytest.mark.parametrize("string", range(4))
def test_every_string_of_a_site_closes(string: int) -> None:
    """foxBMS: after closing plus, the second string points to itself and is never closed."""
    assert closed("ragged").phase(string) == Phase.CLOSED


def test_a_stale_sample_is_no_sequence_of_samples() -> None:
    """foxBMS: one stale sample is counted fifty times in 500 ms."""
    bench = closed("one")
    bench.put("cell_voltage", 3.7, 1)
    bench.step()
    bench.silence("cell_voltage")
    bench.run(0.4)
    assert not bench.active("cell_over_voltage_maximum")


@pytest.mark.parametrize(("sign", "row"), [(1.0, "charge"), (-1.0, "discharge")])
def test_over_current_is_judged_with_its_sign_at_rest_as_under_load(sign: float, row: str) -> None:
    """foxBMS: abs() without sign; current limits that exist and are never raised."""
    bench = closed("one")
    bench.put("current", sign * 360.0)
    assert bench.run(0.5, lambda b: b.active(f"{row}_over_current_maximum")) <= 0.2
    other = "discharge" if row == "charge" else "charge"
    assert not bench.active(f"{other}_over_current_maximum")


def test_every_row_that_only_warns_says_so_and_no_heavy_row_is_without_effect() -> None:
    """foxBMS: open wire, insulation and others are checks that only warn by default."""
    table = closed("one").config.faults
    for name in ("cell_open_wire", "insulation_failed", "cell_reading_lost", "thermal_runaway"):
        row = table.name.index(name)
        assert table.level[row] >= Level.RAMP and table.charge[row] and table.discharge[row] and table.enabled[row, 0]
