"""Passive balancing by charge: how much to bleed out of each cell, who bleeds now, how long, and what it brings.

Of a string with r = z Q left and h = (1 − z) Q of room, min r + min h is usable and min Q is the most that bleeding can
reach. The least dose that reaches it is x = max(0, (r − min r) − (Q − min Q)): what a cell holds above the lowest one,
less what it can hold above the smallest one. It needs no voltage, so it works at any SOC. Of sixteen cells in doubt one
always looks high, so estimates are first drawn towards each other (`likely_soc`): doses to equal expectations make the
expected spread least. A larger cell may keep more only where it is certainly larger: to bleed too much for that costs
energy, never capacity.
The planner is asked again when its plan expires; the rules of the loop may always bleed less, and stop when in doubt.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cellarer.model.config import BalanceTable
from cellarer.model.layout import Layout
from cellarer.model.values import Estimate, Plan, no_plan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Report = dict[str, Floats]

LEAVE = 0.0025  # 1: of capacity that a programme leaves above the lowest cell: the middle of what counts as balanced
SLOT_S = 900.0  # a plan lives no longer: after that the estimate knows better
SHORTEST_S = 60.0  # bleeding for less is not worth a plan
KNOWN = 1e-6  # 1: SOC is never better known than this; keeps weights finite
HALVINGS = 40  # of the variance sought: to a millionth of a millionth


def usable_Ah(layout: Layout, soc: Floats, capacity_Ah: Floats) -> Floats:
    """Return what can be charged and discharged between the first full and the first empty cell, (string,) Ah."""
    return layout.lowest(soc * capacity_Ah) + layout.lowest((1.0 - soc) * capacity_Ah)


def likely_soc(layout: Layout, soc: Floats, sigma: Floats) -> Floats:
    """Return the SOC to be expected of each cell, (cell,): drawn towards its string as far as it is in doubt.

    How far cells really differ is not known either: it is the variance that explains what the estimates differ beyond
    their sigma (Paule & Mandel 1982), so what sigma explains alone draws all cells to one value. Empirical Bayes.
    """
    owner, free = layout.string_of_cell, np.maximum(np.diff(np.append(layout.first_cell, soc.size)) - 1.0, 1.0)
    doubt = sigma * sigma + KNOWN**2

    def about(true: Floats) -> tuple[Floats, Floats]:
        """Return the weight of each cell and how far it is from its string, if cells truly differ by this variance."""
        weight = 1.0 / (true[owner] + doubt)
        return weight, soc - (layout.total(weight * soc) / layout.total(weight))[owner]

    low = np.zeros(free.size)
    high = layout.total((soc - (layout.total(soc) / (free + 1.0))[owner]) ** 2) / free
    for _ in range(HALVINGS):
        true = 0.5 * (low + high)
        weight, off = about(true)
        more = layout.total(weight * off * off) > free
        low, high = np.where(more, true, low), np.where(more, high, true)
    weight, off = about(high)
    return np.asarray(soc - doubt * weight * off)


def _certain_capacity(layout: Layout, estimate: Estimate) -> Floats:
    """Return capacities drawn towards the mean of their string by two sigmas, (cell,) Ah: equal unless they are not."""
    owner = layout.string_of_cell
    count = np.bincount(owner)
    mean = (layout.total(estimate.capacity_Ah) / count)[owner]
    off = estimate.capacity_Ah - mean
    return np.asarray(mean + np.sign(off) * np.maximum(np.abs(off) - 2.0 * estimate.capacity_sigma_Ah, 0.0))


def dose_Ah(
    layout: Layout, estimate: Estimate, minimum_soc: Floats, bled_Ah: Floats | float = 0.0, leave: float = 0.0
) -> Floats:
    """Return the charge to bleed out of each cell, (cell,) Ah; 0 in strings with an unknown cell.

    minimum_soc  (string,) no cell is bled below it
    bled_Ah      (cell,) bled on an earlier estimate: doubt is weighed against cells as they were before that, because
                 what was bled wrongly hides the same error now
    leave        share of capacity that may stay above the lowest cell
    """
    owner, sigma, capacity = layout.string_of_cell, estimate.soc_sigma, _certain_capacity(layout, estimate)
    bled = bled_Ah / estimate.capacity_Ah
    left = (likely_soc(layout, estimate.soc + bled, sigma) - bled) * capacity
    above = left - layout.lowest(left)[owner]
    larger = capacity - layout.lowest(capacity)[owner]
    spare = (estimate.soc - sigma - minimum_soc[owner]) * capacity
    dose = np.minimum(above - larger - leave * capacity, spare)
    return np.where(dose > 0.0, dose, 0.0)  # NaN compares false: no dose


def at_once(layout: Layout, hardware: BalanceTable, voltage: Floats, board_degC: Floats) -> Ints:
    """Return how many cells of each string may bleed at once, by channels and board temperature, (string,).

    voltage     (cell,) V
    board_degC  (string,) without bleeding; NaN = unknown = none may bleed
    """
    each_K = hardware.board_K_per_W * hardware.bleed_A * layout.highest(voltage)
    room_K = hardware.max_degC - board_degC
    ok = (room_K >= 0.0) & (each_K >= 0.0) & (hardware.bleed_A > 0.0)
    with np.errstate(over="ignore"):  # hardly any warming: any number of cells
        warm = np.divide(room_K, each_K, out=np.full(room_K.size, np.inf), where=each_K > 0.0)
    return np.where(ok, np.minimum(hardware.channels, np.floor(warm)), 0.0).astype(np.int64)


def finish_s(layout: Layout, hardware: BalanceTable, dose: Floats, most: Ints) -> Floats:
    """Return the least time in which these doses can be bled, (string,) s; inf where none may bleed.

    Channels are handed on, so m at once need max(longest, sum / m) (McNaughton 1959); odd and even one after the other.
    """
    owner = layout.string_of_cell
    rate = hardware.bleed_A * hardware.share
    each_s = np.where(dose > 0.0, 3600.0 * dose / np.where(rate > 0.0, rate, np.nan)[owner], 0.0)
    odd = ((np.arange(owner.size) - layout.first_cell[owner]) % 2).astype(bool)

    def least(t: Floats) -> Floats:
        return np.maximum(layout.highest(t), layout.total(t) / np.maximum(most, 1))

    together = least(each_s)
    in_turn = least(np.where(odd, each_s, 0.0)) + least(np.where(odd, 0.0, each_s))
    seconds = np.where(hardware.alternate, in_turn, together)
    impossible = (layout.total(dose) > 0.0) & ((most < 1) | ~(rate > 0.0))
    return np.where(impossible, np.inf, seconds)


def choose(layout: Layout, hardware: BalanceTable, dose: Floats, most: Ints) -> Bools:
    """Return who bleeds now, (cell,): the largest doses first, which ends soonest; in turns, that of the largest."""
    owner, first = layout.string_of_cell, layout.first_cell
    parity = (np.arange(owner.size) - first[owner]) % 2
    odd = layout.highest(np.where(parity == 1, dose, 0.0)) > layout.highest(np.where(parity == 0, dose, 0.0))
    turn = np.where(hardware.alternate[owner] & (parity != odd[owner]), 0.0, dose)
    order = np.lexsort((-turn, owner))
    rank = np.empty(owner.size, np.int64)
    rank[order] = np.arange(owner.size) - first[owner]
    return (turn > 0.0) & (rank < most[owner])


def schedule(layout: Layout, hardware: BalanceTable, dose: Floats, most: Ints, now_ns: int) -> Plan:
    """Return the next piece of the way to these doses, (cell,) Ah.

    It expires when the first of the chosen cells is done, so that following it to the end never bleeds more than the
    dose; then ask again with what is left. Where a string has no dose the plan says nothing of it: the rules go by
    voltage there; without any it is expired from the start.
    """
    rate = (hardware.bleed_A * hardware.share)[layout.string_of_cell]
    worth = np.where(dose * 3600.0 >= rate * SHORTEST_S, dose, 0.0)
    chosen = choose(layout, hardware, worth, most) & (rate > 0.0)
    nothing = no_plan(dose.size, layout.size["pack"])
    if not chosen.any():
        return nothing
    seconds = min(SLOT_S, float((3600.0 * dose[chosen] / rate[chosen]).min()))
    said = np.logical_or.reduceat(chosen, layout.first_cell)[layout.string_of_cell]
    doses = np.where(chosen, dose, np.where(said, 0.0, np.nan))
    return replace(nothing, expires_ns=now_ns + int(seconds * 1e9), bleed_Ah=doses)


def report(layout: Layout, hardware: BalanceTable, estimate: Estimate, dose: Floats, most: Ints) -> Report:
    """Return figures of the programme; all (string,) but dose_Ah (cell,)."""
    soc, capacity = estimate.soc, estimate.capacity_Ah
    return {
        "dose_Ah": dose,
        "finish_s": finish_s(layout, hardware, dose, most),
        "lost_Wh": layout.total(np.where(dose > 0.0, dose * estimate.voltage_model, 0.0)),
        "usable_before_Ah": usable_Ah(layout, soc, capacity),
        "usable_after_Ah": usable_Ah(layout, soc - dose / capacity, capacity),
        "at_once": most.astype(np.float64),
    }
