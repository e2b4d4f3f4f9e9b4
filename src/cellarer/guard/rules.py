"""What makes the guard open, as a table, and the memory of one rule on one string.

The guard's limits lie beyond control's, so that in a sound system control acts first and these rules stay silent.
A rule counts fresh samples, never cycles: a single wild sample trips nothing but the digital inputs, whose frames carry
their own checks. Under-voltage leaves one way back: a pair of contactors may be closed again to be charged (decide.py).
"""

from dataclasses import dataclass
from typing import NamedTuple

CHARGE, DISCHARGE = 32, 64  # veto bits, as the links see them
BOTH = CHARGE | DISCHARGE


class Rule(NamedTuple):
    """A value is good while sign · value <= sign · limit. Anything else, NaN too, is bad."""

    name: str
    signal: str
    limit: str  # field of StringLimits; empty = 0.5, the middle of a fact
    sign: int
    samples: int  # fresh bad samples, less those that were good
    paths: int  # which paths it closes off
    at_once: bool  # do not wait for the current to fall
    reset: bool  # stays until an authorised reset


RULES = (
    Rule("cell over-voltage", "cell_voltage", "cell_voltage_max_V", +1, 3, CHARGE, at_once=False, reset=True),
    Rule("cell under-voltage", "cell_voltage", "cell_voltage_min_V", -1, 3, DISCHARGE, at_once=False, reset=False),
    Rule("deep discharge", "cell_voltage", "deep_discharge_V", -1, 3, BOTH, at_once=False, reset=False),
    Rule("cell over-voltage", "cell_voltage_high", "cell_voltage_max_V", +1, 3, CHARGE, at_once=False, reset=True),
    Rule("cell under-voltage", "cell_voltage_low", "cell_voltage_min_V", -1, 3, DISCHARGE, at_once=False, reset=False),
    Rule("deep discharge", "cell_voltage_low", "deep_discharge_V", -1, 3, BOTH, at_once=False, reset=False),
    Rule("over-temperature", "temp_degC", "temperature_max_degC", +1, 3, BOTH, at_once=False, reset=True),
    Rule("charge over-current", "current", "charge_A", +1, 2, BOTH, at_once=False, reset=True),
    Rule("discharge over-current", "current", "discharge_A", -1, 2, BOTH, at_once=False, reset=True),
    Rule("emergency stop", "emergency_stop", "", +1, 1, BOTH, at_once=True, reset=False),
    Rule("crash", "crash", "", +1, 1, BOTH, at_once=True, reset=True),
    Rule("interlock open", "interlock_open", "", +1, 1, BOTH, at_once=False, reset=False),
)
# More samples than control's own row takes (refill_discharged), so that control acts first
DRAWN = Rule("discharged while charging only", "current", "draw_A", -1, 10, BOTH, at_once=False, reset=False)
NO_DATA = Rule("no data", "", "", +1, 1, BOTH, at_once=False, reset=False)
HELD_UP = Rule("guard was held up", "", "", +1, 1, BOTH, at_once=False, reset=False)
RESTARTED = Rule("link was restarted", "", "", +1, 1, BOTH, at_once=False, reset=False)


@dataclass(slots=True)
class Trip:
    """A rule that said no on one string, and why."""

    rule: Rule
    what: str  # signal and number, as people count
    value: float
    limit: float
    gone_ns: int | None = None  # since when the cause is gone; None = it is there
    reset: bool = False  # an authorised reset came after the cause was gone
    answered: bool = False  # control has ordered all open since it came

    @property
    def text(self) -> str:
        """Say it in one line."""
        if self.rule.limit:
            return f"{self.rule.name}: {self.what} = {self.value:g}, limit {self.limit:g}"
        return self.rule.name if self.rule.signal else f"{self.rule.name}: {self.what}"
