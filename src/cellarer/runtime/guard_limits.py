"""The guard's limits file: between control's maximum and the data-sheet cap of the cells, from site and cell files.

A limit lies in the middle of both unless the site file says where. A cell file must give caps of voltage and may give
caps of current and temperature (`cap_…` in its limits, from the data sheet); where it does not, the guard leaves the
margin that two sensors or two debounces may differ by.

A signal's number is its place in the sample; what the guard reads from devices of its own (`[[guard.device]]`) has the
numbers behind the last of the site, in the same order.
"""

import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellarer.board.files import Folder, write_whole
from cellarer.config.compile import sensed
from cellarer.config.error import ConfigError
from cellarer.config.load import Site
from cellarer.config.schema import DeviceFile
from cellarer.guard.limits import SIGNALS
from cellarer.model.config import Config, Switchgear
from cellarer.model.layout import Layout
from cellarer.model.quantities import BY_NAME
from cellarer.runtime.process import Run

CURRENT_MARGIN = 1.05  # 1: two current sensors of 2 % each, and control's debounce
TEMPERATURE_MARGIN_K = 2.0  # two NTC channels of 1 K each
VERSION = 3  # of the file; the guard reads exactly this one
AGES = 2  # control knows a signal no more after its age; the guard opens after this many times it
DRAW = "refill_discharged"  # control's row whose limit, with the margin, is the guard's
INPUTS = ("emergency_stop", "interlock_open", "crash")
SHARED = ("bench", "socketcan", "udp_multicast")  # kinds of links on which two may listen

Numbers = NDArray[np.int64]


class Eyes:
    """Which readings the guard takes: of its own devices what they measure of a string or pack, else control's.

    Raises ConfigError where a device of the guard measures only some cells or sensors of a string, measures what the
    guard does not look at, or would drive something.
    """

    def __init__(self, site: Site, speed: float) -> None:
        self.site, self.layout, self.theirs = site, site.config.layout, site.config.sensing
        devices = site.file.guard.device
        self.own = sensed(site.file, devices, self.layout, site.path, "guard.device", [])
        self.own_age_ns = (self.own.max_age_ns * speed).astype(np.int64)
        for number, device in enumerate(devices, 1):
            self._only_observes(device, f"guard.device[{number}]")
        for name, axis in (("cell_voltage", "string_of_cell"), ("temp_degC", "string_of_temp")):
            self._whole(name, getattr(self.layout, axis))

    def _only_observes(self, device: DeviceFile, key: str) -> None:
        site, signals = self.site, device.signals or []
        if device.authority != "observe" or device.protects or device.watchdog or device.drops_after_ms is not None:
            allowed = "observe, without protects, watchdog and drops_after_ms: the guard's devices only measure"
            raise ConfigError(site.path, f"{key}.authority", device.authority, allowed)
        if not signals or (strange := sorted(set(signals) - set(SIGNALS))):
            raise ConfigError(site.path, f"{key}.signals", strange if signals else signals, f"some of {list(SIGNALS)}")
        url = next(link.url for link in site.file.link if link.name == device.link)
        others = {d.link for d in site.file.device} | {f.link for f in site.file.face}
        if device.link in others and url.partition(":")[0] not in SHARED:
            allowed = f"a link of its own, or one of a kind on which two may listen: {', '.join(SHARED)}"
            raise ConfigError(site.path, f"{key}.link", url, allowed)

    def _whole(self, name: str, owner: Numbers) -> None:
        """Refuse an own look at a part of a string: the rest of it would be watched by nobody, or look like it."""
        where = self.layout.where[name]
        own, theirs = self.own.present[where], self.theirs.present[where]
        for string in range(self.layout.size["string"]):
            seen, needed = int((own & (owner == string)).sum()), int(((own | theirs) & (owner == string)).sum())
            if 0 < seen < needed:
                key = f"guard.device: {name} of string {string + 1}"
                raise ConfigError(self.site.path, key, seen, f"none, or all {needed} that are measured")

    def of(self, name: str, places: Numbers) -> tuple[Numbers, Numbers]:
        """Return the numbers of these signals of one string or pack, and those among them that nobody measures."""
        if self.own.present[places].any():
            beyond = places + self.layout.size["signal"]
            return beyond, beyond[~self.own.present[places]]
        if self.theirs.present[places].any():
            return places, places[~self.theirs.present[places]]
        return places[:0], places[:0]

    def age_ns(self, config: Config, name: str) -> int:
        """Return how old a signal may be, ns; the longest of this name."""
        where = self.layout.where[name]
        own = np.where(self.own.present[where], self.own_age_ns[where], 0)
        ages = np.maximum(config.sensing.max_age_ns[where], own)
        return int(ages.max()) * AGES if ages.size else 1_000_000_000


