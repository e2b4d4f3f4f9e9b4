"""The view that board/ makes of every shipped site has the form that the API promises, is JSON, and is recorded."""

from __future__ import annotations

import json

import pytest

from cellarer.board.view import view
from cellarer.config import load, sites
from cellarer.core.cycle import start
from cellarer.history.channels import channels
from cellarer.runtime.simulate import simulate
from cellarer.web import models
from cellarer.web.metrics import metrics


@pytest.mark.parametrize("name", sites())
@pytest.mark.parametrize("seconds", [0.0, 6.0])
def test_the_view_of_every_site_has_its_form(name: str, seconds: float) -> None:
    site = load(name)
    state = simulate(site, seconds, 1).state if seconds else start(site.config, 0)
    made = view(site.config, state, unix_s=1.7e9, overruns=0)
    form = models.View.model_validate(json.loads(json.dumps(made, allow_nan=False)))
    assert [pack.name for pack in form.packs] == [pack.name for pack in site.file.pack]
    cells = sum(len(string.cells.voltage_V) for pack in form.packs for string in pack.strings)
    recorded = channels(made)
    assert sum(channel.endswith("_voltage_V") and ".cell" in channel for channel in recorded) == cells
    assert {"pack1.soc_pct", "pack1.string1.current_A", "pack1.limit_charge_A"} <= set(recorded)
    assert b"cellarer_up 1.0" in metrics(made, 0.0, stale=False, recorder_ok=True)
