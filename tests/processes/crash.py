"""The crash campaign: processes of running sites are killed, held, made to fail and to spin at random moments.

`scripts/crash N SEED SITES` runs N disturbances on several sites side by side and prints a table and one line of JSON;
the tests run a few. What opens is read from the emulated switch box on the bus, what machines are told from the frames
of the face: not from our own board. Often something else is disturbed in the same moment.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial, reduce
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tests.processes.crash_table import GOOD, Result, added, from_json
from tests.processes.empty_loop import EmptyLoop
from tests.processes.site import Site, running, wait_for

from cellarer.board import snapshot, tree
from cellarer.board.durable import read_durable
from cellarer.board.messages import as_dict
from cellarer.board.ring import BoardError, RingReader
from cellarer.runtime import world as worlds
from cellarer.runtime.process import PRIORITY
from cellarer.wire.links.bench import BenchLink, bench_path
from cellarer.wire.peer import Ear
from cellarer.wire.protocols import get

VITAL, OTHERS = ("link", "control", "guard"), ("services", "faces")
HOW = {"kill": signal.SIGKILL, "hold": signal.SIGSTOP, "fail": signal.SIGUSR1, "spin": signal.SIGUSR2}
KINDS = [(role, how) for role in (*VITAL, *OTHERS) for how in HOW]
OPEN_S = 1.0  # a disturbed link, control or guard leads to open contacts within this
# A silent control: consent is over after 60 ms, a current of 60 ms later must be low, then link and contact: 0.14 to
# 0.15 s measured. Had the guard not opened, a device without orders would have, 0.30 s after the last one.
GUARD_S = 0.25
STAY_S = 0.4  # and they stay open
OUT_S = 0.6  # how long services and faces are left in trouble
LATE_S = 0.04  # a machine that is later than that misses deadlines by itself: consent lasts 60 ms
SHOWS_S = 1.0  # and what it missed shows in the contacts within that
HOLE_S = 2.0  # a row each second: more than this after the last row, and more than a second is lost
LATER_S = 400.0  # after a hole its cause can still be told: so long memory holds the seconds
CAUGHT_S = 8.0  # a recorder that fell is missed after 5 s
FRESH_S = 3.0  # limits heard must have been published within this, or be zero
TOGETHER = 0.5  # share of disturbed links, controls and guards beside which something else is disturbed
# What the judge takes from a snapshot: the whole of each would cost a tenth of a slow core, before all others.
LOOKED_AT = ("unix_s", "state.cycle", "recorder_live", "state.command.pack_charge_A")
SEES = 70  # priority of who judges: above everything that is judged
SITES = 2
START_S = 120.0  # sites, or services that fell, start at once on a busy machine


class Machine(threading.Thread):
    """What the inverter is told, at any time, against what control published shortly before."""

    def __init__(self, site: Site) -> None:
        super().__init__(daemon=True)
        self._ring = RingReader(site.folder.snapshot)
        _, outline = snapshot._outline(site.folder.snapshot)
        self._nodes = [reduce(lambda node, part: node["f"][part], name.split("."), outline) for name in LOOKED_AT]
        self._bus = BenchLink(bench_path(site.folder.bench, "inverter"))
        face = next(f for f in site.site.face if f.link == "inverter")
        self._heard = worlds.Machine(Ear(get(face.protocol), "device", 1, {"cell": 0, "temp": 0}), [0])
        self.stop, self.wrong, self.frames, self.unjudged = False, list[str](), 0, 0
        self.published_s: list[float] = []
        self.starts, self._cycle = 1, -1  # runs of control that published something
        self.live: list[tuple[float, bool]] = []  # since when somebody recorded, or nobody
        self._told: list[tuple[float, float]] = []  # when, charge limit as control published it
        self._missed = 0.0  # when snapshots were last overwritten before we saw them

    def run(self) -> None:
        with suppress(OSError):  # a snapshot lasts four cycles, then it cannot be seen any more
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(SEES))
        while not self.stop:
            heard = list[float]()
            while (got := self._bus.receive(0.0)) is not None:
                self._heard.hear(got[0], got[1])
                heard.append(self._heard.charge_A)
            self.frames += len(heard)
            # Looked at after them: a face may have been told later than our last look, and limits rise meanwhile.
            now = self._look()
            self._told = [one for one in self._told if now - one[0] < FRESH_S]
            most = max((limit for _, limit in self._told), default=0.0)
            worst = max(heard, default=0.0)
            if worst > 1.05 * most + 0.2:  # a frame rounds
                if now - self._missed < FRESH_S:
                    self.unjudged += 1
                else:
                    seen = [(round(at - now, 2), round(limit, 1)) for at, limit in self._told]
                    self.wrong.append(f"a machine was told {worst:.1f} A, published was {most:.1f} A: {seen}")
                self._heard.charge_A = 0.0
            time.sleep(0.02)
        self._bus.close()

    def _look(self) -> float:
        """Take every snapshot since the last look."""
        lost, shots, now = self._ring.lost, self._ring.read(), time.monotonic()
        if self._ring.lost > lost:
            self._missed = now
        for shot in map(memoryview, shots):
            unix_s, cycle, live, charge_A = (tree.build(node, shot).ravel()[0].item() for node in self._nodes)  # type: ignore[attr-defined]
            self.published_s.append(unix_s)
            self.starts += cycle < self._cycle
            self._cycle = cycle
            if not self.live or self.live[-1][1] != live:
                self.live.append((unix_s, live))
            self._told.append((now, charge_A))
        return now


class Campaign:
    """One site and its disturbances."""

    def __init__(self, site: Site, seed: int, loop: EmptyLoop, loop_rt: EmptyLoop) -> None:
        self.site, self.random, self.loop, self.loop_rt = site, random.Random(seed), loop, loop_rt
        self.result = Result([seed])
        self.bus, self.box = site.switch_box()
        self.machine = Machine(site)
        self.machine.start()
        self.begin_s = time.monotonic()
        self.done: list[tuple[float, str]] = []

    def disturb(self, first: tuple[str, str], more: tuple[str, str] | None = None) -> None:
        """Disturb one process, or two at once, at a random moment; judge; let the site come back."""
        at = [time.monotonic()]
        pair = [first, *([more] if more else [])]
        vital = first[0] in VITAL
        self._prepare(closed=not vital or self.random.random() < 0.75)
        self.watch(self.random.uniform(0.05, 0.5))
        pids = {role: wait_for(f"a {role}", lambda role=role: self.site.pid(role)) for role, _ in pair}
        self.watch(0.03)
        carried = self.closed()  # a close that is only asked for may still be done afterwards
        at.append(time.monotonic())
        begin_ns = self._newest_ns()
        for role, how in pair:
            os.kill(pids[role], HOW[how])
            self.done.append((time.time(), f"{role} {how}"))
        names = [f"{role} {how}" for role, how in pair]
        outcome = self._opens(names) if vital and carried else "was open" if vital else self._goes_on(names, carried)
        if outcome in ("fell open", "disturbed", "late"):
            self._explain(names, begin_ns)
        at.append(time.monotonic())
        for role, how in pair:
            self._let_go(how, pids[role])
        # At once: who comes back late finds a pack that control, asked to, has closed again on fresh measurements.
        if outcome in ("opened", "starved") and not self._stays_open():
            outcome = "closed again"
            self._explain(names, begin_ns)
        self._come_back(pair, pids)
        for name in names:
            self.result.count(name, outcome)
        at.append(time.monotonic())
        for stage, (a, b) in zip(("prepare", "judge", "return"), pairwise(at), strict=True):
            self.result.stage_s[stage] = self.result.stage_s.get(stage, 0.0) + b - a

    def _prepare(self, *, closed: bool) -> None:
        """Close, or only ask to: then the disturbance falls into the sequence."""
        if closed:
            self.site.close()
            self.watch(0.05)
        else:
            wait_for("control", lambda: self.site.phase >= 0, START_S)
            for what in ("reset", "confirm", "close"):
                self.site.ask(what)

    def _let_go(self, how: str, pid: int) -> None:
        if how == "hold":
            os.kill(pid, signal.SIGCONT)
        elif how == "spin":  # the supervisor would do it after 10 s without a sign of life
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _come_back(self, pair: list[tuple[str, str]], pids: dict[str, int]) -> None:
        begin = time.monotonic()
        for role, how in pair:
            if how != "hold":
                wait_for(f"a new {role}", partial(self._is_back, role, how, pids[role], begin))

    def _is_back(self, role: str, how: str, pid: int, begin: float) -> bool:
        """Tell whether another has come, or services caught the exception where it was, as they do what a disk says."""
        if self.site.pid(role) not in (None, pid):
            return True
        shot = self.site.snapshot() if role == "services" and how == "fail" else None
        return shot is not None and shot.recorder_live and time.monotonic() - begin > CAUGHT_S

    def _opens(self, names: list[str]) -> str:
        """Contacts open in time, by the world's word."""
        begin = time.monotonic()
        while (took := time.monotonic() - begin) < 3.0 and self.closed():
            self.watch(0.01)
        self.result.opened_s.append(round(took, 3))
        most_s = GUARD_S if {name.split()[0] for name in names} <= {"control", *OTHERS} else OPEN_S
        if took <= most_s:
            return "opened"
        starved = self.loop.worst_s(begin)
        self.result.late.append(f"{' and '.join(names)}: closed for {took:.2f} s, empty loop late by {starved:.2f} s")
        return "starved" if took <= most_s + starved else "late"

    def _stays_open(self) -> bool:
        end = time.monotonic() + STAY_S
        while time.monotonic() < end:
            self.watch(0.02)
            if self.closed():
                return False
        return True

    def _goes_on(self, names: list[str], carried: bool) -> str:
        """Control goes on, contacts stay closed."""
        if not carried:
            self.wrong(f"{' and '.join(names)}: the contacts had opened before")
        before, begin = self.site.snapshot(), time.monotonic()
        self.watch(OUT_S)
        after, starved = self.site.snapshot(), self.loop_rt.worst_s(begin)
        assert before is not None
        assert after is not None
        if after.state.cycle - before.state.cycle < 0.5 * (OUT_S - 3 * starved) / (self.site.site.cycle_ms / 1000.0):
            self.wrong(f"{' and '.join(names)}: only {after.state.cycle - before.state.cycle} cycles")
            return "stood still"
        if self.closed() or self.site.phase == 4:
            return "went on"
        return "disturbed" if self.loop_rt.worst_s(begin - SHOWS_S) > LATE_S else "fell open"

    def _newest_ns(self) -> int:
        events = self.site.events()
        return events[-1].time_ns if events else 0

    def _explain(self, names: list[str], begin_ns: int) -> None:
        """Say what happened since, and how late the machine was."""
        since = time.monotonic() - 5.0
        happened = [f"{e.name}: {e.text or e.cause}" for e in self.site.events() if e.time_ns > begin_ns]
        machine = f"empty loops late by {self.loop.worst_s(since):.3f} and {self.loop_rt.worst_s(since):.3f} s"
        shot = self.site.snapshot()
        seen = f"vetoed {shot.vetoed.tolist()}, overruns {shot.overruns}" if shot is not None else "no snapshot"
        told = self.site.guard_says()
        self.result.late.append(f"{' and '.join(names)}: {machine}; {seen}; {happened}; guard: {told}")

    def _around(self, begin_s: float, end_s: float) -> list[str]:
        """Return what was done and what the system said of itself in this time, and when somebody recorded."""
        events = self.site.history().events(100_000, kinds=["system"])
        said = [(float(str(e["unix_s"])), f"{e['name']}: {e['cause']}") for e in events]
        live = [(at, "recorded" if live else "not recorded") for at, live in self.machine.live]
        return [f"{at:.2f} {text}" for at, text in sorted((*self.done, *said, *live)) if begin_s < at < end_s]

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
        events, result = self.site.events(), self.result
        result.events = len(events)
        last = events[-1].time_ns if events else 0

        def kept() -> bool:
            return any(e["time_ns"] == last for e in self.site.history().events(300))

        wait_for("the newest event on disk", kept, START_S)  # services may just be starting again
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
        rows = np.array(self.site.series_s())
        published = np.array([t for t in self.machine.published_s if rows[0] <= t < rows[-1]])
        published += 0.001  # rows are kept to a millisecond
        before = rows[np.searchsorted(rows, published, "right") - 1]
        result.hole_s, worst = float((published - before).max()), int((published - before).argmax())
        if result.hole_s > HOLE_S:
            last, after = before[worst], rows[rows > before[worst]][0]
            said = self._around(float(last) - 5.0, float(after) + LATER_S)
            self.wrong(f"{published[worst]:.2f} was published, there are rows of {last:.2f} and {after:.2f}: {said}")
        result.wrong += self.machine.wrong
        result.unjudged = self.machine.unjudged
        result.starts = self.machine.starts
        if self.machine.frames == 0:
            self.wrong("no machine was ever told anything")
        result.wrong += [key for key in result.outcomes if key.partition("|")[2] not in GOOD]
        result.empty_loop_s = self.loop.worst_s(self.begin_s)
        result.empty_loop_rt_s = self.loop_rt.worst_s(self.begin_s) if self.loop_rt.permitted else None
        return result


