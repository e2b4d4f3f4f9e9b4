"""Heat: core and surface of every member, neighbours, the air or coolant of the pack, its surroundings, a heater.

Core and surface are solved by the exact exponential of their 2×2 system, with heat and coolant constant over a
step; what a cell gives to the coolant is the integral of that solution, so no joule is lost at any step.
Neighbours exchange heat between their cores (large faces touch there) at the temperatures of the step's begin, which
is stable because that conductance is bounded against the heat capacity.
Two-node cell: X. Lin, H. Perez, A. Stefanopoulou et al. (A123 26650: 1.94 and 3.08 K/W, 62.7 and 4.5 J/K).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LONGEST_S = 20.0  # heat is stepped at least this often
NEIGHBOUR = 0.4  # conductance to a neighbour against that to still air
SLOWEST_S = 4 * LONGEST_S  # a neighbour never drains a core faster than this
PUMPED = 8.0  # moving coolant or air takes up to this much more heat than still air, on top of it
NODE_SHARE = 0.3  # heat capacity of housing, air and coolant against that of the cells
CASE_SHARE = 0.5  # conductance housing → surroundings against cells → housing in still air
USERS = ("heater", "flow", "chiller")
KELVIN = 273.15
COLDEST_degC, COLD_SPAN_K = -10.0, 20.0  # a chiller freezes there, and gives all from so far above (own estimate)
COP_SHARE, APPROACH_K, COP_SPAN = 0.35, 8.0, (1.2, 5.0)  # own estimate; facts give 2 to 4 for vehicles


@dataclass(slots=True)
class Heat:
    """Temperatures and heat paths. Members unless said otherwise."""

    core_degC: Floats
    surface_degC: Floats
    core_J_per_K: Floats
    surface_J_per_K: Floats
    inner_W_per_K: Floats  # core → surface
    outer_W_per_K: Floats  # surface → housing in still air
    next_W_per_K: Floats  # to the following member; 0 at the end of a string
    pack_of_member: Ints
    node_degC: Floats  # (pack,) housing, air or coolant around the cells
    node_J_per_K: Floats  # (pack,)
    case_W_per_K: Floats  # (pack,) housing → surroundings
    ambient_degC: Floats  # (pack,)
    cooled: Bools  # (pack,) has a pump or fan
    heater_W: Floats  # (pack,) at full order; 0 = none
    flow_W: Floats  # (pack,) pump or fan at full flow
    chiller_W: Floats  # (pack,) heat that it takes from the coolant at full order; 0 = none
    used_J: Floats  # (user, pack) electrical, since the begin; USERS

    def step(self, h: float, heat_W: Floats, pump: Floats, heater: Floats) -> None:
        """Move all temperatures by h seconds. heat_W (member,) into the core; pump, heater (pack,) 0…1 as they act."""
        n = max(1, int(np.ceil(h / LONGEST_S)))
        for _ in range(n):
            self._step(h / n, heat_W, np.where(self.cooled, pump, 0.0), self.heater_W * heater)

    def _step(self, h: float, heat_W: Floats, pump: Floats, heater_W: Floats) -> None:
        flow, _ = self.stages(pump)
        outer = self.outer_W_per_K * (1.0 + PUMPED * flow[self.pack_of_member])
        node = self.node_degC[self.pack_of_member]
        heat = heat_W + self.from_neighbours()
        core, surface, given_J = two_nodes(
            self.core_degC, self.surface_degC, heat, node, h,
            self.core_J_per_K, self.surface_J_per_K, self.inner_W_per_K, outer,
        )  # fmt: skip
        self._move_node(h, given_J, pump, heater_W)
        self.core_degC, self.surface_degC = core, surface

    def move_node(self, h: float, given_J: Floats, pump: Floats, heater: Floats) -> None:
        """Move the housings by h seconds in which the cells gave them given_J (member,). pump, heater as in `step`."""
        self._move_node(h, given_J, np.where(self.cooled, pump, 0.0), self.heater_W * heater)

    def users_W(self, pump: Floats, heater_W: Floats) -> Floats:
        """Return the electrical power that heater, flow and chiller take now, (user, pack). pump (pack,) 0…1."""
        flow, chill = self.stages(pump)
        return np.stack((heater_W, self.flow_W * flow**3, chill * self.chiller_W / self.chiller_cop()))

    def stages(self, pump: Floats) -> tuple[Floats, Floats]:
        """Return flow and chiller, (pack,) 0…1: with a chiller the lower half of the order is flow alone."""
        has = self.chiller_W > 0.0
        chill = np.maximum(2.0 * pump - 1.0, 0.0) * np.clip((self.node_degC - COLDEST_degC) / COLD_SPAN_K, 0.0, 1.0)
        return np.where(has, np.minimum(2.0 * pump, 1.0), pump), np.where(has, chill, 0.0)

    def _move_node(self, h: float, given_J: Floats, pump: Floats, heater_W: Floats) -> None:
        flow, chill = self.stages(pump)
        taken_W = chill * self.chiller_W
        into = np.bincount(self.pack_of_member, given_J, self.node_degC.size) / h + heater_W - taken_W
        bypass = (self.chiller_W > 0.0) & (self.ambient_degC >= self.node_degC)  # coolant goes around a hot radiator
        out = self.case_W_per_K * (1.0 + np.where(bypass, 0.0, PUMPED * flow))
        self.used_J = self.used_J + h * self.users_W(pump, heater_W)
        rest = self.ambient_degC + into / out
        self.node_degC = self.node_degC + (self.node_degC - rest) * np.expm1(-h * out / self.node_J_per_K)

    def chiller_cop(self) -> Floats:
        """Return heat taken per electrical energy, (pack,): COP_SHARE of Carnot's between both sides, bounded."""
        cold_K, lift_K = self.node_degC - APPROACH_K + KELVIN, self.ambient_degC - self.node_degC + 2.0 * APPROACH_K
        return np.asarray(np.clip(COP_SHARE * cold_K / np.maximum(lift_K, 1.0), *COP_SPAN))

    def from_neighbours(self) -> Floats:
        over = self.next_W_per_K[:-1] * (self.core_degC[1:] - self.core_degC[:-1])
        heat = np.zeros_like(self.core_degC)
        heat[:-1] += over
        heat[1:] -= over
        return heat

    def joules(self) -> float:
        """Return the heat held above 0 degC by all cells and housings."""
        cells = self.core_J_per_K * self.core_degC + self.surface_J_per_K * self.surface_degC
        return float(cells.sum() + (self.node_J_per_K * self.node_degC).sum())


