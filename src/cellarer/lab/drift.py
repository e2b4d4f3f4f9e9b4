"""What a current sensor adds: a run that is full twice tells it, for nothing may have flowed between the two in sum."""

from dataclasses import replace

import numpy as np

from cellarer.lab.readers import Run
from cellarer.lab.sort import Ends

NEAR_V = 0.005  # of the highest voltage: the end of a constant voltage
END_C = (0.02, 0.1)  # C: currents at which a charge ends; what flows below is no longer looked at
ALIKE_C = 0.03  # C: how far the last currents of two charges may differ
FULLNESS = 0.01  # of the capacity: two ends that are alike are as full within this (0.03 C go on for 0.4 h)
MOST_C = 0.02  # C: more is no sensor's offset but charge that was not logged
AWAY = 0.3  # of the capacity: so much was taken out between


def without_drift(run: Run, ends: Ends, notes: list[str]) -> Run:
    """Take out the constant current that brings two full charges of a run to the same count, and say so."""
    q = ends.capacity_Ah
    ending = (run.current > END_C[0] * q) & (run.current < END_C[1] * q)
    full = np.flatnonzero(ending & (run.voltage > ends.full_V - NEAR_V))
    if len(full) < 2:
        return run
    low = int(full[0]) + int(np.argmin(run.charge_Ah[full[0] : full[-1] + 1]))
    before, after = full[full <= low], full[full > low]
    if not (len(before) and len(after)):
        return run
    first, last = int(before[-1]), int(after[-1])
    count, hours = run.charge_Ah, (run.time_s[last] - run.time_s[first]) / 3600.0
    over = float(count[last] - count[first])
    deep = float(min(count[first], count[last]) - count[low]) > AWAY * q
    alike = abs(float(run.current[last] - run.current[first])) < ALIKE_C * q
    if not (deep and alike and FULLNESS * q < abs(over) < MOST_C * q * hours):
        return run
    offset = over / hours
    notes.append(f"{run.label}: full twice, but the count differs by {over:+.3g} Ah: the current reads "
                 f"{1e3 * offset:+.3g} mA too much, taken out")  # fmt: skip
    return replace(run, current=run.current - offset, charge_Ah=count - offset * run.time_s / 3600.0)
