"""The guard's limits file: between control's maximum and the data-sheet cap of the cells, from site and cell files.

Voltages lie in the middle of both unless the site file says where. Cell files give no cap beyond the maximum for
current and temperature: there the guard leaves the margin that two sensors or two debounces may differ by.
"""

import json
from pathlib import Path

from cellarer.board.files import Folder, write_whole
from cellarer.config.load import Site
from cellarer.model.config import Config, Switchgear
from cellarer.model.quantities import BY_NAME
from cellarer.runtime.process import Run

CURRENT_MARGIN = 1.05  # 1: two current sensors of 2 % each, and control's debounce
TEMPERATURE_MARGIN_K = 2.0  # two NTC channels of 1 K each
AGES = 2  # control knows a signal no more after its age; the guard opens after this many times it
WATCHED = ("cell_voltage", "temp_degC", "current", "emergency_stop", "interlock_open", "crash")
INPUTS = ("emergency_stop", "interlock_open", "crash")


def guard_limits(site: Site, config: Config, run: Run, folder: Folder) -> dict[str, object]:
    """Return the content of the limits file. config: the one that control runs, paced."""
    return {
        "version": 1,
        "site": config.site,
        "config_sha256": run.config_sha256,
        "origin_ns": run.clock.origin_ns,
        "speed_permille": run.clock.speed_permille,
        "cycle_ns": config.cycle_ns,
        "consent_ns": run.consent_ns,
        "gap_ns": run.drop_ns,
        "cells": config.layout.size["cell"],
        "strings": [_string(site, config, s) for s in range(config.layout.size["string"])],
        "packs": [{name: _input(config, name, p) for name in INPUTS} for p in range(config.layout.size["pack"])],
        "rings": [_ring(site, config, folder, link) for link in run.links],
        "max_age_ns": {name: _age(config, name) for name in WATCHED},
        "plausible": {name: [float(BY_NAME[name].low), float(BY_NAME[name].high)] for name in WATCHED},
    }


def write_guard_limits(path: Path, limits: dict[str, object]) -> None:
    """Write the file, whole and for its owner only."""
    write_whole(path, json.dumps(limits, indent=1).encode(), sync=False)


def _string(site: Site, config: Config, string: int) -> dict[str, object]:
    layout, switch, own = config.layout, config.switch, site.file.guard
    pack = int(layout.pack_of_string[string])
    cell, parallel = site.cells[pack].limits, int(config.parallel[string])
    cells = layout.string_of_cell == string
    temps = layout.string_of_temp == string
    high = (cell.voltage_max[2] + cell.cap_voltage_max) / 2
    low = (cell.voltage_min[2] + cell.cap_voltage_min) / 2
    hottest = max(cell.charge_temp_max_degC[2], cell.discharge_temp_max_degC[2]) + TEMPERATURE_MARGIN_K
    current = layout.where["current"].start + string
    return {
        "pack": pack,
        "kind": Switchgear(int(switch.kind[string])).name.lower(),
        "cells": _present(config, "cell_voltage", cells.argmax(), int(cells.sum())),
        "temperatures": _present(config, "temp_degC", temps.argmax() if temps.size else 0, int(temps.sum())),
        "current": current if config.sensing.present[current] else None,
        "cell_voltage_max_V": float(own.cell_voltage_max_V or high),
        "cell_voltage_min_V": float(own.cell_voltage_min_V or max(low, 0.0)),
        "temperature_max_degC": float(own.temperature_max_degC or hottest),
        "charge_A": float(own.charge_A or cell.charge_A[2] * parallel * CURRENT_MARGIN),
        "discharge_A": float(own.discharge_A or cell.discharge_A[2] * parallel * CURRENT_MARGIN),
        "break_A": float(switch.break_A[string]),
        "open_delay_ns": int(switch.open_delay_ns[string]),
    }


def _present(config: Config, name: str, first: object, count: int) -> list[int]:
    """Return [first, count] of what is measured of a string; none of it if not all of it is."""
    start = config.layout.where[name].start + int(first)  # type: ignore[call-overload]
    return [start, count if config.sensing.present[start : start + count].all() else 0]


def _input(config: Config, name: str, pack: int) -> int | None:
    place = config.layout.where[name].start + pack
    return place if config.sensing.present[place] else None


def _age(config: Config, name: str) -> int:
    ages = config.sensing.max_age_ns[config.layout.where[name]]
    return int(ages.max()) * AGES if ages.size else 1_000_000_000


def _ring(site: Site, config: Config, folder: Folder, link: str) -> dict[str, object]:
    """Return a ring and the strings of its devices."""
    first = config.layout.first_string
    strings = {int(first[d.pack - 1]) + d.string - 1 for d in site.file.device if d.link == link}
    return {"file": folder.samples(link).name, "strings": sorted(strings)}