def two_nodes(
    core: Floats, surface: Floats, heat: Floats, node: Floats, h: float,
    core_J_per_K: Floats, surface_J_per_K: Floats, inner: Floats, outer: Floats,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Solve Cc·Tc' = q + (Ts − Tc)·Gi, Cs·Ts' = (Tc − Ts)·Gi + (T − Ts)·Go over h seconds, exactly.

    Returns core, surface and the heat in J given to the node. exp(A·h) by its two real eigenvalues (Sylvester).
    """
    a, b, c = inner / core_J_per_K, inner / surface_J_per_K, outer / surface_J_per_K
    middle, radius = -0.5 * (a + b + c), np.sqrt(0.25 * (a - b - c) ** 2 + a * b)
    slow, fast = middle + radius, middle - radius
    es, ef = np.exp(slow * h), np.exp(fast * h)
    p, q = (ef * slow - es * fast) / (slow - fast), (es - ef) / (slow - fast)
    rest_surface = node + heat / outer
    rest_core = rest_surface + heat / inner
    dc, ds = core - rest_core, surface - rest_surface
    new_core = rest_core + p * dc + q * (-a * dc + a * ds)
    new_surface = rest_surface + p * ds + q * (b * dc - (b + c) * ds)
    stored = core_J_per_K * (new_core - core) + surface_J_per_K * (new_surface - surface)
    return new_core, new_surface, heat * h - stored