def guard_limits(site: Site, config: Config, run: Run, folder: Folder) -> dict[str, object]:
    """Return the content of the limits file. config: the one that control runs, paced."""
    eyes = Eyes(site, run.clock.speed)
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
        "strings": [_string(site, config, eyes, s) for s in range(config.layout.size["string"])],
        "packs": [{name: _input(eyes, name, p) for name in INPUTS} for p in range(config.layout.size["pack"])],
        "rings": [
            *(_ring(site, config, folder, link) for link in run.links),
            *({"file": folder.samples(link).name, "strings": []} for link in run.links_apart),  # they drive nothing
        ],
        "max_age_ns": {name: eyes.age_ns(config, name) for name in SIGNALS},
        "plausible": {name: [float(BY_NAME[name].low), float(BY_NAME[name].high)] for name in SIGNALS},
    }


def write_guard_limits(path: Path, limits: dict[str, object]) -> None:
    """Write the file, whole and for its owner only."""
    write_whole(path, json.dumps(limits, indent=1).encode(), sync=False)


def _string(site: Site, config: Config, eyes: Eyes, string: int) -> dict[str, object]:
    layout, switch, own = config.layout, config.switch, site.file.guard
    pack = int(layout.pack_of_string[string])
    cell, parallel = site.cells[pack].limits, min(float(config.size[string]), float(config.parallel[string]))
    high = (cell.voltage_max[2] + cell.cap_voltage_max) / 2
    low = (cell.voltage_min[2] + cell.cap_voltage_min) / 2
    least = min(float(own.cell_voltage_min_V or max(low, 0.0)), cell.deep_discharge)
    draw = float(config.faults.trip[config.faults.name.index(DRAW), string]) * CURRENT_MARGIN
    hottest = max(cell.charge_temp_max_degC[2], cell.discharge_temp_max_degC[2])
    hottest = _between(hottest, cell.cap_temp_max_degC, hottest + TEMPERATURE_MARGIN_K)
    charge = _between(cell.charge_A[2], cell.cap_charge_A, cell.charge_A[2] * CURRENT_MARGIN) * parallel
    discharge = _between(cell.discharge_A[2], cell.cap_discharge_A, cell.discharge_A[2] * CURRENT_MARGIN) * parallel
    cells, unseen = eyes.of("cell_voltage", _places(layout, "cell_voltage", string))
    temps, unfelt = eyes.of("temp_degC", _places(layout, "temp_degC", string))
    return {
        "pack": pack,
        "kind": Switchgear(int(switch.kind[string])).name.lower(),
        "cells": [int(cells[0]) if cells.size else 0, len(cells)],
        "temperatures": [int(temps[0]) if temps.size else 0, len(temps)],
        "absent": [int(n) for n in (*unseen, *unfelt)],
        "cell_high": _input(eyes, "cell_voltage_high", string),
        "cell_low": _input(eyes, "cell_voltage_low", string),
        "current": _input(eyes, "current", string),
        "cell_voltage_max_V": float(own.cell_voltage_max_V or high),
        "cell_voltage_min_V": float(own.cell_voltage_min_V or max(low, 0.0)),
        "deep_discharge_V": float(least),
        "temperature_max_degC": float(own.temperature_max_degC or hottest),
        "charge_A": float(own.charge_A or charge),
        "discharge_A": float(own.discharge_A or discharge),
        "draw_A": draw,
        "break_A": float(switch.break_A[string]),
        "open_delay_ns": int(switch.open_delay_ns[string]),
    }


def _between(maximum: float, cap: float, otherwise: float) -> float:
    """Return the middle of control's maximum and the data-sheet cap; `otherwise` where the cell file has no cap."""
    return otherwise if math.isnan(cap) else (maximum + cap) / 2


def _places(layout: Layout, name: str, string: int) -> Numbers:
    """Return the places of the cells or sensors of a string."""
    owner = layout.string_of_cell if name == "cell_voltage" else layout.string_of_temp
    return np.asarray(layout.where[name].start + np.flatnonzero(owner == string))


def _input(eyes: Eyes, name: str, owner: int) -> int | None:
    """Return the signal number of a quantity of one string or pack; None where nobody measures it."""
    numbers, _ = eyes.of(name, np.array([eyes.layout.where[name].start + owner]))
    return int(numbers[0]) if numbers.size else None


def _ring(site: Site, config: Config, folder: Folder, link: str) -> dict[str, object]:
    """Return a ring and the strings of its devices."""
    first = config.layout.first_string
    strings = {int(first[d.pack - 1]) + d.string - 1 for d in site.file.device if d.link == link}
    return {"file": folder.samples(link).name, "strings": sorted(strings)}
