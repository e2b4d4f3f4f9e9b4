"""What a site can and cannot protect, how fast it reacts at worst, and what is wrong with it before it ever runs.

Worst case per fault row: (debounce + 1) × sample period + cycle + guard + actuator, for RAMP rows plus the longest wait
for the current to fall. A string without switchgear of ours is not refused: we only narrow there, its own BMS
protects. Emergency stop and crash are decided by the guard on arrival: no cycle, no debounce. What else the guard
decides on arrival (over-current, interlock) it opens only once the current is low, so control's own path is the bound.
A machine that ignores limits is judged by what it may still follow: after a limit has fallen it has time to answer, and
bound and budget count from the end of that. What rests on estimates has no worst case here: how long it takes until
they are sure depends on the size of the fault and on the cell (docs/why/detectability.md).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellarer.cells.text import no_caps
from cellarer.config.compile import bears, size_of
from cellarer.config.error import ConfigError
from cellarer.config.load import Site
from cellarer.config.rows import FACTS, RowFile, read_rows
from cellarer.model.config import Switchgear
from cellarer.model.quantities import BY_NAME
from cellarer.model.values import SUSPICIONS, Level

Floats = NDArray[np.float64]

GUARD_S = 0.005  # s: the guard looks at the sample ring this often
# How many windows a signal may need, and how long they are, s. A rise: two of core/validate.py RATE_WINDOW_NS and the
# one it begins in. Suspicions are looked at as often (decide/diagnose.py), and the onset halves the first look.
RATE_WINDOW_S = 2.25
WINDOWS = dict.fromkeys(("temp_rate", "runaway", "runaway_precursor"), (3, RATE_WINDOW_S))
WINDOWS |= dict.fromkeys(SUSPICIONS, (2, 60.0))
LOOK_S = 1.0  # s: core/response.py LOOK_NS
ON_ARRIVAL = {"emergency_stop", "crash"}  # what the guard opens for without waiting for the current to fall
LOOKS = {"current_unanswered": 6}  # so many looks of a second (core/response.py), or samples if those are rarer
# Exponential mean (decide/sequence.py REST_S): what is twice the threshold has passed it after as long, errors included
MEAN_S = {"current_open": 0.3}
# What a machine has after its limit fell, before it can be told from one that answers late: core/followed.py ANSWER_NS
# (one slot of it more, since slots are whole ones) and FOLLOW_S
ANSWER_S = dict.fromkeys(("charge_over_limit", "discharge_over_limit", "charge_defied", "discharge_defied"), 12.0 + 5.0)
# Made of medians of three samples: they lag by one
MEDIAN = {"sum_difference", "cell_apart", "temp_spread", "temp_rate", "runaway", "runaway_precursor", "refill_current",
          "refill_lost", "hot_spot", "flow_lost"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Timing:
    """The worst case of one row on one string."""

    row: str
    string: int
    level: str
    bound_s: float
    budget_s: float
    path: str  # control, guard, device; estimate = the bound counts from when the estimates are sure
    parts: str

    @property
    def ok(self) -> bool:
        """Return whether the bound keeps the budget."""
        return self.bound_s <= self.budget_s


def timing(site: Site, period_s: Floats | None = None) -> list[Timing]:
    """Return the worst case of every row that is on, per string; the slowest relative to its budget first.

    period_s (signal,): how often each signal really is measured (wire/devices/periods.py); without it as device and
    quantity say.
    """
    table = site.config.faults
    files = {row.name: row for row in read_rows()}
    rows = []
    for index, string in np.argwhere(table.enabled):
        name = table.name[index]
        base = files.get(name) or files[name.rsplit("_", 1)[0]]
        rows.append(_worst(site, int(index), int(string), base, period_s))
    return sorted(rows, key=lambda r: -r.bound_s / r.budget_s)


def slowest_s(site: Site, row: str, period_s: Floats | None = None) -> float:
    """Return how often the slowest signal that a row needs is measured on the first string, s."""
    files = {r.name: r for r in read_rows()}
    base = files.get(row) or files[row.rsplit("_", 1)[0]]
    return _slowest_s(site, base, 0, period_s)


def _slowest_s(site: Site, row: RowFile, string: int, period_s: Floats | None) -> float:
    needs = [need for need in row.need if need not in FACTS]
    return max((_period(site, need, string, period_s) for need in needs), default=site.config.cycle_ns * 1e-9)


def _worst(site: Site, index: int, string: int, row: RowFile, period_s: Floats | None) -> Timing:
    config, table = site.config, site.config.faults
    level, name = Level(int(table.level[index])), table.name[index]
    period = _slowest_s(site, row, string, period_s)
    opening = site.file.pack[int(config.layout.pack_of_string[string])].switchgear.opening_ms * 1e-3
    actuator = opening if level >= Level.RAMP and config.switch.kind[string] != Switchgear.NONE else 0.0
    if row.name in _protected_by_devices(site, string):
        return Timing(name, string, level.name.lower(), 0.0, row.budget_s, "device", "the device protects by itself")
    if row.signal in ON_ARRIVAL and level == Level.OPEN:
        parts = f"sample {period:.3f} + guard {GUARD_S:.3f} + actuator {actuator:.3f}"
        return Timing(name, string, "open", period + GUARD_S + actuator, row.budget_s, "guard", parts)
    cycle = config.cycle_ns * 1e-9
    waiting = _silence(site, row, string)
    count, long_s = WINDOWS.get(row.signal, (0, 0.0))
    window = count * (long_s + period)
    window += LOOKS.get(row.signal, 0) * max(LOOK_S, period) + MEAN_S.get(row.signal, 0.0)
    debounce = max(row.debounce_s, (row.samples - 1) * (cycle if waiting else long_s + period))
    debounce += period if row.signal in MEDIAN else 0.0
    ramp = float(config.switch.open_delay_ns[string]) * 1e-9 if level == Level.RAMP and actuator else 0.0
    bound = waiting + window + debounce + (cycle if waiting else period) + 2 * cycle + ramp + actuator
    parts = f"age {waiting:.3f} + window {window:.3f} + debounce {debounce:.3f} + sample {period:.3f}"
    parts += f" + cycle {cycle:.3f} + guard {cycle:.3f}"
    parts += f" + ramp {ramp:.3f} + actuator {actuator:.3f}"
    if answer := ANSWER_S.get(row.signal):
        parts += f"; from {answer:.3f} after the fall of a limit"
    path = "estimate" if row.signal in SUSPICIONS else "control"
    return Timing(name, string, level.name.lower(), bound, row.budget_s, path, parts)


def _silence(site: Site, row: RowFile, string: int) -> float:
    """Return how long a signal stays silent before its row is bad, s: maximum age and threshold; 0 for others."""
    if not row.signal.endswith("_silence"):
        return 0.0
    sensing, layout = site.config.sensing, site.config.layout
    names = [name for need in row.need if need not in FACTS for name in need.split("|")]
    present = [layout.where[name] for name in names if sensing.present[layout.where[name]].any()]
    oldest = max(float(sensing.max_age_ns[where].max()) for where in present)
    return oldest * 1e-9 + float(row.above or 0.0)


def _period(site: Site, need: str, string: int, period_s: Floats | None) -> float:
    """Return the sample period of the quickest alternative of a need, s."""
    config = site.config
    first = np.cumsum([0] + [p.strings for p in site.file.pack])
    periods = []
    for name in need.split("|"):
        if not config.sensing.present[config.layout.where[name]].any():
            continue
        if period_s is not None:
            periods.append(float(period_s[_mine(site, name, string)].max(initial=0.0)))
            continue
        own = [
            d.period_ms * 1e-3
            for d in (*site.file.device, *site.file.guard.device)
            if d.period_ms and name in (d.signals or []) and _reaches(site, d.pack, d.string, first, name, string)
        ]
        periods.append(max(own) if own else BY_NAME[name].period_s)
    return min(periods, default=0.0)


def _mine(site: Site, name: str, string: int) -> NDArray[np.int64]:
    """Return the places of a signal that belong to a string."""
    layout = site.config.layout
    owner = {
        "cell": layout.string_of_cell, "temp": layout.string_of_temp, "string": np.arange(layout.size["string"])
    }.get(BY_NAME[name].axis)  # fmt: skip
    pack = int(layout.pack_of_string[string])
    mine = np.array([pack]) if owner is None else np.flatnonzero(owner == string)
    return np.asarray(layout.where[name].start + mine)


def _reaches(site: Site, pack: int, string_number: int, first: np.ndarray, name: str, string: int) -> bool:
    if BY_NAME[name].axis == "pack":
        return int(site.config.layout.pack_of_string[string]) == pack - 1
    return int(first[pack - 1]) + string_number - 1 == string


def _protected_by_devices(site: Site, string: int) -> set[str]:
    first = np.cumsum([0] + [p.strings for p in site.file.pack])
    return {name for d in site.file.device if int(first[d.pack - 1]) + d.string - 1 == string for name in d.protects}


def refuse(site: Site) -> None:
    """Raise ConfigError for what must not run: a late reaction, an opener that holds, a guard beyond a cap."""
    names = {row.name for row in read_rows()}
    for device in site.file.device:
        for name in device.protects:
            if name not in names:
                raise ConfigError(site.path, f"device {device.name}.protects", name, f"one of {sorted(names)}")
        if device.authority == "switch" and device.drops_after_ms is None and not device.watchdog:
            raise ConfigError(
                site.path,
                f"device {device.name}.drops_after_ms",
                None,
                "10 to 300: an opener must drop by itself after the last refresh, or watchdog = true must do it",
            )
    _faces_name_their_packs(site)
    _gear_needs_opener(site)
    _gear_needs_every_cell(site)
    _guard_within_caps(site)
    _dew_needs_surroundings(site)
    kind, heavy = site.config.switch.kind, ("derate", "ramp", "open")
    late = [t for t in timing(site) if not t.ok and t.level in heavy and kind[t.string] != Switchgear.NONE]
    if late:
        worst = late[0]
        raise ConfigError(
            site.path,
            f"reaction of {worst.row} on string {worst.string + 1}",
            f"{worst.bound_s:.3f} s ({worst.parts})",
            f"at most {worst.budget_s:g} s: shorten period_ms or cycle_ms, or let a device protect it (protects)",
        )


def _faces_name_their_packs(site: Site) -> None:
    """Refuse a face of a pack that is not there, and one of all packs that does not say on which of several buses."""
    packs, buses = len(site.file.pack), site.file.pack[-1].bus
    for face in site.file.face:
        if face.pack > packs:
            raise ConfigError(site.path, f"face {face.name}.pack", face.pack, f"0 (all of a bus) to {packs}")
        missing = face.bus is None and not face.pack and buses > 1 and face.protocol != "mqtt"
        if missing or (face.bus or 1) > buses or (face.bus is not None and face.pack):
            allowed = f"1 to {buses}" if not face.pack else "none: `pack` says it"
            raise ConfigError(site.path, f"face {face.name}.bus", face.bus, allowed)


def _gear_needs_opener(site: Site) -> None:
    for string, kind in enumerate(site.config.switch.kind):
        if kind != Switchgear.NONE and site.file.device and site.config.switch.authority[string] < 2:
            pack = site.file.pack[int(site.config.layout.pack_of_string[string])].name
            raise ConfigError(
                site.path,
                f"pack {pack}.switchgear.kind",
                Switchgear(int(kind)).name.lower(),
                "none, or a device with authority = switch",
            )


def _gear_needs_every_cell(site: Site) -> None:
    for string, count in enumerate(_unmeasured(site, "cell_voltage")):
        if count and site.config.switch.kind[string] != Switchgear.NONE:
            series = int(site.config.series[string])
            allowed = f"all {series}: what switches must see every cell"
            raise ConfigError(site.path, f"cells measured on string {string + 1}", series - count, allowed)


def _dew_needs_surroundings(site: Site) -> None:
    present = site.config.sensing.present[site.config.layout.where["ambient_degC"]]
    for pack, measured in zip(site.file.pack, present, strict=True):
        humidity_pct = pack.thermal.humidity_max_pct
        if humidity_pct is not None and not measured:
            allowed = "for a pack with ambient_degC: its dew point is not known otherwise, and nothing is chilled"
            raise ConfigError(site.path, f"pack {pack.name}.thermal.humidity_max_pct", humidity_pct, allowed)


def _guard_within_caps(site: Site) -> None:
    """Refuse a guard's limit beyond a cap of a cell or of its chemistry; one that is not given binds nothing."""
    grows = np.minimum(site.config.size, site.config.parallel)
    own, strings = site.file.guard, zip(site.config.layout.pack_of_string, grows, strict=True)
    for pack, parallel in strings:
        cell, chemistry = site.cells[int(pack)].limits, site.cells[int(pack)].model.chemistry
        hard, nothing = cell.hard, float("nan")
        for key, value, sign, of_cell, of_chemistry in (
            ("cell_voltage_max_V", own.cell_voltage_max_V, 1, cell.cap_voltage_max, nothing),
            ("cell_voltage_min_V", own.cell_voltage_min_V, -1, cell.cap_voltage_min, nothing),
            ("temperature_max_degC", own.temperature_max_degC, 1, cell.cap_temp_max_degC, hard.discharge_temp_max_degC),
            ("charge_A", own.charge_A, 1, cell.cap_charge_A * parallel, hard.charge_A * parallel),
            ("discharge_A", own.discharge_A, 1, cell.cap_discharge_A * parallel, hard.discharge_A * parallel),
        ):
            for whose, cap in (("the cell's hard cap", of_cell), (f"the hard cap of {chemistry}", of_chemistry)):
                if value is not None and sign * value > sign * cap:
                    word = "most" if sign > 0 else "least"
                    raise ConfigError(site.path, f"guard.{key}", value, f"at {word} {whose}, {cap:g}")


