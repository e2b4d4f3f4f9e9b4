"""Switchgear: minus → precharge → measured ΔV and current → plus → settle → closed, and every way back to open.

Contactor pairs, common-port FETs and separate ports are rules of one table. Opening is reachable from every phase in
one cycle and asks nobody. Closing needs: a wish, every measurement known now, no active or latched fault on the path,
an authority that lets us switch, tries left and a cool precharge resistor. Under-voltage leaves one way back: with a
charger present the pair may close for charging only. Values: facts of foxBMS (bms_cfg.h) in the site schema.
"""

from dataclasses import replace

import numpy as np

from cellarer.core.decide.machine import ANY, Rule, Table
from cellarer.core.decide.protect import Demand
from cellarer.core.decide.signals import Look
from cellarer.model.config import Authority, Config, Switchgear
from cellarer.model.values import Bools, Event, Floats, Ints, Phase, Switches, Wishes

P, C = Phase, Switchgear.CONTACTORS
PRECHARGE, SWITCH = int(P.PRECHARGE), int(Authority.SWITCH)
VOLUNTARY_RAMP_NS = 10_000_000_000  # inverters in the field answer within 1 to 10 s
PROOF_NS = 1_000_000_000  # opening must be proven by contacts and current within this time (foxBMS: 1000 ms)


def _paths(kind: int) -> list[Rule]:
    """Rules of switchgear with one switch per direction: FETs and separate ports.

    A path that must open goes first; a path is added only by what closing asks for. One path alone opens without a
    ramp, because in RAMP both would be closed.
    """
    both, charge, discharge = P.CLOSED, P.CHARGE_ONLY, P.DISCHARGE_ONLY
    return [
        Rule(kind, both, "blocked both", P.OPENING, "fault"),
        Rule(kind, both, "blocked discharge", charge, "fault"),
        Rule(kind, both, "blocked charge", discharge, "fault"),
        Rule(kind, both, "no wish", P.RAMP, "opening requested"),
        Rule(kind, charge, "blocked charge", P.OPENING, "fault"),
        Rule(kind, charge, "no wish", P.OPENING, "opening requested"),
        Rule(kind, charge, "start both", both, "discharge allowed again"),
        Rule(kind, discharge, "blocked discharge", P.OPENING, "fault"),
        Rule(kind, discharge, "no wish", P.OPENING, "opening requested"),
        Rule(kind, discharge, "start both", both, "charge allowed again"),
        Rule(kind, P.RAMP, "open now", P.OPENING, "fault"),
        Rule(kind, P.OPEN, "start both", both, "close requested"),
        Rule(kind, P.OPEN, "start charge", charge, "close requested"),
        Rule(kind, P.OPEN, "start discharge", discharge, "close requested"),
    ]


TABLE = Table(
    [
        Rule(C, P.MINUS, "abort", P.OPENING, "closing aborted"),
        Rule(C, P.PRECHARGE, "abort", P.OPENING, "closing aborted"),
        Rule(C, P.PLUS, "abort", P.OPENING, "closing aborted"),
        Rule(C, P.CLOSED, "open now", P.OPENING, "fault"),
        Rule(C, P.CHARGE_ONLY, "open charge", P.OPENING, "fault"),
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
        Rule(C, P.CHARGE_ONLY, "no charger", P.OPENING, "the charger is gone"),
        *_paths(Switchgear.FETS),
        *_paths(Switchgear.SEPARATE),
        Rule(ANY, P.RAMP, "quiet", P.OPENING, "current below break rating"),
        Rule(ANY, P.RAMP, "ramp over", P.OPENING, "current did not fall in time"),
        Rule(ANY, P.OPENING, "opened", P.OPEN, "proven open"),
        Rule(ANY, P.OPENING, "proof over", P.OPEN, "opening not proven"),
        Rule(ANY, P.COOLING, "cooled", P.OPEN, "ready for the next try"),
    ]
)

# (kind, phase) → minus, precharge, plus, charge switch, discharge switch
_OUTPUTS = np.zeros((len(Switchgear), len(Phase), 5), bool)
_OUTPUTS[C, P.MINUS] = (1, 0, 0, 0, 0)
_OUTPUTS[C, P.PRECHARGE] = (1, 1, 0, 0, 0)
_OUTPUTS[C, P.PLUS] = (1, 1, 1, 0, 0)
for _phase in (P.CLOSED, P.CHARGE_ONLY, P.RAMP):
    _OUTPUTS[C, _phase] = (1, 0, 1, 0, 0)
