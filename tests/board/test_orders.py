"""What control writes is what the guard reads; what the guard writes is what the links read. Two codes, one format."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cellarer.board import orders
from cellarer.board.orders import GATE, WISH, OrdersReader, Vetoes, WishWriter, create_orders, parse
from cellarer.board.ring import BoardError
from cellarer.guard import decide
from cellarer.guard.decide import Orders as GuardOrders
from cellarer.guard.files import Ring, gate_record, parse_wish
from cellarer.model.values import Command, Window

SITE = b"\x01\x23\x45\x67\x89\xab\xcd\xef"


def command(dice: np.random.Generator, strings: int, packs: int, cells: int) -> Command:
    def some(n: int) -> np.ndarray:
        return dice.random(n) < 0.5

    limits = [dice.random(strings) * 100 for _ in range(6)]
    reasons = [np.zeros(strings, np.int8)] * 3
    given = {name: some(strings) for name in orders.OUTPUTS} | {name: some(packs) for name in orders.FLAGS}
    given |= {
        "window": Window(*limits, *reasons, np.zeros((4, 2, strings)), np.zeros((4, 2, strings)), np.zeros(strings)),
        "bleed": some(cells), "move": np.round(dice.random((2, cells)) * 250) / 250,
    }  # fmt: skip
    given |= {"heater": dice.random(packs), "pump": dice.random(packs)}
    rest = {f.name: np.zeros(1) for f in fields(Command) if f.name not in given}  # not for devices
    return Command(**given, **rest)


@pytest.mark.parametrize(("strings", "packs", "cells"), [(1, 1, 1), (1, 1, 16), (5, 2, 77), (100, 100, 1604)])
def test_the_guard_reads_what_control_writes(tmp_path: Path, strings: int, packs: int, cells: int) -> None:
    dice = np.random.default_rng(7)
    create_orders(tmp_path / "wish", strings, packs, cells)
    writer, ring, reader = (
        WishWriter(tmp_path / "wish", SITE),
        Ring(tmp_path / "wish"),
        OrdersReader(tmp_path / "wish", WISH),
    )
    for counter in range(1, 6):
        told, reset = command(dice, strings, packs, cells), dice.random(packs) < 0.5
        writer.write(told, reset, 100 * counter, 100 * counter + 60)
        wish, own = parse_wish(ring.newest(), strings, packs, cells), reader.newest()
        assert wish is not None
        assert own is not None
        assert (wish.counter, wish.time_ns, wish.expires_ns, wish.site) == (
            counter,
            100 * counter,
            100 * counter + 60,
            SITE,
        )
        for i, (bits, *limits) in enumerate(wish.strings):
            names = (told.minus, told.precharge, told.plus, told.charge_switch, told.discharge_switch)
            assert bits == sum(int(x[i]) << k for k, x in enumerate(names))
            w = told.window
            assert limits == [w.charge_A[i], w.discharge_A[i], w.charge_V[i], w.discharge_V[i]]
        for i, (bits, heater, pump) in enumerate(wish.packs):
            facts = (told.allow_charge, told.allow_discharge, told.pre_alarm, told.start_generator, told.buzzer, reset)
            assert bits == sum(int(x[i]) << k for k, x in enumerate(facts))
            assert (heater, pump) == (told.heater[i], told.pump[i])
        np.testing.assert_array_equal(own.bleed, told.bleed)
        np.testing.assert_array_equal(own.move, told.move)
        assert wish.cells == orders.of_cells(told.bleed, told.move)


def test_both_codes_mean_the_same_bits() -> None:
    outputs = {name: 1 << i for i, name in enumerate(orders.OUTPUTS)}
    assert (outputs["charge_switch"], outputs["discharge_switch"]) == (decide.CHARGE_SWITCH, decide.DISCHARGE_SWITCH)
    assert decide.OUTPUTS == orders.CLOSED == sum(outputs.values())
    assert (decide.CHARGE, decide.DISCHARGE) == (orders.VETO_CHARGE, orders.VETO_DISCHARGE)
    flags = {name: 1 << i for i, name in enumerate(orders.FLAGS)}
    assert (flags["allow_charge"], flags["allow_discharge"]) == (decide.ALLOW_CHARGE, decide.ALLOW_DISCHARGE)
    assert decide.RESET == orders.RESET


def test_the_links_read_what_the_guard_writes() -> None:
    written = GuardOrders(
        7,
        100,
        160,
        SITE,
        True,
        ((5 | 32, 1.0, 2.0, 3.0, 4.0), (24, 5.0, 6.0, 7.0, 8.0)),
        ((3, 0.5, 0.25),),
        b"\x05\x80" + bytes((0, 250, *[0] * 14)) + bytes((125, *[0] * 15)),
    )
    got = parse(gate_record(written, 16), GATE)
    assert (got.counter, got.time_ns, got.expires_ns, got.leaving) == (7, 100, 160, True)
    assert got.output("minus").tolist() == [True, False]
    assert got.output("discharge_switch").tolist() == [False, True]
    assert got.closed.tolist() == [True, True]
    assert got.vetoes.time_ns == 100
    assert (got.vetoes.any.tolist(), got.vetoes.both.tolist()) == ([True, False], [False, False])
    assert got.strings["charge_V"].tolist() == [3.0, 7.0]
    assert np.flatnonzero(got.bleed).tolist() == [0, 2, 15]
    assert got.move[0].tolist() == [0.0, 1.0, *[0.0] * 14] and got.move[1].tolist() == [0.5, *[0.0] * 15]


def test_a_converter_is_never_ordered_more_than_was_meant() -> None:
    meant = np.array([[0.0, 0.0039, 0.004, 0.5, 1.0, 7.0], [-1.0, 0.3, 0.999, 0.9999, 0.0, 0.0]])
    codes = np.frombuffer(orders.of_cells(np.zeros(6, bool), meant)[1:], np.uint8).reshape(2, 6)
    assert codes.tolist() == [[0, 0, 1, 125, 250, 250], [0, 75, 249, 249, 0, 0]]


def test_a_last_will_closes_nothing_and_allows_nothing(tmp_path: Path) -> None:
    create_orders(tmp_path / "wish", 2, 1, 5)
    writer = WishWriter(tmp_path / "wish", SITE)
    writer.leave(command(np.random.default_rng(1), 2, 1, 5), 100)
    left = OrdersReader(tmp_path / "wish", WISH).newest()
    assert left is not None
    assert left.leaving
    assert not left.closed.any()
    assert not (left.bleed.any() or left.move.any())
    assert not any(left.strings[name].any() for name in ("charge_A", "discharge_A"))


def test_a_record_that_is_not_exactly_right_is_none() -> None:
    written = GuardOrders(1, 1, 1, SITE, False, ((0, 0.0, 0.0, 0.0, 0.0),), ((0, 0.0, 0.0),), bytes(17))
    record = gate_record(written, 8)
    assert parse_wish(record, 1, 1, 8) is None, "an order is no wish"
    wish = b"WISH" + record[4:]
    assert parse_wish(wish, 1, 1, 8) is not None
    assert parse_wish(None, 1, 1, 8) is None
    for wrong in (wish[:-1], wish + b"\x00", b"", wish[:20]):
        assert parse_wish(wrong, 1, 1, 8) is None
    assert parse_wish(wish, 1, 1, 7) is None, "another size of site"
    for wrong in (record[:-1], record + b"\x00", b"", wish):
        with pytest.raises(BoardError):
            parse(wrong, GATE)


@pytest.mark.parametrize(
    ("closed", "charge", "discharge", "against"),
    [
        (("minus", "plus"), False, True, False),  # a pair may be charged
        (("minus",), True, False, True), (("plus",), True, True, True), ((), True, True, False),
        (("charge_switch",), False, True, False), (("charge_switch",), True, False, True),
        (("discharge_switch",), True, False, False), (("discharge_switch",), False, True, True),
        (("minus", "plus", "charge_switch", "discharge_switch"), False, False, False),
    ],
)  # fmt: skip
def test_a_veto_is_against_what_is_closed_on_its_path(
    closed: tuple[str, ...], charge: bool, discharge: bool, against: bool
) -> None:
    names = ("minus", "plus", "charge_switch", "discharge_switch")
    command: Any = SimpleNamespace(**{name: np.array([name in closed]) for name in names})
    vetoes = Vetoes(0, np.array([charge]), np.array([discharge]))
    assert vetoes.against(command).tolist() == [against]
    assert (bool(vetoes.any[0]), bool(vetoes.both[0])) == (charge or discharge, charge and discharge)
