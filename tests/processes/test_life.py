"""A site starts, closes when asked, stops cleanly and goes on where it stopped."""

from __future__ import annotations

import json
import os
import signal
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
        wait_for("a live recorder", lambda: (shot := site.snapshot()) is not None and shot.recorder_live)
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
        assert not site.folder.path.exists(), "the memory is given back once every event is kept"
        world = json.loads((tmp_path / "s" / "world.json").read_text())
        assert 50.0 < world["start_soc_pct"] < 60.0, "as the simulation began"
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
        assert second_start(tmp_path / "s") == 3
        assert "runs already" in site.output
        assert site.phase == 4
        site.process.send_signal(signal.SIGINT)
        assert site.process.wait(6) == 0


def second_start(state_dir: Path) -> int:
    second = Site(state_dir)
    try:
        return second.process.wait(40)
    finally:
        second.out.close()


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


def test_twenty_times_as_fast_and_an_end_without_supervisor(tmp_path: Path) -> None:
    with running(tmp_path / "s", speed=20.0, close_at_start=True) as site:
        wait_for("closed", lambda: site.phase == 4, 60)
        first, begin = site.snapshot(), time.monotonic()
        time.sleep(4)
        last, took = site.snapshot(), time.monotonic() - begin
        assert first is not None
        assert last is not None
        assert 15 < (last.unix_s - first.unix_s) / took < 25
        assert site.phase == 4
        os.kill(site.process.pid, signal.SIGKILL)
        site.process.wait()
        wait_for("nobody is left", lambda: not leftovers(site), 10)
