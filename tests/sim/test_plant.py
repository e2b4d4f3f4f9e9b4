"""The whole world: conservation, repetition, size, loads."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from tests.sim.world import close, plant, site

from cellarer import config
from cellarer.config.schema import DeviceFile, SimulationFile
from cellarer.model.values import NEVER
from cellarer.sim.plant import Plant, no_orders


def digest(world: Plant) -> str:
    """Return a hash over all readings and states."""
    parts = (
        world.sensors.value,
        world.cells.soc,
        world.cells.i1,
        world.heat.core_degC,
        world.current,
        world.link.volts,
    )
    return hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in parts)).hexdigest()


def drive(world: Plant, steps: int = 60, dt: float = 0.5) -> list[str]:
    orders, marks = close(world), []
    for _ in range(steps):
        world.advance(dt, orders)
        marks.append(digest(world))
    return marks


def test_same_seed_same_bytes_and_another_seed_others() -> None:
    place = site(parallel=3, load={"kind": "drive"})
    first, again = drive(plant(place)), drive(plant(place))
    assert first == again
    assert drive(plant(place, seed=8))[-1] != first[-1]


@pytest.mark.parametrize("load", ["home", "drive", "ebike", "laptop"])
def test_a_pack_alone_is_the_same_as_among_others(load: str) -> None:
    more = {"solar_kWp": 5.0, "demand_kWh_per_day": 10.0} if load == "home" else {}
    place = site(packs=5, apart=True, parallel=2, load={"kind": load, **more})
    many = plant(place, numbers=[3, 7, 1, 0, 9])
    alone = plant(site(parallel=2, load={"kind": load, **more}), numbers=[1])
    orders = close(many), close(alone)
    for _ in range(100):
        many.advance(1.0, orders[0])
        alone.advance(1.0, orders[1])
    cells = many.layout.pack_of_cell == 2
    assert many.truth.soc[cells] == pytest.approx(alone.truth.soc, abs=1e-9)
    assert many.truth.current[2] == pytest.approx(alone.truth.current[0], abs=1e-9)
    mine = many.sensors.value[many.layout.where["cell_voltage"]][cells]
    assert mine == pytest.approx(alone.sensors.value[alone.layout.where["cell_voltage"]], abs=1e-9)


@pytest.mark.parametrize("dt", [0.02, 1.0, 60.0])
def test_charge_and_energy_are_conserved(dt: float) -> None:
    world = plant(site(series=16, parallel=2, spread=2.0, load={"kind": "constant", "current_A": -60.0}))
    world.cells.leak_A = np.zeros_like(world.cells.leak_A)
    orders = close(world)
    world.advance(5.0, orders)
    held = (world.cells.soc * world.cells.capacity).sum()
    through = world.through_Wh.copy()
    ampere_s = joules = 0.0
    for _ in range(round((20.0 if dt < 1.0 else 600.0) / dt)):
        ocv = world.cells.looked.ocv
        before = world.cells.soc
        world.advance(dt, orders)
        moved = (world.cells.soc - before) * world.cells.capacity
        ampere_s += float(world.current[0]) * dt
        joules += float((moved * 0.5 * (ocv + world.cells.looked.ocv)).sum())
    gained = (world.cells.soc * world.cells.capacity).sum() - held
    assert gained == pytest.approx(16 * ampere_s, rel=1e-5)
    given = float((world.through_Wh - through)[1, 0]) * 3600.0
    lost = -joules - given
    assert 0.0 < lost < 0.05 * given, "what the terminals gave is what the cells lost, less their heat"


@pytest.mark.parametrize("dt", [0.001, 0.02, 1.0, 10.0, 60.0])
def test_every_step_leads_to_the_same_place(dt: float) -> None:
    world = plant(site(parallel=2, spread=3.0, load={"kind": "constant", "current_A": -150.0}))
    orders = close(world)
    fine = plant(site(parallel=2, spread=3.0, load={"kind": "constant", "current_A": -150.0}))
    fine_orders = close(fine)
    seconds = 2.0 if dt < 0.01 else 60.0
    for _ in range(round(seconds / dt)):
        world.advance(dt, orders)
    for _ in range(round(seconds / 0.1)):
        fine.advance(0.1, fine_orders)
    assert world.truth.soc == pytest.approx(fine.truth.soc, abs=2e-5)
    assert world.truth.voltage == pytest.approx(fine.truth.voltage, abs=2e-3)
    assert world.truth.core_degC == pytest.approx(fine.truth.core_degC, abs=0.05)


def test_parallel_cells_at_the_knee_do_not_swing_at_sixty_seconds() -> None:
    world = plant(site(parallel=4, spread=6.0, load={"kind": "rest"}))
    world.cells.soc = np.clip(0.99 + 0.02 * np.sin(np.arange(world.cells.soc.size)), 0.0, 1.02)
    world.cells.refresh(world.heat.core_degC)
    orders = close(world)
    flows = []
    for _ in range(200):
        world.advance(60.0, orders)
        flows.append(np.abs(world.cells.current).max())
    assert flows[-1] < 0.05 * max(flows) and flows[-1] < flows[20] < max(flows[:3])


def test_a_hundred_thousand_cells_run_the_same_lines() -> None:
    large = config.build(
        {
            "name": "large", "signals": ["cell_voltage", "current"],
            "pack": [
                {"name": f"p{k}", "bus": k + 1, "cell": "lfp_280ah", "series": 500, "temperature_sensors": 4}
                for k in range(50)
            ]
            + [{"name": "rest", "bus": 51, "cell": "nmc_50ah", "series": 1000, "strings": 75}],
        },
        "test",
    )  # fmt: skip
    world = Plant(large.config, None)
    assert world.layout.size["cell"] == 100_000
    world.advance(1.0, no_orders(world.config))
    assert np.isfinite(world.truth.voltage).all()


def test_ragged_batches_of_unlike_packs_equal_each_pack_alone() -> None:
    def build(packs: list[dict[str, object]]) -> config.Site:
        own = [pack | {"bus": number} for number, pack in enumerate(packs, 1)]
        table = {"name": "t", "signals": ["cell_voltage"], "simulation": {"load": {"kind": "rest"}}, "pack": own}
        return config.build(table, "test")

    packs: list[dict[str, object]] = [
        {"name": "a", "cell": "lfp_280ah", "series": 4, "parallel": 1},
        {"name": "b", "cell": "panasonic_18650pf", "series": 3, "parallel": 5, "strings": 2},
        {"name": "c", "cell": "lto_23ah", "series": 7, "parallel": 2},
    ]
    whole = build(packs)
    world = Plant(whole.config, whole.file.simulation)
    for _ in range(50):
        world.advance(10.0, no_orders(whole.config))
    for k, one in enumerate(packs):
        place = build([one])
        alone = Plant(place.config, place.file.simulation, numbers=[k])
        for _ in range(50):
            alone.advance(10.0, no_orders(place.config))
        assert world.truth.voltage[world.layout.pack_of_cell == k] == pytest.approx(alone.truth.voltage, abs=1e-12)


def test_an_inverter_follows_limits_after_its_delay_and_holds_the_charge_voltage() -> None:
    load = {"kind": "home", "inverter_A": 100.0, "solar_kWp": 12.0, "demand_kWh_per_day": 1.0, "delay_s": 1.0}
    world = plant(site(series=16, load=load))
    world.load.start_hour = 12.0
    orders = close(world, charge_A=40.0, cell_V=3.45)
    world.advance(5.0, orders)
    assert world.truth.current[0] == pytest.approx(40.0, abs=0.5)
    orders.charge_A[:] = 10.0
    world.advance(0.8, orders)
    assert world.truth.current[0] == pytest.approx(40.0, abs=0.5)
    world.advance(0.6, orders)
    assert world.truth.current[0] == pytest.approx(10.0, abs=0.5)
    orders.charge_A[:] = 100.0
    for _ in range(6 * 60):
        world.advance(60.0, orders)
        assert world.link.volts[0] < 16 * 3.45 + 0.02
    assert world.truth.string_soc[0] > 0.97


def test_limits_that_were_never_told_allow_nothing() -> None:
    world = plant(site(series=16, load={"kind": "constant", "current_A": 50.0}))
    orders = close(world)
    orders.charge_A[:] = np.nan
    world.advance(5.0, orders)
    world.advance(1.0, orders)
    assert abs(world.truth.current[0]) < 0.2


def test_a_vehicle_drives_recovers_and_charges_at_the_plug() -> None:
    world = plant(site(kind="contactors", cell="nmc_50ah", series=96, load={"kind": "drive"}))
    orders = close(world, cell_V=4.15)
    currents, plugged = [], []
    for _ in range(2200):
        world.advance(5.0, orders)
        currents.append(float(world.current[0]))
        plugged.append(float(world.sensors.value[world.layout.where["charge_plug"]][0]))
    driven, charged = np.array(currents)[np.array(plugged) < 0.5], np.array(currents)[np.array(plugged) > 0.5]
    assert driven.min() < -40.0 and driven.max() > 3.0 and -30.0 < driven.mean() < -3.0
    assert charged.max() > 10.0 and charged.min() > -1.0


def test_a_house_uses_what_the_site_says_over_many_days() -> None:
    load = {"kind": "home", "inverter_A": 100.0, "solar_kWp": 6.0, "demand_kWh_per_day": 11.0}
    world = plant(site(load=load))
    days = np.array([world.load.home_W(60.0 * m) for m in range(0, 1440 * 60, 5)])
    assert world.load.day is not None
    net = days.mean() * 24.0 / 1000.0
    assert 8.0 < net < 24.0, "6 kWp give some 25 to 35 kWh on a day of fourteen hours, the house takes eleven"


def test_a_device_is_given_its_own_part() -> None:
    world = plant(site(packs=2, series=6))
    world.advance(0.1, no_orders(world.config))
    device = DeviceFile(
        name="d", protocol="cmu", link="x", pack=2, first_cell=4, cells=3, first_temperature=2, temperatures=1
    )
    values = world.values(device)
    where = world.layout.where
    assert values["cell_voltage"].tolist() == world.sensors.value[where["cell_voltage"]][9:12].tolist()
    assert values["temp_degC"].tolist() == world.sensors.value[where["temp_degC"]][3:4].tolist()
    assert values["current"].shape == (1,) and values["gas"].shape == (1,)


def test_a_sample_has_values_and_times_of_what_the_site_has_and_nothing_else() -> None:
    world = plant(site())
    world.advance(0.5, no_orders(world.config))
    sample = world.sample(now_ns=10**15)
    present = world.config.sensing.present
    assert np.isnan(sample.value[~present]).all() and (sample.time_ns[~present] == NEVER).all()
    assert np.isfinite(sample.value[present]).all()
    age = (10**15 - sample.time_ns[present]) * 1e-9
    assert age.min() == pytest.approx(0.0, abs=1e-6) and age.max() <= 0.51


def test_sensors_are_as_good_as_they_say() -> None:
    world = plant(site(series=16))
    orders, wrong, seen = no_orders(world.config), [], []
    for _ in range(400):
        world.advance(0.02, orders)
        seen.append(world.sensors.value[world.layout.where["cell_voltage"]])
        wrong.append(seen[-1] - world.truth.voltage)
    noise = np.std(wrong, axis=0)
    assert 0.0003 < noise.mean() < 0.0005
    assert 0.0002 < np.std(np.mean(wrong, axis=0)) < 0.002
    assert np.abs(np.array(seen) * 1e4 - np.round(np.array(seen) * 1e4)).max() < 1e-6, "steps of 0.1 mV"


def test_a_site_without_a_simulation_section_still_runs() -> None:
    world = Plant(site().config, None)
    world.advance(1.0, no_orders(world.config))
    assert world.truth.string_soc[0] == pytest.approx(SimulationFile().start_soc_pct / 100.0, abs=0.03)


def test_packs_and_their_numbers_must_fit() -> None:
    with pytest.raises(ValueError, match="one value per pack"):
        plant(site(packs=2), numbers=[0])
