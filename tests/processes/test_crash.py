"""The crash campaign, a little of it: every role fails in every way, twice. `scripts/crash 1000` is the whole."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from tests.processes import site as sites
from tests.processes.crash import Machine, run
from tests.processes.crash_table import Result

from cellarer.runtime import incident
from cellarer.wire.frame import Frame
from cellarer.wire.links.bench import BenchLink, bench_path

SEEDS = (11, 12)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, tuple[Future[Result], Path]]]:
    """Start all campaigns side by side, as `scripts/crash` does."""
    with ProcessPoolExecutor(len(SEEDS), get_context("spawn")) as pool:
        folders = {seed: Path(tmp_path_factory.mktemp("crash")) for seed in SEEDS}
        yield {seed: (pool.submit(run, 20, seed, folder / "s"), folder) for seed, folder in folders.items()}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_contacts_open_nothing_is_lost_and_the_log_repeats_all_of_it(
    running: dict[int, tuple[Future[Result], Path]], seed: int
) -> None:
    future, folder = running[seed]
    result = future.result()
    assert result.wrong == []
    assert len(result.kinds) == 20, "every role in every way"
    assert result.events > 50
    log = incident.find(str(folder / "s" / "inputs"), folder)
    found = [(c.moment.restart, c.exact) for c in incident.repeat(log, incident.config_of(log))]
    assert sum(restart for restart, _ in found) >= result.starts > 1, "every run that published is in the log"
    assert all(exact is not False for _, exact in found)


def test_the_judge_sees_a_limit_that_nobody_published(tmp_path: Path) -> None:
    with sites.running(tmp_path / "s") as site:
        site.close()
        judge = Machine(site)
        judge.start()
        sites.wait_for("frames to judge", lambda: judge.frames > 20 and judge.published_s)
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
