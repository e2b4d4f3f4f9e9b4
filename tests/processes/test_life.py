"""A site starts, closes when asked, stops cleanly and goes on where it stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import numpy as np
from tests.processes.site import Site, running, wait_for

from cellarer.board.durable import read_durable


def get(address: str) -> tuple[int, bytes]:
    with urllib.request.urlopen(address, timeout=5) as answer:
        return answer.status, answer.read()


def test_start_close_stop_and_resume(tmp_path: Path) -> None:
    with running(tmp_path / "s") as site:
        status, page = get(site.address)
        assert status == 200
        assert b"<html" in page.lower()
        refused = site.ask("close")
        assert not refused.accepted
        assert "confirm" in refused.text
        assert site.ask("confirm").accepted
        site.close()
        assert site.ask("set_soc", 63.0).accepted
        wait_for("SOC", lambda: abs(float(np.nanmean(site.snapshot().state.estimate.soc)) - 0.63) < 0.03)
        state = json.loads(get(site.address + "/api/v1/state")[1])
        assert state["state"]["packs"][0]["strings"][0]["phase"] == "closed"
        before = site.snapshot()
        begin = time.monotonic()
        assert site.stop() == 0
        assert time.monotonic() - begin < 5.0
        assert not leftovers(site)
        stored, wrong = read_durable(tmp_path / "s")
        assert stored is not None
        assert not wrong
        names = [e["name"] for e in site.history().events(100)]
        assert {"started", "stopped", "close", "plus → closed"} <= set(names)

    with running(tmp_path / "s") as site:
        after = wait_for("SOC", lambda: (s := site.snapshot()) and np.isfinite(s.state.estimate.soc).all() and s)
        assert abs(after.state.estimate.soc.mean() - before.state.estimate.soc.mean()) < 0.02
        assert (after.state.switches.closings >= before.state.switches.closings).all()
        assert site.phase == 0
        site.close()


def leftovers(site: Site) -> list[str]:
    """Return processes that still use the site's run folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(site.folder.path) in command and int(pid) != os.getpid():
            found.append(command)
    return found


def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    with running(tmp_path / "s", close_at_start=True) as site:
        wait_for("closed", lambda: site.phase == 4, 40)
        link, box = site.switch_box()
        site.listen(link, box, 0.2)
        os.kill(site.process.pid, signal.SIGKILL)
        site.process.wait()
        wait_for("nobody is left", lambda: not leftovers(site), 8)


def test_a_site_runs_once(tmp_path: Path) -> None:
    with running(tmp_path / "s") as site:
        second = Site(tmp_path / "s")
        try:
            assert second.process.wait(20) == 3
            assert "runs already" in site.output
        finally:
            second.out.close()


def test_ctrl_c_stops_it_too(tmp_path: Path) -> None:
    with running(tmp_path / "s") as site:
        site.process.send_signal(signal.SIGINT)
        assert site.process.wait(6) == 0


def test_twenty_times_as_fast(tmp_path: Path) -> None:
    with running(tmp_path / "s", speed=20.0, close_at_start=True) as site:
        wait_for("closed", lambda: site.phase == 4, 40)
        first = site.snapshot()
        time.sleep(4)
        last = site.snapshot()
        assert first is not None
        assert last is not None
        assert 60 < last.unix_s - first.unix_s < 100
        assert site.phase == 4


def test_a_vital_process_that_keeps_falling_stays_down(tmp_path: Path) -> None:
    with running(tmp_path / "s") as site:
        for _ in range(3):
            os.kill(wait_for("a guard", lambda: site.pid("guard")), signal.SIGKILL)
            time.sleep(0.2)
        time.sleep(3)
        assert site.pid("guard") is None
        assert "stays down" in site.output
        assert subprocess.run(["true"], check=True).returncode == 0
        assert site.phase == 0
