"""Which cells bleed and what converters move: by a plan where it says so while valid, else by voltage near full.

Voltage says something about imbalance only above `start_V` and without load; below it only a dose (Ah, from SOC and
capacity) may bleed. What is above its recommended voltage bleeds whatever the others have and whatever a plan says:
that is the way back of a string that is open because all its cells are too full. Bleeding goes in turns: on for `share`
of a turn, then off, and only then are cells measured and the next turn chosen, so that no reading on which anything but
protection rests is falsified by bleeding. The bounds of the hardware (channels, odd and even, warm board, lowest SOC)
hold for plans too. Unknown cells, heat and faults stop the whole string, an expired plan at once.
"""

from functools import lru_cache

import numpy as np

from cellarer.core.decide.converters import has_next, into_cells, kinds
from cellarer.core.decide.protect import Demand
from cellarer.core.decide.signals import Look
from cellarer.model.config import MOVE_STEP, Config
from cellarer.model.values import NEVER, Balancing, Bools, Floats, Ints, Plan

TURN_NS = 120_000_000_000  # of which `share` is bleeding; polarisation by a bleed current is below a microvolt
SETTLE_NS = 500_000_000  # until filters of a measuring chip have settled after a bleeder went off
LOOK_NS = 1_000_000_000  # the longest step of a simulation in a pause
UNREAD_NS = 60_000_000_000  # a reading that is lost for less leaves what was ordered: 2 A for a minute are 33 mAh
OFFSET_SHARE = 0.02  # of a converter's full current: what its sensor may show at none (own estimate, 1 % twice)
STOPPING = ("converter_off", "charge_lost")  # signals whose rows stop the converters of a string


def start(config: Config) -> Balancing:
    """Return balancing that has done nothing."""
    cells, strings = config.layout.size["cell"], config.layout.size["string"]
    no, zero, never = np.zeros(cells, bool), np.zeros(cells), np.full(cells, NEVER)
    unknown = np.full((3, strings), np.nan)
    return Balancing(
        no, np.zeros(strings, bool), np.full(strings, NEVER), np.zeros(strings, np.int64), never, zero, zero, never,
        unknown,
    )  # fmt: skip


@lru_cache(maxsize=16)
def _has_hardware(config: Config) -> bool:
    return bool(np.count_nonzero(config.balance.bleed_A)) or bool(kinds(config))


def other_A(look: Look) -> Floats:
    """Return what bleeders and converters put into each cell beside the string's current, (cell,) A."""
    config, command = look.config, look.state.command
    bled = np.where(look.bled, -_bleeds_A(look), 0.0)
    return bled + into_cells(config, command.move, look.of("cell_voltage"), _passed(look)) if kinds(config) else bled


def _bleeds_A(look: Look) -> Floats:
    """Return what each bleeder takes while it is on, (cell,) A: a resistor, `bleed_A` at the voltage of half charge."""
    voltage, rated_A = look.of("cell_voltage"), look.config.balance.bleed_A[look.config.layout.string_of_cell]
    return rated_A * np.where(voltage > 0.0, voltage / _half_V(look.config), 1.0)


