"""What planning ahead saves in heating and cooling: two packs that are alike, one by rules, one by plan, in one run.

    python benchmarks/thermal.py [--days N] [--json] [--report OUT.html]

Site `ev` with one departure a day, asked to be full by then; outdoors at −10 ± 4 degC and at 40 ± 8 degC. The same
`step()`, weather, trips and noise; only the plan of `runtime/planner.py` is withheld from the first pack. Equal limits:
what the limits allowed during the trips is printed beside the energy. The first day teaches the weather and does not
count.

Claims, exit status 1 if one is missed: on either day the plan takes a quarter less energy at least; what the limits
allow on the mean of the trips, either way, and what is delivered are no more than 1 % lower than by rules.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from claims import verdict
from numpy.typing import NDArray

from cellarer import config
from cellarer.config.schema import YearFile
from cellarer.model.values import Plan, State
from cellarer.runtime import report as reports
from cellarer.runtime import years
from cellarer.runtime.planner import Planner
from cellarer.runtime.plots import Line, Panel, draw
from cellarer.runtime.policies import Policy
from cellarer.runtime.report import Figure, Report, Section
from cellarer.sim.heat import USERS

Floats = NDArray[np.float64]

ROWS = ("time_s", "temp_degC", "heater", "pump", "charge_A", "discharge_A", "trip", "current_A", "ambient_degC")
SENSORS = 16.0  # of the site
READY = Policy("ready", "full by the departure", just_in_time=True)
SAVED, LOWER = 0.25, 0.01  # 1: least share saved, most that limits and energy delivered may be lower
# Day: mean and half swing of the surroundings in degC, hour of the departure
DAYS = {"cold": (-10.0, 4.0, 7.5), "hot": (40.0, 8.0, 14.0)}


def withheld(plans: Callable[[State], Plan]) -> Callable[[State], Plan]:
    """Give the plan to the second pack only."""
    kept: dict[int, Plan] = {}

    def say(state: State) -> Plan:
        plan = plans(state)
        if id(plan) not in kept:
            kept.clear()
            no = np.array([np.nan, 0.0])
            kept[id(plan)] = replace(plan, preheat_degC=plan.preheat_degC + no, precool_degC=plan.precool_degC + no)
        return kept[id(plan)]

    return say


def run(day: str, days: int, seed: int) -> dict[str, Floats]:
    """Run one kind of day. Returns series (row, pack) and sums (pack,)."""
    mean, swing, hour = DAYS[day]
    site = config.load("ev")
    made = years.world(site, seed, (READY, READY), np.array([180.0]))
    made.mean_degC, made.year, made.start_hour = mean, YearFile(daily_K=swing), hour
    start = made.ambient()[0] if day == "cold" else mean
    heat = made.plant.heat
    heat.core_degC, heat.surface_degC = np.full_like(heat.core_degC, start), np.full_like(heat.core_degC, start)
    heat.node_degC = np.full_like(heat.node_degC, start)
    rows: list[Floats] = []
    plans, layout = withheld(Planner(made.config)), made.config.layout

    def note(state: State) -> Plan:
        temps = layout.over_temps(np.add, state.seen.value[layout.where["temp_degC"]], 0.0) / SENSORS
        asks = np.full(2, made.plant.load.facts(made.plant.time_s)[0] and made.plant.current[0] < 0.0)
        rows.append(np.stack([np.full(2, made.plant.time_s), temps, state.command.heater, state.command.pump,
                              state.window.charge_A, state.window.discharge_A, asks, made.plant.current,
                              made.ambient()]))  # fmt: skip
        return plans(state)

    made.plans = note
    made.live(years.DAY_S, lambda: None)
    made.ageing.stress = made.ageing.begin()
    begin_J, begin_Wh, begin = heat.used_J.copy(), made.plant.through_Wh.copy(), len(rows)
    begin_fed = made.plant.fed_Wh.copy()
    made.live(days * years.DAY_S, lambda: None)
    made.ageing.take(days / years.YEAR_D)
    stack = np.array(rows[begin:])
    used = (heat.used_J - begin_J) / 3.6e6
    sums = {f"{user}_kWh": used[k] for k, user in enumerate(USERS)} | {"total_kWh": used.sum(axis=0)}
    sums["from_pack_kWh"] = (made.plant.fed_Wh - begin_fed) / 1e3
    sums["delivered_kWh"] = (made.plant.through_Wh - begin_Wh)[1] / 1e3 - sums["from_pack_kWh"]
    for name, loss in (("lost_capacity", made.ageing.loss), ("lost_by_time", made.ageing.calendar_loss),
                       ("lost_by_use", made.ageing.cycle_loss)):  # fmt: skip
        sums[f"{name}_ppm"] = loss.mean(axis=1) * 1e6
    series = {name: stack[:, k] for k, name in enumerate(ROWS)}
    trips = series["trip"] > 0.5
    for name in ("charge_A", "discharge_A"):
        sums[f"trip_{name}"] = np.array([series[name][trips[:, k], k].mean() for k in range(2)])
    flow = np.abs(series["current_A"]) * np.diff(series["time_s"], axis=0, append=series["time_s"][-1:])
    for name, there in (("", flow > 0.0), ("charging_", series["current_A"] > 1.0), ("trip_", trips)):
        sums[f"{name}use_degC"] = np.array(
            [np.average(series["temp_degC"][there[:, k], k], weights=flow[there[:, k], k]) for k in range(2)]
        )
    sums["rest_degC"] = np.array(
        [series["temp_degC"][np.abs(series["current_A"][:, k]) < 1.0, k].mean() for k in (0, 1)]
    )
    charging = series["current_A"] > 1.0
    sums["charging_A"] = np.array([series["current_A"][charging[:, k], k].mean() for k in range(2)])
    sums["temp_low_degC"], sums["temp_high_degC"] = series["temp_degC"].min(axis=0), series["temp_degC"].max(axis=0)
    return series | {f"sum_{name}": value for name, value in sums.items()}


def panels(found: dict[str, Floats]) -> list[Panel]:
    """Draw both packs."""

    def both(name: str, scale: float = 1.0) -> tuple[Line, ...]:
        return tuple(Line(who, colour, scale * found[name][:, k])
                     for k, (who, colour) in enumerate((("rules", "high"), ("plan", "measured"))))  # fmt: skip

    around = Line("surroundings", "quiet", found["ambient_degC"][:, 0], dashed=True)
    return [Panel("Temperature, °C", (*both("temp_degC"), around)), Panel("Heater, %", both("heater", 100.0)),
            Panel("Pump and chiller, %", both("pump", 100.0)), Panel("Discharge limit, A", both("discharge_A")),
            Panel("Charge limit, A", both("charge_A")), Panel("Current, A", both("current_A"))]  # fmt: skip


def claims(sums: dict[str, dict[str, list[float]]]) -> dict[str, bool]:
    """Return what is claimed of each day, and whether it holds; pairs are (by rules, by plan)."""
    said = {}
    for day, s in sums.items():
        saved = 1.0 - s["total_kWh"][1] / s["total_kWh"][0] if s["total_kWh"][0] else np.nan
        said[f"{day} day: {100 * saved:.1f} % of energy saved, at least {100 * SAVED:g}"] = saved >= SAVED
        for name in ("trip_charge_A", "trip_discharge_A", "delivered_kWh"):
            rules, plan = s[name]
            said[f"{day} day: {name} {plan:.2f} by plan, {rules:.2f} by rules, at most {100 * LOWER:g} % lower"] = (
                plan >= (1.0 - LOWER) * rules
            )
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=list(DAYS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--report", type=Path)
    given = parser.parse_args()
    found = {day: run(day, given.days, given.seed) for day in ([given.only] if given.only else DAYS)}
    sums = {
        day: {name[4:]: value.tolist() for name, value in f.items() if name.startswith("sum_")}
        for day, f in found.items()
    }
    if given.report:
        sections = [Section(f"{day} day", svg=draw(f["time_s"][:, 0], panels(f))) for day, f in found.items()]
        figures = [Figure(f"{day} day", f"{(1 - s['total_kWh'][1] / s['total_kWh'][0]) * 100:.0f} % saved",
                          f"{s['total_kWh'][0]:.2f} → {s['total_kWh'][1]:.2f} kWh")
                   for day, s in sums.items()]  # fmt: skip
        reports.write(given.report, Report("Heating and cooling ahead of time", "site ev", figures, (), sections))
    if given.json:
        sys.stdout.write(json.dumps(sums) + "\n")
        return verdict(claims(sums), quiet=True)
    for day, s in sums.items():
        sys.stdout.write(f"{day} day, {given.days} days\n")
        for name, (rules, plan) in s.items():
            sys.stdout.write(f"  {name:20s} rules {rules:10.3f}   plan {plan:10.3f}\n")
        sys.stdout.write(f"  energy saved         {(1 - s['total_kWh'][1] / s['total_kWh'][0]) * 100:.1f} %\n")
    return verdict(claims(sums))


if __name__ == "__main__":
    sys.exit(main())
