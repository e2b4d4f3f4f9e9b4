"""Limits only narrow: every reason gives a window, the result is their intersection, and the reason that binds is kept.

From operating to recommended the current falls linearly to zero; unknown measurements give zero. Down at once, up
slowly. Estimates may narrow (SOC, SOP) and never widen. Open switchgear carries no limit above zero.
"""

from functools import lru_cache

import numpy as np

from cellarer.core.decide.protect import Demand
from cellarer.core.decide.sequence import carrying
from cellarer.core.decide.signals import Look
from cellarer.model.config import Config
from cellarer.model.reasons import INDEX
from cellarer.model.values import Bools, Estimate, Floats, Switches, Window

RECOVERING, CELL_HIGH, RATED = INDEX["recovering"], INDEX["cell voltage high"], INDEX["rated"]
SOC_FADE = 0.05  # 1: discharge falls to zero over the last five points above the floor (as OpenEMS does)


def fade(x: Floats, full: Floats, zero: Floats) -> Floats:
    """Scale from 1 at `full` to 0 at `zero`, linear between, flat outside; (string,). NaN gives 0.

    `full` may lie above or below `zero`; they differ (checked in config).
    """
    share = np.minimum(np.maximum((zero - x) / (zero - full), 0.0), 1.0)
    return np.where(share >= 0.0, share, 0.0)


def on_map(x: Floats, at: Floats, value: Floats) -> Floats:
    """Look up a piecewise linear map per string. x (…, string), at and value (string, point); NaN gives 0."""
    left = np.minimum(np.maximum((x[..., None] >= at).sum(axis=-1) - 1, 0), at.shape[1] - 1)
    right, rows = np.minimum(left + 1, at.shape[1] - 1), np.arange(at.shape[0])
    low, high = at[rows, left], at[rows, right]
    share = np.minimum(np.maximum((x - low) / np.maximum(high - low, 1e-9), 0.0), 1.0)
    return _zero_if_unknown(value[rows, left] + share * (value[rows, right] - value[rows, left]))


@lru_cache(maxsize=16)
def _edges(config: Config) -> tuple[Floats, Floats, Floats]:
    """Return (full, zero, rated), (6, string): charge by high cell, hot, cold; discharge by low cell, hot, cold."""
    t = config.limits
    full = (t.charge_V, t.charge_warm_degC, t.charge_cool_degC, t.discharge_V, t.discharge_warm_degC)
    zero = (t.charge_zero_V, t.charge_hot_degC, t.charge_cold_degC, t.discharge_zero_V, t.discharge_hot_degC)
    rated = (t.rated_charge_A,) * 3 + (t.rated_discharge_A,) * 3
    return (
        np.array((*full, t.discharge_cool_degC)), np.array((*zero, t.discharge_cold_degC)), np.array(rated)
    )  # fmt: skip


def limit(
    look: Look, demand: Demand, switches: Switches, estimate: Estimate, end_V: Floats, charge_A: Floats, dt_s: float
) -> Window:
    """Return the limits of this cycle.

    end_V, charge_A: (string,) what the charge phase allows: cell voltage to charge to, and current. CVL is the string
    voltage at which the highest cell arrives at end_V: it governs, not the pack.
    """
    config, table = look.config, look.config.limits
    high, low = extreme(look, "cell_voltage_high", np.maximum), extreme(look, "cell_voltage_low", np.minimum)
    hot, cold = _temps(look)
    full, zero, rated = _edges(config)
    faded = rated * fade(np.array((high, hot, cold, low, hot, cold)), full, zero)
    voltage = pack_voltage(look)
    windows = _common(look, demand, switches, estimate, voltage, (high, low, hot, cold))
    mapped = on_map(np.array((hot, cold)), table.map_degC, table.map_A).min(axis=0)
    blind = _no_sensor(look)
    charge, charge_reason = _narrowest(
        windows[0]
        | {
            "cell voltage high": faded[0],
            "temperature high": np.where(blind, rated[0], faded[1]),
            "temperature low": np.where(blind, rated[0], np.minimum(faded[2], mapped)),
            "charge phase": charge_A,
        }
    )
    discharge, discharge_reason = _narrowest(
        windows[1]
        | {
            "cell voltage low": faded[3],
            "temperature high": np.where(blind, rated[3], faded[4]),
            "temperature low": np.where(blind, rated[3], faded[5]),
            "state of charge": rated[3] * _above_floor(table.floor_soc, estimate.string_soc),
        }
    )
    before = look.state.window
    charge, slow_charge = _rise(charge, before.charge_A, table.rise_per_s * rated[0] * dt_s)
    discharge, slow_discharge = _rise(discharge, before.discharge_A, table.rise_per_s * rated[3] * dt_s)
    end = config.series * table.end_of_charge_V
    charge_V = _zero_if_unknown(np.minimum(config.series * end_V, voltage + config.series * (end_V - high)))
    return Window(
        charge_A=charge,
        discharge_A=discharge,
        charge_V=charge_V,
        discharge_V=config.series * table.end_of_discharge_V,
        charge_W=_zero_if_unknown(charge * voltage),
        discharge_W=_zero_if_unknown(discharge * voltage),
        charge_reason=np.where(slow_charge, RECOVERING, charge_reason).astype(np.int8),
        discharge_reason=np.where(slow_discharge, RECOVERING, discharge_reason).astype(np.int8),
        voltage_reason=np.where(charge_V < end - 1e-9, CELL_HIGH, RATED).astype(np.int8),
    )