def _unmeasured(site: Site, name: str) -> list[int]:
    """Return how many cells or sensors of each string nobody measures, where somebody measures others of them."""
    layout, present = site.config.layout, site.config.sensing.present[site.config.layout.where[name]]
    owner = layout.string_of_cell if name == "cell_voltage" else layout.string_of_temp
    measured = np.bincount(owner, present, layout.size["string"])
    return np.where(measured > 0, np.bincount(owner, ~present, layout.size["string"]), 0).astype(int).tolist()


def report(site: Site) -> str:
    """Say in words what this site is, what it protects and estimates, and what it cannot."""
    config, table = site.config, site.config.faults
    on = np.any(table.enabled, axis=1).tolist()
    base = [n.removesuffix("_operating").removesuffix("_recommended").removesuffix("_maximum") for n in table.name]
    can = list(dict.fromkeys(b for b, yes in zip(base, on, strict=True) if yes))
    cannot = [n for n in dict.fromkeys(base) if n not in can]
    size = config.layout.size
    lines = [
        f"site {config.site}: {size['pack']} pack(s), {size['string']} string(s), {size['cell']} cells, "
        f"{size['temp']} temperature sensors, configuration {config.hash[:12]}",
        f"protects against {len(can)} kinds of fault: {', '.join(n.replace('_', ' ') for n in can)}",
        "NOT protected, because nothing measures it: " + (", ".join(n.replace("_", " ") for n in cannot) or "nothing"),
        *_gaps(site),
        *_sizes(site),
        *_own_eyes(site),
        *_estimates(site),
    ]
    lines += [
        f"cell {cell.model.name}: estimated, not measured: {', '.join(cell.estimated)}"
        for cell in {c.model.name: c for c in site.cells}.values()
        if cell.estimated
    ]
    lines += [
        f"cell {name}: no hard cap of {', '.join(missing)} is given: the guard opens a margin beyond the maximum level"
        for name, missing in {c.model.name: no_caps(c.limits) for c in site.cells}.items()
        if missing
    ]
    return "\n".join(lines)


