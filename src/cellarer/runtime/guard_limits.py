"""The guard's limits file: between control's maximum and the data-sheet cap of the cells, from site and cell files.

A limit lies in the middle of both unless the site file says where. A cell file must give caps of voltage and may give
caps of current and temperature (`cap_…` in its limits, from the data sheet); where it does not, the guard leaves the
margin that two sensors or two debounces may differ by.
"""

import json
import math
from pathlib import Path

import numpy as np

from cellarer.board.files import Folder, write_whole
from cellarer.config.load import Site
from cellarer.guard.limits import SIGNALS
from cellarer.model.config import Config, Switchgear
from cellarer.model.quantities import BY_NAME
from cellarer.runtime.process import Run

CURRENT_MARGIN = 1.05  # 1: two current sensors of 2 % each, and control's debounce
TEMPERATURE_MARGIN_K = 2.0  # two NTC channels of 1 K each
VERSION = 2  # of the file; the guard reads exactly this one
AGES = 2  # control knows a signal no more after its age; the guard opens after this many times it
INPUTS = ("emergency_stop", "interlock_open", "crash")


def guard_limits(site: Site, config: Config, run: Run, folder: Folder) -> dict[str, object]:
    """Return the content of the limits file. config: the one that control runs, paced."""
    return {
        "version": VERSION,
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
        "max_age_ns": {name: _age(config, name) for name in SIGNALS},
        "plausible": {name: [float(BY_NAME[name].low), float(BY_NAME[name].high)] for name in SIGNALS},
    }


def write_guard_limits(path: Path, limits: dict[str, object]) -> None:
    """Write the file, whole and for its owner only."""
    write_whole(path, json.dumps(limits, indent=1).encode(), sync=False)


def _string(site: Site, config: Config, string: int) -> dict[str, object]:
    layout, switch, own = config.layout, config.switch, site.file.guard
    pack = int(layout.pack_of_string[string])
    cell, parallel = site.cells[pack].limits, int(config.parallel[string])
    high = (cell.voltage_max[2] + cell.cap_voltage_max) / 2
    low = (cell.voltage_min[2] + cell.cap_voltage_min) / 2
    hottest = max(cell.charge_temp_max_degC[2], cell.discharge_temp_max_degC[2])
    hottest = _between(hottest, cell.cap_temp_max_degC, hottest + TEMPERATURE_MARGIN_K)
    charge = _between(cell.charge_A[2], cell.cap_charge_A, cell.charge_A[2] * CURRENT_MARGIN) * parallel
    discharge = _between(cell.discharge_A[2], cell.cap_discharge_A, cell.discharge_A[2] * CURRENT_MARGIN) * parallel
    cells, temps = _places(config, "cell_voltage", string), _places(config, "temp_degC", string)
    return {
        "pack": pack,
        "kind": Switchgear(int(switch.kind[string])).name.lower(),
        "cells": [int(cells[0]) if cells.size else 0, len(cells)],
        "temperatures": [int(temps[0]) if temps.size else 0, len(temps)],
        "absent": [int(n) for n in (*cells, *temps) if not config.sensing.present[n]],
        "cell_high": _input(config, "cell_voltage_high", string),
        "cell_low": _input(config, "cell_voltage_low", string),
        "current": _input(config, "current", string),
        "cell_voltage_max_V": float(own.cell_voltage_max_V or high),
        "cell_voltage_min_V": float(own.cell_voltage_min_V or max(low, 0.0)),
        "temperature_max_degC": float(own.temperature_max_degC or hottest),
        "charge_A": float(own.charge_A or charge),
        "discharge_A": float(own.discharge_A or discharge),
        "break_A": float(switch.break_A[string]),
        "open_delay_ns": int(switch.open_delay_ns[string]),
    }


def _between(maximum: float, cap: float, otherwise: float) -> float:
    """Return the middle of control's maximum and the data-sheet cap; `otherwise` where the cell file has no cap."""
    return otherwise if math.isnan(cap) else (maximum + cap) / 2


def _places(config: Config, name: str, string: int) -> np.ndarray:
    """Return the signal numbers of the cells or sensors of a string; none where nobody measures any."""
    owner = config.layout.string_of_cell if name == "cell_voltage" else config.layout.string_of_temp
    places = config.layout.where[name].start + np.flatnonzero(owner == string)
    return places if config.sensing.present[places].any() else places[:0]


def _input(config: Config, name: str, owner: int) -> int | None:
    """Return the signal number of a quantity of one string or pack; None where nobody measures it."""
    place = config.layout.where[name].start + owner
    return place if config.sensing.present[place] else None


def _age(config: Config, name: str) -> int:
    ages = config.sensing.max_age_ns[config.layout.where[name]]
    return int(ages.max()) * AGES if ages.size else 1_000_000_000


def _ring(site: Site, config: Config, folder: Folder, link: str) -> dict[str, object]:
    """Return a ring and the strings of its devices."""
    first = config.layout.first_string
    strings = {int(first[d.pack - 1]) + d.string - 1 for d in site.file.device if d.link == link}
    return {"file": folder.samples(link).name, "strings": sorted(strings)}
