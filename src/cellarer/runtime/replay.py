"""Replay: `core.cycle.step` on every row of a recording, in an in-memory site without switchgear.

The site has exactly the signals that the file has. Rows without time or current are shown to nobody; the estimate of a
row that cannot be used is NaN and the next row goes on. `ah_reference` never gets here. Each run starts from an unknown
state. A string of which only the total voltage is measured is replayed as its mean cell: single cells are not seen.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import methodcaller

import numpy as np
from numpy.typing import NDArray

from cellarer import cells, config
from cellarer.cells import Cell
from cellarer.core import estimate as estimators
from cellarer.core import slow
from cellarer.core.asked import no_requests
from cellarer.core.cycle import Inputs, start, step
from cellarer.core.slow import compiled, durable
from cellarer.model.config import Config
from cellarer.model.values import NEVER, Event, Sample, State, no_plan
from cellarer.runtime import recording as recordings
from cellarer.runtime.recording import Recording, RecordingError
from cellarer.runtime.units import check_time, check_units, leave_out_absurd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CYCLE_MAX_S = 59.0  # core integrates up to 60 s; a longer step that is no gap is crossed in equal parts
MEASURED_SIGMA = 0.01  # 1: how well the capacity is known that the user gives, as measured …
AGED_SIGMA = 0.05  # 1: … and the one that is to be learnt, of a cell of unknown age
TAILS = 2.0  # 1: what people say of a SOC is off by two of their sigmas more often than a normal error would be
BLOCK_ROWS = 4096  # rows of one call of the kernel
REPORT_EVERY = 2000  # rows between two reports of progress


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user says about a recording; None = not said."""

    cell: str
    series: int | None = None
    parallel: int = 1
    capacity_Ah: float | None = None  # of one series group
    initial_soc: float | None = None
    initial_sigma: float = 0.1
    temperature_degC: float | None = None  # where the recording measures none
    learn_capacity: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A recording that fits its site. `scale` is 1, or the cells in series that one mean cell stands for."""

    recording: Recording
    settings: Settings
    cell: Cell
    config: Config
    series: int
    scale: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """What came out, one value per input row; rows that cannot be used are NaN."""

    ready: Ready
    columns: dict[str, Floats]  # as docs/recording-format.md names them, without `faults`
    faults: list[str]  # (row,) names joined by ;
    charge_A: Floats  # (row,) limit
    discharge_A: Floats
    events: list[tuple[float, Event]]  # with the time of the row in s
    advice: tuple[str, ...] = ()  # what would make SOC at the end better known, the best first


def prepare(recording: Recording, settings: Settings) -> Ready:
    """Make the site of a recording and check that both fit. Raises RecordingError, CellError, ConfigError."""
    cell = cells.load(settings.cell)
    series = _series(recording, settings)
    scale = 1 if recording.cells else series
    warnings: list[str] = []
    if scale > 1:
        warnings.append("only the voltage of the whole string is measured: its mean cell is looked at, no single cell")
    capacity_Ah = settings.capacity_Ah or cell.model.capacity_Ah * settings.parallel
    warnings += check_units(recording, cell.limits, series, capacity_Ah)
    recording = leave_out_absurd(recording, series)
    check_time(recording, cell.model, series, capacity_Ah)
    if settings.temperature_degC is not None:
        recording = _fill_temperature(recording, settings.temperature_degC)
    if not recording.temp_degC.shape[1]:
        warnings.append(
            "no temperature is known: give --temperature-degC; until then the cell file's 25 degC row is used"
        )
    site = config.replay_site(
        settings.cell,
        series=max(recording.cells, 1),
        parallel=settings.parallel,
        capacity_Ah=settings.capacity_Ah,
        temperatures=recording.temp_degC.shape[1],
        has_string_voltage=bool(recording.cells) and bool(np.isfinite(recording.voltage_V).any()),
    )
    return Ready(recording, settings, cell, site, series, scale, tuple(warnings))


def _series(recording: Recording, settings: Settings) -> int:
    series = settings.series or recording.cells or 1
    if recording.cells and series != recording.cells:
        allowed = f"{recording.cells}, the number of cell columns in the file"
        raise RecordingError(recording.path, f"--series = {series}: allowed is {allowed}")
    return series


def _fill_temperature(recording: Recording, temp_degC: float) -> Recording:
    measured = recording.temp_degC if recording.temp_degC.shape[1] else np.full((recording.rows, 1), np.nan)
    return replace(recording, temp_degC=np.where(np.isnan(measured), temp_degC, measured))


def replay(ready: Ready, progress: Callable[[float], None] = lambda fraction: None) -> Replayed:
    """Run `step` over all rows, run by run."""
    recording, n_cell = ready.recording, ready.config.layout.size["cell"]
    record = _Record(recording.rows, n_cell)
    feed = _Feed(ready)
    requests, plan = no_requests(ready.config), no_plan(n_cell, 1)
    run, begin_s, state, learning = -1, 0.0, start(ready.config, 0), ready.settings.learn_capacity
    for row, part, share in feed.cycles():
        if recording.run[row] != run:
            run, begin_s = int(recording.run[row]), float(recording.time_s[row])
            before, state = state, start(ready.config, 0, _initial(ready, state if learning else None))
            if learning and row > 0:
                state = _go_on(ready.config, state, before)
        time_s = float(feed.between(recording.time_s, part, row, share))
        now_ns = round((time_s - begin_s) * 1e9)
        state, _, events = step(
            ready.config, state, Inputs(feed.sample(part, row, share, now_ns), requests, plan), now_ns
        )
        if learning:
            state = _learn(ready.config, state)
        if events:
            record.events += [(time_s, event) for event in events]
        if share == 1.0 and recording.good[row]:
            record.keep(row, state, ready.config)
        if row % REPORT_EVERY == 0:
            progress(row / recording.rows)
    progress(1.0)
    return replace(record.result(ready), advice=_advice(ready.config, state.estimator))


def estimate_only(ready: Ready, progress: Callable[[float], None] = lambda fraction: None) -> Replayed:
    """Run the estimators alone over blocks of rows: SOC and its sigma as `replay` gives them, nothing else.

    No protection, no limits; the time loop is inside the kernel, so this is many times faster.
    """
    record, feed, site = _Record(ready.recording.rows, ready.config.layout.size["cell"]), _Feed(ready), ready.config
    estimator: object = None
    tables, layout, capacity_Ah = compiled(site), site.layout, site.capacity_Ah
    for row, share, time_s, readings in feed.by_run():
        estimator = slow.start(site, _initial(ready), 0).estimator
        volts, temp_degC = readings[:, layout.where["cell_voltage"]], np.full((row.size, 1), np.nan)
        if layout.size["temp"]:
            temp_degC = readings[:, layout.where["temp_degC"]][:, layout.temp_of_cell]
        current, dt_s = readings[:, layout.where["current"]], np.diff(time_s, prepend=time_s[:1])
        for begin in range(0, row.size, BLOCK_ROWS):
            part = slice(begin, begin + BLOCK_ROWS)
            estimator, soc, sigma = estimators.run_block(
                tables, estimator, volts[part], current[part], temp_degC[part], dt_s[part]
            )
            stands = (share[part] == 1.0) & ready.recording.good[row[part]]
            at = row[part][stands]
            record.cell[at, 0], record.cell[at, 1] = soc[stands], sigma[stands]
            charge = soc[stands] * capacity_Ah
            out, room = charge.min(axis=1), (capacity_Ah - charge).min(axis=1)
            record.string[at, 0] = np.clip(out / (out + room), 0.0, 1.0)
            record.string[at, 1] = sigma[stands].max(axis=1)
            progress(float(row[part][-1]) / ready.recording.rows)
    return replace(record.result(ready), advice=_advice(site, estimator))


def _advice(site: Config, estimator: object) -> tuple[str, ...]:
    """Return what the estimators advise after the last row."""
    if not isinstance(estimator, estimators.EstimateState):
        return ()
    found = estimators.advise(compiled(site), estimator, site.layout.string_of_cell)
    return tuple(str(advice) for of_string in found for advice in of_string)


def _initial(ready: Ready, before: State | None = None) -> slow.Durable | None:
    """Return the durable state that says what the user says, or None: SOC unknown.

    before: the end of the run before, whose capacity goes on; None = the capacity of the cell file or of the user
    """
    settings, site = ready.settings, ready.config
    known = before is not None and before.time_ns > NEVER
    if settings.initial_soc is None and not known:
        return None
    one, kept = (
        np.ones(site.layout.size["cell"]),
        durable(site, before if before is not None and known else start(site, 0)),
    )
    told = settings.initial_soc is not None
    sigma = ready.cell.model.capacity_sigma if settings.capacity_Ah is None else MEASURED_SIGMA
    sigma = max(sigma, AGED_SIGMA) if settings.learn_capacity else sigma
    return replace(
        kept,
        soc=one * (settings.initial_soc if settings.initial_soc is not None else np.nan),
        soc_sigma=one * (TAILS * settings.initial_sigma if told else np.nan),
        capacity_Ah=kept.capacity_Ah if known else site.capacity_Ah,
        capacity_sigma_Ah=kept.capacity_sigma_Ah if known else sigma * site.capacity_Ah,
        resistance_scale=kept.resistance_scale if known else one,
        latched=(),
        off_s=0.0,
    )


def _learn(site: Config, state: State) -> State:
    """Let the filter count with the capacity that trusted points have shown."""
    assert isinstance(state.estimator, estimators.EstimateState)
    return replace(state, estimator=estimators.adopt_capacity(compiled(site), state.estimator, eager=True))


def _go_on(site: Config, state: State, before: State) -> State:
    """Carry what was learnt of capacity over into another run of the same recording."""
    new, old = state.estimator, before.estimator
    assert isinstance(new, estimators.EstimateState) and isinstance(old, estimators.EstimateState)
    return replace(state, estimator=estimators.go_on(compiled(site), new, old))


class _Feed:
    """Turns rows into Samples: which signal comes from which column, and when a long step is crossed in parts."""

    def __init__(self, ready: Ready) -> None:
        recording, layout = ready.recording, ready.config.layout
        volts = recording.cell_V if recording.cells else recording.voltage_V[:, None] / ready.scale
        columns = {"current": recording.current_A[:, None], "cell_voltage": volts, "temp_degC": recording.temp_degC}
        if ready.config.sensing.present[layout.where["string_voltage"]].any():
            columns["string_voltage"] = recording.voltage_V[:, None]
        self.recording = recording
        self.values = np.concatenate(list(columns.values()), axis=1)
        self.at = np.concatenate([np.arange(layout.size["signal"])[layout.where[name]] for name in columns])
        self.size = layout.size["signal"]
        self.unknown, self.never = np.full(self.size, np.nan), np.full(self.size, NEVER)

    def cycles(self) -> Iterator[tuple[int, int, float]]:
        """Yield (row, row before, share of the way from there): 1 at the row itself."""
        recording = self.recording
        gap, step_s, _ = recordings.gaps(recording)
        long = (step_s > CYCLE_MAX_S) & ~gap
        before = -1
        for row in np.flatnonzero(recording.usable).tolist():
            if long[row]:
                parts = int(np.ceil(step_s[row] / CYCLE_MAX_S))
                yield from ((row, before, k / parts) for k in range(1, parts))
            yield row, before, 1.0
            before = row

    def by_run(self) -> Iterator[tuple[Ints, Floats, Floats, Floats]]:
        """Yield for each run the row, share, time in s and all signals (NaN where not measured) of every cycle."""
        steps = np.array(list(self.cycles()), dtype=np.float64).reshape(-1, 3)
        row, share = steps[:, 0].astype(np.int64), steps[:, 2]
        before = np.where(share == 1.0, row, steps[:, 1].astype(np.int64))
        readings = np.full((row.size, self.size), np.nan)
        readings[:, self.at] = self.values[before] + share[:, None] * (self.values[row] - self.values[before])
        time_s = self.recording.time_s[before] + share * (self.recording.time_s[row] - self.recording.time_s[before])
        edges = np.flatnonzero(np.diff(self.recording.run[row], prepend=-1, append=-1))
        for a, b in pairwise(edges.tolist()):
            yield row[a:b], share[a:b], time_s[a:b], readings[a:b]

    def sample(self, before: int, row: int, share: float, now_ns: int) -> Sample:
        """Return what is measured at a row, or on the straight line to it."""
        value, time_ns = self.unknown.copy(), self.never.copy()
        value[self.at] = self.between(self.values, before, row, share)
        time_ns[self.at] = now_ns
        return Sample(value, time_ns)

    @staticmethod
    def between(x: Floats, before: int, row: int, share: float) -> Floats:
        """Return the value at a share of the way between two rows."""
        return x[row] if share == 1.0 else np.asarray(x[before] + share * (x[row] - x[before]))


class _Record:
    """Collects what each row gives."""

    def __init__(self, rows: int, n_cell: int) -> None:
        self.string = np.full((rows, len(STRING_COLUMNS)), np.nan)
        self.cell = np.full((rows, 2, n_cell), np.nan)
        self.faults = [""] * rows
        self.events: list[tuple[float, Event]] = []
        self.known: dict[bytes, str] = {}
        # a method of the array for packs, its only value for one cell: 10 µs of every row
        names = ("sum", "mean", "max") if n_cell > 1 else ("item",) * 3
        self.reduce: list[Callable[[Floats], float]] = [methodcaller(name) for name in names]

    def keep(self, row: int, state: State, site: Config) -> None:
        """Note the estimate, faults and limits of one row."""
        e, w, (total, mean, most) = state.estimate, state.window, self.reduce
        self.string[row] = (
            e.string_soc.item(), e.string_soc_sigma.item(), total(e.voltage_model), mean(e.resistance_scale),
            e.usable_Ah.item(), most(e.capacity_sigma_Ah), e.charge_10s_W.item(), e.discharge_10s_W.item(),
            w.charge_A.item(), w.discharge_A.item(),
        )  # fmt: skip
        self.cell[row, 0], self.cell[row, 1] = e.soc, e.soc_sigma
        key = state.faults.active.tobytes()
        if key not in self.known:
            self.known[key] = ";".join(
                site.faults.name[k] for k in np.flatnonzero(state.faults.active.any(axis=1)).tolist()
            )
        self.faults[row] = self.known[key]

    def result(self, ready: Ready) -> Replayed:
        """Return the columns of the contract; a mean cell is scaled to its string."""
        by_name = dict(zip(STRING_COLUMNS, self.string.T, strict=True))
        for name in ("voltage_model_V", "power_charge_10s_W", "power_discharge_10s_W"):
            by_name[name] = by_name[name] * ready.scale
        charge_A, discharge_A = by_name.pop("charge_A"), by_name.pop("discharge_A")
        columns = {"time_s": ready.recording.time_s} | by_name
        if ready.recording.cells > 1:
            for k in range(ready.recording.cells):
                columns[f"cell_{k + 1:02d}_soc"] = self.cell[:, 0, k]
                columns[f"cell_{k + 1:02d}_soc_sigma"] = self.cell[:, 1, k]
        return Replayed(ready, columns, self.faults, charge_A, discharge_A, self.events)


STRING_COLUMNS = (
    "soc", "soc_sigma", "voltage_model_V", "resistance_scale", "capacity_Ah", "capacity_sigma_Ah",
    "power_charge_10s_W", "power_discharge_10s_W", "charge_A", "discharge_A",
)  # fmt: skip


def table(result: Replayed) -> dict[str, Floats | list[str]]:
    """Return the output columns in the order of the contract: time, estimates, faults, single cells."""
    columns: dict[str, Floats | list[str]] = {}
    for name, values in result.columns.items():
        columns[name] = values
        if name == "power_discharge_10s_W":
            columns["faults"] = result.faults
    return columns