def _gaps(site: Site) -> list[str]:
    """Say which strings are measured only in part."""
    words = (("cell_voltage", "cells"), ("temp_degC", "temperature sensors"))
    return [
        f"string {string + 1}: {count} of its {word} are measured by nobody: they are not protected"
        for name, word in words
        for string, count in enumerate(_unmeasured(site, name))
        if count
    ]


def _sizes(site: Site) -> list[str]:
    """Say which packs have cells of another size than their cell file, and what is made of that."""
    said = []
    for pack, cell in zip(site.file.pack, site.cells, strict=True):
        own, size = cell.model.capacity_Ah * pack.parallel, size_of(pack, cell)
        if pack.capacity_Ah and size != pack.parallel:
            said.append(
                f"WARNING: pack {pack.name} has {pack.capacity_Ah:g} Ah, its cell file {own:g}: taken for another size "
                f"of that cell, with {pack.parallel / size:.2f} times its resistance and "
                f"{bears(pack, cell) / pack.parallel:.2f} times its currents; a cell file of its own is better"
            )
    return said


def _own_eyes(site: Site) -> list[str]:
    """Say what the guard reads apart from control."""
    return [
        f"the guard alone reads {', '.join(d.signals or [])} of pack {d.pack}, string {d.string} from {d.name} "
        f"({d.protocol} on {d.link})"
        for d in site.file.guard.device
    ]


def _estimates(site: Site) -> list[str]:
    config = site.config
    have = {n for n, where in config.layout.where.items() if config.sensing.present[where].any()}
    lines = []
    if {"cell_voltage", "current"} <= have:
        lines.append("estimates per cell: state of charge, resistance, capacity, each with sigma")
    elif "current" in have:
        lines.append("estimates per string only: no cell voltages")
    else:
        lines.append("cannot estimate: no current is measured")
    if "temp_degC" not in have:
        lines.append("no temperature: the cell's tables are read at 25 degC and sigma says so")
    if "link_voltage" not in have and (config.switch.kind == Switchgear.CONTACTORS).any():
        lines.append("precharge cannot be proven by voltage: only by current and time")
    return lines
