"""A pack whose cells bleed becomes full all the same: what bleeding hides of readings holds no charge up."""

from __future__ import annotations

import pytest

from cellarer import config
from cellarer.config.load import build
from cellarer.runtime.simulate import simulate


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_pack_that_is_balanced_by_doses_is_full_in_time_and_no_joint_is_suspected(seed: int) -> None:
    table = config.load("home").file.model_dump(mode="json", exclude_unset=True)
    table["simulation"] |= {"start_soc_pct": 97.0}
    table["simulation"]["load"] |= {"kind": "constant", "current_A": 100.0}
    run = simulate(build(table, "home, nearly full"), 3000.0, seed)
    phases = [(event.time_ns * 1e-9, event.name) for event in run.events if event.kind == "charge"]
    full_s = next((at for at, name in phases if name in ("taper → hold", "taper → float")), None)
    assert full_s is not None and full_s < 900.0, phases
    assert len(phases) < 12, "absorption and taper take no turns"
    assert not [event.name for event in run.events if event.kind == "fault"]
