"""What hangs on the DC link: inverter with house and sun, vehicle, e-bike, laptop, a constant current, or nothing.

A load wishes a power or a current; what becomes of it is bound by its own rating and, if it obeys, by the limits that
it was told `delay_s` ago, moving in steps and no faster than it can. It holds the charge voltage exactly as a regulator
does: strings are sources behind resistors, so the current that brings the link to that voltage is known.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellarer.config.schema import LoadFile
from cellarer.sim import noise, profiles, trips

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

INVERTER_LOSS_W = 35.0
START_S = 2.0  # an inverter wakes up this long after its link came up
UNCUT_S = 0.1  # steps up to this are not divided where a limit or a start falls into them
MOMENT_S = 1e-6
UP = 0.85  # link voltage against that of the strings from which on the inverter sees a battery
SLEW_PER_S = 5.0  # of its rating
STEP = 0.001  # of its rating: resolution of the current
DEAD_BAND = 0.004  # of its rating: smaller changes are not followed
ROUND_UP = 1e-9  # of a step: a limit that is a whole number of steps stays one
CHARGER_C = 0.5  # 1/h: a charger without a rating
ROUNDS = {"drive": trips.drive, "ebike": trips.ride, "laptop": trips.laptop}


class Bus(NamedTuple):
    """What a load sees of its strings, and what it was told; all (bus,)."""

    emf: Floats  # V of the connected strings behind `ohm`; NaN where none is connected
    ohm: Floats
    volts: Floats  # at the link
    charge_A: Floats  # limits in force, magnitudes
    discharge_A: Floats
    charge_V: Floats
    may_charge: Bools  # some connected string passes that direction
    may_discharge: Bools


@dataclass(slots=True)
class Load:
    """The loads of all buses, one kind, each with its own day."""

    file: LoadFile
    start_hour: float
    rated_A: Floats  # (bus,)
    energy_Wh: Floats  # (bus,) of the packs on it
    keys: NDArray[np.uint64]  # (bus,)
    round: trips.Round | None
    now_A: Floats  # (bus,) what flows
    up_s: Floats  # (bus,) since the link came up
    coming: tuple[Floats, Floats]
    told: deque[tuple[float, Floats]] = field(default_factory=deque)
    day: profiles.Day | None = None
    daylight_h: Floats = field(default_factory=lambda: np.array([profiles.DAYLIGHT_H]))  # (bus,) or one for all

    def current(self, time_s: float, h: float, bus: Bus, disobey_charge: Bools, disobey_discharge: Bools) -> Floats:
        """Return the current put into the link for the next h seconds, + charges, (bus,); see `settle`."""
        connected = np.isfinite(bus.emf) & (bus.volts > UP * np.where(np.isfinite(bus.emf), bus.emf, 0.0))
        up_s = np.where(connected, self.up_s + h, 0.0)
        awake = connected & (up_s >= START_S) if self.file.kind == "home" else connected
        awake &= not self._dropped(time_s)
        limit = self._limits(time_s, bus)
        deaf = not self.file.obeys_limits
        unregulated = disobey_charge | deaf | ("voltage" in self.file.ignores)
        disobey_charge = disobey_charge | deaf | ("charge" in self.file.ignores)
        disobey_discharge = disobey_discharge | deaf | ("discharge" in self.file.ignores)
        low = np.where(disobey_discharge, -self.rated_A, -np.minimum(self.rated_A, limit[1]))
        high = np.where(disobey_charge, self.rated_A, np.minimum(self.rated_A, limit[0]))
        with np.errstate(invalid="ignore"):
            regulated = np.maximum((limit[2] + self.file.voltage_offset_V - bus.emf) / bus.ohm, 0.0)
        high = np.where(unregulated | ~np.isfinite(regulated), high, np.minimum(high, regulated))
        sign = -1.0 if self.file.wrong_sign else 1.0  # it obeys in its own frame: what it takes for charging discharges
        now_A, wish = sign * self.now_A, np.clip(self.wish(time_s, h, bus, high), low, high)
        band = DEAD_BAND * self.rated_A if self.file.dead_band_A is None else self.file.dead_band_A
        wish = np.where(np.abs(wish - now_A) < band, np.clip(now_A, low, high), wish)
        step = self.file.step_A or STEP * self.rated_A
        wish = np.trunc(wish / step + ROUND_UP * np.sign(wish)) * step
        most = (self.file.slew_A_per_s or SLEW_PER_S * self.rated_A) * h
        moved = sign * np.clip(wish, now_A - most, now_A + most)
        moved = np.where((moved > 0.0) & ~bus.may_charge, 0.0, moved)
        moved = np.where((moved < 0.0) & ~bus.may_discharge, 0.0, moved)
        self.coming = np.where(awake, moved, 0.0), up_s
        return self.coming[0]

    def _dropped(self, time_s: float) -> bool:
        """Return whether it has dropped out now; a time of good service comes first."""
        every_s = self.file.drops_every_s
        return every_s is not None and time_s % (every_s + self.file.drops_for_s) >= every_s

    def settle(self) -> None:
        """Take what `current` returned last as what flows; until then it may be asked again and again."""
        self.now_A, self.up_s = self.coming

    def next_s(self, time_s: float, left_s: float) -> float:
        """Return how long its limits and its sleep stay as they are; short steps need not be cut for that."""
        if left_s <= UNCUT_S:
            return left_s
        pending = self.told[1][0] + self.file.delay_s - time_s if len(self.told) > 1 else left_s
        waking = self.up_s[(self.up_s > 0.0) & (self.up_s < START_S)]
        return max(UNCUT_S, min([pending, *(START_S - waking)], default=left_s))

    def wish(self, time_s: float, h: float, bus: Bus, most_A: Floats) -> Floats:
        """Return the current that would be drawn or given if nothing bound it, (bus,)."""
        match self.file.kind:
            case "rest":
                return np.zeros_like(self.rated_A)
            case "constant":
                return np.full_like(self.rated_A, self.file.current_A)
            case "home":
                return amperes(self.home_W(time_s + 0.5 * h), bus.emf, bus.ohm)
        assert self.round is not None
        if trips.phase(self.round, time_s)[0]:
            return most_A
        return amperes(trips.mean_power(self.round, time_s, h) * self.energy_Wh, bus.emf, bus.ohm)

    def home_W(self, time_s: float) -> Floats:
        """Return sun less demand, (bus,) W: + charges."""
        seconds = self.start_hour * 3600.0 + time_s
        number = int(seconds // 86400.0)
        if self.day is None or self.day.number != number:
            self.day = profiles.day(
                self.keys, number, self.file.demand_kWh_per_day, self.file.solar_kWp, self.daylight_h
            )
        minute = int(seconds % 86400.0 // 60.0)
        return np.asarray(self.day.solar_W[:, minute] - self.day.demand_W[:, minute] - INVERTER_LOSS_W)

    def facts(self, time_s: float) -> tuple[bool, bool, bool]:
        """Return whether power is asked for, a charge plug is in, and a charger is alive."""
        if self.round is None:
            return True, False, self.file.kind != "rest"
        plugged, asks = trips.phase(self.round, time_s)
        return asks or plugged, plugged, plugged

    def _limits(self, time_s: float, bus: Bus) -> Floats:
        """Return the limits that were told `delay_s` ago, (3, bus): charge A, discharge A, charge V."""
        new = np.stack([bus.charge_A, bus.discharge_A, bus.charge_V])
        if not self.told or not np.array_equal(self.told[-1][1], new):
            self.told.append((time_s, new))
        while len(self.told) > 1 and self.told[1][0] <= time_s - self.file.delay_s + MOMENT_S:
            self.told.popleft()
        return self.told[0][1]


def load(file: LoadFile, start_hour: float, seed: int, numbers: Ints, rated_A: Floats, energy_Wh: Floats) -> Load:
    """Make the loads of all buses. numbers (bus,) seed them; rated_A is used where the site file gives no rating."""
    rating = np.full_like(rated_A, file.inverter_A) if file.inverter_A else rated_A
    return Load(
        file=file, start_hour=start_hour, rated_A=rating, energy_Wh=energy_Wh,
        keys=noise.mix(seed, numbers, 41),
        round=ROUNDS[file.kind](seed, numbers, file.trips_per_day) if file.kind in ROUNDS else None,
        now_A=np.zeros_like(rating), up_s=np.zeros_like(rating),
        coming=(np.zeros_like(rating), np.zeros_like(rating)),
    )  # fmt: skip


def amperes(power_W: Floats, emf: Floats, ohm: Floats) -> Floats:
    """Return the current with V·i = P at a source behind a resistor; the most it can give if P is more."""
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = np.maximum(emf * emf + 4.0 * ohm * power_W, 0.0)
        current = (np.sqrt(inside) - emf) / (2.0 * ohm)
    return np.where(np.isfinite(current), current, 0.0)
