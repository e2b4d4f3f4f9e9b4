"""Health from one short pulse test: cells never seen in learning are told within a few per cent, with sigma."""

from pathlib import Path

import numpy as np
import pytest

from cellarer.lab import pulse
from cellarer.lab.readers import columns_of

HERE = Path(__file__).resolve().parents[2] / "data" / "pulsebat_second_life"


@pytest.mark.needs("pyarrow")
@pytest.mark.parametrize(("name", "most"), [("LMO_10Ah_pulses_5s", 0.05), ("NMC_2.1Ah_pulses_5s", 0.03)])
def test_unseen_cells_are_told(name: str, most: float) -> None:
    table = columns_of(HERE / f"{name}.parquet")
    volts = np.column_stack([np.asarray(table[f"U{n}"], float) for n in range(1, 22)])
    soc, truth, cell = (np.asarray(table[key], float) for key in ("SOC", "SOH", "No."))
    unseen = np.unique(cell, return_inverse=True)[1] % 4 == 0
    model = pulse.learn(volts[~unseen], soc[~unseen] / 100.0, truth[~unseen], cell[~unseen])
    found, sigma = pulse.health(model, volts[unseen], soc[unseen] / 100.0)
    error = np.abs(found - truth[unseen])
    assert error.mean() < most
    assert error.mean() < 0.7 * np.abs(truth[unseen] - truth[~unseen].mean()).mean()
    assert (error < 3.0 * sigma + 0.01).mean() > 0.85
