"""Heat and cold ahead of time: how warm cells must be when they are known to be used, and what that costs least.

A pack is one body: heat capacity, conductance to the surroundings in still air and with flow, heater, chiller. The
rules of `core/decide/cool.py` are tried on it over the next day beside many schedules (from when, how far); one is
followed only if it costs clearly less and, wherever the pack is used, gives limits no lower than the rules would. The
body is taken leakier and its heater weaker than stated, so that a plan is early rather than late. What cannot be
known (surroundings, temperature, no known use) means no plan: the rules go on.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cellarer.model.config import Config
from cellarer.model.values import NEVER, ChargePhase, Plan, State

Floats = NDArray[np.float64]

STEP_S, STEPS = 300.0, 288  # a day ahead
SLOT_NS = 900_000_000_000  # a plan lives no longer
WORTH = 0.97  # a plan costs at most this share of what the rules cost
SLACK_K = 0.1
HELPS_K = 1.0  # flow is of use where surroundings are this much colder
LEAKY, WEAK = 1.2, 0.85  # how much worse than stated the body is taken
HOUSING = 1.3  # heat capacity with housing and coolant against the cells alone (own estimate)
SHELL = 1.0 / 3.0  # conductance to the surroundings against cells in free still air (own estimate)
PUMPED = 8.0  # flow adds this much conductance, on top of still air (own estimate)
COP = 2.5  # of a chiller on a hot day (facts: 2 to 4)
BAND_K = 5.0  # as the rules have it
GENTLE = 0.3  # flow of a plan, 1: half the flow costs an eighth
LEADS = np.arange(0, STEPS + 1, 8)  # how long before its use a pack is warmed or cooled, steps
TARGETS_K = (0.0, 3.0, 6.0, 10.0)  # beyond the rules' set point
TRIP_S = 3600.0  # a known departure stands for so much use
TRIP_SHARE = 0.3  # of the rated current


@dataclass(frozen=True, slots=True)
class Body:
    """One pack as heat sees it."""

    J_per_K: float
    still_W_per_K: float
    flow_W_per_K: float  # more at full flow
    heater_W: float
    flow_W: float
    chiller_W: float
    ohm: float  # of the whole pack


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where the rules act, degC."""

    heat_from: float
    lowest: float  # a plan lets cells cool no further
    warm: float
    hot: float
    full_from: float  # full current is allowed between here …
    full_to: float  # … and here
    coolest: float


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """The next day in steps of STEP_S; all (step,)."""

    ambient_degC: Floats
    heat_W: Floats  # that use will bring
    used: NDArray[np.bool_]  # the pack is known to be charged or driven


@dataclass(frozen=True, slots=True, eq=False)
class Advice:
    """Set points of all packs until `expires_ns`, (pack,)."""

    expires_ns: int
    preheat_degC: Floats
    precool_degC: Floats


def body(config: Config, pack: int) -> Body:
    """Return a pack as its cell and site files describe it."""
    layout, table = config.layout, config.climate
    mine = np.flatnonzero(layout.pack_of_cell == pack)
    models = [config.models[k] for k in config.cell_kind[mine]]
    size = config.capacity_Ah[mine] / np.array([m.capacity_Ah for m in models])
    joules = size @ np.array([m.heat_capacity_core + m.heat_capacity_surface for m in models])
    still = SHELL * float(size @ np.array([1.0 / m.surface_to_ambient for m in models]))
    return Body(
        HOUSING * float(joules), still, PUMPED * still, float(table.heater_W[pack]), float(table.flow_W[pack]),
        float(table.chiller_W[pack]), float(config.cell_ohm[mine].sum()),
    )  # fmt: skip


