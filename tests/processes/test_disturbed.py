"""A full disk, a wall clock that jumps by ten years: control goes on, nothing acknowledged is lost, order stays.

The disk is filled for the services alone, by the system's limit on the size of their files: every write point fails.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tests.processes.site import Site, running, wait_for

from cellarer.board.durable import read_durable
from cellarer.board.messages import all_kept

UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(Path(tmp_path_factory.mktemp("s")), disturbed=True) as site:
        wait_for("a live recorder", lambda: (s := site.snapshot()) is not None and s.recorder_live)
        yield site


def cycles(site: Site, s: float) -> int:
    before = site.snapshot()
    time.sleep(s)
    after = site.snapshot()
    assert before is not None
    assert after is not None
    return after.state.cycle - before.state.cycle


def healthy(site: Site) -> bool:
    try:
        with urllib.request.urlopen(site.address + "/healthz", timeout=5) as answer:
            return bool(json.loads(answer.read())["ok"])
    except urllib.error.HTTPError:
        return False


def test_a_full_disk_stops_recording_and_nothing_else(site: Site) -> None:
    site.close()
    pid = site.pid("services")
    assert pid is not None
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    wait_for("no live recorder", lambda: not site.snapshot().recorder_live)
    assert cycles(site, 0.5) > 5
    assert site.phase == 4, "what is closed stays closed"
    assert site.pid("services") == pid
    assert site.ask("open").accepted
    wait_for("open switchgear", lambda: site.phase == 0)
    refused = site.ask("close")
    assert not refused.accepted
    assert "nobody records" in refused.text
    wait_for("that the page says so", lambda: not healthy(site))
    resource.prlimit(pid, resource.RLIMIT_FSIZE, UNLIMITED)
    wait_for("every event on the disk", lambda: all_kept(site.folder), 30)
    wait_for("that the page says so", lambda: healthy(site), 30)
    site.close()
    known = {(e["time_ns"], e["name"]) for e in site.history().events(10_000)}
    assert {(e.time_ns, e.name) for e in site.events()[:-3]} <= known
    assert site.history().first_break() is None
    stored, wrong = read_durable(site.state_dir)
    assert stored is not None
    assert wrong == []


@pytest.mark.parametrize("jump", [signal.SIGRTMIN, signal.SIGRTMIN + 1, signal.SIGRTMIN + 1])
def test_a_clock_that_jumps_by_ten_years_changes_nothing(site: Site, jump: int) -> None:
    site.close()
    roles = ("link", "control", "guard", "services", "faces", "world")
    for pid in [site.process.pid, *filter(None, map(site.pid, roles))]:
        os.kill(pid, jump)
    assert cycles(site, 0.5) > 5
    assert site.phase == 4
    assert site.ask("target_soc", 80.0).accepted
    wait_for("the event on disk", lambda: site.history().events(1)[0]["name"] == "target_soc")
    events = site.history().events(10_000)
    times = [e["unix_s"] for e in reversed(events)]
    assert all(b >= a - 5.0 for a, b in pairwise(times)), "records are ordered"
    assert abs(times[-1] - time.time()) < 3600.0
    assert site.history().first_break() is None
