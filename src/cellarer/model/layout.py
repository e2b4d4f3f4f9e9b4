"""Which cell sits in which string, which string in which pack, and where each signal lies in a Sample.

Everything measured is one flat array; a `Layout` says where. Cells, sensors and strings are sorted by their owner, so
that one value per string is a `reduceat` over offsets: packs of different size cost nothing and no code loops over
cells. Cells count from 0 here, from 1 wherever people or files see them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellarer.model.quantities import SIGNALS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Offsets of a site. Axis names: cell, temp (sensor), string, pack, signal (all signals, flat)."""

    string_of_cell: Ints  # (cell,) rising
    string_of_temp: Ints  # (temp,) rising
    pack_of_string: Ints  # (string,) rising
    temp_of_cell: Ints  # (cell,) index of the sensor that speaks for this cell; −1 = none
    first_cell: Ints = field(init=False)  # (string,)
    first_string: Ints = field(init=False)  # (pack,)
    first_temp: Ints = field(init=False)  # (strings with sensors,)
    strings_with_temp: Ints = field(init=False)
    pack_of_cell: Ints = field(init=False)  # (cell,)
    yes: Bools = field(init=False)  # (string,) all true: shared, never altered
    size: Mapping[str, int] = field(init=False)  # axis → count
    where: Mapping[str, slice] = field(init=False)  # signal name → its place in the flat array
    first_of_owner: Ints = field(init=False)  # (owned,) where the elements of one signal and one owner begin
    owner_of: Ints = field(init=False)  # (signal,) back from the flat array to (owned,)
    owners: int = field(init=False)  # size of (owned,)
    owned: Mapping[str, slice] = field(init=False)  # signal name → its place in (owned,): one per string, or per pack
    filled: Ints | None = field(init=False)  # places in (owned,) with an element; None = all: every string has a sensor

    def __post_init__(self) -> None:
        for name in ("string_of_cell", "string_of_temp", "pack_of_string"):
            owner = getattr(self, name)
            if owner.size and (np.diff(owner) < 0).any():
                raise ValueError(f"{name} must rise: sort cells, sensors and strings by their owner")
        n_string = int(self.pack_of_string.size)
        n_pack = int(self.pack_of_string[-1]) + 1 if n_string else 0
        first_cell = np.searchsorted(self.string_of_cell, np.arange(n_string))
        if (np.bincount(self.string_of_cell, minlength=n_string) == 0).any() or self.string_of_cell.max(
            initial=-1
        ) >= n_string:
            raise ValueError("every string needs at least one cell, and every cell a string")
        if (np.bincount(self.pack_of_string, minlength=n_pack) == 0).any():
            raise ValueError("every pack needs at least one string")
        strings_with_temp = np.unique(self.string_of_temp)
        put = object.__setattr__
        put(self, "first_cell", first_cell)
        put(self, "first_string", np.searchsorted(self.pack_of_string, np.arange(n_pack)))
        put(self, "strings_with_temp", strings_with_temp)
        put(self, "first_temp", np.searchsorted(self.string_of_temp, strings_with_temp))
        put(self, "pack_of_cell", self.pack_of_string[self.string_of_cell])
        size = {
            "cell": int(self.string_of_cell.size),
            "temp": int(self.string_of_temp.size),
            "string": n_string,
            "pack": n_pack,
        }
        where, at = {}, 0
        for q in SIGNALS:
            where[q.name] = slice(at, at + size[q.axis])
            at += size[q.axis]
        self._own(put)
        put(self, "yes", np.ones(n_string, bool))
        put(self, "size", size | {"signal": at})
        put(self, "where", where)

    def _own(self, put: Callable[[object, str, object], None]) -> None:
        """Lay out (owned,): for each signal one place per string (or pack), so that one reduceat serves all signals."""
        counts = {
            "cell": np.bincount(self.string_of_cell, minlength=self.pack_of_string.size),
            "temp": np.bincount(self.string_of_temp, minlength=self.pack_of_string.size),
            "string": np.ones(self.pack_of_string.size, np.int64),
            "pack": np.ones(self.first_string.size, np.int64),
        }
        sizes, owned, at = [], {}, 0
        for q in SIGNALS:
            owned[q.name] = slice(at, at + counts[q.axis].size)
            sizes.append(counts[q.axis])
            at += counts[q.axis].size
        flat = np.concatenate(sizes)
        first = np.cumsum(flat) - flat
        put(self, "owner_of", np.repeat(np.arange(flat.size), flat))
        put(self, "first_of_owner", first[flat > 0])
        put(self, "filled", None if flat.all() else np.flatnonzero(flat))
        put(self, "owned", owned)
        put(self, "owners", at)

    def by_owner(self, ufunc: np.ufunc, x: NDArray[Any], into: NDArray[Any]) -> NDArray[Any]:
        """Reduce a flat (signal,) array into (owned,) in one pass; owners without an element keep what stands there."""
        if self.filled is None:
            return ufunc.reduceat(x, self.first_of_owner, out=into)
        into[self.filled] = ufunc.reduceat(x, self.first_of_owner)
        return into

    def __reduce__(self) -> tuple[object, ...]:
        return (Layout, (self.string_of_cell, self.string_of_temp, self.pack_of_string, self.temp_of_cell))

    def highest(self, x: Floats) -> Floats:
        """Return the highest of each string, (string,). x (cell,); NaN spreads: unknown stays unknown."""
        return np.maximum.reduceat(x, self.first_cell)

    def lowest(self, x: Floats) -> Floats:
        """Return the lowest of each string, (string,). x (cell,); NaN spreads."""
        return np.minimum.reduceat(x, self.first_cell)

    def total(self, x: Floats) -> Floats:
        """Return the sum over the cells of each string, (string,)."""
        return np.add.reduceat(x, self.first_cell)

    def every(self, ok: Bools) -> Bools:
        """Return whether all cells of each string are ok, (string,)."""
        return np.logical_and.reduceat(ok, self.first_cell)

    def over_temps(self, ufunc: np.ufunc, x: NDArray[Any], empty: float) -> NDArray[Any]:
        """Reduce (temp,) to (string,) by `ufunc`; strings without a sensor get `empty`."""
        if self.strings_with_temp.size == self.yes.size:
            return ufunc.reduceat(x, self.first_temp)
        result = np.full(self.size["string"], empty, x.dtype)
        if x.size:
            result[self.strings_with_temp] = ufunc.reduceat(x, self.first_temp)
        return result

    def pack_total(self, x: Floats) -> Floats:
        """Return the sum over the strings of each pack, (pack,). x (string,)."""
        return np.add.reduceat(x, self.first_string)

    def pack_any(self, x: Bools) -> Bools:
        """Return whether any string of each pack is true, (…, pack). x (…, string)."""
        return np.logical_or.reduceat(x, self.first_string, axis=-1)

    def pack_all(self, x: Bools) -> Bools:
        """Return whether all strings of each pack are true, (pack,)."""
        return np.logical_and.reduceat(x, self.first_string)


def layout(cells_per_string: Sequence[int], temps_per_string: Sequence[int], strings_per_pack: Sequence[int]) -> Layout:
    """Build a Layout in which sensors are spread evenly over the cells of their string."""
    cells, temps = np.asarray(cells_per_string), np.asarray(temps_per_string)
    first_temp = np.cumsum(temps) - temps
    temp_of_cell = np.concatenate(
        [
            first + np.arange(n) * k // n if k else np.full(n, -1)
            for n, k, first in zip(cells, temps, first_temp, strict=True)
        ]
    )
    return Layout(
        string_of_cell=np.repeat(np.arange(cells.size), cells),
        string_of_temp=np.repeat(np.arange(temps.size), temps),
        pack_of_string=np.repeat(np.arange(len(strings_per_pack)), strings_per_pack),
        temp_of_cell=temp_of_cell.astype(np.int64),
    )
