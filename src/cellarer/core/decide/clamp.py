"""The last step of decide: outputs from the switchgear phase, and signals for others. Nothing here widens."""

import numpy as np

from cellarer.core.decide.consumers import fed_A, feeds
from cellarer.core.decide.cool import lent_A
from cellarer.core.decide.limit import floor_soc, rated_window
from cellarer.core.decide.look import carrying, on_bus
from cellarer.core.decide.sequence import outputs
from cellarer.core.decide.share import share
from cellarer.core.decide.signals import Look
from cellarer.model.config import Config
from cellarer.model.reasons import INDEX
from cellarer.model.values import (
    Bools,
    ChargePhase,
    Charging,
    Command,
    Estimate,
    Faults,
    Floats,
    Level,
    Phase,
    Switches,
    Window,
)

RAMP_LEVEL = int(Level.RAMP)
ENDS = np.isin(np.arange(len(Phase)), (Phase.RAMP, Phase.DISCHARGE_RAMP))  # phases in which discharge ends
FORCES = np.isin(np.arange(len(ChargePhase)), (ChargePhase.REFILL, ChargePhase.PRECONDITION))  # … that want charge now
RECOVERING = INDEX["recovering"]


def clamp(
    look: Look,
    faults: Faults,
    switches: Switches,
    window: Window,
    estimate: Estimate,
    charging: Charging,
    bleed: Bools,
    move: Floats,
    heater: Floats,
    pump: Floats,
) -> Command:
    """Return the command of this cycle. Shapes as in Command."""
    config, layout, table = look.config, look.config.layout, look.config.limits
    minus, precharge, plus, charge_switch, discharge_switch = outputs(config, switches)
    may_charge, may_discharge = carrying(config, switches)
    heavy = ~layout.yes
    if np.count_nonzero(faults.active):
        heavy = np.logical_or.reduce(faults.active & (config.faults.level[:, None] >= RAMP_LEVEL), axis=0)
    low = ~(floor_soc(look, estimate) > table.pre_alarm_soc) & may_discharge
    falls = (window.discharge_A < 0.1 * table.rated_discharge_A) & (window.discharge_reason != RECOVERING)
    ending = ENDS[switches.phase] | (may_discharge & falls)
    allows = may_charge & (window.charge_A > 0.0), may_discharge & (window.discharge_A > 0.0)
    force = FORCES[charging.phase] & (window.charge_A > 0.0)  # no machine is asked for what it may not give
    signals = np.array((*allows, low | ending, low, heavy, force, charging.touch))
    allow_charge, allow_discharge, pre_alarm, start_generator, buzzer, force, full = layout.pack_any(signals)
    (pack_charge, pack_discharge), (bank_charge, bank_discharge) = share(look, switches, window, estimate)
    if feeds(config):  # what the pack gives its own heater nobody else may take, and chargers may bring it
        own, lent = fed_A(config, heater, pump), lent_A(look, heater)
        allow_charge = allow_charge | (lent > 0.0)
        first = layout.pack_of_string[on_bus(config)[1]]  # pack of each bus
        pack_charge, bank_charge = np.maximum(pack_charge, lent), np.maximum(bank_charge, np.add.reduceat(lent, first))
        pack_discharge = np.maximum(pack_discharge - own, 0.0)
        bank_discharge = np.maximum(bank_discharge - np.add.reduceat(own, first), 0.0)
    return Command(
        minus=minus,
        precharge=precharge,
        plus=plus,
        charge_switch=charge_switch,
        discharge_switch=discharge_switch,
        window=window,
        pack_charge_A=pack_charge,
        pack_discharge_A=pack_discharge,
        bank_charge_A=bank_charge,
        bank_discharge_A=bank_discharge,
        bleed=bleed,
        move=move,
        heater=heater,
        pump=pump,
        allow_charge=allow_charge,
        allow_discharge=allow_discharge,
        pre_alarm=pre_alarm,
        start_generator=start_generator,
        buzzer=buzzer,
        force_charge=force,
        full_charge=full,
    )


def nothing(config: Config) -> Command:
    """Return the command before the first cycle: everything open and off."""
    size = config.layout.size
    off, no = np.zeros(size["string"], bool), np.zeros(size["pack"], bool)
    zero, none = np.zeros(size["pack"]), np.zeros(on_bus(config)[1].size)
    bleed, move = np.zeros(size["cell"], bool), np.zeros((2, size["cell"]))
    limits = (zero, zero, none, none)
    return Command(off, off, off, off, off, rated_window(config), *limits, bleed, move, zero, zero, *[no] * 7)