for _kind in (Switchgear.FETS, Switchgear.SEPARATE):
    for _phase in (P.CLOSED, P.RAMP):
        _OUTPUTS[_kind, _phase] = (0, 0, 0, 1, 1)
    _OUTPUTS[_kind, P.CHARGE_ONLY] = (0, 0, 0, 1, 0)
    _OUTPUTS[_kind, P.DISCHARGE_ONLY] = (0, 0, 0, 0, 1)


def outputs(config: Config, switches: Switches) -> Bools:
    """Return (5, string): minus, precharge, plus, charge switch, discharge switch."""
    return np.ascontiguousarray(_OUTPUTS[config.switch.kind, switches.phase].T)


_CARRIES = np.zeros((len(Switchgear), len(Phase), 2), bool)  # (kind, phase) → may charge, may discharge
_CARRIES[Switchgear.NONE] = True
_CARRIES[:, P.CLOSED] = True
_CARRIES[:, P.CHARGE_ONLY, 0] = True
_CARRIES[:, P.DISCHARGE_ONLY, 1] = True


def carrying(config: Config, switches: Switches) -> tuple[Bools, Bools]:
    """Return (may charge, may discharge), (string,): the paths that the phase leaves open to current."""
    may = _CARRIES[config.switch.kind, switches.phase]
    return may[:, 0], may[:, 1]


def start(config: Config, now_ns: int) -> Switches:
    """Return switchgear that is open, with no history."""
    n = config.layout.size["string"]
    zero, counts = np.zeros(n), np.zeros(n, np.int64)
    return Switches(np.zeros(n, np.int8), np.full(n, now_ns), counts, zero, counts, counts, zero, np.full(n, np.nan))


def trusted(look: Look) -> Bools:
    """Return (string,): every signal that a closing decision rests on is known now; absent signals are not asked."""
    config, layout = look.config, look.config.layout
    ok = ~np.isnan(look.seen.value) | ~config.sensing.present
    if ok.all():
        return layout.yes
    where = layout.where
    result = layout.every(ok[where["cell_voltage"]])
    result &= layout.over_temps(np.logical_and, ok[where["temp_degC"]], True).astype(bool)
    for name in ("current", "string_voltage", "link_voltage", "cell_voltage_high", "cell_voltage_low"):
        result &= ok[where[name]]
    for name in ("emergency_stop", "interlock_open", "crash"):
        result &= ok[where[name]][layout.pack_of_string]
    return result


def sequence(look: Look, demand: Demand, wishes: Wishes, reset: Bools) -> tuple[Switches, list[Event]]:
    """Advance all switchgear by one cycle. Returns the new memory and one event per string that changed phase.

    reset: (string,) an authorised reset gives back the precharge tries.
    """
    before = look.state.switches
    if reset.any():
        before = replace(before, tries=np.where(reset, 0, before.tries))
    holds = _conditions(look, before, demand, wishes)
    phase, rule = TABLE.advance(look.config.switch.kind, before.phase, holds)
    heated = _resistor(look, before)
    if (rule < 0).all():
        return replace(before, resistor_J=heated), []
    return _account(look, replace(before, resistor_J=heated), phase, rule)


