"""Power (SOP) and energy (SOE) of the strings: a slice of the cells at a time, the weakest cell of each string counts.

A round over all cells begins when it is due; for SOP of a large site it is for 10 s and for one other horizon in turn.
Each cycle does what is due of it by then, evenly over the period, so that thousands of cells hold up no cycle. What a
round found is said when it has been over all cells. Advisory like every estimate.
"""

from functools import lru_cache

import numpy as np

from cellarer.core import estimate as estimators
from cellarer.core.decide.signals import Look
from cellarer.core.estimate.energy import walks
from cellarer.core.estimate.fields import LANES
from cellarer.core.estimate.power import image_s, promises, weakest
from cellarer.model.config import Config
from cellarer.model.values import HORIZONS_S, NEVER, WAYS, Estimate, Floats, Forecast, Ints, Round, renew

POWER_CELLS = LANES  # cells that are worth a call
ENERGY_CELLS = 16 * LANES
ENERGY_NS = 10_000_000_000  # energy changes slowly: at 3C a cell loses 1 % of its charge in this time
FIRST = HORIZONS_S.index(10.0)  # in every round
OTHERS = tuple(n for n in range(len(HORIZONS_S)) if n != FIRST)
SMALL = 4 * LANES  # a site of so many cells has all horizons in every round


def start(config: Config) -> Forecast:
    """Return the memory before the first cycle: nothing known, nothing begun; what flowed before may have been much."""
    cells, hold = config.layout.size["cell"], _image(config)[1]
    power, energy = (_begin(config, done) for done in (len(HORIZONS_S) * cells, cells))
    return Forecast(power, energy, NEVER, hold, np.zeros(cells))


def _begin(config: Config, done: int = 0) -> Round:
    shape = len(WAYS), config.layout.yes.size
    return Round(np.full(shape, np.inf), np.zeros(shape), np.full(shape, -1), np.zeros(shape, np.int8), done)


def complete(config: Config, before: Forecast) -> bool:
    """Return whether no round is going on."""
    return powered(config, before) and before.energy.done >= config.layout.size["cell"]


def powered(config: Config, before: Forecast) -> bool:
    """Return whether no round of power is going on."""
    cells = config.layout.size["cell"]
    return before.power.done >= len(_horizons(config, 0)) * cells


