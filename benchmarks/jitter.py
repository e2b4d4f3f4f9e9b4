#!/usr/bin/env python3
"""How late control's cycles begin and how long they take, under load, beside an empty loop at the same time.

    .venv/bin/python benchmarks/jitter.py [--seconds N] [--site NAME] [--quiet] [--json]

The site runs as processes with the simulated world. Load: a flood of foreign frames on the battery's bus, twelve web
clients that ask without pause, four followers that never read, questions to the history. The empty loop has the same
period, priority and rules and does nothing: what it shows is the machine's, not ours.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.processes.site import Site, running, wait_for

from cellarer.board.ring import RingReader
from cellarer.board.snapshot import SnapshotReader
from cellarer.wire.frame import Frame
from cellarer.wire.links.bench import BenchLink, bench_path

EDGES_ms = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, np.inf)
WORK_pct = 20.0  # of a cycle
MOST_s = 86400.0
ASKERS, FOLLOWERS, FRAMES_PER_S = 12, 4, 2000
EMPTY = """
import gc, sys, time
from cellarer.runtime.process import prefer
prefer("control"); gc.collect(); gc.freeze(); gc.disable()
period, end = int(sys.argv[1]), time.monotonic_ns() + int(float(sys.argv[2]) * 1e9)
late, due = [], time.monotonic_ns()
while due < end:
    now = time.monotonic_ns()
    late.append(now - due)
    due += period
    missed = (time.monotonic_ns() - due) // period
    if missed > 0:
        due += missed * period
    left = due - time.monotonic_ns()
    if left > 0:
        time.sleep(left * 1e-9)
