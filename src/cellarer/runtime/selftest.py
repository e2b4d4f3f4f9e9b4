"""The self-test before the first closing: what is wrong with this program, this computer or this configuration.

The configuration in memory is the published file, every limit lies within the caps of its cells and the hard caps of
their chemistry, and the compiled passes say on fixed vectors what their NumPy forms say: a broken cache, another
processor or a flipped bit shows here.
Whatever is found keeps everything open until the site is started again; opening asks nobody.
"""

import hashlib
from dataclasses import fields, is_dataclass, replace

import numpy as np

from cellarer.board import tree
from cellarer.core import estimate as estimators
from cellarer.core.cycle import start
from cellarer.core.decide import protect
from cellarer.core.decide.signals import Look
from cellarer.core.measure import measure
from cellarer.core.slow import compiled
from cellarer.model.cell import CellLimits
from cellarer.model.config import Config
from cellarer.model.values import Level, Sample

SECOND_NS = 1_000_000_000
STEP_RELATIVE = 1e-9  # what the forms of the filter may differ by in one step (docs/design.md)
# row's signal → caps of the cell file, hard cap of the chemistry, and whether they grow with the cells in parallel
CAPS: dict[str, tuple[tuple[str, ...], str, bool]] = {
    "cell_high": (("cap_voltage_max",), "", False),
    "cell_low": (("cap_voltage_min",), "", False),
    "temp_high": (("cap_temp_max_degC",), "discharge_temp_max_degC", False),
    "temp_high_charging": (("cap_temp_max_degC", "cap_charge_temp_max_degC"), "charge_temp_max_degC", False),
    "temp_low_charging": (("cap_charge_temp_min_degC",), "charge_temp_min_degC", False),
    "temp_low_discharging": (("cap_discharge_temp_min_degC",), "discharge_temp_min_degC", False),
    "charge_current": (("cap_charge_A",), "charge_A", True),
    "discharge_current": (("cap_discharge_A",), "discharge_A", True),
}


def self_test(config: Config, config_sha256: str) -> list[str]:
    """Return what is wrong, one line each; nothing = all is well."""
    found = [] if hashlib.sha256(tree.encode(config)).hexdigest() == config_sha256 else [
        "the configuration in memory is not the published one"
    ]  # fmt: skip
    return found + beyond_caps(config) + kernels_differ(config)


def beyond_caps(config: Config) -> list[str]:
    """Return the opening rows that trip beyond a cap of cell or chemistry; one that no cell file gives binds none."""
    table, found = config.faults, []
    for row, signal in enumerate(table.signal):
        if signal not in CAPS or table.level[row] < Level.OPEN:
            continue
        for string in np.flatnonzero(table.enabled[row]).tolist():
            kind, sign = config.cell_kind[config.layout.first_cell[string]], float(table.sign[row])
            trip, grows = (
                sign * float(table.trip[row, string]),
                min(config.size[string], config.parallel[string]) if CAPS[signal][2] else 1,
            )
            for whose, cap in _caps(config.cell_limits[kind], config.models[kind].chemistry, signal):
                if sign * cap * grows < sign * trip:
                    said = f"trips at {trip:g}, beyond {whose} {cap * grows:g}"
                    found.append(f"string {string + 1}: {table.name[row]} {said}")
    return found


def _caps(limits: CellLimits, chemistry: str, signal: str) -> list[tuple[str, float]]:
    own, hard, _ = CAPS[signal]
    caps = [("the cell's cap", float(getattr(limits, name))) for name in own]
    return caps + ([(f"the hard cap of {chemistry}", float(getattr(limits.hard, hard)))] if hard else [])


def kernels_differ(config: Config) -> list[str]:
    """Return which compiled passes do not say what their NumPy forms say, on three fixed samples of this site."""
    found: list[str] = []
    rng = np.random.default_rng(20260101)
    low, high, size = config.sensing.low, config.sensing.high, config.layout.size
    state, now_ns = start(config, SECOND_NS), 2 * SECOND_NS
    none = np.zeros(size["string"], bool)
    for _ in range(3):
        time_ns = now_ns - np.where(rng.random(size["signal"]) < 0.8, 0, rng.integers(0, SECOND_NS, size["signal"]))
        value = np.where(rng.random(size["signal"]) < 0.05, np.nan, rng.uniform(low - 0.1, high + 0.1))
        both = [
            measure(config, state.watch, Sample(value, time_ns), state.current_zero, now_ns, p) for p in (False, True)
        ]
        found += [] if _same(*both) else ["measure"]
        look = Look(config, *both[1], state.watch, state, now_ns)
        judged = [protect.protect(look, state.faults, none, none, plain)[0] for plain in (False, True)]
        found += [] if _same(*judged) else ["protect"]
        state, now_ns = replace(state, faults=judged[1], time_ns=now_ns), now_ns + SECOND_NS // 50
    return [f"compiled pass {name} differs from its NumPy form" for name in dict.fromkeys(found + _filter(config, rng))]


def _filter(config: Config, rng: np.random.Generator) -> list[str]:
    """Return whether three steps of the filter differ."""
    tables, n = compiled(config), config.layout.size["cell"]
    forms = [estimators.init(tables, np.full(n, 0.5), np.full(n, 0.1), config.capacity_Ah)] * 2
    ohm = config.cell_ohm
    for _ in range(3):
        amps = rng.uniform(-1.0, 1.0, n) * config.capacity_Ah
        volts = np.array([m.ocv[-1, 128] for m in config.models])[config.cell_kind] + ohm * amps
        forms = [estimators.step(tables, form, volts, amps, np.full(n, 25.0), 0.1, plain=plain)
                 for form, plain in zip(forms, (False, True), strict=True)]  # fmt: skip
    fast, plain = (form.buffer for form in forms)
    return [] if np.allclose(fast, plain, rtol=10 * STEP_RELATIVE, atol=1e-12, equal_nan=True) else ["filter"]


def _same(a: object, b: object) -> bool:
    """Return whether two trees of arrays are equal to the last bit, NaN like NaN."""
    if is_dataclass(a) and is_dataclass(b):
        return all(_same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, tuple) and isinstance(b, tuple):
        return all(_same(x, y) for x, y in zip(a, b, strict=True))
    x, y = np.asarray(a), np.asarray(b)
    return x.dtype == y.dtype and bool(np.array_equal(x, y, equal_nan=x.dtype.kind == "f"))
