"""Contradictions inside one cell file: shapes, order of tables and levels, limits against curve, charge policy.

Each check yields (key, value, allowed); the loader turns the first one into a CellError. The charge ends inside
the limits, the limits inside the data-sheet cap, and both inside what the OCV table says this cell is.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise

from cellarer.cells.hard import hard_caps
from cellarer.cells.schema import CellFile

Finding = tuple[str, object, str]

# A limit this far outside the OCV table belongs to another chemistry. Loaded end voltages may lie beyond the table.
OCV_MARGIN_V = 0.9


def rising(values: Sequence[float]) -> bool:
    """Say whether every value is larger than the one before."""
    return all(a < b for a, b in pairwise(values))


def not_falling(values: Sequence[float]) -> bool:
    """Say whether no value is smaller than the one before."""
    return all(a <= b for a, b in pairwise(values))


def shapes(cell: CellFile) -> Iterator[Finding]:
    """Tables have the sizes that their axes say, and axes rise."""
    for name, section, curves in (
        ("ocv", cell.ocv, ("ocv_V", "hysteresis_mV")),
        ("resistance", cell.resistance, ("r0_mohm", "r1_mohm", "r2_mohm")),
    ):
        for axis in ("temperature_degC", "soc_pct"):
            values = getattr(section, axis)
            if not rising(values):
                yield f"{name}.{axis}", values, "rising values"
        if section.soc_pct[0] != 0.0 or section.soc_pct[-1] != 100.0:
            yield f"{name}.soc_pct", [section.soc_pct[0], section.soc_pct[-1]], "from 0 to 100"
        rows, columns = len(section.temperature_degC), len(section.soc_pct)
        for curve in curves:
            table = getattr(section, curve)
            if len(table) != rows or any(len(row) != columns for row in table):
                yield f"{name}.{curve}", [len(row) for row in table], f"{rows} rows of {columns} values"
    for key in ("tau1_s", "tau2_s", "exchange_A", "sigma_mV"):
        values = getattr(cell.resistance, key)
        if len(values) != len(cell.resistance.temperature_degC):
            yield f"resistance.{key}", values, f"{len(cell.resistance.temperature_degC)} values, one per temperature"
    at, doubt = cell.resistance.doubt_degC or [], cell.resistance.doubt_pct or []
    if not rising(at):
        yield "resistance.doubt_degC", at, "rising values"
    if len(doubt) != len(at):
        yield "resistance.doubt_pct", doubt, f"{len(at)} values, one per doubt_degC"
    if len(cell.thermal.entropy_soc_pct) != len(cell.thermal.entropy_mV_per_K):
        yield "thermal.entropy_mV_per_K", cell.thermal.entropy_mV_per_K, "as many values as entropy_soc_pct"
    if not rising(cell.thermal.entropy_soc_pct):
        yield "thermal.entropy_soc_pct", cell.thermal.entropy_soc_pct, "rising values"


def ageing(cell: CellFile) -> Iterator[Finding]:
    """Tables of the ageing law have the sizes that their axes say, and axes rise."""
    law = cell.ageing
    if law is None:
        return
    axes = ("temperature_degC", "calendar_soc_pct", "depth_pct", "rate_per_h")
    for axis in (*axes, "measured_degC"):
        if not rising(getattr(law, axis)):
            yield f"ageing.{axis}", getattr(law, axis), "rising values"
    for curve, axis in (("temperature_factor", axes[0]), ("depth_factor", axes[2]), ("rate_factor", axes[3])):
        count = len(getattr(law, axis))
        if len(getattr(law, curve)) != count:
            yield f"ageing.{curve}", getattr(law, curve), f"{count} values, as many as {axis}"
    rows, columns = len(law.temperature_degC), len(law.calendar_soc_pct)
    if [len(row) for row in law.calendar_pct_per_year] != [columns] * rows:
        yield "ageing.calendar_pct_per_year", law.calendar_pct_per_year, f"{rows} rows of {columns} values"


def curves(cell: CellFile) -> Iterator[Finding]:
    """OCV never falls with SOC; the slow time constant is the slower one; there is some resistance."""
    for temp_degC, row in zip(cell.ocv.temperature_degC, cell.ocv.ocv_V, strict=True):
        if not not_falling(row):
            yield f"ocv.ocv_V at {temp_degC:g} degC", row, "values that never fall with SOC"
    r = cell.resistance
    for temp_degC, tau1, tau2 in zip(r.temperature_degC, r.tau1_s, r.tau2_s, strict=True):
        if not tau1 < tau2:
            yield f"resistance.tau1_s at {temp_degC:g} degC", tau1, f"below tau2_s = {tau2:g}"
    for temp_degC, row in zip(r.temperature_degC, r.r0_mohm, strict=True):
        if not min(row) > 0.0:
            yield f"resistance.r0_mohm at {temp_degC:g} degC", row, "values above 0"
    if not 0.2 <= cell.capacity.capacity_Ah / cell.capacity.rated_Ah <= 1.5:
        allowed = f"0.2 to 1.5 times rated_Ah = {cell.capacity.rated_Ah:g}"
        yield "capacity.capacity_Ah", cell.capacity.capacity_Ah, allowed


def levels(cell: CellFile) -> Iterator[Finding]:
    """Operating, recommended and maximum are ordered, and the windows are not empty."""
    limits = cell.limits
    for key in (
        "voltage_max_V", "charge_temperature_max_degC", "discharge_temperature_max_degC", "charge_A", "discharge_A",
    ):  # fmt: skip
        if not not_falling(getattr(limits, key)):
            yield f"limits.{key}", getattr(limits, key), "operating <= recommended <= maximum"
    for key in ("voltage_min_V", "charge_temperature_min_degC", "discharge_temperature_min_degC"):
        if not not_falling(getattr(limits, key)[::-1]):
            yield f"limits.{key}", getattr(limits, key), "operating >= recommended >= maximum"
    for low, high in (
        ("voltage_min_V", "voltage_max_V"),
        ("charge_temperature_min_degC", "charge_temperature_max_degC"),
        ("discharge_temperature_min_degC", "discharge_temperature_max_degC"),
    ):
        lowest, highest = getattr(limits, low)[0], getattr(limits, high)[0]
        if not lowest < highest:
            yield f"limits.{low}", getattr(limits, low), f"operating level below {high}[0] = {highest:g}"
    if min(limits.charge_A + limits.discharge_A) <= 0.0:
        yield "limits.charge_A, limits.discharge_A", limits.charge_A, "currents above 0"


def limits_against_curve(cell: CellFile) -> Iterator[Finding]:
    """Limits, caps and the OCV table describe the same cell."""
    limits = cell.limits
    lowest, highest = min(row[0] for row in cell.ocv.ocv_V), max(row[-1] for row in cell.ocv.ocv_V)
    if not highest - OCV_MARGIN_V <= limits.voltage_max_V[0] <= limits.voltage_max_V[2] <= highest + OCV_MARGIN_V:
        allowed = f"{highest - OCV_MARGIN_V:.2f} to {highest + OCV_MARGIN_V:.2f} V (OCV when full is {highest:.3f} V)"
        yield "limits.voltage_max_V", limits.voltage_max_V, allowed
    if not lowest - OCV_MARGIN_V <= limits.voltage_min_V[2] <= limits.voltage_min_V[0] <= lowest + OCV_MARGIN_V:
        allowed = f"{lowest - OCV_MARGIN_V:.2f} to {lowest + OCV_MARGIN_V:.2f} V (OCV when empty is {lowest:.3f} V)"
        yield "limits.voltage_min_V", limits.voltage_min_V, allowed
    if not limits.voltage_max_V[2] <= limits.cap_voltage_max_V:
        allowed = f"at or above voltage_max_V[2] = {limits.voltage_max_V[2]:g}"
        yield "limits.cap_voltage_max_V", limits.cap_voltage_max_V, allowed
    if not limits.cap_voltage_min_V <= limits.voltage_min_V[2]:
        allowed = f"at or below voltage_min_V[2] = {limits.voltage_min_V[2]:g}"
        yield "limits.cap_voltage_min_V", limits.cap_voltage_min_V, allowed
    for key, sign, maximum, _ in _capped(cell):
        cap = getattr(limits, f"cap_{key}")
        if cap is not None and not sign * cap >= sign * maximum:
            yield f"limits.cap_{key}", cap, f"at or {'above' if sign > 0 else 'below'} the maximum level, {maximum:g}"
    if not limits.deep_discharge_V < limits.voltage_min_V[1]:
        allowed = f"below voltage_min_V[1] = {limits.voltage_min_V[1]:g}"
        yield "limits.deep_discharge_V", limits.deep_discharge_V, allowed


def _capped(cell: CellFile) -> list[tuple[str, int, float, float]]:
    """Return what has caps: (key, 1 = the most or −1 = the least, its maximum level, hard cap of the chemistry)."""
    limits, hard = cell.limits, hard_caps(cell.chemistry, cell.capacity.rated_Ah)
    hottest = max(limits.charge_temperature_max_degC[2], limits.discharge_temperature_max_degC[2])
    return [
        ("temperature_max_degC", 1, hottest, hard.discharge_temp_max_degC),
        ("charge_temperature_max_degC", 1, limits.charge_temperature_max_degC[2], hard.charge_temp_max_degC),
        ("charge_temperature_min_degC", -1, limits.charge_temperature_min_degC[2], hard.charge_temp_min_degC),
        ("discharge_temperature_min_degC", -1, limits.discharge_temperature_min_degC[2], hard.discharge_temp_min_degC),
        ("charge_A", 1, limits.charge_A[2], hard.charge_A),
        ("discharge_A", 1, limits.discharge_A[2], hard.discharge_A),
    ]


def within_hard_caps(cell: CellFile) -> Iterator[Finding]:
    """Neither a maximum level nor a cap of the data sheet lies beyond what any cell of this chemistry may bear."""
    for key, sign, maximum, hard in _capped(cell):
        cap = getattr(cell.limits, f"cap_{key}")
        for name, value in ((key, maximum), (f"cap_{key}", cap)):
            if value is not None and not sign * value <= sign * hard:
                name = "discharge_temperature_max_degC" if name == "temperature_max_degC" else name
                yield (
                    f"limits.{name}",
                    value,
                    f"at {'most' if sign > 0 else 'least'} {hard:g}: hard cap of {cell.chemistry}",
                )


def charge_against_limits(cell: CellFile) -> Iterator[Finding]:
    """The charge ends inside the limits and asks for no more than they give, nor where charging is forbidden."""
    charge, limits = cell.charge, cell.limits
    if not rising(charge.map_degC):
        yield "charge.map_degC", charge.map_degC, "rising values"
    if len(charge.map_degC) != len(charge.map_A):
        yield "charge.map_A", charge.map_A, f"{len(charge.map_degC)} values, one per map_degC"
    if not max(charge.map_A) <= limits.charge_A[1]:
        yield "charge.map_A", max(charge.map_A), f"at most limits.charge_A[1] = {limits.charge_A[1]:g}"
    for temp_degC, current in zip(charge.map_degC, charge.map_A, strict=False):
        inside = limits.charge_temperature_min_degC[2] <= temp_degC <= limits.charge_temperature_max_degC[2]
        if current > 0.0 and not inside:
            yield f"charge.map_A at {temp_degC:g} degC", current, "0 outside the maximum charge temperatures"
    if not charge.voltage_V <= limits.voltage_max_V[1]:
        yield "charge.voltage_V", charge.voltage_V, f"at most limits.voltage_max_V[1] = {limits.voltage_max_V[1]:g}"
    if charge.float_V is not None and not charge.float_V <= charge.voltage_V:
        yield "charge.float_V", charge.float_V, f"at most charge.voltage_V = {charge.voltage_V:g}"
    if not charge.tail_A < limits.charge_A[1]:
        yield "charge.tail_A", charge.tail_A, f"below limits.charge_A[1] = {limits.charge_A[1]:g}"
    if not limits.deep_discharge_V <= charge.precondition_below_V < charge.voltage_V:
        allowed = f"from limits.deep_discharge_V = {limits.deep_discharge_V:g} to below charge.voltage_V"
        yield "charge.precondition_below_V", charge.precondition_below_V, allowed
    if not charge.precondition_A <= limits.charge_A[0]:
        yield "charge.precondition_A", charge.precondition_A, f"at most limits.charge_A[0] = {limits.charge_A[0]:g}"
    if not charge.floor_soc_pct < charge.rebulk_soc_pct:
        yield "charge.rebulk_soc_pct", charge.rebulk_soc_pct, f"above floor_soc_pct = {charge.floor_soc_pct:g}"


def findings(cell: CellFile) -> Iterator[Finding]:
    """Yield what contradicts itself, shapes first, because the other checks rely on them."""
    found = False
    for finding in chain(shapes(cell), ageing(cell)):
        found = True
        yield finding
    if found:
        return
    for check in (curves, levels, limits_against_curve, within_hard_caps, charge_against_limits):
        yield from check(cell)
