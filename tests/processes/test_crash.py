"""The crash campaign, a little of it: every role fails in every way, twice. `scripts/crash 1000` is the whole."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest
from tests.processes.crash import Machine, run
from tests.processes.site import running, wait_for

from cellarer.runtime import incident
from cellarer.wire.frame import Frame
from cellarer.wire.links.bench import BenchLink, bench_path


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


def test_the_judge_sees_a_limit_that_nobody_published(tmp_path: Path) -> None:
    with running(tmp_path / "s") as site:
        site.close()
        judge = Machine(site)
        judge.start()
        wait_for("frames to judge", lambda: judge.frames > 20 and judge.published_s)
        assert judge.wrong == []
        published_A = float(site.snapshot().state.command.pack_charge_A[0])  # type: ignore[union-attr]
        bus = BenchLink(bench_path(site.folder.bench, "inverter"))
        for more_A in (0.0, 30.0):  # as 0x351 of Pylontech says it: V, A to charge, A to discharge, V, in tenths
            limits = (533, round(10.0 * (published_A + more_A)), 0, 480)
            bus.send(Frame(0x351, struct.pack("<4h", *limits)))
            time.sleep(0.3)
            assert bool(judge.wrong) == (more_A > 0.0), judge.wrong
        judge.stop = True
        judge.join()
        bus.close()
        assert all("told" in text for text in judge.wrong)
        site.stop()
