"""Which cells bleed and what converters move: by a plan while valid, else by voltage near the end of charge.

Voltage says something about imbalance only above `start_V` and without load; below it only a dose (Ah, from SOC and
capacity) may bleed. Bleeding goes in turns: on for `share` of a turn, then off, and only then are cells measured and
the next turn chosen, so that no reading on which anything but protection rests is falsified by bleeding. The bounds of
the hardware (channels, odd and even, warm board, lowest SOC) hold for plans too. Unknown cells, heat and faults stop
the whole string, an expired plan at once.
"""

from functools import lru_cache

import numpy as np

from cellarer.core.decide.converters import has_next, into_cells, kinds
from cellarer.core.decide.protect import Demand
from cellarer.core.decide.signals import Look
from cellarer.model.config import MOVE_STEP, Config
from cellarer.model.values import NEVER, Balancing, Bools, Command, Floats, Ints, Plan

TURN_NS = 120_000_000_000  # of which `share` is bleeding; polarisation by a bleed current is below a microvolt
SETTLE_NS = 500_000_000  # until filters of a measuring chip have settled after a bleeder went off


def start(config: Config) -> Balancing:
    """Return balancing that has done nothing."""
    cells, strings = config.layout.size["cell"], config.layout.size["string"]
    no, zero, never = np.zeros(cells, bool), np.zeros(cells), np.full(cells, NEVER)
    unknown = np.full((3, strings), np.nan)
    return Balancing(
        no, np.zeros(strings, bool), np.full(strings, NEVER), np.zeros(strings, np.int64), never, zero, zero,
        unknown,
    )  # fmt: skip


@lru_cache(maxsize=16)
def _has_hardware(config: Config) -> bool:
    return bool(np.count_nonzero(config.balance.bleed_A)) or bool(kinds(config))


def other_A(config: Config, command: Command, voltage: Floats) -> Floats:
    """Return what bleeders and converters put into each cell beside the string's current, (cell,) A."""
    bled = np.where(command.bleed, -config.balance.bleed_A[config.layout.string_of_cell], 0.0)
    return bled + into_cells(config, command.move, voltage) if kinds(config) else bled


def disturbed(look: Look) -> Bools | None:
    """Return whose reading bleeding falsifies now, its own or a neighbour's, (cell,); None = nobody's."""
    config, before, command = look.config, look.state.balancing, look.state.command
    if not _has_hardware(config):
        return None
    on = command.bleed | (command.move > 0.0).any(axis=0)
    quiet = look.now_ns - before.dirty_ns.max() >= SETTLE_NS
    if quiet and not np.count_nonzero(on):
        return None
    beside = np.concatenate(([False], (on & has_next(config))[:-1])) | (np.append(on[1:], False) & has_next(config))
    own = config.balance.share[config.layout.string_of_cell] == 1.0  # the device sees to it
    return (on | beside | (look.now_ns - before.dirty_ns < SETTLE_NS)) & ~own


def steady_s(config: Config, memory: Balancing, now_ns: int) -> float:
    """Return for how long who bleeds stays as it is, s; inf where nobody does."""
    if not np.count_nonzero(memory.chosen):
        return float("inf")
    since_ns = now_ns - memory.begin_ns
    on_ns = config.balance.share * TURN_NS
    left_ns = np.where(since_ns < on_ns, on_ns, TURN_NS) - since_ns
    return max(float(left_ns.min()), 0.0) * 1e-9


