"""Which series a site records, taken from the view of a snapshot (board/view.py).

Names say where and what, counted from 1, unit last: `pack1.soc_pct`, `pack1.string2.current_A`,
`pack1.string1.cell007_voltage_V`, `pack1.string1.limit_charge_A`. What the view does not have is not a channel;
what it has as null is unknown (NaN).
"""

from collections.abc import Iterator, Mapping, Sequence

NAN = float("nan")

# A site with more cells than this records only lowest and highest of each string: 1 Hz of every cell would cost an SD
# card more than 8 kB/s.
ALL_CELLS = 2000

PACK = (
    "current_A", "voltage_V", "power_W", "soc_pct", "soc_sigma_pct", "soh_pct", "energy_Wh",
)  # fmt: skip
PACK_LIMITS = ("charge_A", "discharge_A", "charge_V", "discharge_V")
PACK_OUTPUTS = ("heater_pct", "pump_pct")
STRING = (
    "current_A", "voltage_V", "link_voltage_V", "power_W", "soc_pct", "soc_sigma_pct", "usable_Ah",
    "lowest_V", "highest_V", "power_charge_10s_W", "power_discharge_10s_W", "charged_Ah", "discharged_Ah", "wear_pct",
)  # fmt: skip
STRING_LIMITS = ("charge_A", "discharge_A", "charge_V", "discharge_V")
CELL = ("voltage_V", "soc_pct", "soc_sigma_pct", "bleeding", "capacity_Ah", "resistance_pct")

View = Mapping[str, object]


def channels(view: View) -> dict[str, float]:
    """Return every channel of a view with its value now, NaN where unknown."""
    packs = _views(view.get("packs"))
    every_cell = sum(_cells(string) for pack in packs for string in _views(pack.get("strings"))) <= ALL_CELLS
    found: dict[str, float] = {}
    for p, pack in enumerate(packs, 1):
        found.update(_named(f"pack{p}.", pack, PACK))
        found.update(_named(f"pack{p}.limit_", _view(pack.get("limits")), PACK_LIMITS))
        found.update(_named(f"pack{p}.", _view(pack.get("outputs")), PACK_OUTPUTS))
        for s, string in enumerate(_views(pack.get("strings")), 1):
            found.update(_string(f"pack{p}.string{s}.", string, every_cell=every_cell))
    return found


def _string(prefix: str, string: View, *, every_cell: bool) -> Iterator[tuple[str, float]]:
    yield from _named(prefix, string, STRING)
    yield from _named(prefix + "limit_", _view(string.get("limits")), STRING_LIMITS)
    if "phase" in string:
        yield prefix + "closed", float(string["phase"] == "closed")
    for i, value in enumerate(_values(string.get("temps_degC")), 1):
        yield f"{prefix}temp{i:02d}_degC", number(value)
    if every_cell:
        cells = _view(string.get("cells"))
        for name in CELL:
            for i, value in enumerate(_values(cells.get(name)), 1):
                yield f"{prefix}cell{i:03d}_{name}", number(value)


def _named(prefix: str, view: View, names: Sequence[str]) -> Iterator[tuple[str, float]]:
    return ((prefix + name, number(view[name])) for name in names if name in view)


def _cells(string: View) -> int:
    return len(_values(_view(string.get("cells")).get("voltage_V")))


def number(value: object) -> float:
    """Return a value of a view as a float: null and anything that is no number is NaN, true is 1."""
    return float(value) if isinstance(value, int | float) else NAN


def _view(value: object) -> View:
    return value if isinstance(value, Mapping) else {}


def _values(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()


def _views(value: object) -> list[View]:
    return [_view(item) for item in _values(value)]
