"""SOP compiled by numba: power_equations with scalar look-up and selection bound in, cell by cell."""

from types import FunctionType
from typing import Any

from numba import njit

from cellarer.core.estimate import equations, power_equations
from cellarer.core.estimate.fields import NODE_WIDTH, ROW_WIDTH
from cellarer.core.estimate.tables import TEMP_LOW_DEGC, TEMP_POINTS, TEMP_STEP_K
from cellarer.model.cell import SOC_POINTS

# numba's cache looks at this file alone: the stamp, checked by a test, makes it change with the files it is built from.
STAMP = "2be47add890f"

INLINE: dict[str, Any] = {"error_model": "numpy"}
TOP = SOC_POINTS - 1


@njit(**INLINE)
def look_up(node: Any, rows: Any, kind: int, z: float, temp_degC: float) -> Any:
    """The same as numpy_form.look_up, for one cell."""
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
        at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), 0.0,
        rows[m] + g * (rows[n] - rows[m]), rows[m + 1] + g * (rows[n + 1] - rows[m + 1]),
        rows[m + 2] + g * (rows[n + 2] - rows[m + 2]), rows[m + 3] + g * (rows[n + 3] - rows[m + 3]),
    )  # fmt: skip


@njit(**INLINE)
def select(choice: Any, yes: Any, no: Any) -> Any:
    """np.where for scalars."""
    return yes if choice else no


def _bound(function: Any, **names: Any) -> Any:
    return njit(**INLINE)(FunctionType(function.__code__, {**vars(power_equations), **COMPILED, **names}))


COMPILED: dict[str, Any] = {
    "look_up": look_up,
    "select": select,
    "decay": njit(**INLINE)(equations.decay),
    "falling": njit(**INLINE)(equations.falling),
}
first_current = _bound(power_equations.first_current)
voltage_at_end = _bound(power_equations.voltage_at_end)
hold_one = _bound(power_equations.hold, first_current=first_current, voltage_at_end=voltage_at_end)


@njit(error_model="numpy", nogil=True, cache=True)
def hold(
    node: Any,
    rows: Any,
    kind: Any,
    x: Any,
    most: Any,
    limit: Any,
    sign: float,
    horizon_s: float,
    doubt: float,
    out: Any,
) -> None:
    """Fill out (3, cell) from x (9, cell): z, s1, s2, h, k, q, temperature, sigma of z, sigma of k."""
    for n in range(kind.size):
        out[0, n], out[1, n], out[2, n] = hold_one(
            node, rows, kind[n], x[0, n], x[1, n], x[2, n], x[3, n], x[4, n], x[5, n], x[6, n], x[7, n], x[8, n],
            most[n], limit[n], sign, horizon_s, doubt,
        )  # fmt: skip
