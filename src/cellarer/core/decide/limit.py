"""Limits only narrow: every reason gives a window, the result is their intersection, and the reason that binds is kept.

From operating to recommended the current falls linearly to zero; unknown measurements give zero. Down at once, up
slowly. Estimates may narrow (SOC, SOP) and never widen. Open switchgear carries no limit above zero.
Both directions are worked on side by side: shape (way, string), way 0 charges, way 1 discharges.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cellarer.core.decide.look import carrying, hides
from cellarer.core.decide.protect import Demand
from cellarer.core.decide.signals import Look, has_switchgear
from cellarer.core.estimate import REASONS
from cellarer.model.config import Config
from cellarer.model.reasons import INDEX
from cellarer.model.values import Bools, Estimate, Floats, Ints, Switches, Window

try:
    from cellarer.core import kernel_limit as _kernel
except ImportError:  # without numba NumPy does the work
    _kernel = None  # type: ignore[assignment]

RECOVERING, CELL_HIGH, RATED = np.array([INDEX[name] for name in ("recovering", "cell voltage high", "rated")], np.int8)
Allowed = tuple[Floats, Floats, Floats]  # of a charge phase: end voltage per cell, charge and discharge current
SOC_FADE = 0.05  # 1: discharge falls to zero over the last five points above the floor (as OpenEMS does)

# Windows in the order in which equal ones are named; the left name charges, the right one discharges
WINDOWS = (
    ("rated", "rated"),
    ("unknown measurement", "unknown measurement"),
    ("foreign BMS", "foreign BMS"),
    ("fault", "fault"),
    ("switchgear open", "switchgear open"),
    ("cell voltage high", "cell voltage low"),
    ("temperature high", "temperature high"),
    ("temperature low", "temperature low"),
    ("power forecast", "power forecast"),  # behind what is measured: of two that leave nothing that one says why
    ("charge phase", "state of charge"),
    ("wiring", "wiring"),
    ("core temperature", "core temperature"),
)
VOLTAGE, HOT, COLD, FORECAST, PHASE, WIRING, CORE = 5, 6, 7, 8, 9, 10, 11  # rows of WINDOWS
HEAT_DOUBT = 2.0 * 0.10  # 1: two sigmas of how far the core is warmer; its heat is known as resistance is, within 10 %
HORIZONS_S = (2.0, 10.0, 30.0, np.inf)
IN_FORCE = 1  # the horizon of the limits in force
BY_VOLTAGE = REASONS.index("voltage")
BAND_V = 0.005  # V per cell: noise is smaller; what differs by more is followed at once
BEYOND_V = 0.005  # V: further above its end voltage a cell is, whatever the noise
UNEVEN_S = (5.0, 60.0)  # s: CVL follows a cell that runs ahead soon, and its return slowly: noise makes no jitter
# A limit below the rated one that may rise by less than this share of that does so slowly: noise, and a machine that is
# a step beyond its limit now and then, make no ripple. More of it where the machine's own current comes back as
# voltage, and where a forecast learns: at the knee what it learns comes and goes. Of the rated current, row 0, it is
# what comes back at BACK
RIPPLE, RIPPLE_S = np.full(len(WINDOWS), 0.05), 120.0
RIPPLE[[0, VOLTAGE, FORECAST]] = 0.10, 0.20, 0.20
BACK = 0.25  # 1: of the speed of a rise, where less than RIPPLE[0] is missing to the rated current
REASON = np.array([[INDEX[name] for name in names] for names in WINDOWS], np.int8)  # (window, way)
NAMED = np.concatenate((REASON, np.full((1, 2), RECOVERING)))  # … then of a rise that waits
WAYS = np.arange(2)[:, None]
FADES = np.array([[0, 1], [2, 2], [3, 3]])  # (3, way) into Look.extremes: cell voltage, hot, cold


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """What limits need of a Config, laid side by side."""

    rated_A: Floats  # (way, string)
    zero: Floats  # (3, way, string): cell voltage, hot, cold: no current here …
    band: Floats  # … whole current this far from there; signed
    rise: Floats  # (way, string) A/s
    has_gear: bool  # any string has switchgear
    has_floor: bool  # any string has a floor of SOC
    blind: Bools | None  # (string,) has no temperature sensor; None where all have one
    foreign: Bools | None  # (way, string) a foreign BMS reports its limit; None where none does
    map_degC: Floats  # (string, point) charge current over temperature
    map_pieces: (
        Floats  # (4, string · (point + 1)): of each piece its begin, width, value at the begin, and rise over it
    )
    map_first: Ints  # (string,) index of the first piece
    end_V: Floats  # (string,) V at the end of charge
    empty_V: Floats  # (string,)
    ohm: Floats  # (string,) mean of its cells
    wire_A2: Floats  # (element, string) what wiring carries for ever, squared
    wire_left: Floats  # (horizon, element, string) what is left of its heat after the horizon
    series: Floats  # (string,)
    nothing_said: Floats  # (2 · string,) inf: no foreign BMS reports a limit
    maps: tuple[Bools, Floats, Floats]  # blind, map_degC and map_pieces as the compiled pass takes them


@lru_cache(maxsize=16)
def _bounds(config: Config) -> Bounds:
    t, layout = config.limits, config.layout
    rated = np.array((t.rated_charge_A, t.rated_discharge_A))
    blind = np.ones(layout.size["string"], bool)
    blind[layout.strings_with_temp] = False
    present = config.sensing.present
    foreign = np.array([present[layout.where[f"foreign_{way}_limit"]] for way in ("charge", "discharge")])
    full = (
        (t.charge_V, t.discharge_V),
        (t.charge_warm_degC, t.discharge_warm_degC),
        (t.charge_cool_degC, t.discharge_cool_degC),
    )
    zero = (
        (t.charge_zero_V, t.discharge_zero_V),
        (t.charge_hot_degC, t.discharge_hot_degC),
        (t.charge_cold_degC, t.discharge_cold_degC),
    )
    return Bounds(
        rated_A=rated,
        zero=np.array(zero),
        band=np.array(zero) - np.array(full),
        rise=t.rise_per_s * rated,
        has_gear=has_switchgear(config),
        has_floor=bool((t.floor_soc > 0.0).any()),
        blind=blind if blind.any() else None,
        foreign=foreign if foreign.any() else None,
        map_degC=t.map_degC,
        map_pieces=_pieces(t.map_degC, t.map_A),
        map_first=np.arange(t.map_degC.shape[0]) * (t.map_degC.shape[1] + 1),
        end_V=config.series * t.end_of_charge_V,
        empty_V=config.series * t.end_of_discharge_V,
        ohm=layout.total(config.cell_ohm) / config.series,
        wire_A2=t.wire_A**2,
        wire_left=np.exp(-np.array(HORIZONS_S)[:, None, None] / t.wire_s),
        series=config.series.astype(np.float64),
        nothing_said=np.full(rated.size, np.inf),
        maps=(blind, t.map_degC, _pieces(t.map_degC, t.map_A)),
    )


def _pieces(at: Floats, value: Floats) -> Floats:
    """Return the pieces of maps (string, point): the one before the first point is the first one, the last is flat."""
    wide = np.maximum(np.diff(at, append=at[:, -1:]), 1e-9)
    pieces = np.array((at, wide, value, np.diff(value, append=value[:, -1:])))
    return np.concatenate((pieces[:, :, :1], pieces), axis=2).reshape(4, -1)


def fade(x: Floats, full: Floats, zero: Floats) -> Floats:
    """Scale from 1 at `full` to 0 at `zero`, linear between, flat outside; (string,). NaN gives 0.

    `full` may lie above or below `zero`; they differ (checked in config).
    """
    return _zero_if_unknown(_share(zero - x, zero - full))


def _share(left: Floats, band: Floats) -> Floats:
    """Return how much of `band` is left, 0 to 1; NaN spreads."""
    return np.minimum(np.maximum(left / band, 0.0), 1.0)


def on_map(x: Floats, config: Config) -> Floats:
    """Look up the charge-current map of each string, piecewise linear. x (…, string) degC; NaN spreads."""
    bounds = _bounds(config)
    if _kernel is not None and x.ndim == 1:
        current = np.empty(x.size)
        _kernel.on_map(x, bounds.map_degC, bounds.map_pieces, current)
        return current
    piece = (x[..., None] >= bounds.map_degC).sum(axis=-1) + bounds.map_first
    begin, wide, value, rise = bounds.map_pieces[:, piece]
    return value + _share(x - begin, wide) * rise


def limit(
    look: Look,
    demand: Demand,
    switches: Switches,
    estimate: Estimate,
    phase: Allowed,
    dt_s: float,
    plain: bool = False,
) -> Window:
    """Return the limits of this cycle. plain: by NumPy even where the kernel is there.

    phase: (string,) what the charge phase allows: cell voltage to charge to, charge and discharge current. CVL is the
    string voltage at which the highest cell arrives at its end voltage: it governs, not the pack.
    """
    return (_limit_plain if plain or _kernel is None else _limit)(look, demand, switches, estimate, phase, dt_s)


def _limit(
    look: Look, demand: Demand, switches: Switches, estimate: Estimate, phase: Allowed, dt_s: float
) -> Window:  # fmt: skip
    """Do what _limit_plain does in compiled passes."""
    end_V, charge_A, discharge_A = phase
    config, bounds, voltage, before = look.config, _bounds(look.config), look.voltage, look.state.window
    n = voltage.size
    allowed, limits, volts = np.empty((len(WINDOWS), 2, n)), np.empty((4, n)), np.empty((2, n))
    reasons, peaks = np.empty((2, n), np.int8), np.empty((2, len(HORIZONS_S), 2, n))
    soc = floor_soc(look, estimate) if bounds.has_floor else estimate.string_soc
    _kernel.windows(
        bounds.rated_A, bounds.zero, bounds.band, bounds.ohm, *bounds.maps, look.unbled_extremes, look.current,
        _said(look, bounds), demand.open, demand.ramp, demand.fraction, carrying(config, switches),
        charge_A, discharge_A, config.limits.floor_soc, soc, SOC_FADE, _inside(look, estimate), allowed,
    )  # fmt: skip
    _kernel.intersect(
        allowed, bounds.rated_A, bounds.rise * dt_s, NAMED, IN_FORCE, bounds.wire_A2, bounds.wire_left,
        look.watch.wire_heat, *forecast(config, estimate), voltage, before.charge_A, before.discharge_A,
        before.peak_A, RIPPLE, BACK, min(dt_s / RIPPLE_S, 1.0), limits, reasons, peaks,
    )  # fmt: skip
    _kernel.end_voltage(
        look.unbled_voltage, look.high_V, bounds.series, end_V, before.uneven_V, dt_s, BAND_V, BEYOND_V, *UNEVEN_S,
        volts,
    )  # fmt: skip
    narrowed = np.where(volts[0] < bounds.end_V - 1e-9, CELL_HIGH, RATED)
    return Window(
        limits[0], limits[1], volts[0], bounds.empty_V, limits[2], limits[3], reasons[0], reasons[1], narrowed,
        peaks[0], peaks[1], volts[1],
    )  # fmt: skip


def _said(look: Look, bounds: Bounds) -> Floats:
    """Return what a foreign BMS allows, (2 · string,); inf where none reports."""
    if bounds.foreign is None:
        return bounds.nothing_said
    said = np.array((look.of("foreign_charge_limit"), look.of("foreign_discharge_limit")))
    return np.where(bounds.foreign, said, np.inf).reshape(-1)


def _limit_plain(
    look: Look, demand: Demand, switches: Switches, estimate: Estimate, phase: Allowed, dt_s: float
) -> Window:  # fmt: skip
    end_V, charge_A, discharge_A = phase
    config, bounds = look.config, _bounds(look.config)
    voltage = look.voltage
    windows = _windows(look, demand, switches, estimate)
    windows[PHASE, 0] = charge_A
    windows[PHASE, 1] = discharge_A
    if bounds.has_floor:
        windows[PHASE, 1] *= _above_floor(config.limits.floor_soc, floor_soc(look, estimate))
    windows = _zero_if_unknown(windows)
    peaks = _peaks(look, estimate, windows)
    windows[FORECAST], windows[WIRING] = peaks[:, IN_FORCE]
    least = windows.argmin(axis=0)
    most, reason = windows.min(axis=0), REASON[least, WAYS]
    before = look.state.window
    rise, told = bounds.rise * dt_s, np.array((before.charge_A, before.discharge_A))
    near, below = most - told < RIPPLE[least] * bounds.rated_A, most < bounds.rated_A
    ripples = near & below
    back = np.where(near, BACK * rise, rise)
    slow = told + np.where(ripples, np.minimum(rise, (most - told) * min(dt_s / RIPPLE_S, 1.0)), back)
    reason = np.where((most > slow + 1e-9) & ~ripples, RECOVERING, reason)
    current = np.minimum(most, slow)
    power = _zero_if_unknown(current * voltage)
    windows[[FORECAST, WIRING]] = bounds.rated_A
    peak_A = np.minimum(np.minimum(peaks.min(axis=0), windows.min(axis=0)), before.peak_A + rise)
    uneven_V = _uneven(look, end_V, dt_s)
    known = (voltage > 0.0) & (look.high_V > 0.0)
    charge_V = np.where(known, _zero_if_unknown(config.series * end_V - uneven_V), 0.0)
    narrowed = charge_V < bounds.end_V - 1e-9
    return Window(
        charge_A=current[0],
        discharge_A=current[1],
        charge_V=charge_V,
        discharge_V=bounds.empty_V,
        charge_W=power[0],
        discharge_W=power[1],
        charge_reason=reason[0],
        discharge_reason=reason[1],
        voltage_reason=np.where(narrowed, CELL_HIGH, RATED),
        peak_A=peak_A,
        peak_W=_peak_power(look, peak_A, estimate, voltage),
        uneven_V=uneven_V,
    )


@lru_cache(maxsize=2)  # an estimate stands for several cycles
def forecast(config: Config, estimate: Estimate) -> tuple[Floats, Floats]:
    """Return what SOP says to limits, A and W, (horizon, way, string): of the voltage it never forbids the tail.

    A promise keeps a margin for doubt, of current or none; at the end of charge no cell would ever get across it. There
    the measured highest cell governs (`_settled`), which no current as small as the tail carries past its zero unseen.
    What it says of temperature, and of cells that nobody knows, stands; and so does the horizon that SOC bounds.
    """
    tail_A = config.limits.tail_A
    least_A = np.zeros_like(estimate.sop_A)
    least_A[:-1, 0] = np.where(estimate.sop_reason[:-1, 0] == BY_VOLTAGE, tail_A, 0.0)
    most_W = least_A * config.series * config.limits.charge_zero_V
    return np.maximum(estimate.sop_A, least_A), np.maximum(estimate.sop_W, most_W)


def _peaks(look: Look, estimate: Estimate, windows: Floats) -> Floats:
    """Return what SOP and wiring allow over each horizon, A, (2, horizon, way, string); windows as `_windows` made.

    Where no forecast was made yet it does not speak (measured windows still do). Wiring is a thermal image x of the
    current squared: from x, over T seconds, I² = (L² − x·e)/(1 − e) with e = exp(−T/tau) ends at its limit L². What
    was not used comes back with the same time constant: a peak budget that recharges.
    """
    bounds, promised_A = _bounds(look.config), forecast(look.config, estimate)[0]
    rated = bounds.rated_A
    sop = np.where(np.isnan(promised_A), rated, np.maximum(promised_A, 0.0))
    if not bounds.wire_A2.size:
        return np.array((sop, np.broadcast_to(rated, sop.shape)))
    left = bounds.wire_left
    squared = (bounds.wire_A2 - look.watch.wire_heat * left) / (1.0 - left)
    wires = _zero_if_unknown(np.sqrt(np.maximum(squared, 0.0))).min(axis=1)  # (horizon, string)
    return np.array((sop, np.minimum(wires[:, None, :], rated)))


def _peak_power(look: Look, peak_A: Floats, estimate: Estimate, voltage: Floats) -> Floats:
    """Return the power of peak currents at the voltage of now, no more than was forecast, (horizon, way, string) W."""
    power = _zero_if_unknown(peak_A * voltage)
    promised_W = forecast(look.config, estimate)[1]
    return np.where(np.isnan(promised_W), power, np.minimum(power, np.maximum(promised_W, 0.0)))


def _uneven(look: Look, end_V: Floats, dt_s: float) -> Floats:
    """Return by how much the highest cell, times all, exceeds the string, (string,) V, smoothed; ≥ 0.

    Clearly beyond its end voltage nothing is smoothed: the charger has to give way now.
    """
    now, before = look.config.series * look.high_V - look.unbled_voltage, look.state.window.uneven_V
    time_s = np.where(now > before, *UNEVEN_S)
    share = np.where(np.isnan(before), 1.0, dt_s / (dt_s + time_s))
    band = look.config.series * BAND_V
    smooth = np.where(np.isnan(before), now, before + share * (now - before))
    smooth = np.minimum(np.maximum(smooth, now - band), now + band)
    smooth = np.where(look.high_V > end_V + BEYOND_V, np.maximum(smooth, now), smooth)
    return np.where(np.isnan(now), before, np.maximum(smooth, 0.0))


def _windows(look: Look, demand: Demand, switches: Switches, estimate: Estimate) -> Floats:
    """Return what each reason allows, A, (window, way, string), in the order of WINDOWS; the last one is left open.

    NaN is unknown; the caller makes it zero.
    """
    bounds, known = _bounds(look.config), ~np.isnan(look.extremes)
    rated = bounds.rated_A
    temps = known[2] & known[3] if bounds.blind is None else bounds.blind | (known[2] & known[3])
    windows = np.empty((len(WINDOWS), *rated.shape))
    windows[0] = rated
    windows[1] = np.where(look.flows[0] & temps & known[:2], rated, 0.0)
    windows[2] = rated if bounds.foreign is None else _foreign(look, bounds.foreign, rated)
    windows[3] = rated if demand.none else np.where(demand.blocked, 0.0, rated * demand.fraction)
    windows[4] = np.where(carrying(look.config, switches), rated, 0.0) if bounds.has_gear else rated
    windows[FORECAST] = windows[WIRING] = rated
    windows[VOLTAGE : COLD + 1] = _faded(look, bounds)
    windows[VOLTAGE] = np.minimum(windows[VOLTAGE], _settled(look))
    windows[CORE] = _inside(look, estimate)
    return windows


def _faded(look: Look, bounds: Bounds) -> Floats:
    """Return what extreme cells and temperatures allow, A, (3, way, string): voltage, hot, cold with the map."""
    faded = bounds.rated_A * _share(bounds.zero - look.unbled_extremes.take(FADES, axis=0), bounds.band)
    faded[2, 0] = np.minimum(faded[2, 0], on_map(look.extremes[2:], look.config).min(axis=0))
    if bounds.blind is not None:
        faded[1:] = np.where(bounds.blind, bounds.rated_A, faded[1:])
    return faded


def bears(look: Look, demand: Demand) -> Floats:
    """Return what each string bears now, open or closed, A, (way, string): by cells, temperature, faults, foreign BMS.

    An empty cell takes what a charger may precondition it with.
    """
    bounds, table = _bounds(look.config), look.config.limits
    most = _faded(look, bounds).min(axis=0) * np.where(demand.blocked, 0.0, demand.fraction)
    empty = look.extremes[1] < table.precondition_V
    most[0] = np.where(empty, np.minimum(most[0], table.precondition_A), most[0])
    if bounds.foreign is not None:
        most = np.minimum(most, _foreign(look, bounds.foreign, bounds.rated_A))
    return _zero_if_unknown(most)


def _inside(look: Look, estimate: Estimate) -> Floats:
    """Return what the warmest core allows between the same limits as sensors, A, (way, string).

    The core is estimated (core/estimate/temperature.py): where it is not known, or no warmer than the sensors, it says
    nothing, and the measured window is what counts.
    """
    bounds, hot = _bounds(look.config), look.extremes[2]
    core = look.config.layout.highest(estimate.core_degC)
    warmer = core > hot
    if not np.count_nonzero(warmer):
        return bounds.rated_A
    beyond = core + HEAT_DOUBT * (core - hot)
    return np.where(warmer, bounds.rated_A * _share(bounds.zero[1] - beyond, bounds.band[1]), bounds.rated_A)


def floor_soc(look: Look, estimate: Estimate) -> Floats:
    """Return the SOC that the floor is held against, (string,); NaN = unknown, which leaves nothing.

    Where a foreign BMS hides its cells there is nothing to estimate from: its own word counts, and only narrows.
    """
    foreign = hides(look.config)
    if foreign is None:
        return estimate.string_soc
    blind = foreign.any(axis=0) & np.isnan(estimate.string_soc)
    return np.where(blind, look.of("foreign_soc"), estimate.string_soc)


def _above_floor(floor: Floats, soc: Floats) -> Floats:
    """Return how much of the rated current is left above the floor; 1 where there is no floor."""
    return np.where(floor > 0.0, fade(soc, floor + SOC_FADE, floor), 1.0)


def _foreign(look: Look, present: Bools, rated: Floats) -> Floats:
    said = np.array((look.of("foreign_charge_limit"), look.of("foreign_discharge_limit")))
    return np.where(present, _zero_if_unknown(said), rated)


def _settled(look: Look) -> Floats:
    """Return the current at which the extreme cells come to rest on their fade, A, (way, string).

    The fade alone is a loop: more current, more voltage, less allowed; with a machine that answers after seconds it
    swings. With the resistance R of the string's cells known, i = slope · (zero − v − R·(i − now)) has one solution,
    which does not move when the current does. An error of R leaves a loop with the gain of that error only. R is that
    of the cell file: an estimate would let a lost input move a limit.
    """
    bounds = _bounds(look.config)
    ohm = bounds.ohm
    rise = np.array((ohm, -ohm))
    left = bounds.zero[0] - np.array((look.high_V, look.extremes[1])) + ohm * look.current
    return bounds.rated_A * _share(left, bounds.band[0] + rise * bounds.rated_A)


def _zero_if_unknown(x: Floats) -> Floats:
    return np.where(x >= 0.0, x, 0.0)


def rated_window(config: Config) -> Window:
    """Return the window before the first cycle: nothing is allowed."""
    zero = np.zeros(config.layout.size["string"])
    reason = np.full(zero.shape, INDEX["unknown measurement"], np.int8)
    peaks = np.zeros((len(HORIZONS_S), 2, zero.size))
    return Window(zero, zero, zero, zero, zero, zero, reason, reason, reason, peaks, peaks, np.full(zero.size, np.nan))
