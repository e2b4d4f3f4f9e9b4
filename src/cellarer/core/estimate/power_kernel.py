"""SOP compiled by numba: power_equations and power_long with scalar look-up and selection bound in, cell by cell."""

from types import FunctionType
from typing import Any

import numpy as np
from numba import njit

from cellarer.core.estimate import equations, power_equations, power_long
from cellarer.core.estimate.fields import INDEX, LANES, NODE_WIDTH, ROW_WIDTH, WIDTH
from cellarer.core.estimate.power_equations import MOST_SOC_DOUBT
from cellarer.core.estimate.tables import TEMP_LOW_DEGC, TEMP_POINTS, TEMP_STEP_K
from cellarer.model.cell import SOC_POINTS

# numba's cache looks at this file alone: the stamp, checked by a test, makes it change with the files it is built from.
STAMP = "65f3e2663327"

INLINE: dict[str, Any] = {"error_model": "numpy", "forceinline": True}
TOP = SOC_POINTS - 1


@njit(**INLINE)
def look_up(node: Any, rows: Any, kind: int, z: float, temp_degC: float) -> Any:
    """The same as numpy_form.look_up, for one cell, without the columns that SOP does not ask for."""
    u = min(max(z, -0.05), 1.05) * TOP
    j = min(max(int(u), 0), TOP - 1)
    f = u - j
    w = min(max((temp_degC - TEMP_LOW_DEGC) * (1.0 / TEMP_STEP_K), 0.0), TEMP_POINTS - 1.0)
    r = min(int(w), TEMP_POINTS - 2)
    g = w - r
    line = kind * TEMP_POINTS + r
    a = (line * SOC_POINTS + j) * NODE_WIDTH
    b = a + SOC_POINTS * NODE_WIDTH
    m = line * ROW_WIDTH
    n = m + ROW_WIDTH

    def at(x: int) -> float:
        left = node[a + x] + g * (node[b + x] - node[a + x])
        right = node[a + x + NODE_WIDTH] + g * (node[b + x + NODE_WIDTH] - node[a + x + NODE_WIDTH])
        return float(left + f * (right - left))

    return (
        at(0), at(1), at(2), at(3), at(4), 0.0, 0.0, at(7), 0.0,
        rows[m] + g * (rows[n] - rows[m]), rows[m + 1] + g * (rows[n + 1] - rows[m + 1]),
        rows[m + 2] + g * (rows[n + 2] - rows[m + 2]), rows[m + 3] + g * (rows[n + 3] - rows[m + 3]),
    )  # fmt: skip


@njit(**INLINE)
def select(choice: Any, yes: Any, no: Any) -> Any:
    """np.where for scalars."""
    return yes if choice else no


def _bound(function: Any, **names: Any) -> Any:
    return njit(**INLINE)(FunctionType(function.__code__, {**function.__globals__, **COMPILED, **names}))


COMPILED: dict[str, Any] = {
    "look_up": look_up,
    "select": select,
    "decay": njit(**INLINE)(equations.decay),
    "falling": njit(**INLINE)(equations.falling),
    "doubted": njit(**INLINE)(power_equations.doubted),
}
# each is compiled with those before it
for _part in (
    power_equations.ramp_weights, power_equations.first_current, power_equations.voltage_at_end, power_equations.doubts,
    power_equations.unlike, power_equations.bounded, power_equations.most_current, power_equations.narrowed,
    power_equations.hold, power_long.steady_drop,
    power_long.variance_per_drop, power_long.march, power_long.hold_long, power_long.promise,
    power_equations.stiffer, power_equations.walk, power_equations.fill,
):  # fmt: skip
    COMPILED[_part.__name__] = _bound(_part)
promise_one, walk_one, fill_one = COMPILED["promise"], COMPILED["walk"], COMPILED["fill"]
Z, S1, S2, H, K, OFFSET = (n * LANES for n in range(6))
P00, P44, CAPACITY, DEGC = (INDEX[name] * LANES for name in ("p00", "p44", "capacity", "in_degC"))
FLOW, STRAIN = (INDEX[name] * LANES for name in ("in_i", "strain"))
OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "cache": True}


