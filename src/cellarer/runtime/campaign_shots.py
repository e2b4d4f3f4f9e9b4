"""Injects faults into a settled world, one or two per pack, and says of each what came of it."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cellarer.config import Site, check
from cellarer.config.check import ON_ARRIVAL as AT_ONCE
from cellarer.model.config import Config, Switchgear
from cellarer.model.values import FOREVER, Level
from cellarer.runtime import campaign_world as worlds
from cellarer.runtime.campaign_cases import BY, CASES, MODES, STANDBY, UNSEEN, Case
from cellarer.runtime.campaign_judge import Record
from cellarer.sim.catalogue import BY_NAME, FAULTS
from cellarer.wire.devices.periods import periods_s

TICK_S = 0.005  # phases of injections: a quarter of the cycle
LEAD_S = 0.1
ASK_S = 0.3  # after the start of the fault
ALSO_S = 0.5
PAIR_S = 5.0  # at least
OFF_S = 1.0  # of an intermittent fault; it is there for its row's bound and this much more
MORE_S = 0.4
RAMP_S = 10.0
AFTER_S = 1.0  # watched beyond bound and ramp
ADD_S = 1e-6
ROOM_V = 0.1  # that a collapsing cell must be below a threshold to be seen by it for sure
ROOM_K = 3.0  # the same of a temperature
BETWEEN = np.array([1.06, 0.94])  # a current "between" keeps this far from the limit and from the threshold
BELOW, UNDETECTED = "the world never crossed the threshold", "not detected"
OTHERWISE = "opened, but not by the expected row"
Key = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Shot:
    """One injection and what came of it; times in s after the onset, NaN = never or unknown."""

    subject: str
    fault: str
    mode: str
    shape: str
    row: str  # expected; "" = the fault must be borne
    level: str
    budget_s: float
    bound_s: float  # the worst case that `check --timing` names
    detected_s: float
    reaction_s: float  # with the phase of the cycle, guard and contacts
    by: str  # who was first: control, guard
    slow: bool
    cause: str  # why it counts as missed; "" = it does not

    @property
    def in_budget(self) -> bool:
        """Return whether the reaction came in time."""
        return self.reaction_s <= self.budget_s


@dataclass(frozen=True, slots=True)
class Aim:
    """One pack of a batch: its cases (two in a pair), shape, expected row, and what draws its chances."""

    cases: tuple[Case, ...]
    shape: str
    row: int  # −1 = none
    key: Key


def expected(config: Config, case: Case, mode: str) -> int | None:
    """Return the row that a fault must raise at a site, −1 = none; None: the site cannot show it."""
    table = config.faults
    kind = Switchgear(int(config.switch.kind[0])).name.lower()
    if mode not in case.modes or (case.gear and kind not in case.gear.split()) or not _shows(config, case):
        return None
    if not case.rows:
        return -1
    if case.onset == "spent" and not _tries_soon(config):
        return None
    known = [table.name.index(name) for name in case.rows if name in table.name]
    row = next((r for r in known if table.enabled[r].all()), None)
    if (
        row is not None
        and (case.below or case.drop or case.reaches is not None)
        and np.isnan(_size(config, case, 0, row))
    ):
        return None
    return row


def _cell_V(config: Config) -> tuple[float, float]:
    """Return the rest voltage of a cell as packs are settled, and the catalogue's unit "cell voltage", V."""
    model = config.models[config.cell_kind[0]]
    middle = model.ocv.shape[1] // 2
    rest = np.interp(25.0, model.temp_degC, model.ocv[:, round(worlds.START_SOC * (model.ocv.shape[1] - 1))])
    return float(rest), float(np.interp(25.0, model.temp_degC, model.ocv[:, middle]))


def _tries_soon(config: Config) -> bool:
    """Return whether the precharge resistor is cool enough for the next try at once."""
    switch, volts = config.switch, config.series[0] * _cell_V(config)[1]
    joules = volts * volts / switch.resistor_ohm[0] * switch.precharge_ns[0] * 1e-9
    return bool(joules * switch.tries[0] <= 0.5 * switch.resistor_max_J[0])


def _shows(config: Config, case: Case) -> bool:
    """Return whether what the fault falsifies is measured at all, or is there to be switched."""
    where, present = config.layout.where, config.sensing.present
    effects = BY_NAME[case.fault].effects
    named = [e.signal for e in effects if e.signal in where]
    return not named or any(present[where[name]].any() for name in named) or len(effects) > len(named)


