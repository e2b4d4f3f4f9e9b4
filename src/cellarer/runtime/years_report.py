"""What years of a site have to say: figures for JSON, a table of policies, and the report with its plots."""

import numpy as np
from numpy.typing import NDArray

from cellarer.runtime.plots import SERIES, Line, Panel, draw
from cellarer.runtime.report import Figure, Report, Section
from cellarer.runtime.years import FIELDS, Life, Lives

Floats = NDArray[np.float64]

END_PCT = 80.0  # of the capacity when new: where a life in a car or a house usually counts as over
HEADER = (
    "policy", "left_pct", "weakest_pct", "years_to_80", "resistance_pct", "calendar_pct", "cycles_pct", "delivered_MWh",
    "lost_pct", "balancing_h", "soc_mean_pct",
)  # fmt: skip
PANELS = (
    ("Capacity left, %", (("mean of the cells", "measured", "capacity_pct"), ("weakest cell", "high", "weakest_pct"),
                          ("usable of the string", "truth", "usable_pct")), 100.0),
    ("Capacity lost, %", (("by time", "model", "calendar_loss_pct"), ("by use", "low", "cycle_loss_pct")), 0.0),
    ("Resistance, % of new", (("mean of the cells", "measured", "resistance_pct"),), 100.0),
    ("Energy lost and used in a year, kWh", (("in cells, contacts, bleeders", "high", "lost_kWh"),
                                         ("heater, flow, chiller", "model", "climate_kWh")), np.nan),
    ("Balancing in a year, h", (("some cell is bled", "low", "balancing_h"),), np.nan),
    ("Temperature of the cells, °C", (("highest", "high", "temp_high_degC"), ("mean", "measured", "temp_mean_degC")),
     np.nan),
)  # fmt: skip


def years_to_end(life: Life) -> float:
    """Return when the mean capacity falls below END_PCT, years; NaN = not in the time looked at."""
    left = np.concatenate([[100.0], life.series["capacity_pct"]])
    below = np.flatnonzero(left < END_PCT)
    if not below.size:
        return float("nan")
    k = int(below[0])
    return float(k - 1 + (left[k - 1] - END_PCT) / (left[k - 1] - left[k]))


def band(result: Lives, life: Life) -> tuple[Floats, Floats] | None:
    """Return capacity left, %, if the cells lose as little and as much as others saw, (year,); None = nobody compared.

    No published law has a knee: the line of a law alone would be too good for the worst lives that were measured.
    """
    if result.compared is None:
        return None
    lost = 100.0 - life.series["capacity_pct"]
    least, most = (np.maximum(100.0 - factor * lost, 0.0) for factor in result.compared)
    return least, most


def doubt(result: Lives) -> str:
    """Say how far the law is to be believed, in a sentence."""
    if result.compared is None:
        return "No other life was compared with this law; measured lives of other cells ran up to 12 times faster."
    least, most = result.compared
    return f"Others saw {least:g} to {most:g} times this loss ({result.compared_source}); the law knows no knee."


def seen_by_others(result: Lives, life: Life) -> str:
    """Return the band at the end in words, empty where nobody compared."""
    sides = band(result, life)
    return "" if sides is None else f"{sides[1][-1]:.0f} to {sides[0][-1]:.0f} % left by what others saw. "


def figures(result: Lives) -> dict[str, object]:
    """Return the numbers, units spelled: what `--json` prints."""
    policies = [
        {
            "policy": life.policy.name,
            "meaning": life.policy.meaning,
            "years_to_80_pct": years_to_end(life),
            "capacity_band_pct": [side.tolist() for side in band(result, life) or ()],
            **{name: life.series[name].tolist() for name in FIELDS},
            "cells_pct": life.cells_pct.tolist(),
        }
        for life in result.lives
    ]
    return {
        "site": result.site.file.name,
        "seed": result.seed,
        "years": result.years,
        "days_per_year": result.days,
        "steps": result.steps,
        "policies": policies,
        "law": result.source,
        "beyond": list(result.beyond),
        "doubt": doubt(result),
        "hash": result.hash,
    }


def summary(result: Lives, life: Life) -> dict[str, str]:
    """Return one life in a few lines for people."""
    s, end = life.series, years_to_end(life)
    return {
        "capacity": f"{s['capacity_pct'][-1]:.1f} % left, weakest cell {s['weakest_pct'][-1]:.1f} %",
        "usable": f"{s['usable_pct'][-1]:.1f} % of the string as new",
        "lost": f"{s['calendar_loss_pct'][-1]:.1f} % by time, {s['cycle_loss_pct'][-1]:.1f} % by use",
        "80 % after": "not in this time" if np.isnan(end) else f"{end:.1f} years",
        "resistance": f"{s['resistance_pct'][-1]:.0f} % of new",
        "cycles": f"{s['cycles'][-1]:.0f} equivalent full cycles",
        "energy": f"{s['discharged_kWh'].sum() / 1e3:.1f} MWh delivered, {s['lost_kWh'].sum() / 1e3:.2f} MWh lost",
        "balancing": f"{s['balancing_h'].sum():.0f} h",
        "temperature": f"{s['temp_mean_degC'].mean():.1f} degC on average, {s['temp_high_degC'].max():.1f} at most",
        "doubt": seen_by_others(result, life) + doubt(result),
    }


def table(result: Lives) -> list[tuple[str, ...]]:
    """Return a row per policy, columns as HEADER."""
    return [_row(life) for life in result.lives]


