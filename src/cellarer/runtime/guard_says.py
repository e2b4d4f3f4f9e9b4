"""What the guard says, for people: it knows names and numbers of signals; their units stand in our table only."""

import re

from cellarer.model.quantities import BY_NAME

TRIP = re.compile(r"\b(?P<what>(?P<name>[A-Za-z_]+)(?: \d+)?) = (?P<value>[^\s,;]+), limit (?P<limit>[^\s,;]+)")
WRITTEN = {"degC": "°C"}  # units that people write otherwise than programs


def with_units(text: str) -> str:
    """Return a reason of the guard's with the unit behind every value; what it does not know it leaves as it is."""
    return TRIP.sub(_with_unit, text)


def _with_unit(trip: re.Match[str]) -> str:
    quantity = BY_NAME.get(trip["name"])
    if quantity is None or not quantity.unit:
        return trip[0]
    unit = WRITTEN.get(quantity.unit, quantity.unit)
    return f"{trip['what']} = {trip['value']} {unit}, limit {trip['limit']} {unit}"
