"""Heater, flow and chiller by rules that are safe by themselves; a plan may move their set points within bounds.

Unknown temperature: flow on, heater off. Hysteresis in temperature, and shortest times in the safe direction only: off
is at once for the heater, on is at once for the flow. The estimated core may ask for more cooling, never for less. A
plan says how warm cells are kept, or from where on flow runs; when it expires the rules' own set points are back in
the same cycle. With a chiller the lower half of the order is flow alone; the upper half waits for coolant that is
known to be warmer than `coolest_degC`, and than the dew point of the surroundings where the site says how humid they
may be, so that nothing in the pack falls below it. A pack that feeds its heater itself gives it what its cells may give
now, or what a charger brings: cold and empty it tries now and then, for as long as a charger takes to answer, whether
one feeds the heater (`lent_A`), but never where its lowest cell is below its minimum.
"""

from functools import lru_cache

import numpy as np

from cellarer.core.decide.consumers import FLOW_ALONE, fed_A, fed_by, feeds
from cellarer.core.decide.limit import fade
from cellarer.core.decide.look import carrying
from cellarer.core.decide.signals import Look
from cellarer.model.config import Config
from cellarer.model.values import NEVER, Bools, Climate, Floats, Ints, Plan

BAND_K = 5.0  # K: cells are heated to this far above their cold limit, and cooled from this far below their warm limit
HYSTERESIS_K = 2.0  # heating ends, and cooling ends, this far beyond where it began
LEAST_FLOW = 0.2  # 1: a fan below does not turn
MAGNUS, MAGNUS_degC = 17.62, 243.12  # 1, degC: over water, -45 to 60 degC (WMO-No. 8, part I, annex 4.B; Sonntag 1990)
DEW_K = 2.0  # K: coolant stays so far above: 1 K of either sensor (own estimate)
LENT = 0.8  # of what a heater takes: so much a charger may bring while cells may not be charged; they are never
TRY_NS = 30_000_000_000  # chargers answer after 1 to 10 s, and take their time to full current
AGAIN_NS = 1_800_000_000_000  # 30 s of the heater in half an hour: sized as if typical, 2e-4 of capacity (own estimate)
FED = 0.5  # of what the heater takes: less is no charger that feeds it
LOST_S = 1800.0  # coolant has lost most of the heat, or cold, of what worked on it after this long
GENTLE = 0.3  # 1: order of a plan that cools ahead of time: the power of flow rises with its cube


def start(config: Config) -> Climate:
    """Return heating and cooling that are off and free to begin."""
    n = config.layout.size["pack"]
    no, never, unknown = np.zeros(n, bool), np.full(n, NEVER), np.full(n, np.nan)
    return Climate(no, never, no, never, unknown, np.full((2, n), np.nan))


def cool(look: Look, plan: Plan) -> tuple[Climate, Floats, Floats]:
    """Return the memory, heater and pump; (pack,), orders 0…1."""
    config, before = look.config, look.state.climate
    if not (np.count_nonzero(config.heater) or np.count_nonzero(config.cooler)):
        none = np.zeros(config.layout.size["pack"])
        return before, none, none
    cooling, flow = _cooling(look, plan)
    hottest = np.maximum.reduceat(look.extremes[2], config.layout.first_string)
    heating = config.heater & _heating(look, plan) & ~cooling & _may_feed(look)
    now_ns = look.now_ns
    climate = Climate(
        heating,
        np.where(heating == before.heating, before.heating_ns, now_ns),
        cooling,
        np.where(cooling == before.cooling, before.cooling_ns, now_ns),
        np.where(cooling & ~before.cooling, hottest, before.began_degC),
        _around(look, heating, cooling),
    )
    return climate, heating.astype(np.float64), np.where(config.cooler, _above_dew(look, flow), 0.0)


def _around(look: Look, heating: Bools, cooling: Bools) -> Floats:
    """Return the warmest and the coldest that coolant may be with heater and chiller off, (2, pack) degC.

    Cells and surroundings bound it; what it was while they worked, at the start, or in another weather is lost within
    LOST_S. Cells colder than all that are so by the chiller, and excuse nothing.
    """
    first, (was_warm, was_cold) = look.config.layout.first_string, look.state.climate.around_degC
    ambient, coolant = look.of("ambient_degC"), look.of("coolant_degC")
    top = np.maximum(ambient, np.maximum.reduceat(look.extremes[2], first))
    low = np.minimum(ambient, np.minimum.reduceat(look.extremes[3], first))
    share = min((look.now_ns - look.state.time_ns) * 1e-9 / LOST_S, 1.0)
    warmest = np.maximum(top, was_warm + share * (top - was_warm))
    coldest = np.minimum(ambient, was_cold + share * np.maximum(low - was_cold, 0.0))
    warmest = np.where(heating | np.isnan(was_warm), np.maximum(top, coolant), warmest)
    coldest = np.where(cooling | np.isnan(was_cold), np.minimum(low, coolant), coldest)
    return np.array((np.where(np.isnan(warmest), was_warm, warmest), np.where(np.isnan(coldest), was_cold, coldest)))


def _chilled(look: Look) -> Bools:
    """Return in which packs a chiller runs unasked, (pack,): heat against it empties the battery and warms nothing."""
    return look.config.layout.pack_any(np.logical_or.reduce(look.state.faults.active[_chiller_rows(look.config)]))


@lru_cache(maxsize=16)
def _chiller_rows(config: Config) -> Ints:
    return np.flatnonzero([signal == "chiller_unasked" for signal in config.faults.signal])


