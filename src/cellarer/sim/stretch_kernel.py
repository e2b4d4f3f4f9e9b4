"""`stretch.run` compiled by numba: blocks of LANES groups, the time loop inside, so that a block stays in cache.

One flat buffer, rows of (block, place in group), fields of a row at literal offsets: LLVM turns the straight loops over
lanes into vector instructions. The OCV is looked up lane by lane; what moves slowly is looked up anew only after
`refresh` steps, with the temperatures around the cells. Fast maths is allowed: nothing in here protects anything.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellarer.sim.cells import KELVIN, LEAK_DEGC
from cellarer.sim.groups import NEARLY_OPEN_S
from cellarer.sim.heat import PUMPED, two_nodes
from cellarer.sim.tables import BEYOND, COLUMNS, LOW_DEGC, ROWS, SOC_STEPS, STEP_K

if TYPE_CHECKING:
    from cellarer.sim.plant import Plant

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LANES = 16
L = np.uint64(LANES)
NAMES = (
    # state
    "z", "i1", "i2", "h", "core", "surface", "current", "given",
    # parameters of the cell
    "per_A", "ohm", "leak_A", "rate", "emf_add", "alive", "exchange", "kind", "core_J", "surface_J", "from_neighbours",
    # how core and surface answer to core, surface, heat and housing
    "cc", "cs", "cq", "cn", "sc", "ss", "sq", "sn", "node",
    # looked up
    "base", "weight", "hysteresis", "a", "b", "rest_ohm", "r0", "e1", "e2", "entropy", "leak",
    # of the step
    "at", "part", "ocv", "rise", "emf", "conductance", "share",
)  # fmt: skip
WIDTH = len(NAMES) * LANES
(
    Z, I1, I2, H, CORE, SURFACE, CURRENT, GIVEN, PER_A, OHM, LEAK_A, RATE, EMF_ADD, ALIVE, EXCHANGE, KIND, CORE_J,
    SURFACE_J, BESIDE, CC, CS, CQ, CN, SC, SS, SQ, SN, NODE, BASE, WEIGHT, HYST, A, B, REST, R0, E1, E2, ENTROPY, LEAK,
    AT, PART, OCV, RISE, EMF, CONDUCTANCE, SHARE,
) = (np.uint64(k * LANES) for k in range(len(NAMES)))  # fmt: skip

OPTIONS: dict[str, Any] = {"fastmath": True, "error_model": "numpy", "nogil": True, "cache": True}
INLINE: dict[str, Any] = {"fastmath": True, "error_model": "numpy", "forceinline": True}
# numba's cache looks at this file alone; a test compares these with the files they come from, so it changes with them.
BUILT_WITH = (-45.0, 2.5, 55, 256, 32, 321, 273.15, 85.0)
SHARE_STEPS = 2048
_U = np.arange(SHARE_STEPS + 2) / SHARE_STEPS
_X = np.append(_U[1:-2] / (1.0 - _U[1:-2]), [1e9, 1e9])
SHARES = np.append(1.0, np.arcsinh(_X) / _X)  # asinh(x)/x over even steps of x/(1 + x), good to 1e-6


@njit(**INLINE)
def look_up(d: Any, o: Any, by_soc: Any, by_temp: Any, h: float) -> None:
    """Look up everything slow for one lane at o."""
    y = min(max((d[o + CORE] - LOW_DEGC) / STEP_K, 0.0), ROWS - 1.0)
    row = min(int(y), ROWS - 2)
    w = y - row
    row += int(d[o + KIND]) * ROWS
    d[o + BASE], d[o + WEIGHT] = row * COLUMNS, w
    x = min(max(d[o + Z], -BEYOND / SOC_STEPS), 1.0 + BEYOND / SOC_STEPS) * SOC_STEPS + BEYOND
    column = min(int(x), COLUMNS - 2)
    u = x - column
    at = row * COLUMNS + column
    w00, w01, w10, w11 = (1.0 - u) * (1.0 - w), u * (1.0 - w), (1.0 - u) * w, u * w
    low, high = by_soc[at], by_soc[at + COLUMNS]
    lower, higher = by_soc[at + 1], by_soc[at + COLUMNS + 1]
    ohm = d[o + OHM]
    d[o + HYST] = w00 * low[1] + w01 * lower[1] + w10 * high[1] + w11 * higher[1]
    d[o + R0] = ohm * (w00 * low[2] + w01 * lower[2] + w10 * high[2] + w11 * higher[2])
    r1 = ohm * (w00 * low[3] + w01 * lower[3] + w10 * high[3] + w11 * higher[3])
    r2 = ohm * (w00 * low[4] + w01 * lower[4] + w10 * high[4] + w11 * higher[4])
    d[o + ENTROPY] = w00 * low[5] + w01 * lower[5] + w10 * high[5] + w11 * higher[5]
    tau1 = by_temp[row, 0] * (1.0 - w) + by_temp[row + 1, 0] * w
    tau2 = by_temp[row, 1] * (1.0 - w) + by_temp[row + 1, 1] * w
    e1, e2 = np.exp(-h / tau1), np.exp(-h / tau2)
    m1, m2 = (1.0 - e1) * tau1 / h, (1.0 - e2) * tau2 / h
    d[o + E1], d[o + E2], d[o + A], d[o + B] = e1, e2, r1 * m1, r2 * m2
    d[o + REST] = r1 * (1.0 - m1) + r2 * (1.0 - m2)
    d[o + LEAK] = d[o + LEAK_A] * 2.0 ** ((min(d[o + CORE], LEAK_DEGC) - 25.0) / 10.0)


@njit(**INLINE)
def look_ocv(d: Any, row: Any, ocv: Any) -> None:
    """Look up OCV and its rise for one row of members: where, then what (the only scattered reads)."""
    for lane in range(LANES):
        o = row + np.uint64(lane)
        x = min(max(d[o + Z], -BEYOND / SOC_STEPS), 1.0 + BEYOND / SOC_STEPS) * SOC_STEPS + BEYOND
        column = min(np.floor(x), COLUMNS - 2.0)
        d[o + AT], d[o + PART] = d[o + BASE] + column, x - column
    for lane in range(LANES):
        o = row + np.uint64(lane)
        at = np.uint64(np.int64(d[o + AT]))
        w = d[o + WEIGHT]
        left = ocv[at] + w * (ocv[at + np.uint64(COLUMNS)] - ocv[at])
        right = ocv[at + np.uint64(1)]
        d[o + OCV], d[o + RISE] = left, right + w * (ocv[at + np.uint64(COLUMNS + 1)] - right) - left


@njit(**INLINE)
def curve(d: Any, row: Any, shares: Any) -> None:
    """Find the share of the series resistance that is left at the current of the step before; `shares` as in SHARES."""
    for lane in range(LANES):
        o = row + np.uint64(lane)
        x = abs(d[o + CURRENT]) / d[o + EXCHANGE]
        d[o + AT] = x / (1.0 + x) * SHARE_STEPS
    for lane in range(LANES):
        o = row + np.uint64(lane)
        at = np.uint64(np.int64(d[o + AT]))
        d[o + SHARE] = shares[at] + (d[o + AT] - at) * (shares[at + np.uint64(1)] - shares[at])


@njit(**INLINE)
def solve(d: Any, row: Any, se: Any, sg: Any) -> None:
    """Add sources and conductances of one row of members to their groups."""
    for lane in range(LANES):
        o = row + np.uint64(lane)
        slope = d[o + RISE]
        ocv = d[o + OCV] + d[o + PART] * slope
        rise = (0.5 * SOC_STEPS) * max(slope, 0.0) * d[o + PER_A]
        d[o + OCV], d[o + RISE] = ocv, rise
        emf = ocv + d[o + EMF_ADD] + d[o + HYST] * d[o + H] + d[o + A] * d[o + I1] + d[o + B] * d[o + I2]
        g = d[o + ALIVE] / (d[o + R0] * d[o + SHARE] + d[o + REST] + rise)
        d[o + EMF], d[o + CONDUCTANCE] = emf, g
        se[lane] += emf * g
        sg[lane] += g


@njit(**INLINE)
def advance(d: Any, row: Any, volts: Any) -> None:
    """Move one row of members by a step."""
    for lane in range(LANES):
        o = row + np.uint64(lane)
        v = volts[lane]
        i = (v - d[o + EMF]) * d[o + CONDUCTANCE]
        core, surface, node = d[o + CORE], d[o + SURFACE], d[o + NODE]
        q = i * (v - d[o + EMF_ADD] - d[o + OCV] - d[o + RISE] * i + (core + KELVIN) * d[o + ENTROPY])
        q += d[o + LEAK] * d[o + OCV] + d[o + BESIDE]
        d[o + CORE] = d[o + CC] * core + d[o + CS] * surface + d[o + CQ] * q + d[o + CN] * node
        d[o + SURFACE] = d[o + SC] * core + d[o + SS] * surface + d[o + SQ] * q + d[o + SN] * node
        d[o + GIVEN] += q
        per_A = d[o + PER_A]
        y = d[o + RATE] * abs(i) * per_A
        fall = (12.0 - 6.0 * y + y * y) / (12.0 + 6.0 * y + y * y)
        d[o + H] = fall * d[o + H] + (1.0 - fall) * (1.0 if i > 0.0 else -1.0 if i < 0.0 else 0.0)
        d[o + I1] = d[o + E1] * d[o + I1] + (1.0 - d[o + E1]) * i
        d[o + I2] = d[o + E2] * d[o + I2] + (1.0 - d[o + E2]) * i
        d[o + Z] += (i - d[o + LEAK]) * per_A
        d[o + CURRENT] = i


@njit(**OPTIONS)
def blocks(
    d: Any, parallel: int, string_of_block: Any, shunt: Any, current: Any, out: Any, by_soc: Any, by_temp: Any,
    ocv: Any, shares: Any, h: float, curved: bool,
) -> None:  # fmt: skip
    """Run all blocks over the steps of `current` (step, string) with slow things looked up once; out (step, lane)."""
    se, sg = np.empty(LANES), np.empty(LANES)
    width, steps = np.uint64(WIDTH), current.shape[0]
    for block in range(string_of_block.size):
        first = np.uint64(block * parallel) * width
        string = string_of_block[block]
        for place in range(parallel):
            for lane in range(LANES):
                look_up(d, first + np.uint64(place) * width + np.uint64(lane), by_soc, by_temp, h)
        for step in range(steps):
            for lane in range(LANES):
                se[lane], sg[lane] = current[step, string], shunt[block * LANES + lane]
            for place in range(parallel):
                row = first + np.uint64(place) * width
                look_ocv(d, row, ocv)
                if curved:
                    curve(d, row, shares)
                solve(d, row, se, sg)
            for lane in range(LANES):
                se[lane] /= sg[lane]
                out[step, block * LANES + lane] = se[lane]
            for place in range(parallel):
                advance(d, first + np.uint64(place) * width, se)


class Packed:
    """A plant's cells in the buffer of the kernel."""

    def __init__(self, plant: "Plant", h: float) -> None:
        layout, self.parallel = plant.layout, int(plant.groups.parallel[0])
        self.plant = plant
        series = np.bincount(layout.string_of_cell)
        blocks_of_string = -(-series // LANES)
        self.string_of_block = np.repeat(np.arange(series.size), blocks_of_string)
        first_block = np.cumsum(blocks_of_string) - blocks_of_string
        in_string = np.arange(layout.size["cell"]) - layout.first_cell[layout.string_of_cell]
        self.lane_of_cell = first_block[layout.string_of_cell] * LANES + in_string
        n_lane = int(blocks_of_string.sum()) * LANES
        self.cell_of_lane = np.zeros(n_lane, np.int64)  # spare lanes repeat the first cell: benign and never read
        self.cell_of_lane[self.lane_of_cell] = np.arange(layout.size["cell"])
        self.d = np.zeros(n_lane // LANES * self.parallel * WIDTH)
        self.fields = self.d.reshape(-1, self.parallel, len(NAMES), LANES)
        row = self.lane_of_cell[:, None] // LANES * self.parallel + np.arange(self.parallel)
        self.place = (row * WIDTH + self.lane_of_cell[:, None] % LANES).reshape(-1)
        self._fill(h)

    def write(self, field: np.uint64, values: Floats) -> None:
        """Write a field of the members, not of the spare lanes. values (member,)."""
        self.d[self.place + int(field)] = values

    def get(self, field: np.uint64) -> Floats:
        """Read a field, (member,)."""
        return np.asarray(self.d[self.place + int(field)])

    def put(self, name: str, values: Floats) -> None:
        """Write a field of all lanes. values (member,)."""
        by_group = values.reshape(-1, self.parallel)[self.cell_of_lane]
        self.fields[:, :, NAMES.index(name), :] = by_group.reshape(-1, LANES, self.parallel).transpose(0, 2, 1)

    def _fill(self, h: float) -> None:
        plant, cells, warm = self.plant, self.plant.cells, self.plant.heat
        values = {
            "z": cells.soc, "i1": cells.i1, "i2": cells.i2, "h": cells.hysteresis, "core": warm.core_degC,
            "surface": warm.surface_degC, "current": cells.current, "per_A": h / cells.capacity, "ohm": cells.ohm,
            "leak_A": cells.leak_A, "rate": cells.hysteresis_rate, "emf_add": cells.emf_add, "alive": plant.alive,
            "share": np.ones_like(cells.soc), "exchange": np.full_like(cells.soc, 1e9),
            "kind": cells.kind.astype(np.float64), "core_J": warm.core_J_per_K, "surface_J": warm.surface_J_per_K,
            **_answers(plant, h),
        }  # fmt: skip
        self.curved = cells.curved
        for name, value in values.items():
            self.put(name, value)

    def around(self) -> None:
        """Give the cells the housing's temperature and their neighbours' heat."""
        warm = self.plant.heat
        self.write(BESIDE, warm.from_neighbours())
        self.write(NODE, warm.node_degC[warm.pack_of_member])
        self.write(GIVEN, np.zeros(self.place.size))
        if self.curved:
            self.write(EXCHANGE, exchange_A(self.plant))

    def housing(self, h: float, seconds: float) -> None:
        """Move the housings by the heat that the cells gave them."""
        warm = self.plant.heat
        core, surface = self.get(CORE), self.get(SURFACE)
        stored = warm.core_J_per_K * (core - warm.core_degC) + warm.surface_J_per_K * (surface - warm.surface_degC)
        given = self.get(GIVEN) * h - stored
        warm.move_node(seconds, given, *self.plant.air[::-1])
        warm.core_degC, warm.surface_degC = core, surface

    def back(self) -> None:
        """Give the plant its cells back."""
        cells = self.plant.cells
        cells.soc, cells.i1, cells.i2 = self.get(Z), self.get(I1), self.get(I2)
        cells.hysteresis, cells.current = self.get(H), self.get(CURRENT)
        cells.refresh(self.plant.heat.core_degC)


def exchange_A(plant: "Plant") -> Floats:
    """Return the exchange current of every member at its temperature, (member,)."""
    from cellarer.sim.tables import look_temp

    cells = plant.cells
    return np.asarray(look_temp(cells.tables, cells.kind, plant.heat.core_degC)[2] * cells.exchange)


def _answers(plant: "Plant", h: float) -> dict[str, Floats]:
    """Return how core and surface answer in one step, from four unit experiments with the exact solution."""
    warm = plant.heat
    flow = np.where(warm.cooled, plant.air[1], 0.0)
    outer = warm.outer_W_per_K * (1.0 + PUMPED * flow[warm.pack_of_member])
    zero, one = np.zeros_like(outer), np.ones_like(outer)
    rest = (warm.core_J_per_K, warm.surface_J_per_K, warm.inner_W_per_K, outer)
    units = {"c": (one, zero, zero, zero), "s": (zero, one, zero, zero), "q": (zero, zero, one, zero)}
    units["n"] = (zero, zero, zero, one)
    found = {}
    for name, (core, surface, heat_W, node) in units.items():
        found["c" + name], found["s" + name], _ = two_nodes(core, surface, heat_W, node, h, *rest)
    return found


def run(plant: "Plant", current: Floats, h: float, refresh: int) -> Floats:
    """See `stretch.run`. refresh: steps between two look-ups of what moves slowly."""
    packed, tables = Packed(plant, h), plant.cells.tables
    shunt = (plant.shunt_S + NEARLY_OPEN_S)[packed.cell_of_lane]
    out = np.empty((current.shape[0], packed.cell_of_lane.size))
    ocv, by_soc = tables.by_soc[0], np.ascontiguousarray(tables.by_soc.T)
    by_temp = np.ascontiguousarray(tables.by_temp.T)
    for start in range(0, current.shape[0], refresh):
        part = np.ascontiguousarray(current[start : start + refresh])
        packed.around()
        blocks(
            packed.d, packed.parallel, packed.string_of_block, shunt, part, out[start : start + refresh],
            by_soc, by_temp, ocv, SHARES, h, packed.curved,
        )  # fmt: skip
        packed.housing(h, h * part.shape[0])
    packed.back()
    full = out.shape[1] == packed.lane_of_cell.size  # no spare lanes: nothing to sort out
    return out if full else out[:, packed.lane_of_cell]
