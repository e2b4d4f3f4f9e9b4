"""Advice on what would make SOC better known, kept for everybody: one string at a time, all of them once a minute."""

import numpy as np

from cellarer.core import estimate as estimators
from cellarer.core.decide.signals import Look
from cellarer.model.advice import ACTIONS, Advised
from cellarer.model.config import Config
from cellarer.model.values import FOREVER, NEVER, Estimate

EVERY_NS = 60_000_000_000  # a promise is about tens of minutes


def start(config: Config) -> Advised:
    """Return what is known before the first time: nothing."""
    strings = config.layout.size["string"]
    unknown = np.full((len(ACTIONS), strings), np.nan)
    return Advised(unknown, unknown, unknown, np.full(strings, np.nan), np.full(strings, -1), np.full(strings, NEVER))


def advise(
    look: Look, tables: estimators.EstimatorConfig, estimator: estimators.EstimateState, said: Estimate, before: Advised
) -> Advised:
    """Ask for the string of known SOC that waits longest, where it is its turn; else return what was known."""
    if look.now_ns - int(before.asked_ns.max()) < EVERY_NS // before.asked_ns.size:
        return before
    asked_ns = np.where(np.isnan(said.string_soc_sigma), FOREVER, before.asked_ns)
    string = int(np.argmin(asked_ns))
    if asked_ns[string] == FOREVER:
        return before
    new = Advised(*(getattr(before, name).copy() for name in Advised.__slots__))
    cells = np.flatnonzero(look.config.layout.string_of_cell == string)
    cell = int(cells[np.argmax(said.soc_sigma[cells])])
    for field in (new.minutes, new.voltage_V, new.promised):
        field[:, string] = np.nan
    new.sigma[string], new.cell[string], new.asked_ns[string] = said.soc_sigma[cell], cell, look.now_ns
    for one in estimators.advise_cell(tables, estimator, cell):
        at = ACTIONS.index(one.action), string
        new.minutes[at], new.voltage_V[at], new.promised[at] = one.minutes, one.voltage, one.promised
    return new
