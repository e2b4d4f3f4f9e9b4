"""Signals of temperature for fault rows: rises, thermal runaway and what comes before it, heater and flow.

How signals work: signals.py.
"""

import numpy as np

from cellarer.core.decide.derived import WITNESSES
from cellarer.core.decide.look import Look, Reading, masked, one, worst
from cellarer.core.digest import NOT_NOW
from cellarer.core.validate import CALM_NS
from cellarer.model.values import NEVER, Bools, Floats

FLOW_THERE_NS = 900_000_000_000  # flow shows on the cells after this long …
EXCESS_K, CALM_SHARE = 8.0, 0.1  # … if they were so much warmer than the surroundings, at so little current


def temp_rate(look: Look) -> Reading:
    """Fastest rise of any sensor that lasted for two windows, K/s."""
    return worst(look, look.watch.temp_rate, look.watch.temp_ns, "temp")


def runaway(look: Look) -> Reading:
    """Fastest rise of a sensor that is too hot, or whose cell lost a quarter of its voltage, K/s (GB 38031-2025)."""
    times = look.watch.temp_ns, look.watch.climb_ns
    lasting, steep = (worst(look, x, t, "temp") for x, t in zip(_running_away(look), times, strict=True))
    time_ns = np.where(steep.value > lasting.value, steep.time_ns, lasting.time_ns)
    return Reading(np.maximum(lasting.value, steep.value), lasting.known, time_ns)


def running_away(look: Look) -> Floats:
    """Return the same of each sensor, (temp,)."""
    lasting, steep = _running_away(look)
    return np.where(lasting >= steep, lasting, steep)  # a sensor that died has no rate over windows


def _running_away(look: Look) -> tuple[Floats, Floats]:
    """Return rises over windows, and those too fast for them, K/s, (temp,) each.

    The latter are told by three witnesses: steep steps of the sensor, at least one; that it died of them, lately; and a
    cell that lost its voltage. A short circuit is one step, or none, and dead.
    """
    watch, layout = look.watch, look.config.layout
    hottest = look.config.limits.discharge_hot_degC[layout.string_of_temp]
    lost = _of_sensor(look, look.calm["cell_voltage"] < 0.75 * watch.others)
    lasting = np.where((look.calm["temp_degC"] >= hottest) | lost, watch.temp_rate, NOT_NOW)
    witnesses = watch.climbs + np.isnan(look.of("temp_degC")) + lost
    steep = (watch.climbs > 0) & (witnesses >= WITNESSES) & (look.now_ns - watch.climb_ns <= CALM_NS)
    return lasting, np.where(steep & ((watch.climb_degC >= hottest) | lost), watch.climb_rate, NOT_NOW)


def runaway_precursor(look: Look) -> Reading:
    """Rise of a sensor beyond the mean of the known others while a cell of it sags below the others, K/s."""
    return worst(look, heralding(look), look.watch.temp_ns, "temp")


def heralding(look: Look) -> Floats:
    layout, rate = look.config.layout, look.watch.temp_rate
    sags = look.calm["cell_voltage"] < look.watch.others - look.config.limits.sag_V[layout.string_of_cell]
    known, at, strings = ~np.isnan(rate), layout.string_of_temp, layout.size["string"]
    total = np.bincount(at, np.where(known, rate, 0.0), strings)[at]
    others = np.bincount(at, known, strings)[at] - 1.0
    mean = (total - rate) / np.where(others > 0.0, others, np.nan)
    return np.where(_of_sensor(look, sags), rate - mean, NOT_NOW)


def _of_sensor(look: Look, cells: Bools) -> Bools:
    """Return (temp,): any of the cells that a sensor speaks for."""
    sensor = look.config.layout.temp_of_cell
    found = np.zeros(look.config.layout.size["temp"], bool)
    found[sensor[cells & (sensor >= 0)]] = True
    return found


def hot_spot(look: Look) -> Reading:
    """How much warmer the hottest sensor is than the mean of the others of its string, K."""
    layout, temps = look.config.layout, look.calm["temp_degC"]
    count = np.maximum(layout.over_temps(np.add, np.ones(temps.size), 0.0) - 1.0, 1.0)
    hot, time_ns = look.extremes[2], layout.over_temps(np.maximum, look.time_ns("temp_degC"), NEVER)
    return one(hot - (layout.over_temps(np.add, temps, 0.0) - hot) / count, time_ns)


def heater_unasked(look: Look) -> Reading:
    """How much warmer coolant is than cells and surroundings have lately been, with the heater ordered off, K."""
    climate = look.state.climate
    return _unasked(look, look.of("coolant_degC") - climate.around_degC[0], ~climate.heating)


def chiller_unasked(look: Look) -> Reading:
    """How much colder coolant is than cells and surroundings have lately been, with cooling ordered off, K."""
    climate = look.state.climate
    return _unasked(look, climate.around_degC[1] - look.of("coolant_degC"), ~climate.cooling)


def _unasked(look: Look, beyond: Floats, off: Bools) -> Reading:
    known = ~np.isnan(look.of("ambient_degC") + look.extremes[2:].sum(axis=0)[look.config.layout.first_string])
    pack = look.config.layout.pack_of_string
    reading = one(np.where(known, beyond, np.nan)[pack], look.time_ns("coolant_degC")[pack])
    return masked(reading, off[pack], look.config.layout.yes)


def flow_lost(look: Look) -> Reading:
    """How much of its excess over the surroundings the hottest cell still has, long after cooling began at rest, 1."""
    layout, climate, limits = look.config.layout, look.state.climate, look.config.limits
    pack, around = layout.pack_of_string, look.of("ambient_degC")
    begun = (climate.began_degC - around)[pack]
    calm = np.maximum(np.abs(look.current), np.abs(look.state.estimate.mean_A)) <= CALM_SHARE * limits.rated_charge_A
    long = climate.cooling & (look.now_ns - climate.cooling_ns >= FLOW_THERE_NS)
    left = (look.extremes[2] - around[pack]) / np.where(begun > 0.0, begun, np.nan)
    applies = long[pack] & calm & (begun >= EXCESS_K)
    return masked(one(left, layout.over_temps(np.maximum, look.time_ns("temp_degC"), NEVER)), applies, layout.yes)