def _conditions(look: Look, before: Switches, demand: Demand, wishes: Wishes) -> dict[str, Bools]:
    """Name every fact that the table asks for, (string,) each."""
    config, table, layout = look.config, look.config.switch, look.config.layout
    held_ns = look.now_ns - before.since_ns
    wish = wishes.closed[layout.pack_of_string]
    current = np.abs(look.current)
    charger = look.of("charger_present")[layout.pack_of_string] == 1.0
    charge, discharge = ~demand.open_charge & ~demand.ramp_charge, ~demand.open_discharge & ~demand.ramp_discharge
    cool = before.resistor_J <= 0.5 * table.resistor_max_J
    ready = wish & trusted(look) & (table.authority == SWITCH)
    ready &= wishes.confirmed[layout.pack_of_string]
    both, refill = charge & discharge, charge & ~discharge & charger
    open_now = demand.open_charge | demand.open_discharge
    settled = held_ns >= table.settle_ns
    minus, plus = _closed(look, "feedback_minus"), _closed(look, "feedback_plus")
    return {
        "open now": open_now,
        "open charge": demand.open_charge,
        "abort": ~(wish & (both | refill)),
        "ramp": demand.ramp_charge | demand.ramp_discharge,
        "ramp charge": demand.ramp_charge,
        "no wish": ~wish,
        "start pair": ready & (both | refill) & cool & (before.tries < table.tries),
        "start both": ready & both,
        "start charge": ready & charge & ~discharge,
        "start discharge": ready & discharge & ~charge,
        "blocked charge": ~charge,
        "blocked discharge": ~discharge,
        "blocked both": ~charge & ~discharge,
        "no charger": ~charger,
        "minus closed": settled & minus,
        "plus closed": settled & plus,
        "plus closed both": settled & plus & both,
        "timeout": held_ns >= table.settle_ns + 500_000_000,  # foxBMS: string close time-out 500 ms
        "precharged": settled & _precharged(look),
        "precharge over": (held_ns >= table.precharge_ns) | (before.resistor_J >= table.resistor_max_J),
        "quiet": current <= table.break_A,
        "ramp over": held_ns >= np.where(charge & discharge, VOLUNTARY_RAMP_NS, table.open_delay_ns),
        "opened": settled & _opened(look) & (current <= config.idle_A),
        "proof over": held_ns >= PROOF_NS,
        "cooled": (held_ns >= table.pause_ns) & cool,
    }


def _closed(look: Look, feedback: str) -> Bools:
    """Return whether a contact is proven closed; without feedback time alone must do."""
    return ~look.config.switch.has_feedback | (look.of(feedback) == 1.0)


def _opened(look: Look) -> Bools:
    proven = np.ones(look.config.layout.size["string"], bool)
    for name in ("feedback_minus", "feedback_precharge", "feedback_plus", "feedback_charge", "feedback_discharge"):
        present = look.config.sensing.present[look.config.layout.where[name]]
        proven &= ~present | (look.of(name) == 0.0)
    return proven


def _precharged(look: Look) -> Bools:
    """|ΔV| and |I| are both below their bounds, measured after the precharge contactor closed."""
    table, before = look.config.switch, look.state.switches
    delta = np.abs(look.of("string_voltage") - look.of("link_voltage"))
    fresh = (look.time_ns("link_voltage") > before.since_ns) & (look.time_ns("current") > before.since_ns)
    near = fresh & (delta <= table.precharge_V) & (np.abs(look.current) <= table.precharge_A)
    blind = (look.now_ns - before.since_ns) >= table.precharge_ns // 2
    return np.where(table.has_link_voltage, near, blind & (np.abs(look.current) <= table.precharge_A))


def _resistor(look: Look, before: Switches) -> Floats:
    """Return the heat in the precharge resistor, J, after this cycle; unknown link voltage counts as a dead short."""
    table = look.config.switch
    dt = (look.now_ns - look.state.time_ns) * 1e-9
    in_use = (before.phase == PRECHARGE) & ~np.isnan(table.resistor_ohm)
    if not in_use.any() and not before.resistor_J.any():
        return before.resistor_J
    string, link = look.of("string_voltage"), look.of("link_voltage")
    drop = np.where(np.isnan(link), string, string - link)
    power = np.where(in_use & ~np.isnan(drop), drop * drop / np.where(in_use, table.resistor_ohm, 1.0), 0.0)
    return np.maximum(before.resistor_J + (power - table.resistor_W) * dt, 0.0)


def _account(look: Look, before: Switches, phase: np.ndarray, rule: Ints) -> tuple[Switches, list[Event]]:
    """Count tries, closings and wear for the strings that changed, and say why they did."""
    table, now_ns = look.config.switch, look.now_ns
    moved = phase != before.phase
    current = np.abs(look.current)
    failed, into_closed = moved & (phase == P.COOLING), moved & np.isin(phase, (P.CLOSED, P.CHARGE_ONLY))
    was_closed = np.isin(before.phase, (P.CLOSED, P.CHARGE_ONLY, P.DISCHARGE_ONLY, P.RAMP, P.PLUS))
    breaks = moved & was_closed & np.isin(phase, (P.OPENING, P.COOLING))
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
            TABLE.rules[rule[s]].cause,
        )
        for s in np.flatnonzero(moved)
    ]
    return after, events
