"""A campaign runs on any valid site, not only on those that are shipped."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.campaign.sites import run, table

from cellarer.config.load import build


def test_many_random_sites_are_valid_and_differ() -> None:
    made = [build(table(seed), f"random {seed}").config for seed in range(40)]
    assert len({config.hash for config in made}) == 40
    assert {int(config.switch.kind[0]) for config in made} == {0, 1, 2, 3}
    assert len({config.models[0].chemistry for config in made}) > 3


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_random_site_runs_a_short_campaign(seed: int, tmp_path: Path) -> None:
    part = run(seed, tmp_path, 6)
    assert len(part.shots) == 6 and part.pairs == 6
    assert part.unsafe == []
    assert all(shot.budget_s > 0.0 for shot in part.shots if shot.row)
