"""Every fault of the catalogue does something, to its target and to nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
import pytest
from tests.sim.world import close, plant, site

from cellarer.model.quantities import BY_NAME as SIGNALS
from cellarer.sim.catalogue import BY_NAME, FAULTS, SCALES
from cellarer.sim.faults import ON_OFF_S, RAMP_STEP_NS, RAMP_STEPS
from cellarer.sim.knobs import KNOBS
from cellarer.sim.plant import Plant, no_orders
from cellarer.sim.truth import Truth

CLASSES = (
    "S1 S2 S3 S4 S5 S6 S7 S8 S9 C1 C2 C3 C4 C5 C6 C7 C8 C9 C10 C11 A1 A2 A3 A4 A5 A6 I1 I2 T1 T2 X1 X2 X3 "
    "N1 N2 N3 N4 N5 N6 P1 P2 P3 P4 P5 P6 P7 P8 P9 G1"
)  # fmt: skip
ON_NS, PERIOD_NS = round(ON_OFF_S[0] * 1e9), round(sum(ON_OFF_S) * 1e9)
KNOB = {knob.name: knob for knob in KNOBS}
FETS = {
    "charge_switch_shorted",
    "charge_switch_stuck",
    "discharge_switch_shorted",
    "discharge_switch_stuck",
    "string_blocked",
}
CHARGING = {"charger_ignores_limits", "charge_switch_stuck", "discharge_switch_shorted"}
SIZES = {"current_saturated": 0.01}
WORLD = [fault.name for fault in FAULTS if fault.by == "world"]
SENSOR = [
    f.name for f in FAULTS if f.effects and all(KNOB[e.knob].axis == "signal" for e in f.effects) and f.by == "world"
]


@dataclass
class Run:
    """All readings and truths of a scenario."""

    readings: list[np.ndarray]
    times: list[np.ndarray]
    truths: list[Truth]


def scenario(name: str | None, kind: str, current: float, shape: str = "step") -> Run:
    """Close, load, bleed, heat and open two separate packs; the fault is in the first one, from 0.25 s on."""
    load = {"kind": "constant", "current_A": current, "delay_s": 0.0}
    balancing = {"bleed_mA": 200, "topology": "flyback"}
    place = site(kind=kind, packs=2, apart=True, parallel=2, load=load, heater=True, cooler=True, balancing=balancing)
    world = plant(place)
    if name:
        world.inject(name, string=0, cell=1, size=SIZES.get(name), start_s=0.25, shape=shape)
    orders = no_orders(world.config)
    orders.charge_A[:] = orders.discharge_A[:] = 5.0
    orders.charge_V[:] = 14.2
    orders.pump[:] = 0.5
    run = Run([], [], [])
    for step in range(40):
        now = step * 0.25
        orders.bleed[[1, 5]] = now >= 5.0
        orders.move[:, [1, 5]] = np.array([[0.0], [0.3]]) * (now >= 5.0)
        orders.heater[:] = float(now < 5.0)
        orders.minus[:] = 0.5 <= now < 8.0
        orders.precharge[:] = 0.75 <= now < 3.0
        orders.plus[:] = 2.75 <= now < 8.0
        orders.charge_switch[:] = orders.discharge_switch[:] = 0.5 <= now < 8.0
        if kind == "fets" and current > 0.0:
            orders.discharge_switch[:] = False
        if kind == "fets" and current < 0.0:
            orders.charge_switch[:] = False
        world.advance(0.25, orders)
        run.readings.append(world.sensors.value)
        run.times.append(world.sensors.time_s)
        run.truths.append(world.truth)
    return run


@lru_cache(maxsize=8)
def sound(kind: str, current: float) -> Run:
    return scenario(None, kind, current)


def both(name: str) -> tuple[Run, Run]:
    kind = "fets" if name in FETS else "contactors"
    current = 20.0 if name in CHARGING else -20.0
    return scenario(name, kind, current), sound(kind, current)


def differs(a: object, b: object) -> bool:
    return not np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)


def apart(a: np.ndarray, b: np.ndarray) -> bool:
    """Tell whether values differ by more than another division of time explains (a step of quantisation at most)."""
    return not np.allclose(np.asarray(a, float), np.asarray(b, float), rtol=2e-4, atol=1e-6, equal_nan=True)


def of_pack(world: Plant, pack: int) -> np.ndarray:
    """Return the flat places of the signals of a pack (one string each)."""
    layout = world.layout
    owner = {"cell": layout.pack_of_cell, "temp": layout.pack_of_string[layout.string_of_temp]}
    places = []
    for name, where in layout.where.items():
        pack_of = owner.get(SIGNALS[name].axis, np.arange(2))
        places.append(where.start + np.flatnonzero(pack_of == pack))
    return np.concatenate(places)


def test_the_catalogue_has_every_class() -> None:
    assert {fault.id for fault in FAULTS} == set(CLASSES.split())


def test_rows_are_well_formed() -> None:
    assert len(BY_NAME) == len(FAULTS)
    for fault in FAULTS:
        assert re.fullmatch(r"[a-z_]+", fault.name) and fault.by in ("world", "link", "host")
        assert fault.by != "world" or fault.effects or fault.act, f"{fault.name} does nothing"
        for effect in fault.effects:
            assert effect.knob in KNOB and effect.scale in SCALES
            assert (KNOB[effect.knob].axis == "signal") == bool(effect.signal)
            assert effect.signal in ("", "*") or effect.signal in SIGNALS


@pytest.mark.parametrize("name", WORLD)
def test_a_fault_is_seen_in_its_pack_and_in_no_other(name: str) -> None:
    faulty, well = both(name)
    world = plant(site(packs=2, apart=True, parallel=2, heater=True, cooler=True))
    mine, others = of_pack(world, 0), of_pack(world, 1)
    changed = False
    for a, b in zip(faulty.readings, well.readings, strict=True):
        assert not apart(a[others], b[others])
        changed |= differs(a[mine], b[mine])
    changed |= differs(faulty.times[-1][mine], well.times[-1][mine])
    for ta, tb in zip(faulty.truths, well.truths, strict=True):
        for field in fields(Truth):
            x, y = getattr(ta, field.name), getattr(tb, field.name)
            half = x.shape[-1] // 2
            assert not apart(x[..., half:], y[..., half:]), field.name
            changed |= differs(x[..., :half], y[..., :half])
    assert changed


@pytest.mark.parametrize("name", SENSOR)
def test_a_sensor_fault_changes_only_that_sensor(name: str) -> None:
    faulty, well = both(name)
    world = plant(site(packs=2, apart=True, parallel=2))
    world.inject(name, cell=1)
    turned = np.unique(np.concatenate([turn.index for turn in world.faults.all[0].turns]))
    if "swapped" in name:
        turned = np.append(turned, turned + np.where(turned + 1 < world.layout.where["temp_degC"].stop, 1, -1))
        turned = np.append(turned, turned - 1)
    rest = np.setdiff1d(np.arange(world.layout.size["signal"]), turned)
    for a, b, ta, tb in zip(faulty.readings, well.readings, faulty.truths, well.truths, strict=True):
        assert not differs(a[rest], b[rest])
        assert not any(differs(getattr(ta, f.name), getattr(tb, f.name)) for f in fields(Truth))
    assert not differs(faulty.times[-1][rest], well.times[-1][rest])
    pairs = zip(faulty.readings + faulty.times, well.readings + well.times, strict=True)
    assert any(differs(a[turned], b[turned]) for a, b in pairs)


def test_before_its_start_a_fault_changes_nothing() -> None:
    faulty, well = scenario("current_offset", "contactors", -20.0), sound("contactors", -20.0)
    assert not differs(faulty.readings[0], well.readings[0])
    assert differs(faulty.readings[1], well.readings[1])


def test_shapes_are_step_ramp_and_intermittent() -> None:
    shares = {}
    for shape in ("step", "ramp", "intermittent"):
        world = plant(site())
        world.inject("cell_sensor_offset", size=1.0, start_s=1.0, shape=shape)
        injection = world.faults.all[0]
        after = (-1, 0, ON_NS // 2, ON_NS + 1, PERIOD_NS, 10 * PERIOD_NS)
        shares[shape] = [injection.share(10**9 + ns) for ns in after]
    assert shares["step"] == [0, 1, 1, 1, 1, 1]
    assert shares["intermittent"][:5] == [0, 1, 1, 0, 1]
    ramp = shares["ramp"]
    assert ramp[0] == 0 and 0 < ramp[1] < ramp[2] < ramp[3] < ramp[4] < 1 and ramp[5] == 1
    assert ramp[4] == pytest.approx(PERIOD_NS / RAMP_STEP_NS / RAMP_STEPS, abs=0.011)


def test_an_intermittent_fault_inside_one_long_step_is_not_overlooked() -> None:
    long, short = (plant(site(load={"kind": "constant", "current_A": -50.0})) for _ in range(2))
    for world in (long, short):
        world.inject("internal_short", cell=2, size=0.5, shape="intermittent")
    orders = close(long), close(short)
    for _ in range(30):
        long.advance(0.1, orders[0])
        short.advance(0.1, orders[1])
    long.advance(30.0, orders[0])
    for _ in range(300):
        short.advance(0.1, orders[1])
    assert long.truth.soc == pytest.approx(short.truth.soc, abs=2e-7)


def test_a_spread_offset_is_as_large_as_ordered() -> None:
    world = plant(site())
    world.inject("string_voltage_offset", size=0.1)
    before = world.sensors.value[world.layout.where["string_voltage"]][0]
    world.advance(0.02, no_orders(world.config))
    after = world.sensors.value[world.layout.where["string_voltage"]][0]
    assert after - before == pytest.approx(0.1 * world.fixed.nominal_V[0], abs=0.05)


def test_lost_frames_age_in_the_sample_while_the_sensors_go_on() -> None:
    world = plant(site())
    world.inject("frames_lost", start_s=1.0)
    orders = no_orders(world.config)
    times = []
    for _ in range(30):
        world.advance(0.1, orders)
        times.append(int(world.sample().time_ns[world.layout.where["cell_voltage"]][0]))
    assert times[8] == world.time_ns - 2_100_000_000
    assert times[-1] == times[12] <= 1_100_000_000
    assert world.sensors.time_s[0] == pytest.approx(3.0)


def test_what_wires_and_computer_do_is_asked_of_the_plant() -> None:
    world = plant(site())
    world.inject("disk_slow", start_s=1.0, size=4.0)
    assert world.faults.asked("disk_slow") == 0.0
    world.advance(1.5, no_orders(world.config))
    assert world.faults.asked("disk_slow") == 4.0
    assert world.faults.asked("disk_full") == 0.0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("no_such_fault",), "cell_sensor_stuck"),
        (("cell_hot", 9), "string = 9, allowed: 0 to 0"),
        (("cell_hot", 0, 4), "cell = 4, allowed: 0 to 3"),
        (("cell_hot", 0, 0, None, 0.0, "wave"), "step, ramp, intermittent"),
    ],
)
def test_wrong_orders_are_refused_with_what_is_allowed(arguments: tuple[object, ...], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        plant(site()).inject(*arguments)  # type: ignore[arg-type]