def unseen(config: Config) -> dict[str, str]:
    """Return the faults of the catalogue that are not injected on this site, and why."""
    seen = {case.fault for case in CASES for mode in MODES if expected(config, case, mode) is not None}
    known = {case.fault for case in CASES}
    return {
        f.name: NOTHING if f.name in known else UNSEEN.get(f.name) or BY[f.by] for f in FAULTS if f.name not in seen
    }


NOTHING = "this site measures nothing that shows it, has no such part, or it takes minutes there"


@lru_cache(maxsize=32)
def bounds(site: Site) -> dict[str, float]:
    """Return the worst case of each row of a site's first string, s, as `check --timing` says it."""
    period_s = periods_s(site.file, site.config.layout)
    return {t.row: t.bound_s for t in check.timing(site, period_s) if t.string == 0}


def _size(config: Config, case: Case, string: int, row: int) -> float:
    """Return the size of an injection; NaN = there is none that fits this site."""
    table, limits = config.faults, config.limits
    rated = float(max(limits.rated_charge_A[string], limits.rated_discharge_A[string]))
    at = float(table.sign[row] * table.trip[row, string]) if row >= 0 else float("nan")
    if case.over is not None:
        return case.over * abs(at) / rated
    if case.past is not None or case.drop:
        volts, nominal = _cell_V(config)
        if case.drop:
            return float("nan") if volts - case.drop * nominal > at - ROOM_V else BY_NAME[case.fault].size
        assert case.past is not None
        return (abs(volts - at) + case.past) / nominal
    if case.reaches is not None:
        return BY_NAME[case.fault].size if (case.reaches - at) * table.sign[row] > ROOM_K else float("nan")
    if case.below:
        limit = limits.rated_charge_A if case.below.startswith("charge") else limits.rated_discharge_A
        top = float(abs(table.trip[table.name.index(case.below), string]))
        span = np.array([float(limit[string]), top]) * BETWEEN
        return float(span.mean()) / rated if span[1] > span[0] * 1.02 else float("nan")
    if case.beyond is not None:
        return at + float(table.sign[row]) * case.beyond
    return BY_NAME[case.fault].size if case.size is None else case.size


def watch_s(site: Site, aim: Aim) -> float:
    """Return how long an injection is watched, s."""
    case = aim.cases[0]
    if aim.row < 0 or case.dt_s:
        return case.watch_s
    bound = bounds(site)[site.config.faults.name[aim.row]]
    whole = bound + AFTER_S + (RAMP_S if aim.shape == "ramp" else 0.0)
    if aim.shape == "intermittent":
        whole = max(whole, 2.0 * (bound + MORE_S + OFF_S) if bound < 3.0 else bound + MORE_S + OFF_S)
    return max(case.watch_s, whole)