def pack_voltage(look: Look) -> Floats:
    """Return the voltage of each string: the sum of its cells, or as measured where cells are unknown; NaN if unknown.

    Cells first: the limits then do not move when the string's own sensor is lost, and without cells they are zero.
    """
    total = look.config.layout.total(look.of("cell_voltage"))
    return np.where(np.isnan(total), look.of("string_voltage"), total)


def _common(
    look: Look, demand: Demand, switches: Switches, estimate: Estimate, voltage: Floats, seen: tuple[Floats, ...]
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Return the windows that both directions have alike, A, (string,) per reason. seen: high, low, hot, cold."""
    table = look.config.limits
    high, low, hot, cold = seen
    temps = _no_sensor(look) | ~np.isnan(hot + cold)
    current = ~np.isnan(look.current) & temps
    ways = zip(
        (table.rated_charge_A, table.rated_discharge_A),
        (~np.isnan(high), ~np.isnan(low)),
        ("foreign_charge_limit", "foreign_discharge_limit"),
        (demand.open_charge | demand.ramp_charge, demand.open_discharge | demand.ramp_discharge),
        (demand.charge_fraction, demand.discharge_fraction),
        carrying(look.config, switches),
        (estimate.charge_10s_W, estimate.discharge_10s_W),
        strict=True,
    )
    charge, discharge = (
        {
            "rated": rated,
            "unknown measurement": np.where(current & known, rated, 0.0),
            "foreign BMS": _foreign(look, foreign, rated),
            "fault": np.where(blocked, 0.0, rated * fraction),
            "switchgear open": np.where(may, rated, 0.0),
            "power forecast": _forecast(power, voltage, rated),
        }
        for rated, known, foreign, blocked, fraction, may, power in ways
    )
    return charge, discharge


def _above_floor(floor: Floats, soc: Floats) -> Floats:
    """Return how much of the rated current is left above the floor; 1 where there is no floor."""
    return np.where(floor > 0.0, fade(soc, floor + SOC_FADE, floor), 1.0)


def _narrowest(windows: dict[str, Floats]) -> tuple[Floats, Floats]:
    """Return the lowest window of each string and the index of its reason; NaN is unknown and counts as zero."""
    names = np.array([INDEX[name] for name in windows])
    stack = _zero_if_unknown(np.array(list(windows.values())))
    binding = stack.argmin(axis=0)
    return stack[binding, np.arange(stack.shape[1])], names[binding]


def _rise(new: Floats, old: Floats, step: Floats) -> tuple[Floats, Bools]:
    """Let a limit fall at once and rise by at most `step`. Returns it and where the rise was held back."""
    slow = old + step
    return np.minimum(new, slow), new > slow + 1e-9


def extreme(look: Look, foreign: str, ufunc: np.ufunc) -> Floats:
    """Return the highest or lowest cell; NaN if any cell is unknown. A foreign BMS may report it instead."""
    layout = look.config.layout
    own = ufunc.reduceat(look.of("cell_voltage"), layout.first_cell)
    present = look.config.sensing.present[layout.where[foreign]]
    return np.where(present, look.of(foreign), own) if present.any() else own


def _temps(look: Look) -> tuple[Floats, Floats]:
    """Return the highest and lowest temperature of each string; NaN if a sensor is unknown or there is none."""
    layout, temp = look.config.layout, look.of("temp_degC")
    return layout.over_temps(np.maximum, temp, np.nan), layout.over_temps(np.minimum, temp, np.nan)


def _no_sensor(look: Look) -> Bools:
    layout = look.config.layout
    none = np.ones(layout.size["string"], bool)
    none[layout.strings_with_temp] = False
    return none


def _foreign(look: Look, name: str, rated: Floats) -> Floats:
    present = look.config.sensing.present[look.config.layout.where[name]]
    return np.where(present, _zero_if_unknown(look.of(name)), rated)


def _forecast(power: Floats, voltage: Floats, rated: Floats) -> Floats:
    """Turn SOP into a current; where no forecast was made yet it does not speak (measured windows still do)."""
    current = power / np.where(voltage > 0.0, voltage, np.nan)
    return np.where(np.isnan(current), rated, np.maximum(current, 0.0))


def _zero_if_unknown(x: Floats) -> Floats:
    return np.where(x >= 0.0, x, 0.0)


def rated_window(config: Config) -> Window:
    """Return the window before the first cycle: nothing is allowed."""
    zero = np.zeros(config.layout.size["string"])
    reason = np.full(zero.shape, INDEX["unknown measurement"], np.int8)
    return Window(zero, zero, zero, zero, zero, zero, reason, reason, reason)
