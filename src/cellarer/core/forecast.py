"""Power (SOP) and energy (SOE): renewed a slice of the cells at a time, then put together for each string.

Both cost microseconds per cell, so that thousands of cells at once would hold up the cycle. A round over all cells
begins when it is due; each cycle does what is due of it by then, evenly over the period. A site of few cells does its
round at once. Advisory like every estimate.
"""

from dataclasses import replace

import numpy as np

from cellarer.core import estimate as estimators
from cellarer.core.decide.signals import Look
from cellarer.core.estimate.fields import LANES, WIDTH
from cellarer.model.config import Config
from cellarer.model.values import NEVER, Estimate, Floats, Forecast

HORIZON_S = 10.0
POWER_CELLS = 32  # cells that are worth a call; both are multiples of LANES
ENERGY_CELLS = 256
ENERGY_NS = 10_000_000_000  # energy changes slowly: at 3C a cell loses 1 % of its charge in this time


def start(config: Config) -> Forecast:
    """Return the memory before the first cycle: nothing known, nothing begun."""
    cells, none = config.layout.size["cell"], np.full(config.layout.size["cell"], np.nan)
    return Forecast(none, none, none, none, cells, NEVER, cells)


def complete(config: Config, before: Forecast) -> bool:
    """Return whether no round is going on."""
    return min(before.power_done, before.energy_done) >= config.layout.size["cell"]


def begin(look: Look, said: Estimate) -> Forecast:
    """Begin a round of power now, and one of energy if that is due as well."""
    before = replace(look.state.forecast, power_done=0)
    if before.energy_done < look.config.layout.size["cell"] or not _energy_due(look, said):
        return before
    return replace(before, energy_ns=look.now_ns, energy_done=0)


def waits(look: Look) -> bool:
    """Return whether cycles are short enough to leave rounds to those in which the estimators do not run."""
    return 2 * (look.now_ns - look.state.time_ns) < look.config.estimate_ns


def go_on(
    look: Look,
    tables: estimators.EstimatorConfig,
    estimator: estimators.EstimateState,
    said: Estimate,
    before: Forecast,
    power_ns: int,
) -> tuple[Estimate, Forecast]:
    """Do what is due of the rounds by now. power_ns: when the present round of power began."""
    config, layout, now_ns = look.config, look.config.layout, look.now_ns
    power = slice(before.power_done, _upto(look, before.power_done, now_ns - power_ns, config.power_ns, POWER_CELLS))
    since_ns = now_ns - before.energy_ns
    energy = slice(before.energy_done, _upto(look, before.energy_done, since_ns, ENERGY_NS, ENERGY_CELLS))
    new = replace(before, power_done=power.stop, energy_done=energy.stop)
    if power.stop > power.start:
        new = _power(look, tables, estimator, new, power)
        said = replace(
            said,
            charge_10s_W=layout.lowest(new.charge_A) * look.voltage,
            discharge_10s_W=layout.lowest(new.discharge_A) * look.voltage,
        )
    if energy.stop > energy.start:
        new = _energy(look, tables, estimator, new, energy, said.mean_A)
        said = replace(said, energy_Wh=layout.lowest(new.left_Ah) * layout.total(new.left_V))
    return said, new


def _energy_due(look: Look, said: Estimate) -> bool:
    """Return whether a round of energy begins: after its period, or where SOC has just become known."""
    first = np.isnan(said.energy_Wh) & ~np.isnan(said.string_soc)
    late_ns = look.now_ns - look.state.forecast.energy_ns - ENERGY_NS
    return late_ns >= -look.config.cycle_ns // 2 or bool(np.count_nonzero(first))


def _upto(look: Look, done: int, since_ns: int, period_ns: int, least: int) -> int:
    """Return the cell up to which a round must have come in this cycle, so that it ends before its period does."""
    cells = look.config.layout.size["cell"]
    if done >= cells or cells <= least or look.state.time_ns == NEVER:
        return cells
    ahead_ns = since_ns + 2 * (look.now_ns - look.state.time_ns)  # the next but one: the next may be the estimators'
    due = -(-cells * ahead_ns // period_ns)
    return max(done, min(cells, -(-due // least) * least))


def _part(
    tables: estimators.EstimatorConfig, state: estimators.EstimateState, cells: slice
) -> tuple[estimators.EstimatorConfig, estimators.EstimateState]:
    """Return the estimators' tables and memory of some cells; they begin at a whole block."""
    if cells.stop - cells.start == tables.cells:
        return tables, state
    lanes = slice(cells.start, -(-cells.stop // LANES) * LANES)
    blocks = slice(lanes.start // LANES * WIDTH, lanes.stop // LANES * WIDTH)
    return replace(
        tables,
        cells=cells.stop - cells.start,
        lanes=lanes.stop - lanes.start,
        kind=tables.kind[lanes],
        capacity_Ah=tables.capacity_Ah[cells],
        parallel=tables.parallel[cells],
    ), replace(state, buffer=state.buffer[blocks], unknown=state.unknown[cells], pairs=state.pairs[:, cells])


def _power(
    look: Look,
    tables: estimators.EstimatorConfig,
    estimator: estimators.EstimateState,
    new: Forecast,
    cells: slice,
) -> Forecast:
    """Renew SOP. The cell that can do least bounds its string's current, hence W over V."""
    sop = estimators.power(*_part(tables, estimator, cells), look.config.cell_limits, HORIZON_S)
    voltage = look.of("cell_voltage")[cells]
    voltage = np.where(voltage > 0.0, voltage, np.nan)  # a dead cell promises nothing
    return replace(
        new,
        charge_A=_put(new.charge_A, cells, sop.charge_W / voltage),
        discharge_A=_put(new.discharge_A, cells, sop.discharge_W / voltage),
    )


def _energy(
    look: Look,
    tables: estimators.EstimatorConfig,
    estimator: estimators.EstimateState,
    new: Forecast,
    cells: slice,
    mean_A: Floats,
) -> Forecast:
    """Renew SOE: charge until the lower limit, and the mean voltage on the way."""
    current = mean_A[look.config.layout.string_of_cell[cells]]
    left = estimators.energy(*_part(tables, estimator, cells), look.config.cell_limits, current)
    volts = np.where(left.charge_Ah > 0.0, left.energy_Wh / np.maximum(left.charge_Ah, 1e-9), 0.0)
    return replace(new, left_Ah=_put(new.left_Ah, cells, left.charge_Ah), left_V=_put(new.left_V, cells, volts))


def _put(before: Floats, cells: slice, values: Floats) -> Floats:
    """Return a copy with new values of some cells."""
    if values.size == before.size:
        return values
    new = before.copy()
    new[cells] = values
    return new
