"""Limits only narrow: every reason gives a window, the result is their intersection, and the reason that binds is kept.

From operating to recommended the current falls linearly to zero; unknown measurements give zero. Down at once, up
slowly. Estimates may narrow (SOC, SOP) and never widen. Open switchgear carries no limit above zero.
"""

import numpy as np

from cellarer.core.decide.protect import Demand
from cellarer.core.decide.sequence import carrying
from cellarer.core.decide.signals import Look
from cellarer.model.config import Config
from cellarer.model.reasons import INDEX
from cellarer.model.values import Bools, Estimate, Floats, Switches, Window

SOC_FADE = 0.05  # 1: discharge falls to zero over the last five points above the floor (facts/bms-systems §3, FENECON)


def fade(x: Floats, full: Floats, zero: Floats) -> Floats:
    """Scale from 1 at `full` to 0 at `zero`, linear between, flat outside; (string,). NaN gives 0.

    `full` may lie above or below `zero`; they differ (checked in config).
    """
    share = np.minimum(np.maximum((zero - x) / (zero - full), 0.0), 1.0)
    return np.where(share >= 0.0, share, 0.0)


def on_map(x: Floats, at: Floats, value: Floats) -> Floats:
    """Look up a piecewise linear map per string. x (string,), at and value (string, point); NaN gives 0."""
    last = at.shape[1] - 1
    left = np.clip((x[:, None] >= at).sum(axis=1) - 1, 0, max(last - 1, 0))
    rows = np.arange(x.size)
    right = np.minimum(left + 1, last)
    span = np.maximum(at[rows, right] - at[rows, left], 1e-9)
    share = np.minimum(np.maximum((x - at[rows, left]) / span, 0.0), 1.0)
    result = value[rows, left] + share * (value[rows, right] - value[rows, left])
    return np.where(result >= 0.0, result, 0.0)


def limit(
    look: Look, demand: Demand, switches: Switches, estimate: Estimate, end_V: Floats, charge_A: Floats, dt_s: float
) -> Window:
    """Return the limits of this cycle.

    end_V, charge_A: (string,) what the charge phase allows: cell voltage to charge to, and current.
    """
    config, table = look.config, look.config.limits
    charge, charge_reason = _narrowest(_charge(look, demand, switches, estimate) | {"charge phase": charge_A})
    discharge, discharge_reason = _narrowest(_discharge(look, demand, switches, estimate))
    before = look.state.window
    charge, slow_charge = _rise(charge, before.charge_A, table.rise_per_s * table.rated_charge_A * dt_s)
    discharge, slow_discharge = _rise(discharge, before.discharge_A, table.rise_per_s * table.rated_discharge_A * dt_s)
    charge_V, end_of_discharge = _charge_voltage(look, end_V), config.series * table.end_of_discharge_V
    voltage = pack_voltage(look)
    return Window(
        charge_A=charge,
        discharge_A=discharge,
        charge_V=charge_V,
        discharge_V=end_of_discharge,
        charge_W=_zero_if_unknown(charge * voltage),
        discharge_W=_zero_if_unknown(discharge * voltage),
        charge_reason=np.where(slow_charge, INDEX["recovering"], charge_reason).astype(np.int8),
        discharge_reason=np.where(slow_discharge, INDEX["recovering"], discharge_reason).astype(np.int8),
        voltage_reason=np.where(
            charge_V < config.series * table.end_of_charge_V - 1e-9, INDEX["cell voltage high"], INDEX["rated"]
        ).astype(np.int8),
    )


def pack_voltage(look: Look) -> Floats:
    """Return the voltage of each string: measured, or the sum of its cells where none is measured; NaN if unknown."""
    measured = look.of("string_voltage")
    total = look.config.layout.total(look.of("cell_voltage"))
    present = look.config.sensing.present[look.config.layout.where["string_voltage"]]
    return np.where(present & ~np.isnan(measured), measured, total)


