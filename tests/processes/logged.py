"""A run without processes or clocks: rings, cycles and requests as control makes them, and what `step` answered."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from cellarer import __version__
from cellarer import config as configs
from cellarer.board import tree
from cellarer.board.files import Folder
from cellarer.board.inputs import InputReader, InputWriter, create_inputs
from cellarer.board.samples import SampleReader, SampleWriter, create_samples
from cellarer.core.asked import no_requests
from cellarer.core.cycle import Inputs, start, step
from cellarer.history.freeze import InputLog
from cellarer.model.values import NEVER, Command, Event, Plan, Sample, no_plan

HOME = configs.load("home")
LINK = "battery"
MS = 1_000_000


def header(run: str = "1") -> dict[str, object]:
    return {
        "site": "home", "run": run, "links": [LINK], "program": __version__, "config_sha256": "0", "speed": 1.0,
        "site_json": HOME.file.model_dump_json(), "origin_ns": 0, "origin_unix_s": 1e9,
    }  # fmt: skip


class Run:
    """Control's loop, driven by hand."""

    def __init__(self, path: Path, seed: int = 1) -> None:
        path.mkdir(exist_ok=True)
        self.folder, self.config = Folder(path), HOME.config
        create_samples(self.folder.samples(LINK), 1000.0)
        create_inputs(self.folder, 1, self.config.cycle_ns, start(self.config, 0))
        self.link = SampleWriter(self.folder.samples(LINK))
        self.random = np.random.default_rng(seed)
        self.now_ns = 1_000_000_000
        self.commands: list[Command] = []
        self.events: list[Event] = []
        self.volts = np.full(16, 3.3)
        self.begin()

    def begin(self) -> None:
        """Start control, or start it again after it fell."""
        size = self.config.layout.size
        self.inputs = InputWriter(self.folder, 1)
        self.ring = SampleReader(self.folder.samples(LINK))
        self.value, self.time_ns = np.full(size["signal"], np.nan), np.full(size["signal"], NEVER)
        self.plan = no_plan(size["cell"], size["pack"])
        self.state = start(self.config, self.now_ns)
        self.nothing = no_requests(self.config)

    def measure(self, current_A: float = 5.0) -> None:
        """Let the link deliver what it delivers in a cycle."""
        where, at = self.config.layout.where, self.now_ns - int(self.random.integers(0, 5000)) * 1000
        self.volts += 1e-3 * self.random.integers(-1, 2, 16)
        for first in range(0, 16, 4):
            place = where["cell_voltage"].start + first
            self.link.put(
                at, 0, [(place + i, float(v)) for i, v in enumerate(np.round(self.volts[first : first + 4], 3))]
            )
        noise = float(self.random.normal(0, 0.01))
        self.link.put(at, 0, [(where["current"].start, current_A + noise)])
        self.link.put(at, 0, [(where["temp_degC"].start + i, 0.1 * round(231 + i)) for i in range(4)])

    def cycle(self, *, keyframe: bool = False, plan: Plan | None = None, **asked: object) -> None:
        """Run one cycle as control does."""
        if keyframe:
            self.inputs.keyframe(self.state, self.plan, self.value, self.time_ns, [self.ring.place])
        self.ring.take(self.value, self.time_ns)
        requests = dataclasses.replace(self.nothing, **{k: np.array([v]) for k, v in asked.items()})
        if asked:
            self.inputs.change(requests)
        if plan is not None:
            self.plan = plan
            self.inputs.change(plan)
        self.inputs.cycle(self.now_ns, self.state.cycle, [self.ring.place])
        sample = Sample(self.value.copy(), self.time_ns.copy())
        self.state, command, events = step(self.config, self.state, Inputs(sample, requests, self.plan), self.now_ns)
        self.commands.append(command)
        self.events += events
        self.now_ns += 20 * MS

    def cycles(self, count: int, current_A: float = 5.0) -> None:
        for _ in range(count):
            self.measure(current_A)
            self.cycle()

    def reader(self, *places: int) -> InputReader:
        return InputReader(self.folder, [LINK], places)

    def log(self, state_dir: Path, run: str = "1") -> InputLog:
        return InputLog(state_dir, header(run), tree.encode(self.config))


def same(a: Command, b: Command) -> bool:
    """Tell whether two commands are equal to the last bit."""
    return tree.encode(a) == tree.encode(b)
