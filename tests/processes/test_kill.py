"""Whatever of link, control and guard is killed or held: the contactors open within a second and stay open until asked.

One site runs for all of them. What opens is read from the emulated switch box on the bus, not from our own board.
"""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tests.processes.crash import GUARD_S, OPEN_S
from tests.processes.empty_loop import EmptyLoop
from tests.processes.site import Site, running, wait_for

from cellarer.board.ring import RingReader
from cellarer.runtime.world import Inject, inject


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(Path(tmp_path_factory.mktemp("s"))) as site:
        yield site


@pytest.fixture(scope="module")
def loop() -> Iterator[EmptyLoop]:
    with EmptyLoop() as loop:
        yield loop


@pytest.mark.parametrize("role", ["link", "control", "guard"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_the_contactors_open_within_a_second_and_stay_open(
    site: Site, loop: EmptyLoop, role: str, how: signal.Signals
) -> None:
    site.close()
    link, box = site.switch_box()
    site.listen(link, box, 0.3)
    assert site.contacts["feedback_plus"] == 1.0
    pid = wait_for(f"a {role}", lambda: site.pid(role))
    begin = time.monotonic()
    os.kill(pid, how)
    try:
        took = site.s_until_open(link, box)
        assert took <= OPEN_S
        if role == "control":  # before a device would open by itself, as far as this machine lets anybody
            assert took <= GUARD_S + loop.worst_s(begin)
    finally:
        if how is signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)
    if how is signal.SIGKILL:
        wait_for(f"a new {role}", lambda: site.pid(role) not in (None, pid))
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        site.listen(link, box, 0.05)
        assert site.contacts["feedback_plus"] == 0.0, "it closed again by itself"
    link.close()
    if role == "control":
        wait_for("the opening", lambda: recorded(site).get("guard opened", {}).get("cause") == "control is silent", 5)
        assert recorded(site)["guard opened"]["value"] is not None
        if how is signal.SIGSTOP:
            wait_for("the cycles that it missed", lambda: "cycles missed" in recorded(site), 5)
    else:
        wait_for("the veto", lambda: "guard veto" in recorded(site), 5)
        if role == "guard":
            assert str(recorded(site)["closed → ramp"]["cause"]).startswith(("guard: ", "the guard is silent")), (
                "who withdrew the wish"
            )
    assert site.history().first_break() is None
    site.close()


def test_who_opened_is_told_and_three_cycles_missed_in_a_row_open(site: Site) -> None:
    """A person first. Then control is held, too shortly for the guard, and notes that itself."""
    site.close()
    assert site.ask("open").accepted
    wait_for("open contactors", lambda: site.phase == 0)
    said = {e.name: e.text for e in site.events()}
    assert said["open"] == "request open granted: opening requested by test"
    assert said["closed → ramp"] == "switchgear closed → ramp: opening requested by test"
    site.close()
    link, box = site.switch_box()
    site.listen(link, box, 0.3)
    pid = site.pid("control")
    assert pid is not None
    begin_ns = site.events()[-1].time_ns
    for _ in range(30):  # in a stop of 90 ms two or three cycles are missed, as it comes
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.09)
        os.kill(pid, signal.SIGCONT)
        site.listen(link, box, 0.2)
        if site.phase != 4:
            break
    assert site.s_until_open(link, box) <= 0.5 - 0.2
    link.close()
    causes = [e.cause for e in site.events() if e.time_ns > begin_ns and e.name == "closed → ramp"]
    assert len(causes) == 1 and causes[0].startswith("control missed "), causes
    site.close()


def recorded(site: Site) -> dict[str, dict[str, object]]:
    """Return the newest event on disk of every name."""
    return {str(e["name"]): e for e in reversed(site.history().events(1000))}


def test_services_may_fall_and_come_back(site: Site) -> None:
    site.close()
    pid = site.pid("services")
    assert pid is not None
    control, before = site.pid("control"), site.snapshot()
    assert before is not None
    kept = RingReader(site.folder.durable_kept)
    epoch = kept.epoch
    os.kill(pid, signal.SIGKILL)
    wait_for("new services", lambda: site.pid("services") not in (None, pid))
    wait_for("kept state", lambda: kept.epoch > epoch and kept.read(), 60)
    after = site.snapshot()
    assert after is not None
    assert site.phase == 4
    assert site.pid("control") == control
    assert after.state.cycle > before.state.cycle + 20
    wait_for("the page", lambda: get(site.address) == 200, 60)
    wait_for("the event", lambda: "process fell" in [e["name"] for e in site.history().events(200)], 30)
    wait_for("the row of now", lambda: site.series_s()[-1] > after.unix_s, 60)
    times = [t for t in site.series_s() if t >= before.unix_s - 2.0]
    assert before.unix_s > times[0], "rows from before the fall"
    assert max(b - a for a, b in pairwise(times)) < 2.0, "at most a second is missing while nobody recorded"


def get(address: str) -> int:
    with urllib.request.urlopen(address, timeout=30) as answer:
        return int(answer.status)


def test_a_bad_cell_opens_and_control_lives(tmp_path: Path) -> None:
    """Single cells are counted apart: what control remembers of them grows while one is bad."""
    with running(tmp_path / "s") as site:
        wait_for("a live recorder", lambda: (s := site.snapshot()) is not None and s.recorder_live)
        site.close()
        control = site.pid("control")
        inject(site.folder, Inject("frames_replayed"))
        wait_for("that frames are refused", lambda: "frames refused" in recorded(site))
        assert "replayed" in str(recorded(site)["frames refused"]["cause"])
        assert site.phase == 4
        inject(site.folder, Inject("cell_overvoltage", cell=4))
        cause = ("cell_over_voltage_maximum", 5)
        wait_for("the reason", lambda: cause in [(e.name, e.cell) for e in site.events()])
        wait_for("open contactors", lambda: site.phase == 0)
        assert site.pid("control") == control, "it has not fallen"


def test_the_emergency_stop_opens_at_once(site: Site) -> None:
    """From the button to open contacts: sensor frame, guard, link, coil. The catalogue asks for 0.2 s."""
    site.close()
    link, box = site.switch_box()
    site.listen(link, box, 0.3)
    inject(site.folder, Inject("no such fault"))
    inject(site.folder, Inject("emergency_stop"))
    until = time.monotonic() + 2.0
    while site.contacts["emergency_stop"] == 0.0 and time.monotonic() < until:
        site.listen(link, box, 0.005)
    assert site.s_until_open(link, box) <= 0.2
    assert "no such fault" in site.output
    wait_for("the reason", lambda: any(e.name == "emergency_stop" for e in site.events()))
    assert not site.ask("close").accepted or site.phase != 4
    link.close()


def test_a_vital_process_that_keeps_falling_stays_down(site: Site) -> None:
    """The last of this file: nothing closes afterwards."""
    while (pid := site.pid("guard")) is not None and "stays down" not in site.output:
        os.kill(pid, signal.SIGKILL)
        wait_for("the fall", lambda pid=pid: site.pid("guard") != pid)
        wait_for("a new guard, or none", lambda: site.pid("guard") or "stays down" in site.output)
    time.sleep(1.0)
    assert site.pid("guard") is None
    link, box = site.switch_box()
    site.listen(link, box, 0.5)
    assert site.contacts["feedback_plus"] == 0.0
    link.close()
