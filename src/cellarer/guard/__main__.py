"""The guard's process: `python -m cellarer.guard RUN_FOLDER`. Reads rings and wish, asks Guard, writes gate and status.

It looks every few milliseconds. An order at the gate is written when control's wish is new, when something changed, and
while the last will runs; without new wishes the gate falls silent and the devices open by themselves.
"""

import json
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from cellarer.guard.decide import Guard, Orders
from cellarer.guard.files import FilesError, Ring, gate_record, parse_wish, readings
from cellarer.guard.limits import Limits, LimitsError, read_limits

PRIORITY = 60  # SCHED_FIFO, above control and links
LOOK_S = 0.004
SPIN_US = 500_000
PULSE_NS = 100_000_000
STATUS_NS = 1_000_000_000


class Process:
    """Files of one guard, and when they were last written."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.limits = limits
        self.rings = [(Ring(folder / r.file), r.strings) for r in limits.rings]
        self.epochs = [ring.epoch for ring, _ in self.rings]
        self.wishes = Ring(folder / "wish")
        self.gate = Ring(folder / "gate", write=True)
        self.status = Ring(folder / "guard", write=True)
        self.pulse = Ring(folder / "pulse.guard", write=True)
        self.guard = Guard(limits, self.now_ns())
        self.wish: Orders | None = None
        self.wish_next = 0
        self.last: tuple[object, ...] = (None,)  # strings, and what else an order says
        self.gate_ns = self.status_ns = self.pulse_ns = 0

    def now_ns(self) -> int:
        """Return the time of the run's clock, which all processes share."""
        origin = self.limits.origin_ns
        return origin + (time.monotonic_ns() - origin) * self.limits.speed_permille // 1000

    def look(self) -> None:
        """Do one round."""
        for i, (ring, strings) in enumerate(self.rings):
            if ring.epoch != self.epochs[i]:
                if self.epochs[i]:
                    self.guard.link_restarted(strings)
                self.epochs[i] = ring.epoch
            for record in ring.fresh():
                time_ns, pairs = readings(record)
                if self.guard.receive(pairs, time_ns, self.now_ns()):
                    self.decide()  # at once, not at the end of a long queue
        if self.wishes.next != self.wish_next:
            self.wish_next = self.wishes.next
            sizes = (len(self.limits.strings), len(self.limits.packs), self.limits.cells)
            self.wish = parse_wish(self.wishes.newest(), *sizes)
        self.decide()
        if (now_ns := time.monotonic_ns()) - self.pulse_ns >= PULSE_NS:
            self.pulse_ns = now_ns
            self.pulse.write(now_ns.to_bytes(8, "little"))

    def decide(self) -> None:
        """Ask the guard, and write what is new."""
        now_ns = self.now_ns()
        orders = self.guard.decide(self.wish, now_ns)
        content = (orders.strings, orders.packs, orders.cells, self.wish.counter if self.wish else None)
        ending = any(s.held for s in self.guard.strings) and orders.leaving
        changed = content[0] != self.last[0]
        if content != self.last or (ending and now_ns - self.gate_ns >= self.limits.cycle_ns):
            self.put(orders, now_ns)
            self.gate_ns, self.last = now_ns, content
        if changed or now_ns - self.status_ns >= STATUS_NS:
            self.tell(now_ns)

    def put(self, orders: Orders, now_ns: int) -> None:
        """Write an order for the links, good for three cycles."""
        until_ns, counter = now_ns + self.limits.consent_ns, self.gate.next + 1
        whole = orders._replace(counter=counter, time_ns=now_ns, expires_ns=until_ns, site=self.guard.site)
        self.gate.write(gate_record(whole, self.limits.cells))

    def tell(self, now_ns: int) -> None:
        """Write the guard's own status, for people."""
        self.status_ns = now_ns
        strings = [
            {
                "held": s.held,
                "waiting": s.waiting,
                "opened_ns": s.opened_ns,
                "opened_A": s.opened_A,
                "opened_why": s.opened_why,
            }
            for s in self.guard.strings
        ]
        trips = [{"string": string + 1, "text": t.text} for (_, string), t in self.guard.trips.items()]
        status = {"time_ns": now_ns, "consent": self.guard.consent, "strings": strings, "trips": trips}
        while len(data := json.dumps(status).encode()) > self.status.room and trips:
            del trips[-1]
        self.status.write(data)

    def leave(self) -> None:
        """Order everything open and go."""
        now_ns = self.now_ns()
        will = self.guard.decide(None, now_ns)
        self.put(will._replace(strings=((0, 0.0, 0.0, 0.0, 0.0),) * len(will.strings)), now_ns)


def main(folder: Path) -> int:
    """Run until the supervisor says stop or is gone."""
    stop = False

    def on_stop(_number: int, _frame: object) -> None:
        nonlocal stop
        stop = True

    signal.signal(signal.SIGTERM, on_stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    with suppress(OSError):  # without permission we go on as we are
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    try:
        process = Process(folder, read_limits(folder / "guard.json"))
    except (LimitsError, FilesError, OSError) as error:
        print(f"guard: {error}", file=sys.stderr)
        return 2
    # With real-time priority a guard that spins would starve everybody: then the system ends it.
    resource.setrlimit(resource.RLIMIT_RTTIME, (SPIN_US, SPIN_US))
    while not stop and os.getppid() == parent:
        process.look()
        time.sleep(LOOK_S)
    process.leave()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
