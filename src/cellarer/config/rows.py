"""faults.toml → FaultTable: rows with thresholds by name become stacked arrays per string.

A row with three levels becomes three rows (operating, recommended, maximum). Rows whose signals the site does not have
are off for those strings: absent is not unknown, and `check` says what is therefore not protected.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from cellarer.cells.error import first
from cellarer.config.error import ConfigError
from cellarer.config.schema import Strict
from cellarer.model.config import FaultTable, Sensing
from cellarer.model.layout import Layout
from cellarer.model.quantities import BY_NAME
from cellarer.model.values import SUSPICIONS, Latch, Level

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FILE = Path(__file__).with_name("faults.toml")
LEVELS = ("operating", "recommended", "maximum")
Margin = Annotated[float, Field(ge=0)]
LevelName = Literal["inform", "warn", "derate", "ramp", "open"]


class RowFile(Strict):
    """One [[fault]] of faults.toml; meaning of the keys: head of that file."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    covers: Annotated[list[str], Field(min_length=1)]
    signal: str
    need: list[str]
    above: str | float | None = None
    below: str | float | None = None
    release: Margin | tuple[Margin, Margin, Margin] = 0.0
    debounce_s: Annotated[float, Field(ge=0, le=3600)]
    samples: Annotated[int, Field(ge=1, le=10000)]
    release_s: Annotated[float, Field(ge=0, le=86400)] = 1.0
    level: LevelName | tuple[LevelName, LevelName, LevelName]
    latch: Literal["self", "reset", "service"] = "self"
    path: Literal["charge", "discharge", "both"]
    derate: Annotated[float, Field(ge=0, lt=1)] = 0.5
    budget_s: Annotated[float, Field(gt=0)]
    dtc: Annotated[str, Field(pattern=r"^[PBCU][0-9A-F]{4}$")]
    text: str
    source: Annotated[str, Field(min_length=2)]

    @model_validator(mode="after")
    def _one_side(self) -> "RowFile":
        if (self.above is None) == (self.below is None):
            raise ValueError(f"{self.name}: exactly one of above and below")
        if self.signal in SUSPICIONS and "open" in (self.level if isinstance(self.level, tuple) else (self.level,)):
            raise ValueError(f"{self.name}: an estimate may warn, derate or ramp, not open at once")
        return self


def read_rows(path: Path = FILE) -> list[RowFile]:
    """Return the rows of a fault file. Raises ConfigError with file, key, value and what is allowed."""
    try:
        rows = [RowFile.model_validate(r) for r in tomllib.loads(path.read_text(encoding="utf-8"))["fault"]]
    except ValidationError as error:
        raise ConfigError(path.name, *first(error, RowFile)) from None
    names = [r.name for r in rows]
    doubled = {n for n in names if names.count(n) > 1}
    if doubled:
        raise ConfigError(path.name, "name", sorted(doubled), "each name once")
    return rows


CATALOGUE = Path(__file__).with_name("catalogue.toml")


class KindFile(Strict):
    """One [[fault]] of catalogue.toml; meaning of the keys: head of that file."""

    id: Annotated[str, Field(pattern=r"^[SCAITXNPG][0-9]+$")]
    text: str
    else_by: str = ""
    unseen: str = ""


def read_catalogue(path: Path = CATALOGUE) -> list[KindFile]:
    """Return the kinds of fault that a battery system can have."""
    return [KindFile.model_validate(r) for r in tomllib.loads(path.read_text(encoding="utf-8"))["fault"]]


# no signals: something to switch, more than one cell, more than one and two temperature sensors, contactors, a heater,
# a pump or fan, bleeders that we order, converters between cells
FACTS = ("switchgear", "neighbours", "sensors", "many_sensors", "shared", "heater", "cooler", "bleeders",
         "converters")  # fmt: skip


def enabled(layout: Layout, sensing: Sensing, facts: Mapping[str, Bools], need: list[str]) -> Bools:
    """Return (string,): everything that a row needs is there on this string. Alternatives are joined by |."""
    result = layout.yes.copy()
    for alternatives in need:
        if alternatives in facts:
            result &= facts[alternatives]
            continue
        result &= np.logical_or.reduce([_present(layout, sensing, name) for name in alternatives.split("|")])
    return result


