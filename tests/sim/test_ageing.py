"""The world's cells age as the published laws say, whatever the order and the size of the steps."""

from __future__ import annotations

import numpy as np
import pytest

from cellarer import cells, config
from cellarer.sim.ageing import Ageing, rain_flow, turns
from cellarer.sim.plant import Plant

HOME = config.load("home")
LAW = cells.load("lfp_280ah").ageing
YEAR_S = 365.25 * 86400.0


def ageing(degC: float = 25.0, soc: float = 0.5) -> Ageing:
    """Return the ageing of a plant at rest at one temperature and SOC."""
    plant = Plant(HOME.config, HOME.file.simulation, 1)
    plant.heat.core_degC = np.full_like(plant.heat.core_degC, degC)
    plant.cells.soc = np.full_like(plant.cells.soc, soc)
    assert LAW is not None
    return Ageing(plant, LAW, 1, seed=1)


def rested(years: float, degC: float = 25.0, soc: float = 0.5, times: int = 1) -> Ageing:
    made = ageing(degC, soc)
    for _ in range(times):
        made.note(3600.0)
        made.take(years / times)
    return made


def swing(made: Ageing, depth: float, hours: float) -> None:
    """Let the cells go down and up again by depth, in so many hours."""
    for soc in np.concatenate([np.linspace(0.9, 0.9 - depth, 40), np.linspace(0.9 - depth, 0.9, 40)]):
        made.plant.cells.soc = np.full_like(made.plant.cells.soc, soc)
        made.note(hours * 3600.0 / 80.0)


def test_rain_flow_counts_the_example_of_the_standard() -> None:
    trace = np.array([-2.0, 1.0, -3.0, 5.0, -1.0, 3.0, -4.0, 4.0, -2.0])  # ASTM E1049-85, 5.4.4
    moved = np.cumsum(np.abs(np.diff(trace, prepend=trace[0])))
    depth, count, stress = rain_flow(trace, moved)
    found = {d: count[depth == d].sum() for d in np.unique(depth)}
    assert found == {3.0: 0.5, 4.0: 1.5, 6.0: 0.5, 8.0: 1.0, 9.0: 0.5}
    assert stress == pytest.approx(2.0 * depth * count)  # charge moved, each swing's own


def test_a_small_swing_takes_its_own_stress_out_of_the_deep_one() -> None:
    """Down to 0.2 at three times the stress of all other charge, with a slow hump of 0.1 on the way up."""
    trace = np.concatenate([np.linspace(*leg, 50) for leg in ((0.9, 0.2), (0.2, 0.6), (0.6, 0.5), (0.5, 0.9))])
    steps = np.abs(np.diff(trace, prepend=trace[0])) * np.where(np.arange(trace.size) < 50, 3.0, 1.0)
    depth, count, stress = rain_flow(trace, np.cumsum(steps))
    by_depth = {round(float(d), 6): float(stress[np.isclose(depth, d)].sum()) for d in depth}
    assert by_depth == pytest.approx({0.7: 2.1 + 0.7, 0.1: 0.2})
    assert stress.sum() == pytest.approx(steps.sum()) and count.tolist() == [1.0, 0.5, 0.5]


def test_small_slow_swings_do_not_make_a_deep_one_cheaper() -> None:
    bare, topped = ageing(), ageing()
    swing(bare, 0.8, 2.0)
    swing(topped, 0.8, 2.0)
    for _ in range(80):  # as a heater does that draws on the pack, and a charger that puts it back
        swing(topped, 0.005, 1.0)
    bare.note(80 * 3600.0)  # rest meanwhile
    for made in (bare, topped):
        made.take(1.0 / 365.25)
    assert (topped.cycle_loss >= bare.cycle_loss).all()


def test_turning_points_leave_out_noise_and_keep_the_ends() -> None:
    trace = np.concatenate([np.linspace(0.5, 0.9, 9), np.linspace(0.9, 0.2, 9)]) + 5e-4 * np.resize([1.0, -1.0], 18)
    assert trace[turns(trace)] == pytest.approx([0.5, 0.9, 0.2], abs=1e-3)


@pytest.mark.parametrize(("degC", "soc", "pct"), [(25.0, 0.5, 1.102), (45.0, 1.0, 5.481), (10.0, 0.2, 0.1967)])
def test_a_year_of_rest_costs_what_the_file_says(degC: float, soc: float, pct: float) -> None:
    assert np.median(rested(1.0, degC, soc).loss) * 100.0 == pytest.approx(pct, rel=0.06)


def test_loss_goes_with_the_power_of_time_in_whatever_pieces() -> None:
    whole, pieces = rested(4.0), rested(4.0, times=16)
    assert pieces.loss == pytest.approx(whole.loss, rel=1e-9)
    assert whole.loss == pytest.approx(rested(1.0).loss * 4.0**0.526, rel=1e-9)


def test_order_of_hot_and_cold_does_not_matter() -> None:
    def lived(first: float, second: float) -> np.ndarray:
        made = ageing(first)
        for degC in (first, second):
            made.plant.heat.core_degC = np.full_like(made.plant.heat.core_degC, degC)
            made.note(3600.0)
            made.take(1.0)
        return made.loss

    assert lived(40.0, 5.0) == pytest.approx(lived(5.0, 40.0), rel=1e-9)


def test_cycles_count_by_charge_depth_and_rate() -> None:
    deep, flat, fast = ageing(), ageing(), ageing()
    swing(deep, 0.8, 8.0)
    for _ in range(8):
        swing(flat, 0.1, 1.0)
    swing(fast, 0.8, 2.0)
    for made in (deep, flat, fast):
        made.take(1.0 / 365.25)
    assert deep.cycles == pytest.approx(flat.cycles, rel=0.06)
    assert (deep.cycle_loss > flat.cycle_loss).all() and (fast.cycle_loss > deep.cycle_loss).all()


def test_capacity_falls_and_resistance_rises_in_the_world() -> None:
    made = rested(10.0, 35.0, 0.9)
    truth, new = made.plant.truth, Plant(HOME.config, HOME.file.simulation, 1).truth
    assert truth.capacity_Ah == pytest.approx(new.capacity_Ah * (1.0 - made.loss[0]))
    assert truth.resistance_scale == pytest.approx(new.resistance_scale * (1.0 + 0.5 * made.loss[0]))


def test_cells_of_one_pack_grow_apart_and_the_seed_says_how() -> None:
    made, again = rested(10.0), rested(10.0)
    assert np.ptp(made.loss) > 0.05 * made.loss.mean()
    assert np.array_equal(made.loss, again.loss)


def test_lives_that_do_not_divide_the_packs_are_refused() -> None:
    plant = Plant(HOME.config, HOME.file.simulation, 1)
    assert LAW is not None
    with pytest.raises(ValueError, match="lives = 2"):
        Ageing(plant, LAW, 2, seed=1)
