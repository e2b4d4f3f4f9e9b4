"""Events in plain words: which cell, which value, which limit, why. Made when an event is read, not in the cycle."""

import math

from cellarer.model.config import Config
from cellarer.model.values import Event

PLAIN = {
    "refuse": "request {name} refused: {cause}",
    "switch": "switchgear {name}: {cause}",
    "charge": "charging {name}: {cause}",
    "system": "{name}: {cause}",
}


def cell_number(config: Config, event: Event) -> int | None:
    """Return the number that people use, from 1 within its string: a cell or a sensor; None for string-wide events."""
    if event.cell < 0:
        return None
    layout = config.layout
    owner = layout.string_of_temp if _sensor(event) else layout.string_of_cell
    first = int((owner < owner[event.cell]).sum())
    return event.cell - first + 1


def place(config: Config, event: Event) -> str:
    """Return the cell or the sensor in words; empty for string-wide events."""
    number = cell_number(config, event)
    return "" if number is None else f"{'sensor' if _sensor(event) else 'cell'} {number}"


def _sensor(event: Event) -> bool:
    return event.kind in ("fault", "clear") and event.cause.startswith("temp_")


def apart_from_bus(apart_V: float, limit_V: float) -> str:
    """Return why a string does not join others: how far it is above (− below) them, NaN = unknown, and may be."""
    if math.isnan(apart_V):
        return "its voltage or that of others on the bus is unknown"
    where = "above" if apart_V > 0.0 else "below"
    return f"its voltage is {abs(apart_V):.2f} V {where} the bus, limit {limit_V:.2f} V"


def text(config: Config, event: Event) -> str:
    """Return one sentence for people. Values keep the unit that the row's text states."""
    if event.kind == "request":
        return f"request {event.name} granted" + (f": {event.cause}" if event.cause else "")
    if event.kind not in ("fault", "clear"):
        return PLAIN.get(event.kind, "{name}: {cause}").format(name=event.name, cause=event.cause)
    plain = event.name.replace("_", " ")
    if event.kind == "clear":
        return f"{plain} is over"
    if not math.isfinite(event.value):
        return f"{plain}, from before the restart"
    row = config.faults.name.index(event.name)
    number = cell_number(config, event)
    lasted = f" for {event.lasted_s:.3g} s" if event.lasted_s > 0.0 else ""  # not where one sample is enough
    said = {"cell": number, "sensor": number, "value": event.value, "limit": event.limit, "lasted": lasted}
    return config.faults.text[row].format_map(said)
