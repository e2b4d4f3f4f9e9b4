"""What balancing reaches against what is wanted of it, in one table.

    python benchmarks/balancing.py [--json] [--seeds N] [--only cycle|plans|active|usable|swing]

The pack: 16 LFP cells of 100 Ah in series at rest at half charge, 5 % between fullest and emptiest, 100 mA bleed. Least
by ampere-hours: (5 % − 1 %) · 100 Ah / 100 mA = 40 h. The worst seed counts; exits with 1 if a figure is missed.

cycle   estimators, planner, bleeders that pause for measuring: hours until the true spread is 1 %. SOC known to 1 %, of
        which 0.1 % between cells (cells of a string share the current and its sensor). And what can be had when the 1 %
        is each cell's own and at rest nothing is learnt: the spread that is left after a week.
plans   the programme alone, followed slot by slot, when each cell is known with an error of its own that an honest
        estimator makes smaller: one more independent look a day, so sigma falls with the square root of days.
active  plans of `plan.converters` followed slot by slot to 1 %, against the optimum of the linear programme.
usable  the whole cycle, capacities with a standard deviation of 3 %: after 20 h a full charge and discharge at C/5 with
        the balancing at work: 2 A converters against none, and against doses.
swing   how far CCL rises above its least with machines that answer after 1 to 10 s in steps of 1 to 5 A, see
        runtime/swing.py.
"""

import argparse
import json
import sys
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cellarer import config
from cellarer.config.load import Site, build
from cellarer.core.cycle import start
from cellarer.core.decide.converters import into_cells
from cellarer.model.config import Config, Topology
from cellarer.model.values import NEVER, Estimate
from cellarer.plan import converters, programme, transfer
from cellarer.runtime import swing
from cellarer.runtime.balancing import KNOWN, World

Floats = NDArray[np.float64]