def run(count: int, seed: int, state_dir: Path, together: float = TOGETHER) -> Result:
    """Run a campaign of so many disturbances; every pair of role and way comes before any comes again."""
    with ExitStack() as stack:
        loops = [stack.enter_context(EmptyLoop(priority)) for priority in (0, PRIORITY["control"])]
        with suppress(OSError):  # this process must see in time what happens
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(SEES))
            stack.callback(os.sched_setscheduler, 0, os.SCHED_OTHER, os.sched_param(0))
        site = stack.enter_context(running(state_dir, disturbed=True, most_s=START_S))
        wait_for("a live recorder", lambda: (s := site.snapshot()) is not None and s.recorder_live, START_S)
        campaign = Campaign(site, seed, *loops)
        waiting: list[tuple[str, str]] = []
        done = 0
        while done < count:
            if not waiting:
                waiting = campaign.random.sample(KINDS, len(KINDS))
            first = waiting.pop()
            more = next((w for w in waiting if w[0] != first[0]), None) if first[0] in VITAL else None
            if more is not None and done + 1 < count and campaign.random.random() < together:
                waiting.remove(more)
            else:
                more = None
            try:
                campaign.disturb(first, more)
            except (AssertionError, BoardError) as error:
                campaign.wrong(f"{first} {more or ''}: {error}: {[as_dict(e) for e in site.events()[-8:]]}")
                print(site.output[-3000:], file=sys.stderr)
                return added([campaign.result])
            done += 1 if more is None else 2
        return campaign.end()


def one(count: int, seed: int) -> str:
    """Run a campaign in a folder of its own, for a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return run(count, seed, Path(folder) / "s").as_json()


def main() -> int:
    """Run as a script."""
    if sys.argv[1:2] == ["--sum"]:
        lines = [line for path in sys.argv[2:] for line in Path(path).read_text().splitlines() if line[:1] == "{"]
        print(added(map(from_json, lines)).table())
        return 0
    count, seed, sites = (int(x) for x in (sys.argv[1:] + ["1000", "1", str(SITES)][len(sys.argv) - 1 :])[:3])
    shares = [count // sites + (i < count % sites) for i in range(sites)]
    with ProcessPoolExecutor(sites, get_context("spawn")) as pool:
        total = added(map(from_json, pool.map(one, shares, range(seed, seed + sites))))
    print(total.table())
    print(total.as_json())
    return bool(total.wrong)


if __name__ == "__main__":
    sys.exit(main())
