"""Which cells bleed: by a planner's dose while valid, else by voltage near the end of charge; never when in doubt.

Voltage says something about imbalance only above `start_V` and without load; below it only a dose (Ah, from SOC and
capacity) may bleed. Unknown cells, warm boards and faults on the discharge path stop all bleeding of the string.
"""

import numpy as np

from cellarer.core.decide.protect import Demand
from cellarer.core.decide.signals import Look
from cellarer.model.values import Bools, Plan


def balance(look: Look, demand: Demand, plan: Plan) -> Bools:
    """Return (cell,) which cells bleed this cycle."""
    table, layout = look.config.balance, look.config.layout
    before = look.state.command.bleed
    if not np.count_nonzero(table.bleed_A):
        return before
    voltage = look.of("cell_voltage")
    low = layout.lowest(voltage)
    hot = look.extremes[2]
    charging = look.current >= -look.config.idle_A
    sane = (table.bleed_A > 0.0) & ~np.isnan(low) & (hot <= table.max_degC) & ~demand.open[1] & charging
    owner = layout.string_of_cell
    if plan.expires_ns > look.now_ns:
        return sane[owner] & (plan.bleed_Ah > 0.0) & (voltage > table.start_V[owner] - 0.3)
    above = voltage - low[owner]
    wanted = np.where(before, above > table.stop_spread_V[owner], above > table.start_spread_V[owner])
    return sane[owner] & wanted & (voltage >= table.start_V[owner])
