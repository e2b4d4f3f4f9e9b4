"""Switchgear: minus → precharge → measured ΔV and current → plus → settle → closed, and every way back to open.

Contactor pairs, common-port FETs and separate ports are rules of one table. Opening is reachable from every phase in
one cycle and asks nobody. Closing needs: a wish, every measurement known now, no active or latched fault on the path,
an authority that lets us switch, tries left, a cool precharge resistor, and a bus that is near in voltage (join.py).
Under-voltage leaves one way back: with a charger present the pair may close for charging only. Values: facts of foxBMS
(bms_cfg.h) in the site schema.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cellarer.core.decide.join import Joins, buses, join
from cellarer.core.decide.look import CARRIES, once
from cellarer.core.decide.machine import ANY, Rule, Table
from cellarer.core.decide.protect import BOTH_WAYS, Demand
from cellarer.core.decide.signals import Look, has_switchgear
from cellarer.model.config import RESTART, SENSOR_SHARE, Authority, Config, Switchgear, SwitchTable
from cellarer.model.events import apart_from_bus
from cellarer.model.values import FOREVER, Bools, Event, Floats, Ints, Phase, Switches, Wishes, renew

P, C = Phase, Switchgear.CONTACTORS
OPEN, PRECHARGE, COOLING, SWITCH = int(P.OPEN), int(P.PRECHARGE), int(P.COOLING), int(Authority.SWITCH)
FAULT, ASKED, ABORTED = "fault", "opening requested", "closing aborted"  # of TABLE: told with what is behind them
TIMEOUT_NS = 500_000_000  # for a contact to follow its coil (foxBMS: string close time-out 500 ms)
VOLUNTARY_RAMP_NS = 10_000_000_000  # inverters in the field answer within 1 to 10 s
REST_S = 0.3  # time constant of the mean current of an open string
TRUSTED_NS = 1_000_000_000  # that measurements must have been known before anything closes; as long as the guard asks
FORGET_NS = 86_400_000_000_000  # a pair that was open for so long lost its charge elsewhere (own estimate)
PROOF_NS = 1_000_000_000  # opening must be proven by contacts and current within this time (foxBMS: 1000 ms)


def _paths(kind: int) -> list[Rule]:
    """Rules of switchgear with one switch per direction: FETs and separate ports.

    A path that must open goes first; a path is added only by what closing asks for. FETs open under load as they are;
    contacts of separate ports wait for their own current after their limit has gone to zero, as a pair does.
    """
    both, charge, discharge = P.CLOSED, P.CHARGE_ONLY, P.DISCHARGE_ONLY
    ports = kind == Switchgear.SEPARATE
    must, after = ("due", (P.CHARGE_RAMP, P.DISCHARGE_RAMP)) if ports else ("blocked", (P.OPENING, P.OPENING))
    return [
        Rule(kind, both, f"{must} both", P.OPENING, "fault"),
        Rule(kind, both, f"{must} discharge", charge, "fault"),
        Rule(kind, both, f"{must} charge", discharge, "fault"),
        Rule(kind, both, "no wish", P.RAMP, "opening requested"),
        Rule(kind, charge, f"{must} charge", P.OPENING, "fault"),
        Rule(kind, charge, "no wish", after[0], "opening requested"),
        Rule(kind, charge, "join both", both, "discharge allowed again"),
        Rule(kind, discharge, f"{must} discharge", P.OPENING, "fault"),
        Rule(kind, discharge, "no wish", after[1], "opening requested"),
        Rule(kind, discharge, "join both", both, "charge allowed again"),
        Rule(kind, P.RAMP, "open now", P.OPENING, "fault"),
        Rule(kind, P.OPEN, "join both", both, "close requested"),
        Rule(kind, P.OPEN, "join charge", charge, "close requested"),
        Rule(kind, P.OPEN, "join discharge", discharge, "close requested"),
    ]


RAMPS = (P.RAMP, P.CHARGE_RAMP, P.DISCHARGE_RAMP)
TABLE = Table(
    [
        Rule(C, P.MINUS, "abort", P.OPENING, "closing aborted"),
        Rule(C, P.PRECHARGE, "abort", P.OPENING, "closing aborted"),
        Rule(C, P.PLUS, "abort", P.OPENING, "closing aborted"),
        Rule(C, P.CLOSED, "open now", P.OPENING, "fault"),
        Rule(C, P.CHARGE_ONLY, "open charge", P.OPENING, "fault"),
        Rule(C, P.CHARGE_ONLY, "refill over", P.OPENING, "the charger is gone"),
        Rule(C, P.RAMP, "open now", P.OPENING, "fault"),
        Rule(C, P.OPEN, "start pair", P.MINUS, "close requested"),
        Rule(C, P.MINUS, "minus closed", P.PRECHARGE, "minus settled"),
        Rule(C, P.MINUS, "timeout", P.COOLING, "minus did not close"),
        Rule(C, P.PRECHARGE, "precharged", P.PLUS, "voltage and current within bounds"),
        Rule(C, P.PRECHARGE, "precharge over", P.COOLING, "precharge took too long or too hot"),
        Rule(C, P.PLUS, "plus closed both", P.CLOSED, "plus settled"),
        Rule(C, P.PLUS, "plus closed", P.CHARGE_ONLY, "plus settled, discharge blocked"),
        Rule(C, P.PLUS, "timeout", P.COOLING, "plus did not close"),
        Rule(C, P.CLOSED, "ramp", P.RAMP, "fault"),
        Rule(C, P.CHARGE_ONLY, "ramp charge", P.RAMP, "fault"),
        Rule(C, P.CLOSED, "no wish", P.RAMP, "opening requested"),
        Rule(C, P.CHARGE_ONLY, "no wish", P.RAMP, "opening requested"),
        Rule(C, P.CHARGE_ONLY, "start both", P.CLOSED, "discharge allowed again"),
        *_paths(Switchgear.FETS),
        *_paths(Switchgear.SEPARATE),
        Rule(ANY, P.CHARGE_RAMP, "open charge", P.OPENING, "fault"),
        Rule(ANY, P.DISCHARGE_RAMP, "open discharge", P.OPENING, "fault"),
        *[Rule(ANY, phase, "quiet", P.OPENING, "current below break rating") for phase in RAMPS],
        Rule(ANY, P.RAMP, "ramp over", P.OPENING, "current did not fall in time"),
        Rule(ANY, P.CHARGE_RAMP, "charge ramp over", P.OPENING, "current did not fall in time"),
        Rule(ANY, P.DISCHARGE_RAMP, "discharge ramp over", P.OPENING, "current did not fall in time"),
        Rule(ANY, P.OPENING, "opened", P.OPEN, "proven open"),
        Rule(ANY, P.OPENING, "proof over", P.OPEN, "opening not proven"),
        Rule(ANY, P.COOLING, "cooled", P.OPEN, "ready for the next try"),
    ]
)

# minus, precharge, plus, charge switch, discharge switch: (output, kind, phase)
_OUTPUTS = np.zeros((5, len(Switchgear), len(Phase)), bool)
_OUTPUTS[:, C, P.MINUS] = (1, 0, 0, 0, 0)
_OUTPUTS[:, C, P.PRECHARGE] = (1, 1, 0, 0, 0)
_OUTPUTS[:, C, P.PLUS] = (1, 1, 1, 0, 0)
for _phase in (P.CLOSED, P.CHARGE_ONLY, P.RAMP):
    _OUTPUTS[:, C, _phase] = (1, 0, 1, 0, 0)
for _kind in (Switchgear.FETS, Switchgear.SEPARATE):
    for _phase in (P.CLOSED, P.RAMP):
        _OUTPUTS[:, _kind, _phase] = (0, 0, 0, 1, 1)
    for _phase in (P.CHARGE_ONLY, P.CHARGE_RAMP):
        _OUTPUTS[:, _kind, _phase] = (0, 0, 0, 1, 0)
    for _phase in (P.DISCHARGE_ONLY, P.DISCHARGE_RAMP):
        _OUTPUTS[:, _kind, _phase] = (0, 0, 0, 0, 1)
MAIN = np.array([[0], [2], [3], [4]])  # outputs that carry the whole current


def outputs(config: Config, switches: Switches) -> Bools:
    """Return (5, string): minus, precharge, plus, charge switch, discharge switch."""
    return _outputs(config, switches.phase.astype(np.int8, copy=False).tobytes())


@lru_cache(maxsize=4)  # strings stay in their phases for long
def _outputs(config: Config, phases: bytes) -> Bools:
    return _OUTPUTS[:, config.switch.kind, np.frombuffer(phases, np.int8)]


def start(config: Config, now_ns: int) -> Switches:
    """Return switchgear that is open, with no history."""
    n = config.layout.size["string"]
    zero, counts = np.zeros(n), np.zeros(n, np.int64)
    unknown, calm, never = np.full(n, np.nan), np.full((2, n), FOREVER), np.full(n, FOREVER)
    return Switches(
        np.zeros(n, np.int8), np.full(n, now_ns), counts, zero, counts, counts, zero, unknown, calm, zero, zero, never,
        np.full((2, n), np.nan), unknown,
    )  # fmt: skip


def trusted(look: Look) -> Bools:
    """Return (string,): every signal that a closing decision rests on is known now; absent signals are not asked."""
    ok = ~np.isnan(look.seen.value) | ~look.config.sensing.present
    if ok.all():
        return look.config.layout.yes
    return np.logical_and.reduce(list(_rests_on(look.config, ok).values()))


def _rests_on(config: Config, ok: Bools) -> dict[str, Bools]:
    """Return by signal, (string,) each, whether all of it that a string's closing rests on is ok, (signal,)."""
    layout, where = config.layout, config.layout.where
    found = {
        "cell_voltage": layout.every(ok[where["cell_voltage"]]),
        "temp_degC": layout.over_temps(np.logical_and, ok[where["temp_degC"]], True).astype(bool),
    }
    of_string = ("current", "string_voltage", "link_voltage", "cell_voltage_high", "cell_voltage_low")
    found |= {name: ok[where[name]] for name in of_string}
    of_pack = ("emergency_stop", "interlock_open", "crash", "insulation")
    return found | {name: ok[where[name]][layout.pack_of_string] for name in of_pack}


