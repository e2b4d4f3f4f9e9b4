"""An input log, run again: the same commands and events on the same machine, or what other limits would have done.

Every cycle's input goes through `core.cycle.step` as it did live. With other limits the inputs stay what was measured:
what the battery would have done after a different command is not known, so the answer is what would have been ordered,
and when. At every keyframe the repeated State is compared with the one that was kept, to the last bit.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from cellarer import config as configs
from cellarer.board import tree
from cellarer.core.asked import no_requests
from cellarer.core.cycle import Inputs, step
from cellarer.core.decide.protect import start as no_faults
from cellarer.history.freeze import Freezes, runs
from cellarer.history.inputs import Log, LogError, Moment
from cellarer.history.reader import Reader
from cellarer.model.config import Config
from cellarer.model.values import Command, Event, Faults, Plan, Requests, Sample, State
from cellarer.runtime.pace import paced

Floats = NDArray[np.float64]
PER_ROW = tuple(name for name in Faults.__dataclass_fields__ if name != "runs")  # (row, string)


@dataclass(frozen=True, slots=True, eq=False)
class Cycle:
    """One repeated cycle."""

    moment: Moment
    state: State
    command: Command
    events: list[Event]
    exact: bool | None  # the State before it is, to the last bit, the one that was kept; None = none was


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """One course of events, thinned to what people look at; (cycle,) or (cycle, string)."""

    now_ns: NDArray[np.int64]
    limit_A: Floats  # (way, cycle, string): charge, discharge
    closed: NDArray[np.bool_]  # (cycle, string) any output that carries current
    events: list[Event]


@dataclass(frozen=True, slots=True, eq=False)
class Incident:
    """A log that was run again, and once more with other limits where such were given."""

    log: Log
    config: Config
    measured: dict[str, Floats]  # (cycle, string): current_A, lowest_V, highest_V, hottest_degC
    happened: Course
    exact: int  # keyframes that were met to the last bit …
    compared: int  # … of so many
    other: tuple[str, Config, Course] | None = None


def config_of(log: Log) -> Config:
    """Return the configuration under which a log was made."""
    found = tree.decode(bytearray(log.config))
    if not isinstance(found, Config):
        raise LogError(f"{log.paths[0]} holds no configuration that this version of Cellarer knows")
    return found


def repeat(log: Log, config: Config, recorded: Config | None = None) -> Iterator[Cycle]:
    """Run a log under a configuration; recorded: the one it was made under, if another."""
    state: State | None = None
    plan: Plan | None = None
    nothing = no_requests(config)
    for moment in log.moments():
        exact = None
        if moment.keyframe is not None:
            kept_plan, kept = cast(tuple[Plan, State], tree.decode(bytearray(moment.keyframe.packed)))
            if state is not None and not moment.restart:
                exact = tree.encode((plan, state)) == moment.keyframe.packed
            if state is None or moment.restart:
                plan, state = kept_plan, kept if recorded is None else moved(kept, recorded, config)
        assert state is not None
        assert plan is not None
        requests = nothing
        for data in moment.changes:
            change = tree.decode(bytearray(data))
            if isinstance(change, Plan):
                plan = change
            else:
                assert isinstance(change, Requests)
                requests = change
        inputs = Inputs(Sample(moment.value, moment.time_ns), requests, plan)
        state, command, events = step(config, state, inputs, moment.now_ns)
        yield Cycle(moment, state, command, events, exact)


def moved(state: State, before: Config, after: Config) -> State:
    """Return a State for another configuration of the same site: the memory of fault rows goes along by name."""
    rows = {name: i for i, name in enumerate(before.faults.name)}
    memory = no_faults(after)
    for i, name in enumerate(after.faults.name):
        if name in rows:
            for field in PER_ROW:
                getattr(memory, field)[i] = getattr(state.faults, field)[rows[name]]
    same = list(before.faults.name) == list(after.faults.name)
    return replace(state, faults=replace(memory, runs=state.faults.runs) if same else memory)


def course(log: Log, config: Config, recorded: Config | None = None) -> tuple[Course, dict[str, Floats], list[bool]]:
    """Run a log and keep what people look at. Returns also the measured values and whether each keyframe was met."""
    times, limits, closed, events, met = [], [], [], list[Event](), list[bool]()
    seen: list[Floats] = []
    for cycle in repeat(log, config, recorded):
        command = cycle.command
        times.append(cycle.moment.now_ns)
        limits.append((command.window.charge_A, command.window.discharge_A))
        closed.append(command.plus | command.charge_switch | command.discharge_switch)
        seen.append(_seen(config, cycle.state))
        events += cycle.events
        met += [] if cycle.exact is None else [cycle.exact]
    if not times:
        raise LogError(f"{log.paths[0]} holds no cycle that can be repeated: its first State is missing")
    columns = np.array(seen).transpose(1, 0, 2)
    names = ("current_A", "lowest_V", "highest_V", "hottest_degC")
    found = Course(np.array(times), np.array(limits).transpose(1, 0, 2), np.array(closed), events)
    return found, dict(zip(names, columns, strict=True)), met


def _seen(config: Config, state: State) -> Floats:
    """Return (4, string) what was measured; unknown is NaN."""
    layout, seen = config.layout, state.seen.value
    volts = seen[layout.where["cell_voltage"]]
    hottest = layout.over_temps(np.maximum, seen[layout.where["temp_degC"]], np.nan)
    return np.array([seen[layout.where["current"]], layout.lowest(volts), layout.highest(volts), hottest])


def run(log: Log, limits: Path | None = None) -> Incident:
    """Run a log again, and once more under other limits where a file is given. Raises LogError, ConfigError."""
    config = config_of(log)
    happened, measured, met = course(log, config)
    other = None
    if limits is not None:
        site = other_limits(log, limits)
        new = paced(site.config, float(str(log.header["speed"])))
        if new.layout.size != config.layout.size:
            raise LogError(f"{limits}: another number of cells, sensors, strings or packs: only limits may differ")
        other = str(limits), new, course(log, new, config)[0]
    return Incident(log, config, measured, happened, sum(met), len(met), other)


def other_limits(log: Log, path: Path) -> configs.Site:
    """Return the recorded site with other limits: from a whole site file, or from tables that stand over the recorded.

    Tables: `[limits]` for every pack, `[[pack]]` in order, any other key of a site file.
    """
    import json

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LogError(f"--limits = {path}: there is no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LogError(f"--limits = {path}: {error}: write TOML in UTF-8") from None
    if "name" in table:
        return configs.load(path)
    site = json.loads(str(log.header["site_json"]))
    common = {"limits": table.pop("limits")} if "limits" in table else {}
    if not isinstance(common.get("limits", {}), dict):
        raise LogError(f"{path}: limits = {common['limits']!r}, allowed is a table [limits]")
    packs = table.pop("pack", [])
    if not isinstance(packs, list) or not all(isinstance(pack, dict) for pack in packs):
        raise LogError(f"{path}: pack = {packs!r}, allowed are tables [[pack]], one after the other")
    if len(packs) > len(site["pack"]):
        raise LogError(f"{path}: pack: {len(packs)} given, the recorded site has {len(site['pack'])}")
    for pack, more in zip(site["pack"], [*packs, *[{}] * (len(site["pack"]) - len(packs))], strict=True):
        for name, value in (common | more).items():
            pack[name] = pack[name] | value if isinstance(pack.get(name), dict) and isinstance(value, dict) else value
    return configs.build(site | table, str(path))


def find(what: str, state_dir: Path) -> Log:
    """Return the log of an incident: the number of an event, a .freeze file, or a folder `inputs` (its last run)."""
    path = Path(what)
    if path.is_dir():
        found = runs(path)
        if not found:
            raise LogError(f"{path} holds no input log")
        return Log(found[-1])
    if path.exists():
        return Log([path])
    if not what.isdigit():
        raise LogError(f"--incident = {what}: allowed is the number of an event, a .freeze file, or a folder of inputs")
    events = Reader(state_dir / "history.db").events(1, before=int(what) + 1)
    if not events or events[0]["seq"] != int(what):
        raise LogError(f"--incident = {what}: {state_dir} has no such event; --state names another folder")
    frozen = Freezes(state_dir / "freezes").of(events[0])
    if frozen is None:
        raise LogError(
            f"event {what} ({events[0]['text']}) has no freeze frame: faults that warn or do more have, trips of the "
            "guard, and fallen processes; --incident STATE/inputs repeats the last run"
        )
    return Log([frozen])
