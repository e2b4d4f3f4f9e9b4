"""The control process: one thread, absolute deadlines, no disk, no network, no logging in the loop.

Reads the rings into a Sample, takes requests, runs `step()`, publishes snapshot, wish and events. A cycle that comes
too late is skipped, counted and told, never made up for in a burst. An error in `step` ends the process: the wish
expires and the guard opens.
"""

import json
import math
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from cellarer.board import tree
from cellarer.board.durable import read_durable
from cellarer.board.inputs import KEYFRAME_NS, InputWriter
from cellarer.board.lifetime import read_ledger
from cellarer.board.messages import EventRecord, EventWriter, RequestReader
from cellarer.board.orders import OrdersReader, Vetoes, WishWriter
from cellarer.board.plans import PlanReader
from cellarer.board.ring import BoardError, RingReader, RingWriter
from cellarer.board.samples import SampleReader
from cellarer.board.snapshot import Snapshot, SnapshotWriter
from cellarer.core import slow
from cellarer.core.cycle import Inputs, start, step
from cellarer.core.decide.sequence import ASKED
from cellarer.model.config import Config
from cellarer.model.events import cell_number, text
from cellarer.model.values import NEVER, Command, Event, Phase, Requests, Sample, State
from cellarer.runtime.clock import WHOLE_NS, wall_clock_is_trusted
from cellarer.runtime.guard_says import with_units
from cellarer.runtime.intake import Intake, packs_of
from cellarer.runtime.lifetime import restored
from cellarer.runtime.memory import Memory
from cellarer.runtime.notify import Notifier
from cellarer.runtime.process import Process, never_spin
from cellarer.runtime.selftest import self_test

KEEP_NS = 1_000_000_000  # real time between two durable records
SERIES_NS = 1_000_000_000  # real time between two rows of the history
RECORDER_NS = 5_000_000_000  # real time without acknowledgement after which nobody records
SILENT = "the guard is silent"
RAMP_MISSED = 3  # cycles missed in a row after which packs are opened: P6, "1 = event, 3 = ramp, watchdog = open"
RESET_CYCLES = 25  # how long the guard is told of a reset, so that it cannot miss it
LEAVE_S = 2.5  # a clean stop waits at most this long for open switchgear
WARM_CYCLES = 3
NOTIFY_NS = 500_000_000
MISSED_NS = 60_000_000_000  # real time between two events that tell of missed cycles