def sequence(look: Look, demand: Demand, wishes: Wishes, reset: Bools) -> tuple[Switches, list[Event]]:
    """Advance all switchgear by one cycle. Returns the new memory and one event per string that changed phase.

    reset: (string,) an authorised reset gives back the precharge tries.
    """
    before = look.state.switches
    if np.count_nonzero(reset):
        before = renew(before, tries=np.where(reset, 0, before.tries))
    if not has_switchgear(look.config):
        return before, []
    before = _trusting(look, _resting(look, _ramping(look, _refilling(look, before, reset), demand)))
    waits = _waits(look, before, wishes)
    facts = Facts(look, before, demand, wishes)
    phase, rule = TABLE.advance(look.config.switch.kind, before.phase, lambda name: CONDITIONS[name](facts))
    if buses(look.config).any:
        before, apart = _apart(facts, phase == before.phase)
        waits += apart
    heated = _resistor(look, before)
    if heated is not before.resistor_J:
        before = renew(before, resistor_J=heated)
    if phase is before.phase:
        return before, waits
    after, events = _account(facts, before, phase, rule)
    return after, waits + events


def _ramping(look: Look, before: Switches, demand: Demand) -> Switches:
    """Remember since when faults ramp a path: contacts wait for their current, but not for ever."""
    if not np.count_nonzero(demand.ramp) and (before.ramp_ns == FOREVER).all():
        return before
    return renew(before, ramp_ns=np.where(demand.ramp, np.minimum(before.ramp_ns, look.now_ns), FOREVER))


