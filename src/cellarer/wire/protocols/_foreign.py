"""What follows from the words of a foreign BMS, whatever it speaks."""

from collections.abc import Sequence

from cellarer.wire.frame import Reading


def any_alarm(readings: Sequence[Reading]) -> list[Reading]:
    """Return `foreign_alarm` when the readings hold alarms: 1 if any is active."""
    alarms = [r.value for r in readings if r.signal.startswith("alarm_")]
    return [Reading("foreign_alarm", 0, float(any(a == 1 for a in alarms)))] if alarms else []
