"""What the plant is told: the far end of every wire, relay and message."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellarer.model.config import Config
from cellarer.model.values import Command

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(slots=True)
class Orders:
    """What the plant is told; (string,) unless said. Limits that were never told are 0."""

    minus: Bools
    precharge: Bools
    plus: Bools
    charge_switch: Bools
    discharge_switch: Bools
    charge_A: Floats
    discharge_A: Floats
    charge_V: Floats
    packs_A: Floats  # (2, pack) charge, discharge: what a machine on one pack is told; NaN = the strings' limits alone
    bank_A: Floats  # (2, bus) … and one on several packs
    bleed: Bools  # (cell,)
    move: Floats  # (2, cell) 0…1 share of the time that converters give, take
    heater: Floats  # (pack,) 0…1
    pump: Floats  # (pack,) 0…1


def no_orders(config: Config) -> Orders:
    """Return orders of a silent controller: everything open, no current."""
    size = config.layout.size
    no, zero = np.zeros(size["string"], bool), np.zeros(size["string"])
    packs_A, bank_A = np.full((2, size["pack"]), np.nan), np.full((2, config.bus_of_pack[-1] + 1), np.nan)
    return Orders(
        no.copy(), no.copy(), no.copy(), no.copy(), no.copy(), zero.copy(), zero.copy(), zero.copy(),
        packs_A, bank_A, np.zeros(size["cell"], bool), np.zeros((2, size["cell"])),
        np.zeros(size["pack"]), np.zeros(size["pack"]),
    )  # fmt: skip


def orders_of(command: Command) -> Orders:
    """Return the orders that a command means for in-process runs, without guard and wires."""
    window = command.window
    packs_A = np.array((command.pack_charge_A, command.pack_discharge_A))
    bank_A = np.array((command.bank_charge_A, command.bank_discharge_A))
    return Orders(
        command.minus, command.precharge, command.plus, command.charge_switch, command.discharge_switch,
        window.charge_A, window.discharge_A, window.charge_V, packs_A, bank_A, command.bleed, command.move,
        command.heater, command.pump,
    )  # fmt: skip
