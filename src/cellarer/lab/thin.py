"""Long recordings made short without loss that matters: rows in which nothing happens are left out.

A row stays where current or voltage has moved since the last one kept, and so does the row before a move, so that what
a rest or a constant current rests on stays exact. Charge is counted before and travels with the rows.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOVE_A, MOVE_V = 0.004, 0.0015  # of the largest current; V; doubled until few enough rows are left
LONGEST_S = 30.0  # between rows kept, where rows are closer


def kept_rows(time_s: Floats, current: Floats, voltage: Floats, most: int) -> NDArray[np.int64]:
    """Return the rows of a run to keep, at most about `most`."""
    rows, scale = np.arange(len(time_s)), 1.0
    amperes = max(float(np.abs(current).max()), 1e-9)
    while len(rows) > most:
        # rows at which an even grid over current, voltage and time changes its cell, from both sides
        cells = (current[rows] / (MOVE_A * amperes * scale), voltage[rows] / (MOVE_V * scale), time_s[rows] / LONGEST_S)
        change = np.zeros(len(rows), dtype=bool)
        change[[0, -1]] = True
        for cell in cells:
            moved = np.diff(np.floor(cell + 0.5)) != 0.0
            change[1:] |= moved
            change[:-1] |= moved
        rows, scale = rows[change], 2.0 * scale
    return rows
