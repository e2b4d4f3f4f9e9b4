"""What strings in parallel may carry together: each takes its share by its conductance, and the weakest bounds the sum.

A string that is open, blocked by its own BMS or lost leaves the sum at once. One that is connected and may take nothing
brings the sum to zero: current on the bus would reach it all the same. Conductances are learnt slowly, and strings of
different charge even out: what one carries now beyond its share counts against its limit, whatever the reason.
Each bus has its bank: what one bears is no limit of another.
"""

from functools import lru_cache

import numpy as np

from cellarer.core.decide.look import FEEDBACK, NO_SWITCHGEAR, Look, carrying, on_bus
from cellarer.model.config import Config
from cellarer.model.values import Bools, Estimate, Floats, Ints, Switches, Window


def share(
    look: Look, switches: Switches, window: Window, estimate: Estimate
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Return ((charge, discharge) per pack (pack,), (charge, discharge) of each bus's bank (bus,)), A."""
    layout, limits = look.config.layout, (window.charge_A, window.discharge_A)
    if layout.yes.size == 1:
        return limits, limits
    joined, conductance = connected(look, switches), _conductance(look.config, estimate)
    weight = np.where(joined, conductance, 0.0)
    flows_A = np.where(joined & ~np.isnan(look.current), [look.current, -look.current], 0.0)
    owners = (layout.pack_of_string, layout.first_string), on_bus(look.config)
    packs, buses = (_least(np.array(limits), flows_A, weight, *owner) for owner in owners)
    return (packs[0], packs[1]), (buses[0], buses[1])


@lru_cache(maxsize=1)  # an estimate stands for several cycles
def _conductance(config: Config, estimate: Estimate) -> Floats:
    """Return 1/ohm of each string, (string,)."""
    scale = np.where(estimate.resistance_scale > 0.0, estimate.resistance_scale, 1.0)
    return 1.0 / config.layout.total(config.cell_ohm * scale)


def connected(look: Look, switches: Switches) -> Bools:
    """Return (way, string): current of that direction on the bus can reach this string.

    With switchgear of ours by its phase; else by what its own BMS reports of its switches, lost ones left out.
    """
    where, known = look.config.layout.where, ~np.isnan(look.current)
    may, ours = carrying(look.config, switches), look.config.switch.kind != NO_SWITCHGEAR
    theirs = [
        np.where(look.config.sensing.present[where[name]], look.of(name) == 1.0, known) & known for name in FEEDBACK[3:]
    ]
    return np.where(ours, may, np.array(theirs))


def _least(limit_A: Floats, flows_A: Floats, weight: Floats, owner: Ints, first: Ints) -> Floats:
    """Return min over the connected strings of what is left of the limit/share, (way, owner) A; none: 0."""
    whole, total_A = np.add.reduceat(weight, first, axis=1), np.add.reduceat(flows_A, first, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = weight / whole[:, owner]
        left = np.maximum(limit_A - np.maximum(flows_A - share * total_A[:, owner], 0.0), 0.0) / share
    least = np.minimum.reduceat(np.where(weight > 0.0, left, np.inf), first, axis=1)
    return np.where(np.isfinite(least), least, 0.0)