def _horizons(config: Config, power_ns: int, first: bool = False) -> tuple[int, ...]:
    """Return which horizons belong to the round that began at power_ns."""
    if first or config.layout.size["cell"] <= SMALL:
        return FIRST, *OTHERS
    return FIRST, OTHERS[power_ns // config.power_ns % len(OTHERS)]


def begin(look: Look, said: Estimate, before: Forecast) -> Forecast:
    """Begin a round of power now, and one of energy if that is due as well."""
    config = look.config
    before = renew(before, power=_begin(config))
    if before.energy.done < config.layout.size["cell"] or not _energy_due(look, said):
        return before
    return renew(before, energy_ns=look.now_ns, energy=_begin(config))


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
    config, now_ns = look.config, look.now_ns
    cells, power, energy = config.layout.size["cell"], before.power, before.energy
    horizons = _horizons(config, power_ns, look.state.time_ns == NEVER)
    until = _upto(look, power.done, len(horizons) * cells, now_ns - power_ns, config.power_ns, POWER_CELLS)
    while power.done < until:
        turn, first = divmod(power.done, cells)
        part = slice(first, min(cells, first + until - power.done))
        power = _power(look, tables, estimator, said, before, power, horizons[turn], part)
        if part.stop == cells:
            said, power = _say(said, power, horizons[turn]), _begin(config, power.done)
    until = _upto(look, energy.done, cells, now_ns - before.energy_ns, ENERGY_NS, ENERGY_CELLS)
    if energy.done < until:
        energy = _energy(look, tables, estimator, said, energy, slice(energy.done, until))
        if until == cells:
            said = _say_energy(said, energy)
    return said, Forecast(power, energy, before.energy_ns, before.heat_A2, before.shown_V)


def warmed(look: Look, before: Floats, mean_A: Floats, elapsed_s: float) -> Floats:
    """Return the thermal image after elapsed_s with this mean current (string,) A; unknown counts as the whole."""
    per_s, hold, size = _image(look.config)
    flow = mean_A / size
    squared = np.where(np.isnan(flow), hold, flow * flow)
    return squared + (before - squared) * np.exp(-elapsed_s * per_s)


@lru_cache(maxsize=16)
def _image(config: Config) -> tuple[Floats, Floats, Floats]:
    """Return (1/s of the thermal image, operating current squared) of one cell, (way, string), and cells' worth."""
    first = config.layout.first_cell
    limits = [config.cell_limits[kind] for kind in config.cell_kind[first]]
    per_s = np.array([[1.0 / image_s(limit, charging) for limit in limits] for charging in (True, False)])
    hold = np.array([[limit.charge_A[0] for limit in limits], [limit.discharge_A[0] for limit in limits]])
    return per_s, hold * hold, config.size


def _energy_due(look: Look, said: Estimate) -> bool:
    """Return whether a round of energy begins: after its period, or where SOC has just become known."""
    first = np.isnan(said.energy_Wh) & ~np.isnan(said.string_soc)
    late_ns = look.now_ns - look.state.forecast.energy_ns - ENERGY_NS
    return late_ns >= -look.config.cycle_ns // 2 or bool(np.count_nonzero(first))


def _upto(look: Look, done: int, whole: int, since_ns: int, period_ns: int, least: int) -> int:
    """Return how far a round must have come in this cycle, even steps from cycle to cycle."""
    if done >= whole or whole <= least or look.state.time_ns == NEVER:
        return whole
    step_ns = ahead_ns = look.now_ns - look.state.time_ns  # ahead, so that a round ends before its period does
    if waits(look):  # every step_ns but those of the estimators, a little ahead: no cycle does much more than others
        turns, ahead_ns = look.config.estimate_ns, step_ns // 4
        since_ns -= since_ns // turns * step_ns
        period_ns -= period_ns // turns * step_ns
    due = -(-whole * (since_ns + ahead_ns) // period_ns)
    return max(done, min(whole, -(-due // least) * least))


def _power(
    look: Look, tables: estimators.EstimatorConfig, estimator: estimators.EstimateState, said: Estimate,
    memory: Forecast, before: Round, horizon: int, part: slice,
) -> Round:  # fmt: skip
    """Add some cells to the round of one horizon."""
    core = np.where(np.isnan(said.core_degC), -np.inf, said.core_degC)
    owner = look.config.layout.string_of_cell
    alive = look.of("cell_voltage") > 0.0
    shown = np.where(alive, memory.shown_V, np.nan)
    cells = promises(
        tables, estimator, look.config.cell_limits, HORIZONS_S[horizon], core, memory.heat_A2, owner, part, shown=shown
    )
    dead = ~alive[part]
    if np.count_nonzero(dead):
        cells[:, :2, dead] = np.nan  # of a dead or unmeasured cell nothing is known
    return _added(before, cells, owner, part)


def _energy(
    look: Look, tables: estimators.EstimatorConfig, estimator: estimators.EstimateState, said: Estimate,
    before: Round, part: slice,
) -> Round:  # fmt: skip
    """Add some cells to the round of energy."""
    owner = look.config.layout.string_of_cell
    cells = walks(tables, estimator, look.config.cell_limits, said.mean_A[owner[part]], part)
    return _added(before, cells, owner, part)


def _added(before: Round, cells: Floats, owner: Ints, part: slice) -> Round:
    """Return the round with these cells in it."""
    new = Round(
        before.least.copy(), before.volts.copy(), before.cell.copy(), before.reason.copy(),
        before.done + part.stop - part.start,
    )  # fmt: skip
    weakest(cells, owner, part.start, new.least, new.volts, new.cell, new.reason)
    return new


def _say(said: Estimate, power: Round, horizon: int) -> Estimate:
    """Put the result of one horizon into the estimate, no more than the next shorter one: doubt may say otherwise."""
    sop_A, sop_W, sop_cell = said.sop_A.copy(), said.sop_W.copy(), said.sop_cell.copy()
    sop_reason = said.sop_reason.copy()
    sop_A[horizon], sop_W[horizon] = power.least, power.least * power.volts
    sop_cell[horizon], sop_reason[horizon] = power.cell, power.reason
    if horizon > FIRST:
        over = sop_W[horizon] > sop_W[horizon - 1]
        for each in (sop_A, sop_W, sop_cell, sop_reason):
            each[horizon] = np.where(over, each[horizon - 1], each[horizon])
    return renew(said, sop_A=sop_A, sop_W=sop_W, sop_cell=sop_cell, sop_reason=sop_reason)


def _say_energy(said: Estimate, energy: Round) -> Estimate:
    """Put the result of a round of energy into the estimate.

    Sigma is that of the weakest cell's charge, and what doubt of its resistance and temperature is worth: in the cold
    a cell meets its lower voltage early. The latter, in whole per cent, is what a round of energy keeps as reason.
    What voltage does to the end of a charge and of a discharge is kept as charge: it lasts until the next round.
    """
    cell, volts, (fill_Ah, out_Ah) = energy.cell[1], energy.volts[1], energy.least
    charge_sigma = np.hypot(said.soc_sigma * said.capacity_Ah, said.soc * said.capacity_sigma_Ah)[cell]
    by_ohm = energy.reason / 100.0 * energy.least
    within = said.string_soc * said.usable_Ah
    return renew(
        said,
        energy_Wh=out_Ah * volts,
        energy_sigma_Wh=np.hypot(charge_sigma, by_ohm[1]) * volts,
        taper_Ah=fill_Ah - (said.usable_Ah - within),
        stranded_Ah=np.maximum(within - out_Ah, 0.0),
        end_sigma_Ah=by_ohm,
    )