def _refilling(look: Look, before: Switches, reset: Bools) -> Switches:
    """Remember the highest that the lowest cell stood at since charge last came into a pair closed to be charged only.

    It is kept while the pair is open: a charger that comes and goes shall not hide what a load takes in between.
    """
    phase, low, best = before.phase, look.extremes[1], before.refill_V
    only = (phase == P.CHARGE_ONLY) & (look.config.switch.kind == C)
    if not np.count_nonzero(only) and np.isnan(best).all():
        return before
    over = reset | (phase == P.CLOSED) | ((phase == OPEN) & (look.now_ns - before.since_ns >= FORGET_NS))
    best = np.where(over, np.nan, best)
    limits, mean_A = look.config.limits, look.watch.response.mean_A  # what resistance makes goes as a charge ends
    sure_A = SENSOR_SHARE * np.maximum(limits.rated_charge_A, limits.rated_discharge_A)
    begins = np.isnan(best) | (np.maximum(look.current, mean_A) > sure_A) | (low > best)
    return renew(before, refill_V=np.where(only & begins, low, best))


def _resting(look: Look, before: Switches) -> Switches:
    """Average the current of an open string, and how sure that is: whether one flows, and where precharge counts from.

    The noise is taken from successive samples: a current that begins to flow is no noise.
    """
    time_ns, then_ns = look.time_ns("current"), look.state.seen.time_ns[look.config.layout.where["current"]]
    open_ = (before.phase == OPEN) | (before.phase == COOLING)
    before_A = look.state.seen.value[look.config.layout.where["current"]]
    resting = open_ & ~np.isnan(look.current) & ~np.isnan(before_A) & (time_ns > then_ns)  # a first sample may be wild
    resting &= look.in_phase(time_ns)
    if not np.count_nonzero(resting):
        return before
    share = np.clip((time_ns - then_ns) * 1e-9 / REST_S, 0.0, 1.0)
    step = look.current - before_A
    mean = before.rest_A + share * (look.current - before.rest_A)
    variance = (1.0 - share) ** 2 * before.rest_variance + share**2 * 0.5 * step**2
    return renew(
        before,
        rest_A=np.where(resting, mean, before.rest_A),
        rest_variance=np.where(resting, variance, before.rest_variance),
    )


