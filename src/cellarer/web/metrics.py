"""The newest snapshot for Prometheus. A stale one gives only its age: an old value must not look like a present one."""

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

View = Mapping[str, object]

# name, field, meaning
PACK = (
    ("cellarer_soc_percent", "soc_pct", "state of charge"),
    ("cellarer_soc_sigma_percent", "soc_sigma_pct", "standard deviation of the state of charge"),
    ("cellarer_soh_percent", "soh_pct", "capacity against rated"),
    ("cellarer_voltage_volts", "voltage_V", "pack voltage"),
    ("cellarer_current_amperes", "current_A", "pack current, positive charges"),
    ("cellarer_power_watts", "power_W", "pack power, positive charges"),
    ("cellarer_energy_watthours", "energy_Wh", "energy to the first cell's lower limit"),
)
STRING = (
    ("cellarer_string_current_amperes", "current_A", "string current, positive charges"),
    ("cellarer_string_voltage_volts", "voltage_V", "string voltage"),
    ("cellarer_cell_lowest_volts", "lowest_V", "lowest cell voltage"),
    ("cellarer_cell_highest_volts", "highest_V", "highest cell voltage"),
    ("cellarer_contactor_wear_percent", "wear_pct", "share of contact life used"),
)
LIFETIME = (
    ("cellarer_charged_kilowatthours", "charged_kWh", "energy ever charged"),
    ("cellarer_discharged_kilowatthours", "discharged_kWh", "energy ever discharged"),
    ("cellarer_hot_minutes", "hot_min", "time above the temperature at which limits fall"),
    ("cellarer_cold_minutes", "cold_min", "time below the temperature at which limits fall"),
    ("cellarer_deep_discharges", "deep_discharges", "times below the lowest cell voltage"),
    ("cellarer_overcharges", "overcharges", "times above the highest cell voltage"),
    ("cellarer_openings", "openings", "openings of the switchgear"),
    ("cellarer_openings_under_load", "openings_under_load", "openings above the rating of the contacts"),
)
LIMITS = (
    ("cellarer_charge_limit_amperes", "charge_A", "charge current allowed"),
    ("cellarer_discharge_limit_amperes", "discharge_A", "discharge current allowed"),
)


def metrics(view: View | None, age_s: float | None, *, stale: bool, recorder_ok: bool | None) -> bytes:
    """Return the metrics page."""
    registry = CollectorRegistry()
    registry.register(_Page(view if not stale else None, age_s, recorder_ok))
    return generate_latest(registry)


class _Page(Collector):
    def __init__(self, view: View | None, age_s: float | None, recorder_ok: bool | None) -> None:
        self._view, self._age_s, self._recorder_ok = view, age_s, recorder_ok

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("cellarer_up", "1: the newest snapshot is fresh", float(self._view is not None))
        if self._age_s is not None:
            yield GaugeMetricFamily("cellarer_snapshot_age_seconds", "age of the newest snapshot", self._age_s)
        if self._recorder_ok is not None:
            yield GaugeMetricFamily("cellarer_recorder_up", "1: history is being recorded", float(self._recorder_ok))
        if self._view is not None:
            yield CounterMetricFamily("cellarer_cycles", "cycles since the start", _value(self._view.get("cycle")))
            yield CounterMetricFamily(
                "cellarer_overruns", "cycles that came too late", _value(self._view.get("overruns"))
            )
            yield from _packs(_list(self._view.get("packs")))


def _packs(packs: list[View]) -> Iterator[Metric]:
    strings = [
        (str(pack["name"]), str(s), string) for pack in packs for s, string in enumerate(_list(pack.get("strings")), 1)
    ]
    for name, field, meaning in PACK:
        yield _family(name, meaning, ("pack",), [((str(pack["name"]),), pack.get(field)) for pack in packs])
    for name, field, meaning in STRING:
        rows = [((pack, s), string.get(field)) for pack, s, string in strings]
        yield _family(name, meaning, ("pack", "string"), rows)
    for name, field, meaning in LIMITS:
        rows = [((pack, s), _dict(string.get("limits")).get(field)) for pack, s, string in strings]
        yield _family(name, meaning, ("pack", "string"), rows)
    for name, field, meaning in LIFETIME:
        rows = [((pack, s), _dict(string.get("lifetime")).get(field)) for pack, s, string in strings]
        yield _family(name, meaning, ("pack", "string"), rows)
    closed = [((pack, s), float(string.get("phase") == "closed")) for pack, s, string in strings]
    yield _family("cellarer_closed", "1: the switchgear is closed", ("pack", "string"), closed)
    for name, where, field, meaning in (
        ("cellarer_cell_volts", "cell", "voltage_V", "cell voltage"),
        ("cellarer_cell_soc_percent", "cell", "soc_pct", "state of charge of a cell"),
    ):
        cells = [
            ((pack, s, str(i)), value)
            for pack, s, string in strings
            for i, value in enumerate(_values(_dict(string.get("cells")).get(field)), 1)
        ]
        yield _family(name, meaning, ("pack", "string", where), cells)
    temps = [
        ((pack, s, str(i)), value)
        for pack, s, string in strings
        for i, value in enumerate(_values(string.get("temps_degC")), 1)
    ]
    yield _family("cellarer_temperature_celsius", "temperature", ("pack", "string", "sensor"), temps)
    faults = {
        (pack, s, str(fault["name"]), str(fault["level"])): 1.0
        for pack, s, string in strings
        for fault in _list(string.get("faults"))
    }
    yield _family(
        "cellarer_fault", "1: this fault is active", ("pack", "string", "name", "level"), list(faults.items())
    )


def _family(name: str, meaning: str, labels: Sequence[str], rows: Sequence[tuple[Sequence[str], object]]) -> Metric:
    """Return a metric; unknown values are left out."""
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for where, value in rows:
        if isinstance(value, int | float):
            family.add_metric(where, float(value))
    return family


def _value(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _values(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _list(value: object) -> list[View]:
    return [item for item in _values(value) if isinstance(item, dict)]


def _dict(value: object) -> View:
    return value if isinstance(value, dict) else {}
