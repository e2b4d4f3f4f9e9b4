"""A smart BMS below us, where the site has one: it protects its pack itself and tells extremes, SOC, limits, alarm.

Where the site lets us switch, it obeys and only reports. Simple on purpose: thresholds with release on voltage, the
cell file's limits by temperature are not modelled.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cellarer.model.config import Authority, Config, Switchgear

if TYPE_CHECKING:
    from cellarer.sim.plant import Plant

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TOLD = (
    "cell_voltage_high", "cell_voltage_low", "foreign_soc", "foreign_alarm", "foreign_charge_limit",
    "foreign_discharge_limit",
)  # fmt: skip
BACK = 0.15  # of the span between end of discharge and end of charge: how far a voltage must come back
OVER = 0.03  # of that span beyond both ends: where its protection acts


@dataclass(slots=True)
class Foreign:
    """Protection of the packs' own BMS; (string,)."""

    own: Bools  # it switches by itself
    high_V: Floats
    low_V: Floats
    back_V: Floats
    rated_charge_A: Floats
    rated_discharge_A: Floats
    needed: bool  # the site has such packs, or asks for what they tell
    idle: tuple[Floats, Floats, Floats, Bools, Floats, Floats]  # view where there is none
    charge_ok: Bools
    discharge_ok: Bools

    def switches(self, charge: Bools, discharge: Bools, blocked: Floats) -> tuple[Bools, Bools]:
        """Return the orders that reach the switches: ours, or those of the packs' own BMS."""
        if not (self.needed or blocked.any()):
            return charge, discharge
        free = blocked < 0.5
        charge = np.where(self.own, self.charge_ok, charge) & free
        discharge = np.where(self.own, self.discharge_ok, discharge) & free
        return charge, discharge

    def view(self, plant: "Plant") -> tuple[Floats, Floats, Floats, Bools, Floats, Floats]:
        """Look at the cells; return lowest, highest cell, SOC, alarm, charge and discharge limit, (string,) each."""
        layout, groups, cells = plant.layout, plant.groups, plant.cells
        if not self.needed:
            return self.idle
        low, high = layout.lowest(plant.voltage), layout.highest(plant.voltage)
        self.charge_ok = np.where(self.charge_ok, high < self.high_V, high < self.high_V - self.back_V)
        self.discharge_ok = np.where(self.discharge_ok, low > self.low_V, low > self.low_V + self.back_V)
        full = groups.fold(cells.capacity)
        soc = layout.total(groups.fold(cells.soc * cells.capacity)) / layout.total(full)
        blocked = plant.knobs["blocked"] > 0.5
        charge_A = np.where(self.charge_ok & ~blocked, self.rated_charge_A, 0.0)
        discharge_A = np.where(self.discharge_ok & ~blocked, self.rated_discharge_A, 0.0)
        return low, high, np.clip(soc, 0.0, 1.0), ~(self.charge_ok & self.discharge_ok) | blocked, charge_A, discharge_A


def foreign(config: Config) -> Foreign:
    """Return the packs' own BMS, all well."""
    limits = config.limits
    n = limits.rated_charge_A.size
    span = limits.charge_zero_V - limits.discharge_zero_V
    told = [config.sensing.present[config.layout.where[name]].any() for name in TOLD]
    zero, no = np.zeros(n), np.zeros(n, bool)
    own = (config.switch.authority != Authority.SWITCH) & (config.switch.kind != Switchgear.NONE)
    return Foreign(
        own=own, high_V=limits.charge_zero_V + OVER * span, low_V=limits.discharge_zero_V - OVER * span,
        back_V=BACK * span, rated_charge_A=limits.rated_charge_A, rated_discharge_A=limits.rated_discharge_A,
        needed=bool(own.any() or any(told)), idle=(zero, zero, zero, no, zero, zero),
        charge_ok=np.ones(n, bool), discharge_ok=np.ones(n, bool),
    )  # fmt: skip
