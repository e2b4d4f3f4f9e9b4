"""The short form of benchmarks/solar_days.py: some packs around noon."""

from __future__ import annotations

from cellarer.runtime import solar_days


def test_no_cell_gets_above_its_maximum_under_sun_and_clouds() -> None:
    days = solar_days.run(packs=6, hours=0.5, seed=3, start_hour=11.5, spread_pct=2.0)
    assert days.packs == 6 and days.steps > 80 and days.bled > 0
    assert days.above == 0 and 3.3 < days.highest_V < days.maximum_V
