"""SiteFile and cell files → model.Config: every limit resolved per string, every signal present or absent.

A site may narrow what a cell allows, never widen it: the narrower of both is taken where narrowing has a meaning, and
widening is refused with the key. Currents are multiplied by the parallel cells, voltages stay per cell. A `capacity_Ah`
far from the file's is another size of the same cell: resistance and estimators go with it, current limits only down.
"""

import hashlib
from dataclasses import fields, is_dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cellarer import __version__
from cellarer.cells import Cell
from cellarer.config.climate import climate
from cellarer.config.error import ConfigError
from cellarer.config.rows import compile_rows, read_rows
from cellarer.config.schema import DeviceFile, PackFile, SiteFile
from cellarer.model.config import (
    SENSOR_SHARE,
    Authority,
    BalanceTable,
    Config,
    LimitTable,
    Sensing,
    Switchgear,
    SwitchTable,
    Topology,
)
from cellarer.model.layout import Layout, layout
from cellarer.model.quantities import BY_NAME, SIGNALS

Floats = NDArray[np.float64]

RISE_DEBOUNCE_S = 60.0  # s: tail current must last; a passing cloud is shorter (Sleeper85/esphome-jk-bms-can#35)
SAG_SHARE = 0.05  # of the end-of-charge voltage, and at least the spread that the cell file warns of
FROZEN_V = 0.015  # V: fifteen steps of a 1 mV measurement
SUM_SHARE, SUM_FLOOR_V = 0.01, 0.25  # sum of cells: 1 % of full scale (GB/T 38661), at least 0.25 V
PRECHARGE_V = 1.0  # V that link and string may differ by (foxBMS), at least what two such channels may
SAME_SHARE = 0.15  # capacities so far from the file's are the same cell, aged or well made (own estimate)
REFILL = 1.2  # of the precondition current: beyond what a charger's regulation and a current sensor may be off
JOINTS, JOINTS_PER_CELL = 3.0, 0.03  # what joints of a string may have, in resistances of one cell (as commissioning)
OPEN_SHARE, OPEN_FLOOR_A = 0.005, 0.5  # A on an open string: 0.5 % of rated, at least 0.5 A
DIFFERENCE_SHARE, DIFFERENCE_FLOOR_A = 0.03, 5.0  # 3 % of full scale or 5 A
IDLE_SHARE, IDLE_FLOOR_A = 0.003, 0.02  # currents below this share of rated, or below the floor, count as rest


def compile_site(site: SiteFile, cells: list[Cell], file: str) -> Config:
    """Return the compiled site. cells: one Cell per pack of the file. Raises ConfigError."""
    packs = [(pack, cell) for pack, cell in zip(site.pack, cells, strict=True) for _ in range(pack.strings)]
    place = layout(
        [p.series for p, _ in packs], [p.temperature_sensors for p, _ in packs], [p.strings for p in site.pack]
    )
    sensing = sensed(site, site.device, place, file, "device", site.signals or [])
    models, kind = _models(packs)
    series = np.array([p.series for p, _ in packs])
    parallel = np.array([p.parallel for p, _ in packs])
    owner = place.string_of_cell
    capacity = np.array([p.capacity_Ah or c.model.capacity_Ah * p.parallel for p, c in packs])
    size = np.array([size_of(p, c) for p, c in packs])
    limits = _limits(packs, file)
    thresholds = _thresholds(packs, limits)
    cell_ohm = np.array([_ohm(c) for _, c in packs]) / size
    gear = np.array([p.switchgear.kind for p, _ in packs])
    sensors = np.array([p.temperature_sensors for p, _ in packs])
    facts = {
        "switchgear": gear != "none", "neighbours": series > 1, "sensors": sensors > 1, "shared": gear == "contactors",
    }  # fmt: skip
    facts |= {"many_sensors": sensors > 2}
    facts |= {"bleeders": np.array([p.balancing.bleed_mA > 0 for p, _ in packs])}
    facts |= {"converters": np.array([p.balancing.topology != "none" for p, _ in packs])}
    facts |= {name: np.array([getattr(p, name) for p, _ in packs]) for name in ("heater", "cooler")}
    config = Config(
        site=site.name,
        version=__version__,
        hash="",
        layout=place,
        pack_names=tuple(p.name for p in site.pack),
        bus_of_pack=_buses(site, file),
        series=series,
        parallel=parallel,
        size=size,
        cell_kind=kind[owner],
        models=models,
        cell_limits=tuple({c.model.name: c.limits for _, c in packs}.values()),
        capacity_Ah=capacity[owner],
        cell_ohm=cell_ohm[owner],
        sensing=sensing,
        faults=compile_rows(read_rows(), place, sensing, facts, thresholds),
        switch=_switch(site, packs, place, sensing),
        limits=limits,
        balance=_balance(packs),
        cycle_ns=round(site.cycle_ms * 1e6),
        estimate_ns=round(site.estimate_ms * 1e6),
        power_ns=round(site.power_ms * 1e6),
        idle_A=_idle_A(limits),
        recording=not site.device and bool((gear == "none").all()),
        needs_confirmation=any(p.switchgear.kind != "none" for p in site.pack),
        heater=np.array([p.heater for p in site.pack]),
        cooler=np.array([p.cooler for p in site.pack]),
        climate=climate(site, cells),
    )
    return replace(config, hash=fingerprint(config))


