"""Requests: bounded, answered, logged. Opening asks nobody; all else may be refused with a cause."""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from cellarer.core.decide.charge import FULL
from cellarer.core.decide.limit import on_map
from cellarer.core.decide.protect import demand
from cellarer.core.decide.signals import Look
from cellarer.model.config import Config, Switchgear
from cellarer.model.values import (
    FOREVER,
    NEVER,
    Bools,
    ChargePhase,
    Estimate,
    Event,
    Faults,
    Floats,
    Latch,
    Requests,
    Wishes,
)

ZERO_SHARE = 0.01  # 1: a sensor whose zero is further off is broken, not drifted (GB/T 38661 allows 2 % of full scale)
FULL_FROM = 0.995  # 1: a target from here on is none; above it a full charge would end as stored, see charge.STORED
# "Full by"; all own estimates.
HOPED = 0.1  # 1: share of the rated charge current that is counted on until a charger has been seen
RISE_S, FALL_S = 3600.0, 600.0  # s of bulk charge: what chargers give is believed slowly to be more, sooner to be less
BOUND = 0.95  # 1: a current this near its limit was bound by us, and says nothing against the charger
TAIL_S = 1800.0  # s that the fall of the current at the end of a charge takes besides
GRACE_NS = 3_600_000_000_000  # so long after its hour the request ends, full or not


def start_wishes(config: Config, durable: bool) -> Wishes:
    """Return wishes before the first request: open, no targets."""
    n = config.layout.size["pack"]
    confirmed, no, never = np.full(n, durable or not config.needs_confirmation), np.zeros(n, bool), np.full(n, FOREVER)
    return Wishes(no, np.full(n, np.nan), never, confirmed, no, never, HOPED * config.limits.rated_charge_A)


def no_requests(config: Config) -> Requests:
    """Return requests that ask for nothing."""
    n = config.layout.size["pack"]
    no, unknown = np.zeros(n, bool), np.full(n, np.nan)
    return Requests(no, no, no, no, unknown, no, unknown, np.full(n, NEVER), no)


def answer(look: Look, requests: Requests) -> tuple[Wishes, Bools, Bools, list[Event]]:
    """Take over what may be granted. Returns wishes, (string,) reset and service in force, and one event per answer."""
    config, layout, before = look.config, look.config.layout, look.state.wishes
    locked, latched = np.zeros(before.closed.shape, bool), look.state.faults.latched
    if np.count_nonzero(latched):
        locked = layout.pack_all(np.logical_or.reduce(config.faults.locks & latched, axis=0))
    reset, service = requests.reset[layout.pack_of_string], (requests.reset & requests.service)[layout.pack_of_string]
    if not anything(requests):
        if not np.count_nonzero(before.closed & locked):
            return before, reset, service, []
        return replace(before, closed=before.closed & ~locked), reset, service, _fallen(look, before.closed & locked)
    inhibited = (look.of("charge_plug") == 1.0) & (look.of("ignition") == 1.0) & ~before.closed
    refused = {
        "close": np.where(locked, "a latched fault must be reset first", "").astype(object),
        "set_soc": np.where(fraction(requests.set_soc), "", "must be 0 to 1").astype(object),
        "zero_current": _why_not_zero(look),
        "target_soc": np.where(fraction(requests.target_soc), "", "must be 0 to 1").astype(object),
        "full_by": np.where(requests.full_by_ns > look.now_ns, "", "the hour is past").astype(object),
    }
    refused["close"] = np.where(inhibited & ~locked, "drive is inhibited while a charge plug is in", refused["close"])
    unconfirmed = ~(before.confirmed | requests.confirm_unknown_soc) & (refused["close"] == "")
    refused["close"] = np.where(unconfirmed, "the stored state is missing: confirm first", refused["close"])
    ok = {name: why == "" for name, why in refused.items()}
    asked = {
        "open": requests.open,
        "close": requests.close,
        "set_soc": ~np.isnan(requests.set_soc),
        "zero_current": requests.zero_current,
        "target_soc": ~np.isnan(requests.target_soc),
        "full_by": requests.full_by_ns > NEVER,
        "confirm": requests.confirm_unknown_soc,
    }
    close = requests.close & ok["close"] & ~requests.open
    holds = np.where(requests.target_soc >= FULL_FROM, np.nan, requests.target_soc)
    timed = asked["full_by"] & ok["full_by"]
    wishes = replace(
        before,
        closed=(before.closed | close) & ~requests.open & ~locked,
        target_soc=np.where(asked["target_soc"] & ok["target_soc"], holds, before.target_soc),
        full_by_ns=np.where(timed, requests.full_by_ns, before.full_by_ns),
        late=before.late & ~timed,
        full_ns=np.where(timed, FOREVER, before.full_ns),
        confirmed=before.confirmed | requests.confirm_unknown_soc,
    )
    return wishes, reset, service, _events(look, asked, refused) + _fallen(look, before.closed & locked)


