"""Plans from the services to control: a ring of trees, refused unless whole, of this site, and short-lived.

A plan can do no more than the rules allow; what is checked here is that it is a plan at all.
"""

from pathlib import Path

import numpy as np

from cellarer.board import tree
from cellarer.board.ring import BoardError, RingReader, RingWriter, create_ring
from cellarer.model.values import Plan, no_plan

SLACK = 1024  # bytes: numbers of the outline differ in length
LONGEST_NS = 3_600_000_000_000  # a plan that is valid for longer is none: its maker may be gone


def create_plans(path: Path, cells: int, packs: int) -> None:
    """Make the empty ring."""
    create_ring(path, len(tree.encode(no_plan(cells, packs))) + SLACK, 4)


class PlanWriter:
    """The services' end."""

    def __init__(self, path: Path) -> None:
        self._ring = RingWriter(path)
        self._last: Plan | None = None

    def write(self, plan: Plan) -> None:
        """Hand a plan over, once."""
        if plan is not self._last:
            self._last = plan
            self._ring.write(tree.encode(plan))


class PlanReader:
    """Control's end."""

    def __init__(self, path: Path, cells: int, packs: int) -> None:
        self._ring = RingReader(path)
        self._none = no_plan(cells, packs)
        self.plan = self._none
        self.refused = ""  # why the newest one does not count; empty = it does

    def newest(self, now_ns: int, *, heard: bool = True) -> Plan:
        """Return the plan to follow: the newest one, or none where that is not one, or where nobody would hear."""
        if self._ring.next != self._ring.place:
            found = self._ring.read()
            self.plan, self.refused = self._checked(found[-1], now_ns) if found else (self.plan, self.refused)
        return self.plan if heard else self._none

    def _checked(self, data: bytes, now_ns: int) -> tuple[Plan, str]:
        try:
            plan = tree.decode(data)
        except BoardError as error:
            return self._none, str(error)
        if not isinstance(plan, Plan):
            return self._none, f"a {type(plan).__name__} is no plan"
        for name in ("bleed_Ah", "preheat_degC", "move", "precool_degC"):
            expected, found = getattr(self._none, name).shape, np.shape(getattr(plan, name))
            if found != expected:
                return self._none, f"{name} has the shape {found}, expected {expected}"
        if np.isinf(plan.bleed_Ah).any() or (plan.bleed_Ah < 0.0).any():
            return self._none, "bleed_Ah must be 0 or more, or NaN"
        if not ((plan.move >= 0.0) & (plan.move <= 1.0)).all():
            return self._none, "move must be 0 to 1"
        if max(plan.expires_ns, plan.climate_ns) - now_ns > LONGEST_NS:
            return self._none, f"it is valid for longer than {LONGEST_NS * 1e-9:.0f} s"
        return plan, ""
