"""What rules ask of every cell and sensor in each cycle, worked out in two compiled passes where numba is there.

Medians, extremes, sums, and the fault signals named in DERIVED. What they mean stands in look.py and signals.py, which
are the reference and do the work otherwise; a test holds both together to the last bit.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from cellarer.core.digest import Digest
from cellarer.core.validate import CALM_NS, filtered
from cellarer.model.config import Config
from cellarer.model.values import Bools, Floats, Ints, Seen, Watch

try:
    from cellarer.core import kernel_signals as _kernel
except ImportError:  # without numba NumPy does the work
    _kernel = None  # type: ignore[assignment]

WITNESSES = 3  # of a rise too fast for windows: signals_heat.running_away
NEIGHBOURS_V = 0.03  # V that the other cells must have moved while one stands still
# The rows of kernel_signals, in its order
DERIVED = (
    "cell_spread", "temp_spread", "sum_difference", "cell_frozen", "cell_stuck", "refill_current", "temp_rate",
    "runaway", "runaway_precursor", "hot_spot",
)  # fmt: skip
FOREIGN = ("cell_spread", "refill_current")  # look at what a foreign BMS says of its cells, too: not compiled there


class Derived(NamedTuple):
    """One pass over cells and sensors; extremes and total as of Look, without what a foreign BMS says."""

    calm: Floats  # (filtered,) medians
    extremes: Floats  # (4, string)
    total: Floats  # (string,) V
    value: Floats  # (DERIVED, string), known and time as in a Reading
    known: Bools
    time_ns: Ints


def derive(config: Config, seen: Seen, digest: Digest, watch: Watch, now_ns: int) -> Derived | None:
    """Return what the compiled passes find; None without numba."""
    if _kernel is None:
        return None
    place, shape, response = _places(config), (len(DERIVED), config.layout.yes.size), watch.response
    calm, ends = np.empty(filtered(config).size), np.empty((5, config.layout.yes.size))
    told = np.empty((2, config.layout.size["temp"]), bool)
    value, known, time_ns = np.empty(shape), np.empty(shape, bool), np.empty(shape, np.int64)
    _kernel.of_cells(
        seen.value, seen.time_ns, watch.earlier, *place.cells, digest.value, digest.known, digest.time_ns, *place.owned,
        watch.current_then, watch.others_then, watch.others, response.passed_then, response.passed,
        *place.limits, NEIGHBOURS_V, calm, ends, told, value, known, time_ns,
    )  # fmt: skip
    _kernel.of_temps(
        seen.value, seen.time_ns, watch.earlier, *place.temps, digest.known, digest.time_ns, place.owned_temp,
        watch.temp_ns, watch.temp_rate, config.limits.discharge_hot_degC,
        watch.climbs, watch.climb_degC, watch.climb_ns, watch.climb_rate, now_ns, CALM_NS, WITNESSES,
        told, calm, ends, value, known, time_ns,
    )  # fmt: skip
    return Derived(calm, ends[:4], ends[4], value, known, time_ns)


class _Places(NamedTuple):
    """What the passes need of a Config, in the order of their arguments."""

    cells: tuple[Bools, Ints, Ints, int, int, int, int]
    temps: tuple[Bools, Ints, int, int]
    owned: tuple[int, int]
    owned_temp: int
    limits: tuple[Floats, Floats, Floats, Floats]


@lru_cache(maxsize=16)
def _places(config: Config) -> _Places:
    layout, present = config.layout, config.sensing.present
    cell, temp, current, voltage = (
        layout.where[name].start for name in ("cell_voltage", "temp_degC", "current", "string_voltage")
    )
    cells, temps = layout.size["cell"], layout.size["temp"]
    return _Places(
        (present, layout.first_cell, layout.temp_of_cell, cell, temps, current, voltage),
        (present, layout.string_of_temp, temp, cells),
        (layout.owned["cell_voltage"].start, layout.owned["current"].start),
        layout.owned["temp_degC"].start,
        (config.cell_ohm, config.capacity_Ah, config.limits.sag_V, config.limits.precondition_V),
    )
