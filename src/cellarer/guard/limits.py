"""The guard's limits file: read once, strictly. A key that is missing, unknown or out of range stops the start.

The file is JSON, made by the supervisor from the site file; its numbers lie between control's maximum and the
data-sheet cap of the cells. Signal numbers are places in the flat sample; null = the site does not have this signal.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path

VERSION = 3
KINDS = ("none", "contactors", "fets", "separate")


class LimitsError(Exception):
    """The limits file is wrong; says file, key, value and what is allowed."""


@dataclass(frozen=True, slots=True)
class StringLimits:
    """What one string may bear before the guard opens it. Currents are magnitudes."""

    pack: int
    kind: str  # one of KINDS
    cells: tuple[int, int]  # first signal number, count
    temperatures: tuple[int, int]
    absent: tuple[int, ...]  # signal numbers within cells and temperatures that nobody measures
    cell_high: int | None  # highest and lowest cell as a foreign BMS reports them
    cell_low: int | None
    current: int | None
    cell_voltage_max_V: float
    cell_voltage_min_V: float
    deep_discharge_V: float  # below it nothing is charged either
    temperature_max_degC: float
    charge_A: float
    discharge_A: float
    draw_A: float  # discharge that opens a pair which is closed to be charged
    break_A: float  # current that the contacts may open
    open_delay_ns: int  # waits at most this long for it


@dataclass(frozen=True, slots=True)
class PackInputs:
    """Signal numbers of the digital inputs of a pack."""

    emergency_stop: int | None
    interlock_open: int | None
    crash: int | None


@dataclass(frozen=True, slots=True)
class RingFile:
    """A sample ring and the strings that it speaks for."""

    file: str
    strings: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """Everything that the guard knows of the site."""

    site: str
    config_sha256: str
    origin_ns: int  # of the run's clock
    speed_permille: int  # 1000 = real time
    cycle_ns: int
    consent_ns: int  # how long a consent is good
    gap_ns: int  # silence after which devices have opened by themselves
    cells: int
    strings: tuple[StringLimits, ...]
    packs: tuple[PackInputs, ...]
    rings: tuple[RingFile, ...]
    max_age_ns: dict[str, int]  # by signal, all of SIGNALS
    plausible: dict[str, tuple[float, float]]  # by signal


SIGNALS = (
    "cell_voltage",
    "cell_voltage_high",
    "cell_voltage_low",
    "temp_degC",
    "current",
    "emergency_stop",
    "interlock_open",
    "crash",
)


def read_limits(path: Path) -> Limits:
    """Read and check a limits file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise LimitsError(f"{path}: {error}") from error
    try:
        return parse_limits(data)
    except LimitsError as error:
        raise LimitsError(f"{path}: {error}") from None


def parse_limits(data: object) -> Limits:
    """Check the content of a limits file."""
    top = _keys(data, "file", {"version"} | {f.name for f in fields(Limits)})
    if top["version"] != VERSION:
        raise LimitsError(f"version = {top['version']}, this guard reads {VERSION}: start the site again")
    packs = tuple(_pack(p, f"packs[{i}]") for i, p in enumerate(_list(top["packs"], "packs")))
    strings = tuple(_string(s, f"strings[{i}]", len(packs)) for i, s in enumerate(_list(top["strings"], "strings")))
    rings = tuple(_ring(r, f"rings[{i}]", len(strings)) for i, r in enumerate(_list(top["rings"], "rings")))
    ages = _keys(top["max_age_ns"], "max_age_ns", set(SIGNALS))
    spans = _keys(top["plausible"], "plausible", set(SIGNALS))
    return Limits(
        site=_text(top["site"], "site"),
        config_sha256=_sha256(top["config_sha256"], "config_sha256"),
        origin_ns=_whole(top["origin_ns"], "origin_ns", -(2**62), 2**62),
        speed_permille=_whole(top["speed_permille"], "speed_permille", 1, 100_000),
        cycle_ns=_whole(top["cycle_ns"], "cycle_ns", 1_000_000, 10**11),
        consent_ns=_whole(top["consent_ns"], "consent_ns", 1_000_000, 10**12),
        gap_ns=_whole(top["gap_ns"], "gap_ns", 1_000_000, 10**12),
        cells=_whole(top["cells"], "cells", 1, 10**7),
        strings=strings,
        packs=packs,
        rings=rings,
        max_age_ns={k: _whole(v, f"max_age_ns.{k}", 1, 10**13) for k, v in ages.items()},
        plausible={k: _span(v, f"plausible.{k}") for k, v in spans.items()},
    )


