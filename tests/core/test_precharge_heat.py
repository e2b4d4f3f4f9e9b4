"""No precharges that are begun and abandoned, however often, burn the resistor, whether it is known or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.core.bench import Bench
from tests.core.sites import CELL_SIDE, CONTACTS, FACTS, pack, table

from cellarer.config.load import build
from cellarer.model.values import Phase

CYCLE_S = 0.02


def shorted(signals: list[str] = CELL_SIDE, **gear: Any) -> Bench:
    """Return a pack whose link never fills."""
    switchgear = {"kind": "contactors", "break_A": 20.0} | gear
    bench = Bench(build(table([pack("a", 4, switchgear=switchgear)], signals + CONTACTS + FACTS), "one").config)
    bench.put("link_voltage", 0.0)
    bench.run(0.2)
    return bench


def toggled(bench: Bench, seconds: float, held_s: float) -> float:
    """Wish closed and open by turns, each precharge abandoned after held_s; return the seconds of precharge."""
    precharge_s, end_ns = 0.0, bench.now_ns + round(seconds * 1e9)
    while bench.now_ns < end_ns:
        bench.step(close=True, confirm_unknown_soc=True)
        bench.run(1.0, lambda b: b.phase() == Phase.PRECHARGE)
        if bench.phase() == Phase.PRECHARGE:
            precharge_s += bench.run(held_s, lambda b: b.phase() != Phase.PRECHARGE)
        bench.step(open=True)
        bench.run(0.2)
    return precharge_s


@pytest.mark.parametrize("held_s", [0.1, 1.0, 1.9])
def test_an_unknown_resistor_bears_all_tries_in_a_row_and_then_must_cool(held_s: float) -> None:
    bench = shorted(resistor_max_J=300.0, resistor_W=2.0)
    gear = bench.config.switch
    row_s = float(gear.tries[0] * gear.precharge_ns[0]) * 1e-9  # leaves half of the heat it may hold
    spent_s = toggled(bench, 120.0, held_s)
    cooled_s = 120.0 * 2.0 / (150.0 / row_s)
    assert bench.state.switches.tries[0] == 0 and "precharge_failed" not in bench.named("fault")
    assert 0.9 * row_s <= spent_s <= row_s + cooled_s + held_s + 0.1


def test_an_unknown_resistor_is_given_all_tries_as_before() -> None:
    bench = shorted()
    bench.step(close=True, confirm_unknown_soc=True)
    bench.run(20.0)
    tries = [e.time_ns * 1e-9 for e in bench.events if e.name == "minus → precharge"]
    pause_s = 1e-9 * float(bench.config.switch.pause_ns[0])
    assert len(tries) == 3 and np.diff(tries) == pytest.approx(2.0 + pause_s, abs=0.2)
    assert bench.latched("precharge_failed")
    bench.step(reset=True)
    bench.step(close=True)
    bench.run(5.0, lambda b: b.phase() == Phase.PRECHARGE)
    assert bench.phase() == Phase.PRECHARGE  # cool enough for one more


def test_a_known_resistor_is_protected_by_its_heat_also_when_precharge_is_abandoned() -> None:
    bench = shorted(resistor_ohm=50.0, resistor_max_J=20.0, resistor_W=0.1)
    volts = float(bench.of("string_voltage")[0])
    spent_s = toggled(bench, 60.0, 0.5)
    joules = spent_s * volts**2 / 50.0 - 60.0 * 0.1
    assert bench.state.switches.resistor_J[0] <= 20.0
    assert 10.0 - 0.1 * 60.0 <= joules <= 10.0 + 0.5 * volts**2 / 50.0 + 0.5


def test_the_heat_of_one_cycle() -> None:
    """Known: U²/R; unknown: all tries, each as long as it may be, leave it as hot as it may be for another one."""
    for gear, watts in (
        ({"resistor_ohm": 50.0}, None),
        ({"resistor_max_J": 300.0, "tries": 5, "precharge_ms": 1000}, 0.5 * 300.0 / 5.0),
    ):
        bench = shorted(resistor_W=0.25, **gear)
        volts = float(bench.of("string_voltage")[0])
        bench.step(close=True, confirm_unknown_soc=True)
        bench.run(1.0, lambda b: b.phase() == Phase.PRECHARGE)
        before = float(bench.state.switches.resistor_J[0])
        bench.step()
        wanted = ((volts**2 / 50.0 if watts is None else watts) - 0.25) * CYCLE_S
        assert bench.state.switches.resistor_J[0] - before == pytest.approx(wanted, rel=1e-3)


def test_a_string_whose_voltage_nobody_measures_counts_as_full() -> None:
    signals = [name for name in CELL_SIDE if name != "string_voltage"]
    bench = shorted(signals, resistor_ohm=50.0, resistor_W=0.25)
    bench.step(close=True, confirm_unknown_soc=True)
    bench.run(1.0, lambda b: b.phase() == Phase.PRECHARGE)
    before = float(bench.state.switches.resistor_J[0])
    bench.step()
    full_V = 4.0 * float(bench.config.limits.charge_zero_V[0])
    assert bench.state.switches.resistor_J[0] - before == pytest.approx((full_V**2 / 50.0 - 0.25) * CYCLE_S)


@pytest.mark.parametrize("kind", ["fets", "separate"])
def test_switches_of_one_direction_have_no_resistor_to_warm(kind: str) -> None:
    bench = shorted(kind=kind)
    bench.step(close=True, confirm_unknown_soc=True)
    bench.run(1.0)
    assert bench.phase() == Phase.CLOSED and bench.state.switches.resistor_J[0] == 0.0