@lru_cache(maxsize=16)  # those that ask for nothing are the same object for days
def anything(requests: Requests) -> bool:
    """Return whether any pack asks for anything."""
    facts = requests.open | requests.close | requests.reset | requests.zero_current | requests.confirm_unknown_soc
    numbers = ~(np.isnan(requests.set_soc) & np.isnan(requests.target_soc))
    return bool(np.count_nonzero(facts | numbers | (requests.full_by_ns > NEVER)))


def zeroed(look: Look, requests: Requests) -> Floats:
    """Return what the current sensors are to take for zero, (string,) A; a request is granted only at rest and open."""
    before, layout = look.state.current_zero, look.config.layout
    if not np.count_nonzero(requests.zero_current):
        return before
    granted = (requests.zero_current & (_why_not_zero(look) == ""))[layout.pack_of_string]
    return np.where(granted & ~np.isnan(look.current), before + look.current, before)


def _why_not_zero(look: Look) -> np.ndarray:
    """Return (pack,) why the current sensor may not be zeroed now; empty = it may."""
    layout, limits = look.config.layout, look.config.limits
    rated = np.maximum(limits.rated_charge_A, limits.rated_discharge_A)
    small = layout.pack_all(np.abs(look.current + look.state.current_zero) <= ZERO_SHARE * rated)
    why = np.where(small, "", f"it shows more than {ZERO_SHARE:.0%} of rated current: check the sensor").astype(object)
    return np.where(_open(look), why, "only while the switchgear is open")


def held_soc(config: Config, wishes: Wishes) -> Floats:
    """Return the SOC to hold, (string,), NaN = none: the target, until there is just time to be full when asked."""
    return np.where(wishes.late, np.nan, wishes.target_soc)[config.layout.pack_of_string]


def timed(look: Look, wishes: Wishes, estimate: Estimate) -> tuple[Wishes, list[Event]]:
    """Return wishes as time goes on; called when something is estimated.

    What chargers give is learnt. Charging to be full in time begins with the first string that has just time left, and
    goes on, so that it is no relay around that moment; the request ends at its hour if full, else GRACE_NS later.
    """
    config, state, now_ns = look.config, look.state, look.now_ns
    wishes, layout = _learnt(look, wishes), config.layout
    asked = wishes.full_by_ns < FOREVER
    if not np.count_nonzero(asked):
        return wishes, []
    need_s = needed_s(config, wishes.charger_A, estimate, look.extremes[3])
    charges = np.isfinite(estimate.time_to_full_s) & wishes.late[layout.pack_of_string]
    need_s = np.where(charges, estimate.time_to_full_s, need_s)
    left_s = (wishes.full_by_ns - now_ns) * 1e-9
    late = asked & (wishes.late | layout.pack_any(~(left_s[layout.pack_of_string] > need_s)))
    full = layout.pack_all(FULL[state.charging.phase] | (estimate.string_soc >= FULL_FROM))
    ends = asked & (now_ns >= wishes.full_by_ns + np.where(full, 0, GRACE_NS))
    missed = asked & ~full & (wishes.full_by_ns <= now_ns) & (wishes.full_by_ns > state.estimated_ns)
    longest_s = np.maximum.reduceat(need_s, layout.first_string)
    known = asked & ~full & np.isfinite(longest_s)
    full_ns = np.where(known, now_ns + np.where(known, longest_s * 1e9, 0.0).astype(np.int64), FOREVER)
    after = replace(
        wishes,
        full_by_ns=np.where(ends, FOREVER, wishes.full_by_ns),
        late=late & ~ends,
        full_ns=np.where(ends, FOREVER, full_ns),
    )
    return after, [_missed(look, estimate, int(pack)) for pack in np.flatnonzero(missed)]