class Control:
    """Everything that the loop holds."""

    def __init__(self, process: Process) -> None:
        run, folder = process.run, process.folder
        config = tree.read_config(folder.config, run.config_sha256)
        assert isinstance(config, Config)
        self.process, self.clock, self.config = process, process.clock, config
        size = config.layout.size
        self.value, self.time_ns = np.full(size["signal"], np.nan), np.full(size["signal"], NEVER)
        self.rings = [SampleReader(folder.samples(link)) for link in run.links]
        self.snapshot, self.seconds = SnapshotWriter(folder.snapshot), SnapshotWriter(folder.seconds)
        self.wish = WishWriter(folder.wish, bytes.fromhex(run.config_sha256[:16]))
        self.gate = OrdersReader(folder.gate)
        self.guard_status = RingReader(folder.guard_status)
        self.events = EventWriter(folder, "control")
        asked = RequestReader(folder.requests, folder.answers)
        first = run.close_at_start and self.wish.epoch == 1  # not after a crash: then somebody must ask
        self.intake = Intake(asked, config, self.clock, close_at_start=first)
        self.durable, self.durable_kept = RingWriter(folder.durable), RingReader(folder.durable_kept)
        self.inputs = InputWriter(folder, len(self.rings))
        self.keyframe_ns = NEVER
        self.notifier = Notifier()
        self.plans = PlanReader(folder.plans, size["cell"], size["pack"])
        self.plan = self.noted_plan = self.plans.plan
        now_ns = self.clock.now_ns()
        self.state: State = start(config, now_ns, self._restore())
        self.vetoes = Vetoes(NEVER, np.zeros(size["string"], bool), np.zeros(size["string"], bool))
        self.against = np.zeros(size["string"], bool)
        self.reset_left = 0
        self.reset = np.zeros(size["pack"], bool)
        self.overruns = self.told = self.work_ns = 0
        self.told_ns = -MISSED_NS
        self.missed = 0  # cycles in a row, just before this one
        self.gives_up = False  # too many were missed: nothing is consented to until everything is open
        self.unfit = ""  # what the self-test found: nothing is closed then
        self.memory = Memory()
        self.kept_ns = self.notified_ns = self.second = 0
        self.recorder_ns = self.recorder_next = 0

    def warm(self) -> None:
        """Run a cycle that counts for nothing, so that compiling does not fall into the first real one."""
        requests = self.intake.nothing
        sample = Sample(self.value, self.time_ns)
        state, now_ns = self.state, self.clock.now_ns()
        for i in range(WARM_CYCLES):
            state, _, _ = step(
                self.config, state, Inputs(sample, requests, self.plan), now_ns + i * self.config.power_ns
            )

    def test(self) -> None:
        """Run the self-test before anything may be closed; what it finds is told and stands until the next start."""
        wrong = self_test(self.config, self.process.run.config_sha256)
        for cause in wrong:
            self._system("self-test failed", cause)
        self.unfit = "; ".join(wrong)

    def _restore(self) -> slow.Durable | None:
        """Return what is kept: the durable record, and what the lifetime ledger has more of."""
        ledger, wrong = read_ledger(map(Path, self.process.run.lifetime), self.config.site)
        if wrong:
            self._system("lifetime ledger is not whole", "; ".join(wrong))
        return restored(self.config, self._durable(), ledger)

    def _durable(self) -> slow.Durable | None:
        """Return the durable record with the time since, None if there is none that is whole and of this site."""
        kept, wrong = read_durable(Path(self.process.run.state_dir))
        cause = "; ".join(wrong)
        found: object = None
        if kept is not None:
            try:
                found = tree.decode(kept.payload)
            except BoardError as error:
                cause = str(error)
        if not isinstance(found, slow.Durable) or found.site != self.config.site:
            self._system("stored state is unknown", cause or "it is of another site")
            return None
        if kept is None:
            return None
        off_s = self.clock.unix_s(self.clock.now_ns()) - kept.unix_s
        trusted = self.clock.speed == 1.0 and off_s >= 0.0 and wall_clock_is_trusted()
        return replace(found, off_s=off_s if trusted else math.nan)

    def _system(self, name: str, cause: str) -> None:
        now_ns = self.clock.now_ns()
        self._publish_events([Event(now_ns, "system", name, -1, -1, math.nan, math.nan, cause)], now_ns)

    def cycle(self, late_ns: int, *, leaving: bool = False) -> None:
        """Run one cycle and publish it."""
        begin_ns = time.monotonic_ns()
        self.keyframe()
        for ring in self.rings:
            ring.take(self.value, self.time_ns)
        now_ns = self.clock.now_ns() // WHOLE_NS * WHOLE_NS
        live = self._recorder_live()
        vetoes = self._veto(now_ns)
        packs = self._to_open(vetoes, leaving)
        refused = {pack: partial(self._guard_says, pack) for pack in packs_of(vetoes.both, self.config)}
        requests = self.intake.take(now_ns, recorder_live=live, open_packs=packs, vetoed=refused, unfit=self.unfit)
        self._take_plan(now_ns)
        self._log(requests, now_ns)
        sample = Sample(self.value.copy(), self.time_ns.copy())
        self.state, command, events = step(self.config, self.state, Inputs(sample, requests, self.plan), now_ns)
        self.reset_left = RESET_CYCLES if requests.reset.any() else max(self.reset_left - 1, 0)
        self.reset = requests.reset | (self.reset & (self.reset_left > 0))
        self._consent(command, now_ns)
        moment = Snapshot(self.clock.unix_s(now_ns), self.overruns, late_ns, live, vetoes.any, self.state, self.work_ns)
        self.snapshot.write(moment)
        if begin_ns // SERIES_NS != self.second:
            self.second = begin_ns // SERIES_NS
            self.seconds.write(moment)
        if events:
            self._publish_events(events, now_ns)
            self.intake.answer(events)
        self._keep(bool(events))
        self.work_ns = time.monotonic_ns() - begin_ns

    def _consent(self, command: Command, now_ns: int) -> None:
        """Give the guard the wish, or after too many missed cycles nothing until all is open: it waits less than we."""
        self.gives_up = (self.gives_up or self.missed >= RAMP_MISSED) and bool(self._closed().any())
        if self.gives_up:
            self.wish.leave(command, now_ns)
        else:
            self.wish.write(command, self.reset, now_ns, now_ns + self.process.run.consent_ns)

    def _take_plan(self, now_ns: int) -> None:
        """Follow the newest plan; one that is none is told once and not followed.

        None either while the guard refuses a path: it hands on no balancing then, and converters that stand still
        would look as if they had failed.
        """
        said = self.plans.refused
        self.plan = self.plans.newest(now_ns, heard=not self.vetoes.any.any())
        if self.plans.refused and self.plans.refused != said:
            self._system("plan refused", self.plans.refused)

    def _log(self, requests: Requests, now_ns: int) -> None:
        """Note what this cycle is given; the whole State now and then, and before the first cycle."""
        places = [ring.place for ring in self.rings]
        if requests is not self.intake.nothing:
            self.inputs.change(requests)
        if self.plan is not self.noted_plan:
            self.noted_plan = self.plan
            self.inputs.change(self.plan)
        self.inputs.cycle(now_ns, self.state.cycle, places)

    def keyframe(self) -> None:
        """Note the whole State, from which the coming cycles can be repeated."""
        now_ns = self.clock.now_ns()
        if now_ns - self.keyframe_ns >= KEYFRAME_NS:
            self.keyframe_ns = now_ns
            places = [ring.place for ring in self.rings]
            self.inputs.keyframe(self.state, self.plan, self.value, self.time_ns, places)

    def _closed(self) -> np.ndarray:
        command = self.state.command
        return command.minus | command.plus | command.charge_switch | command.discharge_switch

    def _veto(self, now_ns: int) -> Vetoes:
        """Return what the guard refuses, or holds no more; a new veto of what is closed is an event with its reason."""
        found = self.gate.vetoes()
        if found is None or now_ns - found.time_ns > self.process.run.drop_ns:
            every = np.ones_like(self.against)
            found = Vetoes(NEVER, every, every)
        self.vetoes = found
        against = found.against(self.state.command)
        new = against & ~self.against
        if new.any():
            for string in np.flatnonzero(new).tolist():
                cause = self._guard_says(int(self.config.layout.pack_of_string[string]))
                event = Event(now_ns, "system", "guard veto", string, -1, math.nan, math.nan, cause)
                self._publish_events([event], now_ns)
        self.against = against
        return found

    def _to_open(self, vetoes: Vetoes, leaving: bool) -> dict[int, str]:
        """Return the packs whose wish to be closed ends now, and why."""
        late = self.missed >= RAMP_MISSED
        unwanted = np.ones_like(vetoes.charge) if leaving or late else vetoes.against(self.state.command)
        packs = [p for p in packs_of(unwanted, self.config) if self.state.wishes.closed[p]]
        why = "Cellarer is stopped" if leaving else f"control missed {self.missed} cycles in a row" if late else ""
        return {p: why or f"guard: {self._guard_says(p)}".replace(f"guard: {SILENT}", SILENT) for p in packs}

    def count_missed(self, late_ns: int) -> int:
        """Return how many whole cycles this is too late, which are skipped: counted, and never made up for."""
        self.missed = max(late_ns // self.config.cycle_ns, 0)
        self.overruns += self.missed
        return self.missed

    def _guard_says(self, pack: int) -> str:
        """Return the guard's reason to refuse a pack. It is read only when a veto is new or somebody asks."""
        mine = (self.config.layout.pack_of_string == pack) & self.vetoes.any & (self.vetoes.time_ns > NEVER)
        strings = np.flatnonzero(mine)
        data = self.guard_status.newest()
        if data is None or not strings.size:
            return SILENT
        status = json.loads(data)
        trips = [t["text"] for t in status["trips"] if t["string"] - 1 in strings]
        said = "; ".join(trips) or str(status["strings"][strings[0]]["opened_why"] or status["consent"])
        return with_units(said)

    def _recorder_live(self) -> bool:
        now_ns = time.monotonic_ns()
        if self.durable_kept.next != self.recorder_next:
            self.recorder_next, self.recorder_ns = self.durable_kept.next, now_ns
        return bool(self.recorder_ns and now_ns - self.recorder_ns < RECORDER_NS and not self.events.full)

    def _publish_events(self, events: list[Event], now_ns: int) -> None:
        layout = self.config.layout
        for event in events:
            known = event.string >= 0
            pack = int(layout.pack_of_string[event.string]) if known else None
            if who := self.intake.opened_by.get(pack, "") if pack is not None else "":  # step knows not by whom
                if (event.kind, event.name) == ("request", "open"):
                    event = event._replace(cause=who)
                elif event.kind == "switch":
                    event = event._replace(cause=event.cause.replace(ASKED, who))
            record = EventRecord(
                seq=0,
                unix_s=self.clock.unix_s(event.time_ns),
                time_ns=event.time_ns,
                kind=event.kind,
                name=event.name,
                pack=None if pack is None else pack + 1,
                string=event.string - int(layout.first_string[pack]) + 1 if pack is not None else None,
                cell=cell_number(self.config, event) if known else None,
                value=event.value,
                limit=event.limit,
                cause=event.cause,
                text=text(self.config, event),
            )
            self.events.write(record)

    def _keep(self, changed: bool) -> None:
        """Hand the durable state to the recorder each second and after every event."""
        now_ns = time.monotonic_ns()
        if changed or now_ns - self.kept_ns >= KEEP_NS:
            self.kept_ns = now_ns
            self.durable.write(tree.encode(slow.durable(self.config, self.state)))
            if why := self.memory.look(standby=not self._closed().any()):
                self._system("memory grows", why)
            if self.overruns > self.told and now_ns - self.told_ns >= MISSED_NS:
                count, cycle_ms = self.overruns - self.told, self.config.cycle_ns * 1e-6
                cause = f"{count} of {cycle_ms:g} ms were skipped: control came too late"
                self.told, self.told_ns = self.overruns, now_ns
                self._system("cycles missed", cause)
        if now_ns - self.notified_ns >= NOTIFY_NS:
            self.notified_ns = now_ns
            self.notifier.send("WATCHDOG=1")

    def leave(self, next_ns: int) -> None:
        """Stop cleanly: ask for open switchgear, wait for it, leave the last will with the guard."""
        until_ns = time.monotonic_ns() + int(LEAVE_S * 1e9)
        while time.monotonic_ns() < until_ns:
            self.cycle(0, leaving=True)
            phase = self.state.switches.phase
            if np.isin(phase, (Phase.OPEN, Phase.COOLING)).all() and not self._closed().any():
                break
            next_ns = max(next_ns + self.config.cycle_ns, self.clock.now_ns())
            self.clock.sleep_until(next_ns)
        now_ns = self.clock.now_ns()
        self._system("stopped", "on request")
        self._keep(changed=True)
        self.wish.leave(self.state.command, now_ns)


def main(process: Process, _name: str) -> int:
    """Run until told to stop."""
    control = Control(process)
    control._system("started", f"site {control.config.site}, configuration {control.config.hash[:12]}")
    period_ns, clock = control.config.cycle_ns, process.clock
    control.warm()
    control.test()
    process.prefer()
    control.memory.settle()
    never_spin()
    next_ns = clock.now_ns()
    while process.alive():
        late_ns = clock.now_ns() - next_ns
        control.cycle(late_ns)
        next_ns += period_ns
        next_ns += control.count_missed(clock.now_ns() - next_ns) * period_ns
        clock.sleep_until(next_ns)
    control.leave(next_ns)
    return 0
