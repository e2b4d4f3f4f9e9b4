"""Strings in parallel: shares by conductance, blocked and lost strings leave the sum. Expected values by hand."""

from dataclasses import replace

import numpy as np
import pytest

from cellarer.config import build
from cellarer.core import response
from cellarer.core.cycle import start
from cellarer.core.decide.share import connected, share
from cellarer.core.decide.signals import Look
from cellarer.core.digest import digest
from cellarer.core.validate import start_watch, validate
from cellarer.model.values import Sample

PACK = {"cell": "lfp_280ah", "series": 4, "temperature_sensors": 1}
SIGNALS = ["cell_voltage", "temp_degC", "current", "feedback_charge", "feedback_discharge"]


def look_at(
    feedback: list[float], current: list[float], scale: list[float], bus: tuple[int, ...] = (1, 1, 1)
) -> tuple[Look, object, object, object]:
    """Return a look at three packs with these switches and currents, and 30, 60, 90 A of limits."""
    site = build(
        {"name": "x", "pack": [PACK | {"name": n, "bus": b} for n, b in zip("abc", bus)], "signals": SIGNALS}, "test"
    )
    config, layout = site.config, site.config.layout
    value, where = np.full(layout.size["signal"], np.nan), layout.where
    value[where["current"]], value[where["cell_voltage"]], value[where["temp_degC"]] = current, 3.3, 25.0
    value[where["feedback_charge"]] = value[where["feedback_discharge"]] = feedback
    state = start(config, 0)
    seen = validate(
        config, start_watch(config, 0, response.start(config)), Sample(value, np.full(value.size, 10)), np.zeros(3), 10
    )
    look = Look(config, seen, digest(config, seen, 10), state.watch, state, 10)
    window = replace(state.window, charge_A=np.array([30.0, 60.0, 90.0]), discharge_A=np.array([30.0, 60.0, 90.0]))
    estimate = replace(state.estimate, resistance_scale=np.repeat(scale, 4))
    return look, state.switches, window, estimate


@pytest.mark.parametrize(
    ("feedback", "current", "scale", "bank_A"),
    [
        ([1, 1, 1], [0, 0, 0], [1, 1, 1], 90.0),  # equal shares of a third: the weakest allows 3 x 30 A
        ([0, 1, 1], [0, 0, 0], [1, 1, 1], 120.0),  # its own BMS has opened the weakest: 2 x 60 A
        ([1, 1, 1], [np.nan, 0, 0], [1, 1, 1], 120.0),  # lost: it leaves the sum
        ([np.nan, 1, 1], [0, 0, 0], [1, 1, 1], 120.0),
        ([1, 1, 1], [0, 0, 0], [2, 1, 1], 150.0),  # twice the resistance carries a fifth: 5 x 30 A = min(150, 2.5 x 60)
        ([0, 0, 0], [0, 0, 0], [1, 1, 1], 0.0),
        ([np.nan] * 3, [np.nan] * 3, [1, 1, 1], 0.0),
    ],
)
def test_bank_is_bounded_by_each_limit_over_its_share(
    feedback: list[float], current: list[float], scale: list[float], bank_A: float
) -> None:
    look, switches, window, estimate = look_at(feedback, current, scale)
    (pack_charge, _), (bank_charge, bank_discharge) = share(look, switches, window, estimate)  # type: ignore[arg-type]
    assert bank_charge == pytest.approx([bank_A])
    assert bank_discharge == pytest.approx([bank_A])
    on = connected(look, switches)[0]  # type: ignore[arg-type]
    assert pack_charge == pytest.approx(np.where(on, [30.0, 60.0, 90.0], 0.0))


@pytest.mark.parametrize(
    ("feedback", "bank_A"),
    [
        ([1, 1, 1], [60.0, 90.0]),  # 2 x 30 and 90 A
        ([0, 1, 1], [60.0, 90.0]),
        ([1, 0, 0], [30.0, 0.0]),  # nobody is on the second bus
    ],
)
def test_what_one_bus_bears_is_no_limit_of_another(feedback: list[float], bank_A: list[float]) -> None:
    look, switches, window, estimate = look_at(feedback, [0, 0, 0], [1, 1, 1], bus=(1, 1, 2))
    _, (bank_charge, bank_discharge) = share(look, switches, window, estimate)  # type: ignore[arg-type]
    assert bank_charge == pytest.approx(bank_A) and bank_discharge == pytest.approx(bank_A)


def test_connected_string_that_may_take_nothing_brings_the_bank_to_zero() -> None:
    look, switches, window, estimate = look_at([1, 1, 1], [0, 0, 0], [1, 1, 1])
    none = replace(window, charge_A=np.array([0.0, 60.0, 90.0]))  # type: ignore[type-var]
    _, (bank_charge, bank_discharge) = share(look, switches, none, estimate)  # type: ignore[arg-type]
    assert bank_charge == pytest.approx([0.0])
    assert bank_discharge == pytest.approx([90.0])


def test_what_a_string_carries_beyond_its_share_counts_against_its_limit() -> None:
    """30 A all through the first, which by its conductance would carry 10: 20 A of its 30 are gone, and a third of what
    is added comes to it. Discharging the others carry 10 A less than their share, which widens nothing."""
    look, switches, window, estimate = look_at([1, 1, 1], [30, 0, 0], [1, 1, 1])
    (pack_charge, _), (bank_charge, bank_discharge) = share(look, switches, window, estimate)  # type: ignore[arg-type]
    assert bank_charge == pytest.approx([3 * (30 - 20)])
    assert bank_discharge == pytest.approx([90.0])  # 3 x 30 A of the first; the second has 3 x (60 - 10)
    assert pack_charge == pytest.approx([30.0, 60.0, 90.0])  # alone each carries what it carries
    look, switches, window, estimate = look_at([1, 1, 1], [55, 0, 0], [1, 1, 1])
    assert share(look, switches, window, estimate)[1][0] == pytest.approx([0.0])  # type: ignore[arg-type]
