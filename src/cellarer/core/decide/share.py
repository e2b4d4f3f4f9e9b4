"""What strings in parallel may carry together: each takes its share by its conductance, and the weakest bounds the sum.

A string that is open, blocked by its own BMS or lost leaves the sum at once. One that is connected and may take nothing
brings the sum to zero: current on the bus would reach it all the same.
"""

import numpy as np

from cellarer.core.decide.sequence import carrying
from cellarer.core.decide.signals import NO_SWITCHGEAR, Look
from cellarer.model.values import Bools, Estimate, Floats, Ints, Switches, Window

WAYS = ("charge", "discharge")


def share(
    look: Look, switches: Switches, window: Window, estimate: Estimate
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Return ((charge, discharge) per pack (pack,), (charge, discharge) of the whole bank (1,)), A."""
    layout = look.config.layout
    if layout.yes.size == 1:
        alone = (window.charge_A, window.discharge_A)
        return alone, alone
    scale = np.where(estimate.resistance_scale > 0.0, estimate.resistance_scale, 1.0)
    conductance = 1.0 / layout.total(look.config.cell_ohm * scale)
    limits = (window.charge_A, window.discharge_A)
    joined = connected(look, switches)
    bank = np.zeros(1, np.int64)
    return (
        _each(limits, joined, conductance, layout.first_string, layout.pack_of_string),
        _each(limits, joined, conductance, bank, np.zeros_like(layout.pack_of_string)),
    )


def connected(look: Look, switches: Switches) -> tuple[Bools, Bools]:
    """Return (charge, discharge), (string,): current of that direction on the bus can reach this string.

    With switchgear of ours by its phase; else by what its own BMS reports of its switches, lost ones left out.
    """
    ours = look.config.switch.kind != NO_SWITCHGEAR
    where, present = look.config.layout.where, look.config.sensing.present
    result = []
    for way, may in zip(WAYS, carrying(look.config, switches), strict=True):
        name = f"feedback_{way}"
        theirs = np.where(present[where[name]], look.of(name) == 1.0, ~np.isnan(look.current))
        result.append(np.where(ours, may, theirs & ~np.isnan(look.current)))
    return result[0], result[1]


def _each(
    limits: tuple[Floats, Floats], joined: tuple[Bools, Bools], conductance: Floats, first: Ints, owner: Ints
) -> tuple[Floats, Floats]:
    """Return for both directions min over the connected strings of limit/share, one value per owner; none: 0."""
    result = []
    for limit, on in zip(limits, joined, strict=True):
        weight = np.where(on, conductance, 0.0)
        total = np.add.reduceat(weight, first)
        bound = np.where(on, limit * total[owner] / conductance, np.inf)
        least = np.minimum.reduceat(bound, first)
        result.append(np.where(np.isfinite(least), least, 0.0))
    return result[0], result[1]