def needed_s(config: Config, charger_A: Floats, estimate: Estimate, cold_degC: Floats) -> Floats:
    """Return the time to full, (string,) s: by what chargers gave, or less where it is cold; SOC lower by a sigma."""
    missing_Ah = (1.0 - estimate.string_soc + estimate.string_soc_sigma) * estimate.usable_Ah
    flows_A = np.fmin(charger_A, on_map(cold_degC, config))
    with np.errstate(divide="ignore"):
        return missing_Ah / flows_A * 3600.0 + TAIL_S


def _learnt(look: Look, wishes: Wishes) -> Wishes:
    """Return wishes with what chargers give: a mean over time in bulk, less only where no limit of ours is near."""
    state, current, before = look.state, look.current, wishes.charger_A
    most = state.window.charge_A
    fills = (state.charging.phase == ChargePhase.BULK) & (current > look.config.idle_A)
    free = (current < BOUND * most) & (most >= BOUND * before)  # a limit that fades judges nobody
    fills &= (current > before) | free
    if not np.count_nonzero(fills) or state.estimated_ns == NEVER:
        return wishes
    slow_s = np.where(current > before, RISE_S, FALL_S)
    share = np.exp((state.estimated_ns - look.now_ns) * 1e-9 / slow_s)
    return replace(wishes, charger_A=np.where(fills, share * before + (1.0 - share) * current, before))


def _missed(look: Look, estimate: Estimate, pack: int) -> Event:
    string = int(look.config.layout.first_string[pack])
    soc = float(estimate.string_soc[string])
    cause = f"charged to {100.0 * soc:.0f} %; chargers give {look.state.wishes.charger_A[string]:.0f} A"
    return Event(look.now_ns, "system", "not full by the hour asked", string, -1, soc, 1.0, cause)


def _open(look: Look) -> Bools:
    phase, kind = look.state.switches.phase, look.config.switch.kind
    return look.config.layout.pack_all((phase == 0) & (kind != Switchgear.NONE))


def fraction(x: Floats) -> Bools:
    """Return where a request is within its bounds of 0 to 1; NaN, no request, is not."""
    return (x >= 0.0) & (x <= 1.0)


@lru_cache(maxsize=16)  # as for `anything`
def set_now(requests: Requests) -> Bools:
    """Return the packs whose SOC is set now, (pack,)."""
    return fraction(requests.set_soc)


def _fallen(look: Look, packs: Bools) -> list[Event]:
    """Tell of every wish to close that a latched fault ended; the first string of the pack stands for it."""
    events = []
    for string in look.config.layout.first_string[np.flatnonzero(packs)].tolist():
        cause = f"{demand(look.config, look.state.faults).locks(look.config, string)} must be reset first"
        events.append(Event(look.now_ns, "system", "wish to close fell", string, -1, np.nan, np.nan, cause))
    return events


def _events(look: Look, asked: dict[str, Bools], refused: dict[str, np.ndarray]) -> list[Event]:
    """Log every request with its answer; the first string of the pack stands for it."""
    events = []
    for name, packs in asked.items():
        for pack in np.flatnonzero(packs):
            why = str(refused[name][pack]) if name in refused else ""
            string = int(look.config.layout.first_string[pack])
            events.append(Event(look.now_ns, "refuse" if why else "request", name, string, -1, np.nan, np.nan, why))
    return events


def reset_answers(look: Look, requests: Requests, after: Faults) -> list[Event]:
    """Say of each reset what became of it: granted where it ended a latch or gave tries back, else refused with why."""
    layout, before, events = look.config.layout, look.state.faults, list[Event]()
    if not anything(requests):
        return events
    for pack in np.flatnonzero(requests.reset):
        mine = layout.pack_of_string == pack
        ended = before.latched & ~after.latched
        helped = bool(ended[:, mine].any()) or bool(look.state.switches.tries[mine].any())
        left = np.flatnonzero(after.latched[:, mine].any(axis=1)).tolist()
        why = "; ".join(_why_latched(look.config, row, bool(requests.service[pack])) for row in left)
        why = why or ("" if helped else "nothing is latched")
        string = int(layout.first_string[pack])
        kind = "request" if helped else "refuse"
        events.append(Event(look.now_ns, kind, "reset", string, -1, np.nan, np.nan, why))
    return events


def _why_latched(config: Config, row: int, service: bool) -> str:
    name = config.faults.name[row].replace("_", " ")
    if config.faults.latch[row] == Latch.SERVICE and not service:
        return f"{name} needs the service key"
    seconds = config.faults.release_ns[row] * 1e-9
    return f"{name}: its cause must be gone for {seconds:g} s"