def sensed(
    site: SiteFile, devices: list[DeviceFile], place: Layout, file: str, called: str, everywhere: list[str]
) -> Sensing:
    """Mark the signals that these devices deliver, and those named for the whole site. Raises ConfigError.

    called   the key of the devices in the file
    """
    n = place.size["signal"]
    age = np.concatenate([np.full(place.size[q.axis], q.max_age_s * 1e9) for q in SIGNALS]).astype(np.int64)
    present = np.zeros(n, bool)
    for name in everywhere:
        _known(name, file, "signals")
        present[place.where[name]] = True
    first_string = np.cumsum([0] + [p.strings for p in site.pack])
    for number, device in enumerate(devices, 1):
        key = f"{called}[{number}]"
        if device.pack > len(site.pack) or device.string > site.pack[device.pack - 1].strings:
            raise ConfigError(file, f"{key}.pack/string", (device.pack, device.string), "a pack and string of the file")
        string = int(first_string[device.pack - 1]) + device.string - 1
        spans = _spans(place, device.pack - 1, string)
        for name in device.signals or []:
            axis = _known(name, file, f"{key}.signals")
            first, count = 1, spans[axis][1]
            if axis in ("cell", "temp"):
                first = device.first_cell if axis == "cell" else device.first_temperature
                count = device.cells if axis == "cell" else device.temperatures
                if first + count - 1 > spans[axis][1]:
                    raise ConfigError(file, f"{key}.{axis}s", first + count - 1, f"at most {spans[axis][1]}")
            at = place.where[name].start + spans[axis][0] + first - 1
            if present[at : at + count].any() and not everywhere:
                raise ConfigError(file, f"{key}.signals", name, "each signal from one device only")
            present[at : at + count] = True
            if device.max_age_ms:
                age[at : at + count] = round(device.max_age_ms * 1e6)
    low = np.concatenate([np.full(place.size[q.axis], q.low) for q in SIGNALS])
    high = np.concatenate([np.full(place.size[q.axis], q.high) for q in SIGNALS])
    return Sensing(present, age, low, high)


def _buses(site: SiteFile, file: str) -> np.ndarray:
    """Return the DC bus of each pack, (pack,), from 0; packs of one bus stand together."""
    buses = np.array([p.bus for p in site.pack]) - 1
    for number, step in enumerate(np.diff(buses, prepend=0), 1):
        if step not in (0, 1) or (number == 1 and step):
            allowed = "1 for the first pack, then the bus of the pack before or the next number"
            raise ConfigError(file, f"pack[{number}].bus", int(buses[number - 1]) + 1, allowed)
    return buses


def _spans(place: Layout, pack: int, string: int) -> dict[str, tuple[int, int]]:
    """Return axis → (first, count) of what belongs to this string or pack."""
    cells = np.flatnonzero(place.string_of_cell == string)
    temps = np.flatnonzero(place.string_of_temp == string)
    return {
        "cell": (int(cells[0]), cells.size),
        "temp": (int(temps[0]) if temps.size else 0, temps.size),
        "string": (string, 1),
        "pack": (pack, 1),
    }