def _present(layout: Layout, sensing: Sensing, name: str) -> Bools:
    present = sensing.present[layout.where[name]]
    match BY_NAME[name].axis:
        case "cell":
            return np.logical_or.reduceat(present, layout.first_cell)
        case "temp":
            return layout.over_temps(np.logical_or, present, False).astype(bool)
        case "pack":
            return present[layout.pack_of_string]
        case _:
            return present


def compile_rows(
    rows: list[RowFile], layout: Layout, sensing: Sensing, facts: Mapping[str, Bools], thresholds: Mapping[str, Floats]
) -> FaultTable:
    """Stack the rows. thresholds: name → (3, string) for three-level rows or (string,)."""
    flat: list[tuple[RowFile, str, str, Floats, Floats, float]] = []
    for row in rows:
        sign = 1.0 if row.above is not None else -1.0
        level = row.level if isinstance(row.level, tuple) else (row.level,)
        value = _threshold(row, thresholds, layout.size["string"])
        if value.shape[0] != len(level):
            raise ConfigError(
                FILE.name, f"{row.name}.level", row.level, f"{value.shape[0]} level(s) for this threshold"
            )
        release = row.release if isinstance(row.release, tuple) else (row.release,) * len(level)
        for name, at, trip, by in zip(LEVELS if len(level) == 3 else ("",), level, value, release, strict=True):
            full = f"{row.name}_{name}" if name else row.name
            flat.append((row, full, at, sign * trip, sign * trip - by, sign))
    use = np.array([enabled(layout, sensing, facts, row.need) & ~np.isnan(trip) for row, _, _, trip, _, _ in flat])
    signals = tuple(dict.fromkeys(row.signal for (row, *_), on in zip(flat, use, strict=True) if on.any()))
    levels = np.array([Level[at.upper()] for _, _, at, *_ in flat], np.int8)
    latch = [row.latch if at in ("ramp", "open") else "self" for row, _, at, *_ in flat]

    def column(pick: object) -> NDArray[np.float64]:
        return np.array([getattr(row, str(pick)) for row, *_ in flat])

    return FaultTable(
        name=tuple(full for _, full, *_ in flat),
        signal=tuple(row.signal for row, *_ in flat),
        text=tuple(row.text for row, *_ in flat),
        source=tuple(row.source for row, *_ in flat),
        dtc=tuple(row.dtc for row, *_ in flat),
        signal_index=np.array([signals.index(row.signal) if row.signal in signals else 0 for row, *_ in flat]),
        signals=signals,
        sign=np.array([sign for *_, sign in flat]),
        trip=np.array([trip for _, _, _, trip, _, _ in flat]),
        release=np.array([release for _, _, _, _, release, _ in flat]),
        debounce_ns=(column("debounce_s") * 1e9).astype(np.int64),
        samples=column("samples").astype(np.int64),
        release_ns=(column("release_s") * 1e9).astype(np.int64),
        level=levels,
        latch=np.array([Latch[name.upper()] for name in latch], np.int8),
        charge=np.array([row.path in ("charge", "both") for row, *_ in flat]),
        discharge=np.array([row.path in ("discharge", "both") for row, *_ in flat]),
        derate=column("derate"),
        locks=_locks([row for row, *_ in flat], latch, levels, facts["shared"]),
        budget_ns=(column("budget_s") * 1e9).astype(np.int64),
        enabled=use,
    )


def _locks(rows: list[RowFile], latch: Sequence[str], levels: NDArray[np.int8], shared: Bools) -> Bools:
    """Return (row, string): latched, it leaves no path; on shared contacts a row of one path takes both."""
    heavy = np.array([name != "self" for name in latch]) & (levels >= Level.RAMP)
    both = np.array([row.path == "both" for row in rows])
    return heavy[:, None] & (both[:, None] | shared[None, :])


def _threshold(row: RowFile, thresholds: Mapping[str, Floats], n_string: int) -> Floats:
    """Return (level, string) in the direction of the row."""
    given = row.above if row.above is not None else row.below
    if isinstance(given, str):
        if given not in thresholds:
            raise ConfigError(FILE.name, f"{row.name}.above/below", given, f"a number or one of {sorted(thresholds)}")
        value = thresholds[given]
        return value if value.ndim == 2 else value[None, :]
    return np.full((1, n_string), float(given))  # type: ignore[arg-type]
