"""How far current goes beyond the limits that were published, as machines can follow them."""

from functools import lru_cache

import numpy as np

from cellarer.core.decide.consumers import fed_A, fed_by, feeds
from cellarer.core.validate import TOLD_SLOTS
from cellarer.model.config import SENSOR_SHARE, Config, Switchgear
from cellarer.model.values import NEVER, Bools, Floats, State

ANSWER_NS = 10_000_000_000  # inverters and chargers may answer a limit so late …
FOLLOW_S = 5.0  # s: … and then take this long from full current to none
OVER_LIMIT = 1.05  # 1: a current this far above the published limit ignores it …
MORE = 0.05  # 1: … and defies it this much further


def followed(config: Config, state: State, current: Floats, now_ns: int) -> tuple[Floats, int, Floats, Floats]:
    """Return (told, told_ns, allowed, over) as below; where limits are published to nobody, nobody is over them."""
    if _published(config) is None:
        return state.watch.told_A, state.watch.told_ns, *_nobody(config)
    told, told_ns = _told(state, now_ns)
    return told, told_ns, *_over(config, state, current, told, now_ns)


def _told(state: State, now_ns: int) -> tuple[Floats, int]:
    """Return (the greatest limit published in each of the last slots of time, newest first, begin of the newest)."""
    before, told, slot_ns = state.watch, state.watch.told_A, ANSWER_NS // (TOLD_SLOTS - 1)
    limit = np.array((state.window.charge_A, state.window.discharge_A))
    begin_ns = before.told_ns if before.told_ns > NEVER else now_ns - TOLD_SLOTS * slot_ns
    new = (now_ns - begin_ns) // slot_ns
    if new == 0:
        more = np.count_nonzero(limit > told[0])
        return (np.concatenate((np.maximum(told[:1], limit), told[1:])) if more else told), begin_ns
    kept = max(TOLD_SLOTS - new, 0)
    told = np.concatenate((np.broadcast_to(limit, (TOLD_SLOTS - kept, *limit.shape)), told[:kept]))
    return told, begin_ns + new * slot_ns


def _over(config: Config, state: State, current: Floats, told: Floats, now_ns: int) -> tuple[Floats, Floats]:
    """Return (allowed, over), A, (way, string): the limits as machines can follow them, how far current goes beyond.

    A limit that falls a little every second is never followed exactly by a machine that answers late: whoever keeps
    one of the limits of the last ANSWER_NS obeys. And a sound sensor may show a little more than flows. What a pack
    feeds itself, by our own order, ignores nobody.
    """
    dt_s = (now_ns - state.time_ns) * 1e-9 if state.time_ns > NEVER else 0.0
    rated, margin, ours = _machines(config)
    before = state.watch
    allowed = np.array((before.allowed_charge_A, before.allowed_discharge_A)) - rated * dt_s / FOLLOW_S
    allowed = np.maximum(told.max(axis=0), allowed)
    own = _own_A(config, state) if feeds(config) else 0.0
    over = np.array((current, -current - own)) - OVER_LIMIT * allowed - margin
    return allowed, over if ours is None else np.where(ours, over, -np.inf)


def _own_A(config: Config, state: State) -> Floats:
    """Return what heater, flow, chiller and control take from each string at most, as ordered last, (string,) A."""
    return fed_by(config, state.switches, fed_A(config, state.command.heater, state.command.pump))


@lru_cache(maxsize=16)
def _machines(config: Config) -> tuple[Floats, Floats, Bools | None]:
    """Return (rated current, by how much sensors may err, A; where limits are ours, None = everywhere), (string,)."""
    rated = np.maximum(config.limits.rated_charge_A, config.limits.rated_discharge_A)
    ours = config.switch.kind != Switchgear.NONE
    return rated, np.maximum(SENSOR_SHARE * rated, config.idle_A), None if ours.all() else ours


@lru_cache(maxsize=16)
def _published(config: Config) -> Bools | None:
    """Return where limits are published to anybody, (string,); None = nowhere."""
    published = config.switch.kind != Switchgear.NONE
    return published if published.any() else None


@lru_cache(maxsize=16)
def _nobody(config: Config) -> tuple[Floats, Floats]:
    """Return (allowed, over) where no limit is published, (way, string)."""
    shape = 2, config.layout.yes.size
    return np.zeros(shape), np.full(shape, -np.inf)