@lru_cache(maxsize=16)
def _half_V(config: Config) -> Floats:
    """Return the voltage of each cell at rest at half charge and 25 degC, (cell,) V."""
    half = [float(np.interp(25.0, m.temp_degC, m.ocv[:, m.ocv.shape[1] // 2])) for m in config.models]
    return np.asarray(np.array(half)[config.cell_kind])


def _passed(look: Look) -> Floats:
    """Return what converters are measured to pass, (cell,) A; NaN = not measured.

    With nothing ordered a small reading is the offset of its sensor, which must not add up.
    """
    config, measured = look.config, look.of("converter_current")
    small = np.abs(measured) <= OFFSET_SHARE * config.balance.move_A[config.layout.string_of_cell]
    return np.where(small & ~(look.state.command.move > 0.0).any(axis=0), 0.0, measured)


def _unread_ns(look: Look) -> Ints:
    """Return when each cell's converter was last ordered to work and not measured, (cell,)."""
    at = look.config.layout.where["converter_current"]
    silent = ~look.config.sensing.present[at] | (look.now_ns - look.seen.valid_ns[at] > UNREAD_NS)
    worked = (look.state.command.move > 0.0).any(axis=0)
    return np.where(worked & silent, look.now_ns, look.state.balancing.unread_ns)


def disturbed(look: Look) -> Bools | None:
    """Return whose reading bleeding falsifies now, its own or a neighbour's, (cell,); None = nobody's."""
    before = look.state.balancing
    if not _has_hardware(look.config):
        return None
    touched = _touched(look, look.bled | look.state.command.bleed)
    quiet = look.now_ns - before.dirty_ns.max() >= SETTLE_NS
    if quiet and not np.count_nonzero(touched):
        return None
    return touched | (look.now_ns - before.dirty_ns < SETTLE_NS)


def _touched(look: Look, bled: Bools) -> Bools:
    """Return which cells are bled or moved, or sit beside one that is, (cell,); where the device sees to it: none."""
    config, command = look.config, look.state.command
    on = bled | (command.move > 0.0).any(axis=0)
    beside = np.concatenate(([False], (on & has_next(config))[:-1])) | (np.append(on[1:], False) & has_next(config))
    return (on | beside) & (config.balance.share[config.layout.string_of_cell] < 1.0)


def steady_s(config: Config, memory: Balancing, now_ns: int) -> float:
    """Return for how long who bleeds and what moves stays as it is, s; inf where nothing does.

    In a pause shorter: several looks must see what cells are without bleeding.
    """
    if not (np.count_nonzero(memory.chosen) or np.count_nonzero(memory.planned)):
        return float("inf")
    since_ns = now_ns - memory.begin_ns
    on_ns = config.balance.share * TURN_NS
    left_ns = np.where(since_ns < on_ns, on_ns - since_ns, np.minimum(TURN_NS - since_ns, LOOK_NS))
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
    moved_Ah, unread_ns, converts = before.moved_Ah, before.unread_ns, bool(kinds(config))
    if converts or np.count_nonzero(look.bled):
        moved_Ah = moved_Ah + other_A(look) * (dt_s / 3600.0)
    if converts and np.count_nonzero(command.move):
        unread_ns = _unread_ns(look)
    planned = _speaks(config, plan) & (plan.expires_ns > now_ns)
    any_planned = bool(np.count_nonzero(planned))
    hot = look.extremes[2]
    sane = ~np.isnan(look.extremes[1]) & (hot <= table.max_degC) & ~(demand.open[1] | demand.ramp[1])
    sane &= np.where(planned, look.flows[0], look.current >= -config.idle_A)
    chosen, begin_ns, turn = before.chosen, before.begin_ns, before.turn
    moves = plan.move.any(axis=0) if any_planned and converts else False  # they pause too
    idle = ~np.logical_or.reduceat(chosen | moves, config.layout.first_cell)
    again = idle | (now_ns - begin_ns >= TURN_NS) | (planned != before.planned)
    if np.count_nonzero(again):
        begin_ns, turn = np.where(again, now_ns, begin_ns), turn + again
        need = _by_voltage(look, dirty)
        if any_planned:
            need = np.where(planned[owner], np.maximum(_planned(look, plan), _too_full(look)), need)
        chosen = np.where(again[owner], _bounded(look, np.where(sane[owner], need, 0.0), turn), chosen)
    if any_planned:
        chosen = chosen & ((plan.bleed_Ah > 0.0) | ~planned[owner] | (_too_full(look) > 0.0))
    on = (sane & (now_ns - begin_ns < table.share * TURN_NS))[owner]
    move = _moves(look, plan, demand, on & planned[owner]) if any_planned and converts else np.zeros_like(command.move)
    dirty_ns = before.dirty_ns if dirty is None else np.where(_touched(look, command.bleed), now_ns, before.dirty_ns)
    counted_Ah = before.moved_Ah if estimated else before.counted_Ah
    memory = Balancing(chosen, planned, begin_ns, turn, dirty_ns, moved_Ah, counted_Ah, unread_ns, look.unbled[1:])
    return memory, chosen & on & (table.bleed_A > 0.0)[owner], move


@lru_cache(maxsize=4)
def _speaks(config: Config, plan: Plan) -> Bools:
    """Return for which strings a plan says who bleeds or what moves, (string,): the rules go on for all others."""
    said = ~np.isnan(plan.bleed_Ah) | (plan.move > 0.0).any(axis=0)
    return np.logical_or.reduceat(said, config.layout.first_cell)


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
    spread = np.where((above > least) & (voltage >= table.start_V[owner]), above, 0.0)
    return np.maximum(spread, _too_full(look))


def _too_full(look: Look) -> Floats:
    """Return how far cells stand, bled or not, above their recommended voltage, (cell,) V: there nothing is charged."""
    config = look.config
    if not np.count_nonzero(look.high_V > config.limits.charge_zero_V):
        return _no_need(config)
    above = look.of("cell_voltage") + look.hidden - config.limits.charge_zero_V[config.layout.string_of_cell]
    return np.where(above > 0.0, above, 0.0)


@lru_cache(maxsize=16)
def _no_need(config: Config) -> Floats:
    return np.zeros(config.layout.size["cell"])


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


@lru_cache(maxsize=16)
def _stoppers(config: Config) -> Ints:
    """Return the rows of the fault table that stop the converters of their string."""
    return np.flatnonzero([signal in STOPPING for signal in config.faults.signal])


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
    failed = look.state.faults.active[_stoppers(config)].any(axis=0)
    free = on & ~(demand.open[0] | demand.ramp[0] | failed)[owner]
    steps = np.floor(np.minimum(plan.move, 1.0) / MOVE_STEP + 1e-6)  # what is ordered is what is counted
    return np.where(ok & free & (steps > 0.0), steps * MOVE_STEP, 0.0)