@njit(**OPTIONS)
def promise(
    buffer: Any, node: Any, rows: Any, kind: Any, bounds: Any, pieces: int, core_degC: Any, heat_A2: Any,
    owner: Any, shown: Any, first: int, horizon_s: float, doubt: float, out: Any,
) -> None:  # fmt: skip
    """Fill out (way, 3, cell) for the cells from `first` on: W, A and reason of one cell of each group.

    bounds (way, kind · columns); heat_A2 (way, string); owner (cell,) string of each cell of the site; shown (cell,)
    """
    width = bounds.shape[1] // (rows.size // (TEMP_POINTS * ROW_WIDTH))
    for n in range(out.shape[2]):
        cell = first + n
        o = cell // LANES * WIDTH + cell % LANES
        z_sigma = min(np.sqrt(max(buffer[o + P00], 0.0)), MOST_SOC_DOUBT)
        k_sigma = np.sqrt(max(buffer[o + P44], 0.0))
        for way in range(2):
            out[way, 0, n], out[way, 1, n], out[way, 2, n] = promise_one(
                node, rows, kind[cell], bounds[way], kind[cell] * width, pieces,
                buffer[o + Z], buffer[o + S1], buffer[o + S2], buffer[o + H], buffer[o + K],
                buffer[o + CAPACITY], buffer[o + DEGC], core_degC[cell], z_sigma, k_sigma,
                shown[cell], buffer[o + FLOW] - buffer[o + OFFSET], buffer[o + STRAIN],
                heat_A2[way, owner[cell]], 1.0 - 2.0 * way, horizon_s, doubt,
            )  # fmt: skip


@njit(**OPTIONS)
def weakest(cells: Any, owner: Any, first: int, least_A: Any, volts: Any, cell: Any, reason: Any) -> None:
    """Work the cells from `first` on, (way, 3, cell) of whole groups, into what each string can do; see power.py."""
    for way in range(cells.shape[0]):
        for n in range(cells.shape[2]):
            string, ampere = owner[first + n], cells[way, 1, n]
            volts[way, string] += cells[way, 0, n] / ampere if ampere > 0.0 else 0.0
            if not (ampere >= least_A[way, string] or np.isnan(least_A[way, string])):
                least_A[way, string], cell[way, string] = ampere, first + n
                reason[way, string] = int(cells[way, 2, n])


@njit(**OPTIONS)
def walk(
    buffer: Any, node: Any, rows: Any, kind: Any, ends: Any, mean_A: Any, first: int, idle_C: float, usual_C: float,
    out: Any,
) -> None:  # fmt: skip
    """Fill out (way, 3, cell) for the cells from `first` on: Wh and Ah of one cell of each group, doubt in per cent.

    ends (3, kind) lowest V, highest V, A of a tail; mean_A (cell in out,) A of one cell, + charges; idle_C, usual_C
    what counts as no current
    """
    for n in range(out.shape[2]):
        cell = first + n
        o, which = cell // LANES * WIDTH + cell % LANES, kind[cell]
        z, k, q, temp_degC = buffer[o + Z], buffer[o + K], buffer[o + CAPACITY], buffer[o + DEGC]
        k_sigma, usual, i = np.sqrt(max(buffer[o + P44], 0.0)), usual_C * q, mean_A[n]
        into, outof = i if i > idle_C * q else usual, -i if i < -idle_C * q else usual
        out[0, 0, n], out[0, 1, n], out[0, 2, n] = fill_one(
            node, rows, which, z, k, k_sigma, q, temp_degC, into, ends[1, which], ends[2, which]
        )
        out[1, 0, n], out[1, 1, n], out[1, 2, n] = walk_one(
            node, rows, which, z, k, k_sigma, q, temp_degC, outof, ends[0, which]
        )