def balance(
    look: Look, demand: Demand, plan: Plan, dirty: Bools | None, estimated: bool, dt_s: float
) -> tuple[Balancing, Bools, Floats]:
    """Return the memory, (cell,) who bleeds and (2, cell) what converters do this cycle.

    dirty      as `disturbed` said this cycle
    estimated  the estimators have just taken over what was moved until the last cycle
    dt_s       since the last cycle
    """
    config, before, command = look.config, look.state.balancing, look.state.command
    if not _has_hardware(config):
        return before, command.bleed, command.move
    table, owner, now_ns = config.balance, config.layout.string_of_cell, look.now_ns
    moved_Ah = before.moved_Ah
    if np.count_nonzero(command.bleed) or np.count_nonzero(command.move):
        moved_Ah = moved_Ah + other_A(config, command, look.of("cell_voltage")) * (dt_s / 3600.0)
    planned = plan.expires_ns > now_ns
    hot = look.extremes[2]
    sane = ~np.isnan(look.extremes[1]) & (hot <= table.max_degC) & ~(demand.open[1] | demand.ramp[1])
    sane &= look.flows[0] if planned else look.current >= -config.idle_A
    chosen, begin_ns, turn = before.chosen, before.begin_ns, before.turn
    idle = ~np.logical_or.reduceat(chosen, config.layout.first_cell)
    again = idle | (now_ns - begin_ns >= TURN_NS) | (planned != before.planned)
    if np.count_nonzero(again):
        begin_ns, turn = np.where(again, now_ns, begin_ns), turn + again
        need = _planned(look, plan) if planned else _by_voltage(look, dirty)
        chosen = np.where(again[owner], _bounded(look, np.where(sane[owner], need, 0.0), turn), chosen)
    if planned:
        chosen = chosen & (plan.bleed_Ah > 0.0)
    on = (sane & (now_ns - begin_ns < table.share * TURN_NS))[owner]
    move = _moves(look, plan, demand, on) if planned and kinds(config) else np.zeros_like(command.move)
    dirty_ns = before.dirty_ns if dirty is None else np.where(dirty, now_ns, before.dirty_ns)
    counted_Ah = before.moved_Ah if estimated else before.counted_Ah
    stays = np.full(sane.size, planned)
    memory = Balancing(chosen, stays, begin_ns, turn, dirty_ns, moved_Ah, counted_Ah, look.unbled[1:])
    return memory, chosen & on & (table.bleed_A > 0.0)[owner], move


def _planned(look: Look, plan: Plan) -> Floats:
    """Return the doses that may be bled now, (cell,) Ah: none below the lowest SOC, none of an unknown cell."""
    config, owner = look.config, look.config.layout.string_of_cell
    ok = look.state.estimate.soc >= config.balance.minimum_soc[owner]
    ok &= look.of("cell_voltage") > config.limits.discharge_V[owner]
    return np.where(ok & (plan.bleed_Ah > 0.0), plan.bleed_Ah, 0.0)


def _by_voltage(look: Look, dirty: Bools | None) -> Floats:
    """Return how far cells that should bleed stand above the lowest one, (cell,) V, from undisturbed readings."""
    table, layout, before = look.config.balance, look.config.layout, look.state.balancing.chosen
    owner, voltage = layout.string_of_cell, look.of("cell_voltage")
    if dirty is not None and np.count_nonzero(dirty):
        voltage = np.where(dirty, np.nan, voltage)
    above = voltage - layout.lowest(voltage)[owner]
    least = np.where(before, table.stop_spread_V[owner], table.start_spread_V[owner])
    return np.where((above > least) & (voltage >= table.start_V[owner]), above, 0.0)


def _bounded(look: Look, need: Floats, turn: Ints) -> Bools:
    """Return who bleeds in this turn, (cell,): those in need the most, as many as channels and a warm board allow."""
    table, layout = look.config.balance, look.config.layout
    owner, wanted = layout.string_of_cell, need > 0.0
    if not np.count_nonzero(wanted):
        return wanted
    place = np.arange(owner.size) - layout.first_cell[owner]
    wanted = wanted & ~(table.alternate[owner] & (place % 2 != turn[owner] % 2))
    each_K = table.board_K_per_W * table.bleed_A * look.extremes[0]
    room = (table.max_degC - look.extremes[2]) / np.where(each_K > 0.0, each_K, np.nan)
    most = np.where(each_K > 0.0, np.minimum(np.floor(room), table.channels), table.channels)
    rank = np.empty(owner.size, np.int64)
    rank[np.lexsort((-np.where(wanted, need, 0.0), owner))] = place
    return wanted & (rank < most[owner])


def _moves(look: Look, plan: Plan, demand: Demand, on: Bools) -> Floats:
    """Return what converters do, (2, cell): as planned, between cells that may give and cells that may take.

    Whoever gives must be above its operating voltage, whoever takes below it; between neighbours that is the next cell.
    """
    config, owner = look.config, look.config.layout.string_of_cell
    voltage, limits = look.of("cell_voltage"), config.limits
    gives, takes = voltage > limits.discharge_V[owner], voltage < limits.charge_V[owner]
    next_gives, next_takes = np.append(gives[1:], False), np.append(takes[1:], False)
    beside = config.balance.topology[owner] <= 2
    ok = np.array((gives & (next_takes | ~beside), takes & (next_gives | ~beside)))
    free = on & ~(demand.open[0] | demand.ramp[0])[owner]
    steps = np.floor(np.minimum(plan.move, 1.0) / MOVE_STEP + 1e-6)  # what is ordered is what is counted
    return np.where(ok & free & (steps > 0.0), steps * MOVE_STEP, 0.0)
