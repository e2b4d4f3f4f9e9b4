"""Incremental capacity: made-up phases are found through noise; measured ageing is told as its source counted it."""

from pathlib import Path

import numpy as np
import pytest

from cellarer.lab.error import LabError
from cellarer.lab.incremental import analyse, compare
from cellarer.lab.readers import columns_of, read

HERE = Path(__file__).resolve().parents[2] / "data" / "lfp_102Ah_aging"
PHASES = ((3.30, 0.012, 20.0), (3.36, 0.010, 35.0), (3.40, 0.010, 40.0))  # V, width in V, Ah


def charge(
    shift: float = 0.0, areas: tuple[float, float, float] = (1.0, 1.0, 1.0), noise: float = 0.0, dt: float = 10.0
):
    """A charge at 50 A through three phases and two sloping ends: (current, voltage, charge)."""
    grid = np.linspace(2.8, 3.62, 20_001)
    density = 4.0 + sum(
        k * area / (width * np.sqrt(2.0 * np.pi)) * np.exp(-0.5 * ((grid - at) / width) ** 2)
        for (at, width, area), k in zip(PHASES, areas, strict=True)
    )
    total = np.concatenate([[0.0], np.cumsum(density[:-1] * np.diff(grid))])
    q = np.arange(0.0, total[-1], 50.0 * dt / 3600.0)
    volts = np.interp(q, total, grid) + shift + noise * np.random.default_rng(1).standard_normal(q.size)
    return np.full(q.size, 50.0), volts, q


@pytest.mark.parametrize("noise", [0.0, 0.0003, 0.001])
def test_phases_are_found_through_noise(noise: float) -> None:
    found = analyse(*charge(noise=noise))
    assert [peak.voltage for peak in found.peaks] == pytest.approx([at for at, _, _ in PHASES], abs=0.004)
    assert sum(peak.charge_Ah for peak in found.peaks) == pytest.approx(found.total_Ah, rel=0.02)
    for peak, (_, _, area) in zip(found.peaks, PHASES, strict=True):
        assert peak.charge_Ah == pytest.approx(area + 1.0, rel=0.2)


def test_noise_makes_no_phases() -> None:
    quiet, noisy = analyse(*charge()), analyse(*charge(noise=0.002, dt=5.0))
    assert len(noisy.peaks) <= len(quiet.peaks)
    assert noisy.smooth_V > quiet.smooth_V


def test_a_common_shift_is_resistance() -> None:
    change = compare(analyse(*charge()), analyse(*charge(shift=0.02)))
    assert change.shift_V == pytest.approx(0.02, abs=0.001)
    assert change.resistance_rise == pytest.approx(0.02 / 50.0, rel=0.05)
    assert abs(change.charge_lost) < 0.001


def test_lost_lithium_and_lost_material_are_told_apart() -> None:
    """Lithium is missing at the end of charge; material shrinks the phases of graphite below their parting."""
    first = analyse(*charge())
    lithium = compare(first, analyse(*charge(areas=(1.0, 1.0, 0.6))))
    assert lithium.negative_lost == pytest.approx(0.0, abs=0.02)
    assert lithium.lithium_lost == pytest.approx(16.0 / first.total_Ah, abs=0.01)
    material = compare(first, analyse(*charge(areas=(0.8, 0.8, 1.0))))
    assert material.negative_lost == pytest.approx(0.19, abs=0.04)


def test_another_peak_is_not_taken_for_growing_material() -> None:
    change = compare(analyse(*charge()), analyse(*charge(areas=(2.2, 1.0, 1.0))))
    assert np.isnan(change.negative_lost)
    assert np.isnan(change.lithium_lost)


def test_pulses_are_refused() -> None:
    current, volts, q = charge()
    with pytest.raises(LabError, match="constant charging"):
        analyse(current * (np.arange(q.size) % 2), volts, q)


@pytest.mark.needs("pyarrow")
def test_measured_ageing_is_told_as_its_source_counted_it() -> None:
    """A 102 Ah LFP cell at 1C, from new to two thirds: charge and resistance change as they must."""
    runs = read(HERE / "cell_1_charges.parquet")
    health = columns_of(HERE / "cell_1_soh.parquet")
    soh = next(np.asarray(values, float) for name, values in health.items() if "soh" in name.lower())
    curves = [analyse(runs[k].current, runs[k].voltage, runs[k].charge_Ah) for k in (2, 100, 200, 300, 460)]
    changes = [compare(curves[0], curve) for curve in curves]
    for change, k in zip(changes, (2, 100, 200, 300, 460), strict=True):
        assert change.charge_lost == pytest.approx(1.0 - soh[k] / soh[2], abs=0.03)
    assert np.all(np.diff([change.resistance_rise for change in changes]) > 0.0)
    assert changes[1].negative_lost == pytest.approx(0.0, abs=0.05)