def _may_feed(look: Look) -> Bools:
    """Return which packs may give their heater its current, (pack,); all that need not. Unknown is no.

    Each connected string its share, within the limit published last, on top of what a charger brings.
    """
    config, layout, switches = look.config, look.config.layout, look.state.switches
    if not feeds(config):
        return ~config.climate.behind
    off = np.zeros(layout.size["pack"])
    needs, now = (
        fed_by(config, switches, fed_A(config, heater, off))
        for heater in (off + 1.0, look.state.climate.heating.astype(np.float64))
    )
    brought, may = np.maximum(look.current + now, 0.0), carrying(config, switches)[1]
    enough = layout.pack_all((needs <= look.state.window.discharge_A + brought) | ~may)
    return (layout.pack_any(may) & (enough | _tries(look, brought >= FED * needs))) | ~config.climate.behind


def _tries(look: Look, fed: Bools) -> Bools:
    """Return which packs may heat although their cells should give nothing: for a moment, or while a charger does."""
    table, layout, before = look.config.limits, look.config.layout, look.state.climate
    low, cold = look.extremes[1], look.extremes[3]
    able = layout.pack_all((low > table.discharge_zero_V) & (cold > table.discharge_cold_degC))
    since_ns = look.now_ns - before.heating_ns
    goes_on = (since_ns < TRY_NS) | layout.pack_all(fed | ~carrying(look.config, look.state.switches)[1])
    return able & np.where(before.heating, goes_on, since_ns >= AGAIN_NS)


def lent_A(look: Look, heater: Floats) -> Floats:
    """Return what chargers may bring for the heater alone, (pack,) A, whatever cells may take; 0 = nothing.

    Less than it takes, and only while it is seen to discharge the cells: a dead heater lends nothing.
    """
    layout, table = look.config.layout, look.config.climate
    volts = np.maximum.reduceat(look.voltage, layout.first_string)
    takes = table.heater_W * heater / np.where(volts > 0.0, volts, np.inf)
    flows = np.add.reduceat(look.current, layout.first_string)
    seen = table.behind & (takes > 0.0) & (flows <= -0.5 * (1.0 - LENT) * takes)
    return np.where(seen, LENT * takes, 0.0)


def _planned(look: Look, plan: Plan, degC: Floats) -> Floats:
    """Return a set point of the plan, (string,); NaN where it says nothing or is no longer valid."""
    if plan.climate_ns <= look.now_ns:
        return np.full(look.config.layout.yes.size, np.nan)
    return degC[look.config.layout.pack_of_string]


def _heating(look: Look, plan: Plan) -> Bools:
    """Return which packs are to be heated: some string is too cold, every sensor is known, none is warm."""
    config, layout, table, before = look.config, look.config.layout, look.config.limits, look.state.climate
    hot, cold = look.extremes[2:]
    planned = _planned(look, plan, plan.preheat_degC)
    planned = np.clip(planned, table.discharge_cold_degC + BAND_K, table.charge_warm_degC - BAND_K)
    wanted_degC = np.where(np.isnan(planned), table.charge_cold_degC + BAND_K, planned)
    on = layout.pack_any(cold < wanted_degC)
    stays = layout.pack_any(cold < wanted_degC + HYSTERESIS_K)
    rested = look.now_ns - before.heating_ns >= config.climate.rest_ns
    may = layout.pack_all((hot < table.charge_warm_degC) & (cold <= hot))  # unknown is neither
    return may & np.where(before.heating, stays, on & rested) & ~_chilled(look)


def _cooling(look: Look, plan: Plan) -> tuple[Bools, Floats]:
    """Return which packs are cooled, and the flow wanted, (pack,) 0…1."""
    config, layout, table, before = look.config, look.config.layout, look.config.limits, look.state.climate
    hot = look.extremes[2]
    core = layout.highest(look.state.estimate.core_degC)
    hot = np.where(core > hot, core, hot)  # an unknown sensor stays unknown
    from_degC = table.charge_warm_degC - BAND_K
    planned = _planned(look, plan, plan.precool_degC)
    planned = np.clip(planned, table.charge_cool_degC + 2.0 * BAND_K, table.charge_warm_degC)
    begins_degC = np.where(np.isnan(planned), from_degC, planned)
    wanted = 1.0 - fade(hot, np.maximum(begins_degC, from_degC), table.charge_hot_degC)
    wanted = np.where((hot > planned) & (planned < from_degC), np.maximum(wanted, GENTLE), wanted)
    on = layout.pack_any(~(hot <= begins_degC))
    stays = layout.pack_any(~(hot <= begins_degC - HYSTERESIS_K))
    held = look.now_ns - before.cooling_ns < config.climate.rest_ns
    cooling = config.cooler & np.where(before.cooling, stays | held, on)
    flow = np.maximum.reduceat(wanted, layout.first_string)
    return cooling, np.where(cooling, np.maximum(flow, LEAST_FLOW), 0.0)


def dew_degC(ambient_degC: Floats, humidity: Floats) -> Floats:
    """Return the dew point of air, degC: where water in it, humidity (1) of what saturates it, would saturate it."""
    share = np.log(humidity) + MAGNUS * ambient_degC / (MAGNUS_degC + ambient_degC)
    return MAGNUS_degC * share / (MAGNUS - share)


def _above_dew(look: Look, flow: Floats) -> Floats:
    """Return the order with the chiller only where the coolant is known to be warm enough, (pack,)."""
    climate = look.config.climate
    wet_degC = np.maximum(climate.coolest_degC, dew_degC(look.of("ambient_degC"), climate.humidity) + DEW_K)
    least_degC = np.where(np.isnan(climate.humidity), climate.coolest_degC, wet_degC)
    dry = look.of("coolant_degC") > least_degC  # unknown and absent are not
    return np.where((climate.chiller_W > 0.0) & ~dry, np.minimum(flow, FLOW_ALONE), flow)
