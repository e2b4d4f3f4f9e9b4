"""The one way through the house: measure → validate → estimate → decide → clamp → act. Pure: no clock, file or log.

`step` runs live, in replay, in simulation and over a fleet. Inputs are frozen once per cycle, arguments are never
altered. Slow tasks are due by their own period; in between their last result is carried with its age.
"""

from dataclasses import dataclass

import numpy as np

from cellarer.core import advised, forecast, response, slow
from cellarer.core.asked import answer, held_soc, reset_answers, timed, zeroed
from cellarer.core.counters import happened
from cellarer.core.decide import balance, charge, cool, diagnose, protect, sequence
from cellarer.core.decide.clamp import clamp, nothing
from cellarer.core.decide.limit import limit, rated_window
from cellarer.core.decide.share import connected
from cellarer.core.decide.signals import Look
from cellarer.core.measure import measure
from cellarer.core.remember import remember
from cellarer.core.validate import start_watch
from cellarer.model.config import Config
from cellarer.model.values import NEVER, Command, Event, Plan, Requests, Sample, Seen, State

GAP_S = 61.0  # s: a longer step is a gap; nothing is integrated over it


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What one cycle is given; frozen."""

    sample: Sample
    requests: Requests
    plan: Plan


def step(config: Config, state: State, inputs: Inputs, now_ns: int) -> tuple[State, Command, list[Event]]:
    """Advance every pack of the site by one cycle. Returns the new state, what to order, and what changed and why."""
    dt_s = min((now_ns - state.time_ns) * 1e-9, GAP_S) if state.time_ns > NEVER else 0.0
    seen, worst = measure(config, state.watch, inputs.sample, state.current_zero, now_ns)
    watch = remember(config, state, seen, now_ns)
    look = Look(config, seen, worst, watch, state, now_ns)
    wishes, reset, service, asked = answer(look, inputs.requests)
    faults, raised = protect.protect(look, state.faults, reset, service)
    asked += reset_answers(look, inputs.requests, faults)
    demand = protect.demand(config, faults)
    dirty = balance.disturbed(look)
    known = slow.estimate(look, inputs.requests, dirty)
    switches, switched = sequence.sequence(look, demand, wishes, reset)
    estimated, missed = known.estimated_ns == now_ns, list[Event]()
    if estimated:
        wishes, missed = timed(look, wishes, known.estimate)
    charging, charged = charge.charge(look, demand, switches, known.estimate, held_soc(config, wishes))
    end_V, charge_A, discharge_A = charge.allowance(config, charging, lambda: connected(look, switches)[0])
    allowed = end_V, charge.settling(look, charging, known.estimate, charge_A), discharge_A
    window = limit(look, demand, switches, known.estimate, allowed, dt_s)
    balancing, bleed, move = balance.balance(look, demand, inputs.plan, dirty, estimated, dt_s)
    climate, heater, pump = cool.cool(look, inputs.plan)
    command = clamp(look, faults, switches, window, known.estimate, charging, bleed, move, heater, pump)
    new = State(
        time_ns=now_ns,
        cycle=state.cycle + 1,
        watch=known.watch,
        estimator=known.estimator,
        estimate=known.estimate,
        estimated_ns=known.estimated_ns,
        power_ns=known.power_ns,
        forecast=known.forecast,
        advised=known.advised,
        diagnosis=known.diagnosis,
        faults=faults,
        switches=switches,
        charging=charging,
        balancing=balancing,
        climate=climate,
        wishes=wishes,
        counters=happened(look, known.counters, faults, switches),
        current_zero=zeroed(look, inputs.requests),
        window=window,
        command=command,
        seen=seen,
    )
    return new, command, asked + raised + switched + missed + charged


def start(config: Config, now_ns: int, durable: object = None) -> State:
    """Return the state before the first cycle: everything open, nothing known but what `durable` proves.

    durable: slow.Durable or None. Without it SOC is unknown and, where the site asks for it, closing waits for a
    person's word.
    """
    size = config.layout.size
    known = slow.start(config, durable if isinstance(durable, slow.Durable) else None, now_ns)
    return State(
        time_ns=NEVER,
        cycle=0,
        watch=start_watch(config, now_ns, response.start(config)),
        estimator=known.estimator,
        estimate=known.estimate,
        estimated_ns=NEVER,
        power_ns=NEVER,
        forecast=forecast.start(config),
        advised=advised.start(config),
        diagnosis=diagnose.start(config),
        faults=known.faults,
        switches=known.switches,
        charging=charge.start(config, now_ns),
        balancing=balance.start(config),
        climate=cool.start(config),
        wishes=slow.wished(config, durable, now_ns),
        counters=known.counters,
        current_zero=known.current_zero,
        window=rated_window(config),
        command=nothing(config),
        seen=Seen(
            np.full(size["signal"], np.nan),
            np.full(size["signal"], NEVER),
            np.full(size["signal"], now_ns),
            np.zeros(size["signal"], bool),
        ),
    )
