"""Snapshot view → what machines are told: one set of quantities for every face, named as the fields of the tables.

A machine sees one battery: one pack, or with `pack = 0` all packs of a bus side by side; what they may carry
together control decides (core/decide/share.py). What is unknown is NaN; an unknown limit is 0. + current charges.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cellarer.wire.alarms import active, bits
from cellarer.wire.table import Values

Part = Mapping[str, Any]

# What a face says when control is silent: nothing may flow, and that is an alarm.
WAYS, PEAKS = ("charge", "discharge"), ("2s", "10s", "30s", "continuous")  # as the view orders them
ZERO = (
    "foreign_charge_limit", "foreign_discharge_limit", "charge_W", "discharge_W",
    *(f"{way}_{peak}_W" for way in WAYS for peak in PEAKS if peak != "10s"),
)  # fmt: skip
PHASES = (
    "open", "minus", "precharge", "plus", "closed", "ramp", "opening", "cooling", "charge_only", "discharge_only",
    "charge_ramp", "discharge_ramp",
)  # fmt: skip
CHARGE_PHASES = (
    "idle", "blocked", "precondition", "bulk", "absorption", "float", "taper", "hold", "storage", "refill", "warming",
)  # fmt: skip
_CLOSED = {"closed", "ramp", "charge_only", "discharge_only", "charge_ramp", "discharge_ramp"}


def number(value: float | None) -> float:
    """Return a number of the view; unknown is NaN."""
    return math.nan if value is None else float(value)


def numbers(buses: Sequence[int], pack: int, bus: int | None) -> list[int]:
    """Return the packs that a face speaks for, from 0.

    buses   of each pack
    pack    from 1; 0 = all packs of this bus, of the first if None
    """
    return [i for i, own in enumerate(buses) if (i + 1 == pack if pack else own == (bus or 1))]


def battery(view: Part, pack: int = 0, bus: int | None = None, dialect: str = "", least_A: float = 0.0) -> Values:
    """Return every quantity of the battery that this face shows.

    pack, bus   as of numbers()
    dialect     which alarm bits to add
    least_A     lowest current limit to be sent, for inverters that take 0 for "no limit"
    """
    packs = [view["packs"][i] for i in numbers([p["bus"] for p in view["packs"]], pack, bus)]
    alive = [p for p in packs if p["voltage_V"] is not None] or packs  # a pack that is lost leaves the sum at once
    strings = [s for p in packs for s in p["strings"]]
    cells = _cells(strings)
    limits = alive[0]["limits"] if pack else view["banks"][(bus or 1) - 1]
    values = _limits(limits, alive, least_A) | _state(packs, strings) | _measured(alive) | cells
    values |= _texts(view, packs, cells)
    values["modules"] = values["modules_ok"] = float(len(strings))
    if dialect:
        values |= bits(active(f for s in strings for f in s["faults"]), dialect)
    return values


def silent(last: Values, dialect: str) -> Values:
    """Return what is said when control is silent: zero limits, an alarm, the last end voltages; nothing stale."""
    kept = {name: last[name] for name in ("charge_V", "discharge_V") if name in last}
    alarm = bits(active([{"name": "control_silent", "level": "open"}]), dialect) if dialect else {}
    return kept | dict.fromkeys(ZERO, 0.0) | alarm | {"modules": last.get("modules", 1.0), "stale": 1.0}


def _limits(limits: Part, alive: Sequence[Part], least_A: float) -> dict[str, Any]:
    """Return what is told of these limits: those of one pack, or of the bank as control shares them."""
    charge_A, discharge_A = _zero(limits["charge_A"]), _zero(limits["discharge_A"])
    charge_V = min((_zero(p["limits"]["charge_V"]) for p in alive), default=0.0)
    voltage = max(number(p["voltage_V"]) for p in alive)
    power = {
        way: min(ampere * (voltage if voltage == voltage else 0.0), _zero(limits.get(f"{way}_W", math.inf)))
        for way, ampere in (("charge", charge_A), ("discharge", discharge_A))
    }
    strings = [s for p in alive for s in p["strings"]]
    peaks = {
        f"{way}_{peak}_W": _peak(strings, way, n, ampere)
        for way, ampere in (("charge", charge_A), ("discharge", discharge_A))
        for n, peak in enumerate(PEAKS)
    }
    return peaks | {
        "foreign_charge_limit": max(charge_A, least_A),
        "foreign_discharge_limit": max(discharge_A, least_A),
        "charge_W": power["charge"],
        "discharge_W": power["discharge"],
        # a charge voltage of zero makes some inverters dump the battery: say where it stands, with no current
        "charge_V": charge_V if charge_V > 0 else voltage,
        "discharge_V": max(number(p["limits"]["discharge_V"]) for p in alive),
        "charge_enable": float(charge_A > 0),
        "discharge_enable": float(discharge_A > 0),
    }


def _peak(strings: Sequence[Part], way: str, horizon: int, limit_A: float) -> float:
    """Return the power that strings side by side may carry over a horizon, W; what is not known is 0.

    limit_A is what they may carry together by their limits. Where each may carry `more` times its own, together they
    may carry at least the least of these times as much; and at that each shows at least the voltage it was promised at.
    """
    more, volts = math.inf, math.inf
    for string in strings:
        own_A, peaks = _zero(string["limits"][f"{way}_A"]), string["peaks"]
        if own_A > 0.0:
            peak_A, peak_W = _zero(peaks[f"{way}_A"][horizon]), _zero(peaks[f"{way}_W"][horizon])
            more = min(more, peak_A / own_A)
            volts = min(volts, peak_W / peak_A if peak_A > 0.0 else 0.0)
    return limit_A * more * volts if more < math.inf else 0.0


def _zero(limit: float | None) -> float:
    """Return a limit; an unknown one is 0."""
    return max(limit, 0.0) if limit is not None else 0.0


def _state(packs: Sequence[Part], strings: Sequence[Part]) -> dict[str, Any]:
    outputs = [p["outputs"] for p in packs]
    inputs = [p["inputs"] for p in packs]
    closed = [s["phase"] in _CLOSED for s in strings]
    levels = ("inform", "warn", "derate", "ramp", "open")
    worst = max((levels.index(f["level"]) + 1 for s in strings for f in s["faults"]), default=0)
    blocked = {way: sum(not p["outputs"][f"allow_{way}"] for p in packs) for way in ("charge", "discharge")}
    return {
        "phase": float(PHASES.index(strings[0]["phase"])),
        "charge_phase": float(CHARGE_PHASES.index(strings[0]["charge_phase"])),
        "closed": float(all(closed)),
        "strings_closed": float(sum(closed)),
        "fault_level": float(worst),
        "modules_offline": float(len(closed) - sum(closed)),
        "modules_no_charge": float(blocked["charge"]),
        "modules_no_discharge": float(blocked["discharge"]),
        "allow_charge": float(all(o["allow_charge"] for o in outputs)),
        "allow_discharge": float(all(o["allow_discharge"] for o in outputs)),
        "pre_alarm": float(any(o["pre_alarm"] for o in outputs)),
        "force_charge_1": float(any(o["start_generator"] for o in outputs)),
        "force_charge_2": float(any(o["force_charge"] for o in outputs)),
        "full_charge": float(any(o["full_charge"] for o in outputs)),
        "drive_inhibit": float(any(i.get("charge_plug") for i in inputs)),
        "stale": 0.0,
    }


def _measured(packs: Sequence[Part]) -> dict[str, Any]:
    strings = [s for p in packs for s in p["strings"]]
    voltages = [number(p["voltage_V"]) for p in packs]
    usable = [number(s["usable_Ah"]) for s in strings]
    links = [number(s["link_voltage_V"]) for s in strings]
    soc = _weighted([number(p["soc_pct"]) for p in packs], [_usable(p) for p in packs]) / 100
    return {
        "string_voltage": sum(voltages) / len(voltages),
        "link_voltage": links[0],
        "current": sum(number(p["current_A"]) for p in packs),
        "foreign_soc": soc,
        "soc_fine": soc,
        "soc_sigma": max((number(p["soc_sigma_pct"]) for p in packs), default=math.nan) / 100,
        "soh": min(number(p["soh_pct"]) for p in packs) / 100,
        "capacity_Ah": sum(usable),
        "installed_Ah": sum(usable),
        "energy_Wh": sum(number(p["energy_Wh"]) for p in packs),
    }


def _usable(pack: Part) -> float:
    return sum(number(s["usable_Ah"]) for s in pack["strings"])


def _weighted(values: Sequence[float], weights: Sequence[float]) -> float:
    total = sum(weights)
    return sum(v * w for v, w in zip(values, weights)) / total if total > 0 else math.nan


def _cells(strings: Sequence[Part]) -> dict[str, Any]:
    cells = [number(v) for s in strings for v in s["cells"]["voltage_V"]]
    temps = [number(t) for s in strings for t in s["temps_degC"]]
    known, warm = [v for v in cells if v == v], [t for t in temps if t == t]
    return {
        "cell_voltage": cells,
        "temp_degC": temps,
        "cell_voltage_low": min(known, default=math.nan),
        "cell_voltage_high": max(known, default=math.nan),
        "cell_low": _first(cells, min(known, default=math.nan)),
        "cell_high": _first(cells, max(known, default=math.nan)),
        "temp_low_degC": min(warm, default=math.nan),
        "temp_high_degC": max(warm, default=math.nan),
        "temperature_degC": max(warm, key=lambda t: abs(t - 20), default=math.nan),
    }


def _first(values: Sequence[float], value: float) -> float:
    """Return the number of an element, from 1."""
    return float(values.index(value) + 1) if value == value else math.nan


def _texts(view: Part, packs: Sequence[Part], cells: Mapping[str, Any]) -> dict[str, Any]:
    temps = cells["temp_degC"]
    name = str(packs[0]["name"] if len(packs) == 1 else view["site"]).ljust(16)
    return {
        "name_1": name[:8],
        "name_2": name[8:16],
        "cell_low_name": _label("cell", cells["cell_low"]),
        "cell_high_name": _label("cell", cells["cell_high"]),
        "temp_low_name": _label("temp", _first(temps, cells["temp_low_degC"])),
        "temp_high_name": _label("temp", _first(temps, cells["temp_high_degC"])),
    }


def _label(kind: str, at: float) -> str:
    return f"{kind} {at:.0f}" if at == at else ""
