"""What the campaign calls unsafe: a string closed beyond a maximum in truth, but for the ways back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cellarer.model.values import FOREVER, Phase
from cellarer.runtime.campaign_judge import BEYOND_S, MARGIN, Record

WORST = {"cell_high": 3.65, "cell_low": -2.5, "temp_high": 60.0}
DISCHARGES_ONLY = (Phase.DISCHARGE_ONLY, Phase.DISCHARGE_RAMP)
CHARGES_ONLY = (Phase.CHARGE_ONLY, Phase.CHARGE_RAMP)


def broken(name: str, phase: Phase, beyond: float, seconds: float, on: bool = True) -> bool:
    """Return whether a rule is broken after so long, by a string whose true value is `beyond` its worst and margin."""
    record = Record.__new__(Record)  # the rule needs no world
    record.worst = {key: np.array([value]) for key, value in WORST.items()}
    record.beyond_ns = {key: np.array([FOREVER]) for key in MARGIN}
    true = {key: np.array([-np.inf]) for key in MARGIN} | {name: np.array([WORST[name] + MARGIN[name] + beyond])}
    found: dict[str, bool] = {}
    for time_ns in (0, round(seconds * 1e9)):
        state: Any = SimpleNamespace(time_ns=time_ns, switches=SimpleNamespace(phase=np.array([phase])))
        found = {rule: bool(bad[0]) for rule, bad in record._beyond(np.array([on]), true, state)}
    rule = f"closed with {name} beyond its maximum in truth"
    assert rule in found and not any(bad for other, bad in found.items() if other != rule)
    return found[rule]


@pytest.mark.parametrize("name", MARGIN)
def test_both_sides_of_what_is_too_much_for_too_long(name: str) -> None:
    longest = BEYOND_S[name]
    assert broken(name, Phase.CLOSED, 1e-6, longest + 0.01)
    assert not broken(name, Phase.CLOSED, 0.0, longest + 0.01)
    assert not broken(name, Phase.CLOSED, 1e-6, longest)
    assert not broken(name, Phase.CLOSED, 1e-6, longest + 0.01, on=False)


@pytest.mark.parametrize("phase", Phase)
def test_a_cell_too_high_may_be_discharged_where_the_charge_path_is_open(phase: Phase) -> None:
    assert broken("cell_high", phase, 0.1, 10.0) == (phase not in DISCHARGES_ONLY)


@pytest.mark.parametrize("phase", (Phase.CLOSED, Phase.RAMP, *CHARGES_ONLY, *DISCHARGES_ONLY))
def test_a_cell_too_low_may_be_charged_where_nothing_is_discharged(phase: Phase) -> None:
    assert broken("cell_low", phase, 0.1, 10.0) == (phase not in CHARGES_ONLY)


@pytest.mark.parametrize("phase", (Phase.CLOSED, *CHARGES_ONLY, *DISCHARGES_ONLY))
def test_what_is_too_hot_may_do_nothing(phase: Phase) -> None:
    assert broken("temp_high", phase, 0.1, 10.0)
