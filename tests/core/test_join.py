"""Strings that join others on a bus: both sides of every bound, order, unknowns; currents worked out by other means."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.bench import Bench
from tests.core.sites import CELL_SIDE, CONTACTS, FOREIGN, pack, table

from cellarer.config import ConfigError
from cellarer.config.load import build
from cellarer.core.decide.join import Joins, buses, join
from cellarer.core.decide.limit import BAND_V
from cellarer.core.decide.protect import Demand
from cellarer.core.decide.signals import Look
from cellarer.model.config import Config
from cellarer.model.values import Phase

SERIES, REST_V = 4, 4 * 3.7
FEEDBACK = ["feedback_charge", "feedback_discharge"]
CLOSED, OPEN = int(Phase.CLOSED), int(Phase.OPEN)


@cache
def bank(strings: int, on_bus: tuple[int, ...] = (), kind: str = "fets", **more: Any) -> Config:
    """Return equal NMC packs of one string, on one bus or those given."""
    gear = {"kind": kind, "link_voltage": False}
    packs = [
        pack(f"p{k}", SERIES, cell="nmc_50ah", switchgear=gear, bus=on_bus[k] if on_bus else 1) | more
        for k in range(strings)
    ]
    return build(table(packs, [*CELL_SIDE, *CONTACTS, *FEEDBACK, "charger_present"]), "bank").config


def seen(config: Config, volts: Any, current: Any = 0.0, **put: Any) -> Look:
    """Return what is seen of strings of these voltages and currents, after three equal samples."""
    bench = Bench(config)
    per_cell = np.broadcast_to(np.asarray(volts, float), config.series.shape) / config.series
    bench.cells = per_cell[bench.layout.string_of_cell]
    for name, value in ({"current": current} | put).items():
        bench.put(name, value)
    bench.run(0.1)
    return Look(config, bench.state.seen, None, bench.state.watch, bench.state, bench.now_ns, plain=True)  # type: ignore[arg-type]


def asked(look: Look, phase: Any, wants: Any = None, fraction: Any = 1.0, **ways: Any) -> Joins:
    """Ask who may join. wants: those that are open if not given."""
    phase = np.broadcast_to(np.asarray(phase, np.int8), look.config.series.shape)
    shape = (2, phase.size)
    none = {name: np.broadcast_to(ways.get(name, False), shape) for name in ("open", "ramp")}
    demand = Demand(none["open"], none["ramp"], np.broadcast_to(fraction, shape))
    return join(look, demand, phase, (phase == OPEN) if wants is None else np.asarray(wants))


def ohm(config: Config, degC: float = 25.0) -> float:
    """Return the resistance of a string at the first instant."""
    model = config.models[0]
    return SERIES * float(np.interp(degC, model.temp_degC, np.median(model.r0, axis=1)))


@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize(("own", "others"), [(0.1, 1.0), (1.0, 0.1), (0.3, 0.2)])
def test_both_sides_of_what_the_string_and_the_others_bear(above: bool, own: float, others: float) -> None:
    """The one that comes is above: it discharges, the others charge; else the other way."""
    config, way = bank(3), 1 if above else 0
    rated = (config.limits.rated_charge_A[0], config.limits.rated_discharge_A[0])
    fraction = np.ones((2, 3))
    fraction[way, 0], fraction[1 - way, 1] = own, others
    most_A = min(own * rated[way], 2.0 * min(others * rated[1 - way], rated[1 - way]))  # two share it
    limit_V, sign = most_A * 1.5 * ohm(config), 1.0 if above else -1.0
    for beyond_V, may in ((-1e-6, True), (1e-6, False)):
        look = seen(config, [REST_V + sign * (limit_V + beyond_V), REST_V, REST_V])
        found = asked(look, [OPEN, CLOSED, CLOSED], fraction=fraction)
        assert bool(found.may[0]) == may and bool(found.waits[0]) == (not may)
        assert found.apart_V[:, 0] == pytest.approx((sign * limit_V, limit_V), abs=1e-3) or may


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_measurement_cannot_tell_apart_joins_also_where_a_way_is_blocked(sign: float) -> None:
    config, blocked = bank(2), np.ones((2, 2), bool)
    for beyond_V, may in ((-1e-6, True), (1e-6, False)):
        look = seen(config, [REST_V + sign * (SERIES * BAND_V + beyond_V), REST_V])
        assert bool(asked(look, [OPEN, CLOSED], ramp=blocked).may[0]) == may
        assert bool(asked(look, [OPEN, CLOSED], open=blocked).may[0]) == may


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whoever_joins_leaves_every_string_inside_what_it_bears(data: st.DataObject) -> None:
    """The circuit solved anew, with a load that stays: sources behind resistors, one of them new."""
    n = data.draw(st.integers(2, 7))
    config = bank(n)
    unit = st.floats(0.0, 1.0)
    on = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    rated = np.array((config.limits.rated_charge_A, config.limits.rated_discharge_A))
    fraction = np.array(data.draw(st.lists(unit, min_size=2 * n, max_size=2 * n))).reshape(2, n)
    most = rated * fraction
    emf = REST_V + 0.6 * (np.array(data.draw(st.lists(unit, min_size=n, max_size=n))) - 0.5)
    load_A = data.draw(st.floats(-1.0, 1.0)) * 50.0
    own = ohm(config)

    def solved(members: np.ndarray) -> tuple[float, np.ndarray]:
        bus = (emf[members].sum() / own + load_A) / (members.sum() / own)
        return bus, np.where(members, (bus - emf) / own, 0.0)

    bus, current = solved(on) if on.any() else (np.nan, np.zeros(n))
    look = seen(config, np.where(on, bus, emf), current)
    found = asked(look, np.where(on, CLOSED, OPEN), fraction=fraction)
    joined = found.may & ~on
    assert joined.sum() <= 1
    if not on.any():
        assert joined.sum() == 1 and emf[joined][0] == emf.max()
        return
    if joined.any():
        _, after = solved(on | joined)
        extra = np.maximum(SERIES * BAND_V / own, 1e-3)
        charge_A, discharge_A = (
            np.maximum(most[0], current),
            np.maximum(most[1], -current),
        )  # what was too much may stay
        assert (after <= charge_A + extra).all() and (-after <= discharge_A + extra).all()
        apart = np.abs(bus - emf)
        assert apart[joined][0] <= apart[found.may & ~on].min() + 1e-9
    assert not (found.waits & found.may).any()


def test_an_empty_cell_takes_no_more_than_a_charger_may_give_it() -> None:
    config = bank(2)
    limit_V = float(config.limits.precondition_A[0]) * 2.0 * ohm(config)
    for beyond_V, may in ((-1e-6, True), (1e-6, False)):
        cells = np.full((2, SERIES), REST_V / SERIES)
        cells[0, 0] = float(config.limits.precondition_V[0]) - 0.01
        cells[1] = (cells[0].sum() + limit_V + beyond_V) / SERIES
        look = seen(config, REST_V, cell_voltage=cells.ravel())
        assert bool(asked(look, [OPEN, CLOSED]).may[0]) == may


def test_a_warm_string_has_less_resistance_and_one_without_a_sensor_the_least() -> None:
    config, blind = bank(2), bank(2, temperature_sensors=0)
    cool, warm, none = (
        asked(seen(c, [REST_V + 1.0, REST_V], temp_degC=degC), [OPEN, CLOSED]).apart_V[1, 0]
        for c, degC in ((config, 20.0), (config, 35.0), (blind, 25.0))
    )
    amps = float(config.limits.rated_charge_A[0])
    assert cool == pytest.approx(2.0 * amps * ohm(config, 20.0)) and warm == pytest.approx(
        2.0 * amps * ohm(config, 35.0)
    )
    assert none == pytest.approx(2.0 * amps * ohm(config, 1000.0)) and none < warm < cool


def test_a_pack_with_more_in_parallel_has_less_resistance() -> None:
    one, two = (asked(seen(bank(2, parallel=p), [REST_V + 2.0, REST_V]), [OPEN, CLOSED]).apart_V[1, 0] for p in (1, 2))
    assert two == pytest.approx(one)  # twice the current through half the resistance


@pytest.mark.parametrize("lost", [0, 1])
def test_an_unknown_voltage_joins_nothing(lost: int) -> None:
    config = bank(2)
    volts = np.full(config.layout.size["cell"], REST_V / SERIES)
    volts[config.layout.first_cell[lost]] = np.nan
    look = seen(config, REST_V, cell_voltage=volts, string_voltage=np.nan)
    found = asked(look, [OPEN, CLOSED])
    assert not found.may[0] and found.waits[0] and np.isnan(found.apart_V[0, 0]) and found.apart_V[1, 0] == 0.0
    if lost == 0:
        assert not asked(look, [OPEN, OPEN]).may[0] and asked(look, [OPEN, OPEN]).may[1]


def test_where_cells_are_unknown_the_measured_voltage_counts() -> None:
    """What strings bear is not known then: they must be equal as far as can be measured."""
    for apart_V, may in ((SERIES * BAND_V - 1e-6, True), (SERIES * BAND_V + 1e-6, False)):
        look = seen(bank(2), REST_V, cell_voltage=np.nan, string_voltage=[REST_V + apart_V, REST_V])
        assert bool(asked(look, [OPEN, CLOSED]).may[0]) == may


def test_an_unknown_current_on_the_bus_joins_nothing() -> None:
    look = seen(bank(2), REST_V, current=[0.0, np.nan])
    assert not asked(look, [OPEN, CLOSED]).may[0]


def test_alone_on_a_bus_nothing_is_compared() -> None:
    config = bank(2, on_bus=(1, 2))
    look = seen(config, [REST_V, REST_V + 2.0], cell_voltage=np.nan, string_voltage=np.nan)
    for phase in ([OPEN, CLOSED], [OPEN, OPEN], [CLOSED, CLOSED]):
        found = asked(look, phase)
        assert found.may.all() and not found.waits.any()


@pytest.mark.parametrize("charger", [0.0, 1.0, np.nan])
def test_on_an_empty_bus_the_highest_begins_or_with_a_charger_the_lowest(charger: float) -> None:
    config = bank(4, on_bus=(1, 1, 1, 2))
    present = np.zeros(4)
    present[2] = charger  # of any pack on the bus
    look = seen(config, REST_V + np.array([0.3, 0.5, 0.1, 0.0]), charger_present=present)
    begins = 2 if charger == 1.0 else 1
    assert np.flatnonzero(asked(look, OPEN).may).tolist() == [begins, 3]
    assert not asked(look, OPEN).waits.any()
    others = np.arange(4) != begins
    assert np.flatnonzero(asked(look, OPEN, others).may[:3]).tolist() == [0]  # who does not want to is not waited for


def test_nearest_first_one_at_a_time_and_the_first_of_equals() -> None:
    config = bank(4)
    near = seen(config, REST_V + np.array([0.04, -0.02, 0.02, 0.0]))
    assert np.flatnonzero(asked(near, [OPEN, OPEN, OPEN, CLOSED]).may).tolist() in ([1], [2])
    equal = seen(config, REST_V)
    assert np.flatnonzero(asked(equal, [OPEN, OPEN, OPEN, CLOSED]).may).tolist() == [0]
    assert np.flatnonzero(asked(equal, OPEN).may).tolist() == [0]
    far = seen(config, REST_V + np.array([1.0, 0.0, -1.5, 0.0]))
    found = asked(far, [OPEN, OPEN, OPEN, CLOSED])
    assert found.may.tolist() == [False, True, False, False] and not found.waits.any()  # the bus still moves
    found = asked(far, [OPEN, CLOSED, OPEN, CLOSED])
    assert not found.may.any() and found.waits.tolist() == [True, False, True, False]
    assert found.apart_V[0, [0, 2]] == pytest.approx([1.0, -1.5], abs=1e-3)


@pytest.mark.parametrize("phase", Phase)
def test_who_is_not_known_to_be_off_the_bus_counts(phase: Phase) -> None:
    look = seen(bank(2), [REST_V + 1.0, REST_V])
    off = phase in (Phase.OPEN, Phase.COOLING)
    assert bool(asked(look, [OPEN, phase], wants=[True, False]).may[0]) == off


@pytest.mark.parametrize(
    ("closed", "on"),
    [(("minus",), False), (("plus",), False), (("minus", "plus"), True), (("charge",), True), (("discharge",), True)],
)
def test_contacts_that_stay_closed_hold_an_open_string_on_the_bus(closed: tuple[str, ...], on: bool) -> None:
    put = {f"feedback_{name}": np.array([0.0, 1.0]) for name in closed}
    look = seen(bank(2), [REST_V + 1.0, REST_V], **put)
    assert bool(asked(look, OPEN, wants=[True, False]).may[0]) != on


@pytest.mark.parametrize(("charge", "discharge", "on"), [(0, 0, False), (1, 0, True), (0, 1, True), (np.nan, 0, True)])
def test_a_string_with_a_bms_of_its_own_is_on_the_bus_unless_it_says_that_it_is_not(
    charge: float, discharge: float, on: bool
) -> None:
    packs = [pack("a", 4), pack("b", 4, switchgear={"kind": "none"})]
    config = build(table(packs, [*FOREIGN, *CELL_SIDE[:1], *FEEDBACK]), "mixed").config
    volts = 4 * 3.3
    look = seen(config, [volts + 1.0, volts], feedback_charge=[0.0, charge], feedback_discharge=[0.0, discharge])
    assert bool(asked(look, OPEN, wants=[True, False]).may[0]) != on


def test_what_a_foreign_bms_allows_bounds_it_too() -> None:
    packs = [pack("a", 4), pack("b", 4, switchgear={"kind": "none"})]
    config = build(table(packs, [*FOREIGN, *CELL_SIDE[:1], *FEEDBACK]), "mixed").config
    limits_V = [
        asked(
            seen(config, [14.2, 13.2], feedback_charge=1.0, foreign_charge_limit=amps, foreign_discharge_limit=200.0),
            OPEN, wants=[True, False],
        ).apart_V[1, 0]
        for amps in (60.0, 30.0)
    ]  # fmt: skip
    assert limits_V[0] == pytest.approx(2.0 * limits_V[1])


@pytest.mark.parametrize("numbers", [(2, 2), (1, 3), (1, 2, 1)])
def test_packs_of_one_bus_stand_together_and_buses_count_from_one(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="bus"):
        bank(len(numbers), on_bus=numbers)
    assert buses(bank(3, on_bus=(1, 1, 2))).shared.tolist() == [True, True, False]


def test_a_wait_is_told_once_and_ends_with_the_wish_or_the_difference() -> None:
    bench = Bench(bank(2))
    bench.cells = np.repeat([3.9, 3.5], SERIES)
    bench.run(0.1)
    bench.step(close=True, confirm_unknown_soc=True)
    bench.run(1.0)
    assert [bench.phase(s) for s in range(2)] == [Phase.CLOSED, Phase.OPEN]
    (told,) = (e for e in bench.events if e.name == "closing waits")
    limit_V = 2.0 * float(bench.config.limits.rated_charge_A[0]) * ohm(bench.config)
    assert told.string == 1 and told.value == pytest.approx(-1.6) and told.limit == pytest.approx(limit_V)
    assert told.cause == f"its voltage is 1.60 V below the bus, limit {limit_V:.2f} V"
    bench.step(open=np.array([False, True]))
    assert np.isnan(bench.state.switches.apart_V).all()
    bench.step(close=True)
    bench.run(0.2)
    assert sum(e.name == "closing waits" for e in bench.events) == 2
    bench.cells = np.repeat([3.9, 3.9], SERIES)
    bench.run(0.2)
    assert bench.phase(1) == Phase.CLOSED and np.isnan(bench.state.switches.apart_V).all()


def test_a_pair_joins_with_its_last_contact_only_where_the_bus_is_still_near() -> None:
    bench = Bench(bank(2, kind="contactors"))
    bench.run(0.1)
    bench.step(close=np.array([True, False]), confirm_unknown_soc=True)
    bench.run(5.0, lambda b: b.phase() == Phase.CLOSED)
    bench.step(close=True)
    bench.run(1.0, lambda b: b.phase(1) == Phase.PRECHARGE)
    bench.cells = np.repeat([3.9, 3.7], SERIES)
    bench.run(1.5)
    assert bench.phase(1) == Phase.PRECHARGE and bench.phase() == Phase.CLOSED
    bench.cells = np.repeat([3.7, 3.7], SERIES)
    bench.run(0.3)
    assert bench.phase(1) == Phase.CLOSED


@pytest.mark.parametrize("kind", ["fets", "separate"])
def test_a_second_path_closes_only_where_the_bus_is_near(kind: str) -> None:
    """An empty string charges on; once it may discharge again it must not do so from above the others."""
    bench = Bench(bank(2, kind=kind)).close()
    rows = bench.config.faults
    row = rows.name.index("cell_under_voltage_maximum")
    active = bench.state.faults.active.copy()
    active[row, 1] = True
    bench.state = replace(bench.state, faults=replace(bench.state.faults, active=active))
    bench.step()
    assert bench.phase(1) == Phase.CHARGE_ONLY
    bench.cells = np.repeat([3.5, 3.9], SERIES)
    bench.run(12.0)
    assert not bench.active("cell_under_voltage_maximum", 1) and bench.phase(1) == Phase.CHARGE_ONLY
    bench.cells = np.repeat([3.9, 3.9], SERIES)
    bench.run(0.3)
    assert bench.phase(1) == Phase.CLOSED
