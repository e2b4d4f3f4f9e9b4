"""What the guard says has units when people read it; what is no value of ours stays as it is."""

from __future__ import annotations

import math

import pytest

from cellarer.guard.limits import StringLimits
from cellarer.guard.rules import DRAWN, RULES, Trip
from cellarer.runtime.guard_says import with_units

UNITS = {"cell_voltage": "V", "deep_discharge": "V", "draw": "A", "temperature": "°C", "charge": "A", "discharge": "A"}


@pytest.mark.parametrize("rule", [rule for rule in (*RULES, DRAWN) if rule.limit], ids=lambda rule: rule.signal)
@pytest.mark.parametrize("value", [2.3436, -71.0, 1e6, math.inf, math.nan])
def test_every_trip_of_the_guard_has_units(rule, value: float) -> None:  # type: ignore[no-untyped-def]
    assert rule.limit in StringLimits.__dataclass_fields__
    unit = next(unit for name, unit in UNITS.items() if rule.limit.startswith(name))
    text = with_units(Trip(rule, f"{rule.signal} 3", value, 2.4).text)
    assert text == f"{rule.name}: {rule.signal} 3 = {value:g} {unit}, limit 2.4 {unit}"


def test_several_trips_have_units_each() -> None:
    said = "cell under-voltage: cell_voltage 3 = 2.3436, limit 2.4; charge over-current: current = 400, limit 160"
    assert with_units(said) == (
        "cell under-voltage: cell_voltage 3 = 2.3436 V, limit 2.4 V; "
        "charge over-current: current = 400 A, limit 160 A"
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["control is silent", "crash", "no data: cell_voltage 3", "x = 3, limit 4", "emergency_stop = 1, limit 0.5", ""],
)
def test_what_has_no_unit_stays(text: str) -> None:
    assert with_units(text) == text