def _trusting(look: Look, before: Switches) -> Switches:
    """Remember since when all that closing rests on has been known."""
    since_ns = np.where(trusted(look), np.minimum(before.trusted_ns, look.now_ns), FOREVER)
    return renew(before, trusted_ns=since_ns) if np.count_nonzero(since_ns != before.trusted_ns) else before


def _waits(look: Look, now: Switches, wishes: Wishes) -> list[Event]:
    """Say why a wished closing waits, once: when it is wished, and when what it rests on is lost."""
    pack, was = look.config.layout.pack_of_string, look.state.switches.trusted_ns
    blind = now.trusted_ns == FOREVER
    begins = ~look.state.wishes.closed[pack] | (was < FOREVER)
    waits = np.flatnonzero(blind & begins & wishes.closed[pack] & (now.phase == P.OPEN))
    if not waits.size:
        return []
    ok = ~np.isnan(look.seen.value) | ~look.config.sensing.present
    rests_on = _rests_on(look.config, ok)
    unknown = [", ".join(name for name, known in rests_on.items() if not known[s]) for s in waits]
    return [
        Event(look.now_ns, "system", "closing waits", int(s), -1, np.nan, np.nan, f"unknown: {names}")
        for s, names in zip(waits, unknown, strict=True)
    ]


