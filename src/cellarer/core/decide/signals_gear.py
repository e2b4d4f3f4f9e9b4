"""Signals of the switchgear for fault rows: contacts against their coils, current and voltage that should be gone.

How signals work: signals.py.
"""

import numpy as np

from cellarer.core.decide.look import AWAITED, COOLING, OPENING, Look, Reading, masked, one
from cellarer.model.values import NEVER, Bools

SURE = 3.0  # sigmas by which a mean current must exceed its own noise


def current_open(look: Look) -> Reading:
    """|current| through a string whose switchgear is ordered open, A; once it is open, what its mean surely shows."""
    before = look.state.switches
    sure = np.abs(before.rest_A) - SURE * np.sqrt(before.rest_variance)
    shown = np.where(before.phase == OPENING, np.abs(look.current), np.maximum(sure, 0.0))
    reading = one(np.where(np.isnan(look.current), np.nan, shown), look.time_ns("current"))
    return masked(reading, look.all_off, look.config.layout.yes)


def _contact(look: Look, judged: Bools, wrongly_closed: bool) -> Reading:
    """1 where an auxiliary contact contradicts its coil; contacts lie side by side in the sample.

    judged: (contact, string) those that are looked at now
    """
    present, closed, ordered, time_ns = look.contacts
    wrong = present & judged & (ordered != wrongly_closed) & (closed == float(wrongly_closed))
    some = wrong.any(axis=0)
    known = ~np.logical_or.reduce(present & np.isnan(closed), axis=0)
    return Reading(some.astype(np.float64), known, np.where(some & ~wrong, NEVER, time_ns).max(axis=0))


def contact_welded(look: Look) -> Reading:
    """1 where a contact stays closed although ordered open."""
    return _contact(look, look.config.layout.yes, wrongly_closed=True)


def contact_stuck_open(look: Look) -> Reading:
    """1 where a contact that was closed is open although ordered closed; closing itself has its own time-out."""
    return _contact(look, ~AWAITED[:, look.state.switches.phase], wrongly_closed=False)


def contact_slow(look: Look) -> Reading:
    """1 where a contact that is being closed has not followed its coil yet."""
    return _contact(look, AWAITED[:, look.state.switches.phase], wrongly_closed=False)


def link_follows(look: Look) -> Reading:
    """1 where the link is still at string voltage although the whole bank is ordered open: welded by voltage.

    A string of the bank that is closed, or that its own BMS keeps, holds the link up for all of them.
    """
    string, link = look.of("string_voltage"), look.of("link_voltage")
    same = np.abs(string - link) <= 0.05 * np.abs(string)
    reading = one(
        np.where(np.isnan(string) | np.isnan(link), np.nan, same.astype(np.float64)), look.time_ns("link_voltage")
    )
    return masked(reading, look.config.layout.yes & look.all_off.all(), look.config.layout.yes)


def precharge_failures(look: Look) -> Reading:
    """1 while a string cools after the last try that it had: a latched row, so that one reset gives the tries back."""
    before = look.state.switches
    spent = (before.tries >= look.config.switch.tries) & (before.phase == COOLING)
    return Reading(spent.astype(np.float64), look.config.layout.yes, np.full(spent.shape, look.now_ns))


def open_under_load(look: Look) -> Reading:
    """|current| that still flows in phase OPENING, A: the switch does not break it, only a fuse will."""
    reading = one(np.abs(look.current), look.time_ns("current"))
    opening = look.state.switches.phase == OPENING
    return masked(reading, opening, look.config.layout.yes)


def contact_wear(look: Look) -> Reading:
    wear = look.state.switches.wear
    return Reading(wear, look.config.layout.yes, np.full(wear.shape, look.now_ns))
