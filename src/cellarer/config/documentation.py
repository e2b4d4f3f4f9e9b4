"""docs/faults.md from the fault table: what is watched, when it trips, what it does and how soon; see scripts/docs."""

from cellarer.config.rows import LEVELS, RowFile, read_catalogue, read_rows

HEAD = """# Faults

Every fault that Cellarer knows, from `src/cellarer/config/faults.toml`; this page is written by `scripts/docs`.
A row is on where everything that it needs is measured; `cellarer check SITE` says what is therefore not protected, and
`cellarer check SITE --timing` compares the worst case of this site with the budget.

- **Trips** beyond the threshold, for at least *debounce* and as many fresh samples as stated; a repeated sample counts
  once. A sample that is not beyond takes one back, with its time: what is beyond more often than not trips at whatever
  rhythm it comes. A threshold by name is a number of the cell or site file; three levels make three rows: operating,
  recommended, maximum.
- **Good again** when every element is known and this far inside the threshold. Unknown never clears. What looks at a
  flow keeps its count for 2 s after the flow stops: bursts of a current count as one. What looks at a current against
  a limit keeps it until heat beyond the limit is paid back (core/excess.py): pulses count by their root mean square;
  budgets are those of a current that lasts.
- **Level**: inform < warn < derate (limits are multiplied) < ramp (limits fall to zero, then the path opens) < open
  (now).
- **Latch**: *self* ends by itself, *reset* needs the cause gone and an authorised reset, *service* is permanent,
  survives restarts and needs the service key.
- **Blocks**: the path whose limits fall and which opens. **Budget**: from onset to reaction, the whole chain included.

Contactors of a pair share both paths. The way back from a cell that is too low or too high is therefore named:

- **Too low**, above the deep-discharge voltage: while a charger is present the pair may be closed to be charged only;
  control and guard hold the discharge limit at zero, and a discharge opens it within half a second
  (`refill_discharged`, which a person resets). So does a loss of half of the voltage above deep discharge
  while no charge comes, be its current too small to be seen (`refill_lost`). Below the deep-discharge voltage nothing
  closes without service.
- **Too high**: bleeders go on while the pair is open, and bleed what is above its recommended level whatever the other
  cells have; without bleeders that cell must be discharged by hand. As soon as it is 20 mV below its maximum, an
  authorised reset ends the latch. The pair may then be closed and discharged: above the recommended level the charge
  limit stays zero.
"""
FACT = 0.5  # threshold of signals that are 0 or 1
COLUMNS = (
    "Fault", "Watches", "Trips", "Debounce", "Good again", "Level", "Latch", "Blocks", "Budget", "Code", "Source",
)  # fmt: skip
THRESHOLDS = {
    "voltage_max": "highest cell voltage",
    "voltage_min": "lowest cell voltage",
    "deep_discharge": "deep-discharge voltage",
    "charge_A": "charge current",
    "discharge_A": "discharge current",
    "charge_temp_max_degC": "highest charge temperature",
    "charge_temp_min_degC": "lowest charge temperature",
    "discharge_temp_max_degC": "highest discharge temperature",
    "discharge_temp_min_degC": "lowest discharge temperature",
    "refill_A": "precondition current with margin",
    "spread": "voltage spread",
    "spread_temp_K": "temperature spread",
    "sum_V": "allowed difference of sums",
    "frozen_V": "fifteen steps of 1 mV",
    "draw_A": "2 % of rated, what a current sensor may be wrong",
    "open_A": "current that counts on an open string",
    "joints_ohm": "what joints may have",
    "current_difference_A": "allowed difference of two sensors",
}


def render(rows: list[RowFile] | None = None) -> str:
    """Return docs/faults.md for these rows; None = the shipped table."""
    shown = read_rows() if rows is None else rows
    lines = [HEAD, f"{len(shown)} faults.", "", _line(COLUMNS), _line(["---"] * len(COLUMNS))]
    lines += [_line(cells(row)) for row in shown]
    lines += ["", "## What people are told", "", _line(("Fault", "Text", "Needs")), _line(["---"] * 3)]
    lines += [_line((f"`{row.name}`", row.text, ", ".join(map(_needs, row.need)))) for row in shown]
    lines += ["", *catalogue(shown)]
    return "\n".join(lines) + "\n"


KINDS = """## What a battery system can suffer, and who answers

From `src/cellarer/config/catalogue.toml` and the `covers` of each row. *Else* answers beside the rows, or where no row
does; *not seen* is what a supervisory BMS with common sensors cannot know.
"""


def catalogue(shown: list[RowFile]) -> list[str]:
    """Return the lines that set the rows against the catalogue of faults."""
    lines = [KINDS, _line(("", "Fault", "Rows", "Else", "Not seen")), _line(["---"] * 5)]
    for kind in read_catalogue():
        rows = ", ".join(f"`{row.name}`" for row in shown if kind.id in row.covers)
        lines.append(_line((kind.id, kind.text, rows or "none", kind.else_by or "-", kind.unseen or "-")))
    return lines


def cells(row: RowFile) -> tuple[str, ...]:
    """Return the cells of one row of the table, in the order of COLUMNS."""
    given = row.above if row.above is not None else row.below
    side = "above" if row.above is not None else "below"
    level = row.level if isinstance(row.level, str) else ", ".join(f"{n}: {at}" for n, at in zip(LEVELS, row.level))
    if row.level == "derate":
        level += f" to {row.derate:.0%}"
    trips, good = f"{side} {THRESHOLDS.get(str(given), given)}", f"{_inside(row)}"
    if given == FACT and "{limit" not in row.text:
        trips, good = "yes", "no"
    elif row.signal.endswith("_silence"):
        trips, good = f"{given:g} s beyond its maximum age", "heard again"
    return (
        f"`{row.name}`",
        row.signal.replace("_", " "),
        trips,
        f"{row.debounce_s:g} s, {row.samples} sample{'s' * (row.samples > 1)}",
        f"{good} for {row.release_s:g} s",
        level,
        row.latch,
        row.path,
        f"{row.budget_s:g} s",
        row.dtc,
        row.source,
    )


def _inside(row: RowFile) -> str:
    if isinstance(row.release, float):
        return f"{row.release:g} inside"
    return ", ".join(f"{n}: {by:g} inside" for n, by in zip(LEVELS, row.release))


def _needs(need: str) -> str:
    return " or ".join(f"`{name}`" for name in need.split("|"))


def _line(parts: tuple[str, ...] | list[str]) -> str:
    return "| " + " | ".join(part.replace("|", "\\|") for part in parts) + " |"