def _known(name: str, file: str, key: str) -> str:
    if name not in BY_NAME:
        raise ConfigError(file, key, name, f"one of {', '.join(BY_NAME)}")
    return BY_NAME[name].axis


def _models(packs: list[tuple[PackFile, Cell]]) -> tuple[tuple, np.ndarray]:  # type: ignore[type-arg]
    names = list(dict.fromkeys(c.model.name for _, c in packs))
    models = {c.model.name: c.model for _, c in packs}
    return tuple(models[n] for n in names), np.array([names.index(c.model.name) for _, c in packs])


def size_of(pack: PackFile, cell: Cell) -> float:
    """Return how many cells of the file side by side a series group is worth.

    An aged cell, or a fresh one, is the same cell; a capacity further off is another size of its kind.
    """
    share = (pack.capacity_Ah or 0.0) / (cell.model.capacity_Ah * pack.parallel)
    return pack.parallel * (share if share > 0.0 and abs(share - 1.0) > SAME_SHARE else 1.0)


def bears(pack: PackFile, cell: Cell) -> float:
    """Return how many times the currents of its cell file a series group may have: a site may narrow, never widen."""
    return min(size_of(pack, cell), float(pack.parallel))


def _ohm(cell: Cell) -> float:
    """Return the 10 s resistance at 25 degC and 50 %, ohm."""
    m = cell.model
    row, middle = int(np.abs(m.temp_degC - 25.0).argmin()), m.r0.shape[1] // 2
    return float(m.r0[row, middle] + m.r1[row, middle] * (1 - np.exp(-10.0 / m.tau1[row])))


def _limits(packs: list[tuple[PackFile, Cell]], file: str) -> LimitTable:
    """Resolve limits per string; a site value that would widen is refused."""

    def narrow(key: str, given: float | None, own: float, sign: float) -> float:
        if given is None:
            return own
        if sign * given > sign * own:
            raise ConfigError(file, f"pack.limits.{key}", given, f"{'at most' if sign > 0 else 'at least'} {own:g}")
        return given

    def of(pick: object) -> Floats:
        return np.array([pick(p.limits, c.limits, bears(p, c)) for p, c in packs], dtype=np.float64)  # type: ignore[operator]

    points = max(c.limits.charge_map_degC.size for _, c in packs)

    def padded(x: Floats) -> Floats:
        return np.concatenate([x, np.full(points - x.size, x[-1])])

    def degC(key: str, side: int, own: float, given: tuple[float, float] | None) -> float:
        return narrow(key, given[side] if given else None, own, 1.0 if side else -1.0)

    return LimitTable(
        rated_charge_A=of(lambda s, c, p: narrow("charge_A", s.charge_A, c.charge_A[0] * p, 1.0)),
        rated_discharge_A=of(lambda s, c, p: narrow("discharge_A", s.discharge_A, c.discharge_A[0] * p, 1.0)),
        charge_V=of(lambda s, c, p: c.voltage_max[0]),
        charge_zero_V=of(lambda s, c, p: c.voltage_max[1]),
        discharge_V=of(lambda s, c, p: c.voltage_min[0]),
        discharge_zero_V=of(lambda s, c, p: c.voltage_min[1]),
        charge_warm_degC=of(lambda s, c, p: degC("charge_degC", 1, c.charge_temp_max_degC[0], s.charge_degC)),
        charge_hot_degC=of(lambda s, c, p: c.charge_temp_max_degC[1]),
        charge_cool_degC=of(lambda s, c, p: degC("charge_degC", 0, c.charge_temp_min_degC[0], s.charge_degC)),
        charge_cold_degC=of(lambda s, c, p: c.charge_temp_min_degC[1]),
        discharge_warm_degC=of(
            lambda s, c, p: degC("discharge_degC", 1, c.discharge_temp_max_degC[0], s.discharge_degC)
        ),
        discharge_hot_degC=of(lambda s, c, p: c.discharge_temp_max_degC[1]),
        discharge_cool_degC=of(
            lambda s, c, p: degC("discharge_degC", 0, c.discharge_temp_min_degC[0], s.discharge_degC)
        ),
        discharge_cold_degC=of(lambda s, c, p: c.discharge_temp_min_degC[1]),
        map_degC=np.array([padded(c.limits.charge_map_degC) for _, c in packs]),
        map_A=np.array([padded(c.limits.charge_map_A) * bears(p, c) for p, c in packs]),
        wire_A=_wiring(packs, "continuous_A", np.inf),
        wire_s=_wiring(packs, "tau_s", 1.0),
        rise_per_s=of(lambda s, c, p: s.rise_pct_per_s / 100.0),
        end_of_charge_V=of(lambda s, c, p: narrow("end_of_charge_V", s.end_of_charge_V, c.charge_voltage, 1.0)),
        float_V=of(lambda s, c, p: min(c.float_voltage, s.end_of_charge_V or np.inf)),
        end_of_discharge_V=of(
            lambda s, c, p: narrow("end_of_discharge_V", s.end_of_discharge_V, float(c.voltage_min[1]), -1.0)
        ),
        deep_V=of(lambda s, c, p: c.deep_discharge),
        tail_A=of(lambda s, c, p: c.tail_A * p),
        tail_ns=np.full(len(packs), round(RISE_DEBOUNCE_S * 1e9)),
        precondition_V=of(lambda s, c, p: c.precondition_below),
        precondition_A=of(lambda s, c, p: c.precondition_A * p),
        rebulk_soc=of(lambda s, c, p: c.rebulk_soc),
        pre_alarm_soc=of(lambda s, c, p: s.pre_alarm_soc_pct / 100.0),
        floor_soc=of(lambda s, c, p: c.floor_soc),
        sag_V=of(lambda s, c, p: max(SAG_SHARE * c.charge_voltage, c.spread)),
    )