print(*late)
"""


class Load:
    """Everything that may disturb."""

    def __init__(self, site: Site) -> None:
        self.site, self.stop = site, threading.Event()
        self.asked = self.sent = 0
        jobs = [self.flood, *[self.ask] * ASKERS]
        self.threads = [threading.Thread(target=job, daemon=True) for job in jobs]
        self.sockets = [self.follow() for _ in range(FOLLOWERS)]
        for thread in self.threads:
            thread.start()

    def flood(self) -> None:
        """Put frames on the bus that nobody wants."""
        link = BenchLink(bench_path(self.site.folder.bench, "battery"))
        frame = Frame(0x7F0, bytes(8))
        while not self.stop.wait(0.01):
            for _ in range(FRAMES_PER_S // 100):
                link.send(frame)
                self.sent += 1
        link.close()

    def ask(self) -> None:
        """Ask for state, events and history without pause."""
        paths = ("/api/v1/state", "/api/v1/events?limit=1000", "/metrics", "/api/v1/history?channel=pack1.soc_pct")
        while not self.stop.is_set():
            try:
                with urllib.request.urlopen(self.site.address + paths[self.asked % len(paths)], timeout=10) as answer:
                    answer.read()
            except (urllib.error.HTTPError, TimeoutError):
                time.sleep(0.05)
            self.asked += 1

    def follow(self) -> socket.socket:
        """Follow the stream and never read."""
        at = urlsplit(self.site.address)
        found = socket.create_connection((at.hostname, at.port))
        found.sendall(b"GET /api/v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        return found

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(5)
        for one in self.sockets:
            one.close()


def measure(site: Site, seconds: float, quiet: bool) -> dict[str, object]:
    """Return lateness and duration of every cycle seen, ms, and the same of the empty loop."""
    wait_for("an answer", lambda: site.address)
    load = None if quiet else Load(site)
    pid = site.pid("control")
    period_ns = round(site.site.cycle_ms * 1e6)
    empty = subprocess.Popen(
        [sys.executable, "-c", EMPTY, str(period_ns), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    reader, ring = SnapshotReader(site.folder.snapshot), RingReader(site.folder.snapshot)
    first, memory = reader.newest(), resident_MB(pid)
    late, work, end = [], [], time.monotonic() + seconds
    known = ring.next
    while time.monotonic() < end:
        time.sleep(site.site.cycle_ms / 4000.0)
        if ring.next != known and (shot := reader.newest()) is not None:
            known = ring.next
            late.append(shot.late_ns * 1e-6)
            work.append(shot.work_ns * 1e-6)
    last = reader.newest()
    beside = np.array(empty.communicate(timeout=60)[0].split(), float) * 1e-6
    if load is not None:
        load.end()
    assert first is not None
    assert last is not None
    return {
        "site": site.name, "seconds": seconds, "cycle_ms": site.site.cycle_ms, "cores": os.cpu_count(),
        "load": None if load is None else {"frames": load.sent, "questions": load.asked, "followers": FOLLOWERS},
        "rules": rules(pid), "cycles": last.state.cycle - first.state.cycle, "seen": len(late),
        "overruns": last.overruns - first.overruns, "empty_overruns": overruns(beside, period_ns, seconds),
        "memory_MB": memory, "memory_growth_MB": round(resident_MB(pid) - memory, 1),
        "late_ms": figures(np.array(late)), "work_ms": figures(np.array(work)), "empty_late_ms": figures(beside),
    }  # fmt: skip


def overruns(late_ms: np.ndarray, period_ns: int, seconds: float) -> int:
    """Return how many cycles the empty loop had to skip."""
    return max(round(seconds * 1e9 / period_ns) - late_ms.size, 0)


def figures(x: np.ndarray) -> dict[str, object]:
    """Return quantiles and a histogram."""
    names = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    counts = np.histogram(np.maximum(x, 0.0), EDGES_ms)[0]
    return {name: round(float(np.quantile(x, q)), 3) for name, q in names.items()} | {"histogram": counts.tolist()}


def rules(pid: int | None) -> dict[str, object]:
    """Return which rules of a punctual process hold, as the system tells."""
    assert pid is not None
    status = Path(f"/proc/{pid}/status").read_text()
    field = {line.split(":")[0]: line.split(":")[1].strip() for line in status.splitlines()}
    policy = {os.SCHED_FIFO: "SCHED_FIFO", os.SCHED_OTHER: "SCHED_OTHER"}
    scheduler = os.sched_getscheduler(pid) & ~os.SCHED_RESET_ON_FORK
    limits = resource.prlimit(pid, resource.RLIMIT_RTTIME)
    return {
        "scheduler": policy.get(scheduler, str(scheduler)), "priority": os.sched_getparam(pid).sched_priority,
        "locked_kB": int(field["VmLck"].split()[0]), "threads": int(field["Threads"]),
        "spinning_ends_after_s": limits[0] * 1e-6 if limits[0] >= 0 else None, "cores": "all, not bound to one",
        "garbage_collection": "frozen, off while closed", "deadlines": "absolute, monotonic; late cycles are skipped",
    }  # fmt: skip


def resident_MB(pid: int | None) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def tell(found: dict[str, object]) -> None:
    """Print the histograms beside each other."""
    late, empty, work = (found[name] for name in ("late_ms", "empty_late_ms", "work_ms"))
    print(f"{found['cycles']} cycles of {found['cycle_ms']} ms, {found['seen']} seen; load: {found['load']}")
    print(f"rules: {found['rules']}; memory {found['memory_MB']} MB, grown by {found['memory_growth_MB']} MB")
    print(f"skipped: control {found['overruns']}, empty loop {found['empty_overruns']}")
    share = 100.0 * work["p99.9"] / found["cycle_ms"]
    print(f"work p99.9 is {share:.0f} % of a cycle (wanted: at most {WORK_pct:g} %)")
    print(f"{'ms':>14} {'late':>8} {'empty':>8} {'work':>8}")
    for name in ("p50", "p99", "p99.9", "max"):
        print(f"{name:>14} {late[name]:8.2f} {empty[name]:8.2f} {work[name]:8.2f}")
    for i, low in enumerate(EDGES_ms[:-1]):
        counts = [x["histogram"][i] for x in (late, empty, work)]
        print(f"{low:6g} – {EDGES_ms[i + 1]:<5g} " + " ".join(f"{n:8d}" for n in counts))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, metavar="N")
    parser.add_argument("--site", default="home", metavar="NAME")
    parser.add_argument("--quiet", action="store_true", help="without load")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    wanted = parser.parse_args()
    if not 1.0 <= wanted.seconds <= MOST_s:  # less has too few cycles for its quantiles
        parser.error(f"--seconds = {wanted.seconds:g}: allowed is 1 to {MOST_s:g}")
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "s", wanted.site, close_at_start=True) as site:
        found = measure(site, wanted.seconds, wanted.quiet)
    if wanted.json:
        print(json.dumps(found))
    else:
        tell(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
