"""The inputs of a log as a recording (docs/recording-format.md): one row per cycle, one string."""

from collections.abc import Iterator
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from cellarer.history.inputs import Log
from cellarer.model.layout import Layout

Floats = NDArray[np.float64]


def columns(layout: Layout, string: int) -> dict[str, int]:
    """Return name of a column → place in the flat array, for one string, from 0."""
    where = layout.where
    found = {name: where[signal].start + string for name, signal in ONE.items()}
    for name, owner, signal in (
        ("cell_{:02d}_V", layout.string_of_cell, "cell_voltage"),
        ("temp_{:02d}_degC", layout.string_of_temp, "temp_degC"),
    ):
        mine = np.flatnonzero(owner == string).tolist()
        found |= {name.format(k): where[signal].start + place for k, place in enumerate(mine, 1)}
    return found


ONE = {"current_A": "current", "pack_voltage_V": "string_voltage"}


def rows(log: Log, layout: Layout, string: int) -> Iterator[tuple[int, Floats]]:
    """Yield (time in ns, values of `columns`) per cycle: the newest reading of each signal; NaN before the first."""
    places = list(columns(layout, string).values())
    for moment in log.moments():
        yield moment.now_ns, moment.value[places]


def lines(log: Log, layout: Layout, string: int) -> Iterator[str]:
    """Yield the recording as lines of CSV; an unknown value is empty."""
    yield ",".join(["time_s", *columns(layout, string)]) + "\n"
    first_ns: int | None = None
    for now_ns, values in rows(log, layout, string):
        first_ns = now_ns if first_ns is None else first_ns
        known = ["" if value != value else f"{value:.6g}" for value in values.tolist()]
        yield ",".join([f"{(now_ns - first_ns) * 1e-9:.6f}", *known]) + "\n"


def write_csv(log: Log, layout: Layout, file: TextIO, string: int) -> None:
    """Write the recording of one string."""
    file.writelines(lines(log, layout, string))