def bounds(config: Config, pack: int) -> Bounds:
    """Return where the rules act on a pack: the narrowest of its strings."""
    table, mine = config.limits, config.layout.pack_of_string == pack
    return Bounds(
        heat_from=float(table.charge_cold_degC[mine].max()) + BAND_K,
        lowest=float(table.discharge_cold_degC[mine].max()) + BAND_K,
        warm=float(table.charge_warm_degC[mine].min()) - BAND_K,
        hot=float(table.charge_hot_degC[mine].min()),
        full_from=float(table.charge_cool_degC[mine].max()),
        full_to=float(table.charge_warm_degC[mine].min()),
        coolest=float(config.climate.coolest_degC[pack]),
    )


def run(one: Body, at: Bounds, degC: float, day: Outlook, keep: Floats, flow_from: Floats) -> tuple[Floats, Floats]:
    """Try schedules. Returns temperature after each step (schedule, step) and electrical energy (schedule,) J.

    keep, flow_from: (schedule, step) degC: heat below, cool above, gently where the rules would not yet; NaN = rules
    """
    temp, used_J = np.full(keep.shape[0], degC), np.zeros(keep.shape[0])
    trace = np.empty(keep.shape)
    for k in range(keep.shape[1]):
        ambient, heat_W = day.ambient_degC[k], day.heat_W[k]
        begins = np.where(flow_from[:, k] > at.warm, flow_from[:, k], at.warm)
        order = np.clip((temp - begins) / (at.hot - begins), 0.0, 1.0)
        helps = (temp > flow_from[:, k]) & (temp > ambient + HELPS_K) & (flow_from[:, k] < at.warm)
        order = np.where(helps, np.maximum(order, GENTLE), order)
        flow, chill = order, np.zeros_like(order)
        if one.chiller_W > 0.0:
            flow, chill = np.minimum(2.0 * order, 1.0), np.maximum(2.0 * order - 1.0, 0.0) * (temp > at.coolest)
        inside = (one.chiller_W > 0.0) & (ambient >= temp)  # coolant goes around a hot radiator
        out = one.still_W_per_K + np.where(inside, 0.0, flow * one.flow_W_per_K)
        missing = (keep[:, k] - temp) * one.J_per_K / STEP_S + out * (temp - ambient) - heat_W
        heater_W = np.clip(missing, 0.0, one.heater_W)
        rest = ambient + (heat_W + heater_W - chill * one.chiller_W) / out
        temp = rest + (temp - rest) * np.exp(-STEP_S * out / one.J_per_K)
        used_J += STEP_S * (heater_W + one.flow_W * flow**3 + chill * one.chiller_W / COP)
        trace[:, k] = temp
    return trace, used_J


def schedules(at: Bounds, day: Outlook) -> tuple[Floats, Floats]:
    """Return keep and flow_from of all schedules, (schedule, step); the first one is the rules'."""
    first = int(np.flatnonzero(day.used)[0])
    last = int(np.flatnonzero(day.used)[-1])
    step = np.arange(day.used.size)
    rules, late = np.full(step.size, np.nan), np.where(day.used, np.nan, at.full_to)
    keep, flow_from = [np.full(step.size, at.heat_from)] * 2, [rules, late]
    for begin in np.unique(np.maximum(first - LEADS, 0)):
        inside = (step >= begin) & (step <= last)
        for more in TARGETS_K:
            keep.append(np.where(inside, at.heat_from + more, at.lowest))
            flow_from.append(rules)
            keep.append(np.full(step.size, at.lowest))
            flow_from.append(np.where(inside, at.warm - 2.0 * more - 2.0, late))
            keep.append(np.full(step.size, at.lowest))
            flow_from.append(np.where(inside, np.nan, late))
    return np.array(keep), np.array(flow_from)