CELLS, CAPACITY, SPREAD, WINDOW, BLEED_A = 16, 100.0, 0.05, 0.01, 0.1
DAY_S, GIVE_UP_S, WEEK_S = 86400.0, 30 * 86400.0, 7 * 86400.0
VOLTAGE = 3.3  # V, on the plateau
LEAST_H = (SPREAD - WINDOW) * CAPACITY / BLEED_A
OWN = (0.0, 0.01)  # SOC good to 1 %, each cell with an error of its own
KINDS = (Topology.FLYBACK, Topology.SHUTTLE, Topology.MATRIX)
DELAYS_S, STEPS_A = (1.0, 2.0, 5.0, 10.0), (1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    measured: list[float]  # one per seed
    unit: str
    wanted: float | None = None  # at most; of a negative number its magnitude at least; None = nothing is wanted
    said: str = ""

    @property
    def worst(self) -> float:
        return min(self.measured) if self.wanted is not None and self.wanted < 0.0 else max(self.measured)

    @property
    def missed(self) -> bool:
        """Say whether it is worse than wanted; NaN is."""
        if self.wanted is None:
            return False
        return not (self.worst >= -self.wanted if self.wanted < 0.0 else self.worst <= self.wanted)

    def line(self) -> str:
        each = " · ".join(f"{x:.4g}" for x in self.measured)
        bound = "" if self.wanted is None else f"{'≥' if self.wanted < 0.0 else '≤'} {abs(self.wanted):g}"
        return f"{self.what:66s}{each:>24s} {self.unit:5s}{bound:>8s}{'  MISSED' if self.missed else ''}  {self.said}"


def drawn(rng: np.random.Generator) -> Floats:
    """Return SOC of each cell: the spread exactly as said."""
    x = rng.uniform(0.0, 1.0, CELLS)
    return np.asarray(0.5 + SPREAD * (x - x.min()) / (x.max() - x.min()))


def known(soc: Floats, sigma: float) -> Estimate:
    """Return an estimate; capacities are known."""
    full = np.full(CELLS, CAPACITY)
    return replace(
        _blank(), soc=soc, soc_sigma=np.full(CELLS, sigma), capacity_Ah=full, capacity_sigma_Ah=0.0 * full,
        voltage_model=np.full(CELLS, VOLTAGE),
    )  # fmt: skip


@cache
def _blank() -> Estimate:
    return start(config.load("home").config, 0).estimate


@cache
def _bled() -> Config:
    bare = site(1000.0 * BLEED_A, 0.0).config
    return replace(bare, balance=replace(bare.balance, share=np.ones(1)))  # no pause for measuring


def planned(seed: int, sigma: float) -> dict[str, float]:
    """Return hours of bleeding to a true spread of WINDOW by the programme (inf = not in a month), and Wh lost.

    sigma  of each cell by itself on the first day; a further look of that quality each day is averaged in
    """
    rng, soc, moved = np.random.default_rng(seed), drawn(np.random.default_rng(seed)), np.zeros(CELLS)
    error, days, now, ledger = np.zeros(CELLS), 0, 0.0, None
    while np.ptp(soc) > WINDOW + 1e-9 and now < GIVE_UP_S:
        if now >= days * DAY_S:
            error, days = error + sigma * rng.standard_normal(CELLS), days + 1
        estimate = known(soc + error / days, sigma / np.sqrt(days))
        ledger, plan, _ = programme.replan(_bled(), ledger, estimate, moved, np.full(1, 25.0), int(now * 1e9))
        chosen = plan.bleed_Ah > 0.0
        until = days * DAY_S if plan.expires_ns == NEVER else plan.expires_ns * 1e-9
        if chosen.any():  # not past the moment when the spread is reached
            until = min(until, now + max(float((np.ptp(soc) - WINDOW) * CAPACITY / BLEED_A * 3600.0), 1.0))
        bled = np.where(chosen, BLEED_A * (until - now) / 3600.0, 0.0)
        soc, moved, now = soc - bled / CAPACITY, moved - bled, until
    hours = now / 3600.0 if np.ptp(soc) <= WINDOW + 1e-9 else float("inf")
    return {"hours": hours, "lost_Wh": float(-moved.sum()) * VOLTAGE}


def active(seed: int, kind: Topology) -> dict[str, float]:
    """Return hours of the plans followed slot by slot and of the optimum, and what each loses.

    The optimum may use each converter both ways at once, which burns charge to be done sooner.
    """
    site = hardware(kind)
    soc, full = drawn(np.random.default_rng(seed)), np.full(CELLS, CAPACITY)
    best = transfer.least_time(transfer.hardware(site, 0, CELLS), soc, full, WINDOW)
    if best is None:
        raise RuntimeError(f"{kind.name}: the optimum was not found")
    before, now = soc.sum(), 0.0
    while np.ptp(soc) > WINDOW + 1e-6 and now < GIVE_UP_S:
        drives = converters.drives(site, known(soc, 0.0), goal=WINDOW)
        seconds = drives.slot_s
        soc = soc + into_cells(site, drives.move, np.full(CELLS, VOLTAGE)) * (seconds / 3600.0) / full
        now += seconds
    lost_Wh = float(before - soc.sum()) * CAPACITY * VOLTAGE
    return {"hours": now / 3600.0, "optimum_hours": best.seconds / 3600.0,
            "lost_Wh": lost_Wh, "optimum_lost_Wh": best.lost_Ah * VOLTAGE}  # fmt: skip


def site(bleed_mA: float, capacity_spread_pct: float) -> Site:
    """Return a site of such a pack at rest at half charge."""
    pack = {"name": "p", "cell": "lfp_280ah", "capacity_Ah": CAPACITY, "series": CELLS, "temperature_sensors": 4,
            "balancing": {"bleed_mA": bleed_mA}, "limits": {"charge_A": 50.0, "discharge_A": 50.0}}  # fmt: skip
    world = {"start_soc_pct": 50.0, "capacity_spread_pct": capacity_spread_pct, "load": {"kind": "rest"}}
    signals = ["cell_voltage", "temp_degC", "current", "string_voltage"]
    return build({"name": "balancing", "signals": signals, "pack": [pack], "simulation": world}, "balancing")


def passive_cycle(seed: int, sigma: tuple[float, float], longest_s: float) -> dict[str, float]:
    """Return the hours that the whole cycle takes, what is lost, and the spread in the end."""
    world = World(site(1000.0 * BLEED_A, 0.0), "dose", seed, SPREAD, sigma)
    while np.ptp(world.plant.truth.soc) > WINDOW and world.plant.time_s < longest_s:
        world.step()
    spread = float(np.ptp(world.plant.truth.soc))
    hours = world.plant.time_s / 3600.0 if spread <= WINDOW else float("inf")
    return {"hours": hours, "lost_Wh": float(world.plant.balanced_Wh.sum()), "spread_pct": 100.0 * spread,
            "faults": world.faults}  # fmt: skip


def active_cycle(seed: int, kind: Topology) -> dict[str, float]:
    """Return what a full cycle delivers without balancing, with doses and with these converters, Ah; gains in %."""
    none, dose, active = (World(site(200.0, 3.0), name, seed, 0.03, KNOWN).live(20.0, lambda _: None)
                          for name in ("none", "dose", kind.name.lower()))  # fmt: skip
    return {
        "none_Ah": none.delivered_Ah, "dose_Ah": dose.delivered_Ah, "active_Ah": active.delivered_Ah,
        "rise_pct": (active.delivered_Ah / none.delivered_Ah - 1.0) * 100.0,
        "more_pct": (active.delivered_Ah / dose.delivered_Ah - 1.0) * 100.0,
    }  # fmt: skip


@cache
def hardware(kind: Topology) -> Config:
    """Return a site of 16 cells with 2 A converters of this kind."""
    site = config.load("home").config
    return replace(site, balance=replace(site.balance, topology=np.full(1, kind, np.int8)))


def rows(seeds: int, only: str | None) -> list[Row]:
    """Run what is asked for."""
    numbers, found = range(1, seeds + 1), []

    def part(name: str) -> bool:
        return only in (None, name)

    def add(what: str, measured: list[float], unit: str, wanted: float | None = None, said: str = "") -> None:
        found.append(Row(what, measured, unit, wanted, said))
        sys.stderr.write(found[-1].line() + "\n")

    if part("plans"):
        for sigma in (0.0, 0.001, 0.0025, 0.005, 0.01):
            runs = [planned(seed, sigma) for seed in numbers]
            lost = max(run["lost_Wh"] for run in runs)
            wanted = 1.1 * LEAST_H if sigma <= KNOWN[1] else None
            add(f"plans: to 1 %, each cell by itself known to {100.0 * sigma:g} %, one look a day",
                [run["hours"] for run in runs], "h", wanted, f"{lost:.0f} Wh lost")  # fmt: skip
    if part("active"):
        for kind in KINDS:
            runs = [active(seed, kind) for seed in numbers]
            longer = [100.0 * (run["hours"] / run["optimum_hours"] - 1.0) for run in runs]
            hours = max(run["hours"] for run in runs)
            add(
                f"active: {kind.name.lower()} 2 A, longer than the linear programme", longer, "%", 5.0, f"{hours:.2f} h"
            )
    if part("swing"):
        machines = [swing.run(delay, step, keeps) for keeps in (True, False) for delay in DELAYS_S for step in STEPS_A]
        for keeps, name in ((True, "voltage and current"), (False, "current only")):
            mine = [100.0 * float(one.swing.max()) for one in machines if one.keeps_voltage == keeps]
            opened = sum(one.opened for one in machines if one.keeps_voltage == keeps)
            add(f"swing: CCL, {len(mine)} machines that follow {name}, worst", [max(mine)], "%", 5.0,
                f"of the rated current, {opened} openings")  # fmt: skip
    if part("cycle"):
        runs = [passive_cycle(seed, KNOWN, GIVE_UP_S) for seed in numbers]
        add("cycle: to 1 %, SOC known to 1 %, 0.1 % between cells", [run["hours"] for run in runs], "h", 1.1 * LEAST_H,
            f"least {LEAST_H:g} h; {max(run['lost_Wh'] for run in runs):.0f} Wh lost")  # fmt: skip
        runs = [passive_cycle(seed, OWN, WEEK_S) for seed in numbers]
        left = [run["spread_pct"] for run in runs]
        add("cycle: spread after a week at rest, 1 % of each cell's own", left, "%", None,
            f"of 5 %; {max(run['lost_Wh'] for run in runs):.0f} Wh lost")  # fmt: skip
    if part("usable"):
        runs = [active_cycle(seed, Topology.FLYBACK) for seed in numbers]
        add("usable: rises with 2 A flyback", [run["rise_pct"] for run in runs], "%", -2.0,
            ", ".join(f"{run['none_Ah']:.1f} → {run['active_Ah']:.1f} Ah" for run in runs))  # fmt: skip
        add("usable: 2 A flyback, more than doses", [run["more_pct"] for run in runs], "%", None,
            ", ".join(f"{run['dose_Ah']:.1f} → {run['active_Ah']:.1f} Ah" for run in runs))  # fmt: skip
    return found


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Balancing against what is wanted of it")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=("plans", "active", "swing", "cycle", "usable"))
    asked = parser.parse_args()
    found = rows(asked.seeds, asked.only)
    if asked.json:
        table = [{"what": r.what, "measured": r.measured, "unit": r.unit, "wanted": r.wanted, "missed": r.missed}
                 for r in found]  # fmt: skip
        print(json.dumps({"rows": table}))
    else:
        print("\n".join(row.line().rstrip() for row in found))
    return int(any(row.missed for row in found))


if __name__ == "__main__":
    sys.exit(main())