@dataclass(frozen=True)
class Facts:
    """What the conditions are made of, (string,) each; worked out when first asked for."""

    look: Look
    before: Switches
    demand: Demand
    wishes: Wishes

    @property
    def table(self) -> SwitchTable:
        return self.look.config.switch

    @once
    def held_ns(self) -> Ints:
        """How long the phase has lasted."""
        return self.look.now_ns - self.before.since_ns

    @once
    def settled(self) -> Bools:
        return self.held_ns >= self.table.settle_ns

    @once
    def wish(self) -> Bools:
        return self.wishes.closed[self.look.config.layout.pack_of_string]

    @once
    def ready(self) -> Bools:
        """Closing is wished, confirmed, ours to do, and rests on what has been known for long enough."""
        confirmed = self.wishes.confirmed[self.look.config.layout.pack_of_string]
        known = self.look.now_ns - self.before.trusted_ns >= TRUSTED_NS
        return self.wish & known & (self.table.authority == SWITCH) & confirmed

    @once
    def free(self) -> Bools:
        """(way, string): no fault on the path."""
        return ~self.demand.blocked

    @once
    def due(self) -> Bools:
        """(way, string): a path must open now: its fault does not ramp, its current has fallen, or it never will."""
        along = np.array((self.look.current, -self.look.current))
        waited = self.look.now_ns - self.before.ramp_ns >= self.table.open_delay_ns
        return self.demand.open | (self.demand.ramp & ((along <= self.table.break_A) | waited))

    @once
    def charger(self) -> Bools:
        return self.look.of("charger_present")[self.look.config.layout.pack_of_string] == 1.0

    @property
    def pair(self) -> Bools:
        """A contactor pair may be closed: both paths are free, or the charge path is and a charger is there."""
        charge, discharge = self.free
        return charge & (discharge | self.charger)

    @property
    def cool(self) -> Bools:
        return self.before.resistor_J <= RESTART * self.table.resistor_max_J

    @property
    def starts(self) -> Bools:
        """A contactor pair may begin to close."""
        return self.ready & self.pair & self.cool & (self.before.tries < self.table.tries)

    @property
    def both(self) -> Bools:
        return self.ready & self.free[0] & self.free[1]

    @once
    def precharged(self) -> Bools:
        return self.settled & _precharged(self.look)

    @once
    def joins(self) -> Joins:
        """Who may join what is on the bus, of those whom nothing else keeps from closing."""
        phase, pair = self.before.phase, self.table.kind == C
        starts = np.where(pair, self.starts, self.ready & (self.free[0] | self.free[1])) & (phase == OPEN)
        adds = ~pair & self.both & ((phase == P.CHARGE_ONLY) | (phase == P.DISCHARGE_ONLY))
        plus = pair & self.precharged & (phase == PRECHARGE)
        return join(self.look, self.demand, phase, starts | adds | plus)

    @once
    def plus(self) -> Bools:
        return self.settled & _closed(self.look, "feedback_plus")


