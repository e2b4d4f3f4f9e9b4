"""What must hold in every cycle, whatever happens: the invariants I1…I14 of facts on battery safety §4.2.

`broken` looks at one cycle from outside, with own code: state before, inputs, state after, command, events. Campaigns
and tests look at every cycle with it. Those that compare two runs (I5 more faults, I6 lost inputs) are in
tests/core/test_properties.py. What a whole run tells (I11, I14, I15) is campaign_chronicle's, what the gate makes of
it and what is true in the plant campaign_judge's. I4 across restarts is tested in tests/core/test_requests.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields

import numpy as np

from cellarer.core.cycle import Inputs
from cellarer.model.config import Authority, Config, Switchgear
from cellarer.model.reasons import REASONS
from cellarer.model.values import NEVER, Bools, Command, Event, Latch, Level, Phase, State
from cellarer.runtime.campaign_chronicle import OUTPUTS

UNKNOWN_S = 1.0  # s that a string may stay closed after its cell data became unknown (I1)
CARRYING = (Phase.CLOSED, Phase.CHARGE_ONLY, Phase.DISCHARGE_ONLY)
Rules = Iterator[tuple[str, Bools]]


def broken(
    config: Config, before: State, inputs: Inputs, after: State, command: Command, events: Sequence[Event]
) -> Rules:
    """Yield (rule, (string,) broken) of one cycle."""
    yield from _unknown_opens(config, after, command)
    yield from _closing(config, before, after, command)
    yield from _precharge(config, before, after, command)
    yield from _latches(config, before, inputs, after)
    yield from _window(config, before, inputs, after, command)
    yield from _opening(config, before, after, command)
    yield from _counters(before, after)
    yield from _told(before, after, events)
    yield from _asked(config, before, inputs, after)
    yield from _estimated(config, after)
    yield from _lost_inputs(config, before, after)


def heavy(config: Config, state: State, path: str, least: Level = Level.RAMP) -> Bools:
    """Return (string,) an active row of at least this level on the path charge or discharge."""
    rows = (config.faults.level >= least) & getattr(config.faults, path)
    return np.asarray(state.faults.active[rows].any(axis=0))


def _on(command: Command) -> Bools:
    return np.array([getattr(command, name) for name in OUTPUTS])


def _known(config: Config, inputs: Inputs, now_ns: int, name: str) -> Bools:
    where, sensing, sample = config.layout.where[name], config.sensing, inputs.sample
    value, time_ns = sample.value[where], sample.time_ns[where]
    with np.errstate(invalid="ignore"):
        plausible = (value >= sensing.low[where]) & (value <= sensing.high[where])
    fresh = (time_ns > NEVER) & (time_ns <= now_ns) & (time_ns >= now_ns - sensing.max_age_ns[where])
    return np.asarray(plausible & fresh & sensing.present[where])


def _step_ns(config: Config, before: State, after: State) -> int:
    """Return how far apart two looks may be: a cycle, or the longer step of a simulation."""
    return max(config.cycle_ns, after.time_ns - before.time_ns if before.time_ns > NEVER else 0)


def _unknown_opens(config: Config, after: State, command: Command) -> Rules:
    """I1: never closed with unknown cell data for more than a second."""
    where = config.layout.where["cell_voltage"]
    age_ns = after.time_ns - after.watch.valid_ns[where] - config.sensing.max_age_ns[where]
    late = config.sensing.present[where] & (age_ns > UNKNOWN_S * 1e9 + config.cycle_ns)
    switched = (config.switch.kind != Switchgear.NONE) & (config.switch.authority == Authority.SWITCH)
    yield (
        "I1 closed with unknown cells for more than a second",
        (switched & ~config.layout.every(~late) & _on(command).any(axis=0)),
    )


def _closing(config: Config, before: State, after: State, command: Command) -> Rules:
    """I2: nothing closes while a fault on its path is active or latched, without a wish or without authority."""
    rising = _on(command) & ~_on(before.command)
    pair = config.switch.kind == Switchgear.CONTACTORS
    charge, discharge = heavy(config, after, "charge"), heavy(config, after, "discharge")
    charger = after.seen.value[config.layout.where["charger_present"]][config.layout.pack_of_string] == 1.0
    yield "I2 pair closes under a fault", pair & rising[:3].any(axis=0) & (charge | (discharge & ~charger))
    yield "I2 charge path closes under a fault", rising[3] & charge
    yield "I2 discharge path closes under a fault", rising[4] & discharge
    locks = (config.faults.locks & after.faults.latched).any(axis=0)
    begins = (before.switches.phase == Phase.OPEN) & rising.any(axis=0)
    yield "I2 closing begins while locked", begins & locks
    yield "I2 closing begins without a wish", begins & ~after.wishes.closed[config.layout.pack_of_string]
    yield "I2 switching without authority", rising.any(axis=0) & (config.switch.authority != Authority.SWITCH)
    yield "I2 something without switchgear", (config.switch.kind == Switchgear.NONE) & _on(command).any(axis=0)


def _precharge(config: Config, before: State, after: State, command: Command) -> Rules:
    """I3: precharge precedes plus, proves itself where the link is measured, and ends within its window."""
    table, was, now = config.switch, before.switches.phase, after.switches.phase
    plus_rises = command.plus & ~before.command.plus
    yield "I3 plus without precharge", plus_rises & (was != Phase.PRECHARGE)
    seen, where = after.seen.value, config.layout.where
    delta = np.abs(seen[where["string_voltage"]] - seen[where["link_voltage"]])
    with np.errstate(invalid="ignore"):
        proven = delta <= table.precharge_V
    yield "I3 plus onto an uncharged link", plus_rises & table.has_link_voltage & ~proven
    held_ns = after.time_ns - after.switches.since_ns
    late = held_ns > table.precharge_ns + _step_ns(config, before, after)
    yield "I3 precharge too long", (now == Phase.PRECHARGE) & late
    hot = before.switches.resistor_J >= table.resistor_max_J
    yield "I3 resistor too hot", (now == Phase.PRECHARGE) & (was == Phase.PRECHARGE) & hot


def _latches(config: Config, before: State, inputs: Inputs, after: State) -> Rules:
    """I4: a latch ends only by a reset, a permanent one only with the service key; while latched, it is active."""
    pack = config.layout.pack_of_string
    gone = before.faults.latched & ~after.faults.latched
    permanent = (config.faults.latch == Latch.SERVICE)[:, None]
    reset, service = inputs.requests.reset[pack], (inputs.requests.reset & inputs.requests.service)[pack]
    yield "I4 latch lost without reset", np.asarray((gone & ~reset).any(axis=0))
    yield "I4 permanent latch lost without service", np.asarray((gone & permanent & ~service).any(axis=0))
    yield "I4 latched and not active", np.asarray((after.faults.latched & ~after.faults.active).any(axis=0))
    disabled = after.faults.active & ~config.faults.enabled & ~before.faults.active
    yield "I4 disabled row active", np.asarray(disabled.any(axis=0))


def _window(config: Config, before: State, inputs: Inputs, after: State, command: Command) -> Rules:
    """I5, I6, I7: limits are finite, never negative, within the rated ones, rise slowly, are zero where they must."""
    w, table, layout, now_ns = command.window, config.limits, config.layout, after.time_ns
    for name in ("charge_A", "discharge_A", "charge_V", "discharge_V", "charge_W", "discharge_W"):
        limit = getattr(w, name)
        yield f"I5 {name} is not a magnitude", ~(np.isfinite(limit) & (limit >= 0.0))
    yield "I5 charge above rated", ~(w.charge_A <= table.rated_charge_A)
    yield "I5 discharge above rated", ~(w.discharge_A <= table.rated_discharge_A)
    dt_s = min((now_ns - before.time_ns) * 1e-9, 60.0) if before.time_ns > NEVER else 0.0
    for name in ("charge", "discharge"):
        rated, limit = getattr(table, f"rated_{name}_A"), getattr(w, f"{name}_A")
        rise = getattr(before.window, f"{name}_A") + table.rise_per_s * rated * dt_s
        yield f"I5 {name} limit rises too fast", limit > rise + 1e-9
        yield f"I5 {name} limit under a fault", heavy(config, after, name) & (limit > 0.0)
        reason = getattr(w, f"{name}_reason")
        yield f"I5 {name} reason unknown", (reason < 0) | (reason >= len(REASONS))
    absent = ~config.sensing.present[layout.where["cell_voltage"]]
    unknown = ~layout.every(_known(config, inputs, now_ns, "cell_voltage") | absent) | layout.every(absent)
    foreign = config.sensing.present[layout.where["cell_voltage_high"]]
    current = config.sensing.present[layout.where["current"]] & ~_known(config, inputs, now_ns, "current")
    for name in ("charge_A", "discharge_A"):
        yield f"I6 {name} with unknown cells or current", ((unknown & ~foreign) | current) & (getattr(w, name) > 0.0)
    volts = after.seen.value[layout.where["cell_voltage"]]
    with np.errstate(invalid="ignore"):
        volts = np.minimum(volts, after.watch.earlier[0, : volts.size])  # one sample may be wild, two in a row are not
        full = ~layout.every(~(volts >= table.charge_zero_V[layout.string_of_cell]))
        temps = after.seen.value[layout.where["temp_degC"]]
        temps = np.maximum(temps, after.watch.earlier[0, volts.size : volts.size + temps.size])
        cold = layout.over_temps(np.logical_or, temps <= table.charge_cold_degC[layout.string_of_temp], False)
    yield "I7 charging a full cell", full & (w.charge_A > 0.0)
    yield "I7 charging a cold cell", cold.astype(bool) & (w.charge_A > 0.0)
    off = (config.switch.kind != Switchgear.NONE) & ~np.isin(after.switches.phase, CARRYING)
    yield "I5 limit on open switchgear", off & ((w.charge_A > 0.0) | (w.discharge_A > 0.0))


def _opening(config: Config, before: State, after: State, command: Command) -> Rules:
    """I8: an open-level row has its path open in the same cycle, from whatever phase."""
    charge, discharge = heavy(config, after, "charge", Level.OPEN), heavy(config, after, "discharge", Level.OPEN)
    pair = command.minus | command.precharge | command.plus
    yield "I8 pair closed against an open-level row", pair & charge
    only_charge = (after.switches.phase == Phase.CHARGE_ONLY) | (
        (before.switches.phase == Phase.CHARGE_ONLY) & (after.switches.phase == Phase.RAMP)
    )
    closing = np.isin(after.switches.phase, (Phase.MINUS, Phase.PRECHARGE, Phase.PLUS))  # on its way to charge only
    yield "I8 pair discharges against an open-level row", pair & discharge & ~only_charge & ~closing
    yield "I8 charge path closed against an open-level row", command.charge_switch & charge
    yield "I8 discharge path closed against an open-level row", command.discharge_switch & discharge


def _counters(before: State, after: State) -> Rules:
    """I10: lifetime counters never go back."""
    for field in fields(after.counters):
        old, new = getattr(before.counters, field.name), getattr(after.counters, field.name)
        yield f"I10 {field.name} went back", ~(new >= old)
    for name in ("closings", "openings_under_load", "wear"):
        yield f"I10 {name} went back", ~(getattr(after.switches, name) >= getattr(before.switches, name))


def _told(before: State, after: State, events: Sequence[Event]) -> Rules:
    """I13: every change of state has exactly one event, of this cycle and with a cause."""
    changed = (before.faults.active != after.faults.active).sum(axis=0)
    changed = changed + (before.switches.phase != after.switches.phase)
    changed += before.charging.phase != after.charging.phase
    dumb, other = np.zeros(changed.size, bool), np.zeros(changed.size, bool)
    for event in events:
        changed[event.string] -= event.kind in ("fault", "clear", "switch", "charge")
        dumb[event.string] |= not event.cause and event.kind != "request"
        other[event.string] |= event.time_ns != after.time_ns
    yield "I13 changes and events differ", changed != 0
    yield "I13 event without a cause", dumb
    yield "I13 event of another time", other


def _asked(config: Config, before: State, inputs: Inputs, after: State) -> Rules:
    """I9: nothing that lasts changes unless it is asked for in this very cycle: a wish rises only by its request."""
    asked, was, now, pack = inputs.requests, before.wishes, after.wishes, config.layout.pack_of_string
    yield "I9 closing wished without being asked", (now.closed & ~was.closed & ~asked.close)[pack]
    yield "I9 closing wished against an opening", (now.closed & asked.open)[pack]
    yield "I9 confirmed without being asked", (now.confirmed & ~was.confirmed & ~asked.confirm_unknown_soc)[pack]
    moved = ~((now.target_soc == was.target_soc) | (np.isnan(now.target_soc) & np.isnan(was.target_soc)))
    yield "I9 target moved without being asked", (moved & np.isnan(asked.target_soc))[pack]
    zeroed = after.current_zero != before.current_zero
    yield "I9 current zeroed without being asked", zeroed & ~asked.zero_current[pack]


def _estimated(config: Config, after: State) -> Rules:
    """I12: an estimate is unknown as a whole or a fraction with a sigma that is a magnitude."""
    soc, sigma = after.estimate.soc, after.estimate.soc_sigma
    with np.errstate(invalid="ignore"):
        sound = np.isnan(soc) | ((soc >= -0.1) & (soc <= 1.1) & (sigma >= 0.0) & np.isfinite(sigma))
    yield "I12 SOC without bounds", ~config.layout.every(sound)


def _lost_inputs(config: Config, before: State, after: State) -> Rules:
    """I6: in a cycle in which something that was known gets lost, no limit of its string rises."""
    layout = config.layout
    lost = ~np.isnan(before.seen.value) & np.isnan(after.seen.value)
    hit = lost[layout.where["current"]] | ~layout.every(~lost[layout.where["cell_voltage"]])
    hit |= layout.over_temps(np.logical_or, lost[layout.where["temp_degC"]], False).astype(bool)
    for name in ("charge_A", "discharge_A"):
        rises = getattr(after.window, name) > getattr(before.window, name) + 1e-9
        yield f"I6 {name} rises as an input is lost", hit & rises
