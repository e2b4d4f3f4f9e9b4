"""The crash campaign: processes of a running site are killed, held, made to fail and to spin at random moments.

`scripts/crash N SEED` runs N disturbances and prints one line of JSON; the tests run a few. What opens is read from the
emulated switch box on the bus, what machines are told from the frames of the face: not from our own board.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.processes.site import Site, running, wait_for

from cellarer.board.durable import read_durable
from cellarer.runtime import world as worlds
from cellarer.wire.links.bench import BenchLink, bench_path
from cellarer.wire.peer import Ear
from cellarer.wire.protocols import get

VITAL, OTHERS = ("link", "control", "guard"), ("services", "faces")
HOW = {"kill": signal.SIGKILL, "hold": signal.SIGSTOP, "fail": signal.SIGUSR1, "spin": signal.SIGUSR2}
OPEN_S = 1.0  # a disturbed link, control or guard leads to open contacts within this
STAY_S = 0.4  # and they stay open
OUT_S = 0.6  # how long services and faces are left in trouble
LATE_S = 0.04  # a machine that is later than that misses deadlines by itself: consent lasts 60 ms
FRESH_S = 3.0  # limits heard must have been published within this, or be zero


class Pulse(threading.Thread):
    """How late the machine itself is: a thread that only sleeps."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.worst_s, self.stop = 0.0, False

    def run(self) -> None:
        while not self.stop:
            begin = time.monotonic()
            time.sleep(0.01)
            self.worst_s = max(self.worst_s, time.monotonic() - begin - 0.01)


class Machine(threading.Thread):
    """What the inverter is told, at any time, against what control published shortly before."""

    def __init__(self, site: Site) -> None:
        super().__init__(daemon=True)
        self._site, self._bus = site, BenchLink(bench_path(site.folder.bench, "inverter"))
        face = next(f for f in site.site.face if f.link == "inverter")
        self._heard = worlds.Machine(Ear(get(face.protocol), "device", 1, {"cell": 0, "temp": 0}), [0])
        self.stop, self.wrong, self.frames = False, list[str](), 0

    def run(self) -> None:
        told: list[tuple[float, float]] = []  # when, charge limit as control published it
        while not self.stop:
            now, shot = time.monotonic(), self._site.snapshot()
            if shot is not None:
                told.append((now, float(shot.state.command.pack_charge_A[0])))
            told = [one for one in told if now - one[0] < FRESH_S]
            while (got := self._bus.receive(0.0)) is not None:
                self._heard.hear(got[0], got[1])
                self.frames += 1
                most = max((limit for _, limit in told), default=0.0)
                if self._heard.charge_A > 1.05 * most + 0.2:  # between two looks limits move
                    self.wrong.append(f"a machine was told {self._heard.charge_A:.1f} A, published was {most:.1f} A")
                    self._heard.charge_A = 0.0
            time.sleep(0.02)
        self._bus.close()


