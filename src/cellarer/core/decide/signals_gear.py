"""Signals of the switchgear for fault rows: contacts against their coils, current and voltage that should be gone.

How signals work: signals.py.
"""

import numpy as np

from cellarer.core.decide.look import AWAITED, COOLING, OPENING, Look, Reading, masked, not_now, on_bus, one
from cellarer.core.digest import NOT_NOW
from cellarer.model.values import NEVER, Bools

SURE = 3.0  # sigmas by which a mean current must exceed its own noise


def current_open(look: Look) -> Reading:
    """|current| through a string whose switchgear is ordered open, A; once it is open, what its mean surely shows."""
    if not np.count_nonzero(look.all_off):
        return Reading(not_now(look.config), look.flows[0], look.time_ns("current"))
    before, time_ns = look.state.switches, look.time_ns("current")
    sure = np.abs(before.rest_A) - SURE * np.sqrt(before.rest_variance)
    opening = np.where(look.in_phase(time_ns), np.abs(look.current), np.nan)
    shown = np.where(before.phase == OPENING, opening, np.maximum(sure, 0.0))
    reading = one(np.where(np.isnan(look.current), np.nan, shown), time_ns)
    return masked(reading, look.all_off, look.config.layout.yes)


def _contact(look: Look, wrong: Bools, awaited: bool | None) -> Reading:
    """1 where an auxiliary contact contradicts its coil.

    wrong: (contact, string); awaited: only contacts that the sequence waits for, or only the others; None = all
    """
    _, _, known, newest_ns = look.contradictions
    if not np.count_nonzero(wrong):
        return Reading(np.zeros(known.size), known, newest_ns)
    if awaited is not None:
        wrong = wrong & (AWAITED[:, look.state.switches.phase] == awaited)
    some = np.logical_or.reduce(wrong, axis=0)
    return Reading(np.where(some, 1.0, 0.0), known, np.where(some & ~wrong, NEVER, look.contacts[3]).max(axis=0))


def contact_welded(look: Look) -> Reading:
    """1 where a contact stays closed although ordered open."""
    return _contact(look, look.contradictions[0], None)


def contact_stuck_open(look: Look) -> Reading:
    """1 where a contact that was closed is open although ordered closed; closing itself has its own time-out."""
    return _contact(look, look.contradictions[1], awaited=False)


def contact_slow(look: Look) -> Reading:
    """1 where a contact that is being closed has not followed its coil yet."""
    return _contact(look, look.contradictions[1], awaited=True)


def link_follows(look: Look) -> Reading:
    """1 where the link is still at string voltage although all of its bus is ordered open: welded by voltage.

    A string of the bus that is closed, or that its own BMS keeps, holds the link up for all of them.
    """
    string, link, time_ns = look.of("string_voltage"), look.of("link_voltage"), look.time_ns("link_voltage")
    known = ~np.isnan(string + link)
    if not np.count_nonzero(look.all_off):
        return Reading(not_now(look.config), known, time_ns)
    bus, first = on_bus(look.config)
    off = np.logical_and.reduceat(look.all_off, first)[bus]
    return Reading(np.where(known & off, np.abs(string - link) <= 0.05 * np.abs(string), NOT_NOW), known, time_ns)


def precharge_failures(look: Look) -> Reading:
    """1 while a string cools after the last try that it had: a latched row, so that one reset gives the tries back."""
    before = look.state.switches
    spent = (before.tries >= look.config.switch.tries) & (before.phase == COOLING)
    return Reading(spent.astype(np.float64), look.config.layout.yes, look.now)


def open_under_load(look: Look) -> Reading:
    """|current| that still flows in phase OPENING, A: the switch does not break it, only a fuse will."""
    opening, time_ns = look.state.switches.phase == OPENING, look.time_ns("current")
    known = look.flows[0] & (look.in_phase(time_ns) | ~opening)
    return Reading(np.where(opening & known, np.abs(look.current), NOT_NOW), known, time_ns)


def contact_wear(look: Look) -> Reading:
    return Reading(look.state.switches.wear, look.config.layout.yes, look.now)