CONDITIONS: dict[str, Callable[[Facts], Bools]] = {
    "open now": lambda f: f.demand.open[0] | f.demand.open[1],
    "open charge": lambda f: f.demand.open[0],
    "open discharge": lambda f: f.demand.open[1],
    "abort": lambda f: ~(f.wish & f.pair),
    "ramp": lambda f: f.demand.ramp[0] | f.demand.ramp[1],
    "ramp charge": lambda f: f.demand.ramp[0],
    "no wish": lambda f: ~f.wish,
    "start pair": lambda f: f.starts & f.joins.may,
    "start both": lambda f: f.both,
    "join both": lambda f: f.both & f.joins.may,
    "join charge": lambda f: f.ready & f.free[0] & ~f.free[1] & f.joins.may,
    "join discharge": lambda f: f.ready & f.free[1] & ~f.free[0] & f.joins.may,
    "blocked charge": lambda f: ~f.free[0],
    "blocked discharge": lambda f: ~f.free[1],
    "blocked both": lambda f: ~(f.free[0] | f.free[1]),
    "due charge": lambda f: f.due[0],
    "due discharge": lambda f: f.due[1],
    "due both": lambda f: f.due[0] & f.due[1],
    "refill over": lambda f: ~f.charger & ~f.free[1],
    "minus closed": lambda f: f.settled & _closed(f.look, "feedback_minus"),
    "plus closed": lambda f: f.plus,
    "plus closed both": lambda f: f.plus & f.free[0] & f.free[1],
    "timeout": lambda f: f.held_ns >= f.table.settle_ns + TIMEOUT_NS,
    "precharged": lambda f: f.precharged & f.joins.may,
    "precharge over": lambda f: (f.held_ns >= f.table.precharge_ns) | (f.before.resistor_J >= f.table.resistor_max_J),
    "quiet": lambda f: np.abs(f.look.current) <= f.table.break_A,
    "ramp over": lambda f: _over(f, f.free[0] & f.free[1]),
    "charge ramp over": lambda f: _over(f, f.free[0]),
    "discharge ramp over": lambda f: _over(f, f.free[1]),
    "opened": lambda f: f.settled & _opened(f.look) & (np.abs(f.look.current) <= f.look.config.idle_A),
    "proof over": lambda f: f.held_ns >= PROOF_NS,
    "cooled": lambda f: (f.held_ns >= f.table.pause_ns) & f.cool,
}


def _apart(facts: Facts, stays: Bools) -> tuple[Switches, list[Event]]:
    """Remember which closing waits for the voltage of the bus, and say so once. stays: (string,) in its phase."""
    before, joins = facts.before, facts.joins
    told = facts.wish & stays & ~np.isnan(before.apart_V[1])
    now = np.where(joins.waits, joins.apart_V, np.where(told, before.apart_V, np.nan))
    if np.isnan(now[1]).all() and np.isnan(before.apart_V[1]).all():
        return before, []
    news = [(int(s), *now[:, s].tolist()) for s in np.flatnonzero(joins.waits & ~told)]
    events = [
        Event(facts.look.now_ns, "system", "closing waits", s, -1, apart_V, limit_V, apart_from_bus(apart_V, limit_V))
        for s, apart_V, limit_V in news
    ]
    return renew(before, apart_V=now), events


def _over(facts: Facts, free: Bools) -> Bools:
    """Return whether the wait for the current has lasted: short under a fault, longer when a person asked."""
    return facts.held_ns >= np.where(free, VOLUNTARY_RAMP_NS, facts.table.open_delay_ns)


def _closed(look: Look, feedback: str) -> Bools:
    """Return whether a contact is proven closed; without feedback time alone must do."""
    return ~look.config.switch.has_feedback | (look.of(feedback) == 1.0)


def _opened(look: Look) -> Bools:
    present, closed, _, _ = look.contacts
    return (~present | (closed == 0.0)).all(axis=0)


def _precharged(look: Look) -> Bools:
    """|ΔV| and |I| are both below their bounds, measured after the precharge contactor closed.

    The current counts from what the sensor showed with everything open, as far as that can be its zero and no current.
    """
    table, before = look.config.switch, look.state.switches
    delta = np.abs(look.of("string_voltage") - look.of("link_voltage"))
    fresh = (look.time_ns("link_voltage") > before.since_ns) & (look.time_ns("current") > before.since_ns)
    idle = look.config.idle_A
    calm = np.abs(look.current - np.clip(before.rest_A, -idle, idle)) <= table.precharge_A
    near = fresh & (delta <= table.precharge_V) & calm
    blind = (look.now_ns - before.since_ns) >= table.precharge_ns // 2
    return np.where(table.has_link_voltage, near, blind & calm)


