"""An inverter that is wired the wrong way round obeys limits of the other direction: the pack leaves it in time."""

from __future__ import annotations

import pytest

from cellarer import config
from cellarer.config.load import build
from cellarer.runtime.simulate import simulate


@pytest.mark.parametrize(
    ("soc_pct", "wish_A", "seconds", "row"),
    [(6.0, 100.0, 60.0, "discharge_limit_defied"), (97.0, -100.0, 240.0, "charge_limit_defied")],
)
def test_a_machine_of_the_wrong_sign_is_left_before_a_cell_reaches_its_maximum(
    soc_pct: float, wish_A: float, seconds: float, row: str
) -> None:
    table = config.load("home").file.model_dump(mode="json", exclude_unset=True)
    table["simulation"] |= {"start_soc_pct": soc_pct}
    table["simulation"]["load"] |= {"kind": "constant", "current_A": wish_A, "wrong_sign": True}
    run = simulate(build(table, "home, turned round"), seconds, 1)
    names = [event.name for event in run.events if event.kind in ("fault", "switch")]
    assert row in names and "opening → open" in names
    assert not {name for name in names if name.endswith("voltage_maximum")}