def _idle_A(limits: LimitTable) -> Floats:
    return np.maximum(IDLE_FLOOR_A, IDLE_SHARE * limits.rated_discharge_A)


def _wiring(packs: list[tuple[PackFile, Cell]], key: str, absent: float) -> Floats:
    """Return a value of every element of wiring, (element, string)."""
    most = max(len(p.wiring) for p, _ in packs)
    rows = [[getattr(w, key) for w in p.wiring] + [absent] * (most - len(p.wiring)) for p, _ in packs]
    return np.array(rows, dtype=np.float64).reshape(len(packs), most).T


def _thresholds(packs: list[tuple[PackFile, Cell]], limits: LimitTable) -> dict[str, Floats]:
    """Name every threshold that a fault row may ask for: (3, string) levels or (string,)."""

    times = np.array([bears(p, c) for p, c in packs])

    def levels(name: str, grows: bool = False) -> Floats:
        stack = np.array([getattr(c.limits, name) for _, c in packs], dtype=np.float64).T
        return stack * times if grows else stack

    def one(name: str) -> Floats:
        return np.array([getattr(c.limits, name) for _, c in packs], dtype=np.float64)

    rated = np.maximum(limits.rated_charge_A, limits.rated_discharge_A)
    full = _full_V(packs)
    temps = [f"{way}_temp_{end}_degC" for way in ("charge", "discharge") for end in ("max", "min")]
    named = ["voltage_max", "voltage_min", *temps]
    return (
        {name: levels(name) for name in named}
        | {name: levels(name, grows=True) for name in ("charge_A", "discharge_A")}
        | {name: one(name) for name in ("deep_discharge", "spread", "spread_temp_K")}
        | {
            "sum_V": np.maximum(SUM_FLOOR_V, SUM_SHARE * full),
            "frozen_V": np.full(len(packs), FROZEN_V),
            "refill_A": np.maximum(REFILL * limits.precondition_A, OPEN_SHARE * rated + OPEN_FLOOR_A),
            "draw_A": np.maximum(SENSOR_SHARE * rated, _idle_A(limits)),
            "open_A": np.maximum(OPEN_FLOOR_A, OPEN_SHARE * rated),
            "joints_ohm": np.array([(JOINTS + JOINTS_PER_CELL * p.series) * _ohm(c) / size_of(p, c) for p, c in packs]),
            "current_difference_A": np.maximum(DIFFERENCE_FLOOR_A, DIFFERENCE_SHARE * rated),
        }
    )


def _full_V(packs: list[tuple[PackFile, Cell]]) -> Floats:
    """Return the full scale of each string's voltage, V."""
    return np.array([p.series * c.limits.voltage_max[2] for p, c in packs])