def _charge(look: Look, demand: Demand, switches: Switches, estimate: Estimate) -> dict[str, Floats]:
    """Return one charge window per reason, A, (string,)."""
    table, layout = look.config.limits, look.config.layout
    rated = table.rated_charge_A
    high = extreme(look, "cell_voltage_high", np.maximum)
    hot, cold = _temps(look)
    may, _ = carrying(look.config, switches)
    allowed = ~(demand.open_charge | demand.ramp_charge)
    windows = {
        "rated": rated,
        "unknown measurement": np.where(_known(look, high, hot, cold), rated, 0.0),
        "cell voltage high": rated * fade(high, table.charge_V, table.charge_zero_V),
        "temperature high": rated * fade(hot, table.charge_warm_degC, table.charge_hot_degC),
        "temperature low": rated * fade(cold, table.charge_cool_degC, table.charge_cold_degC),
        "foreign BMS": _foreign(look, "foreign_charge_limit", rated),
        "fault": np.where(allowed, rated * demand.charge_fraction, 0.0),
        "switchgear open": np.where(may, rated, 0.0),
        "power forecast": _forecast(look, estimate.charge_10s_W, rated),
    }
    mapped = np.minimum(on_map(hot, table.map_degC, table.map_A), on_map(cold, table.map_degC, table.map_A))
    windows["temperature low"] = np.minimum(windows["temperature low"], np.where(_no_sensor(look), rated, mapped))
    if not layout.size["temp"]:
        del windows["temperature low"], windows["temperature high"]
    return windows


def _discharge(look: Look, demand: Demand, switches: Switches, estimate: Estimate) -> dict[str, Floats]:
    """Return one discharge window per reason, A, (string,)."""
    table = look.config.limits
    rated = table.rated_discharge_A
    low = extreme(look, "cell_voltage_low", np.minimum)
    hot, cold = _temps(look)
    _, may = carrying(look.config, switches)
    allowed = ~(demand.open_discharge | demand.ramp_discharge)
    floor = np.where(table.floor_soc > 0.0, fade(estimate.string_soc, table.floor_soc + SOC_FADE, table.floor_soc), 1.0)
    windows = {
        "rated": rated,
        "unknown measurement": np.where(_known(look, low, hot, cold), rated, 0.0),
        "cell voltage low": rated * fade(low, table.discharge_V, table.discharge_zero_V),
        "temperature high": rated * fade(hot, table.discharge_warm_degC, table.discharge_hot_degC),
        "temperature low": rated * fade(cold, table.discharge_cool_degC, table.discharge_cold_degC),
        "state of charge": rated * floor,
        "foreign BMS": _foreign(look, "foreign_discharge_limit", rated),
        "fault": np.where(allowed, rated * demand.discharge_fraction, 0.0),
        "switchgear open": np.where(may, rated, 0.0),
        "power forecast": _forecast(look, estimate.discharge_10s_W, rated),
    }
    if not look.config.layout.size["temp"]:
        del windows["temperature low"], windows["temperature high"]
    return windows


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


def _charge_voltage(look: Look, end_V: Floats) -> Floats:
    """Return CVL: the string voltage at which the highest cell arrives at `end_V`, never more than all cells there.

    The highest cell governs, not the pack: while it is above its end, CVL lies below the present pack voltage by that
    overshoot times the number of cells. Unknown cells give 0.
    """
    series = look.config.series
    headroom = series * (end_V - extreme(look, "cell_voltage_high", np.maximum))
    return np.maximum(_zero_if_unknown(np.minimum(series * end_V, pack_voltage(look) + headroom)), 0.0)


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


def _known(look: Look, voltage: Floats, hot: Floats, cold: Floats) -> Bools:
    current = look.of("current")
    temps = _no_sensor(look) | ~(np.isnan(hot) | np.isnan(cold))
    return ~np.isnan(voltage) & ~np.isnan(current) & temps


def _foreign(look: Look, name: str, rated: Floats) -> Floats:
    present = look.config.sensing.present[look.config.layout.where[name]]
    return np.where(present, _zero_if_unknown(look.of(name)), rated)


def _forecast(look: Look, power: Floats, rated: Floats) -> Floats:
    """Turn SOP into a current; where no forecast was made yet it does not speak (measured windows still do)."""
    voltage = pack_voltage(look)
    current = power / np.where(voltage > 0.0, voltage, np.nan)
    return np.where(np.isnan(current), rated, np.maximum(current, 0.0))


def _zero_if_unknown(x: Floats) -> Floats:
    return np.where(x >= 0.0, x, 0.0)


def rated_window(config: Config) -> Window:
    """Return the window before the first cycle: nothing is allowed."""
    zero = np.zeros(config.layout.size["string"])
    reason = np.full(zero.shape, INDEX["unknown measurement"], np.int8)
    return Window(zero, zero, zero, zero, zero, zero, reason, reason, reason)
