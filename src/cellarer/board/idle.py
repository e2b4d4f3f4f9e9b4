"""Why nothing is bleeding or moved in a string right now: what stands in the way, with its values."""

from collections.abc import Mapping

import numpy as np

from cellarer.model.config import Config, Topology
from cellarer.model.values import ChargePhase, Level, State


def idle(config: Config, state: State, string: int, report: Mapping[str, np.ndarray]) -> list[str]:
    """Return what keeps this string from being balanced now, the first cause first; empty while it is being balanced.

    report  figures of the balancing programme, (string,) each; empty where no planner has spoken
    """
    cells = config.layout.string_of_cell == string
    table, memory = config.balance, state.balancing
    if not table.bleed_A[string] > 0.0 and table.topology[string] == Topology.NONE:
        return ["the site has neither bleeders nor converters here"]
    if state.command.bleed[cells].any() or (state.command.move[:, cells] > 0.0).any():
        return []
    stops = _stopped(config, state, string, cells)
    if stops:
        return stops
    if memory.chosen[cells].any():
        return ["cells are measured undisturbed: a pause between two turns of bleeding"]
    if memory.planned[string]:
        return _planned(config, state, string, cells)
    return [*_programme(state, cells, string, report), *_by_voltage(config, state, string, cells)]


def _stopped(config: Config, state: State, string: int, cells: np.ndarray) -> list[str]:
    """Return what stops bleeding whatever a plan says."""
    layout, seen, table = config.layout, state.seen.value, config.balance
    volts = seen[layout.where["cell_voltage"]][cells]
    if np.isnan(volts).any():
        return [f"cell {int(np.argmax(np.isnan(volts))) + 1} is not known"]
    rows = state.faults.active[:, string] & config.faults.discharge & (config.faults.level >= Level.RAMP)
    if rows.any():
        return [f"a fault stops it: {config.faults.name[int(np.argmax(rows))].replace('_', ' ')}"]
    temps = seen[layout.where["temp_degC"]][layout.string_of_temp == string]
    most = float(table.max_degC[string])
    if temps.size and not (temps <= most).all():
        hot = "not known" if np.isnan(temps).any() else f"{temps.max():.1f} degC"
        return [f"the board may have {most:g} degC: it has {hot}"]
    return []


def _planned(config: Config, state: State, string: int, cells: np.ndarray) -> list[str]:
    least, soc = float(config.balance.minimum_soc[string]), state.estimate.soc[cells]
    if not (soc >= least).all():
        return [f"no cell is bled below {100 * least:g} %: the lowest has {100 * float(np.min(soc)):.1f} %"]
    return ["the plan has no dose for this string"]


def _programme(state: State, cells: np.ndarray, string: int, report: Mapping[str, np.ndarray]) -> list[str]:
    """Return why there is no plan in force."""
    if "finish_s" not in report:
        return ["no plan: the planner has not spoken"]
    estimate = state.estimate
    finish_s, soc = float(report["finish_s"][string]), estimate.soc[cells]
    between, alone = estimate.soc_between_sigma[cells], estimate.soc_sigma[cells]
    sigma = np.where(between <= alone, between, alone)
    if finish_s > 0.0 and np.isfinite(finish_s):
        return ["the plan has expired, or the next one is due"]
    if finish_s > 0.0:
        return ["the programme cannot be carried out: no channel is free, or the board is too warm"]
    if np.isnan(soc).any():
        return ["SOC is not known"]
    spread, doubt = 100 * float(np.ptp(soc)), 100 * float(sigma.max())
    return [f"no dose would help: SOC of cells differs by {spread:.1f} %, each known to ±{doubt:.1f} %"]


def _by_voltage(config: Config, state: State, string: int, cells: np.ndarray) -> list[str]:
    """Return why the rules by voltage, which hold without a plan, bleed nobody."""
    layout, seen, table = config.layout, state.seen.value, config.balance
    volts, current = seen[layout.where["cell_voltage"]][cells], seen[layout.where["current"]][string]
    if not current >= -config.idle_A[string]:
        return ["by voltage nothing is bled during discharge"]
    start_V, spread_V = float(table.start_V[string]), float(table.start_spread_V[string])
    high, low = float(volts.max()), float(volts.min())
    if high < start_V:
        return [f"by voltage bleeding begins at {start_V:.3f} V: the highest cell has {high:.3f} V"]
    if high - low <= spread_V:
        return [f"by voltage bleeding begins at {1000 * spread_V:g} mV of spread: it is {1000 * (high - low):.1f} mV"]
    phase = ChargePhase(int(state.charging.phase[string])).name.lower()
    return [f"the next turn chooses who bleeds ({phase})"]
