"""State → the view that people and machines read: nested, JSON-ready, units spelled, cells from 1, unknown is None.

One conversion for the page, the API, MQTT, history and the faces. Called in services from a snapshot, never in control.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cellarer.board.idle import idle
from cellarer.board.waits import coldest, refills, waits
from cellarer.model.advice import ACTIONS, words
from cellarer.model.config import RESTART, Config, Switchgear
from cellarer.model.events import apart_from_bus, cell_number, text
from cellarer.model.quantities import SIGNALS
from cellarer.model.reasons import REASONS
from cellarer.model.values import FOREVER, ChargePhase, Event, Level, Phase, State

View = dict[str, Any]
REFILL_SHARE = 0.05  # of capacity; core.decide.charge.REFILL
HOLD_NS = 7_200_000_000_000  # core.decide.charge.HOLD_NS
UP = (ChargePhase.ABSORPTION, ChargePhase.TAPER, ChargePhase.HOLD, ChargePhase.FLOAT)  # core.decide.charge.UP
PROGRAMME = ("finish_s", "lost_Wh", "usable_before_Ah", "usable_after_Ah")
PACK_FACTS = tuple(q.name for q in SIGNALS if q.axis == "pack" and not q.unit)
FEEDBACK = ("minus", "precharge", "plus", "charge", "discharge")
COILS = ("minus", "precharge", "plus", "charge_switch", "discharge_switch")
LIMITS = ("charge_A", "discharge_A", "charge_V", "discharge_V", "charge_W", "discharge_W")
LIMIT_REASONS = ("charge_reason", "discharge_reason", "voltage_reason")


def number(x: float, digits: int = 4) -> float | None:
    """Return a JSON number, or None for unknown and infinite."""
    value = float(x)
    return round(value, digits) if np.isfinite(value) else None


def numbers(x: np.ndarray, digits: int = 4) -> list[float | None]:
    """Return a JSON list; unknown is None."""
    return [number(v, digits) for v in x]


def fact(x: float) -> bool | None:
    """Return a measured 0 or 1 as truth, None if unknown."""
    return None if np.isnan(x) else bool(x > 0.5)


def view(
    config: Config, state: State, *, unix_s: float, overruns: int = 0, report: Mapping[str, np.ndarray] | None = None
) -> View:
    """Return the whole site. Shapes and names: the snapshot view of docs/api.md.

    report   figures of the balancing programme, (string,) each, where a planner is there
    """
    return {
        "time_ns": state.time_ns,
        "unix_s": round(unix_s, 3),
        "cycle": state.cycle,
        "overruns": overruns,
        "site": config.site,
        "config_hash": config.hash,
        "banks": [
            {"bus": bus, "charge_A": number(charge_A, 3), "discharge_A": number(discharge_A, 3)}
            for bus, (charge_A, discharge_A) in enumerate(
                zip(state.command.bank_charge_A, state.command.bank_discharge_A, strict=True), 1
            )
        ],
        "packs": [_pack(config, state, pack, report or {}) for pack in range(config.layout.size["pack"])],
        "not_protected": not_protected(config),
    }


def not_protected(config: Config) -> list[str]:
    """Say which rows are off because nothing measures what they need."""
    off = ~np.any(config.faults.enabled, axis=1)
    bases = dict.fromkeys(
        name.removesuffix("_operating").removesuffix("_recommended").removesuffix("_maximum")
        for name, gone in zip(config.faults.name, off.tolist(), strict=True)
        if gone
    )
    return [name.replace("_", " ") for name in bases]


def _pack(config: Config, state: State, pack: int, report: Mapping[str, np.ndarray]) -> View:
    layout, seen, command = config.layout, state.seen.value, state.command
    mine = np.flatnonzero(layout.pack_of_string == pack)
    strings = [_string(config, state, int(s)) | {"balancing": _balancing(config, state, int(s), report)} for s in mine]
    present = config.sensing.present
    inputs = {name: fact(seen[layout.where[name]][pack]) for name in PACK_FACTS if present[layout.where[name]][pack]}
    flags = ("allow_charge", "allow_discharge", "pre_alarm", "start_generator", "buzzer", "force_charge", "full_charge")
    outputs: View = {name: bool(getattr(command, name)[pack]) for name in flags}
    outputs |= {"heater_pct": number(100 * command.heater[pack], 1), "pump_pct": number(100 * command.pump[pack], 1)}
    current = _sum(strings, "current_A")
    voltage = strings[0]["voltage_V"] if strings else None
    estimate = state.estimate
    usable = estimate.usable_Ah[mine]
    share = usable / usable.sum()
    capacity_new = config.capacity_Ah[np.isin(layout.string_of_cell, mine)]
    return {
        "name": config.pack_names[pack],
        "bus": int(config.bus_of_pack[pack]) + 1,
        "inputs": inputs,
        "outputs": outputs,
        "limits": {key: number(getattr(command, f"pack_{key}")[pack], 3) for key in ("charge_A", "discharge_A")}
        | {key: _least([s["limits"] for s in strings], key) for key in ("charge_V",)}
        | {key: _most([s["limits"] for s in strings], key) for key in ("discharge_V",)}
        | {
            f"{way}_W": number(float(getattr(command, f"pack_{way}_A")[pack]) * (voltage or 0.0), 1)
            for way in ("charge", "discharge")
        },
        "current_A": current,
        "voltage_V": voltage,
        "power_W": number(current * voltage, 1) if current is not None and voltage is not None else None,
        "soc_pct": number(100 * float((estimate.string_soc[mine] * share).sum()), 2),
        "soc_sigma_pct": number(100 * float((estimate.string_soc_sigma[mine] * share).sum()), 2),
        "soh_pct": number(
            100 * float((estimate.capacity_Ah[np.isin(layout.string_of_cell, mine)] / capacity_new).min()), 1
        ),
        "energy_Wh": number(float(estimate.energy_Wh[mine].sum()), 1),
        "time_to_empty_s": number(float(estimate.time_to_empty_s[mine].min()), 0),
        "time_to_full_s": number(float(estimate.time_to_full_s[mine].min()), 0),
        "wish_closed": bool(state.wishes.closed[pack]),
        "strings": strings,
    }


def _sum(items: list[View], key: str) -> float | None:
    values = [item[key] for item in items]
    return None if None in values or not values else round(sum(values), 4)


def _least(items: list[View], key: str) -> float | None:
    values = [item[key] for item in items]
    return None if None in values or not values else min(values)


def _most(items: list[View], key: str) -> float | None:
    values = [item[key] for item in items]
    return None if None in values or not values else max(values)


def _string(config: Config, state: State, string: int) -> View:
    layout, seen, command, estimate = config.layout, state.seen.value, state.command, state.estimate
    cells = np.flatnonzero(layout.string_of_cell == string)
    temps = np.flatnonzero(layout.string_of_temp == string)
    measured = float(seen[layout.where["string_voltage"]][string])
    total = measured if np.isfinite(measured) else float(seen[layout.where["cell_voltage"]][cells].sum())
    current = float(seen[layout.where["current"]][string])
    return {
        **_switches(config, state, string),
        "current_A": number(current, 3),
        "voltage_V": number(total, 3),
        "link_voltage_V": number(seen[layout.where["link_voltage"]][string], 3),
        "power_W": number(current * total, 1),
        "soc_pct": number(100 * estimate.string_soc[string], 2),
        "soc_sigma_pct": number(100 * estimate.string_soc_sigma[string], 2),
        "better_known_by": better_known_by(state, string),
        "usable_Ah": number(estimate.usable_Ah[string], 2),
        "lifetime": _lifetime(state, string),
        "charged_Ah": number(state.counters.charge_Ah[string], 3),
        "discharged_Ah": number(state.counters.discharge_Ah[string], 3),
        "cells": {
            "voltage_V": numbers(seen[layout.where["cell_voltage"]][cells]),
            "soc_pct": numbers(100 * estimate.soc[cells], 2),
            "soc_sigma_pct": numbers(100 * estimate.soc_sigma[cells], 2),
            "bleeding": [bool(b) for b in command.bleed[cells]],
            "capacity_Ah": numbers(estimate.capacity_Ah[cells], 3),
            "capacity_sigma_Ah": numbers(estimate.capacity_sigma_Ah[cells], 3),
            "soh_pct": numbers(100 * estimate.capacity_Ah[cells] / config.capacity_Ah[cells], 2),
            "resistance_pct": numbers(100 * estimate.resistance_scale[cells], 1),
            "resistance_sigma_pct": numbers(100 * estimate.resistance_sigma[cells], 1),
            "soc_between_sigma_pct": numbers(100 * estimate.soc_between_sigma[cells], 3),
        },
        **_extremes(seen[layout.where["cell_voltage"]][cells]),
        "temps_degC": numbers(seen[layout.where["temp_degC"]][temps], 2),
        "limits": {key: number(getattr(state.window, key)[string], 3) for key in LIMITS}
        | {key: REASONS[getattr(state.window, key)[string]] for key in LIMIT_REASONS},
        "peaks": _peaks(state, string),
        "power_charge_10s_W": number(estimate.charge_10s_W[string], 1),
        "power_discharge_10s_W": number(estimate.discharge_10s_W[string], 1),
        "faults": _faults(config, state, string),
        "missing": missing(config, state, string),
    }


def better_known_by(state: State, string: int) -> list[str]:
    """Say what would make SOC of this string better known, the best first; empty: nothing is worth it."""
    if np.isnan(state.estimate.string_soc_sigma[string]):
        return []
    said, promised = state.advised, state.advised.promised[:, string]
    return [
        words(
            ACTIONS[k], float(said.minutes[k, string]), float(said.voltage_V[k, string]), float(said.sigma[string]),
            float(promised[k]),
        )
        for k in np.argsort(promised, kind="stable").tolist()
        if np.isfinite(promised[k])
    ]  # fmt: skip


def _peaks(state: State, string: int) -> View:
    """Return what may flow over each horizon; the last one is continuous."""
    window = state.window
    return {
        f"{way}_{unit}": numbers(peak[:, k, string], 2)
        for unit, peak in (("A", window.peak_A), ("W", window.peak_W))
        for k, way in enumerate(("charge", "discharge"))
    }


def _balancing(config: Config, state: State, string: int, report: Mapping[str, np.ndarray]) -> View:
    """Return what balances this string, what it has moved since the start, and what the programme expects."""
    cells = np.flatnonzero(config.layout.string_of_cell == string)
    memory = state.balancing
    works = bool(state.command.bleed[cells].any() or state.command.move[:, cells].any() or memory.chosen[cells].any())
    source = "none" if not works else "plan" if memory.planned[string] else "voltage"
    return {
        "source": source,
        "missing": idle(config, state, string, report),
        "moved_Ah": numbers(memory.moved_Ah[cells], 3),
        **{key: number(report[key][string], 1) if key in report else None for key in PROGRAMME},
    }


def _switches(config: Config, state: State, string: int) -> View:
    """Return phases, orders, feedback and wear of the switchgear of one string."""
    where, switches = config.layout.where, state.switches
    reported = {name: where[f"feedback_{name}"] for name in FEEDBACK}
    return {
        "phase": _phase(config, state, string).name.lower(),
        "phase_since_s": number((state.time_ns - switches.since_ns[string]) * 1e-9, 1),
        "charge_phase": ChargePhase(int(state.charging.phase[string])).name.lower(),
        **{name: bool(getattr(state.command, name)[string]) for name in COILS},
        "feedback": {
            name: fact(state.seen.value[at][string])
            for name, at in reported.items()
            if config.sensing.present[at][string]
        },
        "closings": int(switches.closings[string]),
        "wear_pct": number(100 * switches.wear[string], 3),
    }


def _extremes(voltage: np.ndarray) -> View:
    """Return the lowest and the highest of the known cell voltages (cell,), V; None where none is known."""
    known = np.isfinite(voltage)
    low = int(np.argmin(np.where(known, voltage, np.inf))) if known.any() else None
    high = int(np.argmax(np.where(known, voltage, -np.inf))) if known.any() else None
    return {
        "lowest_cell": None if low is None else low + 1,
        "highest_cell": None if high is None else high + 1,
        "lowest_V": None if low is None else number(voltage[low]),
        "highest_V": None if high is None else number(voltage[high]),
    }


def _phase(config: Config, state: State, string: int) -> Phase:
    """Return the phase of our switchgear, or what a foreign BMS reports of its own switches."""
    if config.switch.kind[string] != Switchgear.NONE:
        return Phase(int(state.switches.phase[string]))
    where, seen = config.layout.where, state.seen.value
    charge, discharge = (seen[where[f"feedback_{way}"]][string] == 1.0 for way in ("charge", "discharge"))
    if charge and discharge:
        return Phase.CLOSED
    return Phase.CHARGE_ONLY if charge else Phase.DISCHARGE_ONLY if discharge else Phase.OPEN


def _lifetime(state: State, string: int) -> View:
    """Return what a string has been through; these numbers never go back."""
    counters, switches = state.counters, state.switches
    scaled = {
        "charged_kWh": 1e-3 * counters.charge_Wh, "discharged_kWh": 1e-3 * counters.discharge_Wh,
        "hot_min": counters.hot_s / 60.0, "cold_min": counters.cold_s / 60.0, "broken_A": counters.broken_A,
    }  # fmt: skip
    counted = {
        "deep_discharges": counters.deep_discharges, "overcharges": counters.overcharges,
        "openings": counters.openings, "openings_under_load": switches.openings_under_load,
    }  # fmt: skip
    return {name: number(x[string], 3) for name, x in scaled.items()} | {n: int(x[string]) for n, x in counted.items()}


def _faults(config: Config, state: State, string: int) -> list[View]:
    """Return the active rows of one string, the most severe first; of three levels only the highest."""
    table, memory = config.faults, state.faults
    rows = np.flatnonzero(memory.active[:, string])
    said, result = set(), []
    for row in rows[np.argsort(-table.level[rows], kind="stable")].tolist():
        if (table.signal[row], table.text[row]) in said:
            continue
        said.add((table.signal[row], table.text[row]))
        cell, value = int(memory.raised_cell[row, string]), float(memory.raised_value[row, string])
        limit = float(table.sign[row] * table.trip[row, string])
        event = Event(state.time_ns, "fault", table.name[row], string, cell, value, limit, table.signal[row])
        since = memory.bad_since_ns[row, string]
        result.append(
            {
                "name": table.name[row],
                "level": Level(int(table.level[row])).name.lower(),
                "text": text(config, event),
                "cell": cell_number(config, event),
                "value": number(value),
                "limit": number(limit),
                "latched": bool(memory.latched[row, string]),
                "since_s": number((state.time_ns - since) * 1e-9, 1) if since < FOREVER else None,
            }
        )
    return result


def missing(config: Config, state: State, string: int) -> list[str]:
    """Say what must change before this string closes, or before its next charge phase."""
    pack = int(config.layout.pack_of_string[string])
    phase, kind = Phase(int(state.switches.phase[string])), config.switch.kind[string]
    said = []
    if kind != Switchgear.NONE and phase in (Phase.OPEN, Phase.COOLING):
        if not state.wishes.closed[pack]:
            said.append("nobody has asked to close")
        if not state.wishes.confirmed[pack]:
            said.append("the stored state is missing: a person must confirm that the state of charge is unknown")
        rows = np.flatnonzero(state.faults.active[:, string] & (config.faults.level >= Level.RAMP)).tolist()
        said += [_clears(config, state, row, string) for row in rows]
        said += [f"{name} is not known" for name in _unknown(config, state, string)]
        if state.switches.resistor_J[string] > RESTART * config.switch.resistor_max_J[string]:
            said.append("the precharge resistor must cool down")
        apart_V, limit_V = state.switches.apart_V[:, string].tolist()
        if limit_V >= 0.0:
            said.append(apart_from_bus(apart_V, limit_V))
        if config.switch.authority[string] < 2:
            said.append("no device of this site may switch")
    said += [_next_phase(config, state, string), waits(config, state, string)]
    said += [_holder(config, state, string), _in_time(state, pack)]
    if state.charging.touch[string]:
        said.append("a full charge is due: the state of charge is not known well enough")
    return [text for text in said if text]


def _next_phase(config: Config, state: State, string: int) -> str:
    """Say what is missing to reach the next charge phase, with the value of now beside the one that is needed."""
    table, layout, charging = config.limits, config.layout, state.charging
    high, low = charging.decided_V[:, string].tolist()
    has = f"{high:.3f} V{_hidden(config, state, string, high)}"
    current = float(state.seen.value[layout.where["current"]][string])
    target = _held_pct(config, state, string)
    soc, end_V = 100.0 * float(state.estimate.string_soc[string]), float(table.end_of_charge_V[string])
    tail_s, tail_A = float(table.tail_ns[string]) * 1e-9, float(table.tail_A[string])
    match ChargePhase(int(charging.phase[string])):
        case ChargePhase.BULK if target < 100.0:
            return f"charges to {target:.0f} %, to be held as asked; now {soc:.0f} %"
        case ChargePhase.BULK:
            return f"absorption begins when a cell reaches {end_V:.3f} V; the highest has {has}"
        case ChargePhase.ABSORPTION:
            return f"full after {tail_s:.0f} s below {tail_A:.1f} A at {end_V:.3f} V; now {current:.1f} A at {has}"
        case ChargePhase.TAPER:
            left_s = max(tail_s - (state.time_ns - int(charging.tail_since_ns[string])) * 1e-9, 0.0)
            return f"full in {left_s:.0f} s if the current stays below {tail_A:.1f} A; now {current:.1f} A"
        case ChargePhase.HOLD:
            even = 1e3 * float(config.balance.stop_spread_V[string])
            left_min = max(HOLD_NS - (state.time_ns - int(charging.since_ns[string])), 0) / 60e9
            return (
                f"float begins when cells are within {even:.0f} mV, in {left_min:.0f} min at the latest; "
                f"they differ by {1e3 * (high - low):.0f} mV"
            )
        case ChargePhase.FLOAT:
            new = 100.0 * (float(charging.full_soc[string]) - 1.0 + float(table.rebulk_soc[string]))
            return f"a new charge begins below {new:.0f} %; now {soc:.0f} %"
        case ChargePhase.STORAGE:
            return f"holds {target:.0f} % as asked, until that is withdrawn; now {soc:.0f} %"
        case ChargePhase.REFILL:
            back = 100.0 * float(charging.low_soc[string] + REFILL_SHARE)
            return f"discharge is held until {back:.0f} % are reached; now {soc:.0f} %"
        case ChargePhase.WARMING:
            return coldest(config, state, string)
        case ChargePhase.PRECONDITION:
            needed_V = float(table.precondition_V[string])
            return f"charging goes on when the lowest cell reaches {needed_V:.3f} V; it has {low:.3f} V"
        case ChargePhase.BLOCKED:
            return "charging begins when the fault on the charge path is gone"
        case _:
            return ""


def _holder(config: Config, state: State, string: int) -> str:
    """Name the string that keeps the bus, and so this string on it, below the end of charge; empty = none."""
    phase, pack = state.charging.phase, config.layout.pack_of_string
    bus = config.bus_of_pack[pack]
    up = (bus == bus[string]) & np.isin(phase, UP)
    if phase[string] != ChargePhase.BULK or not up.any():
        return ""
    other = int(np.argmin(np.where(up, state.window.charge_V, np.inf)))
    if not state.window.charge_V[other] < state.window.charge_V[string]:
        return ""
    number, cells = other - int(config.layout.first_string[pack[other]]) + 1, config.layout.string_of_cell == other
    who = f"string {number}" if pack[other] == pack[string] else config.pack_names[pack[other]]
    seen = state.seen.value[config.layout.where["cell_voltage"]][cells]
    cell, high = int(np.argmax(np.nan_to_num(seen))) + 1, float(state.charging.decided_V[0, other])
    return (
        f"{who} holds the bus at {state.window.charge_V[other]:.2f} V: its highest cell ({cell}) has "
        f"{high:.3f} V of {config.limits.end_of_charge_V[other]:.3f}"
    )


def _held_pct(config: Config, state: State, string: int) -> float:
    """Return the charge that is held now, %; 100 = none, it charges to full."""
    wishes, pack = state.wishes, int(config.layout.pack_of_string[string])
    free = wishes.late[pack] or state.charging.touch[string] or np.isnan(wishes.target_soc[pack])
    return 100.0 if free else 100.0 * float(wishes.target_soc[pack])


def _in_time(state: State, pack: int) -> str:
    """Say whether it will be full by the hour asked; empty where no hour is asked or it is full."""
    wishes = state.wishes
    hour_ns, full_ns = int(wishes.full_by_ns[pack]), int(wishes.full_ns[pack])
    if FOREVER in (hour_ns, full_ns):
        return ""
    asked, later_min = f"asked to be full in {_hours(hour_ns - state.time_ns)}", (full_ns - hour_ns) / 60e9
    if hour_ns < state.time_ns:
        asked = f"asked to be full {_hours(state.time_ns - hour_ns)} ago"
    if not wishes.late[pack]:
        return f"{asked}; that takes {_hours(full_ns - state.time_ns)}, and begins when it is time"
    late = f", {later_min:.0f} min late" if later_min >= 1.0 else ""
    return f"{asked}; full in {_hours(full_ns - state.time_ns)}{late}, by what chargers gave"


def _hours(ns: int) -> str:
    """Return a span of time as h:mm."""
    minutes = round(max(ns, 0) / 60e9)
    return f"{minutes // 60}:{minutes % 60:02d} h"


def _hidden(config: Config, state: State, string: int, high: float) -> str:
    """Say by how much the highest cell stands above what is read of it, because it bleeds; nothing below a mV."""
    layout = config.layout
    read = float(state.seen.value[layout.where["cell_voltage"]][layout.string_of_cell == string].max())
    bleeds = state.command.bleed[layout.string_of_cell == string].any()
    return f", read as {read:.3f} V while it bleeds" if bleeds and high - read >= 0.001 else ""


def _clears(config: Config, state: State, row: int, string: int) -> str:
    """Say what must become of an active row, and where nothing does it by itself what does."""
    name = config.faults.name[row]
    said = f"{name.replace('_', ' ')} must clear" + (" and be reset" if state.faults.latched[row, string] else "")
    match name:
        case "cell_over_voltage_maximum" if config.balance.bleed_A[string] > 0.0:
            return f"{said}: cells bleed down while it is open"
        case "cell_over_voltage_maximum":
            return f"{said}: nothing bleeds here, so discharge the cell by hand if rest does not bring it down"
        case "cell_under_voltage_maximum":
            return f"{said}: {refills(config, state, string)}"
        case _:
            return said


def _unknown(config: Config, state: State, string: int) -> list[str]:
    """Name the signals of this string that are present but unknown now."""
    layout, names = config.layout, []
    owner = {"cell": layout.string_of_cell == string, "temp": layout.string_of_temp == string}
    for q in SIGNALS:
        if q.axis == "pack":
            continue
        where = layout.where[q.name]
        mine = owner.get(q.axis, np.arange(layout.size["string"]) == string)
        if (config.sensing.present[where] & np.isnan(state.seen.value[where]) & mine).any():
            names.append(q.name)
    return names