def _string(data: object, where: str, packs: int) -> StringLimits:
    d = _keys(data, where, {f.name for f in fields(StringLimits)})
    if d["kind"] not in KINDS:
        raise LimitsError(f"{where}.kind = {d['kind']!r}, allowed are {', '.join(KINDS)}")
    low = _number(d["cell_voltage_min_V"], f"{where}.cell_voltage_min_V", 0.0, 6.0)
    return StringLimits(
        pack=_whole(d["pack"], f"{where}.pack", 0, packs - 1),
        kind=str(d["kind"]),
        cells=_range(d["cells"], f"{where}.cells"),
        temperatures=_range(d["temperatures"], f"{where}.temperatures"),
        absent=tuple(_whole(n, f"{where}.absent", 0, 10**8) for n in _list(d["absent"], f"{where}.absent")),
        cell_high=_signal(d["cell_high"], f"{where}.cell_high"),
        cell_low=_signal(d["cell_low"], f"{where}.cell_low"),
        current=_signal(d["current"], f"{where}.current"),
        cell_voltage_max_V=_number(d["cell_voltage_max_V"], f"{where}.cell_voltage_max_V", low, 6.0),
        cell_voltage_min_V=low,
        deep_discharge_V=_number(d["deep_discharge_V"], f"{where}.deep_discharge_V", 0.0, low),
        temperature_max_degC=_number(d["temperature_max_degC"], f"{where}.temperature_max_degC", 0.0, 120.0),
        charge_A=_number(d["charge_A"], f"{where}.charge_A", 0.0, 1e5),
        discharge_A=_number(d["discharge_A"], f"{where}.discharge_A", 0.0, 1e5),
        draw_A=_number(d["draw_A"], f"{where}.draw_A", 0.0, 1e5),
        break_A=_number(d["break_A"], f"{where}.break_A", 0.0, 1e5),
        open_delay_ns=_whole(d["open_delay_ns"], f"{where}.open_delay_ns", 0, 10**11),
    )


def _pack(data: object, where: str) -> PackInputs:
    d = _keys(data, where, {f.name for f in fields(PackInputs)})
    return PackInputs(**{name: _signal(d[name], f"{where}.{name}") for name in d})


def _ring(data: object, where: str, strings: int) -> RingFile:
    d = _keys(data, where, {"file", "strings"})
    numbers = tuple(_whole(s, f"{where}.strings", 0, strings - 1) for s in _list(d["strings"], f"{where}.strings"))
    return RingFile(_text(d["file"], f"{where}.file"), numbers)


def _keys(data: object, where: str, names: set[str]) -> dict[str, object]:
    if not isinstance(data, dict) or set(data) != names:
        found = sorted(data) if isinstance(data, dict) else type(data).__name__
        raise LimitsError(f"{where} has {found}, needed are exactly {sorted(names)}")
    return data


def _list(data: object, where: str) -> list[object]:
    if not isinstance(data, list):
        raise LimitsError(f"{where} = {data!r}, must be a list")
    return data


def _text(data: object, where: str) -> str:
    if not isinstance(data, str) or not data:
        raise LimitsError(f"{where} = {data!r}, must be a text")
    return data


def _sha256(data: object, where: str) -> str:
    text = _text(data, where)
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise LimitsError(f"{where} = {text!r}, must be 64 hexadecimal digits")
    return text


def _whole(data: object, where: str, low: int, high: int) -> int:
    if not isinstance(data, int) or isinstance(data, bool) or not low <= data <= high:
        raise LimitsError(f"{where} = {data!r}, must be a whole number from {low} to {high}")
    return data


def _number(data: object, where: str, low: float, high: float) -> float:
    if not isinstance(data, int | float) or isinstance(data, bool) or not low <= data <= high:
        raise LimitsError(f"{where} = {data!r}, must be a number from {low:g} to {high:g}")
    return float(data)


def _signal(data: object, where: str) -> int | None:
    return None if data is None else _whole(data, where, 0, 10**8)


def _two(data: object, where: str, names: str) -> list[object]:
    both = _list(data, where)
    if len(both) != 2:
        raise LimitsError(f"{where} = {data!r}, must be {names}")
    return both


def _range(data: object, where: str) -> tuple[int, int]:
    first, count = _two(data, where, "[first, count]")
    return _whole(first, where, 0, 10**8), _whole(count, where, 0, 10**7)


def _span(data: object, where: str) -> tuple[float, float]:
    low, high = _two(data, where, "[low, high]")
    least = _number(low, where, -1e12, 1e12)
    return least, _number(high, where, least, 1e12)