def _switch(site: SiteFile, packs: list[tuple[PackFile, Cell]], place: Layout, sensing: Sensing) -> SwitchTable:
    gear = [p.switchgear for p, _ in packs]
    full = _full_V(packs)
    first = np.cumsum([0] + [p.strings for p in site.pack])
    authority = np.full(len(packs), Authority.SWITCH if not site.device else Authority.OBSERVE, np.int8)
    for device in site.device:
        at = int(first[device.pack - 1]) + device.string - 1
        authority[at] = max(authority[at], Authority[device.authority.upper()])

    def of(name: str, scale: float = 1.0) -> Floats:
        values = [getattr(g, name) for g in gear]
        return np.array([np.nan if v is None else v * scale for v in values], dtype=np.float64)

    def ns(name: str) -> np.ndarray:
        return of(name, 1e6).astype(np.int64)

    return SwitchTable(
        kind=np.array([Switchgear[g.kind.upper()] for g in gear], np.int8),
        authority=authority,
        has_link_voltage=np.array([g.link_voltage for g in gear]) & sensing.present[place.where["link_voltage"]],
        has_feedback=np.array([g.feedback for g in gear]) & sensing.present[place.where["feedback_plus"]],
        settle_ns=ns("settle_ms"),
        precharge_ns=ns("precharge_ms"),
        precharge_V=np.where(
            np.isnan(of("precharge_V")), np.maximum(PRECHARGE_V, 2.0 * SUM_SHARE * full), of("precharge_V")
        ),
        precharge_A=of("precharge_A"),
        tries=np.array([g.tries for g in gear]),
        pause_ns=ns("pause_ms"),
        resistor_ohm=of("resistor_ohm"),
        resistor_max_J=of("resistor_max_J"),
        resistor_W=of("resistor_W"),
        break_A=of("break_A"),
        open_delay_ns=ns("open_delay_ms"),
        life_A=of("life_A"),
    )


def _balance(packs: list[tuple[PackFile, Cell]]) -> BalanceTable:
    """Bleeding by voltage begins near the end of charge, where voltage says something about imbalance."""
    return BalanceTable(
        bleed_A=np.array([p.balancing.bleed_mA / 1e3 for p, _ in packs]),
        start_V=np.array([p.balancing.start_V or c.limits.charge_voltage - 0.05 for p, c in packs]),
        start_spread_V=np.array([p.balancing.start_mV / 1e3 for p, _ in packs]),
        stop_spread_V=np.array([p.balancing.stop_mV / 1e3 for p, _ in packs]),
        max_degC=np.array([p.balancing.max_degC for p, _ in packs]),
        channels=np.array([p.balancing.channels or p.series for p, _ in packs]),
        alternate=np.array([p.balancing.alternate for p, _ in packs]),
        share=np.array([p.balancing.measure_share for p, _ in packs]),
        board_K_per_W=np.array([p.balancing.board_K_per_W for p, _ in packs]),
        minimum_soc=np.array([max(p.balancing.minimum_soc_pct / 100.0, c.limits.floor_soc) for p, c in packs]),
        topology=np.array([Topology[p.balancing.topology.upper()] for p, _ in packs], np.int8),
        move_A=np.array([p.balancing.move_A for p, _ in packs]),
        efficiency=np.array([p.balancing.efficiency_pct / 100.0 for p, _ in packs]),
        module=np.array([p.balancing.module_cells for p, _ in packs]),
        converters=np.array([p.balancing.converters or p.series for p, _ in packs]),
    )


def fingerprint(value: object) -> str:
    """Return the SHA-256 of a compiled value: names, numbers and texts in the order of the fields."""
    digest = hashlib.sha256()

    def feed(item: object) -> None:
        if isinstance(item, np.ndarray):
            digest.update(f"{item.dtype.str}{item.shape}".encode() + np.ascontiguousarray(item).tobytes())
        elif is_dataclass(item):
            for f in fields(item):
                digest.update(f.name.encode())
                feed(getattr(item, f.name))
        elif isinstance(item, dict):
            digest.update(repr(sorted(item.items(), key=str)).encode())
        elif isinstance(item, list | tuple):
            for part in item:
                feed(part)
        else:
            digest.update(repr(item).encode())

    feed(value)
    return digest.hexdigest()