def _row(life: Life) -> tuple[str, ...]:
    s, end = life.series, years_to_end(life)
    charged_kWh = float(s["charged_kWh"].sum()) or np.nan
    return (
        life.policy.name, f"{s['capacity_pct'][-1]:.1f}", f"{s['weakest_pct'][-1]:.1f}",
        f"> {s['capacity_pct'].size}" if np.isnan(end) else f"{end:.1f}", f"{s['resistance_pct'][-1]:.0f}",
        f"{s['calendar_loss_pct'][-1]:.1f}", f"{s['cycle_loss_pct'][-1]:.1f}",
        f"{s['discharged_kWh'].sum() / 1e3:.1f}", f"{s['lost_kWh'].sum() / charged_kWh * 100.0:.1f}",
        f"{s['balancing_h'].sum():.0f}", f"{s['soc_mean_pct'].mean():.0f}",
    )  # fmt: skip


def columns(result: Lives) -> dict[str, Floats | list[str]]:
    """Return a table for a file: a row per policy and year."""
    years = np.concatenate([np.arange(1.0, life.series["cycles"].size + 1.0) for life in result.lives])
    names = [life.policy.name for life in result.lives for _ in life.series["cycles"]]
    fields = {name: np.concatenate([life.series[name] for life in result.lives]) for name in FIELDS}
    return {"policy": names, "year": years, **fields}


def write_up(result: Lives) -> Report:
    """Return the report of one life or of several."""
    first, many = result.lives[0], len(result.lives) > 1
    s = first.series
    year = np.arange(s["cycles"].size + 1.0)
    sections = [
        Section(f"Policy: {first.policy.name}", first.policy.meaning, svg=draw(year, _panels(result, first), "years"))
    ]
    if many:
        meant = "; ".join(f"{life.policy.name}: {life.policy.meaning}" for life in result.lives)
        sections.insert(0, Section("Policies", meant, svg=draw(year, _against(result), "years"), header=HEADER,
                                   rows=table(result)))  # fmt: skip
    rows = [(str(k + 1), *(f"{s[name][k]:.4g}" for name in FIELDS)) for k in range(s["cycles"].size)]
    sections.append(Section("Year by year", f"Policy: {first.policy.name}", header=("year", *FIELDS), rows=rows))
    sections.append(Section("Settings", header=("what", "value"), rows=[
        ("seed", str(result.seed)), ("days simulated of each year", str(result.days)), ("steps", str(result.steps)),
        ("ageing law", result.source), ("result", result.hash)]))  # fmt: skip
    return Report(
        title=f"{result.site.file.name} over {result.years:g} years",
        subtitle=f"{result.site.file.note or 'a site file'}; representative days through the full cycle",
        figures=_cards(result, first),
        warnings=[doubt(result), *(f"Beyond its tests: {text}." for text in result.beyond)],
        sections=sections,
    )


def _cards(result: Lives, life: Life) -> list[Figure]:
    s, end, sides = life.series, years_to_end(life), band(result, life)
    seen = "not compared" if sides is None else f"{sides[1][-1]:.0f} to {sides[0][-1]:.0f} %"
    return [
        Figure("Capacity left", f"{s['capacity_pct'][-1]:.1f} %", f"weakest cell {s['weakest_pct'][-1]:.1f} %"),
        Figure("Left by what others saw", seen, "least and most"),
        Figure("Usable", f"{s['usable_pct'][-1]:.1f} %", "of the string as new"),
        Figure("Lost by time", f"{s['calendar_loss_pct'][-1]:.1f} %", f"by use {s['cycle_loss_pct'][-1]:.1f} %"),
        Figure("80 % after", "later" if np.isnan(end) else f"{end:.1f} years", "of the capacity when new"),
        Figure("Resistance", f"{s['resistance_pct'][-1]:.0f} %", "of new"),
        Figure("Cycles", f"{s['cycles'][-1]:.0f}", "equivalent full ones"),
        Figure("Delivered", f"{s['discharged_kWh'].sum() / 1e3:.1f} MWh", f"{s['lost_kWh'].sum() / 1e3:.2f} MWh lost"),
        Figure("Balancing", f"{s['balancing_h'].sum():.0f} h", "some cell is bled"),
        Figure("Temperature", f"{s['temp_mean_degC'].mean():.1f} °C", f"at most {s['temp_high_degC'].max():.1f} °C"),
    ]


def _panels(result: Lives, life: Life) -> list[Panel]:
    """Draw one life; year 0 is the new pack where that is known."""
    panels = [
        Panel(title, tuple(Line(label, colour, _from_new(life, name, new)) for label, colour, name in lines))
        for title, lines, new in PANELS
    ]
    sides = [np.concatenate([[100.0], side]) for side in band(result, life) or ()]
    seen = [Line(f"others, {what}", "quiet", side, dashed=True)
            for what, side in zip(("least", "most"), sides, strict=False)]  # fmt: skip
    top = panels[0].content
    assert isinstance(top, tuple)
    return [Panel(panels[0].title, (*top, *seen)), *panels[1:]]


def _against(result: Lives) -> list[Panel]:
    lines, energy = [], []
    for n, life in enumerate(result.lives):
        colour, dashed = f"series {n % len(SERIES)}", n >= len(SERIES)
        lines.append(Line(life.policy.name, colour, _from_new(life, "capacity_pct", 100.0), dashed=dashed))
        delivered = np.concatenate([[0.0], np.cumsum(life.series["discharged_kWh"]) / 1e3])
        energy.append(Line(life.policy.name, colour, delivered, dashed=dashed))
    return [Panel("Capacity left, %", tuple(lines)), Panel("Energy delivered so far, MWh", tuple(energy))]


def _from_new(life: Life, name: str, new: float) -> Floats:
    return np.concatenate([[new], life.series[name]])