class Volley:
    """Injections into the packs of one world."""

    def __init__(self, one: Site, made: worlds.World, aims: list[Aim], dt_s: float = 0.0) -> None:
        """Aim. one: the site with one pack; made: a settled world with packs for all aims; dt_s: 0 = its cycle."""
        self.one, self.made, self.aims, self.dt_s = one, made, aims, dt_s or made.cycle_s
        config, strings = made.config, made.config.layout.size["string"]
        self.string = [int(config.layout.first_string[k]) for k in range(len(aims))]
        row, start_ns = np.full(strings, -1), np.full(strings, FOREVER)
        for k, aim in enumerate(aims):
            row[self.string[k]], start_ns[self.string[k]] = aim.row, self._inject(k, aim)
        self.start_ns = start_ns
        made.guards.pace(round(self.dt_s * 1e9))
        self.record = Record(made, start_ns, row)

    def _inject(self, k: int, aim: Aim) -> int:
        """Order the faults of one pack; return when the one that counts begins, ns."""
        made, string, draw = self.made, self.string[k], np.random.default_rng(aim.key)
        start_ns = made.plant.time_ns + round(LEAD_S * 1e9) + int(draw.integers(0, 20)) * round(TICK_S * 1e9)
        site = self.one
        on_s = bounds(site)[made.config.faults.name[aim.row]] + MORE_S if aim.row >= 0 else MORE_S
        counts_ns = start_ns
        for case in aim.cases:
            cell = self._cell(case, string, draw)
            size = _size(made.config, case, string, _own_row(made.config, case, aim))
            made.plant.inject(case.fault, string, cell, size, start_ns * 1e-9, aim.shape, (on_s, OFF_S))
            if case.also is not None:
                counts_ns = start_ns + round(ALSO_S * 1e9)
                made.plant.inject(case.also[0], string, cell, case.also[1], counts_ns * 1e-9)
        return counts_ns

    def _cell(self, case: Case, string: int, draw: np.random.Generator) -> int:
        """Draw the cell of a string that a fault befalls."""
        layout, plant = self.made.config.layout, self.made.plant
        first = int(layout.first_cell[string])
        if not case.at_sensor:
            return int(draw.integers(self.made.config.series[string]))
        probes = plant.fixed.probe[layout.string_of_temp == string]
        return int(np.searchsorted(plant.groups.first, draw.choice(probes), "right")) - 1 - first

    def play(self, seconds: float) -> None:
        """Let the world run."""
        asked = {name: np.full(self.made.config.layout.size["pack"], FOREVER) for name in ("open", "close")}
        for k, aim in enumerate(self.aims):
            if len(aim.cases) == 1 and aim.cases[0].ask:
                asked[aim.cases[0].ask][k] = self.start_ns[self.string[k]] + round(ASK_S * 1e9)
        worlds.play(self.made, LEAD_S + seconds, self.dt_s, asked, self.record.watch)

    def shots(self, subject: str, mode: str) -> list[Shot]:
        """Return what came of each single injection."""
        return [self._judge(k, aim, subject, mode) for k, aim in enumerate(self.aims) if len(aim.cases) == 1]

    def _judge(self, k: int, aim: Aim, subject: str, mode: str) -> Shot:
        case, table, string = aim.cases[0], self.made.config.faults, self.string[k]
        if aim.row < 0:
            return self._borne(string, case, aim.shape, subject, mode)
        row, onset_by = aim.row, case.onset
        if case.fuse and self.made.plant.fuse.blown[string]:  # the current is gone; the open string is left to see
            row, onset_by = table.name.index(case.fuse), "start"
        if self._led(string, row, case):
            row, onset_by = table.name.index(case.leads_to), "start"
        detected, onset, by = self._detected(string, row, onset_by, aim.shape)
        level = Level.DERATE if case.limit else Level(int(table.level[row]))
        first = {name: int(at[string]) for name, at in self.record.first.items()}
        if case.limit:
            detected, by = first[f"no {case.limit}"], "control"
        reaction = self._reaction(string, level, detected, first, case, mode)
        if by == "guard" and int(self.record.active_ns[row, string]) <= reaction and table.signal[row] not in AT_ONCE:
            by = "control"  # the guard said so first, but waited for the current to fall, and control opened
        late_s = (reaction - onset) * 1e-9 + self._after_s(aim, level, by, mode)
        budget_s, bound_s = self._allowed(table.name[row], float(table.budget_ns[row]) * 1e-9)
        # The bound holds for what sound sensors must show; what was seen earlier it says nothing of
        bound_s = float("nan") if onset_by == "truth" and onset < first["crossed"] else bound_s + case.dt_s
        known = onset < FOREVER
        cause = self._cause(detected, reaction, onset, late_s - budget_s, level, case, first, mode)
        return Shot(
            subject, case.fault, mode, aim.shape, table.name[row], level.name.lower(), budget_s, bound_s,
            max((detected - onset) * 1e-9, 0.0) if known and detected < FOREVER else float("nan"),
            max(late_s, 0.0) if known and reaction < FOREVER else float("nan"), by, case.dt_s > 0.0, cause,
        )  # fmt: skip

    def _led(self, string: int, row: int, case: Case) -> bool:
        """Return whether another row that the fault really reaches was raised before the expected one."""
        if not case.leads_to:
            return False
        active_ns = self.record.active_ns[:, string]
        return bool(active_ns[self.made.config.faults.name.index(case.leads_to)] < active_ns[row])

    def _detected(self, string: int, row: int, onset_by: str, shape: str) -> tuple[int, int, str]:
        """Return when the expected row, or the guard's rule for the same, said so; the onset; and who it was."""
        record, name = self.record, self.made.config.faults.name[row]
        control, guard = int(record.active_ns[row, string]), int(record.first["guard"][string])
        detected, by = (guard, "guard") if guard <= control else (control, "control")
        first = {x: int(at[string]) for x, at in record.first.items()}
        start = int(record.start_ns[string])
        named = {"start": start, "truth": first["crossed"], "open": first["none"]}
        onset = named[onset_by] if onset_by in named else first[onset_by]
        if onset_by == "start" and shape == "ramp":  # what sensors falsely say crosses the threshold on the way
            bad, period_s = int(record.bad_ns[string]), self._period_s(name)
            onset = max(bad - round(period_s * 1e9), start) if bad < FOREVER else start
        if onset_by == "truth" and detected < onset:  # seen before sound sensors must show it
            onset = min(first["touched"], detected)
        return detected, onset, by

    def _period_s(self, name: str) -> float:
        return check.slowest_s(self.one, name, periods_s(self.one.file, self.one.config.layout))

    def _reaction(
        self, string: int, level: Level, detected: int, first: dict[str, int], case: Case, mode: str
    ) -> int:  # fmt: skip
        """Return when the reaction that the level asks for was there, FOREVER = never."""
        if level == Level.DERATE and not case.limit and mode != STANDBY:
            return max(detected, first["less"])
        if level < Level.RAMP or detected == FOREVER:
            return detected
        if case.ask or mode == STANDBY:
            return detected if self.record.off[string] or not self._geared(string) else FOREVER
        return first["off"] if self._geared(string) else first["zero"]

    def _geared(self, string: int) -> bool:
        return bool(self.made.config.switch.kind[string] != Switchgear.NONE)

    def _after_s(self, aim: Aim, level: Level, by: str, mode: str) -> float:
        """Return what a run in whole cycles leaves out, s: its phase against the cycle, the guard's look, contacts."""
        draw = np.random.default_rng((*aim.key, 1))
        phase, look = draw.uniform(size=2)
        cycle_s = self.made.config.cycle_ns * 1e-9
        opens = level >= Level.RAMP and mode != STANDBY and self.one.file.pack[0].switchgear.kind != "none"
        opening_s = self.one.file.pack[0].switchgear.opening_ms * 1e-3 if opens else 0.0
        return (cycle_s * phase if by == "control" else 0.0) + check.GUARD_S * look + opening_s

    def _allowed(self, row: str, budget_s: float) -> tuple[float, float]:
        """Return budget and bound. A pack that protects itself has as long as its wire needs: we only narrow."""
        bound_s = bounds(self.one).get(row, float("nan"))
        return (budget_s if self.one.file.pack[0].switchgear.kind != "none" else max(budget_s, bound_s)), bound_s

    def _cause(
        self, detected: int, reaction: int, onset: int, over_s: float, level: Level, case: Case,
        first: dict[str, int], mode: str,
    ) -> str:  # fmt: skip
        if detected == FOREVER and first["off"] < FOREVER and mode != STANDBY and not case.ask:
            return OTHERWISE
        if detected == FOREVER:
            return BELOW if onset == FOREVER else UNDETECTED
        if reaction == FOREVER:
            return "detected, but no reaction"
        if level < Level.RAMP and not case.may and not case.ask and mode != STANDBY and first["off"] < FOREVER:
            return "opened, where less was right"
        return "late" if onset < FOREVER and over_s > ADD_S else ""

    def _borne(self, string: int, case: Case, shape: str, subject: str, mode: str) -> Shot:
        """Judge a fault that nothing may answer."""
        record, table = self.record, self.made.config.faults
        raised = (record.active_ns[:, string] < FOREVER) & (table.level >= Level.WARN)
        off = record.first["off"][string] < FOREVER and record.held[string]
        cause = "opened, where nothing was right" if off else ""
        if raised.any() and not cause:
            cause = f"raised {table.name[int(np.flatnonzero(raised)[0])]}, where nothing was right"
        nan = float("nan")
        return Shot(subject, case.fault, mode, shape, "", "none", nan, nan, nan, nan, "", False, cause)

    def broken(self, k: int) -> dict[str, int]:
        """Return the rules that were broken in a pack, and in how many cycles."""
        return dict(self.record.broken[self.string[k]])


def _own_row(config: Config, case: Case, aim: Aim) -> int:
    """Return the row that a case's size is counted from; in a pair each has its own."""
    if case is aim.cases[0]:
        return aim.row
    found = next((r for r in case.rows if r in config.faults.name), None)
    return -1 if found is None else config.faults.name.index(found)
