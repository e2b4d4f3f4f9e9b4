"""Lifetime counters: what flowed is counted with each estimation, what happened in the cycle in which it happens.

They only rise. Deep discharge and overcharge are counted when the first row of maximum level of the lowest or highest
cell becomes active, not again while another of them follows.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from cellarer.core.decide.signals import Look
from cellarer.model.config import Config
from cellarer.model.values import Bools, Counters, Faults, Ints, Level, Phase, Switches, renew

CARRIES = (Phase.PLUS, Phase.CLOSED, Phase.RAMP, Phase.CHARGE_ONLY, Phase.DISCHARGE_ONLY)
OPENS = (Phase.OPENING, Phase.COOLING)


def flow(look: Look, elapsed_s: float) -> Counters:
    """Return the counters after what flowed since the last estimation."""
    before, table = look.state.counters, look.config.limits
    moved_Ah = look.watch.charge / 3600.0
    moved_Wh = np.where(np.isnan(look.voltage), 0.0, moved_Ah * look.voltage)
    charge_Ah, charge_Wh, discharge_Ah, discharge_Wh = np.maximum((moved_Ah, moved_Wh, -moved_Ah, -moved_Wh), 0.0)
    hot, cold = look.extremes[2:]
    return renew(
        before,
        charge_Ah=before.charge_Ah + charge_Ah,
        discharge_Ah=before.discharge_Ah + discharge_Ah,
        charge_Wh=before.charge_Wh + charge_Wh,
        discharge_Wh=before.discharge_Wh + discharge_Wh,
        hot_s=before.hot_s + np.where(hot > table.discharge_warm_degC, elapsed_s, 0.0),
        cold_s=before.cold_s + np.where(cold < table.discharge_cool_degC, elapsed_s, 0.0),
    )


def happened(look: Look, counters: Counters, faults: Faults, switches: Switches) -> Counters:
    """Return the counters after what rose or opened in this cycle; the same object in almost all cycles."""
    before = look.state
    if faults.active is not before.faults.active and not np.array_equal(faults.active, before.faults.active):
        deep, over = (_first(before.faults, faults, rows) for rows in _voltage_rows(look.config))
        counters = replace(
            counters, deep_discharges=counters.deep_discharges + deep, overcharges=counters.overcharges + over
        )
    if switches.phase is not before.switches.phase:
        opens = np.isin(before.switches.phase, CARRIES) & np.isin(switches.phase, OPENS)
        known = opens & ~np.isnan(switches.opened_A)
        counters = replace(
            counters,
            openings=counters.openings + opens,
            broken_A=np.maximum(counters.broken_A, np.where(known, switches.opened_A, 0.0)),
        )
    return counters


def _first(before: Faults, after: Faults, rows: Ints) -> Bools:
    """Return where one of these rows is active and none was, (string,)."""
    return np.logical_or.reduce(after.active[rows], axis=0) & ~np.logical_or.reduce(before.active[rows], axis=0)


@lru_cache(maxsize=16)
def _voltage_rows(config: Config) -> tuple[Ints, Ints]:
    """Return the rows of maximum level of the lowest and of the highest cell."""
    opens, signal = config.faults.level == Level.OPEN, np.array(config.faults.signal)
    return np.flatnonzero(opens & (signal == "cell_low")), np.flatnonzero(opens & (signal == "cell_high"))
