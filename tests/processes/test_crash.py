"""The crash campaign, a little of it: every role fails in every way, twice. `scripts/crash 1000` is the whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.processes.crash import run

from cellarer.runtime import incident


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [11, 12])
def test_contacts_open_nothing_is_lost_and_the_log_repeats_all_of_it(tmp_path: Path, seed: int) -> None:
    result = run(20, seed, tmp_path / "s")
    assert result.wrong == []
    assert len(result.kinds) == 20, "every role in every way"
    assert result.events > 50
    log = incident.find(str(tmp_path / "s" / "inputs"), tmp_path)
    found = [(c.moment.restart, c.exact) for c in incident.repeat(log, incident.config_of(log))]
    assert sum(restart for restart, _ in found) >= result.starts > 1, "every run that published is in the log"
    assert all(exact is not False for _, exact in found)