def _resistor(look: Look, before: Switches) -> Floats:
    """Return the heat in the precharge resistor, J, after this cycle.

    An unknown link counts as a dead short, an unknown string as full. Where the resistor is not known it bears what the
    site lets it do: all tries in a row, each as long as it may be, leave it as hot as it may be for another one.
    """
    table = look.config.switch
    dt = (look.now_ns - look.state.time_ns) * 1e-9
    in_use, known = (before.phase == PRECHARGE) & (table.kind == C), ~np.isnan(table.resistor_ohm)
    if not np.count_nonzero(in_use) and not np.count_nonzero(before.resistor_J):
        return before.resistor_J
    string, link = look.of("string_voltage"), look.of("link_voltage")
    string = np.where(np.isnan(string), look.config.series * look.config.limits.charge_zero_V, string)
    drop = np.where(np.isnan(link), string, string - link)
    declared = RESTART * table.resistor_max_J / (table.tries * table.precharge_ns * 1e-9)
    power = np.where(in_use, np.where(known, drop * drop / np.where(known, table.resistor_ohm, 1.0), declared), 0.0)
    return np.maximum(before.resistor_J + (power - table.resistor_W) * dt, 0.0)


def _account(facts: Facts, before: Switches, phase: np.ndarray, rule: Ints) -> tuple[Switches, list[Event]]:
    """Count tries, closings and wear for the strings that changed, and say why they did. before: as it is by now."""
    look = facts.look
    table, now_ns = look.config.switch, look.now_ns
    moved = phase != before.phase
    current = np.abs(look.current)
    failed, into_closed = moved & (phase == P.COOLING), moved & np.isin(phase, (P.CLOSED, P.CHARGE_ONLY))
    was_closed = np.isin(before.phase, (P.CLOSED, P.CHARGE_ONLY, P.DISCHARGE_ONLY, P.PLUS, *RAMPS))
    fell = (_OUTPUTS[MAIN, table.kind, before.phase] & ~_OUTPUTS[MAIN, table.kind, phase]).any(axis=0)
    breaks = moved & was_closed & fell
    share = np.where(breaks & ~np.isnan(current), (current / table.life_A) ** 2, 0.0)
    after = Switches(
        phase=phase,
        since_ns=np.where(moved, now_ns, before.since_ns),
        tries=np.where(into_closed, 0, before.tries + failed),
        resistor_J=before.resistor_J,
        closings=before.closings + (into_closed & ~was_closed | (into_closed & (before.phase == P.PLUS))),
        openings_under_load=before.openings_under_load + (breaks & (current > table.break_A)),
        wear=before.wear + share,
        opened_A=np.where(breaks, current, before.opened_A),
        ramp_ns=before.ramp_ns,
        rest_A=before.rest_A,
        rest_variance=before.rest_variance,
        trusted_ns=before.trusted_ns,
        apart_V=before.apart_V,
        refill_V=before.refill_V,
    )
    events = [
        Event(
            now_ns,
            "switch",
            f"{Phase(before.phase[s]).name.lower()} → {Phase(phase[s]).name.lower()}",
            int(s),
            -1,
            float(look.current[s]),
            np.nan,
            _cause(facts, int(s), TABLE.rules[rule[s]]),
        )
        for s in np.flatnonzero(moved)
    ]
    return after, events


def _cause(facts: Facts, string: int, rule: Rule) -> str:
    """Return why a string goes where a rule sends it, with the rows that demand it or whose latch ended the wish."""
    config, kind = facts.look.config, facts.table.kind[string]
    loses = CARRIES[:, kind, facts.before.phase[string]] & ~CARRIES[:, kind, rule.target]
    why = facts.demand.rows(config, string, loses if loses.any() else BOTH_WAYS)
    if not facts.wish[string] and (rule.cause == ASKED or not why):
        lock = facts.demand.locks(config, string)
        why = f"{lock} must be reset first" if lock else ASKED
    if rule.cause in (FAULT, ASKED):
        return why or rule.cause
    if rule.cause == ABORTED:
        return f"{rule.cause}: {why}" if why else rule.cause
    return f"{why}; {rule.cause}" if why and rule.source in RAMPS else rule.cause
