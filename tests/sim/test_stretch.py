"""The kernel of long stretches against the plain lines, and those against the plant's own step."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tests.sim.world import close, plant, site

from cellarer.sim import stretch
from cellarer.sim.bench import cell_steps_per_s

needs_numba = pytest.mark.needs("numba")


def profile(steps: int, amplitude: float) -> np.ndarray:
    k = np.arange(steps)
    return amplitude * (np.sin(k / 17.0) - 0.4 + 0.5 * (k % 50 < 5))[:, None]


def both(cell: str, amplitude: float, refresh_s: float, **pack: object) -> tuple[object, ...]:
    place = site(cell=cell, **pack)  # type: ignore[arg-type]
    plain, fast = plant(place), plant(place)
    strings = plain.layout.size["string"]
    current = np.repeat(profile(400, amplitude), strings, axis=1) * (1.0 + 0.2 * np.arange(strings))
    return (
        plain,
        fast,
        stretch.run(plain, current, 1.0, kernel=False),
        stretch.run(fast, current, 1.0, refresh_s=refresh_s),
    )


@needs_numba
@pytest.mark.parametrize(("cell", "amplitude", "tolerance"), [("a123_26650", 3.0, 1e-9), ("lg_18650hg2", 4.0, 2e-6)])
@pytest.mark.parametrize("pack", [{"series": 5, "parallel": 3}, {"series": 17, "parallel": 1, "strings": 2}])
def test_kernel_and_plain_lines_give_the_same(cell: str, amplitude: float, tolerance: float, pack: dict) -> None:  # type: ignore[type-arg]
    plain, fast, volts, fast_volts = both(cell, amplitude, 1.0, **pack)
    assert fast_volts == pytest.approx(volts, abs=tolerance)
    for name in ("soc", "i1", "i2", "hysteresis", "current"):
        a, b = getattr(fast.cells, name), getattr(plain.cells, name)  # type: ignore[attr-defined]
        assert a == pytest.approx(b, abs=10 * tolerance, rel=1e-6), name
    assert fast.heat.core_degC == pytest.approx(plain.heat.core_degC, abs=1e-5)  # type: ignore[attr-defined]
    assert fast.heat.node_degC == pytest.approx(plain.heat.node_degC, abs=1e-5)  # type: ignore[attr-defined]


@needs_numba
def test_looking_slow_things_up_rarely_costs_little() -> None:
    _, _, volts, fast_volts = both("lg_18650hg2", 6.0, stretch.REFRESH_S, series=5, parallel=3)
    assert np.abs(fast_volts - volts).max() < 1e-3


def test_plain_lines_are_the_step_of_the_plant() -> None:
    place = site(parallel=2, load={"kind": "rest"})
    world, alone = plant(place), plant(place)
    for twin in (world, alone):
        close(twin)
    orders = close(world)
    close(alone)
    world.inject("overcurrent_discharge", size=0.5, start_s=world.time_s)
    for _ in range(20):
        world.advance(1.0, orders)
    stretch.run(alone, np.full((20, 1), float(world.current[0])), 1.0, kernel=False)
    assert world.cells.soc == pytest.approx(alone.cells.soc, abs=1e-7)


@needs_numba
def test_a_cell_that_is_cut_off_or_bled_is_so_in_the_kernel_too() -> None:
    place = site(cell="a123_26650", series=4, parallel=3)
    plain, fast = plant(place), plant(place)
    for world in (plain, fast):
        world.inject("member_open", cell=1)
        world.inject("internal_short", cell=2, size=2.0)
        world.faults.apply(0)
    current = profile(100, 3.0)
    volts = stretch.run(plain, current, 1.0, kernel=False)
    assert stretch.run(fast, current, 1.0, refresh_s=1.0) == pytest.approx(volts, abs=1e-9)
    assert fast.cells.current[3] == 0.0


@needs_numba
def test_the_compiled_kernel_changes_with_the_constants_it_was_built_with() -> None:
    from cellarer.sim import cells, stretch_kernel, tables

    used = (tables.LOW_DEGC, tables.STEP_K, tables.ROWS, tables.SOC_STEPS, tables.BEYOND, tables.COLUMNS)
    assert (*used, cells.KELVIN, cells.LEAK_DEGC) == stretch_kernel.BUILT_WITH


@needs_numba
def test_the_kernel_is_made_of_vector_instructions() -> None:
    """A harmless edit that hides the lanes from LLVM costs a factor of three and shows nowhere else."""
    from numba import njit

    from cellarer.sim import stretch_kernel

    fresh = njit(**{**stretch_kernel.OPTIONS, "cache": False})(stretch_kernel.blocks.py_func)
    fresh.compile(stretch_kernel.blocks.nopython_signatures[0].args)
    assembly = "\n".join(fresh.inspect_asm().values())
    packed = len(re.findall(r"\bv?mulpd|vfmadd\d+pd|\bfmul\s+v\d+\.2d|\bfmla\s+v\d+\.2d", assembly))
    assert packed > 20


def test_the_figure_for_the_bench_is_a_rate() -> None:
    assert cell_steps_per_s(0.0, kernel=False) > 1e4