@dataclass
class Result:
    """What came of a campaign."""

    seed: int
    done: dict[str, int] = field(default_factory=dict)  # role how → number
    opened_s: list[float] = field(default_factory=list)
    machine_late_s: float = 0.0
    wrong: list[str] = field(default_factory=list)
    events: int = 0

    def as_json(self) -> str:
        times = sorted(self.opened_s)
        found = {
            "disturbances": sum(self.done.values()), "seed": self.seed, "wrong": self.wrong, "done": self.done,
            "opened_s": {"p50": times[len(times) // 2], "max": times[-1]} if times else None,
            "machine_late_s": round(self.machine_late_s, 3), "events": self.events,
        }  # fmt: skip
        return json.dumps(found)


class Campaign:
    """One site and its disturbances."""

    def __init__(self, site: Site, seed: int, pulse: Pulse) -> None:
        self.site, self.random, self.pulse = site, random.Random(seed), pulse
        self.result = Result(seed)
        self.bus, self.box = site.switch_box()
        self.machine = Machine(site)
        self.machine.start()

    def disturb(self, role: str, how: str) -> None:
        """Disturb one process at a random moment; judge; let the site come back."""
        closed = role in OTHERS or self.random.random() < 0.75
        if closed:
            self.site.close()
        else:
            wait_for("control", lambda: self.site.phase >= 0, 60)
            self.site.ask("reset")
            self.site.ask("confirm")
            self.site.ask("close")
        self.watch(self.random.uniform(0.05, 0.5 if closed else 1.5))
        self.pulse.worst_s = 0.0
        pid = wait_for(f"a {role}", lambda: self.site.pid(role))
        self.watch(0.05)
        carried = self.closed()  # a close that is only asked for may still be done afterwards
        os.kill(pid, HOW[how])
        name = f"{role} {how}"
        self.result.done[name] = self.result.done.get(name, 0) + 1
        (self.vital if role in VITAL else self.other)(name)
        if how == "hold":
            os.kill(pid, signal.SIGCONT)
        elif how == "spin":  # the supervisor would do it after 10 s without a sign of life
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if how in ("kill", "spin"):
            wait_for(f"a new {role}", lambda: self.site.pid(role) not in (None, pid))
        if role in VITAL and carried:
            self.open_still(name)

    def vital(self, name: str) -> None:
        """Contacts open in time, by the world's word. What the machine itself was late is not held against us."""
        begin = time.monotonic()
        while (late := time.monotonic() - begin) < 3.0 and self.closed():
            self.watch(0.01)
        self.result.opened_s.append(round(late, 3))
        self.result.machine_late_s = max(self.result.machine_late_s, self.pulse.worst_s)
        if late > OPEN_S + 3 * self.pulse.worst_s:
            self.wrong(f"{name}: closed for {late:.2f} s, machine late by {self.pulse.worst_s:.2f} s")

    def open_still(self, name: str) -> None:
        end = time.monotonic() + STAY_S
        while time.monotonic() < end:
            self.watch(0.02)
            if self.closed():
                self.wrong(f"{name}: closed again by itself")
                return

    def other(self, name: str) -> None:
        """Control goes on, contacts stay closed, and what machines are told is zero or fresh."""
        before = self.site.snapshot()
        self.watch(OUT_S)
        after = self.site.snapshot()
        assert before is not None
        assert after is not None
        least = 0.5 * (OUT_S - 3 * self.pulse.worst_s) / (self.site_cycle_s())
        if after.state.cycle - before.state.cycle < least:
            self.wrong(f"{name}: control did not go on: {after.state.cycle - before.state.cycle} cycles")
        if not self.closed() and self.site.phase != 4 and self.pulse.worst_s < LATE_S:
            causes = [f"{e.name}: {e.cause}" for e in self.site.events() if e.kind != "clear"][-6:]
            self.wrong(f"{name}: the contacts opened: {causes}")

    def site_cycle_s(self) -> float:
        return self.site.site.cycle_ms / 1000.0

    def closed(self) -> bool:
        """Tell whether any main contact is closed, as the switch box says."""
        return any(self.site.contacts.get(f"feedback_{n}") == 1.0 for n in ("minus", "plus"))

    def watch(self, s: float) -> None:
        """Listen to the battery's bus for a while."""
        self.site.listen(self.bus, self.box, s)

    def wrong(self, text: str) -> None:
        self.result.wrong.append(text)

    def end(self) -> Result:
        """Look whether anything was lost or spoilt."""
        events = self.site.events()
        self.result.events = len(events)
        last = events[-1].time_ns if events else 0

        def kept() -> bool:
            return any(e["time_ns"] == last for e in self.site.history().events(300))

        wait_for("the newest event on disk", kept, 20)
        known = {(e["time_ns"], e["name"]) for e in self.site.history().events(100_000)}
        lost = [e.name for e in events if (e.time_ns, e.name) not in known]
        if lost:
            self.wrong(f"lost events: {lost[:5]}")
        if (broken := self.site.history().first_break()) is not None:
            self.wrong(f"the chain of events breaks at {broken}")
        stored, complaints = read_durable(self.site.state_dir)
        if stored is None or complaints:
            self.wrong(f"the stored state: {complaints}")
        damaged = list(self.site.state_dir.glob("*.damaged*"))
        if damaged:
            self.wrong(f"damaged: {damaged}")
        self.bus.close()
        self.machine.stop = True
        self.machine.join()
        self.result.wrong += self.machine.wrong
        if self.machine.frames == 0:
            self.wrong("no machine was ever told anything")
        return self.result


def run(count: int, seed: int, state_dir: Path) -> Result:
    """Run a campaign of so many disturbances; every pair of role and way comes before any comes again."""
    pulse = Pulse()
    pulse.start()
    with running(state_dir, disturbed=True) as site:
        wait_for("a live recorder", lambda: (s := site.snapshot()) is not None and s.recorder_live)
        campaign = Campaign(site, seed, pulse)
        kinds = [(role, how) for role in (*VITAL, *OTHERS) for how in HOW]
        for number in range(count):
            if number % len(kinds) == 0:
                campaign.random.shuffle(kinds)
            campaign.disturb(*kinds[number % len(kinds)])
            if not sys.stderr.isatty():
                continue
            print(f"\r{number + 1} of {count}, {len(campaign.result.wrong)} wrong", end="", file=sys.stderr)
        result = campaign.end()
    pulse.stop = True
    return result


def main() -> int:
    """Run as a script."""
    count, seed = (int(x) for x in (sys.argv[1:] + ["1000", "1"][len(sys.argv) - 1 :])[:2])
    with tempfile.TemporaryDirectory() as folder:
        result = run(count, seed, Path(folder) / "s")
    print(result.as_json())
    return bool(result.wrong)


if __name__ == "__main__":
    sys.exit(main())
