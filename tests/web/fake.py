"""A site that moves, made up for the tests of the page: the view of a snapshot as board/view.py makes it.

`python -m tests.web.fake [home|tiny|ev|bank] [PORT]` serves it with a day of history, to work on the page.
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from cellarer.history import Reader, Writer
from cellarer.history.channels import channels
from cellarer.web import create, listen, server

LIFETIME = {
    "charged_kWh": 421.3, "discharged_kWh": 402.9, "hot_min": 12.0, "cold_min": 0.0, "deep_discharges": 0,
    "overcharges": 1, "openings": 214, "openings_under_load": 2, "broken_A": 61.5,
}  # fmt: skip
TOKEN = "cellar-door-0123456789"
DAY_S = 86_400
BLOCKED = "cell over voltage maximum must clear and be reset"

OCV = (2.8, 3.1, 3.2, 3.24, 3.26, 3.28, 3.29, 3.3, 3.31, 3.33, 3.42)  # LFP at 0, 10 … 100 %


def ocv(soc: float) -> float:
    x = min(max(soc, 0.0), 0.9999) * 10
    return OCV[int(x)] + (x - int(x)) * (OCV[int(x) + 1] - OCV[int(x)])


def day_power(unix_s: float) -> float:
    """Return W into the battery over a sunny day with an evening."""
    hour = unix_s % DAY_S / 3600
    sun = 4600 * max(0.0, math.sin((hour - 6) / 12 * math.pi)) ** 1.3
    cloud = 1 - 0.55 * max(0.0, math.sin(unix_s / 700) * math.sin(unix_s / 190)) if sun else 1
    load = 420 + 900 * math.exp(-((hour - 19.5) ** 2) / 3) + 600 * math.exp(-((hour - 7.3) ** 2) / 0.6)
    return sun * cloud - load - 180 * math.sin(unix_s / 41) * math.sin(unix_s / 13)


@dataclass
class Site:
    """Builds views; `faults` and `open` may be set by a test while it runs."""

    name: str = "home"
    packs: int = 1
    cells: int = 16
    temps: int = 4
    fault: bool = False
    closed: dict[int, bool] = field(default_factory=dict)
    cycle: int = 0
    asked: list[Mapping[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = random.Random(4)
        self.spread = [rng.gauss(0, 0.004) for _ in range(self.packs * self.cells)]
        self.spread[min(6, self.cells - 1)] -= 0.018
        self.closed = dict.fromkeys(range(self.packs), True)

    @property
    def names(self) -> list[str]:
        return ["house"] if self.packs == 1 else [f"rack {i + 1:02d}" for i in range(self.packs)]

    def view(self, unix_s: float) -> dict[str, object]:
        self.cycle += 1
        return {
            "time_ns": self.cycle * 20_000_000, "unix_s": unix_s, "cycle": self.cycle, "overruns": 3, "site": self.name,
            "config_hash": "5f1d2c3b4a59687f", "packs": [self.pack(unix_s, p) for p in range(self.packs)],
            "banks": [{"bus": 1, "charge_A": 140.0, "discharge_A": 140.0}],
            "not_protected": ["insulation", "vent gas or smoke", "crash signal", "second current sensor"],
        }  # fmt: skip

    def pack(self, unix_s: float, p: int) -> dict[str, object]:
        string = self.string(unix_s, p)
        limits = string["limits"]
        assert isinstance(limits, dict)
        soc = string["soc_pct"]
        charging = float(str(string["current_A"])) > 0
        return {
            "name": self.names[p],
            "bus": 1,
            "inputs": {"emergency_stop": False, "interlock_open": False, "charger_present": True},
            "outputs": {
                "allow_charge": self.closed[p], "allow_discharge": self.closed[p], "pre_alarm": False,
                "start_generator": False, "buzzer": False, "force_charge": False,
                "full_charge": False, "heater_pct": 0.0, "pump_pct": 20.0,
            },
            "limits": {key: value for key, value in limits.items() if not key.endswith("reason")},
            **{k: string[k] for k in ("current_A", "voltage_V", "power_W", "soc_pct", "soc_sigma_pct")},
            "soh_pct": 97.4, "energy_Wh": round(float(str(soc)) * 2.8 * self.cells * 3.2, 1),
            "time_to_empty_s": None if charging else 21_400.0, "time_to_full_s": 7_900.0 if charging else None,
            "wish_closed": self.closed[p], "strings": [string],
        }  # fmt: skip

    def string(self, unix_s: float, p: int) -> dict[str, object]:
        hour = unix_s % DAY_S / 3600 + 0.3 * p
        soc = 0.52 + 0.36 * math.sin((hour - 11.2) / 24 * 2 * math.pi) + 0.02 * math.sin(p)
        closed = self.closed[p]
        noise = random.Random(int(unix_s * 2) * 31 + p)
        current = day_power(unix_s + 97 * p) / 52 * closed + noise.gauss(0, 0.2) * closed
        spread = self.spread[p * self.cells : (p + 1) * self.cells]
        volts = [round(ocv(soc + d) + current * 0.00035 + d * 0.5 + noise.gauss(0, 0.0006), 4) for d in spread]
        low, high = min(volts), max(volts)
        total = round(sum(volts), 3)
        return {
            "phase": "closed" if closed else "open", "phase_since_s": 4830.2,
            "charge_phase": "bulk" if current > 0 else "idle",
            "minus": closed, "precharge": False, "plus": closed, "charge_switch": closed, "discharge_switch": closed,
            "feedback": {"minus": closed, "precharge": False, "plus": closed},
            "current_A": round(current, 3), "voltage_V": total,
            "link_voltage_V": round((total - 0.05) * closed, 3),
            "power_W": round(current * total, 1), "soc_pct": round(100 * soc, 2), "soc_sigma_pct": 1.6,
            "better_known_by": ["a rest of 40 min narrows SOC from ±1.6 to ±0.9 %"],
            "usable_Ah": 271.4, "closings": 212, "wear_pct": 0.8, "lifetime": LIFETIME,
            "charged_Ah": 8123.4, "discharged_Ah": 8020.1,
            "cells": {
                "voltage_V": list(volts), "soc_pct": [round(100 * (soc + d), 2) for d in spread],
                "soc_sigma_pct": [1.2 + 0.1 * (i % 4) for i in range(self.cells)],
                "bleeding": [v > high - 0.002 and current > 5 for v in volts],
                "capacity_Ah": [round(278 + 100 * d, 2) for d in spread], "resistance_pct": [104.0] * self.cells,
                "capacity_sigma_Ah": [2.8] * self.cells, "soh_pct": [round(99.2 + 35 * d, 2) for d in spread],
                "resistance_sigma_pct": [3.0] * self.cells, "soc_between_sigma_pct": [0.25] * self.cells,
            },
            "balancing": {
                "source": "plan", "missing": [], "finish_s": 93600.0,
                "moved_Ah": [-0.1 * (i % 3) for i in range(self.cells)],
                "lost_Wh": 41.2, "usable_before_Ah": 271.4, "usable_after_Ah": 276.9,
            },
            "lowest_cell": volts.index(low) + 1, "highest_cell": volts.index(high) + 1,
            "lowest_V": low, "highest_V": high,
            "temps_degC": [round(21.5 + 2.2 * math.sin(i * 1.7) + abs(current) / 40, 1) for i in range(self.temps)],
            "limits": {
                "charge_A": 92.0 * closed, "discharge_A": 140.0 * closed, "charge_V": 56.8, "discharge_V": 44.8,
                "charge_W": 4900.0 * closed, "discharge_W": 7300.0 * closed,
                "charge_reason": "temperature low" if closed else "switchgear open",
                "discharge_reason": "rated" if closed else "switchgear open", "voltage_reason": "rated",
            },
            "peaks": {
                "charge_A": [110.0, 92.0, 92.0, 90.0], "discharge_A": [180.0, 140.0, 140.0, 120.0],
                "charge_W": [5900.0, 4900.0, 4900.0, 4800.0], "discharge_W": [9400.0, 7300.0, 7300.0, 6200.0],
            },
            "power_charge_10s_W": 5350.0, "power_discharge_10s_W": 7900.0,
            "faults": self.faults() if p == 0 else [],
            "missing": self.missing(closed, current),
        }  # fmt: skip

    def faults(self) -> list[dict[str, object]]:
        if not self.fault:
            return []
        rows = (
            ("cell_over_voltage_maximum", "open", "cell 7 at 3.671 V, limit 3.650 V", 7, 3.671, 3.65, True, 12.4),
            (
                "cold_charge",
                "derate",
                "sensor 2 at 9.5 °C, charging is reduced below 10.0 °C",
                2,
                9.5,
                10.0,
                False,
                3605.0,
            ),
            ("voltage_spread", "inform", "cells differ by 62 mV, expected is 50 mV", None, 0.062, 0.05, False, 9e4),
        )
        return [
            dict(zip(("name", "level", "text", "cell", "value", "limit", "latched", "since_s"), row)) for row in rows
        ]

    def missing(self, closed: bool, current: float) -> list[str]:
        if closed:
            return ["absorption begins when a cell reaches 3.450 V"] if current > 0 else []
        return [
            "nobody has asked to close",
            *(["cell over voltage maximum must clear and be reset"] if self.fault else []),
        ]

    def ask(self, request: Mapping[str, object]) -> dict[str, object]:
        """Answer a request as the rules of a site would."""
        self.asked.append(request)
        pack, what = int(str(request["pack"])), request["what"]
        if what == "close" and self.fault:
            return {"id": request["id"], "accepted": False, "text": BLOCKED}
        if what in ("open", "close"):
            self.closed[pack] = what == "close"
        if what == "reset":
            self.fault = False
        return {"id": request["id"], "accepted": True, "text": f"request {what} granted"}


SITES: dict[str, Callable[[], Site]] = {
    "home": Site,
    "tiny": lambda: Site("laptop", cells=3, temps=1),
    "ev": lambda: Site("car", cells=400, temps=40),
    "bank": lambda: Site("hall 3", packs=20, cells=16),
}

EVENTS = (
    (82_000, "switch", "closed", None, "switchgear closed: precharge proven, 0.4 V left"),
    (64_000, "fault", "voltage_spread", None, "cells differ by 62 mV, expected is 50 mV"),
    (52_000, "clear", "voltage_spread", None, "voltage_spread is over (cells differ by 41 mV)"),
    (30_100, "charge", "bulk", None, "charging bulk: a charger is present"),
    (21_000, "fault", "temperature_low_charge", 2, "sensor 2 at 9.5 °C, charging is reduced below 10.0 °C"),
    (9_000, "refuse", "close", None, "request close refused: it is closed already"),
    (4_830, "switch", "closed", None, "switchgear closed: precharge proven, 0.4 V left"),
    (400, "request", "target_soc", None, "request target_soc granted"),
)


def remember(site: Site, path: Path, span_s: int = DAY_S, step_s: int = 20) -> None:
    """Record a day before now."""
    writer, now = Writer(path), time.time()
    for i, t in enumerate(range(span_s, 0, -step_s)):
        writer.append(now - t, channels(site.view(now - t)))
        if i % 200 == 0:
            writer.flush(30)
    events = [
        {"seq": i, "unix_s": now - ago, "time_ns": i, "kind": kind, "name": name, "pack": 1, "string": 1, "cell": cell,
         "value": None, "limit": None, "cause": "", "text": text}
        for i, (ago, kind, name, cell, text) in enumerate(EVENTS)
    ]  # fmt: skip
    writer.append_events(events, "fake")
    writer.close(30)


def main() -> None:
    """Serve a fake site until stopped."""
    site = SITES[sys.argv[1] if len(sys.argv) > 1 else "home"]()
    site.fault = "fault" in sys.argv
    site.closed[0] = "fault" not in sys.argv
    with TemporaryDirectory() as folder:
        path = Path(folder) / "history.db"
        remember(site, path, step_s=20 if site.cells * site.packs < 100 else 300)
        info = {"name": site.name, "note": "made up, for work on the page", "packs": site.names}
        app = create(lambda: (site.view(time.time()), 0.02), Reader(path), site.ask, info, TOKEN)
        socket = listen(int(next((a for a in sys.argv if a.isdecimal()), "8800")))
        print(f"http://127.0.0.1:{socket.getsockname()[1]}", flush=True)
        server(app).run(sockets=[socket])


if __name__ == "__main__":
    main()
