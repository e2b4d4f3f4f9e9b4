"""The planners of a site, asked when their plan has expired; the same for live services and for simulations.

It sees what a snapshot shows, nothing else, and hands out Plans that expire. Without it the rules go on by themselves.
"""

import numpy as np

from cellarer.model.config import Config, Topology
from cellarer.model.values import NEVER, Plan, State, no_plan
from cellarer.plan import programme, thermal
from cellarer.plan.balance import Report
from cellarer.runtime.climate import Climate

LEAD_NS = 60_000_000_000  # a plan is renewed so long before it expires, so that nothing pauses between two
SOONEST_NS = 10_000_000_000  # but not before this, for plans that are short anyway
AGAIN_NS = 60_000_000_000  # nothing to plan: look again after this


class Planner:
    """Keeps the ledger of the balancing programme, and its last figures."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.has_hardware = bool(
            self.config.balance.bleed_A.any() or (self.config.balance.topology != Topology.NONE).any()
        )
        self.ledger: programme.Ledger | None = None
        self.report: Report = {}
        self.plan = no_plan(config.layout.size["cell"], config.layout.size["pack"])
        self.asked_ns = NEVER
        self.climate, self.whole = Climate(config), self.plan
        self.parts = self.plan, self.climate.advice

    def __call__(self, state: State) -> Plan:
        """Return the plan in force after this state; a new one when the last has expired."""
        parts = self._balancing(state), self.climate(state)
        if parts != self.parts:
            self.parts, self.whole = parts, thermal.joined(*parts)
        return self.whole

    def _balancing(self, state: State) -> Plan:
        now_ns = state.time_ns
        if not self.has_hardware or now_ns == NEVER or now_ns < self.plan.expires_ns - LEAD_NS:
            return self.plan
        if self.plan.expires_ns < now_ns and self.asked_ns != NEVER and now_ns - self.asked_ns < AGAIN_NS:
            return self.plan
        if self.asked_ns != NEVER and now_ns - self.asked_ns < SOONEST_NS:
            return self.plan
        self.asked_ns = now_ns
        layout = self.config.layout
        temps = state.seen.value[layout.where["temp_degC"]]
        hot = layout.over_temps(np.maximum, temps, np.nan)
        self.ledger, self.plan, self.report = programme.replan(
            self.config, self.ledger, state.estimate, state.balancing.moved_Ah, hot, now_ns
        )
        return self.plan