def choose(one: Body, at: Bounds, degC: float, day: Outlook) -> tuple[float, float, float, float]:
    """Return set points to heat to and to cool from now (NaN, NaN = the rules), and J by rules and by the plan."""
    careful = Body(one.J_per_K, LEAKY * one.still_W_per_K, one.flow_W_per_K, WEAK * one.heater_W, one.flow_W,
                   one.chiller_W, one.ohm)  # fmt: skip
    keep, flow_from = schedules(at, day)
    trace, used_J = run(careful, at, degC, day, keep, flow_from)
    ends = np.concatenate((np.full((keep.shape[0], 1), degC), trace), axis=1)  # use is from the begin of its first step
    in_use = np.append(day.used, False) | np.append(False, day.used)
    mine, ruled = ends[:, in_use], ends[0, in_use]
    cold = (np.minimum(mine, at.full_from) < np.minimum(ruled, at.full_from) - SLACK_K).any(axis=1)
    hot = (np.maximum(mine, at.full_to) > np.maximum(ruled, at.full_to) + SLACK_K).any(axis=1)
    cost = np.where(cold | hot, np.inf, used_J)
    best = int(cost.argmin())
    if not cost[best] < WORTH * used_J[0]:
        return float("nan"), float("nan"), float(used_J[0]), float(used_J[0])
    flow = float(flow_from[best, 0])
    if flow < at.warm and not degC > day.ambient_degC[0] + HELPS_K:
        flow = float("nan")  # now it would not help
    return float(keep[best, 0]), flow, float(used_J[0]), float(used_J[best])


def outlook(config: Config, state: State, one: Body, pack: int, ambient_degC: Floats) -> Outlook | None:
    """Return what is known of the next day; None = no use is known. ambient_degC (step,)."""
    step, layout = np.arange(STEPS), config.layout
    mine = layout.pack_of_string == pack
    used, heat_W = np.zeros(STEPS, bool), np.zeros(STEPS)
    current = np.abs(state.estimate.mean_A[mine])
    left_s = 0.0
    if (state.charging.phase[mine] >= ChargePhase.PRECONDITION).any() and (current > config.idle_A[mine]).any():
        left_s = float(np.nanmax(np.append(state.estimate.time_to_full_s[mine], TRIP_S)))
    now = step * STEP_S < min(left_s, STEPS * STEP_S)
    departs_s = (float(state.wishes.full_by_ns[pack]) - state.time_ns) * 1e-9
    trip = (step * STEP_S >= departs_s) & (step * STEP_S < departs_s + TRIP_S) & (departs_s >= 0.0)
    rated = float(config.limits.rated_discharge_A[mine].max())
    heat_W[now] = one.ohm * float(np.nanmax(np.append(current, 0.0))) ** 2
    heat_W[trip] = one.ohm * (TRIP_SHARE * rated) ** 2
    used |= now | trip
    return Outlook(ambient_degC, heat_W, used) if used.any() else None


def advise(config: Config, state: State, ambient_degC: Floats) -> Advice:
    """Return set points for the next slot. ambient_degC (pack, step): forecast; NaN = unknown, no plan there."""
    packs = config.layout.size["pack"]
    preheat, precool = np.full(packs, np.nan), np.full(packs, np.nan)
    temps = state.seen.value[config.layout.where["temp_degC"]]
    of_temp = config.layout.pack_of_string[config.layout.string_of_temp]
    for pack in range(packs):
        degC = float(temps[of_temp == pack].mean()) if (of_temp == pack).any() else float("nan")
        known = np.isfinite(degC) and np.isfinite(ambient_degC[pack]).all()
        if not known or not (config.heater[pack] or config.cooler[pack]):
            continue
        one = body(config, pack)
        day = outlook(config, state, one, pack, ambient_degC[pack])
        if day is None:
            continue
        preheat[pack], precool[pack], _, _ = choose(one, bounds(config, pack), degC, day)
    says = np.isfinite(preheat) | np.isfinite(precool)
    expires_ns = state.time_ns + SLOT_NS if says.any() else NEVER
    return Advice(expires_ns, preheat, precool)


def joined(plan: Plan, advice: Advice) -> Plan:
    """Return a plan that also carries the advice; each expires by itself."""
    if advice.expires_ns == NEVER:
        return plan
    return replace(
        plan, climate_ns=advice.expires_ns, preheat_degC=advice.preheat_degC, precool_degC=advice.precool_degC
    )
