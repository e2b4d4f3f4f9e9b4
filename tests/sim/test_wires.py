"""Faults of communication do to frames what they say."""

from __future__ import annotations

import pytest
from tests.sim.world import plant, site

from cellarer.sim.plant import Plant, no_orders
from cellarer.sim.wires import ACTIONS, BABBLE, FAULTS_OF_WIRES, Item, Wires
from cellarer.wire.frame import Frame

FRAMES: list[Item] = [Frame(0x100 + k, bytes(range(k, k + 8))) for k in range(4)]
CHUNKS: list[Item] = [bytes(range(10, 30)), bytes(range(50, 62))]
SILENT = {"frames_lost", "bus_off", "wrong_bitrate"}


def world_with(name: str, size: float | None = None) -> tuple[Plant, Wires]:
    world = plant(site())
    world.inject(name, start_s=0.0, size=size)
    return world, Wires(world)


def test_every_fault_of_wires_has_its_action() -> None:
    assert set(ACTIONS) == set(FAULTS_OF_WIRES)


@pytest.mark.parametrize("items", [FRAMES, CHUNKS], ids=["frames", "chunks"])
@pytest.mark.parametrize("name", FAULTS_OF_WIRES)
def test_a_fault_changes_what_arrives_and_only_while_it_lasts(name: str, items: list[Item]) -> None:
    world = plant(site())
    wires = Wires(world)
    assert wires.pass_on(items, 0) == items
    world.inject(name, start_s=1.0)
    assert wires.pass_on(items, 0) == items
    world.advance(1.5, no_orders(world.config))
    old = items[::-1]  # other frames than those before, so that a repetition shows
    arrived = wires.pass_on(old, world.time_ns)
    assert arrived != old
    assert not (arrived and name in SILENT)


def test_a_single_bit_is_turned() -> None:
    _, wires = world_with("frames_corrupt")
    for sent, got in zip(FRAMES, wires.pass_on(FRAMES, 0), strict=True):
        assert isinstance(sent, Frame) and isinstance(got, Frame) and got.id == sent.id
        turned = int.from_bytes(sent.data, "big") ^ int.from_bytes(got.data, "big")
        assert turned.bit_count() == 1


def test_late_frames_come_in_order_after_their_delay_and_none_is_lost() -> None:
    _, wires = world_with("frames_delayed", 0.5)
    assert wires.pass_on(FRAMES[:2], 0) == []
    assert wires.pass_on(FRAMES[2:], 400_000_000) == []
    assert wires.pass_on([], 600_000_000) == FRAMES[:2]
    wires.plant.faults.end()
    assert wires.pass_on([], 700_000_000) == FRAMES[2:]


def test_damage_repeats_with_its_seed() -> None:
    first, again, other = (Wires(world_with("frames_inserted")[0], seed=s) for s in (1, 1, 2))
    assert first.pass_on(FRAMES, 0) == again.pass_on(FRAMES, 0) != other.pass_on(FRAMES, 0)


def test_a_babbling_device_repeats_every_frame() -> None:
    _, wires = world_with("frames_babbling")
    assert len(wires.pass_on(FRAMES, 0)) == BABBLE * len(FRAMES)
