"""A guard in virtual time: one pack of one string, 4 cells, 2 sensors, one current, three inputs."""

from __future__ import annotations

from typing import Any

from cellarer.guard.decide import Guard, Orders
from cellarer.guard.limits import Limits, parse_limits

MS = 1_000_000
CELLS, TEMPS, CURRENT, STOP, INTERLOCK, CRASH, HIGH, LOW = range(4), range(4, 6), 6, 7, 8, 9, 10, 11
ALL_CLOSED, FETS = 0b101, 0b11000
SHA = "0123456789abcdef" * 4
MAX_AGE_MS = {
    "cell_voltage": 500, "cell_voltage_high": 3000, "cell_voltage_low": 3000, "temp_degC": 2000, "current": 200,
    "emergency_stop": 500, "interlock_open": 500, "crash": 500,
}  # fmt: skip
GOOD = dict.fromkeys(CELLS, 3.3) | dict.fromkeys(TEMPS, 25.0) | {CURRENT: 50.0, STOP: 0.0, INTERLOCK: 0.0, CRASH: 0.0}


def limits_file(kind: str = "contactors", second: int | None = None) -> dict[str, Any]:
    """second: pack of a second string, 0 or 1, with the same cells and sensors but without a current."""
    data: dict[str, Any] = {
        "version": 3, "site": "test", "config_sha256": SHA, "origin_ns": 0, "speed_permille": 1000,
        "cycle_ns": 20 * MS, "consent_ns": 60 * MS, "gap_ns": 300 * MS, "cells": 4,
        "strings": [{
            "pack": 0, "kind": kind, "cells": [0, 4], "temperatures": [4, 2], "absent": [],
            "cell_high": None, "cell_low": None, "current": CURRENT,
            "cell_voltage_max_V": 3.7, "cell_voltage_min_V": 2.2, "deep_discharge_V": 1.9,
            "temperature_max_degC": 62.0, "charge_A": 160.0, "discharge_A": 180.0, "draw_A": 3.0,
            "break_A": 20.0, "open_delay_ns": 500 * MS,
        }],
        "packs": [{"emergency_stop": STOP, "interlock_open": INTERLOCK, "crash": CRASH}],
        "rings": [{"file": "samples.test", "strings": [0]}],
        "max_age_ns": {name: ms * MS for name, ms in MAX_AGE_MS.items()},
        "plausible": {
            **{name: [-0.2, 6.0] for name in ("cell_voltage", "cell_voltage_high", "cell_voltage_low")},
            "temp_degC": [-50.0, 150.0], "current": [-5000.0, 5000.0],
            "emergency_stop": [0, 1], "interlock_open": [0, 1], "crash": [0, 1],
        },
    }  # fmt: skip
    if second is not None:
        data["strings"].append(data["strings"][0] | {"pack": second, "current": None})
        data["packs"] += second * [dict.fromkeys(("emergency_stop", "interlock_open", "crash"))]
    return data


def limits(kind: str = "contactors", second: int | None = None, **own: Any) -> Limits:
    """Return limits; `own` replaces fields of the first string."""
    data = limits_file(kind, second)
    data["strings"][0] |= own
    return parse_limits(data)


SITE = bytes.fromhex(SHA[:16])
BALANCING = b"\x0f" + bytes(range(1, 9))  # of four cells: all bleed, and what each converter gives and takes
WISH = Orders(1, 0, 0, SITE, False, ((ALL_CLOSED, 140.0, 140.0, 58.0, 44.0),), ((3, 0.5, 0.5),), BALANCING)


class World:
    """Feeds a guard every 10 ms with good values and control's consent, except where a test says otherwise."""

    def __init__(self, kind: str = "contactors", closed: bool = True, second: int | None = None, **own: Any) -> None:
        self.limits = limits(kind, second, **own)
        self.now_ns = 1_000_000 * MS
        self.guard = Guard(self.limits, self.now_ns)
        self.values = dict(GOOD)
        self.values |= {place: 3.3 for place in (own.get("cell_high"), own.get("cell_low")) if place is not None}
        self.silent: set[int] = set()
        self.wish_bits, self.wish_A = 0, (140.0, 140.0)
        self.reset = False
        self.control_lives = True
        self.wish: Orders | None = None
        self.wish_changes: dict[str, Any] = {}
        self.orders = self.guard.decide(None, self.now_ns)
        if closed:
            self.run(1500)
            self.wish_bits = FETS if kind in ("fets", "separate") else ALL_CLOSED
            self.run(100)
            assert {s[0] for s in self.orders.strings} == {self.wish_bits}, "a sound world closes"

    @property
    def held(self) -> int:
        return self.orders.strings[0][0] & 31

    @property
    def charge_A(self) -> float:
        return self.orders.strings[0][1]

    @property
    def discharge_A(self) -> float:
        return self.orders.strings[0][2]

    def consent(self) -> Orders:
        wish = Orders(
            counter=self.now_ns, time_ns=self.now_ns, expires_ns=self.now_ns + 60 * MS, site=SITE,
            leaving=False, strings=((self.wish_bits, *self.wish_A, 58.0, 44.0),) * len(self.limits.strings),
            packs=((3 | (32 if self.reset else 0), 0.5, 0.5),) * len(self.limits.packs), cells=BALANCING,
        )  # fmt: skip
        return wish._replace(**self.wish_changes)

    def tick(self) -> None:
        """10 ms."""
        self.now_ns += 10 * MS
        for place, value in self.values.items():
            if place not in self.silent:
                self.guard.receive([(place, value)], self.now_ns, self.now_ns)
        if self.control_lives:
            self.wish = self.consent()
        self.orders = self.guard.decide(self.wish, self.now_ns)

    def run(self, ms: float) -> None:
        for _ in range(int(ms / 10)):
            self.tick()

    def ms_until_open(self, most: float = 3000) -> float | None:
        """Run until everything is ordered open and return how long it took; None = it did not within `most`."""
        begin_ns = self.now_ns
        while self.now_ns - begin_ns < most * MS:
            self.tick()
            if not self.held:
                return (self.now_ns - begin_ns) / MS
        return None
