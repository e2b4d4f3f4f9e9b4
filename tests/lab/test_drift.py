"""A run that is full twice tells what its current sensor adds; one that is not, or ended otherwise, tells nothing."""

from dataclasses import replace

import numpy as np
import pytest

from cellarer.lab.drift import without_drift
from cellarer.lab.readers import Run
from cellarer.lab.sort import Ends

ENDS = Ends(4.1, 1.5, 2.0)


def cycle(offset_A: float = 0.0, last_A: float = 0.1, kept: float = 1.0) -> Run:
    """Topped up, discharged and charged again, 10 s rows; the sensor adds `offset_A`, `kept` of it is logged."""
    tail = np.geomspace(1.0, last_A, 200)
    back = 720.0 - float(tail.sum())  # rows of 1 A that bring back what went out
    true = np.r_[np.full(18, 0.1), np.full(720, -1.0), np.full(round(back), 1.0), tail]
    volts = np.r_[np.full(18, 4.1), np.linspace(4.0, 1.5, 720), np.linspace(2.0, 4.1, round(back)), np.full(200, 4.1)]
    read = np.where(true > 0.5, kept, 1.0) * true + offset_A
    charge = np.r_[0.0, np.cumsum(read[1:])] * 10.0 / 3600.0
    time = 10.0 * np.arange(len(read))
    return Run("f", "f#1", time, read, volts, np.full(len(read), 23.0), charge, True)


def test_offset_between_two_full_charges_is_found_and_said() -> None:
    notes: list[str] = []
    run = cycle(0.015)
    freed = without_drift(run, ENDS, notes)
    assert float(np.mean(run.current - freed.current)) == pytest.approx(0.015, abs=0.003)
    end = freed.charge_Ah[-1] - freed.charge_Ah[17]
    assert abs(end) < 0.005 < abs(run.charge_Ah[-1] - run.charge_Ah[17])
    assert len(notes) == 1
    assert "mA too much" in notes[0]


@pytest.mark.parametrize(
    "run",
    [
        cycle(0.0),
        cycle(0.015, last_A=0.3),  # the second charge ended earlier
        cycle(0.0, kept=0.8),  # charge was not logged: no sensor is so far off
        replace(cycle(0.015), voltage=np.minimum(cycle().voltage, 3.9)),  # never full
    ],
)
def test_what_tells_no_offset_stays_as_it_is(run: Run) -> None:
    notes: list[str] = []
    assert without_drift(run, ENDS, notes) is run
    assert not notes
